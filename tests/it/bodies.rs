//! What comes in over HTTP, however malformed: a problem that says what is wrong, never a 5xx.

use crate::support::poll;
use crate::tls::{Answer, Connection, House};
use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::web::{self, Bytes, Data, ServiceConfig};
use hanse::http::json::BodyLimits;
use hanse::http::server::Limits;
use hanse::http::{Caller, IdempotencyKey, Problem, StrictJson};
use serde::Deserialize;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credit {
    member_ref: String,
    points: i64,
}

async fn credit(caller: Caller, key: IdempotencyKey, body: StrictJson<Credit>) -> Result<HttpResponse, Problem> {
    let said = format!("{} {} {} {}", caller.partner()?, key.as_str(), body.0.member_ref, body.0.points);
    Ok(HttpResponse::Ok().body(said))
}

fn api(config: &mut ServiceConfig) {
    config.service(web::resource("/v1/credits").route(web::post().to(credit)));
}

fn limits() -> Limits {
    let body = BodyLimits { bytes_max: 64 * 1024, patience: Duration::from_millis(300) };
    Limits { workers: 1, body, drain: Duration::from_secs(5), ..Limits::default() }
}

fn post(connection: &mut Connection, body: &[u8]) -> Answer {
    let length = body.len();
    let head = format!(
        "POST /v1/credits HTTP/1.1\r\nhost: localhost\r\nidempotency-key: k\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    );
    connection.raw(&[head.as_bytes(), body].concat()).expect("an answer")
}

#[test]
fn malformed_bodies_are_problems_and_the_connection_lives_on() {
    let house = House::with("bodies", limits(), api);
    let lumen = house.client("partner", "lumen");
    let mut connection = lumen.connect().expect("connected");
    let good = post(&mut connection, br#"{"member_ref":"L-1","points":137}"#);
    assert_eq!(good.body, b"lumen k L-1 137");
    assert!(good.header("x-request-id").is_some());

    let points = |text: &str| format!(r#"{{"member_ref":"L-1","points":{text}}}"#).into_bytes();
    let invalid = ["1e3", "1.0", "-0", "9223372036854775808", "12345678901234567890123456789", "\"137\"", "null", "[]"];
    for text in invalid {
        let answer = post(&mut connection, &points(text));
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid"), "{text}");
        assert_eq!(answer.json()["errors"][0]["pointer"], "/points", "{text}");
    }
    let deep = "[".repeat(10_000).into_bytes();
    for body in [
        points("+1"),
        points("0x10"),
        points("007"),
        points("NaN"),
        points(""),
        points("1,\"points\":2"),
        points("1,\"poi\\u006ets\":2"),
        br#"{"member_ref":"\ud800","points":1}"#.to_vec(),
        b"{\"member_ref\":\"\xff\",\"points\":1}".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"".to_vec(),
        b"null x".to_vec(),
        deep,
        [br#"{"points":"#.as_slice(), "{\"a\":".repeat(10_000).as_bytes()].concat(),
    ] {
        let answer = post(&mut connection, &body);
        assert_eq!((answer.status, answer.code().as_str()), (400, "malformed"), "{}", String::from_utf8_lossy(&body));
    }
    for (body, pointer) in [
        (br#"{"points":1}"#.as_slice(), "/member_ref"),
        (br#"{"member_ref":"a","points":1,"x":1}"#, "/x"),
        (br#"{"member_ref":"a\u0000b","points":1}"#, "/member_ref"),
        (br#"["L-1",137]"#, ""),
        (b"null", ""),
    ] {
        let answer = post(&mut connection, body);
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid"), "{}", String::from_utf8_lossy(body));
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{}", String::from_utf8_lossy(body));
    }
    assert_eq!(post(&mut connection, br#"{"member_ref":"L-1","points":137}"#).status, 200);
}

#[test]
fn heads_are_judged_before_bodies() {
    let house = House::with("heads", limits(), api);
    let lumen = house.client("partner", "lumen");
    let ada = house.client("operator", "ada");
    let body = r#"{"member_ref":"L-1","points":137}"#;
    let send = |client: &crate::tls::Client, head: &str| {
        let request = format!("{head}\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let answer = client.connect().expect("connected").raw(request.as_bytes()).expect("an answer");
        (answer.status, if answer.status < 400 { String::new() } else { answer.code() })
    };
    let line = "POST /v1/credits HTTP/1.1";
    let json = "content-type: application/json";
    for (head, status, code) in [
        (format!("{line}\r\nidempotency-key: k\r\n{json}; charset=UTF-8"), 200, ""),
        (format!("{line}\r\nidempotency-key: k\r\ncontent-type: text/plain"), 415, "unsupported_media_type"),
        (format!("{line}\r\nidempotency-key: k"), 415, "unsupported_media_type"),
        (format!("{line}\r\nidempotency-key: k\r\n{json}; charset=latin1"), 415, "unsupported_media_type"),
        (format!("{line}\r\nidempotency-key: k\r\n{json}\r\ncontent-encoding: gzip"), 415, "unsupported_media_type"),
        (format!("{line}\r\n{json}"), 400, "idempotency_key_missing"),
        (format!("{line}\r\nidempotency-key: a b\r\n{json}"), 400, "malformed"),
        (format!("{line}\r\nidempotency-key: a\r\nidempotency-key: b\r\n{json}"), 400, "malformed"),
        (format!("{line}\r\nx-long: {}\r\n{json}", "x".repeat(20_000)), 431, "headers_too_large"),
        (format!("POST /v1/nowhere HTTP/1.1\r\n{json}"), 404, "not_found"),
        (format!("PATCH /v1/credits HTTP/1.1\r\n{json}"), 405, "method_not_allowed"),
    ] {
        assert_eq!(send(&lumen, &head), (status, code.to_owned()), "{head:.200}");
    }
    assert_eq!(send(&ada, &format!("{line}\r\nidempotency-key: k\r\n{json}")), (403, "forbidden".to_owned()));
    let delete = lumen.connect().expect("connected").send("DELETE", "/v1/signing-keys", None).expect("an answer");
    assert_eq!((delete.status, delete.header("allow")), (405, Some("get, post")));
}

#[test]
fn bodies_are_bounded_in_size_and_time() {
    let house = House::with("bounds", limits(), api);
    let lumen = house.client("partner", "lumen");
    let large = post(&mut lumen.connect().expect("connected"), &vec![b' '; 64 * 1024 + 1]);
    assert_eq!((large.status, large.code().as_str()), (413, "too_large"));
    let head =
        "POST /v1/credits HTTP/1.1\r\nhost: localhost\r\nidempotency-key: k\r\ncontent-type: application/json\r\n";
    // Without a length told: counted as it comes.
    let chunk = format!("{head}transfer-encoding: chunked\r\n\r\n11000\r\n{}\r\n0\r\n\r\n", " ".repeat(0x11000));
    let chunked = lumen.connect().expect("connected").raw(chunk.as_bytes()).expect("an answer");
    assert_eq!((chunked.status, chunked.code().as_str()), (413, "too_large"));
    let slow = lumen.connect().expect("connected").raw(format!("{head}content-length: 10\r\n\r\n{{").as_bytes());
    let slow = slow.expect("an answer");
    assert_eq!((slow.status, slow.code().as_str()), (408, "request_timeout"));
}

#[test]
fn one_partners_burst_is_told_to_wait_and_the_others_are_served() {
    let few = NonZeroU32::new(3).expect("not zero");
    let house = House::with("rate", Limits { requests_per_second: few, ..limits() }, api);
    let [lumen, harvest] = ["lumen", "harvest"].map(|name| house.client("partner", name));
    let mut connection = lumen.connect().expect("connected");
    let limited = poll("a 429", Duration::from_secs(5), || {
        let answer = connection.send("GET", "/v1/certificates", None).expect("an answer");
        (answer.status != 200).then_some(answer)
    });
    assert_eq!((limited.status, limited.code().as_str()), (429, "rate_limited"));
    assert_eq!(limited.json()["retryable"], true);
    assert!(limited.header("retry-after").and_then(|wait| wait.parse::<u64>().ok()).is_some_and(|wait| wait >= 1));
    assert_eq!(harvest.get("/v1/certificates").expect("an answer").status, 200);
}

/// An answer without an end, which says when nobody wants it any more.
struct Endless(Arc<AtomicBool>);

impl MessageBody for Endless {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(Some(Ok(Bytes::from_static(&[b'x'; 16 * 1024]))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_reader_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
    let both = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let given_up = both.clone();
    let limits = Limits { reader_patience: Duration::from_millis(500), ..limits() };
    let house = House::with("readers", limits, move |config| {
        for (path, ended) in ["/v1/idle", "/v1/slow"].into_iter().zip(given_up.clone()) {
            let answer = move || std::future::ready(HttpResponse::Ok().body(Endless(Arc::clone(&ended))));
            config.service(web::resource(path).route(web::get().to(answer)));
        }
    });
    let lumen = house.client("partner", "lumen");
    let [_idle, mut slow] = ["/v1/idle", "/v1/slow"].map(|path| {
        let mut connection = lumen.connect().expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        connection.0.write_all(request.as_bytes()).expect("asked");
        connection
    });
    let mut some = vec![0; 1024 * 1024];
    poll("the idle one given up", Duration::from_secs(10), || {
        slow.0.read_exact(&mut some).expect("the slow one is served on");
        both[0].load(Ordering::SeqCst).then_some(())
    });
    assert!(!both[1].load(Ordering::SeqCst));
}

/// A handler that says when it has begun and ends when it is told.
#[derive(Default)]
struct Held {
    begun: Notify,
    go: Notify,
}

async fn held(held: Data<Held>) -> &'static str {
    held.begun.notify_one();
    held.go.notified().await;
    "done"
}

#[test]
fn a_server_that_stops_answers_what_it_has_begun_and_takes_no_more() {
    let both = Data::new(Held::default());
    let shared = Data::clone(&both);
    let house = House::with("drain", limits(), move |config| {
        config.app_data(Data::clone(&shared)).service(web::resource("/v1/held").route(web::get().to(held)));
    });
    let lumen = house.client("partner", "lumen");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| lumen.get("/v1/held"));
        runtime.block_on(both.begun.notified());
        let House { server, .. } = house;
        let stopping = scope.spawn(move || server.stop());
        let closed = || std::net::TcpStream::connect(lumen.address).err();
        poll("the listener closed", Duration::from_secs(5), closed);
        both.go.notify_one();
        assert_eq!(asked.join().expect("no panic").expect("an answer").body, b"done");
        stopping.join().expect("no panic").expect("stopped");
    });
    drop(Arc::clone(&both));
}

#[test]
fn the_plain_listener_tells_its_health_and_its_contract() {
    let house = House::new("public");
    let get = |path: &str| {
        use std::io::{Read, Write};
        let mut tcp = std::net::TcpStream::connect(house.server.public_address()).expect("connected");
        write!(tcp, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("written");
        let mut text = String::new();
        tcp.read_to_string(&mut text).expect("an answer");
        text
    };
    for path in ["/healthz", "/readyz", "/metrics", "/.well-known/jwks.json"] {
        assert!(get(path).starts_with("HTTP/1.1 200"), "{path}: {}", get(path));
    }
    assert!(get("/openapi.json").contains(r#""/v1/signing-keys/{kid}/retire""#));
    // No partner's route without a certificate.
    let nowhere = get("/v1/certificates");
    assert!(nowhere.starts_with("HTTP/1.1 404") && nowhere.contains(r#""code":"not_found""#), "{nowhere}");
}
