//! Rates: exact fractions, directional, dated and versioned. Only exact multiples move.

use super::points::Points;
use chrono::{DateTime, Utc};

/// `num` points of the target for `den` points of the origin, in lowest terms, both positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ratio {
    num: i64,
    den: i64,
}

impl Ratio {
    /// `None` unless both are between 1 and 10^9; the fraction is reduced.
    pub fn new(num: i64, den: i64) -> Option<Ratio> {
        let bound = 1..=1_000_000_000;
        if !bound.contains(&num) || !bound.contains(&den) {
            return None;
        }
        let common = gcd(num, den);
        Some(Ratio { num: num / common, den: den / common })
    }

    pub fn num(self) -> i64 {
        self.num
    }

    pub fn den(self) -> i64 {
        self.den
    }

    /// What `debit` points of the origin give, floored. Exact when `debit` is a multiple of the step.
    pub fn credit(self, debit: Points) -> Option<Points> {
        debit.floor_of(self.num, self.den)
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The origin tier a rate is for. The exact tier wins over `Any`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TierScope {
    Any,
    /// The code of one tier of the origin's ladder.
    Only(String),
}

/// A published rate version: who gives what, in which steps, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    pub version: i64,
    pub tier: TierScope,
    pub ratio: Ratio,
    /// The smallest debit, in points of the origin.
    pub minimum: Points,
    /// Debits are multiples of this; a multiple of `ratio.den`, so that every conversion is exact.
    pub step: Points,
    /// The largest debit of one conversion.
    pub maximum: Option<Points>,
    pub valid_from: DateTime<Utc>,
    /// Exclusive end; `None` is open.
    pub valid_to: Option<DateTime<Utc>>,
    /// Set once, when a later version takes over from this instant.
    pub superseded_from: Option<DateTime<Utc>>,
    /// Whether partners that are no side of it may see it.
    pub public: bool,
}

impl Rate {
    /// Whether the step makes every conversion at this rate exact.
    pub fn is_exact(step: Points, ratio: Ratio) -> bool {
        step.get() > 0 && step.get() % ratio.den == 0
    }

    /// The end of validity: the earlier of its own and its successor's start.
    pub fn ends_at(&self) -> Option<DateTime<Utc>> {
        match (self.valid_to, self.superseded_from) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (end, None) | (None, end) => end,
        }
    }

    /// Whether this version is in force at `at`.
    pub fn is_live(&self, at: DateTime<Utc>) -> bool {
        self.valid_from <= at && self.ends_at().is_none_or(|end| at < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_reduced_and_positive() {
        let ratio = Ratio::new(50, 100).expect("positive");
        assert_eq!((ratio.num(), ratio.den()), (1, 2));
        assert_eq!(Ratio::new(0, 1), None);
        assert_eq!(Ratio::new(1, -1), None);
    }

    #[test]
    fn only_a_multiple_of_the_denominator_is_an_exact_step() {
        let two_to_one = Ratio::new(1, 2).expect("positive");
        let points = |n| Points::new(n).expect("in range");
        assert!(Rate::is_exact(points(2), two_to_one));
        assert!(!Rate::is_exact(points(3), two_to_one));
        assert!(!Rate::is_exact(Points::ZERO, two_to_one));
    }
}
