//! The words of `request`, `renew`, `ensure` and `why`: accounts, tickets, lengths of time.

use std::fmt::Display;

use clap::Args;

use crate::certificate::names::{Login, OfferId, Reason, TicketId};
use crate::certificate::safe::Safe;
use crate::certificate::time::Span;
use crate::decide::Delivery;
use crate::desk::request::{Ask, Place, Target, TicketGiven, Want, Which};

/// What is wrong, and what to type instead.
pub(super) type Wrong = (String, String);

#[derive(Args)]
pub(super) struct RequestWords {
    accounts: String,
    #[arg(conflicts_with = "ticket")]
    id: Option<String>,
    #[command(flatten)]
    terms: TermWords,
    /// Nothing waits yet, so there is nothing to leave out.
    #[arg(long)]
    no_wait: bool,
}

#[derive(Args)]
pub(super) struct EnsureWords {
    #[arg(required = true)]
    accounts: Vec<String>,
    #[command(flatten)]
    terms: TermWords,
}

#[derive(Args)]
pub(super) struct RenewWords {
    what: Option<String>,
    #[arg(long)]
    ttl: Option<String>,
    #[arg(long)]
    to: Option<String>,
}

#[derive(Args)]
struct TermWords {
    #[arg(long)]
    ticket: Option<String>,
    #[arg(long)]
    reason: Option<String>,
    #[arg(long = "for")]
    period: Option<String>,
    #[arg(long)]
    ttl: Option<String>,
    #[arg(long)]
    offer: Option<String>,
    #[arg(long)]
    via: Option<String>,
    #[arg(long)]
    to: Option<String>,
}

/// How a request is written.
const FORM: &str = "ssh ca LOGIN@HOST TICKET, as in: ssh ca deploy@web01 OPS-7";

impl RequestWords {
    pub(super) fn ask(self) -> Result<Ask, Wrong> {
        let Self { accounts, id, mut terms, no_wait: _ } = self;
        terms.ticket = id.or(terms.ticket);
        terms.ask(targets(&accounts)?)
    }
}

impl EnsureWords {
    /// `at_hand` is the ticket that came with the connection.
    pub(super) fn ask(self, at_hand: Option<&str>) -> Result<Ask, Wrong> {
        let Self { accounts, mut terms } = self;
        // No host's name has such letters, a ticket's has: it was typed as in a request.
        let ticket = |word: &&String| {
            !word.contains('@') && (word.contains("://") || word.contains(char::is_uppercase))
        };
        if let Some(word) = accounts.iter().skip(1).find(ticket) {
            let hint = "ssh ca ensure LOGIN@HOST --ticket TICKET";
            return Err((format!("{} is no account", Safe(word)), hint.to_owned()));
        }
        terms.ticket = terms.ticket.or(at_hand.map(str::to_owned));
        terms.ask(targets(&accounts.join(","))?)
    }
}

impl RenewWords {
    pub(super) fn ask(self) -> Result<(Ask, Want), Wrong> {
        let Self { what, ttl, to } = self;
        let request = what.as_deref().and_then(|what| what.parse().ok());
        let (targets, which) = match (request, what) {
            (Some(id), Some(what)) => (vec![host(&what)], Which::Request(id)),
            (None, Some(what)) => (targets(&what)?, Which::Covering),
            (_, None) => (vec![host("-")], Which::Only),
        };
        let ask = Ask {
            targets,
            ttl: span("--ttl", ttl)?,
            to: to.as_deref().map(way).transpose()?,
            ..bare()
        };
        Ok((ask, Want::Further(which)))
    }
}

impl TermWords {
    fn ask(self, targets: Vec<Target>) -> Result<Ask, Wrong> {
        let Self { ticket, reason, period, ttl, offer, via, to } = self;
        let reason = reason
            .map(|text| text.parse::<Reason>().map_err(|why| bad("--reason", &text, &why)))
            .transpose()?;
        let offer = offer
            .map(|text| text.parse::<OfferId>().map_err(|why| bad("--offer", &text, &why)))
            .transpose()?;
        Ok(Ask {
            targets,
            via: via.as_deref().map(target).transpose()?,
            ticket: ticket.as_deref().map(given).transpose()?,
            reason,
            period: span("--for", period)?,
            ttl: span("--ttl", ttl)?,
            offer,
            to: to.as_deref().map(way).transpose()?,
        })
    }
}

fn bare() -> Ask {
    Ask::of(host("-"))
}

fn host(text: &str) -> Target {
    Target { login: None, place: Place::Host(text.to_owned()) }
}

fn bad(what: &str, text: &str, why: &dyn Display) -> Wrong {
    (format!("{what} {}: {why}", Safe(text)), FORM.to_owned())
}

/// Accounts with commas between them.
fn targets(text: &str) -> Result<Vec<Target>, Wrong> {
    text.split(',').map(target).collect()
}

/// `LOGIN@HOST`, `HOST`, `LOGIN@tag:TAG` or `tag:TAG`.
pub(super) fn target(text: &str) -> Result<Target, Wrong> {
    let (login, place) = match text.split_once('@') {
        Some(("", _)) => return Err((format!("{} is not LOGIN@HOST", Safe(text)), FORM.into())),
        Some((login, place)) => {
            let login: Login = login.parse().map_err(|why| bad("account", login, &why))?;
            (Some(login), place)
        }
        None => (None, text),
    };
    if place.is_empty() {
        return Err((format!("{} is not LOGIN@HOST", Safe(text)), FORM.into()));
    }
    let place = match place.strip_prefix("tag:") {
        Some(tag) => Place::Tag(tag.parse().map_err(|why| bad("tag", tag, &why))?),
        None => Place::Host(place.to_owned()),
    };
    Ok(Target { login, place })
}

/// A ticket's id, or the address of its page.
fn given(text: &str) -> Result<TicketGiven, Wrong> {
    if text.contains("://") {
        let fit = text.len() <= 512 && text.bytes().all(|b| b.is_ascii_graphic());
        return match fit {
            true => Ok(TicketGiven::Url(text.to_owned())),
            false => Err((format!("ticket {}: not an address", Safe(text)), FORM.to_owned())),
        };
    }
    text.parse::<TicketId>().map(TicketGiven::Id).map_err(|why| bad("ticket", text, &why))
}

fn span(name: &str, text: Option<String>) -> Result<Option<Span>, Wrong> {
    text.map(|text| {
        text.parse::<Span>()
            .map_err(|why| (format!("{name} {}: {why}", Safe(&text)), format!("{name} 5m")))
    })
    .transpose()
}

fn way(text: &str) -> Result<Delivery, Wrong> {
    match text {
        "agent" => Ok(Delivery::MadeByCa),
        "stdout" => Ok(Delivery::OwnKey),
        _ => Err((
            format!("--to {}: a certificate goes to agent or stdout", Safe(text)),
            "ssh -A ca LOGIN@HOST TICKET --to agent".into(),
        )),
    }
}
