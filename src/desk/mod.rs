//! The desk: the only place that knows the order of things.
//!
//! ```text
//! 1 who        the owner of the proved key, at this moment
//! 2 request    words to types, hosts to canonical names
//! 3 facts      the ticket read anew, the clock read once
//! 4 decide     pure: a grant, a refusal or a fault
//! 5 delivery   on stdout there is nothing to try out
//! 6 draft      complete but for serial and proof
//! 7 record     one writer, one COMMIT, then the checkpoint
//! 8 sign       another process, after its own checks
//! 9 answer
//! ```

mod journal;
pub mod outcome;
pub mod request;
pub mod state;

use std::sync::{Arc, Mutex, PoisonError};

use rand::Rng as _;

use self::outcome::{Fault, Issued, Outcome, Refused, Status};
use self::request::{Ask, Asker};
use self::state::{RefusalEntry, State};
use crate::certificate::draft::{Stamp, Unsigned};
use crate::certificate::fingerprint;
use crate::certificate::names::{HostName, PersonName, RequestId};
use crate::certificate::time::UnixTime;
use crate::config::Deciding;
use crate::config::hosts::{Host, Principals};
use crate::config::people::{Person, PersonKind};
use crate::decide::facts::{Account, Facts, Person as PersonFacts, Ticket};
use crate::decide::{Clip, Decision, Extension, Grant, close, decide};
use crate::ledger::facts;
use crate::ledger::leaf::Kind;
use crate::ledger::record::{self, Ledger};
use crate::outside::clock::Clock;
use crate::outside::tickets::{FolderTracker, TicketSeen, TrackerFault};

/// What the desk is made of.
pub struct Desk {
    /// People, hosts and policy.
    pub deciding: Arc<Deciding>,
    /// The ledger.
    pub ledger: Ledger,
    /// The fold.
    pub state: Arc<Mutex<State>>,
    /// The tracker.
    pub tracker: Option<FolderTracker>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The node's name, in every entry's facts.
    pub node: String,
    /// The public blobs of the two user CAs.
    pub user_ca: Vec<u8>,
    /// For bare account names.
    pub bare_ca: Vec<u8>,
}

/// How a request ends before there is a certificate.
enum Stop {
    /// The person's to mend.
    No { reasons: Vec<String>, hint: String },
    /// Ours to mend: what broke, and the details for the journal.
    Broken { what: &'static str, details: String },
}

impl Stop {
    fn no(reason: String, hint: impl Into<String>) -> Self {
        Self::No { reasons: vec![reason], hint: hint.into() }
    }
}

impl From<record::Fault> for Stop {
    fn from(fault: record::Fault) -> Self {
        let what = match &fault {
            record::Fault::Store(_) => "the ledger cannot be written",
            record::Fault::Flaw(_) => "the certificate was not fit to be signed",
            record::Fault::SignerAway(_) => "the signer is away",
            record::Fault::SignerRefused(_) => "the signer did not sign",
            record::Fault::LedgerLost(_) => {
                "the ledger is not the one the signer has seen; an operator has to run hallpass ledger recover"
            }
            record::Fault::Ending => "the CA is ending",
        };
        Self::Broken { what, details: fault.to_string() }
    }
}

impl Desk {
    /// The owner of a key at this moment.
    pub fn owner(&self, key: &ssh_key::public::KeyData) -> Option<&PersonName> {
        self.deciding.people.owner(key)
    }

    /// Whether a host goes by this name.
    pub fn knows_host(&self, typed: &str) -> bool {
        self.deciding.hosts.find(typed).is_some()
    }

    /// Answers a request for one account.
    pub async fn request(&self, asker: &Asker, ask: Ask) -> Outcome {
        let now = self.clock.now();
        let id = RequestId::from_random(rand::rng().next_u64());
        let person = self.owner(&asker.key).and_then(|name| self.deciding.people.get(name));
        let outcome = match self.issue(asker, person, &ask, &id, now).await {
            Ok(issued) => Outcome::Issued(Box::new(issued)),
            Err(Stop::No { reasons, hint }) => {
                let refused = Refused { request: id, reasons, hint };
                if let Some(person) = person {
                    self.record_refusal(asker, &person.name, &ask, &refused, now);
                }
                Outcome::Refused(refused)
            }
            Err(Stop::Broken { what, details }) => {
                tracing::error!(request = %id, %details, "fault");
                Outcome::Fault(Fault { request: id, what })
            }
        };
        journal::request(person.map(|person| &person.name), asker, &ask, &outcome);
        outcome
    }

    /// The nine steps.
    async fn issue(
        &self,
        asker: &Asker,
        person: Option<&Person>,
        ask: &Ask,
        id: &RequestId,
        now: UnixTime,
    ) -> Result<Issued, Stop> {
        // 1. Who: looked up again, a key may have been taken away since it was proved.
        let person = person.ok_or_else(|| {
            Stop::no(
                "your key is not enrolled any more".to_owned(),
                "ask whoever runs the CA to add it: hallpass person add",
            )
        })?;
        self.own_name(asker, person)?;

        // 2. The account, by its canonical name.
        let host = self.host(ask)?;

        // 3. The facts. The ticket is read at each issue; nothing is kept between two.
        let ticket = self.ticket(ask).await?;
        let facts = Facts {
            request: id.clone(),
            now,
            source: asker.source.ip().to_canonical(),
            person: person_facts(person),
            account: account_facts(ask, host),
            ticket,
            reason: ask.reason.clone(),
            ttl: ask.ttl,
            period: ask.period,
            offer: ask.offer.clone(),
        };

        // 4. The decision.
        let grant = match decide(&self.deciding.policy, &facts) {
            Decision::Granted(grant) => grant,
            Decision::Refused(refusal) => {
                let hint = refusal.hint.clone().unwrap_or_else(|| "ssh ca help".to_owned());
                return Err(Stop::No {
                    reasons: refusal.reasons.iter().map(ToString::to_string).collect(),
                    hint,
                });
            }
            Decision::Fault(fault) => {
                return Err(Stop::Broken {
                    what: "the policy could not be evaluated",
                    details: fault.to_string(),
                });
            }
        };

        // 5. Delivery on stdout takes any certificate.
        let notes = notes(&grant);
        let (ttl, grant_ends, offer) = (grant.ttl(), grant.ends(), grant.offer().clone());
        let accounts = vec![grant.facts().account.principal().to_string()];
        let typed = ask.account();

        // 6. The draft, for the very key that was proved.
        let unsigned = Unsigned::draft(grant, &asker.key, self.stamp()).map_err(|why| {
            Stop::Broken { what: "the certificate could not be drafted", details: why.to_string() }
        })?;

        // 7 and 8. Recorded, then signed. Irreversible: from COMMIT on the entry stands. A crash from
        // here on leaves at most an entry whose certificate nobody holds.
        let certificate = self.ledger.issue(unsigned).await?;

        // 9. The answer.
        Ok(Issued {
            request: id.clone(),
            serial: certificate.serial(),
            certificate: certificate.as_openssh().to_owned(),
            accounts,
            typed,
            ttl,
            valid_before: certificate.valid_before(),
            grant_ends,
            offer,
            notes,
        })
    }

    /// Who one is and what one holds.
    pub fn status(&self, asker: &Asker) -> Outcome {
        let now = self.clock.now();
        let Some(person) = self.owner(&asker.key) else {
            return Outcome::Refused(Refused {
                request: RequestId::from_random(rand::rng().next_u64()),
                reasons: vec!["your key is not enrolled any more".to_owned()],
                hint: "ask whoever runs the CA to add it: hallpass person add".to_owned(),
            });
        };
        let grants = self.state.lock().unwrap_or_else(PoisonError::into_inner).live(person, now);
        Outcome::Status(Status {
            person: person.clone(),
            key: fingerprint(&asker.key),
            key_type: asker.key.algorithm().to_string(),
            grants,
            now,
        })
    }

    /// Any user name is taken, but another person's: whoever types it means to be somebody else.
    fn own_name(&self, asker: &Asker, person: &Person) -> Result<(), Stop> {
        let other = asker.user.parse().ok().filter(|name| *name != person.name);
        match other.and_then(|name| self.deciding.people.get(&name)) {
            Some(other) => Err(Stop::no(
                format!("your key is {}'s, the SSH user name is {}'s", person.name, other.name),
                format!("ssh -l {} ca ...  (or leave the user name out)", person.name),
            )),
            None => Ok(()),
        }
    }

    /// The host that was typed, if it has the account.
    fn host(&self, ask: &Ask) -> Result<&Host, Stop> {
        let hosts = &self.deciding.hosts;
        let Some(host) = hosts.find(&ask.host) else {
            let near = close(&ask.host, hosts.iter().map(|host| host.name.as_str()));
            let hint = near.map_or(
                "ask whoever runs the CA to add it: hallpass host add".to_owned(),
                |near| format!("did you mean {}@{near}?", ask.login),
            );
            return Err(Stop::no(
                format!("there is no host {}", crate::certificate::safe::Safe(&ask.host)),
                hint,
            ));
        };
        if !host.accounts.contains(&ask.login) {
            let all: Vec<&str> = host.accounts.iter().map(|login| login.as_str()).collect();
            return Err(Stop::no(
                format!("{} has no account {} that can be asked for", host.name, ask.login),
                if all.is_empty() {
                    "no account of it can be".to_owned()
                } else {
                    format!("it has {}", all.join(", "))
                },
            ));
        }
        Ok(host)
    }

    /// The ticket as its tracker shows it at this moment.
    async fn ticket(&self, ask: &Ask) -> Result<Option<Ticket>, Stop> {
        let Some(id) = &ask.ticket else { return Ok(None) };
        let Some(tracker) = self.tracker.clone() else {
            return Err(Stop::no(
                format!("ticket {id} cannot be looked up: no tracker is configured"),
                "ask whoever runs the CA",
            ));
        };
        let name = tracker.name().to_owned();
        let (wanted, read) = (id.clone(), move |id| tracker.read(&id));
        let seen = tokio::task::spawn_blocking(move || read(wanted)).await;
        let broken =
            |fault: TrackerFault| Stop::Broken { what: fault.what(), details: fault.to_string() };
        let seen =
            seen.map_err(|why| broken(TrackerFault::Away(why.to_string())))?.map_err(broken)?;
        let Some(seen) = seen else {
            return Err(Stop::no(
                format!("there is no ticket {id}"),
                "check the id with the tracker",
            ));
        };
        self.map(name, id, seen).map(Some).map_err(|why| broken(TrackerFault::Unreadable(why)))
    }

    /// A ticket's assignee and hosts as people and hosts that are known.
    fn map(
        &self,
        tracker: String,
        id: &crate::certificate::names::TicketId,
        seen: TicketSeen,
    ) -> Result<Ticket, String> {
        let TicketSeen { state, said, title, assignee, priority, labels, hosts } = seen;
        let assignee =
            assignee.and_then(|who| self.deciding.people.assignee(&tracker, &who).cloned());
        // A host that is not known stays in, or a ticket for it alone would look like one for every host.
        let canonical = |typed: &String| match self.deciding.hosts.find(typed) {
            Some(host) => Ok(host.name.clone()),
            None => typed
                .parse::<HostName>()
                .map_err(|why| format!("ticket {id} names a host {typed:?}: {why}")),
        };
        let hosts = hosts.iter().map(canonical).collect::<Result<_, _>>()?;
        Ok(Ticket {
            tracker,
            id: id.clone(),
            state,
            said,
            title,
            assignee,
            priority,
            labels,
            hosts,
        })
    }

    fn stamp(&self) -> Stamp {
        let mut rng = rand::rng();
        let mut stamp = Stamp {
            nonce: [0; 32],
            grant_salt: [0; 16],
            certificate_salt: [0; 16],
            node: self.node.clone(),
            texts: self.deciding.texts,
            user_ca: self.user_ca.clone(),
            bare_ca: self.bare_ca.clone(),
        };
        rng.fill_bytes(&mut stamp.nonce);
        rng.fill_bytes(&mut stamp.grant_salt);
        rng.fill_bytes(&mut stamp.certificate_salt);
        stamp
    }

    /// A refusal is an entry too, bounded, and never waited for.
    fn record_refusal(
        &self,
        asker: &Asker,
        person: &PersonName,
        ask: &Ask,
        refused: &Refused,
        now: UnixTime,
    ) {
        let entry = self.state.lock().unwrap_or_else(PoisonError::into_inner).refused(person, now);
        if entry == RefusalEntry::Counted {
            return;
        }
        self.append_refusal(
            now,
            &facts::Refusal {
                request: Some(refused.request.clone()),
                person: person.clone(),
                source: asker.source.ip().to_canonical().to_string(),
                account: ask.account(),
                ticket: ask.ticket.as_ref().map(ToString::to_string),
                reasons: refused.reasons.clone(),
                count: 1,
            },
        );
    }

    /// Writes the counts of refusals that are an hour old. To be called now and then.
    pub fn record_counts(&self) {
        let now = self.clock.now();
        let due = self.state.lock().unwrap_or_else(PoisonError::into_inner).counts(now);
        for (person, count) in due {
            self.append_refusal(
                now,
                &facts::Refusal {
                    request: None,
                    person,
                    source: String::new(),
                    account: String::new(),
                    ticket: None,
                    reasons: Vec::new(),
                    count,
                },
            );
        }
    }

    fn append_refusal(&self, now: UnixTime, refusal: &facts::Refusal) {
        let written = facts::write(Kind::Refusal, salt(), now, &self.node, refusal);
        if let Some(Err(why)) = written.map(|bytes| self.ledger.append_later(Kind::Refusal, bytes))
        {
            tracing::error!(%why, "a refusal could not be recorded");
        }
    }

    /// Records which policy, people and hosts decide from here on, where the ledger does not say so yet.
    pub async fn record_texts(&self) -> Result<(), record::Fault> {
        let now = self.clock.now();
        let texts = self.deciding.texts;
        let hashes = [
            (Kind::Policy, texts.policy),
            (Kind::People, texts.people),
            (Kind::Hosts, texts.hosts),
        ];
        for ((kind, sha256), bytes) in hashes.into_iter().zip(self.deciding.bytes) {
            let known = self.state.lock().unwrap_or_else(PoisonError::into_inner).text(kind);
            if known == Some(sha256) {
                continue;
            }
            let text = facts::Text { sha256, bytes: u64::try_from(bytes).unwrap_or(u64::MAX) };
            if let Some(bytes) = facts::write(kind, salt(), now, &self.node, &text) {
                self.ledger.append(kind, bytes).await?;
            }
        }
        Ok(())
    }
}

fn salt() -> [u8; 16] {
    let mut salt = [0; 16];
    rand::rng().fill_bytes(&mut salt);
    salt
}

fn person_facts(person: &Person) -> PersonFacts {
    PersonFacts {
        name: person.name.clone(),
        service: person.kind == PersonKind::Service,
        email: person.email.clone(),
        groups: person.groups.clone(),
    }
}

fn account_facts(ask: &Ask, host: &Host) -> Account {
    Account {
        login: ask.login.clone(),
        host: host.name.clone(),
        pool: host.pool,
        bare: host.principals == Principals::Bare,
        owner: host.owner.clone(),
        tags: host.tags.clone(),
    }
}

/// Remarks for the person: what is less than was asked for.
fn notes(grant: &Grant) -> Vec<String> {
    let clipped = grant.clipped();
    let clip = |what: &str, clip: Option<Clip>| {
        clip.map(|clip| {
            format!(
                "{what} is {}, not {}: offer {} gives no more",
                clip.given,
                clip.asked,
                grant.offer()
            )
        })
    };
    let forwards = grant.terms().extensions.contains(&Extension::PortForwarding);
    let closed = (!forwards)
        .then(|| "without port forwarding: -J, -L, -D and editors need another offer".to_owned());
    let account = &grant.facts().account;
    let wide = account.bare.then(|| {
        let login = &account.login;
        format!("a bare account name: it opens {login} on every server that takes bare names, until it expires")
    });
    [clip("the certificate's life", clipped.ttl), clip("the grant", clipped.period), closed, wide]
        .into_iter()
        .flatten()
        .collect()
}
