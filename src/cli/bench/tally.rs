//! What the clients of one run have seen: effects, latencies, refusals, and what came out wrong.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// Wrong answers told in full; the rest are counted.
const WRONG_SHOWN: usize = 5;

pub struct Tally {
    /// Microseconds from the first try to the answer.
    latency: Histogram<u64>,
    /// The same of what met the closing of a window.
    closing: Histogram<u64>,
    /// Effects answered before the run's time was over.
    pub effects: u64,
    /// Effects answered after it, by clients that were waiting.
    pub late_effects: u64,
    /// Set when the time is over.
    pub closed: bool,
    /// Answers that said no, by code; final.
    pub refused: BTreeMap<String, u64>,
    /// Tries that brought no answer, by code or `connection`; asked again.
    pub put_off: BTreeMap<String, u64>,
    /// Effects that were answered when asked again: the first answer had been lost.
    pub recovered: u64,
    pub wrong: u64,
    pub wrong_shown: Vec<String>,
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Latency {
    pub p50_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
}

impl Default for Tally {
    fn default() -> Tally {
        // A microsecond to ten minutes, to three digits.
        let latency = Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds and digits are in range");
        Tally {
            closing: latency.clone(),
            latency,
            effects: 0,
            late_effects: 0,
            closed: false,
            refused: BTreeMap::new(),
            put_off: BTreeMap::new(),
            recovered: 0,
            wrong: 0,
            wrong_shown: Vec::new(),
        }
    }
}

impl Tally {
    pub fn effects(&mut self, count: u64) {
        if self.closed { self.late_effects += count } else { self.effects += count }
    }

    /// One request, or batch of them, has been answered to its end.
    pub fn answered(&mut self, after: Duration, closing: bool) {
        let latency = if closing { &mut self.closing } else { &mut self.latency };
        // Longer than the bounds is kept as their end.
        latency.saturating_record(u64::try_from(after.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    pub fn put_off(&mut self, code: &str) {
        count(&mut self.put_off, code);
    }

    pub fn refused(&mut self, code: &str) {
        count(&mut self.refused, code);
    }

    pub fn wrong(&mut self, what: String) {
        self.wrong += 1;
        if self.wrong_shown.len() < WRONG_SHOWN {
            self.wrong_shown.push(what);
        }
    }

    pub fn latency(&self) -> Latency {
        latency(&self.latency)
    }

    pub fn latency_closing(&self) -> Latency {
        latency(&self.closing)
    }
}

fn latency(of: &Histogram<u64>) -> Latency {
    let at = |quantile| if of.is_empty() { 0 } else { of.value_at_quantile(quantile) };
    Latency { p50_us: at(0.5), p99_us: at(0.99), p999_us: at(0.999), max_us: of.max() }
}

/// Codes are the server's catalogue: a few dozen.
fn count(counts: &mut BTreeMap<String, u64>, code: &str) {
    match counts.get_mut(code) {
        Some(count) => *count += 1,
        None => drop(counts.insert(code.to_owned(), 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_answers_to_three_digits() {
        let mut tally = Tally::default();
        assert_eq!(tally.latency(), Latency::default());
        (1..=1000).for_each(|ms| tally.answered(Duration::from_millis(ms), false));
        let Latency { p50_us, p99_us, p999_us, max_us } = tally.latency();
        for (seen, wanted) in [(p50_us, 500_000), (p99_us, 990_000), (p999_us, 999_000), (max_us, 1_000_000)] {
            assert!(seen.abs_diff(wanted) * 1000 <= wanted, "{seen} for {wanted}");
        }
        tally.answered(Duration::from_secs(86_400), false);
        assert!(tally.latency().max_us >= 600_000_000);
    }

    #[test]
    fn what_comes_after_the_time_is_no_throughput() {
        let mut tally = Tally::default();
        tally.effects(2);
        tally.closed = true;
        tally.effects(3);
        assert_eq!((tally.effects, tally.late_effects), (2, 3));
    }

    #[test]
    fn codes_are_counted_and_few_wrong_answers_are_told() {
        let mut tally = Tally::default();
        ["busy", "connection", "busy"].iter().for_each(|code| tally.put_off(code));
        tally.refused("no_rate");
        (0..9).for_each(|n| tally.wrong(n.to_string()));
        assert_eq!(tally.put_off, BTreeMap::from([("busy".to_owned(), 2), ("connection".to_owned(), 1)]));
        assert_eq!(tally.refused["no_rate"], 1);
        assert_eq!((tally.wrong, tally.wrong_shown.len()), (9, WRONG_SHOWN));
    }
}
