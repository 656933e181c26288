//! Resolving what is in doubt, by four eyes: one operator proposes, another one's same word is the next step.
//!
//! Every word is kept before anything is done upon it, so that what was agreed and not carried out, because a server died
//! between the two, is carried out when anybody says it again.

use super::seen::{self, CrossingId, Document, Seen};
use crate::book::Handle;
use crate::book::command::{Advance, Code, Command, Outcome as Told};
use crate::domain::ids::Slug;
use crate::domain::resolution::{self, Outcome, Verdict};
use crate::domain::settlement::adjustment::is_name;
use crate::service::exchange::{self, Error as Broken, Exchange};
use crate::store::crossings::{self, Kept};
use crate::store::{self, Database};
use diesel::{Connection, PgConnection};
use uuid::Uuid;

/// Words kept of one crossing: more than two who agree will ever need.
const WORDS_MAX: usize = 100;

/// What one operator says.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub id: CrossingId,
    pub outcome: Outcome,
    /// 1 to 500 characters on one line.
    pub reason: String,
    pub by: String,
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// Another operator is to say the same.
    Proposed(Seen),
    /// The book has taken the step, now or before.
    Done(Seen),
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Exchange(#[from] Broken),
    /// There is no such crossing.
    #[error("nothing of this id is or was on its way between two ledgers")]
    Absent,
    /// The state does not take this outcome; the text says what it takes.
    #[error("the outcome {0}")]
    Outcome(&'static str),
    #[error("say who it is, in 1 to 64 characters on one line")]
    Name,
    #[error("say why, in 1 to 500 characters on one line")]
    Reason,
    #[error("{0}")]
    Stale(String),
}

impl From<store::Error> for Error {
    fn from(cause: store::Error) -> Error {
        Error::Exchange(cause.into())
    }
}

impl From<diesel::result::Error> for Error {
    fn from(cause: diesel::result::Error) -> Error {
        Error::Exchange(cause.into())
    }
}

/// Says what has become of a crossing in doubt, and has it carried on.
pub async fn resolve(exchange: &Exchange, wanted: Wanted) -> Result<Resolved, Error> {
    resolve_and(exchange, wanted, |_, _| Ok(())).await
}

/// The same; a word that is kept is shown to `also` in the transaction that keeps it, with whether it is the second.
pub async fn resolve_and(
    exchange: &Exchange,
    wanted: Wanted,
    also: impl FnOnce(&mut PgConnection, bool) -> Result<(), Error> + Send + 'static,
) -> Result<Resolved, Error> {
    let id = wanted.id.uuid();
    let resolved = heard_in(&exchange.database, &exchange.book, wanted, also).await?;
    if let Resolved::Done(seen) = &resolved
        && !seen.state.is_over()
    {
        exchange.crossings.go_on(super::Next::Id(id));
    }
    Ok(resolved)
}

/// The same where nobody carries crossings on: a server takes it up within half a minute.
pub async fn resolve_in(database: &Database, book: &Handle, wanted: Wanted) -> Result<Resolved, Error> {
    heard_in(database, book, wanted, |_, _| Ok(())).await
}

async fn heard_in(
    database: &Database,
    book: &Handle,
    wanted: Wanted,
    also: impl FnOnce(&mut PgConnection, bool) -> Result<(), Error> + Send + 'static,
) -> Result<Resolved, Error> {
    let id = wanted.id;
    let advance = match database.run(move |conn| conn.transaction(|conn| hear(conn, &wanted, also))).await? {
        Heard::Said(resolved) => return Ok(*resolved),
        Heard::Agreed(by, advance) => {
            let request = exchange::keyless(&by, Uuid::now_v7(), Uuid::now_v7(), Command::Advance(advance.clone()));
            match book.submit(request).await.map_err(Broken::from)?.outcome {
                Told::Crossing(_) => advance,
                Told::Refused(refusal) if refusal.code == Code::Stale => {
                    return Err(Error::Stale(
                        "Its ledger has answered otherwise meanwhile: see how it stands.".to_owned(),
                    ));
                }
                _ => return Err(Broken::Broken("the book answered another command").into()),
            }
        }
    };
    tracing::warn!(crossing.id = %advance.crossing, state = advance.of.code(), step = ?advance.step, "two operators have resolved what was in doubt");
    let labels = [("state", advance.of.code())];
    metrics::counter!("hanse_crossings_resolved_total", &labels).increment(1);
    let seen = database.run(move |conn| seen::one(conn, id)).await?;
    seen.map(Resolved::Done).ok_or(Error::Absent)
}

enum Heard {
    /// Nothing is to be done now.
    Said(Box<Resolved>),
    /// Two have said so: this is the step, in the name of whoever asked for the conversion.
    Agreed(Slug, Advance),
}

/// Keeps the word and says what comes of it.
fn hear(
    conn: &mut PgConnection,
    wanted: &Wanted,
    also: impl FnOnce(&mut PgConnection, bool) -> Result<(), Error>,
) -> Result<Heard, Error> {
    check(wanted)?;
    crossings::seen::turn(conn)?;
    let known = seen::one(conn, wanted.id)?.ok_or(Error::Absent)?;
    let (words, by) = (known.words(), wanted.by.as_str());
    if !known.row.in_doubt {
        if resolution::has_resolved(&words, by, wanted.outcome) {
            return Ok(Heard::Said(Box::new(Resolved::Done(known))));
        }
        return Err(Error::Stale(format!("It is {} and not in doubt.", known.state.code())));
    }
    let step = wanted.outcome.step(known.state).ok_or(Error::Outcome(resolution::choices(known.state)))?;
    let verdict = resolution::judge(&words, known.state, by, wanted.outcome);
    let with = match verdict {
        Verdict::Agrees => resolution::standing(&words, known.state).map(|first| first.by.clone()),
        Verdict::Proposes | Verdict::Waits | Verdict::Agreed => None,
    };
    if matches!(verdict, Verdict::Proposes | Verdict::Agrees) {
        keep(conn, &known, wanted, with)?;
        also(conn, verdict == Verdict::Agrees)?;
    }
    if matches!(verdict, Verdict::Proposes | Verdict::Waits) {
        let known = seen::one(conn, wanted.id)?.ok_or(Error::Absent)?;
        return Ok(Heard::Said(Box::new(Resolved::Proposed(known))));
    }
    let asked_by = known.row.asked_by.parse().map_err(|_| Broken::Broken("a crossing nobody asked for"))?;
    let advance = Advance {
        crossing: known.row.crossing_id,
        of: known.state,
        step,
        lots: Vec::new(),
        // Why it was in doubt is why it is released.
        cause: known.row.cause.clone(),
        doubt: false,
    };
    Ok(Heard::Agreed(asked_by, advance))
}

fn check(wanted: &Wanted) -> Result<(), Error> {
    if !is_name(&wanted.by) {
        return Err(Error::Name);
    }
    let reason = &wanted.reason;
    if reason.trim().is_empty() || reason.chars().count() > 500 || reason.chars().any(char::is_control) {
        return Err(Error::Reason);
    }
    Ok(())
}

fn keep(conn: &mut PgConnection, known: &Seen, wanted: &Wanted, agrees_with: Option<String>) -> Result<(), Error> {
    if known.said.len() >= WORDS_MAX {
        return Err(Error::Stale(format!("{WORDS_MAX} words are kept of it: no more are taken.")));
    }
    let document = Document {
        state: known.state.code().to_owned(),
        outcome: wanted.outcome.code().to_owned(),
        reason: wanted.reason.clone(),
        agrees_with,
    };
    let document = serde_json::to_string(&document).map_err(|_| Broken::Broken("a word that cannot be written"))?;
    let (crossing_id, by) = (known.row.crossing_id, wanted.by.clone());
    // Whoever comes back to what was said before says it anew: the last word counts.
    let same = format!("word {}", known.said.len());
    crossings::keep(conn, &[Kept { crossing_id, call: "resolution", by, same, document }])?;
    Ok(())
}
