//! One client: a kept-alive connection with a partner's certificate, and requests sent until they are answered.
//!
//! The connection is driven by the task that waits for the answer, so that a request wakes one task and no queue
//! stands between them: the generator shares its processors with what it measures.

use super::answer;
use super::tally::Tally;
use crate::cli::Error;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long one try may take: longer than any server takes to say that it does not know.
const TRY_PATIENCE: Duration = Duration::from_secs(30);
/// Pauses after a broken connection, doubled from the first to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_LAST: Duration = Duration::from_secs(1);

/// A server's address.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    name: ServerName<'static>,
    host: HeaderValue,
}

/// Makes the clients of each partner, all of one set of targets.
pub struct Clients {
    targets: Vec<Target>,
    pki: PathBuf,
    configs: RefCell<HashMap<&'static str, Arc<ClientConfig>>>,
}

/// One connection's worth of requests; it connects again when it must.
pub struct Client {
    target: Target,
    config: Arc<ClientConfig>,
    connection: Option<Connection>,
    tally: Rc<RefCell<Tally>>,
}

/// What is asked, as often as needed.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: Method,
    pub uri: Uri,
    pub key: Option<HeaderValue>,
    pub body: Bytes,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub replayed: bool,
    retry_after: Option<u64>,
    pub body: Bytes,
    /// How often it was asked; what is asked twice may rightly be answered with a replay.
    pub tries: u32,
}

impl Target {
    /// Of `https://host:port` (or http).
    pub fn parse(url: &str) -> Result<Target, Error> {
        let wrong = |why: &str| Error::Usage(format!("'{url}' is no address of a server: {why}"));
        let uri: Uri = url.parse().map_err(|_| wrong("write https://host:port"))?;
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(443);
        let address = (host.as_str(), port).to_socket_addrs().ok().and_then(|mut all| all.next());
        Ok(Target {
            address: address.ok_or_else(|| wrong("the host is not known"))?,
            name: ServerName::try_from(host).map_err(|_| wrong("no certificate could name this host"))?,
            host: HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("the host is no header"))?,
        })
    }

    /// Reads one page without TLS.
    pub async fn get(&self, path: &'static str) -> io::Result<Bytes> {
        let stream = TcpStream::connect(self.address).await?;
        let mut connection = Connection::open(stream).await?;
        let request = Request::get(path).header(HOST, self.host.clone()).body(Full::default());
        let (response, body) = connection.exchange(request.map_err(io::Error::other)?).await?;
        if response.status().is_success() { Ok(body) } else { Err(io::Error::other(response.status().to_string())) }
    }
}

impl Clients {
    pub fn new(urls: &[String], pki: &Path) -> Result<Clients, Error> {
        let targets = urls.iter().map(|url| Target::parse(url)).collect::<Result<Vec<_>, _>>()?;
        Ok(Clients { targets, pki: pki.to_owned(), configs: RefCell::default() })
    }

    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The `index`th client, of `partner`; targets are taken in turn.
    pub fn client(&self, partner: &'static str, index: usize, tally: &Rc<RefCell<Tally>>) -> Result<Client, Error> {
        let mut configs = self.configs.borrow_mut();
        let config = match configs.get(partner) {
            Some(config) => Arc::clone(config),
            None => Arc::clone(configs.entry(partner).or_insert(Arc::new(tls(&self.pki, partner)?))),
        };
        let target = self.targets[index % self.targets.len()].clone();
        Ok(Client { target, config, connection: None, tally: Rc::clone(tally) })
    }
}

/// TLS 1.3 with the partner's certificate, trusting the alliance's authority alone.
fn tls(pki: &Path, partner: &str) -> Result<ClientConfig, Error> {
    let file = |name: &str| pki.join(name);
    let unread = |file: PathBuf| {
        move |cause: rustls::pki_types::pem::Error| Error::Failed(format!("{}: {cause}", file.display()))
    };
    let (ca, crt, key) = (file("ca.crt"), file(&format!("{partner}.crt")), file(&format!("{partner}.key")));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&ca).map_err(unread(ca))?).map_err(Error::failed)?;
    let chain = CertificateDer::pem_file_iter(&crt).and_then(Iterator::collect).map_err(unread(crt))?;
    let key = PrivateKeyDer::from_pem_file(&key).map_err(unread(key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.map_err(Error::failed)?.with_root_certificates(roots);
    builder.with_client_auth_cert(chain, key).map_err(Error::failed)
}

impl Ask {
    pub fn post(uri: &'static str, key: Option<&str>, body: String) -> Ask {
        // Keys are our own: letters, digits, dots.
        let key = key.map(|key| HeaderValue::from_str(key).expect("a key of ours is visible ASCII"));
        Ask { method: Method::POST, uri: Uri::from_static(uri), key, body: Bytes::from(body) }
    }

    pub fn get(uri: Uri) -> Ask {
        Ask { method: Method::GET, uri, key: None, body: Bytes::new() }
    }

    fn request(&self, host: &HeaderValue) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, host.clone());
        if !self.body.is_empty() {
            headers.insert(CONTENT_TYPE, const { HeaderValue::from_static("application/json") });
        }
        if let Some(key) = &self.key {
            headers.insert("idempotency-key", key.clone());
        }
        request
    }
}

impl Answer {
    fn new(response: &Response<()>, body: Bytes, tries: u32) -> Answer {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        Answer {
            status: response.status().as_u16(),
            replayed: header("idempotency-replayed") == Some("true"),
            retry_after: header("retry-after").and_then(|seconds| seconds.parse().ok()),
            body,
            tries,
        }
    }

    /// Whether the same request may be answered otherwise a moment later.
    fn is_put_off(&self) -> bool {
        matches!(self.status, 408 | 429 | 502 | 503 | 504) || (self.status == 409 && self.code() == "in_flight")
    }

    /// The code of a problem.
    pub fn code(&self) -> String {
        answer::code(self.status, &self.body)
    }
}

impl Client {
    /// Connects, if it is not connected: a load begins when all its clients are.
    pub async fn connect(&mut self) -> io::Result<()> {
        if self.connection.is_none() {
            let tcp = TcpStream::connect(self.target.address).await?;
            tcp.set_nodelay(true)?;
            let connector = TlsConnector::from(Arc::clone(&self.config));
            let tls = connector.connect(self.target.name.clone(), tcp).await?;
            self.connection = Some(Connection::open(tls).await?);
        }
        Ok(())
    }

    /// Asks until there is an answer: through a full queue, a lost connection, a server that is away. What came
    /// between is counted. It ends when the caller drops it.
    pub async fn ask(&mut self, ask: &Ask) -> Answer {
        let mut pause = PAUSE_FIRST;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.ask_once(ask, tries).await {
                Ok(answer) if !answer.is_put_off() => return answer,
                Ok(answer) => {
                    self.tally.borrow_mut().put_off(&answer.code());
                    let wait = answer.retry_after.map_or(PAUSE_FIRST, Duration::from_secs);
                    tokio::time::sleep(wait.min(PAUSE_LAST)).await;
                }
                Err(_) => {
                    self.connection = None;
                    self.tally.borrow_mut().put_off("connection");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_LAST);
                }
            }
        }
    }

    /// Counts an item of a batch that has to be sent again.
    pub fn put_off(&self, code: &str) {
        self.tally.borrow_mut().put_off(code);
    }

    /// Asks once.
    pub async fn ask_once(&mut self, ask: &Ask, tries: u32) -> io::Result<Answer> {
        let exchange = async {
            self.connect().await?;
            let request = ask.request(&self.target.host);
            let connection = self.connection.as_mut().expect("it has just been connected");
            connection.exchange(request).await
        };
        let (response, body) = tokio::time::timeout(TRY_PATIENCE, exchange).await??;
        Ok(Answer::new(&response, body, tries))
    }
}

/// A connection and what drives it.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once the connection is at its end.
    driver: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Connection {
    async fn open<S>(stream: S) -> io::Result<Connection>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // What goes wrong with the connection is told to the request that needs it.
        let driver = async { connection.await.unwrap_or_default() };
        Ok(Connection { sender, driver: Some(Box::pin(driver)) })
    }

    /// Sends one request and reads its answer to the end.
    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> io::Result<(Response<()>, Bytes)> {
        let Connection { sender, driver } = self;
        let mut asked = pin!(async {
            sender.ready().await?;
            let (head, body): (_, Incoming) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>((Response::from_parts(head, ()), body))
        });
        let both = poll_fn(|cx| {
            // First what is to be sent, then the connection that sends it and brings the answer, then the answer.
            if let Poll::Ready(answer) = asked.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(cx).is_ready()) {
                *driver = None;
            }
            asked.as_mut().poll(cx)
        });
        both.await.map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        let target = Target::parse("https://127.0.0.1:8443").expect("an address");
        assert_eq!(
            (target.address.to_string().as_str(), target.host.as_bytes()),
            ("127.0.0.1:8443", &b"127.0.0.1:8443"[..])
        );
        assert_eq!(Target::parse("https://[::1]:8443").expect("an address").address.to_string(), "[::1]:8443");
        for wrong in ["", "8443", "/v1", "https://", "https://no host:1"] {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }
}
