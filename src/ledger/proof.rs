//! The proof that travels in a certificate: a c2sp.org/tlog-proof text, written and checked.

use std::fmt;

use super::checkpoint::{Checkpoint, decimal};
use super::leaf::{Kind, Leaf};
use super::note::{BadNote, VerifierKey};
use super::tree::{Hash, climb};
use crate::certificate::blob::{Tbs, strip};
use crate::certificate::time::UnixTime;
use crate::certificate::wire::Malformed;

/// The most bytes a proof may have; more is not signed.
pub const MAX: usize = 8 * 1024;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// A proof of inclusion:
///
/// ```text
/// c2sp.org/tlog-proof@v1
/// extra <base64 of the facts' hash>
/// index <decimal>
/// <base64 hash>, a line each, the leaf's sibling first
///
/// <checkpoint>
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The hash of the entry's facts.
    pub facts: Hash,
    /// The entry's index.
    pub index: u64,
    /// The inclusion hashes.
    pub hashes: Vec<Hash>,
    /// The checkpoint with its signatures.
    pub checkpoint: Checkpoint,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}\nextra {}\nindex {}", self.facts.to_base64(), self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{}", hash.to_base64())?;
        }
        write!(f, "\n{}", self.checkpoint.as_str())
    }
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unproved {
    /// The certificate's bytes.
    Certificate(Malformed),
    /// The proof's text.
    Format(&'static str),
    /// The checkpoint or a signature on it.
    Checkpoint(BadNote),
    /// The serial is not the index plus one.
    Serial,
    /// The hashes do not lead from this certificate to the root.
    NotIncluded,
}

impl fmt::Display for Unproved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(why) => write!(f, "{why}"),
            Self::Format(what) => write!(f, "not a proof: {what}"),
            Self::Checkpoint(why) => write!(f, "the checkpoint: {why}"),
            Self::Serial => write!(f, "the serial is not the index plus one"),
            Self::NotIncluded => write!(f, "the certificate is not in the tree of the checkpoint"),
        }
    }
}

impl std::error::Error for Unproved {}

impl Proof {
    /// Reads a proof; nothing is checked but its form.
    pub fn parse(text: &str) -> Result<Self, Unproved> {
        use Unproved::Format;
        if text.len() > MAX {
            return Err(Format("longer than 8 KiB"));
        }
        let (head, checkpoint) = text.split_once("\n\n").ok_or(Format("no empty line"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(Format("another first line"));
        }
        let facts = lines.next().and_then(|line| line.strip_prefix("extra "));
        let facts = facts.and_then(Hash::from_base64).ok_or(Format("no facts' hash in extra"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(decimal).ok_or(Format("no index"))?;
        let hashes: Option<Vec<Hash>> = lines.map(Hash::from_base64).collect();
        let hashes = hashes.ok_or(Format("a line that is no hash"))?;
        let checkpoint = Checkpoint::parse(checkpoint).map_err(Unproved::Checkpoint)?;
        Ok(Self { facts, index, hashes, checkpoint })
    }

    /// Whether this leaf is in the checkpoint's tree.
    pub fn includes(&self, leaf: &Leaf) -> bool {
        let head = &self.checkpoint.head;
        climb(leaf.hash(), self.index, head.size, &self.hashes) == Some(head.root)
    }
}

/// What a certificate's proof shows, once it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    /// The proof.
    pub proof: Proof,
    /// When the signer cosigned.
    pub cosigned: UnixTime,
}

/// Checks the proof that a certificate carries, offline, with two public keys.
///
/// `stapled` is the certificate up to its signature field. The CA's signature is not looked at:
/// that is the caller's, and sshd's, to check.
pub fn check(
    stapled: &[u8],
    ledger: &VerifierKey,
    signer: &VerifierKey,
) -> Result<Proved, Unproved> {
    let (tbs, text) = strip(stapled).map_err(Unproved::Certificate)?;
    let proof = Proof::parse(text)?;
    proof.checkpoint.check(ledger).map_err(Unproved::Checkpoint)?;
    let cosigned = proof.checkpoint.check_cosigned(signer).map_err(Unproved::Checkpoint)?;
    let serial = Tbs::parse(&tbs).map_err(Unproved::Certificate)?.serial;
    if proof.index.checked_add(1) != Some(serial) {
        return Err(Unproved::Serial);
    }
    let leaf = Leaf { kind: Kind::Certificate, tbs: Some(Hash::of(&tbs)), facts: proof.facts };
    if !proof.includes(&leaf) {
        return Err(Unproved::NotIncluded);
    }
    Ok(Proved { proof, cosigned })
}
