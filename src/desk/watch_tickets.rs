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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::certificate::sample::NOW;
    use crate::desk::state::State;
    use crate::ledger::leaf::Kind;
    use crate::ledger::record::Committed;
    use crate::ledger::whole::Whole;
    use crate::outside::clock::Stopped;
    use crate::outside::tickets::FolderTracker;

    /// A folder, and who reads in it when.
    struct Counted {
        folder: FolderTracker,
        reads: Mutex<Vec<(TicketId, Instant)>>,
        reading: AtomicUsize,
        most: AtomicUsize,
    }

    impl Tracker for Counted {
        fn name(&self) -> &str {
            self.folder.name()
        }

        fn read(&self, id: &TicketId) -> Result<Answer, TrackerFault> {
            self.most.fetch_max(self.reading.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            self.reads.lock().unwrap().push((id.clone(), Instant::now()));
            std::thread::sleep(Duration::from_millis(5));
            self.reading.fetch_sub(1, Ordering::SeqCst);
            self.folder.read(id)
        }
    }

    /// Two hundred grants are for fifty tickets: fifty reads in the poll's time, whatever the number of
    /// grants, spread over it, two at a time.
    #[tokio::test(flavor = "multi_thread")]
    async fn each_ticket_is_read_once_in_its_time_however_many_grants_there_are() {
        let whole = Whole::new();
        let mut state = State::default();
        let facts = include_str!("../../tests/vectors/entry-1.facts.json");
        for n in 0..200 {
            let facts = facts.replace("OPS-7", &format!("OPS-{}", n % 50));
            let facts = facts.replace("r200000000000", &format!("r200000000{n:03}"));
            state.fold(Committed { index: n, kind: Kind::Grant, facts: facts.as_bytes() });
        }
        let dir = tempfile::tempdir().unwrap();
        for n in 0..50 {
            let text = "title = \"t\"\nstate = \"open\"\n";
            std::fs::write(dir.path().join(format!("OPS-{n}.toml")), text).unwrap();
        }
        let counted = Arc::new(Counted {
            folder: FolderTracker::new("desk", dir.path().to_owned()),
            reads: Mutex::default(),
            reading: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let (state, clock) = (Arc::new(Mutex::new(state)), Arc::new(Stopped(NOW)));
        let ending = Ending::new(whole.open(), state, clock, "ca.test".to_owned());
        let tracker: Arc<dyn Tracker> = Arc::<Counted>::clone(&counted);
        let begun = Instant::now();
        let watching = tokio::spawn(watch(ending, tracker, Span::secs(2)));
        let looked = || {
            let reads = counted.reads.lock().unwrap();
            let of = |n: u32| {
                let id: TicketId = format!("OPS-{n}").parse().unwrap();
                reads.iter().filter(|(read, _)| *read == id).map(|(_, at)| *at).collect::<Vec<_>>()
            };
            (0..50).map(of).collect::<Vec<_>>()
        };
        while looked().iter().any(|reads| reads.len() < 2) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", looked());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        watching.abort();
        assert!(counted.most.load(Ordering::SeqCst) <= AT_ONCE);
        let looked = looked();
        for reads in &looked {
            for pair in reads.windows(2) {
                // A little early counts for nothing: a timer is not a clock.
                assert!(pair[1] - pair[0] > Duration::from_millis(1900), "{:?}", pair[1] - pair[0]);
            }
        }
        // In each quarter of the first round some.
        let first = |at: &Instant| (*at - begun).as_millis() / 500;
        let quarters: BTreeSet<u128> = looked.iter().map(|reads| first(&reads[0])).collect();
        assert!((0..4).all(|quarter| quarters.contains(&quarter)), "{quarters:?}");
    }
}
