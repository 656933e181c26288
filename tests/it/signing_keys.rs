//! Signing keys over the partner API: proven, listed, retired, never another's.

use crate::tls::{Client, House};
use hanse::domain::holder::Holder;
use hanse::service::signing_keys::proof_payload;
use hanse::signing::jws::SigningKey;
use serde_json::{Value, json};

fn new_key() -> SigningKey {
    SigningKey::from_pkcs8(&SigningKey::generate().expect("a key")).expect("a key")
}

fn proven(key: &SigningKey, kind: &str, name: &str) -> Value {
    let holder = Holder::of(kind, name).expect("a holder");
    let proof = key.sign("key-proof+jws", &proof_payload(&holder, key.kid()));
    json!({ "jwk": key.public().to_jwk(), "proof": proof })
}

fn post(client: &Client, path: &str, body: &Value) -> (u16, Value) {
    let answer = client.post(path, body.to_string().as_bytes()).expect("an answer");
    if answer.status >= 400 {
        answer.code();
    }
    (answer.status, answer.json())
}

#[test]
fn a_key_is_registered_by_who_holds_it_and_retired_for_good() {
    let house = House::new("keys");
    let [lumen, harvest] = ["lumen", "harvest"].map(|name| house.client("partner", name));
    let key = new_key();
    let body = proven(&key, "partner", "lumen");
    let (status, first) = post(&lumen, "/v1/signing-keys", &body);
    assert_eq!((status, &first["kid"], &first["status"]), (201, &json!(key.kid()), &json!("active")), "{first}");
    assert_eq!(post(&lumen, "/v1/signing-keys", &body), (201, first));

    let list = |client: &Client| client.get("/v1/signing-keys").expect("an answer").json()["items"].clone();
    assert_eq!(list(&lumen).as_array().map(Vec::len), Some(1));
    assert_eq!(list(&harvest), json!([]));

    // Not the other's, and for the other not there at all.
    let retire = format!("/v1/signing-keys/{}/retire", key.kid());
    assert_eq!(post(&harvest, &retire, &json!({})).0, 404);
    assert_eq!(
        post(&harvest, "/v1/signing-keys", &proven(&key, "partner", "harvest")).1["errors"][0]["pointer"],
        "/jwk"
    );
    let (status, retired) = post(&lumen, &retire, &json!({}));
    assert_eq!((status, &retired["status"]), (200, &json!("retired")));
    assert_eq!(post(&lumen, &retire, &json!({})), (200, retired));
    assert_eq!(post(&lumen, "/v1/signing-keys", &body).0, 422);
    for odd in ["none", "x%00", "%00", "--6IM5l0OosLj9yWskISYhUA3n_3CURQkmrYMSha_c%00"] {
        assert_eq!(post(&lumen, &format!("/v1/signing-keys/{odd}/retire"), &json!({})).0, 404, "{odd}");
        let path = format!("/v1/certificates/{odd}");
        let ended = lumen.connect().and_then(|mut open| open.send("DELETE", &path, None)).expect("an answer");
        assert_eq!((ended.status, ended.code().as_str()), (404, "not_found"), "{odd}");
    }
}

#[test]
fn a_proof_is_by_the_very_key_for_the_very_caller() {
    let house = House::new("proofs");
    let lumen = house.client("partner", "lumen");
    let (key, other) = (new_key(), new_key());
    let jwk = key.public().to_jwk();
    let payload = proof_payload(&Holder::of("partner", "lumen").expect("a slug"), key.kid());
    let mut private = jwk.clone();
    private["d"] = json!("c2VjcmV0");
    for (body, pointer) in [
        (json!({ "jwk": jwk, "proof": other.sign("key-proof+jws", &payload) }), "/proof"),
        (json!({ "jwk": jwk, "proof": key.sign("quote+jws", &payload) }), "/proof"),
        (json!({ "jwk": jwk, "proof": key.sign("key-proof+jws", b"{}") }), "/proof"),
        (json!({ "jwk": jwk, "proof": "" }), "/proof"),
        (proven(&key, "partner", "harvest"), "/proof"),
        (proven(&key, "operator", "lumen"), "/proof"),
        (json!({ "jwk": private, "proof": key.sign("key-proof+jws", &payload) }), "/jwk"),
        (json!({ "jwk": "text", "proof": "" }), "/jwk"),
        (json!({ "jwk": jwk }), "/proof"),
    ] {
        let (status, problem) = post(&lumen, "/v1/signing-keys", &body);
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{body} {problem}");
    }
    // An operator's keys are proven with its own name.
    let ada = house.client("operator", "ada");
    assert_eq!(post(&ada, "/v1/signing-keys", &proven(&key, "operator", "ada")).0, 201);
}
