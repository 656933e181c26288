//! Points: whole, never negative, in the programme's smallest unit.
//!
//! The largest amount is 2^53 − 1, so that a JSON reader built on doubles sees every amount exactly.

use std::fmt;

/// Points of one programme, `0 ..= 2^53 − 1`, in the programme's smallest unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Points(i64);

impl Points {
    pub const ZERO: Points = Points(0);
    pub const MAX: Points = Points((1 << 53) - 1);

    /// `None` when `value` is negative or above 2^53 − 1.
    pub const fn new(value: i64) -> Option<Points> {
        if value < 0 || value > Self::MAX.0 { None } else { Some(Points(value)) }
    }

    pub const fn get(self) -> i64 {
        self.0
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum; `None` above 2^53 − 1.
    pub const fn plus(self, other: Points) -> Option<Points> {
        // Cannot overflow i64: both sides are below 2^53.
        Points::new(self.0 + other.0)
    }

    /// The difference; `None` when `other` is larger.
    pub const fn minus(self, other: Points) -> Option<Points> {
        Points::new(self.0 - other.0)
    }

    /// The difference, or zero when `other` is larger.
    pub const fn less(self, other: Points) -> Points {
        if other.0 >= self.0 { Points::ZERO } else { Points(self.0 - other.0) }
    }

    pub fn min(self, other: Points) -> Points {
        Ord::min(self, other)
    }

    /// `floor(self × num / den)`; `None` when the result is above 2^53 − 1. `den` must not be zero.
    pub fn floor_of(self, num: i64, den: i64) -> Option<Points> {
        let product = i128::from(self.0) * i128::from(num);
        i64::try_from(product.div_euclid(i128::from(den))).ok().and_then(Points::new)
    }

    /// `ceil(self × num / den)`; `None` when the result is above 2^53 − 1. `den` must be positive.
    pub fn ceil_of(self, num: i64, den: i64) -> Option<Points> {
        let product = i128::from(self.0) * i128::from(num);
        let den = i128::from(den);
        i64::try_from((product + den - 1).div_euclid(den)).ok().and_then(Points::new)
    }

    /// Adds amounts one by one; `None` above 2^53 − 1.
    pub fn sum(parts: impl IntoIterator<Item = Points>) -> Option<Points> {
        parts.into_iter().try_fold(Points::ZERO, Points::plus)
    }
}

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(value: i64) -> Points {
        Points::new(value).expect("within range")
    }

    #[test]
    fn amounts_stay_between_zero_and_two_to_the_53rd() {
        assert_eq!(Points::new(-1), None);
        assert_eq!(Points::new(1 << 53), None);
        assert_eq!(Points::MAX.plus(points(1)), None);
        assert_eq!(points(3).minus(points(4)), None);
        assert_eq!(points(3).less(points(4)), Points::ZERO);
    }

    #[test]
    fn floor_and_ceil_differ_only_when_inexact() {
        assert_eq!(points(137).floor_of(1, 2), Some(points(68)));
        assert_eq!(points(137).ceil_of(1, 2), Some(points(69)));
        assert_eq!(points(136).floor_of(1, 2), points(136).ceil_of(1, 2));
        assert_eq!(Points::MAX.floor_of(i64::MAX, 1), None);
    }
}
