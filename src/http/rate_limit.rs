//! How many requests a caller may make a second: each its own count, so that one cannot starve the others.

use super::problem::{Code, Problem};
use crate::domain::holder::Holder;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;

pub struct RateLimit {
    limiter: DefaultKeyedRateLimiter<Holder>,
    clock: DefaultClock,
}

impl RateLimit {
    /// A second's worth may come at once.
    pub fn new(per_second: NonZeroU32) -> RateLimit {
        // Keys are holders of registered certificates: as many as the alliance has callers.
        RateLimit { limiter: RateLimiter::keyed(Quota::per_second(per_second)), clock: DefaultClock::default() }
    }

    pub fn check(&self, holder: &Holder) -> Result<(), Problem> {
        self.limiter.check_key(holder).map_err(|early| {
            metrics::counter!("http_rate_limited_total").increment(1);
            let wait = early.wait_time_from(self.clock.now());
            Problem::new(Code::RateLimited).retry_after(wait.as_secs() + 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_callers_burst_leaves_the_others_alone() {
        let limit = RateLimit::new(NonZeroU32::new(2).expect("not zero"));
        let [one, other] = ["one", "other"].map(|name| Holder::of("partner", name).expect("a slug"));
        assert!(limit.check(&one).is_ok() && limit.check(&one).is_ok());
        assert_eq!(limit.check(&one).expect_err("over the quota").code(), Code::RateLimited);
        assert!(limit.check(&other).is_ok());
    }
}
