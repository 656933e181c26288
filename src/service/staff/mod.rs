//! Staff: signing in with a password and a one-time code, sessions, who is there, and the log of what they do.
//!
//! Whoever tries to sign in learns yes or no and nothing else; why not is in the log. A session is known by the hash of its
//! token, and asked for at every request, so that what ends it ends it at once. All of it goes by wire time.

mod enrolment;
pub mod log;
pub mod people;
mod sessions;
mod sign_in;

use crate::domain::holder::Holder;
use crate::domain::ids::{Slug, StaffId};
use crate::domain::staff::{self, Login, NoPassword, Permission, Role, Secret};
use crate::signing::password::{self, PasswordError};
use crate::signing::sealing::{SealingError, SealingKey};
use crate::signing::totp;
use crate::store::{self, Database};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use ring::rand::{SecureRandom, SystemRandom};
use std::num::NonZeroU32;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use crate::service::staff::enrolment::{Chosen, Confirmed, Invited, form_token};
pub use crate::service::staff::log::{Act, Line, Page};
pub use crate::service::staff::people::{Enrolled, Invitation, New};
pub use crate::service::staff::sign_in::{Attempt, Session};
pub use crate::store::staff::Person;

/// Passwords that are hashed at once: each takes 19 MiB and all of a processor.
const HASHING: usize = 2;
/// Who may be signing in at once; one more is told to come again.
const ATTEMPTS: usize = 32;
/// Sign-ins that were refused and are logged, a minute; the others are counted.
const LOGGED: NonZeroU32 = const { NonZeroU32::new(120).expect("not zero") };

/// What signs staff in and out. Cheap to clone; one per server.
#[derive(Clone)]
pub struct Staffing {
    database: Database,
    sealing: Arc<SealingKey>,
    bounds: Arc<Bounds>,
}

struct Bounds {
    hashing: Arc<Semaphore>,
    attempts: Semaphore,
    logged: DefaultDirectRateLimiter,
    unlogged: AtomicU64,
    /// What the password of somebody unknown is compared with, so that it takes as long; made by the first who tries.
    nobody: OnceLock<String>,
}

impl Bounds {
    fn nobody(&self) -> Result<&str, Error> {
        if let Some(known) = self.nobody.get() {
            return Ok(known);
        }
        let made = password::hash(random()?.expose())?;
        Ok(self.nobody.get_or_init(|| made))
    }
}

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Signed {
    pub staff: StaffId,
    pub login: Login,
    /// The partner, or the operator's person: there the login is the name that rules of four eyes go by.
    pub holder: Holder,
    pub role: Role,
    /// What every form of the session must bring back.
    pub csrf: Secret,
    /// Its partner has left and its books are closed: it may look, and nothing else. Until then vouchers are honoured, statements
    /// signed and disputes answered, as through the API.
    pub read_only: bool,
    /// Set up on a page less than seven days ago: whoever has added them may be sitting there.
    pub is_new: bool,
    pub ends_at: DateTime<Utc>,
}

impl Signed {
    pub fn may(&self, permission: Permission) -> bool {
        staff::may(&self.holder, self.role, permission) && (permission.reads() || !self.read_only)
    }

    /// Whether their word may be one of the two that a decision takes, or one by which money is paid: as [`Signed::may`], and not
    /// of somebody new. Two roles that are kept from one person are kept from whoever would be both.
    pub fn may_be_one_of_two(&self, permission: Permission) -> bool {
        self.may(permission) && !self.is_new
    }

    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// `None`: the operator's.
    pub fn partner(&self) -> Option<&Slug> {
        match &self.holder {
            Holder::Partner(slug) => Some(slug),
            Holder::Operator(_) => None,
        }
    }
}

/// Why somebody cannot be what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("an operator's login begins with a letter and has no @")]
    OperatorLogin,
    #[error("the operator has no till: a clerk is a partner's")]
    OperatorClerk,
    #[error("nobody changes or removes themselves")]
    Oneself,
    #[error("{0}")]
    Password(NoPassword),
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Whatever it was: unknown, wrong, used, locked.
    #[error("login, password or code is wrong")]
    Refused,
    #[error("too many sign in at once")]
    Busy,
    #[error("the role does not allow this")]
    Forbidden,
    #[error("nobody of this login")]
    NotFound,
    #[error("the login is taken")]
    Taken,
    /// What was asked for cannot be.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Sealing(#[from] SealingError),
    #[error("the system has no randomness")]
    Randomness,
    #[error("a unit of work panicked: {0}")]
    Panicked(String),
}

impl From<diesel::result::Error> for Error {
    fn from(cause: diesel::result::Error) -> Error {
        Error::Store(cause.into())
    }
}

impl Staffing {
    /// `sealing` is the key of the secrets at rest, which every server of a database has.
    pub fn new(database: Database, sealing: Arc<SealingKey>) -> Staffing {
        let bounds = Bounds {
            hashing: Arc::new(Semaphore::new(HASHING)),
            attempts: Semaphore::new(ATTEMPTS),
            logged: RateLimiter::direct(Quota::per_minute(LOGGED)),
            unlogged: AtomicU64::new(0),
            nobody: OnceLock::new(),
        };
        Staffing { database, sealing, bounds: Arc::new(bounds) }
    }

    async fn hashing_turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        // Never closed; were it, nobody would get a turn either.
        Arc::clone(&self.bounds.hashing).acquire_owned().await.map_err(|_| Error::Busy)
    }
}

/// 32 random bytes as 43 characters of base64url.
fn random() -> Result<Secret, Error> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Randomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).into())
}

/// The name under which somebody's secret is sealed.
fn sealed_as(staff: StaffId) -> String {
    format!("staff {staff}")
}

/// The holder somebody acts for.
fn holder(login: &Login, partner: Option<&Slug>) -> Holder {
    partner.map_or_else(|| Holder::Operator(login.to_string()), |slug| Holder::Partner(slug.clone()))
}

/// A new secret, sealed for its row, and the link that gives it to an app.
fn enrol(sealing: &SealingKey, issuer: &str, staff: StaffId, login: &Login) -> Result<(Vec<u8>, Secret), Error> {
    let secret = totp::generate().map_err(|_| Error::Randomness)?;
    let sealed = sealing.seal(&sealed_as(staff), &secret)?;
    Ok((sealed, totp::uri(issuer, login.as_str(), &secret).into()))
}
