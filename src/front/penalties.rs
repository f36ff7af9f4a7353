//! What a source owes for connections that came to nothing, in seconds.
//!
//! A debt is paid by waiting. A source that owes more than [`MOST_OWED`] is not let in until it owes
//! less. One that fails now and then never gets there: a person who tries eleven wrong keys in a
//! minute does not, whoever tries a list does.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::places::source;
use crate::config::ca::Limits;

/// What a connection did that ended without a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It left before it asked for anything, as a port scan and a health check do.
    Nothing,
    /// Its keys were refused.
    Refused,
    /// It was not logged in by the deadline.
    Late,
    /// It sent what is no SSH, or far too much.
    Broken,
}

impl Fault {
    /// What it costs.
    fn cost(self) -> Duration {
        match self {
            Self::Nothing => Duration::from_millis(250),
            Self::Refused | Self::Late => Duration::from_secs(5),
            Self::Broken => Duration::from_secs(10),
        }
    }
}

/// A source that owes more than this is kept out.
const MOST_OWED: Duration = Duration::from_secs(60);

/// What a source owes at most: after ten minutes everything is forgotten.
const MOST: Duration = Duration::from_secs(600);

/// How many sources are remembered; the one that came first is forgotten first.
const SOURCES: usize = 16_384;

/// The debts of all sources.
pub(super) struct Penalties {
    limits: Limits,
    debts: Mutex<Debts>,
}

impl Penalties {
    /// Nobody owes anything.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, debts: Mutex::default() }
    }

    /// Whether a connection from there is kept out.
    pub(super) fn owes(&self, address: IpAddr) -> bool {
        let source = source(&self.limits, address);
        let debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        debts.owed(source, Instant::now()) > MOST_OWED
    }

    /// A connection from there ended like that.
    pub(super) fn charge(&self, address: IpAddr, fault: Fault) {
        let mut networks = self.limits.network.iter();
        if networks.find(|network| network.cidr.contains(address)).is_some_and(|own| !own.penalties)
        {
            return;
        }
        let source = source(&self.limits, address);
        let mut debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        debts.charge(source, fault.cost(), Instant::now());
    }
}

#[derive(Default)]
struct Debts {
    /// When each source will owe nothing.
    paid: HashMap<IpAddr, Instant>,
    /// Its keys, in the order in which they came.
    order: VecDeque<IpAddr>,
}

impl Debts {
    fn owed(&self, source: IpAddr, now: Instant) -> Duration {
        let paid = self.paid.get(&source);
        paid.map(|paid| paid.saturating_duration_since(now)).unwrap_or_default()
    }

    fn charge(&mut self, source: IpAddr, cost: Duration, now: Instant) {
        let owed = (self.owed(source, now) + cost).min(MOST);
        if self.paid.insert(source, now + owed).is_none() {
            self.order.push_back(source);
        }
        while let Some(first) = self.order.front() {
            if self.order.len() <= SOURCES && !self.owed(*first, now).is_zero() {
                break;
            }
            self.paid.remove(first);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(n).into()
    }

    #[test]
    fn a_debt_grows_with_failures_and_shrinks_with_time() {
        let (mut debts, now) = (Debts::default(), Instant::now());
        let owed = |debts: &Debts, seconds| {
            debts.owed(number(1), now + Duration::from_secs(seconds)).as_secs()
        };
        for _ in 0..12 {
            debts.charge(number(1), Fault::Refused.cost(), now);
        }
        assert_eq!((owed(&debts, 0), owed(&debts, 59), owed(&debts, 3600)), (60, 1, 0));
        for _ in 0..1000 {
            debts.charge(number(1), Fault::Broken.cost(), now);
        }
        assert_eq!(owed(&debts, 0), MOST.as_secs());
        assert!(debts.owed(number(2), now).is_zero());
    }

    #[test]
    fn so_many_sources_are_remembered_and_who_paid_is_forgotten() {
        let (mut debts, now) = (Debts::default(), Instant::now());
        for n in 0..100_000 {
            debts.charge(number(n), Fault::Late.cost(), now);
        }
        assert_eq!((debts.paid.len(), debts.order.len()), (SOURCES, SOURCES));
        assert!(debts.owed(number(0), now).is_zero() && !debts.owed(number(99_999), now).is_zero());
        debts.charge(number(7), Fault::Late.cost(), now + Duration::from_secs(6));
        assert_eq!((debts.paid.len(), debts.order.len()), (1, 1));
    }

    #[test]
    fn a_network_may_be_spared_and_nobody_else_is() {
        let spared = "cidr = \"10.0.0.0/8\"\npenalties = false".parse::<toml::Table>().unwrap();
        let network = vec![spared.try_into().unwrap()];
        let penalties = Penalties::new(Limits { network, ..Limits::default() });
        for _ in 0..20 {
            penalties.charge(number(0x0a00_0001), Fault::Broken);
            penalties.charge(number(0x0b00_0001), Fault::Broken);
        }
        assert!(!penalties.owes(number(0x0a00_0001)) && penalties.owes(number(0x0b00_0001)));
        assert!(!penalties.owes(number(0x0b00_0002)), "its neighbour");
    }
}
