//! Webhooks: endpoints as their owners see them, and their secrets, sealed.

pub mod courier;
pub mod log;

use crate::domain::delivery::{Health, Why};
use crate::domain::ids::{Slug, WebhookId};
use crate::store::{Error, catalogue};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Double, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// An endpoint as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub no: i64,
    pub id: WebhookId,
    pub partner: Slug,
    pub url: String,
    /// Event types that are pushed; `None` is all.
    pub types: Option<Vec<String>>,
    /// `Health::suspended` says why it is left alone.
    pub health: Health,
    pub state_at: DateTime<Utc>,
    pub cursor: i64,
    pub epoch: i64,
    pub rests_until: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
pub(super) struct RowSql {
    #[diesel(sql_type = BigInt)]
    webhook_no: i64,
    #[diesel(sql_type = SqlUuid)]
    webhook_id: Uuid,
    #[diesel(sql_type = Text)]
    partner: String,
    #[diesel(sql_type = Text)]
    url: String,
    #[diesel(sql_type = Nullable<Array<Text>>)]
    types: Option<Vec<String>>,
    #[diesel(sql_type = Nullable<Text>)]
    why: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    state_at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    cursor: i64,
    #[diesel(sql_type = BigInt)]
    epoch: i64,
    #[diesel(sql_type = Integer)]
    failures: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    failing_since: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    opened_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    rests_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

impl RowSql {
    pub(super) fn checked(self) -> Result<Row, Error> {
        // The constraint webhooks_why_known has no other.
        let suspended = self.why.as_deref().map(|why| match why {
            "gone" => Why::Gone,
            "failing" => Why::Failing,
            _ => Why::Asked,
        });
        let RowSql { failures, failing_since, opened_at, .. } = self;
        Ok(Row {
            no: self.webhook_no,
            id: WebhookId(self.webhook_id),
            partner: catalogue::slug(&self.partner)?,
            url: self.url,
            types: self.types,
            health: Health { failures, failing_since, opened_at, suspended },
            state_at: self.state_at,
            cursor: self.cursor,
            epoch: self.epoch,
            rests_until: self.rests_until,
            created_at: self.created_at,
        })
    }
}

/// What its owner says of an endpoint.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub url: String,
    pub types: Option<Vec<String>>,
}

/// Until the transaction ends, nobody else changes this partner's endpoints.
pub fn lock(conn: &mut PgConnection, partner: &Slug) -> QueryResult<()> {
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended('webhooks ' || $1, 0))";
    sql_query(sql).bind::<Text, _>(partner.as_str()).execute(conn).map(|_| ())
}

/// A new endpoint, to which everything after `cursor` is pushed.
pub fn insert(
    conn: &mut PgConnection,
    id: WebhookId,
    partner: &Slug,
    wanted: &Wanted,
    cursor: i64,
) -> Result<Row, Error> {
    let sql = "INSERT INTO webhooks (webhook_id, partner, url, types, cursor) VALUES ($1, $2, $3, $4, $5) RETURNING *";
    let row: RowSql = sql_query(sql)
        .bind::<SqlUuid, _>(id.0)
        .bind::<Text, _>(partner.as_str())
        .bind::<Text, _>(&wanted.url)
        .bind::<Nullable<Array<Text>>, _>(&wanted.types)
        .bind::<BigInt, _>(cursor)
        .get_result(conn)?;
    row.checked()
}

/// A partner's endpoints, or everybody's, oldest first.
pub fn list(conn: &mut PgConnection, partner: Option<&Slug>) -> Result<Vec<Row>, Error> {
    let sql = "SELECT * FROM webhooks WHERE state <> 'ended' AND ($1 IS NULL OR partner = $1) ORDER BY webhook_no";
    let rows: Vec<RowSql> = sql_query(sql).bind::<Nullable<Text>, _>(partner.map(Slug::as_str)).load(conn)?;
    rows.into_iter().map(RowSql::checked).collect()
}

/// An endpoint of this partner.
pub fn find(conn: &mut PgConnection, partner: &Slug, id: WebhookId) -> Result<Option<Row>, Error> {
    let sql = "SELECT * FROM webhooks WHERE webhook_id = $1 AND partner = $2 AND state <> 'ended'";
    let row: Option<RowSql> =
        sql_query(sql).bind::<SqlUuid, _>(id.0).bind::<Text, _>(partner.as_str()).get_result(conn).optional()?;
    row.map(RowSql::checked).transpose()
}

/// An endpoint of this partner by its number.
pub fn find_no(conn: &mut PgConnection, partner: &Slug, no: i64) -> Result<Option<Row>, Error> {
    let sql = "SELECT * FROM webhooks WHERE webhook_no = $1 AND partner = $2 AND state <> 'ended'";
    let row: Option<RowSql> =
        sql_query(sql).bind::<BigInt, _>(no).bind::<Text, _>(partner.as_str()).get_result(conn).optional()?;
    row.map(RowSql::checked).transpose()
}

/// Another URL and other types, at the next attempt.
pub fn change(conn: &mut PgConnection, no: i64, wanted: &Wanted) -> Result<Row, Error> {
    let sql = "UPDATE webhooks SET url = $2, types = $3 WHERE webhook_no = $1 RETURNING *";
    let row: RowSql = sql_query(sql)
        .bind::<BigInt, _>(no)
        .bind::<Text, _>(&wanted.url)
        .bind::<Nullable<Array<Text>>, _>(&wanted.types)
        .get_result(conn)?;
    row.checked()
}

/// Stops it: whoever serves it now has lost it.
pub fn suspend(conn: &mut PgConnection, no: i64) -> Result<Row, Error> {
    let sql = "UPDATE webhooks SET state = 'suspended', why = 'asked', state_at = clock_timestamp(), epoch = epoch + 1, \
               lease_holder = NULL, lease_until = NULL WHERE webhook_no = $1 AND state = 'active' RETURNING *";
    let row: RowSql = sql_query(sql).bind::<BigInt, _>(no).get_result(conn)?;
    row.checked()
}

/// Goes on where it stands, as if it had never failed. What waits for a later try waits until [`courier::wake`].
pub fn resume(conn: &mut PgConnection, no: i64) -> Result<Row, Error> {
    let sql = "UPDATE webhooks SET state = 'active', why = NULL, state_at = clock_timestamp(), failures = 0, \
               failing_since = NULL, opened_at = NULL, rests_until = NULL, epoch = epoch + 1, lease_holder = NULL, \
               lease_until = NULL WHERE webhook_no = $1 RETURNING *";
    let row: RowSql = sql_query(sql).bind::<BigInt, _>(no).get_result(conn)?;
    row.checked()
}

/// Ends it for good; its log goes in time.
pub fn end(conn: &mut PgConnection, no: i64) -> QueryResult<()> {
    let sql = "UPDATE webhooks SET state = 'ended', why = NULL, state_at = clock_timestamp(), epoch = epoch + 1, \
               lease_holder = NULL, lease_until = NULL WHERE webhook_no = $1";
    sql_query(sql).bind::<BigInt, _>(no).execute(conn)?;
    sql_query("DELETE FROM webhook_secrets WHERE webhook_no = $1").bind::<BigInt, _>(no).execute(conn).map(|_| ())
}

/// A secret that signs now, sealed.
#[derive(Clone, Debug, QueryableByName)]
pub struct Sealed {
    #[diesel(sql_type = SqlUuid)]
    pub secret_id: Uuid,
    #[diesel(sql_type = Binary)]
    pub sealed: Vec<u8>,
}

/// Secrets that sign at once, each a signature of every request.
pub const SIGNING_MAX: usize = 4;

/// Those that sign now, the newest first.
pub fn secrets(conn: &mut PgConnection, no: i64) -> QueryResult<Vec<Sealed>> {
    let sql = "SELECT secret_id, sealed FROM webhook_secrets WHERE webhook_no = $1 \
               AND (ends_at IS NULL OR ends_at > clock_timestamp()) ORDER BY ends_at IS NULL DESC, made_at DESC";
    sql_query(sql).bind::<BigInt, _>(no).load(conn)
}

/// A new secret; those before it sign for so long beside it at most, and none for longer than was said before. How many
/// sign then.
pub fn rotate(conn: &mut PgConnection, no: i64, new: &Sealed, overlap_s: i32) -> QueryResult<usize> {
    sql_query(
        "UPDATE webhook_secrets SET ends_at = least(ends_at, clock_timestamp() + make_interval(secs => $2)) WHERE webhook_no = $1",
    )
    .bind::<BigInt, _>(no)
    .bind::<Double, _>(f64::from(overlap_s))
    .execute(conn)?;
    sql_query("DELETE FROM webhook_secrets WHERE webhook_no = $1 AND ends_at <= clock_timestamp()")
        .bind::<BigInt, _>(no)
        .execute(conn)?;
    sql_query("INSERT INTO webhook_secrets (webhook_no, secret_id, sealed) VALUES ($1, $2, $3)")
        .bind::<BigInt, _>(no)
        .bind::<SqlUuid, _>(new.secret_id)
        .bind::<Binary, _>(&new.sealed)
        .execute(conn)?;
    Ok(secrets(conn, no)?.len())
}
