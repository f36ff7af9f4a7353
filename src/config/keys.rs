//! Keys over time: what there is, the next ones promoted, old ones retired, and the ledger's next
//! generation.
//!
//! Each step is a rename. Whatever is cut short is done by the same command again: a step that is
//! done finds nothing to rename.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;

use super::ConfigError;
use super::ca::Ca;
use super::init::{new_key, write_new, write_pair, write_private};
use crate::ledger::note::{NoteKey, SignatureType, VerifierKey};
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

/// The user CA that was in use before the last promotion, while it is still trusted.
pub fn retiring(ca: &Ca) -> PathBuf {
    beside(&ca.trust.user_ca, "_retiring.pub")
}

/// Whether the next user CA can be promoted now; its private key's file.
pub fn may_promote(ca: &Ca) -> Result<PathBuf, ConfigError> {
    let next = beside(&ca.trust.user_ca_next, "");
    if !next.exists() {
        return Err(failed(&next, &"the next user CA's private key is not here: bring it first"));
    }
    if retiring(ca).exists() {
        return Err(ConfigError::new(
            "a user CA is still retiring: hallpass key retire, when no server needs it",
        ));
    }
    Ok(next)
}

/// Makes the next user CA the one in use: servers trust it since their first day. The one before is
/// printed for them until it is retired, and a new next one is made.
///
/// `signer` is the private key's file as `signer.toml` names it. The signer must be started again.
pub fn promote_user_ca(ca: &Ca, signer: &Path) -> Result<(), ConfigError> {
    let trust = &ca.trust;
    let dir = signer.parent().unwrap_or(Path::new("."));
    let next = may_promote(ca)?;
    // The order of the renames: at each moment every key that signs is one that is printed.
    rename(&trust.user_ca, &retiring(ca))?;
    rename(signer, &beside(signer, "_retiring"))?;
    fs::copy(&trust.user_ca_next, &trust.user_ca).map_err(|why| failed(&trust.user_ca, &why))?;
    rename(&next, signer)?;
    fs::remove_file(&trust.user_ca_next).map_err(|why| failed(&trust.user_ca_next, &why))?;
    let name = next.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    write_pair(dir, &name, &new_key(&format!("{} next user CA", ca.name))?)?;
    sync(dir)
}

/// Ends the trust in the user CA before: it is no longer printed, and its private key is destroyed.
pub fn retire_user_ca(ca: &Ca) -> Result<(), ConfigError> {
    let public = retiring(ca);
    if !public.exists() {
        return Err(ConfigError::new("no user CA is retiring: hallpass key promote user-ca"));
    }
    for path in [beside(&public, ""), public] {
        match fs::remove_file(&path) {
            Err(why) if why.kind() != ErrorKind::NotFound => return Err(failed(&path, &why)),
            _ => {}
        }
    }
    Ok(())
}
