//! `hallpass`: serve, and the operator's and the engineer's command line.

mod access;
mod audit;
mod control;
mod engineer;
mod explain;
mod freezes;
mod health;
mod host;
mod import;
mod keys;
mod ledger;
mod locks;
mod operate;
mod policy;
mod recover;
mod serve;
mod ticket;
mod words;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use hallpass::config::edit::{NewHost, NewPerson};
use hallpass::desk::freezing::FreezeAsk;
use hallpass::desk::locks::Target;

use self::words::{HostVerb, ImportVerb, KeyVerb, LedgerVerb, Line, PersonVerb, TicketVerb, Verb};

/// What ends a command: the text for the operator, and the exit status.
enum Stop {
    /// Something is not as it should be: configuration, ledger, files.
    Failed(String),
    /// The answer is no: the ledger is not what was signed, a login is not as it should be; it was said.
    Invalid,
    /// Something broke; it was said.
    Told,
    /// What two things cannot even be compared for, or a test be run: status 2, as diff(1) has it.
    Trouble(String),
    /// A word was not understood: what, and what to type instead.
    Usage(String, String),
}

impl<E: Display> From<E> for Stop {
    fn from(why: E) -> Self {
        Self::Failed(why.to_string())
    }
}

fn main() -> ExitCode {
    // A usage error of clap's ends here with status 2.
    let done = match Line::parse().verb {
        Verb::Init(words) => operate::make(words),
        Verb::Serve(at) => serve::serve(&at.config),
        Verb::Check(at) => operate::check(&at.config),
        Verb::Person(PersonVerb::Add { name, key, group, email, service, at }) => operate::person(
            &at.config,
            NewPerson { name, service, groups: group, email, keys: Vec::new() },
            &key,
        ),
        Verb::Host(HostVerb::Add { name, address, alias, tag, login, host_key, owner, at }) => {
            let new = NewHost {
                name,
                addresses: address,
                aliases: alias,
                tags: tag,
                accounts: login,
                host_keys: Vec::new(),
                owner,
            };
            operate::host(&at.config, new, &host_key)
        }
        Verb::Host(HostVerb::Config { name, keep, at }) => host::config(&at.config, &name, &keep),
        Verb::Host(HostVerb::Sign(words)) => host::sign(&words),
        Verb::KnownHosts(at) => host::known_hosts(&at.config),
        Verb::Explain(words) => {
            let (at, question) = words.question();
            explain::run(&at.config, question)
        }
        Verb::Policy(verb) => policy::policy(verb),
        Verb::Access(words) => access::access(words),
        Verb::Ticket(TicketVerb::Test { id, json, at }) => ticket::test(&at.config, &id, json),
        Verb::Ticket(TicketVerb::Presets { name }) => ticket::presets(name.as_deref()),
        Verb::Lock { target, reason, at } => locks::lock(&at.config, target, reason, false),
        Verb::Unlock { target, reason, at } => locks::lock(&at.config, target, reason, true),
        Verb::Locks(at) => locks::list(&at.config),
        Verb::Freeze { name, tag, period, reason, at } => {
            let tags = tag.into_iter().collect();
            let ask = FreezeAsk { name, lifting: false, tags, period, reason };
            freezes::change(&at.config, ask)
        }
        Verb::Thaw { name, reason, at } => {
            let tags = BTreeSet::new();
            let ask = FreezeAsk { name, lifting: true, tags, period: None, reason };
            freezes::change(&at.config, ask)
        }
        Verb::Freezes(at) => freezes::list(&at.config),
        Verb::Person(PersonVerb::Disable { name, reason, at }) => {
            locks::lock(&at.config, Target::Person(name), reason, false)
        }
        Verb::Trust(words) => operate::trust(&words),
        Verb::Ledger(LedgerVerb::Verify {
            export: Some(export),
            ledger: Some(ledger),
            signer: Some(signer),
            ..
        }) => ledger::verify_alone(&export, &ledger, &signer),
        Verb::Ledger(LedgerVerb::Verify { export, signer_config, at, .. }) => {
            ledger::verify(&at.config, export.as_deref(), signer_config.as_deref())
        }
        Verb::Ledger(LedgerVerb::Export(at)) => ledger::write_export(&at.config),
        Verb::Ledger(LedgerVerb::Text { hash, at }) => ledger::text(&at.config, &hash),
        Verb::Ledger(LedgerVerb::Recover(words)) => recover::recover(&words),
        Verb::Ledger(LedgerVerb::Emergency { certificate, reason, at }) => {
            recover::emergency(&at.config, &certificate, &reason)
        }
        Verb::Key(KeyVerb::List(at)) => keys::list(&at.config),
        Verb::Key(KeyVerb::Next(words)) => keys::next(&words),
        Verb::Key(KeyVerb::Promote(words)) => keys::promote(&words),
        Verb::Key(KeyVerb::Retire(words)) => keys::retire(&words),
        Verb::Backup { dir, at } => recover::backup(&at.config, &dir),
        Verb::Restore { from, dir, reason, seen } => recover::restore(&from, &dir, &reason, seen),
        Verb::Audit(verb) => audit::audit(verb),
        Verb::Health(at) => health::health(&at.config),
        Verb::Reload { change, at } => control::reload(&at.config, change),
        Verb::Ssh(words) => engineer::ssh(words),
        Verb::Ensure(words) => match engineer::ensure(&words) {
            Ok(status) => return status,
            Err(stop) => Err(stop),
        },
        Verb::Import(ImportVerb::People(words)) => import::people(words),
        Verb::Import(ImportVerb::Hosts(words)) => import::hosts(words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Invalid) => ExitCode::from(1),
        Err(Stop::Usage(what, hint)) => {
            eprintln!("hallpass: usage: {what}\nhint: {hint}");
            ExitCode::from(2)
        }
        Err(Stop::Trouble(why)) => {
            eprintln!("hallpass: {why}");
            ExitCode::from(2)
        }
        Err(Stop::Told) => ExitCode::from(75),
        Err(Stop::Failed(why)) => {
            eprintln!("hallpass: {why}");
            ExitCode::from(75)
        }
    }
}

/// An artefact on stdout. A reader that stops reading is not an error of ours.
fn print(text: &str) {
    if let Err(why) = std::io::stdout().write_all(text.as_bytes()) {
        eprintln!("hallpass: stdout: {why}");
    }
}

/// A line for people, in one write: the signer writes to the same place.
fn say(text: &str) {
    let line = format!("hallpass: {text}\n");
    // Where standard error is gone nobody can be told.
    drop(std::io::stderr().write_all(line.as_bytes()));
}

/// So many of something, in words.
fn count(number: impl TryInto<u64>, one: &str, many: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {}", if number == 1 { one } else { many })
}
