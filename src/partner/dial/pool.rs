//! Connections kept for the next call to the same place, the freshest taken first.

use super::connect::Stream;
use crate::clock;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shorter than what usual servers keep, so that a call seldom meets a connection that is just ending.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// A connection outlives its certificate's revocation, and its name's address, by this at most.
const AGE_MAX: Duration = Duration::from_secs(300);
/// Bytes of an answer's head.
const HEAD_MAX: usize = 16 * 1024;

/// A connection on which nothing is under way.
pub struct Sender {
    pub http: SendRequest<Full<Bytes>>,
    made: Instant,
    idle_since: Instant,
}

/// As many as there may be calls at once, at most: one that is not under way has given its turn back.
#[derive(Default)]
pub struct Pool(Mutex<HashMap<String, Vec<Sender>>>);

impl Pool {
    pub fn take(&self, authority: &str) -> Option<Sender> {
        let now = clock::instant();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stack = kept.get_mut(authority)?;
        let fresh = |sender: &Sender| now.duration_since(sender.idle_since) < IDLE_MAX && !sender.http.is_closed();
        // Those below the freshest that is too old are older still.
        let found = stack.pop().filter(fresh);
        if found.is_none() {
            kept.remove(authority);
        }
        found
    }

    pub fn put(&self, authority: &str, mut sender: Sender) {
        let now = clock::instant();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, stack| {
            stack.retain(|sender| now.duration_since(sender.idle_since) < IDLE_MAX);
            !stack.is_empty()
        });
        if now.duration_since(sender.made) < AGE_MAX && !sender.http.is_closed() {
            sender.idle_since = now;
            kept.entry(authority.to_owned()).or_default().push(sender);
        }
    }
}

/// Speaks HTTP/1.1 on a stream. A task of the caller's runtime drives it, and ends with the sender.
pub async fn open(stream: Stream) -> hyper::Result<Sender> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_MAX).max_headers(64);
    let (http, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // What goes wrong with it is told to the call that needs it.
    tokio::spawn(async move { connection.await.unwrap_or_default() });
    let now = clock::instant();
    Ok(Sender { http, made: now, idle_since: now })
}
