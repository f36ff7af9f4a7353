//! The files that decide, as they were at one moment: whole, or not at all.
//!
//! A deployment rewrites policy, people and hosts one after the other, in place or by rename, and nothing
//! in a file says that it is finished. So each file is opened once and must be the same after it was read
//! as before, and all of them are read twice and must be equal. What that cannot tell apart, a writer
//! that pauses between two chunks or between two files, [`super::sums`] can.

use std::collections::BTreeSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::ca::Ca;
use super::{ConfigError, sums};
use crate::ledger::facts::Signed;
use crate::ledger::tree::Hash;

/// Policy, people and hosts as text, and what lay beside them and was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// `policy.cedar`.
    pub policy: Text,
    /// `hours.toml`, where there is one. It belongs to the policy, and is hashed and kept with it.
    pub hours: Option<Text>,
    /// `people.toml`, then `people.d` by name.
    pub people: Vec<Text>,
    /// `hosts.toml`, then `hosts.d` by name.
    pub hosts: Vec<Text>,
    /// Files in `people.d` and `hosts.d` that are neither TOML nor JSON.
    pub unread: Vec<PathBuf>,
    /// Who signed them, where that is asked for.
    pub signed: Option<Signed>,
}

/// A file and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Where it is, for errors.
    pub path: PathBuf,
    /// What it is called in the text that is hashed: `people.toml`, `people.d/10-sre.toml`.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// Where the files that decide are.
#[derive(Debug, Clone, Copy)]
pub struct Paths<'f> {
    /// `policy.cedar`.
    pub policy: &'f Path,
    /// `hours.toml`, where there is one.
    pub hours: Option<&'f Path>,
    /// `people.toml`.
    pub people: &'f Path,
    /// `hosts.toml`.
    pub hosts: &'f Path,
}

impl<'f> Paths<'f> {
    /// As `ca.toml` says.
    pub fn of(ca: &'f Ca) -> Self {
        let files = &ca.files;
        let (policy, people, hosts) = (&files.policy, &files.people, &files.hosts);
        Self { policy, hours: files.hours.as_deref(), people, hosts }
    }
}

impl Snapshot {
    /// Reads everything that decides.
    pub fn take(ca: &Ca) -> Result<Self, ConfigError> {
        let mut read = Self::beside(&Paths::of(ca))?;
        if let Some(list) = &ca.files.sums {
            read.signed = sums::check(list, &read, ca.signers.as_ref())?;
        }
        Ok(read)
    }

    /// Reads these files, and what is in the folders beside them, whatever any list says.
    pub fn beside(paths: &Paths<'_>) -> Result<Self, ConfigError> {
        let mut first = Self::read(paths)?;
        for _ in 0..TRIES {
            let second = Self::read(paths)?;
            match (first, second) {
                (Some(first), Some(second)) if first == second => return Ok(first),
                (_, second) => first = second,
            }
        }
        Err(ConfigError::new("the files are being changed: try again when that is done"))
    }

    /// Reads each file once; `None` if one changed meanwhile.
    fn read(paths: &Paths<'_>) -> Result<Option<Self>, ConfigError> {
        let Paths { policy, hours, people, hosts } = *paths;
        let mut unread = Vec::new();
        let all = |main: &Path, unread: &mut Vec<PathBuf>| {
            let paths = [vec![main.to_owned()], beside(main, unread)?].concat();
            let texts = paths.into_iter().map(|path| Text::read(main, path));
            texts.collect::<Result<Option<Vec<_>>, _>>()
        };
        let text = Text::read(policy, policy.to_owned())?;
        // Named as it lies beside the policy.
        let hours = match hours {
            Some(path) => Text::read(policy, path.to_owned())?.map(Some),
            None => Some(None),
        };
        let (people, hosts) = (all(people, &mut unread)?, all(hosts, &mut unread)?);
        Ok(match (text, hours, people, hosts) {
            (Some(policy), Some(hours), Some(people), Some(hosts)) => {
                Some(Self { policy, hours, people, hosts, unread, signed: None })
            }
            _ => None,
        })
    }

    /// Every file.
    pub fn texts(&self) -> impl Iterator<Item = &Text> {
        std::iter::once(&self.policy).chain(&self.hours).chain(&self.people).chain(&self.hosts)
    }

    /// The three texts that are hashed, named in every certificate's facts, and kept.
    pub fn framed(&self) -> [String; 3] {
        let policy: Vec<&Text> = std::iter::once(&self.policy).chain(&self.hours).collect();
        [framed(policy), framed(&self.people), framed(&self.hosts)]
    }

    /// Keeps the three texts in a folder, each under its hash, durably: what a hash in the ledger stands
    /// for can be looked up for as long as they are there.
    pub fn keep(&self, dir: &Path) -> Result<(), ConfigError> {
        let say = |why: std::io::Error| ConfigError::in_file(dir, &why.to_string());
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(say)?;
        let mut new = false;
        for text in self.framed() {
            let path = dir.join(hex(Hash::of(text.as_bytes())));
            // One that a crash cut short is not what its name says.
            if std::fs::read(&path).is_ok_and(|kept| kept == text.as_bytes()) {
                continue;
            }
            let written = path.with_extension("new");
            let mut file = OpenOptions::new();
            let file = file.write(true).create(true).truncate(true).mode(0o600).open(&written);
            let done = file.and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()?;
                std::fs::rename(&written, &path)
            });
            done.map_err(say)?;
            new = true;
        }
        if new { File::open(dir).and_then(|dir| dir.sync_all()).map_err(say) } else { Ok(()) }
    }
}

/// A kept text by its hash: `None` if it is not there, or is not what its name says.
pub fn kept(dir: &Path, hash: Hash) -> Option<Vec<u8>> {
    std::fs::read(dir.join(hex(hash))).ok().filter(|text| Hash::of(text) == hash)
}

/// A hash as `sha256sum` prints it.
pub fn hex(hash: Hash) -> String {
    hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash as `sha256sum` prints it, or as the ledger does.
pub fn unhex(text: &str) -> Option<Hash> {
    if text.len() != 64 {
        return Hash::from_base64(text);
    }
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    text.bytes().all(|b| b.is_ascii_hexdigit()).then_some(Hash(hash))
}

/// One file stands for itself, so that `sha256sum people.toml` is its hash. Several are framed:
///
/// ```text
/// hallpass.files v1
/// people.toml 120
/// <120 bytes>
/// people.d/10-sre.toml 80
/// <80 bytes>
/// ```
///
/// with a line feed after each file's bytes. No TOML begins like that, and no
/// policy. `policy.cedar` is framed with `hours.toml`, where there is one.
fn framed<'t>(texts: impl IntoIterator<Item = &'t Text>) -> String {
    let texts: Vec<&Text> = texts.into_iter().collect();
    if let [alone] = texts.as_slice() {
        return alone.text.clone();
    }
    let mut all = String::from(FRAME);
    for Text { name, text, .. } in texts {
        all += &format!("{name} {}\n{text}\n", text.len());
    }
    all
}

/// The files that were put together as one text that is hashed; `alone` is the name of one that stands
/// for itself.
pub fn unframed(text: &str, alone: &str) -> Result<Vec<Text>, String> {
    let whole = |name: &str, text: &str| Text {
        path: PathBuf::from(name),
        name: name.to_owned(),
        text: text.to_owned(),
    };
    let Some(mut rest) = text.strip_prefix(FRAME) else { return Ok(vec![whole(alone, text)]) };
    let mut all = Vec::new();
    while !rest.is_empty() {
        let cut = || format!("it is not whole after its file {}", all.len());
        let (head, after) = rest.split_once('\n').ok_or_else(cut)?;
        let (name, length) = head.rsplit_once(' ').ok_or_else(cut)?;
        let length: usize = length.parse().map_err(|_| cut())?;
        let (text, after) = after.split_at_checked(length).ok_or_else(cut)?;
        let after = after.strip_prefix('\n').ok_or_else(cut)?;
        all.push(whole(name, text));
        rest = after;
    }
    Ok(all)
}

/// The first line of several files put together.
const FRAME: &str = "hallpass.files v1\n";

/// The folder of further files: `people.d` beside `people.toml`.
pub fn folder(main: &Path) -> PathBuf {
    main.with_extension("d")
}

/// The further files of a kind, by name. What an editor or a deployment leaves for a moment (hidden
/// files, `*.new`, `*~`) is passed over; what else is no TOML or JSON is told.
fn beside(main: &Path, unread: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>, ConfigError> {
    let dir = folder(main);
    let say = |why: std::io::Error| ConfigError::in_file(&dir, &why.to_string());
    let entries = match std::fs::read_dir(&dir) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(say)?,
    };
    safe(&dir, &std::fs::metadata(&dir).map_err(say)?)?;
    let mut found = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(say)?.file_name();
        let Some(name) = name.to_str() else {
            let what = format!("{name:?} in it is not UTF-8");
            return Err(ConfigError::in_file(&dir, &what));
        };
        if name.starts_with('.') || name.ends_with('~') || name.ends_with(".new") {
            continue;
        }
        let read = name.ends_with(".toml") || name.ends_with(".json");
        match read {
            true => drop(found.insert(name.to_owned())),
            false => unread.push(dir.join(name)),
        }
    }
    unread.sort();
    Ok(found.into_iter().map(|name| dir.join(name)).collect())
}

impl Text {
    /// Reads a file that is as long and as old afterwards as before; `None` if it is not.
    fn read(main: &Path, path: PathBuf) -> Result<Option<Self>, ConfigError> {
        let beside = main.parent().and_then(|dir| path.strip_prefix(dir).ok());
        let name = beside.unwrap_or(&path).display().to_string();
        Ok(steady(&path)?.map(|text| Self { path, name, text }))
    }
}

/// The text of a regular file; `None` if it changed while it was read.
pub(super) fn steady(path: &Path) -> Result<Option<String>, ConfigError> {
    let say = |why: std::io::Error| ConfigError::in_file(path, &why.to_string());
    // A FIFO must not make the daemon wait. Links are followed: deployments are made of them.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let open = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = open.map_err(say)?;
    let before = file.metadata().map_err(say)?;
    if !before.is_file() {
        return Err(ConfigError::in_file(path, "is not a regular file"));
    }
    safe(path, &before)?;
    if before.len() > LONGEST {
        return Err(ConfigError::in_file(path, "is longer than 64 MiB"));
    }
    let mut bytes = Vec::new();
    (&file).take(LONGEST + 1).read_to_end(&mut bytes).map_err(say)?;
    let after = file.metadata().map_err(say)?;
    let same = |seen: fn(&Metadata) -> [i64; 4]| seen(&before) == seen(&after);
    let whole = u64::try_from(bytes.len()).is_ok_and(|length| length == after.len());
    if !whole || !same(|meta| [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()]) {
        return Ok(None);
    }
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|why| ConfigError::in_file(path, &format!("is not UTF-8: {why}")))
}

/// What anybody on the machine can write decides nothing here.
fn safe(path: &Path, meta: &Metadata) -> Result<(), ConfigError> {
    if meta.mode() & 0o002 != 0 {
        let what = "everybody on this machine can write it, and it decides who gets in: chmod o-w";
        return Err(ConfigError::in_file(path, what));
    }
    Ok(())
}

/// How often files that change are read again.
const TRIES: usize = 5;

/// The longest file.
const LONGEST: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_together_comes_apart_again() {
        let text = |name: &str, text: &str| {
            let (path, name) = (PathBuf::from(name), name.to_owned());
            Text { path, name, text: text.to_owned() }
        };
        // A file that ends in no line feed, one that looks like a frame, and a name with a blank.
        let all = [
            text("people.toml", "[person.ana]"),
            text("people.d/10 sre.toml", "people.toml 3\nabc\n"),
            text("people.d/empty.json", ""),
            text("people.d/\u{f6}.toml", "# \u{1f600}\n"),
        ];
        assert_eq!(unframed(&framed(&all), "people.toml").unwrap(), all);
        let one = [text("people.toml", "[person.ana]\n")];
        assert_eq!(unframed(&framed(&one), "people.toml").unwrap(), one);
        // Cut anywhere it is an error, never fewer files.
        let whole = framed(&all);
        for cut in (FRAME.len() + 1)..whole.len() {
            let Some(part) = whole.get(..cut) else { continue };
            let ends =
                all.iter().enumerate().map(|(at, _)| framed_to(&all, at + 1)).any(|end| end == cut);
            assert_eq!(unframed(part, "x").is_ok(), ends, "cut at {cut}");
        }
    }

    /// How long the frame of the first files is.
    fn framed_to(all: &[Text], count: usize) -> usize {
        let lengths = all
            .iter()
            .take(count)
            .map(|Text { name, text, .. }| format!("{name} {}\n{text}\n", text.len()).len());
        FRAME.len() + lengths.sum::<usize>()
    }
}
