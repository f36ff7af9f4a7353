//! Freezes that are files: a folder with one TOML file a freeze, which stands for as long as the file is
//! there. For what another program knows: a deployment tool, a calendar, a configuration manager.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::certificate::names::TagName;
use crate::certificate::time::UnixTime;
use crate::desk::freezes::Freeze;

/// The folder, read anew for each decision.
///
/// ```toml
/// # freezes/black-friday.toml
/// reason = "the busiest day of the year"
/// tags = ["prod"]                      # none: everything
/// from = "2026-11-27T00:00:00Z"        # from now on, if it is not said
/// until = "2026-11-30T00:00:00Z"       # until the file is removed, if it is not said
/// ```
#[derive(Debug, Clone)]
pub struct FreezeFiles(PathBuf);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    reason: String,
    #[serde(default)]
    tags: BTreeSet<TagName>,
    from: Option<When>,
    until: Option<When>,
}

/// A time, quoted or not: TOML has times of its own.
#[derive(Deserialize)]
#[serde(untagged)]
enum When {
    Quoted(UnixTime),
    Plain(toml::value::Datetime),
}

impl TryFrom<When> for UnixTime {
    type Error = String;
    fn try_from(when: When) -> Result<Self, String> {
        match when {
            When::Quoted(time) => Ok(time),
            When::Plain(time) => time.to_string().parse().map_err(|why| format!("{time}: {why}")),
        }
    }
}

/// Why the folder does not say what is frozen.
#[derive(Debug)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The most freezes in a folder, and the most bytes of one.
const MOST: usize = 256;
const LONGEST: u64 = 16 * 1024;

impl FreezeFiles {
    /// A folder.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Reads every `NAME.toml` in it, also those whose time has not come. Files of other names are no
    /// freezes: an editor's copy, a list of what they are for.
    pub fn read(&self, now: UnixTime) -> Result<Vec<Freeze>, Unreadable> {
        let say =
            |path: &Path, why: &dyn fmt::Display| Unreadable(format!("{}: {why}", path.display()));
        let mut freezes = Vec::new();
        for entry in std::fs::read_dir(&self.0).map_err(|why| say(&self.0, &why))? {
            let path = entry.map_err(|why| say(&self.0, &why))?.path();
            let hidden =
                path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden || path.extension().is_none_or(|ending| ending != "toml") {
                continue;
            }
            if freezes.len() == MOST {
                return Err(say(&self.0, &format!("more than {MOST} freezes")));
            }
            freezes.push(read(&path, now).map_err(|why| say(&path, &why))?);
        }
        freezes.sort_by(|a: &Freeze, b| a.name.cmp(&b.name));
        Ok(freezes)
    }
}

fn read(path: &Path, now: UnixTime) -> Result<Freeze, String> {
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name = name.parse().map_err(|why| format!("the file's name is the freeze's: {why}"))?;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|why| why.to_string())?;
    if !file.metadata().map_err(|why| why.to_string())?.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mut text = String::new();
    let length = file.take(LONGEST + 1).read_to_string(&mut text).map_err(|why| why.to_string())?;
    if u64::try_from(length).unwrap_or(u64::MAX) > LONGEST {
        return Err(format!("longer than {LONGEST} bytes"));
    }
    let File { reason, tags, from, until } =
        toml::from_str(&text).map_err(|why| why.to_string())?;
    let since = from.map_or(Ok(now), UnixTime::try_from)?;
    let until = until.map(UnixTime::try_from).transpose()?;
    Ok(Freeze { name, tags, by: "file".to_owned(), since, until, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_stands_while_its_file_is_there_and_what_cannot_be_read_is_no_absence() {
        let dir = tempfile::tempdir().unwrap();
        let now = UnixTime::from_secs(1_800_000_000);
        let files = FreezeFiles::new(dir.path().join("freezes"));
        assert!(files.read(now).is_err(), "no folder");
        std::fs::create_dir(dir.path().join("freezes")).unwrap();
        assert_eq!(files.read(now).unwrap(), []);
        let at = |name: &str| dir.path().join("freezes").join(name);
        let write = |name: &str, text: &str| std::fs::write(at(name), text).unwrap();
        write("README", "not a freeze");
        write(".black-friday.toml.swp", "\0");
        write("alert.toml", "reason = \"db01 is down\"\ntags = [\"db\"]\n");
        write("later.toml", "reason = \"r\"\nfrom = 2030-01-01T00:00:00Z\n");
        let read = files.read(now).unwrap();
        let standing: Vec<&str> =
            read.iter().filter(|one| one.stands(now)).map(|one| one.name.as_str()).collect();
        assert_eq!(standing, ["alert"]);
        assert_eq!(
            read[0].to_string(),
            "alert over tag db since 2027-01-15T08:00:00Z by file: db01 is down"
        );
        for (name, broken) in [
            ("broken.toml", "reason = 1"),
            ("broken.toml", ""),
            ("broken.toml", "reason = \"r\"\ntag = \"db\"\n"),
            ("broken.toml", "reason = \"r\"\nuntil = \"tomorrow\"\n"),
            ("Two Words.toml", "reason = \"r\"\n"),
        ] {
            write(name, broken);
            assert!(files.read(now).is_err(), "{name}: {broken:?}");
            std::fs::remove_file(at(name)).unwrap();
        }
        std::os::unix::fs::symlink("/etc/hostname", at("link.toml")).unwrap();
        assert!(files.read(now).is_err(), "a link was followed");
    }
}
