//! What partners bring: their manifests, and the ledgers some of them keep.
//!
//! `manifest` an alliance as files · `endpoint` what a remote ledger is asked and answers · `address` where they may be
//! called · `dial` calling them.

pub mod address;
pub mod dial;
pub mod endpoint;
pub mod manifest;
