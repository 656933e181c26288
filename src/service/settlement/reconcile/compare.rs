//! Comparing: the participant's lines as they come, a posting's together, against the packed list; then what of the list is
//! left.
//!
//! The lines of a posting follow each other, so only one posting is held at a time.

use super::difference::{Difference, Side};
use super::list::{By, Entry, List};
use crate::domain::ids::{ConversionId, LineId, ReversalId};
use crate::domain::money::Millionths;
use crate::domain::settlement::reconcile::{Finding, Here, Results, There, judge};
use crate::domain::text::Text;
use crate::service::exchange::reference_hash;
use crate::service::settlement::find::Line;
use crate::service::settlement::{Error, broken};
use uuid::Uuid;

/// A comparison under way. What differs is told in the sequence of the lines.
pub struct Comparing {
    list: List,
    pub results: Results,
    /// Lines of the posting that is not complete yet.
    open: Vec<Line>,
}

/// Where what differs goes, one by one: of one line a list may have millions of duplicates.
pub type Tell<'a> = &'a mut dyn FnMut(Difference) -> Result<(), Error>;

impl Comparing {
    pub fn new(list: List) -> Comparing {
        Comparing { list, results: Results::default(), open: Vec::new() }
    }

    /// Takes the participant's next line.
    pub fn line(&mut self, line: Line, tell: Tell<'_>) -> Result<(), Error> {
        if self.open.first().is_some_and(|first| first.posted() != line.posted()) {
            self.posting(tell)?;
        }
        self.open.push(line);
        Ok(())
    }

    /// All lines were taken.
    pub fn end(&mut self, tell: Tell<'_>) -> Result<(), Error> {
        if self.open.is_empty() { Ok(()) } else { self.posting(tell) }
    }

    fn posting(&mut self, tell: Tell<'_>) -> Result<(), Error> {
        let lines = std::mem::take(&mut self.open);
        let named: Vec<_> = lines.iter().map(|line| self.list.find(By::Line, line.id.0)).collect();
        let by_line = named.iter().any(|places| !places.is_empty());
        let mut places: Vec<usize> = Vec::new();
        let whole = match (lines[0].adjustment, lines[0].reversal, lines[0].conversion) {
            (None, Some(ReversalId(id)), _) => Some((By::Reversal, id)),
            (None, None, Some(ConversionId(id))) => Some((By::Conversion, id)),
            // An adjustment is named by its line alone.
            _ => None,
        };
        places.extend(whole.into_iter().flat_map(|(by, id)| self.list.find(by, id)));
        if let Some(reference) = lines.iter().find_map(|line| line.reference.as_ref()) {
            let text = Text::new(reference.clone()).map_err(|_| broken(format!("the reference of {}", lines[0].id)))?;
            places.extend(self.list.find(By::Reference, reference_hash(self.list.owner(), &text).0));
        }
        places.sort_unstable_by_key(|place| self.list.entry(*place).row);
        if !by_line {
            return self.judge(&lines, places, tell);
        }
        // The list goes line by line here: what names the whole of it besides says some of it twice.
        for (nth, (line, own)) in lines.iter().zip(named).enumerate() {
            let more = if nth == 0 { places.as_slice() } else { &[] };
            self.judge(std::slice::from_ref(line), own.chain(more.iter().copied()).collect(), tell)?;
        }
        Ok(())
    }

    /// Compares lines that count as one with the entries that name them, the first of which is meant.
    fn judge(&mut self, lines: &[Line], places: Vec<usize>, tell: Tell<'_>) -> Result<(), Error> {
        let here = here(lines)?;
        let base = &lines[0];
        let Some((first, more)) = places.split_first() else {
            self.results.count(Finding::MissingThere, Some(here.amount), None);
            return tell(Difference::new(Finding::MissingThere).of_line(base).between(Some(&here), None));
        };
        self.list.see(*first);
        let entry = *self.list.entry(*first);
        let there = entry.there();
        let finding = judge(&here, &there);
        self.results.count(finding, Some(here.amount), there.amount);
        if finding != Finding::Matched {
            tell(Difference::new(finding).at(entry.row).of_line(base).between(Some(&here), Some(&there)))?;
        }
        for place in more {
            self.list.see(*place);
            let entry = *self.list.entry(*place);
            let there = entry.there();
            self.results.count(Finding::Duplicate, None, there.amount);
            tell(Difference::new(Finding::Duplicate).at(entry.row).of_line(base).between(None, Some(&there)))?;
        }
        Ok(())
    }

    /// Entries of the list that nothing here was compared with, by row.
    pub fn left(&self) -> Vec<u32> {
        self.list.unseen()
    }

    pub fn entry(&self, place: u32) -> &Entry {
        self.list.entry(usize::try_from(place).unwrap_or_default())
    }

    /// An entry that names nothing of this window; `window`: the number of the one it is in.
    pub fn missing(&mut self, place: u32, window: Option<i64>, tell: Tell<'_>) -> Result<(), Error> {
        let entry = *self.entry(place);
        let there: There = entry.there();
        let finding = if window.is_some() { Finding::Late } else { Finding::MissingHere };
        self.results.count(finding, None, there.amount);
        let mut difference = Difference::new(finding).at(entry.row).between(None, Some(&there));
        difference.window = window;
        difference.counterparty = self.list.counterparty(&entry).map(ToString::to_string);
        difference.external_reference = self.list.reference(&entry).map(str::to_owned);
        name(&mut difference, entry.named());
        tell(difference)
    }
}

/// What an entry calls itself, where that is an id.
fn name(difference: &mut Difference, (by, id): (By, Uuid)) {
    match by {
        By::Line => difference.line_id = Some(LineId(id).to_string()),
        By::Conversion => difference.conversion_id = Some(ConversionId(id).to_string()),
        By::Reversal => difference.reversal_id = Some(ReversalId(id).to_string()),
        By::Reference => {}
    }
}

/// What lines say together.
fn here(lines: &[Line]) -> Result<Here, Error> {
    let amount = lines.iter().map(|line| line.amount.get()).try_fold(0_i64, i64::checked_add);
    let points = lines.iter().map(|line| line.points.unwrap_or_default()).try_fold(0_i64, i64::checked_add);
    let (Some(amount), Some(points)) = (amount, points) else {
        return Err(broken(format!("the lines of {} are beyond money", lines[0].id)));
    };
    Ok(Here {
        amount: Millionths::new(amount),
        base_points: lines[0].points.unwrap_or_default(),
        points,
        debit_points: lines[0].debit_points,
    })
}

impl Side {
    fn here(here: &Here) -> Side {
        Side { amount: Some(here.amount.to_string()), points: Some(here.points), debit_points: here.debit_points }
    }

    fn there(there: &There) -> Side {
        let There { amount, points, debit_points } = *there;
        Side { amount: amount.map(|amount| amount.to_string()), points, debit_points }
    }
}

impl Difference {
    fn at(mut self, row: u32) -> Difference {
        self.row = Some(row);
        self
    }

    fn of_line(mut self, line: &Line) -> Difference {
        self.line_id = Some(line.id.to_string());
        self.line_no = Some(line.line_no);
        self.kind = Some(line.kind.clone());
        self.conversion_id = line.conversion.map(|id| id.to_string());
        self.reversal_id = line.reversal.map(|id| id.to_string());
        self.external_reference.clone_from(&line.reference);
        self.counterparty = Some(line.counterparty.to_string());
        self.line_amount = Some(line.amount.to_string());
        self.base_points = line.points;
        self
    }

    fn between(mut self, here: Option<&Here>, there: Option<&There>) -> Difference {
        let amounts = (here.map(|here| here.amount), there.and_then(|there| there.amount));
        self.difference = match amounts {
            (Some(here), Some(there)) => there.minus(here),
            (Some(here), None) if there.is_none() => Some(here.negated()),
            (None, there) => there,
            // The list says nothing of the amount.
            (Some(_), None) => None,
        }
        .map(|difference| difference.to_string());
        self.here = here.map(Side::here);
        self.there = there.map(Side::there);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Slug;
    use crate::domain::settlement::line;
    use crate::service::settlement::reconcile::list::{Cells, Field};

    fn owner() -> Slug {
        "aa".parse().expect("a slug")
    }

    fn conversion(nth: u128) -> Uuid {
        Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0000 | (nth << 8))
    }

    /// The `nth` conversion's base line, or one of its bonuses.
    fn line(nth: u128, place: u128, amount: i64, points: i64) -> Line {
        let from: Slug = owner();
        Line {
            id: line::id(conversion(nth), place),
            line_no: 1,
            kind: "conversion".into(),
            counterparty: crate::domain::settlement::Participant::parse("bb").expect("a participant"),
            amount: Millionths::new(amount),
            points: Some(points),
            debit_points: (place == 1).then_some(2 * points),
            price: None,
            from: Some(from),
            to: Some("bb".parse().expect("a slug")),
            agreement: Some(1),
            conversion: Some(ConversionId(conversion(nth))),
            reversal: None,
            adjustment: None,
            used: None,
            reference: Some(format!("order-{nth}")),
        }
    }

    fn list(rows: &[(Field, String, &str)]) -> List {
        let mut list = List::new(owner());
        for (row, (field, name, amount)) in (1..).zip(rows) {
            let mut cells = Cells::default();
            cells.set(*field, name);
            cells.set(Field::Amount, amount);
            list.push(row, &cells);
        }
        assert_eq!(list.faults, []);
        list.sort();
        list
    }

    fn told(found: &[Difference]) -> Vec<(String, Option<u32>, Option<String>)> {
        let told = |found: &Difference| (found.result.clone(), found.row, found.difference.clone());
        found.iter().map(told).collect()
    }

    /// Takes all lines, and what differs.
    fn taken(comparing: &mut Comparing, lines: impl IntoIterator<Item = Line>) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut tell = |difference| {
            found.push(difference);
            Ok(())
        };
        for line in lines {
            comparing.line(line, &mut tell).expect("taken");
        }
        comparing.end(&mut tell).expect("ended");
        found
    }

    #[test]
    fn a_posting_is_compared_whole_and_by_whichever_name_the_list_has() {
        let id = |nth: u128| ConversionId(conversion(nth)).to_string();
        let mut comparing = Comparing::new(list(&[
            (Field::ConversionId, id(1), "-5"),
            (Field::Reference, "order-2".into(), "-3"),
            (Field::ConversionId, id(2), "-3"),
            (Field::Reference, "order-9".into(), "-1"),
            (Field::ConversionId, id(3), "-4"),
        ]));
        let lines = [
            line(1, 1, -4_000_000, 8),
            line(1, 5, -1_000_000, 2),
            line(2, 1, -3_000_000, 6),
            line(3, 1, -3_000_000, 6),
            line(4, 1, -2_000_000, 4),
        ];
        let mut found = taken(&mut comparing, lines);
        let left = comparing.left();
        assert_eq!(left.len(), 1);
        let mut tell = |difference| {
            found.push(difference);
            Ok(())
        };
        comparing.missing(left[0], None, &mut tell).expect("told");
        let row =
            |result: &str, row: Option<u32>, difference: &str| (result.to_owned(), row, Some(difference.to_owned()));
        assert_eq!(
            told(&found),
            [
                row("duplicate", Some(3), "-3.00"),
                row("amount", Some(5), "-1.00"),
                row("missing_there", None, "2.00"),
                row("missing_here", Some(4), "-1.00"),
            ]
        );
        assert_eq!(comparing.results.of(Finding::Matched).count, 2);
        assert_eq!(comparing.results.of(Finding::Matched).here, -8_000_000);
    }

    #[test]
    fn where_the_list_names_lines_each_is_compared_by_itself() {
        let named = |place: u128| LineId(line::id(conversion(1), place).0).to_string();
        let mut comparing = Comparing::new(list(&[(Field::LineId, named(1), "-4"), (Field::LineId, named(9), "-7")]));
        let found = taken(&mut comparing, [line(1, 1, -4_000_000, 8), line(1, 5, -1_000_000, 2)]);
        assert_eq!(told(&found), [("missing_there".to_owned(), None, Some("1.00".to_owned()))]);
        assert_eq!((comparing.results.of(Finding::Matched).count, comparing.left().len()), (1, 1));
    }

    #[test]
    fn what_names_a_line_and_its_conversion_too_says_it_twice() {
        let named = LineId(line::id(conversion(1), 1).0).to_string();
        let whole = ConversionId(conversion(1)).to_string();
        let mut comparing = Comparing::new(list(&[(Field::ConversionId, whole, "-4"), (Field::LineId, named, "-4")]));
        let found = taken(&mut comparing, [line(1, 1, -4_000_000, 8)]);
        assert_eq!(told(&found), [("duplicate".to_owned(), Some(1), Some("-4.00".to_owned()))]);
        assert_eq!((comparing.results.of(Finding::Matched).count, comparing.left().len()), (1, 0));
    }

    #[test]
    fn a_hundred_thousand_postings_are_compared_and_every_one_counted_once() {
        let names: Vec<(Field, String, &str)> = (1..=100_000_u128)
            .map(|nth| (Field::Reference, format!("order-{nth}"), if nth % 10 == 0 { "-2" } else { "-1" }))
            .collect();
        let mut comparing = Comparing::new(list(&names));
        taken(&mut comparing, (50_001..=150_000).map(|nth| line(nth, 1, -1_000_000, 2)));
        let count = |finding| comparing.results.of(finding).count;
        assert_eq!(
            [count(Finding::Matched), count(Finding::Amount), count(Finding::MissingThere)],
            [45_000, 5_000, 50_000]
        );
        assert_eq!(comparing.left().len(), 50_000);
    }
}
