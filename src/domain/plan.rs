//! What an alliance should look like, as its manifests say it: the wish that publishing compares with the catalogue.
//!
//! A plan names no versions. What it leaves open (when an undated rate begins) is settled when it is published.

use super::catalogue::{Agreement, Alliance, Campaign, Name, Partner, Party};
use super::ids::Slug;
use super::money::Millionths;
use super::points::Points;
use super::rate::{Rate, Ratio, TierScope};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub struct Plan {
    pub alliance: Alliance,
    /// Why the operator may hold both approvals; `None` when it may not.
    pub mandate: Option<String>,
    pub partners: BTreeMap<Slug, PlannedPartner>,
    pub pairs: BTreeMap<(Slug, Slug), PlannedPair>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPartner {
    pub partner: Partner,
    /// Where a remote partner answers; `None` when Hanse keeps its accounts.
    pub endpoint: Option<String>,
}

/// One direction as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPair {
    pub terms: AgreementTerms,
    pub rates: Vec<PlannedRate>,
    pub campaigns: Vec<PlannedCampaign>,
}

/// An agreement without its version and dates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreementTerms {
    pub settlement_price: Millionths,
    pub fee_basis_points: i64,
    pub fee_payer: Party,
    pub notice_days: u32,
    pub undo_s: u32,
    pub renews_on_arrival: bool,
    pub exposure_limit: Option<Millionths>,
    pub reversal_needs_confirmation: bool,
    pub target_pays_spent: bool,
    pub grace_days: u32,
    pub dispute_days: u32,
}

/// A rate without its version; `starts: None` is as soon as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRate {
    pub tier: TierScope,
    pub figures: RateFigures,
    pub starts: Option<DateTime<Utc>>,
    pub ends: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateFigures {
    pub ratio: Ratio,
    pub minimum: Points,
    pub step: Points,
    pub maximum: Option<Points>,
    pub public: bool,
}

/// A campaign without its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedCampaign {
    pub code: String,
    pub figures: CampaignFigures,
    pub starts: DateTime<Utc>,
    pub ends: DateTime<Utc>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignFigures {
    pub name: Name,
    pub tier: TierScope,
    pub bonus_basis_points: i64,
    pub funder: Party,
    pub stacks: bool,
}

impl AgreementTerms {
    pub fn of(agreement: &Agreement) -> AgreementTerms {
        AgreementTerms {
            settlement_price: agreement.settlement_price,
            fee_basis_points: agreement.fee_basis_points,
            fee_payer: agreement.fee_payer,
            notice_days: agreement.notice_days,
            undo_s: agreement.undo_s,
            renews_on_arrival: agreement.renews_on_arrival,
            exposure_limit: agreement.exposure_limit,
            reversal_needs_confirmation: agreement.reversal_needs_confirmation,
            target_pays_spent: agreement.target_pays_spent,
            grace_days: agreement.grace_days,
            dispute_days: agreement.dispute_days,
        }
    }

    /// The published version of these terms, in force from `valid_from`.
    pub fn published(&self, version: i64, valid_from: DateTime<Utc>) -> Agreement {
        Agreement {
            version,
            settlement_price: self.settlement_price,
            fee_basis_points: self.fee_basis_points,
            fee_payer: self.fee_payer,
            notice_days: self.notice_days,
            undo_s: self.undo_s,
            renews_on_arrival: self.renews_on_arrival,
            exposure_limit: self.exposure_limit,
            reversal_needs_confirmation: self.reversal_needs_confirmation,
            target_pays_spent: self.target_pays_spent,
            grace_days: self.grace_days,
            dispute_days: self.dispute_days,
            valid_from,
            superseded_from: None,
        }
    }
}

impl RateFigures {
    pub fn of(rate: &Rate) -> RateFigures {
        RateFigures {
            ratio: rate.ratio,
            minimum: rate.minimum,
            step: rate.step,
            maximum: rate.maximum,
            public: rate.public,
        }
    }
}

impl PlannedRate {
    /// The published version of this rate, in force from `valid_from`.
    pub fn published(&self, version: i64, valid_from: DateTime<Utc>) -> Rate {
        Rate {
            version,
            tier: self.tier.clone(),
            ratio: self.figures.ratio,
            minimum: self.figures.minimum,
            step: self.figures.step,
            maximum: self.figures.maximum,
            valid_from,
            valid_to: self.ends,
            superseded_from: None,
            public: self.figures.public,
        }
    }
}

impl CampaignFigures {
    pub fn of(campaign: &Campaign) -> CampaignFigures {
        CampaignFigures {
            name: campaign.name.clone(),
            tier: campaign.tier.clone(),
            bonus_basis_points: campaign.bonus_basis_points,
            funder: campaign.funder,
            stacks: campaign.stacks,
        }
    }
}

impl PlannedCampaign {
    /// The published version of this campaign, in force from `valid_from`.
    pub fn published(&self, version: i64, valid_from: DateTime<Utc>) -> Campaign {
        Campaign {
            code: self.code.clone(),
            version,
            name: self.figures.name.clone(),
            tier: self.figures.tier.clone(),
            bonus_basis_points: self.figures.bonus_basis_points,
            funder: self.figures.funder,
            stacks: self.figures.stacks,
            valid_from,
            valid_to: self.ends,
            superseded_from: None,
        }
    }
}

/// The first moment of `day` in `zone`, also where a clock change skips midnight.
pub fn day_start(zone: Tz, day: NaiveDate) -> DateTime<Utc> {
    let mut first = day.and_time(NaiveTime::MIN);
    // No zone skips more than a day; half hours because some zones move by them.
    for _ in 0..48 {
        if let Some(found) = zone.from_local_datetime(&first).earliest() {
            return found.to_utc();
        }
        first += TimeDelta::minutes(30);
    }
    Utc.from_utc_datetime(&day.and_time(NaiveTime::MIN))
}
