//! Numbers the events of committed batches. Any number of servers may run it; one at a time seals.

use super::Tick;
use crate::service::feed::{self, Feed};

/// One bounded run of the sealer.
pub fn tick(feed: &mut Feed) -> Result<Tick, feed::Error> {
    let sealed = feed.seal()?;
    metrics::counter!("hanse_feed_batches_sealed_total").increment(u64::try_from(sealed).unwrap_or(0));
    Ok(if sealed > 0 { Tick::Worked } else { Tick::Idle })
}
