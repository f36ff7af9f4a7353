//! The end of a grant against certificates that are on their way, starts, and those who edit the file.

use std::sync::{Arc, Mutex};

use super::ended::EndedGrants;
use super::ending::Ending;
use super::state::State;
use crate::certificate::names::{PersonName, RequestId};
use crate::certificate::sample::NOW;
use crate::certificate::time::{Span, UnixTime};
use crate::ledger::facts::{self, Ended, LastSeen, TICKET_CLOSED};
use crate::ledger::fault::{Bar, Fault};
use crate::ledger::leaf::Kind;
use crate::ledger::record::{Committed, Ledger};
use crate::ledger::store::Store;
use crate::ledger::whole::Whole;
use crate::outside::clock::Stopped;

fn resolved() -> LastSeen {
    LastSeen {
        tracker: "desk".to_owned(),
        id: "OPS-7".to_owned(),
        state: "closed".to_owned(),
        said: Some("resolved".to_owned()),
        title: Some("roll out".to_owned()),
    }
}

/// The facts of the end of what [`Whole::unsigned`] asks for.
fn end(n: u32) -> Vec<u8> {
    let ended = Ended {
        request: RequestId::from_random(n.into()),
        person: ana(),
        accounts: vec!["deploy@web01".to_owned()],
        offer: "deploy-prod".parse().unwrap(),
        grant_ends: NOW.plus(Span::secs(3600)),
        ticket: Some(resolved()),
        why: TICKET_CLOSED.to_owned(),
    };
    facts::write(Kind::End, [3; 16], NOW, "ca", &ended).unwrap()
}

fn ana() -> PersonName {
    "ana".parse().unwrap()
}

/// A ledger with the state folded from it, and the guard that the daemon has.
fn guarded(whole: &Whole) -> (Ledger, Arc<Mutex<State>>) {
    let state = Arc::new(Mutex::new(State::default()));
    let (folded, asked) = (Arc::clone(&state), Arc::clone(&state));
    let fold = Box::new(move |entry: Committed<'_>| folded.lock().unwrap().fold(entry));
    let guard = Box::new(move |facts: &[u8]| asked.lock().unwrap().ended.against_facts(facts));
    (whole.open_guarded(fold, guard), state)
}

fn ending(ledger: &Ledger, state: &Arc<Mutex<State>>) -> Ending {
    let clock = Arc::new(Stopped(NOW));
    Ending::new(ledger.clone(), Arc::clone(state), clock, "ca.test".to_owned())
}

/// Mallory, at ana's keyboard, renews at the moment in which the ticket is resolved: the tracker said
/// `open` when she asked, and her certificate waits for the writer while the end of the grant is
/// committed. One batch, and she would have a certificate that is younger than the end.
#[tokio::test(flavor = "multi_thread")]
async fn behind_the_end_of_a_grant_no_certificate_of_it_is_committed() {
    let whole = Whole::new();
    let (ledger, _state) = guarded(&whole);
    let (mut issued, mut stopped) = (0, 0);
    for n in 0..100 {
        ledger.issue(whole.unsigned(n)).await.unwrap();
        let (first, second) = (ledger.clone(), ledger.clone());
        let (before, behind) = (whole.unsigned(n), whole.unsigned(n));
        let before = tokio::spawn(async move { first.issue(before).await });
        tokio::task::yield_now().await;
        ledger.append_later(Kind::End, end(n)).unwrap();
        match second.issue(behind).await {
            Err(Fault::Barred(Bar { why, hint })) => {
                let request = RequestId::from_random(n.into());
                assert_eq!(why, format!("ticket OPS-7 is resolved; grant {request} ended"));
                assert_eq!(hint, "name a ticket that is open: ssh ca deploy@web01 TICKET");
            }
            other => panic!("{other:?}"),
        }
        match before.await.unwrap() {
            Ok(_) => issued += 1,
            Err(Fault::Barred(_)) => stopped += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(issued + stopped, 100);
    // Another request is none of its business.
    ledger.issue(whole.unsigned(1000)).await.unwrap();
    // A verifier that shares no code with the writer reads the same.
    let report = whole.verify();
    assert_eq!((report.problems.as_slice(), report.certificates), (&[][..], 101 + issued));
}

/// A daemon that was taken over leaves the guard out.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_behind_the_end_is_found_by_whoever_verifies() {
    let whole = Whole::new();
    let ledger = whole.open();
    ledger.issue(whole.unsigned(1)).await.unwrap();
    ledger.append(Kind::End, end(1)).await.unwrap();
    ledger.issue(whole.unsigned(1)).await.unwrap();
    let found: Vec<String> = whole.verify().problems.iter().map(ToString::to_string).collect();
    let request = RequestId::from_random(1);
    let say = |entry| format!("entry {entry}: it is of {request}, which had ended");
    assert_eq!(found, [say(3), say(4)]);
}

/// The watch, and eight renewals, see the ticket closed in one moment.
#[tokio::test(flavor = "multi_thread")]
async fn however_many_see_it_a_grant_ends_once() {
    let whole = Whole::new();
    let (ledger, state) = guarded(&whole);
    for n in 0..100 {
        ledger.issue(whole.unsigned(n)).await.unwrap();
    }
    let bound: Vec<_> =
        state.lock().unwrap().live(&ana(), NOW).into_iter().map(|grant| (ana(), grant)).collect();
    assert_eq!(bound.len(), 100);
    let (half, ending) = (bound[..50].to_vec(), ending(&ledger, &state));
    ending.end(&half, &resolved(), TICKET_CLOSED).await.unwrap();
    assert_eq!(state.lock().unwrap().live(&ana(), NOW).len(), 50);
    let see = || {
        let (ending, bound) = (ending.clone(), bound.clone());
        tokio::spawn(async move { ending.end(&bound, &resolved(), TICKET_CLOSED).await })
    };
    let all: Vec<_> = (0..8).map(|_| see()).collect();
    for one in all {
        one.await.unwrap().unwrap();
        assert_eq!(state.lock().unwrap().live(&ana(), NOW), []);
    }
    assert_eq!(whole.reader().of_kind(Kind::End).unwrap().len(), 100);
    assert_eq!(state.lock().unwrap().ended.person(&ana(), NOW).len(), 100);
    assert_eq!(whole.verify().problems, []);
}

/// A start finds what a daemon that was killed had ended; and somebody who can write the file, and wants
/// his grant back, gets nothing by it.
#[tokio::test(flavor = "multi_thread")]
async fn what_ended_does_not_live_again_after_a_start() {
    let whole = Whole::new();
    let (ledger, state) = guarded(&whole);
    for n in 0..3 {
        ledger.issue(whole.unsigned(n)).await.unwrap();
    }
    let entry = ledger.append(Kind::End, end(1)).await.unwrap();
    let before = state.lock().unwrap().live(&ana(), NOW);
    assert_eq!(before.len(), 2);
    drop(ledger);
    let path = whole.trial.path("ledger.db");
    let rebuilt = || State::rebuild(&Store::open_to_read(&path).unwrap(), NOW);
    let mut again = rebuilt().unwrap();
    assert_eq!(again.live(&ana(), NOW), before);
    let ended = again.ended.person(&ana(), NOW);
    assert_eq!(ended.len(), 1);
    let request = RequestId::from_random(1);
    assert_eq!(
        ended[0].told(),
        format!("grant {request} ended at {NOW}: ticket OPS-7 is resolved")
    );
    // It is remembered for as long as the grant would have lived.
    let last = NOW.plus(Span::secs(3599));
    again.forget(last);
    assert!(again.ended.of(&request).is_some());
    again.forget(last.plus(Span::secs(1)));
    assert!(again.ended.of(&request).is_none());

    let db = whole.database();
    let set = |facts: Option<Vec<u8>>| {
        let update = "UPDATE entry SET facts = ?1 WHERE idx = ?2";
        db.execute(update, rusqlite::params![facts, i64::try_from(entry).unwrap()]).unwrap();
    };
    set(Some(end(2)));
    assert_eq!(rebuilt().unwrap_err().0, format!("entry {entry}, an end, is not what was written"));
    set(None);
    assert_eq!(rebuilt().unwrap().live(&ana(), NOW), [], "a grant came back");
    set(Some(end(1)));
    assert_eq!(rebuilt().unwrap().live(&ana(), NOW).len(), 2);
}

/// Which grants a ticket takes along: those of its tracker that were made while it was not closed.
#[test]
fn a_grant_is_bound_to_the_ticket_that_it_was_made_for() {
    let facts = include_str!("../../tests/vectors/entry-1.facts.json");
    let mut state = State::default();
    let mut fold = |facts: &str| {
        state.fold(Committed { index: 1, kind: Kind::Grant, facts: facts.as_bytes() });
    };
    fold(facts);
    fold(&facts.replace("r200000000000", "r200000000001").replace("OPS-7", "OPS-8"));
    fold(&facts.replace("r200000000000", "r200000000002").replace("\"desk\"", "\"other\""));
    // A review of closed tickets, which policy may want: its ticket was closed from the beginning.
    let closed = facts.replace("\"state\":\"open\"", "\"state\":\"closed\"");
    fold(&closed.replace("r200000000000", "r200000000003"));
    let (now, id) = (NOW.plus(Span::secs(60)), "OPS-7".parse().unwrap());
    let bound = |tracker: &str, now: UnixTime| -> Vec<String> {
        let bound = state.bound(tracker, &id, now);
        bound.iter().map(|(_, grant)| grant.request.to_string()).collect()
    };
    assert_eq!(bound("desk", now), ["r200000000000"]);
    assert_eq!(bound("other", now), ["r200000000002"]);
    assert_eq!(bound("desk", now.plus(Span::secs(3600))), Vec::<String>::new());
    let tickets: Vec<String> = state.tickets("desk", now).iter().map(ToString::to_string).collect();
    assert_eq!(tickets, ["OPS-7", "OPS-8"]);
}

/// What cannot be read is not let pass, where anything ended.
#[test]
fn facts_that_cannot_be_read_are_barred() {
    assert_eq!(EndedGrants::default().against_facts(b"{}"), None);
    let mut state = State::default();
    let facts = include_str!("../../tests/vectors/entry-1.facts.json");
    state.fold(Committed { index: 1, kind: Kind::Grant, facts: facts.as_bytes() });
    let end = String::from_utf8(end(7)).unwrap();
    let end = end.replace(RequestId::from_random(7).as_str(), "r200000000000");
    state.fold(Committed { index: 2, kind: Kind::End, facts: end.as_bytes() });
    assert!(state.ended.against_facts(b"{}").is_some());
    assert!(state.ended.against_facts(facts.as_bytes()).is_some());
    let other = facts.replace("r200000000000", "r200000000001");
    assert_eq!(state.ended.against_facts(other.as_bytes()), None);
}
