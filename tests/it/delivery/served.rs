//! The program itself: webhooks over the API, killed between sending and writing down, and where it may not call.

use super::{PATIENCE, tell};
use crate::faults::served::Stage;
use crate::support::book::Book;
use crate::support::poll;
use crate::support::receiver::{Got, Receiver, Reply};
use crate::tls::{Answer, Client};
use hanse::domain::holder::Holder;
use hanse::signing::pki::Authority;
use hanse::signing::webhook::{self, Secret, Stamp};
use serde_json::{Value, json};
use std::time::Duration;

const LOOPBACK: [&str; 2] = ["--outbound-allow", "127.0.0.0/8"];

/// The small alliance with a certificate for calling out.
fn stage(name: &str, book: &Book) -> Stage {
    let stage = Stage::on(name, &book.database.url, 0);
    let authority = Authority::open(&stage.folder.path().join("pki")).expect("an authority");
    authority.issue(&Holder::of("operator", "outbound").expect("a name"), hanse::clock::now()).expect("issued");
    stage
}

fn receiver(stage: &Stage, script: impl Fn(&Got) -> Reply + Send + Sync + 'static) -> Receiver {
    Receiver::start(&stage.folder.path().join("pki"), script)
}

fn send(client: &Client, method: &str, path: &str, body: Option<Value>) -> Answer {
    let body = body.map(|body| body.to_string().into_bytes());
    client.connect().and_then(|mut open| open.send(method, path, body.as_deref())).expect("answered")
}

/// Who does not own a webhook finds none.
fn is_nobodys(client: &Client, own: &str, url: &str) {
    for (method, path, body) in [
        ("GET", own.to_owned(), None),
        ("DELETE", own.to_owned(), None),
        ("GET", format!("{own}/deliveries"), None),
        ("POST", format!("{own}/test"), None),
        ("POST", format!("{own}/secret-rotations"), Some(json!({}))),
        ("POST", format!("{own}/recover"), Some(json!({ "since": "2026-01-01T00:00:00Z" }))),
        ("PUT", own.to_owned(), Some(json!({ "url": url, "types": null, "state": "active" }))),
    ] {
        let answer = send(client, method, &path, body);
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{method} {path}");
    }
}

/// `hanse webhooks …`.
fn told_by_the_program(stage: &Stage, book: &Book, arguments: &[&str]) -> String {
    let mut told = std::process::Command::new(env!("CARGO_BIN_EXE_hanse"));
    crate::support::without_settings(&mut told);
    told.arg("webhooks").args(arguments).arg("--data-dir").arg(stage.folder.path());
    let told = told.env("DATABASE_URL", &book.database.url).output().expect("it runs");
    String::from_utf8(told.stdout).expect("text")
}

fn listed_by_the_program(stage: &Stage, book: &Book) -> Value {
    serde_json::from_str(&told_by_the_program(stage, book, &["list", "--json"])).expect("JSON")
}

/// What an operator sees of one webhook: for people, and for machines.
fn shown_by_the_program(stage: &Stage, book: &Book, id: &str) {
    let shown = told_by_the_program(stage, book, &["show", id, "--state", "delivered"]);
    for wanted in ["of aa, https://127.0.0.1:", "sent up to 3, 0 after it", "exposure.warned", "┆ 200 "] {
        assert!(shown.contains(wanted), "{wanted} is not in\n{shown}");
    }
    let shown: Value = serde_json::from_str(&told_by_the_program(stage, book, &["show", id, "--json"])).expect("JSON");
    assert_eq!(shown["deliveries"].as_array().map(Vec::len), Some(3));
    assert_eq!(shown["deliveries"][0]["attempts"][0]["status"], 200);
    assert!(told_by_the_program(stage, book, &["show", id, "--state", "dead"]).contains("nothing is dead"));
    assert_eq!(told_by_the_program(stage, book, &["list", "--partner", "nobody"]), "");
}

/// Webhooks that cannot be, each told by what is wrong with it.
fn is_refused(client: &Client, receiver: &Receiver) {
    for body in [
        json!({ "url": "https://10.0.0.1/" }),
        json!({ "url": "http://a.example/" }),
        json!({ "url": receiver.url("/"), "x": 1 }),
    ] {
        let refused = send(client, "POST", "/v1/webhooks", Some(body.clone()));
        assert_eq!((refused.status, refused.code().as_str()), (422, "invalid"), "{body}");
    }
    let types = json!(["conversion.completed", "conversion.compleated"]);
    let refused =
        send(client, "POST", "/v1/webhooks", Some(json!({ "url": receiver.url("/"), "types": types }))).json();
    assert_eq!(refused["errors"][0]["pointer"], "/types/1", "the wrong one is named: {refused}");
}

#[test]
fn a_webhook_is_made_tried_changed_looked_at_and_ended() {
    let book = Book::new("");
    let stage = stage("hook-served", &book);
    let receiver = receiver(&stage, |_| Reply::Status(200));
    let served = stage.serve_with(&LOOPBACK);
    let (aa, bb) = (stage.client(&served, "aa"), stage.client(&served, "bb"));
    let made = send(&aa, "POST", "/v1/webhooks", Some(json!({ "url": receiver.url("/hooks") })));
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let id = made["webhook_id"].as_str().expect("an id").to_owned();
    let secret = Secret::parse(made["secret"].as_str().expect("a secret")).expect("a secret");
    let own = format!("/v1/webhooks/{id}");
    let shown = send(&aa, "GET", &own, None).json();
    assert_eq!((shown.get("secret"), &shown["state"], &shown["breaker"]), (None, &json!("active"), &json!("closed")));
    assert_eq!(send(&aa, "GET", "/v1/webhooks", None).json()["items"], json!([shown]));
    is_nobodys(&bb, &own, &receiver.url("/"));
    assert_eq!(listed_by_the_program(&stage, &book)["webhooks"][0]["webhook_id"], json!(id));
    let tested = send(&aa, "POST", &format!("{own}/test"), None).json();
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(true), &json!(200)), "{tested}");
    let [got] = receiver.got().try_into().expect("one");
    assert_eq!((got.json()["type"].as_str(), got.sequence()), (Some("webhook.test"), 0));
    let header = |name: &str| got.header(name).expect("there");
    let stamp = Stamp {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
    };
    let now = hanse::clock::now().timestamp();
    assert_eq!(webhook::verify(stamp, &got.body, &[secret], &[], now), Ok(()));
    tell(&mut stage.connection(), "aa", 3, 3);
    let feed = send(&aa, "GET", "/v1/events?limit=10", None);
    let feed = String::from_utf8(feed.body).expect("text");
    poll("pushed", PATIENCE, || (receiver.count() == 4).then_some(()));
    for one in receiver.got().iter().skip(1) {
        let body = String::from_utf8(one.body.clone()).expect("text");
        assert!(feed.contains(&body), "{body} in {feed}");
    }
    let list = format!("{own}/deliveries?state=delivered&limit=2");
    let listed = poll("listed", PATIENCE, || {
        let listed = send(&aa, "GET", &list, None).json();
        (listed["items"].as_array().map(Vec::len) == Some(2) && listed["items"][0]["sequence"] == 3).then_some(listed)
    });
    assert_eq!(listed["items"][0]["attempts"][0]["status"], 200);
    shown_by_the_program(&stage, &book, &id);
    let next = format!("{list}&cursor={}", listed["next_cursor"].as_str().expect("a cursor"));
    assert_eq!(send(&aa, "GET", &next, None).json()["items"][0]["sequence"], 1);
    let delivery = listed["items"][0]["delivery_id"].as_str().expect("an id");
    assert_eq!(send(&bb, "POST", &format!("/v1/deliveries/{delivery}/resend"), None).status, 404);
    assert_eq!(send(&aa, "POST", &format!("/v1/deliveries/{delivery}/resend"), None).status, 202);
    poll("again", PATIENCE, || (receiver.count() == 5).then_some(()));
    is_refused(&aa, &receiver);
    assert_eq!(send(&aa, "POST", &format!("{own}/secret-rotations"), Some(json!({ "overlap_hours": 73 }))).status, 422);
    let rotated = send(&aa, "POST", &format!("{own}/secret-rotations"), Some(json!({ "overlap_hours": 1 })));
    assert_eq!(rotated.status, 201);
    assert_ne!(rotated.json()["secret"], made["secret"]);
    assert_eq!(send(&aa, "DELETE", &own, None).status, 204);
    assert_eq!(send(&aa, "GET", &own, None).status, 404);
    let metrics = served.plain("/metrics");
    assert!(metrics.contains(r#"hanse_deliveries_total{partner="aa",outcome="delivered"} "#), "{metrics}");
    assert_eq!(listed_by_the_program(&stage, &book), json!({ "webhooks": [] }), "it has ended");
    let (code, lines) = served.terminate();
    assert_eq!(code, Some(0));
    assert!(lines.iter().all(|line| !line.contains("whsec_")), "no secret in the log");
}

#[test]
fn what_was_sent_and_not_written_down_when_it_was_killed_comes_again_with_the_same_id() {
    let book = Book::new("");
    let stage = stage("hook-killed", &book);
    let receiver = receiver(&stage, |_| Reply::Status(200));
    let served = stage.serve_with(&LOOPBACK);
    let made =
        stage.client(&served, "aa").post("/v1/webhooks", json!({ "url": receiver.url("/") }).to_string().as_bytes());
    assert_eq!(made.expect("answered").status, 201);
    // Received, and never answered in time to be written down.
    receiver.script(|_| Reply::After(Duration::from_secs(3), Box::new(Reply::Status(200))));
    tell(&mut stage.connection(), "aa", 1, 1);
    poll("sent", PATIENCE, || (receiver.count() == 1).then_some(()));
    served.kill();
    receiver.script(|_| Reply::Status(200));
    let served = stage.serve_with(&LOOPBACK);
    // Its lease runs out by itself, in a quarter of a minute.
    poll("sent again", PATIENCE, || (receiver.count() == 2).then_some(()));
    let [first, second] = receiver.got().try_into().expect("two");
    assert_eq!((first.header("webhook-id"), &first.body), (second.header("webhook-id"), &second.body));
    drop(served);
}

#[test]
fn fault_52_and_53_no_proxy_is_used_and_what_may_be_called_inside_is_said_at_start() {
    let book = Book::new("");
    let stage = stage("hook-inside", &book);
    let receiver = receiver(&stage, |_| Reply::Status(200));
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    proxy.set_nonblocking(true).expect("set");
    let url = format!("http://{}", proxy.local_addr().expect("its address"));
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    let body = json!({ "url": receiver.url("/") }).to_string();
    let served = stage.serve_in(&LOOPBACK, &proxies.map(|name| (name, url.as_str())));
    let client = stage.client(&served, "aa");
    let made = client.post("/v1/webhooks", body.as_bytes()).expect("answered");
    let id = made.json()["webhook_id"].as_str().expect("an id").to_owned();
    let tested = client.connect().and_then(|mut open| open.send("POST", &format!("/v1/webhooks/{id}/test"), None));
    assert_eq!(tested.expect("answered").json()["delivered"], true);
    assert!(proxy.accept().is_err(), "nobody asked the proxy");
    let said = served.told.iter().any(|line| line.contains("127.0.0.0/8") && line.contains("not public"));
    assert!(said, "{:?}", served.told);
    drop(served);
    // Without leave it is neither registered nor, registered before, called.
    let served = stage.serve();
    assert!(served.told.iter().all(|line| !line.contains("not public")));
    let client = stage.client(&served, "aa");
    assert_eq!(client.post("/v1/webhooks", body.as_bytes()).expect("answered").status, 422);
    let tested = client.connect().and_then(|mut open| open.send("POST", &format!("/v1/webhooks/{id}/test"), None));
    assert_eq!(tested.expect("answered").json()["error"], "address_refused");
    assert_eq!(receiver.count(), 1);
}
