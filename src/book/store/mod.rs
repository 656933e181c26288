//! The book's SQL: set-based, a fixed number of statements a batch whatever its size.

mod accounts;
pub mod codec;
pub mod crossings;
mod expose;
pub mod journal;
pub mod read;
pub mod rows;
pub mod statement;
mod stocks;
mod voucher_terms;
pub mod voucher_uses;
pub mod vouchers;
pub mod write;

use codec::Unreadable;
use diesel::result::{DatabaseErrorKind as Kind, Error as Sql};

/// Book connections plan for one shape whatever the tables' size: an index probe per element of the arrays.
///
/// Messages in English, where this role may choose: they are all that tells some faults apart.
pub const SESSION: &str = "SET statement_timeout = '5s'; SET idle_in_transaction_session_timeout = '5s'; SET TIME ZONE 'UTC'; \
    SET application_name = 'hanse book'; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; \
    SET plan_cache_mode = force_generic_plan; SET jit = off; \
    DO $$ BEGIN PERFORM set_config('lc_messages', 'C', false); EXCEPTION WHEN insufficient_privilege THEN NULL; END $$";

/// Why a batch could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a statement of the book failed: {0}")]
    Query(#[from] diesel::result::Error),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("the catalogue could not be read: {0}")]
    Catalogue(#[from] crate::store::Error),
    /// Another server wrote an account of this batch first.
    #[error("an account was written by another server meanwhile")]
    LostRace,
    /// An exposure moved meanwhile so that the stop line would be crossed: read and decide again.
    #[error("an exposure was moved by another server meanwhile")]
    Exposed,
    /// A command was refused whose key, reference or quote is taken: look for those and decide again.
    #[error("a key or reference that is taken was not looked for")]
    Unread,
    /// A reference may lead to another account than it did: look it up and decide again.
    #[error("a reference was remembered that is another's by now")]
    Moved,
    /// The fence was not to be had in time: somebody publishes or closes, for longer than that should take.
    #[error("the fence could not be taken: {0}")]
    Fence(#[source] Sql),
    /// Our bug, met by one command's data.
    #[error("deciding panicked: {0}")]
    Panicked(String),
}

/// Whose fault it was that a batch was rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Somebody else's, who wrote first: the same may succeed at once.
    Race,
    /// Some command's, in this batch.
    Command,
    /// The server's: too slow, too full, or not allowed to write.
    Server,
    /// Whoever holds the fence.
    Fence,
}

impl Error {
    pub fn blame(&self) -> Blame {
        match self {
            Error::LostRace | Error::Exposed | Error::Unread | Error::Moved => Blame::Race,
            Error::Fence(_) => Blame::Fence,
            Error::Unreadable(_) | Error::Panicked(_) => Blame::Command,
            Error::Catalogue(crate::store::Error::Query(error)) | Error::Query(error) => blame_for(error),
            Error::Catalogue(_) => Blame::Server,
        }
    }
}

fn blame_for(error: &Sql) -> Blame {
    let Sql::DatabaseError(kind, info) = error else { return Blame::Command };
    match kind {
        Kind::UniqueViolation | Kind::SerializationFailure => Blame::Race,
        Kind::ReadOnlyTransaction | Kind::ClosedConnection | Kind::UnableToSendCommand => Blame::Server,
        _ if info.message().contains("deadlock detected") => Blame::Race,
        _ if crate::store::is_fault(info.message()) => Blame::Server,
        _ => Blame::Command,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blame(kind: Kind, message: &str) -> Blame {
        Error::Query(Sql::DatabaseError(kind, Box::new(message.to_owned()))).blame()
    }

    #[test]
    fn a_fault_of_the_server_blames_no_command() {
        for message in [
            "canceling statement due to statement timeout",
            "could not extend file \"base/16384/16999\": No space left on device",
            "out of shared memory",
        ] {
            assert_eq!(blame(Kind::Unknown, message), Blame::Server, "{message}");
        }
        assert_eq!(blame(Kind::ReadOnlyTransaction, "cannot execute INSERT in a read-only transaction"), Blame::Server);
        assert_eq!(blame(Kind::Unknown, "invalid byte sequence for encoding \"UTF8\": 0x00"), Blame::Command);
        assert_eq!(blame(Kind::CheckViolation, "violates check constraint"), Blame::Command);
        assert_eq!(blame(Kind::Unknown, "deadlock detected"), Blame::Race);
    }
}
