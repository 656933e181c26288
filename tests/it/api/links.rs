//! Links: the code's life and tries, consent, cooling, pull, ending.

use super::{Api, Expect};
use serde_json::{Value, json};

fn ask(api: &Api) -> Value {
    let body = json!({ "member_ref": "A-1", "to": "bb", "consent": { "version": "1" } });
    api.aa.post("/v1/links", "", &body).status(201)
}

fn accept(code: &str) -> Value {
    json!({ "code": code, "member_ref": "B-1", "consent": { "version": "1", "guardian": "a parent" } })
}

fn both(api: &Api) {
    api.aa.register("A-1");
    api.bb.register("B-1");
}

#[test]
fn a_code_links_once_and_only_at_the_brand_it_is_for() {
    let api = Api::new("link", "");
    both(&api);
    let asked = ask(&api);
    let code = asked["code"].as_str().expect("a code");
    assert_eq!(code.len(), 8);
    let path = format!("/v1/links/{}", asked["link_id"].as_str().expect("an id"));
    assert_eq!(api.aa.get(&path).status(200)["state"], "pending");
    api.bb.get(&path).refused(404, "not_found");
    let wrong = api.aa.send("PUT", &path, "", Some(&json!({})));
    wrong.refused(405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), Some("get, delete"), "{}", wrong.head);

    api.cc.register("B-1");
    api.cc.post("/v1/links/accept", "", &accept(code)).refused(422, "link_code_invalid");
    let typed = format!("{}-{}", &code[..4].to_lowercase(), &code[4..]);
    let linked = api.bb.post("/v1/links/accept", "", &accept(&typed)).status(200);
    assert_eq!((&linked["state"], &linked["from"], &linked["to"]), (&json!("active"), &json!("aa"), &json!("bb")));
    let again = api.bb.post("/v1/links/accept", "", &accept(code)).status(200);
    assert_eq!(again, linked, "the same acceptance again");
    api.bb.register("B-2");
    let other = json!({ "code": code, "member_ref": "B-2", "consent": { "version": "1" } });
    api.bb.post("/v1/links/accept", "", &other).refused(422, "link_code_invalid");

    let (a, b) = (api.aa.get(&path).status(200), api.bb.get(&path).status(200));
    assert_ne!(a["counterpart"], b["counterpart"], "each brand knows the other's member by a token of its own");
    assert_eq!(api.cc.get(&path).refused(404, "not_found")["code"], "not_found");
}

#[test]
fn five_wrong_codes_end_it() {
    let api = Api::new("tries", "");
    both(&api);
    let asked = ask(&api);
    let code = asked["code"].as_str().expect("a code");
    for _ in 0..5 {
        api.bb.post("/v1/links/accept", "", &accept("00000000")).refused(422, "link_code_invalid");
    }
    api.bb.post("/v1/links/accept", "", &accept(code)).refused(422, "link_code_invalid");
    api.bb.register("B-2");
    let other = json!({ "code": code, "member_ref": "B-2", "consent": { "version": "1" } });
    api.bb.post("/v1/links/accept", "", &other).status(200);
}

#[test]
fn a_code_lives_ten_minutes_of_wire_time() {
    use diesel::connection::SimpleConnection;
    let api = Api::new("life", "");
    both(&api);
    let asked = ask(&api);
    let code = asked["code"].as_str().expect("a code").to_owned();
    // Business time is another clock.
    api.advance("1 day");
    let ages = "UPDATE link_requests SET created_at = created_at - interval '10 minutes', expires_at = expires_at - interval '10 minutes'";
    api.house.database.connection().batch_execute(ages).expect("aged");
    api.bb.post("/v1/links/accept", "", &accept(&code)).refused(422, "link_code_invalid");
    let path = format!("/v1/links/{}", asked["link_id"].as_str().expect("an id"));
    assert_eq!(api.aa.get(&path).status(200)["state"], "ended");
}

#[test]
fn an_ended_link_converts_nothing_and_can_be_made_again() {
    let api = Api::new("ending", "");
    api.linked();
    let member = api.aa.get("/v1/memberships/A-1").status(200);
    let path = format!("/v1/links/{}", member["links"][0]["link_id"].as_str().expect("an id"));
    api.cc.send("DELETE", &path, "", None).refused(404, "not_found");
    assert_eq!(api.bb.send("DELETE", &path, "", None).status(200)["state"], "ended");
    assert_eq!(api.bb.send("DELETE", &path, "", None).status(200)["state"], "ended");
    let convert = json!({ "member_ref": "A-1", "to": "bb", "points": 20 });
    api.aa.post("/v1/conversions", "k1", &convert).refused(422, "member_not_linked");
    api.link("A-1", "B-1", false);
    api.aa.post("/v1/conversions", "k2", &convert).status(201);

    let pending = ask(&api);
    let path = format!("/v1/links/{}", pending["link_id"].as_str().expect("an id"));
    assert_eq!(api.aa.send("DELETE", &path, "", None).status(200)["state"], "ended");
    let code = pending["code"].as_str().expect("a code");
    api.bb.post("/v1/links/accept", "", &accept(code)).refused(422, "link_code_invalid");
}

#[test]
fn a_second_membership_of_one_brand_cannot_join_a_person() {
    let api = Api::new("already", "");
    both(&api);
    api.link("A-1", "B-1", false);
    api.aa.register("A-2");
    let body = json!({ "member_ref": "A-2", "to": "bb", "consent": { "version": "1" } });
    let asked = api.aa.post("/v1/links", "", &body).status(201);
    let code = asked["code"].as_str().expect("a code");
    api.bb.post("/v1/links/accept", "", &accept(code)).refused(409, "already_linked");
    let own = json!({ "member_ref": "A-1", "to": "aa", "consent": { "version": "1" } });
    api.aa.post("/v1/links", "", &own).refused(422, "invalid");
}

#[test]
fn points_are_pulled_with_consent_alone() {
    let api = Api::new("pull", "");
    both(&api);
    let link = api.link("A-1", "B-1", false);
    let credit = json!({ "points": 100, "reason": "purchase", "external_reference": "c1" });
    api.aa.post("/v1/memberships/A-1/credits", "c1", &credit).status(201);
    let pull = json!({ "member_ref": "B-1", "from": "aa", "points": 20, "external_reference": "p1" });
    api.bb.post("/v1/conversions", "p1", &pull).refused(422, "member_not_linked");
    api.aa.send("DELETE", &format!("/v1/links/{link}"), "", None).status(200);
    api.link("A-1", "B-1", true);
    let quote = json!({ "member_ref": "B-1", "from": "aa", "points": 20 });
    let quote = api.bb.post("/v1/quotes", "", &quote).status(201);
    let done = api.bb.post("/v1/conversions", "p2", &json!({ "quote": quote["token"], "external_reference": "p1" }));
    let done = done.status(201);
    let own = api.bb.get("/v1/memberships/B-1").status(200);
    assert_eq!((&done["membership_id"], &done["external_reference"]), (&own["membership_id"], &json!("p1")));
}
