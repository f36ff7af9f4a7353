//! The Merkle tree of RFC 6962 section 2.1, pure: roots, inclusion proofs, consistency proofs.
//!
//! A proof is a list of subtrees, given by the leaves they cover; whoever has the nodes (memory,
//! tiles, leaf rows) turns them into hashes through [`Nodes`]. So there is one piece of tree logic
//! and three ways to store a tree.

use sha2::{Digest as _, Sha256};

/// A SHA-256 hash: 32 bytes, base64 in every text of the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// SHA-256 of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The hash of a leaf record: SHA-256 of 0x00 and the record.
    pub fn of_leaf(record: &[u8]) -> Self {
        Self(Sha256::new().chain_update([0]).chain_update(record).finalize().into())
    }

    /// The hash of an inner node: SHA-256 of 0x01 and its children.
    pub fn of_children(left: Self, right: Self) -> Self {
        Self(
            Sha256::new()
                .chain_update([1])
                .chain_update(left.0)
                .chain_update(right.0)
                .finalize()
                .into(),
        )
    }

    /// The root of the empty tree.
    pub fn empty() -> Self {
        Self::of(b"")
    }

    /// Standard base64 with padding.
    pub fn to_base64(self) -> String {
        base64(&self.0)
    }

    /// Reads exactly what [`Self::to_base64`] writes.
    pub fn from_base64(text: &str) -> Option<Self> {
        unbase64(text)?.try_into().ok().map(Self)
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_base64())
    }
}

impl serde::Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.to_base64())
    }
}

impl<'de> serde::Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::from_base64(&text).ok_or_else(|| serde::de::Error::custom("not 32 bytes in base64"))
    }
}

/// Standard base64 with padding (RFC 4648 section 4).
pub fn base64(bytes: &[u8]) -> String {
    use base64ct::Encoding as _;
    base64ct::Base64::encode_string(bytes)
}

/// Strict base64: the standard alphabet, padding and zero trailing bits required.
pub fn unbase64(text: &str) -> Option<Vec<u8>> {
    use base64ct::Encoding as _;
    base64ct::Base64::decode_vec(text).ok()
}

/// Where the hashes of complete subtrees come from.
pub trait Nodes {
    /// What goes wrong when a node cannot be had.
    type Error;
    /// The root of the complete subtree of `1 << level` leaves that starts at leaf `index << level`.
    ///
    /// Asked only for subtrees that lie wholly within the tree.
    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// Some leaves in a row, `from` included, `to` not: the leaves that one hash of a proof covers.
pub type Leaves = (u64, u64);

/// The largest power of two smaller than `n`, for `n` of two or more.
fn split(n: u64) -> u64 {
    1u64 << (63 - (n - 1).leading_zeros())
}

/// The hash over some leaves: a complete subtree's node, or split as RFC 6962 says.
pub fn hash_of<N: Nodes>(nodes: &N, (from, to): Leaves) -> Result<Hash, N::Error> {
    let n = to.saturating_sub(from);
    if n == 0 {
        return Ok(Hash::empty());
    }
    if n.is_power_of_two() {
        let level = n.trailing_zeros();
        return nodes.node(level, from >> level);
    }
    let middle = from + split(n);
    Ok(Hash::of_children(hash_of(nodes, (from, middle))?, hash_of(nodes, (middle, to))?))
}

/// The root of the tree of the first `size` leaves.
pub fn root<N: Nodes>(nodes: &N, size: u64) -> Result<Hash, N::Error> {
    hash_of(nodes, (0, size))
}

/// The subtrees whose hashes prove that leaf `index` is in the tree of `size`, leaf's sibling first
/// (RFC 6962 section 2.1.1). Empty for an index outside the tree, and for the tree of one leaf.
pub fn inclusion(index: u64, size: u64) -> Vec<Leaves> {
    let mut proof = Vec::new();
    if index >= size {
        return proof;
    }
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            proof.push((middle, to));
            to = middle;
        } else {
            proof.push((from, middle));
            from = middle;
        }
    }
    proof.reverse();
    proof
}

/// The subtrees whose hashes prove that the tree of `old` leaves is a start of the tree of `size`
/// (RFC 6962 section 2.1.2). Empty where nothing is to be proved: `old` is 0 or `size`, or more.
pub fn consistency(old: u64, size: u64) -> Vec<Leaves> {
    let mut proof = Vec::new();
    if old == 0 || old >= size {
        return proof;
    }
    let (mut from, mut to, mut whole) = (0, size, true);
    loop {
        if old == to {
            if !whole {
                proof.push((from, to));
            }
            break;
        }
        let middle = from + split(to - from);
        if old <= middle {
            proof.push((middle, to));
            to = middle;
        } else {
            proof.push((from, middle));
            from = middle;
            whole = false;
        }
    }
    proof.reverse();
    proof
}

/// The root that an inclusion proof leads to; `None` if the proof has not the one right length.
pub fn climb(leaf: Hash, index: u64, size: u64, proof: &[Hash]) -> Option<Hash> {
    let path = inclusion(index, size);
    if index >= size || path.len() != proof.len() {
        return None;
    }
    Some(path.iter().zip(proof).fold(leaf, |hash, ((from, _), sibling)| {
        if *from > index {
            Hash::of_children(hash, *sibling)
        } else {
            Hash::of_children(*sibling, hash)
        }
    }))
}

/// Whether `proof` shows that a tree of `old` leaves with `old_root` is a start of the tree of
/// `size` leaves with `root`.
pub fn grew(old: u64, old_root: Hash, size: u64, root: Hash, proof: &[Hash]) -> bool {
    if old > size {
        return false;
    }
    if old == size {
        return old_root == root && proof.is_empty();
    }
    if old == 0 {
        return old_root == Hash::empty() && proof.is_empty();
    }
    let path = consistency(old, size);
    if path.len() != proof.len() {
        return false;
    }
    // Both roots are rebuilt from the bottom up. If the old tree is one complete subtree of the new
    // one the proof leaves it out, because its hash is the old root.
    let mut steps = path.iter().zip(proof);
    let start = if old.is_power_of_two() {
        Some((old_root, old_root))
    } else {
        steps.next().map(|(_, hash)| (*hash, *hash))
    };
    let Some((mut was, mut is)) = start else {
        return false;
    };
    for ((_, to), hash) in steps {
        if *to <= old {
            was = Hash::of_children(*hash, was);
            is = Hash::of_children(*hash, is);
        } else {
            is = Hash::of_children(is, *hash);
        }
    }
    was == old_root && is == root
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// A tree by the definition of RFC 6962 section 2.1, from leaf hashes alone.
    struct ByDefinition(Vec<Hash>);

    impl Nodes for ByDefinition {
        type Error = Infallible;
        fn node(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
            let (from, to) = ((index << level) as usize, ((index + 1) << level) as usize);
            Ok(mth(&self.0[from..to]))
        }
    }

    fn mth(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::empty(),
            [one] => *one,
            many => {
                let k = many.len().next_power_of_two() / 2;
                Hash::of_children(mth(&many[..k]), mth(&many[k..]))
            }
        }
    }

    fn tree(n: u64) -> ByDefinition {
        ByDefinition((0..n).map(|i| Hash::of_leaf(&i.to_be_bytes())).collect())
    }

    fn hashes(tree: &ByDefinition, path: Vec<Leaves>) -> Vec<Hash> {
        path.into_iter().map(|leaves| hash_of(tree, leaves).unwrap()).collect()
    }

    #[test]
    fn roots_are_those_of_the_definition() {
        for n in 0..70 {
            assert_eq!(root(&tree(n), n).unwrap(), mth(&tree(n).0), "{n}");
        }
    }

    #[test]
    fn every_inclusion_proof_climbs_to_the_root_and_to_no_other() {
        for n in 1..66u64 {
            let tree = tree(n);
            let top = root(&tree, n).unwrap();
            for i in 0..n {
                let proof = hashes(&tree, inclusion(i, n));
                let leaf = tree.0[i as usize];
                assert_eq!(climb(leaf, i, n, &proof), Some(top));
                for other in (0..n).filter(|other| *other != i) {
                    assert_ne!(climb(leaf, other, n, &proof), Some(top), "{i} as {other} of {n}");
                }
                assert_eq!(climb(leaf, n, n, &proof), None);
                let mut longer = proof.clone();
                longer.push(top);
                assert_eq!(climb(leaf, i, n, &longer), None);
            }
        }
    }

    #[test]
    fn growth_is_proved_for_every_pair_and_for_no_rewritten_leaf() {
        for n in 1..50u64 {
            let new = tree(n);
            let top = root(&new, n).unwrap();
            for m in 0..=n {
                let old_root = root(&new, m).unwrap();
                let proof = hashes(&new, consistency(m, n));
                assert!(grew(m, old_root, n, top, &proof), "{m} to {n}");
                // The story of a rewritten entry: same sizes, another leaf 0.
                if m > 0 {
                    let mut forged = tree(n);
                    forged.0[0] = Hash::of(b"forged");
                    let forged_root = root(&forged, n).unwrap();
                    assert!(!grew(
                        m,
                        old_root,
                        n,
                        forged_root,
                        &hashes(&forged, consistency(m, n))
                    ));
                }
                for at in 0..proof.len() {
                    let mut flipped = proof.clone();
                    flipped[at].0[7] ^= 1;
                    assert!(!grew(m, old_root, n, top, &flipped), "{m} to {n} at {at}");
                }
            }
        }
    }
}
