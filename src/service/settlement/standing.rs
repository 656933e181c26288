//! How a published statement stands: signed, disputed, accepted by silence. What it says stays as it is.

use super::{Error, deadlines};
use crate::book::engine::world::EventKind;
use crate::book::posting::Posting;
use crate::domain::settlement::statement::{State, Step};
use crate::store::settlement::statements::{self, Row};
use crate::store::settlement::{disputes, windows};
use diesel::PgConnection;

/// Takes a statement a step on and tells its partner of where that leads; `None` when the step is not for its state.
pub fn on(conn: &mut PgConnection, posting: &mut Posting, row: &Row, step: Step) -> Result<Option<State>, Error> {
    let before = statements::lock(conn, row.id)?;
    let Some(after) = before.on(step) else { return Ok(None) };
    if after != before {
        statements::set_state(conn, row.id, after, posting.at())?;
        match after {
            State::Acknowledged => deadlines::tell_of(posting, EventKind::StatementAcknowledged, row),
            State::Deemed => deadlines::tell_of(posting, EventKind::StatementDeemed, row),
            // Its disputes are told of themselves.
            State::Published | State::Disputed => {}
        }
    }
    Ok(Some(after))
}

/// After a dispute is over: once it was the last one of its statement, that one is disputed no more.
pub fn settled(conn: &mut PgConnection, posting: &mut Posting, dispute: &disputes::Row) -> Result<(), Error> {
    let window = windows::find(conn, dispute.window)?.ok_or(Error::NotFound)?;
    let row = statements::find(conn, window.id, &dispute.parties.opener)?.ok_or(Error::NotFound)?;
    // Held before its disputes are counted: of two that end at once, the later one sees both.
    statements::lock(conn, row.id)?;
    if disputes::is_any_pending(conn, row.window, &row.participant)? {
        return Ok(());
    }
    let signed = statements::signatures(conn, row.id)?.iter().any(|made| made.signer == row.participant.as_str());
    on(conn, posting, &row, Step::Resolve { signed }).map(|_| ())
}
