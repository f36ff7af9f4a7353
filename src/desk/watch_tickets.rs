//! While grants live their tickets are looked at: one that closes ends them.
//!
//! Each ticket is read once in its tracker's `poll`, however many grants there are for it, at a moment of
//! its own within that time, and few at once: people who ask come first. A tracker that is away ends
//! nothing, and gives nothing either: renewals are faults.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ending::{Ending, over};
use crate::certificate::names::TicketId;
use crate::certificate::safe::Safe;
use crate::certificate::time::Span;
use crate::ledger::facts::TICKET_GONE;
use crate::outside::tickets::{Answer, Tracker, TrackerFault, ask};

/// How many tickets of one tracker are read at a time.
const AT_ONCE: usize = 2;

/// How often it is looked whether there are new grants.
const GLANCE: Duration = Duration::from_secs(1);

/// How much later a ticket that is gone is looked for again: a file that is being replaced is not gone.
const AGAIN: Duration = Duration::from_secs(2);

/// Looks at one tracker's tickets, for as long as the task lives.
pub async fn watch(ending: Ending, tracker: Arc<dyn Tracker>, poll: Span) {
    let poll = Duration::from_secs(poll.as_secs());
    // What waits for its moment, and what is being read: a ticket is in one of them.
    let mut due: BTreeSet<(Instant, TicketId)> = BTreeSet::new();
    let mut reading = JoinSet::new();
    let mut read_now: BTreeSet<TicketId> = BTreeSet::new();
    let mut known: BTreeSet<TicketId> = BTreeSet::new();
    let mut glance = Instant::now();
    let mut away = false;
    loop {
        let now = Instant::now();
        if now >= glance {
            glance = now + GLANCE;
            let tickets: BTreeSet<TicketId> = ending.tickets(tracker.name()).into_iter().collect();
            due.retain(|(_, id)| tickets.contains(id));
            // Not all at once after a start, nor ever.
            let new = tickets.iter().filter(|id| !known.contains(*id) && !read_now.contains(*id));
            due.extend(new.map(|id| (now + spread(poll), id.clone())));
            known = tickets;
        }
        while reading.len() < AT_ONCE
            && let Some((at, id)) = due.pop_first()
        {
            if at > now {
                due.insert((at, id));
                break;
            }
            read_now.insert(id.clone());
            let looked = tokio::spawn(look(ending.clone(), Arc::clone(&tracker), id.clone()));
            reading.spawn(async move { (at, id, looked.await.unwrap_or_else(lost)) });
        }
        let next = due.first().filter(|_| reading.len() < AT_ONCE).map(|(at, _)| *at);
        tokio::select! {
            Some(Ok((at, id, read))) = reading.join_next() => {
                tell(tracker.name(), read, &mut away);
                read_now.remove(&id);
                if known.contains(&id) {
                    // Late where reading takes longer than there is time for it.
                    due.insert(((at + poll).max(Instant::now()), id));
                }
            }
            () = tokio::time::sleep_until(next.map_or(glance, |at| at.min(glance))) => {}
        }
    }
}

/// A moment within the time.
fn spread(poll: Duration) -> Duration {
    let most = u64::try_from(poll.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(rand::rng().next_u64() % most.max(1))
}

fn lost(why: tokio::task::JoinError) -> Result<(), TrackerFault> {
    Err(TrackerFault::Away(why.to_string()))
}

/// One line when it goes away, one when it is back: a ticket is read every half minute.
fn tell(tracker: &str, read: Result<(), TrackerFault>, away: &mut bool) {
    match read {
        Err(TrackerFault::Unreadable(why)) => {
            tracing::debug!(tracker, why = %Safe(&why), "a live grant's ticket cannot be read");
        }
        Err(why) if !*away => {
            tracing::warn!(tracker, why = %Safe(&why.to_string()), "tickets of live grants cannot be read");
            *away = true;
        }
        Err(_) => {}
        Ok(()) if *away => {
            tracing::info!(tracker, "tickets of live grants can be read again");
            *away = false;
        }
        Ok(()) => {}
    }
}

/// Reads a ticket, and ends what is bound to it if that is over.
async fn look(ending: Ending, tracker: Arc<dyn Tracker>, id: TicketId) -> Result<(), TrackerFault> {
    // Before the ticket is read.
    let bound = ending.bound(tracker.name(), &id);
    let mut said = over(tracker.name(), &id, &read(&tracker, &id).await?);
    if said.as_ref().is_some_and(|(_, why)| *why == TICKET_GONE) {
        tokio::time::sleep(AGAIN).await;
        said = over(tracker.name(), &id, &read(&tracker, &id).await?);
    }
    if let Some((last, why)) = said
        && let Err(fault) = ending.end(&bound, &last, why).await
    {
        // The next look finds them where they were.
        tracing::error!(%fault, ticket = %id, "grants could not be ended");
    }
    Ok(())
}

async fn read(tracker: &Arc<dyn Tracker>, id: &TicketId) -> Result<Answer, TrackerFault> {
    let id = id.clone();
    ask(Arc::clone(tracker), move |tracker| tracker.read(&id)).await.flatten()
}
