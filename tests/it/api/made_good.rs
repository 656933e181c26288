//! The same mistake is made good once, whoever disputes it and however often, and not when it was reversed since.

use super::disputes::{amount, answer, closed, line, path, place, upheld};
use super::{Api, Caller, Expect};
use serde_json::{Value, json};

#[test]
fn a_line_disputed_for_two_reasons_is_made_good_once() {
    let api = Api::new("disputes-twice", "");
    let window = closed(&api);
    let (ada, bob) = (api.operator(), api.operator_named("bob"));
    let own = line(&api, window, "aa", "conversion");
    let body = |kind: &str| json!({ "line_id": own, "kind": kind, "claimed_amount": "-3.00", "note": "less of it" });
    let opened = ["amount", "eligibility"].map(|kind| api.aa.post(&place(window), "", &body(kind)).status(201));
    for one in &opened {
        answer(&api.bb, one, "accepted");
        // Both may be proposed: it is the first decision that counts.
        ada.post(&path(one, "/decision"), "", &upheld("0.40")).status(200);
    }
    let decide = |nth: usize, body: &Value| bob.post(&path(&opened[nth], "/decision"), "", body);
    assert_eq!(decide(0, &upheld("0.40")).status(200)["state"], "decided");
    decide(1, &upheld("0.40")).refused(409, "stale");
    assert_eq!(bob.send("DELETE", &path(&opened[1], "/decision"), "", None).status(200)["state"], "answered");
    let rejected = json!({ "outcome": "rejected", "reason": "it was made good already" });
    decide(1, &rejected).status(200);
    assert_eq!(ada.post(&path(&opened[1], "/decision"), "", &rejected).status(200)["state"], "decided");
    crate::support::book::audit(&api.house.database);
}

/// Takes `points` of what was credited under a reference of aa's back, and bb agrees.
fn reversed(api: &Api, reference: &str, points: i64) {
    let found = api.aa.get(&format!("/v1/conversions?external_reference={reference}")).status(200);
    let conversion = found["conversion_id"].as_str().or(found["items"][0]["conversion_id"].as_str()).expect("an id");
    let key = format!("{reference}-{points}");
    let back = json!({ "credit_points": points, "reason": "returned", "external_reference": key });
    let asked = api.aa.post(&format!("/v1/conversions/{conversion}/reversals"), &key, &back).status(201);
    let id = asked["reversal_id"].as_str().expect("an id");
    api.bb.post(&format!("/v1/reversals/{id}/confirmation"), &format!("yes-{key}"), &json!({})).status(200);
}

#[test]
fn the_same_mistake_seen_from_both_sides_is_made_good_once() {
    let funded = "ALTER TABLE campaigns DISABLE TRIGGER USER; UPDATE campaigns SET funder = 'from'; \
         ALTER TABLE campaigns ENABLE TRIGGER USER";
    let api = Api::new("disputes-mirrored", funded);
    let window = closed(&api);
    let (ada, bob) = (api.operator(), api.operator_named("bob"));
    let open = |of: &Caller, slug: &str, kind: &str, claimed: &str| {
        of.post(&place(window), "", &amount(&line(&api, window, slug, kind), claimed)).status(201)
    };
    // 68 points and 6 of bonus; both sides agree that it should have been less, and say so each for itself.
    let own = open(&api.aa, "aa", "conversion", "-3.00");
    let mirrored = open(&api.bb, "bb", "conversion", "3.00");
    let bonus = open(&api.aa, "aa", "bonus", "-0.20");
    answer(&api.bb, &own, "accepted");
    answer(&api.aa, &mirrored, "accepted");
    answer(&api.bb, &bonus, "accepted");
    for (one, given) in [(&own, "0.40"), (&mirrored, "-0.40"), (&bonus, "0.10")] {
        ada.post(&path(one, "/decision"), "", &upheld(given)).status(200);
    }
    bob.post(&path(&own, "/decision"), "", &upheld("0.40")).status(200);
    let refused = bob.post(&path(&mirrored, "/decision"), "", &upheld("-0.40")).refused(409, "stale");
    assert!(refused.to_string().contains(own["dispute_id"].as_str().expect("an id")), "{refused}");
    // The bonus beside it is another amount.
    bob.post(&path(&bonus, "/decision"), "", &upheld("0.10")).status(200);
    let next = api.close_window();
    assert_eq!(api.statement(next.id, "aa")["net"], "0.50");
    assert_eq!(api.statement(next.id, "bb")["net"], "-0.50");
}

#[test]
fn what_was_reversed_since_is_not_given_back_once_more() {
    let api = Api::new("disputes-reversed", "");
    let window = closed(&api);
    let (ada, bob) = (api.operator(), api.operator_named("bob"));
    let body = json!({ "line_id": line(&api, window, "aa", "conversion"), "kind": "identity", "note": "not ours" });
    let opened = api.aa.post(&place(window), "", &body).status(201);
    assert_eq!(opened["claim"], "3.40");
    answer(&api.bb, &opened, "accepted");
    ada.post(&path(&opened, "/decision"), "", &upheld("3.40")).status(200);
    // Half of it: no more than the other half can be given.
    reversed(&api, "order-1", 34);
    let refused = bob.post(&path(&opened, "/decision"), "", &upheld("3.40")).refused(409, "stale");
    assert!(refused.to_string().contains("reversed since"), "{refused}");
    bob.send("DELETE", &path(&opened, "/decision"), "", None).status(200);
    ada.post(&path(&opened, "/decision"), "", &upheld("1.700001")).refused(409, "stale");
    ada.post(&path(&opened, "/decision"), "", &upheld("1.70")).status(200);
    // All of it: nothing can.
    reversed(&api, "order-1", 33);
    reversed(&api, "order-1", 1);
    bob.post(&path(&opened, "/decision"), "", &upheld("1.70")).refused(409, "stale");
    ada.send("DELETE", &path(&opened, "/decision"), "", None).status(200);
    ada.post(&path(&opened, "/decision"), "", &upheld("0.01")).refused(409, "stale");
    let rejected = json!({ "outcome": "rejected", "reason": "it was reversed" });
    for operator in [&ada, &bob] {
        operator.post(&path(&opened, "/decision"), "", &rejected).status(200);
    }
    // The reversals' own lines are amounts of their own.
    let later = api.close_window().id;
    let of_reversal = line(&api, later, "aa", "conversion");
    let opened = api.aa.post(&place(later), "", &amount(&of_reversal, "2.00")).status(201);
    answer(&api.bb, &opened, "accepted");
    for operator in [&ada, &bob] {
        operator.post(&path(&opened, "/decision"), "", &upheld("0.30")).status(200);
    }
}

#[test]
fn what_is_missing_is_known_by_any_id_of_it_and_made_good_once() {
    let api = Api::new("disputes-known", "");
    let window = closed(&api);
    let (ada, bob) = (api.operator(), api.operator_named("bob"));
    let missing =
        |of: &str| json!({ "external_reference": of, "kind": "missing", "claimed_amount": "1.70", "note": "n" });
    // What has a line is not missing under any id of it, in capitals or not, at either side.
    let (own, theirs) = (line(&api, window, "aa", "conversion"), line(&api, window, "bb", "bonus"));
    let conversion = api.lines(window, "aa")[0]["conversion_id"].as_str().expect("an id").to_owned();
    for id in [&own, &theirs, &conversion] {
        for id in [id.clone(), id.to_uppercase()] {
            let problem = api.aa.post(&place(window), "", &missing(&id)).refused(422, "invalid");
            assert_eq!(problem["errors"][0]["pointer"], "/external_reference", "{id}");
        }
    }
    // One reversal that nobody has confirmed, missed by both sides under the names that each knows.
    let back = json!({ "credit_points": 34, "reason": "returned", "external_reference": "back-1" });
    let asked = api.aa.post(&format!("/v1/conversions/{conversion}/reversals"), "r1", &back).status(201);
    let id = asked["reversal_id"].as_str().expect("an id");
    let opened = api.aa.post(&place(window), "", &missing("back-1")).status(201);
    let mirrored = api.bb.post(&place(window), "", &missing(&id.to_uppercase())).status(201);
    assert_eq!(mirrored["external_reference"], id);
    assert_eq!(api.bb.post(&place(window), "", &missing(id)).status(200), mirrored, "one spelling is the other");
    answer(&api.bb, &opened, "accepted");
    answer(&api.aa, &mirrored, "accepted");
    for operator in [&ada, &bob] {
        operator.post(&path(&opened, "/decision"), "", &upheld("1.70")).status(200);
    }
    let refused = ada.post(&path(&mirrored, "/decision"), "", &upheld("1.70")).refused(409, "stale");
    assert!(refused.to_string().contains(opened["dispute_id"].as_str().expect("an id")), "{refused}");
    // What has come in the meantime is missing no more.
    let late = api.aa.post(&place(window), "", &missing("order-3")).status(201);
    api.advance("9 days");
    api.converted("order-3", 68);
    let body = json!({ "outcome": "upheld", "counterparty": "bb", "reason": "it never arrived" });
    let refused = ada.post(&path(&late, "/decision"), "", &body).refused(409, "stale");
    assert!(refused.to_string().contains("no longer missing"), "{refused}");
}
