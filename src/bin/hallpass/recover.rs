//! The way out: `ledger recover` and `emergency`, `backup` and `restore`.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use hallpass::certificate::time::UnixTime;
use hallpass::config::backup;
use hallpass::config::ca::Ca;
use hallpass::config::edit::replace;
use hallpass::config::keys;
use hallpass::config::trust::Trust;
use hallpass::desk::locks::Locks;
use hallpass::ledger::facts::BreakGlass;
use hallpass::ledger::leaf::Kind;
use hallpass::ledger::recover::{Offline, Recovery};
use hallpass::ledger::reserve::Reserve;
use hallpass::ledger::store::{Lock, Store};
use hallpass::outside::clock::{Clock as _, SystemClock};
use hallpass::signer::limits::SignerConfig;
use hallpass::signer::succeed;

use crate::words::RecoverWords;
use crate::{Stop, count, say};

/// Where the signer's own user finds the new generation's first checkpoint.
const SUCCESSION: &str = "succession";

pub(crate) fn recover(words: &RecoverWords) -> Result<(), Stop> {
    let ca = Ca::load(&words.at.config)?;
    begin_generation(&ca, &words.reason, words.seen, None, "")
}

/// `signer` is its configuration, where that is known besides.
pub(crate) fn begin_generation(
    ca: &Ca,
    reason: &str,
    seen: Option<u64>,
    signer: Option<&Path>,
    more: &str,
) -> Result<(), Stop> {
    let trust = Trust::load(ca)?;
    // 1. Nobody serves it: from here on nobody else writes.
    let (lock, store) = unserved(ca)?;
    // 2. What the signer has seen bounds what may be used again.
    let seen = match seen {
        Some(seen) => seen,
        None => seen_by_signer(ca, signer)?,
    };
    // 3. The next generation's key. A crash here leaves a key that nobody uses yet.
    let new = keys::next_ledger_key(ca, &trust.ledger)?;
    let old_checkpoint = std::fs::read_to_string(&ca.ledger.checkpoint).ok();
    let recovery = Recovery {
        old: &trust.ledger,
        old_checkpoint,
        new: &new,
        seen,
        reason,
        node: ca.name.as_str(),
        now: SystemClock.now(),
    };
    // 4. Lost entries and the succession, in one transaction. After it the old key signs nothing that
    // the signer takes: the same command goes on from here.
    let done = recovery.write(&store, &lock)?;
    let path = ca.ledger.checkpoint.with_file_name(SUCCESSION);
    replace(&path, done.checkpoint.as_str().as_bytes())?;
    // 5. The new key in the old one's place.
    keys::install_ledger_key(ca, &trust.ledger)?;
    let (from, to) = (done.lost_from, done.lost_to);
    say(&format!("{} succeeds {}", new.public().name(), trust.ledger.name()));
    if from < to {
        say(&format!("lost: entries {from} to {}, so serials {} to {to}", to - 1, from + 1));
    } else {
        say("no entry is lost");
    }
    let standing = Locks::rebuild(&store)?.iter().count();
    if from < to {
        say(&format!(
            "locks that were set in what is lost do not stand, those that were lifted there stand \
             again; now {}: look before you serve: hallpass locks",
            count(standing, "lock stands", "locks stand")
        ));
    }
    say("live grants are void; certificates of lost serials open servers until they expire");
    say(&format!("give verifiers the new key: {}", new.public()));
    let signer = signer.or(ca.signer.spawn.as_deref()).unwrap_or(Path::new("SIGNER.TOML"));
    eprintln!(
        "hint: as the signer's user: hallpass-signer succeed --config {} --checkpoint {}{more}",
        signer.display(),
        path.display()
    );
    Ok(())
}

/// The ledger for a command that writes to it while nobody serves it. A full disk gives its reserve for
/// that; the daemon makes it whole again when there is room.
pub(crate) fn unserved(ca: &Ca) -> Result<(Lock, Store), Stop> {
    let lock = Lock::take(&ca.ledger.database)?;
    let reserve = ca.ledger.reserve();
    // Whoever makes it owns it, and that is to be the daemon's user.
    if reserve.exists() {
        Reserve::open(&reserve, ca.ledger.reserve_bytes())
            .map_err(|why| format!("{}: {why}; the disk must be writable", reserve.display()))?;
    }
    Ok((lock, Store::open(&ca.ledger.database)?))
}

fn seen_by_signer(ca: &Ca, signer: Option<&Path>) -> Result<u64, Stop> {
    let ask =
        "as the signer's user, hallpass-signer seen --config SIGNER.TOML says the number: --seen N";
    let path = signer.or(ca.signer.spawn.as_deref()).ok_or(ask)?;
    let seen = succeed::seen(&SignerConfig::load(path)?)?;
    if seen.mark.is_none() && seen.last.is_none() {
        return Err(Stop::Failed(
            "the signer's mark and list are lost too: say the highest serial that any server's \
             log shows, and some more: --seen N"
                .to_owned(),
        ));
    }
    Ok(seen.entries())
}

/// What the emergency key signed while there was no CA to log it: told afterwards, so that its login
/// has an entry to look up.
pub(crate) fn emergency(path: &Path, file: &Path, reason: &str) -> Result<(), Stop> {
    let ca = Ca::load(path)?;
    let trust = Trust::load(&ca)?;
    let text = std::fs::read_to_string(file).map_err(|why| format!("{}: {why}", file.display()))?;
    let certificate = ssh_key::Certificate::from_openssh(text.trim())?;
    let signed = certificate.verify_signature().is_ok();
    if !signed || certificate.signature_key() != trust.emergency_ca.key_data() {
        return Err(Stop::Failed(format!("{} is not signed by the emergency key", file.display())));
    }
    let told = BreakGlass {
        certificate: text.trim().to_owned(),
        key_id: certificate.key_id().to_owned(),
        principals: certificate.valid_principals().to_vec(),
        valid_after: UnixTime::from_secs(certificate.valid_after()),
        valid_before: UnixTime::from_secs(certificate.valid_before()),
        reason: reason.to_owned(),
    };
    let (_lock, store) = unserved(&ca)?;
    let mut offline = Offline::begin(&store, ca.name.as_str(), SystemClock.now())?;
    offline.append(Kind::BreakGlass, &told)?;
    offline.commit()?;
    say(&format!("told: {} opened {}", told.key_id, told.principals.join(", ")));
    Ok(())
}

pub(crate) fn signer_config(ca: &Ca, said: Option<&Path>) -> Result<SignerConfig, Stop> {
    let path = said.or(ca.signer.spawn.as_deref());
    let path = path.ok_or(
        "the signer is a service of its own: as root, --signer-config names its file, \
         /etc/hallpass-signer/signer.toml",
    )?;
    Ok(SignerConfig::load(path)?)
}

/// A backup in a new folder: the signer's memory is not in it, so it always starts a generation.
pub(crate) fn restore(from: &Path, dir: &Path, reason: &str, seen: u64) -> Result<(), Stop> {
    let config = from.join("ca.toml");
    let ca = Ca::load(&config)?;
    // What is read and changed from here on must be the copy, never a ledger that lies elsewhere.
    if !in_its_folder(&ca, &config) {
        return Err(Stop::Failed(format!(
            "{} is of a CA that systemd runs: systemd/install --restore puts it in place, see \
             systemd/README.md",
            from.display()
        )));
    }
    let made = backup::backup(&ca, &config, dir)?;
    let ca = Ca::load(&dir.join("ca.toml"))?;
    if let Ok(signer) = signer_config(&ca, None) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&signer.state)?;
    }
    say(&format!("{} are in {}", count(made.entries, "entry", "entries"), dir.display()));
    begin_generation(&ca, reason, Some(seen), None, " --without-mark")
}

pub(crate) fn backup(path: &Path, dir: &Path) -> Result<(), Stop> {
    let ca = Ca::load(path)?;
    let made = backup::backup(&ca, path, dir)?;
    let (entries, files) =
        (count(made.entries, "entry", "entries"), count(made.files, "file", "files"));
    say(&format!("{entries} and {files} are in {}", dir.display()));
    for secret in &made.secrets {
        say(&format!("secret: {secret}"));
    }
    if in_its_folder(&ca, path) {
        eprintln!("hint: hallpass restore {} NEW-FOLDER --reason TEXT --seen N", dir.display());
    } else {
        eprintln!("hint: on a new machine: systemd/install --restore {} SIGNER", dir.display());
    }
    Ok(())
}

/// Whether the ledger lies in the folder of `ca.toml`, as in a trial.
fn in_its_folder(ca: &Ca, config: &Path) -> bool {
    ca.ledger.database.starts_with(config.parent().unwrap_or(Path::new("")))
}
