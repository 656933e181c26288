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

/// No name has a character that takes an escape.
fn name(out: &mut Vec<u8>, name: &str) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn string(out: &mut Vec<u8>, text: &str) {
    // Nearly all of them: copied as a whole.
    if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        return canonical::write_string(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Whether a number or a flag has its one spelling is for the reading of the line to say; here, that it is nothing else.
fn value(out: &mut Vec<u8>, written: Written, column: &'static str, cell: &str) -> Result<(), Wrong> {
    let plain_number = || cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let wrong = |wanted| Err(Wrong::Cell { column, value: cell.to_owned(), wanted });
    match written {
        Written::Text if is_figure(column) => string(out, cell),
        Written::Text => string(out, plain(cell)),
        Written::Whole if plain_number() => out.extend_from_slice(cell.as_bytes()),
        Written::Flag if ["true", "false"].contains(&cell) => out.extend_from_slice(cell.as_bytes()),
        Written::Whole => return wrong("whole number"),
        Written::Flag => return wrong("true or false"),
    }
    Ok(())
}

/// After the last record that is whole. Line feeds in quotes are part of a cell, and a quote opens a cell only where it
/// is the first of it.
pub fn end(block: &[u8]) -> Option<usize> {
    let (mut at, mut end) = (0, None);
    while at < block.len() {
        let quote = block[at..].iter().position(|byte| *byte == b'"').map(|more| at + more);
        let plain = &block[at..quote.unwrap_or(block.len())];
        end = plain.iter().rposition(|byte| *byte == b'\n').map(|feed| at + feed + 1).or(end);
        let Some(quote) = quote else { break };
        at = quote + 1;
        if quote == 0 || matches!(block[quote - 1], b',' | b'\n' | b'\r') {
            at = after_cell(block, at);
        }
    }
    end
}

/// After the quote that closes the cell whose text begins at `at`; two of them stand for one.
fn after_cell(block: &[u8], mut at: usize) -> usize {
    while let Some(more) = block[at..].iter().position(|byte| *byte == b'"') {
        at += more + 1;
        if block.get(at) != Some(&b'"') {
            return at;
        }
        at += 1;
    }
    block.len()
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
            // However much of a second one is there, the first ends where it ends.
            for more in 0..csv.len() {
                prop_assert_eq!(end(&[&csv, &csv[..more]].concat()), Some(csv.len()));
            }
            prop_assert_eq!(end(&csv[..csv.len() - 1]), None);
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
