//! Erasures asked for, and whether everything beside the book has been forgotten too.

use crate::domain::ids::{AccountId, Slug};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Notes the intent and returns its id; asked again, the first one's.
pub fn ask(
    conn: &mut PgConnection,
    id: Uuid,
    account: AccountId,
    partner: &Slug,
    now: DateTime<Utc>,
) -> QueryResult<Uuid> {
    let noted: Found = sql_query(
        "INSERT INTO erasures (erasure_id, account_id, partner, asked_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT ON CONSTRAINT erasures_account_once DO UPDATE SET asked_at = EXCLUDED.asked_at \
         RETURNING erasure_id AS id",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<SqlUuid, _>(account.0)
    .bind::<Text, _>(partner.as_str())
    .bind::<Timestamptz, _>(now)
    .get_result(conn)?;
    Ok(noted.id)
}

/// Accounts the book has erased whose surroundings are not forgotten yet, oldest first.
pub fn unfinished(conn: &mut PgConnection, limit: i64) -> QueryResult<Vec<AccountId>> {
    let found: Vec<Found> = sql_query(
        "SELECT e.account_id AS id FROM erasures e JOIN memberships m USING (account_id) \
         WHERE e.done_at IS NULL AND m.erased_at IS NOT NULL ORDER BY e.asked_at LIMIT $1",
    )
    .bind::<BigInt, _>(limit)
    .load(conn)?;
    Ok(found.into_iter().map(|row| AccountId(row.id)).collect())
}

pub fn finish(conn: &mut PgConnection, account: AccountId, now: DateTime<Utc>) -> QueryResult<()> {
    sql_query("UPDATE erasures SET done_at = $2 WHERE account_id = $1 AND done_at IS NULL")
        .bind::<SqlUuid, _>(account.0)
        .bind::<Timestamptz, _>(now)
        .execute(conn)
        .map(drop)
}
