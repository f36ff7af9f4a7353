//! A lock and a certificate in one moment: the lock that is committed first wins.

use std::sync::{Arc, Mutex};

use super::locks::{Locks, Target};
use super::state::State;
use crate::certificate::time::UnixTime;
use crate::config::hosts::Hosts;
use crate::ledger::facts::{self, LockChange};
use crate::ledger::fault::{Bar, Fault};
use crate::ledger::leaf::{Kind, Leaf};
use crate::ledger::record::{Committed, Ledger};
use crate::ledger::store::Store;
use crate::ledger::whole::Whole;

/// The facts of a lock of ana's, set or lifted.
fn lock(target: &str, locked: bool) -> Vec<u8> {
    let target: Target = target.parse().unwrap();
    let change = LockChange {
        target: target.kind().to_owned(),
        name: target.name().to_owned(),
        locked,
        person: "bob".parse().ok(),
        key: None,
        source: None,
        operator: None,
        reason: "laptop lost".to_owned(),
    };
    facts::write(Kind::Lock, [3; 16], UnixTime::from_secs(1_800_000_000), "ca", &change).unwrap()
}

/// A ledger with the state folded from it and the guard that the daemon has.
fn guarded(whole: &Whole) -> (Ledger, Arc<Mutex<State>>) {
    let state = Arc::new(Mutex::new(State::default()));
    let (folded, asked) = (Arc::clone(&state), Arc::clone(&state));
    let fold = Box::new(move |entry: Committed<'_>| folded.lock().unwrap().fold(entry));
    let guard = Box::new(move |facts: &[u8]| {
        asked.lock().unwrap().locks.against_facts(facts, &Hosts::default())
    });
    (whole.open_guarded(fold, guard), state)
}

/// Mallory has ana's laptop. Her request has passed every check and waits for the writer when bob locks
/// ana: both are in the queue together, the lock in front. One batch, one COMMIT, and she would have a
/// certificate that is younger than the lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_committed_first_wins() {
    let whole = Whole::new();
    let (ledger, _state) = guarded(&whole);
    let mut waiting = Vec::new();
    for n in 0..100 {
        let (before, after) = (whole.unsigned(2 * n), whole.unsigned(2 * n + 1));
        let (first, second) = (ledger.clone(), ledger.clone());
        waiting.push(tokio::spawn(async move { first.issue(before).await }));
        tokio::task::yield_now().await;
        ledger.append_later(Kind::Lock, lock("ana", true)).unwrap();
        waiting.push(tokio::spawn(async move { second.issue(after).await }));
        tokio::task::yield_now().await;
        ledger.append_later(Kind::Lock, lock("ana", false)).unwrap();
    }
    let (mut issued, mut stopped) = (0, 0);
    for one in waiting {
        match one.await.unwrap() {
            Ok(_) => issued += 1,
            Err(Fault::Barred(Bar { why, .. })) => {
                assert!(why.starts_with("person ana is locked since "), "{why}");
                stopped += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(issued + stopped, 200);
    assert!(issued > 0 && stopped > 0, "{issued} issued, {stopped} stopped");
    // Read as an auditor would: no certificate stands behind a lock.
    let store = Store::open_to_read(&whole.trial.path("ledger.db")).unwrap();
    let (mut locks, mut certificates) = (Locks::default(), 0);
    store
        .each_from(0, |row| {
            let facts = row.facts.unwrap();
            match row.leaf.parse::<Leaf>().unwrap().kind {
                Kind::Lock => locks.fold(&facts).unwrap(),
                Kind::Certificate => {
                    certificates += 1;
                    assert_eq!(
                        locks.against_facts(&facts, &Hosts::default()),
                        None,
                        "{}",
                        row.index
                    );
                }
                _ => {}
            }
            true
        })
        .unwrap();
    assert_eq!(certificates, issued);
}

/// Deterministic: the lock is in the queue, nothing of it is committed yet.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_a_lock_is_held_against_it() {
    let whole = Whole::new();
    let (ledger, state) = guarded(&whole);
    for round in 0..20 {
        ledger.append_later(Kind::Lock, lock("ana", true)).unwrap();
        let stopped = ledger.issue(whole.unsigned(round)).await;
        assert!(matches!(stopped, Err(Fault::Barred(_))));
        ledger.append_later(Kind::Lock, lock("ana", false)).unwrap();
        ledger.issue(whole.unsigned(100 + round)).await.unwrap();
    }
    assert_eq!(state.lock().unwrap().locks.iter().count(), 0);
}

/// Mallory can write the ledger's file and wants a lock forgotten. No entry is touched: its index is.
#[test]
fn a_lock_that_its_index_hides_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    Store::create(&path).unwrap();
    let say = |kind: &str| {
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute_batch("PRAGMA writable_schema = ON").unwrap();
        let sql =
            format!("CREATE INDEX lock_entry ON entry (idx) WHERE leaf GLOB 'hallpass.v1 {kind}*'");
        db.execute("UPDATE sqlite_schema SET sql = ?1 WHERE name = 'lock_entry'", [sql]).unwrap();
    };
    let insert = |index: i64| {
        let facts = lock("ana", true);
        let leaf = Leaf::other(Kind::Lock, &facts).to_string();
        let db = rusqlite::Connection::open(&path).unwrap();
        let insert = "INSERT INTO entry (idx, leaf, facts) VALUES (?1, ?2, ?3)";
        db.execute(insert, rusqlite::params![index, leaf, facts]).unwrap();
    };
    insert(0);
    assert_eq!(Store::open_to_read(&path).unwrap().strays(1).unwrap(), Vec::<String>::new());
    say("none");
    assert!(Store::open_to_read(&path).is_err(), "another index was taken for ours");
    insert(1);
    say("lock");
    let store = Store::open_to_read(&path).unwrap();
    let found = store.strays(2).unwrap();
    assert_eq!(found, ["the index of locks is not of the locks that are there"]);
}

/// A start finds every lock, however old, and takes none for lifted because somebody changed its facts.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_finds_old_locks_and_believes_no_changed_one() {
    let whole = Whole::new();
    let (ledger, _state) = guarded(&whole);
    for target in ["ana", "bob", "host:web01"] {
        ledger.append(Kind::Lock, lock(target, true)).await.unwrap();
    }
    ledger.append(Kind::Lock, lock("bob", false)).await.unwrap();
    drop(ledger);
    let path = whole.trial.path("ledger.db");
    let years_later = UnixTime::from_secs(2_000_000_000);
    let rebuilt = || State::rebuild(&Store::open_to_read(&path).unwrap(), years_later);
    let found: Vec<String> =
        rebuilt().unwrap().locks.iter().map(|lock| lock.target.typed()).collect();
    assert_eq!(found, ["person:ana", "host:web01"]);
    // Mallory, who can write the file, makes it say that somebody else was locked.
    let db = rusqlite::Connection::open(&path).unwrap();
    let other = lock("nobody", true);
    db.execute("UPDATE entry SET facts = ?1 WHERE idx = 0", [other]).unwrap();
    drop(db);
    let why = rebuilt().unwrap_err();
    assert_eq!(why.0, "entry 0, a lock, is not what was written");
}
