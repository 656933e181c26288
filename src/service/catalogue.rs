//! The catalogue as callers may see it.

use crate::domain::catalogue::{Alliance, Catalogue, Partner, PartnerStatus};
use crate::domain::ids::Slug;
use crate::service::exchange::{self, Exchange};
use crate::store::catalogue::{self, find};
use crate::store::{Database, Error};
use chrono::{DateTime, Utc};
use std::sync::Arc;

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

/// All that is published now, with what is announced for later, and business time.
pub async fn standing(exchange: &Exchange) -> Result<(Arc<Catalogue>, DateTime<Utc>), exchange::Error> {
    let shared = Arc::clone(&exchange.catalogue);
    let read = move |conn: &mut _| {
        Ok::<_, exchange::Error>((exchange::newest(conn, &shared)?, catalogue::business_now(conn)?))
    };
    exchange.database.run(read).await
}

/// How a status is written in answers.
pub fn status_text(status: PartnerStatus) -> &'static str {
    catalogue::status_text(status)
}
