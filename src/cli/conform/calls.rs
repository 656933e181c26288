//! One call to the endpoint under test, signed as it should be or as it should not.

use crate::clock;
use crate::partner::dial::{Call, Dialer};
use crate::signing::jws::SigningKey;
use crate::signing::webhook::{self, Secret};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(15);

/// What both sides believe.
#[derive(Default)]
pub struct Signer {
    /// Each signs, as when one makes way for another.
    pub keys: Vec<SigningKey>,
    pub secrets: Vec<Secret>,
}

pub struct Caller {
    dialer: Dialer,
    base: String,
    signer: Signer,
}

/// How a request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    Well,
    /// By the alliance's key alone, as an event is that is meant for somebody else.
    ByKey,
    /// Over another body.
    Wrongly,
    /// So many seconds from now.
    At(i64),
    NotAtAll,
}

/// What came of a call; status 0 is no answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub json: Value,
    /// Why there was no answer.
    pub silence: String,
}

impl Reply {
    pub fn is_done(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A definite refusal: 422 and a problem with its code.
    pub fn is_refusal(&self) -> bool {
        self.status == 422 && !self.code().is_empty()
    }

    /// Refused in some way that is the caller's fault.
    pub fn is_caller_fault(&self) -> bool {
        (400..500).contains(&self.status)
    }

    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// As it stands in the table.
    pub fn told(&self) -> String {
        match (self.status, self.code()) {
            (0, _) => self.silence.clone(),
            (status, "") => status.to_string(),
            (status, code) => format!("{status} {code}"),
        }
    }

    /// The sum of the points of `lots`; `None` when it has none.
    pub fn lots(&self) -> Option<i64> {
        let lots = self.json["lots"].as_array()?;
        lots.iter().map(|lot| lot["points"].as_i64()).sum()
    }
}

impl Caller {
    pub fn new(dialer: Dialer, base: &str, signer: Signer) -> Caller {
        Caller { dialer, base: base.trim_end_matches('/').to_owned(), signer }
    }

    pub fn has_secret(&self) -> bool {
        !self.signer.secrets.is_empty()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.call(Method::POST, path, body.to_string().into_bytes(), Signed::Well).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, Vec::new(), Signed::Well).await
    }

    pub async fn call(&self, method: Method, path: &str, body: Vec<u8>, signed: Signed) -> Reply {
        let url = format!("{}{path}", self.base);
        let headers = self.headers(&body, signed);
        let sent = self.dialer.send(Call { method, url, headers, body: body.into(), deadline: DEADLINE }).await;
        match sent {
            Ok(answer) => Reply {
                status: answer.status,
                json: serde_json::from_slice(&answer.body).unwrap_or_default(),
                silence: String::new(),
            },
            Err(failure) => Reply { status: 0, json: Value::Null, silence: failure.to_string() },
        }
    }

    fn headers(&self, body: &[u8], signed: Signed) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, const { HeaderValue::from_static("application/json") });
        let off = match signed {
            Signed::Well | Signed::ByKey | Signed::Wrongly => 0,
            Signed::At(off) => off,
            Signed::NotAtAll => return headers,
        };
        let (id, at) = (id("req"), clock::now().timestamp() + off);
        let over = if signed == Signed::Wrongly { b"another body" } else { body };
        let keys: Vec<&SigningKey> = self.signer.keys.iter().collect();
        let secrets = if signed == Signed::ByKey { &[][..] } else { &self.signer.secrets };
        let signature = webhook::signature(&id, at, over, secrets, &keys);
        for (name, value) in [
            ("webhook-id", id),
            ("webhook-timestamp", at.to_string()),
            ("webhook-signature", signature),
            ("content-digest", webhook::content_digest(body)),
        ] {
            // Ids, numbers and base64 are visible ASCII.
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        headers
    }
}

/// A new id.
pub fn id(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::now_v7().simple())
}
