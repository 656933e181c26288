//! What becomes of a partner (rule 14): joining, active, suspended, leaving, left.
//!
//! A step is taken with the fence held alone and raises the catalogue's version, so that every lane of every server
//! decides by it from its next batch on; partners that have an agreement with this one are told in the same transaction.
//! `Departures` does what time brings about.

mod departures;

pub use crate::store::partners::{Past, Standing};
pub use departures::Departures;

use crate::book::engine::world::EventKind;
use crate::book::{fence, posting};
use crate::domain::catalogue::{Catalogue, PartnerStatus};
use crate::domain::ids::Slug;
use crate::domain::lifecycle::Step;
use crate::signing::digest::directory_hash;
use crate::store::catalogue::{self, status_text, write};
use crate::store::locks::PUBLISHING;
use crate::store::partners::{self, Stepped};
use crate::store::settlement::windows;
use crate::{book, store};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::BigInt;
use serde_json::json;
use std::collections::BTreeSet;

/// Quarters of a second to wait for the fence: half a minute.
const FENCE_ROUNDS: u32 = 120;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the book: {0}")]
    Book(#[from] book::store::Error),
    #[error("no partner {0} is published here")]
    Unknown(Slug),
    #[error("{partner} is {}: there is nothing to {step}", status_text(*status))]
    NotNow { partner: Slug, status: PartnerStatus, step: &'static str },
    #[error("a reason has 1 to 500 characters")]
    Reason,
    #[error("certificates: {0}")]
    Certificates(#[from] crate::service::issuing::Error),
}

impl From<diesel::result::Error> for Error {
    fn from(cause: diesel::result::Error) -> Error {
        Error::Store(cause.into())
    }
}

/// No new quotes, conversions or claims in either direction, at once; what is held finishes and settlement goes on.
pub fn suspend(conn: &mut PgConnection, partner: &Slug, reason: &str) -> Result<Standing, Error> {
    take(conn, partner, |_| Step::Suspend, reason)
}

/// The suspension is over: active again, or leaving if notice was given.
pub fn resume(conn: &mut PgConnection, partner: &Slug, reason: &str) -> Result<Standing, Error> {
    take(conn, partner, |standing| Step::Resume { leaving: standing.leaves_at.is_some() }, reason)
}

/// Notice is given: nothing arrives any more from now on, and it sends until the longest notice of its agreements is over.
/// Given again, the first date stands.
pub fn leave(conn: &mut PgConnection, partner: &Slug, reason: &str) -> Result<Standing, Error> {
    take(conn, partner, |_| Step::Leave, reason)
}

/// A partner that waited for its first certificate has it.
pub fn activate(conn: &mut PgConnection, partner: &Slug) -> Result<Standing, Error> {
    take(conn, partner, |_| Step::Activate, "its first certificate")
}

/// The same for whoever is waiting; anybody else stays as it is, and who is not published yet is judged when it is.
pub fn activate_if_joining(conn: &mut PgConnection, partner: &Slug) -> Result<(), Error> {
    let joining = |standing: Standing| standing.status == PartnerStatus::Joining;
    if partners::find(conn, partner)?.is_some_and(joining) {
        activate(conn, partner)?;
    }
    Ok(())
}

/// How a partner came to be where it is, oldest step first.
pub fn steps(conn: &mut PgConnection, partner: &Slug) -> Result<Vec<Past>, Error> {
    Ok(partners::steps(conn, partner)?)
}

pub fn standing(conn: &mut PgConnection, partner: &Slug) -> Result<Standing, Error> {
    partners::find(conn, partner)?.ok_or_else(|| Error::Unknown(partner.clone()))
}

/// Nobody else publishes or posts until the transaction ends.
fn alone(conn: &mut PgConnection) -> Result<(), Error> {
    // Before the fence, as publishing does it: who publishes has read what this may change.
    sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(PUBLISHING).execute(conn)?;
    Ok(fence::exclusive(conn, FENCE_ROUNDS).map_err(book::store::Error::Fence)?)
}

/// Takes one step; a repeat of the last one changes nothing and tells nobody.
fn take(
    conn: &mut PgConnection,
    partner: &Slug,
    step: impl FnOnce(&Standing) -> Step,
    reason: &str,
) -> Result<Standing, Error> {
    if !(1..=500).contains(&reason.trim().chars().count()) {
        return Err(Error::Reason);
    }
    conn.transaction(|conn| {
        alone(conn)?;
        let before = standing(conn, partner)?;
        let step = step(&before);
        let status = before.status.on(step);
        let refused = || Error::NotNow { partner: partner.clone(), status: before.status, step: step.code() };
        let status = status.ok_or_else(refused)?;
        if status == before.status && (step != Step::Leave || before.leaves_at.is_some()) {
            return Ok(before);
        }
        stepped(conn, before, (step, status), reason.trim())
    })
}

fn stepped(
    conn: &mut PgConnection,
    before: Standing,
    (step, status): (Step, PartnerStatus),
    reason: &str,
) -> Result<Standing, Error> {
    let known = catalogue::load(conn)?;
    posting::begun(conn, known.alliance.zone, |conn, posting| {
        let at = posting.at();
        let notice = || at + TimeDelta::days(i64::from(notice_days(&known, &before.partner, at)));
        let leaves_at = before.leaves_at.or_else(|| (step == Step::Leave).then(notice));
        let left_window = match step {
            Step::Depart => Some(windows::open(conn)?.number),
            Step::Activate | Step::Suspend | Step::Resume { .. } | Step::Leave => before.left_window,
        };
        let partner = &before.partner;
        let event = step.code();
        partners::step(conn, &Stepped { partner, event, status, reason, at, leaves_at, left_window })?;
        write::raise_version(conn)?;
        if let Some(kind) = told(step) {
            let instant = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
            let mut body = json!({ "partner": partner.as_str(), "status": status_text(status), "since": instant(at) });
            if let Some(leaves_at) = leaves_at {
                body["leaves_at"] = instant(leaves_at).into();
            }
            let subject = directory_hash("partner", &[partner.as_str().as_bytes()]);
            for reader in neighbours(&known, partner) {
                posting.tell(&reader, kind, subject, &body);
            }
            // Why is between it and the operator.
            body["reason"] = reason.into();
            posting.tell(partner, kind, subject, &body);
        }
        Ok::<_, Error>(Standing { status, leaves_at, left_window, ..before.clone() })
    })
}

/// What is told of a step; joining is told by the rates that are published with it.
fn told(step: Step) -> Option<EventKind> {
    match step {
        Step::Activate => None,
        Step::Suspend => Some(EventKind::PartnerSuspended),
        Step::Resume { .. } => Some(EventKind::PartnerResumed),
        Step::Leave => Some(EventKind::PartnerLeaving),
        Step::Depart => Some(EventKind::PartnerLeft),
    }
}

/// The longest notice of the agreements in force that the partner is a side of; 0 without any.
fn notice_days(catalogue: &Catalogue, partner: &Slug, at: DateTime<Utc>) -> u32 {
    let sides = catalogue.pairs.iter().filter(|((from, to), _)| from == partner || to == partner);
    sides.filter_map(|(_, pair)| pair.agreement(at)).map(|agreement| agreement.notice_days).max().unwrap_or(0)
}

/// Everybody who has an agreement with the partner, in either direction.
fn neighbours(catalogue: &Catalogue, partner: &Slug) -> BTreeSet<Slug> {
    let agreed = catalogue.pairs.iter().filter(|(_, pair)| !pair.agreements.is_empty());
    let other = agreed.filter_map(|((from, to), _)| match partner {
        _ if from == partner => Some(to.clone()),
        _ if to == partner => Some(from.clone()),
        _ => None,
    });
    other.collect()
}
