//! What daemon and signer say to each other: length-capped frames over a Unix stream socket, one
//! question and one answer at a time.
//!
//! A frame is a `uint32` length and so many bytes. Inside stand SSH's data types (RFC 4251).

use std::io::{self, Read, Write};

use crate::certificate::wire::{Malformed, Reader, put_string, put_u32, put_u64};
use crate::ledger::tree::Hash;

/// The most bytes a frame may have.
pub const MAX_FRAME: usize = 8 * 1024 * 1024;

/// The most certificates in one batch.
pub const MAX_BATCH: usize = 256;

/// The most leaves between the signer's mark and a checkpoint that one consistency proof can cover:
/// any; the proof has at most two hashes a level.
const MAX_HASHES: usize = 128;

const HELLO: u8 = 1;
const BATCH: u8 = 2;
const REFUSED: u8 = 255;

/// What the daemon asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Who are you, and how far have you seen the ledger grow?
    Hello,
    /// See this checkpoint, cosign it, and sign these certificates.
    Batch(Batch),
}

/// A batch: a checkpoint, the proof that it extends the signer's mark, and what is to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The checkpoint with the ledger's signature.
    pub checkpoint: String,
    /// The consistency proof from the signer's mark.
    pub consistency: Vec<Hash>,
    /// The certificates, by rising index.
    pub entries: Vec<Entry>,
}

/// A certificate that is to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its index in the ledger.
    pub index: u64,
    /// Its inclusion proof in the batch's checkpoint.
    pub inclusion: Vec<Hash>,
    /// The to-be-signed bytes, without the proof.
    pub tbs: Vec<u8>,
    /// The facts.
    pub facts: Vec<u8>,
}

/// What became of one entry: the whole certificate, or why it was not signed.
pub type Signed = Result<Vec<u8>, String>;

/// What the signer answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Hello`].
    Mark(Hello),
    /// To [`Question::Batch`]: the checkpoint is cosigned, and each entry has its own result.
    Signed {
        /// The cosignature's line.
        cosignature: String,
        /// One for each entry, in order.
        results: Vec<Signed>,
    },
    /// The whole batch is refused: nothing was cosigned and nothing signed.
    Refused(Refusal),
}

/// How the signer presents itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The size of the last tree it saw.
    pub size: u64,
    /// That tree's root.
    pub root: Hash,
    /// Its verifier key.
    pub vkey: String,
    /// The blob of the CA key for `login@host`.
    pub user_ca: Vec<u8>,
    /// The blob of the CA key for bare account names.
    pub bare_ca: Vec<u8>,
}

/// Why a whole batch is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The checkpoint is smaller than the mark: the ledger was rolled back.
    Behind,
    /// The checkpoint does not extend the mark: the ledger was rewritten.
    Forked,
    /// The checkpoint or the question is not one.
    Invalid(String),
    /// The signer's own disk failed.
    Disk(String),
}

impl Refusal {
    fn code(&self) -> (u32, &str) {
        match self {
            Self::Behind => (1, ""),
            Self::Forked => (2, ""),
            Self::Invalid(text) => (3, text),
            Self::Disk(text) => (4, text),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Behind => write!(f, "the ledger is shorter than the signer has seen it"),
            Self::Forked => {
                write!(f, "the ledger is not a continuation of what the signer has seen")
            }
            Self::Invalid(why) => write!(f, "the signer refused the batch: {why}"),
            Self::Disk(why) => write!(f, "the signer could not write its mark or list: {why}"),
        }
    }
}

/// Writes one frame.
pub fn send(mut to: impl Write, payload: &[u8]) -> io::Result<()> {
    let mut frame = Vec::with_capacity(payload.len() + 4);
    put_string(&mut frame, payload);
    if payload.len() > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a frame longer than the cap"));
    }
    to.write_all(&frame)
}

/// Reads one frame; `None` where the peer closed before its first byte.
///
/// The length is checked before anything is allocated.
pub fn receive(mut from: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0u8; 4];
    // A stop, a freeze of the machine or a debugger interrupts a read that has a time-out. It says nothing
    // about the peer; taken for its end, it would cost the certificate that is being signed.
    let got = loop {
        match from.read(&mut length) {
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    if got == 0 {
        return Ok(None);
    }
    from.read_exact(length.get_mut(got..).unwrap_or_default())?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame longer than the cap"));
    }
    // Grown as bytes arrive: a length alone costs its sender nothing.
    let mut payload = Vec::new();
    let got = from.take(u64::try_from(length).unwrap_or(0)).read_to_end(&mut payload)?;
    if got == length { Ok(Some(payload)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn put_hashes(out: &mut Vec<u8>, hashes: &[Hash]) {
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
    put_string(out, &bytes);
}

fn hashes(r: &mut Reader<'_>) -> Result<Vec<Hash>, Malformed> {
    const BAD: Malformed = Malformed("list of hashes");
    let bytes = r.string("list of hashes")?;
    let (all, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() || all.len() > MAX_HASHES {
        return Err(BAD);
    }
    Ok(all.iter().map(|hash| Hash(*hash)).collect())
}

impl Batch {
    /// The frame's payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![BATCH];
        put_string(&mut out, self.checkpoint.as_bytes());
        put_hashes(&mut out, &self.consistency);
        put_u32(&mut out, u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        for entry in &self.entries {
            put_u64(&mut out, entry.index);
            put_hashes(&mut out, &entry.inclusion);
            put_string(&mut out, &entry.tbs);
            put_string(&mut out, &entry.facts);
        }
        out
    }
}

impl Question {
    /// The frame's payload.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello => vec![HELLO],
            Self::Batch(batch) => batch.encode(),
        }
    }

    /// Reads a payload.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        let [kind] = r.array("question")?;
        let question = match kind {
            HELLO => Self::Hello,
            BATCH => {
                let checkpoint = r.text("checkpoint")?.to_owned();
                let consistency = hashes(&mut r)?;
                let count = usize::try_from(r.u32("batch")?).unwrap_or(usize::MAX);
                if count > MAX_BATCH {
                    return Err(Malformed("batch: too many certificates"));
                }
                let mut entries = Vec::with_capacity(count);
                for _ in 0..count {
                    entries.push(Entry {
                        index: r.u64("index")?,
                        inclusion: hashes(&mut r)?,
                        tbs: r.string("certificate")?.to_vec(),
                        facts: r.string("facts")?.to_vec(),
                    });
                }
                Self::Batch(Batch { checkpoint, consistency, entries })
            }
            _ => return Err(Malformed("question: unknown kind")),
        };
        r.end("question: bytes after its end")?;
        Ok(question)
    }
}

impl Answer {
    /// The frame's payload.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Mark(hello) => {
                let mut out = vec![HELLO];
                put_u64(&mut out, hello.size);
                out.extend(hello.root.0);
                put_string(&mut out, hello.vkey.as_bytes());
                put_string(&mut out, &hello.user_ca);
                put_string(&mut out, &hello.bare_ca);
                out
            }
            Self::Signed { cosignature, results } => {
                let mut out = vec![BATCH];
                put_string(&mut out, cosignature.as_bytes());
                put_u32(&mut out, u32::try_from(results.len()).unwrap_or(u32::MAX));
                for result in results {
                    let (tag, bytes) = match result {
                        Ok(blob) => (0, blob.as_slice()),
                        Err(why) => (1, why.as_bytes()),
                    };
                    out.push(tag);
                    put_string(&mut out, bytes);
                }
                out
            }
            Self::Refused(refusal) => {
                let (code, text) = refusal.code();
                let mut out = vec![REFUSED];
                put_u32(&mut out, code);
                put_string(&mut out, text.as_bytes());
                out
            }
        }
    }

    /// Reads a payload.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        let [kind] = r.array("answer")?;
        let answer = match kind {
            HELLO => Self::Mark(Hello {
                size: r.u64("mark")?,
                root: Hash(r.array("mark")?),
                vkey: r.text("vkey")?.to_owned(),
                user_ca: r.string("CA key")?.to_vec(),
                bare_ca: r.string("CA key")?.to_vec(),
            }),
            BATCH => {
                let cosignature = r.text("cosignature")?.to_owned();
                let count = usize::try_from(r.u32("batch")?).unwrap_or(usize::MAX);
                if count > MAX_BATCH {
                    return Err(Malformed("batch: too many certificates"));
                }
                let mut results = Vec::with_capacity(count);
                for _ in 0..count {
                    let [tag] = r.array("result")?;
                    results.push(match tag {
                        0 => Ok(r.string("certificate")?.to_vec()),
                        1 => Err(r.text("reason")?.to_owned()),
                        _ => return Err(Malformed("result: unknown kind")),
                    });
                }
                Self::Signed { cosignature, results }
            }
            REFUSED => {
                let code = r.u32("refusal")?;
                let text = r.text("refusal")?.to_owned();
                Self::Refused(match code {
                    1 => Refusal::Behind,
                    2 => Refusal::Forked,
                    3 => Refusal::Invalid(text),
                    4 => Refusal::Disk(text),
                    _ => return Err(Malformed("refusal: unknown code")),
                })
            }
            _ => return Err(Malformed("answer: unknown kind")),
        };
        r.end("answer: bytes after its end")?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_whole_whatever_interrupts() {
        /// One byte at a time, and an interruption before each.
        struct Nervous<'a>(&'a [u8], bool);
        impl Read for Nervous<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let some = into.len().min(1);
                self.0.read(&mut into[..some])
            }
        }
        let mut bytes = Vec::new();
        send(&mut bytes, b"question").unwrap();
        assert_eq!(receive(Nervous(&bytes, false)).unwrap().as_deref(), Some(&b"question"[..]));
        assert_eq!(receive(Nervous(&[], false)).unwrap(), None);
        assert!(receive(Nervous(&bytes[..9], false)).is_err());
    }

    #[test]
    fn what_is_said_is_what_is_heard() {
        let entry = Entry {
            index: 4,
            inclusion: vec![Hash([1; 32])],
            tbs: b"tbs".to_vec(),
            facts: b"{}".to_vec(),
        };
        let batch =
            Batch { checkpoint: "text\n".into(), consistency: vec![], entries: vec![entry] };
        for question in [Question::Hello, Question::Batch(batch)] {
            let bytes = question.encode();
            assert_eq!(Question::decode(&bytes), Ok(question.clone()));
            for cut in 0..bytes.len() {
                assert!(Question::decode(&bytes[..cut]).is_err(), "{cut}");
            }
        }
        let hello = Hello {
            size: 1,
            root: Hash([2; 32]),
            vkey: "v".into(),
            user_ca: vec![1],
            bare_ca: vec![2],
        };
        let signed = Answer::Signed {
            cosignature: "c".into(),
            results: vec![Ok(vec![1, 2]), Err("no".into())],
        };
        let refused = [
            Refusal::Behind,
            Refusal::Forked,
            Refusal::Invalid("x".into()),
            Refusal::Disk("y".into()),
        ];
        for answer in [Answer::Mark(hello), signed].into_iter().chain(refused.map(Answer::Refused))
        {
            let mut bytes = answer.encode();
            assert_eq!(Answer::decode(&bytes), Ok(answer));
            bytes.push(0);
            assert!(Answer::decode(&bytes).is_err());
        }
    }

    #[test]
    fn a_length_alone_allocates_nothing() {
        let huge = u32::MAX.to_be_bytes();
        assert!(receive(huge.as_slice()).is_err());
        let mut short = 1000u32.to_be_bytes().to_vec();
        short.push(1);
        assert!(receive(short.as_slice()).is_err());
        assert_eq!(receive([].as_slice()).unwrap(), None);
    }
}
