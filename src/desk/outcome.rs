//! What the desk answers: values, which `front::reply` puts into words.

use std::collections::BTreeSet;

use super::ended::EndedGrant;
use crate::certificate::names::{OfferId, PersonName, RequestId};
use crate::certificate::time::UnixTime;

/// The answer to a command.
#[derive(Debug)]
pub enum Outcome {
    /// A certificate.
    Issued(Box<Issued>),
    /// It is in the agent already, and good until then.
    There(UnixTime),
    /// No, and why: the person's to mend.
    Refused(Refused),
    /// Something broke: ours to mend. The id finds the details in the journal.
    Fault(Fault),
    /// Who one is and what one holds.
    Status(Box<Status>),
    /// One's live grants, and those that ended before their time.
    List(Vec<LiveGrant>, Vec<EndedGrant>, UnixTime),
    /// Why a login may fail.
    Why(Box<Why>),
}

/// What was issued.
#[derive(Debug)]
pub struct Issued {
    /// The request; of a further certificate the one that its grant was made for.
    pub request: RequestId,
    /// The certificates: one for each offer, and at least one. On standard output there is one.
    pub certificates: Vec<Issue>,
    /// Where they went.
    pub to: To,
    /// What `ssh` is to be given, as typed.
    pub typed: String,
    /// Remarks: what was clipped, what is missing.
    pub notes: Vec<String>,
}

/// Where certificates went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Standard output.
    Stdout,
    /// Standard output; it is one that was issued before.
    StdoutAgain,
    /// The forwarded agent, which showed so many identities before.
    Agent {
        /// How many.
        identities: u32,
    },
}

/// One certificate.
#[derive(Debug, Clone)]
pub struct Issue {
    /// The request that its grant was made for.
    pub request: RequestId,
    /// The serial.
    pub serial: u64,
    /// The certificate as one line of OpenSSH's.
    pub certificate: String,
    /// What it opens.
    pub accounts: Vec<String>,
    /// From when.
    pub issued: UnixTime,
    /// The first second after it.
    pub valid_before: UnixTime,
    /// When the grant ends.
    pub grant_ends: UnixTime,
    /// Whether the grant was there before.
    pub renewal: bool,
    /// The offer that decided.
    pub offer: OfferId,
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
    /// Those that ended before their time, the latest first.
    pub ended: Vec<EndedGrant>,
    /// When this was read.
    pub now: UnixTime,
}

/// A live grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveGrant {
    /// The request.
    pub request: RequestId,
    /// What it opens, each `LOGIN@HOST`.
    pub accounts: Vec<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// The tracker whose ticket it lives and dies with: of the ticket, unless that was closed already when
    /// the grant was made.
    pub bound: Option<String>,
    /// The reason, as typed.
    pub reason: Option<String>,
    /// When it was made.
    pub began: UnixTime,
    /// When it ends.
    pub ends: UnixTime,
    /// The offer.
    pub offer: OfferId,
    /// How many certificates were issued from it.
    pub certificates: u64,
    /// The last of them.
    pub last: Option<Last>,
}

/// The last certificate from a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// Its serial.
    pub serial: u64,
    /// The fingerprint of the key it certifies.
    pub subject: String,
    /// `stdout` or `agent`.
    pub delivery: String,
    /// The first second after it, if it was signed at once.
    pub valid_before: UnixTime,
}

/// What is known about a login that may fail.
#[derive(Debug)]
pub struct Why {
    /// The account, canonical.
    pub account: String,
    /// As it was typed.
    pub typed: String,
    /// Live grants that cover it.
    pub grants: Vec<LiveGrant>,
    /// Grants that covered it and ended before their time, the latest first.
    pub ended: Vec<EndedGrant>,
    /// Live grants for other accounts on that host.
    pub elsewhere: Vec<LiveGrant>,
    /// The key that was proved on this connection.
    pub key: String,
    /// Whether some offer could give it.
    pub offered: bool,
    /// Whether the host's keys are known, so that an agent can be bound to it.
    pub keys_known: bool,
    /// When this was read.
    pub now: UnixTime,
}

/// A host that a person may ask for.
#[derive(Debug, Clone)]
pub struct Reach {
    /// Name, aliases, addresses.
    pub names: Vec<String>,
    /// The accounts.
    pub logins: BTreeSet<String>,
    /// The hop on the way, `LOGIN@HOST`.
    pub via: Option<String>,
}
