//! A disk that fails: errors of fsync, write and truncate, in the daemon and in the signer, that come
//! and go while both run. Nothing is signed over what was not written, nobody holds what the ledger
//! lacks, and service resumes without a hand.
//!
//! strace makes the system calls fail, on the one file that is meant. The kernel is not asked then, so
//! these are errors after which nothing was done; the `fsync` tests have a disk that really fails.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::{Dice, Rig, programs};
use crate::namespace::may_mount;
use crate::process::{Daemon, children, signal, until};

/// What fails, and what becomes of it.
struct Case {
    /// Whose calls.
    who: Who,
    /// On which file below `state/`.
    file: &'static str,
    /// Which calls.
    calls: &'static str,
    error: &'static str,
    then: Then,
}

#[derive(PartialEq)]
enum Who {
    Daemon,
    Signer,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    /// The process ends with status 70: only a new start can tell what is durable.
    Ends,
    /// Certificates are a fault until it is over.
    Faults,
    /// Nobody notices: what failed is done again later.
    Serves,
}

const fn case(
    who: Who,
    file: &'static str,
    calls: &'static str,
    error: &'static str,
    then: Then,
) -> Case {
    Case { who, file, calls, error, then }
}

const SYNC: &str = "fsync,fdatasync";

const CASES: [Case; 14] = [
    case(Who::Daemon, "ledger.db-wal", SYNC, "EIO", Then::Ends),
    case(Who::Daemon, "ledger.db-wal", SYNC, "ENOSPC", Then::Ends),
    case(Who::Daemon, "ledger.db-wal", "pwrite64", "EIO", Then::Ends),
    case(Who::Daemon, "ledger.db-wal", "pwrite64", "ENOSPC", Then::Faults),
    // The log is brought into the database once in a while: SQLite itself would say nothing and try again.
    case(Who::Daemon, "ledger.db", SYNC, "EIO", Then::Ends),
    case(Who::Daemon, "ledger.db", "pwrite64", "ENOSPC", Then::Serves),
    // For readers alone, and each batch brings the next.
    case(Who::Daemon, "checkpoint.new", "openat", "EIO", Then::Serves),
    case(Who::Signer, "signer/list", SYNC, "EIO", Then::Faults),
    case(Who::Signer, "signer/list", "write", "EIO", Then::Faults),
    case(Who::Signer, "signer/list", "write", "ENOSPC", Then::Faults),
    case(Who::Signer, "signer/list", "fsync,fdatasync,ftruncate", "EIO", Then::Faults),
    case(Who::Signer, "signer/mark", SYNC, "EIO", Then::Faults),
    case(Who::Signer, "signer/mark", "pwrite64", "EIO", Then::Faults),
    case(Who::Signer, "signer/mark", "pwrite64", "ENOSPC", Then::Faults),
];

/// strace, with a process; it lets go with the value.
struct Failing {
    strace: Child,
    report: PathBuf,
}

impl Failing {
    fn begin(pid: u32, path: &Path, calls: &str, error: &str, report: PathBuf) -> Self {
        std::fs::remove_file(&report).ok();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-q", "-o"]).arg(&report).arg("-P").arg(path);
        strace.arg("-e").arg(format!("inject={calls}:error={error}"));
        strace.arg("-p").arg(pid.to_string());
        strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let strace = strace.spawn().expect("strace is missing: scripts/test installs it");
        // Every thread has its tracer, or the first call failed already, which may have ended it.
        until("strace", || {
            if struck_in(&report) > 0 {
                return true;
            }
            let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            let traced = |task: &Path| {
                let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
                status.contains(&format!("TracerPid:\t{}\n", strace.id()))
            };
            tasks.map(|task| task.unwrap().path()).all(|task| traced(&task))
        });
        Self { strace, report }
    }

    /// How often a call was made to fail.
    fn struck(&self) -> usize {
        struck_in(&self.report)
    }

    /// The disk is well again; how often it was not.
    fn end(mut self) -> usize {
        signal(self.strace.id(), "TERM");
        self.strace.wait().unwrap();
        self.struck()
    }
}

fn struck_in(report: &Path) -> usize {
    std::fs::read_to_string(report).unwrap_or_default().matches("(INJECTED)").count()
}

fn victim(who: &Who, daemon: &Daemon) -> u32 {
    match who {
        Who::Daemon => daemon.pid(),
        Who::Signer => *children(daemon.pid()).first().expect("a signer"),
    }
}

/// One case under load. In half of them the daemon is killed too while the disk is still sick.
fn strike(rig: &Rig, case: &Case, dice: &mut Dice) -> usize {
    let Case { who, file, calls, error, then } = case;
    let cell = format!("{file} {calls} {error}");
    let mut daemon = rig.start();
    rig.ask_until_served(|| daemon.log());
    let path = rig.file("state").join(file);
    let struck = rig.under_load(|| {
        std::thread::sleep(Duration::from_millis(dice.roll(100)));
        let failing =
            Failing::begin(victim(who, &daemon), &path, calls, error, rig.file("../strace"));
        let begun = Instant::now();
        while failing.struck() == 0 {
            assert!(begun.elapsed() < crate::process::LONG, "{cell}: never: {:#?}", daemon.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        match then {
            Then::Ends => assert_eq!(daemon.end(), 70, "{cell}: {:#?}", daemon.log()),
            Then::Faults => {
                let said = rig.ask_until(|said| said.code != 0, || daemon.log());
                assert_eq!(said.code, 75, "{cell}: {said:?}");
                for _ in 0..3 {
                    assert_eq!(rig.ask().code, 75, "{cell}: served over a sick disk");
                }
                assert!(!daemon.ended(), "{cell}: {:#?}", daemon.log());
            }
            Then::Serves => {
                for _ in 0..3 {
                    let said = rig.ask();
                    assert_eq!(said.code, 0, "{cell}: {said:?} {:#?}", daemon.log());
                }
            }
        }
        if *then != Then::Ends && dice.roll(2) == 0 {
            daemon.kill();
        }
        failing.end()
    });
    if daemon.ended() {
        daemon = rig.start();
    }
    rig.ask_until_served(|| daemon.log());
    let said = rig.audit();
    assert!(said.starts_with("0 problems"), "{cell}: {said}");
    assert_eq!(daemon.stop(), 0, "{cell}: {:#?}", daemon.log());
    struck
}

/// `HALLPASS_SEED` to have a run again.
#[test]
fn a_disk_that_fails_is_a_fault_and_a_disk_that_is_well_is_service_again() {
    if !may_mount("eio::a_disk_that_fails_is_a_fault_and_a_disk_that_is_well_is_service_again") {
        return;
    }
    let rig = Rig::new(programs());
    let mut dice = Dice::new("eio");
    let struck: usize = CASES.iter().map(|case| strike(&rig, case, &mut dice)).sum();
    eprintln!(
        "eio: {} cases, {struck} calls failed; {}; {}",
        CASES.len(),
        rig.audit(),
        rig.verify()
    );
}
