//! The first member's story: two lots, a price, one effect whatever is asked twice, undo, and part of it back.

use super::board::{Expect, Row};
use super::{Broken, HARVEST, LUMEN, Member, Reply, Scene, consent, holding, of};
use chrono::NaiveDate;
use serde_json::{Value, json};

/// A conversion that was made, and how it was asked for.
pub struct Made {
    body: Value,
    reply: Reply,
    id: String,
}

impl Scene {
    pub(super) async fn two_lots(&mut self, member: &Member, ends: &[NaiveDate; 2]) -> Result<(), Broken> {
        self.board.chapter("One person, two brands, two lots 一位会员，两个品牌，两批积分");
        let (lumen, harvest) = (self.lumen.clone(), self.harvest.clone());
        let reply = lumen.put(&of(&member.lumen, ""), &json!({"tier": "ordinary", "status": "active"})).await?;
        let new = |tier: &str| Expect::done(200).is("tier", "/tier", tier).is("balance", "/balance", 0);
        self.board.judge(LUMEN, "registers a member, ordinary 普通", &new("ordinary"), &reply);
        let reply = harvest.put(&of(&member.harvest, ""), &json!({"tier": "l1", "status": "active"})).await?;
        self.board.judge(HARVEST, "registers the same person, level 1 一级", &new("l1"), &reply);
        for (points, end, name) in [(101, ends[0], "lot-1"), (136, ends[1], "lot-2")] {
            let reply = self.earn(member, points, name, Some(end)).await?;
            let expect = Expect::done(201).dated("/lots", &[(points, end.to_string())]);
            self.board.judge(LUMEN, format!("issues {points} points, good until {end}"), &expect, &reply);
        }
        let asked = json!({"member_ref": member.lumen, "to": "harvest", "consent": consent()});
        let reply = lumen.post("/v1/links", &asked).await?;
        self.board.judge(LUMEN, "asks for a link and shows the code", &Expect::done(201), &reply);
        let code = self.text(&reply, "/code")?;
        let accepted = json!({"code": code, "member_ref": member.harvest, "consent": consent()});
        let reply = harvest.post("/v1/links/accept", &accepted).await?;
        let expect = Expect::done(200).is("link", "/state", "active");
        self.board.judge(HARVEST, "accepts the code the member brought", &expect, &reply);
        Ok(())
    }

    pub(super) async fn a_price_kept(&mut self, member: &Member, ends: &[NaiveDate; 2]) -> Result<Made, Broken> {
        self.board.chapter("A price, and the price kept 报价与转换");
        let lumen = self.lumen.clone();
        let body = json!({"member_ref": member.lumen, "to": "harvest", "points": 137});
        let quote = lumen.post("/v1/quotes", &body).await?;
        let priced = Expect::done(201)
            .is("debit", "/debit_points", 136)
            .is("remainder", "/remainder_points", 1)
            .is("base", "/credit_points", 68)
            .is("bonus", "/bonuses/0/points", 6)
            .is("funded by", "/bonuses/0/funder", "harvest")
            .is("total", "/total_credit_points", 74);
        self.board.judge(LUMEN, "quotes 137 points at 2:1, with +10 % 吃好一点", &priced, &quote);
        let token = self.text(&quote, "/token")?;
        let body = json!({"quote": token, "external_reference": self.named("convert-1")});
        let reply = lumen.post_once("/v1/conversions", &self.named("convert-1"), &body).await?;
        let made = Expect::done(201)
            .is("", "/state", "completed")
            .is("debit", "/debit_points", 136)
            .lots("lots", "/arriving_lots", "50 + 18 + 6")
            .is("ending", "/arriving_lots/0/expires_on", ends[0])
            .is("and", "/arriving_lots/1/expires_on", ends[1])
            .is("fee", "/fee/amount", "0.0136");
        self.board.judge(LUMEN, "converts with the quote's token", &made, &reply);
        let id = self.text(&reply, "/conversion_id")?;
        let [at_lumen, at_harvest] = self.memberships(member).await?;
        let left = holding(101, &[(101, ends[1].to_string())]);
        self.board.judge(LUMEN, "what stays: the 101 went first, then 35", &left, &at_lumen);
        let arrived = Expect::done(200).is("balance", "/balance", 74).lots("lots", "/lots", "50 + 18 + 6");
        self.board.judge(HARVEST, "what arrived: two dates kept, one new", &arrived, &at_harvest);
        Ok(Made { body, reply, id })
    }

    pub(super) async fn one_effect(&mut self, member: &Member, made: &Made) -> Result<(), Broken> {
        self.board.chapter("No means nothing moved; twice means once 拒绝不动分，重复不重记");
        self.over_the_cap().await?;
        let before = self.memberships(member).await?;
        let lumen = self.lumen.clone();
        let again = lumen.post_once("/v1/conversions", &self.named("convert-1"), &made.body).await?;
        self.judge_replay(&made.reply, &again);
        let other = json!({
            "member_ref": member.lumen, "to": "harvest", "points": 2, "external_reference": self.named("convert-1"),
        });
        let reply = lumen.post_once("/v1/conversions", &self.named("convert-1"), &other).await?;
        let expect = Expect::refused(422, "idempotency_mismatch");
        self.board.judge(LUMEN, "sends another body under that key", &expect, &reply);
        let reply = lumen.post_once("/v1/conversions", &self.named("second-key"), &other).await?;
        let expect = Expect::refused(409, "duplicate_reference").is("first", "/first_id", &made.id);
        self.board.judge(LUMEN, "sends the same reference under a new key", &expect, &reply);

        let after = self.memberships(member).await?;
        self.judge_same(&before, &after, "both memberships, before and after all that");
        Ok(())
    }

    /// A member with more points than a day may see leave.
    async fn over_the_cap(&mut self) -> Result<(), Broken> {
        let rich = self.member("6");
        self.join(&rich, "ordinary").await?;
        let reply = self.earn(&rich, 3_300, "rich-lot", None).await?;
        self.must(LUMEN, "issues 3,300 points", &reply)?;
        let reply = self.convert(&rich, 3_136, "most-of-the-cap").await?;
        let expect = Expect::done(201).is("debit", "/debit_points", 3_136);
        self.board.judge(LUMEN, "another member converts 3,136", &expect, &reply);
        let before = self.memberships(&rich).await?;
        let reply = self.convert(&rich, 101, "over-the-cap").await?;
        let expect = Expect::refused(422, "limit_exceeded").is("left", "/points_left", 64);
        self.board.judge(LUMEN, "and 101 more: the day's cap is 3,200", &expect, &reply);
        let after = self.memberships(&rich).await?;
        self.judge_same(&before, &after, "both memberships, before and after that");
        Ok(())
    }

    fn judge_same(&mut self, before: &[Reply; 2], after: &[Reply; 2], asked: &str) {
        let same = before.iter().zip(after).all(|(before, after)| before.bytes == after.bytes && after.is_done());
        let got = if same { "the same bytes" } else { "something changed" }.to_owned();
        let (asked, expected) = (asked.to_owned(), "the same bytes".to_owned());
        self.board.put(Row { who: "both 双方", asked, expected, got, holds: same });
    }

    fn judge_replay(&mut self, first: &Reply, again: &Reply) {
        let same = first.bytes == again.bytes;
        let holds = same && again.replayed && !first.replayed && first.status == again.status;
        let bytes = if same { "the same bytes" } else { "other bytes" };
        let header = if again.replayed { "Idempotency-Replayed" } else { "not marked as a replay" };
        let got = format!("{} · {bytes} · {header}", again.summary());
        let expected = format!("{} · the same bytes · Idempotency-Replayed", first.status);
        let asked = "sends the first conversion again, same key".to_owned();
        self.board.put(Row { who: LUMEN, asked, expected, got, holds });
    }

    pub(super) async fn undo(&mut self, member: &Member, made: &Made, ends: &[NaiveDate; 2]) -> Result<(), Broken> {
        self.board.chapter("Undo, while the points are there 撤销");
        let lumen = self.lumen.clone();
        let undo = |id: &str| format!("/v1/conversions/{id}/undo");
        let reply = lumen.post_once(&undo(&made.id), &self.named("undo-1"), &Value::Null).await?;
        let expect = Expect::done(200).is("", "/kind", "undo").is("back", "/debit_points", 136);
        self.board.judge(
            LUMEN,
            "undoes it within 15 minutes",
            &expect.is("fee back", "/fee_returned", "0.0136"),
            &reply,
        );
        let whole = holding(237, &[(101, ends[0].to_string()), (136, ends[1].to_string())]);
        self.judge_balances(member, &whole, &holding(0, &[])).await?;

        let reply = self.convert(member, 136, "convert-2").await?;
        let expect = Expect::done(201).is("total", "/total_credit_points", 74);
        self.board.judge(LUMEN, "converts again: the day's use came back too", &expect, &reply);
        let id = self.text(&reply, "/conversion_id")?;
        let spent = json!({"points": 10, "reason": "a soup 一碗汤", "external_reference": self.named("soup")});
        let reply = self.harvest.post_once(&of(&member.harvest, "/debits"), &self.named("soup"), &spent).await?;
        let expect = Expect::done(201).is("spent", "/points", 10);
        self.board.judge(HARVEST, "the member spends 10 of what arrived", &expect, &reply);
        let reply = lumen.post_once(&undo(&id), &self.named("undo-2"), &Value::Null).await?;
        self.board.judge(LUMEN, "undoes the second one", &Expect::refused(422, "points_spent"), &reply);
        Ok(())
    }

    pub(super) async fn part_of_it_back(&mut self, member: &Member) -> Result<(), Broken> {
        self.board.chapter("Part of it back, when both brands say so 部分冲正，双方确认");
        let (lumen, harvest) = (self.lumen.clone(), self.harvest.clone());
        let found = lumen.get(&format!("/v1/conversions?external_reference={}", self.named("convert-2"))).await?;
        self.board.judge(LUMEN, "finds the conversion by its own reference", &Expect::done(200), &found);
        let id = self.text(&found, "/items/0/conversion_id")?;
        let address = format!("/v1/conversions/{id}/reversals");
        let wish = |points: i64, name: String| json!({"credit_points": points, "reason": "goods returned 退货", "external_reference": name});
        let body = wish(69, self.named("too-much"));
        let reply = lumen.post_once(&address, &self.named("too-much"), &body).await?;
        self.board.judge(LUMEN, "asks to reverse 69 of 68", &Expect::refused(422, "reversal_exceeds"), &reply);
        let body = wish(34, self.named("half"));
        let reply = lumen.post_once(&address, &self.named("half"), &body).await?;
        let expect = Expect::done(201).is("", "/state", "requested").is("of", "/credit_points", 34);
        self.board.judge(LUMEN, "asks to reverse 34 of 68", &expect, &reply);
        let reversal = self.text(&reply, "/reversal_id")?;
        let address = format!("/v1/reversals/{reversal}/confirmation");
        let reply = harvest.post_once(&address, &self.named("yes"), &Value::Null).await?;
        let expect = Expect::done(200)
            .is("", "/state", "completed")
            .is("base", "/credit_points", 34)
            .is("bonus", "/bonus_points", 3)
            .is("back", "/debit_points", 68)
            .is("fee back", "/fee_returned", "0.0068");
        self.board.judge(HARVEST, "confirms", &expect, &reply);
        let at_lumen = Expect::done(200).is("balance", "/balance", 169);
        let at_harvest = Expect::done(200).is("balance", "/balance", 27).lots("lots", "/lots", "24 + 3");
        Ok(self.judge_balances(member, &at_lumen, &at_harvest).await?)
    }
}
