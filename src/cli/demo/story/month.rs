//! A month ends: it is closed, two brands add up their own lines and come to one figure, counter-sign, and are paid.

use super::board::{Expect, Row};
use super::{Broken, CLOCK, Error, FINANCE, HARVEST, LUMEN, NEST, Reply, SPROUT, Scene};
use crate::cli::demo::client::Client;
use crate::cli::sim::control::registration;
use crate::domain::expiry::{Expiry, month_end};
use crate::domain::ids::Slug;
use crate::domain::money::Millionths;
use crate::service::settlement::{self, pay};
use crate::signing::general::{Document, TYP};
use crate::signing::jws::SigningKey;
use crate::store::settlement::{exposures, obligations};
use chrono::{NaiveDate, TimeDelta};
use diesel::PgConnection;
use serde_json::{Value, json};
use std::time::Duration;

/// Windows are looked at every few seconds, and closing a small one takes less.
const ROUNDS: u32 = 600;
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
        self.settled(&reply)?;
        self.board.judge(LUMEN, "converts 100, to be settled with the month", &expect, &reply);
        let body = json!({
            "member_ref": member.harvest, "to": "lumen", "points": 50, "external_reference": self.named("month-back"),
        });
        let reply = self.harvest.post_once("/v1/conversions", &self.named("month-back"), &body).await?;
        let expect = Expect::done(201).is("debit", "/debit_points", 50).is("base", "/credit_points", 45);
        self.settled(&reply)?;
        self.board.judge(HARVEST, "converts 50 of them back, at 10:9", &expect, &reply);
        let (window, last_day) = self.month_ends().await?;
        let lumen = self.ledger(self.lumen.clone(), LUMEN, &window).await?;
        let harvest = self.ledger(self.harvest.clone(), HARVEST, &window).await?;
        let sprout = self.ledger(self.sprout.clone(), SPROUT, &window).await?;
        for other in [&harvest, &sprout] {
            self.judge_both(&lumen, other, last_day);
        }
        self.dispute(&harvest, &window).await?;
        self.reports_its_points(&window, last_day).await?;
        for ledger in [&lumen, &harvest] {
            self.countersign(ledger, &window).await?;
        }
        for (who, client) in [(SPROUT, self.sprout.clone()), (NEST, self.nest.clone())] {
            self.countersigns_itself(who, &client, &window).await?;
        }
        self.all_paid().await?;
        let window = window.parse().map_err(|_| Error::Settlement(settlement::Error::NotFound))?;
        self.leave_files(window).await
    }

    /// Keeps which conversion it was: its lines are to be proven.
    fn settled(&mut self, reply: &Reply) -> Result<(), Broken> {
        let id = self.text(reply, "/conversion_id")?;
        self.proven(&id)
    }

    pub(super) fn proven(&mut self, id: &str) -> Result<(), Broken> {
        self.month.push(id.parse().map_err(|_| Error::Settlement(settlement::Error::NotFound))?);
        Ok(())
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

    /// Both sides add up their own lines with each other, and come to one figure.
    fn judge_both(&mut self, one: &Ledger, other: &Ledger, last_day: NaiveDate) {
        let mine = self.judge_own_lines(one, other.client.name());
        let theirs = self.judge_own_lines(other, one.client.name());
        let holds = mine.is_some() && mine.map(Millionths::negated) == theirs;
        let told = |sum: Option<Millionths>| sum.map_or_else(|| "nothing".to_owned(), |sum| sum.to_string());
        let asked = format!("each from its own lines of the month to {last_day}");
        let expected = format!("{} turned round", told(mine));
        self.board.put(Row { who: "both 双方", asked, expected, got: told(theirs), holds });
    }

    /// Whose points are not kept here says itself how many are outstanding, and finance sees that it is only said.
    async fn reports_its_points(&mut self, window: &str, last_day: NaiveDate) -> Result<(), Broken> {
        let totals = self.control("sprout")?.totals().await.map_err(Error::Ledger)?;
        let of = |pointer: &str| totals.pointer(pointer).and_then(Value::as_i64).unwrap_or(-1);
        let points = of("/spendable") + of("/totals/held");
        let body = json!({"points": points, "as_of": last_day.to_string(), "note": "from our own ledger"});
        let reply = self.sprout.post(&format!("/v1/settlements/{window}/liabilities"), &body).await?;
        let expect = Expect::done(201).is("points", "/points", points);
        self.board.judge(SPROUT, "reports the points of its own ledger 自报积分", &expect, &reply);
        let reply = self.sprout.get("/v1/reports/liability").await?;
        let sections = reply.at("/sections").as_array().into_iter().flatten();
        let rows = |code: &str| {
            let section = sections.clone().find(|section| section["code"] == code);
            section.map(|section| section["rows"].clone()).unwrap_or_default()
        };
        let (brands, remote) = (rows("brands"), rows("remote"));
        let told = |proven: usize, row: &Value| format!("{proven} proven · {} · {}", row["reported"], row["points"]);
        let expected = told(0, &json!({"reported": "reported", "points": points}));
        let got = told(brands.as_array().map_or(0, Vec::len), &remote[0]);
        let (asked, holds) = ("its liability 积分负债, as it is shown".to_owned(), expected == got);
        self.board.put(Row { who: SPROUT, asked, expected, got, holds });
        Ok(())
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

    /// One brand doubts a line, the other says why it is right, and the doubt is taken back. Nothing signed changes.
    async fn dispute(&mut self, ledger: &Ledger, window: &str) -> Result<(), Broken> {
        let line = ledger.lines.first().and_then(|line| line["line_id"].as_str()).unwrap_or_default();
        let body =
            json!({"line_id": line, "kind": "amount", "claimed_amount": "1.20", "note": "by our count 按我方统计"});
        let reply = ledger.client.post(&format!("/v1/settlements/{window}/disputes"), &body).await?;
        let expect = Expect::done(201).is("", "/state", "open").is("claim", "/claim", "0.20");
        self.board.judge(ledger.who, "disputes a line: 1.20, not 1.00 争议", &expect, &reply);
        let id = self.text(&reply, "/dispute_id")?;
        let body = json!({"answer": "rejected", "note": "50 points at 0.02, see the rate's version"});
        let reply = self.lumen.post(&format!("/v1/disputes/{id}/answers"), &body).await?;
        self.board.judge(LUMEN, "answers: rejected", &Expect::done(200).is("", "/state", "answered"), &reply);
        let reply = ledger.client.post(&format!("/v1/disputes/{id}/withdrawal"), &Value::Null).await?;
        self.board.judge(ledger.who, "takes it back", &Expect::done(200).is("", "/state", "withdrawn"), &reply);
        Ok(())
    }

    /// Registers a key, signs the statement with it in the same document, and lets the key rest.
    async fn countersign(&mut self, ledger: &Ledger, window: &str) -> Result<(), Broken> {
        let slug: Slug = ledger.client.name().parse().map_err(|_| Error::Key)?;
        let made = SigningKey::generate().map_err(|_| Error::Key)?;
        let key = SigningKey::from_pkcs8(&made).map_err(|_| Error::Key)?;
        let reply = ledger.client.post("/v1/signing-keys", &registration(&slug, &key)).await?;
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

    /// A partner that keeps its own ledger is told by a webhook, verifies its statement, compares it with what its ledger has
    /// counted, and signs when both hold; nobody asks it to.
    async fn countersigns_itself(&mut self, who: &'static str, client: &Client, window: &str) -> Result<(), Broken> {
        let mut seen = client.get(&format!("/v1/settlements/{window}")).await?;
        for _ in 0..ROUNDS {
            if seen.text("/statement/state") == Some("acknowledged") {
                break;
            }
            tokio::time::sleep(REST).await;
            seen = client.get(&format!("/v1/settlements/{window}")).await?;
        }
        let expect = Expect::done(200).is("statement", "/statement/state", "acknowledged");
        self.board.judge(who, "compares with its own ledger, counter-signs", &expect, &seen);
        Ok(())
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
                    &pay::Paid {
                        obligation: row.id,
                        amount: None,
                        on: None,
                        reference,
                        entry: None,
                        by: "demo".to_owned(),
                    },
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
}

/// The published window that ended on this day.
fn published(reply: &Reply, last_day: NaiveDate) -> Option<&Value> {
    let windows = reply.at("/items").as_array().into_iter().flatten();
    let ended = |window: &&Value| window["last_day"] == last_day.to_string() && !window["published_at"].is_null();
    windows.filter(ended).find(|window| !window["statement"].is_null())
}
