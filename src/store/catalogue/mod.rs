//! The catalogue's rows: the alliance, its partners and what is published for each direction.
//!
//! `load` reads all of it as one immutable value. A lane reads with the fence held, so nothing can move under it;
//! anyone else may meet a publication half way through the queries, which the version read last tells.
//! `rows` turns rows into checked values; `find` reads parts of it, `history` what was before too; `write` is
//! for publishing alone.

pub mod find;
pub mod history;
mod rows;
pub mod write;

use super::Error;
use crate::domain::catalogue::{Catalogue, Pair, PartnerStatus};
use crate::domain::ids::Slug;
use crate::domain::rate::TierScope;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Timestamptz};
use rows::{AgreementRow, AllianceRow, CampaignRow, PartnerRow, RateRow};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How often `load` starts again when a publication overtook it.
const ROUNDS_MAX: u32 = 5;

/// The text of a rate or campaign that is for every origin tier.
pub const ANY_TIER: &str = "*";

/// The catalogue as it stands: every agreement version, and of rates and campaigns those that are live, begin later
/// or ended within the last day of business time. `Err(Unpublished)` before the first publication.
pub fn load(conn: &mut PgConnection) -> Result<Catalogue, Error> {
    for _ in 0..ROUNDS_MAX {
        let catalogue = read(conn)?;
        if version(conn)? == catalogue.version {
            return Ok(catalogue);
        }
    }
    Err(unreadable("the catalogue changed during each of five reads"))
}

/// The version of the catalogue; `Err(Unpublished)` before the first publication.
pub fn version(conn: &mut PgConnection) -> Result<i64, Error> {
    let row: QueryResult<Version> = sql_query("SELECT catalogue_version AS version FROM alliance").get_result(conn);
    Ok(published(row)?.version)
}

/// Whether anything was published yet.
pub fn exists(conn: &mut PgConnection) -> Result<bool, Error> {
    match version(conn) {
        Ok(_) => Ok(true),
        Err(Error::Unpublished) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Business time: the database's clock plus the alliance's offset. `Err(Unpublished)` before the first publication.
pub fn business_now(conn: &mut PgConnection) -> Result<DateTime<Utc>, Error> {
    let now = "SELECT clock_timestamp() + clock_offset_us * interval '1 microsecond' AS at FROM alliance";
    let row: QueryResult<Instant> = sql_query(now).get_result(conn);
    Ok(published(row)?.at)
}

/// The business day in this zone, the alliance's.
pub fn business_day(conn: &mut PgConnection, zone: Tz) -> Result<NaiveDate, Error> {
    Ok(business_now(conn)?.with_timezone(&zone).date_naive())
}

/// The one row of the alliance: without it nothing was published.
fn published<T>(row: QueryResult<T>) -> Result<T, Error> {
    row.optional()?.ok_or(Error::Unpublished)
}

fn read(conn: &mut PgConnection) -> Result<Catalogue, Error> {
    let alliance: AllianceRow = published(sql_query("SELECT * FROM alliance").get_result(conn))?;
    let since = business_now(conn)? - chrono::Duration::days(1);
    let (mut partners, mut closed) = (BTreeMap::new(), BTreeSet::new());
    for row in sql_query("SELECT * FROM partners").load::<PartnerRow>(conn)? {
        if row.closed_at.is_some() {
            closed.insert(slug(&row.slug)?);
        }
        let partner = row.checked()?;
        partners.insert(partner.slug.clone(), partner);
    }
    let mut pairs: HashMap<(Slug, Slug), Pair> = HashMap::new();
    for row in sql_query("SELECT * FROM agreements ORDER BY version").load::<AgreementRow>(conn)? {
        pairs.entry(direction(&row.from_partner, &row.to_partner)?).or_default().agreements.push(row.checked()?);
    }
    let rates = sql_query(
        "SELECT * FROM rates WHERE coalesce(least(valid_to, superseded_from) > $1, true) ORDER BY valid_from, version",
    )
    .bind::<Timestamptz, _>(since);
    for row in rates.load::<RateRow>(conn)? {
        pairs.entry(direction(&row.from_partner, &row.to_partner)?).or_default().rates.push(row.checked()?);
    }
    let campaigns = sql_query(
        "SELECT * FROM campaigns WHERE least(valid_to, superseded_from) > $1 ORDER BY code, valid_from, version",
    )
    .bind::<Timestamptz, _>(since);
    for row in campaigns.load::<CampaignRow>(conn)? {
        pairs.entry(direction(&row.from_partner, &row.to_partner)?).or_default().campaigns.push(row.checked()?);
    }
    Ok(Catalogue { version: alliance.catalogue_version, alliance: alliance.checked()?, partners, closed, pairs })
}

/// How a tier scope is written in the tables.
pub fn tier_text(tier: &TierScope) -> &str {
    match tier {
        TierScope::Any => ANY_TIER,
        TierScope::Only(code) => code,
    }
}

/// How a status is written in the tables and answers.
pub fn status_text(status: PartnerStatus) -> &'static str {
    match status {
        PartnerStatus::Joining => "joining",
        PartnerStatus::Active => "active",
        PartnerStatus::Suspended => "suspended",
        PartnerStatus::Leaving => "leaving",
        PartnerStatus::Left => "left",
    }
}

/// A row that the CHECKs of the migrations should have kept out: our bug, told with what was seen.
pub(super) fn unreadable(what: impl Into<String>) -> Error {
    Error::Query(diesel::result::Error::DeserializationError(what.into().into()))
}

pub(super) fn slug(text: &str) -> Result<Slug, Error> {
    text.parse().map_err(|_| unreadable(format!("`{text}` is not a partner's slug")))
}

fn direction(from: &str, to: &str) -> Result<(Slug, Slug), Error> {
    Ok((slug(from)?, slug(to)?))
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = BigInt)]
    version: i64,
}

#[derive(QueryableByName)]
struct Instant {
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
}
