//! What a window is settled by, as the catalogue had it when the window ended: frozen as canonical JSON.
//!
//! Later changes of names, legal entities or netting are for later windows: recomputing this one comes to the same bytes.

use super::{Error, broken};
use crate::domain::catalogue::Catalogue;
use crate::domain::settings::{Accounts, Netting, Rounding};
use crate::domain::settlement::Participant;
use crate::signing::canonical;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub alliance: String,
    pub currency: String,
    pub netting: Netting,
    pub rounding: Rounding,
    pub sandbox: bool,
    /// Names the log, too.
    pub trust_domain: String,
    pub zone: String,
    /// Contained in the fee: 600 is 6 %.
    pub fee_tax_basis_points: i64,
    pub participants: BTreeMap<Participant, Named>,
}

/// One participant as its documents name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    pub name_en: String,
    pub name_zh: String,
    pub entity: String,
    /// Unified social credit code; empty when none is stated.
    pub tax_code: String,
    /// Codes of ledger accounts by their names.
    pub accounts: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    v: u8,
    alliance: String,
    currency: String,
    netting: String,
    rounding: String,
    sandbox: bool,
    trust_domain: String,
    zone: String,
    fee_tax_basis_points: i64,
    participants: BTreeMap<String, Named>,
}

impl Settings {
    pub fn freeze(catalogue: &Catalogue) -> Settings {
        let alliance = &catalogue.alliance;
        let codes = |accounts: &Accounts| {
            accounts.each().into_iter().map(|(name, code)| (name.to_owned(), code.to_owned())).collect()
        };
        let partners = catalogue.partners.values().map(|partner| {
            let named = Named {
                name_en: partner.name.en.clone(),
                name_zh: partner.name.zh.clone(),
                entity: partner.legal_entity.clone(),
                tax_code: partner.tax_code.clone(),
                accounts: codes(&partner.accounts),
            };
            (Participant::from(&partner.slug), named)
        });
        let operator = &alliance.operator;
        let operator = Named {
            name_en: alliance.name.en.clone(),
            name_zh: alliance.name.zh.clone(),
            entity: operator.legal_entity.clone(),
            tax_code: operator.tax_code.clone(),
            accounts: codes(&operator.accounts),
        };
        Settings {
            alliance: alliance.slug.clone(),
            currency: alliance.currency.clone(),
            netting: alliance.settlement.netting,
            rounding: alliance.settlement.rounding,
            sandbox: alliance.sandbox_start.is_some(),
            trust_domain: alliance.trust_domain.clone(),
            zone: alliance.zone.name().to_owned(),
            fee_tax_basis_points: alliance.operator.fee_tax_basis_points,
            participants: partners.chain([(Participant::operator(), operator)]).collect(),
        }
    }

    /// Canonical JSON.
    pub fn write(&self) -> Result<String, Error> {
        let participants = self.participants.iter().map(|(slug, named)| (slug.to_string(), named.clone()));
        let body = Body {
            v: 1,
            alliance: self.alliance.clone(),
            currency: self.currency.clone(),
            netting: self.netting.code().to_owned(),
            rounding: self.rounding.code().to_owned(),
            sandbox: self.sandbox,
            trust_domain: self.trust_domain.clone(),
            zone: self.zone.clone(),
            fee_tax_basis_points: self.fee_tax_basis_points,
            participants: participants.collect(),
        };
        let bytes = canonical::to_vec(&serde_json::to_value(body).map_err(broken)?).map_err(broken)?;
        String::from_utf8(bytes).map_err(broken)
    }

    pub fn read(text: &str) -> Result<Settings, Error> {
        let body: Body = serde_json::from_str(text).map_err(broken)?;
        let participant = |(slug, named): (String, Named)| {
            let participant = Participant::parse(&slug).ok_or_else(|| broken(format!("participant `{slug}`")))?;
            Ok((participant, named))
        };
        Ok(Settings {
            netting: Netting::parse(&body.netting).ok_or_else(|| broken(&body.netting))?,
            rounding: Rounding::parse(&body.rounding).ok_or_else(|| broken(&body.rounding))?,
            alliance: body.alliance,
            currency: body.currency,
            sandbox: body.sandbox,
            trust_domain: body.trust_domain,
            zone: body.zone,
            fee_tax_basis_points: body.fee_tax_basis_points,
            participants: body.participants.into_iter().map(participant).collect::<Result<_, Error>>()?,
        })
    }

    pub fn zone(&self) -> Result<chrono_tz::Tz, Error> {
        self.zone.parse().map_err(|_| broken(format!("zone `{}`", self.zone)))
    }

    pub fn named(&self, participant: &Participant) -> Result<&Named, Error> {
        self.participants.get(participant).ok_or_else(|| broken(format!("{participant} took no part in this window")))
    }
}
