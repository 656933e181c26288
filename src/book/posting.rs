//! Postings of settlement: they move exposures and tell partners, and no point.
//!
//! Each is a batch of its own under the shared fence, so that it is in exactly one window and its events take their place
//! in the feed like any other.

use super::engine::world::{EventData, EventKind, Now, World};
use super::exposures::ExposureKey;
use super::fence;
use super::store::Error;
use super::store::read::{self, State, Wanted};
use super::store::write::{self, KnownTerms};
use crate::domain::ids::{Slug, WindowId};
use crate::domain::money::Millionths;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use diesel::prelude::*;
use uuid::Uuid;

/// One posting while it is being made.
pub struct Posting {
    world: World,
    state: State,
    fresh: Uuid,
}

/// Makes one posting. `decide` runs under the fence, in the transaction that writes what it did; its error rolls all back.
pub fn post<T, E>(
    conn: &mut PgConnection,
    zone: Tz,
    decide: impl FnOnce(&mut PgConnection, &mut Posting) -> Result<T, E>,
) -> Result<T, E>
where
    E: From<Error> + From<diesel::result::Error>,
{
    conn.transaction(|conn| {
        fence::shared(conn).map_err(Error::Fence)?;
        begun(conn, zone, decide)
    })
}

/// The same, in a transaction that holds the fence already.
pub fn begun<T, E>(
    conn: &mut PgConnection,
    zone: Tz,
    decide: impl FnOnce(&mut PgConnection, &mut Posting) -> Result<T, E>,
) -> Result<T, E>
where
    E: From<Error> + From<diesel::result::Error>,
{
    let (state, _) = read::begin(conn, Vec::new())?;
    let now = Now { at: state.at, day: state.at.with_timezone(&zone).date_naive() };
    let world = World::new(now, state.window(), state.batch_no);
    let mut posting = Posting { world, state, fresh: Uuid::now_v7() };
    let done = decide(conn, &mut posting)?;
    let Posting { mut world, state, .. } = posting;
    write::batch(conn, &mut KnownTerms::default(), &state, &mut world)?;
    Ok(done)
}

impl Posting {
    /// Business time.
    pub fn at(&self) -> DateTime<Utc> {
        self.world.now.at
    }

    pub fn day(&self) -> NaiveDate {
        self.world.now.day
    }

    pub fn window(&self) -> WindowId {
        self.world.window
    }

    pub fn batch_no(&self) -> i64 {
        self.state.batch_no
    }

    /// Moves an exposure, whatever its stop line; one that has no row does not count and is left alone.
    pub fn expose(&mut self, conn: &mut PgConnection, key: &ExposureKey, by: Millionths) -> Result<bool, Error> {
        if self.world.exposure(key).is_none() {
            read::fill(conn, &mut self.world, Wanted { exposures: vec![key.clone()], ..Wanted::default() })?;
        }
        let counts = self.world.exposure(key).is_some();
        self.world.expose(key, by, false);
        Ok(counts)
    }

    /// Tells one partner.
    pub fn tell(&mut self, partner: &Slug, kind: EventKind, subject: Uuid, body: &serde_json::Value) {
        self.world.tell(self.fresh, partner, kind, subject, EventData::Written(body.to_string()));
    }
}
