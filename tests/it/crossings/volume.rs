//! Many conversions, a tenth of all calls going wrong, two servers, everybody killed now and then: all of them end, and
//! what was pushed to each partner is what `GET /v1/events` lists, without a gap and in order.

use super::stage::{AA, BB, PATIENCE, Stage};
use crate::support::receiver::{Got, Receiver, Reply};
use crate::support::{is_long, poll};
use hanse::partner::sim::faults::Kind;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const MEMBERS: usize = 40;
const CLIENTS: usize = 8;

/// A tenth of all calls, of every kind that ends by itself.
fn faults() -> String {
    let usable = |kind: &Kind| !matches!(kind, Kind::Refuse | Kind::Down);
    let kinds: Vec<&str> = Kind::all().filter(|(_, kind)| usable(kind)).map(|(name, _)| name).collect();
    let each = 100_000 / kinds.len();
    let rules = kinds.iter().map(|kind| format!("any:{kind}=0.{each:06}"));
    rules.chain(["hold:refuse=0.01".to_owned(), "credit:refuse=0.01".to_owned()]).collect::<Vec<_>>().join(",")
}

#[test]
fn with_a_tenth_of_all_calls_failing_everything_ends_and_everybody_is_told_in_order() {
    let wanted = if is_long() { 10_000 } else { 300 };
    let settings = ["--crossing-call-ms", "400", "--crossing-hold-s", "120", "--crossing-credit-s", "120"];
    let mut stage = Stage::new("volume", MEMBERS, &settings);
    stage.start(1);
    let receivers = ["aa", "bb"].map(|slug| (slug, listen(&stage, slug)));
    for at in [AA, BB] {
        stage.faults(at, &faults());
    }
    let next = AtomicUsize::new(0);
    let shared = std::sync::RwLock::new(&mut stage);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (next, shared) = (&next, &shared);
            scope.spawn(move || {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= wanted {
                        return;
                    }
                    // Held while somebody is being killed: whoever asks goes on asking the same.
                    let stage = shared.read().expect("no panic");
                    stage.convert_at(client % 2, &format!("v-{nth}"), nth % MEMBERS + 1, 20);
                }
            });
        }
        for round in 0.. {
            std::thread::park_timeout(Duration::from_millis(if is_long() { 20_000 } else { 1_500 }));
            if next.load(Ordering::Relaxed) >= wanted {
                return;
            }
            let mut stage = shared.write().expect("no panic");
            disturb(&mut stage, round);
        }
    });
    let (done, released) = stage.all_over(PATIENCE * if is_long() { 20 } else { 2 });
    assert_eq!(usize::try_from(done + released).expect("few"), wanted);
    println!("{wanted} conversions: {done} completed, released {:?}", stage.causes());
    stage.agree();
    stage.audit();
    for (slug, receiver) in &receivers {
        let listed = list(&stage, slug);
        poll("everything is pushed", PATIENCE * 4, || {
            std::thread::park_timeout(Duration::from_millis(200));
            (distinct(&receiver.got()).len() == listed.len()).then_some(())
        });
        check(slug, &listed, &receiver.got(), wanted);
    }
}

/// A server, or a partner, dies and comes back.
fn disturb(stage: &mut Stage, round: usize) {
    match round % 4 {
        0 => {
            stage.kill(0);
            stage.start(0);
        }
        1 => {
            stage.kill_sim(BB);
            stage.start_sim(BB, MEMBERS);
        }
        2 => {
            stage.kill(1);
            stage.start(1);
        }
        _ => {
            stage.kill_sim(AA);
            stage.start_sim(AA, MEMBERS);
        }
    }
}

/// A webhook that fails now and then, from the first event on.
fn listen(stage: &Stage, slug: &str) -> Receiver {
    let count = AtomicUsize::new(0);
    let receiver = Receiver::start(&stage.folder.path().join("pki"), move |_| {
        // One in fifty, so that the breaker stays closed.
        if count.fetch_add(1, Ordering::Relaxed) % 50 == 7 { Reply::Status(500) } else { Reply::Status(204) }
    });
    let body = json!({ "url": receiver.url("/webhooks"), "from_sequence": 1 });
    let sent = stage.client(slug).post(stage.url("/v1/webhooks")).json(&body).send().expect("an answer");
    assert_eq!(sent.status(), 201, "{}", sent.text().unwrap_or_default());
    receiver
}

/// The whole list, as its items' bytes.
fn list(stage: &Stage, slug: &str) -> Vec<Value> {
    let (client, mut all) = (stage.client(slug), Vec::new());
    loop {
        let url = stage.url(&format!("/v1/events?after={}&limit=1000", all.len()));
        let page: Value = client.get(&url).send().expect("an answer").json().expect("JSON");
        let items = page["items"].as_array().expect("a list");
        if items.is_empty() {
            return all;
        }
        all.extend(items.iter().cloned());
    }
}

/// First arrivals, by sequence. Those that were refused are followed by themselves.
fn distinct(got: &[Got]) -> BTreeMap<i64, Value> {
    got.iter().map(|one| (one.sequence(), one.json())).collect()
}

fn check(slug: &str, listed: &[Value], got: &[Got], wanted: usize) {
    for (nth, event) in (1..).zip(listed) {
        assert_eq!(event["sequence"], nth, "{slug}: dense");
    }
    let pushed: Vec<Value> = distinct(got).into_values().collect();
    assert_eq!(pushed.len(), listed.len(), "{slug}");
    assert!(pushed == listed, "{slug}: what was pushed is what is listed");
    // In order for each conversion, by first arrival.
    let (mut last, mut seen) = (BTreeMap::<String, i64>::new(), std::collections::BTreeSet::new());
    let mut told = BTreeMap::<String, Vec<String>>::new();
    for one in got.iter().filter(|one| seen.insert(one.sequence())) {
        let event = one.json();
        let Some(conversion) = event["data"]["conversion_id"].as_str() else { continue };
        let sequence = one.sequence();
        let before = last.insert(conversion.to_owned(), sequence).unwrap_or_default();
        assert!(before < sequence, "{slug}: {conversion} {before} before {sequence}");
        told.entry(conversion.to_owned()).or_default().push(event["type"].as_str().expect("a type").to_owned());
    }
    assert_eq!(told.len(), wanted, "{slug}");
    for (conversion, types) in told {
        let ends = ["conversion.completed", "conversion.released"];
        let well = types.len() == 2 && types[0] == "conversion.pending" && ends.contains(&types[1].as_str());
        assert!(well, "{slug}: {conversion} {types:?}");
    }
    println!("{slug}: {} events, dense, as listed, {} deliveries", listed.len(), got.len());
}
