//! Finance reports of a small month, held against figures worked out by hand: bonuses of each funder, fees of either payer,
//! reversals, adjustments, a part payment.

use super::support::{House, reverse, undo};
use crate::support::book::{self, Member, credit, link, member, on, request, slug};
use diesel::prelude::*;
use hanse::book::Handle;
use hanse::book::command::{Answer, Ask, Command, Convert, Direction, Outcome, Reverse, Want};
use hanse::domain::expiry::Expiry;
use hanse::domain::ids::ConversionId;
use hanse::domain::money::{Millionths, decimal};
use hanse::domain::settlement::Participant;
use hanse::domain::settlement::dispute::{Claimed, Kind};
use hanse::domain::text::Text;
use hanse::service::reports::{Cell, Form, Report, files, json};
use hanse::service::settlement::disputes::{self, About, Opening};
use hanse::service::settlement::reports::{Name, Wanted, file_stem, make};
use hanse::service::settlement::{Error, adjust, estimates, pay};
use hanse::store::settlement::{obligations, statements, windows};
use serde_json::Value;

/// A third brand, and what the small alliance lacks: fees paid by the target and by nobody, bonuses paid by the origin
/// and by the operator, tax in the fee.
const CHANGE: &str = "
UPDATE alliance SET operator_entity = 'Harbour Clearing Ltd', operator_tax_code = '91HARBOUR', fee_tax_basis_points = 600;
UPDATE partners SET accounts = '{\"points_out\": \"6401.07\"}' WHERE slug = 'aa';
UPDATE exposures SET cap = 20000000 WHERE key = 'partner:aa';
INSERT INTO partners (slug, name_en, name_zh, trade, legal_entity, tax_code, status, hosted, programme_code, programme_name_en,
    programme_name_zh, scale, unit_cost, expiry_months, tiers, limit_out_day)
SELECT 'cc', 'Cee', '西', 'mall', 'Cee Ltd', '', 'active', true, 'CC', 'Cee points', '西分', 0, 12500, 12, tiers, NULL
FROM partners WHERE slug = 'aa';
INSERT INTO agreements (from_partner, to_partner, version, settlement_price, fee_basis_points, fee_payer, notice_days, undo_s,
    renews_on_arrival, exposure_limit, reversal_needs_confirmation, target_pays_spent, grace_days, dispute_days, valid_from)
VALUES ('aa', 'cc', 1, 33333, 200, 'to', 14, 900, false, NULL, false, false, 30, 10, '2000-01-01'),
       ('bb', 'cc', 1, 40000, 100, 'operator', 14, 900, false, NULL, false, false, 30, 10, '2000-01-01'),
       ('cc', 'aa', 1, 21000, 150, 'from', 14, 900, false, NULL, false, false, 30, 10, '2000-01-01');
INSERT INTO rates (from_partner, to_partner, version, tier, num, den, step, minimum, maximum, public, valid_from)
VALUES ('aa', 'cc', 1, '*', 1, 1, 1, 1, NULL, true, '2000-01-01'), ('bb', 'cc', 1, '*', 1, 1, 1, 1, NULL, true, '2000-01-01'),
       ('cc', 'aa', 1, '*', 1, 1, 1, 1, NULL, true, '2000-01-01');
INSERT INTO campaigns (from_partner, to_partner, code, version, name_en, name_zh, tier, bonus_basis_points, funder, stacks, valid_from, valid_to)
VALUES ('aa', 'cc', 'gift', 1, 'Gift', '礼', '*', 1500, 'from', false, '2000-01-01', '2100-01-01'),
       ('bb', 'cc', 'push', 1, 'Push', '推', '*', 2000, 'operator', false, '2000-01-01', '2100-01-01');
INSERT INTO exposures (key, value, cap) VALUES ('pair:aa:cc', 0, NULL), ('pair:bb:cc', 0, NULL), ('pair:cc:aa', 0, NULL), ('partner:cc', 0, NULL);
";

const PARTICIPANTS: [&str; 4] = ["aa", "bb", "cc", "operator"];

async fn convert(server: &Handle, key: &str, (of, member, to): (&str, Member, &str), points: i64) -> ConversionId {
    let ask = Ask::Now { want: Want::Points(book::points(points)), floor: None };
    let command = Command::Convert(Convert { who: member.who, direction: Direction::To(slug(to)), ask });
    let answer = server.submit(request(of, key, command)).await.expect("decided");
    let Answer { outcome: Outcome::Conversion(row), .. } = answer else { panic!("{key}: {answer:?}") };
    row.id
}

/// A reversal that nobody has to confirm.
async fn take_back(server: &Handle, key: &str, conversion: ConversionId, points: i64) {
    let credit_points = book::points(points);
    let command = Command::Reverse(Reverse { conversion, credit_points, reason: "returned".into() });
    let answer = server.submit(request("aa", key, command)).await.expect("decided");
    assert!(matches!(answer.outcome, Outcome::Reversal(_)), "{answer:?}");
}

fn adjust(house: &House, from: &str, to: &str, amount: &str, reason: &str) {
    let mut conn = house.conn();
    let party = |text: &str| Participant::parse(text).expect("a participant");
    let asked = adjust::Asked {
        from: party(from),
        to: party(to),
        amount: Millionths::parse(amount).expect("money"),
        reason: reason.into(),
        dispute: None,
        conversion: None,
        by: "ann".into(),
    };
    let id = adjust::ask(&mut conn, &asked).expect("asked");
    adjust::settle(&mut conn, id, true, "bob").expect("approved");
}

/// The month: window 1 with everything, window 2 with a reversal of window 1 and a part payment.
struct Month {
    house: House,
    first: windows::Row,
    second: windows::Row,
}

async fn month(name: &str) -> Month {
    month_of(name, CHANGE, "3").await
}

async fn month_of(name: &str, change: &str, part: &str) -> Month {
    let house = House::new(name, change).await;
    let server = &house.server;
    let (a, b, c) = (member(server, "aa", "m").await, member(server, "bb", "m").await, member(server, "cc", "m").await);
    link(server, a, b).await;
    link(server, a, c).await;
    link(server, b, c).await;
    credit(server, "aa", "opening-a", a, 10_000, Expiry::Never).await;
    credit(server, "bb", "opening-b", b, 500, on("2098-06-30")).await;
    convert(server, "k4", ("bb", b, "cc"), 250).await;
    let first = convert(server, "k1", ("aa", a, "bb"), 136).await;
    let undone = convert(server, "k2", ("aa", a, "bb"), 200).await;
    undo(server, "u2", undone).await;
    let third = convert(server, "k3", ("aa", a, "cc"), 301).await;
    convert(server, "k5", ("cc", c, "aa"), 100).await;
    take_back(server, "r3", third, 101).await;
    adjust(&house, "bb", "aa", "1.234", "=late file");
    adjust(&house, "aa", "bb", "-0.004", "postage");
    let one = house.closed();
    house.book.audit();
    reverse(server, "r1", first, 34).await;
    part_payment(&house, "aa", part);
    let two = house.closed();
    house.book.audit();
    Month { house, first: one, second: two }
}

fn part_payment(house: &House, debtor: &str, amount: &str) {
    let mut conn = house.conn();
    let owed = obligations::list(&mut conn, None, Some(debtor)).expect("obligations");
    let paid = pay::Paid {
        obligation: owed[0].id,
        amount: Millionths::parse(amount),
        on: None,
        reference: "SWIFT 1".into(),
        entry: None,
        by: "bank".into(),
    };
    pay::pay(&mut conn, &paid).expect("paid");
}

impl Month {
    fn wanted(&self, window: Option<i64>, participant: Option<&str>) -> Wanted {
        let participant = participant.map(|text| Participant::parse(text).expect("a participant"));
        Wanted { window, participant, ..Wanted::now(&mut self.house.conn()).expect("today") }
    }

    fn report(&self, name: Name, window: Option<i64>, participant: Option<&str>) -> Report {
        make(&mut self.house.conn(), name, &self.wanted(window, participant)).expect("a report")
    }

    fn statement(&self, window: &windows::Row, of: &str) -> Value {
        let of = Participant::parse(of).expect("a participant");
        let row = statements::find(&mut self.house.conn(), window.id, &of).expect("read").expect("a statement");
        serde_json::from_str(&row.payload).expect("JSON")
    }
}

/// A cell as machines read it.
fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Text(text) => text.clone(),
        Cell::Word(word) => word.code.into(),
        Cell::Whole(value) => value.to_string(),
        Cell::Points(value) => value.to_string(),
        Cell::Money(value) => decimal(*value),
        Cell::BasisPoints(value) => format!("{value}bp"),
        Cell::Date(day) => day.to_string(),
        Cell::Instant(at) => at.to_rfc3339(),
    }
}

/// Rows of a section, `a|b|c`, only these columns; the totals last.
fn rows(report: &Report, section: &str, columns: &[&str]) -> Vec<String> {
    let section = report.section(section).expect(section);
    let places: Vec<usize> = columns
        .iter()
        .map(|code| section.columns.iter().position(|column| column.code == *code).expect(code))
        .collect();
    let row = |row: &Vec<Cell>| places.iter().map(|at| cell(&row[*at])).collect::<Vec<_>>().join("|");
    section.rows.iter().chain(&section.totals).map(row).collect()
}

#[actix_web::test]
async fn a_statement_report_shows_the_figures_that_were_signed() {
    let month = month("report-statement").await;
    let report = month.report(Name::Statement, Some(1), Some("aa"));
    let signed = month.statement(&month.first, "aa");
    assert_eq!(signed["net"], "-7.72", "{signed:#}");
    assert_eq!(
        rows(&report, "position", &["item", "amount"]),
        ["opening|0.00", "net|-7.72", "payments|0.00", "closing|-7.72"]
    );
    let all =
        ["counterparty", "out", "in", "bonus_by_me", "reversal", "fee", "fee_back", "adjustment", "exact", "total"];
    assert_eq!(
        rows(&report, "counterparties", &all),
        [
            "bb|-8.40|0.00|0.00|5.00|0.00|0.00|1.238|-2.162|-2.16",
            "cc|-10.033233|2.10|-1.499985|3.899961|0.00|0.00|0.00|-5.533257|-5.53",
            "operator|0.00|0.00|0.00|0.00|-0.084|0.05|0.00|-0.034|-0.03",
            "total|-18.433233|2.10|-1.499985|8.899961|-0.084|0.05|1.238|-7.729257|-7.72",
        ]
    );
    // Every figure of the report is one of the payload.
    for (at, row) in signed["counterparties"].as_array().expect("rows").iter().enumerate() {
        for sort in [
            "out",
            "in",
            "bonus_by_me",
            "bonus_by_others",
            "fee",
            "fee_back",
            "reversal",
            "earlier_reversal",
            "adjustment",
        ] {
            let amount = row.get(sort).map_or("0.00", |figure| figure["amount"].as_str().expect("a text"));
            assert_eq!(rows(&report, "counterparties", &[sort])[at], amount, "{sort}");
        }
    }
    assert_eq!(
        rows(&report, "adjustments", &["counterparty", "reason", "approved_by", "amount"]),
        ["bb|=late file|bob|1.234", "bb|postage|bob|0.004", "|||1.238"]
    );
    assert_eq!(rows(&report, "fees", &["gross", "net", "tax", "tax_rate"]), ["-0.03|-0.03|0.00|600bp"]);
    assert_eq!(rows(&report, "signatures", &["signer"]), ["alliance", "alliance"]);
    assert_eq!(rows(&report, "obligations", &["debtor", "creditor", "amount"]), ["aa|alliance|7.72"]);
    let fact = |code: &str| report.facts.iter().find(|fact| fact.code == code).map(|fact| cell(&fact.value));
    assert_eq!(fact("root"), signed["lines"]["root"].as_str().map(str::to_owned));
    assert_eq!(fact("last_line"), Some(signed["lines"]["count"].to_string()));

    let later = month.report(Name::Statement, Some(2), Some("aa"));
    assert_eq!(
        rows(&later, "position", &["amount"]),
        ["-7.72", "1.72", "3.00", "-3.00"],
        "half of the first conversion taken back, a part paid"
    );
    assert_eq!(rows(&later, "counterparties", &["counterparty", "earlier_reversal"])[0], "bb|1.70");
    assert_eq!(
        rows(&later, "payments", &["window", "debtor", "reference", "amount"]),
        ["1|aa|SWIFT 1|3.00", "|||3.00"]
    );
    assert!(later.facts.iter().any(|fact| fact.code == "previous"));
    assert_eq!(month.statement(&month.second, "aa")["closing"], "-3.00");
}

#[actix_web::test]
async fn partners_reports_add_up_to_the_alliances() {
    let month = month("report-sums").await;
    let pairs = month.report(Name::Pairs, Some(1), None);
    assert_eq!(
        rows(&pairs, "pairs", &["a", "b", "points_ab", "points_ba", "a_owes_b", "b_owes_a", "exact", "net"]),
        [
            "aa|bb|168|0|3.396|1.234|-2.162|-2.16",
            "aa|cc|301|100|7.633257|2.10|-5.533257|-5.53",
            "aa|operator|0|0|0.034|0.00|-0.034|-0.03",
            "bb|cc|250|0|10.00|0.00|-10.00|-10.00",
            "cc|operator|0|0|0.164832|2.00|1.835168|1.84",
            // Points of different brands do not add up.
            "total||||21.228089|5.334|-15.894089|-15.88",
        ]
    );
    assert_eq!(
        rows(&pairs, "positions", &["participant", "receivable", "payable", "net"]),
        [
            "aa|0.00|7.72|-7.72",
            "bb|2.16|10.00|-7.84",
            "cc|17.37|0.00|17.37",
            "operator|0.03|1.84|-1.81",
            "total|19.56|19.56|0.00"
        ]
    );
    assert_eq!(
        rows(&pairs, "matrix", &["participant", "aa", "bb", "cc", "operator", "net"])[0],
        "aa||-2.16|-5.53|-0.03|-7.72"
    );
    let summary = month.report(Name::Summary, Some(1), None);
    assert_eq!(
        rows(&summary, "figures", &["item", "count", "amount"]),
        [
            "conversions|5|30.533233",
            "bonuses|2|3.499985",
            "benefits|0|0.00",
            "fees|4|0.198832",
            "reversal|2|8.899961",
            "earlier_reversal|0|0.00",
            "adjustments|2|1.238",
            "net|1|17.37",
        ]
    );
    assert_eq!(
        rows(&summary, "obligations", &["debtor", "creditor", "amount", "paid", "left", "state"]),
        [
            "aa|alliance|7.72|3.00|4.72|partly_paid",
            "alliance|cc|17.37|0.00|17.37|due",
            "bb|alliance|7.84|0.00|7.84|due",
            "operator|alliance|1.81|0.00|1.81|due",
            "total||34.74|3.00|31.74|",
        ]
    );
    let mut net = 0;
    for of in PARTICIPANTS {
        let own = month.report(Name::Statement, Some(1), Some(of));
        let shown = rows(&own, "position", &["amount"])[1].clone();
        let row = rows(&summary, "participants", &["participant", "net"]);
        assert!(row.contains(&format!("{of}|{shown}")), "{of}: {shown} in {row:?}");
        net += Millionths::parse(&shown).expect("money").get();
    }
    assert_eq!(net, 0);
}

#[actix_web::test]
async fn invoices_come_to_the_fees_of_the_operators_statement() {
    let month = month("report-invoices").await;
    let invoices = month.report(Name::Invoices, Some(1), None);
    assert_eq!(
        rows(&invoices, "invoices", &["payer", "entity", "kind", "net", "tax", "gross"]),
        [
            "aa|aa Ltd|invoice|0.03|0.00|0.03",
            "cc|Cee Ltd|invoice|0.15|0.01|0.16",
            "rounding|||0.01|0.00|0.01",
            "total|||0.19|0.01|0.20",
        ]
    );
    assert_eq!(month.statement(&month.first, "operator")["fees"]["gross"], "0.20");
    let later = month.report(Name::Invoices, Some(2), None);
    assert_eq!(rows(&later, "invoices", &["payer", "kind", "gross"]), ["aa|credit_note|-0.02", "total||-0.02"]);
}

#[actix_web::test]
async fn every_entity_books_its_statement_with_debits_equal_to_credits() {
    let month = month("report-journal").await;
    let journal = month.report(Name::Journal, Some(1), None);
    let proof = rows(&journal, "proof", &["entity", "participant", "debit", "credit", "booked", "net"]);
    assert_eq!(
        proof,
        [
            "Cee Ltd|cc|29.84|29.84|17.37|17.37",
            "Harbour Clearing Ltd|operator|2.45|2.45|-1.81|-1.81",
            "aa Ltd|aa|32.30|32.30|-7.72|-7.72",
            "bb Ltd|bb|24.64|24.64|-7.84|-7.84",
            "total||89.23|89.23||",
        ]
    );
    let own = month.report(Name::Journal, Some(1), Some("aa"));
    let lines = rows(&own, "journal", &["entry", "account", "counterparty", "figure", "debit", "credit"]);
    assert_eq!(
        lines,
        [
            "1|6401.07|bb|out|8.40|",
            "1|2202|bb|out||8.40",
            "2|2202|bb|reversal|5.00|",
            "2|6401.07|bb|reversal||5.00",
            "3|1122|bb|adjustment|1.23|",
            "3|6711|bb|adjustment||1.23",
            "4|1122|bb|rounding|0.01|",
            "4|6711|bb|rounding||0.01",
            "5|6401.07|cc|out|10.03|",
            "5|2202|cc|out||10.03",
            "6|1122|cc|in|2.10|",
            "6|6051.01|cc|in||2.10",
            "7|6601.02|cc|bonus_by_me|1.50|",
            "7|2202|cc|bonus_by_me||1.50",
            "8|2202|cc|reversal|3.37|",
            "8|6401.07|cc|reversal||3.37",
            "9|2202|cc|reversal|0.53|",
            "9|6601.02|cc|reversal||0.53",
            "10|6601.03|operator|fee|0.08|",
            "10|2202|operator|fee||0.08",
            "11|2202|operator|fee_back|0.05|",
            "11|6601.03|operator|fee_back||0.05",
            "||||32.30|32.30",
        ]
    );
    assert!(rows(&own, "journal", &["note"]).iter().any(|note| note.starts_with("=late file (bob; adj_")));
    // The operator's fee income without tax, and the tax, are its statement's.
    let operator = month.report(Name::Journal, Some(1), Some("operator"));
    let accounts = rows(&operator, "accounts", &["account", "account_name", "balance"]);
    assert!(accounts.contains(&"6001.01|Fee income 手续费收入|-0.19".to_owned()), "{accounts:?}");
    assert!(accounts.contains(&"2221.01|Output VAT 销项税额|-0.01".to_owned()), "{accounts:?}");
    // A window with something taken back of an earlier one.
    let later = month.report(Name::Journal, Some(2), Some("bb"));
    assert_eq!(
        rows(&later, "journal", &["account", "figure", "debit", "credit"])[..2],
        ["6051.01|earlier_reversal|1.70|", "1122|earlier_reversal||1.70"]
    );
}

#[actix_web::test]
async fn liability_and_points_come_to_the_balances() {
    let month = month("report-liability").await;
    let stated = |partner: &str, basis_points| estimates::Stated {
        partner: slug(partner),
        basis_points,
        author: "CFO".into(),
        note: "two years of history".into(),
    };
    let mut conn = month.house.conn();
    estimates::state(&mut conn, &stated("aa", 1_250)).expect("stated");
    assert_eq!(estimates::state(&mut conn, &stated("aa", 1_000)).expect("stated").version, 2);
    assert!(matches!(estimates::state(&mut conn, &stated("zz", 1)), Err(Error::Absent(_))));
    assert!(matches!(estimates::state(&mut conn, &stated("aa", 10_001)), Err(Error::Refused(_))));
    assert!(diesel::sql_query("DELETE FROM estimates").execute(&mut conn).is_err(), "what was stated stays");

    let report = month.report(Name::Liability, None, None);
    assert_eq!(
        rows(&report, "brands", &["partner", "outstanding", "never", "unit_cost", "liability"]),
        ["aa|9832|9732|0.05|491.60", "bb|287|0|0.05|14.35", "cc|429|0|0.0125|5.3625", "total||||511.3125"]
    );
    assert_eq!(
        rows(&report, "breakage", &["partner", "version", "share", "estimated"]),
        ["aa|2|1000bp|49.16", "aa|1|1250bp|"],
        "beside the liability, and only the newest"
    );
    let ladder = rows(&report, "ladder", &["partner", "end", "points"]);
    assert!(
        ladder.contains(&"aa|never|9732".to_owned()) && ladder.contains(&"bb|2098-06-30|250".to_owned()),
        "{ladder:?}"
    );
    assert_eq!(
        rows(&report, "tiers", &["partner", "tier", "accounts", "points", "liability"]),
        ["aa|basic|1|9832|491.60", "bb|basic|1|287|14.35", "cc|basic|1|429|5.3625", "total||3||511.3125"]
    );
    let later = Wanted { today: "2099-01-01".parse().expect("a day"), ..month.wanted(None, Some("bb")) };
    let late = make(&mut conn, Name::Liability, &later).expect("made");
    assert_eq!(rows(&late, "ladder", &["end", "points"]), ["ended|287", "|"], "what is over is told apart");

    let points = month.report(Name::Points, None, None);
    let section = points.section("months").expect("months");
    let sum = |partner: &str, column: &str| -> i64 {
        let at = section.columns.iter().position(|known| known.code == column).expect(column);
        let own = section.rows.iter().filter(|row| cell(&row[0]) == partner);
        own.map(|row| cell(&row[at]).parse::<i64>().expect("points")).sum()
    };
    let columns = ["issued", "converted_in", "converted_out", "redeemed", "expired", "adjusted"];
    assert_eq!(columns.map(|column| sum("aa", column)), [10_000, 100, -268, 0, 0, 0]);
    assert_eq!(columns.map(|column| sum("bb", column)), [500, 37, -250, 0, 0, 0]);
    assert_eq!(columns.map(|column| sum("cc", column)), [0, 529, -100, 0, 0, 0]);
    assert_eq!(cell(section.rows.last().expect("rows").last().expect("cells")), "429");
}

#[actix_web::test]
async fn ageing_exposures_and_rates_say_what_stands() {
    let month = month("report-open").await;
    let due = month.first.closed().expect("closed").dates.due_on;
    let late = |days: i64| {
        let wanted = Wanted::on(due + chrono::Duration::days(days));
        make(&mut month.house.conn(), Name::Ageing, &wanted).expect("made")
    };
    let columns = ["debtor", "creditor", "not_due", "days_1_30", "days_31_60", "days_61_90", "days_over_90", "left"];
    assert_eq!(rows(&late(0), "ageing", &columns)[0], "aa|alliance|4.72|0.00|0.00|0.00|0.00|4.72");
    assert_eq!(rows(&late(45), "ageing", &columns)[0], "aa|alliance|0.00|0.00|4.72|0.00|0.00|4.72");
    let total = rows(&late(91), "ageing", &["days_over_90", "left"]);
    // Window 2: bb gives 1.70 back and the operator 0.02, which aa is owed.
    assert_eq!(total.last().map(String::as_str), Some("35.18|35.18"));
    let columns = ["window", "debtor", "days_late", "bucket", "state", "amount", "paid", "left"];
    let listed = rows(&late(1), "obligations", &columns);
    assert_eq!(listed[0], "1|aa|1|days_1_30|overdue|7.72|3.00|4.72");
    assert_eq!(listed.last().map(String::as_str), Some("total|||||38.18|3.00|35.18"));

    let [waits, _] = [("lost-1", "1.50"), ("lost-2", "3.00")].map(|(reference, claimed)| {
        let opening = Opening {
            about: About::Reference(Text::new(reference.into()).expect("a reference")),
            kind: Kind::Missing,
            counterparty: Some(Participant::parse("cc").expect("a participant")),
            claimed: Claimed { points: None, amount: Millionths::parse(claimed) },
            note: "never arrived".into(),
            reconciliation: None,
        };
        let mut conn = month.house.conn();
        let (opened, is_new) =
            disputes::open(&mut conn, &slug("aa"), month.first.id, &opening).expect("within its time");
        assert!(is_new);
        if reference == "lost-2" {
            disputes::withdraw(&mut conn, &slug("aa"), opened.row.id).expect("let go");
        }
        opened.row
    });
    let open_on = |days: i64| {
        let wanted = Wanted::on(waits.answer_by + chrono::Duration::days(days));
        let report = make(&mut month.house.conn(), Name::Ageing, &wanted).expect("made");
        rows(&report, "disputes", &["opener", "kind", "days_late", "bucket", "state", "claim"])
    };
    assert_eq!(open_on(0), ["aa|missing|0|not_due|open|1.50", "|||||1.50"], "it may still be answered");
    let open = open_on(1);
    assert_eq!(open, ["aa|missing|1|days_1_30|open|1.50", "|||||1.50"], "those that wait");

    let open = month.report(Name::Exposures, None, Some("aa"));
    assert_eq!(rows(&open, "partners", &["key", "value", "cap", "used"]), ["partner:aa|4.729257|20.00|2364bp"]);
    assert_eq!(rows(&open, "pairs", &["key"]), ["pair:aa:bb", "pair:aa:cc", "pair:bb:aa", "pair:cc:aa"]);
    let ended = month.report(Name::Exposures, Some(1), None);
    assert_eq!(rows(&ended, "partners", &["key", "value", "cap"])[0], "partner:aa|7.729257|");

    let rates = month.report(Name::Rates, None, None);
    assert_eq!(
        rows(&rates, "rates", &["from", "to", "version", "tier", "rate"]),
        ["aa|bb|1|*|2:1", "aa|cc|1|*|1:1", "bb|aa|1|*|10:9", "bb|cc|1|*|1:1", "cc|aa|1|*|1:1"]
    );
    assert_eq!(
        rows(&rates, "campaigns", &["from", "to", "code", "bonus", "funder"]),
        ["aa|bb|spring|1000bp|to", "aa|cc|gift|1500bp|from", "bb|cc|push|2000bp|operator"]
    );
    let pair = Wanted { pair: Some((slug("cc"), slug("bb"))), ..month.wanted(None, None) };
    let pair = make(&mut month.house.conn(), Name::Rates, &pair).expect("made");
    assert_eq!(rows(&pair, "agreements", &["from", "to", "settlement_price", "fee_payer"]), ["bb|cc|0.04|operator"]);
}

#[actix_web::test]
async fn every_report_renders_in_every_form_and_twice_to_the_same_bytes() {
    let month = month("report-bytes").await;
    for name in Name::ALL {
        let participant = name.needs_participant().then_some("aa");
        let window = name.needs_window().then_some(1);
        let render = || {
            // Asked for anew, at another moment of the day.
            let wanted = month.wanted(window, participant);
            let report = make(&mut month.house.conn(), name, &wanted).expect("a report");
            let stem = file_stem(name, &wanted);
            Form::ALL.map(|form| files(&report, form, &stem).expect("written"))
        };
        assert_eq!(render(), render(), "{name:?}");
        let wanted = month.wanted(window, participant);
        let report = make(&mut month.house.conn(), name, &wanted).expect("a report");
        assert!(report.sections.iter().any(|section| !section.rows.is_empty()), "{name:?} says something");
        assert!(report.issued().is_some(), "{name:?} says of when it is");
        assert!(file_stem(name, &wanted).starts_with(name.code()));
    }
    // What happens later changes nothing of a closed window.
    let before = json::write(&month.report(Name::Journal, Some(1), None));
    month.house.pay_all();
    estimates::list(&mut month.house.conn(), None).expect("read");
    assert_eq!(before, json::write(&month.report(Name::Journal, Some(1), None)));
}

#[actix_web::test]
async fn a_partner_is_shown_nothing_of_others() {
    let month = month("report-privacy").await;
    for name in Name::ALL.into_iter().filter(|name| name.is_for_partners()) {
        let report = month.report(name, name.needs_window().then_some(1), Some("bb"));
        let text = String::from_utf8(json::write(&report)).expect("UTF-8");
        // aa and cc have a campaign, an agreement, conversions and a reversal between them.
        for secret in ["gift", "pair:aa:cc", "5.533257", "7.633257", "10.03"] {
            assert!(!text.contains(secret), "{name:?} shows {secret}");
        }
    }
    let refused = |name, wanted: &Wanted| make(&mut month.house.conn(), name, wanted);
    assert!(matches!(refused(Name::Summary, &month.wanted(Some(1), Some("bb"))), Err(Error::NotFound)));
    assert!(matches!(refused(Name::Statement, &month.wanted(Some(1), None)), Err(Error::Refused(_))));
    assert!(matches!(refused(Name::Pairs, &month.wanted(None, None)), Err(Error::Refused(_))));
    assert!(matches!(refused(Name::Pairs, &month.wanted(Some(3), None)), Err(Error::Refused(_))), "it is open");
    assert!(matches!(refused(Name::Pairs, &month.wanted(Some(9), None)), Err(Error::NotFound)));
    let now = [Name::Liability, Name::Points, Name::Ageing, Name::Rates];
    assert!(now.into_iter().all(|name| matches!(refused(name, &month.wanted(Some(1), None)), Err(Error::Refused(_)))));
    let between = Wanted { pair: Some((slug("aa"), slug("cc"))), ..month.wanted(None, Some("bb")) };
    assert!(matches!(refused(Name::Rates, &between), Err(Error::NotFound)));
}

#[actix_web::test]
async fn figures_that_do_not_agree_are_no_report() {
    let month = month("report-differs").await;
    let mut conn = month.house.conn();
    let mut broken = |change: &str, names: &[Name]| {
        diesel::sql_query(change).execute(&mut conn).expect("changed");
        for name in names {
            let wanted = month.wanted(name.needs_window().then_some(1), name.needs_participant().then_some("aa"));
            let made = make(&mut month.house.conn(), *name, &wanted);
            assert!(matches!(made, Err(Error::Differs(_))), "{name:?} after {change}");
        }
    };
    // Triggers keep what is signed as it is: somebody has put them aside.
    broken("SET session_replication_role = replica", &[]);
    broken("UPDATE reversals SET credit = credit + 1 WHERE bonus = 16", &[Name::Journal, Name::Summary]);
    broken(
        "UPDATE nets SET rounded = rounded + 10000 WHERE participant = 'aa' AND counterparty = 'bb'",
        &[Name::Pairs],
    );
    broken("UPDATE adjustments SET amount = amount + 1 WHERE reason = 'postage'", &[Name::Statement]);
    broken("UPDATE accounts SET balance = balance + 1 WHERE partner = 'bb'", &[Name::Liability, Name::Points]);
}

#[actix_web::test]
async fn a_bilateral_alliance_that_rounds_halves_to_even_has_its_reports_too() {
    let change =
        format!("{CHANGE} UPDATE alliance SET netting = 'bilateral', rounding = 'half_even', currency = 'JPY'");
    let month = month_of("report-bilateral", &change, "1").await;
    for name in Name::ALL {
        let wanted = month.wanted(name.needs_window().then_some(1), name.needs_participant().then_some("aa"));
        let report = make(&mut month.house.conn(), name, &wanted).expect("a report");
        let text = String::from_utf8(json::write(&report)).expect("UTF-8");
        // Words of the glossary, and no others for the same.
        for other in ["兑换", "兑出", "兑入", "\"参与方", "本参与方", "款项", "预计失效", "余额影响", "期末余额"]
        {
            assert!(!text.contains(other), "{name:?}: {other}");
        }
    }
    // Whole yen: 10.00 and 2.00 stay, −2.162, −5.533257 and 1.835168 go to the next.
    let pairs = month.report(Name::Pairs, Some(1), None);
    assert_eq!(
        rows(&pairs, "pairs", &["a", "b", "net"]),
        ["aa|bb|-2.00", "aa|cc|-6.00", "aa|operator|0.00", "bb|cc|-10.00", "cc|operator|2.00", "total||-16.00"]
    );
    let summary = month.report(Name::Summary, Some(1), None);
    assert_eq!(rows(&summary, "obligations", &["debtor", "creditor", "amount"])[..2], ["aa|bb|2.00", "aa|cc|6.00"]);
    let journal = month.report(Name::Journal, Some(1), None);
    assert_eq!(rows(&journal, "proof", &["participant", "booked"])[0], "cc|18.00");
}
