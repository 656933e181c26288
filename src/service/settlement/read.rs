//! What was signed, for whoever may see it: windows, statements as documents, lines, the log.

use super::gather;
use super::{Error, broken};
use crate::domain::ids::WindowId;
use crate::domain::settlement::Participant;
use crate::service::reports::csv;
use crate::signing::general::Document;
use crate::signing::jws::Detached;
use crate::signing::note::Note;
use crate::store::settlement::lines as stored;
use crate::store::settlement::log;
use crate::store::settlement::statements::{self, Signature};
use diesel::PgConnection;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Chunks read at once: some 16,000 lines.
const CHUNKS: i64 = 16;

/// A statement as the document that is signed: General JWS, with every signature there is.
pub fn document(conn: &mut PgConnection, row: &statements::Row) -> Result<Document, Error> {
    let signatures = statements::signatures(conn, row.id)?;
    let detached = |row: Signature| Detached { protected: row.protected, signature: row.signature, kid: row.kid };
    let signatures: Vec<Detached> = signatures.into_iter().map(detached).collect();
    Document::new(row.payload.clone().into_bytes(), &signatures).map_err(broken)
}

/// The current checkpoint as a signed note, with the cosignatures under it.
pub fn checkpoint(conn: &mut PgConnection) -> Result<Option<String>, Error> {
    log::checkpoint(conn)?.map(note).transpose()
}

/// A checkpoint as a signed note, with the cosignatures under it.
pub fn note(found: log::Checkpoint) -> Result<String, Error> {
    // It was read back when it was signed; what partners added was checked when it came.
    Note::parse(found.note.as_bytes()).map_err(broken)?;
    Ok(found.cosignatures.iter().fold(found.note, |note, line| note + line + "\n"))
}

/// A participant's lines of a window, a bounded number at a time.
pub struct Lines {
    chunks: i64,
    window: WindowId,
    of: Participant,
    next: i64,
    end: i64,
}

impl Lines {
    pub fn of(row: &statements::Row) -> Lines {
        let end = row.first_line + row.lines;
        Lines { chunks: CHUNKS, window: row.window, of: row.participant.clone(), next: row.first_line, end }
    }

    /// For readers of whom there may be many, and slow ones: a chunk at a time, some 1,000 lines.
    pub fn slowly(row: &statements::Row) -> Lines {
        Lines { chunks: 1, ..Lines::of(row) }
    }

    /// The next of them, each ended by a line feed. `None` after the last.
    pub fn next(&mut self, conn: &mut PgConnection) -> Result<Option<Vec<u8>>, Error> {
        if self.next >= self.end {
            return Ok(None);
        }
        let chunks = stored::from(conn, self.window, &self.of, self.next, self.chunks)?;
        let mut bytes = Vec::new();
        for chunk in &chunks {
            if chunk.first_line != self.next {
                return Err(broken(format!("lines of {} are missing from {} on", self.of, self.next)));
            }
            bytes.extend(gather::unpack(chunk)?);
            self.next += i64::from(chunk.lines);
        }
        if chunks.is_empty() {
            return Err(broken(format!("lines of {} are missing from {} on", self.of, self.next)));
        }
        Ok(Some(bytes))
    }
}

/// Columns of lines as CSV: every member a line may have, those of objects by their path.
pub const COLUMNS: [&str; 52] = [
    "adjustment.approved_by",
    "adjustment.asked_by",
    "adjustment.dispute_id",
    "adjustment.id",
    "adjustment.reason",
    "agreement",
    "amount",
    "at",
    "benefit.brand",
    "benefit.code",
    "benefit.giver",
    "benefit.id",
    "benefit.kind",
    "benefit.reverses",
    "benefit.use",
    "benefit.use_id",
    "benefit.voucher_id",
    "business_date",
    "campaign.bonus_basis_points",
    "campaign.code",
    "campaign.version",
    "conversion_id",
    "counterparty",
    "counterparty_entity",
    "counterparty_tax_code",
    "currency",
    "debit_points",
    "entity",
    "fee",
    "fee_basis_points",
    "from",
    "funder",
    "kind",
    "line_id",
    "line_no",
    "original_line",
    "original_window",
    "participant",
    "points",
    "price",
    "rate.den",
    "rate.num",
    "rate.tier",
    "rate.version",
    "reference",
    "reversal_id",
    "tax_code",
    "to",
    "token",
    "undo",
    "v",
    "window",
];

/// Columns that are whole numbers in JSON.
pub const WHOLE: [&str; 13] = [
    "agreement",
    "campaign.bonus_basis_points",
    "campaign.version",
    "debit_points",
    "fee_basis_points",
    "line_no",
    "original_window",
    "points",
    "rate.den",
    "rate.num",
    "rate.version",
    "v",
    "window",
];

/// The heading of lines as CSV.
pub fn csv_heading() -> Vec<u8> {
    let mut rows = csv::Rows::after(Vec::new());
    rows.push(COLUMNS);
    rows.finish()
}

/// Lines as CSV (RFC 4180): a column a member, empty where a line has none; texts are made safe for spreadsheets, and
/// `csv::plain` gives them back.
pub fn to_csv(lines: &[u8]) -> Result<Vec<u8>, Error> {
    let mut rows = csv::Rows::after(Vec::with_capacity(lines.len()));
    for line in gather::each_line(lines) {
        let line: Map<String, Value> = serde_json::from_slice(line).map_err(broken)?;
        rows.push(COLUMNS.iter().map(|column| cell(&line, column)));
    }
    Ok(rows.finish())
}

fn cell<'a>(line: &'a Map<String, Value>, column: &str) -> Cow<'a, str> {
    let value = match column.split_once('.') {
        None => line.get(column),
        Some((object, member)) => line.get(object).and_then(|object| object.get(member)),
    };
    match value {
        None => Cow::Borrowed(""),
        // Figures are figures: a minus before one begins no formula.
        Some(Value::String(text)) if is_figure(column) => Cow::Borrowed(text),
        Some(Value::String(text)) => csv::safe(text),
        Some(other) => Cow::Owned(other.to_string()),
    }
}

/// Columns whose texts are decimal figures.
pub fn is_figure(column: &str) -> bool {
    matches!(column, "amount" | "fee" | "price")
}
