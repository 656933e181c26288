//! Moves exposures, the last and hottest rows of a batch: under their stop lines, and in key order.

use super::Error;
use super::statement::{Column, Statement};
use crate::book::engine::world::{Event, EventData, EventKind, World};
use crate::book::exposures::ExposureKey;
use crate::domain::money::Millionths;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use uuid::Uuid;

#[derive(QueryableByName)]
struct ExposedSql {
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    cap: Option<i64>,
    /// Value and reserved together, and what was added to them.
    #[diesel(sql_type = BigInt)]
    counted: i64,
    #[diesel(sql_type = BigInt)]
    delta: i64,
}

/// Moves the exposures, in key order, and tells who neared (80 %) or reached its stop line by it.
pub fn exposures(conn: &mut PgConnection, world: &World) -> Result<Vec<Event>, Error> {
    let rows = &world.writes.exposures;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    // What this batch decided with may be old by now. Then the stop line itself must hold, or it decides again.
    let moved: Vec<ExposedSql> = Statement::new(
        "WITH x AS MATERIALIZED (SELECT * FROM unnest(?, ?, ?, ?, ?) x(key, delta, reserved, guarded, counted_read) ORDER BY key) \
         UPDATE exposures e SET value = e.value + x.delta, reserved = e.reserved + x.reserved FROM x WHERE e.key = x.key \
         AND (NOT x.guarded OR e.value + e.reserved = x.counted_read OR e.cap IS NULL \
         OR e.value + e.reserved + x.delta + x.reserved <= e.cap) \
         RETURNING e.key, e.value + e.reserved AS counted, e.cap, x.delta + x.reserved AS delta",
        vec![
            Column::Texts(rows.keys().map(|key| key.text()).collect()),
            Column::BigInts(rows.values().map(|row| row.delta.get()).collect()),
            Column::BigInts(rows.values().map(|row| row.reserved.get()).collect()),
            Column::Bools(rows.values().map(|row| row.guarded).collect()),
            Column::BigInts(rows.values().map(|row| row.counted_read.get()).collect()),
        ],
    )
    .load(conn)?;
    if moved.len() != rows.len() {
        return Err(Error::Exposed);
    }
    Ok(moved.iter().flat_map(lines_crossed).collect())
}

fn lines_crossed(row: &ExposedSql) -> Vec<Event> {
    let Some(cap) = row.cap.filter(|cap| *cap > 0) else { return Vec::new() };
    let before = row.counted - row.delta;
    let line = cap / 5 * 4;
    let kind = match () {
        () if before < cap && row.counted >= cap => EventKind::ExposureReached,
        () if before < line && row.counted >= line => EventKind::ExposureWarned,
        () => return Vec::new(),
    };
    let partner = match ExposureKey::parse(&row.key) {
        Some(ExposureKey::Partner(slug) | ExposureKey::Pair(slug, _)) => slug,
        None => return Vec::new(),
    };
    let money = Millionths::new;
    let data = EventData::Exposure { key: row.key.clone(), value: money(row.counted), cap: money(cap) };
    vec![Event { partner, id: Uuid::now_v7(), kind, subject: Uuid::nil(), data }]
}
