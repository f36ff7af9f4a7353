//! `audit show`: the whole story of a request, each entry of it checked against the checkpoint.

use std::time::Instant;

use super::auditor::{Auditor, Signing};
use super::entry::Entry;
use super::search::{Account, Query, search};
use super::words::Which;
use crate::certificate::blob::Tbs;
use crate::certificate::time::UnixTime;
use crate::certificate::wire::Malformed;
use crate::config::hosts::Hosts;
use crate::ledger::checkpoint::TreeHead;
use crate::ledger::leaf::Leaf;
use crate::ledger::store::{Row, Store, StoreError};
use crate::ledger::tree::{Hash, climb};

/// A story.
#[derive(Debug)]
pub struct Story {
    /// Its entries, oldest first. Empty: there is no such request.
    pub chapters: Vec<Chapter>,
    /// What the same person was refused for the same accounts while the grant lived, newest first: a
    /// refused renewal has a request of its own.
    pub meanwhile: Vec<Entry>,
    /// The entries below this index were not read: the time was up.
    pub unread: Option<u64>,
}

/// An entry of a story.
#[derive(Debug)]
pub struct Chapter {
    /// What it says.
    pub entry: Entry,
    /// The certificate, if it is one's entry and not redacted.
    pub certificate: Option<Certificate>,
    /// Whether the signer signed it.
    pub signing: Signing,
    /// The hash of its leaf in the tree.
    pub leaf: Hash,
    /// Whether it is what the checkpoint is over.
    pub included: Included,
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The serial.
    pub serial: u64,
    /// The key ID.
    pub key_id: String,
    /// The fingerprint of the key that is certified.
    pub subject: String,
    /// The principals.
    pub principals: Vec<String>,
    /// First second of validity.
    pub valid_after: UnixTime,
    /// First second after it.
    pub valid_before: UnixTime,
    /// The fingerprint of the CA's key that signs it.
    pub ca: String,
    /// The hash of the to-be-signed bytes.
    pub tbs: Hash,
}

/// Whether an entry is in the tree that a checkpoint is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Included {
    /// Its inclusion was proved in the checkpoint of this size.
    In(u64),
    /// It is younger than the checkpoint of this size.
    Younger(u64),
    /// It is not what was signed, and why.
    Not(&'static str),
    /// There is no checkpoint to compare with.
    Unknown(String),
}

impl Certificate {
    /// Reads to-be-signed bytes.
    pub fn read(tbs: &[u8]) -> Result<Self, Malformed> {
        let view = Tbs::parse(tbs)?;
        Ok(Self {
            serial: view.serial,
            key_id: view.key_id.to_owned(),
            subject: fingerprint(&view.subject),
            principals: view.principals.iter().map(ToString::to_string).collect(),
            valid_after: view.valid_after,
            valid_before: view.valid_before,
            ca: fingerprint(view.ca),
            tbs: Hash::of(tbs),
        })
    }
}

/// A key blob's fingerprint, as sshd writes it.
pub fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", Hash::of(blob).to_base64().trim_end_matches('='))
}

/// Tells the story of a request, or of the one that a certificate belongs to.
pub fn show(
    auditor: &Auditor,
    hosts: &Hosts,
    which: &Which,
    deadline: Option<Instant>,
) -> Result<Story, StoreError> {
    let store = auditor.store()?;
    let mut indexes = Vec::new();
    let mut unread = None;
    let request = match which {
        Which::Request(id) => Some(id.to_string()),
        Which::Serial(serial) => {
            let row = store.entry(serial.saturating_sub(1))?;
            let entry = row.map(|row| Entry::read(row.index, &row.leaf, row.facts.as_deref()));
            indexes.extend(entry.iter().map(|entry| entry.index));
            entry.and_then(|entry| entry.text("request").map(str::to_owned))
        }
    };
    if let Some(request) = request {
        let mut looked = 0u32;
        let (found, end) = (&mut indexes, &mut unread);
        store.each_below(u64::MAX, |index, leaf, facts| {
            looked = looked.wrapping_add(1);
            if looked.is_multiple_of(256) && deadline.is_some_and(|end| Instant::now() > end) {
                *end = Some(index + 1);
                return false;
            }
            let text = String::from_utf8_lossy(facts.unwrap_or_default());
            // A backslash: it can be spelled otherwise.
            if text.contains(&request) || text.contains('\\') {
                let entry = Entry::read(index, leaf, facts);
                found.extend((entry.text("request") == Some(request.as_str())).then_some(index));
            }
            true
        })?;
    }
    indexes.sort_unstable();
    indexes.dedup();
    // Read again, whole: few of many.
    let rows = indexes.iter().map(|index| store.entry(*index)).collect::<Result<Vec<_>, _>>()?;
    let signings = auditor.signings(&store, &indexes.into_iter().collect())?;
    let head = auditor.checkpoint().map(|checkpoint| checkpoint.head);
    let chapters = rows.into_iter().flatten().map(|row| {
        let certificate = row.tbs.as_deref().and_then(|tbs| Certificate::read(tbs).ok());
        let signing = certificate.as_ref().map(|one| signings.of(row.index, one.tbs));
        Ok(Chapter {
            entry: Entry::read(row.index, &row.leaf, row.facts.as_deref()),
            certificate,
            signing: signing.unwrap_or(Signing::Unknown),
            leaf: Hash::of_leaf(row.leaf.as_bytes()),
            included: included(&store, &row, &head)?,
        })
    });
    let chapters = chapters.collect::<Result<Vec<Chapter>, StoreError>>()?;
    let meanwhile = meanwhile(&store, hosts, &chapters, deadline)?;
    Ok(Story { chapters, meanwhile, unread })
}

/// The most refusals that a story tells.
const REFUSALS: usize = 100;

/// What the person of a story was refused while its grant lived.
fn meanwhile(
    store: &Store,
    hosts: &Hosts,
    chapters: &[Chapter],
    deadline: Option<Instant>,
) -> Result<Vec<Entry>, StoreError> {
    let Some(grant) = chapters.iter().map(|one| &one.entry).find(|entry| entry.kind == "grant")
    else {
        return Ok(Vec::new());
    };
    let query = Query {
        person: grant.text("person").and_then(|name| name.parse().ok()),
        kind: Some("refusal".to_owned()),
        since: grant.time(),
        until: grant.text("grant_ends").and_then(|ends| ends.parse().ok()),
        limit: REFUSALS,
        ..Query::default()
    };
    let mut refused = search(store, hosts, &query, deadline)?.entries;
    // `renew` alone names no account.
    refused.retain(|entry| {
        entry.accounts().is_empty()
            || grant.accounts().into_iter().any(|account| Account::read(account).fits(entry, hosts))
    });
    Ok(refused)
}

/// Recomputes an entry's hashes, and climbs from its leaf to the root of the checkpoint.
fn included(
    store: &Store,
    row: &Row,
    head: &Result<TreeHead, String>,
) -> Result<Included, StoreError> {
    let head = match head {
        Ok(head) => head,
        Err(why) => return Ok(Included::Unknown(why.clone())),
    };
    let Ok(leaf) = row.leaf.parse::<Leaf>() else {
        return Ok(Included::Not("its leaf cannot be read"));
    };
    if row.facts.as_deref().is_some_and(|facts| Hash::of(facts) != leaf.facts) {
        return Ok(Included::Not("its facts are not those of its leaf"));
    }
    if row.tbs.as_deref().is_some_and(|tbs| Some(Hash::of(tbs)) != leaf.tbs) {
        return Ok(Included::Not("its certificate is not that of its leaf"));
    }
    if row.index >= head.size {
        return Ok(Included::Younger(head.size));
    }
    let proof = store.inclusion(row.index, head.size)?;
    let proved = climb(leaf.hash(), row.index, head.size, &proof) == Some(head.root);
    Ok(if proved {
        Included::In(head.size)
    } else {
        Included::Not("it is not under the checkpoint")
    })
}
