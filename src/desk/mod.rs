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

mod collect;
mod entries;
pub mod host_certificate;
pub mod in_force;
mod journal;
pub mod outcome;
pub mod reload;
pub mod request;
pub mod self_test;
pub mod state;

use std::sync::{Arc, Mutex, PoisonError};

use rand::Rng as _;

use self::collect::{account_facts, person_facts};
use self::in_force::InForce;
use self::outcome::{Fault, Issued, Outcome, Refused, Status};
use self::request::{Ask, Asker};
use self::state::State;
use crate::certificate::draft::{Stamp, Unsigned};
use crate::certificate::fingerprint;
use crate::certificate::names::{PersonName, RequestId};
use crate::config::Deciding;
use crate::config::people::Person;
use crate::decide::facts::Facts;
use crate::decide::{Clip, Decision, Extension, Grant, decide};
use crate::ledger::record::{self, Ledger};
use crate::outside::clock::{Clock, Reading};
use crate::outside::tickets::FolderTracker;

/// What the desk is made of.
pub struct Desk {
    /// People, hosts and policy.
    pub in_force: InForce,
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
            record::Fault::Full => "the CA's disk is full",
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
    /// Why every certificate is a fault at this moment; `None` while certificates are issued.
    pub fn fault(&self) -> Option<String> {
        let jump = self.clock.read().jump.map(|jump| jump.to_string());
        jump.or_else(|| self.ledger.fault().map(|fault| fault.to_string()))
    }

    /// The owner of a key at this moment.
    pub fn owner(&self, key: &ssh_key::public::KeyData) -> Option<PersonName> {
        self.in_force.now().people.owner(key).cloned()
    }

    /// Whether a host goes by this name.
    pub fn knows_host(&self, typed: &str) -> bool {
        self.in_force.now().hosts.find(typed).is_some()
    }

    /// Answers a request for one account.
    pub async fn request(&self, asker: &Asker, ask: Ask) -> Outcome {
        let reading = self.clock.read();
        let now = reading.now;
        let id = RequestId::from_random(rand::rng().next_u64());
        let deciding = self.in_force.now();
        let person = deciding.people.owner(&asker.key).and_then(|name| deciding.people.get(name));
        let outcome = match self.issue(&deciding, asker, person, &ask, &id, reading).await {
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
        deciding: &Deciding,
        asker: &Asker,
        person: Option<&Person>,
        ask: &Ask,
        id: &RequestId,
        Reading { now, jump }: Reading,
    ) -> Result<Issued, Stop> {
        // 1. Who: looked up again, a key may have been taken away since it was proved.
        let person = person.ok_or_else(|| {
            Stop::no(
                "your key is not enrolled any more".to_owned(),
                "ask whoever runs the CA to add it: hallpass person add",
            )
        })?;
        collect::own_name(deciding, asker, person)?;

        // 2. The account, by its canonical name.
        let host = collect::host(deciding, ask)?;

        // 3. The facts. The ticket is read at each issue; nothing is kept between two.
        let ticket = self.ticket(deciding, ask).await?;
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
            deliveries: Vec::new(),
            within: None,
        };

        // 4. The decision.
        let grant = match decide(&deciding.policy, &facts) {
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

        // A clock that jumped refuses nobody, but what it would grant is a fault.
        if let Some(jump) = jump {
            return Err(Stop::Broken { what: "the CA's clock jumped", details: jump.to_string() });
        }

        // 5. Delivery on stdout takes any certificate.
        let notes = notes(&grant);
        let (ttl, grant_ends, offer) = (grant.ttl(), grant.ends(), grant.offer().clone());
        let accounts = vec![grant.facts().account.principal().to_string()];
        let typed = ask.account();

        // 6. The draft, for the very key that was proved.
        let unsigned = Unsigned::draft(grant, &asker.key, self.stamp(deciding)).map_err(|why| {
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
        let grants = self.state.lock().unwrap_or_else(PoisonError::into_inner).live(&person, now);
        Outcome::Status(Status {
            person,
            key: fingerprint(&asker.key),
            key_type: asker.key.algorithm().to_string(),
            grants,
            now,
        })
    }

    fn stamp(&self, deciding: &Deciding) -> Stamp {
        let mut rng = rand::rng();
        let mut stamp = Stamp {
            nonce: [0; 32],
            grant_salt: [0; 16],
            certificate_salt: [0; 16],
            node: self.node.clone(),
            texts: deciding.texts,
            user_ca: self.user_ca.clone(),
            bare_ca: self.bare_ca.clone(),
        };
        rng.fill_bytes(&mut stamp.nonce);
        rng.fill_bytes(&mut stamp.grant_salt);
        rng.fill_bytes(&mut stamp.certificate_salt);
        stamp
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
