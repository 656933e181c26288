//! Deciding a dispute, by four eyes: one operator proposes, another one's same words decide, and an upheld one is posted as
//! an adjustment in the same transaction.

use super::super::standing;
use super::steps::{seen, step};
use super::{Error, Viewer, Whole, is_other, once, tell, whole};
use crate::book::engine::world::EventKind;
use crate::book::posting::{self, Posting};
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::{AdjustmentId, DisputeId};
use crate::domain::money::Millionths;
use crate::domain::settlement::Participant;
use crate::domain::settlement::dispute::{self, Outcome, State, Step};
use crate::service::settlement::adjust::{self, Asked};
use crate::service::settlement::broken;
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
    /// Who gives it, where the dispute names nobody.
    pub counterparty: Option<Participant>,
    /// 1 to 500 characters.
    pub reason: String,
}

/// Proposes a decision, or decides by the same words that another operator has proposed. The same operator again changes
/// nothing; other words are `Stale`. With it, whether anything has changed.
pub fn decide(conn: &mut PgConnection, by: &str, id: DisputeId, decision: &Decision) -> Result<(Whole, bool), Error> {
    let loaded = catalogue::load(conn)?;
    posting::post(conn, loaded.alliance.zone, |conn, posting| {
        let row = seen(conn, &Viewer::Operator, id)?;
        let award = award(&row, decision)?;
        let counterparty = counterparty(&loaded, &row, decision)?;
        let known = whole(conn, row)?;
        if let Some(first) = &known.proposed {
            // Where the dispute names one by now, no other can have been said.
            let named = known.row.parties.counterparty.is_some() || first.counterparty == counterparty;
            if !named || (first.outcome, first.award, &first.reason) != (decision.outcome, award, &decision.reason) {
                let what = if first.settled.is_some() { "decided" } else { "proposed" };
                return Err(Error::Stale(format!("Another decision was {what} before, by {}.", first.by)));
            }
            if first.settled.is_some() || first.by == by {
                return Ok((known, false));
            }
        }
        step(&known.row, Step::Decide)?;
        in_time(&known.row, posting)?;
        if let Some(award) = award {
            let parties = known.row.parties.clone().or_named(counterparty.clone());
            once::may_be_given(conn, &known.row, &parties, award)?;
        }
        let Some(proposed) = known.proposed else {
            let proposed = Proposed {
                dispute: id,
                place: next_place(conn, id)?,
                outcome: decision.outcome,
                award,
                counterparty,
                reason: decision.reason.clone(),
                by: by.to_owned(),
                at: posting.at(),
                settled: None,
            };
            stored::propose(conn, &proposed)?;
            return Ok((Whole { proposed: Some(proposed), ..known }, true));
        };
        let done = settle(conn, posting, Whole { proposed: None, ..known }, proposed, by)?;
        tell(posting, EventKind::DisputeDecided, &done, &loaded.alliance.currency)?;
        Ok((done, true))
    })
}

/// Decides what was proposed, by another operator.
fn settle(
    conn: &mut PgConnection,
    posting: &mut Posting,
    known: Whole,
    proposed: Proposed,
    by: &str,
) -> Result<Whole, Error> {
    let parties = known.row.parties.clone().or_named(proposed.counterparty.clone());
    let row = Row { parties, state: State::Decided, state_at: posting.at(), ..known.row.clone() };
    let adjustment = proposed.award.map(|award| adjust(conn, posting, &row, &proposed, award, by)).transpose()?;
    let settled = Settled { decided: true, by: by.to_owned(), at: posting.at(), adjustment };
    stored::settle(conn, &proposed, &settled)?;
    stored::decide(conn, &known.row, row.parties.counterparty.as_ref(), posting.at())?;
    standing::settled(conn, posting, &known.row)?;
    let proposed = Some(Proposed { settled: Some(settled), ..proposed });
    Ok(Whole { row, proposed, ..known })
}

/// Once the counterparty was heard or its last day is over, as it is kept for one that nobody is named in, too.
fn in_time(row: &Row, posting: &Posting) -> Result<(), Error> {
    let until = row.answer_by;
    if row.state.may_decide(until, posting.day()) {
        return Ok(());
    }
    Err(Error::Stale(match row.parties.counterparty {
        Some(_) => format!("The counterparty has not answered and may do so until {until}."),
        None => format!("No counterparty is named: it may be decided after {until}."),
    }))
}

/// Who gives the award: the dispute's own counterparty, or else the one that an upheld decision has to name.
fn counterparty(catalogue: &Catalogue, row: &Row, decision: &Decision) -> Result<Option<Participant>, Error> {
    let no = |why: &str| Err(Error::invalid("/counterparty", why));
    match (&row.parties.counterparty, &decision.counterparty, decision.outcome) {
        (Some(known), Some(said), _) if known != said => no("must be left out: the dispute names another"),
        (Some(_), _, _) | (None, None, Outcome::Rejected) => Ok(None),
        (None, None, Outcome::Upheld) => no("is required: the dispute names nobody"),
        (None, Some(_), Outcome::Rejected) => no("must be left out: what is rejected gives nothing"),
        (None, Some(said), Outcome::Upheld) if is_other(catalogue, &row.parties.opener, said) => Ok(Some(said.clone())),
        (None, Some(_), Outcome::Upheld) => no("must be another partner, or operator"),
    }
}

/// Takes a proposal back that nobody has decided by, so that another can be made. Without one, nothing changes.
pub fn take_back(conn: &mut PgConnection, by: &str, id: DisputeId) -> Result<(Whole, bool), Error> {
    let alliance = catalogue::load(conn)?.alliance;
    posting::post(conn, alliance.zone, |conn, posting| {
        let row = seen(conn, &Viewer::Operator, id)?;
        let known = whole(conn, row)?;
        let Some(proposed) = &known.proposed else { return Ok((known, false)) };
        if proposed.settled.is_some() {
            return Err(Error::Stale("The dispute is decided already.".to_owned()));
        }
        let settled = Settled { decided: false, by: by.to_owned(), at: posting.at(), adjustment: None };
        stored::settle(conn, proposed, &settled)?;
        Ok((Whole { proposed: None, ..known }, true))
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
    let adjusted = dispute::adjusted(&row.parties, award).ok_or_else(|| broken("an upheld dispute of one side"))?;
    let dispute::Adjusted { from, to, amount } = adjusted;
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
