//! What somebody with money at stake would try: settlement goes on, exposures return to zero, and what was signed stays.

use super::support::{House, convert, reverse, undo};
use super::verify;
use crate::support::book::{self, Member, pair};
use crate::support::is_long;
use diesel::connection::SimpleConnection;
use hanse::book::command::{Ask, Command, Convert, Direction, Outcome, Reverse, Undo, Want};
use hanse::book::exposures::{self, ExposureKey};
use hanse::book::windows::Which;
use hanse::book::{Handle, audit, fence};
use hanse::domain::money::Millionths;
use hanse::domain::settlement::Participant;
use hanse::domain::settlement::window::State;
use hanse::service::reports::{Form, files};
use hanse::service::settlement::recompute::Outcome as Again;
use hanse::service::settlement::reports::{Name, Wanted, make};
use hanse::service::settlement::{adjust, close};
use hanse::store::settlement::statements;
use hanse::store::settlement::windows::{self, Backlog};
use std::time::{Duration, Instant};

fn participant(text: &str) -> Participant {
    Participant::parse(text).expect("a participant")
}

/// `from` owes `to` the amount, by two persons.
fn adjusted(house: &House, from: &str, to: &str, amount: i64) {
    let asked = adjust::Asked {
        from: participant(from),
        to: participant(to),
        amount: Millionths::new(amount),
        reason: "agreed on".into(),
        dispute: None,
        conversion: None,
        by: "one".into(),
    };
    let mut conn = house.conn();
    let id = adjust::ask(&mut conn, &asked).expect("asked");
    adjust::settle(&mut conn, id, true, "other").expect("approved");
}

/// As publishing an agreement does.
fn agree(house: &House, from: &str, to: &str) {
    let mut conn = house.conn();
    diesel::Connection::transaction(&mut conn, |conn| {
        fence::exclusive(conn, 4)?;
        exposures::open(conn, &ExposureKey::Pair(book::slug(from), book::slug(to)), None)
    })
    .expect("opened");
}

/// A third partner without agreements.
const STRANGER: &str = "
INSERT INTO partners (slug, name_en, name_zh, trade, legal_entity, tax_code, status, hosted, programme_code, programme_name_en,
    programme_name_zh, scale, unit_cost, expiry_months, tiers)
SELECT 'cc', name_en, name_zh, trade, 'cc Ltd', '91cc', status, hosted, 'CC', programme_name_en, programme_name_zh, scale, unit_cost,
    expiry_months, tiers FROM partners WHERE slug = 'aa';
INSERT INTO exposures (key, value, cap) VALUES ('partner:cc', 0, NULL);
";

#[actix_web::test]
async fn an_adjustment_before_there_is_an_agreement_counts_like_any_other() {
    let house = House::new("before-agreement", STRANGER).await;
    adjusted(&house, "aa", "cc", 3_000_000);
    house.book.audit();
    agree(&house, "aa", "cc");
    house.book.audit();
    let first = house.closed();
    assert!(matches!(house.recompute(&first), Again::Same(_)));
    adjusted(&house, "cc", "bb", 2_000_000);
    house.closed();
    agree(&house, "cc", "bb");
    house.book.audit();
    house.pay_all();
    house.book.audit();
    assert_eq!(house.exposures(), []);
    assert_eq!(house.closed().state, State::Published);
}

#[actix_web::test]
async fn what_takes_back_nothing_because_all_is_spent_has_its_lines_all_the_same() {
    let spent = "SET session_replication_role = replica; UPDATE agreements SET target_pays_spent = true; RESET session_replication_role";
    let house = House::new("spent", spent).await;
    let (a, b) = pair(&house.server, "1", 1_000).await;
    let made = convert(&house.server, "c1", a, 200).await;
    let window = house.closed();
    let debit = hanse::book::command::Debit { who: b.who, points: book::points(110), reason: "spent".into() };
    let answer = house.server.submit(book::request("bb", "d1", Command::Debit(debit))).await;
    assert_eq!(book::code(&answer), "done", "{answer:?}");
    reverse(&house.server, "r1", made, 40).await;
    reverse(&house.server, "r2", made, 60).await;
    let later = house.closed();
    for window in [&window, &later] {
        assert!(matches!(house.recompute(window), Again::Same(_)), "{:?}", house.recompute(window));
    }
    house.book.audit();
    house.pay_all();
    assert_eq!(house.exposures(), []);
    house.book.audit();
}

/// Of a signed window; the last two have rows of this one here by what was posted in it.
const SIGNED: [&str; 6] = ["window_exposures", "line_chunks", "tallies", "nets", "statements", "obligations"];

#[actix_web::test]
async fn what_is_signed_is_changed_by_no_statement_of_its_owner() {
    let house = House::new("final", "").await;
    let (a, _) = pair(&house.server, "1", 1_000).await;
    convert(&house.server, "c1", a, 200).await;
    house.closed();
    house.pay_all();
    let mut conn = house.conn();
    for change in [
        "UPDATE windows SET state = 'closed' WHERE number = 1",
        "UPDATE windows SET published_at = now() WHERE number = 1",
        "UPDATE statements SET payload = payload || ' '",
        "UPDATE statements SET state = 'disputed', closing = 0",
        "UPDATE obligations SET amount = amount + 1",
        "UPDATE obligations SET creditor = 'bb'",
        "UPDATE obligations SET paid = 0, paid_at = NULL",
        "UPDATE tallies SET groups = ''",
        "UPDATE nets SET exact = 0",
        "UPDATE nets SET released = NULL",
        "UPDATE window_exposures SET value = 0",
        "DELETE FROM obligations",
        "DELETE FROM tallies",
        "DELETE FROM nets",
        "DELETE FROM window_exposures",
        "DELETE FROM line_chunks",
        "DELETE FROM payments",
        "DELETE FROM log_leaves",
        "TRUNCATE windows",
        "TRUNCATE line_chunks",
        "TRUNCATE statements",
        "TRUNCATE statement_signatures",
        "TRUNCATE log_leaves",
        "TRUNCATE checkpoints",
        "TRUNCATE cosignatures",
        "TRUNCATE adjustments",
        "TRUNCATE payments",
        "TRUNCATE releases",
        "TRUNCATE obligations",
        "TRUNCATE tallies",
        "TRUNCATE nets",
        "TRUNCATE window_exposures",
        "TRUNCATE disputes, dispute_answers, dispute_decisions",
    ] {
        let done = diesel::Connection::transaction(&mut conn, |conn| conn.batch_execute(change));
        assert!(done.is_err(), "{change}: done");
    }
    // A trigger comes before any other rule of a row.
    for table in SIGNED {
        let more = format!(
            "INSERT INTO {table} SELECT t.* FROM {table} t JOIN windows w USING (window_id) WHERE w.number = 1"
        );
        let refused = conn.batch_execute(&more).expect_err(table).to_string();
        assert_eq!(refused, format!("nothing is added to a signed window in {table}"));
    }
}

#[actix_web::test]
async fn an_amount_that_cannot_be_turned_is_no_adjustment() {
    let house = House::new("turned", "").await;
    for amount in [i64::MIN, i64::MAX] {
        let asked = adjust::Asked {
            from: participant("aa"),
            to: participant("operator"),
            amount: Millionths::new(amount),
            reason: "all there is".into(),
            dispute: None,
            conversion: None,
            by: "one".into(),
        };
        assert!(adjust::ask(&mut house.conn(), &asked).is_err(), "{amount}");
        let asked = adjust::Asked { to: participant("aq"), ..asked };
        let refused = adjust::ask(&mut house.conn(), &asked).expect_err("nobody's name");
        assert_eq!(refused.to_string(), "there is no partner aq");
    }
}

const TABLES: [&str; 13] = [
    "reversals",
    "windows",
    "batches",
    "line_chunks",
    "statements",
    "nets",
    "log_leaves",
    "checkpoints",
    "obligations",
    "payments",
    "adjustments",
    "releases",
    "exposures",
];

/// Each change breaks just what its invariant says; the audit must name it.
#[actix_web::test]
async fn every_invariant_of_settlement_can_fail() {
    let house = House::new("can-fail", "").await;
    let (a, _) = pair(&house.server, "1", 10_000).await;
    let made = convert(&house.server, "c1", a, 2_000).await;
    adjusted(&house, "aa", "operator", 1_000_000);
    house.closed();
    reverse(&house.server, "r1", made, 40).await;
    reverse(&house.server, "r2", made, 60).await;
    convert(&house.server, "c2", a, 2_000).await;
    house.pay_all();
    house.closed();
    convert(&house.server, "c3", a, 2_000).await;
    house.book.audit();
    for table in TABLES {
        house.conn().batch_execute(&format!("CREATE TABLE saved_{table} AS TABLE {table}")).expect("saved");
    }
    for (name, change) in [
        (
            "parts taken back",
            "UPDATE reversals SET bonuses[1] = bonuses[1] + 1, bonus = bonus + 1 WHERE reversal_id = (SELECT reversal_id FROM reversals ORDER BY 1 DESC LIMIT 1)",
        ),
        ("windows in line", "UPDATE windows SET number = 7 WHERE number = 3"),
        ("windows in line", "UPDATE windows SET last_batch = last_batch + 1 WHERE number = 2"),
        (
            "windows in line",
            "UPDATE batches SET window_id = (SELECT window_id FROM windows WHERE state = 'open') WHERE batch_no = (SELECT last_batch FROM windows WHERE number = 1)",
        ),
        ("windows in line", "UPDATE batches SET window_id = gen_random_uuid() WHERE batch_no = 1"),
        ("dense lines", "DELETE FROM line_chunks WHERE participant = 'aa' AND first_line = 1"),
        (
            "dense lines",
            "INSERT INTO line_chunks SELECT participant, first_line + lines, lines, window_id, first_batch, last_batch, body FROM line_chunks WHERE participant = 'bb' ORDER BY first_line DESC LIMIT 1",
        ),
        (
            "dense lines",
            "UPDATE statements SET first_line = first_line + 1 WHERE number = 2 AND participant = 'operator'",
        ),
        ("dense lines", "DELETE FROM statements WHERE number = 2 AND participant = 'bb'"),
        ("nets are nothing together", "UPDATE nets SET exact = exact + 1 WHERE participant = 'aa'"),
        ("statements chain", "UPDATE statements SET closing = closing + 1 WHERE number = 2 AND participant = 'bb'"),
        ("statements chain", "UPDATE statements SET closing = closing + 1 WHERE number = 1 AND participant = 'bb'"),
        ("statements chain", "DELETE FROM statements WHERE number = 2 AND participant = 'bb'"),
        ("statements chain", "UPDATE log_leaves SET leaf = sha256('x') WHERE leaf_index = 1"),
        ("dense log", "DELETE FROM log_leaves WHERE leaf_index = 1"),
        ("statements answered", "UPDATE statements SET state = 'acknowledged' WHERE participant = 'aa'"),
        ("statements answered", "UPDATE statements SET state = 'disputed' WHERE participant = 'aa'"),
        ("dense log", "DELETE FROM checkpoints WHERE size = (SELECT max(size) FROM checkpoints)"),
        ("dense log", "UPDATE checkpoints SET size = size - 1 WHERE size = (SELECT min(size) FROM checkpoints)"),
        ("obligations paid", "UPDATE payments SET amount = amount - 1"),
        ("obligations paid", "UPDATE nets SET released = NULL WHERE participant = 'bb'"),
        ("obligations = nets", "UPDATE obligations SET amount = amount + 10000 WHERE paid = 0"),
        ("obligations = nets", "DELETE FROM obligations WHERE paid = 0"),
        ("exposures = lines", "UPDATE adjustments SET amount = amount - 1"),
        ("exposures = lines", "DELETE FROM releases WHERE key = 'partner:aa'"),
        ("exposures = lines", "UPDATE exposures SET value = value + 1 WHERE key = 'pair:aa:bb'"),
        ("one window", "UPDATE reversals SET window_id = (SELECT window_id FROM windows WHERE number = 1)"),
    ] {
        let mut conn = house.conn();
        let changed = conn.batch_execute(&format!("SET session_replication_role = replica; {change}"));
        changed.unwrap_or_else(|error| panic!("{change}: {error}"));
        let findings = audit::run(&mut house.conn(), |_| ()).expect("the audit runs");
        let broken: Vec<&str> = findings.iter().filter(|found| found.violations > 0).map(|found| found.name).collect();
        assert!(broken.contains(&name), "{change}: {name} is not among {broken:?}");
        for table in TABLES {
            let restore = format!("TRUNCATE {table}; INSERT INTO {table} SELECT * FROM saved_{table}");
            conn.batch_execute(&restore).expect("as it was");
        }
    }
}

/// Converts for some seconds, and takes some of it back; the longest it took.
async fn converting(server: &Handle, a: Member, b: Member) -> Duration {
    let mut slowest = Duration::ZERO;
    let until = Instant::now() + Duration::from_secs(if is_long() { 60 } else { 4 });
    for nth in 0.. {
        if Instant::now() > until {
            break;
        }
        let began = Instant::now();
        let (one, other) = (format!("a{nth}"), format!("b{nth}"));
        let made = tokio::join!(convert(server, &one, a, 20), convert(server, &other, b, 40));
        if nth % 3 == 0 {
            undo(server, &format!("u{nth}"), made.0).await;
        }
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

/// Two servers close one window after the other while members convert and finance pays, adjusts and looks for what is late.
#[actix_web::test]
async fn windows_close_by_two_servers_in_the_midst_of_everything() {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    let house = House::new("storm", "").await;
    let (a, _) = pair(&house.server, "1", 10_000_000).await;
    let (b, _) = pair(&house.server, "2", 10_000_000).await;
    let over = AtomicBool::new(false);
    let closes = AtomicUsize::new(0);
    let url = house.book.database.url.clone();
    let closing = || {
        while !over.load(Ordering::Relaxed) {
            let closed = close::close(&url, &house.keys, Some(Which::Open), |_| ()).expect("it closes");
            closes.fetch_add(usize::from(closed.is_some()), Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let adjusting = || {
        for nth in 0.. {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let (from, to) = [("aa", "bb"), ("bb", "aa"), ("operator", "aa"), ("bb", "operator")][nth % 4];
            adjusted(&house, from, to, 1_234_567);
        }
    };
    let paying = || {
        while !over.load(Ordering::Relaxed) {
            house.pay_all();
            let mut conn = house.conn();
            let loaded = hanse::store::catalogue::load(&mut conn).expect("the catalogue");
            hanse::service::settlement::deadlines::answer_late(&mut conn, &loaded).expect("told");
        }
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(closing), scope.spawn(closing)];
        let others = [scope.spawn(adjusting)];
        let payers = [scope.spawn(paying), scope.spawn(paying)];
        let server = &house.server;
        let work = converting(server, a, b);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let slowest = scope.spawn(move || runtime.block_on(work)).join().expect("converted");
        over.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().expect("closed");
        }
        for thread in others {
            thread.join().expect("adjusted");
        }
        for thread in payers {
            thread.join().expect("paid");
        }
        println!("{} closes, the slowest conversions took {slowest:?}", closes.load(Ordering::Relaxed));
    });
    house.book.audit();
    let last = house.closed();
    for number in 1..=last.number {
        let window = windows::numbered(&mut house.conn(), number).expect("read").expect("there");
        assert!(matches!(house.recompute(&window), Again::Same(_)), "{number}: {:?}", house.recompute(&window));
    }
    house.pay_all();
    assert_eq!(house.exposures(), []);
    house.book.audit();
}

#[actix_web::test]
async fn what_no_longer_adds_up_at_signing_is_blocked_and_closes_once_it_is_mended() {
    let house = House::new("at-signing", "").await;
    let (a, _) = pair(&house.server, "1", 1_000).await;
    convert(&house.server, "c1", a, 200).await;
    let stop = "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'stopped'; END $$; \
                CREATE TRIGGER stop BEFORE INSERT ON statements FOR EACH ROW EXECUTE FUNCTION stop()";
    house.conn().batch_execute(stop).expect("stopped");
    let close = |which| close::close(&house.book.database.url, &house.keys, which, |_| ());
    assert!(close(Some(Which::Open)).is_err(), "no statement can be written");
    let go_on = "DROP TRIGGER stop ON statements; UPDATE nets SET exact = exact + 1 WHERE participant = 'aa'";
    house.conn().batch_execute(go_on).expect("goes on");
    let window = close(None).expect("it is blocked").expect("a window");
    assert_eq!(window.state, State::Blocked, "{window:?}");
    let backlog = |house: &House| windows::backlog(&mut house.conn()).expect("read");
    assert_eq!(backlog(&house), Backlog { blocked: 1, since: Some(window.closed().expect("closed").at) });
    close::retry(&mut house.conn(), &window).expect("tried again");
    let window = close(None).expect("it closes").expect("a window");
    assert_eq!(window.state, State::Published, "{:?}", window.blocked_by);
    assert!(matches!(house.recompute(&window), Again::Same(_)));
    house.pay_all();
    assert_eq!(house.exposures(), []);
    house.book.audit();
}

/// Three campaigns, each of another funder; taken back in parts at once, an undo beside them, in a later window.
#[actix_web::test]
async fn parts_taken_back_at_once_add_up_over_windows_and_campaigns() {
    let house = House::new("parts", super::random::THIRD).await;
    let server = &house.server;
    let (c, b) = (book::member(server, "cc", "1").await, book::member(server, "bb", "1").await);
    book::link(server, c, b).await;
    book::credit(server, "cc", "opening", c, 100_000, hanse::domain::expiry::Expiry::Never).await;
    let convert = |key: &str| {
        let ask = Ask::Now { want: Want::Points(book::points(3_003)), floor: None };
        let convert = Convert { who: c.who, direction: Direction::To(book::slug("bb")), ask };
        book::request("cc", key, Command::Convert(convert))
    };
    let mut made = Vec::new();
    for nth in 0..3 {
        let answer = server.submit(convert(&format!("c{nth}"))).await.expect("decided");
        let Outcome::Conversion(row) = answer.outcome else { panic!("{answer:?}") };
        made.push(row.id);
    }
    house.closed();
    let mut asked = Vec::new();
    for (nth, credit) in [2, 998, 14, 86, 902].into_iter().enumerate() {
        for conversion in &made[..2] {
            let reverse =
                Reverse { conversion: *conversion, credit_points: book::points(credit), reason: "back".into() };
            asked.push(book::request("cc", &format!("r{nth}-{conversion}"), Command::Reverse(reverse)));
        }
    }
    asked.push(book::request("cc", "u", Command::Undo(Undo { conversion: made[2] })));
    asked.push(convert("again"));
    for answer in server.submit_all(asked).await {
        assert_eq!(book::code(&answer), "done", "{answer:?}");
    }
    let later = house.closed();
    assert!(matches!(house.recompute(&later), Again::Same(_)), "{:?}", house.recompute(&later));
    house.book.audit();
    house.pay_all();
    assert_eq!(house.exposures(), []);
    house.book.audit();
}

/// What is converted and undone all day long adds up beyond money, and nets to nothing: it blocks nobody.
#[actix_web::test]
async fn sums_beyond_money_that_net_to_nothing_settle_and_are_reported() {
    let house = House::new("beyond", "").await;
    let most = 300_000_000_000_000;
    let (a, _) = pair(&house.server, "1", 9_000_000_000_000_000).await;
    for nth in 0..64 {
        let made = convert(&house.server, &format!("c{nth}"), a, most).await;
        undo(&house.server, &format!("u{nth}"), made).await;
    }
    assert_eq!(house.exposures(), []);
    let window = house.closed();
    assert!(matches!(house.recompute(&window), Again::Same(_)));
    let statement = statements::find(&mut house.conn(), window.id, &participant("aa")).expect("read").expect("there");
    let payload: serde_json::Value = serde_json::from_str(&statement.payload).expect("JSON");
    let out = &payload["totals"]["out"];
    assert_eq!((&out["points"], &out["lines"]), (&serde_json::json!("9600000000000000"), &serde_json::json!(64)));
    let amount = hanse::domain::money::parse_decimal(out["amount"].as_str().expect("a sum")).expect("a sum");
    assert!(amount < i128::from(i64::MIN), "{amount}");
    for name in Name::ALL {
        let participant = name.needs_participant().then(|| participant("aa"));
        let wanted = Wanted {
            window: name.needs_window().then_some(window.number),
            participant,
            ..Wanted::now(&mut house.conn()).expect("now")
        };
        let report = make(&mut house.conn(), name, &wanted).unwrap_or_else(|why| panic!("{name:?}: {why}"));
        for form in Form::ALL {
            files(&report, form, "report").expect("written");
        }
    }
    let made = verify::files(&house, window.id, "aa", hanse::domain::ids::ConversionId(uuid::Uuid::nil()));
    let given = [("s", made.statement.as_slice()), ("l", &made.ndjson), ("k", &verify::jwks(&house))];
    let report = verify::verify(&given);
    assert!(report.first_wrong().is_none(), "{report:?}");
    house.book.audit();
}
