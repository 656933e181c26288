//! Manifests as they are written: every value with its place in the file, nothing judged yet.

use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

/// `alliance.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllianceFile {
    pub alliance: Spanned<AllianceTable>,
    #[serde(default)]
    pub agreement_defaults: TermsTable,
    #[serde(default)]
    pub settlement: SettlementTable,
    #[serde(default)]
    pub operator: OperatorTable,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllianceTable {
    pub slug: Spanned<String>,
    pub name: NameTable,
    pub currency: Spanned<String>,
    pub zone: Spanned<String>,
    pub trust_domain: Spanned<String>,
    pub sandbox_start: Option<Spanned<Datetime>>,
    pub quote_ttl_seconds: Option<Spanned<i64>>,
    pub link_cooling_days: Option<Spanned<i64>>,
    #[serde(default)]
    pub bilateral: bool,
    pub mandate: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettlementTable {
    pub cycle: Option<Spanned<String>>,
    pub netting: Option<Spanned<String>>,
    pub rounding: Option<Spanned<String>>,
    pub cut_off_days: Option<Spanned<i64>>,
    pub draft_days: Option<Spanned<i64>>,
    pub dispute_days: Option<Spanned<i64>>,
    pub due_days: Option<Spanned<i64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorTable {
    pub legal_entity: Option<Spanned<String>>,
    pub tax_code: Option<Spanned<String>>,
    pub fee_tax_percent: Option<Spanned<String>>,
    #[serde(default)]
    pub accounts: AccountsTable,
}

/// Codes of ledger accounts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountsTable {
    pub receivable: Option<Spanned<String>>,
    pub payable: Option<Spanned<String>>,
    pub points_out: Option<Spanned<String>>,
    pub points_in: Option<Spanned<String>>,
    pub bonus: Option<Spanned<String>>,
    pub bonus_income: Option<Spanned<String>>,
    pub fee: Option<Spanned<String>>,
    pub tax: Option<Spanned<String>>,
    pub adjustment: Option<Spanned<String>>,
}

/// `<partner>.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartnerFile {
    pub partner: PartnerTable,
    pub programme: Spanned<ProgrammeTable>,
    #[serde(default)]
    pub member_limits: LimitsTable,
    #[serde(default)]
    pub accounts: AccountsTable,
    #[serde(default)]
    pub agreements: Vec<AgreementTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartnerTable {
    pub slug: Spanned<String>,
    pub name: NameTable,
    pub trade: Spanned<String>,
    pub legal_entity: Spanned<String>,
    pub tax_code: Spanned<String>,
    pub endpoint: Option<Spanned<String>>,
    pub exposure_limit: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgrammeTable {
    pub code: Spanned<String>,
    pub name: NameTable,
    #[serde(default)]
    pub scale: Option<Spanned<i64>>,
    pub unit_cost: Spanned<String>,
    pub expiry_months: Spanned<i64>,
    pub tiers: Spanned<Vec<TierTable>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierTable {
    pub code: Spanned<String>,
    pub name: NameTable,
    #[serde(default)]
    pub never_expires: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameTable {
    pub en: Spanned<String>,
    pub zh: Spanned<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsTable {
    pub out_day: Option<Spanned<i64>>,
    pub out_month: Option<Spanned<i64>>,
    pub in_day: Option<Spanned<i64>>,
    pub in_month: Option<Spanned<i64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreementTable {
    pub to: Spanned<String>,
    pub settlement_price: Option<Spanned<String>>,
    pub exposure_limit: Option<Spanned<String>>,
    /// What this agreement says differently from the alliance's defaults.
    #[serde(default)]
    pub terms: TermsTable,
    #[serde(default)]
    pub rates: Vec<RateTable>,
    #[serde(default)]
    pub campaigns: Vec<CampaignTable>,
}

/// Terms an agreement may leave to the alliance's `[agreement_defaults]`, and these to the built-in ones.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermsTable {
    pub fee_percent: Option<Spanned<String>>,
    pub fee_payer: Option<Spanned<String>>,
    pub notice_days: Option<Spanned<i64>>,
    pub undo_minutes: Option<Spanned<i64>>,
    pub renews_on_arrival: Option<bool>,
    pub reversal_needs_confirmation: Option<bool>,
    pub target_pays_spent: Option<bool>,
    pub grace_days: Option<Spanned<i64>>,
    pub dispute_days: Option<Spanned<i64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateTable {
    pub tier: Option<Spanned<String>>,
    pub give: Spanned<i64>,
    pub get: Spanned<i64>,
    pub step: Option<Spanned<i64>>,
    pub minimum: Option<Spanned<i64>>,
    pub maximum: Option<Spanned<i64>>,
    pub valid_from: Option<Spanned<Datetime>>,
    pub valid_to: Option<Spanned<Datetime>>,
    #[serde(default)]
    pub public: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignTable {
    pub code: Spanned<String>,
    pub name: NameTable,
    pub tier: Option<Spanned<String>>,
    pub bonus_percent: Spanned<String>,
    pub funder: Spanned<String>,
    #[serde(default)]
    pub stacks: bool,
    pub valid_from: Spanned<Datetime>,
    pub valid_to: Spanned<Datetime>,
}
