//! Endpoints that fail, workers that lose them, and what their owners do about it.

use super::{AWAKE, Mail, believed, in_order};
use crate::support::book::slug;
use crate::support::receiver::{Got, Receiver, Reply};
use diesel::connection::SimpleConnection;
use hanse::domain::delivery::Why;
use hanse::domain::ids::WebhookId;
use hanse::service::delivery::endpoints::{Ask, delivery_id};
use hanse::service::exchange::Error;
use hanse::store::webhooks::courier;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

const NOW: &str = "UPDATE deliveries SET next_at = clock_timestamp() WHERE next_at > clock_timestamp()";

fn raw(text: &str) -> Reply {
    Reply::Raw(text.as_bytes().to_vec())
}

#[test]
fn fault_34_every_answer_but_2xx_is_a_failure_with_its_reason() {
    let mail = Mail::new("fault-34");
    let receiver = mail.receiver(|_| Reply::Status(200));
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    let running = mail.run();
    let cases: [(Reply, Option<i64>, Option<&str>); 13] = [
        (Reply::Reset, None, Some("connection_cut")),
        (Reply::Hang, None, Some("timeout")),
        (Reply::Drip(64, Duration::from_millis(100)), None, Some("timeout")),
        (Reply::Endless, None, Some("answer_too_large")),
        (
            raw("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1073741824\r\n\r\n"),
            None,
            Some("answer_too_large"),
        ),
        (raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"), None, Some("connection_cut")),
        (
            raw(
                "HTTP/1.1 301 X\r\nlocation: https://169.254.169.254/\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            ),
            Some(301),
            Some("status"),
        ),
        (Reply::Status(307), Some(307), Some("status")),
        (Reply::Status(401), Some(401), Some("status")),
        (Reply::Status(500), Some(500), Some("status")),
        (Reply::Status(204), Some(204), None),
        (
            raw("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: 6\r\n\r\n<html>"),
            Some(200),
            None,
        ),
        (Reply::Status(200), Some(200), None),
    ];
    for (nth, (reply, status, error)) in (1..).zip(cases) {
        let before = receiver.count();
        receiver.script(move |_| reply.clone());
        // The breaker is another test's matter.
        mail.sql("UPDATE webhooks SET failures = 0, failing_since = NULL, opened_at = NULL, rests_until = NULL");
        let since = Instant::now();
        mail.tell("aa", 1, 1_000);
        mail.sql("UPDATE deliveries SET key = gen_random_uuid()");
        let row = || mail.deliveries("aa", id).into_iter().find(|one| one.sequence == nth);
        mail.until("an outcome", || row().is_some_and(|row| row.attempts[0]["ms"].is_u64()));
        assert!(since.elapsed() < Duration::from_secs(5), "{error:?}: {:?}", since.elapsed());
        let row = row().expect("there");
        let said = &row.attempts[0];
        assert_eq!((said["status"].as_i64(), said["error"].as_str()), (status, error), "{row:?}");
        assert_eq!(row.state, if error.is_some() { "retrying" } else { "delivered" });
        assert_eq!(receiver.count(), before + 1, "no redirect is followed, nothing is sent again at once");
        // Out of the way of what follows.
        mail.sql("UPDATE deliveries SET state = 'dead', next_at = NULL WHERE state IN ('due', 'retrying')");
    }
    drop(running);
}

#[test]
fn fault_34_a_wait_that_is_asked_for_is_given() {
    let mail = Mail::new("fault-34-wait");
    let receiver = mail.receiver(|_| Reply::Status(200));
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    let running = mail.run();
    for (nth, (said, seconds)) in (1..).zip([("120", 120), ("1000000000", 86_400), ("junk", 0)]) {
        let busy = format!("HTTP/1.1 429 X\r\nretry-after: {said}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        receiver.script(move |_| raw(&busy));
        mail.sql("UPDATE webhooks SET failures = 0, failing_since = NULL, rests_until = NULL");
        mail.tell("aa", 1, 1);
        mail.until("its answer", || receiver.count() == nth);
        let wait = || {
            let row = mail.deliveries("aa", id).into_iter().find(|one| one.state == "retrying")?;
            Some((row.next_at? - hanse::clock::now()).num_seconds())
        };
        mail.until("written", || wait().is_some());
        let wait = wait().expect("a wait");
        assert!((seconds - 5..=seconds + 8).contains(&wait), "{said}: {wait}");
        let rests = mail.shows("aa", id).row.rests_until.map(|until| (until - hanse::clock::now()).num_seconds());
        assert_eq!(rests.is_some_and(|rests| rests > 60), seconds > 0, "{said}: {rests:?}");
        mail.sql("UPDATE deliveries SET state = 'dead', next_at = NULL WHERE state IN ('due', 'retrying')");
    }
    drop(running);
}

#[test]
fn fault_34_who_is_gone_is_left_alone_until_the_owner_says_otherwise() {
    let mail = Mail::new("fault-34-gone");
    let receiver = mail.receiver(|_| Reply::Status(410));
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    let running = mail.run();
    mail.tell("aa", 1, 1);
    mail.until("suspended", || mail.shows("aa", id).row.health.suspended == Some(Why::Gone));
    let before = receiver.count();
    mail.tell("aa", 5, 5);
    mail.sql(NOW);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(receiver.count(), before);
    receiver.script(|_| Reply::Status(200));
    let ask = Ask { url: receiver.url("/"), types: None };
    let resumed = mail.block(mail.webhooks.change(slug("aa"), id, ask, true)).expect("resumed");
    assert_eq!(resumed.row.health.suspended, None);
    mail.until("all of it", || mail.shows("aa", id).backlog == 0 && receiver.count() == before + 6);
    drop(running);
}

/// Down for so long that the breaker opens, with so many events behind it.
fn down(mail: &Mail, receiver: &Receiver, events: u32, subjects: u32) -> WebhookId {
    receiver.script(|_| Reply::Status(503));
    mail.tell("aa", events, subjects);
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    mail.until("its breaker", || mail.shows("aa", id).row.health.is_open());
    // The courier has gone.
    mail.until("rest", || mail.shows("aa", id).row.rests_until.is_some());
    id
}

#[test]
fn fault_36_after_days_of_being_down_everything_comes_in_order_and_nothing_is_lost() {
    let mail = Mail::new("fault-36");
    let receiver = mail.receiver(|_| Reply::Status(503));
    let running = mail.run();
    let id = down(&mail, &receiver, 600, 40);
    // Three days of a probe a minute.
    for _ in 0..20 {
        let before = receiver.count();
        mail.sql(AWAKE);
        mail.until("a probe", || receiver.count() > before);
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(receiver.count(), before + 1, "a probe is one attempt");
        mail.until("rest", || mail.shows("aa", id).row.rests_until.is_some_and(|until| until > hanse::clock::now()));
    }
    mail.sql("UPDATE webhooks SET failing_since = failing_since - interval '3 days', opened_at = opened_at - interval '3 days'");
    assert!(mail.deliveries("aa", id).iter().all(|one| one.state != "dead"), "a probe is no try");
    receiver.forget();
    receiver.script(|_| Reply::Status(200));
    mail.sql(AWAKE);
    mail.until("all of it", || mail.shows("aa", id).backlog == 0 && receiver.count() >= 600);
    mail.until("written", || mail.deliveries("aa", id).iter().filter(|one| one.state == "delivered").count() == 600);
    in_order(&receiver.got(), 40, 600);
    assert_eq!(mail.shows("aa", id).row.health, hanse::domain::delivery::Health::default());
    drop(running);
}

#[test]
fn fault_36_after_five_days_it_is_left_alone() {
    let mail = Mail::new("fault-36-five");
    let receiver = mail.receiver(|_| Reply::Status(503));
    let running = mail.run();
    let id = down(&mail, &receiver, 10, 10);
    mail.sql("UPDATE webhooks SET failing_since = failing_since - interval '5 days'");
    mail.sql(AWAKE);
    mail.until("suspended", || mail.shows("aa", id).row.health.suspended == Some(Why::Failing));
    drop(running);
}

#[test]
fn fault_37_an_answer_that_is_lost_is_a_delivery_again_of_the_same_id_signed_anew() {
    let mail = Mail::new("fault-37");
    let first = Arc::new(AtomicBool::new(true));
    let receiver =
        mail.receiver(move |_| if first.swap(false, Ordering::Relaxed) { Reply::Reset } else { Reply::Status(200) });
    let (id, secret) = mail.hook("aa", &receiver.url("/"));
    let running = mail.run();
    mail.tell("aa", 1, 1);
    mail.until("the first", || mail.deliveries("aa", id).iter().any(|one| one.state == "retrying"));
    std::thread::sleep(Duration::from_millis(1_100));
    mail.sql(NOW);
    mail.until("again", || mail.deliveries("aa", id).iter().any(|one| one.state == "delivered"));
    let [first, second] = receiver.got().try_into().expect("twice");
    for one in [&first, &second] {
        believed(&mail, one, Some(&secret));
    }
    assert_eq!((first.header("webhook-id"), &first.body), (second.header("webhook-id"), &second.body));
    assert_ne!(first.header("webhook-timestamp"), second.header("webhook-timestamp"));
    assert_ne!(first.header("webhook-signature"), second.header("webhook-signature"));
    drop(running);
}

#[test]
fn fault_38_who_wakes_late_has_lost_the_lease_and_writes_nothing() {
    let mail = Mail::new("fault-38");
    let receiver = mail.receiver(|_| Reply::Status(200));
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    mail.tell("aa", 3, 3);
    let conn = &mut mail.database.connection();
    // A courier that claims and then sleeps.
    let [asleep] = courier::claim(conn, Uuid::new_v4(), 8).expect("claimed").try_into().expect("one");
    assert!(courier::claim(conn, Uuid::new_v4(), 8).expect("asked").is_empty(), "it is somebody's");
    mail.sql("UPDATE webhooks SET lease_until = clock_timestamp() - interval '1 second'");
    let running = mail.run();
    mail.until("all of it", || mail.shows("aa", id).backlog == 0);
    drop(running);
    let before = mail.deliveries("aa", id);
    let settled = |sequence: i64| courier::Settled {
        sequence,
        event: Uuid::nil(),
        kind: "exposure.warned".to_owned(),
        key: Uuid::nil(),
        state: "dead",
        tries: 13,
        resent: 0,
        probed: false,
        next_ms: None,
        attempt: None,
        leads: true,
    };
    let group = courier::Group {
        no: asleep.no,
        epoch: asleep.epoch,
        events: vec![settled(1), settled(9)],
        cursor: 99,
        health: asleep.health,
        rests_ms: Some(1_000_000),
        recovered: false,
        release: true,
    };
    assert!(courier::settle(conn, &group).expect("asked").is_none());
    assert!(courier::held(conn, asleep.no, asleep.epoch).expect("asked").is_none());
    assert_eq!(format!("{:?}", mail.deliveries("aa", id)), format!("{before:?}"));
    let row = mail.shows("aa", id).row;
    assert!((row.cursor, row.rests_until) == (3, None) && row.epoch > asleep.epoch);
}

#[test]
fn fault_38_a_worker_that_loses_its_lease_stops_and_the_next_goes_on() {
    let mail = Mail::new("fault-38-lost");
    let receiver = mail.receiver(|_| Reply::After(Duration::from_millis(5), Box::new(Reply::Status(200))));
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    let running = [mail.run(), mail.run()];
    mail.tell("aa", 1_500, 60);
    for nth in 1..8 {
        mail.until("some", || receiver.count() > nth * 100);
        // As if it had slept: the next one claims it.
        mail.sql("UPDATE webhooks SET lease_until = clock_timestamp() - interval '1 second', lease_holder = gen_random_uuid() \
                  WHERE lease_holder IS NOT NULL");
    }
    mail.until("all of it", || mail.shows("aa", id).backlog == 0);
    drop(running);
    let got = receiver.got();
    println!("{} deliveries of 1500 events through 7 changes of hands", got.len());
    in_order(&got, 60, 1_500);
}

#[test]
fn fault_40_what_has_piled_up_comes_slowly_first() {
    let mail = Mail::new("fault-40");
    let receiver = mail.receiver(|_| Reply::Status(503));
    let running = mail.run();
    let id = down(&mail, &receiver, 1_000, 1_000);
    receiver.forget();
    receiver.script(|_| Reply::Status(200));
    mail.sql(AWAKE);
    mail.until("all of it", || mail.shows("aa", id).backlog == 0 && receiver.count() >= 1_000);
    drop(running);
    let got = receiver.got();
    let within = |ms| got.iter().filter(|one| one.at - got[0].at < Duration::from_millis(ms)).count();
    println!("after 1 s {}, 2 s {}, 3 s {}, 4 s {}", within(1_000), within(2_000), within(3_000), within(4_000));
    assert!(within(1_000) <= 24 && within(2_000) <= 66 && within(3_000) <= 150);
}

#[test]
fn fault_41_both_secrets_and_both_keys_sign_for_a_while_after_they_are_rotated() {
    let mail = Mail::new("fault-41");
    let receiver = mail.receiver(|_| Reply::Status(500));
    let (id, old) = mail.hook("aa", &receiver.url("/"));
    let running = mail.run();
    mail.tell("aa", 1, 1);
    mail.until("a failure", || mail.deliveries("aa", id).iter().any(|one| one.state == "retrying"));
    // Rotated between two tries.
    let (_, new) = mail.block(mail.webhooks.rotate(slug("aa"), id, 24)).expect("rotated");
    let purpose = hanse::signing::keyring::Purpose::Webhook;
    assert!(mail.block(mail.webhooks.keys.rotate(purpose)).expect("rotated"));
    mail.sql("UPDATE alliance_keys SET signs_from = signs_from - interval '11 minutes'");
    mail.block(mail.webhooks.keys.refresh()).expect("read");
    receiver.script(|_| Reply::Status(200));
    mail.sql(NOW);
    mail.until("delivered", || mail.deliveries("aa", id).iter().any(|one| one.state == "delivered"));
    let got = receiver.got().pop().expect("one");
    assert_eq!(mail.jwks().len(), 2);
    believed(&mail, &got, Some(&old));
    believed(&mail, &got, Some(&new));
    let kinds = |got: &Got| {
        let all = got.header("webhook-signature").expect("signed").split(' ');
        all.map(|one| one.split(',').next().expect("a version").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&got), ["v1", "v1", "v1a", "v1a"]);
    // A day later the old ones are silent.
    mail.sql(
        "UPDATE webhook_secrets SET ends_at = clock_timestamp() WHERE ends_at IS NOT NULL; \
              UPDATE alliance_keys SET signs_from = signs_from - interval '25 hours' WHERE purpose = 'webhook'",
    );
    mail.block(mail.webhooks.keys.refresh()).expect("read");
    mail.tell("aa", 1, 1);
    mail.until("the next", || receiver.count() == 3);
    let got = receiver.got().pop().expect("one");
    believed(&mail, &got, Some(&new));
    assert_eq!(kinds(&got), ["v1", "v1a"]);
    drop(running);
}

#[test]
fn fault_42_a_poisoned_event_dies_its_key_goes_on_and_it_can_be_sent_again() {
    let mail = Mail::new("fault-42");
    let poison = |got: &Got| if got.sequence() == 2 { Reply::Status(400) } else { Reply::Status(200) };
    let receiver = mail.receiver(poison);
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    let running = mail.run();
    // 2, 5 and 8 are about one thing.
    mail.tell("aa", 9, 3);
    let state = |sequence: i64| mail.deliveries("aa", id).into_iter().find(|one| one.sequence == sequence);
    mail.until("the others", || receiver.count() >= 7);
    mail.until("what waits", || state(8).is_some());
    assert_eq!(state(5).map(|one| (one.state, one.next_at)), Some(("due".to_owned(), None)));
    for tries in 2..=13 {
        mail.sql(NOW);
        mail.until("a try", || {
            state(2).is_some_and(|one| one.attempts.as_array().is_some_and(|all| all.len() >= tries))
        });
    }
    mail.until("dead", || state(2).is_some_and(|one| one.state == "dead"));
    mail.until("the rest of its key", || [5, 8].iter().all(|n| state(*n).is_some_and(|one| one.state == "delivered")));
    let tries = receiver.got().iter().filter(|one| one.sequence() == 2).count();
    assert_eq!(tries, 13);
    assert!(!mail.shows("aa", id).row.health.is_open(), "one event's trouble is not its endpoint's");
    receiver.script(|_| Reply::Status(200));
    let no = mail.shows("aa", id).row.no;
    let resend = |who: &str, sequence| {
        let by = "a certificate".to_owned();
        mail.block(mail.webhooks.resend(slug(who), delivery_id(no, sequence), by)).is_ok()
    };
    assert!(!resend("bb", 2) && !resend("aa", 99), "not theirs, not there");
    assert!(resend("aa", 2) && resend("aa", 1));
    mail.until("delivered", || state(2).is_some_and(|one| one.state == "delivered" && one.resent == 1));
    mail.until("again", || receiver.got().iter().filter(|one| one.sequence() == 1).count() == 2);
    drop(running);
}

#[test]
fn fault_42_an_event_that_nobody_takes_does_not_keep_the_breaker_open() {
    let mail = Mail::new("fault-42-probe");
    let receiver = mail.receiver(|_| Reply::Status(503));
    let running = mail.run();
    let id = down(&mail, &receiver, 50, 50);
    // Whatever was tried while it was down is taken no more; the rest would be.
    let tried: Vec<i64> = mail.deliveries("aa", id).iter().map(|one| one.sequence).collect();
    receiver.script(move |got| Reply::Status(if tried.contains(&got.sequence()) { 503 } else { 200 }));
    mail.until("closed", || {
        mail.sql(AWAKE);
        mail.deliveries("aa", id).iter().any(|one| one.state == "delivered")
    });
    drop(running);
}

#[test]
fn fault_42_what_has_died_since_an_instant_is_recovered_in_order() {
    let mail = Mail::new("fault-42-recover");
    let receiver = mail.receiver(|_| Reply::Status(200));
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    let running = mail.run();
    mail.tell("aa", 30, 5);
    mail.until("all", || mail.shows("aa", id).backlog == 0);
    mail.until("written", || mail.deliveries("aa", id).len() == 30);
    receiver.forget();
    mail.sql(
        "UPDATE deliveries SET state = 'dead', state_at = clock_timestamp() - interval '2 days' WHERE sequence <= 10; \
              UPDATE deliveries SET state = 'dead' WHERE sequence > 20",
    );
    let since = hanse::clock::now() - chrono::TimeDelta::days(1);
    let by = "a certificate".to_owned();
    assert_eq!(mail.block(mail.webhooks.recover(slug("aa"), id, since, by)).expect("recovered"), 10);
    mail.until("again", || receiver.count() == 10);
    mail.until("written", || mail.deliveries("aa", id).iter().filter(|one| one.state == "dead").count() == 10);
    let mut last = [0; 5];
    for one in receiver.got() {
        let subject = usize::try_from((one.sequence() - 1) % 5).expect("few");
        assert!(one.sequence() > 20 && last[subject] < one.sequence());
        last[subject] = one.sequence();
    }
    drop(running);
}

#[test]
fn fault_43_another_url_is_used_at_the_next_attempt_and_who_is_stopped_gets_nothing() {
    let mail = Mail::new("fault-43");
    let (old, new) = (mail.receiver(|_| Reply::Status(500)), mail.receiver(|_| Reply::Status(200)));
    let (id, _) = mail.hook("aa", &old.url("/old"));
    let running = mail.run();
    mail.tell("aa", 1, 1);
    mail.until("a failure", || mail.deliveries("aa", id).iter().any(|one| one.state == "retrying"));
    let change = |url: String, active| {
        mail.block(mail.webhooks.change(slug("aa"), id, Ask { url, types: None }, active)).expect("changed")
    };
    change(new.url("/new"), true);
    mail.sql(NOW);
    mail.until("delivered", || mail.deliveries("aa", id).iter().any(|one| one.state == "delivered"));
    assert_eq!((old.count(), new.count(), new.got()[0].path.as_str()), (1, 1, "/new"));
    assert_eq!(change(new.url("/new"), false).row.health.suspended, Some(Why::Asked));
    mail.tell("aa", 3, 3);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(new.count(), 1);
    change(new.url("/new"), true);
    mail.until("the others", || new.count() == 4);
    mail.block(mail.webhooks.end(slug("aa"), id)).expect("ended");
    mail.tell("aa", 3, 3);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(new.count(), 4);
    assert!(mail.block(mail.webhooks.get(slug("aa"), id)).is_err());
    drop(running);
}

#[test]
fn a_database_that_is_away_for_a_while_costs_nothing() {
    let mail = Mail::new("hook-away");
    let counted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&counted);
    let receiver = mail.receiver(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Reply::After(Duration::from_millis(5), Box::new(Reply::Status(200)))
    });
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    mail.tell("aa", 2_000, 100);
    let mut post = mail.post();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // A round fails while there is no database; the next may not.
                if post.round().is_err() {
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        });
        mail.until("some", || receiver.count() > 200);
        mail.database.cut();
        std::thread::sleep(Duration::from_millis(700));
        mail.database.mend();
        mail.until("all of it", || {
            let mut conn = mail.database.connection();
            let ended = "UPDATE webhooks SET lease_until = clock_timestamp() WHERE lease_until < clock_timestamp() + interval '8 s'";
            conn.batch_execute(ended).is_ok() && mail.block(mail.webhooks.get(slug("aa"), id)).is_ok_and(|s| s.backlog == 0)
        });
        stop.store(true, Ordering::Relaxed);
    });
    in_order(&receiver.got(), 100, 2_000);
}

/// What comes to a ledger's endpoint is believed for the alliance's signature: nobody else has events pushed there.
#[test]
fn nobody_has_its_events_pushed_to_where_anothers_ledger_answers() {
    let mail = Mail::new("anothers");
    mail.sql("UPDATE partners SET hosted = false, endpoint = 'https://127.0.0.1:9511/ledger' WHERE slug = 'bb'");
    let ask = |url: &str| Ask { url: url.to_owned(), types: None };
    let create = |whose: &str, url: &str| mail.block(mail.webhooks.create(slug(whose), ask(url), None));
    let refused = |error: Error| match error {
        Error::Invalid(faults) => assert_eq!(faults[0].pointer, "/url"),
        other => panic!("{other}"),
    };
    for url in ["https://127.0.0.1:9511/webhooks", "https://127.0.0.1:9511/"] {
        refused(create("aa", url).expect_err("it is bb's"));
    }
    let (made, _) = create("aa", "https://127.0.0.1:9512/webhooks").expect("another port is another place");
    let moved = mail.webhooks.change(slug("aa"), made.row.id, ask("https://127.0.0.1:9511/webhooks"), true);
    refused(mail.block(moved).expect_err("it is bb's"));
    create("bb", "https://127.0.0.1:9511/webhooks").expect("its own");
    // Two ledgers that one house runs at one place: either may name it.
    mail.sql("UPDATE partners SET hosted = false, endpoint = 'https://127.0.0.1:9511/other' WHERE slug = 'aa'");
    create("aa", "https://127.0.0.1:9511/other/webhooks").expect("its own too");
}
