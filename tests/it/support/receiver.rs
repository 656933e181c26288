//! A partner's endpoint: mutual TLS, and answers that a test writes, down to their bytes.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Got {
    pub at: Instant,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Got {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub fn sequence(&self) -> i64 {
        self.json()["sequence"].as_i64().expect("a sequence")
    }
}

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    Status(u16),
    /// These bytes; then the connection ends.
    Raw(Vec<u8>),
    /// Nothing, for as long as the other side waits.
    Hang,
    /// The connection is reset.
    Reset,
    /// The head of a 200, and a body of so many bytes, one by one with a pause.
    Drip(usize, Duration),
    /// The head of a 200, and a body without end.
    Endless,
    After(Duration, Box<Reply>),
}

type Script = dyn Fn(&Got) -> Reply + Send + Sync;

pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    script: Mutex<Arc<Script>>,
    got: Mutex<Vec<Got>>,
    count: AtomicUsize,
    connections: AtomicUsize,
    stopped: AtomicBool,
    tls: Arc<ServerConfig>,
}

/// TLS 1.3 with `<stem>.crt` and `<stem>.key`, for whoever shows a certificate of `ca`.
pub fn server_config(stem: &Path, ca: &Path) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("an authority")).expect("an authority");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let chain = CertificateDer::pem_file_iter(stem.with_extension("crt")).expect("a chain");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(stem.with_extension("key")).expect("a key");
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.expect("TLS 1.3").with_client_cert_verifier(verifier.expect("a verifier"));
    Arc::new(builder.with_single_cert(chain, key).expect("a key that fits"))
}

impl Receiver {
    /// The alliance's authority has issued both sides' certificates: `server.crt` in `pki` is shown.
    pub fn start(pki: &Path, script: impl Fn(&Got) -> Reply + Send + Sync + 'static) -> Receiver {
        Receiver::with(server_config(&pki.join("server"), &pki.join("ca.crt")), script)
    }

    pub fn with(tls: Arc<ServerConfig>, script: impl Fn(&Got) -> Reply + Send + Sync + 'static) -> Receiver {
        Receiver::on(TcpListener::bind("127.0.0.1:0").expect("a port"), tls, script)
    }

    pub fn on(
        listener: TcpListener,
        tls: Arc<ServerConfig>,
        script: impl Fn(&Got) -> Reply + Send + Sync + 'static,
    ) -> Receiver {
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            script: Mutex::new(Arc::new(script)),
            got: Mutex::default(),
            count: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            tls,
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { return };
                let state = Arc::clone(&shared);
                std::thread::spawn(move || state.serve(stream));
            }
        });
        Receiver { address, state }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.address.port())
    }

    /// Answers otherwise from now on.
    pub fn script(&self, script: impl Fn(&Got) -> Reply + Send + Sync + 'static) {
        *self.state.script.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    /// Everything that came, in the order in which it was read.
    pub fn got(&self) -> Vec<Got> {
        self.state.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests came, without copying them.
    pub fn count(&self) -> usize {
        self.state.count.load(Ordering::Relaxed)
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    pub fn forget(&self) {
        self.state.got.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.state.count.store(0, Ordering::Relaxed);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener, which then looks whether it is to go on.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn serve(&self, tcp: TcpStream) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let Ok(tls) = ServerConnection::new(Arc::clone(&self.tls)) else { return };
        let _ = tcp.set_nodelay(true);
        let _ = tcp.set_read_timeout(Some(Duration::from_secs(120)));
        let mut stream = StreamOwned::new(tls, tcp);
        let mut buffer = Vec::new();
        while let Ok(Some(got)) = read(&mut stream, &mut buffer) {
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
            let script = Arc::clone(&self.script.lock().unwrap_or_else(PoisonError::into_inner));
            let reply = script(&got);
            self.got.lock().unwrap_or_else(PoisonError::into_inner).push(got);
            self.count.fetch_add(1, Ordering::Relaxed);
            if !matches!(self.answer(&mut stream, reply), Ok(true)) {
                return;
            }
        }
    }

    /// `false`: the connection is over.
    fn answer(&self, stream: &mut StreamOwned<ServerConnection, TcpStream>, reply: Reply) -> io::Result<bool> {
        match reply {
            Reply::Status(204) => {
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
                stream.flush()?;
                Ok(true)
            }
            Reply::Status(status) => {
                write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\n{{}}")?;
                stream.flush()?;
                Ok(true)
            }
            Reply::Raw(bytes) => {
                stream.write_all(&bytes)?;
                stream.flush()?;
                stream.conn.send_close_notify();
                stream.flush()?;
                Ok(false)
            }
            Reply::Hang => {
                // Until the other side has had enough.
                let mut byte = [0];
                let _ = stream.read(&mut byte);
                Ok(false)
            }
            Reply::Reset => {
                let socket = socket2::SockRef::from(&stream.sock);
                socket.set_linger(Some(Duration::ZERO))?;
                stream.sock.shutdown(Shutdown::Read)?;
                Ok(false)
            }
            Reply::Drip(bytes, pause) => {
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n")?;
                for _ in 0..bytes {
                    stream.write_all(b"x")?;
                    stream.flush()?;
                    std::thread::sleep(pause);
                }
                Ok(true)
            }
            Reply::Endless => {
                write!(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
                loop {
                    write!(stream, "1000\r\n{}\r\n", "x".repeat(0x1000))?;
                }
            }
            Reply::After(pause, then) => {
                std::thread::sleep(pause);
                self.answer(stream, *then)
            }
        }
    }
}

/// The next request; `None` when there is no more.
fn read(stream: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<Option<Got>> {
    let mut part = [0; 16 * 1024];
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let headers: Vec<(String, String)> = head
                .lines()
                .skip(1)
                .filter_map(|line| line.split_once(": "))
                .map(|(key, value)| (key.to_lowercase(), value.to_owned()))
                .collect();
            let length = headers.iter().find(|(key, _)| key == "content-length");
            let length = length.map_or(0, |(_, value)| value.parse().expect("a length"));
            if buffer.len() >= end + 4 + length {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                let mut first = head.lines().next().unwrap_or_default().split(' ').map(str::to_owned);
                let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
                return Ok(Some(Got { at: Instant::now(), method, path, headers, body }));
            }
        }
        match stream.read(&mut part)? {
            0 => return Ok(None),
            count => buffer.extend_from_slice(&part[..count]),
        }
    }
}
