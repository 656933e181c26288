//! What random walks have met: counted by name, so that a test can say that all of it happened.

use super::support::House;
use hanse::book::command::Outcome;
use hanse::domain::settlement::tally::Sort;
use hanse::service::settlement::disputes;
use hanse::service::settlement::read::Lines;
use hanse::store::settlement::{statements, windows};
use serde_json::Value;
use std::collections::BTreeMap;

/// How often each thing happened.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<String, u32>);

impl Seen {
    pub fn count(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    pub fn add(&mut self, other: Seen) {
        for (what, times) in other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }

    /// Those of `wanted` that happened less than `least` times.
    pub fn rarer(&self, wanted: &[&str], least: u32) -> Vec<String> {
        let times = |what: &&str| self.0.get(*what).copied().unwrap_or_default();
        let rare = wanted.iter().filter(|what| times(what) < least);
        rare.map(|what| format!("{what}: {}", times(what))).collect()
    }

    /// Counts a command's outcome; a refusal is one of `expected`. Whether it was done.
    pub fn outcome(&mut self, command: &str, outcome: &Outcome, expected: &[&str]) -> bool {
        let Outcome::Refused(refusal) = outcome else { return true };
        let code = refusal.code.text();
        assert!(expected.contains(&code), "{command} was refused: {refusal:?}");
        self.count(format!("{command} refused: {code}"));
        false
    }

    /// Counts a step of a dispute that may be too late or come after another one: its refusal has one of `expected` in it.
    pub fn step<T>(&mut self, step: &str, done: Result<T, disputes::Error>, expected: &[&str]) -> Option<T> {
        let refused = match done {
            Ok(done) => return Some(done),
            Err(why @ (disputes::Error::Stale(_) | disputes::Error::Closed(_))) => why.to_string(),
            Err(other) => panic!("{step}: {other:?}"),
        };
        let why = expected.iter().find(|why| refused.contains(**why));
        let why = why.unwrap_or_else(|| panic!("{step}: {refused}"));
        self.count(format!("{step} refused: {why}"));
        None
    }

    /// Counts what the statements of a published window say, line by line and sort by sort.
    pub fn window(&mut self, house: &House, window: &windows::Row) {
        let mut conn = house.conn();
        for row in statements::of_window(&mut conn, window.id).expect("read") {
            let statement: Value = serde_json::from_str(&row.payload).expect("JSON");
            let sorts = Sort::ALL.iter().filter(|sort| statement["totals"].get(sort.code()).is_some());
            sorts.for_each(|sort| self.count(format!("total {}", sort.code())));
            let mut lines = Lines::of(&row);
            while let Some(bytes) = lines.next(&mut conn).expect("lines") {
                let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                lines.for_each(|line| self.line(&serde_json::from_slice(line).expect("JSON")));
            }
        }
    }

    /// Each posting once: as its first side has it.
    fn line(&mut self, line: &Value) {
        let text = |member: &str| line[member].as_str().unwrap_or_default();
        let is_back = line.get("reversal_id").is_some();
        match text("kind") {
            "conversion" if text("participant") == text("from") => {
                let whose = if line["original_window"] == line["window"] { "this window" } else { "an earlier window" };
                self.count(match (is_back, line["undo"] == true) {
                    (false, _) => "conversion".to_owned(),
                    (true, true) => format!("undo of {whose}"),
                    (true, false) => format!("reversal of {whose}"),
                });
            }
            "bonus" if text("participant") == text("funder") => {
                let funder = match text("funder") {
                    "operator" => "operator",
                    funder if funder == text("from") => "origin",
                    _ => "target",
                };
                self.count(format!("bonus {}by the {funder}", if is_back { "back " } else { "" }));
            }
            "fee" => {
                let payer = if text("counterparty") == text("from") { "origin" } else { "target" };
                self.count(format!("fee {}of the {payer}", if is_back { "back " } else { "" }));
            }
            "adjustment" => {
                let by_dispute = line["adjustment"].get("dispute_id").is_some();
                self.count(if by_dispute { "adjustment of a dispute" } else { "adjustment" });
            }
            _ => {}
        }
    }
}
