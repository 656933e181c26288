//! What the parties do to a dispute: the counterparty answers it, its opener withdraws it. A repeat changes nothing, and says
//! so: each step comes with whether it has changed anything.

use super::super::standing;
use super::{Error, Viewer, Whole, tell, whole};
use crate::book::engine::world::EventKind;
use crate::book::posting;
use crate::domain::holder::Holder;
use crate::domain::ids::{DisputeId, Slug};
use crate::domain::settlement::Participant;
use crate::domain::settlement::dispute::{Answer, State, Step};
use crate::store::catalogue;
use crate::store::settlement::disputes::{self as stored, Answered, Row};
use diesel::PgConnection;

/// Answers for the counterparty: itself, or an operator where that is `operator`.
pub fn answer(
    conn: &mut PgConnection,
    by: &Holder,
    id: DisputeId,
    (said, note): (Answer, &str),
) -> Result<(Whole, bool), Error> {
    let alliance = catalogue::load(conn)?.alliance;
    posting::post(conn, alliance.zone, |conn, posting| {
        let row = seen(conn, &Viewer::from(by), id)?;
        let counterparty = row.parties.counterparty.as_ref();
        let answers = match by {
            Holder::Partner(slug) => counterparty == Some(&Participant::from(slug)),
            Holder::Operator(_) => counterparty.is_some_and(Participant::is_operator),
        };
        if !answers {
            return Err(Error::Forbidden("the counterparty"));
        }
        let known = whole(conn, row)?;
        if let Some(first) = &known.answered {
            // Even after it was decided: what landed stays landed.
            return if (first.answer, first.note.as_str()) == (said, note) {
                Ok((known, false))
            } else {
                Err(Error::Stale(format!("It was answered before: {}.", first.answer.code())))
            };
        }
        let after = step(&known.row, Step::Answer)?;
        let answered =
            Answered { dispute: id, answer: said, note: note.to_owned(), by: by.name().to_owned(), at: posting.at() };
        stored::insert_answer(conn, &answered)?;
        stored::step(conn, &known.row, after, posting.at())?;
        let row = Row { state: after, state_at: posting.at(), ..known.row };
        let done = Whole { row, answered: Some(answered), ..known };
        tell(posting, EventKind::DisputeAnswered, &done, &alliance.currency)?;
        Ok((done, true))
    })
}

/// Lets a dispute go, for good.
pub fn withdraw(conn: &mut PgConnection, opener: &Slug, id: DisputeId) -> Result<(Whole, bool), Error> {
    let alliance = catalogue::load(conn)?.alliance;
    let opener = Participant::from(opener);
    posting::post(conn, alliance.zone, |conn, posting| {
        let row = seen(conn, &Viewer::Party(opener.clone()), id)?;
        if row.parties.opener != opener {
            return Err(Error::Forbidden("its opener"));
        }
        let after = step(&row, Step::Withdraw)?;
        let known = whole(conn, row)?;
        if known.row.state == after {
            return Ok((known, false));
        }
        stored::step(conn, &known.row, after, posting.at())?;
        standing::settled(conn, posting, &known.row)?;
        let done = Whole { row: Row { state: after, state_at: posting.at(), ..known.row }, ..known };
        tell(posting, EventKind::DisputeWithdrawn, &done, &alliance.currency)?;
        Ok((done, true))
    })
}

/// A dispute the viewer is a party to, held until the transaction ends.
pub(super) fn seen(conn: &mut PgConnection, viewer: &Viewer, id: DisputeId) -> Result<Row, Error> {
    stored::lock(conn, id)?.filter(|row| viewer.sees(row)).ok_or_else(Error::not_found)
}

/// The state after a step; `Stale` when the dispute has gone another way.
pub(super) fn step(row: &Row, step: Step) -> Result<State, Error> {
    row.state.on(step).ok_or_else(|| Error::Stale(format!("The dispute is {} already.", row.state.code())))
}
