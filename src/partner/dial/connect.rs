//! Finding, reaching and greeting the other side: names, addresses that may be dialled, mutual TLS.

use super::{Cause, Options, OptionsError};
use crate::partner::address::{Address, Guard, Refused};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub type Stream = tokio_rustls::client::TlsStream<TcpStream>;

/// One of a name's addresses may take this long when there are others to try.
const EACH_PATIENCE: Duration = Duration::from_secs(1);
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;

type Found = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Which addresses a name has.
#[derive(Clone)]
pub struct Lookup(Arc<dyn Fn(String) -> Found + Send + Sync>);

impl Lookup {
    pub fn new(find: impl Fn(String) -> Found + Send + Sync + 'static) -> Lookup {
        Lookup(Arc::new(find))
    }

    /// As this machine resolves names.
    pub fn system() -> Lookup {
        Lookup::new(|host| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            })
        })
    }
}

/// Why a connection is not trusted, by them or by us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsReason {
    #[error("the certificate has expired")]
    Expired,
    #[error("the certificate is not yet valid")]
    NotYetValid,
    #[error("the certificate is for another name")]
    Name,
    #[error("the certificate is of an unknown authority")]
    Authority,
    #[error("the certificate is revoked")]
    Revoked,
    #[error("the revocation list is missing, not theirs or has expired")]
    Revocation,
    #[error("they do not take our certificate ({0})")]
    OurCertificate(String),
    #[error("they do not speak TLS 1.3")]
    Version,
    #[error("{0}")]
    Other(String),
}

impl TlsReason {
    pub fn code(&self) -> &'static str {
        match self {
            TlsReason::Expired => "tls_expired",
            TlsReason::NotYetValid => "tls_not_yet_valid",
            TlsReason::Name => "tls_name",
            TlsReason::Authority => "tls_authority",
            TlsReason::Revoked => "tls_revoked",
            TlsReason::Revocation => "tls_revocation",
            TlsReason::OurCertificate(_) => "tls_our_certificate",
            TlsReason::Version => "tls_version",
            TlsReason::Other(_) => "tls",
        }
    }

    fn of(error: &rustls::Error) -> TlsReason {
        use rustls::Error as Tls;
        match error {
            Tls::InvalidCertificate(cause) => TlsReason::of_certificate(cause),
            Tls::InvalidCertRevocationList(_) => TlsReason::Revocation,
            Tls::AlertReceived(alert) => match alert {
                AlertDescription::ProtocolVersion => TlsReason::Version,
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied => TlsReason::OurCertificate(format!("{alert:?}")),
                other => TlsReason::Other(format!("they say {other:?}")),
            },
            Tls::PeerIncompatible(rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13) => TlsReason::Version,
            other => TlsReason::Other(short(other)),
        }
    }

    fn of_certificate(error: &CertificateError) -> TlsReason {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsReason::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsReason::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => TlsReason::Name,
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsReason::Authority,
            CertificateError::Revoked => TlsReason::Revoked,
            CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => TlsReason::Revocation,
            other => TlsReason::Other(short(other)),
        }
    }
}

/// What a library says, cut to one line of a log.
fn short(error: &impl std::fmt::Display) -> String {
    error.to_string().chars().take(160).collect()
}

/// The TLS layer's reason, however deep it is wrapped.
pub fn tls_reason(error: &(dyn std::error::Error + 'static)) -> Option<TlsReason> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(TlsReason::of(tls));
        }
        // An I/O error shows what it wraps, and not as its source.
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inside {
            Some(inside) => Some(inside),
            None => error.source(),
        };
    }
    None
}

pub struct Connector {
    tls: TlsConnector,
    lookup: Lookup,
}

impl Connector {
    pub fn new(options: &Options) -> Result<Connector, OptionsError> {
        let tls = TlsConnector::from(Arc::new(configure(options)?));
        Ok(Connector { tls, lookup: options.lookup.clone() })
    }

    pub async fn connect(&self, address: &Address, guard: &Guard) -> Result<Stream, Cause> {
        let dialled = self.addresses(address.host(), guard).await?;
        let tcp = reach(&dialled, address.port()).await?;
        // An address is a name too, and `Guard::parse` has read the host as one or the other.
        let name = ServerName::try_from(address.host().to_owned()).map_err(|_| Cause::Address(Refused::Host))?;
        self.tls.connect(name, tcp).await.map_err(|cause| match tls_reason(&cause) {
            Some(reason) => Cause::Tls(reason),
            None => Cause::Connect(format!("no TLS greeting: {}", cause.kind())),
        })
    }

    /// The addresses of a host that may be dialled, as they are now.
    async fn addresses(&self, host: &str, guard: &Guard) -> Result<Vec<IpAddr>, Cause> {
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => (self.lookup.0)(host.to_owned()).await.map_err(|_| Cause::Name)?,
        };
        let mut refused = None;
        let mut dialled = Vec::new();
        for address in found.into_iter().take(64) {
            match guard.check(address) {
                Ok(()) => dialled.push(address),
                Err(why) => refused = Some(why),
            }
        }
        dialled.truncate(ADDRESSES_MAX);
        if dialled.is_empty() { Err(refused.map_or(Cause::Name, Cause::Address)) } else { Ok(dialled) }
    }
}

/// One address after the other.
async fn reach(addresses: &[IpAddr], port: u16) -> Result<TcpStream, Cause> {
    let mut last = Cause::Name;
    for (nth, address) in addresses.iter().enumerate() {
        let dialling = TcpStream::connect(SocketAddr::new(*address, port));
        // The last has all the time that is left to the caller.
        let alone = nth + 1 == addresses.len();
        let reached = if alone { Ok(dialling.await) } else { tokio::time::timeout(EACH_PATIENCE, dialling).await };
        match reached {
            Ok(Ok(stream)) => {
                // Calls are small and answers waited for; without it a connection is slower, not wrong.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(cause)) => last = Cause::Connect(cause.kind().to_string()),
            Err(_) => last = Cause::Connect(io::ErrorKind::TimedOut.to_string()),
        }
    }
    Err(last)
}

/// TLS 1.3 alone, with our certificate. Sessions are never resumed: a resumed one is not verified again.
fn configure(options: &Options) -> Result<ClientConfig, OptionsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(&options.ca) {
        roots.add(root.map_err(|_| OptionsError::Pem("the authority"))?)?;
    }
    let crls = options.crl.as_deref().map(|crl| CertificateRevocationListDer::pem_slice_iter(crl).collect());
    let crls: Vec<_> = crls.transpose().map_err(|_| OptionsError::Pem("the revocation list"))?.unwrap_or_default();
    // A list that was given and is empty would check nothing: it is refused, not obeyed.
    if options.crl.is_some() && crls.is_empty() {
        return Err(OptionsError::Pem("the revocation list"));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = verifier.with_crls(crls).enforce_revocation_expiration().build()?;
    let chain = CertificateDer::pem_slice_iter(&options.certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| OptionsError::Pem("our certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(&options.key).map_err(|_| OptionsError::Pem("our key"))?;
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut config = builder.with_webpki_verifier(verifier).with_client_auth_cert(chain, key)?;
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
