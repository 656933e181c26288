//! One batch of lines as requests: register, credit the opening lots, then give the status it is to have.
//!
//! A frozen or closed membership takes no points, so such a line is registered as active first and changed last.

use super::lines::{Batch, Line, Lot};
use crate::cli::Error;
use crate::clock;
use crate::signing::digest::directory_hash;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Items of one request.
const ITEMS_MAX: usize = 1_000;
/// How long a server may be away, or busy, before an import gives up; it resumes where it was.
const AWAY_MAX: Duration = Duration::from_secs(120);
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

pub struct Sender {
    client: reqwest::Client,
    url: String,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Opening lots that are there now.
    pub lots: u64,
    /// One text per refused line.
    pub refused: Vec<String>,
}

/// An item of a request and the place of its line in the batch.
struct Item {
    line: usize,
    body: Value,
}

impl Sender {
    pub fn new(client: reqwest::Client, url: &str) -> Sender {
        Sender { client, url: url.trim_end_matches('/').to_owned() }
    }

    /// Sends a batch and waits until everything in it is decided.
    pub async fn send(&self, batch: &Batch) -> Result<Outcome, Error> {
        let mut refused = Refused::default();
        let all = batch.lines.iter().enumerate();
        let registered = all.clone().map(|(line, (_, row))| membership(line, row, "active")).collect();
        self.post(
            "/v1/memberships/batch",
            registered,
            |line, code| {
                // A line that closes its membership did so in an earlier run.
                let closed_before = code == "membership_closed" && batch.lines[line].1.status == "closed";
                (!closed_before).then_some(line)
            },
            &mut refused,
        )
        .await?;
        let credits: Vec<Item> = all
            .clone()
            .filter(|(line, _)| !refused.has(*line))
            .flat_map(|(line, (_, row))| row.lots().map(move |lot| credit(line, row, lot)))
            .collect();
        let lots = credits.len();
        let missing = self.post("/v1/credits/batch", credits, |line, _| Some(line), &mut refused).await?;
        let changed = all
            .filter(|(line, (_, row))| row.status != "active" && !refused.has(*line))
            .map(|(line, (_, row))| membership(line, row, &row.status))
            .collect();
        self.post("/v1/memberships/batch", changed, |line, _| Some(line), &mut refused).await?;
        let lots = u64::try_from(lots.saturating_sub(missing)).unwrap_or(u64::MAX);
        Ok(Outcome { lots, refused: refused.told(batch) })
    }

    /// Posts items in requests of at most 1,000, and again those whose problem says so. Returns how many were refused.
    async fn post(
        &self,
        path: &str,
        items: Vec<Item>,
        counts: impl Fn(usize, &str) -> Option<usize>,
        refused: &mut Refused,
    ) -> Result<usize, Error> {
        let mut missing = 0;
        let mut left = items;
        let (mut pause, mut since) = (PAUSE_MIN, clock::instant());
        while !left.is_empty() {
            let rest = left.split_off(left.len().min(ITEMS_MAX));
            let outcomes = self.request(path, &left).await?;
            let mut again = Vec::new();
            for (item, outcome) in left.into_iter().zip(outcomes) {
                let Some(problem) = outcome.get("problem") else { continue };
                if problem["retryable"] == true {
                    again.push(item);
                    continue;
                }
                missing += 1;
                if let Some(line) = counts(item.line, problem["code"].as_str().unwrap_or_default()) {
                    refused.add(line, problem);
                }
            }
            if again.is_empty() {
                (pause, since) = (PAUSE_MIN, clock::instant());
            } else {
                wait(&mut pause, since, "the server is too busy").await?;
            }
            again.extend(rest);
            left = again;
        }
        Ok(missing)
    }

    /// One request, again while the server is away or asks for it.
    async fn request(&self, path: &str, items: &[Item]) -> Result<Vec<Value>, Error> {
        let body = json!({ "items": items.iter().map(|item| &item.body).collect::<Vec<_>>() });
        let (mut pause, since) = (PAUSE_MIN, clock::instant());
        loop {
            let answer = self.client.post(format!("{}{path}", self.url)).json(&body).send().await;
            let why = match answer {
                Err(why) if why.is_builder() => return Err(Error::failed(why)),
                Err(why) => crate::cli::chain(&why),
                Ok(answer) if answer.status() == StatusCode::OK => match answer.json::<Value>().await {
                    Ok(mut body) => return read(&mut body, items.len()),
                    Err(why) => crate::cli::chain(&why),
                },
                Ok(answer) => {
                    let status = answer.status();
                    let text = answer.text().await.unwrap_or_default();
                    let again = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status);
                    if !again {
                        return Err(Error::Failed(format!("{path}: {status}: {text}")));
                    }
                    text
                }
            };
            wait(&mut pause, since, &why).await?;
        }
    }
}

async fn wait(pause: &mut Duration, since: Instant, why: &str) -> Result<(), Error> {
    if since.elapsed() > AWAY_MAX {
        return Err(Error::Failed(format!("gave up after {} s, to be resumed: {why}", AWAY_MAX.as_secs())));
    }
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(PAUSE_MAX);
    Ok(())
}

fn read(body: &mut Value, items: usize) -> Result<Vec<Value>, Error> {
    match body["items"].take() {
        Value::Array(outcomes) if outcomes.len() == items => Ok(outcomes),
        _ => Err(Error::Failed("the answer has not one outcome per item".to_owned())),
    }
}

fn membership(line: usize, row: &Line, status: &str) -> Item {
    Item { line, body: json!({ "member_ref": row.member_ref, "tier": row.tier, "status": status }) }
}

/// An opening lot is credited once in the life of a membership, whatever file it comes from.
fn credit(line: usize, row: &Line, lot: Lot) -> Item {
    let hash = directory_hash("opening", &[row.member_ref.as_bytes(), &[lot.number]]);
    let key = format!("opening-{}", hash.simple());
    let mut body = json!({
        "idempotency_key": key, "member_ref": row.member_ref, "points": lot.points, "kind": "opening",
        "reason": "opening balance", "external_reference": key,
    });
    if let Some(day) = lot.expires_on {
        body["expires_on"] = json!(day);
    }
    Item { line, body }
}

/// Refused lines of a batch, each told once.
#[derive(Default)]
struct Refused {
    lines: BTreeSet<usize>,
    told: Vec<(usize, String)>,
}

impl Refused {
    fn has(&self, line: usize) -> bool {
        self.lines.contains(&line)
    }

    fn add(&mut self, line: usize, problem: &Value) {
        if !self.lines.insert(line) {
            return;
        }
        let said = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let field = &problem["errors"][0];
        let fault = if field.is_null() {
            said(&problem["title"])
        } else {
            let name = said(&field["pointer"]);
            format!("{} {}", name.rsplit('/').next().unwrap_or_default(), said(&field["detail"]))
        };
        self.told.push((line, format!("{}: {fault}", said(&problem["code"]))));
    }

    fn told(self, batch: &Batch) -> Vec<String> {
        let told = self.told.into_iter();
        told.map(|(line, why)| format!("line {}: {}: {why}", batch.lines[line].0, batch.lines[line].1.member_ref))
            .collect()
    }
}
