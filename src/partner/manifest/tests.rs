//! The manifests of the house are right, and wrong ones are told where and why.

use super::*;
use crate::domain::catalogue::{Accounts, Cycle, Netting, Operator, Rounding, Settlement};
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

/// Checks a pilot alliance that says `rest` of itself.
fn checked_alliance(rest: &str) -> Result<Plan, Error> {
    let alliance = Source::new("pilot/alliance.toml".into(), format!("{ALLIANCE_TEXT}{rest}"));
    check::plan(&alliance, &[])
}

/// The one finding of `rest`, as a person reads it.
fn finding(rest: &str) -> String {
    only(checked(rest))
}

fn only(checked: Result<Plan, Error>) -> String {
    match checked {
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
    assert_eq!(lumen.limits.out_day, Points::new(3_200));
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

#[test]
fn settlement_operator_and_accounts_have_built_in_values() {
    let plan = checked("").expect("a plan");
    assert_eq!(plan.alliance.settlement, Settlement::default());
    let Settlement { cycle, netting, rounding, cut_off_days, draft_days, dispute_days, due_days } =
        Settlement::default();
    assert_eq!((cycle, netting, rounding), (Cycle::Monthly, Netting::Multilateral, Rounding::HalfUp));
    assert_eq!([cut_off_days, draft_days, dispute_days, due_days], [1, 3, 8, 10]);
    let operator = &plan.alliance.operator;
    assert_eq!(*operator, Operator::named("Pilot"));
    assert_eq!((operator.tax_code.as_str(), operator.fee_tax_basis_points), ("", 0));
    let left = &plan.partners[&"left".parse().expect("a slug")].partner;
    assert_eq!(left.accounts, Accounts::standard());
    let codes = ["1122", "2202", "6601.01", "6051.01", "6601.02", "6051.02", "6601.03", "2221.01", "6711"];
    assert_eq!(left.accounts.each().map(|(_, code)| code), codes);
    assert_eq!(operator.accounts, Accounts { fee: "6001.01".into(), ..left.accounts.clone() });
}

#[test]
fn settlement_operator_and_accounts_are_read_as_they_are_written() {
    let plan = checked_alliance(
        "[settlement]\ncycle = \"weekly\"\nnetting = \"bilateral\"\nrounding = \"half_even\"\n\
         cut_off_days = 0\ndraft_days = 2\ndispute_days = 2\ndue_days = 0\n\
         [operator]\nlegal_entity = \"Pilot Ltd.\"\ntax_code = \"91310000MA1FL0XX00\"\nfee_tax_percent = \"6.25\"\n\
         [operator.accounts]\nfee = \"6001 02\"\n",
    );
    let alliance = plan.expect("a plan").alliance;
    let settlement = Settlement {
        cycle: Cycle::Weekly,
        netting: Netting::Bilateral,
        rounding: Rounding::HalfEven,
        cut_off_days: 0,
        draft_days: 2,
        dispute_days: 2,
        due_days: 0,
    };
    assert_eq!(alliance.settlement, settlement);
    let operator = Operator {
        legal_entity: "Pilot Ltd.".into(),
        tax_code: "91310000MA1FL0XX00".into(),
        fee_tax_basis_points: 625,
        accounts: Accounts { fee: "6001 02".into(), ..Accounts::of_operator() },
    };
    assert_eq!(alliance.operator, operator);

    let codes: Vec<String> =
        Accounts::standard().each().iter().map(|(name, _)| format!("{name} = \"{name}\"\n")).collect();
    let plan = checked(&format!("[accounts]\n{}", codes.concat())).expect("a plan");
    let accounts = &plan.partners[&"left".parse().expect("a slug")].partner.accounts;
    assert!(accounts.each().iter().all(|(name, code)| name == code), "{accounts:?}");
}

#[test]
fn a_fault_of_the_settlement_is_told_with_its_place_and_the_cure() {
    let at = |table: &str, line: &str| only(checked_alliance(&format!("[{table}]\n{line}\n")));
    let settlement = |line: &str| at("settlement", line);
    let place = "pilot/alliance.toml:9: settlement.";
    for (line, told) in [
        ("cycle = \"yearly\"", "cycle: write \"daily\", \"weekly\" or \"monthly\""),
        ("netting = \"Bilateral\"", "netting: write \"multilateral\" or \"bilateral\""),
        ("rounding = \"half-up\"", "rounding: write \"half_up\" or \"half_even\""),
        ("cut_off_days = -1", "cut_off_days: -1 is not between 0 and 28"),
        ("dispute_days = 29", "dispute_days: 29 is not between 0 and 28"),
        ("draft_days = 0", "draft_days: 0 is before cut_off_days, which is 1; write 1 or more"),
        ("due_days = 0", "due_days: 0 is before cut_off_days, which is 1; write 1 or more"),
        ("dispute_days = 2", "dispute_days: 2 is before draft_days, which is 3; write 3 or more"),
        (
            "cut_off_days = 4",
            "cut_off_days: 4 is after draft_days, which is 3 if left out; write 3 or less, or draft_days too",
        ),
        ("day = 3", "day: unknown field `day`, expected one of"),
        ("due_days = \"10\"", "due_days: invalid type: string \"10\", expected i64"),
    ] {
        let found = settlement(line);
        assert!(found.starts_with(&format!("{place}{told}")), "{found}");
    }
    assert!(checked_alliance("[settlement]\ncut_off_days = 9\ndraft_days = 9\ndispute_days = 9\n").is_ok());
}

#[test]
fn a_fault_of_the_operator_or_of_an_account_is_told_with_its_place_and_the_cure() {
    let operator = |line: &str| only(checked_alliance(&format!("[operator]\n{line}\n")));
    let told = |found: String, wanted: &str| assert!(found.starts_with(wanted), "{found}");
    told(operator("legal_entity = \" \""), "pilot/alliance.toml:9: operator.legal_entity: write 1 to 128");
    // It is empty only where it is left out.
    told(operator("tax_code = \"\""), "pilot/alliance.toml:9: operator.tax_code: write 1 to 64");
    for tax in ["100.01", "6.125", "-1", "6 %"] {
        let wanted = "pilot/alliance.toml:9: operator.fee_tax_percent: write per cents between \"0.00\" and \"100.00\"";
        told(operator(&format!("fee_tax_percent = \"{tax}\"")), wanted);
    }
    let own = |line: &str| finding(&format!("[accounts]\n{line}\n"));
    for code in ["", " 1122", "1122 ", "应收", "1\\t2", &"1".repeat(33)] {
        let wanted = "pilot/left.toml:14: accounts.payable: write an account's code: 1 to 32 printable ASCII";
        told(own(&format!("payable = \"{code}\"")), wanted);
        let wanted = "pilot/alliance.toml:10: operator.accounts.tax: write an account's code";
        told(operator(&format!("[operator.accounts]\ntax = \"{code}\"")), wanted);
    }
    told(own("fees = \"1\""), "pilot/left.toml:14: accounts.fees: unknown field `fees`, expected one of `receivable`");
    told(
        operator("[operator.accounts]\nfees = \"1\""),
        "pilot/alliance.toml:10: operator.accounts.fees: unknown field",
    );
}

#[test]
fn no_partner_is_called_operator_or_alliance() {
    let alliance = Source::new("pilot/alliance.toml".into(), ALLIANCE_TEXT.into());
    for (slug, names) in [
        ("operator", "the operator in settlement lines and answers"),
        ("alliance", "the alliance's settlement account in what is owed"),
    ] {
        let text = partner_text(slug, "").replace(&slug.to_uppercase(), "OPS");
        let found = only(check::plan(&alliance, &[Source::new(format!("pilot/{slug}.toml"), text)]));
        let wanted = format!("pilot/{slug}.toml:2: partner.slug: `{slug}` names {names}; choose another slug");
        assert_eq!(found, wanted);
    }
}
