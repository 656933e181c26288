//! `hanse pki` as it is typed, and what a running server makes of it.

use crate::support::poll;
use crate::tls::House;
use std::process::Command;
use std::time::Duration;

/// Runs `hanse pki …` on the house's folder and database; returns what it told as JSON.
fn pki(house: &House, arguments: &[&str]) -> Result<serde_json::Value, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hanse"));
    command.arg("pki").args(arguments).arg("--json").arg("--pki-dir").arg(house.folder.path());
    let output = command.env("DATABASE_URL", &house.database.url).env_remove("RUST_LOG").output().expect("it runs");
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        return Err(told(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
}

#[test]
fn what_is_issued_gets_in_and_what_is_revoked_is_out() {
    let house = House::new("pki");
    assert!(pki(&house, &["init", "--trust-domain", "hanse.test"]).expect_err("there is one").contains("already"));
    let issued = pki(&house, &["issue", "lumen"]).expect("issued");
    assert_eq!(issued["holder"], "partner/lumen");
    let operator = pki(&house, &["issue", "operator/ada"]).expect("issued");
    assert_eq!(operator["holder"], "operator/ada");
    let [lumen, ada] = ["lumen", "ada"].map(|name| house.client_of(&house.folder.path().join(name)));
    let mut kept = lumen.connect().expect("connected");
    assert_eq!(kept.send("GET", "/v1/certificates", None).expect("an answer").status, 200);
    assert_eq!(ada.get("/v1/certificates").expect("an answer").status, 200);

    let revoked = pki(&house, &["revoke", "lumen"]).expect("revoked");
    assert_eq!((&revoked["serial"], &revoked["registered"]), (&issued["serial"], &serde_json::json!(true)));
    let code = poll("the connection put out", Duration::from_secs(5), || {
        let answer = kept.send("GET", "/v1/certificates", None).expect("the connection is kept");
        (answer.status != 200).then(|| answer.code())
    });
    assert_eq!(code, "certificate_revoked");
    poll("the list in force", Duration::from_secs(5), || lumen.get("/v1/certificates").err());
    assert_eq!(
        pki(&house, &["revoke", "--serial", issued["serial"].as_str().expect("text")]).expect("again")["new"],
        false
    );
    assert!(pki(&house, &["issue", "No Slug"]).is_err());
    assert!(pki(&house, &["revoke", "kettle"]).is_err());
}

#[test]
fn a_holder_who_keeps_the_key_sends_a_request() {
    let house = House::new("csr");
    let key = rcgen::KeyPair::generate().expect("a key");
    let csr = rcgen::CertificateParams::default().serialize_request(&key).expect("a request").pem().expect("PEM");
    let stem = house.folder.path().join("remote");
    std::fs::write(stem.with_extension("csr"), csr).expect("written");
    let file = stem.with_extension("csr");
    let issued = pki(&house, &["issue", "sprout", "--csr", file.to_str().expect("text")]).expect("issued");
    std::fs::write(stem.with_extension("crt"), issued["certificate"].as_str().expect("PEM")).expect("written");
    std::fs::write(stem.with_extension("key"), key.serialize_pem()).expect("written");
    let answer = house.client_of(&stem).get("/v1/certificates").expect("an answer").json();
    assert_eq!(answer["items"][0]["x5t"], issued["x5t"]);
    assert!(!house.folder.path().join("sprout.key").exists());
}

#[test]
fn a_renewed_server_certificate_is_taken_up_by_the_running_server() {
    let house = House::new("renewal");
    let lumen = house.client("partner", "lumen");
    let shown = || {
        let mut connection = lumen.connect().expect("connected");
        connection.send("GET", "/v1/certificates", None).expect("an answer");
        connection.0.conn.peer_certificates().expect("a chain")[0].to_vec()
    };
    let old = shown();
    pki(&house, &["issue", "server"]).expect("issued");
    poll("the new certificate", Duration::from_secs(5), || (shown() != old).then_some(()));
}

#[test]
fn every_certificate_of_a_holder_is_revoked_at_once_without_the_authoritys_key_too() {
    let house = House::new("pki-all");
    let clients = [(); 2].map(|()| {
        pki(&house, &["issue", "lumen"]).expect("issued");
        house.client_of(&house.folder.path().join("lumen"))
    });
    let harvest = house.client("partner", "harvest");
    let away = house.folder.path().join("away");
    std::fs::rename(house.folder.path().join("ca.key"), &away).expect("moved");
    assert_eq!(pki(&house, &["revoke", "lumen", "--all"]).expect("revoked")["revoked"], 2);
    for client in &clients {
        poll("the register", Duration::from_secs(5), || {
            let answer = client.get("/v1/certificates").expect("the handshake succeeds");
            (answer.status == 401).then(|| assert_eq!(answer.code(), "certificate_revoked"))
        });
    }
    let serial = house.database_serial("harvest");
    let revoked = pki(&house, &["revoke", "--serial", &serial]).expect("revoked");
    assert_eq!((&revoked["new"], &revoked["registered"]), (&serde_json::json!(true), &serde_json::json!(true)));
    poll("the register", Duration::from_secs(5), || {
        (harvest.get("/v1/certificates").expect("an answer").status == 401).then_some(())
    });
    std::fs::rename(&away, house.folder.path().join("ca.key")).expect("back");
    assert_eq!(pki(&house, &["crl"]).expect("made")["revoked"], 3);
    assert_eq!(pki(&house, &["revoke", "lumen", "--all"]).expect("nothing left")["revoked"], 0);
    for client in clients.iter().chain([&harvest]) {
        poll("the list in force", Duration::from_secs(5), || client.get("/v1/certificates").err());
    }
}

#[test]
fn what_the_alliance_shows_to_partners_is_its_own_or_signed_by_theirs() {
    let house = House::new("pki-outbound");
    let own = pki(&house, &["outbound", "sprout"]).expect("made");
    assert!(own["certificate"].as_str().is_some_and(|file| file.ends_with("outbound.crt")), "{own}");
    pki(&house, &["issue", "outbound"]).expect("renewed");
    assert_ne!(pki(&house, &["outbound", "sprout"]).expect("seen")["fingerprint"], own["fingerprint"]);

    // Their authority signs what we ask for.
    let theirs = crate::support::Scratch::new("pki-outbound-theirs");
    let sh = |line: &str| {
        let output = Command::new("sh").args(["-ec", line]).current_dir(theirs.path()).output().expect("a shell");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    };
    sh(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=Sprout -keyout ca.key -out ca.crt -days 30",
    );
    let asked = pki(&house, &["outbound", "sprout", "--csr"]).expect("a request");
    std::fs::write(theirs.path().join("hanse.csr"), asked["csr"].as_str().expect("PEM")).expect("written");
    std::fs::write(theirs.path().join("use"), "extendedKeyUsage = clientAuth\n").expect("written");
    sh("openssl x509 -req -in hanse.csr -CA ca.crt -CAkey ca.key -days 30 -extfile use -out hanse.crt");
    sh(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=other -keyout o.key -out other.crt -days 30",
    );
    let file = |name: &str| theirs.path().join(name).to_str().expect("text").to_owned();
    let refused = pki(&house, &["outbound", "sprout", "--certificate", &file("other.crt")]).expect_err("another key");
    assert!(refused.contains("another key"), "{refused}");
    pki(&house, &["outbound", "sprout", "--certificate", &file("hanse.crt")]).expect("installed");
    assert_eq!(pki(&house, &["trust", "sprout", "--ca", &file("ca.crt")]).expect("trusted")["authorities"], 1);
    assert!(pki(&house, &["trust", "sprout", "--ca", &file("hanse.crt")]).is_err());
    let seen = pki(&house, &["outbound", "sprout"]).expect("seen");
    for (name, end) in
        [("certificate", "outbound/sprout.crt"), ("key", "outbound/sprout.key"), ("ca", "outbound/sprout.trust.pem")]
    {
        assert!(seen[name].as_str().is_some_and(|file| file.ends_with(end)), "{seen}");
    }
    assert!(seen["crl"].is_null(), "{seen}");
}
