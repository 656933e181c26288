//! Who pays for benefits and what it has said yes to; what its givers tell of them, and how long they are remembered.

use super::benefits::{changed, text, ticket, tier, till};
use super::disputes::{amount, answer, line, path, place, upheld};
use super::{Api, Caller, Expect};
use diesel::{QueryableByName, RunQueryDsl};
use serde_json::{Value, json};

#[test]
fn what_a_member_has_bought_for_is_told_to_the_giver_alone() {
    let api = Api::new("benefit-bill", "");
    api.aa.register("A-1");
    let coupon = json!({
        "kind": "coupon", "discount": { "amount": "50.00", "from": "300.00" }, "offers": [{ "to": "aa" }],
    });
    let id = api.offer("300-50", &changed(ticket(), coupon));
    let voucher = api.claim(&id, "A-1", "k1");
    let bill = json!({ "amount": "320.00", "receipt": "b-1" });
    let used = till(&api.bb, &text(&voucher, "code"), "t1", bill).status(201);
    assert_eq!((&used["bill"], &used["to_pay"]), (&json!("320.00"), &json!("270.00")));
    let path = format!("/v1/vouchers/{}", text(&voucher, "voucher_id"));
    let [brand, giver] = [&api.aa, &api.bb].map(|caller| caller.get(&path).status(200)["redemptions"][0].clone());
    assert_eq!((&giver["bill"], &giver["to_pay"]), (&json!("320.00"), &json!("270.00")));
    assert_eq!((&brand["bill"], &brand["to_pay"], &brand["discount"]), (&Value::Null, &Value::Null, &json!("50.00")));
}

#[test]
fn nobody_is_forgotten_while_a_use_of_a_voucher_is_in_dispute() {
    let api = Api::new("benefit-erasure", "");
    tier(&api.aa, "A-1", "top");
    api.aa.register("A-2");
    let code = text(&api.claim(&api.offer("park", &ticket()), "A-1", "k1"), "code");
    till(&api.bb, &code, "t1", json!({})).status(201);
    let window = api.close_window().id;
    let own = line(&api, window, "aa", "benefit");
    let opened = api.aa.post(&place(window), "", &amount(&own, "-60.00")).status(201);
    let erase = |member: &str| api.aa.post(&format!("/v1/memberships/{member}/erasures"), "", &json!({}));
    erase("A-1").refused(422, "open_business");
    erase("A-2").status(201);
    answer(&api.bb, &opened, "rejected");
    erase("A-1").refused(422, "open_business");
    for operator in [api.operator(), api.operator_named("bob")] {
        operator.post(&path(&opened, "/decision"), "", &upheld("15.00")).status(200);
    }
    // What was decided of it can be disputed as well.
    let next = api.close_window().id;
    let adjusted = line(&api, next, "bb", "adjustment");
    let again = api.bb.post(&place(next), "", &amount(&adjusted, "-5.00")).status(201);
    erase("A-1").refused(422, "open_business");
    api.bb.post(&path(&again, "/withdrawal"), "", &json!({})).status(200);
    erase("A-1").status(201);
}

/// `ticket()` at this cost.
fn at_cost(cost: &str) -> Value {
    let offer = json!({ "to": "aa", "funder": "brand", "cost": cost });
    changed(ticket(), json!({ "offers": [offer] }))
}

impl Api {
    /// How many approvals of benefits have ended.
    fn ended(&self) -> i64 {
        let count = "SELECT count(*) AS count FROM benefit_approvals_ended";
        diesel::sql_query(count).get_result::<Count>(&mut self.connection()).expect("counted").count
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

#[test]
fn a_bargain_that_was_approved_before_is_not_brought_back_by_putting_it_again() {
    let api = Api::new("payers-again", "");
    api.aa.register("A-1");
    let put = |document: &Value| api.bb.put("/v1/benefits/park", document).status(200);
    let approved = |answer: &Value| answer["approvals"][0]["approved"] == true;
    let id = api.offer("park", &at_cost("100.00"));
    assert!(approved(&put(&at_cost("100.00"))), "the same again");
    let name = json!({ "name": { "en": "Park", "zh": "乐园" } });
    let renamed = put(&changed(at_cost("100.00"), name));
    assert!(approved(&renamed) && renamed["version"] == 2, "another name is no other bargain");
    assert_eq!(api.ended(), 0);
    api.offer("park", &at_cost("10.00"));
    assert_eq!(api.ended(), 1);
    let dear = put(&at_cost("100.00"));
    assert!(!approved(&dear), "{dear:#}");
    assert_eq!(api.ended(), 2);
    let claims = format!("/v1/benefits/{id}/claims");
    let ask = json!({ "member_ref": "A-1" });
    assert_eq!(api.aa.post(&claims, "k1", &ask).refused(422, "not_eligible")["unmet"], "brand");
    // Nor by leaving its payer out meanwhile.
    api.offer("park", &at_cost("10.00"));
    put(&changed(ticket(), json!({ "offers": [{ "to": "cc" }] })));
    assert!(!approved(&put(&at_cost("10.00"))));
    // Said anew, it counts anew.
    api.offer("park", &at_cost("100.00"));
    api.claim(&id, "A-1", "k2");
}

#[test]
fn who_pays_takes_its_yes_back_and_vouchers_that_were_claimed_stay() {
    let api = Api::new("payers-back", "");
    api.aa.register("A-1");
    let id = api.offer("park", &at_cost("80.00"));
    let code = text(&api.claim(&id, "A-1", "k1"), "code");
    let approvals = format!("/v1/benefits/{id}/approvals");
    let withdraw = |caller: &Caller| caller.send("DELETE", &approvals, "", None);
    withdraw(&api.cc).refused(404, "not_found");
    withdraw(&api.bb).refused(403, "forbidden");
    let first = withdraw(&api.aa).status(200);
    assert_eq!(first["approvals"], json!([{ "payer": "aa", "approved": false }]));
    assert_eq!(withdraw(&api.aa).status(200), first, "said again");
    assert_eq!(api.ended(), 1);
    let claims = format!("/v1/benefits/{id}/claims");
    let ask = json!({ "member_ref": "A-1" });
    let refused = |key: &str| api.aa.post(&claims, key, &ask).refused(422, "not_eligible")["unmet"].clone();
    assert_eq!(refused("k2"), "brand");
    // Whatever its giver does then.
    for state in ["closed", "open"] {
        api.bb.put("/v1/benefits/park", &changed(at_cost("80.00"), json!({ "state": state }))).status(200);
    }
    assert_eq!(refused("k3"), "brand");
    till(&api.bb, &code, "t1", json!({})).status(201);
    api.offer("park", &at_cost("80.00"));
    api.claim(&id, "A-1", "k4");
}

#[test]
fn a_giver_that_sees_its_tiers_in_others_asks_who_pays_for_them() {
    let api = Api::new("payers-tiers", "");
    tier(&api.aa, "A-1", "basic");
    let see = |tiers: Value| {
        api.bb.put("/v1/tier-maps/aa", &json!({ "tiers": tiers })).status(200);
    };
    let offer = json!({ "to": "aa", "funder": "brand", "cost": "80.00", "ladder": "giver", "tiers": ["top"] });
    see(json!({ "top": "top" }));
    let id = api.offer("park", &changed(ticket(), json!({ "offers": [offer] })));
    let plain = api.offer("plain", &ticket());
    let stands = |id: &str| {
        let answer = api.aa.get(&format!("/v1/benefits/{id}")).status(200);
        (answer["version"].clone(), answer["approvals"][0]["approved"].clone(), answer["recognised"].clone())
    };
    let claims = format!("/v1/benefits/{id}/claims");
    let ask = json!({ "member_ref": "A-1" });
    let refused = |key: &str| api.aa.post(&claims, key, &ask).refused(422, "not_eligible")["unmet"].clone();
    let approve =
        |version: i64| api.aa.post(&format!("/v1/benefits/{id}/approvals"), "", &json!({ "version": version }));
    assert_eq!(refused("k1"), "tier");
    // The same again, and what leads to no tier of the offer.
    for tiers in [json!({ "top": "top" }), json!({ "top": "top", "basic": "basic" })] {
        see(tiers.clone());
        assert_eq!(stands(&id), (json!(1), json!(true), json!({ "aa": tiers })));
    }
    see(json!({ "top": "top", "basic": "top" }));
    let wide = json!({ "aa": { "top": "top", "basic": "top" } });
    assert_eq!(stands(&id), (json!(2), json!(false), wide));
    assert_eq!(refused("k2"), "brand");
    approve(1).refused(422, "invalid");
    assert_eq!(refused("k3"), "brand", "what was read before is not what stands");
    approve(2).status(200);
    api.claim(&id, "A-1", "k4");
    see(json!({ "top": "top" }));
    see(json!({ "top": "top", "basic": "top" }));
    assert_eq!((stands(&id).0, stands(&id).1), (json!(4), json!(false)), "nor is what was approved before");
    assert_eq!(stands(&plain), (json!(1), json!(true), Value::Null), "on the brand's own ladder it is of no account");
}
