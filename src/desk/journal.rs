//! One line in the journal for each outcome: target `hallpass::audit`, stable names.

use super::host_certificate::NotRecorded;
use super::outcome::{self, Outcome, To};
use super::permission::Permitted;
use super::request::{Ask, Asker};
use crate::certificate::fingerprint;
use crate::certificate::names::PersonName;
use crate::certificate::safe::Safe;
use crate::host::sign::HostCertificate;
use crate::ledger::facts::Author;

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

/// Writes the line of a host certificate that an operator of this machine is about to sign.
pub(crate) fn host_certificate(
    author: &Author,
    says: &HostCertificate,
    recorded: &Result<u64, NotRecorded>,
) {
    let HostCertificate { host, subject, valid_before, .. } = says;
    let (uid, claims) = (author.uid, author.claims.as_deref().unwrap_or("-"));
    let (outcome, why) = match recorded {
        Ok(entry) => {
            tracing::info!(
                target: "hallpass::audit", outcome = "ok", act = "host-certificate", %host, subject,
                %valid_before, entry, uid, claims
            );
            return;
        }
        Err(NotRecorded::Refused(why)) => ("refused", why.to_string()),
        Err(NotRecorded::Fault(why)) => ("fault", why.to_string()),
    };
    tracing::info!(
        target: "hallpass::audit", outcome, act = "host-certificate", %host, subject, why, uid, claims
    );
}
