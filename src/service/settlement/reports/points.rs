//! Points of every brand from one month to the next, from the journal; what is left at the end is the balances.

use super::ageing::of_now;
use super::frame::{agree, catalogue, column, open_facts, report, section, text, through};
use super::{Error, Name, Wanted, broken};
use crate::book::engine::account::EntryKind;
use crate::service::reports::{Cell, Column, Kind, Report, Section, Text, Word};
use crate::store::settlement::reports::{self as stored, Moved};
use chrono::{Datelike, Months, NaiveDate};
use diesel::PgConnection;
use std::collections::BTreeMap;

/// What entries are counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heading {
    Issued,
    In,
    Out,
    Redeemed,
    Expired,
    Adjusted,
}

const HEADINGS: [Heading; 6] =
    [Heading::Issued, Heading::In, Heading::Out, Heading::Redeemed, Heading::Expired, Heading::Adjusted];

impl Heading {
    pub fn of(kind: EntryKind) -> Heading {
        match kind {
            EntryKind::Earn
            | EntryKind::Extra
            | EntryKind::Opening
            | EntryKind::CreditReversed
            | EntryKind::OwedMet => Heading::Issued,
            EntryKind::ConvertedIn | EntryKind::CrossedIn | EntryKind::Bonus | EntryKind::TakenBack => Heading::In,
            EntryKind::ConvertedOut | EntryKind::CrossedOut | EntryKind::GivenBack => Heading::Out,
            EntryKind::Debit
            | EntryKind::DebitReversed
            | EntryKind::Claimed
            | EntryKind::ClaimRefunded
            | EntryKind::BenefitUsed => Heading::Redeemed,
            EntryKind::Expired | EntryKind::Forfeited => Heading::Expired,
            EntryKind::Adjust | EntryKind::Redated => Heading::Adjusted,
        }
    }

    pub fn word(self) -> Word {
        match self {
            Heading::Issued => Word::new("issued", "Issued", "发放"),
            Heading::In => Word::new("converted_in", "Converted in", "转入"),
            Heading::Out => Word::new("converted_out", "Converted out", "转出"),
            Heading::Redeemed => Word::new("redeemed", "Redeemed", "扣减"),
            Heading::Expired => Word::new("expired", "Expired", "失效"),
            Heading::Adjusted => Word::new("adjusted", "Adjusted", "调整"),
        }
    }
}

type Sums = [i128; HEADINGS.len()];

pub fn make(conn: &mut PgConnection, wanted: &Wanted) -> Result<Report, Error> {
    of_now(wanted)?;
    let (catalogue, today) = (catalogue(conn)?, wanted.today);
    let own = wanted.participant.as_ref().map(|of| of.as_str());
    let moved = stored::moved(conn, own)?;
    let mut brands: BTreeMap<&str, BTreeMap<NaiveDate, Sums>> = BTreeMap::new();
    for row in &moved {
        let heading = Heading::of(kind(row)?);
        let sums = brands.entry(&row.partner).or_default().entry(row.month).or_default();
        for (at, _) in HEADINGS.iter().enumerate().filter(|(_, known)| **known == heading) {
            sums[at] += row.points;
        }
    }
    let months = months(&brands, today)?;
    let mut balances: BTreeMap<String, i128> = BTreeMap::new();
    for row in stored::balances(conn, own)? {
        *balances.entry(row.partner).or_default() += row.balance;
    }
    for (partner, sums) in &brands {
        let closing: i128 = sums.values().flatten().sum();
        let balance = balances.remove(*partner).unwrap_or(0);
        agree(|| format!("the points of {partner} by its journal and its balances"), closing, balance)?;
    }
    let mut made = report(Name::Points, open_facts(&catalogue, wanted)?);
    made.facts.push(through(conn)?);
    made.sections = vec![months, kinds(&moved)?];
    made.notes = notes();
    Ok(made)
}

fn kind(row: &Moved) -> Result<EntryKind, Error> {
    EntryKind::from_number(row.kind).ok_or_else(|| broken(format!("entries of kind {}", row.kind)))
}

/// A row a brand and month, from its first entry to the present month, those without an entry too.
fn months(brands: &BTreeMap<&str, BTreeMap<NaiveDate, Sums>>, today: NaiveDate) -> Result<Section, Error> {
    let mut columns = first_columns();
    columns.push(column("opening", "Opening", "期初", Kind::Points));
    columns.extend(HEADINGS.map(|heading| {
        let word = heading.word();
        column(word.code, word.en, word.zh, Kind::Points)
    }));
    columns.push(column("closing", "Closing", "期末", Kind::Points));
    let mut rows = Vec::new();
    for (partner, sums) in brands {
        let bounds = sums.first_key_value().zip(sums.last_key_value());
        let Some(((first, _), (last, _))) = bounds else { continue };
        let present = today.with_day(1).unwrap_or(today);
        let (mut month, mut opening) = (*first, 0);
        while month <= present.max(*last) {
            let own = sums.get(&month).copied().unwrap_or_default();
            let closing = opening + own.iter().sum::<i128>();
            let mut row = vec![text(partner), text(month.format("%Y-%m")), Cell::Points(opening)];
            for sum in own {
                row.push(Cell::Points(sum));
            }
            row.push(Cell::Points(closing));
            rows.push(row);
            opening = closing;
            month = month + Months::new(1);
        }
    }
    Ok(section("months", "By brand and month", "按品牌与月份", columns, rows))
}

fn first_columns() -> Vec<Column> {
    vec![column("partner", "Brand", "品牌", Kind::Text), column("month", "Month", "月份", Kind::Text)]
}

/// The same by the journal's own kinds.
fn kinds(moved: &[Moved]) -> Result<Section, Error> {
    let mut columns = first_columns();
    columns.extend([
        column("heading", "Counted as", "归类", Kind::Text),
        column("kind", "Entry", "分录类型", Kind::Text),
        column("entries", "Entries", "分录数", Kind::Whole),
        column("points", "Points", "积分", Kind::Points),
    ]);
    let row = |row: &Moved| {
        let kind = kind(row)?;
        Ok(vec![
            text(&row.partner),
            text(row.month.format("%Y-%m")),
            Cell::Word(Heading::of(kind).word()),
            Cell::Word(entry_word(kind)),
            Cell::Whole(row.entries),
            Cell::Points(row.points),
        ])
    };
    let rows = moved.iter().map(row).collect::<Result<_, Error>>()?;
    Ok(section("kinds", "By entry", "按分录类型", columns, rows))
}

fn entry_word(kind: EntryKind) -> Word {
    let (en, zh) = match kind {
        EntryKind::Earn => ("Earned", "消费积分"),
        EntryKind::Extra => ("Extra", "额外赠送"),
        EntryKind::Opening => ("Opening", "期初导入"),
        EntryKind::Adjust => ("Adjusted", "人工调整"),
        EntryKind::Debit => ("Debited", "扣减"),
        EntryKind::CreditReversed => ("Credit reversed", "发放冲回"),
        EntryKind::DebitReversed => ("Debit reversed", "扣减冲回"),
        EntryKind::ConvertedOut | EntryKind::CrossedOut => ("Converted out", "转出"),
        EntryKind::ConvertedIn | EntryKind::CrossedIn => ("Converted in", "转入"),
        EntryKind::Bonus => ("Bonus", "加赠"),
        EntryKind::TakenBack => ("Taken back", "转入冲正"),
        EntryKind::GivenBack => ("Given back", "转出退回"),
        EntryKind::Expired => ("Expired", "到期失效"),
        EntryKind::Redated => ("Redated", "有效期变更"),
        EntryKind::Forfeited => ("Forfeited", "销户作废"),
        EntryKind::OwedMet => ("Owed points met", "抵扣欠分"),
        EntryKind::Claimed => ("Claimed a benefit", "领取权益"),
        EntryKind::ClaimRefunded => ("Benefit given back", "权益退回"),
        EntryKind::BenefitUsed => ("Benefit used", "权益使用"),
    };
    Word::new(kind.code(), en, zh)
}

fn notes() -> Vec<Text> {
    vec![
        Text::new(
            "Summed from the journal by the business day of each entry; the last month is as far as it has come. Every brand's closing points are the balances of its accounts, which was checked.",
            "按分录业务日汇总；最后一个月为截至目前。各品牌期末积分已与账户余额核对一致。",
        ),
        Text::new(
            "Issued is less credits taken back and owed points met; converted in has bonuses and is less what was taken back; converted out is less what came back; redeemed has points for benefits and is less debits reversed and benefits given back; expired has what was forfeited at closing an account.",
            "发放已减去冲回及抵扣欠分；转入含加赠，已减去冲正；转出已减去退回；扣减含领取权益，已减去冲回与退回；失效含销户作废。",
        ),
    ]
}
