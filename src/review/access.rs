//! Who can get where: every person and account that an offer covers, whatever the circumstances, with the
//! offer's terms, the conditions that are left open, and the locks that stood. After the people the groups
//! that somebody is in while it is their shift: what whoever it is has by that.
//!
//! One person is looked at at a time and handed on at once: what is held in memory does not grow with the
//! number of people.

use std::collections::{BTreeMap, BTreeSet};

use super::moment::Moment;
use crate::certificate::fingerprint;
use crate::certificate::names::{
    GroupName, HostName, Login, OfferId, PersonName, Principal, TagName,
};
use crate::config::hosts::{Host, Principals};
use crate::config::people::{Person, PersonKind};
use crate::config::{ConfigError, Deciding};
use crate::decide::facts::Account;
use crate::decide::office::{Act, Matter};
use crate::decide::reach::{Covered, Leave, Reach};
use crate::decide::statements::Statement;
use crate::decide::{Policy, PolicyFault, close};
use crate::desk::collect::{account_facts, person_facts};
use crate::desk::explaining::{At, bare};
use crate::desk::locks::{Locks, Target};

/// What is looked at; everything unless it is said.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// One person or service.
    pub person: Option<PersonName>,
    /// One host: its name, an alias or an address.
    pub host: Option<String>,
    /// The hosts of a tag.
    pub tag: Option<TagName>,
    /// One account, by login.
    pub login: Option<Login>,
}

/// What one person has by one offer, or may do at the desk by one permit.
pub struct Access<'m> {
    /// The person or service; of a group by shift whoever's shift it is, by the group's name.
    pub person: &'m Person,
    /// What they are.
    pub kind: Kind,
    /// The locks that stood against the person, or a key of theirs, a sentence each.
    pub locked: &'m [String],
    /// What it is.
    pub what: What<'m>,
}

/// What those are who have access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Human.
    Person,
    /// Program.
    Service,
    /// Whoever's shift it is, in a group.
    Shift,
}

/// What somebody has.
pub enum What<'m> {
    /// Accounts.
    Accounts {
        /// The offer, as people compare it.
        offer: &'m Statement,
        /// The forbids that stand against it in some circumstances.
        forbids: &'m [OfferId],
        /// Of each login the hosts, by their number in [`Review::hosts`].
        accounts: BTreeMap<&'m Login, Vec<usize>>,
    },
    /// Leave to do something at the desk.
    Desk(&'m Leave),
}

/// Everything that is looked at.
pub struct Review<'m> {
    moment: &'m Moment,
    filter: Filter,
    shifts: Vec<Person>,
    hosts: Vec<&'m Host>,
    offers: BTreeMap<OfferId, Statement>,
    /// By host and login, where anything is locked.
    locks: BTreeMap<(usize, Login), String>,
}

impl<'m> Review<'m> {
    /// Of a moment. A name that does not exist there is an error. `by_shift` are the groups that people are
    /// in while it is their shift.
    pub fn new(
        moment: &'m Moment,
        mut filter: Filter,
        by_shift: &[GroupName],
    ) -> Result<Self, ConfigError> {
        let Deciding { people, hosts, policy, .. } = &moment.deciding;
        if let Some(name) = &filter.person
            && people.get(name).is_none()
        {
            return Err(unknown("person", name.as_str(), people.iter().map(|p| p.name.as_str())));
        }
        if let Some(tag) = &filter.tag
            && !hosts.tags().contains(tag)
        {
            return Err(unknown("tag", tag.as_str(), hosts.tags().iter().map(TagName::as_str)));
        }
        if let Some(typed) = &filter.host {
            let found = hosts.find(typed).ok_or_else(|| unknown("host", typed, hosts.names()))?;
            if let Some(login) = &filter.login
                && !found.accounts.contains(login)
            {
                return Err(unknown(
                    &format!("account of {}", found.name),
                    login.as_str(),
                    found.accounts.iter().map(Login::as_str),
                ));
            }
            filter.host = Some(found.name.to_string());
        }
        let hosts: Vec<&Host> = hosts.iter().filter(|host| !host.accounts.is_empty()).collect();
        let offers = offers(policy);
        let locks = locks_on(&moment.locks, &moment.deciding, &hosts);
        let shifts = by_shift.iter().filter_map(whoever).collect();
        Ok(Self { moment, filter, shifts, hosts, offers, locks })
    }

    /// The moment.
    pub fn moment(&self) -> &'m Moment {
        self.moment
    }

    /// The hosts that have accounts, by name.
    pub fn hosts(&self) -> &[&'m Host] {
        &self.hosts
    }

    /// The lock that stood against every certificate for an account.
    pub fn lock_on(&self, host: usize, login: &Login) -> Option<&str> {
        self.locks.get(&(host, login.clone())).map(String::as_str)
    }

    /// Hands on what everybody has, person by person, offers by id; what `visit` fails with ends it.
    pub fn each<E: From<PolicyFault>>(
        &self,
        mut visit: impl FnMut(Access<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Deciding { people, policy, .. } = &self.moment.deciding;
        let Some(mut reach) = reach(policy, &self.moment.deciding, &self.hosts)? else {
            return Ok(());
        };
        let one = self.filter.person.as_ref();
        for person in people.iter().filter(|person| one.is_none_or(|one| *one == person.name)) {
            let locked = locks_of(&self.moment.locks, person);
            let kind = match person.kind {
                PersonKind::Person => Kind::Person,
                PersonKind::Service => Kind::Service,
            };
            self.person(&mut reach, person, None, |what| {
                visit(Access { person, kind, locked: &locked, what })
            })?;
        }
        for person in self.shifts.iter().filter(|_| one.is_none()) {
            // What they have without it is theirs, and is told with them.
            let off = Person { groups: BTreeSet::new(), ..person.clone() };
            self.person(&mut reach, person, Some(&off), |what| {
                visit(Access { person, kind: Kind::Shift, locked: &[], what })
            })?;
        }
        Ok(())
    }

    /// Hands on what one person has, but for what is `besides` somebody else's too.
    fn person<E: From<PolicyFault>>(
        &self,
        reach: &mut Reach<'_>,
        person: &Person,
        besides: Option<&Person>,
        mut visit: impl FnMut(What<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let filter = &self.filter;
        let everywhere = filter.host.is_none() && filter.tag.is_none();
        let wanted = |host: usize| {
            self.hosts.get(host).is_some_and(|host| {
                filter.host.as_ref().is_none_or(|name| *name == host.name.as_str())
                    && filter.tag.as_ref().is_none_or(|tag| host.tags.contains(tag))
            })
        };
        let covered = of(reach, &self.hosts, person)?;
        let others = match besides {
            Some(other) => of(reach, &self.hosts, other)?,
            None => Default::default(),
        };
        for Covered { offer, forbids, accounts } in covered.iter() {
            let Some(told) = self.offers.get(offer.id()) else { continue };
            let theirs = others.iter().find(|other| other.offer.id() == offer.id());
            let theirs = |login: &Login, at: usize| {
                theirs.is_some_and(|other| {
                    other.accounts.get(login).is_some_and(|hosts| hosts.contains(&at))
                })
            };
            let accounts: BTreeMap<&Login, Vec<usize>> = accounts
                .iter()
                .filter(|(login, _)| filter.login.as_ref().is_none_or(|one| one == *login))
                .map(|(login, hosts)| match everywhere && besides.is_none() {
                    true => (login, hosts.clone()),
                    false => {
                        let some = hosts.iter().copied();
                        (login, some.filter(|at| wanted(*at) && !theirs(login, *at)).collect())
                    }
                })
                .filter(|(_, hosts)| !hosts.is_empty())
                .collect();
            if !accounts.is_empty() {
                visit(What::Accounts { offer: told, forbids, accounts })?;
            }
        }
        if everywhere && filter.login.is_none() {
            let others = besides.map_or(Ok(Vec::new()), |other| at_desk(reach, other))?;
            for leave in at_desk(reach, person)? {
                if !others.iter().any(|other| other.id == leave.id && other.act == leave.act) {
                    visit(What::Desk(&leave))?;
                }
            }
        }
        Ok(())
    }
}

/// Somebody in a group by shift, whoever it is.
fn whoever(group: &GroupName) -> Option<Person> {
    Some(Person {
        // Names of groups and of people are of the same kind.
        name: group.as_str().parse().ok()?,
        kind: PersonKind::Person,
        groups: BTreeSet::from([group.clone()]),
        email: None,
        keys: Vec::new(),
        aliases: BTreeMap::new(),
    })
}

fn unknown<'k>(what: &str, name: &str, known: impl Iterator<Item = &'k str>) -> ConfigError {
    let near =
        close(name, known).map_or(String::new(), |near| format!("\nhint: did you mean {near}?"));
    ConfigError::new(format!("there is no {what} {name:?} at that moment{near}"))
}

/// The offers, as people compare them.
pub(super) fn offers(policy: &Policy) -> BTreeMap<OfferId, Statement> {
    let offers = policy.statements().into_iter().filter(|one| one.terms.is_some());
    offers.map(|one| (one.id.clone(), one)).collect()
}

/// When no circumstance is decided about: nobody reads it.
const NOWHERE: At<'static> = At {
    now: crate::certificate::time::UnixTime::from_secs(0),
    source: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
    around: None,
};

/// What everybody can reach, to be asked person by person; nothing where there is nobody or nothing.
pub(super) fn reach<'m>(
    policy: &'m Policy,
    deciding: &Deciding,
    hosts: &[&Host],
) -> Result<Option<Reach<'m>>, PolicyFault> {
    let accounts: Vec<(Account, BTreeSet<Login>)> = hosts
        .iter()
        .filter_map(|host| {
            Some((account_facts(host.accounts.first()?, host), host.accounts.clone()))
        })
        .collect();
    let (Some((any, _)), Some(person)) = (accounts.first(), deciding.people.iter().next()) else {
        return Ok(None);
    };
    Reach::new(policy, &bare(person, any.clone(), NOWHERE), &accounts).map(Some)
}

/// What one person can reach.
pub(super) fn of<'m>(
    reach: &mut Reach<'m>,
    hosts: &[&Host],
    person: &Person,
) -> Result<std::rc::Rc<Vec<Covered<'m>>>, PolicyFault> {
    let any = hosts.iter().find_map(|host| Some(account_facts(host.accounts.first()?, host)));
    match any {
        Some(any) => reach.of(&bare(person, any, NOWHERE)),
        None => Ok(Default::default()),
    }
}

/// What one person may do at the desk.
pub(super) fn at_desk(reach: &Reach<'_>, person: &Person) -> Result<Vec<Leave>, PolicyFault> {
    let At { now, source, .. } = NOWHERE;
    let person = person_facts(person, BTreeMap::new());
    reach.at_desk(&Matter { now, source, person, act: Act::Audit })
}

/// The locks against a person, or a key of theirs.
fn locks_of(locks: &Locks, person: &Person) -> Vec<String> {
    let keys = person.keys.iter().map(|key| Target::Key(fingerprint(key)));
    let targets = std::iter::once(Target::Person(person.name.clone())).chain(keys);
    targets.filter_map(|target| locks.of(&target)).map(ToString::to_string).collect()
}

/// The locks against accounts.
fn locks_on(
    locks: &Locks,
    deciding: &Deciding,
    hosts: &[&Host],
) -> BTreeMap<(usize, Login), String> {
    let mut all = BTreeMap::new();
    if locks.iter().next().is_none() {
        return all;
    }
    let over_all = locks.of(&Target::Everything);
    for (at, host) in hosts.iter().enumerate() {
        for login in &host.accounts {
            let principal = match host.principals {
                Principals::Bare => Principal::Bare(login.clone()),
                Principals::AtHost => Principal::At(login.clone(), host.name.clone()),
            };
            let lock = over_all.or_else(|| locks.against_principal(&principal, &deciding.hosts));
            if let Some(lock) = lock {
                all.insert((at, login.clone()), lock.to_string());
            }
        }
    }
    all
}

/// The name of a host by its number.
pub fn name<'h>(hosts: &[&'h Host], at: usize) -> Option<&'h HostName> {
    hosts.get(at).map(|host| &host.name)
}
