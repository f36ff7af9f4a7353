//! The clock.

use crate::certificate::time::UnixTime;

/// Tells the time. Read once per decision; what needs the time later is given it.
pub trait Clock: Send + Sync + 'static {
    /// Now, in whole seconds, UTC.
    fn now(&self) -> UnixTime;
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
