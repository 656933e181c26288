//! Disputes: a participant says what is wrong with one of its lines, the other side answers, two operators decide, and an
//! adjustment in the window open then gives the opener its award. Statement and obligation stay as they are.
//!
//! `open` · `steps` answers and withdrawals · `decide` proposals and decisions · `once` the same mistake is made
//! good once · `show` what each side is told.

mod decide;
mod once;
mod open;
mod show;
mod steps;

pub use decide::{Decision, decide, take_back};
pub use open::{About, Opening, open};
pub(in crate::service::settlement) use open::{Ground, open_within};
pub use show::{DecisionAnswer, DisputeAnswer, FiguresAnswer, ProposalAnswer, SaidAnswer};
pub use steps::{answer, withdraw};

use crate::book::engine::world::EventKind;
use crate::book::posting::Posting;
use crate::domain::catalogue::Catalogue;
use crate::domain::holder::Holder;
use crate::domain::ids::DisputeId;
use crate::domain::settlement::Participant;
use crate::domain::settlement::dispute::State;
use crate::store;
use crate::store::settlement::disputes::{self as stored, Answered, Filter, Proposed, Row};
use chrono::NaiveDate;
use diesel::PgConnection;
use std::collections::HashMap;

/// Why a dispute is not opened, answered, withdrawn or decided.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Settlement(#[from] super::Error),
    /// One field of what was asked, by its JSON pointer.
    #[error("{pointer} {detail}")]
    Invalid { pointer: &'static str, detail: String },
    #[error("such lines of this window could be disputed until {0}")]
    Closed(NaiveDate),
    /// Something else was said or done before.
    #[error("{0}")]
    Stale(String),
    #[error("only {0} may do this")]
    Forbidden(&'static str),
}

impl Error {
    fn invalid(pointer: &'static str, detail: impl std::fmt::Display) -> Error {
        Error::Invalid { pointer, detail: detail.to_string() }
    }

    fn not_found() -> Error {
        Error::Settlement(super::Error::NotFound)
    }
}

impl From<store::Error> for Error {
    fn from(cause: store::Error) -> Error {
        Error::Settlement(cause.into())
    }
}

impl From<crate::book::store::Error> for Error {
    fn from(cause: crate::book::store::Error) -> Error {
        Error::Settlement(cause.into())
    }
}

impl From<diesel::result::Error> for Error {
    fn from(cause: diesel::result::Error) -> Error {
        Error::Settlement(cause.into())
    }
}

/// A dispute with all that was said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    pub row: Row,
    pub answered: Option<Answered>,
    /// The proposal that waits for another operator, or decided; those taken back are left out.
    pub proposed: Option<Proposed>,
}

/// Who looks: a party to the dispute, or an operator, who sees all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Viewer {
    Party(Participant),
    Operator,
}

impl From<&Holder> for Viewer {
    fn from(holder: &Holder) -> Viewer {
        match holder {
            Holder::Partner(slug) => Viewer::Party(Participant::from(slug)),
            Holder::Operator(_) => Viewer::Operator,
        }
    }
}

impl Viewer {
    fn sees(&self, row: &Row) -> bool {
        match self {
            Viewer::Party(own) => *own == row.parties.opener || Some(own) == row.parties.counterparty.as_ref(),
            Viewer::Operator => true,
        }
    }
}

/// Disputes the viewer is a party to, newest first, older than `before`, at most `limit`.
pub fn list(
    conn: &mut PgConnection,
    viewer: &Viewer,
    state: Option<State>,
    before: Option<DisputeId>,
    limit: i64,
) -> Result<Vec<Whole>, Error> {
    let party = match viewer {
        Viewer::Party(own) => Some(own.clone()),
        Viewer::Operator => None,
    };
    let rows = stored::list(conn, &Filter { party, state, before }, limit)?;
    wholes(conn, rows)
}

/// One dispute; `NotFound` unless the viewer is a party to it.
pub fn get(conn: &mut PgConnection, viewer: &Viewer, id: DisputeId) -> Result<Whole, Error> {
    let row = stored::find(conn, id)?.filter(|row| viewer.sees(row)).ok_or_else(Error::not_found)?;
    whole(conn, row)
}

fn whole(conn: &mut PgConnection, row: Row) -> Result<Whole, Error> {
    wholes(conn, vec![row])?.pop().ok_or_else(Error::not_found)
}

fn wholes(conn: &mut PgConnection, rows: Vec<Row>) -> Result<Vec<Whole>, Error> {
    let ids: Vec<DisputeId> = rows.iter().map(|row| row.id).collect();
    let answers = stored::answers(conn, &ids)?.into_iter().map(|row| (row.dispute, row));
    let mut answers: HashMap<DisputeId, Answered> = answers.collect();
    let standing = |row: &Proposed| row.settled.as_ref().is_none_or(|settled| settled.decided);
    let proposed = stored::proposals(conn, &ids)?.into_iter().filter(standing).map(|row| (row.dispute, row));
    let mut proposed: HashMap<DisputeId, Proposed> = proposed.collect();
    let whole = |row: Row| Whole { answered: answers.remove(&row.id), proposed: proposed.remove(&row.id), row };
    Ok(rows.into_iter().map(whole).collect())
}

/// Whether `participant` may stand against the opener: another partner, or the operator.
fn is_other(catalogue: &Catalogue, opener: &Participant, participant: &Participant) -> bool {
    participant != opener && participant.partner().is_none_or(|slug| catalogue.partners.contains_key(slug))
}

/// Tells both parties, each what it may see; the operator reads no feed.
fn tell(posting: &mut Posting, kind: EventKind, whole: &Whole, currency: &str) -> Result<(), Error> {
    for party in [Some(&whole.row.parties.opener), whole.row.parties.counterparty.as_ref()].into_iter().flatten() {
        if let Some(partner) = party.partner() {
            let shown = DisputeAnswer::of(whole, &Viewer::Party(party.clone()), currency);
            let body = serde_json::to_value(shown).map_err(super::broken)?;
            posting.tell(partner, kind, whole.row.id.0, &body);
        }
    }
    Ok(())
}
