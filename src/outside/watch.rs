//! A watch over the clock: certificates are decided only while it runs as it did.
//!
//! Two things are compared with each reading: the time since boot, which nobody can set, and the
//! ledger's newest entry. What stops certificates, and how they resume:
//!
//! | what happened | certificates | resume |
//! |---|---|---|
//! | it moved by more than 5 s against the time since boot, by an hour at most | are a fault | when it is corrected: at once. When it stays: after five minutes of running evenly |
//! | the same, by more than an hour | are a fault | when it is corrected: at once. When it stays: at a restart, so that somebody has looked |
//! | it is more than 2 s behind the ledger's newest entry | are a fault, restart or not | when it is corrected, or has caught up |
//!
//! A wrong clock that is believed for a while poisons the ledger: when it is put right it is behind
//! the newest entry. Hence the hour: what is believed without anybody's look costs an hour at most.
//! Slewing (up to 0.1 %) and leap seconds are within the bounds; many small steps are not.
//!
//! What is recorded meanwhile (refusals, locks) gets the time that the clock would show had it not
//! been set, and never one before the ledger's newest, which a verifier would find out of order.

use std::sync::{Mutex, PoisonError};

use super::clock::{Clock, Jump, Reading};
use crate::certificate::time::{Span, UnixTime};

/// Both clocks in milliseconds: since 1970, and since boot with suspended time counted.
#[derive(Debug, Clone, Copy)]
pub struct Both {
    /// Since 1970.
    pub wall: i64,
    /// Since boot.
    pub boot: i64,
}

/// The watch.
pub struct Watch {
    source: Box<dyn Fn() -> Both + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    /// The wall clock less the time since boot, as believed.
    offset: i64,
    /// The time since boot up to which slewing was allowed for.
    boot: i64,
    /// Another offset that was seen, and since when.
    other: Option<(i64, i64)>,
    /// The newest time in the ledger.
    newest: UnixTime,
}

/// How far the clock may be from where it should be, in milliseconds.
const STRAY: i64 = 5_000;

/// How long it must run evenly to be believed.
const STEADY: i64 = 300_000;

/// How far it may have been set to be believed without a restart.
const FAR: i64 = 3_600_000;

/// How far behind the newest entry it may be: decisions queue side by side.
const BEHIND: Span = Span::secs(2);

impl Watch {
    /// A watch over this machine's clock; `newest` is the newest time in the ledger.
    pub fn new(newest: UnixTime) -> Self {
        Self::over(Box::new(both), newest)
    }

    /// A watch over other clocks.
    pub fn over(source: Box<dyn Fn() -> Both + Send + Sync>, newest: UnixTime) -> Self {
        let Both { wall, boot } = source();
        let state = State { offset: wall.saturating_sub(boot), boot, other: None, newest };
        Self { source, state: Mutex::new(state) }
    }

    /// The ledger has an entry of this time.
    pub fn saw(&self, time: UnixTime) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.newest = state.newest.max(time);
    }
}

impl Clock for Watch {
    fn now(&self) -> UnixTime {
        self.read().now
    }

    /// To be called now and then where nobody asks: slewing is told from a jump by its pace.
    fn read(&self) -> Reading {
        // Under the lock: two threads must not compare with one another's past.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let both = (self.source)();
        state.read(both)
    }
}

impl State {
    fn read(&mut self, Both { wall, boot }: Both) -> Reading {
        let seen = wall.saturating_sub(boot);
        // A millisecond a second; what is left of a second counts with the next reading.
        let pace = boot.saturating_sub(self.boot).max(0) / 1000;
        self.boot = self.boot.saturating_add(pace.saturating_mul(1000));
        let stray = seen.saturating_sub(self.offset);
        let since = match self.other {
            Some((other, since)) if seen.saturating_sub(other).abs() <= STRAY => since,
            _ => boot,
        };
        let believed = stray.abs() <= FAR && boot.saturating_sub(since) >= STEADY;
        let mut jump = None;
        if stray.abs() <= STRAY {
            self.offset = self.offset.saturating_add(stray.clamp(-pace, pace));
            self.tell_end();
        } else if believed {
            self.offset = seen;
            self.tell_end();
        } else {
            let by = stray / 1000;
            if self.other.is_none() {
                tracing::error!(by, "the clock jumped: no certificates");
            }
            self.other = Some((seen, since));
            jump = Some(Jump::Set { by });
        }
        let wall = if jump.is_some() { self.offset.saturating_add(boot) } else { wall };
        let now = UnixTime::from_secs(u64::try_from(wall / 1000).unwrap_or(0));
        if now.plus(BEHIND) < self.newest {
            jump = jump.or(Some(Jump::Behind { newest: self.newest }));
        }
        Reading { now: if jump.is_some() { now.max(self.newest) } else { now }, jump }
    }

    fn tell_end(&mut self) {
        if self.other.take().is_some() {
            tracing::info!("the clock is steady again");
        }
    }
}

/// This machine's clocks.
#[allow(clippy::disallowed_methods, reason = "the daemon's clock, finer than seconds")]
fn both() -> Both {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let wall = since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Both { wall, boot: boot.tv_sec.saturating_mul(1000).saturating_add(boot.tv_nsec / 1_000_000) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const START: i64 = 1_800_000_000_000;
    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;

    /// Clocks that a test sets.
    struct Bench {
        both: Arc<Mutex<Both>>,
        watch: Watch,
    }

    impl Bench {
        fn at(wall: i64, newest: i64) -> Self {
            let both = Arc::new(Mutex::new(Both { wall, boot: 77_000 }));
            let source = Arc::clone(&both);
            let newest = UnixTime::from_secs(newest as u64 / 1000);
            let watch = Watch::over(Box::new(move || *source.lock().unwrap()), newest);
            Self { both, watch }
        }

        fn new() -> Self {
            Self::at(START, START - HOUR)
        }

        /// Both clocks run for a while.
        fn pass(&self, millis: i64) -> Reading {
            let mut both = self.both.lock().unwrap();
            both.wall += millis;
            both.boot += millis;
            drop(both);
            self.watch.read()
        }

        /// Somebody sets the clock.
        fn set(&self, millis: i64) -> Reading {
            self.both.lock().unwrap().wall += millis;
            self.watch.read()
        }

        fn wall(&self) -> UnixTime {
            UnixTime::from_secs(self.both.lock().unwrap().wall as u64 / 1000)
        }
    }

    #[test]
    fn a_clock_that_runs_is_believed_whatever_the_year() {
        for (what, start) in [
            ("now", START),
            ("2038", 2_147_483_647_000 - 5_000),
            ("2106", 4_294_967_295_000 - 5_000),
            ("a leap second's day", 1_483_228_799_000),
            ("9999", 253_402_207_000_000),
        ] {
            let bench = Bench::at(start, start);
            for _ in 0..600 {
                let reading = bench.pass(997);
                assert_eq!(reading, Reading { now: bench.wall(), jump: None }, "{what}");
                bench.watch.saw(reading.now);
            }
        }
    }

    #[test]
    fn a_leap_second_and_slewing_are_no_jumps() {
        for step in [1_000, -1_000] {
            let bench = Bench::new();
            bench.watch.saw(bench.wall());
            for _ in 0..10 {
                // A leap second now and again, half an hour apart.
                assert_eq!(bench.set(step).jump, None);
                for _ in 0..30 {
                    assert_eq!(bench.pass(60_000).jump, None);
                    bench.watch.saw(bench.watch.now());
                }
            }
        }
        let bench = Bench::new();
        for _ in 0..10_000 {
            bench.set(30); // 500 ppm
            assert_eq!(bench.pass(60_000).jump, None);
        }
        // The same where somebody asks all the time.
        let bench = Bench::new();
        for n in 0..200_000 {
            bench.set(i64::from(n % 20 == 0));
            assert_eq!(bench.pass(100).jump, None);
        }
    }

    #[test]
    fn a_jump_is_a_fault_and_its_correction_ends_it() {
        for by in [6_000, -6_000, HOUR, -HOUR, DAY, -DAY, YEAR, -YEAR, 80 * YEAR, -80 * YEAR] {
            let bench = Bench::new();
            let before = bench.pass(1_000).now;
            bench.watch.saw(before);
            let reading = bench.set(by);
            assert_eq!(reading.jump, Some(Jump::Set { by: by / 1000 }), "{by}");
            // What is recorded meanwhile has the time that would be, had nobody set it.
            assert_eq!(reading.now, before);
            assert_eq!(bench.pass(10_000).now, before.plus(Span::secs(10)));
            assert_eq!(bench.set(-by), Reading { now: bench.wall(), jump: None }, "{by}");
        }
    }

    #[test]
    fn an_hour_ahead_is_believed_after_five_even_minutes_and_a_day_never() {
        let bench = Bench::new();
        bench.set(HOUR);
        for _ in 0..299 {
            assert!(bench.pass(1_000).jump.is_some());
        }
        assert_eq!(bench.pass(1_000), Reading { now: bench.wall(), jump: None });

        // Uneven: the five minutes begin again.
        let bench = Bench::new();
        bench.set(HOUR / 2);
        assert!(bench.pass(290_000).jump.is_some());
        assert!(bench.set(HOUR / 4).jump.is_some());
        assert!(bench.pass(290_000).jump.is_some());
        assert!(bench.pass(10_000).jump.is_none());

        let bench = Bench::new();
        bench.set(DAY);
        for _ in 0..1_000 {
            assert!(bench.pass(60_000).jump.is_some());
        }
        // A restart: somebody has looked.
        let wall = bench.both.lock().unwrap().wall;
        assert_eq!(Bench::at(wall, START).pass(1_000).jump, None);
    }

    #[test]
    fn a_clock_behind_the_ledger_waits_until_it_has_caught_up() {
        for behind in [3_000, HOUR, YEAR] {
            let bench = Bench::at(START - behind, START);
            let newest = UnixTime::from_secs(START as u64 / 1000);
            let reading = bench.pass(0);
            assert_eq!(reading, Reading { now: newest, jump: Some(Jump::Behind { newest }) });
            assert!(bench.pass(behind - 2_001).jump.is_some(), "{behind}");
            assert_eq!(bench.pass(1_000).jump, None, "{behind}");
        }
        // Set back by a minute while it runs: first a jump, then believed, then behind, then well.
        let bench = Bench::at(START, START);
        bench.set(-20 * 60_000);
        assert!(matches!(bench.pass(299_000).jump, Some(Jump::Set { .. })));
        assert!(matches!(bench.pass(1_000).jump, Some(Jump::Behind { .. })));
        assert_eq!(bench.pass(15 * 60_000).jump, None);
        // One second is nothing.
        assert_eq!(Bench::at(START - 1_000, START).pass(0).jump, None);
    }

    #[test]
    fn small_steps_add_up() {
        for step in [1_000, -1_000] {
            let bench = Bench::new();
            let first = (0..20).position(|_| {
                bench.set(step);
                bench.pass(60_000).jump.is_some()
            });
            assert_eq!(first, Some(5), "{step}");
        }
    }
}
