//! `init`, `check`, `person add`, `host add`, `trust`.

use std::path::{Path, PathBuf};

use hallpass::certificate::safe::Safe;
use hallpass::certificate::time::{Span, UnixTime};
use hallpass::config::ca::Ca;
use hallpass::config::edit::{NewHost, NewPerson, add_host, add_person};
use hallpass::config::hours::Zones;
use hallpass::config::init::{Init, init};
use hallpass::config::trust::{Part, Trust};
use hallpass::config::{Config, ConfigError, Deciding};
use hallpass::desk::self_test::self_test;
use hallpass::ledger::reserve;
use hallpass::ledger::store::Store;
use hallpass::outside::clock::{Clock as _, SystemClock};
use hallpass::outside::freeze_files::FreezeFiles;
use hallpass::outside::on_call::{OnCall, Standing};
use hallpass::signer::key::{self, read_secret};
use hallpass::signer::limits::SignerConfig;
use hallpass::signer::mark;

use crate::words::{InitWords, TrustWords};
use crate::{Stop, count, print, say, ticket};

/// First trust in one line: what a client pins, and what two people compare on the telephone.
fn first_trust(ca: &Ca) -> Result<(), ConfigError> {
    let trust = Trust::load(ca)?;
    say(&format!("known_hosts: {}", trust.known_hosts().trim_end()));
    say(&format!("fingerprint of all public keys: {}", trust.fingerprint()));
    Ok(())
}

pub(crate) fn make(words: InitWords) -> Result<(), Stop> {
    let InitWords { dir, name, listen, example } = words;
    let made = init(&Init { dir: dir.clone(), name, listen, example })?;
    say(&format!("made a CA in {}", dir.display()));
    first_trust(&made.ca)?;
    say(&format!("passphrase of keys/emergency_ca, shown once: {}", made.emergency_passphrase));
    say(
        "keep keys/emergency_ca and its passphrase offline, apart, and take the file off this machine",
    );
    eprintln!("hint: hallpass serve --config {}", dir.join("ca.toml").display());
    Ok(())
}

pub(crate) fn check(path: &Path) -> Result<(), Stop> {
    let config = Config::load(path)?;
    let Config { ca, deciding, .. } = &config;
    let (people, hosts, policy) =
        (deciding.people.iter().count(), deciding.hosts.iter().count(), &deciding.policy);
    say(&format!(
        "{}: {}, {}, {}",
        ca.name,
        count(people, "person", "people"),
        count(hosts, "host", "hosts"),
        count(policy.offers().len(), "offer", "offers")
    ));
    for offer in policy.offers() {
        say(&format!(
            "offer {}: {} certificates within {}",
            offer.id(),
            offer.terms().ttl,
            offer.terms().period
        ));
    }
    if let Some(signed) = &deciding.signed {
        say(&format!(
            "change {} is signed by {} with {}",
            signed.number,
            Safe(&signed.by),
            signed.key
        ));
    }
    if ca.files.hours.is_some() {
        let (hours, zones) = (policy.hours().len(), Zones::here());
        say(&format!("{}, by the rules in {zones}", count(hours, "named hour", "named hours")));
    }
    for path in &deciding.unread {
        say(&format!("{} is not read: it ends in neither .toml nor .json", path.display()));
    }
    let now = SystemClock.now();
    self_test(deciding, now)?;
    check_around(ca, deciding, now)?;
    check_secrets(ca)?;
    check_disk(ca)?;
    warn_of_emergency_key(ca);
    first_trust(ca)?;
    say("everything is understood");
    Ok(())
}

/// Whose shift it is, and what is frozen by files.
fn check_around(ca: &Ca, deciding: &Deciding, now: UnixTime) -> Result<(), Stop> {
    let on_call = OnCall::open(&ca.on_call);
    on_call.refresh(now);
    for Standing { group, now, unknown, fault } in on_call.standing(&deciding.people, now) {
        if let Some(why) = fault {
            return Err(Stop::Failed(format!("on call {group}: {why}")));
        }
        if let Some(why) = unknown.first() {
            return Err(Stop::Failed(format!("on call {group}: the rota: {why}")));
        }
        let all = now.iter().map(|(person, until)| format!("{person} until {until}"));
        let all = all.collect::<Vec<_>>().join(", ");
        say(&format!("on call {group}: {}", if all.is_empty() { "nobody" } else { &all }));
    }
    if let Some(folder) = ca.freezes.clone().map(FreezeFiles::new) {
        let freezes = folder.read(now).map_err(|why| Stop::Failed(why.to_string()))?;
        freezes.iter().filter(|one| one.stands(now)).for_each(|one| say(&format!("frozen: {one}")));
    }
    if let Some(webhook) = &ca.webhook {
        webhook.from.iter().try_for_each(|one| read_secret(&one.token).map(drop))?;
    }
    Ok(())
}

/// What a start would read besides: private keys, the signer's file, the tracker's folder.
fn check_secrets(ca: &Ca) -> Result<(), Stop> {
    read_secret(&ca.front.host_key)?;
    key::load(&ca.ledger.key, None)?;
    if let Some(path) = &ca.signer.spawn {
        let signer = SignerConfig::load(path)?;
        for private in [&signer.user_ca, &signer.bare_ca, &signer.cosigning] {
            key::load(private, signer.passphrase.as_deref())?;
        }
        let mark = signer.mark_file();
        mark::read(&mark).map_err(|why| format!("{}: {why}", mark.display()))?;
    }
    ticket::check(ca)
}

/// How much room there is, and how long it lasts at the pace of the last day.
fn check_disk(ca: &Ca) -> Result<(), Stop> {
    let free = reserve::free(&ca.ledger.database)?;
    let since = SystemClock.now().minus(Span::secs(DAY));
    let (entries, bytes) = Store::open_to_read(&ca.ledger.database)?.grown_since(since)?;
    let days = free.checked_div(bytes).filter(|days| *days <= 36_500);
    let lasts = days.map_or("more than a century".to_owned(), |days| count(days, "day", "days"));
    say(&format!(
        "disk: {} free besides a reserve of {} MiB; the last day wrote {}, {}: at that pace it lasts {lasts}",
        size(free),
        ca.ledger.reserve_mib,
        count(entries, "entry", "entries"),
        size(bytes),
    ));
    if free < ca.ledger.reserve_bytes() {
        say("warning: the disk is nearly full: certificates will stop, or have stopped");
    }
    Ok(())
}

/// A number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or(format!("{bytes} B"), |(unit, name)| format!("{} {name}", bytes / unit))
}

const DAY: u64 = 24 * 3600;

/// The emergency key is of use only where the CA's death does not reach it.
pub(crate) fn warn_of_emergency_key(ca: &Ca) {
    let private = ca.trust.emergency_ca.with_extension("");
    if private.exists() {
        say(&format!("warning: {} still lies here: keep it offline", private.display()));
    }
}

pub(crate) fn person(path: &Path, mut new: NewPerson, files: &[PathBuf]) -> Result<(), Stop> {
    let ca = Ca::load(path)?;
    new.keys = public_keys(files)?;
    add_person(&ca, &new)?;
    say(&format!(
        "added {} with {}; it counts from hallpass reload on",
        new.name,
        count(new.keys.len(), "key", "keys")
    ));
    first_trust(&ca)?;
    Ok(())
}

pub(crate) fn host(path: &Path, mut new: NewHost, files: &[PathBuf]) -> Result<(), Stop> {
    let ca = Ca::load(path)?;
    new.host_keys = public_keys(files)?;
    add_host(&ca, &new)?;
    say(&format!("added {}; it counts from hallpass reload on", new.name));
    first_trust(&ca)?;
    Ok(())
}

pub(crate) fn public_keys(files: &[PathBuf]) -> Result<Vec<String>, String> {
    let mut keys = Vec::new();
    for path in files {
        let text =
            std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))?;
        if text.contains("PRIVATE KEY") {
            let path = path.display();
            return Err(format!("{path} is a private key: give its public half, {path}.pub"));
        }
        let lines =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        keys.extend(lines.map(str::to_owned));
    }
    Ok(keys)
}

pub(crate) fn trust(words: &TrustWords) -> Result<(), Stop> {
    let trust = Trust::load(&Ca::load(&words.at.config)?)?;
    let parts = [
        (words.user, Part::User),
        (words.bare, Part::Bare),
        (words.host, Part::Host),
        (words.ledger, Part::Ledger),
    ];
    let all = parts.iter().all(|(named, _)| !named);
    for (_, part) in parts.iter().filter(|(named, _)| *named || all) {
        print(&trust.print(*part));
    }
    Ok(())
}
