//! The signer: another process with another uid, the only holder of the CA keys and the ledger's
//! first witness. It depends on the certificate's and the ledger's formats alone.
//!
//! It believes nothing that the daemon says: it has its own mark of how far the ledger grew, its own
//! list of what it signed, its own limits, its own clock, and the lint.

#[cfg(feature = "desk")]
pub mod client;
pub mod key;
pub mod limits;
pub mod mark;
pub mod protocol;
pub mod serve;
#[cfg(feature = "desk")]
pub mod spawn;
pub mod succeed;
pub mod witness;
