//! Signed notes (c2sp.org/signed-note) and their verifier keys, with the two signature types the
//! ledger uses: Ed25519 (0x01) for the ledger's own, timestamped cosignatures (0x04,
//! c2sp.org/tlog-cosignature) for the signer's and other witnesses'.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::tree::{Hash, base64, unbase64};
use crate::certificate::time::UnixTime;

/// Why a note or a verifier key is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadNote {
    /// It is not a signed note.
    Format(&'static str),
    /// The key named here did not sign it.
    Unsigned(String),
    /// The key named here is said to have signed it, and did not.
    Forged(String),
}

impl fmt::Display for BadNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(what) => write!(f, "not a signed note: {what}"),
            Self::Unsigned(name) => write!(f, "{name} did not sign it"),
            Self::Forged(name) => write!(f, "the signature of {name} is not valid"),
        }
    }
}

impl std::error::Error for BadNote {}

/// The signature types of c2sp.org/signed-note that the ledger uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureType {
    /// 0x01: Ed25519 over the note's text. The ledger's own.
    Ed25519,
    /// 0x04: Ed25519 over `cosignature/v1`, the time and the note's text. A witness's.
    Cosignature,
}

impl SignatureType {
    fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Cosignature => 4,
        }
    }
}

/// A verifier key: `NAME+HEX KEY ID+BASE64(TYPE || KEY)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: SignatureType,
    key: VerifyingKey,
}

impl VerifierKey {
    /// A key under a name; the name has no space and no plus sign.
    pub fn new(name: &str, kind: SignatureType, key: VerifyingKey) -> Result<Self, BadNote> {
        if !is_name(name) {
            return Err(BadNote::Format("a key's name has no spaces and no plus sign"));
        }
        if key.is_weak() {
            return Err(BadNote::Format("a key of small order"));
        }
        Ok(Self { name: name.to_owned(), kind, key })
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of its signatures.
    pub fn kind(&self) -> SignatureType {
        self.kind
    }

    /// The 32 bytes of the public key.
    pub fn key(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// The first four bytes of SHA-256(name, LF, type, key).
    fn id(&self) -> [u8; 4] {
        let mut text = self.name.clone().into_bytes();
        text.extend([b'\n', self.kind.byte()]);
        text.extend(self.key.as_bytes());
        let Hash([a, b, c, d, ..]) = Hash::of(&text);
        [a, b, c, d]
    }

    /// Checks this key's signature on a note; gives the time for a cosignature.
    ///
    /// The note must carry exactly one line of this key, so that nothing in it is malleable.
    pub fn check(&self, note: &Note) -> Result<Option<UnixTime>, BadNote> {
        let forged = || BadNote::Forged(self.name.clone());
        let id = self.id();
        let mut lines =
            note.signatures.iter().filter(|s| s.name == self.name && s.bytes.starts_with(&id));
        let line = lines.next().ok_or_else(|| BadNote::Unsigned(self.name.clone()))?;
        if lines.next().is_some() {
            return Err(BadNote::Format("two signatures of one key"));
        }
        let rest = line.bytes.get(4..).unwrap_or_default();
        let (message, signature, time) = match self.kind {
            SignatureType::Ed25519 => (note.text.clone().into_bytes(), rest, None),
            SignatureType::Cosignature => {
                let (time, signature) = rest.split_first_chunk::<8>().ok_or_else(forged)?;
                let time = u64::from_be_bytes(*time);
                (cosigned(time, &note.text), signature, Some(UnixTime::from_secs(time)))
            }
        };
        let signature = Signature::from_slice(signature).map_err(|_| forged())?;
        self.key.verify_strict(&message, &signature).map_err(|_| forged())?;
        Ok(time)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.id();
        let mut material = vec![self.kind.byte()];
        material.extend(self.key.as_bytes());
        write!(f, "{}+{a:02x}{b:02x}{c:02x}{d:02x}+{}", self.name, base64(&material))
    }
}

impl FromStr for VerifierKey {
    type Err = BadNote;
    fn from_str(text: &str) -> Result<Self, BadNote> {
        const BAD: BadNote = BadNote::Format("a verifier key is NAME+HEX+BASE64");
        let (name, rest) = text.split_once('+').ok_or(BAD)?;
        let (_, material) = rest.split_once('+').ok_or(BAD)?;
        let material = unbase64(material).ok_or(BAD)?;
        let (kind, key) = material.split_first().ok_or(BAD)?;
        let kind = match kind {
            1 => SignatureType::Ed25519,
            4 => SignatureType::Cosignature,
            _ => return Err(BadNote::Format("a signature type other than 0x01 and 0x04")),
        };
        let key: [u8; 32] = key.try_into().map_err(|_| BAD)?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| BAD)?;
        let vkey = Self::new(name, kind, key)?;
        // The id is a function of the rest: a text with another id is not this key.
        if vkey.to_string() == text { Ok(vkey) } else { Err(BAD) }
    }
}

/// Whether a key may have this name.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// A key that signs notes.
pub struct NoteKey {
    public: VerifierKey,
    secret: SigningKey,
}

impl NoteKey {
    /// A signing key under a name.
    pub fn new(name: &str, kind: SignatureType, secret: SigningKey) -> Result<Self, BadNote> {
        let public = VerifierKey::new(name, kind, secret.verifying_key())?;
        Ok(Self { public, secret })
    }

    /// Its verifier key.
    pub fn public(&self) -> &VerifierKey {
        &self.public
    }

    /// The signature line over a note's text; `time` is written by a cosignature alone.
    pub fn sign(&self, text: &str, time: UnixTime) -> String {
        let mut bytes = self.public.id().to_vec();
        match self.public.kind {
            SignatureType::Ed25519 => bytes.extend(self.secret.sign(text.as_bytes()).to_bytes()),
            SignatureType::Cosignature => {
                bytes.extend(time.secs().to_be_bytes());
                bytes.extend(self.secret.sign(&cosigned(time.secs(), text)).to_bytes());
            }
        }
        format!("\u{2014} {} {}\n", self.public.name, base64(&bytes))
    }
}

/// What a cosignature signs.
fn cosigned(time: u64, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

/// A signed note: its text, and signature lines that are not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The text, its last LF included.
    pub text: String,
    signatures: Vec<SignatureLine>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SignatureLine {
    name: String,
    bytes: Vec<u8>,
}

impl Note {
    /// How many signature lines it has, whoever they are of.
    pub fn signatures(&self) -> usize {
        self.signatures.len()
    }
}

impl FromStr for Note {
    type Err = BadNote;
    fn from_str(note: &str) -> Result<Self, BadNote> {
        use BadNote::Format;
        if note.len() > 64 * 1024 || note.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(Format("too long, or control characters"));
        }
        // The text ends at the last empty line.
        let at = note.rfind("\n\n").ok_or(Format("no empty line before the signatures"))?;
        let (text, lines) = (note.get(..=at), note.get(at + 2..));
        let (Some(text), Some(lines)) = (text, lines) else {
            return Err(Format("no signatures"));
        };
        if !lines.ends_with('\n') {
            return Err(Format("the last line does not end"));
        }
        let mut signatures = Vec::new();
        for line in lines.lines() {
            let line =
                line.strip_prefix("\u{2014} ").ok_or(Format("a line that is no signature"))?;
            let (name, bytes) =
                line.split_once(' ').ok_or(Format("a line that is no signature"))?;
            let bytes = unbase64(bytes).ok_or(Format("a signature that is not base64"))?;
            if !is_name(name) || bytes.len() < 5 {
                return Err(Format("a line that is no signature"));
            }
            signatures.push(SignatureLine { name: name.to_owned(), bytes });
        }
        if signatures.is_empty() || signatures.len() > 16 {
            return Err(Format("no signatures, or more than sixteen"));
        }
        Ok(Self { text: text.to_owned(), signatures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of c2sp.org/signed-note.
    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    #[test]
    fn the_specifications_own_example_verifies() {
        let vkey: VerifierKey = VKEY.parse().unwrap();
        assert_eq!(vkey.to_string(), VKEY);
        assert_eq!(vkey.check(&NOTE.parse().unwrap()), Ok(None));
        let other = NOTE.replace("example message", "Example message");
        assert_eq!(
            vkey.check(&other.parse().unwrap()),
            Err(BadNote::Forged("example.com/foo".into()))
        );
    }

    #[test]
    fn a_verifier_key_with_another_id_is_none() {
        for bad in [
            VKEY.replace("530d", "530e"),
            VKEY.replace("Ae", "Be"),
            VKEY.replace("foo", "f oo"),
            "a+b".into(),
        ] {
            assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_of_a_name_that_no_key_has_makes_no_note() {
        for bad in ["a+b", "a\u{a0}b", "a\u{85}b", "", "a\u{7f}"] {
            let note = format!("{NOTE}\u{2014} {bad} AAAAAAAA\n");
            assert!(note.parse::<Note>().is_err(), "{bad:?}");
        }
        assert!(format!("{NOTE}\u{2014} w.example AAAAAAAA\n").parse::<Note>().is_ok());
    }

    #[test]
    fn a_cosignature_is_bound_to_its_time() {
        let key = NoteKey::new(
            "w.example/1",
            SignatureType::Cosignature,
            SigningKey::from_bytes(&[7; 32]),
        )
        .unwrap();
        let line = key.sign("text\n", UnixTime::from_secs(1_679_315_147));
        let note: Note = format!("text\n\n{line}").parse().unwrap();
        assert_eq!(key.public().check(&note), Ok(Some(UnixTime::from_secs(1_679_315_147))));
        // One key, two types: the ids differ, so one is never read as the other.
        let plain =
            NoteKey::new("w.example/1", SignatureType::Ed25519, SigningKey::from_bytes(&[7; 32]))
                .unwrap();
        assert_eq!(plain.public().check(&note), Err(BadNote::Unsigned("w.example/1".into())));
    }
}
