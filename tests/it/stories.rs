//! Attacks, each told step by step and then tried on a running CA.
//!
//! Mallory is nobody. Bob has a key and may next to nothing; ana has the ticket. Both attackers have
//! everybody's public keys, and a client that says anything in any order (`tests/stories/raw.py`).
//! A story's script is strict about every answer of the server. Afterwards, whatever the story was:
//! the daemon and the signer live, it grew by no more than it may, each line of the journal is one
//! record, the ledger verifies and holds nothing but what the story says, and ana gets in.

mod channels;
mod crowd;
mod identity;
mod order;

use std::path::Path;

use serde_json::Value;

use crate::ca::{Ca, Entry, bend};
use crate::process::{children, python, repository, run, until};

/// How many bytes the daemon may grow by, whatever is thrown at it.
const GROWTH: u64 = 64 << 20;

/// A CA, and what it was like before the story.
struct Scene {
    ca: Ca,
    signer: u32,
    memory: u64,
    entries: usize,
    visits: usize,
}

/// One connection, as the journal has it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Visit {
    person: String,
    commands: u64,
    why: String,
}

impl Scene {
    fn set() -> Self {
        Self::of(Ca::start_with(spare))
    }

    fn of(ca: Ca) -> Self {
        let visits = visits_in(&ca).len() + 1;
        assert_eq!(ca.ssh("ana", &["deploy@web01", "OPS-7"]).code, 0);
        until("the end of ana's visit", || visits_in(&ca).len() == visits);
        let (signer, memory) = (children(ca.daemon.pid()), peak(ca.daemon.pid()));
        let [signer] = signer[..] else { panic!("one signer: {signer:?}") };
        let entries = ca.entries().len();
        Self { ca, signer, memory, entries, visits }
    }

    /// Tells a story of `tests/stories/FILE.py`; its connections, by person.
    fn tell(&mut self, file: &str, story: &str) -> Vec<Visit> {
        let script = repository("tests/stories").join(file).with_extension("py");
        let port = self.ca.port().to_string();
        let said = run(python().arg(script).args([story, &port]).arg(self.ca.dir()));
        let log = self.ca.daemon.log();
        let last = &log[log.len().saturating_sub(20)..];
        assert_eq!(said.code, 0, "{}\n{last:#?}", said.err);
        let number: usize = said.out.trim().parse().unwrap();
        until("the end of every connection", || visits_in(&self.ca).len() == self.visits + number);
        let mut visits = visits_in(&self.ca).split_off(self.visits);
        visits.sort();
        self.visits += number;
        visits
    }

    /// What the story left in the ledger. Everything that must be so after each story is checked.
    fn afterwards(self) -> Vec<Entry> {
        let Self { ca, signer, memory, entries, .. } = self;
        // The ledger has one writer and one queue: what came before ana's certificate is in it.
        let said = ca.ssh("ana", &["deploy@web01", "OPS-7"]);
        assert_eq!(said.code, 0, "ana does not get in: {said:?}");
        let mut all = ca.entries();
        assert_eq!(ca.operator(&["ledger", "verify"]).code, 0);
        let listed = std::fs::read_to_string(ca.file("state/signer/list")).unwrap();
        assert_eq!(
            listed.lines().count(),
            all.iter().filter(|entry| entry.has_certificate).count()
        );

        assert_eq!(children(ca.daemon.pid()), [signer], "the signer is another one");
        let grown = peak(ca.daemon.pid()).saturating_sub(memory);
        assert!(grown < GROWTH, "the daemon grew by {grown} bytes");
        let log = ca.daemon.log();
        let begun = log.iter().position(|line| line.contains(" listens on ")).unwrap();
        for line in &log[begun + 1..] {
            if line.starts_with("hallpass-signer: serving a peer with uid ") {
                continue;
            }
            let record: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"));
            assert!(record.get("forged").is_none(), "{line}");
            assert!(record["level"] != "ERROR", "{line}");
        }
        // Ana's second certificate, from the grant that the first was issued under.
        let anas = all.pop().unwrap();
        assert_eq!((anas.kind.as_str(), &anas.facts["person"]), ("certificate", &"ana".into()));
        all.split_off(entries)
    }

    /// The same, for stories that leave nothing.
    fn nothing_happened(self) {
        let left = self.afterwards();
        assert!(left.is_empty(), "{left:#?}");
    }
}

/// The most memory a process ever had.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

fn visits_in(ca: &Ca) -> Vec<Visit> {
    let log = ca.daemon.log();
    let records = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ended = records.filter(|record| record["message"] == "connection ended");
    ended
        .map(|record| Visit {
            person: record["person"].as_str().unwrap().to_owned(),
            commands: record["commands"].as_u64().unwrap(),
            why: record["why"].as_str().unwrap().to_owned(),
        })
        .inspect(|visit| assert!(visit.why.bytes().all(|byte| (b' '..=b'~').contains(&byte))))
        .collect()
}

/// So many connections, all of nobody, and none had a command.
fn nobodys(visits: &[Visit], number: usize) {
    assert_eq!(visits.len(), number);
    for visit in visits {
        assert_eq!((visit.person.as_str(), visit.commands), ("-", 0), "{visit:?}");
    }
}

/// Person and commands of each.
fn who(visits: &[Visit]) -> Vec<(&str, u64)> {
    visits.iter().map(|visit| (visit.person.as_str(), visit.commands)).collect()
}

/// Lets a story fail as often as it has to: what that costs is told in `edge.rs`.
fn spare(dir: &Path) {
    let here = "[[front.limits.network]]\ncidr = \"127.0.0.0/8\"\nper_source = 128\npenalties = false\n\n[ledger]";
    bend(dir, "[ledger]", here);
}
