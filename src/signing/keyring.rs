//! The alliance's own signing keys, by purpose.
//!
//! The public half of a key is a row of the database, its private half a file `<kid>.p8` in a folder that all servers
//! of an alliance share. A key signs from an instant on, so that every server knows it before anybody meets its
//! signature; the newest whose time has come signs, older ones go on verifying for ever.

use super::jwk::PublicKey;
use super::jws::{self, Refused, SigningKey};
use super::private_file::{PRIVATE, replace};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What a key signs: one key is never used for two purposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    Quote,
}

impl Purpose {
    pub const ALL: &[Purpose] = &[Purpose::Quote];

    /// As stored in the database.
    pub fn text(self) -> &'static str {
        match self {
            Purpose::Quote => "quote",
        }
    }

    /// The `typ` of what it signs, checked when read.
    pub fn typ(self) -> &'static str {
        match self {
            Purpose::Quote => "quote+jws",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error("the key file {file} cannot be read or written")]
    Io { file: PathBuf, source: io::Error },
    #[error("{0} is not the private half of its key")]
    Unreadable(PathBuf),
    #[error("a stored public key cannot be read: {0}")]
    Public(String),
    #[error("there is no key that signs for this purpose")]
    NoSigner,
    #[error("the system has no randomness")]
    Randomness,
}

/// The public half as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub purpose: Purpose,
    pub jwk: Value,
    pub signs_from: DateTime<Utc>,
}

/// All keys, as of one reading of the database.
#[derive(Debug)]
pub struct Keyring {
    /// Oldest first.
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    purpose: Purpose,
    public: PublicKey,
    kid: String,
    signs_from: DateTime<Utc>,
    /// Read for the newest key and those yet to come; the others sign no more.
    private: Option<SigningKey>,
}

/// Makes a key and keeps its private half in `folder`; returns the public half to be stored.
pub fn create(folder: &Path) -> Result<PublicKey, KeyringError> {
    let pkcs8 = SigningKey::generate().map_err(|_| KeyringError::Randomness)?;
    let key = SigningKey::from_pkcs8(&pkcs8).map_err(|_| KeyringError::Unreadable(folder.to_owned()))?;
    let io = |source| KeyringError::Io { file: folder.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
    let file = path(folder, key.kid());
    replace(&file, &pkcs8, PRIVATE).map_err(|source| KeyringError::Io { file, source })?;
    Ok(key.public().clone())
}

impl Keyring {
    /// Puts public halves and private files together. The key that signs at `now`, and those after it, must have
    /// their file; else this server could not sign what the others do.
    pub fn load(folder: &Path, mut published: Vec<Published>, now: DateTime<Utc>) -> Result<Keyring, KeyringError> {
        published.sort_by_key(|key| key.signs_from);
        let mut keys: Vec<Key> = published.into_iter().map(Key::public).collect::<Result<_, _>>()?;
        for purpose in Purpose::ALL {
            let signs = signer(&keys, *purpose, now).unwrap_or(keys.len());
            for key in keys.iter_mut().skip(signs).filter(|key| key.purpose == *purpose) {
                key.private = Some(read(folder, &key.kid)?);
            }
        }
        Ok(Keyring { keys })
    }

    /// A compact JWS by the purpose's key at `now`.
    pub fn sign(&self, purpose: Purpose, payload: &[u8], now: DateTime<Utc>) -> Result<String, KeyringError> {
        let key = signer(&self.keys, purpose, now).and_then(|index| self.keys[index].private.as_ref());
        let key = key.ok_or(KeyringError::NoSigner)?;
        Ok(key.sign(purpose.typ(), payload))
    }

    /// The payload of a token that a key of this purpose has signed, however long ago.
    pub fn verify(&self, purpose: Purpose, token: &str) -> Result<Vec<u8>, Refused> {
        jws::verify(token, purpose.typ(), |kid| {
            self.keys.iter().find(|key| key.purpose == purpose && key.kid == kid).map(|key| key.public.clone())
        })
    }

    /// Every public key there ever was, as a JWK set (RFC 7517).
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.keys.iter().map(|key| key.public.to_jwk()).collect::<Vec<_>>() })
    }
}

impl Key {
    fn public(published: Published) -> Result<Key, KeyringError> {
        let public = PublicKey::from_jwk(&published.jwk)
            .map_err(|why| KeyringError::Public(format!("{why}: {}", published.jwk)))?;
        let kid = public.kid();
        Ok(Key { purpose: published.purpose, public, kid, signs_from: published.signs_from, private: None })
    }
}

/// The newest key whose time has come; the very first does not wait, whatever this machine's clock says.
fn signer(keys: &[Key], purpose: Purpose, now: DateTime<Utc>) -> Option<usize> {
    let newest = keys.iter().rposition(|key| key.purpose == purpose && key.signs_from <= now);
    newest.or_else(|| keys.iter().position(|key| key.purpose == purpose))
}

fn read(folder: &Path, kid: &str) -> Result<SigningKey, KeyringError> {
    let file = path(folder, kid);
    let pkcs8 = std::fs::read(&file).map_err(|source| KeyringError::Io { file: file.clone(), source })?;
    let key = SigningKey::from_pkcs8(&pkcs8).ok().filter(|key| key.kid() == kid);
    key.ok_or(KeyringError::Unreadable(file))
}

fn path(folder: &Path, kid: &str) -> PathBuf {
    folder.join(format!("{kid}.p8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn a_key_is_known_before_it_signs_and_verifies_for_ever() {
        let folder = std::env::temp_dir().join(format!("hanse-keyring-{}", std::process::id()));
        let start = DateTime::from_timestamp(1_700_000_000, 0).expect("an instant");
        let later = start + TimeDelta::minutes(10);
        let publish = |signs_from| {
            let jwk = create(&folder).expect("a key").to_jwk();
            Published { purpose: Purpose::Quote, jwk, signs_from }
        };
        let (first, second) = (publish(start), publish(later));
        let kid = |key: &Published| key.jwk["kid"].as_str().expect("a kid").to_owned();
        let ring = Keyring::load(&folder, vec![second.clone(), first.clone()], start).expect("a ring");
        let signed_by = |token: &str, key: &Published| {
            jws::verify(token, "quote+jws", |asked| {
                (asked == kid(key)).then(|| PublicKey::from_jwk(&key.jwk).expect("a key"))
            })
            .is_ok()
        };
        let old = ring.sign(Purpose::Quote, b"{}", start).expect("signed");
        let new = ring.sign(Purpose::Quote, b"{}", later).expect("signed");
        assert!(signed_by(&old, &first) && signed_by(&new, &second));
        assert!(ring.verify(Purpose::Quote, &old).is_ok() && ring.verify(Purpose::Quote, &new).is_ok());
        assert_eq!(ring.jwks()["keys"].as_array().map(Vec::len), Some(2));
        // The old key's file may go once it signs no more; the new one's may not.
        std::fs::remove_file(path(&folder, &kid(&first))).expect("removed");
        let ring = Keyring::load(&folder, vec![first.clone(), second.clone()], later).expect("a ring");
        assert!(ring.verify(Purpose::Quote, &old).is_ok());
        std::fs::remove_file(path(&folder, &kid(&second))).expect("removed");
        assert!(matches!(Keyring::load(&folder, vec![first, second], later), Err(KeyringError::Io { .. })));
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
