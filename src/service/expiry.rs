//! Runs that time alone asks for: what is over is found in bounded chunks and posted by the book, on whichever server
//! comes first. One has points whose last day is past, one vouchers and reservations whose time is.

use crate::book::Handle;
use crate::book::command::{Command, Expire, ExpireVoucher, Outcome, Request, Undecided};
use crate::book::expiry;
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::Slug;
use crate::domain::points::Points;
use crate::domain::voucher::State;
use crate::service::exchange::keyless;
use crate::store::{self, catalogue, vouchers};
use diesel::PgConnection;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Accounts or vouchers posted in one go.
const CHUNK: i64 = 500;

/// What is over, at most a chunk of it, as requests to the book.
type Find = fn(&mut PgConnection, &Catalogue) -> Result<Vec<Request>, Error>;

pub struct ExpiryRun {
    url: String,
    book: Handle,
    conn: Option<PgConnection>,
    runtime: Runtime,
    find: Find,
    /// Whether an answer says that something has ended by it.
    is_ended: fn(&Outcome) -> bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the expiry run's connection: {0}")]
    Connect(#[from] store::Error),
    #[error("the expiry run: {0}")]
    Find(#[from] crate::book::store::Error),
    #[error("what is over could not be posted: {0}")]
    Post(#[from] Undecided),
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Error {
        Error::Find(error.into())
    }
}

impl ExpiryRun {
    /// Of points whose last day is past.
    pub fn of_lots(url: &str, book: Handle) -> std::io::Result<ExpiryRun> {
        ExpiryRun::new(
            url,
            book,
            lots_over,
            |outcome| matches!(outcome, Outcome::Expired(points) if *points > Points::ZERO),
        )
    }

    /// Of vouchers whose last day, and reservations whose time, is past.
    pub fn of_vouchers(url: &str, book: Handle) -> std::io::Result<ExpiryRun> {
        ExpiryRun::new(
            url,
            book,
            vouchers_over,
            |outcome| matches!(outcome, Outcome::Voucher(row) if row.state == State::Expired),
        )
    }

    fn new(url: &str, book: Handle, find: Find, is_ended: fn(&Outcome) -> bool) -> std::io::Result<ExpiryRun> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        Ok(ExpiryRun { url: url.to_owned(), book, conn: None, runtime, find, is_ended })
    }

    /// Posts one chunk of what is over; returns how many accounts lost points by it, or how many vouchers ended.
    pub fn post(&mut self) -> Result<usize, Error> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => store::establish(&self.url)?,
        };
        let requests = (self.find)(&mut conn, &self.book.catalogue())?;
        self.conn = Some(conn);
        let mut ended = 0;
        for answer in self.runtime.block_on(self.book.submit_all(requests)) {
            ended += usize::from((self.is_ended)(&answer?.outcome));
        }
        Ok(ended)
    }
}

fn asked(by: &Slug, command: Command) -> Request {
    keyless(by, Uuid::now_v7(), Uuid::now_v7(), command)
}

fn lots_over(conn: &mut PgConnection, _: &Catalogue) -> Result<Vec<Request>, Error> {
    let today = expiry::today(conn)?;
    let due = expiry::due(conn, today, CHUNK)?;
    Ok(due.into_iter().map(|(account, partner)| asked(&partner, Command::Expire(Expire { account }))).collect())
}

fn vouchers_over(conn: &mut PgConnection, known: &Catalogue) -> Result<Vec<Request>, Error> {
    // Nobody asks for it but time itself: the book looks at whose voucher it is.
    let Some(anybody) = known.partners.keys().next() else { return Ok(Vec::new()) };
    let at = catalogue::business_now(conn)?;
    let over = vouchers::over(conn, at, at.with_timezone(&known.alliance.zone).date_naive(), CHUNK)?;
    let end = |voucher| asked(anybody, Command::ExpireVoucher(ExpireVoucher { voucher }));
    Ok(over.into_iter().map(end).collect())
}
