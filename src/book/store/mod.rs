//! The book's SQL: set-based, a fixed number of statements a batch whatever its size.

pub mod codec;
pub mod read;
pub mod rows;
pub mod statement;
pub mod write;

use codec::Unreadable;

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
}
