//! Sections as CSV files that a machine reads and a spreadsheet opens without running anything.
//!
//! RFC 4180: CRLF, quotes where needed, UTF-8; the header row has the columns' codes. Totals are left out, for whoever
//! sums a column would count them twice.

use super::{Cell, Report, Section, show};
use std::borrow::Cow;

/// What makes a spreadsheet take UTF-8 for what it is.
const BOM: &[u8] = "\u{feff}".as_bytes();

/// A text that begins with one of these might be run as a formula (OWASP, "CSV Injection"), or be taken for one that was
/// made safe.
const RISKY: &[char] = &['=', '+', '-', '@', '\t', '\r', '\n', '\'', '＝', '＋', '－', '＠'];

/// One section as a file, after a byte order mark if `bom`; `None` when the report has no such section.
pub fn write(report: &Report, section_code: &str, bom: bool) -> Option<Vec<u8>> {
    report.check();
    report.section(section_code).map(|section| file(section, bom))
}

/// The text with a `'` before it if a spreadsheet might run it as a formula; [`plain`] takes that away again.
pub fn safe(text: &str) -> Cow<'_, str> {
    if text.starts_with(RISKY) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// The text that [`safe`] was given. A text that it would not have made is left as it is.
pub fn plain(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| rest.starts_with(RISKY)).unwrap_or(text)
}

/// Rows of CSV in memory (RFC 4180): CRLF, quotes where needed.
pub struct Rows(::csv::Writer<Vec<u8>>);

impl Rows {
    /// Rows that come after these bytes.
    pub fn after(begun: Vec<u8>) -> Rows {
        Rows(::csv::WriterBuilder::new().terminator(::csv::Terminator::CRLF).from_writer(begun))
    }

    /// One more, as wide as the first.
    pub fn push(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        for cell in cells {
            self.0.write_field(cell.as_ref().as_bytes()).expect(WRITTEN);
        }
        self.0.write_record(None::<&[u8]>).expect(WRITTEN);
    }

    pub fn finish(self) -> Vec<u8> {
        self.0.into_inner().expect(WRITTEN)
    }
}

const WRITTEN: &str = "memory takes every write, and rows are as wide as the first";

fn file(section: &Section, bom: bool) -> Vec<u8> {
    let mut rows = Rows::after(if bom { BOM.to_vec() } else { Vec::new() });
    rows.push(section.columns.iter().map(|column| &column.code));
    for row in &section.rows {
        rows.push(row.iter().map(field));
    }
    rows.finish()
}

fn field(cell: &Cell) -> Cow<'_, str> {
    match cell {
        // Only texts come from outside: a negative number stays a number.
        Cell::Text(text) => safe(text),
        _ => show::exact(cell),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Vec<Vec<String>> {
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(bytes);
        let row = |record: Result<::csv::StringRecord, _>| record.expect("CSV").iter().map(str::to_owned).collect();
        reader.records().map(row).collect()
    }

    #[test]
    fn a_section_is_rfc_4180_with_codes_and_no_totals() {
        let mut report = sample::statement();
        report.sections[0].rows.truncate(1);
        report.sections[0].rows[0][1] = Cell::Text("a \"b\", c\r\nd".into());
        let wanted = "conversion,member,points,price,value,share,day,posted_at\r\n\
            C-0001,\"a \"\"b\"\", c\r\nd\",-1500,0.0125,18.75,-2.50,2026-11-05,2026-11-05T08:30:00.250Z\r\n";
        let bytes = write(&report, "lines", false).expect("there");
        assert_eq!(String::from_utf8(bytes.clone()).expect("UTF-8"), wanted);
        assert_eq!(write(&report, "lines", true).expect("there"), [b"\xef\xbb\xbf", bytes.as_slice()].concat());
        assert_eq!(write(&report, "nothing", false), None);
    }

    #[test]
    fn an_empty_section_has_a_header() {
        assert_eq!(write(&sample::statement(), "disputes", false).expect("there"), b"dispute,value\r\n");
    }

    #[test]
    fn hostile_texts_are_made_safe_and_read_back() {
        let mut report = sample::statement();
        let texts = sample::hostile();
        report.sections[0].rows = texts.iter().map(|text| sample::line(text)).collect();
        let bytes = write(&report, "lines", false).expect("there");
        let rows = read(&bytes);
        assert_eq!(rows.len(), texts.len() + 1);
        for (row, text) in rows[1..].iter().zip(&texts) {
            let risky = row[1].starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
            assert!(!risky, "{text:?}");
            assert_eq!(plain(&row[1]), text);
            assert_eq!(row[2], "-1500", "numbers are no formulas");
        }
    }

    #[test]
    fn a_text_of_the_writers_own_is_left_as_it_is() {
        for (text, made) in [("", ""), ("a=1", "a=1"), ("=1", "'=1"), ("'=1", "''=1"), ("'a", "''a"), ("'", "''")] {
            assert_eq!((&*safe(text), plain(made)), (made, text));
        }
        assert_eq!(plain("'90s"), "'90s", "typed by a person");
    }

    proptest! {
        #[test]
        fn plain_undoes_safe(text in "[=+@\t\r\n'＝＋－＠a积,\" -]{0,8}|\\PC*") {
            let made = safe(&text);
            prop_assert_eq!(plain(&made), text.as_str());
            prop_assert!(made.starts_with('\'') || !made.starts_with(RISKY));
        }
    }
}
