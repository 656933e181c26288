//! Reconciliations: what a list came to, and what differs, in compressed runs. The list itself is not kept.

use super::{participant, unreadable};
use crate::domain::ids::{ReconciliationId, WindowId};
use crate::domain::settlement::Participant;
use crate::store::Error;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: ReconciliationId,
    pub window: WindowId,
    /// Of the window.
    pub number: i64,
    pub participant: Participant,
    /// SHA-256 over how the list was to be read and its bytes.
    pub digest: [u8; 32],
    /// What the list said and was compared, by name.
    pub compared: Vec<String>,
    pub started_at: DateTime<Utc>,
    /// Rows of the list.
    pub rows: i64,
    /// The participant's lines of the window.
    pub lines: i64,
    /// `None` while it is running.
    pub completed: Option<Completed>,
    pub handled: Handled,
}

/// What a reconciliation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    pub at: DateTime<Utc>,
    /// JSON: per result, how many and what they add up to.
    pub results: String,
    pub differences: i64,
}

/// How far the differences have been turned into disputes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handled {
    pub opened: i64,
    /// Disputed before.
    pub known: i64,
    /// Not a matter of dispute.
    pub skipped: i64,
}

impl Handled {
    pub fn all(&self) -> i64 {
        self.opened + self.known + self.skipped
    }
}

#[derive(QueryableByName)]
struct ReconciliationSql {
    #[diesel(sql_type = SqlUuid)]
    reconciliation_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Text)]
    participant: String,
    #[diesel(sql_type = Binary)]
    digest: Vec<u8>,
    #[diesel(sql_type = Array<Text>)]
    compared: Vec<String>,
    #[diesel(sql_type = Timestamptz)]
    started_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    completed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    list_rows: i64,
    #[diesel(sql_type = BigInt)]
    lines: i64,
    #[diesel(sql_type = Nullable<Text>)]
    results: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    differences: Option<i64>,
    #[diesel(sql_type = BigInt)]
    opened: i64,
    #[diesel(sql_type = BigInt)]
    known: i64,
    #[diesel(sql_type = BigInt)]
    skipped: i64,
}

impl ReconciliationSql {
    fn checked(self) -> Result<Row, Error> {
        let completed =
            || Some(Completed { at: self.completed_at?, results: self.results?, differences: self.differences? });
        Ok(Row {
            id: ReconciliationId(self.reconciliation_id),
            window: WindowId(self.window_id),
            number: self.number,
            participant: participant(&self.participant)?,
            digest: self.digest.try_into().map_err(|_| unreadable("a list's digest is no hash"))?,
            compared: self.compared,
            started_at: self.started_at,
            rows: self.list_rows,
            lines: self.lines,
            completed: completed(),
            handled: Handled { opened: self.opened, known: self.known, skipped: self.skipped },
        })
    }
}

const WITH_NUMBER: &str = "SELECT r.*, w.number FROM reconciliations r JOIN windows w USING (window_id)";

/// Keeps that one has begun.
pub fn insert(conn: &mut PgConnection, row: &Row) -> Result<(), Error> {
    sql_query(
        "INSERT INTO reconciliations (reconciliation_id, window_id, participant, digest, compared, state, started_at, \
         list_rows, lines) VALUES ($1, $2, $3, $4, $5, 'running', $6, $7, $8)",
    )
    .bind::<SqlUuid, _>(row.id.0)
    .bind::<SqlUuid, _>(row.window.0)
    .bind::<Text, _>(row.participant.as_str())
    .bind::<Binary, _>(row.digest.as_slice())
    .bind::<Array<Text>, _>(&row.compared)
    .bind::<Timestamptz, _>(row.started_at)
    .bind::<BigInt, _>(row.rows)
    .bind::<BigInt, _>(row.lines)
    .execute(conn)?;
    Ok(())
}

/// A participant's reconciliation of a window.
pub fn find(
    conn: &mut PgConnection,
    window: WindowId,
    of: &Participant,
    id: ReconciliationId,
) -> Result<Option<Row>, Error> {
    let sql = format!("{WITH_NUMBER} WHERE r.reconciliation_id = $1 AND r.window_id = $2 AND r.participant = $3");
    let row = sql_query(sql)
        .bind::<SqlUuid, _>(id.0)
        .bind::<SqlUuid, _>(window.0)
        .bind::<Text, _>(of.as_str())
        .get_result::<ReconciliationSql>(conn);
    row.optional()?.map(ReconciliationSql::checked).transpose()
}

/// A participant's newest, of whatever windows, at most `limit`.
pub fn newest(conn: &mut PgConnection, of: &Participant, limit: i64) -> Result<Vec<Row>, Error> {
    // Ids of version 7 begin with their time.
    let sql = format!("{WITH_NUMBER} WHERE r.participant = $1 ORDER BY r.reconciliation_id DESC LIMIT $2");
    let rows: Vec<ReconciliationSql> =
        sql_query(sql).bind::<Text, _>(of.as_str()).bind::<BigInt, _>(limit).load(conn)?;
    rows.into_iter().map(ReconciliationSql::checked).collect()
}

/// One reconciliation, held until the transaction ends.
pub fn lock(conn: &mut PgConnection, id: ReconciliationId) -> Result<Option<Row>, Error> {
    let row = sql_query(format!("{WITH_NUMBER} WHERE r.reconciliation_id = $1 FOR UPDATE OF r"))
        .bind::<SqlUuid, _>(id.0)
        .get_result::<ReconciliationSql>(conn);
    row.optional()?.map(ReconciliationSql::checked).transpose()
}

/// The completed reconciliation of the same list.
pub fn same(
    conn: &mut PgConnection,
    window: WindowId,
    of: &Participant,
    digest: &[u8; 32],
) -> Result<Option<Row>, Error> {
    let sql = format!(
        "{WITH_NUMBER} WHERE r.window_id = $1 AND r.participant = $2 AND r.digest = $3 AND r.state = 'completed'"
    );
    let row = sql_query(sql)
        .bind::<SqlUuid, _>(window.0)
        .bind::<Text, _>(of.as_str())
        .bind::<Binary, _>(digest.as_slice())
        .get_result::<ReconciliationSql>(conn);
    row.optional()?.map(ReconciliationSql::checked).transpose()
}

/// Until the transaction ends, nobody else completes one of this participant's.
pub fn completing(conn: &mut PgConnection, of: &Participant) -> Result<(), Error> {
    sql_query("SELECT pg_advisory_xact_lock(x'7265636f'::integer, hashtext($1))")
        .bind::<Text, _>(of.as_str())
        .execute(conn)?;
    Ok(())
}

pub fn complete(conn: &mut PgConnection, id: ReconciliationId, completed: &Completed) -> Result<(), Error> {
    sql_query(
        "UPDATE reconciliations SET state = 'completed', completed_at = $2, results = $3, differences = $4 \
         WHERE reconciliation_id = $1 AND state = 'running'",
    )
    .bind::<SqlUuid, _>(id.0)
    .bind::<Timestamptz, _>(completed.at)
    .bind::<Text, _>(&completed.results)
    .bind::<BigInt, _>(completed.differences)
    .execute(conn)?;
    Ok(())
}

/// Takes one away that was not completed, with what was written of it.
pub fn abandon(conn: &mut PgConnection, id: ReconciliationId) -> Result<(), Error> {
    sql_query("DELETE FROM reconciliation_differences WHERE reconciliation_id = $1")
        .bind::<SqlUuid, _>(id.0)
        .execute(conn)?;
    sql_query("DELETE FROM reconciliations WHERE reconciliation_id = $1 AND state = 'running'")
        .bind::<SqlUuid, _>(id.0)
        .execute(conn)?;
    Ok(())
}

/// Abandons what a participant's reconciliations of a window left behind that began before `before` and did not end: their
/// server died.
pub fn abandon_stale(
    conn: &mut PgConnection,
    window: WindowId,
    of: &Participant,
    before: ReconciliationId,
) -> Result<(), Error> {
    let stale: Vec<IdSql> = sql_query(
        "SELECT reconciliation_id FROM reconciliations WHERE window_id = $1 AND participant = $2 AND state = 'running' \
         AND reconciliation_id < $3",
    )
    .bind::<SqlUuid, _>(window.0)
    .bind::<Text, _>(of.as_str())
    .bind::<SqlUuid, _>(before.0)
    .load(conn)?;
    stale.into_iter().try_for_each(|row| abandon(conn, ReconciliationId(row.reconciliation_id)))
}

#[derive(QueryableByName)]
struct IdSql {
    #[diesel(sql_type = SqlUuid)]
    reconciliation_id: Uuid,
}

/// Lets the differences go of all but the newest `kept` of a participant's reconciliations of a window. Their sums stay.
pub fn let_go(conn: &mut PgConnection, window: WindowId, of: &Participant, kept: i64) -> Result<(), Error> {
    sql_query(
        "DELETE FROM reconciliation_differences WHERE reconciliation_id IN (SELECT reconciliation_id FROM reconciliations \
         WHERE window_id = $1 AND participant = $2 ORDER BY reconciliation_id DESC OFFSET $3)",
    )
    .bind::<SqlUuid, _>(window.0)
    .bind::<Text, _>(of.as_str())
    .bind::<BigInt, _>(kept)
    .execute(conn)?;
    Ok(())
}

pub fn handled(conn: &mut PgConnection, id: ReconciliationId, handled: &Handled) -> Result<(), Error> {
    sql_query(
        "UPDATE reconciliations SET handled = $2 + $3 + $4, opened = $2, known = $3, skipped = $4 WHERE reconciliation_id = $1",
    )
    .bind::<SqlUuid, _>(id.0)
    .bind::<BigInt, _>(handled.opened)
    .bind::<BigInt, _>(handled.known)
    .bind::<BigInt, _>(handled.skipped)
    .execute(conn)?;
    Ok(())
}

/// Differences that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// From 1.
    pub first_place: i64,
    pub places: i32,
    /// zstd over JSON objects, each ended by a line feed.
    pub body: Vec<u8>,
}

#[derive(QueryableByName)]
struct RunSql {
    #[diesel(sql_type = BigInt)]
    first_place: i64,
    #[diesel(sql_type = Integer)]
    places: i32,
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
}

/// Differences in one run, at most.
pub const RUN_PLACES: i64 = 1_024;

pub fn insert_runs(conn: &mut PgConnection, id: ReconciliationId, runs: &[Run]) -> Result<(), Error> {
    sql_query(
        "INSERT INTO reconciliation_differences (reconciliation_id, first_place, places, body) \
         SELECT $1, f, p, b FROM unnest($2, $3, $4) x(f, p, b)",
    )
    .bind::<SqlUuid, _>(id.0)
    .bind::<Array<BigInt>, _>(runs.iter().map(|run| run.first_place).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(runs.iter().map(|run| run.places).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(runs.iter().map(|run| run.body.as_slice()).collect::<Vec<_>>())
    .execute(conn)?;
    Ok(())
}

/// Runs that hold place `from` or later ones, at most `limit`.
pub fn runs(conn: &mut PgConnection, id: ReconciliationId, from: i64, limit: i64) -> Result<Vec<Run>, Error> {
    let rows: Vec<RunSql> = sql_query(
        "SELECT first_place, places, body FROM reconciliation_differences WHERE reconciliation_id = $1 \
         AND first_place > $2 - $4 AND first_place + places > $2 ORDER BY first_place LIMIT $3",
    )
    .bind::<SqlUuid, _>(id.0)
    .bind::<BigInt, _>(from)
    .bind::<BigInt, _>(limit)
    .bind::<BigInt, _>(RUN_PLACES)
    .load(conn)?;
    let row = |sql: RunSql| Run { first_place: sql.first_place, places: sql.places, body: sql.body };
    Ok(rows.into_iter().map(row).collect())
}
