//! The voice of `freeze`, `thaw` and `freezes`.

use serde_json::json;

use super::{Reply, exit, json_reply, not_done, say};
use crate::desk::freezes::Freeze;
use crate::desk::freezing::Frozen;
use crate::desk::outcome::Outcome;
use crate::front::control::Answer;

/// A freeze that was set or lifted.
pub fn changed(changed: &Frozen, as_json: bool) -> Reply {
    if as_json {
        let Frozen { name, freeze, entry, notes } = changed;
        let object = json!({
            "outcome": "ok", "name": name, "frozen": freeze.is_some(), "entry": entry,
            "tags": freeze.as_ref().map(|freeze| &freeze.tags),
            "until": freeze.as_ref().and_then(|freeze| freeze.until), "notes": notes,
        });
        return json_reply(&object, exit::DONE);
    }
    let (said, hint) = words(changed);
    Reply { stdout: Vec::new(), stderr: say(&said, Some(hint)), status: exit::DONE }
}

fn words(changed: &Frozen) -> (Vec<String>, &'static str) {
    let Frozen { name, freeze, entry, notes } = changed;
    let (first, hint) = match freeze {
        Some(freeze) => {
            let until = freeze.until.map_or(String::new(), |until| format!(" until {until}"));
            (
                format!("{} is frozen by {name} from now on{until}, entry {entry}", freeze.what()),
                "what a freeze stops is the policy's to say: ssh ca explain LOGIN@HOST TICKET",
            )
        }
        None => (
            format!("{name} freezes nothing any more, entry {entry}"),
            "ssh ca freezes shows what is still frozen",
        ),
    };
    (std::iter::once(first).chain(notes.iter().cloned()).collect(), hint)
}

/// The same for an operator.
pub fn by_operator(done: Result<Frozen, Outcome>) -> Answer {
    match done {
        Ok(changed) => Answer::ok(words(&changed).0),
        Err(outcome) => not_done(&outcome),
    }
}

/// What is frozen now, for an operator.
pub fn for_operator(freezes: Result<Vec<Freeze>, Outcome>) -> Answer {
    match freezes {
        Ok(freezes) => {
            let mut answer = Answer::ok(vec![count(&freezes)]);
            answer.artefact = Some(lines(&freezes));
            answer
        }
        Err(_) => {
            Answer::fault("the folder of freezes cannot be read; the journal says why".to_owned())
        }
    }
}

fn lines(freezes: &[Freeze]) -> String {
    freezes.iter().map(|freeze| format!("{freeze}\n")).collect()
}

fn count(freezes: &[Freeze]) -> String {
    match freezes.len() {
        0 => "nothing is frozen".to_owned(),
        1 => "1 freeze stands".to_owned(),
        many => format!("{many} freezes stand"),
    }
}

/// What is frozen now.
pub fn listed(freezes: &[Freeze], as_json: bool) -> Reply {
    if as_json {
        let freezes: Vec<_> = freezes
            .iter()
            .map(|freeze| {
                json!({ "name": freeze.name, "tags": freeze.tags, "since": freeze.since,
                        "until": freeze.until, "by": freeze.by, "reason": freeze.reason })
            })
            .collect();
        return json_reply(&json!({ "outcome": "ok", "freezes": freezes }), exit::DONE);
    }
    // The list is what was asked for, so it is the artefact.
    let hint = (!freezes.is_empty()).then_some("ssh ca thaw NAME --reason TEXT");
    let stderr = say(&[count(freezes)], hint);
    Reply { stdout: lines(freezes).into_bytes(), stderr, status: exit::DONE }
}
