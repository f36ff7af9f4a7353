//! Keys over time: what there is, the next ones promoted, old ones retired, and the ledger's next
//! generation.
//!
//! Each step is a rename. Whatever is cut short is done by the same command again: a step that is
//! done finds nothing to rename.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ed25519_dalek::SigningKey;
use ssh_key::PrivateKey;

use super::ConfigError;
use super::ca::Ca;
use super::init::{new_key, write_new, write_private, write_public};
use crate::ledger::note::{NoteKey, SignatureType, VerifierKey};
use crate::signer::key::read_secret;
use crate::signer::succeed::next_generation;

/// A file in the folder of another, with another end of its name.
pub fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.with_extension("").into_os_string();
    name.push(end);
    PathBuf::from(name)
}

fn failed(path: &Path, why: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::in_file(path, &why.to_string())
}

fn rename(from: &Path, to: &Path) -> Result<(), ConfigError> {
    match fs::rename(from, to) {
        Err(why) if why.kind() != ErrorKind::NotFound => Err(failed(from, &why)),
        _ => Ok(()),
    }
}

fn sync(dir: &Path) -> Result<(), ConfigError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|why| failed(dir, &why))
}

/// A rename that was not made yet: it never takes the place of a file that is there.
fn step(from: &Path, to: &Path) -> Result<(), ConfigError> {
    if to.exists() { Ok(()) } else { rename(from, to) }
}

/// Gives a file the owner of another one, or of a folder.
fn own(path: &Path, like: &Path) -> Result<(), ConfigError> {
    let (now, like) = (fs::metadata(path), fs::metadata(like));
    let (now, like) = now.and_then(|now| Ok((now, like?))).map_err(|why| failed(path, &why))?;
    if now.uid() == like.uid() {
        return Ok(());
    }
    chown(path, Some(like.uid()), Some(like.gid())).map_err(|why| failed(path, &why))
}

fn read_key(path: &Path) -> Result<PrivateKey, ConfigError> {
    let secret = read_secret(path).map_err(ConfigError::new)?;
    PrivateKey::from_openssh(secret.as_slice()).map_err(|why| failed(path, &why))
}

/// The ledger's key of the next generation, made beside the one in use. Made once: asked again, it
/// is the same key.
pub fn next_ledger_key(ca: &Ca, old: &VerifierKey) -> Result<NoteKey, ConfigError> {
    let (secret, public) = (beside(&ca.ledger.key, ".next"), beside(&ca.ledger.vkey, ".next.vkey"));
    let name = next_generation(old.name())
        .ok_or_else(|| ConfigError::new(format!("{} is no origin", old.name())))?;
    if !secret.exists() {
        write_private(&secret, &new_key(&name)?)?;
    }
    let key = crate::signer::key::load(&secret, None).map_err(ConfigError::new)?;
    let key = note_key(&name, key)?;
    if !public.exists() {
        write_new(&public, format!("{}\n", key.public()).as_bytes())?;
    }
    Ok(key)
}

fn note_key(name: &str, key: SigningKey) -> Result<NoteKey, ConfigError> {
    NoteKey::new(name, SignatureType::Ed25519, key).map_err(|why| ConfigError::new(why.to_string()))
}

/// Puts the next generation's key in the place of the old one, which is kept as `ledger.N` so that
/// certificates of its time can still be verified.
pub fn install_ledger_key(ca: &Ca, old: &VerifierKey) -> Result<(), ConfigError> {
    let number = old.name().rsplit('/').next().unwrap_or("0");
    let (key, vkey) = (&ca.ledger.key, &ca.ledger.vkey);
    let next = (beside(key, ".next"), beside(vkey, ".next.vkey"));
    if next.1.exists() && !beside(vkey, &format!(".{number}.vkey")).exists() {
        rename(key, &beside(key, &format!(".{number}")))?;
        rename(vkey, &beside(vkey, &format!(".{number}.vkey")))?;
    }
    rename(&next.0, key)?;
    rename(&next.1, vkey)?;
    sync(key.parent().unwrap_or(Path::new(".")))
}

/// A key that can be rotated. The ledger's is not among them: its rotation is a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Signs `login@host`. Its next one is made by `init` and trusted from the first day.
    UserCa,
    /// Signs bare account names.
    BareCa,
    /// Signs host certificates.
    HostCa,
    /// Cosigns checkpoints.
    Signer,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::UserCa, Self::BareCa, Self::HostCa, Self::Signer];

    /// The word on the command line and in the ledger.
    pub fn word(self) -> &'static str {
        match self {
            Self::UserCa => "user-ca",
            Self::BareCa => "bare-ca",
            Self::HostCa => "host-ca",
            Self::Signer => "signer",
        }
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::word).join(", ");
        let found = Self::ALL.into_iter().find(|role| role.word() == word);
        found.ok_or_else(|| format!("{word:?} is no key that is rotated: {known}, ledger"))
    }
}

/// The files of a role: one key in use, perhaps a next one, perhaps one that retires. The private
/// halves are the signer's own user's; in a trial all lie in one folder.
#[derive(Debug)]
pub struct Rotation {
    role: Role,
    name: String,
    public: PathBuf,
    end: &'static str,
    next_public: PathBuf,
    private: PathBuf,
}

impl Rotation {
    /// The public halves of a role.
    pub fn of(ca: &Ca, role: Role) -> Self {
        let (public, end) = match role {
            Role::UserCa => (&ca.trust.user_ca, ".pub"),
            Role::BareCa => (&ca.trust.bare_ca, ".pub"),
            Role::HostCa => (&ca.trust.host_ca, ".pub"),
            Role::Signer => (&ca.signer.vkey, ".vkey"),
        };
        let next_public = match role {
            Role::UserCa => ca.trust.user_ca_next.clone(),
            Role::BareCa | Role::HostCa | Role::Signer => beside(public, &format!("_next{end}")),
        };
        let name = match role {
            Role::Signer => ca.cosigner(),
            Role::UserCa | Role::BareCa | Role::HostCa => format!("{} {}", ca.name, role.word()),
        };
        Self { role, name, public: public.clone(), end, next_public, private: beside(public, "") }
    }

    /// The private key in use, where `signer.toml` names another file than the one beside the public.
    #[must_use]
    pub fn with_private(self, private: PathBuf) -> Self {
        Self { private, ..self }
    }

    /// The next key's public half, if there is one.
    pub fn next(&self) -> Option<&Path> {
        self.next_public.exists().then_some(self.next_public.as_path())
    }

    /// The public half of the key that was in use before, while it is trusted.
    pub fn retiring(&self) -> Option<PathBuf> {
        Some(self.retiring_public()).filter(|path| path.exists())
    }

    fn retiring_public(&self) -> PathBuf {
        beside(&self.public, &format!("_retiring{}", self.end))
    }

    /// Beside the private key in use, under the name of its public half.
    fn next_private(&self) -> PathBuf {
        let public = beside(&self.next_public, "");
        self.private.with_file_name(public.file_name().unwrap_or_default())
    }

    /// Makes the next key, for others to trust before it is used. Made once.
    pub fn make_next(&self) -> Result<(), ConfigError> {
        if self.next_public.exists() {
            return Ok(());
        }
        let private = self.next_private();
        let key = if private.exists() {
            // Cut short: its public half follows.
            read_key(&private)?
        } else {
            let key = new_key(&format!("{} (next)", self.name))?;
            write_private(&private, &key)?;
            key
        };
        if self.role != Role::Signer {
            return write_public(&self.next_public, &key);
        }
        let secret =
            key.key_data().ed25519().map(|pair| SigningKey::from_bytes(&pair.private.to_bytes()));
        let secret = secret.ok_or_else(|| ConfigError::new("no ed25519 key was made"))?;
        let vkey = NoteKey::new(&self.name, SignatureType::Cosignature, secret)
            .map_err(|why| ConfigError::new(why.to_string()))?;
        write_new(&self.next_public, format!("{}\n", vkey.public()).as_bytes())
    }

    /// Whether the next key can be put in use now; its public half.
    pub fn may_promote(&self) -> Result<&Path, ConfigError> {
        let word = self.role.word();
        if self.is_cut_short() {
            let installed = self.public.exists();
            return Ok(if installed { &self.public } else { &self.next_public });
        }
        if self.retiring().is_some() {
            return Err(ConfigError::new(format!(
                "a key is still retiring: hallpass key retire {word}, when nobody needs it"
            )));
        }
        if !self.next_private().exists() {
            return Err(failed(
                &self.next_private(),
                &format!("the next key is not here; hallpass key next {word} makes one"),
            ));
        }
        self.next().ok_or_else(|| failed(&self.next_public, &"its public half is missing"))
    }

    /// Whether a promotion began and did not come to its end.
    fn is_cut_short(&self) -> bool {
        let whole = self.public.exists()
            && self.private.exists()
            && (self.role != Role::UserCa || self.next_public.exists());
        self.retiring().is_some() && !whole
    }

    /// Puts the next key in use. The one before is printed for others until it is retired. The signer
    /// must be started again.
    pub fn promote(&self) -> Result<(), ConfigError> {
        self.may_promote()?;
        let (private, next) = (&self.private, self.next_private());
        let old = beside(private, "_retiring");
        // The order of the renames: at each moment every key that signs is one that is printed.
        step(&self.public, &self.retiring_public())?;
        step(private, &old)?;
        step(&self.next_public, &self.public)?;
        if !private.exists() {
            // Where the signer has a user of its own, that user reads the key in use and no other.
            own(&next, &old)?;
            step(&next, private)?;
        }
        own(&old, private.parent().unwrap_or(Path::new(".")))?;
        if self.role == Role::UserCa {
            self.make_next()?;
        }
        sync(private.parent().unwrap_or(Path::new(".")))?;
        sync(self.public.parent().unwrap_or(Path::new(".")))
    }

    /// Ends the trust in the key before: it is no longer printed, and its private half is destroyed.
    pub fn retire(&self) -> Result<(), ConfigError> {
        let public = self.retiring().ok_or_else(|| {
            let word = self.role.word();
            ConfigError::new(format!("no key is retiring: hallpass key promote {word} begins"))
        })?;
        for path in [beside(&self.private, "_retiring"), public] {
            match fs::remove_file(&path) {
                Err(why) if why.kind() != ErrorKind::NotFound => return Err(failed(&path, &why)),
                _ => {}
            }
        }
        Ok(())
    }
}
