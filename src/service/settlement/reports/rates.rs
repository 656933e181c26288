//! Every version of rates, agreements and campaigns ever published between partners.

use super::ageing::of_now;
use super::frame::{both, catalogue, column, open_facts, report, section, text};
use super::{Error, Name, Wanted, words};
use crate::domain::catalogue::{Agreement, Campaign, Pair};
use crate::domain::ids::Slug;
use crate::domain::points::Points;
use crate::domain::rate::{Rate, TierScope};
use crate::service::reports::{Cell, Column, Kind, Report, Section, Text, Word};
use crate::store::catalogue::history::{self, Between};
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use std::collections::BTreeMap;

type Pairs = BTreeMap<(Slug, Slug), Pair>;

pub fn make(conn: &mut PgConnection, wanted: &Wanted) -> Result<Report, Error> {
    of_now(wanted)?;
    let catalogue = catalogue(conn)?;
    let facts = open_facts(&catalogue, wanted)?;
    let own = wanted.participant.as_ref().map(|of| of.partner());
    let between = match (&wanted.pair, own) {
        // Of two others a partner sees nothing, the operator is a side of none.
        (_, Some(None)) => return Err(Error::Absent("rate of the operator: rates are between partners".to_owned())),
        (Some((one, other)), Some(Some(own))) if own != one && own != other => return Err(Error::NotFound),
        (Some((one, other)), _) => Between { one: Some(one), other: Some(other) },
        (None, own) => Between { one: own.flatten(), other: None },
    };
    let known = |slug: &Slug| catalogue.partners.contains_key(slug);
    if [between.one, between.other].into_iter().flatten().any(|slug| !known(slug)) {
        return Err(Error::NotFound);
    }
    let pairs = history::all(conn, between)?;
    let mut made = report(Name::Rates, facts);
    made.sections = vec![rates(&pairs), agreements(&pairs), campaigns(&pairs)];
    made.notes = notes();
    Ok(made)
}

/// One row of every version of something, with its direction before it.
fn rows<'a, T: 'a>(
    pairs: &'a Pairs,
    of: impl Fn(&'a Pair) -> &'a [T],
    cells: impl Fn(&'a T) -> Vec<Cell>,
) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for ((from, to), pair) in pairs {
        rows.extend(of(pair).iter().map(|version| [text(from), text(to)].into_iter().chain(cells(version)).collect()));
    }
    rows
}

fn columns(of: Vec<Column>, dated: bool) -> Vec<Column> {
    let mut columns = vec![column("from", "From", "转出方", Kind::Text), column("to", "To", "转入方", Kind::Text)];
    columns.extend(of);
    columns.push(column("valid_from", "Valid from", "生效", Kind::Instant));
    columns.extend(dated.then(|| column("valid_to", "Valid to", "失效", Kind::Instant)));
    columns.push(column("superseded_from", "Replaced from", "被替代", Kind::Instant));
    columns
}

fn rates(pairs: &Pairs) -> Section {
    let columns = columns(
        vec![
            column("version", "Version", "版本", Kind::Whole),
            column("tier", "Tier", "等级", Kind::Text),
            column("rate", "Rate", "汇率", Kind::Text),
            column("step", "Step", "步长", Kind::Points),
            column("minimum", "Minimum", "最低", Kind::Points),
            column("maximum", "Maximum", "最高", Kind::Points),
            column("public", "Public", "公开", Kind::Text),
        ],
        true,
    );
    let cells = |rate: &Rate| {
        vec![
            Cell::Whole(rate.version),
            tier(&rate.tier),
            // As people say it: so many points of the origin for so many of the target.
            Cell::Text(format!("{}:{}", rate.ratio.den(), rate.ratio.num())),
            some_points(Some(rate.step)),
            some_points(Some(rate.minimum)),
            some_points(rate.maximum),
            yes(rate.public),
            Cell::Instant(rate.valid_from.fixed_offset()),
            instant(rate.valid_to),
            instant(rate.superseded_from),
        ]
    };
    section("rates", "Rates", "汇率", columns, rows(pairs, |pair| &pair.rates, cells))
}

fn agreements(pairs: &Pairs) -> Section {
    let columns = columns(
        vec![
            column("version", "Version", "版本", Kind::Whole),
            column("settlement_price", "Settlement price", "结算单价", Kind::Money),
            column("fee", "Fee", "手续费率", Kind::Percent),
            column("fee_payer", "Fee payer", "付费方", Kind::Text),
            column("notice_days", "Notice, days", "通知期（天）", Kind::Whole),
            column("undo_s", "Undo, seconds", "撤销时限（秒）", Kind::Whole),
            column("grace_days", "Grace, days", "宽限期（天）", Kind::Whole),
            column("dispute_days", "Disputes, days", "争议期（天）", Kind::Whole),
            column("exposure_limit", "Stop line", "敞口上限", Kind::Money),
            column("confirmed", "Reversal confirmed", "冲正须确认", Kind::Text),
            column("renews", "Renewed on arrival", "到账续期", Kind::Text),
            column("target_pays", "Target pays what is spent", "已用由转入方承担", Kind::Text),
        ],
        false,
    );
    let cells = |terms: &Agreement| {
        vec![
            Cell::Whole(terms.version),
            Cell::money(terms.settlement_price),
            Cell::BasisPoints(terms.fee_basis_points),
            Cell::Word(words::party(terms.fee_payer)),
            Cell::Whole(terms.notice_days.into()),
            Cell::Whole(terms.undo_s.into()),
            Cell::Whole(terms.grace_days.into()),
            Cell::Whole(terms.dispute_days.into()),
            terms.exposure_limit.map_or(Cell::Empty, Cell::money),
            yes(terms.reversal_needs_confirmation),
            yes(terms.renews_on_arrival),
            yes(terms.target_pays_spent),
            Cell::Instant(terms.valid_from.fixed_offset()),
            instant(terms.superseded_from),
        ]
    };
    section("agreements", "Agreements", "双边协议", columns, rows(pairs, |pair| &pair.agreements, cells))
}

fn campaigns(pairs: &Pairs) -> Section {
    let columns = columns(
        vec![
            column("code", "Campaign", "活动代码", Kind::Text),
            column("version", "Version", "版本", Kind::Whole),
            column("name", "Name", "名称", Kind::Text),
            column("tier", "Tier", "等级", Kind::Text),
            column("bonus", "Bonus", "加赠", Kind::Percent),
            column("funder", "Paid by", "出资方", Kind::Text),
            column("stacks", "Adds up", "可叠加", Kind::Text),
        ],
        true,
    );
    let cells = |campaign: &Campaign| {
        vec![
            text(&campaign.code),
            Cell::Whole(campaign.version),
            both(&campaign.name.en, &campaign.name.zh),
            tier(&campaign.tier),
            Cell::BasisPoints(campaign.bonus_basis_points),
            Cell::Word(words::party(campaign.funder)),
            yes(campaign.stacks),
            Cell::Instant(campaign.valid_from.fixed_offset()),
            Cell::Instant(campaign.valid_to.fixed_offset()),
            instant(campaign.superseded_from),
        ]
    };
    section("campaigns", "Campaigns", "加赠活动", columns, rows(pairs, |pair| &pair.campaigns, cells))
}

fn tier(scope: &TierScope) -> Cell {
    match scope {
        TierScope::Any => Cell::Word(Word::new("*", "Any", "全部")),
        TierScope::Only(code) => text(code),
    }
}

fn yes(is: bool) -> Cell {
    Cell::Word(if is { words::YES } else { words::NO })
}

fn some_points(points: Option<Points>) -> Cell {
    points.map_or(Cell::Empty, |points| Cell::Points(points.get().into()))
}

fn instant(at: Option<DateTime<Utc>>) -> Cell {
    at.map_or(Cell::Empty, |at| Cell::Instant(at.fixed_offset()))
}

fn notes() -> Vec<Text> {
    vec![Text::new(
        "A version is never changed; a later one replaces it from the moment named. A rate is points of the origin : points of the target. It ends at the earlier of the two last columns.",
        "版本一经发布不再更改，由后续版本自所列时间起替代。汇率为 转出积分 : 转入积分，以最后两列较早者为止。",
    )]
}
