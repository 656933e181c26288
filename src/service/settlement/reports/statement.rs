//! One participant's window: what it opened with, what its lines came to with everybody, what was paid, what it closed
//! with, and what proves it.

use super::frame::{Frame, agree, column, fact, optional, refused, report, section, text};
use super::payload::{Counterparty, Payload};
use super::{Error, Name, Wanted, words};
use crate::domain::money::Millionths;
use crate::domain::settlement::Participant;
use crate::domain::settlement::tally::Sort;
use crate::service::reports::{Cell, Column, Fact, Kind, Report, Section, Text, Word};
use crate::service::settlement::statement::hex;
use crate::store::settlement::reports::{self as stored, Adjustment, Payment};
use crate::store::settlement::statements::{self, Signature};
use diesel::PgConnection;

pub fn make(conn: &mut PgConnection, wanted: &Wanted) -> Result<Report, Error> {
    let of = wanted.participant.as_ref().ok_or_else(|| refused("a statement is of one participant: say of which"))?;
    let frame = Frame::open(conn, wanted)?;
    let (row, payload) = frame.statement(of)?;
    let adjustments = stored::adjustments(conn, row.window, Some(of.as_str()))?;
    let payments = stored::payments(conn, row.window, of.as_str())?;
    let signatures = statements::signatures(conn, row.id)?;
    let mut facts = frame.facts(wanted)?;
    facts.extend(proof(row, payload));
    let mut made = report(Name::Statement, facts);
    made.sections = vec![
        position(payload),
        obligations(payload),
        counterparties(payload)?,
        fees(payload),
        adjusted(of, payload, &adjustments)?,
        paid(of, payload, &payments)?,
        parties(&frame, payload)?,
        controls(payload)?,
        signed(&signatures),
    ];
    made.notes = notes();
    Ok(made)
}

/// The lines, and where the statement stands in its chain and in the log.
fn proof(row: &statements::Row, payload: &Payload) -> Vec<Fact> {
    let lines = &payload.lines;
    let whole = |value: Option<i64>| value.map_or(Cell::Empty, Cell::Whole);
    let mut facts = vec![
        fact("state", "State", "状态", Cell::Word(words::statement_state(row.state))),
        fact("lines", "Lines", "明细行数", Cell::Whole(lines.count)),
        fact("first_line", "First line", "首行号", whole(lines.first)),
        fact("last_line", "Last line", "末行号", whole(lines.last)),
        fact("leaf_index", "Place in the log", "日志序号", Cell::Whole(row.leaf_index)),
        fact("root", "Root of the lines", "明细树根", text(&lines.root)),
        fact("leaf", "Leaf in the log", "日志叶哈希", text(hex(&row.leaf))),
    ];
    if let Some(previous) = &payload.previous {
        let text_of = format!("{} {}", previous.window, previous.leaf);
        facts.push(fact("previous", "Previous window, leaf", "上期及其叶哈希", text(text_of)));
    }
    facts
}

fn position(payload: &Payload) -> Section {
    let row = |code, en, zh, value| vec![Cell::Word(Word::new(code, en, zh)), Cell::money(value)];
    let rows = vec![
        row("opening", "Opening position", "期初结算头寸", payload.opening),
        row("net", "Net of this window", "本期净额", payload.net),
        row("payments", "Payments recorded in it", "本期收付", payload.payments),
    ];
    let columns = vec![item(), column("amount", "Amount", "金额", Kind::Money)];
    let totals = Some(row("closing", "Closing position", "期末结算头寸", payload.closing));
    Section { totals, ..section("position", "Position", "结算头寸", columns, rows) }
}

fn item() -> Column {
    column("item", "Item", "项目", Kind::Text)
}

fn money_columns() -> impl Iterator<Item = Column> {
    Sort::ALL.into_iter().map(|sort| {
        let word = words::sort(sort);
        column(word.code, word.en, word.zh, Kind::Money)
    })
}

/// Every figure with every counterparty; the totals are the statement's own.
fn counterparties(payload: &Payload) -> Result<Section, Error> {
    let columns = [column("counterparty", "Counterparty", "对手方", Kind::Text)].into_iter().chain(money_columns());
    let columns = columns
        .chain([column("exact", "Exact net", "未舍入净额", Kind::Money), column("total", "Net", "净额", Kind::Money)]);
    let row = |with: &Counterparty| {
        let figures = Sort::ALL.into_iter().map(|sort| Cell::Money(with.figures.of(sort).amount));
        let nets = [Cell::money(with.exact), Cell::money(with.total)];
        [text(&with.counterparty)].into_iter().chain(figures).chain(nets).collect()
    };
    for sort in Sort::ALL {
        let shown = payload.counterparties.iter().map(|row| row.figures.of(sort).amount).sum();
        agree(|| format!("{} of all counterparties", sort.code()), shown, payload.totals.sum(&[sort]))?;
    }
    let exact = payload.counterparties.iter().map(|row| i128::from(row.exact.get())).sum();
    let net = payload.counterparties.iter().map(|row| i128::from(row.total.get())).sum();
    agree(|| "the net of all counterparties".to_owned(), net, payload.net.get().into())?;
    let totals = Sort::ALL.into_iter().map(|sort| Cell::Money(payload.totals.of(sort).amount));
    let totals = [Cell::Word(words::TOTAL)].into_iter().chain(totals).chain([Cell::Money(exact), Cell::Money(net)]);
    Ok(Section {
        totals: Some(totals.collect()),
        ..section(
            "counterparties",
            "By counterparty",
            "按对手方",
            columns.collect(),
            payload.counterparties.iter().map(row).collect(),
        )
    })
}

/// Who the counterparties are at law.
fn parties(frame: &Frame, payload: &Payload) -> Result<Section, Error> {
    let row = |with: &Counterparty| {
        let named = frame.named(&with.counterparty)?;
        let tax_code = Some(&named.tax_code).filter(|code| !code.is_empty());
        Ok(vec![
            text(&with.counterparty),
            super::frame::both(&named.name_en, &named.name_zh),
            text(&with.entity),
            optional(tax_code),
        ])
    };
    let columns = vec![
        column("counterparty", "Counterparty", "对手方", Kind::Text),
        column("name", "Name", "名称", Kind::Text),
        column("entity", "Legal entity", "法人主体", Kind::Text),
        column("tax_code", "Social credit code", "统一社会信用代码", Kind::Text),
    ];
    let rows = payload.counterparties.iter().map(row).collect::<Result<_, Error>>()?;
    Ok(section("parties", "Counterparties", "对手方信息", columns, rows))
}

/// Lines, points and money of every sort: what a count of the lines themselves must come to.
fn controls(payload: &Payload) -> Result<Section, Error> {
    let columns = vec![
        item(),
        column("lines", "Lines", "行数", Kind::Whole),
        column("points", "Points", "积分", Kind::Points),
        column("amount", "Amount", "金额", Kind::Money),
    ];
    let row = |sort: Sort| {
        let figure = payload.totals.of(sort);
        vec![
            Cell::Word(words::sort(sort)),
            Cell::Whole(figure.lines),
            Cell::Points(figure.points),
            Cell::Money(figure.amount),
        ]
    };
    let lines: i64 = Sort::ALL.into_iter().map(|sort| payload.totals.of(sort).lines).sum();
    agree(|| "the lines of all sorts".to_owned(), lines.into(), payload.lines.count.into())?;
    let sum = Cell::Money(payload.totals.sum(&Sort::ALL));
    let totals = vec![Cell::Word(words::TOTAL), Cell::Whole(lines), Cell::Empty, sum];
    Ok(Section {
        totals: Some(totals),
        ..section("controls", "Control totals", "控制合计", columns, Sort::ALL.into_iter().map(row).collect())
    })
}

fn fees(payload: &Payload) -> Section {
    let columns = vec![
        column("gross", "Fees, gross", "含税手续费", Kind::Money),
        column("tax_rate", "Tax rate", "税率", Kind::Percent),
        column("net", "Without tax", "不含税金额", Kind::Money),
        column("tax", "Tax", "税额", Kind::Money),
    ];
    let row = payload.fees.map(|fees| {
        vec![
            Cell::money(fees.gross),
            Cell::BasisPoints(fees.tax_basis_points),
            Cell::money(fees.net),
            Cell::money(fees.tax),
        ]
    });
    section("fees", "Fees and tax", "手续费与税额", columns, row.into_iter().collect())
}

/// What a decision added, one by one, as the participant sees it: positive is owed to it.
fn adjusted(of: &Participant, payload: &Payload, adjustments: &[Adjustment]) -> Result<Section, Error> {
    let columns = vec![
        column("day", "Day", "日期", Kind::Date),
        column("adjustment", "Adjustment", "调整编号", Kind::Text),
        column("counterparty", "Counterparty", "对手方", Kind::Text),
        column("reason", "Reason", "原因", Kind::Text),
        column("asked_by", "Asked by", "申请人", Kind::Text),
        column("approved_by", "Approved by", "批准人", Kind::Text),
        column("dispute", "Dispute", "争议编号", Kind::Text),
        column("conversion", "Conversion", "转换编号", Kind::Text),
        column("amount", "Amount", "金额", Kind::Money),
    ];
    let row = |row: &Adjustment| {
        let (counterparty, value) = seen_by(of, row);
        vec![
            Cell::Date(row.day),
            text(row.id),
            text(counterparty),
            text(&row.reason),
            text(&row.asked_by),
            text(&row.approved_by),
            optional(row.dispute),
            optional(row.conversion),
            Cell::money(value),
        ]
    };
    let sum = adjustments.iter().map(|row| i128::from(seen_by(of, row).1.get())).sum();
    agree(|| "the adjustments one by one".to_owned(), sum, payload.totals.sum(&[Sort::Adjustment]))?;
    let rows = adjustments.iter().map(row).collect();
    Ok(with_total(section("adjustments", "Adjustments", "调整", columns, rows), Cell::Money(sum)))
}

/// An adjustment from the side of one party to it: the other one, and what it is owed.
pub fn seen_by<'a>(of: &Participant, row: &'a Adjustment) -> (&'a str, Millionths) {
    if row.to == of.as_str() { (&row.from, row.amount) } else { (&row.to, row.amount.negated()) }
}

fn paid(of: &Participant, payload: &Payload, payments: &[Payment]) -> Result<Section, Error> {
    let columns = vec![
        column("paid_on", "Paid on", "付款日", Kind::Date),
        column("window", "For window", "所付结算期", Kind::Whole),
        column("debtor", "Paid by", "付款方", Kind::Text),
        column("creditor", "Paid to", "收款方", Kind::Text),
        column("reference", "Reference", "付款参考号", Kind::Text),
        column("recorded_by", "Recorded by", "登记人", Kind::Text),
        column("amount", "Effect on the position", "对结算头寸的影响", Kind::Money),
    ];
    // What it paid raises its position, what it was paid lowers it.
    let effect = |row: &Payment| i128::from(if row.debtor == of.as_str() { row.amount } else { -row.amount });
    let cells = |row: &Payment| {
        vec![
            Cell::Date(row.paid_on),
            Cell::Whole(row.number),
            text(&row.debtor),
            text(&row.creditor),
            text(&row.reference),
            text(&row.recorded_by),
            Cell::Money(effect(row)),
        ]
    };
    let sum = payments.iter().map(effect).sum();
    agree(|| "the payments one by one".to_owned(), sum, payload.payments.get().into())?;
    let rows = payments.iter().map(cells).collect();
    Ok(with_total(
        section("payments", "Payments recorded in this window", "本期登记的收付", columns, rows),
        Cell::Money(sum),
    ))
}

/// The sum under the last column, if there is anything to sum.
fn with_total(section: Section, sum: Cell) -> Section {
    if section.rows.is_empty() {
        return section;
    }
    let mut totals = vec![Cell::Empty; section.columns.len()];
    totals[0] = Cell::Word(words::TOTAL);
    *totals.last_mut().expect("a table has columns") = sum;
    Section { totals: Some(totals), ..section }
}

fn obligations(payload: &Payload) -> Section {
    let columns = vec![
        column("debtor", "To be paid by", "付款方", Kind::Text),
        column("creditor", "To be paid to", "收款方", Kind::Text),
        column("due_on", "Due on", "到期日", Kind::Date),
        column("amount", "Amount", "金额", Kind::Money),
    ];
    let rows = payload
        .obligations
        .iter()
        .map(|owed| vec![text(&owed.debtor), text(&owed.creditor), Cell::Date(owed.due_on), Cell::money(owed.amount)]);
    section("obligations", "To be paid for this window", "本期付款义务", columns, rows.collect())
}

fn signed(signatures: &[Signature]) -> Section {
    let columns = vec![
        column("signer", "Signed by", "签署方", Kind::Text),
        column("kid", "Key", "密钥标识", Kind::Text),
        column("signed_at", "Signed at", "签署时间", Kind::Instant),
    ];
    let rows = signatures
        .iter()
        .map(|made| vec![text(&made.signer), text(&made.kid), Cell::Instant(made.signed_at.fixed_offset())]);
    section("signatures", "Signatures", "签名", columns, rows.collect())
}

fn notes() -> Vec<Text> {
    vec![
        Text::new(
            "Amounts are seen from the participant: positive is owed to it, negative it owes. They are exact; only the net with each counterparty is rounded, once.",
            "金额以本结算参与方为视角：正数为应收，负数为应付。各项金额均为精确值，仅与每一对手方的净额舍入一次。",
        ),
        Text::new(
            "What is taken back of conversions of earlier windows stands apart. A bonus the participant funds for its own points is told with its lines and points, and is no money.",
            "对以前结算期转换的冲正，单独列示。由本结算参与方承担且以其自有积分发放的加赠仅列行数与积分，不产生资金结算。",
        ),
        Text::new(
            "The record is the signed statement; this report shows its figures. The lines are those numbered above; their tree (RFC 6962) has the root above, and the statement is the leaf above of the alliance's log. Signatures and the state are as they stand.",
            "以签名对账单为准，本表仅为其展示。明细为上列行号，其默克尔树（RFC 6962）根如上；对账单为联盟日志的上列叶节点。签名与状态为当前情况。",
        ),
    ]
}
