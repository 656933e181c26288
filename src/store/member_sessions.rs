//! One-time addresses of the member's page and the sessions they become: only hashes are kept, all of it in wire time.

use crate::domain::ids::AccountId;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use uuid::Uuid;

/// Of one statement that forgets what is over.
const FORGOTTEN_AT_ONCE: i64 = 100;

/// Whose page it is, and what may be done there.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Row {
    #[diesel(sql_type = SqlUuid)]
    account_id: Uuid,
    #[diesel(sql_type = Array<Text>)]
    pub scopes: Vec<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub return_url: Option<String>,
}

impl Row {
    pub fn new(account: AccountId, scopes: Vec<String>, return_url: Option<String>) -> Row {
        Row { account_id: account.0, scopes, return_url }
    }

    pub fn account(&self) -> AccountId {
        AccountId(self.account_id)
    }
}

/// Keeps a one-time address for so many seconds, and forgets those that are over.
pub fn offer(conn: &mut PgConnection, hash: Uuid, row: &Row, seconds: i64) -> QueryResult<()> {
    keep(conn, ("member_openings", "expires_at"), hash, row, seconds)
}

/// Takes a one-time address: of several who open it at once, one gets the row.
pub fn take(conn: &mut PgConnection, hash: Uuid) -> QueryResult<Option<Row>> {
    let sql = "DELETE FROM member_openings WHERE hash = $1 AND expires_at > clock_timestamp() \
               RETURNING account_id, scopes, return_url";
    sql_query(sql).bind::<SqlUuid, _>(hash).get_result(conn).optional()
}

/// Begins a session that ends after so many seconds, whatever happens, and forgets those that are over.
pub fn begin(conn: &mut PgConnection, hash: Uuid, row: &Row, seconds: i64) -> QueryResult<()> {
    keep(conn, ("member_sessions", "ends_at"), hash, row, seconds)
}

fn keep(conn: &mut PgConnection, (table, end): (&str, &str), hash: Uuid, row: &Row, seconds: i64) -> QueryResult<()> {
    forget(conn, table, end)?;
    sql_query(format!(
        "INSERT INTO {table} (hash, account_id, scopes, return_url, {end}) \
         VALUES ($1, $2, $3, $4, clock_timestamp() + $5 * interval '1 second')"
    ))
    .bind::<SqlUuid, _>(hash)
    .bind::<SqlUuid, _>(row.account_id)
    .bind::<Array<Text>, _>(&row.scopes)
    .bind::<Nullable<Text>, _>(&row.return_url)
    .bind::<BigInt, _>(seconds)
    .execute(conn)
    .map(drop)
}

/// The session of this cookie while it is good: not over, and used within the last `idle` seconds. That it is used is
/// written down once a minute at most.
pub fn find(conn: &mut PgConnection, hash: Uuid, idle: i64) -> QueryResult<Option<Row>> {
    let sql = "WITH s AS (SELECT hash, account_id, scopes, return_url, seen_at FROM member_sessions WHERE hash = $1 \
                 AND ends_at > clock_timestamp() AND seen_at > clock_timestamp() - $2 * interval '1 second'), \
               touched AS (UPDATE member_sessions m SET seen_at = clock_timestamp() FROM s \
                 WHERE m.hash = s.hash AND s.seen_at < clock_timestamp() - interval '1 minute') \
               SELECT account_id, scopes, return_url FROM s";
    sql_query(sql).bind::<SqlUuid, _>(hash).bind::<BigInt, _>(idle).get_result(conn).optional()
}

pub fn end(conn: &mut PgConnection, hash: Uuid) -> QueryResult<()> {
    sql_query("DELETE FROM member_sessions WHERE hash = $1").bind::<SqlUuid, _>(hash).execute(conn).map(drop)
}

/// Ends every session of a membership, and takes back its one-time addresses.
pub fn end_all(conn: &mut PgConnection, account: AccountId) -> QueryResult<()> {
    for table in ["member_sessions", "member_openings"] {
        sql_query(format!("DELETE FROM {table} WHERE account_id = $1")).bind::<SqlUuid, _>(account.0).execute(conn)?;
    }
    Ok(())
}

fn forget(conn: &mut PgConnection, table: &str, end: &str) -> QueryResult<()> {
    let sql = format!(
        "DELETE FROM {table} WHERE hash IN (SELECT hash FROM {table} \
         WHERE {end} < clock_timestamp() - interval '1 hour' LIMIT $1 FOR UPDATE SKIP LOCKED)"
    );
    sql_query(sql).bind::<BigInt, _>(FORGOTTEN_AT_ONCE).execute(conn).map(drop)
}
