//! What every use case of members and points works with: the book, the database for reading, the catalogue, the keys.

use crate::book;
use crate::book::command::{
    Answer, Command, DirectoryHash, Key, MovementRow, Outcome, Reference, Refusal, Request, ReversalRow, Undecided,
};
use crate::domain::catalogue::Catalogue;
use crate::domain::holder::Holder;
use crate::domain::ids::Slug;
use crate::domain::text::Text;
use crate::service::crossings::Crossings;
use crate::service::fingerprint;
use crate::service::keys::Keys;
use crate::signing::digest::directory_hash;
use crate::store;
use arc_swap::ArcSwap;
use diesel::PgConnection;
use std::sync::Arc;
use uuid::Uuid;

/// Cheap to clone: every part is a handle.
#[derive(Clone)]
pub struct Exchange {
    pub database: store::Database,
    pub book: book::Handle,
    pub catalogue: Arc<ArcSwap<Catalogue>>,
    pub keys: Arc<Keys>,
    /// Carries on what is on its way between two ledgers.
    pub crossings: Crossings,
}

/// Why a use case has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The book's final no, or the same no found before asking it.
    #[error("refused: {:?}", .0.code)]
    Refused(Refused),
    #[error("not decided")]
    Undecided(#[from] Undecided),
    /// Not there, or not the caller's.
    #[error("not found")]
    NotFound,
    #[error("the caller may not do this")]
    Forbidden,
    #[error("the link code is wrong, used or expired")]
    LinkCodeInvalid,
    #[error("some fields are not valid")]
    Invalid(Vec<Fault>),
    #[error("the database did not answer")]
    Store(#[from] store::Error),
    #[error("the book cannot be read")]
    Book(#[source] book::store::Error),
    /// A row or an outcome that cannot be: a bug of ours, told apart from the world's faults.
    #[error("broken: {0}")]
    Broken(&'static str),
}

impl From<book::store::Error> for Error {
    fn from(error: book::store::Error) -> Error {
        match error {
            book::store::Error::Query(error) => Error::Store(error.into()),
            book::store::Error::Catalogue(error) => Error::Store(error),
            other => Error::Book(other),
        }
    }
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Error {
        Error::Store(error.into())
    }
}

/// A refusal and whether it was given before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub refusal: Refusal,
    pub replayed: bool,
}

impl std::ops::Deref for Refused {
    type Target = Refusal;
    fn deref(&self) -> &Refusal {
        &self.refusal
    }
}

/// One field that is not valid, by its JSON pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub pointer: String,
    pub detail: &'static str,
}

impl Error {
    pub fn field(pointer: &str, detail: &'static str) -> Error {
        Error::Invalid(vec![Fault { pointer: pointer.to_owned(), detail }])
    }
}

/// Who asks for something that has its effect once, and under which key.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub caller: &'a Slug,
    pub request_id: Uuid,
    pub key: &'a str,
}

/// One of a batch, with the key that a single one has in its header.
#[derive(Debug)]
pub struct Item<T> {
    pub key: String,
    pub wanted: T,
}

/// What an idempotency key is scoped to, beside the partner. The names are for ever: keys of money never expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Credit,
    Debit,
    CreditReversal,
    DebitReversal,
    Conversion,
    Undo,
    Reversal,
    Confirmation,
    Claim,
    Redemption,
    RedemptionReversal,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Credit => "credit",
            Operation::Debit => "debit",
            Operation::CreditReversal => "credit-reversal",
            Operation::DebitReversal => "debit-reversal",
            Operation::Conversion => "conversion",
            Operation::Undo => "undo",
            Operation::Reversal => "reversal",
            Operation::Confirmation => "confirmation",
            Operation::Claim => "claim",
            Operation::Redemption => "redemption",
            Operation::RedemptionReversal => "redemption-reversal",
        }
    }
}

/// An effect and whether this is the first answer again.
#[derive(Debug)]
pub struct Done<T> {
    pub row: T,
    pub replayed: bool,
}

impl Exchange {
    /// ISO 4217 code of the alliance's settlement currency.
    pub fn currency(&self) -> String {
        self.catalogue.load().alliance.currency.clone()
    }
}

impl Call<'_> {
    /// The book's request for `command`, with its key, fingerprint and reference.
    pub fn request(&self, operation: Operation, command: Command, reference: Option<Text>) -> Request {
        let caller = self.caller.as_str();
        let reference =
            reference.map(|text| Reference { hash: reference_hash(self.caller, &text), text: text.into_string() });
        let key = Key {
            hash: DirectoryHash(directory_hash(
                "key",
                &[caller.as_bytes(), operation.name().as_bytes(), self.key.as_bytes()],
            )),
            fingerprint: fingerprint::of(&command, reference.as_ref()),
        };
        Request {
            caller: self.caller.clone(),
            fresh: Uuid::now_v7(),
            request_id: self.request_id,
            key: Some(key),
            reference,
            command,
        }
    }
}

/// The catalogue as it is published now: the one this server has decided with, or a newer one, which it then knows too.
pub fn newest(conn: &mut PgConnection, shared: &ArcSwap<Catalogue>) -> Result<Arc<Catalogue>, store::Error> {
    let known = shared.load_full();
    if store::catalogue::version(conn)? == known.version {
        return Ok(known);
    }
    let newer = Arc::new(store::catalogue::load(conn)?);
    // A lane may have come first, with one that is newer still.
    shared.rcu(|known| if known.version < newer.version { newer.clone() } else { known.clone() });
    Ok(newer)
}

/// A request that is idempotent by itself.
pub fn keyless(caller: &Slug, request_id: Uuid, fresh: Uuid, command: Command) -> Request {
    Request { caller: caller.clone(), fresh, request_id, key: None, reference: None, command }
}

/// The directory hash of a membership by its brand's own reference.
pub fn member_hash(partner: &Slug, member_ref: &Text) -> DirectoryHash {
    DirectoryHash(directory_hash("member", &[partner.as_str().as_bytes(), member_ref.as_str().as_bytes()]))
}

/// The directory hash of a partner's external reference.
pub fn reference_hash(partner: &Slug, reference: &Text) -> DirectoryHash {
    DirectoryHash(directory_hash("reference", &[partner.as_str().as_bytes(), reference.as_str().as_bytes()]))
}

/// The partner whose things `reader` may see: its own, or anyone's for the operator (`None`).
pub fn seen_by(reader: &Holder) -> Option<&Slug> {
    match reader {
        Holder::Partner(slug) => Some(slug),
        Holder::Operator(_) => None,
    }
}

/// Turns the book's answer into the row it must carry.
pub fn movement_of(answer: Result<Answer, Undecided>) -> Result<Done<Arc<MovementRow>>, Error> {
    expect(answer, |outcome| match outcome {
        Outcome::Movement(row) => Some(row),
        _ => None,
    })
}

/// See `movement_of`.
pub fn reversal_of(answer: Result<Answer, Undecided>) -> Result<Done<Arc<ReversalRow>>, Error> {
    expect(answer, |outcome| match outcome {
        Outcome::Reversal(row) => Some(row),
        _ => None,
    })
}

/// The part of an answer that the caller waits for; a refusal is an error, another outcome a bug.
pub fn expect<T>(answer: Result<Answer, Undecided>, wanted: impl Fn(Outcome) -> Option<T>) -> Result<Done<T>, Error> {
    let Answer { replayed, outcome } = answer?;
    match outcome {
        Outcome::Refused(refusal) => Err(Error::Refused(Refused { refusal, replayed })),
        other => {
            let row = wanted(other).ok_or(Error::Broken("the book answered another command"))?;
            Ok(Done { row, replayed })
        }
    }
}
