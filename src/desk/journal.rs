//! One line in the journal for each outcome: target `hallpass::audit`, stable names.

use super::outcome::{self, Outcome};
use super::permission::Permitted;
use super::request::{Ask, Asker};
use crate::certificate::fingerprint;
use crate::certificate::names::PersonName;
use crate::certificate::safe::Safe;

/// Writes the line of a request's outcome.
pub(super) fn request(person: Option<&PersonName>, asker: &Asker, ask: &Ask, outcome: &Outcome) {
    let person = person.map_or("-", PersonName::as_str);
    let (account, source, key) = (ask.account(), asker.source, fingerprint(&asker.key));
    let ticket = ask.ticket.as_ref().map_or("-", |id| id.as_str());
    match outcome {
        Outcome::Issued(issued) => tracing::info!(
            target: "hallpass::audit", outcome = "issued", request = %issued.request, person, account, ticket,
            serial = issued.serial, offer = %issued.offer, valid_before = %issued.valid_before,
            grant_ends = %issued.grant_ends, %source, key
        ),
        Outcome::Refused(refused) => tracing::info!(
            target: "hallpass::audit", outcome = "refused", request = %refused.request, person, account, ticket,
            reasons = refused.reasons.join("; "), %source, key
        ),
        Outcome::Fault(fault) => tracing::info!(
            target: "hallpass::audit", outcome = "fault", request = %fault.request, person, account, ticket,
            what = fault.what, %source, key
        ),
        Outcome::Status(_) => {}
    }
}

/// Writes the line of an audit over SSH: who looked, and for what, in the words that were typed.
pub(crate) fn audit(
    permitted: &Permitted,
    asker: &Asker,
    typed: &[u8],
    fault: Option<&outcome::Fault>,
) {
    let Permitted { person, policy } = permitted;
    let (source, key) = (asker.source, fingerprint(&asker.key));
    let typed = String::from_utf8_lossy(typed);
    let words = Safe(&typed);
    match fault {
        None => tracing::info!(
            target: "hallpass::audit", outcome = "ok", act = "audit", %person, %words, %policy, %source, key
        ),
        Some(fault) => tracing::info!(
            target: "hallpass::audit", outcome = "fault", request = %fault.request, act = "audit", %person,
            %words, what = fault.what, %source, key
        ),
    }
}
