//! Public halves of the alliance's own signing keys. Kept for ever.

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Integer, Jsonb, Text};
use serde_json::Value;

diesel::table! {
    alliance_keys (kid) {
        kid -> Text,
        purpose -> Text,
        jwk -> Jsonb,
        signs_from -> Timestamptz,
        created_at -> Timestamptz,
    }
}

#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = alliance_keys)]
pub struct Row {
    pub kid: String,
    pub purpose: String,
    pub jwk: Value,
    pub signs_from: DateTime<Utc>,
}

/// Until the transaction ends, no other server makes a key.
pub fn lock(conn: &mut PgConnection) -> QueryResult<()> {
    conn.batch_execute("SELECT pg_advisory_xact_lock(x'6b657973'::bigint)")
}

/// Publishes a key that signs from `delay_s` seconds after now, by the database's clock.
pub fn insert(conn: &mut PgConnection, kid: &str, purpose: &str, jwk: &Value, delay_s: i32) -> QueryResult<()> {
    let sql = "INSERT INTO alliance_keys (kid, purpose, jwk, signs_from) \
               VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))";
    let query = diesel::sql_query(sql).bind::<Text, _>(kid).bind::<Text, _>(purpose);
    query.bind::<Jsonb, _>(jwk).bind::<Integer, _>(delay_s).execute(conn).map(|_| ())
}

pub fn exists(conn: &mut PgConnection, purpose: &str) -> QueryResult<bool> {
    let rows = alliance_keys::table.filter(alliance_keys::purpose.eq(purpose));
    diesel::select(diesel::dsl::exists(rows)).get_result(conn)
}

/// True while a key of this purpose waits for its time.
pub fn is_pending(conn: &mut PgConnection, purpose: &str) -> QueryResult<bool> {
    let late = diesel::dsl::sql::<Bool>("signs_from > clock_timestamp()");
    let rows = alliance_keys::table.filter(alliance_keys::purpose.eq(purpose)).filter(late);
    diesel::select(diesel::dsl::exists(rows)).get_result(conn)
}

/// How many keys of these purposes there are.
pub fn count(conn: &mut PgConnection, purposes: &[&str]) -> QueryResult<i64> {
    alliance_keys::table.filter(alliance_keys::purpose.eq_any(purposes)).count().get_result(conn)
}

/// Every key there ever was, oldest first.
pub fn list(conn: &mut PgConnection) -> QueryResult<Vec<Row>> {
    alliance_keys::table.order((alliance_keys::signs_from, alliance_keys::kid)).select(Row::as_select()).load(conn)
}
