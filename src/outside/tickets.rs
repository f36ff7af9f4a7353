//! Tickets. There is one kind of tracker so far, the built-in folder; the trait is drawn when the
//! second one is written.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use serde::Deserialize;

use crate::certificate::names::TicketId;
use crate::decide::facts::TicketState;

/// A ticket in its tracker's own words: the desk maps assignee and hosts to what it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketSeen {
    /// The state, understood.
    pub state: TicketState,
    /// The state, as said.
    pub said: String,
    /// The title.
    pub title: String,
    /// Whom it is assigned to.
    pub assignee: Option<String>,
    /// The priority.
    pub priority: Option<String>,
    /// The labels.
    pub labels: BTreeSet<String>,
    /// The hosts it names.
    pub hosts: BTreeSet<String>,
}

/// The tracker did not tell what the ticket is. Never a yes and never a no: try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackerFault {
    /// The tracker is away.
    Away(String),
    /// There is something under this id, and it is not a ticket that can be understood.
    Unreadable(String),
}

impl TrackerFault {
    /// In a few words, for the person.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Away(_) => "the ticket tracker did not answer",
            Self::Unreadable(_) => "the ticket could not be read; whoever keeps it must mend it",
        }
    }
}

impl std::fmt::Display for TrackerFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Away(why) | Self::Unreadable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for TrackerFault {}

/// The built-in tracker: a folder with one TOML file a ticket, `ID.toml`.
///
/// ```toml
/// title = "Roll out 4.2"
/// state = "open"          # open, pending, closed, or a word that means one of them
/// assignee = "ana"
/// hosts = ["web01"]       # none: the ticket covers every host
/// priority = "normal"
/// labels = ["release"]
/// ```
#[derive(Debug, Clone)]
pub struct FolderTracker {
    name: String,
    path: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    state: String,
    assignee: Option<String>,
    priority: Option<String>,
    #[serde(default)]
    labels: BTreeSet<String>,
    #[serde(default)]
    hosts: BTreeSet<String>,
}

/// The most bytes of a ticket's file.
const MAX: u64 = 64 * 1024;

impl FolderTracker {
    /// A tracker over a folder.
    pub fn new(name: &str, path: PathBuf) -> Self {
        Self { name: name.to_owned(), path }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a ticket as it stands on the disk at this moment; nothing is kept. `None` if there is
    /// none. Blocks for a file of at most 64 KiB; does not retry.
    ///
    /// An id is one path segment by its grammar; a link is not followed.
    pub fn read(&self, id: &TicketId) -> Result<Option<TicketSeen>, TrackerFault> {
        let path = self.path.join(format!("{id}.toml"));
        let say = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let fault = |why: &dyn std::fmt::Display| TrackerFault::Unreadable(say(why));
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or(0);
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            // A folder that is not there is an outage, not a ticket that does not exist.
            Err(why) if why.kind() == ErrorKind::NotFound && self.path.is_dir() => return Ok(None),
            Err(why) if self.path.is_dir() => return Err(fault(&why)),
            Err(why) => return Err(TrackerFault::Away(say(&why))),
        };
        if !file.metadata().map_err(|why| fault(&why))?.is_file() {
            return Err(fault(&"not a regular file"));
        }
        let mut text = String::new();
        let length = file.take(MAX + 1).read_to_string(&mut text).map_err(|why| fault(&why))?;
        if u64::try_from(length).unwrap_or(u64::MAX) > MAX {
            return Err(fault(&"longer than 64 KiB"));
        }
        let file: File = toml::from_str(&text).map_err(|why| fault(&why))?;
        let state = understand(&file.state).ok_or_else(|| {
            fault(&format!("state {:?} means neither open nor pending nor closed", file.state))
        })?;
        let File { title, state: said, assignee, priority, labels, hosts } = file;
        Ok(Some(TicketSeen { state, said, title, assignee, priority, labels, hosts }))
    }
}

/// What a word for a state means.
fn understand(said: &str) -> Option<TicketState> {
    match said {
        "open" | "in-progress" | "started" => Some(TicketState::Open),
        "pending" | "new" | "waiting" | "stalled" => Some(TicketState::Pending),
        "closed" | "resolved" | "done" | "rejected" | "cancelled" => Some(TicketState::Closed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_anew_each_time_and_an_outage_is_not_an_absence() {
        let dir = tempfile::tempdir().unwrap();
        let tracker = FolderTracker::new("tickets", dir.path().join("tickets"));
        let id: TicketId = "OPS-7".parse().unwrap();
        assert!(tracker.read(&id).is_err(), "no folder");
        std::fs::create_dir(dir.path().join("tickets")).unwrap();
        assert_eq!(tracker.read(&id), Ok(None));
        let path = dir.path().join("tickets/OPS-7.toml");
        std::fs::write(
            &path,
            "title = \"t\"\nstate = \"open\"\nassignee = \"ana\"\nhosts = [\"web01\"]\n",
        )
        .unwrap();
        assert_eq!(tracker.read(&id).unwrap().unwrap().state, TicketState::Open);
        std::fs::write(&path, "title = \"t\"\nstate = \"resolved\"\n").unwrap();
        let seen = tracker.read(&id).unwrap().unwrap();
        assert_eq!((seen.state, seen.said.as_str()), (TicketState::Closed, "resolved"));
        for broken in [
            "",
            "title = 1",
            "title = \"t\"\nstate = \"maybe\"\n",
            "title = \"t\"\nstate = \"open\"\nstat = 1\n",
        ] {
            std::fs::write(&path, broken).unwrap();
            assert!(tracker.read(&id).is_err(), "{broken:?}");
        }
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert!(tracker.read(&id).is_err(), "a link was followed");
    }
}
