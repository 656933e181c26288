//! Answers, good ones and those that are wrong on purpose.

use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Body, Bytes, Frame};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc::{self, Receiver};

pub type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Of an answer that is too large for anybody.
const HUGE_BYTES: usize = 64 << 20;
const CHUNK: usize = 64 << 10;

pub fn json_answer(status: StatusCode, body: Vec<u8>) -> Answer {
    let media = if status.is_success() { "application/json" } else { "application/problem+json" };
    let mut answer = Response::new(Full::new(Bytes::from(body)).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    answer
}

/// A problem (RFC 9457) with its code.
pub fn problem(status: StatusCode, code: &str, detail: &str) -> Answer {
    json_answer(status, problem_bytes(status, code, detail))
}

pub fn problem_bytes(status: StatusCode, code: &str, detail: &str) -> Vec<u8> {
    let title = status.canonical_reason().unwrap_or("refused");
    json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "code": code, "detail": detail })
        .to_string()
        .into_bytes()
}

pub fn busy(seconds: u64) -> Answer {
    let mut answer = problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Come again later.");
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

/// The answer's bytes, one a second.
pub fn slow(status: StatusCode, bytes: Vec<u8>) -> Answer {
    let (send, body) = pieces();
    tokio::spawn(async move {
        for byte in bytes {
            if send.send(Bytes::copy_from_slice(&[byte])).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    with_body(status, body)
}

/// The answer with white space behind it, of this many bytes or, for `None`, without end.
pub fn long(status: StatusCode, bytes: Vec<u8>, much: Option<usize>) -> Answer {
    let (send, body) = pieces();
    tokio::spawn(async move {
        let mut left = much;
        let mut next = Bytes::from(bytes);
        while send.send(next).await.is_ok() {
            next = Bytes::from_static(&[b' '; CHUNK]);
            match &mut left {
                // Without end, but without filling a reader's memory at once.
                None => tokio::time::sleep(Duration::from_millis(20)).await,
                Some(0) => return,
                Some(left) => *left = left.saturating_sub(CHUNK),
            }
        }
    });
    with_body(status, body)
}

pub fn huge(status: StatusCode, bytes: Vec<u8>) -> Answer {
    long(status, bytes, Some(HUGE_BYTES))
}

fn with_body(status: StatusCode, body: BoxBody<Bytes, Infallible>) -> Answer {
    let mut answer = json_answer(status, Vec::new());
    *answer.body_mut() = body;
    answer
}

/// An answer that is wrong in what it says: other ids, one point more, a member twice.
pub fn misspeak(bytes: &[u8], how: Wrong) -> Vec<u8> {
    let mut said: Value = serde_json::from_slice(bytes).unwrap_or_default();
    match how {
        Wrong::Id => {
            for name in ["hold_id", "credit_id"] {
                if let Some(id) = said[name].as_str().and_then(|id| id.get(..4)).map(str::to_owned) {
                    said[name] = json!(format!("{id}{:032x}", 0xbad));
                }
            }
            said.to_string().into_bytes()
        }
        Wrong::Amount => {
            said["points"] = json!(said["points"].as_i64().unwrap_or_default() + 1);
            said.to_string().into_bytes()
        }
        Wrong::Twice => {
            let text = String::from_utf8_lossy(bytes);
            let rest = text.strip_prefix('{').unwrap_or(&text);
            format!("{{\"points\":1,{rest}").into_bytes()
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Wrong {
    Id,
    Amount,
    Twice,
}

/// A body that is sent as it is made.
struct Pieces(Receiver<Bytes>);

fn pieces() -> (mpsc::Sender<Bytes>, BoxBody<Bytes, Infallible>) {
    let (send, pieces) = mpsc::channel(1);
    (send, Pieces(pieces).boxed())
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_answer_is_wrong_in_one_thing() {
        let good = br#"{"hold_id":"hld_1","points":5,"lots":[]}"#;
        let said = |how| String::from_utf8(misspeak(good, how)).expect("text");
        assert!(
            said(Wrong::Id).contains("hld_00000000000000000000000000000bad")
                && said(Wrong::Id).contains(r#""points":5"#)
        );
        assert!(said(Wrong::Amount).contains(r#""points":6"#));
        assert_eq!(said(Wrong::Twice).matches("\"points\"").count(), 2);
    }
}
