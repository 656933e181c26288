//! What callers read of benefits, vouchers and redemptions: one rendering of each for an answer, its replay and a GET.

use super::claims::Held;
use super::till::Used;
use super::{BenefitJson, Row, TierMaps};
use crate::book::command::VoucherRow;
use crate::book::voucher::{UseKind, UseRow};
use crate::domain::benefit::{BenefitTerms, Discount};
use crate::domain::catalogue::Name;
use crate::domain::holder::Holder;
use crate::domain::ids::{AccountId, BenefitId, TokenId, UseId, VoucherId, WindowId};
use crate::domain::money::Millionths;
use crate::domain::voucher::State;
use crate::service::answer::Shown;
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A benefit as it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Benefit)]
pub struct BenefitAnswer {
    #[schema(value_type = String, pattern = "^bnf_[0-9a-f]{32}$")]
    pub benefit_id: Shown<BenefitId>,
    #[schema(example = "sprout")]
    pub giver: String,
    /// The giver's own code for it.
    #[schema(example = "family-park")]
    pub code: String,
    #[schema(example = 1)]
    pub version: i64,
    #[schema(value_type = String, format = DateTime)]
    pub changed_at: DateTime<Utc>,
    /// Vouchers that count: claimed, and neither cancelled nor run out as reservations.
    pub taken: i64,
    /// How many are left; absent where there is no end to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<i64>,
    /// Who pays beside the giver: their offers can be claimed once they have approved.
    pub approvals: Vec<ApprovalAnswer>,
    /// What the giver sees in tiers of brands with an offer on its ladder, by brand and its tier: part of what is approved.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({ "lumen": { "gold": "l2" } }))]
    pub recognised: TierMaps,
    #[serde(flatten)]
    pub document: BenefitJson,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BenefitApproval)]
pub struct ApprovalAnswer {
    /// A partner, or `operator`.
    #[schema(example = "lumen")]
    pub payer: String,
    pub approved: bool,
}

impl BenefitAnswer {
    /// As its giver or an operator sees it; others see the offers to their own members, and their own approval.
    pub fn new(row: Row, reader: &Holder) -> BenefitAnswer {
        let other = match reader {
            Holder::Partner(slug) if *slug != row.benefit.giver => Some(slug.as_str()),
            Holder::Partner(_) | Holder::Operator(_) => None,
        };
        let mut document = BenefitJson::from(&row.benefit);
        document.offers.retain(|offer| other.is_none_or(|own| offer.to == own));
        let approvals = row.payers.keys().filter(|payer| other.is_none_or(|own| own == payer.as_str()));
        let approvals = approvals
            .map(|payer| ApprovalAnswer { approved: row.approved.contains(payer), payer: payer.clone() })
            .collect();
        let mut recognised = row.recognised;
        recognised.retain(|brand, _| other.is_none_or(|own| own == brand));
        BenefitAnswer {
            recognised,
            benefit_id: Shown(row.benefit.id),
            giver: row.benefit.giver.to_string(),
            code: row.benefit.code.clone(),
            version: row.benefit.version,
            changed_at: row.changed_at,
            taken: row.taken,
            left: row.quota.map(|quota| (quota - row.taken).max(0)),
            approvals,
            document,
        }
    }
}

/// A name in both languages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NameText)]
pub struct NameAnswer {
    pub en: String,
    pub zh: String,
}

impl From<&Name> for NameAnswer {
    fn from(name: &Name) -> NameAnswer {
        NameAnswer { en: name.en.clone(), zh: name.zh.clone() }
    }
}

/// What a coupon takes off a bill.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DiscountTerms)]
pub struct DiscountAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<String>,
    /// The bill is at least this.
    pub from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<String>,
}

impl From<Discount> for DiscountAnswer {
    fn from(discount: Discount) -> DiscountAnswer {
        match discount {
            Discount::Amount { amount, from } => DiscountAnswer {
                amount: Some(amount.to_string()),
                percent: None,
                from: from.to_string(),
                at_most: None,
            },
            Discount::Share { basis_points, from, at_most } => DiscountAnswer {
                amount: None,
                percent: Some(Millionths::new(basis_points * 10_000).to_string()),
                from: from.to_string(),
                at_most: at_most.map(|most| most.to_string()),
            },
        }
    }
}

/// A voucher as its brand or its giver sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Voucher)]
pub struct VoucherAnswer {
    #[schema(value_type = String, pattern = "^vch_[0-9a-f]{32}$")]
    pub voucher_id: Shown<VoucherId>,
    #[schema(value_type = String, pattern = "^bnf_[0-9a-f]{32}$")]
    pub benefit_id: Shown<BenefitId>,
    #[schema(example = "sprout")]
    pub giver: String,
    /// Whose member has it.
    #[schema(example = "lumen")]
    pub brand: String,
    #[schema(value_type = String, example = "ticket")]
    pub kind: &'static str,
    pub name: NameAnswer,
    /// `reserved`, `issued`, `partly_redeemed`, `redeemed`, `expired` or `cancelled`.
    #[schema(value_type = String, example = "issued")]
    pub state: &'static str,
    /// What the member shows: to its brand alone, once it is issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "7Q2K-M0XR-4D9V-81BT")]
    pub code: Option<String>,
    /// To its brand.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^mem_[0-9a-f]{32}$")]
    pub membership_id: Option<Shown<AccountId>>,
    /// By which the giver knows the member: to the giver.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^tok_[0-9a-f]{32}$")]
    pub token: Option<Shown<TokenId>>,
    pub uses: i32,
    pub used: i32,
    /// Of the brand's own points.
    pub points: i64,
    /// What the member pays the giver beside.
    #[schema(example = "0.00")]
    pub cash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "120.00")]
    pub face_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discount: Option<DiscountAnswer>,
    /// The last day it may be used.
    #[schema(value_type = String, format = Date)]
    pub use_by: NaiveDate,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub reserved_until: Option<DateTime<Utc>>,
    #[schema(value_type = String, format = DateTime)]
    pub claimed_at: DateTime<Utc>,
    /// The brand's own: to it alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_reference: Option<String>,
    /// Absent in the answer to a claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redemptions: Option<Vec<RedemptionAnswer>>,
}

impl VoucherAnswer {
    /// As its brand, its giver, or an operator sees it.
    pub fn new(row: &VoucherRow, reader: &Holder, code: Option<String>) -> VoucherAnswer {
        let terms: &BenefitTerms = &row.terms;
        let is = |side: &crate::domain::ids::Slug| matches!(reader, Holder::Partner(slug) if slug == side);
        let (is_brand, is_giver) = (is(&terms.brand), is(&terms.giver));
        VoucherAnswer {
            voucher_id: Shown(row.id),
            benefit_id: Shown(terms.benefit),
            giver: terms.giver.to_string(),
            brand: terms.brand.to_string(),
            kind: terms.kind.code(),
            name: NameAnswer::from(&terms.name),
            state: row.state.code(),
            code: code.filter(|_| is_brand),
            membership_id: (is_brand || !is_giver).then_some(Shown(row.account)),
            token: (!is_brand).then_some(Shown(row.token)),
            uses: terms.uses,
            used: row.used,
            points: terms.points.get(),
            cash: terms.cash.to_string(),
            face_value: terms.face_value.map(|value| value.to_string()),
            discount: terms.discount.map(DiscountAnswer::from),
            use_by: row.use_by,
            reserved_until: row.reserved_until.filter(|_| row.state == State::Reserved),
            claimed_at: row.at,
            external_reference: row.reference.clone().filter(|_| is_brand),
            redemptions: None,
        }
    }

    pub fn held(held: &Held, reader: &Holder) -> VoucherAnswer {
        VoucherAnswer::new(&held.row, reader, held.code.clone())
    }

    /// With what tills have done.
    pub fn with_uses(self, uses: &[UseRow], reader: &Holder) -> VoucherAnswer {
        let tills = uses.iter().filter(|one| matches!(one.kind, UseKind::Redemption | UseKind::Reversal));
        let redemptions = tills.map(|one| RedemptionAnswer::of(one, reader)).collect();
        VoucherAnswer { redemptions: Some(redemptions), ..self }
    }
}

/// A use at a till, or what takes one back.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Redemption)]
pub struct RedemptionAnswer {
    #[schema(value_type = String, pattern = "^use_[0-9a-f]{32}$")]
    pub redemption_id: Shown<UseId>,
    #[schema(value_type = String, pattern = "^vch_[0-9a-f]{32}$")]
    pub voucher_id: Shown<VoucherId>,
    #[schema(value_type = String, pattern = "^bnf_[0-9a-f]{32}$")]
    pub benefit_id: Shown<BenefitId>,
    /// `redemption` or `reversal`.
    #[schema(value_type = String, example = "redemption")]
    pub kind: &'static str,
    /// Which of the voucher's uses, from 1, and how many are left after it.
    pub nth: i32,
    pub uses_left: i32,
    /// What the member has bought for: to the giver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bill: Option<String>,
    /// What came off the bill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discount: Option<String>,
    /// What is left of the bill to pay: to the giver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_pay: Option<String>,
    /// What the member pays beside, for the voucher itself.
    #[schema(example = "0.00")]
    pub cash: String,
    /// Where: to the giver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub till: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The redemption that was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^use_[0-9a-f]{32}$")]
    pub reverses: Option<Shown<UseId>>,
    /// Of the giver's: to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_reference: Option<String>,
    #[schema(value_type = String)]
    pub window_id: Shown<WindowId>,
    #[schema(value_type = String, format = DateTime)]
    pub at: DateTime<Utc>,
}

impl RedemptionAnswer {
    pub fn of(one: &UseRow, reader: &Holder) -> RedemptionAnswer {
        let is_brand_alone = matches!(reader, Holder::Partner(slug) if *slug != one.terms.giver);
        let to_giver = |text: &Option<String>| text.clone().filter(|_| !is_brand_alone);
        let money = |amount: Millionths| amount.to_string();
        let to_pay = one.bill.zip(one.discount).and_then(|(bill, off)| bill.minus(off));
        let left = if one.kind == UseKind::Reversal { one.nth - 1 } else { one.nth };
        RedemptionAnswer {
            redemption_id: Shown(one.id),
            voucher_id: Shown(one.voucher),
            benefit_id: Shown(one.terms.benefit),
            kind: one.kind.code(),
            nth: one.nth,
            uses_left: one.terms.uses - left,
            bill: one.bill.filter(|_| !is_brand_alone).map(money),
            discount: one.discount.map(money),
            to_pay: to_pay.filter(|_| !is_brand_alone).map(money),
            cash: one.terms.cash.to_string(),
            store: to_giver(&one.store),
            till: to_giver(&one.till),
            receipt: to_giver(&one.receipt),
            reason: to_giver(&one.reason),
            reverses: one.reverses.map(Shown),
            external_reference: to_giver(&one.reference),
            window_id: Shown(one.window),
            at: one.at,
        }
    }

    pub fn used(used: &Used, reader: &Holder) -> RedemptionAnswer {
        RedemptionAnswer::of(&used.used, reader)
    }
}
