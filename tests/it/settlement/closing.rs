//! A window closes: everybody has a statement, nothing is lost, and all paid means every exposure is zero.

use super::support::{House, convert, reverse, undo};
use crate::support::book::pair;
use hanse::domain::settlement::Participant;
use hanse::service::settlement::read::{self, Lines};
use hanse::service::settlement::recompute::{Outcome, Same};
use hanse::store::settlement::statements;
use hanse::store::settlement::windows::{self, Row};
use serde_json::Value;

fn participant(text: &str) -> Participant {
    Participant::parse(text).expect("a participant")
}

/// A statement's payload.
fn statement(house: &House, window: hanse::domain::ids::WindowId, of: &str) -> Value {
    let row = statements::find(&mut house.conn(), window, &participant(of)).expect("read").expect("a statement");
    serde_json::from_str(&row.payload).expect("JSON")
}

#[actix_web::test]
async fn a_window_closes_with_a_statement_for_everybody_and_all_paid_is_zero() {
    let house = House::new("closing", "").await;
    let (a, _) = pair(&house.server, "1", 1_000).await;
    let first = convert(&house.server, "c1", a, 136).await;
    let second = convert(&house.server, "c2", a, 200).await;
    undo(&house.server, "u1", first).await;
    let window = house.closed();
    assert_eq!(window.number, 1);
    // 100 credited at 0.05, the fee 1 % of it; the bonus is the target's own.
    let aa = statement(&house, window.id, "aa");
    assert_eq!(
        (&aa["net"], &aa["opening"], &aa["closing"]),
        (&"-5.05".into(), &"0.00".into(), &"-5.05".into()),
        "{aa:#}"
    );
    let bb = statement(&house, window.id, "bb");
    assert_eq!((&bb["net"], &bb["lines"]["count"]), (&"5.00".into(), &6.into()), "{bb:#}");
    assert_eq!(statement(&house, window.id, "operator")["net"], "0.05");
    assert!(
        matches!(house.recompute(&window), Outcome::Same(Same { lines: 12, statements: 3 })),
        "{:?}",
        house.recompute(&window)
    );
    house.book.audit();
    assert_eq!(house.exposures().len(), 2, "what aa owes, net and gross: {:?}", house.exposures());
    house.pay_all();
    assert_eq!(house.exposures(), []);
    house.book.audit();

    // A later window takes part of it back.
    reverse(&house.server, "r1", second, 34).await;
    let later = house.closed();
    let aa = statement(&house, later.id, "aa");
    assert_eq!(
        (&aa["net"], &aa["opening"], &aa["payments"], &aa["closing"]),
        (&"1.72".into(), &"-5.05".into(), &"5.05".into(), &"1.72".into()),
        "{aa:#}"
    );
    assert!(aa["counterparties"][0]["earlier_reversal"].is_object(), "{aa:#}");
    assert!(matches!(house.recompute(&later), Outcome::Same(_)), "{:?}", house.recompute(&later));
    house.pay_all();
    assert_eq!(house.exposures(), []);
    house.book.audit();
}

#[actix_web::test]
async fn an_empty_window_is_signed_too_and_lines_go_on_counting() {
    let house = House::new("empty", "").await;
    let empty = house.closed();
    let aa = statement(&house, empty.id, "aa");
    assert_eq!(
        aa["lines"],
        serde_json::json!({"count": 0, "root": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"})
    );
    let (a, _) = pair(&house.server, "1", 1_000).await;
    convert(&house.server, "c1", a, 100).await;
    let second = house.closed();
    assert_eq!(statement(&house, second.id, "aa")["lines"]["first"], 1);
    assert_eq!(statement(&house, second.id, "aa")["previous"]["window"], 1);
    convert(&house.server, "c2", a, 100).await;
    let third = house.closed();
    assert_eq!(statement(&house, third.id, "bb")["lines"]["first"], 3, "a conversion and a memo before");
    let row = statements::find(&mut house.conn(), third.id, &participant("bb")).expect("read").expect("there");
    let lines = Lines::of(&row).next(&mut house.conn()).expect("read").expect("lines");
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 2);
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let value: Value = serde_json::from_slice(line).expect("JSON");
        assert_eq!(hanse::signing::canonical::to_vec(&value).expect("canonical"), line, "{value:#}");
    }
    let document = read::document(&mut house.conn(), &row).expect("a document");
    assert_eq!(document.verify_all(|kid| house.keys.statement_key(kid)).expect("both hold").len(), 2);
}

#[actix_web::test]
async fn a_key_hands_over_in_the_log_and_old_statements_go_on_verifying() {
    use hanse::service::settlement::rotate;
    use hanse::signing::general::Document;
    use hanse::signing::keyring::Purpose;
    use hanse::signing::rotation;
    let house = House::new("rotated", "").await;
    let first = house.closed();
    assert!(house.keys.rotate(Purpose::Statement).await.expect("rotated"));
    assert!(rotate::record(&mut house.conn(), &house.keys, Purpose::Statement).expect("recorded"));
    assert!(!rotate::record(&mut house.conn(), &house.keys, Purpose::Statement).expect("once"));
    let records = rotate::list(&mut house.conn()).expect("read");
    let document = Document::parse(records[0].as_bytes()).expect("a document");
    let told = rotation::verify(&document, |kid| house.keys.statement_key(kid)).expect("both have signed");
    assert_ne!(told.old, told.new);
    // The new key's time has come.
    let sql = format!("UPDATE alliance_keys SET signs_from = now() WHERE kid = '{}'", told.new);
    diesel::connection::SimpleConnection::batch_execute(&mut house.conn(), &sql).expect("its time");
    house.keys.refresh().await.expect("refreshed");
    let second = house.closed();
    for (window, kid) in [(first, &told.old), (second, &told.new)] {
        let row = statements::find(&mut house.conn(), window.id, &participant("aa")).expect("read").expect("there");
        let document = read::document(&mut house.conn(), &row).expect("a document");
        let signers = document.verify_all(|kid| house.keys.statement_key(kid)).expect("all hold");
        assert_eq!(&signers[0].0, kid, "window {}", row.number);
    }
    house.book.audit();
}

#[actix_web::test]
async fn the_logs_key_hands_over_and_old_checkpoints_go_on_verifying() {
    use hanse::service::settlement::rotate;
    use hanse::signing::general::Document;
    use hanse::signing::keyring::Purpose;
    use hanse::signing::note::{Note, Vkey};
    use hanse::signing::rotation;
    let house = House::new("log-rotated", "").await;
    let note = || {
        let note = read::checkpoint(&mut house.conn()).expect("read").expect("a checkpoint");
        Note::parse(note.as_bytes()).expect("a note")
    };
    house.closed();
    let before = note();
    assert!(house.keys.rotate(Purpose::Checkpoint).await.expect("rotated"));
    assert!(rotate::record(&mut house.conn(), &house.keys, Purpose::Checkpoint).expect("recorded"));
    assert!(!rotate::record(&mut house.conn(), &house.keys, Purpose::Checkpoint).expect("once"));
    let records = rotate::list(&mut house.conn()).expect("read");
    let document = Document::parse(records[0].as_bytes()).expect("a document");
    let told = rotation::verify(&document, |kid| house.keys.key(Purpose::Checkpoint, kid)).expect("both have signed");
    assert_eq!(told.purpose, Purpose::Checkpoint);
    // That both have said so is a record of the log, under a checkpoint of the old key.
    let handed = note();
    let sql = format!("UPDATE alliance_keys SET signs_from = now() WHERE kid = '{}'", told.new);
    diesel::connection::SimpleConnection::batch_execute(&mut house.conn(), &sql).expect("its time");
    house.keys.refresh().await.expect("refreshed");
    house.closed();
    let after = note();
    let published = rotate::log_keys(&mut house.conn()).expect("read");
    let keys: Vec<Vkey> = published.iter().map(|key| Vkey::parse(key).expect("a verifier key")).collect();
    let [old, new] = keys.try_into().expect("two keys");
    let sizes = [(&before, &old), (&handed, &old), (&after, &new)]
        .map(|(note, key)| note.checkpoint(key).expect("it holds").size);
    assert!(sizes[0] + 1 == sizes[1] && sizes[1] < sizes[2], "{sizes:?}");
    assert!(before.checkpoint(&new).is_err() && after.checkpoint(&old).is_err());
    house.book.audit();
}

#[actix_web::test]
async fn a_window_comes_out_the_same_after_a_person_was_forgotten() {
    use hanse::book::command::{Command, Erase};
    let house = House::new("erased", "").await;
    let (a, b) = pair(&house.server, "1", 1_000).await;
    convert(&house.server, "c1", a, 100).await;
    let window = house.closed();
    for (partner, member) in [("aa", a), ("bb", b)] {
        let erase = crate::support::book::request(partner, "erase", Command::Erase(Erase { who: member.who }));
        let answer = house.server.submit(erase).await.expect("decided");
        assert!(matches!(answer.outcome, hanse::book::command::Outcome::Erased), "{answer:?}");
    }
    assert!(matches!(house.recompute(&window), Outcome::Same(_)), "{:?}", house.recompute(&window));
    house.book.audit();
}

#[actix_web::test]
async fn what_was_tampered_with_is_blocked_or_named_and_nothing_is_signed() {
    use diesel::connection::SimpleConnection;
    use hanse::domain::settlement::window::State;
    let house = House::new("tampered", "").await;
    let (a, _) = pair(&house.server, "1", 1_000).await;
    convert(&house.server, "c1", a, 100).await;
    house.conn().batch_execute("UPDATE exposures SET value = value + 1 WHERE key = 'pair:aa:bb'").expect("moved");
    let blocked = house.close();
    let why = blocked.blocked_by.clone().expect("a reason");
    assert_eq!(blocked.state, State::Blocked);
    assert!(why.contains("pair:aa:bb"), "{why}");
    assert!(statements::of_window(&mut house.conn(), blocked.id).expect("read").is_empty());
    // Conversions go on, and so does the next window; nothing later is signed before this one.
    convert(&house.server, "c2", a, 100).await;
    assert_eq!(house.close().number, blocked.number);
    house
        .conn()
        .batch_execute(
            "UPDATE exposures SET value = value - 1 WHERE key = 'pair:aa:bb'; 
        UPDATE window_exposures SET value = value - 1 WHERE key = 'pair:aa:bb'",
        )
        .expect("mended");
    hanse::service::settlement::close::retry(&mut house.conn(), &blocked).expect("tried again");
    let last = house.closed();
    let again =
        hanse::service::settlement::close::retry(&mut house.conn(), &last).expect_err("it is no longer blocked");
    assert_eq!(again.to_string(), "window 3 is published: only a blocked window is tried again");
    assert_eq!(last.number, 3, "the blocked one, the one after it, and one more");
    // Who still believes that it is to be blocked finds that it has moved on.
    let late = Row { state: State::Netted, ..blocked };
    let refused = windows::block(&mut house.conn(), &late, "late").expect_err("it is published");
    let chain = std::error::Error::source(&refused).map_or_else(|| refused.to_string(), ToString::to_string);
    assert!(chain.contains("has moved on meanwhile"), "{chain}");
    assert_eq!(windows::find(&mut house.conn(), late.id).expect("read").expect("there").state, State::Published);
    house.book.audit();

    // What was posted is changed afterwards: what is signed stays, and recomputing names the difference.
    let window = hanse::store::settlement::windows::numbered(&mut house.conn(), 1).expect("read").expect("there");
    house.conn().batch_execute("UPDATE conversions SET credit = credit - 1, reversed_credit = 0 WHERE batch_no <= (SELECT last_batch FROM windows WHERE number = 1)").expect("changed");
    match house.recompute(&window) {
        Outcome::Differs(what) => assert!(what.contains("line 1 of aa"), "{what}"),
        other => panic!("{other:?}"),
    }
    for (table, change) in
        [("statements", "payload = payload || ' '"), ("line_chunks", "lines = 1"), ("windows", "settings = '{}'")]
    {
        let refused = house.conn().batch_execute(&format!("UPDATE {table} SET {change}"));
        assert!(refused.is_err(), "{table} is final");
    }
}
