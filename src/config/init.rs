//! `hallpass init`: everything for a trial in one folder, once.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use rand::Rng as _;
use ssh_key::{Algorithm, LineEnding, PrivateKey};

use super::ca::Ca;
use super::{ConfigError, Deciding};
use crate::certificate::names::{HostName, RequestId};
use crate::fault_point;
use crate::ledger::note::{NoteKey, SignatureType};
use crate::ledger::store::Store;
use crate::signer::mark::{ListFile, MarkFile, beginning};

/// What to make.
#[derive(Debug)]
pub struct Init {
    /// The folder; it must not exist, or be empty.
    pub dir: PathBuf,
    /// The CA's name.
    pub name: HostName,
    /// Where the door listens.
    pub listen: SocketAddr,
    /// Whether to write the example team.
    pub example: bool,
}

/// What was made, beside files.
pub struct Made {
    /// `ca.toml`, read back.
    pub ca: Ca,
    /// The passphrase of the emergency key: shown once, kept nowhere.
    pub emergency_passphrase: String,
}

/// The example, which is also what the demo and the tests boot.
mod example {
    pub(super) const CA: &str = include_str!("../../ca-config/ca.toml");
    pub(super) const SIGNER: &str = include_str!("../../ca-config/signer.toml");
    pub(super) const POLICY: &str = include_str!("../../ca-config/policy.cedar");
    pub(super) const PEOPLE: &str = include_str!("../../ca-config/people.toml");
    pub(super) const HOSTS: &str = include_str!("../../ca-config/hosts.toml");
    /// What an empty CA has none of.
    pub(super) const MORE: [(&str, &str); 6] = [
        ("hours.toml", include_str!("../../ca-config/hours.toml")),
        ("rota.toml", include_str!("../../ca-config/rota.toml")),
        ("cases.toml", include_str!("../../ca-config/cases.toml")),
        ("tickets/OPS-7.toml", include_str!("../../ca-config/tickets/OPS-7.toml")),
        ("tickets/OPS-8.toml", include_str!("../../ca-config/tickets/OPS-8.toml")),
        ("tickets/OPS-9.toml", include_str!("../../ca-config/tickets/OPS-9.toml")),
    ];
    /// Beside the freezes, which are nobody's file but those of whoever sets one.
    pub(super) const FREEZES: &str = include_str!("../../ca-config/freezes/README.md");
    /// What names them in `ca.toml`: comments in an empty CA's.
    pub(super) const NAMED: [&str; 2] =
        ["hours = \"hours.toml\"\n", "[[on_call]]\ngroup = \"on-call\"\nrota = \"rota.toml\"\n"];
}

/// What a new folder holds without the example: nobody, nothing, and a policy that permits nothing.
mod empty {
    pub(super) const POLICY: &str = "\
// Offers: each permit is one, its annotations are its terms. Nothing is permitted yet.
// hallpass init --example writes a real team's; hallpass check says what is understood.
";
    pub(super) const PEOPLE: &str = "\
# Who there is. hallpass person add NAME --key FILE --group GROUP writes one here.
# Whoever can write this file decides whose key is whose.
groups = []
";
    pub(super) const HOSTS: &str = "\
# Which hosts there are. hallpass host add NAME --login ACCOUNT --tag TAG writes one here.
# Whoever can write this file decides which accounts can be asked for.
tags = []
";
}

/// The placeholders in the example's `ca.toml` and `signer.toml`.
const NAME: &str = "ca.example";
const LISTEN: &str = "127.0.0.1:2222";

/// Makes the folder. On an error what was made so far is left to be looked at; a second try asks for
/// another folder, because keys are never overwritten.
pub fn init(init: &Init) -> Result<Made, ConfigError> {
    let dir = &init.dir;
    let taken = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if taken {
        return Err(ConfigError::in_file(
            dir,
            "is not empty: a CA is made once, in a folder of its own",
        ));
    }
    for folder in ["", "keys", "state", "state/signer", "tickets", "freezes"] {
        let path = dir.join(folder);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|why| ConfigError::in_file(&path, &why.to_string()))?;
    }
    let name = init.name.as_str();
    let fill = |text: &str| text.replace(NAME, name).replace(LISTEN, &init.listen.to_string());
    let (policy, people, hosts) = if init.example {
        (example::POLICY, example::PEOPLE, example::HOSTS)
    } else {
        (empty::POLICY, empty::PEOPLE, empty::HOSTS)
    };
    for (file, text) in [
        ("ca.toml", fill(&if init.example { example::CA.to_owned() } else { without_example() })),
        ("signer.toml", fill(example::SIGNER)),
        ("policy.cedar", policy.to_owned()),
        ("people.toml", people.to_owned()),
        ("hosts.toml", hosts.to_owned()),
        ("freezes/README.md", example::FREEZES.to_owned()),
    ] {
        write_new(&dir.join(file), text.as_bytes())?;
    }
    if init.example {
        for (file, text) in example::MORE {
            write_new(&dir.join(file), text.as_bytes())?;
        }
    }

    let keys = dir.join("keys");
    for (file, what) in [
        ("user_ca", "user CA"),
        ("user_ca_next", "next user CA"),
        ("bare_ca", "user CA for bare account names"),
        ("host_ca", "host CA"),
        ("ssh_host_ed25519", "host key"),
    ] {
        write_pair(&keys, file, &new_key(&format!("{name} {what}"))?)?;
    }
    let emergency_passphrase = passphrase();
    let emergency = new_key(&format!("{name} emergency user CA"))?
        .encrypt(&mut rand::rng(), &emergency_passphrase)
        .map_err(|why| ConfigError::new(why.to_string()))?;
    write_pair(&keys, "emergency_ca", &emergency)?;
    for (file, name, kind) in [
        ("ledger", format!("{name}/1"), SignatureType::Ed25519),
        ("signer", format!("{name}/signer"), SignatureType::Cosignature),
    ] {
        let key = new_key(&name)?;
        let secret =
            key.key_data().ed25519().map(|pair| SigningKey::from_bytes(&pair.private.to_bytes()));
        let secret = secret.ok_or_else(|| ConfigError::new("no ed25519 key was made"))?;
        let vkey =
            NoteKey::new(&name, kind, secret).map_err(|why| ConfigError::new(why.to_string()))?;
        write_private(&keys.join(file), &key)?;
        write_new(&keys.join(format!("{file}.vkey")), format!("{}\n", vkey.public()).as_bytes())?;
    }

    let ca = Ca::load(&dir.join("ca.toml"))?;
    Deciding::load(&ca)?;
    fault_point::around(fault_point::INIT_LEDGER, || Store::create(&ca.ledger.database))
        .map_err(|why| ConfigError::new(why.to_string()))?;
    let signer = dir.join("state/signer");
    let state = |why: std::io::Error| ConfigError::in_file(&signer, &why.to_string());
    fault_point::around(fault_point::INIT_LIST, || ListFile::create(&signer.join("list")))
        .map_err(state)?;
    // The mark comes last: with it the ledger begins.
    let origin = format!("{name}/1");
    fault_point::around(fault_point::INIT_MARK, || {
        MarkFile::create(&signer.join("mark"), &origin, beginning())
    })
    .map_err(state)?;
    fs::File::open(&signer).and_then(|dir| dir.sync_all()).map_err(state)?;
    Ok(Made { ca, emergency_passphrase })
}

/// The example's `ca.toml` where none of its further files are: what names them is a comment.
fn without_example() -> String {
    let comment = |lines: &str| lines.lines().map(|line| format!("# {line}\n")).collect::<String>();
    example::NAMED
        .iter()
        .fold(example::CA.to_owned(), |text, lines| text.replace(lines, &comment(lines)))
}

pub(super) fn new_key(comment: &str) -> Result<PrivateKey, ConfigError> {
    let mut key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519)
        .map_err(|why| ConfigError::new(why.to_string()))?;
    key.set_comment(comment);
    Ok(key)
}

/// 24 characters of Crockford base32, 120 bits, in two words.
fn passphrase() -> String {
    let mut rng = rand::rng();
    let mut word =
        || RequestId::from_random(rng.next_u64()).as_str().get(1..).unwrap_or_default().to_owned();
    format!("{}-{}", word(), word())
}

fn write_pair(keys: &Path, name: &str, key: &PrivateKey) -> Result<(), ConfigError> {
    write_private(&keys.join(name), key)?;
    write_public(&keys.join(format!("{name}.pub")), key)
}

pub(super) fn write_public(path: &Path, key: &PrivateKey) -> Result<(), ConfigError> {
    let public = key.public_key().to_openssh().map_err(|why| ConfigError::new(why.to_string()))?;
    write_new(path, format!("{}\n", public.trim_end()).as_bytes())
}

pub(super) fn write_private(path: &Path, key: &PrivateKey) -> Result<(), ConfigError> {
    let pem = key.to_openssh(LineEnding::LF).map_err(|why| ConfigError::new(why.to_string()))?;
    write_file(path, pem.as_bytes(), 0o600)
}

pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), ConfigError> {
    write_file(path, bytes, 0o644)
}

fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), ConfigError> {
    let written = fault_point::around(fault_point::INIT_FILE, || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|why| ConfigError::in_file(path, &why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_ca_names_no_file_of_the_examples() {
        for lines in example::NAMED {
            assert_eq!(example::CA.matches(lines).count(), 1, "{lines}");
        }
        let text = without_example();
        for (file, _) in example::MORE.iter().filter(|(file, _)| !file.contains('/')) {
            let naming = text.lines().filter(|line| line.contains(&format!("\"{file}\"")));
            assert!(
                naming.clone().all(|line| line.starts_with("# ")),
                "{:?}",
                naming.collect::<Vec<_>>()
            );
        }
        assert!(
            text.contains("\n# hours = \"hours.toml\"\n") && text.contains("\n# [[on_call]]\n")
        );
    }
}
