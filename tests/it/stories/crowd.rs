//! Too many at once.

use std::net::TcpStream;
use std::process::Command;

use super::{Scene, spare, who};
use crate::ca::{Ca, bend};
use crate::process::{run, until};

#[test]
fn a_crowd_of_strangers_is_survived() {
    // Mallory opens more connections than the daemon has file descriptors for, and says nothing. A
    // server that ends when it cannot accept ends here; ours goes on when they are gone.
    let scene = Scene::of(Ca::start_with(|dir| {
        spare(dir);
        bend(dir, "per_source = 16", "per_source = 200");
        bend(dir, "unauthenticated = 128", "unauthenticated = 200");
    }));
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
