//! `/v1/crossings` and `/v1/conversions/{id}/resolution`: what is on its way between two ledgers, and what two operators say
//! of what is in doubt.

use super::fields::Fields;
use super::reply;
use crate::domain::crossing::State;
use crate::domain::holder::Holder;
use crate::domain::ids::Slug;
use crate::domain::resolution::Outcome;
use crate::http::problem::{Code, Problem};
use crate::http::{Caller, List, Page, StrictJson, StrictQuery, query};
use crate::service::crossings::resolve::{self, Error, Resolved, Wanted};
use crate::service::crossings::seen::{self, BacklogAnswer, CrossingAnswer, CrossingId, Search, Seen};
use crate::service::exchange::Exchange;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(paths(list, backlog, resolve))]
pub struct Document;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CrossingSearch {
    #[param(pattern = "^(holding|crediting|capturing|voiding|releasing)$")]
    state: Option<String>,
    /// A side of it.
    #[param(pattern = "^[a-z][a-z0-9-]{1,31}$", example = "sprout")]
    partner: Option<String>,
    in_doubt: Option<bool>,
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    cursor: Option<String>,
}

/// A resolution by four eyes: another operator sends the same outcome.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCrossingResolution, example = json!({ "outcome": "completed", "reason": "their statement of 3 May shows the credit" }))]
pub struct ResolutionRequest {
    /// What has become of the call that has no outcome: the ledger has done it, or has not and never will.
    #[schema(pattern = "^(completed|released)$")]
    outcome: String,
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// What is on its way between two ledgers, the oldest first. A partner sees what it is a side of.
#[utoipa::path(
    get, path = "/v1/crossings", tag = "conversions", params(CrossingSearch),
    responses((status = 200, description = "Under way", body = List<CrossingAnswer>))
)]
pub async fn list(
    exchange: Data<Exchange>,
    caller: Caller,
    search: StrictQuery<CrossingSearch>,
) -> Result<HttpResponse, Problem> {
    let page = Page::new(search.0.limit, search.0.cursor.as_deref())?;
    let (search, limit) = (search.0.check(&page)?, page.limit + 1);
    let reader = caller.kind.clone();
    let found = exchange.database.run(move |conn| seen::list(conn, &reader, &search, limit)).await?;
    // Cut by its ids: an answer has two.
    let List { items, next_cursor } = List::new(found, &page, |seen: &Seen| seen.row.crossing_id.to_string());
    let items = items.iter().map(|seen| CrossingAnswer::of(seen, &caller.kind)).collect();
    reply::json(StatusCode::OK, &List { items, next_cursor })
}

/// How many are under way, by the partner that is asked next and what it is asked. A partner sees what is asked of it.
#[utoipa::path(
    get, path = "/v1/crossings/backlog", tag = "conversions",
    responses((status = 200, description = "All of them", body = List<BacklogAnswer>))
)]
pub async fn backlog(exchange: Data<Exchange>, caller: Caller) -> Result<HttpResponse, Problem> {
    let reader: Holder = caller.kind.clone();
    let items = exchange.database.run(move |conn| seen::backlog(conn, &reader)).await?;
    reply::json(StatusCode::OK, &List { items, next_cursor: None })
}

/// Resolves a conversion, undo or reversal in doubt, by four eyes: the first operator's call proposes, the same outcome from
/// another one is carried out. What the first has said is void once the state has moved on.
#[utoipa::path(
    post, path = "/v1/conversions/{id}/resolution", tag = "conversions", request_body = ResolutionRequest,
    params(("id" = String, Path, pattern = "^(cnv|rev)_[0-9a-f]{32}$")),
    responses(
        (status = 200, description = "Carried out", body = CrossingAnswer),
        (status = 202, description = "Proposed: another operator is to say the same", body = CrossingAnswer),
    )
)]
pub async fn resolve(
    exchange: Data<Exchange>,
    caller: Caller,
    id: Path<String>,
    body: StrictJson<ResolutionRequest>,
) -> Result<HttpResponse, Problem> {
    let (by, id) = (caller.operator()?.to_owned(), query::id::<CrossingId>(&id)?);
    let mut fields = Fields::default();
    let outcome = fields.named("outcome", Outcome::parse(&body.0.outcome), "must be completed or released");
    let said = outcome.zip(fields.note("reason", body.0.reason));
    let (outcome, reason) = fields.finish(said)?;
    let resolved = resolve::resolve(&exchange, Wanted { id, outcome, reason, by }).await?;
    let (status, seen) = match &resolved {
        Resolved::Proposed(seen) => (StatusCode::ACCEPTED, seen),
        Resolved::Done(seen) => (StatusCode::OK, seen),
    };
    reply::json(status, &CrossingAnswer::of(seen, &caller.kind))
}

impl CrossingSearch {
    fn check(self, page: &Page) -> Result<Search, Problem> {
        let state = self.state.as_deref().map(|code| {
            let open = State::ALL.into_iter().filter(|state| !state.is_over());
            let found = open.into_iter().find(|state| state.code() == code);
            found.ok_or_else(|| {
                Problem::field(
                    "?state",
                    "must be holding, crediting, capturing, voiding or releasing: what is under way",
                )
            })
        });
        let partner = self
            .partner
            .as_deref()
            .map(|slug| slug.parse::<Slug>().map_err(|_| Problem::field("?partner", "must be a partner's slug")));
        Ok(Search {
            state: state.transpose()?,
            partner: partner.transpose()?,
            in_doubt: self.in_doubt,
            after: page.after()?,
        })
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        match error {
            Error::Exchange(cause) => cause.into(),
            Error::Absent => Problem::not_found(),
            Error::Outcome(choices) => Problem::field("/outcome", choices),
            Error::Reason => Problem::field("/reason", Error::Reason.to_string()),
            // A certificate names its operator otherwise.
            Error::Name => Problem::new(Code::Forbidden).detail(Error::Name.to_string()),
            Error::Stale(why) => Problem::new(Code::Stale).detail(why),
        }
    }
}
