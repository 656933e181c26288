//! The expiry run: finds accounts with lots that ended before today, for `Command::Expire` to post.
//!
//! Decisions judge every lot's date at the instant, so the run changes nothing that a member could do; it makes what
//! has become true visible as entries, and may run late or twice.

use super::store::Error;
use crate::domain::ids::{AccountId, Slug};
use chrono::NaiveDate;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Date, Text, Uuid as SqlUuid};
use uuid::Uuid;

#[derive(QueryableByName)]
struct DueSql {
    #[diesel(sql_type = SqlUuid)]
    account_id: Uuid,
    #[diesel(sql_type = Text)]
    partner: String,
}

#[derive(QueryableByName)]
struct Today {
    #[diesel(sql_type = Date)]
    day: NaiveDate,
}

/// The business date: the database's clock with the alliance's offset, in its zone.
pub fn today(conn: &mut PgConnection) -> Result<NaiveDate, Error> {
    let sql = "SELECT ((clock_timestamp() + clock_offset_us * interval '1 microsecond') AT TIME ZONE zone)::date AS day FROM alliance";
    let row: Today = sql_query(sql).get_result(conn)?;
    Ok(row.day)
}

/// Accounts whose earliest lot ended before `day`, at most `limit`.
pub fn due(conn: &mut PgConnection, day: NaiveDate, limit: i64) -> Result<Vec<(AccountId, Slug)>, Error> {
    let found: Vec<DueSql> =
        sql_query("SELECT account_id, partner FROM accounts WHERE next_expiry < $1 ORDER BY next_expiry LIMIT $2")
            .bind::<Date, _>(day)
            .bind::<BigInt, _>(limit)
            .load(conn)?;
    let due =
        |row: DueSql| Ok((AccountId(row.account_id), super::store::rows::slug("accounts.partner", &row.partner)?));
    found.into_iter().map(due).collect()
}
