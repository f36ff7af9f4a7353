//! Setting a lock and lifting it: the entry is durable before anybody is answered, and from the next
//! decision on it counts. The race with a certificate on its way is the writer's: see [`guard`].

use std::sync::{Arc, Mutex, PoisonError};

use rand::Rng as _;

use super::collect::Wanted;
use super::entries::salt;
use super::holdings::not_enrolled;
use super::in_force::InForce;
use super::locks::{Lock, Locks, Target};
use super::outcome::{Fault, Outcome, Refused};
use super::request::Asker;
use super::state::State;
use super::{Desk, Stop};
use crate::certificate::fingerprint;
use crate::certificate::names::{PersonName, Principal, Reason, RequestId};
use crate::certificate::safe::Safe;
use crate::config::Deciding;
use crate::decide::close;
use crate::decide::office::{Act, LockAct};
use crate::ledger::facts::{self, Author, LockChange};
use crate::ledger::leaf::Kind;
use crate::ledger::record::Guard;

/// What is to be locked, or unlocked, and why.
#[derive(Debug, Clone)]
pub struct LockAsk {
    /// What.
    pub target: Target,
    /// Whether a lock is lifted.
    pub lifting: bool,
    /// Why.
    pub reason: Reason,
}

/// A lock that was set or lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What.
    pub target: Target,
    /// Whether it is locked now.
    pub locked: bool,
    /// The entry; `None` if it was locked already.
    pub entry: Option<u64>,
    /// Remarks: a name that nobody knows, who had locked it before.
    pub notes: Vec<String>,
}

/// Stands between a certificate's draft and its COMMIT: a lock that was committed before wins, and so
/// does the end of its grant, however far the request had come.
pub fn guard(state: Arc<Mutex<State>>, in_force: Arc<InForce>) -> Guard {
    Box::new(move |facts| {
        let deciding = in_force.now();
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = || state.ended.against_facts(facts);
        state.locks.against_facts(facts, &deciding.hosts).or_else(ended)
    })
}

impl Desk {
    /// Sets or lifts a lock for whoever asks over SSH, if policy lets them.
    pub async fn lock(&self, asker: &Asker, ask: LockAsk) -> Result<Changed, Outcome> {
        let deciding = self.in_force.now();
        let target = canonical(&deciding, ask.target);
        let ask = LockAsk { target, ..ask };
        let act = self.lock_act(&deciding, asker, &ask.target, ask.lifting, Some(&ask.reason));
        let person = self.may(asker, act)?.person;
        let by = LockChange {
            person: Some(person.clone()),
            key: Some(fingerprint(&asker.key)),
            source: Some(asker.source.ip().to_canonical().to_string()),
            ..LockChange::from(&ask)
        };
        let now = self.clock.now();
        let room = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.locks.may_change(&person, now)
        };
        if !room {
            return Err(answer(Stop::no(
                format!("{person} has changed as many locks as one person may in an hour"),
                "on the CA's machine there is no such limit: hallpass lock",
            )));
        }
        self.change_lock(&deciding, &ask, by).await.map_err(answer)
    }

    /// The same for an operator of the CA's machine, who needs nobody's leave.
    pub async fn lock_by_operator(
        &self,
        operator: Author,
        ask: LockAsk,
    ) -> Result<Changed, Outcome> {
        let deciding = self.in_force.now();
        let target = canonical(&deciding, ask.target);
        let ask = LockAsk { target, ..ask };
        let by = LockChange { operator: Some(operator), ..LockChange::from(&ask) };
        self.change_lock(&deciding, &ask, by).await.map_err(answer)
    }

    async fn change_lock(
        &self,
        deciding: &Deciding,
        ask: &LockAsk,
        change: LockChange,
    ) -> Result<Changed, Stop> {
        let settled = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            settle(&state.locks, Some(deciding), ask)
        };
        let Settled { needs_entry, notes } = settled.map_err(|(why, hint)| Stop::no(why, hint))?;
        let (target, locked) = (ask.target.clone(), !ask.lifting);
        if !needs_entry {
            return Ok(Changed { target, locked, entry: None, notes });
        }
        let now = self.clock.now();
        let written = facts::write(Kind::Lock, salt(), now, &self.node, &change);
        let bytes = written.ok_or_else(|| Stop::Broken {
            what: "the lock could not be written",
            details: "facts of more than 64 KiB".to_owned(),
        })?;
        // From COMMIT on it stands; the fold has taken it in when this returns.
        let entry = self.ledger.append(Kind::Lock, bytes).await?;
        tracing::info!(
            target: "hallpass::audit", outcome = "ok", act = if locked { "lock" } else { "unlock" },
            what = target.typed(), by = change.who(), reason = %Safe(&change.reason), entry
        );
        Ok(Changed { target, locked, entry: Some(entry), notes })
    }

    /// The locks that whoever asks could set or lift: what concerns nobody else is nobody else's.
    pub fn locks(&self, asker: &Asker) -> Result<Vec<Lock>, Outcome> {
        let deciding = self.in_force.now();
        let standing: Vec<Lock> = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.locks.iter().cloned().collect()
        };
        let own = deciding.people.owner(&asker.key);
        let own = own.ok_or_else(|| answer(not_enrolled()))?;
        if let Some(stop) = self.locked_out(own, asker) {
            return Err(answer(stop));
        }
        let reason = "shown".parse().ok();
        let mut shown = Vec::new();
        for lock in standing {
            for lifting in [true, false] {
                let act = self.lock_act(&deciding, asker, &lock.target, lifting, reason.as_ref());
                match self.permission(asker, act).0 {
                    Ok(_) => {
                        shown.push(lock);
                        break;
                    }
                    Err(broken @ Stop::Broken { .. }) => return Err(answer(broken)),
                    Err(Stop::No { .. } | Stop::Undelivered { .. }) => {}
                }
            }
        }
        Ok(shown)
    }

    /// What policy is asked.
    fn lock_act(
        &self,
        deciding: &Deciding,
        asker: &Asker,
        target: &Target,
        lifting: bool,
        reason: Option<&Reason>,
    ) -> Act {
        let own = deciding.people.owner(&asker.key).and_then(|name| deciding.people.get(name));
        let mine = own.is_some_and(|own| match target {
            Target::Person(name) => *name == own.name,
            Target::Key(print) => own.keys.iter().any(|key| fingerprint(key) == *print),
            Target::Everything | Target::Host(_) | Target::Tag(_) => false,
        });
        let name = target.name().to_owned();
        Act::Lock(LockAct { target: target.kind(), name, lifting, mine, reason: reason.cloned() })
    }

    /// Whether a lock stands against certificates for these accounts.
    pub(super) fn unlocked(
        &self,
        deciding: &Deciding,
        person: &PersonName,
        asker: &Asker,
        wanted: &[Wanted<'_>],
    ) -> Result<(), Stop> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let key = fingerprint(&asker.key);
        let principals: Vec<Principal> = wanted.iter().map(|one| one.account.principal()).collect();
        match state.locks.against(person, &key, &principals, &deciding.hosts) {
            Some(lock) => Err(Stop::no(lock.to_string(), lock.hint())),
            None => Ok(()),
        }
    }

    /// What is locked that keeps this person by this key from certificates, a sentence each.
    pub(super) fn locks_of(&self, person: &PersonName, asker: &Asker) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let own = [
            Target::Everything,
            Target::Person(person.clone()),
            Target::Key(fingerprint(&asker.key)),
        ];
        own.iter().filter_map(|target| state.locks.of(target)).map(Lock::to_string).collect()
    }

    /// Why a person who is locked, or whose key is, is told nothing and does nothing here.
    pub(super) fn locked_out(&self, person: &PersonName, asker: &Asker) -> Option<Stop> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = state.locks.against_person(person, &fingerprint(&asker.key))?;
        Some(Stop::no(lock.to_string(), lock.hint()))
    }
}

/// The host's own name for what was typed.
pub fn canonical(deciding: &Deciding, target: Target) -> Target {
    match target {
        Target::Host(typed) => {
            let known = deciding.hosts.find(typed.as_str()).map(|host| host.name.clone());
            Target::Host(known.unwrap_or(typed))
        }
        other => other,
    }
}

/// A word on what is in no file: a lock may be early, late, or a typing error.
fn unknown(deciding: &Deciding, target: &Target) -> Option<String> {
    let (people, hosts) = (&deciding.people, &deciding.hosts);
    let near = match target {
        Target::Everything => return None,
        Target::Person(name) if people.get(name).is_some() => return None,
        Target::Host(name) if hosts.find(name.as_str()).is_some() => return None,
        Target::Tag(name) if hosts.tags().contains(name) => return None,
        Target::Key(print) => {
            let known =
                people.iter().flat_map(|one| &one.keys).any(|key| fingerprint(key) == *print);
            return (!known).then(|| "nobody has this key: was the fingerprint meant?".to_owned());
        }
        // A word without a kind is a person: `everything` may have been meant.
        Target::Person(name) => {
            close(name.as_str(), people.iter().map(|one| one.name.as_str()).chain(["everything"]))
        }
        Target::Host(name) => close(name.as_str(), hosts.iter().map(|one| one.name.as_str())),
        Target::Tag(name) => close(name.as_str(), hosts.tags().iter().map(|one| one.as_str())),
    };
    let near = near.map_or(String::new(), |near| format!("; was {near} meant?"));
    Some(format!("there is no {target}{near}"))
}

/// What becomes of a lock that is asked for, before anything is written.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled {
    /// Whether it takes an entry; what is locked is not locked again.
    pub needs_entry: bool,
    /// Remarks.
    pub notes: Vec<String>,
}

/// Holds what is asked against the locks that stand; a lock that does not stand is not lifted: why,
/// and what may have been meant.
pub fn settle(
    locks: &Locks,
    deciding: Option<&Deciding>,
    ask: &LockAsk,
) -> Result<Settled, (String, String)> {
    let target = &ask.target;
    match (locks.of(target), ask.lifting) {
        (Some(lock), false) => Ok(Settled { needs_entry: false, notes: vec![lock.to_string()] }),
        (Some(lock), true) => {
            Ok(Settled { needs_entry: true, notes: vec![format!("before: {lock}")] })
        }
        (None, false) => {
            let notes = deciding.and_then(|deciding| unknown(deciding, target));
            Ok(Settled { needs_entry: true, notes: notes.into_iter().collect() })
        }
        (None, true) => {
            let all: Vec<String> = locks.iter().map(|lock| lock.target.typed()).collect();
            let near = close(&target.typed(), all.iter().map(String::as_str));
            let hint = match near {
                Some(near) => format!("did you mean {near}? ssh ca locks shows what is locked"),
                None => "ssh ca locks shows what is locked".to_owned(),
            };
            Err((format!("{target} is not locked"), hint))
        }
    }
}

impl From<&LockAsk> for LockChange {
    /// What is asked, not yet by whom.
    fn from(ask: &LockAsk) -> Self {
        Self {
            target: ask.target.kind().to_owned(),
            name: ask.target.name().to_owned(),
            locked: !ask.lifting,
            person: None,
            key: None,
            source: None,
            operator: None,
            reason: ask.reason.as_str().to_owned(),
        }
    }
}

/// A stop put as an answer.
pub(super) fn answer(stop: Stop) -> Outcome {
    let request = RequestId::from_random(rand::rng().next_u64());
    match stop {
        Stop::No { reasons, hint } => Outcome::Refused(Refused { request, reasons, hint }),
        Stop::Undelivered { reason, hint } => {
            Outcome::Refused(Refused { request, reasons: vec![reason], hint })
        }
        Stop::Broken { what, details } => {
            tracing::error!(%request, %details, "fault");
            Outcome::Fault(Fault { request, what })
        }
    }
}
