//! What stands around a request at this moment, beyond who asks for what and why.

use std::sync::PoisonError;

use super::Desk;
use super::recent::Recent;
use crate::certificate::names::PersonName;
use crate::certificate::time::UnixTime;
use crate::config::Deciding;
use crate::decide::facts::{Account, Around, History};
use crate::ledger::store::Store;

impl Desk {
    /// The hours, freezes and history of one account and one person.
    pub(super) fn around(
        &self,
        deciding: &Deciding,
        person: &PersonName,
        account: &Account,
        now: UnixTime,
    ) -> Around {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let history = history(&past, &state.recent, person, account, now);
        Around { hours: deciding.policy.hours_at(now), history, ..Around::default() }
    }
}

/// What a person was given before, by the ledger. What cannot be read is a fault of every decision.
pub fn history(
    past: &Store,
    recent: &Recent,
    person: &PersonName,
    account: &Account,
    now: UnixTime,
) -> History {
    let (count, hosts) = recent.of(person, now);
    let mut history = History {
        last_days: None,
        recent: count,
        recent_hosts: u64::try_from(hosts.len()).unwrap_or(u64::MAX),
        hosts,
        fault: None,
    };
    match past.last_given(person, &account.name()) {
        Ok(last) => history.last_days = last.map(|last| now.since(last).as_secs() / 86_400),
        Err(why) => history.fault = Some(format!("the history cannot be read: {why}")),
    }
    history
}
