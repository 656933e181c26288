//! Memberships, activities, export and erasure.

use super::{Api, Caller, Expect, disputes};
use serde_json::{Value, json};

#[test]
fn a_reference_is_any_text_of_one_line() {
    let api = Api::new("members", "");
    let first = api.aa.register("A%2F1%20%C3%A9");
    assert_eq!(first["member_ref"], "A/1 é");
    assert_eq!(api.aa.get("/v1/memberships/A%2F1%20%C3%A9").status(200), first);
    // Also the word that is an address of its own to another method.
    assert_eq!(api.aa.register("batch"), api.aa.get("/v1/memberships/batch").status(200));
    for bad in [format!("/v1/memberships/{}", "x".repeat(129)), "/v1/memberships/a%00b".to_owned()] {
        api.aa.get(&bad).refused(404, "not_found");
    }
}

#[test]
fn a_state_is_told_in_order_and_only_with_tiers_of_the_ladder() {
    let api = Api::new("states", "");
    let first = api.aa.register("A-1");
    let path = "/v1/memberships/A-1";
    let body = json!({ "tier": "top", "status": "active", "identity": "verified", "birth_month": 5, "as_of": "2026-11-02T00:00:00Z" });
    let updated = api.aa.put(path, &body).status(200);
    assert_eq!(updated["membership_id"], first["membership_id"]);
    assert_eq!(
        (&updated["tier"], &updated["earned_tier"], &updated["birth_month"]),
        (&json!("top"), &json!("top"), &json!(5))
    );
    // What only the book can tell names its field too.
    let born_closed = json!({ "tier": "basic", "status": "closed" });
    let problem = api.aa.put("/v1/memberships/A-9", &born_closed).refused(422, "invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/status");
    let stale = json!({ "tier": "basic", "status": "active", "as_of": "2026-11-01T00:00:00Z" });
    api.aa.put(path, &stale).refused(409, "stale");
    let granted = json!({ "tier": "top", "tier_source": "granted", "tier_until": "2027-01-31", "status": "active" });
    let basic = json!({ "tier": "basic", "status": "active", "as_of": "2026-11-03T00:00:00Z" });
    api.aa.put(path, &basic).status(200);
    let shown = api.aa.put(path, &granted).status(200);
    assert_eq!(
        (&shown["tier"], &shown["earned_tier"]),
        (&json!("top"), &json!("basic")),
        "a granted tier opens benefits only"
    );
    let wrong = json!({ "tier": "platinum", "status": "active", "birth_month": 13 });
    let problem = api.aa.put(path, &wrong).refused(422, "invalid");
    let pointers: Vec<_> = problem["errors"].as_array().expect("errors").iter().map(|one| &one["pointer"]).collect();
    assert_eq!(pointers, ["/tier", "/birth_month"]);
    api.bb.get(path).refused(404, "not_found");
    let id = first["membership_id"].as_str().expect("an id");
    assert_eq!(api.operator().get(&format!("/v1/memberships/{id}")).status(200)["member_ref"], "A-1");
    api.operator().put(path, &basic).refused(403, "forbidden");
}

#[test]
fn a_membership_closes_when_it_is_empty_or_forfeits() {
    let api = Api::new("closing", "");
    api.aa.register("A-1");
    let credit = json!({ "points": 10, "reason": "purchase", "external_reference": "c1" });
    api.aa.post("/v1/memberships/A-1/credits", "c1", &credit).status(201);
    let close = |forfeit: bool| json!({ "tier": "basic", "status": "closed", "forfeit": forfeit });
    api.aa.put("/v1/memberships/A-1", &close(false)).refused(422, "balance_not_zero");
    assert_eq!(api.aa.put("/v1/memberships/A-1", &close(true)).status(200)["balance"], 0);
    let open = json!({ "tier": "basic", "status": "active" });
    api.aa.put("/v1/memberships/A-1", &open).refused(422, "membership_closed");
    let entries = api.aa.get("/v1/memberships/A-1/entries").status(200);
    let kinds: Vec<_> = entries["items"].as_array().expect("entries").iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["forfeited", "earn"]);
}

#[test]
fn a_journal_pages_without_gaps_across_and_within_batches() {
    let api = Api::new("journal", "");
    api.aa.register("A-1");
    let credit = |n: usize| {
        let key = format!("c{n}");
        json!({ "idempotency_key": key, "member_ref": "A-1", "points": n, "reason": "r", "external_reference": key })
    };
    for first in [1, 4, 5] {
        let items: Vec<Value> = (first..first + if first == 4 { 1 } else { 3 }).map(credit).collect();
        api.aa.post("/v1/credits/batch", "", &json!({ "items": items })).status(200);
    }
    for limit in 1..=8 {
        let (mut seen, mut path) = (Vec::new(), format!("/v1/memberships/A-1/entries?limit={limit}"));
        loop {
            let page = api.aa.get(&path).status(200);
            let items = page["items"].as_array().expect("items");
            assert!(!items.is_empty() && items.len() <= limit);
            seen.extend(items.iter().map(|one| (one["entry_no"].as_i64(), one["points"].as_i64())));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/v1/memberships/A-1/entries?limit={limit}&cursor={cursor}");
        }
        let expected: Vec<_> = (1..=7).rev().map(|n| (Some(n), Some(n))).collect();
        assert_eq!(seen, expected, "{limit} a page");
    }
    api.bb.register("B-1");
    let strange = "/v1/memberships/B-1/entries?cursor=MS4x";
    assert_eq!(api.bb.get(strange).status(200)["items"], json!([]), "another journal's cursor shows nothing of it");
    api.aa.get("/v1/memberships/A-1/entries?cursor=MQ").refused(422, "invalid");
}

#[test]
fn a_batch_registers_each_by_itself_and_lists_page_without_gaps() {
    let api = Api::new("list", "");
    let item = |n: usize| json!({ "member_ref": format!("A-{n}"), "tier": if n == 3 { "none" } else { "basic" }, "status": "active" });
    let items: Vec<Value> = (0..10).map(item).collect();
    let outcomes = api.aa.post("/v1/memberships/batch", "", &json!({ "items": items })).status(200);
    let outcomes = outcomes["items"].as_array().expect("outcomes");
    let refused: Vec<_> = outcomes.iter().filter(|one| one["status"] != 200).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["problem"]["errors"][0]["pointer"], "/items/3/tier");
    let (mut seen, mut path) = (Vec::new(), "/v1/memberships?limit=4".to_owned());
    loop {
        let page = api.aa.get(&path).status(200);
        seen.extend(page["items"].as_array().expect("items").iter().map(|one| one["membership_id"].to_string()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/memberships?limit=4&cursor={cursor}");
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 9);
    assert_eq!(api.bb.get("/v1/memberships").status(200)["items"], json!([]));
    assert_eq!(api.aa.get("/v1/memberships?status=frozen").status(200)["items"], json!([]));
    api.aa.get("/v1/memberships?changed_after=yesterday").refused(422, "invalid");
}

#[test]
fn an_activity_is_stored_once_per_reference() {
    let api = Api::new("activities", "");
    api.aa.register("A-1");
    let purchase = json!({
        "type": "purchase", "occurred_at": "2026-11-01T10:00:00+08:00", "amount": "128.50", "currency": "CNY",
        "categories": ["shoes"], "channel": "shop", "external_reference": "receipt-1",
    });
    let path = "/v1/memberships/A-1/activities";
    let first = api.aa.post(path, "", &purchase);
    first.status(201);
    let again = api.aa.post(path, "", &purchase);
    assert_eq!((&again.body, again.is_replayed()), (&first.body, true));
    let mut other = purchase.clone();
    other["amount"] = json!("128.51");
    let problem = api.aa.post(path, "", &other).refused(409, "duplicate_reference");
    assert_eq!(problem["first_id"], first.json()["activity_id"]);
    api.aa.post("/v1/memberships/A-2/activities", "", &purchase).refused(404, "not_found");
    other["amount"] = json!("1e3");
    api.aa.post(path, "", &other).refused(422, "invalid");
    let item = |member: &str, reference: &str| json!({ "member_ref": member, "type": "sign_in", "occurred_at": "2026-11-01T10:00:00Z", "external_reference": reference });
    let items = json!({ "items": [item("A-1", "s1"), item("A-2", "s2"), item("A-1", "s1")] });
    let outcomes = api.aa.post("/v1/activities/batch", "", &items).status(200);
    let statuses: Vec<_> = outcomes["items"].as_array().expect("outcomes").iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [201, 404, 201]);
    assert_eq!(outcomes["items"][2]["replayed"], true);
}

#[test]
fn times_are_kept_as_they_can_be_written_again() {
    let api = Api::new("times", "");
    api.aa.register("A-1");
    for (reference, beyond) in [("r1", "9999-12-31T23:59:59-12:00"), ("r2", "0000-01-01T00:00:00+14:00")] {
        let visit = json!({ "type": "visit", "occurred_at": beyond, "external_reference": reference });
        let problem = api.aa.post("/v1/memberships/A-1/activities", "", &visit).refused(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], "/occurred_at");
    }
}

#[test]
fn a_person_gets_everything_and_is_forgotten() {
    let api = Api::new("erasure", "");
    api.linked();
    let convert = json!({ "member_ref": "A-1", "to": "bb", "points": 20 });
    let done = api.aa.post("/v1/conversions", "k1", &convert).status(201);
    let activity =
        json!({ "type": "review", "occurred_at": "2026-11-01T10:00:00Z", "external_reference": "secret-review" });
    api.aa.post("/v1/memberships/A-1/activities", "", &activity).status(201);
    let export = api.aa.get("/v1/memberships/A-1/export").status(200);
    let lengths = ["entries", "movements", "conversions", "links", "consents", "activities"]
        .map(|list| export[list].as_array().map_or(0, Vec::len));
    assert_eq!(lengths, [3, 2, 1, 1, 1, 1], "{export}");
    api.bb.get("/v1/memberships/A-1/export").refused(404, "not_found");

    let erased = api.aa.post("/v1/memberships/A-1/erasures", "", &json!({})).status(201);
    assert_eq!(erased["membership_id"], export["membership"]["membership_id"]);
    api.aa.get("/v1/memberships/A-1").refused(404, "not_found");
    api.aa.post("/v1/memberships/A-1/erasures", "", &json!({})).refused(404, "not_found");
    let path = format!("/v1/conversions/{}", done["conversion_id"].as_str().expect("an id"));
    assert_eq!(api.bb.get(&path).status(200)["credit_points"], 10, "the money line stays");
    assert_eq!(api.bb.get("/v1/memberships/B-1").status(200)["links"], json!([]));
    // The name may be taken by somebody else.
    let fresh = api.aa.register("A-1");
    assert_ne!(fresh["membership_id"], erased["membership_id"]);
    assert_eq!(fresh["balance"], 0);
}

#[test]
fn nobody_is_forgotten_while_a_dispute_of_a_conversion_is_not_over() {
    let api = Api::new("erasures-disputed", "");
    let window = disputes::closed(&api);
    let own = disputes::line(&api, window, "aa", "conversion");
    let body = json!({ "line_id": own, "kind": "identity", "note": "another person" });
    let opened = api.aa.post(&disputes::place(window), "", &body).status(201);
    let back = json!({ "credit_points": 5, "reason": "returned", "external_reference": "back-1" });
    let other = api.lines(window, "aa").pop().expect("a line")["conversion_id"].as_str().expect("an id").to_owned();
    let asked = api.aa.post(&format!("/v1/conversions/{other}/reversals"), "r1", &back).status(201);
    let missing =
        json!({ "external_reference": asked["reversal_id"], "kind": "missing", "claimed_amount": "1", "note": "n" });
    let missing = api.bb.post(&disputes::place(window), "", &missing).status(201);
    // Neither side, and not after an answer either.
    let erase =
        |caller: &Caller, member: &str| caller.post(&format!("/v1/memberships/{member}/erasures"), "", &json!({}));
    disputes::answer(&api.bb, &opened, "rejected");
    let withdraw = |caller: &Caller, dispute: &Value| {
        caller.post(&disputes::path(dispute, "/withdrawal"), "", &json!({})).status(200)
    };
    for (caller, dispute) in [(&api.aa, &opened), (&api.bb, &missing)] {
        erase(&api.aa, "A-1").refused(422, "open_business");
        erase(&api.bb, "B-1").refused(422, "open_business");
        withdraw(caller, dispute);
    }
    erase(&api.aa, "A-1").status(201);
    erase(&api.bb, "B-1").status(201);
}
