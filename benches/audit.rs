//! How long an auditor waits: searches over a ledger of 100,000 entries, for each question the time of
//! one search. A third are certificates with their grants, a third refusals, of 400 people on 3,000 hosts.
//!
//! ```sh
//! cargo bench --bench audit
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a bench")]

use std::time::{Duration, Instant};

use hallpass::audit::search::{Account, Query, search};
use hallpass::certificate::names::{PersonName, RequestId};
use hallpass::certificate::time::{Span, UnixTime};
use hallpass::config::hosts::Hosts;
use hallpass::config::snapshot::Text;
use hallpass::ledger::facts::{self, Granted, Refusal, Terms, Ticket};
use hallpass::ledger::leaf::{Kind, Leaf};
use hallpass::ledger::store::Store;
use hallpass::ledger::tree::Hash;

const ENTRIES: u64 = 100_000;
const BEGUN: UnixTime = UnixTime::from_secs(1_790_000_000);

/// One of many, always the same ones.
fn pick(index: u64, of: u64) -> u64 {
    (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % of
}

fn person(index: u64) -> PersonName {
    format!("p{:03}", pick(index, 400)).parse().unwrap()
}

fn account(index: u64) -> String {
    format!("deploy@web{:04}", pick(index, 3000))
}

/// An entry: kind, to-be-signed bytes, facts.
fn entry(index: u64) -> (Kind, Option<Vec<u8>>, Vec<u8>) {
    let time = BEGUN.plus(Span::secs(index * 10));
    // A grant and its certificate are of one request.
    let request = RequestId::from_random((index - index % 3) << 20);
    let write = |kind| match kind {
        Kind::Refusal => {
            let refusal = Refusal {
                request: Some(request.clone()),
                person: person(index),
                source: "203.0.113.9".to_owned(),
                account: account(index),
                ticket: Some(format!("OPS-{}", pick(index, 9000))),
                reasons: vec!["ticket OPS-9 is resolved, needs open".to_owned()],
                count: 1,
            };
            facts::write(kind, [1; 16], time, "ca.example", &refusal).unwrap()
        }
        _ => facts::write(kind, [1; 16], time, "ca.example", &granted(index, &request, time))
            .unwrap(),
    };
    match index % 3 {
        0 => (Kind::Grant, None, write(Kind::Grant)),
        1 => (Kind::Certificate, Some(vec![7; 480]), write(Kind::Certificate)),
        _ => (Kind::Refusal, None, write(Kind::Refusal)),
    }
}

fn granted(index: u64, request: &RequestId, time: UnixTime) -> Granted {
    let key = format!("SHA256:{}", Hash::of(person(index).as_str().as_bytes()).to_base64());
    Granted {
        request: request.clone(),
        person: person(index - index % 3),
        person_kind: "person".to_owned(),
        source: "203.0.113.9".to_owned(),
        key: key.trim_end_matches('=').to_owned(),
        accounts: vec![account(index - index % 3).parse().unwrap()],
        targets: Vec::new(),
        ticket: Some(Ticket {
            tracker: "tickets".to_owned(),
            id: format!("OPS-{}", pick(index - index % 3, 9000)),
            state: "open".to_owned(),
            said: "in progress".to_owned(),
            title: "Roll out 4.2 on both sites".to_owned(),
            assignee: Some(person(index).to_string()),
            priority: None,
            labels: vec!["rollout".to_owned()],
            hosts: vec!["web01".to_owned()],
            window: None,
        }),
        reason: None,
        offer: "deploy-prod".parse().unwrap(),
        terms: Terms {
            ttl: 600,
            period: 3600,
            extensions: ["permit-pty".to_owned()].into(),
            source_address: Vec::new(),
            force_command: None,
            delivery: None,
        },
        period: 3600,
        grant_ends: time.plus(Span::secs(3600)),
        ends_with: None,
        votes: Vec::new(),
        policy: Hash::of(b"policy"),
        people: Hash::of(b"people"),
        hosts: Hash::of(b"hosts"),
    }
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    Store::create(&path).unwrap();
    let writer = Store::open(&path).unwrap();
    writer.begin().unwrap();
    for index in 0..ENTRIES {
        let (kind, tbs, facts) = entry(index);
        let leaf = match &tbs {
            Some(tbs) => Leaf::certificate(tbs, &facts),
            None => Leaf::other(kind, &facts),
        };
        writer.insert(index, &leaf, tbs.as_deref(), &facts).unwrap();
    }
    writer.commit().ok().unwrap();
    let store = Store::open_to_read(&path).unwrap();
    let hosts: String = (0..3000)
        .map(|n| format!("[host.web{n:04}]\naliases = [\"web{n:04}.example.com\"]\n"))
        .collect();
    let (path, name) = ("hosts.toml".into(), "hosts.toml".to_owned());
    let hosts = Hosts::read(&[Text { path, name, text: hosts }]).unwrap();

    let some = Query { limit: 50, ..Query::default() };
    let all = Query { limit: 10_000, ..Query::default() };
    let host = Account { login: None, host: Some("web0042".to_owned()) };
    let both = Account { login: Some("deploy".parse().unwrap()), ..host.clone() };
    let request = RequestId::from_random(99 << 20);
    let day = BEGUN.plus(Span::secs(ENTRIES * 10 - 86_400));
    println!("{ENTRIES} entries; a search, median of 9, and how many entries it found");
    for (what, query) in [
        ("the newest 50", some.clone()),
        ("a serial", Query { serial: Some(2), ..some.clone() }),
        ("the last day, 10,000 at most", Query { since: Some(day), ..all.clone() }),
        ("a person, 50", Query { person: Some(person(7)), ..some.clone() }),
        ("a person, all", Query { person: Some(person(7)), ..all.clone() }),
        ("a ticket, all", Query { ticket: Some("OPS-77".parse().unwrap()), ..all.clone() }),
        ("an account on a host, all", Query { account: both, ..all.clone() }),
        ("a host, all", Query { account: host, ..all.clone() }),
        ("an old request", Query { request: Some(request), ..some.clone() }),
        ("nobody", Query { person: Some("nobody".parse().unwrap()), ..some }),
    ] {
        let mut times: Vec<Duration> = Vec::new();
        let mut found = 0;
        for _ in 0..9 {
            let begun = Instant::now();
            found = search(&store, &hosts, &query, None).unwrap().entries.len();
            times.push(begun.elapsed());
        }
        times.sort();
        println!("{:8.2} ms  {found:6}  {what}", times[4].as_secs_f64() * 1000.0);
    }
}
