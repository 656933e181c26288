//! What stands above a call: who sent it, when, and its digest; and what an answer says of the next.

use super::RETRY_AFTER_MAX;
use crate::signing::keyring::{Keyring, KeyringError};
use crate::signing::webhook::{self, Secret};
use chrono::{DateTime, Utc};
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use std::time::Duration;
use uuid::Uuid;

/// What a call is signed with.
#[derive(Clone, Copy)]
pub struct Signing<'a> {
    pub ring: &'a Keyring,
    /// Those both sides know, the newest first; none where only the alliance's key signs.
    pub secrets: &'a [Secret],
    /// When this attempt is made, not the first.
    pub now: DateTime<Utc>,
}

/// The headers of a signed JSON body (Standard Webhooks 1.0, RFC 9530).
pub fn signed(id: &str, body: &[u8], with: Signing<'_>) -> Result<HeaderMap, KeyringError> {
    let at = with.now.timestamp();
    let keys = with.ring.webhook_signers(with.now)?;
    let signature = webhook::signature(id, at, body, with.secrets, &keys);
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(CONTENT_TYPE, const { HeaderValue::from_static("application/json") });
    let mut put = |name, text: &str| {
        // Ids, numbers and base64 are visible ASCII.
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    put(HeaderName::from_static("webhook-id"), id);
    put(HeaderName::from_static("webhook-timestamp"), &at.to_string());
    put(HeaderName::from_static("webhook-signature"), &signature);
    put(HeaderName::from_static("content-digest"), &webhook::content_digest(body));
    Ok(headers)
}

/// `idempotency-key`, a quoted string.
pub fn idempotency_key(key: Uuid) -> (HeaderName, HeaderValue) {
    let text = format!("\"{}\"", key.hyphenated());
    let value = HeaderValue::from_str(&text).expect("a quoted UUID is visible ASCII");
    (HeaderName::from_static("idempotency-key"), value)
}

/// `traceparent` (W3C Trace Context): which attempt this is, for whoever follows a call through both systems.
pub fn traceparent(trace: Uuid, span: Uuid) -> (HeaderName, HeaderValue) {
    let span = span.simple().to_string();
    let text = format!("00-{}-{}-01", trace.simple(), &span[..16]);
    let value = HeaderValue::from_str(&text).expect("hexadecimal digits are visible ASCII");
    (HeaderName::from_static("traceparent"), value)
}

/// `retry-after`, in seconds or as a date (RFC 9110 §10.2.3). Anything else says nothing.
pub(super) fn retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?;
    // A date that has passed asks for no wait.
    Some((at.to_utc() - now).to_std().unwrap_or_default().min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_by_a_date_and_is_a_day_at_most() {
        let now = DateTime::from_timestamp(784_111_777, 0).expect("an instant");
        let check = |text: &str, wanted: Option<u64>| {
            assert_eq!(retry_after(text, now), wanted.map(Duration::from_secs), "{text}");
        };
        check("0", Some(0));
        check("120", Some(120));
        check("1000000000", Some(86_400));
        check("99999999999999999999999999", Some(86_400));
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        check("Sun, 06 Nov 2094 08:00:00 GMT", None); // A Saturday.
        check("Sat, 06 Nov 2094 08:00:00 GMT", Some(86_400));
        for junk in ["", "soon", "-1", "1.5", "+5", "5 s"] {
            check(junk, None);
        }
    }

    #[test]
    fn keys_and_traces_are_written_as_their_texts_say() {
        let id = Uuid::from_u128(0x0198_c0de);
        let (name, value) = idempotency_key(id);
        assert_eq!(
            (name.as_str(), value.as_bytes()),
            ("idempotency-key", &b"\"00000000-0000-0000-0000-00000198c0de\""[..])
        );
        let (name, value) = traceparent(id, Uuid::from_u128(7 << 64));
        assert_eq!(name.as_str(), "traceparent");
        assert_eq!(value.as_bytes(), b"00-0000000000000000000000000198c0de-0000000000000007-01");
    }
}
