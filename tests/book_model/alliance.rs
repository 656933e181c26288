//! A small alliance with every kind of term, and how what is published changes while members go on.

use super::chance::Chance;
use super::terms_of;
use chrono::{DateTime, TimeDelta, Utc};
use hanse::book::exposures::ExposureKey;
use hanse::domain::catalogue::{
    Accounts, Agreement, Alliance, Campaign, Catalogue, MemberLimits, Name, Operator, Pair, Partner, PartnerStatus,
    Party, Programme, Settlement, Tier,
};
use hanse::domain::ids::Slug;
use hanse::domain::money::Millionths;
use hanse::domain::points::Points;
use hanse::domain::rate::{Rate, Ratio, TierScope};
use std::collections::{BTreeMap, HashMap};

/// Slug, months points live, tiers (the last one of some never expires).
const BRANDS: [(&str, u32, &[&str]); 5] = [
    ("amber", 12, &["plain", "silver", "never"]),
    ("birch", 6, &["plain", "never"]),
    ("coral", 3, &["plain"]),
    ("dune", 1, &["plain", "gold"]),
    ("elm", 24, &["plain", "silver", "gold", "never"]),
];

pub fn slugs() -> Vec<Slug> {
    BRANDS.iter().map(|(slug, ..)| slug.parse().expect("a slug")).collect()
}

pub fn points(value: i64) -> Points {
    Points::new(value).expect("in range")
}

pub fn found(chance: &mut Chance, at: DateTime<Utc>) -> Catalogue {
    let partners: BTreeMap<Slug, Partner> = BRANDS.iter().map(|brand| partner(chance, *brand)).collect();
    let alliance = Alliance {
        slug: "model".to_owned(),
        name: Name::default(),
        currency: "CNY".to_owned(),
        zone: chrono_tz::Asia::Shanghai,
        trust_domain: "model.test".to_owned(),
        sandbox_start: None,
        quote_ttl_s: 300,
        link_cooling_days: 0,
        bilateral: chance.percent(20),
        settlement: Settlement::default(),
        operator: Operator::named("Model"),
    };
    let mut catalogue = Catalogue { version: 1, alliance, partners, closed: Default::default(), pairs: HashMap::new() };
    let slugs = slugs();
    for from in &slugs {
        for to in slugs.iter().filter(|to| *to != from) {
            // Two directions have never been agreed on.
            if (from.as_str(), to.as_str()) == ("dune", "coral") || (from.as_str(), to.as_str()) == ("coral", "elm") {
                continue;
            }
            let mut pair = Pair::default();
            agree(chance, &mut pair, at);
            reprice(chance, &mut pair, from, at);
            for _ in 0..3 {
                campaign(chance, &mut pair, from, at);
            }
            catalogue.pairs.insert((from.clone(), to.clone()), pair);
        }
    }
    catalogue
}

fn partner(chance: &mut Chance, (slug, expiry_months, tiers): (&str, u32, &[&str])) -> (Slug, Partner) {
    let tier = |code: &&str| Tier { code: (*code).to_owned(), name: Name::default(), never_expires: *code == "never" };
    let programme = Programme {
        code: slug.to_owned(),
        name: Name::default(),
        scale: 0,
        unit_cost: Millionths::new(40_000),
        expiry_months,
        tiers: tiers.iter().map(tier).collect(),
    };
    let slug: Slug = slug.parse().expect("a slug");
    let partner = Partner {
        slug: slug.clone(),
        name: Name::default(),
        trade: "mall".to_owned(),
        legal_entity: format!("{slug} Ltd"),
        tax_code: "1".to_owned(),
        status: PartnerStatus::Active,
        hosted: true,
        programme,
        limits: limits(chance),
        exposure_limit: net_limit(chance),
        accounts: Accounts::standard(),
    };
    (slug, partner)
}

fn limits(chance: &mut Chance) -> MemberLimits {
    let mut cap = |low, high| if chance.percent(75) { Some(points(chance.between(low, high))) } else { None };
    MemberLimits {
        out_day: cap(150, 900),
        out_month: cap(500, 4_000),
        in_day: cap(150, 1_200),
        in_month: cap(500, 5_000),
    }
}

fn net_limit(chance: &mut Chance) -> Option<Millionths> {
    chance.percent(60).then(|| Millionths::new(chance.between(60_000_000, 600_000_000)))
}

fn party(chance: &mut Chance) -> Party {
    chance.pick(&[Party::From, Party::To, Party::Operator])
}

/// A new version of the agreement, from now on.
fn agree(chance: &mut Chance, pair: &mut Pair, at: DateTime<Utc>) {
    let version = pair.agreements.last().map_or(1, |last| last.version + 1);
    if let Some(last) = pair.agreements.last_mut() {
        last.superseded_from = Some(at);
    }
    let price = chance.pick(&[50_000, 10_000, 12_345, 100_000, 3]);
    let cap =
        chance.percent(75).then(|| Millionths::new(price * chance.between(300, 6_000) + chance.between(0, price)));
    pair.agreements.push(Agreement {
        version,
        settlement_price: Millionths::new(price),
        fee_basis_points: chance.pick(&[0, 33, 100, 250]),
        fee_payer: party(chance),
        notice_days: 14,
        undo_s: chance.pick(&[900, 900, 60, 7_200, 172_800]),
        renews_on_arrival: chance.percent(20),
        exposure_limit: cap,
        reversal_needs_confirmation: chance.percent(40),
        target_pays_spent: chance.percent(35),
        grace_days: chance.pick(&[30, 30, 0, 75]),
        dispute_days: 30,
        valid_from: at,
        superseded_from: None,
    });
    let many = pair.agreements.len().saturating_sub(4);
    pair.agreements.drain(..many);
}

/// New rates, from now on: one for any tier and perhaps one for a tier of its own; sometimes they end.
fn reprice(chance: &mut Chance, pair: &mut Pair, from: &Slug, at: DateTime<Utc>) {
    let version = pair.rates.last().map_or(1, |last| last.version + 1);
    for rate in pair.rates.iter_mut().filter(|rate| rate.superseded_from.is_none()) {
        rate.superseded_from = Some(at.max(rate.valid_from));
    }
    pair.rates.retain(|rate| rate.superseded_from.is_none_or(|end| end + TimeDelta::days(1) > at));
    let mut scopes = vec![TierScope::Any];
    if chance.percent(60) {
        scopes.push(TierScope::Only(chance.pick(tiers_of(from)).to_owned()));
    }
    for scope in scopes {
        let (num, den) = chance.pick(&[(1, 2), (1, 1), (2, 1), (3, 2), (10, 9), (2, 5), (9, 10), (50, 100)]);
        let ratio = Ratio::new(num, den).expect("positive");
        let step = points(ratio.den() * chance.pick(&[1, 1, 2, 5]));
        pair.rates.push(Rate {
            version,
            tier: scope,
            ratio,
            minimum: points(chance.between(0, 40)),
            step,
            maximum: chance.percent(90).then(|| points(chance.between(120, 2_500))),
            valid_from: if chance.percent(95) { at } else { at + TimeDelta::hours(5) },
            valid_to: chance.percent(10).then(|| at + TimeDelta::days(chance.between(1, 90))),
            superseded_from: None,
            public: true,
        });
    }
}

fn tiers_of(slug: &Slug) -> &'static [&'static str] {
    BRANDS.iter().find(|(known, ..)| *known == slug.as_str()).map(|(.., tiers)| *tiers).expect("one of ours")
}

fn campaign(chance: &mut Chance, pair: &mut Pair, from: &Slug, at: DateTime<Utc>) {
    pair.campaigns.retain(|campaign| campaign.is_live(at) || campaign.valid_from > at);
    if pair.campaigns.len() >= 4 {
        let at_random = chance.below(4);
        pair.campaigns[at_random].superseded_from = Some(at);
    }
    let version = pair.campaigns.last().map_or(1, |last| last.version + 1);
    let starts = at + TimeDelta::hours(chance.between(0, 30) * i64::from(chance.percent(30)));
    pair.campaigns.push(Campaign {
        code: format!("{}-{version}", chance.pick(&["spring", "summer", "autumn"])),
        version,
        name: Name::default(),
        tier: if chance.percent(70) { TierScope::Any } else { TierScope::Only(chance.pick(tiers_of(from)).to_owned()) },
        bonus_basis_points: chance.pick(&[1_000, 333, 1_250, 500, 2_000, 7]),
        funder: party(chance),
        stacks: chance.percent(50),
        valid_from: starts,
        valid_to: starts + TimeDelta::days(chance.between(1, 200)),
        superseded_from: None,
    });
}

/// Something new is published.
pub fn change(chance: &mut Chance, catalogue: &mut Catalogue, at: DateTime<Utc>) {
    catalogue.version += 1;
    let slugs = slugs();
    let (from, to) = (chance.pick(&slugs), chance.pick(&slugs));
    match chance.below(10) {
        0 => {
            let partner = catalogue.partners.get_mut(&from).expect("one of ours");
            partner.status = chance.pick(&[
                PartnerStatus::Suspended,
                PartnerStatus::Leaving,
                PartnerStatus::Joining,
                PartnerStatus::Left,
            ]);
        }
        1 => catalogue.partners.get_mut(&from).expect("one of ours").limits = limits(chance),
        2 => catalogue.partners.get_mut(&from).expect("one of ours").exposure_limit = net_limit(chance),
        3 => catalogue.alliance.link_cooling_days = chance.pick(&[0, 0, 1, 7]),
        4 => catalogue.alliance.bilateral = !catalogue.alliance.bilateral && chance.percent(30),
        part => {
            if let Some(pair) = catalogue.pairs.get_mut(&(from.clone(), to)) {
                match part {
                    5 => agree(chance, pair, at),
                    6 | 7 => reprice(chance, pair, &from, at),
                    _ => campaign(chance, pair, &from, at),
                }
            }
        }
    }
    // What was suspended or has ended comes back sooner or later.
    for slug in slugs.iter().filter(|slug| **slug != from) {
        if chance.percent(50) {
            catalogue.partners.get_mut(slug).expect("one of ours").status = PartnerStatus::Active;
        }
    }
    let mut ended: Vec<_> = catalogue.pairs.iter_mut().filter(|(_, pair)| pair.rate("plain", at).is_none()).collect();
    ended.sort_by_key(|(direction, _)| (*direction).clone());
    for ((from, _), pair) in ended {
        if chance.percent(30) {
            reprice(chance, pair, from, at);
        }
    }
}

/// The stop lines in force.
pub fn caps(catalogue: &Catalogue, at: DateTime<Utc>) -> Vec<(ExposureKey, Option<Millionths>)> {
    let partners = catalogue.partners.values();
    let mut caps: Vec<_> =
        partners.map(|partner| (ExposureKey::Partner(partner.slug.clone()), partner.exposure_limit)).collect();
    for (from, to) in catalogue.pairs.keys() {
        let cap = terms_of::agreement(catalogue, from, to, at).and_then(|agreement| agreement.exposure_limit);
        caps.push((ExposureKey::Pair(from.clone(), to.clone()), cap));
    }
    caps
}
