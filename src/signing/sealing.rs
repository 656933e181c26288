//! Secrets at rest: AES-256-GCM with a key that is a file beside the signing keys and never in the database.
//!
//! Sealed is nonce (12 bytes, random) ‖ ciphertext ‖ tag (16 bytes), bound to the name of the row it is in, so that what is
//! moved to another row does not open.

use super::private_file::{PRIVATE, replace};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The file's name in the folder of keys.
const FILE: &str = "sealing.key";
const LENGTH: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    #[error("the key file {file} cannot be read or written")]
    Io { file: PathBuf, source: io::Error },
    #[error("{0} is not a key of 32 bytes")]
    Unreadable(PathBuf),
    #[error("the system has no randomness")]
    Randomness,
    #[error("what is stored was not sealed with this key for this row")]
    Sealed,
}

/// The key, for as long as a server runs.
pub struct SealingKey(LessSafeKey);

impl SealingKey {
    /// Reads the key of this folder, or makes it: of servers that start at once, one makes it for all.
    pub fn open(folder: &Path) -> Result<SealingKey, SealingError> {
        let file = folder.join(FILE);
        let at = |source| SealingError::Io { file: file.clone(), source };
        if !file.try_exists().map_err(at)? {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at)?;
            let mut bytes = [0; LENGTH];
            SystemRandom::new().fill(&mut bytes).map_err(|_| SealingError::Randomness)?;
            let draft = folder.join(format!(".{FILE}.{}", uuid::Uuid::new_v4().simple()));
            replace(&draft, &bytes, PRIVATE).map_err(at)?;
            // A link is made by one alone; whoever comes second reads the first one's key.
            let linked = std::fs::hard_link(&draft, &file);
            let removed = std::fs::remove_file(&draft);
            match linked {
                Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(at(cause)),
                Ok(()) | Err(_) => removed.map_err(at)?,
            }
        }
        let bytes = std::fs::read(&file).map_err(at)?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| SealingError::Unreadable(file.clone()))?;
        Ok(SealingKey(LessSafeKey::new(key)))
    }

    pub fn seal(&self, row: &str, secret: &[u8]) -> Result<Vec<u8>, SealingError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealingError::Randomness)?;
        let mut sealed = secret.to_vec();
        let bound = Aad::from(row.as_bytes());
        let sealing = self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound, &mut sealed);
        sealing.map_err(|_| SealingError::Sealed)?;
        Ok([&nonce[..], &sealed].concat())
    }

    pub fn open_sealed(&self, row: &str, sealed: &[u8]) -> Result<Vec<u8>, SealingError> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(SealingError::Sealed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealingError::Sealed)?;
        let mut bytes = rest.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::from(row.as_bytes()), &mut bytes);
        opened.map(|secret| secret.to_vec()).map_err(|_| SealingError::Sealed)
    }
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_sealed_opens_in_its_own_row_with_its_own_key_alone() {
        let folder = std::env::temp_dir().join(format!("hanse-sealing-{}", std::process::id()));
        let keys: Vec<SealingKey> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| SealingKey::open(&folder).expect("a key"))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 1, "no drafts are left");
        let file = folder.join(FILE);
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, PRIVATE);
        let sealed = keys[0].seal("row 1", b"secret").expect("sealed");
        assert_eq!(sealed.len(), 12 + 6 + 16);
        assert_ne!(sealed, keys[0].seal("row 1", b"secret").expect("sealed"));
        assert_eq!(keys[3].open_sealed("row 1", &sealed).expect("opened"), b"secret");
        assert!(keys[0].open_sealed("row 2", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keys[0].open_sealed("row 1", &changed).is_err(), "byte {at}");
        }
        assert!(keys[0].open_sealed("row 1", &sealed[..5]).is_err());
        std::fs::write(&file, b"short").expect("written");
        assert!(matches!(SealingKey::open(&folder), Err(SealingError::Unreadable(_))));
        std::fs::remove_file(&file).expect("removed");
        assert!(SealingKey::open(&folder).expect("another").open_sealed("row 1", &sealed).is_err());
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
