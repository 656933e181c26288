//! A loop whose product exceeds 1, in one graph.
//!
//! With logarithms rounded down, `low ≤ log2(w) < low + ERROR`, a loop that rises by `low` rises in truth. When there
//! is none, Bellman–Ford leaves heights `h` with `slack(u, v) = h(v) − h(u) − low(u, v) ≥ 0`. Slacks round a loop add
//! up to minus its `low` sum, so a loop of k legs that rises in truth has a total slack below `k × ERROR`: only edges
//! with less slack than `nodes × ERROR` can lie on one. On these alone the search is repeated in exact fractions.

use super::log;
use crate::domain::rate::Ratio;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::One;

/// What a point becomes on one direction: `num / den`, positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    num: i128,
    den: i128,
    low: i64,
}

impl Edge {
    pub(super) fn new(ratio: Ratio, bonus_basis_points: i64) -> Edge {
        // At most 10^9 × a sum of bonuses that fits 64 bits: no overflow.
        let num = i128::from(ratio.num()) * (10_000 + i128::from(bonus_basis_points));
        let den = i128::from(ratio.den()) * 10_000;
        Edge { num, den, low: log::floor_log2(num, den) }
    }

    pub(super) fn fraction(&self) -> BigRational {
        BigRational::new(BigInt::from(self.num), BigInt::from(self.den))
    }

    /// The larger of two edges of one direction.
    pub(super) fn better(a: &Option<Edge>, b: &Option<Edge>) -> Option<Edge> {
        match (a, b) {
            (Some(a), Some(b)) => {
                let larger = if a.low.abs_diff(b.low) > log::ERROR.unsigned_abs() {
                    a.low > b.low
                } else {
                    BigInt::from(a.num) * b.den >= BigInt::from(b.num) * a.den
                };
                Some(if larger { *a } else { *b })
            }
            (one, None) | (None, one) => *one,
        }
    }
}

/// One interval's directions.
pub(super) struct Graph {
    nodes: usize,
    edges: Vec<(usize, usize, Edge)>,
}

impl Graph {
    pub(super) fn new(nodes: usize) -> Graph {
        Graph { nodes, edges: Vec::new() }
    }

    pub(super) fn add(&mut self, from: usize, to: usize, edge: Edge) {
        self.edges.push((from, to, edge));
    }

    /// The brands of one loop whose product exceeds 1, in order; `None` when there is none.
    pub(super) fn rising_loop(&self) -> Option<Vec<usize>> {
        let mut heights = vec![0_i64; self.nodes];
        let rises = |heights: &mut [i64], (from, to, edge): &(usize, usize, Edge)| {
            let reached = heights[*from] + edge.low;
            let higher = reached > heights[*to];
            if higher {
                heights[*to] = reached;
            }
            higher
        };
        if let Some(found) = climb(self.nodes, &self.edges, &mut heights, rises) {
            return Some(found);
        }
        let most = i64::try_from(self.nodes).unwrap_or(i64::MAX).saturating_mul(log::ERROR);
        let slack = |(from, to, edge): &&(usize, usize, Edge)| heights[*to] - heights[*from] - edge.low < most;
        let tight: Vec<(usize, usize, Edge)> = self.edges.iter().filter(slack).copied().collect();
        let tight = on_loops(self.nodes, tight);
        if tight.is_empty() { None } else { exact(self.nodes, &tight) }
    }
}

/// The same search with exact fractions.
fn exact(nodes: usize, edges: &[(usize, usize, Edge)]) -> Option<Vec<usize>> {
    let mut heights = first_heights(nodes, edges);
    let rises = |heights: &mut [BigRational], (from, to, edge): &(usize, usize, Edge)| {
        let reached = &heights[*from] * edge.fraction();
        let higher = reached > heights[*to];
        if higher {
            heights[*to] = reached;
        }
        higher
    };
    climb(nodes, edges, &mut heights, rises)
}

/// Heights along any path from the first brand of each connected part. Rates that are prices divided by prices make
/// every path equal, and then nothing rises in the first round; starting from 1 everywhere would take many rounds,
/// each with longer fractions.
fn first_heights(nodes: usize, edges: &[(usize, usize, Edge)]) -> Vec<BigRational> {
    let mut ways: Vec<Vec<(usize, Edge)>> = vec![Vec::new(); nodes];
    for (from, to, edge) in edges {
        ways[*from].push((*to, *edge));
    }
    let mut heights: Vec<Option<BigRational>> = vec![None; nodes];
    for root in 0..nodes {
        if heights[root].is_some() {
            continue;
        }
        heights[root] = Some(BigRational::one());
        let mut queue = std::collections::VecDeque::from([root]);
        while let Some(from) = queue.pop_front() {
            let Some(height) = heights[from].clone() else { continue };
            for (to, edge) in &ways[from] {
                if heights[*to].is_none() {
                    heights[*to] = Some(&height * edge.fraction());
                    queue.push_back(*to);
                }
            }
        }
    }
    heights.into_iter().map(|height| height.unwrap_or_else(BigRational::one)).collect()
}

/// Bellman–Ford upwards: raises heights until nothing rises, or the edges that raised them close a loop.
///
/// `rises` raises the end of one edge if it can. A loop among the last raising edges always rises itself.
fn climb<H>(
    nodes: usize,
    edges: &[(usize, usize, Edge)],
    heights: &mut [H],
    rises: impl Fn(&mut [H], &(usize, usize, Edge)) -> bool,
) -> Option<Vec<usize>> {
    let mut raised_by: Vec<Option<usize>> = vec![None; nodes];
    loop {
        let mut any = false;
        for edge in edges {
            if rises(heights, edge) {
                raised_by[edge.1] = Some(edge.0);
                any = true;
            }
        }
        if !any {
            return None;
        }
        // Without a rising loop this ends within as many rounds as there are nodes; with one, a loop appears here.
        if let Some(found) = closed(&raised_by) {
            return Some(found);
        }
    }
}

/// A loop in a graph of at most one edge into each node, in the direction of the edges.
fn closed(raised_by: &[Option<usize>]) -> Option<Vec<usize>> {
    // 0: not seen; otherwise the walk that saw it.
    let mut seen = vec![0_usize; raised_by.len()];
    for start in 0..raised_by.len() {
        let mut at = start;
        while seen[at] == 0 {
            seen[at] = start + 1;
            match raised_by[at] {
                Some(before) => at = before,
                None => break,
            }
        }
        if seen[at] != start + 1 || raised_by[at].is_none() {
            continue;
        }
        // This walk came back to where it had been: from here once round, backwards.
        let mut found = vec![at];
        let mut next = raised_by[at];
        while let Some(node) = next.filter(|node| *node != at) {
            found.push(node);
            next = raised_by[node];
        }
        found.reverse();
        return Some(found);
    }
    None
}

/// Drops edges that cannot lie on a loop: out of a node nothing enters, or into one nothing leaves.
fn on_loops(nodes: usize, mut edges: Vec<(usize, usize, Edge)>) -> Vec<(usize, usize, Edge)> {
    loop {
        let (mut enters, mut leaves) = (vec![false; nodes], vec![false; nodes]);
        for (from, to, _) in &edges {
            leaves[*from] = true;
            enters[*to] = true;
        }
        let before = edges.len();
        edges.retain(|(from, to, _)| enters[*from] && leaves[*to]);
        if edges.len() == before {
            return edges;
        }
    }
}
