//! `/v1/settlements`: windows, the caller's statement of each, its lines and their proofs, counter-signing.

use super::reply;
use crate::domain::ids::{ConversionId, WindowId};
use crate::domain::settlement::Participant;
use crate::http::problem::{Code, Problem};
use crate::http::stream::{self, Outgoing};
use crate::http::{Caller, List, Page, StrictJson, StrictQuery, query};
use crate::service::exchange::Exchange;
use crate::service::settlement::Error;
use crate::service::settlement::view::{self, Format, Reading, Seen, SeenObligation, SeenStatement, Which};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path};
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(
    paths(list, get, statement, lines, proofs, countersign, cosign),
    components(schemas(SeenStatement, SeenObligation))
)]
pub struct Document;

/// Whose settlement: an operator may name any participant; a partner sees its own.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Whose {
    /// For operators: a partner, or `operator`, which it is unless said.
    #[param(pattern = "^[a-z][a-z0-9-]{1,31}$")]
    participant: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Windows {
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    cursor: Option<String>,
    #[param(pattern = "^[a-z][a-z0-9-]{1,31}$")]
    participant: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LinesWanted {
    /// `ndjson`, the lines' own bytes, unless said; or `csv`.
    #[param(pattern = "^(ndjson|csv)$")]
    format: Option<String>,
    #[param(pattern = "^[a-z][a-z0-9-]{1,31}$")]
    participant: Option<String>,
}

/// A signature over the statement's payload, as a member of General JWS (RFC 7515 §7.2.1).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CounterSignature {
    /// base64url of `{"alg":…,"kid":…,"typ":"settlement+jws"}`: the kid is that of a signing key of the caller's.
    #[schema(pattern = "^[A-Za-z0-9_-]+$", min_length = 1, max_length = 1024)]
    protected: String,
    #[schema(pattern = "^[A-Za-z0-9_-]+$", min_length = 1, max_length = 1024)]
    signature: String,
}

/// A line under the log's checkpoint (C2SP tlog-cosignature), by an Ed25519 key of the caller's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cosignature {
    #[schema(pattern = "^[A-Za-z0-9_-]{43}$")]
    kid: String,
    /// `— <name> <base64>`, the name being the partner's slug.
    #[schema(min_length = 1, max_length = 512)]
    line: String,
}

fn whose(caller: &Caller, named: Option<&str>) -> Result<Participant, Problem> {
    match (&caller.kind, named) {
        (crate::domain::holder::Holder::Partner(slug), None) => Ok(Participant::from(slug)),
        (crate::domain::holder::Holder::Partner(slug), Some(named)) if named == slug.as_str() => {
            Ok(Participant::from(slug))
        }
        (crate::domain::holder::Holder::Partner(_), Some(_)) => Err(Problem::not_found()),
        (crate::domain::holder::Holder::Operator(_), None) => Ok(Participant::operator()),
        (crate::domain::holder::Holder::Operator(_), Some(named)) => {
            Participant::parse(named).ok_or_else(Problem::not_found)
        }
    }
}

/// The window an address names, by its number or its id.
pub(super) async fn window_named(exchange: &Exchange, text: &str) -> Result<WindowId, Problem> {
    let which = Which::parse(text).ok_or_else(Problem::not_found)?;
    Ok(view::named(exchange, which).await?)
}

/// Windows, newest first, the open one included.
#[utoipa::path(get, path = "/v1/settlements", tag = "settlement", params(Windows),
    responses((status = 200, description = "Windows", body = List<Seen>)))]
pub async fn list(
    exchange: Data<Exchange>,
    caller: Caller,
    search: StrictQuery<Windows>,
) -> Result<HttpResponse, Problem> {
    let of = whose(&caller, search.0.participant.as_deref())?;
    let page = Page::new(search.0.limit, search.0.cursor.as_deref())?;
    let before = page.after::<i64>()?.unwrap_or(i64::MAX);
    let rows = view::list(&exchange, of, before, page.limit + 1).await?;
    reply::json(StatusCode::OK, &List::new(rows, &page, |row: &Seen| row.number.to_string()))
}

/// One window, the caller's statement of it in short, what it owes and is owed.
#[utoipa::path(get, path = "/v1/settlements/{window}", tag = "settlement", params(("window" = String, Path, pattern = "^([1-9][0-9]{0,15}|win_[0-9a-f]{32})$"), Whose),
    responses((status = 200, description = "The window", body = Seen)))]
pub async fn get(
    exchange: Data<Exchange>,
    caller: Caller,
    window: Path<String>,
    whom: StrictQuery<Whose>,
) -> Result<HttpResponse, Problem> {
    let of = whose(&caller, whom.0.participant.as_deref())?;
    let seen = view::get(&exchange, of, window_named(&exchange, &window).await?).await?;
    reply::json(StatusCode::OK, &seen)
}

/// The signed statement: General JWS (RFC 7515 §7.2.1) over canonical JSON (RFC 8785).
#[utoipa::path(get, path = "/v1/settlements/{window}/statement", tag = "settlement",
    params(("window" = String, Path, pattern = "^([1-9][0-9]{0,15}|win_[0-9a-f]{32})$"), Whose),
    responses((status = 200, description = "The document", content_type = "application/jose+json", body = Object)))]
pub async fn statement(
    exchange: Data<Exchange>,
    caller: Caller,
    window: Path<String>,
    whom: StrictQuery<Whose>,
) -> Result<HttpResponse, Problem> {
    let of = whose(&caller, whom.0.participant.as_deref())?;
    let document = view::statement(&exchange, of, window_named(&exchange, &window).await?).await?;
    Ok(HttpResponse::Ok().content_type("application/jose+json").body(document))
}

/// Every line of the statement, in sequence.
#[utoipa::path(get, path = "/v1/settlements/{window}/lines", tag = "settlement",
    params(("window" = String, Path, pattern = "^([1-9][0-9]{0,15}|win_[0-9a-f]{32})$"), LinesWanted),
    responses((status = 200, description = "Lines, streamed", content(("application/x-ndjson"), ("text/csv")))))]
pub async fn lines(
    exchange: Data<Exchange>,
    caller: Caller,
    window: Path<String>,
    wanted: StrictQuery<LinesWanted>,
) -> Result<HttpResponse, Problem> {
    let of = whose(&caller, wanted.0.participant.as_deref())?;
    let (format, media) = match wanted.0.format.as_deref() {
        None | Some("ndjson") => (Format::Ndjson, "application/x-ndjson"),
        Some("csv") => (Format::Csv, "text/csv; charset=utf-8"),
        Some(_) => return Err(Problem::field("?format", "must be ndjson or csv")),
    };
    let reading = view::lines(&exchange, of, window_named(&exchange, &window).await?, format).await?;
    Ok(HttpResponse::Ok().content_type(media).body(pieces(exchange, reading)))
}

/// That the caller's lines of a conversion are in its statement, and that one in the log.
#[utoipa::path(get, path = "/v1/settlements/{window}/proofs/{conversion_id}", tag = "settlement",
    params(("window" = String, Path, pattern = "^([1-9][0-9]{0,15}|win_[0-9a-f]{32})$"), ("conversion_id" = String, Path), Whose),
    responses((status = 200, description = "A proof bundle", body = Object)))]
pub async fn proofs(
    exchange: Data<Exchange>,
    caller: Caller,
    path: Path<(String, String)>,
    whom: StrictQuery<Whose>,
) -> Result<HttpResponse, Problem> {
    let of = whose(&caller, whom.0.participant.as_deref())?;
    let (window, conversion) = (window_named(&exchange, &path.0).await?, query::id::<ConversionId>(&path.1)?);
    reply::json(StatusCode::OK, &view::proofs(&exchange, of, window, conversion).await?)
}

/// Counter-signs the caller's statement, in the same document; the same signature again changes nothing.
#[utoipa::path(post, path = "/v1/settlements/{window}/signatures", tag = "settlement",
    params(("window" = String, Path, pattern = "^([1-9][0-9]{0,15}|win_[0-9a-f]{32})$")), request_body = CounterSignature,
    responses((status = 201, description = "The document", content_type = "application/jose+json", body = Object)))]
pub async fn countersign(
    exchange: Data<Exchange>,
    caller: Caller,
    window: Path<String>,
    body: StrictJson<CounterSignature>,
) -> Result<HttpResponse, Problem> {
    let partner = caller.partner()?.clone();
    let window = window_named(&exchange, &window).await?;
    let CounterSignature { protected, signature } = body.0;
    let signed = view::countersign(&exchange, partner, window, protected, signature).await;
    let document = signed.map_err(|error| refused(error, "/signature"))?;
    Ok(HttpResponse::Created().content_type("application/jose+json").body(document))
}

/// Witnesses the log's current checkpoint; the note with the caller's line under it.
#[utoipa::path(post, path = "/checkpoint/cosignatures", tag = "settlement", request_body = Cosignature,
    responses((status = 201, description = "The signed note", content_type = "text/plain", body = String)))]
pub async fn cosign(
    exchange: Data<Exchange>,
    caller: Caller,
    body: StrictJson<Cosignature>,
) -> Result<HttpResponse, Problem> {
    let Cosignature { kid, line } = body.0;
    let cosigned = view::cosign(&exchange, caller.partner()?.clone(), kid, line).await;
    let note = cosigned.map_err(|error| refused(error, "/line"))?;
    Ok(HttpResponse::Created().content_type("text/plain; charset=utf-8").body(note))
}

fn refused(error: Error, field: &'static str) -> Problem {
    match error {
        Error::Refused(why) => Problem::field(field, why),
        other => other.into(),
    }
}

/// For all of settlement. Who asks was judged before: what is refused here is what was asked.
impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        match error {
            Error::NotFound | Error::Absent(_) => Problem::not_found(),
            Error::Unpublished(number) => Problem::not_found().detail(format!("Window {number} is not published yet.")),
            Error::Refused(why) => Problem::new(Code::Invalid).detail(why),
            Error::Store(cause) => cause.into(),
            other if other.is_unavailable() => {
                tracing::warn!(error = %other, "settlement cannot go on now");
                Problem::new(Code::Unavailable)
            }
            other => Problem::internal(&other),
        }
    }
}

/// Lines as a body, read as the caller takes them: each piece is below a megabyte, and no connection of the database is
/// held while the caller is slow.
pub fn pieces(exchange: Data<Exchange>, reading: Reading) -> Outgoing {
    let (pieces, body) = stream::outgoing();
    actix_web::rt::spawn(async move {
        let mut rest = reading;
        loop {
            let piece = match rest.next(&exchange).await {
                Ok(None) => return,
                Ok(Some((bytes, next))) => {
                    rest = next;
                    Ok(Bytes::from(bytes))
                }
                // The answer has begun: all that can be done is to break it off.
                Err(error) => {
                    let _ = pieces.send(Err(error.into())).await;
                    return;
                }
            };
            // A caller that has gone takes no more.
            if pieces.send(piece).await.is_err() {
                return;
            }
        }
    });
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::settlement::disputes;

    #[test]
    fn one_error_of_settlement_is_one_problem_whichever_address_meets_it() {
        let lost = || {
            let kind = diesel::result::DatabaseErrorKind::ClosedConnection;
            Error::from(diesel::result::Error::DatabaseError(kind, Box::new(String::new())))
        };
        let cases = [
            (|| Error::NotFound) as fn() -> Error,
            || Error::Refused("why".to_owned()),
            lost,
            || Error::Broken("what".to_owned()),
        ];
        for (error, status) in cases.into_iter().zip([404, 422, 503, 500]) {
            let here = Problem::from(error()).code();
            let there = Problem::from(disputes::Error::Settlement(error())).code();
            assert_eq!((here.status(), there), (status, here));
        }
    }
}
