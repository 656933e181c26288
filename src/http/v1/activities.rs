//! `/v1/…/activities`: purchases and interactions, stored as they come.

use super::fields::{Fields, named};
use super::reply::{self, Outcome, Outcomes};
use crate::domain::ids::{AccountId, ActivityId};
use crate::domain::text::Text;
use crate::http::{Caller, Problem, RequestId, StrictJson};
use crate::service::activities::{self, BATCH_MAX, Kept, Spent, Told};
use crate::service::answer::Shown;
use crate::service::exchange::{Error, Exchange};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(paths(create, create_batch))]
pub struct Document;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "type": "purchase", "occurred_at": "2026-01-05T08:00:00Z", "amount": "128.50", "currency": "CNY", "external_reference": "receipt-501" }))]
pub struct ActivityRequest {
    /// purchase, review, share, sign_in, …: lower case.
    #[schema(pattern = "^[a-z][a-z0-9_]{0,63}$", example = "purchase")]
    r#type: String,
    #[schema(format = DateTime, example = "2026-01-05T08:00:00Z")]
    occurred_at: String,
    /// A decimal string; with `currency`.
    #[schema(pattern = "^[0-9]{1,12}(\\.[0-9]{1,6})?$", example = "128.50")]
    amount: Option<String>,
    #[schema(pattern = "^[A-Z]{3}$", example = "CNY")]
    currency: Option<String>,
    #[schema(max_items = 32)]
    categories: Option<Vec<String>>,
    #[schema(min_length = 1, max_length = 128, example = "shop")]
    channel: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    store: Option<String>,
    #[schema(min_length = 1, max_length = 128, example = "receipt-501")]
    external_reference: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "items": [{ "member_ref": "L-1001", "type": "purchase", "occurred_at": "2026-01-05T08:00:00Z", "external_reference": "receipt-502" }] }))]
pub struct ActivityBatch {
    #[schema(min_items = 1, max_items = 1000)]
    items: Vec<ActivityItem>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivityItem {
    #[schema(min_length = 1, max_length = 128, example = "L-1001")]
    member_ref: String,
    #[schema(pattern = "^[a-z][a-z0-9_]{0,63}$", example = "purchase")]
    r#type: String,
    #[schema(format = DateTime, example = "2026-01-05T08:00:00Z")]
    occurred_at: String,
    #[schema(pattern = "^[0-9]{1,12}(\\.[0-9]{1,6})?$", example = "128.50")]
    amount: Option<String>,
    #[schema(pattern = "^[A-Z]{3}$", example = "CNY")]
    currency: Option<String>,
    #[schema(max_items = 32)]
    categories: Option<Vec<String>>,
    #[schema(min_length = 1, max_length = 128)]
    channel: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    store: Option<String>,
    #[schema(min_length = 1, max_length = 128, example = "receipt-502")]
    external_reference: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Activity)]
pub struct ActivityAnswer {
    #[schema(value_type = String, pattern = "^act_[0-9a-f]{32}$")]
    activity_id: Shown<ActivityId>,
    #[schema(value_type = String, pattern = "^mem_[0-9a-f]{32}$")]
    membership_id: Shown<AccountId>,
    #[schema(value_type = String, format = DateTime)]
    received_at: DateTime<Utc>,
}

/// What one item made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ActivityMade)]
pub struct Made {
    #[schema(example = 201)]
    status: u16,
    /// Present and true when it was there before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    activity: ActivityAnswer,
}

impl From<Kept> for ActivityAnswer {
    fn from(kept: Kept) -> ActivityAnswer {
        let Kept { id, account, received_at, .. } = kept;
        ActivityAnswer { activity_id: Shown(id), membership_id: Shown(account), received_at }
    }
}

impl ActivityItem {
    fn split(self) -> (String, ActivityRequest) {
        let request = ActivityRequest {
            r#type: self.r#type,
            occurred_at: self.occurred_at,
            amount: self.amount,
            currency: self.currency,
            categories: self.categories,
            channel: self.channel,
            store: self.store,
            external_reference: self.external_reference,
        };
        (self.member_ref, request)
    }
}

impl ActivityRequest {
    fn check(self, mut fields: Fields, member_ref: Option<Text>) -> Result<Told, Error> {
        let told = self.read(&mut fields, member_ref);
        fields.finish(told)
    }

    fn read(self, fields: &mut Fields, member_ref: Option<Text>) -> Option<Told> {
        let kind = kind(fields, self.r#type);
        let occurred_at = fields.instant("occurred_at", &self.occurred_at);
        let spent = spent(fields, self.amount, self.currency);
        let categories = fields.texts("categories", self.categories.unwrap_or_default());
        let channel = fields.maybe_text("channel", self.channel);
        let store = fields.maybe_text("store", self.store);
        let reference = fields.text("external_reference", self.external_reference);
        Some(Told {
            member_ref: member_ref?,
            kind: kind?,
            occurred_at: occurred_at?,
            spent: spent?,
            categories: categories?,
            channel: channel?,
            store: store?,
            reference: reference?,
        })
    }
}

fn kind(fields: &mut Fields, raw: String) -> Option<Text> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if raw.len() <= 64 && raw.starts_with(|c: char| c.is_ascii_lowercase()) && raw.bytes().all(plain) {
        return fields.text("type", raw);
    }
    fields.fault("type", "must be 1 to 64 characters of a-z, 0-9 and _, the first a letter");
    None
}

fn spent(fields: &mut Fields, amount: Option<String>, currency: Option<String>) -> Option<Option<Spent>> {
    let (amount, currency) = match (amount, currency) {
        (None, None) => return Some(None),
        (Some(amount), Some(currency)) => (amount, currency),
        (Some(_), None) => {
            fields.fault("currency", "is required with amount");
            return None;
        }
        (None, Some(_)) => {
            fields.fault("amount", "is required with currency");
            return None;
        }
    };
    let mut read = fields.money("amount", &amount);
    if read.is_some() && amount.starts_with('-') {
        fields.fault("amount", "must not be negative");
        read = None;
    }
    let known = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
    if !known {
        fields.fault("currency", "must be an ISO 4217 code");
    }
    read.filter(|_| known).map(|amount| Some(Spent { amount, currency }))
}

/// Stores one purchase or interaction.
#[utoipa::path(
    post, path = "/v1/memberships/{member_ref}/activities", tag = "activities", request_body = ActivityRequest,
    params(("member_ref" = String, Path, min_length = 1, max_length = 128, example = "L-1001")),
    responses((status = 201, description = "Stored, now or before", body = ActivityAnswer))
)]
pub async fn create(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    member_ref: Path<String>,
    body: StrictJson<ActivityRequest>,
) -> Result<HttpResponse, Problem> {
    let told = body.0.check(Fields::default(), Some(named(member_ref.into_inner())?))?;
    let kept = activities::tell(&exchange, caller.partner()?, request.0, told).await?;
    reply::first_or_again(StatusCode::CREATED, &ActivityAnswer::from(kept), kept.replayed)
}

/// Stores up to 1,000, each by itself.
#[utoipa::path(
    post, path = "/v1/activities/batch", tag = "activities", request_body = ActivityBatch,
    responses((status = 200, description = "One outcome per item, in order", body = Outcomes<Outcome<Made>>))
)]
pub async fn create_batch(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    body: StrictJson<ActivityBatch>,
) -> Result<HttpResponse, Problem> {
    super::bounded(body.0.items.len(), BATCH_MAX)?;
    let check = |(index, item): (usize, ActivityItem)| {
        let mut fields = Fields::of_item(index);
        let (member_ref, request) = item.split();
        let member_ref = fields.text("member_ref", member_ref);
        request.check(fields, member_ref)
    };
    let items = body.0.items.into_iter().enumerate().map(check).collect();
    let outcomes = activities::tell_all(&exchange, caller.partner()?, request.0, items).await?;
    let render = |outcome: Result<Kept, Error>| match outcome {
        Ok(kept) => {
            Outcome::Made(Made { status: StatusCode::CREATED.as_u16(), replayed: kept.replayed, activity: kept.into() })
        }
        Err(error) => Outcome::refused(&Problem::from(error), request.0),
    };
    reply::json(StatusCode::OK, &Outcomes::new(outcomes.into_iter().map(render)))
}
