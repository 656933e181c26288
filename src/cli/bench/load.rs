//! One run: clients that each wait for an answer before they ask again, for a given time.

use super::answer::{Amounts, Quote};
use super::client::Clients;
use super::closer::{Closer, Closes};
use super::crossings::{self, Ends};
use super::list::List;
use super::members::Population;
use super::probe::{Cost, Probe};
use super::scenario::{self, Job, Scenario, Worker};
use super::tally::{Latency, Tally};
use crate::cli::Error;
use crate::clock;
use indicatif::ProgressBar;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::slice;
use std::time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

/// How long clients may wait for their last answer once the time is over; a server may be away.
const GRACE: Duration = Duration::from_secs(60);
/// The same when somebody wants to end.
const GRACE_INTERRUPTED: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(250);
/// Handshakes at once while the clients connect.
const HANDSHAKES: usize = 32;

/// What is the same in every run.
pub struct Setting {
    pub clients: Clients,
    pub hot: Population,
    pub spread: Vec<Population>,
    /// Of two brands that keep their own ledgers.
    pub remote: Population,
    /// Connections of a scenario of single requests, and of one of batches.
    pub singles: usize,
    pub batches: usize,
    pub time: Duration,
    pub list: Option<PathBuf>,
    /// Closes windows meanwhile.
    pub closer: Option<Closer>,
}

/// Whether somebody wants to end.
#[derive(Default)]
pub struct Interrupt {
    asked: Cell<bool>,
    notify: tokio::sync::Notify,
}

/// What one run has shown.
#[derive(Debug, serde::Serialize)]
pub struct Measured {
    pub scenario: &'static str,
    pub clients: usize,
    pub elapsed_ms: u64,
    /// Answered within the time.
    pub effects: u64,
    pub per_second: u64,
    /// Of a request; in a scenario of batches, of a whole batch.
    pub latency: Latency,
    /// Of what was asked or answered while a window was being closed, which the latency above leaves out.
    pub closing: Option<Latency>,
    pub closes: Option<Closes>,
    pub cost: Cost,
    pub late_effects: u64,
    pub refused: BTreeMap<String, u64>,
    pub put_off: BTreeMap<String, u64>,
    pub recovered: u64,
    /// Clients that were still waiting when the run was given up.
    pub unanswered: usize,
    pub wrong: u64,
    pub wrong_shown: Vec<String>,
    pub interrupted: bool,
}

impl Setting {
    /// Between whom a scenario runs.
    pub fn populations(&self, scenario: Scenario) -> &[Population] {
        match scenario {
            Scenario::Crossings => slice::from_ref(&self.remote),
            _ if scenario.is_spread() => &self.spread,
            _ => slice::from_ref(&self.hot),
        }
    }
}

impl Interrupt {
    pub fn ask(&self) {
        self.asked.set(true);
        self.notify.notify_waiters();
    }

    pub fn is_asked(&self) -> bool {
        self.asked.get()
    }

    pub async fn asked(&self) {
        let notified = self.notify.notified();
        if !self.is_asked() {
            notified.await;
        }
    }
}

/// Runs one scenario.
pub async fn run(
    setting: &Setting,
    scenario: Scenario,
    probe: &mut Probe,
    interrupt: &Interrupt,
    bar: &ProgressBar,
) -> Result<Measured, Error> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let job = Rc::new(new_job(setting, scenario, &tally)?);
    let mut workers = workers(setting, &job).await?;
    bar.set_message(format!("{}: connecting", scenario.name()));
    connect(&mut workers).await?;
    let following = match scenario {
        Scenario::Crossings => Some(crossings::follow(setting, &job).await?),
        _ => None,
    };
    let before = probe.read().await;
    let begun = clock::instant();
    let mut working = JoinSet::new();
    let clients = workers.len();
    workers.into_iter().for_each(|worker| drop(working.spawn_local(worker.work())));
    let closing = setting.closer.as_ref().map(|closer| closer.begin(setting.time));
    job.closing.replace(closing.as_ref().map(|closing| std::sync::Arc::clone(&closing.now)));
    watch(setting.time, &job, interrupt, bar).await;
    let elapsed = begun.elapsed();
    tally.borrow_mut().closed = true;
    job.stopping.set(true);
    // Now, not after the last answers: these may take long when a server is away.
    let after = probe.read().await;
    let unanswered = finish(&mut working, interrupt).await?;
    if let Some(following) = following {
        following.abort();
    }
    if let Some(failure) = job.failure.take() {
        return Err(Error::Failed(failure));
    }
    let closes = match (closing, &setting.closer) {
        (Some(closing), Some(closer)) => Some(closing.end(closer)?),
        (None, _) | (_, None) => None,
    };
    let tally = tally.take();
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    Ok(Measured {
        scenario: scenario.name(),
        clients,
        elapsed_ms,
        effects: tally.effects,
        per_second: tally.effects * 1000 / elapsed_ms,
        latency: tally.latency(),
        closing: closes.as_ref().map(|_| tally.latency_closing()),
        closes,
        cost: probe.cost(&before, &after),
        late_effects: tally.late_effects,
        refused: tally.refused,
        put_off: tally.put_off,
        recovered: tally.recovered,
        unanswered,
        wrong: tally.wrong,
        wrong_shown: tally.wrong_shown,
        interrupted: interrupt.is_asked(),
    })
}

fn new_job(setting: &Setting, scenario: Scenario, tally: &Rc<RefCell<Tally>>) -> Result<Job, Error> {
    let open =
        |path: &PathBuf| List::append(path).map_err(|cause| Error::Failed(format!("{}: {cause}", path.display())));
    Ok(Job {
        scenario,
        run: run_id(),
        tally: Rc::clone(tally),
        list: setting.list.as_ref().map(open).transpose()?.map(RefCell::new),
        closing: RefCell::default(),
        ends: Ends::default(),
        stopping: Cell::new(false),
        failure: RefCell::new(None),
    })
}

/// Unlike that of any other run on the same database, and short: it is in every key.
fn run_id() -> String {
    format!("b{:016x}", Uuid::new_v4().as_u64_pair().1)
}

/// The clients of a run, each with its population and what its conversions come to.
async fn workers(setting: &Setting, job: &Rc<Job>) -> Result<Vec<Worker>, Error> {
    let populations = setting.populations(job.scenario);
    let count = if job.scenario.is_batched() { setting.batches } else { setting.singles };
    let mut amounts = Vec::with_capacity(populations.len());
    for population in populations {
        // An import converts nothing.
        let converts = job.scenario != Scenario::Import;
        amounts.push(if converts { priced(setting, population, &job.tally).await? } else { Amounts::default() });
    }
    let worker = |number: usize| {
        let at = number % populations.len();
        let client = setting.clients.client(populations[at].pair.from.slug, number, &job.tally)?;
        let random = u64::try_from(number).unwrap_or(0) ^ Uuid::new_v4().as_u64_pair().1;
        let (job, population, amounts) = (Rc::clone(job), populations[at], amounts[at]);
        Ok(Worker { job, client, number, population, amounts, random, sent: 0 })
    };
    (0..count).map(worker).collect()
}

/// Asks the server what a conversion of this population comes to.
async fn priced(setting: &Setting, population: &Population, tally: &Rc<RefCell<Tally>>) -> Result<Amounts, Error> {
    let mut client = setting.clients.client(population.pair.from.slug, 0, tally)?;
    let ask = scenario::quote(&population.member_ref(0), population.pair.to.slug);
    let failed = |why: String| Error::Failed(format!("{} has no price: {why}", population.pair));
    let answer = client.ask_once(&ask, 1).await.map_err(|cause| failed(cause.to_string()))?;
    if answer.status != 201 {
        return Err(failed(answer.code()));
    }
    Ok(serde_json::from_slice::<Quote>(&answer.body).map_err(|cause| failed(cause.to_string()))?.amounts())
}

/// Connects every client, a few at a time.
async fn connect(workers: &mut [Worker]) -> Result<(), Error> {
    for some in workers.chunks_mut(HANDSHAKES) {
        let mut connecting: Vec<_> = some.iter_mut().map(|worker| Box::pin(worker.client.connect())).collect();
        // Polled together, so that the handshakes overlap.
        let all = std::future::poll_fn(|cx| {
            let mut failed = None;
            connecting.retain_mut(|one| match one.as_mut().poll(cx) {
                std::task::Poll::Ready(outcome) => {
                    failed = failed.take().or(outcome.err());
                    false
                }
                std::task::Poll::Pending => true,
            });
            match failed {
                Some(cause) => std::task::Poll::Ready(Err(cause)),
                None if connecting.is_empty() => std::task::Poll::Ready(Ok(())),
                None => std::task::Poll::Pending,
            }
        });
        all.await.map_err(|cause| Error::Failed(format!("a client cannot connect: {cause}")))?;
    }
    Ok(())
}

/// Lets the clients work, for the time given or until something ends it earlier.
async fn watch(time: Duration, job: &Job, interrupt: &Interrupt, bar: &ProgressBar) {
    let begun = clock::instant();
    bar.set_length(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let (mut effects_before, mut looked) = (0, begun);
    while begun.elapsed() < time && !job.stopping.get() && !interrupt.is_asked() {
        tokio::select! {
            () = tokio::time::sleep(TICK.min(time.saturating_sub(begun.elapsed()))) => {}
            () = interrupt.asked() => {}
        }
        let (effects, now) = (job.tally.borrow().effects, clock::instant());
        let since_us = u64::try_from((now - looked).as_micros()).unwrap_or(u64::MAX).max(1);
        let a_second = (effects - effects_before).saturating_mul(1_000_000) / since_us;
        bar.set_position(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        bar.set_message(format!("{}: {a_second} a second", job.scenario.name()));
        (effects_before, looked) = (effects, now);
    }
}

/// Waits for what has been asked to be answered; how many clients were given up.
async fn finish(working: &mut JoinSet<()>, interrupt: &Interrupt) -> Result<usize, Error> {
    let all = async {
        while let Some(ended) = working.join_next().await {
            ended.map_err(Error::failed)?;
        }
        Ok::<_, Error>(())
    };
    let patience = async {
        let interrupted = async {
            interrupt.asked().await;
            tokio::time::sleep(GRACE_INTERRUPTED).await;
        };
        tokio::select! {
            () = tokio::time::sleep(GRACE) => {}
            () = interrupted => {}
        }
    };
    tokio::select! {
        ended = all => ended?,
        () = patience => {}
    }
    let left = working.len();
    working.shutdown().await;
    Ok(left)
}
