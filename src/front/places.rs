//! The places for connections: how many there are, and who is turned away when they are taken.
//!
//! Decided here and nowhere else, so that a limit for each source has one home.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places in all, and those for peers that have not logged in.
#[derive(Clone)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    number: u32,
}

impl Places {
    /// So many in all, so many of them for strangers.
    pub(super) fn new(number: usize, strangers: usize) -> Self {
        let number = u32::try_from(number).unwrap_or(u32::MAX).min(MOST);
        Self {
            all: Arc::new(Semaphore::new(number as usize)),
            strangers: Arc::new(Semaphore::new(strangers.min(MOST as usize))),
            number,
        }
    }

    /// A place for a newcomer, unless all are taken.
    pub(super) fn take(&self, _source: IpAddr) -> Option<Place> {
        let all = self.all.clone().try_acquire_owned().ok()?;
        let stranger = self.strangers.clone().try_acquire_owned().ok()?;
        Some(Place { _all: all, stranger: Some(stranger) })
    }

    /// Resolves when every place is free. Takes none back, so nobody may come in any more.
    pub(super) async fn empty(&self) {
        // An error would mean that the semaphore was closed, which nothing does.
        self.all.acquire_many(self.number).await.map(drop).ok();
    }
}

/// More places than any machine has sockets for; a semaphore must not be larger than its type.
const MOST: u32 = 1 << 20;

/// A connection's place; given back by dropping it.
pub(super) struct Place {
    _all: OwnedSemaphorePermit,
    stranger: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// The connection logged in, and makes room for the next stranger.
    pub(super) fn logged_in(&mut self) {
        self.stranger = None;
    }
}
