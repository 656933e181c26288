//! Sessions of staff, by the hash of their token.

use super::{login, partner, role};
use crate::domain::ids::{Slug, StaffId};
use crate::domain::staff::{Login, Role, Secret};
use crate::store::Error;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// What a session is while it lasts, of `staff_sessions n`: twelve hours at most, and half an hour after it was last seen.
pub(super) const LIVE: &str =
    "n.ends_at > clock_timestamp() AND n.last_seen_at > clock_timestamp() - interval '30 minutes'";
const LIFE: &str = "interval '12 hours'";
/// Sessions somebody may have at once; one more ends the oldest.
const MAX: i64 = 10;

/// A session with whose it is.
#[derive(Clone, Debug)]
pub struct Row {
    pub staff: StaffId,
    pub login: Login,
    /// `None`: the operator's.
    pub partner: Option<Slug>,
    /// Whether that partner has left and its books are closed.
    pub closed: bool,
    pub role: Role,
    pub csrf: Secret,
    /// Whether it is too new to be one of two who say the same.
    pub new: bool,
    pub ends_at: DateTime<Utc>,
    /// Whether it was last seen more than a minute ago.
    pub stale: bool,
}

/// Keeps a session, and forgets some that are over; returns when it ends.
pub fn insert(
    conn: &mut PgConnection,
    token_sha256: &[u8; 32],
    staff: StaffId,
    csrf: &Secret,
) -> QueryResult<DateTime<Utc>> {
    #[derive(QueryableByName)]
    struct Ends {
        #[diesel(sql_type = Timestamptz)]
        ends_at: DateTime<Utc>,
    }
    sql_query(
        "DELETE FROM staff_sessions WHERE token_sha256 IN (SELECT token_sha256 FROM staff_sessions \
         WHERE ends_at < clock_timestamp() ORDER BY ends_at LIMIT 100 FOR UPDATE SKIP LOCKED)",
    )
    .execute(conn)?;
    sql_query(
        "DELETE FROM staff_sessions WHERE token_sha256 IN (SELECT token_sha256 FROM staff_sessions \
         WHERE staff_id = $1 ORDER BY created_at DESC OFFSET $2)",
    )
    .bind::<SqlUuid, _>(staff.0)
    .bind::<BigInt, _>(MAX - 1)
    .execute(conn)?;
    let row: Ends = sql_query(format!(
        "INSERT INTO staff_sessions (token_sha256, staff_id, csrf, ends_at) \
         VALUES ($1, $2, $3, clock_timestamp() + {LIFE}) RETURNING ends_at"
    ))
    .bind::<Binary, _>(&token_sha256[..])
    .bind::<SqlUuid, _>(staff.0)
    .bind::<Text, _>(csrf.expose())
    .get_result(conn)?;
    Ok(row.ends_at)
}

#[derive(QueryableByName)]
struct RowSql {
    #[diesel(sql_type = SqlUuid)]
    staff_id: Uuid,
    #[diesel(sql_type = Text)]
    login: String,
    #[diesel(sql_type = Nullable<Text>)]
    partner: Option<String>,
    #[diesel(sql_type = Bool)]
    closed: bool,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Text)]
    csrf: String,
    #[diesel(sql_type = Bool)]
    new: bool,
    #[diesel(sql_type = Timestamptz)]
    ends_at: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    stale: bool,
}

/// The session, while it lasts.
pub fn find(conn: &mut PgConnection, token_sha256: &[u8; 32]) -> Result<Option<Row>, Error> {
    let row: Option<RowSql> = sql_query(format!(
        "SELECT s.staff_id, s.login, s.partner, p.closed_at IS NOT NULL AS closed, s.role, n.csrf, n.ends_at, \
         coalesce(s.trusted_from > clock_timestamp(), false) AS new, \
         n.last_seen_at < clock_timestamp() - interval '1 minute' AS stale \
         FROM staff_sessions n JOIN staff s USING (staff_id) LEFT JOIN partners p ON p.slug = s.partner \
         WHERE n.token_sha256 = $1 AND {LIVE}"
    ))
    .bind::<Binary, _>(&token_sha256[..])
    .get_result(conn)
    .optional()?;
    let checked = |row: RowSql| {
        Ok(Row {
            staff: StaffId(row.staff_id),
            login: login(&row.login)?,
            partner: partner(row.partner)?,
            closed: row.closed,
            role: role(&row.role)?,
            csrf: row.csrf.into(),
            new: row.new,
            ends_at: row.ends_at,
            stale: row.stale,
        })
    };
    row.map(checked).transpose()
}

/// Notes that it was seen now.
pub fn touch(conn: &mut PgConnection, token_sha256: &[u8; 32]) -> QueryResult<()> {
    sql_query(format!(
        "UPDATE staff_sessions n SET last_seen_at = clock_timestamp() WHERE n.token_sha256 = $1 AND {LIVE}"
    ))
    .bind::<Binary, _>(&token_sha256[..])
    .execute(conn)
    .map(drop)
}

pub fn delete(conn: &mut PgConnection, token_sha256: &[u8; 32]) -> QueryResult<()> {
    sql_query("DELETE FROM staff_sessions WHERE token_sha256 = $1")
        .bind::<Binary, _>(&token_sha256[..])
        .execute(conn)
        .map(drop)
}

/// Ends every session of somebody; how many rows.
pub fn delete_all(conn: &mut PgConnection, staff: StaffId) -> QueryResult<usize> {
    sql_query("DELETE FROM staff_sessions WHERE staff_id = $1").bind::<SqlUuid, _>(staff.0).execute(conn)
}
