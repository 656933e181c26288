//! Webhooks of this partner, what was sent to each, and sending it again.

use crate::domain::delivery::Why;
use crate::domain::ids::{DeliveryId, WebhookId};
use crate::domain::staff::Permission;
use crate::service::delivery::Webhooks;
use crate::service::delivery::endpoints::{Delivery, Shows, delivery_id};
use crate::service::exchange::Exchange;
use crate::service::staff::Act;
use crate::service::staff::log::{self, Actor};
use crate::web::form::Posted;
use crate::web::page;
use crate::web::staff::session::Staff;
use crate::web::staff::shell::{Place, Shell};
use crate::web::trouble::Trouble;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;
use serde_json::Value;

/// Deliveries of one page.
const PAGE: i64 = 100;
const BACK: &str = "/console/webhooks";
/// What a delivery may be.
const STATES: [&str; 4] = ["due", "retrying", "delivered", "dead"];

struct WebhookShown {
    id: String,
    url: String,
    types: String,
    state: String,
    look: &'static str,
    cursor: String,
    backlog: String,
}

#[derive(Template)]
#[template(path = "staff/partner/webhooks.html")]
struct ListPage<'a> {
    shell: &'a Shell,
    webhooks: Vec<WebhookShown>,
}

/// All of them: four at most.
pub async fn list(
    exchange: Data<Exchange>,
    webhooks: Data<Webhooks>,
    request: HttpRequest,
    staff: Staff,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeDeliveries)?;
    let found = webhooks.list(staff.partner()?.clone()).await.map_err(staff.no("/console"))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Webhooks);
    let webhooks = found.iter().map(|one| shown(&shell, one)).collect();
    page::html(StatusCode::OK, &ListPage { webhooks, shell: &shell })
}

fn shown(shell: &Shell, one: &Shows) -> WebhookShown {
    let (lang, row) = (shell.lang, &one.row);
    let (state, look) = match row.health.suspended {
        Some(why) => (format!("{}: {}", lang.health_webhook_suspended(), lang.suspended_because(why)), "bad"),
        None if row.health.is_open() => (lang.health_webhook_open().to_owned(), "busy"),
        None => (lang.health_fine().to_owned(), "good"),
    };
    WebhookShown {
        id: row.id.to_string(),
        url: row.url.clone(),
        types: row.types.as_ref().map_or_else(|| lang.all_types().to_owned(), |types| types.join(", ")),
        state,
        look,
        cursor: lang.number(row.cursor),
        backlog: lang.number(one.backlog),
    }
}

struct DeliveryShown {
    id: String,
    kind: String,
    sequence: String,
    state: &'static str,
    look: &'static str,
    at: String,
    next: String,
    tries: usize,
    last: String,
}

#[derive(Template)]
#[template(path = "staff/partner/deliveries.html")]
struct DeliveriesPage<'a> {
    shell: &'a Shell,
    webhook: WebhookShown,
    states: Vec<(&'static str, &'static str, bool)>,
    deliveries: Vec<DeliveryShown>,
    may_resend: bool,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Which {
    state: Option<String>,
    before: Option<i64>,
}

/// What was sent and what waits, newest first.
pub async fn show(
    exchange: Data<Exchange>,
    webhooks: Data<Webhooks>,
    request: HttpRequest,
    staff: Staff,
    id: Path<String>,
    which: Query<Which>,
) -> Result<HttpResponse, Trouble> {
    staff.check(Permission::SeeDeliveries)?;
    let owner = staff.partner()?.clone();
    let id: WebhookId = id.parse().map_err(|_| Trouble::not_found(staff.lang).back_to(BACK))?;
    let state = STATES.into_iter().find(|state| which.state.as_deref() == Some(state));
    let webhook = webhooks.get(owner.clone(), id).await.map_err(staff.no(BACK))?;
    let (no, found) = webhooks.deliveries(owner, id, state, which.before, PAGE).await.map_err(staff.no(BACK))?;
    let shell = Shell::new(&exchange, &staff, &request, Place::Webhooks);
    let is_full = i64::try_from(found.len()).is_ok_and(|count| count >= PAGE);
    let last = found.last().filter(|_| is_full).map(|last| last.sequence);
    let chosen = state.map(|state| format!("&state={state}")).unwrap_or_default();
    let deliveries = DeliveriesPage {
        webhook: shown(&shell, &webhook),
        states: STATES.into_iter().map(|code| (code, shell.lang.delivery_state(code).0, state == Some(code))).collect(),
        deliveries: found.into_iter().map(|one| delivery(&shell, no, one)).collect(),
        may_resend: staff.signed.may(Permission::ResendDeliveries),
        next: last.map(|last| format!("{BACK}/{id}?before={last}{chosen}")),
        shell: &shell,
    };
    page::html(StatusCode::OK, &deliveries)
}

fn delivery(shell: &Shell, no: i64, one: Delivery) -> DeliveryShown {
    let attempts = one.attempts.as_array().map(Vec::as_slice).unwrap_or_default();
    let (state, look) = shell.lang.delivery_state(&one.state);
    DeliveryShown {
        id: delivery_id(no, one.sequence).to_string(),
        sequence: shell.lang.number(one.sequence),
        state,
        look,
        at: shell.instant(one.state_at),
        next: one.next_at.map(|at| shell.instant(at)).unwrap_or_default(),
        tries: attempts.len(),
        last: attempts.last().map(attempt).unwrap_or_default(),
        kind: one.r#type,
    }
}

/// What an attempt came to: the status, the error, what more was said.
fn attempt(one: &Value) -> String {
    let part = |name: &str| match one.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    ["status", "error", "detail"].into_iter().filter_map(part).collect::<Vec<_>>().join(", ")
}

#[derive(Debug, Deserialize)]
pub struct Again {
    webhook: String,
}

/// Sends one event again, whatever became of it before.
pub async fn resend(
    webhooks: Data<Webhooks>,
    posted: Posted<Staff, Again>,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let Posted { visitor: staff, form } = posted;
    staff.check(Permission::ResendDeliveries)?;
    let owner = staff.partner()?.clone();
    let not_found = || Trouble::not_found(staff.lang).back_to(BACK);
    let id: DeliveryId = id.parse().map_err(|_| not_found())?;
    let webhook: WebhookId = form.webhook.parse().map_err(|_| not_found())?;
    let written = log::witness(Actor::from(&staff.signed));
    let also = move |conn: &mut _| written(conn, Act::new("delivery.resent", id));
    webhooks.resend_and(owner, id, staff.signed.login.to_string(), also).await.map_err(staff.no(BACK))?;
    Ok(page::see_other(&format!("{BACK}/{webhook}")))
}

impl crate::web::lang::Lang {
    fn suspended_because(self, why: Why) -> &'static str {
        match why {
            Why::Asked => self.suspended_asked(),
            Why::Gone => self.suspended_gone(),
            Why::Failing => self.suspended_failing(),
        }
    }
}
