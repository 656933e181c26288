//! One attempt: an event sent once, and what became of it.

use super::window::Item;
use crate::clock;
use crate::domain::delivery::Outcome;
use crate::domain::ids::EventId;
use crate::partner::dial::{self, Answer, Call, Dialer, Failure};
use crate::service::keys::Keys;
use crate::signing::webhook::Secret;
use chrono::{DateTime, Utc};
use hyper::Method;
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Where an event is sent, and with what.
#[derive(Clone)]
pub struct Target {
    pub dialer: Dialer,
    pub keys: Arc<Keys>,
    pub url: Arc<str>,
    pub secrets: Arc<[Secret]>,
    pub deadline: Duration,
}

/// What became of it.
#[derive(Debug)]
pub struct Attempt {
    pub at: DateTime<Utc>,
    pub took: Duration,
    pub outcome: Outcome,
    pub status: Option<u16>,
    /// A short name, one of few.
    pub error: Option<&'static str>,
    /// The same in words.
    pub detail: Option<String>,
    pub retry_after: Option<Duration>,
}

impl Attempt {
    /// As the log keeps it.
    pub fn to_json(&self) -> Value {
        let mut json = json!({ "at": self.at, "ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX) });
        if let Some(status) = self.status {
            json["status"] = json!(status);
        }
        if let Some(error) = self.error {
            json["error"] = json!(error);
        }
        if let Some(detail) = &self.detail {
            json["detail"] = json!(detail.chars().take(200).collect::<String>());
        }
        json
    }
}

impl Target {
    /// Sends an event once.
    pub async fn deliver(&self, item: &Item) -> Attempt {
        self.send(EventId(item.event), item.body.clone()).await
    }

    /// Sends a body once, signed as it goes.
    pub async fn send(&self, id: EventId, body: Bytes) -> Attempt {
        let (at, since) = (clock::now(), clock::instant());
        let mut headers = match self.keys.webhook_headers(&id.to_string(), &body, &self.secrets) {
            Ok(headers) => headers,
            Err(error) => return Attempt::unsent(at, error.to_string()),
        };
        let (name, value) = dial::traceparent(id.0, Uuid::new_v4());
        headers.insert(name, value);
        let url = self.url.as_ref().to_owned();
        let call = Call { method: Method::POST, url, headers, body, deadline: self.deadline };
        let answered = self.dialer.send(call).await;
        Attempt::of(answered, at, since.elapsed())
    }
}

impl Attempt {
    fn of(answered: Result<Answer, Failure>, at: DateTime<Utc>, took: Duration) -> Attempt {
        match answered {
            Ok(answer) => {
                let outcome = Outcome::of(answer.status);
                Attempt {
                    at,
                    took,
                    outcome,
                    status: Some(answer.status),
                    error: (outcome != Outcome::Delivered).then_some("status"),
                    detail: None,
                    retry_after: answer.retry_after.filter(|_| matches!(answer.status, 429 | 503)),
                }
            }
            Err(failure) => Attempt {
                at,
                took,
                outcome: Outcome::Failed,
                status: None,
                error: Some(failure.cause.code()),
                detail: Some(failure.to_string()),
                retry_after: None,
            },
        }
    }

    fn unsent(at: DateTime<Utc>, why: String) -> Attempt {
        let error = Some("not_signed");
        let outcome = Outcome::Failed;
        Attempt { at, took: Duration::ZERO, outcome, status: None, error, detail: Some(why), retry_after: None }
    }
}
