//! The reference trees of certificate-transparency, and every small tree against the RFC's own recursion.

use super::*;
use proptest::prelude::*;

fn of_hex(hex: &str) -> Hash {
    let bytes: Vec<u8> = (0..64).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect();
    bytes.try_into().expect("32 bytes")
}

/// The eight leaves of the tests of Google's certificate-transparency.
fn reference_leaves() -> Vec<Hash> {
    let leaves: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    leaves.into_iter().map(leaf_hash).collect()
}

const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Nodes of the reference tree: leaves 0 to 7, pairs, fours, and the root of leaves 4 to 6.
const L0: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
const L1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const L2: &str = "0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7";
const L3: &str = "07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7";
const L4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const L5: &str = "4271a26be0d8a84f0bd54c8c302e7cb3a3b5d1fa6780a40bcce2873477dab658";
const L6: &str = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f";
const L7: &str = "46f6ffadd3d06a09ff3c5860d2755c8b9819db7df44251788c7d8e3180de8eb1";
const L01: &str = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
const L23: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const L45: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
const L67: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const L0123: &str = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7";
const L4567: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
const L456: &str = "837dbb152e9b079010717e84e865da4ebc0fa198a806d59d31bf15accef22d0e";

#[test]
fn the_reference_tree_has_the_roots_published_for_it() {
    let leaves = reference_leaves();
    assert_eq!(empty_root(), of_hex(ROOTS[0]));
    for (size, hex) in ROOTS.iter().enumerate() {
        assert_eq!(root(&leaves[..size]), of_hex(hex), "{size}");
    }
}

#[test]
fn the_reference_tree_has_the_proofs_published_for_it() {
    let leaves = reference_leaves();
    for (index, size, published) in [
        (0, 1, vec![]),
        (0, 8, vec![L1, L23, L4567]),
        (1, 8, vec![L0, L23, L4567]),
        (2, 8, vec![L3, L01, L4567]),
        (3, 8, vec![L2, L01, L4567]),
        (4, 8, vec![L5, L67, L0123]),
        (5, 8, vec![L4, L67, L0123]),
        (6, 8, vec![L7, L45, L0123]),
        (7, 8, vec![L6, L45, L0123]),
        (2, 3, vec![L01]),
        (1, 5, vec![L0, L23, L4]),
    ] {
        let published: Vec<Hash> = published.into_iter().map(of_hex).collect();
        let at = usize::from(u8::try_from(index).expect("small"));
        assert_eq!(inclusion_path(&leaves[..size], index), published, "{index} of {size}");
        let within = of_hex(ROOTS[size]);
        assert!(verify_inclusion(&within, size as u64, index, &leaves[at], &published), "{index} of {size}");
    }
    for (first, second, published) in [
        (1, 1, vec![]),
        (1, 8, vec![L1, L23, L4567]),
        (2, 5, vec![L23, L4]),
        (3, 7, vec![L2, L3, L01, L456]),
        (4, 8, vec![L4567]),
        (6, 8, vec![L45, L67, L0123]),
        (7, 8, vec![L6, L7, L45, L0123]),
    ] {
        let published: Vec<Hash> = published.into_iter().map(of_hex).collect();
        assert_eq!(consistency_path(&leaves[..second], first as u64), published, "{first} to {second}");
        let (old, new) = (of_hex(ROOTS[first]), of_hex(ROOTS[second]));
        assert!(verify_consistency(first as u64, second as u64, &old, &new, &published), "{first} to {second}");
    }
}

/// RFC 6962 §2.1, word by word.
mod plain {
    use super::{Hash, empty_root, node_hash};

    fn k(n: usize) -> usize {
        let mut k = 1;
        while k * 2 < n {
            k *= 2;
        }
        k
    }

    pub fn mth(d: &[Hash]) -> Hash {
        match d {
            [] => empty_root(),
            [leaf] => *leaf,
            d => node_hash(&mth(&d[..k(d.len())]), &mth(&d[k(d.len())..])),
        }
    }

    pub fn path(m: usize, d: &[Hash]) -> Vec<Hash> {
        if d.len() == 1 {
            return Vec::new();
        }
        let (left, right) = d.split_at(k(d.len()));
        if m < left.len() {
            [path(m, left), vec![mth(right)]].concat()
        } else {
            [path(m - left.len(), right), vec![mth(left)]].concat()
        }
    }

    pub fn subproof(m: usize, d: &[Hash], b: bool) -> Vec<Hash> {
        if m == d.len() {
            return if b { Vec::new() } else { vec![mth(d)] };
        }
        let (left, right) = d.split_at(k(d.len()));
        if m <= left.len() {
            [subproof(m, left, b), vec![mth(right)]].concat()
        } else {
            [subproof(m - left.len(), right, false), vec![mth(left)]].concat()
        }
    }
}

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|leaf| leaf_hash(&leaf.to_be_bytes())).collect()
}

/// Every change of one hash, one more and one less.
fn tampered(path: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = vec![[path, &[[0; 32]]].concat()];
    for at in 0..path.len() {
        let mut flipped = path.to_vec();
        flipped[at][at % 32] ^= 1;
        all.extend([flipped, [&path[..at], &path[at + 1..]].concat()]);
        if at > 0 && path[at] != path[at - 1] {
            let mut swapped = path.to_vec();
            swapped.swap(at, at - 1);
            all.push(swapped);
        }
    }
    all
}

#[test]
fn every_leaf_of_every_small_tree_is_proven_and_nothing_else_is() {
    for size in 0..70 {
        let leaves = leaves(size);
        let whole = plain::mth(&leaves);
        assert_eq!(root(&leaves), whole);
        for (at, leaf) in leaves.iter().enumerate() {
            let index = at as u64;
            let path = inclusion_path(&leaves, index);
            assert_eq!(path, plain::path(at, &leaves));
            assert!(verify_inclusion(&whole, size, index, leaf, &path));
            for other in (0..=size).filter(|other| *other != index) {
                assert!(!verify_inclusion(&whole, size, other, leaf, &path), "{index} as {other} of {size}");
            }
            assert!(!verify_inclusion(&whole, size, index, &[7; 32], &path));
            assert!(!verify_inclusion(&[7; 32], size, index, leaf, &path));
            for bad in tampered(&path) {
                assert!(!verify_inclusion(&whole, size, index, leaf, &bad), "{index} of {size}");
            }
        }
        assert!(!verify_inclusion(&whole, size, size, &whole, &[]));
    }
}

#[test]
fn every_small_tree_goes_on_from_every_smaller_one_and_from_no_other() {
    for second in 0..70 {
        let leaves = leaves(second);
        let new = root(&leaves);
        for first in 0..=second {
            let at = usize::try_from(first).expect("small");
            let old = root(&leaves[..at]);
            let path = consistency_path(&leaves, first);
            assert!(first == 0 || path == plain::subproof(at, &leaves, true));
            assert!(verify_consistency(first, second, &old, &new, &path), "{first} to {second}");
            assert!(!verify_consistency(first, second, &[7; 32], &new, &path), "{first} to {second}");
            assert!(first == 0 || !verify_consistency(first, second, &old, &[7; 32], &path));
            assert!(first == second || !verify_consistency(second, first, &new, &old, &path));
            for other in (1..=second).filter(|other| first != 0 && *other != first) {
                assert!(!verify_consistency(other, second, &old, &new, &path), "{first} as {other} of {second}");
            }
            for bad in tampered(&path) {
                assert!(!verify_consistency(first, second, &old, &new, &bad), "{first} to {second}");
            }
        }
    }
    assert!(!verify_consistency(0, 0, &[7; 32], &[7; 32], &[]));
}

#[test]
fn a_frontier_is_resumed_from_its_bytes_and_hands_out_whole_groups() {
    let leaves = leaves(2 * GROUP + 5);
    let mut frontier = Frontier::default();
    let mut groups = Vec::new();
    for leaf in &leaves {
        frontier = Frontier::from_bytes(&frontier.to_bytes()).expect("its own bytes");
        groups.extend(frontier.push(*leaf).map(|group| (frontier.len(), group)));
    }
    let group = |from: usize| plain::mth(&leaves[from..from + 1024]);
    assert_eq!(groups, [(GROUP, group(0)), (2 * GROUP, group(1024))]);
    assert_eq!(frontier.root(), plain::mth(&leaves));
    let bytes = frontier.to_bytes();
    let longer = [bytes.as_slice(), &[0; 32]].concat();
    let crumb = [bytes.as_slice(), &[0]].concat();
    let mut more = bytes.clone();
    more[7] ^= 2;
    for bad in [&bytes[..bytes.len() - 1], &bytes[..7], &longer, &crumb, &more, &[]] {
        assert_eq!(Frontier::from_bytes(bad), Err(NotAFrontier));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn groups_stand_for_their_leaves(size in 1_u64..5 * GROUP, at in any::<prop::sample::Index>()) {
        let leaves = leaves(size);
        let index = at.index(leaves.len());
        let chunks: Vec<&[Hash]> = leaves.chunks(1024).collect();
        let (tail, whole): (Vec<&[Hash]>, _) = chunks.iter().partition(|chunk| chunk.len() < 1024);
        let groups: Vec<Hash> = whole.into_iter().map(root).collect();
        let tail = tail.first().copied().unwrap_or_default();
        let (around, place) = (chunks[index / 1024], index as u64);
        let path = inclusion_path_by_groups(&groups, tail, around, place, size).expect("parts of one tree");
        prop_assert_eq!(&path, &inclusion_path(&leaves, place));
        prop_assert!(verify_inclusion(&root(&leaves), size, place, &leaves[index], &path));
        let refused = |groups: &[Hash], tail: &[Hash], around: &[Hash], index, size| {
            inclusion_path_by_groups(groups, tail, around, index, size).is_none()
        };
        prop_assert!(refused(&groups, tail, around, size, size));
        prop_assert!(refused(&groups, tail, around, place, size + 1));
        prop_assert!(refused(&groups, tail, &around[1..], place, size));
        prop_assert!(refused(&groups, tail, &[root(around)], place, size) || around.len() == 1);
        prop_assert!(refused(&groups, tail, around, u64::MAX, size));
        if around.len() > 1 {
            let mut swapped = around.to_vec();
            swapped.swap(0, 1);
            prop_assert!(refused(&groups, tail, &swapped, place, size));
        }
    }

    #[test]
    fn large_trees_go_on_from_smaller_ones(second in 1_u64..3000, at in any::<prop::sample::Index>()) {
        let leaves = leaves(second);
        let first = at.index(leaves.len());
        let path = consistency_path(&leaves, first as u64);
        let (old, new) = (root(&leaves[..first]), root(&leaves));
        prop_assert!(verify_consistency(first as u64, second, &old, &new, &path));
        for bad in tampered(&path) {
            prop_assert!(!verify_consistency(first as u64, second, &old, &new, &bad));
        }
    }
}
