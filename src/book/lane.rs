//! A lane: one thread, one connection, one batch at a time. While one batch commits, the next gathers; no timer.
//!
//! Whatever fails, each request ends in exactly one of: answered from what is durable, or told honestly that it is
//! undecided. A poisoned command is found by halving and harms only itself; a lost race is run again; a connection
//! lost at COMMIT is resolved by asking the database what became of the transaction.

use super::command::{Answer, Undecided};
use super::engine::{self, Priced, Verdict, world::World};
use super::fence;
use super::plan::Plan;
use super::queue::{Pending, Queue};
use super::store::{Error, read, write};
use crate::domain::catalogue::Catalogue;
use arc_swap::ArcSwap;
use diesel::connection::{Connection, SimpleConnection};
use diesel::result::{DatabaseErrorKind, Error as Sql};
use diesel::{PgConnection, QueryableByName, RunQueryDsl};
use engine::world::Now;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rounds without a turn, after which a request is told `busy`.
const ROUNDS_MAX: u32 = 20;
/// Decisions anew because an exposure moved, before the batch is halved.
const DECISIONS_MAX: u32 = 3;
/// How long a lane asks what became of a transaction before its waiters are left with `outcome_unknown`.
const ASKING_MAX: Duration = Duration::from_secs(30);
/// Between two tries to reach the database.
const PAUSE: Duration = Duration::from_millis(50);

/// Book connections plan for one shape whatever the tables' size: an index probe per element of the arrays.
const SESSION: &str = "SET statement_timeout = '5s'; SET idle_in_transaction_session_timeout = '5s'; SET TIME ZONE 'UTC'; \
    SET application_name = 'hanse book'; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; \
    SET plan_cache_mode = force_generic_plan; SET jit = off";

pub struct Lane {
    pub url: String,
    pub queue: Arc<Queue>,
    pub catalogue: Arc<ArcSwap<Catalogue>>,
    pub batch_max: usize,
    conn: Option<PgConnection>,
    terms: write::KnownTerms,
    priced: Priced,
}

/// What one try of a batch came to.
enum Tried {
    /// Committed: an answer each, `None` for those that had no turn.
    Done(Vec<Option<Answer>>),
    /// Nothing happened, and the same may succeed: another server was faster.
    Raced,
    /// Nothing happened; some command of the batch cannot be written.
    Refused(Error),
    /// Nothing happened; the database cannot be reached.
    Away,
    /// The connection was lost at COMMIT and the database has not said what became of it.
    Unknown,
}

impl Lane {
    pub fn new(url: String, queue: Arc<Queue>, catalogue: Arc<ArcSwap<Catalogue>>, batch_max: usize) -> Lane {
        let (terms, priced) = (write::KnownTerms::default(), Priced::default());
        Lane { url, queue, catalogue, batch_max, conn: None, terms, priced }
    }

    /// Runs until the queue is closed and empty.
    pub fn run(mut self) {
        while let Some(batch) = self.queue.take(self.batch_max) {
            metrics::histogram!("hanse_book_batch_size").record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
            let waiting = self.settle(batch);
            if !waiting.is_empty() {
                metrics::counter!("hanse_book_requeued_total").increment(u64::try_from(waiting.len()).unwrap_or(0));
                if self.queue.is_empty() {
                    // Everything here waits for another lane's commit: give it the processor.
                    std::thread::sleep(Duration::from_millis(1));
                }
                self.queue.put_back(waiting);
            }
        }
    }

    /// Decides a batch, in halves where it cannot be decided whole. Returns who had no turn.
    fn settle(&mut self, batch: Vec<Pending>) -> Vec<Pending> {
        let mut waiting = Vec::new();
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            match self.attempt(&part) {
                Tried::Done(answers) => answer_all(part, answers, &mut waiting),
                Tried::Away => tell_all(part, Undecided::Unavailable),
                Tried::Unknown => tell_all(part, Undecided::OutcomeUnknown),
                Tried::Raced if part.len() == 1 => wait_again(part, &mut waiting),
                Tried::Refused(error) if part.len() == 1 => {
                    tracing::error!(error = %error, "a command of the book cannot be written");
                    metrics::counter!("hanse_book_failed_total").increment(1);
                    tell_all(part, Undecided::Failed);
                }
                Tried::Raced | Tried::Refused(_) => {
                    metrics::counter!("hanse_book_halved_total").increment(1);
                    let rest = part.split_off(part.len() / 2);
                    // The first half is popped next, so commands keep their order.
                    parts.push(rest);
                    parts.push(part);
                }
            }
        }
        waiting
    }

    /// One batch, decided anew when an exposure it read was moved meanwhile.
    fn attempt(&mut self, batch: &[Pending]) -> Tried {
        for _ in 0..DECISIONS_MAX {
            match self.attempt_once(batch) {
                Tried::Refused(Error::Exposed) => metrics::counter!("hanse_book_decided_anew_total").increment(1),
                other => return other,
            }
        }
        Tried::Raced
    }

    fn attempt_once(&mut self, batch: &[Pending]) -> Tried {
        let Some(mut conn) = self.connection() else { return Tried::Away };
        let mut xid = None;
        let mut answers = None;
        let committed = conn.transaction(|conn| {
            let decided = self.decide(conn, batch, &mut xid)?;
            answers = Some(decided);
            Ok::<(), Error>(())
        });
        match (committed, answers) {
            (Ok(()), Some(answers)) => {
                self.conn = Some(conn);
                Tried::Done(answers)
            }
            (Ok(()), None) => Tried::Raced,
            (Err(error), answers) => {
                self.terms.forget();
                let reachable = conn.batch_execute("SELECT 1").is_ok();
                if reachable {
                    self.conn = Some(conn);
                }
                match answers {
                    // Every statement had succeeded, so it was COMMIT that failed: only the database knows how.
                    Some(answers) if !reachable => self.ask(xid, answers),
                    _ if !reachable => Tried::Away,
                    _ if is_race(&error) => Tried::Raced,
                    _ => Tried::Refused(error),
                }
            }
        }
    }

    /// Asks what became of the transaction until the database says committed or aborted.
    fn ask(&mut self, xid: Option<String>, answers: Vec<Option<Answer>>) -> Tried {
        let Some(xid) = xid else { return Tried::Away };
        metrics::counter!("hanse_book_commits_in_doubt_total").increment(1);
        let since = Instant::now();
        while since.elapsed() < ASKING_MAX {
            if let Some(mut conn) = self.connection() {
                let asked = status_of(&mut conn, &xid);
                self.conn = Some(conn);
                match asked {
                    Ok(Some(status)) if status == "committed" => return Tried::Done(answers),
                    // The same commands with the same ids run again.
                    Ok(Some(status)) if status == "aborted" => return Tried::Raced,
                    Ok(_) => {}
                    Err(_) => self.conn = None,
                }
            }
            std::thread::sleep(PAUSE);
        }
        tracing::error!(xid, "the database has not said what became of a transaction");
        Tried::Unknown
    }

    /// One batch inside its transaction: fence, turns, read, decide, write.
    fn decide(
        &mut self,
        conn: &mut PgConnection,
        batch: &[Pending],
        xid: &mut Option<String>,
    ) -> Result<Vec<Option<Answer>>, Error> {
        fence::shared(conn)?;
        let state = read::state(conn)?;
        *xid = Some(state.xid.clone());
        let catalogue = self.catalogue(conn, state.catalogue_version)?;
        let now = Now { at: state.at, day: state.at.with_timezone(&catalogue.alliance.zone).date_naive() };
        let requests: Vec<_> = batch.iter().map(|pending| &pending.request).collect();
        let mut plan = Plan::locate(conn, &requests)?;
        plan.take_turns(conn)?;
        let mut world = World::new(now, state.window(), state.batch_no);
        plan.fill(conn, &requests, &mut world)?;
        let answers = requests.iter().enumerate().map(|(i, request)| {
            if !plan.has_turn(i) {
                return None;
            }
            match engine::decide(&mut world, &catalogue, &mut self.priced, request) {
                Verdict::Answered(answer) => Some(answer),
                Verdict::Reload => None,
            }
        });
        let answers = answers.collect();
        write::batch(conn, &mut self.terms, &state, &mut world)?;
        Ok(answers)
    }

    /// The catalogue of the version the fence protects, shared with the rest of the process when it is newer.
    fn catalogue(&self, conn: &mut PgConnection, version: i64) -> Result<Arc<Catalogue>, Error> {
        let known = self.catalogue.load_full();
        if known.version == version {
            return Ok(known);
        }
        let newer = Arc::new(crate::store::catalogue::load(conn)?);
        self.catalogue.store(newer.clone());
        Ok(newer)
    }

    fn connection(&mut self) -> Option<PgConnection> {
        if let Some(conn) = self.conn.take() {
            return Some(conn);
        }
        let mut conn = PgConnection::establish(&self.url).ok()?;
        conn.batch_execute(SESSION).ok()?;
        self.terms.forget();
        Some(conn)
    }
}

fn answer_all(batch: Vec<Pending>, answers: Vec<Option<Answer>>, waiting: &mut Vec<Pending>) {
    for (pending, answer) in batch.into_iter().zip(answers) {
        match answer {
            Some(answer) => pending.answer(Ok(answer)),
            None => wait_again(vec![pending], waiting),
        }
    }
}

fn wait_again(batch: Vec<Pending>, waiting: &mut Vec<Pending>) {
    for mut pending in batch {
        pending.rounds += 1;
        if pending.rounds > ROUNDS_MAX {
            pending.answer(Err(Undecided::Busy));
        } else {
            waiting.push(pending);
        }
    }
}

fn tell_all(batch: Vec<Pending>, undecided: Undecided) {
    for pending in batch {
        pending.answer(Err(undecided));
    }
}

/// Somebody else wrote what this batch wrote: nothing is wrong with it.
fn is_race(error: &Error) -> bool {
    match error {
        Error::LostRace => true,
        Error::Query(Sql::DatabaseError(kind, info)) => {
            matches!(kind, DatabaseErrorKind::UniqueViolation | DatabaseErrorKind::SerializationFailure)
                || info.message().contains("deadlock detected")
        }
        _ => false,
    }
}

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Text>)]
    status: Option<String>,
}

fn status_of(conn: &mut PgConnection, xid: &str) -> Result<Option<String>, Sql> {
    let row: Status = diesel::sql_query("SELECT pg_xact_status($1::xid8) AS status")
        .bind::<diesel::sql_types::Text, _>(xid)
        .get_result(conn)?;
    Ok(row.status)
}
