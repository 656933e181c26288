//! What was taken back in a window, by what it had been: a statement has one figure for it, the ledger has accounts.

use super::frame::{Frame, agree};
use super::words::Account;
use super::{Error, broken};
use crate::book::store::rows;
use crate::domain::catalogue::Party;
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::settlement::Participant;
use crate::domain::settlement::line::{Kind, Moved, Part, parts};
use crate::domain::settlement::tally::Sort;
use crate::domain::terms::Terms;
use crate::store::settlement::reports::{self as stored, TakenBack};
use diesel::PgConnection;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What was taken back in a window.
#[derive(Default)]
pub struct Taken {
    /// Amounts in millionths, as the participant sees them, by participant, counterparty, sort and account.
    pub amounts: BTreeMap<(Participant, Participant, Sort, Account), i128>,
    /// How many times, by sort.
    pub counts: BTreeMap<Sort, i64>,
}

impl Taken {
    /// What those who had paid for it were given back, all together.
    pub fn value(&self, sort: Sort) -> i128 {
        let costs = |key: &&(Participant, Participant, Sort, Account)| {
            key.2 == sort && matches!(key.3, Account::PointsOut | Account::Bonus)
        };
        self.amounts.keys().filter(costs).map(|key| self.amounts[key]).sum()
    }

    pub fn count(&self, sort: Sort) -> i64 {
        self.counts.get(&sort).copied().unwrap_or(0)
    }
}

/// Made from the reversals themselves, and held against every statement's figures.
pub fn taken(conn: &mut PgConnection, frame: &Frame) -> Result<Taken, Error> {
    let groups = stored::taken_back(conn, frame.window.id)?;
    let ids: Vec<Uuid> = groups.iter().map(|group| group.terms).collect();
    let terms = rows::terms(conn, &ids)?;
    let mut taken = Taken::default();
    for group in &groups {
        *taken.counts.entry(sort(group)).or_default() += group.count;
        let terms =
            terms.get(&group.terms).ok_or_else(|| broken(format!("the terms {} are not there", group.terms)))?;
        let mut parts = Vec::new();
        parts_of(terms, (group.credit, &group.bonuses, group.fee), &mut parts);
        for part in parts.iter().filter(|part| part.kind != Kind::Fee) {
            let of = Part::participant(part.whose, terms);
            let with = Part::participant(part.counterparty, terms);
            let key = (of, with, sort(group), account(part));
            *taken.amounts.entry(key).or_default() += i128::from(part.amount.get());
        }
    }
    held_against(frame, &taken)?;
    Ok(taken)
}

/// The lines of a sum of what was taken back. Amounts are points × price: what is beyond one line is two halves.
fn parts_of(terms: &Terms, (credit, bonuses, fee): (i128, &[i128], i128), into: &mut Vec<Part>) {
    let whole = |value: i128| i64::try_from(value).ok();
    let points = |value: &i128| whole(*value).and_then(Points::new);
    let made = || {
        let bonuses: Vec<Points> = bonuses.iter().map(points).collect::<Option<_>>()?;
        parts(
            terms,
            Moved { credit: points(&credit)?, bonuses: &bonuses, fee: Millionths::new(whole(fee)?), back: true },
        )
    };
    if let Some(made) = made() {
        return into.extend(made);
    }
    let half: Vec<i128> = bonuses.iter().map(|value| value / 2).collect();
    let rest: Vec<i128> = bonuses.iter().zip(&half).map(|(value, half)| value - half).collect();
    parts_of(terms, (credit / 2, &half, fee / 2), into);
    parts_of(terms, (credit - credit / 2, &rest, fee - fee / 2), into);
}

fn sort(group: &TakenBack) -> Sort {
    if group.of_this_window { Sort::Reversal } else { Sort::EarlierReversal }
}

/// Under which account it was booked when it was converted.
fn account(part: &Part) -> Account {
    match (part.kind, part.whose) {
        (Kind::Conversion, Party::From) => Account::PointsOut,
        (Kind::Conversion, Party::To | Party::Operator) => Account::PointsIn,
        // Taken back: what was a cost comes in, what was an income goes out.
        (Kind::Bonus, _) if part.amount.get() < 0 => Account::BonusIncome,
        (Kind::Bonus, _) => Account::Bonus,
        (Kind::Fee, _) => Account::Fee,
        (Kind::Adjustment | Kind::Benefit, _) => Account::Adjustment,
    }
}

fn held_against(frame: &Frame, taken: &Taken) -> Result<(), Error> {
    let mut sums: BTreeMap<(&Participant, &Participant, Sort), i128> = BTreeMap::new();
    for ((of, with, sort, _), amount) in &taken.amounts {
        *sums.entry((of, with, *sort)).or_default() += amount;
    }
    for (_, payload) in &frame.statements {
        for row in &payload.counterparties {
            for sort in [Sort::Reversal, Sort::EarlierReversal] {
                let sum = sums.remove(&(&payload.participant, &row.counterparty, sort)).unwrap_or(0);
                let what = || format!("{} of {} with {}", sort.code(), payload.participant, row.counterparty);
                agree(what, sum, row.figures.sum(&[sort]))?;
            }
        }
    }
    match sums.keys().next() {
        Some((of, with, _)) => {
            Err(broken(format!("something of {of} with {with} was taken back and is on no statement")))
        }
        None => Ok(()),
    }
}
