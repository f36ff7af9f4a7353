//! Searches over a ledger of every kind of entry, and of one that is not known yet.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::search::{Account, Query, Rest, search};
use crate::certificate::time::UnixTime;
use crate::config::hosts::Hosts;
use crate::config::snapshot::Text;
use crate::ledger::store::Store;

/// 2026-11-22T05:40:00Z
const NOW: u64 = 1_795_326_000;

/// The hosts of a `hosts.toml`.
pub(super) fn hosts(text: &str) -> Hosts {
    let (path, name) = ("hosts.toml".into(), "hosts.toml".to_owned());
    Hosts::read(&[Text { path, name, text: text.to_owned() }]).unwrap()
}

/// A ledger of these kinds and facts; a minute between two.
struct Ledger {
    dir: tempfile::TempDir,
    hosts: Hosts,
}

impl Ledger {
    fn of(entries: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        Store::create(&path).unwrap();
        let db = Connection::open(&path).unwrap();
        db.execute_batch("BEGIN").unwrap();
        for (index, (kind, body)) in (0u64..).zip(entries) {
            let time = UnixTime::from_secs(NOW + 60 * index);
            let facts =
                format!(r#"{{"v":1,"kind":"{kind}","salt":"","time":"{time}","node":"n",{body}}}"#);
            let leaf = format!("hallpass.v1 {kind}\n-\n-\n");
            let insert = "INSERT INTO entry (idx, leaf, tbs, facts) VALUES (?1, ?2, NULL, ?3)";
            db.execute(insert, (i64::try_from(index).unwrap(), leaf, facts.as_bytes())).unwrap();
        }
        db.execute_batch("COMMIT").unwrap();
        let hosts =
            hosts("[host.web01]\naliases = [\"www\"]\naddresses = [\"192.0.2.7\"]\n[host.web02]\n");
        Self { dir, hosts }
    }

    fn store(&self) -> Store {
        Store::open_to_read(&self.dir.path().join("ledger.db")).unwrap()
    }

    /// The indexes that a query finds.
    fn find(&self, query: Query) -> Vec<u64> {
        let found = search(&self.store(), &self.hosts, &query, None).unwrap();
        assert_eq!(found.rest, Rest::Nothing);
        found.entries.iter().map(|entry| entry.index).collect()
    }
}

fn any() -> Query {
    Query { limit: 100, ..Query::default() }
}

fn at(login: Option<&str>, host: Option<&str>) -> Query {
    let login = login.map(|login| login.parse().unwrap());
    Query { account: Account { login, host: host.map(str::to_owned) }, ..any() }
}

#[test]
fn every_kind_of_entry_is_found_by_what_it_names() {
    let ledger = Ledger::of(&[
        ("policy", r#""sha256":"x","bytes":4"#),
        (
            "grant",
            r#""request":"r200000000000","person":"ana","accounts":["deploy@web01"],"ticket":{"id":"OPS-7","tracker":"t"},"key":"SHA256:a","offer":"o""#,
        ),
        (
            "certificate",
            r#""request":"r200000000000","person":"ana","accounts":["deploy@web01"],"ticket":{"id":"OPS-7","tracker":"t"},"key":"SHA256:a","subject":"SHA256:b""#,
        ),
        (
            "refusal",
            r#""request":"r300000000000","person":"bob","account":"deploy@192.0.2.7","ticket":"OPS-9","reasons":["no"],"count":1"#,
        ),
        (
            "refusal",
            r#""request":null,"person":"bob","account":"","ticket":null,"reasons":[],"count":90"#,
        ),
        (
            "lock",
            r#""target":"person","name":"mallory","locked":true,"person":"ana","key":"SHA256:a","operator":null,"reason":"laptop lost""#,
        ),
        (
            "lock",
            r#""target":"host","name":"web02","locked":false,"person":null,"operator":{"uid":0,"user":"root","claims":"ana.i"},"reason":"built""#,
        ),
        (
            "break-glass",
            r#""certificate":"c","key_id":"i","principals":["root@web02"],"reason":"dead""#,
        ),
        ("succession", r#""old_origin":"ca/1","reason":"disk""#),
        ("lost", r#""serial":10"#),
        (
            "certificate",
            r#""request":"r400000000000","person":"vera","accounts":["operator"],"targets":["operator@web02"]"#,
        ),
        ("quorum", r#""by":"ana","host":"web01","request":"r200000000000""#),
    ]);
    let host = Ledger::of(&[(
        "host-certificate",
        r#""host":"web01","principals":["web01","www"],"key":"ssh-ed25519 x","subject":"SHA256:b","nonce":"n""#,
    )]);
    assert_eq!(host.find(at(None, Some("web01"))), [0]);
    assert_eq!(
        host.find(Query { serial: Some(1), key: Some("SHA256:b".to_owned()), ..any() }),
        [0]
    );
    let typed = Ledger::of(&[
        ("refusal", r#""person":"bob","account":"root@web02,deploy@www""#),
        ("refusal", r#""person":"bob","account":"www""#),
        ("refusal", r#""person":"bob","account":"tag:web""#),
    ]);
    assert_eq!(typed.find(at(Some("deploy"), Some("web01"))), [0]);
    assert_eq!(typed.find(at(None, Some("web01"))), [1, 0]);
    let person = |name: &str| Query { person: Some(name.parse().unwrap()), ..any() };
    assert_eq!(ledger.find(any()), (0..12).rev().collect::<Vec<u64>>());
    assert_eq!(ledger.find(person("ana")), [11, 5, 2, 1]);
    assert_eq!(ledger.find(person("bob")), [4, 3]);
    assert_eq!(ledger.find(person("mallory")), [5], "who was locked");
    assert_eq!(ledger.find(person("root")), [6], "an operator");
    assert_eq!(ledger.find(person("ana.i")), [6], "and who it claims to be");
    assert_eq!(ledger.find(at(Some("deploy"), Some("web01"))), [3, 2, 1], "typed by an address");
    assert_eq!(ledger.find(at(None, Some("web01"))), [11, 3, 2, 1]);
    assert_eq!(ledger.find(at(None, Some("web02"))), [10, 7, 6]);
    assert_eq!(ledger.find(at(Some("operator"), None)), [10]);
    assert_eq!(
        ledger.find(at(Some("operator"), Some("web02"))),
        [10],
        "a bare account name's host"
    );
    let ticket = |id: &str| Query { ticket: Some(id.parse().unwrap()), ..any() };
    assert_eq!((ledger.find(ticket("OPS-7")), ledger.find(ticket("OPS-9"))), (vec![2, 1], vec![3]));
    assert_eq!(ledger.find(ticket("OPS")), [0; 0], "a part of an id");
    let key = |key: &str| Query { key: Some(key.to_owned()), ..any() };
    assert_eq!(
        (ledger.find(key("SHA256:a")), ledger.find(key("SHA256:b"))),
        (vec![5, 2, 1], vec![2])
    );
    let request = Query { request: Some("r200000000000".parse().unwrap()), ..any() };
    assert_eq!(ledger.find(request), [11, 2, 1]);
    let serial = |serial| Query { serial: Some(serial), ..any() };
    assert_eq!((ledger.find(serial(3)), ledger.find(serial(4))), (vec![2], vec![]));
    assert_eq!((ledger.find(serial(0)), ledger.find(serial(u64::MAX))), (vec![], vec![]));
    for (outcome, found) in [
        ("issued", vec![10, 2]),
        ("granted", vec![1]),
        ("refused", vec![4, 3]),
        ("locked", vec![5]),
        ("unlocked", vec![6]),
        ("break-glass", vec![7]),
        ("quorum", vec![11]),
    ] {
        assert_eq!(ledger.find(Query { outcome: Some(outcome.to_owned()), ..any() }), found);
    }
    assert_eq!(ledger.find(Query { kind: Some("lock".to_owned()), ..any() }), [6, 5]);
    let since = |minute: u64| Some(UnixTime::from_secs(NOW + 60 * minute));
    assert_eq!(ledger.find(Query { since: since(10), ..any() }), [11, 10]);
    assert_eq!(ledger.find(Query { until: since(1), ..any() }), [1, 0]);
    assert_eq!(ledger.find(Query { since: since(4), until: since(5), ..any() }), [5, 4]);
    assert_eq!(ledger.find(Query { before: Some(2), ..any() }), [1, 0]);
}

/// A daemon that was taken over writes names with JSON's escapes, so that no search for the letters
/// finds them.
#[test]
fn a_name_that_is_spelled_otherwise_is_found_all_the_same() {
    let ledger = Ledger::of(&[
        (
            "certificate",
            r#""person":"\u0061na","accounts":["root\u0040web01"],"ticket":{"id":"OPS\u002d7"}"#,
        ),
        ("certificate", r#""person":"bob","accounts":["root@web01"],"reason":"ana""#),
    ]);
    assert_eq!(ledger.find(Query { person: Some("ana".parse().unwrap()), ..any() }), [0]);
    assert_eq!(ledger.find(at(Some("root"), Some("web01"))), [1, 0]);
    assert_eq!(ledger.find(Query { ticket: Some("OPS-7".parse().unwrap()), ..any() }), [0]);
}

#[test]
fn a_search_says_whether_it_read_to_the_end() {
    let entries = vec![("refusal", r#""person":"bob""#); 1000];
    let ledger = Ledger::of(&entries);
    let found = |query: &Query, deadline| {
        let found = search(&ledger.store(), &ledger.hosts, query, deadline).unwrap();
        (found.entries.len(), found.rest)
    };
    let of = |limit, before| Query { limit, before, ..Query::default() };
    assert_eq!(found(&of(10, None), None), (10, Rest::More(990)));
    assert_eq!(found(&of(10, Some(990)), None), (10, Rest::More(980)));
    assert_eq!(found(&of(10, Some(10)), None), (10, Rest::Nothing));
    assert_eq!(found(&of(1000, None), None), (1000, Rest::Nothing));
    // Entry by entry to the end, nothing twice and nothing left out.
    let (mut all, mut before) = (0, None);
    loop {
        let (some, rest) = found(&of(37, before), None);
        all += some;
        match rest {
            Rest::More(next) => before = Some(next),
            Rest::Nothing => break,
            Rest::Unread(_) => panic!("there was no deadline"),
        }
    }
    assert_eq!(all, 1000);
    // The time is up: what was not read is said, and where to go on.
    let over = Instant::now().checked_sub(Duration::from_secs(1));
    let (some, rest) = found(&of(1000, None), over);
    let Rest::Unread(before) = rest else { panic!("{rest:?}") };
    assert_eq!(found(&of(1000, Some(before)), None), (1000 - some, Rest::Nothing));
}
