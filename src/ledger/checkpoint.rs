//! Checkpoints (c2sp.org/tlog-checkpoint): the signed statement of how large the tree is and what
//! its root is.

use std::fmt;

use super::note::{BadNote, Note, NoteKey, VerifierKey};
use super::tree::Hash;
use crate::certificate::time::UnixTime;

/// A tree head: `ORIGIN LF SIZE LF ROOT LF`, no extension lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeHead {
    /// The log's origin, `NAME/1`, which is also the name of the ledger's key.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root hash.
    pub root: Hash,
}

impl TreeHead {
    /// Reads a checkpoint's text; nothing but the three lines.
    pub fn parse(text: &str) -> Result<Self, BadNote> {
        const BAD: BadNote = BadNote::Format("a checkpoint is an origin, a size and a root");
        let mut lines = text.strip_suffix('\n').ok_or(BAD)?.split('\n');
        let (Some(origin), Some(digits), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(BAD);
        };
        let size = decimal(digits).ok_or(BAD)?;
        let root = Hash::from_base64(root).ok_or(BAD)?;
        if origin.is_empty() {
            return Err(BAD);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

impl fmt::Display for TreeHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }
}

/// A number in ASCII digits without leading zeroes.
pub fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A tree head with signature lines under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// What is signed.
    pub head: TreeHead,
    text: String,
    note: Note,
}

impl Checkpoint {
    /// Signs a head with the ledger's key, whose name must be the head's origin.
    pub fn sign(head: &TreeHead, key: &NoteKey, now: UnixTime) -> Result<Self, BadNote> {
        if head.origin != key.public().name() {
            return Err(BadNote::Format("the origin is not the ledger key's name"));
        }
        let body = head.to_string();
        let line = key.sign(&body, now);
        Self::parse(&format!("{body}\n{line}"))
    }

    /// Reads a checkpoint; its signatures are not checked by this.
    pub fn parse(text: &str) -> Result<Self, BadNote> {
        let note: Note = text.parse()?;
        let head = TreeHead::parse(&note.text)?;
        Ok(Self { head, text: text.to_owned(), note })
    }

    /// The checkpoint with one more signature line.
    pub fn with(&self, line: &str) -> Result<Self, BadNote> {
        Self::parse(&format!("{}{line}", self.text))
    }

    /// The head's text, which is what is signed.
    pub fn body(&self) -> &str {
        &self.note.text
    }

    /// The whole note.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Checks that the ledger signed this head under its own origin.
    pub fn check(&self, ledger: &VerifierKey) -> Result<(), BadNote> {
        if self.head.origin != ledger.name() {
            return Err(BadNote::Unsigned(ledger.name().to_owned()));
        }
        ledger.check(&self.note).map(|_| ())
    }

    /// Checks a witness's cosignature and gives its time.
    pub fn check_cosigned(&self, witness: &VerifierKey) -> Result<UnixTime, BadNote> {
        witness.check(&self.note)?.ok_or(BadNote::Format("not a cosignature's key"))
    }

    /// How many signatures it carries, whoever they are of.
    pub fn signatures(&self) -> usize {
        self.note.signatures()
    }
}
