//! `/v1/quotes`: a priced, signed, expiring offer for one conversion.

use super::fields::Fields;
use super::{reply, wanted};
use crate::http::{Caller, Problem, RequestId, StrictJson};
use crate::service::answer::{self, BonusAnswer, FeeAnswer, LotAnswer, RateAnswer, Shown};
use crate::service::exchange::{Error, Exchange};
use crate::service::quotes::{self, Quote, Wanted};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(paths(create))]
pub struct Document;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "member_ref": "L-1001", "to": "harvest", "points": 137 }))]
pub struct QuoteRequest {
    #[schema(min_length = 1, max_length = 128, example = "L-1001")]
    member_ref: String,
    /// The brand whose points arrive. Exactly one of `to` and `from`.
    #[schema(pattern = "^[a-z][a-z0-9-]{1,31}$", example = "harvest")]
    to: Option<String>,
    /// The brand whose points are spent: needs `pull` in the link's consent.
    #[schema(pattern = "^[a-z][a-z0-9-]{1,31}$")]
    from: Option<String>,
    /// At most this debit, rounded down by the step. Exactly one of `points` and `credit_points`.
    #[schema(minimum = 1, maximum = 9007199254740991_i64, example = 137)]
    points: Option<i64>,
    /// Exactly this base credit.
    #[schema(minimum = 1, maximum = 9007199254740991_i64)]
    credit_points: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quote)]
pub struct QuoteAnswer<'a> {
    #[schema(value_type = String, pattern = "^quo_[0-9a-f]{32}$")]
    quote_id: Shown<crate::domain::ids::QuoteId>,
    #[schema(value_type = String)]
    from: &'a str,
    #[schema(value_type = String)]
    to: &'a str,
    debit_points: i64,
    /// What stays with the member of the points offered.
    remainder_points: i64,
    credit_points: i64,
    bonuses: Vec<BonusAnswer<'a>>,
    total_credit_points: i64,
    rate: RateAnswer,
    #[schema(value_type = String)]
    tier: &'a str,
    fee: FeeAnswer<'a>,
    /// A forecast; the conversion's are the fact. Absent where the origin keeps its own ledger, and so its lots.
    #[serde(skip_serializing_if = "Option::is_none")]
    arriving_lots: Option<Vec<LotAnswer>>,
    #[schema(value_type = String, format = DateTime)]
    arrives_by: DateTime<Utc>,
    undo_seconds: u32,
    #[schema(value_type = String, format = DateTime)]
    expires_at: DateTime<Utc>,
    /// For `POST /v1/conversions`, once.
    #[schema(value_type = String)]
    token: &'a str,
}

impl QuoteRequest {
    fn check(self) -> Result<Wanted, Error> {
        let mut fields = Fields::default();
        let member_ref = fields.text("member_ref", self.member_ref);
        let direction = wanted::direction(&mut fields, self.to.as_deref(), self.from.as_deref());
        let want = wanted::want(&mut fields, self.points, self.credit_points);
        let all = member_ref.zip(direction).zip(want);
        fields.finish(all.map(|((member_ref, direction), want)| Wanted { member_ref, direction, want }))
    }
}

fn render<'a>(quote: &'a Quote, currency: &'a str) -> QuoteAnswer<'a> {
    let conversion = answer::conversion(&quote.row, answer::asker(&quote.row), currency);
    QuoteAnswer {
        quote_id: Shown(quote.id),
        from: conversion.from,
        to: conversion.to,
        debit_points: conversion.debit_points,
        remainder_points: quote.remainder.get(),
        credit_points: conversion.credit_points,
        bonuses: conversion.bonuses,
        total_credit_points: conversion.total_credit_points,
        rate: conversion.rate,
        tier: conversion.tier,
        fee: conversion.fee,
        arriving_lots: Some(conversion.arriving_lots).filter(|lots| !lots.is_empty()),
        // Where both accounts are kept here, what is converted has arrived.
        arrives_by: match quote.row.accepted {
            Some(_) => answer::arrives_by(quote.expires_at),
            None => quote.expires_at,
        },
        undo_seconds: quote.row.terms.undo_s,
        expires_at: quote.expires_at,
        token: &quote.token,
    }
}

/// Prices one conversion and signs the price; reserves nothing.
#[utoipa::path(
    post, path = "/v1/quotes", tag = "conversions", request_body = QuoteRequest,
    responses((status = 201, description = "The price holds until `expires_at`", body = QuoteAnswer))
)]
pub async fn create(
    exchange: Data<Exchange>,
    caller: Caller,
    request: RequestId,
    body: StrictJson<QuoteRequest>,
) -> Result<HttpResponse, Problem> {
    let wanted = body.0.check()?;
    let quote = quotes::create(&exchange, caller.partner()?, request.0, wanted).await?;
    reply::json(StatusCode::CREATED, &render(&quote, &exchange.currency()))
}
