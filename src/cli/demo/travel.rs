//! The real transfer table of 2026, asked for pair by pair: a member at each card programme, one at every programme
//! its points go to, and a quote for 60,000 points compared with a table that was typed from the sources, apart from
//! the manifests.

use super::client::{Client, Error as ClientError, Reply};
use super::story;
use comfy_table::{CellAlignment, Table, presets};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use tokio::task::{JoinError, JoinSet};
use uuid::Uuid;

/// from, to, tier, debit, credit.
const TABLE: &str = include_str!("../../../tests/data/travel-2026.csv");
const POINTS: i64 = 60_000;
/// Every receiving programme has this one tier.
const TARGET_TIER: &str = "member";

const NAMES: [(&str, &str); 6] = [
    ("amex-mr", "Amex 美国运通"),
    ("bilt", "Bilt 比尔特"),
    ("capital-one", "Capital One 第一资本"),
    ("chase-ur", "Chase 大通"),
    ("citi-ty", "Citi 花旗"),
    ("wells-fargo", "Wells Fargo 富国"),
];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the table of the travel alliance cannot be read")]
    Table(#[from] csv::Error),
    #[error("an origin's check did not end")]
    Task(#[from] JoinError),
}

/// One line of the table.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Pair {
    pub from: String,
    pub to: String,
    pub tier: String,
    pub debit: i64,
    pub credit: i64,
}

/// A pair and what its quote said.
#[derive(Clone, Debug)]
pub struct Quoted {
    pub pair: Pair,
    pub got: String,
    pub holds: bool,
}

/// Every pair, in the order of the table.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub quoted: Vec<Quoted>,
}

/// Quotes every pair on the server at `api`, with the certificates in `pki`.
pub async fn check(api: &str, pki: &Path) -> Result<Report, Error> {
    let run = Uuid::new_v4().simple().to_string();
    let mut origins: Vec<Vec<Pair>> = Vec::new();
    for pair in pairs()? {
        match origins.iter_mut().find(|known| known[0].from == pair.from && known[0].tier == pair.tier) {
            Some(known) => known.push(pair),
            None => origins.push(vec![pair]),
        }
    }
    let mut tasks = JoinSet::new();
    for (number, pairs) in origins.into_iter().enumerate() {
        let (api, pki, member) = (api.to_owned(), pki.to_owned(), format!("T-{}-{number}", &run[..8]));
        tasks.spawn(async move { Ok::<_, Error>((number, origin(&api, &pki, &member, pairs).await?)) });
    }
    let mut found = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        found.push(ended??);
    }
    found.sort_by_key(|(number, _)| *number);
    Ok(Report { quoted: found.into_iter().flat_map(|(_, quoted)| quoted).collect() })
}

pub fn pairs() -> Result<Vec<Pair>, csv::Error> {
    csv::Reader::from_reader(TABLE.as_bytes()).deserialize().collect()
}

/// One person at one origin and tier, linked to every target; `pairs` is not empty.
async fn origin(api: &str, pki: &Path, member: &str, pairs: Vec<Pair>) -> Result<Vec<Quoted>, Error> {
    let own = Client::open(api, pki, &pairs[0].from)?;
    let ready = prepare(&own, member, &pairs[0].tier).await?;
    let mut quoted = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let target = Client::open(api, pki, &pair.to)?;
        let reply = match &ready {
            Some(failed) => failed.clone(),
            None => quote(&own, &target, member).await?,
        };
        quoted.push(judged(pair, &reply));
    }
    Ok(quoted)
}

/// Registers the member and gives it what it offers; the answer that was no 2xx, if one was.
async fn prepare(own: &Client, member: &str, tier: &str) -> Result<Option<Reply>, Error> {
    let address = format!("/v1/memberships/{member}");
    let reply = own.put(&address, &json!({"tier": tier, "status": "active"})).await?;
    if !reply.is_done() {
        return Ok(Some(reply));
    }
    let body =
        json!({"points": POINTS, "kind": "opening", "reason": "opening balance 期初", "external_reference": member});
    let reply = own.post_once(&format!("{address}/credits"), member, &body).await?;
    Ok(if reply.is_done() { None } else { Some(reply) })
}

/// Links the member to the target and quotes; the first answer that is no 2xx ends it.
async fn quote(own: &Client, target: &Client, member: &str) -> Result<Reply, Error> {
    let told = json!({"tier": TARGET_TIER, "status": "active"});
    let reply = target.put(&format!("/v1/memberships/{member}"), &told).await?;
    if !reply.is_done() {
        return Ok(reply);
    }
    let consent = json!({"version": "2026-01"});
    let asked = json!({"member_ref": member, "to": target.name(), "consent": consent});
    let reply = own.post("/v1/links", &asked).await?;
    let Some(code) = reply.text("/code").filter(|_| reply.is_done()) else { return Ok(reply) };
    let reply =
        target.post("/v1/links/accept", &json!({"code": code, "member_ref": member, "consent": consent})).await?;
    if !reply.is_done() {
        return Ok(reply);
    }
    let body = json!({"member_ref": member, "to": target.name(), "points": POINTS});
    Ok(own.post("/v1/quotes", &body).await?)
}

fn judged(pair: Pair, reply: &Reply) -> Quoted {
    let (debit, credit) = (reply.number("/debit_points"), reply.number("/total_credit_points"));
    let holds = reply.status == 201
        && (debit, credit) == (Some(pair.debit), Some(pair.credit))
        && reply.at("/remainder_points") == &Value::from(POINTS - pair.debit);
    let got = match (debit, credit) {
        (Some(debit), Some(credit)) if reply.is_done() => format!("{} become {}", grouped(debit), grouped(credit)),
        _ => reply.summary(),
    };
    Quoted { pair, got, holds }
}

impl Report {
    /// Every line of the table was asked, and every answer is the table's.
    pub fn holds(&self) -> bool {
        !self.quoted.is_empty() && self.quoted.iter().all(|quoted| quoted.holds)
    }

    /// A summary for each origin and tier, then whatever differs.
    pub fn render(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
        story::compact(&mut table);
        table.set_header(["from", "tier", "pairs", "as expected", "60,000 points become", ""]);
        for group in self.quoted.chunk_by(|a, b| (&a.pair.from, &a.pair.tier) == (&b.pair.from, &b.pair.tier)) {
            let held = group.iter().filter(|quoted| quoted.holds).count();
            let credits = group.iter().map(|quoted| quoted.pair.credit);
            let (least, most) = (credits.clone().min().unwrap_or(0), credits.max().unwrap_or(0));
            let span = if least == most { grouped(least) } else { format!("{} to {}", grouped(least), grouped(most)) };
            let pair = &group[0].pair;
            let mark = if held == group.len() { "✓" } else { "✗" };
            table.add_row([name(&pair.from), &pair.tier, &group.len().to_string(), &held.to_string(), &span, mark]);
        }
        for column in [2, 3] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut text = format!("{}\n", table.trim_fmt());
        // Writing into a text cannot fail.
        for wrong in self.quoted.iter().filter(|quoted| !quoted.holds) {
            let Quoted { pair: Pair { from, to, tier, debit, credit }, got, .. } = wrong;
            let wanted = format!("{} become {}", grouped(*debit), grouped(*credit));
            let _ = writeln!(text, "✗ {from} to {to}, {tier}: {got}, and the table says {wanted}");
        }
        let held = self.quoted.iter().filter(|quoted| quoted.holds).count();
        let _ = writeln!(text, "{held} of {} quotes are the table's.", self.quoted.len());
        text
    }
}

fn name(slug: &str) -> &str {
    NAMES.iter().find(|(known, _)| *known == slug).map_or(slug, |(_, name)| name)
}

/// `60,000`.
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_has_113_pairs_and_its_variants() {
        let pairs = pairs().expect("the table is sound");
        let directions: BTreeSet<_> = pairs.iter().map(|pair| (&pair.from, &pair.to)).collect();
        assert_eq!((directions.len(), pairs.len()), (113, 117));
        assert!(pairs.iter().all(|pair| NAMES.iter().any(|(slug, _)| *slug == pair.from)));
    }

    #[test]
    fn another_credit_another_debit_or_a_refusal_is_told() {
        let pair =
            Pair { from: "bilt".into(), to: "accor".into(), tier: "standard".into(), debit: 60_000, credit: 40_000 };
        let reply = |status: u16, json: Value| Reply { status, replayed: false, request_id: None, bytes: vec![], json };
        let said = |debit: i64, credit: i64| {
            let remainder = POINTS - debit;
            json!({"debit_points": debit, "total_credit_points": credit, "remainder_points": remainder})
        };
        assert!(judged(pair.clone(), &reply(201, said(60_000, 40_000))).holds);
        for (status, json) in [
            (201, said(60_000, 39_000)),
            (201, said(59_000, 40_000)),
            (200, said(60_000, 40_000)),
            (422, json!({"code": "no_rate"})),
        ] {
            let quoted = judged(pair.clone(), &reply(status, json));
            let report = Report { quoted: vec![quoted] };
            assert!(!report.holds());
            let text = report.render();
            assert!(text.contains("✗ bilt to accor") && text.contains("0 of 1"), "{text}");
        }
        assert!(!Report::default().holds());
    }

    #[test]
    fn numbers_are_grouped_in_threes() {
        let read = [0, 999, 1_000, 60_000, 1_234_567, -1_000].map(grouped);
        assert_eq!(read, ["0", "999", "1,000", "60,000", "1,234,567", "-1,000"]);
    }
}
