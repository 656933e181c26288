//! The post of one server: finds endpoints that have something due and nobody to serve them, and sends couriers.

use super::courier::Courier;
use super::{Bounds, Shared};
use crate::clock;
use crate::domain::catalogue::Catalogue;
use crate::service::keys::Keys;
use crate::service::outbound::Outbound;
use crate::signing::sealing::SealingKey;
use crate::store::webhooks::{courier, log};
use crate::store::{self, Database};
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

/// How often it looks, should nobody ring.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Endpoints claimed at once.
const CLAIM_MAX: i64 = 64;
const COUNT_EVERY: Duration = Duration::from_secs(5);
const FORGET_EVERY: Duration = Duration::from_secs(600);
/// Deliveries forgotten in one transaction.
const FORGET_MAX: i64 = 2_000;
/// How long couriers may take to give their endpoints back.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// Connections of the couriers' own.
const CONNECTIONS: u32 = 4;
const THREADS: usize = 2;

/// What a post works with.
pub struct Opened {
    pub database_url: String,
    pub keys: Arc<Keys>,
    pub outbound: Arc<Outbound>,
    pub sealing: Arc<SealingKey>,
    pub catalogue: Arc<ArcSwap<Catalogue>>,
    pub bell: Arc<Notify>,
    pub bounds: Bounds,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the deliveries' runtime: {0}")]
    Runtime(#[from] std::io::Error),
    #[error("deliveries: {0}")]
    Store(#[from] store::Error),
}

/// Couriers run on threads of its own. Dropping it calls them back.
pub struct Post {
    shared: Arc<Shared>,
    /// `None` once it is being dropped.
    runtime: Option<Runtime>,
    couriers: JoinSet<()>,
    holder: Uuid,
    counted: Option<Instant>,
    /// Of which partners numbers were told.
    told: BTreeSet<String>,
    forgot: Instant,
}

impl Post {
    pub fn open(opened: Opened) -> Result<Post, Error> {
        let Opened { database_url, keys, outbound, sealing, catalogue, bell, bounds } = opened;
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let runtime = threads.worker_threads(THREADS).thread_name("delivery").enable_all().build()?;
        let waits = store::Bounds { connections: CONNECTIONS, waiting: 4_096, patience: Duration::from_secs(5) };
        let database = Database::open(&database_url, waits)?;
        let (stopping, turns) = (watch::Sender::new(false), Arc::new(Semaphore::new(bounds.total)));
        let shared = Shared { database, keys, outbound, sealing, catalogue, bounds, turns, bell, stopping };
        Ok(Post {
            shared: Arc::new(shared),
            runtime: Some(runtime),
            couriers: JoinSet::new(),
            holder: Uuid::new_v4(),
            counted: None,
            told: BTreeSet::new(),
            forgot: clock::instant(),
        })
    }

    /// Waits until somebody rings, a quarter of a second at most, and sends couriers where they are wanted; how many.
    pub fn round(&mut self) -> Result<usize, Error> {
        // Only dropped without one.
        let Some(runtime) = self.runtime.take() else { return Ok(0) };
        let outcome = runtime.block_on(self.look());
        self.runtime = Some(runtime);
        outcome
    }

    async fn look(&mut self) -> Result<usize, Error> {
        while self.couriers.try_join_next().is_some() {}
        let (holder, asked) = (self.holder, clock::instant());
        let claimed = self.shared.database.run(move |conn| courier::claim(conn, holder, CLAIM_MAX)).await?;
        let count = claimed.len();
        for row in claimed {
            self.couriers.spawn(Courier::new(Arc::clone(&self.shared), row, asked).run());
        }
        self.count().await?;
        self.forget().await?;
        if count == 0 {
            let rung = self.shared.bell.notified();
            // Nobody having rung is no error.
            let _ = tokio::time::timeout(LOOK_EVERY, rung).await;
        }
        Ok(count)
    }

    /// The numbers that monitoring watches.
    async fn count(&mut self) -> Result<(), Error> {
        if self.counted.is_some_and(|counted| counted.elapsed() < COUNT_EVERY) {
            return Ok(());
        }
        self.counted = Some(clock::instant());
        let standings =
            self.shared.database.run(|conn| Ok::<_, Error>(log::standings(conn).map_err(store::Error::from)?)).await?;
        // Whose last webhook has ended has nothing behind, and is told so.
        let mut partners: BTreeMap<String, [i64; 5]> = BTreeMap::new();
        partners.extend(std::mem::take(&mut self.told).into_iter().map(|partner| (partner, [0; 5])));
        for one in standings {
            let sums = partners.entry(one.partner).or_default();
            let [backlog, waiting, dead, open, suspended] = sums;
            // Endpoints of one partner read one feed: what counts is the one furthest behind.
            *backlog = one.backlog.max(*backlog);
            *waiting += one.waiting;
            *dead += one.dead;
            *open += i64::from(one.open);
            *suspended += i64::from(one.suspended);
        }
        for (partner, sums) in partners {
            for (name, sum) in GAUGES.into_iter().zip(sums) {
                let whole = f64::from(u32::try_from(sum).unwrap_or(u32::MAX));
                metrics::gauge!(name, "partner" => partner.clone()).set(whole);
            }
            self.told.insert(partner);
        }
        Ok(())
    }

    async fn forget(&mut self) -> Result<(), Error> {
        if self.forgot.elapsed() < FORGET_EVERY {
            return Ok(());
        }
        let forget = |conn: &mut diesel::PgConnection| log::forget(conn, FORGET_MAX).map_err(store::Error::from);
        let forgotten = self.shared.database.run(forget).await?;
        // A full chunk: there is more.
        if i64::try_from(forgotten).unwrap_or(i64::MAX) < FORGET_MAX {
            self.forgot = clock::instant();
        }
        Ok(())
    }
}

/// Backlog, waiting, dead, open, suspended.
const GAUGES: [&str; 5] = [
    "hanse_delivery_backlog_events",
    "hanse_delivery_waiting_events",
    "hanse_delivery_dead_events",
    "hanse_delivery_breakers_open",
    "hanse_delivery_webhooks_suspended",
];

impl Drop for Post {
    fn drop(&mut self) {
        self.shared.stopping.send_replace(true);
        let Some(runtime) = self.runtime.take() else { return };
        let couriers = &mut self.couriers;
        runtime.block_on(async {
            let back = async { while couriers.join_next().await.is_some() {} };
            // Who is not back by then: the lease runs out, and what was under way is sent again.
            let _ = tokio::time::timeout(STOP_PATIENCE, back).await;
        });
        runtime.shutdown_background();
    }
}
