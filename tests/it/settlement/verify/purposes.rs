//! A key signs what it is for, and nobody signs a statement but the alliance and whose it is.

use super::forged::{joined, marked};
use super::signed::{Alliance, jwks, key, payload, tells};
use super::{Months, NOTHING, checkpoint, verify, wrong};
use hanse::signing::general::{Document, TYP};
use hanse::signing::jwk::Kind;
use hanse::signing::jws::SigningKey;
use hanse::signing::keyring::Purpose;
use hanse::signing::note::{Checkpoint, Note};
use hanse::signing::rotation;
use serde_json::{Value, json};

/// The private half of the alliance's key of this purpose.
fn private(months: &Months, purpose: Purpose) -> SigningKey {
    let set: Value = serde_json::from_slice(&months.jwks).expect("JSON");
    let mut keys = set["keys"].as_array().expect("keys").iter();
    let kid = keys.find(|key| key["purpose"] == purpose.text()).expect("each says its purpose")["kid"].as_str();
    let file = months.house.folder().join("keys").join(format!("{}.p8", kid.expect("a kid")));
    SigningKey::from_pkcs8(&std::fs::read(file).expect("its file")).expect("a key")
}

/// The set as it was before keys said what they sign.
fn unsaid(set: &[u8]) -> Vec<u8> {
    let mut set: Value = serde_json::from_slice(set).expect("JSON");
    for key in set["keys"].as_array_mut().expect("keys") {
        key.as_object_mut().expect("a JWK").remove("purpose");
    }
    set.to_string().into_bytes()
}

fn said(key: &SigningKey, purpose: &str) -> Value {
    let mut jwk = key.public().to_jwk();
    jwk["purpose"] = json!(purpose);
    jwk
}

fn set(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

fn made_up(by: &SigningKey) -> Vec<u8> {
    let checkpoint = Checkpoint { origin: "small.example".into(), size: 5, root: [7; 32] };
    checkpoint.sign(by).expect("signed").to_string().into_bytes()
}

#[actix_web::test]
async fn a_checkpoint_is_signed_by_a_key_for_checkpoints_and_a_statement_by_those_for_statements() {
    let months = Months::new("purposes", "").await;
    let (real, old) = (months.jwks.as_slice(), unsaid(&months.jwks));
    let keys = [Purpose::Quote, Purpose::Statement, Purpose::Checkpoint].map(|purpose| private(&months, purpose));
    let [quote, statement, log] = &keys;
    let is_for = |key: &SigningKey, said: &str, file: &str, wanted: &str| {
        format!("the key {} is of the purpose \"{said}\" ({file}), not \"{wanted}\"", key.kid())
    };
    for (by, purpose) in [(quote, "quote"), (statement, "statement")] {
        let note = made_up(by);
        let why = format!("checkpoint: {}", is_for(by, purpose, "real", "checkpoint"));
        assert_eq!(wrong(&verify(&[("c", &note), ("real", real)])), [why.as_str()]);
        // Whatever others say of the key.
        let alone = jwks(&[by]);
        let other = set(&[said(by, "checkpoint"), key(Kind::P256).public().to_jwk()]);
        for more in [&old, &alone, &other] {
            assert_eq!(wrong(&verify(&[("c", &note), ("real", real), ("more", more)])), [why.as_str()]);
        }
    }
    assert_eq!(wrong(&verify(&[("c", &made_up(log)), ("real", real)])), NOTHING);

    let own = months.files(0, "bb").statement;
    let document = Document::parse(&own).expect("a document");
    for (by, purpose) in [(quote, "quote"), (log, "checkpoint")] {
        let mut signatures: Vec<_> = document.signatures().cloned().collect();
        signatures[0] = by.sign_detached(TYP, document.payload());
        let forged = Document::new(document.payload().to_vec(), &signatures).expect("a document").to_string();
        let first = "signatures: no file has the keys of its first two signatures: ";
        let why = first.to_owned() + &is_for(by, purpose, "real", "statement");
        assert_eq!(wrong(&verify(&[("s", forged.as_bytes()), ("real", real)])), [why]);
        assert_ne!(wrong(&verify(&[("s", forged.as_bytes()), ("real", real), ("old", &old)])), NOTHING);
    }
    // What was fetched before keys said so is as good as it was.
    let note = checkpoint(&months.house);
    assert_eq!(wrong(&verify(&[("s", &own), ("c", &note), ("old", &old)])), NOTHING);
    assert_eq!(wrong(&verify(&[("s", &own), ("c", &note), ("old", &old), ("real", real)])), NOTHING);
}

#[test]
fn a_key_hands_over_for_its_own_purpose_alone() {
    let keys = [key(Kind::Ed25519), key(Kind::Ed25519), key(Kind::Ed25519)];
    let [log, next, quote] = &keys;
    let at = "2026-11-25T00:00:00Z".parse().expect("an instant");
    let record = |purpose, old: &SigningKey, new: &SigningKey| {
        let record = rotation::sign("small", purpose, at, old, new).expect("signed").to_string();
        format!(r#"{{"items":[{record}]}}"#).into_bytes()
    };
    let p256 = said(&key(Kind::P256), "statement_p256");
    let all = set(&[said(log, "checkpoint"), said(next, "checkpoint"), said(quote, "quote"), p256.clone()]);
    let check = |record: &[u8]| wrong(&verify(&[("r", record), ("k", &all)]));
    assert_eq!(check(&record(Purpose::Checkpoint, log, next)), NOTHING);
    let not = |key: &SigningKey, said: &str, wanted: &str| {
        let kid = key.kid();
        [format!("rotations: record 1 of 1: the key {kid} is of the purpose \"{said}\" (k), not \"{wanted}\"")]
    };
    assert_eq!(check(&record(Purpose::Checkpoint, log, quote)), not(quote, "quote", "checkpoint"));
    assert_eq!(check(&record(Purpose::Statement, log, next)), not(log, "checkpoint", "statement"));
    // A set of before has the next key by the record, for what the record is of.
    let before = set(&[said(log, "checkpoint"), p256]);
    let of = |purpose| {
        let record = record(purpose, log, next);
        wrong(&verify(&[("c", &made_up(next)), ("r", &record), ("before", &before), ("next", &jwks(&[next]))]))
    };
    assert_eq!(of(Purpose::Checkpoint), NOTHING);
    tells(&of(Purpose::Statement), "checkpoint: its key is in next, and not in before, ");
}

#[test]
fn a_purpose_is_one_of_ours_and_of_the_kind_of_the_key() {
    let one = key(Kind::Ed25519);
    let read = |purpose: Value| {
        let mut jwk = one.public().to_jwk();
        jwk["purpose"] = purpose;
        let report = verify(&[("k", &set(&[jwk]))]);
        (wrong(&report).pop().unwrap_or_default(), report.count(hanse::service::verify::Mark::Unchecked))
    };
    assert_eq!(read(json!("quote")), (String::new(), 0));
    assert_eq!(read(json!("of a later version")), (String::new(), 1));
    assert_eq!(read(json!("statement_p256")).0, "keys: key 1 of 1 is not of the kind for statement_p256");
    assert_eq!(read(json!(["quote"])).0, "keys: key 1 of 1 is not a JWK with the members of a public key alone");
}

#[actix_web::test]
async fn after_the_alliance_only_the_participant_signs() {
    let months = Months::new("thirds", "").await;
    let (real, old) = (months.jwks.as_slice(), unsaid(&months.jwks));
    let own = months.files(0, "bb").statement;
    let document = Document::parse(&own).expect("a document");
    let with = |by: &SigningKey| {
        let mut signatures: Vec<_> = document.signatures().cloned().collect();
        signatures.push(by.sign_detached(TYP, document.payload()));
        Document::new(document.payload().to_vec(), &signatures).expect("a document").to_string().into_bytes()
    };
    let by = key(Kind::Ed25519);
    let (signed, mine, nests, anybodys) = (with(&by), marked(&by, "bb"), marked(&by, "nest"), jwks(&[&by]));
    for keys in [&mine, &anybodys, &joined(&mine, &nests)] {
        assert_eq!(wrong(&verify(&[("s", &signed), ("real", real), ("k", keys)])), NOTHING);
    }
    let says =
        |kid: &str, place: &str, why: &str| format!("signatures: the key {kid} of signature 3 ({place}) is {why}");
    let anothers = "another's, and the statement is bb's";
    let told = wrong(&verify(&[("s", &signed), ("real", real), ("nest", &nests)]));
    assert_eq!(told, [says(by.kid(), "nest's, nest", anothers)]);
    let told = wrong(&verify(&[("s", &signed), ("real", real), ("nest", &nests), ("k", &anybodys)]));
    assert_eq!(told, [says(by.kid(), "k", anothers)]);
    // Nobody answers the operator, least of all itself.
    let alliances = "the alliance's own: if it is a partner's, mark it, \"partner\": slug";
    for (file, keys) in [("real", real), ("old", &old)] {
        for purpose in [Purpose::Quote, Purpose::Checkpoint] {
            let by = private(&months, purpose);
            let claimed = marked(&by, "bb");
            for more in [vec![], vec![("bb", claimed.as_slice())]] {
                let told = wrong(&verify(&[&[("s", with(&by).as_slice()), (file, keys)], &more[..]].concat()));
                assert_eq!(told, [says(by.kid(), file, alliances)]);
            }
        }
    }
    // One's own key in the alliance's set is one's own when it says so.
    let told = wrong(&verify(&[("s", &signed), ("real", &joined(real, &anybodys))]));
    assert_eq!(told, [says(by.kid(), "real", alliances)]);
    let marked = joined(real, &mine);
    assert_eq!(wrong(&verify(&[("s", &signed), ("real", &marked)])), NOTHING);
    let mut note = Note::parse(&checkpoint(&months.house)).expect("a note");
    note.cosign("bb", &by, "2026-11-25T00:00:00Z".parse().expect("an instant")).expect("cosigned");
    let note = note.to_string().into_bytes();
    assert_eq!(wrong(&verify(&[("s", &signed), ("c", &note), ("real", &marked)])), NOTHING);
}

#[actix_web::test]
async fn no_sum_is_so_large_that_others_are_beyond_what_is_counted_in() {
    let months = Months::new("beyond", "").await;
    let (own, alliance) = (months.files(0, "aa").statement, Alliance::new());
    let check = |sums: &[(&str, Value)]| {
        let mut statement = payload(&own);
        for place in ["/counterparties/0", "/totals"] {
            let members = statement.pointer_mut(place).and_then(Value::as_object_mut).expect("an object");
            members.extend(sums.iter().map(|(sort, sum)| ((*sort).to_owned(), sum.clone())));
        }
        wrong(&verify(&[("s", &alliance.signed(&statement)), ("k", &alliance.jwks())]))
    };
    let amount = |amount: &str| json!({ "lines": 0, "points": 0, "amount": amount });
    let points = |points: &str| json!({ "lines": 0, "points": points, "amount": "0.00" });
    // Together 2^128, which is nothing to who counts in 128 bits.
    let half = "170141183460469231731687303715884.105727";
    let told = check(&[("in", amount(half)), ("reversal", amount(half)), ("earlier_reversal", amount("0.000002"))]);
    tells(
        &told,
        "form: the payload: invalid value: string \"170141183460469231731687303715884.105727\", expected a sum",
    );
    let told = check(&[("in", points(&i128::MAX.to_string()))]);
    tells(&told, "form: the payload: points are a number");
    let (most, beyond) = (((1_i128 << 96) - 1).to_string(), (1_i128 << 96).to_string());
    let form = |told: &[String]| told.iter().any(|told| told.starts_with("form: "));
    for sign in ["", "-"] {
        assert!(form(&check(&[("in", points(&format!("{sign}{beyond}")))])));
        assert!(!form(&check(&[("in", points(&format!("{sign}{most}")))])));
        assert!(form(&check(&[("in", amount(&format!("{sign}79228162514264337593543.950336")))])));
        assert!(!form(&check(&[("in", amount(&format!("{sign}79228162514264337593543.950335")))])));
    }
}
