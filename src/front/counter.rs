//! Where the door meets the desk: words in, a reply out.

use std::sync::Arc;

use ssh_key::public::KeyData;

use super::client::Block;
use super::{Caller, Command, Reply, reply, verbs};
use crate::certificate::names::PersonName;
use crate::config::trust::Trust;
use crate::desk::Desk;
use crate::desk::request::{Asker, Want};

/// The desk and the public keys, behind the door.
pub struct Counter {
    /// The desk.
    pub desk: Desk,
    /// The public keys.
    pub trust: Trust,
    /// Where people connect to: host and port.
    pub address: (String, u16),
}

impl Counter {
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
                reply::outcome(&self.desk.list(&asker, request.as_ref()), line.json)
            }
            verbs::Verb::Why(target) => reply::outcome(&self.desk.why(&asker, &target), line.json),
            verbs::Verb::Config(form) => self.config(&asker, form, line.json),
            verbs::Verb::Status => reply::outcome(&self.desk.status(&asker), line.json),
            verbs::Verb::Trust(parts) => reply::trust(&self.trust, &parts, line.json),
            verbs::Verb::Help(verb) => reply::help(verb.as_deref(), line.json),
        }
    }
}
