//! A policy's statements as people compare them: whom and what each speaks of, under which conditions,
//! on which terms.

use std::collections::BTreeSet;
use std::fmt::Display;

use cedar_policy::{
    ActionConstraint, Authorizer, Effect, EntityUid, PolicyId, PolicySet, PrincipalConstraint,
    ResourceConstraint,
};

use super::cedar::Asked;
use super::facts::Facts;
use super::grant::Given;
use super::policy::{Policy, Scope};
use super::split::{Conjunct, conjuncts};
use super::survey::needs;
use super::terms::Terms;
use super::{ask, deciders};
use crate::certificate::names::{GroupName, OfferId};

/// One statement of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its `@id`.
    pub id: OfferId,
    /// What kind of statement it is.
    pub sort: Sort,
    /// Its `@why`.
    pub why: Option<String>,
    /// Its first line's constraints, as the author could have written them; empty for any.
    pub principal: String,
    /// The same of the action.
    pub action: String,
    /// The same of the resource.
    pub resource: String,
    /// Its conditions, in the order of the source.
    pub conditions: Vec<String>,
    /// What an offer gives.
    pub terms: Option<Terms>,
    /// What an offer takes, in words: `a ticket that is open and yours`.
    pub needs: Vec<String>,
}

/// The kinds of statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// A permit to log in.
    Offer,
    /// A permit of something at the desk.
    Leave,
    /// A forbid.
    Forbid,
}

impl Sort {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Leave => "permit",
            Self::Forbid => "forbid",
        }
    }
}

impl Policy {
    /// Every statement: offers, then what is permitted at the desk, then what is forbidden, each by id.
    pub fn statements(&self) -> Vec<Statement> {
        let offers = self.offers.iter().filter_map(|offer| {
            let text = offer.alone.policies().next()?;
            let mut one = statement(&offer.id, text, &offer.conjuncts);
            one.why.clone_from(&offer.description);
            one.terms = Some(offer.terms.clone());
            one.needs = needs(offer);
            Some(one)
        });
        let leaves = self.leaves.iter().filter_map(|leave| {
            Some(statement(&leave.id, leave.alone.policies().next()?, &leave.conjuncts))
        });
        let forbids = self.barriers().into_iter().map(|barrier| {
            let mut one = statement(&barrier.id, barrier.text, &barrier.conjuncts);
            one.why = barrier.why;
            one
        });
        offers.chain(leaves).chain(forbids).collect()
    }

    /// The groups that a policy's text names; none where it cannot be read.
    pub fn groups_in(text: &str) -> BTreeSet<GroupName> {
        let Ok(all) = text.parse::<PolicySet>() else { return BTreeSet::new() };
        let literals = all.policies().flat_map(cedar_policy::Policy::entity_literals);
        let groups = literals.filter(|uid| uid.type_name().basename() == "Group");
        groups.filter_map(|uid| uid.id().unescaped().parse().ok()).collect()
    }

    /// The forbids that apply to a request, whether or not an offer is for it: under the terms of the first
    /// offer that is, or of any.
    pub fn forbidding(&self, facts: &Facts) -> Vec<OfferId> {
        let Ok(asked) = Asked::new(&self.words, facts) else { return Vec::new() };
        let fit = self.offers.iter().find(|offer| offer.scope.matches(&asked));
        let Some(offer) = fit.or(self.offers.first()) else { return Vec::new() };
        let given = Given::under(&offer.terms, facts);
        let Ok(request) = asked.under(&offer.terms, given.ttl, given.period) else {
            return Vec::new();
        };
        let answer = ask(&Authorizer::new(), &request, &self.forbids.all, &asked);
        answer.and_then(|answer| deciders(&answer)).unwrap_or_default()
    }

    /// The forbids, taken apart as offers are.
    pub(super) fn barriers(&self) -> Vec<Barrier<'_>> {
        let barrier = |id: &OfferId| {
            let text = self.forbids.all.policy(&PolicyId::new(id.as_str()))?;
            // Every forbid went through this when it was loaded.
            let clauses = text.to_pst().ok()?.body().clauses().clone();
            Some(Barrier {
                id: id.clone(),
                text,
                why: self.forbids.said.get(id).and_then(|said| said.why.clone()),
                scope: Scope::of(text),
                conjuncts: conjuncts(&clauses),
            })
        };
        self.forbids.said.keys().filter_map(barrier).collect()
    }
}

/// A forbid, taken apart.
pub(super) struct Barrier<'p> {
    pub(super) id: OfferId,
    pub(super) text: &'p cedar_policy::Policy,
    pub(super) why: Option<String>,
    pub(super) scope: Scope,
    pub(super) conjuncts: Vec<Conjunct>,
}

fn statement(id: &OfferId, text: &cedar_policy::Policy, conjuncts: &[Conjunct]) -> Statement {
    let sort = match (text.effect(), text.action_constraint()) {
        (Effect::Forbid, _) => Sort::Forbid,
        (Effect::Permit, ActionConstraint::Eq(action)) if action.id().unescaped() == "login" => {
            Sort::Offer
        }
        (Effect::Permit, _) => Sort::Leave,
    };
    Statement {
        id: id.clone(),
        sort,
        why: text.annotation("why").map(str::to_owned),
        principal: match text.principal_constraint() {
            PrincipalConstraint::Any => String::new(),
            PrincipalConstraint::In(one) => format!("principal in {one}"),
            PrincipalConstraint::Eq(one) => format!("principal == {one}"),
            PrincipalConstraint::Is(kind) => format!("principal is {kind}"),
            PrincipalConstraint::IsIn(kind, one) => format!("principal is {kind} in {one}"),
        },
        action: match text.action_constraint() {
            ActionConstraint::Any => String::new(),
            ActionConstraint::Eq(one) => format!("action == {one}"),
            ActionConstraint::In(all) => format!("action in [{}]", list(&all)),
        },
        resource: match text.resource_constraint() {
            ResourceConstraint::Any => String::new(),
            ResourceConstraint::In(one) => format!("resource in {one}"),
            ResourceConstraint::Eq(one) => format!("resource == {one}"),
            ResourceConstraint::Is(kind) => format!("resource is {kind}"),
            ResourceConstraint::IsIn(kind, one) => format!("resource is {kind} in {one}"),
        },
        conditions: conjuncts.iter().map(|one| one.text.clone()).collect(),
        terms: None,
        needs: Vec::new(),
    }
}

fn list(all: &[EntityUid]) -> String {
    all.iter()
        .map(|one| one as &dyn Display)
        .map(|one| one.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
