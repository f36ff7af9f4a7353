//! The daemon's end of the signer: the second stage of the pipeline. It takes each committed batch,
//! has its checkpoint cosigned and its certificates signed, checks what comes back, and answers.

use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::protocol::{self, Answer, Entry, Hello, Question, Refusal, receive, send};
use crate::fault_point;
use crate::ledger::checkpoint::{Checkpoint, TreeHead};
use crate::ledger::fault::{OrEnd, answer};
use crate::ledger::note::VerifierKey;
use crate::ledger::record::Fault;
use crate::ledger::recorded::{Certificate, Recorded};
use crate::ledger::store::Store;
use crate::ledger::tree::{Hash, consistency, grew, hash_of, root};

/// How long the signer may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait before a signer that is away is looked for again.
const RETRY: Duration = Duration::from_millis(500);

/// How many batches may wait for the signer while the writer commits the next.
const PIPELINE: usize = 2;

/// A committed batch on its way to the signer.
pub struct Batch {
    /// The tree's size before it.
    pub from: u64,
    /// The proof of growth since then, if the writer could make it.
    pub consistency: Option<Vec<Hash>>,
    /// The checkpoint with the ledger's signature.
    pub checkpoint: Checkpoint,
    /// What is to be signed.
    pub pending: Vec<Pending>,
}

/// A recorded certificate and who waits for it.
pub struct Pending {
    /// The record.
    pub recorded: Recorded,
    /// Its inclusion proof.
    pub inclusion: Vec<Hash>,
    /// Where the certificate goes.
    pub reply: oneshot::Sender<Result<Certificate, Fault>>,
}

/// The signer as the daemon knows it.
pub struct Signer {
    socket: PathBuf,
    vkey: VerifierKey,
    user_ca: Vec<u8>,
    bare_ca: Vec<u8>,
    patience: Duration,
}

impl Signer {
    /// The signer behind a socket; its keys must be these.
    pub fn new(socket: PathBuf, vkey: VerifierKey, user_ca: Vec<u8>, bare_ca: Vec<u8>) -> Self {
        Self { socket, vkey, user_ca, bare_ca, patience: PATIENCE }
    }

    /// With another patience, for a test that does not have the time.
    #[cfg(test)]
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Asks the signer who it is, and waits for the answer.
    pub fn greet(&self) -> Result<(), String> {
        self.connect().map(drop).map_err(|failure| failure.say())
    }

    fn connect(&self) -> Result<Peer, Failure> {
        let say = |why: io::Error| Failure::Away(format!("{}: {why}", self.socket.display()));
        let stream = UnixStream::connect(&self.socket).map_err(say)?;
        stream
            .set_read_timeout(Some(self.patience))
            .and_then(|()| stream.set_write_timeout(Some(self.patience)))
            .map_err(say)?;
        let mark = match converse(&stream, &Question::Hello.encode()).map_err(say)? {
            Answer::Mark(mark) => mark,
            Answer::Signed { .. } | Answer::Refused(_) => {
                return Err(Failure::Away("it did not say hello".to_owned()));
            }
        };
        let expected = (self.vkey.to_string(), &self.user_ca, &self.bare_ca);
        if (mark.vkey.clone(), &mark.user_ca, &mark.bare_ca) != expected {
            return Err(Failure::Away(
                "it holds other keys than keys/*.pub and keys/signer.vkey say".to_owned(),
            ));
        }
        Ok(Peer { stream, mark })
    }

    /// Starts the stage; it ends when the pipeline is dropped. `reader` reads the ledger beside the
    /// writer, `checkpoint` is the file of the newest cosigned checkpoint.
    pub fn start(
        self,
        reader: Store,
        checkpoint: PathBuf,
    ) -> io::Result<(Pipeline, JoinHandle<()>)> {
        let (batches, queue) = mpsc::sync_channel(PIPELINE);
        let shared = Arc::new(Shared::default());
        let stage = Stage {
            signer: self,
            reader,
            checkpoint_file: checkpoint,
            shared: Arc::clone(&shared),
            newest: None,
            shown: None,
            peer: None,
        };
        let run = move || {
            let _end = OrEnd("signer");
            stage.run(&queue);
        };
        let running = std::thread::Builder::new().name("signer".to_owned()).spawn(run)?;
        Ok((Pipeline { batches, shared }, running))
    }
}

/// The writer's end of the stage.
pub struct Pipeline {
    batches: SyncSender<Batch>,
    shared: Arc<Shared>,
}

/// What writer and stage both know.
#[derive(Default)]
struct Shared {
    /// Why the signer did not sign when it was last asked; `None` while it does.
    down: Mutex<Option<Failure>>,
    /// The newest checkpoint that found no room in the queue.
    ///
    /// INVARIANT: never one whose certificates are still to come, or the signer would see it first and
    /// take them for passed over.
    unqueued: Mutex<Option<Checkpoint>>,
}

/// The stage has ended.
#[derive(Debug)]
pub struct Ended;

/// Whether the signer signs.
#[derive(Clone)]
pub struct Standing(Arc<Shared>);

impl Standing {
    /// The fault of every certificate as long as it does not; `None` while it does.
    pub fn fault(&self) -> Option<Fault> {
        lock(&self.0.down).as_ref().map(Failure::fault)
    }
}

impl Pipeline {
    /// The fault of every certificate as long as the signer does not sign; `None` while it does.
    pub fn fault(&self) -> Option<Fault> {
        lock(&self.shared.down).as_ref().map(Failure::fault)
    }

    /// The same, for others who want to know.
    pub fn standing(&self) -> Standing {
        Standing(Arc::clone(&self.shared))
    }

    /// Hands a committed batch on, and waits where too many are on their way.
    ///
    /// A batch in which nobody waits for a signature waits for nobody either: a signer that hangs must
    /// not keep a lock from being recorded. If it finds no room its checkpoint is shown later.
    pub fn hand_on(&self, batch: Batch) -> Result<(), Ended> {
        if !batch.pending.is_empty() {
            return self.batches.send(batch).map_err(|_| Ended);
        }
        match self.batches.try_send(batch) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(batch)) => {
                *lock(&self.shared.unqueued) = Some(batch.checkpoint);
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) => Err(Ended),
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is changed in two steps under these locks, so a panic leaves nothing half done.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Peer {
    stream: UnixStream,
    mark: Hello,
}

struct Stage {
    signer: Signer,
    reader: Store,
    checkpoint_file: PathBuf,
    shared: Arc<Shared>,
    /// The newest checkpoint that came through the queue.
    newest: Option<Checkpoint>,
    /// The size of the last head that the signer cosigned.
    shown: Option<u64>,
    peer: Option<Peer>,
}

impl Stage {
    fn run(mut self, queue: &Receiver<Batch>) {
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

impl Batch {
    /// A checkpoint to be cosigned and nothing to be signed.
    fn without_entries(checkpoint: Checkpoint) -> Self {
        let from = checkpoint.head.size;
        Self { from, consistency: None, checkpoint, pending: Vec::new() }
    }
}

/// Whether the process at the other end is gone, rather than slow.
fn has_ended(why: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(why.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn converse(stream: &UnixStream, question: &[u8]) -> io::Result<Answer> {
    // A timeout of the socket reads as "resource temporarily unavailable", which helps nobody.
    let slow = |why: io::Error| match why.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "it does not answer"),
        _ => why,
    };
    send(stream, question).map_err(slow)?;
    let payload = receive(BufReader::with_capacity(64 * 1024, stream)).map_err(slow)?;
    let payload = payload.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    Answer::decode(&payload)
        .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why.to_string()))
}

/// Why a batch was not signed.
#[derive(Clone)]
enum Failure {
    /// Away, broken, or out of order: try again.
    Away(String),
    /// The ledger is not the one the signer has seen: an operator's decision is needed.
    Lost(Refusal),
}

impl Failure {
    /// How long to wait before the signer is looked for again. A lost ledger does not come back by
    /// itself.
    fn retry(&self) -> Duration {
        match self {
            Self::Away(_) => RETRY,
            Self::Lost(_) => 10 * RETRY,
        }
    }

    fn say(&self) -> String {
        match self {
            Self::Away(why) => why.clone(),
            Self::Lost(refusal) => format!(
                "{refusal}: a restored or lost disk; see hallpass ledger recover --accept-loss --reason TEXT"
            ),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Away(_) => Fault::SignerAway(self.say()),
            Self::Lost(_) => Fault::LedgerLost(self.say()),
        }
    }
}
