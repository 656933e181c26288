//! Rows of the catalogue as the database gives them, each with the one way to its checked value.

use super::{ANY_TIER, slug, status_text, unreadable};
use crate::domain::catalogue::{
    Accounts, Agreement, Alliance, Campaign, Cycle, MemberLimits, Name, Netting, Operator, Partner, PartnerStatus,
    Party, Programme, Rounding, Settlement, Tier,
};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::rate::{Rate, Ratio, TierScope};
use crate::store::Error;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Date, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz};

#[derive(QueryableByName)]
pub(super) struct AllianceRow {
    #[diesel(sql_type = Text)]
    slug: String,
    #[diesel(sql_type = Text)]
    name_en: String,
    #[diesel(sql_type = Text)]
    name_zh: String,
    #[diesel(sql_type = Text)]
    currency: String,
    #[diesel(sql_type = Text)]
    zone: String,
    #[diesel(sql_type = Text)]
    trust_domain: String,
    #[diesel(sql_type = Nullable<Date>)]
    sandbox_start: Option<NaiveDate>,
    #[diesel(sql_type = BigInt)]
    pub(super) catalogue_version: i64,
    #[diesel(sql_type = Integer)]
    quote_ttl_s: i32,
    #[diesel(sql_type = Integer)]
    link_cooling_days: i32,
    #[diesel(sql_type = Bool)]
    bilateral: bool,
    #[diesel(sql_type = Text)]
    cycle: String,
    #[diesel(sql_type = Text)]
    netting: String,
    #[diesel(sql_type = Text)]
    rounding: String,
    #[diesel(sql_type = Integer)]
    cut_off_days: i32,
    #[diesel(sql_type = Integer)]
    draft_days: i32,
    #[diesel(sql_type = Integer)]
    dispute_days: i32,
    #[diesel(sql_type = Integer)]
    due_days: i32,
    #[diesel(sql_type = Text)]
    operator_entity: String,
    #[diesel(sql_type = Text)]
    operator_tax_code: String,
    #[diesel(sql_type = BigInt)]
    fee_tax_basis_points: i64,
    #[diesel(sql_type = Jsonb)]
    operator_accounts: serde_json::Value,
}

impl AllianceRow {
    pub(super) fn checked(self) -> Result<Alliance, Error> {
        let unstated = self.operator_entity.is_empty();
        Ok(Alliance {
            settlement: Settlement {
                cycle: word(&self.cycle, Cycle::parse)?,
                netting: word(&self.netting, Netting::parse)?,
                rounding: word(&self.rounding, Rounding::parse)?,
                cut_off_days: whole(self.cut_off_days)?,
                draft_days: whole(self.draft_days)?,
                dispute_days: whole(self.dispute_days)?,
                due_days: whole(self.due_days)?,
            },
            operator: Operator {
                legal_entity: if unstated { self.name_en.clone() } else { self.operator_entity },
                tax_code: self.operator_tax_code,
                fee_tax_basis_points: self.fee_tax_basis_points,
                accounts: accounts(&self.operator_accounts, Accounts::of_operator())?,
            },
            zone: self.zone.parse().map_err(|_| unreadable(format!("`{}` is no time zone", self.zone)))?,
            slug: self.slug,
            name: Name { en: self.name_en, zh: self.name_zh },
            currency: self.currency,
            trust_domain: self.trust_domain,
            sandbox_start: self.sandbox_start,
            quote_ttl_s: whole(self.quote_ttl_s)?,
            link_cooling_days: whole(self.link_cooling_days)?,
            bilateral: self.bilateral,
        })
    }
}

#[derive(QueryableByName)]
pub(super) struct PartnerRow {
    #[diesel(sql_type = Text)]
    pub(super) slug: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(super) closed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Text)]
    name_en: String,
    #[diesel(sql_type = Text)]
    name_zh: String,
    #[diesel(sql_type = Text)]
    trade: String,
    #[diesel(sql_type = Text)]
    legal_entity: String,
    #[diesel(sql_type = Text)]
    tax_code: String,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Bool)]
    hosted: bool,
    #[diesel(sql_type = Text)]
    programme_code: String,
    #[diesel(sql_type = Text)]
    programme_name_en: String,
    #[diesel(sql_type = Text)]
    programme_name_zh: String,
    #[diesel(sql_type = SmallInt)]
    scale: i16,
    #[diesel(sql_type = BigInt)]
    unit_cost: i64,
    #[diesel(sql_type = Integer)]
    expiry_months: i32,
    #[diesel(sql_type = Jsonb)]
    tiers: serde_json::Value,
    #[diesel(sql_type = Nullable<BigInt>)]
    limit_out_day: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    limit_out_month: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    limit_in_day: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    limit_in_month: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    exposure_limit: Option<i64>,
    #[diesel(sql_type = Jsonb)]
    accounts: serde_json::Value,
}

impl PartnerRow {
    pub(super) fn checked(self) -> Result<Partner, Error> {
        Ok(Partner {
            slug: slug(&self.slug)?,
            name: Name { en: self.name_en, zh: self.name_zh },
            trade: self.trade,
            legal_entity: self.legal_entity,
            tax_code: self.tax_code,
            status: status(&self.status)?,
            hosted: self.hosted,
            programme: Programme {
                code: self.programme_code,
                name: Name { en: self.programme_name_en, zh: self.programme_name_zh },
                scale: whole(i32::from(self.scale))?,
                unit_cost: Millionths::new(self.unit_cost),
                expiry_months: whole(self.expiry_months)?,
                tiers: tiers(&self.tiers)?,
            },
            limits: MemberLimits {
                out_day: self.limit_out_day.map(points).transpose()?,
                out_month: self.limit_out_month.map(points).transpose()?,
                in_day: self.limit_in_day.map(points).transpose()?,
                in_month: self.limit_in_month.map(points).transpose()?,
            },
            exposure_limit: self.exposure_limit.map(Millionths::new),
            accounts: accounts(&self.accounts, Accounts::standard())?,
        })
    }
}

#[derive(QueryableByName)]
pub(super) struct AgreementRow {
    #[diesel(sql_type = Text)]
    pub(super) from_partner: String,
    #[diesel(sql_type = Text)]
    pub(super) to_partner: String,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = BigInt)]
    settlement_price: i64,
    #[diesel(sql_type = BigInt)]
    fee_basis_points: i64,
    #[diesel(sql_type = Text)]
    fee_payer: String,
    #[diesel(sql_type = Integer)]
    notice_days: i32,
    #[diesel(sql_type = Integer)]
    undo_s: i32,
    #[diesel(sql_type = Bool)]
    renews_on_arrival: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    exposure_limit: Option<i64>,
    #[diesel(sql_type = Bool)]
    reversal_needs_confirmation: bool,
    #[diesel(sql_type = Bool)]
    target_pays_spent: bool,
    #[diesel(sql_type = Integer)]
    grace_days: i32,
    #[diesel(sql_type = Integer)]
    dispute_days: i32,
    #[diesel(sql_type = Timestamptz)]
    valid_from: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    superseded_from: Option<DateTime<Utc>>,
}

impl AgreementRow {
    pub(super) fn checked(self) -> Result<Agreement, Error> {
        Ok(Agreement {
            version: self.version,
            settlement_price: Millionths::new(self.settlement_price),
            fee_basis_points: self.fee_basis_points,
            fee_payer: party(&self.fee_payer)?,
            notice_days: whole(self.notice_days)?,
            undo_s: whole(self.undo_s)?,
            renews_on_arrival: self.renews_on_arrival,
            exposure_limit: self.exposure_limit.map(Millionths::new),
            reversal_needs_confirmation: self.reversal_needs_confirmation,
            target_pays_spent: self.target_pays_spent,
            grace_days: whole(self.grace_days)?,
            dispute_days: whole(self.dispute_days)?,
            valid_from: self.valid_from,
            superseded_from: self.superseded_from,
        })
    }
}

#[derive(QueryableByName)]
pub(super) struct RateRow {
    #[diesel(sql_type = Text)]
    pub(super) from_partner: String,
    #[diesel(sql_type = Text)]
    pub(super) to_partner: String,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Text)]
    tier: String,
    #[diesel(sql_type = BigInt)]
    num: i64,
    #[diesel(sql_type = BigInt)]
    den: i64,
    #[diesel(sql_type = BigInt)]
    step: i64,
    #[diesel(sql_type = BigInt)]
    minimum: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    maximum: Option<i64>,
    #[diesel(sql_type = Bool)]
    public: bool,
    #[diesel(sql_type = Timestamptz)]
    valid_from: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    valid_to: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    superseded_from: Option<DateTime<Utc>>,
}

impl RateRow {
    pub(super) fn checked(self) -> Result<Rate, Error> {
        let ratio = Ratio::new(self.num, self.den);
        Ok(Rate {
            version: self.version,
            tier: scope(self.tier),
            ratio: ratio.ok_or_else(|| unreadable(format!("{}/{} is no ratio", self.num, self.den)))?,
            minimum: points(self.minimum)?,
            step: points(self.step)?,
            maximum: self.maximum.map(points).transpose()?,
            valid_from: self.valid_from,
            valid_to: self.valid_to,
            superseded_from: self.superseded_from,
            public: self.public,
        })
    }
}

#[derive(QueryableByName)]
pub(super) struct CampaignRow {
    #[diesel(sql_type = Text)]
    pub(super) from_partner: String,
    #[diesel(sql_type = Text)]
    pub(super) to_partner: String,
    #[diesel(sql_type = Text)]
    code: String,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Text)]
    name_en: String,
    #[diesel(sql_type = Text)]
    name_zh: String,
    #[diesel(sql_type = Text)]
    tier: String,
    #[diesel(sql_type = BigInt)]
    bonus_basis_points: i64,
    #[diesel(sql_type = Text)]
    funder: String,
    #[diesel(sql_type = Bool)]
    stacks: bool,
    #[diesel(sql_type = Timestamptz)]
    valid_from: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    valid_to: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    superseded_from: Option<DateTime<Utc>>,
}

impl CampaignRow {
    pub(super) fn checked(self) -> Result<Campaign, Error> {
        Ok(Campaign {
            code: self.code,
            version: self.version,
            name: Name { en: self.name_en, zh: self.name_zh },
            tier: scope(self.tier),
            bonus_basis_points: self.bonus_basis_points,
            funder: party(&self.funder)?,
            stacks: self.stacks,
            valid_from: self.valid_from,
            valid_to: self.valid_to,
            superseded_from: self.superseded_from,
        })
    }
}

fn status(text: &str) -> Result<PartnerStatus, Error> {
    use PartnerStatus::{Active, Joining, Leaving, Left, Suspended};
    let known = [Joining, Active, Suspended, Leaving, Left].into_iter().find(|status| status_text(*status) == text);
    known.ok_or_else(|| unreadable(format!("`{text}` is no partner's status")))
}

fn tiers(value: &serde_json::Value) -> Result<Vec<Tier>, Error> {
    let broken = || unreadable(format!("{value} is no ladder of tiers"));
    let tier = |row: &serde_json::Value| {
        let text = |key: &str| row.get(key).and_then(|text| text.as_str()).map(str::to_owned);
        Some(Tier {
            code: text("code")?,
            name: Name { en: text("name_en")?, zh: text("name_zh")? },
            never_expires: row.get("never_expires")?.as_bool()?,
        })
    };
    value.as_array().ok_or_else(broken)?.iter().map(|row| tier(row).ok_or_else(broken)).collect()
}

/// Ledger accounts; those that are not stored are as in `base`.
fn accounts(value: &serde_json::Value, mut base: Accounts) -> Result<Accounts, Error> {
    let broken = || unreadable(format!("{value} is no set of accounts"));
    for (name, code) in value.as_object().ok_or_else(broken)? {
        code.as_str().and_then(|code| base.set(name, code)).ok_or_else(broken)?;
    }
    Ok(base)
}

fn word<T>(text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Error> {
    parse(text).ok_or_else(|| unreadable(format!("`{text}` is no word of settlement")))
}

fn party(code: &str) -> Result<Party, Error> {
    Party::parse(code).ok_or_else(|| unreadable(format!("`{code}` is no party of an agreement")))
}

fn points(value: i64) -> Result<Points, Error> {
    Points::new(value).ok_or_else(|| unreadable(format!("{value} is no amount of points")))
}

fn scope(tier: String) -> TierScope {
    if tier == ANY_TIER { TierScope::Any } else { TierScope::Only(tier) }
}

fn whole(value: i32) -> Result<u32, Error> {
    u32::try_from(value).map_err(|_| unreadable(format!("{value} is negative")))
}
