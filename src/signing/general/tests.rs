//! What a document may look like, whose signatures must hold, and the example of RFC 7515 A.6.

use super::*;
use crate::signing::jwk::Kind;
use crate::signing::jws::SigningKey;
use serde_json::{Value, json};

const PAYLOAD: &[u8] = br#"{"net":"1234.50","seq":1,"v":1}"#;

fn key(kind: Kind) -> SigningKey {
    SigningKey::from_pkcs8(&SigningKey::generate_kind(kind).expect("a key")).expect("a key")
}

fn by(keys: &[SigningKey]) -> impl Fn(&str) -> Option<PublicKey> {
    |kid| keys.iter().find(|key| key.kid() == kid).map(|key| key.public().clone())
}

fn signed(keys: &[SigningKey]) -> Document {
    let signatures: Vec<Detached> = keys.iter().map(|key| key.sign_detached(TYP, PAYLOAD)).collect();
    Document::new(PAYLOAD.to_vec(), &signatures).expect("a document")
}

fn as_value(document: &Document) -> Value {
    serde_json::from_str(&document.to_string()).expect("JSON")
}

fn parse(value: &Value) -> Result<Document, Refused> {
    Document::parse(value.to_string().as_bytes())
}

fn b64(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

#[test]
fn every_signature_holds_in_the_order_they_were_added() {
    let keys = [key(Kind::Ed25519), key(Kind::P256), key(Kind::Ed25519)];
    let mut document = signed(&keys[..2]);
    let Detached { protected, signature, .. } = keys[2].sign_detached(TYP, document.payload());
    document.add(&protected, &signature).expect("another signature");
    let read = Document::parse(document.to_string().as_bytes()).expect("a document");
    assert_eq!((read.payload(), &read), (PAYLOAD, &document));
    assert!(read.kids().eq(keys.iter().map(SigningKey::kid)));
    let held = read.verify_all(by(&keys)).expect("they hold");
    let algs = keys.iter().map(SigningKey::kid).zip(["EdDSA", "ES256", "EdDSA"]);
    assert!(held.iter().map(|(kid, alg)| (kid.as_str(), alg.as_str())).eq(algs));
    // White space is the writer's own.
    let spaced = serde_json::to_string_pretty(&as_value(&document)).expect("JSON") + "\n";
    assert_eq!(Document::parse(spaced.as_bytes()), Ok(document));
}

#[test]
fn each_signature_is_a_compact_jws_of_its_own() {
    let keys = [key(Kind::Ed25519), key(Kind::P256)];
    let document = signed(&keys);
    for key in &keys {
        let token = document.compact(key.kid()).expect("its signature");
        assert_eq!(jws::verify(&token, TYP, by(&keys)).as_deref(), Ok(PAYLOAD));
    }
    // EdDSA has one signature of a text: the bytes are those that other libraries agreed on.
    assert_eq!(document.compact(keys[0].kid()), Some(keys[0].sign(TYP, PAYLOAD)));
    assert_eq!(document.compact("nobody"), None);
}

#[test]
fn one_signature_that_does_not_hold_refuses_all_and_is_named() {
    let keys = [key(Kind::Ed25519), key(Kind::P256)];
    let document = signed(&keys);
    let refused = |document: &Document, key: &SigningKey, why| {
        let kid = key.kid().to_owned();
        assert_eq!(document.verify_all(by(&keys)), Err(Refused::Signature { kid, why }));
    };
    for (at, key) in keys.iter().enumerate() {
        let mut forged = document.clone();
        forged.signatures[at].bytes[40] ^= 1;
        refused(&forged, key, jws::Refused::Signature);
        let mut other = document.clone();
        other.signatures[at].alg = "none".to_owned();
        refused(&other, key, jws::Refused::Algorithm);
    }
    let mut moved = document.clone();
    moved.encoded = b64(r#"{"net":"1234.51","seq":1,"v":1}"#);
    refused(&moved, &keys[0], jws::Refused::Signature);
    let stranger = [key(Kind::Ed25519)];
    let kid = keys[0].kid().to_owned();
    let unknown = Err(Refused::Signature { kid, why: jws::Refused::Key });
    assert_eq!(document.verify_all(by(&stranger)), unknown);
    // A key does not become another's by standing under its kid.
    assert_eq!(document.verify_all(|_| Some(stranger[0].public().clone())), unknown);
}

#[test]
fn a_document_has_these_members_and_no_other() {
    let keys = [key(Kind::Ed25519)];
    let whole = as_value(&signed(&keys));
    let one = &whole["signatures"][0];
    let (payload, protected) = (&whole["payload"], &one["protected"]);
    let text = whole.to_string();
    let twice = |member: &str| text.replacen(member, &format!(r#"{member}"x",{member}"#), 1);
    for bad in [
        twice(r#""payload":"#),
        twice(r#""protected":"#),
        twice(r#""signature":"#),
        text.replacen(r#""signatures":"#, r#""signatures":[],"signatures":"#, 1),
        json!({"payload": payload, "signatures": [one], "header": {}}).to_string(),
        json!({"payload": payload, "signatures": [{
            "protected": protected, "signature": one["signature"], "header": {"kid": "x"},
        }]})
        .to_string(),
        json!({"payload": payload, "signatures": [{"protected": protected}]}).to_string(),
        json!({"payload": payload, "signatures": [[protected, one["signature"]]]}).to_string(),
        json!({"payload": payload, "signatures": one}).to_string(),
        json!({"payload": payload, "protected": protected, "signature": one["signature"]}).to_string(),
        json!({"signatures": [one]}).to_string(),
        json!([payload, [one]]).to_string(),
        json!({"payload": 1, "signatures": [one]}).to_string(),
        format!("{text}{text}"),
        "{".to_owned(),
        String::new(),
    ] {
        assert_eq!(Document::parse(bad.as_bytes()), Err(Refused::Form), "{bad}");
    }
    let count = |signatures: &[&Value]| parse(&json!({"payload": payload, "signatures": signatures}));
    assert_eq!(count(&[]), Err(Refused::Count));
    assert_eq!(count(&[one, one]), Err(Refused::Twice(keys[0].kid().to_owned())));
    let many: Vec<SigningKey> = (0..=SIGNATURES_MAX).map(|_| key(Kind::Ed25519)).collect();
    let mut full = signed(&many[..SIGNATURES_MAX]);
    assert!(Document::parse(full.to_string().as_bytes()).expect("16").verify_all(by(&many)).is_ok());
    let more = many[SIGNATURES_MAX].sign_detached(TYP, PAYLOAD);
    assert_eq!(full.add(&more.protected, &more.signature), Err(Refused::Count));
    assert!(
        full.signatures()
            .eq(&many[..SIGNATURES_MAX].iter().map(|key| key.sign_detached(TYP, PAYLOAD)).collect::<Vec<_>>())
    );
}

#[test]
fn what_is_written_can_be_read_and_nothing_longer_is() {
    assert_eq!(Document::parse(&vec![b' '; LENGTH_MAX + 1]), Err(Refused::TooLong));
    let payload = |len: usize| format!("\"{}\"", "a".repeat(len - 2)).into_bytes();
    // Three bytes are four characters.
    let longest = payload(PAYLOAD_MAX / 4 * 3);
    assert_eq!(Document::new(payload(longest.len() + 1), &[]), Err(Refused::TooLong));
    let header = |index: usize| {
        let kid = "k".repeat(PART_MAX / 4 * 3 - r#"{"alg":"EdDSA","kid":"","typ":"settlement+jws"}"#.len() - 2);
        b64(&format!(r#"{{"alg":"EdDSA","kid":"{kid}{index:02}","typ":"settlement+jws"}}"#))
    };
    let longest_part = "A".repeat(PART_MAX);
    let part = |index| Detached { protected: header(index), signature: longest_part.clone(), kid: String::new() };
    let signatures: Vec<Detached> = (0..SIGNATURES_MAX).map(part).collect();
    let mut document = Document::new(longest, &signatures).expect("the longest there is");
    assert!(document.to_string().len() <= LENGTH_MAX);
    assert!(Document::parse(document.to_string().as_bytes()).as_ref() == Ok(&document));
    assert_eq!(document.add(&header(16), &"A".repeat(PART_MAX + 1)), Err(Refused::TooLong));
    assert_eq!(document.add(&"A".repeat(PART_MAX + 1), ""), Err(Refused::TooLong));
}

#[test]
fn a_payload_has_one_spelling() {
    let keys = [key(Kind::Ed25519)];
    let whole = as_value(&signed(&keys));
    let with = |payload: &str| parse(&json!({"payload": payload, "signatures": whole["signatures"]}));
    for bad in [
        r#"{"net":"1234.50","v":1,"seq":1}"#,
        r#"{"net":"1234.50","seq":1,"v":1} "#,
        r#"{"net":"1234.50","net":"1234.50","seq":1,"v":1}"#,
        r#"{"net":"1234.\u0035","seq":1}"#,
        r#"{"net":1.5}"#,
        r#"{"seq":1e0}"#,
        r#"{"é":1}"#,
        "nothing",
        "",
    ] {
        assert_eq!(with(&b64(bad)), Err(Refused::Payload), "{bad}");
        assert_eq!(Document::new(bad.into(), &[]), Err(Refused::Payload), "{bad}");
    }
    let good = b64(r#"{"seq":1}"#);
    assert!(with(&good).is_ok());
    for bad in [format!("{good}="), format!(" {good}"), good.replacen('e', "+", 1), "A".to_owned(), "e31".to_owned()] {
        assert_eq!(with(&bad), Err(Refused::Base64), "{bad}");
    }
    let one = &whole["signatures"][0];
    let (protected, signature) = (one["protected"].as_str().expect("a text"), one["signature"].as_str().expect("one"));
    for (protected, signature) in [(format!("{protected}="), signature.to_owned()), (protected.to_owned(), "=".into())]
    {
        let signatures = [json!({"protected": protected, "signature": signature})];
        assert_eq!(parse(&json!({"payload": good, "signatures": signatures})), Err(Refused::Base64));
    }
}

#[test]
fn a_header_says_alg_kid_and_typ_and_no_more() {
    let mut document = signed(&[key(Kind::Ed25519)]);
    for header in [
        r#"{"alg":"EdDSA","kid":"k"}"#,
        r#"{"alg":"EdDSA","kid":"k","typ":"settlement+jws","crit":["b64"],"b64":false}"#,
        r#"{"alg":"EdDSA","alg":"EdDSA","kid":"k","typ":"settlement+jws"}"#,
        r#"["EdDSA","k","settlement+jws"]"#,
        "{",
    ] {
        assert_eq!(document.add(&b64(header), ""), Err(Refused::Header), "{header}");
    }
    let other = document.add(&b64(r#"{"alg":"EdDSA","kid":"k","typ":"quote+jws"}"#), "");
    assert_eq!(other, Err(Refused::Signature { kid: "k".to_owned(), why: jws::Refused::Type }));
}

/// Written by Python's `joserfc`: with the key of 32 sevens, whose signature is ours byte for byte, and a P-256 key.
#[test]
fn a_document_of_another_library_holds() {
    let protected = [
        "eyJhbGciOiJFZERTQSIsImtpZCI6Ii0tNklNNWwwT29zTGo5eVdza0lTWWhVQTNuXzNDVVJRa21yWU1TaGFfY2siLCJ0eXAiOiJzZXR0bGVtZW50\
         K2p3cyJ9",
        "eyJhbGciOiJFUzI1NiIsImtpZCI6InduOC1heEZLbk9GRW5uYVlKQmdrR1lVeURqbTMyOEktanAtajdhZWdXLWsiLCJ0eXAiOiJzZXR0bGVtZW50\
         K2p3cyJ9",
    ];
    let signature = [
        "ymveu0ee8cKBPT8r6YpPNdsA2bmdThzU6RvVw-bV7OCnshjidOOeEtvwkRdYpONeu8qLXnkLX830qURY9zNnBw",
        "j-xCtRPG9QhmLrhmMZrLs3sp1hmJHrnrjQzFgRYbWdKxQkS7YFDL0ThRx2Xx7XUjtU6Z8PoAS3RTcXP5n3814A",
    ];
    let jwks = [
        json!({"kty": "OKP", "crv": "Ed25519", "x": "6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw"}),
        json!({
            "kty": "EC", "crv": "P-256",
            "x": "cTX6T9k6Cdzpi79oG0v89Q58DWNU5ir7C_8qNClheGU",
            "y": "7UwfAt25Aj7lalV-UV1qncZsEfIglg3llDNN9Yh3ZyQ",
        }),
    ];
    let written = format!(
        r#"{{"payload":"{}","signatures":[{{"signature":"{}","protected":"{}"}},{{"signature":"{}","protected":"{}"}}]}}"#,
        URL_SAFE_NO_PAD.encode(PAYLOAD),
        signature[0],
        protected[0],
        signature[1],
        protected[1],
    );
    let document = Document::parse(written.as_bytes()).expect("a document");
    let keys = jwks.map(|jwk| PublicKey::from_jwk(&jwk).expect("a key"));
    let held = document.verify_all(|kid| keys.iter().find(|key| key.kid() == kid).cloned());
    assert_eq!(held.map(|held| held.len()), Ok(2));
    let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let sevens = SigningKey::from_pkcs8(&[head.as_slice(), &[7; 32]].concat()).expect("a key");
    let ours = sevens.sign_detached(TYP, PAYLOAD);
    assert_eq!((ours.protected.as_str(), ours.signature.as_str()), (protected[0], signature[0]));
}

/// RFC 7515 A.6: RS256 and ES256 with unprotected headers, which our reader refuses. The ES256 signature is checked
/// below it.
#[test]
fn the_example_of_rfc_7515_is_refused_for_its_form_and_its_es256_signature_holds() {
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let rs256 = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJd\
                 bF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN93\
                 83LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhW\
                 kWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let es256 = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let [first, second] = ["eyJhbGciOiJSUzI1NiJ9", "eyJhbGciOiJFUzI1NiJ9"];
    let example = json!({"payload": payload, "signatures": [
        {"protected": first, "header": {"kid": "2010-12-29"}, "signature": rs256},
        {"protected": second, "header": {"kid": "e9bc097a-ce51-4036-9562-d2ade882db0d"}, "signature": es256},
    ]});
    assert_eq!(parse(&example), Err(Refused::Form));
    let bare = json!({"payload": payload, "signatures": [{"protected": second, "signature": es256}]});
    assert_eq!(parse(&bare), Err(Refused::Payload));
    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let key = PublicKey::from_jwk(&jwk).expect("a key");
    let signature = decode(es256).expect("base64url");
    assert_eq!(jws::check(&key, "ES256", format!("{second}.{payload}").as_bytes(), &signature), Ok(()));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in r#"[\[{]?("payload"|"signatures"|"protected"|[ -~é])[:,\[{}\]"a-zA-Z0-9]{0,80}"#) {
        proptest::prop_assert!(Document::parse(text.as_bytes()).is_err());
    }
}
