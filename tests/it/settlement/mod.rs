//! Settlement from postings to paid: windows, lines, statements, what is owed.

mod closing;
mod hostile;
mod incoming;
pub mod interop;
mod killed;
mod random;
mod reports;
mod seen;
mod support;
mod typed;
mod verify;
