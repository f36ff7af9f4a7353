//! What stands around a request at this moment, beyond who asks for what and why.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::freezes::{Freeze, Freezes};
use super::locking::answer;
use super::outcome::Outcome;
use super::recent::Recent;
use super::{Desk, Stop};
use crate::certificate::names::{GroupName, HostName, HoursName, PersonName};
use crate::certificate::time::UnixTime;
use crate::config::Deciding;
use crate::config::ca::Ca;
use crate::config::people::Person;
use crate::decide::facts::{Account, Around, History};
use crate::ledger::store::Store;
use crate::outside::freeze_files::FreezeFiles;
use crate::outside::on_call::OnCall;

/// What was looked up once for a person's request, whatever accounts it is for; what is about one account
/// is looked up when it is asked for.
pub struct Surroundings {
    now: UnixTime,
    person: PersonName,
    hours: BTreeSet<HoursName>,
    freezes: Vec<Freeze>,
    shifts: BTreeMap<GroupName, UnixTime>,
    off_shift: BTreeMap<GroupName, Option<UnixTime>>,
    /// How many certificates the person was given within the hour, and for which hosts.
    recent: (u64, BTreeSet<HostName>),
    past: Arc<Mutex<Store>>,
}

impl Desk {
    /// Looks up what stands around a person's request.
    pub(super) fn surroundings(
        &self,
        deciding: &Deciding,
        person: &Person,
        now: UnixTime,
    ) -> Result<Surroundings, Stop> {
        let recent = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.recent.of(&person.name, now)
        };
        Ok(Surroundings {
            now,
            person: person.name.clone(),
            hours: deciding.policy.hours_at(now),
            freezes: self.standing(now)?,
            shifts: self.shifts(deciding, person, now),
            off_shift: self.on_call.off_shift(&deciding.people, &person.name, now),
            recent,
            past: Arc::clone(&self.past),
        })
    }

    /// The groups that a person is in because of a shift.
    pub(super) fn shifts(
        &self,
        deciding: &Deciding,
        person: &Person,
        now: UnixTime,
    ) -> BTreeMap<GroupName, UnixTime> {
        self.on_call.shifts(&deciding.people, &person.name, now)
    }
}

impl Surroundings {
    /// The same for an operator, by the files and the ledger as they are at hand.
    pub fn read(
        ca: &Ca,
        past: Store,
        deciding: &Deciding,
        person: &Person,
        now: UnixTime,
    ) -> Result<Self, Outcome> {
        let broken = |what: &'static str, why: &dyn std::fmt::Display| {
            answer(Stop::Broken { what, details: why.to_string() })
        };
        let unread = |why| broken("the ledger cannot be read", &why);
        let mut freezes: Vec<Freeze> =
            Freezes::rebuild(&past).map_err(unread)?.standing(now).cloned().collect();
        if let Some(folder) = ca.freezes.clone().map(FreezeFiles::new) {
            let files = folder.read(now);
            let files =
                files.map_err(|why| broken("the folder of freezes cannot be read", &why))?;
            freezes.extend(files.into_iter().filter(|freeze| freeze.stands(now)));
        }
        let on_call = OnCall::open(&ca.on_call);
        on_call.refresh(now);
        Ok(Self {
            now,
            person: person.name.clone(),
            hours: deciding.policy.hours_at(now),
            freezes,
            shifts: on_call.shifts(&deciding.people, &person.name, now),
            off_shift: on_call.off_shift(&deciding.people, &person.name, now),
            recent: Recent::read(&past, now).map_err(unread)?.of(&person.name, now),
            past: Arc::new(Mutex::new(past)),
        })
    }

    /// What of it is about one account.
    pub fn of(&self, account: &Account) -> Around {
        let over = self.freezes.iter().filter(|freeze| freeze.is_over(&account.tags, self.now));
        Around {
            hours: self.hours.clone(),
            freezes: over.map(|freeze| freeze.name.clone()).collect(),
            history: self.history(account),
            off_shift: self.off_shift.clone(),
        }
    }

    /// What the person was given before, by the ledger. What cannot be read is a fault of every decision.
    fn history(&self, account: &Account) -> History {
        let (recent, hosts) = self.recent.clone();
        let recent_hosts = u64::try_from(hosts.len()).unwrap_or(u64::MAX);
        let mut history = History { last_days: None, recent, recent_hosts, hosts, fault: None };
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        match past.last_given(&self.person, &account.name()) {
            Ok(last) => {
                history.last_days = last.map(|last| self.now.since(last).as_secs() / 86_400)
            }
            Err(why) => history.fault = Some(format!("the history cannot be read: {why}")),
        }
        history
    }

    /// The groups that the person is in because of a shift, and when it ends.
    pub fn shifts(&self) -> BTreeMap<GroupName, UnixTime> {
        self.shifts.clone()
    }
}
