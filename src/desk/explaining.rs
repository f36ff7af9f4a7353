//! `explain` and `catalog`: what a request would come to, and everything one could ask for. Nothing is
//! decided for anybody and nothing written; what is said is what policy says at this moment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::around::Surroundings;
use super::collect::{
    Reads, account_facts, own_name, person_facts, read_ticket, ticket_id, wanted,
};
use super::holdings::not_enrolled;
use super::locking::answer;
use super::locks::{Lock, Locks};
use super::outcome::Outcome;
use super::request::{Ask, Asker, Place, Target, TicketGiven};
use super::{Desk, Stop};
use crate::certificate::fingerprint;
use crate::certificate::names::{Login, OfferId, PersonName, Principal, RequestId};
use crate::certificate::safe::Safe;
use crate::certificate::time::UnixTime;
use crate::config::Deciding;
use crate::config::people::Person;
use crate::decide::facts::{Account, Around, Facts, Ticket};
use crate::decide::survey::{Survey, catalog, survey};
use crate::decide::{PolicyFault, Terms, close};
use crate::outside::tickets::Trackers;

/// A dry run.
#[derive(Debug)]
pub struct Explained {
    /// Whose.
    pub person: PersonName,
    /// For which account, by its canonical name.
    pub account: String,
    /// What policy says.
    pub survey: Survey,
    /// The locks that stand against it, a sentence each: they stand above policy.
    pub locks: Vec<String>,
}

/// What one offer could give somebody.
#[derive(Debug)]
pub struct Offered {
    /// The offer.
    pub offer: OfferId,
    /// What it is for, in the author's words.
    pub description: Option<String>,
    /// What it gives at most.
    pub terms: Terms,
    /// What it takes, in words.
    pub needs: Vec<String>,
    /// The accounts it could cover, by login.
    pub accounts: Vec<(Login, Vec<String>)>,
}

/// When and whence a dry run is made.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// When.
    pub now: UnixTime,
    /// Whence.
    pub source: IpAddr,
    /// What stands around it; `None` for a quiet moment.
    pub around: Option<&'a Surroundings>,
}

/// Makes a dry run of a request for one account; `key` is the fingerprint that would be proved.
pub fn explain(
    deciding: &Deciding,
    locks: &Locks,
    person: &Person,
    key: Option<&str>,
    ask: &Ask,
    ticket: Option<&Ticket>,
    at: At<'_>,
) -> Result<Explained, Outcome> {
    dry(deciding, locks, person, key, ask, ticket, at).map_err(answer)
}

fn dry(
    deciding: &Deciding,
    locks: &Locks,
    person: &Person,
    key: Option<&str>,
    ask: &Ask,
    ticket: Option<&Ticket>,
    at: At<'_>,
) -> Result<Explained, Stop> {
    let [target @ Target { place: Place::Host(_), .. }] = ask.targets.as_slice() else {
        let what = "one account is explained at a time".to_owned();
        return Err(Stop::no(what, "ssh ca explain LOGIN@HOST TICKET"));
    };
    let facts = |account: Account| Facts {
        ticket: ticket.cloned(),
        reason: ask.reason.clone(),
        ttl: ask.ttl,
        period: ask.period,
        offer: ask.offer.clone(),
        ..bare(person, account, at)
    };
    let all = wanted(deciding, std::slice::from_ref(target), &facts)?;
    let Some(one) = all.first() else {
        return Err(Stop::no("no account".to_owned(), "ssh ca help"));
    };
    let survey = survey(&deciding.policy, &facts(one.account.clone())).map_err(broken)?;
    let principals: [Principal; 1] = [one.account.principal()];
    let stands = locks.against(&person.name, key.unwrap_or("-"), &principals, &deciding.hosts);
    let locks = stands.map(Lock::to_string).into_iter().collect();
    Ok(Explained { person: person.name.clone(), account: one.account.name(), survey, locks })
}

/// Everything a person could ask for.
pub fn offered(deciding: &Deciding, person: &Person, at: At<'_>) -> Result<Vec<Offered>, Outcome> {
    let hosts: Vec<(Account, BTreeSet<Login>)> = deciding
        .hosts
        .iter()
        .filter_map(|host| {
            let any = host.accounts.first()?;
            Some((account_facts(any, host), host.accounts.clone()))
        })
        .collect();
    let Some((any, _)) = hosts.first() else { return Ok(Vec::new()) };
    let facts = bare(person, any.clone(), at);
    let entries = catalog(&deciding.policy, &facts, &hosts).map_err(|why| answer(broken(why)))?;
    let name = |at: usize| hosts.get(at).map(|(account, _)| account.host.to_string());
    let offered = entries.into_iter().map(|entry| Offered {
        offer: entry.offer.id().clone(),
        description: entry.offer.description().map(str::to_owned),
        terms: entry.offer.terms().clone(),
        needs: entry.needs,
        accounts: entry
            .accounts
            .into_iter()
            .map(|(login, hosts)| (login, hosts.into_iter().filter_map(name).collect()))
            .collect(),
    });
    Ok(offered.collect())
}

/// A ticket, for whoever may wait for its tracker.
pub fn ticket(
    deciding: &Deciding,
    trackers: &Trackers,
    given: &TicketGiven,
) -> Result<Ticket, Outcome> {
    let read = ticket_id(trackers, given).and_then(|id| read_ticket(trackers, id));
    read.and_then(|read| read.map(deciding)).map_err(answer)
}

/// The person of this name, or who may have been meant.
pub fn person<'d>(deciding: &'d Deciding, name: &PersonName) -> Result<&'d Person, Outcome> {
    deciding.people.get(name).ok_or_else(|| {
        let near = close(name.as_str(), deciding.people.iter().map(|one| one.name.as_str()));
        let hint =
            near.map_or("hallpass person add".to_owned(), |near| format!("did you mean {near}?"));
        answer(Stop::no(format!("there is no person {name}"), hint))
    })
}

/// What a dry run is made from, before anything was said.
pub(crate) fn bare(person: &Person, account: Account, at: At<'_>) -> Facts {
    let around = at.around.map_or_else(Around::default, |all| all.of(&account));
    let shifts = at.around.map_or_else(BTreeMap::new, Surroundings::shifts);
    Facts {
        request: RequestId::from_random(0),
        now: at.now,
        source: at.source,
        person: person_facts(person, shifts),
        account,
        ticket: None,
        reason: None,
        ttl: None,
        period: None,
        offer: None,
        deliveries: Vec::new(),
        within: None,
        around,
    }
}

fn broken(fault: PolicyFault) -> Stop {
    Stop::Broken { what: "the policy could not be evaluated", details: fault.to_string() }
}

impl Desk {
    /// A dry run for whoever asks.
    pub async fn explain(&self, asker: &Asker, ask: &Ask) -> Result<Explained, Outcome> {
        let deciding = self.in_force.now();
        let person = self.here(&deciding, asker).map_err(answer)?;
        let mut reads = Reads::default();
        let ticket =
            self.ticket(&deciding, ask.ticket.as_ref(), &mut reads).await.map_err(answer)?;
        let key = fingerprint(&asker.key);
        let surroundings =
            self.surroundings(&deciding, person, self.clock.now()).map_err(answer)?;
        let at = At { around: Some(&surroundings), ..self.at(asker) };
        let state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let done = explain(&deciding, &state.locks, person, Some(&key), ask, ticket.as_ref(), at);
        drop(state);
        tracing::info!(person = %person.name, what = %Safe(&ask.account()), ok = done.is_ok(), "explained");
        done
    }

    /// What whoever asks could ask for.
    pub fn catalog(&self, asker: &Asker) -> Result<Vec<Offered>, Outcome> {
        let deciding = self.in_force.now();
        let person = self.here(&deciding, asker).map_err(answer)?;
        self.offered(&deciding, person, asker)
    }

    /// The same at this moment.
    pub(super) fn offered(
        &self,
        deciding: &Deciding,
        person: &Person,
        asker: &Asker,
    ) -> Result<Vec<Offered>, Outcome> {
        let surroundings = self.surroundings(deciding, person, self.clock.now()).map_err(answer)?;
        offered(deciding, person, At { around: Some(&surroundings), ..self.at(asker) })
    }

    pub(super) fn here<'d>(
        &self,
        deciding: &'d Deciding,
        asker: &Asker,
    ) -> Result<&'d Person, Stop> {
        let owner = deciding.people.owner(&asker.key).and_then(|name| deciding.people.get(name));
        let person = owner.ok_or_else(not_enrolled)?;
        own_name(deciding, asker, person)?;
        self.locked_out(&person.name, asker).map_or(Ok(person), Err)
    }

    fn at(&self, asker: &Asker) -> At<'static> {
        let source = asker.source.ip().to_canonical();
        At { now: self.clock.now(), source, around: None }
    }
}
