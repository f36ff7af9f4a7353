//! The terms of an offer: what its annotations promise, parsed once when the policy is loaded.
//!
//! Nothing here knows Cedar: a certificate is drafted and linted from these types, and the ledger
//! keeps them as the JSON that [`Terms`] serializes to.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::certificate::cidr::{BadCidr, Cidr};
use crate::certificate::time::Span;

/// What an offer gives, in the order in which the ledger writes it.
///
/// As JSON: `{"ttl":600,"period":3600,"extensions":["permit-pty"],"source_address":[],
/// "force_command":null}`, durations in seconds, and `"delivery":["own-key"]` where that is a term.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// The longest life of a certificate (`@ttl`), never longer than the period.
    #[serde(serialize_with = "seconds")]
    pub ttl: Span,
    /// The longest a grant lasts (`@period`).
    #[serde(serialize_with = "seconds")]
    pub period: Span,
    /// What the session may do beyond running a command (`@extensions`).
    pub extensions: BTreeSet<Extension>,
    /// Where the certificate is good from (`@source_address`), in the author's order; empty is
    /// everywhere.
    pub source_address: Vec<Cidr>,
    /// The one command that runs, whatever was asked for (`@force_command`).
    pub force_command: Option<String>,
    /// The one kind of key that is certified (`@delivery`); `None` for either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// How many certificates one person gets under it (`@limit`): the desk's to count, and no part of a
    /// certificate.
    #[serde(skip)]
    pub limit: Option<Limit>,
}

/// So many within so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many, 1 to [`MOST`].
    pub count: usize,
    /// Within how long, at most [`LONGEST`].
    pub span: Span,
}

/// The most certificates that a limit of an offer counts.
pub const MOST: usize = 1000;

/// Reads `@limit`: `20 per 1h`.
pub(super) fn limit(text: &str) -> Result<Limit, BadTerm> {
    let bad = || {
        let message = format!("{text:?} is no limit");
        BadTerm::new(message, format!("write it as 20 per 1h; {MOST} and 7d at most"))
    };
    let (count, within) = text.split_once(" per ").ok_or_else(bad)?;
    let (count, span) = (count.parse().map_err(|_| bad())?, span(within)?);
    if !(1..=MOST).contains(&count) || span == Span::secs(0) {
        return Err(bad());
    }
    Ok(Limit { count, span })
}

/// Which key is certified, and so how the certificate is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// The very key that was proved; the certificate goes to standard output.
    OwnKey,
    /// A fresh key of the CA's making, which goes into the forwarded agent together with its certificate
    /// and is on no disk.
    MadeByCa,
}

impl Delivery {
    /// Both.
    pub const ALL: [Self; 2] = [Self::OwnKey, Self::MadeByCa];

    /// The word in policy and facts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnKey => "own-key",
            Self::MadeByCa => "made-by-ca",
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Terms {
    /// The first of these ways in which a certificate can be handed over under these terms.
    pub fn delivers(&self, ways: &[Delivery]) -> Option<Delivery> {
        ways.iter().copied().find(|way| self.delivery.is_none_or(|only| only == *way))
    }
}

/// Reads `@delivery`.
pub(super) fn delivery(text: &str) -> Result<Delivery, BadTerm> {
    Delivery::ALL.into_iter().find(|known| known.as_str() == text).ok_or_else(|| {
        BadTerm::new(
            format!("{text:?} is no delivery"),
            "write own-key or made-by-ca, or leave it out for either",
        )
    })
}

fn seconds<S: Serializer>(span: &Span, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(span.as_secs())
}

/// An extension of an OpenSSH certificate, in the byte order in which a certificate lists them
/// ([PROTOCOL.certkeys](https://cvsweb.openbsd.org/src/usr.bin/ssh/PROTOCOL.certkeys)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extension {
    /// X11 is forwarded.
    X11Forwarding,
    /// The agent is forwarded.
    AgentForwarding,
    /// Ports are forwarded: hops (`-J`) and editors need it.
    PortForwarding,
    /// A terminal is given.
    Pty,
    /// `~/.ssh/rc` runs.
    UserRc,
}

impl Extension {
    /// All there are, in order.
    pub const ALL: [Self; 5] =
        [Self::X11Forwarding, Self::AgentForwarding, Self::PortForwarding, Self::Pty, Self::UserRc];

    /// The name in the certificate.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X11Forwarding => "permit-X11-forwarding",
            Self::AgentForwarding => "permit-agent-forwarding",
            Self::PortForwarding => "permit-port-forwarding",
            Self::Pty => "permit-pty",
            Self::UserRc => "permit-user-rc",
        }
    }

    /// Whether it forwards something, which no forced command stands in the way of.
    pub const fn forwards(self) -> bool {
        matches!(self, Self::X11Forwarding | Self::AgentForwarding | Self::PortForwarding)
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Extension {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

/// Why an annotation's text is not a term, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadTerm {
    pub(super) message: String,
    pub(super) hint: String,
}

impl BadTerm {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for BadTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BadTerm {}

/// The period of an offer that says nothing of it.
pub(super) const DEFAULT_PERIOD: Span = Span::secs(3600);

/// The longest period: how far back a start reads the ledger for live grants.
pub const LONGEST: Span = Span::secs(7 * 86_400);

/// Reads `@ttl` or `@period`.
pub(super) fn span(text: &str) -> Result<Span, BadTerm> {
    let span: Span = text.parse().map_err(|_| {
        BadTerm::new(
            format!("{text:?} is not a length of time"),
            "write it as 90s, 5m, 1h or 1h30m",
        )
    })?;
    if span > LONGEST {
        return Err(BadTerm::new(format!("{text} is longer than 7 days"), "write 7d at most"));
    }
    Ok(span)
}

/// Reads `@extensions`: names with commas between them, each once; no name at all is none.
pub(super) fn extensions(text: &str) -> Result<BTreeSet<Extension>, BadTerm> {
    let mut all = BTreeSet::new();
    for name in items(text) {
        let Some(extension) = Extension::ALL.into_iter().find(|known| known.as_str() == name)
        else {
            let known = Extension::ALL.map(Extension::as_str).join(", ");
            let between = match name.contains(char::is_whitespace) {
                true => "write commas between them; ",
                false => "",
            };
            return Err(BadTerm::new(
                format!("{name:?} is no extension"),
                format!("{between}the extensions are {known}"),
            ));
        };
        if !all.insert(extension) {
            return Err(BadTerm::new(format!("{name} is named twice"), "name it once"));
        }
    }
    Ok(all)
}

/// Reads `@source_address`: networks with commas between them, at least one, each once.
pub(super) fn source_address(text: &str) -> Result<Vec<Cidr>, BadTerm> {
    let mut all = Vec::new();
    for item in items(text) {
        let cidr: Cidr =
            item.parse().map_err(|why: BadCidr| BadTerm::new(why.message, why.hint))?;
        if all.contains(&cidr) {
            return Err(BadTerm::new(format!("{cidr} is named twice"), "name it once"));
        }
        all.push(cidr);
    }
    if all.is_empty() {
        return Err(BadTerm::new(
            "@source_address names no network",
            "leave it out if the certificate is to be good from anywhere",
        ));
    }
    Ok(all)
}

/// Reads `@force_command`: one line that a shell of the account's will be given.
pub(super) fn force_command(text: &str) -> Result<String, BadTerm> {
    if text.trim().is_empty() {
        return Err(BadTerm::new(
            "@force_command names no command",
            "leave it out if any command may run",
        ));
    }
    if text.chars().any(char::is_control) || text.len() > 1024 {
        return Err(BadTerm::new(
            "@force_command is not one line of at most 1024 bytes",
            "put the commands into a script on the host and name that",
        ));
    }
    Ok(text.to_owned())
}

/// The parts between commas, without the spaces around them; none if there is nothing.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let empty = text.trim().is_empty();
    text.split(',').map(str::trim).filter(move |_| !empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_written_in_one_order_with_durations_in_seconds() {
        let terms = Terms {
            ttl: Span::secs(600),
            period: Span::secs(3600),
            extensions: extensions("permit-user-rc, permit-pty,permit-X11-forwarding").unwrap(),
            source_address: source_address("203.0.113.0/24, 2001:db8::/32").unwrap(),
            force_command: Some("journalctl -f".to_owned()),
            delivery: None,
            limit: limit("20 per 1h").ok(),
        };
        assert_eq!(
            serde_json::to_string(&terms).unwrap(),
            "{\"ttl\":600,\"period\":3600,\"extensions\":[\"permit-X11-forwarding\",\"permit-pty\",\
             \"permit-user-rc\"],\"source_address\":[\"203.0.113.0/24\",\"2001:db8::/32\"],\
             \"force_command\":\"journalctl -f\"}"
        );
    }

    #[test]
    fn extensions_stand_in_the_byte_order_of_their_names() {
        let mut names = Extension::ALL.map(Extension::as_str);
        names.sort_unstable();
        assert_eq!(names, Extension::ALL.map(Extension::as_str));
        assert!(Extension::ALL.is_sorted());
        assert_eq!(extensions("").unwrap(), BTreeSet::new());
    }

    #[test]
    fn networks_stand_between_commas_each_once() {
        assert!(source_address("10.0.0.0/8,10.0.0.0/8").unwrap_err().message.contains("twice"));
        assert!(source_address(" ").unwrap_err().message.contains("no network"));
        assert!(source_address("10.0.0.0/8,").is_err());
    }

    #[test]
    fn a_forced_command_is_one_line() {
        for bad in ["", "  ", "a\nb", "a\0", "a\u{1b}[2J", "a\u{9b}", &"x".repeat(1025)] {
            assert!(force_command(bad).is_err(), "{bad:?} was taken");
        }
        assert_eq!(force_command("journalctl -f").unwrap(), "journalctl -f");
    }
}
