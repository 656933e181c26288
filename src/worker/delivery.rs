//! Pushes the feed to webhooks. Any number of servers may run it; each endpoint is served by one of them at a time.

use super::Tick;
use crate::service::delivery::{Post, PostError};

/// One look for endpoints that nobody serves; it waits a little for something to come by itself.
pub fn tick(post: &mut Post) -> Result<Tick, PostError> {
    // It has waited already when there was nothing.
    post.round().map(|_| Tick::Worked)
}
