//! Reconciliation: a partner's own list of a window against its stored lines, bounded in memory and kept with what differs.
//!
//! `list` the list, packed · `read` CSV and NDJSON as they come · `compare` lines against it · `difference` what is kept ·
//! `dispute` differences become disputes.

mod compare;
mod difference;
mod dispute;
mod list;
mod read;

pub use difference::{Difference, Side, csv_heading, to_csv};
pub use dispute::{open_disputes, open_disputes_and};
pub use list::{Fault, ROWS_MAX};
pub use read::{Format, Listed, Mapping, Unread, read};

use super::find::{self, Line};
use super::read::Lines;
use super::{Error, broken, gather};
use crate::book::engine::world::EventKind;
use crate::book::posting;
use crate::domain::ids::{ReconciliationId, Slug, WindowId};
use crate::domain::money::decimal;
use crate::domain::settlement::reconcile::{Finding, Results};
use crate::domain::settlement::{Participant, line};
use crate::store::catalogue;
use crate::store::settlement::reconciliations::{self as stored, Completed, Handled, Run};
use crate::store::settlement::{lines, statements, windows};
use compare::Comparing;
use diesel::PgConnection;
use list::By;
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

pub use crate::store::settlement::reconciliations::Row;

/// Entries looked for elsewhere at once.
const LOOKED_UP: usize = 1_000;
/// A partner's reconciliations of one window whose differences are kept.
const KEPT: i64 = 20;
/// A reconciliation that takes longer will never end: its server died. It takes seconds.
const STALE: chrono::TimeDelta = chrono::TimeDelta::hours(1);
/// zstd's fastest: differences are much alike.
const LEVEL: i32 = 1;
/// Lists taken at once by one server, of different partners.
const TURNS_MAX: usize = 2;

/// How long a list waits for its turn.
const PATIENCE: Duration = Duration::from_secs(20);

static TURNS: Mutex<BTreeSet<Slug>> = Mutex::new(BTreeSet::new());
static ENDED: Notify = Notify::const_new();

/// The right to bring a list, until it is dropped: a list takes memory for as long as it is read and compared.
#[derive(Debug)]
pub struct Turn(Slug);

impl Turn {
    /// Waits while this partner brings another, or too many do; `None` when it waited too long.
    pub async fn wait(partner: &Slug) -> Option<Turn> {
        let turn = async {
            loop {
                // Listening first, so that a turn that ends in between is heard.
                let ended = ENDED.notified();
                if let Some(turn) = Turn::take(partner) {
                    return turn;
                }
                ended.await;
            }
        };
        tokio::time::timeout(PATIENCE, turn).await.ok()
    }

    fn take(partner: &Slug) -> Option<Turn> {
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        let free = turns.len() < TURNS_MAX && turns.insert(partner.clone());
        free.then(|| Turn(partner.clone()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TURNS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
        ENDED.notify_waiters();
    }
}

/// `NotFound` unless the partner has a statement of this window and it is published.
pub fn check(conn: &mut PgConnection, partner: &Slug, window: WindowId) -> Result<(), Error> {
    find::statement(conn, window, &Participant::from(partner)).map(|_| ())
}

/// Compares a list with the partner's lines of a window and keeps what it comes to; `true` when it is new: the same list
/// again is the same reconciliation.
pub fn reconcile(conn: &mut PgConnection, turn: &Turn, window: WindowId, listed: Listed) -> Result<(Row, bool), Error> {
    reconcile_and(conn, turn, window, listed, |_, _| Ok(()))
}

/// The same; what is new is shown to `also` in the transaction that completes it.
pub fn reconcile_and(
    conn: &mut PgConnection,
    Turn(partner): &Turn,
    window: WindowId,
    listed: Listed,
    also: impl FnOnce(&mut PgConnection, &Row) -> Result<(), Error>,
) -> Result<(Row, bool), Error> {
    let of = Participant::from(partner);
    let (window, statement) = find::statement(conn, window, &of)?;
    if let Some(first) = stored::same(conn, window.id, &of, &listed.digest)? {
        return Ok((first, false));
    }
    let mut fields = listed.fields;
    fields.sort_unstable_by_key(|field| field.code());
    let row = Row {
        id: ReconciliationId(Uuid::now_v7()),
        window: window.id,
        number: window.number,
        participant: of,
        digest: listed.digest,
        compared: fields.iter().map(|field| field.code().to_owned()).collect(),
        started_at: catalogue::business_now(conn)?,
        rows: i64::try_from(listed.list.len()).map_err(broken)?,
        lines: statement.lines,
        completed: None,
        handled: Handled::default(),
    };
    stored::abandon_stale(conn, row.window, &row.participant, began_before(crate::clock::now() - STALE))?;
    stored::insert(conn, &row)?;
    let mut list = listed.list;
    list.sort();
    let compared = compare(conn, &row, &statement, Comparing::new(list));
    match compared.and_then(|(results, differences)| complete(conn, &row, &results, differences, also)) {
        Ok(done) if done.1 => {
            stored::let_go(conn, row.window, &row.participant, KEPT)?;
            Ok(done)
        }
        other => {
            // Best effort: one that is not completed is nobody's, and the error says more.
            let _ = stored::abandon(conn, row.id);
            other
        }
    }
}

/// The id above those given out before an instant (RFC 9562, version 7: the milliseconds come first).
fn began_before(at: chrono::DateTime<chrono::Utc>) -> ReconciliationId {
    let milliseconds = u128::try_from(at.timestamp_millis()).unwrap_or(0);
    ReconciliationId(Uuid::from_u128(milliseconds << 80))
}

/// The participant's lines one by one, then what of the list is left; what differs is written as it is found.
fn compare(
    conn: &mut PgConnection,
    row: &Row,
    statement: &statements::Row,
    mut comparing: Comparing,
) -> Result<(Results, i64), Error> {
    let mut written = Written { id: row.id, places: 0, open: Vec::new() };
    let mut own = Lines::of(statement);
    while let Some(bytes) = own.next(conn)? {
        for line in gather::each_line(&bytes) {
            comparing.line(Line::parse(line)?, &mut |difference| written.take(conn, difference))?;
        }
    }
    comparing.end(&mut |difference| written.take(conn, difference))?;
    let numbers = windows::numbers(conn)?;
    for places in comparing.left().chunks(LOOKED_UP) {
        let elsewhere = elsewhere(conn, row, &comparing, places)?;
        for (place, window) in places.iter().zip(elsewhere) {
            let window = window.and_then(|window| numbers.get(&window.0).copied());
            comparing.missing(*place, window, &mut |difference| written.take(conn, difference))?;
        }
    }
    written.finish(conn)?;
    Ok((comparing.results, written.places))
}

/// In which window each of these entries is, if it is the participant's in one.
fn elsewhere(
    conn: &mut PgConnection,
    row: &Row,
    comparing: &Comparing,
    places: &[u32],
) -> Result<Vec<Option<WindowId>>, Error> {
    let named: Vec<(By, Uuid)> = places.iter().map(|place| comparing.entry(*place).named()).collect();
    let hashes: Vec<Uuid> = named.iter().filter(|(by, _)| *by == By::Reference).map(|(_, hash)| *hash).collect();
    let subjects: HashMap<Uuid, Uuid> = lines::named(conn, &hashes)?.into_iter().collect();
    let range = |(by, id): &(By, Uuid)| match by {
        By::Line => Some(line::of_posting(crate::domain::ids::LineId(*id))),
        By::Conversion | By::Reversal => Some((*id, *id)),
        By::Reference => subjects.get(id).map(|subject| (*subject, *subject)),
    };
    let ranges: Vec<Option<(Uuid, Uuid)>> = named.iter().map(range).collect();
    let wanted: Vec<(Uuid, Uuid)> = ranges.iter().flatten().copied().collect();
    let mut posted = lines::posted(conn, &wanted)?;
    posted.retain(|posted| posted.sides.iter().any(|side| side == row.participant.as_str()));
    posted.sort_unstable_by_key(|posted| posted.id);
    let window = |range: &Option<(Uuid, Uuid)>| {
        let (low, high) = (*range)?;
        let at = posted.partition_point(|posted| posted.id < low);
        let found = posted.get(at).filter(|posted| posted.id <= high)?;
        // What is in this very window would have been compared.
        (found.place.window != row.window).then_some(found.place.window)
    };
    Ok(ranges.iter().map(window).collect())
}

/// Differences on their way into runs.
struct Written {
    id: ReconciliationId,
    places: i64,
    open: Vec<Difference>,
}

impl Written {
    fn take(&mut self, conn: &mut PgConnection, mut difference: Difference) -> Result<(), Error> {
        self.places += 1;
        difference.place = self.places;
        self.open.push(difference);
        if i64::try_from(self.open.len()).is_ok_and(|open| open >= stored::RUN_PLACES) {
            self.finish(conn)
        } else {
            Ok(())
        }
    }

    fn finish(&mut self, conn: &mut PgConnection) -> Result<(), Error> {
        let Some(first) = self.open.first() else { return Ok(()) };
        let first_place = first.place;
        let mut bytes = Vec::new();
        for difference in &self.open {
            serde_json::to_writer(&mut bytes, difference).map_err(broken)?;
            bytes.push(b'\n');
        }
        let body = zstd::bulk::compress(&bytes, LEVEL).map_err(broken)?;
        let places = i32::try_from(self.open.len()).map_err(broken)?;
        self.open.clear();
        Ok(stored::insert_runs(conn, self.id, &[Run { first_place, places, body }])?)
    }
}

/// Keeps the results and tells the partner; the first one of the same list stays.
fn complete(
    conn: &mut PgConnection,
    row: &Row,
    results: &Results,
    differences: i64,
    also: impl FnOnce(&mut PgConnection, &Row) -> Result<(), Error>,
) -> Result<(Row, bool), Error> {
    let zone = catalogue::load(conn)?.alliance.zone;
    posting::post(conn, zone, |conn, posting| {
        stored::completing(conn, &row.participant)?;
        if let Some(first) = stored::same(conn, row.window, &row.participant, &row.digest)? {
            return Ok((first, false));
        }
        let results = written(results);
        let completed = Completed { at: posting.at(), results: results.to_string(), differences };
        stored::complete(conn, row.id, &completed)?;
        if let Some(partner) = row.participant.partner() {
            let body = json!({
                "reconciliation_id": row.id.to_string(), "window_id": row.window.to_string(), "number": row.number,
                "rows": row.rows, "lines": row.lines, "differences": differences, "results": results,
            });
            posting.tell(partner, EventKind::ReconciliationCompleted, row.id.0, &body);
        }
        let done = Row { completed: Some(completed), ..row.clone() };
        also(conn, &done)?;
        Ok((done, true))
    })
}

/// Per result `{count, here, there}`, sums as decimal strings.
fn written(results: &Results) -> Value {
    let one = |finding: Finding| {
        let sum = results.of(finding);
        let sum = json!({ "count": sum.count, "here": decimal(sum.here), "there": decimal(sum.there) });
        (finding.code().to_owned(), sum)
    };
    Value::Object(Finding::ALL.into_iter().map(one).collect::<Map<_, _>>())
}

/// A partner's reconciliation of a window.
pub fn get(conn: &mut PgConnection, partner: &Slug, window: WindowId, id: ReconciliationId) -> Result<Row, Error> {
    if let Some(row) = stored::find(conn, window, &Participant::from(partner), id)? {
        return Ok(row);
    }
    find::published(conn, window)?;
    Err(Error::NotFound)
}

/// A partner's newest reconciliations, of whatever windows, at most `limit`.
pub fn newest(conn: &mut PgConnection, partner: &Slug, limit: i64) -> Result<Vec<Row>, Error> {
    Ok(stored::newest(conn, &Participant::from(partner), limit)?)
}

/// What differs from place `from` on, some thousands at most; empty after the last. `NotFound` when they were let go.
pub fn differences(conn: &mut PgConnection, row: &Row, from: i64) -> Result<Vec<Difference>, Error> {
    read_runs(conn, row, from, 4)
}

/// The same, of at most `runs` runs.
fn read_runs(conn: &mut PgConnection, row: &Row, from: i64, runs: i64) -> Result<Vec<Difference>, Error> {
    let last = row.completed.as_ref().map_or(0, |completed| completed.differences);
    if from > last {
        return Ok(Vec::new());
    }
    let runs = stored::runs(conn, row.id, from, runs)?;
    if runs.is_empty() {
        return Err(Error::NotFound);
    }
    let mut found = Vec::new();
    for run in runs {
        // A difference is below 4 KiB: its longest text, a reference, has 128 characters.
        let most = usize::try_from(run.places).unwrap_or_default() * 4 * 1024;
        let bytes = zstd::bulk::decompress(&run.body, most).map_err(broken)?;
        for line in gather::each_line(&bytes) {
            found.push(serde_json::from_slice::<Difference>(line).map_err(broken)?);
        }
    }
    found.retain(|difference| difference.place >= from);
    Ok(found)
}
