//! From what came to what is meant: raw fields are checked here, once, and every fault is told with its pointer.

use crate::domain::expiry::{self, Expiry};
use crate::domain::ids::Slug;
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::text::Text;
use crate::http::IdempotencyKey;
use crate::http::problem::{Code, FieldError, Problem};
use crate::service::exchange::{Error, Fault};
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use std::borrow::Cow;

pub const NOT_A_TEXT: &str = "must be 1 to 128 characters, none of them a control character";

/// Characters of a note or a reason.
pub const NOTE_MAX: usize = 500;
const NOT_A_NOTE: &str = "must be 1 to 500 characters on one line, not all of them spaces";

/// Collects the faults of one body, so that a caller learns of all of them at once.
#[derive(Debug, Default)]
pub struct Fields {
    /// The item of a batch, whose pointers are those of the batch's body.
    item: Option<usize>,
    faults: Vec<Fault>,
}

impl Fields {
    pub fn of_item(index: usize) -> Fields {
        Fields { item: Some(index), faults: Vec::new() }
    }

    pub fn fault(&mut self, field: &str, detail: &'static str) {
        let at = self.item.map(|index| format!("/items/{index}")).unwrap_or_default();
        self.faults.push(Fault { pointer: format!("{at}/{field}"), detail });
    }

    fn keep<T, E>(&mut self, field: &str, read: Result<T, E>, detail: &'static str) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(_) => {
                self.fault(field, detail);
                None
            }
        }
    }

    pub fn text(&mut self, field: &str, raw: String) -> Option<Text> {
        self.keep(field, Text::new(raw), NOT_A_TEXT)
    }

    /// What people write to people: a note, a reason.
    pub fn note(&mut self, field: &str, raw: String) -> Option<String> {
        let short = raw.len() <= NOTE_MAX || raw.chars().count() <= NOTE_MAX;
        let plain = short && !raw.trim().is_empty() && !raw.chars().any(char::is_control);
        self.keep(field, plain.then_some(raw).ok_or(()), NOT_A_NOTE)
    }

    /// An amount of money: a decimal string, at most 12 digits before the point and 6 after it.
    pub fn money(&mut self, field: &str, raw: &str) -> Option<Millionths> {
        let bounded =
            raw.len() <= 20 && raw.trim_start_matches('-').split('.').next().is_some_and(|whole| whole.len() <= 12);
        let money = Millionths::parse(raw).filter(|_| bounded).ok_or(());
        self.keep(field, money, "must be a decimal string with at most 12 digits before the point and 6 after it")
    }

    pub fn maybe_money(&mut self, field: &str, raw: Option<&str>) -> Option<Option<Millionths>> {
        raw.map_or(Some(None), |raw| self.money(field, raw).map(Some))
    }

    /// An id or a code, read by `read`.
    pub fn named<T>(&mut self, field: &str, read: Option<T>, detail: &'static str) -> Option<T> {
        self.keep(field, read.ok_or(()), detail)
    }

    /// `Some(None)`: absent. `None`: there and not valid.
    pub fn maybe_text(&mut self, field: &str, raw: Option<String>) -> Option<Option<Text>> {
        raw.map_or(Some(None), |raw| self.text(field, raw).map(Some))
    }

    /// `missing` is what is said when it is not there.
    pub fn required_text(&mut self, field: &str, raw: Option<String>, missing: &'static str) -> Option<Text> {
        match raw {
            Some(raw) => self.text(field, raw),
            None => {
                self.fault(field, missing);
                None
            }
        }
    }

    /// At least one point.
    pub fn points(&mut self, field: &str, raw: i64) -> Option<Points> {
        let points = Points::new(raw).filter(|points| !points.is_zero()).ok_or(());
        self.keep(field, points, "must be a whole number of points, 1 to 9007199254740991")
    }

    /// A floor: zero is allowed, and says nothing.
    pub fn floor(&mut self, field: &str, raw: Option<i64>) -> Option<Option<Points>> {
        let Some(raw) = raw else { return Some(None) };
        self.keep(field, Points::new(raw).ok_or(()), "must be a whole number of points, 0 to 9007199254740991")
            .map(Some)
    }

    pub fn slug(&mut self, field: &str, raw: &str) -> Option<Slug> {
        self.keep(field, raw.parse(), "must be a partner's slug")
    }

    pub fn day(&mut self, field: &str, raw: &str) -> Option<NaiveDate> {
        // chrono alone would also read `+2026-1-5`; years of four digits keep every later computation in range.
        let plain = raw.len() == 10 && raw.starts_with(|c: char| c.is_ascii_digit());
        let day = raw.parse::<NaiveDate>().ok().filter(|_| plain).ok_or(());
        self.keep(field, day, "must be a date, YYYY-MM-DD")
    }

    pub fn maybe_day(&mut self, field: &str, raw: Option<&str>) -> Option<Option<NaiveDate>> {
        raw.map_or(Some(None), |raw| self.day(field, raw).map(Some))
    }

    /// The last day of a lot: a month end.
    pub fn expiry(&mut self, field: &str, raw: Option<&str>) -> Option<Option<Expiry>> {
        let Some(day) = self.maybe_day(field, raw)? else { return Some(None) };
        if expiry::is_month_end(day) {
            return Some(Some(Expiry::On(day)));
        }
        self.fault(field, "must be the last day of a month");
        None
    }

    pub fn instant(&mut self, field: &str, raw: &str) -> Option<DateTime<Utc>> {
        let plain = raw.len() <= 40 && raw.as_bytes().get(4) == Some(&b'-');
        let read = DateTime::parse_from_rfc3339(raw).ok().filter(|_| plain).map(|time| time.with_timezone(&Utc));
        // To the microsecond, as it is stored: so that it compares the same before and after.
        let stored = read.and_then(|time| DateTime::from_timestamp_micros(time.timestamp_micros()));
        // An offset, or a sixtieth second, can carry it over the edge of the years that can be written again.
        let writable = stored.filter(|time| (0..=9999).contains(&time.year()));
        self.keep(field, writable.ok_or(()), "must be a time, RFC 3339, of a year from 0 to 9999 in UTC")
    }

    pub fn maybe_instant(&mut self, field: &str, raw: Option<&str>) -> Option<Option<DateTime<Utc>>> {
        raw.map_or(Some(None), |raw| self.instant(field, raw).map(Some))
    }

    /// The key of an item of a batch.
    pub fn key(&mut self, raw: String) -> Option<String> {
        let key = IdempotencyKey::parse(&raw).map(|_| raw).ok_or(());
        self.keep("idempotency_key", key, "must be 1 to 255 visible ASCII characters")
    }

    /// At most 32 short texts.
    pub fn texts(&mut self, field: &str, raw: Vec<String>) -> Option<Vec<String>> {
        if raw.len() > 32 {
            self.fault(field, "must have at most 32 elements");
            return None;
        }
        raw.into_iter().map(|one| self.text(field, one).map(Text::into_string)).collect()
    }

    /// What was read, if nothing was wrong.
    pub fn finish<T>(self, read: Option<T>) -> Result<T, Error> {
        match read {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(Error::Invalid(self.faults)),
        }
    }
}

/// The text in an address: what is not of its form is not there.
pub fn named(raw: String) -> Result<Text, Problem> {
    Text::new(raw).map_err(|_| Problem::not_found())
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        match error {
            Error::Refused(refused) => Problem::from(refused.refusal).replayed(refused.replayed),
            Error::Undecided(undecided) => Problem::from(undecided),
            Error::NotFound => Problem::not_found(),
            Error::Forbidden => Problem::new(Code::Forbidden),
            Error::LinkCodeInvalid => Problem::new(Code::LinkCodeInvalid),
            Error::Invalid(faults) => Problem::invalid(faults.into_iter().map(field_error).collect()),
            Error::Store(error) if error.is_unavailable() => Problem::new(Code::Unavailable),
            error @ (Error::Store(_) | Error::Book(_) | Error::Broken(_)) => Problem::internal(&error),
        }
    }
}

fn field_error(fault: Fault) -> FieldError {
    FieldError { pointer: fault.pointer, detail: Cow::Borrowed(fault.detail) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_told_with_its_pointer() {
        let mut fields = Fields::of_item(7);
        let read = (
            fields.points("points", 0),
            fields.text("reason", String::new()),
            fields.expiry("expires_on", Some("2026-01-30")),
        );
        assert_eq!(read, (None, None, None));
        let Err(Error::Invalid(faults)) = fields.finish(Some(())) else { panic!("faults were lost") };
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/items/7/points", "/items/7/reason", "/items/7/expires_on"]);
    }

    #[test]
    fn money_and_notes_are_bounded() {
        let mut fields = Fields::default();
        assert_eq!(fields.money("m", "-999999999999.000001").map(Millionths::get), Some(-999_999_999_999_000_001));
        assert_eq!(fields.maybe_money("m", None), Some(None));
        for bad in ["", "1000000000000", "1.0000001", "1e3", "+1", "--1"] {
            assert_eq!(fields.money("m", bad), None, "{bad}");
        }
        assert!(fields.note("n", "积".repeat(500)).is_some());
        for bad in [String::new(), "  ".into(), "a\nb".into(), "a".repeat(501)] {
            assert_eq!(fields.note("n", bad), None);
        }
    }

    #[test]
    fn dates_and_times_have_one_spelling_and_a_sane_range() {
        let mut fields = Fields::default();
        assert!(fields.day("d", "2028-02-29").is_some());
        assert!(fields.instant("t", "2026-01-05T08:00:00.5+08:00").is_some());
        for bad in ["", "2026-1-5", "+2026-01-5", "2026-02-30", "262142-01-01", "-999-01-01"] {
            assert_eq!(fields.day("d", bad), None, "{bad}");
        }
        for bad in [
            "2026-01-05",
            "2026-01-05T08:00:00",
            "+12026-01-05T08:00:00Z",
            "9999-12-31T23:59:59-12:00",
            "0000-01-01T00:00:00+14:00",
            "9999-12-31T23:59:60Z",
        ] {
            assert_eq!(fields.instant("t", bad), None, "{bad}");
        }
    }
}
