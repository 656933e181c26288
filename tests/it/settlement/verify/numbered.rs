//! Lines are numbered on from window to window, whatever windows without lines lie between.

use super::signed::{Alliance, payload, tells, told};
use super::{Months, NOTHING, verify, wrong};
use hanse::domain::money::Millionths;
use hanse::service::settlement::statement::hex;
use hanse::service::verify::Mark;
use hanse::signing::{canonical, merkle};
use serde_json::{Value, json};

/// Statements of one participant, window after window: where the lines of each begin, if it has any.
fn chain(base: &Value, first_window: i64, windows: &[Option<i64>]) -> Vec<Value> {
    let money = |value: &Value| Millionths::parse(value.as_str().expect("text")).expect("an amount").get();
    let (mut previous, mut closing) = (Value::Null, 0);
    let window = |(number, first): (i64, &Option<i64>)| {
        let mut payload = base.clone();
        payload["window"]["number"] = json!(number);
        match first {
            Some(first) => {
                let count = base["lines"]["count"].as_i64().expect("a number");
                payload["lines"]["first"] = json!(first);
                payload["lines"]["last"] = json!(first + count - 1);
            }
            None => {
                payload["lines"] = json!({ "count": 0, "root": hex(&merkle::empty_root()) });
                payload["net"] = json!("0.00");
                (payload["counterparties"], payload["totals"], payload["obligations"]) =
                    (json!([]), json!({}), json!([]));
                payload.as_object_mut().expect("an object").remove("fees");
            }
        }
        if number > 1 {
            payload["previous"] = previous.take();
            if payload["previous"].is_null() {
                payload["previous"] = json!({ "window": number - 1, "leaf": hex(&[7; 32]) });
            }
        }
        payload["opening"] = json!(Millionths::new(closing).to_string());
        closing += money(&payload["net"]);
        payload["closing"] = json!(Millionths::new(closing).to_string());
        let leaf = merkle::leaf_hash(&canonical::to_vec(&payload).expect("canonical"));
        previous = json!({ "window": number, "leaf": hex(&leaf) });
        payload
    };
    (first_window..).zip(windows).map(window).collect()
}

#[actix_web::test]
async fn a_gap_in_the_numbers_of_lines_is_told_over_windows_without_lines() {
    let months = Months::new("numbered", "").await;
    let alliance = Alliance::new();
    let base = payload(&months.files(0, "bb").statement);
    let count = base["lines"]["count"].as_i64().expect("a number");
    let check = |first_window, windows: &[Option<i64>]| {
        let statements: Vec<_> = chain(&base, first_window, windows).iter().map(|of| alliance.signed(of)).collect();
        let keys = alliance.jwks();
        let mut files = vec![("k", keys.as_slice())];
        files.extend(statements.iter().map(|statement| ("s", statement.as_slice())));
        wrong(&verify(&files))
    };
    let next = 1 + count;
    for windows in [
        &[Some(1), Some(next)][..],
        &[Some(1), None, Some(next)],
        &[None, None, Some(1), None, None, Some(next), Some(next + count)],
        &[None, None],
    ] {
        assert_eq!(check(1, windows), NOTHING, "{windows:?}");
    }
    let gap = |last: i64, window: i64| {
        [format!("line_numbers: the last line before window {window} is {last}, and it begins with 777")]
    };
    assert_eq!(check(1, &[Some(1), Some(777)]), gap(count, 2));
    assert_eq!(check(1, &[Some(1), None, None, Some(777)]), gap(count, 4));
    assert_eq!(check(1, &[None, Some(777)]), gap(0, 2));
    assert_eq!(check(1, &[Some(777)]), ["line_numbers: it is the first statement, and its lines begin with 777"]);
    // Where the one before is not given, nothing says where they go on from.
    assert_eq!(check(2, &[None, Some(777)]), NOTHING);
    assert_eq!(check(2, &[Some(100), None, Some(777)]), gap(99 + count, 4));
}

#[actix_web::test]
async fn sides_without_a_total_between_them_are_not_said_to_agree() {
    let months = Months::new("no-sides", "").await;
    let (aa, operator) = (months.files(0, "aa").statement, months.files(0, "operator").statement);
    let alliance = Alliance::new();
    let emptied = [&aa, &operator].map(|statement| alliance.signed(&chain(&payload(statement), 1, &[None])[0]));
    let keys = alliance.jwks();
    let report = verify(&[("a", &emptied[0]), ("o", &emptied[1]), ("k", &keys)]);
    assert_eq!(wrong(&report), NOTHING);
    tells(&told(&report, Mark::Unchecked), "sides: that both sides of a total agree: ");
    assert!(!told(&report, Mark::Holds).iter().any(|held| held.starts_with("sides")));
}
