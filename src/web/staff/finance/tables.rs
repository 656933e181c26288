//! A report as tables of a page, in one language: figures lead to the lines behind them.

use crate::domain::settlement::tally::Sort;
use crate::service::reports::{Cell, Column, Kind, Report, Section, Text, show};
use crate::web::lang::Lang;

pub struct Table {
    pub code: &'static str,
    pub title: String,
    pub heads: Vec<Head>,
    pub rows: Vec<Vec<Shown>>,
    pub totals: Option<Vec<Shown>>,
}

pub struct Head {
    pub title: String,
    pub class: &'static str,
}

pub struct Shown {
    pub text: String,
    pub class: &'static str,
    /// Where the lines behind it are.
    pub link: Option<String>,
}

/// Something that is true of the whole report.
pub struct Fact {
    pub label: String,
    pub value: String,
}

/// Where a cell of a section leads: the section, the row, the column.
pub type Leads<'a> = &'a dyn Fn(&Section, &[Cell], &Column) -> Option<String>;

pub fn of(lang: Lang, report: &Report, leads: Leads<'_>) -> Vec<Table> {
    report.sections.iter().map(|section| table(lang, section, leads)).collect()
}

pub fn facts(lang: Lang, report: &Report) -> Vec<Fact> {
    let fact = |fact: &crate::service::reports::Fact| Fact {
        label: text(lang, &fact.label).to_owned(),
        value: cell(lang, &fact.value, 0),
    };
    report.facts.iter().map(fact).collect()
}

pub fn notes(lang: Lang, report: &Report) -> Vec<String> {
    report.notes.iter().map(|note| text(lang, note).to_owned()).collect()
}

/// No figure leads anywhere.
pub fn nowhere(_: &Section, _: &[Cell], _: &Column) -> Option<String> {
    None
}

fn table(lang: Lang, section: &Section, leads: Leads<'_>) -> Table {
    let all = || section.rows.iter().chain(&section.totals);
    let decimals = |at: usize| show::decimals(all().filter_map(move |row| row.get(at)));
    let decimals: Vec<usize> = (0..section.columns.len()).map(decimals).collect();
    let shown = |cells: &Vec<Cell>, is_body: bool| -> Vec<Shown> {
        let each = section.columns.iter().zip(cells).zip(&decimals);
        let shown = each.map(|((column, value), places)| Shown {
            text: if is_body && is_nothing(value) { "–".to_owned() } else { cell(lang, value, *places) },
            class: class(column),
            link: if is_body && !is_nothing(value) { leads(section, cells, column) } else { None },
        });
        shown.collect()
    };
    let head = |column: &Column| Head { title: text(lang, &column.title).to_owned(), class: class(column) };
    Table {
        code: section.code,
        title: text(lang, &section.title).to_owned(),
        heads: section.columns.iter().map(head).collect(),
        rows: section.rows.iter().map(|row| shown(row, true)).collect(),
        totals: section.totals.as_ref().map(|row| shown(row, false)),
    }
}

fn class(column: &Column) -> &'static str {
    match column.kind {
        kind if kind.is_number() => "number",
        Kind::Date | Kind::Instant => "time",
        _ => "",
    }
}

fn is_nothing(cell: &Cell) -> bool {
    match cell {
        Cell::Empty => true,
        Cell::Money(value) | Cell::Points(value) => *value == 0,
        Cell::Whole(value) | Cell::BasisPoints(value) => *value == 0,
        Cell::Text(_) | Cell::Word(_) | Cell::Date(_) | Cell::Instant(_) => false,
    }
}

fn cell(lang: Lang, cell: &Cell, decimals: usize) -> String {
    match (cell, lang) {
        (Cell::Word(word), Lang::En) => word.en.to_owned(),
        (Cell::Word(word), Lang::Zh) => word.zh.to_owned(),
        _ => show::readable(cell, decimals).into_owned(),
    }
}

/// What stands in one language alone is the same in the other.
fn text(lang: Lang, text: &Text) -> &str {
    match lang {
        Lang::Zh if !text.zh.is_empty() => &text.zh,
        Lang::En | Lang::Zh => &text.en,
    }
}

/// The sort of a column or a row of a statement's report.
pub fn sort(code: &str) -> Option<Sort> {
    Sort::ALL.into_iter().find(|sort| sort.code() == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    #[test]
    fn figures_are_aligned_linked_and_in_the_readers_language() {
        let column =
            |code: &'static str, kind| Column { code: Cow::Borrowed(code), title: Text::new(code, "列"), kind };
        let section = Section {
            code: "figures",
            title: Text::new("Figures", ""),
            columns: vec![column("who", Kind::Text), column("out", Kind::Money)],
            rows: vec![
                vec![Cell::Text("aa".to_owned()), Cell::Money(-1_234_500_000)],
                vec![Cell::Text("bb".to_owned()), Cell::Money(0)],
            ],
            totals: None,
        };
        let leads = |_: &Section, row: &[Cell], column: &Column| match &row[0] {
            Cell::Text(who) => sort(&column.code).map(|sort| format!("{who}/{}", sort.code())),
            _ => None,
        };
        let made = table(Lang::Zh, &section, &leads);
        assert_eq!(
            (made.title.as_str(), made.heads[1].title.as_str(), made.heads[1].class),
            ("Figures", "列", "number")
        );
        assert_eq!((made.rows[0][1].text.as_str(), made.rows[0][1].link.as_deref()), ("−1,234.50", Some("aa/out")));
        assert_eq!((made.rows[1][1].text.as_str(), &made.rows[1][1].link), ("–", &None));
    }
}
