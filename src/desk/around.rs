//! What stands around a request at this moment, beyond who asks for what and why.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use super::freezes::{Freeze, Freezes};
use super::locking::answer;
use super::outcome::Outcome;
use super::past::Past;
use super::recent::Recent;
use super::{Desk, Stop};
use crate::certificate::names::{GroupName, HostName, HoursName, PersonName};
use crate::certificate::time::UnixTime;
use crate::config::Deciding;
use crate::config::ca::Ca;
use crate::config::people::Person;
use crate::decide::facts::{Account, Around};
use crate::ledger::store::Store;
use crate::outside::freeze_files::FreezeFiles;
use crate::outside::on_call::OnCall;

/// What was looked up once for a person's request, whatever accounts it is for.
pub struct Surroundings {
    now: UnixTime,
    person: PersonName,
    hours: BTreeSet<HoursName>,
    freezes: Vec<Freeze>,
    shifts: BTreeMap<GroupName, UnixTime>,
    off_shift: BTreeMap<GroupName, Option<UnixTime>>,
    /// How many certificates the person was given within the hour, and for which hosts.
    of_late: (u64, BTreeSet<HostName>),
    past: Past,
}

impl Desk {
    /// Looks up what stands around a person's request.
    pub(super) fn surroundings(
        &self,
        deciding: &Deciding,
        person: &Person,
        now: UnixTime,
    ) -> Result<Surroundings, Stop> {
        let of_late = {
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
            of_late,
            past: self.past.clone(),
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
        let unread = |why| broken("the ledger cannot be read", &why);
        let recent = Recent::read(&store, now).map_err(unread)?;
        let freezes = Freezes::rebuild(&store).map_err(unread)?;
        let mut freezes: Vec<Freeze> = freezes.standing(now).cloned().collect();
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
            of_late: recent.of(&person.name, now),
            past: Past::new(store),
        })
    }

    /// What of it is about one account.
    pub fn of(&self, account: &Account) -> Around {
        let over = self.freezes.iter().filter(|freeze| freeze.is_over(&account.tags, self.now));
        Around {
            hours: self.hours.clone(),
            freezes: over.map(|freeze| freeze.name.clone()).collect(),
            history: self.past.of(&self.person, account, &self.of_late, self.now),
            off_shift: self.off_shift.clone(),
        }
    }

    /// The groups that the person is in because of a shift, and when it ends.
    pub fn shifts(&self) -> BTreeMap<GroupName, UnixTime> {
        self.shifts.clone()
    }
}
