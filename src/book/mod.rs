//! The book: the only writer of accounts, holds, entries, conversions, keys and exposures.
//!
//! `command` what can be asked and answered · `engine` decides a batch, pure · `lane` the writer threads ·
//! `store` their SQL · `seal` the dense feed of events · `expiry` the month-end run · `audit` the invariants as queries.

pub mod command;
pub mod engine;
pub mod exposures;
pub mod fence;
pub mod store;
