//! `ledger verify`, `ledger export` and `ledger text`.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use hallpass::config::ca::Ca;
use hallpass::config::snapshot::{hex, kept, unhex};
use hallpass::config::trust::Trust;
use hallpass::ledger::checkpoint::Checkpoint;
use hallpass::ledger::export;
use hallpass::ledger::store::Store;
use hallpass::ledger::verify::{self, Report, Seen};
use hallpass::signer::limits::SignerConfig;
use hallpass::signer::mark;

use crate::{Stop, count, print, say};

pub(crate) fn verify(
    path: &Path,
    export: Option<&Path>,
    signer: Option<&Path>,
) -> Result<(), Stop> {
    let ca = Ca::load(path)?;
    let trust = Trust::load(&ca)?;
    let report = match export {
        Some(file) => verify::export(open(file)?, (&trust.ledger, &trust.signer))?,
        None => {
            let store = Store::open_to_read(&ca.ledger.database)?;
            let text = std::fs::read_to_string(&ca.ledger.checkpoint).map_err(|why| {
                format!("{}: {why}; hallpass serve writes it", ca.ledger.checkpoint.display())
            })?;
            let checkpoint = Checkpoint::parse(&text)?;
            let seen = match (signer, &ca.signer.spawn) {
                (Some(path), _) => Some(seen(path)?),
                // Another user's memory: where it can be read it is compared.
                (None, Some(path)) => seen(path).ok(),
                (None, None) => None,
            };
            verify::database(&store, &checkpoint, (&trust.ledger, &trust.signer), seen)?
        }
    };
    tell(&report)
}

/// What the signer of this `signer.toml` remembers.
fn seen(config: &Path) -> Result<Seen, String> {
    let config = SignerConfig::load(config)?;
    let say = |path: &Path, why: std::io::Error| format!("{}: {why}", path.display());
    let (mark, list) = (config.mark_file(), config.list_file());
    // The list first: a signer that signs meanwhile moves both, and nothing is on the list that is
    // not in the ledger.
    let signed = mark::read_list(&list).map_err(|why| say(&list, why))?;
    let mark = mark::read(&mark).map_err(|why| say(&mark, why))?;
    let signed = signed.into_iter().map(|signed| (signed.index, signed.tbs.0)).collect();
    Ok(Seen { head: (mark.size, mark.root.0), signed })
}

/// An export, with public keys alone: nothing of the CA's is needed.
pub(crate) fn verify_alone(export: &Path, ledger: &str, signer: &str) -> Result<(), Stop> {
    tell(&verify::export(open(export)?, (&ledger.parse()?, &signer.parse()?))?)
}

fn open(file: &Path) -> Result<BufReader<File>, Stop> {
    let open = File::open(file).map_err(|why| format!("{}: {why}", file.display()))?;
    Ok(BufReader::new(open))
}

fn tell(report: &Report) -> Result<(), Stop> {
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
        "{what}: {}, {}, {} redacted\n",
        count(report.entries, "entry", "entries"),
        count(report.certificates, "certificate", "certificates"),
        report.redacted
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
    say(&format!("exported {}", count(written, "entry", "entries")));
    Ok(())
}

/// A text that decided once, by the hash that certificates' facts name.
pub(crate) fn text(path: &Path, hash: &str) -> Result<(), Stop> {
    let texts = Ca::load(path)?.ledger.texts();
    let wanted = unhex(hash).ok_or_else(|| format!("{hash:?} is no SHA-256"))?;
    let Some(text) = kept(&texts, wanted) else {
        return Err(Stop::Failed(format!(
            "{} is not there; a backup may have it",
            texts.join(hex(wanted)).display()
        )));
    };
    print(&String::from_utf8_lossy(&text));
    Ok(())
}
