//! Our verification against Project Wycheproof: signatures at the edges of what is valid, and beyond.

use super::jwk::{NotAKey, PublicKey};
use super::jws::{self, Refused};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Test {
    tc_id: u32,
    comment: String,
    pk: String,
    msg: String,
    sig: String,
    result: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Valid,
    Invalid,
}

fn of_hex(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// Runs every test; how many are valid and invalid. None is left out, and none is decided otherwise here.
fn run(tests: &str, alg: &str, key: fn(&[u8]) -> Result<PublicKey, NotAKey>) -> [usize; 2] {
    let tests: Vec<Test> = serde_json::from_str(tests).expect("the tests");
    for test in &tests {
        let Test { tc_id, comment, .. } = test;
        let key = key(&of_hex(&test.pk)).expect("a key that we would register");
        let held = match jws::check(&key, alg, &of_hex(&test.msg), &of_hex(&test.sig)) {
            Ok(()) => Outcome::Valid,
            Err(Refused::Signature) => Outcome::Invalid,
            Err(other) => panic!("{tc_id}: {other}"),
        };
        assert_eq!(held, test.result, "{tc_id}: {comment}");
    }
    [Outcome::Valid, Outcome::Invalid].map(|outcome| tests.iter().filter(|test| test.result == outcome).count())
}

#[test]
fn ed25519_is_verified_as_wycheproof_wants_it() {
    let key = |pk: &[u8]| PublicKey::ed25519(pk.try_into().expect("32 bytes"));
    let tests = include_str!("../../tests/data/wycheproof/ed25519.json");
    assert_eq!(run(tests, "EdDSA", key), [88, 63]);
}

#[test]
fn es256_is_verified_as_wycheproof_wants_it() {
    let key = |pk: &[u8]| {
        assert_eq!((pk[0], pk.len()), (0x04, 65), "an uncompressed point");
        let (x, y) = (pk[1..33].try_into().expect("32 bytes"), pk[33..].try_into().expect("32 bytes"));
        Ok(PublicKey::P256 { x, y })
    };
    let tests = include_str!("../../tests/data/wycheproof/ecdsa_secp256r1_sha256_p1363.json");
    assert_eq!(run(tests, "ES256", key), [173, 89]);
}
