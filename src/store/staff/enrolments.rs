//! Enrolments of staff, by the hash of what opens them.

use super::{login, partner};
use crate::domain::ids::{Slug, StaffId};
use crate::domain::staff::Login;
use crate::store::Error;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Binary, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

const LIFE: &str = "interval '24 hours'";
/// From the chosen password to the first code.
const LIFE_CHOSEN: &str = "interval '15 minutes'";

/// Whose enrolment it is, and how far it has come.
#[derive(Clone)]
pub struct Row {
    pub staff: StaffId,
    pub login: Login,
    pub partner: Option<Slug>,
    pub added_by: Option<String>,
    /// The password's hash and the sealed secret, once they are chosen.
    pub chosen: Option<(String, Vec<u8>)>,
    pub failures: u32,
}

/// Opens an enrolment, in place of one that there was; until when.
pub fn open(
    conn: &mut PgConnection,
    staff: StaffId,
    code_sha256: &[u8; 32],
    added_by: Option<&Login>,
) -> QueryResult<DateTime<Utc>> {
    #[derive(QueryableByName)]
    struct Ends {
        #[diesel(sql_type = Timestamptz)]
        ends_at: DateTime<Utc>,
    }
    let row: Ends = sql_query(format!(
        "INSERT INTO staff_enrolments AS e (staff_id, code_sha256, added_by, ends_at) \
         VALUES ($1, $2, $3, clock_timestamp() + {LIFE}) ON CONFLICT ON CONSTRAINT staff_enrolments_key DO UPDATE \
         SET code_sha256 = $2, added_by = $3, password = NULL, totp = NULL, failures = 0, ends_at = excluded.ends_at \
         RETURNING e.ends_at"
    ))
    .bind::<SqlUuid, _>(staff.0)
    .bind::<Binary, _>(&code_sha256[..])
    .bind::<Nullable<Text>, _>(added_by.map(Login::as_str))
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
    #[diesel(sql_type = Nullable<Text>)]
    added_by: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    password: Option<String>,
    #[diesel(sql_type = Nullable<Binary>)]
    totp: Option<Vec<u8>>,
    #[diesel(sql_type = Integer)]
    failures: i32,
}

/// The one that this opens, while it lasts. Its person is held until the transaction ends, as whoever changes them does.
pub fn lock(conn: &mut PgConnection, code_sha256: &[u8; 32]) -> Result<Option<Row>, Error> {
    sql_query(
        "SELECT FROM staff WHERE staff_id = (SELECT staff_id FROM staff_enrolments WHERE code_sha256 = $1) FOR UPDATE",
    )
    .bind::<Binary, _>(&code_sha256[..])
    .execute(conn)?;
    // In a statement of its own: what another has done meanwhile is seen.
    let row: Option<RowSql> = sql_query(
        "SELECT e.staff_id, s.login, s.partner, e.added_by, e.password, e.totp, e.failures \
         FROM staff_enrolments e JOIN staff s USING (staff_id) \
         WHERE e.code_sha256 = $1 AND e.ends_at > clock_timestamp()",
    )
    .bind::<Binary, _>(&code_sha256[..])
    .get_result(conn)
    .optional()?;
    let checked = |row: RowSql| {
        Ok(Row {
            staff: StaffId(row.staff_id),
            login: login(&row.login)?,
            partner: partner(row.partner)?,
            added_by: row.added_by,
            chosen: row.password.zip(row.totp),
            failures: u32::try_from(row.failures).unwrap_or_default(),
        })
    };
    row.map(checked).transpose()
}

/// Keeps what was chosen. From now on something else opens it.
pub fn choose(
    conn: &mut PgConnection,
    staff: StaffId,
    next_sha256: &[u8; 32],
    (password, totp): (&str, &[u8]),
) -> QueryResult<()> {
    sql_query(format!(
        "UPDATE staff_enrolments SET code_sha256 = $2, password = $3, totp = $4, \
         ends_at = clock_timestamp() + {LIFE_CHOSEN} WHERE staff_id = $1"
    ))
    .bind::<SqlUuid, _>(staff.0)
    .bind::<Binary, _>(&next_sha256[..])
    .bind::<Text, _>(password)
    .bind::<Binary, _>(totp)
    .execute(conn)
    .map(drop)
}

/// Counts a wrong code.
pub fn count(conn: &mut PgConnection, staff: StaffId) -> QueryResult<()> {
    sql_query("UPDATE staff_enrolments SET failures = failures + 1 WHERE staff_id = $1")
        .bind::<SqlUuid, _>(staff.0)
        .execute(conn)
        .map(drop)
}

pub fn end(conn: &mut PgConnection, staff: StaffId) -> QueryResult<()> {
    sql_query("DELETE FROM staff_enrolments WHERE staff_id = $1").bind::<SqlUuid, _>(staff.0).execute(conn).map(drop)
}
