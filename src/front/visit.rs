//! What is known about one connection: shared by its socket, its session and the listener.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use russh::Disconnect;
use ssh_key::public::KeyData;
use tokio::sync::{Notify, watch};

use super::identity::{Proof, Refused};
use super::penalties::Fault;
use super::wire::Phase;
use crate::certificate::fingerprint;
use crate::certificate::safe::Safe;

/// Why we end a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The daemon stops.
    Restart,
    /// More requests to log in than one connection may make.
    Offers,
    /// More attempts to prove an enrolled key than one connection may make.
    Proofs,
    /// A command on a channel that was never opened, or before anything was proved.
    Protocol,
    /// The key that was proved is no longer this person's.
    KeyGone,
    /// The connection served as many commands as one may.
    Served,
    /// It sent more than anybody has to say.
    Flood,
    /// The person has as many connections as one may.
    Crowd,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// By itself.
    Itself(Result<(), russh::Error>),
    /// By us.
    By(Ending),
    /// By us, without a word: its place was needed.
    Evicted,
}

impl Ending {
    /// What the peer is told; `ssh` prints it.
    pub(super) fn disconnect(self) -> (Disconnect, &'static str) {
        match self {
            Self::Restart => {
                (Disconnect::ByApplication, "hallpass is restarting; run the same command again")
            }
            Self::Offers => (
                Disconnect::NoMoreAuthMethodsAvailable,
                "too many keys were offered; name one with -o IdentitiesOnly=yes -i FILE",
            ),
            Self::Proofs => {
                (Disconnect::NoMoreAuthMethodsAvailable, "too many attempts to prove a key")
            }
            Self::Protocol => (Disconnect::ProtocolError, "no such channel is open"),
            Self::KeyGone => (
                Disconnect::ByApplication,
                "this key no longer belongs to the person who logged in",
            ),
            Self::Served => {
                (Disconnect::ByApplication, "this connection served enough commands; connect again")
            }
            Self::Flood => (Disconnect::ProtocolError, "this connection sent too much"),
            Self::Crowd => (
                Disconnect::TooManyConnections,
                "you have too many connections open; close one and try again",
            ),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Visit {
    /// The peer's address.
    pub(super) source: SocketAddr,
    /// What the socket needs to know.
    pub(super) phase: Phase,
    since: Instant,
    /// Person and key fingerprint, once logged in.
    who: OnceLock<(String, String)>,
    /// Fingerprint of the last key that was refused, and why; `-` for other methods.
    refused: Mutex<Option<(String, Refused)>>,
    commands: AtomicU32,
    /// How many answers are on their way.
    answers: watch::Sender<u32>,
    stopped: watch::Receiver<bool>,
    ending: OnceLock<Ending>,
    ended: Notify,
}

impl Visit {
    /// A connection that was just accepted.
    pub(super) fn new(source: SocketAddr, stopped: watch::Receiver<bool>) -> Self {
        Self {
            source,
            phase: Phase::default(),
            since: Instant::now(),
            who: OnceLock::new(),
            refused: Mutex::new(None),
            commands: AtomicU32::new(0),
            answers: watch::Sender::new(0),
            stopped,
            ending: OnceLock::new(),
            ended: Notify::new(),
        }
    }

    /// The peer logged in with what it proved.
    pub(super) fn logged_in(&self, proof: &Proof) {
        if let Proof::Key { person, key, .. } = proof {
            self.who.get_or_init(|| (person.to_string(), fingerprint(key)));
            self.phase.talking();
        }
    }

    /// A key, or another method, was refused.
    pub(super) fn refused(&self, key: Option<&KeyData>, why: Refused) {
        let key = key.map_or_else(|| "-".to_owned(), fingerprint);
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some((key, why));
    }

    /// A command begins.
    pub(super) fn commanded(&self) {
        self.commands.fetch_add(1, Ordering::Relaxed);
        self.phase.answering();
    }

    /// Asks the listener to end this connection. The first reason stays.
    pub(super) fn end(&self, ending: Ending) {
        self.ending.get_or_init(|| ending);
        self.ended.notify_one();
    }

    /// Resolves when [`Self::end`] was called. For one waiter.
    pub(super) async fn ending(&self) -> Ending {
        loop {
            if let Some(ending) = self.ending.get() {
                return *ending;
            }
            self.ended.notified().await;
        }
    }

    /// Whether a connection that read so many bytes may go on to read. Only the SSH library sees
    /// messages; what can be counted outside of it is bytes. A login of 32 large keys and their
    /// certificates takes 200 kB; afterwards a command takes a few hundred bytes.
    pub(super) fn may_read(&self, read: u64) -> bool {
        if self.who.get().is_none() {
            return read <= BEFORE_LOGIN;
        }
        let commands = u64::from(self.commands.load(Ordering::Relaxed));
        let seconds = self.since.elapsed().as_secs();
        read <= AFTER_LOGIN + commands * FOR_A_COMMAND + seconds * FOR_A_SECOND
    }

    /// An answer is on its way until the value is dropped.
    pub(super) fn answering(self: Arc<Self>) -> Answering {
        self.answers.send_modify(|answers| *answers += 1);
        Answering(self)
    }

    /// Resolves when no answer is on its way, with whether one was.
    pub(super) async fn answered(&self) -> bool {
        let mut answers = self.answers.subscribe();
        let some = *answers.borrow_and_update() > 0;
        // An error would mean that the sender is gone, which is ours.
        answers.wait_for(|answers| *answers == 0).await.map(drop).ok();
        some
    }

    /// Resolves when the daemon stops.
    pub(super) async fn stopped(&self) {
        // An error means that there is no daemon any more.
        self.stopped.clone().wait_for(|stopped| *stopped).await.map(drop).ok();
    }

    /// What its source is to pay for. Nothing after a login.
    pub(super) fn fault(&self, end: &End) -> Option<Fault> {
        if self.who.get().is_some() {
            return None;
        }
        match end {
            End::By(Ending::Restart) => return None,
            End::By(Ending::Flood | Ending::Protocol) => return Some(Fault::Broken),
            End::Itself(Err(russh::Error::IO(error))) if error.kind() == ErrorKind::TimedOut => {
                return Some(Fault::Late);
            }
            End::Itself(Err(error)) if !left(error) => return Some(Fault::Broken),
            End::By(_) | End::Itself(_) | End::Evicted => {}
        }
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        Some(if refused.is_some() { Fault::Refused } else { Fault::Nothing })
    }

    /// The line in the journal.
    pub(super) fn over(&self, end: &End) {
        match end {
            End::Itself(Ok(())) => self.journal("the client left"),
            End::Itself(Err(error)) if left(error) => self.journal("the client left"),
            End::Itself(Err(russh::Error::KeepaliveTimeout | russh::Error::InactivityTimeout)) => {
                self.journal("it did not answer any more");
            }
            // Some of these texts hold words of the peer's: the journal escapes them.
            End::Itself(Err(error)) => self.journal(&error.to_string()),
            End::By(ending) => self.journal(ending.disconnect().1),
            End::Evicted => self.journal("its place was needed"),
        }
    }

    fn journal(&self, why: &str) {
        let (person, key) = self.who.get().map_or(("-", "-"), |(who, key)| (who, key));
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (refused_key, refused) = match refused {
            Some((key, why)) => (key, why.to_string()),
            None => ("-".to_owned(), "-".to_owned()),
        };
        tracing::info!(
            source = %self.source,
            person,
            key,
            commands = self.commands.load(Ordering::Relaxed),
            seconds = self.since.elapsed().as_secs(),
            refused_key,
            refused,
            // Some of these texts hold words of the peer's, or a thousand: `Safe` is for both.
            why = %Safe(why),
            "connection ended"
        );
    }
}

/// Whether that is how a connection ends when the peer goes away.
fn left(error: &russh::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    match error {
        russh::Error::IO(error) => {
            matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
        }
        russh::Error::Disconnect | russh::Error::HUP => true,
        _ => false,
    }
}

/// See [`Visit::answering`].
pub(super) struct Answering(Arc<Visit>);

impl Answering {
    /// The connection.
    pub(super) fn visit(&self) -> &Visit {
        &self.0
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answers.send_modify(|answers| *answers -= 1);
    }
}

/// What a connection may send before it is logged in.
const BEFORE_LOGIN: u64 = 256 << 10;

/// What it may send in all once it is, beside the following.
const AFTER_LOGIN: u64 = 8 << 20;

/// What it may send for each command.
const FOR_A_COMMAND: u64 = 64 << 10;

/// What it may send for each second: answers to keepalives, over weeks.
const FOR_A_SECOND: u64 = 1 << 10;
