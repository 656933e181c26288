//! Partners that join by their first certificate, and those whose notice is over.

use super::Tick;
use crate::service::lifecycle::{Departures, Error};

/// One look at who joins and who leaves.
pub fn tick(departures: &mut Departures) -> Result<Tick, Error> {
    Ok(if departures.tick()? { Tick::Worked } else { Tick::Idle })
}
