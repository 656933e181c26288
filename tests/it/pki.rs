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
