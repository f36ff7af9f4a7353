//! Comments on tickets: each grant and each end of one is told to the ticket that it names.
//!
//! The ledger is the queue. A worker for each tracker goes over its entries in order, and a small file
//! beside the ledger says how far it got, so that a restart goes on there: a comment is written at least
//! once, and twice where a crash fell between comment and file. Nobody waits for it. A tracker that is
//! away is asked again and again, and only its own queue waits; a ticket that takes no comment is passed
//! over. Certificates are not told: a grant brings one every few minutes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::certificate::names::TicketId;
use crate::certificate::safe::Safe;
use crate::certificate::time::{Span, UnixTime};
use crate::config::edit::replace;
use crate::config::tracker::Occasion;
use crate::ledger::facts::{Ended, Granted, Header, TICKET_GONE};
use crate::ledger::store::{Row, Store, StoreError};
use crate::outside::clock::Clock;
use crate::outside::tickets::{Tracker, TrackerFault};

/// One tracker's queue: the entries of the ledger from a mark on that its tickets are to be told of.
#[derive(Debug, Clone)]
pub struct Queue {
    database: PathBuf,
    file: PathBuf,
    tracker: String,
    on: BTreeSet<Occasion>,
}

/// Something to be told.
#[derive(Debug, PartialEq, Eq)]
struct News {
    index: u64,
    time: UnixTime,
    ticket: TicketId,
    text: String,
}

/// How much of a queue waits.
#[derive(Debug, PartialEq, Eq)]
pub struct Behind {
    /// How many comments.
    pub comments: u64,
    /// Since when the oldest.
    pub oldest: Option<UnixTime>,
}

impl Queue {
    /// The queue of a tracker, beside this ledger.
    pub fn new(database: &Path, tracker: &str, on: BTreeSet<Occasion>) -> Self {
        let file = database.with_file_name(format!("comments-{tracker}"));
        Self { database: database.to_owned(), file, tracker: tracker.to_owned(), on }
    }

    /// The index of the first entry that was not looked at; `None` where nobody ever began.
    fn mark(&self) -> Result<Option<u64>, StoreError> {
        let say = |why: &dyn std::fmt::Display| {
            StoreError(format!("{}: {why}; remove it to begin at the end", self.file.display()))
        };
        match std::fs::read_to_string(&self.file) {
            Ok(text) => match text.strip_suffix('\n').and_then(|text| text.parse().ok()) {
                Some(mark) => Ok(Some(mark)),
                None => Err(say(&"not an entry's index in a line")),
            },
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(say(&why)),
        }
    }

    fn set_mark(&self, mark: u64) -> Result<(), StoreError> {
        let say = |why: std::io::Error| StoreError(format!("{}: {why}", self.file.display()));
        replace(&self.file, format!("{mark}\n").as_bytes()).map_err(say)
    }

    /// How much waits to be told.
    pub fn behind(&self) -> Result<Behind, StoreError> {
        let mut behind = Behind { comments: 0, oldest: None };
        // Nobody began: what there is now is not told.
        let Some(mark) = self.mark()? else { return Ok(behind) };
        Store::open_to_read(&self.database)?.each_from(mark, |row| {
            if let Some(news) = self.news(&row) {
                behind.comments += 1;
                behind.oldest = behind.oldest.or(Some(news.time));
            }
            true
        })?;
        Ok(behind)
    }

    /// What an entry says to a ticket of this tracker, if it does.
    ///
    /// Nothing in it was written by people: names have a grammar of their own, and reasons, titles and
    /// the tracker's words stay here. No `@`, which calls people, and no line but one.
    fn news(&self, row: &Row) -> Option<News> {
        let (index, facts) = (row.index, row.facts.as_deref()?);
        let kind = row.leaf.strip_prefix("hallpass.v1 ")?.lines().next()?;
        let (ticket, said) = match kind {
            "grant" if self.on.contains(&Occasion::Grant) => {
                let facts: Granted = serde_json::from_slice(facts).ok()?;
                let Granted { request, person, targets, accounts, offer, grant_ends, .. } = facts;
                let accounts = match targets.as_slice() {
                    [] => accounts.iter().map(ToString::to_string).collect(),
                    _ => targets,
                };
                let ticket = facts.ticket.map(|ticket| (ticket.tracker, ticket.id));
                let opens = places(&accounts);
                (
                    ticket,
                    format!(
                        "grant {request}: {person} may log in as {opens} until {grant_ends} (offer {offer}, entry {index})"
                    ),
                )
            }
            "end" if self.on.contains(&Occasion::End) => {
                let Ended { request, person, accounts, ticket, why, .. } =
                    serde_json::from_slice(facts).ok()?;
                // There is nobody to be told.
                if why == TICKET_GONE {
                    return None;
                }
                let (ticket, opened) = (ticket.map(|one| (one.tracker, one.id)), places(&accounts));
                (
                    ticket,
                    format!(
                        "grant {request} of {person} ({opened}) ended: this ticket is closed (entry {index})"
                    ),
                )
            }
            // A refusal after approval comes here when there are approvals.
            _ => return None,
        };
        let (tracker, id) = ticket?;
        let header: Header = serde_json::from_slice(facts).ok()?;
        let ticket = id.parse().ok().filter(|_| tracker == self.tracker)?;
        let text = printable(&format!("hallpass: {said}"));
        Some(News { index, time: header.time, ticket, text })
    }
}

/// `deploy on web01 and deploy on web02`; of many the first.
fn places(accounts: &[String]) -> String {
    let place = |account: &String| account.replacen('@', " on ", 1);
    let named: Vec<String> = accounts.iter().take(PLACES).map(place).collect();
    match accounts.len().saturating_sub(PLACES) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// How many accounts a comment names.
const PLACES: usize = 8;

/// One line, whatever a ledger holds that this program did not write.
fn printable(text: &str) -> String {
    text.chars().map(|c| if (' '..='~').contains(&c) && c != '@' { c } else { '?' }).collect()
}

/// Tells one tracker's tickets.
pub struct Teller {
    queue: Queue,
    tracker: Arc<dyn Tracker>,
    clock: Arc<dyn Clock>,
    store: Store,
    /// The first entry that was not looked at, and what the file says of that.
    at: u64,
    kept: u64,
    /// How long it waits for a tracker that is away; nothing while it is there.
    patience: Option<Duration>,
}

/// What came of one step.
enum Step {
    /// There may be more.
    On,
    /// Everything is told.
    Idle,
    /// The tracker is away.
    Wait(Duration),
}

impl Teller {
    /// Takes up a queue where it was left; a new one begins at the ledger's end.
    pub fn open(
        queue: Queue,
        tracker: Arc<dyn Tracker>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let store = Store::open_to_read(&queue.database)?;
        let size = store.size()?;
        let at = match queue.mark()? {
            Some(mark) if mark <= size => mark,
            other => {
                if let Some(mark) = other {
                    let tracker = tracker.name();
                    tracing::warn!(
                        tracker,
                        mark,
                        size,
                        "comments had come further than the ledger"
                    );
                }
                queue.set_mark(size)?;
                size
            }
        };
        Ok(Self { queue, tracker, clock, store, at, kept: at, patience: None })
    }

    /// Tells what there is to tell, for as long as the task lives.
    pub async fn run(self) {
        let mut this = self;
        loop {
            let stepped = tokio::task::spawn_blocking(move || {
                let step = this.step();
                (this, step)
            });
            let Ok((back, step)) = stepped.await else {
                tracing::error!(
                    "no comments any more until the next start: the writer of them panicked"
                );
                return;
            };
            this = back;
            match step {
                Ok(Step::On) => {}
                Ok(Step::Idle) => tokio::time::sleep(IDLE).await,
                Ok(Step::Wait(patience)) => tokio::time::sleep(patience).await,
                Err(why) => {
                    tracing::error!(%why, tracker = this.tracker.name(), "comments wait");
                    tokio::time::sleep(LONGEST).await;
                }
            }
        }
    }

    /// Looks for the next thing to be told, and tells it.
    fn step(&mut self) -> Result<Step, StoreError> {
        let (queue, mut at, mut looked, mut news) = (&self.queue, self.at, 0, None);
        self.store.each_from(at, |row| {
            news = queue.news(&row);
            at = row.index + u64::from(news.is_none());
            looked += 1;
            news.is_none() && looked < LOOK
        })?;
        self.at = at;
        if let Some(news) = news {
            return self.tell(&news);
        }
        // What is not told costs little to look at again.
        if self.at - self.kept >= u64::from(LOOK) {
            self.keep()?;
        }
        Ok(if looked < LOOK { Step::Idle } else { Step::On })
    }

    fn tell(&mut self, news: &News) -> Result<Step, StoreError> {
        let (tracker, ticket) = (self.tracker.name(), &news.ticket);
        let entry = news.index;
        let late = self.clock.now().since(news.time) > TOO_LATE;
        let told = if late {
            Err(TrackerFault::Unreadable("it is too late for this comment".to_owned()))
        } else {
            self.tracker.comment(ticket, &news.text)
        };
        match told {
            Err(why @ (TrackerFault::Away(_) | TrackerFault::Credentials(_))) => {
                let why = why.to_string();
                if self.patience.is_none() {
                    tracing::warn!(tracker, %ticket, entry, why = %Safe(&why), "comments wait for the tracker");
                }
                let patience = self.patience.map_or(SHORTEST, |last| (last * 2).min(LONGEST));
                self.patience = Some(patience);
                return Ok(Step::Wait(patience));
            }
            Err(TrackerFault::Unreadable(why)) => {
                tracing::warn!(tracker, %ticket, entry, why = %Safe(&why), "a comment was not taken");
            }
            Ok(()) if self.patience.is_some() => {
                tracing::info!(tracker, "comments are taken again")
            }
            Ok(()) => {}
        }
        // A comment that is too late says nothing of the tracker.
        if !late {
            self.patience = None;
        }
        // A crash before this tells it once more.
        self.at = news.index + 1;
        self.keep()?;
        Ok(Step::On)
    }

    fn keep(&mut self) -> Result<(), StoreError> {
        self.queue.set_mark(self.at)?;
        self.kept = self.at;
        Ok(())
    }
}

/// How often it is looked whether there is news.
const IDLE: Duration = Duration::from_secs(1);

/// How many entries are looked at in one step.
const LOOK: u32 = 4096;

/// How long a tracker that is away is left alone: at first, and at most.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// How old an entry may be for a comment.
const TOO_LATE: Span = Span::secs(7 * 86_400);

#[cfg(test)]
mod tests;
