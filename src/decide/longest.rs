//! How long it could have been: the longest life of a certificate, and the longest grant, that the
//! conditions on them let through.

use cedar_policy::{Authorizer, Request};

use super::cedar::Asked;
use super::policy::{Offer, Policy};
use super::split::Conjunct;
use super::{PolicyFault, ask, deciders};
use crate::certificate::time::Span;

/// The longest pair of life and grant, neither longer than `from`, that no condition on either is in the way
/// of; `None` if there is none. Whatever else stands against the offer is another matter.
pub(super) fn longest(
    policy: &Policy,
    offer: &Offer,
    asked: &Asked<'_>,
    from: (Span, Span),
) -> Result<Option<(Span, Span)>, PolicyFault> {
    let fits = |ttl: Span, period: Span| {
        let request = asked.under(&offer.terms, ttl, period);
        let request = request.map_err(|what| PolicyFault { policy: None, what })?;
        fits(policy, offer, asked, &request)
    };
    let (ttl, period) = from;
    if fits(ttl, period)? {
        return Ok(Some(from));
    }
    let limits = limits(policy, offer);
    let shorter = |than: Span| limits.iter().rev().copied().filter(move |span| *span < than);
    // One of the two shorter is nearer to what was asked than both.
    let one = shorter(ttl).map(|ttl| (ttl, period));
    let other = shorter(period).map(|period| (ttl.min(period), period));
    let both =
        shorter(period).flat_map(|period| shorter(ttl).map(move |ttl| (ttl.min(period), period)));
    for (ttl, period) in one.chain(other).chain(both) {
        if fits(ttl, period)? {
            return Ok(Some((ttl, period)));
        }
    }
    Ok(None)
}

fn fits(
    policy: &Policy,
    offer: &Offer,
    asked: &Asked<'_>,
    request: &Request,
) -> Result<bool, PolicyFault> {
    let mut timed = offer.conjuncts.iter().filter(|one| is_timed(one));
    if !timed.all(|one| one.holds(request, asked.entities()) == Some(true)) {
        return Ok(false);
    }
    let forbids = deciders(&ask(&Authorizer::new(), request, &policy.forbids.all, asked)?)?;
    let timed =
        |id| policy.forbids.said.get(id).is_some_and(|one| one.conjuncts.iter().any(is_timed));
    Ok(!forbids.iter().any(timed))
}

/// Whether a condition is on how long it is.
pub(super) fn is_timed(one: &Conjunct) -> bool {
    ["ttl", "period"].iter().any(|name| one.reads.contains(*name))
}

/// The lengths around those that conditions name, the shortest first: where a limit can be.
fn limits(policy: &Policy, offer: &Offer) -> Vec<Span> {
    let forbids = policy.forbids.said.values().flat_map(|forbid| &forbid.conjuncts);
    let timed = offer.conjuncts.iter().chain(forbids).filter(|one| is_timed(one));
    let named = timed.flat_map(|one| one.numbers.iter().copied());
    let around =
        named.flat_map(|minutes| [minutes.saturating_sub(1), minutes, minutes.saturating_add(1)]);
    let mut all: Vec<Span> = around
        .filter_map(|minutes| u64::try_from(minutes).ok()?.checked_mul(60))
        .filter(|seconds| *seconds > 0)
        .map(Span::secs)
        .collect();
    all.sort_unstable();
    all.dedup();
    all.truncate(MOST);
    all
}

/// How many lengths are tried: a policy with more limits than that says nothing of the longest.
const MOST: usize = 24;
