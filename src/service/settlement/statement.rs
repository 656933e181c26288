//! The statement: what one participant's window came to, as canonical JSON. Made of values alone, so that making it again
//! comes to the same bytes.

use super::gather;
use super::settings::Settings;
use super::{Error, broken, lines};
use crate::domain::money::{Millionths, decimal, minor_digits};
use crate::domain::settlement::Participant;
use crate::domain::settlement::netting::{self, Differs, Duty, Net};
use crate::domain::settlement::tally::{Sort, Sum, Tallies, Tally};
use crate::signing::canonical;
use crate::signing::merkle;
use crate::store::settlement::statements;
use crate::store::settlement::tallies::Row;
use crate::store::settlement::windows;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// All that one statement is made of.
pub struct Parts<'a> {
    pub settings: &'a Settings,
    pub window: &'a windows::Row,
    pub tally: &'a Row,
    pub nets: &'a BTreeMap<Participant, Net>,
    /// All of the window: its own are picked out.
    pub duties: &'a [Duty],
    /// The participant's statement before this one.
    pub previous: Option<&'a statements::Row>,
    /// What was paid during the window, as the participant's position sees it.
    pub payments: Millionths,
}

/// A statement before it is signed.
pub struct Drafted {
    pub payload: String,
    pub leaf: merkle::Hash,
    pub closing: Millionths,
}

/// Drafts a statement; `Err(Differs)` when a sum is beyond what a document can say.
pub fn draft(parts: &Parts<'_>) -> Result<Drafted, Error> {
    let Parts { settings, window, tally, .. } = parts;
    let participant = &tally.participant;
    let range = || Differs::Sum(participant.clone());
    let tallies = gather::read_sums(&tally.sums)?;
    let opening = parts.previous.map_or(Millionths::ZERO, |statement| statement.closing);
    let net = Millionths::new(i64::try_from(netting::net(parts.nets)).map_err(|_| range())?);
    let closing = opening.plus(net).and_then(|sum| sum.plus(parts.payments)).ok_or_else(range)?;
    let named = settings.named(participant)?;
    let issued_at = window.issued_at.ok_or_else(|| broken("a window that is netted has an instant of issue"))?;
    let mut body = json!({
        "v": 1,
        "type": "statement",
        "alliance": settings.alliance,
        "currency": settings.currency,
        "sandbox": settings.sandbox,
        "participant": participant.as_str(),
        "entity": named.entity,
        "window": window_json(window)?,
        "netting": settings.netting.code(),
        "rounding": settings.rounding.code(),
        "lines": lines_json(tally)?,
        "counterparties": counterparties(settings, (&tallies, parts.nets))?,
        "totals": sums(&total(&tallies)),
        "opening": opening.to_string(),
        "net": net.to_string(),
        "payments": parts.payments.to_string(),
        "closing": closing.to_string(),
        "obligations": obligations(parts),
        "issued_at": lines::instant(issued_at),
    });
    if !named.tax_code.is_empty() {
        body["tax_code"] = named.tax_code.as_str().into();
    }
    if let Some(fees) = fees(settings, &tallies) {
        body["fees"] = fees;
    }
    if let Some(previous) = parts.previous {
        body["previous"] = json!({ "window": previous.number, "leaf": hex(&previous.leaf) });
    }
    let bytes = canonical::to_vec(&body).map_err(broken)?;
    let leaf = merkle::leaf_hash(&bytes);
    Ok(Drafted { payload: String::from_utf8(bytes).map_err(broken)?, leaf, closing })
}

fn window_json(window: &windows::Row) -> Result<Value, Error> {
    let closed = window.closed()?;
    Ok(json!({
        "id": window.id.to_string(), "number": window.number,
        "opened_at": lines::instant(window.opened_at), "closed_at": lines::instant(closed.at),
        "first_day": closed.first_day, "last_day": closed.dates.last_day, "statement_by": closed.dates.statement_by,
        "disputes_until": closed.dates.disputes_until, "due_on": closed.dates.due_on,
    }))
}

/// How many lines, their numbers, and the root of the tree over them (RFC 6962 §2.1). Without any there are no numbers.
fn lines_json(tally: &Row) -> Result<Value, Error> {
    let mut lines = json!({ "count": tally.lines, "root": hex(&gather::root(tally)?) });
    if tally.lines > 0 {
        lines["first"] = tally.first_line.into();
        lines["last"] = (tally.first_line + tally.lines - 1).into();
    }
    Ok(lines)
}

fn counterparties(
    settings: &Settings,
    (tallies, nets): (&Tallies, &BTreeMap<Participant, Net>),
) -> Result<Vec<Value>, Error> {
    let mut rows = Vec::with_capacity(tallies.len());
    for (with, tally) in tallies {
        let net = nets.get(with).ok_or_else(|| broken(format!("no net with {with}")))?;
        let mut row = sums(tally);
        row.insert("counterparty".into(), with.as_str().into());
        row.insert("entity".into(), settings.named(with)?.entity.as_str().into());
        row.insert("exact".into(), net.exact.to_string().into());
        row.insert("total".into(), net.rounded.to_string().into());
        rows.push(Value::Object(row));
    }
    Ok(rows)
}

/// Each sort that has something, by its name. What was converted and undone all day long may add up beyond what one account
/// can hold, while the nets stay small: amounts are as long as they need be.
fn sums(tally: &Tally) -> Map<String, Value> {
    let mut members = Map::new();
    for sort in Sort::ALL {
        let Sum { lines, points, amount } = tally.sum(sort);
        if (lines, points, amount) == (0, 0, 0) {
            continue;
        }
        // A number is exact up to there in every JSON library (RFC 8785, RFC 7493); beyond it is a text.
        let small = i64::try_from(points).ok().filter(|points| points.unsigned_abs() < 1 << 53);
        let points = small.map_or_else(|| Value::from(points.to_string()), Value::from);
        members.insert(sort.code().into(), json!({ "lines": lines, "points": points, "amount": decimal(amount) }));
    }
    members
}

fn total(tallies: &Tallies) -> Tally {
    let mut total = Tally::default();
    for tally in tallies.values() {
        for sort in Sort::ALL {
            let (sum, own) = (total.sum_mut(sort), tally.sum(sort));
            sum.lines += own.lines;
            sum.points += own.points;
            sum.amount += own.amount;
        }
    }
    total
}

/// Fees less what was given back, and the tax in them; rounded like every total. `None` without any.
fn fees(settings: &Settings, tallies: &Tallies) -> Option<Value> {
    let total = total(tallies);
    let exact = total.sum(Sort::Fee).amount + total.sum(Sort::FeeBack).amount;
    let digits = minor_digits(&settings.currency);
    let gross = netting::round(exact, digits, settings.rounding);
    if gross == 0 {
        return None;
    }
    let (tax, net) = tax_of(gross, settings);
    let money = |value: i128| i64::try_from(value).ok().map(|value| Millionths::new(value).to_string());
    Some(json!({
        "gross": money(gross)?, "net": money(net)?, "tax": money(tax)?, "tax_basis_points": settings.fee_tax_basis_points,
    }))
}

/// The tax contained in a fee, rounded once, and what the fee is without it.
pub fn tax_of(gross: i128, settings: &Settings) -> (i128, i128) {
    let rate = i128::from(settings.fee_tax_basis_points);
    let tax = netting::round_ratio(gross * rate, 10_000 + rate, minor_digits(&settings.currency), settings.rounding);
    (tax, gross - tax)
}

fn obligations(parts: &Parts<'_>) -> Vec<Value> {
    let own = parts.tally.participant.as_str();
    let due_on = parts.window.closed.as_ref().map(|closed| closed.dates.due_on);
    let mine = parts.duties.iter().filter(|duty| duty.debtor.as_str() == own || duty.creditor.as_str() == own);
    let row = |duty: &Duty| {
        json!({
            "debtor": duty.debtor.as_str(), "creditor": duty.creditor.as_str(), "amount": duty.amount.to_string(),
            "due_on": due_on,
        })
    };
    mine.map(row).collect()
}

/// Lower-case hexadecimal.
pub fn hex(hash: &[u8]) -> String {
    use std::fmt::Write;
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::settings::{Netting, Rounding};

    #[test]
    fn the_tax_in_a_fee_is_rounded_from_what_it_is_exactly() {
        let settings = Settings {
            alliance: "small".into(),
            currency: "CNY".into(),
            netting: Netting::Multilateral,
            rounding: Rounding::HalfEven,
            sandbox: false,
            trust_domain: "small.example".into(),
            zone: "Asia/Shanghai".into(),
            fee_tax_basis_points: 1,
            participants: BTreeMap::new(),
        };
        // Of 50.01 it is 0.0050005 and less than a millionth.
        assert_eq!(tax_of(50_010_000, &settings), (10_000, 50_000_000));
        assert_eq!(tax_of(-50_010_000, &settings), (-10_000, -50_000_000));
        assert_eq!(tax_of(0, &settings), (0, 0));
    }
}
