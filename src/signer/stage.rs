//! The second stage of the pipeline: it takes each committed batch, has its checkpoint cosigned and its
//! certificates signed, checks what comes back, and answers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};

use super::client::{Batch, Failure, Peer, Pending, Shared, Signer, converse, lock};
use super::protocol::{self, Answer, Entry, Hello, Refusal};
use crate::fault_point;
use crate::ledger::checkpoint::{Checkpoint, TreeHead};
use crate::ledger::fault::answer;
use crate::ledger::record::Fault;
use crate::ledger::store::Store;
use crate::ledger::tree::{Hash, consistency, grew, hash_of, root};

/// The stage's thread.
pub(super) struct Stage {
    pub(super) signer: Signer,
    pub(super) reader: Store,
    pub(super) checkpoint_file: PathBuf,
    pub(super) shared: Arc<Shared>,
    /// The newest checkpoint that came through the queue.
    pub(super) newest: Option<Checkpoint>,
    /// The size of the last head that the signer cosigned.
    pub(super) shown: Option<u64>,
    pub(super) peer: Option<Peer>,
}

impl Stage {
    pub(super) fn run(mut self, queue: &Receiver<Batch>) {
        while let Some(batch) = self.next(queue) {
            self.attend(batch, queue);
        }
    }

    /// The next batch; `None` when the writer has ended.
    fn next(&self, queue: &Receiver<Batch>) -> Option<Batch> {
        // Read before the queue is looked at: what the queue held when this one found no room is then
        // taken first. The other way round a thread that sleeps between the two would show this one
        // before it.
        let unqueued = lock(&self.shared.unqueued).clone();
        match queue.try_recv() {
            Ok(batch) => return Some(batch),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {}
        }
        let retry = lock(&self.shared.down).as_ref().map(Failure::retry);
        let newest = unqueued.into_iter().chain(self.newest.clone());
        match (newest.max_by_key(|checkpoint| checkpoint.head.size), retry) {
            // Nobody asks: look whether the signer is back, and bring its mark up to date.
            (Some(newest), Some(retry)) => match queue.recv_timeout(retry) {
                Err(RecvTimeoutError::Timeout) => Some(Batch::without_entries(newest)),
                batch => batch.ok(),
            },
            (Some(newest), None) if self.shown < Some(newest.head.size) => {
                Some(Batch::without_entries(newest))
            }
            (_, _) => queue.recv().ok(),
        }
    }

    /// One batch, to its end: every certificate in it is answered for.
    fn attend(&mut self, batch: Batch, queue: &Receiver<Batch>) {
        let Batch { from, consistency, checkpoint, pending } = batch;
        self.newest = Some(checkpoint.clone());
        let (entries, waiting): (Vec<Entry>, Vec<_>) = pending
            .into_iter()
            .map(|Pending { recorded, inclusion, reply }| {
                let entry = Entry {
                    index: recorded.index(),
                    inclusion,
                    tbs: recorded.tbs().to_vec(),
                    facts: recorded.facts().to_vec(),
                };
                (entry, (recorded, reply))
            })
            .unzip();
        let was_up = lock(&self.shared.down).is_none();
        let failure = match self.ask(from, consistency, &checkpoint, entries) {
            Ok((cosigned, results)) if results.len() == waiting.len() => {
                if !was_up {
                    tracing::info!(size = cosigned.head.size, "the signer is back");
                }
                *lock(&self.shared.down) = None;
                self.shown = Some(cosigned.head.size);
                self.publish(&cosigned);
                for ((recorded, reply), result) in waiting.into_iter().zip(results) {
                    let certificate = result.map_err(Fault::SignerRefused).and_then(|blob| {
                        let refused = |why: &dyn ToString| Fault::SignerRefused(why.to_string());
                        fault_point::around(fault_point::RECEIVE, || {
                            recorded.signed(blob, &cosigned).map_err(io::Error::other)
                        })
                        .map_err(|why| refused(&why))
                    });
                    answer(reply, certificate);
                }
                return;
            }
            Ok(_) => Failure::Away("it answered for another batch".to_owned()),
            Err(failure) => failure,
        };
        self.peer = None;
        if was_up || !waiting.is_empty() {
            tracing::error!(why = %failure.say(), waiting = waiting.len(), "the signer did not sign");
        }
        *lock(&self.shared.down) = Some(failure.clone());
        for (_, reply) in waiting {
            answer(reply, Err(failure.fault()));
        }
        // What queued up behind it would only wait as long again for the same answer.
        for batch in queue.try_iter() {
            self.newest = Some(batch.checkpoint);
            batch.pending.into_iter().for_each(|one| answer(one.reply, Err(failure.fault())));
        }
    }

    fn ask(
        &mut self,
        from: u64,
        consistency: Option<Vec<Hash>>,
        checkpoint: &Checkpoint,
        entries: Vec<Entry>,
    ) -> Result<(Checkpoint, Vec<protocol::Signed>), Failure> {
        let head = &checkpoint.head;
        let text = checkpoint.as_str().to_owned();
        let mut batch = protocol::Batch { checkpoint: text, consistency: Vec::new(), entries };
        loop {
            let (mut peer, kept) = match self.peer.take() {
                Some(peer) => (peer, true),
                None => (self.signer.connect()?, false),
            };
            batch.consistency = self.growth(&peer.mark, from, consistency.as_deref(), head)?;
            let asked =
                fault_point::around(fault_point::ASK, || converse(&peer.stream, &batch.encode()));
            let answer = match asked {
                // A signer that was started again since the last batch is asked anew, once. What it
                // signed before it ended, its mark and list keep it from signing a second time.
                Err(why) if kept && has_ended(&why) => continue,
                answer => answer.map_err(|why| Failure::Away(why.to_string()))?,
            };
            match answer {
                Answer::Signed { cosignature, results } => {
                    let away = |why: &dyn ToString| Failure::Away(why.to_string());
                    let cosigned = checkpoint.with(&cosignature).map_err(|why| away(&why))?;
                    cosigned.check_cosigned(&self.signer.vkey).map_err(|why| away(&why))?;
                    peer.mark.size = head.size;
                    peer.mark.root = head.root;
                    self.peer = Some(peer);
                    return Ok((cosigned, results));
                }
                Answer::Refused(refusal @ (Refusal::Behind | Refusal::Forked)) => {
                    return Err(Failure::Lost(refusal));
                }
                Answer::Refused(refusal) => return Err(Failure::Away(refusal.to_string())),
                Answer::Mark(_) => {
                    return Err(Failure::Away("it answered another question".to_owned()));
                }
            }
        }
    }

    /// The proof that the ledger only grew since the signer's mark.
    fn growth(
        &self,
        mark: &Hello,
        from: u64,
        consistency: Option<&[Hash]>,
        head: &TreeHead,
    ) -> Result<Vec<Hash>, Failure> {
        if mark.size > head.size {
            return Err(Failure::Lost(Refusal::Behind));
        }
        // In the ordinary case the signer saw the batch before this one, and the writer's proof fits.
        let proof = match consistency {
            Some(proof) if mark.size == from => proof.to_vec(),
            _ => self.prove(mark, head.size)?,
        };
        if grew(mark.size, mark.root, head.size, head.root, &proof) {
            Ok(proof)
        } else {
            Err(Failure::Lost(Refusal::Forked))
        }
    }

    /// The proof from an older mark: read from rows and tiles.
    fn prove(&self, mark: &Hello, size: u64) -> Result<Vec<Hash>, Failure> {
        let read = |why: crate::ledger::store::StoreError| Failure::Away(why.to_string());
        if root(&self.reader, mark.size).map_err(read)? != mark.root {
            return Err(Failure::Lost(Refusal::Forked));
        }
        consistency(mark.size, size)
            .into_iter()
            .map(|leaves| hash_of(&self.reader, leaves).map_err(read))
            .collect()
    }

    /// Keeps the newest cosigned checkpoint where `ledger export` and auditors find it. Not durable:
    /// each batch brings the next, and a start the first.
    fn publish(&self, cosigned: &Checkpoint) {
        let replaced = fault_point::around(fault_point::PUBLISH, || {
            replace(&self.checkpoint_file, cosigned.as_str().as_bytes())
        });
        if let Err(why) = replaced {
            tracing::error!(%why, "the checkpoint file cannot be written");
        }
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    io::Write::write_all(&mut file, bytes)?;
    std::fs::rename(new, path)
}

/// Whether the process at the other end is gone, rather than slow.
fn has_ended(why: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(why.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}
