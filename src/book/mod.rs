//! The book: the only writer of accounts, holds, entries, conversions, keys and exposures.
//!
//! `command` what can be asked and answered · `crossing` what is on its way between two ledgers · `voucher` what members claim and tills take · `engine` decides a batch, pure · `queue` who waits · `lane` the writer
//! threads · `plan` which accounts a batch concerns · `places` where references lead · `known` accounts as they were
//! left · `store` their SQL · `fence` what keeps windows and catalogue still · `seal` the dense feed of events · `figures` counts what was sealed · `expiry`
//! the month-end run · `windows` ends one · `posting` what settlement posts · `audit` the invariants as queries.

pub mod audit;
pub mod command;
pub mod crossing;
pub mod engine;
pub mod expiry;
pub mod exposures;
pub mod fence;
pub mod figures;
mod known;
mod lane;
mod places;
mod plan;
pub mod posting;
pub mod preview;
mod queue;
pub mod seal;
pub mod store;
pub mod voucher;
pub mod windows;

use crate::domain::catalogue::Catalogue;
use arc_swap::ArcSwap;
use command::{Answer, Command, Request, Undecided};
use queue::{Pending, Queue};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How many lanes write, and how much may wait.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub lanes: usize,
    pub queue_max: usize,
    pub batch_max: usize,
    /// After it a waiter is told `outcome_unknown`; the lane goes on.
    pub patience: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { lanes: 2, queue_max: 4_096, batch_max: 1_000, patience: Duration::from_secs(15) }
    }
}

/// The door to the book. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
}

struct Inner {
    queues: Vec<Arc<Queue>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    groups: AtomicU64,
    patience: Duration,
    catalogue: Arc<ArcSwap<Catalogue>>,
}

impl Handle {
    /// Starts the lanes. They connect when the first request comes and again whenever the database was away.
    pub fn start(url: &str, catalogue: Arc<ArcSwap<Catalogue>>, bounds: Bounds) -> std::io::Result<Handle> {
        let queues: Vec<_> = (0..bounds.lanes.max(1)).map(|_| Arc::new(Queue::new(bounds.queue_max))).collect();
        let mut threads = Vec::with_capacity(queues.len());
        let known = Arc::new(known::Known::default());
        for (i, queue) in queues.iter().enumerate() {
            let lane =
                lane::Lane::new(url.to_owned(), queue.clone(), catalogue.clone(), known.clone(), bounds.batch_max);
            threads.push(std::thread::Builder::new().name(format!("lane-{i}")).spawn(move || run(lane))?);
        }
        let (groups, patience) = (AtomicU64::new(0), bounds.patience);
        Ok(Handle { inner: Arc::new(Inner { queues, threads: Mutex::new(threads), groups, patience, catalogue }) })
    }

    /// The newest catalogue a lane has decided with.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.inner.catalogue.load_full()
    }

    /// Has one request decided and waits for the answer, which is durable.
    pub async fn submit(&self, request: Request) -> Result<Answer, Undecided> {
        let reply = self.push(request, None)?;
        self.wait(reply, self.deadline()).await
    }

    /// Has the items of one HTTP batch decided; the answers are in their order.
    pub async fn submit_all(&self, requests: Vec<Request>) -> Vec<Result<Answer, Undecided>> {
        let group = Some(self.inner.groups.fetch_add(1, Ordering::Relaxed));
        let replies: Vec<_> = requests.into_iter().map(|request| self.push(request, group)).collect();
        // One for all: a lane that hangs must not be waited for once an item.
        let deadline = self.deadline();
        let mut answers = Vec::with_capacity(replies.len());
        for reply in replies {
            answers.push(match reply {
                Ok(reply) => self.wait(reply, deadline).await,
                Err(undecided) => Err(undecided),
            });
        }
        answers
    }

    /// Requests waiting in all lanes.
    pub fn waiting(&self) -> usize {
        self.inner.queues.iter().map(|queue| queue.len()).sum()
    }

    /// No more requests; returns when those waiting are decided. Blocks.
    pub fn close(&self) {
        for queue in &self.inner.queues {
            queue.close();
        }
        let threads =
            std::mem::take(&mut *self.inner.threads.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        for thread in threads {
            // A lane does not panic but with the whole process.
            let _ = thread.join();
        }
    }

    fn push(
        &self,
        request: Request,
        group: Option<u64>,
    ) -> Result<oneshot::Receiver<Result<Answer, Undecided>>, Undecided> {
        let (reply, answer) = oneshot::channel();
        let queues = &self.inner.queues;
        let lanes = u128::try_from(queues.len()).unwrap_or(1);
        let lane = usize::try_from(lane_key(&request) % lanes).unwrap_or_default();
        let pending = Pending { request, group, rounds: 0, reply };
        match queues[lane].push(pending) {
            Ok(()) => Ok(answer),
            Err(queue::Full) => {
                metrics::counter!("hanse_book_queue_full_total").increment(1);
                Err(Undecided::QueueFull)
            }
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.inner.patience
    }

    async fn wait(
        &self,
        reply: oneshot::Receiver<Result<Answer, Undecided>>,
        deadline: Instant,
    ) -> Result<Answer, Undecided> {
        match tokio::time::timeout_at(deadline, reply).await {
            Ok(Ok(answer)) => answer,
            // What the lane may write after all is found by the same key.
            Ok(Err(_)) | Err(_) => Err(Undecided::OutcomeUnknown),
        }
    }
}

/// A lane contains what panics inside a batch. Anything else that panics would leave a queue that nobody serves, behind
/// a server that looks well: better no server, and a new one.
fn run(lane: lane::Lane) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lane.run())).is_err() {
        tracing::error!("a lane of the book has panicked outside a batch: this process ends, to be started anew");
        std::process::abort();
    }
}

/// Equal for requests of one membership, so that they meet in one lane; turns keep the rest apart.
fn lane_key(request: &Request) -> u128 {
    let id = match &request.command {
        Command::Register(register) => register.who.0,
        Command::Erase(erase) => erase.who.0,
        Command::Credit(credit) => credit.who.0,
        Command::Debit(debit) => debit.who.0,
        Command::Convert(convert) => convert.who.0,
        Command::Expire(expire) => expire.account.0,
        Command::Undo(undo) => undo.conversion.0,
        Command::Reverse(reverse) => reverse.conversion.0,
        Command::ConfirmReversal(confirm) => confirm.reversal.0,
        Command::ReverseMovement(reverse) => reverse.movement.0,
        Command::OpenLink(link) => link.a.account.0,
        Command::EndLink(link) => link.a.0,
        Command::Advance(advance) => advance.crossing,
        Command::Claim(claim) => claim.who.0,
        Command::ConfirmClaim(confirm) => confirm.voucher.0,
        Command::CancelVoucher(cancel) => cancel.voucher.0,
        Command::ExpireVoucher(expire) => expire.voucher.0,
        Command::Redeem(redeem) => redeem.codes.first().map_or(request.fresh, |code| code.0),
        Command::ReverseRedemption(reverse) => reverse.redemption.0,
    };
    // Only the random end of a UUIDv7 spreads.
    id.as_u128() & u128::from(u64::MAX)
}
