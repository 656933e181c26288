//! The operator's invoices for the fees of a window: one a payer, with the tax contained in it.

use super::frame::{Frame, agree, column, fact, optional, report, section, text};
use super::{Error, Name, Wanted, broken, words};
use crate::domain::money::minor_digits;
use crate::domain::settlement::Participant;
use crate::domain::settlement::netting;
use crate::domain::settlement::tally::Sort;
use crate::service::reports::{Cell, Fact, Kind, Report, Section, Text, Word};
use crate::service::settlement::statement::tax_of;
use diesel::PgConnection;

/// One payer's fees, in millionths: what was given back is taken off.
struct Invoice {
    payer: Participant,
    gross: i128,
    net: i128,
    tax: i128,
}

pub fn make(conn: &mut PgConnection, wanted: &Wanted) -> Result<Report, Error> {
    let frame = Frame::open(conn, wanted)?;
    let invoices = invoices(&frame)?;
    let mut facts = frame.facts(wanted)?;
    facts.extend(seller(&frame)?);
    let mut made = report(Name::Invoices, facts);
    made.sections = vec![listed(&frame, &invoices, wanted)?];
    made.notes = notes();
    Ok(made)
}

/// Rounded as each payer's own statement has it, which is checked.
fn invoices(frame: &Frame) -> Result<Vec<Invoice>, Error> {
    let operator = Participant::operator();
    let (_, signed) = frame.statement(&operator)?;
    let digits = minor_digits(&frame.settings.currency);
    let mut invoices = Vec::new();
    for row in &signed.counterparties {
        let exact = row.figures.sum(&[Sort::Fee, Sort::FeeBack]);
        let gross = netting::round(exact, digits, frame.settings.rounding);
        let (tax, net) = tax_of(gross, &frame.settings);
        let (_, payer) = frame.statement(&row.counterparty)?;
        let theirs = payer.fees.map_or((0, 0), |fees| (i128::from(fees.gross.get()), i128::from(fees.tax.get())));
        agree(|| format!("the fees of {} with tax", row.counterparty), -theirs.0, gross)?;
        agree(|| format!("the tax in the fees of {}", row.counterparty), -theirs.1, tax)?;
        if gross != 0 {
            invoices.push(Invoice { payer: row.counterparty.clone(), gross, net, tax });
        }
    }
    Ok(invoices)
}

fn seller(frame: &Frame) -> Result<Vec<Fact>, Error> {
    let operator = frame.named(&Participant::operator())?;
    let mut facts = vec![fact("seller", "Seller", "销售方", text(&operator.entity))];
    if !operator.tax_code.is_empty() {
        facts.push(fact(
            "seller_tax_code",
            "its social credit code",
            "销售方统一社会信用代码",
            text(&operator.tax_code),
        ));
    }
    Ok(facts)
}

fn listed(frame: &Frame, invoices: &[Invoice], wanted: &Wanted) -> Result<Section, Error> {
    let columns = vec![
        column("payer", "Payer", "付费方", Kind::Text),
        column("entity", "Buyer", "购买方", Kind::Text),
        column("tax_code", "Social credit code", "统一社会信用代码", Kind::Text),
        column("kind", "Kind", "发票类型", Kind::Text),
        column("net", "Without tax", "不含税金额", Kind::Money),
        column("tax_rate", "Tax rate", "税率", Kind::Percent),
        column("tax", "Tax", "税额", Kind::Money),
        column("gross", "With tax", "价税合计", Kind::Money),
    ];
    let shown =
        |invoice: &&Invoice| wanted.participant.as_ref().is_none_or(|of| *of == invoice.payer || of.is_operator());
    let mut rows = Vec::new();
    for invoice in invoices.iter().filter(shown) {
        let named = frame.named(&invoice.payer)?;
        rows.push(vec![
            text(&invoice.payer),
            text(&named.entity),
            optional(Some(&named.tax_code).filter(|code| !code.is_empty())),
            Cell::Word(kind(invoice)),
            Cell::Money(invoice.net),
            Cell::BasisPoints(frame.settings.fee_tax_basis_points),
            Cell::Money(invoice.tax),
            Cell::Money(invoice.gross),
        ]);
    }
    let sums = sums(invoices);
    let signed = operators(frame)?;
    let mut totals = None;
    if wanted.participant.as_ref().is_none_or(Participant::is_operator) {
        let differences = [signed.0 - sums.0, signed.1 - sums.1, signed.2 - sums.2];
        if differences != [0; 3] {
            rows.push(summed(words::ROUNDING, differences)?);
        }
        totals = Some(summed(words::TOTAL, [signed.0, signed.1, signed.2])?);
    }
    Ok(Section { totals, ..section("invoices", "Invoices", "发票", columns, rows) })
}

/// Net, tax and gross in the cells of a row that is no invoice.
fn summed(word: Word, [net, tax, gross]: [i128; 3]) -> Result<Vec<Cell>, Error> {
    let mut cells = vec![Cell::Empty; 8];
    (cells[0], cells[4], cells[6], cells[7]) =
        (Cell::Word(word), Cell::Money(net), Cell::Money(tax), Cell::Money(gross));
    Ok(cells)
}

fn sums(invoices: &[Invoice]) -> (i128, i128, i128) {
    let sum = |of: fn(&Invoice) -> i128| invoices.iter().map(of).sum();
    (sum(|invoice| invoice.net), sum(|invoice| invoice.tax), sum(|invoice| invoice.gross))
}

/// Net, tax and gross of the operator's own statement, which the list must come to.
fn operators(frame: &Frame) -> Result<(i128, i128, i128), Error> {
    let (_, signed) = frame.statement(&Participant::operator())?;
    let fees = signed.fees.map_or((0, 0, 0), |fees| {
        (i128::from(fees.net.get()), i128::from(fees.tax.get()), i128::from(fees.gross.get()))
    });
    if fees.0 + fees.1 != fees.2 {
        return Err(broken("the operator's fees without tax and their tax are not its fees"));
    }
    Ok(fees)
}

/// More given back than charged is a credit note.
fn kind(invoice: &Invoice) -> Word {
    if invoice.gross < 0 {
        Word::new("credit_note", "Credit note", "红字发票")
    } else {
        Word::new("invoice", "Invoice", "蓝字发票")
    }
}

fn notes() -> Vec<Text> {
    vec![Text::new(
        "Fees of conversions less those given back, each payer's rounded once, the tax contained in them. They come to the operator's own statement; where each payer's rounding comes to another sum, the difference is a row of its own and no invoice.",
        "为转换手续费扣减退回后的金额，每一付费方舍入一次，税额为价内税。合计与运营方对账单一致；因分户舍入产生的差额单列，不开票。",
    )]
}
