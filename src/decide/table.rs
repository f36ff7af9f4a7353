//! The decisions of the example's policy: who gets what, and the reason of each no.

use super::example::{because, facts, load, policy, refusal, said, with};
use super::facts::{Ticket, TicketState};
use super::{Decision, Reason, decide};

#[test]
fn who_gets_what_at_once_in_the_example() {
    let policy = policy();
    for (person, account, expected) in [
        ("ana", "logs@web01", "granted by logs-prod"),
        ("bob", "logs@db01", "granted by logs-prod"),
        ("ana", "dev@dev01", "granted by edit-dev"),
        ("bob", "jump@hop01", "granted by hop"),
        ("triage", "logs@db01", "granted by agent-logs"),
        (
            "cleo",
            "root@web01",
            "no freeze called incident stands over web01, offer break-glass is for that time; \
          policy guard-root forbids it: root on production takes a person, a ticket and certificates of 10 minutes \
          at most; no ticket was given, offer root-prod needs one",
        ),
        ("iris", "logs@web01", "no offer lets iris log in as logs on web01"),
        ("deploy-bot", "deploy@web01", "granted by bot-deploy"),
        ("ana", "deploy@web01", "no ticket was given, offer deploy-prod needs one"),
        ("vera", "dev@dev01", "no ticket was given, offer vendor-dev01 needs one"),
        ("bob", "root@web01", "no offer lets bob log in as root on web01"),
        ("vera", "logs@web01", "no offer lets vera log in as logs on web01"),
        ("vera", "jump@hop01", "no offer lets vera log in as jump on hop01"),
        ("deploy-bot", "root@web01", "no offer lets deploy-bot log in as root on web01"),
        ("deploy-bot", "logs@web01", "no offer lets deploy-bot log in as logs on web01"),
        ("mallory", "logs@web01", "no offer lets mallory log in as logs on web01"),
        // A host that is tagged with nothing is in no offer, not in all of them.
        ("ana", "logs@web09", "no offer lets ana log in as logs on web09"),
    ] {
        assert_eq!(said(&policy, &facts(person, account)), expected, "{person} {account}");
    }
}

#[test]
fn a_ticket_opens_what_it_is_for_and_nothing_else() {
    let policy = policy();
    let urgent = |ticket: &mut Ticket| ticket.priority = Some("high".to_owned());
    for (asked, expected) in [
        (with("bob", "deploy@web01", |_| {}), "granted by deploy-prod"),
        (
            with("bob", "deploy@web01", |t| t.hosts.extend(["web01".parse().unwrap()])),
            "granted by deploy-prod",
        ),
        (because(with("ana", "root@db01", urgent)), "granted by root-prod"),
        (with("ana", "root@db01", urgent), "no reason was given, offer root-prod needs one"),
        (with("vera", "dev@dev01", |_| {}), "granted by vendor-dev01"),
        // bob is no site reliability engineer, however urgent his ticket.
        (with("bob", "root@db01", urgent), "no offer lets bob log in as root on db01"),
        (with("vera", "deploy@web01", urgent), "no offer lets vera log in as deploy on web01"),
        (
            with("bob", "deploy@web01", |t| t.assignee = Some("ana".parse().unwrap())),
            "ticket OPS-7 is ana's, not yours",
        ),
        (
            with("bob", "deploy@web01", |t| t.assignee = None),
            "ticket OPS-7 is assigned to nobody you are mapped to",
        ),
        (
            with("bob", "deploy@web01", |t| t.hosts.extend(["db01".parse().unwrap()])),
            "ticket OPS-7 names db01, not web01",
        ),
        (
            with("ana", "root@db01", |t| t.priority = Some("low".to_owned())),
            "ticket OPS-7 has the priority low, offer root-prod needs high",
        ),
        (
            with("ana", "root@db01", |_| {}),
            "ticket OPS-7 has no priority, offer root-prod asks for it",
        ),
        (
            with("ana", "root@db01", |t| {
                t.state = TicketState::Closed;
                t.said = "resolved".to_owned();
            }),
            "ticket OPS-7 is resolved, needs open",
        ),
    ] {
        assert_eq!(said(&policy, &asked), expected, "{asked:?}");
    }
}

#[test]
fn a_refusal_names_its_reason_and_the_next_step() {
    let policy = policy();
    let needs = refusal(&policy, &facts("bob", "deploy@web01"));
    let expected = Reason::TicketMissing { offer: "deploy-prod".parse().unwrap() };
    assert_eq!(needs.reasons, [expected]);
    assert_eq!(needs.hint.unwrap(), "name the ticket: ssh ca deploy@web01 TICKET");

    let closed = with("bob", "deploy@web01", |ticket| {
        ticket.state = TicketState::Closed;
        ticket.said = "resolved".to_owned();
    });
    let closed = refusal(&policy, &closed);
    let expected = Reason::TicketState {
        id: "OPS-7".parse().unwrap(),
        said: "resolved".to_owned(),
        state: TicketState::Closed,
        needs: "open".to_owned(),
    };
    assert_eq!(closed.reasons, [expected]);
    assert_eq!(closed.hint.unwrap(), "ask for it to be reopened, or name a ticket that is open");

    // What could be asked for on the same host, were it asked for.
    let none = refusal(&policy, &facts("bob", "root@web01"));
    assert_eq!(none.hint.unwrap(), "on web01 you can ask for deploy, logs");
    let none = refusal(&policy, &facts("vera", "root@web01"));
    assert_eq!(none.hint.unwrap(), "ask those who keep the policy for an offer");
}

#[test]
fn an_offer_that_was_picked_is_the_only_one_judged() {
    let policy = policy();
    let mut asked = facts("ana", "logs@web01");
    for (picked, expected, hint) in [
        ("logs-prod", "granted by logs-prod", ""),
        (
            "logs-prd",
            "there is no offer logs-prd",
            "the nearest is logs-prod; without --offer the best one is found",
        ),
        // A forbid is no offer.
        ("guard-root", "there is no offer guard-root", "the nearest is "),
        (
            "hop",
            "offer hop does not let ana log in as logs on web01",
            "leave --offer out: the best one is found",
        ),
        (
            "root-prod",
            "offer root-prod does not let ana log in as logs on web01",
            "leave --offer out",
        ),
    ] {
        asked.offer = Some(picked.parse().unwrap());
        assert_eq!(said(&policy, &asked), expected);
        if let Decision::Refused(no) = decide(&policy, &asked) {
            assert!(no.hint.as_ref().unwrap().starts_with(hint), "{no:?}");
        }
    }
    let mut asked = facts("ana", "deploy@web01");
    asked.offer = Some("deploy-prod".parse().unwrap());
    assert_eq!(said(&policy, &asked), "no ticket was given, offer deploy-prod needs one");
    asked.offer = Some("nothing".parse().unwrap());
    assert_eq!(said(&load(""), &asked), "there is no offer nothing");
}

#[test]
fn mallory_cannot_draw_on_anas_terminal() {
    // 1. mallory writes an escape sequence into the priority and the state of a ticket.
    // 2. ana gives that ticket, is refused, and the refusal shows what the ticket said.
    // 3. Were it shown raw, her terminal would print a yes of mallory's making.
    let evil = "\u{1b}[2J\u{1b}[1;1Hissued\n\u{202e}";
    let policy = policy();
    let priority = with("ana", "root@db01", |ticket| ticket.priority = Some(evil.to_owned()));
    let state = with("ana", "root@db01", |ticket| {
        ticket.state = TicketState::Closed;
        ticket.said = evil.to_owned();
        ticket.tracker = evil.to_owned();
    });
    let nobody = with("ana", "root@db01", |ticket| {
        ticket.assignee = None;
        ticket.tracker = evil.to_owned();
    });
    for asked in [priority, state, nobody] {
        let no = refusal(&policy, &asked);
        let said = format!("{} {}", said(&policy, &asked), no.hint.unwrap());
        assert!(said.bytes().all(|b| (0x20..=0x7e).contains(&b)), "{said:?}");
        assert!(said.contains("\\u{1b}[2J"), "{said}");
    }
}
