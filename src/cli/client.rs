//! A client of the partner API: mutual TLS with a certificate from files, nothing of the system's own.

use super::Error;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where an identity's files are.
#[derive(Clone, Debug)]
pub struct Identity {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Identity {
    /// The files of `holder` in a folder as `hanse pki` writes it.
    pub fn in_folder(folder: &Path, holder: &str) -> Identity {
        let file = |name: String| folder.join(name);
        Identity {
            ca: file("ca.crt".to_owned()),
            certificate: file(format!("{holder}.crt")),
            key: file(format!("{holder}.key")),
        }
    }

    /// TLS 1.3 with this certificate, trusting the alliance's authority alone.
    pub fn tls(&self) -> Result<ClientConfig, Error> {
        let unreadable = |file: &Path, why: &dyn std::fmt::Display| Error::Usage(format!("{}: {why}", file.display()));
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(&self.ca).map_err(|why| unreadable(&self.ca, &why))?;
        roots.add(ca).map_err(|why| unreadable(&self.ca, &why))?;
        let chain = CertificateDer::pem_file_iter(&self.certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|why| unreadable(&self.certificate, &why))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|why| unreadable(&self.key, &why))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
        let builder = builder.map_err(Error::failed)?.with_root_certificates(roots);
        builder.with_client_auth_cert(chain, key).map_err(|why| unreadable(&self.key, &why))
    }

    /// An HTTP client that keeps its connections and goes nowhere but where it is told; `patience` bounds one request.
    pub fn client(&self, patience: Duration) -> Result<reqwest::Client, Error> {
        let builder = reqwest::Client::builder().tls_backend_preconfigured(self.tls()?).no_proxy().https_only(true);
        builder.redirect(reqwest::redirect::Policy::none()).timeout(patience).build().map_err(Error::failed)
    }
}
