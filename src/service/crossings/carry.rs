//! Whoever carries crossings on: takes what is handed over and what is due, makes the call that the state asks for, and
//! reports to the book what came of it. No transaction is open while a partner is asked.

use super::ask::{self, News};
use super::calls::{self, Asked, Asking, Calls};
use super::health::{Health, Turn};
use super::names::Known;
use super::{Next, Patience};
use crate::book::command::{Advance, Answer as Told, Code, Command, CrossingRow, Outcome, Parcel};
use crate::book::store::crossings as book_rows;
use crate::clock;
use crate::domain::crossing::{State, Step};
use crate::domain::ids::Slug;
use crate::service::exchange::{self, Error, Exchange};
use crate::service::outbound::Outbound;
use crate::store::crossings;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

/// How often what is due is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Under way at once, up to which each answer is recorded as it comes; above that, on the next beat.
const ALONE: usize = 16;
/// What is in doubt is asked for again at this pace.
const DOUBTFUL_EVERY: Duration = Duration::from_secs(60);

/// How long one waits here for a place at a partner; then the database remembers when it is due.
const QUEUE_PATIENCE: Duration = Duration::from_secs(1);
/// Why one waits whose partner is asked as much as it may be.
const FULL: &str = "as many calls as may be are under way";

/// How much is under way at once.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Crossings in all.
    pub crossings: usize,
    /// Calls of one partner, and as many that wait for one: a slow one takes no place of another's.
    pub each: usize,
}

/// The tasks that carry crossings on. Dropping it stops them between two steps, or within a call.
pub struct Carrier {
    runtime: Option<Runtime>,
}

impl Carrier {
    pub fn start(
        exchange: Exchange,
        outbound: Arc<Outbound>,
        waiting: mpsc::Receiver<Next>,
        patience: Patience,
        bounds: Bounds,
    ) -> io::Result<Carrier> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("crossings")
            .enable_all()
            .build()?;
        let calls = {
            let _within = runtime.enter();
            Calls::new(exchange.clone(), outbound, patience.call, Health::new(bounds.each))
        };
        let (places, bound) = (Arc::new(Semaphore::new(bounds.crossings)), bounds.crossings);
        let work = Arc::new(Work { exchange, calls, patience, places, bound });
        runtime.spawn(work.run(waiting));
        Ok(Carrier { runtime: Some(runtime) })
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

struct Work {
    exchange: Exchange,
    calls: Calls,
    patience: Patience,
    places: Arc<Semaphore>,
    bound: usize,
}

/// One crossing as it is carried.
struct Carried {
    row: Arc<CrossingRow>,
    /// In the database.
    version: i64,
    attempts: u32,
    /// When it came to its state.
    since: Instant,
    names: Option<Known>,
}

impl Work {
    async fn run(self: Arc<Self>, mut waiting: mpsc::Receiver<Next>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                next = waiting.recv() => match next {
                    Some(next) => self.clone().begin(next),
                    None => return,
                },
                _ = look.tick() => {
                    let looked = self.clone().take_due().await;
                    if let Err(error) = &looked && !failing {
                        // Said once until it works again.
                        tracing::warn!(%error, "what crosses cannot be looked for; it goes on trying");
                    }
                    failing = looked.is_err();
                }
            }
        }
    }

    /// Carries on what was handed over; with every place taken it is left until it is due.
    fn begin(self: Arc<Self>, next: Next) {
        let Ok(place) = self.places.clone().try_acquire_owned() else { return };
        tokio::spawn(async move {
            let carried = match next {
                // Its row was written in the transaction that gave it to us.
                Next::Row(row) => Some(Carried { version: row.version + 1, ..Carried::new(row, 0, Duration::ZERO) }),
                Next::Id(id) => self.read(&[id]).await.unwrap_or_default().remove(&id).map(|row| {
                    let row = Arc::new(row);
                    Carried::new(row, 0, Duration::ZERO)
                }),
            };
            if let Some(carried) = carried {
                self.carry(carried, place).await;
            }
        });
    }

    async fn take_due(self: Arc<Self>) -> Result<(), Error> {
        let (limit, but) = (self.places.available_permits().min(256), self.calls.health.busy(clock::instant()));
        let limit = i64::try_from(limit).unwrap_or(0);
        if limit == 0 {
            return Ok(());
        }
        let due = self.exchange.database.run(move |conn| Ok::<_, Error>(crossings::take(conn, limit, &but)?)).await?;
        if due.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = due.iter().map(|due| due.crossing_id).collect();
        let mut rows = self.read(&ids).await?;
        for due in due {
            let (Some(row), Ok(place)) = (rows.remove(&due.crossing_id), self.places.clone().try_acquire_owned())
            else {
                continue;
            };
            let age = Duration::from_millis(u64::try_from(due.age_ms).unwrap_or(0));
            let carried = Carried::new(Arc::new(row), u32::try_from(due.attempts).unwrap_or(0).max(1), age);
            let work = self.clone();
            tokio::spawn(async move { work.carry(carried, place).await });
        }
        Ok(())
    }

    async fn read(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, CrossingRow>, Error> {
        let wished = book_rows::Wished { ids: ids.to_vec(), ..book_rows::Wished::default() };
        let rows = self.exchange.database.run(move |conn| Ok::<_, Error>(book_rows::find(conn, wished)?)).await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }

    /// As far as it goes: to its end, or to a call without an outcome.
    async fn carry(&self, mut carried: Carried, place: OwnedSemaphorePermit) {
        while !carried.row.state.is_over() {
            match self.step(&mut carried).await {
                Ok(Some(row)) => {
                    let names = carried.names.take();
                    carried = Carried { version: row.version + 1, names, ..Carried::new(row, 0, Duration::ZERO) };
                }
                Ok(None) => break,
                Err(error) => {
                    // Found again when it is due.
                    tracing::warn!(conversion.id = %carried.row.conversion, %error, "a crossing was not carried on");
                    break;
                }
            }
        }
        drop(place);
    }

    /// One call, and the step it led to; `None`: none, it is due again later, or somebody else was first.
    async fn step(&self, carried: &mut Carried) -> Result<Option<Arc<CrossingRow>>, Error> {
        let row = carried.row.clone();
        let partner = asked(&row);
        let turn = match self.calls.health.turn(partner, clock::instant()) {
            Turn::Go(turn) => turn,
            Turn::Rests(rest) => {
                let wait = rest + Duration::from_millis(u64::from(chance(&row)) * 4);
                return self.wait(carried, wait, "its breaker is open").await;
            }
            Turn::Full(queue) => match queue.place(QUEUE_PATIENCE).await {
                Some(turn) => turn,
                None => return self.wait(carried, Duration::ZERO, FULL).await,
            },
            Turn::Overfull => return self.wait(carried, Duration::from_secs(1), FULL).await,
        };
        let in_step = self.bound.saturating_sub(self.places.available_permits()) > ALONE;
        let asking = Asking { row: &row, attempts: carried.attempts, names: &mut carried.names, in_step };
        let asked = self.calls.ask(asking, partner).await;
        // What came of it takes no place of another call's.
        drop(turn);
        match asked? {
            Asked::News(News::Step { step, lots, cause }) => {
                let note = calls::refused(cause.as_deref());
                match self.advance(&row, step, lots, cause).await? {
                    None if row.in_doubt => self.later(carried, DOUBTFUL_EVERY, &note).await,
                    moved => Ok(moved),
                }
            }
            Asked::News(News::Unknown(note)) => {
                let wait = ask::wait(carried.attempts, None, chance(&row));
                self.later(carried, wait, &note).await
            }
            Asked::Later(after, note) => {
                let wait = ask::wait(carried.attempts, after, chance(&row));
                self.later(carried, wait, &note).await
            }
        }
    }

    async fn advance(
        &self,
        row: &CrossingRow,
        step: Step,
        lots: Vec<Parcel>,
        cause: Option<String>,
    ) -> Result<Option<Arc<CrossingRow>>, Error> {
        let advance = Advance { crossing: row.id, of: row.state, step, lots, cause, doubt: false };
        self.tell(row, advance).await
    }

    async fn doubt(&self, row: &CrossingRow, cause: &str) -> Result<Option<Arc<CrossingRow>>, Error> {
        tracing::error!(conversion.id = %row.conversion, state = row.state.code(), cause, "a conversion is in doubt: somebody has to look");
        let (lots, cause) = (Vec::new(), Some(cause.to_owned()));
        let advance = Advance { crossing: row.id, of: row.state, step: Step::GivenUp, lots, cause, doubt: true };
        self.tell(row, advance).await
    }

    async fn tell(&self, row: &CrossingRow, advance: Advance) -> Result<Option<Arc<CrossingRow>>, Error> {
        let (fresh, request_id) = (Uuid::now_v7(), Uuid::now_v7());
        let step = advance.step;
        let request = exchange::keyless(&row.asked_by, request_id, fresh, Command::Advance(advance));
        let Told { outcome, .. } = self.exchange.book.submit(request).await?;
        match outcome {
            Outcome::Crossing(now) if (now.state, now.in_doubt) == (row.state, row.in_doubt) => Ok(None),
            Outcome::Crossing(now) => {
                metrics::counter!("hanse_crossings_steps_total", "to" => now.state.code()).increment(1);
                Ok(Some(now))
            }
            Outcome::Refused(refusal) if refusal.code == Code::Stale => {
                // What is recorded says that this cannot be: neither is believed.
                tracing::error!(conversion.id = %row.conversion, ?step, "a partner's answer contradicts what is recorded");
                Ok(None)
            }
            Outcome::Refused(_) => Err(Error::Broken("a crossing's step was refused")),
            _ => Err(Error::Broken("the book answered another command")),
        }
    }

    /// Nothing was asked: it waits, and that is no try.
    async fn wait(&self, carried: &Carried, wait: Duration, note: &str) -> Result<Option<Arc<CrossingRow>>, Error> {
        self.due(carried, wait, note, 0).await
    }

    async fn later(&self, carried: &Carried, wait: Duration, note: &str) -> Result<Option<Arc<CrossingRow>>, Error> {
        self.due(carried, wait, note, 1).await
    }

    async fn due(
        &self,
        carried: &Carried,
        wait: Duration,
        note: &str,
        tries: i32,
    ) -> Result<Option<Arc<CrossingRow>>, Error> {
        // Only now: whoever comes back after hours asks first.
        let row = carried.row.clone();
        match self.patience.over(row.state, carried.since.elapsed()) {
            Some(Over::GivesUp) => {
                return self.advance(&row, Step::GivenUp, Vec::new(), Some("no_answer".to_owned())).await;
            }
            Some(Over::Doubts) if !row.in_doubt => return self.doubt(&row, "no_answer").await,
            Some(Over::Doubts) | None => {}
        }
        let (id, version, note) = (carried.row.id, carried.version, note.chars().take(200).collect::<String>());
        let wait = if carried.row.in_doubt { wait.max(DOUBTFUL_EVERY) } else { wait };
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let unit = move |conn: &mut diesel::PgConnection| {
            Ok::<_, Error>(crossings::later(conn, id, version, (wait, tries), &note)?)
        };
        self.exchange.database.run(unit).await?;
        Ok(None)
    }
}

impl Carried {
    fn new(row: Arc<CrossingRow>, attempts: u32, age: Duration) -> Carried {
        let now = clock::instant();
        let since = now.checked_sub(age).unwrap_or(now);
        Carried { version: row.version, row, attempts, since, names: None }
    }
}

/// What to do when a state has lasted too long.
enum Over {
    GivesUp,
    Doubts,
}

impl Patience {
    fn over(&self, state: State, age: Duration) -> Option<Over> {
        let (patience, over) = match state {
            State::Holding => (self.hold, Over::GivesUp),
            State::Crediting => (self.credit, Over::GivesUp),
            State::Capturing | State::Voiding | State::Releasing => (self.settle, Over::Doubts),
            State::Done | State::Released => return None,
        };
        (age > patience).then_some(over)
    }
}

/// Who is asked in this state.
fn asked(row: &CrossingRow) -> &Slug {
    let (source, target) = (row.source_partner(), row.target_partner());
    asked_of(row.state, source, target).unwrap_or(source)
}

/// Of source and target, who is asked; nobody when it is over.
pub(super) fn asked_of<T>(state: State, source: T, target: T) -> Option<T> {
    match state {
        State::Holding | State::Capturing | State::Releasing => Some(source),
        State::Crediting | State::Voiding => Some(target),
        State::Done | State::Released => None,
    }
}

/// A byte of chance, drawn with the crossing's id.
fn chance(row: &CrossingRow) -> u8 {
    row.id.as_bytes()[15]
}
