//! The tree's right edge in memory: the nodes that appending and fresh proofs need, and no others.
//!
//! A tile is 256 hashes of one level of the tree (levels 0, 8, 16 ...; c2sp.org/tlog-tiles). Kept are
//! the last tile of each such level, the one before it (a batch can cross a tile's end), and the
//! nodes between them and the next level.

use super::tree::{Hash, Nodes};

/// How many hashes a full tile has.
pub const TILE: u64 = 256;

/// The bits of a tile's height.
pub const HEIGHT: u32 = 8;

/// Nodes of one level of the tree, from `base` on.
#[derive(Debug, Default)]
struct Row {
    base: u64,
    nodes: Vec<Hash>,
}

impl Row {
    fn count(&self) -> u64 {
        self.base + u64::try_from(self.nodes.len()).unwrap_or(0)
    }

    fn get(&self, index: u64) -> Option<Hash> {
        let at = usize::try_from(index.checked_sub(self.base)?).ok()?;
        self.nodes.get(at).copied()
    }
}

/// The right edge of a tree.
#[derive(Debug, Default)]
pub struct Edge {
    rows: Vec<Row>,
}

/// A full tile, as it is stored.
#[derive(Debug, PartialEq, Eq)]
pub struct Tile {
    /// The tile's level: its hashes are nodes of level `8 * level` of the tree.
    pub level: u32,
    /// The tile's index in its level.
    pub index: u64,
    /// 256 hashes of 32 bytes.
    pub hashes: Vec<u8>,
}

/// The node is not kept in memory.
#[derive(Debug)]
pub struct NotKept;

impl Nodes for Edge {
    type Error = NotKept;
    fn node(&self, level: u32, index: u64) -> Result<Hash, NotKept> {
        let row = usize::try_from(level).ok().and_then(|level| self.rows.get(level));
        row.and_then(|row| row.get(index)).ok_or(NotKept)
    }
}

impl Edge {
    /// Builds the edge of a stored tree of `size` leaves.
    pub fn load<N: Nodes>(stored: &N, size: u64) -> Result<Self, N::Error> {
        let mut edge = Self::default();
        let mut level = 0;
        while size >> level > 0 {
            let count = size >> level;
            let base = (count / TILE).saturating_sub(1) * TILE;
            let nodes: Result<Vec<Hash>, _> =
                (base..count).map(|index| stored.node(level, index)).collect();
            edge.rows.push(Row { base, nodes: nodes? });
            for inner in 1..HEIGHT {
                edge.rows.push(edge.above(base >> inner, count >> inner));
            }
            level += HEIGHT;
        }
        Ok(edge)
    }

    /// The row over the last one, made of pairs.
    fn above(&self, base: u64, count: u64) -> Row {
        let below = self.rows.last();
        let pair = |index: u64| {
            Some(Hash::of_children(below?.get(2 * index)?, below?.get(2 * index + 1)?))
        };
        Row { base, nodes: (base..count).map_while(pair).collect() }
    }

    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.rows.first().map_or(0, Row::count)
    }

    /// Appends a leaf.
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for level in 0.. {
            if self.rows.len() == level {
                self.rows.push(Row::default());
            }
            let Some(row) = self.rows.get_mut(level) else {
                return;
            };
            let index = row.count();
            row.nodes.push(hash);
            if index % 2 == 0 {
                return;
            }
            let Some(left) = row.get(index - 1) else {
                return;
            };
            hash = Hash::of_children(left, hash);
        }
    }

    /// Takes leaves back that were never committed.
    pub fn truncate(&mut self, size: u64) {
        for (level, row) in self.rows.iter_mut().enumerate() {
            let keep = size.checked_shr(u32::try_from(level).unwrap_or(64)).unwrap_or(0);
            row.nodes
                .truncate(usize::try_from(keep.saturating_sub(row.base)).unwrap_or(usize::MAX));
        }
    }

    /// The tiles that became full since the tree had `old` leaves.
    pub fn filled_since(&self, old: u64) -> Vec<Tile> {
        let mut tiles = Vec::new();
        for (level, row) in (0u32..).zip(self.rows.iter().step_by(8)) {
            let shift = HEIGHT * (level + 1);
            let was = old.checked_shr(shift).unwrap_or(0);
            let is = self.size().checked_shr(shift).unwrap_or(0);
            for index in was..is {
                let hashes = (index * TILE..(index + 1) * TILE)
                    .filter_map(|at| row.get(at))
                    .flat_map(|hash| hash.0);
                tiles.push(Tile { level, index, hashes: hashes.collect() });
            }
        }
        tiles
    }

    /// Forgets what no append and no fresh proof will need. To be called after a commit.
    pub fn prune(&mut self) {
        let mut keep = 0;
        for (level, row) in self.rows.iter_mut().enumerate() {
            let inner = level % 8;
            if inner == 0 {
                keep = (row.count() / TILE).saturating_sub(1) * TILE;
            }
            let drop = (keep >> inner).saturating_sub(row.base);
            // Seldom and in bulk: a row loses 256 nodes when a tile fills, not one an append.
            if drop > 0 {
                row.nodes.drain(..usize::try_from(drop).unwrap_or(0).min(row.nodes.len()));
                row.base += drop;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tree::{climb, consistency, grew, hash_of, inclusion, root};
    use std::collections::HashMap;

    /// Every node of a tree, and the tiles as a store would keep them.
    #[derive(Default)]
    struct Everything {
        nodes: HashMap<(u32, u64), Hash>,
        rows: Vec<u64>,
    }

    impl Everything {
        fn append(&mut self, leaf: Hash) {
            let (mut level, mut hash) = (0u32, leaf);
            loop {
                if self.rows.len() == level as usize {
                    self.rows.push(0);
                }
                let index = self.rows[level as usize];
                self.rows[level as usize] += 1;
                self.nodes.insert((level, index), hash);
                if index.is_multiple_of(2) {
                    return;
                }
                hash = Hash::of_children(self.nodes[&(level, index - 1)], hash);
                level += 1;
            }
        }
    }

    impl Nodes for Everything {
        type Error = std::convert::Infallible;
        fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error> {
            Ok(self.nodes[&(level, index)])
        }
    }

    #[test]
    fn the_edge_proves_every_batch_and_reloads_to_the_same() {
        let (mut all, mut edge) = (Everything::default(), Edge::default());
        let mut size = 0u64;
        // Batches of odd sizes over four tiles of the second level: 70,000 leaves cross 65,536.
        for batch in [1u64, 2, 253, 1, 255, 256, 100].into_iter().cycle() {
            if size > 70_000 {
                break;
            }
            let old = size;
            for _ in 0..batch {
                let leaf = Hash::of_leaf(&size.to_be_bytes());
                all.append(leaf);
                edge.append(leaf);
                size += 1;
            }
            assert_eq!(edge.size(), size);
            let top = root(&edge, size).unwrap();
            let hashes = |path: Vec<_>| -> Vec<Hash> {
                path.into_iter().map(|l| hash_of(&edge, l).unwrap()).collect()
            };
            for index in [old, size - 1] {
                let proof = hashes(inclusion(index, size));
                assert_eq!(
                    climb(Hash::of_leaf(&index.to_be_bytes()), index, size, &proof),
                    Some(top)
                );
            }
            let growth = hashes(consistency(old, size));
            assert!(grew(old, root(&all, old).unwrap(), size, top, &growth), "{old} to {size}");
            for tile in edge.filled_since(old) {
                assert_eq!(tile.hashes.len(), 8192, "{}/{}", tile.level, tile.index);
                assert_eq!(tile.hashes[..32], all.nodes[&(8 * tile.level, 256 * tile.index)].0);
            }
            edge.prune();
            if size.is_multiple_of(7) {
                edge = Edge::load(&all, size).unwrap();
            }
        }
        let kept: usize = edge.rows.iter().map(|row| row.nodes.len()).sum();
        assert!(kept < 3 * 1024, "{kept} nodes are kept");
    }

    #[test]
    fn what_was_not_committed_is_taken_back_whole() {
        let mut edge = Edge::default();
        for i in 0..600u64 {
            edge.append(Hash::of_leaf(&i.to_be_bytes()));
        }
        let before = root(&edge, 600).unwrap();
        for i in 0..300u64 {
            edge.append(Hash::of_leaf(b"never committed"));
            assert_eq!(edge.size(), 601 + i);
        }
        edge.truncate(600);
        assert_eq!((edge.size(), root(&edge, 600).unwrap()), (600, before));
        for i in 600..700u64 {
            edge.append(Hash::of_leaf(&i.to_be_bytes()));
        }
        let mut straight = Edge::default();
        (0..700u64).for_each(|i| straight.append(Hash::of_leaf(&i.to_be_bytes())));
        assert_eq!(root(&edge, 700).unwrap(), root(&straight, 700).unwrap());
    }
}
