//! Facts: what the desk looks up before it decides, at this moment and for this request alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::request::{Ask, Asker, Place, Target, TicketGiven};
use super::{Desk, Stop};
use crate::certificate::names::{GroupName, HostName, Login, TagName, TicketId};
use crate::certificate::safe::Safe;
use crate::certificate::time::UnixTime;
use crate::config::Deciding;
use crate::config::hosts::{Host, Principals};
use crate::config::people::{Person, PersonKind};
use crate::decide::facts::{Account, Facts, Person as PersonFacts, Ticket};
use crate::decide::{self, Decision, close, decide};
use crate::outside::tickets::{Answer, TicketSeen, Tracker, TrackerFault, Trackers, ask};

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

/// An account that is asked for, by its canonical names.
pub(super) struct Wanted<'d> {
    /// For policy and certificate.
    pub(super) account: Account,
    /// Its host.
    pub(super) host: &'d Host,
}

/// The most accounts of one request.
const MOST: usize = 256;

/// What was typed as accounts that exist: a tag is expanded into the hosts that have it now, and where
/// no account was named the one is found that could be had. `facts` puts an account to the policy.
pub(super) fn wanted<'d>(
    deciding: &'d Deciding,
    targets: &[Target],
    facts: &dyn Fn(Account) -> Facts,
) -> Result<Vec<Wanted<'d>>, Stop> {
    let mut all: Vec<Wanted<'d>> = Vec::new();
    let mut add = |one: Wanted<'d>| {
        let name = one.account.name();
        if all.iter().all(|there| there.account.name() != name) {
            all.push(one);
        }
    };
    for target in targets {
        match (&target.place, &target.login) {
            (Place::Host(typed), Some(login)) => {
                let host = host(deciding, typed, &format!("{login}@"))?;
                add(account(host, login)?);
            }
            (Place::Host(typed), None) => {
                let host = host(deciding, typed, "")?;
                let login = the_one(deciding, host, facts)?;
                add(account(host, &login)?);
            }
            (Place::Tag(tag), login) => {
                known(deciding, tag)?;
                let hosts: Vec<&Host> = having(deciding, tag, login.as_ref()).collect();
                if hosts.is_empty() {
                    return Err(Stop::no(
                        format!("no host tagged {tag} has the account of {target}"),
                        "ssh ca catalog shows what you can ask for",
                    ));
                }
                for host in hosts {
                    let login = match login {
                        Some(login) => login.clone(),
                        None => the_one(deciding, host, facts)?,
                    };
                    add(account(host, &login)?);
                }
            }
        }
    }
    if all.len() > MOST {
        return Err(Stop::no(
            format!("{} accounts in one request are too many: {MOST} at most", all.len()),
            "ask for fewer, or for a tag that fewer hosts have",
        ));
    }
    Ok(all)
}

fn known(deciding: &Deciding, tag: &TagName) -> Result<(), Stop> {
    if deciding.hosts.tags().contains(tag) {
        return Ok(());
    }
    let near = close(tag.as_str(), deciding.hosts.tags().iter().map(TagName::as_str));
    let hint = near.map_or("ssh ca catalog shows what you can ask for".to_owned(), |near| {
        format!("did you mean tag:{near}?")
    });
    Err(Stop::no(format!("there is no tag {tag}"), hint))
}

/// The hosts that have a tag now, and the account, if one is named.
pub(super) fn having<'d>(
    deciding: &'d Deciding,
    tag: &TagName,
    login: Option<&Login>,
) -> impl Iterator<Item = &'d Host> {
    let fits = move |host: &&Host| {
        host.tags.contains(tag) && login.is_none_or(|login| host.accounts.contains(login))
    };
    deciding.hosts.iter().filter(fits)
}

/// The host that was typed.
pub(super) fn host<'d>(deciding: &'d Deciding, typed: &str, login: &str) -> Result<&'d Host, Stop> {
    let hosts = &deciding.hosts;
    hosts.find(typed).ok_or_else(|| {
        let near = close(typed, hosts.names());
        let hint = near
            .map_or("ask whoever runs the CA to add it: hallpass host add".to_owned(), |near| {
                format!("did you mean {login}{near}?")
            });
        Stop::no(format!("there is no host {}", Safe(typed)), hint)
    })
}

/// The account on its host, if the host has it.
fn account<'d>(host: &'d Host, login: &Login) -> Result<Wanted<'d>, Stop> {
    if host.accounts.contains(login) {
        return Ok(Wanted { account: account_facts(login, host), host });
    }
    let all: Vec<&str> = host.accounts.iter().map(|login| login.as_str()).collect();
    Err(Stop::no(
        format!("{} has no account {login} that can be asked for", host.name),
        if all.is_empty() {
            "no account of it can be".to_owned()
        } else {
            format!("it has {}", all.join(", "))
        },
    ))
}

/// The one account on a host that can be had: with the ticket and not without it, or else at all, or
/// else with the right ticket.
fn the_one(
    deciding: &Deciding,
    host: &Host,
    facts: &dyn Fn(Account) -> Facts,
) -> Result<Login, Stop> {
    let granted = |facts: &Facts| matches!(decide(&deciding.policy, facts), Decision::Granted(_));
    let having = |with_ticket: bool| -> Vec<&Login> {
        let may = |login: &&Login| {
            let mut facts = facts(account_facts(login, host));
            facts.ticket = facts.ticket.filter(|_| with_ticket);
            granted(&facts)
        };
        host.accounts.iter().filter(may).collect()
    };
    let (with, without) = (having(true), having(false));
    let by_ticket: Vec<&Login> =
        with.iter().filter(|login| !without.contains(login)).copied().collect();
    let Some(any) = host.accounts.first() else {
        return Err(Stop::no(
            format!("{} has no account that can be asked for", host.name),
            "ask whoever runs the CA to add one",
        ));
    };
    let near = decide::reachable(&deciding.policy, &facts(account_facts(any, host)));
    let candidates = [by_ticket, with, near.iter().collect()];
    match candidates.iter().find(|some| !some.is_empty()).map(Vec::as_slice) {
        Some([one]) => Ok((*one).clone()),
        Some(several) => {
            let names: Vec<&str> = several.iter().map(|login| login.as_str()).collect();
            let first = names.first().copied().unwrap_or_default();
            Err(Stop::no(
                format!("{} has several accounts for you: {}", host.name, names.join(", ")),
                format!("name one: ssh ca {first}@{} ...", host.name),
            ))
        }
        None => Err(Stop::no(
            format!("no offer lets you log in on {}", host.name),
            "ssh ca catalog shows what you can ask for",
        )),
    }
}

/// The accounts of the hops over which hosts are reached, as far as they can be named.
pub(super) fn hops<'d>(
    deciding: &'d Deciding,
    wanted: &[Wanted<'d>],
    facts: &dyn Fn(Account) -> Facts,
) -> Vec<Wanted<'d>> {
    let mut hops: Vec<Wanted<'d>> = Vec::new();
    for one in wanted {
        // The configuration has no circles.
        let mut next = one.host.via.as_ref();
        while let Some(via) = next {
            let Some(host) = deciding.hosts.find(via.host.as_str()) else { break };
            let login = via.login.clone().map_or_else(|| the_one(deciding, host, facts), Ok);
            if let Ok(hop) = login.and_then(|login| account(host, &login)) {
                let name = hop.account.name();
                let mut there = wanted.iter().chain(&hops);
                if there.all(|there| there.account.name() != name) {
                    hops.push(hop);
                }
            }
            next = host.via.as_ref();
        }
    }
    hops
}

/// Whether an agent can be bound to this host.
pub(super) fn keys_known(host: &Host) -> bool {
    !host.host_keys.is_empty() || host.host_certificate
}

/// An agent is bound to the hosts' keys, all of which must be known.
pub(super) fn host_keys_known(wanted: &[Wanted<'_>], ask: &Ask) -> Result<(), Stop> {
    match wanted.iter().find(|one| !keys_known(one.host)) {
        None => Ok(()),
        Some(one) => Err(Stop::Undelivered {
            reason: format!(
                "the host keys of {} are not known, so a certificate in your agent could not be bound to it",
                one.host.name
            ),
            hint: format!(
                "ssh ca {} --to stdout > FILE; or have its keys added to hosts.toml",
                ask.line()
            ),
        }),
    }
}

/// What a tracker says of a ticket at this moment.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// The tracker's name.
    pub(super) tracker: String,
    /// Whether it knows people by their names here.
    names: bool,
    /// What it says.
    pub(super) answer: Answer,
}

/// What was read of tickets for one answer: one that is needed twice is read once.
#[derive(Default)]
pub(super) struct Reads(Vec<(TicketId, Result<Said, Stop>)>);

impl Reads {
    /// What the ticket's tracker says.
    pub(super) async fn read(&mut self, trackers: &Trackers, id: &TicketId) -> Result<Said, Stop> {
        if let Some((_, read)) = self.0.iter().find(|(read, _)| read == id) {
            return read.clone();
        }
        let read = match tracker_of(trackers, id) {
            Ok(tracker) => {
                let asked = id.clone();
                let answer = ask(Arc::clone(tracker), move |tracker| tracker.read(&asked)).await;
                answer.flatten().map(|answer| Said::of(&**tracker, answer)).map_err(unread)
            }
            Err(stop) => Err(stop),
        };
        self.0.push((id.clone(), read.clone()));
        read
    }
}

/// A ticket as its tracker shows it at this moment, in the tracker's words.
pub(super) struct Read {
    tracker: String,
    names: bool,
    id: TicketId,
    seen: TicketSeen,
}

/// The id of the ticket that was given.
pub(super) fn ticket_id(trackers: &Trackers, given: &TicketGiven) -> Result<TicketId, Stop> {
    let url = match given {
        TicketGiven::Id(id) => return Ok(id.clone()),
        TicketGiven::Url(url) => url,
    };
    trackers.by_address(url).ok_or_else(|| {
        let hint = match trackers.addresses().as_slice() {
            [] => "give the ticket's id; ca.toml has no tracker's url".to_owned(),
            known => format!("it looks like {}; or give the id alone", known.join(" or ")),
        };
        Stop::no(format!("{} is no ticket's address here", Safe(url)), hint)
    })
}

/// The tracker that a ticket is in.
fn tracker_of<'t>(trackers: &'t Trackers, id: &TicketId) -> Result<&'t Arc<dyn Tracker>, Stop> {
    trackers.of(id).ok_or_else(|| match trackers.shapes().as_slice() {
        [] => Stop::no(
            format!("ticket {id} cannot be looked up: no tracker is configured"),
            "ask whoever runs the CA",
        ),
        shapes => Stop::no(
            format!("{id} is no ticket of any tracker here"),
            format!("tickets look like {}", shapes.join(", ")),
        ),
    })
}

/// Reads a ticket. Blocks as long as its tracker may take.
pub(super) fn read_ticket(trackers: &Trackers, id: TicketId) -> Result<Read, Stop> {
    let tracker = tracker_of(trackers, &id)?;
    let answer = tracker.read(&id).map_err(unread)?;
    Said::of(&**tracker, answer).ticket(id)
}

impl Said {
    /// What this tracker says.
    pub(super) fn of(tracker: &dyn Tracker, answer: Answer) -> Self {
        Self { tracker: tracker.name().to_owned(), names: tracker.names_people(), answer }
    }

    /// The ticket, if there is one to be seen.
    pub(super) fn ticket(self, id: TicketId) -> Result<Read, Stop> {
        let no = |why: String, hint: String| Err(Stop::no(why, hint));
        let Self { tracker: name, names, answer } = self;
        match answer {
            Answer::Ticket(seen) => Ok(Read { tracker: name, names, id, seen }),
            Answer::Absent => {
                no(format!("there is no ticket {id}"), format!("check the id in {name}"))
            }
            Answer::Hidden => no(
                format!("{name} does not show ticket {id} to the CA"),
                "name another ticket, or ask whoever runs the CA to be let see it".to_owned(),
            ),
            Answer::Moved(to) => {
                let to = Safe(&to).to_string();
                no(format!("ticket {id} is {to} now"), format!("name that one: {to}"))
            }
        }
    }
}

fn unread(fault: TrackerFault) -> Stop {
    Stop::Broken { what: fault.what(), details: fault.to_string() }
}

impl Read {
    /// With assignee and hosts as people and hosts that are known.
    pub(super) fn map(self, deciding: &Deciding) -> Result<Ticket, Stop> {
        let Self { tracker, names, id, seen } = self;
        let TicketSeen { state, said, title, assignee, priority, labels, hosts, window } = seen;
        let people = &deciding.people;
        let assignee = assignee.and_then(|who| people.assignee(&tracker, &who, names).cloned());
        // A host that is not known stays in, or a ticket for it alone would look like one for every host.
        let canonical = |typed: &String| match deciding.hosts.find(typed) {
            Some(host) => Ok(host.name.clone()),
            None => typed.parse::<HostName>().map_err(|why| {
                unread(TrackerFault::Unreadable(format!(
                    "ticket {id} names a host {typed:?}: {why}"
                )))
            }),
        };
        let hosts = hosts.iter().map(canonical).collect::<Result<_, _>>()?;
        Ok(Ticket { tracker, id, state, said, title, assignee, priority, labels, hosts, window })
    }
}

impl Desk {
    /// The ticket as its tracker shows it at this moment.
    pub(super) async fn ticket(
        &self,
        deciding: &Deciding,
        given: Option<&TicketGiven>,
        reads: &mut Reads,
    ) -> Result<Option<Ticket>, Stop> {
        let Some(given) = given else { return Ok(None) };
        let id = ticket_id(&self.trackers, given)?;
        let said = reads.read(&self.trackers, &id).await?;
        said.ticket(id)?.map(deciding).map(Some)
    }
}

pub(crate) fn person_facts(
    person: &Person,
    mut shifts: BTreeMap<GroupName, UnixTime>,
) -> PersonFacts {
    // Who is in a group anyway is in it however the shift ends.
    shifts.retain(|group, _| !person.groups.contains(group));
    PersonFacts {
        name: person.name.clone(),
        service: person.kind == PersonKind::Service,
        email: person.email.clone(),
        groups: person.groups.clone(),
        shifts,
    }
}

pub(crate) fn account_facts(login: &Login, host: &Host) -> Account {
    Account {
        login: login.clone(),
        host: host.name.clone(),
        pool: host.pool,
        bare: host.principals == Principals::Bare,
        owner: host.owner.clone(),
        tags: host.tags.clone(),
    }
}
