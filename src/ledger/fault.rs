//! Why an entry did not come about, and where that is said.

use tokio::sync::oneshot;

use super::store::StoreError;
use crate::certificate::lint::Flaw;

/// Why an entry did not come about. All but [`Fault::Barred`] are faults: nobody was
/// refused anything.
#[derive(Debug)]
pub enum Fault {
    /// The store failed: disk full, read-only, damaged.
    Store(StoreError),
    /// The disk is nearly full: what room is left is for locks, refusals and the next start.
    Full,
    /// The draft is not one that may be signed: a bug of ours.
    Flaw(Flaw),
    /// The signer cannot be reached or did not answer.
    SignerAway(String),
    /// The signer answered, and did not sign.
    SignerRefused(String),
    /// The signer has seen more of the ledger than is there, or another one.
    LedgerLost(String),
    /// Something was committed while the certificate was on its way that stands against it.
    Barred(Bar),
    /// The daemon is ending.
    Ending,
}

/// What stands against a certificate: a lock, or the end of its grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// What it is, as a sentence for whoever asked.
    pub why: String,
    /// What to do next.
    pub hint: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(why) => write!(f, "the ledger cannot be written: {why}"),
            Self::Full => write!(f, "the disk is full: its reserve is given back"),
            Self::Flaw(flaw) => write!(f, "the certificate fails the lint: {flaw}"),
            Self::SignerAway(why) => write!(f, "the signer cannot be reached: {why}"),
            Self::SignerRefused(why) => write!(f, "the signer did not sign: {why}"),
            Self::LedgerLost(why) => write!(f, "{why}"),
            Self::Barred(bar) => f.write_str(&bar.why),
            Self::Ending => write!(f, "the daemon is ending"),
        }
    }
}

impl std::error::Error for Fault {}

/// Where an answer goes; a person who left is not waited for.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Fault>>;

/// Answers; whoever left meanwhile does not hear it.
pub(crate) fn answer<T>(reply: Reply<T>, result: Result<T, Fault>) {
    drop(reply.send(result));
}

/// Ends the process if its thread panics: the next start reads what is durable. Without it everybody
/// would be told to try again, for ever.
pub(crate) struct OrEnd(pub(crate) &'static str);

impl Drop for OrEnd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(thread = self.0, "panicked: the process ends");
            std::process::exit(70);
        }
    }
}
