//! Keys, signatures, hashes and certificates: ring and rcgen behind names of ours.
//!
//! `digest` keys of directory rows and fingerprints · `canonical` RFC 8785 · `jwk`, `jws` public keys and compact
//! signatures · `general` documents with several · `merkle` trees and their proofs · `note` signed checkpoints ·
//! `keyring` the alliance's own keys · `rotation` how they follow each other · `sealing` secrets at rest ·
//! `password`, `totp` what staff sign in with · `webhook` signed requests · `pki` its
//! certificate authority · `x509` what a certificate says.

pub mod canonical;
pub mod digest;
pub mod general;
pub mod jwk;
pub mod jws;
pub mod keyring;
pub mod merkle;
pub mod note;
pub mod password;
pub mod pki;
pub mod private_file;
pub mod rotation;
pub mod sealing;
pub mod totp;
pub mod webhook;
pub mod x509;

#[cfg(test)]
mod wycheproof;
