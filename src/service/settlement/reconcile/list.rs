//! A participant's own list, packed: of a row is kept what names it and what it says, some sixty bytes, so that a million
//! rows are compared in memory. What texts of references there are lie one after the other.

use crate::domain::ids::{ConversionId, LineId, ReversalId, Slug};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::settlement::Participant;
use crate::domain::settlement::reconcile::There;
use crate::domain::text::Text;
use crate::service::exchange::reference_hash;
use std::cmp::Ordering;
use uuid::Uuid;

/// Rows of one list.
pub const ROWS_MAX: usize = 4_000_000;
/// Faults told of one list.
const FAULTS_MAX: usize = 20;
/// Counterparties of one list, far more than an alliance has.
const COUNTERPARTIES_MAX: usize = 4_096;

/// What a column of a list may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// One line by itself.
    LineId,
    /// Everything a conversion comes to in the window, but for what took part of it back.
    ConversionId,
    /// Everything an undo or a reversal comes to.
    ReversalId,
    /// Either, by the participant's own reference.
    Reference,
    Counterparty,
    /// Positive is owed to the participant.
    Amount,
    /// Positive is owed by the participant.
    Payable,
    /// Credited.
    Points,
    DebitPoints,
}

impl Field {
    pub const ALL: [Field; 9] = [
        Field::LineId,
        Field::ConversionId,
        Field::ReversalId,
        Field::Reference,
        Field::Counterparty,
        Field::Amount,
        Field::Payable,
        Field::Points,
        Field::DebitPoints,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Field::LineId => "line_id",
            Field::ConversionId => "conversion_id",
            Field::ReversalId => "reversal_id",
            Field::Reference => "external_reference",
            Field::Counterparty => "counterparty",
            Field::Amount => "amount",
            Field::Payable => "payable",
            Field::Points => "points",
            Field::DebitPoints => "debit_points",
        }
    }

    pub fn parse(code: &str) -> Option<Field> {
        Field::ALL.into_iter().find(|field| field.code() == code)
    }

    /// It says which line or posting a row is about.
    pub fn names(self) -> bool {
        matches!(self, Field::LineId | Field::ConversionId | Field::ReversalId | Field::Reference)
    }

    /// It says something that is compared.
    pub fn says(self) -> bool {
        matches!(self, Field::Amount | Field::Payable | Field::Points | Field::DebitPoints)
    }
}

/// What a row is named by; in this order entries are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    Line,
    Conversion,
    Reversal,
    Reference,
}

/// One row of the list.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    key: [u8; 16],
    amount: i64,
    points: i64,
    debit_points: i64,
    /// From 1, the heading not counted.
    pub row: u32,
    text: u32,
    text_len: u16,
    counterparty: u16,
    by: By,
    said: u8,
    seen: bool,
}

const AMOUNT: u8 = 1;
const POINTS: u8 = 2;
const DEBIT_POINTS: u8 = 4;

impl Entry {
    pub fn named(&self) -> (By, Uuid) {
        (self.by, Uuid::from_bytes(self.key))
    }

    pub fn there(&self) -> There {
        let said = |bit: u8, value: i64| (self.said & bit != 0).then_some(value);
        There {
            amount: said(AMOUNT, self.amount).map(Millionths::new),
            points: said(POINTS, self.points),
            debit_points: said(DEBIT_POINTS, self.debit_points),
        }
    }

    fn order(&self, other: &Entry) -> Ordering {
        (self.by, self.key, self.row).cmp(&(other.by, other.key, other.row))
    }
}

/// A cell that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1, the heading not counted.
    pub row: u32,
    /// Empty for the whole row.
    pub field: &'static str,
    pub detail: &'static str,
}

/// The texts of one row, by field.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cells<'a>([Option<&'a str>; 9]);

impl<'a> Cells<'a> {
    fn place(field: Field) -> usize {
        // Every field is in the list of all.
        Field::ALL.iter().position(|one| *one == field).unwrap_or_default()
    }

    /// An empty cell says nothing. `false`: the field was set before.
    pub fn set(&mut self, field: Field, text: &'a str) -> bool {
        let cell = &mut self.0[Cells::place(field)];
        let first = cell.is_none();
        *cell = Some(text).filter(|text| !text.is_empty());
        first
    }

    fn get(&self, field: Field) -> Option<&'a str> {
        self.0[Cells::place(field)]
    }
}

/// A list while it is read, and then sorted, to be looked up in.
pub struct List {
    owner: Slug,
    entries: Vec<Entry>,
    texts: Vec<u8>,
    counterparties: Vec<Participant>,
    pub faults: Vec<Fault>,
}

impl List {
    pub fn new(owner: Slug) -> List {
        List { owner, entries: Vec::new(), texts: Vec::new(), counterparties: Vec::new(), faults: Vec::new() }
    }

    pub fn owner(&self) -> &Slug {
        &self.owner
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No more is taken: it is full, or has enough faults.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= ROWS_MAX || self.faults.len() >= FAULTS_MAX
    }

    pub fn fault(&mut self, row: u32, field: &'static str, detail: &'static str) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { row, field, detail });
        }
    }

    /// Takes one row; what is wrong with it becomes a fault.
    pub fn push(&mut self, row: u32, cells: &Cells<'_>) {
        let Some((by, key, text)) = self.name(row, cells) else { return };
        let payable = self.read(row, cells, Field::Payable, NOT_MONEY, Millionths::parse);
        let amount = self.read(row, cells, Field::Amount, NOT_MONEY, Millionths::parse);
        let points = self.read(row, cells, Field::Points, NOT_POINTS, whole);
        let debit_points = self.read(row, cells, Field::DebitPoints, NOT_POINTS, whole);
        let counterparty = self.read(row, cells, Field::Counterparty, NOT_A_PARTNER, Participant::parse);
        let amount = amount.or(payable.map(Millionths::negated));
        let mut said = 0;
        let mut value = |bit: u8, value: Option<i64>| {
            said |= if value.is_some() { bit } else { 0 };
            value.unwrap_or_default()
        };
        let (amount, points, debit_points) =
            (value(AMOUNT, amount.map(Millionths::get)), value(POINTS, points), value(DEBIT_POINTS, debit_points));
        let counterparty = counterparty.map_or(0, |one| self.intern(row, one));
        let (text, text_len) = self.keep(text);
        let key = key.into_bytes();
        self.entries.push(Entry {
            key,
            amount,
            points,
            debit_points,
            row,
            text,
            text_len,
            counterparty,
            by,
            said,
            seen: false,
        });
    }

    /// What the row is named by: the first of line, reversal, conversion and reference that it has.
    fn name<'a>(&mut self, row: u32, cells: &Cells<'a>) -> Option<(By, Uuid, Option<&'a str>)> {
        let (field, read) = if let Some(text) = cells.get(Field::LineId) {
            (Field::LineId, text.parse().ok().map(|LineId(id)| (By::Line, id, None)))
        } else if let Some(text) = cells.get(Field::ReversalId) {
            (Field::ReversalId, text.parse().ok().map(|ReversalId(id)| (By::Reversal, id, None)))
        } else if let Some(text) = cells.get(Field::ConversionId) {
            (Field::ConversionId, text.parse().ok().map(|ConversionId(id)| (By::Conversion, id, None)))
        } else if let Some(text) = cells.get(Field::Reference) {
            let read = Text::new(text.to_owned()).ok();
            let named = read.map(|read| (By::Reference, reference_hash(&self.owner, &read).0, Some(text)));
            (Field::Reference, named)
        } else {
            self.fault(row, "", "names neither a line nor a conversion, a reversal or a reference");
            return None;
        };
        if read.is_none() {
            self.fault(row, field.code(), "is not of its form");
        }
        read
    }

    fn read<T>(
        &mut self,
        row: u32,
        cells: &Cells<'_>,
        field: Field,
        detail: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = read(cells.get(field)?);
        if value.is_none() {
            self.fault(row, field.code(), detail);
        }
        value
    }

    /// 0 is none.
    fn intern(&mut self, row: u32, counterparty: Participant) -> u16 {
        let known = self.counterparties.iter().position(|one| *one == counterparty);
        let place = known.unwrap_or_else(|| {
            if self.counterparties.len() < COUNTERPARTIES_MAX {
                self.counterparties.push(counterparty);
            } else {
                self.fault(row, Field::Counterparty.code(), "is one too many");
            }
            self.counterparties.len() - 1
        });
        u16::try_from(place + 1).unwrap_or_default()
    }

    fn keep(&mut self, text: Option<&str>) -> (u32, u16) {
        let text = text.unwrap_or_default();
        let begin = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.extend_from_slice(text.as_bytes());
        (begin, u16::try_from(text.len()).unwrap_or_default())
    }

    /// Puts the entries in the order they are looked up in.
    pub fn sort(&mut self) {
        self.entries.sort_unstable_by(Entry::order);
    }

    /// The places of all entries of this name, by row. Only after `sort`.
    pub fn find(&self, by: By, key: Uuid) -> std::ops::Range<usize> {
        let wanted = (by, key.into_bytes());
        let begin = self.entries.partition_point(|entry| (entry.by, entry.key) < wanted);
        let same = self.entries[begin..].iter().take_while(|entry| (entry.by, entry.key) == wanted).count();
        begin..begin + same
    }

    pub fn entry(&self, place: usize) -> &Entry {
        &self.entries[place]
    }

    /// Marks an entry as compared.
    pub fn see(&mut self, place: usize) {
        self.entries[place].seen = true;
    }

    /// The places of entries nothing here was compared with, by row.
    pub fn unseen(&self) -> Vec<u32> {
        let places = self.entries.iter().enumerate().filter(|(_, entry)| !entry.seen);
        let mut places: Vec<u32> = places.filter_map(|(place, _)| u32::try_from(place).ok()).collect();
        places.sort_unstable_by_key(|place| self.entries[usize::try_from(*place).unwrap_or_default()].row);
        places
    }

    /// The reference an entry is named by, if it is.
    pub fn reference(&self, entry: &Entry) -> Option<&str> {
        if entry.by != By::Reference {
            return None;
        }
        let begin = usize::try_from(entry.text).ok()?;
        std::str::from_utf8(self.texts.get(begin..begin + usize::from(entry.text_len))?).ok()
    }

    pub fn counterparty(&self, entry: &Entry) -> Option<&Participant> {
        usize::from(entry.counterparty).checked_sub(1).and_then(|place| self.counterparties.get(place))
    }

    /// Bytes it takes in memory, spare room included.
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.texts.capacity()
    }
}

const NOT_MONEY: &str = "is no amount: a decimal string with at most 6 digits after the point";
const NOT_POINTS: &str = "is no whole number of points";
const NOT_A_PARTNER: &str = "is neither a partner's slug nor operator";

/// Points, negative where they are taken back.
fn whole(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let value: i64 = text.parse().ok().filter(|_| plain)?;
    value.checked_abs().and_then(Points::new).map(|_| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Slug {
        "lumen".parse().expect("a slug")
    }

    fn list(rows: &[&[(Field, &str)]]) -> List {
        let mut list = List::new(owner());
        for (row, fields) in (1..).zip(rows) {
            let mut cells = Cells::default();
            fields.iter().for_each(|(field, text)| assert!(cells.set(*field, text)));
            list.push(row, &cells);
        }
        list.sort();
        list
    }

    #[test]
    fn a_row_is_found_by_what_names_it_and_says_what_it_said() {
        let id = "cnv_0198c0de0000700080000000000000aa";
        let uuid = id.parse::<ConversionId>().expect("an id").0;
        let list = list(&[
            &[(Field::Reference, "订单-1"), (Field::Payable, "3.40"), (Field::Counterparty, "harvest")],
            &[(Field::ConversionId, id), (Field::Reference, "x"), (Field::Points, "-68"), (Field::Amount, "")],
            &[(Field::ConversionId, id), (Field::DebitPoints, "136")],
        ]);
        assert_eq!((list.faults.as_slice(), list.len()), (&[][..], 3));
        let found = list.find(By::Conversion, uuid);
        let rows: Vec<u32> = found.clone().map(|place| list.entry(place).row).collect();
        assert_eq!(rows, [2, 3], "in the order of the list");
        let there = list.entry(found.start).there();
        assert_eq!((there.amount, there.points, there.debit_points), (None, Some(-68), None));
        let text = Text::new("订单-1".to_owned()).expect("a text");
        let by_reference = list.entry(list.find(By::Reference, reference_hash(&owner(), &text).0).start);
        assert_eq!(by_reference.there().amount, Millionths::parse("-3.4"), "payable is owed by the participant");
        assert_eq!(list.reference(by_reference), Some("订单-1"));
        assert_eq!(list.counterparty(by_reference).map(Participant::as_str), Some("harvest"));
        assert_eq!(list.reference(list.entry(found.start)), None);
        assert!(list.find(By::Line, uuid).is_empty());
    }

    #[test]
    fn a_bad_cell_is_told_by_row_and_field() {
        let list = list(&[
            &[(Field::Amount, "1")],
            &[(Field::Reference, "r"), (Field::Amount, "1,000.00")],
            &[(Field::ConversionId, "cnv_1")],
            &[(Field::Reference, "r"), (Field::Points, "1.0"), (Field::DebitPoints, "9007199254740992")],
            &[(Field::Reference, "r"), (Field::Counterparty, "Lumen")],
        ]);
        let faults: Vec<_> = list.faults.iter().map(|fault| (fault.row, fault.field)).collect();
        assert_eq!(
            faults,
            [(1, ""), (2, "amount"), (3, "conversion_id"), (4, "points"), (4, "debit_points"), (5, "counterparty")]
        );
    }

    #[test]
    fn a_million_rows_take_less_than_two_hundred_megabytes() {
        assert!(size_of::<Entry>() <= 56, "{}", size_of::<Entry>());
        let mut list = List::new(owner());
        for row in 1..=100_000 {
            let text = format!("order-2026-05-{row:012}");
            let mut cells = Cells::default();
            cells.set(Field::Reference, &text);
            cells.set(Field::Amount, "-3.40");
            list.push(row, &cells);
        }
        list.sort();
        assert!(list.bytes() * 10 <= 200_000_000, "{}", list.bytes());
        assert_eq!(list.unseen().len(), 100_000);
    }
}
