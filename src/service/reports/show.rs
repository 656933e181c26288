//! Cells as texts: exactly for machines, readably for people.

use super::Cell;
use crate::domain::money::decimal;
use chrono::{DateTime, FixedOffset, SecondsFormat};
use std::borrow::Cow;

/// Every money shows as many decimals as the longest of its column, and never fewer.
const DECIMALS_MIN: usize = 2;

/// For machines: decimal strings without grouping, percents with two decimals and no sign, ISO 8601 dates, instants with
/// their offset (RFC 3339) and the fraction of a second they have.
pub fn exact(cell: &Cell) -> Cow<'_, str> {
    match cell {
        Cell::Empty => Cow::Borrowed(""),
        Cell::Text(text) => Cow::Borrowed(text),
        Cell::Word(word) => Cow::Borrowed(word.code),
        Cell::Whole(value) => Cow::Owned(value.to_string()),
        Cell::Points(value) => Cow::Owned(value.to_string()),
        Cell::Money(value) => Cow::Owned(decimal(*value)),
        Cell::BasisPoints(value) => Cow::Owned(hundredths(*value)),
        Cell::Date(date) => Cow::Owned(date.to_string()),
        Cell::Instant(at) => Cow::Owned(at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
    }
}

/// For people: words in both languages, digits in groups of three, a real minus sign, money with `decimals` decimals, or more if it has more.
pub fn readable(cell: &Cell, decimals: usize) -> Cow<'_, str> {
    match cell {
        Cell::Empty | Cell::Text(_) | Cell::Date(_) => exact(cell),
        Cell::Word(word) => Cow::Owned(format!("{} {}", word.en, word.zh)),
        Cell::Whole(_) | Cell::Points(_) => Cow::Owned(grouped(&exact(cell))),
        Cell::Money(value) => Cow::Owned(grouped(&padded(*value, decimals))),
        Cell::BasisPoints(value) => Cow::Owned(grouped(&hundredths(*value)) + "%"),
        Cell::Instant(at) => Cow::Owned(seconds(at)),
    }
}

/// How many decimals the money of a column needs.
pub fn decimals<'a>(column: impl Iterator<Item = &'a Cell>) -> usize {
    let needed = |cell: &Cell| match cell {
        Cell::Money(value) => decimal(*value).split_once('.').map(|(_, fraction)| fraction.len()),
        _ => None,
    };
    column.filter_map(needed).max().unwrap_or(DECIMALS_MIN)
}

fn seconds(at: &DateTime<FixedOffset>) -> String {
    let zone = if at.offset().local_minus_utc() == 0 { "UTC" } else { "%:z" };
    at.format(&format!("%Y-%m-%d %H:%M:%S {zone}")).to_string()
}

/// 250 is `2.50`.
fn hundredths(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let value = value.unsigned_abs();
    format!("{sign}{}.{:02}", value / 100, value % 100)
}

fn padded(millionths: i128, decimals: usize) -> String {
    let text = decimal(millionths);
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}.{fraction:0<decimals$}")
}

/// `-1234.50` is `−1,234.50`.
fn grouped(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("\u{2212}", digits));
    let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut text = String::with_capacity(number.len() + number.len() / 3 + 3);
    text.push_str(sign);
    for (at, digit) in whole.char_indices() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::reports::Word;
    use crate::service::reports::sample::{date, instant};

    #[test]
    fn cells_are_exact_for_machines_and_readable_for_people() {
        for (cell, machine, person) in [
            (Cell::Empty, "", ""),
            (Cell::Text("=1+1 积分".into()), "=1+1 积分", "=1+1 积分"),
            (Cell::Word(Word::new("never", "Never", "永久")), "never", "Never 永久"),
            (Cell::Whole(-999), "-999", "\u{2212}999"),
            (Cell::Points(1_234_567), "1234567", "1,234,567"),
            (Cell::Points(i64::MIN.into()), "-9223372036854775808", "\u{2212}9,223,372,036,854,775,808"),
            (Cell::Money(-1_234_500_000), "-1234.50", "\u{2212}1,234.5000"),
            (Cell::Money(1), "0.000001", "0.000001"),
            (Cell::Money(i64::MIN.into()), "-9223372036854.775808", "\u{2212}9,223,372,036,854.775808"),
            (Cell::Money(18_000_000_000_000_000_000), "18000000000000.00", "18,000,000,000,000.0000"),
            (Cell::BasisPoints(-250), "-2.50", "\u{2212}2.50%"),
            (Cell::BasisPoints(123_456), "1234.56", "1,234.56%"),
            (Cell::Date(date(2026, 11, 5)), "2026-11-05", "2026-11-05"),
            (Cell::Instant(instant("2026-11-05T01:02:03Z")), "2026-11-05T01:02:03Z", "2026-11-05 01:02:03 UTC"),
            (
                Cell::Instant(instant("2026-11-05T09:02:03+08:00")),
                "2026-11-05T09:02:03+08:00",
                "2026-11-05 09:02:03 +08:00",
            ),
            (Cell::Instant(instant("2026-11-05T01:02:03.9Z")), "2026-11-05T01:02:03.900Z", "2026-11-05 01:02:03 UTC"),
        ] {
            assert_eq!((&*exact(&cell), &*readable(&cell, 4)), (machine, person), "{cell:?}");
        }
    }

    #[test]
    fn a_column_of_money_shows_the_decimals_of_its_longest() {
        let money = |value| Cell::Money(value);
        assert_eq!(decimals([Cell::Empty, Cell::Whole(1)].iter()), 2);
        assert_eq!(decimals([money(1_000_000), money(12_500), money(50_000)].iter()), 4);
    }
}
