//! `/v1/webhooks`: the caller's endpoints, and what was sent to them.

use super::fields::Fields;
use super::reply;
use super::webhook_answer::{
    DeliveryAnswer, RecoveredAnswer, TestAnswer, WebhookAnswer, WebhookWithSecret, delivery, shown,
};
use crate::domain::ids::{DeliveryId, WebhookId};
use crate::http::problem::Problem;
use crate::http::{Caller, List, NoBody, Page, StrictJson, StrictQuery, query};
use crate::service::delivery::Webhooks;
use crate::service::delivery::endpoints::{Ask, TYPES_MAX};
use crate::service::events;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use serde::Deserialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{IntoParams, OpenApi, ToSchema};

/// Hours for which an old secret signs beside a new one.
const OVERLAP_MAX: i32 = 72;
const OVERLAP_USUAL: i32 = 24;

#[derive(OpenApi)]
#[openapi(paths(list, create, get, change, end, rotate, test, deliveries, resend, recover))]
pub struct Document;

/// Of the types there are now. An answer's are text: there will be more, and who asks for all is sent them.
fn event_types() -> impl Into<RefOr<Schema>> {
    let one = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(events::types()));
    ArrayBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Array, Type::Null]))
        .items(one)
        .min_items(Some(1))
        .max_items(Some(TYPES_MAX))
        .description(Some("Event types to be pushed; null is all of them, of later versions too."))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWebhook, example = json!({ "url": "https://hooks.lumen.example/hanse", "types": ["conversion.completed"] }))]
pub struct CreateRequest {
    /// `https`, port 443 or one from 1024 on, a host of the public internet.
    #[schema(min_length = 9, max_length = 512, pattern = "^https://[!-~]{1,504}$")]
    url: String,
    #[schema(schema_with = event_types)]
    types: Option<Vec<String>>,
    /// The first event to be pushed; null begins with what happens from now on.
    #[schema(minimum = 1, maximum = 9007199254740991_i64)]
    from_sequence: Option<i64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookChange, example = json!({ "url": "https://hooks.lumen.example/hanse", "types": null, "state": "active" }))]
pub struct ChangeRequest {
    #[schema(min_length = 9, max_length = 512, pattern = "^https://[!-~]{1,504}$")]
    url: String,
    #[schema(schema_with = event_types)]
    types: Option<Vec<String>>,
    /// `active` or `suspended`: `active` goes on where it stands, however it came to be suspended.
    #[schema(pattern = "^(active|suspended)$")]
    state: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SecretRotation, example = json!({ "overlap_hours": 24 }))]
pub struct RotateRequest {
    /// Hours for which the old secret signs beside the new one; 24 unless said.
    #[schema(minimum = 0, maximum = 72)]
    overlap_hours: Option<i32>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Recovery, example = json!({ "since": "2026-11-01T00:00:00Z" }))]
pub struct RecoverRequest {
    /// What has died since then is sent again.
    #[schema(format = DateTime, max_length = 40)]
    since: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeliverySearch {
    #[param(pattern = "^(due|retrying|delivered|dead)$")]
    state: Option<String>,
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    cursor: Option<String>,
}

/// The caller's webhooks, oldest first: four at most.
#[utoipa::path(
    get, path = "/v1/webhooks", tag = "webhooks",
    responses((status = 200, description = "All of them", body = List<WebhookAnswer>))
)]
pub async fn list(webhooks: Data<Webhooks>, caller: Caller) -> Result<HttpResponse, Problem> {
    let found = webhooks.list(caller.partner()?.clone()).await?;
    reply::json(StatusCode::OK, &List { items: found.iter().map(shown).collect(), next_cursor: None })
}

/// A new webhook. Its secret is in this answer and in no other.
#[utoipa::path(
    post, path = "/v1/webhooks", tag = "webhooks", request_body = CreateRequest,
    responses((status = 201, description = "Made", body = WebhookWithSecret))
)]
pub async fn create(
    webhooks: Data<Webhooks>,
    caller: Caller,
    body: StrictJson<CreateRequest>,
) -> Result<HttpResponse, Problem> {
    let CreateRequest { url, types, from_sequence } = body.0;
    let (made, secret) = webhooks.create(caller.partner()?.clone(), Ask { url, types }, from_sequence).await?;
    reply::json(StatusCode::CREATED, &WebhookWithSecret::new(&made, &secret.reveal()))
}

/// One webhook as it stands.
#[utoipa::path(
    get, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path, pattern = "^whk_[0-9a-f]{32}$")),
    responses((status = 200, description = "As it stands", body = WebhookAnswer))
)]
pub async fn get(webhooks: Data<Webhooks>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let found = webhooks.get(caller.partner()?.clone(), query::id::<WebhookId>(&id)?).await?;
    reply::json(StatusCode::OK, &shown(&found))
}

/// Another URL, other types, stopped or going on. What is under way is not called back.
#[utoipa::path(
    put, path = "/v1/webhooks/{id}", tag = "webhooks", request_body = ChangeRequest,
    params(("id" = String, Path, pattern = "^whk_[0-9a-f]{32}$")),
    responses((status = 200, description = "As it stands now", body = WebhookAnswer))
)]
pub async fn change(
    webhooks: Data<Webhooks>,
    caller: Caller,
    id: Path<String>,
    body: StrictJson<ChangeRequest>,
) -> Result<HttpResponse, Problem> {
    let owner = caller.partner()?.clone();
    let ChangeRequest { url, types, state } = body.0;
    let active = match state.as_str() {
        "active" => true,
        "suspended" => false,
        _ => return Err(Problem::field("/state", "must be active or suspended")),
    };
    let id = query::id::<WebhookId>(&id)?;
    let changed = webhooks.change(owner, id, Ask { url, types }, active).await?;
    reply::json(StatusCode::OK, &shown(&changed))
}

/// Ends a webhook for good; what waited for it is not sent.
#[utoipa::path(
    delete, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path, pattern = "^whk_[0-9a-f]{32}$")),
    responses((status = 204, description = "Ended"))
)]
pub async fn end(
    webhooks: Data<Webhooks>,
    caller: Caller,
    id: Path<String>,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    webhooks.end(caller.partner()?.clone(), query::id::<WebhookId>(&id)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A new secret, in this answer and in no other; the old one signs beside it for a while.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/secret-rotations", tag = "webhooks", request_body = RotateRequest,
    params(("id" = String, Path, pattern = "^whk_[0-9a-f]{32}$")),
    responses((status = 201, description = "Both sign", body = WebhookWithSecret))
)]
pub async fn rotate(
    webhooks: Data<Webhooks>,
    caller: Caller,
    id: Path<String>,
    body: StrictJson<RotateRequest>,
) -> Result<HttpResponse, Problem> {
    let owner = caller.partner()?.clone();
    let overlap = body.0.overlap_hours.unwrap_or(OVERLAP_USUAL);
    if !(0..=OVERLAP_MAX).contains(&overlap) {
        return Err(Problem::field("/overlap_hours", "must be 0 to 72"));
    }
    let id = query::id::<WebhookId>(&id)?;
    let (changed, secret) = webhooks.rotate(owner, id, overlap).await?;
    reply::json(StatusCode::CREATED, &WebhookWithSecret::new(&changed, &secret.reveal()))
}

/// Sends a `webhook.test` event now, of sequence 0 and in no feed, and tells what became of it.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/test", tag = "webhooks", params(("id" = String, Path, pattern = "^whk_[0-9a-f]{32}$")),
    responses((status = 200, description = "What became of it", body = TestAnswer))
)]
pub async fn test(
    webhooks: Data<Webhooks>,
    caller: Caller,
    id: Path<String>,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let tested = webhooks.test(caller.partner()?.clone(), query::id::<WebhookId>(&id)?).await?;
    reply::json(StatusCode::OK, &TestAnswer::from(tested))
}

/// What was sent to a webhook and what waits, newest first, each with its attempts.
#[utoipa::path(
    get, path = "/v1/webhooks/{id}/deliveries", tag = "webhooks",
    params(("id" = String, Path, pattern = "^whk_[0-9a-f]{32}$"), DeliverySearch),
    responses((status = 200, description = "Deliveries", body = List<DeliveryAnswer>))
)]
pub async fn deliveries(
    webhooks: Data<Webhooks>,
    caller: Caller,
    id: Path<String>,
    search: StrictQuery<DeliverySearch>,
) -> Result<HttpResponse, Problem> {
    let owner = caller.partner()?.clone();
    let page = Page::new(search.0.limit, search.0.cursor.as_deref())?;
    let state = search.0.state.as_deref().map(|text| {
        let known = ["due", "retrying", "delivered", "dead"].into_iter().find(|known| *known == text);
        known.ok_or_else(|| Problem::field("?state", "must be due, retrying, delivered or dead"))
    });
    let (id, before, limit) = (query::id::<WebhookId>(&id)?, page.after()?, page.limit + 1);
    let (no, found) = webhooks.deliveries(owner, id, state.transpose()?, before, limit).await?;
    let items = found.into_iter().map(|one| delivery(no, one)).collect();
    reply::json(StatusCode::OK, &List::new(items, &page, |item: &DeliveryAnswer| item.sequence.to_string()))
}

/// Sends one event again, whatever became of it before.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/resend", tag = "webhooks", params(("id" = String, Path, pattern = "^dlv_[0-9a-f]{32}$")),
    responses((status = 202, description = "It is due", body = DeliveryAnswer))
)]
pub async fn resend(
    webhooks: Data<Webhooks>,
    caller: Caller,
    id: Path<String>,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let owner = caller.partner()?.clone();
    let (id, by) = (query::id::<DeliveryId>(&id)?, caller.x5t.to_string());
    let (no, found) = webhooks.resend(owner, id, by).await?;
    reply::json(StatusCode::ACCEPTED, &delivery(no, found))
}

/// Sends again whatever has died at a webhook since an instant, in order.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/recover", tag = "webhooks", request_body = RecoverRequest,
    params(("id" = String, Path, pattern = "^whk_[0-9a-f]{32}$")),
    responses((status = 202, description = "They are due", body = RecoveredAnswer))
)]
pub async fn recover(
    webhooks: Data<Webhooks>,
    caller: Caller,
    id: Path<String>,
    body: StrictJson<RecoverRequest>,
) -> Result<HttpResponse, Problem> {
    let owner = caller.partner()?.clone();
    let mut fields = Fields::default();
    let since = fields.instant("since", &body.0.since);
    let since = fields.finish(since)?;
    let (id, by) = (query::id::<WebhookId>(&id)?, caller.x5t.to_string());
    let events = webhooks.recover(owner, id, since, by).await?;
    reply::json(StatusCode::ACCEPTED, &RecoveredAnswer { events })
}
