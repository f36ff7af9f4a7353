//! The words of a request, parsed once into types.

use std::fmt;
use std::sync::Arc;

use super::delivery::Forwarded;
use crate::certificate::names::{Login, OfferId, Reason, RequestId, TagName, TicketId};
use crate::certificate::time::Span;
use crate::decide::Delivery;

/// What a person asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The accounts, at least one.
    pub targets: Vec<Target>,
    /// The hop's account besides (`--via`).
    pub via: Option<Target>,
    /// The ticket.
    pub ticket: Option<TicketGiven>,
    /// The reason.
    pub reason: Option<Reason>,
    /// The grant's length (`--for`).
    pub period: Option<Span>,
    /// The certificate's life (`--ttl`).
    pub ttl: Option<Span>,
    /// The offer (`--offer`).
    pub offer: Option<OfferId>,
    /// Which key is to be certified (`--to`), where both could be.
    pub to: Option<Delivery>,
}

/// An account, or the one account one could have, on a host or on each host of a tag; as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The account, if it was named.
    pub login: Option<Login>,
    /// Where.
    pub place: Place,
}

/// Where an account is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A host or pool: its name, an alias or an address.
    Host(String),
    /// Every host of a tag, at this moment.
    Tag(TagName),
}

/// A ticket, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TicketGiven {
    /// Its id.
    Id(TicketId),
    /// The address of its page in the tracker; the tracker's `url` says where the id is in it.
    Url(String),
}

/// How much is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// A certificate: from the live grant that covers it, or else from a new one.
    New,
    /// A certificate to be there, and quietly: the same one again while over half its life is left.
    There,
    /// A further certificate from a live grant, and from nothing else.
    Further(Which),
}

/// Which live grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The only one.
    Only,
    /// That of a request.
    Request(RequestId),
    /// That which covers what is asked for.
    Covering,
}

impl Ask {
    /// One account and nothing else.
    pub fn of(target: Target) -> Self {
        Self {
            targets: vec![target],
            via: None,
            ticket: None,
            reason: None,
            period: None,
            ttl: None,
            offer: None,
            to: None,
        }
    }

    /// The accounts as typed.
    pub fn account(&self) -> String {
        let all: Vec<String> = self.targets.iter().map(Target::to_string).collect();
        all.join(",")
    }

    /// The ticket as typed.
    pub fn ticket_text(&self) -> Option<String> {
        self.ticket.as_ref().map(TicketGiven::to_string)
    }

    /// The words to type it again, without options.
    pub(super) fn line(&self) -> String {
        let ticket = self.ticket_text().map_or(String::new(), |ticket| format!(" {ticket}"));
        format!("{}{ticket}", self.account())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(login) = &self.login {
            write!(f, "{login}@")?;
        }
        match &self.place {
            Place::Host(host) => f.write_str(host),
            Place::Tag(tag) => write!(f, "tag:{tag}"),
        }
    }
}

impl fmt::Display for TicketGiven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// Who asks, as the door knows it.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The key that was proved on this connection.
    pub key: ssh_key::public::KeyData,
    /// The SSH user name of the connection.
    pub user: String,
    /// Where the connection comes from.
    pub source: std::net::SocketAddr,
    /// The agent that is forwarded on it, if one is.
    pub agent: Option<Arc<Forwarded>>,
}
