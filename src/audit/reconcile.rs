//! `audit reconcile`: what servers logged, compared with what was issued.
//!
//! A stolen CA key signs what nobody logged. What sshd itself writes of a certificate (its key, its CA) and
//! what the certificate says (serial, key ID) must be the entry's, and who has the CA's key but not
//! the person's can make all of it agree but the key's fingerprint.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, BufRead};

use super::auditor::{Auditor, Signing};
use super::findings::{Finding, Findings, Wrong};
use super::log_time::Within;
use super::login::{self, Line, Login};
use super::show::Certificate;
use crate::certificate::names::{HostName, Principal};
use crate::certificate::time::UnixTime;
use crate::config::hosts::Hosts;
use crate::config::keys::Role;
use crate::config::trust::Trust;
use crate::ledger::facts::{BreakGlass, KeyUse};
use crate::ledger::leaf::{Kind, Leaf};
use crate::ledger::store::{Store, StoreError};
use crate::ledger::tree::Hash;

/// What is known of the log beside its lines.
#[derive(Debug, Default)]
pub struct Origin {
    /// The host whose log it is.
    pub host: Option<HostName>,
    /// How many seconds its clock on the wall is ahead of UTC.
    pub zone: Option<i64>,
}

/// The bytes of a line that are looked at: sshd's own messages end at 1024.
const LINE: u64 = 16 * 1024;

/// How many logins are kept in memory before the signer's list is read for them.
const BATCH: usize = 65_536;

/// Why a log could not be compared.
#[derive(Debug)]
pub enum Fault {
    /// The log.
    Log(io::Error),
    /// The ledger.
    Ledger(StoreError),
}

impl From<StoreError> for Fault {
    fn from(why: StoreError) -> Self {
        Self::Ledger(why)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Log(why) => write!(f, "the log: {why}"),
            Self::Ledger(why) => write!(f, "the ledger: {why}"),
        }
    }
}

/// Compares a log with the ledger.
pub fn reconcile(
    auditor: &Auditor,
    trust: &Trust,
    hosts: &Hosts,
    origin: &Origin,
    mut log: impl BufRead,
) -> Result<Findings, Fault> {
    let store = auditor.store()?;
    let cas = cas(trust, &store)?;
    let mut told = None;
    let mut findings = Findings::default();
    let mut batch: Vec<Checked> = Vec::new();
    let mut line = Vec::new();
    while next_line(&mut log, &mut line).map_err(Fault::Log)? {
        findings.lines += 1;
        match login::read(&String::from_utf8_lossy(&line)) {
            Line::Other => {}
            Line::Plain(method) => *findings.plain.entry(method).or_default() += 1,
            Line::Unread => batch.push(Checked::unread(findings.lines)),
            Line::Certificate(login) => {
                let Some(ca) = cas.get(&login.ca).copied() else {
                    *findings.foreign.entry(login.ca).or_default() += 1;
                    continue;
                };
                findings.logins += 1;
                let (certificate, wrong) = match ca.rank {
                    Rank::Signs => entry(&store, &login)?,
                    Rank::Never => (None, vec![Wrong::NotForPeople]),
                    Rank::Emergency => {
                        if told.is_none() {
                            told = Some(told_of(&store)?);
                        }
                        emergency(told.as_deref().unwrap_or_default(), &login)
                    }
                };
                let mut checked = Checked {
                    line: findings.lines,
                    ca: Some(ca.name),
                    index: (ca.rank == Rank::Signs).then(|| login.serial.saturating_sub(1)),
                    tbs: certificate.as_ref().map(|one| one.tbs),
                    login: Some(*login),
                    wrong,
                };
                if let Some(certificate) = certificate {
                    checked.compare(&certificate, hosts, origin, &mut findings);
                }
                batch.push(checked);
            }
        }
        if batch.len() >= BATCH {
            settle(auditor, &store, &mut batch, &mut findings)?;
        }
    }
    settle(auditor, &store, &mut batch, &mut findings)?;
    Ok(findings)
}

/// One of the CA's keys.
#[derive(Debug, Clone, Copy)]
struct Key {
    name: &'static str,
    rank: Rank,
}

/// What a key of the CA's may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    /// What is in the ledger.
    Signs,
    /// What the ledger is told afterwards.
    Emergency,
    /// Nothing for people.
    Never,
}

/// Every key that is or ever was the CA's, by its fingerprint.
fn cas(trust: &Trust, store: &Store) -> Result<HashMap<String, Key>, StoreError> {
    let print = |key: &ssh_key::PublicKey| key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
    let mut cas = HashMap::new();
    // Those of the past first: a key that is in use is named by its use.
    for row in store.of_kind(Kind::Key)? {
        let facts = row.facts.as_deref().unwrap_or_default();
        let used = serde_json::from_slice::<KeyUse>(facts).ok();
        let role = used.as_ref().map_or("", |used| used.role.as_str());
        let rank = if role == Role::HostCa.word() { Rank::Never } else { Rank::Signs };
        let key = used.as_ref().and_then(|used| ssh_key::PublicKey::from_openssh(&used.key).ok());
        cas.extend(key.map(|key| (print(&key), Key { name: "a former CA key", rank })));
    }
    for other in &trust.others {
        let rank = if other.role == Role::HostCa { Rank::Never } else { Rank::Signs };
        let name = if other.what == "next" { "a next CA key" } else { "a retiring CA key" };
        cas.extend(other.public.iter().map(|key| (print(key), Key { name, rank })));
    }
    cas.extend([
        (print(&trust.user_ca), Key { name: "the user CA", rank: Rank::Signs }),
        (print(&trust.user_ca_next), Key { name: "the next user CA", rank: Rank::Signs }),
        (print(&trust.bare_ca), Key { name: "the bare user CA", rank: Rank::Signs }),
        (print(&trust.emergency_ca), Key { name: "the emergency user CA", rank: Rank::Emergency }),
        (print(&trust.host_ca), Key { name: "the host CA", rank: Rank::Never }),
    ]);
    Ok(cas)
}

/// The certificate that the serial's entry is of, and what is wrong with serial and entry.
fn entry(store: &Store, login: &Login) -> Result<(Option<Certificate>, Vec<Wrong>), StoreError> {
    let row = login.serial.checked_sub(1).map(|index| store.entry(index)).transpose()?.flatten();
    let Some(row) = row else { return Ok((None, vec![Wrong::NoEntry])) };
    let wrong = match row.leaf.parse::<Leaf>() {
        Ok(leaf) if leaf.kind == Kind::Certificate => match row.tbs.as_deref() {
            None => Wrong::Redacted,
            Some(tbs) => match Certificate::read(tbs) {
                Ok(certificate) if Some(certificate.tbs) == leaf.tbs => {
                    return Ok((Some(certificate), Vec::new()));
                }
                Ok(_) | Err(_) => Wrong::Damaged,
            },
        },
        Ok(leaf) if leaf.kind == Kind::Lost => Wrong::Lost,
        Ok(leaf) => Wrong::AnotherKind(leaf.kind.word().to_owned()),
        Err(_) => Wrong::Damaged,
    };
    Ok((None, vec![wrong]))
}

/// The certificates of the emergency key that the ledger was told of.
fn told_of(store: &Store) -> Result<Vec<Certificate>, StoreError> {
    let read = |facts: &[u8]| {
        let told: BreakGlass = serde_json::from_slice(facts).ok()?;
        let certificate = ssh_key::Certificate::from_openssh(&told.certificate).ok()?;
        let subject = certificate.public_key().fingerprint(ssh_key::HashAlg::Sha256);
        let ca = certificate.signature_key().fingerprint(ssh_key::HashAlg::Sha256);
        Some(Certificate {
            serial: certificate.serial(),
            key_id: certificate.key_id().to_owned(),
            subject: subject.to_string(),
            principals: certificate.valid_principals().to_vec(),
            valid_after: UnixTime::from_secs(certificate.valid_after()),
            valid_before: UnixTime::from_secs(certificate.valid_before()),
            ca: ca.to_string(),
            tbs: Hash::default(),
        })
    };
    let rows = store.of_kind(Kind::BreakGlass)?;
    Ok(rows.iter().filter_map(|row| read(row.facts.as_deref()?)).collect())
}

/// The certificate of the emergency key that this login was made with, if the ledger was told.
fn emergency(told: &[Certificate], login: &Login) -> (Option<Certificate>, Vec<Wrong>) {
    let same = |one: &&Certificate| {
        one.serial == login.serial && one.key_id == login.key_id && one.subject == login.subject
    };
    match told.iter().find(same) {
        Some(told) => (Some(told.clone()), Vec::new()),
        None => (None, vec![Wrong::Untold]),
    }
}

/// A login, as far as it was compared.
struct Checked {
    line: u64,
    login: Option<Login>,
    ca: Option<&'static str>,
    /// Whose signing the signer's list is asked for.
    index: Option<u64>,
    tbs: Option<Hash>,
    wrong: Vec<Wrong>,
}

impl Checked {
    fn unread(line: u64) -> Self {
        Self { line, login: None, ca: None, index: None, tbs: None, wrong: vec![Wrong::Unread] }
    }

    /// Compares the line with the certificate that its entry is of.
    fn compare(
        &mut self,
        certificate: &Certificate,
        hosts: &Hosts,
        origin: &Origin,
        findings: &mut Findings,
    ) {
        let Some(login) = &self.login else { return };
        let wrong = &mut self.wrong;
        if login.subject != certificate.subject {
            wrong.push(Wrong::Key(certificate.subject.clone()));
        }
        if login.key_id != certificate.key_id {
            wrong.push(Wrong::KeyId(certificate.key_id.clone()));
        }
        if login.ca != certificate.ca {
            wrong.push(Wrong::Ca(certificate.ca.clone()));
        }

        let named = login.host.as_deref().and_then(|host| hosts.find(&host.to_ascii_lowercase()));
        let host = origin.host.as_ref().or(named.map(|host| &host.name));
        findings.hostless += u64::from(host.is_none());
        let principals: Vec<Principal> =
            certificate.principals.iter().filter_map(|text| text.parse().ok()).collect();
        let account = |principal: &&Principal| principal.login().as_str() == login.user;
        let here = |principal: &Principal| match (principal, host) {
            (Principal::At(_, at), Some(host)) => at == host,
            (Principal::Bare(_), _) | (_, None) => true,
        };
        if !principals.iter().any(|principal| account(&principal)) {
            wrong.push(Wrong::Account(certificate.principals.clone()));
        } else if !principals.iter().filter(account).any(here) {
            let on = host.map(ToString::to_string).unwrap_or_default();
            wrong.push(Wrong::Host(on, certificate.principals.clone()));
        }

        let (from, to) = (certificate.valid_after, certificate.valid_before);
        match login.time.as_ref().map(|time| time.within(from, to, origin.zone)) {
            None => findings.times.none += 1,
            Some(Within::Perhaps) => findings.times.zoneless += 1,
            Some(Within::Yes) => {}
            Some(Within::No) => wrong.push(Wrong::Time(from, to)),
        }
    }
}

/// Asks the signer's list about what was compared, and keeps what is wrong.
fn settle(
    auditor: &Auditor,
    store: &Store,
    batch: &mut Vec<Checked>,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let asked = batch.iter().filter_map(|one| one.index.filter(|_| one.tbs.is_some()));
    let asked: BTreeSet<u64> = asked.collect();
    let signings = auditor.signings(store, &asked)?;
    for Checked { line, login, ca, index, tbs, mut wrong } in batch.drain(..) {
        if let Some((index, tbs)) = index.zip(tbs) {
            match signings.of(index, tbs) {
                Signing::Signed(_) => {}
                Signing::Never => wrong.push(Wrong::NeverSigned),
                Signing::Another => wrong.push(Wrong::SignedAnother),
                Signing::Unknown => findings.unsigned_unknown += 1,
            }
        }
        if !wrong.is_empty() {
            findings.wrong.push(Finding { line, login, ca, wrong });
        }
    }
    Ok(())
}

/// Reads the next line, as much of it as is looked at. `false`: there is none.
fn next_line(log: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    if io::Read::take(&mut *log, LINE).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if !line.ends_with(b"\n") {
        log.skip_until(b'\n')?;
    }
    Ok(true)
}
