//! TLS 1.3 in which the caller must show the alliance's own certificate: signed by its authority, and naming
//! `spiffe://<trust-domain>/alliance` and nothing else.

use crate::signing::x509;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// PEM, all of them.
#[derive(Clone, Debug)]
pub struct Files {
    /// The alliance's authority.
    pub ca: PathBuf,
    /// Its revocation list, where there is one.
    pub crl: Option<PathBuf>,
    /// The endpoint's own chain and key.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{file} cannot be read as PEM")]
    File { file: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("the certificate and its key do not fit together")]
    Tls(#[from] rustls::Error),
    #[error("no verifier of client certificates can be made of these files")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    #[error("{0} is not an authority of an alliance: it names no trust domain")]
    Authority(PathBuf),
}

/// The listener's configuration, and the trust domain whose alliance may call.
pub fn configure(files: &Files) -> Result<(ServerConfig, String), TlsError> {
    let unread = |file: &Path| {
        let file = file.to_owned();
        move |source| TlsError::File { file, source }
    };
    let ca = CertificateDer::from_pem_file(&files.ca).map_err(unread(&files.ca))?;
    let trust_domain = x509::trust_domain(&ca).ok_or_else(|| TlsError::Authority(files.ca.clone()))?;
    let mut roots = RootCertStore::empty();
    roots.add(ca)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    if let Some(crl) = &files.crl {
        verifier = verifier.with_crls([CertificateRevocationListDer::from_pem_file(crl).map_err(unread(crl))?]);
    }
    let chain = CertificateDer::pem_file_iter(&files.certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(unread(&files.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unread(&files.key))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier.build()?)
        .with_single_cert(chain, key)?;
    // A resumed session would enter after its certificate was revoked.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok((config, trust_domain))
}
