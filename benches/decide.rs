//! How long a decision takes in a large installation: 3,000 hosts with three accounts each, 400 people
//! and 200 offers, of which eight are for the account's tag, or all are; and the dry run and the catalog of one
//! person there.
//!
//! `cargo bench --bench decide`
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use hallpass::certificate::names::{Login, RequestId};
use hallpass::certificate::time::UnixTime;
use hallpass::decide::facts::{Account, Facts, Person, Ticket, TicketState};
use hallpass::decide::survey::{catalog, survey};
use hallpass::decide::{Decision, Policy, World, decide};

const HOSTS: usize = 3000;
const PEOPLE: usize = 400;
const OFFERS: usize = 200;
const LOGINS: [&str; 3] = ["deploy", "logs", "root"];

fn main() {
    let world = world();
    let begun = Instant::now();
    let policy = Policy::load("policy.cedar", &text(), &world).unwrap();
    println!("policy of {} offers loaded in {:.0} ms", policy.offers().len(), ms(begun));

    // Somebody in many teams, so that many offers are in scope.
    let facts = |n: usize| facts(n, "deploy", true);
    for (what, with) in [("granted", true), ("refused", false)] {
        let mut times: Vec<f64> = Vec::new();
        for n in 0..HOSTS {
            let mut facts = facts(n);
            if !with {
                facts.ticket = None;
            }
            let begun = Instant::now();
            let decision = black_box(decide(&policy, &facts));
            times.push(1000.0 * ms(begun));
            assert_eq!(matches!(decision, Decision::Granted(_)), with, "{decision:?}");
        }
        say(&format!("decide, {what}"), times, "us");
    }
    let times = (0..HOSTS).map(|n| {
        let facts = facts(n);
        let begun = Instant::now();
        black_box(survey(&policy, &facts).unwrap());
        1000.0 * ms(begun)
    });
    say("explain", times.collect(), "us");

    // Every offer is for this host; each second one looks at the ticket.
    let everything = |n: usize| {
        let mut facts = facts(n);
        facts.account.tags = (0..25).map(|n| tag(n).parse().unwrap()).collect();
        facts
    };
    let times = (0..HOSTS).map(|n| {
        let facts = everything(n);
        let begun = Instant::now();
        let decision = black_box(decide(&policy, &facts));
        assert!(matches!(decision, Decision::Granted(_)), "{decision:?}");
        1000.0 * ms(begun)
    });
    say("decide, every offer in scope", times.collect(), "us");

    let logins: BTreeSet<Login> = LOGINS.iter().map(|login| login.parse().unwrap()).collect();
    let hosts: Vec<_> = (0..HOSTS).map(|n| (facts(n).account, logins.clone())).collect();
    let times = (0..50).map(|_| {
        let begun = Instant::now();
        let all = black_box(catalog(&policy, &facts(0), &hosts).unwrap());
        assert!(!all.is_empty());
        ms(begun)
    });
    say("catalog of one person", times.collect(), "ms");
}

fn ms(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}

fn say(what: &str, mut times: Vec<f64>, unit: &str) {
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    println!("{what}: median {:.1} {unit}, 99 in 100 within {:.1} {unit}", at(50), at(99));
}

fn tag(n: usize) -> String {
    format!("tag{:02}", n % 25)
}

fn group(n: usize) -> String {
    format!("team{:02}", n % 25)
}

fn world() -> World {
    let mut world = World::default();
    for n in 0..HOSTS {
        let host = format!("host{n:04}");
        world.tags.insert(tag(n).parse().unwrap());
        world.hosts.insert(host.parse().unwrap());
        for login in LOGINS {
            world.accounts.insert((login.parse().unwrap(), host.parse().unwrap()));
        }
    }
    for n in 0..PEOPLE {
        world.persons.insert(format!("person{n:03}").parse().unwrap());
        world.groups.insert(group(n).parse().unwrap());
    }
    world
}

/// Two offers for each tag, one of them for a ticket, and three forbids.
fn text() -> String {
    let mut text = String::new();
    for n in 0..OFFERS {
        let (group, tag, login) = (group(n / 2), tag(n / 2), LOGINS[n % 2]);
        write!(
            text,
            "@id(\"offer-{n:02}\") @ttl(\"10m\") permit (principal in Group::\"{group}\", \
             action == Action::\"login\", resource in Tag::\"{tag}\") when {{ resource.login == \"{login}\" }}"
        )
        .unwrap();
        text += match n % 2 {
            0 => {
                " when { context has ticket && context.ticket.state == \"open\" } \
                 when { context.ticket.mine && context.ticket.covers };\n"
            }
            _ => ";\n",
        };
    }
    text += "@id(\"no-root\") forbid (principal, action == Action::\"login\", resource) \
             when { resource.login == \"root\" } unless { context has ticket };\n\
             @id(\"elsewhere\") forbid (principal, action, resource) \
             when { context.source.isInRange(ip(\"192.0.2.0/24\")) };\n\
             @id(\"one-host\") forbid (principal, action, resource in Host::\"host0007\") \
             when { context.now < datetime(\"2020-01-01\") };\n";
    text
}

fn facts(n: usize, login: &str, ticket: bool) -> Facts {
    let person = "person000";
    let ticket = ticket.then(|| Ticket {
        tracker: "tickets".to_owned(),
        id: "OPS-7".parse().unwrap(),
        state: TicketState::Open,
        said: "open".to_owned(),
        title: "the disk is full".to_owned(),
        assignee: person.parse().ok(),
        priority: None,
        labels: BTreeSet::new(),
        hosts: BTreeSet::new(),
        window: None,
    });
    Facts {
        request: RequestId::from_random(7),
        now: UnixTime::from_secs(1_795_326_000),
        source: "203.0.113.9".parse().unwrap(),
        person: Person {
            name: person.parse().unwrap(),
            service: false,
            email: None,
            // A directory's users are in many groups that no policy knows.
            groups: (0..25)
                .map(group)
                .chain((0..200).map(|n| format!("list{n}")))
                .map(|name| name.parse().unwrap())
                .collect(),
            shifts: Default::default(),
        },
        account: Account {
            login: login.parse().unwrap(),
            host: format!("host{n:04}").parse().unwrap(),
            pool: false,
            bare: false,
            owner: None,
            tags: BTreeSet::from([tag(n).parse().unwrap()]),
        },
        ticket,
        reason: None,
        ttl: None,
        period: None,
        offer: None,
        deliveries: Vec::new(),
        within: None,
        around: Default::default(),
    }
}
