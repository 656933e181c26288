//! Ends a window under the exclusive fence: every posting is wholly before or wholly after, and none waits for settlement.

use super::engine::world::EventKind;
use super::store::Error;
use super::store::codec::Unreadable;
use super::{fence, posting};
use crate::domain::catalogue::Catalogue;
use crate::domain::settlement::calendar::{self, Dates};
use crate::store::catalogue;
use crate::store::settlement::windows::{self, Closing, Row};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;

/// Rounds of a quarter second to get the fence.
const ROUNDS: u32 = 120;

/// Which window is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The open one, when its period is over.
    Due,
    /// The open one, now.
    Open,
    /// The one of this number, if it is still open.
    Numbered(i64),
}

/// Ends the open window and opens the next; `settings` is what it will be settled by. `None`: it is not to end.
///
/// Nothing decides that was read before the fence and has changed since.
pub fn close(
    conn: &mut PgConnection,
    which: Which,
    settings: impl FnOnce(&Catalogue) -> Result<String, Unreadable>,
) -> Result<Option<Row>, Error> {
    // Read before, for it may be large; under the fence it is only asked whether it is still the same.
    let mut catalogue = catalogue::load(conn)?;
    conn.transaction(|conn| {
        fence::exclusive(conn, ROUNDS).map_err(Error::Fence)?;
        if catalogue::version(conn)? != catalogue.version {
            catalogue = catalogue::load(conn)?;
        }
        let open = windows::open(conn)?;
        let now = catalogue::business_now(conn)?;
        let opened = day(&catalogue, open.opened_at);
        let today = day(&catalogue, now);
        let settlement = &catalogue.alliance.settlement;
        let wanted = match which {
            Which::Due => calendar::is_due(settlement, opened, today),
            Which::Open => true,
            Which::Numbered(number) => number == open.number,
        };
        if !wanted {
            return Ok(None);
        }
        let dates = calendar::dates(settlement, opened, today);
        let closing = Closing { closed_at: now, first_day: opened, dates, settings: settings(&catalogue)? };
        let closed = windows::close(conn, &open, &closing)?;
        tell(conn, &catalogue, &closed, &dates)?;
        Ok(Some(closed))
    })
}

fn day(catalogue: &Catalogue, at: DateTime<Utc>) -> NaiveDate {
    at.with_timezone(&catalogue.alliance.zone).date_naive()
}

/// The first posting of the next window says that this one has ended.
fn tell(conn: &mut PgConnection, catalogue: &Catalogue, closed: &Row, dates: &Dates) -> Result<(), Error> {
    let body = serde_json::json!({
        "window_id": closed.id.to_string(), "number": closed.number, "last_day": dates.last_day,
        "statement_by": dates.statement_by, "disputes_until": dates.disputes_until, "due_on": dates.due_on,
    });
    posting::begun(conn, catalogue.alliance.zone, |_, posting| {
        for partner in catalogue.partners.keys() {
            posting.tell(partner, EventKind::WindowClosed, closed.id.0, &body);
        }
        Ok::<_, Error>(())
    })
}
