//! Keys as they were given: JWK sets (RFC 7517) and single JWKs, each file a set of its own.
//!
//! A key that says it is a partner's, `"partner": slug`, as those do of who has counter-signed, is never the alliance's,
//! though it may stand in one file with its keys. One that says what it signs, `"purpose"`, as those of the alliance do,
//! signs nothing else.

use super::report::{Section, Title};
use crate::signing::jwk::{NotAKey, PublicKey};
use crate::signing::keyring::Purpose;
use serde_json::Value;
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub struct Keys {
    files: Vec<String>,
    keys: Vec<Key>,
}

#[derive(Debug)]
pub struct Key {
    pub public: PublicKey,
    pub kid: String,
    /// Which file it is in.
    pub file: usize,
    /// Whose it says it is, when it is not the alliance's.
    partner: Option<String>,
    /// What it says it signs; sets that were made before keys said so have none.
    purpose: Option<Purpose>,
}

/// Why a key of a file is not taken.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error(transparent)]
    Key(#[from] NotAKey),
    /// One of a later version, perhaps.
    #[error("is of a purpose that is not known here")]
    Purpose,
    #[error("is not of the kind for {0}")]
    Kind(&'static str),
}

impl Key {
    fn read(mut jwk: Value, file: usize) -> Result<Key, NotTaken> {
        let partner = taken(&mut jwk, "partner");
        let purpose = taken(&mut jwk, "purpose");
        let public = PublicKey::from_jwk(&jwk)?;
        let purpose = purpose.map(|text| Purpose::parse(&text).ok_or(NotTaken::Purpose)).transpose()?;
        match purpose {
            Some(purpose) if purpose.kind() != public.kind() => Err(NotTaken::Kind(purpose.text())),
            _ => Ok(Key { kid: public.kid(), public, file, partner, purpose }),
        }
    }

    /// What it may sign: what it says, or whatever its kind can.
    pub fn purposes(&self) -> impl Iterator<Item = Purpose> {
        let fits =
            |purpose: &Purpose| self.purpose.map_or(purpose.kind() == self.public.kind(), |said| said == *purpose);
        Purpose::ALL.iter().copied().filter(fits)
    }
}

/// A member of ours, taken out of a JWK. One that is no text is left where it is: the key is refused for a member that is none
/// of a public key's.
fn taken(jwk: &mut Value, member: &str) -> Option<String> {
    let text = jwk.get(member)?.as_str()?.to_owned();
    jwk.as_object_mut()?.remove(member);
    Some(text)
}

impl Keys {
    /// Takes the keys of all files, each by its name; `sections` says of each how it went.
    pub fn read(files: &[(String, Vec<u8>)], sections: &mut Vec<Section>) -> Keys {
        let mut keys = Keys::default();
        for (name, bytes) in files {
            let mut section = Section::new(Title::Keys, name);
            keys.add(name, bytes, &mut section);
            sections.push(section);
        }
        keys
    }

    /// Takes the keys of a file, and says how it went.
    fn add(&mut self, name: &str, bytes: &[u8], section: &mut Section) {
        let file = self.files.len();
        self.files.push(name.to_owned());
        let Some(jwks) = read(bytes) else {
            return section.differs("keys", "it is neither a JWK set, {\"keys\": […]}, nor a JWK");
        };
        let (mut taken, mut foreign) = (0_usize, 0_usize);
        for (nth, jwk) in jwks.iter().cloned().enumerate() {
            match Key::read(jwk, file) {
                Ok(key) => {
                    taken += 1;
                    self.keys.push(key);
                }
                Err(NotTaken::Key(NotAKey::Kind) | NotTaken::Purpose) => foreign += 1,
                Err(why) => section.differs("keys", format!("key {} of {} {why}", nth + 1, jwks.len())),
            }
        }
        if foreign > 0 {
            section.unchecked(
                "keys",
                format!("{foreign} of {} keys are of a kind or a purpose that is not used here", jwks.len()),
            );
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

    /// Where a key of the alliance's is that no file has.
    pub fn remedy(&self) -> &'static str {
        if self.keys.is_empty() {
            "add the alliance's /.well-known/jwks.json"
        } else {
            "fetch the alliance's /.well-known/jwks.json again, it has all of its keys, old and new"
        }
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn all(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().map(|key| &key.public)
    }

    /// Every key that may be the alliance's.
    pub fn unclaimed(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(|key| key.partner.is_none())
    }

    /// For people, that a key is said to be one for another purpose than this of its kind, and where. `None` where no file
    /// says so.
    pub fn is_for_another(&self, kid: &str, purpose: Purpose) -> Option<String> {
        let other = |key: &&Key| key.kid == kid && key.purpose.is_some_and(|said| said != purpose);
        let key = self.unclaimed().find(other).filter(|key| key.public.kind() == purpose.kind())?;
        let (said, file, wanted) = (key.purpose?.text(), self.file(key.file), purpose.text());
        Some(format!("the key {kid} is of the purpose \"{said}\" ({file}), not \"{wanted}\""))
    }

    /// Where a key is, for people: whose it says it is, and the files it is in, one of `first` if it is in any.
    pub fn place(&self, kid: &str, first: &BTreeSet<usize>) -> String {
        let found: Vec<&Key> = self.keys.iter().filter(|key| key.kid == kid).collect();
        let unclaimed = |key: &&&Key| key.partner.is_none();
        let best = found.iter().filter(unclaimed).find(|key| first.contains(&key.file));
        match best.or(found.iter().find(unclaimed)).or(found.first()) {
            Some(Key { file, partner: None, .. }) => self.file(*file).to_owned(),
            Some(Key { file, partner: Some(partner), .. }) => format!("{partner}'s, {}", self.file(*file)),
            None => String::new(),
        }
    }

    pub fn file(&self, file: usize) -> &str {
        self.files.get(file).map_or("", String::as_str)
    }

    /// The files by their names, for people.
    pub fn names(&self, files: &BTreeSet<usize>) -> String {
        let names: Vec<&str> = files.iter().map(|file| self.file(*file)).collect();
        names.join(", ")
    }

    /// Whose a key says it is, in whichever file.
    pub fn partners(&self, kid: &str) -> BTreeSet<&str> {
        self.keys.iter().filter(|key| key.kid == kid).filter_map(|key| key.partner.as_deref()).collect()
    }
}

fn read(bytes: &[u8]) -> Option<Vec<Value>> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let object = value.as_object()?;
    match object.get("keys") {
        Some(keys) => keys.as_array().cloned(),
        None => object.contains_key("kty").then(|| vec![value]),
    }
}
