//! One identity speaking to the partner API over mutual TLS: what the story, the stream and the travel check call with.
//!
//! It keeps the bytes of every answer, so that a replay can be compared with the first.

use crate::cli;
use crate::cli::client::Identity;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// An answer takes milliseconds; whoever waits this long waits for nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// No answer used here is larger; more is a fault.
const ANSWER_BYTES_MAX: usize = 8 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the certificate of {name} cannot be used: {source}")]
    Identity { name: String, source: cli::Error },
    #[error("{method} {path} got no answer")]
    NoAnswer { method: Method, path: String, source: reqwest::Error },
    #[error("{method} {path} was answered with more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge { method: Method, path: String },
}

/// A caller: its certificate decides who it is.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    name: String,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// The first answer again.
    pub replayed: bool,
    pub request_id: Option<String>,
    pub bytes: Vec<u8>,
    /// `Null` when the body is no JSON.
    pub json: Value,
}

impl Client {
    /// Opens the identity `name` of a folder that has `ca.crt`, `<name>.crt` and `<name>.key`.
    pub fn open(base: &str, pki: &Path, name: &str) -> Result<Client, Error> {
        let http = Identity::in_folder(pki, name).client(PATIENCE);
        let http = http.map_err(|source| Error::Identity { name: name.to_owned(), source })?;
        Ok(Client { http, base: base.trim_end_matches('/').to_owned(), name: name.to_owned() })
    }

    /// The name of its certificate: a partner's slug, or an operator's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub async fn get(&self, path: &str) -> Result<Reply, Error> {
        self.send(Method::GET, path, None, &Value::Null).await
    }

    pub async fn delete(&self, path: &str) -> Result<Reply, Error> {
        self.send(Method::DELETE, path, None, &Value::Null).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<Reply, Error> {
        self.send(Method::PUT, path, None, body).await
    }

    /// Posts without a key: what is idempotent by itself, or a batch whose items have theirs.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Reply, Error> {
        self.send(Method::POST, path, None, body).await
    }

    /// Posts what has its effect once; a `Null` body is none.
    pub async fn post_once(&self, path: &str, key: &str, body: &Value) -> Result<Reply, Error> {
        self.send(Method::POST, path, Some(key), body).await
    }

    async fn send(&self, method: Method, path: &str, key: Option<&str>, body: &Value) -> Result<Reply, Error> {
        let silent = |source| Error::NoAnswer { method: method.clone(), path: path.to_owned(), source };
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(silent)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(silent)? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Error::TooLarge { method, path: path.to_owned() });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Reply::new(status, &headers, bytes))
    }
}

impl Reply {
    fn new(status: u16, headers: &HeaderMap, bytes: Vec<u8>) -> Reply {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Reply {
            status,
            replayed: text("idempotency-replayed") == Some("true"),
            request_id: text("x-request-id").map(str::to_owned),
            json: serde_json::from_slice(&bytes).unwrap_or_default(),
            bytes,
        }
    }

    /// The value at a JSON pointer; `Null` when there is none.
    pub fn at(&self, pointer: &str) -> &Value {
        self.json.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The text at a JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.at(pointer).as_str()
    }

    /// The whole number at a JSON pointer.
    pub fn number(&self, pointer: &str) -> Option<i64> {
        self.at(pointer).as_i64()
    }

    /// The code of a problem; a link code is none.
    pub fn code(&self) -> Option<&str> {
        self.text("/code").filter(|_| self.status >= 400)
    }

    /// 2xx.
    pub fn is_done(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Status and, of a problem, its code: `201`, `422 limit_exceeded`.
    pub fn summary(&self) -> String {
        match self.code() {
            Some(code) => format!("{} {code}", self.status),
            None => self.status.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_tells_a_replay_and_a_problem() {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-replayed", "true".parse().expect("a header"));
        let reply = Reply::new(422, &headers, br#"{"code":"limit_exceeded","points_left":64}"#.to_vec());
        assert!(reply.replayed && !reply.is_done());
        assert_eq!((reply.summary().as_str(), reply.number("/points_left")), ("422 limit_exceeded", Some(64)));
        assert_eq!(Reply::new(204, &HeaderMap::new(), Vec::new()).json, Value::Null);
        assert_eq!(Reply::new(201, &HeaderMap::new(), br#"{"code":"0Y4K7M2P"}"#.to_vec()).code(), None);
    }

    #[test]
    fn a_missing_certificate_is_named() {
        let error = Client::open("https://127.0.0.1:1", Path::new("/nowhere"), "lumen").expect_err("no such folder");
        assert!(error.to_string().contains("/nowhere/ca.crt"), "{error}");
    }
}
