//! Tickets, wherever they are kept: one small trait, a file for each kind of tracker, and the rule that
//! says which tracker an id belongs to.

mod command;
mod command_pipes;
#[cfg(test)]
mod command_tests;
mod folder;
mod guard;
mod http;
mod http_client;
pub(in crate::outside) mod http_connect;
#[cfg(test)]
mod http_tests;
mod http_ticket;
mod json;
#[cfg(test)]
mod preset_tests;
mod trial;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use self::command::CommandTracker;
use self::guard::Guarded;
use self::http::HttpTracker;
use crate::certificate::names::TicketId;
use crate::certificate::time::Span;
use crate::config::ticket_id::TicketPattern;
use crate::config::ticket_url::TicketUrl;
use crate::config::tracker::{Occasion, Tracker as Configured, TrackerKind};
use crate::decide::facts::{TicketState, Window};

pub use self::folder::FolderTracker;
pub use self::guard::Seated;
pub use self::trial::{Exchange, Found, Steps, Trial};

/// Where tickets are kept.
///
/// Every method blocks, at most for the tracker's own deadline and bounded in memory, and retries nothing.
/// Nothing is kept between two calls: what is told is what the tracker said just now.
pub trait Tracker: Send + Sync {
    /// Its name in `ca.toml`.
    fn name(&self) -> &str;

    /// Whether its assignees are people by the names in `people.toml`. Elsewhere names are given by others,
    /// or by people to themselves: there only `aliases` say who somebody is.
    fn names_people(&self) -> bool {
        false
    }

    /// Reads a ticket. An error is never a yes: whoever asked may try again.
    fn read(&self, id: &TicketId) -> Result<Answer, TrackerFault>;

    /// The same as a trial, with what was done on the way.
    fn try_out(&self, id: &TicketId) -> Trial {
        Trial { steps: Steps::default(), answer: self.read(id), remedy: None }
    }

    /// The ids of open tickets that are assigned to somebody by this alias, a few at most; `None` where
    /// the tracker cannot be asked. Only for a hint: each ticket is read before anything is made of it.
    fn open_of(&self, _assignee: &str) -> Result<Option<Vec<TicketId>>, TrackerFault> {
        Ok(None)
    }

    /// Whether comments are written back.
    fn takes_comments(&self) -> bool {
        false
    }

    /// Whether they are on this occasion.
    fn takes_comments_on(&self, _occasion: Occasion) -> bool {
        self.takes_comments()
    }

    /// Writes a comment to a ticket, one line of printable ASCII. Where the answer was lost it may be there
    /// all the same, and a second try writes it again. [`TrackerFault::Unreadable`]: this ticket takes none,
    /// and no second try changes that; the others: try again.
    fn comment(&self, _id: &TicketId, _text: &str) -> Result<(), TrackerFault> {
        Err(TrackerFault::Unreadable("this tracker takes no comments".to_owned()))
    }

    /// Waits for a place among the calls that the tracker takes at a time, and holds no thread meanwhile.
    /// What it gives is the tracker for one call, whose deadline has begun.
    fn seat(&self) -> Pin<Box<dyn Future<Output = Result<Seated, TrackerFault>> + Send + '_>> {
        Box::pin(async { Ok(None) })
    }
}

/// Asks a tracker from the runtime: only who has a place takes a thread, so that a slow tracker's crowd
/// leaves the threads to others.
pub async fn ask<T: Send + 'static>(
    tracker: Arc<dyn Tracker>,
    question: impl FnOnce(&dyn Tracker) -> T + Send + 'static,
) -> Result<T, TrackerFault> {
    let seated = tracker.seat().await?.unwrap_or_else(|| Arc::clone(&tracker));
    let asked = tokio::task::spawn_blocking(move || question(&*seated)).await;
    asked.map_err(|why| TrackerFault::Away(why.to_string()))
}

/// What a tracker says of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The ticket.
    Ticket(TicketSeen),
    /// There is none.
    Absent,
    /// There is one, and the tracker does not show it to the CA.
    Hidden,
    /// It goes by another id now, which is in the tracker's words.
    Moved(String),
}

/// A ticket in its tracker's own words: the desk maps assignee and hosts to what it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketSeen {
    /// The state, understood.
    pub state: TicketState,
    /// The state, as said.
    pub said: String,
    /// The title.
    pub title: String,
    /// Whom it is assigned to, by what `aliases` in `people.toml` has for this tracker: never a name
    /// that people choose for themselves.
    pub assignee: Option<String>,
    /// The priority.
    pub priority: Option<String>,
    /// The labels.
    pub labels: BTreeSet<String>,
    /// The hosts it names.
    pub hosts: BTreeSet<String>,
    /// When the work may be done.
    pub window: Option<Window>,
}

/// The tracker did not tell what the ticket is. Never a yes and never a no: try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackerFault {
    /// The tracker is away: it cannot be reached, answers too late, or with an error of its own.
    Away(String),
    /// The tracker does not accept the CA's own credentials.
    Credentials(String),
    /// There is something under this id, and it is not a ticket that can be understood.
    Unreadable(String),
}

impl TrackerFault {
    /// In a few words, for the person.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Away(_) => "the ticket tracker did not answer",
            Self::Credentials(_) => {
                "the ticket tracker does not let the CA in; whoever runs the CA must mend it"
            }
            Self::Unreadable(_) => "the ticket could not be read; whoever keeps it must mend it",
        }
    }
}

impl std::fmt::Display for TrackerFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Away(why) | Self::Credentials(why) | Self::Unreadable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for TrackerFault {}

/// All trackers, in the order of `ca.toml`.
#[derive(Clone, Default)]
pub struct Trackers(Vec<Route>);

/// One tracker, and which ids are its.
#[derive(Clone)]
struct Route {
    ids: Vec<TicketPattern>,
    url: Option<TicketUrl>,
    poll: Span,
    tracker: Arc<dyn Tracker>,
}

impl Trackers {
    /// Puts together what `ca.toml` says; the files with secrets must be there.
    pub fn open(configured: &[Configured]) -> Result<Self, String> {
        let route = |one: &Configured| {
            let tracker: Arc<dyn Tracker> = match &one.kind {
                TrackerKind::Folder { path, on } => {
                    let folder = FolderTracker::new(one.name.as_str(), path.clone());
                    Arc::new(folder.with_comments(on.clone()))
                }
                TrackerKind::Http(http) => {
                    let open = HttpTracker::open(http, &one.ids);
                    let calls = open.map_err(|why| format!("tracker {}: {why}", one.name))?;
                    Arc::new(Guarded::new(one.name.as_str(), http.limits, Arc::new(calls)))
                }
                TrackerKind::Command(command) => {
                    let open = CommandTracker::open(one.name.as_str(), command);
                    let calls = open.map_err(|why| format!("tracker {}: {why}", one.name))?;
                    Arc::new(Guarded::new(one.name.as_str(), command.limits, Arc::new(calls)))
                }
            };
            Ok(Route { ids: one.ids.clone(), url: one.url.clone(), poll: one.poll, tracker })
        };
        configured.iter().map(route).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tracker that an id belongs to: the first one of whose patterns it fits one; a tracker without
    /// patterns takes every id.
    pub fn of(&self, id: &TicketId) -> Option<&Arc<dyn Tracker>> {
        let takes = |route: &&Route| {
            route.ids.is_empty() || route.ids.iter().any(|pattern| pattern.fits(id))
        };
        self.0.iter().find(takes).map(|route| &route.tracker)
    }

    /// Each tracker, and how often the tickets of live grants are looked at in it.
    pub fn polled(&self) -> impl Iterator<Item = (&Arc<dyn Tracker>, Span)> {
        self.0.iter().map(|route| (&route.tracker, route.poll))
    }

    /// Each tracker that takes comments, and what its tickets are told of.
    pub fn told(&self) -> impl Iterator<Item = (&Arc<dyn Tracker>, BTreeSet<Occasion>)> {
        let on = |tracker: &Arc<dyn Tracker>| {
            Occasion::ALL.into_iter().filter(|one| tracker.takes_comments_on(*one)).collect()
        };
        let takes = |route: &&Route| route.tracker.takes_comments();
        self.0.iter().filter(takes).map(move |route| (&route.tracker, on(&route.tracker)))
    }

    /// The ticket whose address this is.
    pub fn by_address(&self, typed: &str) -> Option<TicketId> {
        self.0.iter().filter_map(|route| route.url.as_ref()).find_map(|url| url.ticket(typed))
    }

    /// How ids look, for whoever typed another: `OPS-NUMBER`.
    pub fn shapes(&self) -> Vec<String> {
        self.0.iter().flat_map(|route| &route.ids).map(TicketPattern::shape).collect()
    }

    /// How addresses look.
    pub fn addresses(&self) -> Vec<String> {
        self.0.iter().filter_map(|route| route.url.as_ref()).map(TicketUrl::example).collect()
    }
}
