//! How the book's values are written in columns, and read back.

use crate::book::command::{CreditKind, MovementSide, Parcel, Status};
use crate::book::engine::account::{LinkState, Redating};
use crate::domain::catalogue::Party;
use crate::domain::expiry::Expiry;
use crate::domain::ids::{AccountId, LinkId, TokenId};
use crate::domain::lots::{Lot, Lots};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::rate::Ratio;
use crate::domain::terms::{FrozenCampaign, Terms};
use crate::domain::usage::Usage;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A row that does not say what its column promises: a bug or a damaged database, never a caller's fault.
#[derive(Debug, thiserror::Error)]
#[error("the book's column {column} holds what it cannot: {value}")]
pub struct Unreadable {
    pub column: &'static str,
    pub value: String,
}

fn unreadable(column: &'static str, value: impl ToString) -> Unreadable {
    Unreadable { column, value: value.to_string() }
}

/// 1970-01-01 as days of the common era.
const EPOCH: i32 = 719_163;
const NEVER: i64 = 2_147_483_647;
const AT_ONCE: i64 = -2_147_483_648;

fn day_number(day: NaiveDate) -> i64 {
    i64::from(day.num_days_from_ce() - EPOCH)
}

fn day_from(number: i64) -> Option<NaiveDate> {
    i32::try_from(number).ok().and_then(|n| NaiveDate::from_num_days_from_ce_opt(n.checked_add(EPOCH)?))
}

pub fn expiry_number(expires: Expiry) -> i64 {
    match expires {
        Expiry::On(day) => day_number(day),
        Expiry::Never => NEVER,
    }
}

pub fn expiry_from(number: i64) -> Result<Expiry, Unreadable> {
    match number {
        NEVER => Ok(Expiry::Never),
        day => day_from(day).map(Expiry::On).ok_or_else(|| unreadable("last day", day)),
    }
}

pub fn points(column: &'static str, value: i64) -> Result<Points, Unreadable> {
    Points::new(value).ok_or_else(|| unreadable(column, value))
}

pub fn lots_numbers(lots: &Lots) -> Vec<i64> {
    let numbers =
        |lot: &Lot| [lot.points.get(), expiry_number(lot.expires), lot.available_on.map_or(AT_ONCE, day_number)];
    lots.iter().flat_map(numbers).collect()
}

pub fn lots_from(numbers: &[i64]) -> Result<Lots, Unreadable> {
    let lots = numbers.as_chunks::<3>().0.iter().map(|[value, end, from]| {
        let available_on = match *from {
            AT_ONCE => None,
            day => Some(day_from(day).ok_or_else(|| unreadable("lots", day))?),
        };
        Ok(Lot { points: points("lots", *value)?, expires: expiry_from(*end)?, available_on })
    });
    Ok(Lots::from_rows(lots.collect::<Result<Vec<_>, Unreadable>>()?))
}

pub fn parcels_numbers(parcels: &[Parcel]) -> Vec<i64> {
    parcels.iter().flat_map(|parcel| [parcel.points.get(), expiry_number(parcel.expires)]).collect()
}

pub fn parcels_from(numbers: &[i64]) -> Result<Vec<Parcel>, Unreadable> {
    let parcels = numbers.as_chunks::<2>().0.iter();
    parcels.map(|[value, end]| Ok(Parcel { points: points("lots", *value)?, expires: expiry_from(*end)? })).collect()
}

pub fn usage_numbers(usage: &Usage) -> Vec<i64> {
    let Usage { day, out_day, in_day, out_month, in_month } = usage;
    vec![day_number(*day), out_day.get(), in_day.get(), out_month.get(), in_month.get()]
}

pub fn usage_from(numbers: &[i64]) -> Result<Usage, Unreadable> {
    let [day, out_day, in_day, out_month, in_month] = numbers else {
        return Err(unreadable("usage", format!("{numbers:?}")));
    };
    Ok(Usage {
        day: day_from(*day).ok_or_else(|| unreadable("usage", day))?,
        out_day: points("usage", *out_day)?,
        in_day: points("usage", *in_day)?,
        out_month: points("usage", *out_month)?,
        in_month: points("usage", *in_month)?,
    })
}

pub fn redatings_numbers(redatings: &[Redating]) -> Vec<i64> {
    let numbers = |redating: &Redating| [redating.entry_no, day_number(redating.day), expiry_number(redating.to)];
    redatings.iter().flat_map(numbers).collect()
}

pub fn redatings_from(numbers: &[i64]) -> Result<Vec<Redating>, Unreadable> {
    let redating = |&[entry_no, day, to]: &[i64; 3]| {
        let day = day_from(day).ok_or_else(|| unreadable("redatings", day))?;
        Ok(Redating { entry_no, day, to: expiry_from(to)? })
    };
    numbers.as_chunks::<3>().0.iter().map(redating).collect()
}

pub fn status_number(status: Status) -> i16 {
    match status {
        Status::Active => 0,
        Status::Frozen => 1,
        Status::Closed => 2,
    }
}

pub fn status_from(number: i16) -> Result<Status, Unreadable> {
    match number {
        0 => Ok(Status::Active),
        1 => Ok(Status::Frozen),
        2 => Ok(Status::Closed),
        other => Err(unreadable("status", other)),
    }
}

pub fn status_code(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Frozen => "frozen",
        Status::Closed => "closed",
    }
}

pub fn side_number(side: MovementSide) -> i16 {
    match side {
        MovementSide::Credit => 0,
        MovementSide::Debit => 1,
    }
}

pub fn side_from(number: i16) -> Result<MovementSide, Unreadable> {
    match number {
        0 => Ok(MovementSide::Credit),
        1 => Ok(MovementSide::Debit),
        other => Err(unreadable("side", other)),
    }
}

pub fn credit_kind_number(kind: CreditKind) -> i16 {
    match kind {
        CreditKind::Earn => 0,
        CreditKind::Extra => 1,
        CreditKind::Opening => 2,
        CreditKind::Adjust => 3,
    }
}

pub fn credit_kind_from(number: i16) -> Result<CreditKind, Unreadable> {
    match number {
        0 => Ok(CreditKind::Earn),
        1 => Ok(CreditKind::Extra),
        2 => Ok(CreditKind::Opening),
        3 => Ok(CreditKind::Adjust),
        other => Err(unreadable("kind", other)),
    }
}

/// A UUID as text in stored JSON.
pub mod uuid_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use uuid::Uuid;

    pub fn serialize<S: Serializer>(id: &Uuid, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(id.simple().encode_lower(&mut Uuid::encode_buffer()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Uuid, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        Uuid::try_parse(&text).map_err(D::Error::custom)
    }
}

/// A link in an account row; short names, because every account row carries them.
#[derive(Serialize, Deserialize)]
struct LinkRow<'a> {
    #[serde(with = "uuid_text")]
    l: Uuid,
    p: &'a str,
    #[serde(with = "uuid_text")]
    a: Uuid,
    /// Own token.
    #[serde(with = "uuid_text")]
    t: Uuid,
    /// The peer's token.
    #[serde(with = "uuid_text")]
    u: Uuid,
    /// Opens at, microseconds since 1970.
    o: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pull: bool,
}

pub fn links_json(links: &[LinkState]) -> String {
    let rows: Vec<LinkRow> = links
        .iter()
        .map(|link| LinkRow {
            l: link.link.0,
            p: link.partner.as_str(),
            a: link.account.0,
            t: link.own_token.0,
            u: link.peer_token.0,
            o: link.opens_at.timestamp_micros(),
            pull: link.pull,
        })
        .collect();
    // Plain strings, numbers and ids always serialise.
    serde_json::to_string(&rows).unwrap_or_default()
}

pub fn links_from(text: &str) -> Result<Vec<LinkState>, Unreadable> {
    if text == "[]" {
        return Ok(Vec::new());
    }
    let rows: Vec<LinkRow> = serde_json::from_str(text).map_err(|cause| unreadable("links", cause))?;
    let state = |row: LinkRow| {
        Ok(LinkState {
            link: LinkId(row.l),
            partner: row.p.parse().map_err(|_| unreadable("links", row.p))?,
            account: AccountId(row.a),
            own_token: TokenId(row.t),
            peer_token: TokenId(row.u),
            opens_at: DateTime::<Utc>::from_timestamp_micros(row.o).ok_or_else(|| unreadable("links", row.o))?,
            pull: row.pull,
        })
    };
    rows.into_iter().map(state).collect()
}

/// Terms as stored, and as a quote token carries them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermsJson {
    from: String,
    to: String,
    tier: String,
    num: i64,
    den: i64,
    rate_version: i64,
    step: i64,
    minimum: i64,
    maximum: Option<i64>,
    campaigns: Vec<CampaignJson>,
    agreement_version: i64,
    settlement_price: i64,
    fee_basis_points: i64,
    fee_payer: String,
    undo_s: u32,
    renews_on_arrival: bool,
    reversal_needs_confirmation: bool,
    target_pays_spent: bool,
    grace_days: u32,
    from_entity: String,
    to_entity: String,
    from_tax_code: String,
    to_tax_code: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CampaignJson {
    code: String,
    version: i64,
    bonus_basis_points: i64,
    funder: String,
}

impl From<&Terms> for TermsJson {
    fn from(terms: &Terms) -> TermsJson {
        let campaign = |campaign: &FrozenCampaign| CampaignJson {
            code: campaign.code.clone(),
            version: campaign.version,
            bonus_basis_points: campaign.bonus_basis_points,
            funder: campaign.funder.code().to_owned(),
        };
        TermsJson {
            from: terms.from.to_string(),
            to: terms.to.to_string(),
            tier: terms.tier.clone(),
            num: terms.ratio.num(),
            den: terms.ratio.den(),
            rate_version: terms.rate_version,
            step: terms.step.get(),
            minimum: terms.minimum.get(),
            maximum: terms.maximum.map(Points::get),
            campaigns: terms.campaigns.iter().map(campaign).collect(),
            agreement_version: terms.agreement_version,
            settlement_price: terms.settlement_price.get(),
            fee_basis_points: terms.fee_basis_points,
            fee_payer: terms.fee_payer.code().to_owned(),
            undo_s: terms.undo_s,
            renews_on_arrival: terms.renews_on_arrival,
            reversal_needs_confirmation: terms.reversal_needs_confirmation,
            target_pays_spent: terms.target_pays_spent,
            grace_days: terms.grace_days,
            from_entity: terms.from_entity.clone(),
            to_entity: terms.to_entity.clone(),
            from_tax_code: terms.from_tax_code.clone(),
            to_tax_code: terms.to_tax_code.clone(),
        }
    }
}

impl TryFrom<TermsJson> for Terms {
    type Error = Unreadable;

    fn try_from(json: TermsJson) -> Result<Terms, Unreadable> {
        let campaign = |campaign: CampaignJson| {
            Ok(FrozenCampaign {
                funder: Party::parse(&campaign.funder).ok_or_else(|| unreadable("funder", &campaign.funder))?,
                code: campaign.code,
                version: campaign.version,
                bonus_basis_points: campaign.bonus_basis_points,
            })
        };
        Ok(Terms {
            from: json.from.parse().map_err(|_| unreadable("terms", &json.from))?,
            to: json.to.parse().map_err(|_| unreadable("terms", &json.to))?,
            tier: json.tier,
            ratio: Ratio::new(json.num, json.den).ok_or_else(|| unreadable("ratio", json.num))?,
            rate_version: json.rate_version,
            step: points("step", json.step)?,
            minimum: points("minimum", json.minimum)?,
            maximum: json.maximum.map(|value| points("maximum", value)).transpose()?,
            campaigns: json.campaigns.into_iter().map(campaign).collect::<Result<_, Unreadable>>()?,
            agreement_version: json.agreement_version,
            settlement_price: Millionths::new(json.settlement_price),
            fee_basis_points: json.fee_basis_points,
            fee_payer: Party::parse(&json.fee_payer).ok_or_else(|| unreadable("fee_payer", &json.fee_payer))?,
            undo_s: json.undo_s,
            renews_on_arrival: json.renews_on_arrival,
            reversal_needs_confirmation: json.reversal_needs_confirmation,
            target_pays_spent: json.target_pays_spent,
            grace_days: json.grace_days,
            from_entity: json.from_entity,
            to_entity: json.to_entity,
            from_tax_code: json.from_tax_code,
            to_tax_code: json.to_tax_code,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::quote::tests::two_to_one;

    #[test]
    fn what_is_written_reads_back_the_same() {
        let day: NaiveDate = "2026-06-30".parse().expect("a date");
        let lots = Lots::from_rows([
            Lot { points: Points::MAX, expires: Expiry::Never, available_on: Some(day) },
            Lot { points: Points::new(7).expect("in range"), expires: Expiry::On(day), available_on: None },
        ]);
        assert_eq!(lots_from(&lots_numbers(&lots)).expect("readable"), lots);
        let redating = Redating { entry_no: 7, day, to: Expiry::Never };
        assert_eq!(redatings_from(&redatings_numbers(&[redating])).expect("readable"), [redating]);
        let json = serde_json::to_string(&TermsJson::from(&two_to_one())).expect("serialises");
        let back: TermsJson = serde_json::from_str(&json).expect("parses");
        assert_eq!(Terms::try_from(back).expect("readable"), two_to_one());
    }

    #[test]
    fn a_damaged_row_is_an_error_and_no_panic() {
        assert!(points("balance", -1).is_err());
        assert!(expiry_from(i64::MAX).is_err());
        assert!(usage_from(&[1, 2]).is_err());
        assert!(links_from("[{}]").is_err());
        assert!(status_from(9).is_err());
    }
}
