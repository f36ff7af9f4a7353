//! Decisions made for nobody, to see that new files can be decided by at all: a policy may pass every
//! check and still fail when it is evaluated.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use super::collect::account_facts;
use super::explaining::{At, bare};
use crate::certificate::names::{Login, TicketId};
use crate::certificate::time::UnixTime;
use crate::config::Deciding;
use crate::config::hosts::Host;
use crate::config::people::{Person, PersonKind};
use crate::decide::facts::{Around, Facts, Ticket, TicketState};
use crate::decide::{Decision, decide};

/// Decides for people of different groups about accounts of different kinds of hosts, with a ticket and
/// without: at most 256 times. Whether the answer is yes or no does not matter; that there is one does.
pub fn self_test(deciding: &Deciding, now: UnixTime) -> Result<usize, String> {
    // The first of each kind.
    let (mut people, mut accounts) = (BTreeMap::new(), BTreeMap::new());
    for person in deciding.people.iter() {
        people.entry((person.kind == PersonKind::Service, &person.groups)).or_insert(person);
    }
    for host in deciding.hosts.iter() {
        for login in &host.accounts {
            let kind = (&host.tags, &host.owner, host.pool, login);
            accounts.entry(kind).or_insert((host, login));
        }
    }
    let people: Vec<&Person> = people.into_values().take(MOST).collect();
    let accounts: Vec<(&Host, &Login)> = accounts.into_values().take(MOST).collect();
    // Every account with one person, then with the next one, as long as that takes a moment.
    let pairs = (0..people.len()).flat_map(|shift| {
        let with = people.iter().cycle().skip(shift);
        accounts.iter().zip(with)
    });
    let at = At { now, source: IpAddr::V4(Ipv4Addr::LOCALHOST), around: None };
    let mut decided = 0;
    for ((host, login), person) in pairs.take(PAIRS) {
        for ticket in [None, ticket(person)] {
            let around = Around { hours: deciding.policy.hours_at(now), ..Around::default() };
            let facts = Facts { ticket, around, ..bare(person, account_facts(login, host), at) };
            if let Decision::Fault(why) = decide(&deciding.policy, &facts) {
                let (person, host) = (&person.name, &host.name);
                return Err(format!(
                    "tried out, the policy fails for {person} and {login}@{host}: {why}"
                ));
            }
            decided += 1;
        }
    }
    Ok(decided)
}

/// An open ticket of the person's own.
fn ticket(person: &Person) -> Option<Ticket> {
    Some(Ticket {
        tracker: "tickets".to_owned(),
        id: "SELF-TEST".parse::<TicketId>().ok()?,
        state: TicketState::Open,
        said: "open".to_owned(),
        title: String::new(),
        assignee: Some(person.name.clone()),
        priority: None,
        labels: BTreeSet::new(),
        hosts: BTreeSet::new(),
        window: None,
    })
}

/// How many kinds of people, and of accounts, are tried out.
const MOST: usize = 32;

/// How many pairs of them.
const PAIRS: usize = 128;
