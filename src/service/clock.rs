//! The sandbox clock: business time moves forward, and nothing else does.

use crate::book::fence;
use crate::store;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Timestamptz};

/// Rounds of a quarter second to get the fence.
const ROUNDS: u32 = 120;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("this alliance is no sandbox: its clock cannot be moved")]
    NoSandbox,
    #[error("the clock only moves forward")]
    Backwards,
    #[error("the clock cannot move that far")]
    TooFar,
    #[error("the database refused to move the clock: {0}")]
    Query(#[from] diesel::result::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

#[derive(QueryableByName)]
struct Now {
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    sandbox: bool,
}

/// Business time now.
pub fn now(conn: &mut PgConnection) -> Result<DateTime<Utc>, Error> {
    Ok(read(conn)?.at)
}

fn read(conn: &mut PgConnection) -> Result<Now, Error> {
    let found = sql_query(
        "SELECT clock_timestamp() + clock_offset_us * interval '1 microsecond' AS at, sandbox_start IS NOT NULL AS sandbox FROM alliance",
    )
    .get_result(conn)
    .optional()?;
    found.ok_or(Error::Store(store::Error::Unpublished))
}

/// Moves business time forward by `by` and returns the new time. With the fence held, so that every posting is wholly
/// before or wholly after.
pub fn advance(conn: &mut PgConnection, by: TimeDelta) -> Result<DateTime<Utc>, Error> {
    if by <= TimeDelta::zero() {
        return Err(Error::Backwards);
    }
    let by = by.num_microseconds().ok_or(Error::TooFar)?;
    // A thousand years are enough for any test and keep every date within range.
    if by > 1_000 * 366 * 86_400 * 1_000_000 {
        return Err(Error::TooFar);
    }
    conn.transaction(|conn| {
        fence::exclusive(conn, ROUNDS)?;
        if !read(conn)?.sandbox {
            return Err(Error::NoSandbox);
        }
        sql_query("UPDATE alliance SET clock_offset_us = clock_offset_us + $1").bind::<BigInt, _>(by).execute(conn)?;
        Ok(read(conn)?.at)
    })
}
