//! One line in the journal for each outcome: target `hallpass::audit`, stable names.

use super::outcome::Outcome;
use super::request::{Ask, Asker};
use crate::certificate::fingerprint;
use crate::certificate::names::PersonName;

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
