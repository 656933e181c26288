//! One request of the alliance: judged, done, answered, with what was told to go wrong.

use super::Sim;
use super::body::{self, Answer, Wrong};
use super::bugs::Bug;
use super::faults::{Call, Kind, Rule};
use super::gate::{Closed, one};
use super::ledger::{self, Command, Event, Outcome};
use crate::partner::endpoint::{CreditRequest, HoldRequest, HoldStep, Membership, VoidRequest};
use crate::signing::digest::directory_hash;
use crate::signing::webhook;
use chrono::TimeDelta;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::future::pending;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// No call is longer; an event neither.
const BODY_MAX: usize = 256 << 10;
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut on purpose")]
pub struct Cut;

/// Status and bytes of an answer that is not wrong yet.
struct Said {
    status: StatusCode,
    bytes: Vec<u8>,
}

/// What is asked, by method and path.
struct Asked {
    call: Call,
    id: String,
    body: Bytes,
}

pub async fn answer(sim: Arc<Sim>, request: Request<Incoming>) -> Result<Answer, Cut> {
    if sim.is_away() {
        return Err(Cut);
    }
    let (head, body) = request.into_parts();
    let Some((call, id)) = route(&head.method, head.uri.path()) else {
        return Ok(body::problem(StatusCode::NOT_FOUND, "not_found", "There is no such call."));
    };
    let id = id.to_owned();
    let body = match tokio::time::timeout(BODY_PATIENCE, Limited::new(body, BODY_MAX).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Ok(body::problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "256 KiB at most.")),
        Err(_) => return Err(Cut),
    };
    let asked = Asked { call, id, body };
    let fault = sim.faults.choose(call);
    let skewed = fault.as_ref().is_some_and(|rule| rule.kind == Kind::ClockSkew);
    let skew = if skewed { TimeDelta::hours(1) } else { TimeDelta::zero() };
    if let Err(why) = believe(&sim, call, &head.headers, &asked.body, skew) {
        return Ok(match why {
            Closed::Unknowing => body::busy(1),
            _ => body::problem(StatusCode::UNAUTHORIZED, "signature_refused", &why.to_string()),
        });
    }
    if !sim.answer_after.is_zero() {
        tokio::time::sleep(sim.answer_after).await;
    }
    let request_id = one(&head.headers, "webhook-id").unwrap_or_default().to_owned();
    match fault {
        None => {
            let said = done(&sim, &asked).await;
            let mut last = sim.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.insert(call, (request_id.clone(), said.bytes.clone()));
            drop(last);
            Ok(sign(&sim, &request_id, said))
        }
        Some(rule) => go_wrong(&sim, asked, &rule, &request_id).await,
    }
}

fn route<'p>(method: &Method, path: &'p str) -> Option<(Call, &'p str)> {
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let is_get = method == Method::GET;
    if !is_get && method != Method::POST {
        return None;
    }
    match (is_get, parts.as_slice()) {
        (false, ["holds"]) => Some((Call::Hold, "")),
        (false, ["holds", id, "capture"]) => Some((Call::Capture, id)),
        (false, ["holds", id, "release"]) => Some((Call::Release, id)),
        (true, ["holds", id]) => Some((Call::GetHold, id)),
        (false, ["credits"]) => Some((Call::Credit, "")),
        (false, ["credits", id, "void"]) => Some((Call::Void, id)),
        (true, ["credits", id]) => Some((Call::GetCredit, id)),
        (true, ["memberships", id]) => Some((Call::Membership, id)),
        (false, ["webhooks"]) => Some((Call::Webhook, "")),
        _ => None,
    }
}

fn believe(sim: &Sim, call: Call, headers: &HeaderMap, body: &[u8], skew: TimeDelta) -> Result<(), Closed> {
    if sim.bugs.has(Bug::BelievesAll) {
        return Ok(());
    }
    let claimed = one(headers, "webhook-timestamp").and_then(|text| text.parse().ok());
    let now = match claimed {
        Some(claimed) if sim.bugs.has(Bug::OldTimes) => claimed,
        _ => sim.unix_now(skew),
    };
    match call {
        Call::Webhook => sim.gate.check_event(headers, body, now),
        _ => sim.gate.check(headers, body, now),
    }
}

/// What the fault makes of a request.
async fn go_wrong(sim: &Arc<Sim>, asked: Asked, rule: &Rule, request_id: &str) -> Result<Answer, Cut> {
    match rule.kind {
        Kind::TimeoutBefore => pending().await,
        Kind::Status500 => return Ok(failure()),
        Kind::Status503 => return Ok(body::busy(rule.time.as_secs())),
        Kind::CutBefore => return Err(Cut),
        Kind::Down => {
            sim.go_away(rule.time);
            return Err(Cut);
        }
        Kind::Refuse => {
            let said = refuse(sim, &asked).await;
            return Ok(sign(sim, request_id, said));
        }
        Kind::LateSuccess => {
            let (sim, time) = (Arc::clone(sim), rule.time);
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                done(&sim, &asked).await;
            });
            return Ok(failure());
        }
        Kind::OutOfOrder => tokio::time::sleep(rule.time).await,
        Kind::Twice => drop(done(sim, &asked).await),
        _ => {}
    }
    let Said { status, bytes } = done(sim, &asked).await;
    let said = |bytes| Ok(sign(sim, request_id, Said { status, bytes }));
    match rule.kind {
        Kind::TimeoutAfter => pending().await,
        Kind::CutAfter => Err(Cut),
        Kind::SlowBody => Ok(body::slow(status, bytes)),
        Kind::EndlessBody => Ok(body::long(status, bytes, None)),
        Kind::HugeBody => Ok(body::huge(status, bytes)),
        Kind::WrongId => said(body::misspeak(&bytes, Wrong::Id)),
        Kind::OldAnswer => {
            let last = sim.last.lock().unwrap_or_else(PoisonError::into_inner).get(&asked.call).cloned();
            let (id, bytes) = last.unwrap_or_else(|| (request_id.to_owned(), body::misspeak(&bytes, Wrong::Id)));
            Ok(sign(sim, &id, Said { status, bytes }))
        }
        Kind::WrongAmount => said(body::misspeak(&bytes, Wrong::Amount)),
        Kind::DuplicateKeys => said(body::misspeak(&bytes, Wrong::Twice)),
        Kind::WrongSignature => {
            let other = sign(sim, request_id, Said { status, bytes: b"something else".to_vec() });
            let mut answer = body::json_answer(status, bytes);
            answer.headers_mut().extend(other.headers().clone());
            Ok(answer)
        }
        _ => said(bytes),
    }
}

fn failure() -> Answer {
    body::problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something broke.")
}

/// A signature over the answer under the id of the request: evidence for whoever keeps it.
fn sign(sim: &Sim, request_id: &str, said: Said) -> Answer {
    let mut answer = body::json_answer(said.status, Vec::new());
    if let Some(key) = &sim.signer {
        let at = sim.unix_now(TimeDelta::zero());
        let signature = webhook::signature(request_id, at, &said.bytes, &[], &[key]);
        let headers = [
            ("webhook-id", request_id.to_owned()),
            ("webhook-timestamp", at.to_string()),
            ("webhook-signature", signature),
            ("content-digest", webhook::content_digest(&said.bytes)),
        ];
        for (name, value) in headers {
            // The id was a header of the request; the others are digits and base64.
            if let Ok(value) = HeaderValue::from_str(&value) {
                answer.headers_mut().insert(name, value);
            }
        }
    }
    let whole = body::json_answer(said.status, said.bytes);
    *answer.body_mut() = whole.into_body();
    answer
}

/// Does what is asked, and says so.
async fn done(sim: &Sim, asked: &Asked) -> Said {
    match try_done(sim, asked).await {
        Ok(said) => said,
        Err(cause) => {
            tracing::warn!(error = %cause, "the simulated ledger cannot answer");
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Said { status, bytes: body::problem_bytes(status, "unavailable", "The ledger cannot be written now.") }
        }
    }
}

async fn try_done(sim: &Sim, asked: &Asked) -> Result<Said, super::store::Error> {
    let nothing_found = sim.bugs.has(Bug::NothingFound);
    match asked.call {
        Call::GetHold => {
            let row = sim.store.hold(&asked.id)?.filter(|_| !nothing_found);
            let found = row.and_then(|row| Some(ledger::hold_answer(&asked.id, &row, Some(ledger::hold_state(&row)?))));
            Ok(found.map_or_else(not_found, |hold| Said::ok(&json!(hold))))
        }
        Call::GetCredit => {
            let row = sim.store.credit(&asked.id)?.filter(|_| !nothing_found);
            let state = |row: &ledger::CreditRow| ledger::credit_state(row);
            let found = row.and_then(|row| Some(ledger::credit_answer(&asked.id, &row, Some(state(&row)?))));
            Ok(found.map_or_else(not_found, |credit| Said::ok(&json!(credit))))
        }
        Call::Membership => {
            let found = sim.store.member(&asked.id)?.filter(|_| !nothing_found).map(|member| Membership {
                balance: Some(member.balance()),
                status: member.status,
                tier: member.tier,
            });
            Ok(found.map_or_else(not_found, |member| Said::ok(&json!(member))))
        }
        Call::Webhook => event(sim, &asked.body).await,
        Call::Hold | Call::Capture | Call::Release | Call::Credit | Call::Void => match command(asked) {
            Err(said) => Ok(said),
            Ok(command) => decide(sim, command).await,
        },
    }
}

impl Said {
    fn ok(value: &Value) -> Said {
        Said { status: StatusCode::OK, bytes: value.to_string().into_bytes() }
    }

    fn refused(code: &str, detail: &str) -> Said {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Said { status, bytes: body::problem_bytes(status, code, detail) }
    }

    fn malformed(detail: &str) -> Said {
        let status = StatusCode::BAD_REQUEST;
        Said { status, bytes: body::problem_bytes(status, "malformed", detail) }
    }
}

fn not_found() -> Said {
    let status = StatusCode::NOT_FOUND;
    Said { status, bytes: body::problem_bytes(status, "not_found", "Not here.") }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Said> {
    serde_json::from_slice(body).map_err(|why| Said::malformed(&why.to_string()))
}

/// The command of a request; what its path names must be what its body names.
fn command(asked: &Asked) -> Result<Command, Said> {
    let other = || Said::refused("id_mismatch", "The path names another id than the body.");
    let same = |id: &str| if id == asked.id { Ok(()) } else { Err(other()) };
    match asked.call {
        Call::Hold => Ok(Command::Hold(read::<HoldRequest>(&asked.body)?)),
        Call::Credit => Ok(Command::Credit(read::<CreditRequest>(&asked.body)?)),
        Call::Capture | Call::Release => {
            let step: HoldStep = read(&asked.body)?;
            same(&step.hold_id)?;
            Ok(if asked.call == Call::Capture { Command::Capture(step) } else { Command::Release(step) })
        }
        _ => {
            let step: VoidRequest = read(&asked.body)?;
            same(&step.credit_id)?;
            Ok(Command::Void(step))
        }
    }
}

async fn decide(sim: &Sim, command: Command) -> Result<Said, super::store::Error> {
    let told = misbehave(sim, command).await?;
    Ok(match told {
        Ok(ledger::Answer::Hold(mut hold)) => {
            if sim.bugs.has(Bug::WrongLots)
                && let Some(lot) = hold.lots.first_mut()
            {
                lot.points += 1;
            }
            Said::ok(&json!(hold))
        }
        Ok(ledger::Answer::Credit(credit)) => Said::ok(&json!(credit)),
        Ok(ledger::Answer::Done(_)) => Said::ok(&json!({})),
        Err(_) if sim.bugs.has(Bug::Refuses500) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Said { status, bytes: body::problem_bytes(status, "internal", "Something broke.") }
        }
        Err(why) => Said::refused(&why.code, why.detail.as_deref().unwrap_or_default()),
    })
}

/// Applies a command, with the bugs this partner has.
async fn misbehave(sim: &Sim, command: Command) -> Result<Outcome, super::store::Error> {
    let mut command = command;
    if sim.bugs.has(Bug::ForgetIds) {
        // A new id for every call: the name of the moment.
        let nonce = directory_hash("forgotten", &[&rand_bytes()]).simple().to_string();
        match &mut command {
            Command::Hold(asked) => asked.hold_id = format!("hld_{nonce}"),
            Command::Credit(asked) => asked.credit_id = format!("crd_{nonce}"),
            _ => {}
        }
    }
    if sim.bugs.has(Bug::AnyBody) {
        match &mut command {
            Command::Hold(asked) => {
                if let Some(first) = sim.store.hold(&asked.hold_id)?.and_then(|row| row.asked) {
                    *asked = first;
                }
            }
            Command::Credit(asked) => {
                if let Some(first) = sim.store.credit(&asked.credit_id)?.and_then(|row| row.asked) {
                    *asked = first;
                }
            }
            _ => {}
        }
    }
    match &command {
        Command::Capture(step) if sim.bugs.has(Bug::CapturesNothing) && sim.store.hold(&step.hold_id)?.is_none() => {
            let hold = json!({ "hold_id": step.hold_id, "points": 0, "lots": [], "state": "captured" });
            Ok(serde_json::from_value(hold).map(ledger::Answer::Hold).map_err(|_| ledger::refusal("invalid", "")))
        }
        Command::Release(step) if sim.bugs.has(Bug::NoTombstones) && sim.store.hold(&step.hold_id)?.is_none() => {
            Ok(Ok(ledger::Answer::Done(false)))
        }
        Command::Void(step) if sim.bugs.has(Bug::NoTombstones) && sim.store.credit(&step.credit_id)?.is_none() => {
            Ok(Ok(ledger::Answer::Done(false)))
        }
        _ => sim.store.apply(command).await,
    }
}

fn rand_bytes() -> [u8; 16] {
    *uuid::Uuid::new_v4().as_bytes()
}

/// Refuses for good what can be refused, so that it stays refused under its id.
async fn refuse(sim: &Sim, asked: &Asked) -> Said {
    let why = ledger::refusal("refused", "Refused on purpose.");
    let command = match command(asked) {
        Ok(Command::Hold(hold)) => Command::RefuseHold(hold, why),
        Ok(Command::Credit(credit)) => Command::RefuseCredit(credit, why),
        Ok(_) => return Said::refused(&why.code, "Refused on purpose."),
        Err(said) => return said,
    };
    match sim.store.apply(command).await {
        Ok(Ok(_)) => done(sim, asked).await,
        Ok(Err(why)) => Said::refused(&why.code, why.detail.as_deref().unwrap_or_default()),
        Err(_) => done(sim, asked).await,
    }
}

/// An event by webhook: kept once, by its id and its place in the sequence.
async fn event(sim: &Sim, body: &[u8]) -> Result<Said, super::store::Error> {
    let Ok(text) = std::str::from_utf8(body) else { return Ok(Said::malformed("Not UTF-8.")) };
    let said: Value = serde_json::from_str(text).unwrap_or_default();
    let Some(id) = said["id"].as_str() else { return Ok(Said::malformed("An event has an id.")) };
    let digest = webhook::content_digest(body);
    match sim.store.see(id, &digest).await? {
        Ok(true) => {}
        Ok(false) if sim.bugs.has(Bug::EventsTwice) => {
            let status = StatusCode::CONFLICT;
            return Ok(Said { status, bytes: body::problem_bytes(status, "seen", "Seen before.") });
        }
        Ok(false) => return Ok(Said::ok(&json!({}))),
        Err(_) => return Ok(Said::refused("id_mismatch", "Another event has this id.")),
    }
    // What is no event of the feed, such as a test, has no place in it.
    if let Some(sequence) = said["sequence"].as_u64() {
        let event = Event { sequence, id: id.to_owned(), body: text.to_owned() };
        if let Err(why) = sim.store.apply(Command::Remember(event)).await? {
            return Ok(Said::refused(&why.code, why.detail.as_deref().unwrap_or_default()));
        }
        sim.news.notify_one();
    }
    Ok(Said::ok(&json!({})))
}
