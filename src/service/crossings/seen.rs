//! Crossings as operators and partners look at them: of whom what is asked, since when, and what people have said of it.

use super::carry::asked_of;
use crate::book::crossing::Kind;
use crate::domain::crossing::State;
use crate::domain::holder::Holder;
use crate::domain::ids::{ConversionId, ReversalId, Slug};
use crate::domain::resolution::{self, Outcome, Said};
use crate::service::answer::Shown;
use crate::service::exchange::{Error, seen_by};
use crate::store::crossings::seen::{self, Resolution, Row, Wanted};
use crate::store::crossings::{self, Evidence};
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use utoipa::ToSchema;
use uuid::Uuid;

/// A crossing by the id of what crosses: a conversion's, or an undo's or reversal's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossingId {
    Conversion(ConversionId),
    Reversal(ReversalId),
}

impl CrossingId {
    pub fn uuid(self) -> Uuid {
        match self {
            CrossingId::Conversion(id) => id.0,
            CrossingId::Reversal(id) => id.0,
        }
    }
}

impl fmt::Display for CrossingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CrossingId::Conversion(id) => id.fmt(f),
            CrossingId::Reversal(id) => id.fmt(f),
        }
    }
}

impl FromStr for CrossingId {
    type Err = crate::domain::ids::NotAnId;

    fn from_str(text: &str) -> Result<CrossingId, Self::Err> {
        text.parse().map(CrossingId::Conversion).or_else(|_| text.parse().map(CrossingId::Reversal))
    }
}

/// Which of those under way are wanted.
#[derive(Clone, Debug, Default)]
pub struct Search {
    pub state: Option<State>,
    /// A side of it.
    pub partner: Option<Slug>,
    pub in_doubt: Option<bool>,
    /// Accepted after this one.
    pub after: Option<Uuid>,
}

/// One crossing as it stands.
#[derive(Clone, Debug)]
pub struct Seen {
    pub row: Row,
    pub kind: Kind,
    pub state: State,
    /// What people have said of it, the oldest first.
    pub said: Vec<Word>,
}

/// What one operator has said.
#[derive(Clone, Debug)]
pub struct Word {
    pub said: Said,
    pub reason: String,
    pub at: DateTime<Utc>,
}

/// A word as it is kept, for ever.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Document {
    pub state: String,
    pub outcome: String,
    pub reason: String,
    /// Whose proposal it agreed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agrees_with: Option<String>,
}

/// What is under way, the oldest first; a partner sees its own.
pub fn list(conn: &mut PgConnection, reader: &Holder, search: &Search, limit: i64) -> Result<Vec<Seen>, Error> {
    let wanted = Wanted {
        reader: seen_by(reader).map(Slug::to_string),
        partner: search.partner.as_ref().map(Slug::to_string),
        state: search.state.map(State::number),
        in_doubt: search.in_doubt,
        after: search.after,
    };
    let rows = seen::under_way(conn, &wanted, limit)?;
    with_words(conn, rows)
}

/// One, under way or over.
pub fn one(conn: &mut PgConnection, id: CrossingId) -> Result<Option<Seen>, Error> {
    let row = seen::one(conn, id.uuid())?;
    let found = with_words(conn, row.into_iter().collect())?.pop();
    // An undo's id is no conversion's.
    Ok(found.filter(|found| (found.kind == Kind::Conversion) == matches!(id, CrossingId::Conversion(_))))
}

/// Everything that was kept of one: signed answers, and what people have said.
pub fn evidence(conn: &mut PgConnection, id: CrossingId) -> Result<Vec<Evidence>, Error> {
    Ok(crossings::evidence(conn, id.uuid())?)
}

/// How many are under way, by the partner that is asked next and what it is asked; a partner sees what is asked of it.
pub fn backlog(conn: &mut PgConnection, reader: &Holder) -> Result<Vec<BacklogAnswer>, Error> {
    let mut rows = crossings::backlog(conn)?;
    rows.retain(|row| seen_by(reader).is_none_or(|slug| slug.as_str() == row.partner));
    let answer = |row: crossings::Backlog| {
        let state = State::from_number(row.state).ok_or(UNREADABLE)?;
        Ok(BacklogAnswer {
            partner: row.partner,
            state: state.code(),
            crossings: row.crossings,
            in_doubt: row.in_doubt,
            oldest_seconds: row.oldest_s.unwrap_or(0),
        })
    };
    rows.into_iter().map(answer).collect()
}

const UNREADABLE: Error = Error::Broken("a crossing's row cannot be read");

fn with_words(conn: &mut PgConnection, rows: Vec<Row>) -> Result<Vec<Seen>, Error> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.crossing_id).collect();
    let said = if ids.is_empty() { Vec::new() } else { seen::resolutions(conn, &ids)? };
    let seen = |row: Row| {
        let own = said.iter().filter(|one| one.crossing_id == row.crossing_id);
        Ok(Seen {
            kind: Kind::from_number(row.kind).ok_or(UNREADABLE)?,
            state: State::from_number(row.state).ok_or(UNREADABLE)?,
            said: own.map(|one| word(one).ok_or(UNREADABLE)).collect::<Result<_, _>>()?,
            row,
        })
    };
    rows.into_iter().map(seen).collect()
}

fn word(one: &Resolution) -> Option<Word> {
    let document: Document = serde_json::from_str(&one.kept.document).ok()?;
    let state = State::ALL.into_iter().find(|state| state.code() == document.state)?;
    let outcome = Outcome::parse(&document.outcome)?;
    let said = Said { by: one.kept.by.clone(), outcome, state, with: document.agrees_with };
    Some(Word { said, reason: document.reason, at: one.kept.at })
}

impl Seen {
    /// `cnv_…`, or `rev_…`.
    pub fn id(&self) -> String {
        match self.kind {
            Kind::Conversion => ConversionId(self.row.crossing_id).to_string(),
            Kind::Undo | Kind::Reversal => ReversalId(self.row.crossing_id).to_string(),
        }
    }

    pub fn kind_code(&self) -> &'static str {
        match self.kind {
            Kind::Conversion => "conversion",
            Kind::Undo => "undo",
            Kind::Reversal => "reversal",
        }
    }

    /// Whose points go and whose come, and how many: an undo or a reversal goes the other way than its conversion.
    pub fn legs(&self) -> [(&str, i64); 2] {
        let from = (self.row.from_partner.as_str(), self.row.debit);
        let to = (self.row.to_partner.as_str(), self.row.credit);
        if self.kind == Kind::Conversion { [from, to] } else { [to, from] }
    }

    /// Who is asked; nobody when it is over.
    pub fn asked(&self) -> Option<&str> {
        let [(source, _), (target, _)] = self.legs();
        asked_of(self.state, source, target)
    }

    /// The words alone.
    pub(super) fn words(&self) -> Vec<Said> {
        self.said.iter().map(|word| word.said.clone()).collect()
    }

    /// What one operator has proposed and another is to say as well.
    pub fn proposal(&self) -> Option<&Word> {
        let words = self.words();
        let last = resolution::standing(&words, self.state).filter(|last| self.row.in_doubt && last.with.is_none())?;
        self.said.iter().rev().find(|word| word.said == *last)
    }

    /// What two have said last.
    pub fn resolution(&self) -> Option<(&Word, &str)> {
        self.said.iter().rev().find_map(|word| Some((word, word.said.with.as_deref()?)))
    }
}

/// What is on its way between two ledgers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Crossing)]
pub struct CrossingAnswer {
    #[schema(value_type = String, pattern = "^cnv_[0-9a-f]{32}$")]
    pub conversion_id: Shown<ConversionId>,
    /// Of an undo or a reversal.
    #[schema(value_type = Option<String>, pattern = "^rev_[0-9a-f]{32}$")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reversal_id: Option<Shown<ReversalId>>,
    /// `conversion`, `undo` or `reversal`.
    #[schema(value_type = String, example = "conversion")]
    pub kind: &'static str,
    #[schema(example = "sprout")]
    pub from: String,
    #[schema(example = "nest")]
    pub to: String,
    pub debit_points: i64,
    pub total_credit_points: i64,
    /// `holding`, `crediting`, `capturing`, `voiding`, `releasing`; `done` or `released` when it is over.
    #[schema(value_type = String, example = "capturing")]
    pub state: &'static str,
    /// A person has to look; a ledger that does answer meanwhile still counts.
    pub in_doubt: bool,
    /// Why it is in doubt, or was released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The partner whose ledger is asked; absent when it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub accepted_at: DateTime<Utc>,
    /// When it came to its state, by the clock of the wire.
    #[schema(value_type = String, format = DateTime)]
    pub since: DateTime<Utc>,
    /// Calls without an outcome in this state.
    pub attempts: i32,
    /// When it is asked again, at the latest.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_call_at: Option<DateTime<Utc>>,
    /// What the last call came to: to the partner that is asked and to operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Documents kept: signed answers, and what operators have said.
    pub evidence: i64,
    /// What one operator has proposed and another is to say as well: to operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposal: Option<ProposalAnswer>,
    /// What two operators have said last: to operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<ResolutionAnswer>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CrossingProposal)]
pub struct ProposalAnswer {
    /// `completed` or `released`.
    #[schema(value_type = String, example = "completed")]
    pub outcome: &'static str,
    pub reason: String,
    pub proposed_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub proposed_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CrossingResolution)]
pub struct ResolutionAnswer {
    /// `completed` or `released`.
    #[schema(value_type = String, example = "completed")]
    pub outcome: &'static str,
    /// The state it was said of.
    #[schema(value_type = String, example = "capturing")]
    pub state: &'static str,
    pub reason: String,
    pub proposed_by: String,
    pub resolved_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub resolved_at: DateTime<Utc>,
}

/// Crossings that ask the same of the same partner.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CrossingBacklog)]
pub struct BacklogAnswer {
    /// Whose ledger is asked.
    #[schema(example = "sprout")]
    pub partner: String,
    #[schema(value_type = String, example = "holding")]
    pub state: &'static str,
    pub crossings: i64,
    pub in_doubt: i64,
    /// Since the oldest came to this state.
    pub oldest_seconds: i64,
}

impl CrossingAnswer {
    pub fn of(seen: &Seen, reader: &Holder) -> CrossingAnswer {
        let row = &seen.row;
        let (is_operator, asked) = (seen_by(reader).is_none(), seen.asked());
        let may_know = is_operator || seen_by(reader).map(Slug::as_str) == asked;
        let is_open = !seen.state.is_over();
        CrossingAnswer {
            conversion_id: Shown(ConversionId(row.conversion_id)),
            reversal_id: (seen.kind != Kind::Conversion).then_some(Shown(ReversalId(row.crossing_id))),
            kind: seen.kind_code(),
            from: row.from_partner.clone(),
            to: row.to_partner.clone(),
            debit_points: row.debit,
            total_credit_points: row.credit,
            state: seen.state.code(),
            in_doubt: row.in_doubt,
            code: row.cause.clone(),
            asked: asked.map(str::to_owned),
            accepted_at: row.at,
            since: row.since,
            attempts: row.attempts,
            next_call_at: is_open.then_some(row.due_at),
            note: row.note.clone().filter(|_| may_know),
            evidence: row.evidence,
            proposal: seen.proposal().filter(|_| is_operator).map(|word| ProposalAnswer {
                outcome: word.said.outcome.code(),
                reason: word.reason.clone(),
                proposed_by: word.said.by.clone(),
                proposed_at: word.at,
            }),
            resolution: seen.resolution().filter(|_| is_operator).map(|(word, with)| ResolutionAnswer {
                outcome: word.said.outcome.code(),
                state: word.said.state.code(),
                reason: word.reason.clone(),
                proposed_by: with.to_owned(),
                resolved_by: word.said.by.clone(),
                resolved_at: word.at,
            }),
        }
    }
}
