//! Enrolling: who is added or set up anew on a page opens a one-time address, chooses a password that nobody else knows, and
//! is shown a secret of codes that nobody else is. With the first right code the login is good; until then it has a password
//! that nobody knows at all.
//!
//! The address is used by whoever chooses the password, so that a person finds out when somebody else has. Looking at it uses
//! nothing: mail programs look at addresses.

use super::log::{Act, Actor, append};
use super::{Error, Session, Staffing, Unfit, enrol, random, sealed_as, sessions, sign_in};
use crate::clock;
use crate::domain::ids::StaffId;
use crate::domain::staff::{FAILURES_MAX, Login, Password, Secret};
use crate::signing::digest::Sha256;
use crate::signing::{password, totp};
use crate::store::staff::enrolments::{self, Row};
use crate::store::staff::{self as rows, sessions as stored};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use diesel::{Connection, PgConnection};

/// Somebody who can set up their login now.
#[derive(Clone, Debug)]
pub struct Invited {
    pub staff: StaffId,
    pub login: Login,
    /// Opens the enrolment, once; its hash alone is kept.
    pub code: Secret,
    pub ends_at: DateTime<Utc>,
}

/// A password was chosen: what is left is one code.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub login: Login,
    /// What the next form brings back.
    pub next: Secret,
    /// `otpauth://…`.
    pub uri: Secret,
}

/// What came of a code.
#[derive(Debug)]
pub enum Confirmed {
    Session(Session),
    /// It is wrong: the same once more.
    Wrong(Chosen),
}

/// What the first form carries: only who has the address has it.
pub fn form_token(code: &Secret) -> Secret {
    let mut hash = Sha256::default();
    hash.update(b"form of the enrolment ");
    hash.update(code.expose().as_bytes());
    URL_SAFE_NO_PAD.encode(hash.finish()).into()
}

/// Opens an enrolment for somebody, in the transaction that adds or resets them.
pub(super) fn open(conn: &mut PgConnection, by: &Actor, staff: StaffId, login: &Login) -> Result<Invited, Error> {
    let (code, key) = drawn()?;
    let ends_at = enrolments::open(conn, staff, &key, by.login.as_ref())?;
    Ok(Invited { staff, login: login.clone(), code, ends_at })
}

fn drawn() -> Result<(Secret, [u8; 32]), Error> {
    let code = random()?;
    let key = sessions::key(code.expose()).ok_or(Error::Randomness)?;
    Ok((code, key))
}

fn find(conn: &mut PgConnection, code: &Secret) -> Result<Row, Error> {
    let key = sessions::key(code.expose()).ok_or(Error::NotFound)?;
    enrolments::lock(conn, &key)?.ok_or(Error::NotFound)
}

fn actor(row: &Row) -> Actor {
    Actor { staff: Some(row.staff), login: Some(row.login.clone()), partner: row.partner.clone() }
}

impl Staffing {
    /// Whose address this is; `Err(NotFound)` when it is none, is over or was used.
    pub async fn invited(&self, code: Secret) -> Result<Login, Error> {
        let unit = move |conn: &mut PgConnection| {
            let row = find(conn, &code)?;
            if row.chosen.is_some() { Err(Error::NotFound) } else { Ok(row.login) }
        };
        self.database.run(unit).await
    }

    /// Takes the password that somebody chooses, which uses the address. `Err(NotFound)` as above, `Err(Unfit)` for a
    /// password that will not do, which uses nothing.
    pub async fn choose(&self, code: Secret, typed: Secret) -> Result<Chosen, Error> {
        let login = self.invited(code.clone()).await?;
        let chosen = Password::choose(typed.expose().to_owned(), &login).map_err(Unfit::Password)?;
        let unit = move |conn: &mut PgConnection, sealing: &_| {
            let hashed = password::hash(chosen.expose())?;
            let issuer = super::people::issuer(conn)?;
            conn.transaction(|conn| {
                let row = find(conn, &code)?;
                if row.chosen.is_some() {
                    return Err(Error::NotFound);
                }
                let (next, key) = drawn()?;
                let (sealed, uri) = enrol(sealing, &issuer, row.staff, &row.login)?;
                enrolments::choose(conn, row.staff, &key, (&hashed, &sealed))?;
                append(conn, &actor(&row), &Act::new("staff.enrolment_used", &row.login))?;
                Ok(Chosen { login: row.login, next, uri })
            })
        };
        self.hashing(unit).await
    }

    /// With the first right code the login is good, and somebody is signed in. `Err(NotFound)` when it is over, as it is
    /// after five wrong ones.
    pub async fn confirm(&self, next: Secret, code: Secret) -> Result<Confirmed, Error> {
        let (staffing, now) = (self.clone(), clock::now().timestamp());
        let unit = move |conn: &mut PgConnection| {
            conn.transaction(|conn| {
                let row = find(conn, &next)?;
                let Some((hashed, sealed)) = &row.chosen else { return Err(Error::NotFound) };
                let secret = staffing.sealing.open_sealed(&sealed_as(row.staff), sealed)?;
                let Some(step) = totp::accept(&secret, code.expose(), now) else {
                    return staffing.wrong(conn, &row, &secret, next);
                };
                let trusted_from = rows::enrol(conn, row.staff, (hashed, sealed), step)?;
                enrolments::end(conn, row.staff)?;
                // Whoever was in with what there was before.
                stored::delete_all(conn, row.staff)?;
                let by = row.added_by.as_deref().unwrap_or("-");
                let act = Act::new("staff.enrolled", &row.login).with("added_by", by);
                let act = act.with("one_of_two_from", trusted_from.format("%Y-%m-%dT%H:%M:%SZ"));
                append(conn, &actor(&row), &act)?;
                let row = rows::lock(conn, &row.login)?.ok_or(Error::NotFound)?;
                sign_in::begin(conn, &row).map(Confirmed::Session)
            })
        };
        self.database.run(unit).await
    }

    fn wrong(&self, conn: &mut PgConnection, row: &Row, secret: &[u8], next: Secret) -> Result<Confirmed, Error> {
        let act = Act::new("staff.enrolment_refused", &row.login).with("why", "code");
        if row.failures + 1 >= FAILURES_MAX {
            enrolments::end(conn, row.staff)?;
        } else {
            enrolments::count(conn, row.staff)?;
        }
        append(conn, &actor(row), &act)?;
        let uri = totp::uri(&super::people::issuer(conn)?, row.login.as_str(), secret).into();
        Ok(Confirmed::Wrong(Chosen { login: row.login.clone(), next, uri }))
    }
}
