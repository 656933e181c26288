//! Deliveries: receivers here, mutual TLS and all, of webhooks of a running server; how fast what waits for them comes, and
//! how soon what happens meanwhile.
//!
//! The server must be allowed to call here: `--outbound-allow 127.0.0.0/8`, with `outbound.crt` among its certificates.

use super::batch;
use super::client::{Answer, Ask, Client};
use super::load::Setting;
use super::members::membership_item;
use super::process;
use super::receivers::Receivers;
use super::tally::Tally;
use crate::cli::Error;
use crate::clock;
use hyper::body::Bytes;
use hyper::{Method, Uri};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// Webhooks of one partner, as many as it may have.
const WEBHOOKS: u64 = 4;
/// Single events whose way is timed.
const TIMED: u64 = 200;
/// Without a delivery for so long, the run has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was measured.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Delivered {
    pub deliveries: u64,
    pub elapsed_ms: u64,
    pub per_second: u64,
    /// Microseconds from the answer to what made an event until all webhooks had it.
    pub p50_us: u64,
    pub p99_us: u64,
    pub peak_memory_kib: Option<u64>,
}

impl std::fmt::Display for Delivered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Delivered { deliveries, elapsed_ms, per_second, p50_us, p99_us, .. } = self;
        writeln!(
            f,
            "deliveries: {deliveries} in {elapsed_ms} ms, {per_second}/s, to {WEBHOOKS} webhooks of one partner"
        )?;
        write!(f, "  of single events: p50 {} ms, p99 {} ms until all have it", p50_us / 1_000, p99_us / 1_000)?;
        match self.peak_memory_kib {
            Some(kib) => write!(f, "\n  server's peak resident {} MB", kib / 1_024),
            None => Ok(()),
        }
    }
}

/// Has `events` happen to the hot pair's origin, delivers them, then times single ones.
pub async fn run(setting: &Setting, pki: &Path, events: u64, bar: &ProgressBar) -> Result<Delivered, Error> {
    let receivers = Receivers::start(pki)?;
    let brand = setting.hot.pair.from;
    let tally = Rc::new(RefCell::new(Tally::default()));
    let mut client = setting.clients.client(brand.slug, 0, &tally)?;
    let head = head(&mut client, &receivers.url(0)).await?;
    let name = format!("hook-{}", clock::now().timestamp_millis());
    bar.set_message("having something happen");
    let items: Vec<String> = (0..events).map(|nth| membership_item(&format!("{name}-{nth}"), brand.tier)).collect();
    for chunk in items.chunks(batch::ITEMS) {
        let sent = batch::send(&mut client, "/v1/memberships/batch", chunk, |_, _, _| {}).await;
        sent.map_err(|code| Error::Failed(format!("a membership was refused: {code}")))?;
    }
    bar.set_message("delivering");
    bar.set_length(events * WEBHOOKS);
    let since = clock::instant();
    let mut hooks = Vec::new();
    for nth in 0..WEBHOOKS {
        hooks.push(create(&mut client, &receivers.url(nth), Some(head + 1)).await?);
    }
    until(&receivers, events * WEBHOOKS, bar).await?;
    let elapsed_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    let mut waits = Vec::new();
    for nth in 0..TIMED {
        let before = receivers.count();
        let uri: Uri = format!("/v1/memberships/{name}-timed-{nth}").parse().map_err(Error::failed)?;
        let body = json!({ "tier": brand.tier, "status": "active" }).to_string();
        expect(&client.ask(&ask(Method::PUT, uri, body)).await, 201)?;
        let since = clock::instant();
        until(&receivers, before + WEBHOOKS, bar).await?;
        waits.push(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    for (id, _) in &hooks {
        end(&mut client, id).await?;
    }
    waits.sort_unstable();
    let deliveries = events * WEBHOOKS;
    let server = setting.clients.targets().first().and_then(|target| process::listener(target.address));
    Ok(Delivered {
        deliveries,
        elapsed_ms,
        per_second: deliveries * 1_000 / elapsed_ms,
        p50_us: waits[waits.len() / 2],
        p99_us: waits[waits.len() * 99 / 100],
        peak_memory_kib: server.and_then(process::peak_memory_kib),
    })
}

/// The last sequence of the partner's feed: where a webhook begins that says nothing else.
pub async fn head(client: &mut Client, url: &str) -> Result<i64, Error> {
    let (id, cursor) = create(client, url, None).await?;
    end(client, &id).await?;
    Ok(cursor)
}

async fn create(client: &mut Client, url: &str, from: Option<i64>) -> Result<(String, i64), Error> {
    let body = json!({ "url": url, "from_sequence": from }).to_string();
    let answer = client.ask(&ask(Method::POST, Uri::from_static("/v1/webhooks"), body)).await;
    expect(&answer, 201)?;
    let made: Value = serde_json::from_slice(&answer.body).map_err(Error::failed)?;
    let id = made["webhook_id"].as_str().unwrap_or_default().to_owned();
    Ok((id, made["cursor"].as_i64().unwrap_or_default()))
}

async fn end(client: &mut Client, id: &str) -> Result<(), Error> {
    let uri: Uri = format!("/v1/webhooks/{id}").parse().map_err(Error::failed)?;
    expect(&client.ask(&ask(Method::DELETE, uri, String::new())).await, 204)
}

fn ask(method: Method, uri: Uri, body: String) -> Ask {
    Ask { method, uri, key: None, body: Bytes::from(body) }
}

fn expect(answer: &Answer, status: u16) -> Result<(), Error> {
    // A membership that is there already is 200.
    if answer.status == status || (status == 201 && answer.status == 200) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&answer.body);
    Err(Error::Failed(format!("answered {} where {status} was wanted: {said}", answer.status)))
}

async fn until(receivers: &Receivers, wanted: u64, bar: &ProgressBar) -> Result<(), Error> {
    let mut seen = receivers.count();
    let mut moved = clock::instant();
    while receivers.count() < wanted {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let count = receivers.count();
        if count > seen {
            (seen, moved) = (count, clock::instant());
            bar.set_position(count);
        } else if moved.elapsed() > PATIENCE {
            return Err(Error::Failed(format!("{seen} of {wanted} deliveries came, and no more for {PATIENCE:?}")));
        }
    }
    Ok(())
}
