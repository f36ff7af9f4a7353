//! Everybody who is connected: each comes, stays, asks at random moments, keeps what comes, and comes
//! again when cut.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use russh::keys::PublicKey;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::ca::House;
use crate::client::{Person, Session, ask, log_in, request};

/// How many come at the same moment at first. After a kill nobody holds them back.
const COMING: usize = 32;

/// How long everybody may take to come back.
const BACK: Duration = Duration::from_secs(120);

/// Who was cut comes again within this time.
const AGAIN: Duration = Duration::from_secs(1);

/// Everybody. Clones are the same.
#[derive(Clone)]
pub struct Crowd(Arc<Shared>);

struct Shared {
    port: Arc<AtomicU16>,
    door: PublicKey,
    people: Vec<Arc<Person>>,
    dir: PathBuf,
    round: AtomicU64,
    kept: AtomicU64,
    here: AtomicUsize,
    /// The fewest that were here since everybody was.
    least: AtomicUsize,
    doing: watch::Sender<Doing>,
    figures: Mutex<Figures>,
}

/// What everybody does.
#[derive(Clone, Copy)]
enum Doing {
    /// Nothing but being here.
    Staying,
    /// Asking, with so many seconds between on average.
    Asking(f64),
    /// Going home.
    Leaving,
}

/// What was measured and counted.
#[derive(Default, Clone)]
pub struct Figures {
    /// How long each login took.
    pub logins: Vec<Duration>,
    /// How long each certificate took, on a connection that was there.
    pub certificates: Vec<Duration>,
    /// The same of each status.
    pub status: Vec<Duration>,
    /// Certificates of which a part came.
    pub torn: u64,
    /// What went wrong, and how often.
    pub failures: BTreeMap<String, u64>,
}

impl Crowd {
    /// Nobody is there yet.
    pub fn new(house: &House, people: Vec<Arc<Person>>, round: u64) -> Self {
        let crowd = Self(Arc::new(Shared {
            port: house.port.clone(),
            door: house.door.clone(),
            people,
            dir: house.dir.clone(),
            round: AtomicU64::new(round),
            kept: AtomicU64::new(0),
            here: AtomicUsize::new(0),
            least: AtomicUsize::new(0),
            doing: watch::Sender::new(Doing::Staying),
            figures: Mutex::default(),
        }));
        std::fs::create_dir_all(house.dir.join("new")).unwrap();
        std::fs::create_dir_all(crowd.0.held()).unwrap();
        crowd
    }

    /// People come one after the other, and each asks for so many certificates.
    pub async fn one_after_the_other(&self, people: usize, certificates: usize) {
        for number in 0..people {
            let Some(session) = self.0.come(number).await else { continue };
            for _ in 0..certificates {
                self.0.certificate(&session).await;
            }
        }
    }

    /// So many come, a few at a time. They stay until they [leave](Self::leave).
    pub async fn gather(&self, sessions: usize) -> JoinSet<()> {
        let mut all = JoinSet::new();
        let turns = Arc::new(Semaphore::new(COMING));
        for number in 0..sessions {
            let turn = turns.clone().acquire_owned().await.unwrap();
            let shared = self.0.clone();
            all.spawn(async move {
                let first = shared.come(number).await;
                drop(turn);
                shared.stay(number, first).await;
            });
        }
        drop(turns.acquire_many(u32::try_from(COMING).unwrap()).await);
        // Who has just logged in says so in a moment.
        self.wait_for(sessions).await;
        self.0.least.store(self.here(), Ordering::SeqCst);
        all
    }

    /// Everybody asks now and then: so many requests a second in all.
    pub fn ask(&self, sessions: usize, rate: f64) {
        self.0.doing.send_replace(Doing::Asking(sessions as f64 / rate));
    }

    /// Waits until so many are here, for as long as that may take; how long it did.
    pub async fn wait_for(&self, sessions: usize) -> Duration {
        let begun = Instant::now();
        while self.here() < sessions && begun.elapsed() < BACK {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    }

    /// Everybody goes home.
    pub async fn leave(&self, mut all: JoinSet<()>) {
        self.0.doing.send_replace(Doing::Leaving);
        while all.join_next().await.transpose().expect("no session panics").is_some() {}
    }

    /// How many are logged in at this moment.
    pub fn here(&self) -> usize {
        self.0.here.load(Ordering::SeqCst)
    }

    /// The fewest that were since all were here.
    pub fn least(&self) -> usize {
        self.0.least.load(Ordering::SeqCst)
    }

    /// Everything so far.
    pub fn figures(&self) -> Figures {
        self.0.figures().clone()
    }

    /// What is kept from now on goes into the next folder; the folder of what was kept so far.
    pub fn next_round(&self) -> String {
        let round = self.0.round.fetch_add(1, Ordering::SeqCst);
        std::fs::create_dir_all(self.0.held()).unwrap();
        folder(round)
    }

    /// One more person comes and asks until there is a certificate; how long that took.
    pub async fn probe(&self) -> Option<Duration> {
        let begun = Instant::now();
        let people = self.0.people.len();
        while begun.elapsed() < BACK {
            // Somebody else each time, or one person would have more than the signer gives.
            let number = rand::rng().random_range(people * 64..people * 65);
            if let Some(session) = self.0.come(number).await
                && self.0.certificate(&session).await
            {
                return Some(begun.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        None
    }
}

impl Shared {
    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap()
    }

    fn failed(&self, what: String) {
        *self.figures().failures.entry(what).or_default() += 1;
    }

    /// Where certificates are kept at this moment.
    fn held(&self) -> PathBuf {
        self.dir.join("held").join(folder(self.round.load(Ordering::SeqCst)))
    }

    /// A login.
    async fn come(&self, number: usize) -> Option<Session> {
        let person = &self.people[number % self.people.len()];
        let begun = Instant::now();
        match log_in(person, number, self.port.load(Ordering::SeqCst), &self.door).await {
            Ok(session) => {
                self.figures().logins.push(begun.elapsed());
                Some(session)
            }
            Err(why) => {
                self.failed(why);
                None
            }
        }
    }

    /// One person's day, from the first login on.
    async fn stay(&self, number: usize, mut session: Option<Session>) {
        loop {
            if let Some(session) = session.take() {
                self.here.fetch_add(1, Ordering::SeqCst);
                let left = self.sit(session).await;
                let others = self.here.fetch_sub(1, Ordering::SeqCst) - 1;
                if left {
                    return;
                }
                self.least.fetch_min(others, Ordering::SeqCst);
                self.failed("cut: a session that was there".to_owned());
            }
            tokio::time::sleep(AGAIN.mul_f64(rand::random())).await;
            if matches!(*self.doing.borrow(), Doing::Leaving) {
                return;
            }
            session = self.come(number).await;
        }
    }

    /// Stays, and asks now and then. True for somebody who left, false for somebody who was cut.
    async fn sit(&self, mut session: Session) -> bool {
        let mut doing = self.doing.subscribe();
        loop {
            let now = *doing.borrow_and_update();
            let pause = match now {
                Doing::Staying => Duration::MAX,
                // As strangers' moments are: none knows of the others.
                Doing::Asking(mean) => pause(mean),
                Doing::Leaving => {
                    let goodbye = russh::Disconnect::ByApplication;
                    session.disconnect(goodbye, "", "").await.ok();
                    return true;
                }
            };
            tokio::select! {
                _ = &mut session => return false,
                _ = doing.changed() => {}
                () = tokio::time::sleep(pause) => {
                    // Two of three want a certificate.
                    if rand::rng().random_range(0..3) > 0 {
                        self.certificate(&session).await;
                    } else {
                        self.status(&session).await;
                    }
                }
            }
        }
    }

    /// Asks for a certificate and keeps what came, however the connection ended; whether it did.
    async fn certificate(&self, session: &Session) -> bool {
        let begun = Instant::now();
        let answer = ask(session, &request()).await;
        let took = begun.elapsed();
        if answer.is_certificate() {
            self.keep(&answer.out);
        }
        let failure = answer.failure();
        let mut figures = self.figures();
        if failure.is_none() && answer.is_certificate() {
            figures.certificates.push(took);
        } else {
            figures.torn += u64::from(!answer.out.is_empty() && !answer.is_certificate());
            let what = failure.unwrap_or_else(|| "status 0, and no certificate".to_owned());
            *figures.failures.entry(what).or_default() += 1;
        }
        answer.is_certificate()
    }

    async fn status(&self, session: &Session) {
        let begun = Instant::now();
        let answer = ask(session, "status").await;
        match answer.failure() {
            None => self.figures().status.push(begun.elapsed()),
            Some(why) => self.failed(why),
        }
    }

    /// Keeps a certificate. It is moved to where an auditor may be reading when it is whole.
    fn keep(&self, certificate: &[u8]) {
        let name = format!(
            "{}-{}",
            folder(self.round.load(Ordering::SeqCst)),
            self.kept.fetch_add(1, Ordering::SeqCst)
        );
        let new = self.dir.join("new").join(&name);
        std::fs::write(&new, certificate).unwrap();
        std::fs::rename(new, self.held().join(name)).unwrap();
    }
}

fn folder(round: u64) -> String {
    format!("{round:04}")
}

/// The time until the next of events that know nothing of each other.
fn pause(mean: f64) -> Duration {
    Duration::from_secs_f64(-mean * (1.0 - rand::random::<f64>()).ln())
}
