//! An authority, an alliance that signs, and a simulated partner behind mutual TLS.

use crate::support::{self, Scratch, poll};
use hanse::signing::jws::SigningKey;
use hanse::signing::webhook;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use reqwest::{Method, StatusCode};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const TRUST_DOMAIN: &str = "alliance.test";
const PATIENCE: Duration = Duration::from_secs(60);

/// Who may call, and with what.
pub struct Alliance {
    pub folder: Scratch,
}

/// A running `hanse sim`, killed when dropped.
pub struct Endpoint {
    child: Child,
    pub url: String,
    pub control: String,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub bytes: Vec<u8>,
    pub json: Value,
}

impl Reply {
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }
}

impl Alliance {
    pub fn new(name: &str) -> Alliance {
        let folder = Scratch::new(name);
        let ca_key = KeyPair::generate().expect("a key");
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        ca.subject_alt_names = vec![uri("")];
        let certificate = ca.self_signed(&ca_key).expect("an authority");
        write(folder.path(), "ca.crt", &certificate.pem());
        let issuer = Issuer::new(ca, ca_key);
        let issue = |name: &str, san: Vec<SanType>, usage| {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::default();
            params.subject_alt_names = san;
            params.extended_key_usages = vec![usage];
            let made = params.signed_by(&key, &issuer).expect("a certificate");
            write(folder.path(), &format!("{name}.crt"), &made.pem());
            write(folder.path(), &format!("{name}.key"), &key.serialize_pem());
        };
        let loopback = SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST));
        issue("server", vec![loopback], ExtendedKeyUsagePurpose::ServerAuth);
        issue("alliance", vec![uri("/alliance")], ExtendedKeyUsagePurpose::ClientAuth);
        issue("lumen", vec![uri("/partner/lumen")], ExtendedKeyUsagePurpose::ClientAuth);
        let pkcs8 = SigningKey::generate().expect("random");
        std::fs::write(folder.path().join("webhook.p8"), &pkcs8).expect("written");
        let key = SigningKey::from_pkcs8(&pkcs8).expect("a key");
        let mut jwk = key.public().to_jwk();
        jwk["purpose"] = json!("webhook");
        write(folder.path(), "jwks.json", &json!({ "keys": [jwk] }).to_string());
        Alliance { folder }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a simulated partner with 100 members of 10,000 points on this ledger.
    pub fn sim(&self, ledger: &str, more: &[&str]) -> Endpoint {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hanse"));
        let file = |name: &str| self.file(name).display().to_string();
        command.args(["--json", "sim", "--partner", "sprout", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]);
        command.args(["--certificate", &file("server.crt"), "--key", &file("server.key"), "--ca", &file("ca.crt")]);
        command.args(["--jwks", &file("jwks.json"), "--data", &file(ledger), "--members", "100", "--log", "warn"]);
        command.args(more).stdout(Stdio::piped());
        support::without_settings(&mut command);
        let mut child = command.spawn().expect("it starts");
        let mut first = String::new();
        let out = child.stdout.as_mut().expect("piped");
        BufReader::new(out).read_line(&mut first).expect("it says where it is");
        let said: Value = serde_json::from_str(&first).expect("JSON");
        let text = |name: &str| said[name].as_str().expect("an address").to_owned();
        let endpoint = Endpoint { url: text("endpoint"), control: text("control"), child };
        // Until it has read the keys it believes nobody, and says 503.
        let caller = self.caller("alliance");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        poll("the endpoint knows the keys", PATIENCE, || {
            let asked = caller.signed(&endpoint, Method::GET, "/memberships/SPR-1", &Value::Null, 0);
            runtime.block_on(asked).ok().filter(|reply| reply.status == 200 || !more.is_empty() && reply.status != 503)
        });
        endpoint
    }

    /// A client with the certificate of this name.
    pub fn caller(&self, name: &str) -> Caller {
        let tls = self.tls(Some(name));
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy();
        let http = client.timeout(Duration::from_secs(20)).build().expect("a client");
        let key = SigningKey::from_pkcs8(&std::fs::read(self.file("webhook.p8")).expect("the key")).expect("a key");
        Caller { http, key: Arc::new(key) }
    }

    pub fn tls(&self, name: Option<&str>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.file("ca.crt")).expect("PEM")).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
        let builder = builder.expect("TLS 1.3").with_root_certificates(roots);
        let Some(name) = name else { return builder.with_no_client_auth() };
        let chain = vec![CertificateDer::from_pem_file(self.file(&format!("{name}.crt"))).expect("PEM")];
        let key = PrivateKeyDer::from_pem_file(self.file(&format!("{name}.key"))).expect("PEM");
        builder.with_client_auth_cert(chain, key).expect("a certificate and its key")
    }
}

fn uri(path: &str) -> SanType {
    SanType::URI(format!("spiffe://{TRUST_DOMAIN}{path}").try_into().expect("ASCII"))
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("written");
}

impl Endpoint {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub async fn control(&self, method: Method, path: &str, body: &str) -> Value {
        let client = reqwest::Client::builder().tls_backend_preconfigured(no_tls()).no_proxy().build();
        let request = client.expect("a client").request(method, format!("{}{path}", self.control));
        let answer = request.body(body.to_owned()).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.expect("JSON")
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn no_tls() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    builder.expect("TLS 1.3").with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}

/// One certificate's caller, signing with the alliance's key.
#[derive(Clone)]
pub struct Caller {
    pub http: reqwest::Client,
    key: Arc<SigningKey>,
}

impl Caller {
    pub async fn post(&self, of: &Endpoint, path: &str, body: &Value) -> Result<Reply, reqwest::Error> {
        self.signed(of, Method::POST, path, body, 0).await
    }

    pub async fn get(&self, of: &Endpoint, path: &str) -> Result<Reply, reqwest::Error> {
        self.signed(of, Method::GET, path, &Value::Null, 0).await
    }

    /// Signed at a time that is this many seconds from now.
    pub async fn signed(
        &self,
        of: &Endpoint,
        method: Method,
        path: &str,
        body: &Value,
        off: i64,
    ) -> Result<Reply, reqwest::Error> {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let id = format!("req_{}", uuid::Uuid::new_v4().simple());
        let at = hanse::clock::now().timestamp() + off;
        let signature = webhook::signature(&id, at, &bytes, &[], &[&self.key]);
        let mut request = self.http.request(method, format!("{}{path}", of.url));
        request = request.header("webhook-id", id).header("webhook-timestamp", at);
        request = request.header("content-digest", webhook::content_digest(&bytes));
        self.send(request.header("webhook-signature", signature).body(bytes)).await
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Result<Reply, reqwest::Error> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.bytes().await?.to_vec();
        Ok(Reply { status, headers, json: serde_json::from_slice(&bytes).unwrap_or_default(), bytes })
    }
}

/// Ids and bodies of the contract.
pub fn id(prefix: &str, number: u32) -> String {
    format!("{prefix}_{number:032x}")
}

pub fn hold(number: u32, member: u32, points: i64) -> Value {
    json!({
        "hold_id": id("hld", number), "conversion_id": id("cnv", number), "member_ref": format!("SPR-{member}"),
        "points": points, "kind": "base", "expires_at": "2030-01-01T00:00:00Z",
    })
}

pub fn step(number: u32) -> Value {
    json!({ "hold_id": id("hld", number), "conversion_id": id("cnv", number) })
}

pub fn credit(number: u32, member: u32, points: i64) -> Value {
    json!({
        "credit_id": id("crd", number), "conversion_id": id("cnv", number), "member_ref": format!("SPR-{member}"),
        "kind": "base", "points": points, "lots": [{ "points": points, "expires_on": "2031-12-31", "kind": "base" }],
    })
}

pub fn void(number: u32) -> Value {
    json!({ "credit_id": id("crd", number), "conversion_id": id("cnv", number) })
}
