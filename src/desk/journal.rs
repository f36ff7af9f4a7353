//! One line in the journal for each outcome: target `hallpass::audit`, stable names.

use super::outcome::{Outcome, To};
use super::request::{Ask, Asker};
use crate::certificate::fingerprint;
use crate::certificate::names::PersonName;

/// Writes the line of a request's outcome.
pub(super) fn request(person: Option<&PersonName>, asker: &Asker, ask: &Ask, outcome: &Outcome) {
    let person = person.map_or("-", PersonName::as_str);
    let (account, source, key) = (ask.account(), asker.source, fingerprint(&asker.key));
    let ticket = ask.ticket_text();
    let ticket = ticket.as_deref().unwrap_or("-");
    match outcome {
        Outcome::Issued(issued) => {
            let delivery = match issued.to {
                To::Stdout => "stdout",
                To::StdoutAgain => "again",
                To::Agent { .. } => "agent",
            };
            for one in &issued.certificates {
                tracing::info!(
                    target: "hallpass::audit", outcome = "issued", request = %issued.request, person,
                    account = one.accounts.join(","), ticket, serial = one.serial, offer = %one.offer,
                    valid_before = %one.valid_before, grant_ends = %one.grant_ends, delivery, %source, key
                );
            }
        }
        Outcome::There(until) => tracing::info!(
            target: "hallpass::audit", outcome = "there", person, account, ticket, valid_before = %until, %source, key
        ),
        Outcome::Refused(refused) => tracing::info!(
            target: "hallpass::audit", outcome = "refused", request = %refused.request, person, account, ticket,
            reasons = refused.reasons.join("; "), %source, key
        ),
        Outcome::Fault(fault) => tracing::info!(
            target: "hallpass::audit", outcome = "fault", request = %fault.request, person, account, ticket,
            what = fault.what, %source, key
        ),
        Outcome::Status(_) | Outcome::List(..) | Outcome::Why(_) => {}
    }
}
