//! What a tracker's JSON says of a ticket: nothing is guessed, and what has the wrong type is a fault.

use std::collections::BTreeSet;

use serde_json::Value;

use super::TicketSeen;
use super::trial::{Failed, Found, Steps};
use crate::certificate::safe::Safe;
use crate::certificate::time::UnixTime;
use crate::config::pointer::{Pointer, kind};
use crate::config::tracker_http::{Fields, Followed, Http, States};
use crate::decide::facts::{TicketState, Window};

/// The texts of a ticket, before they mean anything.
pub(super) struct Texts {
    pub(super) id: String,
    pub(super) title: Option<String>,
    pub(super) state: String,
    pub(super) said: Option<String>,
    pub(super) assignee: Option<String>,
    pub(super) priority: Option<String>,
    pub(super) window_from: Option<String>,
    pub(super) window_until: Option<String>,
    labels: BTreeSet<String>,
    hosts: BTreeSet<String>,
}

/// The most labels, and the most hosts.
const MOST: usize = 256;

/// The longest text but a title, which is cut.
const LONGEST: usize = 256;

impl Texts {
    /// Finds what the mapping says where to find.
    pub(super) fn find(fields: &Fields, root: &Value, steps: &mut Steps) -> Result<Self, Failed> {
        let mut find = Find { root, steps };
        let id = find.must("id", &fields.id)?;
        let title = find.one("title", fields.title.as_ref())?;
        let state = find.must("state", &fields.state)?;
        let said = find.one("said", fields.said.as_ref())?;
        let assignee = find.one("assignee", fields.assignee.as_ref())?;
        let priority = find.one("priority", fields.priority.as_ref())?;
        let labels = find.all("labels", fields.labels.as_ref())?;
        let named = find.all("hosts", fields.hosts.as_ref())?;
        let words = named.iter().flat_map(|text| text.split([',', ';', ' ', '\t', '\r', '\n']));
        let hosts: BTreeSet<String> =
            words.filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect();
        // A ticket that names no host covers all: what is there must not come to nothing.
        if hosts.is_empty() && !named.is_empty() {
            let why = "hosts is there and names no host";
            return Err(Failed::unreadable(
                why,
                "have it name hosts, with commas or blanks between",
            ));
        }
        let window_from = find.one("window_from", fields.window_from.as_ref())?;
        let window_until = find.one("window_until", fields.window_until.as_ref())?;
        Ok(Self {
            id,
            title,
            state,
            said,
            assignee,
            priority,
            window_from,
            window_until,
            labels: labels.into_iter().collect(),
            hosts,
        })
    }

    /// The value that a second request is about.
    pub(super) fn of(&self, field: Followed) -> Option<&str> {
        match field {
            Followed::State => Some(&self.state),
            Followed::Title => self.title.as_deref(),
            Followed::Said => self.said.as_deref(),
            Followed::Assignee => self.assignee.as_deref(),
            Followed::Priority => self.priority.as_deref(),
            Followed::WindowFrom => self.window_from.as_deref(),
            Followed::WindowUntil => self.window_until.as_deref(),
        }
    }

    /// What that request found, in its place.
    pub(super) fn replace(&mut self, field: Followed, by: Option<String>) -> Result<(), Failed> {
        let place = match field {
            Followed::Title => &mut self.title,
            Followed::Said => &mut self.said,
            Followed::Assignee => &mut self.assignee,
            Followed::Priority => &mut self.priority,
            // A bound that was there must not vanish.
            Followed::State | Followed::WindowFrom | Followed::WindowUntil => {
                let nothing =
                    || Failed::unreadable("a second request found nothing", "mend follow");
                let by = by.ok_or_else(nothing)?;
                match field {
                    Followed::WindowFrom => self.window_from = Some(by),
                    Followed::WindowUntil => self.window_until = Some(by),
                    _ => self.state = by,
                }
                return Ok(());
            }
        };
        *place = by;
        Ok(())
    }

    /// What they mean.
    pub(super) fn understand(self, http: &Http) -> Result<TicketSeen, Failed> {
        let Self { title, state: word, said, assignee, priority, labels, mut hosts, .. } = self;
        let state = meaning(&http.states, &word)?;
        if let Some(prefix) = &http.host_label {
            let named = labels.iter().filter_map(|label| label.strip_prefix(prefix.as_str()));
            hosts.extend(named.map(|name| name.trim().to_ascii_lowercase()));
            if hosts.contains("") {
                let why = format!("the label {prefix:?} names no host");
                return Err(Failed::unreadable(why, "have it name one, or take it away"));
            }
        }
        if hosts.len() > MOST {
            return Err(Failed::unreadable(
                format!("it names more than {MOST} hosts"),
                "name fewer",
            ));
        }
        let window = window(self.window_from.as_deref(), self.window_until.as_deref())?;
        let title = title.unwrap_or_default().chars().take(LONGEST).collect();
        let said = said.unwrap_or(word);
        Ok(TicketSeen { state, said, title, assignee, priority, labels, hosts, window })
    }
}

/// Looks at one answer, and writes down what is found.
struct Find<'f> {
    root: &'f Value,
    steps: &'f mut Steps,
}

impl Find<'_> {
    fn must(&mut self, field: &'static str, pointer: &Pointer) -> Result<String, Failed> {
        let there = self.one(field, Some(pointer))?;
        there.ok_or_else(|| {
            Failed::unreadable(
                format!("{field} is not in the answer at {}", pointer.as_str()),
                format!("mend fields.{field}: {}", pointer.missed(self.root)),
            )
        })
    }

    fn one(&mut self, field: &'static str, at: Option<&Pointer>) -> Result<Option<String>, Failed> {
        let Some(pointer) = at else { return Ok(None) };
        note(self.steps, field, pointer, self.root);
        let value = pointer.one(self.root).map_err(|why| astray(field, pointer, &why))?;
        value.map_or(Ok(None), |value| text(field, pointer, value))
    }

    fn all(&mut self, field: &'static str, at: Option<&Pointer>) -> Result<Vec<String>, Failed> {
        let Some(pointer) = at else { return Ok(Vec::new()) };
        note(self.steps, field, pointer, self.root);
        let values = pointer.find(self.root).map_err(|why| astray(field, pointer, &why))?;
        if values.len() > MOST {
            let why = format!("it has more than {MOST} {field}");
            return Err(Failed::unreadable(why, "have fewer"));
        }
        let texts = values.into_iter().map(|value| text(field, pointer, value));
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        if pointer.is_several() && texts.iter().any(Option::is_none) {
            let why = format!("an element of {field} at {} is empty", pointer.as_str());
            return Err(Failed::unreadable(why, "mend it in the ticket, or the pointer"));
        }
        Ok(texts.into_iter().flatten().collect())
    }
}

/// Something is in a pointer's way.
fn astray(field: &str, pointer: &Pointer, why: &str) -> Failed {
    Failed::unreadable(
        format!("{field}: {why}, and {} goes on", pointer.as_str()),
        format!("mend fields.{field}: it must lead through what is there"),
    )
}

/// Writes down what a pointer finds.
pub(super) fn note(steps: &mut Steps, field: &'static str, pointer: &Pointer, root: &Value) {
    let there = match pointer.find(root).as_deref() {
        Err(why) => format!("nothing; {why}"),
        Ok([]) => format!("nothing; {}", pointer.missed(root)),
        Ok([one]) if !pointer.is_several() => one.to_string(),
        Ok(several) => {
            Value::Array(several.iter().map(|value| (*value).clone()).collect()).to_string()
        }
    };
    let pointer = pointer.as_str().to_owned();
    steps.found.push(Found { field, pointer, there });
}

/// What a pointer of the mapping's other parts leads to.
pub(super) fn lead<'v>(
    field: &'static str,
    pointer: &Pointer,
    root: &'v Value,
) -> Result<Option<&'v Value>, Failed> {
    pointer.one(root).map_err(|why| astray(field, pointer, &why))
}

/// A value as text: text, a number, true or false. Nothing, `null` and an empty text are nothing.
pub(super) fn text(
    field: &str,
    pointer: &Pointer,
    value: &Value,
) -> Result<Option<String>, Failed> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Array(_) | Value::Object(_) => {
            let (at, what) = (pointer.as_str(), kind(value));
            let more = match value {
                Value::Array(_) if matches!(field, "labels" | "hosts") => format!("{at}/*"),
                Value::Array(_) => format!("{at}/0"),
                _ => format!("{at}/NAME; {at} has {}", names(value)),
            };
            return Err(Failed::unreadable(
                format!("{field} at {at} is {what}, not text"),
                format!("have fields.{field} lead to text or a number: {more}"),
            ));
        }
    };
    if text.len() > LONGEST && field != "title" {
        let at = pointer.as_str();
        return Err(Failed::unreadable(
            format!("{field} at {at} is longer than {LONGEST} bytes"),
            format!("have fields.{field} lead to the name alone"),
        ));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// The names in an object.
fn names(value: &Value) -> String {
    let names = value.as_object().into_iter().flat_map(|members| members.keys());
    let names: Vec<&str> = names.take(30).map(String::as_str).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn meaning(states: &States, word: &str) -> Result<TicketState, Failed> {
    let has = |words: &[String]| words.iter().any(|one| one == word);
    match (has(&states.open), has(&states.pending), has(&states.closed)) {
        (true, ..) => Ok(TicketState::Open),
        (_, true, _) => Ok(TicketState::Pending),
        (_, _, true) => Ok(TicketState::Closed),
        _ => Err(Failed::unreadable(
            format!("state {} means nothing here", Safe(&format!("{word:?}"))),
            format!(
                "put {} into open, pending or closed of [tracker.states]",
                Safe(&format!("{word:?}"))
            ),
        )),
    }
}

/// From when until when; where one end is not said, that side is not bounded.
pub(super) fn window(from: Option<&str>, until: Option<&str>) -> Result<Option<Window>, Failed> {
    if from.is_none() && until.is_none() {
        return Ok(None);
    }
    let read = |field: &str, text: Option<&str>, unsaid: UnixTime| {
        let Some(text) = text else { return Ok(unsaid) };
        moment(text).ok_or_else(|| {
            Failed::unreadable(
                format!("{field} {} is no time", Safe(&format!("{text:?}"))),
                "times are 2026-11-22T05:00:00Z, \"2026-11-22 05:00:00\" in UTC, or seconds since 1970",
            )
        })
    };
    let from = read("window_from", from, UnixTime::default())?;
    let until = read("window_until", until, UnixTime::MAX)?;
    if until <= from {
        let why = format!("the window ends at {until}, and begins at {from}");
        return Err(Failed::unreadable(why, "mend it in the ticket"));
    }
    Ok(Some(Window { from, until }))
}

fn moment(text: &str) -> Option<UnixTime> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        let secs: u64 = text.parse().ok()?;
        return (secs < UnixTime::MAX.secs()).then(|| UnixTime::from_secs(secs));
    }
    let stamp = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        // Without a zone it is UTC; a date alone is no moment.
        let timed = text.len() > 10;
        timed.then(|| civil.to_zoned(jiff::tz::TimeZone::UTC).ok())?.map(|zoned| zoned.timestamp())
    })?;
    u64::try_from(stamp.as_second()).ok().map(UnixTime::from_secs)
}
