//! What partners bring: their manifests, and the ledgers some of them keep.
//!
//! `manifest` an alliance as files · `endpoint` what a remote ledger is asked and answers · `address` where they may be
//! called · `contract` the same as a document · `dial` calling them · `sim` such a ledger, to try with.

pub mod address;
pub mod contract;
pub mod dial;
pub mod endpoint;
pub mod manifest;
pub mod sim;
