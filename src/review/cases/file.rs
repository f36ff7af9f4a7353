//! A file of cases as a team writes it, in TOML; everything that is wrong with it is said with line and
//! caret.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use crate::certificate::names::{
    FreezeName, GroupName, HostName, HoursName, OfferId, PersonName, TicketId,
};
use crate::certificate::time::{Span, UnixTime};
use crate::config::unique::Unique;
use crate::decide::Problems;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// When, unless a case says otherwise.
    pub(super) at: Option<UnixTime>,
    /// Whence, unless a case says otherwise.
    pub(super) source: Option<IpAddr>,
    /// Tickets that several cases give.
    #[serde(default)]
    pub(super) ticket: Unique<String, Spanned<Ticket>>,
    /// The cases.
    #[serde(default)]
    pub(super) case: Vec<Spanned<Case>>,
}

/// One case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// What it is called, once in a file.
    pub(super) name: Spanned<String>,
    /// Who asks.
    pub(super) person: Spanned<PersonName>,
    /// For which account, or accounts: `deploy@web01`, `tag:prod`, `deploy@tag:prod`.
    pub(super) account: Option<OneOrMore>,
    /// Or what to do at the desk: `audit`, `lock person bob`, `unlock everything`.
    pub(super) act: Option<Spanned<String>>,
    /// With which ticket.
    pub(super) ticket: Option<Spanned<TicketGiven>>,
    /// Why.
    pub(super) reason: Option<Spanned<String>>,
    /// When.
    pub(super) at: Option<UnixTime>,
    /// Whence.
    pub(super) source: Option<IpAddr>,
    /// For how long.
    #[serde(rename = "for")]
    pub(super) period: Option<Span>,
    /// The life of a certificate.
    pub(super) ttl: Option<Span>,
    /// The offer that is picked.
    pub(super) offer: Option<Spanned<OfferId>>,
    /// The one way to hand it over: `own-key` or `made-by-ca`; either unless it is said.
    pub(super) delivery: Option<Spanned<String>>,
    /// The freezes that stand over it.
    #[serde(default)]
    pub(super) freezes: Vec<FreezeName>,
    /// The hours it is in, instead of those that `at` is in.
    pub(super) hours: Option<Vec<Spanned<HoursName>>>,
    /// The groups the person is in for a shift, and until when.
    #[serde(default)]
    pub(super) on_call: Unique<GroupName, Spanned<UnixTime>>,
    /// What the person was given before.
    pub(super) history: Option<Spanned<History>>,

    /// How it must end.
    pub(super) expect: Expect,
    /// The offer, or the desk's permit, that must have decided.
    pub(super) by: Option<Spanned<OfferId>>,
    /// What must be given.
    pub(super) gives: Option<Gives>,
    /// The reasons that must be told: these, in this order.
    pub(super) reasons: Option<Vec<String>>,
    /// What must be told among the reasons.
    pub(super) reason_has: Option<String>,
    /// The hint that must be told.
    pub(super) hint: Option<String>,
}

/// How a case must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Expect {
    Granted,
    Refused,
}

/// What a grant must give.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gives {
    pub(super) ttl: Option<Span>,
    pub(super) period: Option<Span>,
    pub(super) ends: Option<UnixTime>,
    pub(super) extensions: Option<Vec<String>>,
    pub(super) force_command: Option<String>,
    pub(super) source_address: Option<Vec<String>>,
}

/// What the person was given before; a person whose history is not said was given this account
/// yesterday, and nothing since.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct History {
    /// Never before.
    pub(super) first_time: bool,
    pub(super) last_days: Option<u64>,
    pub(super) recent: u64,
    pub(super) recent_hosts: u64,
}

/// A ticket.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ticket {
    /// Its id; in a `[ticket.ID]` the table's own name.
    pub(super) id: Option<TicketId>,
    pub(super) tracker: Option<Spanned<HostName>>,
    pub(super) state: State,
    /// The state in the tracker's word, if it is another.
    pub(super) said: Option<String>,
    #[serde(default)]
    pub(super) title: String,
    /// A person, or what the tracker calls one.
    pub(super) assignee: Option<Spanned<String>>,
    pub(super) priority: Option<String>,
    #[serde(default)]
    pub(super) labels: Vec<String>,
    #[serde(default)]
    pub(super) hosts: Vec<Spanned<String>>,
    /// From when until when.
    pub(super) window: Option<[UnixTime; 2]>,
}

/// A ticket's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Open,
    Pending,
    Closed,
}

/// A ticket by its id in this file, or written out.
#[derive(Debug)]
pub(super) enum TicketGiven {
    Id(String),
    Here(Box<Ticket>),
}

impl<'de> Deserialize<'de> for TicketGiven {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Given;
        impl<'de> Visitor<'de> for Given {
            type Value = TicketGiven;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a ticket, or the id of a [ticket.ID] of this file")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<TicketGiven, E> {
                Ok(TicketGiven::Id(text.to_owned()))
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<TicketGiven, M::Error> {
                let ticket = Ticket::deserialize(MapAccessDeserializer::new(map))?;
                Ok(TicketGiven::Here(Box::new(ticket)))
            }
        }
        d.deserialize_any(Given)
    }
}

/// A text, or a list of them.
#[derive(Debug)]
pub(super) struct OneOrMore(pub(super) Vec<Spanned<String>>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Texts(PhantomData<()>);
        impl<'de> Visitor<'de> for Texts {
            type Value = Vec<Result<Spanned<String>, String>>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("LOGIN@HOST, tag:TAG, or a list of them")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(vec![Err(text.to_owned())])
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element::<Spanned<String>>()? {
                    all.push(Ok(one));
                }
                Ok(all)
            }
        }
        // A text alone does not tell its own place: the whole value's is it.
        struct Any(Vec<Result<Spanned<String>, String>>);
        impl<'de> Deserialize<'de> for Any {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                d.deserialize_any(Texts(PhantomData)).map(Self)
            }
        }
        let whole = Spanned::<Any>::deserialize(d)?;
        let span = whole.span();
        let place = |one: Result<Spanned<String>, String>| {
            one.unwrap_or_else(|text| Spanned::new(span.clone(), text))
        };
        let all: Vec<Spanned<String>> = whole.into_inner().0.into_iter().map(place).collect();
        if all.is_empty() {
            return Err(D::Error::custom("a case is about one account at least"));
        }
        Ok(Self(all))
    }
}

impl File {
    /// Reads a file; what is wrong goes to `problems`.
    pub(super) fn read(text: &str, problems: &mut Problems<'_>) -> Option<Self> {
        match toml::from_str::<Self>(text) {
            Ok(file) => {
                let mut names: BTreeMap<&str, ()> = BTreeMap::new();
                for case in &file.case {
                    let name = &case.get_ref().name;
                    if names.insert(name.get_ref(), ()).is_some() {
                        let what = format!("two cases are called {:?}", name.get_ref());
                        problems.add(&name.span(), what, None);
                    }
                }
                Some(file)
            }
            Err(why) => {
                let message = why.message().lines().collect::<Vec<_>>().join(", ");
                problems.add(&why.span().unwrap_or(0..0), message, None);
                None
            }
        }
    }
}

/// A text as a name; what is wrong goes to `problems`.
pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(
    text: &Spanned<String>,
    problems: &mut Problems<'_>,
) -> Option<T> {
    let parsed = text.get_ref().parse::<T>();
    parsed
        .map_err(|why| problems.add(&text.span(), format!("{:?} is {why}", text.get_ref()), None))
        .ok()
}
