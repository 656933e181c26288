//! Adjustments: one person asks, another approves, and it is posted in the window open then.

use super::Error;
use crate::book::exposures::{self, ExposureKey};
use crate::book::posting::{self, Posting};
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::{AdjustmentId, ConversionId};
use crate::domain::money::Millionths;
use crate::domain::settlement::Participant;
use crate::domain::settlement::adjustment::{self, State, Step};
use crate::store::catalogue;
use crate::store::settlement::adjustments::{self, Posted, Request};
use diesel::prelude::*;
use uuid::Uuid;

const NAME: &str = "say who it is, in 1 to 64 characters on one line";

/// What somebody asks for: `from` owes `to` the amount, negative the other way.
#[derive(Clone, Debug)]
pub struct Asked {
    pub from: Participant,
    pub to: Participant,
    pub amount: Millionths,
    pub reason: String,
    pub dispute: Option<Uuid>,
    pub conversion: Option<ConversionId>,
    pub by: String,
}

/// Keeps the request until another person settles it.
pub fn ask(conn: &mut PgConnection, asked: &Asked) -> Result<AdjustmentId, Error> {
    check(&catalogue::load(conn)?, asked)?;
    let row = Request {
        id: AdjustmentId(Uuid::now_v7()),
        from: asked.from.to_string(),
        to: asked.to.to_string(),
        amount: asked.amount,
        reason: asked.reason.clone(),
        dispute: asked.dispute,
        conversion: asked.conversion.map(|id| id.0),
        asked_by: asked.by.clone(),
        asked_at: catalogue::business_now(conn)?,
        state: State::Asked,
        settled_by: None,
    };
    adjustments::ask(conn, &row)?;
    Ok(row.id)
}

fn check(catalogue: &Catalogue, asked: &Asked) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::Refused(why.to_owned()));
    let unknown =
        |participant: &&Participant| participant.partner().is_some_and(|slug| !catalogue.partners.contains_key(slug));
    if let Some(participant) = [&asked.from, &asked.to].into_iter().find(unknown) {
        return refuse(&format!("there is no partner {participant}"));
    }
    if asked.from == asked.to {
        return refuse("an adjustment is between two participants: partners, or the operator");
    }
    if asked.amount == Millionths::ZERO {
        return refuse("an adjustment is an amount above or below zero");
    }
    if !adjustment::is_within(asked.amount) {
        return refuse("an adjustment is at most 100000000000.00, either way");
    }
    if !adjustment::is_name(&asked.by) {
        return refuse(NAME);
    }
    if asked.reason.trim().is_empty()
        || asked.reason.chars().count() > 500
        || asked.reason.chars().any(char::is_control)
    {
        return refuse("say why, in at most 500 characters on one line");
    }
    Ok(())
}

/// Approves or refuses what another person has asked for; approved, it is posted. A repeat changes nothing.
pub fn settle(conn: &mut PgConnection, id: AdjustmentId, approve: bool, by: &str) -> Result<Request, Error> {
    let zone = catalogue::load(conn)?.alliance.zone;
    posting::post(conn, zone, |conn, posting| settle_within(conn, posting, id, approve, by))
}

/// The same, as part of a posting that does more.
pub(super) fn settle_within(
    conn: &mut PgConnection,
    posting: &mut Posting,
    id: AdjustmentId,
    approve: bool,
    by: &str,
) -> Result<Request, Error> {
    let row = adjustments::lock(conn, id)?.ok_or_else(|| Error::Absent(format!("adjustment {id}")))?;
    if !adjustment::is_name(by) {
        return Err(Error::Refused(NAME.to_owned()));
    }
    let step = if approve { Step::Approve } else { Step::Refuse };
    let Some(after) = row.state.on(step) else {
        let by = row.settled_by.unwrap_or_default();
        return Err(Error::Refused(format!("it was {} before, by {by}", row.state.code())));
    };
    if row.state == after {
        return Ok(row);
    }
    if approve && adjustment::is_same_person(&row.asked_by, by) {
        return Err(Error::Refused("who asked for it does not approve it: another person must".to_owned()));
    }
    adjustments::settle(conn, id, approve, by, posting.at())?;
    if approve {
        let party = |text: &str| Participant::parse(text).ok_or_else(|| super::broken(text));
        let (from, to) = (party(&row.from)?, party(&row.to)?);
        for (key, by) in exposed(&from, &to, row.amount) {
            // There may be no agreement in this direction yet: what is owed counts all the same.
            exposures::keep(conn, &key)?;
            posting.expose(conn, &key, by)?;
        }
        let (batch_no, window) = (posting.batch_no(), posting.window());
        let posted = Posted { batch_no, window, at: posting.at(), day: posting.day() };
        adjustments::insert(conn, &row, by, &posted)?;
    }
    Ok(Request { state: after, settled_by: Some(by.to_owned()), ..row })
}

/// How each exposure moves: the pair's gross, then what each partner owes net.
fn exposed(from: &Participant, to: &Participant, amount: Millionths) -> Vec<(ExposureKey, Millionths)> {
    let mut moves = Vec::with_capacity(3);
    if let (Some(from), Some(to)) = (from.partner(), to.partner()) {
        moves.push((ExposureKey::Pair(from.clone(), to.clone()), amount));
    }
    moves.extend(from.partner().map(|slug| (ExposureKey::Partner(slug.clone()), amount)));
    moves.extend(to.partner().map(|slug| (ExposureKey::Partner(slug.clone()), amount.negated())));
    moves
}

/// Requests, those that wait first.
pub fn list(conn: &mut PgConnection, limit: i64) -> Result<Vec<Request>, Error> {
    Ok(adjustments::list(conn, limit)?)
}
