//! The terms of a conversion: every published figure that decides its price and its settlement lines, frozen.
//!
//! Many conversions share one set of terms, so the book stores each distinct set once and never
//! changes it.

use super::catalogue::{Agreement, Campaign, Catalogue, Party};
use super::ids::Slug;
use super::money::Millionths;
use super::points::Points;
use super::rate::{Rate, Ratio};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    pub from: Slug,
    pub to: Slug,
    /// The origin tier the price was made for.
    pub tier: String,
    pub ratio: Ratio,
    pub rate_version: i64,
    pub step: Points,
    pub minimum: Points,
    pub maximum: Option<Points>,
    pub campaigns: Vec<FrozenCampaign>,
    pub agreement_version: i64,
    /// What the origin owes the target for each credited point.
    pub settlement_price: Millionths,
    pub fee_basis_points: i64,
    pub fee_payer: Party,
    pub undo_s: u32,
    pub renews_on_arrival: bool,
    pub reversal_needs_confirmation: bool,
    pub target_pays_spent: bool,
    pub grace_days: u32,
    pub from_entity: String,
    pub to_entity: String,
    pub from_tax_code: String,
    pub to_tax_code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FrozenCampaign {
    pub code: String,
    pub version: i64,
    pub bonus_basis_points: i64,
    pub funder: Party,
}

impl Terms {
    /// Freezes what the catalogue says; `None` when either partner is missing from it.
    pub fn freeze(
        catalogue: &Catalogue,
        direction: (&Slug, &Slug),
        tier: &str,
        rate: &Rate,
        agreement: &Agreement,
        campaigns: &[&Campaign],
    ) -> Option<Terms> {
        let from = catalogue.partners.get(direction.0)?;
        let to = catalogue.partners.get(direction.1)?;
        let frozen = |campaign: &&Campaign| FrozenCampaign {
            code: campaign.code.clone(),
            version: campaign.version,
            bonus_basis_points: campaign.bonus_basis_points,
            funder: campaign.funder,
        };
        Some(Terms {
            from: from.slug.clone(),
            to: to.slug.clone(),
            tier: tier.to_owned(),
            ratio: rate.ratio,
            rate_version: rate.version,
            step: rate.step,
            minimum: rate.minimum,
            maximum: rate.maximum,
            campaigns: campaigns.iter().map(frozen).collect(),
            agreement_version: agreement.version,
            settlement_price: agreement.settlement_price,
            fee_basis_points: agreement.fee_basis_points,
            fee_payer: agreement.fee_payer,
            undo_s: agreement.undo_s,
            renews_on_arrival: agreement.renews_on_arrival,
            reversal_needs_confirmation: agreement.reversal_needs_confirmation,
            target_pays_spent: agreement.target_pays_spent,
            grace_days: agreement.grace_days,
            from_entity: from.legal_entity.clone(),
            to_entity: to.legal_entity.clone(),
            from_tax_code: from.tax_code.clone(),
            to_tax_code: to.tax_code.clone(),
        })
    }

    /// The bonus of each campaign on a base credit, floored; `None` above the largest amount.
    pub fn bonuses(&self, credit: Points) -> Option<Vec<Points>> {
        self.campaigns.iter().map(|campaign| credit.floor_of(campaign.bonus_basis_points, 10_000)).collect()
    }

    /// The fee on a base credit, floored once to the millionth; `None` on overflow.
    pub fn fee(&self, credit: Points) -> Option<Millionths> {
        self.settlement_price.times(credit)?.floor_of(self.fee_basis_points, 10_000)
    }
}
