//! After a no: which offers came near, and what each of them missed.

use cedar_policy::Request;

use super::asks::Asks;
use super::cedar::Asked;
use super::facts::{Facts, Ticket};
use super::forbidden::forbidden as found;
use super::grant::{Bound, Given};
use super::hours::Hours;
use super::longest::{is_timed, longest};
use super::policy::{Offer, Policy};
use super::refusal::{Length, Reason, Refusal};
use super::split::Conjunct;
use super::terms::Delivery;
use super::world::nearest;
use super::{Decision, Judged, decide, judge};
use crate::certificate::names::{Login, OfferId};
use crate::certificate::time::UnixTime;

/// The most reasons that are told: a person reads the first, and a policy may have hundreds.
const MOST_REASONS: usize = 5;

/// The most hours that follow one another until it is said that they never end.
const MOST_HOURS: usize = 32;

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
    let missed = misses.into_iter().flat_map(|miss| miss.reasons);
    // Nobody can make it their shift: what they can mend is said before.
    for reason in missed.chain(shifts(policy, facts)) {
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

/// Refuses what would end before it begins: a certificate from a live grant that ended, by the terms of
/// this moment, or anything with what bounds it.
pub(super) fn over(facts: &Facts, offer: &OfferId, given: &Given) -> Refusal {
    let window = facts.ticket.as_ref().and_then(|ticket| Some((ticket, ticket.window?)));
    let reason = match (&given.bound, window) {
        (Some(Bound::Window(_)), Some((ticket, window))) => {
            Reason::TicketWindow { id: ticket.id.clone(), window, now: facts.now }
        }
        (Some(Bound::Shift(group)), _) => {
            Reason::NotYourShift { group: group.clone(), begins: None }
        }
        _ => Reason::GrantOver { offer: offer.clone() },
    };
    refusal(vec![reason], facts, &[])
}

/// The groups that would open the account if it were the person's shift, each with when that begins.
fn shifts(policy: &Policy, facts: &Facts) -> Vec<Reason> {
    let mut all = Vec::new();
    for (group, begins) in &facts.around.off_shift {
        let mut there = facts.clone();
        there.person.groups.insert(group.clone());
        there.around.off_shift.clear();
        if matches!(decide(policy, &there), Decision::Granted(_)) {
            all.push(Reason::NotYourShift { group: group.clone(), begins: *begins });
        }
    }
    all
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
        let lifted =
            said.zip(first).is_some_and(|(forbid, first)| !forbid.reads.is_disjoint(&first.reads));
        let to = if lifted { &mut after } else { &mut reasons };
        to.push(found(policy, offer, id, facts, request, asked));
    }
    let said = |one| reason(policy, offer, &offer.id, one, facts, request, asked);
    reasons.extend(first.map(said));
    reasons.append(&mut after);
    Some(Miss { offer, unmet, met, reasons })
}

/// The sentence for a condition that does not hold: of an offer, or of what would lift a forbid. `id` is
/// whose condition it is.
pub(super) fn reason(
    policy: &Policy,
    judging: &Offer,
    id: &OfferId,
    conjunct: &Conjunct,
    facts: &Facts,
    request: &Request,
    asked: &Asked<'_>,
) -> Reason {
    let offer = id.clone();
    let other = || other(policy, judging, id, conjunct, facts, request, asked);
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
        (Asks::Window, Some(Ticket { id, window: Some(window), .. })) => {
            Reason::TicketWindow { id: id.clone(), window: *window, now: facts.now }
        }
        (Asks::Reason, _) => match &facts.reason {
            Some(said) => Reason::ReasonEmpty { offer, said: said.as_str().to_owned() },
            None => Reason::ReasonMissing { offer },
        },
        (Asks::NotFrozen, _) => Reason::Frozen {
            by: offer,
            host: facts.account.host.clone(),
            freezes: facts.around.freezes.clone(),
            why: None,
        },
        (Asks::Priority(needs), Some(Ticket { id, priority: Some(has), .. })) => {
            let (id, has, needs) = (id.clone(), has.clone(), needs.clone());
            Reason::TicketPriority { id, has, needs, offer }
        }
        (Asks::Freeze(name), _) => {
            Reason::FreezeMissing { offer, host: facts.account.host.clone(), freeze: name.clone() }
        }
        (Asks::Source(networks), _) => {
            Reason::Elsewhere { offer, source: facts.source, networks: networks.clone() }
        }
        (Asks::Hours { names, within }, _) => {
            hours(policy, offer, names, *within, facts.now).unwrap_or_else(other)
        }
        (Asks::Recent { hosts }, _) => Reason::HadRecently {
            offer,
            hosts: *hosts,
            count: match hosts {
                true => facts.around.history.recent_hosts,
                false => facts.around.history.recent,
            },
            condition: conjunct.text.clone(),
        },
        (
            Asks::Ticket
            | Asks::State(_)
            | Asks::Mine
            | Asks::Covers
            | Asks::Window
            | Asks::Priority(_)
            | Asks::Other,
            _,
        ) => other(),
    }
}

/// The sentence for a condition that has none of its own. Of one on how long it is, it says how long it
/// could have been.
fn other(
    policy: &Policy,
    judging: &Offer,
    id: &OfferId,
    conjunct: &Conjunct,
    facts: &Facts,
    request: &Request,
    asked: &Asked<'_>,
) -> Reason {
    let (offer, condition) = (id.clone(), conjunct.text.clone());
    let had = conjunct.had(request, asked.entities());
    if is_timed(conjunct) {
        let Given { ttl, period, .. } = Given::under(&judging.terms, facts);
        // That there is an offer it could not be found for is no fault: something else is said then.
        if let Ok(Some((most_ttl, most_period))) = longest(policy, judging, asked, (ttl, period)) {
            let (length, most) = match most_period < period {
                true => (Length::Period, most_period),
                false => (Length::Ttl, most_ttl),
            };
            return Reason::TooLong { offer, condition, had, length, most };
        }
    }
    Reason::ConditionFailed { offer, condition, had }
}

/// The sentence for hours that this moment is not in, or is in and should not be.
fn hours(
    policy: &Policy,
    offer: OfferId,
    names: &[String],
    within: bool,
    now: UnixTime,
) -> Option<Reason> {
    let all: Vec<(&str, &Hours)> = names
        .iter()
        .filter_map(|name| Some((name.as_str(), policy.hours.get(&name.parse().ok()?)?)))
        // Of several that it should be in none of, the one that it is in.
        .filter(|(_, hours)| within || hours.contains(now))
        .collect();
    let (_, first) = all.first()?;
    let called = |(name, hours): &(&str, &Hours)| {
        let word = if name.ends_with("hours") { "" } else { " hours" };
        format!("{name}{word} ({hours})")
    };
    let shown = |at, hours: &Hours| (at, format!("{} {}", hours.shown(at), hours.zone_name));
    let again = match within {
        true => all.iter().filter_map(|(_, hours)| Some(shown(hours.begins(now)?, hours))).min(),
        false => after(policy, names, now).map(|(at, hours)| shown(at, hours)),
    };
    Some(Reason::Hours {
        offer,
        hours: all.iter().map(called).collect::<Vec<_>>().join(" or "),
        within,
        clock: first.shown(now),
        again,
    })
}

/// When the last of these hours is over that follow one another from this moment on; none where that takes
/// ever so long.
fn after<'p>(policy: &'p Policy, names: &[String], now: UnixTime) -> Option<(UnixTime, &'p Hours)> {
    let all: Vec<&Hours> =
        names.iter().filter_map(|name| policy.hours.get(&name.parse().ok()?)).collect();
    let (mut at, mut last) = (now, *all.first()?);
    for _ in 0..MOST_HOURS {
        match all.iter().find(|hours| hours.contains(at)) {
            Some(hours) => (at, last) = (hours.ends(at)?, hours),
            None => return Some((at, last)),
        }
    }
    None
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
