//! The expiry run as a use case: finds accounts that are due and has the book post them.

use crate::book::Handle;
use crate::book::command::{Command, Expire, Outcome, Request, Undecided};
use crate::book::expiry;
use crate::domain::points::Points;
use crate::store;
use diesel::PgConnection;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Accounts posted in one go.
const CHUNK: i64 = 500;

pub struct ExpiryRun {
    url: String,
    book: Handle,
    conn: Option<PgConnection>,
    runtime: Runtime,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the expiry run's connection: {0}")]
    Connect(#[from] store::Error),
    #[error("the expiry run: {0}")]
    Find(#[from] crate::book::store::Error),
    #[error("an account could not be posted: {0}")]
    Post(#[from] Undecided),
}

impl ExpiryRun {
    pub fn new(url: &str, book: Handle) -> std::io::Result<ExpiryRun> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        Ok(ExpiryRun { url: url.to_owned(), book, conn: None, runtime })
    }

    /// Posts one chunk of what ended before today; returns how many accounts lost points by it.
    pub fn post(&mut self) -> Result<usize, Error> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => store::establish(&self.url)?,
        };
        let today = expiry::today(&mut conn)?;
        let due = expiry::due(&mut conn, today, CHUNK)?;
        self.conn = Some(conn);
        let requests = due.into_iter().map(|(account, partner)| Request {
            caller: partner,
            fresh: Uuid::now_v7(),
            request_id: Uuid::now_v7(),
            key: None,
            reference: None,
            command: Command::Expire(Expire { account }),
        });
        let answers = self.runtime.block_on(self.book.submit_all(requests.collect()));
        let mut posted = 0;
        for answer in answers {
            if let Outcome::Expired(points) = answer?.outcome
                && points > Points::ZERO
            {
                posted += 1;
            }
        }
        Ok(posted)
    }
}
