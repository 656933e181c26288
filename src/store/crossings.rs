//! What the callers of partners keep of a crossing: when the next call is due, how often it was tried, what was answered.
//! Its states are the book's.

pub mod seen;

use crate::domain::ids::{AccountId, Slug};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use std::collections::HashMap;
use uuid::Uuid;

/// One that is due: whoever took it has half a minute before another may.
#[derive(Clone, Debug, QueryableByName)]
pub struct Due {
    #[diesel(sql_type = SqlUuid)]
    pub crossing_id: Uuid,
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    /// How long it has been in its state.
    #[diesel(sql_type = BigInt)]
    pub age_ms: i64,
}

/// Takes up to `limit` that are due, the longest due first, but none that would be asked of one of these partners. No two
/// servers take the same.
pub fn take(conn: &mut PgConnection, limit: i64, but: &[String]) -> QueryResult<Vec<Due>> {
    sql_query(
        "UPDATE crossings c SET due_at = clock_timestamp() + interval '30 seconds' FROM (SELECT crossing_id FROM crossings \
         WHERE state NOT IN (3, 6) AND due_at <= clock_timestamp() \
         AND CASE WHEN (state IN (0, 2, 5)) = (kind = 0) THEN from_partner ELSE to_partner END <> ALL ($2) ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED) d \
         WHERE c.crossing_id = d.crossing_id RETURNING c.crossing_id, c.attempts, \
         (extract(epoch FROM clock_timestamp() - c.since) * 1000)::bigint AS age_ms",
    )
    .bind::<BigInt, _>(limit)
    .bind::<Array<Text>, _>(but)
    .load(conn)
}

/// No outcome: due again after so many milliseconds, having been tried so often since, unless a step has been taken.
pub fn later(
    conn: &mut PgConnection,
    id: Uuid,
    version: i64,
    (wait_ms, tries): (i64, i32),
    note: &str,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE crossings SET due_at = clock_timestamp() + $3 * interval '1 millisecond', attempts = attempts + $5, note = $4 \
         WHERE crossing_id = $1 AND version = $2",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<BigInt, _>(version)
    .bind::<BigInt, _>(wait_ms)
    .bind::<Text, _>(note)
    .bind::<Integer, _>(tries)
    .execute(conn)
}

#[derive(QueryableByName)]
struct Reference {
    #[diesel(sql_type = SqlUuid)]
    account_id: Uuid,
    #[diesel(sql_type = Text)]
    member_ref: String,
}

/// The brands' own references of these memberships; the forgotten have none.
pub fn references(conn: &mut PgConnection, accounts: &[AccountId]) -> QueryResult<HashMap<AccountId, String>> {
    let ids: Vec<Uuid> = accounts.iter().map(|id| id.0).collect();
    let found: Vec<Reference> = sql_query(
        "SELECT account_id, member_ref FROM memberships WHERE account_id = ANY($1) AND member_ref IS NOT NULL",
    )
    .bind::<Array<SqlUuid>, _>(ids)
    .load(conn)?;
    Ok(found.into_iter().map(|row| (AccountId(row.account_id), row.member_ref)).collect())
}

#[derive(QueryableByName)]
struct Endpoint {
    #[diesel(sql_type = Text)]
    slug: String,
    #[diesel(sql_type = Text)]
    endpoint: String,
}

/// Where the brands answer that keep their own ledgers.
pub fn endpoints(conn: &mut PgConnection) -> QueryResult<HashMap<Slug, String>> {
    let found: Vec<Endpoint> =
        sql_query("SELECT slug, endpoint FROM partners WHERE endpoint IS NOT NULL").load(conn)?;
    Ok(found.into_iter().filter_map(|row| Some((row.slug.parse().ok()?, row.endpoint))).collect())
}

/// A document to be kept: a partner's signed answer, or what a person decided.
#[derive(Clone, Debug)]
pub struct Kept {
    pub crossing_id: Uuid,
    pub call: &'static str,
    pub by: String,
    /// What makes it the same document again, which is kept once.
    pub same: String,
    pub document: String,
}

/// Keeps documents for ever.
pub fn keep(conn: &mut PgConnection, kept: &[Kept]) -> QueryResult<()> {
    sql_query("INSERT INTO crossing_evidence (crossing_id, call, by, digest, document) \
         SELECT i, c, b, sha256(convert_to(s, 'UTF8')), d FROM unnest($1, $2, $3, $4, $5) x(i, c, b, s, d) ON CONFLICT DO NOTHING")
        .bind::<Array<SqlUuid>, _>(kept.iter().map(|kept| kept.crossing_id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(kept.iter().map(|kept| kept.call).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(kept.iter().map(|kept| &kept.by).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(kept.iter().map(|kept| &kept.same).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(kept.iter().map(|kept| &kept.document).collect::<Vec<_>>())
        .execute(conn)?;
    Ok(())
}

/// A document kept of a crossing.
#[derive(Clone, Debug, QueryableByName)]
pub struct Evidence {
    #[diesel(sql_type = Text)]
    pub call: String,
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub by: String,
    #[diesel(sql_type = Text)]
    pub document: String,
}

/// Everything that was kept, oldest first.
pub fn evidence(conn: &mut PgConnection, id: Uuid) -> QueryResult<Vec<Evidence>> {
    sql_query("SELECT call, at, by, document FROM crossing_evidence WHERE crossing_id = $1 ORDER BY at")
        .bind::<SqlUuid, _>(id)
        .load(conn)
}

/// Crossings under way of one state and source or target, for whoever watches.
#[derive(Clone, Debug, QueryableByName)]
pub struct Backlog {
    #[diesel(sql_type = Text)]
    pub partner: String,
    #[diesel(sql_type = SmallInt)]
    pub state: i16,
    #[diesel(sql_type = BigInt)]
    pub crossings: i64,
    #[diesel(sql_type = BigInt)]
    pub in_doubt: i64,
    /// Seconds since the oldest was accepted or last moved.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub oldest_s: Option<i64>,
}

/// What is under way, by the partner that is asked next.
pub fn backlog(conn: &mut PgConnection) -> QueryResult<Vec<Backlog>> {
    sql_query(
        "SELECT partner, state, count(*) AS crossings, count(*) FILTER (WHERE in_doubt) AS in_doubt, \
         (extract(epoch FROM clock_timestamp() - min(since)))::bigint AS oldest_s FROM (SELECT state, in_doubt, since, \
         CASE WHEN (state IN (0, 2, 5)) = (kind = 0) THEN from_partner ELSE to_partner END AS partner \
         FROM crossings WHERE state NOT IN (3, 6)) c GROUP BY 1, 2 ORDER BY 1, 2",
    )
    .load(conn)
}

/// What has become of conversions over two ledgers at a brand that keeps its own, as the book has posted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct Moved {
    /// Points that conversions took there, and those that undos and reversals took back of what had arrived.
    #[diesel(sql_type = BigInt)]
    pub captured: i64,
    /// Points that conversions brought, bonuses among them.
    #[diesel(sql_type = BigInt)]
    pub credited: i64,
    /// Points that undos and reversals gave back.
    #[diesel(sql_type = BigInt)]
    pub given_back: i64,
    /// Conversions, undos and reversals still on their way: while there are any, its ledger is ahead or behind.
    #[diesel(sql_type = BigInt)]
    pub under_way: i64,
}

/// All that was posted and has moved points of `partner`.
pub fn moved(conn: &mut PgConnection, partner: &Slug) -> QueryResult<Moved> {
    sql_query(
        "SELECT (sent + taken)::bigint AS captured, received::bigint AS credited, returned::bigint AS given_back, under_way FROM \
         (SELECT coalesce(sum(debit) FILTER (WHERE from_partner = $1), 0) AS sent, \
         coalesce(sum(credit + (SELECT coalesce(sum(b), 0) FROM unnest(bonuses) b)) FILTER (WHERE to_partner = $1), 0) AS received \
         FROM conversions WHERE $1 IN (from_partner, to_partner)) c, \
         (SELECT coalesce(sum(r.debit) FILTER (WHERE c.from_partner = $1), 0) AS returned, \
         coalesce(sum(r.credit + r.bonus) FILTER (WHERE c.to_partner = $1), 0) AS taken \
         FROM reversals r JOIN conversions c USING (conversion_id) WHERE r.state = 1 AND $1 IN (c.from_partner, c.to_partner)) r, \
         (SELECT count(*) AS under_way FROM crossings WHERE state NOT IN (3, 6) AND $1 IN (from_partner, to_partner)) x",
    )
    .bind::<Text, _>(partner.as_str())
    .get_result(conn)
}
