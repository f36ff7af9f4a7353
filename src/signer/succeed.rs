//! What the signer's own user does when the ledger began a new generation: look, and confirm.

use std::path::Path;

use super::limits::SignerConfig;
use super::mark::{ListFile, Mark, MarkFile};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::VerifierKey;

/// What the signer has seen and signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The mark: its ledger's origin and size. `None` without a mark file.
    pub mark: Option<(String, u64)>,
    /// The last index it signed.
    pub last: Option<u64>,
}

impl Seen {
    /// How many entries a ledger must have for no index to be used again.
    pub fn entries(&self) -> u64 {
        let marked = self.mark.as_ref().map_or(0, |(_, size)| *size);
        marked.max(self.last.map_or(0, |last| last.saturating_add(1)))
    }
}

/// Reads mark and list; a file that is not there was lost. The signer must not run.
pub fn seen(config: &SignerConfig) -> Result<Seen, String> {
    let mark = match MarkFile::open(&config.mark_file()) {
        Ok(mut file) => {
            file.lock().map_err(|why| format!("{}: {why}", config.mark_file().display()))?;
            Some((file.origin().to_owned(), file.mark().size))
        }
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => None,
        Err(why) => return Err(format!("{}: {why}", config.mark_file().display())),
    };
    let last = match ListFile::open(&config.list_file()) {
        Ok((file, _)) => file.last(),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => None,
        Err(why) => return Err(format!("{}: {why}", config.list_file().display())),
    };
    Ok(Seen { mark, last })
}

/// Takes the first checkpoint of the next generation for the mark, and gives what was done in words.
///
/// The signer must not run. Its pinned `ledger` must be the new verifier key already, so that the
/// checkpoint proves itself. Refused is a generation that is not the next one, a tree in which an
/// index could be used again, and, unless `without_mark`, a signer that has lost its own mark.
pub fn succeed(
    config: &SignerConfig,
    checkpoint: &Path,
    without_mark: bool,
) -> Result<String, String> {
    let say = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|why| say(path, &why));
    let ledger: VerifierKey =
        read(&config.ledger)?.trim_end().parse().map_err(|why| say(&config.ledger, &why))?;
    let text = read(checkpoint)?;
    let head = Checkpoint::parse(&text).map_err(|why| say(checkpoint, &why))?;
    head.check(&ledger).map_err(|why| say(checkpoint, &why))?;
    let head = head.head;
    let seen = seen(config)?;
    if head.size < seen.entries() {
        return Err(format!(
            "the new generation has {} entries and the signer has seen {}: a serial would be given \
             twice; hallpass ledger recover --seen {}",
            head.size,
            seen.entries(),
            seen.entries()
        ));
    }
    let mark = Mark { size: head.size, root: head.root };
    let path = config.mark_file();
    match &seen.mark {
        Some((origin, _)) => {
            if next_generation(origin).as_deref() != Some(ledger.name()) {
                return Err(format!("{} is not the generation after {origin}", ledger.name()));
            }
            let mut file = MarkFile::open(&path).map_err(|why| say(&path, &why))?;
            file.lock().map_err(|why| say(&path, &why))?;
            file.succeed(ledger.name(), mark).map_err(|why| say(&path, &why))?;
        }
        None if without_mark => {
            MarkFile::create(&path, ledger.name(), mark).map_err(|why| say(&path, &why))?;
        }
        None => {
            return Err(format!(
                "{} is lost: what the signer saw is not known here; --without-mark takes the \
                 ledger's word for it",
                path.display()
            ));
        }
    }
    if seen.last.is_none() && !config.list_file().exists() {
        ListFile::create(&config.list_file()).map_err(|why| say(&config.list_file(), &why))?;
    }
    Ok(format!("the mark is of {} with {} entries now", ledger.name(), head.size))
}

/// `ca.example/2` after `ca.example/1`.
pub fn next_generation(origin: &str) -> Option<String> {
    let (name, number) = origin.rsplit_once('/')?;
    let number = crate::ledger::checkpoint::decimal(number)?.checked_add(1)?;
    Some(format!("{name}/{number}"))
}
