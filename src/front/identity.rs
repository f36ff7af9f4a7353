//! Who the peer is: the key that was *proved* on this connection, never one that was offered.
//!
//! Pure: no clock, no store, no SSH library. SSH lets a peer ask "would this key do?" without
//! holding it, change its user name between two attempts and mix methods; servers that kept "the
//! last key seen" let strangers in (CVE-2024-45337, CVE-2023-43660, CVE-2023-48712). So only a
//! checked signature reaches [`Identity::proved`], an offer reads and never writes, and another
//! user name forgets everything (RFC 4252, section 5).
//!
//! A login with a FIDO key (`sk-*`) proves the key and **not a touch**: the SSH library checks the
//! signature but neither its flags nor its counter. Whoever needs a touch asks for a signed
//! statement, or lets the target's sshd check it.

use std::fmt;

use ssh_key::public::KeyData;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg};

use crate::certificate::names::PersonName;
use crate::certificate::subject::{Unfit, fit};

/// What a connection has proved so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Nothing.
    Nobody,
    /// The holder of a key, and whose key that was at the moment of the proof.
    Key {
        /// The SSH user name the proof was given under.
        user: String,
        /// The key's owner.
        person: PersonName,
        /// The key whose signature was checked.
        key: KeyData,
    },
}

/// One connection's identity, from its first authentication request to its end.
#[derive(Debug)]
pub struct Identity {
    /// The user name of the first proof; no other is accepted afterwards.
    frozen: Option<String>,
    proof: Proof,
}

impl Identity {
    /// Nobody yet.
    pub fn new() -> Self {
        Self { frozen: None, proof: Proof::Nobody }
    }

    /// What was proved.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// An authentication request arrived under this user name, whatever its method: called first
    /// for each. Another name than the proof's takes the proof away; it can add nothing.
    pub fn named(&mut self, user: &str) {
        if self.frozen.as_deref().is_some_and(|frozen| frozen != user) {
            self.proof = Proof::Nobody;
        }
    }

    /// Whether a key that is merely offered is worth a signature. Remembers nothing. `owner` is
    /// whose key it is.
    ///
    /// # Errors
    /// Why the key would not do, even with a signature.
    pub fn offered(
        &self,
        user: &str,
        key: &KeyData,
        algorithm: &Algorithm,
        owner: Option<&PersonName>,
    ) -> Result<(), Refused> {
        if user.len() > USER_NAME || user.chars().any(char::is_control) {
            return Err(Refused::UserName);
        }
        if self.frozen.as_deref().is_some_and(|frozen| frozen != user) {
            return Err(Refused::OtherUser);
        }
        fit(key).map_err(Refused::Unfit)?;
        if !signs_with(key, algorithm) {
            return Err(Refused::Algorithm);
        }
        owner.map(drop).ok_or(Refused::NotEnrolled)
    }

    /// The peer's signature with this key over this connection was checked: it is the owner.
    ///
    /// # Errors
    /// As [`Self::offered`], which is asked again; the proof is then gone.
    pub fn proved(
        &mut self,
        user: &str,
        key: &KeyData,
        algorithm: &Algorithm,
        owner: Option<PersonName>,
    ) -> Result<(), Refused> {
        self.proof = Proof::Nobody;
        self.offered(user, key, algorithm, owner.as_ref())?;
        let person = owner.ok_or(Refused::NotEnrolled)?;
        self.frozen = Some(user.to_owned());
        self.proof = Proof::Key { user: user.to_owned(), person, key: key.clone() };
        Ok(())
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a key did not let its holder in. For the journal: the peer is told nothing but "no".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The user name is longer than 64 bytes or has control characters.
    UserName,
    /// The connection was proved under another user name.
    OtherUser,
    /// Nobody may use such a key.
    Unfit(Unfit),
    /// The signature algorithm does not belong to the key, or uses SHA-1.
    Algorithm,
    /// Nobody enrolled it.
    NotEnrolled,
    /// A certificate: they open servers, not this door.
    Certificate,
    /// A method other than `publickey`.
    Method,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserName => f.write_str("a user name that is too long or has control characters"),
            Self::OtherUser => f.write_str("another user name than the proof's"),
            Self::Unfit(unfit) => unfit.fmt(f),
            Self::Algorithm => f.write_str("a signature algorithm that is not the key's"),
            Self::NotEnrolled => f.write_str("not enrolled"),
            Self::Certificate => f.write_str("a certificate"),
            Self::Method => f.write_str("not a key"),
        }
    }
}

/// Whether signatures of this algorithm are made with keys of this kind. RSA with SHA-2 only.
fn signs_with(key: &KeyData, algorithm: &Algorithm) -> bool {
    match algorithm {
        Algorithm::Rsa { hash: Some(HashAlg::Sha256 | HashAlg::Sha512) } => {
            matches!(key, KeyData::Rsa(_))
        }
        Algorithm::Ed25519
        | Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 | EcdsaCurve::NistP384 }
        | Algorithm::SkEd25519
        | Algorithm::SkEcdsaSha2NistP256 => key.algorithm() == *algorithm,
        Algorithm::Rsa { .. } | Algorithm::Dsa | Algorithm::Other(_) => false,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 } => false,
        _ => false,
    }
}

/// The longest user name, in bytes; more than any system has.
const USER_NAME: usize = 64;

/// What one connection may try before it is ended, kept apart from who it is.
///
/// The SSH library checks one signature for each offer that was welcomed and forgets the welcome
/// afterwards, and tells nobody of a signature that was wrong. So what is counted as attempts at a
/// signature is welcomes, which are never fewer.
#[derive(Debug)]
pub struct Budget {
    offers: u8,
    welcomes: u8,
}

impl Budget {
    /// 32 offers, 6 of which may be of a key that is enrolled.
    pub fn new() -> Self {
        Self { offers: 32, welcomes: 6 }
    }

    /// One request to log in, of any method. False when there were too many.
    pub fn offer(&mut self) -> bool {
        spend(&mut self.offers)
    }

    /// One offer is welcome, so that a signature may follow. False when there were too many.
    pub fn welcome(&mut self) -> bool {
        spend(&mut self.welcomes)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

fn spend(left: &mut u8) -> bool {
    match left.checked_sub(1) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}
