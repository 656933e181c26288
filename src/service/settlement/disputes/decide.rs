//! Deciding a dispute, by four eyes: one operator proposes, another one's same words decide, and an upheld one is posted as
//! an adjustment in the same transaction.

use super::super::standing;
use super::steps::{seen, step};
use super::{Error, Viewer, Whole, tell, whole};
use crate::book::engine::world::EventKind;
use crate::book::posting::{self, Posting};
use crate::domain::ids::{AdjustmentId, DisputeId};
use crate::domain::money::Millionths;
use crate::domain::settlement::dispute::{self, Outcome, Step};
use crate::service::settlement::adjust::{self, Asked};
use crate::store::catalogue;
use crate::store::settlement::disputes::{self as stored, Proposed, Row, Settled};
use diesel::PgConnection;

/// Proposals of one dispute that may be taken back.
const PROPOSALS_MAX: usize = 100;

/// What an operator wants decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub outcome: Outcome,
    /// What an upheld one gives its opener; `None`: the whole claim.
    pub amount: Option<Millionths>,
    /// 1 to 500 characters.
    pub reason: String,
}

/// Proposes a decision, or decides by the same words that another operator has proposed. The same operator again changes
/// nothing; other words are `Stale`.
pub fn decide(conn: &mut PgConnection, by: &str, id: DisputeId, decision: &Decision) -> Result<Whole, Error> {
    let alliance = catalogue::load(conn)?.alliance;
    posting::post(conn, alliance.zone, |conn, posting| {
        let row = seen(conn, &Viewer::Operator, id)?;
        let award = award(&row, decision)?;
        let known = whole(conn, row)?;
        if let Some(first) = &known.proposed {
            if (first.outcome, first.award, &first.reason) != (decision.outcome, award, &decision.reason) {
                let what = if first.settled.is_some() { "decided" } else { "proposed" };
                return Err(Error::Stale(format!("Another decision was {what} before, by {}.", first.by)));
            }
            if first.settled.is_some() || first.by == by {
                return Ok(known);
            }
        }
        let after = step(&known.row, Step::Decide)?;
        if !known.row.state.may_decide(known.row.answer_by, posting.day()) {
            let until = known.row.answer_by;
            return Err(Error::Stale(format!("The counterparty has not answered and may do so until {until}.")));
        }
        made_good_once(conn, &known.row, award)?;
        let Some(proposed) = known.proposed else {
            let proposed = Proposed {
                dispute: id,
                place: next_place(conn, id)?,
                outcome: decision.outcome,
                award,
                reason: decision.reason.clone(),
                by: by.to_owned(),
                at: posting.at(),
                settled: None,
            };
            stored::propose(conn, &proposed)?;
            return Ok(Whole { proposed: Some(proposed), ..known });
        };
        let adjustment = award.map(|award| adjust(conn, posting, &known.row, &proposed, award, by)).transpose()?;
        let settled = Settled { decided: true, by: by.to_owned(), at: posting.at(), adjustment };
        stored::settle(conn, &proposed, &settled)?;
        stored::step(conn, &known.row, after, posting.at())?;
        standing::settled(conn, posting, &known.row)?;
        let row = Row { state: after, state_at: posting.at(), ..known.row };
        let proposed = Some(Proposed { settled: Some(settled), ..proposed });
        let done = Whole { row, proposed, ..known };
        tell(posting, EventKind::DisputeDecided, &done, &alliance.currency)?;
        Ok(done)
    })
}

/// What is wrong with a line is made good once, under whatever kinds it was disputed; so is what is missing, in whatever
/// windows.
fn made_good_once(conn: &mut PgConnection, row: &Row, award: Option<Millionths>) -> Result<(), Error> {
    let Some(_) = award else { return Ok(()) };
    match stored::upheld_beside(conn, row)? {
        Some(other) => Err(Error::Stale(format!("Another dispute of the same was upheld before: {other}."))),
        None => Ok(()),
    }
}

/// Takes a proposal back that nobody has decided by, so that another can be made. Without one, nothing changes.
pub fn take_back(conn: &mut PgConnection, by: &str, id: DisputeId) -> Result<Whole, Error> {
    let alliance = catalogue::load(conn)?.alliance;
    posting::post(conn, alliance.zone, |conn, posting| {
        let row = seen(conn, &Viewer::Operator, id)?;
        let known = whole(conn, row)?;
        let Some(proposed) = &known.proposed else { return Ok(known) };
        if proposed.settled.is_some() {
            return Err(Error::Stale("The dispute is decided already.".to_owned()));
        }
        let settled = Settled { decided: false, by: by.to_owned(), at: posting.at(), adjustment: None };
        stored::settle(conn, proposed, &settled)?;
        Ok(Whole { proposed: None, ..known })
    })
}

fn award(row: &Row, decision: &Decision) -> Result<Option<Millionths>, Error> {
    match decision.outcome {
        Outcome::Upheld => {
            let award = dispute::award(row.claim, decision.amount);
            award.map(Some).map_err(|why| Error::invalid("/amount", why))
        }
        Outcome::Rejected if decision.amount.is_some() => {
            Err(Error::invalid("/amount", "must be left out: what is rejected gives nothing"))
        }
        Outcome::Rejected => Ok(None),
    }
}

fn next_place(conn: &mut PgConnection, id: DisputeId) -> Result<i16, Error> {
    let made = stored::proposals(conn, &[id])?.len();
    if made >= PROPOSALS_MAX {
        return Err(Error::Stale(format!("{made} proposals were taken back: no more are taken.")));
    }
    Ok(i16::try_from(made + 1).map_err(super::super::broken)?)
}

/// Posts what gives the opener its award: asked for by the first operator, approved by the second.
fn adjust(
    conn: &mut PgConnection,
    posting: &mut Posting,
    row: &Row,
    proposed: &Proposed,
    award: Millionths,
    by: &str,
) -> Result<AdjustmentId, Error> {
    let dispute::Adjusted { from, to, amount } = dispute::adjusted(&row.parties, award);
    let asked = Asked {
        from,
        to,
        amount,
        reason: proposed.reason.clone(),
        dispute: Some(row.id.0),
        conversion: row.conversion,
        by: proposed.by.clone(),
    };
    let id = adjust::ask(conn, &asked)?;
    adjust::settle_within(conn, posting, id, true, by)?;
    Ok(id)
}
