//! Why not, in words: one named reason for each no, one sentence each, and what to do next.

use std::collections::BTreeSet;
use std::fmt;

use super::facts::TicketState;
use super::terms::Delivery;
use crate::certificate::names::{HostName, Login, OfferId, PersonName, TicketId};
use crate::certificate::safe::Safe;

/// The answer is no: a value, told to the person and written in the ledger, not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why, at least one, the one that is nearest to a yes first, no two with the same sentence.
    pub reasons: Vec<Reason>,
    /// What to do about the first of them, for a line that starts `hint:`.
    pub hint: Option<String>,
}

/// One reason for a no. `Display` gives the sentence: lower case, no full stop, printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The offer that was picked does not exist.
    UnknownOffer {
        /// What was asked for.
        offer: OfferId,
        /// The nearest that exists, if any does.
        nearest: Option<OfferId>,
    },
    /// The offer that was picked is for somebody or something else.
    OfferElsewhere {
        /// What was asked for.
        offer: OfferId,
        /// Who asked.
        person: PersonName,
        /// The account.
        login: Login,
        /// The host.
        host: HostName,
    },
    /// No offer is for this person and this account.
    NoOffer {
        /// Who asked.
        person: PersonName,
        /// The account.
        login: Login,
        /// The host.
        host: HostName,
    },
    /// No policy lets this person do this at the desk.
    NoLeave {
        /// Who asked.
        person: PersonName,
        /// What, in words: `audit`, `lock person bob`, `unlock tag prod`.
        act: String,
    },
    /// A `forbid` applies; no offer stands against one.
    Forbidden {
        /// The forbid's `@id`.
        policy: OfferId,
        /// Its `@why`.
        why: Option<String>,
    },
    /// The offer needs a ticket, and none was given.
    TicketMissing {
        /// The offer.
        offer: OfferId,
    },
    /// The ticket is not in the right state.
    TicketState {
        /// The ticket.
        id: TicketId,
        /// Its state in the tracker's own word.
        said: String,
        /// Its state as policy sees it.
        state: TicketState,
        /// What is needed, in words: `open`, `open or pending`, `not closed`.
        needs: String,
    },
    /// The ticket is not assigned to who asks.
    TicketNotMine {
        /// The ticket.
        id: TicketId,
        /// Whom it is assigned to, if that is anybody known.
        assignee: Option<PersonName>,
    },
    /// The ticket names hosts, and not this one.
    TicketDoesNotCover {
        /// The ticket.
        id: TicketId,
        /// The hosts it names.
        names: BTreeSet<HostName>,
        /// The host that was asked for.
        host: HostName,
    },
    /// The ticket lacks something the offer asks about.
    TicketLacks {
        /// The ticket.
        id: TicketId,
        /// What it lacks, as policy calls it.
        field: String,
        /// The offer.
        offer: OfferId,
    },
    /// The offer needs a reason in words, and none was given.
    ReasonMissing {
        /// The offer.
        offer: OfferId,
    },
    /// The offer certifies a kind of key that was not asked for.
    Delivery {
        /// The offer.
        offer: OfferId,
        /// The kind of key that it certifies.
        only: Delivery,
    },
    /// The live grant has ended, by the offer's terms as they are now.
    GrantOver {
        /// The offer.
        offer: OfferId,
    },
    /// Any other condition of the offer does not hold.
    ConditionFailed {
        /// The offer.
        offer: OfferId,
        /// The condition, as the policy has it.
        condition: String,
        /// What was found instead, where there is one value that says it. It may hold foreign text.
        had: Option<String>,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOffer { offer, .. } => write!(f, "there is no offer {offer}"),
            Self::OfferElsewhere { offer, person, login, host } => {
                write!(f, "offer {offer} does not let {person} log in as {login} on {host}")
            }
            Self::NoOffer { person, login, host } => {
                write!(f, "no offer lets {person} log in as {login} on {host}")
            }
            Self::NoLeave { person, act } => write!(f, "no policy lets {person} {}", Safe(act)),
            Self::Forbidden { policy, why: None } => write!(f, "policy {policy} forbids it"),
            Self::Forbidden { policy, why: Some(why) } => {
                write!(f, "policy {policy} forbids it: {}", Safe(why))
            }
            Self::TicketMissing { offer } => {
                write!(f, "no ticket was given, offer {offer} needs one")
            }
            Self::TicketState { id, said, needs, .. } => {
                write!(f, "ticket {id} is {}, needs {}", Safe(said), Safe(needs))
            }
            Self::TicketNotMine { id, assignee: Some(assignee) } => {
                write!(f, "ticket {id} is {assignee}'s, not yours")
            }
            Self::TicketNotMine { id, assignee: None } => {
                write!(f, "ticket {id} is assigned to nobody you are mapped to")
            }
            Self::TicketDoesNotCover { id, names, host } => {
                write!(f, "ticket {id} names {}, not {host}", list(names))
            }
            Self::TicketLacks { id, field, offer } => {
                write!(f, "ticket {id} has no {}, offer {offer} asks for it", Safe(field))
            }
            Self::ReasonMissing { offer } => {
                write!(f, "no reason was given, offer {offer} needs one")
            }
            Self::Delivery { offer, only: Delivery::OwnKey } => {
                write!(f, "offer {offer} certifies your own key only, not one made for your agent")
            }
            Self::Delivery { offer, only: Delivery::MadeByCa } => {
                write!(
                    f,
                    "offer {offer} puts a fresh key into your agent only, and certifies no other"
                )
            }
            Self::GrantOver { offer } => {
                write!(f, "the grant is over: offer {offer} gives less time now")
            }
            Self::ConditionFailed { offer, condition, had } => {
                write!(f, "offer {offer} needs {}", Safe(condition))?;
                match had {
                    Some(had) => write!(f, ", had {}", Safe(had)),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Reason {
    /// The reason's name in the journal; it never changes.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnknownOffer { .. } => "unknown-offer",
            Self::OfferElsewhere { .. } => "offer-elsewhere",
            Self::NoOffer { .. } => "no-offer",
            Self::NoLeave { .. } => "no-leave",
            Self::Forbidden { .. } => "forbidden",
            Self::TicketMissing { .. } => "ticket-missing",
            Self::TicketState { .. } => "ticket-state",
            Self::TicketNotMine { .. } => "ticket-not-mine",
            Self::TicketDoesNotCover { .. } => "ticket-does-not-cover",
            Self::TicketLacks { .. } => "ticket-lacks",
            Self::ReasonMissing { .. } => "reason-missing",
            Self::Delivery { .. } => "delivery",
            Self::GrantOver { .. } => "grant-over",
            Self::ConditionFailed { .. } => "condition-failed",
        }
    }
}

/// `db01`, `db01 and db02`, `db01, db02 and 3 more`.
fn list(names: &BTreeSet<HostName>) -> String {
    let all: Vec<&str> = names.iter().map(HostName::as_str).collect();
    match all.as_slice() {
        [] => "no host".to_owned(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one} and {two}"),
        [one, two, more @ ..] => format!("{one}, {two} and {} more", more.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{facts, ticket};
    use super::*;

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
                "say why: ssh ca request root@web01 --reason TEXT",
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
}
