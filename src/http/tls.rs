//! TLS 1.3 with a client certificate of the alliance's authority, or no connection at all.
//!
//! Sessions are never resumed: a resumed session would enter after its certificate was revoked. What the files say
//! is taken up while connections run; a file that cannot be read leaves the last good state in force.

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the listener's certificates are, all PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The alliance's authority, which signs every client certificate.
    pub ca: PathBuf,
    /// Its revocation list; a listener without one does not start.
    pub crl: PathBuf,
    /// The server's own chain and key.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{file} cannot be read as PEM")]
    File { file: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{file} cannot be read")]
    Io { file: PathBuf, source: std::io::Error },
    #[error("the TLS files do not fit together")]
    Tls(#[from] Error),
    #[error("no verifier of client certificates can be made of {ca} and {crl}")]
    Verifier { ca: PathBuf, crl: PathBuf, source: rustls::server::VerifierBuilderError },
}

/// The two things that may change under a running listener, and what they were read from.
pub struct Live {
    files: TlsFiles,
    verifier: Arc<SwappingVerifier>,
    own: Arc<SwappingKey>,
    seen: [Vec<u8>; 4],
}

/// The listener's configuration, and the handle that keeps it up to date.
pub fn configure(files: TlsFiles) -> Result<(ServerConfig, Live), TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let seen = read_all(&files)?;
    let verifier = Arc::new(SwappingVerifier(ArcSwap::from_pointee(client_verifier(&files, &seen, &provider)?)));
    let own = Arc::new(SwappingKey(ArcSwap::from_pointee(certified_key(&files, &seen, &provider)?)));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::clone(&verifier) as _)
        .with_cert_resolver(Arc::clone(&own) as _);
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok((config, Live { files, verifier, own, seen }))
}

impl Live {
    /// Takes up what has changed in the files; `Ok(true)` when something did. On `Err` all stays as it was.
    pub fn refresh(&mut self) -> Result<bool, TlsError> {
        let seen = read_all(&self.files)?;
        if seen == self.seen {
            return Ok(false);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // Both before either is put in force: half a change is none.
        let verifier = client_verifier(&self.files, &seen, &provider)?;
        let own = certified_key(&self.files, &seen, &provider)?;
        self.verifier.0.store(Arc::new(verifier));
        self.own.0.store(Arc::new(own));
        self.seen = seen;
        Ok(true)
    }
}

fn read_all(files: &TlsFiles) -> Result<[Vec<u8>; 4], TlsError> {
    let read = |file: &Path| std::fs::read(file).map_err(|source| TlsError::Io { file: file.to_owned(), source });
    Ok([read(&files.ca)?, read(&files.crl)?, read(&files.certificate)?, read(&files.key)?])
}

fn client_verifier(
    files: &TlsFiles,
    [ca, crl, ..]: &[Vec<u8>; 4],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(ca) {
        roots.add(root.map_err(|source| TlsError::File { file: files.ca.clone(), source })?)?;
    }
    let crls = CertificateRevocationListDer::pem_slice_iter(crl).collect::<Result<Vec<_>, _>>();
    let crls = crls.map_err(|source| TlsError::File { file: files.crl.clone(), source })?;
    // Without a list the builder would check nothing: an empty file is refused, not obeyed.
    if crls.is_empty() {
        let source = rustls::pki_types::pem::Error::NoItemsFound;
        return Err(TlsError::File { file: files.crl.clone(), source });
    }
    // What the builder defaults to: an unknown status is refused, the whole chain is checked.
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .with_crls(crls)
        .enforce_revocation_expiration()
        .build()
        .map_err(|source| TlsError::Verifier { ca: files.ca.clone(), crl: files.crl.clone(), source })
}

fn certified_key(
    files: &TlsFiles,
    [_, _, certificate, key]: &[Vec<u8>; 4],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|source| TlsError::File { file: files.certificate.clone(), source })?;
    let key = PrivateKeyDer::from_pem_slice(key);
    let key = key.map_err(|source| TlsError::File { file: files.key.clone(), source })?;
    // Refuses a key that is not the certificate's.
    Ok(CertifiedKey::from_der(chain, key, provider)?)
}

#[derive(Debug)]
struct SwappingVerifier(ArcSwap<Arc<dyn ClientCertVerifier>>);

impl ClientCertVerifier for SwappingVerifier {
    /// No hints: a client of this listener knows which certificate it was given.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.load().verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.load().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.load().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.load().supported_verify_schemes()
    }
}

#[derive(Debug)]
struct SwappingKey(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for SwappingKey {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}
