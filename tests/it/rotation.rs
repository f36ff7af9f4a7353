//! Rotation of each key, and that nobody who logs in meanwhile notices.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ca::{Ca, bend};
use crate::process::{Said, run, until};
use crate::sshd::Sshd;

/// A certificate kept while the next one is saved under the same name.
fn aside(certificate: &Path) -> PathBuf {
    let kept = certificate.with_extension("kept");
    std::fs::copy(certificate, &kept).unwrap();
    kept
}

/// People who ask for a certificate and log in with it, again and again, with no regard for what the
/// operator does.
struct Crowd {
    ended: AtomicBool,
    /// How often each logged in.
    logins: [AtomicUsize; 3],
    seen: Mutex<Seen>,
}

/// What they saw.
#[derive(Default)]
struct Seen {
    /// Logins that were refused: there must be none.
    refused: Vec<Said>,
    /// Statuses of requests that gave no certificate.
    without: Vec<i32>,
    /// The longest time from the wish for a certificate to having it.
    waited: Duration,
}

impl Crowd {
    /// One of them: each time with a new certificate, and again with the very first.
    fn person(&self, number: usize, ca: &Path, web01: &Sshd) {
        let (key, first) = (ca.join("ana"), ca.join(format!("first{number}.cert")));
        let newest = ca.join(format!("newest{number}.cert"));
        while !self.ended.load(Ordering::SeqCst) {
            let wished = Instant::now();
            loop {
                let mut ask = Command::new("ssh");
                ask.arg("-F").arg(ca.join("crowd_config")).arg("-i").arg(&key);
                let said = run(ask.args(["ca", "deploy@web01", "OPS-7"]));
                if said.code == 0 {
                    std::fs::write(&newest, said.out).unwrap();
                    break;
                }
                self.seen.lock().unwrap().without.push(said.code);
                std::thread::sleep(Duration::from_millis(20));
            }
            let mut seen = self.seen.lock().unwrap();
            seen.waited = seen.waited.max(wished.elapsed());
            drop(seen);
            if !first.exists() {
                std::fs::copy(&newest, &first).unwrap();
            }
            for certificate in [&newest, &first] {
                let said = web01.login(&key, certificate, &["true"]);
                if said.code != 0 {
                    self.seen.lock().unwrap().refused.push(said);
                }
            }
            self.logins[number].fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Waits until each of them has logged in twice more.
    fn go_on(&self) {
        let before = self.counts();
        until("logins", || self.counts().iter().zip(before).all(|(now, then)| *now >= then + 2));
    }

    fn counts(&self) -> [usize; 3] {
        self.logins.each_ref().map(|logins| logins.load(Ordering::SeqCst))
    }
}

#[test]
fn user_ca_and_ledger_key_are_rotated_while_people_log_in_all_the_time() {
    let mut ca = Ca::start();
    // The same port at each start, and room for a crowd.
    let port = ca.port();
    bend(ca.dir(), "127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let limits = std::fs::read_to_string(ca.file("signer.toml")).unwrap();
    let (before, _) = limits.split_once("[rate]").unwrap();
    let rate = "[rate]\ntotal = 100000\nperson = 100000\naccount = 100000\n";
    std::fs::write(ca.file("signer.toml"), format!("{before}{rate}")).unwrap();
    crate::load::unlimited(&ca.file("ca.toml"));
    ca.restart();
    std::fs::copy(ca.dir().join("ssh_config"), ca.dir().join("crowd_config")).unwrap();
    // A server that is visited once, on its first day, and never again.
    let web01 = Sshd::start(&ca, "web01");
    let crowd =
        Crowd { ended: AtomicBool::new(false), logins: Default::default(), seen: Mutex::default() };
    let dir = ca.dir().to_owned();
    std::thread::scope(|scope| {
        for number in 0..3 {
            let (crowd, dir, web01) = (&crowd, &dir, &web01);
            scope.spawn(move || crowd.person(number, dir, web01));
        }
        // Ended even if the body panics, or the scope would wait for ever.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let _end = End(&crowd.ended);
        crowd.go_on();
        for (change, role) in [("promote", "user-ca"), ("retire", "user-ca"), ("promote", "ledger")]
        {
            assert_eq!(ca.daemon.stop(), 0);
            let said = ca.operator(&["key", change, role]);
            assert_eq!(said.code, 0, "{said:?}");
            if role == "ledger" {
                assert_eq!(ca.succeed(&[]).code, 0);
            }
            ca.restart_after_stop();
            crowd.go_on();
        }
    });
    let seen = crowd.seen.into_inner().unwrap();
    assert!(seen.refused.is_empty(), "{:?} {:#?}", seen.refused, web01.log());
    // Nobody is refused a certificate: for a moment nobody answers, or what answers is about to end.
    assert!(seen.without.iter().all(|code| [255, 75].contains(code)), "{:?}", seen.without);
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
    let logins: usize = crowd.logins.iter().map(|logins| logins.load(Ordering::SeqCst)).sum();
    eprintln!(
        "rotation: {} logins, 0 refused, {} requests without an answer, the longest wait {} ms",
        2 * logins,
        seen.without.len(),
        seen.waited.as_millis()
    );
}

#[test]
fn the_user_ca_is_rotated_while_people_log_in() {
    let mut ca = Ca::start();
    // A server that was visited once, on its first day.
    let web01 = Sshd::start(&ca, "web01");
    let key = ca.dir().join("ana");
    let login = |ca: &Ca| {
        let certificate = ca.certificate("ana", &["deploy@web01", "OPS-7"]);
        assert_eq!(web01.login(&key, &certificate, &["true"]).code, 0, "{:#?}", web01.log());
        certificate
    };
    let old = aside(&login(&ca));
    let said = ca.operator(&["key", "promote", "user-ca"]);
    assert!(said.code == 75 && said.err.contains("is served already"), "{said:?}");
    assert_eq!(ca.daemon.stop(), 0);
    let listed = ca.operator(&["key", "list"]).ok();
    let next = listed
        .lines()
        .find_map(|line| line.strip_prefix("next user CA"))
        .unwrap()
        .trim()
        .to_owned();
    assert_eq!(ca.operator(&["key", "promote", "user-ca"]).code, 0);
    // Somebody has the old CA's key enrolled as a person's.
    let retiring = ca.file("keys/user_ca_retiring.pub");
    let words = ["person", "add", "mal", "--group", "sre", "--key", retiring.to_str().unwrap()];
    assert_eq!(ca.operator(&words).code, 0);
    ca.restart_after_stop();
    let said = run(ca.client("ca/keys/user_ca_retiring").args(["ca", "logs@web01"]));
    assert!(said.code == 75 && said.err.contains("was not fit to be signed"), "{said:?}");
    // The new CA's certificates open the server that nobody visited, and so does the old one's.
    let new = login(&ca);
    let signer_of = |path: &Path| run(Command::new("ssh-keygen").arg("-Lf").arg(path)).ok();
    assert!(signer_of(&new).contains(&next), "{}", signer_of(&new));
    assert_eq!(web01.login(&key, &old, &["true"]).code, 0);
    assert_eq!(
        ca.operator(&["trust", "--user"]).ok().lines().count(),
        4,
        "current, next, emergency, retiring"
    );
    assert_eq!(ca.daemon.stop(), 0);
    let twice = ca.operator(&["key", "promote", "user-ca"]);
    assert!(twice.code == 75 && twice.err.contains("still retiring"), "{twice:?}");
    assert_eq!(ca.operator(&["key", "retire", "user-ca"]).code, 0);
    ca.restart_after_stop();
    login(&ca);
    assert_eq!(ca.operator(&["trust", "--user"]).ok().lines().count(), 3);
    assert!(!ca.file("keys/user_ca_retiring").exists(), "the old private key lives on");
    // A server that learned the new list does not take the old CA any more.
    let web02 =
        Sshd::start_with("web01", &ca.operator(&["trust", "--user"]).ok(), "deploy@web01\n");
    assert_eq!(web02.login(&key, &old, &["true"]).code, 255);
    assert_eq!(web02.login(&key, &new, &["true"]).code, 0);
    let changes: Vec<Value> = ca
        .entries()
        .into_iter()
        .filter(|entry| entry.kind == "key")
        .map(|entry| entry.facts["change"].clone())
        .collect();
    assert_eq!(changes, ["promoted", "retired"]);
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
}

#[test]
fn every_other_key_is_rotated_too() {
    let mut ca = Ca::start();
    let web01 = Sshd::start(&ca, "web01");
    let key = ca.dir().join("ana");
    let old_proof = aside(&ca.certificate("ana", &["deploy@web01", "OPS-7"]));
    let old_vkeys = ca.operator(&["trust", "--ledger"]).ok();
    assert_eq!(ca.daemon.stop(), 0);
    // The next ones are made and printed before they are used, so that others can trust them first.
    for role in ["signer", "host-ca", "bare-ca"] {
        let early = ca.operator(&["key", "promote", role]);
        assert!(
            early.code == 75 && early.err.contains(&format!("hallpass key next {role}")),
            "{early:?}"
        );
        assert_eq!(ca.operator(&["key", "next", role]).code, 0);
    }
    let announced = ca.operator(&["trust", "--ledger"]).ok();
    assert_eq!(
        (announced.lines().count(), ca.operator(&["trust", "--host"]).ok().lines().count()),
        (3, 2)
    );
    for role in ["signer", "host-ca", "bare-ca"] {
        let said = ca.operator(&["key", "promote", role]);
        assert_eq!(said.code, 0, "{role}: {said:?}");
    }
    // The ledger's key: a generation in which nothing is lost.
    let said = ca.operator(&["key", "promote", "ledger"]);
    assert!(said.code == 0 && said.err.contains("no entry is lost"), "{said:?}");
    assert_eq!(ca.succeed(&[]).code, 0);
    ca.restart_after_stop();
    let certificate = ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    assert_eq!(web01.login(&key, &certificate, &["true"]).code, 0);
    assert_eq!(web01.login(&key, &old_proof, &["true"]).code, 0);
    assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);

    // A verifier that learned the announced keys takes the new proofs; the old ones stay good under the old.
    let check = |certificate: &Path, ledger: &str, signer: &str| {
        let (l, s) = (ca.dir().join("l.vkey"), ca.dir().join("s.vkey"));
        std::fs::write(&l, ledger).unwrap();
        std::fs::write(&s, signer).unwrap();
        let mut check = crate::process::python();
        check.arg(crate::process::repository("tests/checker/check_certificate.py"));
        check.arg("--ca").arg(ca.file("keys/user_ca.pub")).arg("--ledger").arg(&l);
        run(check.arg("--signer").arg(&s).arg(certificate)).code
    };
    let old: Vec<&str> = old_vkeys.lines().collect();
    let new_signer = announced.lines().find(|line| !old.contains(line)).unwrap();
    let new_ledger = std::fs::read_to_string(ca.file("keys/ledger.vkey")).unwrap();
    assert_eq!(check(&certificate, &new_ledger, new_signer), 0);
    assert_eq!(check(&old_proof, old[0], old[1]), 0);
    assert_eq!(check(&certificate, old[0], old[1]), 1);
    assert_eq!(ca.daemon.stop(), 0);
    for role in ["signer", "host-ca", "bare-ca"] {
        assert_eq!(ca.operator(&["key", "retire", role]).code, 0, "{role}");
    }
    ca.restart_after_stop();
    ca.certificate("ana", &["deploy@web01", "OPS-7"]);
    let entries = ca.entries();
    assert_eq!(entries.iter().filter(|entry| entry.kind == "key").count(), 6);
}
