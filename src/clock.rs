//! Wire time: the real clock, for TLS, certificate lists, retries, leases, sessions, codes and logs.
//!
//! It is never offset and never decides business: rates, quotes, lots, limits, windows and deadlines go by the
//! database's clock plus the alliance's offset, read once per unit of work and passed down. Nothing else in this
//! crate reads the clock, so that a test can pass any instant it likes.

use chrono::{DateTime, Utc};
use std::time::Instant;

/// The instant, for what is written down or compared with a date from outside.
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// A point on the monotonic clock, for deadlines and elapsed time inside this process.
pub fn instant() -> Instant {
    Instant::now()
}
