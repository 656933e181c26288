//! Quotes and conversions: amounts, replays, refusals, batches, finding, undoing, reversing.

use super::{Api, Expect};
use serde_json::{Value, json};

fn now(points: i64) -> Value {
    json!({ "member_ref": "A-1", "to": "bb", "points": points })
}

fn amounts(lots: &Value) -> Vec<(i64, &str)> {
    let lot = |lot: &'_ Value| lot["points"].as_i64().expect("points");
    let lots = lots.as_array().expect("lots");
    lots.iter().map(|one| (lot(one), one["expires_on"].as_str().unwrap_or("never"))).collect()
}

#[test]
fn a_quote_says_everything_and_its_conversion_keeps_it() {
    let api = Api::new("quote", "");
    api.linked();
    let quote = api.aa.post("/v1/quotes", "", &now(137)).status(201);
    let numbers = |body: &Value| {
        ["debit_points", "credit_points", "total_credit_points"].map(|name| body[name].as_i64().expect("a number"))
    };
    assert_eq!((numbers(&quote), quote["remainder_points"].as_i64()), ([136, 68, 74], Some(1)));
    assert_eq!(quote["bonuses"], json!([{ "campaign": "spring", "points": 6, "funder": "bb" }]));
    assert_eq!(quote["fee"], json!({ "amount": "0.034", "currency": "CNY", "payer": "aa" }));
    assert_eq!((&quote["rate"]["num"], &quote["rate"]["den"]), (&json!(1), &json!(2)));
    let lots = amounts(&quote["arriving_lots"]);
    assert_eq!(lots[..2], [(50, "2027-06-30"), (18, "2027-08-31")]);
    assert_eq!(lots[2].0, 6);

    let body = json!({ "quote": quote["token"], "external_reference": "order-1" });
    let first = api.aa.post("/v1/conversions", "k1", &body);
    let done = first.status(201);
    assert!(!first.is_replayed());
    assert_eq!(numbers(&done), [136, 68, 74]);
    for field in ["bonuses", "arriving_lots", "rate", "tier", "fee"] {
        assert_eq!(done[field], quote[field], "{field}");
    }
    assert_eq!((&done["state"], &done["external_reference"]), (&json!("completed"), &json!("order-1")));
    let member = api.aa.get("/v1/memberships/A-1").status(200);
    assert_eq!((&member["balance"], &member["lots"][0]["points"]), (&json!(101), &json!(101)));
    assert_eq!(api.bb.get("/v1/memberships/B-1").status(200)["balance"], 74);
}

#[test]
fn the_same_key_gets_the_same_bytes_whatever_has_changed_since() {
    let api = Api::new("replay", "");
    api.linked();
    let quote = api.aa.post("/v1/quotes", "", &now(20)).status(201);
    let body = json!({ "quote": quote["token"], "external_reference": "order-1" });
    let first = api.aa.post("/v1/conversions", "k1", &body);
    first.status(201);
    let id = first.json()["conversion_id"].clone();

    let mismatch = json!({ "quote": quote["token"], "external_reference": "order-2" });
    api.aa.post("/v1/conversions", "k1", &mismatch).refused(422, "idempotency_mismatch");
    let problem = api.aa.post("/v1/conversions", "k2", &body).refused(409, "duplicate_reference");
    assert_eq!(problem["first_id"], id);
    let used = api.aa.post("/v1/conversions", "k3", &json!({ "quote": quote["token"] })).refused(409, "quote_used");
    assert_eq!(used["first_id"], id);
    let again = api.aa.post("/v1/conversions", "k3", &json!({ "quote": quote["token"] }));
    assert!(again.is_replayed());
    assert_eq!(again.json(), used, "a refusal is replayed with its bytes too");

    api.advance("10 minutes");
    let frozen = json!({ "tier": "basic", "status": "frozen", "status_reason": "asked" });
    api.aa.put("/v1/memberships/A-1", &frozen).status(200);
    let again = api.aa.post("/v1/conversions", "k1", &body);
    assert_eq!((again.status, &again.body, again.is_replayed()), (201, &first.body, true));
    api.aa.post("/v1/conversions", "k4", &now(20)).refused(422, "membership_frozen");
    api.aa.post("/v1/quotes", "", &now(20)).refused(422, "membership_frozen");
}

#[test]
fn a_quote_expires_and_belongs_to_its_brand() {
    let api = Api::new("expiry", "");
    api.linked();
    let quote = api.aa.post("/v1/quotes", "", &now(20)).status(201);
    let body = json!({ "quote": quote["token"] });
    api.bb.post("/v1/conversions", "k1", &body).refused(422, "quote_invalid");
    let token = quote["token"].as_str().expect("a token");
    let mut bent = token.to_owned();
    bent.replace_range(
        token.len() / 2..=token.len() / 2,
        if token.as_bytes()[token.len() / 2] == b'A' { "B" } else { "A" },
    );
    api.aa.post("/v1/conversions", "k1", &json!({ "quote": bent })).refused(422, "quote_invalid");
    api.advance("301 seconds");
    api.aa.post("/v1/conversions", "k1", &body).refused(410, "quote_expired");
    assert!(api.aa.post("/v1/conversions", "k1", &body).is_replayed(), "a refusal is final for its key");
}

#[test]
fn quotes_and_conversions_are_refused_alike_in_the_published_order() {
    // The triggers that keep published versions as they are stand aside while this one is made.
    let limits = "UPDATE partners SET limit_out_day = 200 WHERE slug = 'aa'; SET session_replication_role = replica; \
                  UPDATE rates SET minimum = 10, maximum = 190 WHERE from_partner = 'aa'; \
                  SET session_replication_role = origin;";
    let api = Api::new("order", limits);
    api.linked();
    api.aa.register("A-2");
    let with = |change: Value| {
        let mut body = now(20);
        body.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        body
    };
    let exactly = |credit: i64| json!({ "member_ref": "A-1", "to": "bb", "credit_points": credit });
    for (n, (body, status, code)) in [
        (with(json!({ "member_ref": "A-9" })), 404, "not_found"),
        (with(json!({ "to": "zz" })), 422, "no_rate"),
        (with(json!({ "member_ref": "A-2" })), 422, "member_not_linked"),
        (with(json!({ "to": "cc" })), 422, "member_not_linked"),
        (with(json!({ "points": 9 })), 422, "below_minimum"),
        (with(json!({ "points": 192 })), 422, "above_maximum"),
        (exactly(96), 422, "above_maximum"),
    ]
    .into_iter()
    .enumerate()
    {
        api.aa.post("/v1/quotes", "", &body).refused(status, code);
        api.aa.post("/v1/conversions", &format!("k{n}"), &body).refused(status, code);
    }
    api.aa.post("/v1/conversions", "c1", &now(136)).status(201);
    let problem = api.aa.post("/v1/conversions", "c2", &now(101)).refused(422, "limit_exceeded");
    assert_eq!(problem["points_left"], 64);
    api.aa.post("/v1/quotes", "", &now(102)).refused(422, "insufficient_points");
    let floor = with(json!({ "points": 60, "min_total_credit_points": 34 }));
    api.aa.post("/v1/conversions", "c3", &floor).refused(422, "rate_worse_than_asked");
    api.aa.post("/v1/conversions", "c4", &now(64)).status(201);
}

#[test]
fn what_cannot_be_read_says_which_field() {
    let api = Api::new("fields", "");
    api.linked();
    let missing = api.aa.post("/v1/conversions", "", &now(20));
    missing.refused(400, "idempotency_key_missing");
    let wrong = json!({ "member_ref": "", "to": "bb", "from": "cc", "points": 0 });
    let problem = api.aa.post("/v1/conversions", "k1", &wrong).refused(422, "invalid");
    let pointers: Vec<_> = problem["errors"].as_array().expect("errors").iter().map(|one| &one["pointer"]).collect();
    assert_eq!(pointers, ["/member_ref", "/from", "/points"]);
    api.aa.post("/v1/conversions", "k1", &now(20)).status(201);
}

#[test]
fn each_item_of_a_batch_has_its_own_outcome_and_a_single_conversions_key() {
    let api = Api::new("batch", "");
    api.linked();
    let item =
        |key: &str, points: i64| json!({ "idempotency_key": key, "member_ref": "A-1", "to": "bb", "points": points });
    let items = json!({ "items": [item("b1", 20), item("b2", 0), item("b3", 1_000), item("b1", 20), item("b4", 22)] });
    let outcomes = api.aa.post("/v1/conversions/batch", "", &items).status(200);
    let outcomes = outcomes["items"].as_array().expect("outcomes");
    let statuses: Vec<_> = outcomes.iter().map(|one| one["status"].as_i64().expect("a status")).collect();
    assert_eq!(statuses, [201, 422, 422, 201, 201]);
    assert_eq!(outcomes[1]["problem"]["errors"][0]["pointer"], "/items/1/points");
    assert_eq!(outcomes[2]["problem"]["code"], "insufficient_points");
    assert_eq!((&outcomes[3]["replayed"], &outcomes[3]["conversion"]), (&json!(true), &outcomes[0]["conversion"]));
    let single = api.aa.post("/v1/conversions", "b4", &now(22));
    assert!(single.is_replayed());
    assert_eq!(single.status(201), outcomes[4]["conversion"]);
    api.aa.post("/v1/conversions/batch", "", &json!({ "items": [] })).refused(422, "invalid");
}

#[test]
fn a_conversion_is_found_by_its_two_brands_alone() {
    let api = Api::new("find", "");
    api.linked();
    let body = json!({ "member_ref": "A-1", "to": "bb", "points": 20, "external_reference": "order 1" });
    let done = api.aa.post("/v1/conversions", "k1", &body).status(201);
    let path = format!("/v1/conversions/{}", done["conversion_id"].as_str().expect("an id"));
    let (own, other) = (api.aa.get(&path).status(200), api.bb.get(&path).status(200));
    assert_eq!((&own["external_reference"], &other["external_reference"]), (&json!("order 1"), &Value::Null));
    assert_eq!(own["confirmation"], other["confirmation"]);
    let (a, b) = (api.aa.get("/v1/memberships/A-1").status(200), api.bb.get("/v1/memberships/B-1").status(200));
    assert_eq!((&own["membership_id"], &other["membership_id"]), (&a["membership_id"], &b["membership_id"]));
    assert_eq!(own["counterpart"], a["links"][0]["counterpart"]);
    assert_eq!(other["counterpart"], b["links"][0]["counterpart"]);
    api.cc.get(&path).refused(404, "not_found");
    assert_eq!(api.operator().get(&path).status(200)["conversion_id"], done["conversion_id"]);

    let number = done["confirmation"].as_str().expect("a number").to_lowercase().replace('-', "");
    for (caller, query, found) in [
        (&api.aa, "external_reference=order%201".to_owned(), 1),
        (&api.bb, "external_reference=order%201".to_owned(), 0),
        (&api.bb, format!("confirmation={number}"), 1),
        (&api.cc, format!("confirmation={number}"), 0),
        (&api.aa, "confirmation=nonsense".to_owned(), 0),
    ] {
        let list = caller.get(&format!("/v1/conversions?{query}")).status(200);
        assert_eq!(list["items"].as_array().map(Vec::len), Some(found), "{query}");
    }
    let long = format!("?external_reference={}", "a".repeat(129));
    for bad in ["", "?external_reference=", "?confirmation=", &long, "?external_reference=a&confirmation=b"] {
        api.aa.get(&format!("/v1/conversions{bad}")).refused(422, "invalid");
    }
    api.aa.get("/v1/conversions/cnv_x").refused(404, "not_found");
}

#[test]
fn undo_gives_everything_back_once_and_only_in_time() {
    let api = Api::new("undo", "");
    api.linked();
    let done = api.aa.post("/v1/conversions", "k1", &now(136)).status(201);
    let path = format!("/v1/conversions/{}", done["conversion_id"].as_str().expect("an id"));
    let undo = format!("{path}/undo");
    api.cc.post(&undo, "u0", &json!({})).refused(404, "not_found");
    let first = api.aa.send("POST", &undo, "u1", None);
    assert_eq!(amounts(&first.status(200)["returning_lots"]).iter().map(|lot| lot.0).sum::<i64>(), 136);
    let again = api.aa.send("POST", &undo, "u1", None);
    assert_eq!((&again.body, again.is_replayed()), (&first.body, true));
    assert_eq!(api.aa.get(&path).status(200)["state"], "undone");
    assert_eq!(api.aa.get("/v1/memberships/A-1").status(200)["balance"], 237);
    assert_eq!(api.aa.post("/v1/conversions", "k1", &now(136)).status(201)["state"], "completed", "the first answer");

    let spent = api.aa.post("/v1/conversions", "k2", &now(20)).status(201);
    let body = json!({ "points": 1, "reason": "coffee", "external_reference": "till-1" });
    api.bb.post("/v1/memberships/B-1/debits", "d1", &body).status(201);
    let undo = format!("/v1/conversions/{}/undo", spent["conversion_id"].as_str().expect("an id"));
    api.aa.send("POST", &undo, "u2", None).refused(422, "points_spent");
    let late = api.aa.post("/v1/conversions", "k3", &now(20)).status(201);
    api.advance("901 seconds");
    let undo = format!("/v1/conversions/{}/undo", late["conversion_id"].as_str().expect("an id"));
    api.aa.send("POST", &undo, "u3", None).refused(409, "undo_window_closed");
}

#[test]
fn a_reversal_waits_for_the_other_brand() {
    let api = Api::new("reversal", "");
    api.linked();
    let done = api.aa.post("/v1/conversions", "k1", &now(136)).status(201);
    let path = format!("/v1/conversions/{}", done["conversion_id"].as_str().expect("an id"));
    let body = json!({ "credit_points": 50, "reason": "return", "external_reference": "return-1" });
    let asked = api.aa.post(&format!("{path}/reversals"), "r1", &body);
    let requested = asked.status(201);
    assert_eq!((&requested["state"], &requested["asked_by"]), (&json!("requested"), &json!("aa")));
    let confirm = format!("/v1/reversals/{}/confirmation", requested["reversal_id"].as_str().expect("an id"));
    api.cc.send("POST", &confirm, "c1", None).refused(404, "not_found");
    api.bb.post(&confirm, "c1", &json!({ "confirmed": false })).refused(422, "invalid");
    let confirmed = api.bb.send("POST", &confirm, "c1", None).status(200);
    assert_eq!((&confirmed["state"], &confirmed["debit_points"]), (&json!("completed"), &json!(100)));
    assert_eq!(confirmed["external_reference"], Value::Null, "the reference is the other brand's");
    let again = api.aa.post(&format!("{path}/reversals"), "r1", &body);
    assert_eq!((&again.body, again.is_replayed()), (&asked.body, true));
    let too_much = json!({ "credit_points": 50, "reason": "return", "external_reference": "return-2" });
    api.aa.post(&format!("{path}/reversals"), "r2", &too_much).refused(422, "reversal_exceeds");
    let state = api.bb.get(&path).status(200);
    assert_eq!((&state["reversed_credit_points"], &state["reversed_debit_points"]), (&json!(50), &json!(100)));
}

#[test]
fn events_come_in_a_dense_sequence_with_the_bytes_of_the_answer() {
    let api = Api::new("events", "");
    api.linked();
    let done = api.aa.post("/v1/conversions", "k1", &now(20)).status(201);
    api.seal();
    let all = api.aa.get("/v1/events?limit=1000").status(200);
    let events = all["items"].as_array().expect("events");
    for (event, n) in events.iter().zip(1..) {
        assert_eq!(event["sequence"], n);
    }
    let last = events.last().expect("an event");
    assert_eq!((&last["type"], &last["data"]), (&json!("conversion.completed"), &done));
    let after = api.aa.get(&format!("/v1/events?after={}", events.len() - 1)).status(200);
    assert_eq!(after["items"], json!([last]));
    let theirs = api.bb.get("/v1/events").status(200)["items"].to_string();
    assert!(!theirs.contains("A-1") && !theirs.contains("B-1"), "{theirs}");
    assert_eq!(api.cc.get("/v1/events").status(200)["items"], json!([]));
}
