//! What the signer writes: its mark (the last tree head it saw) and its list of what it signed.
//!
//! Both are durable before a signature leaves the process. After a crash between the two the list
//! knows more than the mark, and an index on the list is never signed again.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use crate::certificate::names::{PersonName, Principal};
use crate::certificate::time::UnixTime;
use crate::fault_point;
use crate::ledger::checkpoint::decimal;
use crate::ledger::tree::Hash;
use crate::page_cache;

/// A tree head as the signer remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// How many leaves.
    pub size: u64,
    /// The root.
    pub root: Hash,
}

/// The mark of a ledger that has no leaf yet.
pub fn beginning() -> Mark {
    Mark { size: 0, root: Hash::empty() }
}

/// The mark's file: two slots, written in turn, so that a torn write leaves the other one whole.
///
/// A slot is one line, padded with spaces to [`SLOT`] bytes:
/// `hallpass-mark.v1 SEQUENCE ORIGIN SIZE ROOT CHECK`, CHECK being the SHA-256 of what precedes it.
/// The origin names the ledger's generation: the mark of one says nothing of another.
#[derive(Debug)]
pub struct MarkFile {
    file: File,
    sequence: u64,
    origin: String,
    mark: Mark,
}

/// The bytes of a slot: a page and the largest sector there is, so that writing one slot rewrites
/// nothing of the other.
const SLOT: usize = 4096;

/// Waits until no signer runs on a mark, but not longer than this: one that was killed a moment ago is
/// gone in a moment. Whether it is gone is for [`MarkFile::lock`] to say.
pub fn wait_for_the_last(path: &Path, patience: Duration) {
    let Ok(file) = File::open(path) else { return };
    let (tell, hear) = mpsc::channel();
    // Where this waits on, the process ends, and the thread with it.
    std::thread::spawn(move || {
        let free = rustix::fs::flock(&file, rustix::fs::FlockOperation::LockShared);
        drop(file);
        tell.send(free.is_ok()).ok();
    });
    hear.recv_timeout(patience).ok();
}

impl MarkFile {
    /// Makes the file of a new ledger. Fails if there is one: a mark is never made anew by accident.
    pub fn create(path: &Path, origin: &str, mark: Mark) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let slot = slot(0, origin, mark);
        file.write_all_at(&slot, 0)?;
        file.write_all_at(&slot, offset(1))?;
        file.sync_all()
    }

    /// Opens the file; fails if neither slot is whole.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let (sequence, origin, mark) = newest(&file)?;
        Ok(Self { file, sequence, origin, mark })
    }

    /// Keeps every other signer away from this mark and its list, for as long as this one lives: two
    /// of them would each sign an index once. What another one wrote until now is read, from the disk.
    pub fn lock(&mut self) -> io::Result<()> {
        let lock = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        rustix::fs::flock(&self.file, lock).map_err(|why| {
            let held = why == rustix::io::Errno::WOULDBLOCK;
            if held { io::Error::other("another signer is running on it") } else { why.into() }
        })?;
        page_cache::forget(&self.file)?;
        (self.sequence, self.origin, self.mark) = newest(&self.file)?;
        Ok(())
    }

    /// The origin of the ledger the mark is of.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The mark.
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Moves the mark; durable when this returns. After an error it is where it was, and the next move
    /// writes the same slot.
    pub fn advance(&mut self, mark: Mark) -> io::Result<()> {
        let sequence = self.sequence.saturating_add(1);
        fault_point::around(fault_point::MARK, || {
            self.file.write_all_at(&slot(sequence, &self.origin, mark), offset(sequence % 2))?;
            self.file.sync_data()
        })?;
        self.sequence = sequence;
        self.mark = mark;
        Ok(())
    }

    /// Begins the mark of the ledger's next generation.
    pub fn succeed(&mut self, origin: &str, mark: Mark) -> io::Result<()> {
        let before = std::mem::replace(&mut self.origin, origin.to_owned());
        self.advance(mark).inspect_err(|_| self.origin = before)
    }
}

/// Reads a mark, to compare with it.
pub fn read(path: &Path) -> io::Result<Mark> {
    newest(&File::open(path)?).map(|(_, _, mark)| mark)
}

/// What a slot holds: sequence, origin, mark.
type Slot = (u64, String, Mark);

/// The newest whole slot.
fn newest(mut file: &File) -> io::Result<Slot> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(offset(2)).read_to_end(&mut bytes)?;
    let whole = bytes.chunks(SLOT).filter_map(read_slot);
    whole
        .max_by_key(|(sequence, ..)| *sequence)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no whole mark in the mark file"))
}

fn offset(slot: u64) -> u64 {
    slot.saturating_mul(u64::try_from(SLOT).unwrap_or(0))
}

fn slot(sequence: u64, origin: &str, mark: Mark) -> Vec<u8> {
    let root = mark.root.to_base64();
    let line = format!("hallpass-mark.v1 {sequence} {origin} {} {root}", mark.size);
    let check = Hash::of(line.as_bytes()).to_base64();
    let mut bytes = format!("{line} {check}").into_bytes();
    bytes.resize(SLOT - 1, b' ');
    bytes.push(b'\n');
    bytes
}

fn read_slot(bytes: &[u8]) -> Option<Slot> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut words = text.split_whitespace();
    if words.next()? != "hallpass-mark.v1" {
        return None;
    }
    let sequence = decimal(words.next()?)?;
    let origin = words.next()?.to_owned();
    let mark = Mark { size: decimal(words.next()?)?, root: Hash::from_base64(words.next()?)? };
    (slot(sequence, &origin, mark) == bytes).then_some((sequence, origin, mark))
}

/// One certificate that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Its index in the ledger.
    pub index: u64,
    /// When it was signed.
    pub time: UnixTime,
    /// The hash of its to-be-signed bytes.
    pub tbs: Hash,
    /// For whom.
    pub person: PersonName,
    /// The principals.
    pub principals: Vec<Principal>,
}

/// The list of what was signed: a file that only grows, one line a certificate, by rising index.
///
/// `INDEX TIME SHA256-OF-TBS PERSON PRINCIPAL[,PRINCIPAL...]`
#[derive(Debug)]
pub struct ListFile {
    file: File,
    length: u64,
    last: Option<u64>,
    /// Whether the last lines could not be written: something of them may be there.
    failed: bool,
}

/// How much of the list's end is read at start: more than a minute of certificates at the limits.
const TAIL: u64 = 4 * 1024 * 1024;

impl ListFile {
    /// Makes the list of a new ledger. Fails if there is one.
    pub fn create(path: &Path) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.sync_all()
    }

    /// Opens the list, as the disk has it, and gives the certificates at its end. Whoever calls holds
    /// the mark's lock.
    ///
    /// A last line that a crash cut short is cut off: it was not durable, so its signature never left.
    /// So is everything from a hole on, which reads as zeroes: pages that an fsync could not write, and
    /// what was written with them.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<Signed>)> {
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        page_cache::forget(&file)?;
        let length = file.metadata()?.len();
        let from = length.saturating_sub(TAIL);
        file.seek(SeekFrom::Start(from))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        let whole = whole_lines(&tail).len();
        let torn = u64::try_from(tail.len() - whole).unwrap_or(0);
        if torn > 0 {
            file.set_len(length - torn)?;
            file.sync_data()?;
        }
        // The first line of a tail may be cut; every line of a whole file must be readable.
        let signed = read_lines(tail.get(..whole).unwrap_or_default(), from > 0)?;
        let last = signed.last().map(|signed| signed.index);
        Ok((Self { file, length: length - torn, last, failed: false }, signed))
    }

    /// The last index that was signed.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// Adds what is about to be signed; durable when this returns.
    pub fn append(&mut self, signed: &[Signed]) -> io::Result<()> {
        let Some(newest) = signed.last() else {
            return Ok(());
        };
        if self.failed {
            // Half a line must not stand before the next one, and a page that the disk refused must not be
            // written to again.
            self.file.set_len(self.length)?;
        }
        let text: String = signed.iter().map(line).collect();
        self.failed = true;
        fault_point::around(fault_point::LIST, || {
            self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data())
        })?;
        self.failed = false;
        self.length += u64::try_from(text.len()).unwrap_or(0);
        self.last = Some(newest.index);
        Ok(())
    }
}

fn line(signed: &Signed) -> String {
    let principals: Vec<String> = signed.principals.iter().map(ToString::to_string).collect();
    let Signed { index, time, tbs, person, .. } = signed;
    format!("{index} {time} {} {person} {}\n", tbs.to_base64(), principals.join(","))
}

/// Reads the whole list, to compare with it.
pub fn read_list(path: &Path) -> io::Result<Vec<Signed>> {
    read_lines(whole_lines(&std::fs::read(path)?), false)
}

/// The lines of these indexes, for one who wants a few of many.
pub fn find_in_list(path: &Path, wanted: &BTreeSet<u64>) -> io::Result<Vec<Signed>> {
    let mut lines = io::BufReader::new(File::open(path)?);
    let (mut found, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        lines.read_until(b'\n', &mut line)?;
        let whole = whole_lines(&line);
        if whole.is_empty() {
            return Ok(found);
        }
        let index = whole.split(|byte| *byte == b' ').next().unwrap_or_default();
        let index = std::str::from_utf8(index).ok().and_then(decimal);
        if index.is_none_or(|index| wanted.contains(&index)) {
            found.extend(read_lines(whole, false)?);
        }
    }
}

/// The lines up to a hole, which reads as zeroes, and up to the last line that has its end.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    let hole = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let written = bytes.get(..hole).unwrap_or_default();
    let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    written.get(..whole).unwrap_or_default()
}

fn read_lines(bytes: &[u8], first_is_cut: bool) -> io::Result<Vec<Signed>> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().skip(usize::from(first_is_cut));
    let damaged = "a damaged line in the signer's list";
    lines
        .map(|line| {
            read_line(line).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, damaged))
        })
        .collect()
}

fn read_line(line: &str) -> Option<Signed> {
    let mut words = line.split(' ');
    let signed = Signed {
        index: decimal(words.next()?)?,
        time: words.next()?.parse().ok()?,
        tbs: Hash::from_base64(words.next()?)?,
        person: words.next()?.parse().ok()?,
        principals: words
            .next()?
            .split(',')
            .map(|text| text.parse().ok())
            .collect::<Option<_>>()?,
    };
    words.next().is_none().then_some(signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(index: u64) -> Signed {
        Signed {
            index,
            time: UnixTime::from_secs(1_800_000_000 + index),
            tbs: Hash::of(&index.to_be_bytes()),
            person: "ana".parse().unwrap(),
            principals: vec!["deploy@web01".parse().unwrap(), "root@web01".parse().unwrap()],
        }
    }

    #[test]
    fn a_torn_write_leaves_the_mark_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mark");
        let create = || MarkFile::create(&path, "ca.example/1", beginning());
        create().unwrap();
        assert!(create().is_err(), "a second mark was made");
        let mut file = MarkFile::open(&path).unwrap();
        assert_eq!(file.mark(), beginning());
        for size in 1..6 {
            file.advance(Mark { size, root: Hash::of(&[size as u8]) }).unwrap();
            assert_eq!(MarkFile::open(&path).unwrap().mark().size, size);
        }
        let whole = std::fs::read(&path).unwrap();
        // The slot written last, sequence 5, is the second; a write that stopped anywhere in it leaves 4.
        for at in 0..SLOT {
            let mut torn = whole.clone();
            torn[SLOT + at] ^= 1;
            std::fs::write(&path, &torn).unwrap();
            assert_eq!(MarkFile::open(&path).unwrap().mark().size, 4, "{at}");
        }
        std::fs::write(&path, b"").unwrap();
        assert!(MarkFile::open(&path).is_err());
    }

    /// A signer reads the mark while another one, which is about to end, still moves it.
    #[test]
    fn a_mark_is_what_it_was_when_it_was_locked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mark");
        MarkFile::create(&path, "ca.example/1", beginning()).unwrap();
        let (mut ending, mut starting) =
            (MarkFile::open(&path).unwrap(), MarkFile::open(&path).unwrap());
        ending.lock().unwrap();
        assert!(starting.lock().is_err(), "two at a time");
        for size in 1..4 {
            ending.advance(Mark { size, root: Hash::default() }).unwrap();
        }
        drop(ending);
        starting.lock().unwrap();
        assert_eq!(starting.mark().size, 3, "what was written meanwhile is not known");
        starting.advance(Mark { size: 4, root: Hash::default() }).unwrap();
        assert_eq!(MarkFile::open(&path).unwrap().mark().size, 4);
    }

    #[test]
    fn the_list_grows_and_loses_only_a_line_that_was_never_durable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        ListFile::create(&path).unwrap();
        let (mut list, before) = ListFile::open(&path).unwrap();
        assert!(before.is_empty() && list.last().is_none());
        list.append(&[signed(3), signed(4)]).unwrap();
        list.append(&[signed(9)]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let (list, after) = ListFile::open(&path).unwrap();
        assert_eq!((after, list.last()), (vec![signed(3), signed(4)], Some(4)));
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        assert_eq!(
            read_list(&path).unwrap(),
            [signed(3), signed(4)],
            "beside a signer that writes"
        );
        assert_eq!(find_in_list(&path, &[4, 9, 11].into()).unwrap(), [signed(4)]);
        drop(list);
        // A page that an fsync could not write, and a later one that was written all the same.
        let holed = [&whole[..100], &[0; 4096][..], &whole[100..]].concat();
        std::fs::write(&path, holed).unwrap();
        let (mut list, after) = ListFile::open(&path).unwrap();
        assert!(after.len() < 3 && after[..] == [signed(3), signed(4)][..after.len()], "{after:?}");
        list.append(&[signed(12)]).unwrap();
        let (_, again) = ListFile::open(&path).unwrap();
        assert_eq!(again, [after, vec![signed(12)]].concat());
        std::fs::write(&path, b"nonsense\n").unwrap();
        assert!(ListFile::open(&path).is_err() && read_list(&path).is_err());
        assert!(find_in_list(&path, &[4].into()).is_err());
    }
}
