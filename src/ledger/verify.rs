//! `hallpass ledger verify`: recomputes everything from stored bytes or an export and believes
//! nothing. Separate from the code that writes: its own leaves, its own tree.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::checkpoint::Checkpoint;
use super::edge::Tile;
use super::facts::SignerView;
use super::note::VerifierKey;
use super::store::Row;
use super::tree::{base64, unbase64};
use crate::certificate::blob::Tbs;
use crate::certificate::key_id::KeyId;
use crate::certificate::lint::{Allowance, Keys, lint};
use crate::certificate::time::{Span, UnixTime};

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The entry, where it is one entry's.
    pub index: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.index {
            Some(index) => write!(f, "entry {index}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// How many entries were read.
    pub entries: u64,
    /// How many of them are certificates.
    pub certificates: u64,
    /// How many are redacted: their leaves stand, what they said is gone.
    pub redacted: u64,
    /// Everything that is wrong. Empty: the ledger is what was signed.
    pub problems: Vec<Problem>,
}

/// Verifies entries as they come, in order.
pub struct Verifier {
    report: Report,
    /// Roots of complete subtrees, large to small: the whole tree in at most 64 hashes.
    peaks: Vec<(u64, [u8; 32])>,
    /// Roots that are asked for, by tree size.
    wanted: BTreeMap<u64, Option<[u8; 32]>>,
    /// Full tiles of level 0 as stored, by index: they tell which entry was changed.
    tiles: BTreeMap<u64, Vec<u8>>,
    latest: UnixTime,
}

/// How far an entry's time may lie before its predecessor's: decisions queue side by side.
const SIDE_BY_SIDE: Span = Span::secs(120);

impl Verifier {
    /// A verifier that will be asked for the roots of these tree sizes.
    pub fn new(sizes: impl IntoIterator<Item = u64>, tiles: Vec<Tile>) -> Self {
        let mut verifier = Self {
            report: Report::default(),
            peaks: Vec::new(),
            wanted: sizes.into_iter().map(|size| (size, None)).collect(),
            tiles: tiles
                .into_iter()
                .filter(|tile| tile.level == 0)
                .map(|tile| (tile.index, tile.hashes))
                .collect(),
            latest: UnixTime::default(),
        };
        verifier.note_root();
        verifier
    }

    /// Takes the next entry.
    pub fn entry(&mut self, row: &Row) {
        let expected = self.report.entries;
        if row.index != expected {
            self.problem(Some(expected), "is missing".to_owned());
            self.report.entries = row.index;
        }
        if let Err(what) = self.check(row) {
            self.problem(Some(row.index), what);
        }
        let leaf = leaf_hash(&row.leaf);
        self.compare_tile(row.index, &leaf);
        self.grow(leaf);
        self.report.entries = row.index.saturating_add(1);
        self.note_root();
    }

    /// Checks a checkpoint over what was read. The signer's key is not needed to see that nothing
    /// changed, only to see that it was witnessed.
    pub fn checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
        ledger: &VerifierKey,
        signer: Option<&VerifierKey>,
    ) {
        if let Err(why) = checkpoint.check(ledger) {
            self.problem(None, format!("checkpoint: {why}"));
        }
        if let Some(Err(why)) = signer.map(|signer| checkpoint.check_cosigned(signer)) {
            self.problem(None, format!("checkpoint: {why}"));
        }
        self.head("the checkpoint", checkpoint.head.size, &checkpoint.head.root.0);
    }

    /// Checks that the tree of this size had this root.
    pub fn head(&mut self, whose: &str, size: u64, root: &[u8; 32]) {
        if size > self.report.entries {
            let from = self.report.entries;
            self.problem(Some(from), format!("is missing: {whose} has seen {size} entries"));
        } else if self.wanted.get(&size).copied().flatten().as_ref() != Some(root) {
            self.problem(
                None,
                format!("the first {size} entries are not those that {whose} has seen"),
            );
        }
    }

    /// What was found.
    pub fn finish(self) -> Report {
        self.report
    }

    /// Something is wrong that lies outside the entries.
    pub fn problem(&mut self, index: Option<u64>, what: String) {
        self.report.problems.push(Problem { index, what });
    }

    fn check(&mut self, row: &Row) -> Result<(), String> {
        let mut lines = row.leaf.split('\n');
        let (first, second, third) = (lines.next(), lines.next(), lines.next());
        let kind = first
            .and_then(|line| line.strip_prefix("hallpass.v1 "))
            .ok_or("the leaf is not hallpass.v1")?;
        if lines.next() != Some("") || lines.next().is_some() {
            return Err("the leaf is not three lines".to_owned());
        }
        let is_certificate = kind == "certificate";
        if is_certificate {
            self.report.certificates += 1;
        } else if second != Some("-") {
            return Err("the leaf has the hash of a certificate and is none".to_owned());
        }
        match &row.tbs {
            Some(tbs) if !is_certificate || second != Some(&hash_text(tbs)) => {
                return Err("the certificate is not the one in the leaf".to_owned());
            }
            _ => {}
        }
        if row.facts.as_ref().is_some_and(|facts| third != Some(&hash_text(facts))) {
            return Err("the facts are not those in the leaf".to_owned());
        }
        let Some(facts) = &row.facts else {
            self.report.redacted += 1;
            return Ok(());
        };
        self.facts(kind, facts)?;
        match (is_certificate, &row.tbs) {
            (true, Some(tbs)) => certificate(row.index, tbs, facts),
            (true, None) => Err("the certificate is gone and its facts are not".to_owned()),
            (false, _) => Ok(()),
        }
    }

    /// The facts' first members and time.
    fn facts(&mut self, kind: &str, facts: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(facts).map_err(|_| "the facts are not UTF-8")?;
        let salt = text.strip_prefix(&format!("{{\"v\":1,\"kind\":\"{kind}\",\"salt\":\""));
        let salt = salt.and_then(|rest| rest.split_once('"')).and_then(|(salt, _)| unbase64(salt));
        if salt.is_none_or(|salt| salt.len() != 16) {
            return Err("the facts do not begin with v, kind and salt".to_owned());
        }
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|why| format!("the facts: {why}"))?;
        let time =
            value.get("time").and_then(|time| time.as_str()).and_then(|time| time.parse().ok());
        let time: UnixTime = time.ok_or("the facts have no time")?;
        if time < self.latest.minus(SIDE_BY_SIDE) {
            return Err(format!("its time {time} lies before an earlier entry's, {}", self.latest));
        }
        self.latest = self.latest.max(time);
        Ok(())
    }

    /// A full tile holds the hashes of its entries: it tells which one was changed.
    fn compare_tile(&mut self, index: u64, leaf: &[u8; 32]) {
        let at = usize::try_from(index % 256).unwrap_or(0) * 32;
        let stored = self.tiles.get(&(index / 256)).map(|hashes| hashes.get(at..at + 32));
        if stored.is_some_and(|stored| stored != Some(leaf)) {
            self.problem(Some(index), "its leaf is not the one in the stored tile".to_owned());
        }
    }

    /// RFC 6962's tree as a stack of complete subtrees.
    fn grow(&mut self, leaf: [u8; 32]) {
        self.peaks.push((1, leaf));
        while let [.., (left_size, left), (right_size, right)] = self.peaks.as_slice() {
            if left_size != right_size {
                break;
            }
            let merged = (left_size + right_size, node_hash(left, right));
            self.peaks.truncate(self.peaks.len() - 2);
            self.peaks.push(merged);
        }
    }

    fn note_root(&mut self) {
        if let Some(root) = self.wanted.get_mut(&self.report.entries) {
            let hashes = self.peaks.iter().rev().map(|(_, hash)| *hash);
            *root = Some(
                hashes
                    .reduce(|right, left| node_hash(&left, &right))
                    .unwrap_or_else(|| Sha256::digest(b"").into()),
            );
        }
    }
}

/// That the certificate says what its facts say, with its own CA taken for the pinned one: which CA
/// signs what is sshd's to check.
fn certificate(index: u64, tbs: &[u8], facts: &[u8]) -> Result<(), String> {
    let view = Tbs::parse(tbs).map_err(|why| why.to_string())?;
    if Some(view.serial) != index.checked_add(1) {
        return Err(format!("its serial is {}, not the index plus one", view.serial));
    }
    let granted = SignerView::parse(facts)?;
    let ticket = granted.ticket.as_ref().map(|ticket| &ticket.id);
    let key_id =
        KeyId::new(granted.request.clone(), granted.person.clone(), ticket, granted.grant_ends);
    let bare = granted.accounts.iter().all(|principal| principal.is_bare());
    let (user_ca, bare_ca) =
        if bare { (Vec::new(), view.ca.to_vec()) } else { (view.ca.to_vec(), Vec::new()) };
    let may = Allowance {
        now: granted.time,
        decided: granted.time,
        index,
        key_id: &key_id,
        principals: &granted.accounts,
        subject: &granted.subject,
        ttl: Span::secs(granted.ttl.min(granted.terms.ttl)),
        max_principals: 256,
        extensions: &granted.terms.extensions,
        source_address: &granted.terms.source_address,
        force_command: granted.terms.force_command.as_deref(),
    };
    lint(tbs, &Keys { user_ca, bare_ca, never_subjects: Vec::new() }, &may)
        .map_err(|flaw| flaw.to_string())
}

fn leaf_hash(record: &str) -> [u8; 32] {
    Sha256::new().chain_update([0u8]).chain_update(record).finalize().into()
}

fn node_hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update([1u8]).chain_update(left).chain_update(right).finalize().into()
}

fn hash_text(bytes: &[u8]) -> String {
    base64(&Sha256::digest(bytes))
}
