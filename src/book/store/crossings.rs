//! Rows of crossings: the book's part of them. When the next call is due is set here at every step and moved on by
//! whoever takes it (`store::crossings`).

use super::Error;
use super::codec::{Unreadable, parcels_from, parcels_numbers, points};
use super::rows::{self, slug};
use super::statement::{Column, Group, Statement, lists};
use super::write::{KnownTerms, terms_id};
use crate::book::command::CrossingRow;
use crate::book::crossing::Kind;
use crate::book::engine::world::World;
use crate::domain::crossing::State;
use crate::domain::ids::{AccountId, ConversionId, QuoteId, ReversalId, TokenId};
use crate::domain::money::Millionths;
use crate::domain::terms::Terms;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Date, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// Which crossings are wanted.
#[derive(Default)]
pub struct Wished {
    pub ids: Vec<Uuid>,
    /// All of these conversions, their undos and reversals too.
    pub conversions: Vec<ConversionId>,
    /// Those of these accounts that are not over.
    pub open_of: Vec<AccountId>,
}

impl Wished {
    fn is_nothing(&self) -> bool {
        self.ids.is_empty() && self.conversions.is_empty() && self.open_of.is_empty()
    }
}

#[derive(QueryableByName)]
struct CrossingSql {
    #[diesel(sql_type = SqlUuid)]
    crossing_id: Uuid,
    #[diesel(sql_type = SmallInt)]
    kind: i16,
    #[diesel(sql_type = SqlUuid)]
    conversion_id: Uuid,
    #[diesel(sql_type = SmallInt)]
    state: i16,
    #[diesel(sql_type = SqlUuid)]
    from_account: Uuid,
    #[diesel(sql_type = SqlUuid)]
    to_account: Uuid,
    #[diesel(sql_type = SqlUuid)]
    terms_id: Uuid,
    #[diesel(sql_type = BigInt)]
    debit: i64,
    #[diesel(sql_type = BigInt)]
    credit: i64,
    #[diesel(sql_type = Array<BigInt>)]
    bonuses: Vec<i64>,
    #[diesel(sql_type = BigInt)]
    fee: i64,
    #[diesel(sql_type = Array<BigInt>)]
    lots_wanted: Vec<i64>,
    #[diesel(sql_type = Array<BigInt>)]
    lots_held: Vec<i64>,
    #[diesel(sql_type = Array<BigInt>)]
    lots_arriving: Vec<i64>,
    #[diesel(sql_type = BigInt)]
    source_entry_no: i64,
    #[diesel(sql_type = SqlUuid)]
    from_token: Uuid,
    #[diesel(sql_type = SqlUuid)]
    to_token: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    reference: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    quote_id: Option<Uuid>,
    #[diesel(sql_type = Bool)]
    pulled: bool,
    #[diesel(sql_type = Text)]
    asked_by: String,
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = Integer)]
    ordinal: i32,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Date)]
    day: NaiveDate,
    #[diesel(sql_type = Nullable<Text>)]
    cause: Option<String>,
    #[diesel(sql_type = Bool)]
    in_doubt: bool,
    #[diesel(sql_type = BigInt)]
    version: i64,
}

/// The crossings wished for; those not there are missing from the answer.
pub fn find(conn: &mut PgConnection, wished: Wished) -> Result<Vec<CrossingRow>, Error> {
    if wished.is_nothing() {
        return Ok(Vec::new());
    }
    let found: Vec<CrossingSql> = Statement::new(
        "SELECT * FROM crossings WHERE crossing_id = ANY(?) UNION SELECT * FROM crossings WHERE conversion_id = ANY(?) \
         UNION SELECT * FROM crossings WHERE from_account = ANY(?) AND state NOT IN (3, 6) \
         UNION SELECT * FROM crossings WHERE to_account = ANY(?) AND state NOT IN (3, 6)",
        vec![
            Column::Uuids(wished.ids),
            Column::Uuids(wished.conversions.into_iter().map(|id| id.0).collect()),
            Column::Uuids(wished.open_of.iter().map(|id| id.0).collect()),
            Column::Uuids(wished.open_of.iter().map(|id| id.0).collect()),
        ],
    )
    .load(conn)?;
    from_sql(conn, found)
}

/// By place in the book: the inverse of the confirmation number of a conversion that crossed.
pub fn at(conn: &mut PgConnection, batch_no: i64, ordinal: i32) -> Result<Option<CrossingRow>, Error> {
    let found: Vec<CrossingSql> = Statement::new(
        "SELECT c.* FROM unnest(?, ?) p(batch_no, ordinal) JOIN crossings c USING (batch_no, ordinal) WHERE c.kind = 0",
        vec![Column::BigInts(vec![batch_no]), Column::Integers(vec![ordinal])],
    )
    .load(conn)?;
    Ok(from_sql(conn, found)?.pop())
}

fn from_sql(conn: &mut PgConnection, found: Vec<CrossingSql>) -> Result<Vec<CrossingRow>, Error> {
    let mut ids: Vec<Uuid> = found.iter().map(|sql| sql.terms_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let terms = if ids.is_empty() { HashMap::new() } else { rows::terms(conn, &ids)? };
    let row = |sql: CrossingSql| match terms.get(&sql.terms_id) {
        Some(terms) => row(sql, terms.clone()),
        None => Err(Unreadable { column: "crossings.terms_id", value: sql.terms_id.to_string() }),
    };
    Ok(found.into_iter().map(row).collect::<Result<_, Unreadable>>()?)
}

fn row(sql: CrossingSql, terms: Arc<Terms>) -> Result<CrossingRow, Unreadable> {
    let unknown = |column, value: i16| Unreadable { column, value: value.to_string() };
    Ok(CrossingRow {
        id: sql.crossing_id,
        kind: Kind::from_number(sql.kind).ok_or_else(|| unknown("crossings.kind", sql.kind))?,
        conversion: ConversionId(sql.conversion_id),
        state: State::from_number(sql.state).ok_or_else(|| unknown("crossings.state", sql.state))?,
        from_account: AccountId(sql.from_account),
        to_account: AccountId(sql.to_account),
        terms,
        debit: points("debit", sql.debit)?,
        credit: points("credit", sql.credit)?,
        bonuses: sql.bonuses.into_iter().map(|value| points("bonuses", value)).collect::<Result<_, _>>()?,
        fee: Millionths::new(sql.fee),
        lots_wanted: parcels_from(&sql.lots_wanted)?,
        lots_held: parcels_from(&sql.lots_held)?,
        lots_arriving: parcels_from(&sql.lots_arriving)?,
        source_entry_no: sql.source_entry_no,
        from_token: TokenId(sql.from_token),
        to_token: TokenId(sql.to_token),
        reference: sql.reference,
        quote: sql.quote_id.map(QuoteId),
        pulled: sql.pulled,
        asked_by: slug("crossings.asked_by", &sql.asked_by)?,
        batch_no: sql.batch_no,
        ordinal: sql.ordinal,
        at: sql.at,
        day: sql.day,
        cause: sql.cause,
        in_doubt: sql.in_doubt,
        version: sql.version,
    })
}

pub(super) fn insert(
    conn: &mut PgConnection,
    group: &mut Group,
    known: &mut KnownTerms,
    world: &World,
) -> Result<(), Error> {
    let rows: Vec<&Arc<CrossingRow>> = world.writes.crossings.iter().filter_map(|id| world.crossings.get(id)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let terms = rows.iter().map(|row| terms_id(conn, known, &row.terms)).collect::<Result<_, _>>()?;
    let mut columns = lists(rows.iter().map(|row| {
        [
            row.bonuses.iter().map(|points| points.get()).collect(),
            parcels_numbers(&row.lots_wanted),
            parcels_numbers(&row.lots_held),
            parcels_numbers(&row.lots_arriving),
        ]
    }));
    columns.extend([
        Column::Uuids(rows.iter().map(|row| row.id).collect()),
        Column::SmallInts(rows.iter().map(|row| row.kind.number()).collect()),
        Column::Uuids(rows.iter().map(|row| row.conversion.0).collect()),
        Column::SmallInts(rows.iter().map(|row| row.state.number()).collect()),
        Column::Uuids(rows.iter().map(|row| row.from_account.0).collect()),
        Column::Uuids(rows.iter().map(|row| row.to_account.0).collect()),
        Column::Texts(rows.iter().map(|row| row.terms.from.to_string()).collect()),
        Column::Texts(rows.iter().map(|row| row.terms.to.to_string()).collect()),
        Column::Uuids(terms),
        Column::BigInts(rows.iter().map(|row| row.debit.get()).collect()),
        Column::BigInts(rows.iter().map(|row| row.credit.get()).collect()),
        Column::BigInts(rows.iter().map(|row| row.fee.get()).collect()),
        Column::BigInts(rows.iter().map(|row| row.source_entry_no).collect()),
        Column::Uuids(rows.iter().map(|row| row.from_token.0).collect()),
        Column::Uuids(rows.iter().map(|row| row.to_token.0).collect()),
        Column::TextsOrNull(rows.iter().map(|row| row.reference.clone()).collect()),
        Column::UuidsOrNull(rows.iter().map(|row| row.quote.map(|quote| quote.0)).collect()),
        Column::Bools(rows.iter().map(|row| row.pulled).collect()),
        Column::Texts(rows.iter().map(|row| row.asked_by.to_string()).collect()),
        Column::BigInts(rows.iter().map(|row| row.batch_no).collect()),
        Column::Integers(rows.iter().map(|row| row.ordinal).collect()),
        Column::Times(rows.iter().map(|row| row.at).collect()),
        Column::Dates(rows.iter().map(|row| row.day).collect()),
    ]);
    group.add(Statement::new(INSERT, columns));
    Ok(())
}

/// Whoever took a step goes on with it; after twenty seconds any other server may.
const INSERT: &str = "INSERT INTO crossings (crossing_id, kind, conversion_id, state, from_account, to_account, from_partner, \
     to_partner, terms_id, debit, credit, bonuses, fee, lots_wanted, lots_held, lots_arriving, source_entry_no, from_token, \
     to_token, reference, quote_id, pulled, asked_by, batch_no, ordinal, at, day, due_at) \
     SELECT i, k, cv, s, fa, ta, fp, tp, t, d, c, f.num[bo:lw - 1], fe, f.num[lw:lh - 1], f.num[lh:la - 1], f.num[la:le], sn, ft, tt, \
     r, q, pu, ab, b, o, n, y, clock_timestamp() + interval '20 seconds' FROM (SELECT ?::bigint[] AS num) f, \
     unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
     x(bo, lw, lh, la, le, i, k, cv, s, fa, ta, fp, tp, t, d, c, fe, sn, ft, tt, r, q, pu, ab, b, o, n, y)";

/// Takes every step; `Err(LostRace)` when one of them was not the next any more.
pub(super) fn changed(conn: &mut PgConnection, world: &World) -> Result<(), Error> {
    let rows: Vec<&Arc<CrossingRow>> =
        world.writes.crossings_changed.iter().filter_map(|id| world.crossings.get(id)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut columns =
        lists(rows.iter().map(|row| [parcels_numbers(&row.lots_held), parcels_numbers(&row.lots_arriving)]));
    columns.extend([
        Column::Uuids(rows.iter().map(|row| row.id).collect()),
        Column::BigInts(rows.iter().map(|row| row.version).collect()),
        Column::SmallInts(rows.iter().map(|row| row.state.number()).collect()),
        Column::TextsOrNull(rows.iter().map(|row| row.cause.clone()).collect()),
        Column::Bools(rows.iter().map(|row| row.in_doubt).collect()),
    ]);
    let written = Statement::new(CHANGE, columns).execute(conn)?;
    if written == rows.len() { Ok(()) } else { Err(Error::LostRace) }
}

const CHANGE: &str = "UPDATE crossings c SET state = x.s, lots_held = f.num[x.lh:x.la - 1], lots_arriving = f.num[x.la:x.le], \
     cause = x.cause, in_doubt = x.doubt, version = c.version + 1, attempts = CASE WHEN c.state = x.s THEN c.attempts ELSE 0 END, \
     since = CASE WHEN c.state = x.s THEN c.since ELSE clock_timestamp() END, note = CASE WHEN c.state = x.s THEN c.note END, \
     due_at = clock_timestamp() + interval '20 seconds' \
     FROM (SELECT ?::bigint[] AS num) f, unnest(?, ?, ?, ?, ?, ?, ?, ?) x(lh, la, le, i, v, s, cause, doubt) \
     WHERE c.crossing_id = x.i AND c.version = x.v";

/// What is told of a crossing that ended without a conversion, or that somebody has to look at.
pub(super) fn told(conversion: ConversionId, crossing: Uuid, kind: Kind, cause: &str) -> serde_json::Value {
    let mut told = serde_json::json!({ "conversion_id": conversion.to_string(), "code": cause });
    if kind != Kind::Conversion {
        told["reversal_id"] = ReversalId(crossing).to_string().into();
    }
    told
}
