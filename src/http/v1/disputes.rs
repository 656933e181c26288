//! `/v1/disputes` and `/v1/settlements/{window}/disputes`: what is said to be wrong with lines, and what becomes of it.

use super::fields::Fields;
use super::reply;
use super::settlements::window_named;
use crate::domain::ids::{DisputeId, LineId};
use crate::domain::money::Millionths;
use crate::domain::points::Points;
use crate::domain::settlement::Participant;
use crate::domain::settlement::dispute::{Answer, Claimed, Kind, Outcome, State};
use crate::http::problem::{Code, Problem};
use crate::http::{Caller, List, NoBody, Page, StrictJson, StrictQuery, query};
use crate::service::exchange::{self, Exchange};
use crate::service::settlement::disputes::{self, About, Decision, DisputeAnswer, Error, Opening, Viewer, Whole};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(paths(open, list, get, answer, withdraw, decide, take_back))]
pub struct Document;

/// What is wrong with a line of one's own, or missing from a window.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewDispute, example = json!({ "line_id": "lin_0198c0de0000700080000000000000ab", "kind": "amount", "claimed_amount": "-3.00", "note": "100 points were returned in the shop" }))]
pub struct OpenRequest {
    /// One of the caller's own lines; or say `external_reference`.
    #[schema(pattern = "^lin_[0-9a-f]{32}$")]
    line_id: Option<String>,
    /// The caller's own reference of a conversion or a reversal. For `missing`: of one that has no line here.
    #[schema(min_length = 1, max_length = 128, example = "order-77")]
    external_reference: Option<String>,
    /// `missing`, `duplicate`, `amount`, `rate`, `eligibility` or `identity`.
    #[schema(pattern = "^(missing|duplicate|amount|rate|eligibility|identity)$", example = "amount")]
    kind: String,
    /// For `missing` alone, as far as it is known: the partner that is to answer, or `operator`.
    #[schema(pattern = "^[a-z][a-z0-9-]{1,31}$", example = "harvest")]
    counterparty: Option<String>,
    /// Credited points as the line should have them, negative where they are taken back.
    #[schema(minimum = -9007199254740991_i64, maximum = 9007199254740991_i64)]
    claimed_points: Option<i64>,
    /// The amount the line should have, as the caller sees it: positive is owed to the caller. Left out for `duplicate`,
    /// `eligibility` and `identity` it is nothing.
    #[schema(pattern = "^-?[0-9]{1,12}(\\.[0-9]{1,6})?$", example = "-3.00")]
    claimed_amount: Option<String>,
    #[schema(min_length = 1, max_length = 500)]
    note: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewDisputeAnswer, example = json!({ "answer": "rejected", "note": "the rate of that day was 2:1" }))]
pub struct AnswerRequest {
    #[schema(pattern = "^(accepted|rejected)$")]
    answer: String,
    #[schema(min_length = 1, max_length = 500)]
    note: String,
}

/// A decision by four eyes: another operator sends the same.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewDisputeDecision, example = json!({ "outcome": "upheld", "amount": "0.40", "reason": "the receipt shows it" }))]
pub struct DecisionRequest {
    #[schema(pattern = "^(upheld|rejected)$")]
    outcome: String,
    /// What the opener is given, negative what it gives back: at most its claim, and left out all of it.
    #[schema(pattern = "^-?[0-9]{1,12}(\\.[0-9]{1,6})?$", example = "0.40")]
    amount: Option<String>,
    /// Where the dispute names no counterparty and is upheld: the partner that gives it, or `operator`.
    #[schema(pattern = "^[a-z][a-z0-9-]{1,31}$", example = "harvest")]
    counterparty: Option<String>,
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DisputeSearch {
    #[param(pattern = "^(open|answered|decided|withdrawn)$")]
    state: Option<String>,
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Opens a dispute of one of the caller's own lines, until `disputes_until` of the window. Neither statement nor
/// obligation changes. The same line and kind again is the first dispute.
#[utoipa::path(
    post, path = "/v1/settlements/{window}/disputes", tag = "settlement", request_body = OpenRequest,
    params(("window" = String, Path, pattern = "^([1-9][0-9]{0,15}|win_[0-9a-f]{32})$")),
    responses(
        (status = 201, description = "Opened", body = DisputeAnswer),
        (status = 200, description = "Opened before", body = DisputeAnswer),
    )
)]
pub async fn open(
    exchange: Data<Exchange>,
    caller: Caller,
    window: Path<String>,
    body: StrictJson<OpenRequest>,
) -> Result<HttpResponse, Problem> {
    let (opener, opening) = (caller.partner()?.clone(), body.0.check()?);
    let window = window_named(&exchange, &window).await?;
    let work = move |conn: &mut _| disputes::open(conn, &opener, window, &opening);
    let (whole, new) = exchange.database.run(work).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    reply::json(status, &shown(&exchange, &caller, &whole))
}

/// Disputes the caller has opened and those against it, newest first; an operator reads all.
#[utoipa::path(
    get, path = "/v1/disputes", tag = "settlement", params(DisputeSearch),
    responses((status = 200, description = "Disputes", body = List<DisputeAnswer>))
)]
pub async fn list(
    exchange: Data<Exchange>,
    caller: Caller,
    search: StrictQuery<DisputeSearch>,
) -> Result<HttpResponse, Problem> {
    let page = Page::new(search.0.limit, search.0.cursor.as_deref())?;
    let state = search.0.state.as_deref().map(|code| {
        State::parse(code).ok_or_else(|| Problem::field("?state", "must be open, answered, decided or withdrawn"))
    });
    let (state, before, limit) = (state.transpose()?, page.after()?, page.limit + 1);
    let viewer = Viewer::from(&caller.kind);
    let work = move |conn: &mut _| disputes::list(conn, &viewer, state, before, limit);
    let found = exchange.database.run(work).await?;
    let items = found.iter().map(|whole| shown(&exchange, &caller, whole)).collect();
    reply::json(StatusCode::OK, &List::new(items, &page, |item: &DisputeAnswer| item.dispute_id.0.to_string()))
}

/// One dispute, by a party to it or an operator.
#[utoipa::path(
    get, path = "/v1/disputes/{id}", tag = "settlement", params(("id" = String, Path, pattern = "^dis_[0-9a-f]{32}$")),
    responses((status = 200, description = "As it stands", body = DisputeAnswer))
)]
pub async fn get(exchange: Data<Exchange>, caller: Caller, id: Path<String>) -> Result<HttpResponse, Problem> {
    let (viewer, id) = (Viewer::from(&caller.kind), query::id::<DisputeId>(&id)?);
    let whole = exchange.database.run(move |conn| disputes::get(conn, &viewer, id)).await?;
    reply::json(StatusCode::OK, &shown(&exchange, &caller, &whole))
}

/// The counterparty's answer, or an operator's where the counterparty is `operator`; the same again changes nothing.
#[utoipa::path(
    post, path = "/v1/disputes/{id}/answers", tag = "settlement", request_body = AnswerRequest,
    params(("id" = String, Path, pattern = "^dis_[0-9a-f]{32}$")),
    responses((status = 200, description = "Answered", body = DisputeAnswer))
)]
pub async fn answer(
    exchange: Data<Exchange>,
    caller: Caller,
    id: Path<String>,
    body: StrictJson<AnswerRequest>,
) -> Result<HttpResponse, Problem> {
    let id: DisputeId = query::id(&id)?;
    let mut fields = Fields::default();
    let said = fields.named("answer", Answer::parse(&body.0.answer), "must be accepted or rejected");
    let (said, note) = (said, fields.note("note", body.0.note));
    let (said, note) = fields.finish(said.zip(note))?;
    let by = caller.kind.clone();
    let work = move |conn: &mut _| disputes::answer(conn, &by, id, (said, &note));
    let (whole, _) = exchange.database.run(work).await?;
    reply::json(StatusCode::OK, &shown(&exchange, &caller, &whole))
}

/// Lets a dispute go, for good: by its opener.
#[utoipa::path(
    post, path = "/v1/disputes/{id}/withdrawal", tag = "settlement",
    params(("id" = String, Path, pattern = "^dis_[0-9a-f]{32}$")),
    responses((status = 200, description = "Withdrawn", body = DisputeAnswer))
)]
pub async fn withdraw(
    exchange: Data<Exchange>,
    caller: Caller,
    id: Path<String>,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let (opener, id) = (caller.partner()?.clone(), query::id::<DisputeId>(&id)?);
    let (whole, _) = exchange.database.run(move |conn| disputes::withdraw(conn, &opener, id)).await?;
    reply::json(StatusCode::OK, &shown(&exchange, &caller, &whole))
}

/// Decides, by four eyes: the first operator's call proposes, the same from another one decides. Upheld, an adjustment is
/// posted in the window open then.
#[utoipa::path(
    post, path = "/v1/disputes/{id}/decision", tag = "settlement", request_body = DecisionRequest,
    params(("id" = String, Path, pattern = "^dis_[0-9a-f]{32}$")),
    responses((status = 200, description = "Decided, or proposed by a first operator", body = DisputeAnswer))
)]
pub async fn decide(
    exchange: Data<Exchange>,
    caller: Caller,
    id: Path<String>,
    body: StrictJson<DecisionRequest>,
) -> Result<HttpResponse, Problem> {
    let (by, id) = (caller.operator()?.to_owned(), query::id::<DisputeId>(&id)?);
    let decision = body.0.check()?;
    let (whole, _) = exchange.database.run(move |conn| disputes::decide(conn, &by, id, &decision)).await?;
    reply::json(StatusCode::OK, &shown(&exchange, &caller, &whole))
}

/// Takes back what one operator has proposed and no other has said as well.
#[utoipa::path(
    delete, path = "/v1/disputes/{id}/decision", tag = "settlement",
    params(("id" = String, Path, pattern = "^dis_[0-9a-f]{32}$")),
    responses((status = 200, description = "Nothing is proposed", body = DisputeAnswer))
)]
pub async fn take_back(
    exchange: Data<Exchange>,
    caller: Caller,
    id: Path<String>,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let (by, id) = (caller.operator()?.to_owned(), query::id::<DisputeId>(&id)?);
    let (whole, _) = exchange.database.run(move |conn| disputes::take_back(conn, &by, id)).await?;
    reply::json(StatusCode::OK, &shown(&exchange, &caller, &whole))
}

fn shown(exchange: &Exchange, caller: &Caller, whole: &Whole) -> DisputeAnswer {
    DisputeAnswer::of(whole, &Viewer::from(&caller.kind), &exchange.currency())
}

impl OpenRequest {
    fn check(self) -> Result<Opening, exchange::Error> {
        let mut fields = Fields::default();
        let about = about(&mut fields, self.line_id.as_deref(), self.external_reference);
        let kind = fields.named(
            "kind",
            Kind::parse(&self.kind),
            "must be missing, duplicate, amount, rate, eligibility or identity",
        );
        let counterparty = counterparty(&mut fields, self.counterparty.as_deref());
        let points = self.claimed_points.map_or(Some(None), |raw| points(&mut fields, raw).map(Some));
        let amount = fields.maybe_money("claimed_amount", self.claimed_amount.as_deref());
        let note = fields.note("note", self.note);
        let read = || {
            let claimed = Claimed { points: points?, amount: amount? };
            let (about, kind, counterparty, note) = (about?, kind?, counterparty?, note?);
            Some(Opening { about, kind, counterparty, claimed, note, reconciliation: None })
        };
        let read = read();
        fields.finish(read)
    }
}

/// `Some(None)` when it is not said.
fn counterparty(fields: &mut Fields, raw: Option<&str>) -> Option<Option<Participant>> {
    raw.map_or(Some(None), |raw| {
        fields.named("counterparty", Participant::parse(raw), "must be a partner's slug, or operator").map(Some)
    })
}

/// Exactly one of a line and a reference.
fn about(fields: &mut Fields, line: Option<&str>, reference: Option<String>) -> Option<About> {
    match (line, reference) {
        (Some(line), None) => {
            let line = line.parse::<LineId>().ok();
            fields.named("line_id", line, "must be the id of a line, lin_ and 32 digits").map(About::Line)
        }
        (None, Some(reference)) => fields.text("external_reference", reference).map(About::Reference),
        (None, None) => {
            fields.fault("line_id", "is required, unless external_reference is given");
            None
        }
        (Some(_), Some(_)) => {
            fields.fault("external_reference", "must be left out when line_id is given");
            None
        }
    }
}

/// Points that may be taken back, and so be negative.
fn points(fields: &mut Fields, raw: i64) -> Option<i64> {
    let read = raw.checked_abs().and_then(Points::new).map(|_| raw);
    fields.named("claimed_points", read, "must be a whole number of points within 9007199254740991")
}

impl DecisionRequest {
    fn check(self) -> Result<Decision, exchange::Error> {
        let mut fields = Fields::default();
        let outcome = fields.named("outcome", Outcome::parse(&self.outcome), "must be upheld or rejected");
        let amount: Option<Option<Millionths>> = fields.maybe_money("amount", self.amount.as_deref());
        let counterparty = counterparty(&mut fields, self.counterparty.as_deref());
        let reason = fields.note("reason", self.reason);
        let read =
            || Some(Decision { outcome: outcome?, amount: amount?, counterparty: counterparty?, reason: reason? });
        let read = read();
        fields.finish(read)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        match error {
            Error::Settlement(cause) => cause.into(),
            Error::Invalid { pointer, detail } => Problem::field(pointer, detail),
            Error::Closed(until) => Problem::new(Code::DisputeClosed).detail(format!("It was over after {until}.")),
            Error::Stale(why) => Problem::new(Code::Stale).detail(why),
            Error::Forbidden(who) => Problem::new(Code::Forbidden).detail(format!("Only {who} may do this.")),
        }
    }
}
