//! Somebody changes what is stored, or an export of it: everything is noticed, and named where it is
//! one entry's.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::checkpoint::Checkpoint;
use super::edge::Edge;
use super::export;
use super::leaf::{Kind, Leaf};
use super::note::VerifierKey;
use super::store::Store;
use super::tree::Hash;
use super::verify::{self, Report};
use super::whole::{Whole, refusal};
use crate::signer::trial::{ledger_key, signer_vkey};

/// A small ledger that is at rest, and somebody with a connection to its database.
struct Scene {
    whole: Whole,
    reader: Store,
    db: Connection,
    keys: (VerifierKey, VerifierKey),
}

impl Scene {
    /// So many refusals and certificates with their grants, and these many further refusals.
    async fn with(rounds: u32, more: u32) -> Self {
        let whole = Whole::new();
        let ledger = whole.open();
        for n in 0..rounds {
            ledger.append(Kind::Refusal, refusal(n)).await.unwrap();
            ledger.issue(whole.unsigned(n)).await.unwrap();
        }
        for n in 0..more {
            ledger.append_later(Kind::Refusal, refusal(n)).unwrap();
        }
        whole.wait_for_mark(u64::from(3 * rounds + more));
        drop(ledger);
        let (reader, db) = (whole.reader(), whole.database());
        db.pragma_update(None, "synchronous", "OFF").unwrap();
        let keys = (ledger_key().public().clone(), signer_vkey());
        Self { whole, reader, db, keys }
    }

    fn keys(&self) -> (&VerifierKey, &VerifierKey) {
        (&self.keys.0, &self.keys.1)
    }

    fn report(&self, checkpoint: &Checkpoint) -> Report {
        let seen = Some(self.whole.seen());
        verify::database(&self.reader, checkpoint, self.keys(), seen).unwrap()
    }

    fn value(&self, index: i64, column: &str) -> Option<Vec<u8>> {
        let select = format!("SELECT CAST({column} AS BLOB) FROM entry WHERE idx = {index}");
        self.db.query_row(&select, [], |row| row.get(0)).unwrap()
    }

    fn set(&self, index: i64, column: &str, bytes: Option<&[u8]>) {
        let kind = if column == "leaf" { "TEXT" } else { "BLOB" };
        let update = format!("UPDATE entry SET {column} = CAST(?1 AS {kind}) WHERE idx = {index}");
        self.db.prepare_cached(&update).unwrap().execute([bytes]).unwrap();
    }

    /// Does something to the database, looks what is found, and takes it back.
    fn after(&self, sql: &str) -> Report {
        let checkpoint = self.whole.checkpoint();
        let read = |table: &str, columns: usize| {
            let mut select = self.db.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let row = |row: &rusqlite::Row<'_>| {
                (0..columns).map(|n| row.get(n)).collect::<Result<Vec<Value>, _>>()
            };
            select.query_map([], row).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
        };
        let (entries, tiles) = (read("entry", 4), read("tile", 3));
        self.db.execute_batch(sql).unwrap();
        let report = self.report(&checkpoint);
        self.db.execute_batch("BEGIN; DELETE FROM entry; DELETE FROM tile").unwrap();
        for (insert, rows) in [
            ("INSERT INTO entry VALUES (?, ?, ?, ?)", entries),
            ("INSERT INTO tile VALUES (?, ?, ?)", tiles),
        ] {
            let mut insert = self.db.prepare(insert).unwrap();
            for row in rows {
                insert.execute(rusqlite::params_from_iter(row)).unwrap();
            }
        }
        self.db.execute_batch("COMMIT").unwrap();
        report
    }

    fn export(&self) -> Vec<u8> {
        let mut out = Vec::new();
        export::write(&self.reader, &self.whole.checkpoint(), &mut out).unwrap();
        out
    }

    fn read_export(&self, bytes: &[u8]) -> Report {
        verify::export(bytes, self.keys()).unwrap()
    }
}

fn names(report: &Report, index: u64) -> bool {
    report.problems.iter().any(|problem| problem.index == Some(index))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_of_every_stored_value_is_noticed_and_its_entry_named() {
    let scene = Scene::with(1, 0).await;
    let checkpoint = scene.whole.checkpoint();
    let untouched = scene.report(&checkpoint);
    assert_eq!(untouched.problems, []);
    assert_eq!((untouched.entries, untouched.certificates, untouched.redacted), (3, 1, 0));

    let mut flipped = 0;
    for index in 0..3 {
        for column in ["leaf", "tbs", "facts"] {
            let Some(good) = scene.value(index, column) else { continue };
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 1 << (at % 8);
                scene.set(index, column, Some(&bad));
                let report = scene.report(&checkpoint);
                assert!(names(&report, index.unsigned_abs()), "{column} of {index} at {at}");
                flipped += 1;
            }
            for bad in [&good[..good.len() - 1], &[good.as_slice(), b"\n"].concat(), b""] {
                scene.set(index, column, Some(bad));
                assert!(names(&scene.report(&checkpoint), index.unsigned_abs()));
            }
            scene.set(index, column, Some(&good));
        }
    }
    assert!(flipped > 2000, "{flipped}");
    assert_eq!(scene.report(&checkpoint).problems, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_go_come_or_change_places_are_noticed() {
    let scene = Scene::with(2, 0).await;
    for index in 0..6u64 {
        let report = scene.after(&format!("DELETE FROM entry WHERE idx = {index}"));
        assert!(names(&report, index), "{index} was deleted: {:?}", report.problems);
        let report = scene.after(&format!("DELETE FROM entry WHERE idx >= {index}"));
        assert!(names(&report, index), "cut at {index}: {:?}", report.problems);
        for other in index + 1..6 {
            let report = scene.after(&format!(
                "UPDATE entry SET idx = -7 WHERE idx = {index};
                 UPDATE entry SET idx = {index} WHERE idx = {other};
                 UPDATE entry SET idx = {other} WHERE idx = -7"
            ));
            assert_ne!(report.problems, [], "{index} and {other} changed places");
        }
    }
    // Every entry moved down over the one that went.
    let closed = "DELETE FROM entry WHERE idx = 0; UPDATE entry SET idx = idx - 1";
    assert_ne!(scene.after(closed).problems, []);
    for (what, sql, index) in [
        (
            "a row below the first",
            "INSERT INTO entry SELECT -1, leaf, tbs, facts FROM entry WHERE idx = 0",
            None,
        ),
        (
            "a row far above",
            "INSERT INTO entry SELECT 1 << 62, leaf, tbs, facts FROM entry WHERE idx = 0",
            Some(6),
        ),
        (
            "a certificate again",
            "INSERT INTO entry SELECT 6, leaf, tbs, facts FROM entry WHERE idx = 2",
            Some(6),
        ),
        ("a certificate gone, its facts not", "UPDATE entry SET tbs = NULL WHERE idx = 2", Some(2)),
        (
            "a certificate where there is none",
            "UPDATE entry SET tbs = x'00' WHERE idx = 0",
            Some(0),
        ),
        ("an empty certificate there", "UPDATE entry SET tbs = x'' WHERE idx = 0", Some(0)),
        ("a tile of nothing", "INSERT INTO tile VALUES (0, 0, zeroblob(8192))", None),
        ("everything", "DELETE FROM entry", Some(0)),
    ] {
        let report = scene.after(sql);
        assert_ne!(report.problems, [], "{what}");
        assert!(index.is_none_or(|index| names(&report, index)), "{what}: {:?}", report.problems);
    }
    // An entry that is newer than the checkpoint is an ordinary one: the daemon may be writing.
    let newer = "INSERT INTO entry SELECT 6, leaf, tbs, facts FROM entry WHERE idx = 0";
    assert_eq!(scene.after(newer).problems, []);
    assert_eq!(scene.after("").problems, []);
}

/// Somebody who restored an old copy lets it grow again, past where it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_where_a_certificate_was_signed_is_named() {
    let scene = Scene::with(2, 0).await;
    let other = refusal(7);
    scene.set(5, "tbs", None);
    scene.set(5, "facts", Some(&other));
    scene.set(5, "leaf", Some(Leaf::other(Kind::Refusal, &other).to_string().as_bytes()));
    let report = scene.report(&scene.whole.checkpoint());
    let found: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    let named = "entry 5: is not the certificate that the signer has signed here".to_owned();
    assert!(found.contains(&named), "{found:?}");
    // It was lost, and a generation that the signer's user agreed to begins after it.
    let agreed = String::from_utf8(other).unwrap().replacen("\"refusal\"", "\"succession\"", 1);
    let leaf = Leaf::other(Kind::Succession, agreed.as_bytes()).to_string();
    let after = format!("INSERT INTO entry VALUES (6, '{leaf}', NULL, CAST('{agreed}' AS BLOB))");
    let report = scene.after(&after);
    assert!(!names(&report, 5) && !names(&report, 6), "{:?}", report.problems);
}

/// Somebody who has the database and no key writes an entry anew, with all that hangs on it.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_rewritten_whole_is_not_what_was_signed() {
    let scene = Scene::with(1, 0).await;
    let forged = refusal(77);
    let leaf = Leaf::other(Kind::Refusal, &forged).to_string();
    scene.set(0, "facts", Some(&forged));
    scene.set(0, "leaf", Some(leaf.as_bytes()));
    let found: Vec<String> =
        scene.report(&scene.whole.checkpoint()).problems.iter().map(ToString::to_string).collect();
    let seen_by = |whose| format!("the first 3 entries are not those that {whose} has seen");
    assert_eq!(found, [seen_by("the checkpoint"), seen_by("the signer")]);
    assert_eq!(scene.read_export(&scene.export()).problems.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_of_a_tile_is_noticed() {
    let scene = Scene::with(2, 600).await;
    assert_eq!(scene.after("").problems, []);
    let good: Vec<u8> = scene
        .db
        .query_row("SELECT hashes FROM tile WHERE level = 0 AND idx = 1", [], |row| row.get(0))
        .unwrap();
    // A byte of each of the 256 hashes at once: each is named.
    for at in 0..32 {
        let mut bad = good.clone();
        bad.iter_mut().skip(at).step_by(32).for_each(|byte| *byte ^= 1 << (at % 8));
        let update = "UPDATE tile SET hashes = ?1 WHERE idx = 1";
        scene.db.execute(update, [&bad]).unwrap();
        let report = scene.report(&scene.whole.checkpoint());
        let named: Vec<u64> = report.problems.iter().filter_map(|problem| problem.index).collect();
        assert!(named.into_iter().eq(256..512), "byte {at}");
    }
    scene.db.execute("UPDATE tile SET hashes = ?1 WHERE idx = 1", [&good]).unwrap();
    for sql in [
        "DELETE FROM tile WHERE idx = 0",
        "DELETE FROM tile WHERE idx = 1",
        "DELETE FROM tile",
        "UPDATE tile SET idx = 2 WHERE idx = 1",
        "UPDATE tile SET level = 1 WHERE idx = 1",
        "UPDATE tile SET hashes = substr(hashes, 1, 8160) WHERE idx = 0",
        "UPDATE tile SET hashes = CAST(hashes || zeroblob(32) AS BLOB) WHERE idx = 0",
        "INSERT INTO tile VALUES (0, 2, zeroblob(8192))",
        "INSERT INTO tile VALUES (-1, 0, zeroblob(8192))",
        "INSERT INTO tile VALUES (9, 0, zeroblob(8192))",
        "INSERT INTO tile VALUES (1, -1, zeroblob(8192))",
    ] {
        assert_ne!(scene.after(sql).problems, [], "{sql}");
    }
    assert_eq!(scene.after("").problems, []);
}

/// The second level of tiles takes 65,536 entries: here they are all redacted, and none was signed for.
#[test]
fn a_tile_of_tiles_is_looked_at_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    Store::create(&path).unwrap();
    let (store, mut edge) = (Store::open(&path).unwrap(), Edge::default());
    let leaf = Leaf { kind: Kind::Refusal, tbs: None, facts: Hash::of(b"gone") };
    store.begin().unwrap();
    for index in 0..65_536 {
        store.insert(index, &leaf, None, b"").unwrap();
        edge.append(leaf.hash());
        edge.filled_since(index).iter().for_each(|tile| store.insert_tile(tile).unwrap());
    }
    store.commit().unwrap();
    let db = Connection::open(&path).unwrap();
    db.execute("UPDATE entry SET facts = NULL", []).unwrap();
    let root = super::tree::root(&edge, 65_536).unwrap();
    let head = super::checkpoint::TreeHead { origin: "ca.test/1".to_owned(), size: 65_536, root };
    let checkpoint = Checkpoint::sign(&head, &ledger_key(), Default::default()).unwrap();
    let problems = || {
        let keys = (ledger_key().public().clone(), signer_vkey());
        let report = verify::database(&store, &checkpoint, (&keys.0, &keys.1), None).unwrap();
        report.problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let cosigned = "checkpoint: ca.test/signer did not sign it";
    let flip = "UPDATE tile SET hashes = CAST(substr(hashes, 1, 32) || zeroblob(8160) AS BLOB) WHERE level = 1";
    db.execute(flip, []).unwrap();
    assert_eq!(problems().len(), 256, "the first of them was left");
    assert_eq!(problems()[0], "tile 1/0 is not made of its entries");
    db.execute("DELETE FROM tile WHERE level = 1", []).unwrap();
    assert_eq!(problems(), ["tile 1/0 is missing", cosigned]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_of_an_export_is_noticed_and_its_entry_named() {
    let scene = Scene::with(1, 0).await;
    let good = scene.export();
    let untouched = scene.read_export(&good);
    assert_eq!(untouched.problems, []);
    assert_eq!((untouched.entries, untouched.certificates, untouched.redacted), (3, 1, 0));
    for at in 0..good.len() {
        let line = good[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
        // One bit each; of every third byte another case or another kind of white space.
        let mask = [1 << (at % 8), 0x20, 0x07, 1 << (at % 8)][at % 4];
        let mut bad = good.clone();
        bad[at] ^= mask;
        let report = scene.read_export(&bad);
        assert_ne!(report.problems, [], "byte {at} ^ {mask}");
        let named = line == 0 || names(&report, line - 1);
        assert!(named, "byte {at} ^ {mask} of line {line}: {:?}", report.problems);
        if at % 5 == 0 || good[at] == b'\n' {
            assert_ne!(scene.read_export(&good[..at]).problems, [], "cut at {at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_an_export_that_go_come_or_change_places_are_noticed() {
    let scene = Scene::with(2, 0).await;
    let text = String::from_utf8(scene.export()).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let report = |lines: &[&str]| scene.read_export(lines.concat().as_bytes());
    for at in 0..lines.len() {
        let mut without = lines.clone();
        let line = without.remove(at);
        assert_ne!(report(&without).problems, [], "without line {at}");
        for to in (0..lines.len()).filter(|to| *to != at) {
            let mut moved = without.clone();
            moved.insert(to, line);
            assert_ne!(report(&moved).problems, [], "line {at} as line {to}");
        }
        let mut twice = lines.clone();
        twice.insert(at, line);
        assert_ne!(report(&twice).problems, [], "line {at} twice");
    }
    let more = lines[1].replace("\"index\":0", "\"index\":6");
    let mut appended = lines.clone();
    appended.push(&more);
    let found = report(&appended);
    assert!(names(&found, 6), "an entry after the checkpoint's: {:?}", found.problems);
    for (what, bad) in [
        ("no end", text.trim_end().to_owned()),
        ("other ends", text.replace('\n', "\r\n")),
        ("an empty line", format!("{text}\n")),
        ("another member", text.replace("\"tbs\"", "\"x\":1,\"tbs\"")),
        ("a member less", text.replace(",\"tbs\":null", "")),
        ("a member twice", text.replace("\"tbs\":null", "\"tbs\":null,\"tbs\":null")),
        ("no base64", text.replace("\"facts\":\"ey", "\"facts\":\"ey\\n")),
        ("a line without measure", format!("{}{}", text, "x".repeat(1 << 20))),
        ("nothing", String::new()),
        ("a checkpoint alone", lines[0].to_owned()),
    ] {
        assert_ne!(scene.read_export(bad.as_bytes()).problems, [], "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_redacted_is_said_to_be() {
    let scene = Scene::with(2, 0).await;
    scene.set(2, "tbs", None);
    scene.set(2, "facts", None);
    scene.set(0, "facts", None);
    let report = scene.report(&scene.whole.checkpoint());
    assert_eq!((report.problems.as_slice(), report.redacted, report.entries), (&[][..], 2, 6));
    let export = scene.export();
    assert!(String::from_utf8(export.clone()).unwrap().contains("\"tbs\":null,\"facts\":null"));
    let report = scene.read_export(&export);
    assert_eq!((report.problems.as_slice(), report.redacted, report.entries), (&[][..], 2, 6));
    // Its leaf still stands under the root.
    let leaf = scene.value(2, "leaf").unwrap();
    for at in 0..leaf.len() {
        let mut bad = leaf.clone();
        bad[at] ^= 1;
        scene.set(2, "leaf", Some(&bad));
        assert_ne!(scene.report(&scene.whole.checkpoint()).problems, [], "byte {at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_of_anybody_else_is_none() {
    let scene = Scene::with(2, 0).await;
    let good = scene.whole.checkpoint().as_str().to_owned();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone().into_bytes();
            bad[at] ^= 1 << bit;
            let Ok(Ok(checkpoint)) = String::from_utf8(bad).map(|text| Checkpoint::parse(&text))
            else {
                continue;
            };
            assert_ne!(scene.report(&checkpoint).problems, [], "bit {bit} of byte {at}");
        }
    }
    let alone: String = good.split_inclusive('\n').take(5).collect();
    let alone = Checkpoint::parse(&alone).unwrap();
    let found = scene.report(&alone).problems;
    assert!(found[0].to_string().contains("ca.test/signer did not sign it"), "{found:?}");
}
