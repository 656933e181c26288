//! The owner's side of a simulated partner: its control port, on this machine alone, and the key that it signs with.

use crate::cli::Error;
use crate::domain::holder::Holder;
use crate::domain::ids::Slug;
use crate::service::signing_keys;
use crate::signing::jws::SigningKey;
use reqwest::Method;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// The control port of one simulated partner.
#[derive(Clone, Debug)]
pub struct Control {
    http: reqwest::Client,
    base: String,
    key: PathBuf,
}

impl Control {
    /// `base` is `http://…`, as the partner says it; `key` the file of its signing key.
    pub fn at(base: &str, key: PathBuf) -> Result<Control, Error> {
        // Plain HTTP; the client wants to know how it would speak TLS all the same.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
        let tls = tls.map_err(Error::failed)?.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(PATIENCE);
        let http = http.redirect(reqwest::redirect::Policy::none()).build().map_err(Error::failed)?;
        Ok(Control { http, base: base.trim_end_matches('/').to_owned(), key })
    }

    /// Where it is, for people.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The partner's own key: it signs every answer.
    pub fn key(&self) -> Result<SigningKey, Error> {
        let unread = |why: &dyn std::fmt::Display| Error::Failed(format!("{}: {why}", self.key.display()));
        let bytes = std::fs::read(&self.key).map_err(|why| unread(&why))?;
        SigningKey::from_pkcs8(&bytes).map_err(|why| unread(&why))
    }

    /// Its figures, and which calls and faults it has met.
    pub async fn totals(&self) -> Result<Value, Error> {
        self.ask(Method::GET, "/totals", "").await
    }

    /// Every member, hold and credit.
    pub async fn ledger(&self) -> Result<Value, Error> {
        self.ask(Method::GET, "/ledger", "").await
    }

    /// A member with its first points.
    pub async fn seed(&self, member_ref: &str, points: i64) -> Result<(), Error> {
        self.ask(Method::POST, &format!("/seed/{member_ref}/{points}"), "").await.map(drop)
    }

    /// Points for a member that is there: a purchase at the brand.
    pub async fn earn(&self, member_ref: &str, points: i64) -> Result<(), Error> {
        self.ask(Method::POST, &format!("/earn/{member_ref}/{points}"), "").await.map(drop)
    }

    /// What goes wrong from now on.
    pub async fn faults(&self, spec: &str) -> Result<(), Error> {
        self.ask(Method::PUT, "/faults", spec).await.map(drop)
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> Result<Value, Error> {
        let url = format!("{}{path}", self.base);
        let answer = self.http.request(method, &url).body(body.to_owned()).send().await.map_err(Error::failed)?;
        let (status, said) = (answer.status(), answer.text().await.map_err(Error::failed)?);
        if !status.is_success() {
            return Err(Error::Failed(format!("{url}: {status}: {said}")));
        }
        serde_json::from_str(&said).map_err(|why| Error::Failed(format!("{url}: {why}")))
    }
}

/// What registers a key at the alliance; the same again changes nothing.
pub fn registration(partner: &Slug, key: &SigningKey) -> Value {
    let proof = signing_keys::proof_payload(&Holder::Partner(partner.clone()), key.kid());
    json!({ "jwk": key.public().to_jwk(), "proof": key.sign("key-proof+jws", &proof) })
}
