//! Faults of two ledgers by their numbers, as the reference of webhooks and their security counts them; 46 is at the
//! reading of answers, and `matrix` meets all of them at every call.

use super::stage::{AA, BB, PATIENCE, Stage};
use super::taken_back::{id, once};
use hanse::domain::holder::Holder;
use hanse::service::signing_keys::proof_payload;
use hanse::signing::jws::SigningKey;
use hanse::signing::webhook::{Stamp, verify};
use hanse::store::crossings;
use serde_json::{Value, json};

const QUICK: [&str; 2] = ["--crossing-call-ms", "500"];

/// Registers the key that a partner's ledger signs its answers with: from here on they are kept as evidence.
fn register_key(stage: &Stage, slug: &str) -> SigningKey {
    let file = stage.folder.path().join(slug).join("signing.p8");
    let key = SigningKey::from_pkcs8(&std::fs::read(file).expect("its key")).expect("a key");
    let holder = Holder::of("partner", slug).expect("a holder");
    let proof = key.sign("key-proof+jws", &proof_payload(&holder, key.kid()));
    let body = json!({ "jwk": key.public().to_jwk(), "proof": proof });
    let sent = stage.client(slug).post(stage.url("/v1/signing-keys")).json(&body).send().expect("an answer");
    assert_eq!(sent.status(), 201, "{}", sent.text().unwrap_or_default());
    key
}

/// The signed answers that are kept of a conversion, each verified with the partner's key: `(call, id, body)`.
fn evidence(stage: &Stage, conversion: &Value, key: &SigningKey) -> Vec<(String, String, Value)> {
    let id = conversion["conversion_id"].as_str().and_then(|id| id.strip_prefix("cnv_")).expect("an id");
    let kept = crossings::evidence(&mut stage.database.connection(), id.parse().expect("an id")).expect("read");
    let read = |kept: crossings::Evidence| {
        let document: Value = serde_json::from_str(&kept.document).expect("JSON");
        let of = |name: &str| document[name].as_str().unwrap_or_else(|| panic!("{name}: {document}"));
        let (stamp_id, body) = (of("webhook-id"), of("body"));
        let (timestamp, signature) = (of("webhook-timestamp"), of("webhook-signature"));
        let now = timestamp.parse().expect("seconds");
        let stamp = Stamp { id: stamp_id, timestamp, signature };
        verify(stamp, body.as_bytes(), &[], std::slice::from_ref(key.public()), now).expect("its own signature");
        (kept.call, stamp_id.to_owned(), serde_json::from_str(body).expect("JSON"))
    };
    kept.into_iter().map(read).collect()
}

/// Types of the events that a brand has had of a conversion.
fn told(stage: &Stage, slug: &str, conversion: &Value) -> Vec<(String, Value)> {
    let url = stage.url("/v1/events?limit=200");
    let page: Value = stage.client(slug).get(url).send().expect("an answer").json().expect("JSON");
    let events = page["items"].as_array().expect("a list").iter();
    events
        .filter(|event| event["data"]["conversion_id"] == *conversion)
        .map(|event| (event["type"].as_str().expect("a type").to_owned(), event["data"].clone()))
        .collect()
}

#[test]
fn fault_44_a_timeout_and_a_late_success_credit_once() {
    let stage = Stage::new("fault-44", 2, &QUICK);
    for (nth, fault) in ["credit:timeout_after=x2", "credit:late_success=x1@1"].iter().enumerate() {
        stage.faults(BB, fault);
        let accepted = stage.convert(&format!("k{nth}"), 1, 100);
        once(&stage, &id(&accepted), "completed");
    }
    let calls = &stage.control(BB, reqwest::Method::GET, "/totals", "")["calls"];
    assert!(calls["credit"].as_i64() > Some(2) || calls["get_credit"].as_i64() > Some(0), "asked again: {calls}");
    let ledger = stage.ledger(BB);
    assert_eq!(ledger["totals"]["credited"], 110, "twice 55, and no point more");
    assert_eq!(ledger["credits"].as_array().map(Vec::len), Some(2), "{ledger}");
    stage.agree();
    stage.audit();
}

#[test]
fn fault_45_whoever_granted_a_hold_and_denies_it_has_signed_it() {
    let stage = Stage::new("fault-45", 1, &QUICK);
    let key = register_key(&stage, "aa");
    stage.faults(AA, "capture:refuse=1");
    let accepted = stage.convert("k1", 1, 100);
    once(&stage, &id(&accepted), "in_doubt");
    let evidence = evidence(&stage, &accepted, &key);
    let hold = evidence.iter().find(|(call, ..)| call == "hold").expect("the hold it denies");
    assert_eq!((&hold.2["points"], hold.2["hold_id"] == hold.1), (&json!(100), true), "{evidence:?}");
    assert!(evidence.iter().all(|(.., body)| body["state"] != "captured"), "{evidence:?}");
    stage.audit();
}

#[test]
fn fault_47_a_credit_that_is_refused_for_good_gives_the_held_points_back_for_both_to_see() {
    let stage = Stage::new("fault-47", 1, &QUICK);
    stage.faults(BB, "credit:refuse=x1");
    let accepted = stage.convert("k1", 1, 100);
    let released = once(&stage, &id(&accepted), "released");
    assert_eq!(released["code"], "refused", "{released}");
    let ledgers = [AA, BB].map(|at| stage.ledger(at));
    let of = |at: usize, name: &str| ledgers[at]["totals"][name].as_i64().expect("points");
    assert_eq!((of(AA, "held"), of(AA, "captured"), of(BB, "credited")), (0, 0, 0));
    let holds = &ledgers[AA]["holds"][0][1];
    assert_eq!(holds["state"], "released", "the hold and its release are both in the source's books: {holds}");
    for (slug, wanted) in
        [("aa", vec!["conversion.pending", "conversion.released"]), ("bb", vec!["conversion.released"])]
    {
        let told = told(&stage, slug, &accepted["conversion_id"]);
        let types: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
        assert!(types.ends_with(&wanted), "{slug}: {types:?}");
        assert_eq!(told.last().map(|(_, data)| &data["code"]), Some(&json!("refused")), "{slug}: {told:?}");
    }
    stage.agree();
    stage.audit();
}

#[test]
fn fault_48_what_a_partner_says_again_is_what_it_said_once() {
    let stage = Stage::new("fault-48", 1, &QUICK);
    let key = register_key(&stage, "aa");
    let first = stage.convert("k1", 1, 100);
    once(&stage, &id(&first), "completed");
    // The signed answers of the first conversion, where the second's should be.
    stage.faults(AA, "hold:old_answer=x1,capture:old_answer=x1");
    let second = stage.convert("k2", 1, 100);
    once(&stage, &id(&second), "completed");
    let met = &stage.control(AA, reqwest::Method::GET, "/totals", "")["faults"]["old_answer"];
    assert_eq!(*met, 2);
    for conversion in [&first, &second] {
        let evidence = evidence(&stage, conversion, &key);
        assert!(evidence.iter().any(|(call, ..)| call == "hold"), "{evidence:?}");
        for (call, signed, body) in &evidence {
            let own = conversion["conversion_id"].as_str().and_then(|id| id.split_once('_')).expect("an id").1;
            let hold = body["hold_id"].as_str().expect("a hold");
            assert!(signed.contains(own) && hold.ends_with(own), "{call}: {signed} {body}");
        }
    }
    // Requests of the partner's that come again are answered as before.
    for _ in 0..3 {
        assert_eq!(stage.convert("k1", 1, 100), first);
    }
    assert_eq!(stage.all_over(PATIENCE), (2, 0));
    stage.agree();
    stage.audit();
}
