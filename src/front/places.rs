//! The places for connections: how many there are, and who has to go when they are taken.
//!
//! Whoever connects takes a place before saying anything, so the places of those who have not logged
//! in must not be kept from others: when they are all taken, a newcomer gets the place of the stranger
//! who came first from the source with the most of them. A crowd from one source is so its own
//! company alone. Whoever is logged in keeps the place; of these one person has so many and no more.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::visit::{Ending, Visit};
use crate::certificate::names::PersonName;

/// How many places there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// In all.
    pub(super) connections: usize,
    /// For those who have not logged in.
    pub(super) strangers: usize,
    /// For one person.
    pub(super) person: usize,
}

/// The places.
#[derive(Clone)]
pub(super) struct Places(Arc<Room>);

struct Room {
    bounds: Bounds,
    book: Mutex<Book>,
    left: Notify,
}

/// Who is where.
#[derive(Default)]
struct Book {
    /// Those who have not logged in, in the order they came.
    strangers: BTreeMap<u64, Arc<Visit>>,
    /// How many connections each person has.
    people: HashMap<PersonName, usize>,
    /// How many connections people have in all.
    inside: usize,
    next: u64,
}

impl Places {
    /// So many.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Room { bounds, book: Mutex::default(), left: Notify::new() }))
    }

    /// A place for a newcomer. If all are taken a stranger is sent away for it, and if there is no
    /// stranger, the newcomer.
    pub(super) fn take(&self, visit: &Arc<Visit>) -> Option<Place> {
        let Bounds { connections, strangers, person: _ } = self.0.bounds;
        let mut book = self.0.book();
        if book.strangers.len() >= strangers || book.strangers.len() + book.inside >= connections {
            let first = book.first_of_the_most()?;
            // The place is free from now on; the connection is cut without a goodbye.
            book.strangers.remove(&first)?.end(Ending::Crowded);
        }
        let number = book.next;
        book.next += 1;
        book.strangers.insert(number, visit.clone());
        drop(book);
        Some(Place { room: self.0.clone(), number, person: None })
    }

    /// Resolves when every place is free. Takes none back, so nobody may come in any more.
    pub(super) async fn empty(&self) {
        loop {
            let left = self.0.left.notified();
            if self.0.book().is_empty() {
                return;
            }
            left.await;
        }
    }
}

impl Room {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn is_empty(&self) -> bool {
        self.strangers.is_empty() && self.inside == 0
    }

    /// The stranger who came first from the source with the most of them.
    fn first_of_the_most(&self) -> Option<u64> {
        let mut sources: HashMap<IpAddr, usize> = HashMap::new();
        for visit in self.strangers.values() {
            *sources.entry(source(visit)).or_default() += 1;
        }
        let rank = |(number, visit): &(&u64, &Arc<Visit>)| {
            (sources.get(&source(visit)).copied(), Reverse(**number))
        };
        self.strangers.iter().max_by_key(rank).map(|(number, _)| *number)
    }
}

/// What counts as one source: an IPv4 address, or an IPv6 network of 64 bits, which is what a single
/// customer has.
fn source(visit: &Visit) -> IpAddr {
    match visit.source.ip().to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A connection's place; given back by dropping it.
pub(super) struct Place {
    room: Arc<Room>,
    number: u64,
    person: Option<PersonName>,
}

impl Place {
    /// The connection logged in, and makes room for the next stranger. False if the person has more
    /// connections with this one than one person may.
    pub(super) fn logged_in(&mut self, person: &PersonName) -> bool {
        let mut book = self.room.book();
        if book.strangers.remove(&self.number).is_none() {
            // It was sent away at this moment, and counts no longer.
            return true;
        }
        let number = book.people.entry(person.clone()).or_default();
        *number += 1;
        let fits = *number <= self.room.bounds.person;
        book.inside += 1;
        self.person = Some(person.clone());
        fits
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut book = self.room.book();
        book.strangers.remove(&self.number);
        if let Some(person) = &self.person {
            book.inside = book.inside.saturating_sub(1);
            match book.people.get_mut(person) {
                Some(number) if *number > 1 => *number -= 1,
                _ => drop(book.people.remove(person)),
            }
        }
        drop(book);
        self.room.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(connections: usize, strangers: usize, person: usize) -> Places {
        Places::new(Bounds { connections, strangers, person })
    }

    fn from(source: &str) -> Arc<Visit> {
        Arc::new(Visit::new(format!("{source}:1").parse().unwrap()))
    }

    fn ana() -> PersonName {
        "ana".parse().unwrap()
    }

    #[test]
    fn the_first_of_the_source_with_the_most_makes_room() {
        let places = places(100, 5, 9);
        let visits = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "[2001:db8::1]", "[2001:db8::2]"];
        let visits = visits.map(from);
        let taken: Vec<Place> = visits.iter().map(|visit| places.take(visit).unwrap()).collect();
        assert!(visits.iter().all(|visit| visit.ended().is_none()));
        // The two IPv6 addresses are of one network.
        let sixth = from("10.0.0.2");
        let _place = places.take(&sixth).unwrap();
        assert_eq!(
            visits.each_ref().map(|visit| visit.ended().is_some()),
            [false, false, false, true, false]
        );
        let _place = places.take(&from("10.0.0.3")).unwrap();
        assert_eq!(visits[1].ended(), Some(Ending::Crowded));
        assert!(sixth.ended().is_none());
        drop(taken);
    }

    #[test]
    fn whoever_is_in_stays_and_a_place_given_back_is_free() {
        let places = places(2, 2, 9);
        let (first, second, third) = (from("10.0.0.1"), from("10.0.0.1"), from("10.0.0.1"));
        let mut one = places.take(&first).unwrap();
        let mut two = places.take(&second).unwrap();
        assert!(one.logged_in(&ana()) && two.logged_in(&ana()));
        assert!(places.take(&third).is_none(), "nobody is sent away who is in");
        drop(two);
        assert!(places.take(&third).is_some());
        assert!(first.ended().is_none() && second.ended().is_none());
    }

    #[test]
    fn one_person_has_so_many() {
        let places = places(10, 10, 2);
        let mut taken: Vec<Place> =
            (0..4).map(|_| places.take(&from("10.0.0.1")).unwrap()).collect();
        let fits: Vec<bool> = taken.iter_mut().map(|place| place.logged_in(&ana())).collect();
        assert_eq!(fits, [true, true, false, false]);
        taken.clear();
        let mut again = places.take(&from("10.0.0.1")).unwrap();
        assert!(again.logged_in(&ana()));
        assert!(places.take(&from("10.0.0.1")).unwrap().logged_in(&"bob".parse().unwrap()));
    }

    #[tokio::test]
    async fn places_are_empty_when_the_last_has_left_and_not_before() {
        let places = places(10, 10, 10);
        places.empty().await;
        let mut place = places.take(&from("10.0.0.1")).unwrap();
        place.logged_in(&ana());
        let mut empty = Box::pin(places.empty());
        tokio::select! {
            biased;
            () = &mut empty => panic!("somebody is there"),
            () = tokio::task::yield_now() => {}
        }
        drop(place);
        empty.await;
    }
}
