//! The table of who was last given what: the same as a plain count over the ledger, whatever happened to it.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::leaf::{Kind, Leaf};
use super::store::Store;
use crate::certificate::time::UnixTime;

/// Numbers that look random, the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// A ledger with its plain count beside it.
struct Model {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
    numbers: Numbers,
    time: u64,
    /// Every certificate that was committed: index, person, accounts, time.
    all: Vec<(u64, String, Vec<String>, u64)>,
    size: u64,
}

const PEOPLE: [&str; 4] = ["ana", "bob", "vera", "deploy-bot"];
const ACCOUNTS: [&str; 5] = ["root@web01", "deploy@web01", "root@db01", "logs@db01", "admin@sw1"];

impl Model {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        Store::create(&path).unwrap();
        let numbers = Numbers(seed);
        Self { _dir: dir, path, numbers, time: 1_795_326_000, all: Vec::new(), size: 0 }
    }

    /// Writes a batch; it is committed, or taken back as a whole, and any entry of it may fail alone.
    fn batch(&mut self, store: &Store) {
        let keep = self.numbers.below(5) != 0;
        let (before, known) = (self.size, self.all.len());
        store.begin().unwrap();
        for _ in 0..self.numbers.below(6) {
            // A clock may be set back.
            self.time = self.time + self.numbers.below(90_000) - self.numbers.below(300);
            let alone = self.numbers.below(4) != 0;
            store.begin_entry().unwrap();
            self.entry(store);
            match alone {
                true => store.keep_entry().unwrap(),
                false => {
                    store.drop_entry().unwrap();
                    self.size -= 1;
                    self.all.retain(|(index, ..)| *index < self.size);
                }
            }
        }
        if keep {
            store.commit().unwrap();
        } else {
            store.rollback().unwrap();
            self.size = before;
            self.all.truncate(known);
        }
    }

    fn entry(&mut self, store: &Store) {
        let index = self.size;
        self.size += 1;
        let person = PEOPLE[usize::try_from(self.numbers.below(4)).unwrap()];
        let mut accounts: Vec<String> = ACCOUNTS.map(str::to_owned).to_vec();
        accounts.retain(|_| self.numbers.below(3) == 0);
        if accounts.is_empty() {
            accounts.push("root@web01".to_owned());
        }
        let time = UnixTime::from_secs(self.time);
        // A bare account name says its host beside it.
        let bare = self.numbers.below(4) == 0;
        let principals: Vec<&str> = accounts
            .iter()
            .map(|account| if bare { account.split('@').next().unwrap() } else { account })
            .collect();
        let targets = if bare { accounts.clone() } else { Vec::new() };
        let facts = serde_json::json!({
            "v": 1, "time": time, "person": person, "accounts": principals, "targets": targets,
        });
        let facts = facts.to_string().into_bytes();
        match self.numbers.below(3) {
            0 => store.insert(index, &Leaf::other(Kind::Grant, &facts), None, &facts).unwrap(),
            _ => {
                let leaf = Leaf::certificate(b"tbs", &facts);
                store.insert(index, &leaf, Some(b"tbs"), &facts).unwrap();
                self.all.push((index, person.to_owned(), accounts, self.time));
            }
        }
    }

    /// What a plain count over the ledger says.
    fn count(&self) -> BTreeMap<(String, String), u64> {
        let mut last = BTreeMap::new();
        for (_, person, accounts, time) in &self.all {
            for account in accounts {
                let known = last.entry((person.clone(), account.clone())).or_insert(0);
                *known = (*known).max(*time);
            }
        }
        last
    }

    fn check(&self, what: &str) {
        let store = Store::open_to_read(&self.path).unwrap();
        assert_eq!(store.size().unwrap(), self.size);
        let count = self.count();
        for person in PEOPLE {
            for account in ACCOUNTS {
                let last = store.last_given(&person.parse().unwrap(), account).unwrap();
                let counted = count.get(&(person.to_owned(), account.to_owned()));
                assert_eq!(
                    last.map(UnixTime::secs),
                    counted.copied(),
                    "{what}: {person} {account}"
                );
            }
        }
    }

    /// By SQL, as nobody should.
    fn meddle(&self, sql: &str) {
        Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }
}

#[test]
fn the_table_is_what_a_plain_count_says_after_any_batches_and_restarts() {
    for seed in 1..=40 {
        let mut model = Model::new(seed * 0x9e37_79b9);
        for _ in 0..6 {
            let store = Store::open(&model.path).unwrap();
            for _ in 0..8 {
                model.batch(&store);
            }
            model.check("running");
            drop(store);
            // What may have become of the table before the next start.
            let step = model.numbers.below(6);
            match step {
                0 => model.meddle("DROP TABLE given; DROP TABLE given_upto"),
                1 => model.meddle("DROP TABLE given_upto"),
                2 => model.meddle("DELETE FROM given_upto"),
                // It knows of more than there is: the entries are older, as after a restore.
                3 => {
                    model.size -= model.numbers.below(5).min(model.size);
                    model.all.retain(|(index, ..)| *index < model.size);
                    model.meddle(&format!("DELETE FROM entry WHERE idx >= {}", model.size));
                    // Where what is gone was no certificate the table is right as it is.
                }
                // It is behind: a program that knows nothing of it wrote entries.
                4 => {
                    let upto = model.numbers.below(model.size + 1);
                    let behind: Vec<_> =
                        model.all.iter().filter(|(index, ..)| *index < upto).cloned().collect();
                    let now = std::mem::replace(&mut model.all, behind);
                    model.meddle("DELETE FROM given");
                    for ((person, account), last) in model.count() {
                        model.meddle(&format!(
                            "INSERT INTO given VALUES ('{person}', '{account}', {last})"
                        ));
                    }
                    model.meddle(&format!("UPDATE given_upto SET upto = {upto}"));
                    model.all = now;
                }
                _ => {}
            }
            drop(Store::open(&model.path).unwrap());
            model.check(&format!("seed {seed}, after {step}"));
        }
    }
}

/// Redaction takes what an entry said, by law. That somebody had root last month stays known to policy:
/// otherwise a redaction would make everybody a newcomer.
#[test]
fn a_redaction_keeps_the_times() {
    let mut model = Model::new(7);
    let store = Store::open(&model.path).unwrap();
    while model.all.len() < 20 {
        model.batch(&store);
    }
    drop(store);
    model.meddle("UPDATE entry SET facts = NULL, tbs = NULL WHERE idx < 15");
    drop(Store::open(&model.path).unwrap());
    model.check("redacted");
}

/// A start that finds everything in place writes nothing: not on a full disk either.
#[test]
fn a_start_with_nothing_to_catch_up_with_writes_nothing() {
    let mut model = Model::new(11);
    let store = Store::open(&model.path).unwrap();
    while model.all.len() < 5 {
        model.batch(&store);
    }
    store.begin().unwrap();
    let facts = b"{}";
    store.insert(model.size, &Leaf::other(Kind::Refusal, facts), None, facts).unwrap();
    store.commit().unwrap();
    model.size += 1;
    let changes = |store: &Store| -> i64 {
        store.db.query_row("SELECT total_changes()", [], |row| row.get(0)).unwrap()
    };
    drop(store);
    assert_eq!(changes(&Store::open(&model.path).unwrap()), 0);
    model.check("again");
}
