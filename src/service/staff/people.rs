//! Who is on the staff: adding, setting up anew, changing the role, removing. Whatever changes somebody ends their sessions.

use super::enrolment::{self, Invited};
use super::log::{Act, Actor, append};
use super::{Error, Signed, Staffing, Unfit, enrol, random};
use crate::domain::ids::{Slug, StaffId};
use crate::domain::staff::{Login, Password, Permission, Role, Secret};
use crate::signing::password;
use crate::signing::sealing::SealingKey;
use crate::store::staff::{self as rows, Person, Row, enrolments, sessions};
use crate::store::{catalogue, partners};
use diesel::{Connection, PgConnection};
use std::sync::Arc;
use uuid::Uuid;

/// Somebody to be.
#[derive(Clone, Debug)]
pub struct New {
    pub login: Login,
    /// `None`: the operator's.
    pub partner: Option<Slug>,
    pub role: Role,
    pub password: Password,
}

/// Somebody who can sign in now.
#[derive(Clone, Debug)]
pub struct Enrolled {
    pub staff: StaffId,
    pub login: Login,
    /// `otpauth://…`: shown once, to whoever signs in.
    pub uri: Secret,
}

/// Somebody who is to set up their login themselves.
#[derive(Clone, Debug)]
pub struct Invitation {
    pub login: Login,
    /// `None`: the operator's.
    pub partner: Option<Slug>,
    pub role: Role,
}

/// Adds somebody with a password; who does so for a brand adds to that one alone, or gets `Err(Forbidden)`. `Err(Taken)` for a
/// login that is there, `Err(NotFound)` for a partner that is not, `Err(Unfit)` for who cannot be.
pub fn add(conn: &mut PgConnection, sealing: &SealingKey, actor: &Actor, new: &New) -> Result<Enrolled, Error> {
    let New { login, partner, role, password } = new.clone();
    let (row, uri) = row(conn, sealing, actor, Invitation { login, partner, role }, password.expose())?;
    conn.transaction(|conn| insert(conn, actor, &row))?;
    Ok(Enrolled { staff: row.staff, login: row.login, uri })
}

/// Adds somebody who chooses their own password, by an address that is opened once.
pub fn invite(conn: &mut PgConnection, sealing: &SealingKey, actor: &Actor, new: Invitation) -> Result<Invited, Error> {
    let (row, _) = row(conn, sealing, actor, new, random()?.expose())?;
    conn.transaction(|conn| {
        insert(conn, actor, &row)?;
        enrolment::open(conn, actor, row.staff, &row.login)
    })
}

fn row(
    conn: &mut PgConnection,
    sealing: &SealingKey,
    actor: &Actor,
    new: Invitation,
    password: &str,
) -> Result<(Row, Secret), Error> {
    let Invitation { login, partner, role } = new;
    if actor.partner.is_some() && actor.partner != partner {
        return Err(Error::Forbidden);
    }
    match &partner {
        Some(partner) if partners::find(conn, partner)?.is_none() => return Err(Error::NotFound),
        None if login.operator().is_none() => return Err(Unfit::OperatorLogin.into()),
        Some(_) | None => fits(role, partner.as_ref())?,
    }
    let password = password::hash(password)?;
    let staff = StaffId(Uuid::now_v7());
    let (totp, uri) = enrol(sealing, &issuer(conn)?, staff, &login)?;
    Ok((Row { staff, login, partner, role, password, totp, failures: 0, locked: false }, uri))
}

fn insert(conn: &mut PgConnection, actor: &Actor, row: &Row) -> Result<(), Error> {
    if !rows::insert(conn, row)? {
        return Err(Error::Taken);
    }
    let act = Act::new("staff.added", &row.login).with("role", row.role);
    append(conn, &actor.at(row.partner.as_ref()), &act)
}

/// Another password and another secret of codes: who forgot the one or lost the other can sign in again, and who was locked
/// out too.
pub fn reset(
    conn: &mut PgConnection,
    sealing: &SealingKey,
    actor: &Actor,
    login: &Login,
    password: &Password,
) -> Result<Enrolled, Error> {
    let hashed = password::hash(password.expose())?;
    let issuer = issuer(conn)?;
    change(conn, actor, login, Act::new("staff.reset", login), |conn, row| {
        let (totp, uri) = enrol(sealing, &issuer, row.staff, login)?;
        rows::reset(conn, row.staff, &hashed, &totp)?;
        enrolments::end(conn, row.staff)?;
        Ok(Enrolled { staff: row.staff, login: login.clone(), uri })
    })
}

/// The same for who is to choose the password themselves, by an address that is opened once.
pub fn invite_again(
    conn: &mut PgConnection,
    sealing: &SealingKey,
    actor: &Actor,
    login: &Login,
) -> Result<Invited, Error> {
    let hashed = password::hash(random()?.expose())?;
    let issuer = issuer(conn)?;
    change(conn, actor, login, Act::new("staff.reset", login), |conn, row| {
        let (totp, _) = enrol(sealing, &issuer, row.staff, login)?;
        rows::reset(conn, row.staff, &hashed, &totp)?;
        enrolment::open(conn, actor, row.staff, login)
    })
}

pub fn change_role(conn: &mut PgConnection, actor: &Actor, login: &Login, role: Role) -> Result<(), Error> {
    change(conn, actor, login, Act::new("staff.role_changed", login).with("role", role), |conn, row| {
        fits(role, row.partner.as_ref())?;
        Ok(rows::set_role(conn, row.staff, role)?)
    })
}

/// Removes somebody. The login may be given again; the log keeps who did what by ids of their own.
pub fn remove(conn: &mut PgConnection, actor: &Actor, login: &Login) -> Result<(), Error> {
    change(conn, actor, login, Act::new("staff.removed", login), |conn, row| Ok(rows::delete(conn, row.staff)?))
}

/// Everybody, or a partner's.
pub fn list(conn: &mut PgConnection, of: Option<&Slug>) -> Result<Vec<Person>, Error> {
    Ok(rows::list(conn, of)?)
}

fn fits(role: Role, partner: Option<&Slug>) -> Result<(), Error> {
    if role == Role::Clerk && partner.is_none() {
        return Err(Unfit::OperatorClerk.into());
    }
    Ok(())
}

/// One change of somebody, logged, with the end of their sessions.
fn change<T>(
    conn: &mut PgConnection,
    actor: &Actor,
    login: &Login,
    act: Act,
    what: impl FnOnce(&mut PgConnection, &Row) -> Result<T, Error>,
) -> Result<T, Error> {
    conn.transaction(|conn| {
        // Of another brand nobody is there.
        let theirs = |row: &Row| actor.partner.is_none() || actor.partner == row.partner;
        let row = rows::lock(conn, login)?.filter(theirs).ok_or(Error::NotFound)?;
        let done = what(conn, &row)?;
        // After the change: of a removed one they are gone already.
        let ended = sessions::delete_all(conn, row.staff)?;
        let act = if ended > 0 { act.with("sessions_ended", ended) } else { act };
        append(conn, &actor.at(row.partner.as_ref()), &act)?;
        Ok(done)
    })
}

/// What an app shows the codes under.
pub(super) fn issuer(conn: &mut PgConnection) -> Result<String, Error> {
    if !catalogue::exists(conn)? {
        return Ok("Hanse".to_owned());
    }
    Ok(format!("Hanse {}", catalogue::load(conn)?.alliance.name.en))
}

impl Staffing {
    /// Those whom somebody manages: of an operator's admin everybody.
    pub async fn list(&self, signed: &Signed) -> Result<Vec<Person>, Error> {
        let of = managing(signed)?.partner;
        self.database.run(move |conn| list(conn, of.as_ref())).await
    }

    /// `Err(Forbidden)` for another brand's too.
    pub async fn invite(&self, signed: &Signed, new: Invitation) -> Result<Invited, Error> {
        let actor = managing(signed)?;
        self.hashing(move |conn, sealing| invite(conn, sealing, &actor, new)).await
    }

    pub async fn reset(&self, signed: &Signed, login: Login) -> Result<Invited, Error> {
        let actor = managing_another(signed, &login)?;
        self.hashing(move |conn, sealing| invite_again(conn, sealing, &actor, &login)).await
    }

    pub async fn change_role(&self, signed: &Signed, login: Login, role: Role) -> Result<(), Error> {
        let actor = managing_another(signed, &login)?;
        self.database.run(move |conn| change_role(conn, &actor, &login, role)).await
    }

    pub async fn remove(&self, signed: &Signed, login: Login) -> Result<(), Error> {
        let actor = managing_another(signed, &login)?;
        self.database.run(move |conn| remove(conn, &actor, &login)).await
    }

    /// Ends the sessions of somebody else.
    pub async fn end_sessions(&self, signed: &Signed, login: Login) -> Result<(), Error> {
        let actor = managing_another(signed, &login)?;
        let act = Act::new("staff.sessions_ended", &login);
        self.database.run(move |conn| change(conn, &actor, &login, act, |_, _| Ok(()))).await
    }

    /// A unit of work that hashes a password: two at once, as those that look at one.
    pub(super) async fn hashing<T: Send + 'static>(
        &self,
        unit: impl FnOnce(&mut PgConnection, &SealingKey) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = self.hashing_turn().await?;
        let sealing = Arc::clone(&self.sealing);
        let unit = move |conn: &mut PgConnection| {
            let _turn = turn;
            unit(conn, &sealing)
        };
        self.database.run(unit).await
    }
}

fn managing(signed: &Signed) -> Result<Actor, Error> {
    if signed.may(Permission::ManageStaff) { Ok(signed.into()) } else { Err(Error::Forbidden) }
}

/// Nobody leaves a brand without an admin by a slip of the hand.
fn managing_another(signed: &Signed, login: &Login) -> Result<Actor, Error> {
    if signed.login == *login { Err(Unfit::Oneself.into()) } else { managing(signed) }
}
