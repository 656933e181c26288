//! What the stream has done so far, in one line.

use super::super::client::Reply;
use super::super::travel::grouped;
use super::{BRANDS, Underway, Wish};

#[derive(Default)]
pub struct Told {
    conversions: i64,
    refused: i64,
    /// On their way between two ledgers.
    pub underway: usize,
    /// Accepted, and then refused by a partner's own ledger: nothing moved.
    pub released: i64,
    last: String,
}

impl Told {
    /// Takes in an answer to a conversion; `true`: it is on its way, and not done yet.
    pub fn count(&mut self, wish: &Wish, reply: &Reply) -> bool {
        match reply.status {
            202 => return true,
            _ if reply.is_done() => self.done(wish, reply, ""),
            _ => self.refused += 1,
        }
        false
    }

    /// One that was on its way is completed.
    pub fn arrived(&mut self, one: &Underway, reply: Option<&Reply>) {
        let tenths = one.since.elapsed().as_millis() / 100;
        let took = format!(" · pending → completed in {}.{} s", tenths / 10, tenths % 10);
        if let Some(reply) = reply {
            self.done(&one.wish, reply, &took);
        }
    }

    fn done(&mut self, wish: &Wish, reply: &Reply, took: &str) {
        self.conversions += 1;
        let (from, to) = (BRANDS[wish.from].name, BRANDS[wish.to].name);
        let number = |pointer| grouped(reply.number(pointer).unwrap_or(0));
        let (debit, credit) = (number("/debit_points"), number("/total_credit_points"));
        let confirmation = reply.text("/confirmation").unwrap_or_default();
        self.last = format!("{confirmation} · {from} {debit} to {to} {credit}{took}");
    }

    pub fn line(&self) -> String {
        let some = |count: i64, what: &str| match count {
            0 => String::new(),
            some => format!(", {} {what}", grouped(some)),
        };
        let underway = some(i64::try_from(self.underway).unwrap_or(i64::MAX), "pending");
        let (released, refused) = (some(self.released, "released"), some(self.refused, "refused"));
        format!("{} conversions{underway}{released}{refused} · last {}", grouped(self.conversions), self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn reply(status: u16, json: Value) -> Reply {
        Reply { status, replayed: false, request_id: None, bytes: Vec::new(), json }
    }

    #[test]
    fn what_is_pending_counts_when_it_has_arrived() {
        let mut told = Told::default();
        let wish = Wish { person: 0, from: 0, to: 1, points: 50 };
        assert!(told.count(&wish, &reply(202, json!({"state": "pending"}))));
        told.underway = 1;
        assert!(told.line().starts_with("0 conversions, 1 pending · "), "{}", told.line());
        let one = Underway { wish, id: String::new(), since: crate::clock::instant() };
        let said = json!({"confirmation": "955V-792C-M976", "debit_points": 50, "total_credit_points": 20});
        told.arrived(&one, Some(&reply(200, said.clone())));
        told.underway = 0;
        let line = told.line();
        assert!(line.starts_with("1 conversions · last 955V-792C-M976 · Lumen 流明 50 to Sprout 小芽 20 · "), "{line}");
        assert!(line.contains("pending → completed in 0."), "{line}");
        assert!(!told.count(&wish, &reply(201, said)) && !told.line().contains("pending"));
        assert!(!told.count(&wish, &reply(422, json!({"code": "limit_exceeded"}))));
        assert!(told.line().starts_with("2 conversions, 1 refused · "), "{}", told.line());
    }
}
