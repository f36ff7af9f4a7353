//! What a person is told of reasons, of conditions with several parts, and of lengths: what each had, and the
//! longest that could have been had.

use super::example::{facts, grant, load, offer, refusal, said, span, ticket, world};
use super::survey::{Verdict, survey};
use super::{Decision, Policy, Reason, Saying, World, decide};

fn forbid(id: &str, rest: &str) -> String {
    format!("@id(\"{id}\") forbid (principal, action == Action::\"login\", resource) {rest};\n")
}

#[test]
fn a_reason_that_says_nothing_is_none() {
    let policy = load(&offer("root", "when { context has reason }"));
    let asked = |said: &str| {
        let mut asked = facts("ana", "root@web01");
        asked.ticket = Some(ticket("ana", &[]));
        asked.reason = Some(said.parse().unwrap());
        asked
    };
    for empty in [
        "fixing stuff",
        "Fixing  Stuff!!",
        "\"fixing stuff\"",
        "fixing stuff, OPS-7",
        "TROUBLESHOOTING",
        "asdf",
        "aaaaaaaaaaaaaaaa",
        "xoxoxoxoxoxoxo",
        "1234567890 12",
        "............",
        "- - - - - - - -",
        "OPS-7",
        "ops-7 web01 root@web01",
        "root@web01 root@web01",
    ] {
        let asked = asked(empty);
        let no = refusal(&policy, &asked);
        let shown = empty.to_owned();
        assert_eq!(
            no.reasons[0].to_string(),
            format!("\"{shown}\" says nothing, offer root needs a reason")
        );
        assert_eq!(
            no.hint.unwrap(),
            "say what is to be done and why: ssh ca root@web01 OPS-7 --reason \"'swap the disk that fails in \
             web01'\"",
        );
    }
    for good in [
        "swap the disk that fails in web01",
        "roll back 4.2",
        "fixing stuff that broke in the rollout of 4.2",
        "Storage ist voll: \u{e4}ltere Logs l\u{f6}schen",
        "test of the restore for the auditors",
    ] {
        assert_eq!(said(&policy, &asked(good)), "granted by root", "{good}");
    }
    // An offer that needs none takes any, and it is recorded as it was typed.
    let none = load(&offer("logs", ""));
    let given = grant(&none, &asked("fixing stuff"));
    assert_eq!(given.facts().reason.as_ref().unwrap().as_str(), "fixing stuff");
    // A site has its own list.
    let saying = Saying { least: 4, phrases: vec!["Yolo Swag".to_owned()] };
    let own = Policy::load(
        "p",
        &offer("root", "when { context has reason }"),
        &World { saying, ..world() },
    );
    let own = own.unwrap();
    assert_eq!(said(&own, &asked("fixing stuff")), "granted by root");
    assert_eq!(
        said(&own, &asked("yolo, swag")),
        "\"yolo, swag\" says nothing, offer root needs a reason"
    );
}

#[test]
fn of_several_parts_each_that_failed_says_what_it_had() {
    for (condition, had) in [
        (
            "context.ttl <= 5 || context.source.isInRange(ip(\"10.0.0.0/8\"))",
            "(context.ttl <= 5) || context.source.isInRange(ip(\"10.0.0.0/8\")), had 10 and 203.0.113.9 (at most 5m)",
        ),
        (
            "!(context.ttl > 5 && context.now > datetime(\"2026-01-01\"))",
            "!((context.ttl > 5) && (context.now > datetime(\"2026-01-01\"))), had 10 and 2026-11-22T05:40:00Z (at most 5m)",
        ),
        (
            "context has ticket && context.ticket.id like \"X*\" || context.ttl < 2",
            "((context has ticket) && (context.ticket.id like \"X*\")) || (context.ttl < 2), had \"OPS-7\" and 10 (at most 1m)",
        ),
        ("context.ticket.id like \"NET-*\"", "context.ticket.id like \"NET-*\", had \"OPS-7\""),
        (
            "context.ticket.labels.containsAny([\"rollout\", \"urgent\"])",
            "context.ticket.labels.containsAny([\"rollout\", \"urgent\"]), had none",
        ),
        (
            "[\"high\", \"top\"].contains(context.ticket.tracker)",
            "[\"high\", \"top\"].contains(context.ticket.tracker), had \"tickets\"",
        ),
        (
            "context.now.toTime() >= duration(\"8h\")",
            "context.now.toTime() >= duration(\"8h\"), had 5h40m",
        ),
        (
            "context.now.toDate() == datetime(\"2026-12-24\")",
            "context.now.toDate() == datetime(\"2026-12-24\"), had 2026-11-22T00:00:00Z",
        ),
        (
            "datetime(\"2026-12-24T12:00:00Z\") < context.now",
            "datetime(\"2026-12-24T12:00:00Z\") < context.now, had 2026-11-22T05:40:00Z",
        ),
        (
            "context.now.offset(duration(\"1h\")) < datetime(\"2026-01-01T00:00:00Z\")",
            "context.now.offset(duration(\"1h\")) < datetime(\"2026-01-01T00:00:00Z\"), had 2026-11-22T06:40:00Z",
        ),
        ("context.period < context.ttl", "context.period < context.ttl, had 60 and 10"),
        (
            "if context.ttl > 5 then context.ticket.tracker == \"jira\" else true",
            "had \"tickets\" (at most 5m)",
        ),
    ] {
        let guarded = format!("when {{ context has ticket && ({condition}) }}");
        let policy = load(&offer("a", &guarded));
        let mut asked = facts("ana", "root@web01");
        asked.ticket = Some(ticket("ana", &[]));
        let no = said(&policy, &asked);
        assert!(no.starts_with("offer a needs ") && no.ends_with(had), "{condition}: {no}");
        // The same, where it is a forbid that says so.
        let text = offer("all", "")
            + &forbid("no", &format!("when {{ context has ticket }} unless {{ {condition} }}"));
        let no = said(&load(&text), &asked);
        let values = had.rsplit_once(", had").map_or(had, |(_, values)| values);
        assert!(no.starts_with("policy no forbids it unless ") && no.ends_with(values), "{no}");
    }
}

#[test]
fn the_longest_that_could_be_had_is_told() {
    let at_most = |text: &str, ttl: Option<&str>, period: Option<&str>| {
        let policy = load(text);
        let mut asked = facts("ana", "root@web01");
        (asked.ttl, asked.period) = (ttl.map(span), period.map(span));
        let no = refusal(&policy, &asked);
        let survey = survey(&policy, &asked).unwrap();
        assert!(matches!(survey.verdict, Verdict::Refused(_)));
        // What is said can be had.
        if let Reason::TooLong { length, most, .. } = &no.reasons[0] {
            let mut less = asked.clone();
            match length {
                super::Length::Ttl => less.ttl = Some(*most),
                super::Length::Period => less.period = Some(*most),
            }
            assert!(matches!(decide(&policy, &less), Decision::Granted(_)), "{text}");
        }
        (no.reasons[0].to_string(), no.hint.unwrap(), survey.longest)
    };
    let long = |rest: &str| offer("deploy-prod", rest).replace("@ttl(\"10m\")", "@ttl(\"30m\")");
    assert_eq!(
        at_most(&long("when { context.ttl <= 10 }"), None, None),
        (
            "offer deploy-prod needs context.ttl <= 10, had 30 (at most 10m)".to_owned(),
            "ask for less: ssh ca root@web01 --ttl 10m".to_owned(),
            Some((span("10m"), span("1h")))
        )
    );
    assert_eq!(
        at_most(&long("when { context.period < 45 }"), Some("5m"), Some("50m")),
        (
            "offer deploy-prod needs context.period < 45, had 50 (at most 44m)".to_owned(),
            "ask for less: ssh ca root@web01 --for 44m".to_owned(),
            Some((span("30m"), span("44m")))
        )
    );
    // A forbid as well, with the offer's own condition: the shorter one counts.
    let both = long("when { context.ttl <= 20 }") + &forbid("short", "when { context.ttl >= 15 }");
    let (sentence, hint, longest) = at_most(&both, None, None);
    assert_eq!(sentence, "offer deploy-prod needs context.ttl <= 20, had 30 (at most 14m)");
    assert_eq!(
        (hint.as_str(), longest),
        ("ask for less: ssh ca root@web01 --ttl 14m", Some((span("14m"), span("1h"))))
    );
    // Nothing is short enough: nothing is promised.
    let (sentence, _, longest) = at_most(&long("when { context.ttl < 1 }"), None, None);
    assert_eq!(
        (sentence.as_str(), longest),
        ("offer deploy-prod needs context.ttl < 1, had 30", None)
    );
}
