//! Settlement from postings to paid: windows, lines, statements, what is owed.

mod closing;
mod reports;
mod support;
