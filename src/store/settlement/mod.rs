//! Rows of settlement, a file each: windows and their exposures, lines, sums (`tallies`), statements, the log, obligations,
//! adjustments, disputes, reconciliations, estimates, points as brands report them, and what reports are read from. What may
//! be changed, and when, is also held by triggers.

pub mod adjustments;
pub mod disputes;
pub mod estimates;
pub mod exposures;
pub mod lines;
pub mod log;
pub mod obligations;
pub mod reconciliations;
pub mod reported;
pub mod reports;
pub mod statements;
pub mod tallies;
pub mod windows;

use crate::domain::money::Millionths;
use crate::domain::settlement::Participant;
use crate::store::Error;

/// A stored participant; `Err` for a text that is none.
fn participant(text: &str) -> Result<Participant, Error> {
    Participant::parse(text).ok_or_else(|| unreadable(format!("`{text}` is no participant")))
}

/// A row that the CHECKs of the migrations should have kept out: our bug, told with what was seen.
fn unreadable(what: impl Into<String>) -> Error {
    Error::Query(diesel::result::Error::DeserializationError(what.into().into()))
}

/// A sum as text: one of many numbers may be beyond a bigint.
fn sum(text: &str) -> Result<i128, Error> {
    text.parse().map_err(|_| unreadable(format!("`{text}` is no sum")))
}

fn money(value: i64) -> Millionths {
    Millionths::new(value)
}
