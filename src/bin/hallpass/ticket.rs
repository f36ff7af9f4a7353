//! `ticket test`, `ticket presets`, and what `check` says of trackers.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use hallpass::certificate::names::TicketId;
use hallpass::certificate::safe::Safe;
use hallpass::certificate::time::UnixTime;
use hallpass::config::ca::Ca;
use hallpass::config::presets::{self, PRESETS};
use hallpass::config::ticket_id::TicketPattern;
use hallpass::config::tracker::{Limits, Tracker, TrackerKind};
use hallpass::config::{Config, Deciding};
use hallpass::outside::clock::{Clock as _, SystemClock};
use hallpass::outside::tickets::{Answer, TicketSeen, TrackerFault, Trackers, Trial};

use crate::{Stop, print, say};

/// Says what each tracker is, and reads what a start would read.
pub(crate) fn check(ca: &Ca) -> Result<(), Stop> {
    for tracker in &ca.tracker {
        say(&format!("tracker {}", line(tracker)));
        if let TrackerKind::Folder { path, .. } = &tracker.kind
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
        TrackerKind::Folder { path, .. } => format!("the folder {}", path.display()),
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

/// Lists the presets, or prints one.
pub(crate) fn presets(name: Option<&str>) -> Result<(), Stop> {
    let Some(name) = name else {
        let width = PRESETS.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let line =
            |(name, text): &(&str, &str)| format!("{name:width$}  {}\n", presets::title(text));
        print(&PRESETS.iter().map(line).collect::<String>());
        return Ok(());
    };
    match presets::text(name) {
        Ok(text) => print(text),
        Err(why) => {
            let hint = "hallpass ticket presets lists them".to_owned();
            return Err(Stop::Usage(why, hint));
        }
    }
    Ok(())
}

/// Reads a ticket and tells everything about it.
pub(crate) fn test(path: &Path, typed: &str, json: bool) -> Result<(), Stop> {
    let Config { ca, deciding, .. } = Config::load(path)?;
    let trackers = Trackers::open(&ca.tracker)?;
    let id = match trackers.by_address(typed) {
        Some(id) => id,
        None => typed.parse::<TicketId>().map_err(|why| format!("{} is {why}", Safe(typed)))?,
    };
    let of = |one: &&Tracker| one.ids.is_empty() || one.ids.iter().any(|ids| ids.fits(&id));
    let (Some(tracker), Some(configured)) = (trackers.of(&id), ca.tracker.iter().find(of)) else {
        let shapes = match trackers.shapes().as_slice() {
            [] => "ca.toml has no tracker: add a [[tracker]]".to_owned(),
            shapes => {
                format!("ids look like {}; change a tracker's ids in ca.toml", shapes.join(", "))
            }
        };
        eprintln!("hallpass: {id} belongs to no tracker\nhint: {shapes}");
        return Err(Stop::Invalid);
    };
    let begun = Instant::now();
    let trial = tracker.try_out(&id);
    let took = begun.elapsed();
    // Whose tickets can be looked for, for the hint that names one.
    let alias = match &trial.answer {
        Ok(Answer::Ticket(seen)) => seen.assignee.as_deref(),
        _ => None,
    };
    let search = alias.map(|alias| tracker.open_of(alias));
    let report = Report {
        id: &id,
        tracker: tracker.name(),
        names: tracker.names_people(),
        pattern: configured.ids.iter().find(|ids| ids.fits(&id)).map(TicketPattern::as_str),
        trial: &trial,
        search,
        took,
        deciding: &deciding,
        now: SystemClock.now(),
    };
    match json {
        true => print(&format!("{}\n", report.json())),
        false => report.tell(),
    }
    match &trial.answer {
        Ok(Answer::Ticket(_)) => Ok(()),
        Ok(Answer::Absent | Answer::Hidden | Answer::Moved(_)) => Err(Stop::Invalid),
        Err(_) => Err(Stop::Told),
    }
}

/// Everything about a ticket.
struct Report<'r> {
    id: &'r TicketId,
    tracker: &'r str,
    names: bool,
    pattern: Option<&'r str>,
    trial: &'r Trial,
    search: Option<Result<Option<Vec<TicketId>>, TrackerFault>>,
    took: Duration,
    deciding: &'r Deciding,
    now: UnixTime,
}

impl Report<'_> {
    fn tell(&self) {
        let Self { id, tracker, trial, .. } = self;
        let by = self.pattern.map_or("which takes every id".to_owned(), |by| format!("by {by:?}"));
        let mut out = format!("{id} belongs to {tracker}, {by}\n");
        for one in &trial.steps.exchanges {
            let (outcome, bytes, ms) = (Safe(&one.outcome), one.bytes, one.took.as_millis());
            writeln!(out, "{}: {outcome}, {bytes} bytes in {ms} ms", Safe(&one.asked)).ok();
        }
        for one in &trial.steps.found {
            writeln!(out, "  {:12} {:30} {}", one.field, one.pointer, Safe(&one.there)).ok();
        }
        match &trial.answer {
            Ok(Answer::Ticket(seen)) => {
                out += "understood:\n";
                for (field, what) in self.understood(seen) {
                    writeln!(out, "  {field:12} {what}").ok();
                }
            }
            Ok(other) => {
                let (what, hint) = self.without(other);
                writeln!(out, "understood: {what}\nhint: {hint}").ok();
            }
            Err(fault) => {
                let (whose, why) = (whose(fault), Safe(&fault.to_string()).to_string());
                writeln!(out, "fault, {whose}: {why}").ok();
                if let Some(remedy) = &trial.remedy {
                    writeln!(out, "hint: {}", Safe(remedy)).ok();
                }
            }
        }
        writeln!(out, "in {} ms", self.took.as_millis()).ok();
        print(&out);
    }

    fn understood(&self, seen: &TicketSeen) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("state", format!("{} ({})", seen.state.word(), Safe(&format!("{:?}", seen.said)))),
            ("title", Safe(&seen.title).to_string()),
            ("assignee", self.assignee(seen.assignee.as_deref())),
        ];
        if let Some(priority) = &seen.priority {
            all.push(("priority", Safe(priority).to_string()));
        }
        if !seen.labels.is_empty() {
            let labels: Vec<String> = seen.labels.iter().map(|one| Safe(one).to_string()).collect();
            all.push(("labels", labels.join(", ")));
        }
        all.push(("hosts", self.hosts(seen)));
        if let Some(window) = seen.window {
            let now = if window.holds(self.now) { "now is in it" } else { "now is outside" };
            let until = |time: UnixTime| match time == UnixTime::MAX {
                true => "no end".to_owned(),
                false => time.to_string(),
            };
            all.push(("window", format!("{} to {}: {now}", window.from, until(window.until))));
        }
        match &self.search {
            Some(Ok(Some(ids))) => {
                let ids: Vec<&str> = ids.iter().map(TicketId::as_str).collect();
                let ids = if ids.is_empty() { "none found".to_owned() } else { ids.join(", ") };
                all.push(("open ones", format!("{ids} (by the search, for hints)")));
            }
            Some(Err(fault)) => {
                let why = fault.to_string();
                all.push(("open ones", format!("the search is a fault: {}", Safe(&why))));
            }
            Some(Ok(None)) | None => {}
        }
        all
    }

    fn assignee(&self, alias: Option<&str>) -> String {
        let Some(alias) = alias else {
            return "nobody: the ticket is nobody's, or fields.assignee does not find whose"
                .to_owned();
        };
        let shown = Safe(alias);
        match self.deciding.people.assignee(self.tracker, alias, self.names) {
            Some(person) => format!("{shown}, who is {person}"),
            None => format!(
                "{shown}, who maps to nobody: give that person in people.toml  aliases.{} = {}",
                self.tracker,
                Safe(&format!("{alias:?}"))
            ),
        }
    }

    fn hosts(&self, seen: &TicketSeen) -> String {
        if seen.hosts.is_empty() {
            return "none named: the ticket covers every host".to_owned();
        }
        let known = |typed: &String| match self.deciding.hosts.find(typed) {
            Some(host) if host.name.as_str() == typed => typed.clone(),
            Some(host) => format!("{} (as {})", host.name, Safe(typed)),
            None => format!(
                "{} (not known: hosts.toml has no such name, alias or address)",
                Safe(typed)
            ),
        };
        seen.hosts.iter().map(known).collect::<Vec<_>>().join(", ")
    }

    /// What an answer without a ticket means, and what to look at.
    fn without(&self, answer: &Answer) -> (String, String) {
        let (id, tracker) = (self.id, self.tracker);
        match answer {
            Answer::Absent => (
                format!("there is no ticket {id} in {tracker}"),
                "if there is one: read.request, read.absent or read.found is wrong, or the tracker hides from the \
                 CA's user that it exists"
                    .to_owned(),
            ),
            Answer::Hidden => (
                format!("{tracker} does not show {id} to the CA"),
                "give the CA's user in the tracker the right to read it".to_owned(),
            ),
            Answer::Moved(to) => (
                format!("the answer is of another ticket: {}", Safe(to)),
                "if it is the same one, fields.id points to the wrong thing: it must be the id that people type, or \
                 its number"
                    .to_owned(),
            ),
            Answer::Ticket(_) => (String::new(), String::new()),
        }
    }

    fn json(&self) -> Value {
        let Self { id, tracker, pattern, trial, .. } = self;
        let mut all = json!({
            "outcome": "ok",
            "ticket": id.as_str(),
            "tracker": tracker,
            "pattern": pattern,
            "ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            "requests": trial.steps.exchanges.iter().map(|one| json!({
                "asked": one.asked,
                "outcome": one.outcome,
                "bytes": one.bytes,
                "ms": u64::try_from(one.took.as_millis()).unwrap_or(u64::MAX),
            })).collect::<Vec<_>>(),
            "found": trial.steps.found.iter().map(|one| json!({
                "field": one.field, "pointer": one.pointer, "there": one.there,
            })).collect::<Vec<_>>(),
        });
        let more = match &trial.answer {
            Ok(Answer::Ticket(seen)) => json!({ "understood": {
                "state": seen.state.word(),
                "said": seen.said,
                "title": seen.title,
                "alias": seen.assignee,
                "assignee": seen.assignee.as_deref()
                    .and_then(|alias| self.deciding.people.assignee(tracker, alias, self.names))
                    .map(|person| person.as_str()),
                "priority": seen.priority,
                "labels": seen.labels,
                "hosts": seen.hosts,
                "unknown_hosts": seen.hosts.iter()
                    .filter(|host| self.deciding.hosts.find(host).is_none()).collect::<Vec<_>>(),
                "window": seen.window.map(|window| json!([window.from, window.until])),
            }}),
            Ok(other) => {
                let (what, hint) = self.without(other);
                json!({ "outcome": "refused", "reasons": [what], "hint": hint })
            }
            Err(fault) => json!({
                "outcome": "fault",
                "reasons": [fault.to_string()],
                "whose": whose(fault),
                "hint": trial.remedy,
            }),
        };
        if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
            all.extend(more);
        }
        all
    }
}

/// Whose doing a fault is.
fn whose(fault: &TrackerFault) -> &'static str {
    match fault {
        TrackerFault::Away(_) => "the tracker's or the way to it",
        TrackerFault::Credentials(_) => "the credentials'",
        TrackerFault::Unreadable(_) => "the mapping's or the ticket's",
    }
}
