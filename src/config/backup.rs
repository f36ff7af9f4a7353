//! `hallpass backup`: a consistent copy while everything goes on, and which secrets are in it.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::ConfigError;
use super::ca::Ca;
use crate::ledger::store::Store;

/// What a backup holds.
#[derive(Debug)]
pub struct Backup {
    /// How many entries of the ledger.
    pub entries: u64,
    /// How many files besides.
    pub files: usize,
    /// The files that are secrets: who reads the copy has them.
    pub secrets: Vec<String>,
}

/// Copies the folder of `ca.toml` and the ledger into a new folder of the same shape.
///
/// The ledger is copied as of one moment, whoever writes meanwhile. The signer's mark and list are
/// not copied: an old mark is worse than none, because it would let an index be signed twice. Nor is
/// what a start makes anew.
pub fn backup(ca: &Ca, config: &Path, dir: &Path) -> Result<Backup, ConfigError> {
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(ConfigError::in_file(dir, "is not empty: a backup has a folder of its own"));
    }
    let from = config.parent().unwrap_or(Path::new("."));
    let mut made = Backup { entries: 0, files: 0, secrets: Vec::new() };
    let (reserve, standing) = (ca.ledger.reserve(), ca.ledger.standing());
    let texts = ca.ledger.texts();
    let left_out = [&ca.ledger.database, &ca.signer.socket, &reserve, &standing, &texts];
    copy(from, dir, &left_out, &mut made, Path::new(""))?;
    let database =
        dir.join(ca.ledger.database.strip_prefix(from).unwrap_or(Path::new("ledger.db")));
    let store = Store::open_to_read(&ca.ledger.database);
    let copied = store.and_then(|store| store.copy_to(&database));
    made.entries = copied.map_err(|why| ConfigError::in_file(&database, &why.to_string()))?;
    // Last: a text is kept before the ledger names its hash.
    if texts.is_dir() {
        let target = dir.join(texts.strip_prefix(from).unwrap_or(Path::new("texts")));
        copy(&texts, &target, &[], &mut made, Path::new("texts"))?;
    }
    Ok(made)
}

/// Copies a folder, but for what is left out and the signer's own state.
fn copy(
    from: &Path,
    to: &Path,
    left_out: &[&PathBuf],
    made: &mut Backup,
    within: &Path,
) -> Result<(), ConfigError> {
    let say = |path: &Path, why: std::io::Error| ConfigError::in_file(path, &why.to_string());
    DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(|why| say(to, why))?;
    for entry in fs::read_dir(from).map_err(|why| say(from, why))? {
        let entry = entry.map_err(|why| say(from, why))?;
        let (path, name): (PathBuf, _) = (entry.path(), entry.file_name());
        let (target, within) = (to.join(&name), within.join(&name));
        let meta = fs::symlink_metadata(&path).map_err(|why| say(&path, why))?;
        // The database's log and lock begin with its name.
        let out = left_out
            .iter()
            .any(|out| path.to_string_lossy().starts_with(out.to_string_lossy().as_ref()));
        if out || within == Path::new("state/signer") {
            continue;
        }
        if meta.is_dir() {
            copy(&path, &target, left_out, made, &within)?;
        } else if meta.is_file() {
            fs::copy(&path, &target).map_err(|why| say(&path, why))?;
            sync(&target).map_err(|why| say(&target, why))?;
            made.files += 1;
            if meta.mode() & 0o077 == 0 && within.starts_with("keys") {
                made.secrets.push(within.display().to_string());
            }
        }
    }
    sync(to).map_err(|why| say(to, why))
}

/// What a backup says it holds survives a power cut that comes right after it.
fn sync(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}
