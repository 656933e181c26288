//! Public keys with which partners and operators approve and counter-sign.

use crate::domain::holder::Holder;
use crate::domain::ids::Thumbprint;
use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use serde_json::Value;

diesel::table! {
    signing_keys (kid) {
        kid -> Text,
        holder_kind -> Text,
        holder_name -> Text,
        jwk -> Jsonb,
        status -> Text,
        created_at -> Timestamptz,
        retired_at -> Nullable<Timestamptz>,
    }
}

#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = signing_keys)]
pub struct Row {
    pub kid: String,
    pub holder_kind: String,
    pub holder_name: String,
    pub jwk: Value,
    pub status: String,
    pub created_at: DateTime<Utc>,
    pub retired_at: Option<DateTime<Utc>>,
}

/// Until the transaction ends, nobody else registers a key.
pub fn lock(conn: &mut PgConnection) -> QueryResult<()> {
    conn.batch_execute("SELECT pg_advisory_xact_lock(x'7369676e'::bigint)")
}

pub fn insert(conn: &mut PgConnection, holder: &Holder, kid: &str, jwk: &Value) -> QueryResult<Row> {
    diesel::insert_into(signing_keys::table)
        .values((
            signing_keys::kid.eq(kid),
            signing_keys::holder_kind.eq(holder.kind()),
            signing_keys::holder_name.eq(holder.name()),
            signing_keys::jwk.eq(jwk),
        ))
        .returning(Row::as_returning())
        .get_result(conn)
}

/// What is no thumbprint is nobody's key, and nothing the database is asked for: a header may say anything.
pub fn find(conn: &mut PgConnection, kid: &str) -> QueryResult<Option<Row>> {
    if kid.parse::<Thumbprint>().is_err() {
        return Ok(None);
    }
    signing_keys::table.find(kid).select(Row::as_select()).first(conn).optional()
}

pub fn count_active(conn: &mut PgConnection, holder: &Holder) -> QueryResult<i64> {
    of(holder).filter(signing_keys::status.eq("active")).count().get_result(conn)
}

/// The holder's keys by their thumbprint, starting after one if given.
pub fn list(conn: &mut PgConnection, holder: &Holder, after: Option<&str>, limit: i64) -> QueryResult<Vec<Row>> {
    of(holder)
        .filter(signing_keys::kid.gt(after.unwrap_or_default()))
        .order(signing_keys::kid)
        .limit(limit)
        .select(Row::as_select())
        .load(conn)
}

/// Ends a key; a repeat changes nothing. `None`: the holder has no such key.
pub fn retire(conn: &mut PgConnection, holder: &Holder, kid: &str) -> QueryResult<Option<Row>> {
    let sql = "UPDATE signing_keys SET status = 'retired', retired_at = clock_timestamp() \
               WHERE kid = $1 AND holder_kind = $2 AND holder_name = $3 AND status = 'active'";
    let update = diesel::sql_query(sql).bind::<Text, _>(kid).bind::<Text, _>(holder.kind());
    update.bind::<Text, _>(holder.name()).execute(conn)?;
    of(holder).filter(signing_keys::kid.eq(kid)).select(Row::as_select()).first(conn).optional()
}

fn of(holder: &Holder) -> signing_keys::BoxedQuery<'_, diesel::pg::Pg> {
    signing_keys::table
        .filter(signing_keys::holder_kind.eq(holder.kind()))
        .filter(signing_keys::holder_name.eq(holder.name()))
        .into_boxed()
}
