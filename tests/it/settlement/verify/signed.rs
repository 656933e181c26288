//! What was signed and is wrong all the same, and who else has signed.

use super::{Files, Months, NOTHING, checkpoint, verify, wrong};
use hanse::domain::holder::Holder;
use hanse::service::settlement::countersign;
use hanse::service::settlement::read;
use hanse::service::verify::{Mark, Report};
use hanse::signing::canonical;
use hanse::signing::general::{Document, TYP};
use hanse::signing::jwk::Kind;
use hanse::signing::jws::SigningKey;
use hanse::signing::note::Note;
use hanse::store::settlement::statements;
use hanse::store::signing_keys;
use serde_json::{Value, json};

fn key(kind: Kind) -> SigningKey {
    SigningKey::from_pkcs8(&SigningKey::generate_kind(kind).expect("a key")).expect("a key")
}

fn payload(statement: &[u8]) -> Value {
    let document = Document::parse(statement).expect("a document");
    serde_json::from_slice(document.payload()).expect("JSON")
}

fn jwks(keys: &[&SigningKey]) -> Vec<u8> {
    let keys: Vec<Value> = keys.iter().map(|key| key.public().to_jwk()).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

fn told(report: &Report, mark: Mark) -> Vec<String> {
    let findings = report.sections.iter().flat_map(|section| &section.findings);
    findings.filter(|found| found.mark == mark).map(|found| format!("{}: {}", found.code, found.says)).collect()
}

/// An alliance that signs whatever it likes.
struct Alliance {
    one: SigningKey,
    other: SigningKey,
}

impl Alliance {
    fn new() -> Alliance {
        Alliance { one: key(Kind::Ed25519), other: key(Kind::P256) }
    }

    fn signed(&self, payload: &Value) -> Vec<u8> {
        let payload = canonical::to_vec(payload).expect("canonical");
        let signatures = [&self.one, &self.other].map(|key| key.sign_detached(TYP, &payload));
        Document::new(payload, &signatures).expect("a document").to_string().into_bytes()
    }

    fn jwks(&self) -> Vec<u8> {
        jwks(&[&self.one, &self.other])
    }
}

#[actix_web::test]
async fn figures_that_do_not_follow_from_each_other_are_named_though_they_are_signed() {
    let fees = "UPDATE alliance SET fee_tax_basis_points = 4000";
    let months = Months::new("figures", fees).await;
    let alliance = Alliance::new();
    let check = |statement: &[u8], change: &dyn Fn(&mut Value), wanted: &str| {
        let mut payload = payload(statement);
        change(&mut payload);
        let report = verify(&[("s", &alliance.signed(&payload)), ("k", &alliance.jwks())]);
        let wrong = wrong(&report);
        match wanted {
            "" => assert_eq!(wrong, NOTHING),
            _ => assert!(wrong.iter().any(|wrong| wrong.starts_with(wanted)), "{wanted}: {wrong:#?}"),
        }
    };
    let first = months.files(0, "aa").statement;
    let set = |pointer: &'static str, value: Value| {
        move |payload: &mut Value| *payload.pointer_mut(pointer).expect("a member") = value.clone()
    };
    let remove = |member: &'static str| {
        move |payload: &mut Value| {
            payload.as_object_mut().expect("an object").remove(member);
        }
    };
    check(&first, &|_| (), "");
    for (pointer, value, wanted) in [
        ("/v", json!(2), "form: the payload is a \"statement\" of version 2"),
        ("/type", json!("promise"), "form: the payload is a \"promise\" of version 1"),
        (
            "/window/last_day",
            json!("2026-1-1"),
            "form: the payload: invalid value: string \"2026-1-1\", expected a day",
        ),
        ("/net", json!("-5.05000"), "form: the payload: invalid value: string \"-5.05000\", expected an amount"),
        ("/netting", json!("none"), "form: netting \"none\""),
        ("/counterparties/0/counterparty", json!("aa"), "form: counterparty aa is out of sequence"),
        ("/counterparties/1/counterparty", json!("ab"), "form: counterparty ab is out of sequence"),
        ("/lines/count", json!(4), "line_numbers: the sorts have 3 lines together, and there are 4"),
        ("/lines/last", json!(4), "line_numbers: 3 lines are not those from the first to the last"),
        ("/counterparties/0/out/amount", json!("-8.41"), "sums: the sorts with bb come to -5.01, and exact is -5.00"),
        ("/totals/out/points", json!(169), "sums: out of all counterparties is not what the totals say"),
        (
            "/counterparties/0/total",
            json!("-5.01"),
            "rounding: -5.00 with bb is -5.00 to 2 decimals, and the total is -5.01",
        ),
        ("/net", json!("-5.06"), "position: the totals come to -5.05, and net is -5.06"),
        ("/closing", json!("-5.06"), "position: opening, net and payments come to -5.05, and closing is -5.06"),
        ("/opening", json!("1.00"), "position: opening, net and payments come to -4.05, and closing is -5.05"),
        ("/fees/gross", json!("-0.06"), "fees: the fees come to -0.05, and gross is -0.06"),
        ("/fees/tax", json!("-0.02"), "fees: -0.05 has not -0.02 of tax in it at 4000 basis points, and -0.04 beside"),
        (
            "/obligations",
            json!([]),
            "obligations: multilateral netting comes to: aa pays alliance 5.05; the obligations say: nobody pays",
        ),
        (
            "/obligations/0/amount",
            json!("5.04"),
            "obligations: multilateral netting comes to: aa pays alliance 5.05; the obligations say: aa pays alliance 5.04",
        ),
        ("/obligations/0/due_on", json!("2027-01-01"), "obligations: "),
    ] {
        check(&first, &set(pointer, value), wanted);
    }
    check(&first, &remove("fees"), "fees: -0.05 of fees is not told");
    check(&first, &remove("payments"), "form: the payload: missing field `payments`");
    check(&first, &|payload| payload["more"] = json!(1), "form: the payload: unknown field `more`");
    let opens = |payload: &mut Value| (payload["opening"], payload["closing"]) = (json!("1.00"), json!("-4.05"));
    check(&first, &opens, "position: it is the first statement, and opens with 1.00");
    // Half a fen goes up, unless the alliance says half to even; whatever is exact is told.
    let half = |payload: &mut Value| {
        for (pointer, value) in [
            ("/counterparties/0/out/amount", "-8.405"),
            ("/counterparties/0/exact", "-5.005"),
            ("/totals/out/amount", "-8.405"),
        ] {
            *payload.pointer_mut(pointer).expect("a member") = json!(value);
        }
        payload["rounding"] = json!("half_even");
    };
    check(&first, &half, "");
    check(
        &first,
        &|payload| {
            half(payload);
            payload["rounding"] = json!("half_up");
        },
        "rounding: -5.005 with bb is -5.01",
    );

    // One after the other, and each against the other.
    let (later, theirs, operators) = (months.files(1, "aa"), months.files(0, "bb"), months.files(0, "operator"));
    let together = |change: &dyn Fn(&mut Value), others: &[&[u8]], wanted: &str| {
        let mut payload = payload(&first);
        change(&mut payload);
        let (first, keys) = (alliance.signed(&payload), alliance.jwks());
        let mut files = vec![("s", first.as_slice()), ("k", &keys), ("m", &months.jwks)];
        files.extend(others.iter().map(|other| ("o", *other)));
        let wrong = wrong(&verify(&files));
        assert!(wrong.iter().any(|wrong| wrong.starts_with(wanted)), "{wanted}: {wrong:#?}");
    };
    let dearer = |payload: &mut Value| {
        for (pointer, value) in [
            ("/counterparties/0/out/amount", "-8.41"),
            ("/counterparties/0/exact", "-5.01"),
            ("/counterparties/0/total", "-5.01"),
            ("/totals/out/amount", "-8.41"),
            ("/net", "-5.06"),
            ("/closing", "-5.06"),
            ("/obligations/0/amount", "5.06"),
        ] {
            *payload.pointer_mut(pointer).expect("a member") = json!(value);
        }
    };
    check(&first, &dearer, "");
    together(&dearer, &[&theirs.statement], "sides: aa has -5.01 (-5.01) of bb, and bb has 5.00 (5.00) of aa");
    together(&dearer, &[&theirs.statement, &operators.statement], "nets: the nets of all 3 come to -0.01");
    together(&set("/window/id", json!("win_0")), &[&theirs.statement], "window: ");
    together(&dearer, &[&later.statement], "previous: window 2 goes on from another statement than s");
    let report = verify(&[("s", &first), ("k", &months.jwks), ("o", &theirs.statement)]);
    assert!(
        told(&report, Mark::Unchecked)
            .contains(&"nets: that all nets come to nothing: add the statements of operator".to_owned())
    );
}

#[actix_web::test]
async fn both_keys_of_the_alliance_have_signed_and_everybody_elses_is_asked_for() {
    let months = Months::new("signers", "").await;
    let (window, _) = months.windows[0];
    let own = key(Kind::Ed25519);
    let mut conn = months.house.conn();
    let holder = Holder::of("partner", "bb").expect("a holder");
    signing_keys::insert(&mut conn, &holder, own.kid(), &own.public().to_jwk()).expect("registered");
    let row = statements::find(&mut conn, window, &super::participant("bb")).expect("read").expect("a statement");
    let made = own.sign_detached(TYP, row.payload.as_bytes());
    let bb = "bb".parse().expect("a slug");
    countersign::countersign(&mut conn, &months.house.keys, &bb, window, (&made.protected, &made.signature))
        .expect("signed");
    let Files { statement, .. } = months.files(0, "bb");
    let (jwk, alliance) = (own.public().to_jwk().to_string().into_bytes(), months.jwks.as_slice());
    let report = verify(&[("s", &statement), ("k", alliance), ("bb.jwk", &jwk)]);
    assert_eq!(wrong(&report), NOTHING);
    let held = told(&report, Mark::Holds);
    assert!(
        held.iter().any(|held| held.starts_with("signatures: 3 of 3 hold: EdDSA") && held.ends_with("(bb.jwk)")),
        "{held:#?}"
    );
    let missing = format!(
        "signatures: the key {} of signature 3 is in none of the files: add the JWK of the partner that signed it",
        own.kid()
    );
    assert_eq!(wrong(&verify(&[("s", &statement), ("k", alliance)])), [missing]);
    // The receipt of a counter-signature is a record of the log, which went on: the new checkpoint is witnessed.
    let mut note = Note::parse(&checkpoint(&months.house)).expect("a note");
    note.cosign("bb", &own, "2026-11-25T00:00:00Z".parse().expect("an instant")).expect("cosigned");
    let note = note.to_string().into_bytes();
    let report = verify(&[("c", &note), ("k", alliance), ("bb.jwk", &jwk)]);
    assert!(told(&report, Mark::Holds).contains(&"cosignature: cosigned by bb at 2026-11-25T00:00:00Z".to_owned()));
    let report = verify(&[("c", &note), ("k", alliance)]);
    assert_eq!(told(&report, Mark::Unchecked), ["cosignature: by bb, whose key is in none of the files: add its JWK"]);
    let mut changed = note.clone();
    let end = changed.len() - 30;
    changed[end] = if changed[end] == b'A' { b'B' } else { b'A' };
    let wrong_note = wrong(&verify(&[("c", &changed), ("k", alliance), ("bb.jwk", &jwk)]));
    assert_eq!(wrong_note, ["cosignature: by bb: the signature is not the key's"]);

    // By one key alone, by a partner alone, by a stranger's name.
    let document = Document::parse(&statement).expect("a document");
    let signatures: Vec<_> = document.signatures().cloned().collect();
    let with = |chosen: &[usize]| {
        let chosen: Vec<_> = chosen.iter().map(|nth| signatures[*nth].clone()).collect();
        Document::new(document.payload().to_vec(), &chosen).expect("a document").to_string().into_bytes()
    };
    assert_eq!(wrong(&verify(&[("s", &with(&[0, 1])), ("k", alliance)])), NOTHING);
    for chosen in [[0, 2], [1, 2]] {
        let wrong = wrong(&verify(&[("s", &with(&chosen)), ("k", alliance), ("bb.jwk", &jwk)]));
        assert_eq!(
            wrong,
            ["signatures: no file has keys of both kinds that sign it: the alliance signs by EdDSA and ES256"]
        );
    }
    assert!(read::document(&mut conn, &row).expect("a document").verify_all(|_| None).is_err());
}

#[test]
fn two_roots_over_as_many_records_are_a_log_that_forked() {
    use hanse::signing::note::Checkpoint;
    let log = key(Kind::Ed25519);
    let note = |size: u64, byte: u8| {
        let checkpoint = Checkpoint { origin: "small.example".into(), size, root: [byte; 32] };
        checkpoint.sign(&log).expect("signed").to_string().into_bytes()
    };
    let keys = jwks(&[&log]);
    let of = |a: Vec<u8>, b: Vec<u8>| verify(&[("a", &a), ("b", &b), ("k", &keys)]);
    assert_eq!(
        wrong(&of(note(3, 1), note(3, 2))),
        ["fork: small.example has signed two roots over 3 records, 02020202…02020202 and 01010101…01010101"]
    );
    let report = of(note(3, 1), note(4, 2));
    assert_eq!((wrong(&report), report.count(Mark::Unchecked)), (Vec::new(), 1));
    let report = of(note(3, 1), note(3, 1));
    assert_eq!((wrong(&report), report.count(Mark::Unchecked)), (Vec::new(), 0));
}

#[test]
fn keys_that_could_be_somebody_elses_are_not_taken() {
    let key = key(Kind::Ed25519);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut jwk = key.public().to_jwk();
        change(&mut jwk);
        let report = verify(&[("k", json!({ "keys": [jwk] }).to_string().as_bytes())]);
        (wrong(&report).pop(), report.count(Mark::Holds))
    };
    assert_eq!(with(&|_| ()), (None, 1));
    let (told, held) = with(&|jwk| jwk["kid"] = json!("mine"));
    assert_eq!((told.as_deref(), held), (Some("keys: key 1 of 1 has a kid that is not its RFC 7638 thumbprint"), 0));
    let (told, held) = with(&|jwk| jwk["d"] = json!("secret"));
    assert_eq!(
        (told.as_deref(), held),
        (Some("keys: key 1 of 1 is not a JWK with the members of a public key alone"), 0)
    );
    assert_eq!(with(&|jwk| jwk["crv"] = json!("Ed448")), (None, 0), "of a kind that is not used here");
}
