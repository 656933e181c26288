//! `/v1/events`: everything that happened to the caller, in its own dense sequence.

use super::reply;
use crate::http::{Caller, List, Problem, StrictQuery};
use crate::service::events::{self, Event};
use crate::service::exchange::Exchange;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi};

/// Events of one answer at most.
const LIMIT_MAX: i64 = 1_000;
const LIMIT_USUAL: i64 = 100;

#[derive(OpenApi)]
#[openapi(paths(list))]
pub struct Document;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventSearch {
    /// The last sequence read; 0, or nothing, reads from the start.
    #[param(minimum = 0, maximum = 9007199254740991_i64)]
    after: Option<i64>,
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Events after a sequence, in order.
#[utoipa::path(
    get, path = "/v1/events", tag = "events", params(EventSearch),
    responses((status = 200, description = "In order, without gaps", body = List<Event>))
)]
pub async fn list(
    exchange: Data<Exchange>,
    caller: Caller,
    search: StrictQuery<EventSearch>,
) -> Result<HttpResponse, Problem> {
    let (after, limit) = (search.0.after.unwrap_or(0), search.0.limit.unwrap_or(LIMIT_USUAL));
    if !(0..1 << 53).contains(&after) {
        return Err(Problem::field("?after", "must be a sequence, 0 or more"));
    }
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::field("?limit", "must be 1 to 1000"));
    }
    let items = events::list(&exchange, caller.partner()?, after, limit).await?;
    reply::json(StatusCode::OK, &List { items, next_cursor: None })
}
