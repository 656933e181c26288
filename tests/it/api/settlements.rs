//! Settlement from the outside: windows, the signed statement, its lines and proofs, counter-signing, the log.

use super::{Api, Caller, Expect};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hanse::domain::holder::Holder;
use hanse::service::signing_keys::proof_payload;
use hanse::signing::general::{Document, TYP};
use hanse::signing::jws::SigningKey;
use hanse::signing::merkle;
use hanse::signing::note::{Note, Vkey};
use hanse::signing::{canonical, note};
use serde_json::{Value, json};

fn key_of(caller: &Caller, slug: &str) -> SigningKey {
    let key = SigningKey::from_pkcs8(&SigningKey::generate().expect("a key")).expect("a key");
    let proof = proof_payload(&Holder::of("partner", slug).expect("a holder"), key.kid());
    let body = json!({ "jwk": key.public().to_jwk(), "proof": key.sign("key-proof+jws", &proof) });
    caller.post("/v1/signing-keys", "", &body).status(201);
    key
}

fn hash(hex: &Value) -> merkle::Hash {
    let text = hex.as_str().expect("hexadecimal");
    let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hexadecimal");
    std::array::from_fn(byte)
}

fn hashes(path: &Value) -> Vec<merkle::Hash> {
    path.as_array().expect("a path").iter().map(hash).collect()
}

/// A conversion of 136 points and half of it back, in one closed window.
fn a_month(api: &Api) -> (String, String) {
    api.linked();
    let body = json!({ "member_ref": "A-1", "to": "bb", "points": 137, "external_reference": "=1+1" });
    let made = api.aa.post("/v1/conversions", "c1", &body).status(201);
    let id = made["conversion_id"].as_str().expect("an id").to_owned();
    let body = json!({ "credit_points": 34, "reason": "returned", "external_reference": "r1" });
    let asked = api.aa.post(&format!("/v1/conversions/{id}/reversals"), "r1", &body).status(201);
    let reversal = asked["reversal_id"].as_str().expect("an id");
    api.bb.post(&format!("/v1/reversals/{reversal}/confirmation"), "y1", &Value::Null).status(200);
    (api.close_window().id.to_string(), id)
}

#[test]
fn a_partner_reads_its_statement_lines_and_proofs_and_nobody_elses() {
    let api = Api::new("settlements", "");
    let (window, conversion) = a_month(&api);
    let list = api.aa.get("/v1/settlements").status(200);
    let states: Vec<&Value> = list["items"].as_array().expect("items").iter().map(|item| &item["state"]).collect();
    assert_eq!(states, ["open", "published"], "{list:#}");
    let seen = api.aa.get(&format!("/v1/settlements/{window}")).status(200);
    assert_eq!((&seen["statement"]["state"], &seen["obligations"][0]["debtor"]), (&json!("published"), &json!("aa")));
    assert_eq!(seen["obligations"][0]["state"], "due", "{seen:#}");

    let answer = api.aa.get(&format!("/v1/settlements/{window}/statement"));
    answer.status(200);
    let document = Document::parse(&answer.body).expect("a document");
    let jwks = api.keys.jwks();
    let verified = document.verify_all(|kid| api.keys.statement_key(kid)).expect("both hold");
    assert_eq!(verified.iter().map(|made| made.1.as_str()).collect::<Vec<_>>(), ["EdDSA", "ES256"], "{jwks}");
    let statement: Value = serde_json::from_slice(document.payload()).expect("JSON");

    let answer = api.aa.get(&format!("/v1/settlements/{window}/lines"));
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<&[u8]> = answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let leaves: Vec<merkle::Hash> = lines.iter().map(|line| merkle::leaf_hash(line)).collect();
    assert_eq!((lines.len(), hash(&statement["lines"]["root"])), (2, merkle::root(&leaves)));
    for line in &lines {
        let value: Value = serde_json::from_slice(line).expect("JSON");
        assert_eq!(canonical::to_vec(&value).expect("canonical"), *line);
        assert_eq!(value["conversion_id"], conversion.as_str());
    }
    let csv = api.aa.get(&format!("/v1/settlements/{window}/lines?format=csv")).body;
    let csv = String::from_utf8(csv).expect("UTF-8");
    assert!(csv.lines().count() == 3 && csv.contains(",'=1+1,"), "a reference runs nothing: {csv}");
    let other = api.bb.get(&format!("/v1/settlements/{window}/lines")).body;
    assert!(!String::from_utf8(other).expect("UTF-8").contains("=1+1"), "a reference is its brand's");

    let proofs = api.bb.get(&format!("/v1/settlements/{window}/proofs/{conversion}")).status(200);
    let (root, size) = (hash(&proofs["root"]), proofs["size"].as_u64().expect("a size"));
    let proven = proofs["lines"].as_array().expect("lines");
    assert_eq!(proven.len(), 4, "conversion, memo, and both back: {proofs:#}");
    for row in proven {
        let leaf = merkle::leaf_hash(row["line"].as_str().expect("a line").as_bytes());
        let index = row["index"].as_u64().expect("an index");
        assert!(merkle::verify_inclusion(&root, size, index, &leaf, &hashes(&row["path"])));
    }
    api.cc.get(&format!("/v1/settlements/{window}/proofs/{conversion}")).refused(404, "not_found");
    api.aa.get(&format!("/v1/settlements/{window}?participant=bb")).refused(404, "not_found");
    let operator = api.operator();
    let seen = operator.get(&format!("/v1/settlements/{window}?participant=bb")).status(200);
    assert_eq!(seen["statement"]["participant"], "bb");
    assert_eq!(operator.get(&format!("/v1/settlements/{window}")).status(200)["statement"]["participant"], "operator");
    let open = list["items"][0]["window_id"].as_str().expect("an id");
    api.aa.get(&format!("/v1/settlements/{open}/statement")).refused(404, "not_found");
    let early = format!("/v1/reports/statement?window={}", list["items"][0]["number"]);
    api.aa.get(&early).refused(404, "not_found");
    operator.get(&format!("{early}&participant=bb")).refused(422, "invalid");
    api.aa.get("/v1/settlements/win_00000000000000000000000000000000").refused(404, "not_found");
    api.aa.get(&format!("/v1/settlements/{window}/lines?format=xml")).refused(422, "invalid");
}

#[test]
fn a_partner_counter_signs_in_the_same_document_and_witnesses_the_log() {
    let api = Api::new("countersign", "");
    let (window, _) = a_month(&api);
    let path = format!("/v1/settlements/{window}");
    let document = api.aa.get(&format!("{path}/statement")).body;
    let document = Document::parse(&document).expect("a document");
    let (mine, theirs) = (key_of(&api.aa, "aa"), key_of(&api.bb, "bb"));
    let sign = |key: &SigningKey, payload: &[u8]| {
        let made = key.sign_detached(TYP, payload);
        json!({ "protected": made.protected, "signature": made.signature })
    };
    let post = |caller: &Caller, body: &Value| caller.post(&format!("{path}/signatures"), "", body);
    post(&api.aa, &sign(&theirs, document.payload())).refused(422, "invalid");
    post(&api.aa, &sign(&mine, b"{}")).refused(422, "invalid");
    post(&api.bb, &sign(&mine, document.payload())).refused(422, "invalid");
    let alliances = document.signatures().next().expect("the alliance's own");
    let alliances = json!({ "protected": alliances.protected, "signature": alliances.signature });
    post(&api.aa, &alliances).refused(422, "invalid");
    let good = sign(&mine, document.payload());
    let answer = post(&api.aa, &good);
    answer.status(201);
    let signed = Document::parse(&answer.body).expect("a document");
    assert_eq!(signed.payload(), document.payload());
    let keys = |kid: &str| {
        if kid == mine.kid() { Some(mine.public().clone()) } else { api.keys.statement_key(kid) }
    };
    assert_eq!(signed.verify_all(keys).expect("all hold").len(), 3);
    assert_eq!(post(&api.aa, &good).body, answer.body, "the same signature again");
    assert_eq!(api.aa.get(&path).status(200)["statement"]["state"], "acknowledged");
    assert_eq!(api.bb.get(&path).status(200)["statement"]["state"], "published");
    // A dispute is seen in it, and its end.
    let lines = api.lines(window.parse().expect("an id"), "aa");
    let disputed = json!({ "line_id": lines[0]["line_id"], "kind": "identity", "note": "nobody of ours" });
    let dispute = api.aa.post(&format!("{path}/disputes"), "", &disputed).status(201);
    assert_eq!(api.aa.get(&path).status(200)["statement"]["state"], "disputed");
    let dispute = dispute["dispute_id"].as_str().expect("an id");
    api.aa.post(&format!("/v1/disputes/{dispute}/withdrawal"), "", &json!({})).status(200);
    assert_eq!(api.aa.get(&path).status(200)["statement"]["state"], "acknowledged");
    // Another key of the partner may sign as well.
    let second = key_of(&api.aa, "aa");
    post(&api.aa, &sign(&second, document.payload())).status(201);

    let note = hanse::service::settlement::read::checkpoint(&mut api.house.database.connection());
    let note = note.expect("read").expect("a checkpoint");
    let mut note = Note::parse(note.as_bytes()).expect("a note");
    let log = api.keys.checkpoint_keys("small.example").expect("keys").pop().expect("a key");
    // Four statements and two receipts.
    assert_eq!(note.checkpoint(&log).expect("it holds").size, 6);
    let at = chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("an instant");
    note.cosign("bb", &theirs, at).expect("cosigned");
    let line = note.to_string().trim_end().lines().last().expect("a line").to_owned();
    api.aa.post("/checkpoint/cosignatures", "", &json!({ "kid": mine.kid(), "line": line })).refused(422, "invalid");
    // With the end it has in a note, or without.
    let body = json!({ "kid": theirs.kid(), "line": format!("{line}\n") });
    let cosigned = api.bb.post("/checkpoint/cosignatures", "", &body);
    cosigned.status_only(201);
    let cosigned = Note::parse(&cosigned.body).expect("a note");
    let vkey = Vkey::new("bb", note::Kind::Cosigner, theirs.public()).expect("a vkey");
    assert_eq!(cosigned.verify_cosignature(&vkey).expect("it holds"), at);
    // By another key of its own as well, whichever signed before.
    let newer = key_of(&api.aa, "aa");
    post(&api.aa, &sign(&newer, document.payload())).status_only(201);
    // base64url as JOSE has it.
    assert!(URL_SAFE_NO_PAD.decode(good["protected"].as_str().expect("text")).is_ok());
}

/// A line by `key` of bb's under the log's checkpoint as `bare` has it, as of these seconds.
fn cosigned(bare: &[u8], key: &SigningKey, seconds: i64) -> Value {
    let mut note = Note::parse(bare).expect("a note");
    let at = chrono::DateTime::from_timestamp(seconds, 0).expect("an instant");
    note.cosign("bb", key, at).expect("cosigned");
    json!({ "kid": key.kid(), "line": note.to_string().trim_end().lines().last().expect("a line") })
}

#[test]
fn a_checkpoint_takes_no_more_cosignatures_than_its_readers_do() {
    let api = Api::new("cosigned-full", "");
    a_month(&api);
    let theirs = key_of(&api.bb, "bb");
    let line = cosigned(&api.bb.get("/checkpoint").body, &theirs, 1_700_000_000);
    // The alliance's own signature and those of 99 others.
    api.sql(
        "INSERT INTO cosignatures (size, partner, line, at) SELECT (SELECT max(size) FROM checkpoints), 'p' || n, \
         '— p' || n || ' AAAAAAAA', now() FROM generate_series(1, 99) n",
    )
    .expect("witnessed");
    api.bb.post("/checkpoint/cosignatures", "", &line).refused(422, "invalid");
    let served = Note::parse(&api.bb.get("/checkpoint").body).expect("a note that its readers take");
    assert_eq!(served.signers().count(), note::SIGNATURES_MAX);
}

#[test]
fn the_first_cosignature_of_a_partner_stays() {
    let api = Api::new("cosigned-twice", "");
    a_month(&api);
    let theirs = key_of(&api.bb, "bb");
    let bare = api.bb.get("/checkpoint").body;
    let cosign = |seconds| {
        let answer = api.bb.post("/checkpoint/cosignatures", "", &cosigned(&bare, &theirs, seconds));
        answer.status_only(201);
        answer.body
    };
    let first = cosign(1_700_000_000);
    assert_eq!((cosign(1_700_000_000), cosign(1_700_000_001)), (first.clone(), first));
}

#[test]
fn the_log_is_read_on_both_listeners_and_by_its_published_verifier_key() {
    let api = Api::new("log-read", "");
    api.aa.get("/checkpoint").refused(404, "not_found");
    a_month(&api);
    for path in ["/checkpoint", "/checkpoint/consistency?from=1", "/checkpoint/keys"] {
        let answer = api.aa.get(path);
        answer.status_only(200);
        assert_eq!(api.public(path), (200, answer.body), "{path}");
    }
    let note = Note::parse(&api.bb.get("/checkpoint").body).expect("a note");
    let keys = String::from_utf8(api.operator().get("/checkpoint/keys").body).expect("UTF-8");
    let [key] = keys.lines().collect::<Vec<_>>().try_into().expect("one key");
    assert!(key.starts_with("small.example+"), "{key}");
    let key = Vkey::parse(key).expect("a verifier key");
    assert_eq!(note.checkpoint(&key).expect("it holds").size, 4);
    let grown = api.aa.get("/checkpoint/consistency?from=2").status(200);
    assert_eq!((&grown["from"], &grown["to"]), (&json!(2), &json!(4)));
    api.aa.get("/checkpoint/consistency?from=5").refused(404, "not_found");
    api.aa.get("/checkpoint/consistency?from=0").refused(404, "not_found");
}

#[test]
fn reports_are_the_callers_own_and_in_every_form() {
    let api = Api::new("reports-api", "");
    a_month(&api);
    let answer = api.aa.get("/v1/reports/statement?window=1");
    assert_eq!(answer.status(200)["code"], "statement");
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"statement-w0001-aa.json\""));
    for (format, begins) in [("csv", "\u{feff}".as_bytes()), ("xlsx", b"PK"), ("html", b"<!doctype html>")] {
        let answer = api.aa.get(&format!("/v1/reports/statement?window=1&format={format}"));
        answer.status_only(200);
        assert!(answer.body.starts_with(begins), "{format}: {}", String::from_utf8_lossy(&answer.body[..40]));
    }
    api.aa.get("/v1/reports/statement?window=1&format=csv&section=nothing").refused(404, "not_found");
    api.aa.get("/v1/reports/statement").refused(422, "invalid");
    let id = api.window(1);
    let named = |window: &str| api.aa.get(&format!("/v1/reports/statement?window={window}"));
    assert_eq!(named(&id.to_string()).status(200), named("1").status(200));
    named("win_00000000000000000000000000000000").refused(404, "not_found");
    for wrong in ["statement?window=first", "statement?window=01", "statement?window=0", "ageing?window=1"] {
        let problem = api.aa.get(&format!("/v1/reports/{wrong}")).refused(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], "?window", "{problem:#}");
    }
    api.aa.get("/v1/reports/statement?window=2").refused(404, "not_found");
    api.aa.get("/v1/reports/statement?window=1&participant=bb").refused(404, "not_found");
    api.aa.get("/v1/reports/summary?window=1").refused(403, "forbidden");
    api.aa.get("/v1/reports/nothing").refused(404, "not_found");
    let operator = api.operator();
    operator.get("/v1/reports/statement?window=1").refused(422, "invalid");
    for name in [
        "statement?window=1&participant=bb",
        "pairs?window=1",
        "summary?window=1",
        "journal?window=1",
        "invoices?window=1",
        "exposures",
        "liability",
        "points",
        "ageing",
        "rates",
    ] {
        operator.get(&format!("/v1/reports/{name}")).status(200);
    }
    let mine = String::from_utf8(api.cc.get("/v1/reports/exposures").body).expect("UTF-8");
    assert!(!mine.contains("pair:aa:bb"), "{mine}");
}
