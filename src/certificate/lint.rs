//! The lint: what no certificate may be, checked on its final bytes by the ledger's writer and, with
//! the same function and its own keys, limits and clock, by the signer.

use std::fmt;

use ssh_encoding::Decode as _;
use ssh_key::public::KeyData;

use super::blob::{OptionField, Tbs, USER};
use super::cidr::Cidr;
use super::key_id::KeyId;
use super::names::Principal;
use super::subject::{Unfit, fit};
use super::time::{Span, UnixTime};
use super::wire::{Malformed, Reader};

/// The most bytes a to-be-signed certificate may have.
pub const MAX: usize = 8 * 1024;

/// How far before either clock a certificate may start, in seconds.
pub const BACKDATE: Span = Span::secs(60);

/// How far after either clock a certificate may start, in seconds.
const AHEAD: Span = Span::secs(5);

/// Every extension a certificate may carry besides the proof.
pub const EXTENSIONS: [&str; 5] = [
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
];

/// The keys of this CA, as blobs: the two that sign, and all that may never be certified.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Signs `login@host`.
    pub user_ca: Vec<u8>,
    /// Signs bare account names.
    pub bare_ca: Vec<u8>,
    /// CA keys, ledger, signer and host keys: never a subject.
    pub never_subjects: Vec<Vec<u8>>,
}

/// What one certificate may say: what was granted, and the hard limits.
#[derive(Debug, Clone)]
pub struct Allowance<'a> {
    /// The clock of whoever lints, read once for the batch.
    pub now: UnixTime,
    /// When it was decided, as its facts say. The certificate has to fit both clocks, so that what is
    /// signed now is also what an auditor finds right in the ledger later.
    pub decided: UnixTime,
    /// The entry's index in the ledger.
    pub index: u64,
    /// What its key ID must be.
    pub key_id: &'a KeyId,
    /// The principals it must name, in this order.
    pub principals: &'a [Principal],
    /// The fingerprint of the key it must certify.
    pub subject: &'a str,
    /// The longest life from now on.
    pub ttl: Span,
    /// The most principals.
    pub max_principals: usize,
    /// The extensions it may carry, at most.
    pub extensions: &'a std::collections::BTreeSet<String>,
    /// The addresses it must be bound to; empty for none.
    pub source_address: &'a [Cidr],
    /// The command it must be bound to.
    pub force_command: Option<&'a str>,
}

/// What is wrong with a certificate. None of these is a person's doing: a flaw is a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// The bytes.
    Malformed(Malformed),
    /// Longer than [`MAX`].
    TooLong,
    /// Not a user certificate.
    NotUser,
    /// The serial is not the index plus one, or 0, or above 2^63 - 1.
    Serial,
    /// The nonce is not 32 bytes.
    Nonce,
    /// The key ID breaks its grammar or says another thing than was granted.
    KeyId,
    /// No principals, too many, doubled, `*`, outside the grammar, or not those that were granted.
    Principals,
    /// A bare account name under the user CA, or `login@host` under the bare one.
    Width,
    /// Signed by neither pinned CA key.
    Ca,
    /// It starts too early or too late, or ends before it starts.
    Start,
    /// It lives longer than was granted, than the limit, or than the grant.
    Life,
    /// A critical option that was not granted, or lacks, or is malformed.
    Critical(String),
    /// An extension that was not granted or is malformed.
    Extension(String),
    /// Options not sorted or not unique.
    Order,
    /// The reserved field is not empty.
    Reserved,
    /// The certified key.
    Subject(Unfit),
    /// The certified key is one of this CA's own keys.
    OwnKey,
    /// The certified key is not the one that was granted.
    OtherKey,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "{why}"),
            Self::TooLong => write!(f, "longer than {MAX} bytes"),
            Self::NotUser => write!(f, "not a user certificate"),
            Self::Serial => write!(f, "the serial is not the index plus one"),
            Self::Nonce => write!(f, "the nonce is not 32 bytes"),
            Self::KeyId => write!(f, "the key ID is not what was granted"),
            Self::Principals => write!(f, "the principals are not those that were granted"),
            Self::Width => {
                write!(f, "bare account names and login@host are signed by different CAs")
            }
            Self::Ca => write!(f, "the CA key is not one of the pinned ones"),
            Self::Start => write!(f, "it starts too early or too late"),
            Self::Life => write!(f, "it lives too long"),
            Self::Critical(name) => write!(f, "critical option {name:?} is not what was granted"),
            Self::Extension(name) => write!(f, "extension {name:?} was not granted"),
            Self::Order => write!(f, "options are not sorted and unique"),
            Self::Reserved => write!(f, "the reserved field is not empty"),
            Self::Subject(why) => write!(f, "{why}"),
            Self::OwnKey => write!(f, "the certified key is one of the CA's own keys"),
            Self::OtherKey => write!(f, "the certified key is not the one that was granted"),
        }
    }
}

impl std::error::Error for Flaw {}

impl From<Malformed> for Flaw {
    fn from(why: Malformed) -> Self {
        Self::Malformed(why)
    }
}

/// Checks the to-be-signed bytes of a certificate, its proof not yet in it.
pub fn lint(tbs: &[u8], keys: &Keys, may: &Allowance<'_>) -> Result<(), Flaw> {
    if tbs.len() > MAX {
        return Err(Flaw::TooLong);
    }
    let view = Tbs::parse(tbs)?;
    if view.kind != USER {
        return Err(Flaw::NotUser);
    }
    if Some(view.serial) != may.index.checked_add(1) || view.serial > i64::MAX.unsigned_abs() {
        return Err(Flaw::Serial);
    }
    if view.nonce.len() != 32 {
        return Err(Flaw::Nonce);
    }
    let key_id: KeyId = view.key_id.parse().map_err(|_| Flaw::KeyId)?;
    if key_id != *may.key_id {
        return Err(Flaw::KeyId);
    }
    principals(&view, keys, may)?;
    life(&view, &key_id, may)?;
    critical(&view.critical, may)?;
    extensions(&view.extensions, may)?;
    if !view.reserved.is_empty() {
        return Err(Flaw::Reserved);
    }
    subject(&view, keys, may)
}

fn principals(view: &Tbs<'_>, keys: &Keys, may: &Allowance<'_>) -> Result<(), Flaw> {
    let names: Result<Vec<Principal>, _> =
        view.principals.iter().map(|text| text.parse()).collect();
    let names = names.map_err(|_| Flaw::Principals)?;
    let unique: std::collections::BTreeSet<&Principal> = names.iter().collect();
    if names.is_empty() || names.len() > may.max_principals || unique.len() != names.len() {
        return Err(Flaw::Principals);
    }
    if names != may.principals {
        return Err(Flaw::Principals);
    }
    // The two CAs differ (checked where their keys are loaded), so exactly one branch can hold.
    let bare = if view.ca == keys.user_ca {
        false
    } else if view.ca == keys.bare_ca {
        true
    } else {
        return Err(Flaw::Ca);
    };
    if names.iter().all(|name| name.is_bare() == bare) { Ok(()) } else { Err(Flaw::Width) }
}

fn life(view: &Tbs<'_>, key_id: &KeyId, may: &Allowance<'_>) -> Result<(), Flaw> {
    for clock in [may.now, may.decided] {
        if view.valid_after < clock.minus(BACKDATE) || view.valid_after > clock.plus(AHEAD) {
            return Err(Flaw::Start);
        }
        // A certificate that waited is shorter, never longer.
        if view.valid_before > clock.plus(may.ttl) {
            return Err(Flaw::Life);
        }
    }
    if view.valid_before <= view.valid_after {
        return Err(Flaw::Start);
    }
    // What reads as the end of time may stand for forever, which is no time to end at.
    if view.valid_before > key_id.end || view.valid_before == UnixTime::MAX {
        return Err(Flaw::Life);
    }
    Ok(())
}

fn sorted(options: &[OptionField<'_>]) -> Result<(), Flaw> {
    let ordered = options.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b));
    if ordered { Ok(()) } else { Err(Flaw::Order) }
}

fn critical(options: &[OptionField<'_>], may: &Allowance<'_>) -> Result<(), Flaw> {
    sorted(options)?;
    let mut wanted = wanted_critical(may.force_command, may.source_address);
    for (name, data) in options {
        let flaw = || Flaw::Critical((*name).to_owned());
        let mut r = Reader::new(data);
        let value = r.text("option data").map_err(|_| flaw())?;
        r.end("option data").map_err(|_| flaw())?;
        let at =
            wanted.iter().position(|(want, is)| want == name && is == value).ok_or_else(flaw)?;
        wanted.remove(at);
    }
    match wanted.first() {
        Some((missing, _)) => Err(Flaw::Critical((*missing).to_owned())),
        None => Ok(()),
    }
}

/// The critical options that these terms ask for, sorted by name.
pub fn wanted_critical(
    force_command: Option<&str>,
    source_address: &[Cidr],
) -> Vec<(&'static str, String)> {
    let mut wanted = Vec::new();
    if let Some(command) = force_command {
        wanted.push(("force-command", command.to_owned()));
    }
    if !source_address.is_empty() {
        let blocks: Vec<String> = source_address.iter().map(ToString::to_string).collect();
        wanted.push(("source-address", blocks.join(",")));
    }
    wanted
}

fn extensions(options: &[OptionField<'_>], may: &Allowance<'_>) -> Result<(), Flaw> {
    sorted(options)?;
    for (name, data) in options {
        let known = EXTENSIONS.contains(name) && may.extensions.contains(*name) && data.is_empty();
        // A forced command that can still forward ports is not one: sshd does not put the two together.
        let loose = may.force_command.is_some() && name.ends_with("-forwarding");
        if !known || loose {
            return Err(Flaw::Extension((*name).to_owned()));
        }
    }
    Ok(())
}

fn subject(view: &Tbs<'_>, keys: &Keys, may: &Allowance<'_>) -> Result<(), Flaw> {
    let mut blob = view.subject.as_slice();
    let key = KeyData::decode(&mut blob).map_err(|_| Flaw::Malformed(Malformed("subject key")))?;
    if !blob.is_empty() || super::blob::key_blob(&key)? != view.subject {
        return Err(Flaw::Malformed(Malformed("subject key")));
    }
    fit(&key).map_err(Flaw::Subject)?;
    let own = [&keys.user_ca, &keys.bare_ca].into_iter().chain(&keys.never_subjects);
    if own.into_iter().any(|blob| *blob == view.subject) {
        return Err(Flaw::OwnKey);
    }
    if super::fingerprint(&key) == may.subject { Ok(()) } else { Err(Flaw::OtherKey) }
}
