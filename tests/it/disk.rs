//! A disk that is full, and one that is read-only: a fault, nothing lost, and service again when
//! there is room, with nobody's hand.
//!
//! The CA's `state/` lies on a tmpfs of its own.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::load::{Dice, Rig, programs, rounds};
use crate::namespace::may_mount;
use crate::process::{run, until};

/// A mounted tmpfs; gone with the value.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Puts what is in a folder on a disk of this size, mounted there. `None` where that is not allowed.
    fn over(folder: &Path, size: &str) -> Option<Self> {
        let moved = folder.with_extension("moved");
        std::fs::rename(folder, &moved).unwrap();
        std::fs::create_dir(folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "hallpass-test"]);
        if run(mount.arg(folder)).code != 0 {
            eprintln!("not tried: a full disk (root may not mount a tmpfs here)");
            return None;
        }
        run(Command::new("cp").arg("-a").arg(moved.join(".")).arg(folder)).ok();
        Some(Self(folder.to_owned()))
    }

    fn remount(&self, how: &str) {
        // A signer that is still ending has its files open.
        until("the remount", || {
            run(Command::new("mount").args(["-o", &format!("remount,bind,{how}")]).arg(&self.0))
                .code
                == 0
        });
    }

    /// Writes until there is no room, to the last byte or to so many blocks before it.
    fn fill(&self, spare: u64) {
        let mut file = File::options().append(true).create(true).open(self.0.join("fill")).unwrap();
        for size in [1 << 16, 1 << 12, 1 << 8, 1] {
            let block = vec![1; size];
            while file.write_all(&block).is_ok() {}
        }
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(spare * 4096)).unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("fill")).unwrap();
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

/// A CA whose state is on a small disk, with a reserve of 2 MiB. `None` where the test is not to go on
/// here.
fn rig(test: &str) -> Option<(Rig, Tmpfs)> {
    if !may_mount(&format!("disk::{test}")) {
        return None;
    }
    let rig = Rig::new(programs());
    let path = rig.file("ca.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("reserve_mib = 16", "reserve_mib = 2")).unwrap();
    let disk = Tmpfs::over(&rig.file("state"), "48m")?;
    Some((rig, disk))
}

/// `HALLPASS_ROUNDS=100` for the full run; `HALLPASS_SEED` to have one again.
#[test]
fn a_full_disk_is_a_fault_and_room_on_it_is_service_again() {
    let Some((rig, disk)) = rig("a_full_disk_is_a_fault_and_room_on_it_is_service_again") else {
        return;
    };
    let mut dice = Dice::new("disk");
    let mut daemon = rig.start();
    let (mut faults, mut eaten, mut killed) = (0, 0, 0);
    let all = rounds("HALLPASS_ROUNDS", 10);
    for round in 0..all {
        rig.under_load(|| {
            std::thread::sleep(Duration::from_millis(dice.roll(120)));
            // To the last byte, or to any of the last 400 KiB: what the CA finds differs each time.
            disk.fill(dice.roll(2) * dice.roll(100));
            let said = rig.ask_until(|said| said.code != 0, || daemon.log());
            assert_eq!(said.code, 75, "{said:?}");
            assert!(said.err.starts_with("hallpass: fault r"), "{said:?}");
            assert!(said.err.contains("\nhint: try again"), "{said:?}");
            faults += 1;
            match dice.roll(3) {
                // Whoever fills the disk takes the reserve too.
                0 => {
                    disk.fill(0);
                    assert_eq!(rig.ask().code, 75);
                    eaten += 1;
                }
                // The reserve is room for a refusal in the ledger.
                1 => {
                    assert_eq!(rig.ask_for(&["deploy@web01", "OPS-9"]).code, 1);
                }
                // And for a start: nobody gets a certificate, but the CA stands.
                _ => {
                    daemon.kill();
                    daemon = rig.start();
                    assert_eq!(rig.ask().code, 75);
                    assert_eq!(rig.ask_for(&["status"]).code, 0);
                    killed += 1;
                }
            }
            disk.make_room();
            rig.ask_until_served(|| daemon.log());
        });
        let said = rig.audit();
        assert!(said.starts_with("0 problems"), "round {round}: {said}");
    }
    assert_eq!(daemon.stop(), 0);
    eprintln!(
        "disk: {all} rounds, {faults} faults, the reserve taken too in {eaten}, started while full in {killed}; {}; {}",
        rig.audit(),
        rig.verify()
    );
}

#[test]
fn refusals_are_recorded_in_the_reserve_while_certificates_wait() {
    let Some((rig, disk)) = rig("refusals_are_recorded_in_the_reserve_while_certificates_wait")
    else {
        return;
    };
    let mut daemon = rig.start();
    rig.ask_until_served(|| daemon.log());
    disk.fill(0);
    assert_eq!(rig.ask().code, 75);
    for _ in 0..5 {
        assert_eq!(rig.ask_for(&["deploy@web01", "OPS-9"]).code, 1);
        assert_eq!(rig.ask().code, 75);
    }
    let check = |rig: &Rig| {
        let mut check = Command::new(programs().join("hallpass"));
        run(check.args(["check", "--config"]).arg(rig.file("ca.toml"))).err
    };
    let said = check(&rig);
    assert!(said.contains("warning: the disk is nearly full"), "{said}");
    disk.make_room();
    rig.ask_until_served(|| daemon.log());
    assert_eq!(daemon.stop(), 0);
    let said = check(&rig);
    assert!(said.contains("besides a reserve of 2 MiB; the last day wrote "), "{said}");
    assert!(said.contains("at that pace it lasts ") && !said.contains("nearly full"), "{said}");
    let mut export = Command::new(programs().join("hallpass"));
    let export = run(export.args(["ledger", "export", "--config"]).arg(rig.file("ca.toml"))).ok();
    let refusals = export.lines().filter(|line| line.contains("hallpass.v1 refusal")).count();
    assert_eq!(refusals, 5);
    rig.audit();
}

#[test]
fn recovery_and_rotation_have_the_reserve_where_the_disk_is_full() {
    let Some((rig, disk)) = rig("recovery_and_rotation_have_the_reserve_where_the_disk_is_full")
    else {
        return;
    };
    let operate = |words: &[&str]| {
        let mut command = Command::new(programs().join("hallpass"));
        run(command.args(words).arg("--config").arg(rig.file("ca.toml")))
    };
    let mut daemon = rig.start();
    rig.ask_until_served(|| daemon.log());
    assert_eq!(daemon.stop(), 0);
    // Somebody fills the disk while the CA is stopped: nobody has given the reserve back yet.
    disk.fill(0);
    assert_eq!(operate(&["key", "promote", "user-ca"]).code, 0);
    let said = operate(&["ledger", "recover", "--accept-loss", "--reason", "a drill"]);
    assert_eq!(said.code, 0, "{said:?}");
    let mut succeed = Command::new(programs().join("hallpass-signer"));
    succeed.arg("succeed").arg("--config").arg(rig.file("signer.toml"));
    succeed.arg("--checkpoint").arg(rig.file("state/succession"));
    assert_eq!(run(&mut succeed).code, 0);
    let daemon = rig.start();
    assert_eq!(rig.ask().code, 75);
    assert_eq!(rig.ask_for(&["deploy@web01", "OPS-9"]).code, 1);
    disk.make_room();
    rig.ask_until_served(|| daemon.log());
    rig.verify();
}

#[test]
fn a_read_only_disk_starts_nothing_and_a_writable_one_does() {
    let Some((rig, disk)) = rig("a_read_only_disk_starts_nothing_and_a_writable_one_does") else {
        return;
    };
    let mut daemon = rig.start();
    rig.ask_until_served(|| daemon.log());
    assert_eq!(daemon.stop(), 0);
    disk.remount("ro");
    let Err(log) = rig.serve(&mut rig.command()) else { panic!("it serves from a read-only disk") };
    assert!(log.iter().any(|line| line.contains("the disk must be writable")), "{log:#?}");
    disk.remount("rw");
    let daemon = rig.start();
    rig.ask_until_served(|| daemon.log());
    rig.audit();
}
