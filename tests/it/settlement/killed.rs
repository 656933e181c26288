//! The process that closes a window is killed at each of its steps, and between the runs that its lines are written in: the
//! window goes on from there, everybody has one statement, and what was stored and signed stays as it was.

use super::support::{House, convert, convert_many, undo};
use crate::faults::proxy::{Fault, Proxy};
use crate::support::book::pair;
use crate::support::{is_long, poll, without_settings};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::Bool;
use hanse::book::windows::Which;
use hanse::domain::settlement::Participant;
use hanse::domain::settlement::window::State;
use hanse::service::settlement::close;
use hanse::service::settlement::recompute::Outcome;
use hanse::signing::merkle::{Frontier, GROUP};
use hanse::store::settlement::lines::{self, Chunk};
use hanse::store::settlement::{statements, tallies, windows};
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
        kill_at(&house, &proxy, number, (step, 1));
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

/// Closes a window in a process of its own, which is killed when it says `step` for the time `nth`.
fn kill_at(house: &House, proxy: &Proxy, number: i64, (step, nth): (&'static str, usize)) {
    proxy.arm(step, Fault::Hold);
    let mut command = Command::new(env!("CARGO_BIN_EXE_hanse"));
    without_settings(&mut command);
    command.args(["settle", "close", "--window", &number.to_string()]).env("DATABASE_URL", &proxy.url);
    command.arg("--data-dir").arg(house.folder()).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.spawn().expect("it starts");
    proxy.wait_held();
    for _ in 1..nth {
        proxy.arm(step, Fault::Hold);
        proxy.let_go();
        proxy.wait_held();
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    proxy.let_go();
}

/// How large a window is, as `in_runs` has it, and at which steps, for which time, the processes that close it are killed.
type Killed = ((i64, i64), &'static [(&'static str, usize)]);

/// Runs of lines in a window of these tests.
const RUNS: usize = 3;

/// A window that is written in three runs and has more than one chunk of the target's in each: `conversions` in each run, and
/// as many batches without a posting behind them, which registrations leave, as end it (none: the conversions are enough).
async fn in_runs(house: &House, name: &str, (conversions, batches): (i64, i64)) {
    let (a, _) = pair(&house.server, name, 10_000_000).await;
    for run in 0..RUNS {
        convert_many(&house.server, &format!("{name}-{run}"), a, conversions).await;
        let nothing = format!(
            "INSERT INTO batches (batch_no, window_id, business_at, day, partners, event_counts, entry_partners, entry_accounts, \
             entry_numbers, entry_kinds, entry_deltas, entry_subjects, entry_previous, sealed) \
             SELECT nextval('batch_numbers'), b.window_id, b.business_at, b.day, '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', \
             '{{}}', '{{}}', true FROM (SELECT * FROM batches ORDER BY batch_no DESC LIMIT 1) b, generate_series(1, {batches})"
        );
        house.conn().batch_execute(&nothing).expect("batches");
    }
}

/// The dead one's turn has fallen: the database has noticed.
fn wait_for_turn(house: &House) {
    #[derive(QueryableByName)]
    struct Free {
        #[diesel(sql_type = Bool)]
        free: bool,
    }
    let sql = "SELECT NOT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
               WHERE d.datname = current_database() AND locktype = 'advisory') AS free";
    poll("the turn has fallen", Duration::from_secs(30), || {
        let row: Free = sql_query(sql).get_result(&mut house.conn()).expect("locks");
        row.free.then_some(())
    });
}

/// How far a window's lines have come, as it is stored: its last batch and that of its last line, the target's lines and
/// groups, and all its chunks.
fn stored(house: &House, number: i64) -> ((i64, i64), (u64, usize), Vec<Chunk>) {
    let mut conn = house.conn();
    let window = windows::numbered(&mut conn, number).expect("read").expect("a window");
    let closed = window.closed().expect("it has ended");
    let target = Participant::parse("bb").expect("a participant");
    let rows = tallies::list(&mut conn, window.id).expect("sums");
    let own = rows.iter().find(|row| row.participant == target).expect("the target's");
    let tree = Frontier::from_bytes(&own.frontier).expect("a tree");
    let chunks = lines::from(&mut conn, window.id, &target, own.first_line, i64::MAX).expect("lines");
    ((closed.through_batch, closed.last_batch), (tree.len(), own.groups.len() / 32), chunks)
}

#[actix_web::test]
async fn a_close_killed_between_its_runs_goes_on_from_the_stored_trees_and_sums() {
    let house = House::new("close-runs", "").await;
    let proxy = Proxy::before(&house.book.database.url);
    // The third run is the second one of the process that goes on.
    let mut windows_of: Vec<Killed> = vec![((700, 4_000), &[("SET through_batch", 2), ("INSERT INTO line_chunks", 2)])];
    if is_long() {
        // Sums are written one participant after the other, three in a run.
        windows_of.extend([
            ((700, 4_000), &[("INSERT INTO line_chunks", 2), ("INSERT INTO tallies", 1)][..]),
            ((700, 4_000), &[("INSERT INTO tallies", 5), ("INSERT INTO tallies", 1)]),
            ((700, 4_000), &[("SET through_batch", 3), ("INSERT INTO line_chunks", 1), ("SET through_batch", 1)]),
            // Full of conversions: what is read ahead is there when the process dies.
            ((20_000, 0), &[("INSERT INTO line_chunks", 2), ("SET through_batch", 1)]),
        ]);
    }
    for (round, (size, kills)) in windows_of.iter().enumerate() {
        let number = i64::try_from(round + 1).expect("few");
        in_runs(&house, &format!("w{number}"), *size).await;
        let mut before = Vec::new();
        for (step, nth) in *kills {
            kill_at(&house, &proxy, number, (step, *nth));
            wait_for_turn(&house);
            let ((through, last), (lines, groups), chunks) = stored(&house, number);
            let told: i64 = chunks.iter().map(|chunk| i64::from(chunk.lines)).sum();
            assert!(through < last && lines > GROUP && groups >= 1, "{step} {nth}: {through} of {last}, {lines} lines");
            assert_eq!((u64::try_from(told), groups), (Ok(lines), usize::try_from(lines / GROUP).expect("few")));
            assert!(chunks.starts_with(&before), "{step} {nth}: what was stored stays");
            before = chunks;
        }
        let which = Some(Which::Numbered(number));
        let window = close::close(&house.book.database.url, &house.keys, which, |_| ()).expect("it goes on");
        let window = window.expect("its turn");
        assert_eq!((window.number, window.state), (number, State::Published), "{:?}", window.blocked_by);
        let rows = statements::of_window(&mut house.conn(), window.id).expect("read");
        let whose: Vec<(&str, i64)> = rows.iter().map(|row| (row.participant.as_str(), row.lines)).collect();
        let conversions = size.0 * i64::try_from(RUNS).expect("few");
        assert_eq!(whose, [("aa", conversions), ("bb", 2 * conversions), ("operator", conversions)]);
        let (_, (lines, groups), chunks) = stored(&house, number);
        assert_eq!((i64::try_from(lines), u64::try_from(groups)), (Ok(2 * conversions), Ok(lines / GROUP)));
        assert!(chunks.starts_with(&before) && chunks.len() > before.len(), "what was stored stays");
        assert!(matches!(house.recompute(&window), Outcome::Same(_)), "{:?}", house.recompute(&window));
    }
    house.book.audit();
    house.pay_all();
    assert_eq!(house.exposures(), []);
    house.book.audit();
}
