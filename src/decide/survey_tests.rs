//! What `explain` says of the example's offers, and what its `catalog` holds.

use super::example::{HOSTS, facts, load, offer, policy, span, with};
use super::facts::{Account, TicketState};
use super::survey::{Behind, Entry, Stands, Survey, Verdict, catalog, survey};
use super::{Decision, Policy, decide};

fn stands<'s>(survey: &'s Survey, offer: &str) -> &'s Stands {
    &survey.offers.iter().find(|one| one.offer.as_str() == offer).unwrap().stands
}

#[test]
fn every_condition_that_failed_is_told_not_only_the_first() {
    let policy = policy();
    let asked = with("ana", "root@web01", |ticket| {
        ticket.state = TicketState::Closed;
        ticket.said = "resolved".to_owned();
        ticket.assignee = None;
    });
    let told = survey(&policy, &asked).unwrap();
    assert!(matches!(told.verdict, Verdict::Refused(_)));
    let Stands::Missed(reasons) = stands(&told, "root-prod") else { panic!("{told:?}") };
    let said: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "ticket OPS-7 is resolved, needs open",
            "ticket OPS-7 is assigned to nobody you are mapped to",
            "ticket OPS-7 has no priority, offer root-prod asks for it",
            "offer root-prod needs context.ticket.priority == \"high\"",
            "no reason was given, offer root-prod needs one",
        ]
    );
    assert_eq!(told.longest, Some((span("5m"), span("30m"))));
    // What is for another account is said to be, by its condition.
    let elsewhere = Stands::Elsewhere(vec!["resource.login == \"logs\"".to_owned()]);
    assert_eq!(*stands(&told, "logs-prod"), elsewhere);
    assert!(told.offers.iter().all(|one| one.offer.as_str() != "edit-dev"), "out of scope");

    // Without a ticket the forbid comes first, then what the ticket would have to be.
    let told = survey(&policy, &facts("ana", "root@web01")).unwrap();
    let Stands::Missed(reasons) = stands(&told, "root-prod") else { panic!("{told:?}") };
    assert_eq!(reasons.len(), 7, "{reasons:?}");
    assert!(reasons[0].to_string().starts_with("policy guard-root forbids it"));
    assert_eq!(reasons[1].to_string(), "no ticket was given, offer root-prod needs one");
}

#[test]
fn what_put_a_permitted_offer_behind_is_told() {
    let with_ttl = |id: &str, ttl: &str| offer(id, "").replace("10m", ttl);
    let policy = load(&(with_ttl("c", "5m") + &with_ttl("b2", "10m") + &with_ttl("b1", "10m")));
    let mut asked = facts("ana", "root@web01");
    let told = survey(&policy, &asked).unwrap();
    let Verdict::Granted { offer: by, ttl, .. } = &told.verdict else { panic!("{told:?}") };
    assert_eq!((by.as_str(), *ttl), ("b1", span("10m")));
    assert_eq!(told.offers[0].stands, Stands::Decides);
    assert_eq!(*stands(&told, "b2"), Stands::Behind(Behind::GreaterId));
    assert_eq!(*stands(&told, "c"), Stands::Behind(Behind::Shorter));
    asked.offer = Some("c".parse().unwrap());
    let told = survey(&policy, &asked).unwrap();
    assert_eq!(*stands(&told, "c"), Stands::Decides);
    assert_eq!(*stands(&told, "b1"), Stands::Behind(Behind::Picked));
    // A fault is no explanation.
    asked.ttl = Some(span("2m"));
    asked.offer = None;
    let two = load(&offer("x", "when { context.ttl * 9223372036854775807 > 0 }"));
    assert!(survey(&two, &asked).is_err());
}

/// The example's hosts as the desk gives them.
fn hosts() -> Vec<(Account, std::collections::BTreeSet<crate::certificate::names::Login>)> {
    let host = |(name, _, logins): &(&str, &[&str], &[&str])| {
        let account = facts("ana", &format!("{}@{name}", logins[0])).account;
        (account, logins.iter().map(|login| login.parse().unwrap()).collect())
    };
    HOSTS.iter().map(host).collect()
}

fn listed(entries: &[Entry<'_>]) -> Vec<String> {
    let hosts = hosts();
    let line = |entry: &Entry<'_>| {
        let accounts: Vec<String> = entry
            .accounts
            .iter()
            .flat_map(|(login, at)| at.iter().map(move |n| (login, *n)))
            .map(|(login, n)| format!("{login}@{}", hosts[n].0.host))
            .collect();
        format!("{}: {} [{}]", entry.offer.id(), accounts.join(" "), entry.needs.join("; "))
    };
    entries.iter().map(line).collect()
}

#[test]
fn the_catalog_is_what_one_could_have_in_some_circumstances() {
    let policy = policy();
    let of =
        |person: &str| listed(&catalog(&policy, &facts(person, "logs@web01"), &hosts()).unwrap());
    assert_eq!(
        of("bob"),
        [
            "deploy-prod: deploy@web01 deploy@web02 [a ticket that is open, is yours, names the host or none and is in its window]",
            "edit-dev: dev@dev01 []",
            "hop: jump@hop01 []",
            "logs-prod: logs@web01 logs@web02 logs@db01 []",
        ]
    );
    assert!(
        of("ana")
            .iter()
            .any(|line| line.starts_with("root-prod: root@web01 root@web02 root@db01 ["))
    );
    // An offer for one account; a forbid without circumstances takes the vendor's others away.
    assert_eq!(
        of("vera"),
        [
            "vendor-dev01: dev@dev01 [a ticket that is open, is yours, names the host or none and is in its window; that \
          one asks from 203.0.113.0/24 or 2001:db8:113::/48]"
        ]
    );
    assert_eq!(of("deploy-bot"), ["bot-deploy: deploy@web01 deploy@web02 []"]);
    assert_eq!(of("mallory"), [""; 0]);
}

/// What is remembered of one host must not be said of another: here policy tells them apart by name.
#[test]
fn hosts_that_policy_tells_apart_are_not_taken_for_each_other() {
    let one = |condition: &str| {
        let policy = load(&offer("a", &format!("when {{ {condition} }}")));
        listed(&catalog(&policy, &facts("ana", "logs@web01"), &hosts()).unwrap())
    };
    assert_eq!(one("resource == Account::\"root@web02\""), ["a: root@web02 []"]);
    assert_eq!(
        one("resource.host == \"web02\" && resource.login == \"logs\""),
        ["a: logs@web02 []"]
    );
    assert_eq!(
        one("resource in Host::\"db01\" && resource.login == \"root\""),
        ["a: root@db01 []"]
    );
    let barred = offer("a", "when { resource.login == \"logs\" }")
        + "@id(\"no\") forbid (principal, action, resource in Host::\"web02\");";
    let policy = load(&barred);
    let left = listed(&catalog(&policy, &facts("ana", "logs@web01"), &hosts()).unwrap());
    assert_eq!(left, ["a: logs@web01 logs@db01 []"]);
}

/// Whatever is granted stands in the catalog.
#[test]
fn nothing_is_granted_that_the_catalog_lacks() {
    let policy: Policy = policy();
    for person in ["ana", "bob", "vera", "deploy-bot"] {
        let entries = catalog(&policy, &facts(person, "logs@web01"), &hosts()).unwrap();
        for (at, (host, logins)) in hosts().iter().enumerate() {
            for login in logins {
                let account = format!("{login}@{}", host.host);
                let asked =
                    with(person, &account, |ticket| ticket.priority = Some("high".to_owned()));
                if let Decision::Granted(grant) = decide(&policy, &asked) {
                    let there = entries.iter().any(|entry| {
                        entry.offer.id() == grant.offer()
                            && entry.accounts.get(login).is_some_and(|all| all.contains(&at))
                    });
                    assert!(there, "{person} {account} {}", grant.offer());
                }
            }
        }
    }
}
