//! The printed file for a server: one shell script, static but for names and public keys.
//!
//! Whatever goes into it obeys a grammar and stands in a quoted here-document, so that the shell
//! expands nothing of it. The rest is `config.sh`, the same for every server.

use std::fmt;
use std::str::FromStr;

use crate::certificate::krl::Krl;
use crate::certificate::names::{HostName, Principal};
use crate::config::hosts::{Host, Hosts, Principals};
use crate::config::trust::{Part, Trust};
use crate::ledger::tree::base64;

/// Ends a here-document. No line of what goes into one can be this: `=` is in keys and lists at their
/// end alone.
const END: &str = "=END=";

/// A principal of an older CA that is to open a server's accounts further on; `%u` in it stands for
/// the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept(String);

impl FromStr for Kept {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"%._@:/+-".contains(&b);
        let known = text.split('%').skip(1).all(|after| after.starts_with('u'));
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '%');
        if known && begins && text.len() <= 128 && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err("not a principal to keep: up to 128 of A-Z a-z 0-9 . _ @ : / + - and %u".to_owned())
        }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why there is no file for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoFile {
    /// Nobody can be let in.
    NoAccounts(HostName),
    /// It would let certificates of this CA for other hosts in.
    KeepsOurs(Kept, HostName),
    /// The host has no principals file.
    KeepsOnBare(HostName),
    /// A key whose line is not as it should be.
    Key,
}

impl fmt::Display for NoFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAccounts(host) => write!(f, "{host} has no accounts that could be asked for"),
            Self::KeepsOurs(kept, host) => {
                write!(
                    f,
                    "--keep {kept} would let certificates for {host} in, which this CA issues"
                )
            }
            Self::KeepsOnBare(host) => {
                write!(f, "{host} takes bare account names: only --keep %u can be kept there")
            }
            Self::Key => write!(f, "a key of the CA's has a line that cannot be printed"),
        }
    }
}

impl std::error::Error for NoFile {}

/// The file for one server, or for every machine of a pool.
///
/// # Errors
/// Why there can be none.
pub fn file(trust: &Trust, hosts: &Hosts, host: &Host, keep: &[Kept]) -> Result<String, NoFile> {
    if host.accounts.is_empty() {
        return Err(NoFile::NoAccounts(host.name.clone()));
    }
    let bare = host.principals == Principals::Bare;
    if bare && keep.iter().any(|kept| kept.0 != "%u") {
        return Err(NoFile::KeepsOnBare(host.name.clone()));
    }
    let keys = trust.print(if bare { Part::Bare } else { Part::User });
    if !keys.lines().all(is_key_line) {
        return Err(NoFile::Key);
    }
    let (mut accounts, mut principals, mut kept_lines) =
        (String::new(), String::new(), String::new());
    for account in &host.accounts {
        accounts += &format!("{account}\n");
        if !bare {
            let principal = Principal::At(account.clone(), host.name.clone());
            principals += &format!("{account} {principal}\n");
        }
        for kept in keep {
            let text = kept.0.replace("%u", account.as_str());
            let ours = text.parse().ok().and_then(|principal| match principal {
                Principal::At(_, host) => Some(host),
                Principal::Bare(_) => None,
            });
            if let Some(ours) = ours.filter(|name| hosts.iter().any(|host| host.name == *name)) {
                return Err(NoFile::KeepsOurs(kept.clone(), ours));
            }
        }
    }
    for kept in keep {
        kept_lines += &format!("{kept}\n");
    }
    let name = host.name.as_str();
    let ca = trust.name();
    let mut out = format!(
        "#!/bin/sh\n\
         # Puts {name} under the SSH certificate authority {ca}. On the server, as root:\n\
         #\n\
         #   sh FILE            put it under the CA; run a newer file to bring what has changed\n\
         #   sh FILE only       when logins by certificate work: end the keys in authorized_keys\n\
         #   sh FILE not-only   let them in again\n\
         #   sh FILE undo       take everything back\n\
         #\n\
         # The file holds names and public keys, nothing secret. Whoever can change it before it is run\n\
         # decides who gets into the server.\n\n"
    );
    for (function, what, text) in [
        ("host", "The name that stands in principals.", format!("{name}\n")),
        ("accounts", "The accounts that people can ask for.", accounts),
        ("principals", "Which principal opens which account.", principals),
        (
            "keep",
            "What opens them besides, where the server trusted another CA before.",
            kept_lines,
        ),
        ("user_ca", "The CA's keys: in use, next, emergency, and one that retires.", keys),
    ] {
        out += &format!("# {what}\n{function}() {{\n    cat << '{END}'\n{text}{END}\n}}\n\n");
    }
    let krl = base64(&Krl::empty().to_bytes());
    out += &format!(
        "# A list of revoked keys that revokes nothing.\nrevoked() {{\n    base64 -d << '{END}'\n{krl}\n{END}\n}}\n\n"
    );
    Ok(out + include_str!("config.sh"))
}

/// `TYPE BASE64 COMMENT`, the comment being words of our own and the CA's name.
fn is_key_line(line: &str) -> bool {
    let mut words = line.split(' ');
    let plain = |word: &str, more: &[u8]| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    words.next().is_some_and(|kind| plain(kind, b"-@.") && !kind.starts_with('-'))
        && words.next().is_some_and(|key| plain(key, b"+/="))
        && words.all(|word| plain(word, b"._-"))
}
