//! The signer: another process with another uid, the only holder of the CA keys and the ledger's
//! first witness. It depends on the certificate's and the ledger's formats alone.
//!
//! It believes nothing that the daemon says: it has its own mark of how far the ledger grew, its own
//! list of what it signed, its own limits, its own clock, and the lint.

#[cfg(feature = "desk")]
pub mod client;
#[cfg(all(test, feature = "desk"))]
mod hostile_tests;
pub mod key;
pub mod limits;
pub mod mark;
pub mod protocol;
#[cfg(all(test, feature = "desk"))]
mod scene;
pub mod serve;
#[cfg(all(test, feature = "desk"))]
mod serve_tests;
#[cfg(feature = "desk")]
pub mod spawn;
#[cfg(feature = "desk")]
mod stage;
#[cfg(all(test, feature = "desk"))]
mod state_tests;
pub mod succeed;
#[cfg(all(test, feature = "desk"))]
pub(crate) mod trial;
pub mod witness;
#[cfg(all(test, feature = "desk"))]
mod witness_tests;
