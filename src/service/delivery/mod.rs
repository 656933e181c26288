//! Webhooks: the feed pushed to endpoints that partners name.
//!
//! `endpoints` what their owners ask for · `post` which endpoint is served here · `courier` serving one · `look` what there
//! is to send · `window` what is at hand, in order · `attempt` sending it once.

mod attempt;
mod courier;
pub mod endpoints;
mod look;
mod post;
mod window;

pub use endpoints::Webhooks;
pub use post::{Error as PostError, Opened, Post};

use crate::domain::catalogue::Catalogue;
use crate::service::keys::Keys;
use crate::service::outbound::Outbound;
use crate::signing::sealing::SealingKey;
use crate::store::Database;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

/// How much is sent at once, and how long an answer may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// To one endpoint.
    pub at_once: usize,
    /// Together; one to each endpoint is always possible.
    pub total: usize,
    pub deadline: Duration,
}

/// What all couriers of a server share.
struct Shared {
    /// Connections of their own: a busy pool holds no delivery back.
    database: Database,
    keys: Arc<Keys>,
    outbound: Arc<Outbound>,
    sealing: Arc<SealingKey>,
    catalogue: Arc<ArcSwap<Catalogue>>,
    bounds: Bounds,
    turns: Arc<Semaphore>,
    /// Rung when there may be something new.
    bell: Arc<Notify>,
    stopping: watch::Sender<bool>,
}

impl Shared {
    fn currency(&self) -> String {
        self.catalogue.load().alliance.currency.clone()
    }
}

/// A turn of what all endpoints share.
fn total(turns: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(turns).try_acquire_owned().ok()
}
