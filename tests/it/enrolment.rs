//! Joining by a one-time token and rotating by oneself, on real listeners: once, whatever is sent how often by whom.

use crate::support::{Scratch, poll};
use crate::tls::{Answer, Client, House};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::BigInt;
use hanse::domain::holder::Holder;
use hanse::service::issuing::{self, Issuing};
use hanse::signing::pki::List;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, SanType};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

/// What the plain listener answers to a POST.
fn post(house: &House, body: &Value) -> Answer {
    let mut tcp = TcpStream::connect(house.server.public_address()).expect("connected");
    tcp.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    let body = body.to_string();
    let head =
        "POST /v1/enrolments HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n";
    write!(tcp, "{head}content-length: {}\r\n\r\n{body}", body.len()).expect("written");
    let mut got = Vec::new();
    tcp.read_to_end(&mut got).expect("an answer");
    let end = got.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&got[..end]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head, body: got[end + 4..].to_vec() }
}

fn enrol(house: &House, token: &str, csr: &str) -> Answer {
    post(house, &json!({ "token": token, "csr": csr }))
}

fn invite(house: &House, partner: &str) -> String {
    let partner = partner.parse().expect("a slug");
    issuing::invite(&mut house.database.connection(), &partner).expect("a token").0
}

/// A key and its request, which asks for more than it gets.
fn asked() -> (KeyPair, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    let greedy = "spiffe://hanse.test/operator/root".try_into().expect("ASCII");
    params.subject_alt_names = vec![SanType::URI(greedy)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let csr = params.serialize_request(&key).expect("a request").pem().expect("PEM");
    (key, csr)
}

/// The client of an answer.
fn client(house: &House, name: &str, key: &KeyPair, answer: &Value) -> Client {
    let stem = house.folder.path().join(name);
    std::fs::write(stem.with_extension("crt"), answer["certificate"].as_str().expect("PEM")).expect("written");
    std::fs::write(stem.with_extension("key"), key.serialize_pem()).expect("written");
    house.client_of(&stem)
}

fn count(house: &House, what: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let sql = format!("SELECT count(*) AS n FROM {what}");
    sql_query(sql).get_result::<Count>(&mut house.database.connection()).expect("counted").n
}

fn execute(house: &House, sql: &str) {
    house.database.connection().batch_execute(sql).expect("executed");
}

#[test]
fn a_token_gives_one_certificate_and_the_same_answer_to_whoever_lost_it() {
    let house = House::new("enrol");
    let token = invite(&house, "lumen");
    let (key, csr) = asked();
    let answer = enrol(&house, &token, &csr);
    assert_eq!(answer.status, 201, "{answer:?}");
    let issued = answer.json();
    assert_eq!(issued["holder"], "partner/lumen");
    let lumen = client(&house, "remote", &key, &issued);
    let seen = lumen.get("/v1/certificates").expect("an answer").json();
    assert_eq!((&seen["items"][0]["x5t"], &seen["items"][0]["current"]), (&issued["x5t"], &json!(true)));
    assert_eq!(seen["items"][0]["not_after"], issued["not_after"]);
    let ca = std::fs::read_to_string(house.folder.path().join("ca.crt")).expect("the authority");
    assert_eq!(issued["ca"], ca.as_str());

    // The answer was lost: the same request again, or another one by the same key.
    assert_eq!(enrol(&house, &token, &csr).json(), issued);
    let again = CertificateParams::default().serialize_request(&key).expect("a request").pem().expect("PEM");
    assert_eq!(enrol(&house, &token, &again).json(), issued);
    assert_eq!(count(&house, "certificates"), 1);
    // What is kept is the hash.
    assert_eq!(count(&house, &format!("enrolments WHERE enrolments::text LIKE '%{token}%'")), 0);
}

#[test]
fn a_wrong_a_used_and_an_expired_token_are_answered_alike() {
    let house = House::new("enrol-no");
    let [used, replaced] = ["lumen", "harvest"].map(|partner| invite(&house, partner));
    let (key, csr) = asked();
    assert_eq!(enrol(&house, &used, &csr).status, 201);
    let expired = invite(&house, "harvest");
    execute(
        &house,
        "UPDATE enrolments SET created_at = now() - interval '2 hours', expires_at = now() WHERE used_at IS NULL",
    );
    let revoked = invite(&house, "kettle");
    let (gone, gone_csr) = asked();
    assert_eq!(enrol(&house, &revoked, &gone_csr).status, 201);
    execute(&house, "UPDATE certificates SET status = 'revoked', revoked_at = now() WHERE holder_name = 'kettle'");
    let (_, other) = asked();
    let wrong = "A".repeat(43);
    for (why, token, csr) in [
        ("wrong", wrong.as_str(), &other),
        ("no token at all", "x", &other),
        ("used, another key", used.as_str(), &other),
        ("used, no request", used.as_str(), &"x".to_owned()),
        ("expired", expired.as_str(), &other),
        ("expired, no request", expired.as_str(), &"x".to_owned()),
        ("another took its place", replaced.as_str(), &other),
        ("its certificate is revoked", revoked.as_str(), &gone_csr),
    ] {
        let answer = enrol(&house, token, csr);
        assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{why}: {answer:?}");
        assert_eq!(answer.json()["detail"], "The token is wrong, used or expired.", "{why}");
    }
    drop((key, gone));
    assert_eq!(count(&house, "certificates"), 2);
}

#[test]
fn a_request_that_is_none_spends_no_token() {
    let house = House::new("enrol-bad");
    let token = invite(&house, "lumen");
    let (key, csr) = asked();
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let ed25519 = CertificateParams::default().serialize_request(&ed25519).expect("a request").pem().expect("PEM");
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
    let p384 = CertificateParams::default().serialize_request(&p384).expect("a request").pem().expect("PEM");
    let middle = csr.len() / 2;
    let other = if &csr[middle..=middle] == "A" { "B" } else { "A" };
    let forged = format!("{}{other}{}", &csr[..middle], &csr[middle + 1..]);
    let certificate = std::fs::read_to_string(house.folder.path().join("ca.crt")).expect("a file");
    for bad in [&ed25519, &p384, &forged, &certificate, &"garbage".to_owned()] {
        let answer = enrol(&house, &token, bad);
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid"), "{bad}");
        assert_eq!(answer.json()["errors"][0]["pointer"], "/csr");
    }
    let unknown = post(&house, &json!({ "token": token, "csr": csr, "holder": "operator/root" }));
    assert_eq!((unknown.status, unknown.code().as_str()), (422, "invalid"));
    let answer = enrol(&house, &token, &csr);
    assert_eq!(answer.status, 201);
    client(&house, "remote", &key, &answer.json()).get("/v1/certificates").expect("it connects");
}

#[test]
fn of_many_who_use_a_token_at_once_one_gets_a_certificate() {
    let house = House::new("enrol-race");
    let token = invite(&house, "lumen");
    let requests: Vec<_> = (0..12).map(|_| asked()).collect();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let (house, token) = (&house, &token);
        let running: Vec<_> =
            requests.iter().map(|(_, csr)| scope.spawn(move || enrol(house, token, csr).status)).collect();
        running.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    assert_eq!(answers.iter().filter(|status| **status == 201).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 403).count(), 11, "{answers:?}");
    assert_eq!(count(&house, "certificates"), 1);

    // One who asks many times at once gets the same answer every time.
    let (token, (_, csr)) = (invite(&house, "harvest"), asked());
    let answers: Vec<_> = std::thread::scope(|scope| {
        let (house, token, csr) = (&house, &token, &csr);
        let running: Vec<_> = (0..12).map(|_| scope.spawn(move || enrol(house, token, csr).json())).collect();
        running.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer["x5t"].is_string()), "{answers:?}");
    assert_eq!(count(&house, "certificates WHERE holder_name = 'harvest'"), 1);
}

#[test]
fn what_fails_half_way_leaves_the_token_as_it_was() {
    let house = House::new("enrol-crash");
    let token = invite(&house, "lumen");
    let (key, csr) = asked();
    // The last statement of the transaction fails: signed, registered, and all of it undone.
    execute(
        &house,
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$; \
         CREATE TRIGGER no BEFORE UPDATE ON enrolments FOR EACH ROW EXECUTE FUNCTION no();",
    );
    assert_eq!(enrol(&house, &token, &csr).status, 500);
    assert_eq!(count(&house, "certificates"), 0);
    execute(&house, "DROP TRIGGER no ON enrolments");
    // The connection is lost before the commit.
    execute(
        &house,
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); \
         RETURN NEW; END $$; CREATE TRIGGER die BEFORE UPDATE ON enrolments FOR EACH ROW EXECUTE FUNCTION die();",
    );
    let lost = enrol(&house, &token, &csr);
    assert_eq!((lost.status, lost.code().as_str()), (503, "unavailable"), "{lost:?}");
    assert_eq!(count(&house, "certificates"), 0);
    execute(&house, "DROP TRIGGER die ON enrolments");
    let answer = enrol(&house, &token, &csr);
    assert_eq!(answer.status, 201, "{answer:?}");
    client(&house, "remote", &key, &answer.json()).get("/v1/certificates").expect("it connects");
}

#[test]
fn attempts_are_counted_by_address() {
    let house = House::new("enrol-rate");
    let (_, csr) = asked();
    let answers: Vec<_> = (0..40).map(|_| enrol(&house, "wrong", &csr)).collect();
    assert!(answers[..30].iter().all(|answer| answer.status == 403));
    let last = &answers[39];
    assert_eq!((last.status, last.code().as_str()), (429, "rate_limited"));
    assert!(last.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok()));
    let health = TcpStream::connect(house.server.public_address()).expect("others are served");
    drop(health);
}

#[test]
fn without_the_authoritys_key_nothing_is_issued_and_revoking_works_all_the_same() {
    let house = House::new("enrol-elsewhere");
    let lumen = house.client("partner", "lumen");
    let mut kept = lumen.connect().expect("connected");
    let second = asked();
    let answer = kept.send("POST", "/v1/certificates", Some(json!({ "csr": second.1 }).to_string().as_bytes()));
    let second_client = client(&house, "second", &second.0, &answer.expect("an answer").json());
    let key = house.folder.path().join("ca.key");
    let away = house.folder.path().join("ca.key.away");
    std::fs::rename(&key, &away).expect("moved");

    let (token, (_, csr)) = (invite(&house, "harvest"), asked());
    let answer = enrol(&house, &token, &csr);
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains("hanse pki issue")), "{answer:?}");
    let answer =
        second_client.post("/v1/certificates", json!({ "csr": csr }).to_string().as_bytes()).expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));

    // The first one is ended with the second: out by the register, and on no list yet.
    let first = house.authority_facts("lumen");
    let mut second = second_client.connect().expect("connected");
    let answer = second.send("DELETE", &format!("/v1/certificates/{}", first.x5t), None).expect("an answer");
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("revoked")), "{answer:?}");
    poll("the register", Duration::from_secs(5), || {
        let answer = lumen.get("/v1/certificates").expect("the handshake succeeds");
        (answer.status == 401).then(|| assert_eq!(answer.code(), "certificate_revoked"))
    });
    let now = hanse::clock::now();
    let state = issuing::sync(&mut house.database.connection(), house.folder.path(), now).expect("looked at");
    assert_eq!((state.missing, state.renewed), (1, false));
    // Where the key is, the list is brought up to the register.
    std::fs::rename(&away, &key).expect("back");
    let state = issuing::sync(&mut house.database.connection(), house.folder.path(), now).expect("made");
    assert_eq!((state.missing, state.renewed), (0, true));
    assert!(List::read(house.folder.path()).expect("a list").serials.contains(&first.serial));
    poll("the list in force", Duration::from_secs(5), || lumen.get("/v1/certificates").err());
    assert_eq!(enrol(&house, &token, &csr).status, 201, "the token was not spent");
}

#[test]
fn a_holder_rotates_by_itself_with_an_overlap_of_two() {
    let house = House::new("rotate");
    let old = house.client("partner", "lumen");
    let facts = house.authority_facts("lumen");
    let (key, csr) = asked();
    let body = json!({ "csr": csr }).to_string();
    let answer = old.post("/v1/certificates", body.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 201, "{answer:?}");
    let issued = answer.json();
    assert_eq!(issued["holder"], "partner/lumen");
    // Asked again, by either certificate, it is the same one.
    let new = client(&house, "rotated", &key, &issued);
    for client in [&old, &new] {
        assert_eq!(client.post("/v1/certificates", body.as_bytes()).expect("an answer").json(), issued);
        assert_eq!(client.get("/v1/certificates").expect("an answer").status, 200);
    }
    let third = json!({ "csr": asked().1 }).to_string();
    let answer = old.post("/v1/certificates", third.as_bytes()).expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"));

    // Not another's; not what is none; its own old one, twice with the same answer.
    let place = |x5t: &str| format!("/v1/certificates/{x5t}");
    let delete = |client: &Client, x5t: &str| {
        client.connect().and_then(|mut tls| tls.send("DELETE", &place(x5t), None)).expect("an answer")
    };
    let harvest = house.client("partner", "harvest");
    assert_eq!(delete(&harvest, &facts.x5t).code(), "not_found");
    assert_eq!(delete(&new, "x").code(), "not_found");
    let ended = delete(&new, &facts.x5t);
    assert_eq!(
        (ended.status, &ended.json()["status"], &ended.json()["current"]),
        (200, &json!("revoked"), &json!(false))
    );
    assert_eq!(delete(&new, &facts.x5t).json(), ended.json());
    poll("the old one out", Duration::from_secs(5), || old.get("/v1/certificates").err());
    assert!(List::read(house.folder.path()).expect("a list").serials.contains(&facts.serial));
    // The last one stays, or nobody could ask for the next; with the next there it goes.
    let last = delete(&new, issued["x5t"].as_str().expect("text"));
    assert_eq!((last.status, last.code().as_str()), (403, "forbidden"));
    let answer = new.post("/v1/certificates", third.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 201, "{answer:?}");
    let ended = delete(&new, issued["x5t"].as_str().expect("text"));
    assert_eq!((ended.status, &ended.json()["current"]), (200, &json!(true)));
}

/// The gate lets a caller in by what it read up to two seconds ago: the issuer looks again, in its turn.
#[test]
fn who_was_revoked_a_moment_ago_gets_no_successor_and_no_token_outlives_it() {
    let house = House::new("rotate-revoked");
    house.client("partner", "lumen");
    let holder = Holder::of("partner", "lumen").expect("a holder");
    let x5t = house.authority_facts("lumen").x5t;
    let database = hanse::store::connect(&house.database.url).expect("a pool");
    let issuing = Issuing { database, pki: house.folder.path().to_path_buf() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let rotate = |csr: &str| runtime.block_on(issuing.rotate(holder.clone(), x5t.clone(), csr.to_owned()));
    let (token, other) = (invite(&house, "lumen"), invite(&house, "harvest"));
    let mut conn = house.database.connection();
    let revoked = issuing::revoke_all(&mut conn, house.folder.path(), &holder).expect("revoked");
    assert_eq!(revoked, 1);
    let refused = rotate(&asked().1).expect_err("it was revoked");
    assert!(matches!(refused, issuing::Error::Revoked), "{refused}");
    let answer = enrol(&house, &token, &asked().1);
    assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{answer:?}");
    assert_eq!(count(&house, "certificates WHERE status = 'active'"), 0);
    assert_eq!(enrol(&house, &other, &asked().1).status, 201, "another's token stays");
    // Only what the operator makes afterwards lets it in again.
    assert_eq!(enrol(&house, &invite(&house, "lumen"), &asked().1).status, 201);
}

#[test]
fn many_rotations_at_once_make_two_and_two_that_end_each_other_leave_one() {
    let house = House::new("rotate-race");
    let first = house.client("partner", "lumen");
    let requests: Vec<_> = (0..8).map(|_| asked()).collect();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let first = &first;
        let ask = |csr: &str| json!({ "csr": csr }).to_string();
        let running: Vec<_> = requests
            .iter()
            .map(|(_, csr)| {
                scope.spawn(move || first.post("/v1/certificates", ask(csr).as_bytes()).expect("an answer"))
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    let issued: Vec<_> = answers.iter().enumerate().filter(|(_, answer)| answer.status == 201).collect();
    assert_eq!(issued.len(), 1, "{answers:?}");
    let (nth, answer) = issued[0];
    let second = client(&house, "second", &requests[nth].0, &answer.json());

    let [a, b] = [house.authority_facts("lumen").x5t, answer.json()["x5t"].as_str().expect("text").to_owned()];
    let end = |client: &Client, x5t: &str| {
        let mut tls = client.connect().expect("connected");
        tls.send("DELETE", &format!("/v1/certificates/{x5t}"), None).expect("an answer").status
    };
    let statuses = std::thread::scope(|scope| {
        let one = scope.spawn(|| end(&first, &b));
        let other = scope.spawn(|| end(&second, &a));
        [one.join().expect("an answer"), other.join().expect("an answer")]
    });
    assert!(statuses.contains(&200) && statuses.contains(&401), "{statuses:?}");
    assert_eq!(count(&house, "certificates WHERE status = 'active'"), 1);
}

#[test]
fn the_lines_that_enrol_prints_are_all_a_partner_needs() {
    let house = House::new("enrol-lines");
    let url = format!("http://{}", house.server.public_address());
    let mut command = Command::new(env!("CARGO_BIN_EXE_hanse"));
    command.args(["pki", "enrol", "sprout", "--json", "--url", &url, "--pki-dir"]).arg(house.folder.path());
    let output = command.env("DATABASE_URL", &house.database.url).env_remove("RUST_LOG").output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let there = Scratch::new("enrol-lines-partner");
    let run = |line: &Value| {
        let output =
            Command::new("sh").arg("-c").arg(line.as_str().expect("a line")).current_dir(there.path()).output();
        let output = output.expect("a shell");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    run(&told["key"]);
    let issued: Value = serde_json::from_slice(&run(&told["ask"])).expect("JSON");
    assert_eq!(issued["holder"], "partner/sprout");
    std::fs::write(there.path().join("sprout.crt"), issued["certificate"].as_str().expect("PEM")).expect("written");
    let sprout = house.client_of(&there.path().join("sprout"));
    assert_eq!(sprout.get("/v1/certificates").expect("an answer").json()["items"][0]["x5t"], issued["x5t"]);
}
