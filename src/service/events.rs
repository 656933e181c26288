//! Events: everything that happened to one partner, in its dense sequence, the same bytes as a webhook would carry.

use super::answer::{self, Shown, Side};
use super::exchange::{Error, Exchange};
use crate::book::command::{ConversionRow, CrossingRow, ReversalRow};
use crate::book::engine::world::EventKind;
use crate::book::seal::{self, FeedEvent};
use crate::book::store::crossings::{self, Wished};
use crate::book::store::rows;
use crate::domain::ids::{ConversionId, EventId, ReversalId, Slug};
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// Said of a crossing, not of what it becomes.
const PENDING: &str = "conversion.pending";

/// `{id, type, timestamp, sequence, data}`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Event {
    #[schema(value_type = String, pattern = "^evt_[0-9a-f]{32}$")]
    pub id: Shown<EventId>,
    #[schema(value_type = String, example = "conversion.completed")]
    pub r#type: &'static str,
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: DateTime<Utc>,
    /// Dense per partner, from 1.
    pub sequence: i64,
    #[schema(value_type = Object)]
    pub data: Box<RawValue>,
}

/// The types that events in feeds have.
pub fn types() -> impl Iterator<Item = &'static str> {
    EventKind::ALL.iter().map(|(_, name)| *name)
}

/// Events after `after`, in order, at most `limit`: whatever was answered before this was asked is among them.
pub async fn list(exchange: &Exchange, caller: &Slug, after: i64, limit: i64) -> Result<Vec<Event>, Error> {
    let (caller, currency) = (caller.clone(), exchange.currency());
    exchange
        .database
        .run(move |conn| {
            let mut found = seal::read(conn, &caller, after, limit)?;
            if i64::try_from(found.len()).unwrap_or(i64::MAX) < limit {
                // At its end: what has been committed and not yet numbered is numbered now.
                seal::seal_now(conn)?;
                let after = found.last().map_or(after, |last| last.sequence);
                let left = limit - i64::try_from(found.len()).unwrap_or(limit);
                found.extend(seal::read(conn, &caller, after, left)?);
            }
            render(conn, &caller, &currency, found)
        })
        .await
}

/// What the rows of conversions and reversals say is rendered from them; everything else was written with the event.
pub fn render(
    conn: &mut PgConnection,
    reader: &Slug,
    currency: &str,
    found: Vec<FeedEvent>,
) -> Result<Vec<Event>, Error> {
    Ok(tell(conn, reader, currency, found)?.into_iter().map(|told| told.event).collect())
}

/// An event, and what it is about: of one subject, events are told in order.
pub struct Told {
    pub event: Event,
    pub subject: Uuid,
}

/// The same with their subjects; of an undo and a reversal that is the conversion.
pub fn tell(conn: &mut PgConnection, reader: &Slug, currency: &str, found: Vec<FeedEvent>) -> Result<Vec<Told>, Error> {
    let rows = Rows::read(conn, &found)?;
    let event = |row: FeedEvent| {
        let subject =
            rows.reversals.get(&ReversalId(row.subject)).map_or(row.subject, |reversal| reversal.conversion.0);
        let event = Event {
            id: Shown(row.id),
            r#type: row.kind,
            timestamp: row.at,
            sequence: row.sequence,
            data: match &row.body {
                Some(body) => {
                    RawValue::from_string(body.clone()).map_err(|_| Error::Broken("an event's body is not JSON"))?
                }
                None => rows.render(&row, reader, currency)?,
            },
        };
        Ok(Told { event, subject })
    };
    found.into_iter().map(event).collect()
}

struct Rows {
    crossings: HashMap<Uuid, CrossingRow>,
    conversions: HashMap<ConversionId, ConversionRow>,
    reversals: HashMap<ReversalId, ReversalRow>,
}

impl Rows {
    fn read(conn: &mut PgConnection, found: &[FeedEvent]) -> Result<Rows, Error> {
        // Ids of both kinds are random: a reversal's is no conversion's.
        let subjects = || found.iter().filter(|row| row.body.is_none()).map(|row| row.subject);
        let conversions = rows::conversions(conn, &subjects().map(ConversionId).collect::<Vec<_>>())?;
        let reversals = rows::reversals(conn, &subjects().map(ReversalId).collect::<Vec<_>>())?;
        let pending = found.iter().filter(|row| row.kind == PENDING).map(|row| row.subject);
        let crossings = crossings::find(conn, Wished { ids: pending.collect(), ..Wished::default() })?;
        Ok(Rows {
            crossings: crossings.into_iter().map(|row| (row.id, row)).collect(),
            conversions: conversions.into_iter().map(|row| (row.id, row)).collect(),
            reversals: reversals.into_iter().map(|row| (row.id, row)).collect(),
        })
    }

    fn render(&self, event: &FeedEvent, reader: &Slug, currency: &str) -> Result<Box<RawValue>, Error> {
        let broken = |_| Error::Broken("an event cannot be written as JSON");
        let not_ours = Error::Broken("an event of somebody else's conversion");
        if event.kind == PENDING {
            let row = self.crossings.get(&event.subject).ok_or(Error::Broken("an event of nothing"))?;
            let side = Side::of(reader, &row.terms).ok_or(not_ours)?;
            return serde_json::value::to_raw_value(&answer::pending(row, side, currency)).map_err(broken);
        }
        if let Some(row) = self.conversions.get(&ConversionId(event.subject)) {
            let side = Side::of(reader, &row.terms).ok_or(not_ours)?;
            return serde_json::value::to_raw_value(&answer::conversion(row, side, currency)).map_err(broken);
        }
        let row = self.reversals.get(&ReversalId(event.subject)).ok_or(Error::Broken("an event of nothing"))?;
        serde_json::value::to_raw_value(&answer::reversal(row, reader, currency)).map_err(broken)
    }
}
