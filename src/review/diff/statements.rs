//! What changed in a policy's statements: terms, conditions, first lines.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, What};
use crate::certificate::cidr::Cidr;
use crate::certificate::names::OfferId;
use crate::decide::statements::{Sort, Statement};
use crate::decide::{Policy, Terms};

/// An offer's terms and what it takes, in words.
pub(super) fn under(one: &Statement) -> Vec<String> {
    let terms = one.terms.iter().map(|terms| format!("{} within {}", terms.ttl, terms.period));
    terms.chain(one.needs.iter().cloned()).collect()
}

/// Every change. What a statement says of itself (`@why`) and in which order they stand is none.
pub(super) fn changes(old: &Policy, new: &Policy) -> Vec<Change> {
    let by_id = |policy: &Policy| -> BTreeMap<(OfferId, Sort), Statement> {
        policy.statements().into_iter().map(|one| ((one.id.clone(), one.sort), one)).collect()
    };
    let (old, new) = (by_id(old), by_id(new));
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let mut all = Vec::new();
    for key @ (id, sort) in keys {
        let forbids = *sort == Sort::Forbid;
        let mut put = |change: String, widens: bool| {
            let what = What::Statement { id: id.clone(), sort: sort.word(), change };
            all.push(Change { what, widens });
        };
        match (old.get(key), new.get(key)) {
            (None, Some(one)) => put(format!("new{}", whole(one)), !forbids),
            (Some(one), None) => put(format!("gone{}", whole(one)), forbids),
            (Some(was), Some(is)) => {
                // A permit that says less of itself permits more, a forbid forbids more.
                for (said, less) in lines(was, is).into_iter().chain(conditions(was, is)) {
                    let widens = match less {
                        Less::Yes => !forbids,
                        Less::No => forbids,
                        Less::Unknown => true,
                    };
                    put(said, widens);
                }
                if let (Some(was), Some(is)) = (&was.terms, &is.terms) {
                    terms(was, is).into_iter().for_each(|(said, widens)| put(said, widens));
                }
            }
            (None, None) => {}
        }
    }
    all
}

/// A whole statement in few words.
fn whole(one: &Statement) -> String {
    let lines = [&one.principal, &one.action, &one.resource];
    let parts = lines.into_iter().filter(|text| !text.is_empty()).chain(&one.conditions);
    let parts: Vec<&str> = parts.map(String::as_str).collect();
    let terms = one.terms.as_ref().map_or(String::new(), |terms| {
        format!(": {} certificates within {}", terms.ttl, terms.period)
    });
    let parts = if parts.is_empty() { "everything".to_owned() } else { parts.join(", ") };
    format!("{terms} ({parts})")
}

/// Whether fewer requests must be of some kind than before: whether it says less.
#[derive(Clone, Copy)]
enum Less {
    Yes,
    No,
    Unknown,
}

/// The first line.
fn lines(was: &Statement, is: &Statement) -> Vec<(String, Less)> {
    let pairs = [
        ("principal", &was.principal, &is.principal),
        ("action", &was.action, &is.action),
        ("resource", &was.resource, &is.resource),
    ];
    let changed = pairs.into_iter().filter(|(_, was, is)| was != is);
    let told = changed.map(|(word, was, is)| {
        let or_any = |text: &String| if text.is_empty() { word.to_owned() } else { text.clone() };
        let less = match (was.is_empty(), is.is_empty()) {
            (false, true) => Less::Yes,
            (true, false) => Less::No,
            _ => Less::Unknown,
        };
        (format!("{} -> {}", or_any(was), or_any(is)), less)
    });
    told.collect()
}

/// The conditions.
fn conditions(was: &Statement, is: &Statement) -> Vec<(String, Less)> {
    // One that stands there twice says no more than once.
    let set = |one: &Statement| one.conditions.iter().cloned().collect::<BTreeSet<String>>();
    let (was, is) = (set(was), set(is));
    let dropped = was.difference(&is).map(|text| (format!("condition dropped: {text}"), Less::Yes));
    let added = is.difference(&was).map(|text| (format!("condition added: {text}"), Less::No));
    dropped.chain(added).collect()
}

/// The terms: what is said, and whether it widens.
fn terms(was: &Terms, is: &Terms) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    let mut put = |what: &str, was: String, is: String, widens: bool| {
        if was != is {
            let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
            all.push((format!("{what} {} -> {}", or_none(was), or_none(is)), widens));
        }
    };
    put("ttl", was.ttl.to_string(), is.ttl.to_string(), is.ttl > was.ttl);
    put("period", was.period.to_string(), is.period.to_string(), is.period > was.period);
    let names = |terms: &Terms| {
        terms.extensions.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(", ")
    };
    let more = !is.extensions.is_subset(&was.extensions);
    put("extensions", names(was), names(is), more);
    let networks =
        |terms: &Terms| terms.source_address.iter().map(Cidr::to_string).collect::<Vec<_>>();
    let (nets_was, nets_is) = (networks(was), networks(is));
    // Networks within networks are not looked for: another one widens.
    let more = !nets_was.is_empty()
        && (nets_is.is_empty() || nets_is.iter().any(|net| !nets_was.contains(net)));
    put("source_address", nets_was.join(", "), nets_is.join(", "), more);
    let command = |terms: &Terms| terms.force_command.clone().unwrap_or_default();
    put("force_command", command(was), command(is), was.force_command.is_some());
    let delivery = |terms: &Terms| terms.delivery.map_or(String::new(), |one| one.to_string());
    put("delivery", delivery(was), delivery(is), was.delivery.is_some());
    let limit = |terms: &Terms| {
        terms.limit.map_or(String::new(), |limit| format!("{} per {}", limit.count, limit.span))
    };
    let more = match (was.limit, is.limit) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(was), Some(is)) => is.count > was.count || is.span < was.span,
    };
    put("limit", limit(was), limit(is), more);
    all
}
