//! What is to be done: the words of the command line.

use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is to be done.
pub struct Plan {
    /// How many sessions are held.
    pub sessions: usize,
    /// How many people share them.
    pub people: usize,
    /// How long the load lasts.
    pub seconds: u64,
    /// Requests a second, of all sessions together.
    pub rate: f64,
    /// `front.limits.unauthenticated`.
    pub unauthenticated: usize,
    /// How many times daemon or signer is killed.
    pub kills: u64,
    /// After so many kills the daemon is stopped and what is held is compared.
    pub audit_every: u64,
    /// A new folder that is kept.
    pub dir: Option<PathBuf>,
    /// Compare what a folder holds, and nothing else.
    pub audit: Option<PathBuf>,
}

impl Plan {
    /// Reads the words after the program.
    pub fn read(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self {
            sessions: 4000,
            people: 0,
            seconds: 90,
            rate: 200.0,
            unauthenticated: 128,
            kills: 0,
            audit_every: 50,
            dir: None,
            audit: None,
        };
        // Cargo says that it is a bench.
        let mut words = words.filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            let number = || value.parse::<u64>().map_err(|why| format!("{word} {value}: {why}"));
            let count = || number().map(|number| usize::try_from(number).unwrap());
            match word.as_str() {
                "--sessions" => plan.sessions = count()?.max(1),
                "--people" => plan.people = count()?,
                "--seconds" => plan.seconds = number()?,
                "--rate" => plan.rate = number()?.max(1) as f64,
                "--unauthenticated" => plan.unauthenticated = count()?,
                "--kills" => plan.kills = number()?,
                "--audit-every" => plan.audit_every = number()?.max(1),
                "--dir" => plan.dir = Some(value.into()),
                "--audit" => plan.audit = Some(value.into()),
                _ => return Err(format!("unknown: {word}")),
            }
        }
        if plan.people == 0 {
            plan.people = plan.sessions.div_ceil(4);
        }
        // A connection may ask 500 times in its life.
        if plan.rate * plan.seconds as f64 > 400.0 * plan.sessions as f64 {
            return Err(
                "that is more than 400 requests a session: more sessions, or less".to_owned()
            );
        }
        Ok(plan)
    }
}

/// Has this process open as many files as it may; it and the daemon need one for each session.
pub fn raise_files(sessions: usize) {
    let now = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: now.maximum, ..now }).unwrap();
    let most = now.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap());
    assert!(most >= sessions + 256, "{sessions} sessions need more than {most} files (ulimit -n)");
}
