//! What a forbid found: its own words, or else what it found and what would lift it.

use cedar_policy::Request;

use super::cedar::Asked;
use super::explain::reason;
use super::facts::Facts;
use super::policy::{Offer, Policy};
use super::refusal::Reason;
use super::split::Conjunct;
use crate::certificate::names::OfferId;

/// The reason for a forbid that applies to a request under an offer.
pub(super) fn forbidden(
    policy: &Policy,
    offer: &Offer,
    id: &OfferId,
    facts: &Facts,
    request: &Request,
    asked: &Asked<'_>,
) -> Reason {
    let plain = |why| Reason::Forbidden { policy: id.clone(), why };
    let Some(forbid) = policy.forbids.said.get(id) else { return plain(None) };
    let why = forbid.why.clone();
    let said = |one| reason(policy, offer, id, one, facts, request, asked);
    let missing = forbid.conjuncts.iter().flat_map(|one| &one.lifts);
    let missing = missing.filter(|one| one.holds(request, asked.entities()) != Some(true));
    let sentence = missing
        .filter(|one| !one.reads.is_empty())
        .map(said)
        .find(|reason| !matches!(reason, Reason::ConditionFailed { .. } | Reason::TooLong { .. }));
    match (sentence, why) {
        // Which freeze it is says more than that there is one.
        (Some(Reason::Frozen { host, freezes, by, .. }), why) => {
            Reason::Frozen { host, freezes, by, why }
        }
        // Its own words say why, and what it found what to do.
        (Some(because), why) => {
            Reason::Found { policy: id.clone(), why, because: Box::new(because) }
        }
        (None, why @ Some(_)) => plain(why),
        (None, None) => {
            // The one that has a value to show, or else one that is not about who asks for what.
            let measured = |one: &&Conjunct| one.had(request, asked.entities()).is_some();
            let all = || forbid.conjuncts.iter().filter(|one| !one.reads.is_empty());
            let one = all().find(measured).or(all().next()).or(forbid.conjuncts.first());
            let Some(one) = one else { return plain(None) };
            let because = match reason(policy, offer, id, one, facts, request, asked) {
                // A condition that has a sentence where it is needed has none where it is in the way.
                Reason::TooLong { offer, had, length, most, .. } => {
                    Reason::TooLong { offer, condition: one.text.clone(), had, length, most }
                }
                _ => Reason::ConditionFailed {
                    offer: id.clone(),
                    condition: one.text.clone(),
                    had: one.had(request, asked.entities()),
                },
            };
            Reason::Stands { policy: id.clone(), unless: one.negated, because: Box::new(because) }
        }
    }
}
