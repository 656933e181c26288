//! From postings to lines: every run of the journal becomes lines, trees and sums, each participant's for itself.
//!
//! The same postings come to the same bytes, however they are cut into runs: what is kept between runs is how far each
//! participant's tree and sums have come, and that is stored with the lines of each run.

use super::lines::{self, Posted, Shared, Taking};
use super::settings::Settings;
use super::{Error, broken};
use crate::book::store::journal::{Adjustment, Conversion, Reversal, Run};
use crate::book::store::rows;
use crate::book::voucher::UseRow;
use crate::domain::benefit::Payer;
use crate::domain::catalogue::Party;
use crate::domain::ids::WindowId;
use crate::domain::money::Millionths;
use crate::domain::settlement::Participant;
use crate::domain::settlement::line::{Moved, parts};
use crate::domain::settlement::netting::Differs;
use crate::domain::settlement::tally::{self, SORTS, Sum, Taken, Tallies, Tally};
use crate::signing::merkle::{self, Frontier, Hash};
use crate::store::settlement::lines::Chunk;
use crate::store::settlement::tallies;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::PgConnection;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// Lines in one chunk, as in one group of the tree.
const CHUNK_LINES: i32 = 1_024;
/// zstd's fastest: the lines of one participant are much alike.
const LEVEL: i32 = 1;

/// One window on its way from postings to lines.
pub struct Gathering {
    window: WindowId,
    number: i64,
    settings: Settings,
    numbers: HashMap<Uuid, i64>,
    terms: HashMap<Uuid, Shared>,
    own: Vec<Own>,
    places: BTreeMap<Participant, usize>,
    clock: Clock,
    zstd: zstd::bulk::Compressor<'static>,
}

/// One participant's lines so far.
struct Own {
    participant: Participant,
    first_line: i64,
    frontier: Frontier,
    groups: Vec<u8>,
    tallies: Tallies,
    touched: bool,
    /// Lines of this run that are in no chunk yet.
    open: Open,
    chunks: Vec<Chunk>,
}

#[derive(Default)]
struct Open {
    bytes: Vec<u8>,
    lines: i32,
    first_batch: i64,
    last_batch: i64,
}

/// Instants and days as text; all conversions of a batch share them.
#[derive(Default)]
struct Clock {
    at: Option<DateTime<Utc>>,
    at_text: String,
    day: Option<NaiveDate>,
    day_text: String,
}

impl Clock {
    fn set(&mut self, at: DateTime<Utc>, day: NaiveDate) {
        if self.at != Some(at) {
            (self.at, self.at_text) = (Some(at), lines::instant(at));
        }
        if self.day != Some(day) {
            (self.day, self.day_text) = (Some(day), lines::day(day));
        }
    }
}

/// What one run came to.
pub struct Gathered {
    pub through: i64,
    pub chunks: Vec<Chunk>,
    /// Of the participants that have lines in this run.
    pub tallies: Vec<tallies::Row>,
}

impl Gathering {
    /// Goes on from what is stored; `next_lines` are the numbers of the first lines of this window.
    pub fn new(
        (window, number): (WindowId, i64),
        settings: Settings,
        numbers: HashMap<Uuid, i64>,
        next_lines: &BTreeMap<Participant, i64>,
        stored: Vec<tallies::Row>,
    ) -> Result<Gathering, Error> {
        let mut stored: BTreeMap<_, _> = stored.into_iter().map(|row| (row.participant.clone(), row)).collect();
        let own = settings.participants.keys().map(|participant| {
            let first_line = next_lines.get(participant).copied().unwrap_or(1);
            Own::new(participant, first_line, stored.remove(participant))
        });
        let own = own.collect::<Result<Vec<_>, Error>>()?;
        if let Some(stranger) = stored.keys().next() {
            return Err(broken(format!("{stranger} has lines and took no part in the window")));
        }
        Ok(Gathering {
            places: own.iter().enumerate().map(|(nth, own)| (own.participant.clone(), nth)).collect(),
            zstd: zstd::bulk::Compressor::new(LEVEL).map_err(broken)?,
            clock: Clock::default(),
            terms: HashMap::new(),
            own,
            window,
            number,
            settings,
            numbers,
        })
    }

    /// Turns one run into lines; `conn` is asked for terms not met before.
    pub fn gather(&mut self, conn: &mut PgConnection, run: &Run) -> Result<Gathered, Error> {
        if run.missing != 0 {
            let what = format!("{} postings of batches up to {} are not there", run.missing, run.through);
            return Err(Differs::Journal(what).into());
        }
        self.learn(conn, run)?;
        let mut conversions = run.conversions.iter().peekable();
        let mut reversals = run.reversals.iter().peekable();
        let mut adjustments = run.adjustments.iter().peekable();
        let mut uses = run.uses.iter().peekable();
        // Batch by batch: conversions, then what took some back, then adjustments, then uses of benefits.
        loop {
            let next = [
                conversions.peek().map(|row| row.batch_no),
                reversals.peek().map(|row| row.batch_no),
                adjustments.peek().map(|row| row.batch_no),
                uses.peek().map(|row| row.batch_no),
            ];
            let Some(batch) = next.into_iter().flatten().min() else { break };
            while let Some(row) = conversions.next_if(|row| row.batch_no == batch) {
                self.conversion(row)?;
            }
            while let Some(row) = reversals.next_if(|row| row.batch_no == batch) {
                self.reversal(row)?;
            }
            while let Some(row) = adjustments.next_if(|row| row.batch_no == batch) {
                self.adjustment(row)?;
            }
            while let Some(row) = uses.next_if(|row| row.batch_no == batch) {
                self.benefit(row)?;
            }
        }
        self.finish(run.through)
    }

    /// Freezes the texts of terms that this run is the first to have.
    fn learn(&mut self, conn: &mut PgConnection, run: &Run) -> Result<(), Error> {
        let named = run.conversions.iter().map(|row| row.terms).chain(run.reversals.iter().map(|row| row.terms));
        let mut unknown: Vec<Uuid> = named.filter(|id| !self.terms.contains_key(id)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        for (id, terms) in rows::terms(conn, &unknown)? {
            self.terms.insert(id, Shared::new(terms, &self.settings)?);
        }
        match unknown.iter().find(|id| !self.terms.contains_key(id)) {
            Some(id) => Err(Differs::Journal(format!("the terms {id} are not there")).into()),
            None => Ok(()),
        }
    }

    fn conversion(&mut self, row: &Conversion) -> Result<(), Error> {
        self.check_window(row.window, row.id)?;
        self.clock.set(row.at, row.day);
        let asker = if row.pulled { Party::To } else { Party::From };
        let moved = Moved { credit: row.credit, bonuses: &row.bonuses, fee: row.fee, back: false };
        let posted = Posted {
            conversion: row.id,
            reversal: None,
            debit: row.debit.get(),
            from_token: row.from_token,
            to_token: row.to_token,
            reference: row.reference.as_deref().map(|reference| (reference, asker)),
            at: "",
            day: "",
        };
        self.put(row.terms, moved, posted, row.batch_no)
    }

    fn reversal(&mut self, row: &Reversal) -> Result<(), Error> {
        self.check_window(row.window, row.id)?;
        self.clock.set(row.at, row.day);
        let original_window = self.numbers.get(&row.conversion_window).copied();
        let original_window = original_window
            .ok_or_else(|| Differs::Journal(format!("conversion {} is in no window", row.conversion)))?;
        let asker =
            self.terms.get(&row.terms).map_or(Party::From, |shared| lines::party_of(&row.asked_by, &shared.terms));
        let moved = Moved { credit: row.credit, bonuses: &row.bonuses, fee: row.fee, back: true };
        let posted = Posted {
            conversion: row.conversion,
            reversal: Some(Taking { id: row.id, undo: row.undo, original_window }),
            debit: row.debit.get(),
            from_token: row.from_token,
            to_token: row.to_token,
            reference: row.reference.as_deref().map(|reference| (reference, asker)),
            at: "",
            day: "",
        };
        self.put(row.terms, moved, posted, row.batch_no)
    }

    fn check_window(&self, window: Uuid, posted: Uuid) -> Result<(), Error> {
        if window == self.window.0 {
            return Ok(());
        }
        Err(Differs::Journal(format!("{posted} names another window than its batch")).into())
    }

    /// Writes and counts all lines of one posting.
    fn put(&mut self, terms: Uuid, moved: Moved<'_>, posted: Posted<'_>, batch: i64) -> Result<(), Error> {
        let Gathering { terms: known, own, places, clock, number, zstd, .. } = self;
        let shared = known.get(&terms).ok_or_else(|| broken(format!("terms {terms}")))?;
        let posted = Posted { at: &clock.at_text, day: &clock.day_text, ..posted };
        let taken = posted
            .reversal
            .map(|taking| if taking.original_window == *number { Taken::OfThisWindow } else { Taken::OfEarlier });
        let lines = parts(&shared.terms, moved);
        let lines = lines.ok_or_else(|| Differs::Journal(format!("{} is beyond money", posted.conversion)))?;
        for part in &lines {
            let (whose, other) = shared.parties(part);
            let place = places.get(whose).ok_or_else(|| Differs::Journal(format!("{whose} took no part")))?;
            let own = &mut own[*place];
            let begin = own.open.bytes.len();
            let line_no = own.next_line();
            shared.write(&mut own.open.bytes, part, &posted, line_no, *number);
            tally::count(&mut own.tallies, other, part, taken);
            own.ended(begin, batch, zstd)?;
        }
        Ok(())
    }

    /// Two lines: what one is owed, the other owes. Between partners it counts in the pair's exposure.
    fn adjustment(&mut self, row: &Adjustment) -> Result<(), Error> {
        self.check_window(row.window, row.id)?;
        let party = |text: &str| Participant::parse(text).ok_or_else(|| broken(format!("participant `{text}`")));
        let (from, to) = (party(&row.from)?, party(&row.to)?);
        let gross = if from.is_operator() || to.is_operator() { Millionths::ZERO } else { row.amount };
        let sides = [(&from, &to, row.amount.negated(), gross), (&to, &from, row.amount, Millionths::ZERO)];
        for (whose, other, amount, gross) in sides {
            let place = self.places.get(whose).ok_or_else(|| Differs::Journal(format!("{whose} took no part")))?;
            let own = &mut self.own[*place];
            let begin = own.open.bytes.len();
            let numbers = (own.next_line(), self.number);
            own.open.bytes.extend(lines::adjustment(&self.settings, row, (whose, other), amount, numbers)?);
            tally::count_adjustment(&mut own.tallies, other, amount, gross);
            own.ended(begin, row.batch_no, &mut self.zstd)?;
        }
        Ok(())
    }

    /// Two lines: the giver is owed what who pays owes. What the giver pays itself is a memo of 0 at both, it and the brand
    /// whose member it was, and nobody's line where that is its own.
    fn benefit(&mut self, row: &UseRow) -> Result<(), Error> {
        self.check_window(row.window.0, row.id.0)?;
        let terms = &row.terms;
        let (giver, brand) = (Participant::from(&terms.giver), Participant::from(&terms.brand));
        let (other, cost) = match terms.payer() {
            None if giver == brand => return Ok(()),
            None => (brand, Millionths::ZERO),
            Some(Payer::Operator) => (Participant::operator(), row.cost),
            Some(Payer::Partner(brand)) => (Participant::from(brand), row.cost),
        };
        let gross = if other.is_operator() { Millionths::ZERO } else { cost };
        let given = (&giver, &other, cost, Millionths::ZERO, true);
        let paid = (&other, &giver, cost.negated(), gross, false);
        for (whose, with, amount, gross, is_giver) in [given, paid] {
            let place = self.places.get(whose).ok_or_else(|| Differs::Journal(format!("{whose} took no part")))?;
            let own = &mut self.own[*place];
            let begin = own.open.bytes.len();
            let numbers = (own.next_line(), self.number);
            let line = lines::benefit(&self.settings, row, (whose, with, is_giver), amount, numbers)?;
            own.open.bytes.extend(line);
            tally::count_benefit(&mut own.tallies, with, (amount, is_giver), gross);
            own.ended(begin, row.batch_no, &mut self.zstd)?;
        }
        Ok(())
    }

    fn finish(&mut self, through: i64) -> Result<Gathered, Error> {
        let (mut chunks, mut rows) = (Vec::new(), Vec::new());
        for own in &mut self.own {
            own.end_chunk(&mut self.zstd)?;
            chunks.append(&mut own.chunks);
            if std::mem::take(&mut own.touched) {
                rows.push(own.row()?);
            }
        }
        Ok(Gathered { through, chunks, tallies: rows })
    }

    /// Every participant as it stands, those without a line too.
    pub fn all(&self) -> Result<Vec<tallies::Row>, Error> {
        self.own.iter().map(Own::row).collect()
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl Own {
    fn new(participant: &Participant, first_line: i64, stored: Option<tallies::Row>) -> Result<Own, Error> {
        let (frontier, groups, tallies) = match stored {
            None => (Frontier::default(), Vec::new(), Tallies::new()),
            Some(row) if row.first_line != first_line => {
                return Err(broken(format!("{participant} begins at line {} and at {first_line}", row.first_line)));
            }
            Some(row) => (Frontier::from_bytes(&row.frontier).map_err(broken)?, row.groups, read_sums(&row.sums)?),
        };
        let (touched, open, chunks) = (false, Open::default(), Vec::new());
        Ok(Own { participant: participant.clone(), first_line, frontier, groups, tallies, touched, open, chunks })
    }

    fn next_line(&self) -> i64 {
        self.first_line + self.lines()
    }

    fn lines(&self) -> i64 {
        i64::try_from(self.frontier.len()).unwrap_or(i64::MAX)
    }

    /// The line from `begin` on is complete: into the tree with it, and a chunk is closed when it is full.
    fn ended(&mut self, begin: usize, batch: i64, zstd: &mut zstd::bulk::Compressor<'static>) -> Result<(), Error> {
        let leaf = merkle::leaf_hash(&self.open.bytes[begin..]);
        self.open.bytes.push(b'\n');
        if let Some(group) = self.frontier.push(leaf) {
            self.groups.extend_from_slice(&group);
        }
        if self.open.lines == 0 {
            self.open.first_batch = batch;
        }
        self.open.last_batch = batch;
        self.open.lines += 1;
        self.touched = true;
        if self.open.lines == CHUNK_LINES { self.end_chunk(zstd) } else { Ok(()) }
    }

    fn end_chunk(&mut self, zstd: &mut zstd::bulk::Compressor<'static>) -> Result<(), Error> {
        let Open { lines, first_batch, last_batch, .. } = self.open;
        if lines == 0 {
            return Ok(());
        }
        let body = zstd.compress(&self.open.bytes).map_err(broken)?;
        let first_line = self.next_line() - i64::from(lines);
        let participant = self.participant.clone();
        self.chunks.push(Chunk { participant, first_line, lines, first_batch, last_batch, body });
        // The buffer keeps its room.
        self.open.bytes.clear();
        self.open.lines = 0;
        Ok(())
    }

    fn row(&self) -> Result<tallies::Row, Error> {
        Ok(tallies::Row {
            participant: self.participant.clone(),
            first_line: self.first_line,
            lines: self.lines(),
            frontier: self.frontier.to_bytes(),
            groups: self.groups.clone(),
            sums: write_sums(&self.tallies)?,
        })
    }
}

/// The lines of a chunk, each ended by a line feed.
pub fn unpack(chunk: &Chunk) -> Result<Vec<u8>, Error> {
    // A line is below 64 KiB: its longest text, a reason, has 500 characters.
    let most = usize::try_from(chunk.lines).unwrap_or_default() * 64 * 1024;
    zstd::bulk::decompress(&chunk.body, most).map_err(broken)
}

/// Lines one after the other, without their line feeds; those of `unpack` and of whatever is written like them.
pub fn each_line(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// The root over all lines so far.
pub fn root(row: &tallies::Row) -> Result<Hash, Error> {
    Ok(Frontier::from_bytes(&row.frontier).map_err(broken)?.root())
}

/// Sums as they are stored: per counterparty `[[lines, "points", "amount"] per sort, "gross"]`.
fn write_sums(tallies: &Tallies) -> Result<String, Error> {
    let sums = |tally: &Tally| -> Value {
        let sums = tally.sums.iter().map(|sum| json!([sum.lines, sum.points.to_string(), sum.amount.to_string()]));
        json!([sums.collect::<Vec<_>>(), tally.gross.to_string()])
    };
    let all: BTreeMap<&str, Value> = tallies.iter().map(|(with, tally)| (with.as_str(), sums(tally))).collect();
    serde_json::to_string(&all).map_err(broken)
}

/// Reads what `write_sums` wrote.
pub fn read_sums(text: &str) -> Result<Tallies, Error> {
    type Stored = BTreeMap<String, (Vec<(i64, String, String)>, String)>;
    let stored: Stored = serde_json::from_str(text).map_err(broken)?;
    let whole = |text: &str| text.parse::<i128>().map_err(broken);
    let mut tallies = Tallies::new();
    for (with, (sums, gross)) in stored {
        let sums = sums
            .iter()
            .map(|(lines, points, amount)| Ok(Sum { lines: *lines, points: whole(points)?, amount: whole(amount)? }));
        let mut sums: Vec<Sum> = sums.collect::<Result<_, Error>>()?;
        // Of a window that was closed before there were as many sorts.
        sums.resize(SORTS.max(sums.len()), Sum::default());
        let sums: [Sum; SORTS] = sums.try_into().map_err(|_| broken("sums of more sorts than there are"))?;
        let participant = Participant::parse(&with).ok_or_else(|| broken(format!("participant `{with}`")))?;
        tallies.insert(participant, Tally { sums, gross: whole(&gross)? });
    }
    Ok(tallies)
}
