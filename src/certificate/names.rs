//! The names that may stand in a certificate, each parsed once and never checked again.
//!
//! Every grammar here is ASCII, lower case where a name is compared, without spaces, quotes, commas
//! or shell characters: sshd expands `%u` and `%i` "without quoting or escaping" (`sshd_config(5)`,
//! TOKENS), and a comma in a principal once joined two of them (CVE-2026-35414). The signer, the
//! desk and the configuration parse with the same functions.

use std::fmt;
use std::str::FromStr;

/// Why a text is not a name: whose rule it broke, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadName {
    what: &'static str,
    rule: &'static str,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {}", self.what, self.rule)
    }
}

impl std::error::Error for BadName {}

/// Defines a name: a `String` that went through a grammar, with the usual traits.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $grammar:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                let grammar: fn(&str) -> bool = $grammar;
                if grammar(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(BadName { what: $what, rule: $rule })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(|why| serde::de::Error::custom(format!("{text:?} is {why}")))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
    };
}

/// `[a-z0-9][a-z0-9._-]{0,62}`: the one grammar of people, accounts, hosts, groups and tags.
fn plain(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
}

name!(
    /// A person or a service, as `people.toml` names them.
    PersonName, "a person's name", "up to 63 of a-z 0-9 . _ - and starts with a letter or digit", plain
);
name!(
    /// An account on a server.
    Login, "an account name", "up to 63 of a-z 0-9 . _ - and starts with a letter or digit", plain
);
name!(
    /// A host's canonical name (or a pool's).
    HostName, "a host name", "up to 63 of a-z 0-9 . _ - and starts with a letter or digit", plain
);
name!(
    /// A group of people.
    GroupName, "a group", "up to 63 of a-z 0-9 . _ - and starts with a letter or digit", plain
);
name!(
    /// A tag of hosts.
    TagName, "a tag", "up to 63 of a-z 0-9 . _ - and starts with a letter or digit", plain
);
name!(
    /// Named hours of `hours.toml`.
    HoursName, "hours", "up to 63 of a-z 0-9 . _ - and starts with a letter or digit", plain
);
name!(
    /// A freeze.
    FreezeName, "a freeze's name", "up to 63 of a-z 0-9 . _ - and starts with a letter or digit", plain
);
name!(
    /// An offer's `@id`.
    OfferId, "an offer's id", "up to 63 of a-z 0-9 . _ - and starts with a letter or digit", plain
);
name!(
    /// A ticket's id as its tracker writes it: `[A-Za-z0-9#_.-]{1,64}`, so one path segment at most.
    TicketId, "a ticket id", "1 to 64 of A-Z a-z 0-9 # _ . - and not only dots",
    |text| (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"#_.-".contains(&b))
        && text.bytes().any(|b| b != b'.')
        && !text.starts_with('-')
);
name!(
    /// A request's id: `r` and twelve characters of lower-case Crockford base32.
    RequestId, "a request id", "r and 12 characters of 0-9 a-z without i l o u",
    |text| text.len() == 13
        && text.starts_with('r')
        && text.bytes().skip(1).all(|b| CROCKFORD.contains(&b))
);

/// Crockford's base32 alphabet in lower case.
const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl RequestId {
    /// A request id from 60 random bits.
    pub fn from_random(bits: u64) -> Self {
        let mut text = String::from("r");
        for step in 0..12u32 {
            let at = (bits >> (5 * step)) & 31;
            let at = usize::try_from(at).unwrap_or(0);
            text.push(char::from(CROCKFORD.get(at).copied().unwrap_or(b'0')));
        }
        Self(text)
    }
}

/// One line of text that a person gave as the reason: at most 400 characters, no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// The reason as it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > 400 || text.chars().any(char::is_control) {
            return Err(BadName { what: "a reason", rule: "one line of 1 to 400 characters" });
        }
        Ok(Self(text.to_owned()))
    }
}

/// What a certificate names: `login@host` (or `login@pool`), or a bare account name for a server
/// that cannot map principals.
///
/// The two forms are never signed by the same CA: see [`super::lint`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Principal {
    /// `login@host`: opens this account on this host and nothing else.
    At(Login, HostName),
    /// `login`: opens this account wherever the second user CA is trusted.
    Bare(Login),
}

impl Principal {
    /// The account it opens.
    pub fn login(&self) -> &Login {
        match self {
            Self::At(login, _) | Self::Bare(login) => login,
        }
    }

    /// Whether it is a bare account name.
    pub fn is_bare(&self) -> bool {
        matches!(self, Self::Bare(_))
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(login, host) => write!(f, "{login}@{host}"),
            Self::Bare(login) => write!(f, "{login}"),
        }
    }
}

impl FromStr for Principal {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = |_| BadName { what: "a principal", rule: "login@host, each of a-z 0-9 . _ -" };
        match text.split_once('@') {
            Some((login, host)) => {
                Ok(Self::At(login.parse().map_err(bad)?, host.parse().map_err(bad)?))
            }
            None => Ok(Self::Bare(text.parse().map_err(bad)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_nothing_that_sshd_a_shell_or_a_log_would_read_otherwise() {
        for bad in [
            "",
            "*",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "a,b",
            "a b",
            "a@b,c",
            "a@*",
            "A@b",
            "a@B",
            "ä@b",
            "-a@b",
            ".a",
            "a@-b",
            "a\n@b",
            "a@b\0",
            "a'@b",
            "a\"@b",
            "a\\@b",
            "a#@b",
            "$a@b",
            "`a`@b",
            "a@b?",
            &"a".repeat(64),
        ] {
            assert!(bad.parse::<Principal>().is_err(), "{bad:?} was taken");
        }
        let at: Principal = "deploy@web01".parse().unwrap();
        assert_eq!((at.to_string().as_str(), at.is_bare()), ("deploy@web01", false));
        assert!("root".parse::<Principal>().unwrap().is_bare());
    }

    #[test]
    fn a_ticket_id_is_one_path_segment() {
        for bad in ["", ".", "..", "a/b", "a%2eb", "a@b", "a?b", "ä", "-x", "a b", &"1".repeat(65)]
        {
            assert!(bad.parse::<TicketId>().is_err(), "{bad:?} was taken");
        }
        for good in ["OPS-7", "#12", "12", "team.ops_3"] {
            assert!(good.parse::<TicketId>().is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn request_ids_are_thirteen_characters_of_crockford() {
        assert_eq!(RequestId::from_random(0).as_str(), "r000000000000");
        assert_eq!(RequestId::from_random(u64::MAX).as_str(), "rzzzzzzzzzzzz");
        for bits in [1, 31, 32, 0x0123_4567_89ab_cdef] {
            let id = RequestId::from_random(bits);
            assert_eq!(id.as_str().parse::<RequestId>().unwrap(), id);
        }
        assert!("r00000000000i".parse::<RequestId>().is_err());
    }
}
