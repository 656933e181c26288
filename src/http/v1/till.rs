//! `/v1/vouchers/…` and `/v1/passes` at the till: a voucher is taken once, a mistake taken back, a member recognised.

use super::fields::{Fields, named};
use super::reply;
use crate::domain::ids::{TokenId, UseId};
use crate::domain::text::Text;
use crate::http::problem::Problem;
use crate::http::{Caller, IdempotencyKey, NoBody, RequestId, StrictJson, query};
use crate::service::answer::Shown;
use crate::service::benefits::answer::RedemptionAnswer;
use crate::service::benefits::passes::{self, Shared};
use crate::service::benefits::till::{self, Shown as ShownVoucher};
use crate::service::exchange::{Call, Exchange};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(paths(redeem, reverse, make_pass, pass))]
pub struct Document;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRedemption, example = json!({ "store": "Bund", "till": "3", "external_reference": "till-3-5521" }))]
pub struct RedeemRequest {
    /// The bill, for a coupon: a decimal.
    #[schema(pattern = "^[0-9]{1,12}(\\.[0-9]{1,6})?$", example = "328.00")]
    amount: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    store: String,
    #[schema(min_length = 1, max_length = 128)]
    till: Option<String>,
    /// The bill's number: vouchers that do not stack are one a bill.
    #[schema(min_length = 1, max_length = 128)]
    receipt: Option<String>,
    /// The till's own name for this redemption.
    #[schema(min_length = 1, max_length = 128)]
    external_reference: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RedemptionReversal, example = json!({ "reason": "the wrong voucher was taken" }))]
pub struct ReverseRequest {
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    #[schema(min_length = 1, max_length = 128)]
    external_reference: Option<String>,
}

/// A pass as a brand's app shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pass)]
pub struct PassAnswer {
    #[schema(example = "7Q2K-M0XR-4D9V-81BT")]
    code: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: DateTime<Utc>,
}

/// Whoever shows a pass, as a till may know it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Recognised)]
pub struct RecognisedAnswer {
    #[schema(example = "lumen")]
    brand: String,
    tier: String,
    /// The tier of the till's own ladder that it recognises in the earned one.
    #[serde(skip_serializing_if = "Option::is_none")]
    recognised_tier: Option<String>,
    /// By which the till's brand knows the member, if they are linked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^tok_[0-9a-f]{32}$")]
    token: Option<Shown<TokenId>>,
    shared: SharedAnswer,
}

/// What the member has consented to tell; nothing else is here.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SharedWithTill)]
pub struct SharedAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    birth_month: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    member_since: Option<NaiveDate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
}

impl From<Shared> for SharedAnswer {
    fn from(shared: Shared) -> SharedAnswer {
        let Shared { identity, birth_month, member_since, tags } = shared;
        SharedAnswer { identity, birth_month, member_since, tags }
    }
}

/// Takes a voucher by the code that is shown: once, by its giver alone.
#[utoipa::path(
    post, path = "/v1/vouchers/{code}/redemptions", tag = "till", request_body = RedeemRequest,
    params(("code" = String, Path, min_length = 1, max_length = 128),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses((status = 201, description = "Redeemed", body = RedemptionAnswer))
)]
pub async fn redeem(
    exchange: Data<Exchange>,
    caller: Caller,
    request_id: RequestId,
    key: IdempotencyKey,
    code: Path<String>,
    body: StrictJson<RedeemRequest>,
) -> Result<HttpResponse, Problem> {
    let call = Call { caller: caller.partner()?, request_id: request_id.0, key: key.as_str() };
    let mut fields = Fields::default();
    let shown = read(&mut fields, code.into_inner(), body.0);
    let shown = fields.finish(shown)?;
    let done = till::redeem(&exchange, call, shown).await?;
    reply::first_or_again(StatusCode::CREATED, &RedemptionAnswer::used(&done.row, &caller.kind), done.replayed)
}

fn read(fields: &mut Fields, code: String, body: RedeemRequest) -> Option<ShownVoucher> {
    let bill = fields.maybe_money("amount", body.amount.as_deref());
    if bill.flatten().is_some() && body.amount.as_deref().is_some_and(|raw| raw.starts_with('-')) {
        fields.fault("amount", "must not be negative");
    }
    let store = fields.text("store", body.store);
    let till = fields.maybe_text("till", body.till);
    let receipt = fields.maybe_text("receipt", body.receipt);
    let reference = fields.text("external_reference", body.external_reference);
    Some(ShownVoucher { code, bill: bill?, store: store?, till: till?, receipt: receipt?, reference: reference? })
}

/// Takes back what a till did by mistake, for thirty days: nothing is settled for it, and the voucher has its use again
/// unless its last day is past.
#[utoipa::path(
    post, path = "/v1/redemptions/{id}/reversals", tag = "till", request_body = ReverseRequest,
    params(("id" = String, Path, pattern = "^use_[0-9a-f]{32}$"),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses((status = 201, description = "Taken back", body = RedemptionAnswer))
)]
pub async fn reverse(
    exchange: Data<Exchange>,
    caller: Caller,
    request_id: RequestId,
    key: IdempotencyKey,
    id: Path<String>,
    body: StrictJson<ReverseRequest>,
) -> Result<HttpResponse, Problem> {
    let call = Call { caller: caller.partner()?, request_id: request_id.0, key: key.as_str() };
    let mut fields = Fields::default();
    let reason = fields.note("reason", body.0.reason);
    let reference = fields.maybe_text("external_reference", body.0.external_reference);
    let (reason, reference): (String, Option<Text>) = fields.finish(reason.zip(reference))?;
    let done = till::reverse(&exchange, call, query::id::<UseId>(&id)?, reason, reference).await?;
    reply::first_or_again(StatusCode::CREATED, &RedemptionAnswer::used(&done.row, &caller.kind), done.replayed)
}

/// A pass of the caller's member, whose membership is active, good for two minutes at any till of the alliance.
#[utoipa::path(
    post, path = "/v1/memberships/{member_ref}/passes", tag = "till",
    params(("member_ref" = String, Path, min_length = 1, max_length = 128)),
    responses((status = 201, description = "To be shown", body = PassAnswer))
)]
pub async fn make_pass(
    exchange: Data<Exchange>,
    caller: Caller,
    request_id: RequestId,
    member_ref: Path<String>,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let pass = passes::make(&exchange, caller.partner()?, request_id.0, named(member_ref.into_inner())?).await?;
    reply::json(StatusCode::CREATED, &PassAnswer { code: pass.code.to_string(), expires_at: pass.expires_at })
}

/// Whom a till has before it: the tier, and what the member has consented to tell the till's brand.
#[utoipa::path(
    get, path = "/v1/passes/{code}", tag = "till", params(("code" = String, Path, min_length = 1, max_length = 32)),
    responses((status = 200, description = "Recognised", body = RecognisedAnswer))
)]
pub async fn pass(exchange: Data<Exchange>, caller: Caller, code: Path<String>) -> Result<HttpResponse, Problem> {
    let found = passes::look(&exchange, caller.partner()?, &code).await?;
    let answer = RecognisedAnswer {
        brand: found.brand.to_string(),
        tier: found.tier,
        recognised_tier: found.recognised,
        token: found.token.map(Shown),
        shared: found.shared.into(),
    };
    reply::json(StatusCode::OK, &answer)
}
