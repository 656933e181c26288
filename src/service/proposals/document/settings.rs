//! The alliance's own settings in a document. Settlement, operator and accounts are always written; one that was
//! stored before there were any stands for the built-in ones.

use super::{Change, NameBody};
use crate::domain::catalogue::{Accounts, Alliance, Cycle, Netting, Operator, Rounding, Settlement};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    slug: String,
    name: NameBody,
    currency: String,
    zone: String,
    trust_domain: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sandbox_start: Option<NaiveDate>,
    quote_ttl_seconds: u32,
    link_cooling_days: u32,
    bilateral: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mandate: Option<String>,
    #[serde(default)]
    settlement: Option<SettlementBody>,
    #[serde(default)]
    operator: Option<OperatorBody>,
}

impl Settings {
    pub(super) fn of(alliance: &Alliance, mandate: Option<String>) -> Settings {
        Settings {
            slug: alliance.slug.clone(),
            name: NameBody::of(&alliance.name),
            currency: alliance.currency.clone(),
            zone: alliance.zone.name().to_owned(),
            trust_domain: alliance.trust_domain.clone(),
            sandbox_start: alliance.sandbox_start,
            quote_ttl_seconds: alliance.quote_ttl_s,
            link_cooling_days: alliance.link_cooling_days,
            bilateral: alliance.bilateral,
            mandate,
            settlement: Some(SettlementBody::of(&alliance.settlement)),
            operator: Some(OperatorBody::of(&alliance.operator)),
        }
    }

    pub(super) fn checked(self) -> Option<Change> {
        let operator = match self.operator {
            Some(operator) => operator.checked()?,
            None => Operator::named(&self.name.en),
        };
        let settlement = match self.settlement {
            Some(settlement) => settlement.checked()?,
            None => Settlement::default(),
        };
        let alliance = Alliance {
            slug: self.slug,
            name: self.name.checked(),
            currency: self.currency,
            zone: self.zone.parse().ok()?,
            trust_domain: self.trust_domain,
            sandbox_start: self.sandbox_start,
            quote_ttl_s: self.quote_ttl_seconds,
            link_cooling_days: self.link_cooling_days,
            bilateral: self.bilateral,
            settlement,
            operator,
        };
        Some(Change::Alliance { alliance, mandate: self.mandate })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettlementBody {
    cycle: String,
    netting: String,
    rounding: String,
    cut_off_days: u32,
    draft_days: u32,
    dispute_days: u32,
    due_days: u32,
}

impl SettlementBody {
    fn of(settlement: &Settlement) -> SettlementBody {
        SettlementBody {
            cycle: settlement.cycle.code().to_owned(),
            netting: settlement.netting.code().to_owned(),
            rounding: settlement.rounding.code().to_owned(),
            cut_off_days: settlement.cut_off_days,
            draft_days: settlement.draft_days,
            dispute_days: settlement.dispute_days,
            due_days: settlement.due_days,
        }
    }

    fn checked(self) -> Option<Settlement> {
        let settlement = Settlement {
            cycle: Cycle::parse(&self.cycle)?,
            netting: Netting::parse(&self.netting)?,
            rounding: Rounding::parse(&self.rounding)?,
            cut_off_days: self.cut_off_days,
            draft_days: self.draft_days,
            dispute_days: self.dispute_days,
            due_days: self.due_days,
        };
        settlement.is_in_order().then_some(settlement)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OperatorBody {
    legal_entity: String,
    tax_code: String,
    fee_tax_basis_points: i64,
    #[serde(default)]
    accounts: AccountsBody,
}

impl OperatorBody {
    fn of(operator: &Operator) -> OperatorBody {
        OperatorBody {
            legal_entity: operator.legal_entity.clone(),
            tax_code: operator.tax_code.clone(),
            fee_tax_basis_points: operator.fee_tax_basis_points,
            accounts: accounts_body(&operator.accounts),
        }
    }

    fn checked(self) -> Option<Operator> {
        Some(Operator {
            legal_entity: self.legal_entity,
            tax_code: self.tax_code,
            fee_tax_basis_points: self.fee_tax_basis_points,
            accounts: accounts(self.accounts, Accounts::of_operator())?,
        })
    }
}

/// Ledger accounts by name.
pub(super) type AccountsBody = BTreeMap<String, String>;

pub(super) fn accounts_body(accounts: &Accounts) -> AccountsBody {
    accounts.each().into_iter().map(|(name, code)| (name.to_owned(), code.to_owned())).collect()
}

/// `body` over `base`; `None` when it names an account there is not, or a code that is none.
pub(super) fn accounts(body: AccountsBody, mut base: Accounts) -> Option<Accounts> {
    for (name, code) in &body {
        base.set(name, code)?;
    }
    Some(base)
}
