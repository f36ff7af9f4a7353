//! Cases that a team keeps beside its policy: who asks for what under which circumstances, and what must
//! come of it.
//!
//! Each case becomes the facts of a decision and is put to [`decide`], or of a permission at the desk and
//! is put to [`permits`]: what they say is what the daemon would say.

mod facts;
mod file;

use std::collections::BTreeSet;
use std::path::Path;

use toml::Spanned;

use self::facts::{Builder, Put};
use self::file::{Case, Expect, File};
use crate::certificate::cidr::Cidr;
use crate::certificate::names::{GroupName, HostName, OfferId, TicketId};
use crate::certificate::safe::Safe;
use crate::certificate::time::{Span, UnixTime};
use crate::config::Deciding;
use crate::config::ca::Ca;
use crate::config::tracker::Tracker;
use crate::decide::office::{Permission, permits};
use crate::decide::statements::Sort;
use crate::decide::survey::{Stands, survey};
use crate::decide::{Decision, Extension, LoadError, Policy, Problems, Reason, Refusal, decide};

/// What the cases are put to.
pub struct Subject<'s> {
    /// Policy, people and hosts.
    pub deciding: &'s Deciding,
    /// `ca.toml`: its trackers say which ticket would be whose, its rotas which groups there are by shift.
    pub ca: &'s Ca,
    /// When a case is that does not say.
    pub now: UnixTime,
}

impl Subject<'_> {
    fn trackers(&self) -> &[Tracker] {
        &self.ca.tracker
    }

    /// Every group there is.
    fn groups(&self) -> BTreeSet<GroupName> {
        let by_shift = self.ca.on_call.iter().map(|one| one.group.clone());
        self.deciding.people.groups().iter().cloned().chain(by_shift).collect()
    }

    /// The name of the tracker that has a ticket.
    fn tracker(&self, id: &TicketId) -> Option<&HostName> {
        let takes = |tracker: &&Tracker| {
            tracker.ids.is_empty() || tracker.ids.iter().any(|pattern| pattern.fits(id))
        };
        self.trackers().iter().find(takes).map(|tracker| &tracker.name)
    }
}

/// What came of a case.
#[derive(Debug)]
pub struct Ran {
    /// The file it stands in.
    pub file: String,
    /// The line of its name.
    pub line: usize,
    /// What it is called.
    pub name: String,
    /// What came of each account it asks for, or of the act.
    pub came: Vec<Came>,
    /// What is not as expected; empty where all is.
    pub wrong: Vec<String>,
}

/// What came of one question.
#[derive(Debug)]
pub struct Came {
    /// What was asked, in words: `ana: deploy@web01 with OPS-7, open, ana's`.
    pub asked: String,
    /// The answer.
    pub answer: Answer,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Granted {
        /// The offer, or the desk's permit.
        by: OfferId,
        /// What a login gives.
        gives: Option<Given>,
    },
    /// No.
    Refused {
        /// The sentences.
        reasons: Vec<String>,
        /// The hint.
        hint: Option<String>,
        /// The forbids that apply.
        forbids: Vec<OfferId>,
    },
    /// It could not be decided.
    Fault(String),
}

/// What a grant gives.
#[derive(Debug, PartialEq, Eq)]
pub struct Given {
    /// A certificate's life.
    pub ttl: Span,
    /// The grant's length.
    pub period: Span,
    /// Its end.
    pub ends: UnixTime,
    /// What a session may do.
    pub extensions: BTreeSet<Extension>,
    /// The one command that runs.
    pub force_command: Option<String>,
    /// The networks it is good from; none for any.
    pub source_address: Vec<Cidr>,
}

/// Runs a file's cases. What is wrong with the file is an error, with line and caret.
pub fn run(subject: &Subject<'_>, path: &Path, text: &str) -> Result<Vec<Ran>, LoadError> {
    let name = path.display().to_string();
    let mut problems = Problems::new(&name, text);
    let Some(file) = File::read(text, &mut problems) else { return Err(problems.into_error()) };
    let mut puts = Vec::new();
    for case in &file.case {
        let mut builder =
            Builder { subject, file: &file, case: case.get_ref(), problems: &mut problems };
        puts.push((case, builder.put()));
    }
    if !problems.none() {
        return Err(problems.into_error());
    }
    let line = |case: &Spanned<Case>| {
        let before = text.get(..case.get_ref().name.span().start).unwrap_or_default();
        before.matches('\n').count() + 1
    };
    let ran = puts.into_iter().map(|(case, puts)| {
        let (came, wrong) = hold(&subject.deciding.policy, case.get_ref(), &puts);
        let called = case.get_ref().name.get_ref().clone();
        Ran { file: name.clone(), line: line(case), name: called, came, wrong }
    });
    Ok(ran.collect())
}

/// The statements that no case made decide: offers and permits under which nothing was granted, forbids
/// that no refusal named.
pub fn not_exercised(policy: &Policy, ran: &[Ran]) -> Vec<(Sort, OfferId)> {
    let mut used: BTreeSet<&OfferId> = BTreeSet::new();
    for came in ran.iter().flat_map(|one| &one.came) {
        match &came.answer {
            Answer::Granted { by, .. } => drop(used.insert(by)),
            Answer::Refused { forbids, .. } => used.extend(forbids),
            Answer::Fault(_) => {}
        }
    }
    let all = policy.statements().into_iter().filter(|one| !used.contains(&one.id));
    all.map(|one| (one.sort, one.id)).collect()
}

/// Puts a case's questions, and holds the answers against what is expected.
fn hold(policy: &Policy, case: &Case, puts: &[Put]) -> (Vec<Came>, Vec<String>) {
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    for put in puts {
        let answer = answer(policy, put);
        let mut differs = differs(case, &answer);
        if !differs.is_empty() {
            differs.extend(why_not(policy, case, put, &answer));
            let one = if puts.len() > 1 { format!("{}: ", put.about()) } else { String::new() };
            wrong.push(format!("{one}{}", differs.join("; ")));
        }
        all.push(Came { asked: put.asked(), answer });
    }
    // Of a whole tag's accounts the first says enough.
    if let [first, more @ ..] = wrong.as_slice()
        && !more.is_empty()
    {
        wrong = vec![format!("{first} (and {} more like it)", more.len())];
    }
    (all, wrong)
}

fn answer(policy: &Policy, put: &Put) -> Answer {
    match put {
        Put::Login(facts) => match decide(policy, facts) {
            Decision::Granted(grant) => Answer::Granted {
                by: grant.offer().clone(),
                gives: Some(Given {
                    ttl: grant.ttl(),
                    period: grant.period(),
                    ends: grant.ends(),
                    extensions: grant.terms().extensions.clone(),
                    force_command: grant.terms().force_command.clone(),
                    source_address: grant.terms().source_address.clone(),
                }),
            },
            // A forbid says no to what no offer is for, too: it is what stands behind.
            Decision::Refused(no) => refused(&no, policy.forbidding(facts)),
            Decision::Fault(why) => Answer::Fault(why.to_string()),
        },
        Put::Desk(matter) => match permits(policy, matter) {
            Permission::Permitted(by) => Answer::Granted { by, gives: None },
            Permission::Refused(no) => refused(&no, Vec::new()),
            Permission::Fault(why) => Answer::Fault(why.to_string()),
        },
    }
}

fn refused(no: &Refusal, forbidding: Vec<OfferId>) -> Answer {
    let forbids = no.reasons.iter().filter_map(|reason| match reason {
        Reason::Forbidden { policy, .. } => Some(policy.clone()),
        _ => None,
    });
    Answer::Refused {
        reasons: no.reasons.iter().map(ToString::to_string).collect(),
        hint: no.hint.clone(),
        forbids: forbids.chain(forbidding).collect(),
    }
}

/// What is not as expected.
fn differs(case: &Case, answer: &Answer) -> Vec<String> {
    let mut wrong = Vec::new();
    match (case.expect, answer) {
        (Expect::Granted, Answer::Granted { by, gives }) => {
            if let Some(wanted) = case.by.as_ref().map(Spanned::get_ref)
                && wanted != by
            {
                wrong.push(format!("expected granted by {wanted}, was granted by {by}"));
            }
            if let Some(gives) = gives {
                wrong.extend(gives_else(case, gives));
            }
        }
        (Expect::Refused, Answer::Refused { reasons, hint, .. }) => {
            if let Some(wanted) = case.reasons.as_ref().filter(|wanted| *wanted != reasons) {
                wrong.push(format!(
                    "expected the reasons {}, came {}",
                    list(wanted),
                    list(reasons)
                ));
            }
            if let Some(wanted) = &case.reason_has
                && !reasons.iter().any(|reason| reason.contains(wanted))
            {
                wrong.push(format!("expected a reason with {wanted:?}, came {}", list(reasons)));
            }
            if let Some(wanted) = case.hint.as_ref().filter(|wanted| Some(*wanted) != hint.as_ref())
            {
                let came = hint.as_deref().unwrap_or("none");
                wrong.push(format!(
                    "expected the hint {wanted:?}, came {:?}",
                    Safe(came).to_string()
                ));
            }
        }
        (Expect::Granted, Answer::Refused { reasons, .. }) => {
            let by = case.by.as_ref().map_or(String::new(), |by| format!(" by {}", by.get_ref()));
            wrong.push(format!("expected granted{by}, was refused: {}", reasons.join("; ")));
        }
        (Expect::Refused, Answer::Granted { by, gives }) => {
            let terms = gives.as_ref().map_or(String::new(), |gives| {
                format!(": {} certificates within {}", gives.ttl, gives.period)
            });
            wrong.push(format!("expected refused, was granted by {by}{terms}"));
        }
        (_, Answer::Fault(why)) => wrong.push(format!("it could not be decided: {}", Safe(why))),
    }
    wrong
}

/// What a grant gives that was not expected.
fn gives_else(case: &Case, given: &Given) -> Vec<String> {
    let Some(wanted) = &case.gives else { return Vec::new() };
    let mut wrong = Vec::new();
    let mut hold = |what: &str, wanted: Option<String>, came: String| {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != came) {
            wrong.push(format!("expected {what} {wanted}, came {came}"));
        }
    };
    hold("ttl", wanted.ttl.map(|span| span.to_string()), given.ttl.to_string());
    hold("period", wanted.period.map(|span| span.to_string()), given.period.to_string());
    hold("ends", wanted.ends.map(|time| time.to_string()), given.ends.to_string());
    let sorted = |all: BTreeSet<&str>| format!("{:?}", all.into_iter().collect::<Vec<_>>());
    let names =
        wanted.extensions.as_ref().map(|all| sorted(all.iter().map(String::as_str).collect()));
    hold("extensions", names, sorted(given.extensions.iter().map(|one| one.as_str()).collect()));
    let networks = wanted.source_address.as_ref();
    let networks = networks.map(|all| sorted(all.iter().map(String::as_str).collect()));
    let given_networks: Vec<String> =
        given.source_address.iter().map(ToString::to_string).collect();
    let given_networks = sorted(given_networks.iter().map(String::as_str).collect());
    hold("source_address", networks, given_networks);
    let command = given.force_command.as_deref().unwrap_or("none");
    hold("force_command", wanted.force_command.clone(), Safe(command).to_string());
    wrong
}

/// What the offer that should have decided misses, where another did.
fn why_not(policy: &Policy, case: &Case, put: &Put, answer: &Answer) -> Option<String> {
    let (Put::Login(facts), Some(by), Answer::Granted { .. }) = (put, &case.by, answer) else {
        return None;
    };
    let found = survey(policy, facts).ok()?;
    let one = found.offers.into_iter().find(|one| one.offer == *by.get_ref());
    let said = match one.map(|one| one.stands) {
        None => "it is for others".to_owned(),
        Some(Stands::Elsewhere(conditions)) => {
            format!("it needs {}", Safe(&conditions.join(" && ")))
        }
        Some(Stands::Missed(reasons)) => list(&reasons),
        Some(Stands::Behind(_)) => "it permits too, and stands behind".to_owned(),
        Some(Stands::Decides) => return None,
    };
    Some(format!("{}: {said}", by.get_ref()))
}

fn list(all: &[impl ToString]) -> String {
    format!("{:?}", all.iter().map(ToString::to_string).collect::<Vec<_>>())
}
