//! How many requests a caller may make a second: each its own count, so that one cannot starve the others.

use super::problem::{Code, Problem};
use crate::domain::holder::Holder;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// Pages a session may ask for, and all together of an address that have none: so many a second, and so many at once.
const OF_SESSION: (NonZeroU32, NonZeroU32) =
    const { (NonZeroU32::new(10).expect("not zero"), NonZeroU32::new(100).expect("not zero")) };
const OF_STRANGERS: (NonZeroU32, NonZeroU32) =
    const { (NonZeroU32::new(20).expect("not zero"), NonZeroU32::new(200).expect("not zero")) };
/// Sessions remembered; then they are asked for anew.
const SESSIONS_MAX: usize = 10_000;

/// Who asks for pages: a session that was found good has a count of its own, and whatever else is sent as one counts as its
/// address, so that making up sessions gains nothing.
pub struct Pages {
    sessions: DefaultKeyedRateLimiter<u64>,
    strangers: DefaultKeyedRateLimiter<u64>,
    known: Mutex<HashSet<u64>>,
    hashing: RandomState,
    clock: DefaultClock,
}

impl Default for Pages {
    fn default() -> Pages {
        let quota = |(per_second, at_once)| RateLimiter::keyed(Quota::per_second(per_second).allow_burst(at_once));
        Pages {
            sessions: quota(OF_SESSION),
            strangers: quota(OF_STRANGERS),
            known: Mutex::default(),
            hashing: RandomState::new(),
            clock: DefaultClock::default(),
        }
    }
}

impl Pages {
    /// What a session's token is remembered as.
    pub fn key(&self, token: &str) -> u64 {
        self.hashing.hash_one(token)
    }

    pub fn check(&self, session: Option<u64>, from: IpAddr) -> Result<(), Problem> {
        let session = session.filter(|key| self.known().contains(key));
        let (limiter, key) = match session {
            Some(key) => (&self.sessions, key),
            None => (&self.strangers, place(from)),
        };
        if limiter.len() > ADDRESSES_MAX {
            limiter.retain_recent();
        }
        limiter.check_key(&key).map_err(|early| {
            metrics::counter!("http_rate_limited_total").increment(1);
            let wait = early.wait_time_from(self.clock.now());
            Problem::new(Code::RateLimited).retry_after(wait.as_secs() + 1)
        })
    }

    /// A session was found good.
    pub fn found(&self, session: u64) {
        let mut known = self.known();
        if known.len() >= SESSIONS_MAX {
            known.clear();
        }
        known.insert(session);
    }

    fn known(&self) -> MutexGuard<'_, HashSet<u64>> {
        // A panic while holding it leaves a whole set in place.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
    fn a_good_session_has_its_own_count_and_made_up_ones_their_address() {
        let pages = Pages::default();
        let from: IpAddr = "192.0.2.1".parse().expect("an address");
        let good = pages.key("good");
        pages.found(good);
        for nth in 0..200 {
            assert!(pages.check(Some(pages.key(&format!("made up {nth}"))), from).is_ok());
        }
        // A few come back in the time this takes.
        let tried = (0..50).filter(|nth| pages.check(Some(pages.key(&format!("another {nth}"))), from).is_err());
        assert!(tried.count() > 25);
        assert!(pages.check(Some(good), from).is_ok());
        let tried = (0..150).filter(|_| pages.check(Some(good), from).is_err());
        assert!(tried.count() > 25, "and has an end as well");
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
