//! A small statement, and texts that mean harm, for the tests of every rendering.

use super::{Cell, Column, Fact, ISSUED, Kind, Report, Section, Text};
use chrono::{DateTime, FixedOffset, NaiveDate, Utc};

pub fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).expect("a date")
}

pub fn instant(text: &str) -> DateTime<FixedOffset> {
    text.parse().expect("an instant")
}

pub fn issued() -> DateTime<Utc> {
    instant("2026-12-01T02:00:00Z").to_utc()
}

/// Three lines with every kind of cell, and an empty section.
pub fn statement() -> Report {
    let fact = |code, en: &str, zh: &str, value| Fact { code, label: Text::new(en, zh), value };
    Report {
        code: "statement",
        title: Text::new("Settlement statement", "结算对账单"),
        facts: vec![
            fact("alliance", "Alliance", "联盟", Cell::Text("Harbour & Hills 港山联盟".into())),
            fact("net", "Net", "净额", Cell::Money(-1_234_567_890)),
            fact(ISSUED, "Issued", "出具时间", Cell::Instant(issued().fixed_offset())),
        ],
        sections: vec![lines(), disputes()],
        notes: vec![Text::new("Amounts are in CNY.", "金额单位为人民币。")],
    }
}

/// A line of [`statement`] whose member is called `member`.
pub fn line(member: &str) -> Vec<Cell> {
    vec![
        Cell::Text("C-0001".into()),
        Cell::Text(member.into()),
        Cell::Points(-1500),
        Cell::Money(12_500),
        Cell::Money(18_750_000),
        Cell::BasisPoints(-250),
        Cell::Date(date(2026, 11, 5)),
        Cell::Instant(instant("2026-11-05T08:30:00.250Z")),
    ]
}

/// What a brand, or whoever sits in its systems, might send as a reference or a name.
pub fn hostile() -> Vec<String> {
    let short = [
        "=cmd|' /C calc'!A0",
        "+1+1",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "'=1",
        "''",
        "＝1+1",
        "<script>alert('x')</script>",
        "</td></style><img src=x onerror=alert(1)>",
        "&lt;b&gt; \"quoted\", and\r\nbroken",
        "积分 港山联盟 𠮷",
        "https://example.org/?a=1&b=2",
        "007",
        "_x0041_",
        "\u{0}\u{1b}\u{fffe}",
        "\u{202e}gnp.exe",
    ];
    short.iter().map(|text| (*text).to_owned()).chain([long()]).collect()
}

/// Longer than a cell of a workbook may be.
pub fn long() -> String {
    "积".repeat(40_000)
}

fn lines() -> Section {
    let total = vec![
        Cell::Text("Total 合计".into()),
        Cell::Empty,
        Cell::Points(-4500),
        Cell::Empty,
        Cell::Money(56_250_000),
        Cell::BasisPoints(-250),
        Cell::Empty,
        Cell::Empty,
    ];
    Section {
        code: "lines",
        title: Text::new("Lines", "明细"),
        columns: vec![
            Column::new("conversion", Text::new("Conversion", "转换"), Kind::Text),
            Column::new("member", Text::new("Member", "会员"), Kind::Text),
            Column::new("points", Text::new("Points", "积分"), Kind::Points),
            Column::new("price", Text::new("Price", "结算价"), Kind::Money),
            Column::new("value", Text::new("Value", "金额"), Kind::Money),
            Column::new("share", Text::new("Share", "占比"), Kind::Percent),
            Column::new("day", Text::new("Day", "日期"), Kind::Date),
            Column::new("posted_at", Text::new("Posted", "入账时间"), Kind::Instant),
        ],
        rows: vec![line("M-17"), line("积分会员"), line("=1+1")],
        totals: Some(total),
    }
}

fn disputes() -> Section {
    Section {
        code: "disputes",
        title: Text::new("Disputes", "争议"),
        columns: vec![
            Column::new("dispute", Text::new("Dispute", "争议"), Kind::Text),
            Column::new("value", Text::new("Value", "金额"), Kind::Money),
        ],
        rows: Vec::new(),
        totals: None,
    }
}
