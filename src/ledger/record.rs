//! The ledger as the desk sees it: what is submitted is recorded by the one [writer](super::writer), and
//! answered when it is durable, a certificate when it is signed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::edge::Edge;
use super::facts;
pub use super::fault::{Bar, Fault};
use super::fault::{OrEnd, Reply};
use super::leaf::Kind;
use super::note::NoteKey;
use super::recorded::Certificate;
use super::reserve::Reserve;
use super::store::{Lock, Store, StoreError};
use super::writer::{Submission, Writer};
use crate::certificate::draft::Unsigned;
use crate::certificate::lint::Keys;
use crate::outside::clock::Clock;
use crate::signer::client::{Signer, Standing};

/// An entry that was committed, for the fold.
#[derive(Debug, Clone, Copy)]
pub struct Committed<'a> {
    /// Its index.
    pub index: u64,
    /// Its kind.
    pub kind: Kind,
    /// Its facts.
    pub facts: &'a [u8],
}

/// What is told of each committed entry, in order.
pub type Fold = Box<dyn FnMut(Committed<'_>) + Send>;

/// What stands against a certificate at the last moment, from its facts: a lock on whom or what it is
/// for, or the end of its grant.
pub type Guard = Box<dyn Fn(&[u8]) -> Option<Bar> + Send>;

/// The ledger, as the desk sees it. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    queue: SyncSender<Submission>,
    signer: Standing,
    /// Whether there was room on the disk when the last batch began.
    room: Arc<AtomicBool>,
}

/// What the writer needs.
pub struct Setup {
    /// The right to write to it.
    pub lock: Lock,
    /// The database.
    pub database: PathBuf,
    /// Room set aside on its disk; a test has none.
    pub reserve: Option<Reserve>,
    /// Where the newest cosigned checkpoint is kept for readers.
    pub checkpoint: PathBuf,
    /// The ledger's key; its name is the origin.
    pub key: NoteKey,
    /// The CA's keys, for the lint.
    pub keys: Keys,
    /// The signer.
    pub signer: Signer,
    /// The clock for checkpoints.
    pub clock: Arc<dyn Clock>,
    /// Asked of each certificate within the batch that records it, when everything before is folded.
    pub guard: Guard,
}

/// How many submissions may wait. More are a fault at once rather than later.
const QUEUE: usize = 4096;

impl Ledger {
    /// Opens the ledger and starts the writer and the signer's stage. The thread ends, and the
    /// database is closed, once every handle of the ledger is gone.
    ///
    /// The ledger must exist; `hallpass init` makes it, once.
    pub fn open(setup: Setup, fold: Fold) -> Result<(Self, JoinHandle<()>), Fault> {
        let store = Store::open(&setup.database).map_err(Fault::Store)?;
        let size = store.size().map_err(Fault::Store)?;
        let edge = Edge::load(&store, size).map_err(Fault::Store)?;
        let reader = Store::open_to_read(&setup.database).map_err(Fault::Store)?;
        let threads = |why: std::io::Error| Fault::Store(StoreError(format!("no thread: {why}")));
        let (queue, submissions) = mpsc::sync_channel(QUEUE);
        let (signer, stage) = setup.signer.start(reader, setup.checkpoint).map_err(threads)?;
        let Setup { lock, key, keys, clock, reserve, guard, .. } = setup;
        let room = Arc::new(AtomicBool::new(reserve.as_ref().is_none_or(Reserve::is_whole)));
        let ledger = Self { queue, signer: signer.standing(), room: Arc::clone(&room) };
        let writer = Writer { store, edge, key, keys, clock, fold, guard, signer, reserve, room };
        let run = move || {
            let _end = OrEnd("ledger");
            let store = writer.run(&submissions);
            // What is queued is signed; a panic there has ended the process.
            drop(stage.join());
            // The last connection to go brings the write-ahead log back into the database.
            drop(store);
            drop(lock);
        };
        let running =
            std::thread::Builder::new().name("ledger".to_owned()).spawn(run).map_err(threads)?;
        Ok((ledger, running))
    }

    /// The fault of every certificate at this moment; `None` while certificates are issued.
    pub fn fault(&self) -> Option<Fault> {
        if !self.room.load(Ordering::Relaxed) {
            return Some(Fault::Full);
        }
        self.signer.fault()
    }

    /// Records a grant with its certificate and has the certificate signed.
    pub async fn issue(&self, unsigned: Unsigned) -> Result<Certificate, Fault> {
        let (reply, answer) = oneshot::channel();
        self.submit(Submission::Issue(Box::new(unsigned), reply))?;
        answer.await.map_err(|_| Fault::Ending)?
    }

    /// Records several certificates, each of which can fail alone, and has them signed. All are submitted
    /// before the first is waited for.
    pub async fn issue_all(&self, all: Vec<Unsigned>) -> Vec<Result<Certificate, Fault>> {
        let mut answers = Vec::with_capacity(all.len());
        for unsigned in all {
            let (reply, answer) = oneshot::channel();
            answers
                .push(self.submit(Submission::Issue(Box::new(unsigned), reply)).map(|()| answer));
        }
        let mut certificates = Vec::with_capacity(answers.len());
        for answer in answers {
            certificates.push(match answer {
                Ok(answer) => answer.await.unwrap_or(Err(Fault::Ending)),
                Err(fault) => Err(fault),
            });
        }
        certificates
    }

    /// Records an entry that nobody signs; its index when it is durable.
    pub async fn append(&self, kind: Kind, facts: Vec<u8>) -> Result<u64, Fault> {
        self.append_all(vec![(kind, facts)]).await
    }

    /// Records entries that nobody signs, all of them or none; the first one's index when they are durable.
    pub async fn append_all(&self, entries: Vec<(Kind, Vec<u8>)>) -> Result<u64, Fault> {
        let (reply, answer) = oneshot::channel();
        self.submit_entries(entries, reply)?;
        answer.await.map_err(|_| Fault::Ending)?
    }

    /// Records an entry without waiting for it.
    pub fn append_later(&self, kind: Kind, facts: Vec<u8>) -> Result<(), Fault> {
        self.submit_entries(vec![(kind, facts)], oneshot::channel().0)
    }

    /// What would stand in the ledger for ever, and no verifier would take, does not get there.
    fn submit_entries(
        &self,
        entries: Vec<(Kind, Vec<u8>)>,
        reply: Reply<u64>,
    ) -> Result<(), Fault> {
        let bug = |what: &str| Err(Fault::Store(StoreError(what.to_owned())));
        if entries.iter().any(|(kind, _)| *kind == Kind::Certificate) {
            return bug("a certificate is issued, not appended");
        }
        if entries.iter().any(|(_, facts)| facts.len() > facts::MAX) {
            return bug("facts of more than 64 KiB");
        }
        self.submit(Submission::Append(entries, reply))
    }

    /// Returns when the writer has taken its turn: it lives, whatever its disk does. A writer that
    /// waits for a signer that hangs takes it up to half a minute later.
    pub async fn ping(&self) -> Result<(), Fault> {
        let (reply, answer) = oneshot::channel();
        self.submit(Submission::Ping(reply))?;
        answer.await.map_err(|_| Fault::Ending)
    }

    fn submit(&self, submission: Submission) -> Result<(), Fault> {
        self.queue.try_send(submission).map_err(|full| match full {
            mpsc::TrySendError::Full(_) => {
                Fault::Store(StoreError("too much waits to be recorded".to_owned()))
            }
            mpsc::TrySendError::Disconnected(_) => Fault::Ending,
        })
    }
}
