//! Access, as a table for people, as CSV for spreadsheets, as JSON for programs: written as it is found.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};

use serde_json::{Value, json};

use super::line;
use crate::audit::tell::ascii;
use crate::certificate::names::{HostName, Login, PersonName};
use crate::certificate::safe::Safe;
use crate::config::ConfigError;
use crate::config::hosts::Host;
use crate::config::snapshot::hex;
use crate::decide::{PolicyFault, Terms};
use crate::review::access::{Access, Kind, Review, What};
use crate::review::group::Places;
use crate::review::moment::Source;

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Grouped by person, for people.
    Table,
    /// A line for each person, account and offer.
    Csv,
    /// An array with an object for each of them.
    Json,
}

/// Why it was not written to its end.
#[derive(Debug)]
pub enum NotWritten {
    /// The policy cannot be evaluated.
    Policy(PolicyFault),
    /// Nobody takes it.
    Io(io::Error),
}

impl From<PolicyFault> for NotWritten {
    fn from(why: PolicyFault) -> Self {
        Self::Policy(why)
    }
}

impl From<io::Error> for NotWritten {
    fn from(why: io::Error) -> Self {
        Self::Io(why)
    }
}

impl std::fmt::Display for NotWritten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Policy(why) => write!(f, "{why}"),
            Self::Io(why) => write!(f, "stdout: {why}"),
        }
    }
}

impl From<NotWritten> for ConfigError {
    fn from(why: NotWritten) -> Self {
        Self::new(why.to_string())
    }
}

/// Writes all of it; how many people, and how many accounts, an account counted once for each person or
/// shift and offer.
pub fn write(
    review: &Review<'_>,
    format: Format,
    to: &mut dyn Write,
) -> Result<(usize, usize), NotWritten> {
    match format {
        Format::Table => table(review, to),
        Format::Csv => csv(review, to),
        Format::Json => json(review, to),
    }
}

fn table(review: &Review<'_>, to: &mut dyn Write) -> Result<(usize, usize), NotWritten> {
    for line in review.moment().source.lines() {
        writeln!(to, "{line}")?;
    }
    for lock in review.moment().locks.iter() {
        writeln!(to, "{lock}")?;
    }
    let places = Places::of(review.hosts().iter().copied());
    let mut counted = Counted::default();
    review.each(|access| {
        let person = access.person;
        if counted.is_new(&access) {
            let groups: Vec<&str> = person.groups.iter().map(|group| group.as_str()).collect();
            let what = match (access.kind, groups.as_slice()) {
                (Kind::Shift, _) => "whoever's shift it is".to_owned(),
                (_, []) => kind(&access).to_owned(),
                (_, groups) => format!("{}, in {}", kind(&access), groups.join(", ")),
            };
            writeln!(to, "\n{} ({what})", person.name)?;
            for lock in access.locked {
                writeln!(to, "  locked: {lock}")?;
            }
        }
        match &access.what {
            What::Desk(leave) => {
                counted.accounts += 1;
                writeln!(to, "  {} at the desk, by {}", leave.act, leave.id)?;
                for need in &leave.needs {
                    writeln!(to, "    needs {}", Safe(need))?;
                }
                for forbid in &leave.forbids {
                    writeln!(to, "    unless {forbid} forbids it")?;
                }
            }
            What::Accounts { offer, forbids, accounts: all } => {
                for (login, hosts) in all {
                    counted.accounts += hosts.len();
                    let names: BTreeSet<HostName> = hosts
                        .iter()
                        .filter_map(|at| review.hosts().get(*at))
                        .map(|host| host.name.clone())
                        .collect();
                    let terms = offer.terms.as_ref().map_or(String::new(), said);
                    writeln!(to, "  {}, by {}: {terms}", places.accounts(login, &names), offer.id)?;
                    let locked: BTreeSet<&str> =
                        hosts.iter().filter_map(|at| review.lock_on(*at, login)).collect();
                    for lock in locked {
                        writeln!(to, "    locked: {lock}")?;
                    }
                }
                for need in &offer.needs {
                    writeln!(to, "    needs {}", Safe(need))?;
                }
                for forbid in *forbids {
                    writeln!(to, "    unless {forbid} forbids it")?;
                }
            }
        }
        Ok::<(), NotWritten>(())
    })?;
    Ok((counted.people, counted.accounts))
}

/// An offer's terms in a few words.
fn said(terms: &Terms) -> String {
    let mut said = format!("{} certificates within {}", terms.ttl, terms.period);
    for (name, value) in more(terms) {
        if !value.is_empty() {
            said += &format!(", {name} {}", Safe(&value));
        }
    }
    said
}

/// Its terms but for how long.
fn more(terms: &Terms) -> [(&'static str, String); 5] {
    let list = |all: Vec<String>| all.join(" ");
    [
        ("extensions", list(terms.extensions.iter().map(ToString::to_string).collect())),
        ("source_address", list(terms.source_address.iter().map(ToString::to_string).collect())),
        ("force_command", terms.force_command.clone().unwrap_or_default()),
        ("delivery", terms.delivery.map_or(String::new(), |only| only.to_string())),
        (
            "limit",
            terms
                .limit
                .map_or(String::new(), |limit| format!("{} per {}", limit.count, limit.span)),
        ),
    ]
}

/// The columns of the CSV, in order; of an object of the JSON the members.
const COLUMNS: [&str; 22] = [
    "person",
    "kind",
    "groups",
    "account",
    "login",
    "host",
    "tags",
    "offer",
    "ttl",
    "period",
    "extensions",
    "source_address",
    "force_command",
    "delivery",
    "limit",
    "needs",
    "unless_forbidden_by",
    "locked",
    "as_of",
    "policy",
    "people",
    "hosts",
];

/// Where the row is from: when, and of each text the entry and the hash.
fn from(source: &Source) -> Vec<String> {
    let text = |(_, hash, entry): &(&str, _, Option<u64>)| {
        let entry = entry.map_or("not in the ledger".to_owned(), |at| format!("entry {at}"));
        format!("{entry} sha256 {}", hex(*hash))
    };
    std::iter::once(source.time.to_string()).chain(source.texts.iter().map(text)).collect()
}

fn csv(review: &Review<'_>, to: &mut dyn Write) -> Result<(usize, usize), NotWritten> {
    to.write_all(line(COLUMNS).as_bytes())?;
    let source = from(&review.moment().source);
    let end = line(source.iter().map(String::as_str));
    // An account's own cells: account, login, host, tags.
    let places = each_place(review, |login, host| {
        let tags: Vec<&str> = host.tags.iter().map(|tag| tag.as_str()).collect();
        let name = format!("{login}@{}", host.name);
        cells(&[&name, login.as_str(), host.name.as_str(), &tags.join(" ")])
    });
    let mut counted = Counted::default();
    review.each(|access| {
        counted.is_new(&access);
        let (person, person_locks) = (access.person, access.locked.join("; "));
        let groups: Vec<&str> = person.groups.iter().map(|group| group.as_str()).collect();
        let groups = groups.join(" ");
        match &access.what {
            What::Desk(leave) => {
                counted.accounts += 1;
                let (at, needs) = (format!("desk: {}", leave.act), leave.needs.join("; "));
                let forbids = ids(&leave.forbids);
                let mut cells = vec![person.name.as_str(), kind(&access), &groups, &at, "", "", ""];
                cells.extend([leave.id.as_str(), "", "", "", "", "", "", ""]);
                cells.extend([needs.as_str(), &forbids, &person_locks]);
                row(to, &cells, &end)
            }
            What::Accounts { offer, forbids, accounts } => {
                let Some(terms) = &offer.terms else { return Ok(()) };
                // Of many rows most is the same: it is written once.
                let (ttl, period) = (terms.ttl.to_string(), terms.period.to_string());
                let [extensions, source, command, delivery, limit] = more(terms).map(|(_, v)| v);
                let (needs, forbids) = (offer.needs.join("; "), ids(forbids));
                let before = cells(&[person.name.as_str(), kind(&access), &groups]);
                let after = cells(&[
                    offer.id.as_str(),
                    &ttl,
                    &period,
                    &extensions,
                    &source,
                    &command,
                    &delivery,
                    &limit,
                    &needs,
                    &forbids,
                ]);
                for (login, hosts) in accounts {
                    for at in hosts {
                        let Some(place) = places.get(&(*at, *login)) else { continue };
                        counted.accounts += 1;
                        let locked = locked(review, *at, login, &person_locks);
                        let locked = cells(&[&locked]);
                        for part in [&before, place, &after, &locked] {
                            to.write_all(part.as_bytes())?;
                            to.write_all(b",")?;
                        }
                        to.write_all(end.as_bytes())?;
                    }
                }
                Ok(())
            }
        }
    })?;
    Ok((counted.people, counted.accounts))
}

/// Something for each account of each host.
fn each_place<'r>(
    review: &Review<'r>,
    of: impl Fn(&Login, &Host) -> String,
) -> HashMap<(usize, &'r Login), String> {
    let hosts = review.hosts().iter().enumerate();
    let places = hosts.flat_map(|(at, host)| {
        let host: &'r Host = host;
        host.accounts.iter().map(move |login| (at, login, host))
    });
    places.map(|(at, login, host)| ((at, login), of(login, host))).collect()
}

/// Cells without the end of a line.
fn cells(all: &[&str]) -> String {
    let mut text = line(all.iter().copied());
    text.truncate(text.len() - "\r\n".len());
    text
}

fn row(to: &mut dyn Write, cells: &[&str], end: &str) -> Result<(), NotWritten> {
    Ok(to.write_all(format!("{},{end}", self::cells(cells)).as_bytes())?)
}

fn json(review: &Review<'_>, to: &mut dyn Write) -> Result<(usize, usize), NotWritten> {
    let source = &review.moment().source;
    let text = |(_, hash, entry): &(&str, crate::ledger::tree::Hash, Option<u64>)| json!({ "sha256": hex(*hash), "entry": entry });
    let [policy, people, hosts] = source.texts.each_ref().map(text);
    let whence = json!({
        "as_of": source.time, "policy": policy, "people": people, "hosts": hosts,
    });
    let dated = |mut object: Value| {
        if let (Some(object), Value::Object(whence)) = (object.as_object_mut(), &whence) {
            object.extend(whence.clone());
        }
        ascii(&object).trim_end().to_owned()
    };
    let mut counted = Counted::default();
    // An account's own members, up to the next one.
    let places = each_place(review, |login, host| {
        let name = format!("{login}@{}", host.name);
        let own = json!({ "account": name, "login": login, "host": host.name, "tags": host.tags });
        let own = ascii(&own);
        format!("{},", own.trim_end().strip_suffix('}').unwrap_or_default())
    });
    let mut first = true;
    to.write_all(b"[")?;
    review.each(|access| {
        counted.is_new(&access);
        let person = access.person;
        match &access.what {
            What::Desk(leave) => {
                counted.accounts += 1;
                let object = dated(json!({
                    "person": person.name, "kind": kind(&access), "groups": person.groups,
                    "desk": leave.act, "offer": leave.id, "needs": leave.needs,
                    "unless_forbidden_by": leave.forbids, "locked": access.locked,
                }));
                let comma = if std::mem::take(&mut first) { "\n" } else { ",\n" };
                Ok(write!(to, "{comma}{object}")?)
            }
            What::Accounts { offer, forbids, accounts } => {
                let limit = offer.terms.as_ref().and_then(|terms| terms.limit);
                let limit = limit
                    .map(|limit| json!({ "count": limit.count, "span": limit.span.as_secs() }));
                // Of many objects most is the same: it is written once.
                let shared = dated(json!({
                    "person": person.name, "kind": kind(&access), "groups": person.groups,
                    "offer": offer.id, "why": offer.why, "terms": offer.terms, "limit": limit,
                    "needs": offer.needs, "conditions": offer.conditions,
                    "unless_forbidden_by": forbids,
                }));
                let shared = shared.strip_prefix('{').unwrap_or_default();
                for (login, hosts) in accounts {
                    for at in hosts {
                        let Some(place) = places.get(&(*at, *login)) else { continue };
                        counted.accounts += 1;
                        let mut locks = access.locked.to_vec();
                        locks.extend(review.lock_on(*at, login).map(str::to_owned));
                        let locks = ascii(&json!(locks));
                        let comma = if std::mem::take(&mut first) { "\n" } else { ",\n" };
                        for part in [comma, place, "\"locked\":", locks.trim_end(), ",", shared] {
                            to.write_all(part.as_bytes())?;
                        }
                    }
                }
                Ok::<(), NotWritten>(())
            }
        }
    })?;
    to.write_all(b"\n]\n")?;
    Ok((counted.people, counted.accounts))
}

#[derive(Default)]
struct Counted {
    people: usize,
    accounts: usize,
    last: Option<(Kind, PersonName)>,
}

impl Counted {
    /// Whether this is somebody else than the one before.
    fn is_new(&mut self, access: &Access<'_>) -> bool {
        let who = (access.kind, &access.person.name);
        let new = self.last.as_ref().is_none_or(|(kind, name)| (*kind, name) != who);
        if new {
            self.last = Some((access.kind, access.person.name.clone()));
            self.people += usize::from(access.kind != Kind::Shift);
        }
        new
    }
}

fn kind(access: &Access<'_>) -> &'static str {
    match access.kind {
        Kind::Person => "person",
        Kind::Service => "service",
        Kind::Shift => "shift",
    }
}

fn ids(all: &[crate::certificate::names::OfferId]) -> String {
    all.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(" ")
}

fn locked(review: &Review<'_>, host: usize, login: &Login, person: &str) -> String {
    match (review.lock_on(host, login), person) {
        (None, person) => person.to_owned(),
        (Some(lock), "") => lock.to_owned(),
        (Some(lock), person) => format!("{person}; {lock}"),
    }
}
