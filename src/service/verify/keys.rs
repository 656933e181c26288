//! Keys as they were given: JWK sets (RFC 7517) and single JWKs, each file a set of its own.
//!
//! Nobody says which file is the alliance's, and it needs no saying: the alliance signs each of its records by an Ed25519
//! key and by a P-256 key of one set.

use super::report::{Section, Title};
use crate::signing::general::Document;
use crate::signing::jwk::{Kind, NotAKey, PublicKey};
use crate::signing::keyring::Purpose;
use crate::signing::rotation::{self, Rotation};
use chrono::SecondsFormat;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub struct Keys {
    files: Vec<String>,
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    public: PublicKey,
    kid: String,
    /// Which file it is in.
    file: usize,
}

impl Keys {
    /// Takes the keys of a file, and says how it went.
    pub fn add(&mut self, name: &str, bytes: &[u8], section: &mut Section) {
        let file = self.files.len();
        self.files.push(name.to_owned());
        let Some(jwks) = read(bytes) else {
            return section.differs("keys", "it is neither a JWK set, {\"keys\": […]}, nor a JWK");
        };
        let (mut taken, mut foreign) = (0_usize, 0_usize);
        for (nth, jwk) in jwks.iter().enumerate() {
            match PublicKey::from_jwk(jwk) {
                Ok(public) => {
                    taken += 1;
                    self.keys.push(Key { kid: public.kid(), public, file });
                }
                Err(NotAKey::Kind) => foreign += 1,
                Err(why) => section.differs("keys", format!("key {} of {} {why}", nth + 1, jwks.len())),
            }
        }
        if foreign > 0 {
            section.unchecked("keys", format!("{foreign} of {} keys are of a kind that is not used here", jwks.len()));
        }
        if taken > 0 {
            section.holds("keys", format!("{taken} public keys, each named by its own thumbprint"));
        } else if foreign == 0 && jwks.is_empty() {
            section.differs("keys", "it has no keys");
        }
    }

    pub fn by_kid(&self, kid: &str) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.kid == kid).map(|key| &key.public)
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Every key with the file it is in.
    pub fn all(&self) -> impl Iterator<Item = (&PublicKey, usize)> {
        self.keys.iter().map(|key| (&key.public, key.file))
    }

    /// The files that a key is in.
    pub fn files_of(&self, kid: &str) -> BTreeSet<usize> {
        self.keys.iter().filter(|key| key.kid == kid).map(|key| key.file).collect()
    }

    pub fn file(&self, file: usize) -> &str {
        self.files.get(file).map_or("", String::as_str)
    }

    /// The files that may be the alliance's: those with keys of both kinds that sign the document.
    pub fn alliance(&self, document: &Document) -> BTreeSet<usize> {
        let of = |kind: Kind| -> BTreeSet<usize> {
            let keys = document.kids().filter(|kid| self.by_kid(kid).is_some_and(|key| key.kind() == kind));
            keys.flat_map(|kid| self.files_of(kid)).collect()
        };
        &of(Kind::Ed25519) & &of(Kind::P256)
    }
}

/// Records of keys that handed over to others, `{"items": […]}`: both have signed each.
pub fn rotations(file: &str, bytes: &[u8], keys: &Keys) -> Section {
    let mut section = Section::new(Title::Keys, file);
    let Ok(Items { items }) = serde_json::from_slice(bytes) else {
        section.differs("rotations", "it is no list of documents, {\"items\": […]}");
        return section;
    };
    for (nth, item) in items.iter().enumerate() {
        let document = Document::parse(item.to_string().as_bytes()).map_err(rotation::Refused::from);
        match document.and_then(|document| rotation::verify(&document, |kid| keys.by_kid(kid).cloned())) {
            Ok(Rotation { old, new, at, purpose, .. }) => {
                let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
                let of = if purpose == Purpose::Checkpoint { "the log's key " } else { "" };
                section.holds("rotations", format!("{of}{old} handed over to {new} from {at} on, signed by both"));
            }
            Err(why) => section.differs("rotations", format!("record {} of {}: {why}", nth + 1, items.len())),
        }
    }
    if items.is_empty() {
        section.holds("rotations", "no key has handed over to another");
    }
    section
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Items {
    items: Vec<Value>,
}

fn read(bytes: &[u8]) -> Option<Vec<Value>> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let object = value.as_object()?;
    match object.get("keys") {
        Some(keys) => keys.as_array().cloned(),
        None => object.contains_key("kty").then(|| vec![value]),
    }
}
