//! Settlement from postings to paid: windows, lines, statements, what is owed.

mod closing;
mod interop;
mod killed;
mod random;
mod support;
mod verify;
