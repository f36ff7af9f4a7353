//! The words after the host: a total grammar, never a shell. Whatever is typed becomes a verb or a
//! usage error with one hint.

mod audit;
mod freeze;
pub mod host;
mod lock;
mod mistakes;
mod request;
#[cfg(test)]
mod tests;

use clap::{Args, Parser, Subcommand};

use self::mistakes::{explain, missing};
use self::request::{EnsureWords, RenewWords, RequestWords, Wrong, target};
use crate::audit::words::AuditWords;
use crate::certificate::names::RequestId;
use crate::certificate::safe::Safe;
use crate::config::trust::Part;
use crate::desk::freezing::FreezeAsk;
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
    /// A freeze set or lifted.
    Freeze(FreezeAsk),
    /// What is frozen.
    Freezes,
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
pub const VERBS: [&str; 21] = [
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
    "freeze",
    "thaw",
    "freezes",
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
    Freeze(freeze::FreezeWords),
    Thaw(freeze::FreezeWords),
    Freezes,
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
        Some(Typed::Freeze(words)) => Verb::Freeze(freeze::ask(words, false).map_err(wrong)?),
        Some(Typed::Thaw(words)) => Verb::Freeze(freeze::ask(words, true).map_err(wrong)?),
        Some(Typed::Freezes) => Verb::Freezes,
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
