//! What changed in people and hosts beyond who is in which group and what has which tag: whose key is
//! whose, who is who in a tracker, how a host is reached; and named hours.

use std::collections::BTreeSet;

use super::{Change, What};
use crate::certificate::fingerprint;
use crate::config::Deciding;
use crate::config::hosts::{Host, Principals};
use crate::config::people::Person;

/// Every change of a person or host that is in both; who is new or gone is told by what they have.
pub(super) fn changes(old: &Deciding, new: &Deciding) -> Vec<Change> {
    let mut all = Vec::new();
    for person in old.people.iter() {
        if let Some(now) = new.people.get(&person.name) {
            let name = person.name.to_string();
            people(person, now).into_iter().for_each(|(change, widens)| {
                let what = What::Directory { kind: "person", name: name.clone(), change };
                all.push(Change { what, widens });
            });
        }
    }
    let (was, is) = (old.policy.hours(), new.policy.hours());
    for name in was.keys().chain(is.keys()).collect::<BTreeSet<_>>() {
        let change = match (was.get(name), is.get(name)) {
            (None, _) => "new",
            (_, None) => "gone",
            (one, other) if one != other => "are others",
            _ => continue,
        };
        let (name, change) = (name.to_string(), change.to_owned());
        // Whether they are more than before is not looked for, nor what a policy makes of them.
        all.push(Change { what: What::Directory { kind: "hours", name, change }, widens: true });
    }
    for host in old.hosts.iter() {
        // By its canonical name alone.
        let now = new.hosts.find(host.name.as_str()).filter(|now| now.name == host.name);
        if let Some(now) = now {
            let name = host.name.to_string();
            hosts(host, now).into_iter().for_each(|(change, widens)| {
                let what = What::Directory { kind: "host", name: name.clone(), change };
                all.push(Change { what, widens });
            });
        }
    }
    all
}

/// Whoever holds another key is this person from now on.
fn people(was: &Person, is: &Person) -> Vec<(String, bool)> {
    let keys = |person: &Person| person.keys.iter().map(fingerprint).collect::<BTreeSet<_>>();
    let aliases = |person: &Person| {
        person.aliases.iter().map(|(at, name)| format!("{at} = {name:?}")).collect::<BTreeSet<_>>()
    };
    let mut all = both("key", &keys(was), &keys(is), true);
    // Whose tickets are theirs.
    all.extend(both("alias", &aliases(was), &aliases(is), true));
    if was.kind != is.kind {
        all.push((format!("{:?} -> {:?}", was.kind, is.kind).to_lowercase(), true));
    }
    if was.email != is.email {
        let or_none = |email: &Option<String>| email.clone().unwrap_or("none".to_owned());
        all.push((format!("email {} -> {}", or_none(&was.email), or_none(&is.email)), false));
    }
    all
}

fn hosts(was: &Host, is: &Host) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    if was.principals != is.principals {
        // A bare name opens the account on every host like it.
        let bare = is.principals == Principals::Bare;
        let word = if bare { "login@host -> login" } else { "login -> login@host" };
        all.push((format!("principals {word}"), bare));
    }
    if was.pool != is.pool {
        all.push((format!("pool {} -> {}", was.pool, is.pool), is.pool));
    }
    if was.owner != is.owner {
        let or_none =
            |host: &Host| host.owner.as_ref().map_or("none".to_owned(), ToString::to_string);
        all.push((format!("owner {} -> {}", or_none(was), or_none(is)), false));
    }
    let names = |host: &Host| host.aliases.iter().chain(&host.addresses).cloned().collect();
    all.extend(both("name", &names(was), &names(is), false));
    let keys = |host: &Host| {
        host.host_keys.iter().map(|key| fingerprint(key.key_data())).collect::<BTreeSet<_>>()
    };
    // A certificate in an agent may be used at whoever shows one of them.
    all.extend(both("host key", &keys(was), &keys(is), true));
    if was.host_certificate != is.host_certificate {
        let word = if is.host_certificate { "is" } else { "is not" };
        all.push((format!("its host certificate {word} believed"), is.host_certificate));
    }
    if was.via != is.via {
        all.push(("the way there is another (via)".to_owned(), false));
    }
    all
}

/// What is new and what is gone; what is new may widen.
fn both(
    what: &str,
    was: &BTreeSet<String>,
    is: &BTreeSet<String>,
    widens: bool,
) -> Vec<(String, bool)> {
    let new = is.difference(was).map(|one| (format!("{what} {one} is new"), widens));
    let gone = was.difference(is).map(|one| (format!("{what} {one} is gone"), false));
    new.chain(gone).collect()
}
