//! `host config`, `host sign`, `known-hosts`: what servers and clients are given.

use std::path::Path;

use hallpass::config::Config;
use hallpass::config::ca::Ca;
use hallpass::config::trust::Trust;
use hallpass::front::control::Order;
use hallpass::host::config::{self, Kept};
use hallpass::host::known_hosts;
use hallpass::host::sign::{HostCertificate, NotMade};
use hallpass::ledger::leaf::{Kind, Leaf};
use hallpass::ledger::recover::Offline;
use hallpass::ledger::store::Store;
use hallpass::outside::clock::{Clock as _, SystemClock};
use hallpass::signer::key;
use rand::Rng as _;
use ssh_key::PublicKey;

use crate::recover::{signer_config, unserved};
use crate::words::SignWords;
use crate::{Stop, control, print, say};

pub(crate) fn config(path: &Path, name: &str, keep: &[Kept]) -> Result<(), Stop> {
    let Config { ca, deciding, .. } = Config::load(path)?;
    let hosts = &deciding.hosts;
    let host = hosts.find(name).ok_or_else(|| no_host(name))?;
    print(&config::file(&Trust::load(&ca)?, hosts, host, keep)?);
    eprintln!(
        "hint: as root on the server: sh FILE  (FILE: where you saved this; it undoes all again)"
    );
    Ok(())
}

fn no_host(name: &str) -> String {
    format!(
        "there is no host {name:?}\nhint: hosts.toml and hosts.d have them; hallpass host add NAME makes one"
    )
}

pub(crate) fn known_hosts(path: &Path) -> Result<(), Stop> {
    let Config { ca, deciding, .. } = Config::load(path)?;
    print(&known_hosts::known_hosts(&Trust::load(&ca)?, &deciding.hosts));
    Ok(())
}

pub(crate) fn sign(words: &SignWords) -> Result<(), Stop> {
    let Config { ca, deciding, .. } = Config::load(&words.at.config)?;
    let trust = Trust::load(&ca)?;
    let host = deciding.hosts.find(&words.name);
    let host = host.ok_or_else(|| no_host(&words.name))?;
    let key = public_key(&words.key)?;
    // Nothing is recorded that cannot be signed then.
    let signer = signer_config(&ca, words.signer_config.as_deref())?;
    let file = crate::keys::host_ca(&ca, &signer);
    let secret = key::load(&file, signer.passphrase.as_deref())?;
    if trust.host_ca.key_data().ed25519().map(|key| &key.0)
        != Some(secret.verifying_key().as_bytes())
    {
        return Err(Stop::Failed(format!("{} is not the host CA's key", file.display())));
    }
    let mut nonce = [0; 32];
    rand::rng().fill_bytes(&mut nonce);
    let now = SystemClock.now();
    let says = HostCertificate::draft(&trust, host, &key, &words.also, (now, words.life), nonce);
    says.check(&deciding, &trust)?;
    is_no_others(&ca, &says)?;
    // A crash from here on leaves at most an entry of a certificate that nobody holds.
    let index = record(&ca, &says)?;
    let certificate = says.sign(&secret, index)?;
    print(&format!("{certificate}\n"));
    let (names, until) = (says.principals.join(", "), says.valid_before);
    say(&format!("serial {}: {names}, until {until}", index.saturating_add(1)));
    eprintln!(
        "hint: on the server: HostCertificate FILE in its sshd_config  (FILE: where you saved this)"
    );
    Ok(())
}

/// The one key in a file.
fn public_key(file: &Path) -> Result<PublicKey, Stop> {
    let lines = crate::operate::public_keys(&[file.to_owned()])?;
    let [line] = &lines[..] else {
        return Err(Stop::Failed(format!("{} does not hold one key", file.display())));
    };
    PublicKey::from_openssh(line).map_err(|why| Stop::Failed(format!("{}: {why}", file.display())))
}

/// What was certified for one host before is no other host's.
fn is_no_others(ca: &Ca, says: &HostCertificate) -> Result<(), Stop> {
    let mut other = None;
    Store::open_to_read(&ca.ledger.database)?.each_back(|row| {
        let is = row.leaf.parse::<Leaf>().is_ok_and(|leaf| leaf.kind == Kind::HostCertificate);
        let facts = row.facts.filter(|_| is);
        let before = facts.and_then(|facts| serde_json::from_slice::<HostCertificate>(&facts).ok());
        other = before.filter(|before| before.key == says.key && before.host != says.host);
        other.is_none()
    })?;
    match other {
        Some(other) => Err(NotMade::OtherHosts(other.host).into()),
        None => Ok(()),
    }
}

/// The entry's index, once it is durable: by the daemon, or where nobody serves by this command.
fn record(ca: &Ca, says: &HostCertificate) -> Result<u64, Stop> {
    let (_lock, store) = match unserved(ca) {
        Ok(ours) => ours,
        Err(_) if ca.control_socket().exists() => {
            let answer =
                control::ask(ca, &Order::HostCertificate { says: Box::new(says.clone()) })?;
            let index = answer.artefact.as_deref().and_then(|index| index.parse().ok());
            return index.ok_or_else(|| Stop::Failed(answer.said.join("; ")));
        }
        Err(why) => return Err(why),
    };
    let mut offline = Offline::begin(&store, ca.name.as_str(), SystemClock.now())?;
    let index = offline.append(Kind::HostCertificate, says)?;
    offline.commit()?;
    Ok(index)
}
