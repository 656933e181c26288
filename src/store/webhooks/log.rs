//! Deliveries as their owners see them, and counting them.

use super::courier;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use serde_json::Value;
use uuid::Uuid;

/// One event at one endpoint.
#[derive(Clone, Debug, QueryableByName)]
pub struct Delivery {
    #[diesel(sql_type = BigInt)]
    pub sequence: i64,
    #[diesel(sql_type = SqlUuid)]
    pub event_id: Uuid,
    #[diesel(sql_type = Text)]
    pub r#type: String,
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub next_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    pub state_at: DateTime<Utc>,
    #[diesel(sql_type = Integer)]
    pub resent: i32,
    #[diesel(sql_type = Jsonb)]
    pub attempts: Value,
}

/// The newest first, those before a sequence if one is given.
pub fn list(
    conn: &mut PgConnection,
    no: i64,
    state: Option<&str>,
    before: Option<i64>,
    limit: i64,
) -> QueryResult<Vec<Delivery>> {
    let sql = "SELECT sequence, event_id, type, state, next_at, state_at, resent, attempts FROM deliveries \
               WHERE webhook_no = $1 AND ($2 IS NULL OR state = $2) AND sequence < coalesce($3, 9223372036854775807) \
               ORDER BY sequence DESC LIMIT $4";
    let query = sql_query(sql).bind::<BigInt, _>(no).bind::<Nullable<Text>, _>(state);
    query.bind::<Nullable<BigInt>, _>(before).bind::<BigInt, _>(limit).load(conn)
}

pub fn find(conn: &mut PgConnection, no: i64, sequence: i64) -> QueryResult<Option<Delivery>> {
    let sql = "SELECT sequence, event_id, type, state, next_at, state_at, resent, attempts FROM deliveries \
               WHERE webhook_no = $1 AND sequence = $2";
    sql_query(sql).bind::<BigInt, _>(no).bind::<BigInt, _>(sequence).get_result(conn).optional()
}

/// Sends it again with all its tries before it: now, or after what comes before it of its key. In a transaction.
pub fn resend(conn: &mut PgConnection, no: i64, sequence: i64) -> QueryResult<()> {
    courier::lock(conn, no)?;
    let sql = "UPDATE deliveries SET state = CASE WHEN state = 'retrying' THEN state ELSE 'due' END, tries = 0, \
               next_at = CASE WHEN next_at IS NOT NULL THEN clock_timestamp() END, state_at = clock_timestamp(), \
               resent = resent + 1 WHERE webhook_no = $1 AND sequence = $2 RETURNING key";
    let rows: Vec<Key> = sql_query(sql).bind::<BigInt, _>(no).bind::<BigInt, _>(sequence).load(conn)?;
    in_order(conn, no, &rows)
}

/// Of each key only the first that is not settled has a time.
fn in_order(conn: &mut PgConnection, no: i64, rows: &[Key]) -> QueryResult<()> {
    let keys: Vec<Uuid> = rows.iter().map(|row| row.key).collect();
    courier::step_back(conn, no, &keys)?;
    courier::promote(conn, no, &keys)
}

#[derive(QueryableByName)]
struct Key {
    #[diesel(sql_type = SqlUuid)]
    key: Uuid,
}

#[derive(QueryableByName)]
struct Sequence {
    #[diesel(sql_type = BigInt)]
    sequence: i64,
}

/// Of the next thousand that are dead makes due again what has died since an instant, each key in its order; how many, and
/// after which sequence to go on, if there are more. In a transaction.
pub fn recover(
    conn: &mut PgConnection,
    no: i64,
    since: DateTime<Utc>,
    after: i64,
) -> QueryResult<(usize, Option<i64>)> {
    courier::lock(conn, no)?;
    let sql = "SELECT sequence FROM deliveries WHERE webhook_no = $1 AND state = 'dead' AND sequence > $2 \
               ORDER BY sequence LIMIT $3";
    let dead: Vec<Sequence> =
        sql_query(sql).bind::<BigInt, _>(no).bind::<BigInt, _>(after).bind::<BigInt, _>(courier::CHUNK).load(conn)?;
    let sequences: Vec<i64> = dead.iter().map(|row| row.sequence).collect();
    let is_full = i64::try_from(sequences.len()).unwrap_or(courier::CHUNK) >= courier::CHUNK;
    let next = sequences.last().copied().filter(|_| is_full);
    let rows: Vec<Key> = sql_query(
        "UPDATE deliveries SET state = 'due', tries = 0, next_at = NULL, state_at = clock_timestamp(), resent = resent + 1 \
         WHERE webhook_no = $1 AND sequence = ANY($2) AND state = 'dead' AND state_at >= $3 RETURNING key",
    )
    .bind::<BigInt, _>(no)
    .bind::<Array<BigInt>, _>(sequences)
    .bind::<Timestamptz, _>(since)
    .load(conn)?;
    in_order(conn, no, &rows)?;
    Ok((rows.len(), next))
}

/// An endpoint in numbers.
#[derive(Clone, Debug, QueryableByName)]
pub struct Standing {
    #[diesel(sql_type = BigInt)]
    pub webhook_no: i64,
    #[diesel(sql_type = Text)]
    pub partner: String,
    /// Events after its cursor.
    #[diesel(sql_type = BigInt)]
    pub backlog: i64,
    #[diesel(sql_type = BigInt)]
    pub waiting: i64,
    #[diesel(sql_type = BigInt)]
    pub dead: i64,
    #[diesel(sql_type = Bool)]
    pub open: bool,
    #[diesel(sql_type = Bool)]
    pub suspended: bool,
}

/// Everybody's endpoints in numbers.
pub fn standings(conn: &mut PgConnection) -> QueryResult<Vec<Standing>> {
    sql_query(
        "SELECT w.webhook_no, w.partner, greatest(coalesce((SELECT f.first_sequence + f.events - 1 FROM feed f \
         WHERE f.partner = w.partner ORDER BY f.first_sequence DESC LIMIT 1), 0) - w.cursor, 0) AS backlog, \
         (SELECT count(*) FROM deliveries d WHERE d.webhook_no = w.webhook_no AND d.state IN ('due', 'retrying')) AS waiting, \
         (SELECT count(*) FROM deliveries d WHERE d.webhook_no = w.webhook_no AND d.state = 'dead') AS dead, \
         w.opened_at IS NOT NULL AS open, w.state = 'suspended' AS suspended \
         FROM webhooks w WHERE w.state <> 'ended' ORDER BY w.webhook_no",
    )
    .load(conn)
}

#[derive(QueryableByName)]
struct Place {
    #[diesel(sql_type = BigInt)]
    webhook_no: i64,
    #[diesel(sql_type = BigInt)]
    sequence: i64,
}

/// Deletes delivered ones of more than 30 days ago, and all of endpoints that have ended; how many, at most `limit`.
pub fn forget(conn: &mut PgConnection, limit: i64) -> QueryResult<usize> {
    let places: Vec<Place> = sql_query(
        "(SELECT d.webhook_no, d.sequence FROM deliveries d WHERE d.state = 'delivered' \
         AND d.state_at < clock_timestamp() - interval '30 days' LIMIT $1) UNION \
         (SELECT d.webhook_no, d.sequence FROM webhooks w JOIN deliveries d USING (webhook_no) WHERE w.state = 'ended' LIMIT $1)",
    )
    .bind::<BigInt, _>(limit)
    .load(conn)?;
    let numbers: Vec<i64> = places.iter().map(|place| place.webhook_no).collect();
    let sequences: Vec<i64> = places.iter().map(|place| place.sequence).collect();
    // As it stands now: one of them may have been sent again meanwhile.
    sql_query(
        "DELETE FROM deliveries d USING unnest($1, $2) p(webhook_no, sequence) \
         WHERE d.webhook_no = p.webhook_no AND d.sequence = p.sequence \
         AND (d.state = 'delivered' AND d.state_at < clock_timestamp() - interval '30 days' \
         OR EXISTS (SELECT FROM webhooks w WHERE w.webhook_no = d.webhook_no AND w.state = 'ended'))",
    )
    .bind::<Array<BigInt>, _>(numbers)
    .bind::<Array<BigInt>, _>(sequences)
    .execute(conn)
}
