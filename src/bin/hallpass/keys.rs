//! `key`: what keys there are, the next ones made and promoted, old ones retired.

use std::path::{Path, PathBuf};

use hallpass::config::ConfigError;
use hallpass::config::ca::Ca;
use hallpass::config::keys::{Role, Rotation};
use hallpass::config::trust::Trust;
use hallpass::ledger::facts::KeyUse;
use hallpass::ledger::leaf::Kind;
use hallpass::ledger::recover::Offline;
use hallpass::outside::clock::{Clock as _, SystemClock};
use hallpass::signer::limits::SignerConfig;

use crate::recover::{begin_generation, signer_config, unserved};
use crate::words::RoleWords;
use crate::{Stop, print, say};

pub(crate) fn list(path: &Path) -> Result<(), Stop> {
    let ca = Ca::load(path)?;
    let trust = Trust::load(&ca)?;
    for (role, key) in trust.roles() {
        print(&format!("{role:<20} {key}\n"));
    }
    Ok(())
}

pub(crate) fn next(words: &RoleWords) -> Result<(), Stop> {
    let ca = Ca::load(&words.at.config)?;
    if words.role == LEDGER {
        return Err(Stop::Failed("the ledger's next key is made by its promotion".to_owned()));
    }
    let rotation = rotation(&ca, words)?;
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
        return begin_generation(
            &ca,
            "rotation of the ledger's key",
            None,
            words.signer_config.as_deref(),
            "",
        );
    }
    let rotation = rotation(&ca, words)?;
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
    let rotation = rotation(&ca, words)?;
    let old = rotation.retiring().ok_or("no key is retiring: hallpass key promote begins")?;
    let key = std::fs::read_to_string(old)?;
    change_key(&ca, &words.role, "retired", &key, || rotation.retire())?;
    say(&format!("the old {} is no longer printed, and its private key is destroyed", words.role));
    eprintln!("hint: bring those who trust it the new list: hallpass trust");
    Ok(())
}

/// The ledger's key is rotated by a generation.
const LEDGER: &str = "ledger";

/// The files of a role, the private ones where `signer.toml` has them.
fn rotation(ca: &Ca, words: &RoleWords) -> Result<Rotation, Stop> {
    let role = words.role.parse()?;
    let signer = signer_config(ca, words.signer_config.as_deref())?;
    let private = match role {
        Role::UserCa => signer.user_ca,
        Role::BareCa => signer.bare_ca,
        Role::Signer => signer.cosigning,
        // No process uses it, only root's host sign; it lies beside the others.
        Role::HostCa => host_ca(ca, &signer),
    };
    Ok(Rotation::of(ca, role).with_private(private))
}

/// The private half of the host CA.
pub(crate) fn host_ca(ca: &Ca, signer: &SignerConfig) -> PathBuf {
    let public = ca.trust.host_ca.with_extension("");
    signer.user_ca.with_file_name(public.file_name().unwrap_or_default())
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
    let (_lock, store) = unserved(ca)?;
    let mut offline = Offline::begin(&store, ca.name.as_str(), SystemClock.now())?;
    let (role, key) = (role.to_owned(), key.trim_end().to_owned());
    offline.append(Kind::Key, &KeyUse { role, change: change.to_owned(), key })?;
    offline.commit()?;
    Ok(make()?)
}
