//! Endpoints that come and go, slow ones, what is sent again meanwhile, and however much waits.

use super::{AWAKE, Mail, believed};
use crate::support::book::slug;
use crate::support::poll;
use crate::support::receiver::{Got, Receiver, Reply};
use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use hanse::domain::delivery::Health;
use hanse::domain::ids::WebhookId;
use hanse::service::delivery::endpoints::{Ask, Delivery, delivery_id};
use hanse::service::exchange::Error;
use hanse::store::webhooks::log;
use std::time::{Duration, Instant};

const NOW: &str = "UPDATE deliveries SET next_at = clock_timestamp() WHERE next_at > clock_timestamp()";
const WAITING: &str = "SELECT count(*) AS number FROM deliveries WHERE next_at > clock_timestamp()";
/// No statement changes more than a thousand deliveries.
const BOUNDED: &str = "CREATE FUNCTION pg_temp_bounded() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    IF (SELECT count(*) FROM changed) > 1000 THEN RAISE EXCEPTION 'more than a thousand at once'; END IF; RETURN NULL; END $$; \
    CREATE TRIGGER bounded AFTER UPDATE ON deliveries REFERENCING NEW TABLE AS changed FOR EACH STATEMENT \
    EXECUTE FUNCTION pg_temp_bounded()";

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

fn number_on(conn: &mut PgConnection, sql: &str) -> i64 {
    sql_query(sql).get_result::<Number>(conn).expect(sql).number
}

fn number(mail: &Mail, sql: &str) -> i64 {
    number_on(&mut mail.database.connection(), sql)
}

fn tries(mail: &Mail, sequence: i64) -> i64 {
    number(mail, &format!("SELECT tries::bigint AS number FROM deliveries WHERE sequence = {sequence}"))
}

fn row(mail: &Mail, id: WebhookId, sequence: i64) -> Option<Delivery> {
    mail.deliveries("aa", id).into_iter().find(|one| one.sequence == sequence)
}

fn is_delivered(mail: &Mail, id: WebhookId, sequence: i64) -> bool {
    row(mail, id, sequence).is_some_and(|row| row.state == "delivered")
}

fn resend(mail: &Mail, id: WebhookId, sequence: i64) -> Delivery {
    let no = mail.shows("aa", id).row.no;
    mail.block(mail.webhooks.resend(slug("aa"), delivery_id(no, sequence), "a certificate".to_owned())).expect("due").1
}

fn sent(receiver: &Receiver) -> Vec<i64> {
    receiver.got().iter().map(Got::sequence).collect()
}

/// So many deliveries that the feed does not have, each of its own key, from a sequence on.
fn waiting(mail: &Mail, from: i64, count: i64, columns: &str) {
    mail.sql(&format!(
        "INSERT INTO deliveries (webhook_no, sequence, event_id, type, key, tries, state, next_at, state_at) \
         SELECT w.webhook_no, n, gen_random_uuid(), 'exposure.warned', gen_random_uuid(), 4, {columns} \
         FROM webhooks w, generate_series({from}, {from} + {count} - 1) n"
    ));
}

#[test]
fn an_event_that_is_refused_by_itself_keeps_its_times_while_its_endpoint_comes_and_goes() {
    let mail = Mail::new("outage-refused");
    let up = |got: &Got| Reply::Status(if got.sequence() == 1 { 422 } else { 200 });
    let down = |got: &Got| Reply::Status(if got.sequence() == 1 { 422 } else { 503 });
    let receiver = mail.receiver(up);
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    let running = mail.run();
    mail.tell("aa", 1, 1);
    mail.until("refused", || row(&mail, id, 1).is_some_and(|row| row.state == "retrying"));
    mail.sql(
        "UPDATE deliveries SET key = gen_random_uuid(), tries = 3, next_at = clock_timestamp() + interval '1 hour', \
              state_at = clock_timestamp() - interval '1 hour'",
    );
    let before = row(&mail, id, 1).expect("there");
    for nth in 1..=3 {
        receiver.script(down);
        receiver.forget();
        mail.tell("aa", 8, 8);
        mail.until("its breaker", || mail.shows("aa", id).row.health.is_open());
        mail.until("a probe with it", || {
            mail.sql(AWAKE);
            std::thread::sleep(Duration::from_millis(100));
            sent(&receiver).contains(&1)
        });
        receiver.script(up);
        mail.until("all others", || {
            mail.sql(AWAKE);
            (2..2 + 8 * nth).all(|sequence| is_delivered(&mail, id, sequence))
        });
        assert_eq!(mail.shows("aa", id).row.health, Health::default());
    }
    std::thread::sleep(Duration::from_millis(600));
    let after = row(&mail, id, 1).expect("there");
    assert_eq!((after.next_at, after.state_at, tries(&mail, 1)), (before.next_at, before.state_at, 3));
    assert!(after.attempts.as_array().map(Vec::len) > before.attempts.as_array().map(Vec::len), "probes are told");
    drop(running);
}

#[test]
fn the_failure_that_opens_the_breaker_is_no_try_of_its_event() {
    let mail = Mail::new("outage-fifth");
    let receiver = mail.receiver(|_| Reply::Status(503));
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    let running = mail.run();
    mail.tell("aa", 1, 1);
    for nth in 1..=5 {
        let attempts = || row(&mail, id, 1).and_then(|row| row.attempts.as_array().map(Vec::len));
        mail.until("an attempt", || attempts() == Some(nth));
        mail.sql(NOW);
    }
    assert!(mail.shows("aa", id).row.health.is_open());
    assert_eq!(tries(&mail, 1), 4);
    drop(running);
}

#[test]
fn what_failed_while_an_endpoint_was_away_is_due_when_it_is_back_however_much_it_is() {
    let mail = Mail::new("outage-many");
    let receiver = mail.receiver(|_| Reply::Status(200));
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    let retrying = "'retrying', clock_timestamp() + interval '10 hours' + n * interval '1 microsecond'";
    waiting(&mail, 100_001, 1_500, &format!("{retrying}, clock_timestamp() - interval '2 hours'"));
    waiting(&mail, 200_001, 10_000, &format!("{retrying}, clock_timestamp() - interval '30 minutes'"));
    mail.sql(BOUNDED);
    mail.sql(
        "UPDATE webhooks SET failures = 9, failing_since = clock_timestamp() - interval '1 hour', \
              opened_at = clock_timestamp() - interval '59 minutes'",
    );
    mail.tell("aa", 5, 5);
    let running = mail.run();
    mail.until("what was sent is written", || mail.shows("aa", id).backlog == 0);
    mail.until("due", || number(&mail, WAITING) <= 1_500);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(number(&mail, WAITING), 1_500, "what had failed before keeps its time");
    assert_eq!(mail.shows("aa", id).row.health, Health::default());
    drop(running);
}

#[test]
fn a_test_that_is_taken_and_an_owner_who_says_active_close_the_breaker() {
    let mail = Mail::new("outage-closed");
    let receiver = mail.receiver(|_| Reply::Status(500));
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    let ask = || Ask { url: receiver.url("/"), types: None };
    let test = || mail.block(mail.webhooks.test(slug("aa"), id)).expect("tested").delivered;
    let closes: [&dyn Fn(); 2] = [&|| assert!(test()), &|| {
        drop(mail.block(mail.webhooks.change(slug("aa"), id, ask(), true)).expect("changed"))
    }];
    waiting(&mail, 100_001, 2, "'retrying', clock_timestamp() + interval '10 hours', clock_timestamp()");
    for close in closes {
        mail.sql(
            "UPDATE webhooks SET failures = 9, failing_since = clock_timestamp(), opened_at = clock_timestamp(), \
             rests_until = clock_timestamp() + interval '1 minute'; \
             UPDATE deliveries SET next_at = clock_timestamp() + interval '10 hours'",
        );
        receiver.script(|_| Reply::Status(500));
        assert!(!test());
        assert!(mail.shows("aa", id).row.health.is_open(), "a test that fails changes nothing");
        receiver.script(|_| Reply::Status(200));
        close();
        let row = mail.shows("aa", id).row;
        assert_eq!((row.health, row.rests_until), (Health::default(), None));
        assert_eq!(number(&mail, WAITING), 0, "what waited is due");
    }
}

#[test]
fn what_an_owner_sets_going_again_or_recovers_is_due_however_much_it_is() {
    let mail = Mail::new("outage-resumed");
    let (id, _) = mail.hook("aa", "https://127.0.0.1:9999/");
    let many = 30_000;
    let ago = "clock_timestamp() - interval '1 hour'";
    // All at one time, too.
    waiting(&mail, 1, many, &format!("'retrying', date_trunc('day', clock_timestamp()) + interval '2 days', {ago}"));
    waiting(&mail, 100_001, many, &format!("'dead', NULL::timestamptz, {ago}"));
    waiting(&mail, 200_001, 7, "'dead', NULL::timestamptz, clock_timestamp() - interval '1 day'");
    mail.sql(BOUNDED);
    let set = |active| {
        let ask = Ask { url: "https://127.0.0.1:9999/".to_owned(), types: None };
        mail.block(mail.webhooks.change(slug("aa"), id, ask, active)).expect("changed")
    };
    set(false);
    assert_eq!(number(&mail, WAITING), many);
    set(true);
    assert_eq!(number(&mail, WAITING), 0);
    let since = hanse::clock::now() - chrono::TimeDelta::hours(2);
    let recovered = mail.block(mail.webhooks.recover(slug("aa"), id, since, "a certificate".to_owned()));
    assert_eq!(recovered.expect("recovered"), usize::try_from(many).expect("small"));
    let dead = "SELECT count(*) AS number FROM deliveries WHERE state = 'dead'";
    let due = "SELECT count(*) AS number FROM deliveries WHERE next_at IS NOT NULL";
    assert_eq!((number(&mail, dead), number(&mail, due)), (7, 2 * many));
}

#[test]
fn an_event_that_cannot_be_shown_any_more_dies_and_what_waits_behind_it_goes_on() {
    let mail = Mail::new("outage-unshown");
    let receiver = mail.receiver(|_| Reply::Status(200));
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    mail.tell("aa", 3, 3);
    let running = mail.run();
    mail.until("all", || (1..=3).all(|sequence| is_delivered(&mail, id, sequence)));
    drop(running);
    receiver.forget();
    // Two about one thing, as a conversion and its reversal are, and the first is of nothing.
    mail.sql(
        "UPDATE deliveries SET key = '00000000-0000-0000-0000-000000000001' WHERE sequence < 3; \
              UPDATE deliveries SET state = 'due' WHERE sequence = 2; \
              UPDATE events SET body = NULL WHERE event_id = (SELECT event_id FROM deliveries WHERE sequence = 1)",
    );
    resend(&mail, id, 1);
    let running = mail.run();
    mail.until("dead", || row(&mail, id, 1).is_some_and(|row| row.state == "dead"));
    mail.until("the next", || is_delivered(&mail, id, 2));
    assert_eq!(row(&mail, id, 1).map(|row| row.attempts[1]["error"].clone()), Some("not_shown".into()));
    assert_eq!(sent(&receiver), [2]);
    drop(running);
}

#[test]
fn a_courier_with_its_hands_full_asks_the_database_now_and_then() {
    let mail = Mail::new("outage-busy");
    let receiver = mail.receiver(|_| Reply::Status(200));
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    mail.tell("aa", 200, 200);
    let running = mail.run();
    mail.until("all", || mail.shows("aa", id).backlog == 0 && mail.deliveries("aa", id).len() == 200);
    drop(running);
    receiver.script(|_| Reply::After(Duration::from_millis(900), Box::new(Reply::Status(200))));
    mail.sql("UPDATE deliveries SET state = 'retrying', next_at = clock_timestamp()");
    let conn = &mut mail.database.connection();
    let asked = "SELECT xact_commit AS number FROM pg_stat_database WHERE datname = current_database()";
    let before = number_on(conn, asked);
    let running = mail.run();
    std::thread::sleep(Duration::from_millis(2_600));
    let count = number_on(conn, asked) - before;
    println!("{count} transactions while 200 events were sent slowly");
    assert!(count < 600, "{count}");
    receiver.script(|_| Reply::Status(200));
    let delivered = || mail.deliveries("aa", id).iter().all(|one| one.state == "delivered");
    mail.until("those that were not at hand too", delivered);
    drop(running);
}

#[test]
fn a_rotation_that_is_repeated_ends_no_secret_before_its_time() {
    let mail = Mail::new("outage-rotated");
    let receiver = mail.receiver(|_| Reply::Status(200));
    let (id, first) = mail.hook("aa", &receiver.url("/"));
    let rotate = |hours| mail.block(mail.webhooks.rotate(slug("aa"), id, hours)).map(|(_, secret)| secret);
    let mut all = vec![first];
    let tested = |signed: usize| {
        receiver.forget();
        assert!(mail.block(mail.webhooks.test(slug("aa"), id)).expect("tested").delivered);
        let got = receiver.got().pop().expect("one");
        let signatures = got.header("webhook-signature").expect("signed");
        assert_eq!(signatures.split(' ').filter(|one| one.starts_with("v1,")).count(), signed);
        got
    };
    for _ in 0..3 {
        all.push(rotate(24).expect("rotated"));
        let got = tested(all.len());
        all.iter().for_each(|secret| believed(&mail, &got, Some(secret)));
    }
    assert!(matches!(rotate(24), Err(Error::Invalid(faults)) if faults[0].pointer == "/overlap_hours"));
    tested(4);
    // None is prolonged, and some are cut short.
    mail.sql(
        "UPDATE webhook_secrets SET ends_at = clock_timestamp() + interval '1 minute' WHERE made_at = \
              (SELECT min(made_at) FROM webhook_secrets)",
    );
    let within = |time: &str| {
        number(
            &mail,
            &format!(
                "SELECT count(*) AS number FROM webhook_secrets WHERE ends_at < clock_timestamp() + interval '{time}'"
            ),
        )
    };
    assert_eq!((within("2 minutes"), within("25 hours")), (1, 3));
    let last = rotate(0).expect("rotated");
    believed(&mail, &tested(1), Some(&last));
}

#[test]
fn what_waits_behind_another_waits_when_it_is_sent_again() {
    let mail = Mail::new("outage-behind");
    let receiver = mail.receiver(|_| Reply::Status(500));
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    let running = mail.run();
    mail.tell("aa", 3, 1);
    mail.until("what waits", || row(&mail, id, 3).is_some() && row(&mail, id, 1).is_some());
    mail.until("the first has failed", || row(&mail, id, 1).is_some_and(|row| row.state == "retrying"));
    mail.sql("UPDATE deliveries SET next_at = clock_timestamp() + interval '1 hour' WHERE sequence = 1");
    let again = resend(&mail, id, 2);
    assert_eq!((again.state.as_str(), again.next_at, again.resent), ("due", None, 1));
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(sent(&receiver), [1]);
    receiver.script(|_| Reply::Status(200));
    mail.sql(NOW);
    mail.until("all", || is_delivered(&mail, id, 3));
    assert_eq!(sent(&receiver), [1, 1, 2, 3]);
    // And what comes after one that is sent again waits behind it.
    receiver.forget();
    receiver.script(|got| Reply::Status(if got.sequence() == 4 { 500 } else { 200 }));
    mail.tell("aa", 1, 1);
    mail.until("the fourth has failed", || row(&mail, id, 4).is_some_and(|row| row.state == "retrying"));
    receiver.script(|_| Reply::Status(500));
    resend(&mail, id, 2);
    mail.until("again", || sent(&receiver) == [4, 2]);
    mail.until("written", || row(&mail, id, 2).is_some_and(|row| row.state == "retrying"));
    assert_eq!(row(&mail, id, 4).map(|row| (row.state, row.next_at)), Some(("due".to_owned(), None)));
    receiver.script(|_| Reply::Status(200));
    mail.sql(NOW);
    mail.until("both", || is_delivered(&mail, id, 4));
    assert_eq!(sent(&receiver), [4, 2, 2, 4]);
    drop(running);
}

#[test]
fn what_is_sent_again_while_it_is_under_way_is_sent_again() {
    let mail = Mail::new("outage-under-way");
    let receiver = mail.receiver(|_| Reply::Status(200));
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    let running = mail.run();
    mail.tell("aa", 1, 1);
    mail.until("delivered", || is_delivered(&mail, id, 1));
    receiver.script(|_| Reply::After(Duration::from_millis(700), Box::new(Reply::Status(200))));
    resend(&mail, id, 1);
    mail.until("under way", || receiver.count() == 2);
    resend(&mail, id, 1);
    mail.until("once more", || receiver.count() == 3);
    mail.until("delivered", || is_delivered(&mail, id, 1));
    let attempts = row(&mail, id, 1).and_then(|row| row.attempts.as_array().map(Vec::len));
    assert_eq!(attempts, Some(3));
    drop(running);
}

/// Sent enough at once, the first is answered late and the others fail before: the breaker opens and closes again.
fn late(mail: &Mail, receiver: &Receiver, failing: &'static str) -> WebhookId {
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    mail.tell("aa", 40, 40);
    mail.until("many at once", || mail.shows("aa", id).backlog == 0);
    receiver.script(move |got| match got.sequence() {
        41 => Reply::After(Duration::from_millis(800), Box::new(Reply::Status(200))),
        _ => Reply::Raw(failing.as_bytes().to_vec()),
    });
    mail.tell("aa", 9, 9);
    mail.until("its breaker", || mail.shows("aa", id).row.health.is_open());
    receiver.forget();
    mail.until("the late answer", || !mail.shows("aa", id).row.health.is_open());
    id
}

#[test]
fn a_late_success_does_not_end_a_rest_that_was_asked_for_since() {
    let mail = Mail::new("outage-asked");
    let receiver = mail.receiver(|_| Reply::Status(200));
    let running = mail.run();
    let busy = "HTTP/1.1 429 X\r\nretry-after: 120\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let id = late(&mail, &receiver, busy);
    receiver.script(|_| Reply::Status(200));
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(sent(&receiver), Vec::<i64>::new(), "it is left alone as it asked");
    let rests = mail.shows("aa", id).row.rests_until.expect("a rest") - hanse::clock::now();
    assert!((100..=125).contains(&rests.num_seconds()), "{rests}");
    mail.sql(NOW);
    mail.sql(AWAKE);
    mail.until("all", || (1..=49).all(|sequence| is_delivered(&mail, id, sequence)));
    drop(running);
}

#[test]
fn an_endpoint_that_answers_again_is_not_left_alone() {
    let mail = Mail::new("outage-rest-over");
    let receiver = mail.receiver(|_| Reply::Status(200));
    let running = mail.run();
    let id = late(&mail, &receiver, "HTTP/1.1 500 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    receiver.script(|_| Reply::Status(200));
    let row = mail.shows("aa", id).row;
    assert_eq!((row.health, row.rests_until), (Health::default(), None));
    let since = Instant::now();
    mail.until("all", || (1..=49).all(|sequence| is_delivered(&mail, id, sequence)));
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    drop(running);
}

#[test]
fn what_is_sent_again_as_it_is_forgotten_is_kept() {
    let mail = Mail::new("outage-forgotten");
    let (id, _) = mail.hook("aa", "https://127.0.0.1:9999/");
    waiting(&mail, 1, 2, "'delivered', NULL::timestamptz, clock_timestamp() - interval '31 days'");
    let no = mail.shows("aa", id).row.no;
    let mut conn = mail.database.connection();
    conn.batch_execute("BEGIN").expect("begun");
    log::resend(&mut conn, no, 1).expect("sent again");
    std::thread::scope(|scope| {
        let forgetting = scope.spawn(|| log::forget(&mut mail.database.connection(), 100).expect("forgotten"));
        let waits = "SELECT count(*) AS number FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                     AND datname = current_database()";
        poll("it waits", Duration::from_secs(10), || (number(&mail, waits) == 1).then_some(()));
        conn.batch_execute("COMMIT").expect("committed");
        assert_eq!(forgetting.join().expect("no panic"), 1);
    });
    assert_eq!(mail.deliveries("aa", id).iter().map(|one| one.sequence).collect::<Vec<_>>(), [1]);
}
