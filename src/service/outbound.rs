//! The certificates with which the alliance calls its partners' endpoints, and whom it believes there.
//!
//! Whoever keeps a client asks `files` from time to time and makes the client anew when the fingerprint has changed.

use crate::clock;
use crate::domain::ids::Slug;
use chrono::{DateTime, Utc};
use std::path::Path;

pub use crate::signing::pki::PkiError;
pub use crate::signing::pki::outbound::{Contents, Files};

use crate::signing::pki::outbound;

/// What a client of `partner`'s endpoint is made of: paths, their contents read together, and a fingerprint of these. The
/// alliance's own certificate is made, or renewed, where it is needed and the authority's key is here.
pub fn files(pki: &Path, partner: &Slug) -> Result<Files, PkiError> {
    outbound::files(pki, partner, clock::now())
}

/// A certificate request for the partner's own authority; its key stays in the folder.
pub fn request(pki: &Path, partner: &Slug) -> Result<String, PkiError> {
    outbound::request(pki, partner)
}

/// Puts in force what the partner's authority has answered; returns when it ends.
pub fn install(pki: &Path, partner: &Slug, chain: &[u8]) -> Result<DateTime<Utc>, PkiError> {
    outbound::install(pki, partner, chain, clock::now())
}

/// Names the authorities of the partner's endpoint, with their revocation lists if it has any.
pub fn trust(pki: &Path, partner: &Slug, ca: &[u8], crl: Option<&[u8]>) -> Result<usize, PkiError> {
    outbound::trust(pki, partner, ca, crl)
}
