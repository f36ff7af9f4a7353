//! `explain`: what a request of somebody's would come to, by the files as they are. Nothing is written.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use hallpass::certificate::names::{PersonName, Reason, TicketId};
use hallpass::certificate::time::{Span, UnixTime};
use hallpass::config::Config;
use hallpass::desk::around::Surroundings;
use hallpass::desk::explaining::{At, explain, person, ticket};
use hallpass::desk::locks::Locks;
use hallpass::desk::outcome::Outcome;
use hallpass::desk::request::{Ask, TicketGiven};
use hallpass::front::{reply, verbs};
use hallpass::ledger::store::Store;
use hallpass::outside::clock::{Clock as _, SystemClock};
use hallpass::outside::tickets::Trackers;

use crate::{Stop, print};

/// The words, parsed.
pub(crate) struct Question {
    pub(crate) person: PersonName,
    pub(crate) account: String,
    pub(crate) ticket: Option<TicketId>,
    pub(crate) reason: Option<Reason>,
    pub(crate) period: Option<Span>,
    pub(crate) ttl: Option<Span>,
    pub(crate) at: Option<UnixTime>,
    pub(crate) source: Option<IpAddr>,
    pub(crate) json: bool,
}

pub(crate) fn run(path: &Path, question: Question) -> Result<(), Stop> {
    let Config { ca, deciding, .. } = Config::load(path)?;
    let target =
        verbs::account(&question.account).map_err(|(what, hint)| format!("{what}; {hint}"))?;
    let store = Store::open_to_read(&ca.ledger.database)?;
    let locks = Locks::rebuild(&store)?;
    let now = question.at.unwrap_or_else(|| SystemClock.now());
    let trackers = Trackers::open(&ca.tracker)?;
    let at = At {
        now,
        source: question.source.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        around: None,
    };
    let ask = Ask {
        reason: question.reason,
        period: question.period,
        ttl: question.ttl,
        ..Ask::of(target)
    };
    let explained = person(&deciding, &question.person).and_then(|who| {
        let ticket = match &question.ticket {
            Some(id) => Some(ticket(&deciding, &trackers, &TicketGiven::Id(id.clone()))?),
            None => None,
        };
        let around = Surroundings::read(&ca, store, &deciding, who, now)?;
        let at = At { around: Some(&around), ..at };
        explain(&deciding, &locks, who, None, &ask, ticket.as_ref(), at)
    });
    let (reply, stop) = match explained {
        Ok(one) => (reply::explain::explained(&one, question.json), None),
        Err(no @ Outcome::Refused(_)) => (reply::outcome(&no, question.json), Some(Stop::Invalid)),
        Err(fault) => (reply::outcome(&fault, question.json), Some(Stop::Told)),
    };
    print(&String::from_utf8_lossy(&reply.stdout));
    eprint!("{}", reply.stderr);
    stop.map_or(Ok(()), Err)
}
