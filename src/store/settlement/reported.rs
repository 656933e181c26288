//! Outstanding points as brands report them that keep their own accounts: stated in versions, never changed.

use crate::domain::ids::{Slug, WindowId};
use crate::store::Error;
use crate::store::catalogue;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Date, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// One version of what a brand reports for a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub partner: Slug,
    pub window: WindowId,
    /// Of the window.
    pub number: i64,
    /// Dense from 1; the highest stands.
    pub version: i64,
    pub points: i64,
    /// Of these, never ending; `None` when that is not said.
    pub never: Option<i64>,
    /// The business day at whose end they stood so.
    pub as_of: NaiveDate,
    pub note: Option<String>,
    /// `x5t#S256` of the certificate it was stated by.
    pub certificate: String,
    pub stated_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct RowSql {
    #[diesel(sql_type = Text)]
    partner: String,
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = BigInt)]
    points: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    never: Option<i64>,
    #[diesel(sql_type = Date)]
    as_of: NaiveDate,
    #[diesel(sql_type = Nullable<Text>)]
    note: Option<String>,
    #[diesel(sql_type = Text)]
    certificate: String,
    #[diesel(sql_type = Timestamptz)]
    stated_at: DateTime<Utc>,
}

impl RowSql {
    fn checked(self) -> Result<Row, Error> {
        Ok(Row {
            partner: catalogue::slug(&self.partner)?,
            window: WindowId(self.window_id),
            number: self.number,
            version: self.version,
            points: self.points,
            never: self.never,
            as_of: self.as_of,
            note: self.note,
            certificate: self.certificate,
            stated_at: self.stated_at,
        })
    }
}

/// What stands of a partner's for a window. Until the transaction ends, nobody else states anything of it.
pub fn lock(conn: &mut PgConnection, partner: &Slug, window: WindowId) -> Result<Option<Row>, Error> {
    // A statement of its own before the look, so that it sees what the one before it stated.
    sql_query("SELECT pg_advisory_xact_lock(hashtextextended('reported ' || $1 || ' of ' || $2, 0))")
        .bind::<Text, _>(window.0.to_string())
        .bind::<Text, _>(partner.as_str())
        .execute(conn)?;
    let row = sql_query(
        "SELECT r.*, w.number FROM reported_points r JOIN windows w USING (window_id) \
         WHERE r.partner = $1 AND r.window_id = $2 ORDER BY r.version DESC LIMIT 1",
    )
    .bind::<Text, _>(partner.as_str())
    .bind::<SqlUuid, _>(window.0)
    .get_result::<RowSql>(conn);
    row.optional()?.map(RowSql::checked).transpose()
}

pub fn insert(conn: &mut PgConnection, row: &Row) -> Result<(), Error> {
    sql_query(
        "INSERT INTO reported_points (window_id, partner, version, points, never, as_of, note, certificate, stated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind::<SqlUuid, _>(row.window.0)
    .bind::<Text, _>(row.partner.as_str())
    .bind::<BigInt, _>(row.version)
    .bind::<BigInt, _>(row.points)
    .bind::<Nullable<BigInt>, _>(row.never)
    .bind::<Date, _>(row.as_of)
    .bind::<Nullable<Text>, _>(&row.note)
    .bind::<Text, _>(&row.certificate)
    .bind::<Timestamptz, _>(row.stated_at)
    .execute(conn)?;
    Ok(())
}

/// What stands of everybody's, or of one partner's: for the newest window each has stated anything of.
pub fn standing(conn: &mut PgConnection, partner: Option<&str>) -> Result<Vec<Row>, Error> {
    let rows: Vec<RowSql> = sql_query(
        "SELECT DISTINCT ON (r.partner) r.*, w.number FROM reported_points r JOIN windows w USING (window_id) \
         WHERE $1 IS NULL OR r.partner = $1 ORDER BY r.partner, w.number DESC, r.version DESC",
    )
    .bind::<Nullable<Text>, _>(partner)
    .load(conn)?;
    rows.into_iter().map(RowSql::checked).collect()
}
