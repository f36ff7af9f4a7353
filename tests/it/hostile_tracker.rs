//! Trackers that are attacked, or attack: whoever runs one, or has taken one over, learns nothing more,
//! gets nowhere else, and delays nobody but those who name its tickets.

mod attacks;
mod ids;
pub mod server;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::attacks::attacks;
use self::server::{Canary, Does, Server, raw, tls};
use crate::ca::{Ca, aliases, bend};
use crate::process::{Said, repository, run};

/// How long a call to a tracker may take here.
const DEADLINE: Duration = Duration::from_secs(2);

/// A ticket that lets whom it is assigned to in.
fn open(who: &str) -> Does {
    Does::Json(format!(
        "{{\"id\":{{number}},\"state\":\"open\",\"title\":\"t\",\"who\":{who:?},\"priority\":\"high\",\"labels\":[\"a\"],\
         \"hosts\":[\"web01\"],\"from\":1,\"until\":\"2099-01-01T00:00:00Z\"}}"
    ))
}

/// A tracker at this address, before the example's own.
fn add(dir: &Path, name: &str, ids: &str, base: &str, more: &str) {
    let secret = dir.join("ca/token");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&secret);
    file.unwrap().write_all(b"s3cr3t-t0ken\n").unwrap();
    let text = format!(
        "[[tracker]]\nname = {name:?}\nkind = \"http\"\nids = [{ids:?}]\nbase = \"{base}/api\"\ndeadline = \"2s\"\n{more}\
         [tracker.auth]\nbearer = \"token\"\n[tracker.read]\nrequest = \"/t/{{number}}\"\n[tracker.fields]\nid = \"/id\"\n\
         state = \"/state\"\ntitle = \"/title\"\nassignee = \"/who\"\npriority = \"/priority\"\nlabels = \"/labels/*\"\n\
         hosts = \"/hosts/*\"\nwindow_from = \"/from\"\nwindow_until = \"/until\"\n[tracker.states]\nopen = [\"open\"]\n\
         closed = [\"closed\"]\n"
    );
    put(dir, &text);
}

/// Puts a tracker before the example's own.
fn put(dir: &Path, text: &str) {
    let file = dir.join("ca/ca.toml");
    let all = std::fs::read_to_string(&file).unwrap();
    let (before, own) = all.split_once("\n[[tracker]]").unwrap();
    std::fs::write(&file, format!("{before}\n{text}\n[[tracker]]{own}")).unwrap();
}

fn timed(ca: &Ca, person: &str, words: &[&str]) -> (Said, Duration) {
    let begun = Instant::now();
    let said = ca.ssh(person, words);
    (said, begun.elapsed())
}

/// The most memory that a process ever had, in KiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Mallory has taken over the tracker of the first team and means to read what its token opens elsewhere,
/// to have the daemon fetch addresses of her choice, to fill its memory, or at least to keep the second
/// team from working.
#[test]
fn a_tracker_that_was_taken_over_harms_nobody_else() {
    let canary = Canary::start();
    let (hostile, good) = (Server::start(open("ana")), Server::start(open("bob")));
    let ca = Ca::start_with(|dir| {
        add(dir, "good", "G-{number}", &format!("http://{}", good.address), "");
        add(dir, "hostile", "H-{number}", &format!("http://{}", hostile.address), "");
        aliases(dir, &["good", "hostile"], ["ana", "bob"]);
        // What is tried here is no rate.
        bend(dir, "total = 550\nperson = 55", "total = 50000\nperson = 50000");
        bend(dir, "grants = 200", "grants = 50000");
        let file = dir.join("ca/signer.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let rates = "total = 600\nperson = 60\naccount = 120";
        assert!(text.contains(rates), "{text}");
        let high = "total = 50000\nperson = 50000\naccount = 50000";
        std::fs::write(file, text.replace(rates, high)).unwrap();
    });
    let pid = ca.daemon.pid();
    let well = || {
        hostile.now(open("ana"));
        let (said, _) = timed(&ca, "ana", &["deploy@web01", "H-7"]);
        assert_eq!(said.code, 0, "{said:?}");
    };
    well();
    ca.ssh("bob", &["deploy@web01", "G-7"]).ok();
    hostile.asked();
    let (before, slowest) = (peak(pid), Mutex::new((Duration::ZERO, Duration::ZERO)));
    for (name, does) in attacks(&canary) {
        hostile.now(does);
        let ask = || {
            let (said, took) = timed(&ca, "ana", &["deploy@web01", "H-7", "--json"]);
            assert!(matches!(said.code, 1 | 75), "{name}: {said:?}");
            assert!(took < DEADLINE + Duration::from_secs(1), "{name}: {took:?}");
            let told: Value = serde_json::from_str(&said.out).unwrap();
            assert!(
                matches!(told["outcome"].as_str(), Some("refused" | "fault")),
                "{name}: {told}"
            );
            assert!(!told.to_string().contains("s3cr3t"), "{name}: {told}");
            let mut slowest = slowest.lock().unwrap();
            slowest.0 = slowest.0.max(took);
        };
        std::thread::scope(|scope| {
            let asking: Vec<_> = (0..3).map(|_| scope.spawn(ask)).collect();
            // Meanwhile: without a ticket, and with one of another tracker.
            for (person, words) in [
                ("bob", &["logs@web01"][..]),
                ("bob", &["deploy@web01", "G-7"]),
                ("ana", &["logs@web01"]),
            ] {
                let (said, took) = timed(&ca, person, words);
                assert_eq!(said.code, 0, "{name}: {said:?}");
                assert!(took < Duration::from_millis(1500), "{name}: {person} {words:?} {took:?}");
                let mut slowest = slowest.lock().unwrap();
                slowest.1 = slowest.1.max(took);
            }
            asking.into_iter().for_each(|one| one.join().unwrap());
        });
        well();
        assert_eq!(canary.visits(), 0, "{name}: the canary was visited");
        let asked = hostile.asked();
        assert!(asked.iter().all(|line| line == "GET /api/t/7"), "{name}: {asked:?}");
        let grown = peak(pid).saturating_sub(before);
        assert!(grown < 32 * 1024, "{name}: {grown} KiB more");
    }
    let (asking, others) = *slowest.lock().unwrap();
    let grown = peak(pid).saturating_sub(before);
    eprintln!(
        "slowest: who names its tickets {asking:?}, others {others:?}; {grown} KiB more at most"
    );
    // Neither the journal nor what people were told has the credentials.
    assert!(!ca.daemon.log().iter().any(|line| line.contains("s3cr3t")));
}

/// A tracker is down for a while: after five faults nobody waits for it any more, and it is found when it
/// is back.
#[test]
fn a_tracker_that_is_down_is_left_alone_and_found_again() {
    let server = Server::start(Does::Silent);
    let ca = Ca::start_with(|dir| {
        add(dir, "slow", "H-{number}", &format!("http://{}", server.address), "");
        aliases(dir, &["slow"], ["ana", "bob"]);
    });
    std::thread::scope(|scope| {
        let ask = || assert_eq!(ca.ssh("ana", &["deploy@web01", "H-7"]).code, 75);
        let asking: Vec<_> = (0..5).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().for_each(|one| one.join().unwrap());
    });
    assert_eq!(server.asked().len(), 5);
    let begun = Instant::now();
    for _ in 0..5 {
        let (said, took) = timed(&ca, "ana", &["deploy@web01", "H-7"]);
        assert_eq!(said.code, 75, "{said:?}");
        assert!(took < Duration::from_millis(1500), "{took:?}");
    }
    assert_eq!(server.asked().len(), 0, "it was not left alone");
    assert!(ca.daemon.log().iter().any(|line| line.contains("is left alone since 20")));
    // While the one that tries waits, the others are told at once.
    server.now(open("ana"));
    crate::process::until("the tracker is tried again", || {
        ca.ssh("ana", &["deploy@web01", "H-7"]).code == 0
    });
    assert!(begun.elapsed() > Duration::from_secs(9), "{:?}", begun.elapsed());
    assert_eq!(server.asked().len(), 1);
}

/// One who can stand between the CA and the tracker shows a certificate of her own.
#[test]
fn tls_is_believed_by_the_authority_that_is_named_and_by_no_other() {
    let address = tls("{\"id\":7,\"state\":\"open\",\"who\":\"ana\"}");
    // One takes the connection and says nothing, one begins a record of TLS and never ends it.
    let (silent, drips) = (raw(b""), raw(b"\x16\x03\x03\x3f\xff\x02\x00"));
    let ca_file = repository("tests/it/hostile_tracker/tls/ca.pem");
    let named = format!("ca_file = {ca_file:?}\n");
    let dir = Ca::make();
    for (name, ids, base, more) in [
        ("named", "N-{number}", format!("https://{address}"), named.as_str()),
        ("unnamed", "U-{number}", format!("https://{address}"), ""),
        ("silent", "S-{number}", format!("https://{}", silent), named.as_str()),
        ("drips", "D-{number}", format!("https://{}", drips), named.as_str()),
    ] {
        add(dir.path(), name, ids, &base, more);
    }
    let test = |id: &str| {
        let mut hallpass = crate::ca::hallpass();
        let begun = Instant::now();
        let said = run(hallpass
            .args(["ticket", "test", id, "--config"])
            .arg(dir.path().join("ca/ca.toml")));
        assert!(begun.elapsed() < DEADLINE + Duration::from_secs(1), "{id}: {:?}", begun.elapsed());
        said
    };
    let said = test("N-7");
    assert!(said.code == 0 && said.out.contains("  state        open (\"open\")"), "{said:?}");
    let said = test("U-7");
    assert!(said.code == 75 && said.out.contains("TLS: "), "{said:?}");
    assert!(said.out.contains("hint: where an authority of one's own vouches"), "{said:?}");
    for id in ["S-7", "D-7"] {
        let said = test(id);
        assert!(said.code == 75 && said.out.contains("no whole answer within 2s"), "{said:?}");
    }
}
