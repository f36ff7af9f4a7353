//! A reload: people, hosts and policy anew, all or nothing.
//!
//! ```text
//! 1 read       whole files of one moment, parsed and validated
//! 2 try out    some decisions are made under them: no fault, no panic
//! 3 keep       their texts, each under its hash
//! 4 record     what changed, by whom, for which change: in one COMMIT
//! 5 replace    from here on they decide
//! ```
//!
//! What fails before 5 leaves the old in force; a crash between 4 and 5 finds the new ones in the files,
//! and the next start decides by them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Desk;
use super::self_test::self_test;
use crate::certificate::time::UnixTime;
use crate::config::ca::{self, Ca};
use crate::config::snapshot::Snapshot;
use crate::config::{ConfigError, Deciding};
use crate::ledger::facts::Author;
use crate::ledger::leaf::Kind;
use crate::ledger::record;

/// Who has files read, and for which change. Neither for a start or a signal.
#[derive(Debug, Clone, Default)]
pub struct By {
    /// The operator.
    pub author: Option<Author>,
    /// What the change is called where it was agreed on.
    pub change: Option<Change>,
}

/// What a change is called where it was agreed on: a ticket, a commit, an address. One word of
/// printable ASCII, at most 200 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Change(String);

/// What a reload found.
#[derive(Debug)]
pub struct Reloaded {
    /// What changed: `policy`, `people`, `hosts`.
    pub changed: Vec<&'static str>,
    /// What decides now.
    pub deciding: Arc<Deciding>,
    /// Which file changed that counts from the next start: `ca.toml`, or that of the signers.
    pub restart: Option<&'static str>,
}

/// Why the old files go on deciding.
#[derive(Debug)]
pub enum NotReloaded {
    /// The files, or the order, are not as they should be.
    Refused(String),
    /// Something broke.
    Fault(String),
}

impl Desk {
    /// Reads the files anew. When it returns the new ones decide, or the old ones still do. Two at a
    /// time go one after the other.
    pub async fn reload(&self, ca: &Arc<Ca>, by: By) -> Result<Reloaded, NotReloaded> {
        let turn = self.in_force.turn().await;
        let done = self.try_reload(ca, &by).await;
        tell(&by, &done);
        drop(turn);
        // Whoever changed a rota with them waits for it to count.
        let (on_call, now) = (Arc::clone(&self.on_call), self.clock.now());
        tokio::task::spawn_blocking(move || on_call.reread(now)).await.ok();
        done
    }

    async fn try_reload(&self, ca: &Arc<Ca>, by: &By) -> Result<Reloaded, NotReloaded> {
        if by.change.is_none() && ca.files.change == ca::Change::Required {
            return Err(NotReloaded::Refused(
                "a change has to be named: hallpass reload --change ID".to_owned(),
            ));
        }
        // 1 to 3.
        let (config, now) = (Arc::clone(ca), self.clock.now());
        let prepare = move || Ok((prepare(&config, now)?, config.changed()));
        let read = tokio::task::spawn_blocking(prepare).await;
        let read = read.map_err(|why| {
            NotReloaded::Fault(format!("the new files could not be tried out: {why}"))
        })?;
        let (deciding, restart) =
            read.map_err(|why: ConfigError| NotReloaded::Refused(why.to_string()))?;
        let deciding = Arc::new(deciding);
        self.is_newer(&deciding).map_err(NotReloaded::Refused)?;

        // 4. From COMMIT on the ledger says that these decide.
        let changed = self.record_texts(&deciding, by).await.map_err(|why: record::Fault| {
            NotReloaded::Fault(format!("the change could not be recorded: {why}"))
        })?;

        // 5. Whoever decides from here on takes these.
        self.in_force.replace(Arc::clone(&deciding));
        let changed = changed.into_iter().map(Kind::word).collect();
        Ok(Reloaded { changed, deciding, restart })
    }

    /// Keeps and records what decides from a start on.
    pub async fn record_start(&self, ca: &Ca, read: &Snapshot) -> Result<(), String> {
        self.is_newer(&self.in_force.now())?;
        read.keep(&ca.ledger.texts()).map_err(|why| why.to_string())?;
        let recorded = self.record_texts(&self.in_force.now(), &By::default()).await;
        recorded.map(drop).map_err(|why| why.to_string())
    }
}

/// Reads, tries out, keeps.
fn prepare(ca: &Ca, now: UnixTime) -> Result<Deciding, ConfigError> {
    let read = Snapshot::take(ca)?;
    let deciding = Deciding::parse(ca, &read)?;
    self_test(&deciding, now).map_err(ConfigError::new)?;
    read.keep(&ca.ledger.texts())?;
    Ok(deciding)
}

/// The line in the journal.
fn tell(by: &By, done: &Result<Reloaded, NotReloaded>) {
    let change = by.change.as_ref().map_or("-".to_owned(), ToString::to_string);
    let author = by.author.as_ref();
    let uid = author.map_or(-1, |author| i64::from(author.uid));
    let claims = author.and_then(|author| author.claims.as_deref()).unwrap_or("-");
    match done {
        Ok(Reloaded { changed, deciding, .. }) => {
            let texts = deciding.texts;
            tracing::info!(
                target: "hallpass::audit", outcome = "reloaded", changed = changed.join(" "), change, uid, claims,
                policy = texts.policy.to_base64(), people = texts.people.to_base64(), hosts = texts.hosts.to_base64()
            );
        }
        Err(NotReloaded::Refused(why) | NotReloaded::Fault(why)) => tracing::error!(
            target: "hallpass::audit", outcome = "not-reloaded", %why, change, uid, claims
        ),
    }
}

impl FromStr for Change {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Change {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if (1..=200).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(Self(text));
        }
        Err("a change's name is one word of printable ASCII, at most 200 characters".to_owned())
    }
}

impl From<Change> for String {
    fn from(change: Change) -> Self {
        change.0
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
