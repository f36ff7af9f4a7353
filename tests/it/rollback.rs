//! A ledger that was put back: by whoever restored last night's copy, or by somebody who wants an
//! entry forgotten. The signer remembers; nobody gets a certificate, and the entry is named.

use std::path::{Path, PathBuf};

use crate::ca::Ca;
use crate::process::{Said, until};

/// What of a stopped CA's state is the daemon's: everything but the signer's mark and list.
const DAEMONS: [&str; 4] = ["ledger.db", "ledger.db-wal", "ledger.db-shm", "checkpoint"];

/// A CA that issued one certificate, and a copy of that state with its number of entries, as whoever
/// can read the disk has one.
fn copied() -> (Ca, PathBuf, usize) {
    let mut ca = Ca::start();
    issued(&ca);
    assert_eq!(ca.daemon.stop(), 0);
    let (copy, size) = (ca.dir().join("copy"), entries(&ca));
    std::fs::create_dir(&copy).unwrap();
    for name in DAEMONS {
        let from = ca.file("state").join(name);
        if from.exists() {
            std::fs::copy(from, copy.join(name)).unwrap();
        }
    }
    ca.restart_after_stop();
    (ca, copy, size)
}

/// The copy takes the ledger's place.
fn put_back(ca: &Ca, copy: &Path) {
    for name in DAEMONS {
        std::fs::remove_file(ca.file("state").join(name)).ok();
        if copy.join(name).exists() {
            std::fs::copy(copy.join(name), ca.file("state").join(name)).unwrap();
        }
    }
}

fn issued(ca: &Ca) {
    assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-7"]).code, 0);
}

/// A refusal, which is an entry like any other.
fn refused(ca: &Ca, person: &str) {
    let said = ca.ssh(person, &["deploy@web01", "OPS-404"]);
    assert_eq!(said.code, 1, "{said:?}");
}

/// Certificates are a fault that names the command.
fn lost(ca: &Ca) {
    let said = ca.ssh("ana", &["deploy@web01", "OPS-7"]);
    assert!(said.code == 75 && said.err.contains("hallpass ledger recover"), "{said:?}");
}

fn verify(ca: &Ca) -> Said {
    ca.operator(&["ledger", "verify"])
}

/// How many entries there are. Each is in its export only once it is under a cosigned checkpoint.
fn entries(ca: &Ca) -> usize {
    ca.entries().len()
}

#[test]
fn an_old_copy_is_noticed_and_the_first_entry_that_is_gone_named() {
    let (mut ca, copy, size) = copied();
    issued(&ca);
    assert_eq!(ca.daemon.stop(), 0);
    let all = entries(&ca);
    put_back(&ca, &copy);
    let said = verify(&ca);
    let named = format!("entry {size}: is missing: the signer has seen {all} entries");
    assert!(said.code == 1 && said.err.contains(&named), "{said:?}");
    ca.restart_after_stop();
    lost(&ca);
    // The door answers and people are refused and told who they are: health says that it is not well.
    until("health", || {
        let said = ca.operator(&["health"]);
        let named = said.out.lines().find(|line| line.starts_with("FAIL  certificates: fault: "));
        said.code == 1 && named.is_some_and(|line| line.contains("hallpass ledger recover"))
    });
}

#[test]
fn an_old_copy_that_grew_past_the_mark_by_refusals_alone_is_noticed() {
    // Mallory restores the copy of before bob's certificate, and lets people be refused until the
    // ledger is longer than the signer has ever seen it: no size gives her away.
    let (mut ca, copy, size) = copied();
    issued(&ca);
    assert_eq!(ca.daemon.stop(), 0);
    let all = entries(&ca);
    put_back(&ca, &copy);
    ca.restart_after_stop();
    for person in ["ana", "bob", "vera", "ana", "bob", "vera"] {
        refused(&ca, person);
    }
    lost(&ca);
    ca.restart();
    lost(&ca);
    assert_eq!(ca.daemon.stop(), 0);
    let said = verify(&ca);
    assert!(said.out.starts_with(&format!("invalid: {} entries", size + 6)), "{said:?}");
    assert!(size + 6 > all);
    // The certificate, from the grant of before, was the first entry to go.
    let named = format!(
        "entry {size}: is not the certificate that the signer has signed here\n\
         hallpass: the first {all} entries are not those that the signer has seen\n"
    );
    assert!(said.code == 1 && said.err.contains(&named), "{said:?}");

    // Who is on call has no better copy and begins a generation; its reason stands where it began.
    let said =
        ca.operator(&["ledger", "recover", "--accept-loss", "--reason", "put back by night"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(ca.succeed(&[]).code, 0);
    ca.restart_after_stop();
    issued(&ca);
    assert_eq!(verify(&ca).code, 0);
}

/// Bob is locked, and by night somebody puts the ledger of the day before in place, in which he is not.
/// He asks first thing in the morning.
#[test]
fn a_copy_from_before_a_lock_gives_nobody_a_certificate_and_recovery_says_that_locks_are_lost() {
    let (mut ca, copy, size) = copied();
    assert_eq!(ca.ssh("ana", &["lock", "bob", "--reason", "left"]).code, 0);
    assert_eq!(ca.daemon.stop(), 0);
    put_back(&ca, &copy);
    let said = verify(&ca);
    let named = format!("entry {size}: is missing: the signer has seen {} entries", size + 1);
    assert!(said.code == 1 && said.err.contains(&named), "{said:?}");
    ca.restart_after_stop();
    let said = ca.ssh("bob", &["logs@web01"]);
    assert!(said.code == 75 && said.err.contains("hallpass ledger recover"), "{said:?}");
    assert_eq!(ca.daemon.stop(), 0);

    let said = ca.operator(&["ledger", "recover", "--accept-loss", "--reason", "put back"]);
    let told = "locks that were set in what is lost do not stand, those that were lifted there stand \
                again; now 0 locks stand: look before you serve: hallpass locks";
    assert!(said.code == 0 && said.err.contains(told), "{said:?}");
    assert_eq!(ca.succeed(&[]).code, 0);
    // Before anybody is served, whoever is on call locks again what was locked.
    assert_eq!(ca.operator(&["lock", "bob", "--reason", "left, again"]).code, 0);
    ca.restart_after_stop();
    let said = ca.ssh("bob", &["logs@web01"]);
    assert!(said.code == 1 && said.err.contains("person bob is locked since "), "{said:?}");
    assert_eq!(ca.ssh("ana", &["logs@web01"]).code, 0);
    assert_eq!(verify(&ca).code, 0);
}

#[test]
fn a_copy_that_lacks_only_an_entry_after_the_last_certificate_is_noticed() {
    // What bob wants forgotten is no certificate: here it is that he was refused, tomorrow a lock.
    let (mut ca, copy, size) = copied();
    refused(&ca, "bob");
    assert_eq!(ca.daemon.stop(), 0);
    put_back(&ca, &copy);
    let said = verify(&ca);
    let named = format!("entry {size}: is missing: the signer has seen {} entries", size + 1);
    assert!(said.code == 1 && said.err.contains(&named), "{said:?}");
    ca.restart_after_stop();
    lost(&ca);

    // The signer's user may have another folder, which the daemon's configuration does not name.
    assert_eq!(ca.daemon.stop(), 0);
    let config = std::fs::read_to_string(ca.file("ca.toml")).unwrap();
    let apart: String = config
        .lines()
        .filter(|line| !line.starts_with("spawn"))
        .fold(String::new(), |text, line| text + line + "\n");
    assert_ne!(apart.len(), config.len());
    std::fs::write(ca.file("ca.toml"), apart).unwrap();
    assert_eq!(verify(&ca).code, 0, "nobody told it");
    let signer = ca.file("signer.toml");
    let said = ca.operator(&["ledger", "verify", "--signer-config", signer.to_str().unwrap()]);
    assert!(said.code == 1 && said.err.contains(&named), "{said:?}");
    std::fs::remove_file(ca.file("state/signer/list")).unwrap();
    let said = ca.operator(&["ledger", "verify", "--signer-config", signer.to_str().unwrap()]);
    assert!(said.code == 75 && said.err.contains("state/signer/list"), "{said:?}");
}
