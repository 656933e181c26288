//! A real server over mutual TLS, with an authority of its own, and clients made by hand.

use crate::support::{self, Scratch, TestDatabase};
use actix_web::web::{Data, ServiceConfig};
use hanse::domain::holder::Holder;
use hanse::http::public::{Probes, Readiness};
use hanse::http::server::{Limits, Server, ServerOptions, Shared, TlsFiles};
use hanse::service::certificates;
use hanse::service::issuing::Issuing;
use hanse::signing::pki::Authority;
use hanse::signing::x509::Facts;
use hanse::store;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub const TRUST_DOMAIN: &str = "hanse.test";

/// A server with its database, its authority and nothing else.
pub struct House {
    pub server: Server,
    pub authority: Authority,
    pub folder: Scratch,
    pub database: TestDatabase,
}

impl House {
    pub fn new(name: &str) -> House {
        House::with(name, Limits { workers: 1, drain: Duration::from_secs(1), ..Limits::default() }, |_| {})
    }

    pub fn with(name: &str, limits: Limits, api: impl Fn(&mut ServiceConfig) + Clone + Send + 'static) -> House {
        House::on(support::database(), name, limits, api)
    }

    /// On a database that the test has filled.
    pub fn on(
        database: TestDatabase,
        name: &str,
        limits: Limits,
        api: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    ) -> House {
        House::with_pages(database, name, limits, api, |_| {})
    }

    /// With more on the plain listener than its own.
    pub fn with_pages(
        database: TestDatabase,
        name: &str,
        limits: Limits,
        api: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
        pages: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    ) -> House {
        let folder = Scratch::new(name);
        let authority = Authority::init(folder.path(), TRUST_DOMAIN, hanse::clock::now()).expect("an authority");
        let file = |name: &str| folder.path().join(name);
        let options = ServerOptions {
            api_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: TlsFiles {
                ca: file("ca.crt"),
                crl: file("ca.crl"),
                certificate: file("server.crt"),
                key: file("server.key"),
            },
            trust_domain: TRUST_DOMAIN.to_owned(),
            limits,
        };
        let probes = Probes {
            ready: Arc::new(|| Box::pin(async { Readiness { ready: true, checks: serde_json::Map::new() } })),
            metrics: Arc::new(String::new),
            jwks: Arc::new(|| Box::pin(async { Some(serde_json::json!({ "keys": [] })) })),
        };
        let pool = store::connect(&database.url).expect("the database");
        let issuing = Issuing { database: pool.clone(), pki: folder.path().to_path_buf() };
        let log = Data::new(pool.clone());
        let shared = Shared { database: pool, probes, issuing };
        let public = move |config: &mut ServiceConfig| {
            config.app_data(Data::clone(&log)).configure(hanse::http::log::configure).configure(&pages);
        };
        let server = Server::start(options, shared, api, public).expect("the server starts");
        House { server, authority, folder, database }
    }

    /// A registered client of this house.
    pub fn client(&self, kind: &str, name: &str) -> Client {
        let holder = Holder::of(kind, name).expect("a holder");
        let issued = self.authority.issue(&holder, hanse::clock::now()).expect("issued");
        certificates::register(&mut self.database.connection(), &issued.facts).expect("registered");
        self.client_of(&self.folder.path().join(name))
    }

    /// The serial number of a partner's registered certificate.
    pub fn database_serial(&self, partner: &str) -> String {
        let holder = Holder::of("partner", partner).expect("a slug");
        let rows = hanse::store::certificates::list(&mut self.database.connection(), &holder, None, 1).expect("rows");
        rows.into_iter().next().expect("a certificate").serial
    }

    /// What the partner's certificate in the folder says.
    pub fn authority_facts(&self, partner: &str) -> Facts {
        self.authority.facts(&Holder::of("partner", partner).expect("a slug")).expect("facts")
    }

    /// The client of `<stem>.crt` and `<stem>.key`.
    pub fn client_of(&self, stem: &Path) -> Client {
        Client { address: self.server.api_address(), config: client_config(self.folder.path(), Some(stem)) }
    }

    pub fn nobody(&self) -> Client {
        Client { address: self.server.api_address(), config: client_config(self.folder.path(), None) }
    }
}

/// Trusts the authority of this folder and shows `<stem>.crt`, if any, with its `.key`.
pub fn client_config(pki: &Path, stem: Option<&Path>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(pki.join("ca.crt")).expect("the authority");
    roots.add(ca).expect("the authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.expect("TLS 1.3").with_root_certificates(roots);
    let Some(stem) = stem else { return Arc::new(builder.with_no_client_auth()) };
    let chain = CertificateDer::pem_file_iter(stem.with_extension("crt")).expect("a chain");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(stem.with_extension("key")).expect("a key");
    Arc::new(builder.with_client_auth_cert(chain, key).expect("a key that fits"))
}

/// Somebody who may try to connect.
pub struct Client {
    pub address: SocketAddr,
    pub config: Arc<ClientConfig>,
}

impl Client {
    pub fn connect(&self) -> io::Result<Connection> {
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let tcp = TcpStream::connect(self.address)?;
        tcp.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Connection(StreamOwned::new(tls, tcp)))
    }

    pub fn get(&self, path: &str) -> io::Result<Answer> {
        self.connect()?.send("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &[u8]) -> io::Result<Answer> {
        self.connect()?.send("POST", path, Some(body))
    }
}

/// One kept-alive connection.
pub struct Connection(pub StreamOwned<ClientConnection, TcpStream>);

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The code of a problem, whose form is checked.
    pub fn code(&self) -> String {
        let problem = self.json();
        assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
        assert_eq!(problem["status"], self.status);
        assert_eq!(self.header("x-request-id"), problem["request_id"].as_str(), "{problem}");
        problem["code"].as_str().expect("a code").to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

impl Connection {
    pub fn send(&mut self, method: &str, path: &str, body: Option<&[u8]>) -> io::Result<Answer> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
        if let Some(body) = body {
            request += &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        }
        request += "\r\n";
        self.raw(&[request.as_bytes(), body.unwrap_or_default()].concat())
    }

    pub fn raw(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.0.write_all(request)?;
        self.0.flush()?;
        let mut got = Vec::new();
        let mut part = [0; 4096];
        loop {
            let end = got.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = String::from_utf8_lossy(&got[..end]).to_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                let body = &got[end + 4..];
                let chunked = head.lines().any(|line| line == "transfer-encoding: chunked");
                let whole = if chunked { unchunk(body) } else { Some(body.to_vec()) };
                if let Some(body) = whole.filter(|body| body.len() >= length.unwrap_or(0)) {
                    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
                    let status = status.ok_or_else(|| io::Error::other("no status"))?;
                    return Ok(Answer { status, head, body });
                }
            }
            match self.0.read(&mut part)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => got.extend_from_slice(&part[..count]),
            }
        }
    }
}

/// A body in chunks (RFC 9112 §7.1), once its last one is there.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        let chunk = rest.get(end + 2..end + 2 + length)?;
        rest = rest.get(end + 4 + length..)?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk);
    }
}
