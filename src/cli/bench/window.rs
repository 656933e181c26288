//! A window under the clock: conversions of random amounts over all pairs until it has as many as wanted, then its close,
//! step by step, and the proof that what was answered is posted and that the statements say what the postings do.

use super::answer::Amounts;
use super::batch::{self, ITEMS};
use super::client::{Client, Clients};
use super::closer;
use super::load::Setting;
use super::members::Population;
use super::pairs::{POINTS, Pair};
use super::process::peak_memory_kib;
use super::prove::{self, Proof};
use super::scenario::next;
use super::tally::Tally;
use crate::cli::Error;
use crate::clock;
use crate::service::keys::Keys;
use crate::service::settlement::close::Told;
use crate::store;
use crate::store::settlement::windows::Row;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use indicatif::ProgressBar;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
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
    pub close_ms: u64,
    /// Milliseconds until each state was reached, from the beginning.
    pub reached: Vec<(String, u64)>,
    /// Of this process, which closed it.
    pub peak_memory_kib: Option<u64>,
    #[serde(flatten)]
    pub proof: Proof,
    /// Conversions that this run was answered.
    pub answered: i64,
    /// Pairs of which other conversions of this run are in the window than it was answered.
    pub unlike: Vec<String>,
}

/// What a run was answered for its conversions, by origin and target.
#[derive(Default)]
pub struct Filled {
    /// Before the first dot of every reference of this run.
    run: String,
    made: BTreeMap<(&'static str, &'static str), Made>,
}

/// Conversions of one pair, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Made {
    conversions: i64,
    amounts: Amounts,
}

impl Made {
    fn add(&mut self, more: Amounts) {
        self.conversions += 1;
        self.amounts.debit_points += more.debit_points;
        self.amounts.credit_points += more.credit_points;
        self.amounts.total_credit_points += more.total_credit_points;
    }
}

impl Closed {
    pub fn holds(&self) -> bool {
        self.proof.differs.is_empty() && self.unlike.is_empty()
    }
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Closed { window, close_ms, proof, .. } = self;
        let Proof { conversions, lines, statements, .. } = proof;
        writeln!(
            f,
            "window {window}: {conversions} conversions, {lines} lines, {statements} statements, closed in {close_ms} ms"
        )?;
        let steps: Vec<String> = self.reached.iter().map(|(state, ms)| format!("{state} {ms} ms")).collect();
        writeln!(f, "  {}", steps.join(", "))?;
        if let Some(kib) = self.peak_memory_kib {
            writeln!(f, "  peak resident {} MB", kib / 1024)?;
        }
        writeln!(f, "{proof}")?;
        match self.unlike.as_slice() {
            [] => write!(f, "  the {} conversions that were answered are in it as they were answered", self.answered),
            unlike => write!(f, "  NOT AS ANSWERED: {}", unlike.join("; ")),
        }
    }
}

/// Fills the open window up to `wanted` conversions, over every pair of `populations`.
pub async fn fill(
    setting: &Setting,
    populations: &[Population],
    (database_url, wanted): (&str, u64),
    bar: &ProgressBar,
) -> Result<Filled, Error> {
    let there = u64::try_from(in_open_window(database_url)?).unwrap_or(0);
    let left = Rc::new(Cell::new(wanted.saturating_sub(there)));
    // Few conversions are spread over every pair too.
    let pairs = u64::try_from(populations.len()).unwrap_or(1).max(1);
    let most = left.get().div_ceil(pairs).min(u64::try_from(ITEMS).unwrap_or(0));
    bar.set_length(wanted);
    bar.set_position(there);
    bar.set_message("conversions of random amounts");
    let tally: Rc<RefCell<Tally>> = Rc::default();
    let run = format!("w{:016x}", Uuid::new_v4().as_u64_pair().1);
    let filled = Rc::new(RefCell::new(Filled { run: run.clone(), made: BTreeMap::new() }));
    let mut working = JoinSet::new();
    for number in 0..setting.batches {
        let own: Vec<Population> = populations.iter().skip(number).step_by(setting.batches).copied().collect();
        if own.is_empty() {
            continue;
        }
        let clients: &Clients = &setting.clients;
        let made = own.iter().map(|population| clients.client(population.pair.from.slug, number, &tally));
        let made = made.collect::<Result<Vec<_>, _>>()?;
        let (left, bar, run, filled) = (Rc::clone(&left), bar.clone(), run.clone(), Rc::clone(&filled));
        working.spawn_local(async move {
            let mut random = Uuid::new_v4().as_u64_pair().1;
            let mut round = 0_u64;
            let mut clients: Vec<_> = own.into_iter().zip(made).collect();
            while left.get() > 0 {
                for (population, client) in &mut clients {
                    let count = left.get().min(most);
                    if count == 0 {
                        break;
                    }
                    left.set(left.get() - count);
                    round += 1;
                    let (points, items) = items(population, &format!("{run}.{number}.{round}"), count, &mut random);
                    let (made, refused) = send(client, &points, &items, population.pair, &filled).await?;
                    // A member may have no more: another one is asked.
                    left.set(left.get() + refused);
                    bar.inc(made);
                }
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = working.join_next().await {
        ended.map_err(Error::failed)??;
    }
    Ok(filled.take())
}

/// Sends one batch and adds up what was answered: how many conversions were made, and how many refused.
async fn send(
    client: &mut Client,
    points: &[i64],
    items: &[String],
    pair: Pair,
    filled: &RefCell<Filled>,
) -> Result<(u64, u64), Error> {
    let (mut made, mut refused) = (0, 0);
    let mut wrong = None;
    let sent = batch::send(client, "/v1/conversions/batch", items, |at, item, _| match &item.conversion {
        Some(conversion) if item.status < 300 => {
            let amounts = conversion.amounts();
            if amounts.debit_points != points[at] {
                wrong = Some(format!("{} took {} points, not {}", pair, amounts.debit_points, points[at]));
            }
            made += 1;
            filled.borrow_mut().made.entry((pair.from.slug, pair.to.slug)).or_default().add(amounts);
        }
        _ if item.status < 300 => wrong = Some(format!("{} without a conversion", item.status)),
        _ => refused += 1,
    });
    sent.await.map_err(|code| Error::Failed(format!("a batch was refused: {code}")))?;
    match wrong {
        Some(wrong) => Err(Error::Failed(format!("a wrong answer: {wrong}"))),
        None => Ok((made, refused)),
    }
}

/// Conversions of random members and amounts: the points of each, and it as JSON.
fn items(population: &Population, key: &str, count: u64, random: &mut u64) -> (Vec<i64>, Vec<String>) {
    let to = population.pair.to.slug;
    let item = |nth: u64| {
        let member_ref = population.member_ref(next(random) % population.members);
        let points = POINTS * i64::try_from(next(random) % TIMES_MAX + 1).unwrap_or(1);
        let key = format!("{key}.{nth}");
        let item = format!(
            r#"{{"idempotency_key":"{key}","member_ref":"{member_ref}","to":"{to}","points":{points},"external_reference":"{key}"}}"#
        );
        (points, item)
    };
    (0..count).map(item).unzip()
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

/// Closes the open window in this process, and compares its statements with what was posted and that with what was answered.
pub fn close(url: &str, keys: &Keys, filled: &Filled, bar: &ProgressBar) -> Result<Closed, Error> {
    let begun = clock::instant();
    let mut reached = Vec::new();
    let ms = |since: Duration| u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    bar.set_message("closing");
    let row = closer::close(url, keys, |told| match told {
        Told::State(row) => reached.push((row.state.code().to_owned(), ms(begun.elapsed()))),
        Told::Lines(through, last) => {
            bar.set_length(u64::try_from(last).unwrap_or(0));
            bar.set_position(u64::try_from(through).unwrap_or(0));
        }
    })?;
    let close_ms = ms(begun.elapsed());
    Ok(Closed {
        window: row.number,
        close_ms,
        reached,
        peak_memory_kib: peak_memory_kib(std::process::id()),
        proof: prove::prove(url, &row)?,
        answered: filled.made.values().map(|made| made.conversions).sum(),
        unlike: unlike(url, &row, filled)?,
    })
}

#[derive(QueryableByName)]
struct MadeSql {
    #[diesel(sql_type = Text)]
    from_partner: String,
    #[diesel(sql_type = Text)]
    to_partner: String,
    #[diesel(sql_type = BigInt)]
    n: i64,
    #[diesel(sql_type = BigInt)]
    debit: i64,
    #[diesel(sql_type = BigInt)]
    credit: i64,
    #[diesel(sql_type = BigInt)]
    total: i64,
}

/// The pairs of which the window's conversions of this run are others than those that were answered.
fn unlike(url: &str, row: &Row, filled: &Filled) -> Result<Vec<String>, Error> {
    let mut conn = store::establish(url).map_err(Error::failed)?;
    let sql = "SELECT from_partner, to_partner, count(*) AS n, sum(debit)::bigint AS debit, sum(credit)::bigint AS credit, \
        sum(credit + (SELECT coalesce(sum(b), 0) FROM unnest(bonuses) b))::bigint AS total FROM conversions \
        WHERE window_id = $1 AND split_part(reference, '.', 1) = $2 GROUP BY 1, 2";
    let query = sql_query(sql).bind::<SqlUuid, _>(row.id.0).bind::<Text, _>(&filled.run);
    let rows: Vec<MadeSql> = query.load(&mut conn).map_err(Error::failed)?;
    let made = |row: MadeSql| {
        let amounts = Amounts { debit_points: row.debit, credit_points: row.credit, total_credit_points: row.total };
        ((row.from_partner, row.to_partner), Made { conversions: row.n, amounts })
    };
    let mut there: BTreeMap<_, _> = rows.into_iter().map(made).collect();
    let mut unlike = Vec::new();
    for ((from, to), answered) in &filled.made {
        let found = there.remove(&((*from).to_owned(), (*to).to_owned())).unwrap_or_default();
        if found != *answered {
            unlike.push(format!("{from}:{to} was answered {answered:?}, and the window has {found:?}"));
        }
    }
    unlike.extend(there.into_keys().map(|(from, to)| format!("{from}:{to} was answered nothing")));
    Ok(unlike)
}

/// The alliance's keys in the server's data folder.
pub async fn keys(url: &str, data_dir: &Path) -> Result<Keys, Error> {
    let database = store::connect(url).map_err(Error::failed)?;
    Keys::open(database, data_dir.join("keys")).await.map_err(Error::failed)
}
