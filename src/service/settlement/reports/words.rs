//! What is called what in reports: figures of a statement, states, ledger accounts.

use crate::domain::catalogue::Party;
use crate::domain::settings::{Netting, Rounding};
use crate::domain::settlement::statement::State;
use crate::domain::settlement::{obligation, tally::Sort};
use crate::service::reports::Word;

pub const TOTAL: Word = Word::new("total", "Total", "合计");
pub const YES: Word = Word::new("yes", "Yes", "是");
pub const NO: Word = Word::new("no", "No", "否");
pub const NEVER: Word = Word::new("never", "Never", "永久有效");
pub const ROUNDING: Word = Word::new("rounding", "Rounding", "尾差");
pub const TAX: Word = Word::new("tax", "Tax in the fee", "手续费税额");

/// A figure of a statement.
pub fn sort(sort: Sort) -> Word {
    let (en, zh) = match sort {
        Sort::Out => ("Points out", "转出"),
        Sort::In => ("Points in", "转入"),
        Sort::BonusByMe => ("Bonus paid", "承担加赠"),
        Sort::BonusByOthers => ("Bonus received", "获付加赠"),
        Sort::Fee => ("Fee", "手续费"),
        Sort::FeeBack => ("Fee given back", "手续费退回"),
        Sort::Reversal => ("Taken back", "本期冲正"),
        Sort::EarlierReversal => ("Taken back, earlier", "前期冲正"),
        Sort::Adjustment => ("Adjustment", "调整"),
        Sort::BenefitGiven => ("Benefits given", "提供权益"),
        Sort::BenefitPaid => ("Benefits paid for", "承担权益"),
    };
    Word::new(sort.code(), en, zh)
}

pub fn statement_state(state: State) -> Word {
    let (en, zh) = match state {
        State::Published => ("Published", "已发布"),
        State::Acknowledged => ("Acknowledged", "已会签"),
        State::Deemed => ("Deemed accepted", "视同确认"),
        State::Disputed => ("Disputed", "有争议"),
    };
    Word::new(state.code(), en, zh)
}

pub fn obligation_state(state: obligation::State) -> Word {
    let (en, zh) = match state {
        obligation::State::Due => ("Due", "待付"),
        obligation::State::PartlyPaid => ("Partly paid", "部分支付"),
        obligation::State::Paid => ("Paid", "已付"),
        obligation::State::Overdue => ("Overdue", "逾期"),
    };
    Word::new(state.code(), en, zh)
}

pub fn netting(netting: Netting) -> Word {
    let (en, zh) = match netting {
        Netting::Multilateral => ("Multilateral", "多边轧差"),
        Netting::Bilateral => ("Bilateral", "双边轧差"),
    };
    Word::new(netting.code(), en, zh)
}

pub fn rounding(rounding: Rounding) -> Word {
    let (en, zh) = match rounding {
        Rounding::HalfUp => ("Half away from zero", "四舍五入"),
        Rounding::HalfEven => ("Half to even", "银行家舍入"),
    };
    Word::new(rounding.code(), en, zh)
}

pub fn party(party: Party) -> Word {
    let (en, zh) = match party {
        Party::From => ("Origin", "转出方"),
        Party::To => ("Target", "转入方"),
        Party::Operator => ("Operator", "运营方"),
    };
    Word::new(party.code(), en, zh)
}

/// A ledger account of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    Receivable,
    Payable,
    PointsOut,
    PointsIn,
    Bonus,
    BonusIncome,
    Fee,
    Tax,
    Adjustment,
}

impl Account {
    /// Its name in the settings, and what it is called; the operator's fee is an income.
    pub fn word(self, of_operator: bool) -> Word {
        match self {
            Account::Receivable => Word::new("receivable", "Receivable", "应收账款"),
            Account::Payable => Word::new("payable", "Payable", "应付账款"),
            Account::PointsOut => Word::new("points_out", "Cost of points out", "转出积分成本"),
            Account::PointsIn => Word::new("points_in", "Income for points in", "转入积分收入"),
            Account::Bonus => Word::new("bonus", "Campaign cost", "加赠成本"),
            Account::BonusIncome => Word::new("bonus_income", "Campaign income", "加赠收入"),
            Account::Fee if of_operator => Word::new("fee", "Fee income", "手续费收入"),
            Account::Fee => Word::new("fee", "Fee expense", "手续费"),
            Account::Tax if of_operator => Word::new("tax", "Output VAT", "销项税额"),
            Account::Tax => Word::new("tax", "Input VAT", "进项税额"),
            Account::Adjustment => Word::new("adjustment", "Adjustments", "调整损益"),
        }
    }
}
