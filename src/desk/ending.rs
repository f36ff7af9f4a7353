//! The end of a grant before its time: the entry is durable before anybody is answered, and from the next
//! decision on it counts. The race with a certificate on its way is the writer's: see
//! [`guard`](super::locking::guard).

use std::sync::{Arc, Mutex, PoisonError};

use super::collect::{Reads, Said};
use super::ended::EndedGrant;
use super::entries::salt;
use super::holdings::Held;
use super::outcome::{LiveGrant, Outcome};
use super::state::State;
use super::{Desk, Stop};
use crate::certificate::names::{PersonName, TicketId};
use crate::certificate::safe::Safe;
use crate::decide::facts::TicketState;
use crate::ledger::facts::{self, Ended, LastSeen, TICKET_CLOSED, TICKET_GONE};
use crate::ledger::leaf::Kind;
use crate::ledger::record::{self, Ledger};
use crate::outside::clock::Clock;
use crate::outside::tickets::{Answer, TicketSeen};

/// What it takes to end grants. Cheap to clone.
#[derive(Clone)]
pub struct Ending {
    ledger: Ledger,
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
    node: String,
    /// Whose turn it is: two who see the same ticket closed write one entry a grant.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// Live grants, as they were before their ticket was read: a grant that is younger than the reading may
/// owe itself to a ticket that was opened again.
pub(super) type Bound = Vec<(PersonName, LiveGrant)>;

/// How many entries are written at a time.
const CHUNK: usize = 64;

impl Ending {
    /// What it takes to end grants of this ledger, and what is folded from it.
    pub fn new(
        ledger: Ledger,
        state: Arc<Mutex<State>>,
        clock: Arc<dyn Clock>,
        node: String,
    ) -> Self {
        Self { ledger, state, clock, node, turn: Arc::default() }
    }

    /// The live grants that end when a ticket closes.
    pub(super) fn bound(&self, tracker: &str, ticket: &TicketId) -> Bound {
        let now = self.clock.now();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).bound(tracker, ticket, now)
    }

    /// The tickets of a tracker's that live grants end with.
    pub(super) fn tickets(&self, tracker: &str) -> Vec<TicketId> {
        let now = self.clock.now();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tickets(tracker, now).into_iter().collect()
    }

    /// Ends those of these grants that still live. When this returns their entries are durable and folded;
    /// after an error some of them may be, and whoever sees the ticket next ends the others.
    pub(super) async fn end(
        &self,
        bound: &Bound,
        ticket: &LastSeen,
        why: &'static str,
    ) -> Result<(), record::Fault> {
        let _turn = self.turn.lock().await;
        let now = self.clock.now();
        let live: Vec<Ended> = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let mut lives = |(person, grant): &&(PersonName, LiveGrant)| {
                let same = |live: &LiveGrant| {
                    live.request == grant.request
                        && live.offer == grant.offer
                        && live.accounts == grant.accounts
                };
                state.live(person, now).iter().any(same)
            };
            bound.iter().filter(|one| lives(one)).map(|one| ended(one, ticket, why)).collect()
        };
        for chunk in live.chunks(CHUNK) {
            let entry = |one: &Ended| {
                let facts = facts::write(Kind::End, salt(), now, &self.node, one);
                facts.map(|facts| (Kind::End, facts)).ok_or_else(|| {
                    record::Fault::Store(crate::ledger::store::StoreError(
                        "an end of more than 64 KiB".to_owned(),
                    ))
                })
            };
            let entries = chunk.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
            // From COMMIT on they are over; a crash before leaves them as they were.
            let first = self.ledger.append_all(entries).await?;
            for (entry, one) in (first..).zip(chunk) {
                tracing::info!(
                    target: "hallpass::audit", outcome = "ended", request = %one.request,
                    person = %one.person, account = one.accounts.join(","), ticket = ticket.id,
                    offer = %one.offer, why, said = %Safe(&one.because()), entry
                );
            }
        }
        Ok(())
    }
}

fn ended((person, grant): &(PersonName, LiveGrant), ticket: &LastSeen, why: &str) -> Ended {
    Ended {
        request: grant.request.clone(),
        person: person.clone(),
        accounts: grant.accounts.clone(),
        offer: grant.offer.clone(),
        grant_ends: grant.ends,
        ticket: Some(ticket.clone()),
        why: why.to_owned(),
    }
}

/// The most characters of a word or title of the tracker's that an entry keeps.
const TEXT: usize = 1000;

/// Whether what a tracker says ends what is bound to the ticket: how it was last seen, and why. Hidden,
/// moved or assigned to somebody else it ends nothing by itself: whoever renews is told.
pub(super) fn over(
    tracker: &str,
    id: &TicketId,
    answer: &Answer,
) -> Option<(LastSeen, &'static str)> {
    let short = |text: &String| text.chars().take(TEXT).collect::<String>();
    let (state, seen, why) = match answer {
        Answer::Ticket(seen @ TicketSeen { state: TicketState::Closed, .. }) => {
            (TicketState::Closed.word(), Some(seen), TICKET_CLOSED)
        }
        Answer::Absent => ("absent", None, TICKET_GONE),
        Answer::Ticket(_) | Answer::Hidden | Answer::Moved(_) => return None,
    };
    let last = LastSeen {
        tracker: tracker.to_owned(),
        id: id.to_string(),
        state: state.to_owned(),
        said: seen.map(|seen| short(&seen.said)),
        title: seen.map(|seen| short(&seen.title)),
    };
    Some((last, why))
}

impl Desk {
    /// Reads the ticket of live grants that more is asked from. If it is closed they end there and then,
    /// with everything else that is bound to it: what is then left of what was asked for.
    pub(super) async fn end_with_ticket(
        &self,
        held: &Held,
        reads: &mut Reads,
    ) -> Result<Option<EndedGrant>, Stop> {
        let Some(first) = held.grants.first() else { return Ok(None) };
        let id = first.ticket.as_deref().and_then(|id| id.parse::<TicketId>().ok());
        let (Some(tracker), Some(id)) = (&first.bound, id) else { return Ok(None) };
        // Before the ticket is read.
        let bound = self.ending.bound(tracker, &id);
        let said = match reads.read(&self.trackers, &id).await {
            Ok(Said { tracker: now, answer, .. }) if now == *tracker => over(tracker, &id, &answer),
            // Of another tracker than the one that it was granted for, or a fault: the renewal says so.
            Ok(_) | Err(_) => None,
        };
        match said {
            Some((last, why @ TICKET_CLOSED)) => self.ending.end(&bound, &last, why).await?,
            // A ticket that is gone is looked for twice: whoever watches it does.
            Some(_) | None => return Ok(None),
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(state.ended.of(&first.request).cloned())
    }

    /// Whether a grant of this request ended before its time.
    pub(super) fn ended(&self, request: &crate::certificate::names::RequestId) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended.of(request).is_some()
    }
}

impl EndedGrant {
    /// Tells of the end beside what came of a request of its own.
    pub(super) fn said_with(&self, own: Result<Outcome, Stop>) -> Result<Outcome, Stop> {
        match own {
            Ok(Outcome::Issued(mut issued)) => {
                issued.notes.insert(0, self.sentence());
                Ok(Outcome::Issued(issued))
            }
            Err(Stop::No { mut reasons, hint }) => {
                reasons.insert(0, self.sentence());
                Err(Stop::No { reasons, hint })
            }
            other => other,
        }
    }

    /// What whoever asks for more is told at that moment.
    pub(super) fn stop(&self) -> Stop {
        Stop::no(self.sentence(), self.hint())
    }

    /// What whoever asks for more is told later.
    pub(super) fn stop_later(&self) -> Stop {
        Stop::no(self.told(), self.hint())
    }
}
