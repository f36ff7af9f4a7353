//! Words that make no verb: what is wrong with them, in one line and one hint.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Usage, VERBS, near};
use crate::certificate::safe::Safe;

/// What one verb's words lack, and how they are typed.
pub(super) fn missing(why: &clap::Error, verb: &str, swapped: bool, mut usage: Usage) -> Usage {
    let (what, hint) = match (why.kind(), verb) {
        (ErrorKind::MissingRequiredArgument, "ensure") => {
            ("the account is missing", "ssh ca ensure LOGIN@HOST")
        }
        (ErrorKind::MissingRequiredArgument, "why") => {
            ("the account is missing", "ssh ca why LOGIN@HOST")
        }
        (ErrorKind::MissingRequiredArgument, "explain") => {
            ("the account is missing", "ssh ca explain LOGIN@HOST TICKET")
        }
        (ErrorKind::MissingRequiredArgument, "show") => {
            ("the request is missing", "ssh ca show REQUEST; ssh ca list shows yours")
        }
        (ErrorKind::MissingRequiredArgument, "host") => {
            ("the host is missing", "ssh ca host config NAME")
        }
        (
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand,
            "host",
        ) => ("config is missing", "ssh ca host config NAME"),
        (ErrorKind::InvalidSubcommand, "host") => {
            usage.unknown = None;
            usage.hint = "ssh ca host config NAME".to_owned();
            return usage;
        }
        (ErrorKind::InvalidSubcommand, _) if swapped => {
            usage.hint = "the account comes first: ssh ca LOGIN@HOST TICKET".to_owned();
            return usage;
        }
        (ErrorKind::InvalidValue | ErrorKind::NoEquals, verb) if VERBS.contains(&verb) => {
            usage.hint = format!("ssh ca help {verb}");
            return usage;
        }
        _ => return usage,
    };
    Usage { what: what.to_owned(), hint: hint.to_owned(), ..usage }
}

/// A clap error in one line and one hint. `reason`: a reason was given, whose words ssh joins.
pub(super) fn explain(why: &clap::Error, json: bool, reason: bool) -> Usage {
    let context = |kind| match why.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let subject = || Safe(&context(ContextKind::InvalidArg).unwrap_or_default()).to_string();
    let (what, hint) = match why.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            let near = near(&word);
            (
                format!("there is no verb {}", Safe(&word)),
                near.map_or("ssh ca help".into(), |near| format!("did you mean ssh ca {near}?")),
            )
        }
        ErrorKind::UnknownArgument if reason && !subject().starts_with('-') => (
            format!("{} is one word too many", subject()),
            "ssh takes one pair of quotes away: --reason \"'roll back'\"".into(),
        ),
        ErrorKind::UnknownArgument => {
            let near = context(ContextKind::SuggestedArg);
            (
                format!("{} is one word too many or an unknown option", subject()),
                near.map_or("ssh ca help".into(), |near| format!("did you mean {near}?")),
            )
        }
        ErrorKind::MissingRequiredArgument => {
            ("the account is missing".into(), "ssh ca LOGIN@HOST TICKET".into())
        }
        ErrorKind::InvalidValue | ErrorKind::NoEquals => {
            (format!("{} needs a value", subject()), "ssh ca help request".into())
        }
        ErrorKind::ArgumentConflict => {
            ("the ticket is given twice".into(), "ssh ca LOGIN@HOST TICKET".into())
        }
        _ => ("the words make no command".into(), "ssh ca help".into()),
    };
    let unknown = context(ContextKind::InvalidSubcommand);
    Usage { json, what, hint, unknown }
}
