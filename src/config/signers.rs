//! `policy_signers`: who may sign what decides, and whether they did.
//!
//! The file is what `ssh-keygen -Y verify` takes as allowed signers (ssh-keygen(1), ALLOWED SIGNERS), but
//! for what leaves open who it was: no pattern stands for a name, and no `cert-authority`. Signed is the
//! list of sums ([`super::sums`]), and so every file that decides; not the files one by one, of which
//! somebody could put together what nobody ever signed.
//!
//! A signature says nothing about when it was made: each list that was ever signed is good for ever. So a
//! signed list names a file `CHANGE` beside it, which holds a number, and the ledger knows the greatest
//! that ever decided: an older list is refused by it.

use std::path::Path;

use ssh_key::public::KeyData;
use ssh_key::{Algorithm, PublicKey, SshSig};

use super::ConfigError;
use super::snapshot::steady;
use crate::certificate::fingerprint;
use crate::certificate::subject::fit;
use crate::certificate::time::UnixTime;
use crate::ledger::facts::Signed;
use crate::ledger::tree::Hash;

/// What a signature is for: one that was made for anything else is none.
pub const NAMESPACE: &str = "policy@hallpass";

/// The file beside the list that holds the change's number.
pub const CHANGE: &str = "CHANGE";

/// Who may sign what decides. Read at the start, with `ca.toml`: what the signatures guard cannot replace it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signers {
    all: Vec<Signer>,
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signer {
    /// As it is written: one name, or several.
    name: String,
    key: KeyData,
    /// The namespaces it may sign for, patterns; `None` for any.
    namespaces: Option<String>,
    after: Option<UnixTime>,
    before: Option<UnixTime>,
}

impl Signers {
    /// Reads the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = steady(path)?
            .ok_or_else(|| ConfigError::in_file(path, "it is being changed: try again"))?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut all = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let signer = signer(line).map_err(|why| {
                ConfigError::in_file(path, &format!("line {}: {why}", number + 1))
            })?;
            all.push(signer);
        }
        if all.is_empty() {
            return Err(ConfigError::in_file(
                path,
                "it names nobody, so nothing could ever decide",
            ));
        }
        Ok(Self { all })
    }

    /// Checks a list's signature: who signed it, or why it counts for nothing.
    pub(super) fn check(
        &self,
        list: &str,
        signature: &str,
        change: &str,
        now: UnixTime,
    ) -> Result<Signed, String> {
        let number = number(change)
            .ok_or_else(|| format!("{CHANGE} holds no number, as date +%s prints one"))?;
        let signature = SshSig::from_pem(signature.trim_end().as_bytes())
            .map_err(|why| format!("it is no signature of ssh-keygen's: {why}"))?;
        if signature.namespace() != NAMESPACE {
            return Err(format!("it is for {:?}, not for {NAMESPACE}", signature.namespace()));
        }
        let print = fingerprint(signature.public_key());
        let of_key = || self.all.iter().filter(|one| one.key == *signature.public_key());
        if of_key().next().is_none() {
            return Err(format!("the key {print} is no policy signer's"));
        }
        touched(&signature)?;
        // INVARIANT: a signature counts only where the library verified it over these very bytes.
        PublicKey::from(signature.public_key().clone())
            .verify(NAMESPACE, list.as_bytes(), &signature)
            .map_err(|_| {
                "it is of another list: something was changed after it was signed".to_owned()
            })?;
        let mut why = String::new();
        for signer in of_key() {
            match signer.may(now) {
                Ok(()) => {
                    return Ok(Signed {
                        by: signer.name.clone(),
                        key: print,
                        list: Hash::of(list.as_bytes()),
                        number,
                    });
                }
                Err(not) => why = format!("{} {not}", signer.name),
            }
        }
        Err(why)
    }
}

/// A number as a change has it: digits, and the end of a line.
fn number(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('\n').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

/// A key on a FIDO token signs only where somebody touched it; the library does not look.
fn touched(signature: &SshSig) -> Result<(), String> {
    match signature.signature().algorithm() {
        Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => {
            // The flags and the counter are the last five bytes (PROTOCOL.u2f).
            let bytes = signature.signature_bytes();
            let flags = bytes.len().checked_sub(5).and_then(|at| bytes.get(at));
            match flags {
                Some(flags) if flags & 1 == 1 => Ok(()),
                _ => Err("nobody touched the token that made it".to_owned()),
            }
        }
        // RSA with SHA-1.
        Algorithm::Rsa { hash: None } => Err("it is made with SHA-1".to_owned()),
        _ => Ok(()),
    }
}

impl Signer {
    fn may(&self, now: UnixTime) -> Result<(), String> {
        if let Some(patterns) = &self.namespaces
            && !listed(patterns, NAMESPACE)
        {
            return Err(format!("may sign for {patterns:?} alone, not for {NAMESPACE}"));
        }
        match (self.after, self.before) {
            (Some(after), _) if now < after => Err(format!("may not sign before {after}")),
            // As ssh-keygen has it: the moment itself is not in it any more.
            (_, Some(before)) if now >= before => {
                Err(format!("may not sign since {before}: have somebody else sign it again"))
            }
            _ => Ok(()),
        }
    }
}

/// `NAMES [OPTIONS] TYPE KEY [COMMENT]`.
fn signer(line: &str) -> Result<Signer, String> {
    let (names, rest) = word(line);
    let name = names.trim_matches('"').to_owned();
    if name.is_empty() || name.contains(['*', '?', '!', '"']) || name.chars().any(char::is_control)
    {
        return Err(format!("{names:?} is a pattern: name who it is, for the ledger"));
    }
    let mut signer = Signer {
        name,
        key: KeyData::Ed25519(ssh_key::public::Ed25519PublicKey([0; 32])),
        namespaces: None,
        after: None,
        before: None,
    };
    let key = match PublicKey::from_openssh(rest) {
        Ok(key) => key,
        Err(why) => {
            let (options, key) = word(rest);
            if key.is_empty() {
                return Err(format!("{rest:?} is no public key: {why}"));
            }
            for option in split(options) {
                option_of(&mut signer, option)?;
            }
            PublicKey::from_openssh(key).map_err(|_| format!("{rest:?} is no public key: {why}"))?
        }
    };
    fit(key.key_data()).map_err(|why| why.to_string())?;
    signer.key = key.key_data().clone();
    Ok(signer)
}

fn option_of(signer: &mut Signer, option: &str) -> Result<(), String> {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let twice = || format!("{name} stands here twice");
    // Names of options are of either case there.
    match (name.to_ascii_lowercase().as_str(), value) {
        ("namespaces", Some(all)) if !all.is_empty() => {
            signer.namespaces.replace(all.to_owned()).map_or(Ok(()), |_| Err(twice()))
        }
        ("valid-after", Some(at)) => {
            signer.after.replace(time(at)?).map_or(Ok(()), |_| Err(twice()))
        }
        ("valid-before", Some(at)) => {
            signer.before.replace(time(at)?).map_or(Ok(()), |_| Err(twice()))
        }
        ("cert-authority", _) => {
            Err("cert-authority: whoever a CA certifies is not named here; list the keys"
                .to_owned())
        }
        _ => Err(format!(
            "{option:?} is no option: namespaces=\"{NAMESPACE}\", valid-after=\"20260101Z\", \
             valid-before=\"20270101Z\""
        )),
    }
}

/// `20260101Z`, `202601012359Z` or `20260101235959Z`. ssh-keygen takes what has no Z by the zone of the
/// machine, which is another where it is written than where it is read.
fn time(text: &str) -> Result<UnixTime, String> {
    let wrong = || format!("{text:?} is no time in UTC, as 20260101Z or 202601012359Z");
    let digits = text.strip_suffix('Z').ok_or_else(wrong)?;
    let (day, clock) = digits.split_at_checked(8).ok_or_else(wrong)?;
    let clock = match clock.len() {
        0 => "000000".to_owned(),
        4 => format!("{clock}00"),
        6 => clock.to_owned(),
        _ => return Err(wrong()),
    };
    UnixTime::from_compact(&format!("{day}T{clock}Z")).ok_or_else(wrong)
}

/// The first word, in which quotes hold blanks together, and the rest.
fn word(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let end = text.find(|c: char| {
        quoted ^= c == '"';
        !quoted && (c == ' ' || c == '\t')
    });
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    (word, rest.trim_start_matches([' ', '\t']))
}

/// Options between commas that are in no quotes.
fn split(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c: char| {
        quoted ^= c == '"';
        !quoted && c == ','
    })
    .collect()
}

/// Whether a list of patterns matches a text: at least one, and none with a `!` before it.
fn listed(patterns: &str, text: &str) -> bool {
    let mut any = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(not) if matches(not.as_bytes(), text.as_bytes()) => return false,
            Some(_) => {}
            None => any |= matches(pattern.as_bytes(), text.as_bytes()),
        }
    }
    any
}

/// `*` for anything, `?` for one character.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            matches(rest, text)
                || text.split_first().is_some_and(|(_, text)| matches(pattern, text))
        }
        (Some((b'?', rest)), Some((_, text))) => matches(rest, text),
        (Some((a, rest)), Some((b, text))) => a == b && matches(rest, text),
        (_, None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";

    fn parse(text: &str) -> Result<Signers, ConfigError> {
        Signers::parse(Path::new("policy_signers"), text)
    }

    #[test]
    fn lines_are_those_of_ssh_keygen() {
        let text = format!(
            "# who signs\n\nana@example.com {KEY} a comment\n\
             \"bob@example.com,robert\" namespaces=\"file,policy@*\",valid-after=\"20260101Z\",valid-before=\"202701011200Z\" {KEY}\n"
        );
        let signers = parse(&text).unwrap();
        let [ana, bob] = signers.all.as_slice() else { panic!("{signers:?}") };
        assert_eq!((ana.name.as_str(), &ana.namespaces), ("ana@example.com", &None));
        assert_eq!(bob.name, "bob@example.com,robert");
        let at = |text: &str| bob.may(text.parse().unwrap());
        assert!(at("2025-12-31T23:59:59Z").unwrap_err().contains("before 2026-01-01T00:00:00Z"));
        assert_eq!(at("2026-01-01T00:00:00Z"), Ok(()));
        assert_eq!(at("2027-01-01T11:59:59Z"), Ok(()));
        assert!(at("2027-01-01T12:00:00Z").unwrap_err().contains("since 2027-01-01T12:00:00Z"));
    }

    #[test]
    fn what_leaves_open_who_it_was_is_refused() {
        for (line, why) in [
            (format!("* {KEY}"), "line 1: \"*\" is a pattern"),
            (format!("*@example.com {KEY}"), "is a pattern"),
            (format!("!bob,ana {KEY}"), "is a pattern"),
            (format!("ana cert-authority {KEY}"), "cert-authority: whoever a CA certifies"),
            (format!("ana CERT-AUTHORITY,namespaces=\"x\" {KEY}"), "cert-authority"),
            (format!("ana touch-not-needed {KEY}"), "is no option"),
            (format!("ana namespaces=\"\" {KEY}"), "is no option"),
            (format!("ana namespaces=file {KEY}"), "is no option"),
            (format!("ana namespaces=\"a\",namespaces=\"b\" {KEY}"), "twice"),
            (format!("ana valid-after=\"20260101\" {KEY}"), "is no time in UTC"),
            (format!("ana valid-before=\"20261301Z\" {KEY}"), "is no time in UTC"),
            ("ana".to_owned(), "is no public key"),
            ("ana ssh-ed25519 AAAA".to_owned(), "is no"),
            ("# nobody".to_owned(), "it names nobody"),
        ] {
            let said = parse(&line).unwrap_err().to_string();
            assert!(said.contains(why), "{line}: {said}");
        }
    }

    #[test]
    fn namespaces_are_patterns() {
        for (patterns, wanted) in [
            ("policy@hallpass", true),
            ("file,policy@hallpass", true),
            ("policy@*", true),
            ("*", true),
            ("policy?hallpass", true),
            ("*,!policy@*", false),
            ("file", false),
            ("policy@hallpas", false),
            ("policy@hallpass2", false),
            ("", false),
        ] {
            assert_eq!(listed(patterns, NAMESPACE), wanted, "{patterns}");
        }
        assert_eq!((number("42\n"), number("42")), (Some(42), Some(42)));
        for bad in ["", "\n", "-1", "+1", "4 2", "42\r\n", "42\n\n", "99999999999999999999"] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
