//! What an auditor types: the same words after `ssh ca audit` and after `hallpass audit`.

use std::fmt::Display;
use std::str::FromStr;

use clap::{Args, Subcommand};

use super::login::is_fingerprint;
use super::search::{Account, Query};
use crate::certificate::names::{Login, RequestId, TicketId};
use crate::certificate::safe::Safe;
use crate::certificate::time::{Span, UnixTime};
use crate::config::hosts::Hosts;
use crate::ledger::leaf::Kind;

/// The verbs that both have.
#[derive(Debug, Subcommand)]
pub enum AuditWords {
    /// Find entries, newest first
    Search(Box<SearchWords>),
    /// Tell the whole story of a request, or of the certificate with a serial
    Show(ShowWords),
}

/// What to find. All of it must hold.
#[derive(Debug, Default, Args)]
pub struct SearchWords {
    /// Who asked, or did it
    #[arg(long)]
    person: Option<String>,
    /// An account on a host
    #[arg(long, value_name = "LOGIN@HOST", conflicts_with_all = ["login", "host"])]
    account: Option<String>,
    /// An account on any host
    #[arg(long)]
    login: Option<String>,
    /// Any account on a host; by its name, an alias or an address
    #[arg(long)]
    host: Option<String>,
    /// A ticket's exact id
    #[arg(long, value_name = "ID")]
    ticket: Option<String>,
    /// The entry of a serial
    #[arg(long, value_name = "N")]
    serial: Option<String>,
    /// The entries of a request
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// A key's fingerprint: of the one that was proved, or certified
    #[arg(long, value_name = "SHA256:...")]
    key: Option<String>,
    /// Not before: a time, a date (in UTC), or a length of time ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Not after: the same; a date includes its day
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// issued, granted, ended, refused, locked, unlocked; of other kinds the kind itself
    #[arg(long, value_name = "WORD")]
    outcome: Option<String>,
    /// certificate, grant, end, refusal, lock, policy, people, hosts, key, break-glass ...
    #[arg(long)]
    kind: Option<String>,
    /// Entries before this index: how one goes on
    #[arg(long, value_name = "INDEX")]
    before: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value = "50")]
    limit: String,
}

/// Whose story.
#[derive(Debug, Args)]
pub struct ShowWords {
    /// A serial, as sshd logs it, or a request's id
    #[arg(value_name = "SERIAL|REQUEST")]
    what: String,
}

/// Whose story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Of the request whose certificate this is.
    Serial(u64),
    /// Of this request.
    Request(RequestId),
}

/// A word that was not understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Misread {
    /// What is wrong.
    pub what: String,
    /// What to type instead.
    pub hint: String,
}

/// The most entries that one search gives.
pub const MOST: usize = 10_000;

impl SearchWords {
    /// The words as types. Lengths of time count back from `now`; hosts become canonical.
    pub fn query(&self, now: UnixTime, hosts: &Hosts) -> Result<Query, Misread> {
        let canonical = |typed: &str| {
            hosts.find(typed).map_or_else(|| typed.to_owned(), |host| host.name.to_string())
        };
        let (mut login, mut host) =
            (read::<Login>("--login", &self.login)?, self.host.as_deref().map(canonical));
        if let Some(text) = &self.account {
            let form = || misread("--account", text, &"not LOGIN@HOST", "--account deploy@web01");
            let (one, at) = text.split_once('@').ok_or_else(form)?;
            (login, host) = (Some(one.parse().map_err(|_| form())?), Some(canonical(at)));
        }
        let time = |name, text: &Option<String>, end| {
            text.as_ref().map(|text| time(name, text, now, end)).transpose()
        };
        let limit = number("--limit", &self.limit)?;
        let most = u64::try_from(MOST).unwrap_or(u64::MAX);
        if !(1..=most).contains(&limit) {
            let why = format!("it is 1 to {MOST}");
            return Err(misread("--limit", &self.limit, &why, "--limit 50"));
        }
        let kind = self.kind.as_ref().map(|text| {
            let known = text.parse::<Kind>().map(|kind| kind.word().to_owned());
            let hint =
                "--kind certificate, grant, end, refusal, lock, policy, people, hosts or key";
            known.map_err(|_| misread("--kind", text, &"there is no such kind of entry", hint))
        });
        let outcome = self.outcome.as_ref().map(|text| match text.as_str() {
            "issued" | "granted" | "ended" | "refused" | "locked" | "unlocked" => Ok(text.clone()),
            _ => {
                let own = text.parse::<Kind>().map(|kind| kind.word().to_owned());
                let hint =
                    "--outcome issued, granted, ended, refused, locked, unlocked or break-glass";
                own.map_err(|_| misread("--outcome", text, &"nothing ends in that", hint))
            }
        });
        let number =
            |name, text: &Option<String>| text.as_ref().map(|text| number(name, text)).transpose();
        Ok(Query {
            person: read("--person", &self.person)?,
            account: Account { login, host },
            ticket: read::<TicketId>("--ticket", &self.ticket)?,
            serial: number("--serial", &self.serial)?,
            request: read("--request", &self.request)?,
            key: self.key.as_ref().map(|text| key(text)).transpose()?,
            since: time("--since", &self.since, false)?,
            until: time("--until", &self.until, true)?,
            outcome: outcome.transpose()?,
            kind: kind.transpose()?,
            before: number("--before", &self.before)?,
            limit: usize::try_from(limit).unwrap_or(MOST),
        })
    }
}

impl ShowWords {
    /// The word as a type.
    pub fn which(&self) -> Result<Which, Misread> {
        let text = &self.what;
        let serial = text.parse().ok().filter(|serial| *serial > 0).map(Which::Serial);
        serial.or_else(|| text.parse().ok().map(Which::Request)).ok_or_else(|| Misread {
            what: format!("{} is neither a serial nor a request's id", Safe(text)),
            hint: "the serial from sshd's log, as in 5, or a request as in r2x4m0c8v1n7d"
                .to_owned(),
        })
    }
}

fn misread(name: &str, text: &str, why: &dyn Display, hint: &str) -> Misread {
    Misread { what: format!("{name} {}: {why}", Safe(text)), hint: hint.to_owned() }
}

fn read<T: FromStr>(name: &str, text: &Option<String>) -> Result<Option<T>, Misread>
where
    T::Err: Display,
{
    let one = |text: &String| {
        text.parse().map_err(|why| misread(name, text, &why, &format!("leave {name} out for any")))
    };
    text.as_ref().map(one).transpose()
}

/// A fingerprint as ssh-keygen and sshd print it.
fn key(text: &str) -> Result<String, Misread> {
    let whole = is_fingerprint(text).then(|| text.to_owned());
    let hint = "--key SHA256:... as ssh-keygen -l prints it";
    whole.ok_or_else(|| misread("--key", text, &"not a fingerprint", hint))
}

fn number(name: &str, text: &str) -> Result<u64, Misread> {
    text.parse().map_err(|_| misread(name, text, &"not a number", &format!("{name} 50")))
}

/// A time, the beginning or end of a day, or a length of time ago.
fn time(name: &str, text: &str, now: UnixTime, end: bool) -> Result<UnixTime, Misread> {
    if let Ok(span) = text.parse::<Span>() {
        return Ok(now.minus(span));
    }
    let day: Option<UnixTime> =
        (text.len() == 10).then(|| format!("{text}T00:00:00Z").parse().ok()).flatten();
    if let Some(day) = day {
        return Ok(if end { day.plus(Span::secs(86_399)) } else { day });
    }
    let time = text.parse::<jiff::Timestamp>().ok();
    let secs = time.and_then(|time| u64::try_from(time.as_second()).ok());
    secs.map(UnixTime::from_secs).ok_or_else(|| {
        let hint = format!("{name} 2h, {name} 2026-11-22 or {name} 2026-11-22T05:40:00Z");
        misread(name, text, &"not a time", &hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_795_326_000);

    fn query(change: impl FnOnce(&mut SearchWords)) -> Result<Query, Misread> {
        let mut words = SearchWords { limit: "50".to_owned(), ..SearchWords::default() };
        change(&mut words);
        let hosts = "[host.web01]\naliases = [\"web01.example.com\"]\n";
        words.query(NOW, &crate::audit::search_tests::hosts(hosts))
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, since, until) in [
            ("2h", "2026-11-22T03:40:00Z", "2026-11-22T03:40:00Z"),
            ("2026-11-22", "2026-11-22T00:00:00Z", "2026-11-22T23:59:59Z"),
            ("2026-11-22T05:40:00Z", "2026-11-22T05:40:00Z", "2026-11-22T05:40:00Z"),
            ("2026-11-22T05:40:00+01:00", "2026-11-22T04:40:00Z", "2026-11-22T04:40:00Z"),
        ] {
            let since_text = |words: &mut SearchWords| words.since = Some(text.to_owned());
            assert_eq!(query(since_text).unwrap().since.unwrap().to_string(), since, "{text}");
            let until_text = |words: &mut SearchWords| words.until = Some(text.to_owned());
            assert_eq!(query(until_text).unwrap().until.unwrap().to_string(), until, "{text}");
        }
        for bad in
            ["", "yesterday", "2026-13-01", "22.11.2026", "2026-11-22 05:40", "-2h", "1960-01-01"]
        {
            let said = query(|words| words.since = Some(bad.to_owned())).unwrap_err();
            assert_eq!(said.what, format!("--since {bad}: not a time"));
        }
    }

    #[test]
    fn hosts_become_canonical_and_unknown_ones_stay() {
        let account = |text: &str| {
            let account = query(|words| words.account = Some(text.to_owned())).unwrap().account;
            (account.login.unwrap().to_string(), account.host.unwrap())
        };
        assert_eq!(account("deploy@web01.example.com"), ("deploy".into(), "web01".into()));
        assert_eq!(account("root@gone"), ("root".into(), "gone".into()));
        let host = query(|words| words.host = Some("web01.example.com".to_owned())).unwrap();
        assert_eq!(host.account.host.as_deref(), Some("web01"));
    }

    #[test]
    fn a_word_that_is_wrong_is_said_and_not_left_out() {
        type Set = fn(&mut SearchWords, String);
        let set: [(&str, Set); 10] = [
            ("--key", |words, bad| words.key = Some(bad)),
            ("--person", |words, bad| words.person = Some(bad)),
            ("--account", |words, bad| words.account = Some(bad)),
            ("--login", |words, bad| words.login = Some(bad)),
            ("--ticket", |words, bad| words.ticket = Some(bad)),
            ("--serial", |words, bad| words.serial = Some(bad)),
            ("--request", |words, bad| words.request = Some(bad)),
            ("--outcome", |words, bad| words.outcome = Some(bad)),
            ("--kind", |words, bad| words.kind = Some(bad)),
            ("--limit", |words, bad| words.limit = bad),
        ];
        for (name, set) in set {
            let said = query(|words| set(words, "N\u{1b}[2J".to_owned())).unwrap_err();
            assert!(said.what.starts_with(&format!("{name} N\\u{{1b}}[2J: ")), "{said:?}");
            assert!(said.hint.contains(name), "{said:?}");
        }
        assert!(query(|words| words.limit = "0".to_owned()).is_err());
        let which = |what: &str| ShowWords { what: what.to_owned() }.which();
        assert_eq!(which("5"), Ok(Which::Serial(5)));
        assert!(matches!(which("r200000000000"), Ok(Which::Request(_))));
        assert!(which("0").is_err() && which("-1").is_err() && which("ana").is_err());
    }
}
