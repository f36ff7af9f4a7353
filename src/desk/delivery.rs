//! Delivery: how a certificate gets to who asked. On standard output it is for the very key that was
//! proved, and there is nothing to try. Into a forwarded agent goes a fresh key with its certificate;
//! the agent is tried with a throw-away one before anything is written.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use ed25519_dalek::SigningKey;
use rand::Rng as _;
use ssh_key::certificate::{Builder, CertType};
use ssh_key::public::{Ed25519PublicKey, KeyData};
use zeroize::Zeroizing;

use super::Stop;
use super::granting::Detail;
use super::request::Ask;
use crate::certificate::blob::key_blob;
use crate::certificate::names::RequestId;
use crate::certificate::time::{Span, UnixTime};
use crate::config::hosts::Host;
use crate::ledger::recorded::Certificate;
use crate::ledger::tree::unbase64;
use crate::outside::agent::{Agent, AgentFault, Connect, Destination, Identity};

/// The agent on a connection, and what was put into it over that connection.
pub struct Forwarded {
    way: Box<dyn Connect>,
    put: Mutex<Vec<Put>>,
}

/// What is in the agent, unless its person emptied it.
struct Put {
    request: RequestId,
    accounts: Vec<String>,
    from: UnixTime,
    until: UnixTime,
}

impl fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forwarded")
    }
}

impl Forwarded {
    /// An agent that nothing was put into yet.
    pub fn new(way: Box<dyn Connect>) -> Self {
        Self { way, put: Mutex::new(Vec::new()) }
    }

    /// Until when a certificate for all of these accounts is in it, if over half its life is left and its
    /// grant lives.
    pub(super) fn holds(
        &self,
        accounts: &[String],
        now: UnixTime,
        lives: impl Fn(&RequestId) -> bool,
    ) -> Option<UnixTime> {
        let mut put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        put.retain(|one| one.until > now);
        let covers = |one: &&Put| accounts.iter().all(|account| one.accounts.contains(account));
        let fresh = |one: &&Put| young(one.from, one.until, now);
        let lives = |one: &&Put| lives(&one.request);
        put.iter().filter(covers).filter(fresh).filter(lives).map(|one| one.until).max()
    }

    fn note(&self, put: Put) {
        self.put.lock().unwrap_or_else(PoisonError::into_inner).push(put);
    }
}

/// Whether over half of a certificate's life is left.
pub(super) fn young(from: UnixTime, until: UnixTime, now: UnixTime) -> bool {
    until.since(now).as_secs().saturating_mul(2) > until.since(from).as_secs()
}

/// An agent that takes what we have to give.
pub(super) struct Tried<'a> {
    forwarded: &'a Forwarded,
    agent: Agent,
    /// How many identities it showed.
    pub(super) identities: u32,
}

/// A fresh key, for one certificate. No `Debug`: it is private.
pub(super) struct Fresh(SigningKey);

impl Fresh {
    pub(super) fn new() -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(&mut *seed);
        Self(SigningKey::from_bytes(&seed))
    }

    /// The public half.
    pub(super) fn public(&self) -> KeyData {
        KeyData::Ed25519(Ed25519PublicKey(self.0.verifying_key().to_bytes()))
    }
}

/// The places a certificate is to be bound to: one for each account.
pub(super) fn destination(
    login: &str,
    host: &Host,
    host_cas: &[Vec<u8>],
) -> Result<Destination, Stop> {
    let blobs = host.host_keys.iter().map(|key| key_blob(key.key_data()));
    let host_keys = blobs.collect::<Result<Vec<_>, _>>().map_err(|why| Stop::Broken {
        what: "a host key could not be written",
        details: why.to_string(),
    })?;
    Ok(Destination {
        login: login.to_owned(),
        host: host.name.to_string(),
        host_keys,
        host_cas: host_cas.to_vec(),
    })
}

/// Finds out whether the agent takes a certificate with a lifetime and destinations: puts one into it
/// that is good for nothing, for a second, bound to a host that does not exist.
pub(super) async fn try_out<'a>(forwarded: &'a Forwarded, ask: &Ask) -> Result<Tried<'a>, Stop> {
    let other = format!("ssh -a ca {} --to stdout > FILE", ask.line());
    let refused = |why: &AgentFault| match why {
        AgentFault::Refused => Stop::Undelivered {
            reason: "your agent does not take the certificate: it is locked, or it knows no \
                     destinations, lifetimes or certificates (not every agent does)"
                .to_owned(),
            hint: format!("ssh-add -X unlocks it; without it: {other}"),
        },
        AgentFault::Broken(_) => Stop::Undelivered {
            reason: "your agent was forwarded and does not answer".to_owned(),
            hint: format!("ssh-add -l shows whether it runs; without it: {other}"),
        },
    };
    let mut agent = Agent::open(&*forwarded.way).await.map_err(|why| refused(&why))?;
    let identities = agent.identities().await.map_err(|why| refused(&why))?;
    let throw_away = Fresh::new();
    let certificate = worthless(&throw_away).map_err(|why| Stop::Broken {
        what: "the agent could not be tried",
        details: why.to_string(),
    })?;
    let nowhere = Destination {
        login: "nobody".to_owned(),
        host: "nowhere.invalid".to_owned(),
        host_keys: vec![key_blob(&throw_away.public()).unwrap_or_default()],
        host_cas: Vec::new(),
    };
    let second = Span::secs(1);
    let comment = "hallpass: a trial, gone in a second";
    let added = put(&mut agent, &throw_away, &certificate, comment, second, &[nowhere]).await;
    added.map_err(|why| refused(&why))?;
    Ok(Tried { forwarded, agent, identities })
}

impl Tried<'_> {
    /// Puts a certificate and its key into the agent.
    pub(super) async fn hand_over(
        &mut self,
        key: &Fresh,
        certificate: &Certificate,
        detail: &Detail,
        destinations: &[Destination],
        now: UnixTime,
    ) -> Result<(), Stop> {
        let broken = |details: String| Stop::Broken {
            what: "your agent took a trial and then not the certificate",
            details,
        };
        let Detail { accounts, request, .. } = detail;
        let text = certificate.as_openssh();
        let blob = text.split(' ').nth(1).and_then(unbase64).unwrap_or_default();
        let comment = text.split(' ').nth(2).unwrap_or_default();
        let comment = format!("hallpass {} {comment}", accounts.join(","));
        let until = certificate.valid_before();
        put(&mut self.agent, key, &blob, &comment, until.since(now), destinations)
            .await
            .map_err(|why| broken(why.to_string()))?;
        let (request, accounts) = (request.clone(), accounts.clone());
        self.forwarded.note(Put { request, accounts, from: now, until });
        Ok(())
    }
}

async fn put(
    agent: &mut Agent,
    key: &Fresh,
    certificate: &[u8],
    comment: &str,
    lifetime: Span,
    destinations: &[Destination],
) -> Result<(), AgentFault> {
    let private = Zeroizing::new(key.0.to_keypair_bytes());
    let public = key.0.verifying_key().to_bytes();
    let identity = Identity {
        certificate,
        public: &public,
        private: &private,
        comment,
        lifetime,
        destinations,
    };
    agent.add(&identity).await
}

/// A certificate that a throw-away key signs for itself: it opens nothing anywhere.
fn worthless(key: &Fresh) -> ssh_key::Result<Vec<u8>> {
    let pair = ssh_key::private::Ed25519Keypair::from_bytes(&key.0.to_keypair_bytes())?;
    let ca = ssh_key::PrivateKey::from(pair);
    let mut builder = Builder::new_with_random_nonce(&mut rand::rng(), key.public(), 0, 1)?;
    builder.cert_type(CertType::User)?.key_id("hallpass-trial")?.valid_principal("nobody")?;
    builder.sign(&ca)?.to_bytes()
}
