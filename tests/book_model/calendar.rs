//! The model's own calendar: day by day, as one would count on a wall calendar.

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};
use hanse::domain::expiry::Expiry;

/// The last day of a lot; `NEVER` sorts after all others.
pub type End = NaiveDate;
pub const NEVER: End = NaiveDate::MAX;

/// The alliance's zone is eight hours ahead and has no clock changes.
pub fn day_of(at: DateTime<Utc>) -> NaiveDate {
    (at + TimeDelta::hours(8)).naive_utc().date()
}

/// The instant at which a day begins.
pub fn first_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(chrono::NaiveTime::MIN).and_utc() - TimeDelta::hours(8)
}

/// The last day of a month.
pub fn last_of(year: i32, month: u32) -> NaiveDate {
    (28..=31).rev().find_map(|day| NaiveDate::from_ymd_opt(year, month, day)).expect("every month has 28 days")
}

pub fn month_end_after(day: NaiveDate, months: u32) -> End {
    let (mut year, mut month) = (day.year(), day.month());
    for _ in 0..months {
        (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    }
    last_of(year, month)
}

/// The first month end that is `days` days away or later.
pub fn month_end_days_away(day: NaiveDate, days: u32) -> End {
    let least = day + Days::new(u64::from(days));
    last_of(least.year(), least.month())
}

pub fn same_month(a: NaiveDate, b: NaiveDate) -> bool {
    (a.year(), a.month()) == (b.year(), b.month())
}

pub fn end_of(expiry: Expiry) -> End {
    match expiry {
        Expiry::On(day) => day,
        Expiry::Never => NEVER,
    }
}

pub fn expiry_of(end: End) -> Expiry {
    if end == NEVER { Expiry::Never } else { Expiry::On(end) }
}
