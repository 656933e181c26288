//! A proposed change as the document that is signed: canonical JSON, and back.
//!
//! It names the proposal and the alliance, so that a signature is good for nothing else. What is left out has no
//! value: a rate without `valid_from` begins when it is published.

mod settings;

use crate::domain::catalogue::{
    Accounts, Alliance, MemberLimits, Name, Partner, PartnerStatus, Party, Programme, Tier,
};
use crate::domain::change::PairChange;
use crate::domain::ids::ProposalId;
use crate::domain::money::Millionths;
use crate::domain::plan::{AgreementTerms, CampaignFigures, PlannedCampaign, PlannedPartner, PlannedRate, RateFigures};
use crate::domain::points::Points;
use crate::domain::proposal::Subject;
use crate::domain::rate::{Ratio, TierScope};
use crate::signing::canonical;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use settings::{AccountsBody, Settings, accounts, accounts_body};

/// What a proposal changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Alliance { alliance: Alliance, mandate: Option<String> },
    Partner(PlannedPartner),
    Pair(PairChange),
}

/// A stored document that is none of ours.
#[derive(Debug, thiserror::Error)]
#[error("the stored change of {id} cannot be read: {reason}")]
pub struct Unreadable {
    id: ProposalId,
    reason: String,
}

/// The canonical text of a change.
pub fn write(id: ProposalId, alliance: &str, subject: &Subject, change: &Change) -> Result<String, Unreadable> {
    let unreadable = |reason: String| Unreadable { id, reason };
    let mut body = Body {
        v: 1,
        proposal: id.to_string(),
        alliance: alliance.to_owned(),
        from: None,
        to: None,
        settings: None,
        partner: None,
        agreement: None,
        rates: Vec::new(),
        campaigns: Vec::new(),
    };
    match subject {
        Subject::Alliance => {}
        Subject::Partner(own) => body.from = Some(own.to_string()),
        Subject::Pair(from, to) => (body.from, body.to) = (Some(from.to_string()), Some(to.to_string())),
    }
    match change {
        Change::Alliance { alliance, mandate } => body.settings = Some(Settings::of(alliance, mandate.clone())),
        Change::Partner(planned) => body.partner = Some(PartnerBody::of(planned)),
        Change::Pair(pair) => {
            body.agreement = pair.terms.as_ref().map(AgreementBody::of);
            body.rates = pair.rates.iter().map(RateBody::of).collect();
            body.campaigns = pair.campaigns.iter().map(CampaignBody::of).collect();
        }
    }
    let value = serde_json::to_value(&body).map_err(|cause| unreadable(cause.to_string()))?;
    let bytes = canonical::to_vec(&value).map_err(|cause| unreadable(cause.to_string()))?;
    String::from_utf8(bytes).map_err(|cause| unreadable(cause.to_string()))
}

/// The change a stored text stands for.
pub fn read(id: ProposalId, subject: &Subject, text: &str) -> Result<Change, Unreadable> {
    let unreadable = |reason: &str| Unreadable { id, reason: reason.to_owned() };
    let body: Body = serde_json::from_str(text).map_err(|cause| unreadable(&cause.to_string()))?;
    let change = match subject {
        Subject::Alliance => body.settings.and_then(Settings::checked),
        Subject::Partner(_) => body.partner.and_then(PartnerBody::checked).map(Change::Partner),
        Subject::Pair(_, _) => pair(body).map(Change::Pair),
    };
    change.ok_or_else(|| unreadable("a field is missing or out of its range"))
}

fn pair(body: Body) -> Option<PairChange> {
    Some(PairChange {
        terms: match body.agreement {
            Some(agreement) => Some(agreement.checked()?),
            None => None,
        },
        rates: body.rates.into_iter().map(RateBody::checked).collect::<Option<_>>()?,
        campaigns: body.campaigns.into_iter().map(CampaignBody::checked).collect::<Option<_>>()?,
    })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    v: u8,
    proposal: String,
    alliance: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<Settings>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partner: Option<PartnerBody>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agreement: Option<AgreementBody>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rates: Vec<RateBody>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    campaigns: Vec<CampaignBody>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NameBody {
    en: String,
    zh: String,
}

impl NameBody {
    fn of(name: &Name) -> NameBody {
        NameBody { en: name.en.clone(), zh: name.zh.clone() }
    }

    fn checked(self) -> Name {
        Name { en: self.en, zh: self.zh }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TierBody {
    code: String,
    name: NameBody,
    never_expires: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartnerBody {
    slug: String,
    name: NameBody,
    trade: String,
    legal_entity: String,
    tax_code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exposure_limit: Option<String>,
    programme_code: String,
    programme_name: NameBody,
    scale: u32,
    unit_cost: String,
    expiry_months: u32,
    tiers: Vec<TierBody>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    out_day: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    out_month: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_day: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_month: Option<i64>,
    #[serde(default)]
    accounts: AccountsBody,
}

impl PartnerBody {
    fn of(planned: &PlannedPartner) -> PartnerBody {
        let partner = &planned.partner;
        let programme = &partner.programme;
        let tier = |tier: &Tier| TierBody {
            code: tier.code.clone(),
            name: NameBody::of(&tier.name),
            never_expires: tier.never_expires,
        };
        PartnerBody {
            slug: partner.slug.to_string(),
            name: NameBody::of(&partner.name),
            trade: partner.trade.clone(),
            legal_entity: partner.legal_entity.clone(),
            tax_code: partner.tax_code.clone(),
            endpoint: planned.endpoint.clone(),
            exposure_limit: partner.exposure_limit.map(|money| money.to_string()),
            programme_code: programme.code.clone(),
            programme_name: NameBody::of(&programme.name),
            scale: programme.scale,
            unit_cost: programme.unit_cost.to_string(),
            expiry_months: programme.expiry_months,
            tiers: programme.tiers.iter().map(tier).collect(),
            out_day: partner.limits.out_day.map(Points::get),
            out_month: partner.limits.out_month.map(Points::get),
            in_day: partner.limits.in_day.map(Points::get),
            in_month: partner.limits.in_month.map(Points::get),
            accounts: accounts_body(&partner.accounts),
        }
    }

    fn checked(self) -> Option<PlannedPartner> {
        let tier =
            |tier: TierBody| Tier { code: tier.code, name: tier.name.checked(), never_expires: tier.never_expires };
        let partner = Partner {
            slug: self.slug.parse().ok()?,
            name: self.name.checked(),
            trade: self.trade,
            legal_entity: self.legal_entity,
            tax_code: self.tax_code,
            status: PartnerStatus::Active,
            hosted: self.endpoint.is_none(),
            programme: Programme {
                code: self.programme_code,
                name: self.programme_name.checked(),
                scale: self.scale,
                unit_cost: Millionths::parse(&self.unit_cost)?,
                expiry_months: self.expiry_months,
                tiers: self.tiers.into_iter().map(tier).collect(),
            },
            limits: MemberLimits {
                out_day: optional(self.out_day, Points::new)?,
                out_month: optional(self.out_month, Points::new)?,
                in_day: optional(self.in_day, Points::new)?,
                in_month: optional(self.in_month, Points::new)?,
            },
            exposure_limit: optional(self.exposure_limit, |text| Millionths::parse(&text))?,
            accounts: accounts(self.accounts, Accounts::standard())?,
        };
        Some(PlannedPartner { partner, endpoint: self.endpoint })
    }
}

/// `Some(None)` for nothing, `None` for something that is not what it should be.
fn optional<A, B>(raw: Option<A>, read: impl FnOnce(A) -> Option<B>) -> Option<Option<B>> {
    match raw {
        Some(raw) => read(raw).map(Some),
        None => Some(None),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgreementBody {
    settlement_price: String,
    fee_basis_points: i64,
    fee_payer: String,
    notice_days: u32,
    undo_seconds: u32,
    renews_on_arrival: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exposure_limit: Option<String>,
    reversal_needs_confirmation: bool,
    target_pays_spent: bool,
    grace_days: u32,
    dispute_days: u32,
}

impl AgreementBody {
    fn of(terms: &AgreementTerms) -> AgreementBody {
        AgreementBody {
            settlement_price: terms.settlement_price.to_string(),
            fee_basis_points: terms.fee_basis_points,
            fee_payer: terms.fee_payer.code().to_owned(),
            notice_days: terms.notice_days,
            undo_seconds: terms.undo_s,
            renews_on_arrival: terms.renews_on_arrival,
            exposure_limit: terms.exposure_limit.map(|money| money.to_string()),
            reversal_needs_confirmation: terms.reversal_needs_confirmation,
            target_pays_spent: terms.target_pays_spent,
            grace_days: terms.grace_days,
            dispute_days: terms.dispute_days,
        }
    }

    fn checked(self) -> Option<AgreementTerms> {
        Some(AgreementTerms {
            settlement_price: Millionths::parse(&self.settlement_price)?,
            fee_basis_points: self.fee_basis_points,
            fee_payer: Party::parse(&self.fee_payer)?,
            notice_days: self.notice_days,
            undo_s: self.undo_seconds,
            renews_on_arrival: self.renews_on_arrival,
            exposure_limit: optional(self.exposure_limit, |text| Millionths::parse(&text))?,
            reversal_needs_confirmation: self.reversal_needs_confirmation,
            target_pays_spent: self.target_pays_spent,
            grace_days: self.grace_days,
            dispute_days: self.dispute_days,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
    num: i64,
    den: i64,
    step: i64,
    minimum: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    maximum: Option<i64>,
    public: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_to: Option<String>,
}

impl RateBody {
    fn of(rate: &PlannedRate) -> RateBody {
        let figures = &rate.figures;
        RateBody {
            tier: tier_body(&rate.tier),
            num: figures.ratio.num(),
            den: figures.ratio.den(),
            step: figures.step.get(),
            minimum: figures.minimum.get(),
            maximum: figures.maximum.map(Points::get),
            public: figures.public,
            valid_from: rate.starts.map(instant_body),
            valid_to: rate.ends.map(instant_body),
        }
    }

    fn checked(self) -> Option<PlannedRate> {
        let figures = RateFigures {
            ratio: Ratio::new(self.num, self.den)?,
            minimum: Points::new(self.minimum)?,
            step: Points::new(self.step)?,
            maximum: optional(self.maximum, Points::new)?,
            public: self.public,
        };
        let (starts, ends) = (optional(self.valid_from, instant)?, optional(self.valid_to, instant)?);
        Some(PlannedRate { tier: scope(self.tier), figures, starts, ends })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CampaignBody {
    code: String,
    name: NameBody,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
    bonus_basis_points: i64,
    funder: String,
    stacks: bool,
    valid_from: String,
    valid_to: String,
}

impl CampaignBody {
    fn of(campaign: &PlannedCampaign) -> CampaignBody {
        let figures = &campaign.figures;
        CampaignBody {
            code: campaign.code.clone(),
            name: NameBody::of(&figures.name),
            tier: tier_body(&figures.tier),
            bonus_basis_points: figures.bonus_basis_points,
            funder: figures.funder.code().to_owned(),
            stacks: figures.stacks,
            valid_from: instant_body(campaign.starts),
            valid_to: instant_body(campaign.ends),
        }
    }

    fn checked(self) -> Option<PlannedCampaign> {
        let figures = CampaignFigures {
            name: self.name.checked(),
            tier: scope(self.tier),
            bonus_basis_points: self.bonus_basis_points,
            funder: Party::parse(&self.funder)?,
            stacks: self.stacks,
        };
        Some(PlannedCampaign {
            code: self.code,
            figures,
            starts: instant(self.valid_from)?,
            ends: instant(self.valid_to)?,
        })
    }
}

fn tier_body(tier: &TierScope) -> Option<String> {
    match tier {
        TierScope::Any => None,
        TierScope::Only(code) => Some(code.clone()),
    }
}

fn scope(tier: Option<String>) -> TierScope {
    tier.map_or(TierScope::Any, TierScope::Only)
}

fn instant_body(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn instant(text: String) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(&text).ok().map(|at| at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalogue::{Operator, Settlement};
    use crate::partner::manifest;
    use crate::service::proposals::settle::changes;
    use std::path::Path;
    use uuid::Uuid;

    #[test]
    fn every_change_of_the_house_alliances_reads_back_as_it_was_written() {
        for alliance in ["lumen", "travel-2026"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("partners").join(alliance);
            let plan = manifest::read(&folder).expect("a plan");
            let all = changes(None, &plan, DateTime::UNIX_EPOCH).expect("nothing is published");
            assert!(all.len() > plan.pairs.len());
            for (subject, change) in all {
                let id = ProposalId(Uuid::from_u128(7));
                let text = write(id, alliance, &subject, &change).expect("written");
                assert_eq!(read(id, &subject, &text).expect("read"), change, "{subject}");
            }
        }
    }

    /// Proposals made before there were settlement settings are signed as they are, and stand for the built-in ones.
    #[test]
    fn a_document_without_settlement_operator_and_accounts_still_reads() {
        let id = ProposalId(Uuid::from_u128(7));
        let old = r#"{"alliance":"pilot","proposal":"prp_1","settings":{"bilateral":false,"currency":"CNY",
            "link_cooling_days":7,"name":{"en":"Pilot","zh":"试点"},"quote_ttl_seconds":300,"slug":"pilot",
            "trust_domain":"pilot.example","zone":"Asia/Shanghai"},"v":1}"#;
        let Change::Alliance { alliance, .. } = read(id, &Subject::Alliance, old).expect("read") else {
            panic!("an alliance");
        };
        assert_eq!(alliance.settlement, Settlement::default());
        assert_eq!(alliance.operator, Operator::named("Pilot"));

        let old = r#"{"alliance":"pilot","from":"left","partner":{"expiry_months":12,"legal_entity":"Left Ltd.",
            "name":{"en":"Left","zh":"左"},"programme_code":"LEFT","programme_name":{"en":"Points","zh":"积分"},
            "scale":0,"slug":"left","tax_code":"T","tiers":[],"trade":"mall","unit_cost":"0.01"},
            "proposal":"prp_1","v":1}"#;
        let subject = Subject::Partner("left".parse().expect("a slug"));
        let Change::Partner(planned) = read(id, &subject, old).expect("read") else { panic!("a partner") };
        assert_eq!(planned.partner.accounts, Accounts::standard());
    }

    #[test]
    fn a_document_whose_settings_are_out_of_range_is_refused() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("partners/lumen");
        let plan = manifest::read(&folder).expect("a plan");
        let change = Change::Alliance { alliance: plan.alliance, mandate: None };
        let id = ProposalId(Uuid::from_u128(7));
        let text = write(id, "lumen", &Subject::Alliance, &change).expect("written");
        for (right, wrong) in [
            (r#""cycle":"monthly""#, r#""cycle":"yearly""#),
            (r#""receivable":"1122""#, r#""receivable":"""#),
            (r#""receivable":"1122""#, r#""received":"1122""#),
            (r#""due_days":10"#, r#""due_days":0"#),
        ] {
            assert!(text.contains(right), "{right} in {text}");
            let refused = read(id, &Subject::Alliance, &text.replacen(right, wrong, 1));
            assert!(refused.is_err(), "{wrong}: {refused:?}");
        }
    }
}
