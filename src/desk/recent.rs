//! What each person was given within the last hour: a part of the fold.

use std::collections::{BTreeSet, HashMap, VecDeque};

use serde::Deserialize;

use crate::certificate::names::{HostName, PersonName};
use crate::certificate::time::{Span, UnixTime};
use crate::ledger::leaf::{Kind, Leaf};
use crate::ledger::store::{Store, StoreError};

/// How far back budgets look.
const HOUR: Span = Span::secs(3600);

/// The certificates of the last hour, by person, with the hosts of each.
#[derive(Debug, Default)]
pub struct Recent(HashMap<PersonName, VecDeque<(UnixTime, BTreeSet<HostName>)>>);

/// What is read of a certificate's facts.
#[derive(Deserialize)]
struct Issued {
    time: UnixTime,
    person: PersonName,
    accounts: Vec<String>,
    #[serde(default)]
    targets: Vec<String>,
}

impl Recent {
    /// What is in the ledger at this moment, for whoever does not fold it.
    pub fn read(store: &Store, now: UnixTime) -> Result<Self, StoreError> {
        let (mut recent, mut found) = (Self::default(), Vec::new());
        store.each_below(u64::MAX, |_, leaf, facts| {
            let kind = leaf.parse::<Leaf>().ok().map(|leaf| leaf.kind);
            let issued = facts.and_then(|facts| serde_json::from_slice::<Issued>(facts).ok());
            let Some(issued) = issued.filter(|_| kind == Some(Kind::Certificate)) else {
                return true;
            };
            let within = now.since(issued.time) < HOUR;
            found.push(issued);
            within
        })?;
        for Issued { time, person, accounts, targets } in found.into_iter().rev() {
            let accounts = if targets.is_empty() { accounts } else { targets };
            recent.issued(&person, &accounts, time);
        }
        recent.forget(now);
        Ok(recent)
    }

    /// Takes in a certificate that was committed.
    pub(super) fn issued(&mut self, person: &PersonName, accounts: &[String], at: UnixTime) {
        let host = |account: &String| account.split_once('@')?.1.parse().ok();
        let hosts = accounts.iter().filter_map(host).collect();
        let own = self.0.entry(person.clone()).or_default();
        own.push_back((at, hosts));
        expire(own, at);
    }

    /// How many certificates a person was given within the hour, and for which hosts.
    pub fn of(&self, person: &PersonName, now: UnixTime) -> (u64, BTreeSet<HostName>) {
        let own = self.0.get(person).into_iter().flatten();
        let within = own.filter(|(at, _)| now.since(*at) < HOUR);
        within.fold((0, BTreeSet::new()), |(count, mut all), (_, hosts)| {
            all.extend(hosts.iter().cloned());
            (count + 1, all)
        })
    }

    /// Drops what time has ended.
    pub(super) fn forget(&mut self, now: UnixTime) {
        self.0.values_mut().for_each(|own| expire(own, now));
        self.0.retain(|_, own| !own.is_empty());
    }
}

fn expire(own: &mut VecDeque<(UnixTime, BTreeSet<HostName>)>, now: UnixTime) {
    while own.front().is_some_and(|(at, _)| now.since(*at) >= HOUR) {
        own.pop_front();
    }
}
