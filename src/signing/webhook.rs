//! Standard Webhooks 1.0: a request that says who sent it and when, to be believed without looking anything up.
//!
//! Signed are `id . timestamp . body`, byte for byte; `v1` with the secret both sides know (HMAC-SHA256), `v1a` with a key
//! of ours whose public half is published (Ed25519). Both stand in one header, beside those of secrets and keys on their
//! way out.

use super::jwk::PublicKey;
use super::jws::{self, SigningKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac};

/// How far a request's timestamp may be from the reader's clock, either way.
pub const TOLERANCE_S: i64 = 300;
/// Signatures read of one header; a real one has four at most.
const SIGNATURES_MAX: usize = 16;
/// Bytes of a secret we make.
const SECRET: usize = 32;

/// What a sender and its receiver share.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// Why a request is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("webhook-id is not 8 to 64 letters, digits or _")]
    Id,
    #[error("webhook-timestamp is not a number of seconds")]
    Timestamp,
    #[error("webhook-timestamp is more than five minutes from now")]
    Time,
    #[error("no signature is by a known secret or key")]
    Signature,
}

/// A text that is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not whsec_ and 24 to 64 bytes of base64")]
pub struct NotASecret;

impl Secret {
    /// A new one; `Err` when the system has no randomness.
    pub fn generate() -> Result<Secret, ring::error::Unspecified> {
        let mut bytes = vec![0; SECRET];
        SystemRandom::new().fill(&mut bytes)?;
        Ok(Secret(bytes))
    }

    pub fn from_bytes(bytes: Vec<u8>) -> Result<Secret, NotASecret> {
        if (24..=64).contains(&bytes.len()) { Ok(Secret(bytes)) } else { Err(NotASecret) }
    }

    /// `whsec_` and base64.
    pub fn parse(text: &str) -> Result<Secret, NotASecret> {
        let bytes = text.strip_prefix("whsec_").and_then(|encoded| STANDARD.decode(encoded).ok()).ok_or(NotASecret)?;
        Secret::from_bytes(bytes)
    }

    /// As its owner is shown it, once.
    pub fn reveal(&self) -> String {
        format!("whsec_{}", STANDARD.encode(&self.0))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn sign(&self, signed: &[u8]) -> String {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), signed);
        format!("v1,{}", STANDARD.encode(tag))
    }

    fn verify(&self, signed: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), signed, signature).is_ok()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// `webhook-signature`: every secret's, then every key's.
pub fn signature(id: &str, at: i64, body: &[u8], secrets: &[Secret], keys: &[&SigningKey]) -> String {
    let signed = signed(id, at, body);
    let by_keys = keys.iter().map(|key| format!("v1a,{}", STANDARD.encode(key.sign_bytes(&signed))));
    let all: Vec<String> = secrets.iter().map(|secret| secret.sign(&signed)).chain(by_keys).collect();
    all.join(" ")
}

/// `content-digest` (RFC 9530).
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(digest::digest(&digest::SHA256, body)))
}

/// A public key as receivers configure it: `whpk_` and base64. `None` for one that is not Ed25519.
pub fn public_text(key: &PublicKey) -> Option<String> {
    match key {
        PublicKey::Ed25519(point) => Some(format!("whpk_{}", STANDARD.encode(point))),
        PublicKey::P256 { .. } => None,
    }
}

/// What a request says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    pub id: &'a str,
    pub timestamp: &'a str,
    pub signature: &'a str,
}

/// Whether any one signature is by one of these, and the time is about now (unix seconds). Signatures of versions that
/// are not known, and of secrets and keys that are not, are passed over.
pub fn verify(stamp: Stamp<'_>, body: &[u8], secrets: &[Secret], keys: &[PublicKey], now: i64) -> Result<(), Refused> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !(8..=64).contains(&stamp.id.len()) || !stamp.id.bytes().all(plain) {
        return Err(Refused::Id);
    }
    let digits = (1..=12).contains(&stamp.timestamp.len()) && stamp.timestamp.bytes().all(|b| b.is_ascii_digit());
    let at: i64 = digits.then(|| stamp.timestamp.parse().ok()).flatten().ok_or(Refused::Timestamp)?;
    if (now - at).abs() > TOLERANCE_S {
        return Err(Refused::Time);
    }
    let signed = signed(stamp.id, at, body);
    let holds = |text: &str| match text.split_once(',') {
        Some(("v1", encoded)) => {
            STANDARD.decode(encoded).is_ok_and(|bytes| secrets.iter().any(|secret| secret.verify(&signed, &bytes)))
        }
        Some(("v1a", encoded)) => STANDARD
            .decode(encoded)
            .is_ok_and(|bytes| keys.iter().any(|key| jws::check(key, "EdDSA", &signed, &bytes).is_ok())),
        _ => false,
    };
    if stamp.signature.split(' ').take(SIGNATURES_MAX).any(holds) { Ok(()) } else { Err(Refused::Signature) }
}

fn signed(id: &str, at: i64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(id.len() + 16 + body.len());
    bytes.extend_from_slice(id.as_bytes());
    bytes.push(b'.');
    bytes.extend_from_slice(at.to_string().as_bytes());
    bytes.push(b'.');
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_700_000_000;
    const BODY: &[u8] = br#"{"type":"ping","timestamp":"2023-11-14T22:13:20Z","data":{"n":1}}"#;
    const V1: &str = "v1,/DL9aVTl2FfMwroP/WZ/DJzv0+e/9tXVNwkVWtODmWk=";
    const V1A: &str = "v1a,/HgMpJPun/Q9lZMJTt71K1lxc1fpQWa3jMjagi2bWjcATfNmaNsc5n+3o3x9EL9Bw7NafSjc1ojXd8s3A22mBQ==";

    fn secret() -> Secret {
        Secret::from_bytes(vec![3; 32]).expect("32 bytes")
    }

    fn key() -> SigningKey {
        // PKCS#8 of an Ed25519 seed of 32 sevens (RFC 8410 §7).
        let mut pkcs8 = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        pkcs8.extend([7; 32]);
        SigningKey::from_pkcs8(&pkcs8).expect("a key")
    }

    fn check(id: &str, at: &str, signature: &str, body: &[u8], now: i64) -> Result<(), Refused> {
        let stamp = Stamp { id, timestamp: at, signature };
        verify(stamp, body, &[secret()], &[key().public().clone()], now)
    }

    #[test]
    fn signatures_are_the_published_ones() {
        let made = signature("msg_1", AT, BODY, &[secret()], &[&key()]);
        assert_eq!(made, format!("{V1} {V1A}"));
        assert_eq!(public_text(key().public()).as_deref(), Some("whpk_6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw="));
        assert_eq!(Secret::parse(&secret().reveal()), Ok(secret()));
        assert_eq!(content_digest(b"hello"), "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:");
    }

    #[test]
    fn one_good_signature_is_enough_and_nothing_else_is() {
        let id = "msg_00001";
        let both = signature(id, AT, BODY, &[secret()], &[&key()]);
        let (v1, v1a) = both.split_once(' ').expect("two");
        for good in [both.as_str(), v1, v1a, &format!("v2,abc v1,AAAA {v1a}")] {
            assert_eq!(check(id, "1700000000", good, BODY, AT), Ok(()), "{good}");
        }
        let cut = &v1[..v1.len() - 4];
        let many = "v1,AAAA ".repeat(50) + v1;
        for bad in ["", "v1,", "v1", cut, "v1a,", &many, &v1.replace("v1", "v2"), &v1.replace("v1", "v1a")] {
            assert_eq!(check(id, "1700000000", bad, BODY, AT), Err(Refused::Signature), "{bad}");
        }
    }

    #[test]
    fn every_changed_byte_and_every_other_time_is_refused() {
        let id = "msg_00001";
        let good = signature(id, AT, BODY, &[secret()], &[&key()]);
        for at in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[at] ^= 1;
            assert_eq!(check(id, "1700000000", &good, &body, AT), Err(Refused::Signature), "byte {at}");
        }
        assert_eq!(check("msg_00002", "1700000000", &good, BODY, AT), Err(Refused::Signature));
        assert_eq!(check(id, "1700000001", &good, BODY, AT), Err(Refused::Signature));
        for (now, outcome) in [(300, Ok(())), (-300, Ok(())), (301, Err(Refused::Time)), (-301, Err(Refused::Time))] {
            assert_eq!(check(id, "1700000000", &good, BODY, AT + now), outcome, "{now}");
        }
        for at in ["", "1e9", " 1700000000", "-1700000000", "17000000000000"] {
            assert_eq!(check(id, at, &good, BODY, AT), Err(Refused::Timestamp), "{at:?}");
        }
        for id in ["short", "has.dots.in.it", &"a".repeat(65)] {
            assert_eq!(check(id, "1700000000", &good, BODY, AT), Err(Refused::Id), "{id:?}");
        }
    }
}
