//! The ledger's one writer: it takes what is queued as a batch, commits it, signs the checkpoint of
//! what was committed, and hands the batch on to the signer. It never sees the batch again.
//!
//! What a restart finds:
//! - before COMMIT: nothing of the batch, and nobody was answered;
//! - after COMMIT, before the signer's mark: entries that nobody holds. The mark moves up at start;
//!   those certificates stay unsigned;
//! - after the signer's mark: perhaps signatures that nobody received. The same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;

use super::checkpoint::{Checkpoint, TreeHead};
use super::edge::Edge;
use super::fault::{Fault, Reply, answer};
use super::leaf::{Kind, Leaf};
use super::note::NoteKey;
use super::record::{Committed, Fold, Guard};
use super::recorded::{Certificate, Recorded};
use super::reserve::Reserve;
use super::store::{NotCommitted, Store, StoreError};
use super::tree::{Hash, Leaves, Nodes, consistency, hash_of, inclusion, root};
use crate::certificate::draft::Unsigned;
use crate::certificate::lint::{Flaw, Keys};
use crate::certificate::time::UnixTime;
use crate::fault_point;
use crate::outside::clock::Clock;
use crate::signer::client::{Batch, Pending, Pipeline};
use crate::signer::protocol::MAX_BATCH;

/// What the writer is asked to record.
pub(super) enum Submission {
    /// A grant and the certificate under it, then a signature.
    Issue(Box<Unsigned>, Reply<Certificate>),
    /// Entries that nobody signs: all of them, or none.
    Append(Vec<(Kind, Vec<u8>)>, Reply<u64>),
    /// Nothing: whoever asks wants to see that the writer gets to it.
    Ping(oneshot::Sender<()>),
}

/// The one writer.
pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) edge: Edge,
    pub(super) key: NoteKey,
    pub(super) keys: Keys,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) fold: Fold,
    pub(super) guard: Guard,
    pub(super) signer: Pipeline,
    pub(super) reserve: Option<Reserve>,
    /// Whether the reserve was whole when this batch began.
    pub(super) room: Arc<AtomicBool>,
}

impl Writer {
    /// Records until nobody is left who could submit; gives the store back.
    pub(super) fn run(mut self, submissions: &Receiver<Submission>) -> Store {
        // The first batch is empty: the signer's mark moves up to what a crash left behind.
        self.hand_on(self.edge.size(), Vec::new());
        while let Ok(first) = submissions.recv() {
            // No timer: an idle queue waits for nobody, a busy one fills while the last batch commits.
            let mut bytes = first.bytes();
            let mut batch = vec![first];
            // What may stand against a certificate ends its batch: what comes behind it is held against it.
            while batch.len() < BATCH
                && bytes < BATCH_BYTES
                && !batch.last().is_some_and(Submission::bars)
            {
                let Ok(next) = submissions.try_recv() else { break };
                bytes += next.bytes();
                batch.push(next);
            }
            self.record(batch);
        }
        self.store
    }

    /// Records one batch: all of it is durable when its checkpoint is signed, or none of it exists.
    fn record(&mut self, batch: Vec<Submission>) {
        let room = self.reserve.as_mut().is_none_or(Reserve::tend);
        self.room.store(room, Ordering::Relaxed);
        let old = self.edge.size();
        let mut made = Vec::with_capacity(batch.len());
        let mut told: Vec<(u64, Kind, Vec<u8>)> = Vec::with_capacity(batch.len());
        let written = self.write(batch, &mut made, &mut told);
        if let Err(why) = written {
            // COMMIT was not reached.
            self.take_back(old, made, &why);
            return;
        }
        if made.is_empty() {
            // Every entry failed alone and was answered.
            if let Err(why) = self.store.rollback() {
                tracing::error!(%why, "an empty batch could not be rolled back");
            }
            return;
        }

        // One COMMIT for the batch. Where it is not known whether the entries are durable the process
        // ends: only a new start, which reads them back, can tell.
        match self.store.commit() {
            Ok(()) => {}
            Err(NotCommitted::Known(why)) => {
                self.take_back(old, made, &why);
                return;
            }
            Err(NotCommitted::Unknown(why)) => {
                tracing::error!(%why, "COMMIT failed: the process ends, the next start reads what is durable");
                std::process::exit(70);
            }
        }
        self.edge.prune();
        for (index, kind, facts) in &told {
            (self.fold)(Committed { index: *index, kind: *kind, facts });
        }
        self.hand_on(old, made);
    }

    /// Nothing of the batch is durable: it never was.
    fn take_back(&mut self, old: u64, made: Vec<Made>, why: &StoreError) {
        self.edge.truncate(old);
        let gone = self.store.rollback();
        tracing::error!(%why, rolled_back = gone.is_ok(), "a batch could not be written");
        for one in made {
            one.fail(why);
        }
    }

    fn write(
        &mut self,
        batch: Vec<Submission>,
        made: &mut Vec<Made>,
        told: &mut Vec<(u64, Kind, Vec<u8>)>,
    ) -> Result<(), StoreError> {
        let old = self.edge.size();
        let mut batch = batch.into_iter();
        let mut failed = self.store.begin();
        for submission in batch.by_ref() {
            if let Err(why) = &failed {
                submission.fail(Fault::Store(StoreError(why.0.clone())));
                continue;
            }
            failed = self.enter(submission, made, told);
        }
        failed?;
        for tile in self.edge.filled_since(old) {
            self.store.insert_tile(&tile)?;
        }
        Ok(())
    }

    /// Writes one submission's entries within a savepoint. What is wrong with the submission fails it
    /// alone; what is wrong with the store fails the batch.
    fn enter(
        &mut self,
        submission: Submission,
        made: &mut Vec<Made>,
        told: &mut Vec<(u64, Kind, Vec<u8>)>,
    ) -> Result<(), StoreError> {
        let first = self.edge.size();
        let failed = |why: &StoreError| Fault::Store(StoreError(why.0.clone()));
        match submission {
            Submission::Ping(reply) => drop(reply.send(())),
            Submission::Append(entries, reply) => {
                for (kind, facts) in entries {
                    let (index, leaf) = (self.edge.size(), Leaf::other(kind, &facts));
                    if let Err(why) = self.store.insert(index, &leaf, None, &facts) {
                        answer(reply, Err(failed(&why)));
                        return Err(why);
                    }
                    self.edge.append(leaf.hash());
                    told.push((index, kind, facts));
                }
                made.push(Made::Other(first, reply));
            }
            Submission::Issue(unsigned, reply) => {
                if !self.room.load(Ordering::Relaxed) {
                    answer(reply, Err(Fault::Full));
                    return Ok(());
                }
                // Known to be away: what nobody can sign is not recorded.
                if let Some(fault) = self.signer.fault() {
                    answer(reply, Err(fault));
                    return Ok(());
                }
                // INVARIANT: every lock and every end that is committed is folded by now, and none is in
                // this batch before this entry.
                if let Some(bar) = (self.guard)(unsigned.facts()) {
                    answer(reply, Err(Fault::Barred(bar)));
                    return Ok(());
                }
                let grant = unsigned
                    .grant_facts()
                    .map(|facts| (Leaf::other(Kind::Grant, facts), facts.to_vec()));
                match self.enter_certificate(*unsigned, grant.as_ref(), first) {
                    Ok(Ok(recorded)) => {
                        if let Some((leaf, facts)) = grant {
                            self.edge.append(leaf.hash());
                            told.push((first, Kind::Grant, facts));
                        }
                        self.edge.append(recorded.leaf().hash());
                        told.push((recorded.index(), Kind::Certificate, recorded.facts().to_vec()));
                        made.push(Made::Certificate(Box::new(recorded), reply));
                    }
                    Ok(Err(flaw)) => answer(reply, Err(Fault::Flaw(flaw))),
                    Err(why) => {
                        answer(reply, Err(failed(&why)));
                        return Err(why);
                    }
                }
            }
        }
        Ok(())
    }

    /// A grant, if it has no leaf yet, and its certificate in one savepoint: both or neither.
    fn enter_certificate(
        &self,
        unsigned: Unsigned,
        grant: Option<&(Leaf, Vec<u8>)>,
        first: u64,
    ) -> Result<Result<Recorded, Flaw>, StoreError> {
        self.store.begin_entry()?;
        if let Some((leaf, facts)) = grant {
            self.store.insert(first, leaf, None, facts)?;
        }
        match Recorded::number(unsigned, first + u64::from(grant.is_some()), &self.keys) {
            Ok(recorded) => {
                self.store.insert(
                    recorded.index(),
                    recorded.leaf(),
                    Some(recorded.tbs()),
                    recorded.facts(),
                )?;
                self.store.keep_entry()?;
                Ok(Ok(recorded))
            }
            Err(flaw) => {
                self.store.drop_entry()?;
                Ok(Err(flaw))
            }
        }
    }

    /// Signs the checkpoint of what is committed, and hands the batch to the signer's stage.
    fn hand_on(&self, old: u64, made: Vec<Made>) {
        let size = self.edge.size();
        let now: UnixTime = self.clock.now();
        let signed = fault_point::around(fault_point::CHECKPOINT, || {
            let root = root(self, size)?;
            let head = TreeHead { origin: self.key.public().name().to_owned(), size, root };
            Checkpoint::sign(&head, &self.key, now).map_err(|why| StoreError(why.to_string()))
        });
        let checkpoint = match signed {
            Ok(checkpoint) => checkpoint,
            Err(why) => {
                tracing::error!(%why, "no checkpoint: the process ends");
                std::process::exit(70);
            }
        };
        let prove = |path: Vec<Leaves>| {
            path.into_iter().map(|leaves| hash_of(self, leaves)).collect::<Result<Vec<Hash>, _>>()
        };
        let mut pending = Vec::new();
        for one in made {
            match one {
                Made::Other(index, reply) => answer(reply, Ok(index)),
                Made::Certificate(recorded, reply) => {
                    match prove(inclusion(recorded.index(), size)) {
                        Ok(inclusion) => {
                            pending.push(Pending { recorded: *recorded, inclusion, reply })
                        }
                        Err(why) => answer(reply, Err(Fault::Store(why))),
                    }
                }
            }
        }
        // Without this proof the stage makes its own, from what is stored.
        let consistency = prove(consistency(old, size)).ok();
        // A full pipeline holds the writer: then entries gather into the next, larger batch.
        let batch = Batch { from: old, consistency, checkpoint, pending };
        let handed_on = fault_point::around(fault_point::HAND_ON, || {
            self.signer.hand_on(batch).map_err(|_| std::io::Error::other("the stage has ended"))
        });
        if handed_on.is_err() {
            tracing::error!("the signer's stage has ended: the process ends");
            std::process::exit(70);
        }
    }
}

/// The edge in memory; what it does not keep is in the store.
impl Nodes for Writer {
    type Error = StoreError;
    fn node(&self, level: u32, index: u64) -> Result<Hash, StoreError> {
        self.edge.node(level, index).or_else(|_| self.store.node(level, index))
    }
}

impl Submission {
    /// Whether the guard may look at it: a lock, or the end of a grant.
    fn bars(&self) -> bool {
        let bars = |(kind, _): &(Kind, Vec<u8>)| matches!(kind, Kind::Lock | Kind::End);
        matches!(self, Self::Append(all, _) if all.iter().any(bars))
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Issue(unsigned, _) => unsigned.len() + 1024,
            Self::Append(entries, _) => entries.iter().map(|(_, facts)| facts.len()).sum(),
            Self::Ping(_) => 0,
        }
    }

    pub(super) fn fail(self, fault: Fault) {
        match self {
            Self::Issue(_, reply) => answer(reply, Err(fault)),
            Self::Append(_, reply) => answer(reply, Err(fault)),
            Self::Ping(reply) => drop(reply.send(())),
        }
    }
}

/// An entry within the open transaction, not yet answered for.
enum Made {
    Certificate(Box<Recorded>, Reply<Certificate>),
    Other(u64, Reply<u64>),
}

impl Made {
    fn fail(self, why: &StoreError) {
        let fault = Fault::Store(StoreError(why.0.clone()));
        match self {
            Self::Certificate(_, reply) => answer(reply, Err(fault)),
            Self::Other(_, reply) => answer(reply, Err(fault)),
        }
    }
}

/// The most submissions in a batch. A certificate brings its grant, so this is 256 leaves: one tile.
const BATCH: usize = MAX_BATCH / 2;

/// The most bytes of facts and certificates in a batch; a frame to the signer holds twice as much.
const BATCH_BYTES: usize = 3 * 1024 * 1024;
