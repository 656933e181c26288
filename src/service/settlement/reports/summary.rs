//! A window of the whole alliance: what was converted, what everybody's statement says and how it was answered, what is
//! paid.

use super::frame::{Frame, agree, column, fact, report, section, text};
use super::payload::Payload;
use super::taken::{Taken, taken};
use super::{Error, Name, Wanted, words};
use crate::domain::settlement::obligation;
use crate::domain::settlement::tally::Sort;
use crate::service::reports::{AS_OF, Cell, Kind, Report, Section, Text, Word};
use crate::store::settlement::obligations::{self, Row};
use crate::store::settlement::reports as stored;
use crate::store::settlement::statements;
use chrono::NaiveDate;
use diesel::PgConnection;

type Signed = (statements::Row, Payload);

/// Sorts that belong together in a column.
const BONUSES: [Sort; 2] = [Sort::BonusByMe, Sort::BonusByOthers];
const FEES: [Sort; 2] = [Sort::Fee, Sort::FeeBack];
const BENEFITS: [Sort; 2] = [Sort::BenefitGiven, Sort::BenefitPaid];
const TAKEN: [Sort; 2] = [Sort::Reversal, Sort::EarlierReversal];

/// The operator's alone: `Err(NotFound)` for anybody else.
pub fn make(conn: &mut PgConnection, wanted: &Wanted) -> Result<Report, Error> {
    if wanted.participant.is_some() {
        return Err(Error::NotFound);
    }
    let frame = Frame::open(conn, wanted)?;
    let taken = taken(conn, &frame)?;
    let adjusted = stored::adjustments(conn, frame.window.id, None)?;
    let adjusted: Vec<i128> = adjusted.iter().map(|row| i128::from(row.amount.get()).abs()).collect();
    let owed = obligations::list(conn, Some(frame.window.id), None)?;
    let mut facts = frame.facts(wanted)?;
    facts.push(fact(AS_OF, "States as of", "状态截至", Cell::Date(wanted.today)));
    let mut made = report(Name::Summary, facts);
    made.sections = vec![
        figures(&frame.statements, &taken, &adjusted)?,
        participants(&frame.statements)?,
        owing(&owed, wanted.today)?,
    ];
    made.notes = notes();
    Ok(made)
}

fn sum(statements: &[Signed], sorts: &[Sort]) -> i128 {
    statements.iter().map(|(_, payload)| payload.totals.sum(sorts)).sum()
}

/// What moved, once each: every amount is one side's receivable and the other's payable.
fn figures(statements: &[Signed], taken: &Taken, adjusted: &[i128]) -> Result<Section, Error> {
    let columns = vec![
        column("item", "Item", "项目", Kind::Text),
        column("count", "Count", "笔数", Kind::Whole),
        column("amount", "Amount", "金额", Kind::Money),
    ];
    for sorts in [&[Sort::Out, Sort::In], &BONUSES, &BENEFITS, &FEES, &TAKEN] {
        agree(|| format!("{} of all participants", sorts[0].code()), sum(statements, sorts), 0)?;
    }
    let lines = |sort: Sort| statements.iter().map(|(_, payload)| payload.totals.of(sort).lines).sum::<i64>();
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let nets = || statements.iter().map(|(_, payload)| i128::from(payload.net.get())).filter(|net| *net > 0);
    let operator = statements.iter().filter(|(row, _)| row.participant.is_operator());
    let fees = operator.map(|(_, payload)| payload.totals.sum(&FEES)).sum();
    let item = |code, en, zh, count: i64, value: i128| -> Result<Vec<Cell>, Error> {
        Ok(vec![Cell::Word(Word::new(code, en, zh)), Cell::Whole(count), Cell::Money(value)])
    };
    let back = |sort, en, zh| item(words::sort(sort).code, en, zh, taken.count(sort), taken.value(sort));
    let rows = vec![
        item("conversions", "Conversions, gross", "转换总额", lines(Sort::Out), sum(statements, &[Sort::In]))?,
        item(
            "bonuses",
            "Bonuses paid by another",
            "他方承担的加赠",
            lines(Sort::BonusByOthers),
            sum(statements, &[Sort::BonusByOthers]),
        )?,
        item(
            "benefits",
            "Benefits paid by another",
            "他方承担的权益",
            lines(Sort::BenefitPaid),
            sum(statements, &[Sort::BenefitGiven]),
        )?,
        item("fees", "Fees, less given back", "手续费（扣减退回）", lines(Sort::Fee), fees)?,
        back(Sort::Reversal, "Taken back of this window", "冲正本期转换")?,
        back(Sort::EarlierReversal, "Taken back of earlier windows", "冲正前期转换")?,
        item("adjustments", "Adjustments", "调整", count(adjusted.len()), adjusted.iter().sum())?,
        item("net", "Net, to be received", "轧差后应收净额", count(nets().count()), nets().sum())?,
    ];
    Ok(section("figures", "The window", "本期概览", columns, rows))
}

fn participants(statements: &[Signed]) -> Result<Section, Error> {
    let columns = vec![
        column("participant", "Participant", "结算参与方", Kind::Text),
        column("conversions_out", "Out", "转出笔数", Kind::Whole),
        column("value_out", "Value out", "转出金额", Kind::Money),
        column("conversions_in", "In", "转入笔数", Kind::Whole),
        column("points_in", "Points in", "转入积分", Kind::Points),
        column("value_in", "Value in", "转入金额", Kind::Money),
        column("bonuses", "Bonuses", "加赠", Kind::Money),
        column("benefits", "Benefits", "权益", Kind::Money),
        column("fees", "Fees", "手续费", Kind::Money),
        column("taken_back", "Taken back", "冲正", Kind::Money),
        column("adjustments", "Adjustments", "调整", Kind::Money),
        column("net", "Net", "净额", Kind::Money),
        column("closing", "Closing position", "期末结算头寸", Kind::Money),
        column("state", "Statement", "对账单状态", Kind::Text),
    ];
    let sorts: [&[Sort]; 7] = [&[Sort::Out], &[Sort::In], &BONUSES, &BENEFITS, &FEES, &TAKEN, &[Sort::Adjustment]];
    let mut rows = Vec::with_capacity(statements.len());
    for (row, payload) in statements {
        let figures: Vec<Cell> = sorts.iter().map(|sorts| Cell::Money(payload.totals.sum(sorts))).collect();
        let [value_out, value_in, rest @ ..] = figures.as_slice() else { continue };
        let mut cells = vec![
            text(&payload.participant),
            Cell::Whole(payload.totals.of(Sort::Out).lines),
            value_out.clone(),
            Cell::Whole(payload.totals.of(Sort::In).lines),
            Cell::Points(payload.totals.of(Sort::In).points),
            value_in.clone(),
        ];
        cells.extend(rest.iter().cloned());
        cells.extend([Cell::money(payload.net), Cell::money(payload.closing)]);
        cells.push(Cell::Word(words::statement_state(row.state)));
        rows.push(cells);
    }
    let lines = |sort: Sort| statements.iter().map(|(_, payload)| payload.totals.of(sort).lines).sum::<i64>();
    let net: i128 = statements.iter().map(|(_, payload)| i128::from(payload.net.get())).sum();
    agree(|| "the nets of all statements".to_owned(), net, 0)?;
    agree(|| "conversions out and in".to_owned(), lines(Sort::Out).into(), lines(Sort::In).into())?;
    let closing = statements.iter().map(|(_, payload)| i128::from(payload.closing.get())).sum();
    let mut totals = vec![Cell::Word(words::TOTAL)];
    totals.extend([Cell::Whole(lines(Sort::Out)), Cell::Money(sum(statements, sorts[0]))]);
    totals.extend([Cell::Whole(lines(Sort::In)), Cell::Empty, Cell::Money(sum(statements, sorts[1]))]);
    for sorts in &sorts[2..] {
        totals.push(Cell::Money(sum(statements, sorts)));
    }
    totals.extend([Cell::Money(net), Cell::Money(closing), Cell::Empty]);
    Ok(Section { totals: Some(totals), ..section("participants", "Participants", "各结算参与方", columns, rows) })
}

fn owing(owed: &[Row], today: NaiveDate) -> Result<Section, Error> {
    let columns = vec![
        column("debtor", "Debtor", "付款方", Kind::Text),
        column("debtor_entity", "its legal entity", "付款主体", Kind::Text),
        column("creditor", "Creditor", "收款方", Kind::Text),
        column("creditor_entity", "its legal entity", "收款主体", Kind::Text),
        column("due_on", "Due on", "到期日", Kind::Date),
        column("state", "State", "状态", Kind::Text),
        column("amount", "Amount", "金额", Kind::Money),
        column("paid", "Paid", "已付", Kind::Money),
        column("left", "Unpaid", "未付", Kind::Money),
    ];
    let left = |row: &Row| i128::from(row.amount.get()) - i128::from(row.paid.get());
    let row = |row: &Row| {
        Ok(vec![
            text(&row.debtor),
            text(&row.debtor_entity),
            text(&row.creditor),
            text(&row.creditor_entity),
            Cell::Date(row.due_on),
            Cell::Word(words::obligation_state(obligation::state(row.amount, row.paid, row.due_on, today))),
            Cell::money(row.amount),
            Cell::money(row.paid),
            Cell::Money(left(row)),
        ])
    };
    let rows = owed.iter().map(row).collect::<Result<_, Error>>()?;
    let mut totals = vec![Cell::Empty; columns.len()];
    totals[0] = Cell::Word(words::TOTAL);
    totals[6] = Cell::Money(owed.iter().map(|row| i128::from(row.amount.get())).sum());
    totals[7] = Cell::Money(owed.iter().map(|row| i128::from(row.paid.get())).sum());
    totals[8] = Cell::Money(owed.iter().map(left).sum());
    Ok(Section { totals: Some(totals), ..section("obligations", "Obligations", "付款义务", columns, rows) })
}

fn notes() -> Vec<Text> {
    vec![
        Text::new(
            "Every amount of the overview is counted once, though it is on two statements. By participant, amounts are signed as its statement has them: positive is owed to it. They add up to zero.",
            "概览中每笔金额只计一次（虽出现在双方对账单中）。各结算参与方金额按其对账单列示：正数为应收，合计为零。",
        ),
        Text::new(
            "Points in are the participant's own; points of different brands do not add up. States of statements and obligations are as they stand at the moment above.",
            "转入积分为该品牌自有积分，不同品牌的积分不可相加。对账单与付款义务的状态截至上列时间。",
        ),
    ]
}
