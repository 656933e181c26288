//! The alliance as a partner reaches it: its API with the partner's certificate, its public keys.

use super::Args;
use crate::cli::Error;
use crate::cli::client::Identity;
use crate::partner::sim::Sim;
use crate::partner::sim::gate::keys_of;
use reqwest::{Response, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

const PATIENCE: Duration = Duration::from_secs(60);
/// The lines of some hundred thousand conversions.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Keys change seldom; until the first are here nothing can be believed.
const KEYS_EVERY: Duration = Duration::from_secs(30);
const KEYS_AGAIN: Duration = Duration::from_millis(500);

/// A client of the partner API, which takes up a new certificate by itself.
#[derive(Clone, Debug)]
pub struct Alliance {
    identity: Identity,
    /// When the certificate's file was written, and the client that shows it.
    http: Arc<Mutex<(Option<SystemTime>, reqwest::Client)>>,
    base: String,
}

impl Alliance {
    /// `None` when no address was given.
    pub fn open(args: &Args) -> Result<Option<Alliance>, Error> {
        let Some(base) = &args.hanse else { return Ok(None) };
        let (Some(certificate), Some(key)) = (&args.client_certificate, &args.client_key) else {
            let what = "--hanse needs --client-certificate and --client-key, to call as this partner";
            return Err(Error::Usage(what.to_owned()));
        };
        let identity = Identity { ca: args.ca.clone(), certificate: certificate.clone(), key: key.clone() };
        let base = base.trim_end_matches('/').to_owned();
        let http = Arc::new(Mutex::new((written(&identity.certificate), identity.client(PATIENCE)?)));
        Ok(Some(Alliance { identity, http, base }))
    }

    fn http(&self) -> reqwest::Client {
        let mut known = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        let now = written(&self.identity.certificate);
        if known.0 != now {
            match self.identity.client(PATIENCE) {
                Ok(client) => *known = (now, client),
                // Key and certificate are two files: they fit a moment later.
                Err(cause) => tracing::warn!(error = %cause, "the new certificate cannot be taken up yet"),
            }
        }
        known.1.clone()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        let request = self.http().post(format!("{}{path}", self.base)).json(body);
        let answer = request.send().await.map_err(Error::failed)?;
        read(path, answer).await
    }
}

impl Alliance {
    /// The bytes of an answer.
    pub async fn get(&self, path: &str) -> Result<Vec<u8>, Error> {
        let answer = self.http().get(format!("{}{path}", self.base)).send().await.map_err(Error::failed)?;
        bytes(path, answer).await
    }

    pub async fn get_json(&self, path: &str) -> Result<Value, Error> {
        let told = self.get(path).await?;
        serde_json::from_slice(&told).map_err(|why| Error::Failed(format!("{path}: {why}")))
    }

    /// `None` for what is not there.
    pub async fn find(&self, path: &str) -> Result<Option<Value>, Error> {
        let answer = self.http().get(format!("{}{path}", self.base)).send().await.map_err(Error::failed)?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        read(path, answer).await.map(Some)
    }

    pub async fn post_raw(&self, path: &str, kind: &'static str, body: String) -> Result<Value, Error> {
        let request = self.http().post(format!("{}{path}", self.base)).header("content-type", kind).body(body);
        read(path, request.send().await.map_err(Error::failed)?).await
    }
}

fn written(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|facts| facts.modified()).ok()
}

/// The body of an answer that says yes.
async fn bytes(path: &str, answer: Response) -> Result<Vec<u8>, Error> {
    let (status, mut answer, mut all) = (answer.status(), answer, Vec::new());
    while let Some(piece) = answer.chunk().await.map_err(Error::failed)? {
        if all.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(Error::Failed(format!("{path}: more than {ANSWER_BYTES_MAX} bytes")));
        }
        all.extend_from_slice(&piece);
    }
    match status.is_success() {
        true => Ok(all),
        false => Err(Error::Failed(format!("{path}: {status}: {}", String::from_utf8_lossy(&all)))),
    }
}

async fn read(path: &str, answer: Response) -> Result<Value, Error> {
    let told = bytes(path, answer).await?;
    serde_json::from_slice(&told).map_err(|why| Error::Failed(format!("{path}: {why}")))
}

/// Reads the alliance's keys, again and again; those read last stay in force while they cannot be read.
pub async fn keep_keys(ca: PathBuf, from: String, sim: Arc<Sim>) {
    loop {
        let pause = match keys(Some(&ca), &from).await {
            Ok(jwks) => {
                sim.gate.set_keys(keys_of(&jwks));
                KEYS_EVERY
            }
            Err(cause) => {
                tracing::warn!(error = %cause, "the alliance's keys cannot be read");
                KEYS_AGAIN
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// The alliance's public keys as they are published; `ca` is who must have issued an `https` address's certificate.
pub async fn keys(ca: Option<&Path>, from: &str) -> Result<Value, Error> {
    let told = if from.starts_with("http://") || from.starts_with("https://") {
        let answer = anonymous(ca)?.get(from).send().await.map_err(Error::failed)?;
        bytes(from, answer).await?
    } else {
        std::fs::read(from).map_err(|why| Error::Failed(format!("{from}: {why}")))?
    };
    serde_json::from_slice(&told).map_err(|why| Error::Failed(format!("{from}: {why}")))
}

/// A client without a name, for what is public.
fn anonymous(ca: Option<&Path>) -> Result<reqwest::Client, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        let certificate = CertificateDer::from_pem_file(ca);
        let certificate = certificate.map_err(|why| Error::Usage(format!("{}: {why}", ca.display())))?;
        roots.add(certificate).map_err(Error::failed)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let tls = tls.map_err(Error::failed)?.with_root_certificates(roots).with_no_client_auth();
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(PATIENCE);
    builder.redirect(reqwest::redirect::Policy::none()).build().map_err(Error::failed)
}
