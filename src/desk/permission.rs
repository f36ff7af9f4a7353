//! What may be done at the desk itself: whether somebody may audit, or lock something, at this moment.

use super::Desk;
use super::Stop;
use super::collect::{own_name, person_facts};
use super::holdings::not_enrolled;
use super::locking::answer;
use super::outcome::Outcome;
use super::request::Asker;
use crate::certificate::fingerprint;
use crate::certificate::names::{OfferId, PersonName};
use crate::certificate::safe::Safe;
use crate::decide::office::{Act, Matter, Permission, permits};

/// Somebody may do something: who, and by which policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permitted {
    /// Who.
    pub person: PersonName,
    /// The permit's `@id`.
    pub policy: OfferId,
}

impl Desk {
    /// Whether whoever asks may do this now. What is collected and decided here is decided once:
    /// whoever does the thing does it at once. A refusal or fault is an outcome to answer with; it has
    /// its line in the journal.
    pub fn may(&self, asker: &Asker, act: Act) -> Result<Permitted, Outcome> {
        let what = act.to_string();
        let (permitted, person) = self.permission(asker, act);
        permitted.map_err(|stop| {
            let outcome = answer(stop);
            let person = person.as_ref().map_or("-", PersonName::as_str);
            let (source, key) = (asker.source, fingerprint(&asker.key));
            let act = Safe(&what);
            match &outcome {
                Outcome::Refused(no) => tracing::info!(
                    target: "hallpass::audit", outcome = "refused", request = %no.request, person, %act,
                    reasons = no.reasons.join("; "), %source, key
                ),
                Outcome::Fault(fault) => tracing::info!(
                    target: "hallpass::audit", outcome = "fault", request = %fault.request, person, %act,
                    what = fault.what, %source, key
                ),
                _ => {}
            }
            outcome
        })
    }

    /// The same without a line in the journal; who it was, if that is known.
    pub(super) fn permission(
        &self,
        asker: &Asker,
        act: Act,
    ) -> (Result<Permitted, Stop>, Option<PersonName>) {
        let deciding = self.in_force.now();
        let person = deciding.people.owner(&asker.key).and_then(|name| deciding.people.get(name));
        let Some(person) = person else {
            return (Err(not_enrolled()), None);
        };
        let name = person.name.clone();
        if let Err(stop) = own_name(&deciding, asker, person) {
            return (Err(stop), Some(name));
        }
        if let Some(stop) = self.locked_out(&name, asker) {
            return (Err(stop), Some(name));
        }
        let now = self.clock.now();
        let matter = Matter {
            now,
            source: asker.source.ip().to_canonical(),
            person: person_facts(person, self.shifts(&deciding, person, now)),
            act,
        };
        let permitted = match permits(&deciding.policy, &matter) {
            Permission::Permitted(policy) => Ok(Permitted { person: name.clone(), policy }),
            Permission::Refused(refusal) => Err(Stop::No {
                reasons: refusal.reasons.iter().map(ToString::to_string).collect(),
                hint: refusal.hint.unwrap_or_else(|| "ssh ca help".to_owned()),
            }),
            Permission::Fault(fault) => Err(Stop::Broken {
                what: "the policy could not be evaluated",
                details: fault.to_string(),
            }),
        };
        (permitted, Some(name))
    }
}
