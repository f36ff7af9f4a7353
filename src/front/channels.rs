//! The channels of one connection, in our own book: what is not open in it runs nothing.
//!
//! The SSH library keeps a table too, and until 0.62.5 it called back for channels that were never
//! opened (CVE-2026-68930).

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The most channels open at a time; OpenSSH's `MaxSessions` is the same.
const AT_A_TIME: usize = 10;

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
    /// Waits for its one command.
    Waiting { to: T, slot: OwnedSemaphorePermit, terminal: bool, ticket: Option<String> },
    /// Had its command. Sending interrupts the answer, dropping says that nobody listens.
    Running { listening: oneshot::Sender<()>, terminal: bool },
}

/// What an answer needs: see [`Channels::begin`].
pub(super) struct Begun<T> {
    /// The way to the peer.
    pub(super) to: T,
    /// The channel's slot, to be dropped when we close it.
    pub(super) slot: OwnedSemaphorePermit,
    /// Whether lines go to a terminal.
    pub(super) terminal: bool,
    /// The ticket that came with it.
    pub(super) ticket: Option<String>,
    /// A value is an interrupt; a dropped sender says that the channel or the connection is gone.
    pub(super) hangup: oneshot::Receiver<()>,
}

/// Why a channel may not be opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// As many are open as may be.
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

    /// Opens a channel.
    pub(super) fn open(&mut self, id: u32, to: T) -> Result<(), Full> {
        // Of the channels that we closed the library does not say when the peer closed them.
        self.open.retain(|_, open| match open {
            Open::Waiting { .. } => true,
            Open::Running { listening, .. } => !listening.is_closed(),
        });
        let open = self.open.len();
        let left = self.left.checked_sub(1).ok_or(Full::ForEver { open })?;
        let slot = self.slots.clone().try_acquire_owned().map_err(|_| Full::Now)?;
        self.left = left;
        self.open.insert(id, Open::Waiting { to, slot, terminal: false, ticket: None });
        Ok(())
    }

    /// Gives a channel that waits for its command a terminal.
    pub(super) fn on_terminal(&mut self, id: u32) -> Result<(), Misuse> {
        match self.open.get_mut(&id) {
            Some(Open::Waiting { terminal, .. }) => {
                *terminal = true;
                Ok(())
            }
            Some(Open::Running { .. }) => Err(Misuse::Begun),
            None => Err(Misuse::NotOpen),
        }
    }

    /// Notes the ticket that came for a channel that waits for its command.
    pub(super) fn with_ticket(&mut self, id: u32, text: &str) -> Result<(), Misuse> {
        match self.open.get_mut(&id) {
            Some(Open::Waiting { ticket, .. }) => {
                *ticket = Some(text.to_owned());
                Ok(())
            }
            Some(Open::Running { .. }) => Err(Misuse::Begun),
            None => Err(Misuse::NotOpen),
        }
    }

    /// Takes a channel for its one command.
    pub(super) fn begin(&mut self, id: u32) -> Result<Begun<T>, Misuse> {
        match self.open.remove(&id) {
            Some(Open::Waiting { to, slot, terminal, ticket }) => {
                let (listening, hangup) = oneshot::channel();
                self.open.insert(id, Open::Running { listening, terminal });
                Ok(Begun { to, slot, terminal, ticket, hangup })
            }
            Some(running @ Open::Running { .. }) => {
                self.open.insert(id, running);
                Err(Misuse::Begun)
            }
            None => Err(Misuse::NotOpen),
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
        assert_eq!(channels.on_terminal(0), Err(Misuse::NotOpen));
        channels.open(7, ()).unwrap();
        assert_eq!(channels.begin(8).err(), Some(Misuse::NotOpen));
        channels.on_terminal(7).unwrap();
        let mut begun = channels.begin(7).unwrap();
        assert!(begun.terminal && begun.hangup.try_recv().is_err());
        assert_eq!(channels.begin(7).err(), Some(Misuse::Begun));
        assert_eq!(channels.on_terminal(7), Err(Misuse::Begun));
        channels.close(7);
        assert!(begun.hangup.blocking_recv().is_err(), "nobody listens any more");
        assert_eq!(channels.begin(7).err(), Some(Misuse::NotOpen));
    }

    #[test]
    fn ten_are_open_at_a_time_and_an_answered_one_makes_room() {
        let mut channels = Channels::new();
        for id in 0..10 {
            channels.open(id, ()).unwrap();
        }
        assert_eq!(channels.open(10, ()), Err(Full::Now));
        drop(channels.begin(3).unwrap());
        channels.open(10, ()).unwrap();
        channels.close(4);
        channels.open(11, ()).unwrap();
        assert_eq!(channels.open(12, ()), Err(Full::Now));
    }

    #[test]
    fn a_connection_has_its_share_of_channels_in_its_life() {
        let mut channels = Channels::new();
        for id in 0..EVER {
            channels.open(id, ()).unwrap();
            drop(channels.begin(id).unwrap());
        }
        assert_eq!(channels.open(EVER, ()), Err(Full::ForEver { open: 0 }));
    }

    #[test]
    fn an_interrupt_needs_a_terminal() {
        let mut channels = Channels::new();
        for id in [1, 2] {
            channels.open(id, ()).unwrap();
        }
        channels.on_terminal(2).unwrap();
        let (mut script, mut person) = (channels.begin(1).unwrap(), channels.begin(2).unwrap());
        for id in [1, 2, 3] {
            channels.interrupt(id);
        }
        assert!(matches!(script.hangup.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
        assert_eq!(person.hangup.try_recv(), Ok(()));
    }
}
