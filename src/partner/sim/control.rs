//! The partner's own port, on the loopback alone: sets faults, sends the endpoint away, shows the ledger.
//!
//! `GET /totals`, `GET /ledger` · `PUT /faults` with a spec as its body, `DELETE /faults` · `POST /down/{seconds}` ·
//! `POST /seed/{ref}/{points}` a new member, `POST /earn/{ref}/{points}` one that is there · `PUT /members/{ref}/{status}`.

use super::Sim;
use super::body::{self, Answer};
use super::ledger::{Command, Outcome};
use super::store;
use crate::partner::endpoint::Lot;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

const BODY_MAX: usize = 16 << 10;

/// Serves the control port; returns where, and goes on in the background.
pub async fn serve_control(sim: Arc<Sim>, listen: SocketAddr) -> io::Result<SocketAddr> {
    if !listen.ip().is_loopback() {
        let what = "the control port is for the loopback alone: it asks nobody who they are";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sim = Arc::clone(&sim);
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(Arc::clone(&sim), request));
                // Whoever breaks off has gone.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(address)
}

async fn answer(sim: Arc<Sim>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
        return Ok(body::problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "16 KiB at most."));
    };
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let path = head.uri.path().to_owned();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let done = command(&sim, &head.method, &parts, &text).await;
    Ok(done.unwrap_or_else(|cause| body::problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", &cause.to_string())))
}

async fn command(sim: &Sim, method: &Method, parts: &[&str], text: &str) -> Result<Answer, store::Error> {
    let wrong = |why: &str| body::problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid", why);
    Ok(match (method.as_str(), parts) {
        ("GET", ["totals"]) => {
            let (calls, faults) = sim.faults.counts();
            let mut said = json!(sim.store.figures()?);
            said["calls"] = json!(calls);
            said["faults"] = json!(faults);
            ok(&said)
        }
        ("GET", ["ledger"]) => ok(&json!(sim.store.dump()?)),
        ("PUT", ["faults"]) => match text.parse() {
            Ok(spec) => {
                sim.faults.set(spec);
                ok(&json!({}))
            }
            Err(why) => wrong(&why.to_string()),
        },
        ("DELETE", ["faults"]) => {
            sim.faults.set(super::faults::Spec::default());
            sim.go_away(Duration::ZERO);
            ok(&json!({}))
        }
        ("POST", ["down", seconds]) => match seconds.parse() {
            Ok(seconds) => {
                sim.go_away(Duration::from_secs(seconds));
                ok(&json!({}))
            }
            Err(_) => wrong("Seconds are a whole number."),
        },
        ("POST", ["seed", member_ref, points]) => match points.parse() {
            Ok(points) => {
                let lots = vec![Lot { points, expires_on: None, kind: None }];
                let (member_ref, tier) = ((*member_ref).to_owned(), "standard".to_owned());
                told(sim.store.apply(Command::Seed { member_ref, tier, lots }).await?)
            }
            Err(_) => wrong("Points are a whole number."),
        },
        ("POST", ["earn", member_ref, points]) => match points.parse() {
            Ok(points) => {
                let lot = Lot { points, expires_on: None, kind: None };
                told(sim.store.apply(Command::Earn { member_ref: (*member_ref).to_owned(), lot }).await?)
            }
            Err(_) => wrong("Points are a whole number."),
        },
        ("PUT", ["members", member_ref, status]) => {
            let (member_ref, status) = ((*member_ref).to_owned(), (*status).to_owned());
            told(sim.store.apply(Command::SetStatus { member_ref, status }).await?)
        }
        _ => body::problem(StatusCode::NOT_FOUND, "not_found", "There is no such command."),
    })
}

fn ok(said: &serde_json::Value) -> Answer {
    body::json_answer(StatusCode::OK, said.to_string().into_bytes())
}

fn told(outcome: Outcome) -> Answer {
    match outcome {
        Ok(_) => ok(&json!({})),
        Err(why) => {
            body::problem(StatusCode::UNPROCESSABLE_ENTITY, &why.code, why.detail.as_deref().unwrap_or_default())
        }
    }
}
