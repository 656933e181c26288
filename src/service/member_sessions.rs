//! The member's page is opened from a brand's own app: the brand asks for a one-time address, the app opens it within a
//! minute, and whoever opens it first has a session of that one membership. No password, and nothing to guess: both
//! secrets are 256 random bits of which only a hash is kept.

use super::exchange::{self, Error, Exchange};
use crate::clock;
use crate::domain::holder::Holder;
use crate::domain::ids::{AccountId, Slug};
use crate::domain::text::Text;
use crate::service::memberships;
use crate::signing::digest::directory_hash;
use crate::store::member_sessions::{self as rows, Row};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{Connection, PgConnection};
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use uuid::Uuid;

/// Seconds a one-time address is good for.
const OPENING_S: i64 = 60;
/// Seconds after which a session ends that nobody uses, and one that is used.
const IDLE_S: i64 = 15 * 60;
const SESSION_S: i64 = 2 * 60 * 60;

/// What a session may do beside looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Convert points, and undo it.
    Convert,
    /// Claim benefits, and give them back.
    Claim,
    /// End links, and with them the consents.
    Consent,
    /// Show a pass at a till.
    Pass,
}

impl Scope {
    pub const ALL: [(Scope, &'static str); 4] =
        [(Scope::Convert, "convert"), (Scope::Claim, "claim"), (Scope::Consent, "consent"), (Scope::Pass, "pass")];

    pub fn code(self) -> &'static str {
        Self::ALL.iter().find(|(scope, _)| *scope == self).map_or("convert", |(_, code)| code)
    }

    pub fn parse(text: &str) -> Option<Scope> {
        Self::ALL.iter().find(|(_, code)| *code == text).map(|(scope, _)| *scope)
    }
}

/// A secret that a browser carries: in an address once, in a cookie afterwards.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    const BYTES: usize = 32;

    fn draw() -> Result<Secret, Error> {
        let mut bytes = [0; Secret::BYTES];
        SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Broken("the system has no randomness"))?;
        Ok(Secret(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// What a browser sent; `None` when it is no secret of ours.
    pub fn read(text: &str) -> Option<Secret> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        (bytes.len() == Secret::BYTES).then(|| Secret(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn hash(&self, kind: &str) -> Uuid {
        directory_hash(kind, &[self.0.as_bytes()])
    }

    /// What a form of this session carries, so that no other site's form is taken for one: made of the cookie, which no
    /// other site knows.
    pub fn form_token(&self) -> String {
        self.hash("member-form").simple().to_string()
    }
}

impl fmt::Debug for Secret {
    /// Never in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

const OPENING: &str = "member-opening";
const SESSION: &str = "member-session";

/// What a brand asks for.
#[derive(Debug)]
pub struct Wanted {
    pub member_ref: Text,
    /// Where the page leads back to.
    pub return_url: Option<String>,
    pub scopes: Vec<Scope>,
}

/// A one-time address's secret, shown once.
#[derive(Debug)]
pub struct Offered {
    pub secret: Secret,
    pub expires_at: DateTime<Utc>,
}

/// A good session.
#[derive(Clone, Debug)]
pub struct Session {
    pub account: AccountId,
    pub brand: Slug,
    /// The brand's own reference of its member: the page acts as the brand does.
    pub member_ref: Text,
    scopes: Vec<Scope>,
    pub return_url: Option<String>,
}

impl Session {
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

/// Makes a one-time address for the caller's member.
pub async fn offer(exchange: &Exchange, caller: &Slug, wanted: Wanted) -> Result<Offered, Error> {
    let secret = Secret::draw()?;
    let hash = secret.hash(OPENING);
    let reader = Holder::Partner(caller.clone());
    let unit = move |conn: &mut PgConnection| {
        let account = memberships::find(conn, &reader, &wanted.member_ref)?.ok_or(Error::NotFound)?.account;
        let scopes = wanted.scopes.iter().map(|scope| scope.code().to_owned()).collect();
        Ok::<_, Error>(rows::offer(conn, hash, &Row::new(account, scopes, wanted.return_url), OPENING_S)?)
    };
    exchange.database.run(unit).await?;
    Ok(Offered { secret, expires_at: clock::now() + TimeDelta::seconds(OPENING_S) })
}

/// Turns a one-time address into a session, once; a session that this browser had before is over. `NotFound` when the
/// address was used, is over, or never was.
pub async fn open(exchange: &Exchange, opening: &Secret, before: Option<Secret>) -> Result<Secret, Error> {
    let session = Secret::draw()?;
    let (opening, hash) = (opening.hash(OPENING), session.hash(SESSION));
    let before = before.map(|secret| secret.hash(SESSION));
    let unit = move |conn: &mut PgConnection| {
        conn.transaction(|conn| {
            let row = rows::take(conn, opening)?.ok_or(Error::NotFound)?;
            if let Some(before) = before {
                rows::end(conn, before)?;
            }
            Ok::<_, Error>(rows::begin(conn, hash, &row, SESSION_S)?)
        })
    };
    exchange.database.run(unit).await?;
    Ok(session)
}

/// The session a browser's cookie stands for; `None` when it is over, or its member has been forgotten.
pub async fn find(exchange: &Exchange, cookie: &Secret) -> Result<Option<Session>, Error> {
    let hash = cookie.hash(SESSION);
    let unit = move |conn: &mut PgConnection| {
        let Some(row) = rows::find(conn, hash, IDLE_S)? else { return Ok(None) };
        let Some(membership) = crate::store::memberships::of_account(conn, row.account())? else { return Ok(None) };
        let member_ref = Text::new(membership.member_ref).map_err(|_| Error::Broken("a reference is no text"))?;
        let scopes = row.scopes.iter().filter_map(|code| Scope::parse(code)).collect();
        let (account, return_url) = (row.account(), row.return_url);
        Ok::<_, Error>(Some(Session { account, brand: membership.partner, member_ref, scopes, return_url }))
    };
    exchange.database.run(unit).await
}

/// Ends the session of this cookie.
pub async fn end(exchange: &Exchange, cookie: &Secret) -> Result<(), Error> {
    let hash = cookie.hash(SESSION);
    exchange.database.run(move |conn| Ok::<_, Error>(rows::end(conn, hash)?)).await
}

/// The brand ends every page of its member's, as when the member signs out of its app.
pub async fn end_all(exchange: &Exchange, caller: &Slug, member_ref: Text) -> Result<(), Error> {
    let hash = exchange::member_hash(caller, &member_ref);
    let unit = move |conn: &mut PgConnection| {
        let account = crate::store::memberships::find(conn, hash.0)?.ok_or(Error::NotFound)?.account;
        Ok::<_, Error>(rows::end_all(conn, account)?)
    };
    exchange.database.run(unit).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_back_and_never_told() {
        let secret = Secret::draw().expect("randomness");
        assert_eq!(Secret::read(secret.as_str()), Some(secret.clone()));
        assert_ne!(secret, Secret::draw().expect("randomness"));
        assert!(!format!("{secret:?}").contains(secret.as_str()));
        assert_ne!(secret.hash(OPENING), secret.hash(SESSION), "an address is no cookie");
        for bad in ["", "short", &format!("{}=", secret.as_str()), &secret.as_str()[1..], "é"] {
            assert_eq!(Secret::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn scopes_are_read_back() {
        for (scope, code) in Scope::ALL {
            assert_eq!((scope.code(), Scope::parse(code)), (code, Some(scope)));
        }
        assert_eq!(Scope::parse("spend"), None);
    }
}
