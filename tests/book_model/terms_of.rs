//! The model's reading of what is published: which terms hold at an instant and what a wish costs.

use super::calendar::{End, NEVER, month_end_after};
use super::ledger::{MOST, No};
use chrono::{DateTime, NaiveDate, Utc};
use hanse::book::command::{Code, Hint, Want};
use hanse::book::exposures::ExposureKey;
use hanse::domain::catalogue::{Agreement, Campaign, Catalogue, Party};
use hanse::domain::ids::Slug;
use hanse::domain::rate::{Rate, TierScope};
use hanse::domain::terms::Terms;

const MOST_MONEY: i128 = 9_223_372_036_854_775_807;

fn is_for(scope: &TierScope, tier: &str) -> bool {
    match scope {
        TierScope::Any => true,
        TierScope::Only(code) => code == tier,
    }
}

fn holds(at: DateTime<Utc>, from: DateTime<Utc>, ends: [Option<DateTime<Utc>>; 2]) -> bool {
    from <= at && ends.into_iter().flatten().all(|end| at < end)
}

/// Rule 2: the exact tier's rate, else any tier's.
pub fn rate<'a>(catalogue: &'a Catalogue, from: &Slug, to: &Slug, tier: &str, at: DateTime<Utc>) -> Option<&'a Rate> {
    let rates = &catalogue.pairs.get(&(from.clone(), to.clone()))?.rates;
    let live: Vec<&Rate> =
        rates.iter().filter(|rate| holds(at, rate.valid_from, [rate.valid_to, rate.superseded_from])).collect();
    let exact = live.iter().find(|rate| rate.tier == TierScope::Only(tier.to_owned()));
    exact.or_else(|| live.iter().find(|rate| rate.tier == TierScope::Any)).copied()
}

pub fn agreement<'a>(catalogue: &'a Catalogue, from: &Slug, to: &Slug, at: DateTime<Utc>) -> Option<&'a Agreement> {
    let versions = &catalogue.pairs.get(&(from.clone(), to.clone()))?.agreements;
    versions.iter().find(|version| holds(at, version.valid_from, [version.superseded_from, None]))
}

/// Rule 3: those that say they stack add up; any other counts alone. The member gets the best.
pub fn campaigns<'a>(
    catalogue: &'a Catalogue,
    from: &Slug,
    to: &Slug,
    tier: &str,
    at: DateTime<Utc>,
) -> Vec<&'a Campaign> {
    let Some(pair) = catalogue.pairs.get(&(from.clone(), to.clone())) else { return Vec::new() };
    let live = |campaign: &&Campaign| {
        is_for(&campaign.tier, tier)
            && holds(at, campaign.valid_from, [Some(campaign.valid_to), campaign.superseded_from])
    };
    let live: Vec<&Campaign> = pair.campaigns.iter().filter(live).collect();
    let mut best: Vec<&Campaign> = live.iter().filter(|campaign| campaign.stacks).copied().collect();
    let worth = |set: &[&Campaign]| set.iter().map(|campaign| campaign.bonus_basis_points).sum::<i64>();
    let mut alone: Vec<&Campaign> = live.iter().filter(|campaign| !campaign.stacks).copied().collect();
    alone.sort_by_key(|campaign| campaign.code.clone());
    for single in alone {
        if single.bonus_basis_points > worth(&best) {
            best = vec![single];
        }
    }
    best
}

/// The published programme rule: when points that arrive today end.
pub fn arrival_end(catalogue: &Catalogue, partner: &Slug, tier: &str, day: NaiveDate) -> End {
    if never_expires(catalogue, partner, tier) {
        NEVER
    } else {
        month_end_after(day, catalogue.partners[partner].programme.expiry_months)
    }
}

pub fn never_expires(catalogue: &Catalogue, partner: &Slug, tier: &str) -> bool {
    let tiers = &catalogue.partners[partner].programme.tiers;
    tiers.iter().any(|rung| rung.code == tier && rung.never_expires)
}

/// What a conversion moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amounts {
    pub debit: i128,
    pub credit: i128,
    pub bonuses: Vec<i128>,
    pub fee: i128,
}

impl Amounts {
    pub fn total(&self) -> i128 {
        self.credit + self.bonuses.iter().sum::<i128>()
    }
}

pub struct Figures {
    pub num: i128,
    pub den: i128,
    pub step: i128,
    pub minimum: i128,
    pub maximum: Option<i128>,
    pub price: i128,
    pub fee_basis_points: i128,
    pub bonus_basis_points: Vec<i128>,
}

impl Figures {
    pub fn of(rate: &Rate, agreement: &Agreement, campaigns: &[&Campaign]) -> Figures {
        Figures {
            num: rate.ratio.num().into(),
            den: rate.ratio.den().into(),
            step: rate.step.get().into(),
            minimum: rate.minimum.get().into(),
            maximum: rate.maximum.map(|maximum| maximum.get().into()),
            price: agreement.settlement_price.get().into(),
            fee_basis_points: agreement.fee_basis_points.into(),
            bonus_basis_points: campaigns.iter().map(|campaign| campaign.bonus_basis_points.into()).collect(),
        }
    }

    pub fn amounts(&self, debit: i128, credit: i128) -> Amounts {
        let bonuses = self.bonus_basis_points.iter().map(|share| credit * share / 10_000).collect();
        Amounts { debit, credit, bonuses, fee: credit * self.price * self.fee_basis_points / 10_000 }
    }

    /// Rules 4 to 6, in the order of refusals: floor, minimum, maximum, multiple.
    pub fn price(&self, want: Want, floor: Option<i128>) -> Result<Amounts, No> {
        // The debit wished is a fraction, `wished` over `num`.
        let (wished, credit) = match want {
            Want::Points(points) => {
                let debit = i128::from(points.get()) / self.step * self.step;
                (debit * self.num, debit * self.num / self.den)
            }
            Want::CreditPoints(credit) => (i128::from(credit.get()) * self.den, credit.get().into()),
        };
        if floor.is_some_and(|floor| self.amounts(0, credit).total() < floor) {
            return Err(Code::RateWorseThanAsked.into());
        }
        // Points are whole: a wish of 21.6 takes 22, and 22 is what the minimum is held against.
        let whole = (wished + self.num - 1) / self.num;
        if whole == 0 || whole < self.minimum {
            return Err(Code::BelowMinimum.into());
        }
        if self.maximum.is_some_and(|maximum| wished > maximum * self.num) || wished > MOST * self.num {
            return Err(Code::AboveMaximum.into());
        }
        if wished % (self.step * self.num) != 0 {
            return Err(No(Code::NotAMultiple, self.nearest(wished)));
        }
        let amounts = self.amounts(wished / self.num, credit);
        if amounts.total() > MOST || credit * self.price > MOST_MONEY {
            return Err(Code::AboveMaximum.into());
        }
        Ok(amounts)
    }

    /// The nearest base credits that can be had, 0 where there is none.
    fn nearest(&self, wished: i128) -> Hint {
        let steps = wished / (self.step * self.num);
        let reach = |steps: i128| {
            let debit = steps * self.step;
            let allowed = debit >= self.minimum && self.maximum.is_none_or(|maximum| debit <= maximum);
            let credit = if allowed { debit * self.num / self.den } else { 0 };
            i64::try_from(credit).expect("within the largest amount")
        };
        Hint::Nearest { below: reach(steps), above: reach(steps + 1) }
    }
}

/// Rule 13: what each line owes whom, as changes of the pair's gross and of both partners' nets.
pub fn lines(terms: &Terms, credit: i128, bonuses: &[i128], fee: i128) -> [(ExposureKey, i128); 3] {
    let price = i128::from(terms.settlement_price.get());
    let funded = |party: Party| -> i128 {
        let paid = terms.campaigns.iter().zip(bonuses).filter(|(campaign, _)| campaign.funder == party);
        paid.map(|(_, points)| points * price).sum()
    };
    let fee_of = |party: Party| if terms.fee_payer == party { fee } else { 0 };
    let pair = credit * price + funded(Party::From);
    [
        (ExposureKey::Pair(terms.from.clone(), terms.to.clone()), pair),
        (ExposureKey::Partner(terms.from.clone()), pair + fee_of(Party::From)),
        (ExposureKey::Partner(terms.to.clone()), fee_of(Party::To) - pair - funded(Party::Operator)),
    ]
}
