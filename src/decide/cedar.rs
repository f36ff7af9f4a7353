//! Facts in Cedar's words: the five to ten entities of one request, and its context.
//! What is asked of the desk itself is in `office`.
//!
//! No entity is built that the request does not speak of, and no text is parsed as policy: values go
//! in as values, so that no reason or label can be read as anything but a string.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};

use super::facts::{Around, Facts, Person, Ticket};
use super::saying::Saying;
use super::terms::Terms;
use crate::certificate::names::{GroupName, HoursName, TagName};
use crate::certificate::time::{Span, UnixTime};

/// The names of the shipped schema, parsed once, and what makes a reason one.
#[derive(Debug, Clone)]
pub(super) struct Words {
    person: EntityTypeName,
    service: EntityTypeName,
    group: EntityTypeName,
    account: EntityTypeName,
    host: EntityTypeName,
    tag: EntityTypeName,
    hours: EntityTypeName,
    /// `Action::"login"`.
    pub(super) login: EntityUid,
    /// `Action::"audit"`.
    pub(super) audit: EntityUid,
    /// `Action::"lock"`.
    pub(super) lock: EntityUid,
    /// `Action::"freeze"`.
    pub(super) freeze: EntityUid,
    /// `Desk::"desk"`.
    pub(super) desk: EntityUid,
    /// Which reasons say something; others are as if none was given.
    pub(super) saying: Saying,
    /// What the policy names: no other group or tag can matter to it, and each costs Cedar time. Where it is
    /// not known every one of them may.
    pub(super) named: Option<Named>,
}

/// The groups and tags that some statement names.
#[derive(Debug, Clone, Default)]
pub(super) struct Named {
    pub(super) groups: HashSet<GroupName>,
    pub(super) tags: HashSet<TagName>,
}

impl Named {
    /// Those of a policy. What is no name of ours nobody is in.
    pub(super) fn of(policies: &PolicySet) -> Self {
        let mut named = Self::default();
        for uid in policies.policies().flat_map(cedar_policy::Policy::entity_literals) {
            let name = uid.id().unescaped();
            match uid.type_name().basename() {
                "Group" => named.groups.extend(name.parse::<GroupName>()),
                "Tag" => named.tags.extend(name.parse::<TagName>()),
                _ => {}
            }
        }
        named
    }
}

impl Words {
    /// Fails only if this file and Cedar's grammar disagree.
    pub(super) fn new() -> Result<Self, Box<cedar_policy::ParseErrors>> {
        let kind = |name: &str| name.parse::<EntityTypeName>().map_err(Box::new);
        let one = |name: &str| name.parse::<EntityUid>().map_err(Box::new);
        Ok(Self {
            person: kind("Person")?,
            service: kind("Service")?,
            group: kind("Group")?,
            account: kind("Account")?,
            host: kind("Host")?,
            tag: kind("Tag")?,
            hours: kind("Hours")?,
            login: one("Action::\"login\"")?,
            audit: one("Action::\"audit\"")?,
            lock: one("Action::\"lock\"")?,
            freeze: one("Action::\"freeze\"")?,
            desk: one("Desk::\"desk\"")?,
            saying: Saying::default(),
            named: None,
        })
    }

    fn names_group(&self, name: &GroupName) -> bool {
        self.named.as_ref().is_none_or(|named| named.groups.contains(name))
    }

    fn names_tag(&self, name: &TagName) -> bool {
        self.named.as_ref().is_none_or(|named| named.tags.contains(name))
    }
}

/// One request as Cedar sees it, but for what differs from offer to offer.
pub(super) struct Asked<'a> {
    facts: &'a Facts,
    principal: EntityUid,
    resource: EntityUid,
    /// Who asks and the groups: what `principal in` is true of, as far as policy can tell.
    principals: HashSet<EntityUid>,
    /// The account, its host and the host's tags: what `resource in` is true of, as far as policy can tell.
    resources: HashSet<EntityUid>,
    entities: Entities,
    words: &'a Words,
}

impl<'a> Asked<'a> {
    /// Builds the entities. An error is a bug or a fact that Cedar cannot hold, and ends as a fault.
    pub(super) fn new(words: &'a Words, facts: &'a Facts) -> Result<Self, String> {
        let account = &facts.account;
        let Who { principal, principals, entity: person_entity } =
            Who::of(words, &facts.person, account.owner.as_ref())?;

        let resource = uid(&words.account, &format!("{}@{}", account.login, account.host));
        let host = uid(&words.host, account.host.as_str());
        let tags = account.tags.iter().filter(|name| words.names_tag(name));
        let tags: HashSet<EntityUid> = tags.map(|name| uid(&words.tag, name.as_str())).collect();
        let mut attributes = HashMap::from([
            ("login".to_owned(), string(account.login.as_str())),
            ("host".to_owned(), string(account.host.as_str())),
            ("pool".to_owned(), RestrictedExpression::new_bool(account.pool)),
        ]);
        if let Some(owner) = &account.owner {
            let owner = uid(&words.group, owner.as_str());
            attributes.insert("owner".to_owned(), RestrictedExpression::new_entity_uid(owner));
        }
        let account_entity =
            Entity::new(resource.clone(), attributes, HashSet::from([host.clone()]));
        let host_entity = Entity::new_no_attrs(host.clone(), tags.clone());

        let entities = [person_entity, account_entity.map_err(|why| why.to_string())?, host_entity];
        let entities = Entities::from_entities(entities, None).map_err(|why| why.to_string())?;
        Ok(Self {
            facts,
            principals,
            resources: tags.into_iter().chain([host, resource.clone()]).collect(),
            principal,
            resource,
            entities,
            words,
        })
    }

    /// The entities of this request.
    pub(super) fn entities(&self) -> &Entities {
        &self.entities
    }

    /// Who asks, and what `principal in` is true of.
    pub(super) fn principal(&self) -> (&EntityUid, &HashSet<EntityUid>) {
        (&self.principal, &self.principals)
    }

    /// The account, and what `resource in` is true of.
    pub(super) fn resource(&self) -> (&EntityUid, &HashSet<EntityUid>) {
        (&self.resource, &self.resources)
    }

    /// The request with the ttl and period that it would have under an offer of these terms.
    pub(super) fn under(&self, terms: &Terms, ttl: Span, period: Span) -> Result<Request, String> {
        let facts = self.facts;
        let mut pairs = circumstances(facts.now, facts.source);
        pairs.extend([
            ("ttl".to_owned(), minutes(ttl)),
            ("period".to_owned(), minutes(period)),
            ("terms".to_owned(), offered(terms)?),
        ]);
        pairs.extend(self.around()?);
        if let Some(reason) = facts.reason.as_ref().filter(|_| self.words.saying.says(facts)) {
            pairs.push(("reason".to_owned(), string(reason.as_str())));
        }
        if let Some(ticket) = &facts.ticket {
            pairs.push(("ticket".to_owned(), self.ticket(ticket)?));
        }
        let context = Context::from_pairs(pairs).map_err(|why| why.to_string())?;
        let (principal, login) = (self.principal.clone(), self.words.login.clone());
        // The tests hold what is built here against the schema; doing it on every decision would
        // double its cost.
        Request::new(principal, login, self.resource.clone(), context, None)
            .map_err(|why| why.to_string())
    }

    fn around(&self) -> Result<[(String, RestrictedExpression); 4], String> {
        let Around { hours, freezes, history, .. } = &self.facts.around;
        let hour = |name: &HoursName| {
            RestrictedExpression::new_entity_uid(uid(&self.words.hours, name.as_str()))
        };
        let number =
            |count: u64| RestrictedExpression::new_long(i64::try_from(count).unwrap_or(i64::MAX));
        let mut past = vec![
            ("first_time".to_owned(), RestrictedExpression::new_bool(history.last_days.is_none())),
            ("recent".to_owned(), number(history.recent)),
            ("recent_hosts".to_owned(), number(history.recent_hosts)),
        ];
        past.extend(history.last_days.map(|days| ("last_days".to_owned(), number(days))));
        Ok([
            ("hours".to_owned(), RestrictedExpression::new_set(hours.iter().map(hour))),
            ("frozen".to_owned(), RestrictedExpression::new_bool(!freezes.is_empty())),
            (
                "freezes".to_owned(),
                RestrictedExpression::new_set(freezes.iter().map(|name| string(name.as_str()))),
            ),
            ("history".to_owned(), record(past)?),
        ])
    }

    fn ticket(&self, ticket: &Ticket) -> Result<RestrictedExpression, String> {
        let labels = ticket.labels.iter().map(|label| string(label));
        let mut pairs = vec![
            ("id".to_owned(), string(ticket.id.as_str())),
            ("tracker".to_owned(), string(&ticket.tracker)),
            ("state".to_owned(), string(ticket.state.word())),
            ("labels".to_owned(), RestrictedExpression::new_set(labels)),
            (
                "mine".to_owned(),
                RestrictedExpression::new_bool(ticket.mine(&self.facts.person.name)),
            ),
            (
                "covers".to_owned(),
                RestrictedExpression::new_bool(ticket.covers(&self.facts.account.host)),
            ),
            (
                "in_window".to_owned(),
                RestrictedExpression::new_bool(ticket.in_window(self.facts.now)),
            ),
        ];
        if let Some(assignee) = &ticket.assignee {
            let assignee = uid(&self.words.person, assignee.as_str());
            pairs.push(("assignee".to_owned(), RestrictedExpression::new_entity_uid(assignee)));
        }
        if let Some(priority) = &ticket.priority {
            pairs.push(("priority".to_owned(), string(priority)));
        }
        record(pairs)
    }
}

/// Who asks.
pub(super) struct Who {
    pub(super) principal: EntityUid,
    /// Who asks and the groups: what `principal in` is true of, as far as policy can tell.
    pub(super) principals: HashSet<EntityUid>,
    pub(super) entity: Entity,
}

impl Who {
    /// `owner` is the group that the account asked for belongs to: a policy may ask for it without a name
    /// (`principal in resource.owner`).
    pub(super) fn of(
        words: &Words,
        person: &Person,
        owner: Option<&GroupName>,
    ) -> Result<Self, String> {
        let kind = if person.service { &words.service } else { &words.person };
        let principal = uid(kind, person.name.as_str());
        let matters = |name: &&GroupName| words.names_group(name) || owner == Some(*name);
        let groups = person.all_groups().filter(matters);
        let groups: HashSet<EntityUid> =
            groups.map(|name| uid(&words.group, name.as_str())).collect();
        let mut attributes = HashMap::from([("name".to_owned(), string(person.name.as_str()))]);
        if let Some(email) = &person.email {
            attributes.insert("email".to_owned(), string(email));
        }
        let entity = Entity::new(principal.clone(), attributes, groups.clone());
        let entity = entity.map_err(|why| why.to_string())?;
        let principals = groups.into_iter().chain([principal.clone()]).collect();
        Ok(Self { principal, principals, entity })
    }
}

/// What the context of every action has: when, from where, and what was proved.
pub(super) fn circumstances(now: UnixTime, source: IpAddr) -> Vec<(String, RestrictedExpression)> {
    // Cedar knows no IPv4 address in IPv6 clothes: ::ffff:10.0.0.1 would be in no IPv4 range.
    let source = source.to_canonical().to_string();
    let factors = [string("publickey")];
    vec![
        ("now".to_owned(), RestrictedExpression::new_datetime(now.to_string())),
        ("source".to_owned(), RestrictedExpression::new_ip(source)),
        ("factors".to_owned(), RestrictedExpression::new_set(factors)),
    ]
}

fn offered(terms: &Terms) -> Result<RestrictedExpression, String> {
    record(vec![
        ("approvals".to_owned(), RestrictedExpression::new_long(0)),
        ("touch".to_owned(), RestrictedExpression::new_bool(false)),
        ("ttl".to_owned(), minutes(terms.ttl)),
        ("period".to_owned(), minutes(terms.period)),
    ])
}

fn record(pairs: Vec<(String, RestrictedExpression)>) -> Result<RestrictedExpression, String> {
    RestrictedExpression::new_record(pairs).map_err(|why| why.to_string())
}

fn uid(kind: &EntityTypeName, name: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(name))
}

pub(super) fn string(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

/// Whole minutes, a part of one counting as one, so that a limit in a policy is never overstepped.
fn minutes(span: Span) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(span.as_secs().div_ceil(60)).unwrap_or(i64::MAX))
}
