//! Signing in: login, password and code in one go, and one answer to whatever is wrong.
//!
//! A try is counted before it is looked at, so that however many come at once no more than five are looked at before the
//! lock. Everything is looked at whatever else is wrong, of somebody unknown too, and a refusal is not told before its time.

use super::log::{Act, Actor, append};
use super::{Error, Signed, Staffing, random, sealed_as, sessions};
use crate::clock;
use crate::domain::staff::{self, Login, Secret};
use crate::signing::{password, totp};
use crate::store::staff::{self as rows, Row};
use chrono::TimeDelta;
use diesel::{Connection, PgConnection};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// No refusal is answered sooner: what is done in less cannot be told apart.
const PATIENCE: Duration = Duration::from_millis(400);
/// Bytes of a password that is looked at; a longer one is nobody's.
const PASSWORD_BYTES_MAX: usize = 4 * 128;

/// What was typed.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub login: Secret,
    pub password: Secret,
    pub totp: Secret,
}

/// A session as it begins: the token is shown once, its hash kept.
#[derive(Clone, Debug)]
pub struct Session {
    pub token: Secret,
    pub signed: Signed,
}

/// Why somebody was not let in, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Unknown,
    Locked,
    Password,
    Code,
    /// Right, but used before; or the password was changed while it was looked at.
    Used,
}

impl Why {
    fn text(self) -> &'static str {
        match self {
            Why::Unknown => "unknown",
            Why::Locked => "locked",
            Why::Password => "password",
            Why::Code => "code",
            Why::Used => "used",
        }
    }
}

/// What the look at password and code has shown.
#[derive(Clone, Copy)]
struct Looked {
    password: bool,
    step: Option<i64>,
}

impl Staffing {
    /// Begins a session. `Err(Refused)` whatever is wrong; `Err(Busy)` when too many try at once, whoever they are. Who may
    /// try how often by address is the caller's to say.
    pub async fn sign_in(&self, attempt: Attempt) -> Result<Session, Error> {
        let since = tokio::time::Instant::now();
        let _place = self.bounds.attempts.try_acquire().map_err(|_| {
            metrics::counter!("hanse_staff_sign_ins_total", "outcome" => "busy").increment(1);
            Error::Busy
        })?;
        let outcome = self.try_sign_in(attempt).await;
        if let Err(Error::Refused) = &outcome {
            tokio::time::sleep_until(since + PATIENCE).await;
        }
        outcome
    }

    async fn try_sign_in(&self, attempt: Attempt) -> Result<Session, Error> {
        let login: Option<Login> = attempt.login.expose().parse().ok();
        let counted = self.database.run(move |conn| count(conn, login.as_ref())).await?;
        let looked = self.look(&attempt, counted.as_ref()).await?;
        let logged = self.bounds.logged.check().is_ok();
        let staffing = self.clone();
        let unit = move |conn: &mut PgConnection| staffing.settle(conn, counted.as_ref(), looked, logged);
        let outcome = self.database.run(unit).await?;
        let told = outcome.as_ref().map_or_else(|why| why.text(), |_| "signed_in");
        metrics::counter!("hanse_staff_sign_ins_total", "outcome" => told).increment(1);
        outcome.map_err(|_| Error::Refused)
    }

    /// Compares what was typed with somebody's, or with nobody's; two at once, off the threads that serve.
    async fn look(&self, attempt: &Attempt, row: Option<&Row>) -> Result<Looked, Error> {
        let typed = if attempt.password.expose().len() > PASSWORD_BYTES_MAX { "" } else { attempt.password.expose() };
        let typed = Secret::from(typed.to_owned());
        let known = row.map(|row| row.password.clone());
        let bounds = Arc::clone(&self.bounds);
        let turn = self.hashing_turn().await?;
        let work = tokio::task::spawn_blocking(move || {
            // Kept until the work ends, not until the caller stops listening.
            let _turn = turn;
            // Asked for whoever it is: the first to try pays for it, known or not.
            let nobody = bounds.nobody()?;
            Ok::<_, Error>(password::verify(typed.expose(), known.as_deref().unwrap_or(nobody)))
        });
        let password = work.await.map_err(|cause| Error::Panicked(cause.to_string()))??;
        let secret = match row {
            Some(row) => self.sealing.open_sealed(&sealed_as(row.staff), &row.totp)?,
            None => vec![0; totp::SECRET],
        };
        Ok(Looked { password, step: totp::accept(&secret, attempt.totp.expose(), clock::now().timestamp()) })
    }

    /// Lets in or not, and logs it, in one transaction.
    fn settle(
        &self,
        conn: &mut PgConnection,
        row: Option<&Row>,
        looked: Looked,
        logged: bool,
    ) -> Result<Result<Session, Why>, Error> {
        conn.transaction(|conn| {
            let why = match (row, looked) {
                (None, _) => Why::Unknown,
                (Some(row), _) if row.locked => Why::Locked,
                (Some(_), Looked { password: false, .. }) => Why::Password,
                (Some(_), Looked { step: None, .. }) => Why::Code,
                (Some(row), Looked { step: Some(step), .. }) => {
                    if rows::admit(conn, row.staff, &row.password, step)? {
                        return begin(conn, row).map(Ok);
                    }
                    Why::Used
                }
            };
            self.log_refusal(conn, row, why, logged)?;
            Ok(Err(why))
        })
    }

    /// Beyond so many a minute they are counted, and the next one logged says how many.
    fn log_refusal(&self, conn: &mut PgConnection, row: Option<&Row>, why: Why, logged: bool) -> Result<(), Error> {
        if !logged {
            self.bounds.unlogged.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let mut act =
            Act::new("staff.sign_in_refused", row.map_or("", |row| row.login.as_str())).with("why", why.text());
        let unlogged = self.bounds.unlogged.swap(0, Ordering::Relaxed);
        if unlogged > 0 {
            act = act.with("unlogged_before", unlogged);
        }
        // What was typed as the login of somebody unknown is not kept: it may be a password.
        append(conn, &row.map_or(Actor::COMMAND_LINE, actor), &act)
    }
}

fn actor(row: &Row) -> Actor {
    Actor { staff: Some(row.staff), login: Some(row.login.clone()), partner: row.partner.clone() }
}

/// Counts a try at somebody who is there and not locked.
fn count(conn: &mut PgConnection, login: Option<&Login>) -> Result<Option<Row>, Error> {
    let Some(login) = login else { return Ok(None) };
    conn.transaction(|conn| {
        let row = rows::lock(conn, login)?;
        if let Some(row) = row.as_ref().filter(|row| !row.locked) {
            let failures = row.failures.saturating_add(1);
            rows::count(conn, row.staff, failures, staff::lock(failures).map(|lock| TimeDelta::num_seconds(&lock)))?;
        }
        Ok(row)
    })
}

/// A session of somebody who has shown who they are.
pub(super) fn begin(conn: &mut PgConnection, row: &Row) -> Result<Session, Error> {
    let (token, csrf) = (random()?, random()?);
    let key = sessions::key(token.expose()).ok_or(Error::Randomness)?;
    crate::store::staff::sessions::insert(conn, &key, row.staff, &csrf)?;
    append(conn, &actor(row), &Act::new("staff.signed_in", &row.login))?;
    // As it will be found from now on: the role may have changed while the password was looked at.
    let signed = sessions::look(conn, &key)?.ok_or(Error::NotFound)?;
    Ok(Session { token, signed })
}
