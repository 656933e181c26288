//! Usage: what a membership has converted out and in, by calendar day and month of the alliance's zone.

use super::catalogue::MemberLimits;
use super::points::Points;
use chrono::{Datelike, NaiveDate};

/// Which way points went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Out,
    In,
}

/// Counters of one business day and its month. The day never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub day: NaiveDate,
    pub out_day: Points,
    pub in_day: Points,
    pub out_month: Points,
    pub in_month: Points,
}

impl Usage {
    pub fn new(day: NaiveDate) -> Usage {
        let zero = Points::ZERO;
        Usage { day, out_day: zero, in_day: zero, out_month: zero, in_month: zero }
    }

    /// The counters as they stand on `day`: a new day or month starts at zero.
    pub fn on(self, day: NaiveDate) -> Usage {
        if day <= self.day {
            return self;
        }
        let same_month = (day.year(), day.month()) == (self.day.year(), self.day.month());
        let (out_month, in_month) =
            if same_month { (self.out_month, self.in_month) } else { (Points::ZERO, Points::ZERO) };
        Usage { out_month, in_month, ..Usage::new(day) }
    }

    /// Points that may still go `way`; `None` is no limit.
    pub fn left(&self, limits: &MemberLimits, way: Way) -> Option<Points> {
        let (by_day, by_month) = match way {
            Way::Out => {
                (limits.out_day.map(|cap| cap.less(self.out_day)), limits.out_month.map(|cap| cap.less(self.out_month)))
            }
            Way::In => {
                (limits.in_day.map(|cap| cap.less(self.in_day)), limits.in_month.map(|cap| cap.less(self.in_month)))
            }
        };
        match (by_day, by_month) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (left, None) | (None, left) => left,
        }
    }

    /// Counts points that went `way` today.
    pub fn count(&mut self, way: Way, points: Points) {
        let (by_day, by_month) = self.counters(way);
        // A counter at its largest stays there: it can only refuse more, never less.
        *by_day = by_day.plus(points).unwrap_or(Points::MAX);
        *by_month = by_month.plus(points).unwrap_or(Points::MAX);
    }

    /// Gives usage of `day` back: only while that day (that month) is the current one.
    pub fn restore(&mut self, way: Way, points: Points, day: NaiveDate) {
        let (today, same_month) = (self.day == day, (day.year(), day.month()) == (self.day.year(), self.day.month()));
        let (by_day, by_month) = self.counters(way);
        if today {
            *by_day = by_day.less(points);
        }
        if same_month {
            *by_month = by_month.less(points);
        }
    }

    fn counters(&mut self, way: Way) -> (&mut Points, &mut Points) {
        match way {
            Way::Out => (&mut self.out_day, &mut self.out_month),
            Way::In => (&mut self.in_day, &mut self.in_month),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(value: i64) -> Points {
        Points::new(value).expect("in range")
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    #[test]
    fn a_new_day_and_a_new_month_start_at_zero() {
        let mut usage = Usage::new(day("2026-01-30"));
        usage.count(Way::Out, points(136));
        assert_eq!(usage.on(day("2026-01-31")).out_day, Points::ZERO);
        assert_eq!(usage.on(day("2026-01-31")).out_month, points(136));
        assert_eq!(usage.on(day("2026-02-01")).out_month, Points::ZERO);
        assert_eq!(usage.on(day("2026-01-29")), usage, "the day never goes back");
    }

    #[test]
    fn what_is_left_is_the_tighter_of_day_and_month() {
        let limits =
            MemberLimits { out_day: Some(points(200)), out_month: Some(points(150)), ..MemberLimits::default() };
        let mut usage = Usage::new(day("2026-01-30"));
        usage.count(Way::Out, points(136));
        assert_eq!(usage.left(&limits, Way::Out), Some(points(14)));
        assert_eq!(usage.left(&limits, Way::In), None);
    }

    #[test]
    fn undo_restores_usage_only_of_the_current_day_and_month() {
        let spent = day("2026-01-30");
        let mut usage = Usage::new(spent);
        usage.count(Way::Out, points(100));
        let mut next_day = usage.on(day("2026-01-31"));
        next_day.restore(Way::Out, points(100), spent);
        assert_eq!((next_day.out_day, next_day.out_month), (Points::ZERO, Points::ZERO));
        let mut next_month = usage.on(day("2026-02-01"));
        next_month.count(Way::Out, points(5));
        next_month.restore(Way::Out, points(100), spent);
        assert_eq!((next_month.out_day, next_month.out_month), (points(5), points(5)));
    }
}
