//! The feed: a dense sequence per partner, given by one sealer to batches that are already committed.
//!
//! What commits later is numbered later, so a reader that has seen number n has seen everything below it. A sealed
//! batch takes one run of numbers per partner: first its conversions, which are their own events, in their order in the
//! batch, then whatever else happened.

use super::engine::world::EventKind;
use super::store::Error;
use super::store::statement::{Column, Statement};
use crate::domain::ids::{ConversionId, EventId, Slug};
use crate::store::locks::SEALER;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// Batches numbered in one transaction.
const BATCHES_MAX: i64 = 1_000;

#[derive(QueryableByName)]
struct Turn {
    #[diesel(sql_type = Bool)]
    free: bool,
}

#[derive(QueryableByName)]
struct BatchNo {
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
}

/// Numbers the events of committed batches; returns how many batches. 0 when there are none or another server seals.
pub fn seal(conn: &mut PgConnection) -> Result<usize, Error> {
    conn.transaction(|conn| {
        let turn: Turn =
            sql_query("SELECT pg_try_advisory_xact_lock($1) AS free").bind::<BigInt, _>(SEALER).get_result(conn)?;
        if turn.free { number(conn) } else { Ok(0) }
    })
}

/// Numbers everything that was committed before this call, waiting for whoever seals now.
pub fn seal_now(conn: &mut PgConnection) -> Result<(), Error> {
    loop {
        let numbered = conn.transaction(|conn| {
            sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(SEALER).execute(conn)?;
            number(conn)
        })?;
        if i64::try_from(numbered).unwrap_or(i64::MAX) < BATCHES_MAX {
            return Ok(());
        }
    }
}

#[derive(QueryableByName)]
struct Lag {
    #[diesel(sql_type = BigInt)]
    seconds: i64,
}

/// Business seconds since the oldest batch that has no numbers yet was written; 0 when all have.
pub fn lag(conn: &mut PgConnection) -> QueryResult<i64> {
    let lag: Lag = sql_query(
        "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(business_at)) + (SELECT clock_offset_us / 1000000 FROM \
         alliance), 0)::bigint AS seconds FROM batches WHERE NOT sealed",
    )
    .get_result(conn)?;
    Ok(lag.seconds.max(0))
}

/// With the sealer's lock held.
fn number(conn: &mut PgConnection) -> Result<usize, Error> {
    // A statement of its own after the lock, so that it sees what the last sealer did.
    let found: Vec<BatchNo> = sql_query("SELECT batch_no FROM batches WHERE NOT sealed ORDER BY batch_no LIMIT $1")
        .bind::<BigInt, _>(BATCHES_MAX)
        .load(conn)?;
    let numbers: Vec<i64> = found.into_iter().map(|row| row.batch_no).collect();
    if numbers.is_empty() {
        return Ok(0);
    }
    Statement::new(
        "WITH run AS (SELECT p.partner, b.batch_no, p.events FROM unnest(?) n(batch_no) JOIN batches b USING (batch_no), \
         unnest(b.partners, b.event_counts) p(partner, events)), \
         last AS (SELECT k.partner, (SELECT f.first_sequence + f.events FROM feed f WHERE f.partner = k.partner \
         ORDER BY f.first_sequence DESC LIMIT 1) AS next FROM (SELECT DISTINCT partner FROM run) k) \
         INSERT INTO feed (partner, first_sequence, events, batch_no) \
         SELECT run.partner, coalesce(last.next, 1) + coalesce(sum(run.events) OVER (PARTITION BY run.partner ORDER BY run.batch_no \
         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0), run.events, run.batch_no FROM run JOIN last USING (partner)",
        vec![Column::BigInts(numbers.clone())],
    )
    .execute(conn)?;
    Statement::new(
        "UPDATE batches b SET sealed = true FROM unnest(?) n(batch_no) WHERE b.batch_no = n.batch_no",
        vec![Column::BigInts(numbers.clone())],
    )
    .execute(conn)?;
    Ok(numbers.len())
}

/// One event as the feed has it; `body` is absent where it is rendered from the subject's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEvent {
    pub id: EventId,
    pub sequence: i64,
    pub kind: &'static str,
    pub subject: Uuid,
    pub body: Option<String>,
    /// Business time of the batch.
    pub at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct FeedSql {
    #[diesel(sql_type = BigInt)]
    sequence: i64,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    event_id: Option<Uuid>,
    #[diesel(sql_type = SmallInt)]
    kind: i16,
    #[diesel(sql_type = SqlUuid)]
    subject: Uuid,
    #[diesel(sql_type = Bool)]
    is_from: bool,
    #[diesel(sql_type = Nullable<Text>)]
    body: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
}

/// The id of a conversion's own event, another for either side and for ever the same.
fn conversion_event(id: ConversionId, is_from: bool) -> EventId {
    let side = if is_from { 1 } else { 2 };
    EventId(Uuid::from_u128(id.0.as_u128() ^ side))
}

#[derive(QueryableByName)]
struct Head {
    #[diesel(sql_type = BigInt)]
    head: i64,
}

/// The last sequence of a partner's feed; 0 when there is none.
pub fn head(conn: &mut PgConnection, partner: &Slug) -> QueryResult<i64> {
    let sql = "SELECT coalesce((SELECT first_sequence + events - 1 FROM feed WHERE partner = $1 \
               ORDER BY first_sequence DESC LIMIT 1), 0) AS head";
    sql_query(sql).bind::<Text, _>(partner.as_str()).get_result(conn).map(|row: Head| row.head)
}

/// A partner's events with a sequence above `after`, in order, at most `limit`.
pub fn read(conn: &mut PgConnection, partner: &Slug, after: i64, limit: i64) -> Result<Vec<FeedEvent>, Error> {
    // A run of numbers is found by its first; then its conversions, which the partner's own lines of the journal name, and
    // events, each with its place in the run.
    let found: Vec<FeedSql> = sql_query(
        "WITH run AS MATERIALIZED (SELECT f.first_sequence, f.batch_no, b.business_at AS at FROM feed f JOIN batches b USING (batch_no) \
         WHERE f.partner = $1 AND f.first_sequence >= coalesce((SELECT max(first_sequence) FROM feed \
         WHERE partner = $1 AND first_sequence <= $2 + 1), 1) AND f.first_sequence <= $2 + $3) \
         SELECT * FROM (SELECT run.first_sequence + c.place - 1 AS sequence, NULL::uuid AS event_id, 3::smallint AS kind, \
         c.conversion_id AS subject, c.from_partner = $1 AS is_from, NULL::text AS body, run.at FROM run CROSS JOIN LATERAL \
         (SELECT c.conversion_id, c.from_partner, row_number() OVER (ORDER BY c.ordinal) AS place FROM entries e \
         JOIN conversions c ON c.conversion_id = e.subject WHERE e.batch_no = run.batch_no AND e.kind IN (7, 8) AND e.partner = $1) c \
         UNION ALL SELECT run.first_sequence + e.ordinal - 1, e.event_id, e.kind, e.subject, false, e.body::text, run.at \
         FROM run JOIN events e ON e.partner = $1 AND e.batch_no = run.batch_no) told \
         WHERE sequence > $2 ORDER BY sequence LIMIT $3",
    )
    .bind::<Text, _>(partner.as_str())
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(limit)
    .load(conn)?;
    let event = |sql: FeedSql| FeedEvent {
        id: sql.event_id.map_or_else(|| conversion_event(ConversionId(sql.subject), sql.is_from), EventId),
        sequence: sql.sequence,
        kind: EventKind::name(sql.kind).unwrap_or("unknown"),
        subject: sql.subject,
        body: sql.body,
        at: sql.at,
    };
    Ok(found.into_iter().map(event).collect())
}
