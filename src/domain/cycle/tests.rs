//! The check against loops planted by hand and against every loop of small random graphs.

use super::*;
use crate::domain::catalogue::{
    Accounts, Alliance, Campaign, MemberLimits, Name, Operator, Partner, PartnerStatus, Party, Programme, Settlement,
};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::rate::{Rate, Ratio, TierScope};
use chrono::{Days, TimeZone};
use proptest::prelude::*;
use std::collections::HashMap;

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).single().expect("an instant")
}

fn day(number: u64) -> DateTime<Utc> {
    start() + Days::new(number)
}

fn brand(number: usize) -> Slug {
    format!("brand-{number:03}").parse().expect("a slug")
}

fn partner(slug: Slug) -> Partner {
    let tier = |code: &str| Tier { code: code.into(), name: Name::default(), never_expires: false };
    Partner {
        name: Name::default(),
        trade: "mall".into(),
        legal_entity: slug.to_string(),
        tax_code: slug.to_string(),
        status: PartnerStatus::Active,
        hosted: true,
        programme: Programme {
            code: slug.to_string(),
            name: Name::default(),
            scale: 0,
            unit_cost: Millionths::new(10_000),
            expiry_months: 12,
            tiers: vec![tier("ordinary"), tier("top")],
        },
        limits: MemberLimits::default(),
        exposure_limit: None,
        accounts: Accounts::standard(),
        slug,
    }
}

fn empty(brands: usize) -> Catalogue {
    Catalogue {
        version: 1,
        alliance: Alliance {
            slug: "pilot".into(),
            name: Name::default(),
            currency: "CNY".into(),
            zone: chrono_tz::UTC,
            trust_domain: "pilot.example".into(),
            sandbox_start: None,
            quote_ttl_s: 300,
            link_cooling_days: 0,
            bilateral: false,
            settlement: Settlement::default(),
            operator: Operator::named("Pilot"),
        },
        partners: (0..brands).map(|number| (brand(number), partner(brand(number)))).collect(),
        closed: Default::default(),
        pairs: HashMap::new(),
    }
}

/// A rate `num` for `den` from day `from` to day `to`.
fn rate(tier: TierScope, num: i64, den: i64, from: u64, to: Option<u64>) -> Rate {
    let ratio = Ratio::new(num, den).expect("a ratio");
    let step = Points::new(ratio.den()).expect("points");
    Rate {
        version: 1,
        tier,
        ratio,
        minimum: step,
        step,
        maximum: None,
        valid_from: day(from),
        valid_to: to.map(day),
        superseded_from: None,
        public: true,
    }
}

fn add(catalogue: &mut Catalogue, from: usize, to: usize, rate: Rate) {
    catalogue.pairs.entry((brand(from), brand(to))).or_default().rates.push(rate);
}

fn campaign(tier: TierScope, basis_points: i64, from: u64, to: u64) -> Campaign {
    Campaign {
        code: "bonus".into(),
        version: 1,
        name: Name::default(),
        tier,
        bonus_basis_points: basis_points,
        funder: Party::To,
        stacks: false,
        valid_from: day(from),
        valid_to: day(to),
        superseded_from: None,
    }
}

fn top() -> TierScope {
    TierScope::Only("top".into())
}

/// Three brands round which a point never grows, but for the top tier while a campaign runs.
fn planted() -> Catalogue {
    let mut catalogue = empty(3);
    add(&mut catalogue, 0, 1, rate(TierScope::Any, 1, 2, 0, None));
    add(&mut catalogue, 0, 1, rate(top(), 1, 1, 0, None));
    add(&mut catalogue, 1, 2, rate(TierScope::Any, 4, 5, 0, None));
    add(&mut catalogue, 2, 0, rate(TierScope::Any, 6, 5, 0, None));
    let pair = catalogue.pairs.get_mut(&(brand(0), brand(1))).expect("added");
    pair.campaigns.push(campaign(top(), 1_000, 10, 20));
    catalogue
}

#[test]
fn a_loop_that_opens_only_at_the_top_tier_during_one_campaign_is_found_and_named() {
    let report = check(&planted(), start());
    assert_eq!(report.loops.len(), 1);
    let found = &report.loops[0];
    assert_eq!(found.brands, [brand(0), brand(1), brand(2)]);
    assert_eq!((found.from, found.to), (day(10), Some(day(20))));
    assert_eq!(found.product, BigRational::new(1_056.into(), 1_000.into()));
    assert_eq!(
        found.to_string(),
        "brand-000 → brand-001 → brand-002 → brand-000 gives 1.0560 for 1 (+5.60 %) from 2026-01-11T00:00:00Z to \
         2026-01-21T00:00:00Z"
    );
    assert_eq!(check(&planted(), day(20)).loops, []);
    let mut ordinary = planted();
    ordinary.pairs.get_mut(&(brand(0), brand(1))).expect("there").rates.remove(1);
    assert_eq!(check(&ordinary, start()).loops, []);
}

#[test]
fn a_loop_of_exactly_one_passes_and_the_smallest_excess_does_not() {
    let n = 999_999_999;
    // n²/(n² − 1) is above 1 by 10^-18, and its inverse below by as much.
    for (out, back, loops) in [((n, n - 1), (n - 1, n), 0), ((n, n - 1), (n, n + 1), 1), ((n - 1, n), (n + 1, n), 0)] {
        let mut catalogue = empty(2);
        add(&mut catalogue, 0, 1, rate(TierScope::Any, out.0, out.1, 0, None));
        add(&mut catalogue, 1, 0, rate(TierScope::Any, back.0, back.1, 0, None));
        assert_eq!(check(&catalogue, start()).loops.len(), loops, "{out:?} {back:?}");
    }
}

#[test]
fn bonuses_count_together_only_when_both_say_so() {
    let with = |stacks: bool| {
        let mut catalogue = empty(2);
        add(&mut catalogue, 0, 1, rate(TierScope::Any, 1, 1, 0, None));
        add(&mut catalogue, 1, 0, rate(TierScope::Any, 100, 108, 0, None));
        let pair = catalogue.pairs.get_mut(&(brand(0), brand(1))).expect("added");
        for code in ["a", "b"] {
            pair.campaigns.push(Campaign { code: code.into(), stacks, ..campaign(TierScope::Any, 500, 0, 9) });
        }
        check(&catalogue, start()).loops.len()
    };
    assert_eq!((with(false), with(true)), (0, 1));
}

#[test]
fn a_gain_for_who_waits_is_a_warning() {
    let mut catalogue = empty(2);
    add(&mut catalogue, 0, 1, rate(TierScope::Any, 1, 1, 0, Some(30)));
    add(&mut catalogue, 0, 1, rate(TierScope::Any, 1, 2, 30, None));
    add(&mut catalogue, 1, 0, rate(TierScope::Any, 9, 10, 0, Some(30)));
    add(&mut catalogue, 1, 0, rate(TierScope::Any, 9, 5, 30, None));
    let report = check(&catalogue, start());
    assert_eq!(report.loops, []);
    assert_eq!(report.by_waiting.len(), 1);
    assert_eq!(report.by_waiting[0].product, BigRational::new(9.into(), 5.into()));
}

/// The best product over every simple loop, tried one by one.
fn brute(catalogue: &Catalogue, brands: usize, at: DateTime<Utc>) -> Option<BigRational> {
    let edge = |from: usize, to: usize| {
        let pair = catalogue.pairs.get(&(brand(from), brand(to)))?;
        let of = |tier: &str| {
            let rate = pair.rate(tier, at)?;
            let bonus: i64 = pair.campaigns(tier, at).iter().map(|campaign| campaign.bonus_basis_points).sum();
            let whole = BigRational::new(rate.ratio.num().into(), rate.ratio.den().into());
            Some(whole * BigRational::new((10_000 + bonus).into(), 10_000.into()))
        };
        of("ordinary").max(of("top"))
    };
    fn walk(
        edge: &dyn Fn(usize, usize) -> Option<BigRational>,
        brands: usize,
        path: &mut Vec<usize>,
        product: &BigRational,
        best: &mut Option<BigRational>,
    ) {
        let last = *path.last().expect("never empty");
        for next in path[0]..brands {
            let Some(step) = edge(last, next) else { continue };
            let reached = product * step;
            if next == path[0] {
                *best = best.take().max(Some(reached));
            } else if !path.contains(&next) {
                path.push(next);
                walk(edge, brands, path, &reached, best);
                path.pop();
            }
        }
    }
    let mut best = None;
    for first in 0..brands {
        walk(&edge, brands, &mut vec![first], &BigRational::one(), &mut best);
    }
    best
}

/// Rates near those of common prices, so that many loops are at 1 or a hair from it.
fn graphs() -> impl Strategy<Value = (usize, Catalogue)> {
    let prices = [1_i64, 2, 3, 5, 7, 10];
    let direction = (0..5_usize, 0..5_usize, 0..8_i64, 0..4_i64, any::<bool>());
    proptest::collection::vec(direction, 1..16).prop_map(move |directions| {
        let mut catalogue = empty(5);
        for (from, to, nudge, bonus, tiered) in directions {
            if from == to || catalogue.pairs.contains_key(&(brand(from), brand(to))) {
                continue;
            }
            // Mostly exactly the price ratio, sometimes less, rarely more.
            let thousandths =
                [1_000, 1_000, 1_000, 999, 990, 900, 1_000, 1_001][usize::try_from(nudge).expect("0 to 7")];
            let (num, den) = (prices[from] * thousandths, prices[to] * 1_000);
            let tier = if tiered { top() } else { TierScope::Any };
            add(&mut catalogue, from, to, rate(tier.clone(), num, den, 0, None));
            if bonus == 3 {
                let pair = catalogue.pairs.get_mut(&(brand(from), brand(to))).expect("added");
                pair.campaigns.push(campaign(tier, 10, 0, 5));
            }
        }
        (5, catalogue)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_check_agrees_with_trying_every_loop((brands, catalogue) in graphs()) {
        let one = BigRational::one();
        let report = check(&catalogue, start());
        let during = brute(&catalogue, brands, start()).is_some_and(|best| best > one);
        let after = brute(&catalogue, brands, day(5)).is_some_and(|best| best > one);
        prop_assert_eq!(!report.loops.is_empty(), during || after);
        for found in &report.loops {
            prop_assert!(found.product > one);
        }
    }
}

/// Three hundred brands, ten thousand directions, fifty intervals; `close` puts every loop at exactly 1.
fn large(close: bool) -> Catalogue {
    let brands = 300;
    let mut catalogue = empty(brands);
    let price = |brand: usize| 1 + i64::try_from(brand * 37 % 101).expect("small");
    let mut place = 1_usize;
    while catalogue.pairs.len() < 10_000 {
        // A full-period walk over the pairs: no chance, no repeats for long.
        place = (place * 48_271) % 2_147_483_647;
        let (from, to) = (place % brands, place / brands % brands);
        if from == to || catalogue.pairs.contains_key(&(brand(from), brand(to))) {
            continue;
        }
        let number = catalogue.pairs.len() + 1;
        let (num, den) = if close { (price(from), price(to)) } else { (price(from) * 97, price(to) * 100) };
        if !number.is_multiple_of(400) {
            add(&mut catalogue, from, to, rate(TierScope::Any, num, den, 0, None));
            add(&mut catalogue, from, to, rate(top(), num * 100, den * 101, 0, None));
            continue;
        }
        // Lower for two days, so that every interval is another graph.
        let dip = u64::try_from(number / 400 * 3).expect("small");
        add(&mut catalogue, from, to, rate(TierScope::Any, num, den, 0, Some(dip)));
        add(&mut catalogue, from, to, rate(TierScope::Any, num * 9, den * 10, dip, Some(dip + 2)));
        add(&mut catalogue, from, to, rate(TierScope::Any, num, den, dip + 2, None));
    }
    catalogue
}

#[test]
fn three_hundred_brands_take_seconds() {
    for close in [false, true] {
        let catalogue = large(close);
        let began = std::time::Instant::now();
        let report = check(&catalogue, start());
        assert_eq!((report.intervals, report.directions), (51, 10_000));
        assert_eq!(report.loops, []);
        // Unoptimised code is allowed its slowness; the bound is for a release build.
        let bound = if cfg!(debug_assertions) { 60 } else { 10 };
        assert!(began.elapsed().as_secs() < bound, "{:?}", began.elapsed());
    }
}
