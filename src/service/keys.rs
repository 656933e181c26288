//! The alliance's own signing keys: made once for all servers, known to each before they sign, kept for ever.

use crate::clock;
use crate::partner::dial::{self, Signing};
use crate::signing::general::Document;
use crate::signing::jwk::PublicKey;
use crate::signing::jws::{Detached, Refused};
use crate::signing::keyring::{self, Keyring, KeyringError, Published, Purpose};
use crate::signing::merkle::Hash;
use crate::signing::note::{Note, Vkey};
use crate::signing::rotation;
use crate::signing::webhook::Secret;
use crate::store::{self, Database, alliance_keys};
use arc_swap::ArcSwap;
use diesel::{Connection, PgConnection};
use hyper::HeaderMap;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Seconds from publishing a key to its first signature. Every server reads the keys far more often than that.
const KNOWN_BEFORE_S: i32 = 600;

#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

impl From<diesel::result::Error> for KeysError {
    fn from(cause: diesel::result::Error) -> KeysError {
        KeysError::Store(cause.into())
    }
}

/// The keys as this server last read them. One per server; `refresh` it every minute.
pub struct Keys {
    database: Database,
    folder: Arc<Path>,
    ring: ArcSwap<Keyring>,
}

impl Keys {
    /// Reads the keys, and makes the first of each purpose if no server has: that one signs at once.
    pub async fn open(database: Database, folder: PathBuf) -> Result<Keys, KeysError> {
        let folder: Arc<Path> = folder.into();
        let to_make = Arc::clone(&folder);
        database.run(move |conn| conn.transaction(|conn| make_missing(conn, &to_make))).await?;
        let ring = ArcSwap::from_pointee(read(&database, &folder).await?);
        Ok(Keys { database, folder, ring })
    }

    /// Takes up what other servers have published.
    pub async fn refresh(&self) -> Result<(), KeysError> {
        self.ring.store(Arc::new(read(&self.database, &self.folder).await?));
        Ok(())
    }

    /// Publishes a new key, which signs ten minutes from now; `false` when one is on its way already.
    pub async fn rotate(&self, purpose: Purpose) -> Result<bool, KeysError> {
        let folder = Arc::clone(&self.folder);
        let unit = move |conn: &mut PgConnection| {
            conn.transaction(|conn| {
                alliance_keys::lock(conn)?;
                if alliance_keys::is_pending(conn, purpose.text())? {
                    return Ok::<_, KeysError>(false);
                }
                make(conn, &folder, purpose, KNOWN_BEFORE_S)?;
                Ok(true)
            })
        };
        let made = self.database.run(unit).await?;
        self.refresh().await?;
        Ok(made)
    }

    /// A compact JWS over `payload` by the key whose time it is.
    pub fn sign(&self, purpose: Purpose, payload: &[u8]) -> Result<String, KeyringError> {
        self.ring.load().sign(purpose, payload, clock::now())
    }

    /// The payload of a token the alliance has signed for this purpose, however long ago.
    pub fn verify(&self, purpose: Purpose, token: &str) -> Result<Vec<u8>, Refused> {
        self.ring.load().verify(purpose, token)
    }

    /// The headers that say a request to a partner is the alliance's, by the keys that sign now and these secrets.
    pub fn webhook_headers(&self, id: &str, body: &[u8], secrets: &[Secret]) -> Result<HeaderMap, KeyringError> {
        dial::signed(id, body, Signing { ring: &self.ring.load(), secrets, now: clock::now() })
    }

    /// The alliance's signatures of a settlement record: EdDSA, then ES256. Each time others, so keep them.
    pub fn statement_signatures(&self, payload: &[u8]) -> Result<Vec<Detached>, KeyringError> {
        self.ring.load().statement_signatures(payload, clock::now())
    }

    /// A checkpoint of the log called `origin`, of `size` leaves under `root`.
    pub fn sign_checkpoint(&self, origin: &str, size: u64, root: Hash) -> Result<Note, KeyringError> {
        self.ring.load().sign_checkpoint(origin, size, root, clock::now())
    }

    /// The record that hands over to the key of this purpose that is on its way; `None` when there is none.
    pub fn announce(&self, alliance: &str, purpose: Purpose) -> Option<Result<Document, rotation::Refused>> {
        rotation::announce(&self.ring.load(), alliance, purpose, clock::now())
    }

    /// The key `kid`, if it is or was one of the alliance's for settlement records.
    pub fn statement_key(&self, kid: &str) -> Option<PublicKey> {
        self.ring.load().statement_key(kid)
    }

    /// The key `kid`, if it is or was one of the alliance's for this purpose.
    pub fn key(&self, purpose: Purpose, kid: &str) -> Option<PublicKey> {
        self.ring.load().key(purpose, kid)
    }

    /// The keys that sign or signed checkpoints of the log called `origin`, oldest first.
    pub fn checkpoint_keys(&self, origin: &str) -> Result<Vec<Vkey>, KeyringError> {
        self.ring.load().checkpoint_keys(origin)
    }

    /// Every public key there ever was, as a JWK set, with those that another server has published since this one last read
    /// them: whoever has heard of a new key asks next for the set that has it. What this server knows when the database
    /// cannot be asked.
    pub async fn current_jwks(&self) -> Value {
        if let Err(cause) = self.catch_up().await {
            tracing::warn!(%cause, "the keys cannot be read again, those known are served");
        }
        self.jwks()
    }

    /// Reads the keys again when there are others than this server knows. None ever goes, so their number tells.
    async fn catch_up(&self) -> Result<(), KeysError> {
        let purposes = Purpose::ALL.iter().map(|purpose| purpose.text()).collect::<Vec<_>>();
        let count = self.database.run(move |conn| Ok::<_, KeysError>(alliance_keys::count(conn, &purposes)?)).await?;
        if usize::try_from(count) == Ok(self.ring.load().count()) { Ok(()) } else { self.refresh().await }
    }

    /// Every public key there ever was, as a JWK set.
    pub fn jwks(&self) -> Value {
        self.ring.load().jwks()
    }
}

fn make_missing(conn: &mut PgConnection, folder: &Path) -> Result<(), KeysError> {
    alliance_keys::lock(conn)?;
    for purpose in Purpose::ALL {
        if !alliance_keys::exists(conn, purpose.text())? {
            make(conn, folder, *purpose, 0)?;
        }
    }
    Ok(())
}

/// The file first: a key that is published can sign. A file whose row was not committed is never looked at.
fn make(conn: &mut PgConnection, folder: &Path, purpose: Purpose, delay_s: i32) -> Result<(), KeysError> {
    let key = keyring::create(folder, purpose)?;
    Ok(alliance_keys::insert(conn, &key.kid(), purpose.text(), &key.to_jwk(), delay_s)?)
}

async fn read(database: &Database, folder: &Arc<Path>) -> Result<Keyring, KeysError> {
    let folder = Arc::clone(folder);
    let unit = move |conn: &mut PgConnection| {
        let known = |row: alliance_keys::Row| {
            // A purpose of a later version is that version's to use.
            let purpose = Purpose::parse(&row.purpose)?;
            Some(Published { purpose, jwk: row.jwk, signs_from: row.signs_from })
        };
        let published = alliance_keys::list(conn)?.into_iter().filter_map(known).collect();
        Ok::<_, KeysError>(Keyring::load(&folder, published, clock::now())?)
    };
    database.run(unit).await
}
