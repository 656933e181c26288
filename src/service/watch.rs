//! What a server shows of the alliance's business for whoever watches: what is on its way between two ledgers, and how far
//! the feed is behind.

use crate::book::seal;
use crate::clock;
use crate::domain::holder::Holder;
use crate::domain::ids::Slug;
use crate::service::crossings::seen::{self, BacklogAnswer};
use crate::service::delivery::endpoints;
use crate::service::exchange::{Error, Exchange};
use crate::store::{self, certificates, durability};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::PgConnection;

/// With a connection of its own, so that a busy pool hides nothing; made again after the database was away.
pub struct Watch {
    url: String,
    conn: Option<PgConnection>,
}

/// One look.
#[derive(Debug)]
pub struct Look {
    pub crossings: Vec<BacklogAnswer>,
    /// Business seconds since the oldest batch without numbers was written.
    pub feed_lag_seconds: i64,
}

impl Watch {
    pub fn new(url: &str) -> Watch {
        Watch { url: url.to_owned(), conn: None }
    }

    pub fn look(&mut self) -> Result<Look, Error> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => store::establish(&self.url)?,
        };
        let all = Holder::Operator(String::new());
        let look = Look { crossings: seen::backlog(&mut conn, &all)?, feed_lag_seconds: seal::lag(&mut conn)? };
        self.conn = Some(conn);
        Ok(look)
    }
}

/// Holders whose certificates are looked at.
const HOLDERS_MAX: i64 = 1_000;

/// How this server and what it stands on fare, as operators ask.
#[derive(Debug)]
pub struct Health {
    /// Of this server's lanes.
    pub commands_waiting: usize,
    pub feed_lag_seconds: i64,
    /// The database's version, and whether it checks its pages.
    pub database: String,
    pub checks_pages: bool,
    /// Why it may lose what was committed; empty when it may not.
    pub faults: Vec<String>,
    /// `partner/<slug>` or `operator/<name>` and the end of its certificate that ends last, the soonest first.
    pub certificates: Vec<(String, DateTime<Utc>)>,
    pub webhooks: Vec<Endpoint>,
    /// Wire time.
    pub now: DateTime<Utc>,
}

/// One partner's endpoint in numbers.
#[derive(Debug)]
pub struct Endpoint {
    pub partner: Slug,
    pub backlog: i64,
    pub waiting: i64,
    pub dead: i64,
    pub is_open: bool,
    pub is_suspended: bool,
}

/// One look at everything.
pub async fn health(exchange: &Exchange) -> Result<Health, Error> {
    let (commands_waiting, now) = (exchange.book.waiting(), clock::now());
    let unit = move |conn: &mut PgConnection| {
        let durability = durability::read(conn)?;
        let last = certificates::last_of_each(conn, now - TimeDelta::days(30), HOLDERS_MAX)?;
        let certificates = last.into_iter();
        let certificates = certificates.map(|row| (format!("{}/{}", row.holder_kind, row.holder_name), row.not_after));
        let webhooks = endpoints::survey(conn)?.into_iter().map(|(row, standing)| Endpoint {
            partner: row.partner,
            backlog: standing.backlog,
            waiting: standing.waiting,
            dead: standing.dead,
            is_open: standing.open,
            is_suspended: standing.suspended,
        });
        Ok::<_, Error>(Health {
            commands_waiting,
            feed_lag_seconds: seal::lag(conn)?,
            faults: durability.faults(),
            database: durability.server_version,
            checks_pages: durability.data_checksums,
            certificates: certificates.collect(),
            webhooks: webhooks.collect(),
            now,
        })
    };
    exchange.database.run(unit).await
}
