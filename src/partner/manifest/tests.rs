//! The manifests of the house are right, and wrong ones are told where and why.

use super::*;
use crate::domain::points::Points;
use crate::domain::rate::{Ratio, TierScope};
use std::path::PathBuf;

fn folder(alliance: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("partners").join(alliance)
}

fn house(alliance: &str) -> Plan {
    read(&folder(alliance)).unwrap_or_else(|error| panic!("{error}"))
}

fn pair<'a>(plan: &'a Plan, from: &str, to: &str) -> &'a crate::domain::plan::PlannedPair {
    &plan.pairs[&(from.parse().expect("a slug"), to.parse().expect("a slug"))]
}

const ALLIANCE_TEXT: &str = r#"
[alliance]
slug = "pilot"
name = { en = "Pilot", zh = "试点" }
currency = "CNY"
zone = "Asia/Shanghai"
trust_domain = "pilot.example"
"#;

fn partner_text(slug: &str, rest: &str) -> String {
    format!(
        r#"[partner]
slug = "{slug}"
name = {{ en = "{slug}", zh = "品牌" }}
trade = "mall"
legal_entity = "{slug} Ltd."
tax_code = "T-{slug}"
[programme]
code = "{}"
name = {{ en = "Points", zh = "积分" }}
unit_cost = "0.01"
expiry_months = 12
tiers = [{{ code = "l1", name = {{ en = "One", zh = "一" }} }}]
{rest}"#,
        slug.to_uppercase()
    )
}

/// Checks a pilot alliance in which `left` says `rest`; lines are counted as in the file.
fn checked(rest: &str) -> Result<Plan, Error> {
    let alliance = Source::new("alliance.toml".into(), ALLIANCE_TEXT.into());
    let left = Source::new("pilot/left.toml".into(), partner_text("left", rest));
    let right = Source::new("pilot/right.toml".into(), partner_text("right", ""));
    check::plan(&alliance, &[left, right])
}

/// The one finding of `rest`, as a person reads it.
fn finding(rest: &str) -> String {
    match checked(rest) {
        Err(Error::Wrong(findings)) if findings.len() == 1 => findings[0].to_string(),
        other => panic!("one finding expected: {other:?}"),
    }
}

#[test]
fn the_demo_alliance_has_its_documented_figures() {
    let plan = house("lumen");
    assert_eq!((plan.partners.len(), plan.pairs.len()), (7, 42));
    let out = pair(&plan, "lumen", "harvest");
    let ratio = |tier: &TierScope| out.rates.iter().find(|rate| rate.tier == *tier).map(|rate| rate.figures.ratio);
    assert_eq!(ratio(&TierScope::Any), Ratio::new(50, 100));
    assert_eq!(ratio(&TierScope::Only("diamond".into())), Ratio::new(1, 1));
    assert_eq!(out.campaigns[0].figures.bonus_basis_points, 1_000);
    assert_eq!(pair(&plan, "harvest", "lumen").rates[0].figures.ratio, Ratio::new(9, 10).expect("a ratio"));
    let lumen = &plan.partners[&"lumen".parse().expect("a slug")].partner;
    assert_eq!(lumen.limits.out_day, Points::new(200));
}

#[test]
fn the_travel_table_agrees_with_the_one_typed_apart_from_it() {
    let plan = house("travel-2026");
    assert_eq!(plan.pairs.len(), 113);
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/travel-2026.csv");
    let mut rows = csv::Reader::from_path(table).expect("the typed table");
    let mut seen = 0;
    for row in rows.deserialize::<(String, String, String, i64, i64)>() {
        let (from, to, tier, debit, credit) = row.expect("five columns");
        let debit = Points::new(debit).expect("points");
        let rates = &pair(&plan, &from, &to).rates;
        let of = |scope: &TierScope| rates.iter().find(|rate| rate.tier == *scope);
        let rate = of(&TierScope::Only(tier)).or_else(|| of(&TierScope::Any)).expect("a rate for every row");
        assert_eq!(debit.get() % rate.figures.step.get(), 0, "{from} to {to}");
        assert_eq!(rate.figures.ratio.credit(debit), Points::new(credit), "{from} to {to}");
        seen += 1;
    }
    assert_eq!(seen, 117);
}

#[test]
fn an_inexact_step_is_told_with_its_place_and_the_cure() {
    let rest = "[[agreements]]\nto = \"right\"\n[[agreements.rates]]\ngive = 100\nget = 50\nstep = 3\n";
    assert_eq!(
        finding(rest),
        "pilot/left.toml:18: agreements[right].rates[*].step: steps of 3 are not exact at 100:50; write a multiple of \
         2 so that no part of a point is lost"
    );
}

#[test]
fn what_can_never_be_reached_is_refused() {
    let at = |line: &str| {
        finding(&format!("[[agreements]]\nto = \"right\"\n[[agreements.rates]]\ngive = 2\nget = 1\n{line}\n"))
    };
    assert!(at("minimum = 101").contains("rates[*].minimum: 101 is not a multiple of the step 2"));
    assert!(at("maximum = 0").contains("rates[*].maximum: 0 is not between 1"));
    assert!(at("tier = \"gold\"").contains("not a tier of left; write one of l1"));
    assert!(at("valid_from = 2026-02-01\nvalid_to = 2026-02-01").contains("not after valid_from"));
    assert!(at("valid_from = 2026-02-01T08:00:00").contains("with its offset"));
}

#[test]
fn two_rates_of_one_tier_at_one_time_are_refused() {
    let rate = |dates: &str| format!("[[agreements.rates]]\ngive = 2\nget = 1\n{dates}\n");
    let both = |a: &str, b: &str| format!("[[agreements]]\nto = \"right\"\n{}{}", rate(a), rate(b));
    assert!(finding(&both("", "valid_from = 2026-02-01")).contains("overlaps rate 1"));
    assert!(checked(&both("valid_to = 2026-02-01", "valid_from = 2026-02-01")).is_ok());
}

#[test]
fn unknown_missing_and_mistyped_fields_name_file_line_and_field() {
    let campaign = "[[agreements]]\nto = \"right\"\n[[agreements.campaigns]]\ncode = \"x\"\n";
    let unknown = finding("[member_limits]\nout_week = 3\n");
    assert!(unknown.starts_with("pilot/left.toml:14: member_limits.out_week: unknown field"), "{unknown}");
    let mistyped = finding("[member_limits]\nout_day = \"3\"\n");
    assert!(mistyped.starts_with("pilot/left.toml:14: member_limits.out_day: invalid type"), "{mistyped}");
    let missing = finding(campaign);
    assert!(missing.contains("agreements.campaigns.name: missing field"), "{missing}");
}

#[test]
fn every_fault_is_told_at_once() {
    let rest = "[member_limits]\nout_day = -1\nin_day = -1\n[[agreements]]\nto = \"nobody\"\n";
    match checked(rest) {
        Err(Error::Wrong(findings)) => assert_eq!(findings.len(), 3),
        other => panic!("three findings expected: {other:?}"),
    }
}

#[test]
fn a_date_is_its_first_moment_in_the_zone() {
    let rest = "[[agreements]]\nto = \"right\"\n[[agreements.rates]]\ngive = 2\nget = 1\nvalid_from = 2026-03-01\n";
    let plan = checked(rest).expect("a plan");
    let starts = pair(&plan, "left", "right").rates[0].starts.expect("dated");
    assert_eq!(starts.to_rfc3339(), "2026-02-28T16:00:00+00:00");
}
