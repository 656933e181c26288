//! `/v1/settlements/{window}/liabilities`: outstanding points as a brand reports them that keeps its own accounts.

use super::fields::Fields;
use super::reply;
use super::settlements::window_named;
use crate::domain::points::Points;
use crate::http::problem::{Code, Problem};
use crate::http::{Caller, StrictJson};
use crate::service::exchange::{self, Exchange};
use crate::service::settlement::reported::{self, Refused, ReportedAnswer, Stated};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use serde::Deserialize;
use utoipa::{OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(paths(state))]
pub struct Document;

/// One's own outstanding points, where their accounts are not kept here.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewReportedLiability, example = json!({ "points": 48_250_000, "never": 1_200_000, "as_of": "2026-01-31" }))]
pub struct StateRequest {
    #[schema(minimum = 0, maximum = 9007199254740991_i64)]
    points: i64,
    /// How many of these never end, if that is known: at most `points`.
    #[schema(minimum = 0, maximum = 9007199254740991_i64)]
    never: Option<i64>,
    /// The day at whose end they stood so, in the alliance's zone; not after today.
    #[schema(format = Date, example = "2026-01-31")]
    as_of: String,
    #[schema(min_length = 1, max_length = 500)]
    note: Option<String>,
}

/// Reports the caller's own outstanding points for a window; the newest report of a window stands, earlier ones are kept. The
/// same again changes nothing. Only for a brand whose accounts are not kept here: 403 for any other, whose points the journal
/// proves.
#[utoipa::path(
    post, path = "/v1/settlements/{window}/liabilities", tag = "settlement", request_body = StateRequest,
    params(("window" = String, Path, pattern = "^([1-9][0-9]{0,15}|win_[0-9a-f]{32})$")),
    responses(
        (status = 201, description = "Reported", body = ReportedAnswer),
        (status = 200, description = "What stood already", body = ReportedAnswer),
    )
)]
pub async fn state(
    exchange: Data<Exchange>,
    caller: Caller,
    window: Path<String>,
    body: StrictJson<StateRequest>,
) -> Result<HttpResponse, Problem> {
    let (partner, stated) = (caller.partner()?.clone(), body.0.check(&caller.x5t)?);
    let window = window_named(&exchange, &window).await?;
    let work = move |conn: &mut _| reported::state(conn, &partner, window, &stated);
    let (row, new) = exchange.database.run(work).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    reply::json(status, &ReportedAnswer::from(row))
}

impl StateRequest {
    fn check(self, certificate: &str) -> Result<Stated, exchange::Error> {
        let mut fields = Fields::default();
        let points = count(&mut fields, "points", self.points);
        let never = self.never.map_or(Some(None), |raw| count(&mut fields, "never", raw).map(Some));
        let never = match (points, never) {
            (Some(points), Some(Some(never))) if never > points => {
                fields.fault("never", "must not be more than points");
                None
            }
            (_, never) => never,
        };
        let as_of = fields.day("as_of", &self.as_of);
        let note = self.note.map_or(Some(None), |raw| fields.note("note", raw).map(Some));
        let certificate = certificate.to_owned();
        let read = || Some(Stated { points: points?, never: never?, as_of: as_of?, note: note?, certificate });
        let read = read();
        fields.finish(read)
    }
}

/// Nothing outstanding is a count, too.
fn count(fields: &mut Fields, field: &str, raw: i64) -> Option<i64> {
    let read = Points::new(raw).map(|_| raw);
    fields.named(field, read, "must be a whole number of points, 0 to 9007199254740991")
}

impl From<Refused> for Problem {
    fn from(error: Refused) -> Problem {
        match error {
            Refused::Settlement(cause) => cause.into(),
            Refused::Hosted => Problem::new(Code::Forbidden)
                .detail("Your accounts are kept here: the journal proves your points, and none are reported."),
            Refused::Future(_) => Problem::field("/as_of", "must not be after today"),
        }
    }
}
