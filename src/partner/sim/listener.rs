//! Connections: mutual TLS, then HTTP/1.1 that is kept alive.

use super::Sim;
use super::calls;
use super::tls::{self, Files, TlsError};
use crate::signing::x509;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

const CONNECTIONS_MAX: usize = 1_024;
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// After an accept that failed: files may be used up for a moment.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{listen} cannot be listened on")]
    Bind { listen: SocketAddr, source: io::Error },
}

/// A listener that runs until it is dropped.
pub struct Listener {
    pub address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Listens for the alliance.
pub async fn listen(sim: Arc<Sim>, listen: SocketAddr, files: &Files) -> Result<Listener, Error> {
    let (config, trust_domain) = tls::configure(files)?;
    let bound = TcpListener::bind(listen).await;
    let bound = bound.map_err(|source| Error::Bind { listen, source })?;
    let address = bound.local_addr().map_err(|source| Error::Bind { listen, source })?;
    let accepting = tokio::spawn(accept(sim, bound, config, trust_domain.into()));
    Ok(Listener { address, accepting })
}

async fn accept(sim: Arc<Sim>, listener: TcpListener, config: ServerConfig, trust_domain: Arc<str>) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if sim.is_away() {
            continue;
        }
        let (sim, acceptor, trust_domain) = (Arc::clone(&sim), acceptor.clone(), Arc::clone(&trust_domain));
        tokio::spawn(async move {
            if let Err(cause) = connection(sim, stream, acceptor, &trust_domain).await {
                tracing::debug!(error = %cause, "a connection to the simulated partner has ended");
            }
            drop(place);
        });
    }
}

async fn connection(sim: Arc<Sim>, stream: TcpStream, acceptor: TlsAcceptor, trust_domain: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(HANDSHAKE_PATIENCE, acceptor.accept(stream)).await??;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    if !shown.is_some_and(|certificate| x509::is_alliance(certificate, trust_domain)) {
        return Err(io::Error::other("the caller's certificate is not the alliance's"));
    }
    let service = service_fn(move |request| calls::answer(Arc::clone(&sim), request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).max_buf_size(64 << 10);
    http.serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}
