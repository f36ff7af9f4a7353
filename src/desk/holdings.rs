//! What a person holds: live grants, and certificates that may be given again; and what to say about
//! a login that fails.

use std::collections::{BTreeSet, HashMap};
use std::sync::PoisonError;

use super::collect::{self, Wanted, account_facts};
use super::delivery::destination;
use super::ended::EndedGrant;
use super::explaining::Offered;
use super::locking::answer;
use super::outcome::{Issue, Issued, LiveGrant, Outcome, Reach, Status, To, Why};
use super::request::{Asker, Place, Target, Want};
use super::{Desk, Errand, Stop};
use crate::certificate::fingerprint;
use crate::certificate::names::{PersonName, RequestId};
use crate::certificate::safe::Safe;
use crate::certificate::time::UnixTime;
use crate::config::hosts::Host;
use crate::config::people::Person;
use crate::outside::agent::Destination;

/// The key that was proved is nobody's any more.
pub(super) fn not_enrolled() -> Stop {
    Stop::no(
        "your key is not enrolled any more".to_owned(),
        "ask whoever runs the CA to add it: hallpass person add",
    )
}

/// Live grants of one request, and the accounts that a certificate from them is to open.
#[derive(Default)]
pub(super) struct Held {
    pub(super) grants: Vec<LiveGrant>,
    accounts: Vec<String>,
}

impl Held {
    /// For all that they cover.
    fn of(grants: Vec<LiveGrant>) -> Self {
        let accounts = grants.iter().flat_map(|grant| grant.accounts.clone()).collect();
        Self { grants, accounts }
    }

    /// The accounts, as targets.
    pub(super) fn targets(&self) -> Vec<Target> {
        let target = |account: &String| {
            let (login, host) = account.split_once('@')?;
            Some(Target { login: Some(login.parse().ok()?), place: Place::Host(host.to_owned()) })
        };
        self.accounts.iter().filter_map(target).collect()
    }
}

impl Errand<'_> {
    /// The accounts that were asked for, the hop's among them.
    pub(super) fn targets(&self) -> Vec<Target> {
        self.ask.targets.iter().chain(&self.ask.via).cloned().collect()
    }

    /// What `ssh` is to be given: as it was typed, where one account was named in full.
    pub(super) fn typed(&self, accounts: &[String]) -> String {
        match self.ask.targets.as_slice() {
            [one @ Target { login: Some(_), place: Place::Host(_) }] => one.to_string(),
            _ => accounts.first().cloned().unwrap_or_default(),
        }
    }
}

impl Desk {
    /// The live grants of one request that cover what is asked for, on the terms it is asked for.
    pub(super) fn covering(
        &self,
        errand: &Errand<'_>,
        person: &Person,
        want: &Want,
    ) -> Result<Held, Stop> {
        let (ask, now) = (errand.ask, errand.reading.now);
        let Some(names) = self.names_held(errand, person, want)? else {
            return Ok(Held::default());
        };
        let ticket = match &ask.ticket {
            None => None,
            Some(given) => collect::ticket_id(&self.trackers, given).ok().map(|id| id.to_string()),
        };
        let fits = |grant: &LiveGrant| {
            let reason = ask.reason.as_ref().map(|reason| reason.as_str());
            let long = ask.period.is_none_or(|period| grant.ends >= now.plus(period));
            (ask.ticket.is_none() || grant.ticket == ticket)
                && (reason.is_none() || grant.reason.as_deref() == reason)
                && ask.offer.as_ref().is_none_or(|offer| *offer == grant.offer)
                && long
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let live = state.covering(&person.name, &names, now, fits);
        if live.is_empty() && matches!(want, Want::Further(_)) {
            let covers = |one: &&EndedGrant| names.iter().any(|n| one.grant.accounts.contains(n));
            if let Some(ended) = state.ended.person(&person.name, now).iter().find(covers) {
                return Err(ended.stop_later());
            }
            return Err(Stop::no(
                format!("no live grant of yours covers {}", ask.account()),
                format!("ask for it: ssh ca {} TICKET", ask.account()),
            ));
        }
        Ok(Held { grants: live, accounts: names })
    }

    /// The accounts that were asked for, by name, as far as that takes no decision: where no account was
    /// named, the one account that a live grant has on the host. `None` where there is none, and where
    /// something is wrong with what was typed, which is said later.
    fn names_held(
        &self,
        errand: &Errand<'_>,
        person: &Person,
        want: &Want,
    ) -> Result<Option<Vec<String>>, Stop> {
        let held = |host: &Host| {
            let live = self.live(person, errand.reading.now);
            let on = |name: &&String| {
                name.split_once('@').is_some_and(|(_, at)| at == host.name.as_str())
            };
            let names: BTreeSet<&String> =
                live.iter().flat_map(|grant| &grant.accounts).filter(on).collect();
            match names.into_iter().collect::<Vec<_>>().as_slice() {
                [one] => Some((*one).clone()),
                _ => None,
            }
        };
        let mut names = Vec::new();
        for target in &errand.targets() {
            let hosts: Vec<&Host> = match &target.place {
                Place::Tag(tag) => {
                    collect::having(errand.deciding, tag, target.login.as_ref()).collect()
                }
                Place::Host(typed) => match errand.deciding.hosts.find(typed) {
                    Some(host) => vec![host],
                    None if *want == Want::New => return Ok(None),
                    None => {
                        let login = target
                            .login
                            .as_ref()
                            .map_or(String::new(), |login| format!("{login}@"));
                        vec![collect::host(errand.deciding, typed, &login)?]
                    }
                },
            };
            for host in hosts {
                let name = match &target.login {
                    Some(login) => Some(account_facts(login, host).name()),
                    None => held(host),
                };
                match name {
                    Some(name) => names.push(name),
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(names).filter(|names| !names.is_empty()))
    }

    /// The grants of the only request of a person's that has live ones.
    pub(super) fn only_grants(&self, person: &Person, now: UnixTime) -> Result<Held, Stop> {
        let live = self.live(person, now);
        let Some(first) = live.first() else {
            if let Some(ended) = self.ended_of(&person.name, now).first() {
                return Err(ended.stop_later());
            }
            return Err(Stop::no(
                "you have no live grant".to_owned(),
                "ask for one: ssh ca LOGIN@HOST TICKET",
            ));
        };
        if live.iter().all(|grant| grant.request == first.request) {
            return Ok(Held::of(live));
        }
        let mut requests: Vec<&str> = live.iter().map(|grant| grant.request.as_str()).collect();
        requests.dedup();
        Err(Stop::no(
            format!("you have several live grants: {}", requests.join(", ")),
            format!("name one: ssh ca renew {}; ssh ca list shows them", first.request),
        ))
    }

    /// The live grants of a request of a person's.
    pub(super) fn grants_of(
        &self,
        person: &Person,
        id: &RequestId,
        now: UnixTime,
    ) -> Result<Held, Stop> {
        let mut live = self.live(person, now);
        live.retain(|grant| grant.request == *id);
        if live.is_empty() {
            let ended = self.ended_of(&person.name, now);
            if let Some(ended) = ended.iter().find(|one| one.grant.request == *id) {
                return Err(ended.stop_later());
            }
            return Err(Stop::no(
                format!("you have no live grant {id}"),
                "ssh ca list shows those you have",
            ));
        }
        Ok(Held::of(live))
    }

    /// A person's grants that ended before their time, the latest first.
    fn ended_of(&self, person: &PersonName, now: UnixTime) -> Vec<EndedGrant> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended.person(person, now)
    }

    fn live(&self, person: &Person, now: UnixTime) -> Vec<LiveGrant> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).live(&person.name, now)
    }

    /// A certificate for the proved key that was issued before and is young.
    pub(super) fn again(&self, errand: &Errand<'_>, accounts: &[String]) -> Option<Outcome> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let subject = fingerprint(&errand.asker.key);
        let lives = |request: &RequestId| !self.ended(request);
        let issue = kept.find(&subject, accounts, errand.reading.now, lives)?.clone();
        drop(kept);
        Some(Outcome::Issued(Box::new(Issued {
            request: errand.id.clone(),
            certificates: vec![issue],
            to: To::StdoutAgain,
            typed: errand.typed(accounts),
            notes: Vec::new(),
        })))
    }

    /// Keeps a certificate for the proved key.
    pub(super) fn keep(&self, asker: &Asker, issue: &Issue) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.keep(fingerprint(&asker.key), issue);
    }

    /// Where a certificate for these accounts may be used.
    pub(super) fn destinations(
        &self,
        wanted: &[Wanted<'_>],
        accounts: &[String],
    ) -> Result<Vec<Destination>, Stop> {
        let of = wanted.iter().filter(|one| accounts.contains(&one.account.name()));
        of.map(|one| destination(one.account.login.as_str(), one.host, &self.host_cas)).collect()
    }

    /// Who one is and what one holds.
    pub fn status(&self, asker: &Asker) -> Outcome {
        let now = self.clock.now();
        let Some(person) = self.owner(&asker.key) else { return gone() };
        let locks = self.locks_of(&person, asker);
        let grants = self.state.lock().unwrap_or_else(PoisonError::into_inner).live(&person, now);
        let ended = self.ended_of(&person, now);
        Outcome::Status(Box::new(Status {
            person,
            locks,
            key: fingerprint(&asker.key),
            key_type: asker.key.algorithm().to_string(),
            grants,
            ended,
            now,
        }))
    }

    /// One's live grants; of one request, if it is named.
    pub fn list(&self, asker: &Asker, request: Option<&RequestId>) -> Outcome {
        let now = self.clock.now();
        let Some(person) = self.owner(&asker.key) else { return gone() };
        let mut live = self.state.lock().unwrap_or_else(PoisonError::into_inner).live(&person, now);
        live.retain(|grant| request.is_none_or(|request| grant.request == *request));
        match request {
            Some(id) if live.is_empty() => no(
                format!("you have no request {id}"),
                "ssh ca list shows your live grants".to_owned(),
            ),
            _ => {
                let mut ended = self.ended_of(&person, now);
                ended.retain(|one| request.is_none_or(|request| one.grant.request == *request));
                Outcome::List(live, ended, now)
            }
        }
    }

    /// Who one is, and the accounts that one could have, now or with the right ticket.
    pub fn reach(&self, asker: &Asker) -> Result<(PersonName, Vec<Reach>), Outcome> {
        let deciding = self.in_force.now();
        let person = self.here(&deciding, asker).map_err(answer)?;
        let mut logins: HashMap<String, BTreeSet<String>> = HashMap::new();
        for offered in self.offered(&deciding, person, asker)? {
            for (login, hosts) in offered.accounts {
                for host in hosts {
                    logins.entry(host).or_default().insert(login.to_string());
                }
            }
        }
        let reach = |host: &Host| {
            let typed = host.aliases.iter().chain(&host.addresses).cloned();
            Some(Reach {
                logins: logins.remove(host.name.as_str())?,
                names: std::iter::once(host.name.to_string()).chain(typed).collect(),
                via: host.via.as_ref().map(|via| match &via.login {
                    Some(login) => format!("{login}@{}", via.host),
                    None => via.host.to_string(),
                }),
            })
        };
        Ok((person.name.clone(), deciding.hosts.iter().filter_map(reach).collect()))
    }

    /// What is known about a login that may fail.
    pub fn why(&self, asker: &Asker, target: &Target) -> Outcome {
        let now = self.clock.now();
        let deciding = self.in_force.now();
        let person = match self.here(&deciding, asker) {
            Ok(person) => person,
            Err(stop) => return answer(stop),
        };
        let (Place::Host(typed), Some(login)) = (&target.place, &target.login) else {
            return no(
                format!("{} is not one account", Safe(&target.to_string())),
                "ssh ca why LOGIN@HOST".to_owned(),
            );
        };
        let host = match collect::host(&deciding, typed, &format!("{login}@")) {
            Ok(host) => host,
            Err(stop) => return answer(stop),
        };
        let account = account_facts(login, host).name();
        let gives = |offered: &Offered| {
            let mut of = offered.accounts.iter().filter(|(name, _)| name == login);
            of.any(|(_, hosts)| hosts.iter().any(|name| name == host.name.as_str()))
        };
        let offered = match self.offered(&deciding, person, asker) {
            Ok(all) => all.iter().any(gives),
            Err(outcome) => return outcome,
        };
        let on = format!("@{}", host.name);
        let live =
            self.state.lock().unwrap_or_else(PoisonError::into_inner).live(&person.name, now);
        let (grants, others): (Vec<_>, Vec<_>) =
            live.into_iter().partition(|grant| grant.accounts.contains(&account));
        let mut ended = self.ended_of(&person.name, now);
        ended.retain(|one| one.grant.accounts.contains(&account));
        let there = |grant: &LiveGrant| grant.accounts.iter().any(|name| name.ends_with(&on));
        Outcome::Why(Box::new(Why {
            account,
            typed: target.to_string(),
            grants,
            ended,
            elsewhere: others.into_iter().filter(there).collect(),
            key: fingerprint(&asker.key),
            offered,
            keys_known: collect::keys_known(host),
            now,
        }))
    }
}

fn gone() -> Outcome {
    answer(not_enrolled())
}

fn no(reason: String, hint: String) -> Outcome {
    answer(Stop::no(reason, hint))
}
