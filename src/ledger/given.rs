//! When each person was last given each account: a table beside the entries, written in the same
//! transaction as they are, so that a decision can ask for it however long the ledger is.
//!
//! It is a cache of the entries, with the index up to which it is complete. A start catches up with what was
//! written without it, and makes it anew where it is missing or knows of more than there is. What redaction
//! took from an entry it still knows: that somebody was there, not why.

use rusqlite::{OptionalExtension as _, params};
use serde::Deserialize;

use super::leaf::{Kind, Leaf};
use super::store::{Store, StoreError, number};
use crate::certificate::names::PersonName;
use crate::certificate::time::UnixTime;

/// The tables.
pub(super) const TABLES: [(&str, &str); 2] = [
    (
        "given",
        "CREATE TABLE given (person TEXT NOT NULL, account TEXT NOT NULL, last INTEGER NOT NULL, \
         PRIMARY KEY (person, account)) STRICT, WITHOUT ROWID",
    ),
    ("given_upto", "CREATE TABLE given_upto (upto INTEGER NOT NULL) STRICT"),
];

/// How many entries are caught up with in one transaction.
const CHUNK: u64 = 20_000;

/// What is read of a certificate's facts.
#[derive(Deserialize)]
struct Issued<'f> {
    time: UnixTime,
    #[serde(borrow)]
    person: std::borrow::Cow<'f, str>,
    accounts: Vec<String>,
    #[serde(default)]
    targets: Vec<String>,
}

impl Store {
    /// When a person was last given an account, `LOGIN@HOST`.
    pub fn last_given(
        &self,
        person: &PersonName,
        account: &str,
    ) -> Result<Option<UnixTime>, StoreError> {
        let mut select =
            self.db.prepare_cached("SELECT last FROM given WHERE person = ?1 AND account = ?2")?;
        let last: Option<i64> =
            select.query_row((person.as_str(), account), |row| row.get(0)).optional()?;
        Ok(last.map(|last| UnixTime::from_secs(u64::try_from(last).unwrap_or(0))))
    }

    /// Makes the table what the entries say. For the one writer, before it writes.
    pub(super) fn catch_up(&self) -> Result<(), StoreError> {
        for (name, sql) in TABLES {
            let there = "SELECT count(*) FROM sqlite_schema WHERE name = ?1";
            if self.db.query_row(there, [name], |row| row.get::<_, i64>(0))? == 0 {
                self.db.execute(sql, [])?;
            }
        }
        let (size, known) = (self.size()?, self.given_upto()?);
        let mut upto = known.filter(|upto| *upto <= size).unwrap_or(0);
        if known != Some(upto) {
            self.db.execute_batch(
                "BEGIN IMMEDIATE; DELETE FROM given; DELETE FROM given_upto; \
                 INSERT INTO given_upto (upto) VALUES (0); COMMIT",
            )?;
        }
        while let Some(next) = self.certificate_from(upto)? {
            upto = next.saturating_add(CHUNK);
            self.db.execute_batch("BEGIN IMMEDIATE")?;
            if let Err(why) = self.take_in(next, upto) {
                self.rollback()?;
                return Err(why);
            }
            self.db.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    /// The first certificate from an index on: a start that has nothing to catch up with writes nothing.
    fn certificate_from(&self, from: u64) -> Result<Option<u64>, StoreError> {
        let first: Option<i64> = self
            .db
            .query_row(
                "SELECT idx FROM entry WHERE idx >= ?1 AND leaf GLOB 'hallpass.v1 certificate*' \
                 ORDER BY idx LIMIT 1",
                [number(from)?],
                |row| row.get(0),
            )
            .optional()?;
        Ok(first.and_then(|first| u64::try_from(first).ok()))
    }

    fn take_in(&self, from: u64, to: u64) -> Result<(), StoreError> {
        let mut unwritten = None;
        self.each_from(from, |row| {
            if row.index >= to {
                return false;
            }
            // A leaf that is damaged is the verifier's to tell.
            let kind = row.leaf.parse::<Leaf>().ok().map(|leaf| leaf.kind);
            if kind == Some(Kind::Certificate) {
                let facts = row.facts.as_deref();
                let done = facts.map_or(Ok(()), |facts| self.given(row.index, facts));
                unwritten = done.and_then(|()| self.complete_to(row.index + 1)).err();
            }
            unwritten.is_none()
        })?;
        unwritten.map_or(Ok(()), Err)
    }

    /// Takes in a certificate, in the transaction that writes it. What stands between the last one and the
    /// end of the ledger is no certificate.
    pub(super) fn given(&self, index: u64, facts: &[u8]) -> Result<(), StoreError> {
        let issued = match serde_json::from_slice::<Issued<'_>>(facts) {
            Ok(issued) => issued,
            Err(why) => {
                tracing::error!(index, %why, "facts that cannot be read");
                return self.complete_to(index.saturating_add(1));
            }
        };
        let accounts = if issued.targets.is_empty() { &issued.accounts } else { &issued.targets };
        let mut upsert = self.db.prepare_cached(
            "INSERT INTO given (person, account, last) VALUES (?1, ?2, ?3) \
             ON CONFLICT DO UPDATE SET last = max(last, excluded.last)",
        )?;
        for account in accounts {
            upsert.execute(params![issued.person, account, number(issued.time.secs())?])?;
        }
        self.complete_to(index.saturating_add(1))
    }

    fn complete_to(&self, upto: u64) -> Result<(), StoreError> {
        let mut update = self.db.prepare_cached("UPDATE given_upto SET upto = ?1")?;
        update.execute([number(upto)?])?;
        Ok(())
    }

    /// Up to which index the table is complete; `None` if it does not say.
    fn given_upto(&self) -> Result<Option<u64>, StoreError> {
        let mut select = self.db.prepare("SELECT upto FROM given_upto")?;
        let all = select.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        match all.as_slice() {
            [one] => Ok(u64::try_from(*one).ok()),
            _ => Ok(None),
        }
    }
}
