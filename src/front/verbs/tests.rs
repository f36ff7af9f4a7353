//! The grammar: what is typed, and what it is.

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
    assert!(host.json && matches!(host.verb, Verb::Request(ask, _) if ask.account() == "web01"));
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
    assert!(matches!(parse(b"trust", None).unwrap().verb, Verb::Trust(parts) if parts.len() == 4));
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
