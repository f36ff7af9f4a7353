//! The words after the host: a total grammar, never a shell. Whatever is typed becomes a verb or a
//! usage error with one hint.

pub mod host;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};

use crate::certificate::names::{Login, OfferId, Reason, TicketId};
use crate::certificate::safe::Safe;
use crate::certificate::time::Span;
use crate::config::trust::Part;
use crate::desk::request::Ask;

/// A command line that was understood.
#[derive(Debug)]
pub struct Line {
    /// One JSON object on stdout instead of words.
    pub json: bool,
    /// What to do.
    pub verb: Verb,
}

/// What a person can ask the CA.
#[derive(Debug)]
pub enum Verb {
    /// A certificate for one account.
    Request(Ask),
    /// Who I am and what I hold.
    Status,
    /// Public keys for servers, clients and verifiers.
    Trust(Vec<Part>),
    /// What servers and clients are given.
    Give(host::Give),
    /// Help, perhaps on one verb.
    Help(Option<String>),
}

/// A command line that was not understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Usage {
    /// Whether the answer is to be JSON all the same.
    pub json: bool,
    /// What is wrong.
    pub what: String,
    /// What to type instead.
    pub hint: String,
    /// The word that is no verb: perhaps it is a host.
    pub unknown: Option<String>,
}

/// The verbs, for help and for the nearest one.
pub const VERBS: [&str; 6] = ["request", "status", "trust", "host", "known-hosts", "help"];

#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_help_subcommand = true, color = clap::ColorChoice::Never)]
struct Words {
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Option<Typed>,
}

#[derive(Subcommand)]
enum Typed {
    Request(RequestWords),
    #[command(alias = "whoami")]
    Status,
    Trust(TrustWords),
    #[command(subcommand)]
    Host(host::HostWords),
    KnownHosts,
    Help {
        verb: Option<String>,
    },
}

#[derive(Args)]
struct RequestWords {
    account: String,
    id: Option<String>,
    #[arg(long, conflicts_with = "id")]
    ticket: Option<String>,
    #[arg(long)]
    reason: Option<String>,
    #[arg(long = "for")]
    period: Option<String>,
    #[arg(long)]
    ttl: Option<String>,
    #[arg(long)]
    offer: Option<String>,
    /// Nothing waits yet, so there is nothing to leave out.
    #[arg(long)]
    no_wait: bool,
}

#[derive(Args)]
struct TrustWords {
    #[arg(long)]
    user: bool,
    #[arg(long)]
    bare: bool,
    #[arg(long)]
    host: bool,
    #[arg(long)]
    ledger: bool,
}

/// Reads a command line as it came over the wire.
pub fn parse(line: &[u8]) -> Result<Line, Usage> {
    let usage = |what: &str, hint: &str| Usage {
        json: false,
        what: what.to_owned(),
        hint: hint.to_owned(),
        unknown: None,
    };
    let text =
        std::str::from_utf8(line).map_err(|_| usage("the words are not UTF-8", "ssh ca help"))?;
    let words = shell_words::split(text)
        .map_err(|_| usage("a quote is not closed", "close it; ssh ca help"))?;
    words_to_line(words)
}

fn words_to_line(mut words: Vec<String>) -> Result<Line, Usage> {
    let json = words.iter().any(|word| word == "--json");
    // LOGIN@HOST ID is the product: the verb is understood.
    let first = words.iter().position(|word| !word.starts_with('-')).unwrap_or(0);
    if words.get(first).is_some_and(|word| word.contains('@')) {
        words.insert(first, "request".to_owned());
    }
    let quoted = words.iter().any(|word| word == "--reason");
    let typed = Words::try_parse_from(words).map_err(|why| explain(&why, json, quoted))?;
    let verb = match typed.verb {
        None | Some(Typed::Status) => Verb::Status,
        Some(Typed::Trust(words)) => Verb::Trust(parts(&words)),
        Some(Typed::Host(words)) => Verb::Give(host::give(words).map_err(|what| Usage {
            json,
            what,
            hint: "ssh ca help host".to_owned(),
            unknown: None,
        })?),
        Some(Typed::KnownHosts) => Verb::Give(host::Give::KnownHosts),
        Some(Typed::Help { verb }) => Verb::Help(verb),
        Some(Typed::Request(words)) => Verb::Request(ask(words).map_err(|(what, hint)| Usage {
            json,
            what,
            hint,
            unknown: None,
        })?),
    };
    Ok(Line { json: typed.json, verb })
}

fn parts(words: &TrustWords) -> Vec<Part> {
    let wanted = [
        (words.user, Part::User),
        (words.bare, Part::Bare),
        (words.host, Part::Host),
        (words.ledger, Part::Ledger),
    ];
    let named: Vec<Part> =
        wanted.iter().filter(|(named, _)| *named).map(|(_, part)| *part).collect();
    if named.is_empty() { wanted.map(|(_, part)| part).to_vec() } else { named }
}

fn ask(words: RequestWords) -> Result<Ask, (String, String)> {
    const FORM: &str = "ssh ca LOGIN@HOST TICKET, as in: ssh ca deploy@web01 OPS-7";
    let RequestWords { account, id, ticket, reason, period, ttl, offer, no_wait: _ } = words;
    if account.contains(',') {
        return Err((
            "several accounts in one request are not taken".into(),
            "ask for one at a time".into(),
        ));
    }
    let Some((login, host)) = account.split_once('@').filter(|(_, host)| !host.is_empty()) else {
        return Err((format!("{} is not LOGIN@HOST", Safe(&account)), FORM.into()));
    };
    let bad = |what: &str, text: &str, why: &dyn std::fmt::Display| {
        (format!("{what} {}: {why}", Safe(text)), FORM.to_owned())
    };
    let login: Login = login.parse().map_err(|why| bad("account", login, &why))?;
    let ticket = id.or(ticket);
    let ticket = ticket
        .map(|text| text.parse::<TicketId>().map_err(|why| bad("ticket", &text, &why)))
        .transpose()?;
    let reason = reason
        .map(|text| text.parse::<Reason>().map_err(|why| bad("--reason", &text, &why)))
        .transpose()?;
    let span = |name: &str, text: Option<String>| {
        text.map(|text| {
            text.parse::<Span>()
                .map_err(|why| (format!("{name} {}: {why}", Safe(&text)), format!("{name} 5m")))
        })
        .transpose()
    };
    let offer = offer
        .map(|text| text.parse::<OfferId>().map_err(|why| bad("--offer", &text, &why)))
        .transpose()?;
    Ok(Ask {
        login,
        host: host.to_owned(),
        ticket,
        reason,
        period: span("--for", period)?,
        ttl: span("--ttl", ttl)?,
        offer,
    })
}

/// A clap error in one line and one hint. `reason`: a reason was given, whose words ssh joins.
fn explain(why: &clap::Error, json: bool, reason: bool) -> Usage {
    let context = |kind| match why.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let subject = || Safe(&context(ContextKind::InvalidArg).unwrap_or_default()).to_string();
    let (what, hint) = match why.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            let near = crate::decide::close(&word, VERBS.into_iter());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Ask {
        match parse(line.as_bytes()).unwrap().verb {
            Verb::Request(ask) => ask,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_short_form_is_the_long_form() {
        let long = request(
            "request deploy@web01 --ticket OPS-7 --reason 'roll out' --for 1h --ttl 5m --offer deploy-prod",
        );
        assert_eq!((long.login.as_str(), long.host.as_str()), ("deploy", "web01"));
        assert_eq!((long.period, long.ttl), (Some(Span::secs(3600)), Some(Span::secs(300))));
        assert_eq!(long.reason.unwrap().as_str(), "roll out");
        let short = request("deploy@web01 OPS-7");
        assert_eq!((short.login, short.host, short.ticket), (long.login, long.host, long.ticket));
        assert!(parse(b"--json deploy@web01 OPS-7").unwrap().json);
        assert!(parse(b"deploy@web01 OPS-7 --json").unwrap().json);
    }

    #[test]
    fn no_words_are_status_and_trust_takes_parts() {
        assert!(matches!(parse(b"").unwrap().verb, Verb::Status));
        assert!(matches!(parse(b"whoami").unwrap().verb, Verb::Status));
        assert!(
            matches!(parse(b"trust --ledger").unwrap().verb, Verb::Trust(parts) if parts == [Part::Ledger])
        );
        assert!(matches!(parse(b"trust").unwrap().verb, Verb::Trust(parts) if parts.len() == 4));
        assert!(matches!(parse(b"help request").unwrap().verb, Verb::Help(Some(_))));
    }

    #[test]
    fn unknown_or_malformed_words_are_usage_with_one_hint() {
        for (line, what, hint) in [
            ("frobnicate", "there is no verb frobnicate", "ssh ca help"),
            ("statsu", "there is no verb statsu", "did you mean ssh ca status?"),
            ("request", "the account is missing", "ssh ca LOGIN@HOST TICKET"),
            (
                "deploy@web01 OPS-7 more",
                "more is one word too many or an unknown option",
                "ssh ca help",
            ),
            (
                "deploy@web01 --tickt OPS-7",
                "--tickt is one word too many or an unknown option",
                "did you mean --ticket?",
            ),
            (
                "deploy@web01 OPS-7 --ticket OPS-8",
                "the ticket is given twice",
                "ssh ca LOGIN@HOST TICKET",
            ),
            (
                "deploy@web01,root@web01 OPS-7",
                "several accounts in one request are not taken",
                "ask for one at a time",
            ),
            (
                "deploy@web01 OPS-7 --ttl 5",
                "--ttl 5: not a length of time as 90s, 5m, 1h or 1h30m",
                "--ttl 5m",
            ),
            ("'open", "a quote is not closed", "close it; ssh ca help"),
        ] {
            let usage = parse(line.as_bytes()).unwrap_err();
            assert_eq!((usage.what.as_str(), usage.hint.as_str()), (what, hint), "{line}");
        }
        for line in [
            "@",
            "a@",
            "@b",
            "DEPLOY@web01",
            "deploy@web01 ../x",
            "deploy@web01 https://t/1",
            "--json --json",
            "-x",
            "help a b",
        ] {
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
        assert!(parse(b"\xff").is_err() && parse(b"\0").is_err());
    }

    #[test]
    fn no_words_at_all_make_a_panic() {
        // A small total-grammar check: every one and two byte line is a verb or a usage error.
        for a in 0..=255u8 {
            drop(parse(&[a]));
            for b in 0..=255u8 {
                drop(parse(&[a, b]));
            }
        }
    }
}
