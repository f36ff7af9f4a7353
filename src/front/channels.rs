//! The channels of one connection, in our own book: what is not open in it runs nothing.
//!
//! The SSH library keeps a table too, and until 0.62.5 it called back for channels that were never
//! opened (CVE-2026-68930).

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, oneshot};

/// The most channels open at a time; OpenSSH's `MaxSessions` is the same.
const AT_A_TIME: usize = 10;

/// The most that wait for one of those to be done: one `ssh` with a `ControlMaster` carries what fifty
/// others of a script ask at once, and one that is refused connects by itself, with a complaint.
const IN_TURN: usize = 64;

/// The most channels of one connection in its life, after which the client makes another. The
/// library (0.65.1) keeps 3.4 kB until the connection ends for each channel that we close first,
/// as a server does.
const EVER: u32 = 500;

/// The open channels; `T` is the way to the peer.
pub(super) struct Channels<T> {
    open: HashMap<u32, Open<T>>,
    slots: Arc<Semaphore>,
    left: u32,
}

/// A channel that was opened and not closed by the peer.
enum Open<T> {
    /// Waits for its one command, perhaps for its turn before that.
    Waiting { to: T, slot: Slot, with: With },
    /// Had its command. Sending interrupts the answer, dropping says that nobody listens.
    Running { listening: oneshot::Sender<()>, terminal: bool },
}

/// What the peer said of a channel before its command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct With {
    /// Lines go to a terminal.
    pub(super) terminal: bool,
    /// The agent is forwarded for it: one connection carries commands with and without.
    pub(super) agent: bool,
    /// A ticket came along.
    pub(super) ticket: Option<String>,
}

/// A slot that will be free.
type Coming = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// A channel's slot, there or to come.
enum Slot {
    Here(OwnedSemaphorePermit),
    InTurn(oneshot::Receiver<OwnedSemaphorePermit>),
}

impl Slot {
    /// Whether it is there: until then the peer does not know of the channel.
    fn here(&mut self) -> bool {
        if let Self::InTurn(turn) = self
            && let Ok(slot) = turn.try_recv()
        {
            *self = Self::Here(slot);
        }
        matches!(self, Self::Here(_))
    }
}

/// What becomes of a channel that may be opened.
pub(super) enum Opened {
    /// It is open.
    Now,
    /// It will be.
    InTurn(Turn),
}

/// A channel's place among those that wait. To be waited for in a task of its own.
pub(super) struct Turn {
    slot: Coming,
    give: oneshot::Sender<OwnedSemaphorePermit>,
}

impl Turn {
    /// Resolves when it is this channel's turn, those that came first being served first. False if
    /// nobody waits for it any more.
    pub(super) async fn comes(mut self) -> bool {
        let slot = tokio::select! {
            biased;
            () = self.give.closed() => return false,
            slot = self.slot => slot,
        };
        slot.is_ok_and(|slot| self.give.send(slot).is_ok())
    }
}

/// What an answer needs: see [`Channels::begin`].
pub(super) struct Begun<T> {
    /// The way to the peer.
    pub(super) to: T,
    /// The channel's slot, to be dropped when we close it.
    pub(super) slot: OwnedSemaphorePermit,
    /// What was said of it.
    pub(super) with: With,
    /// A value is an interrupt; a dropped sender says that the channel or the connection is gone.
    pub(super) hangup: oneshot::Receiver<()>,
}

/// Why a channel may not be opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// As many are open as may be, and as many wait.
    Now,
    /// The connection had its share, and this many are still open.
    ForEver { open: usize },
}

/// Why a channel may not do what was asked of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misuse {
    /// It had its command.
    Begun,
    /// It is not open.
    NotOpen,
}

impl<T> Channels<T> {
    /// None open.
    pub(super) fn new() -> Self {
        let slots = Arc::new(Semaphore::new(AT_A_TIME));
        Self { open: HashMap::new(), slots, left: EVER }
    }

    /// Opens a channel, at once or in its turn.
    pub(super) fn open(&mut self, id: u32, to: T) -> Result<Opened, Full> {
        // Of the channels that we closed the library does not say when the peer closed them.
        self.open.retain(|_, open| match open {
            Open::Waiting { .. } => true,
            Open::Running { listening, .. } => !listening.is_closed(),
        });
        let open = self.open.len();
        let left = self.left.checked_sub(1).ok_or(Full::ForEver { open })?;
        // Asked here for the first time, so that channels wait in the order in which they came.
        let mut slot: Coming = Box::pin(self.slots.clone().acquire_owned());
        let (slot, opened) = match slot.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(slot) => (Slot::Here(slot.map_err(|_| Full::Now)?), Opened::Now),
            Poll::Pending if self.in_turn() < IN_TURN => {
                let (give, turn) = oneshot::channel();
                (Slot::InTurn(turn), Opened::InTurn(Turn { slot, give }))
            }
            Poll::Pending => return Err(Full::Now),
        };
        self.left = left;
        self.open.insert(id, Open::Waiting { to, slot, with: With::default() });
        Ok(opened)
    }

    /// How many wait for their turn.
    fn in_turn(&mut self) -> usize {
        let waits = |open: &mut Open<T>| match open {
            Open::Waiting { slot, .. } => !slot.here(),
            Open::Running { .. } => false,
        };
        self.open.values_mut().map(waits).filter(|waits| *waits).count()
    }

    /// What is said of a channel that is open and waits for its command.
    pub(super) fn with(&mut self, id: u32) -> Result<&mut With, Misuse> {
        match self.open.get_mut(&id) {
            Some(Open::Waiting { slot, with, .. }) => match slot.here() {
                true => Ok(with),
                false => Err(Misuse::NotOpen),
            },
            Some(Open::Running { .. }) => Err(Misuse::Begun),
            None => Err(Misuse::NotOpen),
        }
    }

    /// Takes a channel for its one command.
    pub(super) fn begin(&mut self, id: u32) -> Result<Begun<T>, Misuse> {
        let terminal = self.with(id)?.terminal;
        let (listening, hangup) = oneshot::channel();
        match self.open.insert(id, Open::Running { listening, terminal }) {
            Some(Open::Waiting { to, slot: Slot::Here(slot), with }) => {
                Ok(Begun { to, slot, with, hangup })
            }
            _ => Err(Misuse::NotOpen),
        }
    }

    /// Somebody pressed Ctrl-C: on a terminal that ends the answer.
    pub(super) fn interrupt(&mut self, id: u32) {
        match self.open.remove(&id) {
            Some(Open::Running { listening, terminal: true }) => drop(listening.send(())),
            Some(other) => drop(self.open.insert(id, other)),
            None => {}
        }
    }

    /// The peer closed the channel.
    pub(super) fn close(&mut self, id: u32) {
        self.open.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_is_not_open_does_nothing_and_one_that_is_runs_one_command() {
        let mut channels = Channels::new();
        assert_eq!(channels.begin(0).err(), Some(Misuse::NotOpen));
        assert_eq!(channels.with(0).err(), Some(Misuse::NotOpen));
        channels.open(7, ()).unwrap();
        assert_eq!(channels.begin(8).err(), Some(Misuse::NotOpen));
        channels.with(7).unwrap().terminal = true;
        let mut begun = channels.begin(7).unwrap();
        assert!(begun.with.terminal && begun.hangup.try_recv().is_err());
        assert_eq!(channels.begin(7).err(), Some(Misuse::Begun));
        assert_eq!(channels.with(7).err(), Some(Misuse::Begun));
        channels.close(7);
        assert!(begun.hangup.blocking_recv().is_err(), "nobody listens any more");
        assert_eq!(channels.begin(7).err(), Some(Misuse::NotOpen));
    }

    /// The turn of a channel that has to wait for it.
    fn turn(opened: Result<Opened, Full>) -> Turn {
        match opened {
            Ok(Opened::InTurn(turn)) => turn,
            Ok(Opened::Now) => panic!("open at once"),
            Err(full) => panic!("{full:?}"),
        }
    }

    #[tokio::test]
    async fn ten_are_open_at_a_time_and_an_answered_one_makes_room_for_the_next_in_turn() {
        let mut channels = Channels::new();
        for id in 0..10 {
            assert!(matches!(channels.open(id, ()), Ok(Opened::Now)));
        }
        let first = tokio::spawn(turn(channels.open(10, ())).comes());
        let second = tokio::spawn(turn(channels.open(11, ())).comes());
        tokio::task::yield_now().await;
        // What is not open does nothing, though it will be.
        assert_eq!(channels.begin(10).err(), Some(Misuse::NotOpen));
        assert_eq!(channels.with(10).err(), Some(Misuse::NotOpen));
        drop(channels.begin(3).unwrap());
        assert!(first.await.unwrap() && !second.is_finished());
        channels.with(10).unwrap().terminal = true;
        assert!(channels.begin(10).unwrap().with.terminal);
        assert!(second.await.unwrap());
        channels.begin(11).unwrap();
    }

    #[tokio::test]
    async fn as_many_wait_as_may_and_who_is_gone_takes_no_turn() {
        let mut channels = Channels::new();
        let mut id = 0..;
        for _ in 0..AT_A_TIME {
            assert!(matches!(channels.open(id.next().unwrap(), ()), Ok(Opened::Now)));
        }
        let turns: Vec<Turn> =
            id.by_ref().take(IN_TURN).map(|id| turn(channels.open(id, ()))).collect();
        assert_eq!(channels.open(1000, ()).err(), Some(Full::Now));
        channels.close(0);
        let mut turns = turns.into_iter();
        assert!(turns.next().unwrap().comes().await);
        let after = turn(channels.open(1000, ()));
        // The connection ends.
        drop(channels);
        assert!(!turns.next().unwrap().comes().await && !after.comes().await);
    }

    #[test]
    fn a_connection_has_its_share_of_channels_in_its_life() {
        let mut channels = Channels::new();
        for id in 0..EVER {
            channels.open(id, ()).unwrap();
            drop(channels.begin(id).unwrap());
        }
        assert_eq!(channels.open(EVER, ()).err(), Some(Full::ForEver { open: 0 }));
    }

    #[test]
    fn an_interrupt_needs_a_terminal() {
        let mut channels = Channels::new();
        for id in [1, 2] {
            channels.open(id, ()).unwrap();
        }
        channels.with(2).unwrap().terminal = true;
        let (mut script, mut person) = (channels.begin(1).unwrap(), channels.begin(2).unwrap());
        for id in [1, 2, 3] {
            channels.interrupt(id);
        }
        assert!(matches!(script.hangup.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
        assert_eq!(person.hangup.try_recv(), Ok(()));
    }
}
