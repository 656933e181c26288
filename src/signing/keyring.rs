//! The alliance's own signing keys, by purpose.
//!
//! The public half of a key is a row of the database, its private half a file `<kid>.p8` in a folder that all servers
//! of an alliance share. A key signs from an instant on, so that every server knows it before anybody meets its
//! signature; the newest whose time has come signs, older ones go on verifying for ever.

use super::general;
use super::jwk::{Kind, PublicKey};
use super::jws::{self, Detached, Refused, SigningKey};
use super::merkle::Hash;
use super::note::{self, Checkpoint, Note, Vkey};
use super::private_file::{PRIVATE, replace};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Signatures of one request by keys of ours, should they be rotated several times in a day.
const WEBHOOK_SIGNERS_MAX: usize = 3;

/// What a key signs: one key is never used for two purposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    Quote,
    /// Settlement records, for everybody who knows EdDSA.
    Statement,
    /// Settlement records, for those who know ES256 alone.
    StatementP256,
    /// The checkpoints of the alliance's log.
    Checkpoint,
    /// What is sent to partners: events, and calls to the ledgers they keep.
    Webhook,
}

impl Purpose {
    pub const ALL: &[Purpose] =
        &[Purpose::Quote, Purpose::Statement, Purpose::StatementP256, Purpose::Checkpoint, Purpose::Webhook];

    pub fn parse(text: &str) -> Option<Purpose> {
        Purpose::ALL.iter().copied().find(|purpose| purpose.text() == text)
    }

    /// As stored in the database, and as the `purpose` of a key in a JWK set.
    pub fn text(self) -> &'static str {
        match self {
            Purpose::Quote => "quote",
            Purpose::Statement => "statement",
            Purpose::StatementP256 => "statement_p256",
            Purpose::Checkpoint => "checkpoint",
            Purpose::Webhook => "webhook",
        }
    }

    /// The `typ` of what it signs, checked when read. `None` when that is no JWS.
    pub fn typ(self) -> Option<&'static str> {
        match self {
            Purpose::Quote => Some("quote+jws"),
            Purpose::Statement | Purpose::StatementP256 => Some(general::TYP),
            Purpose::Checkpoint | Purpose::Webhook => None,
        }
    }

    /// What its keys are.
    pub fn kind(self) -> Kind {
        match self {
            Purpose::Quote | Purpose::Statement | Purpose::Checkpoint | Purpose::Webhook => Kind::Ed25519,
            Purpose::StatementP256 => Kind::P256,
        }
    }

    fn is_statement(self) -> bool {
        self.typ() == Some(general::TYP)
    }

    /// Whether a record in the log hands over from one key to the next: what they sign is looked at long after.
    pub fn hands_over(self) -> bool {
        match self {
            Purpose::Statement | Purpose::StatementP256 | Purpose::Checkpoint => true,
            Purpose::Quote | Purpose::Webhook => false,
        }
    }

    /// How long the key before goes on signing beside the one whose time has come: as long as a receiver may take to
    /// learn of the new one.
    fn overlap(self) -> TimeDelta {
        match self {
            Purpose::Webhook => TimeDelta::hours(24),
            Purpose::Quote | Purpose::Statement | Purpose::StatementP256 | Purpose::Checkpoint => TimeDelta::zero(),
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
    #[error("the checkpoint cannot be signed")]
    Checkpoint(#[source] note::Refused),
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

/// Makes a key of the purpose's kind and keeps its private half in `folder`; returns the public half to be stored.
pub fn create(folder: &Path, purpose: Purpose) -> Result<PublicKey, KeyringError> {
    let pkcs8 = SigningKey::generate_kind(purpose.kind()).map_err(|_| KeyringError::Randomness)?;
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
            let signs = signer(&keys, *purpose, now - purpose.overlap()).unwrap_or(keys.len());
            for key in keys.iter_mut().skip(signs).filter(|key| key.purpose == *purpose) {
                key.private = Some(read(folder, &key.kid)?);
            }
        }
        Ok(Keyring { keys })
    }

    /// A compact JWS by the purpose's key at `now`.
    pub fn sign(&self, purpose: Purpose, payload: &[u8], now: DateTime<Utc>) -> Result<String, KeyringError> {
        let typ = purpose.typ().ok_or(KeyringError::NoSigner)?;
        Ok(self.signer(purpose, now)?.sign(typ, payload))
    }

    /// The alliance's signatures of a settlement record: EdDSA, then ES256. Each time others, for ES256 draws a number.
    pub fn statement_signatures(&self, payload: &[u8], now: DateTime<Utc>) -> Result<Vec<Detached>, KeyringError> {
        let sign = |purpose| Ok(self.signer(purpose, now)?.sign_detached(general::TYP, payload));
        [Purpose::Statement, Purpose::StatementP256].into_iter().map(sign).collect()
    }

    /// A checkpoint of the log called `origin`, by the key whose time it is at `now`.
    pub fn sign_checkpoint(
        &self,
        origin: &str,
        size: u64,
        root: Hash,
        now: DateTime<Utc>,
    ) -> Result<Note, KeyringError> {
        let checkpoint = Checkpoint { origin: origin.to_owned(), size, root };
        checkpoint.sign(self.signer(Purpose::Checkpoint, now)?).map_err(KeyringError::Checkpoint)
    }

    /// The keys that sign webhooks at `now`, the newest first: for a day after one has begun, those before it too.
    pub fn webhook_signers(&self, now: DateTime<Utc>) -> Result<Vec<&SigningKey>, KeyringError> {
        let purpose = Purpose::Webhook;
        let newest = signer(&self.keys, purpose, now).ok_or(KeyringError::NoSigner)?;
        let oldest = signer(&self.keys, purpose, now - purpose.overlap()).unwrap_or(newest);
        let signing = self.keys[oldest..=newest].iter().rev().filter(|key| key.purpose == purpose);
        let keys: Vec<_> = signing.take(WEBHOOK_SIGNERS_MAX).filter_map(|key| key.private.as_ref()).collect();
        if keys.is_empty() { Err(KeyringError::NoSigner) } else { Ok(keys) }
    }

    /// The payload of a token that a key of this purpose has signed, however long ago.
    pub fn verify(&self, purpose: Purpose, token: &str) -> Result<Vec<u8>, Refused> {
        let typ = purpose.typ().ok_or(Refused::Type)?;
        jws::verify(token, typ, |kid| {
            self.keys.iter().find(|key| key.purpose == purpose && key.kid == kid).map(|key| key.public.clone())
        })
    }

    /// The key `kid`, if it is or was one for settlement records.
    pub fn statement_key(&self, kid: &str) -> Option<PublicKey> {
        let key = self.keys.iter().find(|key| key.purpose.is_statement() && key.kid == kid);
        key.map(|key| key.public.clone())
    }

    /// The key `kid`, if it is or was one of this purpose.
    pub fn key(&self, purpose: Purpose, kid: &str) -> Option<PublicKey> {
        let key = self.keys.iter().find(|key| key.purpose == purpose && key.kid == kid);
        key.map(|key| key.public.clone())
    }

    /// The keys that sign or signed checkpoints of the log called `origin`, oldest first.
    pub fn checkpoint_keys(&self, origin: &str) -> Result<Vec<Vkey>, KeyringError> {
        let keys = self.keys.iter().filter(|key| key.purpose == Purpose::Checkpoint);
        let named = keys.map(|key| Vkey::new(origin, note::Kind::Log, &key.public));
        named.collect::<Result<_, _>>().map_err(|_| KeyringError::Checkpoint(note::Refused::Name))
    }

    /// The key that signs at `now`, the one that comes after it, and when. `None` while no other is on its way.
    pub(super) fn handover(
        &self,
        purpose: Purpose,
        now: DateTime<Utc>,
    ) -> Option<(&SigningKey, &SigningKey, DateTime<Utc>)> {
        let signs = signer(&self.keys, purpose, now)?;
        let next = self.keys.iter().skip(signs + 1).find(|key| key.purpose == purpose)?;
        Some((self.keys[signs].private.as_ref()?, next.private.as_ref()?, next.signs_from))
    }

    fn signer(&self, purpose: Purpose, now: DateTime<Utc>) -> Result<&SigningKey, KeyringError> {
        let key = signer(&self.keys, purpose, now).and_then(|index| self.keys[index].private.as_ref());
        key.ok_or(KeyringError::NoSigner)
    }

    /// How many keys there are, old ones and those yet to sign among them.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Every public key there ever was, as a JWK set (RFC 7517). Each says what it signs, `"purpose": text`, a member that
    /// readers who do not know it pass over (§4) and that is no part of the thumbprint.
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.keys.iter().map(Key::to_jwk).collect::<Vec<_>>() })
    }
}

impl Key {
    fn to_jwk(&self) -> Value {
        let mut jwk = self.public.to_jwk();
        jwk["purpose"] = json!(self.purpose.text());
        jwk
    }

    fn public(published: Published) -> Result<Key, KeyringError> {
        let public = PublicKey::from_jwk(&published.jwk)
            .map_err(|why| KeyringError::Public(format!("{why}: {}", published.jwk)))?;
        if public.kind() != published.purpose.kind() {
            let purpose = published.purpose.text();
            return Err(KeyringError::Public(format!("is not of the kind for {purpose}: {}", published.jwk)));
        }
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

    #[test]
    fn a_key_is_known_before_it_signs_and_verifies_for_ever() {
        let folder = std::env::temp_dir().join(format!("hanse-keyring-{}", std::process::id()));
        let start = DateTime::from_timestamp(1_700_000_000, 0).expect("an instant");
        let later = start + TimeDelta::minutes(10);
        let publish = |signs_from| {
            let jwk = create(&folder, Purpose::Quote).expect("a key").to_jwk();
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

    /// One key of every purpose in a folder of its own, which signs at `start`.
    fn one_of_each(name: &str, start: DateTime<Utc>) -> (PathBuf, Vec<Published>) {
        let folder = std::env::temp_dir().join(format!("hanse-keyring-{name}-{}", std::process::id()));
        let publish = |purpose: &Purpose| {
            let jwk = create(&folder, *purpose).expect("a key").to_jwk();
            Published { purpose: *purpose, jwk, signs_from: start }
        };
        let published = Purpose::ALL.iter().map(publish).collect();
        (folder, published)
    }

    #[test]
    fn each_purpose_signs_with_keys_of_its_own_kind() {
        let start = DateTime::from_timestamp(1_700_000_000, 0).expect("an instant");
        let (folder, published) = one_of_each("kinds", start);
        let ring = Keyring::load(&folder, published.clone(), start).expect("a ring");
        let payload = br#"{"seq":1}"#;
        let signatures = ring.statement_signatures(payload, start).expect("signed");
        let document = general::Document::new(payload.to_vec(), &signatures).expect("a document");
        let held = document.verify_all(|kid| ring.statement_key(kid)).expect("they hold");
        assert!(held.iter().map(|(_, alg)| alg.as_str()).eq(["EdDSA", "ES256"]));
        let note = ring.sign_checkpoint("star.example/log", 3, [7; 32], start).expect("signed");
        let [log] = ring.checkpoint_keys("star.example/log").expect("a name").try_into().expect("one key");
        assert_eq!(note.checkpoint(&log).map(|checkpoint| (checkpoint.size, checkpoint.root)), Ok((3, [7; 32])));
        assert!(matches!(ring.sign_checkpoint("a b", 3, [7; 32], start), Err(KeyringError::Checkpoint(_))));
        // No purpose's signature passes for another's.
        assert!(matches!(ring.sign(Purpose::Checkpoint, payload, start), Err(KeyringError::NoSigner)));
        let quote = ring.sign(Purpose::Quote, payload, start).expect("signed");
        let statement = document.compact(&signatures[0].kid).expect("its signature");
        for (purpose, token) in [(Purpose::Statement, &quote), (Purpose::Quote, &statement)] {
            assert_eq!(ring.verify(purpose, token), Err(Refused::Type));
        }
        assert_eq!(ring.verify(Purpose::StatementP256, &statement), Err(Refused::Key));
        assert!(ring.verify(Purpose::Statement, &statement).is_ok());
        assert_eq!(ring.verify(Purpose::Checkpoint, &statement), Err(Refused::Type));
        let kid = |index: usize| published[index].jwk["kid"].as_str().expect("a kid");
        assert_eq!((ring.statement_key(kid(0)), ring.statement_key(kid(3))), (None, None));
        // A key under a purpose of another kind is not taken for what it is not.
        let swapped = Published { purpose: Purpose::StatementP256, ..published[1].clone() };
        assert!(matches!(Keyring::load(&folder, vec![swapped], start), Err(KeyringError::Public(_))));
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn two_keys_sign_webhooks_for_a_day_after_the_second_has_begun() {
        let start = DateTime::from_timestamp(1_700_000_000, 0).expect("an instant");
        let later = start + TimeDelta::minutes(10);
        let (folder, mut published) = one_of_each("webhook", start);
        let first = published.iter().find(|key| key.purpose == Purpose::Webhook).expect("one").clone();
        let jwk = create(&folder, Purpose::Webhook).expect("a key").to_jwk();
        let second = Published { purpose: Purpose::Webhook, jwk, signs_from: later };
        published.push(second.clone());
        let kid = |key: &Published| key.jwk["kid"].as_str().expect("a kid").to_owned();
        let signers = |ring: &Keyring, now| -> Vec<String> {
            ring.webhook_signers(now).expect("a signer").iter().map(|key| key.kid().to_owned()).collect()
        };
        let ring = Keyring::load(&folder, published.clone(), later).expect("a ring");
        let both = vec![kid(&second), kid(&first)];
        for (now, wanted) in [
            (start, vec![kid(&first)]),
            (later - TimeDelta::seconds(1), vec![kid(&first)]),
            (later, both.clone()),
            (later + TimeDelta::hours(24) - TimeDelta::seconds(1), both),
            (later + TimeDelta::hours(24), vec![kid(&second)]),
        ] {
            assert_eq!(signers(&ring, now), wanted, "{now}");
        }
        // The old key's file is wanted as long as it signs.
        std::fs::remove_file(path(&folder, &kid(&first))).expect("removed");
        assert!(Keyring::load(&folder, published.clone(), later).is_err());
        let ring = Keyring::load(&folder, published, later + TimeDelta::hours(24)).expect("a ring");
        assert_eq!(signers(&ring, later + TimeDelta::hours(24)), [kid(&second)]);
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_key_on_its_way_is_announced_by_both_until_it_signs() {
        use crate::signing::rotation;
        let start = DateTime::from_timestamp(1_700_000_000, 0).expect("an instant");
        let (folder, mut published) = one_of_each("handover", start);
        let later = start + TimeDelta::minutes(10);
        for purpose in [Purpose::Statement, Purpose::StatementP256, Purpose::Checkpoint, Purpose::Quote] {
            let jwk = create(&folder, purpose).expect("a key").to_jwk();
            published.push(Published { purpose, jwk, signs_from: later });
        }
        let ring = Keyring::load(&folder, published, start).expect("a ring");
        let log = rotation::announce(&ring, "star", Purpose::Checkpoint, start).expect("one is on its way");
        let said =
            rotation::verify(&log.expect("signed"), |kid| ring.key(Purpose::Checkpoint, kid)).expect("they hold");
        let logs = ring.checkpoint_keys("star.example").expect("a name");
        let signs = |now| ring.sign_checkpoint("star.example", 1, [7; 32], now).expect("signed");
        assert!(signs(start).checkpoint(&logs[0]).is_ok() && signs(later).checkpoint(&logs[1]).is_ok());
        assert_eq!((said.purpose, said.at), (Purpose::Checkpoint, later));
        assert_eq!(ring.statement_key(&said.new), None, "and signs no statements for it");
        for purpose in [Purpose::Statement, Purpose::StatementP256] {
            let document = rotation::announce(&ring, "star", purpose, start).expect("one is on its way");
            let said = rotation::verify(&document.expect("signed"), |kid| ring.statement_key(kid)).expect("they hold");
            let signs_by = |now| {
                let signatures = ring.statement_signatures(b"{}", now).expect("signed");
                signatures.into_iter().map(|signature| signature.kid).collect::<Vec<_>>()
            };
            assert!(signs_by(start).contains(&said.old) && signs_by(later).contains(&said.new));
            assert_eq!((said.alliance.as_str(), said.at, said.purpose), ("star", later, purpose));
            assert!(rotation::announce(&ring, "star", purpose, later).is_none());
        }
        // What a quote's key has signed is over within the hour.
        let quote = rotation::announce(&ring, "star", Purpose::Quote, start).expect("one is on its way");
        assert_eq!(quote, Err(rotation::Refused::Form));
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
