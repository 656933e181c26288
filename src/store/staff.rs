//! Staff: who may sign in, their sessions, and the log of what they do. Times are wire time, the database's.

pub mod enrolments;
pub mod log;
pub mod sessions;

use super::Error;
use super::catalogue::{slug, unreadable};
use crate::domain::ids::{Slug, StaffId};
use crate::domain::staff::{Login, Role};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use std::fmt;
use uuid::Uuid;

/// For how long one who was set up on a page is not one of two who say the same.
const PROBATION: &str = "interval '7 days'";

/// Somebody with what is kept to know them by.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    pub staff: StaffId,
    pub login: Login,
    /// `None`: the operator's.
    pub partner: Option<Slug>,
    pub role: Role,
    /// Argon2id, PHC.
    pub password: String,
    /// Sealed for the row.
    pub totp: Vec<u8>,
    pub failures: u32,
    pub locked: bool,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("staff", &self.staff).field("login", &self.login).finish_non_exhaustive()
    }
}

#[derive(QueryableByName)]
struct RowSql {
    #[diesel(sql_type = SqlUuid)]
    staff_id: Uuid,
    #[diesel(sql_type = Text)]
    login: String,
    #[diesel(sql_type = Nullable<Text>)]
    partner: Option<String>,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Text)]
    password: String,
    #[diesel(sql_type = Binary)]
    totp: Vec<u8>,
    #[diesel(sql_type = Integer)]
    failures: i32,
    #[diesel(sql_type = Bool)]
    locked: bool,
}

fn login(text: &str) -> Result<Login, Error> {
    text.parse().map_err(|_| unreadable(format!("`{text}` is no login")))
}

fn role(text: &str) -> Result<Role, Error> {
    Role::parse(text).ok_or_else(|| unreadable(format!("`{text}` is no role")))
}

fn partner(text: Option<String>) -> Result<Option<Slug>, Error> {
    text.map(|text| slug(&text)).transpose()
}

impl RowSql {
    fn checked(self) -> Result<Row, Error> {
        Ok(Row {
            staff: StaffId(self.staff_id),
            login: login(&self.login)?,
            partner: partner(self.partner)?,
            role: role(&self.role)?,
            password: self.password,
            totp: self.totp,
            failures: u32::try_from(self.failures).unwrap_or_default(),
            locked: self.locked,
        })
    }
}

/// Adds somebody; `false` when the login is taken.
pub fn insert(conn: &mut PgConnection, row: &Row) -> QueryResult<bool> {
    sql_query(
        "INSERT INTO staff (staff_id, login, partner, role, password, totp) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT ON CONSTRAINT staff_login_once DO NOTHING",
    )
    .bind::<SqlUuid, _>(row.staff.0)
    .bind::<Text, _>(row.login.as_str())
    .bind::<Nullable<Text>, _>(row.partner.as_ref().map(Slug::as_str))
    .bind::<Text, _>(row.role.text())
    .bind::<Text, _>(&row.password)
    .bind::<Binary, _>(&row.totp)
    .execute(conn)
    .map(|rows| rows == 1)
}

/// Somebody, held until the transaction ends: of who tries, or changes them, one is first.
pub fn lock(conn: &mut PgConnection, login: &Login) -> Result<Option<Row>, Error> {
    let sql = "SELECT staff_id, login, partner, role, password, totp, failures, \
               coalesce(locked_until > clock_timestamp(), false) AS locked FROM staff WHERE login = $1 FOR UPDATE";
    let row: Option<RowSql> = sql_query(sql).bind::<Text, _>(login.as_str()).get_result(conn).optional()?;
    row.map(RowSql::checked).transpose()
}

/// Counts a try before it is looked at, and locks for so many seconds.
pub fn count(conn: &mut PgConnection, staff: StaffId, failures: u32, lock_s: Option<i64>) -> QueryResult<()> {
    sql_query("UPDATE staff SET failures = $2, locked_until = clock_timestamp() + $3 * interval '1 second' WHERE staff_id = $1")
        .bind::<SqlUuid, _>(staff.0)
        .bind::<Integer, _>(i32::try_from(failures).unwrap_or(i32::MAX))
        .bind::<Nullable<BigInt>, _>(lock_s)
        .execute(conn)
        .map(drop)
}

/// Takes a step's code: `false` when it, or a later one, was used, or the password is another meanwhile. What was counted
/// is forgotten.
pub fn admit(conn: &mut PgConnection, staff: StaffId, password: &str, step: i64) -> QueryResult<bool> {
    sql_query(
        "UPDATE staff SET last_step = $3, failures = 0, locked_until = NULL, signed_in_at = clock_timestamp() \
         WHERE staff_id = $1 AND password = $2 AND last_step < $3",
    )
    .bind::<SqlUuid, _>(staff.0)
    .bind::<Text, _>(password)
    .bind::<BigInt, _>(step)
    .execute(conn)
    .map(|rows| rows == 1)
}

/// Another password and secret; nobody is locked out any more.
pub fn reset(conn: &mut PgConnection, staff: StaffId, password: &str, totp: &[u8]) -> QueryResult<()> {
    sql_query(
        "UPDATE staff SET password = $2, totp = $3, last_step = 0, failures = 0, locked_until = NULL, \
         trusted_from = NULL WHERE staff_id = $1",
    )
    .bind::<SqlUuid, _>(staff.0)
    .bind::<Text, _>(password)
    .bind::<Binary, _>(totp)
    .execute(conn)
    .map(drop)
}

/// The password and secret that somebody has chosen, of whose codes one was used; returns from when on their word counts
/// among two.
pub fn enrol(
    conn: &mut PgConnection,
    staff: StaffId,
    (password, totp): (&str, &[u8]),
    step: i64,
) -> QueryResult<DateTime<Utc>> {
    #[derive(QueryableByName)]
    struct Trusted {
        #[diesel(sql_type = Timestamptz)]
        trusted_from: DateTime<Utc>,
    }
    let row: Trusted = sql_query(format!(
        "UPDATE staff SET password = $2, totp = $3, last_step = $4, failures = 0, locked_until = NULL, \
         signed_in_at = clock_timestamp(), trusted_from = clock_timestamp() + {PROBATION} WHERE staff_id = $1 \
         RETURNING trusted_from"
    ))
    .bind::<SqlUuid, _>(staff.0)
    .bind::<Text, _>(password)
    .bind::<Binary, _>(totp)
    .bind::<BigInt, _>(step)
    .get_result(conn)?;
    Ok(row.trusted_from)
}

pub fn set_role(conn: &mut PgConnection, staff: StaffId, role: Role) -> QueryResult<()> {
    sql_query("UPDATE staff SET role = $2 WHERE staff_id = $1")
        .bind::<SqlUuid, _>(staff.0)
        .bind::<Text, _>(role.text())
        .execute(conn)
        .map(drop)
}

/// Deletes somebody, with their sessions.
pub fn delete(conn: &mut PgConnection, staff: StaffId) -> QueryResult<()> {
    sql_query("DELETE FROM staff WHERE staff_id = $1").bind::<SqlUuid, _>(staff.0).execute(conn).map(drop)
}

/// Somebody as lists show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub staff: StaffId,
    pub login: Login,
    /// `None`: the operator's.
    pub partner: Option<Slug>,
    pub role: Role,
    pub created_at: DateTime<Utc>,
    pub signed_in_at: Option<DateTime<Utc>>,
    /// In the future, while it is there.
    pub locked_until: Option<DateTime<Utc>>,
    /// That have not ended.
    pub sessions: i64,
    /// Added or set up anew on a page, and has not chosen a password yet.
    pub is_invited: bool,
}

#[derive(QueryableByName)]
struct PersonSql {
    #[diesel(sql_type = SqlUuid)]
    staff_id: Uuid,
    #[diesel(sql_type = Text)]
    login: String,
    #[diesel(sql_type = Nullable<Text>)]
    partner: Option<String>,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    signed_in_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    locked_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    sessions: i64,
    #[diesel(sql_type = Bool)]
    invited: bool,
}

/// Everybody, or a partner's; the operator's first, then by login.
pub fn list(conn: &mut PgConnection, of: Option<&Slug>) -> Result<Vec<Person>, Error> {
    let rows: Vec<PersonSql> = sql_query(format!(
        "SELECT staff_id, login, partner, role, created_at, signed_in_at, \
         CASE WHEN locked_until > clock_timestamp() THEN locked_until END AS locked_until, \
         (SELECT count(*) FROM staff_sessions n WHERE n.staff_id = s.staff_id AND {live}) AS sessions, \
         EXISTS (SELECT FROM staff_enrolments e WHERE e.staff_id = s.staff_id) AS invited \
         FROM staff s WHERE $1 IS NULL OR partner = $1 ORDER BY partner NULLS FIRST, login",
        live = sessions::LIVE
    ))
    .bind::<Nullable<Text>, _>(of.map(Slug::as_str))
    .load(conn)?;
    let checked = |row: PersonSql| {
        Ok(Person {
            staff: StaffId(row.staff_id),
            login: login(&row.login)?,
            partner: partner(row.partner)?,
            role: role(&row.role)?,
            created_at: row.created_at,
            signed_in_at: row.signed_in_at,
            locked_until: row.locked_until,
            sessions: row.sessions,
            is_invited: row.invited,
        })
    };
    rows.into_iter().map(checked).collect()
}
