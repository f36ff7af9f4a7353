//! A hostile front at the signer. It holds the ledger's key, the database and the socket, so its heads
//! and entries are signed and recorded as rightly as it likes. Whatever the signer signs all the same
//! is read with other people's code: it is within every limit of `signer.toml`, in the ledger, under a
//! head that continues the last one, and no index is signed twice. Meanwhile the signer is killed, its
//! clock goes back and forth, the CA's key is rotated, and the ledger begins a new generation.

mod bend;
mod forge;
mod front;
mod heads;
mod look;

use std::collections::{BTreeMap, BTreeSet};

use hallpass::ledger::leaf::{Kind, Leaf};
use hallpass::signer::protocol::{Answer, Batch, Entry, Refusal};

use crate::load::{Dice, rounds};
use bend::{Bend, CLASSES, Class, Must};
use forge::{Keys, Order};
use front::{Front, question};

/// How many entries an ordinary batch has: fewer than the signer allows a person in a minute.
const ENTRIES: u64 = 50;

/// How often each class was tried, and how often the signer signed.
#[derive(Default)]
pub struct Counts(BTreeMap<&'static str, (u64, u64)>);

impl Counts {
    pub fn count(&mut self, name: &'static str, must: Must, signed: bool) {
        let (tried, yes) = self.0.entry(name).or_default();
        (*tried, *yes) = (*tried + 1, *yes + u64::from(signed));
        let right = must == Must::Either || signed == (must == Must::Sign);
        assert!(right, "{name}: signed: {signed}");
    }

    fn tried(&self) -> u64 {
        self.0.values().map(|(tried, _)| tried).sum()
    }

    fn say(&self) {
        for (name, (tried, signed)) in &self.0 {
            eprintln!("hostile: {tried:6} tried {signed:6} signed  {name}");
        }
        let signed: u64 = self.0.values().map(|(_, signed)| signed).sum();
        eprintln!("hostile: {} tried, {signed} signed", self.tried());
    }
}

/// The front, and what it got.
pub struct Siege {
    pub front: Front,
    pub keys: Keys,
    pub dice: Dice,
    pub counts: Counts,
    /// The indexes that were ever signed.
    signed: BTreeSet<u64>,
    /// Questions that were once answered, to be asked again.
    pub asked: Vec<Vec<u8>>,
    /// Certificates for others to look at.
    sample: Vec<Vec<u8>>,
}

impl Siege {
    fn new() -> Self {
        let front = Front::new();
        Self {
            keys: Keys::read(&front.file("keys")),
            front,
            dice: Dice::new("hostile"),
            counts: Counts::default(),
            signed: BTreeSet::new(),
            asked: Vec::new(),
            sample: Vec::new(),
        }
    }

    /// Records an order, bent as its class says, and what is to be sent of it.
    fn record(&mut self, class: &Class) -> Entry {
        let mut order = Order::good(self.front.now, &self.keys);
        if let Bend::Order(bend) = class.bend {
            bend(&mut order, &mut self.dice, &self.keys);
        }
        let index = self.front.size();
        let (mut tbs, mut facts) = (order.says.encode(index), order.facts());
        if let Bend::Bytes(bend) = class.bend {
            bend(&mut tbs, &mut facts, &mut self.dice);
        }
        self.front.append(&Leaf::certificate(&tbs, &facts));
        Entry { index, inclusion: Vec::new(), tbs, facts }
    }

    /// Records these orders and asks for all of them at once. Their classes say what must be signed.
    pub fn ask(&mut self, classes: &[&Class]) {
        let mut entries: Vec<Entry> = classes.iter().map(|class| self.record(class)).collect();
        let size = self.front.size();
        for (entry, class) in entries.iter_mut().zip(classes) {
            entry.inclusion = self.front.inclusion(entry.index, size);
            if let Bend::Sent(bend) = class.bend {
                bend(entry, &mut self.dice, &self.front);
            }
        }
        let batch = Batch { entries, ..self.front.batch() };
        let names: Vec<(&'static str, Must)> = classes.iter().map(|c| (c.name, c.must)).collect();
        self.expect(&batch, &names);
        self.asked.push(question(&batch));
        if self.asked.len() > 50 {
            let at = self.dice.roll(50) as usize;
            self.asked.swap_remove(at);
        }
    }

    /// Sends a batch under a good head, and counts what became of each entry.
    pub fn expect(&mut self, batch: &Batch, names: &[(&'static str, Must)]) {
        let answer = self.front.say(&question(batch));
        let Some(Answer::Signed { results, .. }) = answer else {
            panic!("a good head was refused: {answer:?}");
        };
        self.front.saw();
        assert_eq!((results.len(), names.len()), (batch.entries.len(), batch.entries.len()));
        for ((entry, result), (name, must)) in batch.entries.iter().zip(results).zip(names) {
            if let Err(why) = &result
                && *must == Must::Sign
            {
                panic!("{name}: {why}");
            }
            self.counts.count(name, *must, result.is_ok());
            if let Ok(blob) = result {
                self.take(&blob, entry);
            }
        }
    }

    /// A certificate that the signer gave.
    pub fn take(&mut self, blob: &[u8], entry: &Entry) {
        look::look(blob, entry, &self.front, &self.keys);
        assert!(self.signed.insert(entry.index), "index {} is signed twice", entry.index);
        if self.dice.roll(200) == 0 {
            self.sample.push(blob.to_vec());
        }
    }

    /// What was signed until now is read by others, under the keys that are in use now.
    fn have_others_look(&mut self) {
        let sample = std::mem::take(&mut self.sample);
        look::have_others_look(sample.get(..40).unwrap_or(&sample), &self.front);
        eprintln!("hostile: others read {} certificates", sample.len().min(40));
    }

    /// An ordinary batch, a minute later, so that rates are another class's.
    fn step(&mut self) {
        self.front.wait(61);
        // Entries that are no certificates, as refusals and locks are, stand between them.
        for _ in 0..self.dice.roll(3) {
            self.front.append(&Leaf::other(Kind::Refusal, b"no"));
        }
        // Two before the others, so that there is always a sibling in a proof, and an older entry.
        let good = &CLASSES[0];
        let mut classes = vec![good, good];
        for _ in 2..ENTRIES {
            classes.push(&CLASSES[self.dice.roll(CLASSES.len() as u64) as usize]);
        }
        self.ask(&classes);
        self.heads();
        match self.dice.roll(50) {
            0 => self.rates(),
            1..5 => {
                self.front.kill();
                self.front.start();
                self.replay();
            }
            5..10 => self.order_of_indexes(),
            10..15 => self.two_connections(),
            15..20 => self.frames(),
            _ => self.replay(),
        }
    }

    /// The CA's key is rotated: what names the old one is refused from here on.
    fn rotate(&mut self) {
        self.have_others_look();
        self.front.kill();
        let old = self.keys.user_ca.clone();
        self.front.operator(&["key", "promote", "user-ca"]);
        self.keys = Keys::read(&self.front.file("keys"));
        assert_ne!(old, self.keys.user_ca);
        self.front.start();
        self.replay();
        let new = std::mem::replace(&mut self.keys.user_ca, old);
        self.front.wait(61);
        for _ in 0..20 {
            let entry = self.record(&CLASSES[0]);
            let inclusion = self.front.inclusion(entry.index, self.front.size());
            let entries = vec![Entry { inclusion, ..entry }];
            let batch = Batch { entries, ..self.front.batch() };
            self.expect(&batch, &[("the CA key before", Must::Refuse)]);
        }
        self.keys.user_ca = new;
    }

    /// The ledger is lost and begins its next generation: the indexes that the signer has seen are lost
    /// entries there, and nothing of them is signed, whatever the front says.
    fn succeed(&mut self) {
        self.have_others_look();
        let seen = self.front.seen;
        self.front.wait(61);
        let (old, old_key) = (self.front.batch(), self.front.key_named("ca.example/1"));
        self.front.kill();
        self.front.operator(&["ledger", "recover", "--accept-loss", "--reason", "a drill"]);
        self.front.reload();
        // A generation that is too short would give a serial again. Signed rightly, by the new key.
        let file = self.front.file("forged");
        for size in [0, 1, seen / 2, seen - 1] {
            std::fs::write(&file, self.front.head(size).as_str()).unwrap();
            let said = self.front.succeed(&file);
            assert!(
                said.code == 75 && said.err.contains("a serial would be given twice"),
                "{said:?}"
            );
            self.counts.count("a generation that is too short", Must::Refuse, false);
        }
        let new_key = std::mem::replace(&mut self.front.key, old_key);
        std::fs::write(&file, self.front.head(self.front.size()).as_str()).unwrap();
        assert_eq!(self.front.succeed(&file).code, 75);
        self.counts.count("a generation under the old key", Must::Refuse, false);
        self.front.key = new_key;
        self.keys = Keys::read(&self.front.file("keys"));
        let said = self.front.succeed(&self.front.file("state/succession"));
        assert!(said.code == 0, "{said:?}");
        self.front.seen = self.front.size();
        self.front.start();
        // The old generation's heads, and certificates for what is lost.
        self.refused(&old, "a head of the generation before", |why| {
            matches!(why, Refusal::Invalid(_))
        });
        self.replay();
        for _ in 0..20 {
            let index = self.dice.roll(seen);
            let order = Order::good(self.front.now, &self.keys);
            let (tbs, facts) = (order.says.encode(index), order.facts());
            self.front.append(&Leaf::certificate(&tbs, &facts));
            let inclusion = self.front.inclusion(index, self.front.size());
            let entries = vec![Entry { index, inclusion, tbs, facts }];
            let batch = Batch { entries, ..self.front.batch() };
            self.expect(&batch, &[("a lost entry", Must::Refuse)]);
        }
    }
}

/// `HALLPASS_TRIES=100000` for the full run, with `HALLPASS_PROGRAMS` on a release's; `HALLPASS_SEED` to have
/// one again.
#[test]
fn of_a_hostile_fronts_tries_none_is_signed_that_should_not_be() {
    let tries = rounds("HALLPASS_TRIES", 4000);
    let mut siege = Siege::new();
    let begun = std::time::Instant::now();
    siege.rates();
    siege.order_of_indexes();
    siege.two_connections();
    siege.frames();
    let (mut rotated, mut succeeded) = (false, false);
    while siege.counts.tried() < tries {
        siege.step();
        if !rotated && siege.counts.tried() > tries / 3 {
            siege.rotate();
            rotated = true;
        }
        if !succeeded && siege.counts.tried() > tries * 2 / 3 {
            siege.succeed();
            succeeded = true;
        }
    }
    siege.have_others_look();
    siege.counts.say();
    eprintln!("hostile: {} entries in the ledger, {:?}", siege.front.seen, begun.elapsed());
    assert!(rotated && succeeded);
    // Both happen in every class in which both may, and every class was tried.
    for class in &CLASSES {
        let (tried, signed) = siege.counts.0[class.name];
        assert!(tried > tries / 1000, "{}: tried {tried} times", class.name);
        let both = signed > 0 && signed < tried;
        assert!(class.must != Must::Either || both, "{}: {signed} of {tried}", class.name);
    }
}
