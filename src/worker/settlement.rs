//! Settlement by the calendar: windows end, statements are deemed accepted, obligations become overdue. Any number of servers
//! may run it; one at a time settles.

use super::Tick;
use crate::service::settlement::Error;
use crate::service::settlement::deadlines::Settler;

/// One look at what is due.
pub fn tick(settler: &mut Settler) -> Result<Tick, Error> {
    let worked = settler.tick();
    // Looked at even when the tick has failed: that is when somebody wants to know.
    let (blocked, lag) = settler.backlog()?;
    metrics::gauge!("hanse_settlement_windows_blocked").set(whole(blocked));
    metrics::gauge!("hanse_settlement_publish_lag_seconds").set(whole(lag));
    Ok(if worked? { Tick::Worked } else { Tick::Idle })
}

/// A count as a gauge takes it.
fn whole(count: i64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
