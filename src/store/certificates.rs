//! Client certificates: which are known, whose they are, whether they still count.

use crate::domain::holder::Holder;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};

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

pub fn find_by_serial(conn: &mut PgConnection, serial: &str) -> QueryResult<Option<Row>> {
    certificates::table.filter(certificates::serial.eq(serial)).select(Row::as_select()).first(conn).optional()
}

/// Ends a certificate for good; a repeat changes nothing. `false`: it was never known.
pub fn revoke(conn: &mut PgConnection, x5t: &str) -> QueryResult<bool> {
    let sql = "UPDATE certificates SET status = 'revoked', revoked_at = coalesce(revoked_at, clock_timestamp()) \
               WHERE x5t_s256 = $1";
    diesel::sql_query(sql).bind::<Text, _>(x5t).execute(conn).map(|rows| rows == 1)
}

pub fn standing(conn: &mut PgConnection, x5t: &str) -> QueryResult<Option<Standing>> {
    let sql = "SELECT holder_kind, holder_name, status = 'revoked' AS revoked, \
               NOT (clock_timestamp() >= not_before AND clock_timestamp() < not_after) AS expired \
               FROM certificates WHERE x5t_s256 = $1";
    diesel::sql_query(sql).bind::<Text, _>(x5t).get_result(conn).optional()
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
