//! `/v1/settlements/{window}/reconciliations`: the caller's own list against its lines, what differs, and disputes of it.

use super::reply;
use super::settlements::window_named;
use crate::domain::ids::{ReconciliationId, WindowId};
use crate::http::problem::{Code, FieldError, Problem};
use crate::http::stream::{self, Outgoing, StreamLimits};
use crate::http::{Caller, NoBody, StrictQuery, query};
use crate::service::answer::Shown;
use crate::service::exchange::Exchange;
use crate::service::settlement::disputes;
use crate::service::settlement::reconcile::{self, Difference, Fault, Format, Listed, Mapping, Row, Turn, Unread};
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;
use utoipa::{IntoParams, OpenApi, ToSchema};

/// A list may be a gigabyte: four million rows of 256 bytes.
const LIMITS: StreamLimits = StreamLimits {
    bytes_max: 1 << 30,
    patience: Duration::from_secs(30),
    patience_in_all: Duration::from_secs(600),
    bytes_per_second_min: 64 * 1024,
};

#[derive(OpenApi)]
#[openapi(paths(create, get, differences, open), components(schemas(Difference)))]
pub struct Document;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HowToRead {
    /// Which columns are which fields, `column:field` with commas between; other columns are not read. Left out, columns
    /// are called as their fields: `line_id`, `conversion_id`, `reversal_id`, `external_reference` (one of these at
    /// least), `amount` (positive is owed to the caller) or `payable` (the other way), `points`, `debit_points` (one of
    /// these at least), `counterparty`.
    #[param(max_length = 1024, example = "Order No:external_reference,Value:amount")]
    map: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HowToWrite {
    /// `ndjson` unless said.
    #[param(pattern = "^(csv|ndjson)$")]
    format: Option<String>,
}

/// A reconciliation. Amounts are the caller's: positive is owed to it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reconciliation)]
pub struct ReconciliationAnswer {
    #[schema(value_type = String, pattern = "^rec_[0-9a-f]{32}$")]
    reconciliation_id: Shown<ReconciliationId>,
    #[schema(value_type = String)]
    window_id: Shown<WindowId>,
    /// Number of the window.
    window: i64,
    /// `running`, then `completed`.
    #[schema(value_type = String, example = "completed")]
    state: &'static str,
    /// The fields the list had; what it did not say was not compared.
    compared: Vec<String>,
    /// Of the list.
    rows: i64,
    /// Of the caller, in this window.
    lines: i64,
    /// Per result, `matched`, `missing_here`, `missing_there`, `amount`, `rate`, `duplicate`, `late`: how many, and what
    /// their amounts add up to here and there. Fees are not in the amounts.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Box<RawValue>>,
    /// All but `matched`.
    #[serde(skip_serializing_if = "Option::is_none")]
    differences: Option<i64>,
    #[schema(value_type = String, format = DateTime)]
    started_at: DateTime<Utc>,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<DateTime<Utc>>,
    disputes: HandledAnswer,
}

/// How far differences have been turned into disputes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DisputedDifferences)]
pub struct HandledAnswer {
    opened: i64,
    /// Disputed before.
    known: i64,
    /// Not a matter of dispute, or for a person to word.
    skipped: i64,
    /// Not handled yet.
    left: i64,
}

/// Compares the caller's own list of a published window with its lines, and keeps what differs. The same list again is the
/// same reconciliation. One list of a partner is taken at a time.
#[utoipa::path(
    post, path = "/v1/settlements/{window}/reconciliations", tag = "settlement",
    params(("window" = String, Path, pattern = "^([1-9][0-9]{0,15}|win_[0-9a-f]{32})$"), HowToRead),
    request_body(description = "With a heading (RFC 4180), or an object a line; at most 1 GiB and 4,000,000 rows, at least 64 KiB a second",
        content((String = "text/csv"), (String = "application/x-ndjson"))),
    responses(
        (status = 201, description = "Compared", body = ReconciliationAnswer),
        (status = 200, description = "Compared before", body = ReconciliationAnswer),
    )
)]
pub async fn create(
    exchange: Data<Exchange>,
    caller: Caller,
    window: Path<String>,
    how: StrictQuery<HowToRead>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (partner, window) = (caller.partner()?.clone(), window_named(&exchange, &window).await?);
    let (format, mapping) = (format_of(&request)?, mapping_of(how.0)?);
    let turn = Turn::wait(&partner).await.ok_or_else(|| Problem::new(Code::QueueFull).retry_after(10))?;
    let own = partner.clone();
    exchange.database.run(move |conn| reconcile::check(conn, &own, window)).await?;
    let listed = take(payload, move |body| reconcile::read(&partner, format, &mapping, body)).await?;
    // The turn ends with the work, not with a caller who goes away.
    let work = move |conn: &mut _| reconcile::reconcile(conn, &turn, window, listed);
    let (row, new) = exchange.database.run(work).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    reply::json(status, &ReconciliationAnswer::of(row)?)
}

/// What a reconciliation came to.
#[utoipa::path(
    get, path = "/v1/settlements/{window}/reconciliations/{id}", tag = "settlement",
    params(("window" = String, Path, pattern = "^([1-9][0-9]{0,15}|win_[0-9a-f]{32})$"), ("id" = String, Path, pattern = "^rec_[0-9a-f]{32}$")),
    responses((status = 200, description = "As it stands", body = ReconciliationAnswer))
)]
pub async fn get(
    exchange: Data<Exchange>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let row = found(&exchange, &caller, &path).await?;
    reply::json(StatusCode::OK, &ReconciliationAnswer::of(row)?)
}

/// What differs: lines first, in their sequence, then rows of the list that have none. Those of the newest twenty lists of
/// a window are kept.
#[utoipa::path(
    get, path = "/v1/settlements/{window}/reconciliations/{id}/differences", tag = "settlement",
    params(("window" = String, Path, pattern = "^([1-9][0-9]{0,15}|win_[0-9a-f]{32})$"), ("id" = String, Path, pattern = "^rec_[0-9a-f]{32}$"), HowToWrite),
    responses((status = 200, description = "An object a line, or a row each with a heading",
        content((Difference = "application/x-ndjson"), (String = "text/csv"))))
)]
pub async fn differences(
    exchange: Data<Exchange>,
    caller: Caller,
    path: Path<(String, String)>,
    how: StrictQuery<HowToWrite>,
) -> Result<HttpResponse, Problem> {
    let format = match how.0.format.as_deref() {
        None | Some("ndjson") => Format::Ndjson,
        Some("csv") => Format::Csv,
        Some(_) => return Err(Problem::field("?format", "must be csv or ndjson")),
    };
    let row = found(&exchange, &caller, &path).await?;
    let first = page(&exchange, &row, 1).await?;
    let kind = if format == Format::Csv { "text/csv; charset=utf-8" } else { "application/x-ndjson" };
    let name = format!("attachment; filename=\"{}-differences.{}\"", row.id, format.code());
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::CONTENT_TYPE, HeaderValue::from_static(kind)));
    answer.insert_header((header::CONTENT_DISPOSITION, name));
    Ok(answer.body(BoxBody::new(pages(exchange, row, format, first))))
}

/// Turns what differs into disputes: `missing_here` into `missing`, `missing_there` into `eligibility` unless it is owed to
/// the caller or is an adjustment, `amount` and `rate` into these. No body, or `{}`. A call handles 1,000 at most: ask again while some
/// are left.
#[utoipa::path(
    post, path = "/v1/settlements/{window}/reconciliations/{id}/disputes", tag = "settlement",
    params(("window" = String, Path, pattern = "^([1-9][0-9]{0,15}|win_[0-9a-f]{32})$"), ("id" = String, Path, pattern = "^rec_[0-9a-f]{32}$")),
    responses((status = 200, description = "How far it has come", body = ReconciliationAnswer))
)]
pub async fn open(
    exchange: Data<Exchange>,
    caller: Caller,
    path: Path<(String, String)>,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let partner = caller.partner()?.clone();
    let (window, id) = (window_named(&exchange, &path.0).await?, query::id::<ReconciliationId>(&path.1)?);
    let work = move |conn: &mut _| reconcile::open_disputes(conn, &partner, window, id);
    let row = exchange.database.run::<_, disputes::Error, _>(work).await?;
    reply::json(StatusCode::OK, &ReconciliationAnswer::of(row)?)
}

fn format_of(request: &HttpRequest) -> Result<Format, Problem> {
    stream::check_head(request.headers(), LIMITS.bytes_max)?;
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    media(kind).ok_or_else(|| {
        let detail = "The list must be text/csv, with a heading, or application/x-ndjson, either in UTF-8.";
        Problem::new(Code::UnsupportedMediaType).detail(detail)
    })
}

/// What a list of this media type is read as. A parameter may say what is so anyway (RFC 4180 has `charset` and `header`),
/// and others say nothing.
fn media(kind: &str) -> Option<Format> {
    let kind = kind.to_ascii_lowercase().replace('"', "");
    let (kind, parameters) = kind.split_once(';').unwrap_or((&kind, ""));
    let as_it_is = |parameter: &str| match parameter.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
        Some(("charset", value)) => matches!(value, "utf-8" | "us-ascii"),
        Some(("header", value)) => value == "present",
        _ => true,
    };
    if !parameters.split(';').all(as_it_is) {
        return None;
    }
    match kind.trim() {
        "text/csv" => Some(Format::Csv),
        "application/x-ndjson" => Some(Format::Ndjson),
        _ => None,
    }
}

fn mapping_of(how: HowToRead) -> Result<Mapping, Problem> {
    let Some(text) = how.map else { return Ok(Mapping::default()) };
    if text.len() > 1_024 {
        return Err(Problem::field("?map", "must be at most 1,024 bytes"));
    }
    Mapping::parse(&text).map_err(|why| Problem::field("?map", why))
}

/// Reads a body on a thread of its own while it comes.
async fn take(
    payload: web::Payload,
    read: impl FnOnce(stream::Incoming) -> Result<Listed, Unread> + Send + 'static,
) -> Result<Listed, Problem> {
    let (feed, body) = stream::incoming();
    let reading = actix_web::rt::task::spawn_blocking(move || read(body));
    let poured = feed.pour(payload, LIMITS).await;
    let read = reading.await.map_err(|cause| Problem::internal(&cause))?;
    // A list that was refused is refused, however much of it came; else what stopped the body is what is told.
    match (read, poured) {
        (Err(Unread::Stopped(_)), Err(problem)) => Err(problem),
        (Err(unread), _) => Err(unread.into()),
        (Ok(_), Err(problem)) => Err(problem),
        (Ok(listed), Ok(())) => Ok(listed),
    }
}

impl From<Unread> for Problem {
    fn from(unread: Unread) -> Problem {
        match unread {
            Unread::Stopped(_) => Problem::new(Code::Malformed).detail("The body ended too early."),
            Unread::Malformed { row: 0, detail } => {
                Problem::new(Code::Malformed).detail(format!("The heading {detail}."))
            }
            Unread::Malformed { row, detail } => Problem::new(Code::Malformed).detail(format!("Row {row} {detail}.")),
            Unread::Heading(why) => Problem::field("/columns", why),
            Unread::TooMany => Problem::new(Code::TooLarge).detail(format!("At most {} rows.", reconcile::ROWS_MAX)),
            Unread::Faults(faults) => Problem::invalid(faults.into_iter().map(field_error).collect()),
        }
    }
}

fn field_error(fault: Fault) -> FieldError {
    let field = if fault.field.is_empty() { String::new() } else { format!("/{}", fault.field) };
    FieldError { pointer: format!("/rows/{}{field}", fault.row), detail: fault.detail.into() }
}

async fn found(exchange: &Exchange, caller: &Caller, path: &(String, String)) -> Result<Row, Problem> {
    let partner = caller.partner()?.clone();
    let (window, id) = (window_named(exchange, &path.0).await?, query::id::<ReconciliationId>(&path.1)?);
    let work = move |conn: &mut _| reconcile::get(conn, &partner, window, id);
    Ok(exchange.database.run(work).await?)
}

async fn page(exchange: &Exchange, row: &Row, from: i64) -> Result<Vec<Difference>, Problem> {
    let row = row.clone();
    let work = move |conn: &mut _| reconcile::differences(conn, &row, from);
    Ok(exchange.database.run(work).await?)
}

/// The differences as a body, read as the caller takes them; `first` is the first page.
pub fn pages(exchange: Data<Exchange>, row: Row, format: Format, first: Vec<Difference>) -> Outgoing {
    let (pieces, body) = stream::outgoing();
    actix_web::rt::spawn(async move {
        let heading = if format == Format::Csv { reconcile::csv_heading() } else { Vec::new() };
        // A caller that has gone takes no more: then there is nobody to tell.
        if !heading.is_empty() && pieces.send(Ok(Bytes::from(heading))).await.is_err() {
            return;
        }
        let mut next = Ok(first);
        loop {
            let piece = match &next {
                Ok(page) if page.is_empty() => return,
                Ok(page) => Ok(written(format, page)),
                Err(problem) => Err(Problem::clone(problem)),
            };
            let ended = piece.is_err();
            if pieces.send(piece).await.is_err() || ended {
                return;
            }
            let after = next.ok().and_then(|page| page.last().map(|last| last.place + 1)).unwrap_or(i64::MAX);
            next = page(&exchange, &row, after).await;
        }
    });
    body
}

fn written(format: Format, page: &[Difference]) -> Bytes {
    if format == Format::Csv {
        return Bytes::from(reconcile::to_csv(page));
    }
    let mut bytes = Vec::new();
    for difference in page {
        // Texts and whole numbers alone: nothing here can fail to be written.
        let _ = serde_json::to_writer(&mut bytes, difference);
        bytes.push(b'\n');
    }
    Bytes::from(bytes)
}

impl ReconciliationAnswer {
    fn of(row: Row) -> Result<ReconciliationAnswer, Problem> {
        let differences = row.completed.as_ref().map(|completed| completed.differences);
        let results = row.completed.as_ref().map(|completed| RawValue::from_string(completed.results.clone()));
        Ok(ReconciliationAnswer {
            reconciliation_id: Shown(row.id),
            window_id: Shown(row.window),
            window: row.number,
            state: if row.completed.is_some() { "completed" } else { "running" },
            rows: row.rows,
            lines: row.lines,
            results: results.transpose().map_err(|error| Problem::internal(&error))?,
            differences,
            started_at: row.started_at,
            completed_at: row.completed.map(|completed| completed.at),
            compared: row.compared,
            disputes: HandledAnswer {
                opened: row.handled.opened,
                known: row.handled.known,
                skipped: row.handled.skipped,
                left: differences.unwrap_or(0) - row.handled.all(),
            },
        })
    }
}
