//! Calling partners: for each a client of its own, made of the files in the folder of certificates.
//!
//! `outbound/<partner>.crt`, `.key`, `.ca.crt` and `.ca.crl` are for one partner; where they are not, `outbound.crt` and
//! `outbound.key` say who we are, and `ca.crt` with `ca.crl`, the alliance's own authority, who they must be. What the
//! files say is taken up while calls run; files that cannot be read leave the last good ones in force.

use crate::clock;
use crate::domain::ids::Slug;
use crate::domain::network::Network;
use crate::partner::address::{Address, Guard, Refused};
use crate::partner::dial::{Dialer, Lookup, Options, OptionsError};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long files are taken to say what they said.
const LOOK_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} cannot be read: `hanse pki outbound` makes it", .file.display())]
    File { file: PathBuf, source: std::io::Error },
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
    files: Files,
    dialer: Dialer,
}

/// What was read.
#[derive(Clone, PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    ca: Vec<u8>,
    crl: Option<Vec<u8>>,
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
        match (self.read(partner), known) {
            (Ok(files), Some(known)) if files == known.files => {
                known.looked = now;
                Ok(known.dialer.clone())
            }
            (Ok(files), known) => match (self.make(&files), known) {
                (Ok(dialer), _) => {
                    all.insert(partner.clone(), Known { looked: now, files, dialer: dialer.clone() });
                    Ok(dialer)
                }
                (Err(error), Some(known)) => Ok(known.keep(partner, now, &error)),
                (Err(error), None) => Err(error),
            },
            (Err(error), Some(known)) => Ok(known.keep(partner, now, &error)),
            (Err(error), None) => Err(error),
        }
    }

    fn make(&self, files: &Files) -> Result<Dialer, Error> {
        let Files { certificate, key, ca, crl } = files.clone();
        let (guard, lookup) = (self.guard.clone(), self.lookup.clone());
        Ok(Dialer::new(Options { certificate, key, ca, crl, guard, connections: self.connections, lookup })?)
    }

    fn read(&self, partner: &Slug) -> Result<Files, Error> {
        let own = |suffix: &str| self.folder.join("outbound").join(format!("{partner}{suffix}"));
        let certificate = own(".crt");
        let (certificate, key) = match certificate.exists() {
            true => (certificate, own(".key")),
            false => (self.folder.join("outbound.crt"), self.folder.join("outbound.key")),
        };
        let ca = own(".ca.crt");
        let (ca, crl) = match ca.exists() {
            // A partner's authority need not have a list; ours has.
            true => (ca, Some(own(".ca.crl")).filter(|crl| crl.exists())),
            false => (self.folder.join("ca.crt"), Some(self.folder.join("ca.crl"))),
        };
        let crl = crl.map(|crl| read(&crl)).transpose()?;
        Ok(Files { certificate: read(&certificate)?, key: read(&key)?, ca: read(&ca)?, crl })
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

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(|source| Error::File { file: file.to_owned(), source })
}
