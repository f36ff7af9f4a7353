//! What decides at this moment: people, hosts and policy as one whole, replaced as one whole.

use std::sync::{Arc, PoisonError, RwLock};

use crate::config::Deciding;

/// People, hosts and policy in force. Whoever decides takes them once and keeps to what was taken,
/// so that no decision is made from the old of one and the new of another.
#[derive(Debug)]
pub struct InForce {
    deciding: RwLock<Arc<Deciding>>,
    /// Whose turn it is to replace them.
    turn: tokio::sync::Mutex<()>,
}

impl InForce {
    /// What decides from the start.
    pub fn new(deciding: Arc<Deciding>) -> Self {
        Self { deciding: RwLock::new(deciding), turn: tokio::sync::Mutex::default() }
    }

    /// What decides now.
    pub fn now(&self) -> Arc<Deciding> {
        Arc::clone(&self.deciding.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until nobody else replaces what decides.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// From here on something else decides. It must stand in the ledger by now.
    pub(super) fn replace(&self, deciding: Arc<Deciding>) {
        *self.deciding.write().unwrap_or_else(PoisonError::into_inner) = deciding;
    }
}
