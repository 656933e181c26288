//! `IdempotencyKey`: the header that makes sending a request twice safe.

use super::problem::{Code, Problem};
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use std::future::{Ready, ready};

/// On an answer: these are the bytes of the first one.
pub const REPLAYED: &str = "Idempotency-Replayed";

/// 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// As the `idempotency_key` of an item of a batch; `None` when it is not of this form.
    pub fn parse(text: &str) -> Option<IdempotencyKey> {
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| IdempotencyKey(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut values = request.headers().get_all("idempotency-key");
        let key = match (values.next(), values.next()) {
            (None, _) => Err(Problem::new(Code::IdempotencyKeyMissing)),
            (Some(value), None) => value.to_str().ok().and_then(IdempotencyKey::parse).ok_or_else(bad),
            (Some(_), Some(_)) => Err(bad()),
        };
        ready(key)
    }
}

fn bad() -> Problem {
    Problem::new(Code::Malformed).detail("Idempotency-Key must be one value of 1 to 255 visible ASCII characters.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_visible() {
        assert!(IdempotencyKey::parse("a").is_some());
        assert!(IdempotencyKey::parse(&"k".repeat(255)).is_some());
        for bad in ["", " ", "a b", "é", "a\n", &"k".repeat(256)] {
            assert!(IdempotencyKey::parse(bad).is_none(), "{bad:?}");
        }
    }
}
