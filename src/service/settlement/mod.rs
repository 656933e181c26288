//! Settlement as use cases: a window ends, its lines are written, netted and signed, partners are told, what is owed is
//! paid.
//!
//! `close` takes a window from one state to the next, from wherever it stopped · `settings` what it is settled by ·
//! `lines` a line's own bytes · `gather` lines, trees and sums of a run of postings · `check` what must agree before
//! anything is signed · `statement` the document · `sign` signatures, log, obligations · `release` lines that leave the
//! exposures · `pay` · `adjust` · `deadlines` what time brings about · `recompute` the same from the journal again ·
//! `read` what was signed, for whoever may see it · `view` the same over the API, `desk` on
//! finance's pages · `proofs` · `countersign` · `standing`
//! where a statement stands · `find` one's own line · `disputes` · `reconcile` a partner's own list against its lines ·
//! `incoming` a bank's list of payments against what is owed · `rotate` one signing key hands over to the next ·
//! `estimates` of breakage, as stated · `exposures` against their stop lines ·
//! `reported` points of brands that keep their own accounts · `reports` for finance.

pub mod adjust;
pub mod check;
pub mod close;
pub mod countersign;
pub mod deadlines;
pub mod desk;
pub mod disputes;
pub mod estimates;
pub mod exposures;
mod find;
pub mod gather;
pub mod incoming;
pub mod lines;
pub mod pay;
pub mod proofs;
pub mod read;
pub mod recompute;
pub mod reconcile;
mod release;
pub mod reported;
pub mod reports;
pub mod rotate;
pub mod settings;
mod sign;
mod standing;
pub mod statement;
pub mod view;

use crate::book;
use crate::domain::settlement::netting::Differs;
use crate::service::keys::KeysError;
use crate::store;

/// Why settlement could not go on. What does not add up is `Differs`, and blocks the window.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("settlement's postings: {0}")]
    Book(#[source] book::store::Error),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("it does not add up: {0}")]
    Differs(#[from] Differs),
    #[error("what is stored of settlement cannot be read: {0}")]
    Broken(String),
    #[error("{0}")]
    Refused(String),
    #[error("there is no such thing, or it is not yours")]
    NotFound,
    /// The same, for whoever may know that it is not there.
    #[error("there is no {0}")]
    Absent(String),
    /// What a window by this number has once it is published.
    #[error("window {0} is not published yet")]
    Unpublished(i64),
}

impl Error {
    /// True when the same may well succeed a moment later, because nothing is wrong with it.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Error::Store(cause) | Error::Keys(KeysError::Store(cause)) => cause.is_unavailable(),
            Error::Book(cause) => matches!(cause, book::store::Error::Fence(_)),
            Error::Keys(KeysError::Keyring(_))
            | Error::Differs(_)
            | Error::Broken(_)
            | Error::Refused(_)
            | Error::NotFound
            | Error::Unpublished(_)
            | Error::Absent(_) => false,
        }
    }
}

impl From<book::store::Error> for Error {
    fn from(cause: book::store::Error) -> Error {
        match cause {
            book::store::Error::Query(cause) => Error::Store(cause.into()),
            book::store::Error::Catalogue(cause) => Error::Store(cause),
            other => Error::Book(other),
        }
    }
}

impl From<diesel::result::Error> for Error {
    fn from(cause: diesel::result::Error) -> Error {
        Error::Store(cause.into())
    }
}

impl From<crate::signing::keyring::KeyringError> for Error {
    fn from(cause: crate::signing::keyring::KeyringError) -> Error {
        Error::Keys(cause.into())
    }
}

/// A stored text or hash that is none of ours.
fn broken(what: impl std::fmt::Display) -> Error {
    Error::Broken(what.to_string())
}

/// Settlement has a connection of its own, without the short time limits of a request: a window may be large.
pub const SESSION: &str = "SET statement_timeout = '120s'; SET idle_in_transaction_session_timeout = '60s'; SET TIME ZONE 'UTC'; \
    SET application_name = 'hanse settlement'; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; \
    SET jit = off";

/// A connection for settlement.
pub fn connect(url: &str) -> Result<diesel::PgConnection, Error> {
    use diesel::connection::SimpleConnection;
    let mut conn = store::establish(url)?;
    conn.batch_execute(SESSION)?;
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diesel::result::{DatabaseErrorKind, Error as Query};

    #[test]
    fn a_database_that_is_away_is_told_the_same_from_wherever_it_was_missed() {
        let lost = || Query::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(String::new()));
        let book = |cause: book::store::Error| Error::from(cause).is_unavailable();
        assert!(Error::from(lost()).is_unavailable());
        assert!(Error::from(KeysError::from(lost())).is_unavailable());
        assert!(book(lost().into()));
        assert!(book(book::store::Error::Catalogue(lost().into())));
        assert!(book(book::store::Error::Fence(lost())), "the fence was not to be had in time");
        assert!(!book(Query::NotFound.into()));
        assert!(!book(book::store::Error::LostRace));
        assert!(!Error::NotFound.is_unavailable());
    }
}
