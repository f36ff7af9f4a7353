//! Every sentence that a person may see for a no, and what to do next.

use super::Delivery;
use super::example::{facts, ticket};
use super::facts::TicketState;
use super::refusal::Reason;
use crate::certificate::names::{OfferId, TicketId};

#[test]
fn every_reason_has_a_sentence_a_name_and_a_next_step() {
    let mut asked = facts("ana", "root@web01");
    asked.ticket = Some(ticket("ana", &[]));
    let id = || "OPS-7".parse::<TicketId>().unwrap();
    let offer = || "root-prod".parse::<OfferId>().unwrap();
    let condition = |condition: &str| Reason::ConditionFailed {
        offer: offer(),
        condition: condition.to_owned(),
        had: None,
    };
    let state = |state: TicketState, said: &str, needs: &str| Reason::TicketState {
        id: id(),
        said: said.to_owned(),
        state,
        needs: needs.to_owned(),
    };
    let names = |names: &[&str]| Reason::TicketDoesNotCover {
        id: id(),
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        host: "web01".parse().unwrap(),
    };
    let near = "root-prod".parse().ok();
    for (reason, name, sentence, hint) in [
        (
            Reason::UnknownOffer { offer: "rot".parse().unwrap(), nearest: near },
            "unknown-offer",
            "there is no offer rot",
            "the nearest is root-prod; without --offer the best one is found",
        ),
        (
            Reason::Forbidden { policy: "freeze".parse().unwrap(), why: None },
            "forbidden",
            "policy freeze forbids it",
            "no offer stands against a forbid; ask those who keep policy freeze",
        ),
        (
            Reason::TicketMissing { offer: offer() },
            "ticket-missing",
            "no ticket was given, offer root-prod needs one",
            "name the ticket: ssh ca root@web01 TICKET",
        ),
        (
            state(TicketState::Closed, "resolved", "open or pending"),
            "ticket-state",
            "ticket OPS-7 is resolved, needs open or pending",
            "ask for it to be reopened, or name a ticket that is open or pending",
        ),
        (
            state(TicketState::Pending, "To Do", "open"),
            "ticket-state",
            "ticket OPS-7 is To Do, needs open",
            "set it to open in tickets, or name a ticket that is",
        ),
        (
            Reason::TicketNotMine { id: id(), assignee: "bob".parse().ok() },
            "ticket-not-mine",
            "ticket OPS-7 is bob's, not yours",
            "have it assigned to you in tickets, or name a ticket of yours",
        ),
        (
            Reason::TicketNotMine { id: id(), assignee: None },
            "ticket-not-mine",
            "ticket OPS-7 is assigned to nobody you are mapped to",
            "assign it to yourself in tickets; if it is, have your name there added to your \
             aliases in people.toml",
        ),
        (
            names(&["db01"]),
            "ticket-does-not-cover",
            "ticket OPS-7 names db01, not web01",
            "add web01 to the ticket in tickets, or name a ticket for web01",
        ),
        (
            names(&["db01", "db02"]),
            "ticket-does-not-cover",
            "ticket OPS-7 names db01 and db02, not web01",
            "add web01 to the ticket in tickets, or name a ticket for web01",
        ),
        (
            names(&["db01", "db02", "db03", "db04"]),
            "ticket-does-not-cover",
            "ticket OPS-7 names db01, db02 and 2 more, not web01",
            "add web01 to the ticket in tickets, or name a ticket for web01",
        ),
        (
            Reason::TicketLacks { id: id(), field: "priority".to_owned(), offer: offer() },
            "ticket-lacks",
            "ticket OPS-7 has no priority, offer root-prod asks for it",
            "set its priority in tickets, or name another ticket",
        ),
        (
            Reason::ReasonMissing { offer: offer() },
            "reason-missing",
            "no reason was given, offer root-prod needs one",
            "say why: ssh ca root@web01 OPS-7 --reason \"'WHAT AND WHY'\"",
        ),
        (
            Reason::Delivery { offer: offer(), only: Delivery::OwnKey },
            "delivery",
            "offer root-prod certifies your own key only, not one made for your agent",
            "save it on standard output: ssh ca root@web01 OPS-7 --to stdout > FILE",
        ),
        (
            Reason::Delivery { offer: offer(), only: Delivery::MadeByCa },
            "delivery",
            "offer root-prod puts a fresh key into your agent only, and certifies no other",
            "forward your agent: ssh -A ca root@web01 OPS-7",
        ),
        (
            Reason::GrantOver { offer: offer() },
            "grant-over",
            "the grant is over: offer root-prod gives less time now",
            "ask again: ssh ca root@web01 OPS-7",
        ),
        (
            condition("context.ttl <= 5"),
            "condition-failed",
            "offer root-prod needs context.ttl <= 5",
            "ask for another life of the certificate with --ttl",
        ),
        (
            condition("context.period <= 5"),
            "condition-failed",
            "offer root-prod needs context.period <= 5",
            "ask for another length of the grant with --for",
        ),
        (
            condition("context.source.isIpv4()"),
            "condition-failed",
            "offer root-prod needs context.source.isIpv4()",
            "ask again when that holds, or ask those who keep offer root-prod",
        ),
    ] {
        assert_eq!(reason.to_string(), sentence);
        assert_eq!(reason.name(), name);
        assert_eq!(reason.hint(&asked, &[]), hint);
    }
}
