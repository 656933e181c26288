//! Sealing the feed, with a connection of its own so that a busy pool never holds events back.

use crate::book::seal;
use crate::store;
use diesel::PgConnection;

/// The sealer's connection; made again after the database was away.
pub struct Feed {
    url: String,
    conn: Option<PgConnection>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the feed's connection: {0}")]
    Connect(#[from] store::Error),
    #[error("the feed: {0}")]
    Seal(#[from] crate::book::store::Error),
}

impl Feed {
    pub fn new(url: &str) -> Feed {
        Feed { url: url.to_owned(), conn: None }
    }

    /// Numbers what has been committed; returns how many batches.
    pub fn seal(&mut self) -> Result<usize, Error> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => store::establish(&self.url)?,
        };
        let sealed = seal::seal(&mut conn)?;
        self.conn = Some(conn);
        Ok(sealed)
    }
}
