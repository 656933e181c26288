//! Compact JWS (RFC 7515), the few forms we accept and the two we write.
//!
//! Written: EdDSA over Ed25519, and ES256, with a header of exactly `alg`, `kid`, `typ`. Read: these, and `Ed25519`, the
//! newer name of the first. The key's own kind decides what verifies; the header's `alg` must only agree with it.

use super::jwk::{Kind, PublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    UnparsedPublicKey,
};
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

/// A key that signs.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
    kid: String,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

/// One signature of a payload, as General JSON (RFC 7515 §7.2.1) has it: both parts base64url.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    pub protected: String,
    pub signature: String,
    pub kid: String,
}

/// A private key that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 or P-256 private key in PKCS#8")]
pub struct NotPkcs8;

/// Exactly these: `crit`, `jwk`, `jku`, `x5c`, `b64` and every other is refused, and so is a key that occurs twice.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub alg: String,
    pub kid: String,
    pub typ: String,
}

impl Header {
    pub fn parse(json: &[u8]) -> Result<Header, Refused> {
        // An array would be read as the members in order.
        let json = json.first().is_some_and(|first| *first == b'{').then_some(json).ok_or(Refused::Header)?;
        serde_json::from_slice(json).map_err(|_| Refused::Header)
    }
}

impl SigningKey {
    /// A new Ed25519 key as PKCS#8.
    pub fn generate() -> Result<Vec<u8>, ring::error::Unspecified> {
        SigningKey::generate_kind(Kind::Ed25519)
    }

    /// A new key as PKCS#8.
    pub fn generate_kind(kind: Kind) -> Result<Vec<u8>, ring::error::Unspecified> {
        let random = SystemRandom::new();
        let pkcs8 = match kind {
            Kind::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random)?,
            Kind::P256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?,
        };
        Ok(pkcs8.as_ref().to_vec())
    }

    /// Reads a key of either kind.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<SigningKey, NotPkcs8> {
        // Keys made by other tools lack the public half.
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8) {
            return Ok(SigningKey::of_ed25519(pair));
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new());
        pair.map(SigningKey::of_p256).map_err(|_| NotPkcs8)
    }

    fn of_ed25519(pair: Ed25519KeyPair) -> SigningKey {
        let mut point = [0; 32];
        // An Ed25519 public key is 32 bytes.
        point.copy_from_slice(pair.public_key().as_ref());
        SigningKey::of(Pair::Ed25519(pair), PublicKey::Ed25519(point))
    }

    fn of_p256(pair: EcdsaKeyPair) -> SigningKey {
        let (mut x, mut y) = ([0; 32], [0; 32]);
        // A P-256 public key is 0x04 and both coordinates: the uncompressed form.
        x.copy_from_slice(&pair.public_key().as_ref()[1..33]);
        y.copy_from_slice(&pair.public_key().as_ref()[33..]);
        SigningKey::of(Pair::P256(pair), PublicKey::P256 { x, y })
    }

    fn of(pair: Pair, public: PublicKey) -> SigningKey {
        SigningKey { pair, kid: public.kid(), public }
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// `payload` as a compact JWS. `typ` is a text of ours: no character of it needs an escape.
    pub fn sign(&self, typ: &str, payload: &[u8]) -> String {
        self.sign_with_header(&self.header(typ), payload)
    }

    /// The signature that belongs beside `payload` in a General JWS. It is over the same bytes as that of `sign`.
    pub fn sign_detached(&self, typ: &str, payload: &[u8]) -> Detached {
        let header = self.header(typ);
        let signature = URL_SAFE_NO_PAD.encode(self.sign_bytes(signing_input(&header, payload).as_bytes()));
        Detached { protected: URL_SAFE_NO_PAD.encode(header), signature, kid: self.kid.clone() }
    }

    fn header(&self, typ: &str) -> String {
        format!(r#"{{"alg":"{}","kid":"{}","typ":"{typ}"}}"#, self.public.kind().alg(), self.kid)
    }

    fn sign_with_header(&self, header: &str, payload: &[u8]) -> String {
        let mut token = signing_input(header, payload);
        let signature = self.sign_bytes(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }

    /// 64 bytes: R and S of RFC 8032, or r and s of RFC 7518 §3.4.
    pub(super) fn sign_bytes(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                signature.expect("the kernel has randomness once it has had some: getrandom(2)").as_ref().to_vec()
            }
        }
    }
}

fn signing_input(header: &str, payload: &[u8]) -> String {
    let mut input = String::with_capacity((header.len() + payload.len()) * 4 / 3 + 96);
    URL_SAFE_NO_PAD.encode_string(header, &mut input);
    input.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut input);
    input
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
    let header = Header::parse(&header)?;
    if header.typ != typ {
        return Err(Refused::Type);
    }
    let key = key_of(&header.kid).ok_or(Refused::Key)?;
    check(&key, &header.alg, signed.as_bytes(), &signature)?;
    Ok(payload)
}

pub(super) fn check(key: &PublicKey, alg: &str, signed: &[u8], signature: &[u8]) -> Result<(), Refused> {
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

    fn b64(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn seeded(seed: &[u8; 32]) -> SigningKey {
        SigningKey::of_ed25519(Ed25519KeyPair::from_seed_unchecked(seed).expect("a seed"))
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
        use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
        let pkcs8 = SigningKey::generate_kind(Kind::P256).expect("a key");
        let key = SigningKey::from_pkcs8(&pkcs8).expect("a key");
        let read = |token: &str| verify(token, "t", |kid| (kid == key.kid()).then(|| key.public().clone()));
        let token = key.sign("t", b"{}");
        assert_eq!(read(&token).as_deref(), Ok(b"{}".as_slice()));
        let (signed, _) = token.rsplit_once('.').expect("three parts");
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &random).expect("a key");
        let der = der.sign(&random, signed.as_bytes()).expect("signed");
        assert_eq!(read(&format!("{signed}.{}", b64(der.as_ref()))), Err(Refused::Signature));
    }

    #[test]
    fn a_detached_signature_is_that_of_the_compact_form() {
        for kind in [Kind::Ed25519, Kind::P256] {
            let pkcs8 = SigningKey::generate_kind(kind).expect("a key");
            let key = SigningKey::from_pkcs8(&pkcs8).expect("a key");
            assert_eq!((key.public().kind(), key.public().kid()), (kind, key.kid().to_owned()));
            assert_eq!(PublicKey::from_jwk(&key.public().to_jwk()).as_ref(), Ok(key.public()));
            let Detached { protected, signature, kid } = key.sign_detached("t", b"{}");
            assert_eq!(kid, key.kid());
            let token = format!("{protected}.{}.{signature}", b64(b"{}"));
            assert!(verify(&token, "t", |_| Some(key.public().clone())).is_ok(), "{kind:?}");
        }
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
