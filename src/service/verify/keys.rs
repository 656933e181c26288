//! Keys as they were given: JWK sets (RFC 7517) and single JWKs, each file a set of its own.
//!
//! A key that says it is a partner's, `"partner": slug`, as those do of who has counter-signed, is never the alliance's,
//! though it may stand in one file with its keys.

use super::report::{Section, Title};
use crate::signing::jwk::{NotAKey, PublicKey};
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
    /// Whose it says it is, when it is not the alliance's.
    partner: Option<String>,
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
        for (nth, mut jwk) in jwks.iter().cloned().enumerate() {
            // One that is no text is left where it is: the key is refused for a member that is none of a public key's.
            let named = jwk.get("partner").is_some_and(Value::is_string);
            let partner = jwk.as_object_mut().filter(|_| named).and_then(|members| members.remove("partner"));
            match PublicKey::from_jwk(&jwk) {
                Ok(public) => {
                    taken += 1;
                    let partner = partner.as_ref().and_then(Value::as_str).map(str::to_owned);
                    self.keys.push(Key { kid: public.kid(), public, file, partner });
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

    /// Every key that may be the alliance's, with the file it is in.
    pub fn unclaimed(&self) -> impl Iterator<Item = (&PublicKey, usize)> {
        self.keys.iter().filter(|key| key.partner.is_none()).map(|key| (&key.public, key.file))
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
