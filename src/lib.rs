//! Hanse: a points exchange federation.
//!
//! Where to look: `domain` the rules, pure · `book` the ledger and its writer · `store` rows in and out ·
//! `signing` keys, signatures, hashes · `partner` manifests · `service` one use case a file · `http` the partner API ·
//! `web` pages for people · `worker` loops with a testable tick · `cli` the subcommands, which wire everything together.
//! `tests/tidy.rs` holds which of these may name which.

pub mod book;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod embedded_pg;
pub mod http;
pub mod partner;
pub mod service;
pub mod signing;
pub mod store;
pub mod telemetry;
pub mod web;
pub mod worker;
