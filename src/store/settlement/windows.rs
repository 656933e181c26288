//! Windows: exactly one is open; a closed one knows its batches, its days and what it is settled by.

use super::unreadable;
use crate::domain::ids::WindowId;
use crate::domain::settlement::calendar::Dates;
use crate::domain::settlement::window::{State, Step};
use crate::store::Error;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Date, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// A window; what is decided when it closes is absent while it is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: WindowId,
    pub number: i64,
    pub state: State,
    pub opened_at: DateTime<Utc>,
    pub closed: Option<Closed>,
    pub issued_at: Option<DateTime<Utc>>,
    pub published_at: Option<DateTime<Utc>>,
    pub blocked_by: Option<String>,
    /// All that is owed for it is paid; follows from its obligations.
    pub settled: bool,
}

/// What a window that has ended knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    pub at: DateTime<Utc>,
    pub first_day: NaiveDate,
    pub dates: Dates,
    pub first_batch: i64,
    /// `first_batch - 1` when it has none.
    pub last_batch: i64,
    /// Lines are written up to here.
    pub through_batch: i64,
    pub settings: String,
}

/// What ending a window decides.
#[derive(Clone, Debug)]
pub struct Closing {
    pub closed_at: DateTime<Utc>,
    pub first_day: NaiveDate,
    pub dates: Dates,
    pub settings: String,
}

#[derive(QueryableByName)]
struct WindowSql {
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Timestamptz)]
    opened_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    closed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    first_batch: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_batch: Option<i64>,
    #[diesel(sql_type = Nullable<Date>)]
    first_day: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Date>)]
    last_day: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Date>)]
    statement_by: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Date>)]
    disputes_until: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Date>)]
    due_on: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Text>)]
    settings: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    through_batch: Option<i64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    issued_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    published_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    blocked_by: Option<String>,
    #[diesel(sql_type = Bool)]
    settled: bool,
}

/// Windows as they are read.
const WINDOWS: &str = "SELECT w.*, w.state = 'published' AND NOT EXISTS (SELECT FROM obligations o \
    WHERE o.window_id = w.window_id AND o.paid < o.amount) AS settled FROM windows w";

impl WindowSql {
    fn checked(self) -> Result<Row, Error> {
        let state = State::parse(&self.state).ok_or_else(|| unreadable(format!("window state `{}`", self.state)))?;
        let number = self.number;
        let whole = || {
            Some(Closed {
                at: self.closed_at?,
                first_day: self.first_day?,
                dates: Dates {
                    last_day: self.last_day?,
                    statement_by: self.statement_by?,
                    disputes_until: self.disputes_until?,
                    due_on: self.due_on?,
                },
                first_batch: self.first_batch?,
                last_batch: self.last_batch?,
                through_batch: self.through_batch?,
                settings: self.settings?,
            })
        };
        let closed = whole();
        if closed.is_none() && state != State::Open {
            return Err(unreadable(format!("window {number} has ended and does not know how")));
        }
        Ok(Row {
            id: WindowId(self.window_id),
            number,
            state,
            opened_at: self.opened_at,
            closed,
            issued_at: self.issued_at,
            published_at: self.published_at,
            blocked_by: self.blocked_by,
            settled: self.settled,
        })
    }
}

impl Row {
    /// What it knows since it ended; `Err` for one that is open.
    pub fn closed(&self) -> Result<&Closed, Error> {
        self.closed.as_ref().ok_or_else(|| unreadable(format!("window {} is open", self.number)))
    }

    fn after(&self, step: Step) -> Result<State, Error> {
        let next = self.state.on(step);
        next.ok_or_else(|| unreadable(format!("window {} is {}: no {step:?}", self.number, self.state.code())))
    }

    /// Of an update that asked for its state: exactly one row, or it is not where it was read.
    fn moved(&self, rows: usize) -> Result<(), Error> {
        if rows == 1 { Ok(()) } else { Err(unreadable(format!("window {} has moved on meanwhile", self.number))) }
    }

    /// Where it stands, as people are told.
    pub fn stands(&self) -> &'static str {
        if self.settled { "settled" } else { self.state.code() }
    }
}

/// The open window.
pub fn open(conn: &mut PgConnection) -> Result<Row, Error> {
    let row: WindowSql = sql_query(format!("{WINDOWS} WHERE state = 'open'")).get_result(conn)?;
    row.checked()
}

pub fn find(conn: &mut PgConnection, id: WindowId) -> Result<Option<Row>, Error> {
    let row = sql_query(format!("{WINDOWS} WHERE window_id = $1")).bind::<SqlUuid, _>(id.0);
    row.get_result::<WindowSql>(conn).optional()?.map(WindowSql::checked).transpose()
}

pub fn numbered(conn: &mut PgConnection, number: i64) -> Result<Option<Row>, Error> {
    let row = sql_query(format!("{WINDOWS} WHERE number = $1")).bind::<BigInt, _>(number);
    row.get_result::<WindowSql>(conn).optional()?.map(WindowSql::checked).transpose()
}

/// Windows below `before`, newest first, at most `limit`.
pub fn list(conn: &mut PgConnection, before: i64, limit: i64) -> Result<Vec<Row>, Error> {
    let rows = sql_query(format!("{WINDOWS} WHERE number < $1 ORDER BY number DESC LIMIT $2"));
    let rows: Vec<WindowSql> = rows.bind::<BigInt, _>(before).bind::<BigInt, _>(limit).load(conn)?;
    rows.into_iter().map(WindowSql::checked).collect()
}

/// The oldest window that has ended and is not published; blocked ones wait for somebody.
pub fn unfinished(conn: &mut PgConnection) -> Result<Option<Row>, Error> {
    let row = sql_query(format!("{WINDOWS} WHERE state NOT IN ('open', 'published') ORDER BY number LIMIT 1"));
    row.get_result::<WindowSql>(conn).optional()?.map(WindowSql::checked).transpose()
}

/// Ends `open` and opens the next window, with every exposure as it stands. Call with the fence held exclusively: then
/// all batches of the window are committed and no later number has been given.
pub fn close(conn: &mut PgConnection, open: &Row, closing: &Closing) -> Result<Row, Error> {
    let next = open.state.on(Step::Close).ok_or_else(|| unreadable("a window that is not open cannot end"))?;
    let Closing { closed_at, first_day, dates, settings } = closing;
    let row: WindowSql = sql_query(
        "WITH before AS (SELECT coalesce(max(last_batch), 0) AS last FROM windows WHERE number < $2), \
         ours AS (SELECT greatest(coalesce((SELECT max(batch_no) FROM batches), 0), before.last) AS last FROM before) \
         UPDATE windows w SET state = $3, closed_at = $4, first_day = $5, last_day = $6, statement_by = $7, disputes_until = $8, \
         due_on = $9, settings = $10, first_batch = before.last + 1, last_batch = ours.last, through_batch = before.last \
         FROM before, ours WHERE w.window_id = $1 RETURNING w.*, false AS settled",
    )
    .bind::<SqlUuid, _>(open.id.0)
    .bind::<BigInt, _>(open.number)
    .bind::<Text, _>(next.code())
    .bind::<Timestamptz, _>(closed_at)
    .bind::<Date, _>(first_day)
    .bind::<Date, _>(dates.last_day)
    .bind::<Date, _>(dates.statement_by)
    .bind::<Date, _>(dates.disputes_until)
    .bind::<Date, _>(dates.due_on)
    .bind::<Text, _>(settings)
    .get_result(conn)?;
    sql_query("INSERT INTO windows (window_id, number, state, opened_at) VALUES ($1, $2, 'open', $3)")
        .bind::<SqlUuid, _>(Uuid::now_v7())
        .bind::<BigInt, _>(open.number + 1)
        .bind::<Timestamptz, _>(closed_at)
        .execute(conn)?;
    sql_query("INSERT INTO window_exposures (window_id, key, value) SELECT $1, key, value FROM exposures")
        .bind::<SqlUuid, _>(open.id.0)
        .execute(conn)?;
    row.checked()
}

/// Takes `step`, if the window is still where `row` says; returns where it is now.
pub fn step(conn: &mut PgConnection, row: &Row, step: Step) -> Result<State, Error> {
    let next = row.after(step)?;
    let moved = sql_query("UPDATE windows SET state = $3, blocked_by = NULL WHERE window_id = $1 AND state = $2")
        .bind::<SqlUuid, _>(row.id.0)
        .bind::<Text, _>(row.state.code())
        .bind::<Text, _>(next.code())
        .execute(conn)?;
    row.moved(moved)?;
    Ok(next)
}

/// Says how far the lines have come.
pub fn written(conn: &mut PgConnection, id: WindowId, through_batch: i64) -> Result<(), Error> {
    sql_query("UPDATE windows SET through_batch = $2 WHERE window_id = $1 AND state = 'closed'")
        .bind::<SqlUuid, _>(id.0)
        .bind::<BigInt, _>(through_batch)
        .execute(conn)?;
    Ok(())
}

/// Lines and exposures agree: the nets stand, and with them the instant its statements will be issued at.
pub fn netted(conn: &mut PgConnection, row: &Row, issued_at: DateTime<Utc>) -> Result<(), Error> {
    sql_query("UPDATE windows SET issued_at = $2 WHERE window_id = $1")
        .bind::<SqlUuid, _>(row.id.0)
        .bind::<Timestamptz, _>(issued_at)
        .execute(conn)?;
    step(conn, row, Step::Conserved).map(|_| ())
}

/// The days that its statements will tell, before any is made; the window with them.
pub fn dated(conn: &mut PgConnection, row: &Row, dates: Dates) -> Result<Row, Error> {
    let closed = Closed { dates, ..row.closed()?.clone() };
    let moved = sql_query(
        "UPDATE windows SET statement_by = $3, disputes_until = $4, due_on = $5 WHERE window_id = $1 AND state = $2",
    )
    .bind::<SqlUuid, _>(row.id.0)
    .bind::<Text, _>(row.state.code())
    .bind::<Date, _>(dates.statement_by)
    .bind::<Date, _>(dates.disputes_until)
    .bind::<Date, _>(dates.due_on)
    .execute(conn)?;
    row.moved(moved)?;
    Ok(Row { closed: Some(closed), ..row.clone() })
}

/// Nothing is signed; what was written of it goes, and why is kept.
pub fn block(conn: &mut PgConnection, row: &Row, why: &str) -> Result<(), Error> {
    let moved = sql_query(
        "UPDATE windows SET state = $3, blocked_by = $4, through_batch = first_batch - 1 WHERE window_id = $1 AND state = $2",
    )
    .bind::<SqlUuid, _>(row.id.0)
    .bind::<Text, _>(row.state.code())
    .bind::<Text, _>(row.after(Step::Differs)?.code())
    .bind::<Text, _>(why)
    .execute(conn)?;
    row.moved(moved)?;
    for table in ["line_chunks", "tallies", "nets"] {
        sql_query(format!("DELETE FROM {table} WHERE window_id = $1")).bind::<SqlUuid, _>(row.id.0).execute(conn)?;
    }
    Ok(())
}

/// Partners have been told.
pub fn published(conn: &mut PgConnection, row: &Row, at: DateTime<Utc>) -> Result<(), Error> {
    sql_query("UPDATE windows SET published_at = $2 WHERE window_id = $1")
        .bind::<SqlUuid, _>(row.id.0)
        .bind::<Timestamptz, _>(at)
        .execute(conn)?;
    step(conn, row, Step::Publish).map(|_| ())
}

/// A new sandbox's business begins at its start: so does its first window, which a migration made by the machine's clock.
pub fn found(conn: &mut PgConnection, start: DateTime<Utc>) -> Result<(), Error> {
    sql_query("UPDATE windows SET opened_at = $1 WHERE number = 1 AND state = 'open'")
        .bind::<Timestamptz, _>(start)
        .execute(conn)?;
    Ok(())
}

/// Every exposure as it was when the window ended, and how releases posted in it had moved them.
pub struct Exposed {
    pub key: String,
    pub value: i64,
    /// As it was when the window before ended.
    pub before: i64,
    /// By releases that were posted in this window.
    pub released: i64,
}

#[derive(QueryableByName)]
struct ExposedSql {
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = BigInt)]
    value: i64,
    #[diesel(sql_type = BigInt)]
    before: i64,
    #[diesel(sql_type = BigInt)]
    released: i64,
}

pub fn exposed(conn: &mut PgConnection, row: &Row) -> Result<Vec<Exposed>, Error> {
    let found: Vec<ExposedSql> = sql_query(
        "SELECT e.key, e.value, coalesce(b.value, 0) AS before, coalesce(r.delta, 0)::bigint AS released FROM window_exposures e \
         LEFT JOIN window_exposures b ON b.key = e.key AND b.window_id = (SELECT window_id FROM windows WHERE number = $2 - 1) \
         LEFT JOIN (SELECT key, sum(delta) AS delta FROM releases WHERE window_id = $1 GROUP BY 1) r ON r.key = e.key \
         WHERE e.window_id = $1 ORDER BY e.key",
    )
    .bind::<SqlUuid, _>(row.id.0)
    .bind::<BigInt, _>(row.number)
    .load(conn)?;
    let exposed =
        |sql: ExposedSql| Exposed { key: sql.key, value: sql.value, before: sql.before, released: sql.released };
    Ok(found.into_iter().map(exposed).collect())
}

#[derive(QueryableByName)]
struct CountSql {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Windows that have ended and are not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct Backlog {
    #[diesel(sql_type = BigInt)]
    pub blocked: i64,
    /// When the oldest of them ended, in business time.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub since: Option<DateTime<Utc>>,
}

pub fn backlog(conn: &mut PgConnection) -> Result<Backlog, Error> {
    let backlog = sql_query(
        "SELECT count(*) FILTER (WHERE state = 'blocked') AS blocked, min(closed_at) AS since FROM windows \
         WHERE state NOT IN ('open', 'published')",
    );
    Ok(backlog.get_result(conn)?)
}

/// Batches that name this window beyond its run of numbers, or name another inside it. Those before it were looked at when
/// their own windows ended, and `hanse audit` looks at all.
pub fn strays(conn: &mut PgConnection, row: &Row) -> Result<i64, Error> {
    let closed = row.closed()?;
    let found: CountSql =
        sql_query("SELECT count(*) AS n FROM batches WHERE batch_no >= $2 AND (window_id = $1) <> (batch_no <= $3)")
            .bind::<SqlUuid, _>(row.id.0)
            .bind::<BigInt, _>(closed.first_batch)
            .bind::<BigInt, _>(closed.last_batch)
            .get_result(conn)?;
    Ok(found.n)
}

#[derive(QueryableByName)]
struct NumberSql {
    #[diesel(sql_type = SqlUuid)]
    window_id: Uuid,
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// The number of every window.
pub fn numbers(conn: &mut PgConnection) -> Result<std::collections::HashMap<Uuid, i64>, Error> {
    let found: Vec<NumberSql> = sql_query("SELECT window_id, number FROM windows").load(conn)?;
    Ok(found.into_iter().map(|row| (row.window_id, row.number)).collect())
}
