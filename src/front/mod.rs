//! The SSH door. It finds out who is asking and carries words in and answers out; it decides nothing.
//!
//! - [`Listener`] accepts connections within bounds and ends them: at the login deadline, at a
//!   restart, when a connection asked for too much.
//! - `wire` is a connection's socket, `visit` what is known about the connection.
//! - [`identity`] says who was proved; pure.
//! - `session` turns the SSH library's callbacks into calls of [`Commands`], `channels` is its book
//!   of what is open, `answer` the way back.
//! - [`counter`] is where the door meets the desk: [`verbs`] reads words, [`reply`] has the voice.
//! - `places` bounds how many connections there are.
//!
//! SSH is russh's, and what it offers is chosen in `protocol`: key exchange and ciphers without a
//! known weakness, public keys as the only method, session channels as the only channels.

mod answer;
mod channels;
pub mod counter;
pub mod identity;
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
mod wire;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::server;
use ssh_key::PrivateKey;
use ssh_key::public::KeyData;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::places::{Bounds, Place, Places};
use self::session::Session;
use self::visit::{Ending, Visit};
use self::wire::Wire;
use crate::certificate::names::PersonName;

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The most connections at a time.
    pub max_connections: usize,
    /// The most of them that have not logged in.
    pub max_unauthenticated: usize,
    /// The most of them that one person may have.
    pub max_per_person: usize,
    /// Acknowledge the client's packets at once until its command runs. Without it one login in
    /// four loses 40 ms; off only to measure that.
    pub quickack: bool,
}

impl Config {
    /// The defaults: 20 s to log in, 1024 connections, 128 of them before login.
    pub fn new(listen: Vec<SocketAddr>, host_key: PrivateKey) -> Self {
        Self {
            listen,
            host_key,
            login_deadline: Duration::from_secs(20),
            max_connections: 1024,
            max_unauthenticated: 128,
            max_per_person: 64,
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
            sockets.push(TcpListener::bind(address).await?);
        }
        let addresses = sockets.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        Ok(Self { sockets, addresses, config })
    }

    /// Where it listens, with the ports that were given for 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `stop` resolves, then closes the sockets, tells every peer that it may try
    /// again, and returns when they are gone, after three seconds at most. Commands that still run
    /// are not waited for.
    pub async fn run<D: Commands>(self, desk: Arc<D>, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let places = Places::new(Bounds {
            connections: self.config.max_connections,
            strangers: self.config.max_unauthenticated,
            person: self.config.max_per_person,
        });
        let doorman = Arc::new(Doorman {
            desk,
            protocol: Arc::new(protocol::protocol(&self.config)),
            places: places.clone(),
            stopped,
            login_deadline: self.config.login_deadline,
            quickack: self.config.quickack,
        });
        let mut loops = JoinSet::new();
        for socket in self.sockets {
            loops.spawn(doorman.clone().accept(socket));
        }
        stop.await;
        stopping.send(true).ok();
        timeout(Ending::Restart.grace() + Duration::from_secs(1), async {
            while loops.join_next().await.is_some() {}
            places.empty().await;
        })
        .await
        .ok();
    }
}

/// How long to wait after `accept` failed: mostly for file descriptors, which others must close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections and ends them.
struct Doorman<D> {
    desk: Arc<D>,
    protocol: Arc<server::Config>,
    places: Places,
    stopped: watch::Receiver<bool>,
    login_deadline: Duration,
    quickack: bool,
}

impl<D: Commands> Doorman<D> {
    /// Accepts until told to stop. An error of `accept` is never a reason to end.
    async fn accept(self: Arc<Self>, socket: TcpListener) {
        let mut stopped = self.stopped.clone();
        // One line a second about each trouble: a flood must not become one in the journal.
        let (mut away, mut told, mut failed) = (0u64, None, None);
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, source)) => {
                    let visit = Arc::new(Visit::new(source));
                    match self.places.take(&visit) {
                        Some(place) => drop(tokio::spawn(self.clone().serve(socket, visit, place))),
                        None => {
                            away += 1;
                            if due(&mut told) {
                                tracing::warn!(%source, away, "turned away: all places are taken");
                                away = 0;
                            }
                        }
                    }
                }
                Err(error) => {
                    if due(&mut failed) {
                        tracing::warn!(%error, "could not accept a connection");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// One connection from its first byte to its line in the journal.
    async fn serve(self: Arc<Self>, socket: TcpStream, visit: Arc<Visit>, place: Place) {
        socket.set_nodelay(true).ok();
        let (knife, cut) = oneshot::channel();
        let wire = Wire::new(socket, visit.clone(), self.login_deadline, self.quickack, cut);
        let session = Session::new(self.desk.clone(), visit.clone(), place);
        let mut stopped = self.stopped.clone();

        let running = tokio::select! {
            running = server::run_stream(self.protocol.clone(), wire, session) => running,
            ending = visit.ending() => return visit.over_by(ending),
            _ = stopped.wait_for(|stop| *stop) => return visit.over_by(Ending::Restart),
        };
        let mut running = match running {
            Ok(running) => running,
            Err(error) => return visit.over(&Err(error)),
        };
        let handle = running.handle();
        let ending = tokio::select! {
            done = &mut running => return visit.over(&done),
            ending = visit.ending() => ending,
            _ = stopped.wait_for(|stop| *stop) => Ending::Restart,
        };
        let goodbye = async {
            let (reason, text) = ending.disconnect();
            handle.disconnect(reason, text.to_owned(), "en".to_owned()).await.ok();
            (&mut running).await.ok();
        };
        timeout(ending.grace(), goodbye).await.ok();
        // Dropping `running` would leave the session alive: the wire's end is what ends it.
        drop(knife);
        visit.over_by(ending);
    }
}

/// Whether a second has passed since this last said yes.
fn due(last: &mut Option<Instant>) -> bool {
    let due = last.is_none_or(|last| last.elapsed() >= Duration::from_secs(1));
    if due {
        *last = Some(Instant::now());
    }
    due
}
