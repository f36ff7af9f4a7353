//! `ledger recover`, `key` and `backup`: the way out.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use hallpass::certificate::time::UnixTime;
use hallpass::config::ca::Ca;
use hallpass::config::edit::replace;
use hallpass::config::keys::{self, Role, Rotation};
use hallpass::config::trust::Trust;
use hallpass::config::{ConfigError, backup};
use hallpass::ledger::facts::{BreakGlass, KeyUse};
use hallpass::ledger::leaf::Kind;
use hallpass::ledger::recover::{Offline, Recovery};
use hallpass::ledger::store::{Lock, Store};
use hallpass::outside::clock::{Clock as _, SystemClock};
use hallpass::signer::limits::SignerConfig;
use hallpass::signer::succeed;

use crate::words::{RecoverWords, RoleWords};
use crate::{Stop, count, say};

/// Where the signer's own user finds the new generation's first checkpoint.
const SUCCESSION: &str = "succession";

pub(crate) fn recover(words: &RecoverWords) -> Result<(), Stop> {
    let ca = Ca::load(&words.at.config)?;
    begin_generation(&ca, &words.reason, words.seen, "")
}

fn begin_generation(ca: &Ca, reason: &str, seen: Option<u64>, more: &str) -> Result<(), Stop> {
    let trust = Trust::load(ca)?;
    // 1. Nobody serves it: from here on nobody else writes.
    let lock = Lock::take(&ca.ledger.database)?;
    let store = Store::open(&ca.ledger.database)?;
    // 2. What the signer has seen bounds what may be used again.
    let seen = match seen {
        Some(seen) => seen,
        None => seen_by_signer(ca)?,
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
    say("live grants are void; certificates of lost serials open servers until they expire");
    say(&format!("give verifiers the new key: {}", new.public()));
    let signer = ca.signer.spawn.as_deref().unwrap_or(Path::new("SIGNER.TOML"));
    eprintln!(
        "hint: as the signer's user: hallpass-signer succeed --config {} --checkpoint {}{more}",
        signer.display(),
        path.display()
    );
    Ok(())
}

fn seen_by_signer(ca: &Ca) -> Result<u64, Stop> {
    let ask =
        "as the signer's user, hallpass-signer seen --config SIGNER.TOML says the number: --seen N";
    let path = ca.signer.spawn.as_ref().ok_or(ask)?;
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

pub(crate) fn list_keys(path: &Path) -> Result<(), Stop> {
    let ca = Ca::load(path)?;
    let trust = Trust::load(&ca)?;
    for (role, key) in trust.roles() {
        crate::print(&format!("{role:<20} {key}\n"));
    }
    Ok(())
}

pub(crate) fn next(words: &RoleWords) -> Result<(), Stop> {
    let ca = Ca::load(&words.at.config)?;
    if words.role == LEDGER {
        return Err(Stop::Failed("the ledger's next key is made by its promotion".to_owned()));
    }
    let rotation = rotation(&ca, words.role.parse()?)?;
    rotation.make_next()?;
    say(&format!("there is a next {}: bring it to those who trust the one in use", words.role));
    eprintln!(
        "hint: hallpass trust prints it; when they have it: hallpass key promote {}",
        words.role
    );
    Ok(())
}

pub(crate) fn promote(words: &RoleWords) -> Result<(), Stop> {
    let ca = Ca::load(&words.at.config)?;
    if words.role == LEDGER {
        return begin_generation(&ca, "rotation of the ledger's key", None, "");
    }
    let rotation = rotation(&ca, words.role.parse()?)?;
    let key = std::fs::read_to_string(rotation.may_promote()?)?;
    change_key(&ca, &words.role, "promoted", &key, || rotation.promote())?;
    say(&format!(
        "the next {} is in use; the one before is trusted until it is retired",
        words.role
    ));
    eprintln!("hint: when nobody needs the one before: hallpass key retire {}", words.role);
    Ok(())
}

pub(crate) fn retire(words: &RoleWords) -> Result<(), Stop> {
    let ca = Ca::load(&words.at.config)?;
    if words.role == LEDGER {
        return Err(Stop::Failed(
            "a generation's key signs nothing any more; verifiers keep it".to_owned(),
        ));
    }
    let rotation = rotation(&ca, words.role.parse()?)?;
    let old = rotation.retiring().ok_or("no key is retiring: hallpass key promote begins")?;
    let key = std::fs::read_to_string(old)?;
    change_key(&ca, &words.role, "retired", &key, || rotation.retire())?;
    say(&format!("the old {} is no longer printed, and its private key is destroyed", words.role));
    eprintln!("hint: bring those who trust it the new list: hallpass trust");
    Ok(())
}

/// The ledger's key is rotated by a generation.
const LEDGER: &str = "ledger";

/// The files of a role, the private ones as `signer.toml` names them.
fn rotation(ca: &Ca, role: Role) -> Result<Rotation, Stop> {
    let rotation = Rotation::of(ca, role);
    Ok(match role {
        Role::UserCa => rotation.with_private(signer_config(ca)?.user_ca),
        Role::BareCa => rotation.with_private(signer_config(ca)?.bare_ca),
        Role::Signer => rotation.with_private(signer_config(ca)?.cosigning),
        Role::HostCa => rotation,
    })
}

/// Records a change of a key, then makes it. Not under a running daemon: it and its signer hold the
/// key. A crash between the two leaves an entry of a change that the same command still makes.
fn change_key(
    ca: &Ca,
    role: &str,
    change: &str,
    key: &str,
    make: impl FnOnce() -> Result<(), ConfigError>,
) -> Result<(), Stop> {
    let _lock = Lock::take(&ca.ledger.database)?;
    let store = Store::open(&ca.ledger.database)?;
    let mut offline = Offline::begin(&store, ca.name.as_str(), SystemClock.now())?;
    let (role, key) = (role.to_owned(), key.trim_end().to_owned());
    offline.append(Kind::Key, &KeyUse { role, change: change.to_owned(), key })?;
    offline.commit()?;
    Ok(make()?)
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
    let _lock = Lock::take(&ca.ledger.database)?;
    let store = Store::open(&ca.ledger.database)?;
    let mut offline = Offline::begin(&store, ca.name.as_str(), SystemClock.now())?;
    offline.append(Kind::BreakGlass, &told)?;
    offline.commit()?;
    say(&format!("told: {} opened {}", told.key_id, told.principals.join(", ")));
    Ok(())
}

fn signer_config(ca: &Ca) -> Result<SignerConfig, Stop> {
    let path = ca.signer.spawn.as_ref();
    let path = path.ok_or("the signer is a service of its own: see the README on rotation")?;
    Ok(SignerConfig::load(path)?)
}

/// A backup in a new folder: the signer's memory is not in it, so it always starts a generation.
pub(crate) fn restore(from: &Path, dir: &Path, reason: &str, seen: u64) -> Result<(), Stop> {
    let config = from.join("ca.toml");
    let made = backup::backup(&Ca::load(&config)?, &config, dir)?;
    let ca = Ca::load(&dir.join("ca.toml"))?;
    if let Ok(signer) = signer_config(&ca) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&signer.state)?;
    }
    say(&format!("{} are in {}", count(made.entries, "entry", "entries"), dir.display()));
    begin_generation(&ca, reason, Some(seen), " --without-mark")
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
    eprintln!("hint: hallpass restore {} NEW-FOLDER --reason TEXT --seen N", dir.display());
    Ok(())
}
