//! The alliance in figures: what was posted is counted once, shown to whom it concerns, and held against its bounds.

use super::benefits::{changed, text, ticket, tier, till};
use super::{Api, Expect};
use crate::cli::{hanse, run};
use crate::support::book::findings;
use diesel::connection::SimpleConnection;
use hanse::book::figures::count;
use hanse::book::seal;
use hanse::domain::kpi::{Bounds, Kpi};
use hanse::domain::staff::Role;
use hanse::service::figures::{self, Board, Brand, Counting};
use hanse::store::catalogue;
use serde_json::json;
use std::sync::Barrier;

impl Api {
    /// Thirty days up to today, counted.
    fn board(&self, whose: Option<&str>) -> Board {
        self.count();
        let mut conn = self.connection();
        let catalogue = catalogue::load(&mut conn).expect("a catalogue");
        let whose = whose.map(|slug| slug.parse().expect("a slug"));
        figures::board(&mut conn, &catalogue, whose.as_ref(), None, 30).expect("a board")
    }

    fn convert(&self, key: &str, points: i64) -> serde_json::Value {
        let body = json!({ "member_ref": "A-1", "to": "bb", "points": points, "external_reference": key });
        self.aa.post("/v1/conversions", key, &body).status(201)
    }

    fn undo(&self, conversion: &serde_json::Value) {
        let path = format!("/v1/conversions/{}/undo", text(conversion, "conversion_id"));
        self.aa.post(&path, &format!("undo-{path}"), &json!({})).status(200);
    }
}

fn of<'a>(board: &'a Board, slug: &str) -> &'a Brand {
    board.brands.iter().find(|brand| brand.slug.as_str() == slug).expect("a brand")
}

fn value(board: &Board, slug: &str, kpi: Kpi) -> Option<i64> {
    of(board, slug).figures.iter().find(|figure| figure.kpi == kpi).expect("a figure").value
}

#[test]
fn what_was_posted_is_counted_once_whoever_counts() {
    let api = Api::new("figures-once", "");
    api.linked();
    api.convert("k1", 100);
    let second = api.convert("k2", 20);
    seal::seal_now(&mut api.connection()).expect("sealed");
    let together = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut conn = api.connection();
                together.wait();
                for _ in 0..3 {
                    count(&mut conn).expect("counted");
                }
            });
        }
    });
    let board = api.board(None);
    let aa = of(&board, "aa");
    let (opening, sum) = (aa.points.opening, aa.points.sum());
    assert_eq!((opening, sum.issued, sum.converted_out, aa.points.closing()), (0, 237, -120, 117));
    assert_eq!((aa.conversions.iter().sum::<i64>(), aa.conversions.last()), (2, Some(&2)));
    assert_eq!(value(&board, "aa", Kpi::UsageRate), Some(10_000), "one of one linked member");
    // 117 points that cost 0.05 each.
    assert_eq!(value(&board, "aa", Kpi::Liability), Some(5_850_000));
    assert_eq!(value(&board, "aa", Kpi::BurnRatio), Some(5_063));
    let [pair] = board.pairs.as_slice() else { panic!("{:?}", board.pairs) };
    // 60 points at 0.05, bonuses apart.
    assert_eq!((pair.conversions, pair.debit, pair.credit, pair.value), (2, 120, 60, 3_000_000));
    // What is undone is told apart, and its member has not used the exchange by it.
    api.undo(&second);
    let board = api.board(None);
    assert_eq!((board.pairs[0].taken_back, board.pairs[0].value_back, board.pairs[0].conversions), (1, 500_000, 2));
    assert_eq!((value(&board, "aa", Kpi::TakenBack), value(&board, "aa", Kpi::UsageRate)), (Some(5_000), Some(10_000)));
    assert_eq!((value(&board, "aa", Kpi::Completion), value(&board, "aa", Kpi::TimeToPost)), (Some(10_000), None));
    assert_eq!(of(&board, "aa").points.closing(), 137);
    assert_eq!(board.uncounted, 0);
}

#[test]
fn who_has_undone_everything_has_not_used_the_exchange() {
    let api = Api::new("figures-undone", "");
    api.linked();
    let only = api.convert("k1", 100);
    assert_eq!(value(&api.board(None), "aa", Kpi::UsageRate), Some(10_000));
    api.undo(&only);
    assert_eq!(value(&api.board(None), "aa", Kpi::UsageRate), Some(0));
}

#[test]
fn a_benefit_counts_when_it_is_used_and_not_when_it_is_taken_back() {
    let api = Api::new("figures-benefits", "");
    tier(&api.aa, "A-1", "top");
    let id = api.offer("family-park", &ticket());
    let codes: Vec<String> = ["k1", "k2"].map(|key| text(&api.claim(&id, "A-1", key), "code")).to_vec();
    let board = api.board(None);
    assert_eq!((value(&board, "bb", Kpi::BenefitUses), board.benefits.len()), (Some(0), 0), "claimed is not used");
    let used = till(&api.bb, &codes[0], "t1", json!({})).status(201);
    till(&api.bb, &codes[1], "t2", json!({})).status(201);
    let back = format!("/v1/redemptions/{}/reversals", text(&used, "redemption_id"));
    api.bb.post(&back, "r1", &json!({ "reason": "the wrong one" })).status(201);
    let board = api.board(None);
    assert_eq!(value(&board, "bb", Kpi::BenefitUses), Some(1));
    assert_eq!(value(&board, "bb", Kpi::BenefitCost), Some(80_000_000));
    let [row] = board.benefits.as_slice() else { panic!("{:?}", board.benefits) };
    assert_eq!((row.redeemed, row.taken_back, row.cost), (2, 1, 80_000_000));
    assert_eq!((row.code.as_str(), row.brand.as_str(), row.giver.as_str()), ("family-park", "aa", "bb"));
    // Seen by who gives and whose member it is, by nobody else.
    assert_eq!(["aa", "bb", "cc"].map(|slug| api.board(Some(slug)).benefits.len()), [1, 1, 0]);
}

#[test]
fn what_members_spend_is_kept_by_month_and_goes_with_them() {
    let api = Api::new("figures-spending", "");
    api.linked();
    for member in ["A-2", "A-3"] {
        api.aa.register(member);
    }
    let business = catalogue::business_now(&mut api.connection()).expect("a time");
    let buy = |member: &str, days_ago: i64, amount: &str, reference: &str| {
        let at = business - chrono::TimeDelta::days(days_ago);
        let body = json!({ "type": "purchase", "occurred_at": at, "amount": amount, "currency": "CNY", "external_reference": reference });
        api.aa.post(&format!("/v1/memberships/{member}/activities"), "", &body).status(201);
    };
    let day = i64::from(chrono::Datelike::day(&business.with_timezone(&chrono_tz::Asia::Shanghai)));
    // In the month before: two members, of whom one comes again, twice.
    for (member, reference) in [("A-1", "b1"), ("A-2", "b2")] {
        buy(member, day + 5, "10.00", reference);
    }
    for (member, amount, reference) in [("A-1", "30.00", "n1"), ("A-1", "45.00", "n2"), ("A-3", "25.00", "n3")] {
        buy(member, 0, amount, reference);
    }
    buy("A-1", 0, "30.00", "n1-dollars");
    let board = api.board(None);
    assert_eq!(value(&board, "aa", Kpi::Retention), Some(5_000), "one of two came again");
    assert_eq!(value(&board, "aa", Kpi::Repurchase), Some(5_000), "one of two bought twice");
    // A-1 alone is linked: 105 of 130.
    assert_eq!(value(&board, "aa", Kpi::RevenueShare), Some(8_076));
    assert_eq!(value(&board, "bb", Kpi::Retention), None, "who sends nothing has no figure");
    api.aa.post("/v1/memberships/A-1/erasures", "", &json!({})).status(201);
    let board = api.board(None);
    assert_eq!((value(&board, "aa", Kpi::Retention), value(&board, "aa", Kpi::Repurchase)), (Some(0), Some(0)));
}

#[test]
fn a_flow_that_strays_from_its_mean_is_noticed() {
    let api = Api::new("figures-flow", "");
    api.linked();
    for nth in 0..20 {
        api.convert(&format!("b{nth}"), 2);
    }
    api.advance("24 hours");
    for nth in 0..20 {
        api.convert(&format!("n{nth}"), 2);
    }
    // As much as the day before, which was all of the 28 days before: 28 times their mean.
    let board = api.board(None);
    assert_eq!(["aa", "bb"].map(|slug| value(&board, slug, Kpi::Flow)), [Some(2_800); 2]);
    let crossed = Counting::new(&api.url()).crossed().expect("judged");
    assert_eq!(crossed.iter().map(|(_, kpi)| *kpi).collect::<Vec<_>>(), [Kpi::Flow; 2]);
}

#[test]
fn figures_that_are_not_the_journals_are_found() {
    let api = Api::new("figures-audit", "");
    api.linked();
    api.convert("k1", 100);
    let taken_back = api.convert("k2", 20);
    api.undo(&taken_back);
    tier(&api.aa, "A-1", "top");
    let id = api.offer("family-park", &ticket());
    till(&api.bb, &text(&api.claim(&id, "A-1", "k3"), "code"), "t1", json!({})).status(201);
    api.count();
    let mut conn = api.connection();
    let mut broken_by = |wrong: &str, right: &str| -> Vec<&'static str> {
        conn.batch_execute(wrong).expect("changed");
        let found = findings(&mut conn);
        conn.batch_execute(right).expect("changed back");
        found
    };
    for (wrong, right) in [
        (
            "UPDATE figure_days SET points = points + 1 WHERE partner = 'aa' AND kind = 7",
            "UPDATE figure_days SET points = points - 1 WHERE partner = 'aa' AND kind = 7",
        ),
        ("UPDATE figure_pairs SET conversions = 3", "UPDATE figure_pairs SET conversions = 2"),
        ("UPDATE figure_pairs SET value = value + 1", "UPDATE figure_pairs SET value = value - 1"),
        ("UPDATE figure_pairs SET value_back = value_back + 1", "UPDATE figure_pairs SET value_back = value_back - 1"),
        ("UPDATE figure_pairs SET released = 1", "UPDATE figure_pairs SET released = 0"),
        ("UPDATE figure_benefits SET cost = cost + 1", "UPDATE figure_benefits SET cost = cost - 1"),
        (
            "INSERT INTO figure_pairs SELECT day - 1, from_partner, to_partner, 0, 0, 0, 0, 0, 0, 0, 1 FROM figure_pairs",
            "DELETE FROM figure_pairs WHERE conversions = 0",
        ),
        (
            "INSERT INTO figure_waits SELECT day, from_partner, to_partner, 20, 1 FROM figure_pairs",
            "DELETE FROM figure_waits",
        ),
        ("UPDATE figure_members SET conversions = 0", "UPDATE figure_members SET conversions = 1"),
        ("UPDATE batches SET counted = false", "UPDATE batches SET counted = true"),
    ] {
        assert_eq!(broken_by(wrong, right), ["figures = journal"], "{wrong}");
    }
    assert_eq!(
        broken_by(
            "INSERT INTO activity_months SELECT '2026-01-01', account_id, 'CNY', partner, 1, 5 FROM accounts LIMIT 1",
            "DELETE FROM activity_months"
        ),
        ["spending = activities"]
    );
}

#[test]
fn a_figure_out_of_its_bounds_is_told_once_there_is_enough_to_judge() {
    let api = Api::new("figures-bounds", "");
    api.linked();
    let mut conn = api.connection();
    let url = api.url();
    let mut counting = Counting::new(&url);
    let undone: Vec<_> = (0..3).map(|nth| api.convert(&format!("u{nth}"), 2)).collect();
    for conversion in &undone {
        api.undo(conversion);
    }
    api.count();
    assert_eq!(counting.crossed().expect("judged"), [], "three of three say nothing");
    for nth in 0..17 {
        api.convert(&format!("k{nth}"), 2);
    }
    api.count();
    // Three of twenty, where one of ten is usual.
    let aa = || "aa".parse().expect("a slug");
    assert_eq!(counting.crossed().expect("judged"), [(aa(), Kpi::TakenBack)]);
    let most = |value| Bounds { at_least: None, at_most: Some(value) };
    figures::set_bound(&mut conn, Kpi::TakenBack, Some(&aa()), most(1_500), "ada").expect("set");
    assert_eq!(counting.crossed().expect("judged"), []);
    figures::set_bound(&mut conn, Kpi::TakenBack, Some(&aa()), most(1_499), "ada").expect("set");
    assert_eq!(counting.crossed().expect("judged"), [(aa(), Kpi::TakenBack)]);
    // The same from a terminal.
    let at = ["--database-url", &url];
    let told = |arguments: &[&str]| run(&mut hanse(&[arguments, at.as_slice()].concat()));
    let (code, out, _) = told(&["kpis", "show", "--partner", "aa"]);
    assert!(code == Some(0) && out.contains("15.00 %  OUT OF BOUNDS"), "{out}");
    assert!(out.contains("taken_back: Undos and reversals"), "{out}");
    let (code, out, _) = told(&["kpis", "bound", "taken_back", "--partner", "aa", "--at-most", "20", "--by", "ada"]);
    assert_eq!((code, &*out), (Some(0), "taken_back of aa is to stay at 20.00 % or below\n"));
    let (_, out, _) = told(&["kpis", "bounds"]);
    assert!(out.contains("20.00 %") && out.contains("ada") && out.contains("99.00 %"), "{out}");
    let (_, out, _) = told(&["--json", "kpis", "show"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["brands"][0]["figures"]["taken_back"]["value"], 1_500, "{json:#}");
    for wrong in [
        vec!["kpis", "bound", "sales", "--by", "ada"],
        vec!["kpis", "bound", "taken_back", "--at-most", "much", "--by", "ada"],
        vec!["kpis", "bound", "taken_back", "--at-most", "1", "--at-least", "2", "--by", "ada"],
        vec!["kpis", "bound", "taken_back", "--partner", "zz", "--at-most", "1", "--by", "ada"],
        vec!["kpis", "show", "--partner", "zz"],
    ] {
        assert_eq!(told(&wrong).0, Some(2), "{wrong:?}");
    }
}

#[test]
fn the_page_shows_a_brand_its_own_and_the_operator_all() {
    let api = Api::new("figures-page", "");
    api.linked();
    api.convert("k1", 100);
    api.count();
    let mut viewer = api.sign_in(&api.hire("viewer@aa.test", Some("aa"), Role::Viewer));
    let page = viewer.get("/console/figures").ok();
    for text in [
        "Exchange usage rate",
        "100.00 %",
        "How it is counted",
        "<polyline",
        "The same as a table",
        "Every figure is within",
    ] {
        page.says(text);
    }
    page.is_silent_about("<th scope=\"col\" class=\"number\">bb</th>");
    let chinese = viewer.get("/console/figures?lang=zh&days=7").ok();
    for text in ["兑换使用率", "统计口径", "品牌对流量"] {
        chinese.says(text);
    }
    // Whatever is asked for, its own.
    let file = viewer.get("/console/figures/days.csv?brand=bb&days=7").ok();
    assert!(file.body.lines().skip(1).all(|line| line.starts_with("aa,")), "{}", file.body);
    assert_eq!(file.body.lines().count(), 8, "{}", file.body);
    let today = file.body.lines().last().expect("today");
    assert!(today.contains(",237,0,-100,0,0,0,137,1,0"), "{today}");
    let mut operator = api.sign_in(&api.hire("ada", None, Role::Viewer));
    let page = operator.get("/console/figures").ok();
    page.says("<th scope=\"col\" class=\"number\">bb</th>");
    let one = operator.get("/console/figures?brand=bb&days=90&last=2026-01-31").ok();
    one.is_silent_about("<th scope=\"col\" class=\"number\">aa</th>");
    // Nonsense is as if nothing was asked for.
    operator.get("/console/figures?brand=%3Cscript%3E&days=-1&last=never").ok().is_silent_about("<script>");
    let mut clerk = api.sign_in(&api.hire("till@aa.test", Some("aa"), Role::Clerk));
    assert_eq!(clerk.get("/console/figures").status, 403);
}

#[test]
fn a_brand_that_says_nonsense_stops_nobodys_figures() {
    let api = Api::new("figures-capped", "");
    api.linked();
    api.aa.register("A-2");
    let at = catalogue::business_now(&mut api.connection()).expect("a time");
    let buy = |member: &str, amount: &str, reference: &str| {
        let body = json!({ "type": "purchase", "occurred_at": at, "amount": amount, "currency": "CNY", "external_reference": reference });
        api.aa.post(&format!("/v1/memberships/{member}/activities"), "", &body)
    };
    let problem = buy("A-1", "1000000000000.00", "13-digits").refused(422, "invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/amount", "{problem}");
    buy("A-1", "-1.00", "less").refused(422, "invalid");
    // Ten of the most that may be sent are more than is kept, of one member as of all.
    for nth in 0..10 {
        buy("A-1", "999999999999.999999", &format!("most-{nth}")).status(201);
        buy("A-2", "999999999999.999999", &format!("more-{nth}")).status(201);
    }
    api.convert("k1", 100);
    seal::seal_now(&mut api.connection()).expect("sealed");
    // A day of 1,025 credits of the most there may be, in one batch and after another.
    let plant = "UPDATE batches b SET entry_accounts = array_fill(b.entry_accounts[1], ARRAY[1025]), entry_numbers = array_fill(1::bigint, ARRAY[1025]), \
                 entry_kinds = array_fill(2::smallint, ARRAY[1025]), entry_deltas = array_fill(9007199254740991, ARRAY[1025]), \
                 entry_subjects = array_fill(b.entry_subjects[1], ARRAY[1025]), entry_previous = array_fill(0::bigint, ARRAY[1025]), \
                 entry_partners = array_fill(b.entry_partners[1], ARRAY[1025]) WHERE 2 = ANY (b.entry_kinds)";
    let mut conn = api.connection();
    conn.batch_execute("CREATE TABLE kept AS SELECT * FROM batches").expect("kept");
    conn.batch_execute(plant).expect("planted");
    let board = api.board(None);
    assert_eq!((of(&board, "aa").points.sum().issued, board.uncounted), (i64::MAX, 0));
    assert_eq!((value(&board, "aa", Kpi::Liability), value(&board, "aa", Kpi::BurnRatio)), (None, Some(0)));
    assert_eq!(value(&board, "aa", Kpi::UsageRate), Some(10_000));
    assert_eq!(value(&board, "aa", Kpi::RevenueShare), Some(10_000), "as much as is kept, of as much");
    assert!(!findings(&mut conn).iter().any(|name| ["figures = journal", "spending = activities"].contains(name)));
    let mut operator = api.sign_in(&api.hire("ada", None, Role::Viewer));
    operator.get("/console/figures").ok();
    operator.get("/console/figures/days.csv?days=7").ok();
    // Who is forgotten takes its months along, whatever they came to.
    api.aa.post("/v1/memberships/A-1/erasures", "", &json!({})).status(201);
    assert_eq!(value(&api.board(None), "aa", Kpi::Repurchase), Some(10_000), "A-2 alone");
    let put_back = "UPDATE batches b SET entry_accounts = k.entry_accounts, entry_numbers = k.entry_numbers, entry_kinds = k.entry_kinds, \
                    entry_deltas = k.entry_deltas, entry_subjects = k.entry_subjects, entry_previous = k.entry_previous, \
                    entry_partners = k.entry_partners, counted = false FROM kept k WHERE k.batch_no = b.batch_no; DROP TABLE kept";
    conn.batch_execute(put_back).expect("put back");
    conn.batch_execute("UPDATE batches SET counted = false; DELETE FROM figure_days; DELETE FROM figure_pairs; DELETE FROM figure_members")
        .expect("counted anew");
}

#[test]
fn what_a_brand_gives_its_own_members_nobody_owes_it() {
    let api = Api::new("figures-owed", "");
    tier(&api.aa, "A-1", "top");
    api.bb.register("B-1");
    let offers = json!([{ "to": "aa", "tiers": ["top"], "funder": "brand", "cost": "80.00" },
                        { "to": "bb", "funder": "brand", "cost": "70.00" }]);
    let id = api.offer("family-park", &changed(ticket(), json!({ "offers": offers })));
    let own = api.bb.post(&format!("/v1/benefits/{id}/claims"), "k0", &json!({ "member_ref": "B-1" })).status(201);
    for (nth, voucher) in [own, api.claim(&id, "A-1", "k1")].iter().enumerate() {
        till(&api.bb, &text(voucher, "code"), &format!("t{nth}"), json!({})).status(201);
    }
    let board = api.board(None);
    assert_eq!(value(&board, "bb", Kpi::BenefitUses), Some(2));
    assert_eq!(value(&board, "bb", Kpi::BenefitCost), Some(80_000_000), "what aa owes");
    let mut conn = api.connection();
    assert_eq!(findings(&mut conn), [] as [&str; 0]);
    // As it was counted before, and as the migration leaves it.
    let planted = "UPDATE figure_benefits SET cost = cost + 70000000 WHERE brand = giver";
    conn.batch_execute(planted).expect("counted as before");
    assert_eq!(findings(&mut conn), ["figures = journal"]);
    let corrected = include_str!("../../../migrations/0024_figures_owed/up.sql");
    conn.batch_execute(corrected).expect("corrected");
    assert_eq!(findings(&mut conn), [] as [&str; 0]);
}
