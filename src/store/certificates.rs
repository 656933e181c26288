//! Client certificates: which are known, whose they are, whether they still count.

use crate::domain::holder::Holder;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Binary, Bool, Nullable, SmallInt, Text, Timestamptz};

diesel::table! {
    certificates (x5t_s256) {
        x5t_s256 -> Text,
        holder_kind -> Text,
        holder_name -> Text,
        serial -> Text,
        not_before -> Timestamptz,
        not_after -> Timestamptz,
        status -> Text,
        created_at -> Timestamptz,
        revoked_at -> Nullable<Timestamptz>,
    }
}

/// A certificate as its authority issued it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// `x5t#S256` of RFC 8705: base64url of the SHA-256 of the DER.
    pub x5t: String,
    pub holder: Holder,
    /// Hexadecimal, lower case.
    pub serial: String,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
}

#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = certificates)]
pub struct Row {
    pub x5t_s256: String,
    pub holder_kind: String,
    pub holder_name: String,
    pub serial: String,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    pub status: String,
    pub created_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What counts at a request.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Standing {
    #[diesel(sql_type = Text)]
    pub holder_kind: String,
    #[diesel(sql_type = Text)]
    pub holder_name: String,
    #[diesel(sql_type = Bool)]
    pub revoked: bool,
    /// Outside its life by the database's clock, which is wire time.
    #[diesel(sql_type = Bool)]
    pub expired: bool,
}

/// Makes a certificate known; one known already stays as it is. Returns whether it was new.
pub fn insert(conn: &mut PgConnection, certificate: &Certificate) -> QueryResult<bool> {
    diesel::insert_into(certificates::table)
        .values((
            certificates::x5t_s256.eq(&certificate.x5t),
            certificates::holder_kind.eq(certificate.holder.kind()),
            certificates::holder_name.eq(certificate.holder.name()),
            certificates::serial.eq(&certificate.serial),
            certificates::not_before.eq(certificate.not_before),
            certificates::not_after.eq(certificate.not_after),
        ))
        .on_conflict(certificates::x5t_s256)
        .do_nothing()
        .execute(conn)
        .map(|rows| rows == 1)
}

/// A certificate as it was answered to a request.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Answered {
    #[diesel(sql_type = Text)]
    pub x5t_s256: String,
    #[diesel(sql_type = Text)]
    pub serial: String,
    #[diesel(sql_type = Timestamptz)]
    pub not_before: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub not_after: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub pem: String,
}

/// Keeps what was answered to a request, and of which key it is.
pub fn keep_answer(conn: &mut PgConnection, x5t: &str, pem: &str, key_sha256: &[u8; 32]) -> QueryResult<()> {
    sql_query("UPDATE certificates SET pem = $2, key_sha256 = $3 WHERE x5t_s256 = $1")
        .bind::<Text, _>(x5t)
        .bind::<Text, _>(pem)
        .bind::<Binary, _>(&key_sha256[..])
        .execute(conn)
        .map(drop)
}

const ANSWERED: &str = "SELECT x5t_s256, serial, not_before, not_after, pem FROM certificates \
    WHERE pem IS NOT NULL AND status = 'active' AND not_after > clock_timestamp()";

/// What was answered for this key with this certificate, while it counts.
pub fn answered(conn: &mut PgConnection, x5t: &str, key_sha256: &[u8; 32]) -> QueryResult<Option<Answered>> {
    sql_query(format!("{ANSWERED} AND x5t_s256 = $1 AND key_sha256 = $2"))
        .bind::<Text, _>(x5t)
        .bind::<Binary, _>(&key_sha256[..])
        .get_result(conn)
        .optional()
}

/// What this holder was answered for this key since `since`, while it counts.
pub fn answered_since(
    conn: &mut PgConnection,
    holder: &Holder,
    key_sha256: &[u8; 32],
    since: DateTime<Utc>,
) -> QueryResult<Option<Answered>> {
    sql_query(format!(
        "{ANSWERED} AND holder_kind = $1 AND holder_name = $2 AND key_sha256 = $3 AND created_at > $4 \
         ORDER BY created_at DESC LIMIT 1"
    ))
    .bind::<Text, _>(holder.kind())
    .bind::<Text, _>(holder.name())
    .bind::<Binary, _>(&key_sha256[..])
    .bind::<Timestamptz, _>(since)
    .get_result(conn)
    .optional()
}

/// Thumbprints of the holder's certificates that count now.
pub fn live(conn: &mut PgConnection, holder: &Holder) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Live {
        #[diesel(sql_type = Text)]
        x5t_s256: String,
    }
    let rows: Vec<Live> = sql_query(
        "SELECT x5t_s256 FROM certificates WHERE holder_kind = $1 AND holder_name = $2 AND status = 'active' \
         AND not_after > clock_timestamp() ORDER BY x5t_s256",
    )
    .bind::<Text, _>(holder.kind())
    .bind::<Text, _>(holder.name())
    .load(conn)?;
    Ok(rows.into_iter().map(|row| row.x5t_s256).collect())
}

/// The holder's certificate of this thumbprint.
pub fn find(conn: &mut PgConnection, holder: &Holder, x5t: &str) -> QueryResult<Option<Row>> {
    certificates::table
        .filter(certificates::holder_kind.eq(holder.kind()))
        .filter(certificates::holder_name.eq(holder.name()))
        .filter(certificates::x5t_s256.eq(x5t))
        .select(Row::as_select())
        .first(conn)
        .optional()
}

/// Serial numbers the revocation list must have: of what was revoked before its life was over, which is not over long.
pub fn revoked_serials(conn: &mut PgConnection) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Serial {
        #[diesel(sql_type = Text)]
        serial: String,
    }
    let rows: Vec<Serial> = sql_query(
        "SELECT serial FROM certificates WHERE status = 'revoked' AND not_after > clock_timestamp() - interval '1 day' \
         ORDER BY serial",
    )
    .load(conn)?;
    Ok(rows.into_iter().map(|row| row.serial).collect())
}

/// For each holder, the one of its certificates that ends last.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Last {
    #[diesel(sql_type = Text)]
    pub x5t_s256: String,
    #[diesel(sql_type = Text)]
    pub holder_kind: String,
    #[diesel(sql_type = Text)]
    pub holder_name: String,
    #[diesel(sql_type = Timestamptz)]
    pub not_after: DateTime<Utc>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub told_days: Option<i16>,
}

/// Those that end soonest first, at most `limit`; who has had none since `since` is left out.
pub fn last_of_each(conn: &mut PgConnection, since: DateTime<Utc>, limit: i64) -> QueryResult<Vec<Last>> {
    sql_query(
        "SELECT * FROM (SELECT DISTINCT ON (holder_kind, holder_name) x5t_s256, holder_kind, holder_name, not_after, told_days \
         FROM certificates WHERE status = 'active' AND not_after > $1 \
         ORDER BY holder_kind, holder_name, not_after DESC, x5t_s256) last ORDER BY not_after, x5t_s256 LIMIT $2",
    )
    .bind::<Timestamptz, _>(since)
    .bind::<diesel::sql_types::BigInt, _>(limit)
    .load(conn)
}

/// Notes that the holder is warned, `days` before the end; `false` when it was told as much before.
pub fn warn(conn: &mut PgConnection, x5t: &str, days: i16) -> QueryResult<bool> {
    sql_query(
        "UPDATE certificates SET told_days = $2 WHERE x5t_s256 = $1 AND status = 'active' \
         AND coalesce(told_days > $2, true)",
    )
    .bind::<Text, _>(x5t)
    .bind::<SmallInt, _>(days)
    .execute(conn)
    .map(|rows| rows == 1)
}

pub fn find_by_serial(conn: &mut PgConnection, serial: &str) -> QueryResult<Option<Row>> {
    certificates::table.filter(certificates::serial.eq(serial)).select(Row::as_select()).first(conn).optional()
}

/// Ends a certificate for good; a repeat changes nothing. `false`: it was never known.
pub fn revoke(conn: &mut PgConnection, x5t: &str) -> QueryResult<bool> {
    let sql = "UPDATE certificates SET status = 'revoked', revoked_at = coalesce(revoked_at, clock_timestamp()) \
               WHERE x5t_s256 = $1";
    sql_query(sql).bind::<Text, _>(x5t).execute(conn).map(|rows| rows == 1)
}

pub fn standing(conn: &mut PgConnection, x5t: &str) -> QueryResult<Option<Standing>> {
    let sql = "SELECT holder_kind, holder_name, status = 'revoked' AS revoked, \
               NOT (clock_timestamp() >= not_before AND clock_timestamp() < not_after) AS expired \
               FROM certificates WHERE x5t_s256 = $1";
    sql_query(sql).bind::<Text, _>(x5t).get_result(conn).optional()
}

/// The holder's certificates by their thumbprint, starting after one if given.
pub fn list(conn: &mut PgConnection, holder: &Holder, after: Option<&str>, limit: i64) -> QueryResult<Vec<Row>> {
    certificates::table
        .filter(certificates::holder_kind.eq(holder.kind()))
        .filter(certificates::holder_name.eq(holder.name()))
        .filter(certificates::x5t_s256.gt(after.unwrap_or_default()))
        .order(certificates::x5t_s256)
        .limit(limit)
        .select(Row::as_select())
        .load(conn)
}
