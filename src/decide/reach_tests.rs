//! What everybody can reach: the same as the catalog says, person by person.

use std::collections::{BTreeMap, BTreeSet};

use super::example::{HOSTS, facts, load, offer, policy, with};
use super::facts::{Account, Facts};
use super::reach::Reach;
use super::survey::catalog;
use super::{Decision, Policy, decide};
use crate::certificate::names::Login;

const PEOPLE: [&str; 5] = ["ana", "bob", "vera", "deploy-bot", "mallory"];

/// The example's hosts as the desk gives them.
fn hosts() -> Vec<(Account, BTreeSet<Login>)> {
    let host = |(name, _, logins): &(&str, &[&str], &[&str])| {
        let account = facts("ana", &format!("{}@{name}", logins[0])).account;
        (account, logins.iter().map(|login| login.parse().unwrap()).collect())
    };
    HOSTS.iter().map(host).collect()
}

/// Offer and account, each with the forbids that may stand against it.
fn reached(
    policy: &Policy,
    person: &Facts,
    hosts: &[(Account, BTreeSet<Login>)],
) -> BTreeMap<String, String> {
    let mut reach = Reach::new(policy, person, hosts).unwrap();
    let mut all = BTreeMap::new();
    for covered in reach.of(person).unwrap().iter() {
        for (login, at) in &covered.accounts {
            for at in at {
                let forbids: Vec<&str> = covered.forbids.iter().map(|id| id.as_str()).collect();
                let key = format!("{} {login}@{}", covered.offer.id(), hosts[*at].0.host);
                assert!(all.insert(key, forbids.join(" ")).is_none(), "listed twice");
            }
        }
    }
    all
}

#[test]
fn it_is_what_the_catalog_says() {
    let (policy, hosts) = (policy(), hosts());
    for person in PEOPLE {
        let facts = facts(person, "logs@web01");
        let mut wanted = BTreeSet::new();
        for entry in catalog(&policy, &facts, &hosts).unwrap() {
            for (login, at) in &entry.accounts {
                wanted.extend(
                    at.iter()
                        .map(|at| format!("{} {login}@{}", entry.offer.id(), hosts[*at].0.host)),
                );
            }
        }
        let found: BTreeSet<String> = reached(&policy, &facts, &hosts).into_keys().collect();
        assert_eq!(found, wanted, "{person}");
    }
}

#[test]
fn nothing_is_granted_that_it_lacks() {
    let (policy, hosts) = (policy(), hosts());
    for person in PEOPLE {
        let found = reached(&policy, &facts(person, "logs@web01"), &hosts);
        for (host, logins) in &hosts {
            for login in logins {
                let account = format!("{login}@{}", host.host);
                let asked =
                    with(person, &account, |ticket| ticket.priority = Some("high".to_owned()));
                if let Decision::Granted(grant) = decide(&policy, &asked) {
                    let key = format!("{} {account}", grant.offer());
                    assert!(found.contains_key(&key), "{person} {key}");
                }
            }
        }
    }
}

/// A forbid whose circumstances may lift it is told; one that nothing lifts takes the account away.
#[test]
fn forbids_that_may_be_lifted_are_told() {
    let policy = load(
        &(offer("a", "when { resource.login == \"root\" || resource.login == \"logs\" }")
            + "@id(\"never\") forbid (principal, action, resource in Host::\"db01\");\n\
               @id(\"short\") forbid (principal, action == Action::\"login\", resource) \
               when { context.terms.ttl > 5 } when { resource.login == \"logs\" };\n\
               @id(\"ticket\") forbid (principal, action == Action::\"login\", resource in Tag::\"prod\") \
               when { resource.login == \"root\" } unless { context has ticket };\n"),
    );
    let found = reached(&policy, &facts("ana", "logs@web01"), &hosts());
    // The offer's own terms are no circumstance: with 10 minutes it never gives logs.
    let wanted: BTreeMap<String, String> =
        ["web01", "web02"].map(|host| (format!("a root@{host}"), "ticket".to_owned())).into();
    assert_eq!(found, wanted);
}

/// What is remembered of some people and hosts must not be said of others.
#[test]
fn who_and_what_policy_tells_apart_is_not_taken_for_another() {
    let mut hosts = hosts();
    for (at, owner) in [(0, "sre"), (1, "dev")] {
        hosts[at].0.owner = owner.parse().ok();
    }
    hosts[2].0.pool = true;
    let one = |person: &str, condition: &str| -> Vec<String> {
        let policy = load(&offer("a", &format!("when {{ {condition} }}")));
        let mut facts = facts(person, "logs@web01");
        facts.person.email = Some(format!("{person}@example.com"));
        let mut reach = Reach::new(&policy, &facts, &hosts).unwrap();
        // Somebody else is asked first.
        let mut other = facts.clone();
        other.person.name = "zoe".parse().unwrap();
        other.person.email = None;
        reach.of(&other).unwrap();
        let found = reach.of(&facts).unwrap();
        let accounts = found.iter().flat_map(|one| &one.accounts);
        let names = accounts.flat_map(|(login, at)| {
            at.iter().map(|at| format!("{login}@{}", hosts[*at].0.host)).collect::<Vec<_>>()
        });
        names.collect()
    };
    let logs = |condition: &str| format!("resource.login == \"logs\" && {condition}");
    for (person, condition, wanted) in [
        ("ana", "resource.host == \"web02\"", vec!["logs@web02"]),
        ("ana", "resource in Host::\"db01\"", vec!["logs@db01"]),
        ("ana", "resource == Account::\"logs@db01\"", vec!["logs@db01"]),
        ("ana", "resource has owner && principal in resource.owner", vec!["logs@web01"]),
        ("bob", "resource has owner && principal in resource.owner", vec!["logs@web02"]),
        ("ana", "resource.pool", vec!["logs@db01"]),
        ("ana", "principal == Person::\"ana\" && resource.pool", vec!["logs@db01"]),
        (
            "ana",
            "principal has email && principal.email like \"ana@*\" && resource.pool",
            vec!["logs@db01"],
        ),
        ("bob", "principal.name == \"ana\" && resource.pool", vec![]),
    ] {
        assert_eq!(one(person, &logs(condition)), wanted, "{person}: {condition}");
    }
}
