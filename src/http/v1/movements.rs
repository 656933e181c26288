//! `/v1/…/credits` and `/v1/…/debits`: points a brand issues to, or takes from, its own members.

use super::fields::{Fields, named};
use super::reply::{self, Outcome, Outcomes};
use crate::domain::ids::MovementId;
use crate::domain::text::Text;
use crate::http::{Caller, IdempotencyKey, Problem, RequestId, StrictJson, query};
use crate::service::answer::{self, MovementAnswer};
use crate::service::command::{CreditKind, MovementRow, MovementSide, ReverseMovement};
use crate::service::conversions::BATCH_MAX;
use crate::service::exchange::{Call, Done, Error, Exchange, Item};
use crate::service::movements::{self, Of, Wanted};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(paths(credit, debit, credit_batch, debit_batch, reverse_credit, reverse_debit))]
pub struct Document;

#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    #[default]
    Earn,
    Extra,
    Opening,
    Adjust,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "points": 100, "reason": "purchase", "external_reference": "receipt-501" }))]
pub struct CreditRequest {
    #[schema(minimum = 1, maximum = 9007199254740991_i64, example = 100)]
    points: i64,
    /// `earn` unless said.
    kind: Option<Kind>,
    #[schema(min_length = 1, max_length = 128, example = "purchase")]
    reason: String,
    #[schema(min_length = 1, max_length = 128, example = "receipt-501")]
    external_reference: String,
    /// The last day they can be spent, a month end; by the programme's rule unless said.
    #[schema(format = Date, example = "2099-12-31")]
    expires_on: Option<String>,
    /// Until then pending: shown, neither spent nor converted.
    #[schema(format = Date, example = "2026-02-01")]
    available_on: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DebitRequest {
    #[schema(minimum = 1, maximum = 9007199254740991_i64, example = 5)]
    points: i64,
    #[schema(min_length = 1, max_length = 128, example = "spent in the shop")]
    reason: String,
    #[schema(min_length = 1, max_length = 128, example = "till-7-88")]
    external_reference: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "items": [{ "idempotency_key": "day-7-item-1", "member_ref": "L-1001", "points": 100, "reason": "purchase", "external_reference": "receipt-502" }] }))]
pub struct CreditBatch {
    #[schema(min_items = 1, max_items = 1000)]
    items: Vec<CreditItem>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditItem {
    #[schema(min_length = 1, max_length = 255, pattern = "^[!-~]+$", example = "day-7-item-1")]
    idempotency_key: String,
    #[schema(min_length = 1, max_length = 128, example = "L-1001")]
    member_ref: String,
    #[schema(minimum = 1, maximum = 9007199254740991_i64, example = 100)]
    points: i64,
    kind: Option<Kind>,
    #[schema(min_length = 1, max_length = 128, example = "purchase")]
    reason: String,
    #[schema(min_length = 1, max_length = 128, example = "receipt-502")]
    external_reference: String,
    #[schema(format = Date, example = "2099-12-31")]
    expires_on: Option<String>,
    #[schema(format = Date, example = "2026-02-01")]
    available_on: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "items": [{ "idempotency_key": "day-7-item-2", "member_ref": "L-1001", "points": 5, "reason": "spent in the shop", "external_reference": "till-7-89" }] }))]
pub struct DebitBatch {
    #[schema(min_items = 1, max_items = 1000)]
    items: Vec<DebitItem>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DebitItem {
    #[schema(min_length = 1, max_length = 255, pattern = "^[!-~]+$", example = "day-7-item-2")]
    idempotency_key: String,
    #[schema(min_length = 1, max_length = 128, example = "L-1001")]
    member_ref: String,
    #[schema(minimum = 1, maximum = 9007199254740991_i64, example = 5)]
    points: i64,
    #[schema(min_length = 1, max_length = 128, example = "spent in the shop")]
    reason: String,
    #[schema(min_length = 1, max_length = 128, example = "till-7-89")]
    external_reference: String,
}

/// Takes back part of a credit, or gives back part of a debit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MovementReversal {
    #[schema(minimum = 1, maximum = 9007199254740991_i64, example = 5)]
    points: i64,
    #[schema(min_length = 1, max_length = 128, example = "goods returned")]
    reason: String,
    #[schema(min_length = 1, max_length = 128, example = "return-501")]
    external_reference: String,
}

/// What one item made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MovementMade)]
pub struct Made<'a> {
    #[schema(example = 201)]
    status: u16,
    /// Present and true when this is the first answer again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    movement: MovementAnswer<'a>,
}

impl From<Kind> for CreditKind {
    fn from(kind: Kind) -> CreditKind {
        match kind {
            Kind::Earn => CreditKind::Earn,
            Kind::Extra => CreditKind::Extra,
            Kind::Opening => CreditKind::Opening,
            Kind::Adjust => CreditKind::Adjust,
        }
    }
}

impl CreditRequest {
    fn read(self, fields: &mut Fields, member_ref: Option<Text>) -> Option<Wanted> {
        let days = (self.expires_on.as_deref(), self.available_on.as_deref());
        let days = fields.expiry("expires_on", days.0).zip(fields.maybe_day("available_on", days.1));
        let common = common(fields, member_ref, (self.points, self.reason, self.external_reference));
        let (expires, available_on) = days?;
        let of = Of::Credit { kind: self.kind.unwrap_or_default().into(), expires, available_on };
        Some(Wanted { of, ..common? })
    }
}

/// What credits and debits have in common; as a debit.
fn common(fields: &mut Fields, member_ref: Option<Text>, raw: (i64, String, String)) -> Option<Wanted> {
    let points = fields.points("points", raw.0);
    let (reason, reference) = (fields.text("reason", raw.1), fields.text("external_reference", raw.2));
    Some(Wanted { member_ref: member_ref?, points: points?, reason: reason?, reference: reference?, of: Of::Debit })
}

impl CreditItem {
    fn check(self, index: usize) -> Result<Item<Wanted>, Error> {
        let mut fields = Fields::of_item(index);
        let key = fields.key(self.idempotency_key);
        let member_ref = fields.text("member_ref", self.member_ref);
        let request = CreditRequest {
            points: self.points,
            kind: self.kind,
            reason: self.reason,
            external_reference: self.external_reference,
            expires_on: self.expires_on,
            available_on: self.available_on,
        };
        let wanted = request.read(&mut fields, member_ref);
        fields.finish(key.zip(wanted).map(|(key, wanted)| Item { key, wanted }))
    }
}

impl DebitItem {
    fn check(self, index: usize) -> Result<Item<Wanted>, Error> {
        let mut fields = Fields::of_item(index);
        let key = fields.key(self.idempotency_key);
        let member_ref = fields.text("member_ref", self.member_ref);
        let wanted = common(&mut fields, member_ref, (self.points, self.reason, self.external_reference));
        fields.finish(key.zip(wanted).map(|(key, wanted)| Item { key, wanted }))
    }
}

/// Issues points to a member.
#[utoipa::path(
    post, path = "/v1/memberships/{member_ref}/credits", tag = "points", request_body = CreditRequest,
    params(
        ("member_ref" = String, Path, min_length = 1, max_length = 128, example = "L-1001"),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    responses((status = 201, description = "Posted", body = MovementAnswer))
)]
pub async fn credit(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    key: IdempotencyKey,
    member_ref: Path<String>,
    body: StrictJson<CreditRequest>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::default();
    let wanted = body.0.read(&mut fields, Some(named(member_ref.into_inner())?));
    let wanted = fields.finish(wanted)?;
    post(&exchange, Call { caller: caller.partner()?, request_id: request.0, key: key.as_str() }, wanted).await
}

/// Spends or takes points of a member.
#[utoipa::path(
    post, path = "/v1/memberships/{member_ref}/debits", tag = "points", request_body = DebitRequest,
    params(
        ("member_ref" = String, Path, min_length = 1, max_length = 128, example = "L-1001"),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    responses((status = 201, description = "Posted", body = MovementAnswer))
)]
pub async fn debit(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    key: IdempotencyKey,
    member_ref: Path<String>,
    body: StrictJson<DebitRequest>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::default();
    let DebitRequest { points, reason, external_reference } = body.0;
    let member_ref = named(member_ref.into_inner())?;
    let wanted = common(&mut fields, Some(member_ref), (points, reason, external_reference));
    let wanted = fields.finish(wanted)?;
    post(&exchange, Call { caller: caller.partner()?, request_id: request.0, key: key.as_str() }, wanted).await
}

async fn post(exchange: &Exchange, call: Call<'_>, wanted: Wanted) -> Result<HttpResponse, Problem> {
    let done = movements::post(exchange, call, wanted).await?;
    reply::first_or_again(StatusCode::CREATED, &answer::movement(&done.row), done.replayed)
}

/// Issues points to up to 1,000 members, each by itself.
#[utoipa::path(
    post, path = "/v1/credits/batch", tag = "points", request_body = CreditBatch,
    responses((status = 200, description = "One outcome per item, in order", body = Outcomes<Outcome<Made>>))
)]
pub async fn credit_batch(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    body: StrictJson<CreditBatch>,
) -> Result<HttpResponse, Problem> {
    super::bounded(body.0.items.len(), BATCH_MAX)?;
    let items = body.0.items.into_iter().enumerate().map(|(index, item)| item.check(index)).collect();
    post_all(&exchange, &caller, request, items).await
}

/// Takes points of up to 1,000 members, each by itself.
#[utoipa::path(
    post, path = "/v1/debits/batch", tag = "points", request_body = DebitBatch,
    responses((status = 200, description = "One outcome per item, in order", body = Outcomes<Outcome<Made>>))
)]
pub async fn debit_batch(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    body: StrictJson<DebitBatch>,
) -> Result<HttpResponse, Problem> {
    super::bounded(body.0.items.len(), BATCH_MAX)?;
    let items = body.0.items.into_iter().enumerate().map(|(index, item)| item.check(index)).collect();
    post_all(&exchange, &caller, request, items).await
}

async fn post_all(
    exchange: &Exchange,
    caller: &Caller,
    request: RequestId,
    items: Vec<Result<Item<Wanted>, Error>>,
) -> Result<HttpResponse, Problem> {
    let outcomes = movements::post_all(exchange, caller.partner()?, request.0, items).await;
    let outcomes: Vec<_> = outcomes.into_iter().map(|outcome| outcome.map_err(Problem::from)).collect();
    let items = outcomes.iter().map(|outcome| item_outcome(outcome, request));
    reply::json(StatusCode::OK, &Outcomes::new(items))
}

fn item_outcome(outcome: &Result<Done<Arc<MovementRow>>, Problem>, request: RequestId) -> Outcome<Made<'_>> {
    match outcome {
        Ok(done) => {
            let movement = answer::movement(&done.row);
            Outcome::Made(Made { status: StatusCode::CREATED.as_u16(), replayed: done.replayed, movement })
        }
        Err(problem) => Outcome::refused(problem, request.0),
    }
}

/// Takes back (part of) a credit; what the member no longer has becomes owed points.
#[utoipa::path(
    post, path = "/v1/credits/{id}/reversals", tag = "points", request_body = MovementReversal,
    params(
        ("id" = String, Path, pattern = "^mov_[0-9a-f]{32}$"),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    responses((status = 201, description = "Posted", body = MovementAnswer))
)]
pub async fn reverse_credit(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    key: IdempotencyKey,
    id: Path<String>,
    body: StrictJson<MovementReversal>,
) -> Result<HttpResponse, Problem> {
    let (reverse, reference) = read_reversal(&id, MovementSide::Credit, body.0)?;
    let call = Call { caller: caller.partner()?, request_id: request.0, key: key.as_str() };
    let done = movements::reverse(&exchange, call, reverse, reference).await?;
    reply::first_or_again(StatusCode::CREATED, &answer::movement(&done.row), done.replayed)
}

/// Gives back (part of) a debit.
#[utoipa::path(
    post, path = "/v1/debits/{id}/reversals", tag = "points", request_body = MovementReversal,
    params(
        ("id" = String, Path, pattern = "^mov_[0-9a-f]{32}$"),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    responses((status = 201, description = "Posted", body = MovementAnswer))
)]
pub async fn reverse_debit(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    key: IdempotencyKey,
    id: Path<String>,
    body: StrictJson<MovementReversal>,
) -> Result<HttpResponse, Problem> {
    let (reverse, reference) = read_reversal(&id, MovementSide::Debit, body.0)?;
    let call = Call { caller: caller.partner()?, request_id: request.0, key: key.as_str() };
    let done = movements::reverse(&exchange, call, reverse, reference).await?;
    reply::first_or_again(StatusCode::CREATED, &answer::movement(&done.row), done.replayed)
}

fn read_reversal(id: &str, of: MovementSide, raw: MovementReversal) -> Result<(ReverseMovement, Text), Problem> {
    let movement: MovementId = query::id(id)?;
    let mut fields = Fields::default();
    let points = fields.points("points", raw.points);
    let texts = fields.text("reason", raw.reason).zip(fields.text("external_reference", raw.external_reference));
    let (points, (reason, reference)) = fields.finish(points.zip(texts))?;
    Ok((ReverseMovement { movement, of, points, reason: reason.into_string() }, reference))
}
