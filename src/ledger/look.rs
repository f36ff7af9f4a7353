//! Looking entries up beside whoever writes them: one, those of a kind, or from the newest back; and the
//! proof that one is in the tree. Nothing is held in memory that was not asked for.

use rusqlite::OptionalExtension as _;

use super::leaf::Kind;
use super::store::{Row, Store, StoreError, number, read};
use super::tree::{Hash, hash_of, inclusion};

/// How many entries one statement reads. A reader holds on to the state of the ledger it began with,
/// and keeps the write-ahead log from being brought in: not longer than it takes to read these.
const CHUNK: u32 = 4096;

impl Store {
    /// The entry with this index.
    pub fn entry(&self, index: u64) -> Result<Option<Row>, StoreError> {
        // No ledger has an index that SQLite cannot write, but a log line may say one.
        let Ok(index) = number(index) else { return Ok(None) };
        let mut select =
            self.db.prepare_cached("SELECT idx, leaf, tbs, facts FROM entry WHERE idx = ?1")?;
        let row = select.query_row([index], |row| Ok(read(row))).optional()?;
        row.transpose()
    }

    /// Reads index, leaf and facts of the entries below an index, newest first, until `visit` says
    /// false.
    pub fn each_below(
        &self,
        before: u64,
        mut visit: impl FnMut(u64, &str, Option<&[u8]>) -> bool,
    ) -> Result<(), StoreError> {
        let mut select = self.db.prepare_cached(
            "SELECT idx, leaf, facts FROM entry WHERE idx < ?1 ORDER BY idx DESC LIMIT ?2",
        )?;
        let mut before = number(before).unwrap_or(i64::MAX);
        while before > 0 {
            let mut rows = select.query((before, CHUNK))?;
            let mut read = 0;
            while let Some(row) = rows.next()? {
                before = row.get(0)?;
                let Ok(index) = u64::try_from(before) else { break };
                // One that is not UTF-8 is damaged, and of no kind.
                let leaf = std::str::from_utf8(row.get_ref(1)?.as_bytes()?).unwrap_or_default();
                if !visit(index, leaf, row.get_ref(2)?.as_blob_or_null()?) {
                    return Ok(());
                }
                read += 1;
            }
            if read < CHUNK {
                break;
            }
        }
        Ok(())
    }

    /// The entries of a kind of which there are few, oldest first.
    pub fn of_kind(&self, kind: Kind) -> Result<Vec<Row>, StoreError> {
        let mut select = self.db.prepare_cached(
            "SELECT idx, leaf, tbs, facts FROM entry \
             WHERE substr(leaf, 1, length(?1)) = ?1 ORDER BY idx",
        )?;
        let rows =
            select.query_map([format!("hallpass.v1 {}\n", kind.word())], |row| Ok(read(row)))?;
        rows.map(|row| row?).collect()
    }

    /// The hashes that lead from a leaf to the root of the tree of `size` leaves.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, StoreError> {
        inclusion(index, size).into_iter().map(|leaves| hash_of(self, leaves)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::leaf::Leaf;
    use crate::ledger::tree::{climb, root};

    #[test]
    fn entries_are_found_one_by_one_by_kind_and_from_the_newest_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        Store::create(&path).unwrap();
        let store = Store::open(&path).unwrap();
        let count = u64::from(CHUNK) * 2 + 5;
        store.begin().unwrap();
        for index in 0..count {
            let facts = index.to_be_bytes();
            let kind = if index % 4000 == 7 { Kind::Lost } else { Kind::Refusal };
            store.insert(index, &Leaf::other(kind, &facts), None, &facts).unwrap();
        }
        store.commit().unwrap();
        let store = Store::open_to_read(&path).unwrap();
        assert_eq!(store.entry(9).unwrap().unwrap().facts.unwrap(), 9u64.to_be_bytes());
        assert!(store.entry(count).unwrap().is_none() && store.entry(u64::MAX).unwrap().is_none());
        let lost: Vec<u64> =
            store.of_kind(Kind::Lost).unwrap().iter().map(|row| row.index).collect();
        assert_eq!(lost, [7, 4007, 8007]);

        let back = |before: u64, most: usize| {
            let mut seen = Vec::new();
            let visit = |index: u64, leaf: &str, facts: Option<&[u8]>| {
                assert!(leaf.starts_with("hallpass.v1 "));
                assert_eq!(facts, Some(&index.to_be_bytes()[..]));
                seen.push(index);
                seen.len() < most
            };
            store.each_below(before, visit).unwrap();
            seen
        };
        assert!(back(u64::MAX, usize::MAX).into_iter().eq((0..count).rev()), "each once");
        assert_eq!(back(100, 3), [99, 98, 97]);
        assert_eq!(back(0, 3), [0; 0]);

        let leaf: Leaf = store.entry(4007).unwrap().unwrap().leaf.parse().unwrap();
        let proof = store.inclusion(4007, count).unwrap();
        assert_eq!(climb(leaf.hash(), 4007, count, &proof), Some(root(&store, count).unwrap()));
    }
}
