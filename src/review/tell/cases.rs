//! What came of a team's cases: a line for each that failed, a summary, and the refusals as a table.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::audit::tell::ascii;
use crate::certificate::names::OfferId;
use crate::certificate::safe::Safe;
use crate::decide::statements::Sort;
use crate::review::cases::{Answer, Came, Ran};

/// A line for each case that failed, and how many there were.
pub fn lines(ran: &[Ran]) -> String {
    let mut text = String::new();
    let failed: Vec<&Ran> = ran.iter().filter(|one| !one.wrong.is_empty()).collect();
    for one in &failed {
        for wrong in &one.wrong {
            let (file, name) = (Safe(&one.file), Safe(&one.name));
            // Writing to a text does not fail.
            writeln!(text, "{file}:{}: {name}: {}", one.line, printable(wrong)).ok();
        }
    }
    let cases = if ran.len() == 1 { "case" } else { "cases" };
    writeln!(text, "{} {cases}, {} failed", ran.len(), failed.len()).ok();
    text
}

/// What no case made decide, a sentence each.
pub fn uncovered(left: &[(Sort, OfferId)]) -> Vec<String> {
    let did = |sort: Sort| match sort {
        Sort::Offer => "no case is granted by offer",
        Sort::Leave => "no case is permitted by",
        Sort::Forbid => "no case is refused by forbid",
    };
    left.iter().map(|(sort, id)| format!("{} {id}", did(*sort))).collect()
}

/// One object.
pub fn object(ran: &[Ran], left: &[(Sort, OfferId)]) -> String {
    let cases: Vec<Value> = ran.iter().map(case).collect();
    let failed = ran.iter().filter(|one| !one.wrong.is_empty()).count();
    let left: Vec<Value> =
        left.iter().map(|(sort, id)| json!({ "kind": sort.word(), "id": id })).collect();
    ascii(&json!({ "cases": ran.len(), "failed": failed, "results": cases, "not_exercised": left }))
}

fn case(ran: &Ran) -> Value {
    let came: Vec<Value> = ran.came.iter().map(came).collect();
    json!({ "file": ran.file, "line": ran.line, "name": ran.name, "ok": ran.wrong.is_empty(),
            "wrong": ran.wrong, "came": came })
}

fn came(came: &Came) -> Value {
    match &came.answer {
        Answer::Granted { by, gives } => {
            let gives = gives.as_ref().map(|gives| {
                let extensions: Vec<&str> =
                    gives.extensions.iter().map(|one| one.as_str()).collect();
                json!({ "ttl": gives.ttl.as_secs(), "period": gives.period.as_secs(),
                        "ends": gives.ends, "extensions": extensions,
                        "force_command": gives.force_command,
                        "source_address": gives.source_address.iter().map(ToString::to_string).collect::<Vec<_>>() })
            });
            json!({ "asked": came.asked, "outcome": "granted", "by": by, "gives": gives })
        }
        Answer::Refused { reasons, hint, .. } => json!({
            "asked": came.asked, "outcome": "refused", "reasons": reasons, "hint": hint,
        }),
        Answer::Fault(why) => json!({ "asked": came.asked, "outcome": "fault", "what": why }),
    }
}

/// Every case that was refused, as a table in Markdown: what was asked, what the person is told, and what
/// to do. Accounts of one case that are told the same are one line.
pub fn refusals(ran: &[Ran]) -> String {
    let mut text = String::from("| case | asked | told | hint |\n|---|---|---|---|\n");
    for one in ran {
        let mut told: Vec<(&Came, &Vec<String>, &Option<String>)> = Vec::new();
        for came in &one.came {
            if let Answer::Refused { reasons, hint, .. } = &came.answer
                && !told.iter().any(|(_, known, _)| *known == reasons)
            {
                told.push((came, reasons, hint));
            }
        }
        for (came, reasons, hint) in told {
            let reasons: Vec<String> = reasons.iter().map(|reason| markdown(reason)).collect();
            let hint = hint.as_deref().map_or(String::new(), markdown);
            let (name, asked) = (markdown(&one.name), markdown(&came.asked));
            writeln!(text, "| {name} | {asked} | {} | {hint} |", reasons.join("<br>")).ok();
        }
    }
    text
}

/// Foreign text in a cell of a table in Markdown: one line, and nothing in it means anything.
pub(super) fn markdown(text: &str) -> String {
    let mut cell = String::new();
    for c in printable(text).chars() {
        if "\\`*_{}[]<>()#+!|~&".contains(c) && !"()#+!".contains(c) {
            cell.push('\\');
        }
        cell.push(c);
    }
    cell
}

/// One line of printable ASCII, however long: reasons are whole sentences.
pub(super) fn printable(text: &str) -> String {
    let parts: Vec<char> = text.chars().collect();
    parts.chunks(32).map(|part| Safe(&part.iter().collect::<String>()).to_string()).collect()
}
