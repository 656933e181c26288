//! Settlement by the calendar: windows end, statements are deemed accepted, obligations become overdue. Any number of servers
//! may run it; one at a time settles.

use super::Tick;
use crate::service::settlement::Error;
use crate::service::settlement::deadlines::Settler;

/// One look at what is due.
pub fn tick(settler: &mut Settler) -> Result<Tick, Error> {
    Ok(if settler.tick()? { Tick::Worked } else { Tick::Idle })
}
