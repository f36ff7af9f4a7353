//! The writer and the signer together: what is promised of recording and signing, with everything that
//! can happen between the two.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use super::fault::Fault;
use super::leaf::Kind;
use super::record::{Committed, Ledger};
use super::store::Store;
use super::tree::root;
use super::whole::{Fate, Whole, once, refusal, stands};
use crate::certificate::lint::Flaw;
use crate::certificate::sample::ed25519;
use crate::signer::protocol::{Answer, Question};

#[tokio::test(flavor = "multi_thread")]
async fn serial_is_index_and_proof_travels_for_three_hundred_at_once() {
    let whole = Whole::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let ledger = whole.open_with(Box::new(move |entry: Committed<'_>| {
        tell.lock().unwrap().push((entry.index, entry.kind));
    }));
    let asked = (0..300).map(|n| {
        let (ledger, unsigned) = (ledger.clone(), whole.unsigned(n));
        tokio::spawn(async move { ledger.issue(unsigned).await.unwrap() })
    });
    let mut serials = BTreeSet::new();
    for one in asked.collect::<Vec<_>>() {
        assert!(serials.insert(stands(&one.await.unwrap())), "a serial twice");
    }
    // Each has its grant before it, so the serials are the even numbers.
    assert_eq!(serials, (1..=300).map(|n| 2 * n).collect());
    whole.clean(600, 300);
    assert_eq!(whole.signed().len(), 300);
    let told = told.lock().unwrap();
    assert!(told.iter().map(|(index, _)| *index).eq(0..600), "the fold is told in order, of all");
    assert!(told.iter().all(|(index, kind)| (*kind == Kind::Grant) == index.is_multiple_of(2)));
}

/// What the signer is asked to sign stands in the database already, for whoever reads it, and for
/// whoever finds only the files after the power failed.
#[tokio::test(flavor = "multi_thread")]
async fn logged_first() {
    let whole = Whole::new();
    let ledger = whole.open();
    let (from, to) = (whole.trial.path(""), tempfile::tempdir().unwrap());
    let wrong = Arc::new(Mutex::new((0, Vec::new())));
    let found = Arc::clone(&wrong);
    whole.listen(move |question| {
        if let Ok(Question::Batch(batch)) = Question::decode(question) {
            let mut found = found.lock().unwrap();
            found.0 += batch.entries.len();
            for file in ["ledger.db", "ledger.db-wal"] {
                std::fs::copy(from.join(file), to.path().join(file)).unwrap();
            }
            let head = super::checkpoint::Checkpoint::parse(&batch.checkpoint).unwrap().head;
            for folder in [from.as_path(), to.path()] {
                let store = Store::open_to_read(&folder.join("ledger.db")).unwrap();
                let mut rows = Vec::new();
                store.each_from(0, |row| (rows.push(row), true).1).unwrap();
                for entry in &batch.entries {
                    let row = rows.get(usize::try_from(entry.index).unwrap());
                    let there = row.is_some_and(|row| {
                        row.tbs.as_ref() == Some(&entry.tbs)
                            && row.facts.as_ref() == Some(&entry.facts)
                    });
                    if !there {
                        found.1.push(format!("entry {} is not in {folder:?}", entry.index));
                    }
                }
                if store.size().unwrap() < head.size
                    || root(&store, head.size).unwrap() != head.root
                {
                    found.1.push(format!("the rows in {folder:?} are not those of the head"));
                }
            }
        }
        Fate::Pass
    });
    let asked = (0..20).map(|n| {
        let (ledger, unsigned) = (ledger.clone(), whole.unsigned(n));
        tokio::spawn(async move { ledger.issue(unsigned).await.unwrap() })
    });
    for one in asked.collect::<Vec<_>>() {
        stands(&one.await.unwrap());
    }
    assert_eq!(*wrong.lock().unwrap(), (20, Vec::new()));
}

/// A ledger whose writer is held while a batch gathers behind it.
fn held(whole: &Whole) -> (Ledger, mpsc::Receiver<()>, mpsc::SyncSender<()>) {
    let (arrived, at_the_gate) = mpsc::sync_channel(1);
    let (open, gate) = mpsc::sync_channel::<()>(1);
    let mut gate = Some(gate);
    let ledger = whole.open_with(Box::new(move |_: Committed<'_>| {
        if let Some(gate) = gate.take() {
            arrived.send(()).unwrap();
            gate.recv().unwrap_or(());
        }
    }));
    (ledger, at_the_gate, open)
}

/// One of a batch asks for the CA's own key to be certified.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_the_lint_fails_alone_and_takes_no_index() {
    let whole = Whole::new();
    let (ledger, at_the_gate, open) = held(&whole);
    ledger.append_later(Kind::Refusal, refusal(0)).unwrap();
    at_the_gate.recv().unwrap();
    let bad = ed25519(1);
    let mut all = Vec::new();
    for n in 1..=5 {
        let draft = if n % 2 == 1 { whole.unsigned_for(n, &bad) } else { whole.unsigned(n) };
        let mut one = Box::pin(ledger.issue(draft));
        assert!(once(&mut one).await.is_none(), "it waits at the gate");
        all.push(one);
    }
    open.send(()).unwrap();
    let (mut serials, mut flaws) = (BTreeSet::new(), 0);
    for one in all {
        match one.await {
            Ok(certificate) => drop(serials.insert(stands(&certificate))),
            Err(Fault::Flaw(Flaw::OwnKey)) => flaws += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((serials, flaws), (BTreeSet::from([3, 5]), 3));
    // A batch of which nothing is left is none.
    assert!(matches!(
        ledger.issue(whole.unsigned_for(6, &bad)).await,
        Err(Fault::Flaw(Flaw::OwnKey))
    ));
    assert_eq!(stands(&ledger.issue(whole.unsigned(7)).await.unwrap()), 7);
    whole.clean(7, 3);
}

/// Whoever asked has left before the answer: it is recorded and signed all the same.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_whoever_left() {
    let whole = Whole::new();
    let (ledger, at_the_gate, open) = held(&whole);
    ledger.append_later(Kind::Refusal, refusal(0)).unwrap();
    at_the_gate.recv().unwrap();
    let mut issue = Box::pin(ledger.issue(whole.unsigned(1)));
    assert!(once(&mut issue).await.is_none());
    drop(issue);
    open.send(()).unwrap();
    assert_eq!(stands(&ledger.issue(whole.unsigned(2)).await.unwrap()), 5);
    whole.clean(5, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_verifier_would_take_is_not_appended() {
    let whole = Whole::new();
    let ledger = whole.open();
    assert!(ledger.append(Kind::Certificate, refusal(0)).await.is_err());
    assert!(ledger.append(Kind::Refusal, vec![b' '; super::facts::MAX + 1]).await.is_err());
    assert!(ledger.append_later(Kind::Certificate, refusal(0)).is_err());
    assert_eq!(ledger.append(Kind::Refusal, refusal(1)).await.unwrap(), 0);
    whole.clean(1, 0);
}

/// A signer that is broken, or that somebody else runs, gives another thing than was recorded.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_signer_gives_is_looked_at() {
    type Bend = fn(&mut Vec<Result<Vec<u8>, String>>);
    let whole = Whole::new();
    let ledger = whole.open();
    let bends: [(&str, Bend); 6] = [
        ("the CA's signature is not valid", |all| {
            let blob = all[0].as_mut().unwrap();
            *blob.last_mut().unwrap() ^= 1;
        }),
        ("not a certificate", |all| all[0].as_mut().unwrap().push(0)),
        ("other bytes", |all| {
            let blob = all[0].as_mut().unwrap();
            blob[40] ^= 1;
        }),
        ("another proof", |all| {
            let blob = all[0].as_mut().unwrap();
            let at = blob.windows(8).position(|eight| eight == b"ca.test/").unwrap();
            blob[at + 8] = b'2';
        }),
        ("a proof that is none", |all| {
            let blob = all[0].as_mut().unwrap();
            let at = blob.windows(8).position(|eight| eight == b"c2sp.org").unwrap();
            blob[at] = b'C';
        }),
        ("answered for another batch", |all| drop(all.pop())),
    ];
    for (n, (why, bend)) in (0..).zip(bends) {
        whole.listen(move |question| match Question::decode(question) {
            Ok(Question::Batch(batch)) if !batch.entries.is_empty() => {
                Fate::Bend(Box::new(move |mut answer| {
                    if let Answer::Signed { results, .. } = &mut answer {
                        bend(results);
                    }
                    answer
                }))
            }
            _ => Fate::Pass,
        });
        let said = ledger.issue(whole.unsigned(n)).await.err().unwrap().to_string();
        assert!(said.contains(why), "{why}: {said}");
    }
    whole.listen(|_| Fate::Pass);
    whole.wait_for_mark(whole.size());
    whole.clean(12, 6);
}
