//! The clock.

use crate::certificate::time::UnixTime;

/// Tells the time. Read once per decision; what needs the time later is given it.
pub trait Clock: Send + Sync + 'static {
    /// Now, in whole seconds, UTC.
    fn now(&self) -> UnixTime;

    /// Now, and whether certificates may be decided on it.
    fn read(&self) -> Reading {
        Reading { now: self.now(), jump: None }
    }
}

/// One look at the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The time: the best there is, never before what the ledger has seen.
    pub now: UnixTime,
    /// Why no certificate may be decided on it.
    pub jump: Option<Jump>,
}

/// What is wrong with a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jump {
    /// It was set: so many seconds ahead (or, below 0, back) of what the time since boot says.
    Set {
        /// Seconds ahead.
        by: i64,
    },
    /// It is behind the newest entry of the ledger.
    Behind {
        /// That entry's time.
        newest: UnixTime,
    },
}

impl std::fmt::Display for Jump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Set { by } => write!(
                f,
                "the clock jumped by {by} s: correct it, or start hallpass again if it is right now"
            ),
            Self::Behind { newest } => {
                write!(f, "the clock is behind the ledger's newest entry, of {newest}: correct it")
            }
        }
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the daemon reads the clock")]
    fn now(&self) -> UnixTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        UnixTime::from_secs(since.map_or(0, |since| since.as_secs()))
    }
}

/// A clock that stands still: for dry runs "as of", and tests.
#[derive(Debug, Clone, Copy)]
pub struct Stopped(pub UnixTime);

impl Clock for Stopped {
    fn now(&self) -> UnixTime {
        self.0
    }
}
