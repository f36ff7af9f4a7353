//! The SSH door. It finds out who is asking and carries words in and answers out; it decides nothing.
//!
//! - [`Listener`] binds; its `doorman` accepts connections within bounds and ends them: at the login
//!   deadline, at a restart, when a connection asked for too much or its place is needed.
//! - `wire` is a connection's socket, `visit` what is known about the connection.
//! - [`identity`] says who was proved; pure.
//! - `session` turns the SSH library's callbacks into calls of [`Commands`], `channels` is its book
//!   of what is open, `answer` the way back.
//! - [`counter`] is where the door meets the desk: [`verbs`] reads words, [`reply`] has the voice.
//! - [`control`] is the other way in, for operators on the CA's machine: a Unix socket.
//! - `places` bounds how many connections there are and whose, `penalties` keeps out who fails too
//!   often, [`descriptors`] leaves files for everybody else.
//!
//! SSH is russh's, and what it offers is chosen in `protocol`: key exchange and ciphers without a
//! known weakness, public keys as the only method, session channels as the only channels.

mod answer;
pub mod audit;
mod channels;
pub mod client;
pub mod control;
pub mod counter;
mod deliver;
pub mod descriptors;
mod doorman;
pub mod identity;
mod penalties;
mod places;
mod protocol;
pub mod reply;
mod session;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod tests;
pub mod verbs;
mod visit;
pub mod webhook;
mod wire;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ssh_key::PrivateKey;
use ssh_key::public::KeyData;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::doorman::{ANSWERS, Doorman, GRACE};
use crate::certificate::names::PersonName;
use crate::config::ca::Limits;
use crate::desk::delivery::Forwarded;

/// What stands behind the door.
pub trait Commands: Send + Sync + 'static {
    /// Whose key this is at this moment; `None` for a key nobody enrolled, or that was taken away.
    ///
    /// Called for every key that is offered, before anything is proved, again for the proof and
    /// again for each command: cheap, without I/O, and it must not say who asked.
    fn owner(&self, key: &KeyData) -> Option<PersonName>;

    /// Runs one command to its end. Never fails: a fault is a [`Reply`] too.
    ///
    /// Runs in a task of its own, which a peer that hangs up does not stop; a panic in it becomes
    /// a fault for the peer. Whether `caller.person` still owns the key is to be looked up again
    /// where it counts: some time may have passed since the door did.
    fn run(
        self: Arc<Self>,
        caller: Caller,
        command: Command,
    ) -> impl Future<Output = Reply> + Send + 'static;
}

/// Who asks, as proved.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The owner of the key.
    pub person: PersonName,
    /// The key that was proved on this connection.
    pub key: KeyData,
    /// The SSH user name, at most 64 bytes without control characters: what somebody typed, or
    /// the laptop's. It proves nothing.
    pub user: String,
    /// Where the connection comes from.
    pub source: SocketAddr,
    /// The agent that is forwarded on the connection, if one is.
    pub agent: Option<Arc<Forwarded>>,
    /// What the client sent as `HALLPASS_TICKET` with this command: somebody's words.
    pub ticket: Option<String>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// No words: `ssh ca`.
    Status,
    /// The words after the host as they came, at most 4096 bytes in no particular encoding. The
    /// client joined them with spaces and nobody has unquoted them.
    Words(Vec<u8>),
}

impl Command {
    /// The words, none for the status.
    fn words(&self) -> &[u8] {
        match self {
            Self::Status => &[],
            Self::Words(words) => words,
        }
    }
}

/// What is answered: standard output, then standard error, then the exit status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// The artefact.
    pub stdout: Vec<u8>,
    /// Text for people, in whole lines. On a terminal each LF becomes CR LF, in both outputs.
    pub stderr: String,
    /// The exit status `ssh` ends with.
    pub status: u32,
}

/// How the door is set up. No `Debug`: it holds the host key.
#[derive(Clone)]
pub struct Config {
    /// Where to listen; port 0 is any free port.
    pub listen: Vec<SocketAddr>,
    /// The host key, Ed25519.
    pub host_key: PrivateKey,
    /// A connection that has not logged in after this time is closed, whatever it is doing.
    pub login_deadline: Duration,
    /// A client that is logged in and says nothing for so long is asked whether it is still there; one
    /// that has not answered three times is gone.
    pub keepalive: Duration,
    /// How many connections there may be, and whose.
    pub limits: Limits,
    /// Acknowledge the client's packets at once until its command runs. Without it one login in
    /// four loses 40 ms; off only to measure that.
    pub quickack: bool,
}

impl Config {
    /// The defaults: 20 s to log in, 20 s until a silent client is asked, and those of [`Limits`].
    pub fn new(listen: Vec<SocketAddr>, host_key: PrivateKey) -> Self {
        Self {
            listen,
            host_key,
            login_deadline: Duration::from_secs(20),
            keepalive: Duration::from_secs(20),
            limits: Limits::default(),
            quickack: true,
        }
    }
}

/// The bound sockets; nothing is accepted before [`Self::run`].
pub struct Listener {
    sockets: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    config: Config,
}

impl Listener {
    /// Binds every address.
    ///
    /// # Errors
    /// An address that cannot be bound, or `InvalidInput` for a host key that is not Ed25519, is
    /// encrypted, or for no address at all.
    pub async fn bind(config: Config) -> io::Result<Self> {
        if config.host_key.key_data().ed25519().is_none() || config.listen.is_empty() {
            let why = "the door needs an address and an unencrypted ed25519 host key";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let mut sockets = Vec::new();
        for address in &config.listen {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4(),
                SocketAddr::V6(_) => TcpSocket::new_v6(),
            }?;
            // Not to wait for the last connections of the daemon before.
            socket.set_reuseaddr(true)?;
            socket.bind(*address)?;
            sockets.push(socket.listen(BACKLOG)?);
        }
        let addresses = sockets.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        Ok(Self { sockets, addresses, config })
    }

    /// Where it listens, with the ports that were given for 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `stop` resolves, then closes the sockets, waits two seconds for answers that are
    /// on their way, tells every peer that it may try again, and returns when they are gone, after
    /// five seconds at most. Commands that still run are not waited for.
    pub async fn run<D: Commands>(self, desk: Arc<D>, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let doorman = Arc::new(Doorman::new(desk, &self.config, stopped));
        let mut loops = JoinSet::new();
        for socket in self.sockets {
            loops.spawn(doorman.clone().accept(socket));
        }
        stop.await;
        stopping.send(true).ok();
        timeout(ANSWERS + GRACE + Duration::from_secs(1), async {
            while loops.join_next().await.is_some() {}
            doorman.alone().await;
        })
        .await
        .ok();
    }
}

/// How many connections the kernel holds until they are accepted, if it may hold so many
/// (`net.core.somaxconn`). With 128, as is usual, a storm fills it while others have the processor,
/// and a person's first packet is dropped, which costs a second.
const BACKLOG: u32 = 4096;
