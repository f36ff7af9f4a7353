//! A policy that was loaded: the offers with their terms, and what is forbidden.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cedar_policy::{EntityTypeName, EntityUid, PolicySet, PrincipalConstraint, ResourceConstraint};

use super::cedar::{Asked, Words};
use super::hours::Hours;
use super::load;
use super::problem::LoadError;
use super::split::Conjunct;
use super::terms::Terms;
use super::world::World;
use crate::certificate::names::{HostName, HoursName, Login, OfferId};
use crate::certificate::time::UnixTime;

/// What may be asked for and what may not, checked against the shipped schema and the names that
/// exist. It never changes; a reload makes another.
#[derive(Debug)]
pub struct Policy {
    /// By id, so that the smaller id is met first.
    pub(super) offers: Vec<Offer>,
    pub(super) forbids: Forbids,
    /// What may be done at the desk itself, by id.
    pub(super) leaves: Vec<Leave>,
    pub(super) words: Words,
    /// The accounts of each host, to say what could be asked for instead.
    pub(super) accounts: BTreeMap<HostName, BTreeSet<Login>>,
    /// The named hours, to say when they are.
    pub(super) hours: BTreeMap<HoursName, Hours>,
}

impl Policy {
    /// The schema that policies are validated against, the reference for those who write them.
    pub const SCHEMA: &'static str = include_str!("hallpass.cedarschema");

    /// Reads a policy, or says everything that is wrong with it. `source_name` is the file's name in
    /// messages.
    pub fn load(source_name: &str, text: &str, world: &World) -> Result<Self, LoadError> {
        load::load(source_name, text, world)
    }

    /// The named hours.
    pub fn hours(&self) -> &BTreeMap<HoursName, Hours> {
        &self.hours
    }

    /// The named hours that this moment is in.
    pub fn hours_at(&self, now: UnixTime) -> BTreeSet<HoursName> {
        let at = self.hours.iter().filter(|(_, hours)| hours.contains(now));
        at.map(|(name, _)| name.clone()).collect()
    }

    /// The offers, by id.
    pub fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// The offer of this id.
    pub fn offer(&self, id: &OfferId) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.id == *id)
    }
}

/// One `permit`: who may ask for which accounts, under which conditions, on which terms.
#[derive(Debug)]
pub struct Offer {
    pub(super) id: OfferId,
    pub(super) terms: Terms,
    pub(super) description: Option<String>,
    pub(super) scope: Scope,
    /// The login that its first condition asks for. As with the scope, Cedar need not be asked for another.
    pub(super) login: Option<String>,
    /// The policy by itself: each offer is judged alone.
    pub(super) alone: PolicySet,
    pub(super) conjuncts: Vec<Conjunct>,
}

impl Offer {
    /// Whether its first condition may hold for this login.
    pub(super) fn may_open(&self, login: &Login) -> bool {
        self.login.as_ref().is_none_or(|only| only == login.as_str())
    }

    /// Its `@id`.
    pub fn id(&self) -> &OfferId {
        &self.id
    }

    /// What it gives.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Its `@why`: what it is for, in the author's words.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }
}

/// One `permit` of what is done at the desk itself: an audit, a lock, a freeze. It has no
/// terms.
#[derive(Debug)]
pub(super) struct Leave {
    pub(super) id: OfferId,
    /// `Action::"audit"`, `Action::"lock"` or `Action::"freeze"`.
    pub(super) action: EntityUid,
    pub(super) scope: Scope,
    /// The policy by itself.
    pub(super) alone: PolicySet,
    pub(super) conjuncts: Vec<Conjunct>,
}

/// All the `forbid`s, which are judged together with every offer, and what they say to people.
#[derive(Debug, Default)]
pub(super) struct Forbids {
    pub(super) all: PolicySet,
    pub(super) said: BTreeMap<OfferId, Forbid>,
}

/// What is said of one `forbid`.
#[derive(Debug)]
pub(super) struct Forbid {
    /// Its `@why`: the sentence that a person sees.
    pub(super) why: Option<String>,
    /// What it reads of the context: what lifts it, if anything does.
    pub(super) reads: BTreeSet<String>,
    /// Its conditions, all of which hold where it forbids.
    pub(super) conjuncts: Vec<Conjunct>,
}

/// Whom and what an offer is for, as its first line says.
///
/// Only a shortcut: an offer that is passed over here is one that Cedar would find not to apply, and
/// an offer that is not passed over is still judged whole. Forbids never take it.
#[derive(Debug)]
pub(super) struct Scope {
    principal: Side,
    resource: Side,
}

/// One of the two: of this type, and in (or being) this entity, where it says so.
#[derive(Debug, Default)]
struct Side {
    is: Option<EntityTypeName>,
    being: Option<EntityUid>,
    within: Option<EntityUid>,
}

impl Scope {
    pub(super) fn of(policy: &cedar_policy::Policy) -> Self {
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any => Side::default(),
            PrincipalConstraint::Eq(one) => Side { being: Some(one), ..Side::default() },
            PrincipalConstraint::In(one) => Side { within: Some(one), ..Side::default() },
            PrincipalConstraint::Is(kind) => Side { is: Some(kind), ..Side::default() },
            PrincipalConstraint::IsIn(kind, one) => {
                Side { is: Some(kind), within: Some(one), ..Side::default() }
            }
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any => Side::default(),
            ResourceConstraint::Eq(one) => Side { being: Some(one), ..Side::default() },
            ResourceConstraint::In(one) => Side { within: Some(one), ..Side::default() },
            ResourceConstraint::Is(kind) => Side { is: Some(kind), ..Side::default() },
            ResourceConstraint::IsIn(kind, one) => {
                Side { is: Some(kind), within: Some(one), ..Side::default() }
            }
        };
        Self { principal, resource }
    }

    /// Whether the request is one that the first line speaks of.
    pub(super) fn matches(&self, asked: &Asked<'_>) -> bool {
        self.speaks_of(asked.principal(), asked.resource())
    }

    /// Whether its first line speaks of this principal, whatever for.
    pub(super) fn is_for(&self, principal: (&EntityUid, &HashSet<EntityUid>)) -> bool {
        self.principal.matches(principal)
    }

    /// Whether its first line speaks of this resource, whoever asks.
    pub(super) fn is_on(&self, resource: (&EntityUid, &HashSet<EntityUid>)) -> bool {
        self.resource.matches(resource)
    }

    /// The same, of who asks and what for, each with what it is in.
    pub(super) fn speaks_of(
        &self,
        principal: (&EntityUid, &HashSet<EntityUid>),
        resource: (&EntityUid, &HashSet<EntityUid>),
    ) -> bool {
        self.principal.matches(principal) && self.resource.matches(resource)
    }
}

impl Side {
    fn matches(&self, (one, all): (&EntityUid, &HashSet<EntityUid>)) -> bool {
        self.is.as_ref().is_none_or(|kind| kind == one.type_name())
            && self.being.as_ref().is_none_or(|being| being == one)
            && self.within.as_ref().is_none_or(|within| all.contains(within))
    }
}
