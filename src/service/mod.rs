//! Use cases, one file each: what a handler, a worker or a subcommand asks for by name.

pub mod activities;
pub mod answer;
pub mod benefits;
pub mod catalogue;
pub mod certificate_watch;
pub mod certificates;
pub mod clock;
pub mod conversions;
pub mod crossings;
pub mod delivery;
pub mod erasures;
pub mod events;
pub mod exchange;
pub mod expiry;
pub mod exports;
pub mod feed;
pub mod figures;
pub mod fingerprint;
pub mod identity;
pub mod issuing;
pub mod keys;
pub mod lifecycle;
pub mod links;
pub mod member_sessions;
pub mod member_view;
pub mod memberships;
pub mod movements;
pub mod outbound;
pub mod proposals;
pub mod quote_token;
pub mod quotes;
pub mod reports;
pub mod settlement;
pub mod signing_keys;
pub mod staff;
pub mod verify;
pub mod watch;

// Handlers speak of the book's questions and answers, and of the database, without naming the layers below.
pub use crate::book::command;
pub use crate::store::{Database, Error as DatabaseError};
