//! What a daemon that was taken over can get from the signer, told as stories.

use super::protocol::{Answer, Batch, Entry, Refusal};
use super::scene::{Scene, stands};
use super::trial::{ledger_key, signer_vkey};
use crate::certificate::sample::NOW;
use crate::certificate::time::Span;
use crate::ledger::checkpoint::TreeHead;
use crate::ledger::facts::Certificate;
use crate::ledger::note::{NoteKey, SignatureType};
use crate::ledger::toy::{Order, Toy};
use crate::ledger::tree::Hash;

type BendBatch = fn(&mut Batch);
type BendFacts = fn(&mut Certificate);

#[test]
fn a_good_batch_is_signed_and_every_proof_checks() {
    let mut scene = Scene::new("");
    scene.toy.note("a refusal between");
    let mut batch = scene.toy.order(&[Order::at(NOW), Order::at(NOW), Order::at(NOW)]);
    batch.consistency = scene.toy.consistency(1);
    for (index, result) in (2..).zip(scene.say(&batch).unwrap()) {
        stands(&result.unwrap(), index);
    }
    let hello = scene.witness.hello();
    assert_eq!((hello.size, hello.root), (5, scene.toy.head().root));
    let list = std::fs::read_to_string(scene.trial.path("list")).unwrap();
    let indexes: Vec<&str> = list.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(indexes, ["2", "3", "4"]);
}

/// The daemon asks for the same entry again and again: it wants a second certificate of one serial.
#[test]
fn an_index_is_signed_once_ever() {
    let mut scene = Scene::new("");
    let mut batch = scene.toy.order(&[Order::at(NOW)]);
    batch.entries.push(batch.entries[0].clone());
    let results = scene.say(&batch).unwrap();
    stands(results[0].as_ref().unwrap(), 1);
    assert!(results[1].as_ref().unwrap_err().contains("signed already"), "twice in one batch");

    let again = Batch { consistency: Vec::new(), ..batch.clone() };
    let signed = |results: Vec<Result<Vec<u8>, String>>| results.iter().any(Result::is_ok);
    assert!(!signed(scene.say(&again).unwrap()), "again under the same checkpoint");
    let mut scene = scene.restart();
    assert!(!signed(scene.say(&again).unwrap()), "again after a restart");
    scene.toy.note("growth");
    let mut later = scene.toy.batch(2);
    later.entries = batch.entries;
    later.entries.iter_mut().for_each(|entry| entry.inclusion = scene.toy.inclusion(1));
    assert!(!signed(scene.say(&later).unwrap()), "again under a later checkpoint");
    assert!(scene.order(Order::at(NOW)).is_ok(), "the next index");
}

/// The daemon records two and asks for the second alone; later, when nobody looks, for the first.
#[test]
fn what_was_passed_over_is_never_signed() {
    let mut scene = Scene::new("");
    let both = scene.toy.order(&[Order::at(NOW), Order::at(NOW)]);
    let mut second = both.clone();
    second.entries.remove(0);
    assert!(scene.say(&second).unwrap()[0].is_ok());
    let mut first = Batch { consistency: Vec::new(), ..both };
    first.entries.truncate(1);
    assert!(scene.say(&first).unwrap()[0].as_ref().unwrap_err().contains("passed over"));
    // Nor in the order of falling indexes within one batch.
    let mut turned = scene.toy.order(&[Order::at(NOW), Order::at(NOW)]);
    turned.entries.reverse();
    let results = scene.say(&turned).unwrap();
    assert!(results[0].is_ok() && results[1].is_err());
}

/// Somebody restores last night's database, or writes another history under the same sizes.
#[test]
fn a_ledger_that_did_not_only_grow_gets_nothing() {
    let mut scene = Scene::new("");
    for n in 0..6 {
        scene.toy.note(&n.to_string());
    }
    scene.say(&scene.toy.batch(1)).unwrap();
    let mark = scene.witness.hello();

    let mut restored = Toy::new();
    restored.note("the beginning");
    let mut batch = restored.order(&[Order::at(NOW)]);
    batch.consistency = restored.consistency(1);
    assert_eq!(scene.say(&batch), Err(Refusal::Behind));

    let mut forked = Toy::new();
    forked.note("another beginning");
    for n in 0..6 {
        forked.note(&n.to_string());
    }
    assert_eq!(scene.say(&forked.batch(7)), Err(Refusal::Forked), "as large");
    let batch = forked.order(&[Order::at(NOW)]);
    assert_eq!(scene.say(&batch), Err(Refusal::Forked), "larger");

    let good = scene.toy.order(&[Order::at(NOW)]);
    for at in 0..good.consistency.len() {
        let mut bad = good.clone();
        bad.consistency[at].0[31] ^= 1;
        assert_eq!(scene.say(&bad), Err(Refusal::Forked), "hash {at} of the proof");
    }
    let mut longer = good.clone();
    longer.consistency.push(Hash::default());
    assert_eq!(scene.say(&longer), Err(Refusal::Forked), "a hash too many");
    let none = Batch { consistency: Vec::new(), ..good.clone() };
    assert_eq!(scene.say(&none), Err(Refusal::Forked), "no proof");

    // None of it left a trace, and the true ledger goes on.
    assert_eq!(scene.witness.hello(), mark);
    assert!(scene.say(&good).unwrap()[0].is_ok());
}

#[test]
fn a_checkpoint_is_the_ledgers_alone() {
    use ed25519_dalek::SigningKey;
    let mut scene = Scene::new("");
    let good = scene.toy.order(&[Order::at(NOW)]);
    let head = scene.toy.head();
    let sign = |name: &str, kind, seed, head: &TreeHead| {
        let key = NoteKey::new(name, kind, SigningKey::from_bytes(&[seed; 32])).unwrap();
        key.sign(&head.to_string(), NOW)
    };
    let ours = sign("ca.test/1", SignatureType::Ed25519, 3, &head);
    let other = TreeHead { origin: "ca.test/2".to_owned(), ..head.clone() };
    let smaller = TreeHead { size: head.size - 1, ..head.clone() };
    for (what, text) in [
        ("nobody's", format!("{head}\n")),
        (
            "another key's",
            format!("{head}\n{}", sign("ca.test/1", SignatureType::Ed25519, 8, &head)),
        ),
        (
            "another name's",
            format!("{head}\n{}", sign("ca.test/2", SignatureType::Ed25519, 3, &head)),
        ),
        (
            "of another type",
            format!("{head}\n{}", sign("ca.test/1", SignatureType::Cosignature, 3, &head)),
        ),
        (
            "over another head",
            format!("{head}\n{}", sign("ca.test/1", SignatureType::Ed25519, 3, &smaller)),
        ),
        (
            "another origin's",
            format!("{other}\n{}", sign("ca.test/2", SignatureType::Ed25519, 3, &other)),
        ),
        (
            "the ledger's under another origin",
            format!("{other}\n{}", sign("ca.test/1", SignatureType::Ed25519, 3, &other)),
        ),
        (
            "cosigned before",
            format!(
                "{head}\n{ours}{}",
                sign("ca.test/signer", SignatureType::Cosignature, 4, &head)
            ),
        ),
        ("signed twice", format!("{head}\n{ours}{ours}")),
        ("with a line more", format!("{head}more\n\n{ours}")),
        ("nothing", String::new()),
    ] {
        let batch = Batch { checkpoint: text, ..good.clone() };
        assert!(matches!(scene.say(&batch), Err(Refusal::Invalid(_))), "{what}");
    }
    assert_eq!(scene.witness.hello().size, 1, "the mark moved");
    assert!(scene.say(&good).unwrap()[0].is_ok());
}

/// What is asked for is not what was recorded.
#[test]
fn logged_first() {
    let bends: [(&str, BendBatch); 8] = [
        ("another hash in the proof", |b| b.entries[0].inclusion[0].0[0] ^= 1),
        ("a hash too few", |b| b.entries[0].inclusion.truncate(1)),
        ("a hash too many", |b| b.entries[0].inclusion.push(Hash::default())),
        ("another index", |b| b.entries[0].index += 1),
        ("an index outside the tree", |b| b.entries[0].index = 1 << 40),
        ("the last index there is", |b| b.entries[0].index = u64::MAX),
        ("facts with a space more", |b| b.entries[0].facts.push(b' ')),
        ("another certificate", |b| b.entries[0].tbs[40] ^= 1),
    ];
    for (what, bend) in bends {
        let mut scene = Scene::new("");
        let mut batch = scene.toy.order(&[Order::at(NOW), Order::at(NOW)]);
        bend(&mut batch);
        let results = scene.say(&batch).unwrap();
        assert!(results[0].as_ref().unwrap_err().contains("not included"), "{what}");
        // The neighbour is not held against it, but for the index that was taken for another.
        assert!(results[1].is_ok(), "{what}");
    }
}

/// The daemon records facts that no reader of the ledger can read.
#[test]
fn facts_that_are_no_text_get_nothing() {
    let mut scene = Scene::new("");
    let order = Order::at(NOW);
    let (tbs, mut facts) = (order.tbs(1), order.facts());
    let salt = facts.windows(4).position(|four| four == b"BgYG").unwrap();
    for (what, at) in [("in the salt", salt), ("in a member nobody compares", facts.len() - 5)] {
        let good = std::mem::replace(&mut facts[at], 0xff);
        let leaf = crate::ledger::leaf::Leaf::certificate(&tbs, &facts);
        let old = scene.toy.size();
        let index = scene.toy.append(&leaf);
        let inclusion = scene.toy.inclusion(index);
        let entry = Entry { index, inclusion, tbs: order.tbs(index), facts: facts.clone() };
        let batch = Batch { entries: vec![entry], ..scene.toy.batch(old) };
        assert!(scene.say(&batch).unwrap()[0].is_err(), "{what}");
        facts[at] = good;
    }
}

/// The daemon records facts that are not what the certificate says, so that whoever reads the ledger
/// sees a harmless one.
#[test]
fn facts_leaf_and_certificate_agree() {
    let bends: [(&str, &str, BendFacts); 12] = [
        ("accounts", "principals", |f| drop(f.granted.accounts.pop())),
        ("person", "key ID", |f| f.granted.person = "bob".parse().unwrap()),
        ("request", "key ID", |f| f.granted.request = "r000000000000".parse().unwrap()),
        ("ticket", "key ID", |f| f.granted.ticket = None),
        ("its id", "key ID", |f| f.granted.ticket.as_mut().unwrap().id = "OPS-8".to_owned()),
        ("subject", "not the one that was granted", |f| f.subject = "SHA256:x".to_owned()),
        ("ttl", "lives too long", |f| f.ttl = 599),
        ("the offer's ttl", "lives too long", |f| f.granted.terms.ttl = 599),
        ("extensions", "permit-pty", |f| {
            f.granted.terms.extensions.retain(|name| name != "permit-pty")
        }),
        ("source_address", "source-address", |f| f.granted.terms.source_address.clear()),
        ("force_command", "force-command", |f| {
            f.granted.terms.force_command = Some("uptime".to_owned())
        }),
        ("grant_ends", "key ID", |f| f.granted.grant_ends = NOW.plus(Span::secs(3601))),
    ];
    for (what, why, bend) in bends {
        let mut scene = Scene::new("");
        let mut order = Order::at(NOW);
        bend(&mut order.facts);
        let said = scene.order(order).unwrap_err();
        assert!(said.contains(why), "{what}: {said}");
        assert!(scene.order(Order::at(NOW)).is_ok(), "after {what}");
    }
}

#[test]
fn facts_that_are_none_get_nothing() {
    let good = String::from_utf8(Order::at(NOW).facts()).unwrap();
    for (what, from, to) in [
        ("another version", "\"v\":1", "\"v\":2"),
        ("another kind", "\"kind\":\"certificate\"", "\"kind\":\"grant\""),
        ("a doubled member", "\"v\":1", "\"v\":1,\"v\":1"),
        ("a doubled person", "\"person\":\"ana\"", "\"person\":\"ana\",\"person\":\"ana\""),
        ("no end", "\"grant_ends\":", "\"grant_end\":"),
        ("no JSON", "{", "["),
        ("a byte after it", "\"delivery\":\"stdout\"}", "\"delivery\":\"stdout\"}}"),
        ("another order", "\"v\":1,\"kind\":\"certificate\"", "\"kind\":\"certificate\",\"v\":1"),
        ("a short salt", "BgYGBgYGBgYGBgYGBgYGBg==", "BgYGBgYGBgYGBgYGBgYG"),
        ("a salt that is no base64", "BgYGBgYGBgYGBgYGBgYGBg==", "BgYGBgYGBgYGBgYGBgYGBh=="),
        ("another time", "\"time\":\"2026-11-22T05:40:00Z\"", "\"time\":\"2026-11-22T05:38:00Z\""),
        ("no time", "\"time\":", "\"when\":"),
        ("a ttl below nothing", "\"ttl\":600", "\"ttl\":-1"),
        ("a person that is none", "\"person\":\"ana\"", "\"person\":\"ANA\""),
        ("too much", "\"node\":\"toy\"", &format!("\"node\":\"{}\"", "x".repeat(64 * 1024))),
    ] {
        let facts = good.replace(from, to).into_bytes();
        assert_ne!(facts, good.as_bytes(), "{what}: nothing was bent");
        let mut scene = Scene::new("");
        let mut batch = scene.toy.order(&[Order::at(NOW)]);
        let mut toy = Toy::new();
        toy.note("the beginning");
        let leaf = crate::ledger::leaf::Leaf::certificate(&batch.entries[0].tbs, &facts);
        toy.append(&leaf);
        batch.entries[0].facts = facts;
        batch.entries[0].inclusion = toy.inclusion(1);
        batch.checkpoint = toy.checkpoint().as_str().to_owned();
        batch.consistency = toy.consistency(1);
        let why = scene.say(&batch).unwrap().remove(0).unwrap_err();
        assert!(!why.contains("not included"), "{what}: {why}");
    }
}

#[test]
fn the_signers_own_limits_hold_whatever_policy_says() {
    let accounts = |order: &mut Order, names: &[&str]| {
        order.says.principals = names.iter().map(|name| name.parse().unwrap()).collect();
        order.facts.granted.accounts = order.says.principals.clone();
    };
    let mut scene = Scene::new(
        "[limits]\nttl = \"5m\"\nprincipals = 2\nallowed = [\"deploy@*\", \"root@dev*\"]\nnever = [\"*@vault\"]\n",
    );
    let short = || {
        let mut order = Order::at(NOW);
        order.says.ttl = Span::secs(300);
        order
    };
    for (names, why) in [
        (&["deploy@web01", "deploy@web02"] as &[&str], None),
        (&["root@dev01"], None),
        (&["deploy@vault"], Some("never allows deploy@vault")),
        (&["root@web01"], Some("does not allow root@web01")),
        (&["deploy@web01", "root@web01"], Some("does not allow root@web01")),
        (&["deploy@web01", "deploy@web02", "deploy@web03"], Some("principals")),
    ] {
        let mut order = short();
        accounts(&mut order, names);
        match (scene.order(order), why) {
            (Ok(_), None) => {}
            (Err(said), Some(why)) => assert!(said.contains(why), "{names:?}: {said}"),
            (said, _) => panic!("{names:?}: {said:?}"),
        }
    }
    assert!(scene.order(Order::at(NOW)).unwrap_err().contains("lives too long"), "ten minutes");
    let mut early = short();
    early.says.now = NOW.minus(Span::secs(31));
    assert!(scene.order(early).unwrap_err().contains("too early"), "recorded a minute ago");
}

/// The cosigned checkpoint is the ledger's with one line more.
#[test]
fn a_cosignature_says_when() {
    let mut scene = Scene::new("");
    scene.toy.note("growth");
    let at = NOW.plus(Span::secs(7));
    let Answer::Signed { cosignature, .. } = scene.witness.batch(&scene.toy.batch(1), at) else {
        panic!("not cosigned");
    };
    let cosigned = scene.toy.checkpoint().with(&cosignature).unwrap();
    assert_eq!(cosigned.check_cosigned(&signer_vkey()), Ok(at));
    assert_eq!(cosigned.check(ledger_key().public()), Ok(()));
    assert_eq!(cosigned.signatures(), 2);
}
