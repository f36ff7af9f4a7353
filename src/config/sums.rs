//! `SHA256SUMS`: the list of what the files must be, as `sha256sum` prints it. A deployment that writes it
//! last, or first, is believed when everything is as the list says, and not before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::ConfigError;
use super::snapshot::{Snapshot, steady, unhex};
use crate::ledger::tree::Hash;

/// Whether what was read is what the list says: every file that decides is on it, and every file on it
/// is there and has its hash.
pub(super) fn check(list: &Path, read: &Snapshot) -> Result<(), ConfigError> {
    let differs = |what: String| {
        let what = format!("the files are being changed, or are not what it says: {what}");
        ConfigError::in_file(list, &what)
    };
    let text = steady(list)?.ok_or_else(|| differs("it changed while it was read".to_owned()))?;
    let mut listed = parse(list, &text)?;
    for text in read.texts() {
        match listed.remove(&text.path) {
            Some(hash) if hash == Hash::of(text.text.as_bytes()) => {}
            Some(_) => return Err(differs(format!("{} differs", text.path.display()))),
            None => return Err(differs(format!("{} is not on it", text.path.display()))),
        }
    }
    // What else is on it (ca.toml, say) must be the same too.
    for (path, hash) in listed {
        match std::fs::read(&path) {
            Ok(bytes) if Hash::of(&bytes) == hash => {}
            Ok(_) => return Err(differs(format!("{} differs", path.display()))),
            Err(why) => return Err(differs(format!("{}: {why}", path.display()))),
        }
    }
    // The list itself was the same all the while.
    match steady(list)? {
        Some(again) if again == text => Ok(()),
        _ => Err(differs("it changed while it was read".to_owned())),
    }
}

/// The list's lines: a hash, two spaces (or a space and `*`), a name relative to the list's folder.
fn parse(list: &Path, text: &str) -> Result<BTreeMap<PathBuf, Hash>, ConfigError> {
    let dir = list.parent().unwrap_or(Path::new("."));
    let mut listed = BTreeMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let say = |what: &str| ConfigError::in_file(list, &format!("line {}: {what}", number + 1));
        let (hash, name) = line.split_at_checked(64).ok_or_else(|| say("not sha256sum's"))?;
        let hash = unhex(hash).ok_or_else(|| say("not sha256sum's"))?;
        let name = name.strip_prefix("  ").or_else(|| name.strip_prefix(" *"));
        let name = name.filter(|name| !name.is_empty()).ok_or_else(|| say("not sha256sum's"))?;
        if listed.insert(dir.join(name), hash).is_some() {
            return Err(say(&format!("{name} is on it twice")));
        }
    }
    // The last line may have been cut in the middle of a name.
    if !text.ends_with('\n') {
        let what = "the files are being changed, or it was cut: its last line has no end";
        return Err(ConfigError::in_file(list, what));
    }
    Ok(listed)
}
