//! Keys, signatures, hashes and certificates: ring and rcgen behind names of ours.
//!
//! `digest` keys of directory rows and fingerprints · `canonical` RFC 8785 · `jwk`, `jws` public keys and compact
//! signatures · `keyring` the alliance's own keys · `pki` its certificate authority · `x509` what a certificate says.

pub mod canonical;
pub mod digest;
pub mod general;
pub mod jwk;
pub mod jws;
pub mod keyring;
pub mod merkle;
pub mod note;
pub mod pki;
pub mod private_file;
pub mod x509;
