//! Twenty thousand entries from a daemon that was taken over: whatever was signed of them is looked
//! at with other people's code.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use ssh_key::certificate::CertType;
use ssh_key::public::KeyData;

use super::protocol::{Answer, Batch, Entry, Question, receive};
use super::scene::Scene;
use super::trial::{ledger_key, signer_vkey};
use crate::certificate::blob::{Tbs, key_blob, strip};
use crate::certificate::sample::{NOW, ed25519, subjects};
use crate::certificate::time::{Span, UnixTime};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::export;
use crate::ledger::facts::SignerView;
use crate::ledger::leaf::Leaf;
use crate::ledger::note::VerifierKey;
use crate::ledger::proof::{self, Proof};
use crate::ledger::toy::Order;

/// The same throws in every run (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap()
    }

    fn flip(&mut self, bytes: &mut [u8]) {
        let bit = self.below(8 * bytes.len());
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

const BATCHES: usize = 400;
const ENTRIES: usize = 50;

/// Bends what the certificate says, or what the ledger says of it, or both alike.
fn bend(order: &mut Order, dice: &mut Dice) {
    let secs = |dice: &mut Dice| Span::secs(dice.below(900) as u64);
    let names = ["root@vault", "root@web01", "deploy@web01", "root", "deploy@web02", "x@y"];
    let pick = |dice: &mut Dice| names[dice.below(names.len())].parse().unwrap();
    let facts = &mut order.facts;
    match dice.below(12) {
        0 => order.says.ttl = secs(dice),
        1 => facts.ttl = secs(dice).as_secs(),
        2 => facts.granted.terms.ttl = secs(dice).as_secs(),
        3 => {
            order.says.ttl = secs(dice);
            facts.ttl = order.says.ttl.as_secs();
            facts.granted.terms.ttl = facts.ttl;
        }
        4 => {
            order.says.now =
                order.time.minus(Span::secs(60)).plus(Span::secs(dice.below(120) as u64))
        }
        5 => order.says.principals = vec![pick(dice)],
        6 => facts.granted.accounts.push(pick(dice)),
        7 => {
            order.says.principals = (0..dice.below(5)).map(|_| pick(dice)).collect();
            facts.granted.accounts = order.says.principals.clone();
        }
        8 => {
            order.says.extensions.insert("permit-agent-forwarding".to_owned());
            if dice.below(2) == 0 {
                facts.granted.terms.extensions = order.says.extensions.clone();
            }
        }
        9 => {
            order.says.source_address.clear();
            order.says.force_command = Some("uptime".to_owned());
            if dice.below(2) == 0 {
                facts.granted.terms.source_address.clear();
                facts.granted.terms.force_command = Some("uptime".to_owned());
            }
        }
        10 => {
            static ALL: LazyLock<Vec<KeyData>> = LazyLock::new(subjects);
            order.subject = ALL[dice.below(ALL.len())].clone();
            if dice.below(2) == 0 {
                order.subject = ed25519(dice.below(10) as u8);
            }
            facts.subject = crate::certificate::fingerprint(&order.subject);
        }
        _ => {
            order.says.key_id.end = order.time.plus(secs(dice));
            if dice.below(2) == 0 {
                facts.granted.grant_ends = order.says.key_id.end;
            }
        }
    }
}

/// A batch of entries of which most are bent: before they are recorded, or after.
fn batch(scene: &mut Scene, dice: &mut Dice, now: UnixTime) -> Batch {
    let old = scene.toy.size();
    let mut entries = Vec::new();
    for index in (old..).take(ENTRIES) {
        let mut order = Order::at(now);
        let how = dice.below(8);
        if how == 0 {
            bend(&mut order, dice);
        }
        let (mut tbs, mut facts) = (order.tbs(index), order.facts());
        match how {
            1 => dice.flip(&mut tbs),
            2 => dice.flip(&mut facts),
            _ => {}
        }
        scene.toy.append(&Leaf::certificate(&tbs, &facts));
        match how {
            3 => dice.flip(&mut tbs),
            4 => dice.flip(&mut facts),
            _ => {}
        }
        entries.push(Entry { index, inclusion: Vec::new(), tbs, facts });
    }
    for entry in &mut entries {
        entry.inclusion = scene.toy.inclusion(entry.index);
        match dice.below(24) {
            0 => {
                let at = dice.below(entry.inclusion.len());
                dice.flip(&mut entry.inclusion[at].0);
            }
            1 => drop(entry.inclusion.pop()),
            2 => entry.index ^= 1 << dice.below(64),
            3 => entry.index = old + dice.below(ENTRIES) as u64,
            _ => {}
        }
    }
    for _ in 0..3 {
        let (a, b) = (dice.below(ENTRIES), dice.below(ENTRIES));
        match dice.below(3) {
            0 => entries.swap(a, b),
            1 => entries[a] = entries[b].clone(),
            _ => entries[a].tbs = entries[b].tbs.clone(),
        }
    }
    Batch { entries, ..scene.toy.batch(old) }
}

/// Everything that a signed certificate must be, from its bytes and the entry alone.
fn look(blob: &[u8], entry: &Entry, now: UnixTime) {
    let theirs = ssh_key::Certificate::from_bytes(blob).unwrap();
    assert_eq!(theirs.verify_signature(), Ok(()));
    assert_eq!((theirs.cert_type(), theirs.serial()), (CertType::User, entry.index + 1));
    let (after, before, now) = (theirs.valid_after(), theirs.valid_before(), now.secs());
    assert!(now - 60 <= after && after <= now + 5 && after < before && before <= now + 600);
    let facts: serde_json::Value = serde_json::from_slice(&entry.facts).unwrap();
    let time: UnixTime = facts["time"].as_str().unwrap().parse().unwrap();
    assert!(now - 65 <= time.secs() && time.secs() <= now + 65, "{time}");
    assert!(facts["v"] == 1 && facts["kind"] == "certificate");
    let accounts: Vec<&str> =
        facts["accounts"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    assert_eq!(theirs.valid_principals(), accounts);
    assert!((1..=3).contains(&accounts.len()), "{accounts:?}");
    let bare = accounts.iter().all(|name| !name.contains('@'));
    let ca = ed25519(if bare { 2 } else { 1 });
    assert_eq!(theirs.signature_key(), &ca);
    assert!(bare || accounts.iter().all(|name| name.contains('@')), "{accounts:?}");
    assert!(accounts.iter().all(|name| !name.ends_with("@vault")), "{accounts:?}");
    assert_eq!(accounts.iter().collect::<BTreeSet<_>>().len(), accounts.len());
    assert!(before - now <= facts["ttl"].as_u64().unwrap());
    assert!(before - now <= facts["terms"]["ttl"].as_u64().unwrap());
    let subject = theirs.public_key().fingerprint(ssh_key::HashAlg::Sha256).to_string();
    assert_eq!(facts["subject"].as_str(), Some(subject.as_str()));
    assert!((1..=5).all(|seed| theirs.public_key() != &ed25519(seed)), "one of the CA's own keys");
    for name in theirs.extensions().keys().filter(|name| *name != "log-proof@hallpass") {
        let granted = facts["terms"]["extensions"].as_array().unwrap();
        assert!(granted.iter().any(|one| one == name.as_str()), "{name}");
    }
    let command = theirs.critical_options().get("force-command").map(String::as_str);
    assert_eq!(facts["terms"]["force_command"].as_str(), command);
    assert_eq!(
        theirs.critical_options().contains_key("source-address"),
        facts["terms"]["source_address"] != serde_json::json!([])
    );
    let parts: Vec<&str> = theirs.key_id().split('/').collect();
    assert_eq!(parts[..2], [facts["request"].as_str().unwrap(), facts["person"].as_str().unwrap()]);
    let end: UnixTime = facts["grant_ends"].as_str().unwrap().parse().unwrap();
    assert!(parts[3] == end.compact() && before <= end.secs());

    let (view, _) = Tbs::parse_signed(blob).unwrap();
    assert_eq!(view.subject, key_blob(theirs.public_key()).unwrap());
    let proved = proof::check(&blob[..view.len()], ledger_key().public(), &signer_vkey()).unwrap();
    assert_eq!(proved.proof.index, entry.index);
}

#[test]
fn of_twenty_thousand_hostile_entries_none_is_signed_that_should_not_be() {
    let mut scene = Scene::new("[limits]\nttl = \"10m\"\nprincipals = 3\nnever = [\"*@vault\"]\n");
    let mut dice = Dice(0x6861_6c6c_7061_7373);
    let mut serials = BTreeSet::new();
    let mut refused = 0;
    for step in 0..BATCHES {
        // A minute and more later each time: the rate is another test's.
        let now = NOW.plus(Span::secs(61 * step as u64));
        let batch = batch(&mut scene, &mut dice, now);
        let Answer::Signed { results, .. } = scene.witness.batch(&batch, now) else {
            panic!("a good checkpoint was refused");
        };
        for (entry, result) in batch.entries.iter().zip(results) {
            match result {
                Ok(blob) => {
                    look(&blob, entry, now);
                    assert!(serials.insert(entry.index), "index {} twice", entry.index);
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert_eq!(serials.len() + refused, BATCHES * ENTRIES);
    // Both happen often, or the dice are loaded.
    assert!(serials.len() > 3000 && refused > 3000, "{} signed, {refused} refused", serials.len());
}

/// Whoever reads bytes from others must not fall over any of them.
#[test]
fn no_bytes_make_a_reader_panic() {
    let mut scene = Scene::new("");
    let mut dice = Dice(7);
    let batch = scene.toy.order(&[Order::at(NOW), Order::at(NOW)]);
    let Answer::Signed { cosignature, results } = scene.witness.batch(&batch, NOW) else {
        panic!()
    };
    let blob = results[0].clone().unwrap();
    let (view, _) = Tbs::parse_signed(&blob).unwrap();
    let proof = strip(&blob[..view.len()]).unwrap().1.as_bytes().to_vec();
    let question = batch.encode();
    let facts = batch.entries[0].facts.clone();
    let answer = Answer::Signed { cosignature, results }.encode();
    let vkey = signer_vkey().to_string().into_bytes();
    for round in 0..1000 {
        for good in [&blob, &proof, &question, &facts, &answer, &vkey] {
            let mut bad = good.clone();
            for _ in 0..=dice.below(3) {
                let at = dice.below(bad.len());
                match dice.below(5) {
                    0 => dice.flip(&mut bad),
                    1 => bad[at] = [0, 0xff, 0x7f, b'\n'][dice.below(4)],
                    2 => bad.truncate(at + 1),
                    3 => drop(bad.drain(at / 2..at)),
                    // A length that promises much.
                    _ => bad.splice(at..at, [0xff; 4]).for_each(drop),
                }
                if bad.is_empty() {
                    bad.push(0);
                }
            }
            let read = [
                Tbs::parse(&bad).is_ok(),
                Tbs::parse_signed(&bad).is_ok(),
                strip(&bad).is_ok(),
                proof::check(&bad, ledger_key().public(), &signer_vkey()).is_ok(),
                Question::decode(&bad).is_ok(),
                Answer::decode(&bad).is_ok(),
                receive(bad.as_slice()).is_ok(),
                SignerView::parse(&bad).is_ok(),
            ];
            let text = String::from_utf8_lossy(&bad);
            let texts = [
                Proof::parse(&text).is_ok(),
                Checkpoint::parse(&text).is_ok(),
                text.parse::<VerifierKey>().is_ok(),
                text.parse::<Leaf>().is_ok(),
                export::read_entry(&text).is_ok(),
            ];
            let proved = read[3] && bad != blob[..view.len()];
            assert!(!proved && !texts[4], "{round}: what was bent was taken");
        }
    }
}
