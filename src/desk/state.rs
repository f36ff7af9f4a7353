//! The desk's state: a fold over the facts of the ledger's entries, so that there are never two
//! truths to crash between. At start it is folded from the ledger's end, afterwards from each commit.

use std::collections::{BTreeSet, HashMap, VecDeque};

use serde::Deserialize;

use super::ended::{EndedGrant, EndedGrants};
use super::freezes::Freezes;
use super::limits::Counts;
use super::locks::Locks;
use super::outcome::{Last, LiveGrant};
use super::recent::Recent;
use super::signed::Newest;
use crate::certificate::names::{OfferId, PersonName, RequestId, TicketId};
use crate::certificate::time::{Span, UnixTime};
use crate::decide::LONGEST;
use crate::ledger::facts::{Ended, Granted, Header, Refusal, Text, Ticket};
use crate::ledger::leaf::{Kind, Leaf};
use crate::ledger::record::Committed;
use crate::ledger::store::{Row, Store, StoreError};
use crate::ledger::tree::Hash;

/// How far back a start reads: longer than any grant lives.
pub const HORIZON: Span = LONGEST;

/// How many refusals of one person within [`REFUSAL_SPAN`] have an entry each.
const REFUSALS: usize = 10;

/// The span in which refusals are counted.
const REFUSAL_SPAN: Span = Span::secs(3600);

/// The state of a ticket, in facts, that is closed.
const CLOSED: &str = "closed";

/// What the desk knows.
#[derive(Debug, Default)]
pub struct State {
    /// What is locked.
    pub locks: Locks,
    /// What is frozen.
    pub freezes: Freezes,
    /// What was issued of late.
    pub counts: Counts,
    /// What each person was given within the hour.
    pub recent: Recent,
    /// Grants that ended before their time.
    pub ended: EndedGrants,
    grants: HashMap<PersonName, Vec<LiveGrant>>,
    refusals: HashMap<PersonName, Refusals>,
    texts: HashMap<&'static str, Hash>,
    /// The newest signed change that decided.
    pub signed: Newest,
    newest: UnixTime,
}

/// What the fold reads of a certificate's facts.
#[derive(Deserialize)]
struct Issuance {
    time: UnixTime,
    person: PersonName,
    request: RequestId,
    offer: OfferId,
    accounts: Vec<String>,
    #[serde(default)]
    targets: Vec<String>,
    ttl: u64,
    subject: String,
    delivery: String,
}

/// A person's refusals.
#[derive(Debug, Default)]
struct Refusals {
    /// When those with an entry were written, within the last hour.
    written: VecDeque<UnixTime>,
    /// Since when further ones are counted, and how many.
    counted: Option<(UnixTime, u64)>,
}

/// What becomes of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalEntry {
    /// It gets an entry of its own.
    Own,
    /// It is counted; nothing is written now.
    Counted,
}

impl State {
    /// Folds the ledger's entries that can still matter.
    pub fn rebuild(store: &Store, now: UnixTime) -> Result<Self, StoreError> {
        let horizon = now.minus(HORIZON);
        let mut from = 0;
        store.each_back(|row| {
            from = row.index;
            let written =
                row.facts.as_deref().and_then(|facts| serde_json::from_slice::<Header>(facts).ok());
            written.is_none_or(|header| header.time >= horizon)
        })?;
        // Read again rather than kept: a busy week has more entries than there is memory.
        // A lock never ends by itself, nor need a freeze: all there ever were. Those of the last days come
        // twice, in order.
        let (locks, freezes) = (Locks::rebuild(store)?, Freezes::rebuild(store)?);
        let signed = Newest::rebuild(store)?;
        let mut state = Self { locks, freezes, signed, ..Self::default() };
        let mut unread = None;
        store.each_from(from, |row| {
            unread = state.refold(&row).err();
            unread.is_none()
        })?;
        if let Some(why) = unread {
            return Err(why);
        }
        state.forget(now);
        Ok(state)
    }

    /// Takes in an entry that a start found in the ledger.
    fn refold(&mut self, row: &Row) -> Result<(), StoreError> {
        let leaf = row.leaf.parse::<Leaf>();
        let kind = leaf.map_err(|why| StoreError(format!("entry {}: {why}", row.index)))?.kind;
        if kind == Kind::End {
            self.refold_end(row)?;
        }
        // Redacted facts decide nothing any more.
        if let Some(facts) = &row.facts {
            self.fold(Committed { index: row.index, kind, facts });
            if kind == Kind::Refusal {
                self.refused_before(facts);
            }
        }
        Ok(())
    }

    /// What would bring a grant back unnoticed: the end of one that says something else now is an error,
    /// and behind one that says nothing any more every grant of before is void.
    fn refold_end(&mut self, row: &Row) -> Result<(), StoreError> {
        let say = |why: &str| StoreError(format!("entry {}, an end, {why}", row.index));
        let leaf: Leaf = row.leaf.parse().map_err(|_| say("is not a leaf"))?;
        match &row.facts {
            Some(facts) if Hash::of(facts) == leaf.facts => Ok(()),
            Some(_) => Err(say("is not what was written")),
            None => {
                tracing::error!(
                    index = row.index,
                    "an end without facts: grants of before are void"
                );
                self.grants.clear();
                Ok(())
            }
        }
    }

    /// Takes in one committed entry.
    pub fn fold(&mut self, entry: Committed<'_>) {
        let unreadable = |why: serde_json::Error| tracing::error!(index = entry.index, %why, "facts that cannot be read");
        let header = serde_json::from_slice::<Header>(entry.facts);
        let time = header.map_or(self.newest, |header| header.time);
        self.newest = self.newest.max(time);
        match entry.kind {
            Kind::Grant => match serde_json::from_slice::<Granted>(entry.facts) {
                Ok(granted) => self.granted(granted),
                Err(why) => unreadable(why),
            },
            Kind::Certificate => match serde_json::from_slice::<Issuance>(entry.facts) {
                Ok(issued) => self.issued(entry.index, issued),
                Err(why) => unreadable(why),
            },
            Kind::Policy | Kind::People | Kind::Hosts => {
                match serde_json::from_slice::<Text>(entry.facts) {
                    Ok(text) => {
                        self.texts.insert(entry.kind.word(), text.sha256);
                        self.signed.fold(text.signed);
                    }
                    Err(why) => unreadable(why),
                }
            }
            // What stood in the lost entries nobody knows: what was granted before is void.
            Kind::Succession => {
                self.grants.clear();
                self.ended.clear();
            }
            Kind::End => match serde_json::from_slice::<Ended>(entry.facts) {
                Ok(ended) => self.grant_ended(ended, time),
                Err(why) => unreadable(why),
            },
            Kind::Lock => {
                if let Err(why) = self.locks.fold(entry.facts) {
                    tracing::error!(index = entry.index, %why, "a lock that cannot be read");
                }
            }
            Kind::Freeze => {
                if let Err(why) = self.freezes.fold(entry.facts) {
                    tracing::error!(index = entry.index, %why, "a freeze that cannot be read");
                }
            }
            // Refusals are counted when they are decided, before they are committed: see `refused`.
            Kind::Refusal | Kind::Lost | Kind::Key | Kind::BreakGlass | Kind::HostCertificate => {}
        }
    }

    fn granted(&mut self, granted: Granted) {
        let accounts = match granted.targets.as_slice() {
            [] => granted.accounts.iter().map(ToString::to_string).collect(),
            _ => granted.targets,
        };
        let tracker = |ticket: &Ticket| ticket.tracker.clone();
        self.grants.entry(granted.person).or_default().push(LiveGrant {
            request: granted.request,
            accounts,
            bound: granted.ticket.as_ref().filter(|one| one.state != CLOSED).map(tracker),
            ticket: granted.ticket.map(|ticket| ticket.id),
            reason: granted.reason,
            began: granted.grant_ends.minus(Span::secs(granted.period)),
            ends: granted.grant_ends,
            offer: granted.offer,
            certificates: 0,
            last: None,
        });
    }

    /// A grant ended before its time.
    fn grant_ended(&mut self, ended: Ended, at: UnixTime) {
        let because = ended.because();
        let Ended { request, person, accounts, offer, .. } = ended;
        let Some(grants) = self.grants.get_mut(&person) else { return };
        let is = |grant: &mut LiveGrant| {
            grant.request == request && grant.offer == offer && grant.accounts == accounts
        };
        for grant in grants.extract_if(.., is) {
            let (person, because) = (person.clone(), because.clone());
            self.ended.push(EndedGrant { grant, person, at, because });
        }
    }

    fn issued(&mut self, index: u64, issued: Issuance) {
        self.counts.issued(&issued.person, &issued.request, &issued.offer, issued.time);
        let grants = self.grants.get_mut(&issued.person).into_iter().flatten();
        let accounts = if issued.targets.is_empty() { &issued.accounts } else { &issued.targets };
        self.recent.issued(&issued.person, accounts, issued.time);
        let under = |grant: &&mut LiveGrant| {
            grant.request == issued.request
                && grant.offer == issued.offer
                && accounts.iter().all(|account| grant.accounts.contains(account))
        };
        if let Some(grant) = grants.into_iter().find(under) {
            grant.certificates += 1;
            grant.last = Some(Last {
                serial: index + 1,
                subject: issued.subject,
                delivery: issued.delivery,
                valid_before: issued.time.plus(Span::secs(issued.ttl)),
            });
        }
    }

    /// The newest time in the ledger.
    pub fn newest(&self) -> UnixTime {
        self.newest
    }

    /// A person's live grants, those that end first first.
    pub fn live(&mut self, person: &PersonName, now: UnixTime) -> Vec<LiveGrant> {
        let Some(grants) = self.grants.get_mut(person) else { return Vec::new() };
        grants.retain(|grant| grant.ends > now);
        let mut live = grants.clone();
        live.sort_by_key(|grant| grant.ends);
        live
    }

    /// The live grants that end when this ticket of a tracker's closes, and whose they are.
    pub fn bound(
        &self,
        tracker: &str,
        ticket: &TicketId,
        now: UnixTime,
    ) -> Vec<(PersonName, LiveGrant)> {
        let to = |grant: &&LiveGrant| {
            grant.bound.as_deref() == Some(tracker)
                && grant.ticket.as_deref() == Some(ticket.as_str())
                && grant.ends > now
        };
        let of = |(person, grants): (&PersonName, &Vec<LiveGrant>)| {
            let bound = grants.iter().filter(to);
            bound.map(|grant| (person.clone(), grant.clone())).collect::<Vec<_>>()
        };
        self.grants.iter().flat_map(of).collect()
    }

    /// The tickets of a tracker's that live grants end with.
    pub fn tickets(&self, tracker: &str, now: UnixTime) -> BTreeSet<TicketId> {
        let live = self.grants.values().flatten().filter(|grant| grant.ends > now);
        let bound = live.filter(|grant| grant.bound.as_deref() == Some(tracker));
        bound.filter_map(|grant| grant.ticket.as_deref()?.parse().ok()).collect()
    }

    /// The live grants of one request of a person's that together cover these accounts, those of the
    /// request that ends last. `fits` says which grants count.
    pub fn covering(
        &mut self,
        person: &PersonName,
        accounts: &[String],
        now: UnixTime,
        fits: impl Fn(&LiveGrant) -> bool,
    ) -> Vec<LiveGrant> {
        let mut live = self.live(person, now);
        live.retain(fits);
        let ends: Vec<(UnixTime, RequestId)> =
            live.iter().map(|grant| (grant.ends, grant.request.clone())).collect();
        for (_, request) in ends.into_iter().rev() {
            let of: Vec<&LiveGrant> =
                live.iter().filter(|grant| grant.request == request).collect();
            let covers = |account| of.iter().any(|grant| grant.accounts.contains(account));
            if accounts.iter().all(covers) {
                return of.into_iter().cloned().collect();
            }
        }
        Vec::new()
    }

    /// The hash of the text that the last entry of a kind names.
    pub fn text(&self, kind: Kind) -> Option<Hash> {
        self.texts.get(kind.word()).copied()
    }

    /// What becomes of one more refusal: ten an hour each have an entry; further ones are counted,
    /// and an hour later one entry stands for all of them ([`Self::counts`]).
    pub fn refused(&mut self, person: &PersonName, now: UnixTime) -> RefusalEntry {
        let refusals = self.refusals.entry(person.clone()).or_default();
        refusals.expire(now);
        if refusals.counted.is_none() && refusals.written.len() < REFUSALS {
            refusals.written.push_back(now);
            return RefusalEntry::Own;
        }
        let (since, count) = refusals.counted.unwrap_or((now, 0));
        refusals.counted = Some((since, count.saturating_add(1)));
        RefusalEntry::Counted
    }

    /// The counts that are an hour old, to be written now: person and number.
    pub fn counts(&mut self, now: UnixTime) -> Vec<(PersonName, u64)> {
        let mut due = Vec::new();
        for (person, refusals) in &mut self.refusals {
            if let Some((since, count)) =
                refusals.counted.filter(|(since, _)| now.since(*since) >= REFUSAL_SPAN)
            {
                tracing::debug!(%since, "a count of refusals is written");
                refusals.counted = None;
                refusals.written.push_back(now);
                due.push((person.clone(), count));
            }
        }
        due
    }

    /// A refusal that a start found in the ledger.
    fn refused_before(&mut self, facts: &[u8]) {
        let read =
            (serde_json::from_slice::<Header>(facts), serde_json::from_slice::<Refusal>(facts));
        if let (Ok(header), Ok(refusal)) = read {
            self.refusals.entry(refusal.person).or_default().written.push_back(header.time);
        }
    }

    /// Drops what time has ended: nobody else does for those who never ask for their status.
    pub fn forget(&mut self, now: UnixTime) {
        self.grants.retain(|_, grants| {
            grants.retain(|grant| grant.ends > now);
            !grants.is_empty()
        });
        self.ended.forget(now);
        self.locks.forget(now);
        self.freezes.forget(now);
        self.counts.forget(now);
        self.recent.forget(now);
        self.refusals.values_mut().for_each(|refusals| refusals.expire(now));
        self.refusals
            .retain(|_, refusals| !refusals.written.is_empty() || refusals.counted.is_some());
    }
}

impl Refusals {
    fn expire(&mut self, now: UnixTime) {
        while self.written.front().is_some_and(|time| now.since(*time) >= REFUSAL_SPAN) {
            self.written.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipeline asks for a certificate a second and never for its status: each grant stayed in
    /// memory for as long as the daemon ran.
    #[test]
    fn grants_that_ended_are_forgotten_though_nobody_looks() {
        let mut state = State::default();
        let ends = |at: u64| UnixTime::from_secs(1_800_000_000 + at);
        let facts = include_str!("../../tests/vectors/entry-1.facts.json");
        for at in 0..1000 {
            let ended = format!(r#""grant_ends":"{}""#, ends(at + 60));
            let facts = facts.replace(r#""grant_ends":"2026-11-22T06:41:00Z""#, &ended);
            state.fold(Committed { index: at, kind: Kind::Grant, facts: facts.as_bytes() });
        }
        let held = |state: &State| state.grants.values().map(Vec::len).sum::<usize>();
        assert_eq!(held(&state), 1000);
        state.forget(ends(999));
        assert_eq!(held(&state), 60);
        state.forget(ends(1060));
        assert!(state.grants.is_empty());
    }

    #[test]
    fn ten_refusals_an_hour_have_an_entry_and_one_stands_for_the_rest() {
        let mut state = State::default();
        let ana: PersonName = "ana".parse().unwrap();
        let at = |minute: u64| UnixTime::from_secs(1_800_000_000 + 60 * minute);
        let own = (0..100).filter(|n| state.refused(&ana, at(n / 10)) == RefusalEntry::Own).count();
        assert_eq!(own, 10);
        assert!(state.counts(at(59)).is_empty(), "a count before its hour");
        assert_eq!(state.counts(at(61)), vec![(ana.clone(), 90)]);
        assert!(state.counts(at(62)).is_empty(), "a count twice");
        // The count is an entry too: of the next hour's ten, nine are left.
        let own = (0..100).filter(|_| state.refused(&ana, at(70)) == RefusalEntry::Own).count();
        assert_eq!(own, 9);
    }
}
