//! A grant: a request that was permitted, and what it was given.

use std::fmt;

use super::facts::{Account, Facts};
use super::terms::{Delivery, Terms};
use crate::certificate::names::{GroupName, OfferId, TicketId};
use crate::certificate::time::{Span, UnixTime};

/// A request that policy permits, with the terms of the offer that decided.
///
/// It is the proof that [`decide`](super::decide) said yes: there is no other way to make one, and it
/// cannot be copied, so one yes makes one certificate.
///
/// ```
/// # use hallpass::decide::Grant;
/// fn hand_on(grant: Grant) -> Grant {
///     grant
/// }
/// ```
///
/// A grant cannot be made by hand (its fields are private):
///
/// ```compile_fail,E0451
/// # use hallpass::decide::Grant;
/// fn hand_on(grant: Grant) -> Grant {
///     Grant { ..grant }
/// }
/// ```
///
/// nor copied:
///
/// ```compile_fail,E0599
/// # use hallpass::decide::Grant;
/// fn hand_on(grant: Grant) -> Grant {
///     grant.clone()
/// }
/// ```
#[derive(Debug)]
pub struct Grant {
    facts: Facts,
    /// What it opens; `facts.account` is the first of them.
    accounts: Vec<Account>,
    offer: OfferId,
    terms: Terms,
    given: Given,
}

impl Grant {
    pub(super) fn new(facts: &Facts, offer: &OfferId, terms: &Terms, given: Given) -> Self {
        let accounts = vec![facts.account.clone()];
        Self { facts: facts.clone(), accounts, offer: offer.clone(), terms: terms.clone(), given }
    }

    /// Takes in what another decision on the same request granted, so that one certificate opens both;
    /// gives it back where that cannot be: under another offer, for another user CA, or when this one
    /// opens as many accounts as one certificate may (`most`).
    #[must_use]
    pub fn join(&mut self, other: Self, most: usize) -> Option<Self> {
        let same = self.offer == other.offer
            && self.facts.request == other.facts.request
            && self.facts.now == other.facts.now
            && self.given == other.given
            && self.facts.account.bare == other.facts.account.bare;
        if !same || self.accounts.len() + other.accounts.len() > most {
            return Some(other);
        }
        self.accounts.extend(other.accounts);
        None
    }

    /// The accounts it opens, in the order in which they were asked for.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Whether it is a further certificate from a live grant rather than a grant of its own.
    pub fn is_renewal(&self) -> bool {
        self.facts.within.is_some()
    }

    /// How its certificate is handed over: the best of the ways that the terms allow. A dry run has
    /// none.
    pub fn delivery(&self) -> Option<Delivery> {
        self.terms.delivers(&self.facts.deliveries)
    }

    /// What it was decided from; the account is the first one.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The offer that decided.
    pub fn offer(&self) -> &OfferId {
        &self.offer
    }

    /// The offer's terms, as the policy has them.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// How long a certificate from this grant is good for: what was asked, at most the offer's, and
    /// never longer than [`Self::period`].
    pub fn ttl(&self) -> Span {
        self.given.ttl
    }

    /// How long this grant lasts: what was asked, at most the offer's, and until what bounds it.
    pub fn period(&self) -> Span {
        self.given.period
    }

    /// When this grant ends: [`Self::period`] after it was decided, or with the live grant it renews.
    pub fn ends(&self) -> UnixTime {
        self.given.ends
    }

    /// What it ends with, where that is before the offer's period is over.
    pub fn bound(&self) -> Option<&Bound> {
        self.given.bound.as_ref()
    }

    /// What was asked for and not given in full.
    pub fn clipped(&self) -> Clipped {
        self.given.clipped
    }
}

/// Which of the durations that were asked for are shorter than asked; the person is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clipped {
    /// The certificate's life (`--ttl`).
    pub ttl: Option<Clip>,
    /// The grant's length (`--for`).
    pub period: Option<Clip>,
}

/// A duration that was asked for, and the shorter one that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clip {
    /// What was asked for.
    pub asked: Span,
    /// What was given.
    pub given: Span,
}

/// What a grant ends with, before its period is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// The window of the ticket that was given.
    Window(TicketId),
    /// The person's shift in this group, without which the offer would not be theirs.
    Shift(GroupName),
}

impl fmt::Display for Bound {
    /// As a sentence goes on with it: `the window of OPS-7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window(ticket) => write!(f, "the window of {ticket}"),
            Self::Shift(group) => write!(f, "your shift in {group}"),
        }
    }
}

/// The durations of one request under one offer. `period` is how long before `ends` the grant began, to
/// the second: the ledger keeps both, and when it began is read from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) ttl: Span,
    pub(super) period: Span,
    pub(super) ends: UnixTime,
    pub(super) clipped: Clipped,
    pub(super) bound: Option<Bound>,
}

impl Given {
    pub(super) fn under(terms: &Terms, facts: &Facts) -> Self {
        let (asked, began) = match &facts.within {
            Some(grant) => (Some(grant.ends.since(grant.began)), grant.began),
            None => (facts.period, facts.now),
        };
        // What the offer gives by now bounds a live grant too.
        let period = asked.unwrap_or(terms.period).min(terms.period);
        let mut given = Self {
            ttl: facts.ttl.unwrap_or(terms.ttl).min(terms.ttl),
            period,
            ends: began.plus(period),
            clipped: Clipped::default(),
            bound: None,
        };
        given.fit(facts);
        let window = facts.ticket.as_ref().and_then(|ticket| Some((ticket, ticket.window?)));
        if let Some((ticket, window)) = window {
            given.end_with(window.until, || Bound::Window(ticket.id.clone()), facts);
        }
        given
    }

    /// Ends the grant at this moment, if it would last longer.
    pub(super) fn end_with(&mut self, end: UnixTime, bound: impl Fn() -> Bound, facts: &Facts) {
        if end >= self.ends {
            return;
        }
        let began = self.ends.minus(self.period);
        self.ends = end.max(began);
        self.period = self.ends.since(began);
        self.bound = Some(bound());
        self.fit(facts);
    }

    /// INVARIANT: a certificate never outlives its grant.
    fn fit(&mut self, facts: &Facts) {
        self.ttl = self.ttl.min(self.ends.since(facts.now));
        let clip = |asked: Option<Span>, given: Span| {
            asked.filter(|asked| *asked > given).map(|asked| Clip { asked, given })
        };
        self.clipped =
            Clipped { ttl: clip(facts.ttl, self.ttl), period: clip(facts.period, self.period) };
    }
}
