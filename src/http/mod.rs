//! The partner API: actix over mutual TLS, and what every handler shares.
//!
//! Where to look: `server` starts and drains both listeners · `identity` who calls (`Caller`) · `json` a strict body
//! (`StrictJson`) · `query` a strict query and lists (`StrictQuery`, `Page`, `List`) · `idempotency` (`IdempotencyKey`) ·
//! `problem` every no (`Problem`) · `stream` bodies too large to hold · `request_id` (`RequestId`) · `public` the plain listener · `openapi` the contract.
//!
//! A handler extracts, calls one service function and answers `Result<impl Responder, Problem>`.

mod catalogue;
mod certificates;
mod enrolments;
pub mod forwarded;
pub mod idempotency;
pub mod identity;
pub mod json;
pub mod log;
pub mod openapi;
pub mod problem;
mod proposals;
pub mod public;
pub mod query;
pub mod rate_limit;
pub mod request_id;
mod scan;
pub mod server;
mod signing_keys;
pub mod stream;
mod tls;
pub mod v1;

use chrono::{DateTime, SecondsFormat, Utc};

pub use idempotency::IdempotencyKey;
pub use identity::Caller;
pub use json::{NoBody, StrictJson};
pub use problem::Problem;
pub use query::{List, Page, StrictQuery};
pub use request_id::RequestId;
pub use server::{Server, ServerOptions};

/// An instant as answered: RFC 3339, UTC, to the millisecond.
pub fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
