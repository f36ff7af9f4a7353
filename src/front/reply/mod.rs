//! The voice: answers put into words. stdout carries the artefact and nothing else; what a person
//! reads goes to stderr as `hallpass: ...`, lower case, no full stop, and `hint:` says what is next.

pub mod audit;
pub mod ensured;
pub mod explain;
pub mod freezes;
mod help;
pub mod host;
mod issued;
pub mod locks;
pub mod reload;

use serde_json::{Value, json};

use super::Reply;
use super::control::Answer;
use super::verbs::{self, Usage};
use crate::audit::tell::ascii;
use crate::certificate::safe::Safe;
use crate::config::trust::{Part, Trust};
use crate::desk::ended::EndedGrant;
use crate::desk::outcome::{Fault, Outcome, Refused, Status};

/// Exit statuses, the same for every verb.
pub mod exit {
    /// Done.
    pub const DONE: u32 = 0;
    /// Refused: the answer is no.
    pub const REFUSED: u32 = 1;
    /// Usage: the words were not understood.
    pub const USAGE: u32 = 2;
    /// Fault: something broke, try again.
    pub const FAULT: u32 = 75;
}

/// An outcome, in words or as JSON.
pub fn outcome(outcome: &Outcome, as_json: bool) -> Reply {
    match outcome {
        Outcome::Issued(one) => issued::issued(one, as_json),
        Outcome::There(until) => issued::there(*until, as_json),
        Outcome::Refused(one) => refused(one, as_json),
        Outcome::Fault(one) => fault(one, as_json),
        Outcome::Status(one) => status(one, as_json),
        Outcome::List(grants, ended, now) => issued::list(grants, ended, *now, as_json),
        Outcome::Why(one) => issued::why(one, as_json),
    }
}

fn refused(refused: &Refused, as_json: bool) -> Reply {
    let Refused { request, reasons, hint } = refused;
    if as_json {
        let object =
            json!({ "outcome": "refused", "request": request, "reasons": reasons, "hint": hint });
        return json_reply(&object, exit::REFUSED);
    }
    let said: Vec<String> = reasons.iter().map(|reason| format!("refused: {reason}")).collect();
    Reply { stdout: Vec::new(), stderr: say(&said, Some(hint)), status: exit::REFUSED }
}

fn fault(fault: &Fault, as_json: bool) -> Reply {
    let Fault { request, what } = fault;
    let hint = format!("try again; if it stays, give {request} to whoever runs the CA");
    if as_json {
        let object =
            json!({ "outcome": "fault", "request": request, "reasons": [what], "hint": hint });
        return json_reply(&object, exit::FAULT);
    }
    Reply {
        stdout: Vec::new(),
        stderr: say(&[format!("fault {request}: {what}")], Some(&hint)),
        status: exit::FAULT,
    }
}

/// What an operator is told whose order was not carried out.
fn not_done(outcome: &Outcome) -> Answer {
    match outcome {
        Outcome::Refused(no) => {
            let mut answer = Answer::refused(format!("refused: {}", no.reasons.join("; ")));
            // The same verbs, typed on the machine.
            answer.hint = Some(no.hint.replace("ssh ca ", "hallpass "));
            answer
        }
        Outcome::Fault(fault) => Answer::fault(format!("fault {}: {}", fault.request, fault.what)),
        // No order ends so.
        _ => Answer::fault("nothing was changed".to_owned()),
    }
}

fn status(status: &Status, as_json: bool) -> Reply {
    let Status { person, key, key_type, locks, grants, ended, now } = status;
    let next = "ssh -A ca LOGIN@HOST TICKET, then ssh LOGIN@HOST";
    if as_json {
        let grants: Vec<Value> = grants.iter().map(issued::grant_object).collect();
        return json_reply(
            &json!({
                "outcome": "ok", "person": person, "key": key, "locks": locks, "grants": grants,
                "ended": issued::ended_objects(ended), "hint": next,
            }),
            exit::DONE,
        );
    }
    let mut said = vec![format!("you are {person}, by the {key_type} key {key}")];
    said.extend(locks.iter().cloned());
    if grants.is_empty() {
        said.push("no live grant".to_owned());
    }
    said.extend(grants.iter().map(|grant| issued::grant_line(grant, *now)));
    said.extend(ended.iter().map(EndedGrant::told));
    let next =
        format!("{next}\nhint: ssh ca config  (with it ssh LOGIN@HOST is all)\nhint: ssh ca help");
    Reply { stdout: Vec::new(), stderr: say(&said, Some(&next)), status: exit::DONE }
}

/// The client's ssh_config block.
pub fn config(block: &str, hosts: usize, as_json: bool) -> Reply {
    let hint = "mkdir -p -m 700 ~/.ssh/hallpass, save this as ~/.ssh/hallpass/config, and put `Include hallpass/config` at the top of ~/.ssh/config";
    if as_json {
        return json_reply(
            &json!({ "outcome": "ok", "config": block, "hosts": hosts, "hint": hint }),
            exit::DONE,
        );
    }
    let said = match hosts {
        0 => "there is no host that you may ask for yet".to_owned(),
        1 => "1 host that you may ask for".to_owned(),
        hosts => format!("{hosts} hosts that you may ask for"),
    };
    Reply {
        stdout: block.as_bytes().to_vec(),
        stderr: say(&[said], Some(hint)),
        status: exit::DONE,
    }
}

/// Public keys.
pub fn trust(trust: &Trust, parts: &[Part], as_json: bool) -> Reply {
    if as_json {
        let lines = |part| trust.print(part).lines().map(str::to_owned).collect::<Vec<_>>();
        let object = json!({
            "outcome": "ok", "user": lines(Part::User), "bare": lines(Part::Bare), "host": lines(Part::Host),
            "ledger": lines(Part::Ledger), "known_hosts": trust.known_hosts().trim_end(), "fingerprint": trust.fingerprint(),
        });
        return json_reply(&object, exit::DONE);
    }
    let keys: String = parts.iter().map(|part| trust.print(*part)).collect();
    let said = [format!("fingerprint of all public keys: {}", trust.fingerprint())];
    Reply { stdout: keys.into_bytes(), stderr: say(&said, None), status: exit::DONE }
}

/// Help.
pub fn help(verb: Option<&str>, as_json: bool) -> Reply {
    let text = match verb {
        None => help::ALL,
        Some(verb) => match help::on(verb) {
            Some(text) => text,
            None => {
                return usage(&Usage {
                    json: as_json,
                    what: format!("there is no verb {}", Safe(verb)),
                    hint: verbs::near(verb).map_or("ssh ca help".to_owned(), |near| {
                        format!("did you mean ssh ca help {near}?")
                    }),
                    unknown: None,
                });
            }
        },
    };
    if as_json {
        return json_reply(&json!({ "outcome": "ok", "text": text }), exit::DONE);
    }
    Reply { stdout: text.as_bytes().to_vec(), stderr: String::new(), status: exit::DONE }
}

/// A command line that was not understood.
pub fn usage(usage: &Usage) -> Reply {
    if usage.json {
        let object = json!({ "outcome": "usage", "reasons": [usage.what], "hint": usage.hint });
        return json_reply(&object, exit::USAGE);
    }
    Reply {
        stdout: Vec::new(),
        stderr: say(&[format!("usage: {}", usage.what)], Some(&usage.hint)),
        status: exit::USAGE,
    }
}

/// A command that died; the journal has the same id.
pub(super) fn died(id: &str) -> Reply {
    let said = [format!("fault {id}: something broke while answering")];
    Reply { stdout: Vec::new(), stderr: say(&said, Some("try again")), status: exit::FAULT }
}

/// A command that was still running when the daemon stopped; what it was, if that can be typed
/// again as it stands.
pub(super) fn restarting(words: &[u8]) -> Reply {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b" -_.,:@/+=#".contains(byte);
    let line = std::str::from_utf8(words).ok().filter(|words| words.bytes().all(|b| plain(&b)));
    let hint = match line {
        Some(line) if line.len() <= Safe::WIDTH => {
            format!("run the same command again: {}", format!("ssh ca {line}").trim_end())
        }
        Some(_) | None => "run the same command again".to_owned(),
    };
    let said = ["the server is restarting".to_owned()];
    Reply { stdout: Vec::new(), stderr: say(&said, Some(&hint)), status: exit::FAULT }
}

/// A command line longer than any command.
pub(super) fn too_long() -> Reply {
    usage(&Usage {
        json: false,
        what: "these are more words than any command has".to_owned(),
        hint: "ssh ca help".to_owned(),
        unknown: None,
    })
}

/// One JSON object in one line of ASCII: a terminal may be where it goes.
fn json_reply(object: &Value, status: u32) -> Reply {
    Reply { stdout: ascii(object).into_bytes(), stderr: String::new(), status }
}

fn say(lines: &[String], hint: Option<&str>) -> String {
    let said = lines.iter().map(|line| format!("hallpass: {line}\n"));
    said.chain(hint.map(|hint| format!("hint: {hint}\n"))).collect()
}
