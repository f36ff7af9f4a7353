//! The files that decide at a moment: those in a folder, or those that decided in the past, by the
//! ledger's entries and the texts that are kept under their hashes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::certificate::names::GroupName;
use crate::certificate::time::UnixTime;
use crate::config::ca::Ca;
use crate::config::snapshot::{Paths, Snapshot, Text as File, hex, kept, unframed, unhex};
use crate::config::{Config, ConfigError, Deciding};
use crate::decide::{Policy, Saying};
use crate::desk::locks::Locks;
use crate::ledger::facts::{Header, Text};
use crate::ledger::leaf::{Kind, Leaf};
use crate::ledger::store::Store;
use crate::ledger::tree::Hash;

/// Policy, people and hosts at a moment, and what was locked then.
pub struct Moment {
    /// What decided.
    pub deciding: Deciding,
    /// What was locked.
    pub locks: Locks,
    /// Where this is from.
    pub source: Source,
}

/// Where a moment's files are from: for whoever has to rely on what is said of them.
#[derive(Debug, Clone)]
pub struct Source {
    /// Which moment, in words: a time, `entry 12`, or a folder.
    pub name: String,
    /// When it was; for an entry the time that stands in it.
    pub time: UnixTime,
    /// Policy, people and hosts: the hash of each text, and the entry of the ledger that brought it, if
    /// one did.
    pub texts: [(&'static str, Hash, Option<u64>); 3],
}

/// Which moment is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// After everything up to a second, the entries of that second included.
    Time(UnixTime),
    /// After an entry, and what was recorded in one with it.
    Entry(u64),
    /// When the text of this hash came to decide, the last time it did.
    Text(Hash),
}

impl FromStr for AsOf {
    type Err = String;

    /// Reads `2026-11-22T05:40:00Z`, `2026-11-22` (its first second), `entry:12`, or a hash.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(index) = text.strip_prefix("entry:") {
            let index = index.parse().map_err(|_| format!("{index:?} is no entry's number"))?;
            return Ok(Self::Entry(index));
        }
        let midnight = format!("{text}T00:00:00Z");
        if let Ok(time) = text.parse::<UnixTime>().or_else(|_| midnight.parse()) {
            return Ok(Self::Time(time));
        }
        unhex(text).map(Self::Text).ok_or_else(|| {
            format!(
                "{text:?} is no moment: write 2026-11-22T05:40:00Z, 2026-11-22, entry:12, or the SHA-256 of \
                 a policy"
            )
        })
    }
}

/// An entry that says which text decides from there on.
struct Brought {
    index: u64,
    kind: Kind,
    time: UnixTime,
    text: Hash,
}

impl Moment {
    /// The files as they are, with the locks that stand.
    pub fn now(config: Config, now: UnixTime) -> Result<Self, ConfigError> {
        let Config { ca, deciding, .. } = config;
        // It was made by this load alone.
        let deciding = std::sync::Arc::try_unwrap(deciding)
            .or_else(|_| Deciding::load(&ca))
            .map_err(|why| ConfigError::new(why.to_string()))?;
        let store = open(&ca)?;
        let locks = Locks::rebuild(&store).map_err(|why| in_ledger(&ca, &why))?;
        let all = brought(&ca, &store)?;
        let name = format!("now, by the files of {}", ca.source.path.display());
        let texts = KINDS.map(|(word, kind)| {
            let hash = of(&deciding, kind);
            let entry = all.iter().rev().find(|one| one.kind == kind);
            (word, hash, entry.filter(|one| one.text == hash).map(|one| one.index))
        });
        Ok(Self { deciding, locks, source: Source { name, time: now, texts } })
    }

    /// The files of a folder, a `ca.toml`, or a policy file with its neighbours: nothing of a ledger's. A
    /// policy file that lies alone is put to the people and hosts of `config`.
    pub fn of_files(at: &Path, config: &Path, now: UnixTime) -> Result<Self, ConfigError> {
        // A list of sums is the deployment's: here somebody works on the files.
        let read = if at.is_file() && at.extension().is_some_and(|ending| ending == "toml") {
            Snapshot::beside(&Paths::of(&Ca::load(at)?))?
        } else {
            // Not by the folder's ca.toml, whose paths may lead elsewhere: to the same files from both.
            let (dir, policy) = match at.is_dir() {
                true => (at.to_owned(), at.join("policy.cedar")),
                false => (at.parent().unwrap_or(Path::new(".")).to_owned(), at.to_owned()),
            };
            let (hours, people, hosts) =
                (dir.join("hours.toml"), dir.join("people.toml"), dir.join("hosts.toml"));
            if at.is_file() && !people.exists() && !hosts.exists() {
                let ca = Ca::load(config)?;
                Snapshot::beside(&Paths { policy: &policy, ..Paths::of(&ca) })?
            } else {
                let hours = Some(hours.as_path()).filter(|path| path.exists());
                Snapshot::beside(&Paths { policy: &policy, hours, people: &people, hosts: &hosts })?
            }
        };
        let deciding = Deciding::of(&read, named(&read), Saying::default())?;
        let texts = KINDS.map(|(word, kind)| (word, of(&deciding, kind), None));
        let source = Source { name: at.display().to_string(), time: now, texts };
        Ok(Self { deciding, locks: Locks::default(), source })
    }

    /// What decided at a moment of the ledger.
    pub fn past(ca: &Ca, as_of: AsOf) -> Result<Self, ConfigError> {
        let store = open(ca)?;
        let all = brought(ca, &store)?;
        let (name, last, time) = match as_of {
            AsOf::Time(time) => (time.to_string(), u64::MAX, time),
            AsOf::Entry(index) => {
                let (last, time) = after(ca, &store, &all, index)?;
                (format!("entry {index}"), last, time)
            }
            AsOf::Text(hash) => {
                let entry = all.iter().rev().find(|one| one.text == hash).ok_or_else(|| {
                    let what = format!("no entry says that {} decided", hex(hash));
                    ConfigError::in_file(&ca.ledger.database, &what)
                })?;
                let (last, time) = after(ca, &store, &all, entry.index)?;
                (hex(hash), last, time)
            }
        };
        let until = match as_of {
            AsOf::Time(time) => time,
            AsOf::Entry(_) | AsOf::Text(_) => UnixTime::MAX,
        };
        let counts = |index: u64, then: UnixTime| index <= last && then <= until;
        let newest = |kind: Kind| {
            let mut of_kind = all.iter().rev().filter(|one| one.kind == kind);
            of_kind.find(|one| counts(one.index, one.time)).ok_or_else(|| {
                let what = format!("no entry says which {} decided {name}", kind.word());
                ConfigError::in_file(&ca.ledger.database, &what)
            })
        };
        let [policy, people, hosts] = KINDS.map(|(_, kind)| newest(kind));
        let brought = [policy?, people?, hosts?];
        let [policy, people, hosts] = brought.map(|one| text(ca, one));
        let (mut policy, people, hosts) = (policy?.into_iter(), people?, hosts?);
        // The policy, and hours.toml where there was one.
        let (Some(policy), hours, None) = (policy.next(), policy.next(), policy.next()) else {
            return Err(ConfigError::new("a policy of no text, or of too many"));
        };
        let read = Snapshot { policy, hours, people, hosts, unread: Vec::new(), signed: None };
        let deciding = Deciding::of(&read, named(&read), Saying::default())?;
        let locks = Locks::rebuild_to(&store, &|index, facts| {
            serde_json::from_slice::<Header>(facts).is_ok_and(|head| counts(index, head.time))
        });
        let locks = locks.map_err(|why| in_ledger(ca, &why))?;
        let mut texts = brought.into_iter();
        let texts = KINDS
            .map(|(word, kind)| (word, of(&deciding, kind), texts.next().map(|one| one.index)));
        Ok(Self { deciding, locks, source: Source { name, time, texts } })
    }
}

impl Source {
    /// Lines that say which moment this is, and what proves it.
    pub fn lines(&self) -> Vec<String> {
        let text = |(kind, hash, entry): &(&str, Hash, Option<u64>)| {
            let entry = entry.map_or("not in the ledger".to_owned(), |at| format!("entry {at}"));
            format!("{kind} sha256 {} ({entry})", hex(*hash))
        };
        let as_of = format!("as of {} ({})", self.time, self.name);
        std::iter::once(as_of).chain(self.texts.iter().map(text)).collect()
    }
}

const KINDS: [(&str, Kind); 3] =
    [("policy", Kind::Policy), ("people", Kind::People), ("hosts", Kind::Hosts)];

fn of(deciding: &Deciding, kind: Kind) -> Hash {
    match kind {
        Kind::Policy => deciding.texts.policy,
        Kind::People => deciding.texts.people,
        _ => deciding.texts.hosts,
    }
}

/// The groups that a policy names. Whether they exist is for `hallpass check` to say, by a ca.toml that is
/// not at hand here: some are in no people.toml but by shift.
fn named(read: &Snapshot) -> BTreeSet<GroupName> {
    Policy::groups_in(&read.policy.text)
}

fn open(ca: &Ca) -> Result<Store, ConfigError> {
    Store::open_to_read(&ca.ledger.database).map_err(|why| in_ledger(ca, &why))
}

fn in_ledger(ca: &Ca, why: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::in_file(&ca.ledger.database, &why.to_string())
}

/// Every entry that says which text decides, in order. What is not what its leaf says is an error.
fn brought(ca: &Ca, store: &Store) -> Result<Vec<Brought>, ConfigError> {
    let mut all = Vec::new();
    for (_, kind) in KINDS {
        for row in store.of_kind(kind).map_err(|why| in_ledger(ca, &why))? {
            let say = |why: &dyn std::fmt::Display| {
                in_ledger(ca, &format!("entry {}, a {}: {why}", row.index, kind.word()))
            };
            // Redacted: which text that was nobody can say any more.
            let Some(facts) = &row.facts else { continue };
            let leaf: Leaf = row.leaf.parse().map_err(|why| say(&why))?;
            if Hash::of(facts) != leaf.facts {
                return Err(say(&"it is not what was written; see hallpass ledger verify"));
            }
            let head: Header = serde_json::from_slice(facts).map_err(|why| say(&why))?;
            let text: Text = serde_json::from_slice(facts).map_err(|why| say(&why))?;
            let (index, time) = (row.index, head.time);
            all.push(Brought { index, kind, time, text: text.sha256 });
        }
    }
    all.sort_by_key(|one| one.index);
    Ok(all)
}

/// The last entry that belongs to this one, and its time: a start or a reload records several texts in
/// one.
fn after(
    ca: &Ca,
    store: &Store,
    all: &[Brought],
    index: u64,
) -> Result<(u64, UnixTime), ConfigError> {
    let row = store.entry(index).map_err(|why| in_ledger(ca, &why))?;
    let row = row.ok_or_else(|| in_ledger(ca, &format!("there is no entry {index}")))?;
    let facts = row.facts.unwrap_or_default();
    let head: Header = serde_json::from_slice(&facts)
        .map_err(|_| in_ledger(ca, &format!("entry {index} does not say when it was")))?;
    let mut last = index;
    if all.iter().any(|one| one.index == index) {
        while all.iter().any(|one| one.index == last + 1 && one.time == head.time) {
            last += 1;
        }
    }
    Ok((last, head.time))
}

/// The files of a text that decided.
fn text(ca: &Ca, one: &Brought) -> Result<Vec<File>, ConfigError> {
    let (texts, kind, at) = (ca.ledger.texts(), one.kind.word(), one.index);
    let path = texts.join(hex(one.text));
    let bytes = kept(&texts, one.text).ok_or_else(|| {
        let what = format!(
            "is not there, or is not what its name says: entry {at} says that this {kind} decided; a backup \
             may have it"
        );
        ConfigError::in_file(&path, &what)
    })?;
    let say = |why: String| ConfigError::in_file(&path, &why);
    let text = String::from_utf8(bytes).map_err(|why| say(why.to_string()))?;
    let name =
        if one.kind == Kind::Policy { "policy.cedar".to_owned() } else { format!("{kind}.toml") };
    let mut files = unframed(&text, &name).map_err(say)?;
    for file in &mut files {
        file.path = PathBuf::from(format!("entry {at}/{}", file.name));
    }
    Ok(files)
}
