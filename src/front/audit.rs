//! `ssh ca audit`: for those whom policy lets, beside everything else that the daemon has to do.

use std::time::{Duration, Instant};

use rand::Rng as _;
use tokio::sync::Semaphore;

use super::Reply;
use super::counter::Counter;
use super::reply::{self, exit};
use crate::audit::auditor::Auditor;
use crate::audit::search::search;
use crate::audit::show::show;
use crate::audit::tell::{self, Told};
use crate::audit::words::{AuditWords, Which};
use crate::certificate::names::RequestId;
use crate::decide::office::Act;
use crate::desk::journal;
use crate::desk::outcome::{Fault, Outcome};
use crate::desk::request::Asker;

/// How long one may read. What was not read by then is said.
const TIME: Duration = Duration::from_secs(5);

/// How many may read at a time; others wait.
const READERS: usize = 2;

/// What audits over SSH need.
pub struct Audits {
    auditor: Auditor,
    room: Semaphore,
}

impl Audits {
    /// Of this ledger.
    pub fn new(auditor: Auditor) -> Self {
        Self { auditor, room: Semaphore::new(READERS) }
    }
}

/// The story of a request of one's own, which takes nobody's leave; `None` where it is not one's own, or
/// nobody's.
pub(super) async fn own(
    counter: &Counter,
    asker: &Asker,
    request: RequestId,
    json: bool,
) -> Option<Reply> {
    let person = counter.desk.owner(&asker.key)?;
    let hosts = counter.desk.in_force.now();
    let auditor = counter.audits.auditor.clone();
    let _room = counter.audits.room.acquire().await.ok()?;
    let end = Instant::now() + TIME;
    let work = move || {
        let story = show(&auditor, &hosts.hosts, &Which::Request(request), Some(end)).ok()?;
        let first = story.chapters.first()?;
        let own = first.entry.text("person") == Some(person.as_str());
        own.then(|| tell::story(&story, json))
    };
    let told = tokio::task::spawn_blocking(work).await.ok()??;
    Some(reply::audit::told(told, exit::REFUSED))
}

/// Answers an audit. `typed`: the line as it came, for the journal.
pub(super) async fn answer(
    counter: &Counter,
    asker: &Asker,
    words: AuditWords,
    typed: &[u8],
    json: bool,
) -> Reply {
    let permitted = match counter.desk.may(asker, Act::Audit) {
        Ok(permitted) => permitted,
        Err(outcome) => return reply::outcome(&outcome, json),
    };
    let (now, hosts) = (counter.desk.clock.now(), counter.desk.in_force.now());
    let auditor = counter.audits.auditor.clone();
    // Their owner may close it never.
    let Ok(_room) = counter.audits.room.acquire().await else {
        return reply::died("-");
    };
    let end = Instant::now() + TIME;
    let (work, missing): (Box<dyn FnOnce() -> Result<Told, String> + Send>, u32) = match words {
        AuditWords::Search(words) => {
            let query = match words.query(now, &hosts.hosts) {
                Ok(query) => query,
                Err(misread) => return reply::audit::misread(misread, json),
            };
            let work = move || {
                let store = auditor.store().map_err(|why| why.to_string())?;
                let found = search(&store, &hosts.hosts, &query, Some(end));
                Ok(tell::found(&found.map_err(|why| why.to_string())?, json))
            };
            (Box::new(work), exit::DONE)
        }
        AuditWords::Show(words) => {
            let which = match words.which() {
                Ok(which) => which,
                Err(misread) => return reply::audit::misread(misread, json),
            };
            let work = move || {
                let story = show(&auditor, &hosts.hosts, &which, Some(end));
                Ok(tell::story(&story.map_err(|why| why.to_string())?, json))
            };
            (Box::new(work), exit::REFUSED)
        }
    };
    let done = tokio::task::spawn_blocking(work).await;
    match done.map_err(|why| why.to_string()).and_then(|told| told) {
        Ok(told) => {
            journal::audit(&permitted, asker, typed, None);
            reply::audit::told(told, missing)
        }
        Err(details) => {
            let request = RequestId::from_random(rand::rng().next_u64());
            tracing::error!(%request, %details, "fault");
            let fault = Fault { request, what: "the ledger cannot be read" };
            journal::audit(&permitted, asker, typed, Some(&fault));
            reply::outcome(&Outcome::Fault(fault), json)
        }
    }
}
