//! One good certificate and what was granted for it, for the tests to bend; and a subject of every type.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use ed25519_dalek::SigningKey;
use ssh_key::Mpint;
use ssh_key::public::{
    EcdsaPublicKey, Ed25519PublicKey, KeyData, RsaPublicKey, SkEcdsaSha2NistP256, SkEd25519,
};

use super::blob::{Contents, key_blob};
use super::cidr::Cidr;
use super::fingerprint;
use super::key_id::KeyId;
use super::lint::{Allowance, Flaw, Keys, lint, wanted_critical};
use super::names::Principal;
use super::time::{Span, UnixTime};
use super::wire::{Malformed, Reader, put_string, put_u32, put_u64};

/// The clock of the tests: 2026-11-22T05:40:00Z.
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_795_326_000);

/// The index of the good certificate.
pub(crate) const INDEX: u64 = 41;

const P256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBLPphZaY3uFPkYo+/KMZNxgq0s2eSuDMxmca+vEMjrZTEtbpVOr52YfrcsxK+Oz/Alb45UxAs5kaimI1Bn9K9tc=";
const P384: &str = "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBECFFkMk7gT1IHq0lbh7ZHnVl9pYGt2zhPga5SfzUDRDglKMYIPMl/QZqfTUUKbkAThncewNUxkIVQrNwQoMJJM9vGrxO29zxj1iCiM9D1VNshXX/kbpjOaBezHJFdRq2w==";
pub(crate) const P521: &str = "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAEamHj5UoK74NUxfKteXoermigd1i9DCK9NbbuGmGu7TR4c/5sodb2p0g8E2wdKH8fvvudNPSKaj6z37OHNOxMOdwFt/3/n7N4sZF+hFtNw9QmR60QgXJquNNSVcJ3HusLjdID2krudG+87YUZXEwz4ghU5JhM2Q8PBJ6aoUtV/Sh5PGQ==";

/// The public key of a seed, of 0 to 15.
pub(crate) fn ed25519(seed: u8) -> KeyData {
    static MADE: LazyLock<Vec<Ed25519PublicKey>> = LazyLock::new(|| {
        let key = |seed| SigningKey::from_bytes(&[seed; 32]).verifying_key();
        (0..16).map(|seed| Ed25519PublicKey(*key(seed).as_bytes())).collect()
    });
    KeyData::Ed25519(MADE[usize::from(seed)])
}

/// A key read from OpenSSH's line.
pub(crate) fn openssh(line: &str) -> KeyData {
    line.parse::<ssh_key::PublicKey>().unwrap().key_data().clone()
}

/// Something of so many bits that has the form of an RSA key.
pub(crate) fn rsa(bits: usize) -> KeyData {
    let mut n = vec![0xa5; bits / 8];
    n[0] = 0x80;
    let (e, n) = (Mpint::from_positive_bytes(&[1, 0, 1]), Mpint::from_positive_bytes(&n));
    KeyData::Rsa(RsaPublicKey::new(e, n).unwrap())
}

/// A key of every type that is taken.
pub(crate) fn subjects() -> Vec<KeyData> {
    let KeyData::Ed25519(point) = ed25519(9) else { panic!("not ed25519") };
    let KeyData::Ecdsa(EcdsaPublicKey::NistP256(p256)) = openssh(P256) else { panic!("not p256") };
    vec![
        ed25519(9),
        openssh(P256),
        openssh(P384),
        KeyData::SkEd25519(SkEd25519::new(point, "ssh:")),
        KeyData::SkEcdsaSha2NistP256(SkEcdsaSha2NistP256::new(p256, "ssh:")),
        rsa(3072),
    ]
}

/// The keys of the CA: seeds 1 (user CA), 2 (bare CA), 3 to 5 (ledger, signer, host).
pub(crate) fn keys() -> Keys {
    let blob = |seed| key_blob(&ed25519(seed)).unwrap();
    Keys { user_ca: blob(1), bare_ca: blob(2), never_subjects: vec![blob(3), blob(4), blob(5)] }
}

/// What was granted, owned.
pub(crate) struct Granted {
    pub(crate) now: UnixTime,
    pub(crate) decided: UnixTime,
    pub(crate) index: u64,
    pub(crate) key_id: KeyId,
    pub(crate) principals: Vec<Principal>,
    pub(crate) subject: String,
    pub(crate) ttl: Span,
    pub(crate) max_principals: usize,
    pub(crate) extensions: BTreeSet<String>,
    pub(crate) source_address: Vec<Cidr>,
    pub(crate) force_command: Option<String>,
}

impl Granted {
    /// Two accounts for ten minutes, with a terminal and ports, from one network.
    pub(crate) fn to(subject: &KeyData) -> Self {
        Self {
            now: NOW,
            decided: NOW,
            index: INDEX,
            key_id: KeyId::new(
                "r0123456789ab".parse().unwrap(),
                "ana".parse().unwrap(),
                Some(&"OPS-7".parse().unwrap()),
                NOW.plus(Span::secs(3600)),
            ),
            principals: vec!["deploy@web01".parse().unwrap(), "deploy@web02".parse().unwrap()],
            subject: fingerprint(subject),
            ttl: Span::secs(600),
            max_principals: 64,
            extensions: ["permit-port-forwarding", "permit-pty"].map(str::to_owned).into(),
            source_address: vec!["203.0.113.0/24".parse().unwrap()],
            force_command: None,
        }
    }

    /// The certificate that says exactly this.
    pub(crate) fn contents(&self, subject: &KeyData) -> Contents {
        let known = super::lint::EXTENSIONS.into_iter();
        Contents {
            nonce: [7; 32],
            subject: subject.clone(),
            key_id: self.key_id.to_string(),
            principals: self.principals.clone(),
            valid_after: self.now.minus(Span::secs(30)),
            valid_before: self.now.plus(self.ttl),
            critical: wanted_critical(self.force_command.as_deref(), &self.source_address),
            extensions: known.filter(|name| self.extensions.contains(*name)).collect(),
            ca: keys().user_ca,
        }
    }

    /// Its bytes.
    pub(crate) fn tbs(&self, subject: &KeyData) -> Vec<u8> {
        self.contents(subject).encode(self.index + 1).unwrap()
    }

    /// Lints bytes against what was granted.
    pub(crate) fn lint(&self, tbs: &[u8]) -> Result<(), Flaw> {
        let may = Allowance {
            now: self.now,
            decided: self.decided,
            index: self.index,
            key_id: &self.key_id,
            principals: &self.principals,
            subject: &self.subject,
            ttl: self.ttl,
            max_principals: self.max_principals,
            extensions: &self.extensions,
            source_address: &self.source_address,
            force_command: self.force_command.as_deref(),
        };
        lint(tbs, &keys(), &may)
    }
}

/// A certificate taken apart into raw fields, so that a test can say what `Contents` cannot.
pub(crate) struct Parts {
    pub(crate) algorithm: Vec<u8>,
    pub(crate) nonce: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) serial: u64,
    pub(crate) kind: u32,
    pub(crate) key_id: Vec<u8>,
    pub(crate) principals: Vec<Vec<u8>>,
    pub(crate) after: u64,
    pub(crate) before: u64,
    pub(crate) critical: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) extensions: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) reserved: Vec<u8>,
    pub(crate) ca: Vec<u8>,
    pub(crate) tail: Vec<u8>,
}

impl Parts {
    /// Takes to-be-signed bytes apart; `fields` is how many strings the subject's key has.
    pub(crate) fn of(tbs: &[u8], fields: usize) -> Result<Self, Malformed> {
        let mut r = Reader::new(tbs);
        let (algorithm, nonce) = (r.string("")?.to_vec(), r.string("")?.to_vec());
        let from = r.at();
        for _ in 0..fields {
            r.string("")?;
        }
        let key = tbs[from..r.at()].to_vec();
        let (serial, kind, key_id) = (r.u64("")?, r.u32("")?, r.string("")?.to_vec());
        let (mut names, mut principals) = (Reader::new(r.string("")?), Vec::new());
        while !names.is_empty() {
            principals.push(names.string("")?.to_vec());
        }
        let (after, before) = (r.u64("")?, r.u64("")?);
        let mut options = || {
            let (mut from, mut all) = (Reader::new(r.string("")?), Vec::new());
            while !from.is_empty() {
                all.push((from.string("")?.to_vec(), from.string("")?.to_vec()));
            }
            Ok(all)
        };
        let (critical, extensions) = (options()?, options()?);
        let (reserved, ca) = (r.string("")?.to_vec(), r.string("")?.to_vec());
        let tail = tbs[r.at()..].to_vec();
        Ok(Self {
            algorithm,
            nonce,
            key,
            serial,
            kind,
            key_id,
            principals,
            after,
            before,
            critical,
            extensions,
            reserved,
            ca,
            tail,
        })
    }

    /// Puts them together again.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_string(&mut out, &self.algorithm);
        put_string(&mut out, &self.nonce);
        out.extend(&self.key);
        put_u64(&mut out, self.serial);
        put_u32(&mut out, self.kind);
        put_string(&mut out, &self.key_id);
        let mut names = Vec::new();
        self.principals.iter().for_each(|name| put_string(&mut names, name));
        put_string(&mut out, &names);
        put_u64(&mut out, self.after);
        put_u64(&mut out, self.before);
        for options in [&self.critical, &self.extensions] {
            let mut field = Vec::new();
            for (name, data) in options {
                put_string(&mut field, name);
                put_string(&mut field, data);
            }
            put_string(&mut out, &field);
        }
        put_string(&mut out, &self.reserved);
        put_string(&mut out, &self.ca);
        out.extend(&self.tail);
        out
    }

    /// Replaces the subject by raw strings under a certificate type.
    pub(crate) fn subject(&mut self, algorithm: &str, strings: &[&[u8]]) {
        self.algorithm = algorithm.as_bytes().to_vec();
        self.key = Vec::new();
        strings.iter().for_each(|string| put_string(&mut self.key, string));
    }
}

/// A name and its value as one SSH string, as critical options and the proof write it.
pub(crate) fn option(name: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    let mut data = Vec::new();
    put_string(&mut data, value.as_bytes());
    (name.as_bytes().to_vec(), data)
}
