//! `SHA256SUMS`: the list of what the files must be, as `sha256sum` prints it. A deployment that writes it
//! last, or first, is believed when everything is as the list says, and not before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::ConfigError;
use super::signers::{CHANGE, NAMESPACE, Signers};
use super::snapshot::{Snapshot, steady, unhex};
use crate::ledger::facts::Signed;
use crate::ledger::tree::Hash;
use crate::outside::clock::{Clock as _, SystemClock};

/// Whether what was read is what the list says: every file that decides is on it, and every file on it
/// is there and has its hash. Where there are signers one of them signed it: who that was.
pub(super) fn check(
    list: &Path,
    read: &Snapshot,
    signers: Option<&Signers>,
) -> Result<Option<Signed>, ConfigError> {
    let differs = |what: String| {
        let what = format!("the files are being changed, or are not what it says: {what}");
        ConfigError::in_file(list, &what)
    };
    let text = steady(list)?.ok_or_else(|| differs("it changed while it was read".to_owned()))?;
    let mut listed = parse(list, &text)?;
    // The number is on the list, so that it is signed too; its hash is looked at with the others'.
    let change = list.with_file_name(CHANGE);
    let change_sum = listed.get(&change).copied();
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
        Some(again) if again == text => {}
        _ => return Err(differs("it changed while it was read".to_owned())),
    }
    let Some(signers) = signers else { return Ok(None) };
    let path = with_sig(list);
    let unsigned = |path: &Path, why: String| {
        let list = list.display();
        ConfigError::in_file(
            path,
            &format!(
                "what decides here must be signed: {why}\nhint: ssh-keygen -Y sign -n {NAMESPACE} -f KEY < {list} > \
                 {list}.sig, as a policy signer"
            ),
        )
    };
    if change_sum.is_none() {
        let why = format!(
            "no {CHANGE} is on the list, with a number greater than any before: date +%s > {CHANGE}"
        );
        return Err(unsigned(list, why));
    }
    let read = |path: &Path| match steady(path) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(differs("it changed while it was read".to_owned())),
        Err(why) => Err(unsigned(path, why.to_string())),
    };
    let (number, signature) = (read(&change)?, read(&path)?);
    if change_sum != Some(Hash::of(number.as_bytes())) {
        return Err(differs(format!("{} differs", change.display())));
    }
    let signed = signers.check(&text, &signature, &number, SystemClock.now());
    signed.map(Some).map_err(|why| unsigned(&path, why))
}

/// `SHA256SUMS.sig`.
fn with_sig(list: &Path) -> PathBuf {
    let mut path = list.as_os_str().to_owned();
    path.push(".sig");
    PathBuf::from(path)
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
