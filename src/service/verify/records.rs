//! Lines as CSV, back to the very bytes that were hashed: `service::settlement::read` writes a cell for each member.

use super::line::{MEMBERS, TABLE, Written};
use super::rules::Wrong;
use crate::service::reports::csv::plain;
use crate::service::settlement::read::{COLUMNS, is_figure};
use crate::signing::canonical;

/// Appends the line that a record was written from.
pub fn rebuild(record: &::csv::ByteRecord, out: &mut Vec<u8>) -> Result<(), Wrong> {
    if record.len() != MEMBERS {
        return Err(Wrong::Cells(record.len()));
    }
    out.push(b'{');
    let mut object = "";
    let mut comma = false;
    for ((member, column), cell) in TABLE.iter().zip(COLUMNS).zip(record).filter(|(_, cell)| !cell.is_empty()) {
        let cell = std::str::from_utf8(cell).map_err(|_| Wrong::Utf8)?;
        if member.object != object {
            if !object.is_empty() {
                out.push(b'}');
                comma = true;
            }
            if !member.object.is_empty() {
                if std::mem::take(&mut comma) {
                    out.push(b',');
                }
                name(out, member.object);
                out.push(b'{');
            }
            object = member.object;
        }
        if comma {
            out.push(b',');
        }
        name(out, member.name);
        value(out, member.written, column, cell)?;
        comma = true;
    }
    if !object.is_empty() {
        out.push(b'}');
    }
    out.push(b'}');
    Ok(())
}

fn name(out: &mut Vec<u8>, name: &str) {
    canonical::write_string(out, name);
    out.push(b':');
}

/// Whether a number or a flag has its one spelling is for the reading of the line to say; here, that it is nothing else.
fn value(out: &mut Vec<u8>, written: Written, column: &'static str, cell: &str) -> Result<(), Wrong> {
    let plain_number = || cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let wrong = |wanted| Err(Wrong::Cell { column, value: cell.to_owned(), wanted });
    match written {
        Written::Text if is_figure(column) => canonical::write_string(out, cell),
        Written::Text => canonical::write_string(out, plain(cell)),
        Written::Whole if plain_number() => out.extend_from_slice(cell.as_bytes()),
        Written::Flag if ["true", "false"].contains(&cell) => out.extend_from_slice(cell.as_bytes()),
        Written::Whole => return wrong("whole number"),
        Written::Flag => return wrong("true or false"),
    }
    Ok(())
}

/// Finds where records end: line feeds in quotes are part of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    #[default]
    CellBegins,
    Plain,
    Quoted,
    /// A quote within quotes: the cell's end, or one that is doubled.
    Quote,
}

impl Place {
    pub fn step(self, byte: u8) -> Place {
        match (self, byte) {
            (Place::Quoted, b'"') => Place::Quote,
            (Place::Quoted, _) | (Place::CellBegins | Place::Quote, b'"') => Place::Quoted,
            (_, b',' | b'\n' | b'\r') => Place::CellBegins,
            (_, _) => Place::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::line;
    use super::*;
    use crate::service::settlement::read::{csv_heading, to_csv};
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    fn records(csv: &[u8]) -> Vec<::csv::ByteRecord> {
        let reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(csv);
        reader.into_byte_records().map(|record| record.expect("a record")).collect()
    }

    proptest! {
        /// Whatever members a line has, and whatever is in its texts.
        #[test]
        fn a_line_comes_back_from_its_record_byte_for_byte(
            members in proptest::collection::vec(proptest::option::of("[=+@\t\r\n'＝－a积,\" -]{1,6}|\\PC{1,8}"), MEMBERS),
            number in -9_007_199_254_740_991_i64..=9_007_199_254_740_991,
        ) {
            let mut line = Map::new();
            for (member, text) in TABLE.iter().zip(members).filter_map(|(member, text)| Some((member, text?))) {
                let value = match member.written {
                    Written::Text => Value::String(text),
                    Written::Whole => number.into(),
                    Written::Flag => (number > 0).into(),
                };
                match member.object {
                    "" => { line.insert(member.name.into(), value); }
                    object => { line.entry(object).or_insert_with(|| json!({}))[member.name] = value; }
                }
            }
            prop_assume!(!line.is_empty());
            let bytes = canonical::to_vec(&Value::Object(line)).expect("canonical");
            prop_assert!(line::scan(std::str::from_utf8(&bytes).expect("UTF-8")).is_some());
            let csv = to_csv(&bytes).expect("CSV");
            let mut made = Vec::new();
            rebuild(&records(&csv)[0], &mut made).expect("a line");
            prop_assert_eq!(String::from_utf8_lossy(&made), String::from_utf8_lossy(&bytes));
            // One record, which ends where it ends.
            let ends = csv.iter().scan(Place::default(), |place, byte| {
                let end = *byte == b'\n' && *place != Place::Quoted;
                *place = place.step(*byte);
                Some(end)
            });
            let ends: Vec<usize> = ends.enumerate().filter(|(_, end)| *end).map(|(at, _)| at + 1).collect();
            prop_assert_eq!(ends, vec![csv.len()]);
        }
    }

    #[test]
    fn cells_that_are_no_cells_of_a_line_are_named() {
        let heading = csv_heading();
        let line = br#"{"amount":"-1.00","line_no":7,"undo":true}"#;
        let good = String::from_utf8(to_csv(line).expect("CSV")).expect("UTF-8");
        let made = |csv: &str| {
            let mut made = Vec::new();
            rebuild(&records(csv.as_bytes())[0], &mut made).map(|()| made)
        };
        assert_eq!(made(&good), Ok(line.to_vec()));
        assert!(records(&heading)[0].iter().eq(COLUMNS.map(str::as_bytes)));
        assert_eq!(made(&good.replacen(",7,", ",", 1)), Err(Wrong::Cells(MEMBERS - 1)));
        let cell = |column, value: &str, wanted| Err(Wrong::Cell { column, value: value.into(), wanted });
        assert_eq!(made(&good.replacen(",7,", ",7x,", 1)), cell("line_no", "7x", "whole number"));
        assert_eq!(made(&good.replacen("true", "yes", 1)), cell("undo", "yes", "true or false"));
    }
}
