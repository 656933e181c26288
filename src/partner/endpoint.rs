//! The contract of a remote partner's endpoint: what we ask of the ledger it keeps, and what it answers.
//!
//! Every call is idempotent by the id it names. 2xx is done; 422 with a problem is a definite refusal; anything else, or
//! nothing, is unknown. A `404` of a GET proves nothing; a void answered 2xx does: not credited, and never will be.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Points that end together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Lot {
    /// In the programme's smallest unit.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    pub points: i64,
    /// The last day they can be spent, in the alliance's zone; null is never.
    #[schema(value_type = Option<String>, format = Date)]
    pub expires_on: Option<NaiveDate>,
    /// Of a credit: the rate's points, or a campaign's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<LotKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LotKind {
    Base,
    Bonus,
}

/// Why points move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A conversion.
    Base,
    /// All of a conversion is taken back, within its undo time.
    Undo,
    /// Part or all of a conversion is taken back later.
    Reversal,
}

/// `POST {endpoint}/holds`: reserve points of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldRequest {
    #[schema(pattern = "^hld_[0-9a-f]{32}$")]
    pub hold_id: String,
    #[schema(pattern = "^cnv_[0-9a-f]{32}$")]
    pub conversion_id: String,
    pub member_ref: String,
    #[schema(minimum = 1)]
    pub points: i64,
    pub kind: Purpose,
    /// For an undo or a reversal: of which dates to take, as they arrived; the last to arrive first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lots: Vec<Lot>,
    /// The alliance's business date: lots whose last day is before it are not held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    pub business_date: Option<NaiveDate>,
    /// The partner asks `GET /v1/conversions/{id}` after this, and goes on holding until it is told.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: DateTime<Utc>,
}

/// A hold as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hold {
    pub hold_id: String,
    pub points: i64,
    /// What was reserved, the first to be spent first: together exactly `points`.
    pub lots: Vec<Lot>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<HoldState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    Held,
    Captured,
    Released,
}

/// `POST {endpoint}/holds/{id}/capture` and `/release`. A release of a hold that was never made is done as well, and such
/// a hold is never made later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldStep {
    pub hold_id: String,
    pub conversion_id: String,
}

/// `POST {endpoint}/credits`: give points to a member, all lots or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditRequest {
    #[schema(pattern = "^crd_[0-9a-f]{32}$")]
    pub credit_id: String,
    #[schema(pattern = "^cnv_[0-9a-f]{32}$")]
    pub conversion_id: String,
    pub member_ref: String,
    pub kind: Purpose,
    /// The sum of `lots`.
    #[schema(minimum = 1)]
    pub points: i64,
    pub lots: Vec<Lot>,
    /// Of an undo or a reversal: the hold whose capture is given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverses: Option<String>,
}

/// A credit as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Credit {
    pub credit_id: String,
    pub points: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<CreditState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CreditState {
    Credited,
    Voided,
}

/// `POST {endpoint}/credits/{id}/void`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoidRequest {
    pub credit_id: String,
    pub conversion_id: String,
}

/// `GET {endpoint}/memberships/{ref}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Membership {
    pub status: String,
    pub tier: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<i64>,
}

/// A definite refusal (RFC 9457), with 422.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refusal {
    /// Such as `insufficient_points`, `membership_closed`, `membership_frozen`, `not_found`, `points_spent`.
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
