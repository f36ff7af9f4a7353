//! `signer.toml`: what the signer holds to, whatever the daemon and its policy say.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::mark::Signed;
use crate::certificate::names::{PersonName, Principal};
use crate::certificate::time::{Span, UnixTime};

/// `signer.toml`. Paths are relative to the folder the file is in.
///
/// Whoever can write this file decides what the CA signs at most; whoever can read it learns nothing secret.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerConfig {
    /// The ledger's verifier key. Who can change it can have another ledger cosigned.
    pub ledger: PathBuf,
    /// The user CA's private key. Who can read it can log in everywhere.
    pub user_ca: PathBuf,
    /// The private key of the CA for bare account names. Who can read it can log in where it is trusted.
    pub bare_ca: PathBuf,
    /// The private key that cosigns checkpoints. Who can read it and the ledger's key can hide a fork.
    pub cosigning: PathBuf,
    /// The name of the cosigning key, `NAME/signer`.
    pub cosigner: String,
    /// A file with the passphrase of the private keys, if they are encrypted. Who can read it can decrypt them.
    pub passphrase: Option<PathBuf>,
    /// Public key files that are never certified: host CA, next and emergency CA, the daemon's host key.
    #[serde(default)]
    pub never_subjects: Vec<PathBuf>,
    /// The folder of the mark and the list. Who can write it can have an index signed twice.
    pub state: PathBuf,
    /// The user id that may connect; the signer's own if not set, which is right for a trial alone.
    pub front_uid: Option<u32>,
    /// The hard limits of a certificate.
    #[serde(default)]
    pub limits: Limits,
    /// The most certificates in any minute.
    #[serde(default)]
    pub rate: Rate,
}

/// The hard limits of one certificate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The longest life.
    pub ttl: Span,
    /// The most principals; OpenSSH itself ends at 256.
    pub principals: usize,
    /// Patterns one of which each principal must match.
    pub allowed: Vec<Pattern>,
    /// Patterns none of which a principal may match.
    pub never: Vec<Pattern>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ttl: Span::secs(3600),
            principals: 64,
            allowed: vec![Pattern("*@*".to_owned()), Pattern("*".to_owned())],
            never: Vec::new(),
        }
    }
}

/// A pattern of principals, `LOGIN@HOST` or `LOGIN`, in which `*` stands for any characters but `@`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(String);

impl TryFrom<String> for Pattern {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let fits = |part: &str| {
            !part.is_empty()
                && part.replace('*', "x").parse::<crate::certificate::names::Login>().is_ok()
        };
        let good = match text.split_once('@') {
            Some((login, host)) => fits(login) && fits(host),
            None => fits(&text),
        };
        if good {
            Ok(Self(text))
        } else {
            Err(format!("{text:?} is not a pattern as deploy@*, *@web01 or *"))
        }
    }
}

impl Pattern {
    /// Whether a principal matches.
    pub fn matches(&self, principal: &Principal) -> bool {
        match (self.0.split_once('@'), principal) {
            (Some((login, host)), Principal::At(l, h)) => {
                glob(login, l.as_str()) && glob(host, h.as_str())
            }
            (None, Principal::Bare(l)) => glob(&self.0, l.as_str()),
            (Some(_), Principal::Bare(_)) | (None, Principal::At(..)) => false,
        }
    }
}

/// `*` matches any run of characters, everything else itself.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    let inner = text.strip_prefix(start).and_then(|text| text.strip_suffix(end));
    // Each piece between two stars is found as early as it can be: no pattern takes more than one pass.
    let left = inner.and_then(|inner| {
        middle.split('*').try_fold(inner, |text, piece| Some(text.split_once(piece)?.1))
    });
    left.is_some()
}

impl Limits {
    /// Why these principals are not signed; `None` if they are.
    pub fn refuse(&self, principals: &[Principal]) -> Option<String> {
        principals.iter().find_map(|principal| {
            let hit =
                |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(principal));
            if hit(&self.never) {
                Some(format!("signer.toml never allows {principal}"))
            } else if !hit(&self.allowed) {
                Some(format!("signer.toml does not allow {principal}"))
            } else {
                None
            }
        })
    }
}

/// The most certificates that are signed in any minute.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rate {
    /// In all.
    pub total: usize,
    /// For one person.
    pub person: usize,
    /// For one principal.
    pub account: usize,
}

impl Default for Rate {
    fn default() -> Self {
        Self { total: 600, person: 60, account: 120 }
    }
}

/// The last minute's certificates.
#[derive(Debug, Default)]
pub struct LastMinute {
    signed: Vec<(UnixTime, PersonName, Vec<Principal>)>,
}

const MINUTE: Span = Span::secs(60);

impl LastMinute {
    /// Counts what the list holds at start, so that a restart does not reset a limit.
    pub fn from_list(list: Vec<Signed>, now: UnixTime) -> Self {
        let recent = list.into_iter().filter(|signed| now.since(signed.time) < MINUTE);
        let recent = recent.map(|signed| (signed.time, signed.person, signed.principals));
        Self { signed: recent.collect() }
    }

    /// Counts one more, or says which limit it would break.
    pub fn take(
        &mut self,
        rate: &Rate,
        now: UnixTime,
        person: &PersonName,
        principals: &[Principal],
    ) -> Result<(), String> {
        // A clock that went back a little keeps old entries in, which errs on the side of no. What was
        // signed while it stood far ahead is let go, or nobody got a certificate until it is there again.
        self.signed.retain(|(time, ..)| now.since(*time) < MINUTE && time.since(now) < MINUTE);
        if self.signed.len() >= rate.total {
            return Err(format!(
                "the signer's limit of {} certificates a minute is reached",
                rate.total
            ));
        }
        if self.signed.iter().filter(|(_, who, _)| who == person).count() >= rate.person {
            return Err(format!(
                "the signer's limit of {} certificates a minute for {person} is reached",
                rate.person
            ));
        }
        for principal in principals {
            if self.signed.iter().filter(|(_, _, all)| all.contains(principal)).count()
                >= rate.account
            {
                return Err(format!(
                    "the signer's limit of {} certificates a minute for {principal} is reached",
                    rate.account
                ));
            }
        }
        self.signed.push((now, person.clone(), principals.to_vec()));
        Ok(())
    }
}

impl SignerConfig {
    /// Reads `signer.toml`; the error carries line and column.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text =
            std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))?;
        let mut config: Self =
            toml::from_str(&text).map_err(|why| format!("{}: {why}", path.display()))?;
        let base = path.parent().unwrap_or(Path::new("."));
        let files = [
            &mut config.ledger,
            &mut config.user_ca,
            &mut config.bare_ca,
            &mut config.cosigning,
            &mut config.state,
        ];
        for file in
            files.into_iter().chain(&mut config.passphrase).chain(&mut config.never_subjects)
        {
            *file = base.join(&*file);
        }
        Ok(config)
    }

    /// The mark's file.
    pub fn mark_file(&self) -> PathBuf {
        self.state.join("mark")
    }

    /// The list's file.
    pub fn list_file(&self) -> PathBuf {
        self.state.join("list")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_keep_account_and_host_apart() {
        let matches = |pattern: &str, principal: &str| {
            Pattern::try_from(pattern.to_owned()).unwrap().matches(&principal.parse().unwrap())
        };
        assert!(
            matches("*@*", "root@web01") && !matches("*@*", "root") && !matches("*", "root@web01")
        );
        assert!(matches("deploy@web*", "deploy@web01") && !matches("deploy@web*", "deploy@db01"));
        assert!(matches("*", "root") && matches("r*t", "root") && !matches("r*x", "root"));
        assert!(matches("r**t", "root") && matches("*o*o*", "root") && !matches("*o*o*o*", "root"));
        assert!(!matches("ab*ba", "aba") && matches("ab*ba", "abba") && matches("a*b*c", "abbbc"));
        assert!(
            !matches("r*oo*oot", "root") && !matches("root*", "roo") && !matches("*root", "oot")
        );
        // The story of a pattern that took an hour: many stars, a long name, and no match.
        let long = format!("{}@h", "a".repeat(63));
        assert!(!matches("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b@h", &long));
        for bad in ["", "@", "a@", "a@b@c", "A@b", "a,b", "a@*,b@*", "a b"] {
            assert!(Pattern::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_minute_holds_so_many_and_the_next_one_again() {
        let rate = Rate { total: 5, person: 3, account: 2 };
        let (ana, bob): (PersonName, PersonName) = ("ana".parse().unwrap(), "bob".parse().unwrap());
        let at = |text: &str| vec![text.parse::<Principal>().unwrap()];
        let mut last = LastMinute::default();
        let mut take = |secs, who: &PersonName, what: &str| {
            last.take(&rate, UnixTime::from_secs(secs), who, &at(what))
        };
        assert!(take(100, &ana, "a@h").is_ok() && take(100, &ana, "a@h").is_ok());
        assert!(take(100, &bob, "a@h").unwrap_err().contains("for a@h"));
        assert!(take(100, &ana, "b@h").is_ok());
        assert!(take(101, &ana, "c@h").unwrap_err().contains("for ana"));
        assert!(take(101, &bob, "d@h").is_ok() && take(101, &bob, "e@h").is_ok());
        assert!(take(159, &bob, "f@h").unwrap_err().contains("5 certificates a minute is reached"));
        assert!(take(160, &bob, "f@h").is_ok());
    }

    #[test]
    fn a_clock_that_was_far_ahead_locks_nobody_out() {
        let rate = Rate { total: 1, person: 1, account: 1 };
        let ana: PersonName = "ana".parse().unwrap();
        let mut last = LastMinute::default();
        let mut take = |secs| last.take(&rate, UnixTime::from_secs(secs), &ana, &[]);
        assert!(take(1_000_000).is_ok());
        assert!(take(999_941).is_err(), "a clock that went back a little made room");
        assert!(take(999_940).is_ok(), "nobody is served until the clock is there again");
    }
}
