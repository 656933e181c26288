//! Use cases, one file each: what a handler, a worker or a subcommand asks for by name.

pub mod identity;

// Handlers speak of the book's questions and answers without naming the book.
pub use crate::book::command;
