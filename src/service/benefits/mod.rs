//! Benefits: what partners offer, what members claim of it, and what tills take.
//!
//! `offers` putting, approving, listing them, codes and recognised tiers · `claims` vouchers from claim to end · `till`
//! redeeming and taking back · `passes` recognising a member · `answer` how all of it is told.

pub mod answer;
pub mod claims;
pub mod offers;
pub mod passes;
pub mod till;

use crate::book::command::DirectoryHash;
use crate::domain::ids::{BenefitId, Slug};
use crate::domain::voucher::VoucherCode;
use crate::signing::digest::directory_hash;
use crate::signing::sealing::SealingKey;
use crate::store::Database;
use std::sync::Arc;

pub use crate::store::benefits::{BenefitJson, OPERATOR, Pool, Row, TierMaps, Unfit};

/// What use cases of benefits need beside the exchange.
#[derive(Clone)]
pub struct Vouchers {
    pub database: Database,
    pub sealing: Arc<SealingKey>,
}

/// The id of a giver's benefit.
pub fn benefit_id(giver: &Slug, code: &str) -> BenefitId {
    BenefitId(directory_hash("benefit", &[giver.as_str().as_bytes(), code.as_bytes()]))
}

/// What a code of this giver's is found by.
fn code_hash(giver: &Slug, code: &str) -> DirectoryHash {
    DirectoryHash(directory_hash("voucher", &[giver.as_str().as_bytes(), code.as_bytes()]))
}

/// What a code that was shown to this giver may be found by: as one of ours however it was typed, or as it stands.
fn shown(giver: &Slug, typed: &str) -> Vec<DirectoryHash> {
    let ours = typed.parse::<VoucherCode>().ok().map(|code| code_hash(giver, code.as_str()));
    let pooled = code_hash(giver, typed.trim());
    ours.into_iter().chain([pooled]).collect()
}
