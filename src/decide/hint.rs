//! What to do about a no: one line for each reason, which a person can act on.

use super::facts::{Facts, TicketState};
use super::refusal::Reason;
use super::terms::Delivery;
use crate::certificate::names::Login;
use crate::certificate::safe::Safe;

impl Reason {
    /// What to do about it. `instead` are the accounts on the same host that the person could have.
    pub(super) fn hint(&self, facts: &Facts, instead: &[Login]) -> String {
        let (login, host) = (&facts.account.login, &facts.account.host);
        let tracker = facts.ticket.as_ref().map_or("the tracker", |ticket| ticket.tracker.as_str());
        let tracker = Safe(tracker);
        let ticket =
            facts.ticket.as_ref().map_or(String::new(), |ticket| format!(" {}", ticket.id));
        match self {
            Self::UnknownOffer { nearest: Some(nearest), .. } => {
                format!("the nearest is {nearest}; without --offer the best one is found")
            }
            Self::UnknownOffer { nearest: None, .. } => {
                "the policy has no offer at all; ask those who keep it for one".to_owned()
            }
            Self::OfferElsewhere { .. } => "leave --offer out: the best one is found".to_owned(),
            Self::NoOffer { .. } if instead.is_empty() => {
                "ask those who keep the policy for an offer".to_owned()
            }
            Self::NoOffer { .. } => {
                let logins: Vec<&str> = instead.iter().map(Login::as_str).collect();
                format!("on {host} you can ask for {}", logins.join(", "))
            }
            Self::NoLeave { .. } => "ask those who keep the policy".to_owned(),
            Self::Forbidden { policy, .. } => {
                format!("no offer stands against a forbid; ask those who keep policy {policy}")
            }
            Self::TicketMissing { .. } => format!("name the ticket: ssh ca {login}@{host} TICKET"),
            Self::TicketState { state: TicketState::Closed, needs, .. } => {
                format!("ask for it to be reopened, or name a ticket that is {}", Safe(needs))
            }
            Self::TicketState { needs, .. } => {
                format!("set it to {} in {tracker}, or name a ticket that is", Safe(needs))
            }
            Self::TicketNotMine { assignee: Some(_), .. } => {
                format!("have it assigned to you in {tracker}, or name a ticket of yours")
            }
            Self::TicketNotMine { assignee: None, .. } => format!(
                "assign it to yourself in {tracker}; if it is, have your name there added to your \
                 aliases in people.toml"
            ),
            Self::TicketDoesNotCover { .. } => {
                format!("add {host} to the ticket in {tracker}, or name a ticket for {host}")
            }
            Self::TicketLacks { field, .. } => {
                format!("set its {} in {tracker}, or name another ticket", Safe(field))
            }
            Self::TicketPriority { .. } => {
                format!(
                    "if it is as urgent as that set its priority in {tracker}, or name another ticket"
                )
            }
            Self::FreezeMissing { freeze, .. } => {
                format!(
                    "have it set by somebody who may: ssh ca freeze {} --reason TEXT",
                    Safe(freeze)
                )
            }
            Self::Elsewhere { .. } => "ask again from there".to_owned(),
            Self::ReasonMissing { .. } => {
                format!("say why: ssh ca {login}@{host}{ticket} --reason \"'WHAT AND WHY'\"")
            }
            Self::ReasonEmpty { .. } => format!(
                "say what is to be done and why: ssh ca {login}@{host}{ticket} --reason \"'swap the disk \
                 that fails in {host}'\""
            ),
            Self::TicketWindow { window, now, .. } if *now < window.from => {
                format!("ask again from {} on, or have the window moved in {tracker}", window.from)
            }
            Self::TicketWindow { .. } => {
                format!("have the window moved in {tracker}, or name another ticket")
            }
            Self::Hours { again: Some((at, shown)), .. } => format!("again from {shown} ({at})"),
            Self::Hours { again: None, offer, .. } => {
                format!("that does not come again within a year; ask those who keep policy {offer}")
            }
            Self::Frozen { .. } => {
                "wait until it is lifted; ssh ca freezes says who set it and why".to_owned()
            }
            Self::HadRecently { offer, .. } => format!(
                "what you were given counts for an hour: go on with what you have, or ask those who keep \
                 policy {offer}"
            ),
            Self::NotYourShift { begins: Some(begins), .. } => {
                format!("your shift begins at {begins}; until then ask whoever has it")
            }
            Self::NotYourShift { begins: None, .. } => "ask whoever has the shift".to_owned(),
            Self::Found { because, .. } => because.hint(facts, instead),
            Self::Stands { because, policy, .. } => match because.as_ref() {
                because @ Self::TooLong { .. } => because.hint(facts, instead),
                _ => {
                    format!("no offer stands against a forbid; ask those who keep policy {policy}")
                }
            },
            Self::TooLong { length, most, .. } => {
                format!("ask for less: ssh ca {login}@{host}{ticket} {} {most}", length.option())
            }
            Self::Delivery { only: Delivery::OwnKey, .. } => format!(
                "save it on standard output: ssh ca {login}@{host}{ticket} --to stdout > FILE"
            ),
            Self::Delivery { only: Delivery::MadeByCa, .. } => {
                format!("forward your agent: ssh -A ca {login}@{host}{ticket}")
            }
            Self::GrantOver { .. } => format!("ask again: ssh ca {login}@{host}{ticket}"),
            Self::ConditionFailed { condition, .. } if condition.contains("context.ttl") => {
                "ask for another life of the certificate with --ttl".to_owned()
            }
            Self::ConditionFailed { condition, .. } if condition.contains("context.period") => {
                "ask for another length of the grant with --for".to_owned()
            }
            Self::ConditionFailed { offer, .. } => {
                format!("ask again when that holds, or ask those who keep offer {offer}")
            }
        }
    }
}
