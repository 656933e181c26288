//! A participant's own line of a window, by its id or by what was posted, as it was signed.

use super::gather;
use super::{Error, broken};
use crate::domain::ids::{AdjustmentId, ConversionId, LineId, ReversalId, Slug, UseId, WindowId};
use crate::domain::money::Millionths;
use crate::domain::settlement::window::State;
use crate::domain::settlement::{Participant, line};
use crate::store::settlement::statements::{self, Row};
use crate::store::settlement::{lines, windows};
use diesel::PgConnection;
use serde::Deserialize;
use std::borrow::Cow;
use std::str::FromStr;
use uuid::Uuid;

/// What a line says, as far as it is compared or disputed. Its bytes are what counts elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub id: LineId,
    pub line_no: i64,
    /// conversion, bonus, fee, adjustment or benefit.
    pub kind: String,
    pub counterparty: Participant,
    pub amount: Millionths,
    pub points: Option<i64>,
    pub debit_points: Option<i64>,
    pub price: Option<Millionths>,
    pub from: Option<Slug>,
    pub to: Option<Slug>,
    /// Version of the agreement of this direction.
    pub agreement: Option<i64>,
    pub conversion: Option<ConversionId>,
    pub reversal: Option<ReversalId>,
    pub adjustment: Option<AdjustmentId>,
    /// Of a benefit.
    pub used: Option<UseId>,
    /// The participant's own.
    pub reference: Option<String>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    line_id: &'a str,
    line_no: i64,
    kind: &'a str,
    counterparty: &'a str,
    amount: &'a str,
    points: Option<i64>,
    debit_points: Option<i64>,
    price: Option<&'a str>,
    from: Option<&'a str>,
    to: Option<&'a str>,
    agreement: Option<i64>,
    conversion_id: Option<&'a str>,
    reversal_id: Option<&'a str>,
    #[serde(borrow)]
    adjustment: Option<RawAdjustment<'a>>,
    #[serde(borrow)]
    benefit: Option<RawBenefit<'a>>,
    #[serde(borrow)]
    reference: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct RawAdjustment<'a> {
    id: &'a str,
}

#[derive(Deserialize)]
struct RawBenefit<'a> {
    use_id: &'a str,
}

impl Line {
    /// Reads a line's bytes, without its line feed.
    pub fn parse(bytes: &[u8]) -> Result<Line, Error> {
        let raw: Raw<'_> = serde_json::from_slice(bytes).map_err(broken)?;
        let participant =
            |text: &str| Participant::parse(text).ok_or_else(|| broken(format!("participant `{text}` in a line")));
        let money = |text: &str| Millionths::parse(text).ok_or_else(|| broken(format!("amount `{text}` in a line")));
        Ok(Line {
            id: id_of(raw.line_id)?,
            line_no: raw.line_no,
            kind: raw.kind.to_owned(),
            counterparty: participant(raw.counterparty)?,
            amount: money(raw.amount)?,
            points: raw.points,
            debit_points: raw.debit_points,
            price: raw.price.map(money).transpose()?,
            from: raw.from.map(id_of).transpose()?,
            to: raw.to.map(id_of).transpose()?,
            agreement: raw.agreement,
            conversion: raw.conversion_id.map(id_of).transpose()?,
            reversal: raw.reversal_id.map(id_of).transpose()?,
            adjustment: raw.adjustment.map(|adjustment| id_of(adjustment.id)).transpose()?,
            used: raw.benefit.map(|benefit| id_of(benefit.use_id)).transpose()?,
            reference: raw.reference.map(Cow::into_owned),
        })
    }

    /// What was posted: an adjustment, else a reversal, else a conversion, else a use of a benefit.
    pub fn posted(&self) -> Option<Uuid> {
        // An adjustment may name a conversion too, and a reversal always does.
        let adjustment = self.adjustment.map(|id| id.0);
        let taken = self.reversal.map(|id| id.0).or(self.conversion.map(|id| id.0));
        adjustment.or(taken).or(self.used.map(|id| id.0))
    }

    /// The side that owes by lines of this one's direction: the conversion's origin, or who owes by the line itself.
    pub fn origin(&self, own: &Participant) -> Participant {
        let sides = self.from.as_ref().zip(self.to.as_ref()).map(|(from, to)| [from, to].map(Participant::from));
        match sides {
            Some([from, to])
                if [&from, &to] == [own, &self.counterparty] || [&to, &from] == [own, &self.counterparty] =>
            {
                from
            }
            _ if self.amount > Millionths::ZERO => self.counterparty.clone(),
            _ => own.clone(),
        }
    }
}

fn id_of<T: FromStr>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| broken(format!("`{text}` in a line")))
}

/// A published window; `Unpublished` when it is not yet, `NotFound` when there is none.
pub fn published(conn: &mut PgConnection, window: WindowId) -> Result<windows::Row, Error> {
    let row = windows::find(conn, window)?.ok_or(Error::NotFound)?;
    if row.state == State::Published { Ok(row) } else { Err(Error::Unpublished(row.number)) }
}

/// A participant's statement of a published window, with the window; `NotFound` when it has none.
pub fn statement(conn: &mut PgConnection, window: WindowId, of: &Participant) -> Result<(windows::Row, Row), Error> {
    let window = published(conn, window)?;
    let statement = statements::find(conn, window.id, of)?.ok_or(Error::NotFound)?;
    Ok((window, statement))
}

/// The line of this id, if it is one of this statement's.
pub fn by_id(conn: &mut PgConnection, statement: &Row, id: LineId) -> Result<Option<Line>, Error> {
    let found = posted(conn, statement, line::of_posting(id), &format!(r#""line_id":"{id}""#))?;
    Ok(found.into_iter().find(|line| line.id == id))
}

/// The first line of this statement for what was posted under this id: the base of a conversion or of what took part of
/// one back.
pub fn by_posted(conn: &mut PgConnection, statement: &Row, id: Uuid) -> Result<Option<Line>, Error> {
    let found = posted(conn, statement, (id, id), &id.simple().to_string())?;
    Ok(found.into_iter().find(|line| line.posted() == Some(id)))
}

/// Lines of the statement that were posted under an id of the range and have this text in them.
fn posted(conn: &mut PgConnection, statement: &Row, range: (Uuid, Uuid), text: &str) -> Result<Vec<Line>, Error> {
    let posted = lines::posted(conn, &[range])?;
    let here = posted.iter().filter(|posted| posted.place.window == statement.window);
    let batches: Vec<i64> = here.map(|posted| posted.place.batch_no).collect();
    let mut found = Vec::new();
    if batches.is_empty() {
        return Ok(found);
    }
    for chunk in lines::posted_in(conn, statement.window, &statement.participant, &batches)? {
        let bytes = gather::unpack(&chunk)?;
        let lines = std::str::from_utf8(&bytes).map_err(broken)?;
        for line in lines.lines().filter(|line| line.contains(text)) {
            found.push(Line::parse(line.as_bytes())?);
        }
    }
    Ok(found)
}
