//! The process that closes a window is killed at each of its steps: the window goes on from there, everybody has one
//! statement, and what was signed stays as it was.

use super::support::{House, convert, undo};
use crate::faults::proxy::{Fault, Proxy};
use crate::support::book::pair;
use crate::support::{is_long, poll, without_settings};
use hanse::book::windows::Which;
use hanse::domain::settlement::window::State;
use hanse::service::settlement::close;
use hanse::service::settlement::recompute::Outcome;
use hanse::store::settlement::{statements, windows};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What each step says to the database, in the sequence of a close.
const STEPS: [&str; 20] = [
    "windows w SET state",
    "INSERT INTO windows",
    "INSERT INTO window_exposures",
    "COMMIT\0",
    "WHERE NOT sealed",
    "SET state = $3, blocked_by",
    "INSERT INTO line_chunks",
    "INSERT INTO tallies",
    "SET through_batch",
    "INSERT INTO nets",
    "SET issued_at",
    "INSERT INTO statements",
    "INSERT INTO statement_signatures",
    "INSERT INTO log_leaves",
    "INSERT INTO checkpoints",
    "INSERT INTO obligations",
    "UPDATE nets SET released",
    "INSERT INTO releases",
    "UPDATE exposures",
    "SET published_at",
];

#[actix_web::test]
async fn a_close_killed_at_any_step_goes_on_from_there_with_one_statement_each() {
    let house = House::new("close-killed", "").await;
    let proxy = Proxy::before(&house.book.database.url);
    let (a, _) = pair(&house.server, "1", 1_000_000).await;
    let steps: Vec<&str> = STEPS.into_iter().step_by(if is_long() { 1 } else { 4 }).collect();
    for (round, step) in steps.iter().enumerate() {
        for nth in 0..5 {
            let id = convert(&house.server, &format!("c{round}-{nth}"), a, 20).await;
            if nth == 3 {
                undo(&house.server, &format!("u{round}"), id).await;
            }
        }
        let number = i64::try_from(round + 1).expect("few");
        proxy.arm(step, Fault::Hold);
        let mut command = Command::new(env!("CARGO_BIN_EXE_hanse"));
        without_settings(&mut command);
        command.args(["settle", "close", "--window", &number.to_string()]).env("DATABASE_URL", &proxy.url);
        command.arg("--data-dir").arg(house.folder()).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        proxy.wait_held();
        child.kill().expect("killed");
        child.wait().expect("ended");
        proxy.let_go();
        assert_eq!(proxy.met(), round + 1, "{step} was said");
        let signed = |number| {
            let mut conn = house.conn();
            let window = windows::numbered(&mut conn, number).expect("read").expect("a window");
            let rows = statements::of_window(&mut conn, window.id).expect("read");
            (window, rows.into_iter().map(|row| (row.participant.to_string(), row.payload)).collect::<Vec<_>>())
        };
        let before = signed(number).1;
        // The dead one's turn falls when the database notices; what it had done stays done.
        let window = poll("the window is published", Duration::from_secs(30), || {
            let which = Some(Which::Numbered(number));
            close::close(&house.book.database.url, &house.keys, which, |_| ()).expect("it goes on");
            Some(signed(number).0).filter(|window| window.state == State::Published)
        });
        let after = signed(number).1;
        let whose: Vec<&str> = after.iter().map(|(participant, _)| participant.as_str()).collect();
        assert_eq!(whose, ["aa", "bb", "operator"], "{step}: one statement each");
        assert!(before.is_empty() || before == after, "{step}: what was signed stays");
        assert!(matches!(house.recompute(&window), Outcome::Same(_)), "{step}: {:?}", house.recompute(&window));
    }
    house.book.audit();
    house.pay_all();
    assert_eq!(house.exposures(), []);
    house.book.audit();
    println!("{} closes killed, one at each of: {}", steps.len(), steps.join(" · "));
}
