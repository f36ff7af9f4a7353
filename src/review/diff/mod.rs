//! Two moments compared: who gains and who loses what, and what changed in the statements.
//!
//! What lets anybody do more than before, or might, is said to widen: a gain, a longer life, a condition
//! or a forbid less, another key. Where it cannot be told (a first line that speaks of another group) it
//! is said to widen.

mod directory;
mod statements;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::access::{at_desk, of, reach};
use super::group::{Places, Teams};
use super::moment::{Moment, Source};
use crate::certificate::names::{HostName, Login, OfferId, PersonName};
use crate::config::hosts::Host;
use crate::decide::PolicyFault;
use crate::decide::reach::{Covered, Reach};
use crate::decide::statements::Statement;

/// What differs.
#[derive(Debug)]
pub struct Diff {
    /// Where the old files are from.
    pub old: Source,
    /// Where the new ones are from.
    pub new: Source,
    /// Every change: gains, losses, statements, people and hosts.
    pub changes: Vec<Change>,
}

impl Diff {
    /// How many changes widen.
    pub fn widening(&self) -> usize {
        self.changes.iter().filter(|change| change.widens).count()
    }
}

/// One change.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is.
    pub what: What,
    /// Whether somebody may do more than before.
    pub widens: bool,
}

/// The kinds of changes.
#[derive(Debug, PartialEq, Eq)]
pub enum What {
    /// Who has what by which statement.
    Reach(Box<Reached>),
    /// A statement that is new, gone, or differs.
    Statement {
        /// Its id.
        id: OfferId,
        /// `offer`, `permit` or `forbid`.
        sort: &'static str,
        /// What became of it: `new: 10m certificates ...`, `ttl 10m -> 30m`.
        change: String,
    },
    /// A person, a host or named hours that are others than before.
    Directory {
        /// `person`, `host` or `hours`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What became of it: `key SHA256:... is new`.
        change: String,
    },
}

/// People who have something more or less.
#[derive(Debug, PartialEq, Eq)]
pub struct Reached {
    /// What became of it.
    pub how: How,
    /// Who.
    pub people: BTreeSet<PersonName>,
    /// The same in few words: `group sre (12), vera`.
    pub who: String,
    /// The account on each host, or nothing for the desk.
    pub login: Option<Login>,
    /// The hosts.
    pub hosts: BTreeSet<HostName>,
    /// The same in few words: `deploy@tag:prod`, `audit at the desk`.
    pub places: String,
    /// By which offer or permit.
    pub by: OfferId,
    /// Its terms and conditions, in words.
    pub under: Vec<String>,
}

/// What became of what somebody has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum How {
    /// They have it.
    Gains,
    /// They have not any more.
    Loses,
    /// This forbid, which stands in both, does not stand against it any more.
    Freed(OfferId),
    /// It does now.
    Barred(OfferId),
}

impl How {
    fn widens(&self) -> bool {
        matches!(self, Self::Gains | Self::Freed(_))
    }
}

/// Compares two moments.
pub fn diff(old: &Moment, new: &Moment) -> Result<Diff, PolicyFault> {
    let mut changes = reached(old, new)?;
    changes.extend(statements::changes(&old.deciding.policy, &new.deciding.policy));
    changes.extend(directory::changes(&old.deciding, &new.deciding));
    Ok(Diff { old: old.source.clone(), new: new.source.clone(), changes })
}

/// One of the two sides.
struct Side<'m> {
    moment: &'m Moment,
    hosts: Vec<&'m Host>,
    reach: Option<Reach<'m>>,
    statements: BTreeMap<OfferId, Statement>,
}

impl<'m> Side<'m> {
    fn of(moment: &'m Moment) -> Result<Self, PolicyFault> {
        let deciding = &moment.deciding;
        let hosts: Vec<&Host> =
            deciding.hosts.iter().filter(|host| !host.accounts.is_empty()).collect();
        let reach = reach(&deciding.policy, deciding, &hosts)?;
        let statements = deciding.policy.statements().into_iter();
        let statements = statements.map(|one| (one.id.clone(), one)).collect();
        Ok(Self { moment, hosts, reach, statements })
    }

    /// What a person has here; nothing where there is no such person.
    fn covered(&mut self, name: &PersonName) -> Result<Rc<Vec<Covered<'m>>>, PolicyFault> {
        match (self.moment.deciding.people.get(name), &mut self.reach) {
            (Some(person), Some(reach)) => of(reach, &self.hosts, person),
            _ => Ok(Rc::default()),
        }
    }

    /// What a person may do at the desk: the permit, and the word for it.
    fn desk(&self, name: &PersonName) -> Result<BTreeMap<OfferId, String>, PolicyFault> {
        match (self.moment.deciding.people.get(name), &self.reach) {
            (Some(person), Some(reach)) => {
                Ok(at_desk(reach, person)?.into_iter().map(|one| (one.id, one.act)).collect())
            }
            _ => Ok(BTreeMap::new()),
        }
    }
}

/// By offer and login: each host with the forbids that may stand against it there.
type Accounts<'c> = BTreeMap<(&'c OfferId, &'c Login), BTreeMap<&'c HostName, &'c [OfferId]>>;

/// What one kind of people gains and loses.
type Difference = Vec<(How, OfferId, Login, BTreeSet<HostName>)>;

fn reached(old: &Moment, new: &Moment) -> Result<Vec<Change>, PolicyFault> {
    let (mut before, mut after) = (Side::of(old)?, Side::of(new)?);
    let people = |moment: &Moment| -> Vec<PersonName> {
        moment.deciding.people.iter().map(|person| person.name.clone()).collect()
    };
    let everybody: BTreeSet<PersonName> = people(old).into_iter().chain(people(new)).collect();
    // People of the same kinds before and after have the same difference. What is pointed to is kept.
    let mut kept = Vec::new();
    let mut seen: HashMap<(*const _, *const _), Rc<Difference>> = HashMap::new();
    let mut who: BTreeMap<_, BTreeSet<PersonName>> = BTreeMap::new();
    let mut desk: BTreeMap<(How, OfferId, String), BTreeSet<PersonName>> = BTreeMap::new();
    for name in &everybody {
        let (was, is) = (before.covered(name)?, after.covered(name)?);
        let key = (Rc::as_ptr(&was), Rc::as_ptr(&is));
        let difference = match seen.get(&key) {
            Some(difference) => Rc::clone(difference),
            None => {
                let difference = Rc::new(difference(&before, &was, &after, &is));
                seen.insert(key, Rc::clone(&difference));
                kept.push((was, is));
                difference
            }
        };
        for (how, offer, login, hosts) in difference.iter() {
            let key = (how.clone(), offer.clone(), login.clone(), hosts.clone());
            who.entry(key).or_default().insert(name.clone());
        }
        let (was, is) = (before.desk(name)?, after.desk(name)?);
        for (id, act) in is.iter().filter(|(id, _)| !was.contains_key(*id)) {
            desk.entry((How::Gains, id.clone(), act.clone())).or_default().insert(name.clone());
        }
        for (id, act) in was.iter().filter(|(id, _)| !is.contains_key(*id)) {
            desk.entry((How::Loses, id.clone(), act.clone())).or_default().insert(name.clone());
        }
    }
    let told = Told::of(&before, &after);
    let logins = who.into_iter().map(|((how, by, login, hosts), people)| {
        let places = told.places(&how).accounts(&login, &hosts);
        told.change(how, by, people, Some(login), hosts, places)
    });
    let mut changes: Vec<Change> = logins.collect();
    changes.extend(desk.into_iter().map(|((how, by, act), people)| {
        told.change(how, by, people, None, BTreeSet::new(), format!("{act} at the desk"))
    }));
    changes.sort_by(|a, b| order(a).cmp(&order(b)));
    Ok(changes)
}

/// Gains first, then losses; the rest is in order.
fn order(change: &Change) -> Option<&How> {
    match &change.what {
        What::Reach(one) => Some(&one.how),
        _ => None,
    }
}

fn accounts<'c>(side: &'c Side<'_>, covered: &'c [Covered<'_>]) -> Accounts<'c> {
    let mut all: Accounts<'c> = BTreeMap::new();
    for one in covered {
        for (login, hosts) in &one.accounts {
            let of = all.entry((one.offer.id(), login)).or_default();
            let names = hosts.iter().filter_map(|at| side.hosts.get(*at));
            of.extend(names.map(|host| (&host.name, one.forbids.as_slice())));
        }
    }
    all
}

fn difference(
    before: &Side<'_>,
    was: &[Covered<'_>],
    after: &Side<'_>,
    is: &[Covered<'_>],
) -> Difference {
    let (was, is) = (accounts(before, was), accounts(after, is));
    let keys: BTreeSet<_> = was.keys().chain(is.keys()).collect();
    let mut all: BTreeMap<(How, &OfferId, &Login), BTreeSet<HostName>> = BTreeMap::new();
    let nothing = BTreeMap::new();
    for key @ (offer, login) in keys {
        let (was, is) = (was.get(key).unwrap_or(&nothing), is.get(key).unwrap_or(&nothing));
        let mut put = |how: How, host: &HostName| {
            all.entry((how, offer, login)).or_default().insert(host.clone());
        };
        for (host, forbids) in is {
            match was.get(host) {
                None => put(How::Gains, host),
                Some(before_forbids) => {
                    let both = |id: &&OfferId| {
                        before.statements.contains_key(*id) && after.statements.contains_key(*id)
                    };
                    let gone = before_forbids.iter().filter(|id| !forbids.contains(id));
                    gone.filter(both).for_each(|id| put(How::Freed(id.clone()), host));
                    let new = forbids.iter().filter(|id| !before_forbids.contains(id));
                    new.filter(both).for_each(|id| put(How::Barred(id.clone()), host));
                }
            }
        }
        for host in was.keys().filter(|host| !is.contains_key(*host)) {
            put(How::Loses, host);
        }
    }
    let rows = all.into_iter();
    rows.map(|((how, offer, login), hosts)| (how, offer.clone(), login.clone(), hosts)).collect()
}

/// Names of many as few, on both sides: who loses something is told by the old files.
struct Told<'s, 'm> {
    sides: [&'s Side<'m>; 2],
    places: [Places; 2],
    teams: Teams,
}

impl<'s, 'm> Told<'s, 'm> {
    fn of(before: &'s Side<'m>, after: &'s Side<'m>) -> Self {
        let sides = [before, after];
        let [old, new] = sides.map(|side| Teams::of(side.moment.deciding.people.iter()));
        Self {
            teams: new.same(&old),
            sides,
            places: sides.map(|side| Places::of(side.hosts.iter().copied())),
        }
    }

    fn places(&self, how: &How) -> &Places {
        let [before, after] = &self.places;
        if *how == How::Loses { before } else { after }
    }

    fn change(
        &self,
        how: How,
        by: OfferId,
        people: BTreeSet<PersonName>,
        login: Option<Login>,
        hosts: BTreeSet<HostName>,
        places: String,
    ) -> Change {
        let lost = how == How::Loses;
        let [before, after] = &self.sides;
        let side = if lost { before } else { after };
        let who = self.teams.people(&people);
        let under = side.statements.get(&by).map_or(Vec::new(), statements::under);
        let widens = how.widens();
        let reached = Reached { how, people, who, login, hosts, places, by, under };
        Change { what: What::Reach(Box::new(reached)), widens }
    }
}
