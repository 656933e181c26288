//! Credits, debits and taking them back.

use super::{Api, Expect};
use serde_json::{Value, json};

fn body(points: i64, reference: &str) -> Value {
    json!({ "points": points, "reason": "purchase", "external_reference": reference })
}

#[test]
fn a_return_takes_points_back_and_what_is_missing_is_owed() {
    let api = Api::new("returns", "");
    api.linked();
    let credit = api.aa.post("/v1/memberships/A-1/credits", "c1", &body(100, "c1")).status(201);
    assert_eq!((&credit["kind"], &credit["points"]), (&json!("earn"), &json!(100)));
    api.aa.post("/v1/memberships/A-1/debits", "d1", &body(300, "d1")).status(201);
    let path = format!("/v1/credits/{}/reversals", credit["credit_id"].as_str().expect("an id"));
    api.bb.post(&path, "r1", &body(60, "r1")).refused(404, "not_found");
    let first = api.aa.post(&path, "r1", &body(60, "r1"));
    let back = first.status(201);
    assert_eq!(
        (&back["points"], &back["owed_points"], &back["credit_id"]),
        (&json!(60), &json!(23), &credit["credit_id"])
    );
    assert_eq!(api.aa.post(&path, "r1", &body(60, "r1")).body, first.body);
    api.aa.post(&path, "r2", &body(41, "r2")).refused(422, "reversal_exceeds");
    let convert = json!({ "member_ref": "A-1", "to": "bb", "points": 20 });
    api.aa.post("/v1/conversions", "k1", &convert).refused(422, "points_owed");
    let met = api.aa.post("/v1/memberships/A-1/credits", "c2", &body(50, "c2")).status(201);
    assert_eq!(met["owed_points"], 23);
    let member = api.aa.get("/v1/memberships/A-1").status(200);
    assert_eq!((&member["balance"], &member["owed"]), (&json!(27), &json!(0)));
}

#[test]
fn a_cancelled_debit_gives_its_points_back() {
    let api = Api::new("cancelled", "");
    api.linked();
    let debit = api.aa.post("/v1/memberships/A-1/debits", "d1", &body(120, "d1")).status(201);
    let path = format!("/v1/debits/{}/reversals", debit["debit_id"].as_str().expect("an id"));
    let back = api.aa.post(&path, "r1", &body(20, "r1")).status(201);
    assert_eq!(
        back["lots"],
        json!([{ "points": 19, "expires_on": "2027-08-31" }, { "points": 1, "expires_on": "2027-06-30" }])
    );
    let wrong = format!("/v1/credits/{}/reversals", debit["debit_id"].as_str().expect("an id"));
    api.aa.post(&wrong, "r2", &body(1, "r2")).refused(404, "not_found");
}

#[test]
fn pending_points_are_shown_and_neither_spent_nor_converted() {
    let api = Api::new("pending", "");
    api.aa.register("A-1");
    let credit = json!({ "points": 10, "reason": "purchase", "external_reference": "c1", "available_on": "2099-01-01", "expires_on": "2099-12-31" });
    api.aa.post("/v1/memberships/A-1/credits", "c1", &credit).status(201);
    let member = api.aa.get("/v1/memberships/A-1").status(200);
    assert_eq!(member["lots"], json!([{ "expires_on": "2099-12-31", "points": 10, "available_on": "2099-01-01" }]));
    api.aa.post("/v1/memberships/A-1/debits", "d1", &body(1, "d1")).refused(422, "insufficient_points");
    let wrong = json!({ "points": 10, "reason": "purchase", "external_reference": "c2", "expires_on": "2099-12-30" });
    let problem = api.aa.post("/v1/memberships/A-1/credits", "c2", &wrong).refused(422, "invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/expires_on");
}

#[test]
fn a_day_that_is_over_is_told_by_its_field_also_within_a_batch() {
    let api = Api::new("past-days", "");
    api.aa.register("A-1");
    let mut credit = json!({ "points": 10, "reason": "r", "external_reference": "c1", "expires_on": "2020-01-31" });
    let problem = api.aa.post("/v1/memberships/A-1/credits", "c1", &credit).refused(422, "invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/expires_on");
    credit["member_ref"] = json!("A-1");
    credit["idempotency_key"] = json!("c2");
    let mut other = credit.clone();
    other["expires_on"] = json!("2099-12-31");
    other["available_on"] = json!("2100-01-01");
    let outcomes = api.aa.post("/v1/credits/batch", "", &json!({ "items": [other, credit] })).status(200);
    let pointer = |index: usize| &outcomes["items"][index]["problem"]["errors"][0]["pointer"];
    assert_eq!((pointer(0), pointer(1)), (&json!("/items/0/available_on"), &json!("/items/1/expires_on")));
}

#[test]
fn a_batch_posts_each_by_itself() {
    let api = Api::new("movement-batch", "");
    api.aa.register("A-1");
    let item = |member: &str, key: &str, points: i64| json!({ "member_ref": member, "idempotency_key": key, "points": points, "reason": "r", "external_reference": key });
    let items =
        json!({ "items": [item("A-1", "i1", 5), item("A-2", "i2", 5), item("A-1", "i3", -1), item("A-1", "i1", 5)] });
    let outcomes = api.aa.post("/v1/credits/batch", "", &items).status(200);
    let statuses: Vec<_> = outcomes["items"].as_array().expect("outcomes").iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [201, 404, 422, 201]);
    let single = api.aa.post("/v1/memberships/A-1/credits", "i1", &body(5, "i1"));
    single.refused(422, "idempotency_mismatch");
    let debits = json!({ "items": [item("A-1", "j1", 4), item("A-1", "j2", 4)] });
    let outcomes = api.aa.post("/v1/debits/batch", "", &debits).status(200);
    let statuses: Vec<_> = outcomes["items"].as_array().expect("outcomes").iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [201, 422]);
}
