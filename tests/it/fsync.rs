//! The story of the fsync that lied. The disk refuses a page; fsync says so, once. The kernel marks the
//! page clean all the same, goes on showing it, and the next fsync succeeds: it has nothing to write.
//! Whoever tries again, or starts again and reads, believes what no disk has, builds on it, and the
//! next power cut takes all of it: certificates that the ledger does not know.
//!
//! The CA's `state/` lies on a block device (zram) that refuses every write while it is told to. It
//! takes root; anybody else is told what was not tried.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::load::{Dice, Rig, programs, rounds};
use crate::namespace::may_mount;
use crate::process::{Daemon, run, until};

const CONTROL: &str = "/sys/class/zram-control";

/// A block device with a file system on it, mounted; gone with the value.
struct Disk {
    number: String,
    at: PathBuf,
}

impl Disk {
    /// Puts what is in a folder on a disk of its own, mounted there. `None` where that is not allowed.
    fn over(folder: &Path) -> Option<Self> {
        let not_tried = |why: &str| eprintln!("not tried: a disk that loses pages ({why})");
        let Ok(number) = std::fs::read_to_string(format!("{CONTROL}/hot_add")) else {
            not_tried("no zram, or not root");
            return None;
        };
        let disk = Self { number: number.trim().to_owned(), at: folder.to_owned() };
        disk.set("disksize", "64M");
        // Without a journal, whose own failed write would end the whole file system.
        let mut make = Command::new("mkfs.ext4");
        make.args(["-q", "-O", "^has_journal", "-E", "lazy_itable_init=0,nodiscard"]);
        run(make.arg(disk.device())).ok();
        let moved = folder.with_extension("moved");
        std::fs::rename(folder, &moved).unwrap();
        std::fs::create_dir(folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-o", "errors=continue"]).arg(disk.device());
        if run(mount.arg(folder)).code != 0 {
            not_tried("root may not mount here");
            return None;
        }
        run(Command::new("cp").arg("-a").arg(moved.join(".")).arg(folder)).ok();
        run(Command::new("sync").arg("-f").arg(folder)).ok();
        Some(disk)
    }

    fn device(&self) -> String {
        format!("/dev/zram{}", self.number)
    }

    fn set(&self, what: &str, value: &str) {
        std::fs::write(format!("/sys/block/zram{}/{what}", self.number), value).unwrap();
    }

    /// From here on every write fails: it may keep one page.
    fn fail(&self) {
        self.set("mem_limit", "4096");
    }

    fn heal(&self) {
        self.set("mem_limit", "0");
    }

    /// What a power cut does: whatever the disk does not have is forgotten.
    fn forget(&self) {
        self.fail();
        for file in ["ledger.db", "ledger.db-wal", "signer/list", "signer/mark", "checkpoint"] {
            let Ok(file) = File::open(self.at.join(file)) else { continue };
            // The write back that this causes fails, and leaves nothing that is not clean.
            file.sync_all().ok();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        }
        self.heal();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.heal();
        // Whoever copied this mount for a moment keeps the device.
        until("the device's end", || {
            run(Command::new("umount").arg(&self.at));
            let reset = format!("/sys/block/zram{}/reset", self.number);
            std::fs::write(reset, "1").is_ok()
        });
        std::fs::write(format!("{CONTROL}/hot_remove"), &self.number).ok();
    }
}

/// The kernel does lie, or the test below shows nothing.
fn lies(disk: &Disk) -> bool {
    use std::os::unix::fs::FileExt as _;
    let path = disk.at.join("page");
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    let read = || {
        let mut page = vec![0; 4096];
        file.read_exact_at(&mut page, 0).unwrap();
        page
    };
    let page = |salt: u32| -> Vec<u8> {
        (0..4096u32)
            .map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(salt) >> 13) as u8)
            .collect()
    };
    file.write_all_at(&page(1), 0).unwrap();
    file.sync_all().unwrap();
    disk.fail();
    file.write_all_at(&page(2), 0).unwrap();
    assert!(file.sync_all().is_err());
    let shown = read() == page(2);
    disk.heal();
    let mut synced = file.sync_all();
    until("an fsync that succeeds", || {
        synced = file.sync_all();
        synced.is_ok()
    });
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    shown && read() == page(1)
}

/// Starts it, and again where it hears at its start of what failed before: as a service manager does.
fn start(rig: &Rig) -> Daemon {
    let mut refused = 0;
    loop {
        match rig.serve(&mut rig.command()) {
            Ok((daemon, _)) => return daemon,
            Err(log) => assert!(refused < 5, "no start: {log:#?}"),
        }
        refused += 1;
    }
}

/// `HALLPASS_ROUNDS=100` for the full run; `HALLPASS_SEED` to have one again.
#[test]
fn an_fsync_that_lies_leaves_nobody_with_a_certificate_that_the_ledger_lacks() {
    if !may_mount(
        "fsync::an_fsync_that_lies_leaves_nobody_with_a_certificate_that_the_ledger_lacks",
    ) {
        return;
    }
    let rig = Rig::new(programs());
    let path = rig.file("ca.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("reserve_mib = 16", "reserve_mib = 2")).unwrap();
    let Some(disk) = Disk::over(&rig.file("state")) else { return };
    assert!(lies(&disk), "this kernel keeps what it could not write: another test is needed");
    let mut dice = Dice::new("fsync");
    let mut daemon = rig.start();
    let (all, mut ended) = (rounds("HALLPASS_ROUNDS", 10), 0);
    for round in 0..all {
        rig.under_load(|| {
            std::thread::sleep(Duration::from_millis(dice.roll(200)));
            disk.fail();
            let said = rig.ask_until(|said| said.code != 0, || daemon.log());
            assert!([75, 255].contains(&said.code), "{said:?}");
            std::thread::sleep(Duration::from_millis(dice.roll(100)));
            disk.heal();
            // An operator may be faster than the daemon.
            if dice.roll(3) == 0 {
                daemon.kill();
            }
            // What was written, or not, tells at the next certificate: it ends, or it serves.
            for _ in 0..10 {
                rig.ask();
            }
            if daemon.ended() {
                ended += 1;
                daemon = start(&rig);
            }
            rig.ask_until_served(|| daemon.log());
            for _ in 0..dice.roll(10) {
                rig.ask();
            }
            daemon.kill();
        });
        // The signer ends with it.
        std::thread::sleep(Duration::from_millis(100));
        disk.forget();
        let said = rig.audit();
        assert!(said.starts_with("0 problems"), "round {round}: {said}");
        daemon = start(&rig);
        rig.ask_until_served(|| daemon.log());
        let said = rig.audit();
        assert!(said.starts_with("0 problems"), "round {round}: {said}");
    }
    assert_eq!(daemon.stop(), 0);
    eprintln!(
        "fsync: {all} rounds, the daemon ended in {ended}; {}; {}",
        rig.audit(),
        rig.verify()
    );
}
