//! `[[tracker]]` of `ca.toml`: where tickets are looked up.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;

use super::ticket_id::TicketPattern;
use super::ticket_url::TicketUrl;
use crate::certificate::names::HostName;
use crate::certificate::time::Span;

/// A tracker.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tracker {
    /// Its name, in policy, facts and the `aliases` of `people.toml`.
    pub name: HostName,
    /// The kind of tracker: `folder`, one TOML file a ticket.
    pub kind: TrackerKind,
    /// Which ids are its: patterns or prefixes. Of several trackers the first that takes an id has it;
    /// one without patterns takes every id.
    #[serde(default)]
    pub ids: Vec<TicketPattern>,
    /// The folder. Who can write to it can make tickets.
    pub path: PathBuf,
    /// Where people look at a ticket, `{id}` standing for its id: they may give a ticket by that address.
    pub url: Option<TicketUrl>,
    /// How often the tickets of live grants are looked at.
    #[serde(default = "poll")]
    pub poll: Span,
    /// What is written back to tickets; nothing unless it is there.
    pub write: Option<Write>,
}

/// `[tracker.write]`: comments on tickets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// What is told; all of it unless it is said.
    #[serde(default = "occasions")]
    pub on: BTreeSet<Occasion>,
}

/// What a ticket is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// A grant for this ticket.
    Grant,
    /// A request that was refused after others were asked.
    Refusal,
    /// The end of a grant.
    End,
}

impl Occasion {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Grant, Self::Refusal, Self::End];
}

fn poll() -> Span {
    Span::secs(30)
}

fn occasions() -> BTreeSet<Occasion> {
    Occasion::ALL.into()
}

/// The kinds of trackers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrackerKind {
    /// The built-in one.
    Folder,
}

impl Tracker {
    /// The paths in it, which are relative to the folder of `ca.toml`.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        std::iter::once(&mut self.path)
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
