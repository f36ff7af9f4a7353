//! Changes of what stands, locks and freezes: how many somebody may make, and what the ledger has of one.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash as Hashes;

use crate::certificate::time::{Span, UnixTime};
use crate::ledger::leaf::Leaf;
use crate::ledger::store::{Row, StoreError};
use crate::ledger::tree::Hash;

/// When each of those who make changes did within the last hour, at most [`MOST`] times.
#[derive(Debug, Clone)]
pub(super) struct Changes<K>(HashMap<K, VecDeque<UnixTime>>);

/// How many changes one person, operator or webhook may make within [`WITHIN`]: more than any bad day needs,
/// and an end to filling the ledger.
const MOST: usize = 100;

/// The span in which changes are counted.
const WITHIN: Span = Span::secs(3600);

impl<K> Default for Changes<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hashes> Changes<K> {
    /// Counts one.
    pub(super) fn count(&mut self, by: K, at: UnixTime) {
        let changes = self.0.entry(by).or_default();
        changes.push_back(at);
        if changes.len() > MOST {
            changes.pop_front();
        }
    }

    /// Whether they may make one more.
    pub(super) fn may<Q: Eq + Hashes + ?Sized>(&self, by: &Q, now: UnixTime) -> bool
    where
        K: Borrow<Q>,
    {
        let recent = |times: &VecDeque<UnixTime>| {
            times.iter().filter(|time| now.since(**time) < WITHIN).count()
        };
        self.0.get(by).is_none_or(|times| recent(times) < MOST)
    }

    /// Drops those of long ago.
    pub(super) fn forget(&mut self, now: UnixTime) {
        let old = |time: &UnixTime| now.since(*time) >= WITHIN;
        self.0.retain(|_, times| times.back().is_some_and(|time| !old(time)));
    }
}

/// Takes in the facts of a row, which is `what`: `a lock`. Facts that are not those of the leaf are an error:
/// they would lift something unnoticed. Redacted ones are passed over.
pub(super) fn refold(
    row: &Row,
    what: &str,
    fold: impl FnOnce(&[u8]) -> Result<(), String>,
) -> Result<(), StoreError> {
    let say =
        |why: &dyn std::fmt::Display| StoreError(format!("entry {}, {what}, {why}", row.index));
    let leaf: Leaf = row.leaf.parse().map_err(|why| say(&why))?;
    let Some(facts) = &row.facts else {
        tracing::error!(index = row.index, "{what} without facts: what it was nobody knows");
        return Ok(());
    };
    if Hash::of(facts) != leaf.facts {
        return Err(say(&"is not what was written"));
    }
    fold(facts).map_err(|why| say(&why))
}
