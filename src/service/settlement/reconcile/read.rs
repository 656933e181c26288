//! Reading a list as it comes, row by row: CSV with a heading, or a JSON object a line. Numbers stay texts until they are
//! whole numbers or millionths.

use super::list::{Cells, Field, List, ROWS_MAX};
use crate::domain::ids::Slug;
use crate::signing::digest::Sha256;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

/// Bytes of one row.
const ROW_BYTES_MAX: usize = 64 * 1024;
/// Columns of one list.
const COLUMNS_MAX: usize = 256;

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Ndjson,
}

impl Format {
    pub fn code(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Ndjson => "ndjson",
        }
    }
}

/// Which column is which field; without one, columns are called as their fields and there is no other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping(Vec<(String, Field)>);

impl Mapping {
    /// Reads `column:field,column:field`. `Err` says what is wrong with it.
    pub fn parse(text: &str) -> Result<Mapping, &'static str> {
        let mut pairs: Vec<(String, Field)> = Vec::new();
        for pair in text.split(',') {
            let (column, field) = pair.rsplit_once(':').ok_or("must be pairs column:field with commas between them")?;
            let field = Field::parse(field.trim()).ok_or("names a field that is none")?;
            let column = column.trim();
            if column.is_empty() || pairs.iter().any(|(one, other)| one == column || *other == field) {
                return Err("must name each column and each field once");
            }
            pairs.push((column.to_owned(), field));
        }
        let mapping = Mapping(pairs);
        mapping.check(&mapping.fields())?;
        Ok(mapping)
    }

    fn fields(&self) -> Vec<Field> {
        self.0.iter().map(|(_, field)| *field).collect()
    }

    /// A list must name its rows and say something of them.
    fn check(&self, fields: &[Field]) -> Result<(), &'static str> {
        match () {
            () if !fields.iter().any(|field| field.names()) => {
                Err("must have one of line_id, conversion_id, reversal_id, external_reference")
            }
            () if !fields.iter().any(|field| field.says()) => {
                Err("must have one of amount, payable, points, debit_points")
            }
            () if fields.contains(&Field::Amount) && fields.contains(&Field::Payable) => {
                Err("has amount and payable, which are one turned round")
            }
            () => Ok(()),
        }
    }

    /// The field of a column; `Err`: a column nobody knows, which a mapping may leave out.
    fn field(&self, column: &str) -> Result<Option<Field>, ()> {
        if self.0.is_empty() {
            return Field::parse(column).map(Some).ok_or(());
        }
        Ok(self.0.iter().find(|(one, _)| one == column).map(|(_, field)| *field))
    }

    fn canonical(&self) -> String {
        let mut pairs: Vec<String> =
            self.0.iter().map(|(column, field)| format!("{column}:{}", field.code())).collect();
        pairs.sort_unstable();
        pairs.join(",")
    }
}

/// A list that was read.
pub struct Listed {
    pub list: List,
    /// SHA-256 over how it was read and its bytes.
    pub digest: [u8; 32],
    /// The fields it had.
    pub fields: Vec<Field>,
}

/// Why a list is not read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// Its bytes stopped coming, or could not be taken.
    #[error("the list stopped: {0}")]
    Stopped(io::Error),
    /// Row 0 is the heading.
    #[error("row {row}: {detail}")]
    Malformed { row: u32, detail: String },
    #[error("{0}")]
    Heading(String),
    #[error("more than {ROWS_MAX} rows")]
    TooMany,
    #[error("{} rows cannot be read", .0.len())]
    Faults(Vec<super::list::Fault>),
}

/// Reads a whole list of `owner`'s.
pub fn read(owner: &Slug, format: Format, mapping: &Mapping, bytes: impl Read) -> Result<Listed, Unread> {
    let mut digest = Sha256::default();
    for part in [format.code().as_bytes(), mapping.canonical().as_bytes()] {
        digest.update(part);
        digest.update(&[0]);
    }
    let mut bytes = Counted { bytes, digest, row: 0 };
    let mut list = List::new(owner.clone());
    let fields = match format {
        Format::Csv => csv(mapping, &mut bytes, &mut list)?,
        Format::Ndjson => ndjson(mapping, &mut bytes, &mut list)?,
    };
    if !list.faults.is_empty() {
        return Err(Unread::Faults(list.faults));
    }
    Ok(Listed { list, digest: bytes.digest.finish(), fields })
}

/// Bytes on their way in: hashed, and counted, so that a row that never ends is refused.
struct Counted<R> {
    bytes: R,
    digest: Sha256,
    /// Bytes read since the row began.
    row: usize,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.row > ROW_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a row is longer than 64 KiB"));
        }
        let count = self.bytes.read(buffer)?;
        self.digest.update(&buffer[..count]);
        self.row += count;
        Ok(count)
    }
}

fn stopped(row: u32, cause: io::Error) -> Unread {
    if cause.kind() == io::ErrorKind::FileTooLarge {
        return Unread::Malformed { row, detail: "is longer than 64 KiB".to_owned() };
    }
    Unread::Stopped(cause)
}

fn csv(mapping: &Mapping, bytes: &mut Counted<impl Read>, list: &mut List) -> Result<Vec<Field>, Unread> {
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut record = ::csv::StringRecord::new();
    let mut row = 0;
    let mut columns: Vec<Option<Field>> = Vec::new();
    loop {
        reader.get_mut().row = 0;
        let more = reader.read_record(&mut record).map_err(|cause| malformed(row, cause))?;
        match (more, row) {
            (true, 0) => columns = heading(mapping, &record)?,
            (false, 0) => return Err(Unread::Heading("has no heading".to_owned())),
            (false, _) => return Ok(columns.into_iter().flatten().collect()),
            (true, _) if record.len() != columns.len() => {
                list.fault(row, "", "has another number of cells than the heading");
            }
            (true, _) => {
                let mut cells = Cells::default();
                for (field, text) in columns.iter().zip(&record).filter_map(|(field, text)| Some(((*field)?, text))) {
                    cells.set(field, crate::service::reports::csv::plain(text).trim());
                }
                list.push(row, &cells);
            }
        }
        row = next(row, list)?;
    }
}

fn malformed(row: u32, cause: ::csv::Error) -> Unread {
    match cause.into_kind() {
        ::csv::ErrorKind::Io(cause) => stopped(row, cause),
        ::csv::ErrorKind::Utf8 { .. } => Unread::Malformed { row, detail: "is not UTF-8".to_owned() },
        _ => Unread::Malformed { row, detail: "is not CSV (RFC 4180)".to_owned() },
    }
}

/// The field of each column.
fn heading(mapping: &Mapping, record: &::csv::StringRecord) -> Result<Vec<Option<Field>>, Unread> {
    if record.len() > COLUMNS_MAX {
        return Err(Unread::Heading(format!("has more than {COLUMNS_MAX} columns")));
    }
    let mut columns = Vec::with_capacity(record.len());
    for (nth, name) in record.iter().enumerate() {
        // Spreadsheets put a byte order mark before the first.
        let name = if nth == 0 { name.trim_start_matches('\u{feff}') } else { name }.trim();
        let field = mapping.field(name).map_err(|()| {
            let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            Unread::Heading(format!("has a column `{name}` that is no field: say with map which columns are read"))
        })?;
        if field.is_some() && columns.contains(&field) {
            return Err(Unread::Heading("has a column twice".to_owned()));
        }
        columns.push(field);
    }
    if let Some((missing, _)) = mapping.0.iter().find(|(_, field)| !columns.contains(&Some(*field))) {
        return Err(Unread::Heading(format!("has no column `{missing}`")));
    }
    let fields: Vec<Field> = columns.iter().copied().flatten().collect();
    mapping.check(&fields).map_err(|why| Unread::Heading(why.to_owned()))?;
    Ok(columns)
}

/// The number of the next row; `Err` when no more are taken.
fn next(row: u32, list: &List) -> Result<u32, Unread> {
    match () {
        () if !list.is_full() => Ok(row.saturating_add(1)),
        () if list.faults.is_empty() => Err(Unread::TooMany),
        () => Err(Unread::Faults(list.faults.clone())),
    }
}

/// The members of a row's object in their order, none of them read yet.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Key(name), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A text, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

fn ndjson(mapping: &Mapping, bytes: &mut Counted<impl Read>, list: &mut List) -> Result<Vec<Field>, Unread> {
    let mut reader = BufReader::with_capacity(ROW_BYTES_MAX / 2, bytes);
    let mut line = Vec::new();
    let mut fields: Vec<Field> = Vec::new();
    let mut row = 1;
    loop {
        line.clear();
        reader.get_mut().row = 0;
        reader.read_until(b'\n', &mut line).map_err(|cause| stopped(row, cause))?;
        if line.is_empty() {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let Ok(Members(members)) = serde_json::from_slice(&line) else {
            return Err(Unread::Malformed { row, detail: "is not a JSON object".to_owned() });
        };
        object(mapping, &members, row, list, &mut fields);
        row = next(row, list)?;
    }
    // Without a row nothing was said, and nothing is missed.
    if row > 1 && list.faults.is_empty() {
        mapping.check(&fields).map_err(|why| Unread::Heading(why.to_owned()))?;
    }
    Ok(fields)
}

fn object(
    mapping: &Mapping,
    members: &[(Cow<'_, str>, &RawValue)],
    row: u32,
    list: &mut List,
    fields: &mut Vec<Field>,
) {
    let mut named: Vec<(Field, Cow<'_, str>)> = Vec::with_capacity(members.len().min(Field::ALL.len()));
    for (name, value) in members {
        let field = match mapping.field(name) {
            Ok(None) => continue,
            Ok(Some(field)) => field,
            Err(()) => {
                list.fault(row, "", "has a member that is no field: say with map which are read");
                return;
            }
        };
        match text_of(value.get()) {
            Some(text) => named.push((field, text)),
            None => {
                list.fault(row, field.code(), "must be a text or a number without an exponent");
                return;
            }
        }
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    let mut cells = Cells::default();
    for (field, text) in &named {
        if !cells.set(*field, text) {
            list.fault(row, field.code(), "occurs twice");
            return;
        }
    }
    list.push(row, &cells);
}

/// A text's own, or the digits of a number as they are written: no number becomes a float. `null` says nothing.
fn text_of(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => serde_json::from_str::<Key<'_>>(raw).ok().map(|Key(text)| text),
        b'n' => Some(Cow::Borrowed("")),
        b'-' | b'0'..=b'9' if raw.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.')) => {
            Some(Cow::Borrowed(raw))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::settlement::reconcile::list::By;

    fn owner() -> Slug {
        "lumen".parse().expect("a slug")
    }

    fn all(format: Format, map: &str, text: &str) -> Result<Listed, Unread> {
        let mapping = if map.is_empty() { Mapping::default() } else { Mapping::parse(map).expect("a mapping") };
        // One byte at a time: wherever a body is cut, the same is read.
        struct Single<'a>(&'a [u8]);
        impl Read for Single<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let count = self.0.len().min(1).min(buffer.len());
                buffer[..count].copy_from_slice(&self.0[..count]);
                self.0 = &self.0[count..];
                Ok(count)
            }
        }
        let one = read(&owner(), format, &mapping, Single(text.as_bytes()));
        let whole = read(&owner(), format, &mapping, text.as_bytes());
        match (&one, &whole) {
            (Ok(one), Ok(whole)) => assert_eq!((one.digest, one.list.len()), (whole.digest, whole.list.len())),
            (Err(one), Err(whole)) => assert_eq!(one.to_string(), whole.to_string()),
            _ => panic!("read in pieces it is another list"),
        }
        whole
    }

    fn refused(format: Format, map: &str, text: &str) -> String {
        match all(format, map, text) {
            Ok(_) => panic!("{text} was read"),
            Err(Unread::Faults(faults)) => format!("{} {} {}", faults[0].row, faults[0].field, faults[0].detail),
            Err(other) => other.to_string(),
        }
    }

    #[test]
    fn both_formats_say_the_same_and_columns_may_be_called_anything() {
        let id = "cnv_0198c0de0000700080000000000000aa";
        let csv = format!("\u{feff}Nr,Konto: A,Betrag,Wer\r\n1,{id},\"-3.40\",harvest\r\n2,,5,\r\n");
        let map = "Konto: A:conversion_id, Betrag:amount,Nr:external_reference";
        let json = format!(
            "{{\"conversion_id\":\"{id}\",\"amount\":-3.40}}\n\n{{\"external_reference\":\"2\",\"amount\":\"5\",\"conversion_id\":null}}"
        );
        for read in [all(Format::Csv, map, &csv), all(Format::Ndjson, "", &json)] {
            let mut list = read.unwrap_or_else(|error| panic!("{error}")).list;
            list.sort();
            let posted = list.entry(
                list.find(By::Conversion, id.parse::<crate::domain::ids::ConversionId>().expect("an id").0).start,
            );
            let other = list.unseen().iter().map(|place| list.entry(*place as usize).row).collect::<Vec<_>>();
            assert_eq!(
                (posted.there().amount.map(|amount| amount.to_string()), other),
                (Some("-3.40".into()), vec![1, 2])
            );
        }
        assert_eq!(all(Format::Csv, "", "conversion_id,points\n").expect("empty").list.len(), 0);
    }

    #[test]
    fn what_cannot_be_read_is_refused_where_it_stands() {
        let (csv, json) = (Format::Csv, Format::Ndjson);
        for (format, map, text, why) in [
            (csv, "", "", "has no heading"),
            (
                csv,
                "",
                "conversion_id,Amount\n",
                "has a column `Amount` that is no field: say with map which columns are read",
            ),
            (csv, "", "conversion_id,counterparty\n", "must have one of amount, payable, points, debit_points"),
            (csv, "", "amount,points\n", "must have one of line_id, conversion_id, reversal_id, external_reference"),
            (csv, "", "line_id,amount,payable\n", "has amount and payable, which are one turned round"),
            (csv, "", "amount,amount\n", "has a column twice"),
            (csv, "A:amount,B:line_id", "B,C\n", "has no column `A`"),
            (csv, "", "external_reference,amount\na,1\nb\n", "2  has another number of cells than the heading"),
            (
                csv,
                "",
                "external_reference,amount\na,1e3\n",
                "1 amount is no amount: a decimal string with at most 6 digits after the point",
            ),
            (
                json,
                "",
                "{\"external_reference\":\"a\",\"amount\":1e3}\n",
                "1 amount must be a text or a number without an exponent",
            ),
            (json, "", "{\"external_reference\":\"a\",\"amount\":1,\"amount\":2}\n", "1 amount occurs twice"),
            (
                json,
                "",
                "{\"external_reference\":\"a\",\"Amount\":1}\n",
                "1  has a member that is no field: say with map which are read",
            ),
            (json, "", "[1]\n", "row 1: is not a JSON object"),
            (json, "", "{\"external_reference\":\"a\"}\n", "must have one of amount, payable, points, debit_points"),
        ] {
            assert_eq!(refused(format, map, text), why, "{text}");
        }
        let endless = format!("external_reference,amount\n\"{}", "a".repeat(200_000));
        assert_eq!(refused(csv, "", &endless), "row 1: is longer than 64 KiB");
        assert_eq!(refused(json, "", &"a".repeat(200_000)), "row 1: is longer than 64 KiB");
        for map in ["", "a", "a:b", ":amount", "a:amount,a:points", "a:amount,b:amount", "a:amount"] {
            assert!(Mapping::parse(map).is_err(), "{map}");
        }
    }
}
