//! Takes a window from open to published, a step at a time, from wherever it stopped.
//!
//! Every step is one transaction and can be repeated; lines come in runs, each with how far it has come. One server at a
//! time settles. Conversions go on all the while: only the instant of the fence concerns them.

use super::gather::{Gathered, Gathering};
use super::settings::Settings;
use super::{Error, broken, check, sign};
use crate::book::posting;
use crate::book::seal;
use crate::book::store::codec::Unreadable;
use crate::book::store::journal;
use crate::book::windows::{self as book, Which};
use crate::domain::catalogue::Catalogue;
use crate::domain::settlement::window::{State, Step};
use crate::service::keys::Keys;
use crate::store::catalogue;
use crate::store::locks::SETTLER;
use crate::store::settlement::windows::{self, Row};
use crate::store::settlement::{lines, tallies};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Runs read ahead of those being turned into lines, and of those being written.
const AHEAD: usize = 2;

/// What is told while a window closes.
pub enum Told<'a> {
    /// It has come to this state.
    State(&'a Row),
    /// Lines are written up to batch `.0` of `.1`.
    Lines(i64, i64),
}

/// Closes whatever is to be closed: ends the open window if `which` says so, then takes every window that has ended to its
/// end, oldest first. Returns the last one it came to. `Ok(None)`: nothing to do, or another server settles now.
pub fn close(
    url: &str,
    keys: &Keys,
    which: Option<Which>,
    mut told: impl FnMut(Told<'_>),
) -> Result<Option<Row>, Error> {
    let mut conn = super::connect(url)?;
    // A session's lock: it falls with the connection, on every way out of here.
    if !take_turn(&mut conn)? {
        return Ok(None);
    }
    // First: a window ends with its period, whatever an earlier one waits for.
    if let Some(which) = which
        && let Some(row) = end(&mut conn, which)?
    {
        told(Told::State(&row));
    }
    finish(&mut conn, url, keys, &mut told)
}

/// Ends the open window and no more: whoever settles takes it to its end. `None`: it is not to end.
pub fn end(conn: &mut PgConnection, which: Which) -> Result<Option<Row>, Error> {
    let settings = |catalogue: &Catalogue| {
        let written = Settings::freeze(catalogue).write();
        written.map_err(|cause| Unreadable { column: "windows.settings", value: cause.to_string() })
    };
    Ok(book::close(conn, which, settings)?)
}

#[derive(QueryableByName)]
struct Turn {
    #[diesel(sql_type = Bool)]
    free: bool,
}

fn take_turn(conn: &mut PgConnection) -> Result<bool, Error> {
    let turn: Turn =
        sql_query("SELECT pg_try_advisory_lock($1) AS free").bind::<BigInt, _>(SETTLER).get_result(conn)?;
    Ok(turn.free)
}

/// Takes every window that has ended to its end, oldest first; stops at one that is blocked.
fn finish(
    conn: &mut PgConnection,
    url: &str,
    keys: &Keys,
    told: &mut impl FnMut(Told<'_>),
) -> Result<Option<Row>, Error> {
    let mut last = None;
    while let Some(mut window) = windows::unfinished(conn)? {
        while window.state != State::Published {
            if window.state == State::Blocked {
                return Ok(Some(window));
            }
            advance(conn, url, keys, &window, told)?;
            window = windows::find(conn, window.id)?.ok_or_else(|| broken("a window has gone"))?;
            told(Told::State(&window));
        }
        last = Some(window);
    }
    Ok(last)
}

/// Has a blocked window tried again from its beginning.
pub fn retry(conn: &mut PgConnection, window: &Row) -> Result<State, Error> {
    if window.state.on(Step::Retry).is_none() {
        let what = format!("window {} is {}: only a blocked window is tried again", window.number, window.state.code());
        return Err(Error::Refused(what));
    }
    Ok(windows::step(conn, window, Step::Retry)?)
}

/// One step of one window.
fn advance(
    conn: &mut PgConnection,
    url: &str,
    keys: &Keys,
    window: &Row,
    told: &mut impl FnMut(Told<'_>),
) -> Result<(), Error> {
    let settings = Settings::read(&window.closed()?.settings)?;
    match window.state {
        State::Closing => {
            // All that is posted in it is in the feed before its statements are.
            seal::seal_now(conn)?;
            windows::step(conn, window, Step::Sealed)?;
            Ok(())
        }
        State::Closed => {
            let netted = write_lines(conn, url, window, &settings, told).and_then(|()| net(conn, window, &settings));
            netted.or_else(|why| block(conn, window, why))
        }
        State::Netted => sign::sign(conn, keys, window, &settings).or_else(|why| block(conn, window, why)),
        // One that an earlier version left between the two.
        State::Signed => posting::post(conn, settings.zone()?, |conn, posting| sign::publish(conn, posting, window)),
        State::Open | State::Blocked | State::Published => Ok(()),
    }
}

/// What does not add up blocks the window; whatever else went wrong is for the next try.
fn block(conn: &mut PgConnection, window: &Row, why: Error) -> Result<(), Error> {
    let Error::Differs(why) = why else { return Err(why) };
    tracing::error!(window = window.number, %why, "a window does not add up: it is blocked");
    Ok(conn.transaction(|conn| windows::block(conn, window, &why.to_string()))?)
}

/// What `gather` goes on from.
pub fn gathering(
    conn: &mut PgConnection,
    window: &Row,
    settings: &Settings,
    stored: Vec<tallies::Row>,
) -> Result<Gathering, Error> {
    let next_lines = tallies::next_lines(conn, window.number)?.into_iter().collect();
    let numbers = windows::numbers(conn)?;
    Gathering::new((window.id, window.number), settings.clone(), numbers, &next_lines, stored)
}

/// Reads, turns and writes run by run, three at a time: each on a thread and a connection of its own.
fn write_lines(
    conn: &mut PgConnection,
    url: &str,
    window: &Row,
    settings: &Settings,
    told: &mut impl FnMut(Told<'_>),
) -> Result<(), Error> {
    let closed = window.closed()?;
    let (through, last) = (closed.through_batch, closed.last_batch);
    let stored = tallies::list(conn, window.id)?;
    let mut gathering = gathering(conn, window, settings, stored)?;
    let (runs, read) = sync_channel(AHEAD);
    let (gathered, to_write) = sync_channel(AHEAD);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || read_runs(url, (through, last), &runs));
        let turning = scope.spawn(|| turn_runs(url, &mut gathering, read, gathered));
        // The receiver goes with it: then whoever waits to send stops.
        let written = write_runs(conn, window, last, to_write, told);
        let turned = turning.join().map_err(|_| broken("turning postings into lines panicked"))?;
        let read = reading.join().map_err(|_| broken("the reading of postings panicked"))?;
        written.and(turned).and(read)
    })?;
    // Those without a line have a statement too.
    conn.transaction(|conn| Ok(tallies::put(conn, window.id, &gathering.all()?)?))
}

fn read_runs(url: &str, (through, last): (i64, i64), to: &SyncSender<journal::Run>) -> Result<(), Error> {
    let mut conn = super::connect(url)?;
    let mut after = through;
    while let Some(run) = journal::run(&mut conn, after, last)? {
        after = run.through;
        if to.send(run).is_err() {
            // Nobody wants more: whoever does not says why.
            return Ok(());
        }
    }
    Ok(())
}

fn turn_runs(
    url: &str,
    gathering: &mut Gathering,
    from: Receiver<journal::Run>,
    to: SyncSender<Gathered>,
) -> Result<(), Error> {
    let mut conn = super::connect(url)?;
    for run in from {
        if to.send(gathering.gather(&mut conn, &run)?).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn write_runs(
    conn: &mut PgConnection,
    window: &Row,
    last: i64,
    from: Receiver<Gathered>,
    told: &mut impl FnMut(Told<'_>),
) -> Result<(), Error> {
    for gathered in from {
        conn.transaction(|conn| {
            lines::begin(conn)?;
            lines::insert(conn, window.id, &gathered.chunks)?;
            tallies::put(conn, window.id, &gathered.tallies)?;
            windows::written(conn, window.id, gathered.through)?;
            Ok::<_, Error>(())
        })?;
        told(Told::Lines(gathered.through, last));
    }
    Ok(())
}

/// The nets stand once everything agrees.
fn net(conn: &mut PgConnection, window: &Row, settings: &Settings) -> Result<(), Error> {
    conn.transaction(|conn| {
        let window = windows::find(conn, window.id)?.ok_or_else(|| broken("a window has gone"))?;
        let closed = window.closed()?;
        if closed.through_batch != closed.last_batch {
            return Err(broken(format!("the lines of window {} end at batch {}", window.number, closed.through_batch)));
        }
        let nets = check::conserved(conn, &window, settings)?;
        tallies::insert_nets(conn, window.id, &nets)?;
        let issued_at = catalogue::business_now(conn)?;
        Ok(windows::netted(conn, &window, issued_at)?)
    })
}
