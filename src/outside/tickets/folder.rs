//! The built-in tracker: a folder of files, for small shops and demos.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Answer, TicketSeen, Tracker, TrackerFault};
use crate::certificate::names::TicketId;
use crate::decide::facts::TicketState;

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
}

impl Tracker for FolderTracker {
    fn name(&self) -> &str {
        &self.name
    }

    /// Reads a file of at most 64 KiB. An id is one path segment by its grammar; a link is not followed.
    fn read(&self, id: &TicketId) -> Result<Answer, TrackerFault> {
        let path = self.path.join(format!("{id}.toml"));
        let say = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let fault = |why: &dyn std::fmt::Display| TrackerFault::Unreadable(say(why));
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or(0);
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            // A folder that is not there is an outage, not a ticket that does not exist.
            Err(why) if why.kind() == ErrorKind::NotFound && self.path.is_dir() => {
                return Ok(Answer::Absent);
            }
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
        let window = None;
        let seen = TicketSeen { state, said, title, assignee, priority, labels, hosts, window };
        Ok(Answer::Ticket(seen))
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
        assert_eq!(tracker.read(&id), Ok(Answer::Absent));
        let path = dir.path().join("tickets/OPS-7.toml");
        std::fs::write(
            &path,
            "title = \"t\"\nstate = \"open\"\nassignee = \"ana\"\nhosts = [\"web01\"]\n",
        )
        .unwrap();
        let seen = |tracker: &FolderTracker| match tracker.read(&id) {
            Ok(Answer::Ticket(seen)) => seen,
            other => panic!("{other:?}"),
        };
        assert_eq!(seen(&tracker).state, TicketState::Open);
        std::fs::write(&path, "title = \"t\"\nstate = \"resolved\"\n").unwrap();
        let seen = seen(&tracker);
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
