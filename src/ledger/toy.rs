//! A ledger in memory for the tests: it does what it is told, also what no ledger may.

use ssh_key::public::KeyData;

use super::checkpoint::{Checkpoint, TreeHead};
use super::edge::Edge;
use super::facts::{self, Certificate, Terms, Ticket};
use super::leaf::{Kind, Leaf};
use super::note::NoteKey;
use super::tree::{Hash, Leaves, consistency, hash_of, inclusion, root};
use crate::certificate::sample::{Granted, ed25519};
use crate::certificate::time::UnixTime;
use crate::signer::protocol::{Batch, Entry};
use crate::signer::trial::ledger_key;

/// A tree and the key that signs its heads.
pub(crate) struct Toy {
    edge: Edge,
    pub(crate) key: NoteKey,
}

impl Toy {
    /// An empty ledger.
    pub(crate) fn new() -> Self {
        Self { edge: Edge::default(), key: ledger_key() }
    }

    /// How many leaves.
    pub(crate) fn size(&self) -> u64 {
        self.edge.size()
    }

    /// Appends a leaf and gives its index.
    pub(crate) fn append(&mut self, leaf: &Leaf) -> u64 {
        self.edge.append(leaf.hash());
        self.size() - 1
    }

    /// Appends something that nobody signs.
    pub(crate) fn note(&mut self, what: &str) -> u64 {
        self.append(&Leaf::other(Kind::Refusal, what.as_bytes()))
    }

    fn hashes(&self, path: Vec<Leaves>) -> Vec<Hash> {
        path.into_iter().map(|leaves| hash_of(&self.edge, leaves).unwrap()).collect()
    }

    /// The proof that an entry is in the tree as it is.
    pub(crate) fn inclusion(&self, index: u64) -> Vec<Hash> {
        self.hashes(inclusion(index, self.size()))
    }

    /// The proof that the tree only grew since it had `old` leaves.
    pub(crate) fn consistency(&self, old: u64) -> Vec<Hash> {
        self.hashes(consistency(old, self.size()))
    }

    /// The tree's head.
    pub(crate) fn head(&self) -> TreeHead {
        let size = self.size();
        let origin = self.key.public().name().to_owned();
        TreeHead { origin, size, root: root(&self.edge, size).unwrap() }
    }

    /// The head, signed.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint::sign(&self.head(), &self.key, UnixTime::default()).unwrap()
    }

    /// A batch without certificates, for a signer that has seen `old` leaves.
    pub(crate) fn batch(&self, old: u64) -> Batch {
        let checkpoint = self.checkpoint().as_str().to_owned();
        Batch { checkpoint, consistency: self.consistency(old), entries: Vec::new() }
    }

    /// Records certificates and gives the batch that asks for their signatures.
    pub(crate) fn order(&mut self, orders: &[Order]) -> Batch {
        let old = self.size();
        let mut entries: Vec<Entry> = Vec::new();
        for (index, order) in (old..).zip(orders) {
            let (tbs, facts) = (order.tbs(index), order.facts());
            self.append(&Leaf::certificate(&tbs, &facts));
            entries.push(Entry { index, inclusion: Vec::new(), tbs, facts });
        }
        entries.iter_mut().for_each(|entry| entry.inclusion = self.inclusion(entry.index));
        Batch { entries, ..self.batch(old) }
    }
}

/// A certificate that is asked for: what it says, and what the ledger says of it. The two agree
/// until a test bends one.
pub(crate) struct Order {
    pub(crate) subject: KeyData,
    pub(crate) says: Granted,
    pub(crate) facts: Certificate,
    pub(crate) time: UnixTime,
}

impl Order {
    /// The good one.
    pub(crate) fn at(now: UnixTime) -> Self {
        let subject = ed25519(9);
        let mut says = Granted::to(&subject);
        (says.now, says.decided) = (now, now);
        says.key_id.end = now.plus(crate::certificate::time::Span::secs(3600));
        let mut order = Self { facts: facts_of(&says), subject, says, time: now };
        order.facts.ttl = order.says.ttl.as_secs();
        order
    }

    /// The to-be-signed bytes under an index.
    pub(crate) fn tbs(&self, index: u64) -> Vec<u8> {
        self.says.contents(&self.subject).encode(index + 1).unwrap()
    }

    /// The facts' bytes.
    pub(crate) fn facts(&self) -> Vec<u8> {
        facts::write(Kind::Certificate, [6; 16], self.time, "toy", &self.facts).unwrap()
    }
}

fn facts_of(says: &Granted) -> Certificate {
    Certificate {
        granted: facts::Granted {
            request: says.key_id.request.clone(),
            person: says.key_id.person.clone(),
            person_kind: "person".to_owned(),
            source: "203.0.113.9".to_owned(),
            key: says.subject.clone(),
            accounts: says.principals.clone(),
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
                extensions: says.extensions.clone(),
                source_address: says.source_address.clone(),
                force_command: says.force_command.clone(),
                delivery: None,
            },
            period: 3600,
            grant_ends: says.key_id.end,
            ends_with: None,
            votes: Vec::new(),
            policy: Hash::of(b"policy"),
            people: Hash::of(b"people"),
            hosts: Hash::of(b"hosts"),
        },
        ttl: 600,
        subject: says.subject.clone(),
        subject_kind: "own-key".to_owned(),
        delivery: "stdout".to_owned(),
    }
}
