//! A report as a workbook: a sheet of facts and notes, then a sheet a section.
//!
//! Totals are values, not formulas: they are the book's figures, some rounded once and some no sums at all, and doubles
//! might add up to another last digit. No cell is a formula or a link, whatever its text.

mod limits;
mod styles;

use super::{Cell, Report, Section, Text, show};
use chrono::{DateTime, Timelike};
use rust_xlsxwriter::{DocProperties, Format, IgnoreError, Workbook, Worksheet, XlsxError};
use std::collections::BTreeSet;
use styles::{Style, Styles};

/// Widths of columns, in digits.
const WIDTH_MIN: usize = 9;
const WIDTH_MAX: usize = 46;
const FACT_WIDTHS: [u16; 3] = [26, 20, 46];
/// More columns than these are printed across.
const PORTRAIT_COLUMNS_MAX: usize = 6;
const A4: u8 = 9;
/// Of a line, in points: Chinese characters need more than the usual 15.
const ROW_HEIGHT: usize = 18;
const LINES_MAX: usize = 20;

/// A place on a sheet: row, column.
type Place = (u32, u16);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("section {section} has {rows} rows, more than a sheet holds")]
    TooManyRows { section: &'static str, rows: usize },
    #[error("the workbook cannot be written")]
    Workbook(#[from] XlsxError),
}

/// The workbook, made when the report was issued, or in 1970 if it does not say. A text of more than 32,767 characters
/// is cut and ends in an ellipsis; an amount of which Excel would not keep every digit is a text.
pub fn write(report: &Report) -> Result<Vec<u8>, Error> {
    report.check();
    let styles = Styles::new();
    let mut names = BTreeSet::new();
    let mut workbook = Workbook::new();
    workbook.set_properties(&properties(report));
    let sheet = workbook.add_worksheet();
    sheet.set_name(limits::sheet_name("Overview 概览", &mut names))?;
    overview(sheet, report, &styles)?;
    for section in &report.sections {
        let rows = section.rows.len();
        if rows > limits::ROWS_MAX {
            return Err(Error::TooManyRows { section: section.code, rows });
        }
        let sheet = workbook.add_worksheet();
        sheet.set_name(limits::sheet_name(&tab(section), &mut names))?;
        table(sheet, section, &styles)?;
    }
    Ok(workbook.save_to_buffer()?)
}

/// The title, or where a sheet's name has no room for it the section's code, and the Chinese title.
fn tab(section: &Section) -> String {
    let Text { en, zh } = &section.title;
    let title = format!("{en} {zh}");
    if title.encode_utf16().count() <= limits::NAME_UNITS_MAX {
        return title;
    }
    let (first, rest) = section.code.split_at_checked(1).unwrap_or_default();
    format!("{}{} {zh}", first.to_uppercase(), rest.replace('_', " "))
}

fn properties(report: &Report) -> DocProperties {
    let title = format!("{} {}", report.title.en, report.title.zh);
    let created = report.issued().unwrap_or(DateTime::UNIX_EPOCH);
    DocProperties::new().set_title(limits::cut(&title, limits::TITLE_UNITS_MAX)).set_creation_datetime(&created)
}

/// The title, the facts with their labels in both languages, the notes.
fn overview(sheet: &mut Worksheet, report: &Report, styles: &Styles) -> Result<(), Error> {
    page(sheet);
    for (column, width) in (0..).zip(FACT_WIDTHS) {
        sheet.set_column_width(column, width)?;
    }
    for (row, title) in (0..).zip([&report.title.en, &report.title.zh]) {
        text(sheet, (row, 0), title, &styles.title)?;
        sheet.set_row_height(row, 26)?;
    }
    let mut row = 3;
    for fact in &report.facts {
        text(sheet, (row, 0), &fact.label.en, &styles.label)?;
        text(sheet, (row, 1), &fact.label.zh, &styles.label)?;
        put(sheet, (row, 2), &fact.value, &styles.fact)?;
        let across = FACT_WIDTHS.map(usize::from);
        let lines = [
            lines(&fact.label.en, across[0]),
            lines(&fact.label.zh, across[1]),
            lines(&show::readable(&fact.value, 0), across[2]),
        ];
        sheet.set_row_height(row, height(lines))?;
        row += 1;
    }
    if !report.notes.is_empty() {
        text(sheet, (row + 1, 0), "Notes 附注", &styles.heading)?;
        row += 2;
    }
    for line in report.notes.iter().flat_map(|note| [&note.en, &note.zh]) {
        sheet.merge_range(row, 0, row, 2, &limits::cut(line, limits::CELL_UNITS_MAX), &styles.note)?;
        sheet.set_row_height(row, height([lines(line, FACT_WIDTHS.map(usize::from).iter().sum())]))?;
        row += 1;
    }
    Ok(())
}

/// A frozen header row in both languages, the rows, the totals.
fn table(sheet: &mut Worksheet, section: &Section, styles: &Styles) -> Result<(), Error> {
    page(sheet);
    if section.columns.len() > PORTRAIT_COLUMNS_MAX {
        sheet.set_landscape();
    }
    sheet.set_row_height(0, height([2]))?.set_freeze_panes(1, 0)?.set_repeat_rows(0, 0)?;
    for (at, column) in section.columns.iter().enumerate() {
        let title = format!("{}\n{}", column.title.en, column.title.zh);
        let style = if column.kind.is_number() { &styles.header_of_numbers } else { &styles.header };
        text(sheet, (0, narrow(at)), &title, style)?;
        sheet.set_column_width(narrow(at), narrow(column_width(section, at)))?;
    }
    let mut row = 1;
    for cells in &section.rows {
        put_all(sheet, row, cells, &styles.body)?;
        row += 1;
    }
    let last = narrow(section.columns.len() - 1);
    if row > 1 {
        sheet.autofilter(0, 0, row - 1, last)?;
        // References such as 007 are texts, and need no green corner that asks whether they are.
        sheet.ignore_error_range(1, 0, row, last, IgnoreError::NumberStoredAsText)?;
    }
    if let Some(totals) = &section.totals {
        put_all(sheet, row, totals, &styles.total)?;
    }
    Ok(())
}

fn page(sheet: &mut Worksheet) {
    sheet.set_default_row_height(narrow(ROW_HEIGHT));
    sheet.set_paper_size(A4).set_print_fit_to_pages(1, 0).set_footer("&L&A&R&P / &N");
}

fn put_all(sheet: &mut Worksheet, row: u32, cells: &[Cell], style: &Style) -> Result<(), Error> {
    cells.iter().enumerate().try_for_each(|(at, cell)| put(sheet, (row, narrow(at)), cell, style))
}

/// A cell as what it is, or as a text where Excel has no such number or date.
fn put(sheet: &mut Worksheet, place: Place, cell: &Cell, style: &Style) -> Result<(), Error> {
    let (row, column) = place;
    match cell {
        Cell::Empty => {
            sheet.write_blank(row, column, &style.text)?;
        }
        Cell::Text(value) if limits::is_risky(value) => text(sheet, place, value, &style.risky)?,
        Cell::Text(value) => text(sheet, place, value, &style.text)?,
        Cell::Word(_) => text(sheet, place, &show::readable(cell, 0), &style.text)?,
        Cell::Whole(_) | Cell::Points(_) | Cell::Money(_) | Cell::BasisPoints(_) => match limits::number(cell) {
            Some(number) => {
                sheet.write_number_with_format(row, column, number, style.number(cell))?;
            }
            None => text(sheet, place, &show::exact(cell), &style.long)?,
        },
        Cell::Date(date) if limits::has_date(*date) => {
            sheet.write_date_with_format(row, column, date, &style.date)?;
        }
        Cell::Instant(at) if limits::has_date(at.date_naive()) => {
            // By the clocks of its zone, which a fact names, and in whole seconds, as every rendering for people shows them: Excel would round up.
            let shown = at.naive_local().with_nanosecond(0).expect("every second has a beginning");
            sheet.write_datetime_with_format(row, column, shown, &style.instant)?;
        }
        Cell::Date(_) | Cell::Instant(_) => text(sheet, place, &show::exact(cell), &style.text)?,
    }
    Ok(())
}

fn text(sheet: &mut Worksheet, (row, column): Place, text: &str, format: &Format) -> Result<(), Error> {
    sheet.write_string_with_format(row, column, limits::cut(text, limits::CELL_UNITS_MAX), format)?;
    Ok(())
}

/// Room for the widest text of the column, and for the arrow of the filter.
fn column_width(section: &Section, at: usize) -> usize {
    let title = &section.columns[at].title;
    let header = width(&title.en).max(width(&title.zh)) + 4;
    let cells = section.column(at).map(|cell| width(&show::readable(cell, 0)) + 2).max().unwrap_or(0);
    header.max(cells).clamp(WIDTH_MIN, WIDTH_MAX)
}

/// How many digits wide the widest line is about: a Chinese character takes two.
fn width(text: &str) -> usize {
    let line = |line: &str| line.chars().map(|c| if c < '\u{2e80}' { 1 } else { 2 }).sum();
    text.lines().map(line).max().unwrap_or(0)
}

/// How many lines a text takes in a column of that width, about: it is broken between words, which wastes some of it.
fn lines(text: &str, across: usize) -> usize {
    text.lines().map(|line| width(line) * 10 / (across * 9) + 1).sum::<usize>().max(1)
}

/// The height of a row with cells of so many lines, in points. Not every reader makes rows grow by itself.
fn height<const N: usize>(lines: [usize; N]) -> u16 {
    narrow(lines.into_iter().max().unwrap_or(1).min(LINES_MAX) * ROW_HEIGHT)
}

/// What a sheet counts in 16 bits; beyond them it would refuse anyway.
fn narrow(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{Column, Kind, sample};
    use super::*;
    use std::io::{Cursor, Read};

    /// One file inside the workbook.
    fn part(workbook: &[u8], name: &str) -> String {
        let mut archive = zip::ZipArchive::new(Cursor::new(workbook)).expect("a zip");
        let mut text = String::new();
        archive.by_name(name).expect(name).read_to_string(&mut text).expect("UTF-8");
        text
    }

    /// The cell's element, `<c r="B2" …>…</c>`.
    fn cell<'a>(sheet: &'a str, name: &str) -> &'a str {
        let from = sheet.find(&format!("<c r=\"{name}\"")).expect(name);
        let to = sheet[from..].find("</c>").expect("closed");
        &sheet[from..from + to]
    }

    /// The text of a cell, by its number in the table of texts, with its escapes.
    fn shared(workbook: &[u8], cell: &str) -> String {
        assert!(cell.contains(" t=\"s\""), "{cell} is no text");
        let number: usize =
            cell[cell.find("<v>").expect("a value") + 3..].trim_end_matches("</v>").parse().expect("one");
        let texts = part(workbook, "xl/sharedStrings.xml");
        let item = texts.split("<si>").nth(number + 1).expect("there");
        let from = item.find('>').expect("<t>") + 1;
        item[from..item.rfind("</t>").expect("closed")].to_owned()
    }

    fn one_column(cells: Vec<Cell>) -> Report {
        let mut report = sample::statement();
        let section = &mut report.sections[0];
        section.columns = vec![Column::new("a", Text::new("A", "甲"), Kind::Text)];
        section.rows = cells.into_iter().map(|cell| vec![cell]).collect();
        section.totals = None;
        report
    }

    #[test]
    fn the_same_report_is_the_same_bytes() {
        let report = sample::statement();
        let first = write(&report).expect("written");
        assert!(first == write(&report).expect("written"));
        let made = part(&first, "docProps/core.xml");
        assert_eq!(made.matches("2026-12-01T02:00:00Z").count(), 2, "created and modified: {made}");
    }

    #[test]
    fn cells_are_numbers_dates_and_texts_and_totals_are_values() {
        let workbook = write(&sample::statement()).expect("written");
        let sheet = part(&workbook, "xl/worksheets/sheet2.xml");
        for (name, value) in
            [("C2", "-1500"), ("D2", "0.0125"), ("E2", "18.75"), ("F2", "-0.025"), ("G2", "46331"), ("C5", "-4500")]
        {
            assert!(cell(&sheet, name).ends_with(&format!("><v>{value}</v>")), "{}", cell(&sheet, name));
        }
        // 2026-11-05 08:30:00, without the quarter of a second.
        assert!(cell(&sheet, "H2").contains("<v>46331.354166666664</v>"), "{}", cell(&sheet, "H2"));
        assert_eq!(shared(&workbook, cell(&sheet, "A1")), "Conversion\n转换");
        assert_eq!(shared(&workbook, cell(&sheet, "B4")), "=1+1");
        assert!(sheet.contains("state=\"frozen\"") && sheet.contains("<autoFilter ref=\"A1:H4\"/>"));
        assert!(!sheet.contains("<f"), "no formula");
        let names = part(&workbook, "xl/workbook.xml");
        for name in ["Overview 概览", "Lines 明细", "Disputes 争议"] {
            assert!(names.contains(&format!("name=\"{name}\"")), "{names}");
        }
        let empty = part(&workbook, "xl/worksheets/sheet3.xml");
        assert!(empty.contains("r=\"A1\"") && !empty.contains("r=\"A2\"") && !empty.contains("<autoFilter"));
    }

    #[test]
    fn a_title_without_room_is_told_by_its_code_and_in_chinese() {
        let mut report = sample::statement();
        report.sections[0].title = Text::new("Breakage as estimated: an input", "失效估计（外部输入）");
        let names = part(&write(&report).expect("written"), "xl/workbook.xml");
        assert!(names.contains("name=\"Lines 失效估计（外部输入）\""), "{names}");
    }

    #[test]
    fn an_amount_with_more_digits_than_excel_keeps_is_a_text() {
        let money = |value| Cell::Money(value);
        let cells = vec![
            money(999_999_999_999_999),
            money(1_000_000_000_000_001),
            money(i64::MIN.into()),
            Cell::Points((1 << 53) - 1),
            Cell::Points(9_007_199_254_740_990),
            Cell::Date(sample::date(1900, 2, 28)),
        ];
        let workbook = write(&one_column(cells)).expect("written");
        let sheet = part(&workbook, "xl/worksheets/sheet2.xml");
        assert!(cell(&sheet, "A2").contains("<v>999999999.999999</v>"), "{}", cell(&sheet, "A2"));
        assert_eq!(shared(&workbook, cell(&sheet, "A3")), "1000000000.000001");
        assert_eq!(shared(&workbook, cell(&sheet, "A4")), "-9223372036854.775808");
        assert_eq!(shared(&workbook, cell(&sheet, "A5")), "9007199254740991");
        assert!(cell(&sheet, "A6").contains("<v>9007199254740990</v>"), "{}", cell(&sheet, "A6"));
        assert_eq!(shared(&workbook, cell(&sheet, "A7")), "1900-02-28");
    }

    #[test]
    fn hostile_texts_stay_texts() {
        let texts = sample::hostile();
        let workbook = write(&one_column(texts.iter().cloned().map(Cell::Text).collect())).expect("written");
        let sheet = part(&workbook, "xl/worksheets/sheet2.xml");
        assert!(!sheet.contains("<f") && !sheet.contains("<hyperlink"));
        let escaped = |text: &str| {
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\r', "_x000D_");
            text.replace("_x0041_", "_x005F_x0041_").replace("\0\u{1b}\u{fffe}", "_x0000__x001B__xFFFE_")
        };
        for (row, text) in texts.iter().enumerate() {
            let cut = if *text == sample::long() { "积".repeat(32_766) + "…" } else { text.clone() };
            assert_eq!(shared(&workbook, cell(&sheet, &format!("A{}", row + 2))), escaped(&cut));
        }
    }

    #[test]
    fn hostile_titles_labels_and_notes_stay_texts_too() {
        for hostile in sample::hostile() {
            let both = || Text::new(&hostile, &hostile);
            let mut report = sample::statement();
            report.title = both();
            report.facts[0].label = both();
            report.facts[0].value = Cell::Text(hostile.clone());
            report.sections[0].title = both();
            report.sections[0].columns[0].title = both();
            report.sections[0].totals.as_mut().expect("there")[0] = Cell::Text(hostile.clone());
            report.notes[0] = both();
            let workbook = write(&report).expect("written");
            for sheet in ["xl/worksheets/sheet1.xml", "xl/worksheets/sheet2.xml"] {
                let sheet = part(&workbook, sheet);
                assert!(!sheet.contains("<f") && !sheet.contains("<hyperlink") && !sheet.contains("t=\"str\""));
            }
        }
    }

    #[test]
    fn a_section_longer_than_a_sheet_is_refused() {
        let report = one_column(vec![Cell::Empty; limits::ROWS_MAX + 1]);
        let refused = write(&report).expect_err("too long").to_string();
        assert_eq!(refused, "section lines has 1048575 rows, more than a sheet holds");
    }
}
