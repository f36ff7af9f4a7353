//! The daemon's end of the signer: the second stage of the pipeline. It takes each committed batch,
//! has its checkpoint cosigned and its certificates signed, checks what comes back, and answers.

use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::protocol::{self, Answer, Entry, Hello, Question, Refusal, receive, send};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::VerifierKey;
use crate::ledger::record::{Fault, answer};
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
    /// The proof of growth since then, where the writer had it at hand.
    pub consistency: Option<Vec<Hash>>,
    /// The checkpoint with the ledger's signature.
    pub checkpoint: Checkpoint,
    /// What is to be signed.
    pub pending: Vec<Pending>,
}

impl Batch {
    /// Nothing to sign: the signer is to see the checkpoint.
    fn empty(checkpoint: Checkpoint) -> Self {
        Self { from: checkpoint.head.size, consistency: None, checkpoint, pending: Vec::new() }
    }
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

/// What keeps the signer from signing, as the last attempt found it. Read by the writer, so that what
/// nobody can sign is not recorded.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Option<Failure>>>);

impl Health {
    /// The fault that a certificate would end in now.
    pub fn fault(&self) -> Option<Fault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Failure::fault)
    }

    /// Notes how the last attempt ended; gives what was noted before.
    fn note(&self, failure: Option<Failure>) -> Option<Failure> {
        std::mem::replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), failure)
    }
}

/// The signer as the daemon knows it.
pub struct Signer {
    socket: PathBuf,
    vkey: VerifierKey,
    user_ca: Vec<u8>,
    bare_ca: Vec<u8>,
    health: Health,
}

impl Signer {
    /// The signer behind a socket; its keys must be these.
    pub fn new(socket: PathBuf, vkey: VerifierKey, user_ca: Vec<u8>, bare_ca: Vec<u8>) -> Self {
        Self { socket, vkey, user_ca, bare_ca, health: Health::default() }
    }

    /// What keeps the signer from signing, if anything does.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Starts the stage; it ends when the way in is dropped. `reader` reads the ledger beside the
    /// writer, `checkpoint` is the file of the newest cosigned checkpoint.
    pub fn start(
        self,
        reader: Store,
        checkpoint: PathBuf,
    ) -> io::Result<(Entrance, JoinHandle<()>)> {
        let (batches, queue) = mpsc::sync_channel(PIPELINE);
        let unqueued = Unqueued::default();
        let entrance = Entrance { batches, unqueued: Arc::clone(&unqueued) };
        let stage = Stage {
            signer: self,
            reader,
            checkpoint_file: checkpoint,
            unqueued,
            newest: None,
            peer: None,
        };
        let run = move || stage.run(&queue);
        let running = std::thread::Builder::new().name("signer".to_owned()).spawn(run)?;
        Ok((entrance, running))
    }
}

/// The newest checkpoint that found no place in the queue.
///
/// INVARIANT: never one whose certificates are still queued, or the signer would see it first and
/// take them for passed over.
type Unqueued = Arc<Mutex<Option<Checkpoint>>>;

/// The way into the stage.
pub struct Entrance {
    batches: SyncSender<Batch>,
    unqueued: Unqueued,
}

/// The stage has ended: it panicked.
#[derive(Debug)]
pub struct Ended;

impl Entrance {
    /// Hands a batch on. Certificates wait for their turn; a batch without any does not wait: where
    /// there is no place for it, its checkpoint alone is kept, and the signer hears of it when it can.
    pub fn send(&self, batch: Batch) -> Result<(), Ended> {
        if !batch.pending.is_empty() {
            return self.batches.send(batch).map_err(|_| Ended);
        }
        match self.batches.try_send(batch) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(batch)) => {
                let mut unqueued = self.unqueued.lock().unwrap_or_else(PoisonError::into_inner);
                *unqueued = Some(batch.checkpoint);
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) => Err(Ended),
        }
    }
}

struct Peer {
    stream: UnixStream,
    mark: Hello,
}

struct Stage {
    signer: Signer,
    reader: Store,
    checkpoint_file: PathBuf,
    unqueued: Unqueued,
    /// The newest checkpoint the signer was asked about.
    newest: Option<Checkpoint>,
    peer: Option<Peer>,
}

impl Stage {
    fn run(mut self, queue: &Receiver<Batch>) {
        loop {
            // A signer that is away is looked for now and then, whether anybody asks or not; and a
            // checkpoint that found no place in the queue is brought to it.
            let batch = if self.signer.health.fault().is_some() {
                queue.recv_timeout(RETRY)
            } else if self.unheard().is_some() {
                queue.recv_timeout(Duration::ZERO)
            } else {
                queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match batch {
                Ok(batch) => self.attend(batch),
                Err(RecvTimeoutError::Timeout) => {
                    let newest = self.unheard().or_else(|| self.newest.clone());
                    newest.into_iter().for_each(|checkpoint| self.attend(Batch::empty(checkpoint)));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.unheard().into_iter().for_each(|last| self.attend(Batch::empty(last)));
                    return;
                }
            }
        }
    }

    /// A checkpoint that found no place in the queue, if the signer was asked about no newer one.
    fn unheard(&self) -> Option<Checkpoint> {
        let asked = self.newest.as_ref().map_or(0, |checkpoint| checkpoint.head.size);
        let unqueued = self.unqueued.lock().unwrap_or_else(PoisonError::into_inner);
        unqueued.as_ref().filter(|checkpoint| checkpoint.head.size > asked).cloned()
    }

    /// One batch, to its end: every certificate in it is answered for.
    fn attend(&mut self, batch: Batch) {
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
        let question = protocol::Batch {
            checkpoint: checkpoint.as_str().to_owned(),
            consistency: Vec::new(),
            entries,
        };
        match self.ask(from, consistency, question, &checkpoint) {
            Ok((cosigned, results)) => {
                if self.signer.health.note(None).is_some() {
                    tracing::info!(size = cosigned.head.size, "the signer is back");
                }
                self.publish(&cosigned);
                for ((recorded, reply), result) in waiting.into_iter().zip(results) {
                    let certificate = result.map_err(Fault::SignerRefused).and_then(|blob| {
                        recorded.signed(blob).map_err(|why| Fault::SignerRefused(why.to_string()))
                    });
                    answer(reply, certificate);
                }
            }
            Err(failure) => {
                let before = self.signer.health.note(Some(failure.clone()));
                if before.is_none() || !waiting.is_empty() {
                    tracing::error!(why = %failure.say(), waiting = waiting.len(), "the signer did not sign");
                }
                for (_, reply) in waiting {
                    answer(reply, Err(failure.fault()));
                }
            }
        }
    }

    /// The cosigned checkpoint, and one result for each entry.
    ///
    /// A connection that broke (the signer was started again) is made anew, once: what it did not
    /// sign it signs then, and what it did sign it does not sign again.
    fn ask(
        &mut self,
        from: u64,
        ready: Option<Vec<Hash>>,
        mut batch: protocol::Batch,
        checkpoint: &Checkpoint,
    ) -> Result<(Checkpoint, Vec<protocol::Signed>), Failure> {
        if let Some(peer) = self.peer.take() {
            match self.ask_peer(peer, from, ready.as_deref(), &mut batch, checkpoint) {
                Err(Failure::Away(why)) => tracing::warn!(%why, "the signer is asked again"),
                done => return done,
            }
        }
        let peer = self.connect()?;
        self.ask_peer(peer, from, ready.as_deref(), &mut batch, checkpoint)
    }

    fn ask_peer(
        &mut self,
        mut peer: Peer,
        from: u64,
        ready: Option<&[Hash]>,
        batch: &mut protocol::Batch,
        checkpoint: &Checkpoint,
    ) -> Result<(Checkpoint, Vec<protocol::Signed>), Failure> {
        let away = |why: &dyn std::fmt::Display| Failure::Away(why.to_string());
        let (head, mark) = (&checkpoint.head, &peer.mark);
        if mark.size > head.size {
            return Err(Failure::Lost(Refusal::Behind));
        }
        // In the ordinary case the signer saw the batch before this one, and the writer's proof fits.
        batch.consistency = match ready {
            Some(ready) if mark.size == from => ready.to_vec(),
            _ => self.prove(mark, head.size)?,
        };
        if !grew(mark.size, mark.root, head.size, head.root, &batch.consistency) {
            return Err(Failure::Lost(Refusal::Forked));
        }
        match converse(&peer.stream, &batch.encode()).map_err(|why| away(&why))? {
            Answer::Signed { cosignature, results } if results.len() == batch.entries.len() => {
                let cosigned = checkpoint.with(&cosignature).map_err(|why| away(&why))?;
                cosigned.check_cosigned(&self.signer.vkey).map_err(|why| away(&why))?;
                peer.mark.size = head.size;
                peer.mark.root = head.root;
                self.peer = Some(peer);
                Ok((cosigned, results))
            }
            Answer::Refused(refusal @ (Refusal::Behind | Refusal::Forked)) => {
                Err(Failure::Lost(refusal))
            }
            Answer::Refused(refusal) => Err(away(&refusal)),
            Answer::Mark(_) | Answer::Signed { .. } => Err(away(&"it answered another question")),
        }
    }

    fn connect(&self) -> Result<Peer, Failure> {
        let say =
            |why: io::Error| Failure::Away(format!("{}: {why}", self.signer.socket.display()));
        let stream = UnixStream::connect(&self.signer.socket).map_err(say)?;
        stream
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
            .map_err(say)?;
        let mark = match converse(&stream, &Question::Hello.encode()).map_err(say)? {
            Answer::Mark(mark) => mark,
            Answer::Signed { .. } | Answer::Refused(_) => {
                return Err(Failure::Away("it did not say hello".to_owned()));
            }
        };
        let expected = (self.signer.vkey.to_string(), &self.signer.user_ca, &self.signer.bare_ca);
        if (mark.vkey.clone(), &mark.user_ca, &mark.bare_ca) != expected {
            return Err(Failure::Away(
                "it holds other keys than keys/*.pub and keys/signer.vkey say".to_owned(),
            ));
        }
        Ok(Peer { stream, mark })
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
        if let Err(why) = replace(&self.checkpoint_file, cosigned.as_str().as_bytes()) {
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

fn converse(stream: &UnixStream, question: &[u8]) -> io::Result<Answer> {
    send(stream, question)?;
    let payload = receive(BufReader::with_capacity(64 * 1024, stream))?;
    let payload = payload.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    Answer::decode(&payload)
        .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why.to_string()))
}

/// Why a batch was not signed.
#[derive(Debug, Clone)]
enum Failure {
    /// Away, broken, or out of order: try again.
    Away(String),
    /// The ledger is not the one the signer has seen: an operator's decision is needed.
    Lost(Refusal),
}

impl Failure {
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
