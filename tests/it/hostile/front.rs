//! A front that was taken over: it holds the ledger's key, the database and the socket, and a signer
//! that believes none of it. The signer is the built program, behind its own socket, on a clock that
//! the test sets to the second.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hallpass::certificate::time::{Span, UnixTime};
use hallpass::ledger::checkpoint::{Checkpoint, TreeHead};
use hallpass::ledger::edge::Edge;
use hallpass::ledger::leaf::Leaf;
use hallpass::ledger::note::{NoteKey, SignatureType, VerifierKey};
use hallpass::ledger::store::Store;
use hallpass::ledger::tree::{Hash, Leaves, consistency, hash_of, inclusion, root};
use hallpass::signer::protocol::{Answer, Batch, Question, receive, send};
use tempfile::TempDir;

use crate::ca::{Ca, hallpass};
use crate::clock::library;
use crate::load::programs;
use crate::process::{Said, run};

/// What `signer.toml` says beside the keys; `look` holds every certificate against it.
const LIMITS: &str = "[limits]\nttl = \"10m\"\nprincipals = 3\nallowed = [\"*@*\", \"*\"]\n\
                      never = [\"*@vault\", \"toor\"]\n\
                      [rate]\ntotal = 200\nperson = 60\naccount = 70\n";

pub struct Front {
    dir: TempDir,
    listener: UnixListener,
    signer: Option<Child>,
    stream: Option<UnixStream>,
    /// The ledger's key of this generation.
    pub key: NoteKey,
    /// The cosigning key's public half.
    pub cosigner: VerifierKey,
    /// Everything that was ever written into the ledger.
    tree: Edge,
    /// How many leaves the signer has seen.
    pub seen: u64,
    /// The signer's clock.
    pub now: UnixTime,
}

impl Front {
    pub fn new() -> Self {
        let dir = Ca::make();
        let ca = dir.path().join("ca");
        let path = ca.join("signer.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, _) = text.split_once("[limits]").unwrap();
        std::fs::write(&path, format!("{before}{LIMITS}")).unwrap();
        let listener = UnixListener::bind(ca.join("state/signer.sock")).unwrap();
        let mut front = Self {
            key: ledger_key(&ca),
            cosigner: vkey(&ca.join("keys/signer.vkey")),
            dir,
            listener,
            signer: None,
            stream: None,
            tree: Edge::default(),
            seen: 0,
            now: UnixTime::default(),
        };
        // 2026-11-22T05:40:00Z.
        front.set_clock(UnixTime::from_secs(1_795_326_000));
        front.start();
        front
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("ca").join(name)
    }

    pub fn set_clock(&mut self, now: UnixTime) {
        self.now = now;
        let (path, new) = (self.file("clock"), self.file("clock.new"));
        let text: String = now.to_string().replace('T', " ").replace('Z', "\n");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    pub fn wait(&mut self, secs: u64) {
        self.set_clock(self.now.plus(Span::secs(secs)));
    }

    /// Starts the signer.
    pub fn start(&mut self) {
        let mut signer = Command::new(programs().join("hallpass-signer"));
        signer.arg("--config").arg(self.file("signer.toml"));
        signer.stdin(Stdio::from(OwnedFd::from(self.listener.try_clone().unwrap())));
        signer.stdout(Stdio::null()).stderr(Stdio::null());
        signer
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", self.file("clock"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1")
            .env("TZ", "UTC");
        self.signer = Some(signer.spawn().unwrap());
    }

    /// Ends the signer as a power cut would.
    pub fn kill(&mut self) {
        self.stream = None;
        let mut signer = self.signer.take().unwrap();
        assert!(signer.try_wait().unwrap().is_none(), "the signer has ended by itself");
        signer.kill().unwrap();
        signer.wait().unwrap();
    }

    /// One more connection.
    pub fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.file("state/signer.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// Says something over the connection that is kept; `None` where the signer ended it.
    pub fn say(&mut self, payload: &[u8]) -> Option<Answer> {
        let stream = self.stream.take().unwrap_or_else(|| self.connect());
        let answer = exchange(&stream, payload);
        self.stream = answer.is_some().then_some(stream);
        answer
    }

    /// The connection that is kept, given up.
    pub fn hang_up(&mut self) -> Option<UnixStream> {
        self.stream.take()
    }

    /// A good head for everything that was recorded, with good proof of growth.
    pub fn batch(&self) -> Batch {
        let proof = self.consistency(self.seen, self.size());
        let checkpoint = self.head(self.size()).as_str().to_owned();
        Batch { checkpoint, consistency: proof, entries: Vec::new() }
    }

    /// The signer took a good head.
    pub fn saw(&mut self) {
        self.seen = self.size();
    }

    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    pub fn append(&mut self, leaf: &Leaf) {
        self.tree.append(leaf.hash());
    }

    pub fn root(&self, size: u64) -> Hash {
        root(&self.tree, size).unwrap()
    }

    fn hashes(&self, path: Vec<Leaves>) -> Vec<Hash> {
        path.into_iter().map(|leaves| hash_of(&self.tree, leaves).unwrap()).collect()
    }

    pub fn inclusion(&self, index: u64, size: u64) -> Vec<Hash> {
        self.hashes(inclusion(index, size))
    }

    pub fn consistency(&self, old: u64, size: u64) -> Vec<Hash> {
        self.hashes(consistency(old, size))
    }

    /// The head of so many leaves, signed.
    pub fn head(&self, size: u64) -> Checkpoint {
        self.sign(size, self.root(size))
    }

    /// Any head, signed rightly.
    pub fn sign(&self, size: u64, root: Hash) -> Checkpoint {
        let origin = self.key.public().name().to_owned();
        Checkpoint::sign(&TreeHead { origin, size, root }, &self.key, self.now).unwrap()
    }

    /// The ledger's key under another origin.
    pub fn key_named(&self, origin: &str) -> NoteKey {
        NoteKey::new(origin, SignatureType::Ed25519, self.secret()).unwrap()
    }

    fn secret(&self) -> ed25519_dalek::SigningKey {
        hallpass::signer::key::load(&self.file("keys/ledger"), None).unwrap()
    }

    /// `hallpass WORDS --config ca.toml`, the signer being down.
    pub fn operator(&self, words: &[&str]) -> String {
        let said = run(hallpass().args(words).arg("--config").arg(self.file("ca.toml")));
        assert_eq!(said.code, 0, "{said:?}");
        said.err
    }

    /// `hallpass-signer succeed` with a checkpoint.
    pub fn succeed(&self, checkpoint: &Path) -> Said {
        let mut succeed = Command::new(programs().join("hallpass-signer"));
        succeed.args(["succeed", "--config"]).arg(self.file("signer.toml"));
        run(succeed.arg("--checkpoint").arg(checkpoint))
    }

    /// From here on the ledger is what the database holds, under the key that is there now.
    pub fn reload(&mut self) {
        let store = Store::open_to_read(&self.file("state/ledger.db")).unwrap();
        self.tree = Edge::default();
        store
            .each_from(0, |row| {
                self.tree.append(row.leaf.parse::<Leaf>().unwrap().hash());
                true
            })
            .unwrap();
        self.key = ledger_key(&self.file(""));
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(signer) = &mut self.signer {
            signer.kill().ok();
            signer.wait().ok();
        }
    }
}

/// One question and its answer.
pub fn exchange(stream: &UnixStream, payload: &[u8]) -> Option<Answer> {
    send(stream, payload).ok()?;
    let answer = receive(std::io::BufReader::new(stream)).ok()??;
    Some(Answer::decode(&answer).expect("an answer that is none"))
}

/// The question that a batch is.
pub fn question(batch: &Batch) -> Vec<u8> {
    Question::Batch(batch.clone()).encode()
}

fn vkey(path: &Path) -> VerifierKey {
    std::fs::read_to_string(path).unwrap().trim_end().parse().unwrap()
}

fn ledger_key(ca: &Path) -> NoteKey {
    let secret = hallpass::signer::key::load(&ca.join("keys/ledger"), None).unwrap();
    let name = vkey(&ca.join("keys/ledger.vkey")).name().to_owned();
    NoteKey::new(&name, SignatureType::Ed25519, secret).unwrap()
}
