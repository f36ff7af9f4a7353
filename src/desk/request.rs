//! The words of a request, parsed once into types.

use crate::certificate::names::{Login, OfferId, Reason, TicketId};
use crate::certificate::time::Span;

/// What a person asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The account.
    pub login: Login,
    /// The host, as typed: a name, an alias or an address.
    pub host: String,
    /// The ticket.
    pub ticket: Option<TicketId>,
    /// The reason.
    pub reason: Option<Reason>,
    /// The grant's length (`--for`).
    pub period: Option<Span>,
    /// The certificate's life (`--ttl`).
    pub ttl: Option<Span>,
    /// The offer (`--offer`).
    pub offer: Option<OfferId>,
}

impl Ask {
    /// The account as typed.
    pub fn account(&self) -> String {
        format!("{}@{}", self.login, self.host)
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
}
