//! `/v1/benefits`: what partners offer to members, who has approved to pay for it, its codes, and claims of it.

use super::fields::{Fields, named};
use super::reply;
use crate::domain::ids::{BenefitId, Slug, VoucherId};
use crate::http::problem::Problem;
use crate::http::{Caller, IdempotencyKey, List, NoBody, Page, RequestId, StrictJson, StrictQuery, query};
use crate::service::benefits::answer::{BenefitAnswer, VoucherAnswer};
use crate::service::benefits::claims::{self, Wanted};
use crate::service::benefits::{BenefitJson, Vouchers, offers};
use crate::service::exchange::{Call, Exchange};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(paths(
    list, put, get, approve, withdraw, add_codes, pool, recognise, claim, of_member, confirm, cancel, voucher
))]
pub struct Document;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BenefitSearch {
    /// Only what this partner gives.
    #[param(pattern = "^[a-z][a-z0-9-]{1,31}$")]
    giver: Option<String>,
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BenefitApprovalRequest, example = json!({ "version": 1 }))]
pub struct ApproveRequest {
    /// The version that was read.
    #[schema(minimum = 1, maximum = 9007199254740991_i64)]
    version: i64,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCodes, example = json!({ "codes": ["CINE-8812", "CINE-8813"] }))]
pub struct CodesRequest {
    #[schema(min_items = 1, max_items = 10000)]
    codes: Vec<String>,
}

/// A pool of codes in numbers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CodePool)]
pub struct PoolAnswer {
    /// New in this upload; absent in a GET.
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<usize>,
    total: i64,
    issued: i64,
    available: i64,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TierMap, example = json!({ "tiers": { "gold": "l2", "diamond": "l3" } }))]
pub struct RecogniseRequest {
    /// From that brand's tiers to the caller's own.
    tiers: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TierMapAnswer)]
pub struct RecogniseAnswer {
    #[schema(example = "lumen")]
    brand: String,
    tiers: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewClaim, example = json!({ "member_ref": "L-1001", "external_reference": "claim-1" }))]
pub struct ClaimRequest {
    #[schema(min_length = 1, max_length = 128, example = "L-1001")]
    member_ref: String,
    /// The version that was read: the claim is for no other terms.
    #[schema(minimum = 1, maximum = 9007199254740991_i64)]
    version: Option<i64>,
    /// Keep a place for ten minutes: confirmed in time and on that day, it becomes a voucher.
    reserve: Option<bool>,
    #[schema(min_length = 1, max_length = 128)]
    external_reference: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VoucherSearch {
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VoucherCancellation, example = json!({ "reason": "the member has changed its mind" }))]
pub struct CancelRequest {
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Benefits the caller gives, and those offered to its members; an operator is shown all.
#[utoipa::path(
    get, path = "/v1/benefits", tag = "benefits", params(BenefitSearch),
    responses((status = 200, description = "By giver and code", body = List<BenefitAnswer>))
)]
pub async fn list(
    exchange: Data<Exchange>,
    caller: Caller,
    search: StrictQuery<BenefitSearch>,
) -> Result<HttpResponse, Problem> {
    let page = Page::new(search.0.limit, search.0.cursor.as_deref())?;
    let not_a_slug = || Problem::field("?giver", "must be a partner's slug");
    let giver: Option<Slug> = search.0.giver.map(|slug| slug.parse().map_err(|_| not_a_slug())).transpose()?;
    let after = page.after()?.map(|place: String| place_of(&place)).transpose()?;
    let found = offers::list(&exchange, &caller.kind, giver, after, page.limit + 1).await?;
    let items = found.into_iter().map(|row| BenefitAnswer::new(row, &caller.kind)).collect();
    reply::json(
        StatusCode::OK,
        &List::new(items, &page, |item: &BenefitAnswer| format!("{}.{}", item.giver, item.code)),
    )
}

/// Giver and code of the one a page ended with.
fn place_of(text: &str) -> Result<(String, String), Problem> {
    let (giver, code) = text.split_once('.').unwrap_or_default();
    let place = offers::is_place(giver, code).then(|| (giver.to_owned(), code.to_owned()));
    place.ok_or_else(|| Problem::field("?cursor", "is not a cursor of this list"))
}

/// Puts a benefit of the caller's under its own code: in force at once, for vouchers claimed from then on. What somebody
/// else pays for can be claimed once that payer has approved it.
#[utoipa::path(
    put, path = "/v1/benefits/{id}", tag = "benefits", request_body = BenefitJson,
    params(("id" = String, Path, pattern = "^[a-z0-9][a-z0-9-]{0,62}$", description = "The caller's own code")),
    responses((status = 200, description = "As it stands now", body = BenefitAnswer))
)]
pub async fn put(
    exchange: Data<Exchange>,
    caller: Caller,
    code: Path<String>,
    body: StrictJson<BenefitJson>,
) -> Result<HttpResponse, Problem> {
    let giver = caller.partner()?.clone();
    let row = offers::put(&exchange, &giver, code.into_inner(), body.0, caller.x5t.to_string()).await?;
    reply::json(StatusCode::OK, &BenefitAnswer::new(row, &caller.kind))
}

/// One benefit as it stands.
#[utoipa::path(
    get, path = "/v1/benefits/{id}", tag = "benefits", params(("id" = String, Path, pattern = "^bnf_[0-9a-f]{32}$")),
    responses((status = 200, description = "As it stands", body = BenefitAnswer))
)]
pub async fn get(exchange: Data<Exchange>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let row = offers::get(&exchange, &caller.kind, query::id::<BenefitId>(&id)?).await?;
    reply::json(StatusCode::OK, &BenefitAnswer::new(row, &caller.kind))
}

/// The caller will pay for this benefit as it stands.
#[utoipa::path(
    post, path = "/v1/benefits/{id}/approvals", tag = "benefits", request_body = ApproveRequest,
    params(("id" = String, Path, pattern = "^bnf_[0-9a-f]{32}$")),
    responses((status = 200, description = "Approved", body = BenefitAnswer))
)]
pub async fn approve(
    exchange: Data<Exchange>,
    caller: Caller,
    id: Path<String>,
    body: StrictJson<ApproveRequest>,
) -> Result<HttpResponse, Problem> {
    let id = query::id::<BenefitId>(&id)?;
    let row = offers::approve(&exchange, &caller.kind, id, body.0.version, caller.x5t.to_string()).await?;
    reply::json(StatusCode::OK, &BenefitAnswer::new(row, &caller.kind))
}

/// The caller no longer pays for this benefit: nobody claims it from then on, and vouchers that were claimed stay. Said again,
/// it is the same.
#[utoipa::path(
    delete, path = "/v1/benefits/{id}/approvals", tag = "benefits",
    params(("id" = String, Path, pattern = "^bnf_[0-9a-f]{32}$")),
    responses((status = 200, description = "Not approved", body = BenefitAnswer))
)]
pub async fn withdraw(
    exchange: Data<Exchange>,
    caller: Caller,
    id: Path<String>,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let (id, by) = (query::id::<BenefitId>(&id)?, caller.x5t.to_string());
    let row = offers::withdraw_and(&exchange, &caller.kind, id, by, |_, _| Ok(())).await?;
    reply::json(StatusCode::OK, &BenefitAnswer::new(row, &caller.kind))
}

/// Adds codes of the giver's own to a benefit whose codes are a pool; known ones are passed over.
#[utoipa::path(
    post, path = "/v1/benefits/{id}/codes", tag = "benefits", request_body = CodesRequest,
    params(("id" = String, Path, pattern = "^bnf_[0-9a-f]{32}$")),
    responses((status = 200, description = "The pool now", body = PoolAnswer))
)]
pub async fn add_codes(
    exchange: Data<Exchange>,
    vouchers: Data<Vouchers>,
    caller: Caller,
    id: Path<String>,
    body: StrictJson<CodesRequest>,
) -> Result<HttpResponse, Problem> {
    let giver = caller.partner()?.clone();
    let id = query::id::<BenefitId>(&id)?;
    let (added, pool) = offers::add_codes(&exchange, &vouchers, &giver, id, body.0.codes).await?;
    let (total, issued, available) = (pool.total, pool.issued, pool.available);
    reply::json(StatusCode::OK, &PoolAnswer { added: Some(added), total, issued, available })
}

/// The pool of the giver's own benefit in numbers.
#[utoipa::path(
    get, path = "/v1/benefits/{id}/codes", tag = "benefits", params(("id" = String, Path, pattern = "^bnf_[0-9a-f]{32}$")),
    responses((status = 200, description = "The pool", body = PoolAnswer))
)]
pub async fn pool(exchange: Data<Exchange>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let giver = caller.partner()?.clone();
    let pool = offers::pool(&exchange, &giver, query::id::<BenefitId>(&id)?).await?;
    let (total, issued, available) = (pool.total, pool.issued, pool.available);
    reply::json(StatusCode::OK, &PoolAnswer { added: None, total, issued, available })
}

/// Which tier of its own ladder the caller sees in each earned tier of another brand; granted and trial tiers lead nowhere.
/// Who pays for an offer on that ladder is asked for a new yes where other tiers lead to it then.
#[utoipa::path(
    put, path = "/v1/tier-maps/{brand}", tag = "benefits", request_body = RecogniseRequest,
    params(("brand" = String, Path, pattern = "^[a-z][a-z0-9-]{1,31}$")),
    responses((status = 200, description = "From now on", body = RecogniseAnswer))
)]
pub async fn recognise(
    exchange: Data<Exchange>,
    caller: Caller,
    brand: Path<String>,
    body: StrictJson<RecogniseRequest>,
) -> Result<HttpResponse, Problem> {
    let giver = caller.partner()?.clone();
    let brand = query::id::<Slug>(&brand)?;
    let by = caller.x5t.to_string();
    let tiers = offers::recognise(&exchange, &giver, brand.clone(), body.0.tiers, by).await?;
    reply::json(StatusCode::OK, &RecogniseAnswer { brand: brand.to_string(), tiers })
}

/// A member of the caller's takes a benefit: a voucher, or a reservation of one.
#[utoipa::path(
    post, path = "/v1/benefits/{id}/claims", tag = "benefits", request_body = ClaimRequest,
    params(("id" = String, Path, pattern = "^bnf_[0-9a-f]{32}$"),
        ("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses(
        (status = 201, description = "Issued", body = VoucherAnswer),
        (status = 202, description = "Reserved: confirm it in time", body = VoucherAnswer),
    )
)]
pub async fn claim(
    exchange: Data<Exchange>,
    vouchers: Data<Vouchers>,
    caller: Caller,
    request_id: RequestId,
    key: IdempotencyKey,
    id: Path<String>,
    body: StrictJson<ClaimRequest>,
) -> Result<HttpResponse, Problem> {
    let call = Call { caller: caller.partner()?, request_id: request_id.0, key: key.as_str() };
    let mut fields = Fields::default();
    let member_ref = fields.text("member_ref", body.0.member_ref);
    let reference = fields.maybe_text("external_reference", body.0.external_reference);
    let (member_ref, reference) = fields.finish(member_ref.zip(reference))?;
    let (benefit, reserve) = (query::id::<BenefitId>(&id)?, body.0.reserve.unwrap_or(false));
    let wanted = Wanted { member_ref, benefit, version: body.0.version, reserve, reference };
    let done = claims::claim(&exchange, &vouchers, call, wanted).await?;
    let status = if done.row.code.is_some() { StatusCode::CREATED } else { StatusCode::ACCEPTED };
    reply::first_or_again(status, &VoucherAnswer::held(&done.row, &caller.kind), done.replayed)
}

/// A member's vouchers, newest first.
#[utoipa::path(
    get, path = "/v1/memberships/{member_ref}/vouchers", tag = "benefits",
    params(("member_ref" = String, Path, min_length = 1, max_length = 128), VoucherSearch),
    responses((status = 200, description = "Vouchers", body = List<VoucherAnswer>))
)]
pub async fn of_member(
    exchange: Data<Exchange>,
    vouchers: Data<Vouchers>,
    caller: Caller,
    member_ref: Path<String>,
    search: StrictQuery<VoucherSearch>,
) -> Result<HttpResponse, Problem> {
    let page = Page::new(search.0.limit, search.0.cursor.as_deref())?;
    let member = named(member_ref.into_inner())?;
    let found = claims::of_member(&exchange, &caller.kind, member, page.after()?, page.limit + 1).await?;
    let mut items = Vec::with_capacity(found.len());
    for row in found {
        items.push(VoucherAnswer::held(&claims::held(&vouchers, row).await?, &caller.kind));
    }
    reply::json(StatusCode::OK, &List::new(items, &page, |item: &VoucherAnswer| item.voucher_id.0.0.to_string()))
}

/// Makes a reservation a voucher.
#[utoipa::path(
    post, path = "/v1/vouchers/{code}/confirmation", tag = "benefits",
    params(("code" = String, Path, pattern = "^vch_[0-9a-f]{32}$", description = "The voucher's id")),
    responses((status = 200, description = "Issued", body = VoucherAnswer))
)]
pub async fn confirm(
    exchange: Data<Exchange>,
    vouchers: Data<Vouchers>,
    caller: Caller,
    request_id: RequestId,
    id: Path<String>,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let brand = caller.partner()?.clone();
    let id = query::id::<VoucherId>(&id)?;
    let held = claims::confirm(&exchange, &vouchers, &brand, request_id.0, id).await?;
    reply::json(StatusCode::OK, &VoucherAnswer::held(&held, &caller.kind))
}

/// Takes a voucher back that was not used, by its brand or its giver, until its last day: its points come back to their
/// lots. One that has settled at its issue its brand takes back for a quarter of an hour, and its giver afterwards too.
#[utoipa::path(
    post, path = "/v1/vouchers/{code}/cancellations", tag = "benefits", request_body = CancelRequest,
    params(("code" = String, Path, pattern = "^vch_[0-9a-f]{32}$", description = "The voucher's id")),
    responses((status = 200, description = "Cancelled", body = VoucherAnswer))
)]
pub async fn cancel(
    exchange: Data<Exchange>,
    caller: Caller,
    request_id: RequestId,
    id: Path<String>,
    body: StrictJson<CancelRequest>,
) -> Result<HttpResponse, Problem> {
    let by = caller.partner()?.clone();
    let mut fields = Fields::default();
    let reason = fields.note("reason", body.0.reason);
    let reason = fields.finish(reason)?;
    let row = claims::cancel(&exchange, &by, request_id.0, query::id::<VoucherId>(&id)?, reason).await?;
    reply::json(StatusCode::OK, &VoucherAnswer::new(&row, &caller.kind, None))
}

/// One voucher with what tills have done: to its brand by its id, with its code; to its giver by its id or by the code that
/// is shown.
#[utoipa::path(
    get, path = "/v1/vouchers/{code}", tag = "benefits",
    params(("code" = String, Path, min_length = 1, max_length = 128)),
    responses((status = 200, description = "As it stands", body = VoucherAnswer))
)]
pub async fn voucher(
    exchange: Data<Exchange>,
    vouchers: Data<Vouchers>,
    caller: Caller,
    code: Path<String>,
) -> Result<HttpResponse, Problem> {
    let (row, uses) = match code.parse::<VoucherId>() {
        Ok(id) => claims::get(&exchange, &caller.kind, id).await?,
        Err(_) => crate::service::benefits::till::look(&exchange, caller.partner()?, &code).await?,
    };
    let held = claims::held(&vouchers, row).await?;
    let answer = VoucherAnswer::held(&held, &caller.kind).with_uses(&uses, &caller.kind);
    reply::json(StatusCode::OK, &answer)
}
