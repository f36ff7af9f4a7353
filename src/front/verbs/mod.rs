//! The words after the host: a total grammar, never a shell. Whatever is typed becomes a verb or a
//! usage error with one hint.

mod audit;
pub mod host;
mod lock;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};

mod request;

use self::request::{EnsureWords, RenewWords, RequestWords, Wrong, target};
use crate::audit::words::AuditWords;
use crate::certificate::names::RequestId;
use crate::certificate::safe::Safe;
use crate::config::trust::Part;
use crate::desk::locking::LockAsk;
use crate::desk::request::{Ask, Target, Want};

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
    /// A certificate.
    Request(Ask, Want),
    /// My live grants, or those of one request.
    List(Option<RequestId>),
    /// Why a login may fail.
    Why(Target),
    /// The client's ssh_config block.
    Config(Form),
    /// Who I am and what I hold.
    Status,
    /// A dry run.
    Explain(Ask),
    /// Everything one could ask for.
    Catalog,
    /// A lock set or lifted.
    Lock(LockAsk),
    /// What is locked.
    Locks,
    /// What the ledger says.
    Audit(AuditWords),
    /// Public keys for servers, clients and verifiers.
    Trust(Vec<Part>),
    /// What servers and clients are given.
    Give(host::Give),
    /// Help, perhaps on one verb.
    Help(Option<String>),
}

/// How the client's block keeps certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In the agent, with a fresh key each.
    Agent,
    /// In files, for the person's own key.
    File,
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
pub const VERBS: [&str; 18] = [
    "request",
    "renew",
    "ensure",
    "list",
    "show",
    "status",
    "why",
    "config",
    "explain",
    "catalog",
    "lock",
    "unlock",
    "locks",
    "audit",
    "trust",
    "host",
    "known-hosts",
    "help",
];

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
    Renew(RenewWords),
    Ensure(EnsureWords),
    List,
    Show {
        request: String,
    },
    #[command(alias = "whoami")]
    Status,
    Why {
        account: String,
    },
    Config {
        #[arg(long, conflicts_with = "file")]
        agent: bool,
        #[arg(long)]
        file: bool,
    },
    Explain(RequestWords),
    Catalog,
    Lock(lock::LockWords),
    Unlock(lock::LockWords),
    Locks,
    #[command(subcommand)]
    Audit(AuditWords),
    Trust(TrustWords),
    #[command(subcommand)]
    Host(host::HostWords),
    KnownHosts,
    Help {
        verb: Option<String>,
    },
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

/// The verb that was meant, if one is near enough.
pub fn near(word: &str) -> Option<&'static str> {
    crate::decide::close(word, VERBS.into_iter())
}

/// Reads one account, `LOGIN@HOST` or `HOST`: what is wrong with it, and what to type instead.
pub fn account(text: &str) -> Result<Target, (String, String)> {
    target(text)
}

/// Reads a command line as it came over the wire; `at_hand` is the ticket that came with it.
pub fn parse(line: &[u8], at_hand: Option<&str>) -> Result<Line, Usage> {
    words_to_line(split(line)?, at_hand)
}

/// The same, where the first word is a host: `HOST ID` is a request for the one account there.
pub fn parse_request(line: &[u8], at_hand: Option<&str>) -> Result<Line, Usage> {
    let mut words = split(line)?;
    words.insert(first(&words), "request".to_owned());
    words_to_line(words, at_hand)
}

fn split(line: &[u8]) -> Result<Vec<String>, Usage> {
    let usage = |what: &str, hint: &str| Usage {
        json: false,
        what: what.to_owned(),
        hint: hint.to_owned(),
        unknown: None,
    };
    let text =
        std::str::from_utf8(line).map_err(|_| usage("the words are not UTF-8", "ssh ca help"))?;
    shell_words::split(text).map_err(|_| usage("a quote is not closed", "close it; ssh ca help"))
}

/// Where the first word stands that is no option.
fn first(words: &[String]) -> usize {
    words.iter().position(|word| !word.starts_with('-')).unwrap_or(0)
}

fn words_to_line(mut words: Vec<String>, at_hand: Option<&str>) -> Result<Line, Usage> {
    let json = words.iter().any(|word| word == "--json");
    // LOGIN@HOST ID is the product: the verb is understood.
    let first = first(&words);
    if words.get(first).is_some_and(|word| word.contains('@') || word.starts_with("tag:")) {
        words.insert(first, "request".to_owned());
    }
    let quoted = words.iter().any(|word| word == "--reason");
    let verb = words.get(first).cloned().unwrap_or_default();
    let swapped = words.get(first + 1).is_some_and(|word| word.contains('@'));
    // Help lists `host config` and `audit search` as they are typed.
    let listed = ["host config", "audit search", "audit show"];
    if let [help, verb, part] = words.get(first..).unwrap_or_default()
        && help == "help"
        && listed.contains(&format!("{verb} {part}").as_str())
    {
        words.pop();
    }
    let typed = Words::try_parse_from(words).map_err(|why| {
        let usage = explain(&why, json, quoted);
        match verb.as_str() {
            "audit" => audit::explain(&why, usage),
            verb => missing(&why, verb, swapped, usage),
        }
    })?;
    let wrong = |(what, hint): Wrong| Usage { json, what, hint, unknown: None };
    let verb = match typed.verb {
        None | Some(Typed::Status) => Verb::Status,
        Some(Typed::Explain(words)) => Verb::Explain(words.ask().map_err(wrong)?),
        Some(Typed::Catalog) => Verb::Catalog,
        Some(Typed::Lock(words)) => Verb::Lock(lock::ask(words, false).map_err(wrong)?),
        Some(Typed::Unlock(words)) => Verb::Lock(lock::ask(words, true).map_err(wrong)?),
        Some(Typed::Locks) => Verb::Locks,
        Some(Typed::Audit(words)) => Verb::Audit(words),
        Some(Typed::Trust(words)) => Verb::Trust(parts(&words)),
        Some(Typed::Host(words)) => Verb::Give(host::give(words).map_err(|what| Usage {
            json,
            what,
            hint: "ssh ca help host".to_owned(),
            unknown: None,
        })?),
        Some(Typed::KnownHosts) => Verb::Give(host::Give::KnownHosts),
        Some(Typed::Help { verb }) => Verb::Help(verb),
        Some(Typed::Request(words)) => Verb::Request(words.ask().map_err(wrong)?, Want::New),
        Some(Typed::Ensure(words)) => {
            Verb::Request(words.ask(at_hand).map_err(wrong)?, Want::There)
        }
        Some(Typed::Renew(words)) => {
            let (ask, want) = words.ask().map_err(wrong)?;
            Verb::Request(ask, want)
        }
        Some(Typed::List) => Verb::List(None),
        Some(Typed::Show { request }) => {
            let id = request.parse();
            Verb::List(Some(id.map_err(|why| {
                wrong((format!("{}: {why}", Safe(&request)), "ssh ca list shows yours".into()))
            })?))
        }
        Some(Typed::Why { account }) => Verb::Why(target(&account).map_err(wrong)?),
        Some(Typed::Config { agent, file: _ }) => {
            Verb::Config(if agent { Form::Agent } else { Form::File })
        }
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

/// What one verb's words lack, and how they are typed.
fn missing(why: &clap::Error, verb: &str, swapped: bool, mut usage: Usage) -> Usage {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::time::Span;
    use crate::decide::Delivery;
    use crate::desk::request::{TicketGiven, Which};

    fn request(line: &str) -> Ask {
        match parse(line.as_bytes(), None).unwrap().verb {
            Verb::Request(ask, Want::New) => ask,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_short_form_is_the_long_form() {
        let long = request(
            "request deploy@web01 --ticket OPS-7 --reason 'roll out' --for 1h --ttl 5m --offer deploy-prod",
        );
        assert_eq!(long.account(), "deploy@web01");
        assert_eq!((long.period, long.ttl), (Some(Span::secs(3600)), Some(Span::secs(300))));
        assert_eq!(long.reason.unwrap().as_str(), "roll out");
        let short = request("deploy@web01 OPS-7");
        assert_eq!((short.targets, short.ticket), (long.targets, long.ticket));
        assert!(parse(b"--json deploy@web01 OPS-7", None).unwrap().json);
        assert!(parse(b"deploy@web01 OPS-7 --json", None).unwrap().json);
    }

    #[test]
    fn accounts_tags_hops_and_addresses_of_tickets() {
        let ask = request(
            "deploy@web01,root@db01,logs@tag:prod https://t.example/OPS-7 --via jump@hop01 --to agent",
        );
        assert_eq!(ask.account(), "deploy@web01,root@db01,logs@tag:prod");
        assert_eq!(ask.via.unwrap().to_string(), "jump@hop01");
        assert_eq!(ask.ticket, Some(TicketGiven::Url("https://t.example/OPS-7".to_owned())));
        assert_eq!(ask.to, Some(Delivery::MadeByCa));
        assert_eq!(request("tag:prod OPS-7").targets[0].login, None);
        let host = parse_request(b"--json web01 OPS-7", None).unwrap();
        assert!(
            host.json && matches!(host.verb, Verb::Request(ask, _) if ask.account() == "web01")
        );
    }

    #[test]
    fn ensure_takes_the_ticket_that_came_along_and_request_does_not() {
        let ticket = |line: &str| match parse(line.as_bytes(), Some("OPS-7")).unwrap().verb {
            Verb::Request(ask, _) => ask.ticket_text(),
            other => panic!("{other:?}"),
        };
        assert_eq!(ticket("ensure deploy@web01 root@web01").as_deref(), Some("OPS-7"));
        assert_eq!(ticket("ensure deploy@web01 --ticket OPS-8").as_deref(), Some("OPS-8"));
        assert_eq!(ticket("deploy@web01"), None);
        assert!(parse(b"ensure deploy@web01", Some("../etc")).is_err());
    }

    #[test]
    fn renew_names_a_request_an_account_or_nothing() {
        let which = |line: &str| match parse(line.as_bytes(), None).unwrap().verb {
            Verb::Request(_, Want::Further(which)) => which,
            other => panic!("{other:?}"),
        };
        assert_eq!(which("renew"), Which::Only);
        assert_eq!(which("renew r0123456789ab"), Which::Request("r0123456789ab".parse().unwrap()));
        assert_eq!(which("renew deploy@web01"), Which::Covering);
    }

    #[test]
    fn no_words_are_status_and_trust_takes_parts() {
        assert!(matches!(parse(b"", None).unwrap().verb, Verb::Status));
        assert!(matches!(parse(b"whoami", None).unwrap().verb, Verb::Status));
        assert!(
            matches!(parse(b"trust --ledger", None).unwrap().verb, Verb::Trust(parts) if parts == [Part::Ledger])
        );
        assert!(
            matches!(parse(b"trust", None).unwrap().verb, Verb::Trust(parts) if parts.len() == 4)
        );
        for words in ["help request", "help host", "help host config", "help audit show"] {
            assert!(matches!(parse(words.as_bytes(), None).unwrap().verb, Verb::Help(Some(_))));
        }
    }

    #[test]
    fn unknown_or_malformed_words_are_usage_with_one_hint() {
        for (line, what, hint) in [
            ("frobnicate", "there is no verb frobnicate", "ssh ca help"),
            ("statsu", "there is no verb statsu", "did you mean ssh ca status?"),
            ("request", "the account is missing", "ssh ca LOGIN@HOST TICKET"),
            ("ensure", "the account is missing", "ssh ca ensure LOGIN@HOST"),
            ("why --json", "the account is missing", "ssh ca why LOGIN@HOST"),
            ("explain", "the account is missing", "ssh ca explain LOGIN@HOST TICKET"),
            ("show", "the request is missing", "ssh ca show REQUEST; ssh ca list shows yours"),
            ("unlock bob --reason", "--reason <REASON> needs a value", "ssh ca help unlock"),
            ("host", "config is missing", "ssh ca host config NAME"),
            ("host --json", "config is missing", "ssh ca host config NAME"),
            ("audit --json", "search or show is missing", "ssh ca help audit"),
            ("host config", "the host is missing", "ssh ca host config NAME"),
            ("host cnfig web01", "there is no verb cnfig", "ssh ca host config NAME"),
            (
                "OPS-7 deploy@web01",
                "there is no verb OPS-7",
                "the account comes first: ssh ca LOGIN@HOST TICKET",
            ),
            (
                "ensure deploy@web01 OPS-7",
                "OPS-7 is no account",
                "ssh ca ensure LOGIN@HOST --ticket TICKET",
            ),
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
                "deploy@web01 OPS-7 --to usb",
                "--to usb: a certificate goes to agent or stdout",
                "ssh -A ca LOGIN@HOST TICKET --to agent",
            ),
            (
                "deploy@web01 OPS-7 --ttl 5",
                "--ttl 5: not a length of time as 90s, 5m, 1h or 1h30m",
                "--ttl 5m",
            ),
            ("'open", "a quote is not closed", "close it; ssh ca help"),
        ] {
            let usage = parse(line.as_bytes(), None).unwrap_err();
            assert_eq!((usage.what.as_str(), usage.hint.as_str()), (what, hint), "{line}");
        }
        for line in [
            "@",
            "a@",
            "@b",
            "DEPLOY@web01",
            "deploy@web01 ../x",
            "deploy@web01,,root@web01",
            "deploy@tag:",
            "deploy@web01 'https://t/1 2'",
            "ensure",
            "renew a@",
            "show 7",
            "config --agent --file",
            "--json --json",
            "-x",
            "help a b",
        ] {
            assert!(parse(line.as_bytes(), None).is_err(), "{line}");
        }
        assert!(parse(b"\xff", None).is_err() && parse(b"\0", None).is_err());
    }

    #[test]
    fn no_words_at_all_make_a_panic() {
        // A small total-grammar check: every one and two byte line is a verb or a usage error.
        for a in 0..=255u8 {
            drop(parse(&[a], None));
            for b in 0..=255u8 {
                drop(parse(&[a, b], None));
            }
        }
    }
}
