//! Locks: what is stopped, by whom and why, until somebody lifts it by name.
//!
//! A fold over the ledger's entries of kind `lock`, from the first on: a lock never ends by itself. It
//! stands above the files, and may name what is in none of them, not yet or not any more.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::changes::{Changes, refold};
use crate::certificate::names::{HostName, Login, PersonName, Principal, TagName};
use crate::certificate::safe::Safe;
use crate::certificate::time::UnixTime;
use crate::config::hosts::{Host, Hosts, Principals};
use crate::ledger::facts::{Granted, Header, LockChange};
use crate::ledger::leaf::Kind;
use crate::ledger::record::Bar;
use crate::ledger::store::{Store, StoreError};

/// What can be locked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Every certificate.
    Everything,
    /// A person or service: they are given nothing.
    Person(PersonName),
    /// A key, by its fingerprint: whoever proves it is given nothing, and it is not certified.
    Key(String),
    /// A host or pool: no certificate opens it.
    Host(HostName),
    /// Every host that has this tag at the moment.
    Tag(TagName),
}

impl Target {
    /// The kind, as policy and facts call it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Person(_) => "person",
            Self::Key(_) => "key",
            Self::Host(_) => "host",
            Self::Tag(_) => "tag",
        }
    }

    /// The name; empty for everything.
    pub fn name(&self) -> &str {
        match self {
            Self::Everything => "",
            Self::Person(name) => name.as_str(),
            Self::Key(fingerprint) => fingerprint,
            Self::Host(name) => name.as_str(),
            Self::Tag(name) => name.as_str(),
        }
    }

    /// As it is typed: `person:bob`, `everything`.
    pub fn typed(&self) -> String {
        match self {
            Self::Everything => self.kind().to_owned(),
            _ => format!("{}:{}", self.kind(), self.name()),
        }
    }
}

impl fmt::Display for Target {
    /// As a sentence has it: `person bob`, `everything`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.typed().replacen(':', " ", 1).as_str())
    }
}

impl FromStr for Target {
    type Err = String;

    /// Reads `bob`, `person:bob`, `key:SHA256:...`, `host:web01`, `tag:prod` or `everything`.
    fn from_str(typed: &str) -> Result<Self, String> {
        let bad = |why: &dyn fmt::Display| format!("{}: {why}", Safe(typed));
        match typed.split_once(':') {
            None if typed == "everything" => Ok(Self::Everything),
            None => typed.parse().map(Self::Person).map_err(|why| bad(&why)),
            Some(("person", name)) => name.parse().map(Self::Person).map_err(|why| bad(&why)),
            Some(("host", name)) => name.parse().map(Self::Host).map_err(|why| bad(&why)),
            Some(("tag", name)) => name.parse().map(Self::Tag).map_err(|why| bad(&why)),
            Some(("key", print)) if is_fingerprint(print) => Ok(Self::Key(print.to_owned())),
            Some(("SHA256", _)) if is_fingerprint(typed) => Ok(Self::Key(typed.to_owned())),
            Some(("key" | "SHA256", _)) => Err(bad(&"not a fingerprint as ssh-keygen -l shows it")),
            Some(_) => Err(bad(&"not person:, key:, host:, tag: or everything")),
        }
    }
}

/// `SHA256:` and 32 bytes in base64 without padding.
fn is_fingerprint(text: &str) -> bool {
    text.strip_prefix("SHA256:").is_some_and(|hash| {
        hash.len() == 43 && hash.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(&b))
    })
}

/// A lock that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// What is locked.
    pub target: Target,
    /// Who locked it, in words: `ana`, `the operator root`.
    pub by: String,
    /// Since when.
    pub since: UnixTime,
    /// Why, in the words of whoever did. Foreign text.
    pub reason: String,
}

impl Lock {
    /// What to do about it.
    pub fn hint(&self) -> String {
        format!("somebody who may lifts it: ssh ca unlock {} --reason TEXT", self.target.typed())
    }
}

impl fmt::Display for Lock {
    /// The sentence: lower case, no full stop, printable ASCII.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, by, since, reason } = self;
        write!(f, "{target} is locked since {since} by {}: {}", Safe(by), Safe(reason))
    }
}

/// All locks that stand.
#[derive(Debug, Clone, Default)]
pub struct Locks {
    standing: BTreeMap<Target, Lock>,
    changes: Changes<PersonName>,
}

impl Locks {
    /// Reads every lock there ever was. What would lift one unnoticed, facts that are not those of the
    /// leaf, is an error.
    pub fn rebuild(store: &Store) -> Result<Self, StoreError> {
        Self::rebuild_to(store, &|_, _| true)
    }

    /// The locks that stood at some moment: by those entries alone that `counts`, told by index and facts.
    pub fn rebuild_to(
        store: &Store,
        counts: &dyn Fn(u64, &[u8]) -> bool,
    ) -> Result<Self, StoreError> {
        let mut locks = Self::default();
        let mut unread = None;
        store.each_of(Kind::Lock, |row| {
            if row.facts.as_ref().is_none_or(|facts| counts(row.index, facts)) {
                unread = refold(&row, "a lock", |facts| locks.fold(facts)).err();
            }
            unread.is_none()
        })?;
        unread.map_or(Ok(locks), Err)
    }

    /// Takes in an entry of kind `lock`.
    pub fn fold(&mut self, facts: &[u8]) -> Result<(), String> {
        let header: Header = serde_json::from_slice(facts).map_err(|why| why.to_string())?;
        let change: LockChange = serde_json::from_slice(facts).map_err(|why| why.to_string())?;
        let by = change.who();
        if let Some(person) = &change.person {
            self.changes.count(person.clone(), header.time);
        }
        let LockChange { target, name, locked, reason, .. } = change;
        let target: Target = match target.as_str() {
            "everything" => Target::Everything,
            kind => format!("{kind}:{name}").parse()?,
        };
        if locked {
            let lock = Lock { target: target.clone(), by, since: header.time, reason };
            self.standing.insert(target, lock);
        } else {
            self.standing.remove(&target);
        }
        Ok(())
    }

    /// Whether a person may change one more lock.
    pub fn may_change(&self, person: &PersonName, now: UnixTime) -> bool {
        self.changes.may(person, now)
    }

    /// Drops what time has ended; a lock it never ends.
    pub fn forget(&mut self, now: UnixTime) {
        self.changes.forget(now);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Lock> {
        self.standing.values()
    }

    /// The lock of exactly this.
    pub fn of(&self, target: &Target) -> Option<&Lock> {
        self.standing.get(target)
    }

    /// The lock that keeps this person, by this key, from doing anything.
    pub fn against_person(&self, person: &PersonName, key: &str) -> Option<&Lock> {
        if self.standing.is_empty() {
            return None;
        }
        self.of(&Target::Person(person.clone())).or_else(|| self.of(&Target::Key(key.to_owned())))
    }

    /// The lock that stands against a certificate for these principals, asked for by this person with
    /// this key.
    pub fn against(
        &self,
        person: &PersonName,
        key: &str,
        principals: &[Principal],
        hosts: &Hosts,
    ) -> Option<&Lock> {
        if self.standing.is_empty() {
            return None;
        }
        self.of(&Target::Everything)
            .or_else(|| self.against_person(person, key))
            .or_else(|| principals.iter().find_map(|one| self.against_principal(one, hosts)))
    }

    /// The same, whoever asks.
    pub fn against_principal(&self, principal: &Principal, hosts: &Hosts) -> Option<&Lock> {
        match principal {
            // By name first: a host that is in no file any more may be locked all the same.
            Principal::At(_, name) => self
                .of(&Target::Host(name.clone()))
                .or_else(|| self.on_host(hosts.find(name.as_str())?)),
            // A bare name opens the account on every server that takes bare names.
            Principal::Bare(login) => hosts
                .iter()
                .filter(|host| takes_bare(host, login))
                .find_map(|host| self.on_host(host)),
        }
    }

    fn on_host(&self, host: &Host) -> Option<&Lock> {
        let tag = |tag: &TagName| self.of(&Target::Tag(tag.clone()));
        self.of(&Target::Host(host.name.clone())).or_else(|| host.tags.iter().find_map(tag))
    }

    /// The same, of a certificate's facts: what the ledger's writer asks right before COMMIT.
    pub fn against_facts(&self, facts: &[u8], hosts: &Hosts) -> Option<Bar> {
        if self.standing.is_empty() {
            return None;
        }
        match serde_json::from_slice::<Granted>(facts) {
            Ok(seen) => self
                .against(&seen.person, &seen.key, &seen.accounts, hosts)
                .map(|lock| Bar { why: lock.to_string(), hint: lock.hint() }),
            // What cannot be read cannot be shown to be free.
            Err(_) => Some(Bar {
                why: "the facts cannot be held against the locks".to_owned(),
                hint: "ssh ca status".to_owned(),
            }),
        }
    }
}

fn takes_bare(host: &Host, login: &Login) -> bool {
    host.principals == Principals::Bare && host.accounts.contains(login)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINT: &str = "SHA256:abcdefghijklmnopqrstuvwxyz0123456789+/ABCDE";

    fn locked(target: &str) -> Locks {
        let mut locks = Locks::default();
        change(&mut locks, target, true);
        locks
    }

    fn change(locks: &mut Locks, target: &str, locked: bool) {
        let target: Target = target.parse().unwrap();
        let change = LockChange {
            target: target.kind().to_owned(),
            name: target.name().to_owned(),
            locked,
            person: "ana".parse().ok(),
            key: None,
            source: None,
            operator: None,
            reason: "laptop lost".to_owned(),
        };
        let kind = crate::ledger::leaf::Kind::Lock;
        let facts =
            crate::ledger::facts::write(kind, [0; 16], UnixTime::from_secs(0), "ca", &change);
        locks.fold(&facts.unwrap()).unwrap();
    }

    fn hosts() -> Hosts {
        let text = "[host.web01]\ntags = [\"prod\"]\naccounts = [\"deploy\"]\n\
                    [host.old01]\ntags = [\"old\"]\naccounts = [\"root\"]\nprincipals = \"login\"\n\
                    [host.old02]\naccounts = [\"root\", \"app\"]\nprincipals = \"login\"\n";
        let (path, name) = ("hosts.toml".into(), "hosts.toml".to_owned());
        Hosts::read(&[crate::config::snapshot::Text { path, name, text: text.to_owned() }]).unwrap()
    }

    #[test]
    fn what_is_typed_names_one_thing() {
        for (typed, kind, name) in [
            ("bob", "person", "bob"),
            ("person:everything", "person", "everything"),
            ("everything", "everything", ""),
            ("host:web01", "host", "web01"),
            ("tag:prod", "tag", "prod"),
            (PRINT, "key", PRINT),
            (&format!("key:{PRINT}"), "key", PRINT),
        ] {
            let target: Target = typed.parse().unwrap();
            assert_eq!((target.kind(), target.name()), (kind, name));
            assert_eq!(target.typed().parse(), Ok(target));
        }
        for bad in [
            "",
            "Bob",
            "host:",
            "host:a b",
            "key:bob",
            "SHA256:short",
            "team:x",
            "person:",
            "key:SHA256:x",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_lock_stops_what_it_names_and_nothing_else() {
        let (hosts, bob, ana) = (hosts(), "bob".parse().unwrap(), "ana".parse().unwrap());
        let at = |text: &str| vec![text.parse::<Principal>().unwrap()];
        for (target, person, key, principal, stopped) in [
            ("bob", &bob, "SHA256:k", "deploy@web01", true),
            ("bob", &ana, "SHA256:k", "deploy@web01", false),
            (PRINT, &ana, PRINT, "deploy@web01", true),
            (PRINT, &ana, "SHA256:k", "deploy@web01", false),
            ("host:web01", &ana, "SHA256:k", "deploy@web01", true),
            ("host:web01", &ana, "SHA256:k", "deploy@web02", false),
            // A host that no file has.
            ("host:web09", &ana, "SHA256:k", "deploy@web09", true),
            ("tag:prod", &ana, "SHA256:k", "deploy@web01", true),
            ("tag:prod", &ana, "SHA256:k", "deploy@web09", false),
            ("everything", &ana, "SHA256:k", "deploy@web01", true),
            // A bare name opens every server that takes it, so one that is locked stops it.
            ("host:old01", &ana, "SHA256:k", "root", true),
            ("tag:old", &ana, "SHA256:k", "root", true),
            ("host:old01", &ana, "SHA256:k", "app", false),
            ("host:web01", &ana, "SHA256:k", "root", false),
        ] {
            let locks = locked(target);
            let found = locks.against(person, key, &at(principal), &hosts);
            assert_eq!(found.is_some(), stopped, "{target} {principal}");
        }
        // Everything does not stop people from lifting it.
        assert!(locked("everything").against_person(&ana, "SHA256:k").is_none());
        assert!(locked("bob").against_person(&bob, "SHA256:k").is_some());
    }

    #[test]
    fn the_last_entry_of_a_target_counts() {
        let mut locks = locked("bob");
        change(&mut locks, "host:web01", true);
        change(&mut locks, "bob", false);
        assert_eq!(
            locks.iter().map(|lock| lock.target.typed()).collect::<Vec<_>>(),
            ["host:web01"]
        );
        assert_eq!(
            locks.iter().next().unwrap().to_string(),
            "host web01 is locked since 1970-01-01T00:00:00Z by ana: laptop lost"
        );
        assert!(locks.fold(b"{}").is_err());
        assert!(locks.against_facts(b"{}", &hosts()).is_some());
    }
}
