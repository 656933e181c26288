//! A partner's own ledger behind an endpoint, for those who build one and for our tests: it answers the whole contract
//! over mutual TLS, keeps what it answered, and goes wrong when it is told to.
//!
//! `ledger` the rules · `store` the file · `gate` who is believed · `tls`, `listener` the connection · `calls` a request
//! and its answer · `faults`, `body` what goes wrong · `bugs` contracts broken on purpose · `control` its owner's own port.

pub mod body;
pub mod bugs;
mod calls;
mod control;
pub mod faults;
pub mod gate;
pub mod ledger;
mod listener;
pub mod store;
pub mod tls;

pub use control::serve_control;
pub use listener::{Listener, listen};

use crate::clock;
use crate::signing::jws::SigningKey;
use bugs::Bugs;
use chrono::TimeDelta;
use faults::{Call, Faults};
use gate::Gate;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use store::Store;
use tokio::sync::Notify;

/// A simulated partner, shared by its connections.
pub struct Sim {
    pub store: Store,
    pub gate: Gate,
    pub faults: Faults,
    pub bugs: Bugs,
    /// How long it takes over every answer.
    pub answer_after: Duration,
    /// Signs what it answers.
    pub signer: Option<SigningKey>,
    /// Told when an event has been taken in.
    pub news: Notify,
    away: Mutex<Option<Instant>>,
    /// The last answer to each call, with the id of its request.
    last: Mutex<HashMap<Call, (String, Vec<u8>)>>,
}

impl Sim {
    pub fn new(
        store: Store,
        faults: Faults,
        bugs: Bugs,
        answer_after: Duration,
        signer: Option<SigningKey>,
    ) -> Arc<Sim> {
        Arc::new(Sim {
            store,
            gate: Gate::default(),
            faults,
            bugs,
            answer_after,
            signer,
            news: Notify::new(),
            away: Mutex::default(),
            last: Mutex::default(),
        })
    }

    /// Answers nobody for a while; none ends it.
    pub fn go_away(&self, time: Duration) {
        let until = clock::instant().checked_add(time).filter(|_| !time.is_zero());
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    pub fn is_away(&self) -> bool {
        let until = *self.away.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| clock::instant() < until)
    }

    /// Unix seconds of this partner's clock.
    fn unix_now(&self, skew: TimeDelta) -> i64 {
        (clock::now() + skew).timestamp()
    }
}
