//! What crossed is taken back the way it came; what a ledger will not do by any means is for a person.

use super::stage::{AA, BB, PATIENCE, Stage};
use crate::support::poll;
use serde_json::Value;

/// The conversion once it is in this state.
pub fn once(stage: &Stage, id: &str, state: &str) -> Value {
    poll(state, PATIENCE, || Some(stage.get(&format!("/v1/conversions/{id}"))).filter(|told| told["state"] == state))
}

pub fn id(told: &Value) -> String {
    told["conversion_id"].as_str().expect("an id").to_owned()
}

#[test]
fn an_undo_gives_everything_back_at_both_ledgers_or_nothing() {
    let stage = Stage::new("taken-back", 2, &["--crossing-call-ms", "500"]);
    let accepted = stage.convert("k1", 1, 100);
    let completed = once(&stage, &id(&accepted), "completed");
    assert_eq!(completed["confirmation"], accepted["confirmation"], "the member keeps its number");
    assert_eq!((&completed["credit_points"], &completed["total_credit_points"]), (&50.into(), &55.into()));
    assert_eq!(completed["arriving_lots"].as_array().map(Vec::len), Some(2), "one lot of the origin, one bonus");
    let found =
        stage.get(&format!("/v1/conversions?confirmation={}", accepted["confirmation"].as_str().expect("a number")));
    assert_eq!(found["items"][0]["conversion_id"], accepted["conversion_id"]);
    let again = stage.convert("k1", 1, 100);
    assert_eq!(again, accepted, "the first answer again, whatever has become of it");
    stage.agree();
    // The target will not give it back: nothing moves, and the conversion stands.
    stage.faults(BB, "hold:refuse=x1");
    let (status, told) = stage.post(&format!("/v1/conversions/{}/undo", id(&accepted)), "u1");
    assert_eq!((status, &told["state"]), (202, &"pending".into()), "{told}");
    stage.all_over(PATIENCE);
    let stands = once(&stage, &id(&accepted), "completed");
    assert_eq!(stands["reversals"][0]["state"], "refused");
    stage.faults(BB, "capture:timeout_after=x1");
    let (status, _) = stage.post(&format!("/v1/conversions/{}/undo", id(&accepted)), "u2");
    assert_eq!(status, 202);
    let undone = once(&stage, &id(&accepted), "undone");
    assert_eq!(undone["reversed_debit_points"], 100);
    assert_eq!(
        stage.post(&format!("/v1/conversions/{}/undo", id(&accepted)), "u2").1["state"],
        "pending",
        "as first answered"
    );
    stage.all_over(PATIENCE);
    let (status, told) = stage.post(&format!("/v1/conversions/{}/undo", id(&accepted)), "u3");
    assert_eq!((status, &told["code"]), (409, &"undo_window_closed".into()), "{told}");
    stage.agree();
    stage.audit();
    let types: Vec<Value> = stage.get("/v1/events?limit=50")["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|event| {
            event["type"].as_str().is_some_and(|kind| kind.starts_with("conversion") || kind.starts_with("reversal"))
        })
        .map(|event| event["type"].clone())
        .collect();
    assert_eq!(types, ["conversion.pending", "conversion.completed", "reversal.refused", "conversion.undone"]);
}

#[test]
fn a_capture_refused_for_a_moment_is_asked_for_again_before_anybody_is_called() {
    let stage = Stage::new("slip", 1, &["--crossing-call-ms", "500"]);
    stage.faults(AA, "capture:refuse=1");
    let accepted = stage.convert("k1", 1, 100);
    let refused = |told: &Value| told["note"].as_str().is_some_and(|note| note.starts_with("refused: "));
    poll("refused", PATIENCE, || {
        let crossings = stage.get("/v1/crossings");
        crossings["items"].as_array().is_some_and(|all| all.iter().any(refused)).then_some(())
    });
    stage.faults(AA, "");
    once(&stage, &id(&accepted), "completed");
    let events = stage.get("/v1/events?limit=50");
    let all = events["items"].as_array().expect("a list");
    assert!(all.iter().all(|event| event["type"] != "conversion.in_doubt"), "{all:?}");
    stage.audit();
}

#[test]
fn a_capture_refused_after_the_credit_is_in_doubt_and_its_line_stands() {
    let stage = Stage::new("in-doubt", 1, &["--crossing-call-ms", "500"]);
    stage.faults(AA, "capture:refuse=1");
    let accepted = stage.convert("k1", 1, 100);
    let told = once(&stage, &id(&accepted), "in_doubt");
    assert!(told["window_id"].is_string(), "posted: {told}");
    stage.audit();
    let ledger = stage.ledger(BB);
    assert_eq!(ledger["totals"]["credited"], 55, "the target has its points");
    let events = stage.get("/v1/events?limit=50");
    let of =
        |kind: &str| events["items"].as_array().into_iter().flatten().filter(|event| event["type"] == kind).count();
    assert_eq!((of("conversion.in_doubt"), of("conversion.completed")), (1, 0));
}
