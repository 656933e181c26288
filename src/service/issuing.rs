//! Certificates on request: the first one for a one-time token, the next ones over mutual TLS, and their end.
//!
//! Whoever gives one out or takes one back holds one advisory lock, so that two never count the same certificates. What is
//! revoked is out of the register first, which every server asks at every request; the revocation list follows at once
//! where the authority's key is, or else when `sync` finds it on a server that has it.

use super::lifecycle;
use crate::clock;
use crate::domain::catalogue::PartnerStatus;
use crate::domain::holder::Holder;
use crate::domain::ids::Slug;
use crate::signing::pki::{Authority, List, PkiError, Request};
use crate::store::certificates::{self, Answered, Row};
use crate::store::locks::CERTIFICATES;
use crate::store::{self, Database, enrolments, partners};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::BigInt;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use std::path::{Path, PathBuf};

/// How long a token can be used.
const TOKEN_SECONDS: i64 = 3_600;
/// Live certificates of a holder who rotates by itself: the old one and the new one.
const LIVE_MAX: usize = 2;
/// For so long a request with the same key is the same request, whose answer was lost.
const RETRY: TimeDelta = TimeDelta::hours(24);
/// The list is made anew when less than this is left of its life, a third of it.
pub const LIST_RENEW: TimeDelta = TimeDelta::days(30);

/// What gives out certificates and takes them back. Cheap to clone.
#[derive(Clone)]
pub struct Issuing {
    pub database: Database,
    /// The authority's folder. Its key may be elsewhere: then nothing is issued here.
    pub pki: PathBuf,
}

/// A certificate as it is answered.
#[derive(Clone, Debug)]
pub struct Issued {
    pub holder: Holder,
    pub certificate: Answered,
    /// The authority's own, PEM.
    pub ca: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Pki(PkiError),
    /// The same for one that never was, one that was used and one whose time is over.
    #[error("the token is wrong, used or expired")]
    Token,
    #[error("the request is not a PKCS#10 request in PEM, signed with its own P-256 key")]
    Request,
    #[error("two certificates are live already: delete one first")]
    TooMany,
    #[error("it is the last live certificate: nobody could call with the next one; rotate first")]
    Last,
    #[error("not found")]
    NotFound,
    /// The certificate the call came with was revoked meanwhile.
    #[error("the certificate was revoked meanwhile")]
    Revoked,
    #[error("who has left gets no certificate any more")]
    Left,
    #[error("the authority's key is not on this server: {0}")]
    Elsewhere(&'static str),
    #[error("the system has no randomness")]
    Randomness,
}

impl From<diesel::result::Error> for Error {
    fn from(cause: diesel::result::Error) -> Error {
        Error::Store(cause.into())
    }
}

impl From<PkiError> for Error {
    fn from(cause: PkiError) -> Error {
        match cause {
            PkiError::Request => Error::Request,
            other => Error::Pki(other),
        }
    }
}

/// Makes a one-time token for a partner, in place of an open one; the token is shown once, its hash kept.
pub fn invite(conn: &mut PgConnection, partner: &Slug) -> Result<(String, DateTime<Utc>), Error> {
    let mut token = [0; 32];
    SystemRandom::new().fill(&mut token).map_err(|_| Error::Randomness)?;
    let token = URL_SAFE_NO_PAD.encode(token);
    let ends = enrolments::insert(conn, partner, &hash(&token), TOKEN_SECONDS)?;
    Ok((token, ends))
}

/// Looked up by its hash, a token takes the same time whether or not it begins like a good one.
fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

impl Issuing {
    /// The first certificate, for a token. The same token with the same key again is the same answer; one transaction uses
    /// the token and registers the certificate, so that there is never the one without the other.
    pub async fn enrol(&self, token: String, csr: String) -> Result<Issued, Error> {
        let pki = self.pki.clone();
        let unit = move |conn: &mut PgConnection| {
            let authority =
                authority(&pki, "ask the operator to have the request signed with `hanse pki issue --csr`")?;
            let issued = conn.transaction(|conn| enrol(conn, &authority, &hash(&token), &csr))?;
            activate(conn, &issued.holder);
            Ok(issued)
        };
        self.database.run(unit).await
    }

    /// One more certificate for who has one, at most two live ones together. `current`: the one the call came with, which
    /// may have been revoked since it was let in.
    pub async fn rotate(&self, holder: Holder, current: String, csr: String) -> Result<Issued, Error> {
        let pki = self.pki.clone();
        let unit = move |conn: &mut PgConnection| {
            let authority =
                authority(&pki, "send the request to the operator, who signs it with `hanse pki issue --csr`")?;
            conn.transaction(|conn| rotate(conn, &authority, holder, &current, &csr))
        };
        self.database.run(unit).await
    }

    /// Ends one of the holder's own certificates. The one the call came with only while another is live: after the last
    /// one nobody could ask for the next.
    pub async fn end(&self, holder: Holder, current: String, x5t: String) -> Result<Row, Error> {
        let pki = self.pki.clone();
        let unit = move |conn: &mut PgConnection| {
            let row = conn.transaction(|conn| end(conn, &holder, &current, &x5t))?;
            // The register refuses it from here on; the list can follow later.
            if let Err(cause) = sync(conn, &pki, clock::now()) {
                tracing::error!(error = %cause, "the revocation list is behind the register");
            }
            Ok(row)
        };
        self.database.run(unit).await
    }
}

fn enrol(conn: &mut PgConnection, authority: &Authority, token: &[u8; 32], csr: &str) -> Result<Issued, Error> {
    let row = enrolments::lock(conn, token)?.ok_or(Error::Token)?;
    let partner: Slug = row.partner.parse().map_err(|_| Error::Token)?;
    if has_left(conn, &partner)? {
        return Err(Error::Token);
    }
    // Read for who has a token alone: nobody else has a parser of ours to play with.
    let used = row.x5t_s256.as_deref();
    if used.is_none() && row.expired {
        return Err(Error::Token);
    }
    let request = Request::parse(csr);
    if let Some(x5t) = used {
        // Of a token that is used up nobody learns that it was one, but by the key it was used with.
        let request = request.map_err(|_| Error::Token)?;
        let certificate = certificates::answered(conn, x5t, &request.key_sha256())?.ok_or(Error::Token)?;
        return Ok(Issued { holder: Holder::Partner(partner), certificate, ca: authority.certificate()? });
    }
    let issued = issue(conn, authority, Holder::Partner(partner), &request?)?;
    if enrolments::spend(conn, token, &issued.certificate.x5t_s256)? { Ok(issued) } else { Err(Error::Token) }
}

fn has_left(conn: &mut PgConnection, partner: &Slug) -> Result<bool, Error> {
    Ok(partners::find(conn, partner)?.is_some_and(|standing| standing.status == PartnerStatus::Left))
}

fn rotate(
    conn: &mut PgConnection,
    authority: &Authority,
    holder: Holder,
    current: &str,
    csr: &str,
) -> Result<Issued, Error> {
    take_turn(conn)?;
    // Asked in our turn: who revokes has had his, and a stolen certificate must not get itself a successor meanwhile.
    let live = certificates::live(conn, &holder)?;
    if !live.iter().any(|live| live == current) {
        return Err(Error::Revoked);
    }
    if let Holder::Partner(partner) = &holder
        && has_left(conn, partner)?
    {
        return Err(Error::Left);
    }
    let request = Request::parse(csr)?;
    let since = clock::now() - RETRY;
    if let Some(certificate) = certificates::answered_since(conn, &holder, &request.key_sha256(), since)? {
        return Ok(Issued { holder, certificate, ca: authority.certificate()? });
    }
    if live.len() >= LIVE_MAX {
        return Err(Error::TooMany);
    }
    issue(conn, authority, holder, &request)
}

fn end(conn: &mut PgConnection, holder: &Holder, current: &str, x5t: &str) -> Result<Row, Error> {
    take_turn(conn)?;
    let row = certificates::find(conn, holder, x5t)?.ok_or(Error::NotFound)?;
    let live = certificates::live(conn, holder)?;
    if row.status == "revoked" {
        return Ok(row);
    }
    // Of two certificates that end each other at once, the second to come is out already.
    if !live.iter().any(|live| live == current) {
        return Err(Error::Revoked);
    }
    if x5t == current && live.len() < 2 {
        return Err(Error::Last);
    }
    certificates::revoke(conn, x5t)?;
    certificates::find(conn, holder, x5t)?.ok_or(Error::NotFound)
}

/// Signs and registers.
fn issue(conn: &mut PgConnection, authority: &Authority, holder: Holder, request: &Request) -> Result<Issued, Error> {
    let issued = authority.issue_to(&holder, request, clock::now())?;
    let facts = &issued.facts;
    super::certificates::insert(conn, facts)?;
    certificates::keep_answer(conn, &facts.x5t, &issued.pem, &request.key_sha256())?;
    let certificate = Answered {
        x5t_s256: facts.x5t.clone(),
        serial: facts.serial.clone(),
        not_before: facts.not_before,
        not_after: facts.not_after,
        pem: issued.pem,
    };
    Ok(Issued { holder, certificate, ca: authority.certificate()? })
}

/// A partner that waited for this becomes active; the look of `Departures` makes up for what fails here.
fn activate(conn: &mut PgConnection, holder: &Holder) {
    if let Holder::Partner(partner) = holder
        && let Err(cause) = lifecycle::activate_if_joining(conn, partner)
    {
        tracing::warn!(error = %cause, partner.slug = %partner, "a partner that has enrolled is not active yet");
    }
}

/// Revokes every live certificate of a holder, and ends a token it could get one with; how many certificates.
pub fn revoke_all(conn: &mut PgConnection, pki: &Path, holder: &Holder) -> Result<usize, Error> {
    let live = conn.transaction(|conn| shut_out(conn, holder))?;
    sync(conn, pki, clock::now())?;
    Ok(live)
}

/// The same in the caller's transaction, and in the register alone: the list follows by `sync`.
pub fn shut_out(conn: &mut PgConnection, holder: &Holder) -> Result<usize, Error> {
    take_turn(conn)?;
    // Tokens first: whoever is using one is waited for, and what it got is among the live ones.
    if let Holder::Partner(partner) = holder {
        enrolments::end(conn, partner)?;
    }
    let live = certificates::live(conn, holder)?;
    for x5t in &live {
        certificates::revoke(conn, x5t)?;
    }
    Ok(live.len())
}

/// What the revocation list lacks, and until when it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListState {
    /// Revoked certificates that are not on it: their holders are refused by the register, after the handshake.
    pub missing: usize,
    /// `None`: it cannot be read.
    pub next_update: Option<DateTime<Utc>>,
    /// It was made anew now.
    pub renewed: bool,
}

/// Brings the revocation list up to the register, and makes it anew well before its end, where the authority's key is in
/// the folder. Where it is not, only says what is amiss.
pub fn sync(conn: &mut PgConnection, pki: &Path, now: DateTime<Utc>) -> Result<ListState, Error> {
    let revoked = certificates::revoked_serials(conn)?;
    let state = |renewed| {
        let list = List::read(pki).ok();
        let missing = revoked.iter().filter(|serial| list.as_ref().is_none_or(|list| !list.serials.contains(*serial)));
        ListState { missing: missing.count(), next_update: list.map(|list| list.next_update), renewed }
    };
    let before = state(false);
    if before.missing == 0 && before.next_update.is_some_and(|ends| ends - now > LIST_RENEW) {
        return Ok(before);
    }
    match Authority::open(pki) {
        Ok(authority) => make_list(conn, &authority, now)?,
        Err(PkiError::Missing(_)) => return Ok(before),
        Err(cause) => return Err(cause.into()),
    }
    Ok(state(true))
}

/// Makes the list anew of what it said and what the register says, for its full time.
pub fn make_list(conn: &mut PgConnection, authority: &Authority, now: DateTime<Utc>) -> Result<(), Error> {
    conn.transaction(|conn| {
        // The folder's own lock does the same for who shares it; this one for those whose file system does not lock.
        take_turn(conn)?;
        let revoked = certificates::revoked_serials(conn)?;
        authority.revoke_all(revoked.iter().map(String::as_str), now)?;
        Ok(())
    })
}

fn take_turn(conn: &mut PgConnection) -> Result<(), Error> {
    sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(CERTIFICATES).execute(conn)?;
    Ok(())
}

fn authority(pki: &Path, instead: &'static str) -> Result<Authority, Error> {
    Authority::open(pki).map_err(|cause| match cause {
        PkiError::Missing(_) => Error::Elsewhere(instead),
        other => Error::Pki(other),
    })
}
