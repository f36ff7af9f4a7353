//! What an auditor reads: the ledger, its newest checkpoint, and what the signer signed where that can
//! be read.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::certificate::time::UnixTime;
use crate::config::ca::Ca;
use crate::config::trust::Trust;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::leaf::Kind;
use crate::ledger::note::VerifierKey;
use crate::ledger::store::{Store, StoreError};
use crate::ledger::tree::Hash;
use crate::signer::limits::SignerConfig;
use crate::signer::mark;

/// Where it is.
#[derive(Debug, Clone)]
pub struct Auditor {
    database: PathBuf,
    checkpoint: PathBuf,
    ledger: VerifierKey,
    signer: VerifierKey,
    list: Option<PathBuf>,
}

impl Auditor {
    /// Of this CA. `signer`: the signer's `signer.toml`, where another user has its list.
    pub fn new(ca: &Ca, trust: &Trust, signer: Option<&Path>) -> Result<Self, String> {
        let config = match (signer, &ca.signer.spawn) {
            (Some(path), _) => Some(SignerConfig::load(path)?),
            (None, Some(path)) => SignerConfig::load(path).ok(),
            (None, None) => None,
        };
        Ok(Self {
            database: ca.ledger.database.clone(),
            checkpoint: ca.ledger.checkpoint.clone(),
            ledger: trust.ledger.clone(),
            signer: trust.signer.clone(),
            list: config.map(|config| config.list_file()),
        })
    }

    /// The ledger, to read while it is written.
    pub fn store(&self) -> Result<Store, StoreError> {
        Store::open_to_read(&self.database)
    }

    /// The newest checkpoint, its signatures checked.
    pub fn checkpoint(&self) -> Result<Checkpoint, String> {
        let say = |why: &dyn std::fmt::Display| format!("{}: {why}", self.checkpoint.display());
        let text = std::fs::read_to_string(&self.checkpoint).map_err(|why| say(&why))?;
        let checkpoint = Checkpoint::parse(&text).map_err(|why| say(&why))?;
        checkpoint.check(&self.ledger).map_err(|why| say(&why))?;
        checkpoint.check_cosigned(&self.signer).map_err(|why| say(&why))?;
        Ok(checkpoint)
    }

    /// What the signer's list says of these entries. To be asked after they were read: the list grows
    /// after the ledger.
    pub fn signings(&self, store: &Store, wanted: &BTreeSet<u64>) -> Result<Signings, StoreError> {
        let found = self.list.as_ref().and_then(|list| mark::find_in_list(list, wanted).ok());
        let Some(found) = found else { return Ok(Signings::default()) };
        let list: List =
            found.into_iter().map(|signed| (signed.index, (signed.time, signed.tbs))).collect();
        // A restored machine's signer begins a list: of what was signed before it knows nothing.
        let missing = wanted.iter().any(|index| !list.contains_key(index));
        let successions = if missing { store.of_kind(Kind::Succession)? } else { Vec::new() };
        let from = successions.last().map_or(0, |row| row.index);
        Ok(Signings { known: Some((list, from)) })
    }
}

/// Lines of the list by index: when it was signed, and the hash of the to-be-signed bytes.
type List = HashMap<u64, (UnixTime, Hash)>;

/// What the signer's list says of some entries.
#[derive(Debug, Default)]
pub struct Signings {
    /// The lines, and the first index that has one if it was signed; `None`: the list cannot be read.
    known: Option<(List, u64)>,
}

/// Whether the signer signed an entry's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// Yes, then.
    Signed(UnixTime),
    /// It signed something else under this serial.
    Another,
    /// No: nobody holds it.
    Never,
    /// The list cannot be read here, or is younger than the entry.
    Unknown,
}

impl Signings {
    /// Whether the signer signed these to-be-signed bytes under this index.
    pub fn of(&self, index: u64, tbs: Hash) -> Signing {
        let Some((list, from)) = &self.known else { return Signing::Unknown };
        match list.get(&index) {
            Some((time, signed)) if *signed == tbs => Signing::Signed(*time),
            Some(_) => Signing::Another,
            None if index >= *from => Signing::Never,
            None => Signing::Unknown,
        }
    }
}

#[cfg(test)]
impl Auditor {
    /// Of a signer's trial and the ledger in its folder.
    pub(crate) fn of_trial(trial: &crate::signer::trial::Trial) -> Self {
        Self {
            database: trial.path("ledger.db"),
            checkpoint: trial.path("checkpoint"),
            ledger: crate::signer::trial::ledger_key().public().clone(),
            signer: crate::signer::trial::signer_vkey(),
            list: Some(trial.path("list")),
        }
    }
}
