//! The places for connections: how many there are, and who is turned away or cut when they are
//! taken.
//!
//! A source is an IPv4 address or an IPv6 /64, unless the configuration says otherwise. Before
//! login a source has few places and all sources together have some; when these are taken, the
//! oldest connection of the busiest source is cut for a newcomer from a less busy one. So whoever
//! holds places without logging in is in nobody's way but his own. After login places are a
//! person's. A newcomer waits until those that were cut are gone: they still have their sockets.
//!
//! After a restart everybody comes at once, and if each newcomer cut somebody who is half logged in,
//! hardly anybody would ever get in. So nobody is cut before there was time to log in: newcomers
//! wait, in the kernel's queue, for a place that a login makes free. Whoever fills all places and does
//! not log in must not keep people waiting by that: each connection whose time ran out halves the
//! time of the others, each login doubles it. A crowd of people keeps its time, a storm loses it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{self, AtomicBool};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use crate::certificate::cidr::network_of;
use crate::certificate::names::PersonName;
use crate::config::ca::Limits;

/// All places. Clones share them.
#[derive(Clone)]
pub(super) struct Places(Arc<Shared>);

struct Shared {
    most: usize,
    book: Mutex<Book>,
    /// Somebody left, or logged in.
    left: Notify,
}

/// How long a connection that says nothing is not cut for another, at most: a client greets at once.
const SILENT: Duration = Duration::from_millis(50);

/// How long one is not cut that exchanges keys, at most: several times what a login takes while all
/// places before login are busy with one.
const SPEAKING: Duration = Duration::from_secs(1);

/// How long either is not cut, at least.
const LEAST: Duration = Duration::from_millis(1);

/// Resolves with a value when the place was needed for somebody else.
pub(super) type Evicted = oneshot::Receiver<()>;

impl Places {
    /// So many as these limits say.
    pub(super) fn new(limits: Limits) -> Self {
        let most = limits.connections;
        let book = Mutex::new(Book::new(limits));
        Self(Arc::new(Shared { most, book, left: Notify::new() }))
    }

    /// A place for a newcomer, perhaps after a moment. The place must not be used before there is
    /// [room](Self::room).
    pub(super) async fn take(&self, address: IpAddr) -> Result<(Place, Evicted), Full> {
        loop {
            // From here on no leaving is missed.
            let left = self.0.left.notified();
            let entered = self.0.book().enter(address, Instant::now());
            match entered {
                Ok(Entered { id, evicted, spoke }) => {
                    return Ok((
                        Place { id, person: None, spoke, shared: self.0.clone() },
                        evicted,
                    ));
                }
                Err(NoPlace::Yet(time)) => drop(timeout(time, left).await),
                Err(NoPlace::Full(full)) => return Err(full),
            }
        }
    }

    /// Resolves when those that were cut are gone, as far as their sockets are needed.
    pub(super) async fn room(&self) {
        self.at_most(self.0.most).await;
    }

    /// Resolves when every place is free.
    pub(super) async fn empty(&self) {
        self.at_most(0).await;
    }

    async fn at_most(&self, most: usize) {
        loop {
            // From here on no leaving is missed.
            let left = self.0.left.notified();
            if self.0.book().all <= most {
                return;
            }
            left.await;
        }
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place; given back by dropping it.
pub(super) struct Place {
    id: u64,
    person: Option<PersonName>,
    spoke: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

impl Place {
    /// To be set when the peer has said more than a greeting.
    pub(super) fn spoke(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.spoke)
    }

    /// The peer knows of an enrolled key: of its equals it is the last to be cut.
    pub(super) fn welcome(&self) {
        if let Some(stranger) = self.shared.book().strangers.get_mut(&self.id) {
            stranger.welcome = true;
        }
    }

    /// The connection is this person's, and makes room for the next stranger. False if the person
    /// has as many as one may.
    pub(super) fn logged_in(&mut self, person: &PersonName) -> bool {
        let mut book = self.shared.book();
        book.no_stranger(self.id);
        if self.person.is_none() && book.greet(person) {
            self.person = Some(person.clone());
        }
        drop(book);
        self.shared.left.notify_waiters();
        self.person.is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.book().leave(self.id, self.person.as_ref());
        self.shared.left.notify_waiters();
    }
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// All places are taken, by people or by sources that are no busier.
    All,
    /// All that are for peers that have not logged in, by sources that are no busier.
    Strangers,
    /// All of this source's.
    Source,
}

impl Full {
    /// For the journal.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::All => "all places are taken",
            Self::Strangers => "all places before login are taken",
            Self::Source => "all of its source's places before login are taken",
        }
    }
}

/// A newcomer that has a place.
struct Entered {
    id: u64,
    evicted: Evicted,
    spoke: Arc<AtomicBool>,
}

/// Why a newcomer has no place.
#[derive(Debug, PartialEq, Eq)]
enum NoPlace {
    /// There will be one after this time, or when somebody leaves or logs in.
    Yet(Duration),
    /// There will be none.
    Full(Full),
}

/// Who is there. Knows nothing of sockets.
struct Book {
    limits: Limits,
    /// Also those that are neither strangers nor people's: they were cut and are not gone yet.
    all: usize,
    /// How many are people's.
    logged_in: usize,
    /// How long one that says nothing is not cut at this moment, and one that exchanges keys.
    patience: (Duration, Duration),
    next: u64,
    /// Who has not logged in, oldest first.
    strangers: BTreeMap<u64, Stranger>,
    /// How many strangers each source has; none is not in it.
    sources: HashMap<IpAddr, usize>,
    people: HashMap<PersonName, usize>,
}

struct Stranger {
    source: IpAddr,
    /// What its source may have.
    most: usize,
    welcome: bool,
    since: Instant,
    spoke: Arc<AtomicBool>,
    cut: oneshot::Sender<()>,
}

impl Stranger {
    /// Whether it has said more than a greeting.
    fn spoke(&self) -> bool {
        self.spoke.load(atomic::Ordering::Relaxed)
    }
}

impl Book {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            all: 0,
            logged_in: 0,
            patience: (SILENT, SPEAKING),
            next: 0,
            strangers: BTreeMap::new(),
            sources: HashMap::new(),
            people: HashMap::new(),
        }
    }

    fn enter(&mut self, address: IpAddr, now: Instant) -> Result<Entered, NoPlace> {
        let source = source(&self.limits, address);
        let most = most(&self.limits, address);
        let has = self.has(source);
        if has >= most {
            return Err(NoPlace::Full(Full::Source));
        }
        let strangers = self.strangers.len();
        let full = if strangers >= self.limits.unauthenticated {
            Some(Full::Strangers)
        } else {
            (strangers + self.logged_in >= self.limits.connections).then_some(Full::All)
        };
        if let Some(full) = full {
            let (victim, until) = self.victim((has, most)).ok_or(NoPlace::Full(full))?;
            if until > now {
                return Err(NoPlace::Yet(until - now));
            }
            if let Some(victim) = self.no_stranger(victim) {
                let (silent, speaking) = &mut self.patience;
                let time = if victim.spoke() { speaking } else { silent };
                *time = (*time / 2).max(LEAST);
                // One that is just leaving hears nothing.
                victim.cut.send(()).ok();
            }
        }
        let (cut, evicted) = oneshot::channel();
        let id = self.next;
        self.next += 1;
        self.all += 1;
        *self.sources.entry(source).or_default() += 1;
        let spoke = Arc::<AtomicBool>::default();
        let stranger =
            Stranger { source, most, welcome: false, since: now, spoke: spoke.clone(), cut };
        self.strangers.insert(id, stranger);
        Ok(Entered { id, evicted, spoke })
    }

    /// Who makes room for a newcomer whose source is so busy, and from when on: of those from the
    /// busiest source that is busier, the one whose time ends first, and one that knows no enrolled
    /// key before one that does. Not the other way round: public keys are public, and whoever held
    /// places with them would have newcomers cut.
    fn victim(&self, newcomer: (usize, usize)) -> Option<(u64, Instant)> {
        let busy = |stranger: &Stranger| (self.has(stranger.source), stranger.most);
        let busier = self
            .strangers
            .iter()
            .rev() // Of equals the last is taken, which is the oldest.
            .filter(|(_, stranger)| share(busy(stranger), newcomer).is_gt())
            .map(|(id, stranger)| {
                let (silent, speaking) = self.patience;
                let time = if stranger.spoke() { speaking } else { silent };
                (*id, stranger, stranger.since + time)
            });
        let first = busier.max_by(|(_, a, a_until), (_, b, b_until)| {
            let busiest = share(busy(a), busy(b));
            busiest.then_with(|| b.welcome.cmp(&a.welcome)).then_with(|| b_until.cmp(a_until))
        });
        first.map(|(id, _, until)| (id, until))
    }

    fn has(&self, source: IpAddr) -> usize {
        self.sources.get(&source).copied().unwrap_or_default()
    }

    /// It logged in, was cut or left.
    fn no_stranger(&mut self, id: u64) -> Option<Stranger> {
        let stranger = self.strangers.remove(&id)?;
        less(&mut self.sources, &stranger.source);
        Some(stranger)
    }

    fn greet(&mut self, person: &PersonName) -> bool {
        let has = self.people.entry(person.clone()).or_default();
        let room = *has < self.limits.per_person;
        *has += usize::from(room);
        self.logged_in += usize::from(room);
        if room {
            let (silent, speaking) = self.patience;
            self.patience = ((silent * 2).min(SILENT), (speaking * 2).min(SPEAKING));
        }
        room
    }

    fn leave(&mut self, id: u64, person: Option<&PersonName>) {
        self.no_stranger(id);
        if let Some(person) = person {
            less(&mut self.people, person);
            self.logged_in -= 1;
        }
        self.all -= 1;
    }
}

/// What counts as one.
pub(super) fn source(limits: &Limits, address: IpAddr) -> IpAddr {
    let address = address.to_canonical();
    let bits = if address.is_ipv4() { limits.source_ipv4 } else { limits.source_ipv6 };
    network_of(address, bits)
}

/// What its source may have before login.
fn most(limits: &Limits, address: IpAddr) -> usize {
    let network = limits.network.iter().find(|network| network.cidr.contains(address));
    network.and_then(|network| network.per_source).unwrap_or(limits.per_source)
}

/// Compares how much of what it may have each has.
fn share(a: (usize, usize), b: (usize, usize)) -> Ordering {
    (a.0 as u128 * b.1 as u128).cmp(&(b.0 as u128 * a.1 as u128))
}

fn less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
#[path = "places_tests.rs"]
mod tests;
