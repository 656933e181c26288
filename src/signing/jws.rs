//! Compact JWS (RFC 7515), the few forms we accept and the one we write.
//!
//! Written: EdDSA over Ed25519 with a header of exactly `alg`, `kid`, `typ`. Read: that, its newer name `Ed25519`, and
//! ES256. The key's own kind decides what verifies; the header's `alg` must only agree with it.

use super::jwk::PublicKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::Deserialize;

/// The longest token read.
pub const LENGTH_MAX: usize = 64 * 1024;

/// Why a token is not believed. For our logs and tests: a caller is told that the token is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the token is longer than any of ours")]
    TooLong,
    #[error("the token is not three parts of base64url without padding")]
    Form,
    #[error("the header is not an object of exactly alg, kid and typ")]
    Header,
    #[error("the token is of another type")]
    Type,
    #[error("the key is not known")]
    Key,
    #[error("the algorithm is not the key's")]
    Algorithm,
    #[error("the signature is not the key's")]
    Signature,
}

/// An Ed25519 key that signs.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
    kid: String,
}

/// A private key that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 private key in PKCS#8")]
pub struct NotPkcs8;

/// Exactly these: `crit`, `jwk`, `jku`, `x5c`, `b64` and every other is refused, and so is a key that occurs twice.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

impl SigningKey {
    /// A new key as PKCS#8.
    pub fn generate() -> Result<Vec<u8>, ring::error::Unspecified> {
        Ok(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())?.as_ref().to_vec())
    }

    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<SigningKey, NotPkcs8> {
        // Keys made by other tools lack the public half.
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map(SigningKey::of).map_err(|_| NotPkcs8)
    }

    fn of(pair: Ed25519KeyPair) -> SigningKey {
        let mut point = [0; 32];
        // An Ed25519 public key is 32 bytes.
        point.copy_from_slice(pair.public_key().as_ref());
        let public = PublicKey::Ed25519(point);
        SigningKey { kid: public.kid(), pair, public }
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// `payload` as a compact JWS. `typ` is a text of ours: no character of it needs an escape.
    pub fn sign(&self, typ: &str, payload: &[u8]) -> String {
        self.sign_with_header(&format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"{typ}"}}"#, self.kid), payload)
    }

    fn sign_with_header(&self, header: &str, payload: &[u8]) -> String {
        let mut token = String::with_capacity((header.len() + payload.len()) * 4 / 3 + 96);
        URL_SAFE_NO_PAD.encode_string(header, &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.kid)
    }
}

/// The payload of a token of this `typ`, signed by the key that `key_of` has for its `kid`.
pub fn verify(token: &str, typ: &str, key_of: impl FnOnce(&str) -> Option<PublicKey>) -> Result<Vec<u8>, Refused> {
    if token.len() > LENGTH_MAX {
        return Err(Refused::TooLong);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Form)?;
    let (header, payload) = signed.split_once('.').ok_or(Refused::Form)?;
    // The engine takes canonical texts only: no padding, no spare bits, no white space.
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Form);
    let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
    // An array would be read as the members in order.
    if header.first() != Some(&b'{') {
        return Err(Refused::Header);
    }
    let header: Header = serde_json::from_slice(&header).map_err(|_| Refused::Header)?;
    if header.typ != typ {
        return Err(Refused::Type);
    }
    let key = key_of(&header.kid).ok_or(Refused::Key)?;
    check(&key, &header.alg, signed.as_bytes(), &signature)?;
    Ok(payload)
}

fn check(key: &PublicKey, alg: &str, signed: &[u8], signature: &[u8]) -> Result<(), Refused> {
    let outcome = match (key, alg) {
        (PublicKey::Ed25519(point), "EdDSA" | "Ed25519") => {
            UnparsedPublicKey::new(&ED25519, point).verify(signed, signature)
        }
        (PublicKey::P256 { x, y }, "ES256") => {
            let point = [&[0x04], x.as_slice(), y].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
        }
        _ => return Err(Refused::Algorithm),
    };
    outcome.map_err(|_| Refused::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn b64(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn seeded(seed: &[u8; 32]) -> SigningKey {
        SigningKey::of(Ed25519KeyPair::from_seed_unchecked(seed).expect("a seed"))
    }

    /// RFC 8037 A.1: the seed; A.2: its public half; A.4 and A.5: the signature over a header of `alg` alone, which our
    /// reader refuses, so it is checked below it.
    #[test]
    fn ed25519_signs_as_rfc_8037_has_it() {
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").expect("base64url");
        let key = seeded(&seed.try_into().expect("32 bytes"));
        assert_eq!(key.public().to_jwk()["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let token = key.sign_with_header(r#"{"alg":"EdDSA"}"#, b"Example of Ed25519 signing");
        let vector = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
                      hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert_eq!(token, vector);
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        assert_eq!(check(key.public(), "EdDSA", signed.as_bytes(), &signature), Ok(()));
        assert_eq!(verify(&token, "x", |_| Some(key.public().clone())), Err(Refused::Header));
    }

    /// The project's own vector: the header in the order alg, kid, typ.
    #[test]
    fn a_compact_jws_has_the_bytes_other_libraries_agreed_on() {
        let key = seeded(&[7; 32]);
        assert_eq!(key.kid(), "--6IM5l0OosLj9yWskISYhUA3n_3CURQkmrYMSha_ck");
        let token = key.sign("settlement+jws", br#"{"net":"1234.50","seq":1,"v":1}"#);
        let signature = token.rsplit('.').next().expect("three parts");
        assert_eq!(signature, "ymveu0ee8cKBPT8r6YpPNdsA2bmdThzU6RvVw-bV7OCnshjidOOeEtvwkRdYpONeu8qLXnkLX830qURY9zNnBw");
        let payload = verify(&token, "settlement+jws", |kid| (kid == key.kid()).then(|| key.public().clone()));
        assert_eq!(payload.as_deref(), Ok(br#"{"net":"1234.50","seq":1,"v":1}"#.as_slice()));
    }

    #[test]
    fn es256_is_read_in_its_fixed_form_and_no_other() {
        use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let sign = |form| {
            let pair = EcdsaKeyPair::from_pkcs8(form, pkcs8.as_ref(), &random).expect("a key");
            let point: [u8; 65] = pair.public_key().as_ref().try_into().expect("an uncompressed point");
            let jwk = json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])});
            let key = PublicKey::from_jwk(&jwk).expect("a key");
            let header = format!(r#"{{"alg":"ES256","kid":"{}","typ":"t"}}"#, key.kid());
            let signed = format!("{}.{}", b64(header.as_bytes()), b64(b"{}"));
            let signature = pair.sign(&random, signed.as_bytes()).expect("signed");
            (format!("{signed}.{}", b64(signature.as_ref())), key)
        };
        let (token, key) = sign(&ECDSA_P256_SHA256_FIXED_SIGNING);
        assert_eq!(verify(&token, "t", |_| Some(key.clone())).as_deref(), Ok(b"{}".as_slice()));
        let (der, key) = sign(&ECDSA_P256_SHA256_ASN1_SIGNING);
        assert_eq!(verify(&der, "t", |_| Some(key)), Err(Refused::Signature));
    }

    #[test]
    fn what_is_not_exactly_ours_is_refused() {
        let key = seeded(&[7; 32]);
        let kid = key.kid().to_owned();
        let read = |token: &str| verify(token, "t", |asked| (asked == kid).then(|| key.public().clone()));
        let with = |header: String| key.sign_with_header(&header, b"{}");
        assert!(read(&with(format!(r#"{{"alg":"Ed25519","kid":"{kid}","typ":"t"}}"#))).is_ok());
        for (header, why) in [
            (format!(r#"{{"alg":"none","kid":"{kid}","typ":"t"}}"#), Refused::Algorithm),
            (format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"t"}}"#), Refused::Algorithm),
            (format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"t"}}"#), Refused::Algorithm),
            (format!(r#"{{"alg":"eddsa","kid":"{kid}","typ":"t"}}"#), Refused::Algorithm),
            (format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"u"}}"#), Refused::Type),
            (format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#), Refused::Header),
            (r#"{"alg":"EdDSA","typ":"t"}"#.to_owned(), Refused::Header),
            (r#"{"alg":"EdDSA","kid":"other","typ":"t"}"#.to_owned(), Refused::Key),
            (format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"t","crit":[]}}"#), Refused::Header),
            (format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"t","jwk":{}}}"#, key.public().to_jwk()), Refused::Header),
            (format!(r#"{{"alg":"none","alg":"EdDSA","kid":"{kid}","typ":"t"}}"#), Refused::Header),
            (format!(r#"["EdDSA","{kid}","t"]"#), Refused::Header),
            ("{".to_owned(), Refused::Header),
        ] {
            assert_eq!(read(&with(header.clone())), Err(why), "{header}");
        }
        let token = key.sign("t", b"{}");
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        let flipped = format!("{signed}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
        for (bad, why) in [
            (flipped, Refused::Signature),
            (format!("{signed}."), Refused::Signature),
            (format!("{token}="), Refused::Form),
            (format!(" {token}"), Refused::Form),
            (format!("{token}.e30"), Refused::Form),
            (signed.to_owned(), Refused::Form),
            ("..".to_owned(), Refused::Header),
            (".".to_owned(), Refused::Form),
            (String::new(), Refused::Form),
            ("é.é.é".to_owned(), Refused::Form),
            // 64 bytes leave four spare bits in their last character: only zero bits are canonical.
            (format!("{signed}.{}", noncanonical(signature)), Refused::Form),
            ("A".repeat(LENGTH_MAX + 1), Refused::TooLong),
        ] {
            assert_eq!(read(&bad), Err(why), "{bad}");
        }
    }

    fn noncanonical(signature: &str) -> String {
        const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let (rest, last) = signature.split_at(signature.len() - 1);
        let at = ALPHABET.find(last).expect("base64url");
        format!("{rest}{}", &ALPHABET[at + 1..at + 2])
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(token in "[ -~é.]{0,200}") {
            proptest::prop_assert!(verify(&token, "t", |_| None).is_err());
        }
    }
}
