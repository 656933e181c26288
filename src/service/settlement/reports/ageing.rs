//! What is owed and not paid, and what is disputed and not decided, by how late it is on the business day of the moment
//! wanted.

use super::frame::{agree, catalogue, column, open_facts, optional, report, section, text};
use super::{Error, Name, Wanted, words};
use crate::domain::ids::DisputeId;
use crate::domain::settlement::obligation;
use crate::service::reports::{Cell, Column, Kind, Report, Section, Text, Word};
use crate::store::settlement::obligations::{self, Row};
use crate::store::settlement::reports::{self as stored, Dispute};
use chrono::NaiveDate;
use diesel::PgConnection;
use std::collections::BTreeMap;

/// How late something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bucket {
    NotDue,
    UpTo30,
    UpTo60,
    UpTo90,
    Over90,
}

const BUCKETS: [Bucket; 5] = [Bucket::NotDue, Bucket::UpTo30, Bucket::UpTo60, Bucket::UpTo90, Bucket::Over90];

impl Bucket {
    /// Of so many days after the last day; 0 and below: it is not due.
    fn of(days_late: i64) -> Bucket {
        match days_late {
            ..=0 => Bucket::NotDue,
            1..=30 => Bucket::UpTo30,
            31..=60 => Bucket::UpTo60,
            61..=90 => Bucket::UpTo90,
            _ => Bucket::Over90,
        }
    }

    fn word(self) -> Word {
        match self {
            Bucket::NotDue => Word::new("not_due", "Not due", "未到期"),
            Bucket::UpTo30 => Word::new("days_1_30", "1–30 days", "逾期 1–30 天"),
            Bucket::UpTo60 => Word::new("days_31_60", "31–60 days", "逾期 31–60 天"),
            Bucket::UpTo90 => Word::new("days_61_90", "61–90 days", "逾期 61–90 天"),
            Bucket::Over90 => Word::new("days_over_90", "Over 90 days", "逾期 90 天以上"),
        }
    }
}

pub fn make(conn: &mut PgConnection, wanted: &Wanted) -> Result<Report, Error> {
    of_now(wanted)?;
    let (catalogue, today) = (catalogue(conn)?, wanted.today);
    let party = wanted.participant.as_ref().map(|of| of.as_str());
    let open = obligations::list(conn, None, party)?;
    let mut made = report(Name::Ageing, open_facts(&catalogue, wanted)?);
    let disputes = stored::disputes(conn, party)?;
    made.sections = vec![summed(&open, today)?, listed(&open, today)?, disputed(&disputes, today)?];
    made.notes = notes();
    Ok(made)
}

/// Refuses a window: what is open now is of none.
pub(super) fn of_now(wanted: &Wanted) -> Result<(), Error> {
    match wanted.window {
        None => Ok(()),
        Some(_) => Err(Error::Refused("this report is of what is open now, and takes no window".to_owned())),
    }
}

/// Days after the last one; 0 until then.
fn late(last: NaiveDate, today: NaiveDate) -> i64 {
    (today - last).num_days().max(0)
}

fn left(row: &Row) -> i128 {
    i128::from(row.amount.get()) - i128::from(row.paid.get())
}

/// Who owes whom how much in every bucket.
fn summed(open: &[Row], today: NaiveDate) -> Result<Section, Error> {
    let mut parties: BTreeMap<(&str, &str), [i128; BUCKETS.len()]> = BTreeMap::new();
    let mut all = [0; BUCKETS.len()];
    for row in open {
        let sums = parties.entry((&row.debtor, &row.creditor)).or_default();
        for (at, _) in BUCKETS.iter().enumerate().filter(|(_, bucket)| **bucket == Bucket::of(late(row.due_on, today)))
        {
            sums[at] += left(row);
            all[at] += left(row);
        }
    }
    let buckets = BUCKETS.map(|bucket| {
        let word = bucket.word();
        column(word.code, word.en, word.zh, Kind::Money)
    });
    let mut columns = parties_columns();
    columns.extend(buckets);
    columns.push(column("left", "Unpaid", "未付合计", Kind::Money));
    let money = |sums: [i128; BUCKETS.len()]| sums.into_iter().chain([sums.iter().sum()]).map(Cell::Money);
    let mut rows = Vec::with_capacity(parties.len());
    for ((debtor, creditor), sums) in &parties {
        rows.push([text(debtor), text(creditor)].into_iter().chain(money(*sums)).collect());
    }
    let totals = [Cell::Word(words::TOTAL), Cell::Empty].into_iter().chain(money(all)).collect();
    Ok(Section {
        totals: Some(totals), ..section("ageing", "Ageing of what is owed", "应收应付账龄", columns, rows)
    })
}

fn parties_columns() -> Vec<Column> {
    vec![column("debtor", "Debtor", "付款方", Kind::Text), column("creditor", "Creditor", "收款方", Kind::Text)]
}

/// Every obligation that is not paid in full.
fn listed(open: &[Row], today: NaiveDate) -> Result<Section, Error> {
    let mut columns = vec![column("window", "Window", "结算期", Kind::Whole)];
    columns.extend(parties_columns());
    columns.extend([
        column("due_on", "Due on", "到期日", Kind::Date),
        column("days_late", "Days late", "逾期天数", Kind::Whole),
        column("bucket", "Bucket", "账龄段", Kind::Text),
        column("state", "State", "状态", Kind::Text),
        column("amount", "Amount", "金额", Kind::Money),
        column("paid", "Paid", "已付", Kind::Money),
        column("left", "Unpaid", "未付", Kind::Money),
        column("obligation", "Obligation", "付款义务编号", Kind::Text),
    ]);
    let row = |row: &Row| {
        let days = late(row.due_on, today);
        let state = obligation::state(row.amount, row.paid, row.due_on, today);
        Ok(vec![
            Cell::Whole(row.number),
            text(&row.debtor),
            text(&row.creditor),
            Cell::Date(row.due_on),
            Cell::Whole(days),
            Cell::Word(Bucket::of(days).word()),
            Cell::Word(words::obligation_state(state)),
            Cell::money(row.amount),
            Cell::money(row.paid),
            Cell::Money(left(row)),
            text(row.id),
        ])
    };
    let rows = open.iter().map(row).collect::<Result<_, Error>>()?;
    let sum = |of: fn(&Row) -> i128| open.iter().map(of).sum::<i128>();
    let (owed, paid) = (sum(|row| row.amount.get().into()), sum(|row| row.paid.get().into()));
    agree(|| "all that is unpaid".to_owned(), sum(left), owed - paid)?;
    let mut totals = vec![Cell::Empty; columns.len()];
    (totals[0], totals[7], totals[8]) = (Cell::Word(words::TOTAL), Cell::Money(owed), Cell::Money(paid));
    totals[9] = Cell::Money(sum(left));
    let titled = section("obligations", "Unpaid obligations", "未付清的付款义务", columns, rows);
    Ok(Section { totals: Some(totals), ..titled })
}

/// Every dispute that waits for an answer or a decision. It is late once its counterparty's last day has gone by.
fn disputed(open: &[Dispute], today: NaiveDate) -> Result<Section, Error> {
    let columns = vec![
        column("window", "Window", "结算期", Kind::Whole),
        column("opener", "Opened by", "提出方", Kind::Text),
        column("counterparty", "Against", "对手方", Kind::Text),
        column("kind", "Kind", "类型", Kind::Text),
        column("opened_at", "Opened", "提出时间", Kind::Instant),
        column("answer_by", "Answer by", "答复期限", Kind::Date),
        column("days_late", "Days late", "逾期天数", Kind::Whole),
        column("bucket", "Bucket", "账龄段", Kind::Text),
        column("state", "State", "状态", Kind::Text),
        column("claim", "Claim", "主张金额", Kind::Money),
        column("dispute", "Dispute", "争议编号", Kind::Text),
    ];
    let row = |row: &Dispute| {
        let days = late(row.answer_by, today);
        vec![
            Cell::Whole(row.number),
            text(&row.opener),
            optional(row.counterparty.as_ref()),
            dispute_kind(&row.kind),
            Cell::Instant(row.opened_at.fixed_offset()),
            Cell::Date(row.answer_by),
            Cell::Whole(days),
            Cell::Word(Bucket::of(days).word()),
            dispute_state(&row.state),
            row.claim.map_or(Cell::Empty, |claim| Cell::Money(claim.into())),
            text(DisputeId(row.dispute_id)),
        ]
    };
    let claims = open.iter().filter_map(|row| row.claim).map(i128::from).sum();
    let mut totals = vec![Cell::Empty; columns.len()];
    (totals[0], totals[9]) = (Cell::Word(words::TOTAL), Cell::Money(claims));
    let rows = open.iter().map(row).collect();
    Ok(Section { totals: Some(totals), ..section("disputes", "Open disputes", "未决争议", columns, rows) })
}

fn dispute_kind(code: &str) -> Cell {
    let known = [
        Word::new("missing", "Missing", "缺失"),
        Word::new("duplicate", "Duplicate", "重复"),
        Word::new("amount", "Amount", "金额"),
        Word::new("rate", "Rate", "汇率"),
        Word::new("eligibility", "Eligibility", "资格"),
        Word::new("identity", "Identity", "身份"),
    ];
    known.into_iter().find(|word| word.code == code).map_or_else(|| text(code), Cell::Word)
}

fn dispute_state(code: &str) -> Cell {
    let known = [Word::new("open", "Open", "待答复"), Word::new("answered", "Answered", "待裁决")];
    known.into_iter().find(|word| word.code == code).map_or_else(|| text(code), Cell::Word)
}

fn notes() -> Vec<Text> {
    let owed = Text::new(
        "Late by the days after the last day for payment, on the business day of the moment above in the alliance's zone. “alliance” is its settlement account.",
        "逾期天数按上列时间所在业务日（联盟时区）与到期日之差计算。“alliance”指联盟结算账户。",
    );
    let disputed = Text::new(
        "A dispute is late by the days after the last day for its answer. What is owed stands and is paid meanwhile; what is decided is an adjustment of a later window.",
        "争议的逾期天数按答复期限计算。争议期间付款义务照常履行，裁决结果以调整计入后续结算期。",
    );
    vec![owed, disputed]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_begins_the_day_after_the_one_before_ends() {
        for (days, code) in [
            (-5, "not_due"),
            (0, "not_due"),
            (1, "days_1_30"),
            (30, "days_1_30"),
            (31, "days_31_60"),
            (60, "days_31_60"),
            (61, "days_61_90"),
            (90, "days_61_90"),
            (91, "days_over_90"),
        ] {
            assert_eq!(Bucket::of(days).word().code, code, "{days}");
        }
    }
}
