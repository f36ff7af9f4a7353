//! `audit` in words: what was found goes to stdout, remarks beside it to stderr.

use super::{exit, say};
use crate::audit::tell::Told;
use crate::audit::words::Misread;
use crate::front::Reply;
use crate::front::verbs::Usage;

/// The answer.
pub fn told(told: Told, missing: u32) -> Reply {
    let Told { out, said, hint, good } = told;
    let status = if good { exit::DONE } else { missing };
    Reply { stdout: out.into_bytes(), stderr: say(&said, hint.as_deref()), status }
}

/// A word that was not understood.
pub fn misread(misread: Misread, json: bool) -> Reply {
    let Misread { what, hint } = misread;
    super::usage(&Usage { json, what, hint, unknown: None })
}

/// Help.
pub(super) const HELP: &str = "\
usage: ssh ca audit search [--person P] [--account LOGIN@HOST | --login L] [--host H] [--ticket ID]
       [--serial N] [--request ID] [--key SHA256:...] [--since TIME] [--until TIME]
       [--outcome issued|granted|refused|...] [--kind K] [--limit N] [--before INDEX] [--json]
       ssh ca audit show SERIAL|REQUEST [--json]

Who got in where, when and why. search lists entries of the ledger, newest first; all that is said
must hold. TIME is 2h (ago), 2026-11-22 or 2026-11-22T05:40:00Z. show tells the whole story of a
request, by its id or by the serial that sshd logged, and checks that the ledger holds it. Policy says
who may; each search is a line in the journal.

  ssh ca audit search --host web01 --since 24h
";
