//! What is asked of the desk itself, rather than for an account: an audit, a lock, a freeze. Pure, as `decide` is.
//!
//! A permit is enough and a forbid wins; there are no terms. An evaluation error of any policy that
//! had to be asked is a fault, as it is for logins.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::net::IpAddr;

use cedar_policy::{
    Authorizer, Context, Decision as Answer, Entities, Entity, EntityUid, PolicySet, Request,
    RestrictedExpression,
};

use super::asks::Asks;
use super::cedar::{Who, circumstances, string};
use super::facts::Person;
use super::policy::{Leave, Policy, Scope};
use super::refusal::{Reason, Refusal};
use super::{PolicyFault, answer, deciders};
use crate::certificate::names::{self, FreezeName, OfferId, TagName};
use crate::certificate::time::UnixTime;

/// Everything that one such decision may read.
#[derive(Debug, Clone)]
pub struct Matter {
    /// When it is decided.
    pub now: UnixTime,
    /// Where the person's connection comes from.
    pub source: IpAddr,
    /// Who asks: the owner of the key that was proved.
    pub person: Person,
    /// What for.
    pub act: Act,
}

/// What is to be done at the desk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Reading the ledger.
    Audit,
    /// Locking something, or lifting a lock.
    Lock(LockAct),
    /// Setting a freeze, or lifting one.
    Freeze(FreezeAct),
}

/// Setting a freeze, or lifting one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezeAct {
    /// Its name.
    pub name: FreezeName,
    /// The tags whose hosts it is over; none for everything.
    pub tags: BTreeSet<TagName>,
    /// Whether it is lifted.
    pub lifting: bool,
    /// Why.
    pub reason: Option<names::Reason>,
}

/// Locking something, or lifting a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockAct {
    /// `person`, `key`, `host`, `tag` or `everything`.
    pub target: &'static str,
    /// Its name; empty for everything.
    pub name: String,
    /// Whether a lock is lifted.
    pub lifting: bool,
    /// Whether it is who asks, or a key of theirs.
    pub mine: bool,
    /// Why.
    pub reason: Option<names::Reason>,
}

impl fmt::Display for Act {
    /// As a sentence goes on with it: `audit`, `lock person bob`, `unlock everything`, `freeze black-friday`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Audit => f.write_str("audit"),
            Self::Lock(LockAct { target, name, lifting, .. }) => {
                let verb = if *lifting { "unlock" } else { "lock" };
                let between = if name.is_empty() { "" } else { " " };
                write!(f, "{verb} {target}{between}{name}")
            }
            Self::Freeze(FreezeAct { name, lifting, .. }) => {
                write!(f, "{} {name}", if *lifting { "thaw" } else { "freeze" })
            }
        }
    }
}

/// What policy says to it.
#[derive(Debug)]
#[must_use]
pub enum Permission {
    /// Yes, by the policy of this id.
    Permitted(OfferId),
    /// No, and why.
    Refused(Refusal),
    /// It could not be decided, which is a no.
    Fault(PolicyFault),
}

/// Decides whether a person may do something at the desk.
pub fn permits(policy: &Policy, matter: &Matter) -> Permission {
    let judged = Asked::new(policy, matter)
        .map_err(|what| PolicyFault { policy: None, what })
        .and_then(|asked| judge(policy, matter, &asked));
    match judged {
        Ok(Ok(by)) => Permission::Permitted(by),
        Ok(Err(reasons)) => {
            let hint = reasons.first().map(|reason| hint(reason, &matter.act));
            Permission::Refused(Refusal { reasons, hint })
        }
        Err(fault) => Permission::Fault(fault),
    }
}

/// The matter in Cedar's words.
pub(super) struct Asked<'p> {
    who: Who,
    desk: &'p EntityUid,
    pub(super) entities: Entities,
    pub(super) request: Request,
}

impl<'p> Asked<'p> {
    pub(super) fn new(policy: &'p Policy, matter: &Matter) -> Result<Self, String> {
        let words = &policy.words;
        let who = Who::of(words, &matter.person, None)?;
        let desk = &words.desk;
        let entities = [who.entity.clone(), Entity::new_no_attrs(desk.clone(), HashSet::new())];
        let entities = Entities::from_entities(entities, None).map_err(|why| why.to_string())?;
        let mut pairs = circumstances(matter.now, matter.source);
        let reason = match &matter.act {
            Act::Audit => &None,
            Act::Lock(LockAct { target, name, lifting, mine, reason }) => {
                pairs.extend([
                    ("target".to_owned(), string(target)),
                    ("name".to_owned(), string(name)),
                    ("lifting".to_owned(), RestrictedExpression::new_bool(*lifting)),
                    ("mine".to_owned(), RestrictedExpression::new_bool(*mine)),
                ]);
                reason
            }
            Act::Freeze(FreezeAct { name, tags, lifting, reason }) => {
                let tags = tags.iter().map(|tag| string(tag.as_str()));
                pairs.extend([
                    ("name".to_owned(), string(name.as_str())),
                    ("tags".to_owned(), RestrictedExpression::new_set(tags)),
                    ("lifting".to_owned(), RestrictedExpression::new_bool(*lifting)),
                ]);
                reason
            }
        };
        pairs.extend(reason.iter().map(|why| ("reason".to_owned(), string(why.as_str()))));
        let context = Context::from_pairs(pairs).map_err(|why| why.to_string())?;
        let action = action(policy, &matter.act).clone();
        let request = Request::new(who.principal.clone(), action, desk.clone(), context, None);
        Ok(Self { who, desk, entities, request: request.map_err(|why| why.to_string())? })
    }

    fn ask(&self, policies: &PolicySet) -> Result<cedar_policy::Response, PolicyFault> {
        answer(&Authorizer::new(), &self.request, policies, &self.entities)
    }

    /// Whether the first line of this permit speaks of the person.
    fn concerns(&self, leave: &Leave) -> bool {
        self.speaks_of(&leave.scope)
    }

    /// Whether a first line speaks of the person and the desk.
    pub(super) fn speaks_of(&self, scope: &Scope) -> bool {
        scope.speaks_of(
            (&self.who.principal, &self.who.principals),
            (self.desk, &HashSet::from([self.desk.clone()])),
        )
    }
}

fn action<'p>(policy: &'p Policy, act: &Act) -> &'p EntityUid {
    match act {
        Act::Audit => &policy.words.audit,
        Act::Lock(_) => &policy.words.lock,
        Act::Freeze(_) => &policy.words.freeze,
    }
}

/// The permit that decides, or why not.
fn judge(
    policy: &Policy,
    matter: &Matter,
    asked: &Asked<'_>,
) -> Result<Result<OfferId, Vec<Reason>>, PolicyFault> {
    let forbidden = deciders(&asked.ask(&policy.forbids.all)?)?;
    let action = action(policy, &matter.act);
    let mut permitted = None;
    let mut missed = Vec::new();
    for leave in policy.leaves.iter().filter(|leave| leave.action == *action) {
        // Every permit is asked, so that one that errs is a fault whoever asks.
        if asked.ask(&leave.alone)?.decision() == Answer::Allow {
            permitted = permitted.or(Some(&leave.id));
        } else if asked.concerns(leave) {
            missed.extend(miss(leave, asked));
        }
    }
    let mut reasons: Vec<Reason> = forbidden
        .into_iter()
        .map(|policy_id| {
            let why = policy.forbids.said.get(&policy_id).and_then(|forbid| forbid.why.clone());
            Reason::Forbidden { policy: policy_id, why }
        })
        .collect();
    match permitted {
        Some(by) if reasons.is_empty() => return Ok(Ok(by.clone())),
        Some(_) => {}
        None if missed.is_empty() => reasons.push(Reason::NoLeave {
            person: matter.person.name.clone(),
            act: matter.act.to_string(),
        }),
        None => reasons.append(&mut missed),
    }
    Ok(Err(reasons))
}

/// What a permit missed that the person can mend: the first condition about when, whence or why. A
/// permit for another person, or for another kind of lock, is no near miss.
fn miss(leave: &Leave, asked: &Asked<'_>) -> Option<Reason> {
    let mut first = None;
    for conjunct in &leave.conjuncts {
        if conjunct.holds(&asked.request, &asked.entities) == Some(true) {
            continue;
        }
        let mends = |name: &String| ["now", "source", "factors", "reason"].contains(&&**name);
        if conjunct.reads.is_empty() || !conjunct.reads.iter().all(mends) {
            return None;
        }
        first = first.or(Some(conjunct));
    }
    let (offer, conjunct) = (leave.id.clone(), first?);
    Some(match conjunct.asks {
        Asks::Reason => Reason::ReasonMissing { offer },
        _ => Reason::ConditionFailed {
            offer,
            condition: conjunct.text.clone(),
            had: conjunct.had(&asked.request, &asked.entities),
        },
    })
}

/// What to do about a no.
fn hint(reason: &Reason, act: &Act) -> String {
    match reason {
        Reason::ReasonMissing { .. } => format!("say why: ssh ca {act} --reason TEXT"),
        Reason::Forbidden { policy, .. } => format!("ask those who keep policy {policy}"),
        Reason::ConditionFailed { offer, .. } => {
            format!("ask again when that holds, or ask those who keep policy {offer}")
        }
        _ => "ask a colleague who may, or those who keep the policy".to_owned(),
    }
}
