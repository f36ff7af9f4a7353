//! The process that holds the CA keys: `hallpass-signer --config signer.toml`, its listening socket
//! as standard input.

use std::path::PathBuf;
use std::process::ExitCode;

use hallpass::certificate::time::UnixTime;
use hallpass::outside::manager::Manager;
use hallpass::signer::limits::SignerConfig;
use hallpass::signer::serve::{harden, listener_from_stdin, serve};
use hallpass::signer::witness::Witness;

const USAGE: &str = "usage: hallpass-signer --config SIGNER.TOML [--die-with-parent]\n\
    holds the CA keys; its listening socket is its standard input\n\
    hallpass serve --config ca.toml starts it by itself";

fn main() -> ExitCode {
    let mut config = None;
    let mut die_with_parent = false;
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--config") => config = words.next().map(PathBuf::from),
            Some("--die-with-parent") => die_with_parent = true,
            _ => config = None,
        }
    }
    let Some(config) = config else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(config, die_with_parent) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("hallpass-signer: {why}");
            ExitCode::from(75)
        }
    }
}

fn run(config: PathBuf, die_with_parent: bool) -> Result<(), String> {
    harden(die_with_parent).map_err(|why| why.to_string())?;
    let config = SignerConfig::load(&config)?;
    let mut witness = Witness::open(config, clock())?;
    let listener = listener_from_stdin().map_err(|why| why.to_string())?;
    let mut manager = Manager::from_env().map_err(|why| format!("the service manager: {why}"))?;
    let log = |line: &str| eprintln!("hallpass-signer: {line}");
    serve(&mut witness, &listener, &mut manager, clock, log).map_err(|why| why.to_string())
}

/// The signer's own clock.
#[allow(clippy::disallowed_methods, reason = "the one place where the signer reads the clock")]
fn clock() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixTime::from_secs(since.map_or(0, |since| since.as_secs()))
}
