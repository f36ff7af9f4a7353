//! Facts: what the desk looks up before it decides, at this moment and for this request alone.

use super::request::{Ask, Asker};
use super::{Desk, Stop};
use crate::certificate::names::{HostName, TicketId};
use crate::certificate::safe::Safe;
use crate::config::Deciding;
use crate::config::hosts::{Host, Principals};
use crate::config::people::{Person, PersonKind};
use crate::decide::close;
use crate::decide::facts::{Account, Person as PersonFacts, Ticket};
use crate::outside::tickets::{TicketSeen, TrackerFault};

/// Any user name is taken, but another person's: whoever types it means to be somebody else.
pub(super) fn own_name(deciding: &Deciding, asker: &Asker, person: &Person) -> Result<(), Stop> {
    let other = asker.user.parse().ok().filter(|name| *name != person.name);
    match other.and_then(|name| deciding.people.get(&name)) {
        Some(other) => Err(Stop::no(
            format!("your key is {}'s, the SSH user name is {}'s", person.name, other.name),
            format!("ssh -l {} ca ...  (or leave the user name out)", person.name),
        )),
        None => Ok(()),
    }
}

/// The host that was typed, if it has the account.
pub(super) fn host<'d>(deciding: &'d Deciding, ask: &Ask) -> Result<&'d Host, Stop> {
    let hosts = &deciding.hosts;
    let Some(host) = hosts.find(&ask.host) else {
        let near = close(&ask.host, hosts.iter().map(|host| host.name.as_str()));
        let hint = near
            .map_or("ask whoever runs the CA to add it: hallpass host add".to_owned(), |near| {
                format!("did you mean {}@{near}?", ask.login)
            });
        return Err(Stop::no(format!("there is no host {}", Safe(&ask.host)), hint));
    };
    if !host.accounts.contains(&ask.login) {
        let all: Vec<&str> = host.accounts.iter().map(|login| login.as_str()).collect();
        return Err(Stop::no(
            format!("{} has no account {} that can be asked for", host.name, ask.login),
            if all.is_empty() {
                "no account of it can be".to_owned()
            } else {
                format!("it has {}", all.join(", "))
            },
        ));
    }
    Ok(host)
}

impl Desk {
    /// The ticket as its tracker shows it at this moment.
    pub(super) async fn ticket(
        &self,
        deciding: &Deciding,
        ask: &Ask,
    ) -> Result<Option<Ticket>, Stop> {
        let Some(id) = &ask.ticket else { return Ok(None) };
        let Some(tracker) = self.tracker.clone() else {
            return Err(Stop::no(
                format!("ticket {id} cannot be looked up: no tracker is configured"),
                "ask whoever runs the CA",
            ));
        };
        let name = tracker.name().to_owned();
        let (wanted, read) = (id.clone(), move |id| tracker.read(&id));
        let seen = tokio::task::spawn_blocking(move || read(wanted)).await;
        let broken =
            |fault: TrackerFault| Stop::Broken { what: fault.what(), details: fault.to_string() };
        let seen =
            seen.map_err(|why| broken(TrackerFault::Away(why.to_string())))?.map_err(broken)?;
        let Some(seen) = seen else {
            return Err(Stop::no(
                format!("there is no ticket {id}"),
                "check the id with the tracker",
            ));
        };
        map(deciding, name, id, seen).map(Some).map_err(|why| broken(TrackerFault::Unreadable(why)))
    }
}

/// A ticket's assignee and hosts as people and hosts that are known.
fn map(
    deciding: &Deciding,
    tracker: String,
    id: &TicketId,
    seen: TicketSeen,
) -> Result<Ticket, String> {
    let TicketSeen { state, said, title, assignee, priority, labels, hosts } = seen;
    let assignee = assignee.and_then(|who| deciding.people.assignee(&tracker, &who).cloned());
    // A host that is not known stays in, or a ticket for it alone would look like one for every host.
    let canonical = |typed: &String| match deciding.hosts.find(typed) {
        Some(host) => Ok(host.name.clone()),
        None => typed
            .parse::<HostName>()
            .map_err(|why| format!("ticket {id} names a host {typed:?}: {why}")),
    };
    let hosts = hosts.iter().map(canonical).collect::<Result<_, _>>()?;
    Ok(Ticket { tracker, id: id.clone(), state, said, title, assignee, priority, labels, hosts })
}

pub(super) fn person_facts(person: &Person) -> PersonFacts {
    PersonFacts {
        name: person.name.clone(),
        service: person.kind == PersonKind::Service,
        email: person.email.clone(),
        groups: person.groups.clone(),
    }
}

pub(super) fn account_facts(ask: &Ask, host: &Host) -> Account {
    Account {
        login: ask.login.clone(),
        host: host.name.clone(),
        pool: host.pool,
        bare: host.principals == Principals::Bare,
        owner: host.owner.clone(),
        tags: host.tags.clone(),
    }
}
