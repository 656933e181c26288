//! Reconciling a participant's own list with its lines: what agrees, what differs and in what. Pure.

use crate::domain::money::Millionths;

/// How one entry of the list, or one posting here, fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finding {
    Matched,
    /// In the list and not here.
    MissingHere,
    /// Here and not in the list.
    MissingThere,
    /// The same points, and another amount.
    Amount,
    /// Other points.
    Rate,
    /// In the list once more than here.
    Duplicate,
    /// In the list, and here in another window.
    Late,
}

impl Finding {
    pub const ALL: [Finding; 7] = [
        Finding::Matched,
        Finding::MissingHere,
        Finding::MissingThere,
        Finding::Amount,
        Finding::Rate,
        Finding::Duplicate,
        Finding::Late,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Finding::Matched => "matched",
            Finding::MissingHere => "missing_here",
            Finding::MissingThere => "missing_there",
            Finding::Amount => "amount",
            Finding::Rate => "rate",
            Finding::Duplicate => "duplicate",
            Finding::Late => "late",
        }
    }

    pub fn parse(code: &str) -> Option<Finding> {
        Finding::ALL.into_iter().find(|finding| finding.code() == code)
    }
}

/// What a posting's lines say together, as their participant sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Here {
    pub amount: Millionths,
    /// Credited: the base alone, and with bonuses.
    pub base_points: i64,
    pub points: i64,
    /// `None` for what debits nothing by itself.
    pub debit_points: Option<i64>,
}

/// What the list says; only what it says is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct There {
    pub amount: Option<Millionths>,
    pub points: Option<i64>,
    pub debit_points: Option<i64>,
}

/// Compares an entry of the list with the posting it names.
pub fn judge(here: &Here, there: &There) -> Finding {
    // A list may count a bonus with the base or apart from it.
    let points = there.points.is_none_or(|points| points == here.points || points == here.base_points);
    let debit = there.debit_points.is_none_or(|debit| Some(debit) == here.debit_points);
    let amount = there.amount.is_none_or(|amount| amount == here.amount);
    match () {
        () if !points || !debit => Finding::Rate,
        () if !amount => Finding::Amount,
        () => Finding::Matched,
    }
}

/// How many of one finding, and what they add up to at either side, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub count: u64,
    pub here: i128,
    pub there: i128,
}

/// What a reconciliation comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Results([Sum; 7]);

impl Results {
    pub fn of(&self, finding: Finding) -> &Sum {
        &self.0[place(finding)]
    }

    pub fn count(&mut self, finding: Finding, here: Option<Millionths>, there: Option<Millionths>) {
        let sum = &mut self.0[place(finding)];
        let value = |amount: Option<Millionths>| i128::from(amount.unwrap_or(Millionths::ZERO).get());
        sum.count += 1;
        sum.here += value(here);
        sum.there += value(there);
    }
}

fn place(finding: Finding) -> usize {
    match finding {
        Finding::Matched => 0,
        Finding::MissingHere => 1,
        Finding::MissingThere => 2,
        Finding::Amount => 3,
        Finding::Rate => 4,
        Finding::Duplicate => 5,
        Finding::Late => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::decimal;

    fn money(text: &str) -> Millionths {
        Millionths::parse(text).expect("money")
    }

    #[test]
    fn only_what_the_list_says_is_compared_and_points_come_first() {
        let here = Here { amount: money("-3.40"), base_points: 68, points: 74, debit_points: Some(136) };
        let there =
            |amount: Option<&str>, points, debit_points| There { amount: amount.map(money), points, debit_points };
        for (said, finding) in [
            (there(None, None, None), Finding::Matched),
            (there(Some("-3.4"), Some(68), Some(136)), Finding::Matched),
            (there(Some("-3.4"), Some(74), None), Finding::Matched),
            (there(Some("3.4"), Some(68), None), Finding::Amount),
            (there(Some("-3.400001"), None, None), Finding::Amount),
            (there(Some("-3.5"), Some(70), None), Finding::Rate),
            (there(Some("-3.4"), Some(68), Some(138)), Finding::Rate),
        ] {
            assert_eq!(judge(&here, &said), finding, "{said:?}");
        }
        assert!(Finding::ALL.iter().all(|finding| Finding::parse(finding.code()) == Some(*finding)));
    }

    #[test]
    fn sums_go_beyond_one_amount_and_print_exactly() {
        let mut results = Results::default();
        for _ in 0..3 {
            results.count(Finding::MissingHere, None, Some(Millionths::new(i64::MAX)));
        }
        results.count(Finding::Amount, Some(money("-0.000001")), Some(money("1")));
        let sum = results.of(Finding::MissingHere);
        assert_eq!((sum.count, decimal(sum.there)), (3, "27670116110564.327421".to_owned()));
        let sum = results.of(Finding::Amount);
        assert_eq!((decimal(sum.here), decimal(sum.there)), ("-0.000001".to_owned(), "1.00".to_owned()));
    }
}
