//! The calendar of settlement: when a window ends, and the days that follow from its last one.
//!
//! All days are the alliance's own. A window belongs to the period (day, week, month) in which it was opened and ends
//! with it, or earlier when somebody closes it by hand.

use crate::domain::expiry::month_end;
use crate::domain::settings::{Cycle, Settlement};
use chrono::{Datelike, Days, NaiveDate};

/// What follows from a window's last day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dates {
    pub last_day: NaiveDate,
    /// By when its statements are published.
    pub statement_by: NaiveDate,
    /// The last day on which a line may be disputed; after it, a statement that nobody answered is deemed accepted.
    pub disputes_until: NaiveDate,
    /// The last day on which its obligations are paid in time.
    pub due_on: NaiveDate,
}

impl Dates {
    /// The days of a window that is signed on `today` only: past `statement_by`, all that follow move by as many days as
    /// that one did, so that nobody has less time than after a statement in time. No day is ever earlier.
    pub fn signed_on(self, today: NaiveDate) -> Dates {
        let late = u32::try_from((today - self.statement_by).num_days()).unwrap_or(0);
        Dates {
            last_day: self.last_day,
            statement_by: after(self.statement_by, late),
            disputes_until: after(self.disputes_until, late),
            due_on: after(self.due_on, late),
        }
    }
}

/// The last day of the period that `day` lies in. A week ends on Sunday (ISO 8601).
pub fn period_end(cycle: Cycle, day: NaiveDate) -> NaiveDate {
    match cycle {
        Cycle::Daily => day,
        Cycle::Weekly => after(day, 6 - day.weekday().num_days_from_monday()),
        Cycle::Monthly => month_end(day),
    }
}

/// Whether a window opened on `opened` is to close on `today` by itself: its period is over, by the cut-off.
pub fn is_due(settlement: &Settlement, opened: NaiveDate, today: NaiveDate) -> bool {
    let end = period_end(settlement.cycle, opened);
    // The last day is the window's to its end, even without a day between.
    today >= after(end, settlement.cut_off_days.max(1))
}

/// The days of a window opened on `opened` that is closed on `today`, which may be before its period is over, or long
/// after: then everybody still has as many days as if it had been closed in time.
pub fn dates(settlement: &Settlement, opened: NaiveDate, today: NaiveDate) -> Dates {
    let last_day = period_end(settlement.cycle, opened).min(today);
    let in_time = today.checked_sub_days(Days::new(u64::from(settlement.cut_off_days.max(1)))).unwrap_or(last_day);
    let counted = last_day.max(in_time);
    Dates {
        last_day,
        statement_by: after(counted, settlement.draft_days),
        disputes_until: after(counted, settlement.dispute_days),
        due_on: after(counted, settlement.due_days),
    }
}

fn after(day: NaiveDate, days: u32) -> NaiveDate {
    // The last representable day is far beyond any alliance's.
    day.checked_add_days(Days::new(u64::from(days))).unwrap_or(NaiveDate::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    #[test]
    fn periods_end_with_the_day_the_sunday_and_the_month() {
        for (cycle, from, end) in [
            (Cycle::Daily, "2026-05-31", "2026-05-31"),
            (Cycle::Weekly, "2026-11-25", "2026-11-29"),
            (Cycle::Weekly, "2026-11-29", "2026-11-29"),
            (Cycle::Weekly, "2026-11-30", "2026-12-06"),
            (Cycle::Monthly, "2028-02-01", "2028-02-29"),
            (Cycle::Monthly, "2026-12-31", "2026-12-31"),
        ] {
            assert_eq!(period_end(cycle, day(from)), day(end), "{cycle:?} {from}");
        }
    }

    #[test]
    fn a_window_closes_after_its_period_and_is_dated_by_it() {
        let monthly = Settlement::default();
        let opened = day("2026-05-10");
        assert!(!is_due(&monthly, opened, day("2026-05-31")));
        assert!(is_due(&monthly, opened, day("2026-06-01")));
        let dates = |today| dates(&monthly, opened, day(today));
        let may = Dates {
            last_day: day("2026-05-31"),
            statement_by: day("2026-06-03"),
            disputes_until: day("2026-06-08"),
            due_on: day("2026-06-10"),
        };
        assert_eq!(dates("2026-06-01"), may);
        // Long after, when nobody was there: it is the window of its own period, with all its days still to come.
        let late = dates("2026-07-20");
        assert_eq!((late.last_day, late.disputes_until), (day("2026-05-31"), day("2026-07-27")));
        assert_eq!(dates("2026-05-20").last_day, day("2026-05-20"), "closed by hand");
    }

    #[test]
    fn a_window_that_is_signed_late_leaves_everybody_the_days_it_would_have_had() {
        let dates = dates(&Settlement::default(), day("2026-05-10"), day("2026-06-01"));
        for in_time in ["2026-05-31", "2026-06-01", "2026-06-03"] {
            assert_eq!(dates.signed_on(day(in_time)), dates, "{in_time}");
        }
        let late = dates.signed_on(day("2026-06-13"));
        let moved = Dates {
            last_day: day("2026-05-31"),
            statement_by: day("2026-06-13"),
            disputes_until: day("2026-06-18"),
            due_on: day("2026-06-20"),
        };
        assert_eq!(late, moved);
        assert_eq!(late.signed_on(day("2026-06-13")), moved, "once");
        assert_eq!(late.signed_on(day("2026-06-14")).due_on, day("2026-06-21"), "and once more");
        assert_eq!(dates.signed_on(NaiveDate::MAX).due_on, NaiveDate::MAX);
    }
}
