//! Between which brands the load runs: the demo alliance's, each with the tier its members are registered in.

use std::fmt;

/// Points of every conversion: a multiple of each step in the alliance, so that no pair leaves a remainder.
pub const POINTS: i64 = 60;
/// Directed pairs of the scenario `pairs`.
pub const SPREAD: usize = 25;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brand {
    pub slug: &'static str,
    /// The lowest rung of its ladder.
    pub tier: &'static str,
    /// It limits what a member may convert in a day: a load would measure refusals.
    limited: bool,
}

/// A direction of conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub from: Brand,
    pub to: Brand,
}

const BRANDS: [Brand; 7] = [
    brand("lumen", "ordinary", true),
    brand("sprout", "l1", false),
    brand("velvet", "l1", false),
    brand("nest", "l1", false),
    brand("harvest", "l1", false),
    brand("cinenova", "ordinary", false),
    brand("kettle", "ordinary", false),
];

/// The two that keep their own ledgers.
pub const REMOTE: Pair = Pair { from: BRANDS[1], to: BRANDS[3] };

const fn brand(slug: &'static str, tier: &'static str, limited: bool) -> Brand {
    Brand { slug, tier, limited }
}

/// The first `count` directions, origins and targets taken in turn.
pub fn spread(count: usize) -> Vec<Pair> {
    let to = |at: usize| BRANDS[at % BRANDS.len()];
    let of_round = |round: usize| {
        let pair = move |(at, from): (usize, Brand)| Pair { from, to: to(at + round) };
        BRANDS.into_iter().enumerate().map(pair).filter(|pair| !pair.from.limited)
    };
    (1..BRANDS.len()).flat_map(of_round).take(count).collect()
}

/// The pair written `from:to`.
pub fn parse(text: &str) -> Result<Pair, String> {
    let find = |slug: &str| BRANDS.into_iter().find(|brand| brand.slug == slug);
    let pair = text.split_once(':').and_then(|(from, to)| Some(Pair { from: find(from)?, to: find(to)? }));
    let slugs = BRANDS.map(|brand| brand.slug).join(", ");
    let pair = pair.ok_or_else(|| format!("write from:to, two of {slugs}"))?;
    if pair.from.limited {
        return Err(format!("{} limits what its members convert in a day", pair.from.slug));
    }
    if pair.from == pair.to { Err("these are one brand".to_owned()) } else { Ok(pair) }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.from.slug, self.to.slug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_spread_has_distinct_pairs_of_unlimited_origins_and_reaches_every_brand() {
        let pairs = spread(SPREAD);
        assert_eq!(pairs.len(), SPREAD);
        let distinct: std::collections::BTreeSet<String> = pairs.iter().map(Pair::to_string).collect();
        assert_eq!(distinct.len(), SPREAD);
        assert!(pairs.iter().all(|pair| !pair.from.limited && pair.from != pair.to));
        let mut targets = BTreeMap::new();
        pairs.iter().for_each(|pair| *targets.entry(pair.to.slug).or_insert(0) += 1);
        assert_eq!(targets.len(), BRANDS.len(), "{targets:?}");
        assert!(targets.values().all(|times| (3..=5).contains(times)), "{targets:?}");
        assert_eq!(spread(1_000).len(), 36, "six origins, six targets each, and no more");
    }

    #[test]
    fn a_pair_is_named_by_two_brands_of_which_the_first_is_unlimited() {
        let pair = parse("kettle:harvest").expect("a pair");
        assert_eq!((pair.from.tier, pair.to.tier, pair.to_string().as_str()), ("ordinary", "l1", "kettle:harvest"));
        for wrong in ["", "kettle", "kettle:", "kettle:tea", "kettle:kettle", "lumen:kettle"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
