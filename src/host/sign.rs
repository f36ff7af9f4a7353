//! Host certificates: what one says, whether it may be made, and its signature.
//!
//! [`HostCertificate`] is both the facts of the ledger's entry and all that is signed, but for the serial:
//! that is the entry's index + 1. So nothing can be in the certificate that is not in the ledger.

use std::fmt;
use std::net::IpAddr;

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use ssh_key::certificate::{Builder, CertType};
use ssh_key::private::Ed25519Keypair;
use ssh_key::{PrivateKey, PublicKey};

use super::places;
use crate::certificate::names::HostName;
use crate::certificate::time::{Span, UnixTime};
use crate::certificate::{fingerprint, subject};
use crate::config::Deciding;
use crate::config::hosts::Host;
use crate::config::trust::Trust;
use crate::ledger::tree::{base64, unbase64};

/// The longest life of a host certificate.
pub const LONGEST: Span = Span::secs(3 * 366 * 24 * 3600);

/// For clients whose clocks lag.
const BACKDATE: Span = Span::secs(300);

/// The facts of a `host-certificate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCertificate {
    /// The host, or the pool whose machine it is.
    pub host: HostName,
    /// What clients may call it.
    pub principals: Vec<String>,
    /// The certified key, `TYPE BASE64`.
    pub key: String,
    /// Its fingerprint.
    pub subject: String,
    /// The key ID.
    pub key_id: String,
    /// From when.
    pub valid_after: UnixTime,
    /// Until when.
    pub valid_before: UnixTime,
    /// 32 random bytes in base64.
    pub nonce: String,
    /// The fingerprint of the CA key that signs.
    pub ca: String,
}

/// Why a host certificate is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotMade {
    /// There is no such host.
    NoHost(HostName),
    /// The key is too weak, or of a type that is not taken.
    Unfit(subject::Unfit),
    /// Whoever has the key could pretend to be the host.
    Persons(String),
    /// Each of the CA's keys has one purpose.
    Cas,
    /// One key, two hosts.
    OtherHosts(HostName),
    /// Not what a client could call this host.
    Name(String),
    /// Longer than any, or over before it begins.
    Life,
    /// Something in it is not what it should be.
    Malformed(&'static str),
}

impl fmt::Display for NotMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost(host) => write!(f, "there is no host {host}"),
            Self::Unfit(why) => why.fmt(f),
            Self::Persons(name) => write!(f, "the key is {name}'s, a user's"),
            Self::Cas => write!(f, "the key is one of the CA's own"),
            Self::OtherHosts(host) => write!(f, "the key is {host}'s: each host has its own"),
            Self::Name(name) => write!(
                f,
                "{name:?} cannot be certified: a name or address of this host alone, and a pool's machine's own name"
            ),
            Self::Life => write!(f, "a host certificate lives three years at most"),
            Self::Malformed(what) => write!(f, "malformed {what}"),
        }
    }
}

impl std::error::Error for NotMade {}

impl HostCertificate {
    /// What a certificate for a host's key says; `also` are more names, of a pool's machine.
    pub fn draft(
        trust: &Trust,
        host: &Host,
        key: &PublicKey,
        also: &[String],
        (now, life): (UnixTime, Span),
        nonce: [u8; 32],
    ) -> Self {
        let mut principals: Vec<String> = Vec::new();
        for name in
            places(host).into_iter().map(|(name, _)| name).chain(also.iter().map(|name| &**name))
        {
            if !principals.iter().any(|known| known == name) {
                principals.push(name.to_owned());
            }
        }
        Self {
            host: host.name.clone(),
            principals,
            key: line(key),
            subject: fingerprint(key.key_data()),
            key_id: format!("host/{}", host.name),
            valid_after: now.minus(BACKDATE),
            valid_before: now.plus(life),
            nonce: base64(&nonce),
            ca: fingerprint(trust.host_ca.key_data()),
        }
    }

    /// Whether it may be made. Checked by whoever records it, from what it says alone.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, deciding: &Deciding, trust: &Trust) -> Result<(), NotMade> {
        let hosts = &deciding.hosts;
        let host = hosts.iter().find(|host| host.name == self.host);
        let host = host.ok_or_else(|| NotMade::NoHost(self.host.clone()))?;
        let key = self.public()?;
        subject::fit(key.key_data()).map_err(NotMade::Unfit)?;
        if let Some(person) = deciding.people.owner(key.key_data()) {
            return Err(NotMade::Persons(person.to_string()));
        }
        if trust.is_own(key.key_data()) {
            return Err(NotMade::Cas);
        }
        let has_it =
            |host: &&Host| host.host_keys.iter().any(|one| one.key_data() == key.key_data());
        if let Some(other) = hosts.iter().filter(|other| other.name != host.name).find(has_it) {
            return Err(NotMade::OtherHosts(other.name.clone()));
        }
        let own: Vec<&str> = places(host).into_iter().map(|(name, _)| name).collect();
        let is_anothers = |name: &str| {
            let others = hosts.iter().filter(|other| other.name != host.name);
            others.flat_map(places).any(|(known, _)| known == name)
        };
        let is_name =
            |name: &str| name.parse::<HostName>().is_ok() || name.parse::<IpAddr>().is_ok();
        let may = |name: &&String| {
            own.contains(&name.as_str()) || host.pool && is_name(name) && !is_anothers(name)
        };
        match self.principals.iter().find(|name| !may(name)) {
            Some(name) => return Err(NotMade::Name(name.clone())),
            // Without principals it would be good for every host there is.
            None if self.principals.is_empty() => return Err(NotMade::Malformed("principals")),
            None => {}
        }
        let life = self.valid_before.since(self.valid_after);
        if life <= BACKDATE
            || life > Span::secs(LONGEST.as_secs().saturating_add(BACKDATE.as_secs()))
        {
            return Err(NotMade::Life);
        }
        if self.subject != fingerprint(key.key_data())
            || self.key_id != format!("host/{}", self.host)
            || self.ca != fingerprint(trust.host_ca.key_data())
            || unbase64(&self.nonce).is_none_or(|nonce| nonce.len() != 32)
        {
            return Err(NotMade::Malformed("facts of a host certificate"));
        }
        Ok(())
    }

    /// The certificate, one line. What it says must be durable in the ledger, at the index that its serial
    /// follows, before this is called.
    ///
    /// # Errors
    /// If it cannot be built.
    pub fn sign(&self, ca: &SigningKey, index: u64) -> Result<String, ssh_key::Error> {
        let ca = PrivateKey::from(Ed25519Keypair::from_seed(&ca.to_bytes()));
        let key = PublicKey::from_openssh(&self.key)?;
        let nonce = unbase64(&self.nonce).ok_or(ssh_key::Error::FormatEncoding)?;
        let (from, to) = (self.valid_after.secs(), self.valid_before.secs());
        let mut builder = Builder::new(nonce, key.key_data().clone(), from, to)?;
        builder.serial(index.saturating_add(1))?.key_id(&self.key_id)?.cert_type(CertType::Host)?;
        for principal in &self.principals {
            builder.valid_principal(principal)?;
        }
        builder.comment(self.host.as_str())?;
        let certificate = builder.sign(&ca)?;
        certificate.verify_signature()?;
        certificate.to_openssh()
    }

    /// The certified key.
    ///
    /// # Errors
    /// If it is none.
    pub fn public(&self) -> Result<PublicKey, NotMade> {
        let key = PublicKey::from_openssh(&self.key).map_err(|_| NotMade::Malformed("key"))?;
        if line(&key) == self.key { Ok(key) } else { Err(NotMade::Malformed("key")) }
    }
}

/// `TYPE BASE64`.
fn line(key: &PublicKey) -> String {
    PublicKey::new(key.key_data().clone(), "")
        .to_openssh()
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}
