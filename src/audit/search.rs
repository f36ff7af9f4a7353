//! `audit search`: entries that a query fits, newest first.

use std::time::Instant;

use super::entry::Entry;
use crate::certificate::names::{Login, PersonName, RequestId, TicketId};
use crate::certificate::time::{Span, UnixTime};
use crate::config::hosts::Hosts;
use crate::ledger::store::{Store, StoreError};

/// What an entry must be to be found: all that is said.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Who asked, or did it.
    pub person: Option<PersonName>,
    /// The account.
    pub account: Account,
    /// The ticket.
    pub ticket: Option<TicketId>,
    /// The certificate's serial.
    pub serial: Option<u64>,
    /// The request.
    pub request: Option<RequestId>,
    /// The fingerprint of the key that was proved, or certified.
    pub key: Option<String>,
    /// Not before.
    pub since: Option<UnixTime>,
    /// Not after.
    pub until: Option<UnixTime>,
    /// See [`Entry::outcome`].
    pub outcome: Option<String>,
    /// The kind's word.
    pub kind: Option<String>,
    /// Below this index.
    pub before: Option<u64>,
    /// How many at most.
    pub limit: usize,
}

/// An account, or half of one. The host is a canonical name, where it is known.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// The login.
    pub login: Option<Login>,
    /// The host.
    pub host: Option<String>,
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// The entries, newest first.
    pub entries: Vec<Entry>,
    /// Whether the search ended before the ledger did.
    pub rest: Rest,
}

/// What lies before the entries that were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Nothing that fits.
    Nothing,
    /// More that fit, below this index.
    More(u64),
    /// Nobody knows: the time was up before the entries below this index were read.
    Unread(u64),
}

/// How far an entry's time may lie before that of an older entry: a clock that was set back, and what
/// was decided first and written second. Entries are read so far beyond `since`.
const SLACK: Span = Span::secs(86_400);

/// Finds entries. `deadline`: when to stop, for searches that others wait for.
pub fn search(
    store: &Store,
    hosts: &Hosts,
    query: &Query,
    deadline: Option<Instant>,
) -> Result<Found, StoreError> {
    if let Some(serial) = query.serial {
        let row = serial.checked_sub(1).map(|index| store.entry(index)).transpose()?.flatten();
        let entry = row.map(|row| Entry::read(row.index, &row.leaf, row.facts.as_deref()));
        let entries = entry.filter(|entry| query.fits(entry, hosts)).into_iter().collect();
        return Ok(Found { entries, rest: Rest::Nothing });
    }
    let needles = query.needles();
    let horizon = query.since.map(|since| since.minus(SLACK));
    let (mut entries, mut rest) = (Vec::new(), Rest::Nothing);
    let mut lowest = None;
    let mut looked = 0u32;
    store.each_below(query.before.unwrap_or(u64::MAX), |index, leaf, facts| {
        looked = looked.wrapping_add(1);
        if looked.is_multiple_of(256) && deadline.is_some_and(|end| Instant::now() > end) {
            rest = Rest::Unread(index + 1);
            return false;
        }
        if !may_fit(&needles, facts) {
            return true;
        }
        let entry = Entry::read(index, leaf, facts);
        if entry.time().zip(horizon).is_some_and(|(time, horizon)| time < horizon) {
            return false;
        }
        if !query.fits(&entry, hosts) {
            return true;
        }
        if entries.len() >= query.limit {
            rest = lowest.map_or(Rest::Nothing, Rest::More);
            return false;
        }
        lowest = Some(index);
        entries.push(entry);
        true
    })?;
    Ok(Found { entries, rest })
}

impl Query {
    /// Whether an entry is what is looked for.
    fn fits(&self, entry: &Entry, hosts: &Hosts) -> bool {
        let fits =
            |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        let among =
            |wanted: Option<&str>, are: &[&str]| wanted.is_none_or(|wanted| are.contains(&wanted));
        let between = |time: UnixTime| {
            self.since.is_none_or(|since| time >= since)
                && self.until.is_none_or(|until| time <= until)
        };
        let timed = self.since.is_none() && self.until.is_none();
        fits(&self.kind, &entry.kind)
            && fits(&self.outcome, entry.outcome())
            && self.serial.is_none_or(|serial| entry.serial() == Some(serial))
            && entry.time().map_or(timed, between)
            && among(self.person.as_ref().map(PersonName::as_str), &entry.people())
            && among(self.key.as_deref(), &entry.keys().collect::<Vec<_>>())
            && self.ticket.as_ref().is_none_or(|id| entry.ticket() == Some(id.as_str()))
            && self.request.as_ref().is_none_or(|id| entry.text("request") == Some(id.as_str()))
            && self.account.fits(entry, hosts)
    }

    /// Texts that the facts of whatever fits must hold as they stand, so that most entries need not be
    /// taken apart. Hosts are not among them: who was refused may have typed an alias.
    fn needles(&self) -> Vec<String> {
        let texts = [
            self.person.as_ref().map(PersonName::as_str),
            self.ticket.as_ref().map(TicketId::as_str),
            self.request.as_ref().map(RequestId::as_str),
            self.key.as_deref(),
        ];
        let whole = texts.into_iter().flatten().map(|text| format!("\"{text}\""));
        // Nothing around it: what was typed may name several accounts.
        whole.chain(self.account.login.as_ref().map(ToString::to_string)).collect()
    }
}

/// Whether facts may hold all of these texts. Where there is a backslash one can be spelled otherwise,
/// as somebody would who does not want to be found.
fn may_fit(needles: &[String], facts: Option<&[u8]>) -> bool {
    let text = facts.and_then(|facts| std::str::from_utf8(facts).ok());
    text.is_none_or(|text| {
        needles.iter().all(|needle| text.contains(needle.as_str())) || text.contains('\\')
    })
}

impl Account {
    /// Of a principal.
    pub fn read(principal: &str) -> Self {
        let (login, host) = match principal.split_once('@') {
            Some((login, host)) => (login, Some(host.to_owned())),
            None => (principal, None),
        };
        Self { login: login.parse().ok(), host }
    }

    /// Whether an entry is of this account.
    pub fn fits(&self, entry: &Entry, hosts: &Hosts) -> bool {
        if self.login.is_none() && self.host.is_none() {
            return true;
        }
        let canonical =
            |typed: &str| hosts.find(typed).map_or(typed.to_owned(), |host| host.name.to_string());
        let fits = |account: &str| {
            let (login, host) = match account.split_once('@') {
                Some((login, host)) => (login, Some(canonical(host))),
                None => (account, None),
            };
            self.login.as_ref().is_none_or(|wanted| wanted.as_str() == login)
                && (self.host.is_none() || self.host == host)
        };
        // What is of a host and no account: a lock of it, its certificate.
        let of_host = |host: &str| self.login.is_none() && self.host == Some(canonical(host));
        // `ssh ca HOST TICKET` names no login, and a refusal keeps what was typed.
        let typed = |account: &str| entry.kind == "refusal" && of_host(account);
        let accounts = entry.accounts();
        accounts.iter().any(|one| fits(one) || typed(one)) || entry.host().is_some_and(of_host)
    }
}
