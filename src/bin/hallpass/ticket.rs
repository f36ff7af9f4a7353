//! `ticket test`, `ticket presets`, and what `check` says of trackers.

use hallpass::config::ca::Ca;
use hallpass::config::ticket_id::TicketPattern;
use hallpass::config::tracker::{Limits, Tracker, TrackerKind};
use hallpass::outside::tickets::Trackers;

use crate::{Stop, say};

/// Says what each tracker is, and reads what a start would read.
pub(crate) fn check(ca: &Ca) -> Result<(), Stop> {
    for tracker in &ca.tracker {
        say(&format!("tracker {}", line(tracker)));
        if let TrackerKind::Folder(path) = &tracker.kind
            && !path.is_dir()
        {
            let (name, path) = (&tracker.name, path.display());
            return Err(Stop::Failed(format!("tracker {name}: {path} is not a folder")));
        }
    }
    Trackers::open(&ca.tracker)?;
    Ok(())
}

/// A tracker in a line.
fn line(tracker: &Tracker) -> String {
    let ids: Vec<String> = tracker.ids.iter().map(TicketPattern::shape).collect();
    let ids = if ids.is_empty() { "every id".to_owned() } else { ids.join(", ") };
    let limited =
        |limits: &Limits| format!("{} a call, {} at once", limits.deadline, limits.at_once);
    let what = match &tracker.kind {
        TrackerKind::Folder(path) => format!("the folder {}", path.display()),
        TrackerKind::Command(command) => {
            format!("the program {}; {}", command.program.display(), limited(&command.limits))
        }
        TrackerKind::Http(http) => {
            let secret = match &http.auth {
                Some(auth) => format!("credentials from {}", auth.file().display()),
                None => "no credentials".to_owned(),
            };
            let comments = if http.write.is_some() { "; comments are written" } else { "" };
            format!("{}, {secret}; {}{comments}", http.base, limited(&http.limits))
        }
    };
    format!("{}: {ids}: {what}", tracker.name)
}
