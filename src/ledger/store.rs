//! The ledger's rows in SQLite: entries, which are the truth, and full tiles, which save hashing
//! them again. `database` makes and opens it.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};

pub use super::database::Lock;
use super::edge::{HEIGHT, TILE, Tile};
use super::facts::Header;
use super::leaf::{Kind, Leaf};
use super::tree::{Hash, Nodes};
use crate::certificate::time::UnixTime;
use crate::fault_point;

/// What goes wrong in the store. The text is for the journal.
#[derive(Debug)]
pub struct StoreError(pub String);

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

impl From<rusqlite::types::FromSqlError> for StoreError {
    fn from(why: rusqlite::types::FromSqlError) -> Self {
        Self(why.to_string())
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(why: rusqlite::Error) -> Self {
        Self(why.to_string())
    }
}

impl From<std::io::Error> for StoreError {
    fn from(why: std::io::Error) -> Self {
        Self(why.to_string())
    }
}

/// Why COMMIT failed.
#[derive(Debug)]
pub enum NotCommitted {
    /// Nothing of the transaction is or will be there.
    Known(StoreError),
    /// It may be there: only a new start, which reads it back, can tell.
    Unknown(StoreError),
}

/// An error that is not SQLite's own word on a full disk tells nothing.
impl From<std::io::Error> for NotCommitted {
    fn from(why: std::io::Error) -> Self {
        Self::Unknown(why.into())
    }
}

/// A row: an entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The index.
    pub index: u64,
    /// The leaf's text.
    pub leaf: String,
    /// The to-be-signed certificate.
    pub tbs: Option<Vec<u8>>,
    /// The facts; `None` once they are redacted.
    pub facts: Option<Vec<u8>>,
}

/// A connection to the ledger's database.
pub struct Store {
    pub(super) db: Connection,
}

impl Store {
    /// How many entries.
    pub fn size(&self) -> Result<u64, StoreError> {
        let last: Option<i64> =
            self.db.query_row("SELECT max(idx) FROM entry", [], |row| row.get(0))?;
        Ok(last.map_or(0, |last| u64::try_from(last).map_or(0, |last| last + 1)))
    }

    /// Starts a transaction.
    pub fn begin(&self) -> Result<(), StoreError> {
        fault_point::around(fault_point::BEGIN, || self.run("BEGIN IMMEDIATE"))
    }

    /// Starts a transaction that sees one state of the ledger, whatever is written meanwhile.
    pub fn begin_reading(&self) -> Result<(), StoreError> {
        self.run("BEGIN DEFERRED")
    }

    /// Makes the transaction durable.
    pub fn commit(&self) -> Result<(), NotCommitted> {
        fault_point::around(fault_point::COMMIT, || self.commit_now())
    }

    fn commit_now(&self) -> Result<(), NotCommitted> {
        let committed = self.db.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        let Err(why) = committed else { return Ok(()) };
        // A write that found no room: the frame that would have ended the transaction was not written
        // and SQLite has taken the transaction back. Any other error (of fsync above all) tells nothing.
        let full = why.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
        if full && self.db.is_autocommit() {
            Err(NotCommitted::Known(why.into()))
        } else {
            Err(NotCommitted::Unknown(why.into()))
        }
    }

    /// Takes the transaction back.
    pub fn rollback(&self) -> Result<(), StoreError> {
        // SQLite itself rolls back on some errors (a full disk); then there is nothing to take back.
        if self.db.is_autocommit() { Ok(()) } else { self.run("ROLLBACK") }
    }

    /// Starts an entry, which can fail alone.
    pub fn begin_entry(&self) -> Result<(), StoreError> {
        self.run("SAVEPOINT entry")
    }

    /// Keeps the entry.
    pub fn keep_entry(&self) -> Result<(), StoreError> {
        fault_point::around(fault_point::KEEP, || self.run("RELEASE entry"))
    }

    /// Takes the entry back.
    pub fn drop_entry(&self) -> Result<(), StoreError> {
        self.run("ROLLBACK TO entry")?;
        self.run("RELEASE entry")
    }

    fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.db.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Adds a leaf.
    pub fn insert(
        &self,
        index: u64,
        leaf: &Leaf,
        tbs: Option<&[u8]>,
        facts: &[u8],
    ) -> Result<(), StoreError> {
        let mut insert = self
            .db
            .prepare_cached("INSERT INTO entry (idx, leaf, tbs, facts) VALUES (?1, ?2, ?3, ?4)")?;
        fault_point::around(fault_point::INSERT, || {
            insert.execute(params![number(index)?, leaf.to_string(), tbs, facts])?;
            Ok::<_, StoreError>(())
        })?;
        if leaf.kind == Kind::Certificate { self.given(index, facts) } else { Ok(()) }
    }

    /// Adds a full tile.
    pub fn insert_tile(&self, tile: &Tile) -> Result<(), StoreError> {
        let mut insert =
            self.db.prepare_cached("INSERT INTO tile (level, idx, hashes) VALUES (?1, ?2, ?3)")?;
        fault_point::around(fault_point::TILE, || {
            insert.execute(params![tile.level, number(tile.index)?, tile.hashes])?;
            Ok(())
        })
    }

    /// Reads entries by rising index, from one on, until `visit` says false.
    pub fn each_from(
        &self,
        from: u64,
        mut visit: impl FnMut(Row) -> bool,
    ) -> Result<(), StoreError> {
        let mut select = self.db.prepare_cached(
            "SELECT idx, leaf, tbs, facts FROM entry WHERE idx >= ?1 ORDER BY idx",
        )?;
        let mut rows = select.query([number(from)?])?;
        while let Some(row) = rows.next()? {
            if !visit(read(row)?) {
                break;
            }
        }
        Ok(())
    }

    /// Reads entries by falling index, from the last on, until `visit` says false.
    pub fn each_back(&self, mut visit: impl FnMut(Row) -> bool) -> Result<(), StoreError> {
        let mut select =
            self.db.prepare_cached("SELECT idx, leaf, tbs, facts FROM entry ORDER BY idx DESC")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            if !visit(read(row)?) {
                break;
            }
        }
        Ok(())
    }

    /// Reads every entry of a kind that is indexed, [`Kind::Lock`] or [`Kind::Freeze`], by rising index,
    /// until `visit` says false. Cheap however long the ledger is: an index has these entries alone.
    pub fn each_of(
        &self,
        kind: Kind,
        mut visit: impl FnMut(Row) -> bool,
    ) -> Result<(), StoreError> {
        // The words of the index, or SQLite would not use it.
        let word = kind.word();
        let mut select = self.db.prepare_cached(&format!(
            "SELECT idx, leaf, tbs, facts FROM entry WHERE leaf GLOB 'hallpass.v1 {word}*' ORDER BY idx",
        ))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            if !visit(read(row)?) {
                break;
            }
        }
        Ok(())
    }

    /// How many entries were decided since then, and about how many bytes of disk they take: their
    /// own, and as much again for pages, tiles and the write-ahead log.
    pub fn grown_since(&self, then: UnixTime) -> Result<(u64, u64), StoreError> {
        let (mut entries, mut bytes) = (0, 0);
        self.each_back(|row| {
            let facts = row.facts.unwrap_or_default();
            let header = serde_json::from_slice::<Header>(&facts);
            let within = header.is_ok_and(|header| header.time >= then);
            if within {
                let own = row.leaf.len() + facts.len() + row.tbs.map_or(0, |tbs| tbs.len());
                entries += 1;
                bytes += 2 * u64::try_from(own).unwrap_or(0);
            }
            within
        })?;
        Ok((entries, bytes))
    }

    /// A full tile, as it is stored.
    pub fn tile(&self, level: u32, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let mut select =
            self.db.prepare_cached("SELECT hashes FROM tile WHERE level = ?1 AND idx = ?2")?;
        Ok(select.query_row(params![level, number(index)?], |row| row.get(0)).optional()?)
    }

    /// What no ledger of so many entries holds: rows before the first, tiles too many or too few.
    /// Of each kind the first is named.
    pub fn strays(&self, entries: u64) -> Result<Vec<String>, StoreError> {
        let mut strays = Vec::new();
        let count = "SELECT count(*) FROM entry WHERE idx < 0";
        let before: i64 = self.db.query_row(count, [], |row| row.get(0))?;
        if before > 0 {
            strays.push(format!("{before} entries have an index below 0"));
        }
        let locks = "SELECT count(*), total(idx) FROM entry";
        let locks = [" NOT INDEXED", ""].map(|how| {
            let locks = format!("{locks}{how} WHERE leaf GLOB 'hallpass.v1 lock*'");
            let pair = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, f64>(1)?));
            self.db.query_row(&locks, [], pair)
        });
        let [there, indexed] = locks;
        if there? != indexed? {
            strays.push("the index of locks is not of the locks that are there".to_owned());
        }
        let full = |level: u32| entries.checked_shr(HEIGHT * (level + 1)).unwrap_or(0);
        let mut missing: BTreeMap<i64, i64> = BTreeMap::new();
        for level in (0..7).take_while(|level| full(*level) > 0) {
            missing.insert(level.into(), 0);
        }
        let mut select = self.db.prepare("SELECT level, idx FROM tile ORDER BY level, idx")?;
        let mut rows = select.query([])?;
        let mut beyond = None;
        while let Some(row) = rows.next()? {
            let (level, index): (i64, i64) = (row.get(0)?, row.get(1)?);
            match missing.get_mut(&level) {
                // What is missing stays where the first gap is.
                Some(next) if *next == index => *next += 1,
                Some(next) if *next < index => {}
                _ => beyond = beyond.or(Some((level, index))),
            }
            let end = u32::try_from(level).map_or(0, full);
            if u64::try_from(index).map_or(true, |index| index >= end) {
                beyond = beyond.or(Some((level, index)));
            }
        }
        strays
            .extend(beyond.map(|(l, n)| format!("tile {l}/{n} is of entries that are not there")));
        let lacks = missing
            .into_iter()
            .filter(|(l, n)| u64::try_from(*n).ok() < u32::try_from(*l).ok().map(full));
        strays.extend(lacks.map(|(l, n)| format!("tile {l}/{n} is missing")));
        Ok(strays)
    }

    /// Nodes of level `8 * level` of the tree, `count` of them: from a full tile, or from what is
    /// below.
    fn base_nodes(&self, level: u32, from: u64, count: u64) -> Result<Vec<Hash>, StoreError> {
        if let Some(bytes) = self.tile(level, from / TILE)? {
            let hashes = bytes.as_chunks::<32>().0.iter().map(|hash| Hash(*hash));
            let skip = usize::try_from(from % TILE).unwrap_or(0);
            return Ok(hashes.skip(skip).take(usize::try_from(count).unwrap_or(0)).collect());
        }
        if level > 0 {
            return (from..from + count).map(|index| self.node(HEIGHT * level, index)).collect();
        }
        let mut select = self
            .db
            .prepare_cached("SELECT leaf FROM entry WHERE idx >= ?1 AND idx < ?2 ORDER BY idx")?;
        let hash = |row: &rusqlite::Row<'_>| Ok(Hash::of_leaf(row.get_ref(0)?.as_bytes()?));
        let hashes = select
            .query_map(params![number(from)?, number(from + count)?], hash)?
            .collect::<Result<_, _>>()?;
        Ok(hashes)
    }
}

impl Nodes for Store {
    type Error = StoreError;
    fn node(&self, level: u32, index: u64) -> Result<Hash, StoreError> {
        // A node at a tile's base, but not of the leaves, is the root of the full tile below it.
        let (tile_level, inner) = match (level / HEIGHT, level % HEIGHT) {
            (0, inner) => (0, inner),
            (tile_level, 0) => (tile_level - 1, HEIGHT),
            (tile_level, inner) => (tile_level, inner),
        };
        let count = 1u64 << inner;
        let mut hashes = self.base_nodes(tile_level, index << inner, count)?;
        if u64::try_from(hashes.len()) != Ok(count) {
            return Err(StoreError(format!(
                "rows of the tree are missing below node {index} of level {level}"
            )));
        }
        while let [_, _, ..] = hashes.as_slice() {
            hashes = hashes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|[left, right]| Hash::of_children(*left, *right))
                .collect();
        }
        hashes.first().copied().ok_or_else(|| StoreError("an empty tile".to_owned()))
    }
}

pub(super) fn read(row: &rusqlite::Row<'_>) -> Result<Row, StoreError> {
    let index: i64 = row.get(0)?;
    let index =
        u64::try_from(index).map_err(|_| StoreError(format!("an entry with index {index}")))?;
    // A leaf is ASCII. One that is not even UTF-8 is damaged: whoever checks it sees that, and can say
    // which one it is.
    let leaf = String::from_utf8_lossy(row.get_ref(1)?.as_bytes()?).into_owned();
    Ok(Row { index, leaf, tbs: row.get(2)?, facts: row.get(3)? })
}

pub(super) fn number(index: u64) -> Result<i64, StoreError> {
    i64::try_from(index).map_err(|_| StoreError("an index above 2^63".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::edge::Edge;
    use crate::ledger::leaf::Kind;
    use crate::ledger::tree::root;

    #[test]
    fn rows_and_tiles_give_the_same_nodes_as_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        assert!(Store::open(&path).is_err(), "a ledger appeared from nothing");
        Store::create(&path).unwrap();
        assert!(Store::create(&path).is_err(), "a second ledger was made");
        let store = Store::open(&path).unwrap();
        let mut edge = Edge::default();
        store.begin().unwrap();
        for index in 0..1500u64 {
            let facts = index.to_be_bytes();
            let leaf = Leaf::other(Kind::Refusal, &facts);
            store.insert(index, &leaf, None, &facts).unwrap();
            edge.append(leaf.hash());
            edge.filled_since(index).iter().for_each(|tile| store.insert_tile(tile).unwrap());
        }
        store.commit().unwrap();
        assert_eq!(store.size().unwrap(), 1500);
        assert_eq!(store.strays(1500).unwrap(), Vec::<String>::new());
        assert_eq!(store.strays(1535).unwrap(), Vec::<String>::new());
        assert_eq!(store.strays(1536).unwrap(), ["tile 0/5 is missing"]);
        assert_eq!(store.strays(1279).unwrap(), ["tile 0/4 is of entries that are not there"]);
        let reader = Store::open_to_read(&path).unwrap();
        for size in [1, 255, 256, 257, 1024, 1499, 1500] {
            assert_eq!(root(&reader, size).unwrap(), root(&edge, size).unwrap(), "{size}");
        }
        let again = Edge::load(&reader, 1500).unwrap();
        assert_eq!(root(&again, 1500).unwrap(), root(&edge, 1500).unwrap());
    }
}
