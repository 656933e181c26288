//! Certificates as callers meet them: who holds which, and whether it still counts.
//!
//! A connection outlives the handshake that checked its certificate, so the standing is asked at every request, from
//! a cache whose entries are at most `STALE` old: a revoked certificate is out within that time.

use crate::clock;
use crate::domain::holder::Holder;
use crate::signing::x509;
use crate::store::{self, Database, certificates};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// From this age on an entry is read again by one caller, while others still use it.
const FRESH: Duration = Duration::from_secs(1);
/// From this age on nobody uses an entry.
const STALE: Duration = Duration::from_secs(2);
/// For this long after a failed reading nobody asks the database again: those who waited leave together.
const FAILED: Duration = Duration::from_millis(250);
/// Certificates remembered; more than an alliance has in use.
const ENTRIES_MAX: usize = 10_000;

/// What a peer's certificate says, read once per connection.
#[derive(Clone, Debug)]
pub struct Presented {
    pub x5t: Arc<str>,
    /// `None` unless it names exactly one holder, of this alliance's trust domain.
    pub holder: Option<Holder>,
}

impl Presented {
    pub fn read(der: &[u8], trust_domain: &str) -> Presented {
        Presented { x5t: x509::x5t(der).into(), holder: x509::holder(der, trust_domain) }
    }
}

/// What the alliance knows of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Active(Holder),
    Revoked,
    /// Outside its life, though the connection was made within it.
    Expired,
    /// Never registered, though our authority may have signed it.
    Unknown,
}

/// The register of certificates with its short memory. One per server.
pub struct Register {
    database: Database,
    entries: Mutex<HashMap<Arc<str>, Arc<Entry>>>,
}

/// The database cannot say whose certificate it is; the cause is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the register of certificates cannot be read")]
pub struct Unreadable;

#[derive(Default)]
struct Entry {
    seen: Mutex<Option<(Instant, Standing)>>,
    failed: Mutex<Option<Instant>>,
    /// Held by whoever reads the database for this entry.
    reading: tokio::sync::Mutex<()>,
}

impl Register {
    pub fn new(database: Database) -> Register {
        Register { database, entries: Mutex::default() }
    }

    /// The standing as it was at most two seconds ago; `Err` when the database cannot say, and then nobody enters.
    pub async fn standing(&self, x5t: &Arc<str>) -> Result<Standing, Unreadable> {
        let entry = self.entry(x5t);
        if let Some(standing) = entry.younger_than(FRESH) {
            return Ok(standing);
        }
        let _reading = match (entry.younger_than(STALE), entry.reading.try_lock()) {
            (_, Ok(guard)) => guard,
            (Some(standing), Err(_)) => return Ok(standing),
            (None, Err(_)) => entry.reading.lock().await,
        };
        // Somebody may have read it while this caller waited.
        if let Some(standing) = entry.younger_than(FRESH) {
            return Ok(standing);
        }
        if lock(&entry.failed).is_some_and(|failed| failed.elapsed() < FAILED) {
            return entry.younger_than(STALE).ok_or(Unreadable);
        }
        let asked = clock::instant();
        match self.read(x5t).await {
            Ok(standing) => {
                *lock(&entry.seen) = Some((asked, standing.clone()));
                Ok(standing)
            }
            Err(cause) => {
                tracing::warn!(error = %cause, "the register of certificates cannot be read");
                *lock(&entry.failed) = Some(clock::instant());
                entry.younger_than(STALE).ok_or(Unreadable)
            }
        }
    }

    fn entry(&self, x5t: &Arc<str>) -> Arc<Entry> {
        let mut entries = lock(&self.entries);
        if let Some(entry) = entries.get(x5t) {
            return Arc::clone(entry);
        }
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        Arc::clone(entries.entry(Arc::clone(x5t)).or_default())
    }

    async fn read(&self, x5t: &Arc<str>) -> Result<Standing, store::Error> {
        let x5t = Arc::clone(x5t);
        let row = self.database.run(move |conn| Ok::<_, store::Error>(certificates::standing(conn, &x5t)?)).await?;
        Ok(match row {
            None => Standing::Unknown,
            Some(row) if row.revoked => Standing::Revoked,
            Some(row) if row.expired => Standing::Expired,
            Some(row) => Holder::of(&row.holder_kind, &row.holder_name).map_or(Standing::Unknown, Standing::Active),
        })
    }
}

impl Entry {
    fn younger_than(&self, age: Duration) -> Option<Standing> {
        lock(&self.seen).as_ref().filter(|(asked, _)| asked.elapsed() < age).map(|(_, standing)| standing.clone())
    }
}

/// Nothing panics while these are held, and what they guard is whole at every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
