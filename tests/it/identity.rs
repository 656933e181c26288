//! Who gets in, over real TLS: the faults and attacks on identity, by their numbers.
//!
//! | fault | where |
//! | --- | --- |
//! | 1 no client certificate · 2 of another authority, or of none · 3 outside its life · 4 revoked, new connection · 5 revoked, with a saved session · 6 revoked, open connection · 7 a list that is over, missing for an intermediate, garbage · 8 two names, another's name · 9 a server's certificate as a client · 10 two certificates overlap, the old one ends · 11 a key that does not fit on reload · 13 earlier versions, early data, renegotiation · 14 slow handshakes, idle sockets | here |
//! | 12 another partner's things | `api::others` |
//!
//! Tokens, rotation and the register without the authority's key are in `enrolment`, warnings in `watch`.

use crate::support::{is_long, poll};
use crate::tls::{Client, House, TRUST_DOMAIN};
use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use hanse::domain::holder::Holder;
use hanse::http::server::Limits;
use hanse::service::certificates;
use hanse::signing::pki::Authority;
use hanse::signing::x509;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// The alert, as rustls names it, with which the server refused the handshake.
fn alert(outcome: io::Result<crate::tls::Answer>) -> String {
    outcome.expect_err("the handshake must fail").to_string()
}

/// A certificate of the house's own authority with whatever `shape` does to it, in `<name>.crt` and `<name>.key`.
fn odd(house: &House, name: &str, shape: impl FnOnce(&mut CertificateParams)) -> Client {
    let folder = house.folder.path();
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).expect("a file");
    let authority = KeyPair::from_pem(&read("ca.key")).expect("a key");
    let issuer = Issuer::from_ca_cert_pem(&read("ca.crt"), authority).expect("an authority");
    let mut params = CertificateParams::default();
    params.not_before = (SystemTime::now() - Duration::from_secs(3600)).into();
    params.not_after = (SystemTime::now() + Duration::from_secs(3600)).into();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![uri("partner/lumen")];
    params.use_authority_key_identifier_extension = true;
    shape(&mut params);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &issuer).expect("signed");
    std::fs::write(folder.join(name).with_extension("crt"), certificate.pem()).expect("written");
    std::fs::write(folder.join(name).with_extension("key"), key.serialize_pem()).expect("written");
    house.client_of(&folder.join(name))
}

fn uri(path: &str) -> SanType {
    SanType::URI(format!("spiffe://{TRUST_DOMAIN}/{path}").try_into().expect("ASCII"))
}

#[test]
fn fault_01_without_a_certificate_nothing_is_answered() {
    let house = House::new("fault-01");
    assert!(alert(house.nobody().get("/v1/certificates")).contains("CertificateRequired"));
    // Nor is what needs no caller elsewhere.
    assert!(alert(house.nobody().get("/healthz")).contains("CertificateRequired"));
}

#[test]
fn fault_02_a_certificate_of_another_authority_or_of_none_is_refused() {
    let house = House::new("fault-02");
    let lumen = house.client("partner", "lumen");
    assert_eq!(lumen.get("/v1/certificates").expect("an answer").status, 200);
    let other = House::new("handshakes-other");
    let stranger = other.client("partner", "lumen");
    let stranger = Client { address: lumen.address, config: trusting(&stranger, &house) };
    // Its authority has the name of ours, so the signature decides.
    let refused = alert(stranger.get("/v1/certificates"));
    assert!(refused.contains("DecryptError") || refused.contains("UnknownCA"), "{refused}");
    // Signed by itself, with our names in it.
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![uri("partner/lumen")];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().expect("a key");
    let stem = house.folder.path().join("self");
    std::fs::write(stem.with_extension("crt"), params.self_signed(&key).expect("signed").pem()).expect("written");
    std::fs::write(stem.with_extension("key"), key.serialize_pem()).expect("written");
    let refused = alert(house.client_of(&stem).get("/v1/certificates"));
    assert!(refused.contains("UnknownCA"), "{refused}");
}

#[test]
fn fault_03_a_certificate_outside_its_life_is_refused() {
    let house = House::new("fault-03");
    let lumen = house.client("partner", "lumen");
    let hour = Duration::from_secs(3600);
    let expired = odd(&house, "expired", |params| params.not_after = (SystemTime::now() - hour / 2).into());
    assert!(alert(expired.get("/v1/certificates")).contains("CertificateExpired"));
    let early = odd(&house, "early", |params| params.not_before = (SystemTime::now() + hour / 2).into());
    let refused = alert(early.get("/v1/certificates"));
    assert!(refused.contains("BadCertificate") || refused.contains("CertificateExpired"), "{refused}");
    assert_eq!(lumen.get("/v1/certificates").expect("an answer").status, 200);
}

#[test]
fn fault_09_a_servers_certificate_is_no_clients() {
    let house = House::new("fault-09");
    let lumen = house.client("partner", "lumen");
    let server = house.client_of(&house.folder.path().join("server"));
    let refused = alert(server.get("/v1/certificates"));
    assert!(refused.contains("UnsupportedCertificate"), "{refused}");
    assert_eq!(lumen.get("/v1/certificates").expect("an answer").status, 200);
}

/// The certificate of `client` in the hands of somebody who trusts the server of `house`.
fn trusting(client: &Client, house: &House) -> std::sync::Arc<rustls::ClientConfig> {
    let mut config = rustls::ClientConfig::clone(&client.config);
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(house.folder.path().join("ca.crt")).expect("the authority"))
        .expect("added");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build();
    config.dangerous().set_certificate_verifier(verifier.expect("a verifier"));
    config.into()
}

#[test]
fn a_certificate_that_is_signed_but_not_registered_is_unknown() {
    let house = House::new("unknown");
    let holder = Holder::of("partner", "lumen").expect("a slug");
    house.authority.issue(&holder, hanse::clock::now()).expect("issued");
    let answer = house.client_of(&house.folder.path().join("lumen")).get("/v1/certificates").expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (401, "certificate_unknown"));
}

#[test]
fn fault_08_a_certificate_names_exactly_one_caller_who_it_is_registered_for() {
    let house = House::new("fault-08");
    for (name, names) in [
        ("two", vec![uri("partner/lumen"), uri("partner/harvest")]),
        ("none", vec![SanType::DnsName("lumen".try_into().expect("ASCII"))]),
        ("foreign", vec![SanType::URI("spiffe://evil.test/partner/lumen".try_into().expect("ASCII"))]),
        ("kind", vec![uri("server/lumen")]),
        ("longer", vec![uri("partner/lumen/x")]),
    ] {
        let answer = odd(&house, name, |params| params.subject_alt_names = names).get("/v1/certificates");
        let answer = answer.expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{name}");
    }
    // Registered for another holder than it names.
    let client = odd(&house, "posing", |_| {});
    let der = CertificateDer::from_pem_file(house.folder.path().join("posing.crt")).expect("a certificate");
    let mut facts = x509::facts(&der, TRUST_DOMAIN).expect("facts");
    facts.holder = Holder::of("partner", "harvest").expect("a slug");
    certificates::register(&mut house.database.connection(), &facts).expect("registered");
    assert_eq!(client.get("/v1/certificates").expect("an answer").code(), "forbidden");
}

/// Revokes the partner's certificate as `hanse pki revoke` does; the instant it was asked for.
fn revoke(house: &House, partner: &str) -> Instant {
    let serial = house.authority_facts(partner).serial;
    let asked = Instant::now();
    assert!(certificates::revoke_serial(&mut house.database.connection(), &serial).expect("revoked"));
    assert!(house.authority.revoke(&serial, hanse::clock::now()).expect("revoked"));
    asked
}

/// From its revocation on a certificate is refused within this time, whatever the way in.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn fault_04_a_revoked_certificate_makes_no_new_connection() {
    let house = House::new("fault-04");
    let [lumen, harvest] = ["lumen", "harvest"].map(|name| house.client("partner", name));
    assert!(lumen.get("/v1/certificates").is_ok() && harvest.get("/v1/certificates").is_ok());
    let asked = revoke(&house, "lumen");
    // First the register answers no, and soon not even the handshake succeeds.
    let refused = poll("no answer any more", REFUSED_WITHIN, || match lumen.get("/v1/certificates") {
        Ok(answer) => (answer.status == 401).then(|| answer.code()),
        Err(alert) => Some(alert.to_string()),
    });
    println!("fault 4: a new connection is refused {:?} after the revocation ({refused})", asked.elapsed());
    let refusal = poll("the list in force", REFUSED_WITHIN, || lumen.get("/v1/certificates").err());
    println!("fault 4: and its handshake {:?} after", asked.elapsed());
    assert!(refusal.to_string().contains("CertificateRevoked"), "{refusal}");
    assert!(asked.elapsed() < REFUSED_WITHIN);
    assert!(harvest.get("/v1/certificates").is_ok());
}

/// What `openssl s_client` says when it is given `said`, and what it got.
fn s_client(house: &House, address: &str, arguments: &[&str], said: &str) -> String {
    let folder = house.folder.path();
    let mut command = Command::new("openssl");
    command.args([
        "s_client",
        "-connect",
        address,
        "-CAfile",
        "ca.crt",
        "-cert",
        "lumen.crt",
        "-key",
        "lumen.key",
        "-ign_eof",
    ]);
    command.args(arguments).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().expect("openssl");
    // One that has been refused reads no more.
    let _ = running.stdin.take().expect("its input").write_all(said.as_bytes());
    let output = running.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

const ASK: &str = "GET /v1/certificates HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// A session that can be resumed, with early data, of a server that gives some out under our server's own certificate.
fn saved_session(house: &House) -> PathBuf {
    let folder = house.folder.path();
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).expect("a port").port();
    let address = format!("127.0.0.1:{port}");
    let mut server = Command::new("openssl")
        .args(["s_server", "-accept", &address, "-cert", "server.crt", "-key", "server.key", "-CAfile", "ca.crt"])
        .args(["-Verify", "1", "-tls1_3", "-www", "-max_early_data", "16384"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    poll("a server that gives sessions out", Duration::from_secs(10), || TcpStream::connect(&address).ok());
    s_client(house, &address, &["-tls1_3", "-sess_out", "session.pem"], "GET / HTTP/1.0\r\n\r\n");
    server.kill().and_then(|()| server.wait()).expect("it ends");
    folder.join("session.pem")
}

#[test]
fn fault_05_a_saved_session_lets_nobody_in_after_the_revocation() {
    let house = House::new("fault-05");
    let lumen = house.client("partner", "lumen");
    let address = house.server.api_address().to_string();
    let answer = s_client(&house, &address, &["-tls1_3", "-sess_out", "ours.pem"], ASK);
    assert!(answer.contains("HTTP/1.1 200 OK") && answer.contains("TLSv1.3"), "{answer}");
    // This server gives out nothing to resume with.
    let ours = std::fs::metadata(house.folder.path().join("ours.pem")).map_or(0, |file| file.len());
    assert!(ours == 0 && !answer.contains("TLS session ticket"), "{answer}");
    // One that was got elsewhere is offered, and is not taken up: a full handshake.
    let session = saved_session(&house);
    assert!(std::fs::metadata(&session).is_ok_and(|file| file.len() > 0), "a session to offer");
    let resume = |extra: &[&str]| {
        let arguments = [&["-tls1_3", "-sess_in", "session.pem"], extra].concat();
        s_client(&house, &address, &arguments, ASK)
    };
    let before = resume(&[]);
    assert!(before.contains("HTTP/1.1 200 OK") && before.contains("New, TLSv1.3"), "{before}");
    assert!(!before.contains("Reused"), "{before}");
    let asked = revoke(&house, "lumen");
    let refused = poll("the saved session refused", REFUSED_WITHIN, || {
        let answer = resume(&[]);
        (!answer.contains("HTTP/1.1 200 OK")).then_some(answer)
    });
    println!("fault 5: with a saved session it is refused {:?} after the revocation", asked.elapsed());
    assert!(asked.elapsed() < REFUSED_WITHIN);
    assert!(refused.contains("certificate revoked") || refused.contains("certificate_revoked"), "{refused}");
    poll("the handshake refused", REFUSED_WITHIN, || resume(&[]).contains("alert certificate revoked").then_some(()));
    drop(lumen);
}

#[test]
fn fault_07_a_list_that_is_over_or_missing_shuts_out_and_garbage_changes_nothing() {
    let house = House::new("fault-07");
    let harvest = house.client("partner", "harvest");
    house.client("partner", "lumen");
    revoke(&house, "lumen");
    let lumen = house.client_of(&house.folder.path().join("lumen"));
    poll("the list in force", REFUSED_WITHIN, || lumen.get("/v1/certificates").err());
    // The list is garbage for a while, then good and longer: the last good one was in force in between.
    let list = house.folder.path().join("ca.crl");
    let good = std::fs::read(&list).expect("a list");
    for garbage in [b"".as_slice(), b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"] {
        std::fs::write(&list, garbage).expect("written");
        std::thread::park_timeout(Duration::from_millis(1_200));
        assert!(lumen.get("/v1/certificates").is_err() && harvest.get("/v1/certificates").is_ok());
    }
    std::fs::write(&list, good).expect("written");
    // An intermediate of our authority has no list of its own: who it has signed for does not get in.
    let chained = intermediate(&house);
    assert!(alert(chained.get("/v1/certificates")).contains("UnknownCA"), "no authority but the alliance's own signs");
    // A list that is over, as on a server that nobody looks after: nobody gets in by it.
    let long_ago = hanse::clock::now() - TimeDelta::days(91);
    house.authority.revoke("4000", long_ago).expect("a list of long ago");
    let refused = poll("the list over", REFUSED_WITHIN, || harvest.get("/v1/certificates").err());
    println!("fault 7: a list that is over: {refused}");
    // And made anew, they do.
    house.authority.revoke("4000", hanse::clock::now()).expect("a list of now");
    poll("a list in force", REFUSED_WITHIN, || harvest.get("/v1/certificates").ok());
}

/// A client whose certificate an intermediate has signed, with its chain.
fn intermediate(house: &House) -> Client {
    let folder = house.folder.path();
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).expect("a file");
    let authority = KeyPair::from_pem(&read("ca.key")).expect("a key");
    let issuer = Issuer::from_ca_cert_pem(&read("ca.crt"), authority).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let middle = params.signed_by(&key, &issuer).expect("signed").pem();
    let issuer = Issuer::from_ca_cert_pem(&middle, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![uri("partner/lumen")];
    let leaf = params.signed_by(&key, &issuer).expect("signed").pem();
    let stem = folder.join("chained");
    std::fs::write(stem.with_extension("crt"), leaf + &middle).expect("written");
    std::fs::write(stem.with_extension("key"), key.serialize_pem()).expect("written");
    house.client_of(&stem)
}

#[test]
fn fault_10_two_certificates_overlap_and_the_old_one_ends_on_its_open_connection() {
    let house = House::new("fault-10");
    let mut kept = house.client("partner", "lumen").connect().expect("connected");
    assert_eq!(kept.send("GET", "/v1/certificates", None).expect("an answer").status, 200);
    let old = house.authority_facts("lumen").x5t;
    let new = house.client("partner", "lumen");
    assert_eq!(kept.send("GET", "/v1/certificates", None).expect("an answer").status, 200);
    assert_eq!(new.get("/v1/certificates").expect("an answer").status, 200);
    let aged = "UPDATE certificates SET not_before = now() - interval '91 days', not_after = now() - interval '1 day' WHERE x5t_s256 = ";
    house.database.connection().batch_execute(&format!("{aged}'{old}'")).expect("aged");
    let code = poll("the end of its life", Duration::from_secs(5), || {
        let answer = kept.send("GET", "/v1/certificates", None).expect("the connection is kept");
        (answer.status != 200).then(|| answer.code())
    });
    assert_eq!(code, "certificate_unknown");
    assert_eq!(new.get("/v1/certificates").expect("an answer").status, 200);
}

#[test]
fn while_the_register_cannot_be_read_nobody_enters_and_all_are_told_to_come_back() {
    let house = House::new("away");
    let lumen = house.client("partner", "lumen");
    let status = || lumen.get("/v1/certificates").expect("an answer");
    assert_eq!(status().status, 200);
    house.database.cut();
    let refused = poll("a 503", Duration::from_secs(10), || Some(status()).filter(|answer| answer.status != 200));
    assert_eq!((refused.status, refused.code().as_str()), (503, "unavailable"));
    assert_eq!((refused.header("retry-after"), &refused.json()["retryable"]), (Some("1"), &serde_json::json!(true)));
    // Many at once wait for one reading, not each for its own.
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(status().status, 503));
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    house.database.mend();
    poll("the return", Duration::from_secs(10), || (status().status == 200).then_some(()));
}

#[test]
fn fault_06_revocation_reaches_a_connection_that_is_kept_alive() {
    let house = House::new("fault-06");
    let mut kept = house.client("partner", "lumen").connect().expect("connected");
    assert_eq!(kept.send("GET", "/v1/certificates", None).expect("an answer").status, 200);
    let asked = revoke(&house, "lumen");
    let code = poll("the revocation", REFUSED_WITHIN, || {
        let answer = kept.send("GET", "/v1/certificates", None).expect("the connection is kept");
        (answer.status != 200).then(|| answer.code())
    });
    println!("fault 6: an open connection is refused {:?} after the revocation", asked.elapsed());
    assert!(asked.elapsed() < REFUSED_WITHIN);
    assert_eq!(code, "certificate_revoked");
}

#[test]
fn fault_11_a_key_that_does_not_fit_leaves_the_old_pair_in_force() {
    let house = House::new("fault-11");
    let lumen = house.client("partner", "lumen");
    let shown = || {
        let mut connection = lumen.connect().expect("connected");
        connection.send("GET", "/v1/certificates", None).expect("an answer");
        connection.0.conn.peer_certificates().expect("a chain")[0].to_vec()
    };
    let old = shown();
    let key = house.folder.path().join("server.key");
    let fitting = std::fs::read(&key).expect("a key");
    std::fs::write(&key, KeyPair::generate().expect("a key").serialize_pem()).expect("written");
    // A revocation at the same time is not taken up either: half a change is none. The register refuses all the same.
    std::thread::park_timeout(Duration::from_millis(1_500));
    assert_eq!(shown(), old);
    std::fs::write(&key, fitting).expect("written");
    house.authority.issue_server(hanse::clock::now()).expect("issued");
    poll("the new pair", REFUSED_WITHIN, || (shown() != old).then_some(()));
}

#[test]
fn fault_05_a_second_handshake_is_as_full_as_the_first() {
    let house = House::new("resumption");
    // One client configuration: it would resume if it had been given anything to resume with.
    let lumen = house.client("partner", "lumen");
    for _ in 0..2 {
        let mut connection = lumen.connect().expect("connected");
        for _ in 0..2 {
            assert_eq!(connection.send("GET", "/v1/certificates", None).expect("an answer").status, 200);
        }
        assert_eq!(connection.0.conn.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(connection.0.conn.tls13_tickets_received(), 0);
    }
}

#[test]
fn fault_13_early_data_is_not_taken_and_nothing_is_negotiated_anew() {
    let house = House::new("fault-13");
    house.client("partner", "lumen");
    let address = house.server.api_address().to_string();
    for version in ["-tls1", "-tls1_1", "-tls1_2"] {
        let answer = s_client(&house, &address, &[version, "-cipher", "ALL:@SECLEVEL=0"], ASK);
        assert!(!answer.contains("HTTP/1.1") && answer.contains("Cipher is (NONE)"), "{version}: {answer}");
    }
    saved_session(&house);
    let early = house.folder.path().join("early");
    std::fs::write(&early, ASK).expect("written");
    let arguments = ["-tls1_3", "-sess_in", "session.pem", "-early_data", "early"];
    let answer = s_client(&house, &address, &arguments, ASK);
    assert!(answer.contains("Early data was rejected") || answer.contains("Early data was not sent"), "{answer}");
    // `R` on a line asks for a new negotiation, which TLS 1.3 does not have.
    let answer = s_client(&house, &address, &["-tls1_3"], &format!("R\n{ASK}"));
    assert!(!answer.contains("RENEGOTIATING") || answer.contains("error"), "{answer}");
}

#[test]
fn fault_14_slow_handshakes_and_idle_sockets_are_put_out_and_others_are_served() {
    let patience = Duration::from_secs(2);
    let limits =
        Limits { workers: 1, handshake_patience: patience, drain: Duration::from_secs(1), ..Limits::default() };
    let house = House::with("fault-14", limits, |_| {});
    let lumen = house.client("partner", "lumen");
    let count = if is_long() { 10_000 } else { 200 };
    let address = house.server.api_address();
    let begun = Instant::now();
    let mut idle: Vec<TcpStream> = (0..count).map_while(|_| TcpStream::connect(address).ok()).collect();
    assert_eq!(idle.len(), count, "raise the limit of open files");
    println!("fault 14: {count} idle sockets were open after {:?}", begun.elapsed());
    // One of them begins its handshake, a byte at a time.
    idle[0].write_all(&[0x16, 0x03]).expect("written");
    let served = poll("an answer beside them", Duration::from_secs(30), || lumen.get("/v1/certificates").ok());
    assert_eq!(served.status, 200);
    println!("fault 14: answered {:?} after {count} idle sockets were opened", begun.elapsed());
    for socket in &mut idle {
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
        let mut rest = Vec::new();
        // Closed, in whatever way: nobody waits for a handshake for ever.
        if let Err(cause) = socket.read_to_end(&mut rest) {
            assert_ne!(cause.kind(), io::ErrorKind::WouldBlock, "a socket is kept");
        }
    }
    println!("fault 14: the last of them was put out after {:?}", begun.elapsed());
    assert_eq!(lumen.get("/v1/certificates").expect("an answer").status, 200);
}

#[test]
fn fault_13_tls_1_2_is_refused() {
    let house = House::new("tls12");
    let extensions = [
        [0x00, 0x0a, 0, 4, 0, 2, 0x00, 0x17].as_slice(), // supported_groups: secp256r1
        &[0x00, 0x0d, 0, 4, 0, 2, 0x04, 0x03],           // signature_algorithms: ecdsa_secp256r1_sha256
    ]
    .concat();
    let hello = [
        [0x03, 0x03].as_slice(),         // TLS 1.2, and no extension that offers more
        &[7; 32],                        // random
        &[0],                            // no session
        &[0, 4, 0xc0, 0x2b, 0xc0, 0x2f], // ECDHE with AES-128-GCM
        &[1, 0],                         // no compression
        &[0, u8::try_from(extensions.len()).expect("short")],
        &extensions,
    ]
    .concat();
    let length = u8::try_from(hello.len()).expect("short");
    let record = [[0x16, 0x03, 0x01, 0, length + 4, 0x01, 0, 0, length].as_slice(), &hello].concat();
    let mut tcp = TcpStream::connect(house.server.api_address()).expect("connected");
    tcp.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    tcp.write_all(&record).expect("written");
    let mut answer = [0; 7];
    tcp.read_exact(&mut answer).expect("an alert");
    // Alert, fatal, protocol_version (RFC 8446 §6.2).
    assert_eq!((answer[0], answer[5], answer[6]), (0x15, 2, 70), "{answer:02x?}");
}

#[test]
fn a_caller_sees_its_own_certificates_page_by_page() {
    let house = House::new("own");
    let lumen = house.client("partner", "lumen");
    house.client("partner", "harvest");
    let first = house.authority.facts(&Holder::of("partner", "lumen").expect("a slug")).expect("facts");
    // Rotation: the earlier certificate goes on working beside the new one.
    house.client("partner", "lumen");
    let page = lumen.get("/v1/certificates?limit=1").expect("an answer").json();
    let cursor = page["next_cursor"].as_str().expect("a second page");
    let rest = lumen.get(&format!("/v1/certificates?cursor={cursor}")).expect("an answer").json();
    assert!(rest["next_cursor"].is_null());
    let all = [&page, &rest].map(|page| page["items"].as_array().expect("items").clone()).concat();
    assert_eq!(all.len(), 2);
    let current: Vec<_> = all.iter().filter(|item| item["current"] == true).map(|item| &item["x5t"]).collect();
    assert_eq!(current, [first.x5t.as_str()]);
    let answer = lumen.get("/v1/certificates?limit=0").expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (422, "invalid"));
}

#[test]
fn an_authority_is_opened_with_the_trust_domain_it_was_made_for() {
    let house = House::new("opened");
    assert_eq!(Authority::open(house.folder.path()).expect("open").trust_domain(), TRUST_DOMAIN);
}
