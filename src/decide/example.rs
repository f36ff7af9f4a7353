//! The team of `ca-config/` for the tests: ana and bob, vera and the programs, those on call, their hosts and
//! tickets.

use std::collections::BTreeSet;

use super::facts::{Account, Around, Facts, History, Person, Ticket, TicketState};
use super::{Decision, Grant, Policy, Reason, Refusal, World, decide};
use crate::certificate::time::{Span, UnixTime};
use crate::config::snapshot::Text;

/// The policy that is shipped as the example.
pub(super) const POLICY: &str = include_str!("../../ca-config/policy.cedar");

/// Name, whether a service, groups.
const PEOPLE: [(&str, bool, &[&str]); 8] = [
    ("ana", false, &["sre"]),
    ("bob", false, &["dev"]),
    ("vera", false, &["vendor"]),
    ("deploy-bot", true, &["bots"]),
    ("cleo", false, &["sre", "breakglass"]),
    ("dan", false, &["dev", "breakglass"]),
    ("iris", false, &["auditors"]),
    ("triage", true, &["agents"]),
];

/// Name, tags, accounts.
pub(super) const HOSTS: [(&str, &[&str], &[&str]); 5] = [
    ("web01", &["prod"], &["deploy", "logs", "root"]),
    ("web02", &["prod"], &["deploy", "logs", "root"]),
    ("db01", &["prod"], &["logs", "root"]),
    ("dev01", &["dev"], &["dev"]),
    ("hop01", &["hop"], &["jump"]),
];

/// Everybody and everything in the example.
pub(super) fn world() -> World {
    let mut world = World::default();
    for (name, service, groups) in PEOPLE {
        let names = if service { &mut world.services } else { &mut world.persons };
        names.insert(name.parse().unwrap());
        world.groups.extend(groups.iter().map(|group| group.parse().unwrap()));
    }
    // Whose shift it is, the rota says.
    world.groups.insert("on-call".parse().unwrap());
    let hours = include_str!("../../ca-config/hours.toml").to_owned();
    let hours = Text { path: "hours.toml".into(), name: "hours.toml".to_owned(), text: hours };
    world.hours = crate::config::hours::read(&hours).unwrap();
    for (host, tags, logins) in HOSTS {
        world.hosts.insert(host.parse().unwrap());
        world.tags.extend(tags.iter().map(|tag| tag.parse().unwrap()));
        let account = |login: &&str| (login.parse().unwrap(), host.parse().unwrap());
        world.accounts.extend(logins.iter().map(account));
    }
    world
}

/// The example's policy.
pub(super) fn policy() -> Policy {
    load(POLICY)
}

/// A policy of the example's world that must load.
pub(super) fn load(text: &str) -> Policy {
    match Policy::load("policy.cedar", text, &world()) {
        Ok(policy) => policy,
        Err(why) => panic!("{why}"),
    }
}

/// What this person asks for, without a ticket, in office hours, of an account that was theirs yesterday;
/// somebody unknown is in no group, an unknown host has no tag.
pub(super) fn facts(person: &str, account: &str) -> Facts {
    let (login, host) = account.split_once('@').unwrap();
    let known = PEOPLE.iter().find(|(name, ..)| *name == person);
    let tags = HOSTS.iter().find(|(name, ..)| *name == host).map_or(&[][..], |(_, tags, _)| tags);
    Facts {
        request: "r0123456789ab".parse().unwrap(),
        now: UnixTime::from_secs(1_795_326_000),
        source: "203.0.113.9".parse().unwrap(),
        person: Person {
            name: person.parse().unwrap(),
            service: known.is_some_and(|(_, service, _)| *service),
            email: None,
            groups: names(known.map_or(&[][..], |(_, _, groups)| groups)),
            shifts: Default::default(),
        },
        account: Account {
            login: login.parse().unwrap(),
            host: host.parse().unwrap(),
            pool: false,
            bare: false,
            owner: None,
            tags: names(tags),
        },
        ticket: None,
        reason: None,
        ttl: None,
        period: None,
        offer: None,
        deliveries: Vec::new(),
        within: None,
        around: Around {
            hours: names(&["office"]),
            history: History { last_days: Some(1), ..History::default() },
            ..Around::default()
        },
    }
}

/// An open ticket OPS-7 of this person's, which names these hosts.
pub(super) fn ticket(assignee: &str, hosts: &[&str]) -> Ticket {
    Ticket {
        tracker: "tickets".to_owned(),
        id: "OPS-7".parse().unwrap(),
        state: TicketState::Open,
        said: "open".to_owned(),
        title: "the disk is full".to_owned(),
        assignee: Some(assignee.parse().unwrap()),
        priority: None,
        labels: BTreeSet::new(),
        hosts: names(hosts),
        window: None,
    }
}

fn names<T: std::str::FromStr<Err: std::fmt::Debug> + Ord>(texts: &[&str]) -> BTreeSet<T> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A decision as one line: the offer that granted it, or the reasons' sentences.
pub(super) fn said(policy: &Policy, facts: &Facts) -> String {
    match decide(policy, facts) {
        Decision::Granted(grant) => format!("granted by {}", grant.offer()),
        Decision::Refused(no) => {
            assert!(no.hint.is_some() && !no.reasons.is_empty(), "{no:?}");
            no.reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join("; ")
        }
        Decision::Fault(fault) => format!("fault: {fault}"),
    }
}

/// The grant of a request that must be granted.
pub(super) fn grant(policy: &Policy, facts: &Facts) -> Grant {
    match decide(policy, facts) {
        Decision::Granted(grant) => grant,
        other => panic!("{other:?}"),
    }
}

/// The refusal of a request that must be refused.
pub(super) fn refusal(policy: &Policy, facts: &Facts) -> Refusal {
    match decide(policy, facts) {
        Decision::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// A reason that says something.
pub(super) fn because(mut facts: Facts) -> Facts {
    facts.reason = Some("the disk of db01 is full".parse().unwrap());
    facts
}

/// Facts with a ticket that was changed in one way.
pub(super) fn with(person: &str, account: &str, change: impl Fn(&mut Ticket)) -> Facts {
    let mut facts = facts(person, account);
    let mut ticket = ticket(person, &[]);
    change(&mut ticket);
    facts.ticket = Some(ticket);
    facts
}

/// An offer to everybody, ten minutes at a time, with these clauses.
pub(super) fn offer(id: &str, rest: &str) -> String {
    format!(
        "@id(\"{id}\") @ttl(\"10m\") permit (principal, action == Action::\"login\", resource) {rest};\n"
    )
}

/// A length of time as it is typed.
pub(super) fn span(text: &str) -> Span {
    text.parse().unwrap()
}
