//! `access`: who can get where, by the files as they are or as they were at any moment of the ledger.

use std::io::{BufWriter, ErrorKind, Write as _};

use clap::{Args, ValueEnum};

use hallpass::certificate::names::{GroupName, PersonName, TagName};
use hallpass::config::Config;
use hallpass::config::ca::Ca;
use hallpass::desk::request::Place;
use hallpass::front::verbs;
use hallpass::outside::clock::{Clock as _, SystemClock};
use hallpass::review::access::{Filter, Review};
use hallpass::review::moment::{AsOf, Moment};
use hallpass::review::tell::access::{Format, NotWritten, write};

use crate::words::At;
use crate::{Stop, count, say};

#[derive(Args)]
pub(crate) struct AccessWords {
    /// Of one person or service
    #[arg(long, value_name = "NAME")]
    person: Option<PersonName>,
    /// On one host: its name, an alias or an address
    #[arg(long, value_name = "NAME", conflicts_with = "account")]
    host: Option<String>,
    /// On the hosts of a tag
    #[arg(long, value_name = "TAG")]
    tag: Option<TagName>,
    /// To one account
    #[arg(long, value_name = "LOGIN@HOST")]
    account: Option<String>,
    /// At a moment of the ledger: 2026-11-22T05:40:00Z, 2026-11-22, entry:12, or a policy's SHA-256
    #[arg(long, value_name = "TIME")]
    as_of: Option<AsOf>,
    /// What it looks like
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Form,
    #[command(flatten)]
    at: At,
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    /// For people
    Table,
    /// For a spreadsheet: a line for each person, account and offer
    Csv,
    /// An array of objects
    Json,
}

pub(crate) fn access(words: AccessWords) -> Result<(), Stop> {
    let AccessWords { person, host, tag, account, as_of, format, at } = words;
    let mut filter = Filter { person, host, tag, login: None };
    if let Some(typed) = account {
        let usage = |what: String| Stop::Usage(what, "--account LOGIN@HOST".to_owned());
        let target = verbs::account(&typed).map_err(|(what, _)| usage(what))?;
        match (target.login, target.place) {
            (Some(login), Place::Host(host)) => {
                (filter.login, filter.host) = (Some(login), Some(host));
            }
            _ => return Err(usage(format!("{typed:?} is not LOGIN@HOST"))),
        }
    }
    let ca = Ca::load(&at.config)?;
    let by_shift: Vec<GroupName> = ca.on_call.iter().map(|one| one.group.clone()).collect();
    let moment = match as_of {
        None => Moment::now(Config::load(&at.config)?, SystemClock.now())?,
        Some(as_of) => Moment::past(&ca, as_of)?,
    };
    let review = Review::new(&moment, filter, &by_shift)?;
    let format = match format {
        Form::Table => Format::Table,
        Form::Csv => Format::Csv,
        Form::Json => Format::Json,
    };
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let written = write(&review, format, &mut out).and_then(|counted| {
        out.flush()?;
        Ok(counted)
    });
    let (people, accounts) = match written {
        Ok(counted) => counted,
        // A reader that stops reading is not an error of ours.
        Err(NotWritten::Io(why)) if why.kind() == ErrorKind::BrokenPipe => return Ok(()),
        Err(why) => return Err(Stop::Failed(why.to_string())),
    };
    // The file stands by itself; whoever made it sees the same.
    if !matches!(format, Format::Table) {
        moment.source.lines().iter().for_each(|line| say(line));
    }
    say(&format!(
        "{} of {}",
        count(accounts, "account", "accounts"),
        count(people, "person or service", "people and services")
    ));
    Ok(())
}
