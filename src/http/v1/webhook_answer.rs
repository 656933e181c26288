//! Webhooks and deliveries as they are answered.

use crate::domain::ids::{DeliveryId, EventId, WebhookId};
use crate::service::answer::Shown;
use crate::service::delivery::endpoints::{Delivery, Shows, Tested, delivery_id};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A webhook as it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookAnswer {
    #[schema(value_type = String, pattern = "^whk_[0-9a-f]{32}$")]
    pub webhook_id: Shown<WebhookId>,
    pub url: String,
    /// Null is all types.
    pub types: Option<Vec<String>>,
    /// `active` or `suspended`.
    #[schema(value_type = String, example = "active")]
    pub state: &'static str,
    /// Why it is suspended: `asked` by its owner, `gone` (it answered 410), `failing` for five days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "gone")]
    pub suspended_because: Option<&'static str>,
    /// `closed`, or `open`: after five failures one after the other, one attempt a minute.
    #[schema(value_type = String, example = "closed")]
    pub breaker: &'static str,
    /// Attempts that failed since the last that did not.
    pub failures: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub failing_since: Option<DateTime<Utc>>,
    /// Nothing is sent before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub rests_until: Option<DateTime<Utc>>,
    /// Everything up to this sequence was sent, or is among the deliveries.
    pub cursor: i64,
    /// Events after it.
    pub backlog: i64,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: DateTime<Utc>,
}

/// The same with its newest secret, told once.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookWithSecret {
    #[serde(flatten)]
    pub webhook: WebhookAnswer,
    #[schema(pattern = "^whsec_[A-Za-z0-9+/=]{32,90}$")]
    pub secret: String,
}

/// One event at one webhook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub struct DeliveryAnswer {
    #[schema(value_type = String, pattern = "^dlv_[0-9a-f]{32}$")]
    pub delivery_id: Shown<DeliveryId>,
    #[schema(value_type = String, pattern = "^evt_[0-9a-f]{32}$")]
    pub event_id: Shown<EventId>,
    pub r#type: String,
    pub sequence: i64,
    /// `due`, `retrying`, `delivered` or `dead`.
    pub state: String,
    #[schema(value_type = String, format = DateTime)]
    pub state_at: DateTime<Utc>,
    /// When it is tried next; absent while it waits behind another about the same thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<DateTime<Utc>>,
    /// How often somebody asked for it to be sent again.
    pub resent: i32,
    /// The last 32, oldest first: `at`, `ms`, `status` where there was an answer, `error` and `detail` where it failed.
    #[schema(value_type = Vec<Object>)]
    pub attempts: Value,
}

/// What became of a test.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookTest)]
pub struct TestAnswer {
    #[schema(value_type = String, pattern = "^evt_[0-9a-f]{32}$")]
    pub event_id: Shown<EventId>,
    pub delivered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "tls_expired")]
    pub error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub ms: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Recovered)]
pub struct RecoveredAnswer {
    /// How many are due again.
    pub events: usize,
}

pub fn shown(shows: &Shows) -> WebhookAnswer {
    let row = &shows.row;
    WebhookAnswer {
        webhook_id: Shown(row.id),
        url: row.url.clone(),
        types: row.types.clone(),
        state: if row.health.suspended.is_some() { "suspended" } else { "active" },
        suspended_because: row.health.suspended.map(crate::domain::delivery::Why::text),
        breaker: if row.health.is_open() { "open" } else { "closed" },
        failures: row.health.failures,
        failing_since: row.health.failing_since,
        rests_until: row.rests_until,
        cursor: row.cursor,
        backlog: shows.backlog,
        created_at: row.created_at,
    }
}

pub fn delivery(no: i64, delivery: Delivery) -> DeliveryAnswer {
    DeliveryAnswer {
        delivery_id: Shown(delivery_id(no, delivery.sequence)),
        event_id: Shown(EventId(delivery.event_id)),
        r#type: delivery.r#type,
        sequence: delivery.sequence,
        state: delivery.state,
        state_at: delivery.state_at,
        next_at: delivery.next_at,
        resent: delivery.resent,
        attempts: delivery.attempts,
    }
}

impl WebhookWithSecret {
    pub fn new(shows: &Shows, secret: &str) -> WebhookWithSecret {
        WebhookWithSecret { webhook: shown(shows), secret: secret.to_owned() }
    }
}

impl From<Tested> for TestAnswer {
    fn from(tested: Tested) -> TestAnswer {
        let Tested { event, delivered, status, error, detail, ms } = tested;
        TestAnswer { event_id: Shown(event), delivered, status, error, detail, ms }
    }
}
