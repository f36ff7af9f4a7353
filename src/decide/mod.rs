//! Decisions, pure: facts and policy in, a grant, a refusal or a fault out.
//!
//! `decide` reads nothing but its arguments: no clock, no file, no journal. Cedar judges; what is
//! added here is that each offer is judged alone with all forbids, under the ttl and period that it
//! would give, and that an evaluation error is never passed over.

mod annotations;
mod asks;
mod cedar;
mod check;
mod explain;
pub mod facts;
mod forbidden;
mod grant;
mod hint;
pub mod hours;
mod load;
mod locate;
mod longest;
pub mod office;
mod policy;
mod problem;
pub mod reach;
mod refusal;
mod saying;
mod shifts;
mod split;
pub mod statements;
pub mod survey;
mod terms;
mod world;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use cedar_policy::{
    AuthorizationError, Authorizer, Decision as Answer, Entities, PolicySet, Request, Response,
};

use self::cedar::Asked;
use self::facts::Facts;
use self::grant::Given;
use self::shifts::Shifts;
use crate::certificate::names::{BadName, OfferId};
use crate::certificate::time::Span;

pub use self::explain::reachable;
pub use self::grant::{Bound, Clip, Clipped, Grant};
pub use self::policy::{Offer, Policy};
pub(crate) use self::problem::Problems;
pub use self::problem::{LoadError, Problem};
pub use self::refusal::{Length, Reason, Refusal};
pub use self::saying::Saying;
pub use self::terms::{BadTerm, Delivery, Extension, LONGEST, Limit, MOST, Terms};
pub use self::world::World;
pub(crate) use self::world::close;

/// What policy says to a request.
#[derive(Debug)]
#[must_use]
#[expect(clippy::large_enum_variant, reason = "there is one a request, and it is moved twice")]
pub enum Decision {
    /// Yes, on these terms.
    Granted(Grant),
    /// No, and why.
    Refused(Refusal),
    /// It could not be decided, which is a no: the person is told to try again, the operator why.
    Fault(PolicyFault),
}

/// A policy that could not be evaluated, or facts that could not be put to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFault {
    policy: Option<String>,
    what: String,
}

impl PolicyFault {
    fn of(policy: impl ToString, why: impl ToString) -> Self {
        Self { policy: Some(policy.to_string()), what: why.to_string() }
    }

    /// The `@id` of the policy, where it is one policy's.
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }
}

impl fmt::Display for PolicyFault {
    /// For the journal: it may hold foreign text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.policy {
            Some(policy) => write!(f, "policy {policy} could not be evaluated: {}", self.what),
            None => write!(f, "the request could not be put to the policy: {}", self.what),
        }
    }
}

impl std::error::Error for PolicyFault {}

/// Decides one request for one account.
///
/// Of the offers that permit it the one with the longest ttl decides, then the one with the smaller
/// id. A fault of any policy that had to be evaluated is a fault, even where another policy permits.
pub fn decide(policy: &Policy, facts: &Facts) -> Decision {
    if let Some(offer) = &facts.offer
        && policy.offer(offer).is_none()
    {
        return Decision::Refused(explain::unknown_offer(policy, facts, offer));
    }
    if let Some(what) = &facts.around.history.fault {
        return Decision::Fault(PolicyFault { policy: None, what: what.clone() });
    }
    let asked = match Asked::new(&policy.words, facts) {
        Ok(asked) => asked,
        Err(what) => return Decision::Fault(PolicyFault { policy: None, what }),
    };
    let judged = match judge(policy, facts, &asked) {
        Ok(judged) => judged,
        Err(fault) => return Decision::Fault(fault),
    };
    let permitted = || judged.iter().filter(|one| one.permits && one.case.forbidden.is_empty());
    let best = |one: &&Judged<'_>| (Reverse(one.given.ttl), one.offer.id.clone());
    match permitted().filter(|one| one.delivers(facts)).min_by_key(best) {
        // A live grant that the policy of this moment would have ended by now.
        Some(one) if one.given.ttl == Span::secs(0) => {
            Decision::Refused(explain::over(facts, &one.offer.id, &one.given))
        }
        Some(one) => {
            let given = one.given.clone();
            Decision::Granted(Grant::new(facts, &one.offer.id, &one.offer.terms, given))
        }
        None => Decision::Refused(match permitted().min_by_key(best) {
            Some(one) => explain::undeliverable(facts, one.offer),
            None => explain::refuse(policy, facts, &asked, &judged),
        }),
    }
}

/// One offer that is for this person and this account, judged alone.
struct Judged<'p> {
    offer: &'p Offer,
    given: Given,
    /// Whether the offer itself permits; the forbids are the case's.
    permits: bool,
    case: Rc<Case>,
}

impl Judged<'_> {
    /// Whether its certificate can be handed over in one of the ways there are.
    fn delivers(&self, facts: &Facts) -> bool {
        facts.deliveries.is_empty() || self.offer.terms.delivers(&facts.deliveries).is_some()
    }
}

/// What offers of the same terms have in common: the request as it would be under them, and the
/// forbids that then apply, by id.
struct Case {
    request: Request,
    forbidden: Vec<OfferId>,
}

/// Judges every offer in scope, or the one that was picked.
fn judge<'p>(
    policy: &'p Policy,
    facts: &Facts,
    asked: &Asked<'_>,
) -> Result<Vec<Judged<'p>>, PolicyFault> {
    let authorizer = Authorizer::new();
    let after = shifts::after(facts);
    let shifts = Shifts::of(&policy.words, &after)?;
    let mut cases: HashMap<[Span; 4], Rc<Case>> = HashMap::new();
    let mut all = Vec::new();
    for offer in &policy.offers {
        let picked = facts.within.as_ref().map(|grant| &grant.offer).or(facts.offer.as_ref());
        if picked.is_some_and(|picked| *picked != offer.id) || !offer.scope.matches(asked) {
            continue;
        }
        let mut given = Given::under(&offer.terms, facts);
        shifts.bound(policy, offer, facts, asked, &mut given)?;
        // INVARIANT: the key is all that the context shows of an offer and its durations.
        let key = [given.ttl, given.period, offer.terms.ttl, offer.terms.period];
        let case = match cases.get(&key) {
            Some(case) => Rc::clone(case),
            None => {
                let request = asked
                    .under(&offer.terms, given.ttl, given.period)
                    .map_err(|what| PolicyFault { policy: None, what })?;
                let forbids = ask(&authorizer, &request, &policy.forbids.all, asked)?;
                let forbidden = deciders(&forbids)?;
                let case = Rc::new(Case { request, forbidden });
                cases.insert(key, Rc::clone(&case));
                case
            }
        };
        let permits = offer.may_open(&facts.account.login)
            && ask(&authorizer, &case.request, &offer.alone, asked)?.decision() == Answer::Allow;
        all.push(Judged { offer, given, permits, case });
    }
    Ok(all)
}

/// Asks Cedar. Cedar passes over a policy that errs, so that a forbid which overflows would forbid
/// nothing; here any error is the answer.
fn ask(
    authorizer: &Authorizer,
    request: &Request,
    policies: &PolicySet,
    asked: &Asked<'_>,
) -> Result<Response, PolicyFault> {
    answer(authorizer, request, policies, asked.entities())
}

/// The same, for any request.
fn answer(
    authorizer: &Authorizer,
    request: &Request,
    policies: &PolicySet,
    entities: &Entities,
) -> Result<Response, PolicyFault> {
    let response = authorizer.is_authorized(request, policies, entities);
    let first = response
        .diagnostics()
        .errors()
        .map(|AuthorizationError::PolicyEvaluationError(why)| why)
        .min_by_key(|why| why.policy_id());
    match first {
        Some(why) => Err(PolicyFault::of(why.policy_id(), why.inner())),
        None => Ok(response),
    }
}

/// The policies that made the answer, by id.
fn deciders(response: &Response) -> Result<Vec<OfferId>, PolicyFault> {
    let mut ids = Vec::new();
    for id in response.diagnostics().reason() {
        // Every policy was loaded under an id of this grammar.
        let parsed = id.to_string().parse();
        ids.push(parsed.map_err(|why: BadName| PolicyFault::of(id, why))?);
    }
    ids.sort();
    Ok(ids)
}

#[cfg(test)]
mod circumstance_tests;
#[cfg(test)]
mod example;
#[cfg(test)]
mod length_tests;
#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod office_tests;
#[cfg(test)]
mod reach_tests;
#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod survey_tests;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod table;
