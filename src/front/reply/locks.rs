//! The voice of `lock`, `unlock` and `locks`.

use serde_json::json;

use super::{Reply, exit, json_reply, not_done, say};
use crate::desk::locking::Changed;
use crate::desk::locks::Lock;
use crate::desk::outcome::Outcome;
use crate::front::control::Answer;

/// A lock that was set or lifted.
pub fn changed(changed: &Changed, as_json: bool) -> Reply {
    let Changed { target, locked, entry, notes } = changed;
    if as_json {
        let object = json!({
            "outcome": "ok", "target": target.kind(), "name": target.name(), "locked": locked,
            "entry": entry, "notes": notes,
        });
        return json_reply(&object, exit::DONE);
    }
    let (said, hint) = words(changed);
    Reply { stdout: Vec::new(), stderr: say(&said, Some(&hint)), status: exit::DONE }
}

/// The same as lines, and what to do next.
fn words(changed: &Changed) -> (Vec<String>, String) {
    let Changed { target, locked, entry, notes } = changed;
    let mut said = vec![match (locked, entry) {
        (true, Some(entry)) => format!("{target} is locked from now on, entry {entry}"),
        (true, None) => "nothing was written: it is locked already".to_owned(),
        (false, _) => format!("{target} is not locked any more"),
    }];
    said.extend(notes.iter().cloned());
    let hint = match locked {
        true => {
            "what was issued before opens servers until it expires, and sessions go on: end them there"
                .to_owned()
        }
        false => "ssh ca locks shows what is still locked".to_owned(),
    };
    (said, hint)
}

/// The same for an operator.
pub fn by_operator(done: Result<Changed, Outcome>) -> Answer {
    match done {
        Ok(changed) => Answer::ok(words(&changed).0),
        Err(outcome) => not_done(&outcome),
    }
}

/// What is locked, of what the person may lock or unlock.
pub fn listed(locks: &[Lock], as_json: bool) -> Reply {
    if as_json {
        let locks: Vec<_> = locks
            .iter()
            .map(|lock| {
                json!({ "target": lock.target.kind(), "name": lock.target.name(), "since": lock.since,
                        "by": lock.by, "reason": lock.reason })
            })
            .collect();
        return json_reply(&json!({ "outcome": "ok", "locks": locks }), exit::DONE);
    }
    if locks.is_empty() {
        let said = ["nothing is locked that you could lock or unlock".to_owned()];
        return Reply { stdout: Vec::new(), stderr: say(&said, None), status: exit::DONE };
    }
    // The list is what was asked for, so it is the artefact.
    let lines: String = locks.iter().map(|lock| format!("{lock}\n")).collect();
    let said = [format!("{} locked", locks.len())];
    let hint = "ssh ca unlock person:NAME --reason TEXT";
    Reply { stdout: lines.into_bytes(), stderr: say(&said, Some(hint)), status: exit::DONE }
}
