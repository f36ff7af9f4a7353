//! From a policy's text to a [`Policy`], or to everything that is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use cedar_policy::pst::Clause;
use cedar_policy::{
    ActionConstraint, Effect, PolicyId, PolicySet, Schema, ValidationMode, ValidationWarning,
    Validator,
};
use miette::Diagnostic;

use super::annotations;
use super::cedar::{Named, Words};
use super::check;
use super::locate::{self, Statement};
use super::policy::{Forbid, Forbids, Leave, Offer, Policy, Scope};
use super::problem::{LoadError, Problems};
use super::split;
use super::world::World;
use crate::certificate::names::{HostName, Login, OfferId};

/// See [`Policy::load`].
pub(super) fn load(source_name: &str, text: &str, world: &World) -> Result<Policy, LoadError> {
    let mut problems = Problems::new(source_name, text);
    let set = text.parse::<PolicySet>();
    let schema = Schema::from_cedarschema_str(Policy::SCHEMA);
    let (set, schema, words) = match (set, schema, Words::new()) {
        (Ok(set), Ok((schema, _)), Ok(mut words)) => {
            words.saying = world.saying.clone();
            words.named = Some(Named::of(&set));
            (set, schema, words)
        }
        (set, schema, words) => {
            for why in set.err().iter().flat_map(cedar_policy::ParseErrors::iter) {
                diagnosed(why, &(0..0), &mut problems);
            }
            // The tests load the shipped schema: neither of these is ever seen.
            if let Some(why) = schema.err() {
                problems.add(&(0..0), format!("the shipped schema: {why}"), None);
            }
            if let Some(why) = words.err() {
                problems.add(&(0..0), format!("the shipped schema's names: {why}"), None);
            }
            return Err(problems.into_error());
        }
    };

    let mut draft = Draft::default();
    let places = locate::statements(text);
    let nowhere = Statement::default();
    for n in 0..set.num_of_policies() + set.num_of_templates() {
        let place = places.get(n).unwrap_or(&nowhere);
        match set.policy(&PolicyId::new(format!("policy{n}"))) {
            Some(policy) => draft.add(n, policy, place, (world, &words), &mut problems),
            None => problems.add(
                &place.name(),
                "a policy with ?principal or ?resource is a template, and nothing fills it in",
                Some("name the group and the tag that it is for".to_owned()),
            ),
        }
    }
    draft.validate(schema, &mut problems);
    if !problems.none() {
        return Err(problems.into_error());
    }
    draft.offers.sort_by(|a, b| a.id.cmp(&b.id));
    draft.leaves.sort_by(|a, b| a.id.cmp(&b.id));
    let mut accounts: BTreeMap<HostName, BTreeSet<Login>> = BTreeMap::new();
    for (login, host) in &world.accounts {
        accounts.entry(host.clone()).or_default().insert(login.clone());
    }
    let Draft { offers, leaves, forbids, .. } = draft;
    Ok(Policy { offers, forbids, leaves, words, accounts, hours: world.hours.clone() })
}

/// What has been read so far.
#[derive(Default)]
struct Draft {
    /// All statements under the names that errors call them by, for the validator.
    all: PolicySet,
    places: BTreeMap<String, Range<usize>>,
    offers: Vec<Offer>,
    leaves: Vec<Leave>,
    forbids: Forbids,
}

impl Draft {
    /// Reads the n-th statement. What is wrong with it is noted, and then it is not kept.
    fn add(
        &mut self,
        n: usize,
        policy: &cedar_policy::Policy,
        place: &Statement<'_>,
        (world, words): (&World, &Words),
        problems: &mut Problems<'_>,
    ) {
        let id = self.name(policy, place, problems);
        // A space is in no id: what has none gets a name that nobody else has.
        let shown = id.as_ref().map_or_else(|| format!("statement {}", n + 1), OfferId::to_string);
        let policy = policy.new_id(PolicyId::new(&shown));
        self.places.insert(shown, place.name());
        literals(&policy, place, world, problems);
        let clauses = clauses(&policy, place, problems);
        check::conditions(&clauses, place, problems);
        let at_desk = match policy.action_constraint() {
            ActionConstraint::Eq(one) => {
                [&words.audit, &words.lock, &words.freeze].contains(&&one).then_some(one)
            }
            ActionConstraint::Any | ActionConstraint::In(_) => None,
        };
        let read = annotations::read(&policy, place, at_desk.is_none(), problems);
        let login = policy.action_constraint() == ActionConstraint::Eq(words.login.clone());
        if policy.effect() == Effect::Permit && !login && at_desk.is_none() {
            problems.add(
                &place.word("action").unwrap_or_else(|| place.name()),
                "a permit is for one action",
                Some(
                    "write action == Action::\"login\"; others are audit, freeze and lock"
                        .to_owned(),
                ),
            );
        }
        let mut kept = self.all.add(policy.clone());
        if let (Ok(()), Some(id), Some(read)) = (&kept, id, read) {
            kept = match read {
                annotations::Read::Forbid { why } => {
                    let reads = split::reads_of(&clauses);
                    let conjuncts = split::lifted(&clauses);
                    self.forbids.said.insert(id, Forbid { why, reads, conjuncts });
                    self.forbids.all.add(policy)
                }
                annotations::Read::Leave => {
                    let (scope, conjuncts) = (Scope::of(&policy), split::conjuncts(&clauses));
                    PolicySet::from_policies([policy]).map(|alone| {
                        let action = at_desk.unwrap_or_else(|| words.audit.clone());
                        self.leaves.push(Leave { id, action, scope, alone, conjuncts });
                    })
                }
                annotations::Read::Permit { terms, description } => {
                    let (scope, login) = (Scope::of(&policy), split::first_login(&clauses));
                    let conjuncts = split::conjuncts(&clauses);
                    PolicySet::from_policies([policy]).map(|alone| {
                        let offer =
                            Offer { id, terms, description, scope, login, alone, conjuncts };
                        self.offers.push(offer);
                    })
                }
            };
        }
        if let Err(why) = kept {
            problems.add(&place.name(), why.to_string(), None);
        }
    }

    /// The statement's `@id`, which nothing before it has.
    fn name(
        &self,
        policy: &cedar_policy::Policy,
        place: &Statement<'_>,
        problems: &mut Problems<'_>,
    ) -> Option<OfferId> {
        let at = place.name();
        let Some(text) = policy.annotation("id") else {
            problems.add(
                &at,
                format!("this {} has no @id", policy.effect()),
                Some("name it, as in @id(\"deploy-prod\")".to_owned()),
            );
            return None;
        };
        match text.parse::<OfferId>() {
            Err(why) => {
                problems.add(&at, format!("{text:?} is {why}"), None);
                None
            }
            Ok(id) if self.places.contains_key(id.as_str()) => {
                let hint = "each @id names one policy, permit or forbid".to_owned();
                problems.add(&at, format!("the @id {id} is taken by a policy above"), Some(hint));
                None
            }
            Ok(id) => Some(id),
        }
    }

    /// Holds all statements against the schema. A warning counts as much as an error: it is said of
    /// policies that never apply and of text that is not what it looks like.
    fn validate(&self, schema: Schema, problems: &mut Problems<'_>) {
        let result = Validator::new(schema).validate(&self.all, ValidationMode::Strict);
        let place = |id: &PolicyId| {
            let id: &str = id.as_ref();
            self.places.get(id).cloned().unwrap_or(0..0)
        };
        let mut said = BTreeSet::new();
        for why in result.validation_errors() {
            said.insert(why.policy_id());
            diagnosed(why, &place(why.policy_id()), problems);
        }
        // That a policy can never apply follows from whatever else is wrong with it.
        let (never, others): (Vec<_>, Vec<_>) = result
            .validation_warnings()
            .partition(|why| matches!(why, ValidationWarning::ImpossiblePolicy(_)));
        for why in others.into_iter().chain(never) {
            let new = said.insert(why.policy_id());
            if new || !matches!(why, ValidationWarning::ImpossiblePolicy(_)) {
                diagnosed(why, &place(why.policy_id()), problems);
            }
        }
    }
}

/// Looks for everything that the policy calls by name.
fn literals(
    policy: &cedar_policy::Policy,
    place: &Statement<'_>,
    world: &World,
    problems: &mut Problems<'_>,
) {
    for uid in policy.entity_literals() {
        let (kind, name) = (uid.type_name().basename(), uid.id().unescaped());
        if let Err(missing) = world.look_up(kind, name) {
            let at = place.literal(kind, name).unwrap_or_else(|| place.name());
            problems.add(&at, missing.message, Some(missing.hint));
        }
    }
}

fn clauses(
    policy: &cedar_policy::Policy,
    place: &Statement<'_>,
    problems: &mut Problems<'_>,
) -> Vec<Clause> {
    match policy.to_pst() {
        Ok(pst) => pst.body().clauses().clone(),
        Err(why) => {
            problems.add(&place.name(), why.to_string(), None);
            Vec::new()
        }
    }
}

/// Notes an error of Cedar's where it says it is, or, if that is the whole policy, at its name.
fn diagnosed(why: &dyn Diagnostic, policy: &Range<usize>, problems: &mut Problems<'_>) {
    let label = why.labels().and_then(|mut labels| labels.next());
    let at = label.as_ref().map(|label| label.offset()..label.offset() + label.len());
    let at = at.filter(|at| at.start > policy.start || at.end < policy.end);
    // What is said of one action is no mistake in the policy but in what it is said of.
    let other =
        ["audit", "freeze", "lock"].map(|action| format!("for Action::\"{action}\" not found"));
    let said = why.to_string();
    let hint = other.iter().any(|end| said.ends_with(end)).then(|| {
        "a bare `action` is every action: name the one it is about, as in action == \
         Action::\"login\""
            .to_owned()
    });
    let hint = hint.or_else(|| why.help().map(|help| help.to_string()));
    let hint = hint.or_else(|| label.and_then(|label| label.label().map(str::to_owned)));
    problems.add(&at.unwrap_or_else(|| policy.clone()), why.to_string(), hint);
}
