//! Obligations and the payments that meet them.

use super::money;
use crate::domain::ids::{ObligationId, PaymentId, WindowId};
use crate::domain::money::Millionths;
use crate::store::Error;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Date, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: ObligationId,
    pub window: WindowId,
    /// Of the window.
    pub number: i64,
    /// A participant, or `alliance` for its settlement account.
    pub debtor: String,
    pub creditor: String,
    pub debtor_entity: String,
    pub creditor_entity: String,
    pub amount: Millionths,
    pub paid: Millionths,
    pub due_on: NaiveDate,
    pub overdue_at: Option<DateTime<Utc>>,
    pub paid_at: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct ObligationSql {
    #[diesel(sql_type = SqlUuid)]
    obligation_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Text)]
    debtor: String,
    #[diesel(sql_type = Text)]
    creditor: String,
    #[diesel(sql_type = Text)]
    debtor_entity: String,
    #[diesel(sql_type = Text)]
    creditor_entity: String,
    #[diesel(sql_type = BigInt)]
    amount: i64,
    #[diesel(sql_type = BigInt)]
    paid: i64,
    #[diesel(sql_type = Date)]
    due_on: NaiveDate,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    overdue_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    paid_at: Option<DateTime<Utc>>,
}

impl From<ObligationSql> for Row {
    fn from(sql: ObligationSql) -> Row {
        Row {
            id: ObligationId(sql.obligation_id),
            window: WindowId(sql.window_id),
            number: sql.number,
            debtor: sql.debtor,
            creditor: sql.creditor,
            debtor_entity: sql.debtor_entity,
            creditor_entity: sql.creditor_entity,
            amount: money(sql.amount),
            paid: money(sql.paid),
            due_on: sql.due_on,
            overdue_at: sql.overdue_at,
            paid_at: sql.paid_at,
        }
    }
}

const WITH_NUMBER: &str = "SELECT o.*, w.number FROM obligations o JOIN windows w USING (window_id)";

pub fn insert(conn: &mut PgConnection, row: &Row) -> Result<(), Error> {
    sql_query(
        "INSERT INTO obligations (obligation_id, window_id, debtor, creditor, debtor_entity, creditor_entity, amount, due_on) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind::<SqlUuid, _>(row.id.0)
    .bind::<SqlUuid, _>(row.window.0)
    .bind::<Text, _>(&row.debtor)
    .bind::<Text, _>(&row.creditor)
    .bind::<Text, _>(&row.debtor_entity)
    .bind::<Text, _>(&row.creditor_entity)
    .bind::<BigInt, _>(row.amount.get())
    .bind::<Date, _>(row.due_on)
    .execute(conn)?;
    Ok(())
}

/// One obligation; for its payment, held until the transaction ends.
pub fn lock(conn: &mut PgConnection, id: ObligationId) -> Result<Option<Row>, Error> {
    let sql = format!("{WITH_NUMBER} WHERE o.obligation_id = $1 FOR UPDATE OF o");
    let row: Option<ObligationSql> = sql_query(sql).bind::<SqlUuid, _>(id.0).get_result(conn).optional()?;
    Ok(row.map(Row::from))
}

/// Those of these that there are.
pub fn find_all(conn: &mut PgConnection, ids: &[ObligationId]) -> Result<Vec<Row>, Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let sql = format!("{WITH_NUMBER} WHERE o.obligation_id = any($1) ORDER BY o.obligation_id");
    let rows: Vec<ObligationSql> = sql_query(sql).bind::<Array<SqlUuid>, _>(ids).load(conn)?;
    Ok(rows.into_iter().map(Row::from).collect())
}

/// Obligations: of one window, or all that are not paid in full; of everybody, or of one party to them. By due date.
pub fn list(conn: &mut PgConnection, window: Option<WindowId>, party: Option<&str>) -> Result<Vec<Row>, Error> {
    let sql = format!(
        "{WITH_NUMBER} WHERE ($1 IS NULL AND o.paid < o.amount OR o.window_id = $1) \
         AND ($2 IS NULL OR o.debtor = $2 OR o.creditor = $2) ORDER BY o.due_on, w.number, o.debtor, o.creditor"
    );
    let rows: Vec<ObligationSql> = sql_query(sql)
        .bind::<Nullable<SqlUuid>, _>(window.map(|id| id.0))
        .bind::<Nullable<Text>, _>(party)
        .load(conn)?;
    Ok(rows.into_iter().map(Row::from).collect())
}

/// Those whose last day was before `day` and of which nobody has been told yet, at most `limit`.
pub fn late(conn: &mut PgConnection, day: NaiveDate, limit: i64) -> Result<Vec<Row>, Error> {
    let sql = format!(
        "{WITH_NUMBER} WHERE o.paid < o.amount AND o.due_on < $1 AND o.overdue_at IS NULL ORDER BY o.due_on, o.obligation_id \
         LIMIT $2"
    );
    let rows: Vec<ObligationSql> = sql_query(sql).bind::<Date, _>(day).bind::<BigInt, _>(limit).load(conn)?;
    Ok(rows.into_iter().map(Row::from).collect())
}

pub fn mark_overdue(conn: &mut PgConnection, id: ObligationId, at: DateTime<Utc>) -> Result<bool, Error> {
    let marked = sql_query(
        "UPDATE obligations SET overdue_at = $2 WHERE obligation_id = $1 AND overdue_at IS NULL AND paid < amount",
    )
    .bind::<SqlUuid, _>(id.0)
    .bind::<Timestamptz, _>(at)
    .execute(conn)?;
    Ok(marked == 1)
}

/// A payment that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    pub id: PaymentId,
    pub obligation: ObligationId,
    pub batch_no: i64,
    pub window: WindowId,
    pub amount: Millionths,
    pub paid_on: NaiveDate,
    /// The payer's; once per obligation where it was recorded by hand.
    pub reference: String,
    /// The row of a bank's list that told it.
    pub entry: Option<String>,
    pub recorded_by: String,
    pub at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct PaymentSql {
    #[diesel(sql_type = SqlUuid)]
    payment_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    obligation_id: Uuid,
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
    #[diesel(sql_type = BigInt)]
    amount: i64,
    #[diesel(sql_type = Date)]
    paid_on: NaiveDate,
    #[diesel(sql_type = Text)]
    reference: String,
    #[diesel(sql_type = Nullable<Text>)]
    entry: Option<String>,
    #[diesel(sql_type = Text)]
    recorded_by: String,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
}

impl From<PaymentSql> for Payment {
    fn from(sql: PaymentSql) -> Payment {
        Payment {
            id: PaymentId(sql.payment_id),
            obligation: ObligationId(sql.obligation_id),
            batch_no: sql.batch_no,
            window: WindowId(sql.window_id),
            amount: money(sql.amount),
            paid_on: sql.paid_on,
            reference: sql.reference,
            entry: sql.entry,
            recorded_by: sql.recorded_by,
            at: sql.at,
        }
    }
}

/// The payments of an obligation that were recorded under this reference.
pub fn payments(conn: &mut PgConnection, id: ObligationId, reference: &str) -> Result<Vec<Payment>, Error> {
    let rows: Vec<PaymentSql> =
        sql_query("SELECT * FROM payments WHERE obligation_id = $1 AND reference = $2 ORDER BY at, payment_id")
            .bind::<SqlUuid, _>(id.0)
            .bind::<Text, _>(reference)
            .load(conn)?;
    Ok(rows.into_iter().map(Payment::from).collect())
}

/// Payments that were recorded as one of these rows of a bank's list, or by hand under one of these references.
pub fn recorded(conn: &mut PgConnection, entries: &[String], references: &[&str]) -> Result<Vec<Payment>, Error> {
    let rows: Vec<PaymentSql> = sql_query(
        "SELECT * FROM payments WHERE entry = any($1) UNION ALL SELECT * FROM payments WHERE reference = any($2) AND entry IS NULL",
    )
    .bind::<Array<Text>, _>(entries)
    .bind::<Array<Text>, _>(references)
    .load(conn)?;
    Ok(rows.into_iter().map(Payment::from).collect())
}

/// Records a payment, after which the obligation has been paid `paid`.
pub fn pay(conn: &mut PgConnection, payment: &Payment, paid: Millionths) -> Result<(), Error> {
    sql_query(
        "INSERT INTO payments (payment_id, obligation_id, batch_no, window_id, amount, paid_on, reference, entry, recorded_by, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind::<SqlUuid, _>(payment.id.0)
    .bind::<SqlUuid, _>(payment.obligation.0)
    .bind::<BigInt, _>(payment.batch_no)
    .bind::<SqlUuid, _>(payment.window.0)
    .bind::<BigInt, _>(payment.amount.get())
    .bind::<Date, _>(payment.paid_on)
    .bind::<Text, _>(&payment.reference)
    .bind::<Nullable<Text>, _>(&payment.entry)
    .bind::<Text, _>(&payment.recorded_by)
    .bind::<Timestamptz, _>(payment.at)
    .execute(conn)?;
    sql_query("UPDATE obligations SET paid = $2, paid_at = CASE WHEN amount = $2 THEN $3 END WHERE obligation_id = $1")
        .bind::<SqlUuid, _>(payment.obligation.0)
        .bind::<BigInt, _>(paid.get())
        .bind::<Timestamptz, _>(payment.at)
        .execute(conn)?;
    Ok(())
}
