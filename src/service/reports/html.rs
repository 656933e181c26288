//! A report as a page for people: both languages, to be read on a screen or printed on A4.
//!
//! One file without scripts or anything fetched, which it also forbids itself; every text is escaped by the template.

use super::{Cell, Fact, Kind, Report, Section, Text, show};
use askama::Template;
use std::borrow::Cow;

/// A table with more columns than these turns the paper.
const PORTRAIT_COLUMNS_MAX: usize = 7;
/// A longer fact, such as a digest, gets a line of its own.
const FACT_LENGTH_MAX: usize = 32;
/// A column of texts no longer than this, such as names of partners, is not broken into lines.
const WORD_LENGTH_MAX: usize = 14;
/// A table with no more columns does not stretch over the paper: a figure stands near what it is of.
const NARROW_COLUMNS_MAX: usize = 4;
/// A table with more columns is set smaller, its words in two lines.
const PLAIN_COLUMNS_MAX: usize = 10;
/// A column of texts with a longer one needs room for sentences.
const PROSE_LENGTH_MIN: usize = 24;
/// A table with no more rows stays on one page.
const SHORT_ROWS_MAX: usize = 12;

/// The page.
pub fn write(report: &Report) -> String {
    report.check();
    let page = Page {
        report,
        facts: report.facts.iter().map(Entry::of).collect(),
        tables: report.sections.iter().map(Table::of).collect(),
        landscape: report.sections.iter().any(|section| section.columns.len() > PORTRAIT_COLUMNS_MAX),
    };
    page.render().expect("the template only writes texts, and memory takes every write")
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    facts: Vec<Entry<'a>>,
    tables: Vec<Table<'a>>,
    landscape: bool,
}

struct Entry<'a> {
    label: &'a Text,
    value: Cow<'a, str>,
    /// The class of its place among the others.
    class: &'static str,
}

struct Table<'a> {
    section: &'a Section,
    /// The classes of the table as a whole.
    class: String,
    /// The class of each column's cells.
    classes: Vec<&'static str>,
    rows: Vec<Row<'a>>,
    totals: Option<Vec<Shown<'a>>>,
}

struct Row<'a> {
    /// It begins a group: its first cell says something else than the one above.
    begins: bool,
    cells: Vec<Shown<'a>>,
}

/// A cell as it is read; what it is called in Chinese stands apart.
struct Shown<'a> {
    text: Cow<'a, str>,
    zh: &'static str,
}

impl<'a> Shown<'a> {
    fn of(cell: &'a Cell, decimals: usize) -> Shown<'a> {
        match cell {
            Cell::Word(word) => Shown { text: Cow::Borrowed(word.en), zh: word.zh },
            _ => Shown { text: show::readable(cell, decimals), zh: "" },
        }
    }

    /// The same with a dash for nothing, so that what is something is found among it; totals say 0.
    fn of_body(cell: &'a Cell, decimals: usize) -> Shown<'a> {
        let is_nothing = match cell {
            Cell::Money(value) | Cell::Points(value) => *value == 0,
            Cell::Whole(value) | Cell::BasisPoints(value) => *value == 0,
            Cell::Empty | Cell::Text(_) | Cell::Word(_) | Cell::Date(_) | Cell::Instant(_) => false,
        };
        if is_nothing { Shown { text: Cow::Borrowed("\u{2013}"), zh: "" } } else { Shown::of(cell, decimals) }
    }
}

impl<'a> Entry<'a> {
    fn of(fact: &'a Fact) -> Entry<'a> {
        let value = show::readable(&fact.value, 0);
        let class = if value.chars().count() > FACT_LENGTH_MAX { "long" } else { "fact" };
        Entry { label: &fact.label, value, class }
    }
}

impl<'a> Table<'a> {
    fn of(section: &'a Section) -> Table<'a> {
        let width = section.columns.len();
        let decimals: Vec<usize> = (0..width).map(|at| show::decimals(section.column(at))).collect();
        let body = |cells: &'a Vec<Cell>| -> Vec<Shown<'a>> {
            cells.iter().zip(&decimals).map(|(cell, places)| Shown::of_body(cell, *places)).collect()
        };
        let total = |cells: &'a Vec<Cell>| -> Vec<Shown<'a>> {
            cells.iter().zip(&decimals).map(|(cell, places)| Shown::of(cell, *places)).collect()
        };
        let groups = groups(section);
        Table {
            section,
            class: layout(section),
            classes: (0..width).map(|at| class(section, at)).collect(),
            rows: section.rows.iter().zip(groups).map(|(cells, begins)| Row { begins, cells: body(cells) }).collect(),
            totals: section.totals.as_ref().map(total),
        }
    }
}

/// Which rows begin a group; none does where every row would.
fn groups(section: &Section) -> Vec<bool> {
    let first: Vec<&Cell> = section.rows.iter().map(|row| &row[0]).collect();
    let same = first.windows(2).any(|pair| pair[0] == pair[1]);
    let begins = |at: usize| same && at > 0 && first[at] != first[at - 1];
    (0..first.len()).map(begins).collect()
}

fn layout(section: &Section) -> String {
    let columns = section.columns.len();
    let classes = [
        ("narrow", columns <= NARROW_COLUMNS_MAX),
        ("dense", columns > PLAIN_COLUMNS_MAX),
        ("short", section.rows.len() <= SHORT_ROWS_MAX),
    ];
    let classes: Vec<&str> = classes.into_iter().filter(|(_, is)| *is).map(|(class, _)| class).collect();
    classes.join(" ")
}

fn class(section: &Section, at: usize) -> &'static str {
    let is_word = |cell: &Cell| matches!(cell, Cell::Word(_) | Cell::Empty);
    match section.columns[at].kind {
        Kind::Text if section.column(at).all(is_word) => "word",
        Kind::Text if longest(section, at) <= WORD_LENGTH_MAX => "word",
        Kind::Text if longest(section, at) >= PROSE_LENGTH_MIN => "text prose",
        Kind::Text => "text",
        Kind::Whole | Kind::Points | Kind::Money | Kind::Percent => "number",
        Kind::Date | Kind::Instant => "time",
    }
}

/// Characters of the longest cell.
fn longest(section: &Section, at: usize) -> usize {
    section.column(at).map(|cell| show::readable(cell, 0).chars().count()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::{Word, sample};
    use super::*;

    #[test]
    fn both_languages_facts_rows_totals_and_notes_are_on_the_page() {
        let page = write(&sample::statement());
        for wanted in [
            "<title>Settlement statement 结算对账单</title>",
            "Harbour &#38; Hills 港山联盟",
            "\u{2212}1,234.56789",
            "2026-12-01 02:00:00 UTC",
            "<th scope=\"col\" class=\"number\"><span lang=\"en\">Price</span><span lang=\"zh-Hans\">结算价</span></th>",
            "<td class=\"number\">\u{2212}1,500</td>",
            "<td class=\"number\">0.0125</td>",
            "<td class=\"number\">\u{2212}2.50%</td>",
            "<td class=\"time\">2026-11-05 08:30:00 UTC</td>",
            "<tr class=\"total\"><td class=\"word\">Total 合计</td><td class=\"word\"></td><td class=\"number\">\u{2212}4,500</td>",
            "<td colspan=\"2\" class=\"nothing\">No entries 无记录</td>",
            "金额单位为人民币。",
            "size: A4 landscape",
        ] {
            assert!(page.contains(wanted), "{wanted}\n{page}");
        }
        assert_eq!(page, write(&sample::statement()));
    }

    #[test]
    fn a_narrow_report_stands_upright_and_one_without_facts_and_notes_has_no_place_for_them() {
        let mut report = sample::statement();
        report.sections.remove(0);
        report.facts.clear();
        report.notes.clear();
        let page = write(&report);
        assert!(page.contains("size: A4 portrait"));
        assert!(!page.contains("<dl") && !page.contains("<ol"));
    }

    #[test]
    fn nothing_is_a_dash_in_a_row_and_groups_begin_where_the_first_cell_changes() {
        let mut report = sample::statement();
        let mut second = sample::line("M-18");
        second[2] = Cell::Points(0);
        let mut third = sample::line("M-19");
        third[0] = Cell::Text("C-0002".into());
        report.sections[0].rows = vec![sample::line("M-17"), second, third];
        report.sections[0].totals.as_mut().expect("there")[2] = Cell::Points(0);
        let page = write(&report);
        assert_eq!(page.matches("<td class=\"number\">\u{2013}</td>").count(), 1);
        assert!(page.contains("<td class=\"number\">0</td>"), "a total says 0");
        assert_eq!(page.matches("<tr class=\"group\"><td class=\"word\">C-0002").count(), 1);
        report.sections[0].rows[1][0] = Cell::Text("C-0003".into());
        assert!(!write(&report).contains("class=\"group\""), "every row is another");
    }

    #[test]
    fn a_word_is_told_in_both_languages() {
        let mut report = sample::statement();
        report.sections[0].rows[0][0] = Cell::Word(Word::new("never", "Never", "永久"));
        assert!(write(&report).contains(">Never <span lang=\"zh-Hans\">永久</span></td>"));
    }

    #[test]
    fn hostile_texts_are_escaped_wherever_they_stand() {
        let tags = |page: &str| {
            let names = page.split('<').skip(1).map(|tag| tag.split(['>', ' ']).next().unwrap_or_default().to_owned());
            names.collect::<Vec<_>>()
        };
        let mut report = sample::statement();
        let mild = tags(&write(&report));
        for text in sample::hostile() {
            report.title = Text::new(&text, &text);
            report.facts[0].label = Text::new(&text, &text);
            report.facts[0].value = Cell::Text(text.clone());
            report.sections[0].title = Text::new(&text, &text);
            report.sections[0].columns[0].title = Text::new(&text, &text);
            report.sections[0].rows[0] = sample::line(&text);
            report.sections[0].totals.as_mut().expect("there")[0] = Cell::Text(text.clone());
            report.notes[0] = Text::new(&text, &text);
            let page = write(&report);
            assert_eq!(tags(&page), mild, "{text:?}");
            assert!(!page.contains("onerror=alert(1)>") && !page.contains("alert('x')"));
        }
    }

    #[test]
    fn nothing_is_fetched_and_nothing_runs() {
        let page = write(&sample::statement());
        for word in ["<script", "<link", "<img", "src=", "href=", "url(", "@import", "http:", "https:"] {
            assert!(!page.contains(word), "{word}");
        }
        assert!(page.contains("default-src 'none'"));
    }
}
