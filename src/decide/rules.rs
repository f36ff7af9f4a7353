//! The rules of deciding, each with a small policy: forbids, faults, durations, which offer decides,
//! which reason is told.

use super::example::{facts, grant, load, offer, policy, refusal, said, span, with, world};
use super::facts::TicketState;
use super::{Clip, Clipped, Decision, OfferId, Policy, Reason, decide};

#[test]
fn a_forbid_wins_over_every_offer() {
    let text = offer("all", "")
        + "@id(\"freeze\") @why(\"frozen until monday\") forbid (principal, action, resource in Tag::\"prod\");";
    let policy = load(&text);
    assert_eq!(said(&policy, &facts("ana", "dev@dev01")), "granted by all");
    let no = refusal(&policy, &facts("ana", "root@web01"));
    let freeze: OfferId = "freeze".parse().unwrap();
    let why = Some("frozen until monday".to_owned());
    assert_eq!(no.reasons, [Reason::Forbidden { policy: freeze, why }]);
    assert_eq!(no.reasons[0].to_string(), "policy freeze forbids it: frozen until monday");
    assert_eq!(
        no.hint.unwrap(),
        "no offer stands against a forbid; ask those who keep policy freeze"
    );
}

#[test]
fn what_a_ticket_lifts_is_told_after_the_ticket_and_what_it_does_not_before() {
    // In the example the ticket lifts guard-root as well.
    let no = said(&policy(), &facts("ana", "root@web01"));
    assert!(
        no.starts_with("no ticket was given, offer root-prod needs one; policy guard-root"),
        "{no}"
    );
    let text = offer("all", "when { context has ticket }")
        + "@id(\"by-night\") forbid (principal, action, resource) when { context.now > datetime(\"2026-01-01\") };";
    assert_eq!(
        said(&load(&text), &facts("ana", "root@web01")),
        "policy by-night forbids it when context.now > datetime(\"2026-01-01\"), had 2026-11-22T05:40:00Z; no ticket was given, offer all needs one"
    );
}

#[test]
fn a_group_counts_however_a_statement_comes_to_it() {
    let mut asked = facts("ana", "root@web01");
    asked.account.owner = Some("sre".parse().unwrap());
    for (with, granted) in [
        ("when { resource has owner && principal in resource.owner }", true),
        ("when { principal in [Group::\"dev\", Group::\"sre\"] }", true),
        ("when { if principal in Group::\"sre\" then true else false }", true),
        ("unless { principal in Group::\"sre\" }", false),
        ("unless { resource in [Tag::\"dev\", Tag::\"prod\"] }", false),
        ("when { resource in Tag::\"prod\" && resource in Host::\"web01\" }", true),
    ] {
        let said = said(&load(&offer("all", with)), &asked);
        assert_eq!(said == "granted by all", granted, "{with}: {said}");
    }
    asked.account.owner = Some("dev".parse().unwrap());
    let owners = offer("all", "when { resource has owner && principal in resource.owner }");
    assert_ne!(said(&load(&owners), &asked), "granted by all");
}

#[test]
fn fault_is_no() {
    // A forbid that overflows: Cedar passes over it, and would let everybody in.
    let overflow = "@id(\"too-big\") forbid (principal, action == Action::\"login\", resource) \
                    when { context.ttl * 9223372036854775807 > 0 };";
    let fault = said(&load(&(offer("all", "") + overflow)), &facts("ana", "root@web01"));
    assert!(fault.starts_with("fault: policy too-big could not be evaluated: "), "{fault}");
    // An offer that overflows, beside one that permits.
    let text =
        offer("fine", "") + &offer("broken", "when { context.ttl * 9223372036854775807 > 0 }");
    let policy = load(&text);
    let mut asked = facts("ana", "root@web01");
    let Decision::Fault(fault) = decide(&policy, &asked) else { panic!("no fault") };
    assert_eq!(fault.policy(), Some("broken"));
    // One that cannot be for this login is not evaluated, but only where that comes first.
    let overflow = "context.ttl * 9223372036854775807 > 0";
    let other = format!("when {{ resource.login == \"dev\" }} when {{ {overflow} }}");
    let late = format!("when {{ {overflow} }} when {{ resource.login == \"dev\" }}");
    let text = |with: &str| offer("fine", "") + &offer("broken", with);
    assert_eq!(said(&load(&text(&other)), &asked), "granted by fine");
    assert!(said(&load(&text(&late)), &asked).starts_with("fault: policy broken could not"));
    // An offer that is not judged cannot fault.
    asked.offer = Some("fine".parse().unwrap());
    assert_eq!(said(&policy, &asked), "granted by fine");
}

#[test]
fn a_guard_counts_only_for_what_follows_it() {
    let guarded = load(&offer("a", "when { context has reason && context.reason == \"x\" }"));
    assert_eq!(
        said(&guarded, &facts("ana", "root@web01")),
        "no reason was given, offer a needs one"
    );
    // The other way round the validator refuses it, so that it can never become a fault.
    let text = offer("a", "when { context.reason == \"x\" } when { context has reason }");
    assert!(Policy::load("p", &text, &world()).is_err());
}

#[test]
fn more_than_the_offer_gives_is_clipped_and_said() {
    let policy = load(
        "@id(\"a\") @ttl(\"10m\") @period(\"1h\") permit (principal, action == Action::\"login\", resource);",
    );
    let clip = |asked: &str, given: &str| Some(Clip { asked: span(asked), given: span(given) });
    for (ttl, period, given, clipped) in [
        (None, None, ("10m", "1h"), (None, None)),
        (Some("5m"), None, ("5m", "1h"), (None, None)),
        (Some("30m"), None, ("10m", "1h"), (clip("30m", "10m"), None)),
        (None, Some("8h"), ("10m", "1h"), (None, clip("8h", "1h"))),
        (Some("10m"), Some("1h"), ("10m", "1h"), (None, None)),
        // A certificate never outlives its grant.
        (None, Some("5m"), ("5m", "5m"), (None, None)),
        (Some("7m"), Some("5m"), ("5m", "5m"), (clip("7m", "5m"), None)),
        (Some("2h"), Some("2h"), ("10m", "1h"), (clip("2h", "10m"), clip("2h", "1h"))),
    ] {
        let mut asked = facts("ana", "root@web01");
        (asked.ttl, asked.period) = (ttl.map(span), period.map(span));
        let grant = grant(&policy, &asked);
        assert_eq!(
            (grant.ttl(), grant.period()),
            (span(given.0), span(given.1)),
            "{ttl:?} {period:?}"
        );
        assert_eq!(grant.clipped(), Clipped { ttl: clipped.0, period: clipped.1 });
        assert_eq!(grant.ends(), asked.now.plus(grant.period()));
        assert_eq!(grant.terms().ttl, span("10m"));
        assert_eq!(grant.facts().request, asked.request);
    }
}

#[test]
fn an_offer_is_judged_with_the_durations_it_would_give() {
    let short = "@id(\"short-only\") forbid (principal, action == Action::\"login\", resource) when { context.ttl > 10 };";
    let long =
        "@id(\"long\") @ttl(\"30m\") permit (principal, action == Action::\"login\", resource);";
    let policy = load(&format!("{long}{short}"));
    let mut asked = facts("ana", "root@web01");
    assert_eq!(
        said(&policy, &asked),
        "policy short-only forbids it when context.ttl > 10, had 30 (at most 10m)"
    );
    asked.ttl = Some(span("10m"));
    assert_eq!(grant(&policy, &asked).ttl(), span("10m"));
    // Minutes are rounded up: 10m1s is not 10 minutes.
    asked.ttl = Some(span("601s"));
    assert_eq!(
        said(&policy, &asked),
        "policy short-only forbids it when context.ttl > 10, had 11 (at most 10m)"
    );
    // The terms are the offer's, whatever was asked.
    let by_terms = "@id(\"by-terms\") forbid (principal, action == Action::\"login\", resource) when { context.terms.ttl > 10 };";
    asked.ttl = Some(span("5m"));
    assert_eq!(
        said(&load(&format!("{long}{by_terms}")), &asked),
        "policy by-terms forbids it when context.terms.ttl > 10, had 30"
    );
}

#[test]
fn of_the_offers_that_permit_the_longest_decides_then_the_smaller_id() {
    let with_ttl = |id: &str, ttl: &str| offer(id, "").replace("10m", ttl);
    let policy = load(
        &(with_ttl("c", "5m")
            + &with_ttl("b", "10m")
            + &with_ttl("a2", "10m")
            + &with_ttl("a1", "9m")),
    );
    let mut asked = facts("ana", "root@web01");
    assert_eq!(said(&policy, &asked), "granted by a2");
    // Asked for little, all give the same.
    asked.ttl = Some(span("5m"));
    assert_eq!(said(&policy, &asked), "granted by a1");
    asked.offer = Some("c".parse().unwrap());
    assert_eq!(said(&policy, &asked), "granted by c");
}

#[test]
fn the_nearest_miss_is_told_first_and_no_sentence_twice() {
    let text = offer(
        "a-far",
        "when { context has ticket && context.ticket.mine && context.ticket.state == \"open\" }",
    ) + &offer("b-near", "when { context has ticket && context.ticket.mine }")
        + &offer("c-near", "when { context has ticket } when { context.ticket.mine }")
        + &offer("d-root", "when { context has ticket } when { resource.login == \"deploy\" }")
        + &offer(
            "e-ana",
            "when { principal.name == \"ana\" && context has ticket && context.ticket.mine && context.ticket.covers }",
        );
    let policy = load(&text);
    let asked = with("bob", "root@web01", |ticket| {
        ticket.assignee = Some("ana".parse().unwrap());
        ticket.state = TicketState::Pending;
        ticket.said = "To Do".to_owned();
    });
    assert_eq!(said(&policy, &asked), "ticket OPS-7 is ana's, not yours");
    let mut asked = asked;
    asked.ticket.as_mut().unwrap().assignee = Some("bob".parse().unwrap());
    asked.offer = Some("a-far".parse().unwrap());
    let no = refusal(&policy, &asked);
    assert_eq!(no.reasons[0].to_string(), "ticket OPS-7 is To Do, needs open");
    assert_eq!(no.hint.unwrap(), "set it to open in tickets, or name a ticket that is");
    // Five at most, nearest first.
    let many: String =
        (0..9).map(|n| offer(&format!("o{n}"), "when { context has ticket }")).collect();
    assert_eq!(refusal(&load(&many), &facts("bob", "root@web01")).reasons.len(), 5);
}

#[test]
fn conditions_without_a_sentence_of_their_own_say_what_was_found() {
    for (condition, expected) in [
        ("context.ttl <= 5", "offer a needs context.ttl <= 5, had 10 (at most 5m)"),
        (
            "context.source.isInRange(ip(\"10.0.0.0/8\"))",
            "you ask from 203.0.113.9, offer a is for 10.0.0.0/8",
        ),
        (
            "!context.source.isInRange(ip(\"203.0.113.0/24\"))",
            "offer a needs !context.source.isInRange(ip(\"203.0.113.0/24\")), had 203.0.113.9",
        ),
        (
            "context.factors.contains(\"touch\")",
            "offer a needs context.factors.contains(\"touch\"), had [\"publickey\"]",
        ),
        (
            "context.now < datetime(\"2026-01-01\")",
            "offer a needs context.now < datetime(\"2026-01-01\"), had 2026-11-22T05:40:00Z",
        ),
        (
            "context.ttl < 5 || context.period < 5",
            "offer a needs (context.ttl < 5) || (context.period < 5), had 10 and 60 (at most 4m)",
        ),
    ] {
        let policy = load(&offer("a", &format!("when {{ {condition} }}")));
        assert_eq!(said(&policy, &facts("ana", "root@web01")), expected);
    }
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_still_in_its_range() {
    let text = offer("all", "")
        + "@id(\"cellar\") forbid (principal, action, resource) when { context.source.isInRange(ip(\"10.0.0.0/8\")) };";
    let mut asked = facts("ana", "root@web01");
    asked.source = "::ffff:10.1.2.3".parse().unwrap();
    assert_eq!(
        said(&load(&text), &asked),
        "policy cellar forbids it when context.source.isInRange(ip(\"10.0.0.0/8\")), had 10.1.2.3"
    );
}
