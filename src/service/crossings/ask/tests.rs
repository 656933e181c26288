//! Hostile and clumsy answers: believed only when they say just what was asked.

use super::*;
use crate::domain::ids::{AccountId, ConversionId, TokenId};
use crate::domain::money::Millionths;
use crate::domain::rate::Ratio;
use crate::domain::terms::Terms;
use hyper::body::Bytes;
use std::sync::Arc;
use uuid::Uuid;

fn points(value: i64) -> Points {
    Points::new(value).expect("in range")
}

fn terms() -> Terms {
    Terms {
        from: "sprout".parse().expect("a slug"),
        to: "nest".parse().expect("a slug"),
        tier: "l1".to_owned(),
        ratio: Ratio::new(1, 2).expect("a ratio"),
        rate_version: 1,
        step: points(2),
        minimum: points(2),
        maximum: None,
        campaigns: Vec::new(),
        agreement_version: 1,
        settlement_price: Millionths::new(10_000),
        fee_basis_points: 0,
        fee_payer: crate::domain::catalogue::Party::From,
        undo_s: 900,
        renews_on_arrival: false,
        reversal_needs_confirmation: false,
        target_pays_spent: false,
        grace_days: 30,
        from_entity: String::new(),
        to_entity: String::new(),
        from_tax_code: String::new(),
        to_tax_code: String::new(),
    }
}

/// 100 points of sprout for 50 of nest and a bonus of 5.
fn row(state: State) -> CrossingRow {
    let id = Uuid::from_u128(7);
    let lot = |value, expires| Parcel { points: points(value), expires };
    let month_end = Expiry::On("2026-12-31".parse().expect("a date"));
    CrossingRow {
        id,
        kind: Kind::Conversion,
        conversion: ConversionId(id),
        state,
        from_account: AccountId(Uuid::from_u128(1)),
        to_account: AccountId(Uuid::from_u128(2)),
        terms: Arc::new(terms()),
        debit: points(100),
        credit: points(50),
        bonuses: vec![points(5)],
        fee: Millionths::ZERO,
        lots_wanted: Vec::new(),
        lots_held: vec![lot(100, month_end)],
        lots_arriving: vec![lot(50, month_end), lot(5, Expiry::Never)],
        source_entry_no: 0,
        from_token: TokenId(Uuid::from_u128(3)),
        to_token: TokenId(Uuid::from_u128(4)),
        reference: None,
        quote: None,
        pulled: false,
        asked_by: "sprout".parse().expect("a slug"),
        batch_no: 1,
        ordinal: 1,
        at: DateTime::UNIX_EPOCH,
        day: "2026-01-05".parse().expect("a date"),
        cause: None,
        in_doubt: false,
        version: 1,
    }
}

fn answer(status: u16, body: &str) -> Answer {
    let body = Bytes::from(
        body.replace("HLD", "hld_00000000000000000000000000000007")
            .replace("CRD", "crd_00000000000000000000000000000007"),
    );
    Answer { status, retry_after: None, content_type: None, signed: None, body }
}

fn is_unknown(state: State, status: u16, body: &str) -> bool {
    matches!(news(&row(state), &answer(status, body)), News::Unknown(_))
}

fn stepped(state: State, status: u16, body: &str) -> Option<Step> {
    match news(&row(state), &answer(status, body)) {
        News::Step { step, .. } => Some(step),
        News::Unknown(_) => None,
    }
}

#[test]
fn fault_46_an_answer_that_is_not_just_what_was_asked_is_no_answer() {
    let good = r#"{"hold_id":"HLD","points":100,"lots":[{"points":60,"expires_on":"2026-06-30"},{"points":40,"expires_on":null}]}"#;
    assert_eq!(stepped(State::Holding, 201, good), Some(Step::Held));
    let bad = [
        (
            200,
            r#"{"hold_id":"hld_00000000000000000000000000000008","points":100,"lots":[{"points":100,"expires_on":null}]}"#,
        ),
        (200, r#"{"hold_id":"HLD","points":99,"lots":[{"points":99,"expires_on":null}]}"#),
        (200, r#"{"hold_id":"HLD","points":100,"lots":[{"points":99,"expires_on":null}]}"#),
        (200, r#"{"hold_id":"HLD","points":100,"points":100,"lots":[{"points":100,"expires_on":null}]}"#),
        (
            200,
            r#"{"hold_id":"HLD","points":100,"lots":[{"points":101,"expires_on":null},{"points":-1,"expires_on":null}]}"#,
        ),
        (
            200,
            r#"{"hold_id":"HLD","points":100,"lots":[{"points":100,"expires_on":null},{"points":0,"expires_on":null}]}"#,
        ),
        (200, r#"{"hold_id":"HLD","points":1e2,"lots":[{"points":1e2,"expires_on":null}]}"#),
        (200, r#"{"hold_id":"HLD","points":100,"lots":[{"points":100,"expires_on":"2026-02-30"}]}"#),
        (200, r#"{"hold_id":"HLD","points":100,"lots":[]}"#),
        (200, r#"{"hold_id":"HLD"}"#),
        (200, ""),
        (200, "<html>"),
        (204, ""),
        (302, good),
        (404, good),
        (500, good),
        (422, ""),
        (422, r#"{"code":"Not A Code"}"#),
        (422, r#"{"title":"no code"}"#),
        (422, r#"{"code":"id_mismatch"}"#),
        (200, r#"{"hold_id":"HLD","points":100,"state":"released","lots":[{"points":100,"expires_on":null}]}"#),
        (200, r#"{"hold_id":"HLD","points":100,"lots":[{"points":100,"expires_on":"1969-12-31"}]}"#),
        (200, r#"{"hold_id":"HLD","points":100,"lots":[{"points":100,"expires_on":"2026-12-30"}]}"#),
        (200, r#"{"hold_id":"HLD","points":100,"lots":[{"points":100,"expires_on":"9999-12-31"}]}"#),
    ];
    for (status, body) in bad {
        assert!(is_unknown(State::Holding, status, body), "{status} {body}");
    }
    let many = vec![r#"{"points":1,"expires_on":null}"#; 300].join(",");
    assert!(is_unknown(State::Holding, 200, &format!(r#"{{"hold_id":"HLD","points":300,"lots":[{many}]}}"#)));
    for body in [
        r#"{"credit_id":"CRD","points":50}"#,
        r#"{"credit_id":"CR","points":55}"#,
        r#"{"credit_id":"CRD","points":55,"state":"voided"}"#,
    ] {
        assert!(is_unknown(State::Crediting, 200, body), "{body}");
    }
    assert_eq!(stepped(State::Crediting, 200, r#"{"credit_id":"CRD","points":55}"#), Some(Step::Credited));
    let hold = |state: &str| format!(r#"{{"hold_id":"HLD","points":100,"lots":[],"state":"{state}"}}"#);
    assert!(is_unknown(State::Capturing, 200, &hold("released")) && is_unknown(State::Capturing, 200, &hold("held")));
    assert!(is_unknown(State::Releasing, 200, &hold("captured")));
    assert_eq!(stepped(State::Releasing, 200, &hold("released")), Some(Step::Released));
    assert!(is_unknown(State::Voiding, 200, r#"{"credit_id":"CRD","points":55,"state":"credited"}"#));
}

#[test]
fn only_a_422_with_a_code_is_a_no_and_a_void_has_none() {
    let no = r#"{"type":"about:blank","code":"insufficient_points","detail":"…"}"#;
    for state in [State::Holding, State::Crediting, State::Capturing, State::Releasing] {
        assert_eq!(stepped(state, 422, no), Some(Step::Refused), "{state:?}");
        for status in [400, 401, 403, 404, 409, 410, 429, 500, 503] {
            assert!(is_unknown(state, status, no), "{state:?} {status}");
        }
    }
    assert!(is_unknown(State::Voiding, 422, no));
    assert!(is_unknown(State::Voiding, 404, ""), "a 404 proves nothing");
    assert_eq!(stepped(State::Voiding, 204, ""), Some(Step::Voided));
}

#[test]
fn a_look_proves_what_it_says_and_a_404_nothing() {
    let look = |state, status, body: &str| {
        seen(&row(state), &answer(status, body)).map(|news| match news {
            News::Step { step, .. } => step,
            News::Unknown(why) => panic!("{why}"),
        })
    };
    let hold = |state: &str| {
        format!(r#"{{"hold_id":"HLD","points":100,"lots":[{{"points":100,"expires_on":null}}],"state":"{state}"}}"#)
    };
    assert_eq!(look(State::Holding, 200, &hold("held")), Some(Step::Held));
    assert_eq!(look(State::Holding, 200, &hold("released")), None);
    assert_eq!(look(State::Capturing, 200, &hold("captured")), Some(Step::Captured));
    assert_eq!(look(State::Capturing, 200, &hold("held")), None);
    let credit = |state: &str| format!(r#"{{"credit_id":"CRD","points":55,"state":"{state}"}}"#);
    assert_eq!(look(State::Crediting, 200, &credit("credited")), Some(Step::Credited));
    assert_eq!(look(State::Crediting, 200, &credit("voided")), None);
    assert_eq!(look(State::Voiding, 200, &credit("credited")), Some(Step::Credited), "it did arrive after all");
    assert_eq!(look(State::Voiding, 200, &credit("voided")), Some(Step::Voided));
    for state in [State::Holding, State::Crediting, State::Voiding, State::Capturing] {
        assert_eq!(look(state, 404, ""), None);
    }
}

#[test]
fn the_same_question_has_the_same_bytes_and_says_all_lots() {
    let question = |state| question(&row(state), "SPR-1").expect("one is due");
    assert_eq!(question(State::Crediting), question(State::Crediting));
    let body: serde_json::Value = serde_json::from_slice(&question(State::Crediting).body).expect("JSON");
    assert_eq!(
        (&body["points"], &body["lots"][0]["kind"], &body["lots"][1]["kind"]),
        (&55.into(), &"base".into(), &"bonus".into())
    );
    let ids: std::collections::BTreeSet<_> =
        [State::Holding, State::Crediting, State::Capturing, State::Voiding, State::Releasing]
            .map(|state| question(state).id)
            .into();
    assert_eq!(ids.len(), 5);
    assert!(ids.iter().all(|id| (8..=64).contains(&id.len())));
}

#[test]
fn waits_grow_to_half_a_minute_and_heed_what_is_asked_for() {
    assert_eq!(wait(0, None, 0), Duration::from_millis(200));
    assert_eq!(wait(0, None, 255), Duration::from_millis(300));
    assert_eq!(wait(50, None, 255), Duration::from_millis(38_400));
    assert_eq!(wait(0, Some(Duration::from_secs(7)), 0), Duration::from_secs(7));
    assert_eq!(wait(0, Some(Duration::from_secs(86_400)), 0), Duration::from_secs(300));
}
