//! Who pays for benefits and what it has said yes to; what its givers tell of them, and how long they are remembered.

use super::benefits::{changed, text, ticket, tier, till};
use super::disputes::{amount, answer, line, path, place, upheld};
use super::{Api, Expect};
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
