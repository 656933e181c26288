//! The database: rows in, rows out, no decisions.
//!
//! Diesel stays synchronous on purpose: a unit of work is a plain closure on one connection, so an `await` inside
//! an open SQL transaction does not compile, and a client that hangs up cannot cancel one half way. `Database`
//! runs such closures on tokio's blocking pool; what may wait for a connection, and how long, is bounded.
//! `durability` is what a server must show before it is trusted with points.

pub mod activities;
pub mod alliance_keys;
pub mod benefits;
pub mod catalogue;
pub mod certificates;
pub mod consents;
pub mod crossings;
pub mod durability;
pub mod enrolments;
pub mod erasures;
pub mod figures;
pub mod link_requests;
pub mod locks;
pub mod member_sessions;
pub mod memberships;
pub mod partners;
pub mod passes;
pub mod proposals;
pub mod settlement;
pub mod signing_keys;
pub mod staff;
pub mod vouchers;
pub mod webhooks;

use crate::clock;
use diesel::r2d2::{ConnectionManager, CustomizeConnection, Pool};
use diesel::{Connection, PgConnection, connection::SimpleConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Every migration, inside the binary: a server can always bring its database up to its own version.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// One key for all servers of a database, so that two that start together migrate one after the other.
const MIGRATING: &str = "SELECT pg_advisory_lock(x'48616e7365'::bigint)";

/// Set on every pooled connection: a statement or an idle transaction that outlives these is a bug.
const SESSION: &str = "SET statement_timeout = '5s'; SET idle_in_transaction_session_timeout = '5s'; \
    SET TIME ZONE 'UTC'; SET application_name = 'hanse'";

/// What the database could not do. Callers turn it into a problem; [`Error::is_unavailable`] is the 503.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("nothing was ever published in this database")]
    Unpublished,
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    #[error("no database connection was free in time ({waiting} units of work are waiting)")]
    Busy { waiting: usize },
    #[error("the database refused a statement")]
    Query(#[from] diesel::result::Error),
    #[error("the database could not be migrated: {0}")]
    Migration(String),
    #[error("the database is not safe to keep points in: {}", .0.join("; "))]
    NotDurable(Vec<String>),
    #[error("a unit of work on the database panicked: {0}")]
    Panicked(String),
}

impl Error {
    /// True when the same request may well succeed a moment later, because nothing is wrong with it.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Error::Unreachable(_) | Error::Busy { .. } => true,
            Error::Query(cause) => is_lost(cause) || is_passing(cause),
            Error::Unpublished | Error::Migration(_) | Error::NotDurable(_) | Error::Panicked(_) => false,
        }
    }
}

/// Whether a statement failed because its connection did, or because another transaction came first.
pub fn is_lost(error: &diesel::result::Error) -> bool {
    use diesel::result::{DatabaseErrorKind, Error as Query};
    match error {
        Query::DatabaseError(kind, info) => {
            let passing = [
                DatabaseErrorKind::ClosedConnection,
                DatabaseErrorKind::UnableToSendCommand,
                DatabaseErrorKind::SerializationFailure,
            ];
            // libpq reports a server that went away in words alone.
            passing.iter().any(|one| std::mem::discriminant(one) == std::mem::discriminant(kind))
                || info.message().contains("server closed the connection")
                || info.message().contains("terminating connection")
                || info.message().contains("no connection to the server")
        }
        Query::BrokenTransactionManager => true,
        _ => false,
    }
}

/// What PostgreSQL says, in its own words, when it is the server that cannot (classes 53, 57 and 58, lock timeouts).
/// diesel does not pass the codes on.
const FAULTS: [&str; 15] = [
    "canceling statement due to",
    "terminating connection",
    "the database system is",
    "server closed the connection",
    "No space left on device",
    "could not extend file",
    "could not write",
    "could not fsync",
    "could not open file",
    "could not read",
    "could not create file",
    "could not access status",
    "out of memory",
    "out of shared memory",
    "too many",
];
/// Whether the message of a database error says that it is the server that cannot, now.
pub fn is_fault(message: &str) -> bool {
    FAULTS.iter().any(|fault| message.contains(fault))
}

/// Whether it was no fault of the statement: the server could not, or had to choose between two.
fn is_passing(error: &diesel::result::Error) -> bool {
    let diesel::result::Error::DatabaseError(_, info) = error else { return false };
    is_fault(info.message()) || info.message().contains("deadlock detected")
}

/// How many units of work run at once, how many may wait for their turn, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub connections: u32,
    pub waiting: usize,
    pub patience: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { connections: 8, waiting: 1024, patience: Duration::from_secs(3) }
    }
}

/// A bounded pool of connections and the turns to use them. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: Pool<ConnectionManager<PgConnection>>,
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    bounds: Bounds,
}

/// Opens the pool with the default bounds; `Err(Unreachable)` when no connection can be made.
pub fn connect(url: &str) -> Result<Database, Error> {
    Database::open(url, Bounds::default())
}

/// A connection of one's own, outside the pool and without its time limits.
pub fn establish(url: &str) -> Result<PgConnection, Error> {
    PgConnection::establish(url).map_err(|cause| Error::Unreachable(cause.to_string().trim().to_owned()))
}

/// Runs the migrations that are missing and names them, oldest first.
pub fn migrate(url: &str) -> Result<Vec<String>, Error> {
    let mut conn = establish(url)?;
    // A session lock: it falls with the connection, on every way out of here.
    conn.batch_execute(MIGRATING)?;
    let names = missing(&mut conn)?;
    conn.run_pending_migrations(MIGRATIONS).map_err(|cause| Error::Migration(cause.to_string()))?;
    Ok(names)
}

/// The migrations this binary has and the database lacks, oldest first.
pub fn pending_migrations(url: &str) -> Result<Vec<String>, Error> {
    missing(&mut establish(url)?)
}

fn missing(conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    let missing = conn.pending_migrations(MIGRATIONS).map_err(|cause| Error::Migration(cause.to_string()))?;
    Ok(missing.iter().map(|migration| migration.name().to_string()).collect())
}

impl Database {
    /// Opens the pool. The first connection is made here, so that a wrong URL is told at once and in full.
    pub fn open(url: &str, bounds: Bounds) -> Result<Database, Error> {
        drop(establish(url)?);
        let pool = Pool::builder()
            .max_size(bounds.connections.max(1))
            .min_idle(Some(1))
            .connection_timeout(bounds.patience)
            .connection_customizer(Box::new(Session))
            .build_unchecked(ConnectionManager::new(url));
        let turns = Arc::new(Semaphore::new(pool.max_size() as usize));
        Ok(Database { pool, turns, waiting: Arc::default(), bounds })
    }

    /// Runs one unit of work on a connection, on tokio's blocking pool.
    ///
    /// The unit runs to its end even when the caller goes away. `Err(Busy)` when too many already wait or no
    /// turn came in time; `Err(Unreachable)` when there is no server to connect to.
    pub async fn run<T, E, F>(&self, unit: F) -> Result<T, E>
    where
        F: FnOnce(&mut PgConnection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let turn = self.turn().await?;
        let pool = self.pool.clone();
        let work = tokio::task::spawn_blocking(move || {
            // Kept until the unit ends, not until the caller stops listening: the connection is in use that long.
            let _turn = turn;
            let mut conn = pool.get().map_err(|cause| Error::Unreachable(cause.to_string()))?;
            unit(&mut conn)
        });
        match work.await {
            Ok(outcome) => outcome,
            Err(cause) => Err(Error::Panicked(cause.to_string()).into()),
        }
    }

    /// Waits for a connection's turn, if not too many do already.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        let queued = Queued::join(&self.waiting);
        let busy = || {
            metrics::counter!("database_busy_total").increment(1);
            Error::Busy { waiting: queued.ahead }
        };
        if queued.ahead >= self.bounds.waiting {
            return Err(busy());
        }
        let since = clock::instant();
        let turn = tokio::time::timeout(self.bounds.patience, Arc::clone(&self.turns).acquire_owned()).await;
        metrics::histogram!("database_wait_seconds").record(since.elapsed());
        match turn {
            Ok(Ok(turn)) => Ok(turn),
            // The semaphore is never closed; were it, nobody would get a turn either.
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }
}

/// Applies [`SESSION`] to each new connection of the pool.
#[derive(Debug)]
struct Session;

impl CustomizeConnection<PgConnection, diesel::r2d2::Error> for Session {
    fn on_acquire(&self, conn: &mut PgConnection) -> Result<(), diesel::r2d2::Error> {
        conn.batch_execute(SESSION).map_err(diesel::r2d2::Error::QueryError)
    }
}

/// A place in the queue for a turn, given up on every way out.
struct Queued<'a> {
    waiting: &'a AtomicUsize,
    ahead: usize,
}

impl<'a> Queued<'a> {
    fn join(waiting: &'a AtomicUsize) -> Queued<'a> {
        Queued { waiting, ahead: waiting.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
