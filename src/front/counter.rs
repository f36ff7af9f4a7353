//! Where the door meets the desk: words in, a reply out.

use std::sync::Arc;

use ssh_key::public::KeyData;

use super::control::{Answer, Order, Orders};
use super::{Caller, Command, Reply, reply, verbs};
use crate::certificate::names::PersonName;
use crate::config::ca::Ca;
use crate::config::trust::Trust;
use crate::desk::Desk;
use crate::desk::reload::By;
use crate::desk::request::Asker;
use crate::ledger::facts::Author;

/// The desk and the public keys, behind the door.
pub struct Counter {
    /// The desk.
    pub desk: Desk,
    /// The public keys.
    pub trust: Trust,
    /// `ca.toml`, as it was at the start.
    pub ca: Arc<Ca>,
}

impl Orders for Counter {
    async fn carry_out(self: Arc<Self>, order: Order, author: Author) -> Answer {
        match order {
            Order::Reload { change } => self.reload(By { author: Some(author), change }).await,
            Order::HostCertificate { says } => {
                let recorded = self.desk.record_host_certificate(&says, &self.trust).await;
                reply::host::recorded(recorded)
            }
        }
    }
}

impl Counter {
    /// Has people, hosts and policy read anew.
    pub async fn reload(&self, by: By) -> Answer {
        reply::reload::reloaded(self.desk.reload(&self.ca, by).await)
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
        let line = match verbs::parse(&words) {
            Ok(line) => line,
            Err(mut usage) => {
                let host = usage.unknown.as_deref().filter(|word| self.desk.knows_host(word));
                if let Some(host) = host {
                    usage.hint = format!("name the account too: ssh ca LOGIN@{host} TICKET");
                }
                return reply::usage(&usage);
            }
        };
        let asker = Asker { key: caller.key, user: caller.user, source: caller.source };
        match line.verb {
            verbs::Verb::Request(ask) => {
                reply::outcome(&self.desk.request(&asker, ask).await, line.json)
            }
            verbs::Verb::Status => reply::outcome(&self.desk.status(&asker), line.json),
            verbs::Verb::Trust(parts) => reply::trust(&self.trust, &parts, line.json),
            verbs::Verb::Give(give) => {
                reply::host::give(&give, &self.trust, &self.desk.in_force.now().hosts, line.json)
            }
            verbs::Verb::Help(verb) => reply::help(verb.as_deref(), line.json),
        }
    }
}
