//! The clock under a running CA is set: back, ahead, over 2038. Certificates are a fault until it is
//! right again, refusals are recorded in order, and the ledger verifies throughout.
//!
//! Daemon and signer run with libfaketime, which takes its offset from a file at each reading; the
//! time since boot stays what it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::load::{Rig, programs};
use crate::process::run;

const YEAR: i64 = 365 * 24 * 3600;

/// The library, from Debian's faketime.
fn library() -> PathBuf {
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
