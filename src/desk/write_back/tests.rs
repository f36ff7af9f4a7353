//! Comments, with a folder of tickets and a ledger that somebody writes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::ledger::leaf::{Kind, Leaf};
use crate::outside::clock::Stopped;
use crate::outside::tickets::FolderTracker;

const GRANT: &str = include_str!("../../../tests/vectors/entry-1.facts.json");
const NOW: UnixTime = crate::certificate::sample::NOW;

const END: &str = r#"{"v":1,"kind":"end","salt":"MDAwMDAwMDAwMDAwMDAwMA==","time":"2026-11-22T05:50:00Z",
    "node":"ca","request":"r200000000000","person":"ana","accounts":["deploy@web01"],"offer":"deploy-prod",
    "grant_ends":"2026-11-22T06:41:00Z","ticket":{"tracker":"desk","id":"OPS-7","state":"closed",
    "said":"@everybody\n!image!","title":"<b>"},"why":"ticket-closed"}"#;

struct Scene {
    dir: tempfile::TempDir,
    ledger: Store,
    size: u64,
    now: UnixTime,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Store::create(&dir.path().join("ledger.db")).unwrap();
        std::fs::create_dir(dir.path().join("desk")).unwrap();
        let ledger = Store::open(&dir.path().join("ledger.db")).unwrap();
        let scene = Self { dir, ledger, size: 0, now: NOW };
        for id in ["OPS-7", "OPS-8"] {
            std::fs::write(scene.ticket(id, "toml"), "title = \"t\"\nstate = \"open\"\n").unwrap();
        }
        scene
    }

    fn ticket(&self, id: &str, kind: &str) -> PathBuf {
        self.dir.path().join("desk").join(format!("{id}.{kind}"))
    }

    fn comments(&self, id: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.ticket(id, "comments")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn append(&mut self, kind: Kind, facts: &str) {
        let leaf = Leaf::other(kind, facts.as_bytes());
        self.ledger.begin().unwrap();
        self.ledger.insert(self.size, &leaf, None, facts.as_bytes()).unwrap();
        self.ledger.commit().unwrap();
        self.size += 1;
    }

    fn queue(&self) -> Queue {
        Queue::new(&self.dir.path().join("ledger.db"), "desk", Occasion::ALL.into())
    }

    fn teller(&self) -> Teller {
        let folder = FolderTracker::new("desk", self.dir.path().join("desk"))
            .with_comments(Occasion::ALL.into());
        Teller::open(self.queue(), Arc::new(folder), Arc::new(Stopped(self.now))).unwrap()
    }
}

/// Steps until nothing is left to tell, or the tracker is waited for: how long.
fn steps(teller: &mut Teller) -> Option<Duration> {
    loop {
        match teller.step().unwrap() {
            Step::On => {}
            Step::Idle => return None,
            Step::Wait(patience) => return Some(patience),
        }
    }
}

#[test]
fn grants_and_their_ends_are_told_in_order_and_once_over_restarts() {
    let mut scene = Scene::new();
    scene.append(Kind::Grant, GRANT);
    // A queue that is new begins at the end: yesterday's grants are not told today.
    let mut teller = scene.teller();
    assert_eq!(steps(&mut teller), None);
    assert_eq!(scene.comments("OPS-7"), Vec::<String>::new());

    scene.append(Kind::Refusal, "{}");
    scene.append(Kind::Grant, GRANT);
    let before = scene.queue().behind().unwrap();
    assert_eq!(
        (before.comments, before.oldest.unwrap().to_string().as_str()),
        (1, "2026-11-22T05:41:00Z")
    );
    steps(&mut teller);
    assert_eq!(
        scene.comments("OPS-7"),
        [
            "hallpass: grant r200000000000: ana may log in as deploy on web01 until 2026-11-22T06:41:00Z \
          (offer deploy-prod, entry 2)"
        ]
    );
    // A new start goes on where the last one was.
    drop(teller);
    scene.append(Kind::End, END);
    scene.append(Kind::Grant, &GRANT.replace("OPS-7", "OPS-8"));
    // Other trackers' tickets, and certificates, are nobody's business here.
    scene.append(Kind::Grant, &GRANT.replace("\"desk\"", "\"jira\""));
    let mut teller = scene.teller();
    steps(&mut teller);
    let told = scene.comments("OPS-7");
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(
        told[1],
        "hallpass: grant r200000000000 of ana (deploy on web01) ended: this ticket is closed (entry 3)"
    );
    assert_eq!(scene.comments("OPS-8").len(), 1);
    assert_eq!(scene.queue().behind().unwrap(), Behind { comments: 0, oldest: None });
    drop(teller);
    steps(&mut scene.teller());
    assert_eq!(scene.comments("OPS-7"), told);
}

#[test]
fn a_tracker_that_is_away_is_waited_for_and_a_ticket_that_refuses_is_not() {
    let mut scene = Scene::new();
    let mut teller = scene.teller();
    let (there, gone) = (scene.dir.path().join("desk"), scene.dir.path().join("gone"));
    std::fs::rename(&there, &gone).unwrap();
    scene.append(Kind::Grant, GRANT);
    scene.append(Kind::Grant, &GRANT.replace("OPS-7", "OPS-404"));
    scene.append(Kind::Grant, &GRANT.replace("OPS-7", "OPS-8"));
    let waits: Vec<u64> = (0..11).map(|_| steps(&mut teller).unwrap().as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    assert_eq!(scene.queue().behind().unwrap().comments, 3);
    std::fs::rename(&gone, &there).unwrap();
    assert_eq!(steps(&mut teller), None);
    assert_eq!((scene.comments("OPS-7").len(), scene.comments("OPS-8").len()), (1, 1));
    assert_eq!(scene.comments("OPS-404"), Vec::<String>::new());

    // After a week it is given up; what is younger is told.
    std::fs::rename(&there, &gone).unwrap();
    scene.append(Kind::Grant, GRANT);
    scene.append(Kind::Grant, &GRANT.replace("2026-11-22T05:41:00Z", "2026-11-24T05:41:00Z"));
    assert_eq!(steps(&mut teller), Some(Duration::from_secs(1)));
    std::fs::rename(&gone, &there).unwrap();
    scene.now = NOW.plus(Span::secs(7 * 86_400 + 3600));
    drop(teller);
    steps(&mut scene.teller());
    assert_eq!(scene.comments("OPS-7").len(), 2);
    assert!(scene.comments("OPS-7")[1].ends_with("entry 4)"), "{:?}", scene.comments("OPS-7"));
}

/// Mallory names a ticket of hers `@everybody`, gives a reason of three lines with an image in it, and
/// watches what the CA writes into other people's trackers.
#[test]
fn a_comment_holds_nothing_that_anybody_typed() {
    let mut scene = Scene::new();
    let mut teller = scene.teller();
    let reason = r#""reason":"[~admin] @all\n{noformat}!http://evil.example/x.png!""#;
    let typed = GRANT.replace("\"reason\":null", reason).replace("roll out", "@all \\n<script>");
    assert_ne!(typed, GRANT);
    scene.append(Kind::Grant, &typed);
    scene.append(Kind::End, END);
    // Names that this program never wrote.
    scene.append(Kind::End, &END.replace("deploy@web01", "a@b@all\\n[x](http://evil.example)"));
    // A ticket that is not there is not told that it is gone.
    scene.append(Kind::End, &END.replace("ticket-closed", "ticket-gone"));
    steps(&mut teller);
    let told = scene.comments("OPS-7");
    assert_eq!(told.len(), 3, "{told:?}");
    for line in &told {
        assert!(line.starts_with("hallpass: grant r200000000000"), "{line}");
        assert!(line.chars().all(|c| (' '..='~').contains(&c) && c != '@'), "{line}");
    }
    for foreign in ["admin", "everybody", "script", "image", "x.png"] {
        assert!(told.iter().all(|line| !line.contains(foreign)), "{foreign} in {told:?}");
    }
}

#[test]
fn a_mark_that_is_none_is_said_and_one_beyond_the_end_is_set_back() {
    let mut scene = Scene::new();
    let mark = scene.dir.path().join("comments-desk");
    std::fs::write(&mark, "seven").unwrap();
    let why = scene.queue().behind().unwrap_err().0;
    assert!(
        why.contains("comments-desk") && why.contains("remove it to begin at the end"),
        "{why}"
    );
    std::fs::write(&mark, "700\n").unwrap();
    let mut teller = scene.teller();
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), "0\n");
    scene.append(Kind::Grant, GRANT);
    steps(&mut teller);
    assert_eq!(scene.comments("OPS-7").len(), 1);
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), "1\n");
}
