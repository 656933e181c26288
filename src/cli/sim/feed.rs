//! The alliance's events as a partner takes them in: pushed to its endpoint or asked for, each once and in their order.
//!
//! A push only puts an event where it belongs; so does an answer to `GET /v1/events`. What is handled is what follows the
//! last one without a gap: a push that was lost, or came too early, loses nothing.

use super::alliance::Alliance;
use super::month::Month;
use crate::cli::Error;
use crate::clock;
use crate::partner::sim::Sim;
use crate::partner::sim::ledger::{Command, Event};
use crate::signing::webhook::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where events are pushed, asking is for what a push has lost; elsewhere it is how they come.
const ASK_EVERY_PUSHED: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_secs(1);
/// After the alliance could not be reached.
const AGAIN: Duration = Duration::from_secs(2);
const PAGE: usize = 1_000;
/// Of the last event that was handled.
const CURSOR: &str = "cursor";
const WEBHOOK: &str = "webhook";

/// What is kept of our webhook at the alliance.
#[derive(Serialize, Deserialize)]
struct Registered {
    url: String,
    secret: String,
}

/// Asks to be told of events at our own endpoint, once; with the secret, requests are believed for it too. Where that
/// cannot be, events are asked for: how often they are to be.
pub async fn register(sim: &Sim, alliance: &Alliance, endpoint: &str) -> Result<Duration, Error> {
    let url = format!("{}/webhooks", endpoint.trim_end_matches('/'));
    let known: Option<Registered> = sim.store.kept(WEBHOOK).map_err(Error::failed)?;
    let secret = match known {
        Some(known) if known.url == url => known.secret,
        _ => {
            let cursor: u64 = sim.store.kept(CURSOR).map_err(Error::failed)?.unwrap_or_default();
            let asked = json!({ "url": url, "from_sequence": cursor + 1 });
            let made = match alliance.post("/v1/webhooks", &asked).await {
                Ok(made) => made,
                Err(cause) => {
                    tracing::warn!(error = %cause, "no webhook is registered: events are asked for instead");
                    return Ok(ASK_EVERY);
                }
            };
            let secret = made["secret"].as_str().unwrap_or_default().to_owned();
            let registered = Registered { url, secret: secret.clone() };
            sim.store.keep(WEBHOOK, &registered).await.map_err(Error::failed)?;
            secret
        }
    };
    let secret = Secret::parse(&secret).map_err(|why| Error::Failed(format!("the webhook's secret: {why}")))?;
    sim.gate.set_secrets(vec![secret]);
    Ok(ASK_EVERY_PUSHED)
}

/// Takes events in and handles them, for as long as it runs; asks for them this often.
pub async fn follow(sim: Arc<Sim>, alliance: Alliance, mut month: Month, ask_every: Duration) {
    let mut asked: Option<Instant> = None;
    loop {
        let asks = asked.is_none_or(|asked| asked.elapsed() >= ask_every);
        let pause = match catch_up(&sim, &alliance, &mut month, asks).await {
            Ok(()) => {
                asked = if asks { Some(clock::instant()) } else { asked };
                ask_every
            }
            Err(cause) => {
                tracing::warn!(error = %cause, "events cannot be followed now");
                AGAIN
            }
        };
        // Whichever comes first: something was pushed, or it is time to ask.
        let _ = tokio::time::timeout(pause, sim.news.notified()).await;
    }
}

/// Handles all that was pushed, and all there is if it asks.
async fn catch_up(sim: &Sim, alliance: &Alliance, month: &mut Month, asks: bool) -> Result<(), Error> {
    loop {
        let mut cursor: u64 = sim.store.kept(CURSOR).map_err(Error::failed)?.unwrap_or_default();
        let pushed = sim.store.events_after(cursor, PAGE).map_err(Error::failed)?;
        let next = dense(cursor, pushed);
        let next = if next.is_empty() && asks { ask(sim, alliance, cursor).await? } else { next };
        if next.is_empty() {
            return Ok(());
        }
        let mut outcome = Ok(());
        for event in next {
            let said: Value = serde_json::from_str(&event.body).unwrap_or_default();
            outcome = month.on(sim, alliance, &said).await;
            if outcome.is_err() {
                break;
            }
            cursor = event.sequence;
        }
        // After they were handled: they are handled again if this process ends before, and that does nothing new.
        sim.store.keep(CURSOR, &cursor).await.map_err(Error::failed)?;
        outcome?;
    }
}

/// Those that follow without a gap.
fn dense(after: u64, events: Vec<Event>) -> Vec<Event> {
    let wanted = after + 1..;
    events
        .into_iter()
        .zip(wanted)
        .take_while(|(event, wanted)| event.sequence == *wanted)
        .map(|(event, _)| event)
        .collect()
}

/// Asks for what follows, and puts it where a push would have put it.
async fn ask(sim: &Sim, alliance: &Alliance, after: u64) -> Result<Vec<Event>, Error> {
    let told = alliance.get_json(&format!("/v1/events?after={after}&limit={PAGE}")).await?;
    let mut events = Vec::new();
    for (said, wanted) in told["items"].as_array().into_iter().flatten().zip(after + 1..) {
        let (Some(sequence), Some(id)) = (said["sequence"].as_u64(), said["id"].as_str()) else {
            return Err(Error::Failed(format!("an event cannot be read: {said}")));
        };
        if sequence != wanted {
            return Err(Error::Failed(format!(
                "the sequence of events has a gap: {sequence} where {wanted} should be"
            )));
        }
        events.push(Event { sequence, id: id.to_owned(), body: said.to_string() });
    }
    let commands = events.iter().cloned().map(Command::Remember).collect();
    let outcomes = sim.store.apply_all(commands).await.map_err(Error::failed)?;
    match outcomes.into_iter().find_map(Result::err) {
        None => Ok(events),
        Some(why) => Err(Error::Failed(format!("events: {}", why.detail.unwrap_or_default()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_a_gap_waits() {
        let event = |sequence| Event { sequence, id: format!("evt_{sequence}"), body: String::new() };
        let sequences = |after, all: &[u64]| {
            let events = dense(after, all.iter().map(|sequence| event(*sequence)).collect());
            events.iter().map(|event| event.sequence).collect::<Vec<_>>()
        };
        assert_eq!(sequences(0, &[1, 2, 4, 5]), [1, 2]);
        assert_eq!(sequences(3, &[4, 5]), [4, 5]);
        assert!(sequences(2, &[4, 5]).is_empty());
    }
}
