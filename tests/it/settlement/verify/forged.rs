//! What somebody else has signed is never taken for the alliance's, whatever genuine file lies beside it.

use super::signed::{Alliance, jwks, key, payload, tells, told};
use super::{Months, NOTHING, checkpoint, verify, wrong};
use hanse::service::verify::Mark;
use hanse::signing::general::{Document, TYP};
use hanse::signing::jwk::Kind;
use hanse::signing::jws::SigningKey;
use hanse::signing::keyring::Purpose;
use hanse::signing::note::{Checkpoint, Note};
use hanse::signing::rotation;
use serde_json::{Value, json};

/// Both sets in one file, as somebody may make one.
pub(super) fn joined(a: &[u8], b: &[u8]) -> Vec<u8> {
    let keys =
        |set: &[u8]| serde_json::from_slice::<Value>(set).expect("JSON")["keys"].as_array().expect("keys").clone();
    let all = [keys(a), keys(b)].concat();
    json!({ "keys": all }).to_string().into_bytes()
}

pub(super) fn marked(key: &SigningKey, partner: &str) -> Vec<u8> {
    let mut jwk = key.public().to_jwk();
    jwk["partner"] = json!(partner);
    json!({ "keys": [jwk] }).to_string().into_bytes()
}

fn payload_of(document: &str) -> String {
    serde_json::from_str::<Value>(document).expect("JSON")["payload"].to_string()
}

/// The statement with these signatures more, after the others or before them.
fn signed_by(statement: &[u8], more: [&SigningKey; 2], before: bool) -> Vec<u8> {
    let document = Document::parse(statement).expect("a document");
    let mut all: Vec<_> = document.signatures().cloned().collect();
    let more = more.map(|key| key.sign_detached(TYP, document.payload()));
    let place = if before { 0 } else { all.len() };
    all.splice(place..place, more);
    Document::new(document.payload().to_vec(), &all).expect("a document").to_string().into_bytes()
}

#[actix_web::test]
async fn a_statement_that_another_set_of_keys_has_signed_is_wrong_beside_any_genuine_file() {
    let months = Months::new("forged", "").await;
    let (real, nest) = (months.jwks.as_slice(), Alliance::new());
    let [genuine, own] = ["aa", "bb"].map(|of| months.files(0, of));
    let forged = nest.signed(&payload(&own.statement));
    let (nests, note) = (nest.jwks(), checkpoint(&months.house));
    let superset = joined(real, &nests);
    for keys in [&nests, &superset] {
        let files: [(&str, &[u8]); 3] = [("forged.json", &forged), ("nest.jwks", keys), ("real.jwks", real)];
        for (name, beside) in [
            ("genuine.json", &genuine.statement),
            ("own.json", &own.statement),
            ("note", &note),
            ("proofs", &own.proofs),
        ] {
            assert_ne!(wrong(&verify(&[&files[..], &[(name, beside)]].concat())), NOTHING, "beside {name}");
        }
        tells(
            &wrong(&verify(&files)),
            "alliance: the keys of nest.jwks sign forged.json, and real.jwks has keys of both kinds, too, and not these",
        );
    }
    // The one that differs from the others is named.
    let files: [(&str, &[u8]); 5] = [
        ("forged.json", &forged),
        ("genuine.json", &genuine.statement),
        ("real.jwks", real),
        ("nest.jwks", &nests),
        ("note", &note),
    ];
    let told = wrong(&verify(&files));
    let first = "alliance: those of nest.jwks sign forged.json, and the keys of real.jwks sign genuine.json: ";
    assert!(told[0].starts_with(first), "{told:#?}");
}

#[actix_web::test]
async fn who_has_counter_signed_signs_neither_the_log_nor_statements() {
    let months = Months::new("second", "").await;
    let (real, nest) = (months.jwks.as_slice(), Alliance::new());
    let own = months.files(0, "bb").statement;
    let both = signed_by(&own, [&nest.one, &nest.other], false);
    let [one, other] = [&nest.one, &nest.other].map(|key| key.public().to_jwk().to_string().into_bytes());
    // As docs/finance.md has it, each JWK in a file of its own, or marked as a partner's.
    let apart: [(&str, &[u8]); 4] = [("s", &both), ("real", real), ("one.jwk", &one), ("other.jwk", &other)];
    assert_eq!(wrong(&verify(&apart)), NOTHING);
    let marked = joined(&marked(&nest.one, "bb"), &marked(&nest.other, "bb"));
    assert_eq!(wrong(&verify(&[("s", &both), ("real", real), ("bb", &marked)])), NOTHING);
    let root = [7; 32];
    let forged = Checkpoint { origin: "small.example".into(), size: 1, root }.sign(&nest.one).expect("signed");
    let forged = forged.to_string().into_bytes();
    let told = wrong(&verify(&[&apart[..], &[("note", forged.as_slice())]].concat()));
    assert_eq!(
        told,
        ["checkpoint: its key is in one.jwk, and not in real, which has keys of both kinds, as the alliance signs by"]
    );
    let nests = nest.jwks();
    let unmarked: [(&str, &[u8]); 3] = [("s", &both), ("real", real), ("nest", &nests)];
    let wrong_note = wrong(&verify(&[&unmarked[..], &[("note", forged.as_slice())]].concat()));
    tells(&wrong_note, "checkpoint: its key is in nest, and not in real, ");
    // No signature says in which place it stands: a set of both kinds beside the alliance's may be the one that is forged.
    let turned = signed_by(&own, [&nest.one, &nest.other], true);
    for statement in [&both, &turned] {
        tells(&wrong(&verify(&[("s", statement), ("real", real), ("nest", &nests)])), "alliance: the keys of ");
    }
    let told = wrong(&verify(&[("s", &turned), ("real", real), ("one.jwk", &one), ("other.jwk", &other)]));
    tells(&told, "signatures: no file has the keys of its first two signatures: ");
}

#[test]
fn checkpoints_without_statements_are_of_one_file() {
    let (a, b) = (key(Kind::Ed25519), key(Kind::Ed25519));
    let note = |key: &SigningKey, size| {
        let checkpoint = Checkpoint { origin: "small.example".into(), size, root: [7; 32] };
        checkpoint.sign(key).expect("signed").to_string().into_bytes()
    };
    let (one, two) = (note(&a, 3), note(&b, 4));
    let [of_a, of_b, of_both] = [vec![&a], vec![&b], vec![&a, &b]].map(|keys| jwks(&keys));
    let files: [(&str, &[u8]); 2] = [("one", &one), ("two", &two)];
    let check = |keys: &[(&str, &[u8])]| wrong(&verify(&[&files, keys].concat()));
    assert_eq!(check(&[("both", &of_both)]), NOTHING);
    assert_eq!(check(&[("both", &of_both), ("b", &of_b)]), NOTHING);
    let told = check(&[("a", &of_a), ("b", &of_b)]);
    assert!(told.len() == 1 && told[0].starts_with("alliance: those of b sign two, and the keys of a sign one: "));
    // Unless the one has handed over to the other.
    let at = "2026-11-25T00:00:00Z".parse().expect("an instant");
    let record = rotation::sign("small", Purpose::Checkpoint, at, &a, &b).expect("signed").to_string();
    let record = format!(r#"{{"items":[{record}]}}"#);
    assert_eq!(check(&[("a", &of_a), ("b", &of_b), ("r", record.as_bytes())]), NOTHING);
}

#[actix_web::test]
async fn a_set_fetched_before_keys_were_handed_over_is_enough_with_the_records() {
    let months = Months::new("before", "").await;
    let (own, other) = (months.files(0, "bb").statement, months.files(0, "aa").statement);
    let (old, new) = (Alliance::new(), Alliance::new());
    let (early, late) = (old.signed(&payload(&own)), new.signed(&payload(&other)));
    let (before, after) = (old.jwks(), joined(&old.jwks(), &new.jwks()));
    let files: [(&str, &[u8]); 4] = [("early", &early), ("late", &late), ("before", &before), ("after", &after)];
    assert_eq!(wrong(&verify(&[files[0], files[1], files[3]])), NOTHING, "old keys and new are in one set");
    let told = wrong(&verify(&files));
    assert_eq!(
        told,
        [
            "alliance: those of after sign late, and the keys of before, after sign early: if they are one alliance's, add its \
          /.well-known/key-rotations.json"
        ]
    );
    let at = "2026-11-25T00:00:00Z".parse().expect("an instant");
    let slug = payload(&own)["alliance"].as_str().expect("a slug").to_owned();
    let record = |purpose, old: &SigningKey, new: &SigningKey| {
        rotation::sign(&slug, purpose, at, old, new).expect("signed").to_string()
    };
    let one = record(Purpose::Statement, &old.one, &new.one);
    let two = record(Purpose::StatementP256, &old.other, &new.other);
    for (records, holds) in [(format!("{one},{two}"), true), (one, false), (two, false)] {
        let records = format!(r#"{{"items":[{records}]}}"#);
        let told = wrong(&verify(&[&files[..], &[("r", records.as_bytes())]].concat()));
        assert_eq!(told.is_empty(), holds, "{told:#?}");
    }
}

#[actix_web::test]
async fn a_witness_is_who_its_key_says_and_never_the_alliance() {
    let months = Months::new("witness", "").await;
    let (real, alliance) = (months.jwks.as_slice(), Alliance::new());
    let at = "2026-11-25T00:00:00Z".parse().expect("an instant");
    let witness = key(Kind::Ed25519);
    let cosigned = |note: &[u8], by: &SigningKey| {
        let mut note = Note::parse(note).expect("a note");
        note.cosign("velvet", by, at).expect("cosigned");
        note.to_string().into_bytes()
    };
    let note = cosigned(&checkpoint(&months.house), &witness);
    let (velvets, kettles, anybodys) = (marked(&witness, "velvet"), marked(&witness, "kettle"), jwks(&[&witness]));
    for (name, keys, held) in [("v", &velvets, "velvet's, v"), ("any.jwk", &anybodys, "any.jwk")] {
        let report = verify(&[("c", &note), ("real", real), (name, keys)]);
        assert_eq!(wrong(&report), NOTHING);
        let says = format!("cosignature: cosigned by velvet at 2026-11-25T00:00:00Z ({held})");
        assert!(told(&report, Mark::Holds).contains(&says), "{:#?}", told(&report, Mark::Holds));
    }
    for keys in [vec![("k", kettles.as_slice())], vec![("any.jwk", anybodys.as_slice()), ("k", &kettles)]] {
        let [told] =
            wrong(&verify(&[&[("c", note.as_slice()), ("real", real)], &keys[..]].concat())).try_into().expect("one");
        assert!(told.starts_with("cosignature: by velvet: its key is another's ("), "{told}");
    }
    // The alliance's own key, though a file says that it is velvet's.
    let own =
        Checkpoint { origin: "small.example".into(), size: 3, root: [7; 32] }.sign(&alliance.one).expect("signed");
    let (log, set) = (own.to_string().into_bytes(), alliance.jwks());
    let (other, named) = (key(Kind::Ed25519), marked(&alliance.one, "velvet"));
    let more = joined(&set, &jwks(&[&other]));
    for by in [&alliance.one, &other] {
        let note = cosigned(&log, by);
        let told = wrong(&verify(&[("c", &note), ("set", &more), ("v", &named)]));
        assert_eq!(told, ["cosignature: by velvet: its key is the alliance's own (set)"]);
    }
    let alone = jwks(&[&alliance.one, &other]);
    let told = wrong(&verify(&[("c", &cosigned(&log, &other)), ("log", &alone)]));
    assert_eq!(told, ["cosignature: by velvet: its key is the alliance's own (log)"]);
}

#[actix_web::test]
async fn a_hand_over_is_of_the_alliances_own_keys_and_of_its_name() {
    let months = Months::new("handed", "").await;
    let statement = payload(&months.files(0, "bb").statement);
    let (alliance, next, nest) = (Alliance::new(), key(Kind::Ed25519), Alliance::new());
    let (signed, set) = (alliance.signed(&statement), joined(&alliance.jwks(), &jwks(&[&next])));
    let at = "2026-11-25T00:00:00Z".parse().expect("an instant");
    let slug = statement["alliance"].as_str().expect("a slug");
    let record = |of: &str, old: &SigningKey, new: &SigningKey| {
        rotation::sign(of, Purpose::Statement, at, old, new).expect("signed").to_string()
    };
    let list = |record: &str| format!(r#"{{"items":[{record}]}}"#);
    let check = |list: &str, keys: &[(&str, &[u8])]| {
        wrong(&verify(&[&[("s", signed.as_slice()), ("set", &set), ("r", list.as_bytes())], keys].concat()))
    };
    let genuine = record(slug, &alliance.one, &next);
    assert_eq!(check(&list(&genuine), &[]), NOTHING);
    assert_eq!(
        check(&list(&record("other", &alliance.one, &next)), &[]),
        [format!("rotations: record 1 of 1: it is of the alliance other, and the statements are of {slug}")]
    );
    let forged = list(&record(slug, &nest.one, &key(Kind::Ed25519)));
    let mine = key(Kind::Ed25519);
    let among_its_own = list(&record(slug, &nest.one, &mine));
    let partners = joined(&marked(&nest.one, "kettle"), &marked(&mine, "kettle"));
    let anybodys = jwks(&[&nest.one, &mine]);
    for (list, keys, place) in [
        (&among_its_own, &partners, "kettle's, f"),
        (&among_its_own, &anybodys, "f"),
        // Of one whose other key is not given.
        (&forged, &partners, "kettle's, f"),
    ] {
        let says = format!("rotations: record 1 of 1: the key {} ({place}) is not the alliance's", nest.one.kid());
        assert_eq!(check(list, &[("f", keys)]), [says]);
    }
    // Where the alliance's key is said to hand over to a partner's.
    let taken = list(&record(slug, &alliance.one, &mine));
    let says = format!("rotations: record 1 of 1: the key {} (kettle's, f) is not the alliance's", mine.kid());
    assert_eq!(check(&taken, &[("f", &partners)]), [says]);
    // Nothing is read twice.
    let twice = genuine.replacen('{', &format!(r#"{{"payload":{},"#, payload_of(&genuine)), 1);
    for odd in [list(&twice), list(&genuine).replacen('{', r#"{"items":[],"#, 1)] {
        assert_ne!(check(&odd, &[]), NOTHING, "{odd}");
    }
}
