//! Merkle trees as transparency logs have them: RFC 6962 §2.1, and RFC 9162 §2.1 for how proofs are checked.
//!
//! SHA-256 with `0x00` before a leaf's bytes and `0x01` before two nodes. A tree of `n` leaves splits at the largest
//! power of two below `n`, so that whatever is complete on the left never changes again. A *group* is 1,024 leaves from a
//! multiple of 1,024 on: its root is kept, and stands for its leaves in the proofs of others.

use ring::digest::{Context, SHA256};

pub type Hash = [u8; 32];

/// Leaves of a group, a complete subtree of level 10.
pub const GROUP: u64 = 1 << GROUP_LEVEL;
const GROUP_LEVEL: u32 = 10;

/// The hash of a leaf: `0x00` and its bytes.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    hash(&[&[0x00], leaf])
}

/// The hash of the node above `left` and `right`: `0x01` and both.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[0x01], left, right])
}

/// The root of a tree without leaves: the hash of no bytes.
pub fn empty_root() -> Hash {
    hash(&[])
}

/// The root over the hashes of leaves.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.push(*leaf);
    }
    frontier.root()
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// The right edge of a growing tree: all that appending needs, at most 64 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    len: u64,
    /// Roots of the complete subtrees, the largest first: one for every bit that is set in `len`.
    peaks: Vec<Hash>,
}

/// Bytes that no `Frontier` was written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not the length of a tree and one hash for each of its complete subtrees")]
pub struct NotAFrontier;

impl Frontier {
    /// Appends the hash of a leaf. Returns the root of the group, when this leaf has completed one.
    pub fn push(&mut self, leaf: Hash) -> Option<Hash> {
        let mut node = leaf;
        let mut group = None;
        for level in 1..=self.len.trailing_ones() {
            let left = self.peaks.pop().expect("one peak for every bit that is set");
            node = node_hash(&left, &node);
            if level == GROUP_LEVEL {
                group = Some(node);
            }
        }
        self.peaks.push(node);
        self.len += 1;
        group
    }

    pub fn root(&self) -> Hash {
        let peaks = self.peaks.iter().rev().copied();
        peaks.reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
    }

    /// Leaves appended so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The length, eight bytes with the highest first, then the peaks.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.len.to_be_bytes().as_slice(), self.peaks.as_flattened()].concat()
    }

    /// Reads what `to_bytes` wrote, and nothing else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Frontier, NotAFrontier> {
        let (len, peaks) = bytes.split_first_chunk().ok_or(NotAFrontier)?;
        let len = u64::from_be_bytes(*len);
        let (peaks, rest) = peaks.as_chunks();
        let counted = u64::try_from(peaks.len()) == Ok(u64::from(len.count_ones()));
        if counted && rest.is_empty() { Ok(Frontier { len, peaks: peaks.to_vec() }) } else { Err(NotAFrontier) }
    }
}

/// PATH of RFC 6962 §2.1.1: the hashes that lead from a leaf to the root, the lowest first.
///
/// # Panics
/// When there is no such leaf.
pub fn inclusion_path(leaves: &[Hash], index: u64) -> Vec<Hash> {
    let mut at = place(index).filter(|at| *at < leaves.len()).expect("the index of a leaf");
    let mut tree = leaves;
    let mut path = Vec::new();
    while tree.len() > 1 {
        let (left, right) = tree.split_at(split(tree.len()));
        if at < left.len() {
            path.push(root(right));
            tree = left;
        } else {
            path.push(root(left));
            at -= left.len();
            tree = right;
        }
    }
    path.reverse();
    path
}

/// The same path with the roots of `groups` in place of their leaves. `tail` are the leaves after the last complete
/// group, and `group_leaves` those of the group that the leaf is in, which may be the tail.
///
/// `None` when there is no such leaf in a tree of `size`, or when these parts do not make one.
pub fn inclusion_path_by_groups(
    groups: &[Hash],
    tail: &[Hash],
    group_leaves: &[Hash],
    index: u64,
    size: u64,
) -> Option<Vec<Hash>> {
    let complete = place(size / GROUP)? == groups.len() && place(size % GROUP)? == tail.len();
    // A tree over the groups and the root of the tail has the shape of the one over all leaves above level 10.
    let mut nodes = groups.to_vec();
    if !tail.is_empty() {
        nodes.push(root(tail));
    }
    let around = index / GROUP;
    let leaves = GROUP.min(size.checked_sub(around.checked_mul(GROUP)?)?);
    // By its root alone, a node could pass for a group of one leaf.
    let whole = place(leaves)? == group_leaves.len() && nodes.get(place(around)?) == Some(&root(group_leaves));
    if index >= size || !complete || !whole {
        return None;
    }
    let mut path = inclusion_path(group_leaves, index % GROUP);
    path.extend(inclusion_path(&nodes, around));
    Some(path)
}

/// Whether `leaf` is at `index` in the tree of `size` leaves under `root`: RFC 9162 §2.1.3.2.
pub fn verify_inclusion(root: &Hash, size: u64, index: u64, leaf: &Hash, path: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let mut climb = Climb { node: index, last: size - 1 };
    let mut reached = *leaf;
    for sibling in path {
        match climb.step() {
            Some(Side::Left) => reached = node_hash(sibling, &reached),
            Some(Side::Right) => reached = node_hash(&reached, sibling),
            None => return false,
        }
    }
    climb.last == 0 && reached == *root
}

/// PROOF of RFC 6962 §2.1.2: the hashes that lead from the root of the `first` leaves to the root of all. None when
/// `first` is 0 or all.
///
/// # Panics
/// When there are fewer leaves than `first`.
pub fn consistency_path(leaves: &[Hash], first: u64) -> Vec<Hash> {
    let mut first = place(first).filter(|first| *first <= leaves.len()).expect("at most as many as there are");
    let mut tree = leaves;
    let mut path = Vec::new();
    // Whether the old tree begins where this subtree does: then its root is the verifier's own.
    let mut whole = true;
    while first != 0 && first != tree.len() {
        let (left, right) = tree.split_at(split(tree.len()));
        if first <= left.len() {
            path.push(root(right));
            tree = left;
        } else {
            path.push(root(left));
            first -= left.len();
            tree = right;
            whole = false;
        }
    }
    if !whole {
        path.push(root(tree));
    }
    path.reverse();
    path
}

/// Whether the tree of `second` leaves goes on from the tree of `first`: RFC 9162 §2.1.4.2. Every tree goes on from the
/// empty one, and from itself; neither takes a path.
pub fn verify_consistency(first: u64, second: u64, first_root: &Hash, second_root: &Hash, path: &[Hash]) -> bool {
    if first == second {
        return path.is_empty() && first_root == second_root && (first != 0 || *first_root == empty_root());
    }
    if first > second || first == 0 {
        return first == 0 && path.is_empty() && *first_root == empty_root();
    }
    let mut climb = Climb { node: first - 1, last: second - 1 };
    climb.skip(climb.node.trailing_ones());
    // The old tree is one complete subtree: its root is where the path begins, and goes without saying.
    let (start, path) = if first.is_power_of_two() {
        (first_root, path)
    } else {
        let Some((start, path)) = path.split_first() else { return false };
        (start, path)
    };
    let (mut old, mut new) = (*start, *start);
    for node in path {
        match climb.step() {
            Some(Side::Left) => (old, new) = (node_hash(node, &old), node_hash(node, &new)),
            Some(Side::Right) => new = node_hash(&new, node),
            None => return false,
        }
    }
    climb.last == 0 && old == *first_root && new == *second_root
}

/// Where a sibling stands.
enum Side {
    Left,
    Right,
}

/// The way up from a node, beside the last node of its level: `fn` and `sn` of RFC 9162.
struct Climb {
    node: u64,
    last: u64,
}

impl Climb {
    /// One hash up. `None` at the root.
    fn step(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            // The last node of a level with no sibling is its own parent.
            if self.node & 1 == 0 {
                self.skip(self.node.trailing_zeros());
            }
            Side::Left
        } else {
            Side::Right
        };
        self.skip(1);
        Some(side)
    }

    fn skip(&mut self, levels: u32) {
        self.node = self.node.checked_shr(levels).unwrap_or(0);
        self.last = self.last.checked_shr(levels).unwrap_or(0);
    }
}

/// The largest power of two below `len`, which is at least 2.
fn split(len: usize) -> usize {
    1 << (len - 1).ilog2()
}

fn place(index: u64) -> Option<usize> {
    usize::try_from(index).ok()
}

#[cfg(test)]
mod tests;
