//! What time brings about in partners' lives. Any number of servers may run it: every step is taken under the fence and
//! holds when it is taken twice.
//!
//! Who has its first certificate becomes active; whose notice is over has left; the links of who left are ended; and once its
//! last window is settled, its certificates are revoked. Until then it reads its statements as before.

use super::{Error, Step, take};
use crate::book::Handle;
use crate::book::command::{Command, EndLink};
use crate::clock;
use crate::domain::holder::Holder;
use crate::domain::ids::Slug;
use crate::service::exchange::{self, keyless};
use crate::service::issuing;
use crate::store::{self, catalogue, consents, partners};
use diesel::PgConnection;
use std::collections::BTreeSet;
use std::path::PathBuf;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Links ended in one tick.
const CHUNK: i64 = 200;

/// With a connection of its own; made again after the database was away.
pub struct Departures {
    url: String,
    pki: PathBuf,
    book: Handle,
    runtime: Runtime,
    conn: Option<PgConnection>,
    /// Partners that left and have no link any more: none is made again.
    unlinked: BTreeSet<Slug>,
}

impl Departures {
    pub fn new(url: &str, pki: PathBuf, book: Handle) -> std::io::Result<Departures> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        Ok(Departures { url: url.to_owned(), pki, book, runtime, conn: None, unlinked: BTreeSet::new() })
    }

    /// One look; `true` when something was done.
    pub fn tick(&mut self) -> Result<bool, Error> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => store::establish(&self.url)?,
        };
        let mut worked = false;
        for standing in partners::joined(&mut conn)? {
            take(&mut conn, &standing.partner, |_| Step::Activate, "its first certificate")?;
            worked = true;
        }
        let now = catalogue::business_now(&mut conn)?;
        for standing in partners::due(&mut conn, now)? {
            take(&mut conn, &standing.partner, |_| Step::Depart, "its notice is over")?;
            tracing::info!(partner.slug = %standing.partner, "a partner has left");
            worked = true;
        }
        for standing in partners::unclosed(&mut conn)? {
            worked |= self.wind_up(&mut conn, &standing)?;
        }
        self.conn = Some(conn);
        Ok(worked)
    }

    /// Ends links, and, when there are none and all is settled, certificates.
    fn wind_up(&mut self, conn: &mut PgConnection, standing: &partners::Standing) -> Result<bool, Error> {
        let partner = &standing.partner;
        if !self.unlinked.contains(partner) {
            if self.end_links(conn, partner)? > 0 {
                return Ok(true);
            }
            self.unlinked.insert(partner.clone());
        }
        let window = standing.left_window.unwrap_or(i64::MAX);
        if !partners::unsettled(conn, partner, window)?.is_empty() {
            return Ok(false);
        }
        let revoked = issuing::revoke_all(conn, &self.pki, &Holder::Partner(partner.clone()))?;
        partners::close(conn, partner)?;
        tracing::info!(partner.slug = %partner, revoked, "all is settled with a partner that left");
        Ok(true)
    }

    /// Some of them; how many.
    fn end_links(&mut self, conn: &mut PgConnection, partner: &Slug) -> Result<usize, Error> {
        let links = partners::open_links(conn, partner, CHUNK)?;
        let command = |&(link, a, b)| Command::EndLink(EndLink { link, a, b });
        let request = |link| keyless(partner, Uuid::now_v7(), Uuid::now_v7(), command(link));
        let requests: Vec<_> = links.iter().map(request).collect();
        let answers = self.runtime.block_on(self.book.submit_all(requests));
        for ((link, _, _), answer) in links.iter().zip(answers) {
            // What is refused or undecided is met again at the next look.
            if let Err(cause) = exchange::expect(answer, Some) {
                tracing::warn!(%link, error = %cause, "a link of a partner that left is not ended yet");
                continue;
            }
            consents::withdraw(conn, *link, clock::now())?;
        }
        Ok(links.len())
    }
}
