//! The contract, call by call, over the wire.

use super::endpoint::{Alliance, credit, hold, id, step, void};
use reqwest::Method;
use serde_json::{Value, json};

#[actix_web::test]
async fn a_conversion_goes_through_both_ways_and_every_call_may_be_made_again() {
    let alliance = Alliance::new("sim-contract");
    let sim = std::thread::scope(|scope| scope.spawn(|| alliance.sim("a", &[])).join().expect("started"));
    let caller = alliance.caller("alliance");
    let post = async |path: &str, body: &Value| caller.post(&sim, path, body).await.expect("an answer");
    let get = async |path: &str| caller.get(&sim, path).await.expect("an answer");
    let first = post("/holds", &hold(1, 1, 400)).await;
    assert_eq!((first.status, &first.json["points"]), (200, &json!(400)));
    let again = post("/holds", &hold(1, 1, 400)).await;
    assert_eq!(again.bytes, first.bytes);
    assert_eq!(post("/holds", &hold(1, 1, 401)).await.code(), "id_mismatch");
    assert_eq!(get("/memberships/SPR-1").await.json["balance"], 9_600);
    assert_eq!(get(&format!("/holds/{}", id("hld", 1))).await.json["state"], "held");
    for _ in 0..2 {
        let captured = post(&format!("/holds/{}/capture", id("hld", 1)), &step(1)).await;
        assert_eq!((captured.status, &captured.json["state"]), (200, &json!("captured")));
    }
    assert_eq!(post(&format!("/holds/{}/release", id("hld", 1)), &step(1)).await.code(), "captured");
    assert_eq!(post(&format!("/holds/{}/capture", id("hld", 2)), &step(1)).await.code(), "id_mismatch");
    for _ in 0..2 {
        assert_eq!(post("/credits", &credit(1, 2, 70)).await.json["points"], 70);
    }
    assert_eq!(get(&format!("/credits/{}", id("crd", 1))).await.json["state"], "credited");
    assert_eq!(get("/memberships/SPR-2").await.json["balance"], 10_070);
    // Given back: the hold's capture, once.
    let mut back = credit(2, 1, 400);
    (back["kind"], back["reverses"]) = (json!("undo"), json!(id("hld", 1)));
    assert_eq!(post("/credits", &back).await.status, 200);
    let mut more = credit(3, 1, 1);
    (more["kind"], more["reverses"]) = (json!("undo"), json!(id("hld", 1)));
    assert_eq!(post("/credits", &more).await.code(), "reversal_exceeds");
    assert_eq!(get("/memberships/SPR-1").await.json["balance"], 10_000);
    // Tombstones.
    assert_eq!(post(&format!("/credits/{}/void", id("crd", 9)), &void(9)).await.status, 200);
    assert_eq!(post("/credits", &credit(9, 1, 5)).await.code(), "voided");
    assert_eq!(post(&format!("/holds/{}/release", id("hld", 9)), &step(9)).await.status, 200);
    assert_eq!(post("/holds", &hold(9, 1, 5)).await.code(), "voided");
    assert_eq!(get(&format!("/holds/{}", id("hld", 77))).await.status, 404);
    assert_eq!(post("/holds", &hold(10, 999, 5)).await.code(), "not_found");
    assert_eq!(post("/holds", &hold(11, 3, 10_001)).await.code(), "insufficient_points");
    let mut unknown = hold(12, 1, 5);
    unknown["colour"] = json!("red");
    assert_eq!((post("/holds", &unknown).await.status, post("/nothing", &json!({})).await.status), (400, 404));
    let totals = sim.control(Method::GET, "/totals", "").await;
    assert_eq!(totals["adds_up"], true, "{totals}");
    assert_eq!(totals["spendable"], 1_000_070, "{totals}");
    let ledger = sim.control(Method::GET, "/ledger", "").await;
    assert_eq!(ledger["credits"].as_array().map(Vec::len), Some(4), "{ledger}");
}

#[actix_web::test]
async fn who_is_not_the_alliance_or_signs_nothing_good_is_not_believed() {
    let alliance = Alliance::new("sim-gate");
    let sim = std::thread::scope(|scope| scope.spawn(|| alliance.sim("a", &[])).join().expect("started"));
    let caller = alliance.caller("alliance");
    for off in [-301, 301] {
        let late = caller.signed(&sim, Method::POST, "/holds", &hold(1, 1, 5), off).await.expect("an answer");
        assert_eq!((late.status, late.code()), (401, "signature_refused"), "{off}");
    }
    let unsigned = caller.http.post(format!("{}/holds", sim.url)).body(hold(1, 1, 5).to_string());
    assert_eq!(caller.send(unsigned).await.expect("an answer").status, 401);
    let large = caller.signed(&sim, Method::POST, "/holds", &json!({ "x": "y".repeat(300 << 10) }), 0).await;
    assert!(large.as_ref().ok().is_none_or(|reply| reply.status == 413), "{large:?}");
    // Another's certificate, of the same authority; and none.
    assert!(alliance.caller("lumen").get(&sim, "/memberships/SPR-1").await.is_err());
    let nobody = reqwest::Client::builder().tls_backend_preconfigured(alliance.tls(None)).no_proxy();
    let asked = nobody.build().expect("a client").get(format!("{}/memberships/SPR-1", sim.url)).send().await;
    assert!(asked.is_err());
    let event = json!({ "id": "evt_00000001", "type": "conversion.completed", "sequence": 1, "data": {} });
    for _ in 0..2 {
        assert_eq!(caller.post(&sim, "/webhooks", &event).await.expect("an answer").status, 200);
    }
    let mut other = event.clone();
    other["data"] = json!({ "x": 1 });
    assert_eq!(caller.post(&sim, "/webhooks", &other).await.expect("an answer").code(), "id_mismatch");
    let totals = sim.control(Method::GET, "/totals", "").await;
    assert_eq!((&totals["events"], &totals["holds"]), (&json!(1), &json!(0)), "{totals}");
}
