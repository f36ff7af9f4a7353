//! The desk: the only place that knows the order of things.
//!
//! ```text
//! 1 who        the owner of the proved key, at this moment
//! 2 facts      the ticket read anew, the clock read once
//! 3 request    words to types, hosts to canonical names
//! 4 decide     pure: account by account, granted whole or not at all
//! 5 delivery   an agent is tried out; on stdout there is nothing to try
//! 6 draft      complete but for serial and proof
//! 7 record     one writer, one COMMIT, then the checkpoint
//! 8 sign       another process, after its own checks
//! 9 answer     kept, and handed over
//! ```

pub mod around;
mod changes;
pub(crate) mod collect;
pub mod delivery;
pub mod ended;
pub mod ending;
#[cfg(test)]
mod ending_tests;
mod entries;
pub mod explaining;
pub mod freezes;
pub mod freezing;
mod granting;
mod holdings;
pub mod host_certificate;
pub mod in_force;
pub(crate) mod journal;
pub mod kept;
mod limits;
pub mod locking;
#[cfg(test)]
mod locking_tests;
pub mod locks;
pub mod outcome;
pub mod own_tickets;
pub mod past;
mod permission;
pub mod recent;
pub mod reload;
pub mod request;
pub mod self_test;
pub mod signed;
pub mod state;
pub mod watch_tickets;
pub mod write_back;

use std::sync::{Arc, Mutex};

use rand::Rng as _;

use self::collect::{Reads, Wanted, person_facts};
use self::delivery::Fresh;
use self::ending::Ending;
use self::granting::{Detail, Way, decided, into_agent, one_certificate, remarks, ways, within};
use self::holdings::Held;
use self::in_force::InForce;
use self::kept::{Kept, Turns};
use self::outcome::{Fault, Issued, LiveGrant, Outcome, Refused, To};
use self::past::Past;
use self::request::{Ask, Asker, TicketGiven, Want, Which};
use self::state::State;
use crate::certificate::draft::{Stamp, Unsigned};
use crate::certificate::fingerprint;
use crate::certificate::names::{PersonName, RequestId};
use crate::config::Deciding;
use crate::config::people::Person;
use crate::decide::Delivery;
use crate::decide::facts::{Account, Facts};
use crate::ledger::record::{self, Ledger};
use crate::outside::clock::{Clock, Reading};
use crate::outside::freeze_files::FreezeFiles;
use crate::outside::on_call::OnCall;
use crate::outside::tickets::Trackers;

/// What the desk is made of.
pub struct Desk {
    /// People, hosts and policy.
    pub in_force: Arc<InForce>,
    /// The ledger.
    pub ledger: Ledger,
    /// The fold.
    pub state: Arc<Mutex<State>>,
    /// The folder of freezes, if there is one.
    pub freeze_files: Option<FreezeFiles>,
    /// Whose shift it is.
    pub on_call: Arc<OnCall>,
    /// Where tickets are.
    pub trackers: Arc<Trackers>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The node's name, in every entry's facts.
    pub node: String,
    /// The public blobs of the two user CAs.
    pub user_ca: Vec<u8>,
    /// For bare account names.
    pub bare_ca: Vec<u8>,
    /// Those of the host CAs: what a host may show instead of a plain key.
    pub host_cas: Vec<Vec<u8>>,
    /// How grants end before their time.
    pub ending: Ending,
    /// How often trackers were asked for somebody's tickets.
    pub hints: own_tickets::Asked,
    /// Certificates that may be given again.
    pub kept: Mutex<Kept>,
    /// Who is at it.
    pub turns: Turns,
    /// The ledger, for what was given long ago.
    pub past: Past,
}

/// How a request ends before there is a certificate.
#[derive(Clone)]
enum Stop {
    /// The person's to mend.
    No { reasons: Vec<String>, hint: String },
    /// The person's to mend as well, and between them and their agent: nothing is written.
    Undelivered { reason: String, hint: String },
    /// Ours to mend: what broke, and the details for the journal.
    Broken { what: &'static str, details: String },
}

/// Somebody's errand: who asks for what, and what is there to decide it by.
#[derive(Clone, Copy)]
struct Errand<'e> {
    deciding: &'e Deciding,
    asker: &'e Asker,
    ask: &'e Ask,
    id: &'e RequestId,
    reading: Reading,
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
            // A lock, or the grant's end, while this was on its way.
            record::Fault::Barred(bar) => return Self::no(bar.why.clone(), bar.hint.clone()),
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

    /// Answers a request.
    pub async fn request(&self, asker: &Asker, ask: Ask, want: Want) -> Outcome {
        // Held until the answer: whoever comes next finds the certificate there. The clock is read and
        // the files in force are taken when it is one's turn.
        let _turn = match want {
            Want::There => Some(self.turns.wait(fingerprint(&asker.key), ask.account()).await),
            Want::New | Want::Further(_) => None,
        };
        let reading = self.clock.read();
        let id = RequestId::from_random(rand::rng().next_u64());
        let deciding = self.in_force.now();
        let person = deciding.people.owner(&asker.key).and_then(|name| deciding.people.get(name));
        let errand = Errand { deciding: &deciding, asker, ask: &ask, id: &id, reading };
        let outcome = match self.answer(&errand, &want).await {
            Ok(outcome) => outcome,
            Err(Stop::No { reasons, hint }) => {
                let refused = Refused { request: id.clone(), reasons, hint };
                if let Some(person) = person {
                    self.record_refusal(asker, &person.name, &ask, &refused, reading.now);
                }
                Outcome::Refused(refused)
            }
            // The person's agent is no affair of the ledger's.
            Err(Stop::Undelivered { reason, hint }) => {
                Outcome::Refused(Refused { request: id.clone(), reasons: vec![reason], hint })
            }
            Err(Stop::Broken { what, details }) => {
                tracing::error!(request = %id, %details, "fault");
                Outcome::Fault(Fault { request: id.clone(), what })
            }
        };
        journal::request(person.map(|person| &person.name), asker, &ask, &outcome);
        outcome
    }

    /// A further certificate from the live grants that cover what is asked for, or a new grant.
    async fn answer(&self, errand: &Errand<'_>, want: &Want) -> Result<Outcome, Stop> {
        // 1. Who: looked up again, a key may have been taken away since it was proved.
        let person = self.here(errand.deciding, errand.asker)?;
        let now = errand.reading.now;

        let live = match want {
            Want::Further(Which::Only) => self.only_grants(person, now)?,
            Want::Further(Which::Request(id)) => self.grants_of(person, id, now)?,
            Want::New | Want::There | Want::Further(Which::Covering) => {
                self.covering(errand, person, want)?
            }
        };
        let reads = &mut Reads::default();
        if live.grants.is_empty() {
            return self.issue(errand, person, want, None, reads).await;
        }
        // A grant lives and dies with its ticket, whatever its offer asks for.
        let ended = self.end_with_ticket(&live, reads).await?;
        let renewed = match &ended {
            Some(ended) => Err(ended.stop()),
            None => self.issue(errand, person, want, Some(&live), reads).await,
        };
        match (renewed, want) {
            // What the grant does not give any more, a request of its own may.
            (Err(Stop::No { .. }), Want::New | Want::There) => {
                // Where it ended on the way, what the tracker said before that is not believed any more.
                let over = |grant: &LiveGrant| self.ended(&grant.request);
                if ended.is_none() && live.grants.first().is_some_and(over) {
                    *reads = Reads::default();
                }
                let own = self.issue(errand, person, want, None, reads).await;
                ended.iter().fold(own, |own, ended| ended.said_with(own))
            }
            (answer, _) => answer,
        }
    }

    /// Steps 2 to 9.
    async fn issue(
        &self,
        errand: &Errand<'_>,
        person: &Person,
        want: &Want,
        held: Option<&Held>,
        reads: &mut Reads,
    ) -> Result<Outcome, Stop> {
        let Errand { deciding, asker, ask, reading, .. } = *errand;
        let now = reading.now;
        let live = held.map(|held| held.grants.as_slice());
        // A renewal is for the accounts, the ticket and the reason of its grant.
        let (id, given, reason) = match live {
            Some([grant, ..]) => (
                grant.request.clone(),
                grant.ticket.as_deref().and_then(|id| id.parse().ok()).map(TicketGiven::Id),
                grant.reason.as_deref().and_then(|reason| reason.parse().ok()),
            ),
            _ => (errand.id.clone(), ask.ticket.clone(), ask.reason.clone()),
        };

        // 2. The facts. The ticket is read for each answer; nothing is kept between two.
        let ways = ways(asker, ask)?;
        let ticket = self.ticket(deciding, given.as_ref(), reads).await?;
        let surroundings = self.surroundings(deciding, person, now)?;
        let facts = |account: Account| Facts {
            request: id.clone(),
            now,
            source: asker.source.ip().to_canonical(),
            person: person_facts(person, surroundings.shifts()),
            within: live.and_then(|live| within(live, &account)),
            around: surroundings.of(&account),
            account,
            ticket: ticket.clone(),
            reason: reason.clone(),
            ttl: ask.ttl,
            period: ask.period.filter(|_| live.is_none()),
            offer: ask.offer.clone(),
            deliveries: ways.clone(),
        };

        // 3. The accounts, by their canonical names; which one on a host is the policy's to say.
        let targets = held.map_or_else(|| errand.targets(), Held::targets);
        let mut wanted = collect::wanted(deciding, &targets, &facts)?;

        // What is locked is not decided; the ledger's writer looks once more before COMMIT.
        self.unlocked(deciding, &person.name, asker, &wanted)?;

        // 4. The decision, account by account: granted whole or not at all.
        let mut grants = match decided(deciding, &wanted, &facts) {
            // `ensure` never waits.
            Err(Stop::No { reasons, hint })
                if held.is_none() && given.is_none() && *want == Want::New =>
            {
                let named = self.name_the_ticket(errand, person, &wanted, &facts).await;
                return Err(Stop::No { reasons, hint: named.unwrap_or(hint) });
            }
            decided => decided?,
        };
        let mut notes = Vec::new();
        if ask.via.is_none() {
            let into_agent = ways.first() == Some(&Delivery::MadeByCa);
            let locked = |hop: &Wanted<'_>| {
                self.unlocked(deciding, &person.name, asker, std::slice::from_ref(hop)).is_err()
            };
            let way = Way { deciding, facts: &facts, locked: &locked, into_agent };
            way.add(&mut wanted, &mut grants, &mut notes);
            // ssh's own ProxyJump asks for the hop by itself.
            notes.retain(|_| *want != Want::There);
        }

        // A clock that jumped refuses nobody, but what it would grant is a fault.
        if let Some(jump) = reading.jump {
            return Err(Stop::Broken { what: "the CA's clock jumped", details: jump.to_string() });
        }

        let into_agent = into_agent(&grants)?;

        // 5. Delivery: on stdout one certificate, which may be one from before; an agent is tried out.
        let accounts: Vec<String> = wanted.iter().map(|one| one.account.name()).collect();
        let agent = asker.agent.as_deref().filter(|_| into_agent);
        if *want == Want::There {
            if let Some(until) =
                agent.and_then(|agent| agent.holds(&accounts, now, |id| !self.ended(id)))
            {
                return Ok(Outcome::There(until));
            }
            if agent.is_none()
                && let Some(again) = self.again(errand, &accounts)
            {
                return Ok(again);
            }
        }
        let mut tried = match agent {
            Some(agent) => {
                collect::host_keys_known(&wanted, ask)?;
                Some(delivery::try_out(agent, ask).await?)
            }
            None => {
                one_certificate(&grants, ask)?;
                None
            }
        };

        // Places within the limits, given back by what is not recorded.
        let places = self.places(&grants, now)?;

        // 6. The drafts: for the very key that was proved, or for fresh ones.
        let clipped: Vec<String> = grants.iter().flat_map(remarks).collect();
        notes.splice(0..0, clipped);
        let mut drafts = Vec::with_capacity(grants.len());
        let mut details = Vec::with_capacity(grants.len());
        for grant in grants {
            let fresh = tried.is_some().then(Fresh::new);
            let detail = Detail::of(&grant);
            let public = fresh.as_ref().map(Fresh::public);
            let stamp = self.stamp(deciding);
            let draft = Unsigned::draft_for(grant, &asker.key, public.as_ref(), stamp);
            drafts.push(draft.map_err(|why| Stop::Broken {
                what: "the certificate could not be drafted",
                details: why.to_string(),
            })?);
            details.push((detail, fresh));
        }

        // 7 and 8. Recorded, then signed. Irreversible: from COMMIT on the entries stand. A crash from
        // here on leaves at most entries whose certificates nobody holds.
        let certificates = self.ledger.issue_all(drafts).await;
        places.answered(&certificates);
        let certificates = certificates.into_iter().collect::<Result<Vec<_>, _>>()?;

        // 9. Kept and handed over: all are signed by now, none was given to anybody.
        let mut issued = Vec::with_capacity(certificates.len());
        for (certificate, (detail, fresh)) in certificates.iter().zip(&details) {
            let issue = detail.issue(certificate, now);
            match (&mut tried, fresh) {
                (Some(agent), Some(fresh)) => {
                    let to = self.destinations(&wanted, &detail.accounts)?;
                    agent.hand_over(fresh, certificate, detail, &to, now).await?;
                }
                _ => self.keep(asker, &issue),
            }
            issued.push(issue);
        }
        let to = tried.map_or(To::Stdout, |agent| To::Agent { identities: agent.identities });
        let typed = errand.typed(&accounts);
        Ok(Outcome::Issued(Box::new(Issued {
            request: id,
            certificates: issued,
            to,
            typed,
            notes,
        })))
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
