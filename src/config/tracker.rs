//! `[[tracker]]` of `ca.toml`: where tickets are looked up.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;

use super::ticket_id::TicketPattern;
use super::ticket_url::TicketUrl;
pub use super::tracker_http::Http;
use super::tracker_words::{Asked, KindWord, Words, WriteWords};
pub use super::tracker_words::{Method, Occasion, WriteType};
use crate::certificate::names::HostName;
use crate::certificate::time::Span;

/// A tracker.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Words")]
pub struct Tracker {
    /// Its name, in policy, facts and the `aliases` of `people.toml`.
    pub name: HostName,
    /// Which ids are its: patterns or prefixes. Of several trackers the first that takes an id has it;
    /// one without patterns takes every id.
    pub ids: Vec<TicketPattern>,
    /// Where people look at a ticket, `{id}` standing for its id: they may give a ticket by that address.
    pub url: Option<TicketUrl>,
    /// How often the tickets of live grants are looked at.
    pub poll: Span,
    /// What it is, and how it is asked.
    pub kind: TrackerKind,
}

/// The kinds of trackers.
#[derive(Debug, Clone)]
pub enum TrackerKind {
    /// The built-in one.
    Folder {
        /// The folder. Who can write to it can make tickets.
        path: PathBuf,
        /// What is told in a file beside each ticket; nothing unless `[tracker.write]` is there.
        on: BTreeSet<Occasion>,
    },
    /// Whatever speaks HTTP and JSON.
    Http(Box<Http>),
    /// A program of the operator's.
    Command(Command),
}

/// A program that is asked, JSON in and JSON out. Who can change it can make tickets.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How long a call may take, and how many at a time.
    pub limits: Limits,
    /// Whether it can be asked for somebody's open tickets.
    pub open_of: bool,
    /// What it is told in comments; nothing where it takes none.
    pub on: BTreeSet<Occasion>,
}

/// What keeps a tracker's trouble to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long one call may take, all its requests and the wait for a place.
    pub deadline: Span,
    /// How many calls there are at a time.
    pub at_once: usize,
}

impl Limits {
    pub(super) fn of(deadline: Option<Span>, at_once: Option<usize>) -> Result<Self, String> {
        let (deadline, at_once) = (deadline.unwrap_or(Span::secs(3)), at_once.unwrap_or(8));
        if deadline > Span::secs(60) {
            return Err(format!("deadline is {deadline}: people wait that long; 60s at most"));
        }
        if !(1..=64).contains(&at_once) {
            return Err(format!("at_once is {at_once}; it is 1 to 64"));
        }
        Ok(Self { deadline, at_once })
    }
}

impl TryFrom<Words> for Tracker {
    type Error = String;
    fn try_from(words: Words) -> Result<Self, String> {
        let name = words.name.clone();
        Self::of(words).map_err(|why| format!("tracker {name}: {why}"))
    }
}

impl Tracker {
    fn of(mut words: Words) -> Result<Self, String> {
        let beside = words.write.take_if(|_| words.kind != KindWord::Http);
        let (ids, url, poll) = (words.ids.clone(), words.url.clone(), words.poll);
        let poll = poll.unwrap_or(Span::secs(30));
        let name = words.name.clone();
        let others = |allowed: KindWord| {
            [
                ("path", words.path.is_some(), KindWord::Folder),
                ("command", words.command.is_some(), KindWord::Command),
                ("asks", words.asks.is_some(), KindWord::Command),
            ]
            .into_iter()
            .find_map(|(key, there, kind)| (there && kind != allowed).then_some(key))
        };
        let wrong = |key: &str| format!("{key} does not belong to this kind of tracker");
        if let Some(key) = others(words.kind) {
            return Err(wrong(key));
        }
        let (path, command) = (words.path.clone(), words.command.clone());
        let (asks, preset) = (words.asks.clone().unwrap_or_default(), words.preset.clone());
        let kind = words.kind;
        let (http, only_http) = words.http();
        let kind = match (kind, only_http) {
            (KindWord::Http, _) => {
                let http = match preset {
                    Some(preset) => http.over_preset(&preset)?,
                    None => http,
                };
                TrackerKind::Http(Box::new(Http::of(http, &ids)?))
            }
            (_, Some(key)) => return Err(wrong(key)),
            (KindWord::Folder, _) if http.deadline.is_some() => return Err(wrong("deadline")),
            (KindWord::Folder, _) if http.at_once.is_some() => return Err(wrong("at_once")),
            (KindWord::Folder, _) => TrackerKind::Folder {
                path: path.ok_or("path is missing: the folder with one TOML file a ticket")?,
                on: beside.map_or(Ok(BTreeSet::new()), WriteWords::only_on)?,
            },
            (KindWord::Command, _) => {
                let words = command.unwrap_or_default();
                let Some((program, arguments)) = words.split_first() else {
                    return Err(
                        "command is missing: [\"/usr/local/bin/tickets\", \"--json\"]".to_owned()
                    );
                };
                let on = match (asks.contains(&Asked::Comment), beside) {
                    (true, None) => Occasion::ALL.into(),
                    (true, Some(write)) => write.only_on()?,
                    (false, None) => BTreeSet::new(),
                    (false, Some(_)) => {
                        return Err("write is there, and asks does not have \"comment\"".to_owned());
                    }
                };
                TrackerKind::Command(Command {
                    program: PathBuf::from(program),
                    arguments: arguments.to_vec(),
                    limits: Limits::of(http.deadline, http.at_once)?,
                    open_of: asks.contains(&Asked::OpenOf),
                    on,
                })
            }
        };
        Ok(Self { name, ids, url, poll, kind })
    }

    /// The paths in it, which are relative to the folder of `ca.toml`.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let paths = match &mut self.kind {
            TrackerKind::Folder { path, .. } => vec![path],
            TrackerKind::Command(command) => vec![&mut command.program],
            TrackerKind::Http(http) => {
                let Http { ca_file, auth, .. } = &mut **http;
                let mut paths: Vec<&mut PathBuf> = ca_file.iter_mut().collect();
                paths.extend(auth.as_mut().map(|auth| auth.file_mut()));
                paths
            }
        };
        paths.into_iter()
    }
}

/// What is wrong with them together, if anything is.
pub(super) fn mistake(all: &[Tracker]) -> Option<String> {
    for (at, one) in all.iter().enumerate() {
        if all.iter().take(at).any(|other| other.name == one.name) {
            return Some(format!("there are two trackers called {}", one.name));
        }
        if one.poll < Span::secs(1) {
            return Some(format!("tracker {}: poll is {}, and 1s at least", one.name, one.poll));
        }
    }
    let (_, before) = all.split_last()?;
    let greedy = before.iter().find(|one| one.ids.is_empty())?;
    Some(format!(
        "tracker {} has no ids and so takes every ticket: say which are its, ids = [\"OPS-{{number}}\"], \
         or put it last",
        greedy.name
    ))
}
