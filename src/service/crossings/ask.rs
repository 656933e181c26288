//! What a crossing's state asks of a partner's endpoint, and what its answer comes to.
//!
//! An answer is not believed until it says just what was asked: another id, other points, a field twice or a lot too many
//! make it no answer at all, and the same call is made again.

use crate::book::command::{CrossingRow, Parcel};
use crate::book::crossing::Kind;
use crate::domain::crossing::{State, Step};
use crate::domain::expiry::{Expiry, is_month_end};
use crate::domain::points::Points;
use crate::partner::dial::Answer;
use crate::partner::endpoint::{
    Credit, CreditRequest, CreditState, Hold, HoldRequest, HoldState, HoldStep, Lot, LotKind, Purpose, Refusal,
    VoidRequest,
};
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use hyper::Method;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Lots of one hold that are read.
const LOTS_MAX: usize = 64;
/// A hold may last this long without a word from us; a constant, so that the same hold is asked for by the same bytes.
const HOLD_HOURS: i64 = 24;
/// No lot ends later than this many years from now, but those that never do.
const ENDS_YEARS: i32 = 50;
/// What a partner says when the id is known to it with another request: something is there.
const ID_TAKEN: &str = "id_mismatch";

/// One request to a partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub method: Method,
    /// After the endpoint's address.
    pub path: String,
    /// `webhook-id`: the same for every repetition.
    pub id: String,
    pub body: Vec<u8>,
}

/// What an answer comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Step {
        step: Step,
        lots: Vec<Parcel>,
        cause: Option<String>,
    },
    /// Nothing is known: the same is asked again.
    Unknown(String),
}

pub fn hold_id(row: &CrossingRow) -> String {
    format!("hld_{}", row.id.simple())
}

pub fn credit_id(row: &CrossingRow) -> String {
    format!("crd_{}", row.id.simple())
}

/// How the state that is due is asked for; `None` when nothing is.
pub fn question(row: &CrossingRow, member_ref: &str) -> Option<Question> {
    let (hold_id, credit_id, conversion_id) = (hold_id(row), credit_id(row), row.conversion.to_string());
    let step = |action: &str| {
        let body = HoldStep { hold_id: hold_id.clone(), conversion_id: conversion_id.clone() };
        (format!("/holds/{hold_id}/{action}"), hold_id.clone(), json(&body))
    };
    let (path, id, body) = match row.state {
        State::Holding => {
            let body = HoldRequest {
                hold_id: hold_id.clone(),
                conversion_id,
                member_ref: member_ref.to_owned(),
                points: row.source_points().get(),
                kind: purpose(row.kind),
                lots: row.lots_wanted.iter().map(|parcel| lot(parcel, None)).collect(),
                business_date: Some(row.day),
                expires_at: accepted_at(row) + TimeDelta::hours(HOLD_HOURS),
            };
            ("/holds".to_owned(), hold_id, json(&body))
        }
        State::Crediting => {
            let body = CreditRequest {
                credit_id: credit_id.clone(),
                conversion_id,
                member_ref: member_ref.to_owned(),
                kind: purpose(row.kind),
                points: row.target_points().get(),
                lots: credited(row),
                reverses: (row.kind != Kind::Conversion).then(|| format!("hld_{}", row.conversion.0.simple())),
            };
            ("/credits".to_owned(), credit_id, json(&body))
        }
        State::Voiding => {
            let body = VoidRequest { credit_id: credit_id.clone(), conversion_id };
            (format!("/credits/{credit_id}/void"), credit_id, json(&body))
        }
        State::Capturing => step("capture"),
        State::Releasing => step("release"),
        State::Done | State::Released => return None,
    };
    // One id a call: the same bytes under the same id, however often.
    let id = format!("{id}{}", suffix(row.state));
    Some(Question { method: Method::POST, path, id, body })
}

/// When it was accepted, by the clock on the wall: its id says so.
fn accepted_at(row: &CrossingRow) -> DateTime<Utc> {
    let stamp = row.id.get_timestamp().and_then(|stamp| i64::try_from(stamp.to_unix().0).ok());
    stamp.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).unwrap_or(row.at)
}

/// How to ask what has become of it, before it is asked for again; `None` where asking again is as good.
pub fn look(row: &CrossingRow) -> Option<Question> {
    let path = match row.state {
        State::Holding | State::Capturing => format!("/holds/{}", hold_id(row)),
        // Of one that is to be void it is asked only when the void was not granted: till then another server's may be.
        State::Crediting | State::Voiding => format!("/credits/{}", credit_id(row)),
        State::Releasing | State::Done | State::Released => return None,
    };
    let id = format!("sta_{}", row.id.simple());
    Some(Question { method: Method::GET, path, id, body: Vec::new() })
}

fn suffix(state: State) -> &'static str {
    match state {
        State::Holding | State::Crediting | State::Done | State::Released => "",
        State::Capturing => "_c",
        State::Voiding => "_v",
        State::Releasing => "_r",
    }
}

/// What came of the question of this state.
pub fn news(row: &CrossingRow, answer: &Answer) -> News {
    let step = |step| News::Step { step, lots: Vec::new(), cause: None };
    match (row.state, answer.status) {
        (State::Holding, 200..=299) => match read::<Hold>(answer).and_then(|hold| held(row, &hold)) {
            Ok(lots) => News::Step { step: Step::Held, lots, cause: None },
            Err(why) => News::Unknown(why),
        },
        (State::Crediting, 200..=299) => match read::<Credit>(answer).and_then(|credit| check_credit(row, &credit)) {
            Ok(None | Some(CreditState::Credited)) => step(Step::Credited),
            Ok(Some(CreditState::Voided)) => News::Unknown("answered that it is void".to_owned()),
            Err(why) => News::Unknown(why),
        },
        (State::Voiding, 200..=299) => match read_if_any::<Credit>(answer) {
            Ok(Some(credit)) if credit.credit_id != credit_id(row) => {
                News::Unknown("answered for another credit".to_owned())
            }
            Ok(Some(Credit { state: Some(CreditState::Credited), .. })) => {
                News::Unknown("answered that it is credited".to_owned())
            }
            Ok(_) => step(Step::Voided),
            Err(why) => News::Unknown(why),
        },
        (State::Capturing, 200..=299) => {
            same_hold(row, answer, HoldState::Captured).map_or_else(News::Unknown, |()| step(Step::Captured))
        }
        (State::Releasing, 200..=299) => {
            same_hold(row, answer, HoldState::Released).map_or_else(News::Unknown, |()| step(Step::Released))
        }
        (State::Done | State::Released, _) => News::Unknown("nothing was asked".to_owned()),
        // A void is never refused for good: whether the credit is there is asked again.
        (State::Voiding, status) => News::Unknown(format!("answered {status}")),
        (_, 422) => match read::<Refusal>(answer).and_then(|refusal| plain_code(&refusal.code)) {
            // Something is there under this id: that is no refusal of it.
            Ok(code) if code == ID_TAKEN => News::Unknown("it knows this id with another request".to_owned()),
            Ok(code) => News::Step { step: Step::Refused, lots: Vec::new(), cause: Some(code) },
            Err(why) => News::Unknown(format!("answered 422, but {why}")),
        },
        (_, status) => News::Unknown(format!("answered {status}")),
    }
}

/// What a look says, where it proves something; a 404 proves nothing.
pub fn seen(row: &CrossingRow, answer: &Answer) -> Option<News> {
    if answer.status != 200 {
        return None;
    }
    let step = |step, lots| Some(News::Step { step, lots, cause: None });
    match row.state {
        State::Holding | State::Capturing => {
            let hold = read::<Hold>(answer).ok()?;
            let lots = lots_of(row, &hold).ok()?;
            match (row.state, hold.state?) {
                (State::Holding, HoldState::Held) => step(Step::Held, lots),
                (State::Capturing, HoldState::Captured) => step(Step::Captured, Vec::new()),
                _ => None,
            }
        }
        State::Crediting | State::Voiding => {
            let credit = read::<Credit>(answer).ok()?;
            match (row.state, check_credit(row, &credit).ok()??) {
                (_, CreditState::Credited) => step(Step::Credited, Vec::new()),
                (State::Voiding, CreditState::Voided) => step(Step::Voided, Vec::new()),
                _ => None,
            }
        }
        State::Releasing | State::Done | State::Released => None,
    }
}

/// How long until it is asked again: a quarter second, doubled each time, half a minute at most; `chance` is 0 to 255.
pub fn wait(attempts: u32, asked_for: Option<Duration>, chance: u8) -> Duration {
    let base = Duration::from_millis(250) * 2_u32.pow(attempts.min(7));
    // ± 20 %, so that what failed together does not come back together.
    let spread = base * (800 + 400 * u32::from(chance) / 255) / 1_000;
    spread.max(asked_for.unwrap_or_default()).min(Duration::from_secs(300))
}

fn purpose(kind: Kind) -> Purpose {
    match kind {
        Kind::Conversion => Purpose::Base,
        Kind::Undo => Purpose::Undo,
        Kind::Reversal => Purpose::Reversal,
    }
}

fn lot(parcel: &Parcel, kind: Option<LotKind>) -> Lot {
    let expires_on = match parcel.expires {
        Expiry::On(day) => Some(day),
        Expiry::Never => None,
    };
    Lot { points: parcel.points.get(), expires_on, kind }
}

/// The lots to be credited; of a conversion each says whether it is the rate's or a campaign's.
fn credited(row: &CrossingRow) -> Vec<Lot> {
    let mut base = row.credit;
    let kind = |parcel: &Parcel| {
        let is_base = !base.is_zero();
        base = base.less(parcel.points);
        if is_base { LotKind::Base } else { LotKind::Bonus }
    };
    match row.kind {
        Kind::Conversion => {
            let kinds: Vec<LotKind> = row.lots_arriving.iter().map(kind).collect();
            row.lots_arriving.iter().zip(kinds).map(|(parcel, kind)| lot(parcel, Some(kind))).collect()
        }
        Kind::Undo | Kind::Reversal => row.lots_arriving.iter().map(|parcel| lot(parcel, None)).collect(),
    }
}

/// The lots of a hold that stands.
fn held(row: &CrossingRow, hold: &Hold) -> Result<Vec<Parcel>, String> {
    match hold.state {
        None | Some(HoldState::Held) => lots_of(row, hold),
        Some(state) => Err(format!("answered that it is {state:?}").to_lowercase()),
    }
}

/// The lots of a hold, when it is this one and they are just what was asked for.
fn lots_of(row: &CrossingRow, hold: &Hold) -> Result<Vec<Parcel>, String> {
    if hold.hold_id != hold_id(row) {
        return Err("answered for another hold".to_owned());
    }
    let wanted = row.source_points();
    if hold.points != wanted.get() {
        return Err(format!("holds {} points instead of {}", hold.points, wanted.get()));
    }
    if hold.lots.len() > LOTS_MAX {
        return Err(format!("holds more than {LOTS_MAX} lots"));
    }
    let parcel = |lot: &Lot| {
        let points = Points::new(lot.points).filter(|points| !points.is_zero())?;
        let expires = lot.expires_on.map_or(Expiry::Never, Expiry::On);
        // Of points that come back the dates are ours; of others, they are to be dates at which points can end.
        (row.kind != Kind::Conversion || can_end(expires, row.day)).then_some(Parcel { points, expires })
    };
    let parcels: Option<Vec<Parcel>> = hold.lots.iter().map(parcel).collect();
    let parcels = parcels.ok_or("holds a lot of no points, or one that ends at no month's end to come")?;
    if Points::sum(parcels.iter().map(|parcel| parcel.points)) != Some(wanted) {
        return Err("its lots are not the points it holds".to_owned());
    }
    Ok(parcels)
}

/// Whether lots may end so: never, or with a month that is not over, within reason.
fn can_end(expires: Expiry, day: NaiveDate) -> bool {
    match expires {
        Expiry::Never => true,
        Expiry::On(end) => is_month_end(end) && end >= day && end.year() <= day.year() + ENDS_YEARS,
    }
}

fn check_credit(row: &CrossingRow, credit: &Credit) -> Result<Option<CreditState>, String> {
    if credit.credit_id != credit_id(row) {
        return Err("answered for another credit".to_owned());
    }
    let wanted = row.target_points().get();
    // One that is void has no points.
    if credit.points != wanted && credit.state != Some(CreditState::Voided) {
        return Err(format!("credited {} points instead of {wanted}", credit.points));
    }
    Ok(credit.state)
}

fn same_hold(row: &CrossingRow, answer: &Answer, wanted: HoldState) -> Result<(), String> {
    match read_if_any::<Hold>(answer)? {
        Some(hold) if hold.hold_id != hold_id(row) => Err("answered for another hold".to_owned()),
        Some(Hold { state: Some(state), .. }) if state != wanted => {
            Err(format!("answered that it is {state:?}").to_lowercase())
        }
        _ => Ok(()),
    }
}

/// A code short and plain enough to be shown and kept.
fn plain_code(code: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if (1..=64).contains(&code.len()) && code.bytes().all(plain) {
        Ok(code.to_owned())
    } else {
        Err("its code is no code".to_owned())
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, String> {
    // A member that occurs twice, and a number that is no whole one, are errors of the format.
    serde_json::from_slice(&answer.body).map_err(|why| format!("an answer that cannot be read: {why}"))
}

/// An answer's body may be left out where its status says all.
fn read_if_any<T: DeserializeOwned>(answer: &Answer) -> Result<Option<T>, String> {
    if answer.body.is_empty() { Ok(None) } else { read(answer).map(Some) }
}

fn json<T: serde::Serialize>(body: &T) -> Vec<u8> {
    // Plain strings and numbers always serialise.
    serde_json::to_vec(body).unwrap_or_default()
}

#[cfg(test)]
mod tests;
