//! What decides at this moment: people, hosts and policy as one whole, replaced as one whole.

use std::sync::{Arc, PoisonError, RwLock};

use crate::config::Deciding;

/// People, hosts and policy in force. Whoever decides takes them once and keeps to what was taken,
/// so that no decision is made from the old of one and the new of another.
///
/// Cheap to clone: every clone is the same.
#[derive(Debug, Clone)]
pub struct InForce(Arc<RwLock<Arc<Deciding>>>);

impl InForce {
    /// What decides from the start.
    pub fn new(deciding: Arc<Deciding>) -> Self {
        Self(Arc::new(RwLock::new(deciding)))
    }

    /// What decides now.
    pub fn now(&self) -> Arc<Deciding> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From here on something else decides. It must stand in the ledger by now.
    pub(super) fn replace(&self, deciding: Arc<Deciding>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = deciding;
    }
}
