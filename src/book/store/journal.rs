//! What was posted, in the sequence it was posted: conversions, what took them back, and adjustments, in runs of batches.
//!
//! The batches' own lines of the journal say what there is to be found, so that a row that is missing is noticed.

use super::Error;
use super::codec::{Unreadable, points};
use super::rows;
use super::statement::{Column, Statement};
use super::voucher_uses;
use crate::book::voucher::UseRow;
use crate::domain::ids::Slug;
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// Lines of the journal in one run: some 16,000 conversions.
const ENTRIES_MAX: i64 = 40_000;
/// Batches looked at to make up one run.
const BATCHES_MAX: i64 = 4_000;

/// A conversion as its lines need it.
#[derive(Clone, Debug)]
pub struct Conversion {
    pub id: Uuid,
    pub batch_no: i64,
    pub ordinal: i32,
    pub window: Uuid,
    pub terms: Uuid,
    pub debit: Points,
    pub credit: Points,
    pub bonuses: Vec<Points>,
    pub fee: Millionths,
    pub from_token: Uuid,
    pub to_token: Uuid,
    pub reference: Option<String>,
    /// The target asked for it, so the reference is its.
    pub pulled: bool,
    pub at: DateTime<Utc>,
    pub day: NaiveDate,
}

/// An undo or a reversal, with what its lines take from the conversion.
#[derive(Clone, Debug)]
pub struct Reversal {
    pub id: Uuid,
    pub batch_no: i64,
    pub window: Uuid,
    pub conversion: Uuid,
    pub conversion_window: Uuid,
    pub terms: Uuid,
    pub undo: bool,
    pub asked_by: Slug,
    pub debit: Points,
    pub credit: Points,
    pub bonuses: Vec<Points>,
    pub fee: Millionths,
    pub from_token: Uuid,
    pub to_token: Uuid,
    pub reference: Option<String>,
    pub at: DateTime<Utc>,
    pub day: NaiveDate,
}

/// What a decision added.
#[derive(Clone, Debug)]
pub struct Adjustment {
    pub id: Uuid,
    pub batch_no: i64,
    pub window: Uuid,
    pub from: String,
    pub to: String,
    pub amount: Millionths,
    pub reason: String,
    pub dispute: Option<Uuid>,
    pub conversion: Option<Uuid>,
    pub asked_by: String,
    pub approved_by: String,
    pub at: DateTime<Utc>,
    pub day: NaiveDate,
}

/// Everything posted in a run of batches; each list in the sequence of the batches, and within one in its own.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The last batch of it.
    pub through: i64,
    pub conversions: Vec<Conversion>,
    pub reversals: Vec<Reversal>,
    pub adjustments: Vec<Adjustment>,
    /// Of vouchers, those that settle nothing too.
    pub uses: Vec<UseRow>,
    /// Conversions, reversals and uses that the journal names and that are not there.
    pub missing: i64,
}

#[derive(QueryableByName)]
struct SizeSql {
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = Integer)]
    entries: i32,
}

#[derive(QueryableByName)]
struct NamedSql {
    #[diesel(sql_type = BigInt)]
    named: i64,
}

/// The next run after batch `after`, up to batch `last` at most. `None` when there is nothing left.
pub fn run(conn: &mut PgConnection, after: i64, last: i64) -> Result<Option<Run>, Error> {
    if after >= last {
        return Ok(None);
    }
    // How many entries is told by the size of a list of two bytes each, without reading it.
    let sizes: Vec<SizeSql> = sql_query(
        "SELECT batch_no, pg_column_size(entry_kinds) / 2 AS entries FROM batches \
         WHERE batch_no > $1 AND batch_no <= $2 ORDER BY batch_no LIMIT $3",
    )
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(last)
    .bind::<BigInt, _>(BATCHES_MAX)
    .load(conn)?;
    let (mut entries, mut through) = (0, last);
    let full = i64::try_from(sizes.len()).unwrap_or(i64::MAX) >= BATCHES_MAX;
    for (nth, size) in sizes.iter().enumerate() {
        if nth > 0 && entries + i64::from(size.entries) > ENTRIES_MAX {
            through = sizes[nth - 1].batch_no;
            break;
        }
        entries += i64::from(size.entries);
        if full && nth + 1 == sizes.len() {
            through = size.batch_no;
        }
    }
    let named: NamedSql = sql_query(
        "SELECT count(*) AS named FROM batches b, unnest(b.entry_kinds) k WHERE b.batch_no > $1 AND b.batch_no <= $2 AND k IN (7, 10, 16, 20)",
    )
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(through)
    .get_result(conn)?;
    let named = named.named;
    let mut run = Run { through, ..Run::default() };
    if named > 0 {
        run.conversions = conversions(conn, after, through)?;
        run.reversals = reversals(conn, after, through)?;
        run.uses = voucher_uses::between(conn, after, through)?;
    }
    run.adjustments = adjustments(conn, after, through)?;
    let found = run.conversions.len() + run.reversals.len() + run.uses.len();
    run.missing = named - i64::try_from(found).unwrap_or(i64::MAX);
    Ok(Some(run))
}

type ConversionColumns = (
    (SqlUuid, BigInt, Integer, SqlUuid, SqlUuid, BigInt, BigInt),
    (Array<BigInt>, BigInt, SqlUuid, SqlUuid, Nullable<Text>, Bool, Timestamptz, Date),
);

type ConversionRow = (
    (Uuid, i64, i32, Uuid, Uuid, i64, i64),
    (Vec<i64>, i64, Uuid, Uuid, Option<String>, bool, DateTime<Utc>, NaiveDate),
);

fn conversions(conn: &mut PgConnection, after: i64, through: i64) -> Result<Vec<Conversion>, Error> {
    let found: Vec<ConversionRow> = Statement::new(
        "SELECT c.conversion_id, c.batch_no, c.ordinal, c.window_id, c.terms_id, c.debit, c.credit, c.bonuses, c.fee, \
         c.from_token, c.to_token, c.reference, c.pulled, c.at, c.day FROM unnest(?, ?) r(after, through) \
         JOIN batches b ON b.batch_no > r.after AND b.batch_no <= r.through \
         CROSS JOIN LATERAL unnest(b.entry_kinds, b.entry_subjects) e(kind, subject) \
         JOIN conversions c ON c.conversion_id = e.subject WHERE e.kind IN (7, 16)",
        vec![Column::BigInts(vec![after]), Column::BigInts(vec![through])],
    )
    .of_types::<ConversionColumns>()
    .load(conn)?;
    let row = |((id, batch_no, ordinal, window, terms, debit, credit), rest): ConversionRow| {
        let (bonuses, fee, from_token, to_token, reference, pulled, at, day) = rest;
        Ok(Conversion {
            id,
            batch_no,
            ordinal,
            window,
            terms,
            debit: points("debit", debit)?,
            credit: points("credit", credit)?,
            bonuses: all_points(bonuses)?,
            fee: Millionths::new(fee),
            from_token,
            to_token,
            reference,
            pulled,
            at,
            day,
        })
    };
    let mut rows = found.into_iter().map(row).collect::<Result<Vec<_>, Unreadable>>()?;
    rows.sort_unstable_by_key(|row| (row.batch_no, row.ordinal));
    Ok(rows)
}

fn all_points(values: Vec<i64>) -> Result<Vec<Points>, Unreadable> {
    values.into_iter().map(|value| points("bonuses", value)).collect()
}

#[derive(QueryableByName)]
struct ReversalSql {
    #[diesel(sql_type = SqlUuid)]
    reversal_id: Uuid,
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    conversion_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    conversion_window: Uuid,
    #[diesel(sql_type = SqlUuid)]
    terms_id: Uuid,
    #[diesel(sql_type = Bool)]
    undo: bool,
    #[diesel(sql_type = Text)]
    asked_by: String,
    #[diesel(sql_type = BigInt)]
    debit: i64,
    #[diesel(sql_type = BigInt)]
    credit: i64,
    #[diesel(sql_type = Array<BigInt>)]
    bonuses: Vec<i64>,
    #[diesel(sql_type = BigInt)]
    fee: i64,
    #[diesel(sql_type = SqlUuid)]
    from_token: Uuid,
    #[diesel(sql_type = SqlUuid)]
    to_token: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    reference: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Date)]
    day: NaiveDate,
}

fn reversals(conn: &mut PgConnection, after: i64, through: i64) -> Result<Vec<Reversal>, Error> {
    let found: Vec<ReversalSql> = Statement::new(
        "SELECT r.reversal_id, r.batch_no, r.window_id, r.conversion_id, c.window_id AS conversion_window, c.terms_id, r.undo, \
         r.asked_by, r.debit, r.credit, r.bonuses, r.fee, c.from_token, c.to_token, r.reference, r.at, r.day \
         FROM unnest(?, ?) w(after, through) JOIN batches b ON b.batch_no > w.after AND b.batch_no <= w.through \
         CROSS JOIN LATERAL unnest(b.entry_kinds, b.entry_subjects) e(kind, subject) \
         JOIN reversals r ON r.reversal_id = e.subject AND r.batch_no = b.batch_no AND r.state = 1 \
         JOIN conversions c ON c.conversion_id = r.conversion_id WHERE e.kind = 10",
        vec![Column::BigInts(vec![after]), Column::BigInts(vec![through])],
    )
    .load(conn)?;
    let row = |sql: ReversalSql| {
        Ok(Reversal {
            id: sql.reversal_id,
            batch_no: sql.batch_no,
            window: sql.window_id,
            conversion: sql.conversion_id,
            conversion_window: sql.conversion_window,
            terms: sql.terms_id,
            undo: sql.undo,
            asked_by: rows::slug("reversals.asked_by", &sql.asked_by)?,
            debit: points("debit", sql.debit)?,
            credit: points("credit", sql.credit)?,
            bonuses: all_points(sql.bonuses)?,
            fee: Millionths::new(sql.fee),
            from_token: sql.from_token,
            to_token: sql.to_token,
            reference: sql.reference,
            at: sql.at,
            day: sql.day,
        })
    };
    let mut rows = found.into_iter().map(row).collect::<Result<Vec<_>, Unreadable>>()?;
    rows.sort_unstable_by_key(|row| (row.batch_no, row.id));
    Ok(rows)
}

#[derive(QueryableByName)]
struct AdjustmentSql {
    #[diesel(sql_type = SqlUuid)]
    adjustment_id: Uuid,
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
    #[diesel(sql_type = Text)]
    from_party: String,
    #[diesel(sql_type = Text)]
    to_party: String,
    #[diesel(sql_type = BigInt)]
    amount: i64,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    dispute_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    conversion_id: Option<Uuid>,
    #[diesel(sql_type = Text)]
    asked_by: String,
    #[diesel(sql_type = Text)]
    approved_by: String,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Date)]
    day: NaiveDate,
}

fn adjustments(conn: &mut PgConnection, after: i64, through: i64) -> Result<Vec<Adjustment>, Error> {
    let found: Vec<AdjustmentSql> =
        sql_query("SELECT * FROM adjustments WHERE batch_no > $1 AND batch_no <= $2 ORDER BY batch_no, adjustment_id")
            .bind::<BigInt, _>(after)
            .bind::<BigInt, _>(through)
            .load(conn)?;
    let row = |sql: AdjustmentSql| Adjustment {
        id: sql.adjustment_id,
        batch_no: sql.batch_no,
        window: sql.window_id,
        from: sql.from_party,
        to: sql.to_party,
        amount: Millionths::new(sql.amount),
        reason: sql.reason,
        dispute: sql.dispute_id,
        conversion: sql.conversion_id,
        asked_by: sql.asked_by,
        approved_by: sql.approved_by,
        at: sql.at,
        day: sql.day,
    };
    Ok(found.into_iter().map(row).collect())
}
