//! The names that exist: a policy that speaks of any other is not loaded.
//!
//! Cedar compares entities and never asks whether they exist, so a misspelled group in a `forbid`
//! would forbid nothing, silently, until the day it is needed.

use std::collections::{BTreeMap, BTreeSet};

use super::hours::Hours;
use super::saying::Saying;
use crate::certificate::names::{GroupName, HostName, HoursName, Login, PersonName, TagName};

/// Everybody and everything that a policy may name, from the people and hosts files.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The groups that somebody is in or that own a host.
    pub groups: BTreeSet<GroupName>,
    /// The tags that hosts carry.
    pub tags: BTreeSet<TagName>,
    /// The hosts and pools, by canonical name.
    pub hosts: BTreeSet<HostName>,
    /// The human beings.
    pub persons: BTreeSet<PersonName>,
    /// The programs.
    pub services: BTreeSet<PersonName>,
    /// The accounts, each on its host or pool.
    pub accounts: BTreeSet<(Login, HostName)>,
    /// The named hours.
    pub hours: BTreeMap<HoursName, Hours>,
    /// Which reasons say something.
    pub saying: Saying,
}

/// A name that does not exist: the sentence, and what may have been meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) message: String,
    pub(super) hint: String,
}

impl World {
    /// Looks for what a policy calls `Kind::"name"`. A kind that is not looked up here is left to
    /// the validator.
    pub(super) fn look_up(&self, kind: &str, name: &str) -> Result<(), Missing> {
        let (word, known): (&str, Vec<String>) = match kind {
            "Group" => ("group", texts(&self.groups)),
            "Tag" => ("tag", texts(&self.tags)),
            "Host" => ("host", texts(&self.hosts)),
            "Person" => ("person", texts(&self.persons)),
            "Service" => ("service", texts(&self.services)),
            "Account" => {
                let all = self.accounts.iter().map(|(login, host)| format!("{login}@{host}"));
                ("account", all.collect())
            }
            "Hours" => ("hours", self.hours.keys().map(HoursName::to_string).collect()),
            "Desk" => ("desk", vec!["desk".to_owned()]),
            _ => return Ok(()),
        };
        if known.iter().any(|known| known == name) {
            return Ok(());
        }
        let other = match kind {
            "Person" if self.services.iter().any(|known| known.as_str() == name) => Some("Service"),
            "Service" if self.persons.iter().any(|known| known.as_str() == name) => Some("Person"),
            _ => None,
        };
        // Groups and tags may be empty, so that a policy can be written first.
        let made = match kind {
            "Group" => format!("groups = [\"{name}\"] in people.toml makes an empty one"),
            "Tag" => format!("tags = [\"{name}\"] in hosts.toml makes an unused one"),
            _ => String::new(),
        };
        let made = |hint: String| if made.is_empty() { hint } else { format!("{hint}; {made}") };
        Err(match other {
            Some(other) => Missing {
                message: format!("{name} is no {word}"),
                hint: format!("write {other}::\"{name}\""),
            },
            None => Missing {
                message: format!("{word} {name} does not exist"),
                hint: match nearest(name, known.iter().map(String::as_str)) {
                    Some(near) if distance(name, near) <= 2 => format!("the nearest is {near}"),
                    Some(near) => made(format!("the nearest is {near}")),
                    None => made(format!("no {word} exists yet")),
                },
            },
        })
    }
}

fn texts<T: ToString>(names: &BTreeSet<T>) -> Vec<String> {
    names.iter().map(T::to_string).collect()
}

/// The name that takes the fewest typing errors to become this one; the first of several.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.min_by_key(|known| distance(name, known))
}

/// The nearest name, if it is near enough to have been meant.
pub(crate) fn close<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    nearest(name, known).filter(|near| distance(name, near) <= 2)
}

/// How many characters must be put in, left out, replaced or swapped with their neighbour to turn
/// one text into the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let swapped = i > 0 && j > 0 && to.get(j - 1) == Some(a) && from.get(i - 1) == Some(b);
            let best =
                (at(&row, j) + usize::from(a != b)).min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            next.push(if swapped { best.min(at(&before, j - 1) + 1) } else { best });
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_takes_the_fewest_typing_errors() {
        for (a, b, errors) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("srre", "sre", 1),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), errors, "{a} {b}");
            assert_eq!(distance(b, a), errors, "{b} {a}");
        }
        assert_eq!(nearest("deplyo", ["root", "deploy", "logs"].into_iter()), Some("deploy"));
        assert_eq!(nearest("x", std::iter::empty()), None);
        assert_eq!(close("tll", ["ttl", "id"].into_iter()), Some("ttl"));
        assert_eq!(close("shadow", ["ttl", "id"].into_iter()), None);
    }

    #[test]
    fn a_name_of_the_other_kind_is_said_to_be_one() {
        let world =
            World { services: BTreeSet::from(["deploy-bot".parse().unwrap()]), ..World::default() };
        assert_eq!(world.look_up("Service", "deploy-bot"), Ok(()));
        let why = world.look_up("Person", "deploy-bot").unwrap_err();
        assert_eq!(why.message, "deploy-bot is no person");
        assert_eq!(why.hint, "write Service::\"deploy-bot\"");
        assert_eq!(
            world.look_up("Tag", "prod").unwrap_err().hint,
            "no tag exists yet; tags = [\"prod\"] in hosts.toml makes an unused one"
        );
        assert_eq!(world.look_up("Action", "login"), Ok(()));
    }
}
