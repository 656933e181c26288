//! How an alliance settles: its cycle, its days, its rounding, who its operator is, and the ledger accounts of whoever
//! books what a statement says.
//!
//! Cycle, netting and rounding may change; a window keeps those it was closed with.

/// When windows end, how lines become payments, and the days of what follows. Days are counted from the last day of
/// the window, in the alliance's zone: `cut_off_days <= draft_days <= dispute_days` and `cut_off_days <= due_days`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    pub cycle: Cycle,
    pub netting: Netting,
    pub rounding: Rounding,
    /// Until the window is cut off.
    pub cut_off_days: u32,
    /// Until its statements are drafted.
    pub draft_days: u32,
    /// Until disputing them ends.
    pub dispute_days: u32,
    /// Until what is owed is due.
    pub due_days: u32,
}

impl Settlement {
    /// Days after a window's last day, at most.
    pub const DAYS_MAX: u32 = 28;

    /// Whether each day is in its range and not before the one it follows.
    pub fn is_in_order(&self) -> bool {
        let days = [self.cut_off_days, self.draft_days, self.dispute_days, self.due_days];
        days.iter().all(|days| *days <= Self::DAYS_MAX)
            && self.cut_off_days <= self.draft_days
            && self.draft_days <= self.dispute_days
            && self.cut_off_days <= self.due_days
    }
}

impl Default for Settlement {
    fn default() -> Settlement {
        Settlement {
            cycle: Cycle::Monthly,
            netting: Netting::Multilateral,
            rounding: Rounding::HalfUp,
            cut_off_days: 1,
            draft_days: 3,
            dispute_days: 8,
            due_days: 10,
        }
    }
}

/// How long a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cycle {
    /// One calendar day of the alliance's zone.
    Daily,
    /// Ends with a Sunday.
    Weekly,
    /// One calendar month.
    Monthly,
}

impl Cycle {
    pub fn code(self) -> &'static str {
        match self {
            Cycle::Daily => "daily",
            Cycle::Weekly => "weekly",
            Cycle::Monthly => "monthly",
        }
    }

    pub fn parse(code: &str) -> Option<Cycle> {
        [Cycle::Daily, Cycle::Weekly, Cycle::Monthly].into_iter().find(|cycle| cycle.code() == code)
    }
}

/// How lines become payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Netting {
    /// Each partner pays or is paid one net.
    Multilateral,
    /// Each two pay each other's net.
    Bilateral,
}

impl Netting {
    pub fn code(self) -> &'static str {
        match self {
            Netting::Multilateral => "multilateral",
            Netting::Bilateral => "bilateral",
        }
    }

    pub fn parse(code: &str) -> Option<Netting> {
        [Netting::Multilateral, Netting::Bilateral].into_iter().find(|netting| netting.code() == code)
    }
}

/// Where a half goes when a counterparty's total is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// Away from zero, so that payable and receivable are the same figure.
    HalfUp,
    /// To the even neighbour.
    HalfEven,
}

impl Rounding {
    pub fn code(self) -> &'static str {
        match self {
            Rounding::HalfUp => "half_up",
            Rounding::HalfEven => "half_even",
        }
    }

    pub fn parse(code: &str) -> Option<Rounding> {
        [Rounding::HalfUp, Rounding::HalfEven].into_iter().find(|rounding| rounding.code() == code)
    }
}

/// Who runs the alliance, as statements and journals name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    pub legal_entity: String,
    /// Unified social credit code; empty when none is stated.
    pub tax_code: String,
    /// VAT contained in the fee, in hundredths of a per cent: 600 is 6 %.
    pub fee_tax_basis_points: i64,
    pub accounts: Accounts,
}

impl Operator {
    /// An operator of which nothing but its name is known.
    pub fn named(legal_entity: &str) -> Operator {
        Operator {
            legal_entity: legal_entity.to_owned(),
            tax_code: String::new(),
            fee_tax_basis_points: 0,
            accounts: Accounts::of_operator(),
        }
    }
}

/// Codes of general ledger accounts, each as `is_account` wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts {
    pub receivable: String,
    pub payable: String,
    /// Cost of points sent.
    pub points_out: String,
    /// Income for points taken.
    pub points_in: String,
    /// Cost of campaigns.
    pub bonus: String,
    pub bonus_income: String,
    /// Fee expense; of the operator, fee income.
    pub fee: String,
    pub tax: String,
    pub adjustment: String,
}

impl Accounts {
    /// A partner's accounts unless it names others.
    pub fn standard() -> Accounts {
        Accounts {
            receivable: "1122".to_owned(),
            payable: "2202".to_owned(),
            points_out: "6601.01".to_owned(),
            points_in: "6051.01".to_owned(),
            bonus: "6601.02".to_owned(),
            bonus_income: "6051.02".to_owned(),
            fee: "6601.03".to_owned(),
            tax: "2221.01".to_owned(),
            adjustment: "6711".to_owned(),
        }
    }

    /// The operator's accounts unless it names others: its fee is an income.
    pub fn of_operator() -> Accounts {
        Accounts { fee: "6001.01".to_owned(), ..Accounts::standard() }
    }

    /// Each account's name and code.
    pub fn each(&self) -> [(&'static str, &str); 9] {
        [
            ("receivable", &self.receivable),
            ("payable", &self.payable),
            ("points_out", &self.points_out),
            ("points_in", &self.points_in),
            ("bonus", &self.bonus),
            ("bonus_income", &self.bonus_income),
            ("fee", &self.fee),
            ("tax", &self.tax),
            ("adjustment", &self.adjustment),
        ]
    }

    /// Gives the account of this name that code; `None` when there is no such account or it is no code.
    pub fn set(&mut self, name: &str, code: &str) -> Option<()> {
        let account = match name {
            "receivable" => &mut self.receivable,
            "payable" => &mut self.payable,
            "points_out" => &mut self.points_out,
            "points_in" => &mut self.points_in,
            "bonus" => &mut self.bonus,
            "bonus_income" => &mut self.bonus_income,
            "fee" => &mut self.fee,
            "tax" => &mut self.tax,
            "adjustment" => &mut self.adjustment,
            _ => return None,
        };
        is_account(code).then(|| code.clone_into(account))
    }
}

/// Whether a text may be an account's code: 1 to 32 printable ASCII characters without spaces at the ends.
pub fn is_account(code: &str) -> bool {
    let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    (1..=32).contains(&code.len()) && code.bytes().all(printable) && code.trim() == code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_back_and_no_other() {
        for cycle in [Cycle::Daily, Cycle::Weekly, Cycle::Monthly] {
            assert_eq!(Cycle::parse(cycle.code()), Some(cycle));
        }
        for netting in [Netting::Multilateral, Netting::Bilateral] {
            assert_eq!(Netting::parse(netting.code()), Some(netting));
        }
        for rounding in [Rounding::HalfUp, Rounding::HalfEven] {
            assert_eq!(Rounding::parse(rounding.code()), Some(rounding));
        }
        let wrong = ["", "Monthly", "yearly", "half-up"];
        assert!(wrong.iter().all(|code| Cycle::parse(code).is_none() && Rounding::parse(code).is_none()));
        assert!(wrong.iter().all(|code| Netting::parse(code).is_none()));
    }

    #[test]
    fn days_follow_each_other_within_four_weeks() {
        let with = |cut_off_days, draft_days, dispute_days, due_days| {
            Settlement { cut_off_days, draft_days, dispute_days, due_days, ..Settlement::default() }.is_in_order()
        };
        assert!(Settlement::default().is_in_order());
        assert!(with(0, 0, 0, 0) && with(28, 28, 28, 28) && with(2, 5, 9, 2));
        for (cut_off, draft, dispute, due) in [(2, 1, 3, 3), (1, 3, 2, 3), (2, 3, 4, 1), (1, 3, 8, 29), (1, 3, 29, 3)] {
            assert!(!with(cut_off, draft, dispute, due), "{cut_off} {draft} {dispute} {due}");
        }
    }

    #[test]
    fn every_account_is_set_by_its_own_name() {
        let mut accounts = Accounts::standard();
        let names = accounts.each().map(|(name, _)| name);
        for name in names {
            assert_eq!(accounts.set(name, &format!("at {name}")), Some(()));
        }
        assert_eq!(accounts.each().map(|(_, code)| code.to_owned()), names.map(|name| format!("at {name}")));
        assert_eq!(accounts.set("fees", "1"), None);
        assert_eq!(accounts.set("fee", ""), None);
    }

    #[test]
    fn an_account_is_short_printable_and_trimmed() {
        for good in ["1", "6601.01", "A 1/~", &"9".repeat(32)] {
            assert!(is_account(good), "{good}");
        }
        for bad in ["", " 1", "1 ", "1\t2", "1\u{7f}", "一", &"9".repeat(33)] {
            assert!(!is_account(bad), "{bad}");
        }
    }

    #[test]
    fn the_operator_books_its_fee_elsewhere() {
        let (partner, operator) = (Accounts::standard(), Accounts::of_operator());
        assert_eq!((partner.fee.as_str(), operator.fee.as_str()), ("6601.03", "6001.01"));
        assert_eq!(Accounts { fee: partner.fee.clone(), ..operator }, partner);
    }
}
