//! Cuts: changes after which some conversion gives less or is refused. They need the agreement's notice.
//!
//! Judged by parts, and strictly: a better rate does not make up for a smaller bonus, because floors differ.

use crate::domain::catalogue::{Agreement, MemberLimits, Pair, Partner, Tier};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::rate::{Rate, Ratio};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::fmt;

/// The first moment at which members of a tier get less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub at: DateTime<Utc>,
    pub tier: String,
    pub kind: CutKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutKind {
    /// There is no rate any more.
    NoRate,
    Rate {
        before: Ratio,
        after: Ratio,
    },
    /// Some debits that were multiples of the step no longer are.
    Step {
        before: Points,
        after: Points,
    },
    Minimum {
        before: Points,
        after: Points,
    },
    Maximum {
        after: Points,
    },
    /// In hundredths of a per cent, all that add up.
    Bonus {
        before: i64,
        after: i64,
    },
}

/// The first cut that `after` makes from `now` on, for members of any tier of the origin's `ladder`.
pub fn first(before: &Pair, after: &Pair, ladder: &[Tier], now: DateTime<Utc>) -> Option<Cut> {
    let later = before.instants().chain(after.instants()).filter(|at| *at > now);
    let instants: BTreeSet<DateTime<Utc>> = std::iter::once(now).chain(later).collect();
    for at in instants {
        for tier in ladder {
            if let Some(kind) = kind(before, after, &tier.code, at) {
                return Some(Cut { at, tier: tier.code.clone(), kind });
            }
        }
    }
    None
}

fn kind(before: &Pair, after: &Pair, tier: &str, at: DateTime<Utc>) -> Option<CutKind> {
    let old = before.rate(tier, at)?;
    let Some(new) = after.rate(tier, at) else { return Some(CutKind::NoRate) };
    if let Some(kind) = rate_cut(old, new) {
        return Some(kind);
    }
    let bonus = |pair: &Pair| pair.campaigns(tier, at).iter().map(|campaign| campaign.bonus_basis_points).sum::<i64>();
    let (old, new) = (bonus(before), bonus(after));
    (new < old).then_some(CutKind::Bonus { before: old, after: new })
}

fn rate_cut(old: &Rate, new: &Rate) -> Option<CutKind> {
    let product = |num: i64, den: i64| i128::from(num) * i128::from(den);
    if product(new.ratio.num(), old.ratio.den()) < product(old.ratio.num(), new.ratio.den()) {
        return Some(CutKind::Rate { before: old.ratio, after: new.ratio });
    }
    if old.step.get() % new.step.get() != 0 {
        return Some(CutKind::Step { before: old.step, after: new.step });
    }
    if new.minimum > old.minimum {
        return Some(CutKind::Minimum { before: old.minimum, after: new.minimum });
    }
    let maximum = new.maximum.filter(|new| old.maximum.is_none_or(|old| *new < old));
    maximum.map(|after| CutKind::Maximum { after })
}

/// Whether the new agreement stops conversions the old one let pass.
pub fn narrows_agreement(before: &Agreement, after: Option<Millionths>) -> bool {
    lower(before.exposure_limit, after)
}

/// Whether a partner's new limits stop conversions the old ones let pass.
pub fn narrows_partner(before: &Partner, after: &Partner) -> bool {
    let each = |limits: &MemberLimits| [limits.out_day, limits.out_month, limits.in_day, limits.in_month];
    lower(before.exposure_limit, after.exposure_limit)
        || each(&before.limits).into_iter().zip(each(&after.limits)).any(|(old, new)| lower(old, new))
}

fn lower<T: PartialOrd>(before: Option<T>, after: Option<T>) -> bool {
    after.is_some_and(|after| before.is_none_or(|before| after < before))
}

impl fmt::Display for CutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CutKind::NoRate => write!(f, "has no rate any more"),
            CutKind::Rate { before, after } => {
                let text = |ratio: &Ratio| format!("{}:{}", ratio.den(), ratio.num());
                write!(f, "gets {} instead of {}", text(after), text(before))
            }
            CutKind::Step { before, after } => write!(f, "moves in steps of {after} instead of {before}"),
            CutKind::Minimum { before, after } => write!(f, "must give {after} at least instead of {before}"),
            CutKind::Maximum { after } => write!(f, "may give {after} at most"),
            CutKind::Bonus { before, after } => {
                let text = |bonus: &i64| format!("{}.{:02} %", bonus / 100, bonus % 100);
                write!(f, "gets a bonus of {} instead of {}", text(after), text(before))
            }
        }
    }
}
