//! Where the door meets the desk: words in, a reply out.

use std::sync::Arc;

use ssh_key::public::KeyData;

use super::audit::{self, Audits};
use super::client::Block;
use super::control::{Answer, Order, Orders};
use super::{Caller, Command, Reply, reply, verbs};
use crate::certificate::names::PersonName;
use crate::certificate::time::Span;
use crate::config::ca::Ca;
use crate::config::trust::Trust;
use crate::desk::Desk;
use crate::desk::freezing::FreezeAsk;
use crate::desk::journal;
use crate::desk::locking::LockAsk;
use crate::desk::outcome::Outcome;
use crate::desk::reload::By;
use crate::desk::request::{Asker, Want};
use crate::ledger::facts::Author;

/// The desk and the public keys, behind the door.
pub struct Counter {
    /// The desk.
    pub desk: Desk,
    /// The public keys.
    pub trust: Trust,
    /// What is read for auditors.
    pub audits: Audits,
    /// `ca.toml`, as it was at the start.
    pub ca: Arc<Ca>,
    /// Where people connect to: host and port.
    pub address: (String, u16),
}

impl Orders for Counter {
    async fn carry_out(self: Arc<Self>, order: Order, author: Author) -> Answer {
        match order {
            Order::Lock { target, lifting, reason } => {
                self.lock_by_operator(author, &target, lifting, &reason).await
            }
            Order::Freeze { name, lifting, tags, seconds, reason } => {
                let period = seconds.map(Span::secs);
                match reason.parse() {
                    Ok(reason) => {
                        let ask = FreezeAsk { name, lifting, tags, period, reason };
                        reply::freezes::by_operator(self.desk.freeze_by_operator(author, ask).await)
                    }
                    Err(why) => Answer::refused(format!("--reason: {why}")),
                }
            }
            Order::Freezes => reply::freezes::for_operator(self.desk.freezes_for_operator()),
            Order::Reload { change } => self.reload(By { author: Some(author), change }).await,
            Order::HostCertificate { says } => {
                let recorded = self.desk.record_host_certificate(&says, &self.trust).await;
                journal::host_certificate(&author, &says, &recorded);
                reply::host::recorded(recorded)
            }
        }
    }
}

impl Counter {
    /// Sets or lifts a lock for an operator of this machine.
    async fn lock_by_operator(
        &self,
        author: Author,
        target: &str,
        lifting: bool,
        reason: &str,
    ) -> Answer {
        let ask = match (target.parse(), reason.parse()) {
            (Ok(target), Ok(reason)) => LockAsk { target, lifting, reason },
            (Err(why), _) => return Answer::refused(why),
            (_, Err(why)) => return Answer::refused(format!("--reason: {why}")),
        };
        reply::locks::by_operator(self.desk.lock_by_operator(author, ask).await)
    }

    /// Has people, hosts and policy read anew.
    pub async fn reload(&self, by: By) -> Answer {
        reply::reload::reloaded(self.desk.reload(&self.ca, by).await)
    }

    /// The client's ssh_config block.
    fn config(&self, asker: &Asker, form: verbs::Form, as_json: bool) -> Reply {
        match self.desk.reach(asker) {
            Ok((person, hosts)) => {
                let block = Block {
                    name: self.trust.name().to_owned(),
                    address: self.address.clone(),
                    host_key: self.trust.door_line(),
                    person,
                    hosts,
                };
                reply::config(&block.print(form), block.hosts.len(), as_json)
            }
            Err(refused) => reply::outcome(&refused, as_json),
        }
    }
}

impl super::Commands for Counter {
    fn owner(&self, key: &KeyData) -> Option<PersonName> {
        self.desk.owner(key)
    }

    async fn run(self: Arc<Self>, caller: Caller, command: Command) -> Reply {
        let words = match command {
            Command::Status => Vec::new(),
            Command::Words(words) => words,
        };
        let at_hand = caller.ticket.as_deref();
        let line = verbs::parse(&words, at_hand).or_else(|usage| {
            // HOST ID finds the one account there.
            let first = usage.unknown.as_deref().and_then(|word| word.split(',').next());
            match first.is_some_and(|word| self.desk.knows_host(word)) {
                true => verbs::parse_request(&words, at_hand),
                false => Err(usage),
            }
        });
        let line = match line {
            Ok(line) => line,
            Err(usage) => return reply::usage(&usage),
        };
        let Caller { key, user, source, agent, .. } = caller;
        let asker = Asker { key, user, source, agent };
        match line.verb {
            verbs::Verb::Request(ask, want @ Want::There) => {
                reply::ensured::ensured(&self.desk.request(&asker, ask, want).await, line.json)
            }
            verbs::Verb::Request(ask, want) => {
                reply::outcome(&self.desk.request(&asker, ask, want).await, line.json)
            }
            verbs::Verb::List(request) => {
                let listed = self.desk.list(&asker, request.as_ref());
                match (request, &listed) {
                    // Not live: perhaps it was.
                    (Some(request), Outcome::Refused(_)) => {
                        let told = audit::own(&self, &asker, request, line.json).await;
                        told.unwrap_or_else(|| reply::outcome(&listed, line.json))
                    }
                    _ => reply::outcome(&listed, line.json),
                }
            }
            verbs::Verb::Why(target) => reply::outcome(&self.desk.why(&asker, &target), line.json),
            verbs::Verb::Config(form) => self.config(&asker, form, line.json),
            verbs::Verb::Status => reply::outcome(&self.desk.status(&asker), line.json),
            verbs::Verb::Explain(ask) => match self.desk.explain(&asker, &ask).await {
                Ok(one) => reply::explain::explained(&one, line.json),
                Err(outcome) => reply::outcome(&outcome, line.json),
            },
            verbs::Verb::Catalog => match self.desk.catalog(&asker) {
                Ok(all) => reply::explain::catalog(&all, line.json),
                Err(outcome) => reply::outcome(&outcome, line.json),
            },
            verbs::Verb::Lock(ask) => match self.desk.lock(&asker, ask).await {
                Ok(changed) => reply::locks::changed(&changed, line.json),
                Err(outcome) => reply::outcome(&outcome, line.json),
            },
            verbs::Verb::Locks => match self.desk.locks(&asker) {
                Ok(locks) => reply::locks::listed(&locks, line.json),
                Err(outcome) => reply::outcome(&outcome, line.json),
            },
            verbs::Verb::Freeze(ask) => match self.desk.freeze(&asker, ask).await {
                Ok(changed) => reply::freezes::changed(&changed, line.json),
                Err(outcome) => reply::outcome(&outcome, line.json),
            },
            verbs::Verb::Freezes => match self.desk.freezes(&asker) {
                Ok(freezes) => reply::freezes::listed(&freezes, line.json),
                Err(outcome) => reply::outcome(&outcome, line.json),
            },
            verbs::Verb::Audit(asked) => {
                audit::answer(&self, &asker, asked, &words, line.json).await
            }
            verbs::Verb::Trust(parts) => reply::trust(&self.trust, &parts, line.json),
            verbs::Verb::Give(give) => {
                reply::host::give(&give, &self.trust, &self.desk.in_force.now().hosts, line.json)
            }
            verbs::Verb::Help(verb) => reply::help(verb.as_deref(), line.json),
        }
    }
}
