//! Limits: how many certificates in a minute, in all and for one person; how many live grants one person
//! has; and how many certificates one person gets under an offer that says so (`@limit`).
//!
//! Counted from the ledger's certificates, so that a restart forgets nothing, and from what is on its
//! way to the ledger. They are below the signer's own rates, so that a person who asks in a loop is
//! refused with a sentence, and everybody else goes on.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::state::State;
use super::{Desk, Stop};
use crate::certificate::names::{OfferId, PersonName, RequestId};
use crate::certificate::time::{Span, UnixTime};
use crate::config::ca::IssueLimits;
use crate::decide::{Grant, LONGEST, Limit, MOST};

/// The span of the limits in `ca.toml`.
const MINUTE: Span = Span::secs(60);

/// What was issued, as far as limits ask.
#[derive(Debug, Default)]
pub struct Counts {
    limits: IssueLimits,
    /// All within the last minute.
    recent: VecDeque<UnixTime>,
    people: HashMap<PersonName, Person>,
    flying: HashMap<(RequestId, OfferId), Flying>,
}

/// One person's.
#[derive(Debug, Default)]
struct Person {
    /// Within the last minute.
    recent: VecDeque<UnixTime>,
    /// Under each offer within [`LONGEST`], the newest [`MOST`].
    offers: HashMap<OfferId, VecDeque<UnixTime>>,
}

/// Certificates that are on their way to the ledger.
#[derive(Debug)]
struct Flying {
    person: PersonName,
    count: usize,
    /// Whether a grant goes with them.
    grant: bool,
}

/// What stands in the way: the sentence, and when the next is possible, if time alone makes it so.
#[derive(Debug, PartialEq, Eq)]
struct Over {
    what: String,
    next: Option<UnixTime>,
}

impl Counts {
    /// From here on these limits hold.
    pub fn limit(&mut self, limits: IssueLimits) {
        self.limits = limits;
    }

    /// Takes in a certificate that was committed.
    pub(super) fn issued(
        &mut self,
        person: &PersonName,
        request: &RequestId,
        offer: &OfferId,
        at: UnixTime,
    ) {
        self.landed(request, offer);
        push(&mut self.recent, at, MINUTE);
        let person = self.people.entry(person.clone()).or_default();
        push(&mut person.recent, at, MINUTE);
        let under = person.offers.entry(offer.clone()).or_default();
        push(under, at, LONGEST);
        if under.len() > MOST {
            under.pop_front();
        }
    }

    /// One certificate is on its way no more.
    fn landed(&mut self, request: &RequestId, offer: &OfferId) {
        let key = (request.clone(), offer.clone());
        if let Some(flying) = self.flying.get_mut(&key) {
            flying.count = flying.count.saturating_sub(1);
            if flying.count == 0 {
                self.flying.remove(&key);
            }
        }
    }

    /// Drops what time has ended.
    pub(super) fn forget(&mut self, now: UnixTime) {
        expire(&mut self.recent, now, MINUTE);
        self.people.retain(|_, person| {
            expire(&mut person.recent, now, MINUTE);
            person.offers.retain(|_, times| {
                expire(times, now, LONGEST);
                !times.is_empty()
            });
            !person.offers.is_empty()
        });
    }

    /// How many of a person's are on their way under an offer; under any, if none is named.
    fn flying(&self, person: &PersonName, offer: Option<&OfferId>) -> usize {
        let own = self.flying.iter().filter(|((_, under), one)| {
            one.person == *person && offer.is_none_or(|offer| offer == under)
        });
        own.map(|(_, one)| one.count).sum()
    }

    /// Whether so many more certificates may be issued to a person, `grants` of them with a new grant.
    fn room(
        &mut self,
        person: &PersonName,
        live: usize,
        grants: usize,
        more: &[(OfferId, Option<Limit>)],
        now: UnixTime,
    ) -> Result<(), Over> {
        let IssueLimits { total, person: own_limit, grants: most_grants } = self.limits;
        expire(&mut self.recent, now, MINUTE);
        let all: usize = self.flying.values().map(|one| one.count).sum();
        if let Some(next) = full(&self.recent, all + more.len(), total, MINUTE, now) {
            let what = format!("the CA issues {total} certificates a minute at most");
            return Err(Over { what, next });
        }
        let (nothing, none) = (Person::default(), VecDeque::new());
        let own = self.people.get(person).unwrap_or(&nothing);
        let flying = self.flying(person, None);
        if let Some(next) = full(&own.recent, flying + more.len(), own_limit, MINUTE, now) {
            let what = format!("{person} gets {own_limit} certificates a minute at most");
            return Err(Over { what, next });
        }
        let coming = self.flying.values().filter(|one| one.person == *person && one.grant).count();
        if grants > 0 && live + coming + grants > most_grants {
            let grants = if live == 1 { "grant" } else { "grants" };
            let what = format!("{person} has {live} live {grants}, and {most_grants} at most");
            return Err(Over { what, next: None });
        }
        for (n, (offer, limit)) in more.iter().enumerate() {
            let Some(Limit { count, span }) = limit else { continue };
            let before = more.iter().take(n + 1).filter(|(other, _)| other == offer).count();
            let under = own.offers.get(offer).unwrap_or(&none);
            let flying = self.flying(person, Some(offer));
            if let Some(next) = full(under, flying + before, *count, *span, now) {
                let what =
                    format!("offer {offer} gives {person} {count} certificates within {span}");
                return Err(Over { what, next });
            }
        }
        Ok(())
    }
}

/// Whether `more` on top of those within a span are over a limit; then when there is room for them, if
/// waiting makes any.
fn full(
    times: &VecDeque<UnixTime>,
    more: usize,
    limit: usize,
    span: Span,
    now: UnixTime,
) -> Option<Option<UnixTime>> {
    let within: Vec<UnixTime> =
        times.iter().copied().filter(|time| now.since(*time) < span).collect();
    let over = (within.len() + more).checked_sub(limit).filter(|over| *over > 0)?;
    Some(within.get(over - 1).map(|time| time.plus(span)))
}

/// Adds a time, and drops those that are a span older.
fn push(times: &mut VecDeque<UnixTime>, at: UnixTime, span: Span) {
    times.push_back(at);
    expire(times, at, span);
}

fn expire(times: &mut VecDeque<UnixTime>, now: UnixTime, span: Span) {
    while times.front().is_some_and(|time| now.since(*time) >= span) {
        times.pop_front();
    }
}

/// Places for certificates that are on their way: what does not get to the ledger gives its place back.
pub(super) struct Places {
    state: Arc<Mutex<State>>,
    keys: Vec<(RequestId, OfferId)>,
}

impl Places {
    /// They are answered for: those that were recorded were counted then.
    pub(super) fn answered<C, E>(mut self, answers: &[Result<C, E>]) {
        let keys = std::mem::take(&mut self.keys);
        let failed = keys.into_iter().zip(answers).filter(|(_, answer)| answer.is_err());
        self.keys = failed.map(|(key, _)| key).collect();
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.keys.iter().for_each(|(request, offer)| state.counts.landed(request, offer));
    }
}

impl Desk {
    /// Takes places for the certificates of these grants, all of one request, or says which limit they
    /// are over.
    pub(super) fn places(&self, grants: &[Grant], now: UnixTime) -> Result<Places, Stop> {
        let state = Arc::clone(&self.state);
        let mut held = state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys = Vec::with_capacity(grants.len());
        if let Some(first) = grants.first() {
            let person = &first.facts().person.name;
            let live = held.live(person, now).len();
            let new = grants.iter().filter(|grant| !grant.is_renewal()).count();
            let more: Vec<_> =
                grants.iter().map(|grant| (grant.offer().clone(), grant.terms().limit)).collect();
            held.counts.room(person, live, new, &more, now).map_err(|over| over.stop(now))?;
            for grant in grants {
                let key = (grant.facts().request.clone(), grant.offer().clone());
                let (person, grant) = (person.clone(), !grant.is_renewal());
                let flying = Flying { person, count: 0, grant };
                held.counts.flying.entry(key.clone()).or_insert(flying).count += 1;
                keys.push(key);
            }
        }
        drop(held);
        Ok(Places { state, keys })
    }
}

impl Over {
    fn stop(self, now: UnixTime) -> Stop {
        let hint = match self.next {
            Some(next) => format!("the next is possible at {next}, in {}", next.since(now)),
            None => "ask again when one of them has ended: ssh ca list shows when".to_owned(),
        };
        Stop::no(self.what, hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> UnixTime {
        UnixTime::from_secs(1_800_000_000 + second)
    }

    fn counts() -> Counts {
        let mut counts = Counts::default();
        counts.limit(IssueLimits { total: 10, person: 4, grants: 3 });
        counts
    }

    fn names() -> (PersonName, PersonName, RequestId) {
        ("ana".parse().unwrap(), "bob".parse().unwrap(), RequestId::from_random(7))
    }

    fn offer(name: &str) -> OfferId {
        name.parse().unwrap()
    }

    /// A script that asks in a loop is stopped, says when it may go on, and stops nobody else.
    #[test]
    fn a_minute_holds_so_many_in_all_and_for_one_person() {
        let (ana, bob, request) = names();
        let (mut counts, any) = (counts(), offer("any"));
        let more = [(any.clone(), None)];
        for second in 0..4 {
            assert_eq!(counts.room(&ana, 0, 0, &more, at(second)), Ok(()));
            counts.issued(&ana, &request, &any, at(second));
        }
        let over = counts.room(&ana, 0, 0, &more, at(5)).unwrap_err();
        assert_eq!(over.what, "ana gets 4 certificates a minute at most");
        assert_eq!(over.next, Some(at(60)));
        assert_eq!(counts.room(&bob, 0, 0, &more, at(5)), Ok(()));
        for second in 5..11 {
            counts.issued(&bob, &request, &any, at(second));
        }
        let vera = "vera".parse().unwrap();
        let over = counts.room(&vera, 0, 0, &more, at(11)).unwrap_err();
        assert_eq!(over.what, "the CA issues 10 certificates a minute at most");
        assert_eq!(over.next, Some(at(60)));
        assert_eq!(counts.room(&ana, 0, 0, &more, at(60)), Ok(()));
        // Two at once need the room of two.
        let two = [(any.clone(), None), (any.clone(), None)];
        assert_eq!(counts.room(&ana, 0, 0, &two, at(60)).unwrap_err().next, Some(at(61)));
    }

    #[test]
    fn an_offer_holds_so_many_for_each_person() {
        let (ana, bob, request) = names();
        let (mut counts, some, other) = (counts(), offer("some"), offer("other"));
        let limit = Some(Limit { count: 3, span: Span::secs(3600) });
        let more = [(some.clone(), limit)];
        for minute in 0..3 {
            assert_eq!(counts.room(&ana, 0, 0, &more, at(600 * minute)), Ok(()));
            counts.issued(&ana, &request, &some, at(600 * minute));
        }
        let over = counts.room(&ana, 0, 0, &more, at(1900)).unwrap_err();
        assert_eq!(over.what, "offer some gives ana 3 certificates within 1h");
        assert_eq!(over.next, Some(at(3600)));
        assert_eq!(counts.room(&bob, 0, 0, &more, at(1900)), Ok(()));
        assert_eq!(counts.room(&ana, 0, 0, &[(other, limit)], at(1900)), Ok(()));
        assert_eq!(counts.room(&ana, 0, 0, &more, at(3600)), Ok(()));
        counts.forget(at(3600 * 24 * 8));
        assert!(counts.people.is_empty() && counts.recent.is_empty());
    }

    #[test]
    fn memory_is_bounded_however_many_there_were() {
        let (ana, _, request) = names();
        let (mut counts, any) = (counts(), offer("any"));
        for second in 0..10_000 {
            counts.issued(&ana, &request, &any, at(second));
        }
        assert_eq!(counts.people[&ana].offers[&any].len(), MOST);
        assert_eq!((counts.recent.len(), counts.people[&ana].recent.len()), (60, 60));
    }

    /// A hundred requests in one moment: each has passed the limit before any is recorded.
    #[test]
    fn what_is_on_its_way_counts_and_what_fails_gives_its_place_back() {
        let (ana, _, request) = names();
        let (mut counts, any) = (counts(), offer("any"));
        let more = [(any.clone(), None)];
        let key = (request.clone(), any.clone());
        let flying = Flying { person: ana.clone(), count: 4, grant: true };
        counts.flying.insert(key, flying);
        let over = counts.room(&ana, 0, 0, &more, at(0)).unwrap_err();
        assert_eq!(
            (over.what.as_str(), over.next),
            ("ana gets 4 certificates a minute at most", None)
        );
        counts.issued(&ana, &request, &any, at(0));
        assert!(counts.room(&ana, 0, 0, &more, at(0)).is_err(), "counted once, not never");
        counts.landed(&request, &any);
        assert_eq!(counts.room(&ana, 0, 0, &more, at(0)), Ok(()));
        // A live grant too many: no time is named, the person's own list says it.
        let over = counts.room(&ana, 2, 1, &more, at(0)).unwrap_err();
        assert_eq!(over.what, "ana has 2 live grants, and 3 at most");
    }
}
