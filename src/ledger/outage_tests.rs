//! What becomes of the ledger when the signer, the disk or the power fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::leaf::Kind;
use super::record::Ledger;
use super::store::Store;
use super::whole::{Fate, Whole, once, refusal, stands};
use crate::signer::protocol::{Question, Refusal};

/// Ears that let one batch with certificates come to this, and all else pass.
fn next_batch(fate: fn() -> Fate) -> impl FnMut(&[u8]) -> Fate {
    let mut done = false;
    move |question| match Question::decode(question) {
        Ok(Question::Batch(batch)) if !batch.entries.is_empty() && !done => {
            done = true;
            fate()
        }
        _ => Fate::Pass,
    }
}

async fn away(ledger: &Ledger, whole: &Whole, n: u32) {
    let fault = ledger.issue(whole.unsigned(n)).await.err().unwrap();
    assert!(matches!(fault, Fault::SignerAway(_)), "{fault}");
}

/// The signer is away: certificates are a fault, everything else is recorded, and when it is back its
/// mark moves up to all of it by itself.
#[tokio::test(flavor = "multi_thread")]
async fn fault_is_no_and_locks_are_recorded_while_the_signer_is_away() {
    let whole = Whole::new();
    let ledger = whole.open();
    assert_eq!(stands(&ledger.issue(whole.unsigned(0)).await.unwrap()), 2);

    whole.listen(|_| Fate::Cut);
    // Nobody knows yet: these two entries stand, and nobody will ever hold the certificate.
    away(&ledger, &whole, 1).await;
    assert_eq!(whole.size(), 4);
    // Now it is known: nothing is recorded that nobody can sign.
    for n in 2..5 {
        away(&ledger, &whole, n).await;
    }
    assert_eq!(whole.size(), 4);
    for n in 0..20 {
        assert_eq!(ledger.append(Kind::Refusal, refusal(n)).await.unwrap(), 4 + u64::from(n));
    }
    assert_eq!(whole.mark().0, 2);

    whole.listen(|_| Fate::Pass);
    whole.wait_for_mark(24);
    assert_eq!(whole.signed(), [1], "what was recorded while it was away is never signed");
    // The mark moves a moment before the daemon hears of it.
    let start = Instant::now();
    let serial = loop {
        match ledger.issue(whole.unsigned(5)).await {
            Ok(certificate) => break stands(&certificate),
            Err(why) => assert!(start.elapsed() < Duration::from_secs(20), "{why}"),
        }
    };
    assert_eq!(serial, 26);
    whole.clean(26, 3);
}

/// It was away before the daemon started.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_starts_without_its_signer() {
    let whole = Whole::new();
    whole.listen(|_| Fate::Cut);
    let ledger = whole.open();
    assert_eq!(ledger.append(Kind::Refusal, refusal(0)).await.unwrap(), 0);
    away(&ledger, &whole, 0).await;
    away(&ledger, &whole, 1).await;
    whole.listen(|_| Fate::Pass);
    whole.wait_for_mark(whole.size());
}

/// The signer was started again between two batches: nobody is to notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_signer_that_was_started_again_is_asked_anew() {
    let whole = Whole::new();
    let ledger = whole.open();
    assert_eq!(stands(&ledger.issue(whole.unsigned(0)).await.unwrap()), 2);
    whole.listen(next_batch(|| Fate::Cut));
    assert_eq!(stands(&ledger.issue(whole.unsigned(1)).await.unwrap()), 4);
    whole.clean(4, 2);
    assert_eq!(whole.signed(), [1, 3]);
}

/// The signer signed, and ended before its answer was heard. The certificate is lost; a second one of
/// its serial there must not be.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_a_fault_and_never_a_second_signature() {
    let whole = Whole::new();
    let ledger = whole.open();
    assert_eq!(stands(&ledger.issue(whole.unsigned(0)).await.unwrap()), 2);
    whole.listen(next_batch(|| Fate::CutAfter));
    let fault = ledger.issue(whole.unsigned(1)).await.err().unwrap();
    assert!(
        matches!(&fault, Fault::SignerRefused(why) if why.contains("signed already")),
        "{fault}"
    );
    assert_eq!(stands(&ledger.issue(whole.unsigned(2)).await.unwrap()), 6);
    whole.clean(6, 3);
    assert_eq!(whole.signed(), [1, 3, 5], "each once");
}

/// The signer takes the question and never answers. The writer must not wait for it with a lock that
/// somebody wants recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_signer_that_hangs_holds_nobody_but_those_who_want_a_signature() {
    let mut whole = Whole::new();
    whole.patience = Duration::from_secs(2);
    let ledger = whole.open();
    assert_eq!(stands(&ledger.issue(whole.unsigned(0)).await.unwrap()), 2);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    whole.listen(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Fate::Hang
    });
    let mut hanging = Box::pin(ledger.issue(whole.unsigned(1)));
    assert!(once(&mut hanging).await.is_none());
    while asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    for n in 0..50 {
        assert_eq!(ledger.append(Kind::Refusal, refusal(n)).await.unwrap(), 4 + u64::from(n));
    }
    assert!(once(&mut hanging).await.is_none(), "fifty locks took as long as its patience");
    let fault = hanging.await.err().unwrap().to_string();
    assert_eq!(fault, "the signer cannot be reached: it does not answer");
    // From here on it is known, and costs nobody two seconds.
    let start = Instant::now();
    away(&ledger, &whole, 2).await;
    assert!(start.elapsed() < Duration::from_secs(1));
    whole.listen(|_| Fate::Pass);
    whole.wait_for_mark(54);
    whole.clean(54, 2);
}

/// Fifty people wait behind the one batch that hangs; none of them waits longer than it.
#[tokio::test(flavor = "multi_thread")]
async fn those_behind_a_signer_that_hangs_are_answered_with_it() {
    let mut whole = Whole::new();
    whole.patience = Duration::from_secs(1);
    let ledger = whole.open();
    assert_eq!(stands(&ledger.issue(whole.unsigned(0)).await.unwrap()), 2);
    whole.listen(|_| Fate::Hang);
    let start = Instant::now();
    let all = (1..=50).map(|n| {
        let (ledger, unsigned) = (ledger.clone(), whole.unsigned(n));
        tokio::spawn(async move { ledger.issue(unsigned).await.err().map(|why| why.to_string()) })
    });
    for one in all.collect::<Vec<_>>() {
        assert!(one.await.unwrap().unwrap().contains("cannot be reached"));
    }
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

/// The power fails after COMMIT and before the signer heard of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_commit_and_mark_is_an_ordinary_start() {
    let whole = Whole::new();
    let ledger = whole.open();
    assert_eq!(stands(&ledger.issue(whole.unsigned(0)).await.unwrap()), 2);
    whole.listen(|_| Fate::Cut);
    away(&ledger, &whole, 1).await;
    ledger.append(Kind::Refusal, refusal(0)).await.unwrap();
    drop(ledger);
    assert_eq!((whole.mark().0, whole.size()), (2, 5));

    whole.listen(|_| Fate::Pass);
    let ledger = whole.open();
    whole.clean(5, 2);
    assert_eq!(stands(&ledger.issue(whole.unsigned(2)).await.unwrap()), 7);
    assert_eq!(whole.signed(), [1, 6], "nobody holds entry 3");
    whole.clean(7, 3);
}

async fn lost(ledger: &Ledger, whole: &Whole, why: &Refusal) {
    for n in 10..13 {
        let fault = ledger.issue(whole.unsigned(n)).await.err().unwrap();
        let Fault::LedgerLost(said) = &fault else { panic!("{fault}") };
        assert!(said.contains("hallpass ledger recover"), "{said}");
        assert!(said.contains(&why.to_string()), "{said}");
    }
}

/// Somebody restored the database of last night.
#[tokio::test(flavor = "multi_thread")]
async fn way_out_a_mark_ahead_of_the_ledger_names_the_command() {
    let whole = Whole::new();
    let ledger = whole.open();
    for n in 0..5 {
        stands(&ledger.issue(whole.unsigned(n)).await.unwrap());
    }
    drop(ledger);
    whole.database().execute("DELETE FROM entry WHERE idx >= 2", []).unwrap();
    let report = whole.verify();
    assert!(report.problems.iter().any(|one| one.to_string().contains("the signer has seen 10")));

    let ledger = whole.open();
    lost(&ledger, &whole, &Refusal::Behind).await;
    assert_eq!(whole.signed().len(), 5);
}

/// Somebody wrote another history of the same length.
#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_ledger_is_a_lost_one() {
    let whole = Whole::new();
    let ledger = whole.open();
    for n in 0..3 {
        stands(&ledger.issue(whole.unsigned(n)).await.unwrap());
    }
    drop(ledger);
    let leaf = "UPDATE entry SET leaf = (SELECT leaf FROM entry WHERE idx = 2) WHERE idx = 0";
    whole.database().execute(leaf, []).unwrap();
    let ledger = whole.open();
    lost(&ledger, &whole, &Refusal::Forked).await;
    assert_eq!(whole.signed().len(), 3);
}

/// The disk fails while a batch is written: at its beginning, in its middle, at a savepoint; by an
/// error, or so that SQLite takes the whole transaction back, as it does when the disk is full.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_fails_the_whole_batch_and_leaves_nothing() {
    let whole = Whole::new();
    let held = Arc::new(tokio::sync::Mutex::new(()));
    let gate = Arc::clone(&held);
    let ledger = whole.open_with(Box::new(move |_| drop(gate.blocking_lock())));
    assert_eq!(stands(&ledger.issue(whole.unsigned(0)).await.unwrap()), 2);
    let mut size = 2;
    for (round, (how, at)) in ["ABORT", "FAIL", "ROLLBACK"]
        .iter()
        .flat_map(|how| (0..6).map(move |at| (how, at)))
        .enumerate()
    {
        let n = u32::try_from(round).unwrap() * 10;
        // The writer is held in the fold of one entry while four submissions gather behind it.
        let gate = held.lock().await;
        ledger.append_later(Kind::Refusal, refusal(n)).unwrap();
        size += 1;
        while whole.size() < size {
            std::thread::yield_now();
        }
        let mut issues = Vec::new();
        for n in n..n + 2 {
            let mut one = Box::pin(ledger.issue(whole.unsigned(n)));
            assert!(once(&mut one).await.is_none());
            issues.push(one);
        }
        let mut entry = Box::pin(ledger.append(Kind::Refusal, refusal(n)));
        assert!(once(&mut entry).await.is_none());
        let mut last = Box::pin(ledger.issue(whole.unsigned(n + 2)));
        assert!(once(&mut last).await.is_none());
        issues.push(last);
        whole
            .database()
            .execute_batch(&format!(
                "CREATE TRIGGER full BEFORE INSERT ON entry WHEN new.idx = {} BEGIN
                     SELECT RAISE({how}, 'the disk is full'); END",
                size + at
            ))
            .unwrap();
        drop(gate);
        for one in issues {
            let fault = one.await.err().unwrap();
            assert!(
                matches!(&fault, Fault::Store(why) if why.0.contains("disk is full")),
                "{fault}"
            );
        }
        assert!(matches!(entry.await, Err(Fault::Store(_))), "{how} at {at}");
        whole.database().execute_batch("DROP TRIGGER full").unwrap();
        assert_eq!(whole.size(), size, "{how} at {at} left something");

        // There is room again.
        assert_eq!(stands(&ledger.issue(whole.unsigned(n + 3)).await.unwrap()), size + 2);
        size += 2;
    }
    whole.clean(size, 19);
}

/// The table of tiles fails, which is the last thing before COMMIT.
#[tokio::test(flavor = "multi_thread")]
async fn a_tile_that_cannot_be_written_fails_its_batch() {
    let whole = Whole::new();
    let ledger = whole.open();
    for n in 0..255 {
        ledger.append(Kind::Refusal, refusal(n)).await.unwrap();
    }
    let full = "CREATE TRIGGER full BEFORE INSERT ON tile BEGIN SELECT RAISE(ABORT, 'full'); END";
    whole.database().execute_batch(full).unwrap();
    for n in 0..3 {
        assert!(matches!(ledger.issue(whole.unsigned(n)).await, Err(Fault::Store(_))));
        assert!(matches!(ledger.append(Kind::Refusal, refusal(n)).await, Err(Fault::Store(_))));
    }
    assert!(Store::open_to_read(&whole.trial.path("ledger.db")).is_err(), "a trigger was taken");
    whole.database().execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(stands(&ledger.issue(whole.unsigned(0)).await.unwrap()), 257);
    whole.clean(257, 1);
}

/// The disk is full when COMMIT writes: the log that SQLite writes then has no room.
#[tokio::test(flavor = "multi_thread")]
async fn fault_is_no_on_a_full_disk() {
    let whole = Whole::new();
    let ledger = whole.open();
    assert_eq!(stands(&ledger.issue(whole.unsigned(0)).await.unwrap()), 2);
    drop(ledger);
    let log = whole.trial.path("ledger.db-wal");
    whole.wait_until_closed();
    if !always_full(&log) {
        return; // Only root may make a device.
    }
    let ledger = whole.open();
    for n in 1..4 {
        let fault = ledger.issue(whole.unsigned(n)).await.err().unwrap();
        assert!(matches!(&fault, Fault::Store(why) if why.0.contains("full")), "{fault}");
        assert!(matches!(ledger.append(Kind::Refusal, refusal(n)).await, Err(Fault::Store(_))));
    }
    // Room again: the log is taken away with the ledger that had none.
    drop(ledger);
    whole.wait_until_closed();
    let ledger = whole.open();
    assert_eq!(stands(&ledger.issue(whole.unsigned(5)).await.unwrap()), 4);
    whole.clean(4, 2);
}

/// Makes a file on which no write finds room, as `/dev/full` is.
fn always_full(path: &std::path::Path) -> bool {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    mknodat(CWD, path, FileType::CharacterDevice, Mode::RWXU, makedev(1, 7)).is_ok()
}
