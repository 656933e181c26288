//! Rows of conversions, movements and reversals, as the book and the API read them.

use super::Error;
use super::codec::{self, TermsJson, Unreadable, parcels_from, points};
use super::statement::{Column, Statement};
use crate::book::command::{Accepted, ConversionRow, MovementRow, ReversalRow, ReversalState, Reversed};
use crate::domain::ids::{AccountId, ConversionId, MovementId, QuoteId, ReversalId, Slug, TokenId, WindowId};
use crate::domain::money::Millionths;
use crate::domain::terms::Terms;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

#[derive(QueryableByName)]
struct ConversionSql {
    #[diesel(sql_type = SqlUuid)]
    conversion_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    from_account: Uuid,
    #[diesel(sql_type = SqlUuid)]
    to_account: Uuid,
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = Integer)]
    ordinal: i32,
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    terms_id: Uuid,
    #[diesel(sql_type = Text)]
    terms: String,
    #[diesel(sql_type = BigInt)]
    debit: i64,
    #[diesel(sql_type = BigInt)]
    credit: i64,
    #[diesel(sql_type = Array<BigInt>)]
    bonuses: Vec<i64>,
    #[diesel(sql_type = BigInt)]
    fee: i64,
    #[diesel(sql_type = Array<BigInt>)]
    lots_out: Vec<i64>,
    #[diesel(sql_type = Array<BigInt>)]
    lots_in: Vec<i64>,
    #[diesel(sql_type = BigInt)]
    from_entry_no: i64,
    #[diesel(sql_type = BigInt)]
    to_entry_no: i64,
    #[diesel(sql_type = SqlUuid)]
    from_token: Uuid,
    #[diesel(sql_type = SqlUuid)]
    to_token: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    reference: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    quote_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<BigInt>)]
    accepted_batch: Option<i64>,
    #[diesel(sql_type = Nullable<Integer>)]
    accepted_ordinal: Option<i32>,
    #[diesel(sql_type = Nullable<Date>)]
    accepted_day: Option<NaiveDate>,
    #[diesel(sql_type = Bool)]
    pulled: bool,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Date)]
    day: NaiveDate,
    #[diesel(sql_type = Bool)]
    undone: bool,
    #[diesel(sql_type = BigInt)]
    reversed_credit: i64,
    #[diesel(sql_type = BigInt)]
    reversed_bonus: i64,
    #[diesel(sql_type = BigInt)]
    reversed_debit: i64,
    #[diesel(sql_type = BigInt)]
    reversed_fee: i64,
}

/// Conversions by id; those not there are missing from the answer.
pub fn conversions(conn: &mut PgConnection, ids: &[ConversionId]) -> Result<Vec<ConversionRow>, Error> {
    let ids = ids.iter().map(|id| id.0).collect();
    let found: Vec<ConversionSql> = Statement::new(
        "SELECT c.*, t.body::text AS terms FROM conversions c JOIN terms t USING (terms_id) WHERE c.conversion_id = ANY(?)",
        vec![Column::Uuids(ids)],
    )
    .load(conn)?;
    from_sql(found)
}

/// Conversions by place in the book: the inverse of a confirmation number.
pub fn conversion_at(conn: &mut PgConnection, batch_no: i64, ordinal: i32) -> Result<Option<ConversionRow>, Error> {
    // The batch's lines name its conversions: each has one that took its points.
    let found: Vec<ConversionSql> = Statement::new(
        "SELECT c.*, t.body::text AS terms FROM unnest(?, ?) p(batch_no, ordinal) JOIN entries e ON e.batch_no = p.batch_no AND e.kind = 7 \
         JOIN conversions c ON c.conversion_id = e.subject AND c.ordinal = p.ordinal JOIN terms t USING (terms_id)",
        vec![Column::BigInts(vec![batch_no]), Column::Integers(vec![ordinal])],
    )
    .load(conn)?;
    Ok(from_sql(found)?.pop())
}

fn from_sql(found: Vec<ConversionSql>) -> Result<Vec<ConversionRow>, Error> {
    let mut known: HashMap<Uuid, Arc<Terms>> = HashMap::new();
    let mut rows = Vec::with_capacity(found.len());
    for sql in found {
        let terms = match known.get(&sql.terms_id) {
            Some(terms) => terms.clone(),
            None => known.entry(sql.terms_id).or_insert(Arc::new(terms_from(&sql.terms)?)).clone(),
        };
        rows.push(conversion(sql, terms)?);
    }
    Ok(rows)
}

#[derive(QueryableByName)]
struct TermsSql {
    #[diesel(sql_type = SqlUuid)]
    terms_id: Uuid,
    #[diesel(sql_type = Text)]
    terms: String,
}

/// Frozen terms by their ids; those not there are missing from the answer.
pub fn terms(conn: &mut PgConnection, ids: &[Uuid]) -> Result<HashMap<Uuid, Arc<Terms>>, Error> {
    let found: Vec<TermsSql> = Statement::new(
        "SELECT terms_id, body::text AS terms FROM terms WHERE terms_id = ANY(?)",
        vec![Column::Uuids(ids.to_vec())],
    )
    .load(conn)?;
    let read = |sql: TermsSql| Ok((sql.terms_id, Arc::new(terms_from(&sql.terms)?)));
    found.into_iter().map(read).collect()
}

fn terms_from(text: &str) -> Result<Terms, Unreadable> {
    let json: TermsJson =
        serde_json::from_str(text).map_err(|cause| Unreadable { column: "terms.body", value: cause.to_string() })?;
    Terms::try_from(json)
}

fn conversion(sql: ConversionSql, terms: Arc<Terms>) -> Result<ConversionRow, Unreadable> {
    Ok(ConversionRow {
        id: ConversionId(sql.conversion_id),
        from_account: AccountId(sql.from_account),
        to_account: AccountId(sql.to_account),
        batch_no: sql.batch_no,
        ordinal: sql.ordinal,
        window: WindowId(sql.window_id),
        terms,
        debit: points("debit", sql.debit)?,
        credit: points("credit", sql.credit)?,
        bonuses: sql.bonuses.into_iter().map(|value| points("bonuses", value)).collect::<Result<_, _>>()?,
        fee: Millionths::new(sql.fee),
        lots_out: parcels_from(&sql.lots_out)?,
        lots_in: parcels_from(&sql.lots_in)?,
        from_entry_no: sql.from_entry_no,
        to_entry_no: sql.to_entry_no,
        from_token: TokenId(sql.from_token),
        to_token: TokenId(sql.to_token),
        reference: sql.reference,
        quote: sql.quote_id.map(QuoteId),
        pulled: sql.pulled,
        at: sql.at,
        day: sql.day,
        accepted: match (sql.accepted_batch, sql.accepted_ordinal, sql.accepted_day) {
            (Some(batch_no), Some(ordinal), Some(day)) => Some(Accepted { batch_no, ordinal, day }),
            _ => None,
        },
        reversed: Reversed {
            undone: sql.undone,
            credit: points("reversed_credit", sql.reversed_credit)?,
            bonus: points("reversed_bonus", sql.reversed_bonus)?,
            debit: points("reversed_debit", sql.reversed_debit)?,
            fee: Millionths::new(sql.reversed_fee),
        },
    })
}

#[derive(QueryableByName)]
struct MovementSql {
    #[diesel(sql_type = SqlUuid)]
    movement_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    account_id: Uuid,
    #[diesel(sql_type = Text)]
    partner: String,
    #[diesel(sql_type = SmallInt)]
    side: i16,
    #[diesel(sql_type = Nullable<SmallInt>)]
    kind: Option<i16>,
    #[diesel(sql_type = BigInt)]
    points: i64,
    #[diesel(sql_type = BigInt)]
    owed: i64,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = Nullable<Text>)]
    reference: Option<String>,
    #[diesel(sql_type = Array<BigInt>)]
    lots: Vec<i64>,
    #[diesel(sql_type = Nullable<Date>)]
    available_on: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    reverses: Option<Uuid>,
    #[diesel(sql_type = BigInt)]
    entry_no: i64,
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Date)]
    day: NaiveDate,
    #[diesel(sql_type = BigInt)]
    reversed: i64,
}

/// Credits and debits by id.
pub fn movements(conn: &mut PgConnection, ids: &[MovementId]) -> Result<Vec<MovementRow>, Error> {
    let ids = ids.iter().map(|id| id.0).collect();
    let found: Vec<MovementSql> =
        Statement::new("SELECT * FROM movements WHERE movement_id = ANY(?)", vec![Column::Uuids(ids)]).load(conn)?;
    let row = |sql: MovementSql| {
        Ok(MovementRow {
            id: MovementId(sql.movement_id),
            account: AccountId(sql.account_id),
            partner: slug("movements.partner", &sql.partner)?,
            side: codec::side_from(sql.side)?,
            kind: sql.kind.map(codec::credit_kind_from).transpose()?,
            points: points("points", sql.points)?,
            owed: points("owed", sql.owed)?,
            reason: sql.reason,
            reference: sql.reference,
            lots: parcels_from(&sql.lots)?,
            available_on: sql.available_on,
            reverses: sql.reverses.map(MovementId),
            entry_no: sql.entry_no,
            batch_no: sql.batch_no,
            at: sql.at,
            day: sql.day,
            reversed: points("reversed", sql.reversed)?,
        })
    };
    Ok(found.into_iter().map(row).collect::<Result<Vec<_>, Unreadable>>()?)
}

#[derive(QueryableByName)]
struct ReversalSql {
    #[diesel(sql_type = SqlUuid)]
    reversal_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    conversion_id: Uuid,
    #[diesel(sql_type = Bool)]
    undo: bool,
    #[diesel(sql_type = SmallInt)]
    state: i16,
    #[diesel(sql_type = Text)]
    asked_by: String,
    #[diesel(sql_type = Bool)]
    needs_confirmation: bool,
    #[diesel(sql_type = BigInt)]
    credit: i64,
    #[diesel(sql_type = BigInt)]
    bonus: i64,
    #[diesel(sql_type = Array<BigInt>)]
    bonuses: Vec<i64>,
    #[diesel(sql_type = BigInt)]
    debit: i64,
    #[diesel(sql_type = BigInt)]
    fee: i64,
    #[diesel(sql_type = Array<BigInt>)]
    lots_back: Vec<i64>,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = Nullable<Text>)]
    reference: Option<String>,
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Date)]
    day: NaiveDate,
}

/// Undos and reversals by their own id.
pub fn reversals(conn: &mut PgConnection, ids: &[ReversalId]) -> Result<Vec<ReversalRow>, Error> {
    let ids = ids.iter().map(|id| id.0).collect();
    let found: Vec<ReversalSql> =
        Statement::new("SELECT * FROM reversals WHERE reversal_id = ANY(?)", vec![Column::Uuids(ids)]).load(conn)?;
    reversals_from(found)
}

/// All undos and reversals of one conversion, oldest first.
pub fn reversals_of(conn: &mut PgConnection, id: ConversionId) -> Result<Vec<ReversalRow>, Error> {
    let found: Vec<ReversalSql> = Statement::new(
        "SELECT * FROM reversals WHERE conversion_id = ANY(?) ORDER BY reversal_id",
        vec![Column::Uuids(vec![id.0])],
    )
    .load(conn)?;
    reversals_from(found)
}

fn reversals_from(found: Vec<ReversalSql>) -> Result<Vec<ReversalRow>, Error> {
    let row = |sql: ReversalSql| {
        Ok(ReversalRow {
            id: ReversalId(sql.reversal_id),
            conversion: ConversionId(sql.conversion_id),
            undo: sql.undo,
            state: match sql.state {
                0 => ReversalState::Requested,
                1 => ReversalState::Completed,
                2 => ReversalState::Pending,
                _ => ReversalState::Refused,
            },
            asked_by: slug("reversals.asked_by", &sql.asked_by)?,
            needs_confirmation: sql.needs_confirmation,
            credit: points("credit", sql.credit)?,
            bonus: points("bonus", sql.bonus)?,
            bonuses: sql.bonuses.into_iter().map(|value| points("bonuses", value)).collect::<Result<_, _>>()?,
            debit: points("debit", sql.debit)?,
            fee: Millionths::new(sql.fee),
            lots_back: parcels_from(&sql.lots_back)?,
            reason: sql.reason,
            reference: sql.reference,
            window: WindowId(sql.window_id),
            batch_no: sql.batch_no,
            at: sql.at,
            day: sql.day,
        })
    };
    Ok(found.into_iter().map(row).collect::<Result<Vec<_>, Unreadable>>()?)
}

pub fn slug(column: &'static str, text: &str) -> Result<Slug, Unreadable> {
    text.parse().map_err(|_| Unreadable { column, value: text.to_owned() })
}
