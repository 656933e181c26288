//! The staff log: adding to it in whatever transaction an act has, and reading it.

use super::{Error, Signed, Staffing};
use crate::domain::ids::{Slug, StaffId};
use crate::domain::staff::{Login, Permission};
use crate::domain::staff_log::Entry;
use crate::signing::digest::Sha256;
use crate::store;
use crate::store::staff::log;
use diesel::{Connection, PgConnection};
use std::collections::BTreeMap;
use std::time::Duration;

pub use crate::store::staff::log::Line;

/// Lines read at once.
const LINES_MAX: i64 = 200;
/// Tries to log what is done already, and the rest after the first.
const NOTE_TRIES: u32 = 3;
const NOTE_REST: Duration = Duration::from_millis(50);
/// Characters of a subject.
const SUBJECT_MAX: usize = 200;

/// Who did something.
#[derive(Clone, Debug)]
pub struct Actor {
    pub staff: Option<StaffId>,
    pub login: Option<Login>,
    /// Whose affair it is; `None`: the operator's alone.
    pub partner: Option<Slug>,
}

impl Actor {
    /// Whoever has the command line, of whom nothing more is known.
    pub const COMMAND_LINE: Actor = Actor { staff: None, login: None, partner: None };

    /// The same person in the affairs of `partner`.
    pub fn at(&self, partner: Option<&Slug>) -> Actor {
        Actor { partner: partner.cloned(), ..self.clone() }
    }
}

impl From<&Signed> for Actor {
    fn from(signed: &Signed) -> Actor {
        Actor { staff: Some(signed.staff), login: Some(signed.login.clone()), partner: signed.partner().cloned() }
    }
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// `a–z`, `0–9`, `.` and `_`, a letter first, at most 64: `statement.signed`.
    pub action: &'static str,
    /// What it was done to, an id; cut after 200 characters.
    pub subject: String,
    /// Neither personal data nor secrets; at most some 4 KiB.
    pub detail: BTreeMap<&'static str, String>,
}

impl Act {
    pub fn new(action: &'static str, subject: impl ToString) -> Act {
        Act { action, subject: subject.to_string(), detail: BTreeMap::new() }
    }

    pub fn with(mut self, key: &'static str, text: impl ToString) -> Act {
        self.detail.insert(key, text.to_string());
        self
    }
}

/// Which lines: those before a number, the newest if none is given, at most 200.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    pub before: Option<i64>,
    pub limit: i64,
}

/// Adds an entry. In a transaction of the caller's it is there if that commits, and others wait for it until then: so it
/// comes last.
pub fn append(conn: &mut PgConnection, actor: &Actor, act: &Act) -> Result<(), Error> {
    Ok(write(conn, actor, act)?)
}

/// Does something and logs it, in one transaction: neither is there without the other. What has changed nothing is no act.
pub fn acting<T, E>(
    conn: &mut PgConnection,
    actor: &Actor,
    unit: impl FnOnce(&mut PgConnection) -> Result<(T, Option<Act>), E>,
) -> Result<T, E>
where
    E: From<store::Error> + From<diesel::result::Error>,
{
    conn.transaction(|conn| {
        let (done, act) = unit(conn)?;
        if let Some(act) = act {
            write(conn, actor, &act)?;
        }
        Ok(done)
    })
}

/// What a service that keeps its own transaction calls in it when something has changed.
pub fn witness<E: From<store::Error>>(
    actor: Actor,
) -> impl Fn(&mut PgConnection, Act) -> Result<(), E> + Clone + Send + 'static {
    move |conn, act| Ok(write(conn, &actor, &act)?)
}

fn write(conn: &mut PgConnection, actor: &Actor, act: &Act) -> Result<(), store::Error> {
    let (entry, hash) = conn.transaction(|conn| {
        let (head, at) = log::take_turn(conn)?;
        let entry = Entry {
            seq: head.seq + 1,
            at,
            partner: actor.partner.clone(),
            staff: actor.staff,
            login: actor.login.as_ref().map(Login::to_string),
            action: act.action.to_owned(),
            subject: act.subject.chars().take(SUBJECT_MAX).collect(),
            detail: act.detail.iter().map(|(key, text)| ((*key).to_owned(), text.clone())).collect(),
            prev_hash: head.hash,
        };
        let mut hash = Sha256::default();
        hash.update(&entry.bytes());
        let hash = hash.finish();
        log::insert(conn, &entry, &hash)?;
        Ok::<_, store::Error>((entry, hash))
    })?;
    // Elsewhere too, so that an end that was cut off is missed.
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    tracing::info!(staff_log.seq = entry.seq, staff_log.hash = hash, staff_log.action = entry.action, "staff log");
    Ok(())
}

/// Adds an entry unless there is one of this action and subject.
fn once(conn: &mut PgConnection, actor: &Actor, act: &Act) -> Result<(), store::Error> {
    conn.transaction(|conn| {
        // In turn: of two that come at once the second finds what the first has written.
        log::take_turn(conn)?;
        let subject: String = act.subject.chars().take(SUBJECT_MAX).collect();
        if log::is_there(conn, act.action, &subject)? { Ok(()) } else { write(conn, actor, act) }
    })
}

/// Lines that somebody may read: an operator's person all, a partner's those of their own brand.
fn read(conn: &mut PgConnection, of: Option<&Slug>, page: Page) -> Result<Vec<Line>, Error> {
    Ok(log::list(conn, of, page.before, page.limit.clamp(1, LINES_MAX))?)
}

impl Staffing {
    /// [`acting`] as whoever is signed in, on a connection of the pool.
    pub async fn acting<T, E>(
        &self,
        signed: &Signed,
        unit: impl FnOnce(&mut PgConnection) -> Result<(T, Option<Act>), E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<store::Error> + From<diesel::result::Error> + Send + 'static,
    {
        let actor = Actor::from(signed);
        self.database.run(move |conn| acting(conn, &actor, unit)).await
    }

    /// Logs what the book has done for somebody, once for an action and a subject, a repeat of the call included. It is done:
    /// so this never says no, and what cannot be logged in three tries goes to the server's log as an error.
    pub async fn note(&self, signed: &Signed, act: Act) {
        let actor = Actor::from(signed);
        let mut rest = NOTE_REST;
        for nth in 1..=NOTE_TRIES {
            let (actor, note) = (actor.clone(), act.clone());
            match self.database.run(move |conn| once(conn, &actor, &note)).await {
                Ok(()) => return,
                Err(error) if nth == NOTE_TRIES => {
                    let Act { action, subject, .. } = &act;
                    tracing::error!(%error, staff_log.action = action, subject, login = %signed.login, "done, and not in the staff log");
                    metrics::counter!("hanse_staff_log_missed_total").increment(1);
                }
                Err(_) => tokio::time::sleep(rest).await,
            }
            rest *= 4;
        }
    }

    /// The newest first; `Err(Forbidden)` for who may not see it.
    pub async fn log(&self, signed: &Signed, page: Page) -> Result<Vec<Line>, Error> {
        if !signed.may(Permission::SeeAudit) {
            return Err(Error::Forbidden);
        }
        let of = signed.partner().cloned();
        self.database.run(move |conn| read(conn, of.as_ref(), page)).await
    }
}
