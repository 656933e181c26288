//! Serving an endpoint: whose it is for now, what is due there, and what became of it.
//!
//! Who serves holds a lease with an epoch. Every write names it, and writes nothing once it has changed hands.

use super::{Row, RowSql};
use crate::domain::delivery::{Health, Why};
use crate::store::Error;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// Milliseconds for which an endpoint is its server's without a word.
pub const LEASE_MS: i64 = 15_000;

/// Takes endpoints that nobody serves and that have something to send, at most `limit`.
pub fn claim(conn: &mut PgConnection, holder: Uuid, limit: i64) -> Result<Vec<Row>, Error> {
    let rows: Vec<RowSql> = sql_query(
        "UPDATE webhooks w SET lease_holder = $1, epoch = w.epoch + 1, \
         lease_until = clock_timestamp() + $3 * interval '1 millisecond' \
         FROM (SELECT c.webhook_no FROM webhooks c WHERE c.state = 'active' \
         AND (c.lease_until IS NULL OR c.lease_until < clock_timestamp()) \
         AND (c.rests_until IS NULL OR c.rests_until <= clock_timestamp()) \
         AND (c.cursor < coalesce((SELECT f.first_sequence + f.events - 1 FROM feed f WHERE f.partner = c.partner \
         ORDER BY f.first_sequence DESC LIMIT 1), 0) \
         OR EXISTS (SELECT FROM deliveries d WHERE d.webhook_no = c.webhook_no AND d.next_at <= clock_timestamp())) \
         ORDER BY c.webhook_no LIMIT $2 FOR UPDATE SKIP LOCKED) free \
         WHERE w.webhook_no = free.webhook_no RETURNING w.*",
    )
    .bind::<SqlUuid, _>(holder)
    .bind::<BigInt, _>(limit)
    .bind::<BigInt, _>(LEASE_MS)
    .load(conn)?;
    rows.into_iter().map(RowSql::checked).collect()
}

/// The endpoint, if it is still this epoch's and active.
pub fn held(conn: &mut PgConnection, no: i64, epoch: i64) -> Result<Option<Row>, Error> {
    let sql = "SELECT * FROM webhooks WHERE webhook_no = $1 AND epoch = $2 AND state = 'active'";
    let row: Option<RowSql> =
        sql_query(sql).bind::<BigInt, _>(no).bind::<BigInt, _>(epoch).get_result(conn).optional()?;
    row.map(RowSql::checked).transpose()
}

/// An event that was not delivered at once.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct Open {
    #[diesel(sql_type = BigInt)]
    pub sequence: i64,
    #[diesel(sql_type = Integer)]
    pub tries: i32,
}

/// Those whose time has come, in order of the feed; `probe`: the first of all, whatever its time.
pub fn due(conn: &mut PgConnection, no: i64, probe: bool, limit: i64) -> QueryResult<Vec<Open>> {
    let sql = "SELECT sequence, tries FROM deliveries WHERE webhook_no = $1 AND next_at IS NOT NULL \
               AND ($2 OR next_at <= clock_timestamp()) ORDER BY sequence LIMIT $3";
    sql_query(sql).bind::<BigInt, _>(no).bind::<Bool, _>(probe).bind::<BigInt, _>(limit).load(conn)
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

/// Which of these keys have an event that is not settled.
pub fn blocked(conn: &mut PgConnection, no: i64, keys: &[Uuid]) -> QueryResult<Vec<Uuid>> {
    let sql =
        "SELECT DISTINCT key FROM deliveries WHERE webhook_no = $1 AND key = ANY($2) AND state IN ('due', 'retrying')";
    let rows: Vec<Key> = sql_query(sql).bind::<BigInt, _>(no).bind::<Array<SqlUuid>, _>(keys).load(conn)?;
    Ok(rows.into_iter().map(|row| row.key).collect())
}

/// Which sequences after `after`, up to `until`, have a row already.
pub fn known(conn: &mut PgConnection, no: i64, after: i64, until: i64) -> QueryResult<Vec<i64>> {
    let sql = "SELECT sequence FROM deliveries WHERE webhook_no = $1 AND sequence > $2 AND sequence <= $3";
    let rows: Vec<Sequence> =
        sql_query(sql).bind::<BigInt, _>(no).bind::<BigInt, _>(after).bind::<BigInt, _>(until).load(conn)?;
    Ok(rows.into_iter().map(|row| row.sequence).collect())
}

/// How an event stands after an attempt, or without one.
#[derive(Clone, Debug)]
pub struct Settled {
    pub sequence: i64,
    pub event: Uuid,
    pub kind: String,
    pub key: Uuid,
    pub state: &'static str,
    pub tries: i32,
    /// Milliseconds from now to its next try; `None` when there is none, or another of its key comes first.
    pub next_ms: Option<i64>,
    /// The attempt as JSON; `None` when there was none.
    pub attempt: Option<String>,
    /// Whether others of its key may wait behind it, as they do behind one that was not delivered at once.
    pub leads: bool,
}

/// What became of a group of events, and how the endpoint stands then.
#[derive(Clone, Debug)]
pub struct Group {
    pub no: i64,
    pub epoch: i64,
    pub events: Vec<Settled>,
    pub cursor: i64,
    pub health: Health,
    /// Milliseconds from now in which nothing is sent.
    pub rests_ms: Option<i64>,
    /// It came back: what waits for a later try is due now.
    pub recovered: bool,
    /// Gives the lease back.
    pub release: bool,
}

/// Writes a group; `None`, and nothing written, when the lease has changed hands.
pub fn settle(conn: &mut PgConnection, group: &Group) -> Result<Option<Row>, Error> {
    conn.transaction(|conn| {
        // The row first: its lock makes writers of two epochs come one after the other.
        let Some(row) = touch(conn, group)? else { return Ok(None) };
        write(conn, group)?;
        if group.recovered {
            all_due(conn, group.no)?;
        }
        let leading = group.events.iter().filter(|event| event.leads);
        let keys: Vec<Uuid> = leading.map(|event| event.key).collect();
        promote(conn, group.no, &keys)?;
        Ok(Some(row))
    })
}

fn touch(conn: &mut PgConnection, group: &Group) -> Result<Option<Row>, Error> {
    let Health { failures, failing_since, opened_at, suspended } = group.health;
    let row: Option<RowSql> = sql_query(
        "UPDATE webhooks SET cursor = greatest(cursor, $3), failures = $4, failing_since = $5, opened_at = $6, \
         rests_until = CASE WHEN $7 IS NULL THEN rests_until ELSE clock_timestamp() + $7 * interval '1 millisecond' END, \
         state = CASE WHEN $8 IS NULL THEN state ELSE 'suspended' END, why = $8, \
         state_at = CASE WHEN $8 IS NULL THEN state_at ELSE clock_timestamp() END, \
         lease_holder = CASE WHEN $9 OR $8 IS NOT NULL THEN NULL ELSE lease_holder END, \
         lease_until = CASE WHEN $9 OR $8 IS NOT NULL THEN NULL ELSE clock_timestamp() + $10 * interval '1 millisecond' END \
         WHERE webhook_no = $1 AND epoch = $2 AND state = 'active' AND lease_holder IS NOT NULL RETURNING *",
    )
    .bind::<BigInt, _>(group.no)
    .bind::<BigInt, _>(group.epoch)
    .bind::<BigInt, _>(group.cursor)
    .bind::<Integer, _>(failures)
    .bind::<Nullable<Timestamptz>, _>(failing_since)
    .bind::<Nullable<Timestamptz>, _>(opened_at)
    .bind::<Nullable<BigInt>, _>(group.rests_ms)
    .bind::<Nullable<Text>, _>(suspended.map(Why::text))
    .bind::<Bool, _>(group.release)
    .bind::<BigInt, _>(LEASE_MS)
    .get_result(conn)
    .optional()?;
    row.map(RowSql::checked).transpose()
}

fn write(conn: &mut PgConnection, group: &Group) -> QueryResult<()> {
    if group.events.is_empty() {
        return Ok(());
    }
    fn column<T>(events: &[Settled], value: impl Fn(&Settled) -> T) -> Vec<T> {
        events.iter().map(value).collect()
    }
    let events = &group.events;
    // Of attempts the last 32 are kept.
    sql_query(
        "INSERT INTO deliveries AS d (webhook_no, sequence, event_id, type, key, state, tries, next_at, attempts) \
         SELECT $1, e.sequence, e.event, e.kind, e.key, e.state, e.tries, \
         clock_timestamp() + e.next_ms * interval '1 millisecond', \
         CASE WHEN e.attempt IS NULL THEN '[]' ELSE jsonb_build_array(e.attempt::jsonb) END \
         FROM unnest($2, $3, $4, $5, $6, $7, $8, $9) e(sequence, event, kind, key, state, tries, next_ms, attempt) \
         ON CONFLICT (webhook_no, sequence) DO UPDATE SET state = excluded.state, tries = excluded.tries, \
         next_at = excluded.next_at, state_at = clock_timestamp(), attempts = CASE WHEN jsonb_array_length(d.attempts) >= 32 \
         AND excluded.attempts <> '[]' THEN d.attempts - 0 ELSE d.attempts END || excluded.attempts",
    )
    .bind::<BigInt, _>(group.no)
    .bind::<Array<BigInt>, _>(column(events, |e| e.sequence))
    .bind::<Array<SqlUuid>, _>(column(events, |e| e.event))
    .bind::<Array<Text>, _>(column(events, |e| e.kind.clone()))
    .bind::<Array<SqlUuid>, _>(column(events, |e| e.key))
    .bind::<Array<Text>, _>(column(events, |e| e.state))
    .bind::<Array<Integer>, _>(column(events, |e| e.tries))
    .bind::<Array<Nullable<BigInt>>, _>(column(events, |e| e.next_ms))
    .bind::<Array<Nullable<Text>>, _>(column(events, |e| e.attempt.clone()))
    .execute(conn)
    .map(|_| ())
}

/// Of each key the first that is not settled has a time; without one it is due now.
pub(super) fn promote(conn: &mut PgConnection, no: i64, keys: &[Uuid]) -> QueryResult<()> {
    if keys.is_empty() {
        return Ok(());
    }
    sql_query(
        "UPDATE deliveries d SET next_at = clock_timestamp() FROM (SELECT min(o.sequence) AS sequence FROM deliveries o \
         WHERE o.webhook_no = $1 AND o.key = ANY($2) AND o.state IN ('due', 'retrying') GROUP BY o.key) first \
         WHERE d.webhook_no = $1 AND d.sequence = first.sequence AND d.next_at IS NULL",
    )
    .bind::<BigInt, _>(no)
    .bind::<Array<SqlUuid>, _>(keys)
    .execute(conn)
    .map(|_| ())
}

/// Whatever waits for a later try is due now.
pub(super) fn all_due(conn: &mut PgConnection, no: i64) -> QueryResult<()> {
    let sql = "UPDATE deliveries SET next_at = clock_timestamp() WHERE webhook_no = $1 AND next_at > clock_timestamp()";
    sql_query(sql).bind::<BigInt, _>(no).execute(conn).map(|_| ())
}
