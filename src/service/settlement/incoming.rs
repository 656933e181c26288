//! A bank's list of payments that came in, matched with what is owed to the alliance's account or the operator, and recorded
//! when asked to.
//!
//! A payment is recorded with its row, which is its day, amount, payer and reference, so that a list that is brought again
//! records nothing twice; nor is a payment recorded that a person recorded before, by its reference and amount.

use super::{Error, broken, pay};
use crate::domain::ids::{ObligationId, PaymentId};
use crate::domain::money::{Millionths, decimal};
use crate::domain::settlement::incoming::{ByHand, Debtor, Matching, Outcome, Owed, Payment, named_obligation};
use crate::domain::settlement::netting::Payee;
use crate::service::reports::csv::plain;
use crate::signing::digest::directory_hash;
use crate::store::catalogue;
use crate::store::settlement::{obligations, windows};
use chrono::NaiveDate;
use chrono_tz::Tz;
use diesel::PgConnection;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// Rows of one list.
const ROWS_MAX: usize = 100_000;
/// Bytes of one list.
const BYTES_MAX: u64 = 64 << 20;
/// Characters of a payer or a reference.
const TEXT_MAX: usize = 500;
/// Characters of a row, and of a reference, as they are kept.
const KEPT_MAX: usize = 255;

/// One payment of the list and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// From 1, the heading not counted.
    pub row: usize,
    pub payment: Payment,
    pub outcome: Outcome,
    /// The obligation it is for, and what was left of it before.
    pub obligation: Option<(ObligationId, Millionths)>,
    /// Set when it was recorded.
    pub recorded: Option<PaymentId>,
    /// Why its outcome is `refused`.
    pub refused: Option<String>,
}

/// How many of one outcome and what they add up to, a decimal string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    pub outcome: Outcome,
    pub count: usize,
    pub amount: String,
}

/// What a list came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub rows: Vec<Judged>,
    /// Of every outcome, in the sequence of `Outcome::ALL`.
    pub totals: Vec<Total>,
    /// Payments were recorded; otherwise nothing was.
    pub applied: bool,
}

/// Whether payments are recorded, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode<'a> {
    DryRun,
    Apply { by: &'a str },
}

/// Matches a CSV of `date, amount, payer, reference` (in any order, other columns are not read) with what is owed, and
/// records what pays when `mode` says so. `Err(Refused)` names the first row that cannot be read; then nothing is recorded.
pub fn incoming(conn: &mut PgConnection, list: impl Read, mode: Mode<'_>) -> Result<Report, Error> {
    let payments = read(list)?;
    match mode {
        Mode::DryRun => judge(conn, payments, mode),
        Mode::Apply { .. } => pay::in_turn(conn, |conn| judge(conn, payments, mode)),
    }
}

fn judge(conn: &mut PgConnection, payments: Vec<Payment>, mode: Mode<'_>) -> Result<Report, Error> {
    let entries: Vec<String> = payments.iter().map(entry).collect();
    let zone = catalogue::load(conn)?.alliance.zone;
    let today = catalogue::business_day(conn, zone)?;
    let mut matching = matching(conn, &payments, &entries, today)?;
    let mut rows = Vec::with_capacity(payments.len());
    for ((row, payment), entry) in (1..).zip(payments).zip(&entries) {
        let judged = matching.judge(&payment, entry);
        let (outcome, obligation) = (judged.outcome, judged.of);
        let refused = (outcome == Outcome::Refused)
            .then(|| format!("the value date {} is before its window began, or after {today}", payment.on));
        rows.push(Judged { row, payment, outcome, obligation, recorded: None, refused });
    }
    if let Mode::Apply { by } = mode {
        for (row, entry) in rows.iter_mut().zip(entries) {
            record(conn, zone, row, entry, by)?;
        }
    }
    let totals = Outcome::ALL.into_iter().map(|outcome| total(&rows, outcome)).collect();
    Ok(Report { rows, totals, applied: mode != Mode::DryRun })
}

/// What is still owed to us, and what this list names beside it; with what has been recorded.
fn matching(
    conn: &mut PgConnection,
    payments: &[Payment],
    entries: &[String],
    today: NaiveDate,
) -> Result<Matching, Error> {
    let references: Vec<&str> = payments.iter().map(|one| one.reference.as_str()).collect();
    let recorded = obligations::recorded(conn, entries, &references)?;
    let mut rows = obligations::list(conn, None, None)?;
    let open: BTreeSet<ObligationId> = rows.iter().map(|row| row.id).collect();
    let mut named: BTreeSet<ObligationId> =
        payments.iter().filter_map(|one| named_obligation(&one.reference)).collect();
    named.extend(recorded.iter().map(|payment| payment.obligation));
    let others: Vec<ObligationId> = named.difference(&open).copied().collect();
    rows.extend(obligations::find_all(conn, &others)?);
    let ours = |row: &obligations::Row| row.creditor == Payee::Alliance.as_str() || row.creditor == "operator";
    let mut began = BTreeMap::new();
    for id in rows.iter().map(|row| row.window) {
        if let Entry::Vacant(place) = began.entry(id) {
            let window = windows::find(conn, id)?.ok_or_else(|| broken("an obligation of no window"))?;
            place.insert(window.closed()?.first_day);
        }
    }
    let owed = |row: obligations::Row| {
        let since = began[&row.window];
        let left = row.amount.minus(row.paid).ok_or_else(|| broken("more was paid than was owed"))?;
        let debtor = Debtor { slug: row.debtor, entity: row.debtor_entity };
        Ok(Owed { id: row.id, debtor, left, since, due_on: row.due_on })
    };
    let owed = rows.into_iter().filter(ours).map(owed).collect::<Result<Vec<_>, Error>>()?;
    let (mut known, mut by_hand) = (Vec::new(), Vec::new());
    for payment in recorded {
        let debtor = || owed.iter().find(|owed| owed.id == payment.obligation).map(|owed| owed.debtor.clone());
        match payment.entry {
            Some(entry) => known.push(entry),
            None => by_hand.extend(debtor().map(|debtor| ByHand {
                of: payment.obligation,
                debtor,
                amount: payment.amount,
                on: payment.paid_on,
                reference: payment.reference,
            })),
        }
    }
    Ok(Matching::new(owed, known, by_hand, today))
}

fn record(conn: &mut PgConnection, zone: Tz, row: &mut Judged, entry: String, by: &str) -> Result<(), Error> {
    let Some((obligation, _)) = row.obligation.filter(|_| row.outcome.pays()) else { return Ok(()) };
    let (amount, on, by) = (Some(row.payment.amount), Some(row.payment.on), by.to_owned());
    let Payment { on: day, payer, reference, .. } = &row.payment;
    // A bank's list may have rows without a reference.
    let reference = if reference.is_empty() { format!("{day} {payer}") } else { reference.clone() };
    let reference = reference.chars().take(KEPT_MAX).collect();
    match pay::pay_in(conn, zone, &pay::Paid { obligation, amount, on, reference, entry: Some(entry), by }) {
        Ok(done) => row.recorded = Some(done.payment.id),
        // Less than a unit of the currency, say: the others are recorded all the same.
        Err(Error::Refused(why)) => (row.outcome, row.refused) = (Outcome::Refused, Some(why)),
        Err(other) => return Err(other),
    }
    Ok(())
}

fn total(rows: &[Judged], outcome: Outcome) -> Total {
    let own = rows.iter().filter(|row| row.outcome == outcome);
    let amount: i128 = own.clone().map(|row| i128::from(row.payment.amount.get())).sum();
    Total { outcome, count: own.count(), amount: decimal(amount) }
}

/// A row as it is kept, at most 255 characters; no text of it has a tab in it.
fn entry(payment: &Payment) -> String {
    let Payment { on, amount, payer, reference } = payment;
    let whole = format!("{on}\t{amount}\t{payer}\t{reference}");
    if whole.chars().count() <= KEPT_MAX {
        return whole;
    }
    let hash = directory_hash("payment", &[whole.as_bytes()]).simple().to_string();
    let begin: String = whole.chars().take(KEPT_MAX - 1 - hash.len()).collect();
    format!("{begin} {hash}")
}

const COLUMNS: [&str; 4] = ["date", "amount", "payer", "reference"];

fn read(list: impl Read) -> Result<Vec<Payment>, Error> {
    // One byte more than is taken, so that one that is cut is noticed.
    let mut bytes = Vec::new();
    list.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|cause| refused(format!("the list stopped: {cause}")))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > BYTES_MAX) {
        return Err(refused(format!("the list is larger than {} MiB", BYTES_MAX >> 20)));
    }
    let mut reader = ::csv::ReaderBuilder::new().from_reader(bytes.as_slice());
    let heading = reader.headers().map_err(|_| refused("the heading cannot be read"))?.clone();
    let place = |name: &str| {
        let is_it = |cell: &str| cell.trim_start_matches('\u{feff}').trim().eq_ignore_ascii_case(name);
        heading.iter().position(is_it).ok_or_else(|| refused(format!("the heading has no column {name}")))
    };
    let [date, amount, payer, reference] = COLUMNS.map(place);
    let places = [date?, amount?, payer?, reference?];
    let mut payments = Vec::new();
    for (row, record) in (1..).zip(reader.records()) {
        let record = record.map_err(|cause| refused(format!("row {row} {}", unreadable(&cause))))?;
        if row > ROWS_MAX {
            return Err(refused(format!("the list has more than {ROWS_MAX} rows")));
        }
        let cells = places.map(|place| plain(record.get(place).unwrap_or_default()).trim());
        payments.push(payment(cells).map_err(|why| refused(format!("row {row}: {why}")))?);
    }
    Ok(payments)
}

fn unreadable(cause: &::csv::Error) -> String {
    match cause.kind() {
        ::csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} cells under {expected_len} headings: a text with a comma in it stands in quotes")
        }
        _ => "is not CSV in UTF-8".to_owned(),
    }
}

fn payment([date, amount, payer, reference]: [&str; 4]) -> Result<Payment, &'static str> {
    // chrono alone would also read `+2026-1-5`.
    let plain_date = date.len() == 10 && date.starts_with(|c: char| c.is_ascii_digit());
    let on = date.parse::<NaiveDate>().ok().filter(|_| plain_date).ok_or("the date is not YYYY-MM-DD")?;
    let amount = Millionths::parse(amount).filter(|amount| *amount > Millionths::ZERO);
    let amount = amount.ok_or("the amount is not a decimal above zero with at most 6 digits after the point")?;
    let text = |text: &str| text.chars().count() <= TEXT_MAX && !text.chars().any(char::is_control);
    if !text(payer) || !text(reference) {
        return Err("payer and reference have at most 500 characters, none of them a control character");
    }
    Ok(Payment { on, amount, payer: payer.to_owned(), reference: reference.to_owned() })
}

fn refused(why: impl Into<String>) -> Error {
    Error::Refused(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_in_any_order_of_columns_or_refused_by_its_row() {
        let text = "\u{feff}Reference,Amount,Bank,Date,Payer\r\n'=June,3.40,x,2026-06-10, aa  Ltd \r\n";
        let payments = read(text.as_bytes()).expect("read");
        let one = &payments[0];
        assert_eq!((one.reference.as_str(), one.payer.as_str(), one.amount.get()), ("=June", "aa  Ltd", 3_400_000));
        assert_eq!(entry(one), "2026-06-10\t3.40\taa  Ltd\t=June");
        for (text, why) in [
            ("", "the heading has no column date"),
            ("date,amount,payer\n", "the heading has no column reference"),
            (
                "date,amount,payer,reference\n2026-06-10,1,Velvet Co., Ltd.,T-1\n",
                "row 1 has 5 cells under 4 headings: a text with a comma in it stands in quotes",
            ),
            ("date,amount,payer,reference\n2026-06-10,1,a,r\n10.6.2026,1,a,r\n", "row 2: the date is not YYYY-MM-DD"),
            (
                "date,amount,payer,reference\n2026-06-10,\"1,000\",a,r\n",
                "row 1: the amount is not a decimal above zero with at most 6 digits after the point",
            ),
            (
                "date,amount,payer,reference\n2026-06-10,-1,a,r\n",
                "row 1: the amount is not a decimal above zero with at most 6 digits after the point",
            ),
        ] {
            assert_eq!(read(text.as_bytes()).expect_err(text).to_string(), why);
        }
    }

    #[test]
    fn long_rows_are_kept_short_and_stay_apart() {
        let payment = |last: &str| Payment {
            on: "2026-06-10".parse().expect("a date"),
            amount: Millionths::new(1),
            payer: "积".repeat(200),
            reference: "r".repeat(200) + last,
        };
        let (a, b) = (entry(&payment("a")), entry(&payment("b")));
        assert_eq!((a.chars().count(), b.chars().count()), (255, 255));
        assert_ne!(a, b);
    }
}
