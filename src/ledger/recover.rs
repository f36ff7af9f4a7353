//! A new generation of the ledger, after entries were lost: what is left stays as it is, the lost
//! indexes are filled so that no serial is given twice, and a `succession` says what happened.
//!
//! ```text
//! restored leaves, unchanged · lost × n, up to what the signer has seen · succession
//! ```
//!
//! The first checkpoint of the new origin covers all of it. The signer takes it only when its own
//! user confirms ([`crate::signer::succeed`]).

use rand::Rng as _;

use super::checkpoint::{Checkpoint, TreeHead};
use super::edge::Edge;
use super::facts::{self, Lost, Succession};
use super::leaf::{Kind, Leaf};
use super::note::{NoteKey, VerifierKey};
use super::store::{Lock, NotCommitted, Store, StoreError};
use super::tree::root;
use crate::certificate::time::UnixTime;

/// The most entries that one recovery fills: more is a mistake in a number.
const MOST: u64 = 10_000_000;

/// What a recovery is told.
pub struct Recovery<'a> {
    /// The ledger's last verifier key.
    pub old: &'a VerifierKey,
    /// The last checkpoint under it, if one is left.
    pub old_checkpoint: Option<String>,
    /// The key of the new generation.
    pub new: &'a NoteKey,
    /// How many entries the signer has seen: no index below is used again.
    pub seen: u64,
    /// Why, for the auditor.
    pub reason: &'a str,
    /// The node's name.
    pub node: &'a str,
    /// Now.
    pub now: UnixTime,
}

/// What a recovery made.
#[derive(Debug)]
pub struct Recovered {
    /// The first lost index.
    pub lost_from: u64,
    /// The first index after the lost ones.
    pub lost_to: u64,
    /// The first checkpoint of the new generation.
    pub checkpoint: Checkpoint,
}

impl Recovery<'_> {
    /// Writes the entries in one transaction, and signs the new generation's first checkpoint.
    ///
    /// A crash before the COMMIT leaves the ledger as it was. After it, the same call finds the
    /// succession and signs the checkpoint again.
    pub fn write(&self, store: &Store, _lock: &Lock) -> Result<Recovered, StoreError> {
        let have = store.size()?;
        let (lost_from, lost_to) = match self.done_before(store)? {
            Some(done) => done,
            None => self.fill(store, have)?,
        };
        let size = store.size()?;
        let origin = self.new.public().name().to_owned();
        let head = TreeHead { origin, size, root: root(store, size)? };
        let checkpoint = Checkpoint::sign(&head, self.new, self.now);
        let checkpoint = checkpoint.map_err(|why| StoreError(why.to_string()))?;
        Ok(Recovered { lost_from, lost_to, checkpoint })
    }

    /// The lost range, if the ledger ends with this very succession.
    fn done_before(&self, store: &Store) -> Result<Option<(u64, u64)>, StoreError> {
        let mut done = None;
        store.each_back(|row| {
            let is = row.leaf.parse::<Leaf>().is_ok_and(|leaf| leaf.kind == Kind::Succession);
            let facts = row.facts.filter(|_| is);
            let facts = facts.and_then(|facts| serde_json::from_slice::<Succession>(&facts).ok());
            let vkey = self.new.public().to_string();
            done = facts.filter(|facts| facts.new_vkey == vkey).map(|f| (f.lost_from, f.lost_to));
            false
        })?;
        Ok(done)
    }

    fn fill(&self, store: &Store, have: u64) -> Result<(u64, u64), StoreError> {
        let to = self.seen.max(have);
        if to - have > MOST {
            return Err(StoreError(format!("{} lost entries: is the number right?", to - have)));
        }
        let succession = Succession {
            old_origin: self.old.name().to_owned(),
            old_checkpoint: self.old_checkpoint.clone(),
            new_vkey: self.new.public().to_string(),
            lost_from: have,
            lost_to: to,
            reason: self.reason.to_owned(),
        };
        let mut offline = Offline::begin(store, self.node, self.now)?;
        for index in have..to {
            offline.append(Kind::Lost, &Lost { serial: index.saturating_add(1) })?;
        }
        offline.append(Kind::Succession, &succession)?;
        offline.commit()?;
        Ok((have, to))
    }
}

/// Entries that an operator's command writes while nobody serves the ledger: all of them or none. The
/// signer hears of them at the next start.
pub struct Offline<'a> {
    store: &'a Store,
    edge: Edge,
    before: u64,
    node: &'a str,
    now: UnixTime,
}

impl<'a> Offline<'a> {
    /// Begins. Whoever calls holds the ledger's [`Lock`].
    pub fn begin(store: &'a Store, node: &'a str, now: UnixTime) -> Result<Self, StoreError> {
        let before = store.size()?;
        let edge = Edge::load(store, before)?;
        store.begin()?;
        Ok(Self { store, edge, before, node, now })
    }

    /// Adds one entry; its index.
    pub fn append<B: serde::Serialize>(&mut self, kind: Kind, body: &B) -> Result<u64, StoreError> {
        let mut salt = [0; 16];
        rand::rng().fill_bytes(&mut salt);
        let facts = facts::write(kind, salt, self.now, self.node, body);
        let facts = facts.ok_or_else(|| StoreError("facts of more than 64 KiB".to_owned()))?;
        let leaf = Leaf::other(kind, &facts);
        let index = self.edge.size();
        self.store.insert(index, &leaf, None, &facts)?;
        self.edge.append(leaf.hash());
        Ok(index)
    }

    /// Makes them durable. Dropped without it, none of them exists.
    pub fn commit(self) -> Result<(), StoreError> {
        for tile in self.edge.filled_since(self.before) {
            self.store.insert_tile(&tile)?;
        }
        self.store.commit().map_err(|why| match why {
            NotCommitted::Known(why) => why,
            NotCommitted::Unknown(StoreError(why)) => {
                StoreError(format!("{why}; run the same command again: it finds what was written"))
            }
        })
    }
}

impl Drop for Offline<'_> {
    fn drop(&mut self) {
        // After a commit there is nothing to take back.
        if let Err(why) = self.store.rollback() {
            tracing::error!(%why, "entries could not be taken back");
        }
    }
}
