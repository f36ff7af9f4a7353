//! `audit`: on the machine of the CA, for whoever may read its ledger.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use hallpass::audit::auditor::Auditor;
use hallpass::audit::log_time;
use hallpass::audit::reconcile::{Origin, reconcile};
use hallpass::audit::search::search;
use hallpass::audit::show::show;
use hallpass::audit::tell::{self, Told};
use hallpass::audit::words::{Misread, SearchWords, ShowWords};
use hallpass::config::Config;
use hallpass::config::trust::Trust;
use hallpass::outside::clock::{Clock as _, SystemClock};

use crate::words::At;
use crate::{Stop, print, say};

#[derive(Subcommand)]
pub(crate) enum AuditVerb {
    /// Find entries of the ledger, newest first
    Search {
        #[command(flatten)]
        words: Box<SearchWords>,
        #[command(flatten)]
        form: Form,
    },
    /// Tell the whole story of a request, and check that the ledger holds it
    Show {
        #[command(flatten)]
        words: ShowWords,
        #[command(flatten)]
        list: List,
        #[command(flatten)]
        form: Form,
    },
    /// Compare the logins in a server's log with the ledger; status 1 if one is not as it should be
    Reconcile {
        /// The log: auth.log, or what `journalctl -o short-iso -u ssh` prints; standard input if left out
        file: Option<PathBuf>,
        /// The server whose log it is, where its lines do not name it
        #[arg(long, value_name = "NAME")]
        host: Option<String>,
        /// The zone of times that do not say theirs: UTC, or +01:00
        #[arg(long, value_name = "OFFSET", allow_hyphen_values = true)]
        zone: Option<String>,
        #[command(flatten)]
        list: List,
        #[command(flatten)]
        form: Form,
    },
}

#[derive(Args)]
pub(crate) struct Form {
    /// One JSON object on standard output instead of words
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub(crate) struct List {
    /// The signer's signer.toml, to read what it signed where another user has its list
    #[arg(long, value_name = "FILE")]
    signer_config: Option<PathBuf>,
}

pub(crate) fn audit(verb: AuditVerb) -> Result<(), Stop> {
    match verb {
        AuditVerb::Search { words, form } => {
            let (config, auditor, _) = open(&form, None)?;
            let query = words.query(SystemClock.now(), &config.deciding.hosts).map_err(usage)?;
            let found = search(&auditor.store()?, &config.deciding.hosts, &query, None)?;
            say_all(&tell::found(&found, form.json));
            Ok(())
        }
        AuditVerb::Show { words, list, form } => {
            let (config, auditor, _) = open(&form, list.signer_config.as_deref())?;
            verdict(&tell::story(
                &show(&auditor, &config.deciding.hosts, &words.which().map_err(usage)?, None)?,
                form.json,
            ))
        }
        AuditVerb::Reconcile { file, host, zone, list, form } => {
            let (config, auditor, trust) = open(&form, list.signer_config.as_deref())?;
            let hosts = &config.deciding.hosts;
            let host = host.map(|typed| match hosts.find(&typed) {
                Some(host) => Ok(host.name.clone()),
                None => Err(misread("--host", &typed, "hosts.toml has no such host")),
            });
            let zone = zone.map(|typed| {
                log_time::zone(&typed).ok_or_else(|| misread("--zone", &typed, "not UTC or +01:00"))
            });
            let origin = Origin { host: host.transpose()?, zone: zone.transpose()? };
            let log: Box<dyn BufRead> = match &file {
                Some(path) => {
                    let open =
                        File::open(path).map_err(|why| format!("{}: {why}", path.display()))?;
                    Box::new(BufReader::new(open))
                }
                None => Box::new(std::io::stdin().lock()),
            };
            let findings = reconcile(&auditor, &trust, hosts, &origin, log)?;
            verdict(&tell::findings(&findings, form.json))
        }
    }
}

fn open(form: &Form, signer: Option<&Path>) -> Result<(Config, Auditor, Trust), Stop> {
    let config = Config::load(&form.at.config)?;
    let trust = Trust::load(&config.ca)?;
    let auditor = Auditor::new(&config.ca, &trust, signer)?;
    Ok((config, auditor, trust))
}

fn say_all(told: &Told) {
    print(&told.out);
    told.said.iter().for_each(|line| say(line));
    if let Some(hint) = &told.hint {
        eprintln!("hint: {hint}");
    }
}

/// The answer, and status 1 if it is a bad one.
fn verdict(told: &Told) -> Result<(), Stop> {
    say_all(told);
    if told.good { Ok(()) } else { Err(Stop::Invalid) }
}

fn misread(name: &str, text: &str, why: &str) -> Stop {
    let what = format!("{name} {}: {why}", hallpass::certificate::safe::Safe(text));
    Stop::Usage(what, "hallpass audit reconcile --help".to_owned())
}

fn usage(misread: Misread) -> Stop {
    Stop::Usage(misread.what, misread.hint)
}
