//! Many names as few: the hosts of a tag, the people of a group.

use std::collections::{BTreeMap, BTreeSet};

use crate::certificate::names::{GroupName, HostName, Login, PersonName, TagName};
use crate::config::hosts::Host;
use crate::config::people::Person;

/// The most names that are written out one by one.
const SHOWN: usize = 24;

/// Hosts, by tag and login.
pub struct Places {
    tags: BTreeMap<(Login, TagName), BTreeSet<HostName>>,
}

impl Places {
    /// Of these hosts.
    pub fn of<'h>(hosts: impl Iterator<Item = &'h Host>) -> Self {
        let mut tags: BTreeMap<(Login, TagName), BTreeSet<HostName>> = BTreeMap::new();
        for host in hosts {
            for login in &host.accounts {
                for tag in &host.tags {
                    let of = tags.entry((login.clone(), tag.clone())).or_default();
                    of.insert(host.name.clone());
                }
            }
        }
        Self { tags }
    }

    /// Accounts of one login: `deploy@tag:prod` where all of a tag's hosts that have the login are among
    /// them, `deploy@{web01,web02}` or `deploy@web01` for the rest.
    pub fn accounts(&self, login: &Login, hosts: &BTreeSet<HostName>) -> String {
        let mut said = Vec::new();
        let mut left = hosts.clone();
        // The largest tag first; of equal ones the first by name.
        while let Some((tag, of)) = self.largest(login, hosts, &left) {
            said.push(format!("{login}@tag:{tag}"));
            left.retain(|host| !of.contains(host));
        }
        let mut names: Vec<&str> = left.iter().take(SHOWN).map(HostName::as_str).collect();
        let more = format!("and {} more", left.len().saturating_sub(SHOWN));
        if left.len() > SHOWN {
            names.push(&more);
        }
        match names.as_slice() {
            [] => {}
            [one] => said.push(format!("{login}@{one}")),
            several => said.push(format!("{login}@{{{}}}", several.join(","))),
        }
        said.join(" ")
    }

    fn largest(
        &self,
        login: &Login,
        hosts: &BTreeSet<HostName>,
        left: &BTreeSet<HostName>,
    ) -> Option<(&TagName, &BTreeSet<HostName>)> {
        let gain = |of: &BTreeSet<HostName>| of.iter().filter(|host| left.contains(*host)).count();
        let of_login = self.tags.iter().filter(|((of, _), _)| of == login);
        let fit = of_login.filter(|(_, of)| gain(of) >= 2 && of.is_subset(hosts));
        let fit = fit.map(|((_, tag), of)| (tag, of));
        fit.max_by(|(a, one), (b, other)| gain(one).cmp(&gain(other)).then(b.cmp(a)))
    }
}

/// People, by group.
pub struct Teams {
    groups: BTreeMap<GroupName, BTreeSet<PersonName>>,
}

impl Teams {
    /// The groups that are the same people here as there: who came or went is called by name.
    pub fn same(mut self, other: &Self) -> Self {
        self.groups.retain(|group, people| other.groups.get(group) == Some(people));
        self
    }

    /// Of these people.
    pub fn of<'p>(people: impl Iterator<Item = &'p Person>) -> Self {
        let mut groups: BTreeMap<GroupName, BTreeSet<PersonName>> = BTreeMap::new();
        for person in people {
            for group in &person.groups {
                groups.entry(group.clone()).or_default().insert(person.name.clone());
            }
        }
        Self { groups }
    }

    /// `group sre (12)` where all of a group are among them, the others by name.
    pub fn people(&self, names: &BTreeSet<PersonName>) -> String {
        let mut said = Vec::new();
        let mut left = names.clone();
        loop {
            let gain = |of: &BTreeSet<PersonName>| of.intersection(&left).count();
            let fit = self.groups.iter().filter(|(_, of)| gain(of) >= 2 && of.is_subset(names));
            let best =
                fit.max_by(|(a, one), (b, other)| gain(one).cmp(&gain(other)).then(b.cmp(a)));
            let Some((group, of)) = best else { break };
            said.push(format!("group {group} ({})", of.len()));
            left.retain(|name| !of.contains(name));
        }
        said.extend(left.iter().take(SHOWN).map(ToString::to_string));
        if left.len() > SHOWN {
            said.push(format!("{} more", left.len() - SHOWN));
        }
        said.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::hosts::Hosts;
    use crate::config::people::People;
    use crate::config::snapshot::unframed;

    fn set<T: std::str::FromStr<Err: std::fmt::Debug> + Ord>(names: &str) -> BTreeSet<T> {
        names.split_whitespace().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_tag_stands_for_its_hosts_only_where_it_is_all_of_them() {
        let host = |name: &str, tags: &str| {
            format!("[host.{name}]\ntags = [{tags}]\naccounts = [\"deploy\"]\n")
        };
        let text = host("a", "\"prod\", \"web\"")
            + &host("b", "\"prod\", \"web\"")
            + &host("c", "\"prod\"")
            + &host("d", "\"dev\"")
            + "[host.e]\ntags = [\"web\"]\naccounts = [\"root\"]\n";
        let hosts = Hosts::read(&unframed(&text, "hosts.toml").unwrap()).unwrap();
        let places = Places::of(hosts.iter());
        let deploy = "deploy".parse().unwrap();
        let said = |names: &str| places.accounts(&deploy, &set(names));
        assert_eq!(said("a b c"), "deploy@tag:prod");
        // The host of the tag that has no such login is none of them.
        assert_eq!(said("a b"), "deploy@tag:web");
        assert_eq!(said("a c"), "deploy@{a,c}");
        assert_eq!(said("a b c d"), "deploy@tag:prod deploy@d");
        assert_eq!(said("d"), "deploy@d");
    }

    #[test]
    fn a_group_stands_for_its_people_only_where_it_is_all_of_them() {
        let person = |name: &str, group: &str| format!("[person.{name}]\ngroups = [\"{group}\"]\n");
        let text = person("ana", "sre") + &person("bob", "sre") + &person("vera", "vendor");
        let people = People::read(&unframed(&text, "people.toml").unwrap()).unwrap();
        let teams = Teams::of(people.iter());
        assert_eq!(teams.people(&set("ana bob vera")), "group sre (2), vera");
        assert_eq!(teams.people(&set("ana vera")), "ana, vera");
    }
}
