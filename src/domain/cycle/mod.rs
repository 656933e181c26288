//! Rule 3: no loop of brands may mint points.
//!
//! Time falls into intervals in which nothing changes. In each there is one edge per direction, at its best earned
//! tier with all bonuses that add up, and no loop's product may exceed 1. `search` finds such a loop: whole-number
//! logarithms sort out what is clearly below 1, exact fractions decide the rest.
//!
//! A bonus and a base credit are floored when points move, so what a member gets is never more than the edge says.

mod log;
mod search;

use super::catalogue::{Catalogue, Pair, Tier};
use super::ids::Slug;
use chrono::{DateTime, Utc};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, ToPrimitive};
use search::{Edge, Graph};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// More loops than this are not named: the first ones say enough.
const LOOPS_MAX: usize = 20;

/// A loop whose product exceeds 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loop {
    /// In order, beginning with the smallest slug; from the last one back to the first.
    pub brands: Vec<Slug>,
    /// What one point becomes on the way round: above 1.
    pub product: BigRational,
    pub from: DateTime<Utc>,
    /// Exclusive; `None` is open.
    pub to: Option<DateTime<Utc>>,
}

/// What the check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// These refuse to publish.
    pub loops: Vec<Loop>,
    /// Loops that pay only for who waits from one interval for the next: warnings.
    pub by_waiting: Vec<Loop>,
    pub intervals: usize,
    pub directions: usize,
}

/// Checks every interval from `now` on.
pub fn check(catalogue: &Catalogue, now: DateTime<Utc>) -> Report {
    let timeline = Timeline::of(catalogue, now);
    let mut report =
        Report { intervals: timeline.instants.len(), directions: timeline.directions.len(), ..Report::default() };
    let mut weights: Vec<Option<Edge>> = vec![None; timeline.directions.len()];
    for (number, from) in timeline.instants.iter().enumerate() {
        let to = timeline.instants.get(number + 1).copied();
        let before = weights.clone();
        if !timeline.advance(*from, &mut weights) && number > 0 {
            continue;
        }
        let found = timeline.graph(&weights).rising_loop();
        let clean = found.is_none();
        if let Some(nodes) = found {
            note(&mut report.loops, timeline.name(&nodes, &weights, *from, to));
        }
        // Points of the interval before, converted on in this one.
        if clean && number > 0 {
            let best: Vec<Option<Edge>> = before.iter().zip(&weights).map(|(a, b)| Edge::better(a, b)).collect();
            if let Some(nodes) = timeline.graph(&best).rising_loop()
                && timeline.in_order(&nodes, &before, &weights)
            {
                let since = timeline.instants[number - 1];
                note(&mut report.by_waiting, timeline.name(&nodes, &best, since, to));
            }
        }
    }
    report
}

/// Keeps the first interval of a loop: later ones say the same again.
fn note(loops: &mut Vec<Loop>, found: Loop) {
    if loops.len() < LOOPS_MAX && loops.iter().all(|known| known.brands != found.brands) {
        loops.push(found);
    }
}

/// The directions of a catalogue and the instants at which any of them changes.
struct Timeline<'a> {
    brands: Vec<Slug>,
    directions: Vec<Direction<'a>>,
    /// Where intervals begin; the first is `now`.
    instants: Vec<DateTime<Utc>>,
}

struct Direction<'a> {
    from: usize,
    to: usize,
    pair: &'a Pair,
    ladder: &'a [Tier],
    /// Where this direction changes.
    instants: BTreeSet<DateTime<Utc>>,
}

impl<'a> Timeline<'a> {
    fn of(catalogue: &'a Catalogue, now: DateTime<Utc>) -> Timeline<'a> {
        let brands: Vec<Slug> = catalogue.partners.keys().cloned().collect();
        let place: BTreeMap<&Slug, usize> = brands.iter().enumerate().map(|(at, slug)| (slug, at)).collect();
        let mut directions = Vec::new();
        let mut instants = BTreeSet::from([now]);
        for ((from, to), pair) in &catalogue.pairs {
            let (Some(partner), Some(start), Some(end)) =
                (catalogue.partners.get(from), place.get(from), place.get(to))
            else {
                continue;
            };
            let own: BTreeSet<DateTime<Utc>> = pair.instants().filter(|at| *at > now).collect();
            instants.extend(&own);
            let ladder = &partner.programme.tiers;
            directions.push(Direction { from: *start, to: *end, pair, ladder, instants: own });
        }
        // A map gives its pairs in any order; the loop that is named must not depend on it.
        directions.sort_by_key(|direction| (direction.from, direction.to));
        Timeline { brands, directions, instants: instants.into_iter().collect() }
    }

    /// Brings each direction's edge to `at`; whether any differs from the interval before.
    fn advance(&self, at: DateTime<Utc>, weights: &mut [Option<Edge>]) -> bool {
        let first = self.instants.first() == Some(&at);
        let mut changed = false;
        for (direction, weight) in self.directions.iter().zip(weights) {
            if first || direction.instants.contains(&at) {
                let next = direction.edge(at);
                changed |= next != *weight;
                *weight = next;
            }
        }
        changed
    }

    fn graph(&self, weights: &[Option<Edge>]) -> Graph {
        let mut graph = Graph::new(self.brands.len());
        for (direction, weight) in self.directions.iter().zip(weights) {
            if let Some(edge) = weight {
                graph.add(direction.from, direction.to, *edge);
            }
        }
        graph
    }

    fn edge_between(&self, from: usize, to: usize, weights: &[Option<Edge>]) -> Option<Edge> {
        let at = self.directions.binary_search_by_key(&(from, to), |direction| (direction.from, direction.to)).ok()?;
        weights[at]
    }

    fn legs<'b>(nodes: &'b [usize]) -> impl Iterator<Item = (usize, usize)> + 'b {
        nodes.iter().zip(nodes.iter().cycle().skip(1)).map(|(from, to)| (*from, *to))
    }

    fn name(&self, nodes: &[usize], weights: &[Option<Edge>], from: DateTime<Utc>, to: Option<DateTime<Utc>>) -> Loop {
        let legs = Timeline::legs(nodes).filter_map(|(from, to)| self.edge_between(from, to, weights));
        let product = legs.fold(BigRational::one(), |product, edge| product * edge.fraction());
        let first = nodes.iter().enumerate().min_by_key(|(_, node)| **node).map_or(0, |(at, _)| at);
        let brands = nodes[first..].iter().chain(&nodes[..first]).map(|node| self.brands[*node].clone()).collect();
        Loop { brands, product, from, to }
    }

    /// Whether a member could go round in time's order: some legs better before the change, then some better after.
    fn in_order(&self, nodes: &[usize], before: &[Option<Edge>], after: &[Option<Edge>]) -> bool {
        // Legs that did not change fit anywhere.
        let early = |(from, to)| {
            let (old, new) = (self.edge_between(from, to, before), self.edge_between(from, to, after));
            if old == new { None } else { Some(Edge::better(&old, &new) == old) }
        };
        let legs: Vec<bool> = Timeline::legs(nodes).filter_map(early).collect();
        legs.iter().zip(legs.iter().cycle().skip(1)).filter(|(a, b)| a != b).count() == 2
    }
}

impl Direction<'_> {
    /// The best of all earned tiers at `at`, with the bonuses that add up for that tier.
    fn edge(&self, at: DateTime<Utc>) -> Option<Edge> {
        let of = |tier: &Tier| {
            let rate = self.pair.rate(&tier.code, at)?;
            let bonus: i64 = self.pair.campaigns(&tier.code, at).iter().map(|c| c.bonus_basis_points).sum();
            Some(Edge::new(rate.ratio, bonus))
        };
        self.ladder.iter().map(of).fold(None, |best, edge| Edge::better(&best, &edge))
    }
}

impl Loop {
    /// What the loop gives above 1, in hundredths of a per cent, rounded up.
    pub fn excess_basis_points(&self) -> u64 {
        let excess = (&self.product - BigRational::one()) * BigInt::from(10_000);
        excess.ceil().to_integer().to_u64().unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Loop {
    /// `lumen → harvest → lumen gives 1.0450 for 1 (+4.50 %) from … to …`, rounded up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for brand in &self.brands {
            write!(f, "{brand} → ")?;
        }
        let first = self.brands.first().map_or("", Slug::as_str);
        let excess = self.excess_basis_points();
        let total = excess.saturating_add(10_000);
        let (whole, rest) = (total / 10_000, total % 10_000);
        write!(f, "{first} gives {whole}.{rest:04} for 1 (+{}.{:02} %)", excess / 100, excess % 100)?;
        write!(f, " from {}", self.from.format("%Y-%m-%dT%H:%M:%SZ"))?;
        match self.to {
            Some(to) => write!(f, " to {}", to.format("%Y-%m-%dT%H:%M:%SZ")),
            None => write!(f, " on"),
        }
    }
}

#[cfg(test)]
mod tests;
