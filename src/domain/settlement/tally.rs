//! What a participant's lines add up to, per counterparty and sort of line. Exact: nothing is rounded here.

use super::Participant;
use super::line::{Kind, Part};
use crate::domain::catalogue::Party;
use crate::domain::money::Millionths;
use std::collections::BTreeMap;

/// The sorts of lines a statement shows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// The participant's points left for the counterparty's.
    Out,
    /// The counterparty's points arrived as the participant's.
    In,
    /// Bonuses the participant pays for, its own memos included.
    BonusByMe,
    /// Bonuses somebody else pays the participant for.
    BonusByOthers,
    Fee,
    /// Fees given back with what was taken back.
    FeeBack,
    /// Taken back of conversions of this window.
    Reversal,
    /// Taken back of conversions of earlier windows.
    EarlierReversal,
    Adjustment,
    /// Benefits the participant gave: somebody else pays it for them; memos of what it pays itself, and what was taken
    /// back, included.
    BenefitGiven,
    /// Benefits of others that the participant pays for, less what was taken back.
    BenefitPaid,
}

/// How many sorts there are.
pub const SORTS: usize = 11;

impl Sort {
    pub const ALL: [Sort; SORTS] = [
        Sort::Out,
        Sort::In,
        Sort::BonusByMe,
        Sort::BonusByOthers,
        Sort::Fee,
        Sort::FeeBack,
        Sort::Reversal,
        Sort::EarlierReversal,
        Sort::Adjustment,
        Sort::BenefitGiven,
        Sort::BenefitPaid,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Sort::Out => "out",
            Sort::In => "in",
            Sort::BonusByMe => "bonus_by_me",
            Sort::BonusByOthers => "bonus_by_others",
            Sort::Fee => "fee",
            Sort::FeeBack => "fee_back",
            Sort::Reversal => "reversal",
            Sort::EarlierReversal => "earlier_reversal",
            Sort::Adjustment => "adjustment",
            Sort::BenefitGiven => "benefit_given",
            Sort::BenefitPaid => "benefit_paid",
        }
    }

    fn index(self) -> usize {
        match self {
            Sort::Out => 0,
            Sort::In => 1,
            Sort::BonusByMe => 2,
            Sort::BonusByOthers => 3,
            Sort::Fee => 4,
            Sort::FeeBack => 5,
            Sort::Reversal => 6,
            Sort::EarlierReversal => 7,
            Sort::Adjustment => 8,
            Sort::BenefitGiven => 9,
            Sort::BenefitPaid => 10,
        }
    }

    /// The sort of a conversion's line; `taken` says of which window's conversion a reversal takes back.
    pub fn of(part: &Part, taken: Option<Taken>) -> Sort {
        match (taken, part.kind, part.whose) {
            (Some(_), Kind::Fee, _) => Sort::FeeBack,
            (Some(Taken::OfThisWindow), _, _) => Sort::Reversal,
            (Some(Taken::OfEarlier), _, _) => Sort::EarlierReversal,
            (None, Kind::Conversion, Party::From) => Sort::Out,
            (None, Kind::Conversion, Party::To | Party::Operator) => Sort::In,
            (None, Kind::Bonus, _) if part.amount > Millionths::ZERO => Sort::BonusByOthers,
            (None, Kind::Bonus, _) => Sort::BonusByMe,
            (None, Kind::Fee, _) => Sort::Fee,
            (None, Kind::Adjustment, _) => Sort::Adjustment,
            (None, Kind::Benefit, _) => Sort::BenefitPaid,
        }
    }
}

/// Of which window the conversion is that a reversal takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    OfThisWindow,
    OfEarlier,
}

/// Lines, points and money of one sort. A fee that stands beside an amount adds money and no line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub lines: i64,
    pub points: i128,
    pub amount: i128,
}

/// What the lines towards one counterparty add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub sums: [Sum; SORTS],
    /// What lines of the direction participant to counterparty add to that pair's exposure.
    pub gross: i128,
}

impl Tally {
    pub fn sum(&self, sort: Sort) -> Sum {
        self.sums[sort.index()]
    }

    pub fn sum_mut(&mut self, sort: Sort) -> &mut Sum {
        &mut self.sums[sort.index()]
    }

    /// What the counterparty owes the participant for all of it, in millionths.
    pub fn exact(&self) -> i128 {
        self.sums.iter().map(|sum| sum.amount).sum()
    }
}

/// A participant's tallies by counterparty.
pub type Tallies = BTreeMap<Participant, Tally>;

/// Counts one line of `participant`'s; its fee counts towards the operator.
pub fn count(tallies: &mut Tallies, counterparty: &Participant, part: &Part, taken: Option<Taken>) {
    let tally = of(tallies, counterparty);
    let sum = tally.sum_mut(Sort::of(part, taken));
    sum.lines += 1;
    sum.points += i128::from(part.points);
    sum.amount += i128::from(part.amount.get());
    if part.whose == Party::From && part.counterparty == Party::To {
        tally.gross -= i128::from(part.amount.get());
    }
    if part.fee != Millionths::ZERO {
        let sort = if taken.is_none() { Sort::Fee } else { Sort::FeeBack };
        of(tallies, &Participant::operator()).sum_mut(sort).amount += i128::from(part.fee.get());
    }
}

fn of<'a>(tallies: &'a mut Tallies, counterparty: &Participant) -> &'a mut Tally {
    // Not `entry`: that would clone the name of each of a million lines.
    if !tallies.contains_key(counterparty) {
        tallies.insert(counterparty.clone(), Tally::default());
    }
    tallies.get_mut(counterparty).expect("it was just put there")
}

/// Counts an adjustment by which `participant` is owed `amount`; `gross` is what it adds to the pair's exposure in the
/// direction participant to counterparty.
pub fn count_adjustment(tallies: &mut Tallies, counterparty: &Participant, amount: Millionths, gross: Millionths) {
    let tally = of(tallies, counterparty);
    let sum = tally.sum_mut(Sort::Adjustment);
    sum.lines += 1;
    sum.amount += i128::from(amount.get());
    tally.gross += i128::from(gross.get());
}

/// Counts a use of a benefit by which the participant is owed `amount`, as the giver or as who pays; `gross` as for an
/// adjustment.
pub fn count_benefit(
    tallies: &mut Tallies,
    counterparty: &Participant,
    (amount, is_giver): (Millionths, bool),
    gross: Millionths,
) {
    let tally = of(tallies, counterparty);
    let sum = tally.sum_mut(if is_giver { Sort::BenefitGiven } else { Sort::BenefitPaid });
    sum.lines += 1;
    sum.amount += i128::from(amount.get());
    tally.gross += i128::from(gross.get());
}
