//! How many requests a caller may make a second: each its own count, so that one cannot starve the others.

use super::problem::{Code, Problem};
use crate::domain::holder::Holder;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::net::IpAddr;
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

/// Attempts an address may make a minute; a minute's worth may come at once.
const ATTEMPTS: NonZeroU32 = const { NonZeroU32::new(30).expect("not zero") };
/// Addresses remembered before those are forgotten that have all their attempts again.
const ADDRESSES_MAX: usize = 10_000;

/// Who tries something that only a secret opens, by address: of IPv6 the network that one subscriber has.
pub struct Attempts {
    limiter: DefaultKeyedRateLimiter<u64>,
    clock: DefaultClock,
}

impl Default for Attempts {
    fn default() -> Attempts {
        Attempts { limiter: RateLimiter::keyed(Quota::per_minute(ATTEMPTS)), clock: DefaultClock::default() }
    }
}

impl Attempts {
    pub fn check(&self, from: IpAddr) -> Result<(), Problem> {
        if self.limiter.len() > ADDRESSES_MAX {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&place(from)).map_err(|early| {
            metrics::counter!("http_rate_limited_total").increment(1);
            let wait = early.wait_time_from(self.clock.now());
            Problem::new(Code::RateLimited).retry_after(wait.as_secs() + 1)
        })
    }
}

/// Who tries to sign in, or to set up a login: apart from certificates, so that neither keeps the other out.
#[derive(Default)]
pub struct Doors(pub Attempts);

fn place(address: IpAddr) -> u64 {
    match address.to_canonical() {
        // No IPv6 network of anybody's begins with zeros.
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => u64::try_from(v6.to_bits() >> 64).unwrap_or_default(),
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

    #[test]
    fn an_address_has_its_attempts_and_a_network_has_them_together() {
        let attempts = Attempts::default();
        let from = |text: &str| attempts.check(text.parse().expect("an address"));
        for _ in 0..30 {
            assert!(from("192.0.2.1").is_ok());
        }
        assert_eq!(from("192.0.2.1").expect_err("over the quota").code(), Code::RateLimited);
        assert!(from("::ffff:192.0.2.1").is_err(), "the same address in other words");
        assert!(from("192.0.2.2").is_ok());
        for nth in 0..30 {
            assert!(from(&format!("2001:db8:1:1::{nth:x}")).is_ok());
        }
        assert!(from("2001:db8:1:1:ffff::1").is_err());
        assert!(from("2001:db8:1:2::1").is_ok());
    }
}
