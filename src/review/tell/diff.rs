//! Two moments compared, for whoever reads the pull request.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::cases::{markdown, printable};
use crate::audit::tell::ascii;
use crate::config::snapshot::hex;
use crate::review::diff::{Change, Diff, How, Reached, What};
use crate::review::moment::Source;

/// A line for each change; those that widen say so.
pub fn text(diff: &Diff) -> String {
    let mut text = String::new();
    for change in &diff.changes {
        let mark = if change.widens { "  [widens]" } else { "" };
        // Writing to a text does not fail.
        writeln!(text, "{}{mark}", printable(&line(change))).ok();
    }
    writeln!(text, "{}", summary(diff)).ok();
    text
}

/// How many changes, and how many widen.
pub fn summary(diff: &Diff) -> String {
    match (diff.changes.len(), diff.widening()) {
        (0, _) => "nothing that decides is different".to_owned(),
        (1, 0) => "1 change, which does not widen".to_owned(),
        (1, _) => "1 change, which widens".to_owned(),
        (all, some) => format!("{all} changes, {some} of which widen"),
    }
}

fn line(change: &Change) -> String {
    match &change.what {
        What::Reach(one) => {
            let Reached { who, places, by, under, .. } = one.as_ref();
            let under =
                if under.is_empty() { String::new() } else { format!("  ({})", under.join("; ")) };
            match &one.how {
                How::Gains => format!("+ {who}  {places}  by {by}{under}"),
                How::Loses => format!("- {who}  {places}  by {by}"),
                How::Freed(forbid) => {
                    format!(
                        "~ {who}  {places}  by {by}: forbid {forbid} does not stand against it any more"
                    )
                }
                How::Barred(forbid) => {
                    format!("~ {who}  {places}  by {by}: forbid {forbid} stands against it now")
                }
            }
        }
        What::Statement { id, sort, change } => format!("~ {sort} {id}: {change}"),
        What::Directory { kind, name, change } => format!("~ {kind} {name}: {change}"),
    }
}

/// For a comment on a pull request.
pub fn markdown_text(diff: &Diff) -> String {
    let mut text = format!("**{}**\n", markdown(&summary(diff)));
    let sections: [(&str, Section); 4] = [
        ("Gains", |one| is_reach(one, |how| *how == How::Gains)),
        ("Losses", |one| is_reach(one, |how| *how == How::Loses)),
        ("Terms, conditions and forbids", |one| {
            matches!(one.what, What::Statement { .. })
                || is_reach(one, |how| !matches!(how, How::Gains | How::Loses))
        }),
        ("People and hosts", |one| matches!(one.what, What::Directory { .. })),
    ];
    for (head, of) in sections {
        let changes: Vec<&Change> = diff.changes.iter().filter(|one| of(one)).collect();
        if changes.is_empty() {
            continue;
        }
        write!(text, "\n#### {head}\n\n| change | widens |\n|---|---|\n").ok();
        for change in changes {
            let widens = if change.widens { "yes" } else { "" };
            writeln!(text, "| {} | {widens} |", markdown(&line(change))).ok();
        }
    }
    text
}

/// Whether a change stands in a section.
type Section = fn(&Change) -> bool;

fn is_reach(change: &Change, of: impl Fn(&How) -> bool) -> bool {
    matches!(&change.what, What::Reach(one) if of(&one.how))
}

/// One object, every name written out.
pub fn object(diff: &Diff) -> String {
    let changes: Vec<Value> = diff.changes.iter().map(change).collect();
    ascii(&json!({
        "old": source(&diff.old), "new": source(&diff.new), "changes": changes,
        "widening": diff.widening(),
    }))
}

fn source(source: &Source) -> Value {
    let [policy, people, hosts] =
        source.texts.map(|(_, hash, entry)| json!({ "sha256": hex(hash), "entry": entry }));
    json!({ "name": source.name, "as_of": source.time, "policy": policy, "people": people, "hosts": hosts })
}

fn change(change: &Change) -> Value {
    let widens = change.widens;
    match &change.what {
        What::Reach(one) => {
            let Reached { how, people, login, hosts, places, by, under, .. } = one.as_ref();
            let (word, forbid) = match how {
                How::Gains => ("gains", None),
                How::Loses => ("loses", None),
                How::Freed(forbid) => ("freed", Some(forbid)),
                How::Barred(forbid) => ("barred", Some(forbid)),
            };
            let accounts: Vec<String> = match login {
                Some(login) => hosts.iter().map(|host| format!("{login}@{host}")).collect(),
                None => vec![places.clone()],
            };
            json!({ "change": word, "people": people, "accounts": accounts, "by": by,
                    "under": under, "forbid": forbid, "widens": widens })
        }
        What::Statement { id, sort, change } => {
            json!({ "change": "statement", "kind": sort, "id": id, "what": change, "widens": widens })
        }
        What::Directory { kind, name, change } => {
            json!({ "change": kind, "name": name, "what": change, "widens": widens })
        }
    }
}
