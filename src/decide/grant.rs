//! A grant: a request that was permitted, and what it was given.

use super::facts::Facts;
use super::terms::Terms;
use crate::certificate::names::OfferId;
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
    offer: OfferId,
    terms: Terms,
    given: Given,
}

impl Grant {
    pub(super) fn new(facts: &Facts, offer: &OfferId, terms: &Terms, given: Given) -> Self {
        Self { facts: facts.clone(), offer: offer.clone(), terms: terms.clone(), given }
    }

    /// What it was decided from.
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

    /// How long this grant lasts: what was asked, at most the offer's.
    pub fn period(&self) -> Span {
        self.given.period
    }

    /// When this grant ends: [`Self::period`] after it was decided.
    pub fn ends(&self) -> UnixTime {
        self.facts.now.plus(self.given.period)
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

/// The durations of one request under one offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) ttl: Span,
    pub(super) period: Span,
    pub(super) clipped: Clipped,
}

impl Given {
    pub(super) fn under(terms: &Terms, facts: &Facts) -> Self {
        let period = facts.period.unwrap_or(terms.period).min(terms.period);
        // INVARIANT: a certificate never outlives its grant.
        let ttl = facts.ttl.unwrap_or(terms.ttl).min(terms.ttl).min(period);
        let clip = |asked: Option<Span>, given: Span| {
            asked.filter(|asked| *asked > given).map(|asked| Clip { asked, given })
        };
        let clipped = Clipped { ttl: clip(facts.ttl, ttl), period: clip(facts.period, period) };
        Self { ttl, period, clipped }
    }
}
