//! Brands that keep their own ledgers: points go there, come back, go from one to the other, are refused, are undone, and
//! arrive once even where an answer does not. In the end both ledgers are what the book makes them, to the point.

use super::board::{Expect, Row};
use super::{Broken, Error, LUMEN, NEST, Reply, SPROUT, Scene, consent, of};
use crate::cli::demo::client::Client;
use crate::cli::demo::remotes;
use crate::cli::sim::control::Control;
use crate::domain::ids::Slug;
use crate::store::crossings::{self, Moved};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::time::Duration;

/// A partner that gives no answer is asked again after seconds, and this is many times that.
const ROUNDS: u32 = 900;
const REST: Duration = Duration::from_millis(100);
/// What the member has at Lumen and at Sprout to begin with.
const AT_LUMEN: i64 = 180;
const AT_SPROUT: i64 = 1_000;
const AT_NEST: i64 = 10;

/// One person at three brands, two of which keep their own ledgers.
struct Person {
    lumen: String,
    sprout: String,
    nest: String,
}

/// A conversion to be made, and what it should bring.
struct Trip<'a> {
    who: &'static str,
    brand: &'a Client,
    member: &'a str,
    to: &'a str,
    points: i64,
    credit: i64,
    name: &'a str,
}

/// How it was accepted, and how it stands once it is no longer on its way.
struct Ended {
    id: String,
    confirmation: String,
    reply: Reply,
}

impl Scene {
    pub(super) async fn two_ledgers(&mut self) -> Result<(), Broken> {
        self.board.chapter("Two ledgers, one conversion 两本账，一笔转换");
        self.month_has_begun().await?;
        let person = self.member_of_three().await?;
        let (lumen, sprout) = (self.lumen.clone(), self.sprout.clone());
        let trip = |who, brand, member, to, points, credit, name| Trip { who, brand, member, to, points, credit, name };
        let there = self.completes(&trip(LUMEN, &lumen, &person.lumen, "sprout", 50, 20, "there")).await?;
        self.holds(&person, AT_LUMEN - 50, AT_SPROUT + 20, AT_NEST).await?;
        let back = self.completes(&trip(SPROUT, &sprout, &person.sprout, "lumen", 100, 70, "back")).await?;
        self.holds(&person, AT_LUMEN + 20, AT_SPROUT - 80, AT_NEST).await?;
        let on = self.completes(&trip(SPROUT, &sprout, &person.sprout, "nest", 50, 70, "on")).await?;
        self.holds(&person, AT_LUMEN + 20, AT_SPROUT - 130, AT_NEST + 70).await?;
        let much = self.crosses(&trip(SPROUT, &sprout, &person.sprout, "lumen", 5_000, 3_500, "much")).await?;
        let expect = Expect::done(200).is("", "/state", "released").is("because", "/code", "insufficient_points");
        self.board.judge(SPROUT, "its own ledger has no 5,000: nothing moves", &expect, &much.reply);
        self.holds(&person, AT_LUMEN + 20, AT_SPROUT - 130, AT_NEST + 70).await?;
        self.undone(&sprout, &back.id).await?;
        self.holds(&person, AT_LUMEN - 50, AT_SPROUT - 30, AT_NEST + 70).await?;
        let silent = trip(LUMEN, &lumen, &person.lumen, "sprout", 50, 20, "silent");
        self.answer_gets_lost(&silent).await?;
        self.holds(&person, AT_LUMEN - 100, AT_SPROUT - 10, AT_NEST + 70).await?;
        for id in [&there.id, &on.id] {
            self.proven(id)?;
        }
        self.ledgers_agree().await
    }

    /// Time has passed into a new month: what is converted from here on is to be settled with it, so the window before must
    /// have ended. Servers look every few seconds.
    async fn month_has_begun(&self) -> Result<(), Error> {
        let month = |at: DateTime<Utc>| self.day(at).format("%Y-%m").to_string();
        let now = month(self.now().await?);
        for _ in 0..ROUNDS {
            let reply = self.lumen.get("/v1/settlements?limit=1").await?;
            let opened: Option<DateTime<Utc>> = reply.text("/items/0/opened_at").and_then(|text| text.parse().ok());
            if opened.is_some_and(|opened| month(opened) == now) {
                break;
            }
            tokio::time::sleep(REST).await;
        }
        Ok(())
    }

    /// Registered everywhere and linked; its points at Sprout and Nest are in their own ledgers alone.
    async fn member_of_three(&mut self) -> Result<Person, Broken> {
        let named = |letter: &str| format!("S-{}-{letter}5", self.run);
        let person = Person { lumen: named("L"), sprout: named("S"), nest: named("N") };
        let (lumen, sprout, nest) = (self.lumen.clone(), self.sprout.clone(), self.nest.clone());
        for (who, brand, member, tier) in [
            (LUMEN, &lumen, &person.lumen, "ordinary"),
            (SPROUT, &sprout, &person.sprout, "l1"),
            (NEST, &nest, &person.nest, "l1"),
        ] {
            let reply = brand.put(&of(member, ""), &json!({"tier": tier, "status": "active"})).await?;
            self.must(who, "registers a member", &reply)?;
        }
        self.control("sprout")?.seed(&person.sprout, AT_SPROUT).await.map_err(Error::Ledger)?;
        self.control("nest")?.seed(&person.nest, AT_NEST).await.map_err(Error::Ledger)?;
        let body = json!({"points": AT_LUMEN, "reason": "purchase 购物", "external_reference": self.named("three")});
        let reply = lumen.post_once(&of(&person.lumen, "/credits"), &self.named("three"), &body).await?;
        self.must(LUMEN, "issues 180 points", &reply)?;
        let reply = sprout.post_once(&of(&person.sprout, "/credits"), &self.named("not-here"), &body).await?;
        let expect = Expect::refused(403, "forbidden");
        self.board.judge(SPROUT, "issues points here, too: it keeps its own", &expect, &reply);
        for (who, brand, member, to, other, reference) in [
            (LUMEN, &lumen, &person.lumen, SPROUT, &sprout, &person.sprout),
            (SPROUT, &sprout, &person.sprout, NEST, &nest, &person.nest),
        ] {
            let asked = json!({"member_ref": member, "to": other.name(), "consent": consent()});
            let reply = brand.post("/v1/links", &asked).await?;
            self.must(who, "asks for a link", &reply)?;
            let code = self.text(&reply, "/code")?;
            let accepted = json!({"code": code, "member_ref": reference, "consent": consent()});
            let reply = other.post("/v1/links/accept", &accepted).await?;
            self.must(to, "accepts the link", &reply)?;
        }
        Ok(person)
    }

    /// Converts, and waits until it is no longer on its way.
    async fn crosses(&mut self, trip: &Trip<'_>) -> Result<Ended, Broken> {
        let name = self.named(trip.name);
        let body = json!({
            "member_ref": trip.member, "to": trip.to, "points": trip.points, "external_reference": name,
        });
        let reply = trip.brand.post_once("/v1/conversions", &name, &body).await?;
        let expect = Expect::done(202).is("", "/state", "pending").is("debit", "/debit_points", trip.points).is(
            "total",
            "/total_credit_points",
            trip.credit,
        );
        self.board.judge(trip.who, format!("converts {} to {}", trip.points, trip.to), &expect, &reply);
        let (id, confirmation) = (self.text(&reply, "/conversion_id")?, self.text(&reply, "/confirmation")?);
        let reply = self.ended(trip.brand, &id, |reply| reply.text("/state") != Some("pending")).await?;
        Ok(Ended { id, confirmation, reply })
    }

    /// The same for one that should arrive.
    async fn completes(&mut self, trip: &Trip<'_>) -> Result<Ended, Broken> {
        let ended = self.crosses(trip).await?;
        let expect = Expect::done(200)
            .is("", "/state", "completed")
            .is("total", "/total_credit_points", trip.credit)
            .is("number", "/confirmation", &ended.confirmation);
        self.board.judge(trip.who, "asks how it stands, until it has arrived", &expect, &ended.reply);
        Ok(ended)
    }

    /// Asks how a conversion stands until it stands so, or as long as anybody would.
    async fn ended(&self, brand: &Client, id: &str, so: impl Fn(&Reply) -> bool) -> Result<Reply, Error> {
        let path = format!("/v1/conversions/{id}");
        let mut reply = brand.get(&path).await?;
        for _ in 0..ROUNDS {
            if so(&reply) {
                break;
            }
            tokio::time::sleep(REST).await;
            reply = brand.get(&path).await?;
        }
        Ok(reply)
    }

    async fn undone(&mut self, brand: &Client, id: &str) -> Result<(), Broken> {
        let path = format!("/v1/conversions/{id}/undo");
        let reply = brand.post_once(&path, &self.named("undo-back"), &Value::Null).await?;
        let expect =
            Expect::done(202).is("", "/kind", "undo").is("", "/state", "pending").is("back", "/debit_points", 100);
        self.board.judge(SPROUT, "undoes what went to Lumen 撤销", &expect, &reply);
        let undone = |reply: &Reply| {
            reply.text("/state") == Some("undone") && reply.text("/reversals/0/state") == Some("completed")
        };
        let reply = self.ended(brand, id, undone).await?;
        let expect = Expect::done(200).is("", "/state", "undone").is("back", "/reversed_debit_points", 100);
        self.board.judge(SPROUT, "asks how it stands, until it is undone", &expect, &reply);
        Ok(())
    }

    /// Sprout's ledger takes the points in and never says so: it is asked what became of it, and they arrive once.
    async fn answer_gets_lost(&mut self, trip: &Trip<'_>) -> Result<(), Broken> {
        let control = self.control("sprout")?;
        let lost = |totals: &Value| totals["faults"]["timeout_after"].as_i64().unwrap_or(0);
        let before = lost(&control.totals().await.map_err(Error::Ledger)?);
        control.faults("credit:timeout_after=x1").await.map_err(Error::Ledger)?;
        let ended = self.completes(trip).await;
        control.faults(remotes::faults("sprout")).await.map_err(Error::Ledger)?;
        let ended = ended?;
        let after = lost(&control.totals().await.map_err(Error::Ledger)?);
        let ledger = control.ledger().await.map_err(Error::Ledger)?;
        let credits = ledger["credits"].as_array().into_iter().flatten().map(|row| &row[1]);
        let ours: Vec<&Value> =
            credits.filter(|row| row["conversion_id"] == *ended.id && row["state"] == "taken").collect();
        let points: i64 = ours.iter().filter_map(|row| row["asked"]["points"].as_i64()).sum();
        let told =
            |lost: i64, credits: usize, points: i64| format!("{lost} answer lost · {credits} credit of {points}");
        let (expected, got) = (told(1, 1, trip.credit), told(after - before, ours.len(), points));
        let (asked, holds) = ("does it, and never answers".to_owned(), expected == got);
        self.board.put(Row { who: SPROUT, asked, expected, got, holds });
        Ok(())
    }

    /// What the person has at each brand, by whoever keeps the account.
    async fn holds(&mut self, person: &Person, lumen: i64, sprout: i64, nest: i64) -> Result<(), Broken> {
        let reply = self.lumen.get(&of(&person.lumen, "")).await?;
        let at_lumen = reply.number("/balance").unwrap_or(-1);
        let at_sprout = balance(&self.control("sprout")?, &person.sprout).await?;
        let at_nest = balance(&self.control("nest")?, &person.nest).await?;
        let told = |[lumen, sprout, nest]: [i64; 3]| format!("{lumen} · {sprout} · {nest}");
        let (expected, got) = (told([lumen, sprout, nest]), told([at_lumen, at_sprout, at_nest]));
        let (asked, holds) = ("here, and in Sprout's and Nest's ledgers".to_owned(), expected == got);
        self.board.put(Row { who: "all three 三方", asked, expected, got, holds });
        Ok(())
    }

    /// Everything that was ever posted, against what each partner's own process has counted.
    async fn ledgers_agree(&mut self) -> Result<(), Broken> {
        for (who, name) in [(SPROUT, "sprout"), (NEST, "nest")] {
            let (slug, control) = (slug(name)?, self.control(name)?);
            let mut moved = self.moved(&slug).await?;
            for _ in 0..ROUNDS {
                if moved.under_way == 0 {
                    break;
                }
                tokio::time::sleep(REST).await;
                moved = self.moved(&slug).await?;
            }
            let totals = control.totals().await.map_err(Error::Ledger)?;
            let told = |captured: i64, credited: i64, back: i64, held: i64| {
                format!("out {captured} · in {credited} · back {back} · held {held}")
            };
            let of = |name: &str| totals["totals"][name].as_i64().unwrap_or(-1);
            let expected = told(moved.captured, moved.credited, moved.given_back, 0);
            let got = told(of("captured"), of("credited"), of("given_back"), of("held"));
            let holds = expected == got && totals["adds_up"] == true && moved.under_way == 0;
            let asked = "its own totals are what the book has posted".to_owned();
            self.board.put(Row { who, asked, expected, got, holds });
        }
        Ok(())
    }

    async fn moved(&self, partner: &Slug) -> Result<Moved, Error> {
        let partner = partner.clone();
        let moved = self.database.run(move |conn| Ok::<_, crate::store::Error>(crossings::moved(conn, &partner)?));
        Ok(moved.await?)
    }

    /// The owner's side of a partner that keeps its own ledger.
    pub(super) fn control(&self, partner: &str) -> Result<Control, Error> {
        self.controls.get(&slug(partner)?).cloned().ok_or(Error::NoLedger)
    }
}

fn slug(name: &str) -> Result<Slug, Error> {
    name.parse().map_err(|_| Error::NoLedger)
}

/// What a member may spend by the partner's own ledger; -1 for nobody.
async fn balance(control: &Control, member: &str) -> Result<i64, Error> {
    let ledger = control.ledger().await.map_err(Error::Ledger)?;
    let found = ledger["members"].as_array().into_iter().flatten().find(|row| row[0] == member);
    let lots = found.and_then(|row| row[1]["lots"].as_array());
    Ok(lots.map_or(-1, |lots| lots.iter().filter_map(|lot| lot["points"].as_i64()).sum()))
}
