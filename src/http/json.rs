//! `StrictJson<T>`: the only way a body comes in.
//!
//! In order: content type, size, time, UTF-8, the scanner's checks, then serde. `T` denies unknown fields itself.

use super::problem::{Code, FieldError, Problem};
use super::scan::{self, Fault};
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::{self, Bytes, Data};
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A JSON body, read strictly.
#[derive(Debug)]
pub struct StrictJson<T>(pub T);

/// How much body is read, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    pub bytes_max: usize,
    pub patience: Duration,
}

impl Default for BodyLimits {
    fn default() -> BodyLimits {
        // A batch of 1,000 items of 1 KiB.
        BodyLimits { bytes_max: 1 << 20, patience: Duration::from_secs(10) }
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for StrictJson<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let limits = limits_of(request);
        let head = check_head(request, limits);
        let payload = web::Payload::from_request(request, payload).into_inner();
        Box::pin(async move {
            head?;
            parse(&in_time(payload, limits).await?).map(StrictJson)
        })
    }
}

/// For addresses that say all there is to say: no body, or `{}`.
#[derive(Debug)]
pub struct NoBody;

/// An object without a field.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl FromRequest for NoBody {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let limits = limits_of(request);
        let head = check_head(request, limits);
        let payload = web::Payload::from_request(request, payload).into_inner();
        Box::pin(async move {
            let body = in_time(payload, limits).await?;
            if body.is_empty() {
                return Ok(NoBody);
            }
            head?;
            parse::<Nothing>(&body).map(|_| NoBody)
        })
    }
}

fn check_head(request: &HttpRequest, limits: BodyLimits) -> Result<(), Problem> {
    let mut kinds = request.headers().get_all(header::CONTENT_TYPE);
    let kind = kinds.next().and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    let (kind, parameter) = kind.split_once(';').unwrap_or((&kind, "charset=utf-8"));
    let charset = parameter.trim().replace('"', "");
    if kinds.next().is_some() || kind.trim() != "application/json" || charset != "charset=utf-8" {
        return Err(Problem::new(Code::UnsupportedMediaType).detail("The body must be application/json, in UTF-8."));
    }
    let told = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if told.is_some_and(|told: u64| told > limits.bytes_max as u64) {
        return Err(too_large(limits.bytes_max));
    }
    if request.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(Code::UnsupportedMediaType).detail("Bodies are read as sent, without encoding."));
    }
    Ok(())
}

fn limits_of(request: &HttpRequest) -> BodyLimits {
    request.app_data::<Data<BodyLimits>>().map(|limits| ***limits).unwrap_or_default()
}

/// The whole body, if it comes in time.
async fn in_time(payload: Result<web::Payload, actix_web::Error>, limits: BodyLimits) -> Result<Bytes, Problem> {
    let payload = payload.map_err(|_| Problem::new(Code::Malformed))?;
    let body = tokio::time::timeout(limits.patience, read(payload, limits.bytes_max));
    body.await.map_err(|_| Problem::new(Code::RequestTimeout))?
}

async fn read(payload: web::Payload, bytes_max: usize) -> Result<Bytes, Problem> {
    match payload.to_bytes_limited(bytes_max).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(Problem::new(Code::Malformed).detail("The body ended too early.")),
        Err(_) => Err(too_large(bytes_max)),
    }
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(Code::TooLarge).detail(format!("At most {bytes_max} bytes."))
}

/// Reads one body.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| Problem::new(Code::Malformed).detail("The body is not UTF-8."))?;
    scan::check(text).map_err(from_fault)?;
    // serde would read an array as the fields in order; nobody may come to rely on their order.
    if !text.trim_start().starts_with('{') {
        return Err(Problem::field("", "must be an object"));
    }
    serde_json::from_str(text).map_err(|error| from_serde(text, &error))
}

fn from_fault(fault: Fault) -> Problem {
    match fault {
        Fault::Malformed(reason, at) if at.is_empty() => {
            Problem::new(Code::Malformed).detail(format!("The body is not JSON as we read it: {reason}."))
        }
        Fault::Malformed(reason, at) => {
            Problem::new(Code::Malformed).detail(format!("The body is not JSON as we read it: {reason}, at {at}."))
        }
        Fault::Values(faults) => {
            let field = |(pointer, detail)| FieldError { pointer, detail: Cow::Borrowed(detail) };
            Problem::invalid(faults.into_iter().map(field).collect())
        }
    }
}

/// The text is JSON, so what serde refuses is a field: names it, in our words.
fn from_serde(text: &str, error: &serde_json::Error) -> Problem {
    let mut pointer = pointer_of(text, error);
    let said = error.to_string();
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    let quoted = |said: &str| said.split('`').nth(1).map(str::to_owned);
    let detail: Cow<'static, str> = if said.starts_with("missing field") {
        if let Some(name) = quoted(said) {
            scan::push_key(&mut pointer, &name);
        }
        "is required".into()
    } else if said.starts_with("unknown field") {
        "is not a field here".into()
    } else if said.starts_with("unknown variant") {
        match said.split_once("expected ") {
            Some((_, known)) => format!("must be {}", known.replace('`', "\"")).into(),
            None => "is not a value known here".into(),
        }
    } else if said.starts_with("invalid type") {
        "has the wrong type".into()
    } else if said.starts_with("invalid value") {
        "is out of range".into()
    } else if said.starts_with("invalid length") {
        "has the wrong number of elements".into()
    } else if said.starts_with("data did not match any variant") {
        "has none of the forms known here".into()
    } else {
        // A message of one of our own field types.
        said.to_owned().into()
    };
    Problem::field(pointer, detail)
}

fn pointer_of(text: &str, error: &serde_json::Error) -> String {
    let Some(line) = error.line().checked_sub(1) else { return String::new() };
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    // The column counts the bytes read of its line; the value that failed is the last one read.
    scan::pointer_at(text, (before + error.column()).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use uuid::Uuid;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        points: i64,
        #[serde(default)]
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Earn,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Batch {
        items: Vec<Item>,
    }

    fn refused(text: &str) -> (Code, String, String) {
        let problem = parse::<Batch>(text.as_bytes()).expect_err(text);
        let body = problem.body(Uuid::nil());
        let first = body.errors.into_iter().next();
        let (pointer, detail) = first.map(|field| (field.pointer, field.detail.into_owned())).unwrap_or_default();
        (problem.code(), pointer, detail)
    }

    #[test]
    fn a_refused_field_is_named_by_its_pointer() {
        let batch = parse::<Batch>(br#"{"items":[{"points":1,"kind":"earn"}]}"#).expect("a good body");
        assert_eq!((batch.items[0].points, batch.items[0].kind.is_some()), (1, true));
        for (text, pointer, detail) in [
            (r#"{"items":[{"points":1},{"points":"1"}]}"#, "/items/1/points", "has the wrong type"),
            ("{\"items\":[\n{\"points\":1},\n{\"points\":true}]}", "/items/1/points", "has the wrong type"),
            (r#"{"items":[{}]}"#, "/items/0/points", "is required"),
            (r#"{}"#, "/items", "is required"),
            (r#"{"items":[],"other":1}"#, "/other", "is not a field here"),
            (r#"{"items":[{"points":1,"kind":"x"}]}"#, "/items/0/kind", "must be \"earn\""),
            (r#"{"items":[{"points":1e3}]}"#, "/items/0/points", "must be a whole number written in digits alone"),
            (r#"[]"#, "", "must be an object"),
            (r#"[[]]"#, "", "must be an object"),
            (r#"7"#, "", "must be an object"),
        ] {
            assert_eq!(refused(text), (Code::Invalid, pointer.to_owned(), detail.to_owned()), "{text}");
        }
        for text in ["", "{", r#"{"items":[],"items":[]}"#] {
            assert_eq!(refused(text).0, Code::Malformed, "{text}");
        }
        assert_eq!(parse::<Batch>(b"{\"items\":[\"\xff\"]}").expect_err("not UTF-8").code(), Code::Malformed);
    }
}
