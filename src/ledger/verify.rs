//! `hallpass ledger verify`: recomputes everything from stored bytes or an export and believes
//! nothing. Separate from the code that writes: its own leaves, its own tree.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

use sha2::{Digest as _, Sha256};

use super::checkpoint::Checkpoint;
use super::export;
use super::facts::{self, SignerView};
use super::note::VerifierKey;
use super::store::{Row, Store, StoreError};
use super::tree::{base64, unbase64};
use super::verify_ends::Ends;
use crate::certificate::blob::Tbs;
use crate::certificate::key_id::KeyId;
use crate::certificate::lint::{Allowance, Keys, lint};
use crate::certificate::time::{Span, UnixTime};

/// What the signer remembers by itself: its mark and its list.
#[derive(Debug, Default)]
pub struct Seen {
    /// How many entries, and their root.
    pub head: (u64, [u8; 32]),
    /// The hash of each certificate that it signed, by index.
    pub signed: BTreeMap<u64, [u8; 32]>,
}

/// Verifies a database: every entry, every stored tile, the checkpoint over them, and what the signer
/// has seen and signed where that can be read.
pub fn database(
    store: &Store,
    checkpoint: &Checkpoint,
    (ledger, signer): (&VerifierKey, &VerifierKey),
    seen: Option<Seen>,
) -> Result<Report, StoreError> {
    // One view of it all: a daemon may be writing.
    store.begin_reading()?;
    let (seen, signed) = seen.map(|seen| (seen.head, seen.signed)).unzip();
    let sizes = [checkpoint.head.size].into_iter().chain(seen.map(|(size, _)| size));
    let mut verifier = Verifier::new(sizes, Some(store));
    verifier.signed = signed.unwrap_or_default();
    store.each_from(0, |row| {
        verifier.entry(&row);
        true
    })?;
    for what in store.strays(verifier.report.entries)? {
        verifier.problem(None, what);
    }
    verifier.checkpoint(checkpoint, ledger, signer);
    for index in std::mem::take(&mut verifier.replaced) {
        let what = "is not the certificate that the signer has signed here".to_owned();
        verifier.problem(Some(index), what);
    }
    if let Some((size, root)) = seen {
        verifier.head("the signer", size, &root);
    }
    store.rollback()?;
    Ok(verifier.report)
}

/// Verifies an export: every line, and the checkpoint in the first one over exactly the others.
pub fn export(
    mut from: impl BufRead,
    (ledger, signer): (&VerifierKey, &VerifierKey),
) -> io::Result<Report> {
    let broken = |index, what: String| Report {
        problems: vec![Problem { index, what }],
        ..Report::default()
    };
    let first = match next_line(&mut from)? {
        Ok(Some(line)) => export::read_checkpoint(&line).and_then(|text| {
            Checkpoint::parse(&text).map_err(|why| format!("the checkpoint: {why}"))
        }),
        Ok(None) => Err("it is empty".to_owned()),
        Err(what) => Err(what),
    };
    let checkpoint = match first {
        Ok(checkpoint) => checkpoint,
        Err(what) => return Ok(broken(None, what)),
    };
    let mut verifier = Verifier::new([checkpoint.head.size], None);
    loop {
        let at = verifier.report.entries;
        let row = match next_line(&mut from)? {
            Ok(None) => break,
            Ok(Some(line)) => export::read_entry(&line),
            Err(what) => Err(what),
        };
        match row {
            Ok(row) => verifier.entry(&row),
            // What follows cannot be told apart from it.
            Err(what) => {
                verifier.problem(Some(at), what);
                return Ok(verifier.report);
            }
        }
    }
    verifier.checkpoint(&checkpoint, ledger, signer);
    if verifier.report.entries > checkpoint.head.size {
        let what = "is not under the checkpoint of the export".to_owned();
        verifier.problem(Some(checkpoint.head.size), what);
    }
    Ok(verifier.report)
}

/// The longest line of an export: the largest facts and certificate in base64, and some.
const LINE: u64 = 256 * 1024;

/// The next line without its end, or what is wrong with it.
fn next_line(from: &mut impl BufRead) -> io::Result<Result<Option<String>, String>> {
    let mut line = Vec::new();
    from.take(LINE).read_until(b'\n', &mut line)?;
    Ok(match line.pop() {
        None => Ok(None),
        // Nothing around the object: an export can be compared byte by byte with another one.
        Some(b'\n') if line.starts_with(b"{") && line.ends_with(b"}") => {
            String::from_utf8(line).map(Some).map_err(|_| "its line is not UTF-8".to_owned())
        }
        Some(b'\n') => Err("its line is not one object".to_owned()),
        Some(_) => Err("its line does not end".to_owned()),
    })
}

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
struct Verifier<'a> {
    report: Report,
    /// Roots of complete subtrees, large to small: the whole tree in at most 64 hashes.
    peaks: Vec<(u64, [u8; 32])>,
    /// Roots that are asked for, by tree size.
    wanted: BTreeMap<u64, Option<[u8; 32]>>,
    /// Where the tiles are. A full one holds the hashes of its entries: it tells which was changed.
    tiles: Option<&'a Store>,
    /// What the signer has signed, by index.
    signed: BTreeMap<u64, [u8; 32]>,
    /// Where something else stands than what it has signed.
    replaced: Vec<u64>,
    /// Whether an entry was missing: then no inner node is where it should be.
    gap: bool,
    /// The last tile of each level that was looked at: its index and its bytes.
    tile: BTreeMap<u32, (u64, Option<Vec<u8>>)>,
    latest: UnixTime,
    ends: Ends,
}

/// How far an entry's time may lie before its predecessor's: decisions queue side by side.
const SIDE_BY_SIDE: Span = Span::secs(120);

impl<'a> Verifier<'a> {
    /// A verifier that will be asked for the roots of these tree sizes.
    fn new(sizes: impl IntoIterator<Item = u64>, tiles: Option<&'a Store>) -> Self {
        let mut verifier = Self {
            report: Report::default(),
            peaks: Vec::new(),
            wanted: sizes.into_iter().map(|size| (size, None)).collect(),
            tiles,
            signed: BTreeMap::new(),
            replaced: Vec::new(),
            gap: false,
            tile: BTreeMap::new(),
            latest: UnixTime::default(),
            ends: Ends::default(),
        };
        verifier.note_root();
        verifier
    }

    /// Takes the next entry.
    fn entry(&mut self, row: &Row) {
        let expected = self.report.entries;
        if row.index != expected {
            self.problem(Some(expected), "is missing".to_owned());
            self.gap = true;
        }
        if let Err(what) = self.check(row) {
            self.problem(Some(row.index), what);
        }
        self.grow(row.index, leaf_hash(&row.leaf));
        self.report.entries = row.index.saturating_add(1);
        self.note_root();
    }

    /// Checks a checkpoint over what was read.
    fn checkpoint(&mut self, checkpoint: &Checkpoint, ledger: &VerifierKey, signer: &VerifierKey) {
        if let Err(why) = checkpoint.check(ledger) {
            self.problem(None, format!("checkpoint: {why}"));
        }
        if let Err(why) = checkpoint.check_cosigned(signer) {
            self.problem(None, format!("checkpoint: {why}"));
        }
        self.head("the checkpoint", checkpoint.head.size, &checkpoint.head.root.0);
    }

    /// Checks that the tree of this size had this root.
    fn head(&mut self, whose: &str, size: u64, root: &[u8; 32]) {
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

    fn problem(&mut self, index: Option<u64>, what: String) {
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
        let words = kind
            .split('-')
            .all(|word| !word.is_empty() && word.bytes().all(|letter| letter.is_ascii_lowercase()));
        if !words || !third.is_some_and(is_hash) {
            return Err("the leaf has no kind or no hash of the facts".to_owned());
        }
        let is_certificate = kind == "certificate";
        if is_certificate && !second.is_some_and(is_hash) {
            return Err("the leaf has no hash of a certificate and is one's".to_owned());
        }
        if is_certificate {
            self.report.certificates += 1;
        } else if second != Some("-") {
            return Err("the leaf has the hash of a certificate and is none".to_owned());
        }
        let signed = self.signed.get(&row.index).map(|hash| base64(hash));
        if signed.is_some_and(|signed| second != Some(&signed)) {
            self.replaced.push(row.index);
        }
        if kind == "succession" {
            // The signer's user has agreed that they are lost.
            self.replaced.clear();
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
        if let Some(tbs) = &row.tbs {
            numbered(row.index, tbs)?;
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
        if facts.len() > facts::MAX {
            return Err("the facts are longer than 64 KiB".to_owned());
        }
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
        self.ends.check(kind, &value, self.latest)
    }

    /// RFC 6962's tree as a stack of complete subtrees; those that a tile holds are compared with it.
    fn grow(&mut self, index: u64, leaf: [u8; 32]) {
        self.peaks.push((1, leaf));
        self.compare_tile(0, index, &leaf);
        while let [.., (left_size, left), (right_size, right)] = self.peaks.as_slice() {
            if left_size != right_size {
                break;
            }
            let (size, hash) = (left_size + right_size, node_hash(left, right));
            self.peaks.truncate(self.peaks.len() - 2);
            self.peaks.push((size, hash));
            if size.trailing_zeros().is_multiple_of(8) {
                self.compare_tile(size.trailing_zeros() / 8, index / size, &hash);
            }
        }
    }

    /// Compares a node with the full tile it is in, if that one has to be there.
    fn compare_tile(&mut self, level: u32, index: u64, hash: &[u8; 32]) {
        let Some(store) = self.tiles.filter(|_| level == 0 || !self.gap) else { return };
        let tile = index / 256;
        if self.tile.get(&level).is_none_or(|(last, _)| *last != tile) {
            let bytes = store.tile(level, tile).unwrap_or_else(|why| {
                self.problem(None, format!("tile {level}/{tile}: {why}"));
                None
            });
            if bytes.as_ref().is_some_and(|bytes| bytes.len() != 8192) {
                self.problem(None, format!("tile {level}/{tile} does not hold 256 hashes"));
            }
            self.tile.insert(level, (tile, bytes));
        }
        let Some((_, Some(bytes))) = self.tile.get(&level) else { return };
        let at = usize::try_from(index % 256).unwrap_or(0) * 32;
        if bytes.get(at..at + 32) == Some(hash) {
            return;
        }
        if level == 0 {
            self.problem(Some(index), "its leaf is not the one in the stored tile".to_owned());
        } else {
            self.problem(None, format!("tile {level}/{tile} is not made of its entries"));
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

fn is_hash(text: &str) -> bool {
    unbase64(text).is_some_and(|bytes| bytes.len() == 32)
}

/// That a certificate has its entry's serial.
fn numbered(index: u64, tbs: &[u8]) -> Result<(), String> {
    let view = Tbs::parse(tbs).map_err(|why| why.to_string())?;
    if Some(view.serial) == index.checked_add(1) {
        Ok(())
    } else {
        Err(format!("its serial is {}, not the index plus one", view.serial))
    }
}

/// That the certificate says what its facts say, with its own CA taken for the pinned one: which CA
/// signs what is sshd's to check.
fn certificate(index: u64, tbs: &[u8], facts: &[u8]) -> Result<(), String> {
    let view = Tbs::parse(tbs).map_err(|why| why.to_string())?;
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
