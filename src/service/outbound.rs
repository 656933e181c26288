//! Calling partners: for each a client of its own, made of the files in the folder of certificates.
//!
//! `outbound/<partner>.crt`, `.key` and `.trust.pem` are for one partner; where they are not, `outbound.crt` and
//! `outbound.key` say who we are, and `ca.crt` with `ca.crl`, the alliance's own authority, who they must be. What the
//! files say is taken up while calls run; files that cannot be read leave the last good ones in force.

use crate::clock;
use crate::domain::ids::Slug;
use crate::domain::network::Network;
use crate::partner::address::{Address, Guard, Refused};
use crate::partner::dial::{Dialer, Lookup, Options, OptionsError};
use crate::signing::pki::outbound;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use crate::signing::pki::PkiError;
pub use crate::signing::pki::outbound::{Contents, Files};

/// How long files are taken to say what they said.
const LOOK_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Files(#[from] PkiError),
    #[error("no client can be made of the outbound certificates")]
    Options(#[from] OptionsError),
}

/// The clients, one a partner.
pub struct Outbound {
    folder: PathBuf,
    guard: Guard,
    connections: usize,
    lookup: Lookup,
    known: Mutex<HashMap<Slug, Known>>,
}

struct Known {
    looked: Instant,
    fingerprint: String,
    dialer: Dialer,
}

impl Outbound {
    /// `folder`: of the alliance's certificates; `allow`: networks that may be called although they are not public.
    pub fn new(folder: PathBuf, allow: &[Network], connections: usize) -> Outbound {
        if !allow.is_empty() {
            let networks = allow.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            tracing::warn!(networks, "partners' endpoints may be in networks that are not public");
        }
        let guard = Guard::new(allow);
        Outbound { folder, guard, connections, lookup: Lookup::system(), known: Mutex::default() }
    }

    /// The same, asking another than this machine for the addresses of names.
    pub fn with_lookup(self, lookup: Lookup) -> Outbound {
        Outbound { lookup, ..self }
    }

    /// Judges a URL that somebody wants to be called at.
    pub fn check(&self, url: &str) -> Result<Address, Refused> {
        self.guard.parse(url)
    }

    /// The client for a partner. Reads files now and then, a few thousand bytes.
    pub fn dialer(&self, partner: &Slug) -> Result<Dialer, Error> {
        let now = clock::instant();
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get_mut(partner);
        if let Some(known) = &known
            && now.duration_since(known.looked) < LOOK_EVERY
        {
            return Ok(known.dialer.clone());
        }
        match (files(&self.folder, partner), known) {
            (Ok(files), Some(known)) if files.fingerprint == known.fingerprint => {
                known.looked = now;
                Ok(known.dialer.clone())
            }
            (Ok(files), known) => match (self.make(&files), known) {
                (Ok(dialer), _) => {
                    all.insert(
                        partner.clone(),
                        Known { looked: now, fingerprint: files.fingerprint, dialer: dialer.clone() },
                    );
                    Ok(dialer)
                }
                (Err(error), Some(known)) => Ok(known.keep(partner, now, &error)),
                (Err(error), None) => Err(error),
            },
            (Err(error), Some(known)) => Ok(known.keep(partner, now, &error.into())),
            (Err(error), None) => Err(error.into()),
        }
    }

    fn make(&self, files: &Files) -> Result<Dialer, Error> {
        let Contents { certificate, key, ca, crl } = files.contents.clone();
        let (guard, lookup) = (self.guard.clone(), self.lookup.clone());
        Ok(Dialer::new(Options { certificate, key, ca, crl, guard, connections: self.connections, lookup })?)
    }
}

impl Known {
    /// Goes on with what was read before.
    fn keep(&mut self, partner: &Slug, now: Instant, error: &Error) -> Dialer {
        tracing::warn!(partner.slug = partner.as_str(), %error, "outbound certificates stay as they were");
        self.looked = now;
        self.dialer.clone()
    }
}

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
