//! Adjustments: asked for by one person, approved by another, and then final.

use super::{money, unreadable};
use crate::domain::ids::{AdjustmentId, WindowId};
use crate::domain::money::Millionths;
use crate::domain::settlement::adjustment::State;
use crate::store::Error;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Date, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// What one person has asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub id: AdjustmentId,
    /// `from` owes `to` the amount, negative the other way. Participants.
    pub from: String,
    pub to: String,
    pub amount: Millionths,
    pub reason: String,
    pub dispute: Option<Uuid>,
    pub conversion: Option<Uuid>,
    pub asked_by: String,
    pub asked_at: DateTime<Utc>,
    pub state: State,
    pub settled_by: Option<String>,
}

#[derive(QueryableByName)]
struct RequestSql {
    #[diesel(sql_type = SqlUuid)]
    adjustment_id: Uuid,
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
    #[diesel(sql_type = Timestamptz)]
    asked_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<Text>)]
    settled_by: Option<String>,
}

impl RequestSql {
    fn checked(self) -> Result<Request, Error> {
        Ok(Request {
            id: AdjustmentId(self.adjustment_id),
            from: self.from_party,
            to: self.to_party,
            amount: money(self.amount),
            reason: self.reason,
            dispute: self.dispute_id,
            conversion: self.conversion_id,
            asked_by: self.asked_by,
            asked_at: self.asked_at,
            state: State::parse(&self.state).ok_or_else(|| unreadable(format!("adjustment state `{}`", self.state)))?,
            settled_by: self.settled_by,
        })
    }
}

pub fn ask(conn: &mut PgConnection, row: &Request) -> Result<(), Error> {
    sql_query(
        "INSERT INTO adjustment_requests (adjustment_id, from_party, to_party, amount, reason, dispute_id, conversion_id, \
         asked_by, asked_at, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'asked')",
    )
    .bind::<SqlUuid, _>(row.id.0)
    .bind::<Text, _>(&row.from)
    .bind::<Text, _>(&row.to)
    .bind::<BigInt, _>(row.amount.get())
    .bind::<Text, _>(&row.reason)
    .bind::<Nullable<SqlUuid>, _>(row.dispute)
    .bind::<Nullable<SqlUuid>, _>(row.conversion)
    .bind::<Text, _>(&row.asked_by)
    .bind::<Timestamptz, _>(row.asked_at)
    .execute(conn)?;
    Ok(())
}

/// One request, held until the transaction ends.
pub fn lock(conn: &mut PgConnection, id: AdjustmentId) -> Result<Option<Request>, Error> {
    let row: Option<RequestSql> = sql_query("SELECT * FROM adjustment_requests WHERE adjustment_id = $1 FOR UPDATE")
        .bind::<SqlUuid, _>(id.0)
        .get_result(conn)
        .optional()?;
    row.map(RequestSql::checked).transpose()
}

/// Requests, those that wait first, then the newest; at most `limit`.
pub fn list(conn: &mut PgConnection, limit: i64) -> Result<Vec<Request>, Error> {
    let rows: Vec<RequestSql> =
        sql_query("SELECT * FROM adjustment_requests ORDER BY state <> 'asked', adjustment_id DESC LIMIT $1")
            .bind::<BigInt, _>(limit)
            .load(conn)?;
    rows.into_iter().map(RequestSql::checked).collect()
}

pub fn settle(
    conn: &mut PgConnection,
    id: AdjustmentId,
    approved: bool,
    by: &str,
    at: DateTime<Utc>,
) -> Result<(), Error> {
    sql_query(
        "UPDATE adjustment_requests SET state = CASE WHEN $2 THEN 'approved' ELSE 'refused' END, settled_by = $3, settled_at = $4 \
         WHERE adjustment_id = $1 AND state = 'asked'",
    )
    .bind::<SqlUuid, _>(id.0)
    .bind::<Bool, _>(approved)
    .bind::<Text, _>(by)
    .bind::<Timestamptz, _>(at)
    .execute(conn)?;
    Ok(())
}

/// Where and when an approved request is posted.
#[derive(Clone, Copy, Debug)]
pub struct Posted {
    pub batch_no: i64,
    pub window: WindowId,
    pub at: DateTime<Utc>,
    pub day: NaiveDate,
}

/// Posts an approved request.
pub fn insert(conn: &mut PgConnection, row: &Request, approved_by: &str, posted: &Posted) -> Result<(), Error> {
    sql_query(
        "INSERT INTO adjustments (adjustment_id, batch_no, window_id, from_party, to_party, amount, reason, dispute_id, \
         conversion_id, asked_by, approved_by, at, day) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind::<SqlUuid, _>(row.id.0)
    .bind::<BigInt, _>(posted.batch_no)
    .bind::<SqlUuid, _>(posted.window.0)
    .bind::<Text, _>(&row.from)
    .bind::<Text, _>(&row.to)
    .bind::<BigInt, _>(row.amount.get())
    .bind::<Text, _>(&row.reason)
    .bind::<Nullable<SqlUuid>, _>(row.dispute)
    .bind::<Nullable<SqlUuid>, _>(row.conversion)
    .bind::<Text, _>(&row.asked_by)
    .bind::<Text, _>(approved_by)
    .bind::<Timestamptz, _>(posted.at)
    .bind::<Date, _>(posted.day)
    .execute(conn)?;
    Ok(())
}
