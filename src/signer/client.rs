//! The daemon's end of the signer: how it is reached, how committed batches are put into the pipeline
//! whose second stage it is, and whether it signs. The work is done in `stage`.

use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::protocol::{Answer, Hello, Question, Refusal, receive, send};
use super::stage::Stage;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::fault::OrEnd;
use crate::ledger::note::VerifierKey;
use crate::ledger::record::Fault;
use crate::ledger::recorded::{Certificate, Recorded};
use crate::ledger::store::Store;
use crate::ledger::tree::Hash;

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
    pub(super) vkey: VerifierKey,
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

    pub(super) fn connect(&self) -> Result<Peer, Failure> {
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
pub(super) struct Shared {
    /// Why the signer did not sign when it was last asked; `None` while it does.
    pub(super) down: Mutex<Option<Failure>>,
    /// The newest checkpoint that found no room in the queue.
    ///
    /// INVARIANT: never one whose certificates are still to come, or the signer would see it first and
    /// take them for passed over.
    pub(super) unqueued: Mutex<Option<Checkpoint>>,
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

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is changed in two steps under these locks, so a panic leaves nothing half done.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Peer {
    pub(super) stream: UnixStream,
    pub(super) mark: Hello,
}

impl Batch {
    /// A checkpoint to be cosigned and nothing to be signed.
    pub(super) fn without_entries(checkpoint: Checkpoint) -> Self {
        let from = checkpoint.head.size;
        Self { from, consistency: None, checkpoint, pending: Vec::new() }
    }
}

pub(super) fn converse(stream: &UnixStream, question: &[u8]) -> io::Result<Answer> {
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
pub(super) enum Failure {
    /// Away, broken, or out of order: try again.
    Away(String),
    /// The ledger is not the one the signer has seen: an operator's decision is needed.
    Lost(Refusal),
}

impl Failure {
    /// How long to wait before the signer is looked for again. A lost ledger does not come back by
    /// itself.
    pub(super) fn retry(&self) -> Duration {
        match self {
            Self::Away(_) => RETRY,
            Self::Lost(_) => 10 * RETRY,
        }
    }

    pub(super) fn say(&self) -> String {
        match self {
            Self::Away(why) => why.clone(),
            Self::Lost(refusal) => format!(
                "{refusal}: a restored or lost disk; see hallpass ledger recover --accept-loss --reason TEXT"
            ),
        }
    }

    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Away(_) => Fault::SignerAway(self.say()),
            Self::Lost(_) => Fault::LedgerLost(self.say()),
        }
    }
}
