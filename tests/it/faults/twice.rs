//! The same request many times and two servers at once, through the API: one effect, the same bytes, caps to the last.

use super::served::{Stage, convert};
use crate::support::book::Book;
use crate::support::poll;
use crate::tls::{Answer, Client};
use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{Connection, QueryableByName, RunQueryDsl, sql_query};
use hanse::book::fence;
use hanse::service::clock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Barrier, Mutex};
use std::time::Duration;

fn send(client: &Client, method: &str, path: &str, key: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
    if !key.is_empty() {
        head += &format!("idempotency-key: {key}\r\n");
    }
    if !body.is_empty() {
        head += "content-type: application/json\r\n";
    }
    client.connect().and_then(|mut conn| conn.raw(format!("{head}\r\n{body}").as_bytes())).expect("an answer")
}

#[test]
fn the_same_key_has_one_effect_and_the_same_bytes_for_ever() {
    let book = Book::new("");
    let stage = Stage::on("twice", &book.database.url, 1);
    let servers = [stage.serve(), stage.serve()];
    let clients: Vec<Client> = servers.iter().map(|served| stage.client(served, "aa")).collect();

    // A hundred ways at once, over both.
    let (barrier, answers) = (Barrier::new(100), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for i in 0..100 {
            let (barrier, answers, client) = (&barrier, &answers, &clients[i % 2]);
            scope.spawn(move || {
                let mut conn = client.connect().expect("connected");
                conn.send("GET", "/v1/partners", None).expect("warm");
                barrier.wait();
                let answer = convert(&mut conn, "same", 0).expect("answered");
                answers.lock().expect("no client panicked").push(answer);
            });
        }
    });
    let answers = answers.into_inner().expect("no client panicked");
    assert!(answers.iter().all(|answer| answer.status == 201), "{:?}", answers.iter().find(|a| a.status != 201));
    assert!(answers.iter().all(|answer| answer.body == answers[0].body), "byte for byte");
    let first = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count();
    assert_eq!((answers.len(), first), (100, 1), "one made it, the others were told so");
    stage.assert_one_effect_each(1);

    // By token, and then again after everything it stood on has changed.
    let link = linked(&clients[0], &stage.client(&servers[1], "bb"));
    let wanted = json!({ "member_ref": "t0", "to": "bb", "points": 20 });
    let quote = send(&clients[0], "POST", "/v1/quotes", "", &wanted);
    assert_eq!(quote.status, 201, "{}", quote.head);
    let body = json!({ "quote": quote.json()["token"], "external_reference": "by-token" });
    let done = send(&clients[0], "POST", "/v1/conversions", "token", &body);
    assert_eq!(done.status, 201, "{}", String::from_utf8_lossy(&done.body));
    let mut conn = book.database.connection();
    clock::advance(&mut conn, TimeDelta::minutes(10)).expect("a sandbox");
    let frozen = json!({ "tier": "basic", "status": "frozen", "status_reason": "asked" });
    assert_eq!(send(&clients[1], "PUT", "/v1/memberships/t0", "", &frozen).status, 200);
    assert_eq!(send(&clients[0], "DELETE", &format!("/v1/links/{link}"), "", &Value::Null).status, 200);
    halve_the_rate(&mut conn);
    for client in [&clients[0], &clients[1], &clients[0]] {
        let again = send(client, "POST", "/v1/conversions", "token", &body);
        assert_eq!((again.status, &again.body), (201, &done.body), "{}", String::from_utf8_lossy(&again.body));
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    }
    let other = send(&clients[0], "POST", "/v1/conversions", "another", &wanted);
    assert_eq!((other.status, &*other.code()), (422, "membership_frozen"), "today's state holds for a new key");
    stage.assert_one_effect_each(2);
    stage.audit();
}

/// A member `t0` of both brands, linked by code as a member does it, with 100 points; returns the link.
fn linked(aa: &Client, bb: &Client) -> String {
    let active = json!({ "tier": "basic", "status": "active" });
    for client in [aa, bb] {
        assert_eq!(send(client, "PUT", "/v1/memberships/t0", "", &active).status, 200);
    }
    let consent = json!({ "version": "1" });
    let asked = json!({ "member_ref": "t0", "to": "bb", "consent": consent });
    let asked = send(aa, "POST", "/v1/links", "", &asked).json();
    let accepted = json!({ "code": asked["code"], "member_ref": "t0", "consent": consent });
    assert_eq!(send(bb, "POST", "/v1/links/accept", "", &accepted).status, 200, "{asked}");
    let points = json!({ "points": 100, "reason": "opening", "external_reference": "t0" });
    assert_eq!(send(aa, "POST", "/v1/memberships/t0/credits", "t0", &points).status, 201);
    asked["link_id"].as_str().expect("an id").to_owned()
}

/// Publishes another rate, as a publication does: under the fence, with a new version of the catalogue.
fn halve_the_rate(conn: &mut diesel::PgConnection) {
    let published = conn.transaction(|conn| {
        fence::exclusive(conn, 100)?;
        conn.batch_execute(
            "SET LOCAL session_replication_role = replica; UPDATE rates SET den = 4, step = 4, minimum = 4 WHERE from_partner = 'aa'; \
             UPDATE alliance SET catalogue_version = catalogue_version + 1",
        )
    });
    published.expect("published");
}

/// After so much, two servers that never met at an account do not count who waits.
const LAPS_MAX: usize = 30;

/// How often a client asks again for what was not decided, before this is no contention but a hang.
const TRIES_MAX: usize = 200;

#[test]
fn two_servers_use_caps_to_the_last_multiple_and_count_what_had_no_turn() {
    // 2 points give 1 × 0.05: the pair takes 9,000 points at most, each of 20 members 500 a day.
    let book = Book::new(
        "UPDATE exposures SET cap = 225000000 WHERE key = 'pair:aa:bb'; UPDATE partners SET limit_out_day = 500 WHERE slug = 'aa'",
    );
    let stage = Stage::on("caps", &book.database.url, 20);
    let servers = [stage.serve(), stage.serve()];
    let outcomes = Mutex::new(BTreeMap::<String, usize>::new());
    let mut requeued = 0;
    for lap in 0..LAPS_MAX {
        std::thread::scope(|scope| {
            for (nth, served) in servers.iter().enumerate() {
                for half in 0..2 {
                    let (outcomes, client) = (&outcomes, stage.client(served, "aa"));
                    scope.spawn(move || {
                        for round in 0..6 {
                            batch(&client, &format!("{lap}-{nth}-{half}-{round}"), outcomes);
                        }
                    });
                }
            }
        });
        requeued = servers.iter().map(|served| served.counter("hanse_book_requeued_total")).sum::<u64>();
        if requeued > 0 {
            break;
        }
    }
    let outcomes = outcomes.into_inner().expect("no client panicked");
    assert_eq!(outcomes.get("done"), Some(&300), "9,000 points in conversions of 30: {outcomes:?}");
    assert!(
        outcomes.keys().all(|code| ["done", "exposure_exceeded", "limit_exceeded"].contains(&&**code)),
        "{outcomes:?}"
    );
    #[derive(QueryableByName)]
    struct Left {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let left = sql_query("SELECT cap - value AS n FROM exposures WHERE key = 'pair:aa:bb'");
    assert_eq!(left.get_result::<Left>(&mut book.database.connection()).expect("read").n, 0, "used to the last");
    assert!(requeued > 0, "the servers met at some accounts, and it was counted");
    stage.audit();
    println!("two servers: {outcomes:?}, {requeued} commands put back for want of a turn");
}

/// One conversion of 30 points for every member; items that were not decided are asked again under their keys.
fn batch(client: &Client, name: &str, outcomes: &Mutex<BTreeMap<String, usize>>) {
    let mut open: Vec<usize> = (0..20).collect();
    let mut tries = 0;
    poll("a batch is decided", Duration::from_secs(60), || {
        tries += 1;
        assert!(tries < TRIES_MAX, "{name}: {} items are never decided", open.len());
        let item = |i: &usize| json!({ "idempotency_key": format!("{name}-{i}"), "member_ref": format!("m{i}"), "to": "bb", "points": 30 });
        let body = json!({ "items": open.iter().map(item).collect::<Vec<_>>() });
        let answer = send(client, "POST", "/v1/conversions/batch", "", &body);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let items = answer.json()["items"].as_array().expect("items").clone();
        let mut outcomes = outcomes.lock().expect("no client panicked");
        open = open
            .iter()
            .zip(items)
            .filter_map(|(i, item)| {
                let code = match item["status"].as_u64() {
                    Some(201) => "done".to_owned(),
                    Some(503) => return Some(*i),
                    _ => item["problem"]["code"].as_str().unwrap_or("?").to_owned(),
                };
                *outcomes.entry(code).or_default() += 1;
                None
            })
            .collect();
        open.is_empty().then_some(())
    });
}
