//! One-time tokens of enrolment, by their hash.

use crate::domain::ids::Slug;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text, Timestamptz};

/// A token as it stands.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Row {
    #[diesel(sql_type = Text)]
    pub partner: String,
    #[diesel(sql_type = Bool)]
    pub expired: bool,
    /// What it was used for.
    #[diesel(sql_type = Nullable<Text>)]
    pub x5t_s256: Option<String>,
}

/// Makes a token good for `seconds`, in place of an open one of the same partner; returns when it ends.
pub fn insert(
    conn: &mut PgConnection,
    partner: &Slug,
    token_sha256: &[u8; 32],
    seconds: i64,
) -> QueryResult<DateTime<Utc>> {
    #[derive(QueryableByName)]
    struct Ends {
        #[diesel(sql_type = Timestamptz)]
        expires_at: DateTime<Utc>,
    }
    conn.transaction(|conn| {
        end(conn, partner)?;
        let row: Ends = sql_query(
            "INSERT INTO enrolments (token_sha256, partner, expires_at) \
             VALUES ($1, $2, clock_timestamp() + $3 * interval '1 second') RETURNING expires_at",
        )
        .bind::<Binary, _>(&token_sha256[..])
        .bind::<Text, _>(partner.as_str())
        .bind::<BigInt, _>(seconds)
        .get_result(conn)?;
        Ok(row.expires_at)
    })
}

/// Ends an open token of the partner.
pub fn end(conn: &mut PgConnection, partner: &Slug) -> QueryResult<()> {
    sql_query("DELETE FROM enrolments WHERE partner = $1 AND used_at IS NULL")
        .bind::<Text, _>(partner.as_str())
        .execute(conn)
        .map(drop)
}

/// The token, held until the transaction ends: who uses it meanwhile waits.
pub fn lock(conn: &mut PgConnection, token_sha256: &[u8; 32]) -> QueryResult<Option<Row>> {
    sql_query(
        "SELECT partner, expires_at <= clock_timestamp() AS expired, x5t_s256 FROM enrolments \
         WHERE token_sha256 = $1 FOR UPDATE",
    )
    .bind::<Binary, _>(&token_sha256[..])
    .get_result(conn)
    .optional()
}

/// Uses the token up; `false` when it was.
pub fn spend(conn: &mut PgConnection, token_sha256: &[u8; 32], x5t: &str) -> QueryResult<bool> {
    sql_query(
        "UPDATE enrolments SET used_at = clock_timestamp(), x5t_s256 = $2 \
         WHERE token_sha256 = $1 AND used_at IS NULL",
    )
    .bind::<Binary, _>(&token_sha256[..])
    .bind::<Text, _>(x5t)
    .execute(conn)
    .map(|rows| rows == 1)
}
