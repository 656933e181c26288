//! The token of a quote: everything the price was made of, signed, so that nothing of a quote is stored.
//!
//! A compact JWS of type `quote+jws`. It is the alliance's own: nobody else reads its payload, which is versioned so
//! that a server of the next release still opens what this one signed. Whether it is in time and unused is the book's
//! to say; that it is ours, whole and the caller's is said here.

use super::exchange::{Call, Error, Refused};
use crate::book::command::{Ask, Code, Convert, Direction, DirectoryHash, Hint, Quoted, Refusal};
use crate::book::store::codec::{TermsJson, uuid_text};
use crate::domain::ids::{AccountId, QuoteId, Slug};
use crate::domain::points::Points;
use crate::service::keys::Keys;
use crate::signing::digest::directory_hash;
use crate::signing::keyring::Purpose;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

const VERSION: u8 = 1;
/// Characters read at most: about three times what a quote with many campaigns takes.
pub const LENGTH_MAX: usize = 8_192;

/// A quote and the brand it was made for.
#[derive(Clone, Debug)]
pub struct Issued {
    pub asker: Slug,
    /// Of the asker's membership.
    pub who: DirectoryHash,
    pub quoted: Quoted,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    v: u8,
    #[serde(with = "uuid_text")]
    quote: Uuid,
    asker: String,
    #[serde(with = "uuid_text")]
    who: Uuid,
    /// Business time, seconds and nanoseconds kept: RFC 3339.
    expires_at: DateTime<Utc>,
    #[serde(with = "uuid_text")]
    from_account: Uuid,
    #[serde(with = "uuid_text")]
    to_account: Uuid,
    debit: i64,
    credit: i64,
    bonuses: Vec<i64>,
    terms: TermsJson,
}

/// The directory hash by which a quote is used once.
pub fn hash_of(quote: QuoteId) -> DirectoryHash {
    DirectoryHash(directory_hash("quote", &[quote.0.as_bytes()]))
}

/// Signs a quote.
pub fn seal(keys: &Keys, issued: &Issued) -> Result<String, Error> {
    keys.sign(Purpose::Quote, &encode(issued)).map_err(|_| Error::Broken("a quote cannot be signed"))
}

/// The conversion a token stands for; `quote_invalid` when it is not ours, not whole, or another brand's.
pub fn open(keys: &Keys, token: &str, call: Call<'_>) -> Result<Convert, Error> {
    let issued = verify(keys, token).filter(|issued| issued.asker == *call.caller).ok_or_else(|| invalid(call))?;
    let Issued { asker, who, quoted } = issued;
    let direction = if asker == quoted.terms.from {
        Direction::To(quoted.terms.to.clone())
    } else {
        Direction::From(quoted.terms.from.clone())
    };
    Ok(Convert { who, direction, ask: Ask::Quoted(Box::new(quoted)) })
}

fn verify(keys: &Keys, token: &str) -> Option<Issued> {
    if token.len() > LENGTH_MAX {
        return None;
    }
    decode(&keys.verify(Purpose::Quote, token).ok()?)
}

/// Found before the book is asked, and never stored: the same key with a good token still counts.
pub fn invalid(call: Call<'_>) -> Error {
    let refusal = Refusal { code: Code::QuoteInvalid, request_id: call.request_id, hint: Hint::None };
    Error::Refused(Refused { refusal, replayed: false })
}

fn encode(issued: &Issued) -> Vec<u8> {
    let Issued { asker, who, quoted } = issued;
    let payload = Payload {
        v: VERSION,
        quote: quoted.quote.0,
        asker: asker.to_string(),
        who: who.0,
        expires_at: quoted.expires_at,
        from_account: quoted.from_account.0,
        to_account: quoted.to_account.0,
        debit: quoted.debit.get(),
        credit: quoted.credit.get(),
        bonuses: quoted.bonuses.iter().map(|points| points.get()).collect(),
        terms: TermsJson::from(&*quoted.terms),
    };
    // No map with other than text keys and no fallible field: this cannot fail.
    serde_json::to_vec(&payload).unwrap_or_default()
}

fn decode(bytes: &[u8]) -> Option<Issued> {
    let payload: Payload = serde_json::from_slice(bytes).ok().filter(|payload: &Payload| payload.v == VERSION)?;
    let quote = QuoteId(payload.quote);
    let quoted = Quoted {
        quote,
        hash: hash_of(quote),
        expires_at: payload.expires_at,
        from_account: AccountId(payload.from_account),
        to_account: AccountId(payload.to_account),
        debit: Points::new(payload.debit)?,
        credit: Points::new(payload.credit)?,
        bonuses: payload.bonuses.into_iter().map(Points::new).collect::<Option<_>>()?,
        terms: Arc::new(payload.terms.try_into().ok()?),
    };
    Some(Issued { asker: payload.asker.parse().ok()?, who: DirectoryHash(payload.who), quoted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::quote::tests::two_to_one;

    #[test]
    fn a_quote_comes_out_of_its_payload_as_it_went_in() {
        let points = |value| Points::new(value).expect("in range");
        let quote = QuoteId(Uuid::from_u128(1));
        let quoted = Quoted {
            quote,
            hash: hash_of(quote),
            expires_at: "2026-01-05T08:00:00.123456Z".parse().expect("a time"),
            from_account: AccountId(Uuid::from_u128(2)),
            to_account: AccountId(Uuid::from_u128(3)),
            debit: points(136),
            credit: points(68),
            bonuses: vec![points(6)],
            terms: Arc::new(two_to_one()),
        };
        let issued = Issued { asker: quoted.terms.from.clone(), who: DirectoryHash(Uuid::from_u128(4)), quoted };
        let read = decode(&encode(&issued)).expect("whole");
        assert_eq!(format!("{read:?}"), format!("{issued:?}"));
        assert_eq!(*read.quoted.terms, two_to_one());
    }
}
