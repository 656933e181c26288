//! A lane: one thread, one connection, one batch at a time. While one batch commits, the next gathers; no timer.
//!
//! Whatever fails, each request ends in exactly one of: answered from what is durable, or told honestly that it is
//! undecided. A poisoned command, one that the database refuses or that makes us panic, is found by halving and harms
//! only itself; a lost race is run again; a fault of the server blames no command; a connection lost at COMMIT is
//! resolved by asking the database what became of the transaction.

use super::command::{Answer, Outcome, Request, Undecided};
use super::engine::{self, Priced, Verdict, world::World};
use super::fence;
use super::known::Known;
use super::places::Places;
use super::plan::{Look, Plan, claims_of, reference_of};
use super::queue::{Pending, Queue};
use super::store::read::{Fate, State};
use super::store::{self, Blame, Error, read, write};
use crate::clock;
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::AccountId;
use arc_swap::ArcSwap;
use diesel::PgConnection;
use diesel::connection::{AnsiTransactionManager, Connection, SimpleConnection, TransactionManager};
use engine::world::Now;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Rounds without a turn, after which a request is told `busy`.
const ROUNDS_MAX: u32 = 20;
/// Decisions anew because an exposure moved, before the batch is halved.
const DECISIONS_MAX: u32 = 4;
/// Batches that look keys and references up first after one of them was found taken.
const LOOKING: u32 = 64;
/// Batches that ask for the versions of remembered accounts first after one of them was found changed.
const ASKING: u32 = 64;
/// How long a lane asks what became of a transaction before its waiters are left with `outcome_unknown`.
const ASKING_MAX: Duration = Duration::from_secs(30);
/// Between two tries to reach the database.
const PAUSE: Duration = Duration::from_millis(50);

/// Faults of the server in one batch, after which what is left of it is not halved further.
const FAULTS_MAX: u32 = 4;
/// Longest rest of a lane whose every request waits for another lane's commit.
const REST_MAX: Duration = Duration::from_millis(20);

pub struct Lane {
    pub url: String,
    pub queue: Arc<Queue>,
    pub catalogue: Arc<ArcSwap<Catalogue>>,
    pub batch_max: usize,
    conn: Option<PgConnection>,
    /// Whether the database could not be reached the last time, so that it is said once.
    away: bool,
    terms: write::KnownTerms,
    priced: Priced,
    places: Places,
    known: Arc<Known>,
    /// Which run of which database server this connection leads to.
    origin: String,
    /// With which what the batch at hand has taken from `known` may come back.
    epoch: u64,
    /// Batches that still look keys and references up before they decide.
    looking: u32,
    /// Batches that still ask whether what is remembered of accounts holds before they decide.
    asking: u32,
}

/// What one try of a batch came to.
enum Tried {
    /// Committed: an answer each, `None` for those that had no turn.
    Done(Vec<Option<Answer>>),
    /// Nothing happened, and the same may succeed: another server was faster.
    Raced,
    /// Nothing happened, and the same may succeed if decided anew: an exposure moved under it.
    Anew,
    /// Nothing happened; some command of the batch cannot be decided or written.
    Refused(Error),
    /// Nothing happened: too slow, too full, or not allowed to write now. No command is to blame.
    Faulty(Error),
    /// Nothing happened: the connection was lost before COMMIT was sent.
    Lost,
    /// Nothing happened; the database cannot be reached.
    Away,
    /// The connection was lost at COMMIT and the database has not said what became of it.
    Unknown,
}

impl Lane {
    pub fn new(
        url: String,
        queue: Arc<Queue>,
        catalogue: Arc<ArcSwap<Catalogue>>,
        known: Arc<Known>,
        batch_max: usize,
    ) -> Lane {
        let (conn, away, origin, epoch) = (None, false, String::new(), 0);
        let (terms, priced, places) = (write::KnownTerms::default(), Priced::default(), Places::default());
        let (looking, asking) = (0, 0);
        Lane {
            url,
            queue,
            catalogue,
            batch_max,
            conn,
            away,
            terms,
            priced,
            places,
            known,
            origin,
            epoch,
            looking,
            asking,
        }
    }

    /// Runs until the queue is closed and empty.
    pub fn run(mut self) {
        while let Some(batch) = self.queue.take(self.batch_max) {
            metrics::histogram!("hanse_book_batch_size").record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
            let waiting = self.settle(batch);
            if !waiting.is_empty() {
                metrics::counter!("hanse_book_requeued_total").increment(u64::try_from(waiting.len()).unwrap_or(0));
                if self.queue.is_empty() {
                    // Everything here waits for another lane's commit: give it the processor, longer each time.
                    let rounds = waiting.iter().map(|pending| pending.rounds).min().unwrap_or(1);
                    std::thread::sleep(Duration::from_millis(u64::from(rounds)).min(REST_MAX));
                }
                self.queue.put_back(waiting);
            }
        }
    }

    /// Decides a batch, in halves where it cannot be decided whole. Returns who had no turn.
    fn settle(&mut self, batch: Vec<Pending>) -> Vec<Pending> {
        let mut waiting = Vec::new();
        let mut faults = 0;
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match self.attempt(&part) {
                Tried::Done(answers) => answer_all(part, answers, &mut waiting),
                Tried::Away | Tried::Lost => tell_all(part, Undecided::Unavailable),
                Tried::Unknown => tell_all(part, Undecided::OutcomeUnknown),
                Tried::Raced if part.len() == 1 => wait_again(part, &mut waiting),
                Tried::Refused(error) if part.len() == 1 => {
                    tracing::error!(%error, "a command of the book cannot be written");
                    metrics::counter!("hanse_book_failed_total").increment(1);
                    tell_all(part, Undecided::Failed);
                }
                Tried::Faulty(error) => {
                    faults += 1;
                    metrics::counter!("hanse_book_faults_total").increment(1);
                    if part.len() == 1 || faults > FAULTS_MAX {
                        tracing::error!(%error, commands = part.len(), "the database cannot do the book's work now");
                        tell_all(part, Undecided::Unavailable);
                    } else {
                        // A smaller part may be within its time and memory.
                        halve(part, &mut parts);
                    }
                }
                Tried::Raced | Tried::Anew | Tried::Refused(_) => halve(part, &mut parts),
            }
        }
        waiting
    }

    /// One batch: decided anew when an exposure it read was moved meanwhile, and once on another connection when the
    /// first was lost before COMMIT, as an idle one is when the database was started again.
    ///
    /// Nearly all keys and references are new, so the first try does not look them up: writing them, or a refusal, finds
    /// those that are not. Where one was met lately, the next batches look first.
    fn attempt(&mut self, batch: &[Pending]) -> Tried {
        let mut lost = false;
        let mut look = if self.looking > 0 { Look::First } else { Look::Later };
        self.looking = self.looking.saturating_sub(1);
        self.asking = self.asking.saturating_sub(1);
        for _ in 0..DECISIONS_MAX {
            let trusting = self.asking == 0;
            match self.attempt_once(batch, look) {
                // No command is to blame for what was decided on trust.
                Tried::Refused(_) if trusting => self.asking = ASKING,
                Tried::Anew => metrics::counter!("hanse_book_decided_anew_total").increment(1),
                Tried::Raced if look == Look::Later => {
                    metrics::counter!("hanse_book_looked_later_total").increment(1);
                    self.looking = LOOKING;
                }
                Tried::Lost if lost => return Tried::Away,
                Tried::Lost => lost = true,
                other => return other,
            }
            look = Look::First;
        }
        Tried::Raced
    }

    fn attempt_once(&mut self, batch: &[Pending], look: Look) -> Tried {
        let Some(mut conn) = self.connection() else { return Tried::Away };
        let (mut mark, mut decided) = (None, None);
        let tried = catch_unwind(AssertUnwindSafe(|| {
            conn.transaction(|conn| {
                decided = Some(self.decide(conn, batch, look, &mut mark)?);
                Ok::<(), Error>(())
            })
        }));
        let (committed, usable) = match tried {
            Ok(Ok(())) => (Ok(()), true),
            Ok(Err(error)) => (Err(error), is_usable(&mut conn)),
            // In the middle of anything: neither the connection nor what this lane remembers is to be trusted.
            Err(panic) => (Err(Error::Panicked(words_of(panic.as_ref()))), false),
        };
        if usable {
            self.conn = Some(conn);
        } else {
            drop(conn);
        }
        let error = match (committed, decided, mark) {
            (Ok(()), Some((answers, world)), _) => {
                self.known.learn(self.epoch, world);
                return Tried::Done(answers);
            }
            // Every statement had succeeded, so it was COMMIT that failed: only the database knows how.
            (Err(_), Some((answers, _)), Some(mark)) if !usable => {
                self.forget();
                return self.ask(&mark, answers);
            }
            // `decide` sets both before it succeeds.
            (Ok(()), None, _) => Error::LostRace,
            (Err(error), _, _) => error,
        };
        self.forget();
        if matches!(error, Error::LostRace) {
            self.asking = ASKING;
        }
        match error.blame() {
            _ if !usable && !matches!(error, Error::Panicked(_)) => Tried::Lost,
            Blame::Race if matches!(error, Error::Exposed | Error::Moved | Error::LostRace) => Tried::Anew,
            Blame::Race => Tried::Raced,
            Blame::Command => Tried::Refused(error),
            Blame::Fence => {
                tracing::warn!(%error, "a batch could not begin");
                Tried::Away
            }
            Blame::Server => {
                // The next connection may lead to a server that can.
                self.conn = None;
                Tried::Faulty(error)
            }
        }
    }

    /// Forgets what may have been rolled back.
    fn forget(&mut self) {
        self.terms.forget();
        self.priced = Priced::default();
    }

    /// Asks what became of the transaction until the database says committed or aborted.
    fn ask(&mut self, mark: &State, answers: Vec<Option<Answer>>) -> Tried {
        metrics::counter!("hanse_book_commits_in_doubt_total").increment(1);
        let since = clock::instant();
        while since.elapsed() < ASKING_MAX {
            if let Some(mut conn) = self.connection() {
                match read::fate(&mut conn, mark) {
                    Ok(fate) => {
                        self.conn = Some(conn);
                        match fate {
                            Fate::Committed => return Tried::Done(answers),
                            // The same commands with the same ids run again.
                            Fate::Aborted => return Tried::Raced,
                            Fate::Open => {}
                        }
                    }
                    Err(error) => tracing::warn!(%error, "what became of a transaction cannot be asked yet"),
                }
            }
            std::thread::sleep(PAUSE);
        }
        tracing::error!(xid = mark.xid, "the database has not said what became of a transaction");
        Tried::Unknown
    }

    /// One batch inside its transaction: fence, turns, read, decide, write.
    fn decide(
        &mut self,
        conn: &mut PgConnection,
        batch: &[Pending],
        look: Look,
        mark: &mut Option<State>,
    ) -> Result<(Vec<Option<Answer>>, World), Error> {
        fence::shared(conn).map_err(Error::Fence)?;
        let requests: Vec<_> = batch.iter().map(|pending| &pending.request).collect();
        let mut plan = Plan::locate(conn, &requests, &mut self.places)?;
        let state = plan.begin(conn, &requests)?;
        *mark = Some(state.clone());
        let catalogue = self.catalogue(conn, state.catalogue_version)?;
        let now = Now { at: state.at, day: state.at.with_timezone(&catalogue.alliance.zone).date_naive() };
        let mut world = World::new(now, state.window(), state.batch_no);
        let trusted = self.read_accounts(conn, plan.accounts(), &mut world)?;
        plan.fill(conn, &requests, look, &mut world)?;
        let doubtful = plan.doubtful(&world);
        if !doubtful.is_empty() {
            doubtful.into_iter().for_each(|hash| self.places.forget(hash));
            return Err(Error::Moved);
        }
        let mut answers = Vec::with_capacity(requests.len());
        for (i, request) in requests.iter().enumerate() {
            let verdict = plan.has_turn(i).then(|| engine::decide(&mut world, &catalogue, &mut self.priced, request));
            answers.push(match verdict {
                Some(Verdict::Answered(answer)) => Some(answer),
                Some(Verdict::Reload) | None => {
                    // Perhaps it waits for an account that it no longer concerns.
                    reference_of(&request.command).into_iter().for_each(|hash| self.places.forget(hash));
                    None
                }
            });
        }
        check_trusted(conn, trusted, &world)?;
        if look == Look::Later {
            check_refusals(conn, &requests, &answers)?;
        }
        write::batch(conn, &mut self.terms, &state, &mut world)?;
        Ok((answers, world))
    }

    /// Brings these accounts into the world: remembered, or read. Returns those whose versions were taken on trust: as
    /// nearly all accounts are changed by one server only, writing them is the first to ask.
    fn read_accounts(
        &mut self,
        conn: &mut PgConnection,
        ids: Vec<AccountId>,
        world: &mut World,
    ) -> Result<Vec<AccountId>, Error> {
        let (mut remembered, mut unread, epoch) = self.known.take(&self.origin, ids);
        self.epoch = epoch;
        if self.asking > 0 && !remembered.is_empty() {
            let same = read::unchanged(conn, remembered.iter().map(|account| (account.id, account.version)).collect())?;
            let (kept, changed): (Vec<_>, Vec<_>) =
                remembered.into_iter().partition(|account| same.contains(&account.id));
            if !changed.is_empty() {
                self.asking = ASKING;
            }
            unread.extend(changed.into_iter().map(|account| account.id));
            remembered = kept;
        }
        let trusted = if self.asking > 0 { Vec::new() } else { remembered.iter().map(|account| account.id).collect() };
        let read = if unread.is_empty() { Vec::new() } else { read::accounts(conn, unread)? };
        world.accounts.extend(remembered.into_iter().chain(read).map(|account| (account.id, account)));
        Ok(trusted)
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
        let opened = PgConnection::establish(&self.url).map_err(|cause| cause.to_string()).and_then(|mut conn| {
            conn.batch_execute(store::SESSION).map_err(|cause| cause.to_string())?;
            let origin = read::origin(&mut conn).map_err(|cause| cause.to_string())?;
            Ok((conn, origin))
        });
        match opened {
            Ok((conn, origin)) => {
                if std::mem::take(&mut self.away) {
                    tracing::info!("the book's database is back");
                }
                self.terms.forget();
                self.known.start(&origin);
                self.origin = origin;
                self.places = Places::default();
                Some(conn)
            }
            Err(cause) => {
                if !std::mem::replace(&mut self.away, true) {
                    tracing::error!(cause = cause.trim(), "the book's database cannot be reached");
                }
                None
            }
        }
    }
}

/// What was taken on trust and is not written decided as well, if only a refusal: `Err(LostRace)` when it has changed.
fn check_trusted(conn: &mut PgConnection, mut trusted: Vec<AccountId>, world: &World) -> Result<(), Error> {
    trusted.retain(|id| !world.writes.touched.contains_key(id));
    if trusted.is_empty() {
        return Ok(());
    }
    let versions = trusted.iter().filter_map(|id| world.accounts.get(id)).map(|account| (account.id, account.version));
    let same = read::unchanged(conn, versions.collect())?;
    if same.len() == trusted.len() { Ok(()) } else { Err(Error::LostRace) }
}

/// That a key, a reference or a quote is taken is said before all other refusals: `Err(Unread)` when one that was not
/// looked for is, so that the batch is decided with it.
fn check_refusals(conn: &mut PgConnection, requests: &[&Request], answers: &[Option<Answer>]) -> Result<(), Error> {
    let refused = |answer: &Option<Answer>| {
        answer.as_ref().is_some_and(|answer| !answer.replayed && matches!(answer.outcome, Outcome::Refused(_)))
    };
    let refused = requests.iter().zip(answers).filter(|(_, answer)| refused(answer));
    let hashes: BTreeSet<_> = refused.flat_map(|(request, _)| claims_of(request)).map(|hash| hash.0).collect();
    if !hashes.is_empty() && read::is_any_taken(conn, hashes.into_iter().collect())? {
        return Err(Error::Unread);
    }
    Ok(())
}

/// Whether a connection whose transaction failed can be used for the next.
fn is_usable(conn: &mut PgConnection) -> bool {
    let closed = AnsiTransactionManager::transaction_manager_status_mut(conn).transaction_depth();
    matches!(closed, Ok(None)) && conn.batch_execute("SELECT 1").is_ok()
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a word".to_owned())
}

/// The first half is popped next, so commands keep their order.
fn halve(mut part: Vec<Pending>, parts: &mut Vec<Vec<Pending>>) {
    metrics::counter!("hanse_book_halved_total").increment(1);
    let rest = part.split_off(part.len() / 2);
    parts.push(rest);
    parts.push(part);
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
