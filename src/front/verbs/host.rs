//! `host config NAME` and `known-hosts`.

use clap::Subcommand;

use crate::certificate::safe::Safe;
use crate::host::config::Kept;

/// What anybody who is enrolled may have: names and public keys.
#[derive(Debug)]
pub enum Give {
    /// The file that puts a server under the CA.
    HostConfig {
        /// The host, as typed.
        host: String,
        /// Principals of an older CA.
        keep: Vec<Kept>,
    },
    /// known_hosts lines.
    KnownHosts,
}

#[derive(Subcommand)]
pub(super) enum HostWords {
    Config {
        host: String,
        #[arg(long)]
        keep: Vec<String>,
    },
}

pub(super) fn give(words: HostWords) -> Result<Give, String> {
    let HostWords::Config { host, keep } = words;
    let kept =
        |text: String| text.parse::<Kept>().map_err(|why| format!("--keep {}: {why}", Safe(&text)));
    let keep = keep.into_iter().map(kept).collect::<Result<_, _>>()?;
    Ok(Give::HostConfig { host, keep })
}

#[cfg(test)]
mod tests {
    use super::super::{Verb, parse};
    use super::*;

    #[test]
    fn a_host_is_named_and_what_is_kept_is_a_principal() {
        let line = parse(b"host config web01 --keep %u --keep ops", None).unwrap();
        let Verb::Give(Give::HostConfig { host, keep }) = line.verb else { panic!() };
        let keep: Vec<String> = keep.iter().map(ToString::to_string).collect();
        assert_eq!((host.as_str(), keep), ("web01", vec!["%u".to_owned(), "ops".to_owned()]));
        assert!(matches!(parse(b"known-hosts", None).unwrap().verb, Verb::Give(Give::KnownHosts)));
        let usage = parse(b"host config web01 --keep '$(x)'", None).unwrap_err();
        assert!(usage.what.starts_with("--keep $(x): not a principal to keep"), "{usage:?}");
        for line in ["host", "host config", "host add web01", "known-hosts web01"] {
            assert!(parse(line.as_bytes(), None).is_err(), "{line}");
        }
    }
}
