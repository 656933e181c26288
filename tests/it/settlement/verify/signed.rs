//! What was signed and is wrong all the same, and who else has signed.

use super::{Files, Months, NOTHING, checkpoint, verify, wrong};
use hanse::service::settlement::countersign;
use hanse::service::settlement::read;
use hanse::service::verify::{Mark, Report};
use hanse::signing::canonical;
use hanse::signing::general::{Document, TYP};
use hanse::signing::jwk::Kind;
use hanse::signing::jws::SigningKey;
use hanse::signing::keyring::Purpose;
use hanse::signing::note::{Checkpoint, Note};
use hanse::signing::rotation;
use hanse::store::settlement::statements;
use serde_json::{Value, json};

pub(super) fn key(kind: Kind) -> SigningKey {
    SigningKey::from_pkcs8(&SigningKey::generate_kind(kind).expect("a key")).expect("a key")
}

pub(super) fn payload(statement: &[u8]) -> Value {
    let document = Document::parse(statement).expect("a document");
    serde_json::from_slice(document.payload()).expect("JSON")
}

pub(super) fn jwks(keys: &[&SigningKey]) -> Vec<u8> {
    let keys: Vec<Value> = keys.iter().map(|key| key.public().to_jwk()).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

pub(super) fn told(report: &Report, mark: Mark) -> Vec<String> {
    let findings = report.sections.iter().flat_map(|section| &section.findings);
    findings.filter(|found| found.mark == mark).map(|found| format!("{}: {}", found.code, found.says)).collect()
}

/// An alliance that signs whatever it likes.
pub(super) struct Alliance {
    pub one: SigningKey,
    pub other: SigningKey,
}

impl Alliance {
    pub fn new() -> Alliance {
        Alliance { one: key(Kind::Ed25519), other: key(Kind::P256) }
    }

    pub fn signed(&self, payload: &Value) -> Vec<u8> {
        let payload = canonical::to_vec(payload).expect("canonical");
        let signatures = [&self.one, &self.other].map(|key| key.sign_detached(TYP, &payload));
        Document::new(payload, &signatures).expect("a document").to_string().into_bytes()
    }

    pub fn jwks(&self) -> Vec<u8> {
        jwks(&[&self.one, &self.other])
    }
}

/// A member of the payload, what stands there instead, and what is then told.
#[rustfmt::skip]
const WRONG: [(&str, &str, &str); 20] = [
    ("/v", "2",
        "form: the payload is a \"statement\" of version 2"),
    ("/type", r#""promise""#,
        "form: the payload is a \"promise\" of version 1"),
    ("/window/last_day", r#""2026-1-1""#,
        "form: the payload: invalid value: string \"2026-1-1\", expected a day"),
    ("/net", r#""-5.05000""#,
        "form: the payload: invalid value: string \"-5.05000\", expected an amount"),
    ("/netting", r#""none""#,
        "form: netting \"none\""),
    ("/counterparties/0/counterparty", r#""aa""#,
        "form: counterparty aa is out of sequence"),
    ("/counterparties/1/counterparty", r#""ab""#,
        "form: counterparty ab is out of sequence"),
    ("/lines/count", "4",
        "line_numbers: the sorts have 3 lines together, and there are 4"),
    ("/lines/last", "4",
        "line_numbers: 3 lines are not those from the first to the last"),
    ("/counterparties/0/out/amount", r#""-8.41""#,
        "sums: the sorts with bb come to -5.01, and exact is -5.00"),
    ("/totals/out/points", "169",
        "sums: out of all counterparties is not what the totals say"),
    ("/counterparties/0/total", r#""-5.01""#,
        "rounding: -5.00 with bb is -5.00 to 2 decimals, and the total is -5.01"),
    ("/net", r#""-5.06""#,
        "position: the totals come to -5.05, and net is -5.06"),
    ("/closing", r#""-5.06""#,
        "position: opening, net and payments come to -5.05, and closing is -5.06"),
    ("/opening", r#""1.00""#,
        "position: opening, net and payments come to -4.05, and closing is -5.05"),
    ("/fees/gross", r#""-0.06""#,
        "fees: the fees come to -0.05, and gross is -0.06"),
    ("/fees/tax", r#""-0.02""#,
        "fees: -0.05 has not -0.02 of tax in it at 4000 basis points, and -0.04 beside"),
    ("/obligations", "[]",
        "obligations: multilateral netting comes to: aa pays alliance 5.05; the obligations say: nobody pays"),
    ("/obligations/0/amount", r#""5.04""#,
        "obligations: multilateral netting comes to: aa pays alliance 5.05; the obligations say: aa pays alliance 5.04"),
    ("/obligations/0/due_on", r#""2027-01-01""#,
        "obligations: "),
];

/// Members by their pointers, and what is to stand there.
type Change<'a> = &'a [(&'a str, &'a str)];

/// The same figure everywhere, one fen more.
const DEARER: Change<'static> = &[
    ("/counterparties/0/out/amount", r#""-8.41""#),
    ("/counterparties/0/exact", r#""-5.01""#),
    ("/counterparties/0/total", r#""-5.01""#),
    ("/totals/out/amount", r#""-8.41""#),
    ("/net", r#""-5.06""#),
    ("/closing", r#""-5.06""#),
    ("/obligations/0/amount", r#""5.06""#),
];

/// Half a fen.
const HALF: Change<'static> = &[
    ("/counterparties/0/out/amount", r#""-8.405""#),
    ("/counterparties/0/exact", r#""-5.005""#),
    ("/totals/out/amount", r#""-8.405""#),
];

fn changed(statement: &[u8], change: Change<'_>) -> Value {
    let mut payload = payload(statement);
    for (pointer, value) in change {
        *payload.pointer_mut(pointer).expect("a member") = serde_json::from_str(value).expect("JSON");
    }
    payload
}

#[track_caller]
pub(super) fn tells(wrong: &[String], wanted: &str) {
    assert!(wrong.iter().any(|wrong| wrong.starts_with(wanted)), "{wanted}: {wrong:#?}");
}

/// A fee of which two sevenths are tax.
const TAXED: &str = "UPDATE alliance SET fee_tax_basis_points = 4000";

#[actix_web::test]
async fn figures_that_do_not_follow_from_each_other_are_named_though_they_are_signed() {
    let months = Months::new("figures", TAXED).await;
    let alliance = Alliance::new();
    let first = months.files(0, "aa").statement;
    let check = |payload: &Value| wrong(&verify(&[("s", &alliance.signed(payload)), ("k", &alliance.jwks())]));
    assert_eq!(check(&payload(&first)), NOTHING);
    for (pointer, value, wanted) in WRONG {
        tells(&check(&changed(&first, &[(pointer, value)])), wanted);
    }
    let without = |member: &str| {
        let mut payload = payload(&first);
        payload.as_object_mut().expect("an object").remove(member);
        check(&payload)
    };
    tells(&without("fees"), "fees: -0.05 of fees is not told");
    tells(&without("payments"), "form: the payload: missing field `payments`");
    let mut more = payload(&first);
    more["more"] = json!(1);
    tells(&check(&more), "form: the payload: unknown field `more`");
    let opens = changed(&first, &[("/opening", r#""1.00""#), ("/closing", r#""-4.05""#)]);
    tells(&check(&opens), "position: it is the first statement, and opens with 1.00");
    // Half a fen goes up, unless the alliance says half to even; whatever is exact is told.
    tells(&check(&changed(&first, HALF)), "rounding: -5.005 with bb is -5.01");
    let to_even = [HALF, &[("/rounding", r#""half_even""#)]].concat();
    assert_eq!(check(&changed(&first, &to_even)), NOTHING);
    assert_eq!(check(&changed(&first, DEARER)), NOTHING);
}

#[actix_web::test]
async fn statements_that_do_not_agree_with_each_other_are_named() {
    let months = Months::new("sides", TAXED).await;
    let alliance = Alliance::new();
    let (first, later) = (months.files(0, "aa").statement, months.files(1, "aa").statement);
    let (theirs, operators) = (months.files(0, "bb").statement, months.files(0, "operator").statement);
    let check = |change: Change<'_>, others: &[&[u8]]| {
        let (first, keys) = (alliance.signed(&changed(&first, change)), alliance.jwks());
        let mut files = vec![("s", first.as_slice()), ("k", &keys), ("m", &months.jwks)];
        files.extend(others.iter().map(|other| ("o", *other)));
        wrong(&verify(&files))
    };
    let sides = "sides: aa has -5.01 (-5.01) of bb, and bb has 5.00 (5.00) of aa";
    tells(&check(DEARER, &[&theirs]), sides);
    tells(&check(DEARER, &[&theirs, &operators]), "nets: the nets of all 3 come to -0.01");
    tells(&check(&[("/window/id", r#""win_0""#)], &[&theirs]), "window: ");
    tells(&check(DEARER, &[&later]), "previous: window 2 goes on from another statement than s");
    let report = verify(&[("s", &first), ("k", &months.jwks), ("o", &theirs)]);
    let absent = "nets: that all nets come to nothing: add the statements of operator".to_owned();
    assert!(told(&report, Mark::Unchecked).contains(&absent));
}

#[actix_web::test]
async fn both_keys_of_the_alliance_have_signed_and_everybody_elses_is_asked_for() {
    let months = Months::new("signers", "").await;
    let (window, _) = months.windows[0];
    let own = months.countersign(0, "bb", Kind::Ed25519);
    let mut conn = months.house.conn();
    let row = statements::find(&mut conn, window, &super::participant("bb")).expect("read").expect("a statement");
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
    assert!(
        told(&report, Mark::Holds).contains(&"cosignature: cosigned by bb at 2026-11-25T00:00:00Z (bb.jwk)".to_owned())
    );
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
            [
                "signatures: no file has the keys of its first two signatures: the alliance signs first, by EdDSA and ES256"
            ]
        );
    }
    assert!(read::document(&mut conn, &row).expect("a document").verify_all(|_| None).is_err());
}

#[actix_web::test]
async fn a_key_that_is_said_to_be_a_partners_is_never_the_alliances_whatever_file_it_is_in() {
    let months = Months::new("marked", "").await;
    let keys = [Kind::Ed25519, Kind::P256].map(|kind| months.countersign(0, "bb", kind));
    let (mut conn, (window, _)) = (months.house.conn(), months.windows[0]);
    let row = statements::find(&mut conn, window, &super::participant("bb")).expect("read").expect("a statement");
    let alliance: Value = serde_json::from_slice(&months.jwks).expect("JSON");
    let set = countersign::jwks(&mut conn, &alliance, &[&row, &row], None, &Value::Null).expect("keys");
    // Those that are there stay, as long as they are registered.
    let stranger = json!({ "keys": [key(Kind::P256).public().to_jwk()] });
    for (before, kept) in [(&set, &set), (&stranger, &alliance), (&json!(["odd"]), &alliance)] {
        assert_eq!(&countersign::jwks(&mut conn, &alliance, &[], None, before).expect("keys"), kept);
    }
    let count = |set: &Value| set["keys"].as_array().map_or(0, Vec::len);
    assert_eq!(count(&set), count(&alliance) + 2, "each once: {set:#}");
    let set = set.to_string().into_bytes();
    let Files { statement, .. } = months.files(0, "bb");
    let report = verify(&[("s", &statement), ("k", &set)]);
    assert_eq!(wrong(&report), NOTHING);
    let held = told(&report, Mark::Holds);
    let signed = held.iter().find(|held| held.starts_with("signatures: 4 of 4 hold: EdDSA ")).expect("all of them");
    assert_eq!((signed.matches("(k)").count(), signed.matches("(bb's, k)").count()), (2, 2), "{signed}");
    // Both kinds, but the alliance has signed nothing of it.
    let forged = keys.each_ref().map(|key| key.sign_detached(TYP, row.payload.as_bytes()));
    let forged = Document::new(row.payload.as_bytes().to_vec(), &forged).expect("a document").to_string();
    let nobody =
        "signatures: no file has the keys of its first two signatures: the alliance signs first, by EdDSA and ES256";
    assert_eq!(wrong(&verify(&[("s", forged.as_bytes()), ("k", &set)])), [nobody]);
    let checkpoint = hanse::signing::note::Checkpoint { origin: "small.example".into(), size: 3, root: [1; 32] };
    let note = checkpoint.sign(&keys[0]).expect("signed").to_string();
    assert_eq!(wrong(&verify(&[("c", note.as_bytes()), ("k", &set)])).len(), 1);
    // Whose it is, is a text.
    let mut odd = keys[0].public().to_jwk();
    odd["partner"] = json!(["bb"]);
    assert_eq!(wrong(&verify(&[("k", odd.to_string().as_bytes())])).len(), 1);
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
        ["fork: small.example has signed two roots over 3 records, 01010101…01010101 and 02020202…02020202"]
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

/// What is told of the only record of a list, when the new key is not given.
fn lacking(of: &str, old: &SigningKey, new: &SigningKey) -> String {
    let (old, new) = (old.kid(), new.kid());
    format!(
        "rotations: record 1 of 1, that {of}{old} handed over to {new} from 2026-11-25T00:00:00Z on: no file has the key \
         {new}: fetch the alliance's /.well-known/jwks.json again, it has all of its keys, old and new"
    )
}

#[test]
fn a_record_that_a_known_key_has_not_signed_is_wrong_whoever_the_other_is() {
    let (old, new, third) = (key(Kind::Ed25519), key(Kind::Ed25519), key(Kind::Ed25519));
    let at = "2026-11-25T00:00:00Z".parse().expect("an instant");
    let record = rotation::sign("small", Purpose::Statement, at, &old, &new).expect("signed");
    let forged = third.sign_detached(TYP, record.payload());
    for (nth, known) in [&old, &new].into_iter().enumerate() {
        let mut signatures: Vec<_> = record.signatures().cloned().collect();
        signatures[nth].signature = forged.signature.clone();
        let forged = Document::new(record.payload().to_vec(), &signatures).expect("a document").to_string();
        let list = format!(r#"{{"items":[{forged}]}}"#);
        let says = format!(
            "rotations: record 1 of 1: the signature by the key {:?} does not hold: the signature is not the key's",
            known.kid()
        );
        assert_eq!(wrong(&verify(&[("r", list.as_bytes()), ("k", &jwks(&[known]))])), [says]);
    }
}

#[test]
fn a_key_hands_over_to_another_with_both_signatures() {
    let (old, new) = (key(Kind::Ed25519), key(Kind::Ed25519));
    let at = "2026-11-25T00:00:00Z".parse().expect("an instant");
    let record = rotation::sign("small", Purpose::Statement, at, &old, &new).expect("signed");
    let record: Value = serde_json::from_str(&record.to_string()).expect("JSON");
    let list = json!({ "items": [record] }).to_string().into_bytes();
    let (both, one) = (jwks(&[&old, &new]), jwks(&[&old]));
    let report = verify(&[("r", &list), ("k", &both)]);
    let holds =
        format!("rotations: {} handed over to {} from 2026-11-25T00:00:00Z on, signed by both", old.kid(), new.kid());
    assert_eq!((wrong(&report), told(&report, Mark::Holds).last()), (Vec::new(), Some(&holds)));
    let report = verify(&[("r", &list), ("k", &one)]);
    assert_eq!((wrong(&report), told(&report, Mark::Unchecked)), (Vec::new(), vec![lacking("", &old, &new)]));
    for at in 0..list.len() {
        let mut changed = list.clone();
        changed[at] ^= 1;
        assert_ne!(wrong(&verify(&[("r", &changed), ("k", &both)])), NOTHING, "byte {at}");
    }
    assert_eq!(wrong(&verify(&[("r", br#"{"items":[]}"#), ("k", &both)])), NOTHING);
}

#[test]
fn the_logs_key_hands_over_and_checkpoints_of_both_keys_hold() {
    let (old, new) = (key(Kind::Ed25519), key(Kind::Ed25519));
    let at = "2026-11-25T00:00:00Z".parse().expect("an instant");
    let record = rotation::sign("small", Purpose::Checkpoint, at, &old, &new).expect("signed");
    let record: Value = serde_json::from_str(&record.to_string()).expect("JSON");
    let list = json!({ "items": [record] }).to_string().into_bytes();
    let (both, one) = (jwks(&[&old, &new]), jwks(&[&old]));
    let signed = |key: &SigningKey| {
        let checkpoint = Checkpoint { origin: "small.example".to_owned(), size: 4, root: [7; 32] };
        checkpoint.sign(key).expect("signed").to_string().into_bytes()
    };
    let (early, late) = (signed(&old), signed(&new));
    let report = verify(&[("r", &list), ("k", &both), ("e", &early), ("l", &late)]);
    let holds = format!(
        "rotations: the log's key {} handed over to {} from 2026-11-25T00:00:00Z on, signed by both",
        old.kid(),
        new.kid()
    );
    assert_eq!(wrong(&report), NOTHING);
    assert!(told(&report, Mark::Holds).contains(&holds), "{:?}", told(&report, Mark::Holds));
    let report = verify(&[("r", &list), ("k", &one), ("e", &early)]);
    assert_eq!(
        (wrong(&report), told(&report, Mark::Unchecked)),
        (Vec::new(), vec![lacking("the log's key ", &old, &new)])
    );
}
