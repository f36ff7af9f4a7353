//! The process that holds the CA keys: `hallpass-signer --config signer.toml`, its listening socket
//! as standard input; and what its own user does when the ledger begins a new generation.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use hallpass::certificate::time::UnixTime;
use hallpass::outside::manager::Manager;
use hallpass::signer::limits::SignerConfig;
use hallpass::signer::mark::wait_for_the_last;
use hallpass::signer::serve::{harden, listener_from_stdin, serve};
use hallpass::signer::succeed::{seen, succeed};
use hallpass::signer::witness::Witness;

const USAGE: &str = "usage: hallpass-signer --config SIGNER.TOML [--die-with-parent]
       hallpass-signer seen --config SIGNER.TOML
       hallpass-signer succeed --config SIGNER.TOML --checkpoint FILE [--without-mark]
holds the CA keys; its listening socket is its standard input
hallpass serve --config ca.toml starts it by itself";

/// The words of the command line.
#[derive(Default)]
struct Words {
    verb: Option<String>,
    config: Option<PathBuf>,
    checkpoint: Option<PathBuf>,
    die_with_parent: bool,
    without_mark: bool,
}

impl Words {
    /// `None` for anything that is not understood.
    fn parse(mut words: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut said = Self::default();
        while let Some(word) = words.next() {
            match word.to_str()? {
                "--config" => said.config = Some(words.next()?.into()),
                "--checkpoint" => said.checkpoint = Some(words.next()?.into()),
                "--die-with-parent" => said.die_with_parent = true,
                "--without-mark" => said.without_mark = true,
                verb @ ("seen" | "succeed") if said.verb.is_none() => {
                    said.verb = Some(verb.to_owned());
                }
                _ => return None,
            }
        }
        Some(said)
    }
}

fn main() -> ExitCode {
    let Some(words) = Words::parse(std::env::args_os().skip(1)) else { return usage() };
    let Some(config) = words.config else { return usage() };
    let done = match (words.verb.as_deref(), words.checkpoint) {
        (None, None) => run(config, words.die_with_parent),
        (Some("seen"), None) => tell_seen(&config),
        (Some("succeed"), Some(checkpoint)) => SignerConfig::load(&config)
            .and_then(|config| succeed(&config, &checkpoint, words.without_mark))
            .map(|done| say(&done)),
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&why);
            ExitCode::from(75)
        }
    }
}

/// A line for the journal, in one write: the daemon writes to the same place.
fn say(line: &str) {
    let line = format!("hallpass-signer: {line}\n");
    // Where standard error is gone nobody can be told.
    drop(std::io::stderr().write_all(line.as_bytes()));
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn tell_seen(config: &Path) -> Result<(), String> {
    let seen = seen(&SignerConfig::load(config)?)?;
    match &seen.mark {
        Some((origin, size)) => say(&format!("the mark is of {origin} with {size} entries")),
        None => say("the mark is lost"),
    }
    say(&format!("hallpass ledger recover --seen {}", seen.entries()));
    Ok(())
}

fn run(config: PathBuf, die_with_parent: bool) -> Result<(), String> {
    harden(die_with_parent).map_err(|why| why.to_string())?;
    let config = SignerConfig::load(&config)?;
    // A trial's daemon that was killed and started again at once meets the signer of before, which dies
    // with its daemon and is not quite gone.
    if die_with_parent {
        wait_for_the_last(&config.mark_file(), PATIENCE);
    }
    let mut witness = Witness::open(config, clock())?;
    let listener = listener_from_stdin().map_err(|why| why.to_string())?;
    let mut manager = Manager::from_env().map_err(|why| format!("the service manager: {why}"))?;
    serve(&mut witness, &listener, &mut manager, clock, say).map_err(|why| why.to_string())
}

/// How long a signer of before may take to be gone: one that is killed in an fsync is there until the disk
/// answers. Less than the daemon waits for the first word.
const PATIENCE: Duration = Duration::from_secs(8);

/// The signer's own clock.
#[allow(clippy::disallowed_methods, reason = "the one place where the signer reads the clock")]
fn clock() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixTime::from_secs(since.map_or(0, |since| since.as_secs()))
}
