//! The whole path in a temporary folder, for the tests: a database, a real signer behind a socket, and
//! between them a line on which a test can listen, cut and lie.

use std::io::BufReader;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ssh_key::public::KeyData;

use super::checkpoint::Checkpoint;
use super::facts;
use super::leaf::Kind;
use super::proof;
use super::record::{Committed, Fold, Guard, Ledger, Setup};
use super::recorded::{Certificate, check_signature};
use super::store::{Lock, Store};
use super::tree::{Hash, unbase64};
use super::verify::{self, Report, Seen};
use crate::certificate::blob::Tbs;
use crate::certificate::draft::{Stamp, Texts, Unsigned};
use crate::certificate::sample::{NOW, ed25519, keys};
use crate::decide::facts::{Account, Facts, Person};
use crate::decide::{Decision, Policy, World, decide};
use crate::outside::clock::Stopped;
use crate::outside::manager::Manager;
use crate::signer::client::Signer;
use crate::signer::mark::{self, MarkFile};
use crate::signer::protocol::{Answer, receive, send};
use crate::signer::serve::serve;
use crate::signer::trial::{Trial, ledger_key, signer_vkey};

/// What becomes of a question on its way to the signer.
pub(crate) enum Fate {
    /// It is asked, and the answer comes back.
    Pass,
    /// The connection ends before it gets there.
    Cut,
    /// It gets there; the connection ends before the answer comes back.
    CutAfter,
    /// It gets there; what comes back is made of the answer.
    Bend(Box<dyn FnOnce(Answer) -> Answer + Send>),
    /// Nothing happens, for as long as the daemon waits.
    Hang,
}

/// Who listens on the line: sees each question's bytes.
type Ear = Box<dyn FnMut(&[u8]) -> Fate + Send>;

/// Everything.
pub(crate) struct Whole {
    pub(crate) trial: Trial,
    ear: Arc<Mutex<Ear>>,
    policy: Policy,
    /// How long the daemon waits for the signer.
    pub(crate) patience: Duration,
}

const POLICY: &str = r#"
    @id("deploy-prod") @ttl("10m") @period("1h") @extensions("permit-pty")
    permit (principal in Group::"sre", action == Action::"login", resource in Tag::"prod");
"#;

impl Whole {
    /// An empty ledger and a running signer.
    pub(crate) fn new() -> Self {
        let rate = "[rate]\ntotal = 1000000\nperson = 1000000\naccount = 1000000\n";
        let trial = Trial::with(rate);
        Store::create(&trial.path("ledger.db")).unwrap();
        let ear: Arc<Mutex<Ear>> = Arc::new(Mutex::new(Box::new(|_| Fate::Pass)));
        let line = UnixListener::bind(trial.path("line")).unwrap();
        let (heard, socket) = (Arc::clone(&ear), trial.path("socket"));
        std::thread::spawn(move || {
            for daemon in line.incoming() {
                let (heard, socket, daemon) = (Arc::clone(&heard), socket.clone(), daemon.unwrap());
                std::thread::spawn(move || pass(&daemon, &socket, &heard));
            }
        });
        let world = World {
            groups: ["sre".parse().unwrap()].into(),
            tags: ["prod".parse().unwrap()].into(),
            ..World::default()
        };
        let policy = Policy::load("policy.cedar", POLICY, &world).unwrap();
        let patience = Duration::from_secs(10);
        let whole = Self { trial, ear, policy, patience };
        whole.start_signer();
        whole
    }

    /// Puts somebody on the line.
    pub(crate) fn listen(&self, ear: impl FnMut(&[u8]) -> Fate + Send + 'static) {
        *self.ear.lock().unwrap() = Box::new(ear);
    }

    /// Starts the signer's process, as far as a test has one.
    fn start_signer(&self) {
        let listener = UnixListener::bind(self.trial.path("socket")).unwrap();
        let mut witness = self.trial.open(NOW).unwrap();
        std::thread::spawn(move || {
            serve(&mut witness, &listener, &mut Manager::default(), || NOW, |_| ())
        });
    }

    /// Starts the ledger.
    pub(crate) fn open(&self) -> Ledger {
        self.open_with(Box::new(|_: Committed<'_>| ()))
    }

    /// Starts the ledger and tells of what is committed.
    pub(crate) fn open_with(&self, fold: Fold) -> Ledger {
        self.open_guarded(fold, Box::new(|_| None))
    }

    /// The same, with something that may stand against a certificate.
    pub(crate) fn open_guarded(&self, fold: Fold, guard: Guard) -> Ledger {
        let (user_ca, bare_ca) = (keys().user_ca, keys().bare_ca);
        // The writer before gives the lock back when it has ended, which it does by itself.
        let database = self.trial.path("ledger.db");
        let mut tries = (0..500).map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            Lock::take(&database)
        });
        let setup = Setup {
            lock: tries.find_map(Result::ok).unwrap(),
            database: self.trial.path("ledger.db"),
            reserve: None,
            checkpoint: self.trial.path("checkpoint"),
            key: ledger_key(),
            keys: keys(),
            signer: Signer::new(self.trial.path("line"), signer_vkey(), user_ca, bare_ca)
                .with_patience(self.patience),
            clock: Arc::new(Stopped(NOW)),
            guard,
        };
        Ledger::open(setup, fold).unwrap().0
    }

    /// The n-th draft, for ana's own key.
    pub(crate) fn unsigned(&self, n: u32) -> Unsigned {
        self.unsigned_for(n, &ed25519(9))
    }

    /// The n-th draft, for this key.
    pub(crate) fn unsigned_for(&self, n: u32, subject: &KeyData) -> Unsigned {
        let facts = Facts {
            request: crate::certificate::names::RequestId::from_random(n.into()),
            now: NOW,
            source: "203.0.113.9".parse().unwrap(),
            person: Person {
                name: "ana".parse().unwrap(),
                service: false,
                email: None,
                groups: ["sre".parse().unwrap()].into(),
                shifts: Default::default(),
            },
            account: Account {
                login: "deploy".parse().unwrap(),
                host: "web01".parse().unwrap(),
                pool: false,
                bare: false,
                owner: None,
                tags: ["prod".parse().unwrap()].into(),
            },
            ticket: None,
            reason: None,
            ttl: None,
            period: None,
            offer: None,
            deliveries: Vec::new(),
            within: None,
            around: Default::default(),
        };
        let Decision::Granted(grant) = decide(&self.policy, &facts) else {
            panic!("the test's policy does not grant");
        };
        let mut nonce = [0; 32];
        nonce[..4].copy_from_slice(&n.to_be_bytes());
        let texts = Texts {
            policy: Hash::of(b"policy"),
            people: Hash::of(b"people"),
            hosts: Hash::of(b"hosts"),
        };
        let stamp = Stamp {
            nonce,
            grant_salt: [1; 16],
            certificate_salt: [2; 16],
            node: "test".to_owned(),
            texts,
            user_ca: keys().user_ca,
            bare_ca: keys().bare_ca,
        };
        Unsigned::draft(grant, subject, stamp).unwrap()
    }

    /// A reader of the database, beside whoever writes.
    pub(crate) fn reader(&self) -> Store {
        Store::open_to_read(&self.trial.path("ledger.db")).unwrap()
    }

    /// Another connection to the database, for what an operator or an attacker does to it.
    pub(crate) fn database(&self) -> rusqlite::Connection {
        let db = rusqlite::Connection::open(self.trial.path("ledger.db")).unwrap();
        db.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        db
    }

    /// The signer's mark as it stands on its disk.
    pub(crate) fn mark(&self) -> (u64, [u8; 32]) {
        let mark = MarkFile::open(&self.trial.path("mark")).unwrap().mark();
        (mark.size, mark.root.0)
    }

    /// All that the signer remembers.
    pub(crate) fn seen(&self) -> Seen {
        let list = mark::read_list(&self.trial.path("list")).unwrap();
        let signed = list.into_iter().map(|signed| (signed.index, signed.tbs.0)).collect();
        Seen { head: self.mark(), signed }
    }

    /// Waits until the signer has seen so many entries.
    pub(crate) fn wait_for_mark(&self, size: u64) {
        let start = Instant::now();
        while self.mark().0 != size {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "the mark stays at {}",
                self.mark().0
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// The newest cosigned checkpoint.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        let text = std::fs::read_to_string(self.trial.path("checkpoint")).unwrap();
        Checkpoint::parse(&text).unwrap()
    }

    /// Waits until a ledger that was dropped has closed its database: whoever closes it last and may
    /// write takes SQLite's log away.
    pub(crate) fn wait_until_closed(&self) {
        let start = Instant::now();
        while self.trial.path("ledger.db-wal").symlink_metadata().is_ok() {
            assert!(start.elapsed() < Duration::from_secs(20), "the database stays open");
            let last = self.database();
            last.query_row("SELECT count(*) FROM entry", [], |_| Ok(())).unwrap();
            drop(last);
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// How many entries there are.
    pub(crate) fn size(&self) -> u64 {
        self.reader().size().unwrap()
    }

    /// The indexes that the signer signed.
    pub(crate) fn signed(&self) -> Vec<u64> {
        let list = std::fs::read_to_string(self.trial.path("list")).unwrap();
        list.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
    }

    /// Nothing is wrong with the ledger, and the signer has seen all of it.
    pub(crate) fn clean(&self, entries: u64, certificates: u64) {
        self.wait_for_mark(entries);
        let report = self.verify();
        assert_eq!(report.problems, []);
        assert_eq!((report.entries, report.certificates), (entries, certificates));
    }

    /// What an auditor finds.
    pub(crate) fn verify(&self) -> Report {
        let checkpoint = self.checkpoint();
        let keys = (ledger_key().public().clone(), signer_vkey());
        let seen = Some(self.seen());
        verify::database(&self.reader(), &checkpoint, (&keys.0, &keys.1), seen).unwrap()
    }
}

/// Checks a certificate as a strict host does; gives its serial.
pub(crate) fn stands(certificate: &Certificate) -> u64 {
    let mut words = certificate.as_openssh().split(' ');
    let blob = unbase64(words.nth(1).unwrap()).unwrap();
    let (view, signature) = Tbs::parse_signed(&blob).unwrap();
    let stapled = &blob[..view.len()];
    assert!(check_signature(view.ca, stapled, signature).is_some());
    let proved = proof::check(stapled, ledger_key().public(), &signer_vkey()).unwrap();
    assert_eq!((proved.proof.index + 1, proved.cosigned), (certificate.serial(), NOW));
    assert_eq!(view.serial, certificate.serial());
    certificate.serial()
}

/// What a future gives at once.
pub(crate) async fn once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    use std::task::Poll;
    std::future::poll_fn(|cx| match std::pin::Pin::new(&mut *future).poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Facts of something that nobody signs.
pub(crate) fn refusal(n: u32) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Body {
        n: u32,
    }
    facts::write(Kind::Refusal, [3; 16], NOW, "test", &Body { n }).unwrap()
}

/// Carries one connection's questions and answers.
fn pass(daemon: &UnixStream, socket: &Path, ear: &Mutex<Ear>) -> Option<()> {
    let signer = UnixStream::connect(socket).ok();
    let mut questions = BufReader::new(daemon);
    while let Some(question) = receive(&mut questions).ok()? {
        let fate = ear.lock().unwrap()(&question);
        let ask = || {
            let signer = signer.as_ref()?;
            send(signer, &question).ok()?;
            receive(BufReader::new(signer)).ok()?
        };
        match fate {
            Fate::Pass => send(daemon, &ask()?).ok()?,
            Fate::Cut => return None,
            Fate::CutAfter => {
                ask()?;
                return None;
            }
            Fate::Bend(bend) => {
                let answer = bend(Answer::decode(&ask()?).unwrap());
                send(daemon, &answer.encode()).ok()?;
            }
            // Until the daemon gives up and closes.
            Fate::Hang => return receive(&mut questions).ok()?.map(drop),
        }
    }
    None
}
