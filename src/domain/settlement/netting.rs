//! Netting: from tallies to who pays whom, rounded once, and the checks that come before anything is signed.

use super::Participant;
use super::tally::Tallies;
use crate::domain::money::Millionths;
use crate::domain::settings::{Netting, Rounding};
use std::collections::BTreeMap;

/// What one counterparty owes the participant for a window; negative the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    pub exact: Millionths,
    /// To the currency's smallest unit: the only rounding of money there is.
    pub rounded: Millionths,
    /// What the lines of the direction participant to counterparty add to that pair's exposure.
    pub gross: Millionths,
}

/// Nets of every participant, by counterparty.
pub type Nets = BTreeMap<Participant, BTreeMap<Participant, Net>>;

/// Who is paid, or pays: another participant, or the alliance's settlement account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Payee {
    Alliance,
    Participant(Participant),
}

impl Payee {
    pub fn as_str(&self) -> &str {
        match self {
            Payee::Alliance => "alliance",
            Payee::Participant(participant) => participant.as_str(),
        }
    }
}

/// One payment to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duty {
    pub debtor: Payee,
    pub creditor: Payee,
    pub amount: Millionths,
}

/// What does not add up; nothing is signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Differs {
    #[error("{of} has {left} of {with}, and {with} has {right} of {of}: one is not the other turned round")]
    Sides { of: Participant, with: Participant, left: i128, right: i128 },
    #[error("{of} has more of {with} than money can be")]
    Range { of: Participant, with: Participant },
    #[error("what {0} has of all together, or its position, is more than money can be")]
    Sum(Participant),
    #[error("all nets together are {0}, not nothing")]
    Total(i128),
    #[error("the exposure {key} was {value} when the window ended, and its lines make it {expected}")]
    Exposure { key: String, value: i64, expected: i128 },
    #[error("{0}")]
    Journal(String),
}

/// Millionths of one smallest unit: 10,000 where there are two decimals.
fn unit(digits: u32) -> i128 {
    10_i128.pow(6 - digits.min(6))
}

/// Rounds to `digits` decimals; ties away from zero (`HalfUp`), or to the even neighbour. The same for a receivable and
/// the payable it is to the other side.
pub fn round(exact: i128, digits: u32, rounding: Rounding) -> i128 {
    round_ratio(exact, 1, digits, rounding)
}

/// Rounds `numerator / denominator` millionths like `round`, from the exact quotient. `denominator` must be positive.
pub fn round_ratio(numerator: i128, denominator: i128, digits: u32, rounding: Rounding) -> i128 {
    let unit = unit(digits);
    let step = unit * denominator;
    let (whole, rest) = (numerator.abs() / step, numerator.abs() % step);
    let up = match rounding {
        Rounding::HalfUp => rest * 2 >= step,
        Rounding::HalfEven => rest * 2 > step || (rest * 2 == step && whole % 2 == 1),
    };
    (whole + i128::from(up)) * unit * numerator.signum()
}

/// Nets the tallies of all participants, and makes sure that every two sides agree.
pub fn nets(tallies: &BTreeMap<Participant, Tallies>, digits: u32, rounding: Rounding) -> Result<Nets, Differs> {
    let mut nets = Nets::new();
    for (of, own) in tallies {
        let mut row = BTreeMap::new();
        for (with, tally) in own {
            let left = tally.exact();
            let right = tallies.get(with).and_then(|theirs| theirs.get(of)).map_or(0, |tally| tally.exact());
            if left != -right {
                return Err(Differs::Sides { of: of.clone(), with: with.clone(), left, right });
            }
            let money = |value: i128| i64::try_from(value).map(Millionths::new);
            let range = |_| Differs::Range { of: of.clone(), with: with.clone() };
            let exact = money(left).map_err(range)?;
            let rounded = money(round(left, digits, rounding)).map_err(range)?;
            row.insert(with.clone(), Net { exact, rounded, gross: money(tally.gross).map_err(range)? });
        }
        nets.insert(of.clone(), row);
    }
    let total: i128 = nets.values().map(net).sum();
    if total != 0 {
        return Err(Differs::Total(total));
    }
    Ok(nets)
}

/// What a participant is to receive of all others together; negative: to pay. In millionths.
pub fn net(own: &BTreeMap<Participant, Net>) -> i128 {
    own.values().map(|net| i128::from(net.rounded.get())).sum()
}

/// Who pays whom: each its one net to or from the alliance, or each pair its own. `Err` beyond the range of money.
pub fn duties(netting: Netting, nets: &Nets) -> Result<Vec<Duty>, Differs> {
    let mut duties = Vec::new();
    for (of, own) in nets {
        let this = || Payee::Participant(of.clone());
        match netting {
            Netting::Multilateral => {
                let range = |_| Differs::Sum(of.clone());
                let net = Millionths::new(i64::try_from(net(own)).map_err(range)?);
                duties.extend(duty(Payee::Alliance, this(), net));
            }
            Netting::Bilateral => {
                // Each pair once: as the creditor sees it.
                let owed = own.iter().filter(|(_, net)| net.rounded > Millionths::ZERO);
                duties
                    .extend(owed.filter_map(|(with, net)| duty(Payee::Participant(with.clone()), this(), net.rounded)));
            }
        }
    }
    Ok(duties)
}

/// `to` is owed `amount` by `from`; the other way when it is negative, nothing when it is zero.
fn duty(from: Payee, to: Payee, amount: Millionths) -> Option<Duty> {
    match amount.get() {
        0 => None,
        1.. => Some(Duty { debtor: from, creditor: to, amount }),
        _ => Some(Duty { debtor: to, creditor: from, amount: amount.negated() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::settlement::tally::{Sort, Tally};

    fn named(text: &str) -> Participant {
        Participant::parse(text).expect("a slug")
    }

    fn owed(pairs: &[(&str, &str, i128)]) -> BTreeMap<Participant, Tallies> {
        let mut tallies: BTreeMap<Participant, Tallies> = BTreeMap::new();
        for (creditor, debtor, amount) in pairs {
            for (of, with, amount) in [(creditor, debtor, *amount), (debtor, creditor, -amount)] {
                let mut tally = Tally::default();
                tally.sum_mut(Sort::In).amount = amount;
                tallies.entry(named(of)).or_default().insert(named(with), tally);
            }
        }
        tallies
    }

    #[test]
    fn money_is_rounded_once_and_the_same_for_both_sides() {
        for (exact, up, even) in [
            (12_345_000, 12_350_000, 12_340_000),
            (12_355_000, 12_360_000, 12_360_000),
            (12_344_999, 12_340_000, 12_340_000),
            (4_999, 0, 0),
            (5_000, 10_000, 0),
            (0, 0, 0),
        ] {
            for sign in [1, -1] {
                assert_eq!(round(sign * exact, 2, Rounding::HalfUp), sign * up, "{exact}");
                assert_eq!(round(sign * exact, 2, Rounding::HalfEven), sign * even, "{exact}");
            }
        }
        assert_eq!(round(1_500_000, 0, Rounding::HalfUp), 2_000_000, "a currency without decimals");
    }

    #[test]
    fn a_quotient_is_rounded_from_what_it_is_exactly() {
        // 50.01 with 1 basis point in it: 0.0050005 and some is above the half.
        for sign in [1, -1] {
            assert_eq!(round_ratio(sign * 50_010_000, 10_001, 2, Rounding::HalfEven), sign * 10_000);
            // 50.005 is the half itself, 0.005.
            assert_eq!(round_ratio(sign * 50_005_000, 10_001, 2, Rounding::HalfEven), 0);
            assert_eq!(round_ratio(sign * 50_005_000, 10_001, 2, Rounding::HalfUp), sign * 10_000);
        }
    }

    #[test]
    fn each_pays_one_net_or_each_pair_its_own() {
        let tallies = owed(&[("aa", "bb", 10_004_999), ("bb", "cc", 4_000_000), ("operator", "aa", 100_000)]);
        let nets = nets(&tallies, 2, Rounding::HalfUp).expect("they agree");
        let told = |netting| {
            let duties = duties(netting, &nets).expect("in range");
            let told = |duty: &Duty| format!("{}>{} {}", duty.debtor.as_str(), duty.creditor.as_str(), duty.amount);
            duties.iter().map(told).collect::<Vec<_>>()
        };
        assert_eq!(
            told(Netting::Multilateral),
            ["alliance>aa 9.90", "bb>alliance 6.00", "cc>alliance 4.00", "alliance>operator 0.10"]
        );
        assert_eq!(told(Netting::Bilateral), ["bb>aa 10.00", "cc>bb 4.00", "aa>operator 0.10"]);
    }

    #[test]
    fn two_sides_that_differ_are_named() {
        let mut tallies = owed(&[("aa", "bb", 10)]);
        let mine = tallies.get_mut(&named("aa")).and_then(|own| own.get_mut(&named("bb"))).expect("there");
        mine.sum_mut(Sort::Fee).amount = 1;
        let differs = Differs::Sides { of: named("aa"), with: named("bb"), left: 11, right: -10 };
        assert_eq!(nets(&tallies, 2, Rounding::HalfUp), Err(differs));
        let beyond = owed(&[("aa", "bb", i128::from(i64::MAX) + 1)]);
        assert!(matches!(nets(&beyond, 2, Rounding::HalfUp), Err(Differs::Range { .. })));
    }
}
