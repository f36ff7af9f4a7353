//! What keeps a tracker's trouble to itself: so many calls at a time, and none for a while after several
//! failed.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::trial::{Failed, Steps, Trial};
use super::{Answer, Tracker, TrackerFault};
use crate::certificate::names::TicketId;
use crate::certificate::safe::Safe;
use crate::certificate::time::UnixTime;
use crate::config::tracker::{Limits, Occasion};
use crate::outside::clock::{Clock as _, SystemClock};

/// A kind of tracker, asked within a deadline.
pub(super) trait Calls: Send + Sync {
    fn read(&self, id: &TicketId, until: Instant, steps: &mut Steps) -> Result<Answer, Failed>;
    fn open_of(&self, assignee: &str, until: Instant) -> Result<Option<Vec<TicketId>>, Failed>;
    fn takes(&self, occasion: Occasion) -> bool;
    fn comment(&self, id: &TicketId, text: &str, until: Instant) -> Result<(), Failed>;
}

/// A tracker behind its gate.
pub(super) struct Guarded {
    calls: Arc<dyn Calls>,
    gate: Arc<Gate>,
    /// The place that was waited for, until it is used.
    seat: Mutex<Option<Seat>>,
}

/// A place among the calls at a time, and until when its call may take.
struct Seat {
    _place: OwnedSemaphorePermit,
    until: Instant,
}

struct Gate {
    name: String,
    limits: Limits,
    places: Arc<Semaphore>,
    breaker: Mutex<Breaker>,
}

#[derive(Default)]
struct Breaker {
    /// How many calls in a row found the tracker in trouble.
    failed: u32,
    /// Since when it is left alone.
    open: Option<Open>,
}

struct Open {
    since: UnixTime,
    /// From when on one call may try.
    try_from: Instant,
    /// Whether one does.
    trying: bool,
    why: String,
}

/// After so many troubles in a row a tracker is left alone ...
const MOST: u32 = 5;

/// ... for so long; then one call tries.
const REST: Duration = Duration::from_secs(10);

impl Guarded {
    pub(super) fn new(name: &str, limits: Limits, calls: Arc<dyn Calls>) -> Self {
        let places = Arc::new(Semaphore::new(limits.at_once));
        let gate = Gate { name: name.to_owned(), limits, places, breaker: Mutex::default() };
        Self { calls, gate: Arc::new(gate), seat: Mutex::new(None) }
    }

    /// Makes a call with the place that was waited for, or waits for one.
    fn call<T>(&self, call: impl FnOnce(Instant) -> Result<T, Failed>) -> Result<T, Failed> {
        let seated = lock(&self.seat).take();
        let seat = seated.map_or_else(|| self.gate.wait(), Ok)?;
        let mut turn = self.gate.begin()?;
        let answer = call(seat.until);
        turn.end(answer.as_ref().err());
        answer
    }
}

impl Gate {
    /// Waits for a place, without a thread.
    async fn enter(&self) -> Result<Seat, Failed> {
        self.closed()?;
        let until = Instant::now() + Duration::from_secs(self.limits.deadline.as_secs());
        let place = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout_at(until.into(), place).await {
            Ok(Ok(place)) => Ok(Seat { _place: place, until }),
            Ok(Err(_)) | Err(_) => Err(Failed::away(
                format!(
                    "tracker {}: all of its {} calls at a time were taken for {}",
                    self.name, self.limits.at_once, self.limits.deadline
                ),
                "try again; if it stays so, the tracker is slow, or at_once in ca.toml is too low",
            )),
        }
    }

    /// Waits for a place, with the thread that asks.
    fn wait(&self) -> Result<Seat, Failed> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            let until = Instant::now() + Duration::from_secs(self.limits.deadline.as_secs());
            return Ok(Seat { _place: place, until });
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            return runtime.block_on(self.enter());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|why| Failed::away(why.to_string(), "try again"))?;
        runtime.block_on(self.enter())
    }

    /// Whether the tracker is left alone at this moment.
    fn closed(&self) -> Result<(), Failed> {
        match &lock(&self.breaker).open {
            Some(open) if open.trying || Instant::now() < open.try_from => Err(self.alone(open)),
            _ => Ok(()),
        }
    }

    /// A call begins: where the tracker was left alone long enough, this one tries.
    fn begin(&self) -> Result<Turn<'_>, Failed> {
        let mut breaker = lock(&self.breaker);
        if let Some(open) = &mut breaker.open {
            if open.trying || Instant::now() < open.try_from {
                return Err(self.alone(open));
            }
            open.trying = true;
        }
        Ok(Turn { gate: self, ended: false })
    }

    fn alone(&self, open: &Open) -> Failed {
        Failed::away(
            format!(
                "tracker {} is left alone since {}, when it failed {MOST} times in a row: {}",
                self.name, open.since, open.why
            ),
            "it is tried again every 10 seconds",
        )
    }

    fn end(&self, why: Option<&Failed>) {
        let mut guard = lock(&self.breaker);
        let breaker = &mut *guard;
        let Some(why) = why.filter(|failed| failed.trouble) else {
            if breaker.open.is_some() {
                tracing::info!(tracker = self.name, "the tracker answers again");
            }
            *breaker = Breaker::default();
            return;
        };
        breaker.failed = breaker.failed.saturating_add(1);
        let try_from = Instant::now() + REST;
        let why = Safe(&why.fault.to_string()).to_string();
        match &mut breaker.open {
            Some(open) if open.trying => {
                *open = Open { since: open.since, try_from, trying: false, why };
            }
            // A call that began before it was left alone.
            Some(_) => {}
            None if breaker.failed >= MOST => {
                tracing::warn!(tracker = self.name, %why, "the tracker is left alone for a while");
                let since = SystemClock.now();
                breaker.open = Some(Open { since, try_from, trying: false, why });
            }
            None => {}
        }
    }
}

/// A call that is on its way. One that panics ends like one that failed.
struct Turn<'g> {
    gate: &'g Gate,
    ended: bool,
}

impl Turn<'_> {
    fn end(&mut self, why: Option<&Failed>) {
        self.ended = true;
        self.gate.end(why);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.gate.end(Some(&Failed::trouble("a call broke", "")));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tracker for Guarded {
    fn name(&self) -> &str {
        &self.gate.name
    }

    fn read(&self, id: &TicketId) -> Result<Answer, TrackerFault> {
        self.try_out(id).answer
    }

    fn try_out(&self, id: &TicketId) -> Trial {
        let mut steps = Steps::default();
        let answer = self.call(|until| self.calls.read(id, until, &mut steps));
        let (answer, remedy) = match answer {
            Ok(answer) => (Ok(answer), None),
            Err(Failed { fault, remedy, .. }) => (Err(fault), Some(remedy)),
        };
        Trial { steps, answer, remedy }
    }

    fn open_of(&self, assignee: &str) -> Result<Option<Vec<TicketId>>, TrackerFault> {
        self.call(|until| self.calls.open_of(assignee, until)).map_err(|failed| failed.fault)
    }

    fn takes_comments(&self) -> bool {
        Occasion::ALL.into_iter().any(|occasion| self.calls.takes(occasion))
    }

    fn takes_comments_on(&self, occasion: Occasion) -> bool {
        self.calls.takes(occasion)
    }

    fn comment(&self, id: &TicketId, text: &str) -> Result<(), TrackerFault> {
        self.call(|until| self.calls.comment(id, text, until)).map_err(|failed| failed.fault)
    }

    fn seat(&self) -> Pin<Box<dyn Future<Output = Result<Seated, TrackerFault>> + Send + '_>> {
        Box::pin(async {
            let seat = self.gate.enter().await.map_err(|failed| failed.fault)?;
            let (calls, gate) = (Arc::clone(&self.calls), Arc::clone(&self.gate));
            let seated: Arc<dyn Tracker> =
                Arc::new(Self { calls, gate, seat: Mutex::new(Some(seat)) });
            Ok(Some(seated))
        })
    }
}

/// A tracker with a place for one call; nothing where none is needed.
pub type Seated = Option<Arc<dyn Tracker>>;
