//! Who gets in, over real TLS: handshakes that must fail, certificates that no longer count, resumption, TLS 1.2.

use crate::support::poll;
use crate::tls::{Client, House, TRUST_DOMAIN};
use diesel::connection::SimpleConnection;
use hanse::domain::holder::Holder;
use hanse::service::certificates;
use hanse::signing::pki::Authority;
use hanse::signing::x509;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

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
fn only_certificates_of_the_authority_in_their_life_and_for_clients_connect() {
    let house = House::new("handshakes");
    let lumen = house.client("partner", "lumen");
    assert_eq!(lumen.get("/v1/certificates").expect("an answer").status, 200);

    assert!(alert(house.nobody().get("/v1/certificates")).contains("CertificateRequired"));

    let other = House::new("handshakes-other");
    let stranger = other.client("partner", "lumen");
    let stranger = Client { address: lumen.address, config: trusting(&stranger, &house) };
    // Its authority has the name of ours, so the signature decides.
    let refused = alert(stranger.get("/v1/certificates"));
    assert!(refused.contains("DecryptError") || refused.contains("UnknownCA"), "{refused}");

    let hour = Duration::from_secs(3600);
    let expired = odd(&house, "expired", |params| params.not_after = (SystemTime::now() - hour / 2).into());
    assert!(alert(expired.get("/v1/certificates")).contains("CertificateExpired"));
    let early = odd(&house, "early", |params| params.not_before = (SystemTime::now() + hour / 2).into());
    let refused = alert(early.get("/v1/certificates"));
    assert!(refused.contains("BadCertificate") || refused.contains("CertificateExpired"), "{refused}");

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
fn a_certificate_must_name_exactly_one_caller_of_this_trust_domain() {
    let house = House::new("names");
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

#[test]
fn a_revoked_certificate_makes_no_new_connection_and_garbage_changes_nothing() {
    let house = House::new("revoked");
    let [lumen, harvest] = ["lumen", "harvest"].map(|name| house.client("partner", name));
    assert!(lumen.get("/v1/certificates").is_ok() && harvest.get("/v1/certificates").is_ok());
    let facts = house.authority.facts(&Holder::of("partner", "lumen").expect("a slug")).expect("facts");
    assert!(house.authority.revoke(&facts.serial, hanse::clock::now()).expect("revoked"));
    let refused = || lumen.get("/v1/certificates").err().map(|error| error.to_string());
    let refusal = poll("the list in force", Duration::from_secs(5), refused);
    assert!(refusal.contains("CertificateRevoked"), "{refusal}");
    assert!(harvest.get("/v1/certificates").is_ok());

    // The list is garbage for a while, then good and longer: the last good one was in force in between.
    let list = house.folder.path().join("ca.crl");
    let good = std::fs::read(&list).expect("a list");
    for garbage in [b"".as_slice(), b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"] {
        std::fs::write(&list, garbage).expect("written");
        assert!(refused().is_some() && harvest.get("/v1/certificates").is_ok());
    }
    std::fs::write(&list, good).expect("written");
    let facts = house.authority.facts(&Holder::of("partner", "harvest").expect("a slug")).expect("facts");
    house.authority.revoke(&facts.serial, hanse::clock::now()).expect("revoked");
    poll("the longer list", Duration::from_secs(5), || harvest.get("/v1/certificates").err());
}

#[test]
fn a_certificate_past_its_life_is_out_though_its_connection_lives() {
    let house = House::new("aged");
    let mut kept = house.client("partner", "lumen").connect().expect("connected");
    assert_eq!(kept.send("GET", "/v1/certificates", None).expect("an answer").status, 200);
    let aged = "UPDATE certificates SET not_before = now() - interval '91 days', not_after = now() - interval '1 day'";
    house.database.connection().batch_execute(aged).expect("aged");
    let code = poll("the end of its life", Duration::from_secs(5), || {
        let answer = kept.send("GET", "/v1/certificates", None).expect("the connection is kept");
        (answer.status != 200).then(|| answer.code())
    });
    assert_eq!(code, "certificate_unknown");
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
fn revocation_reaches_a_connection_that_is_kept_alive() {
    let house = House::new("kept-alive");
    let mut kept = house.client("partner", "lumen").connect().expect("connected");
    assert_eq!(kept.send("GET", "/v1/certificates", None).expect("an answer").status, 200);
    let facts = house.authority.facts(&Holder::of("partner", "lumen").expect("a slug")).expect("facts");
    assert!(certificates::revoke(&mut house.database.connection(), &facts.x5t).expect("revoked"));
    let code = poll("the revocation", Duration::from_secs(5), || {
        let answer = kept.send("GET", "/v1/certificates", None).expect("the connection is kept");
        (answer.status != 200).then(|| answer.code())
    });
    assert_eq!(code, "certificate_revoked");
}

#[test]
fn a_second_handshake_is_as_full_as_the_first() {
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
fn tls_1_2_is_refused() {
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
