//! Serving an endpoint: whose it is for now, what is due there, and what became of it.
//!
//! Who serves holds a lease with an epoch. Every write names it, and writes nothing once it has changed hands.

use super::{Row, RowSql};
use crate::domain::delivery::{Health, Why};
use crate::store::Error;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// Milliseconds for which an endpoint is its server's without a word.
pub const LEASE_MS: i64 = 15_000;
/// Deliveries that one statement touches at most when it touches whatever there is: a statement has five seconds.
pub const CHUNK: i64 = 1_000;

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
         OR EXISTS (SELECT FROM deliveries d WHERE d.webhook_no = c.webhook_no AND d.next_at <= statement_timestamp())) \
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
    #[diesel(sql_type = SqlUuid)]
    pub key: Uuid,
    #[diesel(sql_type = Integer)]
    pub tries: i32,
    #[diesel(sql_type = Integer)]
    pub resent: i32,
}

/// Those whose time has come, in order of the feed; `probe`: the first of all, whatever their time.
pub fn due(conn: &mut PgConnection, no: i64, probe: bool, limit: i64) -> QueryResult<Vec<Open>> {
    let sql = "SELECT sequence, key, tries, resent FROM deliveries WHERE webhook_no = $1 AND next_at IS NOT NULL \
               AND ($2 OR next_at <= statement_timestamp()) ORDER BY sequence LIMIT $3";
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
    /// How often it had been sent again when it was read: if it has been since, what became of it is one attempt more.
    pub resent: i32,
    /// The attempt was no try of the event, which keeps the time of its next one if it has any.
    pub probed: bool,
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
    /// It came back: whatever it was left alone for before is over.
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
        let keys_of = |is: fn(&Settled) -> bool| -> Vec<Uuid> {
            group.events.iter().filter(|event| is(event)).map(|event| event.key).collect()
        };
        // One before it may have been sent again meanwhile.
        step_back(conn, group.no, &keys_of(|event| event.state == "retrying"))?;
        promote(conn, group.no, &keys_of(|event| event.leads))?;
        Ok(Some(row))
    })
}

fn touch(conn: &mut PgConnection, group: &Group) -> Result<Option<Row>, Error> {
    let Health { failures, failing_since, opened_at, suspended } = group.health;
    let row: Option<RowSql> = sql_query(
        "UPDATE webhooks SET cursor = greatest(cursor, $3), failures = $4, failing_since = $5, opened_at = $6, \
         rests_until = CASE WHEN $7 IS NOT NULL THEN clock_timestamp() + $7 * interval '1 millisecond' \
         WHEN $11 THEN NULL ELSE rests_until END, \
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
    .bind::<Bool, _>(group.recovered)
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
    // Of attempts the last 32 are kept. `o` is the row as it was, of what was probed.
    sql_query(
        "INSERT INTO deliveries AS d (webhook_no, sequence, event_id, type, key, state, tries, resent, next_at, state_at, attempts) \
         SELECT $1, e.sequence, e.event, e.kind, e.key, e.state, e.tries, e.resent, \
         coalesce(o.next_at, clock_timestamp() + e.next_ms * interval '1 millisecond'), \
         CASE WHEN o.state = e.state THEN o.state_at ELSE clock_timestamp() END, \
         CASE WHEN e.attempt IS NULL THEN '[]' ELSE jsonb_build_array(e.attempt::jsonb) END \
         FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         e(sequence, event, kind, key, state, tries, resent, probed, next_ms, attempt) \
         LEFT JOIN deliveries o ON e.probed AND o.webhook_no = $1 AND o.sequence = e.sequence \
         ON CONFLICT (webhook_no, sequence) DO UPDATE SET \
         state = CASE WHEN d.resent = excluded.resent THEN excluded.state ELSE d.state END, \
         tries = CASE WHEN d.resent = excluded.resent THEN excluded.tries ELSE d.tries END, \
         next_at = CASE WHEN d.resent = excluded.resent THEN excluded.next_at ELSE d.next_at END, \
         state_at = CASE WHEN d.resent = excluded.resent THEN excluded.state_at ELSE d.state_at END, \
         attempts = CASE WHEN jsonb_array_length(d.attempts) >= 32 \
         AND excluded.attempts <> '[]' THEN d.attempts - 0 ELSE d.attempts END || excluded.attempts",
    )
    .bind::<BigInt, _>(group.no)
    .bind::<Array<BigInt>, _>(column(events, |e| e.sequence))
    .bind::<Array<SqlUuid>, _>(column(events, |e| e.event))
    .bind::<Array<Text>, _>(column(events, |e| e.kind.clone()))
    .bind::<Array<SqlUuid>, _>(column(events, |e| e.key))
    .bind::<Array<Text>, _>(column(events, |e| e.state))
    .bind::<Array<Integer>, _>(column(events, |e| e.tries))
    .bind::<Array<Integer>, _>(column(events, |e| e.resent))
    .bind::<Array<Bool>, _>(column(events, |e| e.probed))
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

/// Of each key whatever comes after the first that is not settled waits behind it again.
pub(super) fn step_back(conn: &mut PgConnection, no: i64, keys: &[Uuid]) -> QueryResult<()> {
    if keys.is_empty() {
        return Ok(());
    }
    sql_query(
        "UPDATE deliveries d SET state = 'due', next_at = NULL FROM (SELECT o.key, min(o.sequence) AS sequence \
         FROM deliveries o WHERE o.webhook_no = $1 AND o.key = ANY($2) AND o.state IN ('due', 'retrying') GROUP BY o.key) first \
         WHERE d.webhook_no = $1 AND d.key = first.key AND d.sequence > first.sequence AND d.state IN ('due', 'retrying') \
         AND d.next_at IS NOT NULL",
    )
    .bind::<BigInt, _>(no)
    .bind::<Array<SqlUuid>, _>(keys)
    .execute(conn)
    .map(|_| ())
}

/// Until the transaction ends, what waits at this endpoint is nobody else's to order.
pub(super) fn lock(conn: &mut PgConnection, no: i64) -> QueryResult<()> {
    let sql = "SELECT FROM webhooks WHERE webhook_no = $1 FOR NO KEY UPDATE";
    sql_query(sql).bind::<BigInt, _>(no).execute(conn).map(|_| ())
}

/// Which of those that wait for a later try are due now: what has stood as it stands since an instant, and until one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waking {
    pub since: Option<DateTime<Utc>>,
    pub until: DateTime<Utc>,
    /// How far they were looked through.
    pub after: Option<Place>,
}

/// A place among those that wait, in the order of their times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct Place {
    #[diesel(sql_type = Timestamptz)]
    next_at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    sequence: i64,
}

/// Looks through the next [`CHUNK`] of them; `None` when those were the last.
pub fn wake(conn: &mut PgConnection, no: i64, waking: Waking) -> QueryResult<Option<Waking>> {
    let seen: Vec<Place> = sql_query(
        "SELECT next_at, sequence FROM deliveries WHERE webhook_no = $1 AND next_at >= coalesce($2, statement_timestamp()) \
         AND ($2 IS NULL OR (next_at, sequence) > ($2, $3)) ORDER BY next_at, sequence LIMIT $4",
    )
    .bind::<BigInt, _>(no)
    .bind::<Nullable<Timestamptz>, _>(waking.after.map(|after| after.next_at))
    .bind::<Nullable<BigInt>, _>(waking.after.map(|after| after.sequence))
    .bind::<BigInt, _>(CHUNK)
    .load(conn)?;
    let sequences: Vec<i64> = seen.iter().map(|place| place.sequence).collect();
    conn.transaction(|conn| {
        lock(conn, no)?;
        sql_query(
            "UPDATE deliveries SET next_at = clock_timestamp() WHERE webhook_no = $1 AND sequence = ANY($2) \
             AND next_at > clock_timestamp() AND ($3 IS NULL OR state_at >= $3) AND state_at <= $4",
        )
        .bind::<BigInt, _>(no)
        .bind::<Array<BigInt>, _>(sequences)
        .bind::<Nullable<Timestamptz>, _>(waking.since)
        .bind::<Timestamptz, _>(waking.until)
        .execute(conn)
    })?;
    let is_full = i64::try_from(seen.len()).unwrap_or(CHUNK) >= CHUNK;
    Ok(seen.last().filter(|_| is_full).map(|last| Waking { after: Some(*last), ..waking }))
}
