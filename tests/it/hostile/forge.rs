//! What a hostile front writes: a certificate and the facts of it, in its own hand, so that both can
//! say anything.

use std::collections::BTreeSet;
use std::path::Path;

use hallpass::certificate::fingerprint;
use hallpass::certificate::key_id::KeyId;
use hallpass::certificate::time::{Span, UnixTime};
use hallpass::certificate::wire::{put_string, put_u32, put_u64};
use hallpass::ledger::facts::{self, Certificate, Granted, Terms, Ticket};
use hallpass::ledger::leaf::Kind;
use hallpass::ledger::tree::Hash;
use ssh_key::public::{Ed25519PublicKey, KeyData};

/// The public keys that lie open in the CA's folder.
pub struct Keys {
    pub user_ca: KeyData,
    pub bare_ca: KeyData,
    /// All of the CA's own, these two among them: never to be certified.
    pub own: Vec<KeyData>,
}

impl Keys {
    pub fn read(keys: &Path) -> Self {
        let read = |name: &str| {
            let path = keys.join(format!("{name}.pub"));
            ssh_key::PublicKey::read_openssh_file(&path).unwrap().key_data().clone()
        };
        let vkey = |name: &str| {
            let text = std::fs::read_to_string(keys.join(format!("{name}.vkey"))).unwrap();
            let vkey: hallpass::ledger::note::VerifierKey = text.trim_end().parse().unwrap();
            KeyData::Ed25519(Ed25519PublicKey(*vkey.key()))
        };
        let names =
            ["user_ca", "bare_ca", "user_ca_next", "host_ca", "emergency_ca", "ssh_host_ed25519"];
        let own = names.map(read).into_iter().chain([vkey("ledger"), vkey("signer")]).collect();
        Self { user_ca: read("user_ca"), bare_ca: read("bare_ca"), own }
    }
}

/// The key that a person brings.
pub fn person_key(seed: u8) -> KeyData {
    let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key();
    KeyData::Ed25519(Ed25519PublicKey(*key.as_bytes()))
}

/// A key's blob.
pub fn blob(key: &KeyData) -> Vec<u8> {
    hallpass::certificate::blob::key_blob(key).unwrap()
}

/// A certificate, field by field.
#[derive(Clone)]
pub struct Says {
    pub algorithm: String,
    pub nonce: Vec<u8>,
    /// The subject's fields, each with its length.
    pub key: Vec<u8>,
    /// The index plus one, unless it says something else.
    pub serial: Option<u64>,
    pub kind: u32,
    pub key_id: String,
    pub principals: Vec<String>,
    pub after: u64,
    pub before: u64,
    pub critical: Vec<(String, Vec<u8>)>,
    pub extensions: Vec<(String, Vec<u8>)>,
    pub reserved: Vec<u8>,
    pub ca: Vec<u8>,
    pub tail: Vec<u8>,
}

impl Says {
    pub fn encode(&self, index: u64) -> Vec<u8> {
        let mut out = Vec::new();
        put_string(&mut out, self.algorithm.as_bytes());
        put_string(&mut out, &self.nonce);
        out.extend(&self.key);
        put_u64(&mut out, self.serial.unwrap_or(index.wrapping_add(1)));
        put_u32(&mut out, self.kind);
        put_string(&mut out, self.key_id.as_bytes());
        let mut names = Vec::new();
        self.principals.iter().for_each(|name| put_string(&mut names, name.as_bytes()));
        put_string(&mut out, &names);
        put_u64(&mut out, self.after);
        put_u64(&mut out, self.before);
        for options in [&self.critical, &self.extensions] {
            let mut field = Vec::new();
            for (name, data) in options {
                put_string(&mut field, name.as_bytes());
                put_string(&mut field, data);
            }
            put_string(&mut out, &field);
        }
        put_string(&mut out, &self.reserved);
        put_string(&mut out, &self.ca);
        out.extend(&self.tail);
        out
    }
}

/// Option data as OpenSSH writes it.
pub fn string(text: &str) -> Vec<u8> {
    let mut data = Vec::new();
    put_string(&mut data, text.as_bytes());
    data
}

/// A certificate that is asked for: what it says, and what the ledger says of it. The two agree until
/// somebody bends one.
pub struct Order {
    pub says: Says,
    pub facts: Certificate,
    pub time: UnixTime,
}

impl Order {
    /// The good one, of ten minutes, which is the signer's limit.
    pub fn good(now: UnixTime, keys: &Keys) -> Self {
        let subject = person_key(9);
        let facts = facts_of(now, &subject);
        let mut order = Self {
            says: Says {
                algorithm: String::new(),
                nonce: vec![7; 32],
                key: Vec::new(),
                serial: None,
                kind: 1,
                key_id: String::new(),
                principals: Vec::new(),
                after: now.secs() - 30,
                before: now.secs() + 600,
                critical: vec![("source-address".to_owned(), string("203.0.113.0/24"))],
                extensions: ["permit-port-forwarding", "permit-pty"]
                    .map(|name| (name.to_owned(), Vec::new()))
                    .into(),
                reserved: Vec::new(),
                ca: blob(&keys.user_ca),
                tail: Vec::new(),
            },
            facts,
            time: now,
        };
        order.certifies(&subject);
        order.agree();
        order
    }

    /// Another subject, in the certificate and in the facts.
    pub fn certifies(&mut self, subject: &KeyData) {
        let blob = blob(subject);
        let mut r = hallpass::certificate::wire::Reader::new(&blob);
        let plain = r.text("type").unwrap().to_owned();
        let plain = plain.strip_suffix("@openssh.com").unwrap_or(&plain);
        self.says.algorithm = format!("{plain}-cert-v01@openssh.com");
        self.says.key = blob[r.at()..].to_vec();
        self.facts.subject = fingerprint(subject);
    }

    /// The accounts, in the certificate and in the facts.
    pub fn opens(&mut self, accounts: &[&str]) {
        self.facts.granted.accounts = accounts.iter().map(|name| name.parse().unwrap()).collect();
        self.agree();
    }

    /// So many seconds, in the certificate, the facts and the terms.
    pub fn lives(&mut self, secs: u64) {
        self.says.before = self.time.secs() + secs;
        self.facts.ttl = secs;
        self.facts.granted.terms.ttl = secs;
    }

    /// Makes the certificate say what the facts do: accounts, key ID.
    pub fn agree(&mut self) {
        let granted = &self.facts.granted;
        let ticket = granted.ticket.as_ref().map(|ticket| ticket.id.parse().unwrap());
        let (request, person) = (granted.request.clone(), granted.person.clone());
        let id = KeyId::new(request, person, ticket.as_ref(), granted.grant_ends);
        self.says.key_id = id.to_string();
        self.says.principals = granted.accounts.iter().map(ToString::to_string).collect();
    }

    /// The facts' bytes.
    pub fn facts(&self) -> Vec<u8> {
        facts::write(Kind::Certificate, [6; 16], self.time, "ca.example", &self.facts).unwrap()
    }
}

fn facts_of(now: UnixTime, subject: &KeyData) -> Certificate {
    let extensions: BTreeSet<String> =
        ["permit-port-forwarding", "permit-pty"].map(str::to_owned).into();
    Certificate {
        granted: Granted {
            request: "r0123456789ab".parse().unwrap(),
            person: "ana".parse().unwrap(),
            person_kind: "person".to_owned(),
            source: "203.0.113.9".to_owned(),
            key: fingerprint(subject),
            accounts: ["deploy@web01", "deploy@web02"].map(|name| name.parse().unwrap()).into(),
            targets: Vec::new(),
            ticket: Some(Ticket {
                tracker: "desk".to_owned(),
                id: "OPS-7".to_owned(),
                state: "open".to_owned(),
                said: "open".to_owned(),
                title: "deploy".to_owned(),
                assignee: None,
                priority: None,
                labels: Vec::new(),
                hosts: Vec::new(),
                window: None,
            }),
            reason: None,
            offer: "deploy-prod".parse().unwrap(),
            terms: Terms {
                ttl: 600,
                period: 3600,
                extensions,
                source_address: vec!["203.0.113.0/24".parse().unwrap()],
                force_command: None,
                delivery: None,
            },
            period: 3600,
            grant_ends: now.plus(Span::secs(3600)),
            ends_with: None,
            votes: Vec::new(),
            policy: Hash::of(b"policy"),
            people: Hash::of(b"people"),
            hosts: Hash::of(b"hosts"),
        },
        ttl: 600,
        subject: fingerprint(subject),
        subject_kind: "own-key".to_owned(),
        delivery: "stdout".to_owned(),
    }
}
