//! Payments: money that arrived for an obligation, recorded once per reference.

use super::settings::Settings;
use super::{Error, broken, deadlines, release};
use crate::book::engine::world::EventKind;
use crate::book::posting;
use crate::domain::holder::Holder;
use crate::domain::ids::{ObligationId, PaymentId};
use crate::domain::money::{Millionths, minor_unit};
use crate::domain::settlement::{adjustment, obligation};
use crate::store::catalogue;
use crate::store::locks::PAYMENTS;
use crate::store::settlement::obligations::{self, Payment};
use crate::store::settlement::windows;
use chrono::NaiveDate;
use chrono_tz::Tz;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::BigInt;
use uuid::Uuid;

/// A payment to be recorded.
#[derive(Clone, Debug)]
pub struct Paid {
    pub obligation: ObligationId,
    /// `None`: all that is left.
    pub amount: Option<Millionths>,
    /// `None`: today.
    pub on: Option<NaiveDate>,
    /// The payer's or the bank's; by hand, the same one again is the same payment.
    pub reference: String,
    /// The row of a bank's list that tells it; the same one again is the same payment.
    pub entry: Option<String>,
    pub by: String,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub obligation: obligations::Row,
    pub payment: Payment,
    /// It had been recorded before.
    pub repeated: bool,
}

/// Records a payment and lets what it settles leave the exposures.
pub fn pay(conn: &mut PgConnection, paid: &Paid) -> Result<Recorded, Error> {
    let zone = catalogue::load(conn)?.alliance.zone;
    in_turn(conn, |conn| pay_in(conn, zone, paid))
}

/// The same for somebody who signs in: an operator's person says it of any obligation, a partner's of what it is owed
/// itself, which speaks against it. `NotFound` for what is not its own.
pub fn record(conn: &mut PgConnection, by: &Holder, paid: &Paid) -> Result<Recorded, Error> {
    if let Holder::Partner(slug) = by {
        let own = |row: &obligations::Row| [&row.debtor, &row.creditor].into_iter().any(|one| one == slug.as_str());
        let row = obligations::find_all(conn, &[paid.obligation])?.pop().filter(own).ok_or(Error::NotFound)?;
        if !may_record(by, &row.creditor) {
            return Err(Error::Refused("only who is paid, or the operator, says that it was paid".to_owned()));
        }
    }
    pay(conn, paid)
}

/// Whether somebody of `by` may say that `creditor` was paid.
pub fn may_record(by: &Holder, creditor: &str) -> bool {
    match by {
        Holder::Partner(slug) => slug.as_str() == creditor,
        Holder::Operator(_) => true,
    }
}

/// Does what records payments while nobody else does: what was matched with what is owed stays so until it is recorded.
pub fn in_turn<T>(
    conn: &mut PgConnection,
    work: impl FnOnce(&mut PgConnection) -> Result<T, Error>,
) -> Result<T, Error> {
    sql_query("SELECT pg_advisory_lock($1)").bind::<BigInt, _>(PAYMENTS).execute(conn)?;
    let done = work(conn);
    // A connection that is lost has given it up.
    let freed = sql_query("SELECT pg_advisory_unlock($1)").bind::<BigInt, _>(PAYMENTS).execute(conn);
    let done = done?;
    freed?;
    Ok(done)
}

/// The same for one of many payments, in turn: `zone` is the alliance's.
pub fn pay_in(conn: &mut PgConnection, zone: Tz, paid: &Paid) -> Result<Recorded, Error> {
    posting::post(conn, zone, |conn, posting| {
        let row = obligations::lock(conn, paid.obligation)?;
        let row = row.ok_or_else(|| Error::Absent(format!("obligation {}", paid.obligation)))?;
        if let Some(payment) = again(paid, obligations::payments(conn, row.id, &paid.reference)?)? {
            return Ok(Recorded { obligation: row, payment, repeated: true });
        }
        if paid.amount.is_none() && row.paid >= row.amount {
            return Err(Error::Refused("it has been paid in full, under another reference".to_owned()));
        }
        let amount = paid.amount.or_else(|| row.amount.minus(row.paid)).unwrap_or(Millionths::ZERO);
        let window = windows::find(conn, row.window)?.ok_or_else(|| broken("an obligation of no window"))?;
        let closed = window.closed()?;
        let settings = Settings::read(&closed.settings)?;
        let paid_on = paid.on.unwrap_or(posting.day());
        check(paid, (closed.first_day, paid_on, posting.day()))?;
        let unit = minor_unit(&settings.currency);
        let after =
            obligation::pay(row.amount, row.paid, amount, unit).map_err(|why| Error::Refused(why.to_string()))?;
        let payment = Payment {
            id: PaymentId(Uuid::now_v7()),
            obligation: row.id,
            batch_no: posting.batch_no(),
            window: posting.window(),
            amount,
            paid_on,
            reference: paid.reference.clone(),
            entry: paid.entry.clone(),
            recorded_by: paid.by.clone(),
            at: posting.at(),
        };
        release::paid(conn, posting, settings.netting, (&row, amount))?;
        obligations::pay(conn, &payment, after)?;
        let row = obligations::Row { paid: after, ..row };
        if after == row.amount {
            deadlines::tell_parties(posting, EventKind::ObligationPaid, &row);
        }
        Ok(Recorded { obligation: row, payment, repeated: false })
    })
}

/// The one of these payments under its reference that is the same. By hand, a reference stands for one payment; a row of a
/// list is another payment than other rows, but the one that a person recorded before it.
fn again(paid: &Paid, known: Vec<Payment>) -> Result<Option<Payment>, Error> {
    let is_amount = |payment: &Payment| paid.amount.is_none_or(|amount| amount == payment.amount);
    let is_same = |payment: &Payment| match (&paid.entry, &payment.entry) {
        (Some(row), Some(known)) => row == known,
        (None, _) | (Some(_), None) => is_amount(payment),
    };
    if let Some(same) = known.iter().find(|payment| is_same(payment)) {
        return Ok(Some(same.clone()));
    }
    match known.into_iter().next().filter(|_| paid.entry.is_none()) {
        Some(other) => {
            Err(Error::Refused(format!("the reference {} was recorded with {}", other.reference, other.amount)))
        }
        None => Ok(None),
    }
}

/// What is said of a payment beside its amount: by whom, under which reference, and when, after the window began.
fn check(paid: &Paid, (first_day, paid_on, today): (NaiveDate, NaiveDate, NaiveDate)) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::Refused(why));
    if !adjustment::is_name(&paid.by) {
        return refuse("say who records it, in 1 to 64 characters on one line".to_owned());
    }
    if !(1..=255).contains(&paid.reference.chars().count()) || paid.reference.chars().any(char::is_control) {
        return refuse("a payment has a reference, of 1 to 255 characters on one line".to_owned());
    }
    if paid_on > today || paid_on < first_day {
        return refuse(format!(
            "the value date {paid_on} is not between {first_day}, when its window began, and {today}"
        ));
    }
    Ok(())
}
