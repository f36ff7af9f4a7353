//! `policy test` and `policy diff`: a team's cases, put to its policy, and two policies compared.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use hallpass::certificate::time::UnixTime;
use hallpass::config::ca::Ca;
use hallpass::config::snapshot::{Paths, Snapshot};
use hallpass::config::{ConfigError, Deciding};
use hallpass::outside::clock::{Clock as _, SystemClock};
use hallpass::review::cases::{Subject, not_exercised, run};
use hallpass::review::diff::diff;
use hallpass::review::moment::{AsOf, Moment};
use hallpass::review::tell;

use crate::words::At;
use crate::{Stop, print, say};

#[derive(Subcommand)]
pub(crate) enum PolicyVerb {
    /// Put cases to the policy, and say which do not come out as they must; status 1 if one does not
    Test(TestWords),
    /// Say who gains and who loses what between two policies; status 0 if nothing differs, 1 if something does
    Diff(DiffWords),
}

#[derive(Args)]
pub(crate) struct DiffWords {
    /// A folder, a ca.toml, a policy file, or a moment of the ledger: 2026-11-22, entry:12, a SHA-256
    old: String,
    /// The same
    new: String,
    /// For a comment on a pull request
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Status 1 only if this is so: somebody may do more than before
    #[arg(long, value_name = "WHAT")]
    fail_on: Option<FailOn>,
    #[command(flatten)]
    at: At,
}

#[derive(Clone, Copy, ValueEnum)]
enum FailOn {
    Widen,
}

#[derive(Args)]
pub(crate) struct TestWords {
    /// Files of cases
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Another policy than that of ca.toml
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// An offer, permit or forbid that no case exercises is an error
    #[arg(long)]
    strict: bool,
    /// One JSON object on standard output instead of words
    #[arg(long, conflicts_with = "print")]
    json: bool,
    /// A Markdown table on standard output: of every case that is refused what is said
    #[arg(long, value_name = "WHAT")]
    print: Option<Print>,
    #[command(flatten)]
    at: At,
}

#[derive(Clone, Copy, ValueEnum)]
enum Print {
    Refusals,
}

pub(crate) fn policy(verb: PolicyVerb) -> Result<(), Stop> {
    match verb {
        PolicyVerb::Test(words) => test(words),
        PolicyVerb::Diff(words) => compare(&words),
    }
}

fn compare(words: &DiffWords) -> Result<(), Stop> {
    let trouble = |why: ConfigError| Stop::Trouble(why.to_string());
    let now = SystemClock.now();
    let (old, new) = (
        side(&words.old, &words.at.config, now).map_err(trouble)?,
        side(&words.new, &words.at.config, now).map_err(trouble)?,
    );
    let found = diff(&old, &new).map_err(|why| Stop::Trouble(why.to_string()))?;
    print(&match (words.markdown, words.json) {
        (true, _) => tell::diff::markdown_text(&found),
        (false, true) => tell::diff::object(&found),
        (false, false) => tell::diff::text(&found),
    });
    let fails = match words.fail_on {
        Some(FailOn::Widen) => found.widening() > 0,
        None => !found.changes.is_empty(),
    };
    if fails { Err(Stop::Invalid) } else { Ok(()) }
}

/// A side, as it was typed: what there is on disk goes first.
fn side(typed: &str, config: &Path, now: UnixTime) -> Result<Moment, ConfigError> {
    if Path::new(typed).exists() {
        return Moment::of_files(Path::new(typed), config, now);
    }
    let as_of: AsOf = typed
        .parse()
        .map_err(|why| ConfigError::new(format!("there is no file {typed:?}, and {why}")))?;
    Moment::past(&Ca::load(config)?, as_of)
}

fn test(words: TestWords) -> Result<(), Stop> {
    let TestWords { files, policy, strict, json, print: printed, at } = words;
    let trouble = |why: String| Stop::Trouble(why);
    let ca = Ca::load(&at.config).map_err(|why| trouble(why.to_string()))?;
    // Whatever a list of sums says: these are the files that somebody works on.
    let paths = Paths::of(&ca);
    let read =
        Snapshot::beside(&Paths { policy: policy.as_deref().unwrap_or(paths.policy), ..paths });
    let deciding = read.and_then(|read| Deciding::parse(&ca, &read));
    let deciding = deciding.map_err(|why: ConfigError| trouble(why.to_string()))?;
    let subject = Subject { deciding: &deciding, ca: &ca, now: SystemClock.now() };
    let mut ran = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file)
            .map_err(|why| trouble(format!("{}: {why}", file.display())))?;
        ran.extend(run(&subject, file, &text).map_err(|why| trouble(why.to_string()))?);
    }
    let left = not_exercised(&deciding.policy, &ran);
    match (json, printed) {
        (true, _) => print(&tell::cases::object(&ran, &left)),
        (false, Some(Print::Refusals)) => {
            print(&tell::cases::refusals(&ran));
            eprint!("{}", tell::cases::lines(&ran));
        }
        (false, None) => print(&tell::cases::lines(&ran)),
    }
    for line in tell::cases::uncovered(&left) {
        say(&format!("{}{line}", if strict { "" } else { "warning: " }));
    }
    let failed = ran.iter().any(|one| !one.wrong.is_empty());
    if failed || (strict && !left.is_empty()) { Err(Stop::Invalid) } else { Ok(()) }
}
