//! The facts of an entry: UTF-8 JSON that is written once and then kept, exported and hashed as
//! bytes. Nothing ever re-encodes it.
//!
//! The first members are always `"v":1,"kind":...,"salt":...`; the salt is 16 random bytes in
//! base64, so that the hash in a leaf tells nobody what short facts said.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::leaf::Kind;
use super::tree::{Hash, base64, unbase64};
use crate::certificate::cidr::Cidr;
use crate::certificate::names::{FreezeName, OfferId, PersonName, Principal, RequestId, TagName};
use crate::certificate::safe::Safe;
use crate::certificate::time::UnixTime;

/// The most bytes the facts of one entry may have.
pub const MAX: usize = 64 * 1024;

/// What every entry's facts begin with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    /// The version of the facts' format: 1.
    pub v: u8,
    /// The same word as in the leaf.
    pub kind: Kind,
    /// 16 random bytes in base64.
    pub salt: String,
    /// When the desk decided.
    pub time: UnixTime,
    /// The node that wrote it.
    pub node: String,
}

#[derive(Serialize)]
struct Whole<'a, B> {
    #[serde(flatten)]
    header: Header,
    #[serde(flatten)]
    body: &'a B,
}

/// Writes the facts of an entry. `None` if they would be longer than [`MAX`].
pub fn write<B: Serialize>(
    kind: Kind,
    salt: [u8; 16],
    time: UnixTime,
    node: &str,
    body: &B,
) -> Option<Vec<u8>> {
    let header = Header { v: 1, kind, salt: base64(&salt), time, node: node.to_owned() };
    let bytes = serde_json::to_vec(&Whole { header, body }).ok()?;
    (bytes.len() <= MAX).then_some(bytes)
}

/// The terms under which a grant was made, as the offer gave them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The longest life of a certificate, in seconds.
    pub ttl: u64,
    /// The longest grant, in seconds.
    pub period: u64,
    /// The extensions a certificate may carry.
    pub extensions: BTreeSet<String>,
    /// The addresses a certificate may be used from; empty for any.
    pub source_address: Vec<Cidr>,
    /// The one command a certificate may run.
    pub force_command: Option<String>,
    /// The one kind of key that is certified, `own-key` or `made-by-ca`, where that is a term.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
}

/// A ticket as its tracker showed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The tracker's name.
    pub tracker: String,
    /// The exact id.
    pub id: String,
    /// `open`, `pending` or `closed`.
    pub state: String,
    /// The state in the tracker's own word.
    pub said: String,
    /// The title.
    pub title: String,
    /// The person it is assigned to.
    pub assignee: Option<String>,
    /// The priority.
    pub priority: Option<String>,
    /// The labels.
    pub labels: Vec<String>,
    /// The hosts it names.
    pub hosts: Vec<String>,
    /// From when until when the work may be done, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<[UnixTime; 2]>,
}

/// Who was granted what and why: common to a `grant` and to each `certificate` under it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Granted {
    /// The request.
    pub request: RequestId,
    /// Who asked.
    pub person: PersonName,
    /// `person` or `service`.
    pub person_kind: String,
    /// Where the connection came from.
    pub source: String,
    /// The fingerprint of the key that was proved, `SHA256:...`.
    pub key: String,
    /// The principals.
    #[serde(with = "principals")]
    pub accounts: Vec<Principal>,
    /// `LOGIN@HOST` of each, where the principals are bare account names and do not say the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// The ticket, as seen.
    pub ticket: Option<Ticket>,
    /// The reason, as typed.
    pub reason: Option<String>,
    /// The offer that decided.
    pub offer: OfferId,
    /// Its terms.
    pub terms: Terms,
    /// The length of the grant in seconds.
    pub period: u64,
    /// When the grant ends.
    pub grant_ends: UnixTime,
    /// What it ends with, where that is before its time: `the window of OPS-7`, `your shift in on-call-db`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_with: Option<String>,
    /// The votes that were spent, with their signatures.
    pub votes: Vec<serde_json::Value>,
    /// SHA-256 of the policy that decided.
    pub policy: Hash,
    /// SHA-256 of the people known then.
    pub people: Hash,
    /// SHA-256 of the hosts known then.
    pub hosts: Hash,
}

/// The facts of a `certificate`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Certificate {
    /// The grant it is issued from.
    #[serde(flatten)]
    pub granted: Granted,
    /// The certificate's life in seconds.
    pub ttl: u64,
    /// The fingerprint of the key that is certified.
    pub subject: String,
    /// `own-key` for the key that was proved, `made-by-ca` for a fresh one.
    pub subject_kind: String,
    /// How it is handed over: `stdout` or `agent`.
    pub delivery: String,
}

/// The facts of a `refusal`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refusal {
    /// The request that was refused; `None` for a count.
    pub request: Option<RequestId>,
    /// Who asked.
    pub person: PersonName,
    /// Where the connection came from.
    pub source: String,
    /// What was asked for, as typed.
    pub account: String,
    /// The ticket's id, as typed.
    pub ticket: Option<String>,
    /// Why not, in the words the person saw.
    pub reasons: Vec<String>,
    /// How many refusals this entry stands for: 1, or a count of those that have no entry of their own.
    pub count: u64,
}

/// The facts of `policy`, `people` and `hosts`: which text decides from here on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Text {
    /// SHA-256 of the text.
    pub sha256: Hash,
    /// Its length in bytes.
    pub bytes: u64,
    /// Who had it read; `None` for a start or a signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// What the change is called where it was agreed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// Who signed it, where that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

/// A signature over everything that decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Who, as the file of signers names them.
    pub by: String,
    /// The fingerprint of the key, `SHA256:...`.
    pub key: String,
    /// SHA-256 of the list of sums that was signed.
    pub list: Hash,
    /// The change's number: none that is smaller decides after it.
    pub number: u64,
}

/// An operator, who ordered something on the CA's own machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The user id, which the kernel told.
    pub uid: u32,
    /// The name of that user on the CA's machine.
    pub user: Option<String>,
    /// Whom the client said it speaks for (`SUDO_USER`): a claim that nothing proves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<String>,
}

/// The facts of a `lost` entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lost {
    /// The serial that its certificate may have had: never given again.
    pub serial: u64,
}

/// The facts of a `succession`: the ledger's next generation begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Succession {
    /// The origin before.
    pub old_origin: String,
    /// The last checkpoint of that origin that is known, if one is.
    pub old_checkpoint: Option<String>,
    /// The verifier key from here on; its name is the origin.
    pub new_vkey: String,
    /// The first index that is lost.
    pub lost_from: u64,
    /// The first index after it that is not.
    pub lost_to: u64,
    /// Why, in the operator's words.
    pub reason: String,
}

/// The facts of a `key` entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyUse {
    /// What the key is for: `user-ca`, `bare-ca`, `host-ca` or `signer`.
    pub role: String,
    /// `promoted` (it signs from here on) or `retired` (it is not trusted any more).
    pub change: String,
    /// The public key's line, or the verifier key.
    pub key: String,
}

/// The facts of a `break-glass`: a certificate of the emergency key, told afterwards.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BreakGlass {
    /// The certificate, one line of OpenSSH's.
    pub certificate: String,
    /// Its key ID, as whoever signed it wrote it.
    pub key_id: String,
    /// What it opened.
    pub principals: Vec<String>,
    /// From when.
    pub valid_after: UnixTime,
    /// Until when.
    pub valid_before: UnixTime,
    /// Why, in the operator's words.
    pub reason: String,
}

/// The facts of a `lock`: something is locked from here on, or a lock is lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockChange {
    /// `person`, `key`, `host`, `tag` or `everything`.
    pub target: String,
    /// Its name; empty for everything.
    pub name: String,
    /// Whether it is locked from here on.
    pub locked: bool,
    /// Who did it over SSH.
    pub person: Option<PersonName>,
    /// The fingerprint of the key that was proved, where it was over SSH.
    pub key: Option<String>,
    /// Where the connection came from.
    pub source: Option<String>,
    /// Who did it on the CA's machine.
    pub operator: Option<Author>,
    /// Why, as typed.
    pub reason: String,
}

/// The facts of an `end`: a grant gives nothing more from here on, before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The request.
    pub request: RequestId,
    /// Whose grant it was.
    pub person: PersonName,
    /// What it opened, each `LOGIN@HOST`.
    pub accounts: Vec<String>,
    /// The offer that it was made by.
    pub offer: OfferId,
    /// When it would have ended by itself.
    pub grant_ends: UnixTime,
    /// Its ticket, as it was seen then.
    pub ticket: Option<LastSeen>,
    /// Why: [`TICKET_CLOSED`] or [`TICKET_GONE`]. The words are final; the list grows by addition.
    pub why: String,
}

/// A grant ended because its ticket was closed.
pub const TICKET_CLOSED: &str = "ticket-closed";

/// A grant ended because its ticket is in its tracker no more.
pub const TICKET_GONE: &str = "ticket-gone";

/// A ticket as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastSeen {
    /// The tracker's name.
    pub tracker: String,
    /// The exact id.
    pub id: String,
    /// `closed`, or `absent` if there was no such ticket any more.
    pub state: String,
    /// The state in the tracker's own word, if there was one.
    pub said: Option<String>,
    /// The title, if there was one.
    pub title: Option<String>,
}

impl Ended {
    /// Why, as a sentence of printable ASCII: `ticket OPS-7 is resolved`.
    pub fn because(&self) -> String {
        let ticket = self.ticket.as_ref().map_or("-", |ticket| ticket.id.as_str());
        let said = self.ticket.as_ref().and_then(|ticket| ticket.said.as_deref());
        match self.why.as_str() {
            TICKET_CLOSED => {
                format!("ticket {} is {}", Safe(ticket), Safe(said.unwrap_or("closed")))
            }
            TICKET_GONE => format!("there is no ticket {} any more", Safe(ticket)),
            // Of a version that knows more reasons than this one.
            why => Safe(why).to_string(),
        }
    }
}

impl LockChange {
    /// Who did it, in words: `ana`, `operator root`.
    pub fn who(&self) -> String {
        who(self.person.as_ref(), self.operator.as_ref())
    }
}

/// Who did something, in words.
fn who(person: Option<&PersonName>, operator: Option<&Author>) -> String {
    match (person, operator) {
        (Some(person), _) => person.to_string(),
        (None, Some(Author { user: Some(user), claims: None, .. })) => format!("operator {user}"),
        (None, Some(Author { user: Some(user), claims: Some(name), .. })) => {
            format!("operator {user} for {name}")
        }
        (None, Some(Author { uid, .. })) => format!("operator {uid}"),
        (None, None) => "nobody".to_owned(),
    }
}

/// The facts of a `freeze`: a freeze stands from here on, or is lifted. What it stops is the policy's to
/// say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeChange {
    /// Its name.
    pub name: FreezeName,
    /// Whether it stands from here on.
    pub frozen: bool,
    /// The tags whose hosts it is over; none for every host.
    pub tags: BTreeSet<TagName>,
    /// When it ends by itself, if it does.
    pub until: Option<UnixTime>,
    /// Who did it over SSH.
    pub person: Option<PersonName>,
    /// The fingerprint of the key that was proved, where it was over SSH.
    pub key: Option<String>,
    /// Where the connection came from.
    pub source: Option<String>,
    /// Who did it on the CA's machine.
    pub operator: Option<Author>,
    /// The webhook that did it, by its name in `ca.toml`.
    pub webhook: Option<String>,
    /// Why, as typed or sent.
    pub reason: String,
}

impl FreezeChange {
    /// Who did it, in words: `ana`, `operator root`, `webhook alerts`.
    pub fn who(&self) -> String {
        match &self.webhook {
            Some(name) => format!("webhook {name}"),
            None => who(self.person.as_ref(), self.operator.as_ref()),
        }
    }
}

/// Principals as their text.
mod principals {
    use super::Principal;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(all: &[Principal], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(all.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Principal>, D::Error> {
        let all = Vec::<String>::deserialize(d)?;
        all.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
    }
}

/// What the signer compares with a certificate: read strictly where it matters, whatever else the
/// facts hold.
#[derive(Debug, Clone, Deserialize)]
pub struct SignerView {
    /// Must be 1.
    pub v: u8,
    /// Must be `certificate`.
    pub kind: Kind,
    /// Must be about now.
    pub time: UnixTime,
    /// Must be the person in the key ID.
    pub person: PersonName,
    /// Must be the request in the key ID.
    pub request: RequestId,
    /// Must be the principals.
    #[serde(with = "principals")]
    pub accounts: Vec<Principal>,
    /// Must be the ticket in the key ID.
    pub ticket: Option<TicketView>,
    /// Bound what the certificate may carry.
    pub terms: Terms,
    /// Bounds its life.
    pub ttl: u64,
    /// Must be the fingerprint of the certified key.
    pub subject: String,
    /// Must be the end in the key ID.
    pub grant_ends: UnixTime,
}

/// The ticket, as far as the signer compares it.
#[derive(Debug, Clone, Deserialize)]
pub struct TicketView {
    /// The exact id.
    pub id: crate::certificate::names::TicketId,
}

impl SignerView {
    /// Reads facts; an error names what is missing, doubled or malformed.
    pub fn parse(facts: &[u8]) -> Result<Self, String> {
        // As text: a reader that skips a member does not look whether it is UTF-8.
        let text = std::str::from_utf8(facts).map_err(|_| "the facts are not UTF-8")?;
        let start = text.strip_prefix("{\"v\":1,\"kind\":\"certificate\",\"salt\":\"");
        let salt = start.and_then(|rest| rest.split_once('"')).and_then(|(salt, _)| unbase64(salt));
        if salt.is_none_or(|salt| salt.len() != 16) {
            return Err("the facts do not begin as a certificate's, version 1".to_owned());
        }
        let view: Self = serde_json::from_str(text).map_err(|why| why.to_string())?;
        if view.v != 1 || view.kind != Kind::Certificate {
            return Err("not the facts of a certificate, version 1".to_owned());
        }
        Ok(view)
    }
}
