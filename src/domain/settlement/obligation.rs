//! An obligation: one payment duty of one legal entity, from due to paid.

use crate::domain::money::Millionths;
use chrono::NaiveDate;

/// What became of a duty, as of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Due,
    PartlyPaid,
    Paid,
    /// Not paid in full on its last day.
    Overdue,
}

impl State {
    pub fn code(self) -> &'static str {
        match self {
            State::Due => "due",
            State::PartlyPaid => "partly_paid",
            State::Paid => "paid",
            State::Overdue => "overdue",
        }
    }
}

/// Where a duty stands on `today`.
pub fn state(amount: Millionths, paid: Millionths, due_on: NaiveDate, today: NaiveDate) -> State {
    match () {
        () if paid >= amount => State::Paid,
        () if today > due_on => State::Overdue,
        () if paid > Millionths::ZERO => State::PartlyPaid,
        () => State::Due,
    }
}

/// Why a payment is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("a payment is an amount above zero")]
    NotPositive,
    #[error("only {0} of it is still to be paid")]
    TooMuch(Millionths),
    #[error("a payment is in whole units of {0}, as banks pay")]
    TooFine(Millionths),
}

/// What is paid after `payment`, never above the amount; `unit` is the smallest of the currency.
pub fn pay(amount: Millionths, paid: Millionths, payment: Millionths, unit: Millionths) -> Result<Millionths, Refused> {
    if payment <= Millionths::ZERO {
        return Err(Refused::NotPositive);
    }
    if payment.get() % unit.get() != 0 {
        return Err(Refused::TooFine(unit));
    }
    let left = amount.minus(paid).unwrap_or(Millionths::ZERO);
    let after = paid.plus(payment).filter(|after| *after <= amount);
    after.ok_or(Refused::TooMuch(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duty_is_paid_in_parts_and_late_only_after_its_day() {
        let day = |text: &str| text.parse::<NaiveDate>().expect("a date");
        let money = Millionths::new;
        let due_on = day("2026-06-10");
        let at = |paid, today| state(money(100), money(paid), due_on, day(today));
        assert_eq!(at(0, "2026-06-10"), State::Due);
        assert_eq!(at(40, "2026-06-10"), State::PartlyPaid);
        assert_eq!(at(40, "2026-06-11"), State::Overdue);
        assert_eq!(at(100, "2026-06-11"), State::Paid);
        let pays = |payment| pay(money(100), money(40), money(payment), money(10));
        assert_eq!(pays(60), Ok(money(100)));
        assert_eq!(pays(70), Err(Refused::TooMuch(money(60))));
        assert_eq!(pays(0), Err(Refused::NotPositive));
        assert_eq!(pays(55), Err(Refused::TooFine(money(10))));
        assert_eq!(pays(i64::MAX - 7), Err(Refused::TooMuch(money(60))));
    }
}
