//! Benefits from the outside: put, approved, claimed, redeemed, given back, settled.

use super::{Api, Caller, Expect};
use crate::support::book::audit;
use diesel::RunQueryDsl;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Barrier;

/// The family park ticket of `bb`, worth 120, for members of `aa` from the second rung on, who pays 80 for a use.
pub(super) fn ticket() -> Value {
    json!({
        "kind": "ticket", "name": { "en": "Family park ticket", "zh": "亲子乐园门票" }, "face_value": "120.00",
        "use_days": 30, "quota": 50, "offers": [{ "to": "aa", "tiers": ["top"], "funder": "brand", "cost": "80.00" }],
    })
}

pub(super) fn changed(mut document: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().expect("an object") {
        document[name] = value.clone();
    }
    document
}

impl Api {
    /// Puts a benefit of `bb`'s and has `aa` approve it; its id.
    pub(super) fn offer(&self, code: &str, document: &Value) -> String {
        let put = self.bb.put(&format!("/v1/benefits/{code}"), document).status(200);
        let id = text(&put, "benefit_id");
        if put["approvals"].as_array().is_some_and(|all| !all.is_empty()) {
            let version = json!({ "version": put["version"] });
            self.aa.post(&format!("/v1/benefits/{id}/approvals"), "", &version).status(200);
        }
        id
    }

    pub(super) fn claim(&self, id: &str, member: &str, key: &str) -> Value {
        self.aa.post(&format!("/v1/benefits/{id}/claims"), key, &json!({ "member_ref": member })).status(201)
    }
}

pub(super) fn text(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_else(|| panic!("{name} in {answer}")).to_owned()
}

pub(super) fn tier(caller: &Caller, member: &str, tier: &str) {
    let body = json!({ "tier": tier, "status": "active" });
    caller.put(&format!("/v1/memberships/{member}"), &body).status(200);
}

pub(super) fn till(caller: &Caller, code: &str, key: &str, more: Value) -> crate::tls::Answer {
    let body = changed(json!({ "store": "Bund", "till": "3", "external_reference": format!("till-{key}") }), more);
    caller.post(&format!("/v1/vouchers/{code}/redemptions"), key, &body)
}

#[test]
fn a_ticket_is_claimed_by_the_right_tier_once_approved_and_taken_once() {
    let api = Api::new("benefit-ticket", "");
    tier(&api.aa, "A-1", "top");
    tier(&api.aa, "A-2", "basic");
    let put = api.bb.put("/v1/benefits/family-park", &ticket()).status(200);
    let id = text(&put, "benefit_id");
    assert_eq!(
        (&put["version"], &put["left"], &put["approvals"]),
        (&json!(1), &json!(50), &json!([{ "payer": "aa", "approved": false }]))
    );
    assert_eq!(api.bb.put("/v1/benefits/family-park", &ticket()).status(200), put, "the same is no new version");
    // Who pays has not said yes.
    let claims = format!("/v1/benefits/{id}/claims");
    let ask = json!({ "member_ref": "A-1" });
    assert_eq!(api.aa.post(&claims, "k0", &ask).refused(422, "not_eligible")["unmet"], "brand");
    api.cc.post(&format!("/v1/benefits/{id}/approvals"), "", &json!({ "version": 1 })).refused(404, "not_found");
    api.aa.post(&format!("/v1/benefits/{id}/approvals"), "", &json!({ "version": 2 })).refused(422, "invalid");
    api.aa.post(&format!("/v1/benefits/{id}/approvals"), "", &json!({ "version": 1 })).status(200);
    assert_eq!(
        api.aa.post(&claims, "k1", &json!({ "member_ref": "A-2" })).refused(422, "not_eligible")["unmet"],
        "tier"
    );
    let voucher = api.claim(&id, "A-1", "k2");
    let again = api.aa.post(&claims, "k2", &ask);
    assert!(again.is_replayed());
    assert_eq!(again.status(201), voucher, "the first answer again, code and all");
    let (code, own) = (text(&voucher, "code"), format!("/v1/vouchers/{}", text(&voucher, "voucher_id")));
    let looked = api.bb.get(&format!("/v1/vouchers/{}", code.to_lowercase())).status(200);
    assert_eq!(
        (&looked["state"], &looked["code"], &looked["membership_id"]),
        (&json!("issued"), &Value::Null, &Value::Null)
    );
    assert!(looked["token"].is_string(), "{looked}");
    api.aa.get(&format!("/v1/vouchers/{code}")).refused(404, "not_found");
    till(&api.aa, &code, "t0", json!({})).refused(404, "not_found");
    let taken = till(&api.bb, &code, "t1", json!({}));
    let used = taken.status(201);
    assert_eq!((&used["nth"], &used["uses_left"], &used["store"]), (&json!(1), &json!(0), &json!("Bund")));
    let again = till(&api.bb, &code, "t1", json!({}));
    assert!(again.is_replayed() && again.status(201) == used, "a till that asks again");
    let refused = till(&api.bb, &code, "t2", json!({})).refused(422, "voucher_used");
    assert_eq!(refused["first_id"], used["redemption_id"]);
    assert_eq!(api.aa.get(&own).status(200)["state"], "redeemed");
    // A till's mistake, taken back once; then the voucher is good again.
    let back = format!("/v1/redemptions/{}/reversals", text(&used, "redemption_id"));
    api.bb.post(&back, "r1", &json!({ "reason": "the wrong one" })).status(201);
    api.bb.post(&back, "r2", &json!({ "reason": "the wrong one" })).refused(422, "reversal_exceeds");
    till(&api.bb, &code, "t3", json!({})).status(201);
    told_and_settled(&api, &code);
}

/// Both sides are told the same, nobody the code, and both have the same in their statements.
fn told_and_settled(api: &Api, code: &str) {
    api.seal();
    let types = |caller: &Caller| -> Vec<Value> {
        let told = caller.get("/v1/events?limit=50").status(200);
        let all = told["items"].as_array().expect("a list").iter();
        all.filter(|one| one["type"].as_str().is_some_and(|kind| kind.starts_with("voucher"))).cloned().collect()
    };
    let (brand, giver) = (types(&api.aa), types(&api.bb));
    let kinds: Vec<&str> = brand.iter().filter_map(|one| one["type"].as_str()).collect();
    assert_eq!(kinds, ["voucher.issued", "voucher.redeemed", "voucher.reversed", "voucher.redeemed"]);
    assert_eq!(
        (brand.len(), &brand[1]["data"]["store"], &giver[1]["data"]["store"]),
        (giver.len(), &Value::Null, &json!("Bund"))
    );
    assert!(brand.iter().chain(&giver).all(|one| !one.to_string().contains(code)), "no code in any event");
    // Both sides have the same in their statements, and what is owed is one use.
    let window = api.close_window();
    let lines = |caller: &Caller| {
        let path = format!("/v1/settlements/{}/lines?format=ndjson", window.number);
        let told = caller.get(&path);
        let told = String::from_utf8(told.body).expect("text");
        told.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).collect::<Vec<_>>()
    };
    let amounts = |lines: &[Value]| lines.iter().map(|line| text(line, "amount")).collect::<Vec<_>>();
    assert_eq!(amounts(&lines(&api.aa)), ["-80.00", "80.00", "-80.00"]);
    assert_eq!(amounts(&lines(&api.bb)), ["80.00", "-80.00", "80.00"]);
    assert!(lines(&api.bb).iter().all(|line| line["kind"] == "benefit" && line["benefit"]["giver"] == "bb"));
}

#[test]
fn two_hundred_race_for_fifty_places_and_exactly_fifty_get_one() {
    let api = Api::new("benefit-race", "");
    let id = api.offer(
        "salon",
        &changed(ticket(), json!({ "kind": "place", "offers": [{ "to": "aa", "funder": "brand", "cost": "50.00" }] })),
    );
    let items: Vec<Value> =
        (0..200).map(|n| json!({ "member_ref": format!("A-{n}"), "tier": "basic", "status": "active" })).collect();
    api.aa.post("/v1/memberships/batch", "", &json!({ "items": items })).status(200);
    let (api, id, barrier) = (&api, &id, &Barrier::new(20));
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    std::thread::scope(|scope| {
        let tries = (0..20).map(|nth| {
            scope.spawn(move || {
                barrier.wait();
                let claim = |n: usize| {
                    let body = json!({ "member_ref": format!("A-{n}") });
                    let answer = api.aa.post(&format!("/v1/benefits/{id}/claims"), &format!("k{n}"), &body);
                    if answer.status == 201 { "issued".to_owned() } else { answer.code() }
                };
                (0..10).map(|n| claim(nth * 10 + n)).collect::<Vec<_>>()
            })
        });
        let tries: Vec<_> = tries.collect();
        // Cut meanwhile: never one too many.
        for outcome in tries.into_iter().flat_map(|one| one.join().expect("no panic")) {
            *outcomes.entry(outcome).or_default() += 1;
        }
    });
    assert_eq!(outcomes, BTreeMap::from([("issued".to_owned(), 50), ("sold_out".to_owned(), 150)]));
    let stands = api.bb.get(&format!("/v1/benefits/{id}")).status(200);
    assert_eq!((&stands["taken"], &stands["left"]), (&json!(50), &json!(0)));
    api.seal();
    let told = api.bb.get("/v1/events?limit=200").status(200).to_string();
    assert_eq!(told.matches("benefit.sold_out").count(), 1, "{told}");
}

#[test]
fn twenty_tills_race_for_one_voucher_and_exactly_one_has_it() {
    let api = Api::new("benefit-tills", "");
    tier(&api.aa, "A-1", "top");
    let id = api.offer("family-park", &ticket());
    let code = text(&api.claim(&id, "A-1", "k"), "code");
    let (api, code, barrier) = (&api, &code, &Barrier::new(20));
    let mut answers = Vec::new();
    std::thread::scope(|scope| {
        let tills: Vec<_> = (0..20)
            .map(|nth| {
                scope.spawn(move || {
                    barrier.wait();
                    till(&api.bb, code, &format!("t{nth}"), json!({ "till": nth.to_string() }))
                })
            })
            .collect();
        answers.extend(tills.into_iter().map(|one| one.join().expect("no panic")));
    });
    let won: Vec<Value> = answers.iter().filter(|answer| answer.status == 201).map(|answer| answer.json()).collect();
    assert_eq!(won.len(), 1);
    for lost in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(lost.refused(422, "voucher_used")["first_id"], won[0]["redemption_id"]);
    }
}

#[test]
fn a_quota_cut_while_members_claim_is_never_one_too_many() {
    let api = Api::new("benefit-cut", "");
    let open = |quota: i64| changed(ticket(), json!({ "quota": quota, "offers": [{ "to": "aa" }] }));
    let id = api.offer("park", &open(1_000));
    let items: Vec<Value> =
        (0..60).map(|n| json!({ "member_ref": format!("A-{n}"), "tier": "basic", "status": "active" })).collect();
    api.aa.post("/v1/memberships/batch", "", &json!({ "items": items })).status(200);
    let (api, id) = (&api, &id);
    let issued = std::thread::scope(|scope| {
        let members: Vec<_> = (0..6)
            .map(|nth| {
                scope.spawn(move || {
                    let claim = |n: usize| {
                        let body = json!({ "member_ref": format!("A-{n}") });
                        api.aa.post(&format!("/v1/benefits/{id}/claims"), &format!("k{n}"), &body).status == 201
                    };
                    (0..10).filter(|n| claim(nth * 10 + n)).count()
                })
            })
            .collect();
        let cut = api.bb.put("/v1/benefits/park", &open(20)).status(200);
        let taken_then = cut["taken"].as_i64().expect("a number");
        let issued: usize = members.into_iter().map(|one| one.join().expect("no panic")).sum();
        (i64::try_from(issued).expect("few"), taken_then)
    });
    assert!(issued.0 <= issued.1.max(20), "{issued:?}");
    let stands = api.bb.get(&format!("/v1/benefits/{id}")).status(200);
    assert_eq!((&stands["taken"], &stands["left"]), (&json!(issued.0), &json!((20 - issued.0).max(0))));
}

#[test]
fn goods_for_points_take_the_earliest_lots_and_give_them_back() {
    let api = Api::new("benefit-goods", "UPDATE partners SET limit_out_day = 250 WHERE slug = 'aa'");
    api.linked();
    let cinema = changed(
        ticket(),
        json!({ "kind": "goods", "name": { "en": "Cinema ticket", "zh": "电影票" },
                "offers": [{ "to": "aa", "points": 200, "funder": "brand", "cost": "35.00",
                             "per_member": { "count": 1, "period": "month" } }] }),
    );
    let id = api.offer("cinema", &cinema);
    let voucher = api.claim(&id, "A-1", "k1");
    let member = || api.aa.get("/v1/memberships/A-1").status(200);
    assert_eq!(
        (&member()["balance"], &member()["lots"]),
        (&json!(37), &json!([{ "expires_on": "2027-08-31", "points": 37 }]))
    );
    let claims = format!("/v1/benefits/{id}/claims");
    api.aa.post(&claims, "k2", &json!({ "member_ref": "A-1" })).refused(422, "already_claimed");
    let cancel = format!("/v1/vouchers/{}/cancellations", text(&voucher, "voucher_id"));
    api.cc.post(&cancel, "", &json!({ "reason": "not mine" })).refused(404, "not_found");
    let reason = json!({ "reason": "it rains" });
    assert_eq!(api.aa.post(&cancel, "", &reason).status(200)["state"], "cancelled");
    assert_eq!(api.aa.post(&cancel, "", &reason).status(200)["state"], "cancelled", "said again");
    let lots = json!([{ "expires_on": "2027-06-30", "points": 101 }, { "expires_on": "2027-08-31", "points": 136 }]);
    assert_eq!((&member()["balance"], &member()["lots"]), (&json!(237), &lots));
    // Nobody is forgotten who can still use one.
    let other = changed(cinema, json!({ "offers": [{ "to": "aa" }] }));
    let open = api.claim(&api.offer("free", &other), "A-1", "k4");
    api.aa.send("POST", "/v1/memberships/A-1/erasures", "", None).refused(422, "open_business");
    let cancel = format!("/v1/vouchers/{}/cancellations", text(&open, "voucher_id"));
    api.aa.post(&cancel, "", &reason).status(200);
    // The day's limit is free again, and is one for claims and conversions together.
    api.claim(&id, "A-1", "k3");
    let convert = json!({ "member_ref": "A-1", "to": "bb", "points": 60 });
    assert_eq!(api.aa.post("/v1/conversions", "c1", &convert).status, 422);
    till(&api.bb, &text(&voucher, "code"), "t1", json!({})).refused(422, "voucher_cancelled");
    api.close_window();
    // Points that left without their voucher are found.
    let conn = &mut api.house.database.connection();
    let mut sql = |text: &str| diesel::sql_query(text).execute(conn).expect("changed");
    sql("CREATE TABLE kept AS SELECT voucher_id, lots_out FROM vouchers WHERE state = 1");
    sql("UPDATE vouchers SET lots_out = '{}' WHERE state = 1");
    let findings = hanse::book::audit::run(&mut api.house.database.connection(), |_| ()).expect("the audit runs");
    assert!(findings.iter().any(|found| found.name == "vouchers are paid" && found.violations == 1), "{findings:#?}");
    sql("UPDATE vouchers v SET lots_out = k.lots_out FROM kept k WHERE k.voucher_id = v.voucher_id");
    sql("DROP TABLE kept");
}

#[test]
fn a_reservation_is_confirmed_in_time_or_gives_its_place_back() {
    let api = Api::new("benefit-reserved", "");
    tier(&api.aa, "A-1", "top");
    let id = api.offer("family-park", &changed(ticket(), json!({ "quota": 1 })));
    let claims = format!("/v1/benefits/{id}/claims");
    let reserve = json!({ "member_ref": "A-1", "reserve": true });
    let first = api.aa.post(&claims, "k1", &reserve).status(202);
    assert_eq!((&first["state"], &first["code"]), (&json!("reserved"), &Value::Null));
    tier(&api.aa, "A-2", "top");
    api.aa.post(&claims, "k2", &json!({ "member_ref": "A-2" })).refused(422, "sold_out");
    let confirm = format!("/v1/vouchers/{}/confirmation", text(&first, "voucher_id"));
    let issued = api.aa.send("POST", &confirm, "", None).status(200);
    assert_eq!((&issued["state"], issued["code"].is_string()), (&json!("issued"), true));
    assert_eq!(api.aa.send("POST", &confirm, "", None).status(200), issued, "said again");
    let replayed = api.aa.post(&claims, "k1", &reserve);
    assert!(replayed.is_replayed() && replayed.status(202) == first, "the first answer again");
    let cancel = format!("/v1/vouchers/{}/cancellations", text(&first, "voucher_id"));
    api.bb.post(&cancel, "", &json!({ "reason": "the park is closed" })).status(200);
    let second = api.aa.post(&claims, "k3", &reserve).status(202);
    api.advance("11 minutes");
    let confirm = format!("/v1/vouchers/{}/confirmation", text(&second, "voucher_id"));
    assert_eq!(api.aa.send("POST", &confirm, "", None).refused(422, "voucher_expired")["code"], "voucher_expired");
    let mut run = api.voucher_run();
    while run.post().expect("ended") > 0 {}
    assert_eq!(api.bb.get(&format!("/v1/benefits/{id}")).status(200)["left"], 1);
    // A voucher that is not used is over after its last day.
    let last = api.claim(&id, "A-2", "k4");
    api.advance("31 days");
    while run.post().expect("ended") > 0 {}
    till(&api.bb, &text(&last, "code"), "t1", json!({})).refused(422, "voucher_expired");
    assert_eq!(api.bb.get(&format!("/v1/benefits/{id}")).status(200)["left"], 0, "it has been somebody's");
}

#[test]
fn coupons_ask_for_their_bill_and_stack_only_where_they_say_so() {
    let api = Api::new("benefit-coupons", "");
    api.aa.register("A-1");
    let coupon = |discount: Value, stacks: bool| {
        changed(
            ticket(),
            json!({ "kind": "coupon", "discount": discount, "stacks": stacks, "offers": [{ "to": "aa" }] }),
        )
    };
    let off = |amount: &str, from: &str| json!({ "amount": amount, "from": from });
    let big = api.offer("300-50", &coupon(off("50.00", "300.00"), false));
    let small = api.offer("20", &coupon(off("20.00", "0"), true));
    let code = |id: &str, key: &str| text(&api.claim(id, "A-1", key), "code");
    let (first, second, third) = (code(&big, "k1"), code(&small, "k2"), code(&small, "k3"));
    till(&api.bb, &first, "t1", json!({})).refused(422, "invalid");
    till(&api.bb, &first, "t2", json!({ "amount": "299.99" })).refused(422, "below_threshold");
    let bill = json!({ "amount": "320.00", "receipt": "b-1" });
    let used = till(&api.bb, &first, "t3", bill.clone()).status(201);
    assert_eq!((&used["discount"], &used["to_pay"]), (&json!("50.00"), &json!("270.00")));
    till(&api.bb, &second, "t4", bill).refused(422, "not_stackable");
    let other = json!({ "amount": "12.50", "receipt": "b-2" });
    assert_eq!(till(&api.bb, &second, "t5", other.clone()).status(201)["to_pay"], "0.00");
    till(&api.bb, &third, "t6", other).status(201);
    let golden = changed(
        coupon(off("20.00", "0"), true),
        json!({ "blackouts": [{ "from": "2000-01-01", "to": "2100-01-01" }] }),
    );
    let never = code(&api.offer("never", &golden), "k4");
    till(&api.bb, &never, "t7", json!({ "amount": "30.00" })).refused(422, "not_today");
    // The giver pays these itself: a memo of nothing for both.
    let window = api.close_window();
    let lines = |caller: &Caller| {
        caller.get(&format!("/v1/settlements/{}", window.number)).status(200)["statement"]["lines"].clone()
    };
    assert_eq!((lines(&api.bb), lines(&api.aa)), (json!(3), json!(3)));
}

#[test]
fn codes_of_a_pool_are_the_givers_own_each_given_once() {
    let api = Api::new("benefit-pool", "");
    let document = changed(
        ticket(),
        json!({ "codes": "pool", "quota": null, "uses": 2, "settles_at": "issue",
        "offers": [{ "to": "aa", "funder": "operator", "cost": "9.99" }] }),
    );
    let put = api.bb.put("/v1/benefits/coffee", &document).status(200);
    let id = text(&put, "benefit_id");
    let ops = api.operator();
    ops.post(&format!("/v1/benefits/{id}/approvals"), "", &json!({ "version": 1 })).status(200);
    api.aa.register("A-1");
    let claims = format!("/v1/benefits/{id}/claims");
    api.aa.post(&claims, "k0", &json!({ "member_ref": "A-1" })).refused(422, "sold_out");
    let codes = format!("/v1/benefits/{id}/codes");
    let upload = json!({ "codes": ["CAFE-1", "CAFE-2"] });
    assert_eq!(
        api.bb.post(&codes, "", &upload).status(200),
        json!({ "added": 2, "total": 2, "issued": 0, "available": 2 })
    );
    assert_eq!(api.bb.post(&codes, "", &upload).status(200)["added"], 0);
    api.aa.post(&codes, "", &upload).refused(404, "not_found");
    let (first, second) = (api.claim(&id, "A-1", "k1"), api.claim(&id, "A-1", "k2"));
    assert_eq!((&first["code"], &second["code"]), (&json!("CAFE-1"), &json!("CAFE-2")));
    api.aa.post(&claims, "k3", &json!({ "member_ref": "A-1" })).refused(422, "sold_out");
    assert_eq!(api.bb.get(&codes).status(200), json!({ "total": 2, "issued": 2, "available": 0 }));
    for (key, left) in [("t1", 1), ("t2", 0)] {
        assert_eq!(till(&api.bb, "CAFE-1", key, json!({})).status(201)["uses_left"], left);
    }
    till(&api.bb, "CAFE-1", "t3", json!({})).refused(422, "voucher_used");
    // A code that was shown is nobody else's afterwards.
    let cancel = format!("/v1/vouchers/{}/cancellations", text(&second, "voucher_id"));
    api.aa.post(&cancel, "", &json!({ "reason": "too late" })).status(200);
    api.aa.post(&claims, "k4", &json!({ "member_ref": "A-1" })).refused(422, "sold_out");
    let window = api.close_window();
    let statement = ops.get(&format!("/v1/settlements/{}", window.number)).status(200);
    // Each use has a line with who pays, those too that settle nothing any more.
    assert_eq!(statement["statement"]["lines"], 5, "{statement}");
}

#[test]
fn a_benefit_is_for_whom_its_offers_say() {
    let api = Api::new("benefit-whom", "");
    let member = |name: &str, more: Value| {
        let body = changed(json!({ "tier": "basic", "status": "active" }), more);
        api.aa.put(&format!("/v1/memberships/{name}"), &body).status(200);
    };
    let offers = |offer: Value| changed(ticket(), json!({ "offers": [changed(json!({ "to": "aa" }), offer)] }));
    let refused = |id: &str, name: &str, key: &str| {
        let body = json!({ "member_ref": name });
        api.aa.post(&format!("/v1/benefits/{id}/claims"), key, &body).refused(422, "not_eligible")["unmet"].clone()
    };
    member("A-1", json!({ "tags": ["organic"], "birth_month": 1 }));
    member("A-2", json!({}));
    let organic = api.offer("organic", &offers(json!({ "tag": "organic" })));
    assert_eq!(refused(&organic, "A-2", "k1"), "tag");
    api.claim(&organic, "A-1", "k2");
    // Left out, tags stay; said, they are those.
    member("A-1", json!({}));
    api.claim(&organic, "A-1", "k3");
    member("A-1", json!({ "tags": [] }));
    assert_eq!(refused(&organic, "A-1", "k4"), "tag");
    let linked = api.offer("linked", &offers(json!({ "link_days": 0 })));
    assert_eq!(refused(&linked, "A-2", "k5"), "link");
    api.bb.register("B-2");
    api.link("A-2", "B-2", false);
    api.claim(&linked, "A-2", "k6");
    // What the giver sees in others' earned tiers; a tier that was granted leads nowhere.
    let by_giver = api.offer("by-giver", &offers(json!({ "ladder": "giver", "tiers": ["top"] })));
    member("A-3", json!({ "tier": "top" }));
    assert_eq!(refused(&by_giver, "A-3", "k7"), "tier");
    api.bb.put("/v1/tier-maps/aa", &json!({ "tiers": { "top": "top" } })).status(200);
    api.claim(&by_giver, "A-3", "k8");
    member("A-2", json!({ "tier": "top", "tier_source": "granted" }));
    assert_eq!(refused(&by_giver, "A-2", "k9"), "tier", "granted: no further grant");
    let shown = api.offer("shown", &offers(json!({ "tiers": ["top"] })));
    api.claim(&shown, "A-2", "k10");
    api.bb.put("/v1/tier-maps/aa", &json!({ "tiers": { "gold": "top" } })).refused(422, "invalid");
    let early = json!({ "claims_from": "2999-01-01T00:00:00Z" });
    assert_eq!(refused(&api.offer("early", &offers(early)), "A-1", "k11"), "not_yet");
    api.bb.put("/v1/benefits/early", &changed(offers(json!({})), json!({ "state": "closed" }))).status(200);
    let closed = text(
        &api.bb.put("/v1/benefits/early", &changed(offers(json!({})), json!({ "state": "closed" }))).status(200),
        "benefit_id",
    );
    assert_eq!(refused(&closed, "A-1", "k12"), "closed");
}

#[test]
fn what_is_no_benefit_is_told_by_its_place() {
    let api = Api::new("benefit-bad", "");
    for (changes, pointer) in [
        (json!({ "kind": "lottery" }), "/kind"),
        (json!({ "quota": -1 }), "/quota"),
        (json!({ "use_until": "2030-01-01" }), "/use_until"),
        (json!({ "discount": { "amount": "1.00" } }), "/discount"),
        (json!({ "offers": [] }), "/offers"),
        (json!({ "offers": [{ "to": "zz" }] }), "/offers/0/to"),
        (json!({ "offers": [{ "to": "aa", "tiers": ["gold"] }] }), "/offers/0/tiers"),
        (json!({ "offers": [{ "to": "aa" }, { "to": "aa", "funder": "bb" }] }), "/offers/1/funder"),
        (json!({ "offers": [{ "to": "aa", "cost": "1.00" }] }), "/offers/0/cost"),
        (json!({ "offers": [{ "to": "aa", "funder": "brand", "cost": "-0" }] }), "/offers/0/cost"),
        (json!({ "face_value": "00000000001" }), "/face_value"),
        (json!({ "name": { "en": "", "zh": "票" } }), "/name/en"),
    ] {
        let problem = api.bb.put("/v1/benefits/park", &changed(ticket(), changes)).refused(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    assert_eq!(api.bb.put("/v1/benefits/Park", &ticket()).status, 422);
    api.operator().put("/v1/benefits/park", &ticket()).refused(403, "forbidden");
    assert_eq!(api.bb.get("/v1/benefits").status(200)["items"], json!([]));
    // `members`, and what ends a page of them.
    for cursor in ["bWVtYmVycw", "MjAyNi0wMS0wNVQwODowMDowMFouYWE"] {
        let problem = api.bb.get(&format!("/v1/benefits?cursor={cursor}")).refused(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], "?cursor", "{problem}");
    }
}

#[test]
fn a_member_is_recognised_for_two_minutes_by_what_it_consented_to() {
    let api = Api::new("benefit-pass", "");
    api.linked();
    let body = json!({ "tier": "top", "status": "active", "birth_month": 5, "identity": "verified", "tags": ["vip"] });
    api.aa.put("/v1/memberships/A-1", &body).status(200);
    let pass = || text(&api.aa.send("POST", "/v1/memberships/A-1/passes", "", None).status(201), "code");
    let code = pass();
    let told = api.bb.get(&format!("/v1/passes/{code}")).status(200);
    assert_eq!((&told["brand"], &told["tier"], &told["shared"]), (&json!("aa"), &json!("top"), &json!({})));
    assert!(!told.to_string().contains("A-1") && told["token"].is_string(), "{told}");
    assert_eq!(api.aa.get(&format!("/v1/passes/{code}")).status(200)["shared"]["birth_month"], 5, "its own brand");
    api.cc.get("/v1/passes/0000-0000-0000-0000").refused(404, "not_found");
    api.sql("UPDATE passes SET expires_at = clock_timestamp()").expect("over");
    api.bb.get(&format!("/v1/passes/{code}")).refused(404, "not_found");
    api.sql("UPDATE consents SET categories = ARRAY['birth_month'] WHERE recipient = 'bb'").expect("consented");
    let told = api.bb.get(&format!("/v1/passes/{}", pass())).status(200);
    assert_eq!(told["shared"], json!({ "birth_month": 5 }));
    audit(&api.house.database);
}

#[test]
fn mistakes_at_the_till_are_taken_back_last_first_and_the_use_is_there_again() {
    let api = Api::new("benefit-uses", "");
    tier(&api.aa, "A-1", "top");
    let id = api.offer("three-rides", &changed(ticket(), json!({ "uses": 3 })));
    let code = text(&api.claim(&id, "A-1", "k"), "code");
    let use_of = |key: &str| till(&api.bb, &code, key, json!({})).status(201);
    let back = |one: &Value, key: &str| {
        let path = format!("/v1/redemptions/{}/reversals", text(one, "redemption_id"));
        api.bb.post(&path, key, &json!({ "reason": "the wrong one" }))
    };
    let (first, second) = (use_of("t1"), use_of("t2"));
    assert_eq!((&second["nth"], &second["uses_left"]), (&json!(2), &json!(1)));
    assert_eq!(back(&first, "r1").refused(422, "voucher_used")["first_id"], second["redemption_id"]);
    assert_eq!(back(&second, "r2").status(201)["uses_left"], 2);
    assert_eq!(back(&first, "r3").status(201)["uses_left"], 3);
    // Typed otherwise, with the same key: the first answer again.
    let typed = code.replace('-', "");
    let again = use_of("t3");
    assert_eq!(till(&api.bb, &typed, "t3", json!({ "external_reference": "till-t3" })).status(201), again);
    for (key, left) in [("t4", 1), ("t5", 0)] {
        assert_eq!(use_of(key)["uses_left"], left);
    }
    till(&api.bb, &code, "t6", json!({})).refused(422, "voucher_used");
    api.close_window();
}

#[test]
fn each_voucher_that_settled_at_once_is_refunded_by_itself_and_none_after_its_last_day() {
    let api = Api::new("benefit-refunds", "");
    let id = api.offer("pass", &changed(ticket(), json!({ "settles_at": "issue", "use_days": 3 })));
    let members: Vec<String> = (0..8).map(|n| format!("A-{n}")).collect();
    members.iter().for_each(|member| tier(&api.aa, member, "top"));
    let all: Vec<String> = members.iter().map(|member| text(&api.claim(&id, member, member), "voucher_id")).collect();
    let (api, barrier, reason) = (&api, &Barrier::new(7), &json!({ "reason": "it rains" }));
    std::thread::scope(|scope| {
        for voucher in &all[1..] {
            scope.spawn(move || {
                barrier.wait();
                api.aa.post(&format!("/v1/vouchers/{voucher}/cancellations"), "", reason).status(200);
            });
        }
    });
    // Over, whether or not that is posted.
    api.advance("4 days");
    let late = format!("/v1/vouchers/{}/cancellations", all[0]);
    api.aa.post(&late, "", reason).refused(422, "voucher_expired");
    audit(&api.house.database);
    api.close_window();
}

#[test]
fn a_reservation_of_a_pool_shows_its_code_to_nobody_and_ends_with_its_day() {
    let api = Api::new("benefit-unshown", "");
    api.aa.register("A-1");
    let id =
        api.offer("coffee", &changed(ticket(), json!({ "codes": "pool", "quota": null, "offers": [{ "to": "aa" }] })));
    api.bb.post(&format!("/v1/benefits/{id}/codes"), "", &json!({ "codes": ["CAFE-1", "CAFE-2"] })).status(200);
    let claims = format!("/v1/benefits/{id}/claims");
    let reserve = json!({ "member_ref": "A-1", "reserve": true });
    let first = text(&api.aa.post(&claims, "k1", &reserve).status(202), "voucher_id");
    let cancel = format!("/v1/vouchers/{first}/cancellations");
    api.aa.post(&cancel, "", &json!({ "reason": "no" })).status(200);
    let shown = api.aa.get(&format!("/v1/vouchers/{first}")).status(200);
    assert_eq!((&shown["state"], &shown["code"]), (&json!("cancelled"), &Value::Null));
    api.claim(&id, "A-1", "k2");
    api.bb
        .put("/v1/benefits/coffee", &changed(ticket(), json!({ "offers": [{ "to": "aa" }] })))
        .refused(422, "invalid");
}

#[test]
fn a_yes_is_to_all_of_a_bargain_and_others_see_none_of_it() {
    let api = Api::new("benefit-bargain", "");
    let offers = json!([{ "to": "aa", "tag": "vip", "funder": "brand", "cost": "30.00" },
                        { "to": "cc", "funder": "brand", "cost": "31.00" }]);
    let document = changed(ticket(), json!({ "offers": offers }));
    let id = api.offer("lounge", &document);
    let path = format!("/v1/benefits/{id}");
    let own = api.aa.get(&path).status(200);
    assert_eq!(own["approvals"], json!([{ "payer": "aa", "approved": true }]));
    assert_eq!((own["offers"].as_array().map(Vec::len), &own["offers"][0]["cost"]), (Some(1), &json!("30.00")));
    assert_eq!(api.bb.get(&path).status(200)["offers"].as_array().map(Vec::len), Some(2));
    let approved = |change: Value| {
        api.bb.put("/v1/benefits/lounge", &changed(document.clone(), change)).status(200);
        api.aa.get(&path).status(200)["approvals"][0]["approved"].clone()
    };
    assert_eq!(approved(json!({ "name": { "en": "Lounge", "zh": "休息室" } })), true);
    let open = json!([{ "to": "aa", "funder": "brand", "cost": "30.00" }]);
    for other in [
        json!({ "offers": open }),
        json!({ "use_days": 1 }),
        json!({ "blackouts": [{ "from": "2000-01-01", "to": "2100-01-01" }] }),
    ] {
        assert_eq!(approved(other.clone()), false, "{other}");
    }
    // A claim may name the version it has read.
    let open = api.offer("open", &changed(ticket(), json!({ "offers": [{ "to": "aa" }] })));
    api.aa.register("A-1");
    let ask = |version: i64| json!({ "member_ref": "A-1", "version": version });
    api.aa.post(&format!("/v1/benefits/{open}/claims"), "v1", &ask(2)).refused(422, "invalid");
    api.aa.post(&format!("/v1/benefits/{open}/claims"), "v2", &ask(1)).status(201);
    // Who is offered nothing learns nothing of it.
    let own = api.offer("own", &changed(ticket(), json!({ "offers": [{ "to": "aa" }] })));
    api.cc.register("C-1");
    api.cc.post(&format!("/v1/benefits/{own}/claims"), "k", &json!({ "member_ref": "C-1" })).refused(404, "not_found");
}
