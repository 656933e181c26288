//! `/v1/conversions`: converting points, one or many, undoing and reversing, finding again.

use super::fields::{Fields, NOT_A_TEXT};
use super::reply::{self, Outcome, Outcomes};
use super::wanted::{ConversionItem, ConversionRequest};
use crate::domain::ids::{ConversionId, ReversalId};
use crate::domain::text::Text;
use crate::http::{Caller, IdempotencyKey, List, NoBody, Problem, RequestId, StrictJson, StrictQuery, query};
use crate::service::answer::{
    self, ConversionAnswer, ConversionState, ConvertedAnswer, PendingAnswer, ReversalAnswer, Side,
};
use crate::service::command::{ReversalState, Reverse};
use crate::service::conversions::{self, BATCH_MAX, Converted, Found, Stands, Wanted};
use crate::service::exchange::{Call, Done, Error, Exchange, Item};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(paths(create, create_batch, get, find, undo, reverse, confirm))]
pub struct Document;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "items": [{ "idempotency_key": "batch-7-item-1", "member_ref": "L-1001", "to": "harvest", "points": 20 }] }))]
pub struct ConversionBatch {
    #[schema(min_items = 1, max_items = 1000)]
    items: Vec<ConversionItem>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReversalRequest {
    /// Base credit to take back: an exact multiple of what one step gives.
    #[schema(minimum = 1, maximum = 9007199254740991_i64, example = 10)]
    credit_points: i64,
    #[schema(min_length = 1, max_length = 128, example = "goods returned")]
    reason: String,
    #[schema(min_length = 1, max_length = 128, example = "return-12")]
    external_reference: String,
}

/// Exactly one of the two.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConversionSearch {
    /// The caller's own reference.
    #[param(min_length = 1, max_length = 128)]
    external_reference: Option<String>,
    /// What the member sees; any case, with or without hyphens.
    #[param(min_length = 1, max_length = 128, example = "955V-792C-M976")]
    confirmation: Option<String>,
}

/// What one item made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConversionMade)]
pub struct Made<'a> {
    #[schema(example = 201)]
    status: u16,
    /// Present and true when this is the first answer again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    conversion: ConvertedAnswer<'a>,
}

/// Converts points, by a quote or at once.
#[utoipa::path(
    post, path = "/v1/conversions", tag = "conversions", request_body = ConversionRequest,
    params(("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses(
        (status = 201, description = "Completed", body = ConversionAnswer),
        (status = 202, description = "On its way between two ledgers", body = PendingAnswer),
    )
)]
pub async fn create(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    key: IdempotencyKey,
    body: StrictJson<ConversionRequest>,
) -> Result<HttpResponse, Problem> {
    let wanted = body.0.check(Fields::default())?;
    let call = Call { caller: caller.partner()?, request_id: request.0, key: key.as_str() };
    let done = conversions::convert(&exchange, call, wanted).await?;
    let catalogue = exchange.catalogue.load();
    let (status, body) = converted(&done.row, &catalogue.alliance.currency);
    reply::first_or_again(status, &body, done.replayed)
}

/// Converts up to 1,000, each by itself.
#[utoipa::path(
    post, path = "/v1/conversions/batch", tag = "conversions", request_body = ConversionBatch,
    responses(
        (status = 200, description = "One outcome per item, in order", body = Outcomes<Outcome<Made>>),
    )
)]
pub async fn create_batch(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    body: StrictJson<ConversionBatch>,
) -> Result<HttpResponse, Problem> {
    super::bounded(body.0.items.len(), BATCH_MAX)?;
    let items = body.0.items.into_iter().enumerate().map(|(index, item)| check_item(index, item)).collect();
    let outcomes = conversions::convert_all(&exchange, caller.partner()?, request.0, items).await;
    let outcomes: Vec<_> = outcomes.into_iter().map(|outcome| outcome.map_err(Problem::from)).collect();
    let catalogue = exchange.catalogue.load();
    let item = |outcome| item_outcome(outcome, request, &catalogue.alliance.currency);
    reply::json(StatusCode::OK, &Outcomes::new(outcomes.iter().map(item)))
}

fn check_item(index: usize, item: ConversionItem) -> Result<Item<Wanted>, Error> {
    let mut fields = Fields::of_item(index);
    let (key, request) = item.split();
    let key = fields.key(key);
    let wanted = request.read(&mut fields);
    fields.finish(key.zip(wanted).map(|(key, wanted)| Item { key, wanted }))
}

fn item_outcome<'a>(
    outcome: &'a Result<Done<Converted>, Problem>,
    request: RequestId,
    currency: &'a str,
) -> Outcome<Made<'a>> {
    match outcome {
        Ok(done) => {
            let (status, conversion) = converted(&done.row, currency);
            Outcome::Made(Made { status: status.as_u16(), replayed: done.replayed, conversion })
        }
        Err(problem) => Outcome::refused(problem, request.0),
    }
}

/// As its asker is answered.
fn converted<'a>(row: &'a Converted, currency: &'a str) -> (StatusCode, ConvertedAnswer<'a>) {
    match row {
        Converted::Completed(row) => {
            let body = answer::conversion(row, answer::asker(row), currency);
            (StatusCode::CREATED, ConvertedAnswer::Completed(body))
        }
        Converted::Pending(row) => {
            let side = if row.pulled { Side::To } else { Side::From };
            (StatusCode::ACCEPTED, ConvertedAnswer::Pending(answer::pending(row, side, currency)))
        }
    }
}

/// One conversion as it stands today.
#[utoipa::path(
    get, path = "/v1/conversions/{id}", tag = "conversions",
    params(("id" = String, Path, pattern = "^cnv_[0-9a-f]{32}$")),
    responses(
        (status = 200, description = "As it stands today", body = Today),
    )
)]
pub async fn get(exchange: Data<Exchange>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let id: ConversionId = query::id(&id)?;
    let found = conversions::get(&exchange, &caller.kind, id).await?;
    let currency = exchange.currency();
    reply::json(StatusCode::OK, &today(&found, &currency))
}

/// Posted, with what was taken back of it; or on its way, or ended without one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConversionToday)]
#[serde(untagged)]
pub enum Today<'a> {
    Posted(Box<ConversionState<'a>>),
    Crossing(Box<PendingAnswer<'a>>),
}

fn today<'a>(found: &'a Found, currency: &'a str) -> Today<'a> {
    match &found.stands {
        Stands::Posted { row, reversals, crossing } => {
            let state = answer::conversion_state(row, crossing.as_deref(), reversals, found.side, currency);
            Today::Posted(Box::new(state))
        }
        Stands::Crossing(row) => Today::Crossing(Box::new(answer::pending_state(row, found.side, currency))),
    }
}

/// Finds conversions by the caller's reference or by the number the member sees.
#[utoipa::path(
    get, path = "/v1/conversions", tag = "conversions", params(ConversionSearch),
    responses(
        (status = 200, description = "At most one", body = List<Today>),
    )
)]
pub async fn find(
    exchange: Data<Exchange>,
    caller: Caller,
    search: StrictQuery<ConversionSearch>,
) -> Result<HttpResponse, Problem> {
    let text = |name: &str, raw: String| Text::new(raw).map_err(|_| Problem::field(format!("?{name}"), NOT_A_TEXT));
    let found = match (search.0.external_reference, search.0.confirmation) {
        (Some(raw), None) => {
            conversions::find_by_reference(&exchange, &caller.kind, text("external_reference", raw)?).await?
        }
        (None, Some(raw)) => {
            conversions::find_by_confirmation(&exchange, &caller.kind, text("confirmation", raw)?.as_str()).await?
        }
        _ => return Err(Problem::field("?external_reference", "is required, or confirmation, not both")),
    };
    let currency = exchange.currency();
    reply::json(
        StatusCode::OK,
        &List { items: found.iter().map(|one| today(one, &currency)).collect(), next_cursor: None },
    )
}

/// What is on its way between two ledgers is accepted, no more.
fn taken_back(done: StatusCode, state: ReversalState) -> StatusCode {
    if state == ReversalState::Pending { StatusCode::ACCEPTED } else { done }
}

/// Undoes a conversion whole, within its time.
#[utoipa::path(
    post, path = "/v1/conversions/{id}/undo", tag = "conversions",
    params(
        ("id" = String, Path, pattern = "^cnv_[0-9a-f]{32}$"),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    responses(
        (status = 200, description = "Undone", body = ReversalAnswer),
        (status = 202, description = "On its way between two ledgers", body = ReversalAnswer),
    )
)]
pub async fn undo(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    key: IdempotencyKey,
    id: Path<String>,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let id: ConversionId = query::id(&id)?;
    let call = Call { caller: caller.partner()?, request_id: request.0, key: key.as_str() };
    let done = conversions::undo(&exchange, call, id).await?;
    let catalogue = exchange.catalogue.load();
    let body = answer::reversal(&done.row, call.caller, &catalogue.alliance.currency);
    reply::first_or_again(taken_back(StatusCode::OK, done.row.state), &body, done.replayed)
}

/// Reverses base credit of a conversion, or asks the other brand to let it be reversed.
#[utoipa::path(
    post, path = "/v1/conversions/{id}/reversals", tag = "conversions", request_body = ReversalRequest,
    params(
        ("id" = String, Path, pattern = "^cnv_[0-9a-f]{32}$"),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    responses(
        (status = 201, description = "Completed, or requested when the other brand must confirm", body = ReversalAnswer),
        (status = 202, description = "On its way between two ledgers", body = ReversalAnswer),
    )
)]
pub async fn reverse(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    key: IdempotencyKey,
    id: Path<String>,
    body: StrictJson<ReversalRequest>,
) -> Result<HttpResponse, Problem> {
    let conversion: ConversionId = query::id(&id)?;
    let mut fields = Fields::default();
    let points = fields.points("credit_points", body.0.credit_points);
    let texts = fields.text("reason", body.0.reason).zip(fields.text("external_reference", body.0.external_reference));
    let (credit_points, (reason, reference)) = fields.finish(points.zip(texts))?;
    let call = Call { caller: caller.partner()?, request_id: request.0, key: key.as_str() };
    let asked = Reverse { conversion, credit_points, reason: reason.into_string() };
    let done = conversions::reverse(&exchange, call, asked, reference).await?;
    let catalogue = exchange.catalogue.load();
    let body = answer::reversal(&done.row, call.caller, &catalogue.alliance.currency);
    reply::first_or_again(taken_back(StatusCode::CREATED, done.row.state), &body, done.replayed)
}

/// The other brand's yes to a reversal.
#[utoipa::path(
    post, path = "/v1/reversals/{id}/confirmation", tag = "conversions",
    params(
        ("id" = String, Path, pattern = "^rev_[0-9a-f]{32}$"),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    responses(
        (status = 200, description = "Reversed", body = ReversalAnswer),
        (status = 202, description = "On its way between two ledgers", body = ReversalAnswer),
    )
)]
pub async fn confirm(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    key: IdempotencyKey,
    id: Path<String>,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let id: ReversalId = query::id(&id)?;
    let call = Call { caller: caller.partner()?, request_id: request.0, key: key.as_str() };
    let done = conversions::confirm(&exchange, call, id).await?;
    let catalogue = exchange.catalogue.load();
    let body = answer::reversal(&done.row, call.caller, &catalogue.alliance.currency);
    reply::first_or_again(taken_back(StatusCode::OK, done.row.state), &body, done.replayed)
}
