//! General JWS (RFC 7515 §7.2.1): one payload with the signatures of several keys, as settlement records have it.
//!
//! `{"payload":…,"signatures":[{"protected":…,"signature":…},…]}` and no other member: no unprotected header, so that
//! all a reader goes by is signed. The payload is canonical JSON, every header exactly `alg`, `kid` and `typ`, every part
//! base64url in its one spelling, and no key signs twice. White space between the members is all that may differ.

use super::canonical;
use super::jwk::PublicKey;
use super::jws::{self, Detached, Header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// The `typ` of every header.
pub const TYP: &str = "settlement+jws";
/// The longest document read, in bytes.
pub const LENGTH_MAX: usize = 16 * 1024 * 1024;
/// Signatures in one document.
pub const SIGNATURES_MAX: usize = 16;
/// The longest header or signature, in base64url.
const PART_MAX: usize = 1024;
/// The longest payload, in base64url: what is written can be read, whoever signs it yet.
const PAYLOAD_MAX: usize = LENGTH_MAX - SIGNATURES_MAX * (2 * PART_MAX + 64);

/// Why a document is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the document is longer than any of ours")]
    TooLong,
    #[error("the document is not an object of payload and signatures, each of protected and signature")]
    Form,
    #[error("a part is not base64url without padding")]
    Base64,
    #[error("the payload is not canonical JSON")]
    Payload,
    #[error("the document has no signature, or more than {SIGNATURES_MAX}")]
    Count,
    #[error("a header is not an object of exactly alg, kid and typ")]
    Header,
    #[error("the key {0:?} signs twice")]
    Twice(String),
    #[error("the signature by the key {kid:?} does not hold: {why}")]
    Signature { kid: String, why: jws::Refused },
}

/// A document of the right form; whether its signatures hold is for `verify_all` to say. It has at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    payload: Vec<u8>,
    /// The payload in base64url, as it was signed.
    encoded: String,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    text: Detached,
    alg: String,
    bytes: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    payload: String,
    signatures: Vec<Object<SignatureMembers>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureMembers {
    protected: String,
    signature: String,
}

impl Document {
    /// `payload`, canonical JSON, with its first signatures.
    pub fn new(payload: Vec<u8>, signatures: &[Detached]) -> Result<Document, Refused> {
        let encoded = URL_SAFE_NO_PAD.encode(&payload);
        let mut document = Document::unsigned(payload, encoded)?;
        for Detached { protected, signature, .. } in signatures {
            document.add(protected, signature)?;
        }
        document.signed()
    }

    /// Reads a document; see the head of this file for what is refused.
    pub fn parse(json: &[u8]) -> Result<Document, Refused> {
        if json.len() > LENGTH_MAX {
            return Err(Refused::TooLong);
        }
        let Object(members): Object<Members> = serde_json::from_slice(json).map_err(|_| Refused::Form)?;
        let mut document = Document::unsigned(decode(&members.payload)?, members.payload)?;
        for Object(SignatureMembers { protected, signature }) in members.signatures {
            document.add(&protected, &signature)?;
        }
        document.signed()
    }

    fn unsigned(payload: Vec<u8>, encoded: String) -> Result<Document, Refused> {
        if encoded.len() > PAYLOAD_MAX {
            return Err(Refused::TooLong);
        }
        let value = serde_json::from_slice(&payload).map_err(|_| Refused::Payload)?;
        if canonical::to_vec(&value).as_ref() != Ok(&payload) {
            return Err(Refused::Payload);
        }
        Ok(Document { payload, encoded, signatures: Vec::new() })
    }

    fn signed(self) -> Result<Document, Refused> {
        if self.signatures.is_empty() { Err(Refused::Count) } else { Ok(self) }
    }

    /// Adds a signature of the right form by another key. It is not verified here, for its key is not known here.
    pub fn add(&mut self, protected: &str, signature: &str) -> Result<(), Refused> {
        if protected.len().max(signature.len()) > PART_MAX {
            return Err(Refused::TooLong);
        }
        let header = Header::parse(&decode(protected)?).map_err(|_| Refused::Header)?;
        let bytes = decode(signature)?;
        if header.typ != TYP {
            return Err(Refused::Signature { kid: header.kid, why: jws::Refused::Type });
        }
        if self.kids().any(|kid| kid == header.kid) {
            return Err(Refused::Twice(header.kid));
        }
        if self.signatures.len() == SIGNATURES_MAX {
            return Err(Refused::Count);
        }
        let (protected, signature) = (protected.to_owned(), signature.to_owned());
        let text = Detached { protected, signature, kid: header.kid };
        self.signatures.push(Signature { text, alg: header.alg, bytes });
        Ok(())
    }

    /// The canonical bytes that are signed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signatures as they stand in the document, whether they hold or not.
    pub fn signatures(&self) -> impl Iterator<Item = &Detached> {
        self.signatures.iter().map(|signature| &signature.text)
    }

    /// The keys that sign, or claim to, in the document's sequence.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.signatures().map(|signature| signature.kid.as_str())
    }

    /// Whether every signature holds, each by the key that `key_of` has for its `kid`; `kid` and `alg` of each. One that
    /// does not hold, or whose key is not known, is named and refuses the document.
    pub fn verify_all(
        &self,
        mut key_of: impl FnMut(&str) -> Option<PublicKey>,
    ) -> Result<Vec<(String, String)>, Refused> {
        let mut held = Vec::with_capacity(self.signatures.len());
        for signature in &self.signatures {
            self.verify(signature, key_of(&signature.text.kid))?;
            held.push((signature.text.kid.clone(), signature.alg.clone()));
        }
        Ok(held)
    }

    /// Whether every signature holds whose key `key_of` has; the `kid` of each of the others.
    pub fn verify_known(&self, mut key_of: impl FnMut(&str) -> Option<PublicKey>) -> Result<Vec<String>, Refused> {
        let mut unknown = Vec::new();
        for signature in &self.signatures {
            match key_of(&signature.text.kid) {
                None => unknown.push(signature.text.kid.clone()),
                key => self.verify(signature, key)?,
            }
        }
        Ok(unknown)
    }

    fn verify(&self, Signature { text, alg, bytes }: &Signature, key: Option<PublicKey>) -> Result<(), Refused> {
        // A kid is the thumbprint of its key: no other key may stand for it.
        let key = key.filter(|key| key.kid() == text.kid).ok_or(jws::Refused::Key);
        let signed = format!("{}.{}", text.protected, self.encoded);
        let held = key.and_then(|key| jws::check(&key, alg, signed.as_bytes(), bytes));
        held.map_err(|why| Refused::Signature { kid: text.kid.clone(), why })
    }

    /// The signature of `kid` as a compact JWS: how readers that know nothing else make one, and how tests make sure that
    /// they can.
    #[cfg(test)]
    pub fn compact(&self, kid: &str) -> Option<String> {
        let signature = self.signatures().find(|signature| signature.kid == kid)?;
        Some(format!("{}.{}.{}", signature.protected, self.encoded, signature.signature))
    }
}

/// The document without white space.
impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Base64url needs no escapes.
        write!(f, r#"{{"payload":"{}","signatures":["#, self.encoded)?;
        for (index, Detached { protected, signature, .. }) in self.signatures().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, r#"{comma}{{"protected":"{protected}","signature":"{signature}"}}"#)?;
        }
        f.write_str("]}")
    }
}

/// The engine takes canonical texts only: no padding, no spare bits, no white space.
fn decode(part: &str) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Base64)
}

/// A `T` written as an object. By itself, serde would read an array too, as the members in order.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        deserializer.deserialize_map(Object(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<PhantomData<T>> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Object)
    }
}

#[cfg(test)]
mod tests;
