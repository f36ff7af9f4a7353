//! What a decision is made from: values only, collected by the desk, none of them looked up here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::certificate::names::{
    FreezeName, GroupName, HostName, HoursName, Login, OfferId, PersonName, Principal, Reason,
    RequestId, TagName, TicketId,
};
use crate::certificate::time::{Span, UnixTime};

use super::terms::Delivery;

/// Everything that one decision may read.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The id of the request that is being decided.
    pub request: RequestId,
    /// When it is decided: the one reading of the clock.
    pub now: UnixTime,
    /// Where the person's connection comes from.
    pub source: IpAddr,
    /// Who asks: the owner of the key that was proved.
    pub person: Person,
    /// The account that is asked for.
    pub account: Account,
    /// The ticket as its tracker shows it at this moment, if one was given.
    pub ticket: Option<Ticket>,
    /// Why, in the person's words.
    pub reason: Option<Reason>,
    /// The certificate's life that was asked for (`--ttl`).
    pub ttl: Option<Span>,
    /// The grant's length that was asked for (`--for`).
    pub period: Option<Span>,
    /// The one offer to judge (`--offer`), if the person picked.
    pub offer: Option<OfferId>,
    /// How the certificate can be handed over, the best way first; none in a dry run, where it is all
    /// the same.
    pub deliveries: Vec<Delivery>,
    /// The live grant that a further certificate is asked from; `None` for a request of its own.
    pub within: Option<Within>,
    /// What stands around the request at this moment.
    pub around: Around,
}

/// What stands around a request at this moment, beyond who asks for what and why. The default is a
/// quiet moment outside all hours, of a person about whom nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Around {
    /// The named hours of `hours.toml` that this moment is in.
    pub hours: BTreeSet<HoursName>,
    /// The freezes that stand over the account: those over everything, and those over its host's tags.
    pub freezes: BTreeSet<FreezeName>,
    /// What this person was given before.
    pub history: History,
    /// The groups that the person is in while it is their shift, and it is not at this moment; each with when
    /// it begins next, if that is known. For the sentence that says so, and nothing else.
    pub off_shift: BTreeMap<GroupName, Option<UnixTime>>,
}

/// What a person was given before, as the ledger has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// How many days ago the person was last given a certificate for this account; `None` if never.
    pub last_days: Option<u64>,
    /// How many certificates the person was given within the last hour.
    pub recent: u64,
    /// For how many hosts those were, and those before this one in the same request.
    pub recent_hosts: u64,
    /// The hosts that certificates of the last hour were for.
    pub hosts: BTreeSet<HostName>,
    /// Why it could not be read: then nothing can be decided.
    pub fault: Option<String>,
}

impl History {
    /// Counts hosts that come before this one in the same request: nobody gets past a budget by asking for
    /// everything at once.
    pub fn after<'a>(&mut self, before: impl IntoIterator<Item = &'a HostName>) {
        let new: BTreeSet<&HostName> =
            before.into_iter().filter(|host| !self.hosts.contains(*host)).collect();
        let new = u64::try_from(new.len()).unwrap_or(u64::MAX);
        self.recent_hosts = self.recent_hosts.saturating_add(new);
    }
}

/// A live grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Within {
    /// When it was made.
    pub began: UnixTime,
    /// When it ends.
    pub ends: UnixTime,
    /// The offer that decided then, and alone is judged now.
    pub offer: OfferId,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Person {
    /// The name in `people.toml`.
    pub name: PersonName,
    /// A service, not a human being.
    pub service: bool,
    /// The e-mail address, if one is configured.
    pub email: Option<String>,
    /// The groups the person is in.
    pub groups: BTreeSet<GroupName>,
    /// The groups the person is in only because of a shift, and when that shift ends. None of them is
    /// in `groups`.
    pub shifts: BTreeMap<GroupName, UnixTime>,
}

impl Person {
    /// Every group that the person is in at this moment.
    pub fn all_groups(&self) -> impl Iterator<Item = &GroupName> {
        self.groups.iter().chain(self.shifts.keys())
    }
}

/// An account on a host.
#[derive(Debug, Clone)]
pub struct Account {
    /// The account's name on the host.
    pub login: Login,
    /// The host's canonical name, or the pool's.
    pub host: HostName,
    /// Whether `host` names a pool of interchangeable machines.
    pub pool: bool,
    /// Whether the host cannot map principals, so that the certificate names the bare account.
    pub bare: bool,
    /// The group that owns the host.
    pub owner: Option<GroupName>,
    /// The host's tags.
    pub tags: BTreeSet<TagName>,
}

impl Account {
    /// `LOGIN@HOST`.
    pub fn name(&self) -> String {
        format!("{}@{}", self.login, self.host)
    }

    /// The principal that opens this account.
    pub fn principal(&self) -> Principal {
        if self.bare {
            Principal::Bare(self.login.clone())
        } else {
            Principal::At(self.login.clone(), self.host.clone())
        }
    }
}

/// A ticket as its tracker showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The tracker's name in `ca.toml`.
    pub tracker: String,
    /// The ticket's id.
    pub id: TicketId,
    /// The state, in the three words policy knows.
    pub state: TicketState,
    /// The state in the tracker's own word ("resolved").
    pub said: String,
    /// The title.
    pub title: String,
    /// The person the assignee maps to through `aliases`; nobody if it maps to nobody.
    pub assignee: Option<PersonName>,
    /// The priority in the tracker's word.
    pub priority: Option<String>,
    /// The labels.
    pub labels: BTreeSet<String>,
    /// The hosts the ticket names, by canonical name; none means it names no host.
    pub hosts: BTreeSet<HostName>,
    /// When the work may be done; `None` if the ticket does not say.
    pub window: Option<Window>,
}

/// From when until when: the first second is in it, the last one is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first second of it.
    pub from: UnixTime,
    /// The first second after it.
    pub until: UnixTime,
}

impl Window {
    /// Whether this moment is in it.
    pub fn holds(&self, now: UnixTime) -> bool {
        (self.from..self.until).contains(&now)
    }
}

impl Ticket {
    /// Whether the ticket is assigned to this person.
    pub fn mine(&self, person: &PersonName) -> bool {
        self.assignee.as_ref() == Some(person)
    }

    /// Whether this moment is in the ticket's window, or it has none.
    pub fn in_window(&self, now: UnixTime) -> bool {
        self.window.is_none_or(|window| window.holds(now))
    }

    /// Whether the ticket names this host, or names none.
    pub fn covers(&self, host: &HostName) -> bool {
        self.hosts.is_empty() || self.hosts.contains(host)
    }
}

/// The states that policy tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketState {
    /// Work may go on.
    Open,
    /// Not started, or waiting for somebody.
    Pending,
    /// Done, rejected, cancelled.
    Closed,
}

impl TicketState {
    /// The word policy compares with: `open`, `pending` or `closed`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Pending => "pending",
            Self::Closed => "closed",
        }
    }
}
