//! Parts of the catalogue as callers ask for them: the alliance, pages of partners and of rates.

use super::rows::{AllianceRow, PartnerRow, RateRow};
use super::{business_now, direction};
use crate::domain::catalogue::{Alliance, Partner};
use crate::domain::ids::Slug;
use crate::domain::rate::Rate;
use crate::store::Error;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};

/// Which rates, as who may see them.
#[derive(Clone, Debug)]
pub struct RateSearch {
    /// A partner sees the rates it is a side of and public ones; `None` sees all.
    pub viewer: Option<Slug>,
    pub from: Option<Slug>,
    pub to: Option<Slug>,
    /// The rate a member of this tier gets: the exact one, or else the one for any.
    pub tier: Option<String>,
    /// In force at this instant.
    pub at: DateTime<Utc>,
    /// The last one of the page before.
    pub after: Option<RatePlace>,
    pub limit: i64,
}

/// Where a rate stands in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RatePlace {
    pub from: Slug,
    pub to: Slug,
    pub version: i64,
}

/// One direction's rate.
#[derive(Clone, Debug)]
pub struct FoundRate {
    pub from: Slug,
    pub to: Slug,
    pub rate: Rate,
}

/// The alliance with its catalogue's version and business time; `None` before the first publication.
pub fn alliance(conn: &mut PgConnection) -> Result<Option<(Alliance, i64, DateTime<Utc>)>, Error> {
    let row: Option<AllianceRow> = sql_query("SELECT * FROM alliance").get_result(conn).optional()?;
    let Some(row) = row else { return Ok(None) };
    let version = row.catalogue_version;
    Ok(Some((row.checked()?, version, business_now(conn)?)))
}

/// Partners in the order of their slugs, those after `after`.
pub fn partners(conn: &mut PgConnection, after: Option<&Slug>, limit: i64) -> Result<Vec<Partner>, Error> {
    let rows: Vec<PartnerRow> =
        sql_query("SELECT * FROM partners WHERE ($1 IS NULL OR slug > $1) ORDER BY slug LIMIT $2")
            .bind::<Nullable<Text>, _>(after.map(Slug::as_str))
            .bind::<BigInt, _>(limit)
            .load(conn)?;
    rows.into_iter().map(PartnerRow::checked).collect()
}

/// Rates in the order of origin, target and version.
pub fn rates(conn: &mut PgConnection, search: &RateSearch) -> Result<Vec<FoundRate>, Error> {
    let rows: Vec<RateRow> = sql_query(
        "SELECT * FROM rates r \
         WHERE valid_from <= $1 AND coalesce(least(valid_to, superseded_from) > $1, true) \
         AND ($2 IS NULL OR public OR from_partner = $2 OR to_partner = $2) \
         AND ($3 IS NULL OR from_partner = $3) AND ($4 IS NULL OR to_partner = $4) \
         AND ($5 IS NULL OR tier = $5 OR (tier = '*' AND NOT EXISTS ( \
           SELECT FROM rates e WHERE e.from_partner = r.from_partner AND e.to_partner = r.to_partner AND e.tier = $5 \
           AND e.valid_from <= $1 AND coalesce(least(e.valid_to, e.superseded_from) > $1, true)))) \
         AND ($6 IS NULL OR (from_partner, to_partner, version) > ($6, $7, $8)) \
         ORDER BY from_partner, to_partner, version LIMIT $9",
    )
    .bind::<Timestamptz, _>(search.at)
    .bind::<Nullable<Text>, _>(search.viewer.as_ref().map(Slug::as_str))
    .bind::<Nullable<Text>, _>(search.from.as_ref().map(Slug::as_str))
    .bind::<Nullable<Text>, _>(search.to.as_ref().map(Slug::as_str))
    .bind::<Nullable<Text>, _>(&search.tier)
    .bind::<Nullable<Text>, _>(search.after.as_ref().map(|place| place.from.as_str()))
    .bind::<Nullable<Text>, _>(search.after.as_ref().map(|place| place.to.as_str()))
    .bind::<Nullable<BigInt>, _>(search.after.as_ref().map(|place| place.version))
    .bind::<BigInt, _>(search.limit)
    .load(conn)?;
    let found = rows.into_iter().map(|row| {
        let (from, to) = direction(&row.from_partner, &row.to_partner)?;
        Ok(FoundRate { from, to, rate: row.checked()? })
    });
    found.collect()
}
