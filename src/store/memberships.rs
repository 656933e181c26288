//! Memberships as brands know them. The book writes these rows; here they are read.

use crate::domain::ids::{AccountId, LinkId, Slug, TokenId};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Date, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    pub account: AccountId,
    pub partner: Slug,
    pub member_ref: String,
    pub tier: String,
    pub tier_source: String,
    pub tier_until: Option<NaiveDate>,
    pub status: String,
    pub status_reason: Option<String>,
    pub identity: Option<String>,
    pub birth_month: Option<i16>,
    pub member_since: Option<NaiveDate>,
    pub tags: Vec<String>,
    pub created_at: DateTime<Utc>,
    pub changed_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    account_id: Uuid,
    #[diesel(sql_type = Text)]
    partner: String,
    #[diesel(sql_type = Text)]
    member_ref: String,
    #[diesel(sql_type = Text)]
    tier: String,
    #[diesel(sql_type = Text)]
    tier_source: String,
    #[diesel(sql_type = Nullable<Date>)]
    tier_until: Option<NaiveDate>,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Nullable<Text>)]
    status_reason: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    identity: Option<String>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    birth_month: Option<i16>,
    #[diesel(sql_type = Nullable<Date>)]
    member_since: Option<NaiveDate>,
    #[diesel(sql_type = Array<Text>)]
    tags: Vec<String>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    changed_at: DateTime<Utc>,
}

const COLUMNS: &str = "m.account_id, m.partner, m.member_ref, m.tier, m.tier_source, m.tier_until, m.status, \
    m.status_reason, m.identity, m.birth_month, m.member_since, m.tags, m.created_at, m.changed_at";

impl Row {
    fn read(self) -> QueryResult<Membership> {
        let unreadable = |_| diesel::result::Error::DeserializationError("a membership cannot be read".into());
        Ok(Membership {
            account: AccountId(self.account_id),
            partner: self.partner.parse().map_err(unreadable)?,
            member_ref: self.member_ref,
            tier: self.tier,
            tier_source: self.tier_source,
            tier_until: self.tier_until,
            status: self.status,
            status_reason: self.status_reason,
            identity: self.identity,
            birth_month: self.birth_month,
            member_since: self.member_since,
            tags: self.tags,
            created_at: self.created_at,
            changed_at: self.changed_at,
        })
    }
}

/// By directory hash of (partner, member_ref); an erased one is not there.
pub fn find(conn: &mut PgConnection, hash: Uuid) -> QueryResult<Option<Membership>> {
    let statement = format!(
        "SELECT {COLUMNS} FROM directory d JOIN memberships m ON m.account_id = d.account_id \
         WHERE d.hash = $1 AND m.erased_at IS NULL"
    );
    sql_query(statement).bind::<SqlUuid, _>(hash).get_result::<Row>(conn).optional()?.map(Row::read).transpose()
}

/// By account id; an erased one is not there.
pub fn of_account(conn: &mut PgConnection, account: AccountId) -> QueryResult<Option<Membership>> {
    let statement = format!("SELECT {COLUMNS} FROM memberships m WHERE m.account_id = $1 AND m.erased_at IS NULL");
    sql_query(statement).bind::<SqlUuid, _>(account.0).get_result::<Row>(conn).optional()?.map(Row::read).transpose()
}

/// Which memberships a list has.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// `None`: every partner's.
    pub partner: Option<Slug>,
    pub status: Option<&'static str>,
    pub changed_after: Option<DateTime<Utc>>,
    /// Where the page before ended.
    pub after: Option<(DateTime<Utc>, Uuid)>,
}

/// In the order of change, oldest change first, at most `limit`.
pub fn list(conn: &mut PgConnection, filter: &Filter, limit: i64) -> QueryResult<Vec<Membership>> {
    let start = DateTime::UNIX_EPOCH;
    let (at, id) = filter.after.unwrap_or((start, Uuid::nil()));
    let statement = format!(
        "SELECT {COLUMNS} FROM memberships m WHERE ($1 IS NULL OR m.partner = $1) AND ($2 IS NULL OR m.status = $2) \
         AND m.changed_at > $3 AND (m.changed_at, m.account_id) > ($4, $5) AND m.erased_at IS NULL \
         ORDER BY m.changed_at, m.account_id LIMIT $6"
    );
    let rows: Vec<Row> = sql_query(statement)
        .bind::<Nullable<Text>, _>(filter.partner.as_ref().map(Slug::as_str))
        .bind::<Nullable<Text>, _>(filter.status)
        .bind::<Timestamptz, _>(filter.changed_after.unwrap_or(start))
        .bind::<Timestamptz, _>(at)
        .bind::<SqlUuid, _>(id)
        .bind::<BigInt, _>(limit)
        .load(conn)?;
    rows.into_iter().map(Row::read).collect()
}

/// One line of an account's journal.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct EntryRow {
    #[diesel(sql_type = BigInt)]
    pub entry_no: i64,
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = SmallInt)]
    pub kind: i16,
    #[diesel(sql_type = BigInt)]
    pub delta: i64,
    #[diesel(sql_type = SmallInt)]
    pub contra: i16,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub subject: Option<Uuid>,
    #[diesel(sql_type = Date)]
    pub day: NaiveDate,
}

impl EntryRow {
    pub fn place(&self) -> EntryPlace {
        EntryPlace { batch_no: self.batch_no, entry_no: self.entry_no }
    }
}

/// Where a page of a journal ended: the batch of its last entry, and that entry's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryPlace {
    pub batch_no: i64,
    pub entry_no: i64,
}

impl FromStr for EntryPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<EntryPlace, ()> {
        let (batch_no, entry_no) = text.split_once('.').ok_or(())?;
        Ok(EntryPlace { batch_no: batch_no.parse().map_err(drop)?, entry_no: entry_no.parse().map_err(drop)? })
    }
}

impl Display for EntryPlace {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.batch_no, self.entry_no)
    }
}

/// Entries of an account, newest first, from behind `after` if given: from batch to batch, as each names the one before.
pub fn entries(
    conn: &mut PgConnection,
    account: AccountId,
    after: Option<EntryPlace>,
    limit: i64,
) -> QueryResult<Vec<EntryRow>> {
    // Every batch on the way has at least one entry of this account, but for the first one all entries of which may
    // have been on the page before.
    sql_query(
        "WITH RECURSIVE walk(batch_no, steps) AS ( \
         SELECT coalesce($2, (SELECT last_batch FROM accounts WHERE account_id = $1)), 0::bigint \
         UNION ALL SELECT (SELECT min(e.previous) FROM unnest(b.entry_accounts, b.entry_previous) e(account_id, previous) \
         WHERE e.account_id = $1), w.steps + 1 FROM walk w JOIN batches b USING (batch_no) WHERE w.steps < $4) \
         SELECT e.entry_no, e.batch_no, e.kind, e.delta, e.contra, e.subject, e.day FROM walk JOIN entries e USING (batch_no) \
         WHERE e.account_id = $1 AND e.entry_no < $3 ORDER BY e.entry_no DESC LIMIT $4",
    )
    .bind::<SqlUuid, _>(account.0)
    .bind::<Nullable<BigInt>, _>(after.map(|place| place.batch_no))
    .bind::<BigInt, _>(after.map_or(i64::MAX, |place| place.entry_no))
    .bind::<BigInt, _>(limit)
    .load(conn)
}

/// An accepted link as the book keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRow {
    pub link: LinkId,
    pub a: AccountId,
    pub b: AccountId,
    /// None once a side was erased.
    pub tokens: Option<(TokenId, TokenId)>,
    pub ended: bool,
    pub opens_at: DateTime<Utc>,
    pub opened_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct LinkSql {
    #[diesel(sql_type = SqlUuid)]
    link_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    a_account: Uuid,
    #[diesel(sql_type = SqlUuid)]
    b_account: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    a_token: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    b_token: Option<Uuid>,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Timestamptz)]
    opens_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    opened_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    ended_at: Option<DateTime<Utc>>,
}

pub fn link(conn: &mut PgConnection, link: LinkId) -> QueryResult<Option<LinkRow>> {
    let row: Option<LinkSql> = sql_query(
        "SELECT link_id, a_account, b_account, a_token, b_token, state, opens_at, opened_at, ended_at \
         FROM links WHERE link_id = $1",
    )
    .bind::<SqlUuid, _>(link.0)
    .get_result(conn)
    .optional()?;
    Ok(row.map(|row| LinkRow {
        link: LinkId(row.link_id),
        a: AccountId(row.a_account),
        b: AccountId(row.b_account),
        tokens: row.a_token.map(TokenId).zip(row.b_token.map(TokenId)),
        ended: row.state == "ended",
        opens_at: row.opens_at,
        opened_at: row.opened_at,
        ended_at: row.ended_at,
    }))
}

#[derive(QueryableByName)]
struct IdSql {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

fn ids(conn: &mut PgConnection, statement: &str, account: AccountId, limit: i64) -> QueryResult<Vec<Uuid>> {
    let rows: Vec<IdSql> = sql_query(statement).bind::<SqlUuid, _>(account.0).bind::<BigInt, _>(limit).load(conn)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Which accounts these member references have; those not found are left out.
pub fn locate(conn: &mut PgConnection, hashes: &[Uuid]) -> QueryResult<Vec<(Uuid, AccountId)>> {
    #[derive(QueryableByName)]
    struct Located {
        #[diesel(sql_type = SqlUuid)]
        hash: Uuid,
        #[diesel(sql_type = SqlUuid)]
        account_id: Uuid,
    }
    let rows: Vec<Located> = sql_query(
        "SELECT d.hash, d.account_id FROM unnest($1) h(hash) JOIN directory d USING (hash) \
         JOIN memberships m ON m.account_id = d.account_id AND m.erased_at IS NULL",
    )
    .bind::<Array<SqlUuid>, _>(hashes)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.hash, AccountId(row.account_id))).collect())
}

/// Ids of an account's links, newest first.
pub fn links_of(conn: &mut PgConnection, account: AccountId, limit: i64) -> QueryResult<Vec<LinkId>> {
    let statement = "SELECT link_id AS id FROM links WHERE a_account = $1 OR b_account = $1 \
         ORDER BY opened_at DESC LIMIT $2";
    Ok(ids(conn, statement, account, limit)?.into_iter().map(LinkId).collect())
}

/// What a partner's external reference was used for.
pub fn subject_of(conn: &mut PgConnection, hash: Uuid) -> QueryResult<Option<Uuid>> {
    let row: Option<IdSql> = sql_query("SELECT subject AS id FROM directory WHERE hash = $1 AND kind = 2")
        .bind::<SqlUuid, _>(hash)
        .get_result(conn)
        .optional()?;
    Ok(row.map(|row| row.id))
}
