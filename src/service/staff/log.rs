//! The staff log: adding to it in whatever transaction an act has, and reading it.

use super::{Error, Signed, Staffing};
use crate::domain::ids::{Slug, StaffId};
use crate::domain::staff::{Login, Permission};
use crate::domain::staff_log::Entry;
use crate::signing::digest::Sha256;
use crate::store::staff::log;
use diesel::{Connection, PgConnection};
use std::collections::BTreeMap;

pub use crate::store::staff::log::Line;

/// Lines read at once.
const LINES_MAX: i64 = 200;
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
        Ok::<_, Error>((entry, hash))
    })?;
    // Elsewhere too, so that an end that was cut off is missed.
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    tracing::info!(staff_log.seq = entry.seq, staff_log.hash = hash, staff_log.action = entry.action, "staff log");
    Ok(())
}

/// Lines that somebody may read: an operator's person all, a partner's those of their own brand.
fn read(conn: &mut PgConnection, of: Option<&Slug>, page: Page) -> Result<Vec<Line>, Error> {
    Ok(log::list(conn, of, page.before, page.limit.clamp(1, LINES_MAX))?)
}

impl Staffing {
    /// Logs what somebody has done. Where the act has a transaction, [`append`] in it is better.
    pub async fn record(&self, signed: &Signed, act: Act) -> Result<(), Error> {
        let actor = Actor::from(signed);
        self.database.run(move |conn| append(conn, &actor, &act)).await
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
