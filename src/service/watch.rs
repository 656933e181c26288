//! What a server shows of the alliance's business for whoever watches: what is on its way between two ledgers, and how far
//! the feed is behind.

use crate::book::seal;
use crate::domain::holder::Holder;
use crate::service::crossings::seen::{self, BacklogAnswer};
use crate::service::exchange::Error;
use crate::store;
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
