//! Receivers of webhooks on a thread of their own: TLS 1.3 with the server's certificate, whoever calls shows one of the
//! alliance, every request is answered 204 and counted.

use crate::cli::Error;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Bytes of a request: an event is at most some 20 KB.
const REQUEST_MAX: usize = 128 * 1024;
const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

pub struct Receivers {
    address: SocketAddr,
    count: Arc<AtomicU64>,
}

impl Receivers {
    /// They end with the process.
    pub fn start(pki: &Path) -> Result<Receivers, Error> {
        let acceptor = TlsAcceptor::from(Arc::new(tls(pki)?));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(Error::failed)?;
        listener.set_nonblocking(true).map_err(Error::failed)?;
        let address = listener.local_addr().map_err(Error::failed)?;
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::failed)?;
        let serve = move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                while let Ok((tcp, _)) = listener.accept().await {
                    let (acceptor, count) = (acceptor.clone(), Arc::clone(&counted));
                    // What ends a connection is told by what does not come.
                    tokio::spawn(async move { take(tcp, &acceptor, &count).await.unwrap_or_default() });
                }
            });
        };
        std::thread::Builder::new().name("receivers".to_owned()).spawn(serve).map_err(Error::failed)?;
        Ok(Receivers { address, count })
    }

    pub fn url(&self, nth: u64) -> String {
        format!("https://127.0.0.1:{}/{nth}", self.address.port())
    }

    /// Requests answered so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

async fn take(tcp: TcpStream, acceptor: &TlsAcceptor, count: &AtomicU64) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut stream = acceptor.accept(tcp).await?;
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        while let Some(length) = whole(&buffer) {
            buffer.drain(..length);
            count.fetch_add(1, Ordering::Relaxed);
            stream.write_all(ANSWER).await?;
            stream.flush().await?;
        }
        if buffer.len() > REQUEST_MAX || stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// How long the first request is, once all of it is there.
fn whole(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?;
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let all = head.checked_add(length.unwrap_or(0))?;
    (buffer.len() >= all).then_some(all)
}

fn tls(pki: &Path) -> Result<ServerConfig, Error> {
    let unread = |file: &str| {
        let file = pki.join(file).display().to_string();
        move |cause: rustls::pki_types::pem::Error| Error::Failed(format!("{file}: {cause}"))
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(pki.join("ca.crt")).map_err(unread("ca.crt"))?;
    roots.add(ca).map_err(Error::failed)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let chain = CertificateDer::pem_file_iter(pki.join("server.crt")).and_then(Iterator::collect);
    let key = PrivateKeyDer::from_pem_file(pki.join("server.key")).map_err(unread("server.key"))?;
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.map_err(Error::failed)?.with_client_cert_verifier(verifier.map_err(Error::failed)?);
    builder.with_single_cert(chain.map_err(unread("server.crt"))?, key).map_err(Error::failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_with_its_body() {
        let text = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}POST";
        assert_eq!(whole(text), Some(text.len() - 4));
        assert_eq!((whole(&text[..text.len() - 5]), whole(b"POST / HTTP/1.1\r\n")), (None, None));
        assert_eq!(whole(b"GET / HTTP/1.1\r\n\r\n"), Some(18));
    }
}
