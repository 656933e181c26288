//! The other members, and time: the top tier, a purchase that comes back after its points were converted, expiry.

use super::board::{Expect, Row};
use super::{Broken, CLOCK, Error, HARVEST, LUMEN, Member, Reply, Scene, of};
use chrono::{NaiveDate, TimeDelta};
use serde_json::json;
use std::time::Duration;

/// The expiry run of a server comes round once a minute.
const ROUNDS: u32 = 900;
const REST: Duration = Duration::from_millis(100);

impl Scene {
    pub(super) async fn top_tier(&mut self) -> Result<(), Broken> {
        self.board.chapter("The top tier converts at twice the rate 钻石会员");
        let member = self.member("2");
        self.join(&member, "diamond").await?;
        let reply = self.earn(&member, 100, "diamond-lot", None).await?;
        self.must(LUMEN, "issues 100 points", &reply)?;
        let body = json!({
            "member_ref": member.lumen, "to": "harvest", "points": 100, "min_total_credit_points": 110,
        });
        let reply = self.lumen.post_once("/v1/conversions", &self.named("diamond"), &body).await?;
        let expect = Expect::done(201)
            .is("tier", "/tier", "diamond")
            .is("debit", "/debit_points", 100)
            .is("base", "/credit_points", 100)
            .is("bonus", "/bonuses/0/points", 10)
            .is("total", "/total_credit_points", 110);
        self.board.judge(LUMEN, "converts 100 for a diamond 钻石, at least 110", &expect, &reply);
        Ok(())
    }

    pub(super) async fn a_purchase_comes_back(&mut self) -> Result<(), Broken> {
        self.board.chapter("A purchase comes back after its points went on 积分已转，商品退回");
        let member = self.member("3");
        self.join(&member, "ordinary").await?;
        let reply = self.earn(&member, 120, "receipt-1", None).await?;
        let expect = Expect::done(201).is("points", "/points", 120);
        self.board.judge(LUMEN, "a second member earns 120 on a purchase", &expect, &reply);
        let credit = self.text(&reply, "/credit_id")?;
        let reply = self.convert(&member, 120, "all-of-it").await?;
        let expect = Expect::done(201).is("total", "/total_credit_points", 66);
        self.board.judge(LUMEN, "and converts all of it", &expect, &reply);
        let name = self.named("return-1");
        let body = json!({"points": 120, "reason": "goods returned 退货", "external_reference": name});
        let reply = self.lumen.post_once(&format!("/v1/credits/{credit}/reversals"), &name, &body).await?;
        let expect = Expect::done(201).is("owed", "/owed_points", 120);
        self.board.judge(LUMEN, "the purchase is returned: nothing is left to take", &expect, &reply);
        let reply = self.convert(&member, 2, "while-owing").await?;
        self.board.judge(LUMEN, "converts 2 while owing", &Expect::refused(422, "points_owed"), &reply);
        let reply = self.earn(&member, 150, "receipt-2", None).await?;
        let expect = Expect::done(201).is("owed points met", "/owed_points", 120);
        self.board.judge(LUMEN, "earns 150: what is owed is met first", &expect, &reply);
        let reply = self.convert(&member, 30, "free-again").await?;
        let expect = Expect::done(201).is("base", "/credit_points", 15).is("bonus", "/bonuses/0/points", 1);
        self.board.judge(LUMEN, "converts the 30 that are left", &expect, &reply);
        let at_lumen = Expect::done(200).is("balance", "/balance", 0).is("owed", "/owed", 0);
        let at_harvest = Expect::done(200).is("balance", "/balance", 82);
        Ok(self.judge_balances(&member, &at_lumen, &at_harvest).await?)
    }

    /// Moves the clock past the first lot's end; the servers' expiry run makes entries of what has become true.
    pub(super) async fn time_passes(&mut self, member: &Member, ends: &[NaiveDate; 2]) -> Result<(), Broken> {
        self.board.chapter("Time passes 到期");
        let morning_after = ends[0] + TimeDelta::days(1);
        let days = morning_after - self.day(self.now().await?);
        let now = self.advance(days).await?;
        let (expected, got) = (morning_after.to_string(), self.day(now).to_string());
        let (asked, holds) = (format!("business time moves on by {} days", days.num_days()), expected == got);
        self.board.put(Row { who: CLOCK, asked, expected, got, holds });
        let at_harvest = Expect::done(200).is("balance", "/balance", 3).lots("lots", "/lots", "3");
        let reply = self.after_expiry(member, false).await?;
        self.board.judge(HARVEST, format!("24 of what arrived were good until {}", ends[0]), &at_harvest, &reply);
        let reply = self.harvest.get(&of(&member.harvest, "/entries?limit=1")).await?;
        let entry = |points: i64| {
            Expect::done(200).is("", "/items/0/kind", "expired").is("points", "/items/0/points", points).is(
                "against",
                "/items/0/contra",
                "issuance",
            )
        };
        self.board.judge(HARVEST, "the last line of the member's journal", &entry(-24), &reply);
        let reply = self.after_expiry(member, true).await?;
        let at_lumen = Expect::done(200).is("balance", "/balance", 136).lots("lots", "/lots", "136");
        self.board.judge(LUMEN, "33 that came back had kept their old end", &at_lumen, &reply);
        Ok(())
    }

    /// The membership once the run has posted there, or as it still is when that never happens.
    async fn after_expiry(&self, member: &Member, at_lumen: bool) -> Result<Reply, Error> {
        let (brand, member_ref) =
            if at_lumen { (&self.lumen, &member.lumen) } else { (&self.harvest, &member.harvest) };
        for _ in 0..ROUNDS {
            let last = brand.get(&of(member_ref, "/entries?limit=1")).await?;
            if last.text("/items/0/kind") == Some("expired") {
                break;
            }
            tokio::time::sleep(REST).await;
        }
        Ok(brand.get(&of(member_ref, "")).await?)
    }
}
