//! Statements and the signatures over them. Of a statement only its state ever changes.

use super::{money, participant, unreadable};
use crate::domain::ids::{StatementId, WindowId};
use crate::domain::money::Millionths;
use crate::domain::settlement::Participant;
use crate::domain::settlement::statement::State;
use crate::store::Error;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: StatementId,
    pub window: WindowId,
    /// Of the window.
    pub number: i64,
    pub participant: Participant,
    pub first_line: i64,
    pub lines: i64,
    /// Canonical JSON: the very bytes that are signed.
    pub payload: String,
    pub leaf: [u8; 32],
    pub leaf_index: i64,
    pub closing: Millionths,
    pub state: State,
    pub state_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct StatementSql {
    #[diesel(sql_type = SqlUuid)]
    statement_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Text)]
    participant: String,
    #[diesel(sql_type = BigInt)]
    first_line: i64,
    #[diesel(sql_type = BigInt)]
    lines: i64,
    #[diesel(sql_type = Text)]
    payload: String,
    #[diesel(sql_type = Binary)]
    leaf: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    leaf_index: i64,
    #[diesel(sql_type = BigInt)]
    closing: i64,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Timestamptz)]
    state_at: DateTime<Utc>,
}

impl StatementSql {
    fn checked(self) -> Result<Row, Error> {
        Ok(Row {
            id: StatementId(self.statement_id),
            window: WindowId(self.window_id),
            number: self.number,
            participant: participant(&self.participant)?,
            first_line: self.first_line,
            lines: self.lines,
            payload: self.payload,
            leaf: self.leaf.try_into().map_err(|_| unreadable("a statement's leaf is no hash"))?,
            leaf_index: self.leaf_index,
            closing: money(self.closing),
            state: State::parse(&self.state).ok_or_else(|| unreadable(format!("statement state `{}`", self.state)))?,
            state_at: self.state_at,
        })
    }
}

pub fn insert(conn: &mut PgConnection, row: &Row) -> Result<(), Error> {
    sql_query(
        "INSERT INTO statements (statement_id, window_id, number, participant, first_line, lines, payload, leaf, leaf_index, \
         closing, state, state_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind::<SqlUuid, _>(row.id.0)
    .bind::<SqlUuid, _>(row.window.0)
    .bind::<BigInt, _>(row.number)
    .bind::<Text, _>(row.participant.as_str())
    .bind::<BigInt, _>(row.first_line)
    .bind::<BigInt, _>(row.lines)
    .bind::<Text, _>(&row.payload)
    .bind::<Binary, _>(row.leaf.as_slice())
    .bind::<BigInt, _>(row.leaf_index)
    .bind::<BigInt, _>(row.closing.get())
    .bind::<Text, _>(row.state.code())
    .bind::<Timestamptz, _>(row.state_at)
    .execute(conn)?;
    Ok(())
}

/// One participant's statement of a window.
pub fn find(conn: &mut PgConnection, window: WindowId, of: &Participant) -> Result<Option<Row>, Error> {
    let row = sql_query("SELECT * FROM statements WHERE window_id = $1 AND participant = $2")
        .bind::<SqlUuid, _>(window.0)
        .bind::<Text, _>(of.as_str())
        .get_result::<StatementSql>(conn);
    row.optional()?.map(StatementSql::checked).transpose()
}

/// Every statement of a window, by participant.
pub fn of_window(conn: &mut PgConnection, window: WindowId) -> Result<Vec<Row>, Error> {
    let rows: Vec<StatementSql> = sql_query("SELECT * FROM statements WHERE window_id = $1 ORDER BY participant")
        .bind::<SqlUuid, _>(window.0)
        .load(conn)?;
    rows.into_iter().map(StatementSql::checked).collect()
}

/// A participant's statements before window `number`, newest first, at most `limit`.
pub fn before(conn: &mut PgConnection, of: &Participant, number: i64, limit: i64) -> Result<Vec<Row>, Error> {
    let rows: Vec<StatementSql> =
        sql_query("SELECT * FROM statements WHERE participant = $1 AND number < $2 ORDER BY number DESC LIMIT $3")
            .bind::<Text, _>(of.as_str())
            .bind::<BigInt, _>(number)
            .bind::<BigInt, _>(limit)
            .load(conn)?;
    rows.into_iter().map(StatementSql::checked).collect()
}

/// Statements that nobody answered and whose window's time for disputes was over before `day`; at most `limit`.
pub fn unanswered(conn: &mut PgConnection, day: chrono::NaiveDate, limit: i64) -> Result<Vec<Row>, Error> {
    let rows: Vec<StatementSql> = sql_query(
        "SELECT s.* FROM statements s JOIN windows w USING (window_id) WHERE w.state = 'published' AND w.disputes_until < $1 \
         AND s.state = 'published' ORDER BY s.number, s.participant LIMIT $2",
    )
    .bind::<diesel::sql_types::Date, _>(day)
    .bind::<BigInt, _>(limit)
    .load(conn)?;
    rows.into_iter().map(StatementSql::checked).collect()
}

#[derive(QueryableByName)]
struct StateSql {
    #[diesel(sql_type = Text)]
    state: String,
}

/// Where a statement stands, which nobody else changes until the transaction ends.
pub fn lock(conn: &mut PgConnection, id: StatementId) -> Result<State, Error> {
    let row: StateSql = sql_query("SELECT state FROM statements WHERE statement_id = $1 FOR UPDATE")
        .bind::<SqlUuid, _>(id.0)
        .get_result(conn)?;
    State::parse(&row.state).ok_or_else(|| unreadable(format!("statement state `{}`", row.state)))
}

pub fn set_state(conn: &mut PgConnection, id: StatementId, to: State, at: DateTime<Utc>) -> Result<(), Error> {
    sql_query("UPDATE statements SET state = $2, state_at = $3 WHERE statement_id = $1")
        .bind::<SqlUuid, _>(id.0)
        .bind::<Text, _>(to.code())
        .bind::<Timestamptz, _>(at)
        .execute(conn)?;
    Ok(())
}

/// A signature over a statement, as its document has it.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Signature {
    #[diesel(sql_type = SmallInt)]
    pub place: i16,
    #[diesel(sql_type = Text)]
    pub kid: String,
    /// `alliance`, or the partner.
    #[diesel(sql_type = Text)]
    pub signer: String,
    #[diesel(sql_type = Text)]
    pub protected: String,
    #[diesel(sql_type = Text)]
    pub signature: String,
    #[diesel(sql_type = Timestamptz)]
    pub signed_at: DateTime<Utc>,
}

pub fn insert_signature(conn: &mut PgConnection, id: StatementId, row: &Signature) -> Result<(), Error> {
    sql_query(
        "INSERT INTO statement_signatures (statement_id, place, kid, signer, protected, signature, signed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind::<SqlUuid, _>(id.0)
    .bind::<SmallInt, _>(row.place)
    .bind::<Text, _>(&row.kid)
    .bind::<Text, _>(&row.signer)
    .bind::<Text, _>(&row.protected)
    .bind::<Text, _>(&row.signature)
    .bind::<Timestamptz, _>(row.signed_at)
    .execute(conn)?;
    Ok(())
}

/// Signatures over a statement, the alliance's first.
pub fn signatures(conn: &mut PgConnection, id: StatementId) -> Result<Vec<Signature>, Error> {
    let sql = "SELECT place, kid, signer, protected, signature, signed_at FROM statement_signatures \
               WHERE statement_id = $1 ORDER BY place";
    Ok(sql_query(sql).bind::<SqlUuid, _>(id.0).load(conn)?)
}

#[derive(QueryableByName)]
struct PaidSql {
    #[diesel(sql_type = Nullable<BigInt>)]
    paid: Option<i64>,
}

/// Payments recorded in a window, as a participant's position sees them: what it paid raises it, what it was paid lowers it.
pub fn payments(conn: &mut PgConnection, window: WindowId, of: &Participant) -> Result<Millionths, Error> {
    let row: PaidSql = sql_query(
        "SELECT sum(CASE WHEN o.debtor = $2 THEN p.amount ELSE -p.amount END)::bigint AS paid FROM payments p \
         JOIN obligations o USING (obligation_id) WHERE p.window_id = $1 AND (o.debtor = $2 OR o.creditor = $2)",
    )
    .bind::<SqlUuid, _>(window.0)
    .bind::<Text, _>(of.as_str())
    .get_result(conn)?;
    Ok(money(row.paid.unwrap_or(0)))
}
