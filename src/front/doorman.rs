//! The doorman: accepts connections within bounds, attends to each, and ends it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use russh::server;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::penalties::Penalties;
use super::places::{Evicted, Full, Place, Places};
use super::session::Session;
use super::visit::{End, Ending, Visit};
use super::wire::Wire;
use super::{Commands, Config, protocol};

/// Accepts connections and ends them.
pub(super) struct Doorman<D> {
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
    /// Nobody is there yet. The receiver says when to stop.
    pub(super) fn new(desk: Arc<D>, config: &Config, stopped: watch::Receiver<bool>) -> Self {
        Self {
            desk,
            protocol: Arc::new(protocol::protocol(config)),
            places: Places::new(config.limits.clone()),
            penalties: Penalties::new(config.limits.clone()),
            troubles: Mutex::default(),
            stopped,
            login_deadline: config.login_deadline,
            quickack: config.quickack,
        }
    }

    /// Resolves when everybody is gone. For one waiter.
    pub(super) async fn alone(&self) {
        self.places.empty().await;
    }

    /// Accepts until told to stop. An error of `accept` is never a reason to end.
    pub(super) async fn accept(self: Arc<Self>, socket: TcpListener) {
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
            let (place, evicted) = match self.places.take(source.ip()) {
                Ok(taken) => taken,
                Err(full) => {
                    self.away(source, full.why());
                    continue;
                }
            };
            // In a rush connections come faster than those go that were cut for them.
            let room = tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return,
                room = timeout(GRACE, self.places.room()) => room,
            };
            match room {
                Ok(()) => drop(tokio::spawn(self.clone().serve(socket, source, place, evicted))),
                Err(_) => self.away(source, Full::All.why()),
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

/// How long a peer has to go by itself once it was told to.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// How long answers that are on their way are waited for at a restart.
pub(super) const ANSWERS: Duration = Duration::from_secs(2);

/// How long a client takes to go that has its answer.
const GO: Duration = Duration::from_millis(500);

/// How long to wait after `accept` failed: mostly for file descriptors, which others must close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
