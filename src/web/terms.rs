//! What a voucher takes off and when it is not good, in words: the same to a member, before and after claiming, and at a till.

use super::lang::Lang;
use crate::domain::benefit::Discount;
use crate::domain::money::Millionths;
use chrono::NaiveDate;

/// What a coupon takes off: from which bill on, and at most how much. `money` writes an amount as the page does.
pub fn off(lang: Lang, discount: Discount, money: impl Fn(Millionths) -> String) -> String {
    let (what, from, at_most) = match discount {
        Discount::Amount { amount, from } if from == Millionths::ZERO => return lang.off(money(amount)),
        Discount::Amount { amount, from } => return lang.off_from(money(amount), money(from)),
        Discount::Share { basis_points, from, at_most } => (percent(basis_points), from, at_most),
    };
    let share = match from == Millionths::ZERO {
        true => lang.percent_off(what),
        false => lang.percent_off_from(what, money(from)),
    };
    match at_most {
        Some(most) => lang.off_at_most(share, money(most)),
        None => share,
    }
}

/// 20, or 12.5.
fn percent(basis_points: i64) -> String {
    let percent = Millionths::new(basis_points * 10_000).to_string();
    percent.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The days on which it is not good.
pub fn black_days(lang: Lang, days: &[(NaiveDate, NaiveDate)]) -> impl Iterator<Item = String> {
    days.iter().map(move |(from, to)| match from == to {
        true => lang.black_day(lang.day(*from)),
        false => lang.black_days(lang.day(*from), lang.day(*to)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_says_from_which_bill_on_and_at_most_how_much() {
        let money = |amount: Millionths| amount.to_string();
        let yuan = |amount: i64| Millionths::new(amount * 1_000_000);
        let share = |from, at_most| Discount::Share { basis_points: 1_250, from: yuan(from), at_most };
        for (discount, en, zh) in [
            (share(0, None), "12.5 % off", "优惠 12.5%"),
            (share(300, None), "12.5 % off from 300.00", "满 300.00 优惠 12.5%"),
            (share(0, Some(yuan(80))), "12.5 % off, at most 80.00", "优惠 12.5%，最多 80.00"),
            (share(300, Some(yuan(80))), "12.5 % off from 300.00, at most 80.00", "满 300.00 优惠 12.5%，最多 80.00"),
            (Discount::Amount { amount: yuan(50), from: yuan(300) }, "50.00 off from 300.00", "满 300.00 减 50.00"),
            (Discount::Amount { amount: yuan(50), from: yuan(0) }, "50.00 off", "减 50.00"),
        ] {
            assert_eq!((off(Lang::En, discount, money), off(Lang::Zh, discount, money)), (en.into(), zh.into()));
        }
        assert_eq!(percent(2_000), "20");
    }
}
