//! Keys, signatures, hashes and certificates: ring and rcgen behind names of ours.

pub mod x509;
