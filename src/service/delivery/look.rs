//! Looking what there is to send: what has failed and is due again, then the feed after what was read.

use super::window::Item;
use crate::book::seal::{self, FeedEvent};
use crate::domain::ids::Slug;
use crate::service::events::{self, Told};
use crate::service::exchange::Error;
use crate::signing::sealing::SealingKey;
use crate::signing::webhook::Secret;
use crate::store::webhooks::courier::{self, Open, Settled, Waking};
use crate::store::webhooks::{self, Row, Sealed};
use diesel::PgConnection;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Events of the feed read at once.
pub const PAGE: i64 = 256;
/// Events tried again that are read at once.
const RETRIES_MAX: i64 = 64;
/// Two events this near each other in the feed are read together.
const NEAR: i64 = 16;

/// What is asked.
pub struct Asked {
    pub no: i64,
    pub epoch: i64,
    pub partner: Slug,
    pub currency: String,
    pub read_to: i64,
    /// Only the first there is, to see whether the endpoint answers.
    pub probe: bool,
    /// A probe begins with the feed: were it always the same event, one that nobody takes would never let others by.
    pub newest: bool,
    /// Which of those that have failed is a probe, for the same reason; drawn.
    pub nth: usize,
    /// Some of these are made due.
    pub waking: Option<Waking>,
    pub sealing: Arc<SealingKey>,
}

/// What there is.
pub struct Looked {
    /// The endpoint as its owner wants it now.
    pub row: Row,
    pub secrets: Vec<Secret>,
    pub items: Vec<Item>,
    /// Written down as they are, behind another of their key or because they cannot be shown.
    pub written: Vec<Settled>,
    pub read_to: i64,
    /// Whether the feed has more to read at once.
    pub more: bool,
    /// Whether more may be due again than was read.
    pub more_again: bool,
    /// What is left to be made due.
    pub waking: Option<Waking>,
}

/// `None`: the endpoint is another's now.
pub fn look(conn: &mut PgConnection, asked: &Asked) -> Result<Option<Looked>, Error> {
    let Some(row) = courier::held(conn, asked.no, asked.epoch)? else { return Ok(None) };
    let sealed = webhooks::secrets(conn, asked.no)?;
    let secrets = sealed.iter().map(|one| open(&asked.sealing, one)).collect::<Result<Vec<_>, _>>()?;
    let waking = asked.waking.map(|waking| courier::wake(conn, asked.no, waking)).transpose()?.flatten();
    let mut due = courier::due(conn, asked.no, asked.probe, RETRIES_MAX)?;
    let more_again = due.len() == usize::try_from(RETRIES_MAX).unwrap_or(usize::MAX);
    if asked.probe && !due.is_empty() {
        due = vec![due[asked.nth % due.len()]];
    }
    let (again, mut written) = again(conn, asked, &due)?;
    let mut items = Vec::new();
    if asked.probe && !asked.newest && !again.is_empty() {
        let (items, read_to) = (again, asked.read_to);
        return Ok(Some(Looked { row, secrets, items, written, read_to, more: true, more_again, waking }));
    }
    let found = seal::read(conn, &asked.partner, asked.read_to, PAGE)?;
    let full = i64::try_from(found.len()).unwrap_or(PAGE) == PAGE;
    let read_to = found.last().map_or(asked.read_to, |last| last.sequence);
    fresh(conn, asked, &row, found, (&mut items, &mut written))?;
    if !asked.probe || items.is_empty() {
        items.extend(again);
    }
    let more = full || waking.is_some();
    Ok(Some(Looked { row, secrets, items, written, read_to, more, more_again, waking }))
}

/// A secret that signs now.
pub fn open(sealing: &SealingKey, sealed: &Sealed) -> Result<Secret, Error> {
    let opened = sealing.open_sealed(&sealed.secret_id.to_string(), &sealed.sealed);
    let bytes = opened.map_err(|_| Error::Broken("a webhook's secret does not open with the sealing key"))?;
    Secret::from_bytes(bytes).map_err(|_| Error::Broken("a webhook's secret is none"))
}

/// Those that are due again, as the feed shows them, and those of them that it cannot show.
fn again(conn: &mut PgConnection, asked: &Asked, due: &[Open]) -> Result<(Vec<Item>, Vec<Settled>), Error> {
    let rows: HashMap<i64, Open> = due.iter().map(|open| (open.sequence, *open)).collect();
    let mut found: Vec<FeedEvent> = Vec::new();
    for run in due.chunk_by(|one, next| next.sequence - one.sequence <= NEAR) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let limit = last.sequence - first.sequence + 1;
        let read = seal::read(conn, &asked.partner, first.sequence - 1, limit)?;
        found.extend(read.into_iter().filter(|event| rows.contains_key(&event.sequence)));
    }
    let (told, broken) = tell(conn, asked, found)?;
    let item = |told: Told| {
        let item = item(told)?;
        let (tries, resent) = rows.get(&item.sequence).map_or((0, 0), |open| (open.tries, open.resent));
        Ok(Item { tries, resent, row: true, ..item })
    };
    let items = told.into_iter().map(item).collect::<Result<_, Error>>()?;
    // What waits behind it waits for the key of its row.
    let own = |broken: Settled| match rows.get(&broken.sequence) {
        Some(open) => Settled { key: open.key, tries: open.tries, resent: open.resent, ..broken },
        None => broken,
    };
    Ok((items, broken.into_iter().map(own).collect()))
}

/// What is new in the feed and wanted here.
fn fresh(
    conn: &mut PgConnection,
    asked: &Asked,
    row: &Row,
    found: Vec<FeedEvent>,
    (items, written): (&mut Vec<Item>, &mut Vec<Settled>),
) -> Result<(), Error> {
    let Some(last) = found.last().map(|last| last.sequence) else { return Ok(()) };
    let known: HashSet<i64> = courier::known(conn, asked.no, asked.read_to, last)?.into_iter().collect();
    let is_wanted = |kind: &str| row.types.as_ref().is_none_or(|types| types.iter().any(|wanted| wanted == kind));
    let wanted = found.into_iter().filter(|event| is_wanted(event.kind) && !known.contains(&event.sequence)).collect();
    let (told, broken) = tell(conn, asked, wanted)?;
    written.extend(broken);
    let keys: Vec<_> = told.iter().map(|told| told.subject).collect();
    let blocked: HashSet<_> = courier::blocked(conn, asked.no, &keys)?.into_iter().collect();
    for told in told {
        let item = item(told)?;
        if blocked.contains(&item.key) {
            written.push(waiting(&item));
        } else {
            items.push(item);
        }
    }
    Ok(())
}

/// Waits behind another of its key.
pub fn waiting(item: &Item) -> Settled {
    Settled {
        sequence: item.sequence,
        event: item.event,
        kind: item.kind.clone(),
        key: item.key,
        state: "due",
        tries: item.tries,
        resent: item.resent,
        probed: false,
        next_ms: None,
        attempt: None,
        leads: true,
    }
}

/// Events as they are told; those that cannot be are told apart, so that one of them stops no others.
fn tell(conn: &mut PgConnection, asked: &Asked, found: Vec<FeedEvent>) -> Result<(Vec<Told>, Vec<Settled>), Error> {
    match events::tell(conn, &asked.partner, &asked.currency, found.clone()) {
        Ok(told) => return Ok((told, Vec::new())),
        Err(Error::Broken(_) | Error::Book(_)) => {}
        Err(other) => return Err(other),
    }
    let (mut told, mut broken) = (Vec::new(), Vec::new());
    for event in found {
        match events::tell(conn, &asked.partner, &asked.currency, vec![event.clone()]) {
            Ok(one) => told.extend(one),
            Err(error @ (Error::Broken(_) | Error::Book(_))) => {
                tracing::error!(event.id = %event.id, event.sequence, %error, "an event cannot be shown, and is dead");
                broken.push(unshown(&event));
            }
            Err(other) => return Err(other),
        }
    }
    Ok((told, broken))
}

fn unshown(event: &FeedEvent) -> Settled {
    let attempt = json!({ "at": crate::clock::now(), "ms": 0, "error": "not_shown" });
    Settled {
        sequence: event.sequence,
        event: event.id.0,
        kind: event.kind.to_owned(),
        key: event.subject,
        state: "dead",
        tries: 0,
        resent: 0,
        probed: false,
        next_ms: None,
        attempt: Some(attempt.to_string()),
        leads: true,
    }
}

fn item(told: Told) -> Result<Item, Error> {
    let Told { event, subject } = told;
    // The bytes that `GET /v1/events` has.
    let body = serde_json::to_vec(&event).map_err(|_| Error::Broken("an event cannot be written as JSON"))?;
    Ok(Item {
        sequence: event.sequence,
        event: event.id.0.0,
        kind: event.r#type.to_owned(),
        key: subject,
        body: body.into(),
        tries: 0,
        resent: 0,
        row: false,
    })
}
