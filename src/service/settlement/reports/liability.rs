//! Outstanding points of every brand, when they end, and what they cost; beside it what brands estimate will never be used.

use super::ageing::of_now;
use super::frame::{agree, both, catalogue, column, cost, open_facts, optional, report, section, text, through};
use super::{Error, Name, Wanted, broken, words};
use crate::domain::catalogue::{Catalogue, Partner};
use crate::domain::expiry::month_end;
use crate::domain::money::Millionths;
use crate::service::reports::{Cell, Column, Kind, Report, Section, Text, Word};
use crate::store::settlement::estimates;
use crate::store::settlement::reported::{self, Row};
use crate::store::settlement::reports::{self as stored, Balances, End, Outstanding};
use chrono::NaiveDate;
use diesel::PgConnection;
use std::collections::BTreeMap;

/// When outstanding points end, in the order of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rung {
    /// Over, and not yet taken out by the expiry run.
    Ended,
    /// The last day of a month.
    Month(NaiveDate),
    Never,
    /// Reserved for something: no lot has them meanwhile.
    Held,
}

/// One brand's outstanding points.
#[derive(Default)]
struct Brand {
    ladder: BTreeMap<Rung, i128>,
    tiers: BTreeMap<String, Tier>,
}

#[derive(Clone, Copy, Default)]
struct Tier {
    accounts: i64,
    balance: i128,
    never: i128,
    owed: i128,
}

pub fn make(conn: &mut PgConnection, wanted: &Wanted) -> Result<Report, Error> {
    of_now(wanted)?;
    let (catalogue, today) = (catalogue(conn)?, wanted.today);
    let own = wanted.participant.as_ref().map(|of| of.as_str());
    let brands = brands(&stored::outstanding(conn, own)?, &stored::balances(conn, own)?, today)?;
    let shown = |partner: &&Partner| own.is_none_or(|own| own == partner.slug.as_str());
    let hosted: Vec<&Partner> = catalogue.partners.values().filter(shown).filter(|partner| partner.hosted).collect();
    let remote: Vec<&Partner> = catalogue.partners.values().filter(shown).filter(|partner| !partner.hosted).collect();
    let nothing = Brand::default();
    let all: Vec<(&Partner, &Brand)> =
        hosted.into_iter().map(|partner| (partner, brands.get(partner.slug.as_str()).unwrap_or(&nothing))).collect();
    let mut made = report(Name::Liability, open_facts(&catalogue, wanted)?);
    made.facts.push(through(conn)?);
    made.sections = vec![summed(&all)?, breakage(conn, own, &all)?, ladder(&all)?, tiers(&all)?];
    if !remote.is_empty() {
        made.sections.push(as_reported(&remote, &reported::standing(conn, own)?)?);
    }
    made.notes = notes(remote.is_empty());
    only_known(&brands, &catalogue)?;
    Ok(made)
}

fn only_known(brands: &BTreeMap<String, Brand>, catalogue: &Catalogue) -> Result<(), Error> {
    let known = |slug: &str| catalogue.partners.keys().any(|known| known.as_str() == slug);
    match brands.keys().find(|slug| !known(slug)) {
        Some(stranger) => Err(broken(format!("accounts of {stranger}, which is no partner"))),
        None => Ok(()),
    }
}

/// Lots and balances, brought together: every brand's lots and holds must be its balances.
fn brands(lots: &[Outstanding], balances: &[Balances], today: NaiveDate) -> Result<BTreeMap<String, Brand>, Error> {
    let mut brands: BTreeMap<String, Brand> = BTreeMap::new();
    for lot in lots {
        let brand = brands.entry(lot.partner.clone()).or_default();
        let rung = match lot.end {
            End::Never => Rung::Never,
            End::On(last) if last < today => Rung::Ended,
            End::On(last) => Rung::Month(month_end(last)),
        };
        *brand.ladder.entry(rung).or_default() += lot.points;
        if rung == Rung::Never {
            brand.tiers.entry(lot.tier.clone()).or_default().never += lot.points;
        }
    }
    for row in balances {
        let brand = brands.entry(row.partner.clone()).or_default();
        if row.held > 0 {
            *brand.ladder.entry(Rung::Held).or_default() += row.held;
        }
        let tier = brand.tiers.entry(row.tier.clone()).or_default();
        (tier.accounts, tier.balance, tier.owed) = (row.accounts, row.balance, row.owed);
    }
    for (slug, brand) in &brands {
        agree(|| format!("the lots and holds of {slug}"), brand.outstanding(), brand.sum(|tier| tier.balance))?;
    }
    Ok(brands)
}

impl Brand {
    fn outstanding(&self) -> i128 {
        self.ladder.values().sum()
    }

    fn on(&self, rung: Rung) -> i128 {
        self.ladder.get(&rung).copied().unwrap_or(0)
    }

    fn sum(&self, of: impl Fn(&Tier) -> i128) -> i128 {
        self.tiers.values().map(of).sum()
    }
}

fn partner_column() -> Column {
    column("partner", "Brand", "品牌", Kind::Text)
}

/// A row a brand: its liability is outstanding points × unit cost.
fn summed(all: &[(&Partner, &Brand)]) -> Result<Section, Error> {
    let columns = vec![
        partner_column(),
        column("name", "Programme", "积分计划", Kind::Text),
        column("accounts", "Accounts", "账户数", Kind::Whole),
        column("outstanding", "Outstanding points", "未兑积分", Kind::Points),
        column("never", "of these never end", "其中永久有效", Kind::Points),
        column("owed", "Owed by members", "会员欠分", Kind::Points),
        column("unit_cost", "Unit cost", "单位成本", Kind::Money),
        column("liability", "Liability", "积分负债", Kind::Money),
    ];
    let (mut rows, mut total, mut accounts) = (Vec::with_capacity(all.len()), 0, 0);
    for (partner, brand) in all {
        let unit_cost = partner.programme.unit_cost;
        let liability = cost(brand.outstanding(), unit_cost);
        let own: i64 = brand.tiers.values().map(|tier| tier.accounts).sum();
        (total, accounts) = (total + liability, accounts + own);
        rows.push(vec![
            text(&partner.slug),
            both(&partner.programme.name.en, &partner.programme.name.zh),
            Cell::Whole(own),
            Cell::Points(brand.outstanding()),
            Cell::Points(brand.on(Rung::Never)),
            Cell::Points(brand.sum(|tier| tier.owed)),
            Cell::money(unit_cost),
            Cell::Money(liability),
        ]);
    }
    let mut totals = vec![Cell::Empty; columns.len()];
    (totals[0], totals[2], totals[7]) = (Cell::Word(words::TOTAL), Cell::Whole(accounts), Cell::Money(total));
    Ok(Section {
        totals: Some(totals), ..section("brands", "Liability by brand", "各品牌积分负债", columns, rows)
    })
}

/// Every version of every estimate; the newest with what it comes to, which is taken off nothing.
fn breakage(conn: &mut PgConnection, own: Option<&str>, all: &[(&Partner, &Brand)]) -> Result<Section, Error> {
    let columns = vec![
        partner_column(),
        column("version", "Version", "版本", Kind::Whole),
        column("stated_on", "Stated on", "声明日期", Kind::Date),
        column("author", "Author", "声明人", Kind::Text),
        column("note", "Basis", "依据", Kind::Text),
        column("share", "Estimate", "估计比例", Kind::Percent),
        column("estimated", "Of the liability", "对应负债", Kind::Money),
    ];
    let (mut rows, mut last) = (Vec::new(), None);
    for estimate in estimates::list(conn, own)? {
        let newest = last.as_ref() != Some(&estimate.partner);
        let brand = all.iter().find(|(partner, _)| partner.slug == estimate.partner).filter(|_| newest);
        let estimated = brand.map(|(partner, brand)| {
            // Down to the whole millionth: it is an estimate.
            let liability = cost(brand.outstanding(), partner.programme.unit_cost);
            Cell::Money((liability * i128::from(estimate.basis_points)).div_euclid(10_000))
        });
        rows.push(vec![
            text(&estimate.partner),
            Cell::Whole(estimate.version),
            Cell::Date(estimate.stated_on),
            text(&estimate.author),
            text(&estimate.note),
            Cell::BasisPoints(estimate.basis_points),
            estimated.unwrap_or(Cell::Empty),
        ]);
        last = Some(estimate.partner);
    }
    Ok(section("breakage", "Breakage as estimated: an input", "失效估计（外部输入）", columns, rows))
}

fn ladder(all: &[(&Partner, &Brand)]) -> Result<Section, Error> {
    let columns = vec![
        partner_column(),
        column("end", "Last day", "最后有效日", Kind::Date),
        column("points", "Points", "积分", Kind::Points),
        column("share", "Share", "占比", Kind::Percent),
        column("cumulative", "Cumulative", "累计", Kind::Points),
        column("liability", "Liability", "积分负债", Kind::Money),
    ];
    let mut rows = Vec::new();
    for (partner, brand) in all {
        let mut so_far = 0;
        for (rung, count) in &brand.ladder {
            so_far += count;
            let share = share(*count, brand.outstanding());
            rows.push(vec![
                text(&partner.slug),
                rung.cell(),
                Cell::Points(*count),
                share.map_or(Cell::Empty, Cell::BasisPoints),
                Cell::Points(so_far),
                Cell::Money(cost(*count, partner.programme.unit_cost)),
            ]);
        }
    }
    let total = all.iter().map(|(partner, brand)| cost(brand.outstanding(), partner.programme.unit_cost)).sum();
    let mut totals = vec![Cell::Empty; columns.len()];
    (totals[0], totals[5]) = (Cell::Word(words::TOTAL), Cell::Money(total));
    Ok(Section { totals: Some(totals), ..section("ladder", "When points end", "到期阶梯", columns, rows) })
}

impl Rung {
    fn cell(self) -> Cell {
        match self {
            Rung::Ended => Cell::Word(Word::new("ended", "Ended, not yet posted", "已到期未入账")),
            Rung::Month(last) => Cell::Date(last),
            Rung::Never => Cell::Word(words::NEVER),
            Rung::Held => Cell::Word(Word::new("held", "Held", "冻结中")),
        }
    }
}

/// In hundredths of a percent, half up; `None` of nothing.
fn share(part: i128, whole: i128) -> Option<i64> {
    (part * 20_000 + whole).checked_div(2 * whole).and_then(|share| i64::try_from(share).ok())
}

fn tiers(all: &[(&Partner, &Brand)]) -> Result<Section, Error> {
    let columns = vec![
        partner_column(),
        column("tier", "Tier", "等级", Kind::Text),
        column("accounts", "Accounts", "账户数", Kind::Whole),
        column("points", "Points", "积分", Kind::Points),
        column("never", "of these never end", "其中永久有效", Kind::Points),
        column("liability", "Liability", "积分负债", Kind::Money),
    ];
    let (mut rows, mut total, mut accounts) = (Vec::new(), 0, 0);
    for (partner, brand) in all {
        for (code, tier) in &brand.tiers {
            let liability = cost(tier.balance, partner.programme.unit_cost);
            (total, accounts) = (total + liability, accounts + tier.accounts);
            rows.push(vec![
                text(&partner.slug),
                text(code),
                Cell::Whole(tier.accounts),
                Cell::Points(tier.balance),
                Cell::Points(tier.never),
                Cell::Money(liability),
            ]);
        }
    }
    let of_brands = all.iter().map(|(partner, brand)| cost(brand.outstanding(), partner.programme.unit_cost)).sum();
    agree(|| "the liability of all tiers".to_owned(), total, of_brands)?;
    let mut totals = vec![Cell::Empty; columns.len()];
    (totals[0], totals[2], totals[5]) = (Cell::Word(words::TOTAL), Cell::Whole(accounts), Cell::Money(total));
    Ok(Section { totals: Some(totals), ..section("tiers", "By earned tier", "按等级", columns, rows) })
}

/// Brands that keep their own accounts, with what stands of theirs for the newest window they have reported for. It adds up with
/// nothing here.
fn as_reported(remote: &[&Partner], standing: &[Row]) -> Result<Section, Error> {
    let columns = vec![
        partner_column(),
        column("name", "Programme", "积分计划", Kind::Text),
        column("reported", "As reported", "自报情况", Kind::Text),
        column("window", "For window", "结算期", Kind::Whole),
        column("as_of", "As of", "截至日期", Kind::Date),
        column("points", "Points", "积分", Kind::Points),
        column("never", "of these never end", "其中永久有效", Kind::Points),
        column("unit_cost", "Unit cost", "单位成本", Kind::Money),
        column("liability", "Liability", "积分负债", Kind::Money),
        column("stated_at", "Stated", "申报时间", Kind::Instant),
        column("certificate", "By certificate", "申报证书", Kind::Text),
        column("version", "Version", "版本", Kind::Whole),
        column("note", "Note", "备注", Kind::Text),
    ];
    let mut rows = Vec::with_capacity(remote.len());
    for partner in remote {
        let name = &partner.programme.name;
        let stated = standing.iter().find(|row| row.partner == partner.slug);
        let word = if stated.is_some() { REPORTED } else { NOT_REPORTED };
        let mut row = vec![text(&partner.slug), both(&name.en, &name.zh), Cell::Word(word)];
        match stated {
            Some(stated) => row.extend(figures(stated, partner.programme.unit_cost)?),
            None => row.resize(columns.len(), Cell::Empty),
        }
        rows.push(row);
    }
    Ok(section("remote", "Remote brands: as reported, not proven", "外部品牌：自报未核实", columns, rows))
}

const REPORTED: Word = Word::new("reported", "As reported, not proven", "自报未核实");
const NOT_REPORTED: Word = Word::new("not_reported", "Nothing reported", "未申报");

fn figures(stated: &Row, unit_cost: Millionths) -> Result<[Cell; 10], Error> {
    Ok([
        Cell::Whole(stated.number),
        Cell::Date(stated.as_of),
        Cell::Points(stated.points.into()),
        stated.never.map_or(Cell::Empty, |points| Cell::Points(points.into())),
        Cell::money(unit_cost),
        Cell::Money(cost(stated.points.into(), unit_cost)),
        Cell::Instant(stated.stated_at.fixed_offset()),
        text(&stated.certificate),
        Cell::Whole(stated.version),
        optional(stated.note.as_ref()),
    ])
}

fn notes(all_hosted: bool) -> Vec<Text> {
    let mut notes = vec![
        Text::new(
            "Outstanding points are the balances of the accounts kept here, pending and held points with them, as they stand; they are proven by the journal. The liability is points × the unit cost the brand states. Points of different brands do not add up; their costs do.",
            "未兑积分为本系统所记账户余额（含待生效与冻结积分）的当前值，可由分录逐笔核对。积分负债 = 积分 × 品牌声明的单位成本。不同品牌的积分不可相加，金额可以相加。",
        ),
        Text::new(
            "Points that never end are a row of their own. Points past their last day count until the expiry run has posted them. What members owe is no part of the balances.",
            "永久有效的积分单独列示。已过最后有效日的积分在失效入账前仍计入。会员欠分不计入余额。",
        ),
        Text::new(
            "Breakage is an estimate that the brand states, with its author, date and version. It stands beside the liability and is taken off no figure here.",
            "失效估计由品牌声明，附声明人、日期与版本；仅供并列参考，不从本表任何数字中扣除。",
        ),
    ];
    if all_hosted {
        notes.push(Text::new(
            "Every brand's accounts are kept here: there is no brand whose points are only as it reports them.",
            "所有品牌账户均由本系统记录，无仅凭自报的品牌。",
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_half_up() {
        let of_three = [1, 1, 1].map(|part| share(part, 3));
        assert_eq!(of_three, [Some(3_333); 3]);
        assert_eq!([share(2, 3), share(1, 20_000), share(1, 20_001)], [Some(6_667), Some(1), Some(0)]);
        assert_eq!([share(7, 7), share(0, 7), share(0, 0)], [Some(10_000), Some(0), None]);
    }
}
