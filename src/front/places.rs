//! The places for connections: how many there are, and who is turned away or cut when they are
//! taken.
//!
//! A source is an IPv4 address or an IPv6 /64, unless the configuration says otherwise. Before
//! login a source has few places and all sources together have some; when these are taken, the
//! oldest connection of the busiest source is cut for a newcomer from a less busy one. So whoever
//! holds places without logging in is in nobody's way but his own. After login places are a
//! person's. A newcomer waits until those that were cut are gone: they still have their sockets.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::certificate::cidr::network_of;
use crate::certificate::names::PersonName;
use crate::config::ca::Limits;

/// All places. Clones share them.
#[derive(Clone)]
pub(super) struct Places(Arc<Shared>);

struct Shared {
    most: usize,
    book: Mutex<Book>,
    /// Somebody left.
    left: Notify,
}

/// Resolves with a value when the place was needed for somebody else.
pub(super) type Evicted = oneshot::Receiver<()>;

impl Places {
    /// So many as these limits say.
    pub(super) fn new(limits: Limits) -> Self {
        let most = limits.connections;
        let book = Mutex::new(Book::new(limits));
        Self(Arc::new(Shared { most, book, left: Notify::new() }))
    }

    /// A place for a newcomer. The place must not be used before there is [room](Self::room).
    pub(super) fn take(&self, address: IpAddr) -> Result<(Place, Evicted), Full> {
        let (id, evicted) = self.0.book().enter(address)?;
        Ok((Place { id, person: None, shared: Arc::clone(&self.0) }, evicted))
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
    shared: Arc<Shared>,
}

impl Place {
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

/// Who is there. Knows nothing of sockets.
struct Book {
    limits: Limits,
    /// Also those that are neither strangers nor people's: they were cut and are not gone yet.
    all: usize,
    /// How many are people's.
    logged_in: usize,
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
    cut: oneshot::Sender<()>,
}

impl Book {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            all: 0,
            logged_in: 0,
            next: 0,
            strangers: BTreeMap::new(),
            sources: HashMap::new(),
            people: HashMap::new(),
        }
    }

    fn enter(&mut self, address: IpAddr) -> Result<(u64, Evicted), Full> {
        let source = source(&self.limits, address);
        let most = most(&self.limits, address);
        let has = self.has(source);
        if has >= most {
            return Err(Full::Source);
        }
        let strangers = self.strangers.len();
        let full = if strangers >= self.limits.unauthenticated {
            Some(Full::Strangers)
        } else {
            (strangers + self.logged_in >= self.limits.connections).then_some(Full::All)
        };
        if let Some(full) = full {
            let victim = self.victim((has, most)).ok_or(full)?;
            if let Some(victim) = self.no_stranger(victim) {
                // One that is just leaving hears nothing.
                victim.cut.send(()).ok();
            }
        }
        let (cut, evicted) = oneshot::channel();
        let id = self.next;
        self.next += 1;
        self.all += 1;
        *self.sources.entry(source).or_default() += 1;
        self.strangers.insert(id, Stranger { source, most, welcome: false, cut });
        Ok((id, evicted))
    }

    /// Who makes room for a newcomer whose source is so busy: of those from the busiest source that
    /// is busier, the oldest, and one that knows no enrolled key before one that does. Not the other
    /// way round: public keys are public, and whoever held places with them would have newcomers cut.
    fn victim(&self, newcomer: (usize, usize)) -> Option<u64> {
        let busy = |stranger: &Stranger| (self.has(stranger.source), stranger.most);
        let busier = self
            .strangers
            .iter()
            .rev() // Of equals the last is taken, which is the oldest.
            .filter(|(_, stranger)| share(busy(stranger), newcomer).is_gt());
        let first = busier.max_by(|(_, a), (_, b)| {
            share(busy(a), busy(b)).then_with(|| b.welcome.cmp(&a.welcome))
        });
        first.map(|(id, _)| *id)
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
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Waker};

    use super::*;
    use crate::config::ca::Network;

    fn book(per_source: usize, unauthenticated: usize) -> Book {
        let connections = 2 * unauthenticated;
        Book::new(Limits { per_source, unauthenticated, connections, ..Limits::default() })
    }

    fn from(last: u8) -> IpAddr {
        [203, 0, 113, last].into()
    }

    fn cut(evicted: &mut Evicted) -> bool {
        evicted.try_recv().is_ok()
    }

    #[test]
    fn a_source_has_its_share_and_an_ipv6_source_is_a_network() {
        let mut book = book(2, 100);
        for address in ["203.0.113.1", "::ffff:203.0.113.1"] {
            book.enter(address.parse().unwrap()).unwrap();
        }
        assert_eq!(book.enter(from(1)).err(), Some(Full::Source));
        book.enter(from(2)).unwrap();
        for address in ["2001:db8::1", "2001:db8::ffff:0:0:1"] {
            book.enter(address.parse().unwrap()).unwrap();
        }
        assert_eq!(book.enter("2001:db8::2".parse().unwrap()).err(), Some(Full::Source));
        book.enter("2001:db8:0:1::1".parse().unwrap()).unwrap();
    }

    #[test]
    fn the_oldest_of_the_busiest_source_makes_room() {
        let mut book = book(4, 8);
        let mut alone = book.enter(from(1)).unwrap().1;
        let mut pair: Vec<_> = (0..2).map(|_| book.enter(from(2)).unwrap().1).collect();
        let mut crowd: Vec<_> = (0..4).map(|_| book.enter(from(3)).unwrap().1).collect();
        let mut late = book.enter(from(4)).unwrap().1;
        book.enter(from(5)).unwrap();
        assert!(cut(&mut crowd[0]) && !crowd[1..].iter_mut().any(cut));
        // The pair's third comes: the crowd, of three now, is the busier still.
        book.enter(from(2)).unwrap();
        assert!(cut(&mut crowd[1]) && !pair.iter_mut().any(cut));
        // The crowd itself is no reason to cut somebody who has no more.
        book.enter(from(3)).unwrap();
        assert!(cut(&mut pair[0]));
        assert_eq!(book.enter(from(3)).err(), Some(Full::Strangers));
        assert!(!cut(&mut alone) && !cut(&mut late));
    }

    #[test]
    fn a_newcomer_gets_in_among_sources_of_one_connection_each() {
        let mut book = book(16, 100);
        let mut crowd: Vec<_> = (0..100).map(|n| book.enter(from(n)).unwrap()).collect();
        // Whoever waits for a passphrase is not the first to go, even the oldest.
        book.strangers.get_mut(&crowd[0].0).unwrap().welcome = true;
        book.enter(from(200)).unwrap();
        assert!(!cut(&mut crowd[0].1) && cut(&mut crowd[1].1));
    }

    #[test]
    fn an_office_is_as_busy_as_it_may_be() {
        let mut book = book(4, 10);
        let office = Network {
            cidr: "203.0.113.0/30".parse().unwrap(),
            per_source: Some(100),
            penalties: false,
        };
        book.limits.network.push(office);
        let mut office: Vec<_> = (0..8).map(|_| book.enter(from(1)).unwrap().1).collect();
        let mut crowd: Vec<_> = (0..2).map(|_| book.enter(from(9)).unwrap().1).collect();
        book.enter(from(1)).unwrap();
        assert!(cut(&mut crowd[0]) && !office.iter_mut().any(cut));
    }

    #[test]
    fn strangers_make_room_where_people_take_all_places() {
        let mut book = book(4, 4); // Eight in all.
        let ana: PersonName = "ana".parse().unwrap();
        for n in 0..5 {
            let (id, _) = book.enter(from(n)).unwrap();
            book.no_stranger(id);
            assert!(book.greet(&ana));
        }
        let mut crowd: Vec<_> = (0..3).map(|_| book.enter(from(9)).unwrap().1).collect();
        let (id, _) = book.enter(from(10)).unwrap();
        assert!(cut(&mut crowd[0]) && !crowd[1..].iter_mut().any(cut));
        assert_eq!(book.enter(from(9)).err(), Some(Full::All), "no source is busier");
        book.leave(id, None);
        book.enter(from(9)).unwrap();
    }

    #[tokio::test]
    async fn newcomers_wait_until_who_was_cut_is_gone() {
        let places = Places::new(Limits {
            per_source: 1,
            unauthenticated: 1,
            connections: 2,
            per_person: 1,
            ..Limits::default()
        });
        let here = |room: &mut Pin<&mut dyn Future<Output = ()>>| {
            let mut cx = Context::from_waker(Waker::noop());
            room.as_mut().poll(&mut cx).is_ready()
        };
        let (ana, bob): (PersonName, PersonName) = ("ana".parse().unwrap(), "bob".parse().unwrap());
        let mut first = places.take(from(1)).unwrap();
        let second = places.take(from(2)).unwrap();
        assert!(cut(&mut first.1));
        places.room().await;
        let third = places.take(from(3)).unwrap();
        let mut one: Pin<&mut dyn Future<Output = ()>> = pin!(places.room());
        let mut another: Pin<&mut dyn Future<Output = ()>> = pin!(places.room());
        assert!(!here(&mut one) && !here(&mut another), "the first are not gone yet");
        drop(first);
        assert!(here(&mut one) && here(&mut another));
        drop(second);
        let (mut third, _) = third;
        assert!(third.logged_in(&ana) && third.logged_in(&ana));
        let (mut fourth, _) = places.take(from(3)).unwrap();
        assert!(!fourth.logged_in(&ana), "she has one");
        let (mut fifth, _) = places.take(from(3)).unwrap();
        assert!(fifth.logged_in(&bob));
        assert_eq!(places.take(from(4)).err(), Some(Full::All), "both are people's");
        drop(third);
        assert!(fourth.logged_in(&ana));
        drop((fourth, fifth));
        places.empty().await;
        let book = places.0.book();
        let counts = (book.all, book.logged_in, book.people.len(), book.sources.len());
        assert_eq!(counts, (0, 0, 0, 0));
    }
}
