//! A closed window once more, from the journal: the same lines, trees, nets and statements byte for byte, or the first
//! difference.

use super::gather::{self, Gathering};
use super::settings::Settings;
use super::statement::{self, Parts};
use super::{Error, broken, check, close};
use crate::book::store::journal;
use crate::domain::settlement::Participant;
use crate::domain::settlement::netting;
use crate::domain::settlement::window::State;
use crate::store::settlement::lines::{self, Chunk};
use crate::store::settlement::windows::Row;
use crate::store::settlement::{statements, tallies};
use diesel::prelude::*;
use std::collections::{BTreeMap, VecDeque};

/// What was made again, and the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Same {
    pub lines: i64,
    pub statements: usize,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Same(Same),
    /// The first that differs, in words.
    Differs(String),
}

/// Why recomputing stops.
enum Stop {
    Differs(String),
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(cause: E) -> Stop {
        match cause.into() {
            Error::Differs(why) => Stop::Differs(why.to_string()),
            other => Stop::Failed(other),
        }
    }
}

/// Makes a signed window again, in one snapshot; `told` hears of batches done and in all.
pub fn recompute(conn: &mut PgConnection, window: &Row, mut told: impl FnMut(i64, i64)) -> Result<Outcome, Error> {
    if !matches!(window.state, State::Signed | State::Published) {
        return Err(Error::Refused(format!(
            "window {} is {}: nothing is signed yet",
            window.number,
            window.state.code()
        )));
    }
    let mut outcome = Err(broken("not recomputed"));
    conn.build_transaction().repeatable_read().read_only().run(|conn| {
        outcome = match again(conn, window, &mut told) {
            Ok(same) => Ok(Outcome::Same(same)),
            Err(Stop::Differs(what)) => Ok(Outcome::Differs(what)),
            Err(Stop::Failed(error)) => Err(error),
        };
        Ok::<_, Error>(())
    })?;
    outcome
}

fn again(conn: &mut PgConnection, window: &Row, told: &mut impl FnMut(i64, i64)) -> Result<Same, Stop> {
    let closed = window.closed().map_err(Error::from)?;
    let settings = Settings::read(&closed.settings)?;
    let mut gathering = close::gathering(conn, window, &settings, Vec::new())?;
    let mut stored: BTreeMap<Participant, Stored> = BTreeMap::new();
    let mut same = Same::default();
    let mut after = closed.first_batch - 1;
    while let Some(run) = journal::run(conn, after, closed.last_batch)? {
        after = run.through;
        for chunk in gathering.gather(conn, &run)?.chunks {
            same.lines += i64::from(chunk.lines);
            let stored = stored.entry(chunk.participant.clone()).or_insert_with(|| Stored::new(&chunk));
            stored.compare(conn, window, &chunk)?;
        }
        told(run.through - closed.first_batch + 1, closed.last_batch - closed.first_batch + 1);
    }
    compare_sums(conn, window, &gathering)?;
    same.statements = compare_statements(conn, window, &settings)?;
    Ok(same)
}

/// A participant's stored lines, read along with those made again.
struct Stored {
    next: i64,
    lines: VecDeque<Vec<u8>>,
}

impl Stored {
    fn new(first: &Chunk) -> Stored {
        Stored { next: first.first_line, lines: VecDeque::new() }
    }

    fn compare(&mut self, conn: &mut PgConnection, window: &Row, made: &Chunk) -> Result<(), Stop> {
        let bytes = gather::unpack(made)?;
        for (line, line_no) in gather::each_line(&bytes).zip(made.first_line..) {
            if self.lines.is_empty() {
                self.read(conn, window, &made.participant)?;
            }
            let stored = self.lines.pop_front();
            if stored.as_deref() != Some(line) {
                let stored = stored.map(|line| String::from_utf8_lossy(&line).into_owned());
                return Err(Stop::Differs(format!(
                    "line {line_no} of {}: the journal says {}, stored is {}",
                    made.participant,
                    String::from_utf8_lossy(line),
                    stored.unwrap_or_else(|| "nothing".to_owned()),
                )));
            }
        }
        Ok(())
    }

    fn read(&mut self, conn: &mut PgConnection, window: &Row, of: &Participant) -> Result<(), Stop> {
        for chunk in lines::from(conn, window.id, of, self.next, 4)? {
            let bytes = gather::unpack(&chunk)?;
            self.lines.extend(gather::each_line(&bytes).map(<[u8]>::to_vec));
            self.next = chunk.first_line + i64::from(chunk.lines);
        }
        Ok(())
    }
}

/// The trees and sums of everybody that was made again.
fn compare_sums(conn: &mut PgConnection, window: &Row, gathering: &Gathering) -> Result<(), Stop> {
    let stored = tallies::list(conn, window.id)?;
    for made in gathering.all()? {
        let found = stored.iter().find(|row| row.participant == made.participant);
        if found != Some(&made) {
            return Err(Stop::Differs(format!(
                "the tree or the sums of {} are not those of its lines",
                made.participant
            )));
        }
    }
    Ok(())
}

fn compare_statements(conn: &mut PgConnection, window: &Row, settings: &Settings) -> Result<usize, Stop> {
    let nets = check::conserved(conn, window, settings)?;
    let duties = netting::duties(settings.netting, &nets).map_err(Error::from)?;
    let empty = BTreeMap::new();
    let mut count = 0;
    for tally in tallies::list(conn, window.id)? {
        let of = &tally.participant;
        let stored = statements::find(conn, window.id, of)?;
        let stored = stored.ok_or_else(|| Stop::Differs(format!("there is no statement of {of}")))?;
        let previous = statements::before(conn, of, window.number, 1)?.pop();
        let drafted = statement::draft(&Parts {
            settings,
            window,
            tally: &tally,
            nets: nets.get(of).unwrap_or(&empty),
            duties: &duties,
            previous: previous.as_ref(),
            payments: statements::payments(conn, window.id, of)?,
        })?;
        if drafted.payload != stored.payload || drafted.leaf != stored.leaf {
            return Err(Stop::Differs(format!(
                "the statement of {of}: {}",
                first_difference(&drafted.payload, &stored.payload)
            )));
        }
        count += 1;
    }
    Ok(count)
}

/// Around the first byte at which two texts differ.
fn first_difference(made: &str, stored: &str) -> String {
    let at = made.bytes().zip(stored.bytes()).position(|(a, b)| a != b).unwrap_or(made.len().min(stored.len()));
    let around = |text: &str| -> String {
        let from = at.saturating_sub(40);
        String::from_utf8_lossy(&text.as_bytes()[from.min(text.len())..(at + 40).min(text.len())]).into_owned()
    };
    format!("at byte {at} the journal says …{}…, signed is …{}…", around(made), around(stored))
}
