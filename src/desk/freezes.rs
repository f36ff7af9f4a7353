//! Freezes: a word to policy that the moment is not an ordinary one, for everything or for the hosts of
//! some tags: an alert, a lockdown, the busiest day of the year. What a freeze stops is the policy's to
//! say (`context.frozen`); what nobody may override is a lock.
//!
//! They come from people (`freeze`, `thaw`) and from webhooks, and those are a fold over the ledger's
//! entries of kind `freeze`; and from files in a folder, which stand for as long as they are there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::changes::{Changes, refold};
use crate::certificate::names::{FreezeName, TagName};
use crate::certificate::safe::Safe;
use crate::certificate::time::UnixTime;
use crate::ledger::facts::{FreezeChange, Header};
use crate::ledger::leaf::Kind;
use crate::ledger::store::{Store, StoreError};

/// A freeze that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Its name.
    pub name: FreezeName,
    /// The tags whose hosts it is over; none for every host.
    pub tags: BTreeSet<TagName>,
    /// Who set it, in words: `ana`, `webhook alerts`, `file`.
    pub by: String,
    /// From when on.
    pub since: UnixTime,
    /// When it ends by itself.
    pub until: Option<UnixTime>,
    /// Why. Foreign text.
    pub reason: String,
}

impl Freeze {
    /// Whether it stands over a host with these tags at this moment.
    pub fn is_over(&self, tags: &BTreeSet<TagName>, now: UnixTime) -> bool {
        self.stands(now) && (self.tags.is_empty() || !self.tags.is_disjoint(tags))
    }

    /// Whether it stands at this moment.
    pub fn stands(&self, now: UnixTime) -> bool {
        self.since <= now && self.until.is_none_or(|until| now < until)
    }

    /// What it is over, in words.
    pub fn what(&self) -> String {
        let tags: Vec<&str> = self.tags.iter().map(TagName::as_str).collect();
        if tags.is_empty() { "everything".to_owned() } else { format!("tag {}", tags.join(", ")) }
    }
}

impl fmt::Display for Freeze {
    /// The sentence: lower case, no full stop, printable ASCII.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, by, since, until, reason, .. } = self;
        write!(f, "{name} over {} since {since} by {}", self.what(), Safe(by))?;
        if let Some(until) = until {
            write!(f, " until {until}")?;
        }
        write!(f, ": {}", Safe(reason))
    }
}

/// All freezes of the ledger that stand.
#[derive(Debug, Default)]
pub struct Freezes {
    standing: BTreeMap<FreezeName, Freeze>,
    changes: Changes<String>,
}

impl Freezes {
    /// Reads every freeze there ever was. What would lift one unnoticed, facts that are not those of the
    /// leaf, is an error.
    pub fn rebuild(store: &Store) -> Result<Self, StoreError> {
        let mut freezes = Self::default();
        let mut unread = None;
        store.each_of(Kind::Freeze, |row| {
            unread = refold(&row, "a freeze", |facts| freezes.fold(facts)).err();
            unread.is_none()
        })?;
        unread.map_or(Ok(freezes), Err)
    }

    /// Takes in an entry of kind `freeze`.
    pub fn fold(&mut self, facts: &[u8]) -> Result<(), String> {
        let header: Header = serde_json::from_slice(facts).map_err(|why| why.to_string())?;
        let change: FreezeChange = serde_json::from_slice(facts).map_err(|why| why.to_string())?;
        let by = change.who();
        self.changes.count(by.clone(), header.time);
        let FreezeChange { name, frozen, tags, until, reason, .. } = change;
        if frozen {
            // What is renewed stands since it was set.
            let since = self.standing.get(&name).map_or(header.time, |freeze| freeze.since);
            let freeze = Freeze { name: name.clone(), tags, by, since, until, reason };
            self.standing.insert(name, freeze);
        } else {
            self.standing.remove(&name);
        }
        Ok(())
    }

    /// Whether this person, operator or webhook may change one more.
    pub fn may_change(&self, by: &str, now: UnixTime) -> bool {
        self.changes.may(by, now)
    }

    /// Drops what time has ended.
    pub fn forget(&mut self, now: UnixTime) {
        self.standing.retain(|_, freeze| freeze.until.is_none_or(|until| now < until));
        self.changes.forget(now);
    }

    /// Those that stand at this moment.
    pub fn standing(&self, now: UnixTime) -> impl Iterator<Item = &Freeze> {
        self.standing.values().filter(move |freeze| freeze.stands(now))
    }

    /// The one of this name.
    pub fn of(&self, name: &FreezeName, now: UnixTime) -> Option<&Freeze> {
        self.standing.get(name).filter(|freeze| freeze.stands(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(1_800_000_000 + secs)
    }

    fn change(
        freezes: &mut Freezes,
        name: &str,
        frozen: bool,
        tags: &[&str],
        when: u64,
        until: Option<u64>,
    ) {
        let change = FreezeChange {
            name: name.parse().unwrap(),
            frozen,
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            until: until.map(at),
            person: "ana".parse().ok(),
            key: None,
            source: None,
            operator: None,
            webhook: None,
            reason: "the busiest day".to_owned(),
        };
        let facts =
            crate::ledger::facts::write(Kind::Freeze, [0; 16], at(when), "ca", &change).unwrap();
        freezes.fold(&facts).unwrap();
    }

    fn over(freezes: &Freezes, tags: &[&str], when: u64) -> Vec<String> {
        let tags = tags.iter().map(|tag| tag.parse().unwrap()).collect();
        let all = freezes.standing(at(when)).filter(|freeze| freeze.is_over(&tags, at(when)));
        all.map(|freeze| freeze.name.to_string()).collect()
    }

    #[test]
    fn a_freeze_is_over_what_it_names_until_it_ends_or_is_lifted() {
        let mut freezes = Freezes::default();
        change(&mut freezes, "black-friday", true, &[], 0, Some(100));
        change(&mut freezes, "db-failover", true, &["db"], 10, None);
        assert_eq!(over(&freezes, &["db", "prod"], 50), ["black-friday", "db-failover"]);
        assert_eq!(over(&freezes, &["web"], 50), ["black-friday"]);
        assert_eq!(over(&freezes, &["web"], 100), [""; 0]);
        assert_eq!(over(&freezes, &[], 50), ["black-friday"]);
        // Set again it stands longer, since when it did.
        change(&mut freezes, "black-friday", true, &[], 60, Some(200));
        assert_eq!(over(&freezes, &["web"], 150), ["black-friday"]);
        assert_eq!(freezes.of(&"black-friday".parse().unwrap(), at(150)).unwrap().since, at(0));
        change(&mut freezes, "db-failover", false, &[], 70, None);
        assert_eq!(over(&freezes, &["db"], 70), ["black-friday"]);
        freezes.forget(at(1000));
        assert!(freezes.standing.is_empty());
    }

    #[test]
    fn nobody_fills_the_ledger_with_freezes() {
        let mut freezes = Freezes::default();
        for round in 0..100 {
            assert!(freezes.may_change("ana", at(round)));
            change(&mut freezes, "x", round % 2 == 0, &[], round, None);
        }
        assert!(!freezes.may_change("ana", at(100)));
        assert!(freezes.may_change("webhook alerts", at(100)));
        assert!(freezes.may_change("ana", at(3700)));
    }
}
