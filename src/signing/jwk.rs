//! Public keys as JWKs (RFC 7517, RFC 8037), named by their RFC 7638 thumbprint.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::{Value, json};

/// What a key can sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ed25519,
    P256,
}

impl Kind {
    /// The `alg` that is written for it; Ed25519 is read as `Ed25519` too.
    pub fn alg(self) -> &'static str {
        match self {
            Kind::Ed25519 => "EdDSA",
            Kind::P256 => "ES256",
        }
    }
}

/// A public key that may verify our kind of signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    Ed25519([u8; 32]),
    /// Both coordinates; whether they are on the curve is found when a signature is verified.
    P256 {
        x: [u8; 32],
        y: [u8; 32],
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    #[error("is not a JWK with the members of a public key alone")]
    Form,
    #[error("is not of a kind known here: Ed25519, or EC with P-256")]
    Kind,
    #[error("has a coordinate that is not 32 bytes in base64url without padding")]
    Coordinate,
    #[error("is a point that anybody can sign for")]
    Weak,
    #[error("has a kid that is not its RFC 7638 thumbprint")]
    Kid,
}

/// Members we know; a private member, `d` above all, is refused like any other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    kty: String,
    crv: String,
    x: String,
    y: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
}

impl PublicKey {
    /// Reads a JWK, refusing every key that could not be trusted to name one signer.
    pub fn from_jwk(jwk: &Value) -> Result<PublicKey, NotAKey> {
        // An array would be read as the members in order.
        let members = Members::deserialize(jwk.is_object().then_some(jwk).ok_or(NotAKey::Form)?);
        let members = members.map_err(|_| NotAKey::Form)?;
        let (key, algorithms) = match (members.kty.as_str(), members.crv.as_str(), &members.y) {
            ("OKP", "Ed25519", None) => (PublicKey::Ed25519(coordinate(&members.x)?), ["EdDSA", "Ed25519"].as_slice()),
            ("EC", "P-256", Some(y)) => {
                (PublicKey::P256 { x: coordinate(&members.x)?, y: coordinate(y)? }, ["ES256"].as_slice())
            }
            _ => return Err(NotAKey::Kind),
        };
        let signs = members.r#use.as_deref().unwrap_or("sig") == "sig";
        if !signs || members.alg.is_some_and(|alg| !algorithms.contains(&alg.as_str())) {
            return Err(NotAKey::Kind);
        }
        if let PublicKey::Ed25519(point) = &key {
            PublicKey::ed25519(*point)?;
        }
        if members.kid.is_some_and(|kid| kid != key.kid()) {
            return Err(NotAKey::Kid);
        }
        Ok(key)
    }

    /// The key of an encoded point; `Err(Weak)` for one that anybody can sign for.
    pub fn ed25519(point: [u8; 32]) -> Result<PublicKey, NotAKey> {
        if is_weak(&point) { Err(NotAKey::Weak) } else { Ok(PublicKey::Ed25519(point)) }
    }

    pub fn kind(&self) -> Kind {
        match self {
            PublicKey::Ed25519(_) => Kind::Ed25519,
            PublicKey::P256 { .. } => Kind::P256,
        }
    }

    /// The key as a JWK with its `kid`, `alg` and `use`.
    pub fn to_jwk(&self) -> Value {
        let alg = self.kind().alg();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            PublicKey::Ed25519(x) => json!({
                "kty": "OKP", "crv": "Ed25519", "x": text(x), "kid": self.kid(), "alg": alg, "use": "sig",
            }),
            PublicKey::P256 { x, y } => json!({
                "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y), "kid": self.kid(), "alg": alg, "use": "sig",
            }),
        }
    }

    /// RFC 7638 thumbprint, base64url.
    pub fn kid(&self) -> String {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        // The required members in their order, without spaces: RFC 7638 §3, RFC 8037 §2.
        let members = match self {
            PublicKey::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, text(x)),
            PublicKey::P256 { x, y } => format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, text(x), text(y)),
        };
        thumbprint(members.as_bytes())
    }
}

fn thumbprint(members: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, members))
}

fn coordinate(text: &str) -> Result<[u8; 32], NotAKey> {
    URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(NotAKey::Coordinate)
}

/// Points of small order, and points written in more than one way: a signature under these proves nothing, and ring
/// does not look for them.
fn is_weak(point: &[u8; 32]) -> bool {
    // Little-endian y without the sign bit: p = 2^255 - 19.
    const P: [u8; 32] = {
        let mut p = [0xff; 32];
        p[0] = 0xed;
        p[31] = 0x7f;
        p
    };
    const ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
            0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
            0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let mut y = *point;
    y[31] &= 0x7f;
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = P;
    minus_one[0] -= 1;
    let beyond = y.iter().rev().cmp(P.iter().rev()).is_ge();
    beyond || y == [0; 32] || y == one || y == minus_one || ORDER_8.contains(&y)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 A.2 and A.3.
    #[test]
    fn an_ed25519_key_has_the_thumbprint_of_rfc_8037() {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let key = PublicKey::from_jwk(&jwk).expect("a key");
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(PublicKey::from_jwk(&key.to_jwk()), Ok(key));
    }

    /// RFC 7638 §3.1 has an RSA key, which we do not take: the hash over its members is ours.
    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCi\
                 FV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnY\
                 b9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0\
                 Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let members = format!(r#"{{"e":"AQAB","kty":"RSA","n":"{n}"}}"#);
        assert_eq!(thumbprint(members.as_bytes()), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let jwk = json!({"kty": "RSA", "n": n, "e": "AQAB"});
        assert!(PublicKey::from_jwk(&jwk).is_err());
    }

    #[test]
    fn keys_that_prove_nothing_are_refused() {
        let okp = |x: &[u8; 32]| json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(x)});
        let point = |first: u8, middle: u8, last: u8| {
            let mut point = [middle; 32];
            point[0] = first;
            point[31] = last;
            point
        };
        for weak in [
            point(0, 0, 0),
            point(0, 0, 0x80),
            point(1, 0, 0),
            point(1, 0, 0x80),
            point(0xec, 0xff, 0x7f),
            point(0xec, 0xff, 0xff),
            point(0xed, 0xff, 0x7f),
            point(0xee, 0xff, 0xff),
            point(0xff, 0xff, 0xff),
        ] {
            assert_eq!(PublicKey::from_jwk(&okp(&weak)), Err(NotAKey::Weak), "{weak:02x?}");
        }
        let good = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        for (jwk, why) in [
            (json!({"kty": "OKP", "crv": "Ed25519", "x": good, "d": good}), NotAKey::Form),
            (json!(["OKP", "Ed25519", good]), NotAKey::Form),
            (json!({"kty": "oct", "crv": "", "x": good}), NotAKey::Kind),
            (json!({"kty": "OKP", "crv": "X25519", "x": good}), NotAKey::Kind),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": good, "alg": "ES256"}), NotAKey::Kind),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": good, "use": "enc"}), NotAKey::Kind),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": format!("{good}=")}), NotAKey::Coordinate),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}), NotAKey::Coordinate),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": good, "kid": "mine"}), NotAKey::Kid),
            (json!({"kty": "EC", "crv": "P-256", "x": good}), NotAKey::Kind),
        ] {
            assert_eq!(PublicKey::from_jwk(&jwk), Err(why), "{jwk}");
        }
    }
}
