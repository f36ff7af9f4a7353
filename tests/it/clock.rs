//! The clock under a running CA is set: back, ahead, over 2038. Certificates are a fault until it is
//! right again, refusals are recorded in order, and the ledger verifies throughout.
//!
//! Daemon and signer run with libfaketime, which takes its offset from a file at each reading; the
//! time since boot stays what it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use hallpass::fault_point::{SERVING, STOP, TILE};

use crate::load::{Dice, Rig, programs};
use crate::process::{Daemon, children, fault_points, run, signal, until};

const YEAR: i64 = 365 * 24 * 3600;

/// The library, from Debian's faketime.
pub fn library() -> PathBuf {
    let dirs = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut found = dirs.map(|dir| dir.join("faketime/libfaketimeMT.so.1"));
    found
        .find(|path| path.exists())
        .expect("libfaketime is missing: scripts/test installs faketime")
}

/// Sets the clock so many seconds ahead.
fn set(file: &Path, ahead: i64) {
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{ahead:+}\n")).unwrap();
    std::fs::rename(new, file).unwrap();
}

fn serve(rig: &Rig, clock: &Path) -> Command {
    let mut serve = rig.command();
    serve
        .env("LD_PRELOAD", library())
        .env("FAKETIME_TIMESTAMP_FILE", clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
        .env("TZ", "UTC");
    serve
}

#[test]
fn a_clock_that_was_set_is_a_fault_until_it_is_right() {
    let rig = Rig::new(programs());
    let clock = rig.file("clock");
    set(&clock, 0);
    let start =
        |rig: &Rig| rig.serve(&mut serve(rig, &clock)).unwrap_or_else(|log| panic!("{log:#?}")).0;
    let mut daemon = start(&rig);
    assert_eq!(rig.ask().code, 0);
    for ahead in [3600, -3600, 60, -60, YEAR, -YEAR, 12 * YEAR] {
        set(&clock, ahead);
        for _ in 0..3 {
            let said = rig.ask();
            assert_eq!(said.code, 75, "{ahead}: {said:?}");
            assert!(said.err.contains(": the CA's clock jumped\nhint: try again"), "{said:?}");
        }
        assert_eq!(rig.ask_for(&["deploy@web01", "OPS-9"]).code, 1, "{ahead}");
        set(&clock, 0);
        assert_eq!(rig.ask().code, 0, "{ahead}: {:#?}", daemon.log());
    }
    // A leap second, and what a network's time corrects now and then.
    for ahead in [1, 0, -1, 0] {
        set(&clock, ahead);
        assert_eq!(rig.ask().code, 0, "{ahead}: {:#?}", daemon.log());
    }

    // Behind the ledger: a restart does not help, the right time does.
    daemon.kill();
    set(&clock, -3600);
    daemon = start(&rig);
    assert_eq!(rig.ask().code, 75);
    assert_eq!(rig.ask_for(&["deploy@web01", "OPS-9"]).code, 1);
    set(&clock, 0);
    daemon.kill();
    daemon = start(&rig);
    assert_eq!(rig.ask().code, 0, "{:#?}", daemon.log());
    assert_eq!(daemon.stop(), 0);
    eprintln!("clock: {}; {}", rig.audit(), rig.verify());
}

/// The process that has stopped itself: the daemon, or its signer.
fn stopped(daemon: &Daemon) -> Option<u32> {
    let stopped = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_ok_and(|stat| stat.rsplit(") ").next().unwrap().starts_with('T'))
    };
    children(daemon.pid()).into_iter().chain([daemon.pid()]).find(stopped)
}

#[test]
fn a_clock_that_is_set_at_any_step_costs_a_fault_and_no_more() {
    // A certificate on its way stops before each step that cannot be taken back. While it stands
    // there the clock is set; then it goes on.
    let rig = Rig::new(fault_points());
    let clock = rig.file("clock");
    let mut dice = Dice::new("clock");
    for (point, ahead) in SERVING.into_iter().flat_map(|point| [(point, 3600), (point, -3600)]) {
        set(&clock, 0);
        let struck = rig.file(&format!("struck-{}{ahead:+}", point.name()));
        // Past those that a start takes; a tile is filled by 256 entries.
        let count = if point == TILE { 1 } else { 8 + dice.roll(4) };
        let mut command = serve(&rig, &clock);
        command.env("HALLPASS_FAULT", format!("{}:{STOP}:{count}", point.name()));
        command.env("HALLPASS_FAULT_ONCE", &struck);
        let (mut daemon, _) = rig.serve(&mut command).unwrap_or_else(|log| panic!("{log:#?}"));
        rig.under_load(|| {
            let mut found = None;
            until(&format!("a stop at {}", point.name()), || {
                found = stopped(&daemon);
                found.is_some()
            });
            set(&clock, ahead);
            signal(found.unwrap(), "CONT");
            // Those who were on their way may have theirs: it was decided, or signed, before.
            let said = rig.ask_until(|said| said.code != 0, || daemon.log());
            assert_eq!(said.code, 75, "{} {ahead}: {said:?}", point.name());
            for _ in 0..3 {
                assert_eq!(rig.ask().code, 75, "{} {ahead}", point.name());
            }
            set(&clock, 0);
            rig.ask_until_served(|| daemon.log());
        });
        assert!(struck.exists());
        rig.audit();
        assert_eq!(daemon.stop(), 0);
    }
    eprintln!("clock at {} steps: {}; {}", SERVING.len(), rig.audit(), rig.verify());
}

#[test]
fn in_2038_nothing_happens() {
    let rig = Rig::new(programs());
    let clock = rig.file("clock");
    let now: i64 = run(Command::new("date").arg("+%s")).ok().trim().parse().unwrap();
    set(&clock, i64::from(i32::MAX) - now - 3);
    let mut daemon = rig.serve(&mut serve(&rig, &clock)).unwrap_or_else(|log| panic!("{log:#?}")).0;
    let begun = std::time::Instant::now();
    while begun.elapsed().as_secs() < 6 {
        let said = rig.ask();
        assert_eq!(said.code, 0, "{said:?} {:#?}", daemon.log());
    }
    let said = rig.ask_for(&["logs@web01", "--json"]).out;
    assert!(said.contains("\"valid_before\":\"2038-01-19T03:29:"), "{said}");
    assert_eq!(daemon.stop(), 0);
    eprintln!("2038: {}; {}", rig.audit(), rig.verify());
}
