//! All that was ever published between partners, those versions too that a later one has replaced.

use super::rows::{AgreementRow, CampaignRow, RateRow};
use super::{Error, direction};
use crate::domain::catalogue::Pair;
use crate::domain::ids::Slug;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Nullable, Text};
use std::collections::BTreeMap;

/// Whose history is wanted: of every pair, of those of one partner, or of these two; both directions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Between<'a> {
    pub one: Option<&'a Slug>,
    pub other: Option<&'a Slug>,
}

/// Every version of rates, agreements and campaigns by direction, oldest version first.
pub fn all(conn: &mut PgConnection, between: Between<'_>) -> Result<BTreeMap<(Slug, Slug), Pair>, Error> {
    let mut pairs: BTreeMap<(Slug, Slug), Pair> = BTreeMap::new();
    for row in versions::<AgreementRow>(conn, "agreements", "version", between)? {
        pairs.entry(direction(&row.from_partner, &row.to_partner)?).or_default().agreements.push(row.checked()?);
    }
    for row in versions::<RateRow>(conn, "rates", "version", between)? {
        pairs.entry(direction(&row.from_partner, &row.to_partner)?).or_default().rates.push(row.checked()?);
    }
    for row in versions::<CampaignRow>(conn, "campaigns", "code, version", between)? {
        pairs.entry(direction(&row.from_partner, &row.to_partner)?).or_default().campaigns.push(row.checked()?);
    }
    Ok(pairs)
}

fn versions<T: diesel::deserialize::FromSqlRow<diesel::sql_types::Untyped, diesel::pg::Pg> + 'static>(
    conn: &mut PgConnection,
    table: &'static str,
    order: &'static str,
    between: Between<'_>,
) -> Result<Vec<T>, Error> {
    let sql = format!(
        "SELECT * FROM {table} WHERE ($1 IS NULL OR from_partner = $1 OR to_partner = $1) \
         AND ($2 IS NULL OR from_partner = $2 OR to_partner = $2) ORDER BY {order}"
    );
    let rows = sql_query(sql)
        .bind::<Nullable<Text>, _>(between.one.map(Slug::as_str))
        .bind::<Nullable<Text>, _>(between.other.map(Slug::as_str));
    Ok(rows.load(conn)?)
}
