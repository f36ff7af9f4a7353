//! Too many at once.

use std::net::TcpStream;
use std::process::Command;

use super::{Scene, nobodys, who};
use crate::process::{run, until};

#[test]
fn a_crowd_from_one_source_is_only_in_its_own_way() {
    // Mallory connects 650 times and stays silent, or says half of a version. There are 128 places for
    // those who have not logged in; ana, from elsewhere, logs in slowly in the middle of it, and 150
    // more strangers come between any two of her messages.
    let mut scene = Scene::set();
    let visits = scene.tell("crowd", "from_one_source");
    nobodys(&visits[..800], 800);
    assert_eq!(who(&visits[800..]), [("ana", 2)]);
    let crowded = visits.iter().filter(|visit| visit.why.contains("too many connections at once"));
    assert!(crowded.count() >= 500);
    scene.nothing_happened();
}

#[test]
fn one_persons_connections_leave_room_for_others() {
    // Bob's laptop was taken over. It logs in again and again, and keeps every connection: those may
    // stay as long as they answer. At the 65th it hears a sentence; ana gets in.
    let mut scene = Scene::set();
    let visits = scene.tell("crowd", "of_one_person");
    let many = visits.iter().filter(|visit| visit.why.contains("you have as many connections"));
    assert_eq!((many.count(), visits.len()), (3, 64 + 3 + 1 + 1));
    scene.nothing_happened();
}

#[test]
fn a_crowd_of_strangers_is_survived() {
    // Mallory opens more connections than the daemon has file descriptors for, and says nothing. A
    // server that ends when it cannot accept ends here; ours goes on when they are gone.
    let scene = Scene::set();
    let limit = format!("--pid={}", scene.ca.daemon.pid());
    run(Command::new("prlimit").args([&limit, "--nofile=60:"])).ok();
    let port = scene.ca.port();
    let crowd: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let failed = "could not accept a connection";
    until(failed, || scene.ca.daemon.log().iter().any(|line| line.contains(failed)));
    drop(crowd);
    scene.nothing_happened();
}

#[test]
fn a_flood_is_not_kept() {
    // Mallory sends 80 MB of messages that mean nothing; bob sends questions and never reads an
    // answer, and types 80 MB into a channel that nobody reads.
    let mut scene = Scene::set();
    let visits = scene.tell("channels", "floods");
    assert_eq!(who(&visits), [("-", 0), ("bob", 0), ("bob", 0)]);
    scene.nothing_happened();
}
