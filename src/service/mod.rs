//! Use cases, one file each: what a handler, a worker or a subcommand asks for by name.

pub mod certificates;
pub mod clock;
pub mod expiry;
pub mod feed;
pub mod identity;
pub mod keys;
pub mod signing_keys;

// Handlers speak of the book's questions and answers, and of the database, without naming the layers below.
pub use crate::book::command;
pub use crate::store::{Database, Error as DatabaseError};
