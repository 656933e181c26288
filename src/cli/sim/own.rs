//! A partner's own ledger against the lines of its statement: what was captured and credited, posting by posting. Pure.

use crate::domain::money::Millionths;
use crate::partner::endpoint::Purpose;
use crate::partner::sim::ledger::{CreditRow, HoldRow, Stood};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Which way points went here, seen from this ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Captured: they left.
    Out,
    /// Credited: they arrived.
    In,
    /// What had left was given back.
    OutBack,
    /// What had arrived was taken back.
    InBack,
}

impl Way {
    pub const ALL: [(Way, &'static str); 4] = [
        (Way::Out, "captured 转出"),
        (Way::OutBack, "given back 转出退回"),
        (Way::In, "credited 转入"),
        (Way::InBack, "taken back 转入冲回"),
    ];
}

/// One thing that happened in this ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// The hold's or the credit's.
    pub id: String,
    pub conversion: String,
    pub way: Way,
    pub points: i64,
}

/// All that has happened for good.
pub fn movements(holds: &[(String, HoldRow)], credits: &[(String, CreditRow)]) -> Vec<Movement> {
    let captured = holds.iter().filter(|(_, row)| row.state == Stood::Captured).filter_map(|(id, row)| {
        let asked = row.asked.as_ref()?;
        let way = if asked.kind == Purpose::Base { Way::Out } else { Way::InBack };
        Some(Movement { id: id.clone(), conversion: row.conversion_id.clone(), way, points: asked.points })
    });
    let credited = credits.iter().filter(|(_, row)| row.state == Stood::Taken).filter_map(|(id, row)| {
        let asked = row.asked.as_ref()?;
        let way = if asked.kind == Purpose::Base { Way::In } else { Way::OutBack };
        Some(Movement { id: id.clone(), conversion: row.conversion_id.clone(), way, points: asked.points })
    });
    captured.chain(credited).collect()
}

/// Lines of one posting: a conversion, or what took part of it back.
#[derive(Clone, Debug)]
struct Posting {
    /// `conversion_id` or `reversal_id`, and which.
    named: (&'static str, String),
    conversion: String,
    /// `None` where no points moved here: a bonus paid for others.
    way: Option<Way>,
    points: i64,
    amount: Millionths,
    price: Millionths,
}

/// Count and points of one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub count: u64,
    pub points: i64,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Compared {
    /// This ledger's own list, as it is sent to the alliance.
    pub rows: Vec<Value>,
    /// In words, one each.
    pub differences: Vec<String>,
    /// Movements that a line answers.
    pub settled: Vec<String>,
    /// Those that none does: of another window, or missing.
    pub left: Vec<Movement>,
    pub ours: BTreeMap<Way, Sum>,
    pub theirs: BTreeMap<Way, Sum>,
}

/// Compares movements that no earlier statement has answered with the lines of one. `Err` says which line cannot be read.
pub fn compare(partner: &str, lines: &[Value], own: Vec<Movement>) -> Result<Compared, String> {
    let mut pool: BTreeMap<(String, Way), Vec<Movement>> = BTreeMap::new();
    for movement in own {
        pool.entry((movement.conversion.clone(), movement.way)).or_default().push(movement);
    }
    let mut compared = Compared::default();
    for posting in postings(partner, lines, &mut compared.rows)? {
        let Some(way) = posting.way else {
            compared.rows.push(row(&posting, None));
            continue;
        };
        add(&mut compared.theirs, way, posting.points);
        let found = pool.get_mut(&(posting.conversion.clone(), way));
        let same = found.and_then(|all| {
            let place = all.iter().position(|one| one.points == posting.points);
            // Of a conversion there is one; of what took part of it back, one with these points.
            let place = place.or((!all.is_empty() && matches!(way, Way::Out | Way::In)).then_some(0));
            place.map(|place| all.remove(place))
        });
        match same {
            Some(movement) => {
                add(&mut compared.ours, way, movement.points);
                if movement.points != posting.points {
                    let (id, ours, theirs) = (&posting.named.1, movement.points, posting.points);
                    compared.differences.push(format!("{id}: {ours} points here, {theirs} in the statement"));
                }
                compared.rows.push(row(&posting, Some(movement.points)));
                compared.settled.push(movement.id);
            }
            None => compared.differences.push(format!("{}: not in this ledger", posting.named.1)),
        }
    }
    compared.left = pool.into_values().flatten().collect();
    Ok(compared)
}

impl Compared {
    /// A movement of this window that has no line.
    pub fn missing(&mut self, movement: &Movement) {
        add(&mut self.ours, movement.way, movement.points);
        let conversion = &movement.conversion;
        self.differences.push(format!("{conversion}: {} points here, no line in the statement", movement.points));
        let points = if movement.way == Way::Out { "debit_points" } else { "points" };
        self.rows.push(json!({ "conversion_id": conversion, points: movement.points }));
    }

    /// Makes the list wrong in one place, in this partner's favour; says where.
    pub fn plant(&mut self) -> Option<String> {
        let place = self.rows.iter().position(|row| !row["points"].is_null() && !row["price"].is_null());
        let place = place.or_else(|| self.rows.iter().position(|row| !row["price"].is_null()))?;
        let row = &mut self.rows[place];
        let text = |row: &Value, name: &str| row[name].as_str().and_then(Millionths::parse);
        let amount = text(row, "amount")?.plus(text(row, "price")?)?;
        row["amount"] = json!(amount.to_string());
        if let Some(points) = row["points"].as_i64() {
            row["points"] = json!(points + 1);
        }
        let named = ["conversion_id", "reversal_id"].iter().find_map(|name| row[*name].as_str());
        named.map(str::to_owned)
    }

    /// The list, a row a line.
    pub fn list(&self) -> String {
        let row = |row: &Value| {
            let mut row = row.clone();
            if let Some(members) = row.as_object_mut() {
                members.remove("price");
            }
            format!("{row}\n")
        };
        self.rows.iter().map(row).collect()
    }
}

fn add(sums: &mut BTreeMap<Way, Sum>, way: Way, points: i64) {
    let sum = sums.entry(way).or_default();
    sum.count += 1;
    sum.points += points;
}

/// A row of the list; its price goes no further than this process.
fn row(posting: &Posting, own: Option<i64>) -> Value {
    let mut row = json!({ posting.named.0: posting.named.1, "amount": posting.amount.to_string() });
    let signed = |points: i64| if matches!(posting.way, Some(Way::OutBack | Way::InBack)) { -points } else { points };
    match (posting.way, own) {
        (Some(Way::Out | Way::OutBack), Some(points)) => row["debit_points"] = json!(signed(points)),
        (Some(Way::In | Way::InBack), Some(points)) => row["points"] = json!(signed(points)),
        _ => {}
    }
    if posting.price != Millionths::ZERO {
        row["price"] = json!(posting.price.to_string());
    }
    row
}

/// Lines of one posting follow each other. Adjustments, which two people decided, and uses of benefits, by which no point of
/// this ledger moves, go into the list as they are.
fn postings(partner: &str, lines: &[Value], rows: &mut Vec<Value>) -> Result<Vec<Posting>, String> {
    let mut all: Vec<Posting> = Vec::new();
    for line in lines {
        let text = |name: &str| line[name].as_str();
        let unread = || format!("line {} cannot be read", line["line_no"]);
        let amount = text("amount").and_then(Millionths::parse).ok_or_else(unread)?;
        if matches!(line["kind"].as_str(), Some("adjustment" | "benefit")) {
            rows.push(json!({ "line_id": line["line_id"], "amount": amount.to_string() }));
            continue;
        }
        let conversion = text("conversion_id").ok_or_else(unread)?;
        let reversal = text("reversal_id");
        let named = reversal.map_or(("conversion_id", conversion), |id| ("reversal_id", id));
        let way = match (text("from") == Some(partner), text("to") == Some(partner), reversal.is_some()) {
            (true, _, false) => Some(Way::Out),
            (true, _, true) => Some(Way::OutBack),
            (_, true, false) => Some(Way::In),
            (_, true, true) => Some(Way::InBack),
            _ => None,
        };
        let moved = match way {
            Some(Way::Out | Way::OutBack) => line["debit_points"].as_i64().unwrap_or_default(),
            _ => line["points"].as_i64().ok_or_else(unread)?,
        };
        match all.last_mut().filter(|last| last.named.1 == named.1) {
            Some(last) => {
                last.points += moved.abs();
                last.amount = last.amount.plus(amount).ok_or_else(unread)?;
            }
            None => all.push(Posting {
                named: (named.0, named.1.to_owned()),
                conversion: conversion.to_owned(),
                way,
                points: moved.abs(),
                amount,
                price: text("price").and_then(Millionths::parse).unwrap_or(Millionths::ZERO),
            }),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: i64, conversion: &str, from: &str, points: i64, debit: Option<i64>) -> Value {
        let mut line = json!({
            "line_no": number, "line_id": format!("lin_{number}"), "kind": "conversion", "conversion_id": conversion,
            "from": from, "to": if from == "sprout" { "lumen" } else { "sprout" }, "points": points,
            "amount": format!("{}.00", if from == "sprout" { -points } else { points }), "price": "1.00",
        });
        if let Some(debit) = debit {
            line["debit_points"] = json!(debit);
        }
        line
    }

    fn movement(id: &str, conversion: &str, way: Way, points: i64) -> Movement {
        Movement { id: id.to_owned(), conversion: conversion.to_owned(), way, points }
    }

    #[test]
    fn a_ledger_that_agrees_has_no_difference_and_one_that_does_not_says_where() {
        let mut bonus = line(2, "cnv_1", "lumen", 5, None);
        bonus["kind"] = json!("bonus");
        let mut back = line(4, "cnv_1", "lumen", -5, Some(-10));
        back["reversal_id"] = json!("rev_1");
        let lines = [
            line(1, "cnv_1", "lumen", 50, Some(100)),
            bonus,
            line(3, "cnv_2", "sprout", 7, Some(10)),
            back,
            json!({"line_no": 6, "line_id": "lin_6", "kind": "benefit", "redemption_id": "use_6", "amount": "-30.00"}),
            json!({"line_no": 5, "line_id": "lin_5", "kind": "adjustment", "amount": "1.00"}),
        ];
        let own = vec![
            movement("crd_1", "cnv_1", Way::In, 55),
            movement("hld_2", "cnv_2", Way::Out, 10),
            movement("hld_3", "cnv_1", Way::InBack, 5),
        ];
        let mut compared = compare("sprout", &lines, own.clone()).expect("read");
        assert_eq!((&compared.differences, compared.left.len(), compared.settled.len()), (&Vec::new(), 0, 3));
        assert_eq!(compared.ours, compared.theirs);
        assert_eq!(compared.rows.len(), 5);
        let list = compared.list();
        assert!(list.contains(r#"{"amount":"55.00","conversion_id":"cnv_1","points":55}"#), "{list}");
        assert!(list.contains(r#""debit_points":10"#) && list.contains(r#""points":-5"#), "{list}");
        assert_eq!(compared.plant().as_deref(), Some("cnv_1"));
        assert!(compared.list().contains(r#"{"amount":"56.00","conversion_id":"cnv_1","points":56}"#));
        let mut other = own;
        other[0].points = 54;
        other[1].conversion = "cnv_3".to_owned();
        let compared = compare("sprout", &lines, other).expect("read");
        assert_eq!(compared.differences.len(), 2, "{:?}", compared.differences);
        assert_eq!(compared.left.len(), 1);
        assert!(compare("sprout", &[json!({"line_no": 1})], Vec::new()).is_err());
    }
}
