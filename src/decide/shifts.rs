//! Shifts: an offer that is somebody's only because of one ends with it.

use cedar_policy::{Authorizer, Decision as Answer};

use super::cedar::{Asked, Words};
use super::facts::Facts;
use super::grant::{Bound, Given};
use super::policy::{Offer, Policy};
use super::{PolicyFault, ask, deciders};
use crate::certificate::names::GroupName;
use crate::certificate::time::UnixTime;

/// The same request, after a shift.
pub(super) struct After {
    ends: UnixTime,
    /// The group whose shift ends then; the first of several.
    group: GroupName,
    /// Without that shift, and without those that end before.
    facts: Facts,
}

/// The request after each of the person's shifts, the one that ends first first.
pub(super) fn after(facts: &Facts) -> Vec<After> {
    let mut ends: Vec<UnixTime> = facts.person.shifts.values().copied().collect();
    ends.sort_unstable();
    ends.dedup();
    let after = |end: UnixTime| {
        let (group, _) = facts.person.shifts.iter().find(|(_, ends)| **ends == end)?;
        let mut facts = facts.clone();
        facts.person.shifts.retain(|_, ends| *ends > end);
        Some(After { ends: end, group: group.clone(), facts })
    };
    ends.into_iter().filter_map(after).collect()
}

/// The requests in Cedar's words.
pub(super) struct Shifts<'a>(Vec<(&'a After, Asked<'a>)>);

impl<'a> Shifts<'a> {
    pub(super) fn of(words: &'a Words, after: &'a [After]) -> Result<Self, PolicyFault> {
        let asked = |one: &'a After| Asked::new(words, &one.facts).map(|asked| (one, asked));
        let all = after.iter().map(asked).collect::<Result<_, _>>();
        all.map(Self).map_err(|what| PolicyFault { policy: None, what })
    }

    /// Ends a grant with the first shift after which the offer would not be permitted any more, whether it
    /// is the offer that names the group or the exception of a forbid.
    pub(super) fn bound(
        &self,
        policy: &Policy,
        offer: &Offer,
        facts: &Facts,
        asked: &Asked<'_>,
        given: &mut Given,
    ) -> Result<(), PolicyFault> {
        if self.0.is_empty() || !permits(policy, offer, asked, given)? {
            return Ok(());
        }
        for (after, asked) in &self.0 {
            if !permits(policy, offer, asked, given)? {
                given.end_with(after.ends, || Bound::Shift(after.group.clone()), facts);
                break;
            }
        }
        Ok(())
    }
}

/// Whether an offer permits and nothing forbids.
fn permits(
    policy: &Policy,
    offer: &Offer,
    asked: &Asked<'_>,
    given: &Given,
) -> Result<bool, PolicyFault> {
    if !offer.scope.matches(asked) {
        return Ok(false);
    }
    let authorizer = Authorizer::new();
    let request = asked
        .under(&offer.terms, given.ttl, given.period)
        .map_err(|what| PolicyFault { policy: None, what })?;
    Ok(ask(&authorizer, &request, &offer.alone, asked)?.decision() == Answer::Allow
        && deciders(&ask(&authorizer, &request, &policy.forbids.all, asked)?)?.is_empty())
}
