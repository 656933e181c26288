//! Carries on what is on its way between two ledgers: one call after the other, each between two steps of the book.
//!
//! Whoever accepts a conversion hands it over here at once; what a server drops, or dies with, another takes up when it is
//! due. Calls are idempotent by their ids, and a step that has landed is no step, so two servers at one crossing harm nobody.
//!
//! `ask` what is asked and what an answer comes to · `calls` one call made and judged · `carry` the tasks that make them ·
//! `evidence` signed answers · `names` how brands call their members · `health` whom to leave alone for a while · `seen` how
//! people look at it · `resolve` what two of them say of it.

mod ask;
mod calls;
mod carry;
mod evidence;
mod health;
mod names;
pub mod resolve;
pub mod seen;

pub use crate::book::crossing::Kind;
pub use carry::{Bounds, Carrier};

use crate::book::command::CrossingRow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Crossings handed over that no task has begun with. More are left to be found when they are due.
const WAITING_MAX: usize = 16_384;

/// How long each state waits for an outcome.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// One call, its answer included.
    pub call: Duration,
    /// A hold that was not answered is given up.
    pub hold: Duration,
    /// So is a credit, which is then voided.
    pub credit: Duration,
    /// A capture, a void or a release that was not answered is in doubt.
    pub settle: Duration,
}

/// The door to whoever makes the calls. Cheap to clone.
#[derive(Clone)]
pub struct Crossings {
    waiting: mpsc::Sender<Next>,
}

/// One to be carried on.
#[derive(Clone, Debug)]
pub enum Next {
    /// As it stands.
    Row(Arc<CrossingRow>),
    /// To be read first.
    Id(Uuid),
}

impl Crossings {
    /// The door, and what comes through it.
    pub fn channel() -> (Crossings, mpsc::Receiver<Next>) {
        let (waiting, receiver) = mpsc::channel(WAITING_MAX);
        (Crossings { waiting }, receiver)
    }

    /// Has this one carried on now. When there are too many, or nobody carries any more, it is found when it is due.
    pub fn go_on(&self, next: Next) {
        if self.waiting.try_send(next).is_err() {
            metrics::counter!("hanse_crossings_left_total").increment(1);
        }
    }
}
