//! A report as one JSON document: both languages, members in a fixed order, rows as objects by the columns' codes.
//!
//! Points and counts are integers, points from 2^53 on a text; money and percents are decimal strings, `"0.0125"` and `"2.50"`; dates and instants
//! are ISO 8601 strings; a word is its code; an empty cell is null. A column's `kind` says which it is.

use super::{Cell, Column, Fact, Kind, Report, Section, Text, show};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// The document, compact, with a newline at its end.
pub fn write(report: &Report) -> Vec<u8> {
    report.check();
    let document = Document {
        code: report.code,
        title: Both::of(&report.title),
        facts: report.facts.iter().map(FactObject::of).collect(),
        sections: report.sections.iter().map(SectionObject::of).collect(),
        notes: report.notes.iter().map(Both::of).collect(),
    };
    let mut bytes = serde_json::to_vec(&document).expect("names are texts, and memory takes every write");
    bytes.push(b'\n');
    bytes
}

#[derive(Serialize)]
struct Document<'a> {
    code: &'a str,
    title: Both<'a>,
    facts: Vec<FactObject<'a>>,
    sections: Vec<SectionObject<'a>>,
    notes: Vec<Both<'a>>,
}

#[derive(Serialize)]
struct Both<'a> {
    en: &'a str,
    zh: &'a str,
}

#[derive(Serialize)]
struct FactObject<'a> {
    code: &'a str,
    label: Both<'a>,
    value: Value<'a>,
}

#[derive(Serialize)]
struct SectionObject<'a> {
    code: &'a str,
    title: Both<'a>,
    columns: Vec<ColumnObject<'a>>,
    rows: Vec<Row<'a>>,
    totals: Option<Row<'a>>,
}

#[derive(Serialize)]
struct ColumnObject<'a> {
    code: &'a str,
    title: Both<'a>,
    kind: &'static str,
}

struct Row<'a> {
    columns: &'a [Column],
    cells: &'a [Cell],
}

struct Value<'a>(&'a Cell);

impl<'a> Both<'a> {
    fn of(text: &'a Text) -> Both<'a> {
        Both { en: &text.en, zh: &text.zh }
    }
}

impl<'a> FactObject<'a> {
    fn of(fact: &'a Fact) -> FactObject<'a> {
        FactObject { code: fact.code, label: Both::of(&fact.label), value: Value(&fact.value) }
    }
}

impl<'a> SectionObject<'a> {
    fn of(section: &'a Section) -> SectionObject<'a> {
        let row = |cells: &'a Vec<Cell>| Row { columns: &section.columns, cells };
        SectionObject {
            code: section.code,
            title: Both::of(&section.title),
            columns: section.columns.iter().map(ColumnObject::of).collect(),
            rows: section.rows.iter().map(row).collect(),
            totals: section.totals.as_ref().map(row),
        }
    }
}

impl<'a> ColumnObject<'a> {
    fn of(column: &'a Column) -> ColumnObject<'a> {
        ColumnObject { code: &column.code, title: Both::of(&column.title), kind: kind(column.kind) }
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Whole => "whole",
        Kind::Points => "points",
        Kind::Money => "money",
        Kind::Percent => "percent",
        Kind::Date => "date",
        Kind::Instant => "instant",
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, cell) in self.columns.iter().zip(self.cells) {
            row.serialize_entry(&*column.code, &Value(cell))?;
        }
        row.end()
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Cell::Empty => serializer.serialize_none(),
            Cell::Whole(value) => serializer.serialize_i64(*value),
            // A number is exact up to there in every JSON library (RFC 8785, RFC 7493); beyond it is a text.
            Cell::Points(value) if value.unsigned_abs() < 1 << 53 => serializer.serialize_i128(*value),
            Cell::Text(_)
            | Cell::Word(_)
            | Cell::Points(_)
            | Cell::Money(_)
            | Cell::BasisPoints(_)
            | Cell::Date(_)
            | Cell::Instant(_) => serializer.serialize_str(&show::exact(self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use serde_json::{Value as Json, json};

    fn read(report: &Report) -> Json {
        serde_json::from_slice(&write(report)).expect("JSON")
    }

    #[test]
    fn members_keep_their_order_and_amounts_their_type() {
        let mut report = sample::statement();
        report.facts.truncate(1);
        report.sections.remove(1);
        report.sections[0].columns.truncate(5);
        report.sections[0].rows.truncate(1);
        report.sections[0].rows[0].truncate(5);
        report.sections[0].totals = None;
        report.sections[0].columns.drain(0..2);
        report.sections[0].rows[0].drain(0..2);
        let wanted = r#"{"code":"statement","title":{"en":"Settlement statement","zh":"结算对账单"},"facts":[{"code":"alliance","label":{"en":"Alliance","zh":"联盟"},"value":"Harbour & Hills 港山联盟"}],"sections":[{"code":"lines","title":{"en":"Lines","zh":"明细"},"columns":[{"code":"points","title":{"en":"Points","zh":"积分"},"kind":"points"},{"code":"price","title":{"en":"Price","zh":"结算价"},"kind":"money"},{"code":"value","title":{"en":"Value","zh":"金额"},"kind":"money"}],"rows":[{"points":-1500,"price":"0.0125","value":"18.75"}],"totals":null}],"notes":[{"en":"Amounts are in CNY.","zh":"金额单位为人民币。"}]}"#;
        assert_eq!(String::from_utf8(write(&report)).expect("UTF-8"), format!("{wanted}\n"));
    }

    #[test]
    fn every_kind_of_cell_and_an_empty_section_are_there() {
        let read = read(&sample::statement());
        let row = json!({
            "conversion": "C-0001", "member": "M-17", "points": -1500, "price": "0.0125", "value": "18.75",
            "share": "-2.50", "day": "2026-11-05", "posted_at": "2026-11-05T08:30:00.250Z",
        });
        assert_eq!(read["sections"][0]["rows"][0], row);
        assert_eq!(read["sections"][0]["totals"]["price"], Json::Null);
        assert_eq!(read["sections"][1]["rows"], json!([]));
        assert_eq!(write(&sample::statement()), write(&sample::statement()));
    }

    #[test]
    fn hostile_texts_read_back_as_they_were() {
        let mut report = sample::statement();
        let texts = sample::hostile();
        report.sections[0].rows = texts.iter().map(|text| sample::line(text)).collect();
        let read = read(&report);
        for (at, text) in texts.iter().enumerate() {
            assert_eq!(read["sections"][0]["rows"][at]["member"], json!(text));
        }
    }
}
