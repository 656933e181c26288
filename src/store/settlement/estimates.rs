//! Breakage as brands estimate it: stated in versions, never changed.

use crate::domain::ids::Slug;
use crate::store::Error;
use crate::store::catalogue;
use chrono::NaiveDate;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Date, Nullable, Text};

/// One version of a brand's estimate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub partner: Slug,
    /// Dense from 1; the highest is the one in use.
    pub version: i64,
    /// Of outstanding points, expected to end unused.
    pub basis_points: i64,
    pub author: String,
    pub stated_on: NaiveDate,
    pub note: String,
}

#[derive(QueryableByName)]
struct RowSql {
    #[diesel(sql_type = Text)]
    partner: String,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = BigInt)]
    basis_points: i64,
    #[diesel(sql_type = Text)]
    author: String,
    #[diesel(sql_type = Date)]
    stated_on: NaiveDate,
    #[diesel(sql_type = Text)]
    note: String,
}

impl RowSql {
    fn checked(self) -> Result<Row, Error> {
        Ok(Row {
            partner: catalogue::slug(&self.partner)?,
            version: self.version,
            basis_points: self.basis_points,
            author: self.author,
            stated_on: self.stated_on,
            note: self.note,
        })
    }
}

/// Every version of everybody's, or of one partner's: by partner, newest first.
pub fn list(conn: &mut PgConnection, partner: Option<&str>) -> Result<Vec<Row>, Error> {
    let rows: Vec<RowSql> =
        sql_query("SELECT * FROM estimates WHERE $1 IS NULL OR partner = $1 ORDER BY partner, version DESC")
            .bind::<Nullable<Text>, _>(partner)
            .load(conn)?;
    rows.into_iter().map(RowSql::checked).collect()
}

/// Takes the version after the last one; the version of `row` is not looked at. Two at once: one of them fails.
pub fn insert(conn: &mut PgConnection, row: &Row) -> Result<Row, Error> {
    let row: RowSql = sql_query(
        "INSERT INTO estimates (partner, version, basis_points, author, stated_on, note) \
         SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5 FROM estimates WHERE partner = $1 RETURNING *",
    )
    .bind::<Text, _>(row.partner.as_str())
    .bind::<BigInt, _>(row.basis_points)
    .bind::<Text, _>(&row.author)
    .bind::<Date, _>(row.stated_on)
    .bind::<Text, _>(&row.note)
    .get_result(conn)?;
    row.checked()
}
