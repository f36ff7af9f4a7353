//! After a no: which offers came near, and what each of them missed.

use cedar_policy::Request;

use super::asks::Asks;
use super::cedar::Asked;
use super::facts::Facts;
use super::policy::{Offer, Policy};
use super::refusal::{Reason, Refusal};
use super::split::Conjunct;
use super::terms::Delivery;
use super::world::nearest;
use super::{Judged, judge};
use crate::certificate::names::{Login, OfferId};

/// The most reasons that are told: a person reads the first, and a policy may have hundreds.
const MOST_REASONS: usize = 5;

/// An offer that would have permitted the request in other circumstances.
struct Miss<'p> {
    offer: &'p Offer,
    /// How much stands against it: conditions that do not hold and forbids that do.
    unmet: usize,
    met: usize,
    reasons: Vec<Reason>,
}

/// Refuses, from the offers that were judged.
pub(super) fn refuse(
    policy: &Policy,
    facts: &Facts,
    asked: &Asked<'_>,
    judged: &[Judged<'_>],
) -> Refusal {
    let mut misses: Vec<Miss<'_>> =
        judged.iter().filter_map(|one| miss(policy, facts, asked, one)).collect();
    misses.sort_by(|a, b| {
        let nearer = a.unmet.cmp(&b.unmet).then(b.met.cmp(&a.met));
        nearer.then_with(|| a.offer.id.cmp(&b.offer.id))
    });
    let mut reasons: Vec<Reason> = Vec::new();
    let mut sentences = Vec::new();
    for reason in misses.into_iter().flat_map(|miss| miss.reasons) {
        let sentence = reason.to_string();
        if reasons.len() < MOST_REASONS && !sentences.contains(&sentence) {
            sentences.push(sentence);
            reasons.push(reason);
        }
    }
    if !reasons.is_empty() {
        return refusal(reasons, facts, &[]);
    }
    let person = facts.person.name.clone();
    let (login, host) = (facts.account.login.clone(), facts.account.host.clone());
    match facts.offer.clone() {
        Some(offer) => {
            let reason = Reason::OfferElsewhere { offer, person, login, host };
            refusal(vec![reason], facts, &[])
        }
        None => {
            let reason = Reason::NoOffer { person, login, host };
            refusal(vec![reason], facts, &reachable(policy, facts))
        }
    }
}

/// Refuses a certificate from a live grant that ended, by the terms of this moment.
pub(super) fn over(facts: &Facts, offer: &OfferId) -> Refusal {
    refusal(vec![Reason::GrantOver { offer: offer.clone() }], facts, &[])
}

/// Refuses what is permitted and cannot be handed over.
pub(super) fn undeliverable(facts: &Facts, offer: &Offer) -> Refusal {
    let only = offer.terms.delivery.unwrap_or(Delivery::OwnKey);
    refusal(vec![Reason::Delivery { offer: offer.id.clone(), only }], facts, &[])
}

/// Refuses an offer that does not exist.
pub(super) fn unknown_offer(policy: &Policy, facts: &Facts, offer: &OfferId) -> Refusal {
    let known = policy.offers.iter().map(|offer| offer.id.as_str());
    let near = nearest(offer.as_str(), known).and_then(|near| near.parse().ok());
    refusal(vec![Reason::UnknownOffer { offer: offer.clone(), nearest: near }], facts, &[])
}

fn refusal(reasons: Vec<Reason>, facts: &Facts, instead: &[Login]) -> Refusal {
    let hint = reasons.first().map(|reason| reason.hint(facts, instead));
    Refusal { reasons, hint }
}

/// What one offer missed; nothing if it is for somebody or something else, which no ticket changes.
fn miss<'p>(
    policy: &Policy,
    facts: &Facts,
    asked: &Asked<'_>,
    judged: &Judged<'p>,
) -> Option<Miss<'p>> {
    let (offer, request) = (judged.offer, &judged.case.request);
    let forbidden = &judged.case.forbidden;
    let (mut unmet, mut met) = (forbidden.len(), 0);
    let mut first = None;
    for conjunct in &offer.conjuncts {
        if conjunct.holds(request, asked.entities()) == Some(true) {
            met += 1;
        } else if !conjunct.reads.is_empty() {
            unmet += 1;
            first = first.or(Some(conjunct));
        } else {
            return None;
        }
    }
    // What is forbidden whatever the person brings comes first. A forbid that reads what the missed
    // condition reads may be lifted along with it: then the condition says what to do.
    let (mut after, mut reasons) = (Vec::new(), Vec::new());
    for id in forbidden {
        let said = policy.forbids.said.get(id);
        let why = said.and_then(|forbid| forbid.why.clone());
        let lifted =
            said.zip(first).is_some_and(|(forbid, first)| !forbid.reads.is_disjoint(&first.reads));
        let to = if lifted { &mut after } else { &mut reasons };
        to.push(Reason::Forbidden { policy: id.clone(), why });
    }
    reasons.extend(first.map(|conjunct| reason(offer, conjunct, facts, request, asked)));
    reasons.append(&mut after);
    Some(Miss { offer, unmet, met, reasons })
}

/// The sentence for the first condition of an offer that does not hold.
pub(super) fn reason(
    offer: &Offer,
    conjunct: &Conjunct,
    facts: &Facts,
    request: &Request,
    asked: &Asked<'_>,
) -> Reason {
    let offer = offer.id.clone();
    match (&conjunct.asks, &facts.ticket) {
        (Asks::Ticket | Asks::TicketField(_), None) => Reason::TicketMissing { offer },
        (Asks::TicketField(field), Some(ticket)) if field == "assignee" => {
            Reason::TicketNotMine { id: ticket.id.clone(), assignee: ticket.assignee.clone() }
        }
        (Asks::TicketField(field), Some(ticket)) => {
            Reason::TicketLacks { id: ticket.id.clone(), field: field.clone(), offer }
        }
        (Asks::State(needs), Some(ticket)) => Reason::TicketState {
            id: ticket.id.clone(),
            said: ticket.said.clone(),
            state: ticket.state,
            needs: needs.clone(),
        },
        (Asks::Mine, Some(ticket)) => {
            Reason::TicketNotMine { id: ticket.id.clone(), assignee: ticket.assignee.clone() }
        }
        (Asks::Covers, Some(ticket)) => Reason::TicketDoesNotCover {
            id: ticket.id.clone(),
            names: ticket.hosts.clone(),
            host: facts.account.host.clone(),
        },
        (Asks::Reason, _) => Reason::ReasonMissing { offer },
        (Asks::Ticket | Asks::State(_) | Asks::Mine | Asks::Covers | Asks::Other, _) => {
            Reason::ConditionFailed {
                offer,
                condition: conjunct.text.clone(),
                had: conjunct.had(request, asked.entities()),
            }
        }
    }
}

/// The accounts on the host that the person could have, now or with the right ticket.
pub fn reachable(policy: &Policy, facts: &Facts) -> Vec<Login> {
    let others = policy.accounts.get(&facts.account.host).into_iter().flatten();
    let reachable = others.filter(|login| {
        let mut facts = facts.clone();
        facts.account.login = (*login).clone();
        let Ok(asked) = Asked::new(&policy.words, &facts) else {
            return false;
        };
        let Ok(judged) = judge(policy, &facts, &asked) else {
            return false;
        };
        let near = |one: &&Judged<'_>| miss(policy, &facts, &asked, one).is_some();
        judged.iter().filter(near).any(|one| one.case.forbidden.is_empty())
    });
    reachable.cloned().collect()
}
