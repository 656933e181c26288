//! Exposure rows: made and capped when agreements and partners are published, or made by the first adjustment of a
//! direction without an agreement; moved by postings alone.

use crate::domain::ids::Slug;
use crate::domain::money::Millionths;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};

/// What an exposure row measures.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExposureKey {
    /// Signed net of one partner: what it would pay if all were netted now.
    Partner(Slug),
    /// Gross of the unsettled lines of one direction.
    Pair(Slug, Slug),
}

impl ExposureKey {
    /// The primary key's text. Slugs have no colon.
    pub fn text(&self) -> String {
        match self {
            ExposureKey::Partner(slug) => format!("partner:{slug}"),
            ExposureKey::Pair(from, to) => format!("pair:{from}:{to}"),
        }
    }

    pub fn parse(text: &str) -> Option<ExposureKey> {
        let mut parts = text.split(':');
        let key = match (parts.next()?, parts.next()?, parts.next()) {
            ("partner", slug, None) => ExposureKey::Partner(slug.parse().ok()?),
            ("pair", from, Some(to)) => ExposureKey::Pair(from.parse().ok()?, to.parse().ok()?),
            _ => return None,
        };
        parts.next().is_none().then_some(key)
    }
}

/// Makes the row if it is new and sets its stop line; the value stays. Called with the fence held exclusively.
pub fn open(conn: &mut PgConnection, key: &ExposureKey, cap: Option<Millionths>) -> QueryResult<()> {
    sql_query(
        "INSERT INTO exposures (key, value, cap) VALUES ($1, 0, $2) \
         ON CONFLICT (key) DO UPDATE SET cap = EXCLUDED.cap",
    )
    .bind::<Text, _>(key.text())
    .bind::<Nullable<BigInt>, _>(cap.map(Millionths::get))
    .execute(conn)?;
    Ok(())
}

/// Makes the row, without a stop line, unless there is one. Called with the fence held shared.
pub fn keep(conn: &mut PgConnection, key: &ExposureKey) -> QueryResult<()> {
    sql_query("INSERT INTO exposures (key, value, cap) VALUES ($1, 0, NULL) ON CONFLICT (key) DO NOTHING")
        .bind::<Text, _>(key.text())
        .execute(conn)?;
    Ok(())
}
