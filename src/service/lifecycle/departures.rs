//! What time brings about in partners' lives. Any number of servers may run it: every step is taken under the fence and
//! holds when it is taken twice.
//!
//! Who has its first certificate becomes active; whose notice is over has left; the links of who left are ended; and once its
//! last window is settled, the books with it are closed: its certificates are revoked, its webhooks ended, and none of its
//! conversions is taken back any more. Until then it reads its statements as before.

use super::{Error, Step, alone, take};
use crate::book::Handle;
use crate::book::command::{Command, EndLink};
use crate::clock;
use crate::domain::holder::Holder;
use crate::domain::ids::{AccountId, LinkId, Slug};
use crate::service::exchange::{self, keyless};
use crate::service::issuing;
use crate::store::catalogue::{self, write};
use crate::store::{self, consents, partners, webhooks};
use diesel::{Connection, PgConnection};
use std::collections::BTreeSet;
use std::path::PathBuf;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Links ended in one tick.
const CHUNK: i64 = 200;

/// A link with both its accounts.
type Open = (LinkId, AccountId, AccountId);

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
            match self.wind_up(&mut conn, &standing) {
                Ok(done) => worked |= done,
                // Of one partner: those after it are not kept waiting. It is met again at the next look.
                Err(cause) => {
                    tracing::error!(partner.slug = %standing.partner, error = %cause, "a partner that left is not closed yet");
                }
            }
        }
        self.conn = Some(conn);
        Ok(worked)
    }

    /// Ends links, and, when there are none and all is settled, certificates.
    fn wind_up(&mut self, conn: &mut PgConnection, standing: &partners::Standing) -> Result<bool, Error> {
        let partner = &standing.partner;
        if !self.unlinked.contains(partner) {
            let links = partners::open_links(conn, partner, CHUNK)?;
            if !links.is_empty() {
                // While none can be ended there is nothing to be done but wait.
                return Ok(self.end_links(conn, partner, &links)? > 0);
            }
            self.unlinked.insert(partner.clone());
        }
        let window = standing.left_window.unwrap_or(i64::MAX);
        if !partners::unsettled(conn, partner, window)?.is_empty() {
            return Ok(false);
        }
        let Some(revoked) = close(conn, partner, window)? else { return Ok(false) };
        tracing::info!(partner.slug = %partner, revoked, "all is settled with a partner that left");
        // The register refuses them from here on; the list can follow later.
        if let Err(cause) = issuing::sync(conn, &self.pki, clock::now()) {
            tracing::error!(error = %cause, "the revocation list is behind the register");
        }
        Ok(true)
    }

    /// How many of these are ended now.
    fn end_links(&self, conn: &mut PgConnection, partner: &Slug, links: &[Open]) -> Result<usize, Error> {
        let command = |&(link, a, b)| Command::EndLink(EndLink { link, a, b });
        let request = |link| keyless(partner, Uuid::now_v7(), Uuid::now_v7(), command(link));
        let requests: Vec<_> = links.iter().map(request).collect();
        let answers = self.runtime.block_on(self.book.submit_all(requests));
        let (mut ended, mut refused) = (0, None);
        for ((link, _, _), answer) in links.iter().zip(answers) {
            match exchange::expect(answer, Some) {
                Ok(_) => {
                    consents::withdraw(conn, *link, clock::now())?;
                    ended += 1;
                }
                // Refused or undecided, it is met again at the next look.
                Err(cause) => refused = Some((link, cause)),
            }
        }
        if let Some((link, cause)) = refused {
            let left = links.len() - ended;
            tracing::warn!(partner.slug = %partner, left, %link, error = %cause, "links of a partner that left are not ended yet");
        }
        Ok(ended)
    }
}

/// Closes the books with it in one step: no certificate, no webhook, and no posting any more, on whichever server. How many
/// certificates; `None` when something came between the look and the fence.
fn close(conn: &mut PgConnection, partner: &Slug, window: i64) -> Result<Option<usize>, Error> {
    conn.transaction(|conn| {
        alone(conn)?;
        if !partners::unsettled(conn, partner, window)?.is_empty() {
            return Ok(None);
        }
        let revoked = issuing::shut_out(conn, &Holder::Partner(partner.clone()))?;
        webhooks::lock(conn, partner)?;
        for webhook in webhooks::list(conn, Some(partner))? {
            webhooks::end(conn, webhook.no)?;
        }
        partners::close(conn, partner)?;
        write::raise_version(conn)?;
        Ok(Some(revoked))
    })
}
