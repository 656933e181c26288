//! Approvals: signatures over the proposal's own bytes by registered keys.

use super::{Error, Proposal};
use crate::domain::catalogue::Party;
use crate::domain::holder::Holder;
use crate::domain::ids::{ProposalId, Slug};
use crate::domain::proposal::{Event, State, Subject};
use crate::signing::jwk::PublicKey;
use crate::signing::jws::{self, Refused};
use crate::store::proposals::{self, Approval};
use crate::store::signing_keys;
use diesel::prelude::*;

/// The `typ` of an approval's header.
pub const JWS_TYPE: &str = "proposal+jws";

/// Takes `holder`'s signature over the proposal. Repeating it with the same key changes nothing. `Err(NotFound)` also
/// when the proposal is none of the holder's business.
pub fn approve(conn: &mut PgConnection, holder: &Holder, id: ProposalId, token: &str) -> Result<Proposal, Error> {
    approve_new(conn, holder, id, token).map(|(proposal, _)| proposal)
}

/// The same, with the key by which it is approved now; `None` when it was before.
pub fn approve_new(
    conn: &mut PgConnection,
    holder: &Holder,
    id: ProposalId,
    token: &str,
) -> Result<(Proposal, Option<String>), Error> {
    conn.transaction(|conn| {
        super::lock(conn)?;
        let proposal = proposals::find(conn, id)?.ok_or(Error::NotFound)?;
        let side = proposal.subject.side_of(holder).ok_or(Error::NotFound)?;
        let kid = verified(conn, &proposal, holder, token)?;
        if proposal.approvals.iter().any(|approval| approval.kid == kid) {
            return Ok((proposal, None));
        }
        if !proposal.state.is_open() {
            return Err(Error::Closed(proposal.state.text()));
        }
        let published = super::published(conn)?;
        let approved_at = super::now(conn, published.as_ref())?;
        proposals::approve(conn, id, &Approval { kid: kid.clone(), side, jws: token.to_owned(), approved_at })?;
        let signed = proposals::find(conn, id)?.ok_or(Error::NotFound)?;
        if !missing(conn, &signed)?.is_empty() || signed.state == State::Approved {
            return Ok((signed, Some(kid)));
        }
        let after = signed.state.on(Event::Approve).map_err(|state| Error::Closed(state.text()))?;
        proposals::step(conn, id, signed.state, after)?;
        Ok((Proposal { state: after, ..signed }, Some(kid)))
    })
}

/// The partners whose valid signature a proposal still lacks.
pub(super) fn missing(conn: &mut PgConnection, proposal: &Proposal) -> Result<Vec<Slug>, Error> {
    let mut missing = Vec::new();
    for side in proposal.subject.asked() {
        let Some(slug) = partner(&proposal.subject, side) else { continue };
        let holder = Holder::Partner(slug.clone());
        let mut signed = false;
        for approval in proposal.approvals.iter().filter(|approval| approval.side == side) {
            signed |= match verify(conn, proposal, &approval.jws)? {
                Ok(signer) => signer.holder == holder,
                Err(_) => false,
            };
        }
        if !signed {
            missing.push(slug);
        }
    }
    Ok(missing)
}

fn partner(subject: &Subject, side: Party) -> Option<Slug> {
    match (subject, side) {
        (Subject::Partner(own), Party::From) => Some(own.clone()),
        (Subject::Pair(from, _), Party::From) => Some(from.clone()),
        (Subject::Pair(_, to), Party::To) => Some(to.clone()),
        (Subject::Alliance | Subject::Partner(_) | Subject::Pair(_, _), _) => None,
    }
}

struct Signed {
    kid: String,
    holder: Holder,
    active: bool,
}

/// The key id of a good signature by an active key of `holder`.
fn verified(conn: &mut PgConnection, proposal: &Proposal, holder: &Holder, token: &str) -> Result<String, Error> {
    let signed = verify(conn, proposal, token)?
        .map_err(|refused| Error::Signature(format!("This is no approval of this proposal: {refused}.")))?;
    if signed.holder != *holder {
        return Err(Error::Signature("This key is registered to somebody else.".to_owned()));
    }
    if !signed.active {
        return Err(Error::Signature("This key is retired.".to_owned()));
    }
    Ok(signed.kid)
}

/// Who signed; `Ok(Err)` when the token does not hold.
fn verify(conn: &mut PgConnection, proposal: &Proposal, token: &str) -> Result<Result<Signed, Refused>, Error> {
    let mut found = None;
    let mut failed = None;
    let payload = jws::verify(token, JWS_TYPE, |kid| {
        let row = match signing_keys::find(conn, kid) {
            Ok(row) => row?,
            Err(error) => {
                failed = Some(error);
                return None;
            }
        };
        let key = PublicKey::from_jwk(&row.jwk).ok()?;
        let holder = Holder::of(&row.holder_kind, &row.holder_name)?;
        found = Some(Signed { kid: row.kid, holder, active: row.status == "active" });
        Some(key)
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    Ok(match (payload, found) {
        (Ok(payload), Some(signed)) if payload == proposal.change.as_bytes() => Ok(signed),
        // Another document, however well signed.
        (Ok(_), _) => Err(Refused::Signature),
        (Err(refused), _) => Err(refused),
    })
}
