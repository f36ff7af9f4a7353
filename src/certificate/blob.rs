//! The bytes of an OpenSSH user certificate (PROTOCOL.certkeys): written by hand, read without
//! re-encoding, with and without the stapled proof.
//!
//! The *to-be-signed certificate* is the blob up to the signature field with exactly one extension
//! [`PROOF`] removed. What the ledger hashes and what the CA signs differ in that one option alone,
//! so both are cut and spliced here, every other byte untouched.

use std::ops::Range;

use ssh_key::public::KeyData;

use super::names::Principal;
use super::time::UnixTime;
use super::wire::{Malformed, Reader, put_string, put_u32, put_u64};

/// The extension that holds the proof of logging: our only one.
pub const PROOF: &str = "log-proof@hallpass";

/// The suffix of every certificate type's name.
const CERT_SUFFIX: &str = "-cert-v01@openssh.com";

/// `SSH_CERT_TYPE_USER`.
pub const USER: u32 = 1;

/// A critical option or an extension: its name and its data field as it stands.
pub type OptionField<'a> = (&'a str, &'a [u8]);

/// A view of a certificate up to its signature field, each field as it stands in the bytes.
#[derive(Debug, Clone)]
pub struct Tbs<'a> {
    /// `ssh-ed25519-cert-v01@openssh.com` and its kin.
    pub algorithm: &'a str,
    /// The CA's random bytes.
    pub nonce: &'a [u8],
    /// The subject's public key blob, as a plain key.
    pub subject: Vec<u8>,
    /// The serial.
    pub serial: u64,
    /// [`USER`] or host (2).
    pub kind: u32,
    /// The key ID.
    pub key_id: &'a str,
    /// The principals.
    pub principals: Vec<&'a str>,
    /// First second of validity.
    pub valid_after: UnixTime,
    /// First second after it; `u64::MAX` reads as [`UnixTime::MAX`].
    pub valid_before: UnixTime,
    /// Critical options, in the order of the bytes.
    pub critical: Vec<OptionField<'a>>,
    /// Extensions, in the order of the bytes.
    pub extensions: Vec<OptionField<'a>>,
    /// The reserved field.
    pub reserved: &'a [u8],
    /// The CA's public key blob.
    pub ca: &'a [u8],
    /// Where the extensions field stands, its length prefix included.
    extensions_at: Range<usize>,
    /// Where the signature field begins.
    end: usize,
}

impl<'a> Tbs<'a> {
    /// Reads a certificate up to its signature field; nothing may follow.
    ///
    /// ```text
    /// string type · string nonce · key fields · uint64 serial · uint32 type · string key id ·
    /// string principals · uint64 after · uint64 before · string critical · string extensions ·
    /// string reserved · string CA key
    /// ```
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let tbs = Self::parse_start(bytes)?;
        if tbs.end == bytes.len() {
            Ok(tbs)
        } else {
            Err(Malformed("certificate: bytes after the CA key"))
        }
    }

    /// Reads a whole certificate: its fields, and its signature field's content.
    pub fn parse_signed(blob: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let tbs = Self::parse_start(blob)?;
        let mut rest = Reader::new(blob.get(tbs.end..).unwrap_or_default());
        let signature = rest.string("certificate signature")?;
        rest.end("certificate: bytes after the signature")?;
        Ok((tbs, signature))
    }

    /// How many bytes precede the signature field.
    pub fn len(&self) -> usize {
        self.end
    }

    /// Never: a certificate has fields.
    pub fn is_empty(&self) -> bool {
        self.end == 0
    }

    fn parse_start(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let algorithm = r.text("certificate type")?;
        let plain = algorithm.strip_suffix(CERT_SUFFIX).ok_or(Malformed("certificate type"))?;
        // The sk types have their own suffix: sk-ssh-ed25519-cert-v01@openssh.com is a certificate
        // for the plain type sk-ssh-ed25519@openssh.com.
        let (plain, fields) = match plain {
            "ssh-ed25519" => (plain.to_owned(), 1),
            "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ssh-rsa" => (plain.to_owned(), 2),
            "sk-ssh-ed25519" => (format!("{plain}@openssh.com"), 2),
            "sk-ecdsa-sha2-nistp256" => (format!("{plain}@openssh.com"), 3),
            _ => return Err(Malformed("certificate type: not one that hallpass signs")),
        };
        let nonce = r.string("nonce")?;
        let key_at = r.at();
        for _ in 0..fields {
            r.string("subject key")?;
        }
        let mut subject = Vec::with_capacity(64);
        put_string(&mut subject, plain.as_bytes());
        subject.extend_from_slice(bytes.get(key_at..r.at()).unwrap_or_default());
        let serial = r.u64("serial")?;
        let kind = r.u32("certificate kind")?;
        let key_id = r.text("key ID")?;
        let principals = list(r.string("principals")?, |r| r.text("principal"))?;
        let valid_after = UnixTime::from_secs(r.u64("valid after")?);
        let valid_before = UnixTime::from_secs(r.u64("valid before")?);
        let option = |r: &mut Reader<'a>| Ok((r.text("option name")?, r.string("option data")?));
        let critical = list(r.string("critical options")?, option)?;
        let from = r.at();
        let extensions = list(r.string("extensions")?, option)?;
        let extensions_at = from..r.at();
        let reserved = r.string("reserved")?;
        let ca = r.string("CA key")?;
        let end = r.at();
        Ok(Self {
            algorithm,
            nonce,
            subject,
            serial,
            kind,
            key_id,
            principals,
            valid_after,
            valid_before,
            critical,
            extensions,
            reserved,
            ca,
            extensions_at,
            end,
        })
    }
}

/// Reads a string of fields to its end.
fn list<'a, T>(
    bytes: &'a [u8],
    mut one: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut r = Reader::new(bytes);
    let mut all = Vec::new();
    while !r.is_empty() {
        all.push(one(&mut r)?);
    }
    Ok(all)
}

/// What a certificate is to say, before it has a serial.
#[derive(Debug)]
pub struct Contents {
    /// 32 random bytes.
    pub nonce: [u8; 32],
    /// The key that is certified.
    pub subject: KeyData,
    /// The key ID.
    pub key_id: String,
    /// At least one.
    pub principals: Vec<Principal>,
    /// First second of validity.
    pub valid_after: UnixTime,
    /// First second after it.
    pub valid_before: UnixTime,
    /// Critical options, sorted by name: `(name, value)`.
    pub critical: Vec<(&'static str, String)>,
    /// Extensions, sorted by name; none of ours takes data.
    pub extensions: Vec<&'static str>,
    /// The public key blob of the CA that is to sign.
    pub ca: Vec<u8>,
}

impl Contents {
    /// The to-be-signed bytes under a serial.
    pub fn encode(&self, serial: u64) -> Result<Vec<u8>, Malformed> {
        let subject = key_blob(&self.subject)?;
        let mut key = Reader::new(&subject);
        let plain = key.text("subject key type")?;
        let fields = subject.get(key.at()..).unwrap_or_default();
        let algorithm =
            format!("{}{CERT_SUFFIX}", plain.strip_suffix("@openssh.com").unwrap_or(plain));

        let mut out = Vec::with_capacity(512 + fields.len());
        put_string(&mut out, algorithm.as_bytes());
        put_string(&mut out, &self.nonce);
        out.extend_from_slice(fields);
        put_u64(&mut out, serial);
        put_u32(&mut out, USER);
        put_string(&mut out, self.key_id.as_bytes());
        let mut names = Vec::new();
        for principal in &self.principals {
            put_string(&mut names, principal.to_string().as_bytes());
        }
        put_string(&mut out, &names);
        put_u64(&mut out, self.valid_after.secs());
        put_u64(&mut out, self.valid_before.secs());
        let mut options = Vec::new();
        for (name, value) in &self.critical {
            let mut data = Vec::new();
            put_string(&mut data, value.as_bytes());
            put_string(&mut options, name.as_bytes());
            put_string(&mut options, &data);
        }
        put_string(&mut out, &options);
        let mut extensions = Vec::new();
        for name in &self.extensions {
            put_string(&mut extensions, name.as_bytes());
            put_string(&mut extensions, b"");
        }
        put_string(&mut out, &extensions);
        put_string(&mut out, b"");
        put_string(&mut out, &self.ca);
        Ok(out)
    }
}

/// A public key's blob (RFC 4253 section 6.6).
pub fn key_blob(key: &KeyData) -> Result<Vec<u8>, Malformed> {
    use ssh_encoding::Encode as _;
    let mut out = Vec::with_capacity(64);
    key.encode(&mut out).map_err(|_| Malformed("public key"))?;
    Ok(out)
}

/// Puts the proof into to-be-signed bytes: the one extension [`PROOF`], at its sorted place, its
/// data one SSH string (Go's parser refuses raw data).
pub fn staple(tbs: &[u8], proof: &str) -> Result<Vec<u8>, Malformed> {
    let view = Tbs::parse(tbs)?;
    if view.extensions.iter().any(|(name, _)| *name == PROOF) {
        return Err(Malformed("certificate: there is a proof already"));
    }
    let mut data = Vec::with_capacity(proof.len() + 4);
    put_string(&mut data, proof.as_bytes());
    let mut options = Vec::with_capacity(proof.len() + 128);
    let mut put = false;
    for (name, value) in &view.extensions {
        if !put && *name > PROOF {
            put_string(&mut options, PROOF.as_bytes());
            put_string(&mut options, &data);
            put = true;
        }
        put_string(&mut options, name.as_bytes());
        put_string(&mut options, value);
    }
    if !put {
        put_string(&mut options, PROOF.as_bytes());
        put_string(&mut options, &data);
    }
    Ok(splice(tbs, &view.extensions_at, &options))
}

/// Takes the proof out: the to-be-signed bytes without it, and the proof's text.
///
/// Exactly one [`PROOF`] must be there, its data exactly one SSH string of UTF-8.
pub fn strip(stapled: &[u8]) -> Result<(Vec<u8>, &str), Malformed> {
    let view = Tbs::parse(stapled)?;
    let mut options = Vec::new();
    let mut proof = None;
    for (name, value) in &view.extensions {
        if *name != PROOF {
            put_string(&mut options, name.as_bytes());
            put_string(&mut options, value);
        } else if proof.is_none() {
            let mut r = Reader::new(value);
            proof = Some(r.text("proof extension")?);
            r.end("proof extension")?;
        } else {
            return Err(Malformed("certificate: two proofs"));
        }
    }
    let proof = proof.ok_or(Malformed("certificate: no proof"))?;
    Ok((splice(stapled, &view.extensions_at, &options), proof))
}

/// The bytes with another content of the extensions field.
fn splice(bytes: &[u8], extensions_at: &Range<usize>, options: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + options.len() + 4);
    out.extend_from_slice(bytes.get(..extensions_at.start).unwrap_or_default());
    put_string(&mut out, options);
    out.extend_from_slice(bytes.get(extensions_at.end..).unwrap_or_default());
    out
}
