//! The last day on which points can be spent: always a month end in the alliance's zone, or never.

use chrono::{Datelike, Days, Months, NaiveDate};

/// When a lot ends. `Never` sorts after every day, so the earliest expiry is spent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expiry {
    /// The last day the points can be spent, a month end.
    On(NaiveDate),
    Never,
}

impl Expiry {
    /// Whether points of this expiry can still be spent on `day`.
    pub fn covers(self, day: NaiveDate) -> bool {
        match self {
            Expiry::On(last) => day <= last,
            Expiry::Never => true,
        }
    }

    /// The month end `months` after the month of `day`. Month arithmetic lives here and nowhere else.
    pub fn months_after(day: NaiveDate, months: u32) -> Expiry {
        Expiry::On(month_end(first_of_month(day) + Months::new(months)))
    }

    /// The first month end at least `days` days after `day`.
    pub fn month_end_at_least(day: NaiveDate, days: u32) -> Expiry {
        Expiry::On(month_end(day + Days::new(u64::from(days))))
    }
}

fn first_of_month(day: NaiveDate) -> NaiveDate {
    day - Days::new(u64::from(day.day0()))
}

/// The last day of the month of `day`.
pub fn month_end(day: NaiveDate) -> NaiveDate {
    first_of_month(day) + Months::new(1) - Days::new(1)
}

pub fn is_month_end(day: NaiveDate) -> bool {
    day == month_end(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    #[test]
    fn month_ends_know_leap_years() {
        assert_eq!(Expiry::months_after(day("2027-03-31"), 11), Expiry::On(day("2028-02-29")));
        assert_eq!(Expiry::months_after(day("2026-01-31"), 1), Expiry::On(day("2026-02-28")));
        assert_eq!(Expiry::month_end_at_least(day("2026-01-31"), 30), Expiry::On(day("2026-03-31")));
        assert_eq!(Expiry::month_end_at_least(day("2026-04-30"), 0), Expiry::On(day("2026-04-30")));
        assert!(!is_month_end(day("2028-02-28")));
    }

    #[test]
    fn never_sorts_last_and_covers_every_day() {
        assert!(Expiry::On(NaiveDate::MAX) < Expiry::Never);
        assert!(Expiry::Never.covers(NaiveDate::MAX));
        assert!(Expiry::On(day("2026-01-31")).covers(day("2026-01-31")));
        assert!(!Expiry::On(day("2026-01-31")).covers(day("2026-02-01")));
    }
}
