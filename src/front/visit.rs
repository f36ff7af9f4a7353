//! What is known about one connection: shared by its socket, its session and the listener.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use russh::Disconnect;
use ssh_key::public::KeyData;
use tokio::sync::Notify;

use super::identity::{Proof, Refused};
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
    /// The person has as many connections as one may.
    Many,
    /// All places are taken, and this one, of a peer that has not logged in, goes to another.
    Crowded,
}

impl Ending {
    /// What the peer is told; `ssh` prints it.
    pub(super) fn disconnect(self) -> (Disconnect, &'static str) {
        match self {
            Self::Restart => (Disconnect::ByApplication, "server is restarting; retry"),
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
            Self::Many => (
                Disconnect::TooManyConnections,
                "you have as many connections here as one may; close one first",
            ),
            Self::Crowded => {
                (Disconnect::TooManyConnections, "too many connections at once; try again")
            }
        }
    }

    /// How long the peer has to go by itself once it was told to: little where the connections
    /// themselves are the trouble.
    pub(super) fn grace(self) -> Duration {
        match self {
            Self::Crowded => Duration::ZERO,
            Self::Many => Duration::from_millis(500),
            Self::Restart
            | Self::Offers
            | Self::Proofs
            | Self::Protocol
            | Self::KeyGone
            | Self::Served => Duration::from_secs(2),
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
    ending: OnceLock<Ending>,
    ended: Notify,
}

impl AsRef<Phase> for std::sync::Arc<Visit> {
    fn as_ref(&self) -> &Phase {
        &self.phase
    }
}

impl Visit {
    /// A connection that was just accepted.
    pub(super) fn new(source: SocketAddr) -> Self {
        Self {
            source,
            phase: Phase::default(),
            since: Instant::now(),
            who: OnceLock::new(),
            refused: Mutex::new(None),
            commands: AtomicU32::new(0),
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

    /// Why [`Self::end`] was called, if it was.
    #[cfg(test)]
    pub(super) fn ended(&self) -> Option<Ending> {
        self.ending.get().copied()
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

    /// The line in the journal for a connection that ended by itself.
    pub(super) fn over(&self, done: &Result<(), russh::Error>) {
        match done {
            Ok(()) => self.journal("the client left"),
            Err(russh::Error::IO(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                self.journal("the client left");
            }
            // Some of these texts hold words of the peer's, or a thousand: `Safe` is for both.
            Err(error) => self.journal(&error.to_string()),
        }
    }

    /// The line in the journal for a connection that we ended.
    pub(super) fn over_by(&self, ending: Ending) {
        self.journal(ending.disconnect().1);
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
            why = %Safe(why),
            "connection ended"
        );
    }
}
