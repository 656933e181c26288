//! The ledger's rows in one file, written by one thread: as many requests as are waiting go into one durable
//! transaction, and each is answered after it. What was answered is there, however the process ends.

use super::ledger::{self, Command, CreditRow, Event, HoldRow, Member, Outcome, Rows, Stood, Totals};
use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

const MEMBERS: TableDefinition<&str, &[u8]> = TableDefinition::new("members");
const HOLDS: TableDefinition<&str, &[u8]> = TableDefinition::new("holds");
const CREDITS: TableDefinition<&str, &[u8]> = TableDefinition::new("credits");
const EVENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("events");
/// Ids of webhooks that were taken in, with the digest of what they said.
const SEEN: TableDefinition<&str, &str> = TableDefinition::new("seen");
/// Totals, and whatever else there is one of: the cursor, the secret of the webhooks.
const NOTES: TableDefinition<&str, &[u8]> = TableDefinition::new("notes");
const TOTALS: &str = "totals";

/// Requests that may wait; more are told to come again.
const QUEUE_MAX: usize = 8_192;
/// Requests of one transaction.
const BATCH_MAX: usize = 512;
/// Pages kept in memory.
const CACHE_BYTES: usize = 64 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the ledger's folder")]
    Folder(#[from] std::io::Error),
    #[error("the ledger's file: {0}")]
    File(String),
    #[error("a row of the ledger cannot be read")]
    Row(#[from] serde_json::Error),
    #[error("too many requests are waiting")]
    Full,
    #[error("the ledger has ended")]
    Ended,
}

/// Whatever the library has many types for is one thing here: the file cannot be read or written.
macro_rules! from_redb {
    ($($kind:ty),*) => { $(impl From<$kind> for Error {
        fn from(cause: $kind) -> Error {
            Error::File(cause.to_string())
        }
    })* };
}
from_redb!(redb::DatabaseError, redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);

/// Asked of the writer.
enum Job {
    Command(Box<Command>, oneshot::Sender<Result<Outcome, Error>>),
    Note(&'static str, Vec<u8>, oneshot::Sender<Result<(), Error>>),
    /// Whether it is new; `Err` of the text that was seen under this id before.
    See(String, String, oneshot::Sender<Result<Result<bool, String>, Error>>),
}

/// A handle; the last one to go ends the writer, after what is waiting.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    database: Arc<Database>,
    jobs: Mutex<Option<SyncSender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Everything, for whoever looks on.
#[derive(Debug, Serialize)]
pub struct Dump {
    pub totals: Totals,
    /// Whether members and holds are what the totals make them.
    pub adds_up: bool,
    pub members: Vec<(String, Member)>,
    pub holds: Vec<(String, HoldRow)>,
    pub credits: Vec<(String, CreditRow)>,
}

/// As `Dump`, in figures alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figures {
    pub totals: Totals,
    pub adds_up: bool,
    pub members: u64,
    pub holds: u64,
    pub credits: u64,
    pub events: u64,
    pub spendable: i64,
}

impl Store {
    /// Opens the ledger of a folder, making it when it is not there.
    pub fn open(folder: &Path) -> Result<Store, Error> {
        std::fs::create_dir_all(folder)?;
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(folder.join("ledger.redb"))?;
        let begin = database.begin_write()?;
        Tables::open(&begin)?;
        begin.commit()?;
        let database = Arc::new(database);
        let (jobs, waiting) = mpsc::sync_channel(QUEUE_MAX);
        let writing = Arc::clone(&database);
        let writer =
            std::thread::Builder::new().name("sim-ledger".to_owned()).spawn(move || write(&writing, &waiting))?;
        let shared = Shared { database, jobs: Mutex::new(Some(jobs)), writer: Mutex::new(Some(writer)) };
        Ok(Store { shared: Arc::new(shared) })
    }

    /// Decides a command and keeps what it decided before answering. `Err` means that nothing is known.
    pub async fn apply(&self, command: Command) -> Result<Outcome, Error> {
        let (answer, told) = oneshot::channel();
        self.send(Job::Command(Box::new(command), answer))?;
        told.await.map_err(|_| Error::Ended)?
    }

    /// Many commands at once, for what the ledger's owner does.
    pub async fn apply_all(&self, commands: Vec<Command>) -> Result<Vec<Outcome>, Error> {
        let mut outcomes = Vec::with_capacity(commands.len());
        let mut rest = commands.into_iter().peekable();
        while rest.peek().is_some() {
            let some: Vec<Command> = rest.by_ref().take(BATCH_MAX).collect();
            let mut waiting = Vec::with_capacity(some.len());
            for command in some {
                let (answer, told) = oneshot::channel();
                self.send(Job::Command(Box::new(command), answer))?;
                waiting.push(told);
            }
            for told in waiting {
                outcomes.push(told.await.map_err(|_| Error::Ended)??);
            }
        }
        Ok(outcomes)
    }

    /// Keeps one thing under a name.
    pub async fn keep<T: Serialize>(&self, name: &'static str, value: &T) -> Result<(), Error> {
        let (answer, told) = oneshot::channel();
        self.send(Job::Note(name, serde_json::to_vec(value)?, answer))?;
        told.await.map_err(|_| Error::Ended)?
    }

    /// What is kept under a name.
    pub fn kept<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let table = self.shared.database.begin_read()?.open_table(NOTES)?;
        let found = table.get(name)?;
        Ok(found.map(|bytes| serde_json::from_slice(bytes.value())).transpose()?)
    }

    /// Notes that a webhook came; `Ok(false)` when the same one was here before, `Err(text)` when another was.
    pub async fn see(&self, id: &str, text: &str) -> Result<Result<bool, String>, Error> {
        let (answer, told) = oneshot::channel();
        self.send(Job::See(id.to_owned(), text.to_owned(), answer))?;
        told.await.map_err(|_| Error::Ended)?
    }

    /// What came under an id before.
    pub fn seen(&self, id: &str) -> Result<Option<String>, Error> {
        let table = self.shared.database.begin_read()?.open_table(SEEN)?;
        Ok(table.get(id)?.map(|known| known.value().to_owned()))
    }

    fn send(&self, job: Job) -> Result<(), Error> {
        let jobs = self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = jobs.as_ref().ok_or(Error::Ended)?;
        sender.try_send(job).map_err(|why| match why {
            mpsc::TrySendError::Full(_) => Error::Full,
            mpsc::TrySendError::Disconnected(_) => Error::Ended,
        })
    }

    pub fn member(&self, member_ref: &str) -> Result<Option<Member>, Error> {
        self.find(MEMBERS, member_ref)
    }

    pub fn hold(&self, hold_id: &str) -> Result<Option<HoldRow>, Error> {
        self.find(HOLDS, hold_id)
    }

    pub fn credit(&self, credit_id: &str) -> Result<Option<CreditRow>, Error> {
        self.find(CREDITS, credit_id)
    }

    fn find<T: DeserializeOwned>(&self, of: TableDefinition<&str, &[u8]>, key: &str) -> Result<Option<T>, Error> {
        let table = self.shared.database.begin_read()?.open_table(of)?;
        let found = table.get(key)?;
        Ok(found.map(|bytes| serde_json::from_slice(bytes.value())).transpose()?)
    }

    fn all<T: DeserializeOwned>(&self, of: TableDefinition<&str, &[u8]>) -> Result<Vec<(String, T)>, Error> {
        let table = self.shared.database.begin_read()?.open_table(of)?;
        let mut all = Vec::new();
        for entry in table.iter()? {
            let (key, bytes) = entry?;
            all.push((key.value().to_owned(), serde_json::from_slice(bytes.value())?));
        }
        Ok(all)
    }

    pub fn members(&self) -> Result<Vec<(String, Member)>, Error> {
        self.all(MEMBERS)
    }

    pub fn holds(&self) -> Result<Vec<(String, HoldRow)>, Error> {
        self.all(HOLDS)
    }

    pub fn credits(&self) -> Result<Vec<(String, CreditRow)>, Error> {
        self.all(CREDITS)
    }

    /// Events after a sequence, in order.
    pub fn events_after(&self, sequence: u64, at_most: usize) -> Result<Vec<Event>, Error> {
        let table = self.shared.database.begin_read()?.open_table(EVENTS)?;
        let mut all = Vec::new();
        for entry in table.range(sequence + 1..)?.take(at_most) {
            all.push(serde_json::from_slice(entry?.1.value())?);
        }
        Ok(all)
    }

    /// Everything, and whether it adds up.
    pub fn dump(&self) -> Result<Dump, Error> {
        let totals: Totals = self.kept(TOTALS)?.unwrap_or_default();
        let (members, holds, credits) = (self.members()?, self.holds()?, self.credits()?);
        let held = holds.iter().filter(|(_, hold)| hold.state == Stood::Taken);
        let held: i64 = held.flat_map(|(_, hold)| &hold.lots).map(|lot| lot.points).sum();
        let spendable: i64 = members.iter().map(|(_, member)| member.balance()).sum();
        let adds_up = (totals.held, totals.spendable()) == (held, spendable);
        Ok(Dump { totals, adds_up, members, holds, credits })
    }

    pub fn figures(&self) -> Result<Figures, Error> {
        let dump = self.dump()?;
        let count = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
        let events = self.shared.database.begin_read()?.open_table(EVENTS)?.len()?;
        Ok(Figures {
            totals: dump.totals,
            adds_up: dump.adds_up,
            members: count(dump.members.len()),
            holds: count(dump.holds.len()),
            credits: count(dump.credits.len()),
            events,
            spendable: dump.totals.spendable(),
        })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A writer that panicked has said so.
            let _ = writer.join();
        }
    }
}

/// What a job came to, told once its transaction is durable.
enum Told {
    Command(oneshot::Sender<Result<Outcome, Error>>, Outcome),
    Note(oneshot::Sender<Result<(), Error>>),
    See(oneshot::Sender<Result<Result<bool, String>, Error>>, Result<bool, String>),
}

impl Told {
    /// Whoever asked and has gone needs no answer.
    fn tell(self) {
        match self {
            Told::Command(answer, outcome) => drop(answer.send(Ok(outcome))),
            Told::Note(answer) => drop(answer.send(Ok(()))),
            Told::See(answer, seen) => drop(answer.send(Ok(seen))),
        }
    }
}

fn write(database: &Database, waiting: &Receiver<Job>) {
    while let Ok(first) = waiting.recv() {
        let more = waiting.try_iter().take(BATCH_MAX - 1);
        let batch: Vec<Job> = std::iter::once(first).chain(more).collect();
        match transact(database, batch) {
            Ok(told) => told.into_iter().for_each(Told::tell),
            // Nobody is told anything but that there is no answer: each asks again.
            Err(cause) => tracing::error!(error = %cause, "the simulated ledger could not be written"),
        }
    }
}

fn transact(database: &Database, batch: Vec<Job>) -> Result<Vec<Told>, Error> {
    let transaction = database.begin_write()?;
    let mut told = Vec::with_capacity(batch.len());
    {
        let mut tables = Tables::open(&transaction)?;
        for job in batch {
            told.push(match job {
                Job::Command(command, answer) => Told::Command(answer, ledger::apply(&mut tables, &command)?),
                Job::Note(name, bytes, answer) => {
                    tables.notes.insert(name, bytes.as_slice())?;
                    Told::Note(answer)
                }
                Job::See(id, text, answer) => {
                    let seen = tables.see(&id, &text)?;
                    Told::See(answer, seen)
                }
            });
        }
        tables.finish()?;
    }
    transaction.commit()?;
    Ok(told)
}

/// The tables of one transaction.
struct Tables<'t> {
    members: Table<'t, &'static str, &'static [u8]>,
    holds: Table<'t, &'static str, &'static [u8]>,
    credits: Table<'t, &'static str, &'static [u8]>,
    events: Table<'t, u64, &'static [u8]>,
    seen: Table<'t, &'static str, &'static str>,
    notes: Table<'t, &'static str, &'static [u8]>,
    /// Read once and written once a transaction.
    totals: Totals,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Tables<'t>, Error> {
        let notes = transaction.open_table(NOTES)?;
        let totals = read(notes.get(TOTALS)?.map(|bytes| bytes.value().to_vec()))?.unwrap_or_default();
        Ok(Tables {
            members: transaction.open_table(MEMBERS)?,
            holds: transaction.open_table(HOLDS)?,
            credits: transaction.open_table(CREDITS)?,
            events: transaction.open_table(EVENTS)?,
            seen: transaction.open_table(SEEN)?,
            notes,
            totals,
        })
    }

    fn see(&mut self, id: &str, text: &str) -> Result<Result<bool, String>, Error> {
        let known = self.seen.get(id)?.map(|known| known.value().to_owned());
        match known {
            Some(known) if known == text => Ok(Ok(false)),
            Some(known) => Ok(Err(known)),
            None => {
                self.seen.insert(id, text)?;
                Ok(Ok(true))
            }
        }
    }

    fn finish(mut self) -> Result<(), Error> {
        self.notes.insert(TOTALS, serde_json::to_vec(&self.totals)?.as_slice())?;
        Ok(())
    }
}

fn read<T: DeserializeOwned>(bytes: Option<Vec<u8>>) -> Result<Option<T>, Error> {
    Ok(bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose()?)
}

impl Rows for Tables<'_> {
    type Error = Error;

    fn member(&mut self, member_ref: &str) -> Result<Option<Member>, Error> {
        read(self.members.get(member_ref)?.map(|bytes| bytes.value().to_vec()))
    }

    fn put_member(&mut self, member_ref: &str, row: &Member) -> Result<(), Error> {
        self.members.insert(member_ref, serde_json::to_vec(row)?.as_slice())?;
        Ok(())
    }

    fn hold(&mut self, hold_id: &str) -> Result<Option<HoldRow>, Error> {
        read(self.holds.get(hold_id)?.map(|bytes| bytes.value().to_vec()))
    }

    fn put_hold(&mut self, hold_id: &str, row: &HoldRow) -> Result<(), Error> {
        self.holds.insert(hold_id, serde_json::to_vec(row)?.as_slice())?;
        Ok(())
    }

    fn credit(&mut self, credit_id: &str) -> Result<Option<CreditRow>, Error> {
        read(self.credits.get(credit_id)?.map(|bytes| bytes.value().to_vec()))
    }

    fn put_credit(&mut self, credit_id: &str, row: &CreditRow) -> Result<(), Error> {
        self.credits.insert(credit_id, serde_json::to_vec(row)?.as_slice())?;
        Ok(())
    }

    fn event(&mut self, sequence: u64) -> Result<Option<Event>, Error> {
        read(self.events.get(sequence)?.map(|bytes| bytes.value().to_vec()))
    }

    fn put_event(&mut self, event: &Event) -> Result<(), Error> {
        self.events.insert(event.sequence, serde_json::to_vec(event)?.as_slice())?;
        Ok(())
    }

    fn totals(&mut self) -> Result<Totals, Error> {
        Ok(self.totals)
    }

    fn put_totals(&mut self, totals: &Totals) -> Result<(), Error> {
        self.totals = *totals;
        Ok(())
    }
}
