//! A month ends: it is closed, two brands add up their own lines and come to one figure, counter-sign, and are paid.

use super::board::{Expect, Row};
use super::{Broken, CLOCK, Error, HARVEST, LUMEN, Reply, Scene};
use crate::cli::demo::client::Client;
use crate::cli::settle::export;
use crate::domain::expiry::{Expiry, month_end};
use crate::domain::holder::Holder;
use crate::domain::money::Millionths;
use crate::service::settlement::{self, pay};
use crate::service::signing_keys;
use crate::signing::general::{Document, TYP};
use crate::signing::jws::SigningKey;
use crate::store::settlement::{exposures, obligations};
use chrono::{NaiveDate, TimeDelta};
use diesel::PgConnection;
use serde_json::{Value, json};
use std::time::Duration;

const FINANCE: &str = "Finance 财务";
/// Windows are looked at every few seconds, and closing a small one takes less.
const ROUNDS: u32 = 300;
const REST: Duration = Duration::from_millis(100);

/// One brand's copy of its statement, and what it signs with.
struct Ledger {
    client: Client,
    who: &'static str,
    document: Document,
    statement: Value,
    lines: Vec<Value>,
}

impl Scene {
    pub(super) async fn a_month_closes(&mut self) -> Result<(), Broken> {
        self.board.chapter("A month closes, and both come to one figure 月末结算");
        let member = self.member("4");
        self.join(&member, "ordinary").await?;
        let reply = self.earn(&member, 100, "month-lot", None).await?;
        self.must(LUMEN, "issues 100 points", &reply)?;
        let reply = self.convert(&member, 100, "month").await?;
        let expect = Expect::done(201).is("base", "/credit_points", 50).is("bonus", "/bonuses/0/points", 5);
        self.board.judge(LUMEN, "converts 100 in the month's last days", &expect, &reply);
        let body = json!({
            "member_ref": member.harvest, "to": "lumen", "points": 50, "external_reference": self.named("month-back"),
        });
        let reply = self.harvest.post_once("/v1/conversions", &self.named("month-back"), &body).await?;
        let expect = Expect::done(201).is("debit", "/debit_points", 50).is("base", "/credit_points", 45);
        self.board.judge(HARVEST, "converts 50 of them back, at 10:9", &expect, &reply);
        let (window, last_day) = self.month_ends().await?;
        let lumen = self.ledger(self.lumen.clone(), LUMEN, &window).await?;
        let harvest = self.ledger(self.harvest.clone(), HARVEST, &window).await?;
        let mine = self.judge_own_lines(&lumen, "harvest");
        let theirs = self.judge_own_lines(&harvest, "lumen");
        let holds = mine.is_some() && mine.map(Millionths::negated) == theirs;
        let told = |sum: Option<Millionths>| sum.map_or_else(|| "nothing".to_owned(), |sum| sum.to_string());
        let asked = format!("each from its own lines of the month to {last_day}");
        let expected = format!("{} turned round", told(mine));
        self.board.put(Row { who: "both 双方", asked, expected, got: told(theirs), holds });
        for ledger in [&lumen, &harvest] {
            self.countersign(ledger, &window).await?;
        }
        self.all_paid().await?;
        self.leave_files(&window).await
    }

    /// Moves the clock past the month's end and waits for the servers to close it.
    async fn month_ends(&mut self) -> Result<(String, NaiveDate), Broken> {
        let today = self.day(self.now().await?);
        let last_day = match Expiry::months_after(today, 0) {
            Expiry::On(day) => day,
            Expiry::Never => month_end(today),
        };
        let now = self.advance(last_day + TimeDelta::days(1) - today).await?;
        let (asked, expected) =
            ("business time moves past the month's end".to_owned(), "a day of the next month".to_owned());
        let holds = self.day(now) > last_day;
        self.board.put(Row { who: CLOCK, asked, expected, got: self.day(now).to_string(), holds });
        let mut reply = self.lumen.get("/v1/settlements?limit=10").await?;
        for _ in 0..ROUNDS {
            if published(&reply, last_day).is_some() {
                break;
            }
            tokio::time::sleep(REST).await;
            reply = self.lumen.get("/v1/settlements?limit=10").await?;
        }
        let found = published(&reply, last_day).cloned().unwrap_or_default();
        let holds = found["statement"]["state"] == "published";
        let got = format!("window {} · {}", found["number"], found["state"].as_str().unwrap_or("not there"));
        let (asked, expected) =
            ("the month is closed by itself, every brand has a statement".to_owned(), "published".to_owned());
        self.board.put(Row { who: LUMEN, asked, expected, got, holds });
        match found["window_id"].as_str() {
            Some(window) => Ok((window.to_owned(), last_day)),
            None => Err(Broken::Missing),
        }
    }

    async fn ledger(&mut self, client: Client, who: &'static str, window: &str) -> Result<Ledger, Broken> {
        let reply = client.get(&format!("/v1/settlements/{window}/statement")).await?;
        self.must(who, "fetches its signed statement", &reply)?;
        let document = Document::parse(&reply.bytes).map_err(Error::Document)?;
        let statement: Value = serde_json::from_slice(document.payload()).unwrap_or_default();
        let reply = client.get(&format!("/v1/settlements/{window}/lines")).await?;
        self.must(who, "fetches its lines", &reply)?;
        let lines = reply.bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        Ok(Ledger { client, who, document, statement, lines: lines.collect() })
    }

    /// Adds up the lines with one counterparty, and nothing else, and compares with the statement.
    fn judge_own_lines(&mut self, ledger: &Ledger, with: &str) -> Option<Millionths> {
        let own = ledger.lines.iter().filter(|line| line["counterparty"] == with);
        let amount = |line: &Value| Millionths::parse(line["amount"].as_str()?);
        let sum = own.map(amount).try_fold(Millionths::ZERO, |sum, amount| sum.plus(amount?));
        let rows = ledger.statement["counterparties"].as_array().into_iter().flatten();
        let stated = rows.filter(|row| row["counterparty"] == with).find_map(|row| row["exact"].as_str());
        let (expected, got) =
            (stated.unwrap_or("nothing").to_owned(), sum.map_or_else(String::new, |sum| sum.to_string()));
        let asked = format!("adds up its own {} lines with {with}", ledger.lines.len());
        let holds = expected == got;
        self.board.put(Row { who: ledger.who, asked, expected, got, holds });
        sum.filter(|_| holds)
    }

    /// Registers a key, signs the statement with it in the same document, and lets the key rest.
    async fn countersign(&mut self, ledger: &Ledger, window: &str) -> Result<(), Broken> {
        let pkcs8 = SigningKey::generate().map_err(|_| Error::Key)?;
        let key = SigningKey::from_pkcs8(&pkcs8).map_err(|_| Error::Key)?;
        let slug = ledger.client.name().parse().map_err(|_| Error::Key)?;
        let proof = signing_keys::proof_payload(&Holder::Partner(slug), key.kid());
        let body = json!({"jwk": key.public().to_jwk(), "proof": key.sign("key-proof+jws", &proof)});
        let reply = ledger.client.post("/v1/signing-keys", &body).await?;
        self.must(ledger.who, "registers a signing key", &reply)?;
        let made = key.sign_detached(TYP, ledger.document.payload());
        let body = json!({"protected": made.protected, "signature": made.signature});
        let reply = ledger.client.post(&format!("/v1/settlements/{window}/signatures"), &body).await?;
        self.must(ledger.who, "counter-signs", &reply)?;
        let seen = ledger.client.get(&format!("/v1/settlements/{window}")).await?;
        let expect = Expect::done(200).is("statement", "/statement/state", "acknowledged");
        self.board.judge(ledger.who, "counter-signs its statement 会签", &expect, &seen);
        let retired = ledger.client.post(&format!("/v1/signing-keys/{}/retire", key.kid()), &Value::Null).await?;
        self.must(ledger.who, "retires the key of this play", &retired)
    }

    /// Records a payment of everything that is owed; then no exposure is left.
    async fn all_paid(&mut self) -> Result<(), Broken> {
        let reference = self.named("transfer");
        let unit = move |conn: &mut PgConnection| {
            let owed = obligations::list(conn, None, None)?;
            for row in &owed {
                let reference = reference.clone();
                pay::pay(
                    conn,
                    &pay::Paid { obligation: row.id, amount: None, on: None, reference, by: "demo".to_owned() },
                )?;
            }
            let left = exposures::open(conn)?;
            Ok::<_, settlement::Error>((owed.len(), left))
        };
        let (paid, left) = self.database.run(unit).await?;
        let asked = format!("records {paid} payments: all that is owed");
        let (expected, holds) = ("every exposure 0".to_owned(), left.is_empty());
        let got = if holds { expected.clone() } else { left.join(", ") };
        self.board.put(Row { who: FINANCE, asked, expected, got, holds });
        Ok(())
    }

    /// Writes everybody's files, as they would fetch them.
    async fn leave_files(&mut self, window: &str) -> Result<(), Broken> {
        let reply = self.lumen.get(&format!("/v1/settlements/{window}")).await?;
        let number = reply.number("/number").unwrap_or_default();
        let (folder, jwks) = (self.folder.clone(), self.keys.jwks());
        let unit =
            move |conn: &mut PgConnection| export::write(conn, number, None, &folder, &jwks).map_err(Error::Files);
        let files = self.database.run(unit).await?;
        let asked = format!("leaves the files of window {number} in {}", self.folder.display());
        let (expected, holds) = ("statements, lines, proofs, keys, checkpoint".to_owned(), !files.is_empty());
        self.board.put(Row { who: FINANCE, asked, expected, got: format!("{} files", files.len()), holds });
        Ok(())
    }
}

/// The published window that ended on this day.
fn published(reply: &Reply, last_day: NaiveDate) -> Option<&Value> {
    let windows = reply.at("/items").as_array().into_iter().flatten();
    let ended = |window: &&Value| window["last_day"] == last_day.to_string() && window["state"] == "published";
    windows.filter(ended).find(|window| !window["statement"].is_null())
}
