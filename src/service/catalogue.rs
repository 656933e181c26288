//! The catalogue as callers may see it.

use crate::domain::catalogue::{Alliance, Partner, PartnerStatus};
use crate::domain::ids::Slug;
use crate::store::catalogue::{self, find};
use crate::store::{Database, Error};
use chrono::{DateTime, Utc};

pub use crate::store::catalogue::find::{FoundRate, RatePlace, RateSearch};

/// The alliance with its catalogue's version and business time; `None` before the first publication.
pub async fn alliance(database: &Database) -> Result<Option<(Alliance, i64, DateTime<Utc>)>, Error> {
    database.run(find::alliance).await
}

/// Partners in the order of their slugs, those after `after`.
pub async fn partners(database: &Database, after: Option<Slug>, limit: i64) -> Result<Vec<Partner>, Error> {
    database.run(move |conn| find::partners(conn, after.as_ref(), limit)).await
}

/// Rates as `search` says, in force at `at` or now; empty before the first publication.
pub async fn rates(
    database: &Database,
    mut search: RateSearch,
    at: Option<DateTime<Utc>>,
) -> Result<Vec<FoundRate>, Error> {
    database
        .run(move |conn| {
            if !catalogue::exists(conn)? {
                return Ok(Vec::new());
            }
            search.at = match at {
                Some(at) => at,
                None => catalogue::business_now(conn)?,
            };
            find::rates(conn, &search)
        })
        .await
}

/// How a status is written in answers.
pub fn status_text(status: PartnerStatus) -> &'static str {
    catalogue::status_text(status)
}
