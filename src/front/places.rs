//! The places for connections: how many there are, and who is turned away or cut when they are
//! taken.
//!
//! A source is an IPv4 address or an IPv6 /64, unless the configuration says otherwise. Before
//! login a source has few places and all sources together have some; when these are taken, the
//! oldest connection of the busiest source is cut for a newcomer from a less busy one. So whoever
//! holds places without logging in is in nobody's way but his own. After login places are a
//! person's.

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
    book: Mutex<Book>,
    /// Somebody left.
    left: Notify,
}

/// Resolves with a value when the place was needed for somebody else.
pub(super) type Evicted = oneshot::Receiver<()>;

impl Places {
    /// So many as these limits say.
    pub(super) fn new(limits: Limits) -> Self {
        let book = Mutex::new(Book::new(limits));
        Self(Arc::new(Shared { book, left: Notify::new() }))
    }

    /// A place for a newcomer.
    pub(super) fn take(&self, address: IpAddr) -> Result<(Place, Evicted), Full> {
        let (id, evicted) = self.0.book().enter(address)?;
        Ok((Place { id, person: None, shared: Arc::clone(&self.0) }, evicted))
    }

    /// Resolves when every place is free. For one waiter.
    pub(super) async fn empty(&self) {
        while self.0.book().all > 0 {
            self.0.left.notified().await;
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
        self.shared.left.notify_one();
    }
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// All places are taken.
    All,
    /// All that are for peers that have not logged in, and no source is busier.
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
    /// Also those that were cut and are not gone yet: they still have their sockets.
    all: usize,
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
            next: 0,
            strangers: BTreeMap::new(),
            sources: HashMap::new(),
            people: HashMap::new(),
        }
    }

    fn enter(&mut self, address: IpAddr) -> Result<(u64, Evicted), Full> {
        if self.all >= self.limits.connections {
            return Err(Full::All);
        }
        let source = source(&self.limits, address);
        let most = most(&self.limits, address);
        let has = self.has(source);
        if has >= most {
            return Err(Full::Source);
        }
        if self.strangers.len() >= self.limits.unauthenticated {
            let victim = self.victim((has, most)).ok_or(Full::Strangers)?;
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
        room
    }

    fn leave(&mut self, id: u64, person: Option<&PersonName>) {
        self.no_stranger(id);
        if let Some(person) = person {
            less(&mut self.people, person);
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
    fn who_was_cut_or_logged_in_is_counted_until_gone() {
        let places = Places::new(Limits {
            per_source: 1,
            unauthenticated: 1,
            connections: 3,
            per_person: 1,
            ..Limits::default()
        });
        let (ana, bob): (PersonName, PersonName) = ("ana".parse().unwrap(), "bob".parse().unwrap());
        let mut first = places.take(from(1)).unwrap();
        let second = places.take(from(2)).unwrap();
        assert!(cut(&mut first.1));
        let third = places.take(from(3)).unwrap();
        assert_eq!(places.take(from(4)).err(), Some(Full::All), "the first are not gone yet");
        drop((first, second));
        let (mut third, _) = third;
        assert!(third.logged_in(&ana) && third.logged_in(&ana));
        let (mut fourth, _) = places.take(from(3)).unwrap();
        assert!(!fourth.logged_in(&ana), "she has one");
        let (mut fifth, _) = places.take(from(3)).unwrap();
        assert!(fifth.logged_in(&bob));
        drop(third);
        assert!(fourth.logged_in(&ana));
        drop((fourth, fifth));
        let book = places.0.book();
        assert_eq!((book.all, book.people.len(), book.sources.len()), (0, 0, 0));
    }
}
