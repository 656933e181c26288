//! How partners' endpoints fare, as this server sees it: whoever fails again and again is left alone for a while, and may
//! not keep the others waiting.

use crate::domain::ids::Slug;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Failures in a row that open the breaker.
const FAILURES_MAX: u32 = 5;
/// The first rest; doubled with each further failure, up to `REST_MAX`.
const REST: Duration = Duration::from_millis(500);
const REST_MAX: Duration = Duration::from_secs(15);

/// One partner's breaker and places.
struct Partner {
    failures: u32,
    rests_until: Option<Instant>,
    places: Arc<Semaphore>,
    /// Of those that wait for one: as many again.
    queue: Arc<Semaphore>,
}

/// All partners'.
pub struct Health {
    partners: Mutex<HashMap<Slug, Partner>>,
    places: usize,
}

/// Whether a partner may be called now.
pub enum Turn {
    Go(OwnedSemaphorePermit),
    /// The breaker is open: not before this long.
    Rests(Duration),
    /// As many as may be are under way: it may queue for a place.
    Full(Queue),
    /// And as many again are waiting.
    Overfull,
}

/// Where one waits for a place.
pub struct Queue {
    places: Arc<Semaphore>,
    _queued: OwnedSemaphorePermit,
}

impl Queue {
    /// A place, if one is free in time.
    pub async fn place(self, patience: Duration) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(patience, self.places.acquire_owned()).await.ok()?.ok()
    }
}

impl Health {
    /// `places`: calls of one partner under way at once.
    pub fn new(places: usize) -> Health {
        Health { partners: Mutex::default(), places }
    }

    pub fn turn(&self, partner: &Slug, now: Instant) -> Turn {
        self.with(partner, |known| match known.rests_until {
            Some(until) if until > now => Turn::Rests(until - now),
            // One call tries whether it is back; the others wait for what becomes of it.
            Some(_) => {
                known.rests_until = Some(now + REST);
                enter(known)
            }
            None => enter(known),
        })
    }

    /// Whom it is no use to begin with now: who rests, and whose queue is full.
    pub fn busy(&self, now: Instant) -> Vec<String> {
        let partners = self.partners.lock().unwrap_or_else(PoisonError::into_inner);
        let is_busy = |known: &Partner| {
            known.rests_until.is_some_and(|until| until > now) || known.queue.available_permits() == 0
        };
        partners.iter().filter(|(_, known)| is_busy(known)).map(|(partner, _)| partner.to_string()).collect()
    }

    /// The partner has answered, whatever it said.
    pub fn answered(&self, partner: &Slug) {
        self.with(partner, |known| {
            if known.failures >= FAILURES_MAX {
                tracing::info!(partner.slug = partner.as_str(), "a partner's endpoint answers again");
            }
            (known.failures, known.rests_until) = (0, None);
        });
        metrics::gauge!("hanse_endpoint_breaker_open", "partner" => partner.to_string()).set(0);
    }

    /// It has not, or not as it should.
    pub fn failed(&self, partner: &Slug, now: Instant) {
        let failures = self.with(partner, |known| {
            known.failures = known.failures.saturating_add(1);
            if known.failures >= FAILURES_MAX {
                let doublings = (known.failures - FAILURES_MAX).min(8);
                known.rests_until = Some(now + (REST * 2_u32.pow(doublings)).min(REST_MAX));
            }
            known.failures
        });
        if failures == FAILURES_MAX {
            tracing::warn!(partner.slug = partner.as_str(), "a partner's endpoint does not answer: its breaker opens");
        }
        if failures >= FAILURES_MAX {
            metrics::gauge!("hanse_endpoint_breaker_open", "partner" => partner.to_string()).set(1);
        }
    }

    fn with<T>(&self, partner: &Slug, then: impl FnOnce(&mut Partner) -> T) -> T {
        let mut partners = self.partners.lock().unwrap_or_else(PoisonError::into_inner);
        let semaphore = || Arc::new(Semaphore::new(self.places));
        let new = || Partner { failures: 0, rests_until: None, places: semaphore(), queue: semaphore() };
        then(partners.entry(partner.clone()).or_insert_with(new))
    }
}

fn enter(known: &Partner) -> Turn {
    if let Ok(place) = known.places.clone().try_acquire_owned() {
        return Turn::Go(place);
    }
    match known.queue.clone().try_acquire_owned() {
        Ok(queued) => Turn::Full(Queue { places: known.places.clone(), _queued: queued }),
        Err(_) => Turn::Overfull,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_five_times_rests_and_one_call_tries_again() {
        let (health, partner) = (Health::new(2), "sprout".parse().expect("a slug"));
        let now = crate::clock::instant();
        for _ in 0..4 {
            health.failed(&partner, now);
        }
        assert!(matches!(health.turn(&partner, now), Turn::Go(_)));
        health.failed(&partner, now);
        assert!(matches!(health.turn(&partner, now), Turn::Rests(rest) if rest == REST));
        let later = now + REST;
        assert!(matches!(health.turn(&partner, later), Turn::Go(_)));
        assert!(matches!(health.turn(&partner, later), Turn::Rests(_)), "the others wait for the one");
        health.failed(&partner, later);
        assert!(matches!(health.turn(&partner, later), Turn::Rests(rest) if rest == REST * 2));
        health.answered(&partner);
        let (one, two) = (health.turn(&partner, later), health.turn(&partner, later));
        assert!(matches!((&one, &two), (Turn::Go(_), Turn::Go(_))));
        let queues: Vec<Turn> = (0..3).map(|_| health.turn(&partner, later)).collect();
        assert!(matches!(&queues[..], [Turn::Full(_), Turn::Full(_), Turn::Overfull]), "no more than its places");
        drop(queues);
        assert!(matches!(health.turn(&partner, later), Turn::Full(_)), "who waited has gone");
    }

    #[tokio::test]
    async fn a_place_is_given_in_turn_or_not_in_time() {
        let (health, partner) = (Health::new(1), "sprout".parse().expect("a slug"));
        let now = crate::clock::instant();
        let Turn::Go(first) = health.turn(&partner, now) else { panic!("it is free") };
        let Turn::Full(queue) = health.turn(&partner, now) else { panic!("it is taken") };
        assert!(queue.place(Duration::from_millis(1)).await.is_none(), "nobody has gone");
        let Turn::Full(queue) = health.turn(&partner, now) else { panic!("it is taken") };
        drop(first);
        assert!(queue.place(Duration::from_secs(60)).await.is_some());
    }
}
