//! The terms of a voucher: everything published of a benefit and an offer that decides what the voucher is good for and
//! what it settles, frozen when it is claimed.

use super::{Benefit, Discount, Funder, Kind, Offer, Payer, SettlesAt};
use crate::domain::catalogue::{Catalogue, Name};
use crate::domain::ids::{BenefitId, Slug};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

/// Days that points of a voucher that was given back live at least when their own end is past.
const GRACE_DAYS: u32 = 30;
/// Seconds within which the brand takes back a voucher that settled at its issue; then the giver alone does. So long an
/// undo lasts.
const UNDO_S: u32 = 900;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BenefitTerms {
    pub benefit: BenefitId,
    pub code: String,
    pub version: i64,
    pub kind: Kind,
    pub name: Name,
    pub giver: Slug,
    /// Whose members the offer is for.
    pub brand: Slug,
    pub face_value: Option<Millionths>,
    pub discount: Option<Discount>,
    pub uses: i32,
    pub stacks: bool,
    pub settles_at: SettlesAt,
    pub blackouts: Vec<(NaiveDate, NaiveDate)>,
    pub pooled: bool,
    pub points: Points,
    pub cash: Millionths,
    pub funder: Funder,
    pub cost: Millionths,
    /// From its issue.
    pub undo_s: u32,
    pub grace_days: u32,
    pub giver_entity: String,
    pub giver_tax_code: String,
    pub brand_entity: String,
    pub brand_tax_code: String,
}

impl BenefitTerms {
    /// Freezes what giver and catalogue say; `None` when either partner is missing from it.
    pub fn freeze(catalogue: &Catalogue, benefit: &Benefit, offer: &Offer) -> Option<BenefitTerms> {
        let giver = catalogue.partners.get(&benefit.giver)?;
        let brand = catalogue.partners.get(&offer.to)?;
        Some(BenefitTerms {
            benefit: benefit.id,
            code: benefit.code.clone(),
            version: benefit.version,
            kind: benefit.kind,
            name: benefit.name.clone(),
            giver: benefit.giver.clone(),
            brand: offer.to.clone(),
            face_value: benefit.face_value,
            discount: benefit.discount,
            uses: benefit.uses,
            stacks: benefit.stacks,
            settles_at: benefit.settles_at,
            blackouts: benefit.blackouts.clone(),
            pooled: benefit.pooled,
            points: offer.points,
            cash: offer.cash,
            funder: offer.funder,
            cost: offer.cost,
            undo_s: UNDO_S,
            grace_days: GRACE_DAYS,
            giver_entity: giver.legal_entity.clone(),
            giver_tax_code: giver.tax_code.clone(),
            brand_entity: brand.legal_entity.clone(),
            brand_tax_code: brand.tax_code.clone(),
        })
    }

    /// Whether points whose own end is past live for the grace days more when the voucher comes back: where the giver takes it
    /// away, or as long as an undo lasts. Else whoever claims and gives back would keep points alive for ever.
    pub fn gives_grace(&self, by: &Slug, claimed: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let by_another = *by == self.giver && self.giver != self.brand;
        by_another || now <= claimed + TimeDelta::seconds(i64::from(self.undo_s))
    }

    /// Who owes the giver; `None` when the giver pays it itself.
    pub fn payer(&self) -> Option<Payer<'_>> {
        match self.funder {
            Funder::Operator => Some(Payer::Operator),
            Funder::Brand if self.brand != self.giver => Some(Payer::Partner(&self.brand)),
            Funder::Brand | Funder::Giver => None,
        }
    }
}
