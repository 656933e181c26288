//! Finance reports as values, and their four renderings: CSV, JSON, XLSX and HTML.
//!
//! Whoever reads the book fills a [`Report`]; nothing here reads a database or a clock. The same report gives the same
//! bytes, today and on another machine. Every label is there in English and Chinese.

pub mod csv;
pub mod html;
pub mod json;
#[cfg(test)]
mod sample;
pub mod show;
pub mod xlsx;

use crate::domain::money::Millionths;
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The code of the fact that says when a report was issued; the workbook's time of creation is taken from it.
pub const ISSUED: &str = "issued_at";
/// The code of the fact that says of which moment a report of what is still open is.
pub const AS_OF: &str = "as_of";

/// A label in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub en: String,
    pub zh: String,
}

/// A report: facts about it, tables, and notes below them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it is to a machine, `statement`: part of file names.
    pub code: &'static str,
    pub title: Text,
    pub facts: Vec<Fact>,
    pub sections: Vec<Section>,
    pub notes: Vec<Text>,
}

/// One thing that is true of the whole report: the alliance, the window, the currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub code: &'static str,
    pub label: Text,
    pub value: Cell,
}

/// A table. Every row, and the totals, have one cell a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Unique in the report.
    pub code: &'static str,
    pub title: Text,
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Cell>>,
    pub totals: Option<Vec<Cell>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Unique in the section: the header in CSV, the member's name in JSON.
    pub code: Cow<'static, str>,
    pub title: Text,
    pub kind: Kind,
}

/// What a column holds. A cell of it may be of another kind or empty, as the word "total" is in a row of sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Whole,
    Points,
    Money,
    Percent,
    Date,
    Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Empty,
    Text(String),
    /// One of a known few.
    Word(Word),
    /// A count.
    Whole(i64),
    /// Points in the programme's smallest unit; negative when they were taken.
    Points(i128),
    /// In millionths; sums may be beyond what an account holds.
    Money(i128),
    /// Hundredths of a percent: 250 is 2.50 %.
    BasisPoints(i64),
    Date(NaiveDate),
    /// In the zone its report is of.
    Instant(DateTime<FixedOffset>),
}

impl Cell {
    pub fn money(amount: Millionths) -> Cell {
        Cell::Money(amount.get().into())
    }
}

/// A word with a code for machines and a label in both languages for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    pub code: &'static str,
    pub en: &'static str,
    pub zh: &'static str,
}

impl Word {
    pub const fn new(code: &'static str, en: &'static str, zh: &'static str) -> Word {
        Word { code, en, zh }
    }
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// After a byte order mark, which spreadsheets want.
    Csv,
    /// Without one, for machines.
    CsvPlain,
    Json,
    Xlsx,
    Html,
}

impl Form {
    pub const ALL: [Form; 5] = [Form::Csv, Form::CsvPlain, Form::Json, Form::Xlsx, Form::Html];

    /// Its name.
    pub fn code(self) -> &'static str {
        match self {
            Form::Csv => "csv",
            Form::CsvPlain => "csv_plain",
            Form::Json => "json",
            Form::Xlsx => "xlsx",
            Form::Html => "html",
        }
    }

    pub fn parse(code: &str) -> Option<Form> {
        Form::ALL.into_iter().find(|form| form.code() == code)
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Form::Csv | Form::CsvPlain => "text/csv; charset=utf-8",
            Form::Json => "application/json",
            Form::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Form::Html => "text/html; charset=utf-8",
        }
    }
}

/// The report as files with their names, `stem` with an ending: one, but of CSV one a section, `<stem>-<section>.csv`.
pub fn files(report: &Report, form: Form, stem: &str) -> Result<Vec<(String, Vec<u8>)>, xlsx::Error> {
    let named = |bytes| vec![(format!("{stem}.{}", form.code()), bytes)];
    Ok(match form {
        Form::Csv | Form::CsvPlain => {
            let section = |section: &Section| {
                let bytes = csv::write(report, section.code, form == Form::Csv).unwrap_or_default();
                (format!("{stem}-{}.csv", section.code), bytes)
            };
            report.sections.iter().map(section).collect()
        }
        Form::Json => named(json::write(report)),
        Form::Xlsx => named(xlsx::write(report)?),
        Form::Html => named(html::write(report).into_bytes()),
    })
}

impl Text {
    pub fn new(en: impl Into<String>, zh: impl Into<String>) -> Text {
        Text { en: en.into(), zh: zh.into() }
    }
}

impl Column {
    pub fn new(code: impl Into<Cow<'static, str>>, title: Text, kind: Kind) -> Column {
        Column { code: code.into(), title, kind }
    }
}

impl Kind {
    /// Stands at the right, digit under digit.
    pub fn is_number(self) -> bool {
        match self {
            Kind::Whole | Kind::Points | Kind::Money | Kind::Percent => true,
            Kind::Text | Kind::Date | Kind::Instant => false,
        }
    }
}

impl Report {
    pub fn section(&self, code: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.code == code)
    }

    /// When it was issued, if a fact [`ISSUED`] says so, or else of which day it is ([`AS_OF`]).
    pub fn issued(&self) -> Option<DateTime<Utc>> {
        let instant = |code: &str| {
            self.facts.iter().find_map(|fact| match fact.value {
                Cell::Instant(at) if fact.code == code => Some(at.to_utc()),
                Cell::Date(day) if fact.code == code => Some(day.and_time(NaiveTime::MIN).and_utc()),
                _ => None,
            })
        };
        instant(ISSUED).or_else(|| instant(AS_OF))
    }

    /// Tells every instant by the clocks of a zone.
    pub fn in_zone(&mut self, zone: Tz) {
        let facts = self.facts.iter_mut().map(|fact| &mut fact.value);
        let tables = self.sections.iter_mut().flat_map(|section| section.rows.iter_mut().chain(&mut section.totals));
        for cell in facts.chain(tables.flatten()) {
            if let Cell::Instant(at) = cell {
                *at = at.with_timezone(&zone).fixed_offset();
            }
        }
    }

    /// Asserts what the renderings rely on; a report that breaks it was built wrongly.
    fn check(&self) {
        distinct(self.code, self.sections.iter().map(|section| section.code));
        self.sections.iter().for_each(Section::check);
    }
}

impl Section {
    fn check(&self) {
        distinct(self.code, self.columns.iter().map(|column| &*column.code));
        let width = self.columns.len();
        assert!(width > 0, "{}: a table has columns", self.code);
        let whole = self.rows.iter().chain(&self.totals).all(|row| row.len() == width);
        assert!(whole, "{}: a row has one cell a column", self.code);
    }

    /// The cells of one column from top to bottom, that of the totals included.
    fn column(&self, at: usize) -> impl Iterator<Item = &Cell> {
        self.rows.iter().chain(&self.totals).map(move |row| &row[at])
    }
}

fn distinct<'a>(whose: &str, codes: impl Iterator<Item = &'a str>) {
    let mut seen = BTreeSet::new();
    codes.for_each(|code| assert!(seen.insert(code), "{whose}: the code {code} is there twice"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "lines: a row has one cell a column")]
    fn a_row_of_another_width_is_a_bug() {
        let mut report = sample::statement();
        report.sections[0].rows[0].pop();
        json::write(&report);
    }

    #[test]
    #[should_panic(expected = "lines: the code points is there twice")]
    fn a_column_that_is_there_twice_is_a_bug() {
        let mut report = sample::statement();
        report.sections[0].columns[1].code = "points".into();
        csv::write(&report, "lines", false);
    }

    #[test]
    fn a_report_is_one_file_and_as_csv_one_a_section() {
        let report = sample::statement();
        let names = |form| {
            let files = files(&report, form, "statement-w0001-aa").expect("written");
            assert!(files.iter().all(|(_, bytes)| !bytes.is_empty()));
            files.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(Form::Csv), ["statement-w0001-aa-lines.csv", "statement-w0001-aa-disputes.csv"]);
        for form in [Form::Json, Form::Xlsx, Form::Html] {
            assert_eq!(names(form), [format!("statement-w0001-aa.{}", form.code())]);
            assert_eq!(Form::parse(form.code()), Some(form));
        }
        assert_eq!(Form::parse("pdf"), None);
    }

    #[test]
    fn the_time_of_issue_is_the_fact_of_that_name() {
        let mut report = sample::statement();
        assert_eq!(report.issued(), Some(sample::issued()));
        report.facts.last_mut().expect("facts").code = AS_OF;
        assert_eq!(report.issued(), Some(sample::issued()), "or the moment it is of");
        report.facts.retain(|fact| fact.code != AS_OF);
        assert_eq!(report.issued(), None);
    }
}
