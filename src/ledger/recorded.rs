//! The last two steps of the order as types: a certificate that stands in the ledger, and a
//! certificate that is signed. Neither can be made but by the step before it.

use ed25519_dalek::{Signature, VerifyingKey};

use super::checkpoint::Checkpoint;
use super::leaf::Leaf;
use super::proof::Proof;
use super::tree::{Hash, base64};
use crate::certificate::blob::{Tbs, strip};
use crate::certificate::draft::{Unsigned, Wanted};
use crate::certificate::lint::{Flaw, Keys};
use crate::certificate::time::UnixTime;
use crate::certificate::wire::Reader;

/// A certificate whose leaf has its index. Only the ledger's writer makes one, from an [`Unsigned`],
/// and it is not let out before its batch is committed.
///
/// A record cannot be made by hand:
///
/// ```compile_fail
/// use hallpass::ledger::recorded::Recorded;
/// fn forge(tbs: Vec<u8>, facts: Vec<u8>) -> Recorded {
///     Recorded { index: 7, tbs, facts }
/// }
/// ```
///
/// It can be looked at:
///
/// ```
/// use hallpass::ledger::recorded::Recorded;
/// fn look(recorded: &Recorded) -> u64 {
///     recorded.index()
/// }
/// ```
///
/// What is not recorded cannot be signed:
///
/// ```compile_fail
/// use hallpass::certificate::draft::Unsigned;
/// use hallpass::ledger::checkpoint::Checkpoint;
/// use hallpass::ledger::recorded::Certificate;
/// fn sign(unsigned: Unsigned, signed: Vec<u8>, under: &Checkpoint) -> Option<Certificate> {
///     unsigned.signed(signed, under).ok()
/// }
/// ```
///
/// What is recorded can, once:
///
/// ```
/// use hallpass::ledger::checkpoint::Checkpoint;
/// use hallpass::ledger::recorded::{Certificate, Recorded};
/// fn sign(recorded: Recorded, signed: Vec<u8>, under: &Checkpoint) -> Option<Certificate> {
///     recorded.signed(signed, under).ok()
/// }
/// ```
///
/// and not twice:
///
/// ```compile_fail
/// use hallpass::ledger::checkpoint::Checkpoint;
/// use hallpass::ledger::recorded::{Certificate, Recorded};
/// fn sign(recorded: Recorded, signed: Vec<u8>, under: &Checkpoint) -> [Option<Certificate>; 2] {
///     [recorded.signed(signed.clone(), under).ok(), recorded.signed(signed, under).ok()]
/// }
/// ```
#[derive(Debug)]
pub struct Recorded {
    index: u64,
    leaf: Leaf,
    tbs: Vec<u8>,
    facts: Vec<u8>,
    wanted: Wanted,
}

/// Why the signer's answer is not the certificate that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotTheSame(pub &'static str);

impl std::fmt::Display for NotTheSame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the signer gave another certificate than was recorded: {}", self.0)
    }
}

impl std::error::Error for NotTheSame {}

impl Recorded {
    /// Numbers and lints an unsigned certificate. For the ledger's writer, within its savepoint.
    pub(super) fn number(unsigned: Unsigned, index: u64, keys: &Keys) -> Result<Self, Flaw> {
        let (wanted, contents, facts) = unsigned.into_parts();
        let tbs = contents.encode(index.saturating_add(1))?;
        wanted.lint(&tbs, index, keys)?;
        Ok(Self { index, leaf: Leaf::certificate(&tbs, &facts), tbs, facts, wanted })
    }

    /// Its index in the ledger.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Its leaf.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// The to-be-signed bytes.
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// The facts.
    pub fn facts(&self) -> &[u8] {
        &self.facts
    }

    /// Takes what the signer signed, if it is this certificate with its proof under the cosigned
    /// checkpoint in it and the CA's signature on it.
    pub fn signed(self, blob: Vec<u8>, cosigned: &Checkpoint) -> Result<Certificate, NotTheSame> {
        let (view, signature) =
            Tbs::parse_signed(&blob).map_err(|_| NotTheSame("not a certificate"))?;
        let stapled = blob.get(..view.len()).unwrap_or_default();
        let (tbs, proof) = strip(stapled).map_err(|_| NotTheSame("no proof in it"))?;
        if tbs != self.tbs {
            return Err(NotTheSame("other bytes"));
        }
        let proof = Proof::parse(proof).map_err(|_| NotTheSame("a proof that is none"))?;
        let mine = proof.index == self.index && proof.facts == self.leaf.facts;
        if !mine || proof.checkpoint != *cosigned || !proof.includes(&self.leaf) {
            return Err(NotTheSame("another proof"));
        }
        check_signature(view.ca, stapled, signature)
            .ok_or(NotTheSame("the CA's signature is not valid"))?;
        let (algorithm, valid_before, serial) =
            (view.algorithm.to_owned(), view.valid_before, view.serial);
        let text = format!("{algorithm} {} {}", base64(&blob), self.wanted.key_id);
        Ok(Certificate { serial, valid_before, text, tbs: Hash::of(&self.tbs) })
    }
}

/// The CA's signature over a certificate; `None` if it is none.
pub(crate) fn check_signature(ca: &[u8], stapled: &[u8], signature: &[u8]) -> Option<()> {
    let mut key = Reader::new(ca);
    let key =
        (key.text("CA key").ok()? == "ssh-ed25519").then(|| key.string("CA key").ok()).flatten()?;
    let key = VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
    let mut r = Reader::new(signature);
    let signature = (r.text("signature").ok()? == "ssh-ed25519")
        .then(|| r.string("signature").ok())
        .flatten()?;
    r.end("signature").ok()?;
    key.verify_strict(stapled, &Signature::from_slice(signature).ok()?).ok()
}

/// A signed certificate with its proof, ready to be handed over.
#[derive(Debug)]
pub struct Certificate {
    serial: u64,
    valid_before: UnixTime,
    text: String,
    tbs: Hash,
}

impl Certificate {
    /// The serial: the ledger's index + 1.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The first second after its validity.
    pub fn valid_before(&self) -> UnixTime {
        self.valid_before
    }

    /// One line as OpenSSH stores it: type, base64, and the key ID as the comment.
    pub fn as_openssh(&self) -> &str {
        &self.text
    }

    /// The hash of its to-be-signed bytes, as in its leaf.
    pub fn tbs(&self) -> Hash {
        self.tbs
    }
}
