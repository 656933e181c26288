//! Exposures as people look at them.

use crate::domain::money::Millionths;
use crate::store::Error;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};

#[derive(QueryableByName)]
struct ExposureSql {
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = BigInt)]
    value: i64,
}

/// Those that are not nothing, as `key value`.
pub fn open(conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    let rows: Vec<ExposureSql> =
        sql_query("SELECT key, value FROM exposures WHERE value <> 0 ORDER BY key").load(conn)?;
    Ok(rows.into_iter().map(|row| format!("{} {}", row.key, Millionths::new(row.value))).collect())
}
