//! Who pays for benefits and what it has said yes to; what its givers tell of them, and how long they are remembered.

use super::benefits::{changed, text, ticket, till};
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
