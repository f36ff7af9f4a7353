//! Who gets a place, who waits for one, and who is cut for whom.

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

/// A newcomer, each a second and a half after the one before.
fn enter(book: &mut Book, address: IpAddr) -> Result<Entered, NoPlace> {
    let since = book.strangers.values().map(|stranger| stranger.since).max();
    let now = since.unwrap_or_else(Instant::now) + Duration::from_millis(1500);
    book.enter(address, now)
}

fn full(entered: Result<Entered, NoPlace>) -> Option<Full> {
    match entered {
        Err(NoPlace::Full(full)) => Some(full),
        Err(NoPlace::Yet(time)) => panic!("after {time:?}"),
        Ok(_) => None,
    }
}

fn cut(evicted: &mut Evicted) -> bool {
    evicted.try_recv().is_ok()
}

#[test]
fn a_source_has_its_share_and_an_ipv6_source_is_a_network() {
    let mut book = book(2, 100);
    for address in ["203.0.113.1", "::ffff:203.0.113.1"] {
        enter(&mut book, address.parse().unwrap()).unwrap();
    }
    assert_eq!(full(enter(&mut book, from(1))), Some(Full::Source));
    enter(&mut book, from(2)).unwrap();
    for address in ["2001:db8::1", "2001:db8::ffff:0:0:1"] {
        enter(&mut book, address.parse().unwrap()).unwrap();
    }
    assert_eq!(full(enter(&mut book, "2001:db8::2".parse().unwrap())), Some(Full::Source));
    enter(&mut book, "2001:db8:0:1::1".parse().unwrap()).unwrap();
}

#[test]
fn the_oldest_of_the_busiest_source_makes_room() {
    let mut book = book(4, 8);
    let mut alone = enter(&mut book, from(1)).unwrap().evicted;
    let mut pair: Vec<_> = (0..2).map(|_| enter(&mut book, from(2)).unwrap().evicted).collect();
    let mut crowd: Vec<_> = (0..4).map(|_| enter(&mut book, from(3)).unwrap().evicted).collect();
    let mut late = enter(&mut book, from(4)).unwrap().evicted;
    enter(&mut book, from(5)).unwrap();
    assert!(cut(&mut crowd[0]) && !crowd[1..].iter_mut().any(cut));
    // The pair's third comes: the crowd, of three now, is the busier still.
    enter(&mut book, from(2)).unwrap();
    assert!(cut(&mut crowd[1]) && !pair.iter_mut().any(cut));
    // The crowd itself is no reason to cut somebody who has no more.
    enter(&mut book, from(3)).unwrap();
    assert!(cut(&mut pair[0]));
    assert_eq!(full(enter(&mut book, from(3))), Some(Full::Strangers));
    assert!(!cut(&mut alone) && !cut(&mut late));
}

#[test]
fn a_newcomer_gets_in_among_sources_of_one_connection_each() {
    let mut book = book(16, 100);
    let mut crowd: Vec<_> = (0..100).map(|n| enter(&mut book, from(n)).unwrap()).collect();
    // Whoever waits for a passphrase is not the first to go, even the oldest.
    book.strangers.get_mut(&crowd[0].id).unwrap().welcome = true;
    enter(&mut book, from(200)).unwrap();
    assert!(!cut(&mut crowd[0].evicted) && cut(&mut crowd[1].evicted));
}

/// After a restart everybody comes at once. Each newcomer cut somebody who was half logged in, who
/// came again and cut somebody: of two thousand, four hundred were in after two minutes.
#[test]
fn who_is_logging_in_has_time_to_and_newcomers_wait() {
    let mut book = book(16, 100);
    let now = Instant::now();
    let mut herd: Vec<_> = (0..100).map(|n| book.enter(from(n), now).unwrap()).collect();
    let speaks = |one: &Entered| one.spoke.store(true, atomic::Ordering::Relaxed);
    let at = |book: &mut Book, n, after| {
        book.enter(from(n), now + after).map(|new| {
            speaks(&new);
            new.id
        })
    };
    let ms = Duration::from_millis;
    // Who says nothing has a moment, and who exchanges keys has longer.
    assert_eq!(at(&mut book, 200, ms(20)), Err(NoPlace::Yet(ms(30))));
    herd.iter().for_each(speaks);
    assert_eq!(at(&mut book, 201, ms(60)), Err(NoPlace::Yet(ms(940))));
    assert!(!herd.iter_mut().any(|one| cut(&mut one.evicted)));
    // A login makes room, and so does the first who says nothing.
    book.no_stranger(herd[7].id);
    assert_eq!(at(&mut book, 202, ms(60)), Ok(100));
    herd[40].spoke.store(false, atomic::Ordering::Relaxed);
    assert_eq!(at(&mut book, 203, ms(60)), Ok(101));
    assert!(cut(&mut herd[40].evicted));
    // Nobody has a place for ever: the time of the first is over.
    assert_eq!(at(&mut book, 204, ms(990)), Err(NoPlace::Yet(ms(10))));
    assert_eq!(at(&mut book, 205, ms(1000)), Ok(102));
    assert!(cut(&mut herd[0].evicted) && !herd[1..].iter_mut().any(|one| cut(&mut one.evicted)));
}

/// Four thousand connections a second say nothing, or begin to exchange keys and stop there, each
/// from another address, while five people a second log in. People wait for a second once, and then
/// hardly at all.
#[test]
fn a_storm_keeps_people_waiting_for_a_second_and_not_for_ever() {
    let ana: PersonName = "ana".parse().unwrap();
    for speaks in [false, true] {
        let mut book = book(16, 100);
        let begun = Instant::now();
        let (mut now, mut longest) = (begun, Duration::ZERO);
        for n in 0..20_000u32 {
            let comes = begun + n * Duration::from_micros(250);
            now = now.max(comes);
            let new = loop {
                match book.enter(IpAddr::from(n.to_be_bytes()), now) {
                    Ok(new) => break new,
                    // Whoever comes meanwhile waits behind this one.
                    Err(NoPlace::Yet(time)) => now += time,
                    Err(NoPlace::Full(full)) => panic!("{full:?}"),
                }
            };
            new.spoke.store(speaks, atomic::Ordering::Relaxed);
            if n > 10_000 {
                longest = longest.max(now - comes);
            }
            if n % 800 == 0 {
                assert!(book.greet(&ana));
            }
        }
        assert!(longest < Duration::from_millis(20), "{longest:?}");
        // When the storm is over people get their time back.
        for _ in 0..10 {
            assert!(book.greet(&ana));
        }
        assert_eq!(book.patience, (SILENT, SPEAKING));
    }
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
    let mut office: Vec<_> = (0..8).map(|_| enter(&mut book, from(1)).unwrap().evicted).collect();
    let mut crowd: Vec<_> = (0..2).map(|_| enter(&mut book, from(9)).unwrap().evicted).collect();
    enter(&mut book, from(1)).unwrap();
    assert!(cut(&mut crowd[0]) && !office.iter_mut().any(cut));
}

#[test]
fn strangers_make_room_where_people_take_all_places() {
    let mut book = book(4, 4); // Eight in all.
    let ana: PersonName = "ana".parse().unwrap();
    for n in 0..5 {
        let id = enter(&mut book, from(n)).unwrap().id;
        book.no_stranger(id);
        assert!(book.greet(&ana));
    }
    let mut crowd: Vec<_> = (0..3).map(|_| enter(&mut book, from(9)).unwrap().evicted).collect();
    let id = enter(&mut book, from(10)).unwrap().id;
    assert!(cut(&mut crowd[0]) && !crowd[1..].iter_mut().any(cut));
    assert_eq!(full(enter(&mut book, from(9))), Some(Full::All), "no source is busier");
    book.leave(id, None);
    enter(&mut book, from(9)).unwrap();
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
    let mut first = places.take(from(1)).await.unwrap();
    let second = places.take(from(2)).await.unwrap();
    assert!(cut(&mut first.1));
    places.room().await;
    let third = places.take(from(3)).await.unwrap();
    let mut one: Pin<&mut dyn Future<Output = ()>> = pin!(places.room());
    let mut another: Pin<&mut dyn Future<Output = ()>> = pin!(places.room());
    assert!(!here(&mut one) && !here(&mut another), "the first are not gone yet");
    drop(first);
    assert!(here(&mut one) && here(&mut another));
    drop(second);
    let (mut third, _) = third;
    assert!(third.logged_in(&ana) && third.logged_in(&ana));
    let (mut fourth, _) = places.take(from(3)).await.unwrap();
    assert!(!fourth.logged_in(&ana), "she has one");
    let (mut fifth, _) = places.take(from(3)).await.unwrap();
    assert!(fifth.logged_in(&bob));
    assert_eq!(places.take(from(4)).await.err(), Some(Full::All), "both are people's");
    drop(third);
    assert!(fourth.logged_in(&ana));
    drop((fourth, fifth));
    places.empty().await;
    let book = places.0.book();
    let counts = (book.all, book.logged_in, book.people.len(), book.sources.len());
    assert_eq!(counts, (0, 0, 0, 0));
}
