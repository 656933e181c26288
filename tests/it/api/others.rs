//! Fault 12: a partner that names another one's things, in path or body, finds nothing there.

use super::{Api, Expect};
use serde_json::{Value, json};

#[test]
fn fault_12_what_is_another_partners_is_not_there() {
    let api = Api::new("fault-12", "");
    api.linked();
    let member = api.aa.get("/v1/memberships/A-1").status(200);
    let link = member["links"][0]["link_id"].as_str().expect("an id").to_owned();
    let made =
        api.aa.post("/v1/conversions", "c1", &json!({ "member_ref": "A-1", "to": "bb", "points": 100 })).status(201);
    let conversion = made["conversion_id"].as_str().expect("an id").to_owned();
    let body = json!({ "credit_points": 10, "reason": "returned", "external_reference": "r1" });
    let reversal = api.aa.post(&format!("/v1/conversions/{conversion}/reversals"), "r1", &body).status(201);
    let reversal = reversal["reversal_id"].as_str().expect("an id").to_owned();
    let credit = json!({ "points": 5, "reason": "gift", "external_reference": "g1" });
    let movement = api.aa.post("/v1/memberships/A-1/credits", "g1", &credit).status(201);
    let movement = movement["credit_id"].as_str().expect("an id").to_owned();
    let window = api.close_window().id;
    let kid = "A".repeat(43);
    let x5t = api.house.authority_facts("aa").x5t;

    // Everything of `aa` and of `bb`, asked for by `cc`, which is a side of none of it.
    for path in [
        "/v1/memberships/A-1".to_owned(),
        "/v1/memberships/A-1/entries".to_owned(),
        "/v1/memberships/A-1/export".to_owned(),
        format!("/v1/links/{link}"),
        format!("/v1/conversions/{conversion}"),
        format!("/v1/settlements/{window}?participant=aa"),
        format!("/v1/settlements/{window}/statement?participant=aa"),
        format!("/v1/settlements/{window}/lines?participant=aa"),
        format!("/v1/settlements/{window}/proofs/{conversion}"),
    ] {
        api.cc.get(&path).refused(404, "not_found");
    }
    let found = api.cc.get("/v1/conversions?external_reference=order-1").status(200);
    assert_eq!(found["items"], json!([]));
    for (method, path, body) in [
        ("POST", "/v1/memberships/A-1/credits".to_owned(), Some(credit.clone())),
        ("POST", "/v1/memberships/A-1/debits".to_owned(), Some(credit)),
        ("POST", "/v1/memberships/A-1/erasures".to_owned(), None),
        ("POST", "/v1/quotes".to_owned(), Some(json!({ "member_ref": "A-1", "to": "bb", "points": 20 }))),
        ("POST", "/v1/conversions".to_owned(), Some(json!({ "member_ref": "A-1", "to": "bb", "points": 20 }))),
        ("POST", format!("/v1/conversions/{conversion}/undo"), None),
        ("POST", format!("/v1/reversals/{reversal}/confirmation"), None),
        (
            "POST",
            format!("/v1/credits/{movement}/reversals"),
            Some(json!({ "points": 1, "reason": "x", "external_reference": "x" })),
        ),
        ("POST", format!("/v1/settlements/{window}/signatures?participant=aa"), Some(json!({ "jws": "a.b.c" }))),
        ("POST", format!("/v1/signing-keys/{kid}/retire"), None),
        ("DELETE", format!("/v1/links/{link}"), None),
        ("DELETE", format!("/v1/certificates/{x5t}"), None),
    ] {
        let answer = api.cc.send(method, &path, "theirs", body.as_ref());
        assert!([404, 422].contains(&answer.status), "{method} {path}: {answer:?}");
        let problem: Value = answer.json();
        // A body that names a member nobody has is as wrong as one that names another's; nothing is told of either.
        assert!(
            ["not_found", "invalid"].contains(&problem["code"].as_str().unwrap_or_default()),
            "{method} {path}: {problem}"
        );
        if problem["code"] == "invalid" {
            assert!(path.contains("signatures"), "{method} {path}: {problem}");
        }
    }
    // `bb` is a side of the conversion, and of nothing else of `aa`.
    api.bb.get(&format!("/v1/conversions/{conversion}")).status(200);
    api.bb.get("/v1/memberships/A-1").refused(404, "not_found");
    api.bb.send("DELETE", &format!("/v1/certificates/{x5t}"), "", None).refused(404, "not_found");
    api.aa.get("/v1/certificates").status(200);
}
