//! What Excel can hold, and what becomes of the rest.

use super::super::{Cell, show};
use chrono::{Datelike, NaiveDate};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Rows of a section: a sheet's 1,048,576 less the header and the totals.
pub const ROWS_MAX: usize = 1_048_574;
/// UTF-16 units of a cell, of the document's title, of a sheet's name.
pub const CELL_UNITS_MAX: usize = 32_767;
pub const TITLE_UNITS_MAX: usize = 255;
pub const NAME_UNITS_MAX: usize = 31;

/// A double is exact below 2^53, and Excel shows 15 digits of it.
const EXACT_MAX: u128 = 1 << 53;
const DIGITS_MAX: u128 = 1_000_000_000_000_000;

/// The cell as a number, if Excel keeps every digit of it: the double that is nearest, read as Excel reads what is typed.
pub fn number(cell: &Cell) -> Option<f64> {
    let (value, decimal) = match cell {
        Cell::Whole(value) => (i128::from(*value), show::exact(cell)),
        Cell::Points(value) | Cell::Money(value) => (*value, show::exact(cell)),
        // A percent is a fraction of one: 250 basis points are 0.025.
        Cell::BasisPoints(value) => (i128::from(*value), Cow::Owned(format!("{value}e-4"))),
        Cell::Empty | Cell::Text(_) | Cell::Word(_) | Cell::Date(_) | Cell::Instant(_) => return None,
    };
    let size = value.unsigned_abs();
    // The sixteenth digit is kept when it is a zero.
    let kept = size < DIGITS_MAX || (size < EXACT_MAX && size.is_multiple_of(10));
    decimal.parse().ok().filter(|_| kept)
}

/// Excel's days begin in 1900, which it takes for a leap year, and end with the last year of four digits.
pub fn has_date(date: NaiveDate) -> bool {
    (1901..=9999).contains(&date.year())
}

/// Whoever edits such a text by hand would make a formula of it, were it not marked.
pub fn is_risky(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@'])
}

/// At most `units` UTF-16 units of the text; a text that was cut ends in an ellipsis.
pub fn cut(text: &str, units: usize) -> Cow<'_, str> {
    // No character takes more units than bytes.
    if text.len() <= units || text.encode_utf16().count() <= units {
        return Cow::Borrowed(text);
    }
    let mut taken = 0;
    let end = text.char_indices().find(|(_, c)| {
        taken += c.len_utf16();
        taken > units - 1
    });
    Cow::Owned(format!("{}…", &text[..end.map_or(text.len(), |(at, _)| at)]))
}

/// A legal name for a sheet, like `wanted` and like none of `taken`, which it joins.
pub fn sheet_name(wanted: &str, taken: &mut BTreeSet<String>) -> String {
    let legal = |c: char| if c.is_control() || "[]:*?/\\'".contains(c) { ' ' } else { c };
    let cleaned: String = wanted.chars().map(legal).collect();
    let cleaned = cleaned.trim();
    // Excel keeps "History" to itself.
    let base = if cleaned.is_empty() || cleaned.eq_ignore_ascii_case("history") { "Sheet 表" } else { cleaned };
    let mut name = cut(base, NAME_UNITS_MAX).into_owned();
    let mut number = 2;
    // Names that differ in case only are one name to Excel.
    while !taken.insert(name.to_lowercase()) {
        let tail = format!(" {number}");
        name = cut(base, NAME_UNITS_MAX - tail.len()).into_owned() + &tail;
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_decimal_or_nothing() {
        let money = |value| number(&Cell::Money(value));
        assert_eq!(money(12_500), Some(0.0125));
        assert_eq!(money(-999_999_999_999_999), Some(-999_999_999.999_999));
        assert_eq!(money(1_000_000_000_000_001), None);
        assert_eq!(money(9_007_199_254_740_990), Some(9_007_199_254.740_99));
        assert_eq!(money(9_007_199_254_741_000), None, "above 2^53");
        assert_eq!(number(&Cell::BasisPoints(-250)), Some(-0.025));
        assert_eq!(number(&Cell::Points(i64::MIN.into())), None);
        assert_eq!(number(&Cell::Empty), None);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("积分积分", 4), "积分积分");
        assert_eq!(cut("积分积分积", 4), "积分积…");
        assert_eq!(cut("a𠮷𠮷", 5), "a𠮷𠮷");
        assert_eq!(cut("a𠮷𠮷b", 5), "a𠮷…", "half of a pair would be no character");
    }

    #[test]
    fn names_of_sheets_are_legal_and_differ() {
        let mut taken = BTreeSet::new();
        let mut name = |wanted: &str| sheet_name(wanted, &mut taken);
        assert_eq!(name("Lines 明细"), "Lines 明细");
        assert_eq!(name("LINES 明细"), "LINES 明细 2");
        assert_eq!(name("'[a]:*?/\\b'"), "a      b");
        assert_eq!(name("\n"), "Sheet 表");
        assert_eq!(name("history"), "Sheet 表 2");
        let long = "Conversions that were taken back 撤销";
        for made in [name(long), name(long)] {
            assert!(made.encode_utf16().count() <= 31 && made.starts_with("Conversions that were taken"), "{made}");
            assert!(rust_xlsxwriter::utility::check_sheet_name(&made).is_ok());
        }
    }
}
