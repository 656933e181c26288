//! One call to an endpoint that does everything wrong that an endpoint can do, and where nothing is called at all.

use crate::support::Scratch;
use crate::support::receiver::{Got, Receiver, Reply, server_config};
use chrono::{Days, TimeDelta};
use hanse::domain::holder::Holder;
use hanse::domain::network::Network;
use hanse::partner::address::{Guard, Refused};
use hanse::partner::dial::{Answer, Call, Cause, Dialer, Failure, Lookup, Options, Phase, TlsReason};
use hanse::signing::pki::Authority;
use hyper::Method;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

const DEADLINE: Duration = Duration::from_millis(800);

/// The alliance's folder of certificates, with one for calling out.
fn pki(name: &str) -> Scratch {
    let folder = Scratch::new(name);
    let now = hanse::clock::now();
    let authority = Authority::init(folder.path(), "hanse.test", now).expect("an authority");
    authority.issue(&Holder::of("operator", "outbound").expect("a name"), now).expect("issued");
    folder
}

fn options(pki: &Path) -> Options {
    let read = |name: &str| std::fs::read(pki.join(name)).expect("a file");
    Options {
        certificate: read("outbound.crt"),
        key: read("outbound.key"),
        ca: read("ca.crt"),
        crl: Some(read("ca.crl")),
        guard: Guard::new(&loopback()),
        connections: 4,
        lookup: Lookup::system(),
    }
}

fn loopback() -> [Network; 2] {
    ["127.0.0.0/8", "::1/128"].map(|text| text.parse().expect("a network"))
}

fn dialer(pki: &Path) -> Dialer {
    Dialer::new(options(pki)).expect("a client")
}

fn call(url: String) -> Call {
    let body = br#"{"n":1}"#.as_slice().into();
    Call { method: Method::POST, url, headers: hyper::HeaderMap::new(), body, deadline: DEADLINE }
}

async fn ask(dialer: &Dialer, receiver: &Receiver, reply: Reply) -> Result<Answer, Failure> {
    receiver.script(move |_: &Got| reply.clone());
    dialer.send(call(receiver.url("/webhooks"))).await
}

fn raw(text: &str) -> Reply {
    Reply::Raw(text.as_bytes().to_vec())
}

#[actix_web::test]
async fn an_answer_is_its_status_and_a_little_text() {
    let pki = pki("dial-answers");
    let receiver = Receiver::start(pki.path(), |_| Reply::Status(200));
    let dialer = dialer(pki.path());
    let answer = ask(&dialer, &receiver, Reply::Status(200)).await.expect("an answer");
    assert_eq!((answer.status, answer.body.as_ref(), answer.is_success()), (200, &b"{}"[..], true));
    let [got] = receiver.got().try_into().expect("one");
    assert_eq!(
        (got.method.as_str(), got.path.as_str(), got.body.as_slice()),
        ("POST", "/webhooks", &br#"{"n":1}"#[..])
    );
    assert_eq!(got.header("host"), Some(format!("127.0.0.1:{}", receiver.address.port()).as_str()));
    assert_eq!(got.header("accept-encoding"), Some("identity"));
    for status in [204, 301, 307, 401, 410, 500] {
        let answer = ask(&dialer, &receiver, Reply::Status(status)).await.expect("an answer");
        assert_eq!((answer.status, answer.is_success()), (status, status == 204));
    }
    assert_eq!(receiver.connections(), 1, "kept alive");
    assert_eq!(receiver.count(), 7, "no redirect was followed, nothing was sent twice");
    let waits = |said: &str| {
        raw(&format!("HTTP/1.1 429 X\r\nconnection: close\r\nretry-after: {said}\r\ncontent-length: 0\r\n\r\n"))
    };
    for (said, seconds) in [("7", Some(7)), ("junk", None), ("1000000000", Some(86_400)), ("-5", None)] {
        let answer = ask(&dialer, &receiver, waits(said)).await.expect("an answer");
        assert_eq!((answer.status, answer.retry_after), (429, seconds.map(Duration::from_secs)), "{said}");
    }
    let typed = raw("HTTP/1.1 422 X\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\n{}");
    let answer = ask(&dialer, &receiver, typed).await.expect("an answer");
    assert_eq!(answer.content_type.as_deref(), Some("text/html"));
}

#[actix_web::test]
async fn fault_34_an_endpoint_that_misbehaves_costs_a_deadline_at_most() {
    let pki = pki("dial-faults");
    let receiver = Receiver::start(pki.path(), |_| Reply::Status(200));
    let dialer = dialer(pki.path());
    let timeout = |phase| Cause::Timeout(DEADLINE, phase);
    let huge = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1073741824\r\n\r\n\x1f\u{8b}";
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(32 * 1024));
    type Wanted<'a> = &'a dyn Fn(&Cause) -> bool;
    let cases: [(&str, Reply, Wanted); 10] = [
        ("reset", Reply::Reset, &|cause| matches!(cause, Cause::Cut(_))),
        ("hang", Reply::Hang, &|cause| *cause == timeout(Phase::Sent)),
        ("drip", Reply::Drip(64, Duration::from_millis(100)), &|cause| *cause == timeout(Phase::Answering)),
        ("endless", Reply::Endless, &|cause| *cause == Cause::TooLarge),
        ("huge", raw(huge), &|cause| *cause == Cause::TooLarge),
        ("half", raw(half), &|cause| matches!(cause, Cause::Cut(_))),
        ("a head without end", raw(&head), &|cause| matches!(cause, Cause::Malformed(_))),
        ("not HTTP", raw("SSH-2.0-x\r\n\r\n"), &|cause| matches!(cause, Cause::Malformed(_))),
        ("two lengths", raw("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"), &|cause| {
            matches!(cause, Cause::Malformed(_))
        }),
        ("no answer", raw(""), &|cause| matches!(cause, Cause::Cut(_))),
    ];
    for (name, reply, wanted) in cases {
        let since = Instant::now();
        let failure = ask(&dialer, &receiver, reply).await.expect_err(name);
        assert!(wanted(&failure.cause) && failure.reached, "{name}: {failure:?}");
        assert!(since.elapsed() < DEADLINE + Duration::from_millis(400), "{name}: {:?}", since.elapsed());
    }
    // And it is called again as if nothing had been.
    assert!(ask(&dialer, &receiver, Reply::Status(200)).await.is_ok());
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port();
    let failure = dialer.send(call(format!("https://127.0.0.1:{closed}/"))).await.expect_err("nobody listens");
    assert!(matches!(failure, Failure { cause: Cause::Connect(_), reached: false }), "{failure:?}");
    // Somebody who takes connections and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let failure = dialer.send(call(format!("https://{}/", mute.local_addr().expect("its address")))).await;
    assert_eq!(failure, Err(Failure { cause: timeout(Phase::Connecting), reached: false }));
}

#[actix_web::test]
async fn calls_at_once_are_bounded_and_wait_their_turn() {
    let pki = pki("dial-bounds");
    let receiver =
        Receiver::start(pki.path(), |_| Reply::After(Duration::from_millis(50), Box::new(Reply::Status(200))));
    let dialer = dialer(pki.path());
    let calls: Vec<_> = (0..12)
        .map(|_| {
            let (dialer, call) = (dialer.clone(), call(receiver.url("/")));
            actix_web::rt::spawn(async move { dialer.send(call).await })
        })
        .collect();
    for call in calls {
        assert!(call.await.expect("no panic").is_ok());
    }
    assert!(receiver.connections() <= 4, "{}", receiver.connections());
}

#[actix_web::test]
async fn a_kept_connection_that_has_ended_is_not_met_again() {
    let pki = pki("dial-ended");
    let receiver = Receiver::start(pki.path(), |_| Reply::Status(200));
    let dialer = dialer(pki.path());
    for _ in 0..5 {
        // Each answer promises a connection that is closed then.
        let answer = ask(&dialer, &receiver, raw("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
        assert!(answer.is_ok(), "{answer:?}");
        actix_web::rt::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((receiver.count(), receiver.connections()), (5, 5));
}

/// An authority of a partner's own, which issues what a test wants.
struct Theirs {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Theirs {
    fn new() -> Theirs {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).expect("signed").pem();
        Theirs { issuer: Issuer::new(params, key), pem }
    }

    /// `<stem>.crt` and `.key`, for `127.0.0.1` unless `name` says another, good from `from` for 30 days.
    fn issue(&self, stem: &Path, name: Option<&str>, from: TimeDelta) {
        let mut params = CertificateParams::default();
        let from = hanse::clock::now() + from;
        params.not_before = SystemTime::from(from).into();
        params.not_after = SystemTime::from(from + Days::new(30)).into();
        params.serial_number = Some(SerialNumber::from(42_u64));
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![match name {
            Some(name) => SanType::DnsName(name.try_into().expect("ASCII")),
            None => SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        }];
        let key = KeyPair::generate().expect("a key");
        let pem = params.signed_by(&key, &self.issuer).expect("signed").pem();
        std::fs::write(stem.with_extension("crt"), pem).expect("written");
        std::fs::write(stem.with_extension("key"), key.serialize_pem()).expect("written");
    }

    /// A list that revokes the certificate above, made so long ago.
    fn list(&self, revoked: bool, age: TimeDelta) -> Vec<u8> {
        let made = hanse::clock::now() - age;
        let entry = RevokedCertParams {
            serial_number: SerialNumber::from(42_u64),
            revocation_time: SystemTime::from(made).into(),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: SystemTime::from(made).into(),
            next_update: SystemTime::from(made + Days::new(7)).into(),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: if revoked { vec![entry] } else { Vec::new() },
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("signed").pem().expect("PEM").into_bytes()
    }
}

#[actix_web::test]
async fn fault_35_a_certificate_that_is_not_theirs_now_is_not_spoken_to() {
    let pki = pki("dial-tls");
    let theirs = Theirs::new();
    let stem = pki.path().join("theirs");
    let day = TimeDelta::days(1);
    let check = async |name: Option<&str>, from: TimeDelta, ca: &str, crl: Option<Vec<u8>>| {
        theirs.issue(&stem, name, from);
        let receiver = Receiver::with(server_config(&stem, &pki.path().join("ca.crt")), |_| Reply::Status(200));
        let dialer = Dialer::new(Options { ca: ca.into(), crl, ..options(pki.path()) }).expect("a client");
        let outcome = dialer.send(call(receiver.url("/"))).await;
        assert_eq!(receiver.count(), usize::from(outcome.is_ok()), "nothing was read by who is not trusted");
        outcome.map(|answer| answer.status).map_err(|failure| {
            assert!(!failure.reached, "{failure:?}");
            failure.cause
        })
    };
    let tls = |reason| Err(Cause::Tls(reason));
    assert_eq!(check(None, -day, &theirs.pem, None).await, Ok(200));
    assert_eq!(check(None, -day, &theirs.pem, Some(theirs.list(false, day))).await, Ok(200));
    assert_eq!(check(None, -day * 31, &theirs.pem, None).await, tls(TlsReason::Expired));
    assert_eq!(check(None, day, &theirs.pem, None).await, tls(TlsReason::NotYetValid));
    assert_eq!(check(Some("elsewhere.example"), -day, &theirs.pem, None).await, tls(TlsReason::Name));
    assert_eq!(check(None, -day, &Theirs::new().pem, None).await, tls(TlsReason::Authority));
    assert_eq!(check(None, -day, &theirs.pem, Some(theirs.list(true, day))).await, tls(TlsReason::Revoked));
    assert_eq!(check(None, -day, &theirs.pem, Some(theirs.list(false, day * 8))).await, tls(TlsReason::Revocation));
    let another = Theirs::new().list(false, day);
    assert_eq!(check(None, -day, &theirs.pem, Some(another)).await, tls(TlsReason::Revocation));
    for unreadable in [Vec::new(), b"junk".to_vec()] {
        assert!(Dialer::new(Options { crl: Some(unreadable), ..options(pki.path()) }).is_err());
    }
    // Plain HTTP is never spoken, and who does not like our certificate says so.
    let failure = dialer(pki.path()).send(call("http://127.0.0.1:9443/".to_owned())).await;
    assert_eq!(failure, Err(Failure { cause: Refused::Scheme.into(), reached: false }));
    std::fs::write(pki.path().join("other.crt"), Theirs::new().pem).expect("written");
    theirs.issue(&stem, None, -day);
    let strict = Receiver::with(server_config(&stem, &pki.path().join("other.crt")), |_| Reply::Status(200));
    let ours = Dialer::new(Options { ca: theirs.pem.clone().into(), crl: None, ..options(pki.path()) });
    let failure = ours.expect("a client").send(call(strict.url("/"))).await.expect_err("refused");
    assert!(matches!(&failure.cause, Cause::Tls(TlsReason::OurCertificate(_)) | Cause::Cut(_)), "{failure:?}");
    assert_eq!(strict.count(), 0);
}

#[actix_web::test]
async fn fault_49_no_address_inside_is_dialled_whatever_its_name() {
    let pki = pki("dial-inside");
    let inside = [
        "127.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.1",
        "192.88.99.1",
        "198.18.0.1",
        "192.0.2.1",
        "224.0.0.1",
        "240.0.0.1",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "fe80::1",
        "fc00::1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "2002:7f00:1::1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "5f00::1",
        "fd00:ec2::254",
    ];
    for text in inside {
        let address: IpAddr = text.parse().expect("an address");
        let lookup = Lookup::new(move |_| Box::pin(async move { Ok(vec![address]) }));
        let dialer = Dialer::new(Options { guard: Guard::default(), lookup, ..options(pki.path()) }).expect("a client");
        let wanted = Err(Failure { cause: Refused::Address(address).into(), reached: false });
        assert_eq!(dialer.send(call("https://hooks.lumen.example/".to_owned())).await, wanted, "{text} by its name");
        let host = if address.is_ipv6() { format!("[{address}]") } else { text.to_owned() };
        let literal = dialer.send(call(format!("https://{host}:8443/"))).await;
        let refused = matches!(literal, Err(Failure { cause: Cause::Address(_), reached: false }));
        assert!(refused, "{text} by itself: {literal:?}");
    }
}

#[actix_web::test]
async fn fault_50_other_spellings_and_other_ports_are_no_way_round() {
    let pki = pki("dial-spelled");
    // Even where the loopback may be called, only its usual spelling is.
    let dialer = dialer(pki.path());
    for url in [
        "https://2130706433:8443/",
        "https://0177.0.0.1:8443/",
        "https://0x7f.0.0.1:8443/",
        "https://127.1:8443/",
        "https://localhost.:8443/",
        "https://a@localhost:8443/",
        "https://[::1%25lo]:8443/",
        "https://例.example/",
        "https://localhost:22/",
        "https://localhost:25/",
        "https://localhost:5432/",
        "https://localhost:6379/",
    ] {
        let outcome = dialer.send(call(url.to_owned())).await;
        assert!(matches!(outcome, Err(Failure { cause: Cause::Address(_), reached: false })), "{url}: {outcome:?}");
    }
}

#[actix_web::test]
async fn fault_51_a_name_is_judged_by_the_address_that_is_dialled() {
    let pki = pki("dial-rebound");
    let receiver = Receiver::start(pki.path(), |_| Reply::Status(200));
    let url = format!("https://localhost:{}/", receiver.address.port());
    let asked = Arc::new(AtomicUsize::new(0));
    // First an address that may be dialled, then one that may not: each call asks anew.
    let counted = Arc::clone(&asked);
    let lookup = Lookup::new(move |_| {
        let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
        Box::pin(async move { Ok(vec![IpAddr::from(if first { [127, 0, 0, 1] } else { [10, 0, 0, 1] })]) })
    });
    let rebound = Dialer::new(Options { lookup, ..options(pki.path()) }).expect("a client");
    receiver.script(|_| raw("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"));
    assert_eq!(rebound.send(call(url.clone())).await.map(|answer| answer.status), Ok(200));
    let second = rebound.send(call(url.clone())).await;
    assert_eq!(second, Err(Failure { cause: Refused::Address([10, 0, 0, 1].into()).into(), reached: false }));
    assert_eq!((asked.load(Ordering::Relaxed), receiver.count()), (2, 1));
    // Of several addresses only those that may be are dialled.
    let mixed = Lookup::new(|_| Box::pin(async { Ok(vec![[10, 0, 0, 1].into(), [127, 0, 0, 1].into()]) }));
    let mixed = Dialer::new(Options { lookup: mixed, ..options(pki.path()) }).expect("a client");
    assert_eq!(mixed.send(call(url.clone())).await.map(|answer| answer.status), Ok(200));
    let nowhere = Lookup::new(|_| Box::pin(async { Ok(Vec::new()) }));
    let nowhere = Dialer::new(Options { lookup: nowhere, ..options(pki.path()) }).expect("a client");
    assert_eq!(nowhere.send(call(url)).await, Err(Failure { cause: Cause::Name, reached: false }));
}
