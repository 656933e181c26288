//! Who owes whom for a window, two by two; all of it together is nothing.

use super::frame::{Frame, agree, both, column, report, section, text};
use super::payload::Payload;
use super::{Error, Name, Wanted, broken, words};
use crate::domain::settlement::Participant;
use crate::domain::settlement::netting::{Net, Nets};
use crate::domain::settlement::tally::Sort;
use crate::service::reports::{Cell, Column, Kind, Report, Section, Text};
use crate::store::settlement::tallies;
use diesel::PgConnection;

/// Participants a matrix has at most: more would not fit on paper.
const MATRIX_MAX: usize = 12;

/// One pair, seen from the first.
struct Pair {
    one: Participant,
    other: Participant,
    /// What the first owes for its points that became the other's, with bonuses, less what was taken back.
    one_owes: i128,
    other_owes: i128,
    one_points: i128,
    other_points: i128,
    net: Net,
}

pub fn make(conn: &mut PgConnection, wanted: &Wanted) -> Result<Report, Error> {
    let frame = Frame::open(conn, wanted)?;
    let nets = nets(conn, &frame)?;
    let shown = |of: &Participant| wanted.participant.as_ref().is_none_or(|wanted| wanted == of);
    let mut pairs = Vec::new();
    for (one, own) in &nets {
        for (other, net) in own.iter().filter(|(other, _)| one < *other && (shown(one) || shown(other))) {
            pairs.push(pair(&frame, &nets, one, other, *net)?);
        }
    }
    let mut made = report(Name::Pairs, frame.facts(wanted)?);
    made.sections.push(positions(&frame, &nets, wanted)?);
    if wanted.participant.is_none() && (2..=MATRIX_MAX).contains(&nets.len()) {
        made.sections.push(matrix(&nets)?);
    }
    made.sections.push(listed(&pairs)?);
    made.notes = notes();
    Ok(made)
}

/// The stored nets, which must be what the statements say.
fn nets(conn: &mut PgConnection, frame: &Frame) -> Result<Nets, Error> {
    let nets = tallies::nets_of_all(conn, frame.window.id)?;
    for (of, own) in &nets {
        let (_, signed) = frame.statement(of)?;
        for (with, net) in own {
            let signed = signed.with(with).ok_or_else(|| broken(format!("no statement has {of} with {with}")))?;
            let what = || format!("the net of {of} with {with}");
            agree(what, net.rounded.get().into(), signed.total.get().into())?;
        }
    }
    Ok(nets)
}

fn pair(frame: &Frame, nets: &Nets, one: &Participant, other: &Participant, net: Net) -> Result<Pair, Error> {
    let with = |of: &Participant, with: &Participant| -> Result<_, Error> {
        let (_, payload) = frame.statement(of)?;
        payload.with(with).ok_or_else(|| broken(format!("the statement of {of} has nothing with {with}")))
    };
    let gross = |of: &Participant, with: &Participant| {
        let net = nets.get(of).and_then(|own| own.get(with));
        net.map_or(0, |net| i128::from(net.gross.get()))
    };
    let (left, right) = (with(one, other)?, with(other, one)?);
    let (one_owes, other_owes) = match (one.partner(), other.partner()) {
        (Some(_), Some(_)) => (gross(one, other), gross(other, one)),
        // With the operator: fees one way, bonuses it funds the other; an adjustment by its sign.
        _ => {
            let partner = if one.is_operator() { right } else { left };
            let fees = -partner.figures.sum(&[Sort::Fee, Sort::FeeBack]);
            let adjusted = partner.figures.sum(&[Sort::Adjustment]);
            // A benefit the operator pays for is owed by it, as a bonus is.
            let partner_owes = fees + (-adjusted).max(0);
            let operator_owes = partner_owes + i128::from(partner.exact.get());
            if one.is_operator() { (operator_owes, partner_owes) } else { (partner_owes, operator_owes) }
        }
    };
    agree(|| format!("the two sides of {one} and {other}"), other_owes - one_owes, net.exact.get().into())?;
    let out = |of: &super::payload::Counterparty| of.figures.of(Sort::Out).points;
    Ok(Pair {
        one: one.clone(),
        other: other.clone(),
        one_owes,
        other_owes,
        one_points: out(left),
        other_points: out(right),
        net,
    })
}

fn listed(pairs: &[Pair]) -> Result<Section, Error> {
    let columns = vec![
        column("a", "A", "甲方 A", Kind::Text),
        column("b", "B", "乙方 B", Kind::Text),
        column("points_ab", "Points A→B", "积分 A→B", Kind::Points),
        column("points_ba", "Points B→A", "积分 B→A", Kind::Points),
        column("a_owes_b", "A owes B", "A 应付 B", Kind::Money),
        column("b_owes_a", "B owes A", "B 应付 A", Kind::Money),
        column("exact", "Exact net to A", "A 未舍入净额", Kind::Money),
        column("net", "Net to A", "A 应收净额", Kind::Money),
    ];
    let row = |pair: &Pair| {
        Ok(vec![
            text(&pair.one),
            text(&pair.other),
            Cell::Points(pair.one_points),
            Cell::Points(pair.other_points),
            Cell::Money(pair.one_owes),
            Cell::Money(pair.other_owes),
            Cell::money(pair.net.exact),
            Cell::money(pair.net.rounded),
        ])
    };
    let rows = pairs.iter().map(row).collect::<Result<_, Error>>()?;
    let sum = |of: fn(&Pair) -> i128| pairs.iter().map(of).sum::<i128>();
    let (by_a, by_b) = (sum(|pair| pair.one_owes), sum(|pair| pair.other_owes));
    let exact = sum(|pair| pair.net.exact.get().into());
    agree(|| "all that is owed to A".to_owned(), by_b - by_a, exact)?;
    // Points of different brands do not add up.
    let totals = [Cell::Word(words::TOTAL), Cell::Empty, Cell::Empty, Cell::Empty].into_iter();
    let totals = totals.chain([
        Cell::Money(by_a),
        Cell::Money(by_b),
        Cell::Money(exact),
        Cell::Money(sum(|pair| pair.net.rounded.get().into())),
    ]);
    Ok(Section { totals: Some(totals.collect()), ..section("pairs", "Pairs", "两两明细", columns, rows) })
}

/// What everybody is to receive and to pay; the totals show that nothing is left over.
fn positions(frame: &Frame, nets: &Nets, wanted: &Wanted) -> Result<Section, Error> {
    let columns = vec![
        column("participant", "Participant", "结算参与方", Kind::Text),
        column("name", "Name", "名称", Kind::Text),
        column("receivable", "Owed to it", "应收", Kind::Money),
        column("payable", "Owed by it", "应付", Kind::Money),
        column("net", "Net", "净额", Kind::Money),
    ];
    let (mut owed_to, mut owed_by, mut rows) = (0, 0, Vec::new());
    for (of, own) in nets {
        let rounded = || own.values().map(|net| i128::from(net.rounded.get()));
        let (to, by): (i128, i128) = (rounded().filter(|net| *net > 0).sum(), rounded().filter(|net| *net < 0).sum());
        let (_, payload): &(_, Payload) = frame.statement(of)?;
        agree(|| format!("the net of {of}"), to + by, payload.net.get().into())?;
        (owed_to, owed_by) = (owed_to + to, owed_by - by);
        if wanted.participant.as_ref().is_none_or(|wanted| wanted == of) {
            let named = frame.named(of)?;
            let name = both(&named.name_en, &named.name_zh);
            rows.push(vec![text(of), name, Cell::Money(to), Cell::Money(-by), Cell::Money(to + by)]);
        }
    }
    agree(|| "all that is owed".to_owned(), owed_to, owed_by)?;
    let totals = vec![
        Cell::Word(words::TOTAL),
        Cell::Empty,
        Cell::Money(owed_to),
        Cell::Money(owed_by),
        Cell::Money(owed_to - owed_by),
    ];
    let totals = wanted.participant.is_none().then_some(totals);
    Ok(Section { totals, ..section("positions", "Positions", "各方结算头寸", columns, rows) })
}

/// Row: who is to receive; column: from whom. Each amount is there twice, once with either sign.
fn matrix(nets: &Nets) -> Result<Section, Error> {
    let rounded = |of: &Participant, with: &Participant| {
        nets.get(of).and_then(|own| own.get(with)).map(|net| i128::from(net.rounded.get()))
    };
    let mut columns = vec![column("participant", "Net to ↓ from →", "应收方 ↓ 付款方 →", Kind::Text)];
    columns.extend(nets.keys().map(|with| Column::new(with.to_string(), Text::new(with.to_string(), ""), Kind::Money)));
    columns.push(column("net", "Net", "净额", Kind::Money));
    let row = |of: &Participant| {
        let mut cells = vec![text(of)];
        for with in nets.keys() {
            cells.push(rounded(of, with).map_or(Cell::Empty, Cell::Money));
        }
        cells.push(Cell::Money(nets.keys().filter_map(|with| rounded(of, with)).sum()));
        Ok(cells)
    };
    let rows = nets.keys().map(row).collect::<Result<_, Error>>()?;
    let mut totals = vec![Cell::Word(words::TOTAL)];
    for with in nets.keys() {
        totals.push(Cell::Money(nets.keys().filter_map(|of| rounded(of, with)).sum()));
    }
    totals.push(Cell::Money(0));
    Ok(Section { totals: Some(totals), ..section("matrix", "Matrix", "矩阵", columns, rows) })
}

fn notes() -> Vec<Text> {
    vec![
        Text::new(
            "A owes B for A's points that became B's, with the bonuses A funds, less what was taken back, and what was adjusted; with the operator, for fees. Points are B's, as they were credited.",
            "A 应付 B：A 的积分转为 B 的积分的价款，加上由 A 承担的加赠，减去冲正，并含调整；对运营方则为手续费。积分为记入 B 账户的积分。",
        ),
        Text::new(
            "The net of each pair is rounded once, alike for both sides; all nets together are zero.",
            "每一对的净额仅舍入一次，双方同额；全部净额合计为零。",
        ),
    ]
}
