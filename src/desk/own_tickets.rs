//! The hint that names the ticket: where nothing but a ticket is missing, the trackers are asked for the
//! person's own, and one that would do is named.
//!
//! Only a hint: whoever follows it asks anew, and everything is read and decided anew. So any fault, and
//! anything that takes longer than a moment, gives the plain hint.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::collect::{Said, Wanted};
use super::{Desk, Errand};
use crate::certificate::names::{PersonName, TicketId};
use crate::certificate::safe::Safe;
use crate::certificate::time::{Span, UnixTime};
use crate::config::people::Person;
use crate::decide::facts::{Account, Facts, Ticket, TicketState};
use crate::decide::{Decision, Reason, decide};
use crate::outside::tickets::Trackers;

/// How long the trackers have, all together.
const MOMENT: Duration = Duration::from_secs(1);

/// How many tickets are read.
const READ: usize = 6;

/// How often they are asked for one person within [`SPAN`].
const OFTEN: usize = 10;

const SPAN: Span = Span::secs(60);

/// When the trackers were asked for whom.
#[derive(Debug, Default)]
pub struct Asked(Mutex<HashMap<PersonName, VecDeque<UnixTime>>>);

impl Asked {
    /// Takes a place for one more question, if there is one.
    fn may(&self, person: &PersonName, now: UnixTime) -> bool {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever did not ask of late is forgotten. A clock that was set back holds nobody up for long.
        asked.retain(|_, times| {
            times.retain(|time| now.since(*time) < SPAN && *time <= now);
            !times.is_empty()
        });
        let times = asked.entry(person.clone()).or_default();
        let may = times.len() < OFTEN;
        if may {
            times.push_back(now);
        }
        may
    }
}

impl Desk {
    /// The hint for a request that lacks a ticket; `None` where another hint says more, or nothing was
    /// found. `facts` puts an account to the policy.
    pub(super) async fn name_the_ticket(
        &self,
        errand: &Errand<'_>,
        person: &Person,
        wanted: &[Wanted<'_>],
        facts: &(dyn Fn(Account) -> Facts + Sync),
    ) -> Option<String> {
        let policy = &errand.deciding.policy;
        let refused = |account: &Account| match decide(policy, &facts(account.clone())) {
            Decision::Refused(refusal) => Some(refusal),
            Decision::Granted(_) | Decision::Fault(_) => None,
        };
        // The first no is the answer that was given.
        let refusal = wanted.iter().find_map(|one| refused(&one.account))?;
        if !matches!(refusal.reasons.first(), Some(Reason::TicketMissing { .. }))
            || !self.hints.may(&person.name, errand.reading.now)
        {
            return None;
        }
        let (trackers, who) = (Arc::clone(&self.trackers), person.clone());
        let asked = tokio::task::spawn_blocking(move || own(&trackers, &who));
        let found = tokio::time::timeout(MOMENT, asked).await.ok()?.ok()?;
        let tickets = found
            .into_iter()
            .filter_map(|(id, said)| said.ticket(id).ok()?.map(errand.deciding).ok());
        let does = |ticket: &Ticket| {
            ticket.state == TicketState::Open
                && ticket.mine(&person.name)
                && wanted.iter().all(|one| {
                    let facts = facts(one.account.clone());
                    let facts = Facts { ticket: Some(ticket.clone()), ..facts };
                    ticket.covers(&one.account.host)
                        && matches!(decide(policy, &facts), Decision::Granted(_))
                })
        };
        let tickets: Vec<Ticket> = tickets.filter(does).collect();
        let asked = errand.ask.account();
        match tickets.as_slice() {
            [] => None,
            [one] => {
                let Ticket { id, title, .. } = one;
                Some(format!("name the ticket: ssh ca {asked} {id}  ({id}: {})", Safe(title)))
            }
            several => {
                let ids: Vec<&str> = several.iter().map(|one| one.id.as_str()).collect();
                let host = match wanted {
                    [one] => one.account.host.to_string(),
                    _ => asked,
                };
                Some(format!("yours for {host}: {}", ids.join(", ")))
            }
        }
    }
}

/// Somebody's open tickets in all trackers that can be asked, and what is said of each. Blocks; begins
/// nothing after a moment.
fn own(trackers: &Trackers, person: &Person) -> Vec<(TicketId, Said)> {
    let end = Instant::now() + MOMENT;
    let mut found = Vec::new();
    for (tracker, _) in trackers.polled() {
        let name = tracker.name();
        let named = || tracker.names_people().then_some(person.name.as_str());
        let Some(alias) = person.aliases.get(name).map(String::as_str).or_else(named) else {
            continue;
        };
        if found.len() >= READ || Instant::now() >= end {
            break;
        }
        let ids = match tracker.open_of(alias) {
            Ok(ids) => ids.unwrap_or_default(),
            Err(why) => {
                tracing::debug!(tracker = name, why = %Safe(&why.to_string()), "no hint");
                continue;
            }
        };
        for id in ids.into_iter().take(READ - found.len()) {
            // Typed as it is, the id would go to the first tracker that takes it.
            let its = trackers.of(&id).is_some_and(|first| first.name() == name);
            if Instant::now() < end
                && its
                && let Ok(answer) = tracker.read(&id)
            {
                found.push((id, Said::of(&**tracker, answer)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script of mallory's asks all night without a ticket: the tracker hears of ten questions a minute.
    #[test]
    fn trackers_are_asked_ten_times_a_minute_for_one_person() {
        let asked = Asked::default();
        let (ana, mallory) = ("ana".parse().unwrap(), "mallory".parse().unwrap());
        let at = |second: u64| UnixTime::from_secs(1_800_000_000 + second);
        let heard = (0..600).filter(|n| asked.may(&mallory, at(n / 10))).count();
        assert_eq!(heard, 10);
        assert!(asked.may(&ana, at(59)), "another person's questions");
        assert!(asked.may(&mallory, at(60)));
        assert!(asked.may(&ana, at(200)));
        assert_eq!(asked.0.lock().unwrap().len(), 1, "who asked long ago is remembered");
    }
}
