//! The way out: a lost disk, a rolled-back ledger, the emergency key, and what an operator types.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::ca::Ca;
use crate::process::{run, signal};
use crate::sshd::Sshd;

fn serial(ca: &Ca) -> u64 {
    let said = ca.ssh("ana", &["deploy@web01", "OPS-7", "--json"]);
    let issued: Value = serde_json::from_str(&said.ok()).unwrap();
    issued["serial"].as_u64().unwrap()
}

fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").arg(from).arg(to)).ok();
}

/// A certificate kept while the next one is saved under the same name.
fn aside(certificate: &Path) -> PathBuf {
    let kept = certificate.with_extension("kept");
    std::fs::copy(certificate, &kept).unwrap();
    kept
}

#[test]
fn a_rolled_back_ledger_begins_a_new_generation_and_gives_no_serial_twice() {
    let mut ca = Ca::start();
    let web01 = Sshd::start(&ca, "web01");
    let key = ca.dir().join("ana");
    serial(&ca);
    // Last night's copy of the ledger, and a day after it.
    let backup = ca.dir().join("backup");
    let said = ca.operator(&["backup", backup.to_str().unwrap()]);
    assert!(said.code == 0 && said.err.contains("secret: keys/ledger\n"), "{said:?}");
    assert!(!backup.join("state/signer").exists(), "the mark was copied");
    assert!(!backup.join("state/reserve").exists(), "sixteen MiB of nothing were copied");
    let day: Vec<u64> = (0..5).map(|_| serial(&ca)).collect();
    let before = aside(&ca.certificate("ana", &["deploy@web01", "OPS-7"]));
    let held = ca.ssh("ana", &["status"]).err;
    assert!(held.contains("grant r"), "{held}");

    // The disk is lost, the copy restored: certificates are a fault that names the command.
    assert_eq!(ca.daemon.stop(), 0);
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "checkpoint"] {
        std::fs::remove_file(ca.file("state").join(name)).ok();
    }
    copy(&backup.join("state/ledger.db"), &ca.file("state/ledger.db"));
    ca.restart_after_stop();
    let said = ca.ssh("ana", &["deploy@web01", "OPS-7"]);
    assert!(said.code == 75 && said.err.contains("hallpass ledger recover"), "{said:?}");
    let running = ca.operator(&["ledger", "recover", "--accept-loss", "--reason", "disk"]);
    assert!(running.code == 75 && running.err.contains("is served already"), "{running:?}");
    assert_eq!(ca.daemon.stop(), 0);

    // The operator's commands: the daemon's user begins, the signer's user confirms.
    assert_eq!(
        ca.operator(&["ledger", "recover", "--reason", "disk"]).code,
        2,
        "without --accept-loss"
    );
    let said =
        ca.operator(&["ledger", "recover", "--accept-loss", "--reason", "disk lost at night"]);
    assert!(said.code == 0 && said.err.contains("ca.example/2 succeeds ca.example/1"), "{said:?}");
    let last = day.last().unwrap() + 1;
    assert!(said.err.contains(&format!("to {last}\n")), "{said:?}");
    let said = ca.operator(&["serve"]);
    assert!(
        said.code == 75 && said.err.contains("hallpass-signer succeed confirms it"),
        "{said:?}"
    );
    let said = ca.succeed(&[]);
    assert!(said.code == 0 && said.err.contains("the mark is of ca.example/2"), "{said:?}");
    assert_ne!(ca.succeed(&[]).code, 0, "confirmed twice");
    ca.restart_after_stop();

    // No serial twice, grants void, hosts keep accepting, old certificates too until they expire.
    let next = serial(&ca);
    assert!(next > last && !day.contains(&next), "{next} {day:?}");
    assert_eq!(ca.ssh("ana", &["status"]).err.matches("grant r").count(), 1);
    let after = ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    assert_eq!(web01.login(&key, &after, &["true"]).code, 0, "{:#?}", web01.log());
    assert_eq!(web01.login(&key, &before, &["true"]).code, 0);
    let said = ca.operator(&["ledger", "verify"]);
    assert!(said.code == 0 && said.out.starts_with("valid: "), "{said:?}");
    let entries = ca.entries();
    let succession = entries.iter().find(|entry| entry.kind == "succession").unwrap();
    assert_eq!(succession.facts["reason"], "disk lost at night");
    assert_eq!(succession.facts["old_origin"], "ca.example/1");
    let lost = entries.iter().filter(|entry| entry.kind == "lost").count() as u64;
    let (from, to) = (succession.facts["lost_from"].as_u64(), succession.facts["lost_to"].as_u64());
    assert_eq!(to.unwrap() - from.unwrap(), lost);
    // Verifiers hold a list: the new generation's key, the old one's, the signer's.
    let keys = ca.operator(&["trust", "--ledger"]).ok();
    let names: Vec<&str> = keys.lines().map(|line| line.split('+').next().unwrap()).collect();
    assert_eq!(names, ["ca.example/2", "ca.example/1", "ca.example/signer"]);
}

#[test]
fn a_recovery_that_is_cut_short_is_done_by_the_same_command() {
    // Cut after the new key, after the entries, and within the renames: each time the same command
    // again, and one succession.
    for cut in 0..3 {
        let mut ca = Ca::start();
        let old = serial(&ca);
        assert_eq!(ca.daemon.stop(), 0);
        let keys = ca.dir().join("keys-before");
        copy(&ca.file("keys"), &keys);
        let recover = || ca.operator(&["ledger", "recover", "--accept-loss", "--reason", "drill"]);
        let said = recover();
        assert!(said.code == 0 && said.err.contains("no entry is lost"), "{said:?}");
        let move_back = |from: &str, to: &str| {
            std::fs::rename(ca.file("keys").join(from), ca.file("keys").join(to)).unwrap()
        };
        match cut {
            0 => {}
            1 => {
                move_back("ledger", "ledger.next");
                move_back("ledger.vkey", "ledger.next.vkey");
                move_back("ledger.1", "ledger");
                move_back("ledger.1.vkey", "ledger.vkey");
            }
            _ => {
                move_back("ledger", "ledger.next");
                move_back("ledger.vkey", "ledger.next.vkey");
                // Between the two renames of the old key.
                move_back("ledger.1.vkey", "ledger.vkey");
            }
        }
        if cut > 0 {
            let said = recover();
            assert_eq!(said.code, 0, "{cut}: {said:?}");
        }
        let said = ca.succeed(&[]);
        assert_eq!(said.code, 0, "{cut}: {said:?}");
        ca.restart_after_stop();
        assert!(serial(&ca) > old);
        assert_eq!(
            ca.entries().iter().filter(|entry| entry.kind == "succession").count(),
            1,
            "{cut}"
        );
        assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
    }
}

#[test]
fn a_signer_that_lost_its_mark_takes_no_words_for_it_by_accident() {
    let mut ca = Ca::start();
    let day: Vec<u64> = (0..3).map(|_| serial(&ca)).collect();
    assert_eq!(ca.daemon.stop(), 0);
    std::fs::remove_file(ca.file("state/signer/mark")).unwrap();
    let said = ca.operator(&["serve"]);
    assert!(said.code == 75 && said.err.contains("state/signer/mark"), "{said:?}");
    let said = ca.signer(&["seen"]);
    assert!(
        said.code == 0
            && said.err.contains("the mark is lost")
            && said.err.contains(&format!("--seen {}", day[2])),
        "{said:?}"
    );
    assert_eq!(
        ca.operator(&["ledger", "recover", "--accept-loss", "--reason", "mark lost"]).code,
        0
    );
    let said = ca.succeed(&[]);
    assert!(said.code == 75 && said.err.contains("--without-mark"), "{said:?}");
    assert_eq!(ca.succeed(&["--without-mark"]).code, 0);
    ca.restart_after_stop();
    let next = serial(&ca);
    assert!(day.iter().all(|serial| *serial < next));
}

#[test]
fn a_backup_is_whole_while_certificates_are_issued() {
    let ca = Ca::start();
    let mut busy = ca
        .client("ana")
        .arg("ca")
        .arg("status")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let asking = std::thread::scope(|scope| {
        let asking = scope.spawn(|| (0..10).map(|_| serial(&ca)).collect::<Vec<_>>());
        for number in 0..3 {
            let dir = ca.dir().join(format!("backup{number}"));
            assert_eq!(ca.operator(&["backup", dir.to_str().unwrap()]).code, 0);
            assert_eq!(ca.operator(&["backup", dir.to_str().unwrap()]).code, 75, "written over");
        }
        asking.join().unwrap()
    });
    busy.wait().unwrap();
    signal(ca.daemon.pid(), "TERM");
    assert_eq!(asking.len(), 10);
    for number in 0..3 {
        // Each copy's rows hash to the checkpoint that was copied with it, or to a newer one.
        let config = ca.dir().join(format!("backup{number}/ca.toml"));
        let said = run(crate::ca::hallpass().args(["ledger", "verify", "--config"]).arg(config));
        assert_eq!(said.code, 0, "{said:?}");
    }
}

#[test]
fn the_emergency_keys_runbook_gets_a_person_in_and_the_ledger_hears_of_it() {
    let mut ca = Ca::start();
    let mut web01 = Sshd::start(&ca, "web01");
    // The first day: the emergency key goes offline. Its passphrase was shown once, by init.
    let emergency = ca.dir().join("emergency_ca");
    std::fs::rename(ca.file("keys/emergency_ca"), &emergency).unwrap();
    run(Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", &ca.passphrase(), "-N", "on paper", "-f"])
        .arg(&emergency))
    .ok();

    // The CA is dead. A person gets in by stock commands.
    assert_eq!(ca.daemon.stop(), 0);
    let public = ca.dir().join("ana.pub");
    let mut sign = Command::new("ssh-keygen");
    sign.args(["-q", "-P", "on paper", "-s"]).arg(&emergency);
    sign.args([
        "-I",
        "emergency-INC-1-ana",
        "-n",
        "deploy@web01",
        "-V",
        "-1m:+15m",
        "-O",
        "clear",
        "-O",
        "permit-pty",
    ]);
    run(sign.arg(&public)).ok();
    let certificate = ca.dir().join("ana-cert.pub");
    assert_eq!(
        web01.login(&ca.dir().join("ana"), &certificate, &["true"]).code,
        0,
        "{:#?}",
        web01.log()
    );
    web01.line("ID emergency-INC-1-ana (serial 0)");

    // The CA is back, and hears of it.
    let tell = |file: &Path| {
        ca.operator(&[
            "ledger",
            "emergency",
            file.to_str().unwrap(),
            "--reason",
            "the CA's disk died",
        ])
    };
    let said = tell(&certificate);
    assert!(
        said.code == 0 && said.err.contains("emergency-INC-1-ana opened deploy@web01"),
        "{said:?}"
    );
    ca.restart_after_stop();
    let other = ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    assert_eq!(ca.daemon.stop(), 0);
    let said = ca.operator(&["ledger", "emergency", other.to_str().unwrap(), "--reason", "x"]);
    assert!(said.code == 75 && said.err.contains("is not signed by the emergency key"), "{said:?}");
    ca.restart_after_stop();
    let told = ca.entries().into_iter().find(|entry| entry.kind == "break-glass").unwrap();
    assert_eq!(
        (&told.facts["key_id"], &told.facts["reason"]),
        (&"emergency-INC-1-ana".into(), &"the CA's disk died".into())
    );
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
}

#[test]
fn a_lost_machine_is_restored_into_a_new_folder() {
    let ca = Ca::start();
    let web01 = Sshd::start(&ca, "web01");
    let backup = ca.dir().join("backup");
    serial(&ca);
    assert_eq!(ca.operator(&["backup", backup.to_str().unwrap()]).code, 0);
    let day: Vec<u64> = (0..4).map(|_| serial(&ca)).collect();
    // The machine is gone. The highest serial that a server's log shows is the last of the day.
    let mut ca = ca;
    assert_eq!(ca.daemon.stop(), 0);
    std::fs::rename(ca.file(""), ca.dir().join("gone")).unwrap();
    let mut restore = crate::ca::hallpass();
    restore.arg("restore").arg(&backup).arg(ca.file(""));
    let seen = (day[3] + 100).to_string();
    let said = run(restore.args(["--reason", "machine lost", "--seen", &seen]));
    assert!(said.code == 0 && said.err.contains("ca.example/2 succeeds ca.example/1"), "{said:?}");
    let line = said.err.lines().last().unwrap().split("hallpass-signer ").nth(1).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    let mut printed = Command::new(env!("CARGO_BIN_EXE_hallpass-signer"));
    assert_eq!(run(printed.args(words)).code, 0, "the printed line: {line}");
    ca.restart_after_stop();
    assert!(serial(&ca) > day[3] + 100);
    let certificate = ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    assert_eq!(web01.login(&ca.dir().join("ana"), &certificate, &["true"]).code, 0);
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
}

#[test]
fn health_says_what_is_wrong() {
    let mut ca = Ca::start();
    let config = ca.file("ca.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("127.0.0.1:0", &format!("127.0.0.1:{}", ca.port())))
        .unwrap();
    let said = ca.operator(&["health"]);
    assert!(said.code == 0 && said.out.lines().all(|line| line.starts_with("ok    ")), "{said:?}");
    assert_eq!(said.out.lines().count(), 4);
    assert_eq!(ca.daemon.stop(), 0);
    let said = ca.operator(&["health"]);
    assert!(
        said.code == 1
            && said.out.contains("FAIL  door: 127.0.0.1:")
            && said.out.contains("ok    ledger: "),
        "{said:?}"
    );
    std::fs::write(ca.file("state/checkpoint"), "nonsense\n").unwrap();
    assert!(ca.operator(&["health"]).out.contains("FAIL  ledger: "));
}

/// A daemon that was killed and started again at once met the signer of before, not quite gone, and did
/// not start.
#[test]
fn a_start_waits_a_moment_for_the_signer_of_before_to_be_gone() {
    let mut ca = Ca::start();
    assert_eq!(ca.daemon.stop(), 0);
    let held = std::fs::File::open(ca.file("state/signer/mark")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let gone = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(4));
        drop(held);
    });
    ca.restart_after_stop();
    gone.join().unwrap();
    assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-7"]).code, 0);
}
