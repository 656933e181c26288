//! A window under the clock: conversions of random amounts over all pairs until it has as many as wanted, then its close,
//! step by step, and the proof that the statements say what the conversions do.

use super::batch::{self, ITEMS};
use super::client::Clients;
use super::load::Setting;
use super::members::Population;
use super::pairs::POINTS;
use super::process::peak_memory_kib;
use super::scenario::next;
use super::tally::Tally;
use crate::cli::Error;
use crate::clock;
use crate::domain::settlement::window::State;
use crate::service::keys::Keys;
use crate::service::settlement::close::{self, Told};
use crate::service::settlement::{self};
use crate::store;
use crate::store::settlement::statements;
use crate::store::settlement::windows::Row;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use indicatif::ProgressBar;
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

/// A conversion's amount is this many times the smallest that every pair takes, at most.
const TIMES_MAX: u64 = 20;

/// What closing it took.
#[derive(Debug, serde::Serialize)]
pub struct Closed {
    pub window: i64,
    pub conversions: i64,
    pub lines: i64,
    pub statements: usize,
    pub close_ms: u64,
    /// Milliseconds until each state was reached, from the beginning.
    pub reached: Vec<(String, u64)>,
    /// Of this process, which closed it.
    pub peak_memory_kib: Option<u64>,
    /// Points × price of every conversion, with bonuses, in millionths; and what the statements say.
    pub owed: i64,
    pub stated: i64,
}

impl Closed {
    pub fn holds(&self) -> bool {
        self.owed == self.stated
    }
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Closed { window, conversions, lines, statements, close_ms, .. } = self;
        writeln!(
            f,
            "window {window}: {conversions} conversions, {lines} lines, {statements} statements, closed in {close_ms} ms"
        )?;
        let steps: Vec<String> = self.reached.iter().map(|(state, ms)| format!("{state} {ms} ms")).collect();
        writeln!(f, "  {}", steps.join(", "))?;
        if let Some(kib) = self.peak_memory_kib {
            writeln!(f, "  peak resident {} MB", kib / 1024)?;
        }
        let holds = if self.holds() { "the same" } else { "NOT THE SAME" };
        write!(f, "  points x price {} millionths, statements {}: {holds}", self.owed, self.stated)
    }
}

/// Fills the open window up to `wanted` conversions, over every pair of `populations`.
pub async fn fill(
    setting: &Setting,
    populations: &[Population],
    (database_url, wanted): (&str, u64),
    bar: &ProgressBar,
) -> Result<(), Error> {
    let there = u64::try_from(in_open_window(database_url)?).unwrap_or(0);
    let left = Rc::new(Cell::new(wanted.saturating_sub(there)));
    bar.set_length(wanted);
    bar.set_position(there);
    bar.set_message("conversions of random amounts");
    let tally: Rc<RefCell<Tally>> = Rc::default();
    let run = format!("w{:016x}", Uuid::new_v4().as_u64_pair().1);
    let mut working = JoinSet::new();
    for number in 0..setting.batches {
        let own: Vec<Population> = populations.iter().skip(number).step_by(setting.batches).copied().collect();
        if own.is_empty() {
            continue;
        }
        let clients: &Clients = &setting.clients;
        let made = own.iter().map(|population| clients.client(population.pair.from.slug, number, &tally));
        let made = made.collect::<Result<Vec<_>, _>>()?;
        let (left, bar, run) = (Rc::clone(&left), bar.clone(), run.clone());
        working.spawn_local(async move {
            let mut random = Uuid::new_v4().as_u64_pair().1;
            let mut round = 0_u64;
            let mut clients: Vec<_> = own.into_iter().zip(made).collect();
            while left.get() > 0 {
                for (population, client) in &mut clients {
                    let count = left.get().min(u64::try_from(ITEMS).unwrap_or(0));
                    if count == 0 {
                        break;
                    }
                    left.set(left.get() - count);
                    round += 1;
                    let items = items(population, &format!("{run}.{number}.{round}"), count, &mut random);
                    let mut refused = 0;
                    let sent = batch::send(client, "/v1/conversions/batch", &items, |_, item, _| {
                        refused += u64::from(item.status >= 300);
                    });
                    sent.await.map_err(|code| Error::Failed(format!("a batch was refused: {code}")))?;
                    // A member may have no more: another one is asked.
                    left.set(left.get() + refused);
                    bar.inc(count - refused);
                }
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = working.join_next().await {
        ended.map_err(Error::failed)??;
    }
    Ok(())
}

fn items(population: &Population, key: &str, count: u64, random: &mut u64) -> Vec<String> {
    let to = population.pair.to.slug;
    let item = |nth: u64| {
        let member_ref = population.member_ref(next(random) % population.members);
        let points = POINTS * i64::try_from(next(random) % TIMES_MAX + 1).unwrap_or(1);
        let key = format!("{key}.{nth}");
        format!(
            r#"{{"idempotency_key":"{key}","member_ref":"{member_ref}","to":"{to}","points":{points},"external_reference":"{key}"}}"#
        )
    };
    (0..count).map(item).collect()
}

#[derive(QueryableByName)]
struct CountSql {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn in_open_window(url: &str) -> Result<i64, Error> {
    let mut conn = store::establish(url).map_err(Error::failed)?;
    let sql =
        "SELECT count(*) AS n FROM conversions WHERE window_id = (SELECT window_id FROM windows WHERE state = 'open')";
    let row: CountSql = sql_query(sql).get_result(&mut conn).map_err(Error::failed)?;
    Ok(row.n)
}

/// Closes the open window in this process, and compares its statements with the conversions.
pub fn close(url: &str, keys: &Keys, bar: &ProgressBar) -> Result<Closed, Error> {
    let begun = clock::instant();
    let mut reached = Vec::new();
    let ms = |since: Duration| u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    bar.set_message("closing");
    let row = close::close(url, keys, Some(crate::book::windows::Which::Open), |told| match told {
        Told::State(row) => reached.push((row.state.code().to_owned(), ms(begun.elapsed()))),
        Told::Lines(through, last) => {
            bar.set_length(u64::try_from(last).unwrap_or(0));
            bar.set_position(u64::try_from(through).unwrap_or(0));
        }
    });
    let close_ms = ms(begun.elapsed());
    let row = row.map_err(Error::failed)?.ok_or_else(|| Error::Failed("another server settles".to_owned()))?;
    if row.state != State::Published {
        let why = row.blocked_by.unwrap_or_default();
        return Err(Error::Failed(format!("window {} is {}: {why}", row.number, row.state.code())));
    }
    let Proof { conversions, lines, statements, owed, stated } = prove(url, &row)?;
    Ok(Closed {
        window: row.number,
        conversions,
        lines,
        statements,
        close_ms,
        reached,
        peak_memory_kib: peak_memory_kib(std::process::id()),
        owed,
        stated,
    })
}

/// A published window's conversions, and what its statements say of them.
pub struct Proof {
    pub conversions: i64,
    pub lines: i64,
    pub statements: usize,
    /// Points × price of every conversion, in millionths.
    pub owed: i64,
    pub stated: i64,
}

/// Compares a published window's statements with its conversions.
pub fn prove(url: &str, row: &Row) -> Result<Proof, Error> {
    let mut conn = settlement::connect(url).map_err(Error::failed)?;
    diesel::connection::SimpleConnection::batch_execute(
        &mut conn,
        "SET statement_timeout = 0; SET enable_seqscan = on; SET enable_hashjoin = on",
    )
    .map_err(Error::failed)?;
    let statements = statements::of_window(&mut conn, row.id).map_err(Error::failed)?;
    let (conversions, owed) = owed(&mut conn, row)?;
    let lines = statements.iter().map(|row| row.lines).sum();
    Ok(Proof { conversions, lines, statements: statements.len(), owed, stated: stated(&statements)? })
}

#[derive(QueryableByName)]
struct OwedSql {
    #[diesel(sql_type = BigInt)]
    n: i64,
    #[diesel(sql_type = Text)]
    owed: String,
}

/// Points × price, straight from the conversions: base and every bonus that somebody else than the target pays.
fn owed(conn: &mut PgConnection, row: &Row) -> Result<(i64, i64), Error> {
    let sql = "SELECT count(*) AS n, coalesce(sum((t.body->>'settlement_price')::numeric * (c.credit + (SELECT coalesce(sum(b.points), 0) \
        FROM unnest(c.bonuses) WITH ORDINALITY b(points, i) WHERE t.body->'campaigns'->(b.i - 1)::int->>'funder' <> 'to'))), 0)::text AS owed \
        FROM conversions c JOIN terms t USING (terms_id) WHERE c.window_id = $1";
    let row: OwedSql = sql_query(sql).bind::<SqlUuid, _>(row.id.0).get_result(conn).map_err(Error::failed)?;
    let owed = row.owed.parse().map_err(|_| Error::Failed(format!("{} millionths are beyond money", row.owed)))?;
    Ok((row.n, owed))
}

/// The same as the statements say it: what everybody is owed for points that arrived, before anything was taken back.
fn stated(statements: &[statements::Row]) -> Result<i64, Error> {
    let mut sum = 0_i64;
    for row in statements {
        let body: serde_json::Value = serde_json::from_str(&row.payload).map_err(Error::failed)?;
        for sort in ["in", "bonus_by_others"] {
            let amount = body["totals"][sort]["amount"].as_str().unwrap_or("0.00");
            let amount = crate::domain::money::Millionths::parse(amount);
            sum += amount.ok_or_else(|| Error::Failed("a statement's total is no money".to_owned()))?.get();
        }
    }
    Ok(sum)
}

/// The alliance's keys in the server's data folder.
pub async fn keys(url: &str, data_dir: &Path) -> Result<Keys, Error> {
    let database = store::connect(url).map_err(Error::failed)?;
    Keys::open(database, data_dir.join("keys")).await.map_err(Error::failed)
}
