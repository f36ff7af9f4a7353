//! The built-in tracker: a folder of files, for small shops and demos.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Answer, TicketSeen, Tracker, TrackerFault};
use crate::certificate::names::TicketId;
use crate::config::tracker::Occasion;
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
    comments: BTreeSet<Occasion>,
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

/// How many of the folder's names, and then how many of its files, are looked at for somebody's open
/// tickets, and how many are told.
const NAMES: usize = 10_000;
const LOOKED_AT: usize = 500;
const FEW: usize = 6;

impl FolderTracker {
    /// A tracker over a folder.
    pub fn new(name: &str, path: PathBuf) -> Self {
        Self { name: name.to_owned(), path, comments: BTreeSet::new() }
    }

    /// On these occasions comments go into `ID.comments` beside the ticket, a line each.
    #[must_use]
    pub fn with_comments(self, comments: BTreeSet<Occasion>) -> Self {
        Self { comments, ..self }
    }

    /// Why a file could not be opened: a folder that is not there is an outage.
    fn not_opened(&self, why: &std::io::Error, say: &str) -> TrackerFault {
        match self.path.is_dir() {
            true => TrackerFault::Unreadable(format!("{say}: {why}")),
            false => TrackerFault::Away(format!("{say}: {why}")),
        }
    }
}

impl Tracker for FolderTracker {
    fn name(&self) -> &str {
        &self.name
    }

    fn names_people(&self) -> bool {
        true
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
            Err(why) => return Err(self.not_opened(&why, &path.display().to_string())),
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

    /// Looks through the first files by name. A file that cannot be read is somebody else's trouble.
    fn open_of(&self, assignee: &str) -> Result<Option<Vec<TicketId>>, TrackerFault> {
        let away = |why: std::io::Error| TrackerFault::Away(format!("{}: {why}", self.name));
        let names = std::fs::read_dir(&self.path).map_err(away)?.take(NAMES);
        let id = |name: std::ffi::OsString| name.to_str()?.strip_suffix(".toml")?.parse().ok();
        let ids = names.filter_map(|entry| id(entry.ok()?.file_name()));
        let ids: BTreeSet<TicketId> = ids.collect();
        let own = |id: &TicketId| match self.read(id) {
            Ok(Answer::Ticket(seen)) => {
                seen.state == TicketState::Open && seen.assignee.as_deref() == Some(assignee)
            }
            _ => false,
        };
        Ok(Some(ids.into_iter().take(LOOKED_AT).filter(own).take(FEW).collect()))
    }

    fn takes_comments(&self) -> bool {
        !self.comments.is_empty()
    }

    fn takes_comments_on(&self, occasion: Occasion) -> bool {
        self.comments.contains(&occasion)
    }

    /// Appends a line, durably, if the ticket is there.
    fn comment(&self, id: &TicketId, text: &str) -> Result<(), TrackerFault> {
        if let Err(why) = std::fs::symlink_metadata(self.path.join(format!("{id}.toml"))) {
            return Err(self.not_opened(&why, &format!("ticket {id}")));
        }
        let path = self.path.join(format!("{id}.comments"));
        let say = path.display().to_string();
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or(0);
        let open = OpenOptions::new().append(true).create(true).custom_flags(flags).open(&path);
        let mut file = open.map_err(|why| match why.kind() {
            // Whoever keeps the folder mends that, for every ticket in it.
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                TrackerFault::Credentials(format!("{say}: {why}"))
            }
            _ => self.not_opened(&why, &say),
        })?;
        if !file.metadata().is_ok_and(|meta| meta.is_file()) {
            return Err(TrackerFault::Unreadable(format!("{say}: not a regular file")));
        }
        let line = format!("{}\n", text.replace(['\n', '\r'], " "));
        let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|why| TrackerFault::Away(format!("{say}: {why}")))
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
    fn somebodys_open_tickets_are_found_and_comments_go_beside_a_ticket() {
        let dir = tempfile::tempdir().unwrap();
        let tracker = FolderTracker::new("tickets", dir.path().join("tickets"))
            .with_comments([Occasion::End].into());
        assert!(tracker.takes_comments() && !tracker.takes_comments_on(Occasion::Grant));
        assert!(matches!(tracker.open_of("ana"), Err(TrackerFault::Away(_))));
        let id = |text: &str| text.parse::<TicketId>().unwrap();
        assert!(matches!(tracker.comment(&id("OPS-1"), "a"), Err(TrackerFault::Away(_))));
        std::fs::create_dir(dir.path().join("tickets")).unwrap();
        let file = |name: &str| dir.path().join("tickets").join(name);
        for (name, state, who) in [
            ("OPS-1.toml", "open", "ana"),
            ("OPS-2.toml", "open", "bob"),
            ("OPS-3.toml", "resolved", "ana"),
            ("OPS-4.toml", "started", "ana"),
            ("OPS-5.txt", "open", "ana"),
            ("OPS 6.toml", "open", "ana"),
        ] {
            let text = format!("title = \"t\"\nstate = \"{state}\"\nassignee = \"{who}\"\n");
            std::fs::write(file(name), text).unwrap();
        }
        std::fs::write(file("OPS-0.toml"), "not a ticket").unwrap();
        let own = tracker.open_of("ana").unwrap().unwrap();
        assert_eq!(own, [id("OPS-1"), id("OPS-4")]);
        assert_eq!(tracker.open_of("carol").unwrap().unwrap(), []);

        tracker.comment(&id("OPS-1"), "one").unwrap();
        tracker.comment(&id("OPS-1"), "two\nlines").unwrap();
        let comments = std::fs::read_to_string(file("OPS-1.comments")).unwrap();
        assert_eq!(comments, "one\ntwo lines\n");
        let refused = |text: &str| tracker.comment(&id(text), "x");
        assert!(matches!(refused("OPS-404"), Err(TrackerFault::Unreadable(_))));
        // Whoever can write to the folder lays a link: nothing is written where it leads.
        let elsewhere = dir.path().join("elsewhere");
        std::fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, file("OPS-2.comments")).unwrap();
        assert!(refused("OPS-2").is_err());
        assert_eq!(std::fs::read_to_string(elsewhere).unwrap(), "");
        assert!(!FolderTracker::new("tickets", dir.path().to_owned()).takes_comments());
    }

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
