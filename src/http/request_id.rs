//! Every answer has an `X-Request-Id`, every no is a problem, and every request is counted and logged once.

use super::identity::Caller;
use super::problem::{Code, MEDIA_TYPE, Problem};
use crate::clock;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, HttpResponse};
use std::future::{Ready, ready};
use std::time::Instant;
use uuid::Uuid;

const NAME: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of address and headers together; more is nobody we know.
const HEAD_MAX: usize = 16 * 1024;

/// This request's id, also in a refusal that the book stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub Uuid);

impl RequestId {
    pub(super) fn of(request: &ServiceRequest) -> RequestId {
        request.extensions().get::<RequestId>().copied().unwrap_or(RequestId(Uuid::nil()))
    }
}

impl FromRequest for RequestId {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // The middleware wraps every route of both listeners.
        ready(request.extensions().get::<RequestId>().copied().ok_or_else(|| Problem::new(Code::Internal)))
    }
}

/// The outermost middleware of both listeners.
pub(super) async fn middleware<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let started = clock::instant();
    let id = Uuid::now_v7();
    request.extensions_mut().insert(RequestId(id));
    let mut response = if head_length(&request) > HEAD_MAX {
        request.into_response(Problem::new(Code::HeadersTooLarge).response(id)).map_into_right_body()
    } else {
        as_problem(next.call(request).await?, id)
    };
    // A hyphenated UUID is a header value.
    if let Ok(value) = HeaderValue::from_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer())) {
        response.headers_mut().insert(NAME, value);
    }
    record(&response, id, started);
    Ok(response)
}

fn head_length(request: &ServiceRequest) -> usize {
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    headers + request.uri().path().len() + request.query_string().len()
}

/// Writes a no as a problem of this request: our own with its id, actix's in our words.
fn as_problem<B: MessageBody>(response: ServiceResponse<B>, id: Uuid) -> ServiceResponse<EitherBody<B>> {
    let status = response.status().as_u16();
    if status < 400 {
        return response.map_into_left_body();
    }
    let ours = response.response().error().and_then(|error| error.as_error::<Problem>()).map(|p| p.response(id));
    // A problem already, or a page that says what is wrong to people.
    let is_said = || {
        let kind = response.headers().get(header::CONTENT_TYPE);
        kind.is_some_and(|kind| kind.as_bytes() == MEDIA_TYPE.as_bytes() || kind.as_bytes().starts_with(b"text/html"))
    };
    match ours {
        Some(answer) => response.into_response(answer).map_into_right_body(),
        None if is_said() => response.map_into_left_body(),
        None => {
            let answer = from_status(status, &response).response(id);
            let answer = keep_allow(answer, &response);
            response.into_response(answer).map_into_right_body()
        }
    }
}

fn from_status<B>(status: u16, response: &ServiceResponse<B>) -> Problem {
    Problem::new(match status {
        401 | 403 => Code::Forbidden,
        404 => Code::NotFound,
        405 => Code::MethodNotAllowed,
        408 => Code::RequestTimeout,
        413 => Code::TooLarge,
        415 => Code::UnsupportedMediaType,
        400..=499 => Code::Malformed,
        503 => Code::Unavailable,
        _ => {
            let cause = response.response().error().map(ToString::to_string).unwrap_or_default();
            tracing::error!(error = %cause, "a request failed");
            Code::Internal
        }
    })
}

/// RFC 9110 §15.5.6: a 405 names the methods there are.
fn keep_allow<B>(mut answer: HttpResponse, response: &ServiceResponse<B>) -> HttpResponse {
    let allowed = response.request().match_pattern().and_then(|pattern| super::openapi::methods(&pattern));
    let allowed = allowed.and_then(|methods| HeaderValue::from_str(&methods).ok());
    if let (405, Some(allowed)) = (answer.status().as_u16(), allowed) {
        answer.headers_mut().insert(header::ALLOW, allowed);
    }
    answer
}

fn record<B>(response: &ServiceResponse<B>, id: Uuid, started: Instant) {
    let request = response.request();
    // The pattern, not the path: a path may hold a brand's reference of its member.
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let method = method_label(request);
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    metrics::counter!("http_requests_total", "method" => method, "route" => route.clone(), "status" => status_label(status))
        .increment(1);
    metrics::histogram!("http_request_seconds", "route" => route.clone()).record(elapsed);
    let extensions = request.extensions();
    let caller = extensions.get::<Caller>().map(|caller| caller.kind.name()).unwrap_or_default();
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    if status >= 500 {
        tracing::warn!(request.id = %id, caller.name = caller, method, route, status, elapsed_ms, "request answered");
    } else {
        tracing::debug!(request.id = %id, caller.name = caller, method, route, status, elapsed_ms, "request answered");
    }
}

/// Labels are a closed set, whatever a client invents.
fn method_label(request: &HttpRequest) -> &'static str {
    match request.method().as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

fn status_label(status: u16) -> &'static str {
    match status {
        200..=299 => "2xx",
        400 => "400",
        401 | 403 => "401",
        404 | 405 => "404",
        409 => "409",
        422 => "422",
        429 => "429",
        503 => "503",
        300..=499 => "4xx",
        _ => "5xx",
    }
}
