//! What partners bring: their manifests, and the ledgers some of them keep.
//!
//! `manifest` an alliance as files · `endpoint` what a remote ledger is asked and answers.

pub mod endpoint;
pub mod manifest;
