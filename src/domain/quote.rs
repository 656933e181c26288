//! Pricing: what a member gets for what they give, by published terms alone.
//!
//! Only exact multiples move: a wish in points is rounded down by the step, a wish in credit must be reachable.

use super::catalogue::Catalogue;
use super::ids::Slug;
use super::money::Millionths;
use super::points::Points;
use super::terms::Terms;
use chrono::{DateTime, Utc};

/// What the member asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// At most this debit, rounded down by the step alone.
    Points(Points),
    /// Exactly this base credit.
    CreditPoints(Points),
}

/// The amounts of one conversion at given terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    pub debit: Points,
    /// What stays with the member of the points offered.
    pub remainder: Points,
    pub credit: Points,
    /// One per campaign of the terms, in their order.
    pub bonuses: Vec<Points>,
    pub fee: Millionths,
}

/// Why a wish cannot be priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpriced {
    BelowMinimum,
    AboveMaximum,
    /// Nearest base credits that minimum and maximum allow; 0 where there is none.
    NotAMultiple {
        below: i64,
        above: i64,
    },
}

impl Price {
    /// Base and bonuses together.
    pub fn total_credit(&self) -> Points {
        // Sums of amounts that were priced within range; an overflow was refused there.
        Points::sum(self.bonuses.iter().copied()).and_then(|bonus| bonus.plus(self.credit)).unwrap_or(Points::MAX)
    }
}

/// The terms in force for one direction and earned tier; `None` when no rate or agreement is.
pub fn terms(catalogue: &Catalogue, from: &Slug, to: &Slug, tier: &str, at: DateTime<Utc>) -> Option<Terms> {
    let pair = catalogue.pair(from, to)?;
    let (rate, agreement) = (pair.rate(tier, at)?, pair.agreement(at)?);
    Terms::freeze(catalogue, (from, to), tier, rate, agreement, &pair.campaigns(tier, at))
}

/// Prices a wish at these terms (rules 4 to 6). Amounts beyond the largest are `AboveMaximum`.
pub fn price(terms: &Terms, want: Want) -> Result<Price, Unpriced> {
    let (debit, remainder) = match want {
        Want::Points(offered) => {
            let debit = round_down(terms, offered);
            (debit, offered.less(debit))
        }
        Want::CreditPoints(credit) => (debit_for(terms, credit)?, Points::ZERO),
    };
    within(terms, debit)?;
    let amounts = || {
        let credit = terms.ratio.credit(debit)?;
        let bonuses = terms.bonuses(credit)?;
        Points::sum(bonuses.iter().copied())?.plus(credit)?;
        Some(Price { debit, remainder, credit, fee: terms.fee(credit)?, bonuses })
    };
    amounts().ok_or(Unpriced::AboveMaximum)
}

/// What a wish would bring in all, base and bonuses, minimum, maximum and multiple aside; `None` beyond the largest
/// amount. It is what a caller's floor is held against, and a floor is judged before they are.
pub fn total_wished(terms: &Terms, want: Want) -> Option<Points> {
    let credit = match want {
        Want::Points(offered) => terms.ratio.credit(round_down(terms, offered))?,
        Want::CreditPoints(credit) => credit,
    };
    Points::sum(terms.bonuses(credit)?)?.plus(credit)
}

/// The largest multiple of the step that `offered` covers.
fn round_down(terms: &Terms, offered: Points) -> Points {
    offered.less(Points::new(offered.get() % terms.step.get()).unwrap_or(Points::ZERO))
}

fn within(terms: &Terms, debit: Points) -> Result<(), Unpriced> {
    if debit.is_zero() || debit < terms.minimum {
        return Err(Unpriced::BelowMinimum);
    }
    if terms.maximum.is_some_and(|maximum| debit > maximum) {
        return Err(Unpriced::AboveMaximum);
    }
    Ok(())
}

/// The debit that gives exactly `credit`. Minimum and maximum are judged first, as the order of refusals wants.
fn debit_for(terms: &Terms, credit: Points) -> Result<Points, Unpriced> {
    let (num, den) = (terms.ratio.num(), terms.ratio.den());
    let covering = credit.ceil_of(den, num).ok_or(Unpriced::AboveMaximum)?;
    within(terms, covering)?;
    // What one step gives: exact, because a step is a multiple of the denominator.
    let per_step = terms.ratio.credit(terms.step).ok_or(Unpriced::AboveMaximum)?.get();
    let steps = credit.get() / per_step;
    if credit.get() % per_step != 0 {
        // A neighbour that cannot be priced itself, for minimum, maximum or the largest amount, is no advice.
        let reachable = |steps: i64| {
            let debit = terms.step.floor_of(steps, 1);
            if debit.is_some_and(|debit| price(terms, Want::Points(debit)).is_ok()) { steps * per_step } else { 0 }
        };
        return Err(Unpriced::NotAMultiple { below: reachable(steps), above: reachable(steps + 1) });
    }
    terms.step.floor_of(steps, 1).ok_or(Unpriced::AboveMaximum)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::catalogue::Party;
    use crate::domain::rate::Ratio;
    use crate::domain::terms::FrozenCampaign;

    fn points(value: i64) -> Points {
        Points::new(value).expect("in range")
    }

    pub(crate) fn two_to_one() -> Terms {
        Terms {
            from: "lumen".parse().expect("a slug"),
            to: "harvest".parse().expect("a slug"),
            tier: "ordinary".into(),
            ratio: Ratio::new(1, 2).expect("positive"),
            rate_version: 1,
            step: points(2),
            minimum: points(10),
            maximum: Some(points(1_000)),
            campaigns: vec![FrozenCampaign {
                code: "spring".into(),
                version: 1,
                bonus_basis_points: 1_000,
                funder: Party::To,
            }],
            agreement_version: 1,
            settlement_price: Millionths::new(50_000),
            fee_basis_points: 100,
            fee_payer: Party::From,
            undo_s: 900,
            renews_on_arrival: false,
            reversal_needs_confirmation: true,
            target_pays_spent: false,
            grace_days: 30,
            from_entity: "Lumen Ltd".into(),
            to_entity: "Harvest Ltd".into(),
            from_tax_code: "1".into(),
            to_tax_code: "2".into(),
        }
    }

    #[test]
    fn points_are_rounded_down_by_the_step_and_the_remainder_stays() {
        let price = price(&two_to_one(), Want::Points(points(137))).expect("priced");
        assert_eq!((price.debit, price.remainder, price.credit), (points(136), points(1), points(68)));
        assert_eq!((price.bonuses.as_slice(), price.total_credit()), ([points(6)].as_slice(), points(74)));
        assert_eq!(price.fee, Millionths::new(34_000), "1 % of 68 × 0.05");
    }

    #[test]
    fn a_wish_is_refused_with_its_reason() {
        let terms = Terms { step: points(4), ..two_to_one() };
        for (want, refused) in [
            (Want::Points(points(9)), Unpriced::BelowMinimum),
            (Want::Points(points(11)), Unpriced::BelowMinimum),
            (Want::Points(points(1_004)), Unpriced::AboveMaximum),
            (Want::CreditPoints(points(7)), Unpriced::NotAMultiple { below: 6, above: 8 }),
            (Want::CreditPoints(points(3)), Unpriced::BelowMinimum),
            (Want::CreditPoints(points(501)), Unpriced::AboveMaximum),
            (Want::CreditPoints(Points::MAX), Unpriced::AboveMaximum),
        ] {
            assert_eq!(price(&terms, want), Err(refused), "{want:?}");
        }
        // Where the rate itself has no maximum, the largest amount is one, with the bonus counted in.
        let tenfold = Ratio::new(10, 1).expect("positive");
        let (settlement_price, step) = (Millionths::new(1), points(1));
        let unbounded = Terms { ratio: tenfold, settlement_price, step, minimum: step, maximum: None, ..terms };
        let edge = Points::MAX.get() / 11 * 10;
        let below = edge - edge % 10;
        let refused = Unpriced::NotAMultiple { below, above: 0 };
        assert_eq!(price(&unbounded, Want::CreditPoints(points(below + 9))), Err(refused));
        let alone = Unpriced::NotAMultiple { below: 0, above: 0 };
        assert_eq!(price(&unbounded, Want::CreditPoints(Points::MAX)), Err(alone));
        let terms = Terms { step: points(4), ..two_to_one() };
        assert_eq!(price(&terms, Want::CreditPoints(points(8))).map(|price| price.debit), Ok(points(16)));
    }
}
