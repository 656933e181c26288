//! `hanse webhooks list|show`: where the feed is pushed, and how that goes.

use super::house::Reach;
use super::partners::table;
use super::{Error, Global};
use crate::config::Flags;
use crate::domain::ids::{Slug, WebhookId};
use crate::http::instant;
use crate::service::delivery::endpoints::{self, Delivery};
use crate::store;
use crate::store::webhooks::Row;
use crate::store::webhooks::log::Standing;
use diesel::PgConnection;
use serde_json::{Value, json};

/// Deliveries shown at once.
const LIMIT: i64 = 20;

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Every partner's webhooks: how far behind each is, its breaker, what waits and what is dead
    List {
        /// Only this partner's
        #[arg(long, value_name = "SLUG", value_parser = super::slug)]
        partner: Option<Slug>,
        #[command(flatten)]
        flags: Flags,
    },
    /// One of them with what was sent to it last, the newest first, and why that failed
    Show {
        /// whk_…
        #[arg(value_parser = webhook)]
        id: WebhookId,
        /// Only what is in this state: due, retrying, delivered or dead
        #[arg(long, value_parser = ["due", "retrying", "delivered", "dead"])]
        state: Option<String>,
        #[command(flatten)]
        flags: Flags,
    },
}

fn webhook(text: &str) -> Result<WebhookId, &'static str> {
    text.parse().map_err(|_| "it is no webhook's id: whk_ and 32 digits, as `hanse webhooks list` has them")
}

pub fn run(action: &Action, global: &Global) -> Result<(), Error> {
    let (Action::List { flags, .. } | Action::Show { flags, .. }) = action;
    let reach = Reach::open(&global.begin(flags)?)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    match action {
        Action::List { partner, .. } => list(&mut conn, partner.as_ref(), global),
        Action::Show { id, state, .. } => show(&mut conn, *id, state.as_deref(), global),
    }
}

fn list(conn: &mut PgConnection, partner: Option<&Slug>, global: &Global) -> Result<(), Error> {
    if let Some(partner) = partner {
        super::known(conn, partner)?;
    }
    let mut found = endpoints::survey(conn).map_err(Error::failed)?;
    found.retain(|(row, _)| partner.is_none_or(|partner| row.partner == *partner));
    if global.json {
        let all: Vec<Value> = found.iter().map(|(row, standing)| to_json(row, standing)).collect();
        println!("{}", json!({ "webhooks": all }));
        return Ok(());
    }
    if found.is_empty() {
        println!("no webhook is registered: partners ask with GET /v1/events");
        return Ok(());
    }
    let mut table = table(["webhook", "partner", "url", "state", "breaker", "backlog", "waiting", "dead"]);
    for (row, standing) in &found {
        let numbers = [standing.backlog, standing.waiting, standing.dead].map(|number| number.to_string());
        let texts = [row.id.to_string(), row.partner.to_string(), row.url.clone(), state(row), breaker(row).to_owned()];
        table.add_row(texts.into_iter().chain(numbers));
    }
    println!("{table}");
    Ok(())
}

fn show(conn: &mut PgConnection, id: WebhookId, state: Option<&str>, global: &Global) -> Result<(), Error> {
    let found = endpoints::survey(conn).map_err(Error::failed)?;
    let Some((row, standing)) = found.into_iter().find(|(row, _)| row.id == id) else {
        return Err(Error::Failed(format!(
            "there is no webhook {id}, or it has ended: `hanse webhooks list` has them"
        )));
    };
    let last = endpoints::last(conn, &row, state, LIMIT).map_err(Error::failed)?;
    if global.json {
        let mut told = to_json(&row, &standing);
        told["deliveries"] = last.iter().map(|one| delivery_json(&row, one)).collect();
        println!("{told:#}");
        return Ok(());
    }
    print_one(&row, &standing);
    if last.is_empty() {
        println!("nothing {}", state.map_or("was sent to it yet".to_owned(), |state| format!("is {state}")));
        return Ok(());
    }
    let mut table = table(["sequence", "type", "state", "since", "tries", "last attempt", "it came to", "next"]);
    for one in &last {
        let attempts = one.attempts.as_array().map(Vec::as_slice).unwrap_or_default();
        let attempt = attempts.last().unwrap_or(&Value::Null);
        table.add_row([
            one.sequence.to_string(),
            one.r#type.clone(),
            one.state.clone(),
            instant(one.state_at),
            attempts.len().to_string(),
            attempt["at"].as_str().and_then(|at| at.parse().ok()).map(instant).unwrap_or_default(),
            outcome(attempt),
            one.next_at.map(instant).unwrap_or_default(),
        ]);
    }
    println!("{table}");
    println!("the partner sends one again with POST /v1/deliveries/{{id}}/resend: `--json` has the ids");
    Ok(())
}

fn print_one(row: &Row, standing: &Standing) {
    println!("{} of {}, {}", row.id, row.partner, row.url);
    let types = row.types.as_ref().map_or("all types".to_owned(), |types| types.join(", "));
    println!("{}, {types}", state(row));
    let Standing { backlog, waiting, dead, .. } = standing;
    println!("sent up to {}, {backlog} after it; {waiting} wait for another try, {dead} are dead", row.cursor);
    if row.health.failures > 0 {
        let since = row.health.failing_since.map(|at| format!(", since {}", instant(at))).unwrap_or_default();
        println!("breaker {}: {} failed one after the other{since}", breaker(row), row.health.failures);
    }
    if let Some(until) = row.rests_until {
        println!("nothing is sent before {}", instant(until));
    }
}

/// A status, or what kept an answer away.
fn outcome(attempt: &Value) -> String {
    let status = attempt["status"].as_u64().map(|status| status.to_string());
    let error = attempt["error"].as_str().map(str::to_owned);
    status.into_iter().chain(error).collect::<Vec<_>>().join(" ")
}

fn delivery_json(row: &Row, one: &Delivery) -> Value {
    json!({
        "delivery_id": endpoints::delivery_id(row.no, one.sequence).to_string(), "sequence": one.sequence, "type": one.r#type,
        "state": one.state, "state_at": instant(one.state_at), "next_at": one.next_at.map(instant), "resent": one.resent,
        "attempts": one.attempts,
    })
}

fn state(row: &Row) -> String {
    row.health.suspended.map_or("active".to_owned(), |why| format!("suspended: {}", why.text()))
}

fn breaker(row: &Row) -> &'static str {
    if row.health.is_open() { "open" } else { "closed" }
}

fn to_json(row: &Row, standing: &Standing) -> Value {
    json!({
        "webhook_id": row.id.to_string(), "partner": row.partner.as_str(), "url": row.url, "state": state(row),
        "breaker": breaker(row), "failures": row.health.failures, "cursor": row.cursor, "backlog": standing.backlog,
        "waiting": standing.waiting, "dead": standing.dead,
    })
}
