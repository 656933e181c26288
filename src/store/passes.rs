//! Passes: codes by which a member is recognised at a till, for two minutes of wire time.

use crate::domain::ids::AccountId;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Integer, Uuid as SqlUuid};
use uuid::Uuid;

#[derive(QueryableByName)]
struct AccountSql {
    #[diesel(sql_type = SqlUuid)]
    account_id: Uuid,
}

/// Keeps a pass for so many seconds, and forgets those that are over.
pub fn insert(conn: &mut PgConnection, hash: Uuid, account: AccountId, seconds: i32) -> QueryResult<()> {
    sql_query(
        "DELETE FROM passes WHERE hash IN (SELECT hash FROM passes WHERE expires_at < clock_timestamp() - interval '1 hour' LIMIT 100)",
    )
    .execute(conn)?;
    sql_query("INSERT INTO passes (hash, account_id, expires_at) VALUES ($1, $2, clock_timestamp() + $3 * interval '1 second')")
        .bind::<SqlUuid, _>(hash)
        .bind::<SqlUuid, _>(account.0)
        .bind::<Integer, _>(seconds)
        .execute(conn)
        .map(|_| ())
}

/// Whose pass it is, while it is good. It may be shown at several tills in its two minutes.
pub fn find(conn: &mut PgConnection, hash: Uuid) -> QueryResult<Option<AccountId>> {
    let sql = "SELECT account_id FROM passes WHERE hash = $1 AND expires_at > clock_timestamp()";
    let found: Option<AccountSql> = sql_query(sql).bind::<SqlUuid, _>(hash).get_result(conn).optional()?;
    Ok(found.map(|sql| AccountId(sql.account_id)))
}
