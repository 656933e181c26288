//! What time brings about: windows that end by themselves, statements deemed accepted, obligations overdue. And what
//! partners are told of their statements.

use super::{Error, close, standing};
use crate::book::engine::world::EventKind;
use crate::book::posting::{self, Posting};
use crate::book::windows::Which;
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::Slug;
use crate::domain::settlement::statement::Step;
use crate::domain::settlement::{Participant, calendar};
use crate::service::keys::Keys;
use crate::store::catalogue;
use crate::store::settlement::{obligations, statements, windows};
use arc_swap::ArcSwap;
use diesel::PgConnection;
use serde_json::json;
use std::sync::Arc;

/// Statements or obligations in one posting.
const CHUNK: i64 = 200;

/// Looks at what is due, with a connection of its own; made again after the database was away.
pub struct Settler {
    url: String,
    keys: Arc<Keys>,
    catalogue: Arc<ArcSwap<Catalogue>>,
    conn: Option<PgConnection>,
}

impl Settler {
    pub fn new(url: &str, keys: Arc<Keys>, catalogue: Arc<ArcSwap<Catalogue>>) -> Settler {
        Settler { url: url.to_owned(), keys, catalogue, conn: None }
    }

    /// One look; `true` when something was done. A window that has ended is taken to its end, unless another server
    /// does so or it is blocked.
    pub fn tick(&mut self) -> Result<bool, Error> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => super::connect(&self.url)?,
        };
        let wanted = self.wanted(&mut conn)?;
        let closed = wanted.map(|which| close::close(&self.url, &self.keys, which, |_| ())).transpose();
        // A window that cannot be signed now keeps no deadline of others from coming.
        let answered = answer_late(&mut conn, &self.catalogue.load())?;
        self.conn = Some(conn);
        let closed = closed?.flatten();
        Ok(answered || closed.is_some_and(|window| window.blocked_by.is_none()))
    }

    /// How many windows are blocked, and for how many seconds of business time the oldest that has ended waits to be
    /// published; 0 when none does.
    pub fn backlog(&mut self) -> Result<(i64, i64), Error> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => super::connect(&self.url)?,
        };
        let windows::Backlog { blocked, since } = windows::backlog(&mut conn)?;
        let now = catalogue::business_now(&mut conn)?;
        self.conn = Some(conn);
        Ok((blocked, since.map_or(0, |since| (now - since).num_seconds().max(0))))
    }

    /// What there is to close, found without the fence: whether it is due is decided again under it.
    fn wanted(&self, conn: &mut PgConnection) -> Result<Option<Option<Which>>, Error> {
        let alliance = &self.catalogue.load().alliance;
        let opened = windows::open(conn)?.opened_at.with_timezone(&alliance.zone).date_naive();
        let today = catalogue::business_day(conn, alliance.zone)?;
        // A window ends with its period, whatever an earlier one waits for.
        let due = calendar::is_due(&alliance.settlement, opened, today).then_some(Which::Due);
        let unfinished = windows::unfinished(conn)?.is_some_and(|window| window.blocked_by.is_none());
        Ok((unfinished || due.is_some()).then_some(due))
    }
}

/// Deems statements accepted that nobody answered in time, and tells of obligations that were not paid in time.
pub fn answer_late(conn: &mut PgConnection, loaded: &Catalogue) -> Result<bool, Error> {
    let zone = loaded.alliance.zone;
    let today = catalogue::business_day(conn, zone)?;
    // A look without the fence: mostly there is nothing.
    if statements::unanswered(conn, today, 1)?.is_empty() && obligations::late(conn, today, 1)?.is_empty() {
        return Ok(false);
    }
    posting::post(conn, zone, |conn, posting| {
        let (at, today) = (posting.at(), posting.day());
        for row in statements::unanswered(conn, today, CHUNK)? {
            standing::on(conn, posting, &row, Step::Lapse)?;
        }
        for row in obligations::late(conn, today, CHUNK)? {
            if obligations::mark_overdue(conn, row.id, at)? {
                tell_parties(posting, EventKind::ObligationOverdue, &row);
            }
        }
        Ok::<_, Error>(())
    })?;
    Ok(true)
}

/// Tells every partner of its statement of a window and of what it owes or is owed for it.
pub fn tell_published(conn: &mut PgConnection, posting: &mut Posting, window: &windows::Row) -> Result<(), Error> {
    for row in statements::of_window(conn, window.id)? {
        tell_of(posting, EventKind::StatementPublished, &row);
    }
    for row in obligations::list(conn, Some(window.id), None)? {
        tell_parties(posting, EventKind::ObligationDue, &row);
    }
    Ok(())
}

/// Tells a statement's partner; the operator reads no feed.
pub fn tell_of(posting: &mut Posting, kind: EventKind, row: &statements::Row) {
    if let Some(partner) = row.participant.partner() {
        let body = json!({
            "statement_id": row.id.to_string(), "window_id": row.window.to_string(), "number": row.number,
            "lines": row.lines, "closing": row.closing.to_string(),
        });
        posting.tell(partner, kind, row.id.0, &body);
    }
}

/// Tells both parties to an obligation, as far as they are partners.
pub fn tell_parties(posting: &mut Posting, kind: EventKind, row: &obligations::Row) {
    let body = json!({
        "obligation_id": row.id.to_string(), "window_id": row.window.to_string(), "number": row.number,
        "debtor": row.debtor, "creditor": row.creditor, "amount": row.amount.to_string(), "paid": row.paid.to_string(),
        "due_on": row.due_on,
    });
    for party in [&row.debtor, &row.creditor] {
        if let Some(partner) = partner(party) {
            posting.tell(&partner, kind, row.id.0, &body);
        }
    }
}

fn partner(party: &str) -> Option<Slug> {
    let participant = Participant::parse(party).filter(|_| party != "alliance")?;
    participant.partner().cloned()
}
