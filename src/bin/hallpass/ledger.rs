//! `ledger verify` and `ledger export`.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use hallpass::config::ca::Ca;
use hallpass::config::trust::Trust;
use hallpass::ledger::checkpoint::Checkpoint;
use hallpass::ledger::export;
use hallpass::ledger::store::Store;
use hallpass::ledger::verify::Verifier;
use hallpass::signer::limits::SignerConfig;
use hallpass::signer::mark;

use crate::{Stop, print, say};

pub(crate) fn verify(path: &Path, export: Option<&Path>) -> Result<(), Stop> {
    let ca = Ca::load(path)?;
    let trust = Trust::load(&ca)?;
    let report = match export {
        Some(file) => {
            let mut lines = BufReader::new(
                File::open(file).map_err(|why| format!("{}: {why}", file.display()))?,
            );
            let checkpoint = Checkpoint::parse(&export::read_checkpoint(&mut lines)?)?;
            let mut verifier = Verifier::new([checkpoint.head.size], Vec::new());
            for line in lines.lines() {
                verifier.entry(&export::read_entry(&line?)?);
            }
            verifier.checkpoint(&checkpoint, &trust.ledger, Some(&trust.signer));
            verifier.finish()
        }
        None => {
            let store = Store::open_to_read(&ca.ledger.database)?;
            let text = std::fs::read_to_string(&ca.ledger.checkpoint).map_err(|why| {
                format!("{}: {why}; hallpass serve writes it", ca.ledger.checkpoint.display())
            })?;
            let checkpoint = Checkpoint::parse(&text)?;
            // The signer's mark is another user's in production; where it can be read it is compared.
            let signer = ca.signer.spawn.as_ref().and_then(|path| SignerConfig::load(path).ok());
            let seen = signer.and_then(|signer| mark::read(&signer.mark_file()).ok());
            let sizes = std::iter::once(checkpoint.head.size).chain(seen.map(|mark| mark.size));
            let mut verifier = Verifier::new(sizes, store.tiles()?);
            store.each_from(0, |row| {
                verifier.entry(&row);
                true
            })?;
            verifier.checkpoint(&checkpoint, &trust.ledger, Some(&trust.signer));
            if let Some(mark) = seen {
                verifier.head("the signer", mark.size, &mark.root.0);
            }
            verifier.finish()
        }
    };
    for problem in &report.problems {
        say(&problem.to_string());
    }
    let what = if !report.problems.is_empty() {
        "invalid"
    } else if report.redacted > 0 {
        "redacted"
    } else {
        "valid"
    };
    print(&format!(
        "{what}: {} entries, {} certificates, {} redacted\n",
        report.entries, report.certificates, report.redacted
    ));
    if report.problems.is_empty() { Ok(()) } else { Err(Stop::Invalid) }
}

pub(crate) fn write_export(path: &Path) -> Result<(), Stop> {
    let ca = Ca::load(path)?;
    let checkpoint = std::fs::read_to_string(&ca.ledger.checkpoint).map_err(|why| {
        format!("{}: {why}; hallpass serve writes it", ca.ledger.checkpoint.display())
    })?;
    let checkpoint = Checkpoint::parse(&checkpoint)?;
    let store = Store::open_to_read(&ca.ledger.database)?;
    let written = export::write(&store, &checkpoint, &mut std::io::stdout().lock())?;
    say(&format!("exported {written} entries"));
    Ok(())
}
