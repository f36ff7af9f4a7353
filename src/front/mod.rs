//! The SSH door. It finds out who is asking and carries words in and answers out; it decides nothing.
//!
//! - [`Listener`] accepts connections within bounds and ends them: at the login deadline, at a
//!   restart, when a connection asked for too much.
//! - `wire` is a connection's socket, `visit` what is known about the connection.
//! - [`identity`] says who was proved; pure.
//! - `session` turns the SSH library's callbacks into calls of [`Commands`], `channels` is its book
//!   of what is open, `answer` the way back.
//! - [`counter`] is where the door meets the desk: [`verbs`] reads words, [`reply`] has the voice.
//! - `places` bounds how many connections there are and whose, `penalties` keeps out who fails too
//!   often, [`descriptors`] leaves files for everybody else.
//!
//! SSH is russh's, and what it offers is chosen in `protocol`: key exchange and ciphers without a
//! known weakness, public keys as the only method, session channels as the only channels.

mod answer;
mod channels;
pub mod counter;
pub mod descriptors;
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
mod wire;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use russh::server;
use ssh_key::PrivateKey;
use ssh_key::public::KeyData;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::penalties::Penalties;
use self::places::{Evicted, Place, Places};
use self::session::Session;
use self::visit::{End, Ending, Visit};
use self::wire::Wire;
use crate::certificate::names::PersonName;
use crate::config::ca::Limits;

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
    /// How many connections there may be, and whose.
    pub limits: Limits,
    /// Acknowledge the client's packets at once until its command runs. Without it one login in
    /// four loses 40 ms; off only to measure that.
    pub quickack: bool,
}

impl Config {
    /// The defaults: 20 s to log in, and those of [`Limits`].
    pub fn new(listen: Vec<SocketAddr>, host_key: PrivateKey) -> Self {
        Self {
            listen,
            host_key,
            login_deadline: Duration::from_secs(20),
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
            sockets.push(TcpListener::bind(address).await?);
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
        let places = Places::new(self.config.limits.clone());
        let doorman = Arc::new(Doorman {
            desk,
            protocol: Arc::new(protocol::protocol(&self.config)),
            places: places.clone(),
            penalties: Penalties::new(self.config.limits.clone()),
            troubles: Mutex::default(),
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
        timeout(ANSWERS + GRACE + Duration::from_secs(1), async {
            while loops.join_next().await.is_some() {}
            places.empty().await;
        })
        .await
        .ok();
    }
}

/// How long a peer has to go by itself once it was told to.
const GRACE: Duration = Duration::from_secs(2);

/// How long answers that are on their way are waited for at a restart.
pub(super) const ANSWERS: Duration = Duration::from_secs(2);

/// How long a client takes to go that has its answer.
const GO: Duration = Duration::from_millis(500);

/// How long to wait after `accept` failed: mostly for file descriptors, which others must close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections and ends them.
struct Doorman<D> {
    desk: Arc<D>,
    protocol: Arc<server::Config>,
    places: Places,
    penalties: Penalties,
    troubles: Mutex<HashMap<&'static str, Trouble>>,
    stopped: watch::Receiver<bool>,
    login_deadline: Duration,
    quickack: bool,
}

impl<D: Commands> Doorman<D> {
    /// Accepts until told to stop. An error of `accept` is never a reason to end.
    async fn accept(self: Arc<Self>, socket: TcpListener) {
        let mut stopped = self.stopped.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return,
                accepted = socket.accept() => accepted,
            };
            let (socket, source) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if let Some(times) = self.trouble("could not accept a connection") {
                        tracing::warn!(%error, times, "could not accept a connection");
                    }
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if self.penalties.owes(source.ip()) {
                self.away(source, "its source failed too often");
                continue;
            }
            match self.places.take(source.ip()) {
                Ok((place, evicted)) => {
                    drop(tokio::spawn(self.clone().serve(socket, source, place, evicted)));
                }
                Err(full) => self.away(source, full.why()),
            }
        }
    }

    /// One connection from its first byte to its line in the journal.
    async fn serve(
        self: Arc<Self>,
        socket: TcpStream,
        source: SocketAddr,
        place: Place,
        evicted: Evicted,
    ) {
        socket.set_nodelay(true).ok();
        let visit = Arc::new(Visit::new(source, self.stopped.clone()));
        let end = self.attend(socket, &visit, place, evicted).await;
        if let Some(fault) = visit.fault(&end) {
            self.penalties.charge(source.ip(), fault);
        }
        match end {
            End::Evicted => self.away(source, "its place was needed"),
            End::Itself(_) | End::By(_) => visit.over(&end),
        }
    }

    /// The same, to its end.
    async fn attend(
        &self,
        socket: TcpStream,
        visit: &Arc<Visit>,
        place: Place,
        mut evicted: Evicted,
    ) -> End {
        let (knife, cut) = oneshot::channel();
        let wire = Wire::new(socket, visit.clone(), self.login_deadline, self.quickack, cut);
        let session = Session::new(self.desk.clone(), visit.clone(), place);

        let running = tokio::select! {
            running = server::run_stream(self.protocol.clone(), wire, session) => running,
            Ok(()) = &mut evicted => return End::Evicted,
            ending = visit.ending() => return End::By(ending),
            () = visit.stopped() => return End::By(Ending::Restart),
        };
        let mut running = match running {
            Ok(running) => running,
            Err(error) => return End::Itself(Err(error)),
        };
        let handle = running.handle();
        let ending = tokio::select! {
            done = &mut running => return End::Itself(done),
            // Dropping `running` would leave the session alive: the wire's end is what ends it.
            Ok(()) = &mut evicted => return End::Evicted,
            ending = visit.ending() => ending,
            () = visit.stopped() => {
                // A client that has its answer goes by itself, and ends with the answer's status if it
                // is not told to first.
                let answered = timeout(ANSWERS + GO, async {
                    if visit.answered().await {
                        sleep(GO).await;
                    }
                });
                tokio::select! {
                    done = &mut running => return End::Itself(done),
                    _ = answered => Ending::Restart,
                }
            }
        };
        let goodbye = async {
            let (reason, text) = ending.disconnect();
            handle.disconnect(reason, text.to_owned(), "en".to_owned()).await.ok();
            (&mut running).await.ok();
        };
        timeout(GRACE, goodbye).await.ok();
        drop(knife);
        End::By(ending)
    }

    /// Somebody was turned away or cut.
    fn away(&self, source: SocketAddr, why: &'static str) {
        if let Some(times) = self.trouble(why) {
            tracing::warn!(%source, times, why, "turned away");
        }
    }

    /// Counts a trouble. One line a second about each: a flood must not become one in the journal.
    /// How often it happened since the last line, if one is due.
    fn trouble(&self, what: &'static str) -> Option<u64> {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = troubles.entry(what).or_default();
        trouble.times += 1;
        if trouble.told.is_some_and(|told| told.elapsed() < Duration::from_secs(1)) {
            return None;
        }
        trouble.told = Some(Instant::now());
        Some(std::mem::take(&mut trouble.times))
    }
}

/// What happens again and again.
#[derive(Default)]
struct Trouble {
    times: u64,
    told: Option<Instant>,
}
