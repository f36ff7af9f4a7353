//! A dry run, explained: what would decide, and why every other offer would not. And the other way
//! round: everything that one person could ask for. Pure, as `decide` is; for people who read.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::asks::Asks;
use super::cedar::Asked;
use super::explain::reason;
use super::facts::{Account, Facts};
use super::forbidden::forbidden;
use super::longest::longest;
use super::policy::{Offer, Policy};
use super::refusal::{Reason, Refusal};
use super::split::{self, Conjunct};
use super::terms::Terms;
use super::{Decision, Judged, PolicyFault, decide, judge};
use crate::certificate::names::{HostName, Login, OfferId, TagName};
use crate::certificate::safe::Safe;
use crate::certificate::time::Span;

/// What an offer is sorted by: how it stands, how much it lacks, and the longest life first.
type Rank = (u8, usize, Reverse<Span>);

/// What a request would come to.
#[derive(Debug)]
pub struct Survey {
    /// What would decide; never a fault.
    pub verdict: Verdict,
    /// Every offer whose first line speaks of this person and this account, the one that decides first,
    /// then those that permit, then the near misses, the nearest first, then those for other accounts.
    pub offers: Vec<Surveyed>,
    /// The longest life of a certificate and the longest grant that the person could have here in other
    /// circumstances; `None` if no offer is for them.
    pub longest: Option<(Span, Span)>,
}

/// How it would end.
#[derive(Debug)]
pub enum Verdict {
    /// Granted, by this offer, for so long.
    Granted {
        /// The offer.
        offer: OfferId,
        /// A certificate's life.
        ttl: Span,
        /// The grant's length.
        period: Span,
    },
    /// Refused.
    Refused(Refusal),
}

/// One offer, held against the request.
#[derive(Debug)]
pub struct Surveyed {
    /// Its `@id`.
    pub offer: OfferId,
    /// Its `@why`.
    pub description: Option<String>,
    /// What it gives at most.
    pub terms: Terms,
    /// How it stands.
    pub stands: Stands,
}

/// How an offer stands to a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Stands {
    /// It decides.
    Decides,
    /// It permits too, and this puts it behind the one that decides.
    Behind(Behind),
    /// It would permit in other circumstances: each of its conditions that does not hold, in its order,
    /// and each forbid that applies.
    Missed(Vec<Reason>),
    /// It is for other people or accounts, as these conditions say, which no ticket changes.
    Elsewhere(Vec<String>),
}

/// What puts an offer that permits behind another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// A certificate would live shorter.
    Shorter,
    /// The same, and its id is the greater one.
    GreaterId,
    /// It cannot be handed over in one of the ways there are.
    Delivery,
    /// Another was picked, or is that of the live grant.
    Picked,
}

/// Surveys a request. An evaluation error is a fault here as it is in `decide`.
pub fn survey(policy: &Policy, facts: &Facts) -> Result<Survey, PolicyFault> {
    let verdict = match decide(policy, facts) {
        Decision::Granted(grant) => Verdict::Granted {
            offer: grant.offer().clone(),
            ttl: grant.ttl(),
            period: grant.period(),
        },
        Decision::Refused(refusal) => Verdict::Refused(refusal),
        Decision::Fault(fault) => return Err(fault),
    };
    // All offers, also where one was picked: the others are what is asked about.
    let all = Facts { offer: None, within: None, ..facts.clone() };
    let asked =
        Asked::new(&policy.words, &all).map_err(|what| PolicyFault { policy: None, what })?;
    let judged = judge(policy, &all, &asked)?;
    let decides = match &verdict {
        Verdict::Granted { offer, ttl, .. } => Some((offer, *ttl)),
        Verdict::Refused(_) => None,
    };
    let mut most: Vec<(Span, Span)> = Vec::new();
    let mut offers: Vec<(Rank, Surveyed)> = judged
        .iter()
        .map(|one| {
            let picked = facts.offer.is_some() || facts.within.is_some();
            let stands = stands(policy, &all, &asked, one, decides, picked);
            if !matches!(stands, Stands::Elsewhere(_)) {
                let from = (one.offer.terms.ttl, one.offer.terms.period);
                most.extend(longest(policy, one.offer, &asked, from).ok().flatten());
            }
            let rank = match &stands {
                Stands::Decides => (0, 0),
                Stands::Behind(_) => (1, 0),
                Stands::Missed(reasons) => (2, reasons.len()),
                Stands::Elsewhere(conditions) => (3, conditions.len()),
            };
            let surveyed = Surveyed {
                offer: one.offer.id.clone(),
                description: one.offer.description.clone(),
                terms: one.offer.terms.clone(),
                stands,
            };
            ((rank.0, rank.1, Reverse(one.given.ttl)), surveyed)
        })
        .collect();
    offers.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.offer.cmp(&other.offer)));
    let offers: Vec<Surveyed> = offers.into_iter().map(|(_, one)| one).collect();
    let ttl = most.iter().map(|(ttl, _)| *ttl).max();
    let longest = ttl.zip(most.iter().map(|(_, period)| *period).max());
    Ok(Survey { verdict, offers, longest })
}

fn stands(
    policy: &Policy,
    facts: &Facts,
    asked: &Asked<'_>,
    judged: &Judged<'_>,
    decides: Option<(&OfferId, Span)>,
    picked: bool,
) -> Stands {
    let (offer, request) = (judged.offer, &judged.case.request);
    if decides.is_some_and(|(id, _)| *id == offer.id) {
        return Stands::Decides;
    }
    let failed: Vec<&Conjunct> = offer
        .conjuncts
        .iter()
        .filter(|one| one.holds(request, asked.entities()) != Some(true))
        .collect();
    let apart: Vec<String> =
        failed.iter().filter(|one| one.reads.is_empty()).map(|one| one.text.clone()).collect();
    if !apart.is_empty() {
        return Stands::Elsewhere(apart);
    }
    let mut reasons: Vec<Reason> = Vec::new();
    for id in &judged.case.forbidden {
        let one = forbidden(policy, offer, id, facts, request, asked);
        if !reasons.contains(&one) {
            reasons.push(one);
        }
    }
    for conjunct in failed {
        let one = reason(policy, offer, &offer.id, conjunct, facts, request, asked);
        // Two conditions may have one sentence.
        if !reasons.contains(&one) {
            reasons.push(one);
        }
    }
    if !judged.permits || !reasons.is_empty() {
        return Stands::Missed(reasons);
    }
    Stands::Behind(match decides {
        _ if !judged.delivers(facts) => Behind::Delivery,
        _ if picked => Behind::Picked,
        Some((_, ttl)) if judged.given.ttl < ttl => Behind::Shorter,
        Some(_) | None => Behind::GreaterId,
    })
}

/// What one offer could give a person.
#[derive(Debug)]
pub struct Entry<'p> {
    /// The offer.
    pub offer: &'p Offer,
    /// The accounts, by host in the order they were given in.
    pub accounts: BTreeMap<Login, Vec<usize>>,
    /// What it takes, in words: `a ticket that is open and yours`, `a reason`, or a condition as policy has
    /// it.
    pub needs: Vec<String>,
}

/// Everything that a person could ask for: each offer with the accounts it could cover, whatever the
/// circumstances. `facts` are the person's, `hosts` one account of each host with all its logins.
///
/// What no circumstance changes is evaluated once for each offer and kind of account, not for each host:
/// conditions that do not read the context see the same of two accounts that differ in nothing but
/// their host's name, unless the policy names a host or an account.
pub fn catalog<'p>(
    policy: &'p Policy,
    facts: &Facts,
    hosts: &[(Account, BTreeSet<Login>)],
) -> Result<Vec<Entry<'p>>, PolicyFault> {
    let mut entries: Vec<Entry<'p>> = policy
        .offers
        .iter()
        .map(|offer| Entry { offer, accounts: BTreeMap::new(), needs: needs(offer) })
        .collect();
    let apart = Apart::of(policy);
    let mut seen: BTreeMap<Kind<'_>, Vec<usize>> = BTreeMap::new();
    for (at, (host, logins)) in hosts.iter().enumerate() {
        for login in logins {
            let kind = Kind {
                login,
                tags: &host.tags,
                owner: host.owner.as_ref().map(|owner| owner.as_str()),
                pool: host.pool,
                name: apart.tells(&host.host).then_some(host.host.as_str()),
            };
            let covered = match seen.get(&kind) {
                Some(covered) => covered.clone(),
                None => {
                    let account = Account { login: login.clone(), ..host.clone() };
                    let covered = cover(policy, &Facts { account, ..facts.clone() })?;
                    seen.insert(kind, covered.clone());
                    covered
                }
            };
            for n in covered {
                if let Some(entry) = entries.get_mut(n) {
                    entry.accounts.entry(login.clone()).or_default().push(at);
                }
            }
        }
    }
    entries.retain(|entry| !entry.accounts.is_empty());
    Ok(entries)
}

/// All that policy can tell of an account, but for its host's name where no policy asks for that.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind<'h> {
    login: &'h Login,
    tags: &'h BTreeSet<TagName>,
    owner: Option<&'h str>,
    pool: bool,
    name: Option<&'h str>,
}

/// The hosts that some statement can tell from others of the same tags, owner and kind.
struct Apart {
    /// Some condition reads the name itself: all of them.
    all: bool,
    named: BTreeSet<String>,
}

impl Apart {
    fn of(policy: &Policy) -> Self {
        let mut apart = Self { all: false, named: BTreeSet::new() };
        let offers = policy.offers.iter().flat_map(|offer| offer.alone.policies());
        for one in offers.chain(policy.forbids.all.policies()) {
            for uid in one.entity_literals() {
                let name = uid.id().unescaped();
                match uid.type_name().basename() {
                    "Host" => drop(apart.named.insert(name.to_owned())),
                    "Account" => {
                        let host = name.split_once('@').map_or(name, |(_, host)| host);
                        apart.named.insert(host.to_owned());
                    }
                    _ => {}
                }
            }
            apart.all |= one.to_pst().map_or(true, |pst| split::reads_host(pst.body().clauses()));
        }
        apart
    }

    fn tells(&self, host: &HostName) -> bool {
        self.all || self.named.contains(host.as_str())
    }
}

/// The offers, by number, that could cover an account in some circumstances.
fn cover(policy: &Policy, facts: &Facts) -> Result<Vec<usize>, PolicyFault> {
    let asked =
        Asked::new(&policy.words, facts).map_err(|what| PolicyFault { policy: None, what })?;
    let judged = judge(policy, facts, &asked)?;
    let could = |one: &&Judged<'_>| {
        let apart = one.offer.conjuncts.iter().filter(|part| part.reads.is_empty());
        let holds = |part: &Conjunct| part.holds(&one.case.request, asked.entities()) == Some(true);
        // A forbid that reads nothing of the circumstances forbids in all of them.
        let barred =
            one.case.forbidden.iter().any(|id| {
                policy.forbids.said.get(id).is_some_and(|forbid| forbid.reads.is_empty())
            });
        apart.into_iter().all(holds) && !barred
    };
    let number = |one: &Judged<'_>| policy.offers.iter().position(|o| o.id == one.offer.id);
    Ok(judged.iter().filter(could).filter_map(number).collect())
}

/// What an offer takes besides being for the person and the account.
pub(super) fn needs(offer: &Offer) -> Vec<String> {
    let mut needs: Vec<String> = Vec::new();
    let mut ticket: Vec<String> = Vec::new();
    let (mut any_ticket, mut reason) = (false, false);
    for part in offer.conjuncts.iter().filter(|part| !part.reads.is_empty()) {
        match &part.asks {
            Asks::Ticket => any_ticket = true,
            Asks::TicketField(field) => ticket.push(format!("has a {field}")),
            Asks::State(state) => ticket.push(format!("is {state}")),
            Asks::Mine => ticket.push("is yours".to_owned()),
            Asks::Covers => ticket.push("names the host or none".to_owned()),
            Asks::Window => ticket.push("is in its window".to_owned()),
            Asks::Reason => reason = true,
            Asks::NotFrozen => needs.push("no freeze over it".to_owned()),
            Asks::Hours { names, within } => {
                let word = if *within { "" } else { "not " };
                needs.push(format!("{word}{} hours", names.join(" or ")));
            }
            Asks::Priority(priority) => {
                ticket.retain(|one| one != "has a priority");
                ticket.push(format!("has the priority {}", Safe(priority)));
            }
            Asks::Freeze(name) => needs.push(format!("a freeze called {} over it", Safe(name))),
            Asks::Source(networks) => {
                needs.push(format!("that one asks from {}", networks.join(" or ")))
            }
            Asks::Recent { .. } | Asks::Other => needs.push(part.text.clone()),
        }
    }
    if reason {
        needs.insert(0, "a reason".to_owned());
    }
    match ticket.split_last() {
        None if any_ticket => needs.insert(0, "a ticket".to_owned()),
        None => {}
        Some((last, [])) => needs.insert(0, format!("a ticket that {last}")),
        Some((last, before)) => {
            needs.insert(0, format!("a ticket that {} and {last}", before.join(", ")));
        }
    }
    needs
}
