//! Why not, in words: one named reason for each no, one sentence each, and what to do next.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use super::facts::{TicketState, Window};
use super::terms::Delivery;
use crate::certificate::names::{
    FreezeName, GroupName, HostName, Login, OfferId, PersonName, TicketId,
};
use crate::certificate::safe::Safe;
use crate::certificate::time::{Span, UnixTime};

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
    /// The ticket has another priority.
    TicketPriority {
        /// The ticket.
        id: TicketId,
        /// Its priority in the tracker's own word. It may hold foreign text.
        has: String,
        /// The one that is needed.
        needs: String,
        /// The offer.
        offer: OfferId,
    },
    /// The offer is for the time of a freeze, and it does not stand.
    FreezeMissing {
        /// The offer.
        offer: OfferId,
        /// The host.
        host: HostName,
        /// The freeze's name.
        freeze: String,
    },
    /// The offer is for other networks than the one that was asked from.
    Elsewhere {
        /// The offer.
        offer: OfferId,
        /// Where the connection comes from.
        source: IpAddr,
        /// The networks it is for.
        networks: Vec<String>,
    },
    /// The offer needs a reason in words, and none was given.
    ReasonMissing {
        /// The offer.
        offer: OfferId,
    },
    /// The reason that was given says nothing.
    ReasonEmpty {
        /// The offer.
        offer: OfferId,
        /// What was given. It may hold foreign text.
        said: String,
    },
    /// The ticket's window has not begun, or is over.
    TicketWindow {
        /// The ticket.
        id: TicketId,
        /// Its window.
        window: Window,
        /// The moment that is not in it.
        now: UnixTime,
    },
    /// It is not the hour.
    Hours {
        /// The offer, or the forbid.
        offer: OfferId,
        /// The hours, with when they are: `office hours (mon-fri 08:00-18:30 Europe/Rome)`.
        hours: String,
        /// Whether this moment is to be in them, rather than outside.
        within: bool,
        /// What the clocks there show: `sat 22:14`.
        clock: String,
        /// From when on it is, and what the clocks there show then.
        again: Option<(UnixTime, String)>,
    },
    /// A freeze stands over the account.
    Frozen {
        /// The offer or the forbid that says so.
        by: OfferId,
        /// The host.
        host: HostName,
        /// The freezes.
        freezes: BTreeSet<FreezeName>,
        /// The forbid's `@why`.
        why: Option<String>,
    },
    /// The person was given much of late.
    HadRecently {
        /// The offer, or the forbid.
        offer: OfferId,
        /// Whether hosts are counted, rather than certificates.
        hosts: bool,
        /// How many within the hour.
        count: u64,
        /// The condition, as the policy has it.
        condition: String,
    },
    /// It would be the person's during their shift in a group.
    NotYourShift {
        /// The group.
        group: GroupName,
        /// When it begins next, if that is known.
        begins: Option<UnixTime>,
    },
    /// A `forbid` applies because of something that can be said.
    Found {
        /// The forbid's `@id`.
        policy: OfferId,
        /// Its `@why`.
        why: Option<String>,
        /// What it found.
        because: Box<Reason>,
    },
    /// A `forbid` applies because of a condition, which is all that can be said.
    Stands {
        /// The forbid's `@id`.
        policy: OfferId,
        /// Whether the condition would have to hold, as after `unless`.
        unless: bool,
        /// The condition, as [`Self::ConditionFailed`] or [`Self::TooLong`].
        because: Box<Reason>,
    },
    /// The certificate's life or the grant is too long; shorter it would be.
    TooLong {
        /// The offer, or the forbid.
        offer: OfferId,
        /// The condition, as the policy has it.
        condition: String,
        /// What was found instead.
        had: Option<String>,
        /// Which of the two.
        length: Length,
        /// The longest that it could have been.
        most: Span,
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

/// A length that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Of a certificate's life, `--ttl`.
    Ttl,
    /// Of the grant, `--for`.
    Period,
}

impl Length {
    /// How it is asked for.
    pub fn option(self) -> &'static str {
        match self {
            Self::Ttl => "--ttl",
            Self::Period => "--for",
        }
    }
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
            Self::TicketPriority { needs, offer, .. } => {
                write!(f, "{}, offer {offer} needs {}", self.found(), Safe(needs))
            }
            Self::FreezeMissing { offer, .. } => {
                write!(f, "{}, offer {offer} is for that time", self.found())
            }
            Self::Elsewhere { offer, networks, .. } => {
                write!(f, "{}, offer {offer} is for {}", self.found(), networks.join(" and "))
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
            Self::ReasonEmpty { offer, .. } => {
                write!(f, "{}, offer {offer} needs a reason", self.found())
            }
            Self::Hours { offer, hours, within, clock, .. } => {
                let not = if *within { "" } else { "not " };
                write!(f, "offer {offer} is {not}for {hours}, it is {clock} there")
            }
            Self::HadRecently { offer, condition, .. } => {
                write!(f, "{}, offer {offer} needs {}", self.found(), Safe(condition))
            }
            Self::ConditionFailed { offer, .. } | Self::TooLong { offer, .. } => {
                write!(f, "offer {offer} needs {}", self.found())
            }
            Self::Found { policy, why: Some(why), .. } => {
                write!(f, "policy {policy} forbids it: {}", Safe(why))
            }
            Self::Found { policy, why: None, because } => {
                write!(f, "policy {policy} forbids it: {}", because.found())
            }
            Self::Stands { policy, unless, because } => {
                let when = if *unless { "unless" } else { "when" };
                write!(f, "policy {policy} forbids it {when} {}", because.found())
            }
            Self::Frozen { by, why: Some(why), .. } => {
                write!(f, "policy {by} forbids it: {} ({})", Safe(why), self.found())
            }
            Self::TicketWindow { .. } | Self::Frozen { .. } | Self::NotYourShift { .. } => {
                f.write_str(&self.found())
            }
        }
    }
}

impl Reason {
    /// What was found, whoever asks for something else: the sentence without the offer.
    fn found(&self) -> String {
        match self {
            Self::TicketMissing { .. } => "no ticket was given".to_owned(),
            Self::TicketLacks { id, field, .. } => format!("ticket {id} has no {}", Safe(field)),
            Self::TicketPriority { id, has, .. } => {
                format!("ticket {id} has the priority {}", Safe(has))
            }
            Self::FreezeMissing { host, freeze, .. } => {
                format!("no freeze called {} stands over {host}", Safe(freeze))
            }
            Self::Elsewhere { source, .. } => format!("you ask from {}", source.to_canonical()),
            Self::ReasonMissing { .. } => "no reason was given".to_owned(),
            Self::ReasonEmpty { said, .. } => format!("\"{}\" says nothing", Safe(said)),
            Self::TicketWindow { id, window, now } if *now < window.from => {
                format!("the window of {id} begins at {}", window.from)
            }
            Self::TicketWindow { id, window, .. } => {
                format!("the window of {id} ended at {}", window.until)
            }
            Self::Hours { hours, within, clock, .. } => {
                let place = if *within { "outside" } else { "in" };
                format!("it is {place} {hours}, {clock} there")
            }
            Self::Frozen { host, freezes, .. } => {
                let names: Vec<&str> = freezes.iter().map(FreezeName::as_str).collect();
                let by = match names.as_slice() {
                    [] => String::new(),
                    _ => format!(" by {}", several(&names)),
                };
                format!("{host} is frozen{by}")
            }
            Self::HadRecently { hosts, count, .. } => {
                let s = if *count == 1 { "" } else { "s" };
                match hosts {
                    true => format!("you had certificates for {count} host{s} within the hour"),
                    false => format!("you had {count} certificate{s} within the hour"),
                }
            }
            Self::NotYourShift { group, .. } => format!("{group} is not your shift"),
            Self::ConditionFailed { condition, had, .. } => {
                let had = had.as_ref().map_or(String::new(), |had| format!(", had {}", Safe(had)));
                format!("{}{had}", Safe(condition))
            }
            Self::TooLong { condition, had, most, .. } => {
                let had = had.as_ref().map_or(String::new(), |had| format!(", had {}", Safe(had)));
                format!("{}{had} (at most {most})", Safe(condition))
            }
            other => other.to_string(),
        }
    }

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
            Self::TicketPriority { .. } => "ticket-priority",
            Self::FreezeMissing { .. } => "freeze-missing",
            Self::Elsewhere { .. } => "elsewhere",
            Self::ReasonMissing { .. } => "reason-missing",
            Self::ReasonEmpty { .. } => "reason-empty",
            Self::TicketWindow { .. } => "ticket-window",
            Self::Hours { .. } => "hours",
            Self::Frozen { .. } => "frozen",
            Self::HadRecently { .. } => "had-recently",
            Self::NotYourShift { .. } => "not-your-shift",
            Self::Found { .. } | Self::Stands { .. } => "forbidden",
            Self::TooLong { .. } => "too-long",
            Self::Delivery { .. } => "delivery",
            Self::GrantOver { .. } => "grant-over",
            Self::ConditionFailed { .. } => "condition-failed",
        }
    }
}

/// `db01`, `db01 and db02`, `db01, db02 and 3 more`.
fn list(names: &BTreeSet<HostName>) -> String {
    let all: Vec<&str> = names.iter().map(HostName::as_str).collect();
    several(&all)
}

fn several(names: &[&str]) -> String {
    match names {
        [] => "no host".to_owned(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one} and {two}"),
        [one, two, more @ ..] => format!("{one}, {two} and {} more", more.len()),
    }
}
