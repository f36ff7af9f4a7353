//! What a crash leaves behind: every fault point in every flavour, and `kill -9` at random moments.
//! After each the service must come back by itself, and an auditor that shares no code with hallpass
//! compares ledger, mark, the signer's list and all certificates in clients' hands.

use std::process::Command;
use std::time::{Duration, Instant};

use hallpass::fault_point::{FLAVOURS, MAKING, Point, SERVING};

use crate::load::{Dice, Rig, programs, rounds};
use crate::process::{LONG, children, fault_points, run, signal, until};

/// What arms a fault point.
const FAULT: &str = "HALLPASS_FAULT";

#[test]
fn a_release_has_no_fault_points() {
    let has = |dir: std::path::PathBuf, name: &str| {
        let bytes = std::fs::read(dir.join(name)).unwrap();
        bytes.windows(FAULT.len()).any(|window| window == FAULT.as_bytes())
    };
    for name in ["hallpass", "hallpass-signer"] {
        assert!(!has(programs(), name), "{name} has fault points");
        assert!(has(fault_points(), name), "the fault points of {name} are no fault points");
    }
}

#[test]
fn the_auditor_sees_what_is_wrong() {
    let rig = Rig::new(programs());
    let mut daemon = rig.start();
    for _ in 0..4 {
        rig.ask_until_served(|| daemon.log());
    }
    assert_eq!(daemon.stop(), 0);
    rig.audit();
    let held = std::fs::read_dir(rig.held("held")).unwrap().next().unwrap().unwrap().path();
    let bend = |name: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>, problem: &str| {
        let path = rig.file(name);
        let kept = std::fs::read(&path).unwrap_or_default();
        std::fs::write(&path, change(kept.clone())).unwrap();
        let said = rig.audited();
        assert!(said.code == 1 && said.out.contains(problem), "{name}: {said:?}");
        if kept.is_empty() { std::fs::remove_file(path) } else { std::fs::write(path, kept) }
            .unwrap();
    };
    let second = std::fs::read(&held).unwrap();
    bend("../held/twice", &|_| second.clone(), " too");
    bend("state/signer/list", &|list| list[list.len() / 4 * 3..].to_vec(), "list: ");
    let first_line = |list: Vec<u8>| list.split(|b| *b == b'\n').next().unwrap().to_vec();
    bend(
        "state/signer/list",
        &|list| [first_line(list), vec![b'\n']].concat(),
        "list lacks serial",
    );
    // Only a line that nobody holds may be cut short.
    let torn = |list: Vec<u8>| list[..list.len() - 1].to_vec();
    bend("state/signer/list", &torn, "list lacks serial");
    bend("state/signer/mark", &|mark| vec![b'0'; mark.len()], "neither slot is whole");
    bend("state/checkpoint", &|text| text[..text.len() - 2].to_vec(), "checkpoint: ");
    // A ledger that lost its end: the mark and what clients hold are ahead of it.
    let shorter = |database: Vec<u8>| {
        let path = rig.file("shorter");
        std::fs::write(&path, database).unwrap();
        let lose = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); \
                    d.execute('DELETE FROM entry WHERE idx > 6'); d.commit(); \
                    d.execute('PRAGMA wal_checkpoint(TRUNCATE)')";
        run(crate::process::python().args(["-c", lose]).arg(&path)).ok();
        std::fs::read(path).unwrap()
    };
    bend("state/ledger.db", &shorter, "the mark has seen");
    bend("state/ledger.db", &shorter, "the ledger has no certificate");
    rig.audit();
}

/// One cell of the table: load and locks until the fault strikes, service again, the audit. A lock whose
/// command said so stands afterwards, whatever struck.
fn strike(rig: &Rig, point: Point, flavour: &str, count: u64) -> usize {
    let cell = format!("{}:{flavour}:{count}", point.name());
    // Made by whoever strikes: daemon or signer.
    let struck = rig.file(&format!("struck-{}", point.name()));
    let mut locked = Vec::new();
    match rig.serve(rig.command().env(FAULT, &cell).env("HALLPASS_FAULT_ONCE", &struck)) {
        // It struck while the CA started.
        Err(log) => assert!(struck.exists(), "{cell}: {log:#?}"),
        Ok((mut daemon, _)) => {
            rig.under_load(|| {
                let begun = Instant::now();
                while !struck.exists() {
                    assert!(begun.elapsed() < LONG, "{cell} never struck: {:#?}", daemon.log());
                    let host = format!("{}-{flavour}-{}", point.name(), locked.len());
                    let lock = ["lock", &format!("host:{host}"), "--reason", "in a storm"];
                    if locked.len() < 3 && rig.operate(&lock).code == 0 {
                        locked.push(host);
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                // Those who were on their way hear of it.
                std::thread::sleep(Duration::from_millis(50));
            });
            // A fault that ends nobody, and the signer's end, are got over without a hand.
            if !daemon.ended() {
                rig.ask_until_served(|| daemon.log());
                daemon.kill();
            }
        }
    }
    let mut daemon = rig.start();
    rig.ask_until_served(|| daemon.log());
    let stand = rig.operate(&["locks"]);
    for host in &locked {
        let sentence = format!("host {host} is locked since ");
        assert!(
            stand.out.contains(&sentence) || stand.err.contains(&sentence),
            "{cell}: {stand:?}"
        );
    }
    rig.audit();
    daemon.kill();
    locked.len()
}

fn table(flavour: &str) {
    let rig = Rig::new(fault_points());
    drop(rig.start());
    let mut dice = Dice::new(flavour);
    let mut locks = 0;
    for point in SERVING {
        // A tile is filled by 256 entries. The others are passed several times a certificate.
        let count = if point == hallpass::fault_point::TILE { 1 } else { 2 + dice.roll(6) };
        locks += strike(&rig, point, flavour, count);
    }
    assert!(locks > 0, "no lock stood in any cell");
    let (points, audit, verify) = (SERVING.len(), rig.audit(), rig.verify());
    eprintln!("{flavour}: {points} points, {locks} locks; {audit}; {verify}");
}

#[test]
fn each_step_fails_and_was_not_taken() {
    table(FLAVOURS[0]);
}

#[test]
fn each_step_fails_and_was_taken_all_the_same() {
    table(FLAVOURS[1]);
}

#[test]
fn the_process_ends_before_each_step() {
    table(FLAVOURS[2]);
}

#[test]
fn the_process_ends_after_each_step() {
    table(FLAVOURS[3]);
}

#[test]
fn a_ca_that_was_made_by_half_serves_nobody_and_is_made_anew_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let hallpass = || Command::new(fault_points().join("hallpass"));
    for (number, (point, flavour)) in
        MAKING.into_iter().flat_map(|point| FLAVOURS.map(|flavour| (point, flavour))).enumerate()
    {
        let ca = dir.path().join(number.to_string());
        let cell = format!("{}:{flavour}:1", point.name());
        let made = run(hallpass().arg("init").arg(&ca).env(FAULT, &cell));
        assert_ne!(made.code, 0, "{cell}: {made:?}");
        // Everything was made, and only the last word was lost: that is a CA. Everything else is not
        // one, says so, and names what lacks.
        let whole = flavour.ends_with("after") && point.name() == "init.mark";
        let checked = run(hallpass().args(["check", "--config"]).arg(ca.join("ca.toml")));
        assert_eq!(checked.code == 0, whole, "{cell}: {checked:?}");
        let again = run(hallpass().arg("init").arg(&ca));
        assert!(again.code == 75 && again.err.contains("is not empty"), "{cell}: {again:?}");
    }
}

/// `HALLPASS_KILLS=500` for the full run; `HALLPASS_SEED` to have one again.
#[test]
fn killed_at_random_moments_under_load_it_comes_back_and_nothing_is_lost() {
    let rig = Rig::new(programs());
    let mut dice = Dice::new("kills");
    let kills = rounds("HALLPASS_KILLS", 20);
    let (mut daemons, mut signers) = (Vec::new(), Vec::new());
    let mut daemon = rig.start();
    rig.under_load(|| {
        for round in 0..kills {
            std::thread::sleep(Duration::from_millis(dice.roll(400)));
            if dice.roll(3) == 0 {
                // The signer: the daemon starts it again. What is measured ends with a certificate.
                let Some(signer) = children(daemon.pid()).first().copied() else { continue };
                signal(signer, "KILL");
                let begun = Instant::now();
                until("another signer", || {
                    children(daemon.pid()).first().is_some_and(|pid| *pid != signer)
                });
                rig.ask_until_served(|| daemon.log());
                signers.push(begun.elapsed());
            } else {
                daemon.kill();
                let (next, took) = rig
                    .serve(&mut rig.command())
                    .unwrap_or_else(|log| panic!("round {round}: no start: {log:#?}"));
                daemon = next;
                daemons.push(took);
            }
        }
    });
    rig.ask_until_served(|| daemon.log());
    eprintln!("kills: {}", rig.audit());
    assert_eq!(daemon.stop(), 0);
    eprintln!("kills: {}; {}; held {}", rig.audit(), rig.verify(), rig.holds());
    for (what, mut times) in [
        ("the daemon, exec to listening", daemons),
        ("the signer, kill to the next certificate", signers),
    ] {
        times.sort();
        let middle = times.get(times.len() / 2);
        eprintln!(
            "kills: {what}: {} times, min {:?}, median {middle:?}, max {:?}",
            times.len(),
            times.first(),
            times.last()
        );
    }
}
