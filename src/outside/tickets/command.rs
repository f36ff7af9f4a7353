//! A tracker behind a program of the operator's: JSON on its standard input, JSON on its standard output.
//!
//! ```text
//! asked                                                  answered
//! {"v":1,"ask":"read","id":"OPS-7"}                      {"v":1,"ticket":{"state":"open",...}}
//!                                                        {"v":1,"absent":true}
//!                                                        {"v":1,"hidden":true}
//!                                                        {"v":1,"moved":"OPS-9"}
//! {"v":1,"ask":"open_of","assignee":"a.ivanova"}         {"v":1,"ids":["OPS-7"]}
//! {"v":1,"ask":"comment","id":"OPS-7","text":"..."}      {"v":1,"done":true}
//! anything                                               {"v":1,"fault":"away","why":"..."}
//! ```
//!
//! A ticket has `id`, which must be the one that was asked for, and `state`: `open`, `pending` or `closed`; and
//! where they are known `said`, `title`, `assignee` (an alias), `priority`, `labels`, `hosts`, and
//! `window_from` and `window_until`. A fault is `away`, `credentials` or `unreadable`. The status must be 0.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde::Deserialize;
use serde_json::json;

use super::command_pipes::{Output, Pipes};
use super::guard::Calls;
use super::http_ticket::window;
use super::json;
use super::trial::{Exchange, Failed, Steps};
use super::{Answer, TicketSeen};
use crate::certificate::names::TicketId;
use crate::certificate::safe::Safe;
use crate::config::tracker::{Command as Configured, Occasion};
use crate::decide::facts::TicketState;

/// A tracker behind a program.
pub(super) struct CommandTracker {
    name: String,
    command: Configured,
}

/// What the program answers. Exactly one of them is there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    v: u64,
    ticket: Option<TicketSaid>,
    #[serde(default)]
    absent: bool,
    #[serde(default)]
    hidden: bool,
    moved: Option<String>,
    ids: Option<Vec<String>>,
    #[serde(default)]
    done: bool,
    fault: Option<FaultSaid>,
    why: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum FaultSaid {
    Away,
    Credentials,
    Unreadable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketSaid {
    id: String,
    state: StateSaid,
    said: Option<String>,
    #[serde(default)]
    title: String,
    assignee: Option<String>,
    priority: Option<String>,
    #[serde(default)]
    labels: BTreeSet<String>,
    #[serde(default)]
    hosts: BTreeSet<String>,
    window_from: Option<String>,
    window_until: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateSaid {
    Open,
    Pending,
    Closed,
}

impl CommandTracker {
    /// A tracker behind this program, which must be there.
    pub(super) fn open(name: &str, command: &Configured) -> Result<Self, String> {
        use std::os::unix::fs::MetadataExt as _;
        let path = &command.program;
        let say = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let meta = std::fs::metadata(path).map_err(|why| say(&why))?;
        if !meta.is_file() || meta.mode() & 0o111 == 0 {
            return Err(say(&"is no program that can be run"));
        }
        if meta.mode() & 0o002 != 0 {
            return Err(say(&"everybody on this machine can write it: chmod o-w"));
        }
        Ok(Self { name: name.to_owned(), command: command.clone() })
    }

    fn ask(
        &self,
        question: &serde_json::Value,
        until: Instant,
        steps: &mut Steps,
    ) -> Result<Said, Failed> {
        let begun = Instant::now();
        let asked = format!("{} {question}", self.command.program.display());
        let run = self.run(question, until);
        let (outcome, bytes) = match &run {
            Ok(output) => (format!("status {}", output.status), output.out.len()),
            Err(failed) => (failed.fault.to_string(), 0),
        };
        steps.exchanges.push(Exchange { asked, outcome, took: begun.elapsed(), bytes });
        let output = run?;
        let heard = String::from_utf8_lossy(&output.err);
        if !heard.trim().is_empty() {
            let said = Safe(heard.trim()).to_string();
            tracing::warn!(tracker = self.name, status = output.status, %said, "the tracker's program");
        }
        if output.status != "0" {
            return Err(Failed::trouble(
                format!("the program ended with status {}", output.status),
                "run it by hand; what it says on standard error is in the journal",
            ));
        }
        understood(&output.out)
    }

    /// Runs the program: no shell, nothing of the daemon's environment, a process group of its own, all
    /// of which is gone when this returns.
    fn run(&self, question: &serde_json::Value, until: Instant) -> Result<Output, Failed> {
        let program = self.command.program.as_path();
        let mut command = Command::new(program);
        command.args(&self.command.arguments).env_clear().env("PATH", PATH).current_dir("/");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let child = command.spawn().map_err(|why| {
            let what = format!("{}: {why}", program.display());
            Failed::trouble(what, "can the daemon's user run it?")
        })?;
        let mut group = Group(child);
        let limit = self.command.limits.deadline;
        let slow = || {
            let why = format!("the program did not end within {limit}");
            Failed::trouble(why, "raise deadline in ca.toml, or see what holds it up")
        };
        let broken = |why: std::io::Error| Failed::trouble(why.to_string(), "try again");
        let pipes =
            Pipes::of(&mut group.0, format!("{question}\n").into_bytes()).map_err(broken)?;
        match pipes.run(until).map_err(broken)? {
            None => Err(slow()),
            Some(Output { out, .. }) if out.len() > super::http_client::BODY => {
                Err(Failed::unreadable("the program says more than 512 KiB", "have it say less"))
            }
            Some(output) => Ok(output),
        }
    }
}

/// A program and all that it started. The leader is reaped last, so that the group's number is no other's.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(group) = pid {
            // Whoever has ended already needs no signal.
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        }
        self.0.wait().ok();
    }
}

/// Where a script's interpreter is looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

fn understood(out: &[u8]) -> Result<Said, Failed> {
    let wrong = |why: String| {
        let why = format!("the program's answer: {}", Safe(&why));
        Failed::unreadable(
            why,
            "{\"v\":1,\"ticket\":{\"id\":\"OPS-7\",\"state\":\"open\"}} is an answer",
        )
    };
    let value = json::parse(out).map_err(&wrong)?;
    let said: Said = serde_json::from_value(value).map_err(|why| wrong(why.to_string()))?;
    let Said { ticket, absent, hidden, moved, ids, done, fault, .. } = &said;
    let there = [
        ticket.is_some(),
        *absent,
        *hidden,
        moved.is_some(),
        ids.is_some(),
        *done,
        fault.is_some(),
    ];
    if said.v != 1 || there.iter().filter(|there| **there).count() != 1 {
        return Err(wrong(
            "not \"v\":1 and one of ticket, absent, hidden, moved, ids, done, fault".to_owned(),
        ));
    }
    let Some(fault) = fault else { return Ok(said) };
    let why = Safe(said.why.as_deref().unwrap_or("the program says so")).to_string();
    Err(match fault {
        FaultSaid::Away => Failed::trouble(why, "the program says so"),
        FaultSaid::Credentials => Failed::credentials(why, "the program says so"),
        FaultSaid::Unreadable => Failed::unreadable(why, "the program says so"),
    })
}

fn other() -> Failed {
    Failed::unreadable("the program's answer is one to another question", "see what it was asked")
}

impl Calls for CommandTracker {
    fn read(&self, id: &TicketId, until: Instant, steps: &mut Steps) -> Result<Answer, Failed> {
        let said = self.ask(&json!({"v": 1, "ask": "read", "id": id.as_str()}), until, steps)?;
        match said {
            Said { absent: true, .. } => Ok(Answer::Absent),
            Said { hidden: true, .. } => Ok(Answer::Hidden),
            Said { moved: Some(to), .. } => Ok(Answer::Moved(to)),
            Said { ticket: Some(ticket), .. } if ticket.id != id.as_str() => {
                Ok(Answer::Moved(ticket.id))
            }
            Said { ticket: Some(ticket), .. } => seen(ticket).map(Answer::Ticket),
            _ => Err(other()),
        }
    }

    fn open_of(&self, assignee: &str, until: Instant) -> Result<Option<Vec<TicketId>>, Failed> {
        if !self.command.open_of {
            return Ok(None);
        }
        let question = json!({"v": 1, "ask": "open_of", "assignee": assignee});
        let ids = self.ask(&question, until, &mut Steps::default())?.ids.ok_or_else(other)?;
        Ok(Some(ids.iter().take(10).filter_map(|id| id.parse().ok()).collect()))
    }

    fn takes(&self, occasion: Occasion) -> bool {
        self.command.on.contains(&occasion)
    }

    fn comment(&self, id: &TicketId, text: &str, until: Instant) -> Result<(), Failed> {
        let question = json!({"v": 1, "ask": "comment", "id": id.as_str(), "text": text});
        let said = self.ask(&question, until, &mut Steps::default())?;
        if said.done { Ok(()) } else { Err(other()) }
    }
}

fn seen(ticket: TicketSaid) -> Result<TicketSeen, Failed> {
    let state = match ticket.state {
        StateSaid::Open => TicketState::Open,
        StateSaid::Pending => TicketState::Pending,
        StateSaid::Closed => TicketState::Closed,
    };
    let TicketSaid { said, title, assignee, priority, labels, hosts, .. } = ticket;
    let short = [&said, &assignee, &priority].into_iter().flatten().chain(&labels).chain(&hosts);
    if short.into_iter().any(|text| text.len() > 256) || labels.len() > 256 || hosts.len() > 256 {
        return Err(Failed::unreadable(
            "the ticket has more than 256 of something",
            "have it say less",
        ));
    }
    Ok(TicketSeen {
        state,
        said: said.unwrap_or_else(|| state.word().to_owned()),
        title: title.chars().take(256).collect(),
        assignee: assignee.filter(|alias| !alias.is_empty()),
        priority,
        labels,
        hosts,
        window: window(ticket.window_from.as_deref(), ticket.window_until.as_deref())?,
    })
}
