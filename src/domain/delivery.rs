//! Pushing events to an endpoint: how often one is tried, and how an endpoint fares.

use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// Seconds from one try of an event to the next; some 70 hours in all.
const WAITS_S: [i64; 12] = [5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 64_800, 86_400];
/// After so many failures one after the other the breaker opens.
pub const BREAKER_AFTER: i32 = 5;
/// While it is open, one attempt in this time.
pub const PROBE_EVERY: TimeDelta = TimeDelta::seconds(60);
/// An endpoint that has failed so long is left alone until its owner says otherwise.
pub const SUSPEND_AFTER: TimeDelta = TimeDelta::days(5);

/// An endpoint that takes longer has too much at once.
pub const SLOW: Duration = Duration::from_secs(2);

/// A share of a thousand, drawn for each wait, so that what failed together is not tried together.
#[derive(Clone, Copy, Debug)]
pub struct Chance(u16);

impl Chance {
    pub fn new(random: u16) -> Chance {
        Chance(random % 1_001)
    }

    /// `wait` with up to a fifth more or less.
    pub fn spread(self, wait: TimeDelta) -> TimeDelta {
        let thousandths = 800 + i64::from(self.0) * 400 / 1_000;
        TimeDelta::milliseconds(wait.num_milliseconds() * thousandths / 1_000)
    }
}

/// How long an event waits after its `tries`th failed try; `None`: it is dead.
pub fn wait(tries: i32, chance: Chance) -> Option<TimeDelta> {
    let last = usize::try_from(tries).ok()?.checked_sub(1)?;
    WAITS_S.get(last).map(|seconds| chance.spread(TimeDelta::seconds(*seconds)))
}

/// What became of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    Failed,
    /// 410: whoever answers there wants no more of it.
    Gone,
}

impl Outcome {
    /// Of an answer's status.
    pub fn of(status: u16) -> Outcome {
        match status {
            200..300 => Outcome::Delivered,
            410 => Outcome::Gone,
            _ => Outcome::Failed,
        }
    }
}

/// Why an endpoint is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Asked,
    Gone,
    Failing,
}

impl Why {
    pub fn text(self) -> &'static str {
        match self {
            Why::Asked => "asked",
            Why::Gone => "gone",
            Why::Failing => "failing",
        }
    }
}

/// How an endpoint fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// One after the other.
    pub failures: i32,
    pub failing_since: Option<DateTime<Utc>>,
    /// Since when the breaker is open.
    pub opened_at: Option<DateTime<Utc>>,
    pub suspended: Option<Why>,
}

impl Health {
    pub fn is_open(self) -> bool {
        self.opened_at.is_some()
    }

    /// After one more attempt. What comes in after an endpoint was suspended changes nothing.
    pub fn on(self, outcome: Outcome, now: DateTime<Utc>) -> Health {
        let failing_since = self.failing_since.or(Some(now));
        match (self.suspended, outcome) {
            (Some(_), Outcome::Delivered | Outcome::Failed | Outcome::Gone) => self,
            (None, Outcome::Delivered) => Health::default(),
            (None, Outcome::Gone) => Health { suspended: Some(Why::Gone), failing_since, ..self },
            (None, Outcome::Failed) => {
                let failures = self.failures.saturating_add(1);
                let opens = failures >= BREAKER_AFTER;
                let long = failing_since.is_some_and(|since| now - since >= SUSPEND_AFTER);
                Health {
                    failures,
                    failing_since,
                    opened_at: self.opened_at.or(opens.then_some(now)),
                    suspended: long.then_some(Why::Failing),
                }
            }
        }
    }
}

/// How many are sent at once after one more attempt: one more when it was taken soon, else half of them.
pub fn at_once(now: usize, outcome: Outcome, took: Duration) -> usize {
    match outcome {
        Outcome::Delivered if took <= SLOW => now.saturating_add(1),
        Outcome::Delivered | Outcome::Failed | Outcome::Gone => (now / 2).max(1),
    }
}

/// How many events may have been sent so long after an endpoint came back: 20 in the first second, twice as many in each
/// second after it. `None`: as many as it takes.
pub fn paced(since: TimeDelta) -> Option<u64> {
    let ms = u64::try_from(since.num_milliseconds()).unwrap_or(0);
    let (seconds, rest) = (ms / 1_000, ms % 1_000);
    if seconds >= 10 {
        return None;
    }
    let this = 20_u64 << seconds;
    Some(this - 20 + this * rest / 1_000 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("an instant")
    }

    #[test]
    fn thirteen_tries_over_some_seventy_hours_each_wait_a_fifth_more_or_less() {
        let total: i64 = WAITS_S.iter().sum();
        assert!((69..72).contains(&(total / 3_600)), "{total}");
        for (tries, seconds) in (1..).zip(WAITS_S) {
            let within = |random| wait(tries, Chance::new(random)).expect("a wait").num_milliseconds();
            assert_eq!((within(0), within(500), within(1_000)), (seconds * 800, seconds * 1_000, seconds * 1_200));
            assert!((seconds * 800..=seconds * 1_200).contains(&within(u16::MAX)));
        }
        assert_eq!((wait(13, Chance::new(0)), wait(0, Chance::new(0)), wait(-1, Chance::new(0))), (None, None, None));
    }

    #[test]
    fn a_status_says_what_became_of_it() {
        for (status, outcome) in [
            (200, Outcome::Delivered),
            (204, Outcome::Delivered),
            (299, Outcome::Delivered),
            (199, Outcome::Failed),
            (301, Outcome::Failed),
            (307, Outcome::Failed),
            (401, Outcome::Failed),
            (410, Outcome::Gone),
            (429, Outcome::Failed),
            (500, Outcome::Failed),
        ] {
            assert_eq!(Outcome::of(status), outcome, "{status}");
        }
    }

    #[test]
    fn five_failures_open_the_breaker_one_success_closes_it_and_five_days_end_it() {
        let mut health = Health::default();
        for nth in 1..=7 {
            health = health.on(Outcome::Failed, at(nth));
            assert_eq!((health.failures, health.is_open()), (i32::try_from(nth).expect("small"), nth >= 5));
        }
        assert_eq!((health.failing_since, health.opened_at), (Some(at(1)), Some(at(5))));
        assert_eq!(health.on(Outcome::Delivered, at(9)), Health::default());
        let days = |n: i64| at(1 + n * 86_400);
        assert_eq!(health.on(Outcome::Failed, days(5) - TimeDelta::seconds(1)).suspended, None);
        let ended = health.on(Outcome::Failed, days(5));
        assert_eq!(ended.suspended, Some(Why::Failing));
        assert_eq!(ended.on(Outcome::Delivered, days(5)), ended, "until its owner says otherwise");
        assert_eq!(Health::default().on(Outcome::Gone, at(0)).suspended, Some(Why::Gone));
    }

    #[test]
    fn who_answers_slowly_is_sent_as_little_at_once_as_who_refuses() {
        let after = |outcome, took| at_once(32, outcome, took);
        assert_eq!(after(Outcome::Delivered, SLOW), 33);
        assert_eq!(after(Outcome::Delivered, SLOW + Duration::from_millis(1)), 16);
        assert_eq!((after(Outcome::Failed, Duration::ZERO), after(Outcome::Gone, Duration::ZERO)), (16, 16));
        let few = (0..9).fold(32, |now, _| at_once(now, Outcome::Delivered, Duration::from_secs(14)));
        assert_eq!(few, 1);
    }

    #[test]
    fn what_has_piled_up_comes_slowly_first() {
        let after = |ms| paced(TimeDelta::milliseconds(ms));
        assert_eq!((after(0), after(500), after(1_000), after(2_000)), (Some(1), Some(11), Some(21), Some(61)));
        assert_eq!((after(-5), after(9_999).is_some(), after(10_000)), (Some(1), true, None));
    }
}
