//! Settlement as a partner or an operator sees it over the API: windows, its own statement of each, what it owes and is owed.

use super::read::{self, Lines};
use super::reports::{self, Name, Wanted};
use super::{Error, broken, countersign, find, proofs};
use crate::domain::ids::{ConversionId, Slug, WindowId};
use crate::domain::settlement::Participant;
use crate::domain::settlement::obligation;
use crate::domain::settlement::window::State;
use crate::service::answer::Shown;
use crate::service::exchange::Exchange;
use crate::service::reports::{Form, Report, files};
use crate::signing::merkle;
use crate::store::catalogue;
use crate::store::settlement::{log, obligations, statements, windows};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::PgConnection;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use utoipa::ToSchema;

/// How long what reads much waits for its turn.
const PATIENCE: Duration = Duration::from_secs(20);

/// A window as one participant sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Settlement)]
pub struct Seen {
    #[schema(value_type = String, pattern = "^win_[0-9a-f]{32}$")]
    pub window_id: Shown<WindowId>,
    pub number: i64,
    /// open, closing, closed, netted, blocked, signed, published, and settled once all that is owed for it is paid.
    #[schema(value_type = String, example = "published")]
    pub state: &'static str,
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: DateTime<Utc>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<DateTime<Utc>>,
    /// Of business, as are the days below: the last one of the period. Postings until the cut-off are in the window too.
    #[schema(value_type = Option<String>, format = Date)]
    pub last_day: Option<NaiveDate>,
    /// By when statements are published.
    #[schema(value_type = Option<String>, format = Date)]
    pub statement_by: Option<NaiveDate>,
    /// The last day to dispute a line.
    #[schema(value_type = Option<String>, format = Date)]
    pub disputes_until: Option<NaiveDate>,
    /// The last day to pay in time.
    #[schema(value_type = Option<String>, format = Date)]
    pub due_on: Option<NaiveDate>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub published_at: Option<DateTime<Utc>>,
    /// The reader's own, once the window is published.
    pub statement: Option<SeenStatement>,
    /// What the reader owes and is owed for it.
    pub obligations: Vec<SeenObligation>,
}

/// A statement in short; the whole of it is the signed document.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = StatementSummary)]
pub struct SeenStatement {
    pub statement_id: String,
    pub participant: String,
    /// published, acknowledged, deemed, disputed.
    #[schema(value_type = String, example = "published")]
    pub state: &'static str,
    #[schema(value_type = String, format = DateTime)]
    pub state_at: DateTime<Utc>,
    pub lines: i64,
    /// Number of the first line; the next one's when there is none.
    pub first_line: i64,
    /// Decimal string: what the participant is owed after it, negative what it owes.
    pub closing: String,
    #[schema(example = "CNY")]
    pub currency: String,
}

/// One payment to be made.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Obligation)]
pub struct SeenObligation {
    #[schema(pattern = "^obl_[0-9a-f]{32}$")]
    pub obligation_id: String,
    /// A partner, `operator`, or `alliance` for its settlement account.
    pub debtor: String,
    pub creditor: String,
    pub debtor_entity: String,
    pub creditor_entity: String,
    pub amount: String,
    pub paid: String,
    #[schema(example = "CNY")]
    pub currency: String,
    /// due, partly_paid, paid, overdue.
    #[schema(value_type = String, example = "due")]
    pub state: &'static str,
    #[schema(value_type = String, format = Date)]
    pub due_on: NaiveDate,
}

/// Windows below number `before`, newest first.
pub async fn list(exchange: &Exchange, of: Participant, before: i64, limit: i64) -> Result<Vec<Seen>, Error> {
    let (currency, zone) = (exchange.currency(), exchange.catalogue.load().alliance.zone);
    let unit = move |conn: &mut PgConnection| {
        let today = catalogue::business_day(conn, zone)?;
        let rows = windows::list(conn, before, limit)?;
        rows.into_iter().map(|row| seen(conn, row, &of, &currency, today)).collect()
    };
    exchange.database.run(unit).await
}

pub async fn get(exchange: &Exchange, of: Participant, id: WindowId) -> Result<Seen, Error> {
    let (currency, zone) = (exchange.currency(), exchange.catalogue.load().alliance.zone);
    let unit = move |conn: &mut PgConnection| {
        let row = windows::find(conn, id)?.ok_or(Error::NotFound)?;
        let today = catalogue::business_day(conn, zone)?;
        seen(conn, row, &of, &currency, today)
    };
    exchange.database.run(unit).await
}

pub(super) fn seen(
    conn: &mut PgConnection,
    row: windows::Row,
    of: &Participant,
    currency: &str,
    today: NaiveDate,
) -> Result<Seen, Error> {
    let published = row.state == State::Published;
    let statement = if published { statements::find(conn, row.id, of)? } else { None };
    let own = if published { obligations::list(conn, Some(row.id), Some(of.as_str()))? } else { Vec::new() };
    let dates = row.closed.as_ref().map(|closed| closed.dates);
    Ok(Seen {
        window_id: Shown(row.id),
        number: row.number,
        state: row.stands(),
        opened_at: row.opened_at,
        closed_at: row.closed.as_ref().map(|closed| closed.at),
        last_day: dates.map(|dates| dates.last_day),
        statement_by: dates.map(|dates| dates.statement_by),
        disputes_until: dates.map(|dates| dates.disputes_until),
        due_on: dates.map(|dates| dates.due_on),
        published_at: row.published_at,
        statement: statement.map(|row| summary(&row, currency)),
        obligations: own.iter().map(|row| obligation(row, currency, today)).collect(),
    })
}

pub(super) fn summary(row: &statements::Row, currency: &str) -> SeenStatement {
    SeenStatement {
        statement_id: row.id.to_string(),
        participant: row.participant.to_string(),
        state: row.state.code(),
        state_at: row.state_at,
        lines: row.lines,
        first_line: row.first_line,
        closing: row.closing.to_string(),
        currency: currency.to_owned(),
    }
}

/// An obligation as it stands on `today`.
pub fn obligation(row: &obligations::Row, currency: &str, today: NaiveDate) -> SeenObligation {
    SeenObligation {
        obligation_id: row.id.to_string(),
        debtor: row.debtor.clone(),
        creditor: row.creditor.clone(),
        debtor_entity: row.debtor_entity.clone(),
        creditor_entity: row.creditor_entity.clone(),
        amount: row.amount.to_string(),
        paid: row.paid.to_string(),
        currency: currency.to_owned(),
        state: obligation::state(row.amount, row.paid, row.due_on, today).code(),
        due_on: row.due_on,
    }
}

/// A published statement; anything else is not there.
fn published(conn: &mut PgConnection, of: &Participant, id: WindowId) -> Result<statements::Row, Error> {
    Ok(find::statement(conn, id, of)?.1)
}

/// The signed document, as text.
pub async fn statement(exchange: &Exchange, of: Participant, id: WindowId) -> Result<String, Error> {
    let unit = move |conn: &mut PgConnection| {
        let row = published(conn, &of, id)?;
        Ok(read::document(conn, &row)?.to_string())
    };
    exchange.database.run(unit).await
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The lines' own bytes.
    Ndjson,
    Csv,
}

/// A statement's lines, to be read a piece at a time.
pub struct Reading {
    lines: Lines,
    format: Format,
    begun: bool,
}

/// Begins to read a statement's lines.
pub async fn lines(exchange: &Exchange, of: Participant, id: WindowId, format: Format) -> Result<Reading, Error> {
    let unit = move |conn: &mut PgConnection| Ok::<_, Error>(Lines::slowly(&published(conn, &of, id)?));
    let lines = exchange.database.run(unit).await?;
    Ok(Reading { lines, format, begun: false })
}

impl Reading {
    /// The next piece, and the rest to be read after it. `None` after the last.
    pub async fn next(mut self, exchange: &Exchange) -> Result<Option<(Vec<u8>, Reading)>, Error> {
        if self.format == Format::Csv && !std::mem::replace(&mut self.begun, true) {
            return Ok(Some((read::csv_heading(), self)));
        }
        let unit = move |conn: &mut PgConnection| {
            let Some(bytes) = self.lines.next(conn)? else { return Ok(None) };
            let bytes = match self.format {
                Format::Ndjson => bytes,
                Format::Csv => read::to_csv(&bytes)?,
            };
            Ok(Some((bytes, self)))
        };
        exchange.database.run(unit).await
    }
}

/// The proof bundle of the reader's lines of a conversion that are in this window.
pub async fn proofs(
    exchange: &Exchange,
    of: Participant,
    id: WindowId,
    conversion: ConversionId,
) -> Result<Value, Error> {
    let unit = move |conn: &mut PgConnection| {
        let row = published(conn, &of, id)?;
        proofs::of_conversion(conn, &row, conversion)?.ok_or(Error::NotFound)
    };
    exchange.database.run(unit).await
}

/// Adds a partner's signature to its statement; the document with it.
pub async fn countersign(
    exchange: &Exchange,
    partner: Slug,
    id: WindowId,
    protected: String,
    signature: String,
) -> Result<String, Error> {
    let unit = countersigning(exchange, partner, id, protected, signature);
    exchange.database.run(unit).await.map(|(document, _)| document)
}

/// The unit of work of that, with the key by which it was signed now; `None` when it was before.
pub fn countersigning(
    exchange: &Exchange,
    partner: Slug,
    id: WindowId,
    protected: String,
    signature: String,
) -> impl FnOnce(&mut PgConnection) -> Result<(String, Option<String>), Error> + Send + 'static {
    let keys = exchange.keys.clone();
    move |conn| {
        find::published(conn, id)?;
        let (document, kid) = countersign::countersign(conn, &keys, &partner, id, (&protected, &signature))?;
        Ok((document.to_string(), kid))
    }
}

/// The log's current checkpoint; `None` before the first window was signed.
pub async fn checkpoint(database: &crate::store::Database) -> Result<Option<String>, Error> {
    database.run(read::checkpoint).await
}

/// The verifier keys (C2SP signed-note) of the log's checkpoints, oldest first; `NotFound` before anything was published.
pub async fn log_keys(database: &crate::store::Database) -> Result<Vec<String>, Error> {
    database.run(super::rotate::log_keys).await
}

/// Proofs of growth made at once: each reads the whole log, and anybody may ask.
static GROWTH: Semaphore = Semaphore::const_new(2);

/// That the log of `to` leaves begins with the log of `from`: `{from, to, path}`, RFC 6962 §2.1.2.
pub async fn consistency(database: &crate::store::Database, from: i64, to: Option<i64>) -> Result<Value, Error> {
    let _turn = turn(&GROWTH).await?;
    let unit = move |conn: &mut PgConnection| {
        let current = log::checkpoint(conn)?.ok_or(Error::NotFound)?.size;
        let to = to.unwrap_or(current);
        if from < 1 || from > to || to > current {
            return Err(Error::NotFound);
        }
        let leaves = log::leaves(conn, Some(to))?;
        let path = merkle::consistency_path(&leaves, u64::try_from(from).map_err(broken)?);
        let path: Vec<String> = path.iter().map(|hash| super::statement::hex(hash)).collect();
        Ok(serde_json::json!({ "from": from, "to": to, "path": path }))
    };
    database.run(unit).await
}

/// Every handing over of a key that signs statements or checkpoints, oldest first.
pub async fn rotations(database: &crate::store::Database) -> Result<Value, Error> {
    let documents = database.run(super::rotate::list).await?;
    super::rotate::listed(&documents)
}

/// How a window is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Number(i64),
    Id(WindowId),
}

impl Which {
    /// `7`, or `win_` and 32 digits; numbers begin with 1.
    pub fn parse(text: &str) -> Option<Which> {
        let number = || text.parse().ok().filter(|number: &i64| *number > 0 && number.to_string() == text);
        number().map(Which::Number).or_else(|| text.parse().ok().map(Which::Id))
    }

    pub(super) fn find(self, conn: &mut PgConnection) -> Result<Option<windows::Row>, Error> {
        Ok(match self {
            Which::Number(number) => windows::numbered(conn, number)?,
            Which::Id(id) => windows::find(conn, id)?,
        })
    }
}

/// The id of the window somebody names; `NotFound` for a number that none has.
pub async fn named(exchange: &Exchange, which: Which) -> Result<WindowId, Error> {
    match which {
        Which::Id(id) => Ok(id),
        Which::Number(_) => {
            let unit = move |conn: &mut PgConnection| which.find(conn)?.map(|row| row.id).ok_or(Error::NotFound);
            exchange.database.run(unit).await
        }
    }
}

/// A report somebody asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub name: Name,
    pub window: Option<Which>,
    pub participant: Option<Participant>,
    pub form: Form,
    /// Of CSV: which section; the first unless said.
    pub section: Option<String>,
    /// Only of a window that is published.
    pub published: bool,
}

/// Reports made at once: each may read a whole book.
static REPORTS: Semaphore = Semaphore::const_new(2);

/// `Busy` when none comes free in time.
async fn turn(of: &'static Semaphore) -> Result<SemaphorePermit<'static>, Error> {
    let turn = tokio::time::timeout(PATIENCE, of.acquire()).await;
    turn.ok().and_then(Result::ok).ok_or(Error::Store(crate::store::Error::Busy { waiting: 2 }))
}

/// Why there is no file of a report.
#[derive(Debug, thiserror::Error)]
pub enum Unmade {
    #[error(transparent)]
    Settlement(#[from] Error),
    /// Of the sections it has.
    #[error("it is none of the report's sections: {}", .0.join(", "))]
    Section(Vec<&'static str>),
}

impl From<crate::store::Error> for Unmade {
    fn from(cause: crate::store::Error) -> Unmade {
        Unmade::Settlement(cause.into())
    }
}

/// A report as a file: its name and its bytes.
pub async fn report(exchange: &Exchange, asked: Asked) -> Result<(String, Vec<u8>), Unmade> {
    let _turn = turn(&REPORTS).await?;
    let unit = move |conn: &mut PgConnection| {
        let (wanted, report) = make(conn, &asked)?;
        let stem = reports::file_stem(asked.name, &wanted);
        let mut files = files(&report, asked.form, &stem).map_err(broken)?;
        let chosen = match &asked.section {
            Some(section) => files.iter().position(|(name, _)| *name == format!("{stem}-{section}.csv")),
            None => (!files.is_empty()).then_some(0),
        };
        let sections = || Unmade::Section(report.sections.iter().map(|section| section.code).collect());
        Ok(files.swap_remove(chosen.ok_or_else(sections)?))
    };
    exchange.database.run(unit).await
}

/// The same as values, to be shown among other things.
pub async fn made(exchange: &Exchange, asked: Asked) -> Result<Report, Error> {
    let _turn = turn(&REPORTS).await?;
    exchange.database.run(move |conn| Ok(make(conn, &asked)?.1)).await
}

fn make(conn: &mut PgConnection, asked: &Asked) -> Result<(Wanted, Report), Error> {
    let mut window = None;
    if let Some(which) = asked.window {
        let row = which.find(conn)?.ok_or(Error::NotFound)?;
        if asked.published && row.state != State::Published {
            return Err(Error::Unpublished(row.number));
        }
        window = Some(row.number);
    }
    let wanted = Wanted { window, participant: asked.participant.clone(), ..Wanted::now(conn)? };
    let report = reports::make(conn, asked.name, &wanted)?;
    Ok((wanted, report))
}

/// Takes what a partner signs under the current checkpoint as a witness (C2SP tlog-cosignature).
pub async fn cosign(exchange: &Exchange, partner: Slug, kid: String, line: String) -> Result<String, Error> {
    let unit = move |conn: &mut PgConnection| countersign::cosign(conn, &partner, &kid, &line);
    exchange.database.run(unit).await
}
