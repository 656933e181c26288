//! Lines from a file: read in large blocks, cut at the ends of lines, and parsed, judged and hashed on several threads.
//!
//! What comes out is what a statement says of its lines, made from the lines alone: how many, the root of the tree over
//! them (RFC 6962 §2.1), their sums; and the first line that is wrong.

use super::line::{LENGTH_MAX, Line, place, scan};
use super::recognise::Kind;
use super::records;
use super::rules::{Counted, Judge, Owner, What, Wrong, belongs};
use crate::domain::money::Millionths;
use crate::domain::settlement::Participant;
use crate::domain::settlement::tally::{self, Sort, Tallies};
use crate::service::settlement::read::csv_heading;
use crate::signing::canonical;
use crate::signing::merkle::{self, Frontier, Hash};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

/// Bytes read at once.
const BLOCK: usize = 1024 * 1024;
/// Threads at most: beyond these, memory is what is waited for.
const THREADS_MAX: usize = 8;
/// Lines of a file's head that say whose it is.
const LOOKED_AT: usize = 8;
const LINE_NO: usize = place("line_no");
const PARTICIPANT: usize = place("participant");
const WINDOW: usize = place("window");

/// What the lines are to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub owner: Owner,
    /// The number of the first line; `None` when nothing says so.
    pub first: Option<i64>,
    /// Leaves that are proven, by their index.
    pub leaves: BTreeMap<u64, Hash>,
}

/// What the lines are.
#[derive(Debug, Default)]
pub struct Found {
    pub count: u64,
    /// The number of the first line, as it says or as the next one makes it.
    pub first: Option<i64>,
    pub frontier: Frontier,
    pub tallies: Tallies,
    /// How many lines are wrong, and the first of them.
    pub wrong: u64,
    pub first_wrong: Option<At>,
    /// The first line that is not the one that is proven, by its index.
    pub altered: Option<u64>,
    /// The number after the last line's.
    next: Option<i64>,
}

/// A line that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    pub index: u64,
    pub line_no: Option<i64>,
    pub wrong: Wrong,
}

/// What one block of lines comes to.
#[derive(Default)]
struct Block {
    bytes: usize,
    leaves: Vec<Hash>,
    /// The number that its first line has or, where that cannot be read, would have.
    begins: Option<i64>,
    /// The number after its last.
    next: Option<i64>,
    tallies: Tallies,
    wrong: u64,
    first_wrong: Option<At>,
}

/// Reads lines to their end; `told` hears how many bytes more are done.
pub fn read(
    source: Box<dyn Read + Send + '_>,
    kind: Kind,
    wanted: &Wanted,
    mut told: impl FnMut(usize),
) -> io::Result<Found> {
    let mut cutter = Cutter::new(source, kind);
    let mut found = Found::default();
    if kind == Kind::Csv && !cutter.take_heading()? {
        (found.wrong, found.first_wrong) = (1, Some(At { index: 0, line_no: None, wrong: Wrong::Heading }));
        return Ok(found);
    }
    let cutter = Mutex::new(cutter);
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().clamp(2, THREADS_MAX));
    let (done, blocks) = sync_channel(2 * threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (cutter, done) = (&cutter, done.clone());
            scope.spawn(move || work(cutter, wanted, &done));
        }
        drop(done);
        let mut early = BTreeMap::new();
        let mut due = 0_u64;
        for (number, block) in blocks {
            early.insert(number, block?);
            while let Some(block) = early.remove(&due) {
                told(block.bytes);
                found.add(block, wanted);
                due += 1;
            }
        }
        Ok(found)
    })
}

type Numbered = (u64, io::Result<Block>);

fn work(cutter: &Mutex<Cutter<'_>>, wanted: &Wanted, done: &SyncSender<Numbered>) {
    let mut buffer = Vec::with_capacity(2 * BLOCK);
    let mut worker = Worker { wanted, judge: Judge::default(), counterparties: Vec::new(), block: Block::default() };
    loop {
        let (number, cut, kind) = {
            let mut cutter = cutter.lock().unwrap_or_else(PoisonError::into_inner);
            let cut = cutter.cut(&mut buffer);
            cutter.number += 1;
            (cutter.number - 1, cut, cutter.kind)
        };
        let block = match cut {
            Ok(false) => return,
            Ok(true) => Ok(worker.block(&buffer, kind)),
            Err(error) => Err(error),
        };
        let failed = block.is_err();
        // Nobody listens any more once a block could not be read.
        if done.send((number, block)).is_err() || failed {
            return;
        }
    }
}

/// Cuts a file into blocks of whole lines.
struct Cutter<'a> {
    source: Box<dyn Read + Send + 'a>,
    kind: Kind,
    number: u64,
    /// What was read and is the beginning of a line that goes on.
    rest: Vec<u8>,
    ended: bool,
}

impl<'a> Cutter<'a> {
    fn new(source: Box<dyn Read + Send + 'a>, kind: Kind) -> Cutter<'a> {
        Cutter { source, kind, number: 0, rest: Vec::new(), ended: false }
    }

    /// Puts the next whole lines into `block`; `false` when there are none. A line too long to be one comes in pieces.
    fn cut(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        block.clear();
        block.append(&mut self.rest);
        if !self.ended {
            let more = u64::try_from(BLOCK).unwrap_or(u64::MAX);
            let read = self.source.by_ref().take(more).read_to_end(block);
            // An error is told once: then there is no more.
            self.ended = !matches!(read, Ok(BLOCK));
            read?;
        }
        if !self.ended
            && let Some(end) = self.end(block)
        {
            self.rest.extend_from_slice(&block[end..]);
            block.truncate(end);
        }
        Ok(!block.is_empty())
    }

    /// After the last line that is whole.
    fn end(&self, block: &[u8]) -> Option<usize> {
        if self.kind != Kind::Csv {
            return block.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        }
        records::end(block)
    }

    /// Whether the file began with the heading, which is then read.
    fn take_heading(&mut self) -> io::Result<bool> {
        let mut block = Vec::new();
        self.cut(&mut block)?;
        let end = block.iter().position(|byte| *byte == b'\n').map_or(block.len(), |at| at + 1);
        let first = block[..end].strip_prefix("\u{feff}".as_bytes()).unwrap_or(&block[..end]);
        let first = first.strip_suffix(b"\n").unwrap_or(first);
        let heading = csv_heading();
        let heading = heading.strip_suffix(b"\r\n").unwrap_or(&heading);
        let is_heading = first.strip_suffix(b"\r").unwrap_or(first) == heading;
        block.drain(..end);
        block.append(&mut self.rest);
        self.rest = block;
        Ok(is_heading)
    }
}

struct Worker<'a> {
    wanted: &'a Wanted,
    judge: Judge,
    /// Names that were met before.
    counterparties: Vec<Participant>,
    block: Block,
}

impl Worker<'_> {
    fn block(&mut self, bytes: &[u8], kind: Kind) -> Block {
        self.block = Block { bytes: bytes.len(), ..Block::default() };
        if kind == Kind::Csv {
            self.records(bytes);
        } else {
            let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
            bytes.split(|byte| *byte == b'\n').for_each(|line| self.line(line));
        }
        std::mem::take(&mut self.block)
    }

    fn records(&mut self, bytes: &[u8]) {
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
        let mut record = ::csv::ByteRecord::new();
        let mut line = Vec::new();
        // From memory, and of any number of cells: nothing can fail.
        while reader.read_byte_record(&mut record).unwrap_or(false) {
            line.clear();
            match records::rebuild(&record, &mut line) {
                Ok(()) => self.line(&line),
                Err(wrong) => self.unreadable(wrong, &line),
            }
        }
    }

    fn line(&mut self, bytes: &[u8]) {
        let text = if bytes.len() > LENGTH_MAX {
            Err(Wrong::TooLong)
        } else {
            std::str::from_utf8(bytes).map_err(|_| Wrong::Utf8)
        };
        let line = match text.map(|text| (text, scan(text))) {
            Ok((_, Some(line))) => line,
            Ok((text, None)) => return self.unreadable(why_not(text), bytes),
            Err(wrong) => return self.unreadable(wrong, bytes),
        };
        self.block.leaves.push(merkle::leaf_hash(bytes));
        let numbered = self.number(&line);
        let owner = &self.wanted.owner;
        // Of lines that are somebody else's, their numbers are not what is wrong.
        match belongs(&line, owner).and(numbered).and_then(|()| self.judge.judge(&line, owner)) {
            Ok(counted) => self.count(&counted),
            Err(wrong) => self.wrong(wrong),
        }
    }

    /// Every line has the number after that of the line before.
    fn number(&mut self, line: &Line<'_>) -> Result<(), Wrong> {
        let before = self.block.leaves.len() - 1;
        let due = self.block.next;
        if !line.present().has(LINE_NO) {
            self.block.next = due.map(|due| due + 1);
            return Ok(());
        }
        let is = line.whole(LINE_NO);
        self.block.next = Some(is + 1);
        if due.is_none() {
            self.block.begins = i64::try_from(before).ok().map(|before| is - before);
        }
        match due {
            Some(due) if due != is => Err(Wrong::Number { is, due }),
            Some(_) | None => Ok(()),
        }
    }

    fn count(&mut self, counted: &Counted<'_>) {
        let known = self.counterparties.iter().position(|known| known.as_str() == counted.counterparty);
        let at = match (known, Participant::parse(counted.counterparty)) {
            (Some(at), _) => at,
            (None, Some(participant)) => {
                self.counterparties.push(participant);
                self.counterparties.len() - 1
            }
            (None, None) => return self.wrong(Wrong::Counterparty(counted.counterparty.to_owned())),
        };
        let counterparty = &self.counterparties[at];
        match &counted.what {
            What::Posted(part, taken) => tally::count(&mut self.block.tallies, counterparty, part, *taken),
            What::Adjusted(amount) => {
                tally::count_adjustment(&mut self.block.tallies, counterparty, *amount, Millionths::ZERO);
            }
            What::Used { amount, is_giver } => {
                tally::count_benefit(&mut self.block.tallies, counterparty, (*amount, *is_giver), Millionths::ZERO);
            }
        }
    }

    /// A line that has no members to go by; it is a leaf all the same.
    fn unreadable(&mut self, wrong: Wrong, bytes: &[u8]) {
        self.block.leaves.push(merkle::leaf_hash(bytes));
        self.block.next = self.block.next.map(|next| next + 1);
        self.wrong(wrong);
    }

    /// The line just put into the tree is wrong.
    fn wrong(&mut self, wrong: Wrong) {
        self.block.wrong += 1;
        if self.block.first_wrong.is_none() {
            let index = u64::try_from(self.block.leaves.len() - 1).unwrap_or(u64::MAX);
            let line_no = match &wrong {
                Wrong::Number { due, .. } => Some(*due),
                _ => self.block.next.map(|next| next - 1),
            };
            self.block.first_wrong = Some(At { index, line_no, wrong });
        }
    }
}

/// Why a text is no line.
fn why_not(text: &str) -> Wrong {
    if text.is_empty() {
        return Wrong::Empty;
    }
    if text.ends_with('\r') {
        return Wrong::CarriageReturn;
    }
    match serde_json::from_str(text).map(|value| canonical::to_vec(&value)) {
        Err(_) => Wrong::Json,
        Ok(Ok(bytes)) if bytes == text.as_bytes() => Wrong::Unknown,
        Ok(_) => Wrong::Canonical,
    }
}

impl Found {
    /// The block that comes next.
    fn add(&mut self, block: Block, wanted: &Wanted) {
        let due = self.due(wanted);
        self.wrong += block.wrong;
        // What is wrong with the block's first line itself comes before its number.
        let first_is_wrong = block.first_wrong.as_ref().is_some_and(|at| at.index == 0);
        let misnumbered = match (due, block.begins) {
            (Some(due), Some(is)) if is != due && !first_is_wrong => {
                self.wrong += 1;
                Some(At { index: 0, line_no: Some(due), wrong: Wrong::Number { is, due } })
            }
            (Some(_) | None, Some(_) | None) => None,
        };
        if self.first_wrong.is_none() {
            let of_block = misnumbered.or(block.first_wrong);
            self.first_wrong = of_block.map(|at| {
                // Before a number was read in the block, the one that is due is the line's.
                let line_no = at.line_no.or_else(|| due.and_then(|due| due.checked_add_unsigned(at.index)));
                At { index: self.count + at.index, line_no, ..at }
            });
        }
        if self.count == 0 {
            self.first = block.begins;
        }
        for leaf in &block.leaves {
            if self.altered.is_none() && wanted.leaves.get(&self.count).is_some_and(|proven| proven != leaf) {
                self.altered = Some(self.count);
            }
            self.frontier.push(*leaf);
            self.count += 1;
        }
        add(&mut self.tallies, &block.tallies);
        self.next = block
            .next
            .or_else(|| due.and_then(|due| due.checked_add_unsigned(u64::try_from(block.leaves.len()).ok()?)));
    }

    /// The number that the next line is to have.
    fn due(&self, wanted: &Wanted) -> Option<i64> {
        if self.count == 0 { wanted.first } else { self.next }
    }
}

/// Adds sums to sums.
fn add(sums: &mut Tallies, more: &Tallies) {
    for (with, more) in more {
        let tally = sums.entry(with.clone()).or_default();
        for sort in Sort::ALL {
            let (sum, more) = (tally.sum_mut(sort), more.sum(sort));
            sum.lines += more.lines;
            sum.points += more.points;
            sum.amount += more.amount;
        }
    }
}

/// Whether a file has no line: none at all, or a heading alone.
pub fn none(head: &[u8], kind: Kind) -> bool {
    let heading = if kind == Kind::Csv { 1 } else { 0 };
    head.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() <= heading
}

/// Whose the first lines of a file say they are, each once.
pub fn owners(head: &[u8], kind: Kind) -> Vec<Owner> {
    let mut owners = Vec::new();
    let mut take = |bytes: &[u8]| {
        let Some(line) = std::str::from_utf8(bytes).ok().and_then(scan) else { return };
        let participant = line.text(PARTICIPANT).to_owned();
        let owner = Owner { participant, window: line.whole(WINDOW), currency: None };
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    };
    if kind == Kind::Csv {
        let reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(head);
        for record in reader.into_byte_records().take(LOOKED_AT).flatten() {
            let mut line = Vec::new();
            if records::rebuild(&record, &mut line).is_ok() {
                take(&line);
            }
        }
    } else {
        head.split(|byte| *byte == b'\n').take(LOOKED_AT).for_each(take);
    }
    owners
}
