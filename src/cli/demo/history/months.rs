//! Months of a history: they end by themselves; some brands counter-sign, one doubts a line, some pay.

use super::{History, Window};
use crate::book::expiry;
use crate::cli::Error;
use crate::cli::demo::client::{Client, Reply};
use crate::cli::sim::control::registration;
use crate::domain::ids::{Slug, WindowId};
use crate::domain::money::Millionths;
use crate::service::settlement::{self, pay};
use crate::signing::general::{Document, TYP};
use crate::signing::jws::SigningKey;
use crate::store::settlement::obligations;
use chrono::{Datelike, NaiveDate};
use diesel::PgConnection;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Windows and ends of points are looked at every two seconds.
const ROUNDS: u32 = 1_200;
const REST: Duration = Duration::from_millis(50);
/// On which day of a month the second brand signs, the doubt is told and answered, and money arrives.
const SIGNS: u32 = 2;
const DOUBTS: u32 = 3;
const ANSWERS: u32 = 4;
const PAYS: u32 = 9;
/// What a doubt is about, in millionths.
const CLAIM: i64 = 200_000;
/// A fen, in millionths.
const FEN: i64 = 10_000;

impl History<'_> {
    /// Waits until the month before has its statements and its points have ended; then the mall counter-signs.
    pub(super) async fn month_ends(&mut self) -> Result<(), Error> {
        let Some(last_day) = self.day.pred_opt() else { return Ok(()) };
        for _ in 0..ROUNDS {
            let today = self.day;
            let due = self.place.database.run(move |conn| expiry::due(conn, today, 1));
            let found = self.published(last_day).await?;
            if let (Some(window), true) = (&found, due.await.map_err(Error::failed)?.is_empty()) {
                let window = self.figures_of(window, last_day).await?;
                self.figures.windows.push(window);
                return self.countersign("lumen").await;
            }
            tokio::time::sleep(REST).await;
        }
        Err(Error::Failed(format!("the month to {last_day} is not published")))
    }

    /// What follows in the days after.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        if self.figures.windows.is_empty() {
            return Ok(());
        }
        match self.day.day() {
            SIGNS => self.countersign("harvest").await,
            DOUBTS => self.doubt().await,
            ANSWERS => self.answer().await,
            PAYS => self.pay().await,
            _ => Ok(()),
        }
    }

    fn client(&self, slug: &str) -> Result<&Client, Error> {
        let found = self.clients.iter().find(|client| client.name() == slug);
        found.ok_or_else(|| Error::Failed(format!("{slug} is no brand of the demo")))
    }

    /// The number of the newest window that has ended.
    fn window(&self) -> i64 {
        self.figures.windows.last().map_or(0, |window| window.number)
    }

    /// The window that ended on this day, once everybody has its statement.
    async fn published(&self, last_day: NaiveDate) -> Result<Option<Value>, Error> {
        let reply = self.operator.get("/v1/settlements?limit=10").await.map_err(Error::failed)?;
        let mut windows = reply.at("/items").as_array().into_iter().flatten();
        let ended = |window: &&Value| window["last_day"] == last_day.to_string() && !window["published_at"].is_null();
        Ok(windows.find(ended).cloned())
    }

    async fn figures_of(&self, window: &Value, last_day: NaiveDate) -> Result<Window, Error> {
        let number = window["number"].as_i64().unwrap_or(0);
        let mut partners = BTreeMap::new();
        for client in &self.clients {
            let seen = client.get(&format!("/v1/settlements/{number}")).await.map_err(Error::failed)?;
            let lines = seen.number("/statement/lines").unwrap_or(0);
            let closing = seen.text("/statement/closing").unwrap_or_default().to_owned();
            partners.insert(client.name().to_owned(), (lines, closing));
        }
        Ok(Window { number, last_day, partners })
    }

    /// Signs the statement with a key made for it, and lets the key rest.
    async fn countersign(&self, slug: &str) -> Result<(), Error> {
        let (client, window) = (self.client(slug)?, self.window());
        let path = format!("/v1/settlements/{window}/statement");
        let reply = done(client.get(&path).await, "a statement")?;
        let document = Document::parse(&reply.bytes).map_err(Error::failed)?;
        let made = SigningKey::generate().map_err(|_| Error::Failed("a key cannot be made".to_owned()))?;
        let key = SigningKey::from_pkcs8(&made).map_err(|_| Error::Failed("a key cannot be made".to_owned()))?;
        let partner: Slug = slug.parse().map_err(|_| Error::Failed(format!("{slug} is no slug")))?;
        done(client.post("/v1/signing-keys", &registration(&partner, &key)).await, "a signing key")?;
        let made = key.sign_detached(TYP, document.payload());
        let body = json!({"protected": made.protected, "signature": made.signature});
        done(client.post(&format!("/v1/settlements/{window}/signatures"), &body).await, "a counter-signature")?;
        let rest = client.post(&format!("/v1/signing-keys/{}/retire", key.kid()), &Value::Null).await;
        done(rest, "a key's rest").map(drop)
    }

    /// Harvest has counted otherwise.
    async fn doubt(&mut self) -> Result<(), Error> {
        let (client, window) = (self.client("harvest")?, self.window());
        let reply = done(client.get(&format!("/v1/settlements/{window}/lines")).await, "lines")?;
        let lines = reply.bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        let line =
            lines.into_iter().find(|line: &Value| line["kind"] == "conversion" && line["counterparty"] == "lumen");
        let Some(line) = line else { return Ok(()) };
        let amount = line["amount"].as_str().and_then(Millionths::parse).unwrap_or(Millionths::ZERO);
        let claimed = amount.plus(Millionths::new(CLAIM)).unwrap_or(amount);
        let body = json!({
            "line_id": line["line_id"], "kind": "amount", "claimed_amount": claimed.to_string(),
            "note": "by our count 按我方统计",
        });
        done(client.post(&format!("/v1/settlements/{window}/disputes"), &body).await, "a dispute")?;
        self.figures.disputes += 1;
        Ok(())
    }

    /// Lumen rejects it; who is right is for two operators to decide, whoever plays them.
    async fn answer(&self) -> Result<(), Error> {
        let client = self.client("lumen")?;
        let open = done(client.get("/v1/disputes?state=open").await, "disputes")?;
        let body = json!({"answer": "rejected", "note": "see the rate's version of that day 见当日汇率版本"});
        for dispute in open.at("/items").as_array().into_iter().flatten() {
            let id = dispute["dispute_id"].as_str().unwrap_or_default();
            done(client.post(&format!("/v1/disputes/{id}/answers"), &body).await, "an answer")?;
        }
        Ok(())
    }

    /// Of what is owed for the window, two thirds are paid, half of the next, and the others wait.
    async fn pay(&mut self) -> Result<(), Error> {
        let reply = done(self.operator.get(&format!("/v1/settlements/{}", self.window())).await, "a window")?;
        let window: Option<WindowId> = reply.text("/window_id").and_then(|id| id.parse().ok());
        let window = window.ok_or_else(|| Error::Failed("a window without its id".to_owned()))?;
        let reference = self.named("transfer");
        let unit = move |conn: &mut PgConnection| {
            let owed = obligations::list(conn, Some(window), None)?;
            let whole = owed.len() * 2 / 3;
            for (at, row) in owed.iter().enumerate().take(whole + 1) {
                let half = Millionths::new(row.amount.get() / 2 / FEN * FEN);
                let amount = (at == whole).then_some(half).filter(|half| half.get() > 0);
                let reference = format!("{reference}-{at}");
                let by = "demo".to_owned();
                pay::pay(conn, &pay::Paid { obligation: row.id, amount, on: None, reference, entry: None, by })?;
            }
            Ok::<_, settlement::Error>(owed.len().min(whole + 1))
        };
        let paid = self.place.database.run(unit).await.map_err(Error::failed)?;
        self.figures.payments += u64::try_from(paid).unwrap_or(0);
        Ok(())
    }
}

/// An answer that says yes.
fn done(reply: Result<Reply, crate::cli::demo::client::Error>, what: &str) -> Result<Reply, Error> {
    let reply = reply.map_err(Error::failed)?;
    if reply.is_done() { Ok(reply) } else { Err(Error::Failed(format!("{what} of a history: {}", reply.summary()))) }
}
