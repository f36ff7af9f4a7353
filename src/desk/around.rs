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

/// What was looked up once for a person's request, whatever accounts it is for.
#[derive(Clone)]
pub struct Surroundings {
    /// The moment.
    pub now: UnixTime,
    /// The freezes that stand.
    pub freezes: Vec<Freeze>,
    /// The groups that the person is in because of a shift, and when it ends.
    pub shifts: BTreeMap<GroupName, UnixTime>,
    /// The named hours it is in.
    pub hours: BTreeSet<HoursName>,
    /// Who asks.
    pub person: PersonName,
    /// How many certificates the person was given within the hour, and for which hosts.
    pub recent: (u64, BTreeSet<HostName>),
    /// The ledger, for what was given long ago.
    pub past: Arc<Mutex<Store>>,
}

impl Desk {
    /// Looks up what stands around a person's request.
    pub(super) fn surroundings(
        &self,
        deciding: &Deciding,
        person: &Person,
        now: UnixTime,
    ) -> Result<Surroundings, Stop> {
        let shifts = self.shifts(deciding, person, now);
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = state.recent.of(&person.name, now);
        drop(state);
        Ok(Surroundings {
            now,
            freezes: self.standing(now)?,
            shifts,
            hours: deciding.policy.hours_at(now),
            person: person.name.clone(),
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
        store: Store,
        deciding: &Deciding,
        person: &Person,
        now: UnixTime,
    ) -> Result<Self, Outcome> {
        let broken = |what: &'static str, why: &dyn std::fmt::Display| {
            answer(Stop::Broken { what, details: why.to_string() })
        };
        let ledger = Freezes::rebuild(&store);
        let ledger = ledger.map_err(|why| broken("the ledger cannot be read", &why))?;
        let mut freezes: Vec<Freeze> = ledger.standing(now).cloned().collect();
        if let Some(folder) = ca.freezes.clone().map(FreezeFiles::new) {
            let files = folder.read(now);
            let files =
                files.map_err(|why| broken("the folder of freezes cannot be read", &why))?;
            freezes.extend(files.into_iter().filter(|freeze| freeze.stands(now)));
        }
        let on_call = OnCall::open(&ca.on_call);
        on_call.refresh(now);
        let shifts = on_call.shifts(&deciding.people, &person.name, now);
        let recent = Recent::read(&store, now);
        let recent = recent.map_err(|why| broken("the ledger cannot be read", &why))?;
        Ok(Self {
            now,
            freezes,
            shifts,
            hours: deciding.policy.hours_at(now),
            recent: recent.of(&person.name, now),
            person: person.name.clone(),
            past: Arc::new(Mutex::new(store)),
        })
    }

    /// What of it is about one account.
    pub fn of(&self, account: &Account) -> Around {
        let over = self.freezes.iter().filter(|freeze| freeze.is_over(&account.tags, self.now));
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        Around {
            hours: self.hours.clone(),
            freezes: over.map(|freeze| freeze.name.clone()).collect(),
            history: history(&past, &self.recent, &self.person, account, self.now),
            ..Around::default()
        }
    }

    /// The groups that the person is in because of a shift, and when it ends.
    pub fn shifts(&self) -> BTreeMap<GroupName, UnixTime> {
        self.shifts.clone()
    }
}

/// What a person was given before, by the ledger. What cannot be read is a fault of every decision.
fn history(
    past: &Store,
    (count, hosts): &(u64, BTreeSet<HostName>),
    person: &PersonName,
    account: &Account,
    now: UnixTime,
) -> History {
    let mut history = History {
        last_days: None,
        recent: *count,
        recent_hosts: u64::try_from(hosts.len()).unwrap_or(u64::MAX),
        hosts: hosts.clone(),
        fault: None,
    };
    match past.last_given(person, &account.name()) {
        Ok(last) => history.last_days = last.map(|last| now.since(last).as_secs() / 86_400),
        Err(why) => history.fault = Some(format!("the history cannot be read: {why}")),
    }
    history
}
