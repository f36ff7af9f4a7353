//! What the desk answers: values, which `front::reply` puts into words.

use crate::certificate::names::{OfferId, PersonName, RequestId};
use crate::certificate::time::{Span, UnixTime};

/// The answer to a command.
#[derive(Debug)]
pub enum Outcome {
    /// A certificate.
    Issued(Box<Issued>),
    /// No, and why: the person's to mend.
    Refused(Refused),
    /// Something broke: ours to mend. The id finds the details in the journal.
    Fault(Fault),
    /// Who one is and what one holds.
    Status(Status),
}

/// A certificate that was issued.
#[derive(Debug)]
pub struct Issued {
    /// The request.
    pub request: RequestId,
    /// The serial.
    pub serial: u64,
    /// The certificate as one line of OpenSSH's.
    pub certificate: String,
    /// What it opens.
    pub accounts: Vec<String>,
    /// What was typed, which is what `ssh` is to be given.
    pub typed: String,
    /// Its life.
    pub ttl: Span,
    /// The first second after it.
    pub valid_before: UnixTime,
    /// When the grant ends.
    pub grant_ends: UnixTime,
    /// The offer that decided.
    pub offer: OfferId,
    /// Remarks: what was clipped, what is missing.
    pub notes: Vec<String>,
}

/// A refusal.
#[derive(Debug)]
pub struct Refused {
    /// The request.
    pub request: RequestId,
    /// Why not, the most useful first.
    pub reasons: Vec<String>,
    /// What to do next.
    pub hint: String,
}

/// A fault.
#[derive(Debug)]
pub struct Fault {
    /// The request, by which the journal is searched.
    pub request: RequestId,
    /// What kind of thing broke, in a few words that give nothing away.
    pub what: &'static str,
}

/// Who one is and what one holds.
#[derive(Debug)]
pub struct Status {
    /// The person.
    pub person: PersonName,
    /// The fingerprint of the key that was proved.
    pub key: String,
    /// The type of that key.
    pub key_type: String,
    /// The locks on this person, this key and everything, a sentence each.
    pub locks: Vec<String>,
    /// Live grants, those that end first first.
    pub grants: Vec<LiveGrant>,
    /// When this was read.
    pub now: UnixTime,
}

/// A live grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveGrant {
    /// The request.
    pub request: RequestId,
    /// What it opens.
    pub accounts: Vec<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// When it ends.
    pub ends: UnixTime,
    /// The offer.
    pub offer: OfferId,
}
