//! Calls to a partner's endpoint: HTTP/1.1 over TLS 1.3 with our certificate, each within a deadline and answered small.
//!
//! Nothing happens that was not asked for: no redirect is followed, no proxy used, no answer unpacked, no call repeated.
//! A failure says whether the call can have reached the other side, for that decides what may be done next.

mod connect;
mod headers;
mod pool;

pub use connect::{Lookup, TlsReason};
pub use headers::{Signing, idempotency_key, signed, traceparent};

use super::address::{self, Address, Guard};
use connect::Connector;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Response};
use pool::{Pool, Sender};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// For finding, reaching and greeting the other side.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// For a whole call, the answer's body included, unless the caller says less.
pub const DEADLINE: Duration = Duration::from_secs(15);
/// Bytes of an answer.
pub const ANSWER_MAX: usize = 64 * 1024;
/// The longest wait that an answer can ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// All PEM.
pub struct Options {
    /// Our certificate, its chain after it, and its key.
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
    /// Who issues the other side's certificates.
    pub ca: Vec<u8>,
    /// Which of them are revoked; the chain is not looked up without.
    pub crl: Option<Vec<u8>>,
    pub guard: Guard,
    /// Calls at once, each with a connection of its own.
    pub connections: usize,
    pub lookup: Lookup,
}

#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    #[error("{0} cannot be read as PEM")]
    Pem(&'static str),
    #[error("the certificate and its key do not fit")]
    Tls(#[from] rustls::Error),
    #[error("no verifier can be made of the authority and the revocation list")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// Calls one partner. Cheap to clone.
#[derive(Clone)]
pub struct Dialer(Arc<Inner>);

struct Inner {
    guard: Guard,
    connector: Connector,
    pool: Pool,
    turns: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub url: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub deadline: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// As it was asked for, in seconds or as a date; never more than [`RETRY_AFTER_MAX`].
    pub retry_after: Option<Duration>,
    pub content_type: Option<String>,
    /// What it says of who made it, where it says so.
    pub signed: Option<Signed>,
    pub body: Bytes,
}

/// An answer's own stamp (Standard Webhooks): not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub id: String,
    pub timestamp: String,
    pub signature: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Failure {
    pub cause: Cause,
    /// Whether the other side may have read the call. `false` is certain.
    pub reached: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    #[error("not called: {0}")]
    Address(#[from] address::Refused),
    #[error("not called: a header cannot be written")]
    Header,
    #[error("the name is not known")]
    Name,
    #[error("no connection was made: {0}")]
    Connect(String),
    #[error("no connection was trusted: {0}")]
    Tls(TlsReason),
    #[error("no answer within {}, {}", Millis(*.0), .1.text())]
    Timeout(Duration, Phase),
    #[error("the connection was cut: {0}")]
    Cut(String),
    #[error("the answer is not HTTP/1.1 as it should be: {0}")]
    Malformed(String),
    #[error("the answer is larger than 64 KiB")]
    TooLarge,
}

/// How far a call had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Others of this partner's were under way.
    Waiting,
    Connecting,
    Sent,
    Answering,
}

impl Phase {
    fn text(self) -> &'static str {
        match self {
            Phase::Waiting => "waiting for a connection",
            Phase::Connecting => "connecting",
            Phase::Sent => "having sent it",
            Phase::Answering => "while the answer was read",
        }
    }
}

struct Millis(Duration);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ms", self.0.as_millis())
    }
}

impl Cause {
    /// A short name, one of few: for counters and for reading lists.
    pub fn code(&self) -> &'static str {
        match self {
            Cause::Address(_) => "address_refused",
            Cause::Header => "not_sendable",
            Cause::Name => "name_unknown",
            Cause::Connect(_) => "not_connected",
            Cause::Tls(reason) => reason.code(),
            Cause::Timeout(..) => "timeout",
            Cause::Cut(_) => "connection_cut",
            Cause::Malformed(_) => "malformed_answer",
            Cause::TooLarge => "answer_too_large",
        }
    }
}

impl Failure {
    fn before(cause: Cause) -> Failure {
        Failure { cause, reached: false }
    }

    fn after(cause: Cause) -> Failure {
        Failure { cause, reached: true }
    }
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Dialer {
    pub fn new(options: Options) -> Result<Dialer, OptionsError> {
        let connector = Connector::new(&options)?;
        let turns = Arc::new(Semaphore::new(options.connections.max(1)));
        Ok(Dialer(Arc::new(Inner { guard: options.guard, connector, pool: Pool::default(), turns })))
    }

    /// Makes one call, once.
    pub async fn send(&self, call: Call) -> Result<Answer, Failure> {
        let mut phase = Phase::Waiting;
        let deadline = call.deadline;
        match tokio::time::timeout(deadline, self.0.exchange(call, &mut phase)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure {
                cause: Cause::Timeout(deadline, phase),
                reached: matches!(phase, Phase::Sent | Phase::Answering),
            }),
        }
    }
}

impl Inner {
    async fn exchange(&self, call: Call, phase: &mut Phase) -> Result<Answer, Failure> {
        let address = self.guard.parse(&call.url).map_err(|why| Failure::before(why.into()))?;
        let mut request = request(call, &address).ok_or(Failure::before(Cause::Header))?;
        // The semaphore is never closed.
        let turn: Option<OwnedSemaphorePermit> = Arc::clone(&self.turns).acquire_owned().await.ok();
        loop {
            *phase = Phase::Connecting;
            let (mut sender, reused) = self.sender(&address).await?;
            *phase = Phase::Sent;
            match sender.http.try_send_request(request).await {
                Ok(response) => {
                    *phase = Phase::Answering;
                    let answer = read(response).await?;
                    self.pool.put(address.authority(), sender);
                    drop(turn);
                    return Ok(answer);
                }
                Err(mut failed) => match failed.take_message() {
                    // Not a byte of it was written: a kept connection had ended meanwhile.
                    Some(unsent) if reused => request = unsent,
                    Some(_) => return Err(Failure::before(broken(&failed.into_error()))),
                    None => return Err(Failure::after(broken(&failed.into_error()))),
                },
            }
        }
    }

    /// A kept connection, or a new one; whether it was kept.
    async fn sender(&self, address: &Address) -> Result<(Sender, bool), Failure> {
        while let Some(mut kept) = self.pool.take(address.authority()) {
            if kept.http.ready().await.is_ok() {
                return Ok((kept, true));
            }
        }
        let connecting = self.connector.connect(address, &self.guard);
        let connected = tokio::time::timeout(CONNECT_PATIENCE, connecting).await;
        let timeout = |_| Failure::before(Cause::Timeout(CONNECT_PATIENCE, Phase::Connecting));
        let stream = connected.map_err(timeout)?.map_err(Failure::before)?;
        let sender = pool::open(stream).await.map_err(|cause| Failure::before(broken(&cause)))?;
        Ok((sender, false))
    }
}

fn request(call: Call, address: &Address) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::new(Full::new(call.body));
    *request.method_mut() = call.method;
    *request.uri_mut() = address.path_and_query().parse().ok()?;
    *request.headers_mut() = call.headers;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(address.authority()).ok()?);
    headers.insert(USER_AGENT, const { HeaderValue::from_static(concat!("hanse/", env!("CARGO_PKG_VERSION"))) });
    headers.insert(ACCEPT, const { HeaderValue::from_static("application/json, application/problem+json") });
    headers.insert(ACCEPT_ENCODING, const { HeaderValue::from_static("identity") });
    Some(request)
}

/// Reads an answer to its end, or as far as it may go.
async fn read(response: Response<Incoming>) -> Result<Answer, Failure> {
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = text(RETRY_AFTER.as_str()).and_then(|text| headers::retry_after(text, crate::clock::now()));
    let content_type = text(CONTENT_TYPE.as_str()).map(|text| text.chars().take(128).collect());
    let stamp = |name| text(name).map(str::to_owned);
    let signed = match (stamp("webhook-id"), stamp("webhook-timestamp"), stamp("webhook-signature")) {
        (Some(id), Some(timestamp), Some(signature)) => Some(Signed { id, timestamp, signature }),
        _ => None,
    };
    let status = response.status().as_u16();
    let mut incoming = response.into_body();
    let mut body = Vec::new();
    let promised = usize::try_from(incoming.size_hint().lower()).unwrap_or(usize::MAX);
    if promised > ANSWER_MAX {
        return Err(Failure::after(Cause::TooLarge));
    }
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|cause| Failure::after(broken(&cause)))?;
        let Ok(data) = frame.into_data() else { continue };
        if body.len() + data.len() > ANSWER_MAX {
            return Err(Failure::after(Cause::TooLarge));
        }
        body.extend_from_slice(&data);
    }
    Ok(Answer { status, retry_after, content_type, signed, body: body.into() })
}

/// What became of a connection, in few words.
fn broken(error: &hyper::Error) -> Cause {
    if error.is_parse() {
        return Cause::Malformed(error.to_string());
    }
    // The TLS layer's own reason, where there is one, says more: the other side did not like our certificate.
    match connect::tls_reason(error) {
        Some(reason) => Cause::Tls(reason),
        None => Cause::Cut(error.to_string()),
    }
}
