//! `audit`: its words are those of the command line on the machine ([`audit::words`](crate::audit::words)).

use clap::error::ErrorKind;

use super::Usage;

/// What `explain` says of other verbs' missing words does not fit here.
pub(super) fn explain(why: &clap::Error, mut usage: Usage) -> Usage {
    match why.kind() {
        ErrorKind::InvalidSubcommand => {
            usage.what = usage.what.replacen("there is no verb", "there is no audit", 1);
            usage.unknown = None;
        }
        ErrorKind::MissingRequiredArgument => {
            "a serial or a request is missing".clone_into(&mut usage.what);
        }
        ErrorKind::ArgumentConflict => {
            "--account is --login and --host in one".clone_into(&mut usage.what);
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            "search or show is missing".clone_into(&mut usage.what);
        }
        _ => return usage,
    }
    "ssh ca help audit".clone_into(&mut usage.hint);
    usage
}
