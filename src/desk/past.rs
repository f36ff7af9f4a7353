//! What a person was given before, by the ledger: long ago from its own table, of late from the fold.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::certificate::names::{HostName, PersonName};
use crate::certificate::time::UnixTime;
use crate::decide::facts::{Account, History};
use crate::ledger::store::Store;

/// The ledger, to be asked for what was given.
#[derive(Clone)]
pub struct Past(Arc<Mutex<Store>>);

impl Past {
    /// By a ledger that is open to be read, beside whoever writes it.
    pub fn new(store: Store) -> Self {
        Self(Arc::new(Mutex::new(store)))
    }

    /// What a person was given before an account is asked for; `of_late` is what [`super::recent`] has of
    /// them. What cannot be read is a fault of every decision.
    pub(super) fn of(
        &self,
        person: &PersonName,
        account: &Account,
        of_late: &(u64, BTreeSet<HostName>),
        now: UnixTime,
    ) -> History {
        let (recent, hosts) = of_late.clone();
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.last_given(person, &account.name());
        let days = |last: &UnixTime| now.since(*last).as_secs() / 86_400;
        History {
            last_days: last.as_ref().ok().and_then(Option::as_ref).map(days),
            recent,
            recent_hosts: u64::try_from(hosts.len()).unwrap_or(u64::MAX),
            hosts,
            fault: last.err().map(|why| format!("what was given before cannot be read: {why}")),
        }
    }
}
