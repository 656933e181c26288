//! What is pushed is the feed: all of it, the same bytes, one thing's events in their order, whoever serves.

use super::{AWAKE, Mail, believed, in_order};
use crate::support::book::{self, slug};
use crate::support::receiver::{Got, Reply};
use crate::support::{is_long, poll};
use hanse::book::{Bounds, Handle, seal};
use hanse::service::delivery::endpoints::Ask;
use hanse::service::exchange::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[test]
fn a_webhook_is_the_feed_to_the_byte_and_signed_twice() {
    let mail = Mail::new("hook-bytes");
    let catalogue = hanse::store::catalogue::load(&mut mail.database.connection()).expect("the catalogue");
    let shared = Arc::new(arc_swap::ArcSwap::from_pointee(catalogue));
    let lanes = Handle::start(&mail.database.url, shared, Bounds::default()).expect("lanes");
    mail.block(async {
        let (from, _) = book::pair(&lanes, "m", 100).await;
        for nth in 0..5 {
            let request = book::request("aa", &format!("conversion-{nth}"), book::conversion(from, 10));
            assert!(lanes.submit(request).await.is_ok());
        }
    });
    seal::seal_now(&mut mail.database.connection()).expect("numbered");
    mail.tell("aa", 20, 7);
    let receiver = mail.receiver(|_| Reply::Status(204));
    let (id, secret) = mail.hook("aa", &receiver.url("/webhooks"));
    let feed = mail.feed("aa");
    assert!(feed.len() > 25 && feed.iter().any(|event| event.contains("conversion.completed")), "{feed:?}");
    let running = mail.run();
    mail.until("all of the feed", || receiver.count() == feed.len());
    let mut got = receiver.got();
    got.iter().for_each(|one| believed(&mail, one, Some(&secret)));
    got.sort_by_key(Got::sequence);
    let bodies: Vec<_> = got.iter().map(|one| String::from_utf8(one.body.clone()).expect("text")).collect();
    assert_eq!(bodies, feed);
    mail.until("its cursor", || mail.shows("aa", id).backlog == 0);
    let listed = mail.deliveries("aa", id);
    assert_eq!(listed.len(), feed.len());
    assert!(listed.iter().all(|one| one.state == "delivered" && one.attempts[0]["status"] == 204), "{listed:?}");
    // What happens next comes by itself, and soon.
    let since = Instant::now();
    mail.tell("aa", 1, 1);
    mail.until("the next", || receiver.count() == feed.len() + 1);
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    drop(running);
    lanes.close();
}

#[test]
fn a_new_webhook_begins_at_the_end_of_the_feed_and_takes_what_it_wants() {
    let mail = Mail::new("hook-begins");
    mail.tell("aa", 10, 3);
    let receiver = mail.receiver(|_| Reply::Status(200));
    let ask = |types: Option<&[&str]>| Ask {
        url: receiver.url("/"),
        types: types.map(|types| types.iter().map(|one| (*one).to_owned()).collect()),
    };
    let create = |ask: Ask, from| mail.block(mail.webhooks.create(slug("aa"), ask, from)).map(|(made, _)| made);
    let all = create(ask(None), None).expect("made");
    assert_eq!((all.row.cursor, all.backlog), (10, 0));
    let some = create(ask(Some(&["window.closed"])), Some(1)).expect("made");
    let running = mail.run();
    mail.tell("aa", 5, 1);
    mail.until("the new ones", || receiver.count() == 5);
    assert_eq!(receiver.got().iter().map(Got::sequence).min(), Some(11));
    mail.until("passed over", || mail.shows("aa", some.row.id).row.cursor == 15);
    assert!(mail.deliveries("aa", some.row.id).is_empty());
    drop(running);
    let refused = |ask: Ask, from| matches!(create(ask, from), Err(Error::Invalid(_)));
    assert!(refused(ask(Some(&["window.closes"])), None) && refused(ask(Some(&[])), None));
    assert!(refused(ask(None), Some(17)) && refused(ask(None), Some(0)));
    assert!(refused(Ask { url: "https://10.0.0.1/".to_owned(), types: None }, None));
    assert!(create(ask(None), Some(16)).is_ok() && create(ask(None), None).is_ok());
    assert!(refused(ask(None), None), "four are enough");
}

#[test]
fn what_is_about_one_thing_comes_in_its_order_from_an_endpoint_that_fails_now_and_then() {
    let mail = Mail::new("hook-order");
    mail.tell("aa", 400, 9);
    let asked = Arc::new(AtomicUsize::new(0));
    // What is answered 200, noted as it is: of two that come at once the counter and the receiver's list may differ.
    let taken = Arc::new(Mutex::new(Vec::new()));
    let (count, note) = (Arc::clone(&asked), Arc::clone(&taken));
    let receiver = mail.receiver(move |got| match count.fetch_add(1, Ordering::Relaxed) % 7 {
        3 => Reply::Status(500),
        nth => {
            note.lock().expect("whole").push(got.sequence());
            let good = Reply::Status(200);
            if nth == 5 { Reply::After(Duration::from_millis(20), Box::new(good)) } else { good }
        }
    });
    let (id, _) = mail.hook("aa", &receiver.url("/"));
    let running = mail.run();
    // The waits between tries are not waited for here.
    mail.until("all of it", || {
        mail.sql("UPDATE deliveries SET next_at = clock_timestamp() WHERE next_at > clock_timestamp()");
        let shows = mail.shows("aa", id);
        shows.backlog == 0 && mail.deliveries("aa", id).iter().filter(|one| one.state == "delivered").count() == 400
    });
    drop(running);
    let listed = mail.deliveries("aa", id);
    assert!(listed.iter().any(|one| one.attempts.as_array().is_some_and(|all| all.len() > 1)), "some were tried again");
    let mut last = std::collections::HashMap::new();
    let mut accepted = std::collections::BTreeSet::new();
    for sequence in taken.lock().expect("whole").iter().copied() {
        if accepted.insert(sequence) {
            let before = last.insert((sequence - 1) % 9, sequence).unwrap_or(0);
            assert!(before < sequence, "{sequence} after {before}");
        }
    }
    assert_eq!(accepted.len(), 400);
}

#[test]
fn several_servers_share_endpoints_and_each_event_is_sent_once() {
    let mail = Mail::new("hook-servers");
    let receiver = mail.receiver(|_| Reply::Status(200));
    let (one, _) = mail.hook("aa", &receiver.url("/aa"));
    let (other, _) = mail.hook("bb", &receiver.url("/bb"));
    let running = [mail.run(), mail.run(), mail.run()];
    for _ in 0..5 {
        mail.tell("aa", 100, 11);
        mail.tell("bb", 100, 11);
    }
    mail.until("both", || mail.shows("aa", one).backlog == 0 && mail.shows("bb", other).backlog == 0);
    drop(running);
    let (aa, bb): (Vec<Got>, Vec<Got>) = receiver.got().into_iter().partition(|one| one.path == "/aa");
    assert_eq!((aa.len(), bb.len()), (500, 500), "nothing twice while nobody dies");
    // Subjects begin anew with each hundred.
    let mut sorted = aa;
    sorted.sort_by_key(Got::sequence);
    in_order(&sorted, 1, 500);
}

/// Half-second percentiles of one endpoint's deliveries, from being told to being received.
fn latencies(mail: &Mail, receiver: &crate::support::receiver::Receiver, rounds: u32) -> Vec<Duration> {
    let mut found = Vec::new();
    for _ in 0..rounds {
        let before = receiver.count();
        let since = Instant::now();
        mail.tell("bb", 1, 1);
        mail.until("it came", || receiver.count() > before);
        found.push(since.elapsed());
    }
    found.sort_unstable();
    found
}

#[test]
fn fault_39_a_dead_partner_with_a_backlog_costs_the_others_nothing() {
    let mail = Mail::new("hook-bulkhead");
    let backlog = if is_long() { 200_000 } else { 20_000 };
    let rounds = if is_long() { 200 } else { 40 };
    let good = mail.receiver(|_| Reply::Status(200));
    mail.hook("bb", &good.url("/"));
    let running = mail.run();
    let alone = latencies(&mail, &good, rounds);
    mail.tell("aa", backlog, 5_000);
    let hanging = mail.receiver(|_| Reply::Hang);
    let (dead, _) = mail.hook("aa", &hanging.url("/"));
    mail.until("it hangs", || hanging.count() > 0);
    let beside = latencies(&mail, &good, rounds);
    let p99 = |all: &[Duration]| all[all.len() * 99 / 100];
    println!("p99 alone {:?}, beside a dead partner with {backlog} events {:?}", p99(&alone), p99(&beside));
    if is_long() {
        assert!(p99(&beside) < p99(&alone).mul_f64(1.5) + Duration::from_millis(20));
    }
    mail.until("its breaker", || mail.shows("aa", dead).row.health.is_open());
    let shows = mail.shows("aa", dead);
    assert!(shows.backlog > i64::from(backlog) - 100, "its cursor stands: {shows:?}");
    assert!(mail.deliveries("aa", dead).len() < 64, "nothing is queued for it");
    // It is back: what has piled up comes in order, slowly first, then all of it.
    hanging.forget();
    hanging.script(|_| Reply::Status(200));
    mail.sql(AWAKE);
    poll("all of it", Duration::from_secs(900), || (mail.shows("aa", dead).backlog == 0).then_some(()));
    drop(running);
    let got = hanging.got();
    let within = |ms| got.iter().filter(|one| one.at - got[0].at < Duration::from_millis(ms)).count();
    println!("recovered: after 1 s {}, 2 s {}, 3 s {}, all {}", within(1_000), within(2_000), within(3_000), got.len());
    assert!(within(1_000) <= 24 && within(2_000) <= 66 && within(3_000) <= 150);
    in_order(&got, 5_000, backlog.into());
}
